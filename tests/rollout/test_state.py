"""The lines that read a state off the facts, each with what comes before it; and what single facts are fed by."""

import json
from itertools import permutations
from typing import Any

import pytest
from msgspec.structs import astuple

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.terms import InstallAction, Platform, RequestType
from osupdate_kit.rollout.assignments import GIVE, TAKE, Said
from osupdate_kit.rollout.events import EventKind, RolloutEvent
from osupdate_kit.rollout.journey import Armed, Box, Instrument
from osupdate_kit.rollout.policy import FIRST, INSTALL, Steps
from osupdate_kit.rollout.state import (
    Answer,
    Asked,
    Course,
    Deferrals,
    Facts,
    Failure,
    Item,
    Knock,
    Listed,
    Look,
    Moment,
    Seen,
    State,
    Step,
    Version,
    declaration_failed,
    fold,
    has_listed,
    is_installing,
    next_role,
    route,
    state_of,
)

KEY = DeviceKey("mdm", "D")
AHEAD = 1_000_000  # our clock before the server's: the two are compared nowhere
GATE = AHEAD + 5
TWO = Course(1, Steps(actions=(InstallAction.DOWNLOAD_ONLY, InstallAction.INSTALL_ASAP), tries=2))
ONE = TWO._replace(steps=Steps(actions=(InstallAction.INSTALL_ASAP,), tries=2))
LOADS = TWO._replace(steps=Steps(actions=(InstallAction.DOWNLOAD_ONLY,), tries=2))
NOTIFIES = TWO._replace(steps=Steps(actions=(InstallAction.NOTIFY_ONLY,), tries=2))
MAC = ONE._replace(listing=True, platform=Platform.MACOS)
DECLARED = TWO._replace(instrument=Instrument.DECLARATION, platform=Platform.IPADOS, can_declare=True)
CROSSES = DECLARED._replace(instrument=Instrument.COMMAND)
ACKNOWLEDGED = "acknowledged"

Events = tuple[RolloutEvent, ...]


def news(kind: EventKind, at: int = 0, outbox: int = 0, *, rollout: int = 1, late: int = 0, **words: Any) -> Events:
    """at: by the server's clock. late: how long after it we knew. words: as they come out of the store."""
    words = json.loads(json.dumps(words))
    event = RolloutEvent(
        key=KEY, kind=kind, at=at + AHEAD, recorded_at=at + AHEAD + late, digest="", server_at=at, rollout=rollout,
        outbox=outbox, evidence=words,
    )  # fmt: skip
    return (event,)


def step(kind: EventKind, number: int, at: int = 0, *, action: str = "InstallASAP", **words: Any) -> Events:
    role = FIRST if action in ("DownloadOnly", "NotifyOnly") else INSTALL
    return news(kind, at, number, **{"of": "step", "role": role, "action": action, **words})


def load(number: int, at: int, answer: str = "", **words: Any) -> Events:
    return enter(number, at, answer, **{"action": "DownloadOnly", **words})


def enter(number: int, at: int, answer: str = "", **words: Any) -> Events:
    """An install step that the server queued at `at`, and its answer if there is one, one later."""
    known = {name: words[name] for name in ("action", "role", "rollout") if name in words}
    queued = step(EventKind.QUEUED, number, at, **known)
    return queued + (step(EventKind.ANSWERED, number, at + 1, answer=answer, **words) if answer else ())


def look(at: int, seen: str, **words: Any) -> Events:
    return news(EventKind.ANSWERED, at, at, of="query", type=RequestType.OS_UPDATE_STATUS, look=seen, **words)


def info(at: int, os_version: str = "26.0", **words: Any) -> Events:
    words = {"os_version": os_version, **words}
    return news(EventKind.ANSWERED, at, at, of="query", type=RequestType.DEVICE_INFORMATION, **words)


def both(at: int, seen: str, os_version: str = "26.0") -> Events:
    return look(at, seen) + info(at, os_version)


def proof(at: int, *rollouts: int) -> Events:
    return info(at, "26.1", proves=list(rollouts))


def push(at: int, gate: int = GATE) -> Events:
    return news(EventKind.SENDING, of="push", gate=gate) + news(EventKind.PUSHED, at, of="push", gate=gate)


def idle(at: int) -> Events:
    return news(EventKind.IDLE, at)


def given(number: int, *, rollout: int = 1, **words: Any) -> Events:
    words = {"of": "assignment", "role": GIVE, "set": "s", "enforce_at": 0, **words}
    return news(EventKind.QUEUED, number, number, rollout=rollout, **words)


def taken(number: int) -> Events:
    return given(number, role=TAKE)


def told(number: int, answer: str = ACKNOWLEDGED, at: int = 0) -> Events:
    words: dict[str, Any] = {"of": "query", "type": RequestType.DECLARATIVE_MANAGEMENT, "answer": answer}
    return news(EventKind.ANSWERED, at or number, number, **words)


