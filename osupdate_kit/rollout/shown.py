"""What time lays over a stored journey: waiting, silence, standstill, the deadline. Nothing here is ever stored."""

from typing import NamedTuple

from osupdate_kit.rollout.journey import Armed, Instrument, Journey, RolloutStatus
from osupdate_kit.rollout.policy import HOUR, Cadences, Gate
from osupdate_kit.rollout.state import ENDS, State


class Shown(NamedTuple):
    """The state that people see, and why the engine waits, if it does."""

    state: State
    reason: str = ""


class Moment(NamedTuple):
    """What the overlay needs to know beside the journey, the same for all devices but `gate` and `seen_at`."""

    now: int
    status: RolloutStatus
    started_at: int
    deadline_at: int
    gate: Gate
    seen_at: int  # last contact of any kind


SETTLED = ENDS | {State.UNKNOWN}  # shown as stored, whatever the time
WAITING = frozenset({State.HELD, State.KNOCKING, State.DOWNLOADED})
STOPPED = {
    RolloutStatus.PAUSED: "paused",
    RolloutStatus.HALTED: "halted",
    RolloutStatus.CANCELLED: "cancelled",
    RolloutStatus.ENDED: "the rollout has ended",
}


def shown(journey: Journey, moment: Moment, cadences: Cadences) -> Shown:
    """Ends stay. Then: past the deadline, no contact, kept waiting longer than patience lasts, contact without
    progress, waiting; else as stored. A declared device waits for nobody, and before its deadline nothing need happen.
    """
    state = State(journey.state)
    if state in SETTLED:
        return Shown(state)
    over = moment.status is RolloutStatus.ENDED or (
        moment.now >= moment.deadline_at and moment.status is not RolloutStatus.CANCELLED
    )
    if over:
        return Shown(State.EXPIRED, f"last state: {state}")
    by_itself = journey.route is Instrument.DECLARATION and journey.armed is not Armed.NO  # whatever the hour
    waits_for_us = state in WAITING and not by_itself
    if waits_for_us and (stopped := STOPPED.get(moment.status)):
        return Shown(State.DOWNLOADED if journey.ready else State.HELD, stopped)
    if moment.status is RolloutStatus.CANCELLED:
        return Shown(state, "cancelled")
    silent_for = moment.now - max(moment.seen_at, moment.started_at)
    if silent_for > cadences.silent_after_hours * HOUR:
        return Shown(State.SILENT, f"no contact for {silent_for // HOUR} hours")
    patience = cadences.stalled_after_hours * HOUR
    kept = waits_for_us and not moment.gate.open_since
    waits = Shown(State.DOWNLOADED if journey.ready else State.HELD, moment.gate.why or "window shut")
    if kept and moment.now - moment.gate.shut_since > patience:
        return waits  # it could not go on if it would
    still_for = moment.now - max(journey.progress_at, moment.started_at, journey.enforce_at)
    if still_for > patience and moment.status is RolloutStatus.RUNNING:
        return Shown(State.STALLED, f"no progress for {still_for // HOUR} hours, last state: {state}")
    return waits if kept else Shown(state)
