"""One story, lived through: the service's turns one by one in seeded order over store, server and devices."""

import plistlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID

from msgspec import structs
from sqlalchemy import text

from osupdate_kit.errors import OSUpdateKitError, RolloutError, StoreError
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.kit import Kit
from osupdate_kit.lab.clock import DAY, HOUR, SECOND, VirtualClock
from osupdate_kit.lab.devices import SimulatedDevice
from osupdate_kit.lab.server import LabServer, WebhookFaults, basic_authorization
from osupdate_kit.lab.specs import DeviceSpec
from osupdate_kit.lab.truth import TruthLog
from osupdate_kit.lab.world import World
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import Cadences
from osupdate_kit.rollout.targets import Target
from osupdate_kit.servers.nanomdm import NanoMDM
from osupdate_kit.servers.transport import in_process_session
from osupdate_kit.service.acts import Actor
from osupdate_kit.service.census import Census
from osupdate_kit.service.gates import Gatekeeper
from osupdate_kit.service.loop import Loop
from osupdate_kit.service.receiver import LedgerInbox, Receiver, WebhookSource
from osupdate_kit.service.record import Plans
from osupdate_kit.service.sender import Sender
from osupdate_kit.service.worker import Worker
from osupdate_kit.stores.ledger import InboxRow, Ledger
from tests.lab.worlds import API_KEY, MONDAY
from tests.simulation.checks import Broken, Checks
from tests.simulation.faults import Crash, Line, Luck, MortalLedger, garbled
from tests.simulation.scenario import ITEM, STRANGER, TARGET, Deed, Scenario

SERVER = "lab"
TURNS = 2000  # at one instant: a service that is never done is broken
BY_THE_CLOCK = frozenset({"gates", "loop", "sender"})  # who may find work although nothing has happened
_NEWS_FOR = {  # whose turn may find work after a busy one
    "worker": ("worker", "gates", "loop"),
    "actor": ("actor", "gates", "loop", "sender"),
    "gates": ("gates", "loop", "sender"),
    "loop": ("loop", "sender"),
    "census": ("census", "sender"),
    "sender": ("sender", "worker"),
}


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays the service: a planted bug is another player."""

    worker: type[Worker] = Worker
    gates: type[Gatekeeper] = Gatekeeper
    loop: type[Loop] = Loop
    sender: type[Sender] = Sender


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a story led to; `broken` is empty when every promise was kept."""

    seed: int
    broken: str
    invariant: str
    injected: Counter[str]
    reached: Counter[tuple[str, str]]  # (state, evidence that met it)
    states: Counter[str]  # as shown at the end


def simulate(
    story: Scenario,
    *,
    cast: Cast = Cast(),
    url: str = "sqlite://",
    tell: Callable[[str], None] | None = None,
) -> Outcome:
    """Live through a story. tell: is told every step, for people."""
    ledger = Ledger.open(url, migrate=True)
    try:
        simulation = Simulation(story, ledger, cast, tell)
        broken = invariant = ""
        try:
            simulation.run()
        except Broken as error:
            broken, invariant = str(error), error.invariant
            simulation.say(f"BROKEN {broken}")
        checks = simulation.checks
        return Outcome(story.seed, broken, invariant, simulation.luck.injected, checks.reached(), checks.shown)
    finally:
        ledger.close()


