"""One story, lived through: the service's turns one by one in seeded order over store, server and devices."""

import plistlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from msgspec import structs
from sqlalchemy import text

from osupdate_kit.errors import OSUpdateKitError, RolloutError, StoreError
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.kit import Kit
from osupdate_kit.lab.clock import DAY, HOUR, MINUTE, SECOND
from osupdate_kit.lab.ddm import LabDDM
from osupdate_kit.lab.server import LabServer, WebhookFaults, basic_authorization
from osupdate_kit.lab.specs import DeviceSpec
from osupdate_kit.lab.truth import TruthLog
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.alerts import Watch
from osupdate_kit.rollout.enforcement import Declaring
from osupdate_kit.rollout.people import SecondPerson
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import Cadences
from osupdate_kit.rollout.targets import Target
from osupdate_kit.servers.ddm import KMFDDM, Declarations
from osupdate_kit.servers.nanomdm import NanoMDM
from osupdate_kit.servers.transport import Call, in_process_session
from osupdate_kit.service.acts import Actor
from osupdate_kit.service.alerts import Alerter
from osupdate_kit.service.census import Census
from osupdate_kit.service.gates import Gatekeeper
from osupdate_kit.service.keeping import Keeper
from osupdate_kit.service.loop import Loop
from osupdate_kit.service.receiver import LedgerInbox, Receiver, WebhookSource
from osupdate_kit.service.record import Plans
from osupdate_kit.service.reports import StatusReader
from osupdate_kit.service.sender import Sender
from osupdate_kit.service.tidying import Tidier
from osupdate_kit.service.worker import Worker
from osupdate_kit.stores.ledger import InboxRow
from tests.lab.worlds import API_KEY, MONDAY
from tests.simulation.checks import SERVER, Broken, Checks
from tests.simulation.faults import Clocks, Crash, Line, Luck, MortalLedger, OurClock, garbled
from tests.simulation.scenario import ITEM, STRANGER, TARGET, Deed, Scenario
from tests.simulation.sites import Sites, StormyDevice
from tests.simulation.store import MEMORY, Store

