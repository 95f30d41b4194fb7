"""What time lays over the stored journeys, for all devices in one query: the rule of `rollout/shown.py`, as Ibis.

The stored state is read off evidence alone; that a device is silent, stalled or expired, or held because its window is
shut, follows from now. Figures of the present count these shown states, so that their totals are those of the status.
Figures over time count stored states: when a device fell silent in the past, and spoke again, is not kept.
"""

import functools
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import available_timezones

import ibis
import pandas as pd
from ibis import _

from osupdate_kit.analysis.scope import Scope
from osupdate_kit.analysis.tally import tally
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.rollout.journey import Armed, Instrument, RolloutStatus
from osupdate_kit.rollout.plan import DEFAULT_ACTIONS
from osupdate_kit.rollout.policy import HOUR
from osupdate_kit.rollout.shown import SETTLED, STOPPED, WAITING
from osupdate_kit.rollout.state import State
from osupdate_kit.rollout.windows import FROZEN, Blackout, Hours, Kin, Schedule, concerns

KEY = ("server", "enrollment_id")

_READ = (
    *KEY, "state", "ready", "live", "platform", "time_zone", "admitted_at", "progress_at", "updated_at", "route",
    "armed", "enforce_at",
)  # fmt: skip
_SETTLED = sorted(state.value for state in SETTLED)
_WAITING = sorted(state.value for state in WAITING)


def shown(scope: Scope, *columns: str, stored: Collection[State] = frozenset(State)) -> ibis.Table:
    """One row per device: its key, `shown` (the state that people see now), and these columns of its journey.

    stored: leave out devices whose stored state is another.
    """
    scope.only_now("What time adds to a state")
    status, now = scope.status, scope.now
    halted = [column for column, value in _halted(scope) if value]
    rows = scope.journey().select(*dict.fromkeys((*_READ, *_named(scope), *halted, *columns)))
    if len(stored) < len(State):
        rows = rows.filter(_.state.isin(sorted(state.value for state in stored)))
    lines = [(_.state.isin(_SETTLED), _.state)]
    by_itself = (_.route == Instrument.DECLARATION.value) & (_.armed != Armed.NO.value)
    waiting, waits_as = _.state.isin(_WAITING) & ~by_itself, _.ready.ifelse(State.DOWNLOADED.value, State.HELD.value)
    over = _is_over(scope)
    if status in STOPPED and not over:
        lines.append((waiting, waits_as))
    if not over and status is not RolloutStatus.CANCELLED:
        rows = _with_silence(scope, rows)
        lines.append((_.silent, State.SILENT.value))
    if status is RolloutStatus.RUNNING and not over:
        patience = int(scope.cadences.stalled_after_hours * HOUR)
        still_for = now - ibis.greatest(_.progress_at, _.enforce_at, scope.subject.started_at)
        stalled = (still_for > patience, State.STALLED.value)
        if WAITING & set(stored):
            shut, long_shut = _shut(scope, patience)
            lines += [(waiting & long_shut, waits_as), stalled, (waiting & shut, waits_as)]
        else:
            lines.append(stalled)
    otherwise = ibis.literal(State.EXPIRED.value) if over else _.state
    rows = rows.mutate(shown=ibis.cases(*lines, else_=otherwise))
    return rows.select(*dict.fromkeys((*KEY, "shown", *columns)))


def stored_in(scope: Scope, states: Collection[State]) -> ibis.Table:
    """Devices stored in these states now, by the sums: `state`, `devices`. What is settled need not be counted again.

    To be read in one query with those that are counted: two see different instants of a rollout that goes on.
    """
    sums = scope.changes().filter(_.state.isin(sorted(state.value for state in states)))
    return sums.group_by("state").agg(devices=_.change.sum()).filter(_.devices > 0)


def lost(scope: Scope) -> ibis.Value:
    """Is this journey shown as failed or expired? That can be told without all the other states."""
    scope.only_now("What is lost")
    failed = _.state.isin([State.EXPIRED.value, State.FAILED.value])
    return failed | ~_.state.isin(_SETTLED) if _is_over(scope) else failed


def _is_over(scope: Scope) -> bool:
    overdue = scope.now >= scope.subject.deadline_at and scope.status is not RolloutStatus.CANCELLED
    return scope.status is RolloutStatus.ENDED or overdue


def _with_silence(scope: Scope, rows: ibis.Table) -> ibis.Table:
    """`silent`: without contact beyond patience, of those that are not settled.

    Whoever sent evidence of late needs no look at the inventory: joined by NULL, a database that joins row by row looks
    nothing up.
    """
    patience = int(scope.cadences.silent_after_hours * HOUR)
    if scope.now - scope.subject.started_at <= patience:
        return rows.mutate(silent=ibis.literal(False))
    quiet = scope.now - _.updated_at > patience
    rows = rows.mutate(asked=(quiet & ~_.state.isin(_SETTLED)).ifelse(_.server, None))
    seen = scope.tables["devices"].select(asked=_.server, id=_.enrollment_id, last_seen_at=_.last_seen_at)
    found = rows.left_join(seen, [rows.asked == seen.asked, rows.enrollment_id == seen.id])
    silent = (scope.now - rows.updated_at > patience) & (scope.now - seen.last_seen_at.fill_null(0) > patience)
    return found.select(*(rows[name] for name in rows.columns if name != "asked"), silent=silent)