def reports(at: int, state: str = "none", outbox: int = 5, **words: Any) -> Events:
    return news(EventKind.REPORTED, at, outbox, of="report", said=[["state", state]], **words)


def asked(request_type: RequestType, number: int, rollout: int = 1) -> Events:
    return news(EventKind.INTENDED, number, number, rollout=rollout, of="query", type=request_type)


def listed(number: int, rollout: int = 1) -> Events:
    words: dict[str, Any] = {"of": "query", "type": RequestType.AVAILABLE_OS_UPDATES, "items": [["k", "26.1", "25B"]]}
    return news(EventKind.ANSWERED, number, number, rollout=rollout, **words)


def after(*happened: Events) -> Facts:
    facts = Facts()
    for events in happened:
        for event in events:
            facts = fold(facts, event)
    kept = Facts.from_json(facts.to_json())  # as the next process reads them
    assert kept == facts
    return kept


def state(*happened: Events, course: Course = TWO, gate: int = GATE) -> State:
    return state_of(after(*happened), course, gate)


GONE = news(EventKind.CHECKED_OUT, 90)
AUTHENTICATED = news(EventKind.AUTHENTICATED, 50)
FOREIGN = news(EventKind.FOREIGN, 50)


def abandoned(number: int, **words: Any) -> Events:
    return step(EventKind.ABANDONED, number, **words)


# --- The lines, in their order ---


@pytest.mark.parametrize(
    ("happened", "is_now"),
    [
        ([proof(10, 1), GONE, look(20, "installing")], State.DONE),
        ([proof(10, 2), proof(11, 0)], State.HELD),  # another rollout's target is not ours
        ([GONE, look(20, "installing")], State.UNKNOWN),
        ([GONE, news(EventKind.ENROLLED, 89)], State.UNKNOWN),
        ([GONE, news(EventKind.ENROLLED, 90)], State.HELD),
        ([GONE, news(EventKind.AUTHENTICATED, 91), both(92, "nothing")], State.HELD),
        ([enter(1, 10, ACKNOWLEDGED), look(20, "installing")], State.INSTALLING),
        ([look(20, "installing"), load(1, 30, "needs_download")], State.HELD),  # it said that nothing is there
        ([look(31, "installing"), load(1, 30, "needs_download")], State.INSTALLING),
    ],
)
def test_proof_then_departure_then_an_install_in_progress(happened: list[Events], is_now: State) -> None:
    assert state(*happened) is is_now


ACCEPTED = enter(1, 10, ACKNOWLEDGED)  # at 11


@pytest.mark.parametrize(
    ("happened", "is_now"),
    [
        ([ACCEPTED], State.SCHEDULED),
        ([ACCEPTED, look(20, "nothing")], State.SCHEDULED),  # of two questions one is answered
        ([ACCEPTED, info(20)], State.SCHEDULED),
        ([ACCEPTED, both(10, "nothing")], State.SCHEDULED),  # asked before
        ([ACCEPTED, both(11, "nothing")], State.DEFERRED),
        ([ACCEPTED, both(20, "loading")], State.DOWNLOADING),
        ([ACCEPTED, both(20, "ready")], State.DEFERRED),
        ([ACCEPTED, both(20, "ready"), enter(2, 30)], State.DEFERRED),  # whatever else is open
        ([ACCEPTED, both(20, "ready"), FOREIGN], State.SCHEDULED),
        ([ACCEPTED, both(20, "ready"), abandoned(1)], State.DOWNLOADED),  # a person said that it is dead
        (
            [enter(1, 10, ACKNOWLEDGED, rollout=2), both(20, "ready")],
            State.DEFERRED,
        ),  # of the device, over all rollouts
        ([enter(1, 10, ACKNOWLEDGED, rollout=2), both(20, "ready"), proof(21, 2)], State.DOWNLOADED),
    ],
)
def test_an_accepted_install_is_waited_for_until_the_target_shows(happened: list[Events], is_now: State) -> None:
    assert state(*happened) is is_now


