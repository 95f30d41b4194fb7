"""What time lays over the stored journeys, for all devices in one query: the rule of `rollout/shown.py`, as Ibis.

The stored state is read off evidence alone; that a device is silent, stalled or expired, or held because its window is
shut, follows from now. Figures of the present count these shown states, so that their totals are those of the status.
Figures over time count stored states: when a device fell silent in the past, and spoke again, is not kept.
"""

import ibis
import pandas as pd
from ibis import _

from osupdate_kit.analysis.scope import Scope
from osupdate_kit.rollout.journey import RolloutStatus
from osupdate_kit.rollout.policy import HOUR
from osupdate_kit.rollout.shown import STOPPED, WAITING
from osupdate_kit.rollout.state import ENDS, State

KEY = ("server", "enrollment_id")
LOST = (State.EXPIRED.value, State.FAILED.value)

_READ = (*KEY, "barrier", "state", "ready", "live", "time_zone", "progress_at", "updated_at")
_SETTLED = sorted(state.value for state in ENDS | {State.UNKNOWN})
_WAITING = sorted(state.value for state in WAITING)


def shown(scope: Scope, *columns: str) -> ibis.Table:
    """One row per device: its key, `shown` (the state that people see now), and these columns of its journey."""
    scope.only_now("What time adds to a state")
    status, now = scope.status, scope.now
    rows = scope.journey().select(*dict.fromkeys((*_READ, *columns)))
    lines = [(_.barrier != "", State.BARRED.value), (_.state.isin(_SETTLED), _.state)]
    waiting, waits_as = _.state.isin(_WAITING), _.ready.ifelse(State.DOWNLOADED.value, State.HELD.value)
    cancelled = status is RolloutStatus.CANCELLED
    over = status is RolloutStatus.ENDED or (now >= scope.subject.deadline_at and not cancelled)
    if status in STOPPED and not over:
        lines.append((waiting, waits_as))
    if not over and not cancelled:
        rows = _with_silence(scope, rows)
        lines.append((_.silent, State.SILENT.value))
    if status is RolloutStatus.RUNNING and not over:
        patience = int(scope.cadences.stalled_after_hours * HOUR)
        still_for = now - ibis.greatest(_.progress_at, scope.subject.started_at)
        lines += [(still_for > patience, State.STALLED.value), (waiting & _shut(scope), waits_as)]
    otherwise = ibis.literal(State.EXPIRED.value) if over else _.state
    rows = rows.mutate(shown=ibis.cases(*lines, else_=otherwise))
    return rows.select(*dict.fromkeys((*KEY, "shown", *columns)))


def _with_silence(scope: Scope, rows: ibis.Table) -> ibis.Table:
    """`silent`: without contact beyond patience. Whoever sent evidence of late needs no look at the inventory."""
    patience = int(scope.cadences.silent_after_hours * HOUR)
    if scope.now - scope.subject.started_at <= patience:
        return rows.mutate(silent=ibis.literal(False))
    quiet = (scope.now - _.updated_at > patience) & ~_.state.isin(_SETTLED)
    there = rows.filter(~quiet).mutate(silent=ibis.literal(False))
    unsure = rows.filter(quiet).left_join(scope.tables["devices"].select(*KEY, _.last_seen_at), KEY)
    return there.union(unsure.select(*rows.columns, silent=scope.now - unsure.last_seen_at.fill_null(0) > patience))


def _shut(scope: Scope) -> ibis.Value:
    """Held by a person, out of the rollout, or outside the window where the device is."""
    standing = (_.released_at == 0) & ((_.until_at == 0) | (_.until_at > scope.now))
    held = scope.tables["holds"].filter(standing).select(key=_.server + "\n" + _.enrollment_id)
    zones = scope.journey().select(_.time_zone).distinct().to_pyarrow()["time_zone"].to_pylist()
    home = scope.plan.time_zone or "UTC"
    shut = [zone for zone in zones if not scope.plan.window.gate(scope.now, zone or home).open_since]
    return _.time_zone.isin(shut) | ~_.live | (_.server + "\n" + _.enrollment_id).isin(held.key)


def states_now(scope: Scope) -> pd.DataFrame:
    """Devices by shown state. Columns `state`, `devices`; every state that occurs, most frequent first."""
    counts = shown(scope).group_by(state=_.shown).agg(devices=_.count())
    frame = counts.to_pandas().sort_values(["devices", "state"], ascending=[False, True], ignore_index=True)
    scope.check(int(frame["devices"].sum()), "States of now")
    return frame