def _shut(scope: Scope, patience: int) -> tuple[ibis.Value, ibis.Value]:
    """Is the gate shut as this device may use it now, and has it been so for longer than patience lasts?

    Held by a person, out of the rollout, halted, not approved of, not admitted yet, in a zone unknown here; or outside
    the window, or in a black-out, where the device is.
    """
    standing = (_.released_at == 0) & ((_.until_at == 0) | (_.until_at > scope.now))
    held = scope.tables["holds"].filter(standing).select(key=_.server + "\n" + _.enrollment_id)
    kept = ~_.live | (_.admitted_at <= 0) | (_.server + "\n" + _.enrollment_id).isin(held.key)
    if scope.waits:
        kept |= ibis.literal(True)
    for dimension, value in _halted(scope):
        kept |= _[dimension] == value if dimension else ibis.literal(True)
    apart = sorted(platform.value for platform in Platform if _downloads_apart(scope, platform))
    downloads = ~_.ready & _.platform.isin(apart) & (_.route != Instrument.DECLARATION.value)
    shut = long_shut = kept
    for who, blackouts in _concerned(scope):
        schedule = Schedule(scope.plan.window, scope.plan.download_window, blackouts)
        for step, hours in ((False, ~downloads), (True, downloads)):
            open_now, open_of_late = _open(scope, schedule.hours(Kin(), downloads=step), patience)
            shut |= who & hours & ~_.time_zone.isin(open_now)
            long_shut |= who & hours & ~_.time_zone.isin(open_of_late)
    return shut, long_shut


def _downloads_apart(scope: Scope, platform: Platform) -> bool:
    return platform in DEFAULT_ACTIONS and scope.plan.steps(platform).downloads_apart


def _open(scope: Scope, hours: Hours, patience: int) -> tuple[list[str], list[str]]:
    """Time zones in which it is open now, and those in which it was so within patience."""
    gates = {zone: hours.gate(scope.now, zone) for zone in _zones()}
    gates[""] = gates[scope.plan.time_zone or "UTC"]
    of_late = [zone for zone, gate in gates.items() if gate.open_since or scope.now - gate.shut_since <= patience]
    return [zone for zone, gate in gates.items() if gate.open_since], of_late


def _named(scope: Scope) -> list[str]:
    """The columns that black-outs of these days go by."""
    text = " ".join(one.where for one in _blackouts(scope))
    return [column for column in FROZEN if column in text]


def _halted(scope: Scope) -> list[tuple[str, str]]:
    """Columns and their values that stand halted."""
    if not scope.plan.limits:
        return []
    halts = scope.tables["halts"]
    mine = halts.filter(halts.rollout == scope.subject.rollout, halts.lifted_at == 0)
    return [(row["dimension"], row["value"]) for row in mine.select("dimension", "value").to_pyarrow().to_pylist()]


def _blackouts(scope: Scope) -> tuple[Blackout, ...]:
    """Those that can matter now somewhere on earth, or could while the longest window was last open."""
    today = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=scope.now)).date()
    near = timedelta(days=17)
    return tuple(one for one in scope.plan.blackouts if one.first - near <= today <= one.last + near)


def _concerned(scope: Scope) -> Iterator[tuple[ibis.Value, tuple[Blackout, ...]]]:
    """Devices apart by the black-outs that mean them: all together, unless one is for some only."""
    blackouts, named = _blackouts(scope), _named(scope)
    if not any(one.where for one in blackouts):
        yield ibis.literal(True), blackouts
        return
    groups: dict[tuple[Blackout, ...], list[str]] = {}
    for row in scope.journey().select(*named).distinct().to_pyarrow().to_pylist():
        mine = tuple(one for one in blackouts if concerns(one, Kin(**row)))
        groups.setdefault(mine, []).append("\n".join(row[column] for column in named))
    key = functools.reduce(lambda one, other: one + "\n" + other, (_[column] for column in named))
    for mine, keys in groups.items():
        yield key.isin(keys), mine


@functools.lru_cache(maxsize=1)
def _zones() -> tuple[str, ...]:
    return tuple(sorted(available_timezones()))


def states_by_instrument(scope: Scope) -> pd.DataFrame:
    """Devices by the instrument that they go by now, and by shown state.

    Columns `instrument` (command, declaration, none: barred), `state`, `devices`, most frequent first.
    """
    barred = _.barrier != ""
    rows = shown(scope, "barrier", "route").mutate(instrument=barred.ifelse(Instrument.NONE.value, _.route))
    frame = tally(rows.select(instrument=_.instrument, state=_.shown))
    scope.check(int(frame["devices"].sum()), "States by instrument")
    return frame.sort_values(["instrument", "devices", "state"], ascending=[True, False, True], ignore_index=True)


def states_now(scope: Scope) -> pd.DataFrame:
    """Devices by shown state. Columns `state`, `devices`; every state that occurs, most frequent first."""
    open_ones = shown(scope, stored=frozenset(State) - SETTLED).group_by(state=_.shown).agg(devices=_.count())
    frame = stored_in(scope, SETTLED).union(open_ones).to_pandas().groupby("state", as_index=False)["devices"].sum()
    frame = frame.sort_values(["devices", "state"], ascending=[False, True], ignore_index=True)
    scope.check(int(frame["devices"].sum()), "States of now")
    return frame