@pytest.mark.parametrize(
    ("happened", "is_now"),
    [
        ([enter(1, 10)], State.QUEUED),
        ([step(EventKind.SENDING, 1)], State.QUEUED),  # perhaps on the server
        ([enter(1, 10, "not_now")], State.NOT_NOW),
        ([enter(1, 10), load(2, 12, "not_now")], State.NOT_NOW),  # busy is busy, whatever it was asked
        ([enter(1, 10), FOREIGN], State.QUEUED),
        ([enter(1, 10), AUTHENTICATED], State.VERIFYING),  # which ends what the server queued before
        ([enter(1, 50), AUTHENTICATED], State.QUEUED),
        ([step(EventKind.SENDING, 1), AUTHENTICATED], State.QUEUED),  # when it was queued is not known
        ([step(EventKind.INTENDED, 1)], State.HELD),
        ([step(EventKind.REFUSED, 1)], State.HELD),
        ([enter(1, 10), abandoned(1)], State.HELD),
        ([enter(1, 10, "failed")], State.VERIFYING),
        ([enter(1, 10, "failed"), both(20, "nothing")], State.HELD),
        ([enter(1, 10, "no_update")], State.VERIFYING),
        ([load(1, 10, "no_update")], State.VERIFYING),
        ([load(1, 10, "failed")], State.HELD),  # a download that failed leaves no doubt
        ([enter(1, 10, "needs_download")], State.HELD),
        ([FOREIGN], State.VERIFYING),
        ([enter(1, 10, "failed"), both(20, "loading")], State.DOWNLOADING),  # it loads all the same
        ([enter(1, 10, "failed"), both(20, "loading"), abandoned(1)], State.HELD),
        ([load(1, 10, "failed"), both(20, "loading")], State.HELD),
        ([enter(1, 10, "needs_download"), both(20, "loading")], State.HELD),
    ],
)
def test_an_open_install_then_doubt_then_an_error_that_loads(happened: list[Events], is_now: State) -> None:
    assert state(*happened) is is_now


@pytest.mark.parametrize(
    ("happened", "is_now"),
    [
        ([load(1, 10)], State.QUEUED),
        ([load(1, 10, "not_now")], State.NOT_NOW),
        ([load(1, 10, "not_now"), load(2, 20)], State.QUEUED),  # the newest open one tells
        ([load(1, 10), load(2, 20, "not_now")], State.NOT_NOW),
        ([load(1, 10), both(20, "ready")], State.DOWNLOADED),
        ([load(1, 10), both(20, "loading")], State.QUEUED),
        ([load(1, 10, ACKNOWLEDGED)], State.DOWNLOADING),
        ([load(1, 10, ACKNOWLEDGED), both(20, "ready")], State.DOWNLOADED),
        ([load(1, 10, ACKNOWLEDGED), load(2, 20, "failed")], State.FAILED),  # the last one tells
        ([load(1, 10, "failed"), load(2, 20, ACKNOWLEDGED)], State.DOWNLOADING),
        ([load(1, 10, ACKNOWLEDGED), abandoned(1, action="DownloadOnly")], State.HELD),
        ([load(1, 10, ACKNOWLEDGED, rollout=2)], State.DOWNLOADING),  # it loads, whoever asked
        ([load(1, 10, ACKNOWLEDGED, rollout=2), proof(20, 2)], State.HELD),
    ],
)
def test_a_first_step_shows_until_the_download_is_there(happened: list[Events], is_now: State) -> None:
    assert state(*happened) is is_now


def test_what_installs_nothing_ends_in_an_end_of_its_own() -> None:
    notified = load(1, 10, ACKNOWLEDGED, action="NotifyOnly")
    assert state(notified, course=NOTIFIES) is State.NOTIFIED
    assert state(notified, both(20, "ready"), course=NOTIFIES) is State.NOTIFIED
    assert state(load(1, 10, ACKNOWLEDGED, action="NotifyOnly", rollout=2), course=NOTIFIES) is State.HELD
    loaded = [load(1, 10, ACKNOWLEDGED), both(20, "ready")]
    assert state(*loaded, course=LOADS) is State.DOWNLOADED_END
    assert state(both(20, "ready"), course=LOADS) is State.DOWNLOADED_END  # it had it before
    assert state(*loaded, course=LOADS, gate=0) is State.DOWNLOADED_END


SCAN = asked(RequestType.SCHEDULE_OS_UPDATE_SCAN, 3)


@pytest.mark.parametrize(
    ("happened", "is_now"),
    [
        ([], State.HELD),
        ([SCAN], State.LISTING),
        ([SCAN, listed(4)], State.HELD),
        ([SCAN, listed(4, rollout=2)], State.LISTING),  # another rollout's list may be old
        ([asked(RequestType.SCHEDULE_OS_UPDATE_SCAN, 3, rollout=2)], State.HELD),
        ([SCAN, step(EventKind.INTENDED, 5)], State.HELD),  # sent for this rollout: it goes on
        ([SCAN, step(EventKind.INTENDED, 5, rollout=2)], State.LISTING),
    ],
)
def test_a_mac_lists_before_its_first_step(happened: list[Events], is_now: State) -> None:
    assert state(*happened, course=MAC) is is_now
    assert state(*happened, course=ONE) is State.HELD


def failed(*numbers: int, **words: Any) -> list[Events]:
    return [load(number, 10, "failed", **words) for number in numbers]


