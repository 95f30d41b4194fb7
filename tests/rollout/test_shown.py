"""What time lays over a stored state, to the microsecond; and what a state that needs a person asks of whom."""

from typing import Any

import pytest

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.causes import Owner, Retry
from osupdate_kit.rollout.journey import Armed, Instrument, Journey, RolloutStatus
from osupdate_kit.rollout.needs import IN_NEED, cause_name, need_of
from osupdate_kit.rollout.policy import DAY, HOUR, MINUTE, Cadences, Gate
from osupdate_kit.rollout.shown import Moment, Shown, shown
from osupdate_kit.rollout.state import ENDS, State

NOW = 1_795_507_200_000_000
OPEN = Gate(open_since=NOW - HOUR)
SHUT = Gate(changes_at=NOW + HOUR, shut_since=NOW - HOUR)
RUNNING, PAUSED, HALTED, CANCELLED, ENDED = RolloutStatus
WAIT_FOR_US = {State.HELD, State.KNOCKING, State.DOWNLOADED}
UNDER_WAY = set(State) - ENDS - {State.SILENT, State.STALLED, State.UNKNOWN}
LONG = 10 * DAY


def seen(
    state: State = State.QUEUED,
    *,
    status: RolloutStatus = RUNNING,
    gate: Gate = OPEN,
    started: int = LONG,
    contact: int = HOUR,
    left: int = DAY,
    cadences: Cadences = Cadences(),  # noqa: B008 - frozen
    **journey: Any,
) -> Shown:
    """started, contact: so long ago. left: until the deadline. A device that got further an hour ago."""
    words = {"progress_at": NOW - HOUR} | journey
    moment = Moment(
        now=NOW, status=status, started_at=NOW - started, deadline_at=NOW + left, gate=gate, seen_at=NOW - contact
    )  # fmt: skip
    return shown(Journey(rollout=1, key=DeviceKey("s", "D"), state=state, **words), moment, cadences)


@pytest.mark.parametrize("state", sorted(UNDER_WAY))
def test_what_is_under_way_and_gets_on_is_shown_as_it_is(state: State) -> None:
    assert seen(state) == Shown(state, "")


@pytest.mark.parametrize("state", sorted(ENDS | {State.UNKNOWN}))
@pytest.mark.parametrize("status", RolloutStatus)
def test_an_end_stays_an_end_whatever_time_brings(state: State, status: RolloutStatus) -> None:
    old = {"started": 90 * DAY, "contact": 90 * DAY, "progress_at": 0, "left": -DAY, "gate": SHUT}
    assert seen(state, status=status, **old) == Shown(state, "")  # type: ignore[arg-type]


# --- the deadline ---


@pytest.mark.parametrize("state", sorted(UNDER_WAY))
@pytest.mark.parametrize("status", [RUNNING, PAUSED, HALTED])
def test_at_its_deadline_what_has_no_end_is_expired_and_keeps_its_last_state(
    state: State, status: RolloutStatus
) -> None:
    assert seen(state, status=status, left=1).state is not State.EXPIRED
    assert seen(state, status=status, left=0) == Shown(State.EXPIRED, f"last state: {state}")
    assert seen(state, status=status, left=-1) == Shown(State.EXPIRED, f"last state: {state}")


def test_a_rollout_that_has_ended_is_over_before_its_deadline_and_a_cancelled_one_never_expires() -> None:
    assert seen(status=ENDED, left=DAY) == Shown(State.EXPIRED, "last state: queued")
    assert seen(status=CANCELLED, left=-DAY) == Shown(State.QUEUED, "cancelled")


# --- stopped ---


@pytest.mark.parametrize(("status", "why"), [(PAUSED, "paused"), (HALTED, "halted"), (CANCELLED, "cancelled")])
def test_a_stopped_rollout_holds_those_that_wait_for_it(status: RolloutStatus, why: str) -> None:
    for state in WAIT_FOR_US:
        assert seen(state, status=status) == Shown(State.HELD, why)
        assert seen(state, status=status, ready=True) == Shown(State.DOWNLOADED, why)
    for state in UNDER_WAY - WAIT_FOR_US:
        assert seen(state, status=status) == Shown(state, why if status is CANCELLED else "")


