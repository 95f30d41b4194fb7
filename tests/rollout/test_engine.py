"""The next step where the model does not look: timers, questions in pairs, scans and lists, declarations, causes."""

from itertools import count
from typing import Any

import pytest

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.terms import InstallAction, RequestType
from osupdate_kit.rollout.assignments import GIVE, TAKE
from osupdate_kit.rollout.engine import (
    Ask,
    Assign,
    Intend,
    Possible,
    Push,
    asks_by_key,
    may_assign,
    may_send,
    may_send_assignment,
    may_wake,
    next_assignment,
    next_steps,
    only_downloads,
    possible,
    wants_declaration,
)
from osupdate_kit.rollout.events import EventKind, RolloutEvent
from osupdate_kit.rollout.history import journey_of
from osupdate_kit.rollout.policy import DAY, FIRST, HOUR, INSTALL, MINUTE, Cadences, Gate, Steps
from osupdate_kit.rollout.state import Course, Facts, Item, Listed, State, fold, state_of
from osupdate_kit.rollout.targets import Target
from tests.rollout import test_state as s

KEY = DeviceKey("s", "D")
TWICE = Course(1, Steps(actions=(InstallAction.DEFAULT, InstallAction.DEFAULT)))
ONCE = Course(1, Steps(actions=(InstallAction.INSTALL_ASAP,), tries=1))
GATE = 1_000
_numbers = count(1)


def told(facts: Facts, kind: EventKind, at: int, *, outbox: int = 0, rollout: int = 1, **words: object) -> Facts:
    event = RolloutEvent(
        key=KEY, kind=kind, at=at, recorded_at=at, digest=str(next(_numbers)), server_at=at, rollout=rollout,
        outbox=outbox, evidence=words,
    )  # fmt: skip
    return fold(facts, event)


def step(facts: Facts, outbox: int, at: int, *, role: int, action: str, rollout: int = 1, **answer: object) -> Facts:
    words = {"of": "step", "role": role, "action": action}
    facts = told(facts, EventKind.SENDING, at, outbox=outbox, rollout=rollout, **words)
    return told(facts, EventKind.ANSWERED, at + 1, outbox=outbox, rollout=rollout, **words, **answer)


def looked(facts: Facts, at: int, look: str) -> Facts:
    facts = told(facts, EventKind.ANSWERED, at, outbox=at, of="query", type="OSUpdateStatus", look=look)
    return told(facts, EventKind.ANSWERED, at, outbox=at, of="query", type="DeviceInformation", os_version="26.0")


def test_one_visit_answers_both_questions() -> None:
    facts = step(Facts(), 1, 2_000, role=INSTALL, action="InstallASAP", answer="acknowledged")
    decision = next_steps(facts, ONCE, Gate(), 2_000 + DAY, Cadences())
    assert [act.request_type for act in decision.acts if isinstance(act, Ask)] == [
        RequestType.OS_UPDATE_STATUS,
        RequestType.DEVICE_INFORMATION,
    ]


def test_a_device_that_enrolled_anew_before_its_first_step_is_asked_both_and_goes_on() -> None:
    facts = told(Facts(), EventKind.AUTHENTICATED, 2_000)
    asked = [act.request_type for act in next_steps(facts, ONCE, Gate(), 2_000 + DAY, Cadences()).acts]  # type: ignore[union-attr]
    assert asked == [RequestType.OS_UPDATE_STATUS, RequestType.DEVICE_INFORMATION]
    assert not possible(facts, ONCE, GATE).knock
    assert possible(looked(facts, 3_000, "nothing"), ONCE, GATE).knock


def test_a_first_default_that_the_device_takes_for_the_install_is_an_install() -> None:
    words = {"role": FIRST, "action": "Default", "answer": "acknowledged"}
    downloads = looked(step(Facts(), 1, 2_000, **words, returned="DownloadOnly"), 3_000, "ready")  # type: ignore[arg-type]
    installs = looked(step(Facts(), 1, 2_000, **words, returned="InstallASAP"), 3_000, "ready")  # type: ignore[arg-type]
    assert possible(downloads, TWICE, GATE).knock
    assert not possible(installs, TWICE, GATE).knock
    assert state_of(installs, TWICE, GATE) is State.DEFERRED


def test_a_download_that_goes_on_after_an_error_is_waited_for() -> None:
    once = ONCE._replace(steps=Steps(actions=ONCE.steps.actions, tries=3))
    failed = step(Facts(), 1, 2_000, role=INSTALL, action="InstallASAP", answer="failed")
    loading, nothing = looked(failed, 3_000, "loading"), looked(failed, 3_000, "nothing")
    assert state_of(loading, once, GATE) is State.DOWNLOADING
    assert not possible(loading, once, GATE).knock
    assert possible(nothing, once, GATE).knock


