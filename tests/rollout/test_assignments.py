"""The second instrument: facts whose order cannot matter, and the steps that are read off them."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.terms import InstallAction, Platform, RequestType
from osupdate_kit.rollout.assignments import (
    GIVE,
    LATE,
    TAKE,
    Assignment,
    Said,
    Told,
    armed,
    held,
    must_be_told,
    newest,
    of_rollout,
)
from osupdate_kit.rollout.engine import Act, Ask, Assign, Intend, SayAgain, may_send, may_send_assignment, next_steps
from osupdate_kit.rollout.events import EventKind, RolloutEvent
from osupdate_kit.rollout.journey import Armed, Box, Instrument
from osupdate_kit.rollout.policy import DAY, HOUR, Cadences, Gate, Steps
from osupdate_kit.rollout.state import Course, Facts, State, fold, route, state_of

KEY = DeviceKey("school", "A")
NOW = 1_800_000_000_000_000
STEPS = Steps(actions=(InstallAction.DOWNLOAD_ONLY, InstallAction.INSTALL_ASAP))
DECLARED = Course(1, STEPS, instrument=Instrument.DECLARATION, platform=Platform.IPADOS, can_declare=True)
COMMANDED = DECLARED._replace(instrument=Instrument.COMMAND)
OPEN = Gate(open_since=NOW - HOUR, changes_at=NOW + DAY)
SET = "osupdate-kit-r1-0123456789"


def event(kind: EventKind, outbox: int = 0, *, at: int = 0, rollout: int = 1, **evidence: object) -> RolloutEvent:
    return RolloutEvent(
        key=KEY,
        kind=kind,
        at=NOW + at,
        recorded_at=NOW + at,
        digest=f"{kind}:{outbox}:{at}",
        server_at=NOW + at,
        rollout=rollout,
        outbox=outbox,
        evidence=evidence,
    )


def assignment(kind: EventKind, outbox: int, role: int = GIVE, **more: object) -> RolloutEvent:
    words = {"set": SET, "enforce_at": NOW + 3 * DAY, **more}
    return event(kind, outbox, at=outbox, of="assignment", role=role, **words)


def told(outbox: int, answer: str = "acknowledged") -> RolloutEvent:
    return event(
        EventKind.ANSWERED, outbox, at=outbox, of="query", type=RequestType.DECLARATIVE_MANAGEMENT, answer=answer
    )


def report(at: int, *said: tuple[str, str], outbox: int = 5, **more: object) -> RolloutEvent:
    return event(EventKind.REPORTED, outbox, at=at, of="report", said=[list(pair) for pair in said], **more)


def folded(*events: RolloutEvent) -> Facts:
    facts = Facts()
    for one in events:
        facts = fold(facts, one)
    return facts


GIVEN = (assignment(EventKind.INTENDED, 5), assignment(EventKind.SENDING, 5), assignment(EventKind.QUEUED, 5))
AGAIN = LATE + 20  # the outbox row of what is said once more, and when
TAKEN = tuple(assignment(kind, 9, TAKE) for kind in (EventKind.INTENDED, EventKind.SENDING, EventKind.QUEUED))


def acts(facts: Facts, course: Course = DECLARED, gate: Gate = OPEN) -> list[object]:
    return [act for act in next_steps(facts, course, gate, NOW, Cadences()).acts if isinstance(act, Assign | Intend)]


def asks_to_synchronise(facts: Facts, gate: Gate = OPEN) -> bool:
    found = next_steps(facts, DECLARED, gate, NOW, Cadences()).acts
    return any(isinstance(act, Ask) and act.request_type is RequestType.DECLARATIVE_MANAGEMENT for act in found)


@given(st.data())
def test_order_and_repeats_cannot_matter(data: st.DataObject) -> None:
    events = [
        *GIVEN, *TAKEN, told(6), told(7, "failed"), told(10), *settled(12, given_up=True), *settled(15, again=True),
        report(20, ("state", "downloading"), progress=6_200),
        report(21, ("state", "failed"), ("failure", "1: space"), failures=1, failure=["failed", "space"]),
        report(21, ("state", "none"), invalid=True, failure=["invalid", "why"]),
        report(30, ("state", "prepared"), os_version="26.1", proves=[1]),
    ]  # fmt: skip
    shuffled = data.draw(st.permutations(events))
    again = data.draw(st.lists(st.sampled_from(events)))
    assert folded(*shuffled, *again).to_json() == folded(*events).to_json()


@given(st.lists(st.sampled_from([*GIVEN, *TAKEN, told(6), told(7, "failed"), report(20, ("state", "none"))])))
def test_facts_are_read_as_they_were_written(events: list[RolloutEvent]) -> None:
    facts = folded(*events)
    assert Facts.from_json(facts.to_json()) == facts


def test_a_device_that_goes_by_declaration_is_assigned_and_never_sent_a_step() -> None:
    assert acts(Facts()) == [Assign(GIVE)]
    assert acts(folded(GIVEN[0])) == []  # the sender has it
    assert acts(folded(*GIVEN)) == []


def test_nothing_is_assigned_outside_the_window_nor_where_a_person_keeps_it() -> None:
    shut = Gate(0, NOW + HOUR)
    assert acts(Facts(), gate=shut) == acts(Facts(), gate=Gate(why="held", stopped=True)) == []
    facts = folded(GIVEN[0])
    assert may_send_assignment(facts, DECLARED, 5, OPEN)
    assert not may_send_assignment(facts, DECLARED, 5, shut)


def test_a_shut_window_takes_nothing_back_and_a_person_does() -> None:
    facts = folded(*GIVEN)
    assert acts(facts, gate=Gate(0, NOW + HOUR)) == []
    assert acts(facts, gate=Gate(stopped=True)) == [Assign(TAKE, SET)]
    taking = folded(*GIVEN, TAKEN[0])
    assert may_send_assignment(taking, DECLARED, 9, Gate(stopped=True))
    assert not may_send_assignment(taking, DECLARED, 9, OPEN)  # resumed meanwhile


def test_what_is_done_is_taken_back_and_the_device_told() -> None:
    facts = folded(*GIVEN, told(6), report(20, ("state", "none"), os_version="27.1", proves=[1]))
    assert state_of(facts, DECLARED, OPEN.open_since) is State.DONE
    assert acts(facts) == [Assign(TAKE, SET)]
    after = fold(fold(fold(facts, TAKEN[0]), TAKEN[1]), TAKEN[2])
    assert acts(after) == []
    assert asks_to_synchronise(after)
    assert not asks_to_synchronise(fold(after, told(10)))


def settled(number: int, role: int = GIVE, *, given_up: bool = False, **more: object) -> tuple[RolloutEvent, ...]:
    words = {"given_up": True} if given_up else {}
    kinds = (EventKind.INTENDED, EventKind.SENDING)
    return *(assignment(kind, number, role, **more) for kind in kinds), assignment(
        EventKind.QUEUED, number, role, **more, **words
    )


def said_again(facts: Facts, at: int, *, stopped: bool = False, opens: bool = True) -> tuple[Act, ...]:
    gate = Gate(NOW - HOUR if opens and not stopped else 0, NOW + 9 * DAY, stopped=stopped)
    found = next_steps(facts, DECLARED, gate, NOW + at, Cadences())
    return tuple(act for act in found.acts if isinstance(act, Assign | SayAgain))


def test_what_the_last_word_was_is_said_once_more_when_a_call_without_answer_may_have_come_since() -> None:
    facts = folded(*settled(5, given_up=True), told(6))
    assert not said_again(facts, LATE + 4)
    assert next_steps(facts, DECLARED, Gate(NOW - HOUR, 0), NOW + LATE - HOUR, Cadences()).due_at == NOW + LATE + 5
    assert said_again(facts, LATE + 5) == (SayAgain(5),)
    assert not said_again(facts, LATE + 5, opens=False)  # what gives waits for its hour, what takes back does not
    assert said_again(facts, LATE + 5, stopped=True) == (Assign(TAKE, SET),)
    assert not said_again(folded(*settled(5), told(6)), LATE + 5)

    taken = folded(*settled(5, given_up=True), told(6), *settled(9, TAKE))
    assert said_again(taken, 20) == (Assign(GIVE),)  # nobody waits a day for it
    assert said_again(taken, LATE + 5, stopped=True) == (SayAgain(9),)
    assert said_again(taken, LATE + 5, opens=False) == (SayAgain(9),)
    newer = folded(*settled(5, given_up=True), *settled(9, TAKE), *settled(12, set="t"))
    assert said_again(newer, LATE + 5) == (SayAgain(12, (SET,)),)


def test_what_two_have_begun_to_take_back_is_still_what_was_given() -> None:
    taking = [assignment(EventKind.SENDING, number, TAKE) for number in (7, 9)]
    assert held(folded(*settled(5), *taking).assignments) == held(folded(*settled(5)).assignments)


@pytest.mark.parametrize("role", [GIVE, TAKE])
def test_what_is_said_once_more_changes_nothing_but_that_the_device_is_told(role: int) -> None:
    before = [*settled(5, given_up=True), told(6), *(settled(9, TAKE) if role == TAKE else ()), told(10)]
    once, again = folded(*before), list(settled(AGAIN, role, again=True))
    stopped = role == TAKE
    for known in range(1, 4):
        facts = folded(*before, *again[:known])
        assert held(facts.assignments) == held(once.assignments)
        assert (armed(facts.assignments, facts.told), state_of(facts, DECLARED, OPEN.open_since)) == (
            armed(once.assignments, once.told), state_of(once, DECLARED, OPEN.open_since),
        )  # fmt: skip
        if known == 1:
            assert may_send_assignment(facts, DECLARED, AGAIN, Gate(stopped=True) if stopped else OPEN)
        assert not said_again(facts, 2 * LATE, stopped=stopped)
    gate = Gate(stopped=True) if stopped else OPEN
    assert must_be_told(facts.assignments, facts.told, 0)
    assert asks_to_synchronise(facts, gate)
    assert not asks_to_synchronise(fold(facts, told(AGAIN + 1)), gate)


def test_what_the_server_refuses_to_be_told_once_more_waits_another_day_and_fails_nobody() -> None:
    refused = assignment(EventKind.REFUSED, 20, again=True)
    facts = folded(*settled(5, given_up=True), told(6), refused)
    assert not said_again(facts, LATE + 19)
    assert said_again(facts, LATE + 20) == (SayAgain(5),)
    once = DECLARED._replace(steps=Steps(actions=STEPS.actions, tries=1))
    assert state_of(facts, once, OPEN.open_since) is State.SCHEDULED


def test_a_device_that_was_never_told_need_not_be_told_that_it_is_over() -> None:
    assert not asks_to_synchronise(folded(*GIVEN, *TAKEN))


def test_a_device_that_enrols_anew_is_told_again() -> None:
    facts = folded(*GIVEN, told(6))
    assert not asks_to_synchronise(facts)
    assert asks_to_synchronise(fold(facts, event(EventKind.AUTHENTICATED, at=40)))


@pytest.mark.parametrize(
    ("events", "state", "armed"),
    [
        ((), State.HELD, Armed.NO),
        (GIVEN[:2], State.QUEUED, Armed.ON_SERVER),
        (GIVEN, State.QUEUED, Armed.ON_SERVER),
        ((*GIVEN, told(6)), State.SCHEDULED, Armed.ON_DEVICE),
        ((*GIVEN, told(6), report(20, ("state", "waiting"))), State.SCHEDULED, Armed.ON_DEVICE),
        ((*GIVEN, told(6), report(20, ("state", "downloading"))), State.DOWNLOADING, Armed.ON_DEVICE),
        ((*GIVEN, told(6), report(20, ("state", "prepared"))), State.DOWNLOADED, Armed.ON_DEVICE),
        ((*GIVEN, told(6), report(20, ("state", "installing"))), State.INSTALLING, Armed.ON_DEVICE),
        ((*GIVEN, told(6), report(20, ("state", "failed"), failures=1)), State.SCHEDULED, Armed.ON_DEVICE),
        ((*GIVEN, told(6), report(20, ("state", "failed"), failures=3)), State.FAILED, Armed.ON_DEVICE),
        ((*GIVEN, told(6, "failed")), State.FAILED, Armed.ON_SERVER),
        ((*GIVEN, told(6), report(20, invalid=True)), State.VERIFYING, Armed.ON_DEVICE),
        ((*GIVEN, told(6), report(20, invalid=True), report(21, os_version="26.0")), State.FAILED, Armed.ON_DEVICE),
        ((*GIVEN, *TAKEN), State.HELD, Armed.NO),
        ((*GIVEN, told(6), *TAKEN), State.HELD, Armed.ON_DEVICE),
        ((*GIVEN, told(6), *TAKEN, told(10)), State.HELD, Armed.NO),
    ],
)  # fmt: skip
def test_states_and_arms(events: tuple[RolloutEvent, ...], state: State, armed: Armed) -> None:
    version27 = report(1, os_version="27.0", outbox=0)
    facts = folded(version27, *events)
    assert (state_of(facts, DECLARED, OPEN.open_since), facts.armed) == (state, armed)


def test_a_device_that_failed_is_taken_back() -> None:
    facts = folded(*GIVEN, told(6), report(20, ("state", "failed"), failures=3))
    assert acts(facts) == [Assign(TAKE, SET)]
    assert acts(fold(facts, event(EventKind.RETRIED, 5))) == []  # tries anew: the assignment stands


def test_the_instrument_changes_where_the_os_crosses_the_line() -> None:
    assert route(Facts(), COMMANDED) is Instrument.COMMAND
    crossed = folded(report(1, os_version="27.0", outbox=0))
    assert route(crossed, COMMANDED) is Instrument.DECLARATION
    assert acts(crossed, COMMANDED) == [Assign(GIVE)]
    assert route(crossed, COMMANDED._replace(can_declare=False)) is Instrument.COMMAND
    refused = folded(report(1, os_version="26.0", outbox=0), *GIVEN, told(6, "failed"))
    assert route(refused, DECLARED) is Instrument.COMMAND
    assert acts(refused) == [Assign(TAKE, SET)]


def step(kind: EventKind, outbox: int, **more: object) -> RolloutEvent:
    return event(kind, outbox, at=outbox, of="step", role=2, action="InstallASAP", **more)


def test_never_a_step_and_a_declaration_at_once() -> None:
    queued = folded(step(EventKind.INTENDED, 2), step(EventKind.SENDING, 2))
    assert acts(queued) == []  # the step may be on the server
    assert acts(folded(step(EventKind.SENDING, 2), step(EventKind.ANSWERED, 2, answer="acknowledged"))) == []
    seen = (event(EventKind.IDLE, at=3), event(EventKind.PUSHED, at=2, of="push", gate=OPEN.open_since))
    declared = folded(*seen, *GIVEN, step(EventKind.INTENDED, 8))
    assert not may_send(declared, COMMANDED, 8, OPEN.open_since)
    assert may_send(folded(*seen, step(EventKind.INTENDED, 8)), COMMANDED, 8, OPEN.open_since)


def test_a_device_that_crossed_the_line_is_done_with_what_it_accepted_before() -> None:
    accepted = folded(step(EventKind.SENDING, 2), step(EventKind.ANSWERED, 2, answer="acknowledged"))
    crossed = fold(accepted, report(40, os_version="27.0", outbox=0))
    assert state_of(crossed, COMMANDED, OPEN.open_since) is State.HELD
    assert acts(crossed, COMMANDED) == [Assign(GIVE)]


def test_an_older_rollouts_declaration_is_taken_back_before_a_new_one_is_given() -> None:
    facts = folded(*GIVEN)
    later = DECLARED._replace(rollout=2)
    assert acts(facts, later) == [Assign(TAKE, SET)]
    assert acts(folded(*GIVEN, *TAKEN), later) == [Assign(GIVE)]


def test_what_the_os_no_longer_answers_is_never_asked() -> None:
    gone = {RequestType.OS_UPDATE_STATUS, RequestType.AVAILABLE_OS_UPDATES, RequestType.SCHEDULE_OS_UPDATE_SCAN}
    histories = permutations([report(1, os_version="27.0", outbox=0), GIVEN[2], told(6)])
    doubtful = [event(EventKind.AUTHENTICATED, at=50), step(EventKind.SENDING, 2)]
    for events in histories:
        for more in ((), *((one,) for one in doubtful)):
            found = next_steps(folded(*events, *more), COMMANDED, OPEN, NOW + 5 * DAY, Cadences()).acts
            assert not [act for act in found if isinstance(act, Ask) and act.request_type in gone]


def test_a_report_is_newest_by_the_servers_clock() -> None:
    late = replace(report(10, ("state", "downloading")), recorded_at=NOW + DAY)
    facts = folded(*GIVEN, told(6), report(20, ("state", "prepared")), late)
    assert facts.said["state"].text == "prepared"


# --- What the rows of one device come to ---

GIVEN_5, TAKEN_9 = Assignment(1, GIVE, Box.QUEUED, SET), Assignment(1, TAKE, Box.QUEUED, SET)


@pytest.mark.parametrize(
    ("role", "box", "counts", "there"),
    [
        (GIVE, Box.INTENDED, True, False),
        (GIVE, Box.SENDING, True, True),  # perhaps
        (GIVE, Box.WITHDRAWN, False, False),
        (GIVE, Box.REFUSED, False, False),
        (GIVE, Box.QUEUED, True, True),
        (TAKE, Box.INTENDED, True, True),
        (TAKE, Box.SENDING, True, True),  # it may not have arrived
        (TAKE, Box.WITHDRAWN, False, True),
        (TAKE, Box.REFUSED, False, True),
        (TAKE, Box.QUEUED, True, False),
    ],
)
def test_an_assignment_stands_on_the_server_from_its_sending_until_its_end_has_arrived(
    role: int, box: Box, counts: bool, there: bool
) -> None:
    one = Assignment(1, role, box, SET)
    assert one.counts is counts
    rows = {5: one} if role == GIVE else {5: GIVEN_5, 9: one}
    if counts:
        assert one.perhaps_there is there
        assert newest(rows) == (max(rows), one)
    elif role == TAKE:
        assert newest(rows) == (5, GIVEN_5)
    assert held(rows) == (min(rows.items()) if there else None)


def test_a_new_assignment_has_not_failed_and_joins_to_the_furthest_of_each() -> None:
    assert Assignment(1) == Assignment(1, GIVE, Box.INTENDED, "", enforce_at=0, failures=0, invalid_at=0, refused_at=0)
    one, other = Assignment(1, GIVE, Box.SENDING, SET, 7, 2, 0, 4), Assignment(1, GIVE, Box.QUEUED, "", 0, 1, 9, 3)
    assert one.join(other) == other.join(one) == Assignment(1, GIVE, Box.QUEUED, SET, 7, 2, 9, 4)
    assert (Told(), Said()) == ((0, 0), (0, ""))


def test_what_a_row_takes_back_is_the_newest_that_was_given_before_it() -> None:
    older, again = GIVEN_5._replace(rollout=2), GIVEN_5._replace(rollout=3)
    ending = TAKEN_9._replace(box=Box.SENDING)
    assert held({3: older, 5: GIVEN_5, 9: ending}) == (5, GIVEN_5)
    assert held({5: GIVEN_5._replace(box=Box.REFUSED), 3: older, 9: ending}) == (3, older)
    assert held({5: GIVEN_5, 9: TAKEN_9, 11: again}) == (11, again)
    assert held({9: ending}) is None
    assert (held({}), newest({})) == (None, None)


def test_what_was_given_for_a_rollout_comes_oldest_first_refused_or_not() -> None:
    refused = GIVEN_5._replace(box=Box.REFUSED)
    rows = {9: TAKEN_9, 7: GIVEN_5, 5: refused, 6: GIVEN_5._replace(rollout=2)}
    assert list(of_rollout(rows, 1)) == [(5, refused), (7, GIVEN_5)]


@pytest.mark.parametrize(
    ("rows", "told", "cleared_at", "must"),
    [
        ({}, Told(), 0, False),
        ({5: GIVEN_5._replace(box=Box.SENDING)}, Told(), 0, False),  # only what the server has done is worth telling
        ({5: GIVEN_5}, Told(), 0, True),
        ({5: GIVEN_5}, Told(4, 40), 0, True),
        ({5: GIVEN_5}, Told(5, 40), 0, False),
        ({5: GIVEN_5}, Told(6, 40), 40, False),
        ({5: GIVEN_5}, Told(6, 40), 41, True),  # it enrolled anew since, and has forgotten all
        ({5: GIVEN_5, 9: TAKEN_9}, Told(), 0, False),  # it never knew
        ({5: GIVEN_5, 9: TAKEN_9}, Told(5, 40), 0, False),
        ({5: GIVEN_5, 9: TAKEN_9}, Told(6, 40), 0, True),
        ({5: GIVEN_5, 9: TAKEN_9}, Told(8, 40), 0, True),
        ({5: GIVEN_5, 9: TAKEN_9}, Told(9, 40), 0, False),
        ({9: TAKEN_9}, Told(6, 40), 0, False),
    ],
)
def test_a_device_is_told_what_it_does_not_know_yet(
    rows: dict[int, Assignment], told: Told, cleared_at: int, must: bool
) -> None:
    assert must_be_told(rows, told, cleared_at) is must


TAKING = TAKEN_9._replace(box=Box.SENDING)


@pytest.mark.parametrize(
    ("rows", "told", "arms"),
    [
        ({}, 0, Armed.NO),
        ({5: GIVEN_5._replace(box=Box.INTENDED)}, 9, Armed.NO),
        ({5: GIVEN_5._replace(box=Box.SENDING)}, 0, Armed.ON_SERVER),
        ({5: GIVEN_5}, 5, Armed.ON_SERVER),
        ({5: GIVEN_5}, 6, Armed.ON_DEVICE),
        ({5: GIVEN_5, 9: TAKEN_9._replace(box=Box.INTENDED)}, 0, Armed.ON_SERVER),
        ({5: GIVEN_5, 9: TAKING}, 5, Armed.ON_SERVER),
        ({5: GIVEN_5, 9: TAKING}, 6, Armed.ON_DEVICE),
        ({5: GIVEN_5, 9: TAKEN_9}, 5, Armed.NO),  # it never knew
        ({5: GIVEN_5, 9: TAKEN_9}, 6, Armed.ON_DEVICE),  # until it is told
        ({5: GIVEN_5, 9: TAKEN_9}, 9, Armed.ON_DEVICE),
        ({5: GIVEN_5, 9: TAKEN_9}, 10, Armed.NO),
        ({9: TAKING}, 6, Armed.NO),
    ],
)
def test_a_declaration_arms_until_the_device_knows_that_it_is_over(
    rows: dict[int, Assignment], told: int, arms: Armed
) -> None:
    assert armed(rows, Told(told)) == (arms, 1 if arms else 0)
