"""The next step where the model does not look: questions in pairs, other parties' downloads, causes."""

from itertools import count

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.terms import InstallAction, RequestType
from osupdate_kit.rollout.engine import Ask, next_steps, possible
from osupdate_kit.rollout.events import EventKind, RolloutEvent
from osupdate_kit.rollout.history import journey_of
from osupdate_kit.rollout.policy import DAY, FIRST, HOUR, INSTALL, Cadences, Gate, Steps
from osupdate_kit.rollout.state import Course, Facts, Item, Listed, State, fold, state_of
from osupdate_kit.rollout.targets import Target

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