def test_each_rollout_keeps_the_cause_of_its_own_failure() -> None:
    words = {"role": INSTALL, "action": "InstallASAP", "answer": "failed"}
    facts = step(Facts(), 1, 2_000, **words, failure=["condition", "no space"])  # type: ignore[arg-type]
    facts = step(facts, 2, 3_000, rollout=2, **words, failure=["condition", "no power"])  # type: ignore[arg-type]
    causes = [journey_of(KEY, facts, ONCE._replace(rollout=n), "26.1").failure_text for n in (1, 2)]
    assert causes == ["no space", "no power"]


def test_a_failure_that_nobody_explains_says_so() -> None:
    facts = step(Facts(), 1, 2_000, role=INSTALL, action="InstallASAP", answer="acknowledged")
    facts = told(facts, EventKind.ABANDONED, 3_000, outbox=1, of="step", role=INSTALL, action="InstallASAP")
    journey = journey_of(KEY, looked(facts, 4_000, "ready"), ONCE, "26.1")
    assert (journey.state, bool(journey.failure), bool(journey.failure_text)) == ("failed", True, True)


def test_a_list_proves_an_item_gone_only_if_it_can_be_read_and_is_new_enough() -> None:
    target = Target(product_key="052-1")
    gone, unreadable = Listed(30, (Item("052-2", "1.0", ""),)), Listed(30, (Item("", "1.0", ""),))
    assert target.gone_from(gone, scanned_at=20, after=10)
    assert not target.gone_from(unreadable, scanned_at=20, after=10)
    assert not target.gone_from(gone, scanned_at=20, after=0)
    assert not target.gone_from(gone, scanned_at=20, after=25)


def test_a_step_of_an_older_rollout_is_asked_after_as_often_as_ones_own() -> None:
    facts = told(Facts(), EventKind.SENDING, 2_000, outbox=1, rollout=1, of="step", role=INSTALL, action="InstallASAP")
    facts = told(facts, EventKind.ANSWERED, 3_000, outbox=2, rollout=2, of="query", type="OSUpdateStatus")
    later = 3_000 + 2 * HOUR
    decision = next_steps(facts, ONCE._replace(rollout=2), Gate(), later, Cadences())
    assert any(isinstance(act, Ask) for act in decision.acts)


# --- Timers: what is due, and when to look again. Minutes on our clock; MORNING is a day in the life of the fleet ---

MORNING = 100_000
PATIENCE = Cadences(
    query_every_hours=20, query_timeout_hours=5, push_again_minutes=40, progress_query_minutes=25,
    doubt_query_minutes=15, retry_backoff_minutes=70, scan_wait_minutes=12,
)  # fmt: skip
HOURS = 60
INFO, LOOK = RequestType.DEVICE_INFORMATION, RequestType.OS_UPDATE_STATUS
SCAN, LIST = RequestType.SCHEDULE_OS_UPDATE_SCAN, RequestType.AVAILABLE_OS_UPDATES
BOTH = [LOOK, INFO]


def server(minute: float) -> int:
    return int((MORNING + minute) * MINUTE)


def clock(minute: float) -> int:
    return s.AHEAD + server(minute)


def opened(minute: float, until: float = 9_000) -> Gate:
    return Gate(clock(minute), clock(until))


def turn(facts: Facts, minute: float, course: Course = s.TWO, gate: Gate | None = None) -> tuple[list[object], float]:
    """What is done then (of a question its type alone), and the minute of the next look."""
    decision = next_steps(facts, course, gate or Gate(), clock(minute), PATIENCE)
    acts: list[object] = [act.request_type if isinstance(act, Ask) else act for act in decision.acts]
    return acts, (decision.due_at - clock(0)) / MINUTE if decision.due_at is not None else -1


def asks_at(minute: int, facts: Facts, course: Course = s.TWO) -> list[object]:
    """What is asked at this minute and not yet a minute before, when it was known that it would be about now."""
    acts, due = turn(facts, minute - 1, course)
    assert (acts, minute - 1 < due <= minute) == ([], True)
    acts, due = turn(facts, minute, course)
    assert due == minute + 5 * HOURS  # nobody answers: then it is asked anew
    return acts


def seen_at(minute: float, look: str = "nothing", **words: Any) -> s.Events:
    return s.look(server(minute), look, **words) + s.info(server(minute))


def asked_at(minute: float, request_type: RequestType, **words: int) -> s.Events:
    return s.asked(request_type, server(minute), **words)


def answered_at(minute: float, request_type: RequestType, rollout: int = 1, **words: Any) -> s.Events:
    words = {"of": "query", "type": request_type, **words}
    return s.news(EventKind.ANSWERED, server(minute), server(minute), rollout=rollout, **words)