def test_in_a_cancelled_rollout_nobody_is_missed() -> None:
    assert seen(status=CANCELLED, contact=LONG, progress_at=0) == Shown(State.QUEUED, "cancelled")


@pytest.mark.parametrize("armed", [Armed.ON_SERVER, Armed.ON_DEVICE])
def test_a_declared_device_waits_for_nobody(armed: Armed) -> None:
    declared = {"route": Instrument.DECLARATION, "armed": armed, "gate": SHUT}
    for state in WAIT_FOR_US:
        assert seen(state, status=PAUSED, **declared) == Shown(state, "")  # type: ignore[arg-type]
        assert seen(state, **declared) == Shown(state, "")  # type: ignore[arg-type]
        not_yet = declared | {"armed": Armed.NO}
        assert seen(state, status=PAUSED, **not_yet) == Shown(State.HELD, "paused")  # type: ignore[arg-type]
        by_command = declared | {"route": Instrument.COMMAND}
        assert seen(state, status=PAUSED, **by_command) == Shown(State.HELD, "paused")  # type: ignore[arg-type]


# --- silence ---


@pytest.mark.parametrize(("contact", "started"), [(0, 72), (72, 72), (99, 72), (72, 99)])
def test_silence_begins_after_three_days_without_contact_and_not_before_the_rollout(contact: int, started: int) -> None:
    def after(more: int) -> Shown:
        return seen(contact=contact * HOUR + more, started=started * HOUR + more)

    assert after(0) == Shown(State.QUEUED, "")
    if contact:
        assert after(1) == Shown(State.SILENT, "no contact for 72 hours")
        assert after(90 * MINUTE) == Shown(State.SILENT, "no contact for 73 hours")


@pytest.mark.parametrize("state", sorted(UNDER_WAY))
@pytest.mark.parametrize("status", [RUNNING, PAUSED])
def test_who_waits_in_a_stopped_rollout_is_not_silent_all_others_are(state: State, status: RolloutStatus) -> None:
    found = seen(state, status=status, contact=4 * DAY, gate=SHUT).state
    assert (found is State.SILENT) != (status is PAUSED and state in WAIT_FOR_US)


def test_patience_is_as_long_as_the_settings_say() -> None:
    quick = Cadences(silent_after_hours=2, stalled_after_hours=1.5)
    assert seen(contact=2 * HOUR, cadences=quick) == Shown(State.QUEUED, "")
    assert seen(contact=2 * HOUR + 1, cadences=quick).state is State.SILENT
    assert seen(progress_at=NOW - 90 * MINUTE, cadences=quick) == Shown(State.QUEUED, "")
    assert seen(progress_at=NOW - 90 * MINUTE - 1, cadences=quick) == Shown(
        State.STALLED, "no progress for 1 hours, last state: queued"
    )


# --- standstill ---


@pytest.mark.parametrize("newest", ["progress_at", "enforce_at", "started"])
def test_a_standstill_begins_after_two_days_since_the_newest_of_start_progress_and_deadline(newest: str) -> None:
    def after(more: int) -> Shown:
        words: dict[str, Any] = {"progress_at": NOW - 80 * HOUR, "enforce_at": 0, "started": 90 * HOUR}
        words[newest] = 48 * HOUR + more if newest == "started" else NOW - 48 * HOUR - more
        return seen(State.DOWNLOADING, **words)

    assert after(0) == Shown(State.DOWNLOADING, "")
    assert after(1) == Shown(State.STALLED, "no progress for 48 hours, last state: downloading")
    assert after(3 * HOUR - 1).reason == "no progress for 50 hours, last state: downloading"


