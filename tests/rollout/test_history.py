"""From one device's evidence to its journey and its transitions: what stands in the row, and when it changed."""

from collections import Counter
from itertools import groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.terms import InstallAction, Platform, RequestType
from osupdate_kit.rollout.assignments import GIVE
from osupdate_kit.rollout.events import EventKind, RolloutEvent
from osupdate_kit.rollout.history import Change, Start, changes, corrections, history, journey_of, stored_state
from osupdate_kit.rollout.journey import Armed, Instrument, Journey
from osupdate_kit.rollout.policy import FIRST, INSTALL, Steps
from osupdate_kit.rollout.state import Course, Facts, State, fold
from tests.rollout.test_fold import events

KEY = DeviceKey("mdm", "D")
COURSE = Course(1, Steps(actions=(InstallAction.DOWNLOAD_ONLY, InstallAction.INSTALL_ASAP), tries=2))
DECLARED = COURSE._replace(instrument=Instrument.DECLARATION, platform=Platform.IPADOS, can_declare=True)
LOAD = {"of": "step", "role": FIRST, "action": "DownloadOnly"}
ENTER = {"of": "step", "role": INSTALL, "action": "InstallASAP"}
LOOK = {"of": "query", "type": RequestType.OS_UPDATE_STATUS}
INFO = {"of": "query", "type": RequestType.DEVICE_INFORMATION}


def told(kind: EventKind, at: int, words: dict[str, object], *, outbox: int = 0, rollout: int = 1) -> RolloutEvent:
    """Our clock is 5,000 ahead of the server's; we know of each event 7 later."""
    return RolloutEvent(
        key=KEY, kind=kind, at=at + 5_000, recorded_at=at + 5_007, digest="", server_at=at, rollout=rollout,
        outbox=outbox, evidence=words, seq=at,
    )  # fmt: skip


def facts_of(*history: RolloutEvent) -> Facts:
    facts = Facts()
    for event in history:
        facts = fold(facts, event)
    return facts


def journey(
    *history: RolloutEvent, course: Course = COURSE, target: str = "26.1", state: State | None = None
) -> Journey:
    return journey_of(KEY, facts_of(*history), course, target, seq=9, state=state)


def test_a_device_of_which_nothing_is_known_is_held_and_claims_nothing() -> None:
    assert journey() == Journey(rollout=1, key=KEY, state="held", updated_seq=9)


def test_what_the_device_said_last_dates_the_journey_and_what_we_did_does_not() -> None:
    answered = told(EventKind.ANSWERED, 20, {**LOAD, "answer": "acknowledged", "progress": 1_000}, outbox=1)
    sent = told(EventKind.SENDING, 30, ENTER, outbox=2)
    found = journey(answered, sent)
    assert (found.updated_at, found.progress_at, found.updated_seq) == (5_027, 5_027, 9)
    found = journey(answered, sent, told(EventKind.IDLE, 40, {}))
    assert (found.updated_at, found.progress_at) == (5_047, 5_027)


def test_commands_are_counted_from_the_moment_they_may_be_on_the_wire() -> None:
    of_kind = [EventKind.INTENDED, EventKind.WITHDRAWN, EventKind.SENDING, EventKind.REFUSED, EventKind.QUEUED]
    steps = [told(kind, number, LOAD, outbox=number) for number, kind in enumerate(of_kind, 1)]
    assert [journey(one).commands_sent for one in steps] == [0, 0, 1, 1, 1]
    assert journey(*steps, told(EventKind.SENDING, 9, LOAD, outbox=9, rollout=2)).commands_sent == 3
    given = {"of": "assignment", "role": GIVE, "set": "s", "enforce_at": 0}
    gives = [told(kind, number + 10, given, outbox=number + 10) for number, kind in enumerate(of_kind, 1)]
    assert [journey(one).commands_sent for one in gives] == [0, 0, 1, 0, 1]  # refused: it was never assigned
    assert journey(*steps, *gives).commands_sent == 5