def knocked(minute: float, gate: Gate, *, seen: bool = False) -> s.Events:
    words: dict[str, Any] = {"of": "push", "gate": gate.open_since}
    sent = s.news(EventKind.SENDING, server(minute), **words)
    pushed = s.news(EventKind.PUSHED, server(minute), **words)
    return sent + pushed + (s.idle(server(minute) + 1) if seen else ())


def test_a_device_that_never_told_is_asked_at_once_and_then_daily() -> None:
    assert turn(Facts(), 0)[0] == [INFO]  # nothing was sent: what OSUpdateStatus would say is of no use yet
    assert asks_at(20 * HOURS, s.after(seen_at(0))) == [INFO]
    assert asks_at(20 * HOURS + 30, s.after(seen_at(0), s.info(server(30)))) == [INFO]
    assert asks_at(20 * HOURS + 30, s.after(seen_at(0), s.look(server(30), "nothing"))) == [INFO]
    failed = s.after(s.load(1, server(-9), "failed"), seen_at(0))
    assert asks_at(20 * HOURS, failed) == BOTH


def test_a_question_without_an_answer_is_asked_anew_as_patiently_as_the_device_was_silent_before() -> None:
    asked = asked_at(0, INFO)
    for silent_for, patience in ((None, 5), (2, 5), (8, 8), (19, 19), (30, 20)):
        contact = s.idle(server(-silent_for * HOURS)) if silent_for else ()
        assert asks_at(patience * HOURS, s.after(contact, asked)) == [INFO]
    assert asks_at(5 * HOURS, s.after(asked, s.idle(server(60)))) == [INFO]
    assert asks_at(5 * HOURS, s.after(asked_at(-1, INFO), asked_at(0, LOOK))) == [LOOK]  # the older one still waits
    assert asks_at(5 * HOURS, s.after(asked_at(0, LOOK))) == BOTH
    assert turn(s.after(asked_at(0, INFO, rollout=2)), 1)[0] == [INFO]  # another rollout's question is none of ours


def test_a_step_under_way_is_asked_after_ever_less_often_the_longer_nothing_moves() -> None:
    accepted = s.load(1, server(0) - 1, "acknowledged", progress=2_000)

    def looked(minute: int) -> Facts:
        return s.after(accepted, seen_at(minute, "loading"))

    assert asks_at(25, looked(0)) == BOTH
    assert asks_at(267, looked(200)) == BOTH  # a quarter of the time since there was progress: 66 minutes
    assert asks_at(6_000 + 20 * HOURS, looked(6_000)) == BOTH
    waiting = s.after(accepted, seen_at(0, "ready"), s.enter(5, server(0)))
    assert asks_at(25, waiting) == BOTH  # so is an open step


def test_a_device_in_doubt_is_asked_soon_and_then_less_often() -> None:
    def doubtful(*more: s.Events) -> Facts:
        return s.after(s.news(EventKind.FOREIGN, server(0) - 50, late=50), *more)

    assert asks_at(15, doubtful()) == BOTH
    assert asks_at(15, doubtful(seen_at(-1))) == BOTH
    half = s.look(server(100), "nothing")  # the other question is still open
    assert asks_at(134, doubtful(half)) == BOTH
    assert asks_at(5_000 + 20 * HOURS, doubtful(s.look(server(5_000), "nothing"))) == BOTH


def test_a_step_of_ours_at_rest_is_asked_after_once_a_day() -> None:
    held = s.after(s.load(1, server(-9), "failed"), seen_at(0))
    assert asks_at(20 * HOURS, held) == BOTH
    loaded = s.after(s.load(1, server(-9), "acknowledged", progress=2_000), seen_at(0, "ready"))
    assert asks_at(20 * HOURS, loaded) == BOTH


def test_nothing_more_is_due_of_a_device_that_is_done() -> None:
    assert turn(s.after(s.proof(server(0), 1)), 9_000) == ([], -1)


def test_the_next_look_is_the_earliest_of_all_and_never_within_a_minute() -> None:
    asked = s.after(seen_at(0))
    assert turn(asked, 1, gate=Gate(0, clock(30))) == ([], 30)
    assert turn(asked, 1, gate=Gate(0, clock(1.5))) == ([], 2)
    assert turn(asked, 1, gate=Gate(0, clock(9_000))) == ([], 20 * HOURS)
    assert turn(asked, 1, gate=Gate()) == ([], 20 * HOURS)


@pytest.mark.parametrize(
    ("happened", "gate", "wakes"),
    [
        ([], Gate(), True),
        ([s.load(1, 5)], Gate(), True),
        ([s.enter(1, 5)], Gate(), False),  # it would wake a device that may install, outside its window
        ([s.enter(1, 5)], Gate(clock(0), clock(99)), True),
        ([s.enter(1, 5, "failed")], Gate(), True),
    ],
)  # fmt: skip
def test_no_question_wakes_a_device_outside_its_window_that_may_hold_an_install(
    happened: list[s.Events], gate: Gate, wakes: bool
) -> None:
    facts = s.after(*happened)
    asks = [act for act in next_steps(facts, s.TWO, gate, clock(9_000), PATIENCE).acts if isinstance(act, Ask)]
    assert asks
    assert {ask.push for ask in asks} == {wakes}
    assert may_wake(facts, gate.open_since) is wakes