def test_before_its_deadline_nothing_need_happen_on_a_declared_device() -> None:
    words = {"route": Instrument.DECLARATION, "armed": Armed.ON_DEVICE, "progress_at": 0}
    assert seen(State.SCHEDULED, enforce_at=NOW + DAY, **words) == Shown(State.SCHEDULED, "")
    assert seen(State.SCHEDULED, enforce_at=NOW - 3 * DAY, **words).state is State.STALLED


@pytest.mark.parametrize("status", [PAUSED, HALTED])
def test_where_nothing_may_go_on_nothing_stands_still(status: RolloutStatus) -> None:
    assert seen(State.DOWNLOADING, status=status, progress_at=0) == Shown(State.DOWNLOADING, "")


# --- a shut window ---


@pytest.mark.parametrize("state", sorted(WAIT_FOR_US))
def test_who_waits_for_a_window_is_held_or_downloaded_with_the_reason(state: State) -> None:
    assert seen(state, gate=SHUT) == Shown(State.HELD, "window shut")
    assert seen(state, gate=SHUT._replace(why="black-out until 2026-12-18")).reason == "black-out until 2026-12-18"
    assert seen(state, gate=SHUT, ready=True) == Shown(State.DOWNLOADED, "window shut")
    assert seen(state, gate=OPEN, ready=True) == Shown(state, "")


def test_what_does_not_wait_for_us_does_not_mind_the_window() -> None:
    for state in UNDER_WAY - WAIT_FOR_US:
        assert seen(state, gate=SHUT) == Shown(state, "")


@pytest.mark.parametrize(("shut_for", "found"), [(48 * HOUR + 1, State.HELD), (48 * HOUR, State.STALLED)])
def test_kept_waiting_for_longer_than_patience_lasts_is_no_standstill(shut_for: int, found: State) -> None:
    gate = Gate(shut_since=NOW - shut_for)
    assert seen(State.HELD, gate=gate, progress_at=0).state is found
    assert seen(State.HELD, gate=gate, contact=4 * DAY, progress_at=0).state is State.SILENT


def test_a_window_shut_for_as_long_as_one_thinks_keeps_waiting() -> None:
    assert seen(State.KNOCKING, gate=Gate(), progress_at=0) == Shown(State.HELD, "window shut")


# --- whose move it is ---


@pytest.mark.parametrize(
    ("state", "title", "owner"),
    [
        (State.SILENT, "Silent", Owner.TECHNICIAN),
        (State.STALLED, "Stalled", Owner.ADMIN),
        (State.UNKNOWN, "Unknown", Owner.ADMIN),
    ],
)
def test_a_state_of_attention_says_whose_move_it_is_whatever_failed_before(
    state: State, title: str, owner: Owner
) -> None:
    need = need_of(state, "space")
    assert (need.title, need.owner, need.retry) == (title, owner, Retry.LATER)
    assert need.meaning.endswith(".")
    assert need.remedy.endswith(".")


@pytest.mark.parametrize(
    ("state", "failure", "name"),
    [
        (State.FAILED, "space", "space"),
        (State.EXPIRED, "space", "space"),
        (State.EXPIRED, "", "deadline"),
        (State.FAILED, "", "unknown"),
        (State.FAILED, "XDomain 7", "XDomain 7"),
    ],
)
def test_a_failure_is_counted_by_its_cause_and_an_end_without_one_by_the_deadline(
    state: State, failure: str, name: str
) -> None:
    assert cause_name(state, failure) == name


def test_a_cause_is_told_with_its_remedy_and_one_that_nobody_knows_by_its_own_words() -> None:
    assert need_of(State.FAILED, "space").title == "Not enough space"
    assert need_of(State.FAILED, "XDomain 7").title == "XDomain 7"
    assert need_of(State.EXPIRED) == need_of(State.FAILED, "deadline")


def test_those_in_need_are_the_lost_and_the_states_of_attention() -> None:
    assert set(IN_NEED) == {State.FAILED, State.EXPIRED, State.SILENT, State.STALLED, State.UNKNOWN}
    assert len(IN_NEED) == 5