@pytest.mark.parametrize(
    ("happened", "is_now"),
    [
        (failed(1), State.HELD),
        (failed(1, 2), State.FAILED),
        (failed(1, lasting=True), State.FAILED),  # no retry can mend it
        (failed(1, 2, rollout=2), State.HELD),  # another rollout's tries are its own
        ([*failed(1), step(EventKind.WITHDRAWN, 2, action="DownloadOnly")], State.HELD),  # never sent: no try
        ([*failed(1), step(EventKind.REFUSED, 2, action="DownloadOnly")], State.FAILED),
        ([*failed(1), step(EventKind.INTENDED, 2, action="DownloadOnly")], State.HELD),  # the last try is to come
        ([*failed(1, 2), both(20, "ready")], State.DOWNLOADED),  # the install has tries of its own
        ([*failed(1, 2), news(EventKind.RETRIED, 0, 2)], State.HELD),
        ([*failed(1, 2), news(EventKind.RETRIED, 0, 1)], State.HELD),  # the first is forgotten: one is left
        ([*failed(1, 2, 3), news(EventKind.RETRIED, 0, 1)], State.FAILED),
        ([*failed(1, 2), news(EventKind.RETRIED, 0, 2, rollout=2)], State.FAILED),
        (
            [*failed(1, 2), news(EventKind.RETRIED, 0, 2), news(EventKind.RETRIED, 0, 1)],
            State.HELD,
        ),  # the newest counts
    ],
)
def test_tries_are_counted_by_step_and_rollout_and_a_person_gives_new_ones(
    happened: list[Events], is_now: State
) -> None:
    assert state(*happened) is is_now


@pytest.mark.parametrize(
    ("happened", "seen"),
    [
        ([], 0),
        ([push(10)], 1),
        ([push(10), idle(10)], 1),  # made at the same instant: not after the push
        ([push(10), idle(11)], 2),
        ([push(10), push(20), idle(15)], 2),  # the first push of the window is the knock
        ([push(20), push(10), idle(15)], 2),
        ([push(10), idle(11), idle(9)], 2),
        ([push(10, gate=GATE - 1), idle(11)], 0),  # another opening of the window
        ([push(10, gate=GATE - 1), push(20), idle(15)], 1),
        ([push(20), push(10, gate=GATE - 1), idle(15)], 1),
        ([push(10, gate=GATE + 1), idle(11)], 2),  # a window that opened later
        ([push(10, gate=0), idle(11)], 0),  # woken for a question
        ([news(EventKind.SENDING, of="push", gate=GATE), idle(11)], 1),  # when it was pushed is not known
        ([push(0), idle(11)], 1),
    ],
)
def test_seen_in_this_window_is_an_idle_made_after_its_push(happened: list[Events], seen: int) -> None:
    facts = after(*happened)
    assert facts.knocked(GATE) == seen
    assert facts.knocked(0) == 0
    waits = State.KNOCKING if seen else State.HELD
    assert (state_of(facts, TWO, GATE), state_of(facts, TWO, 0)) == (waits, State.HELD)
    loaded = after(*happened, both(30, "ready"))
    waits = State.KNOCKING if seen else State.DOWNLOADED
    assert (state_of(loaded, TWO, GATE), state_of(loaded, TWO, 0)) == (waits, State.DOWNLOADED)


# --- What is read off the steps ---


@pytest.mark.parametrize(
    ("happened", "armed"),
    [
        ([], Armed.NO),
        ([step(EventKind.INTENDED, 1)], Armed.NO),
        ([step(EventKind.WITHDRAWN, 1)], Armed.NO),
        ([step(EventKind.REFUSED, 1)], Armed.NO),
        ([step(EventKind.SENDING, 1)], Armed.ON_SERVER),
        ([enter(1, 10)], Armed.ON_SERVER),
        ([enter(1, 10), AUTHENTICATED], Armed.ON_SERVER),  # until it is proven otherwise
        ([enter(1, 10, "not_now")], Armed.ON_SERVER),
        ([enter(1, 10, ACKNOWLEDGED)], Armed.ON_DEVICE),
        ([enter(1, 10, ACKNOWLEDGED), enter(2, 20)], Armed.ON_DEVICE),
        ([enter(1, 10, "failed")], Armed.NO),
        ([enter(1, 10, "no_update")], Armed.NO),
        ([enter(1, 10, "needs_download")], Armed.NO),
        ([load(1, 10, ACKNOWLEDGED)], Armed.NO),
        ([load(1, 10, ACKNOWLEDGED, returned="InstallASAP")], Armed.ON_DEVICE),  # it does more than it was asked
        ([load(1, 10, action="Default", role=FIRST)], Armed.ON_SERVER),
        ([enter(1, 10, ACKNOWLEDGED), abandoned(1)], Armed.NO),
        ([enter(1, 10, ACKNOWLEDGED), proof(20, 1)], Armed.NO),
        ([enter(1, 10, ACKNOWLEDGED), proof(20, 2)], Armed.ON_DEVICE),
        ([given(5), enter(1, 10, ACKNOWLEDGED)], Armed.ON_SERVER),  # what is declared outranks commands
        ([given(5), proof(20, 1), enter(1, 10, ACKNOWLEDGED, rollout=2)], Armed.ON_DEVICE),
    ],
)
def test_armed_is_what_may_still_install_because_of_us(happened: list[Events], armed: Armed) -> None:
    assert after(*happened).armed is armed


