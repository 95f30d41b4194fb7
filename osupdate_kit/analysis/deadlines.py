"""Declared devices that still go on, by when they enforce: the rule of `rollout/deadlines.py`, as Ibis."""

import ibis
import pandas as pd
from ibis import _

from osupdate_kit.analysis.scope import Scope
from osupdate_kit.analysis.shown import shown
from osupdate_kit.rollout.deadlines import BOUNDS, Due
from osupdate_kit.rollout.journey import Armed, Instrument
from osupdate_kit.rollout.state import ENDS, State


def deadlines(scope: Scope) -> pd.DataFrame:
    """Columns `due` (one of `Due`, in its order), `devices`, `next_at` (the soonest deadline among them, NaT: none).

    Who came to an end, by whatever instrument, is in none of them.
    """
    rows = shown(scope, "route", "armed", "enforce_at", stored=frozenset(State) - ENDS)
    going = rows.filter(_.route == Instrument.DECLARATION.value, ~_.shown.isin(sorted(state.value for state in ENDS)))
    left = _.enforce_at - scope.now
    when = ibis.cases(
        (_.enforce_at == 0, Due.NOT_YET.value),
        (_.armed == Armed.NO.value, Due.TAKEN_BACK.value),
        (left <= 0, Due.OVERDUE.value),
        *((left <= bound, name.value) for name, bound in BOUNDS),
        else_=Due.LATER.value,
    )
    counts = going.group_by(due=when).agg(devices=_.count(), next_at=_.enforce_at.min()).to_pandas()
    order = [one.value for one in Due]
    frame = counts.sort_values("due", key=lambda due: due.map(order.index), ignore_index=True)
    next_at = frame["next_at"].where(frame["due"].isin(order[: order.index(Due.TAKEN_BACK)]))
    return frame.assign(next_at=pd.to_datetime(next_at, unit="us", utc=True), devices=frame["devices"].astype("int64"))