def test_the_newest_step_of_the_rollout_says_what_was_asked_and_what_came_back() -> None:
    load = told(EventKind.ANSWERED, 20, {**LOAD, "answer": "acknowledged", "returned": "NotifyOnly"}, outbox=1)
    found = journey(load)
    assert (found.action_asked, found.action_returned) == ("DownloadOnly", "NotifyOnly")
    found = journey(
        load, told(EventKind.SENDING, 30, ENTER, outbox=2), told(EventKind.SENDING, 40, LOAD, outbox=3, rollout=2)
    )
    assert (found.action_asked, found.action_returned, found.armed) == ("InstallASAP", "", Armed.ON_SERVER)


def test_deferrals_are_told_only_of_a_device_that_counts_them() -> None:
    found = journey(told(EventKind.ANSWERED, 20, {**LOOK, "deferrals": [5, 2, 99]}, outbox=1))
    assert (found.deferrals_used, found.deferrals_remaining) == (3, 2)
    assert (journey().deferrals_used, journey().deferrals_remaining) == (None, None)


@pytest.mark.parametrize(
    ("reported", "target", "regressed"),
    [
        ("26.0.9", "26.1", True),
        ("26.1", "26.1", False),
        ("26.10", "26.9", False),
        ("", "26.1", False),
        ("26.0", "", False),
    ],
)
def test_a_done_device_that_reports_less_has_regressed(reported: str, target: str, regressed: bool) -> None:
    proof = told(EventKind.ANSWERED, 20, {**INFO, "os_version": "26.1", "build": "", "proves": [1]}, outbox=1)
    later = told(EventKind.ANSWERED, 30, {**INFO, "os_version": reported, "build": ""}, outbox=2)
    found = journey(proof, later, target=target)
    assert (found.state, found.regressed, found.done_at, found.os_version) == ("done", regressed, 5_020, reported)
    assert not journey(later, target=target).regressed


def test_a_cause_is_told_and_a_failure_without_one_says_so() -> None:
    why = {"failure": ["space", "It is full."]}
    assert journey(told(EventKind.ANSWERED, 20, {**LOAD, "answer": "failed", **why}, outbox=1)).failure == "space"
    once = COURSE._replace(steps=Steps(actions=COURSE.steps.actions, tries=1))
    silent = told(EventKind.ANSWERED, 20, {**LOAD, "answer": "failed"}, outbox=1)
    assert (journey(silent).state, journey(silent).failure, journey(silent).failure_text) == ("held", "", "")
    found = journey(silent, course=once)
    assert (found.state, found.failure) == ("failed", "unknown")
    assert "no cause" in found.failure_text


def test_a_download_is_there_by_the_devices_look_or_by_its_report() -> None:
    assert journey(told(EventKind.ANSWERED, 20, {**LOOK, "look": "ready"}, outbox=1)).ready
    assert not journey(told(EventKind.ANSWERED, 20, {**LOOK, "look": "loading"}, outbox=1)).ready
    assert not journey(course=DECLARED).ready
    words = {"of": "assignment", "role": GIVE, "set": "s", "enforce_at": 777}
    declared = [
        told(EventKind.QUEUED, 10, words, outbox=5),
        told(EventKind.ANSWERED, 20, {"of": "query", "type": RequestType.DECLARATIVE_MANAGEMENT}, outbox=6),
        told(EventKind.REPORTED, 30, {"of": "report", "said": [["state", "prepared"]]}, outbox=5),
    ]
    found = journey(*declared, course=DECLARED)
    assert (found.state, found.ready, found.route, found.enforce_at) == ("downloaded", True, "declaration", 777)
    later = {EventKind.INTENDED: 777, EventKind.WITHDRAWN: 777, EventKind.SENDING: 888, EventKind.REFUSED: 888}
    for kind, enforce_at in later.items():  # the newest deadline that was ever on its way
        again = told(kind, 40, {**words, "enforce_at": 888}, outbox=7)
        assert journey(*declared, again, course=DECLARED).enforce_at == enforce_at


def test_a_state_that_the_caller_has_read_already_is_taken() -> None:
    assert journey(state=State.KNOCKING).state == "knocking"


# --- transitions ---


