"""Our fold, states and next steps against the design's explored model, driven by the same random histories."""

import importlib.util
import random
import sys
from types import ModuleType

import pytest

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.terms import InstallAction
from osupdate_kit.rollout.engine import may_send, possible
from osupdate_kit.rollout.events import EventKind, RolloutEvent
from osupdate_kit.rollout.journey import Armed
from osupdate_kit.rollout.policy import Steps
from osupdate_kit.rollout.state import Course, Facts, State, fold, state_of
from tests.paths import SHARED

KEY = DeviceKey("s", "D")
ACTIONS = {"D": "DownloadOnly", "A": "InstallASAP", "F": "Default"}
ANSWERS = {"N": "not_now", "E": "failed", "L": "needs_download", "U": "no_update", "A": "acknowledged"}
LOOKS = {"": "nothing", "ready": "ready", "run": "installing", "target": "nothing"}


def load_model() -> ModuleType:
    spec = importlib.util.spec_from_file_location("design_model_kit", SHARED / "model" / "kit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


MODEL = load_model()


class Pair:
    """One device, remembered twice: by the model's kit and by ours. Every move goes to both."""

    def __init__(self, seed: int, policy: str, tries: int, forgets: bool) -> None:
        self.random = random.Random(seed)
        self.design = MODEL.Design(policy=policy, retry_unknown=not forgets)
        self.tries, self.forgets = tries, forgets
        self.kit = MODEL.Kit()
        self.facts = Facts()
        self.events: list[RolloutEvent] = []
        self.rollout, self.gate, self.gates = 1, 1, 1
        self.clock = 10
        self.pushed_at = 0
        self.final: set[int] = set()

    @property
    def course(self) -> Course:
        actions = tuple(InstallAction(ACTIONS[letter]) for letter in self.design.policy)
        return Course(self.rollout, Steps(actions=actions, tries=self.tries))

    def tick(self) -> int:
        self.clock += 2
        return self.clock

    def some_time(self) -> int:
        """Mostly news; sometimes something that the server made earlier and that comes late. Never the same instant."""
        return (
            self.tick()
            if self.random.random() < 0.7
            else self.random.randrange(11, self.clock + 12, 2) * 1000 + self.tick()
        )

    def tell(
        self, kind: EventKind, *, of: str = "", outbox: int = 0, rollout: int = 0, at: int = 0, **words: object
    ) -> None:
        evidence = {"of": of, **words} if of else words
        event = RolloutEvent(
            key=KEY, kind=kind, at=at, recorded_at=self.tick(), digest=str(len(self.events)), server_at=at,
            rollout=rollout or self.rollout, outbox=outbox, evidence=evidence,
        )  # fmt: skip
        self.events.append(event)
        self.facts = fold(self.facts, event)

    def step(self, kind: EventKind, i: int, at: int = 0, **words: object) -> None:
        s = self.kit.steps[i]
        rollout = self.rollouts[i]
        self.tell(kind, of="step", outbox=i + 1, rollout=rollout, at=at, role=s.role, action=ACTIONS[s.kind], **words)

    rollouts: dict[int, int]

    def learn(self, *event: object) -> None:
        self.kit = MODEL.learn(self.kit, event, self.design)

    def move(self) -> None:
        choices = [self.act] * 5 + [self.server, self.server, self.device, self.device, self.world]
        self.random.choice(choices)()

    def act(self) -> None:
        acts = MODEL.next_steps(self.kit, bool(self.gate), self.tries, self.design)
        if not acts:
            return
        act = self.random.choice(acts)
        if act[0] == "intend":
            i = len(self.kit.steps)
            self.kit = self.kit._replace(steps=(*self.kit.steps, MODEL.Step(act[1], act[2])))
            self.rollouts[i] = self.rollout
            self.step(EventKind.INTENDED, i)
        elif act[0] == "send":
            i = act[1]
            sent = self.kit.steps[i]._replace(box=max(self.kit.steps[i].box, 1))
            self.kit = self.kit._replace(steps=(*self.kit.steps[:i], sent, *self.kit.steps[i + 1 :]))
            self.step(EventKind.SENDING, i)
        elif act[0] == "knock":
            self.kit = self.kit._replace(knocked=1)
            self.pushed_at = self.tick()
            self.tell(EventKind.SENDING, of="push", gate=self.gate)
            self.tell(EventKind.PUSHED, of="push", gate=self.gate, at=self.pushed_at)

    def server(self) -> None:
        sending = [i for i, s in enumerate(self.kit.steps) if s.box == 1]
        if not sending:
            return
        i = self.random.choice(sending)
        if self.random.random() < 0.2 and self.kit.steps[i].answer == "-":
            self.learn("refused", i)
            self.step(EventKind.REFUSED, i)
            return
        at = 0 if self.random.random() < 0.3 else self.tick()
        self.learn("queued", i, at)
        self.step(EventKind.QUEUED, i, at)

    def device(self) -> None:
        what = self.random.random()
        at = self.tick()
        sent = [i for i, s in enumerate(self.kit.steps) if s.box in (1, 2) and i not in self.final]
        if what < 0.45 and sent:
            i = self.random.choice(sent)
            answer = self.random.choice("NELUAA")
            if answer != "N":
                self.final.add(i)
            self.learn("answer", i, answer, at)
            self.step(EventKind.ANSWERED, i, at, answer=ANSWERS[answer])
        elif what < 0.8:
            seen = self.random.choice(["", "ready", "ready", "run"] + ["target"] * (self.random.random() < 0.1))
            at = max(11, at - self.random.choice([0, 0, 0, 7, 13]) * 2 + 1)  # some looks come late
            self.learn("looked", "p", seen, at)
            proves = {"proves": list(range(1, self.rollout + 1))} if seen == "target" else {}
            self.tell(EventKind.ANSWERED, of="query", type="OSUpdateStatus", at=at, look=LOOKS[seen])
            self.tell(EventKind.ANSWERED, of="query", type="DeviceInformation", at=at, os_version="18.1", **proves)
        else:
            fresh = self.random.random() < 0.6
            self.learn("idle", fresh)
            if self.pushed_at:
                self.tell(EventKind.IDLE, at=at if fresh else self.pushed_at - 1)

    def world(self) -> None:
        what = self.random.random()
        if what < 0.5:
            self.gates += 1
            self.kit = self.kit._replace(knocked=0)
            self.gate = 0 if self.gate else self.gates
            self.pushed_at = 0
        elif what < 0.7:
            at = self.tick()
            self.learn("cleared", at)
            self.tell(EventKind.AUTHENTICATED, at=at)
        elif what < 0.9:
            at = self.tick()
            self.learn("foreign", at)
            self.tell(EventKind.FOREIGN, at=at)
        elif self.kit.steps and not self.kit.target:
            self.rollout += 1
            self.kit = self.kit._replace(since=len(self.kit.steps), knocked=0)
            if self.gate:
                self.gates += 1
                self.gate = self.gates
            self.pushed_at = 0

    def compare(self) -> None:
        kit, gate, course = self.kit, self.gate, self.course
        assert state_of(self.facts, course, gate) == MODEL.state_of(kit, bool(gate), self.tries, self.design)
        assert self.facts.unresolved == MODEL.unresolved(kit, self.design)
        assert self.facts.on_server == MODEL.on_server(kit, self.design)
        if kit.target:
            assert state_of(self.facts, course, gate) is State.DONE
            return
        assert (self.facts.armed is not Armed.NO) == MODEL.armed(kit, self.design)
        assert self.our_acts() == set(MODEL.next_steps(kit, bool(gate), self.tries, self.design))

    def our_acts(self) -> set[tuple[object, ...]]:
        may = possible(self.facts, self.course, self.gate, forgets_answered=self.forgets)
        acts: set[tuple[object, ...]] = set()
        for i in range(len(self.kit.steps)):
            if may_send(self.facts, self.course, i + 1, self.gate, forgets_answered=self.forgets):
                acts.add(("send", i))
        if may.intend:
            acts.add(("intend", self.design.policy[may.intend - 1], may.intend))
        if may.knock:
            acts.add(("knock",))
        if may.push:
            acts.add(("push",))
        if may.query:
            acts.add(("probe", may.query_push))
        return acts


@pytest.mark.parametrize("policy", ["DA", "FF"])
@pytest.mark.parametrize("tries", [1, 2])
@pytest.mark.parametrize("forgets", [False, True])
def test_states_and_next_steps_are_the_models(policy: str, tries: int, forgets: bool) -> None:
    for seed in range(400):
        pair = Pair(seed, policy, tries, forgets)
        pair.rollouts = {}
        for _ in range(45):
            pair.move()
            try:
                pair.compare()
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, {policy}, {tries} tries: {pair.kit}\n{pair.facts}") from error
            if pair.kit.target:
                break


def test_order_and_repeats_of_the_evidence_do_not_matter() -> None:
    for seed in range(150):
        pair = Pair(seed, "DA", 2, False)
        pair.rollouts = {}
        for _ in range(30):
            pair.move()
        shuffled = pair.events + pair.events[::3]
        for _ in range(3):
            pair.random.shuffle(shuffled)
            facts = Facts()
            for event in shuffled:
                facts = fold(facts, event)
            assert facts.to_json() == pair.facts.to_json()
            assert Facts.from_json(facts.to_json()) == facts
