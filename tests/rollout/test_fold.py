"""The fold of facts under any history: order and repeats do not matter, and what is read off follows (I7)."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.terms import InstallAction, Platform, RequestType
from osupdate_kit.rollout.assignments import GIVE, held
from osupdate_kit.rollout.engine import Assign, Intend, next_steps, possible
from osupdate_kit.rollout.events import EventKind, RolloutEvent
from osupdate_kit.rollout.journey import Instrument
from osupdate_kit.rollout.policy import Cadences, Gate, Steps
from osupdate_kit.rollout.state import Course, Facts, State, declares, fold, state_of

KEY = DeviceKey("mdm", "D")
NOW = 1_795_000_000_000_000
MINUTE = 60_000_000
ACTIONS = st.sampled_from([a.value for a in InstallAction if a is not InstallAction.ERROR])
TIMES = st.integers(0, 300).map(lambda minutes: NOW + minutes * MINUTE)
ROLLOUTS = st.integers(1, 2)
ROWS = st.integers(1, 8)
QUERIES = st.sampled_from([RequestType.DEVICE_INFORMATION, RequestType.OS_UPDATE_STATUS])
ANSWERS = st.sampled_from(["not_now", "failed", "needs_download", "no_update", "acknowledged"])
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "look": st.sampled_from(["nothing", "loading", "ready", "installing"]),
        "os_version": st.sampled_from(["18.6", "18.7.2"]),
        "deferrals": st.tuples(st.integers(0, 5), st.integers(0, 5), st.just(0)),
        "items": st.lists(st.tuples(st.sampled_from(["a", "b"]), st.just("18.7"), st.just("22H")), max_size=2),
        "offered": st.lists(st.sampled_from(["a", "b"]), max_size=2),
        "failure": st.tuples(st.sampled_from(["no_space", "network"]), st.just("words")),
        "scanned": st.just(True),
        "proves": st.lists(ROLLOUTS, max_size=2),
        "progress": st.integers(0, 5),
    },
)
SAID = st.lists(
    st.tuples(
        st.sampled_from(["state", "pending"]), st.sampled_from(["none", "downloading", "prepared", "installing"])
    ),
    max_size=2,
)
FAILS = st.fixed_dictionaries({}, optional={"failures": st.integers(1, 3), "invalid": st.just(True)})


@st.composite
def events(draw: st.DrawFn) -> RolloutEvent:
    """One event as the service makes them; outbox rows say the same of themselves in each."""
    kind = draw(st.sampled_from(EventKind))
    number = draw(ROWS)
    words: dict[str, object] = {}
    if kind is EventKind.REPORTED:
        number = draw(st.sampled_from([0, 6]))  # of no assignment, or of one
        words = {"of": "report", "said": draw(SAID)} | draw(PARTS) | (draw(FAILS) if number else {})
    elif number in (6, 7):  # the assignment, and its end
        words = {"of": "assignment", "role": number - 5, "set": "s", "enforce_at": NOW}
    elif number == 8:
        words = {"of": "query", "type": RequestType.DECLARATIVE_MANAGEMENT, "answer": draw(ANSWERS)}
    elif number <= 3:  # rows 1 to 3 are steps, 4 and 5 queries
        action = ("DownloadOnly", "InstallASAP", "Default")[number - 1]
        words = {"of": "step", "role": 1 + (number == 2), "action": action}
        if kind is EventKind.ANSWERED:
            words |= {"answer": draw(ANSWERS)} | draw(PARTS)
    elif kind in (EventKind.INTENDED, EventKind.ANSWERED):
        words = {"of": "query", "type": draw(QUERIES) if number == 4 else RequestType.OS_UPDATE_STATUS}
        words |= draw(PARTS) if kind is EventKind.ANSWERED else {}
    elif kind in (EventKind.SENDING, EventKind.PUSHED):
        words = {"of": "push", "gate": draw(st.sampled_from([0, NOW, NOW + 100 * MINUTE]))}
    at = draw(TIMES)
    return RolloutEvent(
        key=KEY, kind=kind, at=at, recorded_at=draw(TIMES), digest="d", server_at=draw(st.just(0) | TIMES),
        rollout=(number + 1) // 2 if 1 <= number <= 3 else 1 if number in (6, 7) else draw(ROLLOUTS),
        outbox=number, evidence=words,
    )  # fmt: skip


def folded(history: list[RolloutEvent]) -> str:
    facts = Facts()
    for event in history:
        facts = fold(facts, event)
    return facts.to_json()


@settings(max_examples=400, deadline=None)
@given(st.lists(events(), max_size=12), st.randoms(use_true_random=False))
def test_any_order_and_any_repeats_come_to_the_same_facts(history: list[RolloutEvent], luck: Random) -> None:
    other = history + luck.choices(history, k=len(history)) if history else []
    luck.shuffle(other)
    assert folded(history) == folded(other)


@settings(max_examples=200, deadline=None)
@given(st.lists(events(), max_size=12), st.integers(0, 12))
def test_facts_that_were_stored_between_go_on_as_if_they_had_not(history: list[RolloutEvent], cut: int) -> None:
    facts = Facts.from_json(folded(history[:cut]))
    for event in history[cut:]:
        facts = fold(facts, event)
    assert facts.to_json() == folded(history)


STEPS = Steps(actions=(InstallAction.DOWNLOAD_ONLY, InstallAction.INSTALL_ASAP), tries=2)
DECLARED = Course(1, STEPS, instrument=Instrument.DECLARATION, platform=Platform.IPADOS, can_declare=True)


class Device(RuleBasedStateMachine):
    """One device whose news come as they please; what the kit would do is asked after each."""

    def __init__(self) -> None:
        super().__init__()
        self.facts, self.news = Facts(), list[RolloutEvent]()
        self.course = Course(1, STEPS)

    @initialize(course=st.sampled_from([Course(1, STEPS), Course(1, STEPS, can_declare=True), DECLARED]))
    def is_planned(self, course: Course) -> None:
        self.course = course

    @rule(event=events())
    def hears(self, event: RolloutEvent) -> None:
        self.news.append(event)
        self.facts = fold(self.facts, event)

    @precondition(lambda self: self.news)
    @rule(data=st.data())
    def hears_again(self, data: st.DataObject) -> None:
        again = data.draw(st.sampled_from(self.news))
        before = self.facts.to_json()
        self.facts = fold(self.facts, again)
        assert self.facts.to_json() == before

    @invariant()
    def a_second_install_step_is_never_possible(self) -> None:
        for gate in (0, NOW):
            may = possible(self.facts, self.course, gate)
            entering = self.facts.accepted or any(step.installs for step in self.facts.open_steps())
            assert not (may.intend and (entering or not gate))
            if self.facts.unresolved:
                assert not may.intend

    @invariant()
    def there_is_a_state_and_a_time_to_look_again(self) -> None:
        state = state_of(self.facts, self.course, 0)
        assert isinstance(state, State)
        decision = next_steps(self.facts, self.course, Gate(), NOW, Cadences())
        if state is not State.DONE:
            assert decision.due_at is not None
            assert decision.due_at > NOW
        assert (1 in self.facts.proven) == (state is State.DONE)

    @invariant()
    def a_command_and_a_declaration_are_never_about_at_once(self) -> None:
        decision = next_steps(self.facts, self.course, Gate(NOW, NOW + MINUTE), NOW, Cadences())
        gives = any(isinstance(act, Assign) and act.role == GIVE for act in decision.acts)
        steps = any(isinstance(act, Intend) for act in decision.acts)
        assert not (steps and (gives or held(self.facts.assignments) or declares(self.facts, self.course)))
        assert not (gives and self.facts.on_server)

    @invariant()
    def a_push_outside_the_window_wakes_nobody_who_may_install(self) -> None:
        may = possible(self.facts, self.course, 0)
        assert not (may.query_push and self.facts.on_server)


TestDevice = Device.TestCase
TestDevice.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
