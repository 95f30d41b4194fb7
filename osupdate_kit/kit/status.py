"""A rollout as of now: what is stored, and what time lays over it."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from osupdate_kit.errors import RolloutError
from osupdate_kit.kit.plans import barrier_words
from osupdate_kit.protocol.causes import cause_of, name_of
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.rollout.deadlines import Due, Standing, due, left_words, standing
from osupdate_kit.rollout.journey import Armed, Instrument
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import Cadences, Gate
from osupdate_kit.rollout.shown import SETTLED, Moment, shown
from osupdate_kit.rollout.state import State
from osupdate_kit.rollout.words import micros
from osupdate_kit.service.loop import gate_of, why_held
from osupdate_kit.stores.ledger import StoredJourney, StoredRollout, StoredWave, Transaction
from osupdate_kit.views.status import (
    DeviceStatus,
    HaltStatus,
    RolloutStatusView,
    WaveStatus,
    count,
    iso,
    moment,
    summary,
)


def rollout_and_plan(tx: Transaction, rollout: int) -> tuple[StoredRollout, RolloutPlan]:
    """Raises RolloutError if there is no such rollout."""
    stored = tx.rollout(rollout)
    if stored is None:
        raise RolloutError(f"There is no rollout {rollout}.", remedy="`osupdate-kit rollout list` shows them.")
    kept = tx.plan_of(stored.plan_id)
    assert kept is not None, stored
    return stored, RolloutPlan.from_yaml(kept.yaml)


def device_rows(tx: Transaction, rollout: int, now: int, cadences: Cadences) -> Iterator[DeviceStatus]:
    """One row per device, in key order, as of now."""
    stored, plan = rollout_and_plan(tx, rollout)
    holds, halts = tx.all_holds(now), tx.halts(rollout)
    for journey, seen_at, name in tx.named_journeys(rollout):
        held = why_held(holds.get(journey.journey.key), journey, halts)
        yield _row(journey, seen_at, stored, plan, now, cadences, held=held, name=name)


def status(
    tx: Transaction, rollout: int, now: int, cadences: Cadences, *, keep: Callable[[DeviceStatus], bool]
) -> RolloutStatusView:
    """Everything about a rollout as of now. `keep`: which devices to list; all are counted."""
    stored, plan = rollout_and_plan(tx, rollout)
    listed: list[DeviceStatus] = []
    excluded: Counter[str] = Counter()
    by_wave: Counter[tuple[str, str]] = Counter()
    deadlines: Counter[Due] = Counter()

    def rows() -> Iterator[DeviceStatus]:
        for row in device_rows(tx, rollout, now, cadences):
            if row.barrier:
                excluded[barrier_words(row.barrier)] += 1
            else:
                by_wave[row.wave, row.state] += 1
            if when := due_of(row, now):
                deadlines[when] += 1
            if keep(row):
                listed.append(row)
            yield row

    states, failures, armed, total, instruments = summary(rows())
    return RolloutStatusView(
        rollout=rollout,
        name=plan.name,
        status=stored.status,
        reason=stored.reason,
        as_of=moment(now),
        target=plan.target_label,
        deadline_at=moment(stored.deadline_at),
        selected=total,
        excluded=dict(excluded.most_common()),
        states=dict(states.most_common()),
        failures=dict(failures.most_common()),
        armed=tuple(armed),
        waves=tuple(_wave(wave, by_wave) for wave in tx.waves(rollout)),
        halts=tuple(
            HaltStatus(number=halt.id, part=halt.part, reason=halt.reason, since=iso(halt.at))
            for halt in tx.halts(rollout)
        ),
        instruments=instruments,
        deadlines={when.value: deadlines[when] for when in Due if deadlines[when]},
        owner=handed.owner if (handed := tx.handovers().get(rollout)) else stored.by,
        approval=_approval(tx, stored),
        devices=tuple(listed),
    )


def _approval(tx: Transaction, stored: StoredRollout) -> str:
    asked = tx.approval(stored.id) if stored.waits else None
    if asked is None:
        return ""
    return f"{asked.asked_by} asked on {moment(asked.asked_at)}; {count(asked.devices)} devices take it"


def due_of(row: DeviceStatus, now: int) -> Due | None:
    """When such a device enforces its declaration, as figures count it."""
    if not row.declaration:
        return None  # as most
    return due(Standing(row.declaration), micros(row.deadline) if row.deadline else 0, now)


def _wave(wave: StoredWave, by_wave: Counter[tuple[str, str]]) -> WaveStatus:
    mine = {state: devices for (name, state), devices in by_wave.items() if name == wave.name}
    return WaveStatus(
        name=wave.name,
        opened_at=iso(wave.opened_at) if wave.opened_at else None,
        opened_by=wave.who,
        pace=wave.pace,
        waits_for=wave.waits_for,
        devices=sum(mine.values()),
        done=mine.get(State.DONE, 0),
        lost=mine.get(State.FAILED, 0) + mine.get(State.EXPIRED, 0),
    )


class Over(NamedTuple):
    """What is shown of a device: its state with what time lays over it, why, and what to do."""

    state: State
    why: str
    cause: str  # what its failure is counted as, where that is the end
    remedy: str
    presumed: bool  # deferred, for all we can see


def look_over(
    stored: StoredJourney,
    seen_at: int,
    rollout: StoredRollout,
    plan: RolloutPlan,
    now: int,
    cadences: Cadences,
    *,
    held: str,
) -> Over:
    if stored.barred:
        return Over(State.BARRED, stored.reason, "", "", presumed=False)
    journey = stored.journey
    if journey.state in SETTLED:  # whatever the hour
        gate = Gate()
    else:
        by_command = journey.route is not Instrument.DECLARATION
        downloads = by_command and not journey.ready and plan.steps(Platform(stored.platform)).downloads_apart
        gate = gate_of(rollout, plan, stored, now, held=held, downloads=downloads)
    moment = Moment(now, rollout.status, rollout.started_at, rollout.deadline_at, gate, seen_at)
    state, why = shown(journey, moment, cadences)
    lost = state in (State.FAILED, State.EXPIRED)
    cause = name_of(journey.failure, journey.failure_text) if lost else ""
    presumed = state is State.DEFERRED and not journey.deferrals_used
    return Over(state, why, cause, cause_of(cause).remedy if cause else "", presumed)


def route_of(stored: StoredJourney) -> Instrument:
    """By which instrument it goes now; a barred one by none."""
    return Instrument.NONE if stored.barred else stored.journey.route


def _row(
    stored: StoredJourney,
    seen_at: int,
    rollout: StoredRollout,
    plan: RolloutPlan,
    now: int,
    cadences: Cadences,
    *,
    held: str,
    name: str,
) -> DeviceStatus:
    journey = stored.journey
    over = look_over(stored, seen_at, rollout, plan, now, cadences, held=held)
    where = standing(over.state, journey.route, journey.armed, journey.enforce_at, now)
    return DeviceStatus(
        udid=stored.udid,
        serial=stored.serial,
        server=journey.key.server,
        platform=stored.platform,
        state=over.state,
        flags=_flags(journey.armed, journey.regressed, presumed=over.presumed),
        instrument=stored.instrument,
        os_version_at_start=stored.os_version_start,
        os_version_reported=journey.os_version,
        action_asked=journey.action_asked,
        action_returned=journey.action_returned,
        deferrals_used=journey.deferrals_used,
        deferrals_remaining=journey.deferrals_remaining,
        failure_class=journey.failure,
        reason=" ".join(part for part in (over.why, journey.failure_text if over.cause else "") if part),
        remedy=over.remedy,
        commands_sent=journey.commands_sent,
        updated_at=iso(journey.updated_at) if journey.updated_at else None,
        barrier=stored.barrier,
        cause=over.cause,
        name=name,
        wave=stored.wave,
        route=route_of(stored).value,
        declaration=where.value,
        deadline=iso(journey.enforce_at) if journey.enforce_at else None,
        time_left=left_words(journey.enforce_at, now) if where.in_force else "",
    )


def _flags(armed: Armed, regressed: bool, *, presumed: bool) -> tuple[str, ...]:
    flags = ((f"armed {armed}", armed is not Armed.NO), ("regressed", regressed), ("presumed", presumed))
    return tuple(flag for flag, flies in flags if flies)