# --- Scan and list ---


def test_a_mac_scans_then_lists_then_steps() -> None:
    gate = opened(0)
    first = s.after(knocked(0, gate, seen=True))
    acts, due = turn(first, 1, s.MAC, gate)
    assert (acts, due) == ([SCAN, INFO], 1 + 5 * HOURS)  # and no step yet
    scanning = s.after(knocked(0, gate, seen=True), asked_at(1, SCAN), answered_at(3, SCAN))
    assert turn(scanning, 14, s.MAC, gate) == ([], 15)
    assert turn(scanning, 15, s.MAC, gate) == ([LIST], 15 + 5 * HOURS)
    listed = s.after(knocked(0, gate, seen=True), asked_at(1, SCAN), answered_at(3, SCAN), answered_at(16, LIST))
    assert turn(listed, 17, s.MAC, gate)[0] == [INFO, Intend(INSTALL)]
    older = s.after(answered_at(3, SCAN, rollout=2), answered_at(16, LIST, rollout=2))
    assert turn(older, 17, s.MAC)[0] == [SCAN, INFO]  # another rollout's list may be old


def test_a_list_that_nobody_answers_is_asked_for_again_with_the_version_behind_it() -> None:
    waits = [answered_at(3, SCAN), answered_at(16, LIST), asked_at(20, LIST)]
    assert turn(s.after(*waits), 20 + 5 * HOURS, s.MAC)[0] == [LIST, INFO]
    assert turn(s.after(*waits, asked_at(21, INFO)), 21 + 5 * HOURS, s.MAC)[0] == [INFO]


def test_a_mac_that_is_declared_needs_no_list() -> None:
    declared = s.DECLARED._replace(listing=True, platform=s.MAC.platform)
    assert turn(Facts(), 0, declared)[0] == [INFO]


ITEM = s.MAC._replace(listing=False, item=True)
INSTALLED = s.enter(1, server(-10) - 1, "acknowledged")  # answered at -10 minutes


@pytest.mark.parametrize(
    ("happened", "minute", "asked"),
    [
        ([seen_at(0)], 1, [SCAN, INFO]),
        ([seen_at(0), answered_at(-20, SCAN)], 1, [SCAN, INFO]),  # older than the install
        ([seen_at(0), answered_at(-10, SCAN)], 1, [SCAN, INFO]),  # no newer than it
        ([seen_at(0), answered_at(-9, SCAN)], 2, []),
        ([seen_at(0), answered_at(-9, SCAN)], 3, [LIST, INFO]),  # the scan has had its 12 minutes
        ([seen_at(0), answered_at(-9, SCAN), answered_at(-5, LIST)], 24, []),  # the list is new
        ([seen_at(-6), answered_at(-9, SCAN), answered_at(-5, LIST)], 1, [INFO]),  # it came late: a report behind it
        ([seen_at(0), answered_at(-5, SCAN), answered_at(-9, LIST)], 7, [LIST, INFO]),
        ([seen_at(1_000), answered_at(-9, SCAN), answered_at(-5, LIST)], 20 * HOURS - 6, []),
        ([seen_at(1_000), answered_at(-9, SCAN), answered_at(-5, LIST)], 20 * HOURS - 5, [SCAN, INFO]),  # a day old
        ([], 1, []),  # in doubt: that comes first
    ],
)
def test_an_item_shows_nowhere_but_in_a_list_that_is_made_anew_after_the_install_and_daily(
    happened: list[s.Events], minute: int, asked: list[object]
) -> None:
    assert turn(s.after(INSTALLED, *happened), minute, ITEM)[0] == asked
    other = turn(s.after(INSTALLED, *happened), minute, ITEM._replace(item=False))[0]
    assert not {SCAN, LIST} & set(other)


def test_an_item_that_was_never_sent_is_looked_for_in_no_list() -> None:
    assert turn(s.after(s.step(EventKind.INTENDED, 1), seen_at(0)), 1, ITEM)[0] == []


def test_a_target_is_asked_by_the_key_that_the_device_listed_for_it() -> None:
    items = (Item("k-1", "26.0", "23A"), Item("k-2", "26.1", "23B"), Item("k-3", "26.1", "23C"))
    facts = Facts(listed=Listed(1, items))
    assert (asks_by_key(facts, "26.1"), asks_by_key(facts, "26.2")) == ("k-2", "")


# --- Knock, then enter ---