ANNEX = "annex"  # to which some move
TURNS = 2000  # at one instant: a service that is never done is broken
BY_THE_CLOCK = frozenset({"gates", "loop", "sender"})  # who may find work although nothing has happened
_NEWS_FOR = {  # whose turn may find work after a busy one
    "worker": ("worker", "gates", "loop"),
    "actor": ("actor", "gates", "loop", "sender"),
    "office": (),
    "gates": ("gates", "loop", "sender"),
    "loop": ("loop", "sender"),
    "census": ("census", "sender"),
    "sender": ("sender", "worker"),
}
_IDLE = 0.15  # share of the turns that are taken although nothing is to be done in them
_DUE = (
    "SELECT (SELECT min(due_at) FROM journey WHERE due_at IS NOT NULL), (SELECT min(not_before) FROM outbox "
    "WHERE kind IN ('step', 'assignment') AND status IN ('sending', 'unknown')), "
    "(SELECT min(not_before) FROM outbox WHERE status = 'intended' AND not_before > :now)"
)
_WORK = {
    "loop": (
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM journey WHERE due_at <= :now) OR EXISTS (SELECT 1 FROM rollouts "
        "WHERE status IN ('running', 'paused', 'halted') AND deadline_at <= :now)"
    ),
    "sender": (
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM outbox WHERE status = 'intended' AND not_before <= :now) OR EXISTS "
        "(SELECT 1 FROM outbox WHERE kind IN ('step', 'assignment') AND status IN ('sending', 'unknown') "
        "AND not_before <= :now)"
    ),
    "worker": "SELECT 1 FROM inbox",
    "actor": "SELECT 1 FROM acts WHERE finished_at = 0",
    "census": "SELECT 1 FROM census",
}
_ACTS = ("approve", "pause", "resume", "halt", "cancel", "abandon", "open", "lift", "retry", "extend")
_TO_DEVICES = ("abandon", "hold", "release", "stranger", "enrol", "check_out", "move")
_BEFALLS = {
    "stranger": STRANGER, "enrol": "re-enrolment", "check_out": "check-out", "move": "device moved to another server",
    "storm": "NotNow storm", "back_up": "server backed up", "restore": "server restored from its backup",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a story led to; `broken` is empty when every promise was kept."""

    seed: int
    broken: str
    invariant: str
    injected: Counter[str]
    reached: Counter[tuple[str, str]]  # (state, evidence that met it)
    states: Counter[str]  # as shown at the end


def simulate(story: Scenario, *, url: str = MEMORY, tell: Callable[[str], None] | None = None) -> Outcome:
    """Live through a story. tell: is told every step, for people."""
    store = Store(url)
    try:
        simulation = Simulation(story, store, tell)
        broken = invariant = ""
        try:
            simulation.run()
        except Broken as error:
            broken, invariant = str(error), error.invariant
            simulation.say(f"BROKEN {broken}")
        checks = simulation.checks
        reached = Counter[tuple[str, str]]() if broken else checks.reached()
        return Outcome(story.seed, broken, invariant, simulation.luck.injected, reached, checks.shown)
    finally:
        store.close()


class Simulation:
    def __init__(self, story: Scenario, store: Store, tell: Callable[[str], None] | None) -> None:
        self.story, self.store, self.ledger, self._tell = story, store, store.ledger, tell
        self.luck = Luck(story.seed, story.faults)
        self.order = Random(f"order {story.seed}")
        self.truth = TruthLog()
        self.world_clock = Clocks(MONDAY)
        self.world_clock.server_ahead = story.skew
        self.clock = OurClock(self.world_clock)
        faults = story.faults
        self._webhook_faults = WebhookFaults(
            lost=faults.lost, doubled=faults.doubled, late=faults.late, late_minutes=story.late_minutes,
            reorder=faults.reorder,
        )  # fmt: skip
        self.servers = {name: self._server(name) for name in (SERVER, ANNEX)}
        devices = [StormyDevice(spec, story.releases[spec.platform], self.truth) for spec in story.specs]
        self.world = Sites(self.world_clock, self.servers, devices, self.truth)
        self.mortal = MortalLedger(store, self.luck, self.world_clock)
        self.checks = Checks(self)
        self._lines = {name: Line(self.luck, self.world_clock, name) for name in self.servers}
        adapters = {name: self._adapter(name) for name in self.servers}
        beside = {name: self._declarations(name) for name in self.servers if story.declares}
        self.person = Kit(self.ledger, adapters, self.clock, Cadences(), who="simulation", declarations=beside)
        self.other_person = Kit(self.ledger, adapters, self.clock, Cadences(), who="another", declarations=beside)
        self.down_until = 0
        self.rollouts: list[int] = []  # in the order of their beginning; the broken one is not among them
        self.broken_rollout = 0
        self.held: set[str] = set()
        self.restored = False
        self._deeds = list(story.deeds)
        self._intact = ""
        self._receiver_up_from = 0
        self._uuids = Random(f"uuids {story.seed}")
        self._boot()

    def _server(self, name: str) -> LabServer:
        return LabServer(
            self.world_clock,
            API_KEY,
            storage="pgsql" if self.story.storage == "pgsql" else "kv",
            delete=self.story.delete,
            webhook=lambda body, headers: self._webhook(name, body, headers),
            seed=self.story.seed,
            truth=self.truth,
            declarations=LabDDM(self.world_clock, API_KEY, truth=self.truth, seed=self.story.seed)
            if self.story.declares
            else None,
        )

    # --- the process ---

    def _adapter(self, name: str) -> NanoMDM:
        line, handle = self._lines[name], self.servers[name].handle

        def before(call: Call) -> None:
            if self.telling:
                self.say(f"    → {name} {call.method} {call.path} {dict(call.query)} {self.checks.named(call.body)}")
            self.checks.call(name, call)
            line.before(call, handle)

        return NanoMDM(
            name,
            "http://lab.invalid",
            API_KEY,
            batch_ids=self.story.batch_ids,
            forgets_answered=self.story.delete,
            session=in_process_session(handle, before=before, after=line.after),
        )

    def _declarations(self, name: str) -> Declarations:
        line, handle = self._lines[name], self.servers[name].handle_declarations

        def before(call: Call) -> None:
            self.say(f"    → {name} {call.method} {call.path} {dict(call.query)}")
            self.checks.declared(name, call)
            line.before(call, handle, "declaration comes late")

        return Declarations(
            name,
            KMFDDM,
            "http://declarations.invalid",
            API_KEY,
            batch_ids=self.story.batch_ids,
            session=lambda: in_process_session(handle, before=before, after=line.after),
        )

    def _boot(self) -> None:
        """A fresh process over the same store: nothing in memory survives."""
        ledger: Any = self.mortal
        plans, clock = Plans(), self.clock
        self.worker = worker = Worker(ledger, clock, plans)
        names = [SERVER, ANNEX] if self.world.moved else [SERVER]
        beside = {name: self._declarations(name) for name in names if self.story.declares}
        senders = [
            Sender(
                ledger,
                self._adapter(name),
                clock,
                plans,
                new_uuid=self._new_uuid,
                declarations=beside.get(name),
            )
            for name in names
        ]
        readers = [StatusReader(ledger, server, clock, Cadences()) for server in beside.values()]
        tidiers = [Tidier(ledger, server, clock) for server in beside.values()]
        keeper, alerter = Keeper(ledger, clock), Alerter(ledger, clock, plans, names, Watch())
        self.turns: dict[str, Callable[[], object]] = {
            "worker": worker.turn,
            "actor": Actor(ledger, clock, plans).turn,
            "gates": Gatekeeper(ledger, clock, Cadences(), plans).turn,
            "loop": Loop(ledger, clock, Cadences(), plans).turn,
            "census": Census(ledger, clock).turn,
            "sender": lambda: sum(sender.turn() for sender in senders),
            "office": lambda: alerter.turn() + keeper.turn() + sum(one.turn() for one in (*readers, *tidiers)),
        }
        sources = [WebhookSource(name=name, key=None) for name in self.servers]
        self.receiver = Receiver(LedgerInbox(ledger), sources, clock)
        self._news = set(self.turns) - BY_THE_CLOCK - {"office"}

    def _new_uuid(self) -> str:
        return str(UUID(int=self._uuids.getrandbits(128), version=4)).upper()

    def _die(self, where: str) -> None:
        hours = self.luck.choice("down", (0.01, 0.1, 0.5, 3, 9))
        self.down_until = self.world_clock.now() + int(hours * self.luck.between("down", 0.5, 1.5) * HOUR)
        self.say(f"  the process dies in {where}; back at {clock_time(self.down_until)}")
        self._boot()

    # --- the webhook ---

    def _webhook(self, server: str, body: bytes, headers: Mapping[str, str]) -> int:
        now = self.world_clock.now()
        if now < self.down_until or now < self._receiver_up_from:
            self.luck.injected["event without a receiver"] += 1
            return 0
        if self.luck.strikes("receiver down", self.story.faults.receiver_down / 20):
            self._receiver_up_from = now + int(self.luck.between("receiver down", 0.1, 2) * HOUR)
            return 0
        odd = self._is_garbled(body)
        if odd:
            body = garbled(body, self.luck)
        self.checks.delivered(server, body)
        try:
            status = self.receiver.accept(server, headers, body)
        except Crash:
            self._die("receiver")
            return 0
        if self.telling:
            self.say(f"    ← {server} {self.checks.event_words(body)}{' (garbled)' if odd else ''}: {status}")
        self._news.add("worker")
        if status == 200 and not odd:
            self.checks.acknowledged(server, body)
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
        while self.world_clock.now() < story.starts_at:
            self._step(story.starts_at)
        self._begin()
        self.luck.on = True
        for server in self.servers.values():
            server.faults = self._webhook_faults
        while self.world_clock.now() < story.calm_at:
            self._do_deeds()
            self._step(story.calm_at)
        self._calm()
        while self.world_clock.now() < story.ends_at:
            self._do_deeds()
            self._step(story.ends_at)
        self._let_turn()
        self.checks.at_the_end()

    def _register(self) -> None:
        story = self.story
        listed = [self._listed(spec) for spec in story.specs]
        with self.ledger.write() as tx:
            tx.add_devices(listed, now=self.clock.now())
            if story.approval_hours:
                tx.set_second_person(SecondPerson(over=1))
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
            download_window=story.download_window,
            blackouts=story.blackouts,
            tries=story.tries,
            allow_major=True,
            waves=story.waves,
            limits=story.limits,
            slots_per_site=story.slots_per_site,
            declaring=Declaring(
                servers=tuple(sorted(self.servers)) if story.declares else (), days=story.enforce_days, weekends=True
            ),
        )
        try:
            known = {device.key.enrollment_id for device in kit.inventory()}
            selection = kit.select(wanted=sorted(known & set(udids)))
            rollout = kit.start(kit.draft(selection, plan)).id
        except OSUpdateKitError as error:
            self.say(f"  no start: {error}")
            return 0
        self.checks.started(rollout, udids)
        self.say(f"  rollout {rollout} starts")
        if story.approval_hours:
            at = self.world_clock.now() + int(story.approval_hours * HOUR)
            self._book(Deed(at=at, what="approve", device=int(story.specs[-1].udid.rpartition("-")[2])))
        return rollout

    def _calm(self) -> None:
        """From here on nothing breaks any more."""
        self.say("  calm")
        self.luck.on = False
        self.mortal.make_room()
        for server in self.servers.values():
            server.faults = WebhookFaults(reorder=0.03)
        self.down_until = min(self.down_until, self.world_clock.now())
        self._receiver_up_from = 0
        if self._intact:
            self._write_plan(self._intact)

    def _do_deeds(self) -> None:
        now = self.world_clock.now()
        while self._deeds and self._deeds[0].at <= now:
            deed = self._deeds.pop(0)
            spec = self.story.spec_of(deed.device)
            if spec is None:
                continue
            self.say(f"  {deed.what} {spec.udid if deed.what in _TO_DEVICES else ''}")
            self._news |= {"actor", "worker"}
            try:
                self._do(deed, spec)
            except StoreError as error:
                self.say(f"    {error} {error.remedy}: later")
                self._book(replace(deed, at=now + HOUR))

    def _book(self, deed: Deed) -> None:
        self._deeds = sorted([*self._deeds, deed], key=lambda one: one.at)

    def _do(self, deed: Deed, spec: DeviceSpec) -> None:
        now, rollout = self.world_clock.now(), self.rollouts[-1] if self.rollouts else 0
        if deed.what in _ACTS:
            details = {
                "abandon": f"{SERVER} {spec.udid}",
                "open": self.story.waves[-1].name,
                "extend": str(self.story.deadline_at + DAY),
            }
            try:
                who = self.other_person if deed.what == "approve" else self.person
                who.act(deed.what, rollout, detail=details.get(deed.what, ""))
            except RolloutError as error:
                self.say(f"    refused: {error}")
        elif deed.what == "start":
            udids = [s.udid for s in self.story.specs if not self.broken_rollout or s is not self.story.specs[0]]
            if again := self._start(udids, max(self.story.deadline_at, self.clock.now() + DAY)):
                self.rollouts.append(again)
        elif deed.what == "hold":
            self.person.hold([spec.udid], reason="exam")
            self.held.add(spec.udid)
        elif deed.what == "release":
            self.person.release([spec.udid])
            self.held.discard(spec.udid)
        elif deed.what == "rubbish":
            row = InboxRow(server=SERVER, kind="webhook", received_at=self.clock.now(), body=b"\x00 no event")
            self.ledger.take_in([row])
            self.receiver.accept(SERVER, {}, b'{"topic": "mdm.Connect"}')
        else:
            self.luck.injected[_BEFALLS.get(deed.what, deed.what)] += 1
            self._befall(deed, spec, now)

    def _befall(self, deed: Deed, spec: DeviceSpec, now: int) -> None:
        """What people elsewhere do to devices and servers."""
        world = self.world
        if deed.what == "stranger":
            self._stranger(spec)
        elif deed.what == "enrol":
            world.enrol([spec.udid])
        elif deed.what == "check_out" and world.devices[spec.udid].enrolled:
            world.check_out(spec.udid)
            if self.order.random() < 0.5:
                self._book(replace(deed, what="enrol", at=now + int(self.order.uniform(0.2, 30) * HOUR)))
        elif deed.what == "move" and world.move(spec.udid, says_goodbye=self.order.random() < 0.5):
            self._boot()
        elif deed.what == "storm":
            until = now + int(self.order.uniform(1, 40) * HOUR)
            for device in world.devices.values():
                if isinstance(device, StormyDevice):
                    device.storm_until = until
        elif deed.what == "back_up":
            world.back_up()
        elif deed.what == "restore" and (again := world.play_back()) is not None:
            self.restored = True
            self.checks.resurrected |= again

    def _stranger(self, spec: DeviceSpec) -> None:
        uuid = f"STRANGER-{self.world_clock.now()}"
        action = "InstallASAP" if self.order.random() < 0.6 else "Default"
        command = {
            "RequestType": "ScheduleOSUpdate",
            "Updates": [{"ProductVersion": TARGET, "InstallAction": action}],
        }
        body = plistlib.dumps({"CommandUUID": uuid, "Command": command})
        headers = {"Authorization": basic_authorization(API_KEY)}
        self.world.server_of(spec.udid).handle("PUT", f"/v1/enqueue/{spec.udid}", {}, headers, body)

    def _step(self, until: int) -> None:
        if self.world_clock.now() >= self.down_until:
            self._let_turn()
        self._let_time_pass(until)

    def _let_turn(self) -> None:
        """Turns in seeded order, as long as one of them may have something to do."""
        waiting, self._news = sorted(BY_THE_CLOCK | self._news), set()
        if self.order.random() < 0.1:
            waiting.append("office")
        for _ in range(TURNS):
            if not waiting:
                return
            name = waiting.pop(self.order.randrange(len(waiting)))
            if self.luck.on and self.order.random() < 0.05:
                self._news.add(name)
                continue
            if name in _WORK and self.order.random() > _IDLE and not self._has_work(name):
                continue
            done = self._turn(name)
            if done is None:
                return
            if done:
                waiting += [other for other in _NEWS_FOR[name] if other not in waiting]
        raise Broken("I9", f"after {TURNS} turns the service has still something to do")

    def _has_work(self, name: str) -> bool:
        return bool(self.store.value(_WORK[name], now=self.clock.now()))

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
        else:
            if name == "gates":
                self.checks.pace()
        if self.worker.untaken:
            raise Broken("I9", "the worker could not take an event that it had read")
        if done:
            self.say(f"  {name}: {done}")
            self.checks.after_turn(name)
        return done

    def _let_time_pass(self, until: int) -> None:
        now, luck = self.world_clock.now(), self.luck
        self._set_clocks()
        underway = [call for line in self._lines.values() for call in line.underway]
        wakes = [self.world.next_at(), self.down_until, self._due_at(), until]
        wakes += [deed.at for deed in self._deeds[:1]] + [call.at for call in underway]
        at = min(wake for wake in wakes if wake and wake > now)
        if luck.strikes("the service lags", self.story.faults.slow):
            at += int(luck.between("the service lags", 0.1, 5) * HOUR)
        else:
            seconds = (40, 120, 900) if luck.on else (120, 1200, 1800)
            at += int(self.order.uniform(0, self.order.choice(seconds)) * SECOND)
        at = min(at, until)
        for call in sorted(call for call in underway if call.at <= at):
            self._pass(max(call.at, self.world_clock.now()))
            self._lines[call.server].underway.remove(call)
            words = call.call
            self.checks.came_late(words)
            self.say(f"    ⇒ {call.server} {words.method} {words.path} {dict(words.query)} comes late")
            call.handle(words.method, words.path, words.query, words.headers, words.body)
        self._pass(at)

    def _pass(self, at: int) -> None:
        if self.telling:
            ours = f", by our clock {clock_time(at + self.clock.ahead)}" if self.clock.ahead else ""
            self.say(f"{clock_time(at)}{ours}")
        armed, before = self.checks.armed(), len(self.truth)
        self.world.run_until(at)
        self.checks.world_went_on(before, armed)

    def _set_clocks(self) -> None:
        luck, faults = self.luck, self.story.faults
        if luck.strikes("our clock jumps", faults.clock_jumps):
            self.clock.ahead = int(
                luck.between("our clock", -1, 1) * luck.choice("our clock", (MINUTE, HOUR, 5 * HOUR))
            )
            self.say(f"  our clock is {timedelta(microseconds=self.clock.ahead)} ahead")
        if luck.strikes("the server's clock jumps", faults.server_jumps):
            self.world_clock.server_ahead += int(luck.between("server's clock", 0, 1) * 2 * HOUR)
            self.say(f"  the server's clock is {timedelta(microseconds=self.world_clock.server_ahead)} ahead")

    def _due_at(self) -> int:
        """When the service has something to do next, by the world's time."""
        now = self.clock.now()
        due = self.store.rows(_DUE, now=now)[0]
        return min((at - self.clock.ahead for at in due if at and at > now), default=0)

    # --- for people ---

    @property
    def telling(self) -> bool:
        """Does anybody listen? Asked where the words cost something, and are many."""
        return self._tell is not None

    def say(self, words: str) -> None:
        if self._tell:
            self._tell(words)


def clock_time(at: int) -> str:
    return f"{datetime.fromtimestamp(at / SECOND, UTC):%a %d %H:%M:%S}"
