"""Declared devices by when they enforce: the rule of `rollout/deadlines.py`, as Ibis."""

import ibis
import pandas as pd
from ibis import _

from osupdate_kit.analysis.scope import Scope
from osupdate_kit.analysis.shown import shown
from osupdate_kit.rollout.deadlines import BOUNDS, Due
from osupdate_kit.rollout.journey import Armed, Instrument
from osupdate_kit.rollout.state import ENDS, State

ENDED = "at an end"  # whatever end it is
ORDER = (*(one.value for one in Due), ENDED)
_IN_FORCE = ORDER[: ORDER.index(Due.TAKEN_BACK)]


def deadlines(scope: Scope) -> pd.DataFrame:
    """All devices that go by declaration now, by when they enforce it.

    Columns `due` (one of ORDER, in its order), `devices`, `next_at` (UTC, the soonest deadline among them; NaT where
    none is in force).
    """
    declared = _.route == Instrument.DECLARATION.value
    rows = shown(scope, "route", "armed", "enforce_at", stored=frozenset(State) - ENDS)
    left = _.enforce_at - scope.now
    when = ibis.cases(
        (_.shown.isin(_names(ENDS)), ENDED),
        (_.enforce_at == 0, Due.NOT_YET.value),
        (_.armed == Armed.NO.value, Due.TAKEN_BACK.value),
        (left <= 0, Due.OVERDUE.value),
        *((left <= bound, name.value) for name, bound in BOUNDS),
        else_=Due.LATER.value,
    )
    going = rows.filter(declared).select(due=when, at=_.enforce_at)
    ended = scope.journey().filter(declared, _.barrier == "", _.state.isin(_names(ENDS)))
    both = going.union(ended.select(due=ibis.literal(ENDED), at=_.enforce_at))
    frame = both.group_by("due").agg(devices=_.count(), next_at=_["at"].min()).to_pandas()
    frame = frame.sort_values("due", key=lambda due: due.map(ORDER.index), ignore_index=True)
    next_at = frame["next_at"].where(frame["due"].isin(_IN_FORCE))
    return frame.assign(next_at=pd.to_datetime(next_at, unit="us", utc=True), devices=frame["devices"].astype("int64"))


def _names(states: frozenset[State]) -> list[str]:
    return sorted(state.value for state in states)