def stepping(*happened: s.Events, minute: float, gate: Gate, course: Course = s.TWO) -> tuple[list[object], float]:
    """The same for steps and pushes alone; questions have just been answered."""
    return turn(s.after(*happened, seen_at(minute - 1)), minute, course, gate)


def test_a_device_is_knocked_at_and_entered_when_it_shows_itself() -> None:
    gate = opened(0)
    knock = Push(gate.open_since)
    for course, role in ((s.TWO, FIRST), (s.ONE, INSTALL)):
        assert stepping(minute=5, gate=gate, course=course) == ([knock], 45)
        assert stepping(knocked(5, gate), minute=6, gate=gate, course=course) == ([], 45)
        assert stepping(knocked(5, gate), minute=45, gate=gate, course=course) == ([knock], 85)
        acts, _ = stepping(knocked(5, gate, seen=True), minute=6, gate=gate, course=course)
        assert acts == [Intend(role)]
        assert stepping(knocked(5, gate, seen=True), minute=6, gate=Gate(0, clock(99)), course=course)[0] == []


def test_each_push_again_waits_as_long_as_the_window_has_waited() -> None:
    gate = opened(0)
    assert stepping(knocked(0, gate), knocked(100, gate), minute=199, gate=gate) == ([], 200)
    assert stepping(knocked(0, gate), knocked(100, gate), minute=200, gate=gate)[0] == [Push(gate.open_since)]
    before = s.news(EventKind.SENDING, server(-100), of="push", gate=0)  # woken for a question
    waiting = [before, s.load(1, server(-9))]
    assert stepping(*waiting, minute=5, gate=gate)[0] == [Push(gate.open_since)]
    assert stepping(*waiting, knocked(0, gate), minute=5, gate=gate) == ([], 40)


def test_an_open_step_is_pushed_for_while_the_window_is_open() -> None:
    gate = opened(0)
    for answer in ("", "not_now"):
        waiting = [knocked(0, gate, seen=True), s.enter(1, server(1), answer)]
        assert stepping(*waiting, minute=39, gate=gate)[0] == []
        assert stepping(*waiting, minute=40, gate=gate)[0] == [Push(gate.open_since)]
        assert stepping(*waiting, minute=40, gate=Gate())[0] == []


def test_after_a_failure_it_is_tried_again_in_a_while_by_our_clock() -> None:
    gate = opened(-200)
    seen = knocked(-1, gate, seen=True)
    failed = s.step(EventKind.ANSWERED, 1, server(0) - 90, late=90, action="DownloadOnly", answer="failed")
    assert stepping(seen, failed, minute=69, gate=gate) == ([], 70)
    assert stepping(seen, failed, minute=70, gate=gate)[0] == [Intend(FIRST)]
    others = s.step(EventKind.ANSWERED, 1, server(0), action="DownloadOnly", answer="failed", rollout=2)
    assert stepping(seen, others, minute=1, gate=gate)[0] == [Intend(FIRST)]
    busy = s.load(2, server(-60), "not_now")
    again = stepping(failed, busy, knocked(-300, gate), minute=1, gate=gate)[0]
    assert again == [Push(gate.open_since)]  # what lies on the server is pushed for all the same


# --- What may be sent, asked once more ---

MAY = [s.push(10), s.idle(11)]
INTENDED = s.step(EventKind.INTENDED, 1)
SENDING = s.step(EventKind.SENDING, 1)
LOADING = s.step(EventKind.INTENDED, 1, action="DownloadOnly")


@pytest.mark.parametrize(
    ("happened", "may"),
    [
        ([INTENDED], True),
        ([SENDING], True),  # of unknown outcome: the same again, with the same UUID
        ([s.enter(1, 20)], False),
        ([s.step(EventKind.WITHDRAWN, 1)], False),
        ([s.step(EventKind.REFUSED, 1)], False),
        ([s.step(EventKind.INTENDED, 2)], False),  # no such step
        ([s.step(EventKind.INTENDED, 1, rollout=2)], False),  # a rollout that is over begins nothing
        ([s.step(EventKind.SENDING, 1, rollout=2)], True),
        ([INTENDED, s.proof(20, 1)], False),
        ([SENDING, s.proof(20, 1)], False),
        ([INTENDED, s.proof(20, 2)], True),
        ([INTENDED, s.GONE], False),
        ([INTENDED, s.abandoned(1)], False),
        ([SENDING, s.abandoned(1)], False),
        ([INTENDED, s.FOREIGN], False),
        ([SENDING, s.FOREIGN], False),
        ([INTENDED, s.FOREIGN, s.both(60, "nothing")], True),
        ([INTENDED, s.look(60, "installing")], False),
        ([INTENDED, s.enter(2, 20)], False),  # a second install step beside an open one
        ([SENDING, s.enter(2, 20)], True),
        ([INTENDED, s.enter(2, 20, "acknowledged"), s.both(60, "ready")], False),
        ([INTENDED, s.load(2, 20)], True),
        ([INTENDED, s.given(5)], False),
        ([INTENDED, s.given(5), s.taken(9)], True),
        ([LOADING], True),
        ([LOADING, s.FOREIGN], True),  # a download harms nobody
        ([LOADING, s.enter(2, 20)], False),
        ([LOADING, s.proof(20, 1)], False),
    ],
)
def test_every_condition_is_asked_again_when_a_step_is_sent(happened: list[s.Events], may: bool) -> None:
    facts = s.after(*MAY, *happened)
    assert may_send(facts, s.TWO, 1, s.GATE) is may
    assert not may_send(facts, s.TWO, 1, 0)  # the window has shut meanwhile
    assert not may_send(facts, s.TWO, 1, s.GATE + 1) or facts.steps[1].action == "DownloadOnly"  # not seen in this one


