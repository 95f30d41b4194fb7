"""Counting devices by many values at once, such as hour and version; and by which number a time counts."""

from collections import Counter
from contextlib import closing

import ibis
import pandas as pd
from ibis import _


def tally(rows: ibis.Table) -> pd.DataFrame:
    """How often each row occurs: its columns, and `devices`.

    SQLite sorts in order to group, which with many groups costs more than all the rest: there, rows are counted by hash
    as they stream by.
    """
    backend = rows.get_backend()
    if backend.name != "sqlite":
        return rows.group_by(*rows.columns).agg(devices=_.count()).to_pandas()
    with closing(backend.raw_sql(backend.compile(rows))) as cursor:
        counts = Counter(cursor)
    frame = pd.DataFrame(list(counts), columns=list(rows.columns))
    return frame.assign(devices=pd.Series(list(counts.values()), dtype="int64"))


def ceiling(number: ibis.Value, since: int, width: int, engine: str) -> ibis.Value:
    """How often `width` passed from `since` to `number`, rounded up; `number` is not less. engine: the backend's name.

    In SQLite, Ibis calls Python for each floor; there, and in no other of our engines, a cast cuts off.
    """
    up = (number + (width - 1 - since)) / width
    return (up if engine == "sqlite" else up.floor()).cast("int64")