def test_a_step_on_the_server_is_one_that_can_install_and_has_no_answer() -> None:
    assert after(enter(1, 10)).on_server
    assert after(enter(1, 10, "not_now")).on_server
    assert not after(load(1, 10)).on_server
    assert not after(enter(1, 10, ACKNOWLEDGED)).on_server
    assert not after(enter(1, 10), AUTHENTICATED).on_server


def test_an_install_step_of_ours_may_have_installed_once_it_was_perhaps_sent() -> None:
    assert not after(step(EventKind.INTENDED, 1), load(2, 10)).may_have_installed
    assert after(step(EventKind.SENDING, 1)).may_have_installed


DEFAULT = {"action": "Default", "role": FIRST}


def test_a_first_default_is_an_install_when_the_device_says_so() -> None:
    assert not after(enter(1, 10, ACKNOWLEDGED, **DEFAULT)).accepted
    assert not after(enter(1, 10, ACKNOWLEDGED, returned="DownloadOnly", **DEFAULT)).accepted
    assert after(enter(1, 10, ACKNOWLEDGED, returned="InstallASAP", **DEFAULT)).accepted
    assert after(enter(1, 10, ACKNOWLEDGED, action="Default", role=INSTALL)).accepted
    assert not after(enter(1, 10, "not_now")).accepted


@pytest.mark.parametrize(
    ("happened", "unresolved"),
    [
        ([], False),
        ([FOREIGN], True),
        ([FOREIGN, both(60, "loading")], False),
        ([look(20, "installing")], True),
        ([enter(1, 10, "failed"), both(20, "loading")], True),  # it may install when the download is there
        ([enter(1, 10, "failed"), both(20, "nothing")], False),
        ([load(1, 10, "failed"), both(20, "loading")], False),
        ([enter(1, 10, "no_update"), both(20, "loading")], False),
        ([enter(1, 10, "failed"), both(20, "loading"), proof(21, 1)], False),
    ],
)
def test_unresolved_is_what_only_a_query_can_tell(happened: list[Events], unresolved: bool) -> None:
    assert after(*happened).unresolved is unresolved


def test_of_nothing_known_nothing_is_true() -> None:
    for cell in astuple(Facts()):
        assert not (any(cell) if isinstance(cell, tuple) else cell)
    assert Step(1) == Step(1, 0, "", Box.INTENDED, Answer.NONE, 0, "", 0, lasting=False, dead=False)
    assert (Asked(), Said(), Failure()) == ((0, 0, 0), (0, ""), (0, "", ""))
    assert Course(1, TWO.steps) == Course(1, TWO.steps, False, False, Instrument.COMMAND, Platform.IOS, False)


def test_open_steps_come_oldest_first() -> None:
    facts = after(load(7, 20), load(3, 10), load(5, 15, "failed"))
    assert [one.queued_at for one in facts.open_steps()] == [10, 20]


def test_what_a_step_became_hangs_on_no_order() -> None:
    happened = [
        *step(EventKind.INTENDED, 1), *step(EventKind.SENDING, 1), *step(EventKind.QUEUED, 1, 10),
        *step(EventKind.ANSWERED, 1, 12, answer="not_now"),
        *step(EventKind.ANSWERED, 1, 15, answer="failed", lasting=True, returned="Error"),
        *abandoned(1),
    ]  # fmt: skip
    whole = Step(1, INSTALL, "InstallASAP", Box.QUEUED, Answer.FAILED, 10, "Error", AHEAD + 15, lasting=True, dead=True)
    assert {after((*order,)).steps[1] for order in permutations(happened)} == {whole}


def test_an_answer_proves_that_it_was_queued_but_not_when() -> None:
    answered = after(step(EventKind.ANSWERED, 1, 12, answer="not_now")).steps[1]
    assert (answered.box, answered.queued_at, answered.failed_at, answered.lasting) == (Box.QUEUED, 0, 0, False)
    assert after(step(EventKind.REFUSED, 1, 12), step(EventKind.SENDING, 1, 11)).steps[1].failed_at == AHEAD + 12


# --- What single facts are fed by ---


@pytest.mark.parametrize("kind", list(EventKind))
def test_contact_is_what_the_device_says_and_nothing_that_we_do(kind: EventKind) -> None:
    speaks = kind in (
        EventKind.ANSWERED, EventKind.FOREIGN, EventKind.REPORTED, EventKind.IDLE, EventKind.AUTHENTICATED,
        EventKind.ENROLLED, EventKind.CHECKED_OUT,
    )  # fmt: skip
    said: dict[str, Any] = {"said": []} if kind is EventKind.REPORTED else {}
    first, second = news(kind, 10, late=5, **said), news(kind, 9, **said)
    assert after(first, second).contact_at == (AHEAD + 15 if speaks else 0)


