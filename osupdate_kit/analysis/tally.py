"""Counting devices by many values at once, such as hour and version; and by which number a time counts."""

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from typing import Any

import ibis
import pandas as pd
from ibis import _

_SAMPLE, _FREQUENT = 1_000, 8


def tally(rows: ibis.Table) -> pd.DataFrame:
    """How often each row occurs: its columns, and `devices`.

    SQLite sorts in order to group, which with many groups costs more than all the rest: there, rows are counted by hash
    as they stream by.
    """
    backend = rows.get_backend()
    if backend.name != "sqlite":
        return rows.group_by(*rows.columns).agg(devices=_.count()).to_pandas()
    counts = _stream(backend, rows)
    frame = pd.DataFrame(list(counts), columns=list(rows.columns))
    return frame.assign(devices=pd.Series(list(counts.values()), dtype="int64"))


def _stream(backend: Any, rows: ibis.Table) -> dict[tuple[Any, ...], int]:
    """Frequent texts travel as numbers: to compare one in SQLite costs less than to make a new one in Python."""
    query = backend.compile(rows)
    texts = [place for place, kind in enumerate(rows.schema().types) if kind.is_string()]
    sample = backend.con.execute(f"SELECT * FROM ({query}) LIMIT {_SAMPLE}").fetchall()  # noqa: S608 - ours
    codes = {place: _frequent(row[place] for row in sample) for place in texts}
    columns = [
        _coded(name, len(codes[place])) if codes.get(place) else f'"{name}"' for place, name in enumerate(rows.columns)
    ]
    values = [text for place in texts for text in codes[place]]
    with closing(backend.con.execute(f"SELECT {', '.join(columns)} FROM ({query})", values)) as cursor:  # noqa: S608
        counts = Counter(cursor)
    return {
        tuple(codes[place][cell] if place in codes and type(cell) is int else cell for place, cell in enumerate(row)): n
        for row, n in counts.items()
    }


def _frequent(texts: Iterable[str | None]) -> list[str]:
    return [text for text, _number in Counter(texts).most_common(_FREQUENT) if text is not None]


def _coded(name: str, codes: int) -> str:
    return f'CASE "{name}" {" ".join(f"WHEN ? THEN {code}" for code in range(codes))} ELSE "{name}" END'


def ceiling(number: ibis.Value, since: int, width: int, engine: str) -> ibis.Value:
    """How often `width` passed from `since` to `number`, rounded up; `number` is not less. engine: the backend's name.

    In SQLite, Ibis calls Python for each floor; there, and in no other of our engines, a cast cuts off.
    """
    up = (number + (width - 1 - since)) / width
    return (up if engine == "sqlite" else up.floor()).cast("int64")