class Simulation:
    def __init__(self, story: Scenario, ledger: Ledger, cast: Cast, tell: Callable[[str], None] | None) -> None:
        self.story, self.ledger, self.cast, self._tell = story, ledger, cast, tell
        self.luck = Luck(story.seed, story.faults)
        self.order = Random(f"order {story.seed}")
        self.clock, self.truth = VirtualClock(MONDAY), TruthLog()
        faults = story.faults
        self.server = LabServer(
            self.clock,
            API_KEY,
            storage="pgsql" if story.storage == "pgsql" else "kv",
            delete=story.delete,
            webhook=self._webhook,
            seed=story.seed,
            truth=self.truth,
        )
        self._webhook_faults = WebhookFaults(
            lost=faults.lost, doubled=faults.doubled, late=faults.late, late_minutes=(2, 900), reorder=faults.reorder
        )
        devices = [SimulatedDevice(spec, story.releases[spec.platform], self.truth) for spec in story.specs]
        self.world = World(self.clock, self.server, devices, self.truth)
        self.mortal = MortalLedger(ledger, self.luck)
        self.checks = Checks(self)
        self._line = Line(self.luck)
        self.person = Kit(ledger, {SERVER: self._adapter()}, self.clock, Cadences(), who="simulation")
        self.down_until = 0
        self.rollouts: list[int] = []  # in the order of their beginning; the broken one is not among them
        self.broken_rollout = 0
        self.held: dict[str, int] = {}
        self._deeds = list(story.deeds)
        self._intact = ""
        self._receiver_up_from = 0
        self._uuids = Random(f"uuids {story.seed}")
        self._boot()

    # --- the process ---

    def _adapter(self) -> NanoMDM:
        return NanoMDM(
            SERVER,
            "http://lab.invalid",
            API_KEY,
            batch_ids=self.story.batch_ids,
            forgets_answered=self.story.delete,
            session=in_process_session(self.server.handle, before=self._before, after=self._line.after),
        )

    def _before(self, call: Any) -> None:
        self._line.before(call)
        self.say(f"    → {call.method} {call.path} {dict(call.query)} {self.checks.named(call.body)}")
        self.checks.call(call)

    def _boot(self) -> None:
        """A fresh process over the same store: nothing in memory survives."""
        ledger: Any = self.mortal
        plans, clock, cast = Plans(), self.clock, self.cast
        self.loop = cast.loop(ledger, clock, Cadences(), plans)
        self.worker = cast.worker(ledger, clock, plans)
        self.sender = cast.sender(ledger, self._adapter(), clock, plans, new_uuid=self._new_uuid)
        self.turns: dict[str, Callable[[], object]] = {
            "worker": self.worker.turn,
            "actor": Actor(ledger, clock, plans).turn,
            "gates": cast.gates(ledger, clock, Cadences(), plans).turn,
            "loop": self.loop.turn,
            "census": Census(ledger, clock).turn,
            "sender": self.sender.turn,
        }
        self.receiver = Receiver(LedgerInbox(ledger), [WebhookSource(name=SERVER, key=None)], clock)
        self._news = set(self.turns) - BY_THE_CLOCK

    def _new_uuid(self) -> str:
        return str(UUID(int=self._uuids.getrandbits(128), version=4)).upper()

    def _die(self, where: str) -> None:
        now = self.clock.now()
        hours = self.luck.choice((0.01, 0.1, 0.5, 3, 9))
        self.down_until = now + int(hours * self.luck.between(0.5, 1.5) * HOUR)
        self.say(f"  the process dies in {where}; back at {clock_time(self.down_until)}")
        self._boot()

    # --- the webhook ---

    def _webhook(self, body: bytes, headers: Mapping[str, str]) -> int:
        now = self.clock.now()
        if now < self.down_until or now < self._receiver_up_from:
            self.luck.injected["event without a receiver"] += 1
            return 0
        if self.luck.strikes("receiver down", self.story.faults.receiver_down / 20):
            self._receiver_up_from = now + int(self.luck.between(0.1, 2) * HOUR)
            return 0
        odd = self._is_garbled(body)
        if odd:
            body = garbled(body, self.luck)
        self.checks.delivered(body)
        try:
            status = self.receiver.accept(SERVER, headers, body)
        except Crash:
            self._die("receiver")
            return 0
        self.say(f"    ← {self.checks.event_words(body)}{' (garbled)' if odd else ''}: {status}")
        self._news.add("worker")
        if status == 200 and not odd:
            self.checks.acknowledged(body)
        elif status not in (200, 503) and not odd:
            raise Broken("I3", f"the receiver answers {status} to an event of the server: {body[:200]!r}")
        return status

    def _is_garbled(self, body: bytes) -> bool:
        number = self.story.garbled
        if number is None or self.story.specs[number].udid.encode() not in body or b'"command_uuid"' not in body:
            return False
        return self.luck.strikes("garbled answer", self.story.faults.garbled)

    # --- the course of things ---

    def run(self) -> None:
        story = self.story
        self._register()
        while self.clock.now() < story.starts_at:
            self._step(story.starts_at)
        self._begin()
        self.luck.on = True
        self.server.faults = self._webhook_faults
        while self.clock.now() < story.calm_at:
            self._do_deeds()
            self._step(story.calm_at)
        self._calm()
        while self.clock.now() < story.ends_at:
            self._do_deeds()
            self._step(story.ends_at)
        self._let_turn()
        self.checks.at_the_end()

    def _register(self) -> None:
        story = self.story
        listed = [self._listed(spec) for spec in story.specs]
        with self.ledger.write() as tx:
            tx.add_devices(listed, now=self.clock.now())
            if story.census:
                tx.census_add([device.key for device in listed], now=self.clock.now())
        self.world.enrol()

    def _listed(self, spec: DeviceSpec) -> Device:
        bare = Device(key=DeviceKey(SERVER, spec.udid), udid=spec.udid, time_zone=spec.time_zone)
        if self.story.census:
            return bare
        known = OSVersion.parse(spec.os_version)
        return structs.replace(bare, platform=spec.platform, os_version=known, supervised=True, serial=spec.serial)

    def _begin(self) -> None:
        """Start the rollout; and the one whose plan will be broken, with one device of its own."""
        devices = [spec.udid for spec in self.story.specs]
        if self.story.broken_plan:
            self.broken_rollout = self._start(devices[:1], self.story.deadline_at)
            devices = devices[1:]
        if self.broken_rollout:
            with self.ledger.read() as tx:
                rollout = tx.rollout(self.broken_rollout)
                assert rollout is not None
                plan = tx.plan_of(rollout.plan_id)
                assert plan is not None
            self._intact = plan.yaml
            self._write_plan("nothing that can be read")
            self._boot()
        if rollout_id := self._start(devices, self.story.deadline_at):
            self.rollouts.append(rollout_id)

    def _write_plan(self, yaml: str) -> None:
        sql = "UPDATE plans SET yaml = :yaml WHERE id = (SELECT plan FROM rollouts WHERE id = :rollout)"
        with self.ledger.write() as tx:
            tx._connection.execute(text(sql), {"yaml": yaml, "rollout": self.broken_rollout})

    def _start(self, udids: list[str], deadline_at: int) -> int:
        """Plan and start; 0 if nobody can be selected, or a device is in a live rollout or gone."""
        story, kit = self.story, self.person
        platforms = {spec.platform for spec in story.specs}
        target = Target(product_key=ITEM) if story.item else Target(version=OSVersion.parse(TARGET))
        deferrals = story.max_user_deferrals
        plan = RolloutPlan(
            name=f"to {TARGET}",
            author="simulation",
            created_at=self.clock.now(),
            target=target,
            deadline_at=deadline_at,
            actions={p: a for p, a in story.actions.items() if p in platforms or p is Platform.MACOS},
            max_user_deferrals=deferrals,
            window=story.window,
            tries=story.tries,
            allow_major=True,
            waves=story.waves,
            limits=story.limits,
            slots_per_site=story.slots_per_site,
        )
        with self.ledger.read() as tx:
            serials = {device.key.enrollment_id for device in tx.all_devices()}
        try:
            selection = kit.select(wanted=sorted(serials & set(udids)))
            rollout = kit.start(kit.draft(selection, plan)).id
        except OSUpdateKitError as error:
            self.say(f"  no start: {error}")
            return 0
        self.checks.started(rollout, udids)
        self.say(f"  rollout {rollout} starts")
        return rollout

    def _calm(self) -> None:
        """From here on nothing breaks any more."""
        self.say("  calm")
        self.luck.on = False
        self.server.faults = WebhookFaults(reorder=0.03)
        self.down_until = min(self.down_until, self.clock.now())
        self._receiver_up_from = 0
        if self._intact:
            self._write_plan(self._intact)

    def _do_deeds(self) -> None:
        while self._deeds and self._deeds[0].at <= self.clock.now():
            deed = self._deeds.pop(0)
            spec = self.story.specs[deed.device % len(self.story.specs)]
            self.say(f"  {deed.what} {spec.udid if deed.device else ''}")
            self._news |= {"actor", "worker"}
            self._do(deed, spec)

    def _do(self, deed: Deed, spec: DeviceSpec) -> None:
        now, key = self.clock.now(), DeviceKey(SERVER, spec.udid)
        rollout = self.rollouts[-1] if self.rollouts else 0
        if deed.what in ("pause", "resume", "halt", "cancel", "abandon", "open", "lift"):
            details = {"abandon": f"{SERVER} {spec.udid}", "open": self.story.waves[-1].name}
            try:
                self.person.act(deed.what, rollout, detail=details.get(deed.what, ""))
            except RolloutError as error:
                self.say(f"    refused: {error}")
        elif deed.what == "start":
            udids = [s.udid for s in self.story.specs if not self.broken_rollout or s is not self.story.specs[0]]
            if again := self._start(udids, max(self.story.deadline_at, now + DAY)):
                self.rollouts.append(again)
        elif deed.what == "hold" and spec.udid not in self.held:
            with self.ledger.write() as tx:
                self.held[spec.udid] = tx.add_hold(key, at=now, by="simulation", reason="exam")
        elif deed.what == "release" and spec.udid in self.held:
            with self.ledger.write() as tx:
                tx.release_hold(self.held.pop(spec.udid), at=now, by="simulation")
        elif deed.what == "stranger":
            self._stranger(spec)
        elif deed.what == "enrol":
            self.world.enrol([spec.udid])
        elif deed.what == "check_out" and self.world.devices[spec.udid].enrolled:
            self.world.check_out(spec.udid)
            if self.order.random() < 0.5:
                later = now + int(self.order.uniform(0.2, 30) * HOUR)
                self._deeds = sorted([*self._deeds, replace(deed, what="enrol", at=later)], key=lambda one: one.at)
        elif deed.what == "rubbish":
            row = InboxRow(server=SERVER, kind="webhook", received_at=now, body=b"\x00 no event")
            self.ledger.take_in([row])
            self.receiver.accept(SERVER, {}, b'{"topic": "mdm.Connect"}')

    def _stranger(self, spec: DeviceSpec) -> None:
        uuid = f"STRANGER-{self.clock.now()}"
        action = "InstallASAP" if self.order.random() < 0.6 else "Default"
        command = {
            "RequestType": "ScheduleOSUpdate",
            "Updates": [{"ProductVersion": TARGET, "InstallAction": action}],
        }
        body = plistlib.dumps({"CommandUUID": uuid, "Command": command})
        headers = {"Authorization": basic_authorization(API_KEY)}
        self.server.handle("PUT", f"/v1/enqueue/{spec.udid}", {}, headers, body)
        self.luck.injected[STRANGER] += 1

    def _step(self, until: int) -> None:
        if self.clock.now() >= self.down_until:
            self._let_turn()
        self._let_time_pass(until)

    def _let_turn(self) -> None:
        """Turns in seeded order, as long as one of them may have something to do."""
        waiting, self._news = sorted(BY_THE_CLOCK | self._news), set()
        for _ in range(TURNS):
            if not waiting:
                return
            name = waiting.pop(self.order.randrange(len(waiting)))
            if self.luck.on and self.order.random() < 0.05:
                self._news.add(name)
                continue
            done = self._turn(name)
            if done is None:
                return
            if done:
                waiting += [other for other in _NEWS_FOR[name] if other not in waiting]
        raise Broken("I9", f"after {TURNS} turns the service has still something to do")

    def _turn(self, name: str) -> object:
        """One turn and the checks after it; None: the process died."""
        try:
            done = self.turns[name]()
        except Crash:
            self._die(name)
            self.checks.after_turn(name)
            return None
        except StoreError:
            self.say(f"  {name}: the store fails")
            self.checks.after_turn(name)
            self._news.add(name)
            done = False
        except Broken:
            raise
        except Exception as error:
            raise Broken("I9", f"{name} fails for everybody: {type(error).__name__}: {error}") from error
        if done:
            self.say(f"  {name}: {done}")
            self.checks.after_turn(name)
        return done

    def _let_time_pass(self, until: int) -> None:
        now = self.clock.now()
        wakes = [self.world.next_at(), self.down_until, self._due_at(), until]
        wakes += [deed.at for deed in self._deeds[:1]]
        at = min(wake for wake in wakes if wake and wake > now)
        if self.luck.strikes("the service lags", self.story.faults.slow):
            at += int(self.luck.between(0.1, 5) * HOUR)
        else:
            seconds = (40, 120, 900) if self.luck.on else (120, 1200, 1800)
            at += int(self.order.uniform(0, self.order.choice(seconds)) * SECOND)
        at = min(at, until)
        self.say(f"{clock_time(at)}")
        armed, before = self.checks.armed(), len(self.truth)
        self.world.run_until(at)
        self.checks.world_went_on(before, armed)

    def _due_at(self) -> int:
        sql = "SELECT min(not_before) FROM outbox WHERE kind = 'step' AND status IN ('sending', 'unknown')"
        with self.ledger.read() as tx:
            due = tx.next_due() or 0
            unsure = tx._connection.execute(text(sql)).scalar() or 0
        now = self.clock.now()
        return min((at for at in (due, unsure) if at > now), default=0)

    # --- for people ---

    def say(self, words: str) -> None:
        if self._tell is not None:
            self._tell(words)


def clock_time(at: int) -> str:
    return f"{datetime.fromtimestamp(at / SECOND, UTC):%a %d %H:%M:%S}"