def test_doubt_is_newest_by_the_servers_clock_with_when_we_knew() -> None:
    late = news(EventKind.FOREIGN, 10, late=500)
    assert after(late).doubt == Moment(10, AHEAD + 510)
    for kind in (EventKind.AUTHENTICATED, EventKind.FOREIGN):
        facts = after(late, news(kind, 20), news(kind, 15))
        assert facts.doubt == Moment(20, AHEAD + 20)
    assert after(late, news(EventKind.FOREIGN, 20)).foreign_at == 20
    enrolled = after(news(EventKind.ENROLLED, 30), news(EventKind.ENROLLED, 20))
    assert (enrolled.enrolled_at, enrolled.cleared_at, enrolled.doubt) == (30, 0, Moment())
    anew = after(news(EventKind.AUTHENTICATED, 30), news(EventKind.AUTHENTICATED, 20))
    assert (anew.enrolled_at, anew.cleared_at) == (30, 30)
    assert after(news(EventKind.CHECKED_OUT, 30), news(EventKind.CHECKED_OUT, 20)).checked_out_at == 30
    assert after(idle(30), idle(20)).idle_at == 30


def test_a_needed_download_settles_doubt_and_overrules_an_older_look() -> None:
    facts = after(FOREIGN, look(40, "ready"), load(1, 50, "needs_download"))  # answered at 51
    assert (facts.needs_download_at, facts.in_doubt, facts.ready) == (51, False, False)
    assert after(look(51, "ready"), load(1, 50, "needs_download")).ready
    assert after(look(51, "loading"), load(1, 50, "needs_download")).loading
    assert not after(look(50, "loading"), load(1, 50, "needs_download")).loading


def test_a_push_is_remembered_by_our_clock_and_the_knock_by_the_servers() -> None:
    facts = after(push(10))
    assert (facts.pushed_at, facts.knock) == (AHEAD, Knock(GATE, 10))
    again = news(EventKind.SENDING, 7, of="push", gate=0)
    assert (after(push(10), again).pushed_at, after(again, push(10)).pushed_at) == (AHEAD + 7, AHEAD + 7)
    assert after(news(EventKind.INTENDED, 7, of="push", gate=GATE)) == Facts()
    assert after(news(EventKind.REFUSED, 7, of="push", gate=GATE)) == Facts()


def test_of_two_answers_the_newer_by_the_servers_clock_counts_whichever_came_last() -> None:
    words: dict[str, Any] = {
        "look": "loading", "share": 0.5, "os_version": "26.0", "build": "23A", "supplemental_build": "23Aa",
        "extra": "(a)", "deferrals": [5, 4, 60], "items": [["k", "26.1", "23B"]], "offered": ["k"], "scanned": True,
    }  # fmt: skip
    older = {**words, "look": "installing", "share": 0.9, "os_version": "27.0", "deferrals": [9, 9, 9], "items": []}
    query: dict[str, Any] = {"of": "query", "type": RequestType.OS_UPDATE_STATUS}
    facts = after(news(EventKind.ANSWERED, 20, 2, **query, **words), news(EventKind.ANSWERED, 10, 1, **query, **older))
    assert facts.seen == Seen(20, Look.LOADING, 0.5)
    assert facts.version == Version(20, "26.0", "23A", "23Aa", "(a)")
    assert facts.deferrals == Deferrals(20, 5, 4, 60)
    assert facts.listed == Listed(20, (Item("k", "26.1", "23B"),))
    assert (facts.offered, facts.scanned_at) == ({"k": 20}, 20)


def test_a_version_is_reported_since_the_time_that_the_answer_names() -> None:
    assert after(info(20, since=7)).version.since == 7
    assert after(info(20)).version == Version(20, "26.0", since=0)  # as it was before answers said so
    assert after(look(20, "nothing")).seen == Seen(20, Look.NOTHING, 0.0)


def test_proof_is_dated_by_its_first_report_whichever_came_first() -> None:
    assert after(proof(20, 1, 2), proof(10, 1), proof(30, 2)).proven == {1: AHEAD + 10, 2: AHEAD + 20}


def test_progress_is_how_far_it_came_and_since_when_we_know() -> None:
    def further(rank: int, at: int) -> Events:
        return look(at, "loading", progress=rank)

    assert after(further(100, 10), further(200, 20)).progress == Moment(200, AHEAD + 20)
    assert after(further(200, 20), further(100, 30)).progress == Moment(200, AHEAD + 20)
    assert after(further(200, 20), further(200, 30)).progress == Moment(200, AHEAD + 20)  # the same place again
    assert after(further(200, 30), further(200, 20)).progress == Moment(200, AHEAD + 20)


def test_the_newest_cause_of_each_rollout_stays() -> None:
    def causes(at: int, text: str, rollout: int, kind: EventKind = EventKind.ANSWERED) -> Events:
        return step(kind, at, at, rollout=rollout, failure=["space", text])

    facts = after(causes(20, "new", 1), causes(10, "old", 1), causes(5, "refused", 2, EventKind.REFUSED))
    assert facts.failures == {1: Failure(20, "space", "new"), 2: Failure(5, "space", "refused")}
    assert not after(causes(20, "no answer", 1, EventKind.SENDING)).failures