def push(at: int, gate: int = 3_000) -> RolloutEvent:
    return told(EventKind.SENDING, at, {"of": "push", "gate": gate})


def test_a_knock_shows_in_whatever_window_it_was() -> None:
    assert stored_state(Facts(), COURSE) is State.HELD
    assert stored_state(facts_of(push(10)), COURSE) is State.KNOCKING
    assert stored_state(facts_of(push(10, gate=0)), COURSE) is State.HELD  # woken for a question


def test_each_change_takes_the_device_from_one_state_to_the_next() -> None:
    events = [push(10), told(EventKind.SENDING, 20, LOAD, outbox=1), told(EventKind.QUEUED, 30, LOAD, outbox=1)]
    assert history(events, COURSE, Start(at=5_005, seq=0)) == [
        Change(5_010, "held", -1),
        Change(5_010, "knocking", 1),
        Change(5_020, "knocking", -1),
        Change(5_020, "queued", 1),
    ]
    assert changes("held", "held", 7) == []


def test_what_happened_before_the_start_counts_from_the_start() -> None:
    early = [push(10), told(EventKind.SENDING, 20, LOAD, outbox=1)]
    late = told(EventKind.ANSWERED, 90, {**LOAD, "answer": "not_now"}, outbox=1)
    found = history([*early, late], COURSE, Start(at=5_050, seq=20))
    assert [(change.at, change.state) for change in found if change.sign > 0] == [
        (5_050, "knocking"), (5_050, "queued"), (5_090, "not_now"),
    ]  # fmt: skip


def test_a_device_that_nothing_has_happened_to_since_the_start_stays_as_it_began() -> None:
    early = [push(10)]
    assert history(early, COURSE, Start(at=5_005, seq=10)) == history(early, COURSE, Start(at=5_005, seq=900)) == []
    assert history(early, COURSE, Start(at=5_005, seq=9))


def test_late_news_stands_where_it_happened() -> None:
    sent, answered = (
        told(EventKind.SENDING, 20, LOAD, outbox=1),
        told(EventKind.ANSWERED, 30, {**LOAD, "answer": "not_now"}, outbox=1),
    )
    late = replace(push(10), seq=99)
    start = Start(at=5_000, seq=0)
    assert history([sent, answered, late], COURSE, start) == history([push(10), sent, answered], COURSE, start)
    same = [
        replace(event, at=5_020) for event in (answered, sent)
    ]  # of one instant, the one recorded first comes first
    assert [c.state for c in history(same, COURSE, start) if c.sign > 0] == ["queued", "not_now"]


@given(st.lists(events(), max_size=8), st.integers(0, 8))
def test_at_every_instant_the_device_is_in_exactly_one_state(evidence: list[RolloutEvent], before: int) -> None:
    numbered = [replace(event, seq=number) for number, event in enumerate(evidence, 1)]
    start = Start(at=min((event.at for event in numbered), default=0) + 60, seq=before)
    found = [Change(start.at, "held", 1), *history(numbered, COURSE, start)]
    assert all(one.at <= other.at for one, other in pairwise(found))
    count: Counter[str] = Counter()
    for _, together in groupby(found, lambda change: change.at):
        for change in together:
            count[change.state] += change.sign
        assert sorted(count.values())[-1:] == [1]
        assert sum(count.values()) == 1
    if len(numbered) > before:
        assert count[stored_state(facts_of(*numbered), COURSE)] == 1


CHANGES = st.lists(st.builds(Change, st.integers(0, 3), st.sampled_from(["held", "done"]), st.sampled_from([-1, 1])))


@given(CHANGES, CHANGES)
def test_what_is_appended_makes_the_known_sums_the_true_ones(known: list[Change], true: list[Change]) -> None:
    more = list(corrections(known, true))
    sums = [Counter[tuple[int, str]](), Counter[tuple[int, str]]()]
    for found, total in zip(([*known, *more], true), sums, strict=True):
        for change in found:
            total[change.at, change.state] += change.sign
    assert sums[0] == sums[1]
    assert more == sorted(more, key=lambda change: (change.at, change.state))
    assert not list(corrections([*known, *more], true))