def test_an_install_is_sent_only_to_a_device_seen_since_the_knock_and_a_download_to_any() -> None:
    for knock in ([], [s.push(10)], [s.push(10), s.idle(10)]):
        assert not may_send(s.after(*knock, INTENDED), s.TWO, 1, s.GATE)
        assert not may_send(s.after(*knock, SENDING), s.TWO, 1, s.GATE)
        assert may_send(s.after(*knock, LOADING), s.TWO, 1, s.GATE)


def test_a_server_that_forgets_answered_ids_is_sent_nothing_twice() -> None:
    assert may_send(s.after(*MAY, INTENDED), s.TWO, 1, s.GATE, forgets_answered=True)
    assert not may_send(s.after(*MAY, SENDING), s.TWO, 1, s.GATE, forgets_answered=True)
    assert possible(s.after(s.push(10), SENDING), s.TWO, s.GATE).push
    knocks = [possible(s.after(SENDING), s.TWO, s.GATE, forgets_answered=f).knock for f in (False, True)]
    assert knocks == [True, False]


def test_a_device_that_is_declared_is_sent_no_step() -> None:
    for course in (s.DECLARED, s.CROSSES):
        facts = s.after(*MAY, INTENDED, s.info(30, "27.0"))
        assert not may_send(facts, course, 1, s.GATE)
        assert not possible(s.after(*MAY, s.info(30, "27.0")), course, s.GATE).intend
    assert not possible(s.after(*MAY, s.given(5)), s.TWO, s.GATE).intend  # never both at once
    assert possible(s.after(*MAY, s.given(5), s.taken(9)), s.TWO, s.GATE).intend == FIRST


@pytest.mark.parametrize(
    ("happened", "course", "downloads"),
    [
        ([], s.TWO, True),
        ([], s.LOADS, True),
        ([], s.ONE, False),
        ([], TWICE, False),  # a first Default can install
        ([], s.DECLARED, False),
        ([s.both(20, "loading")], s.TWO, True),
        ([s.both(20, "ready")], s.TWO, False),
        ([s.both(20, "ready")], s.LOADS, True),
        ([s.both(20, "installing")], s.TWO, False),
        ([s.FOREIGN], s.TWO, False),
        ([s.load(1, 10)], s.TWO, True),
        ([s.step(EventKind.INTENDED, 1, action="DownloadOnly")], s.TWO, True),
        ([INTENDED], s.TWO, False),
        ([s.enter(1, 10)], s.TWO, False),
        ([s.enter(1, 10, "acknowledged"), s.both(20, "nothing")], s.TWO, False),
        ([s.enter(1, 10, "failed"), s.both(20, "nothing")], s.TWO, True),
        ([s.step(EventKind.WITHDRAWN, 1)], s.TWO, True),
    ],
)
def test_the_download_window_counts_while_nothing_under_way_can_install(
    happened: list[s.Events], course: Course, downloads: bool
) -> None:
    assert only_downloads(s.after(*happened), course) is downloads


def test_what_ended_or_left_is_stepped_no_more_and_an_intention_is_not_doubled() -> None:
    def intends(*happened: s.Events, course: Course = s.TWO) -> int:
        return possible(s.after(*MAY, *happened), course, s.GATE).intend

    assert (intends(), intends(course=s.ONE), intends(s.both(20, "ready"))) == (FIRST, INSTALL, INSTALL)
    assert intends(s.GONE) == 0
    assert intends(*s.failed(1, 2)) == 0
    assert intends(s.load(1, 10, "acknowledged", action="NotifyOnly"), course=s.NOTIFIES) == 0
    assert intends(s.both(20, "ready"), course=s.LOADS) == 0
    assert intends(LOADING) == intends(INTENDED) == 0
    assert intends(s.step(EventKind.INTENDED, 1, rollout=2)) == 0
    assert intends(s.load(1, 10)) == intends(s.load(1, 10, "not_now")) == intends(s.load(1, 10, "acknowledged")) == 0
    assert intends(*s.failed(1)) == FIRST
    assert intends(s.load(1, 10), s.both(20, "ready")) == INSTALL  # the download came by itself
    assert possible(s.after(s.proof(10, 1)), s.TWO, s.GATE) == Possible(0, False, False, False, False)