def test_a_question_waits_until_the_newest_of_its_type_is_answered() -> None:
    kind, other = RequestType.DEVICE_INFORMATION, RequestType.OS_UPDATE_STATUS

    def answered(number: int, answer: str = ACKNOWLEDGED) -> Events:
        return news(EventKind.ANSWERED, number, number, of="query", type=kind, answer=answer)

    first, second = asked(kind, 3), asked(kind, 5)
    assert after(first).waits_for(kind, 1)
    assert not after(first).waits_for(kind, 2)
    assert not after(first).waits_for(other, 1)
    assert not after(first, answered(3)).waits_for(kind, 1)
    assert after(first, answered(3, "not_now")).waits_for(kind, 1)  # busy: no answer yet
    assert after(first, second, answered(3)).waits_for(kind, 1)
    assert not after(second, first, answered(5), answered(3)).waits_for(kind, 1)
    both_open = after(asked(other, 6), first)
    assert both_open.open_query(1) == Asked(6, AHEAD + 6, 1)
    assert both_open.open_query(2) is None
    assert after(first, answered(3)).answered[kind] == Asked(3, AHEAD + 3, 1)


# --- Kept as text ---


def test_facts_of_a_commanded_device_are_kept_without_the_cells_of_declarations() -> None:
    commanded = after(load(1, 10))
    assert Facts.from_json("") == Facts()
    assert commanded.to_json().count("{") < after(load(1, 10), given(5)).to_json().count("{")
    for more in (given(5), told(6), told(6, "failed"), news(EventKind.REPORTED, 9, of="report", said=[["state", "x"]])):
        facts = after(load(1, 10), more)
        assert Facts.from_json(facts.to_json()) == facts
        assert len(facts.to_json()) > len(commanded.to_json())


def test_what_a_store_has_kept_means_the_same_for_ever() -> None:
    steps = {number: [1, 2, "InstallASAP", number, 0, 0, "", 0, False, False] for number in range(5)}
    answers = {10 + answer: [1, 2, "InstallASAP", 4, answer, 0, "", 0, False, False] for answer in range(6)}
    kept = Facts.from_json(json.dumps([steps | answers, {}, {}, [20, 3, 0.5]]))
    boxes = [Box.INTENDED, Box.SENDING, Box.WITHDRAWN, Box.REFUSED, Box.QUEUED]
    assert [kept.steps[number].box for number in range(5)] == boxes
    said = ["none", "not_now", "failed", "needs_download", "no_update", "acknowledged"]
    assert [Answer(kept.steps[10 + number].answer).name.lower() for number in range(6)] == said
    assert kept.installing
    assert [Facts.from_json(f"[{{}},{{}},{{}},[20,{look},0.5]]").loading for look in range(4)] == [
        False,
        True,
        False,
        False,
    ]
    assert Facts.from_json("[{},{},{},[20,2,1.0]]").ready


# --- The second instrument ---


@pytest.mark.parametrize(
    ("happened", "course", "by"),
    [
        ([], TWO, Instrument.COMMAND),
        ([], CROSSES, Instrument.COMMAND),
        ([info(10, "26.5")], CROSSES, Instrument.COMMAND),
        ([info(10, "27.0")], CROSSES, Instrument.DECLARATION),
        ([info(10, "27.0")], CROSSES._replace(can_declare=False), Instrument.COMMAND),
        ([info(10, "27.0")], CROSSES._replace(instrument=Instrument.NONE), Instrument.NONE),
        ([], DECLARED, Instrument.DECLARATION),
        ([told(6)], DECLARED, Instrument.DECLARATION),
        ([told(6, "failed")], DECLARED, Instrument.COMMAND),
        ([told(6, "failed"), told(7)], DECLARED, Instrument.DECLARATION),
        ([told(7, "failed"), told(6)], DECLARED, Instrument.COMMAND),
        ([told(6, "failed"), info(10, "27.0")], DECLARED, Instrument.DECLARATION),  # nothing else is left
        ([told(6, "failed"), info(10, "26.5")], DECLARED, Instrument.COMMAND),
    ],
)
def test_a_device_that_crosses_a_line_goes_on_by_the_other_instrument(
    happened: list[Events], course: Course, by: Instrument
) -> None:
    assert route(after(*happened), course) is by


OLD_IPAD, NEW_IPAD = info(2, "26.5"), info(2, "27.0")


@pytest.mark.parametrize(
    ("happened", "is_now"),
    [
        ([given(5, rollout=2)], State.HELD),  # an older rollout's declaration is none of ours
        ([given(5), taken(9)], State.HELD),
        ([given(5), told(4)], State.QUEUED),
        ([given(5), told(6)], State.SCHEDULED),
        ([given(5), told(6), reports(20, "a later word")], State.SCHEDULED),
        ([given(5), told(6), reports(20, "downloading")], State.DOWNLOADING),
        ([given(5), told(6), reports(20, "prepared"), reports(10, "downloading")], State.DOWNLOADED),
        ([given(5), told(6), reports(20, invalid=True)], State.VERIFYING),
        ([given(5), told(6), reports(20, invalid=True), info(19)], State.VERIFYING),
        ([given(5), told(6), reports(20, invalid=True), info(20)], State.FAILED),
        ([given(5), told(6), reports(20, failures=1)], State.SCHEDULED),
        ([given(5), told(6), reports(20, failures=2)], State.FAILED),
        ([given(5), told(6), reports(20, failures=3)], State.FAILED),
        ([given(5), told(6), reports(20, failures=2), news(EventKind.RETRIED, 0, 5)], State.SCHEDULED),
        ([given(5), told(6), reports(20, failures=2), news(EventKind.RETRIED, 0, 4)], State.FAILED),
        ([FOREIGN, given(5), told(6)], State.SCHEDULED),  # nobody asks what commands left behind: none was sent
        ([enter(1, 10, "failed"), given(15), told(16)], State.VERIFYING),
        ([enter(1, 10, "failed"), info(11), given(15), told(16)], State.SCHEDULED),  # its version alone settles it
        ([look(20, "installing"), given(5), told(6)], State.INSTALLING),
        ([look(20, "installing"), info(20), given(5), told(6)], State.INSTALLING),
        ([look(20, "installing"), info(21), given(5), told(6)], State.SCHEDULED),  # an old look counts no more
    ],
)
def test_a_declared_device_is_read_off_its_reports(happened: list[Events], is_now: State) -> None:
    assert state(*happened, course=DECLARED) is is_now


@pytest.mark.parametrize(
    ("refused", "failed"), [((), False), ((5,), False), ((5, 7), True), ((5, 7, 9), True)]
)  # fmt: skip
def test_a_declaration_that_the_server_refuses_is_tried_as_often_as_a_step(
    refused: tuple[int, ...], failed: bool
) -> None:
    words: dict[str, Any] = {"of": "assignment", "role": GIVE, "set": "s", "enforce_at": 0}
    facts = after(*(news(EventKind.REFUSED, number, number, **words) for number in refused))
    assert declaration_failed(facts, DECLARED) is failed
    assert state_of(facts, DECLARED, GATE) is (State.FAILED if failed else State.HELD)


def test_a_device_refuses_what_it_was_given_before_not_what_comes_after() -> None:
    assert declaration_failed(after(given(5), told(6, "failed")), DECLARED)
    assert not declaration_failed(after(given(7), told(6, "failed")), DECLARED)
    assert not declaration_failed(after(given(5), told(6, "failed"), told(8)), DECLARED)
    assert not declaration_failed(after(given(5, rollout=2), told(6, "failed")), DECLARED)


def test_a_device_that_crossed_is_done_with_what_it_accepted_and_not_in_doubt() -> None:
    accepted = [enter(1, 10, ACKNOWLEDGED)]
    assert state(*accepted, info(20, "26.5"), course=CROSSES) is State.SCHEDULED
    assert state(*accepted, info(20, "27.0"), course=CROSSES) is State.HELD
    assert state(*accepted, info(20, "27.0"), course=CROSSES._replace(can_declare=False)) is State.SCHEDULED
    assert is_installing(after(look(20, "installing"), info(21, "26.5")), CROSSES)
    assert not is_installing(after(look(20, "installing"), info(21, "27.0")), CROSSES)


def test_a_report_says_what_is_shown_and_speaks_of_the_assignment_that_held() -> None:
    facts = after(given(5), reports(20, "prepared", failures=1), reports(10, "downloading", failures=3))
    assert facts.said == {"state": Said(20, "prepared")}
    assert (facts.assignments[5].failures, facts.assignments[5].invalid_at) == (3, 0)
    assert after(given(5), reports(20, "prepared")).assignments[5].failures == 0
    none_held = after(reports(20, "prepared", outbox=0, invalid=True))
    assert (none_held.said, dict(none_held.assignments)) == ({"state": Said(20, "prepared")}, {})


# --- Which step comes next ---


@pytest.mark.parametrize(
    ("course", "before", "with_it"),
    [(TWO, FIRST, INSTALL), (ONE, INSTALL, INSTALL), (LOADS, FIRST, FIRST), (NOTIFIES, FIRST, FIRST)],
)
def test_the_install_follows_the_download_where_there_are_two_steps(course: Course, before: int, with_it: int) -> None:
    assert next_role(Facts(), course) == before
    assert next_role(after(look(10, "ready")), course) == with_it
    assert next_role(after(look(10, "loading")), course) == before


def test_a_list_counts_for_the_rollout_that_asked_for_it() -> None:
    assert has_listed(after(listed(4)), MAC)
    assert not has_listed(after(listed(4, rollout=2)), MAC)
    assert not has_listed(after(asked(RequestType.AVAILABLE_OS_UPDATES, 4)), MAC)