# --- The second instrument ---

WANTED = Gate(s.GATE, s.GATE + 99)
STOPPED = Gate(0, 0, stopped=True)
GIVING = s.news(EventKind.INTENDED, 5, 5, of="assignment", role=GIVE, set="s", enforce_at=0)


@pytest.mark.parametrize(
    ("happened", "gate", "wanted"),
    [
        ([], WANTED, True),
        ([], Gate(), True),  # a shut window takes nothing back
        ([], STOPPED, False),
        ([s.GONE], WANTED, False),
        ([s.proof(10, 1)], WANTED, False),
        ([s.proof(10, 2)], WANTED, True),
        ([s.given(5), s.told(6), s.reports(20, failures=2)], WANTED, False),
        ([s.given(5), s.told(6, "failed")], WANTED, False),  # it goes by command now
    ],
)
def test_a_declaration_is_wanted_until_it_is_done_failed_or_stopped(
    happened: list[s.Events], gate: Gate, wanted: bool
) -> None:
    facts = s.after(*happened)
    assert wants_declaration(facts, s.DECLARED, gate) is wanted
    assert not wants_declaration(facts, s.TWO, gate)
    if s.given(5) in happened:
        assert next_assignment(facts, s.DECLARED, gate, 0) == (None if wanted else Assign(TAKE, "s"))


@pytest.mark.parametrize(
    ("happened", "course", "may"),
    [
        ([], s.DECLARED, True),
        ([], s.CROSSES, False),
        ([s.NEW_IPAD], s.CROSSES, True),
        ([s.enter(1, 10)], s.DECLARED, False),
        ([s.load(1, 10)], s.DECLARED, True),
        ([s.enter(1, 10, "acknowledged"), s.both(20, "ready")], s.DECLARED, False),
        ([s.enter(1, 10, "acknowledged"), s.both(20, "ready"), s.info(21, "27.0")], s.CROSSES, True),
        ([s.look(20, "installing")], s.DECLARED, False),
        ([s.enter(1, 10, "failed")], s.DECLARED, False),  # in doubt
        ([s.enter(1, 10, "failed"), s.info(20)], s.DECLARED, True),
        ([s.proof(10, 1)], s.DECLARED, False),
    ],
)
def test_nothing_is_declared_while_a_command_may_install(happened: list[s.Events], course: Course, may: bool) -> None:
    facts = s.after(*happened)
    assert may_assign(facts, course, WANTED) is may
    assert next_assignment(facts, course, WANTED, 0) == (Assign(GIVE) if may else None)
    assert not may_assign(facts, course, Gate(0, 99))
    giving = s.after(*happened, GIVING)
    assert may_send_assignment(giving, course, 5, WANTED) is may
    assert not may_send_assignment(giving, course, 5, Gate(0, 99))


def assigning(kind: EventKind, number: int, role: int = GIVE, **words: Any) -> s.Events:
    words = {"of": "assignment", "role": role, "set": "s", "enforce_at": 0, **words}
    return s.news(kind, number, number, **words)


def test_an_assignment_is_sent_once_and_only_the_newest() -> None:
    for kind, may in (
        (EventKind.INTENDED, True), (EventKind.SENDING, True), (EventKind.QUEUED, False),
        (EventKind.WITHDRAWN, False), (EventKind.REFUSED, False),
    ):  # fmt: skip
        facts = s.after(assigning(kind, 5))
        assert may_send_assignment(facts, s.DECLARED, 5, WANTED) is may
        assert not may_send_assignment(facts, s.DECLARED, 4, WANTED)
        under_way = kind in (EventKind.INTENDED, EventKind.SENDING)
        there = kind is EventKind.QUEUED
        assert next_assignment(facts, s.DECLARED, WANTED, 0) == (None if under_way or there else Assign(GIVE))
    newer = s.after(assigning(EventKind.INTENDED, 5), assigning(EventKind.INTENDED, 7))
    assert [may_send_assignment(newer, s.DECLARED, number, WANTED) for number in (5, 7)] == [False, True]
    withdrawn = s.after(assigning(EventKind.INTENDED, 5), assigning(EventKind.WITHDRAWN, 7))
    assert may_send_assignment(withdrawn, s.DECLARED, 5, WANTED)


def test_what_the_server_refused_is_given_once_more_after_a_pause_or_a_persons_retry() -> None:
    refused = s.news(EventKind.REFUSED, server(0), 5, of="assignment", role=GIVE, set="s", enforce_at=0)
    gate = opened(0)
    assert turn(s.after(refused), 69, s.DECLARED, gate) == ([INFO], 70)
    assert turn(s.after(refused), 70, s.DECLARED, gate)[0] == [Assign(GIVE), INFO]
    again = s.after(refused, s.news(EventKind.RETRIED, 0, 5))
    assert Assign(GIVE) in turn(again, 1, s.DECLARED, gate)[0]


def test_what_is_taken_back_is_asked_again_too() -> None:
    taking = assigning(EventKind.INTENDED, 9, TAKE)
    assert not may_send_assignment(s.after(s.given(5), taking), s.DECLARED, 9, WANTED)  # it is wanted again
    assert may_send_assignment(s.after(s.given(5), taking), s.DECLARED, 9, STOPPED)
    assert may_send_assignment(s.after(s.given(5, rollout=2), taking), s.DECLARED, 9, WANTED)  # another rollout's
    assert may_send_assignment(s.after(s.given(5, set="t"), taking), s.DECLARED, 9, WANTED)
    assert may_send_assignment(s.after(s.given(5, rollout=2), s.taken(7), taking), s.DECLARED, 9, WANTED)
    again = s.after(s.given(4, rollout=2), s.given(5), taking)
    assert not may_send_assignment(again, s.DECLARED, 9, WANTED)  # the newest that gave it tells whose it is
    again = s.after(s.given(4), s.given(5, rollout=2), taking)
    assert may_send_assignment(again, s.DECLARED, 9, WANTED)


DDM = RequestType.DECLARATIVE_MANAGEMENT


@pytest.mark.parametrize(
    ("happened", "asks"),
    [
        ([], False),
        ([assigning(EventKind.SENDING, 5)], False),  # not done yet: nothing to be told
        ([s.given(5)], True),
        ([s.given(5), asked_at(-1, DDM)], False),
        ([s.given(5), asked_at(-1, DDM, rollout=2)], True),
        ([s.given(5), s.told(6)], False),
        ([s.given(5), s.told(5)], False),
        ([s.given(5), s.told(4)], True),
        ([s.given(7), s.told(6, "failed")], True),
    ],
)
def test_a_device_is_told_what_the_server_has_done_for_it(happened: list[s.Events], asks: bool) -> None:
    acts, _ = turn(s.after(s.NEW_IPAD, *happened), 0, s.DECLARED)
    assert (DDM in acts) is asks


@pytest.mark.parametrize(
    ("happened", "course"),
    [
        ([s.given(5), s.told(6), s.taken(9)], s.TWO),  # it does not know yet that it is over
        ([s.NEW_IPAD, s.given(5), s.news(EventKind.RETRIED, 0, 5)], s.DECLARED),
    ],
)
def test_a_device_that_refuses_to_be_told_is_told_again_only_when_it_enrols_anew(
    happened: list[s.Events], course: Course
) -> None:
    def asks(*more: s.Events) -> bool:
        return DDM in turn(s.after(*happened, *more), 0, course)[0]

    refused = s.told(10, "failed")  # at 10
    assert asks()
    assert not asks(refused)
    assert not asks(refused, s.news(EventKind.AUTHENTICATED, 10))
    assert asks(refused, s.news(EventKind.AUTHENTICATED, 11))


def test_a_device_that_refused_to_be_told_is_told_again_when_a_person_retries() -> None:
    refused = [s.NEW_IPAD, s.given(5), s.told(6, "failed")]
    assert DDM not in turn(s.after(*refused), 0, s.DECLARED)[0]
    assert DDM in turn(s.after(*refused, s.news(EventKind.RETRIED, 0, 6)), 0, s.DECLARED)[0]


def test_a_device_waits_for_its_deadline_and_is_then_asked_as_often_as_any() -> None:
    facts = s.after(
        s.NEW_IPAD, s.given(5, enforce_at=clock(600)), s.told(6), seen_at(0),
        s.reports(server(0), "downloading", progress=6_200),
    )  # fmt: skip
    assert turn(facts, 599, s.DECLARED) == ([], 20 * HOURS)
    assert turn(facts, 600, s.DECLARED)[0] == [INFO]
    assert turn(facts, 20 * HOURS, s.DECLARED)[0] == [INFO]


def test_what_the_os_no_longer_answers_waits_for_no_answer() -> None:
    facts = s.after(asked_at(0, LOOK), s.info(server(1), "27.0"), GIVING)
    assert turn(facts, 20 * HOURS, s.CROSSES) == ([], 20 * HOURS + 1)
    assert turn(facts, 20 * HOURS + 1, s.CROSSES)[0] == [INFO]
    assert turn(facts, 20 * HOURS, s.TWO)[0] == BOTH
