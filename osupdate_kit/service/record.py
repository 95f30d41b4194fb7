"""Recording: events in, facts and journeys and signed transitions out, in the transaction of the caller.

Every event passes here, whoever saw it (worker, loop, sender), so that there is one way from evidence to state. Leaves
to `rollout` what evidence means.
"""

import logging
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec.structs import replace

from osupdate_kit.errors import PlanError
from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.rules import key_available
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.events import RolloutEvent
from osupdate_kit.rollout.history import Change, Start, changes, corrections, history, journey_of, stored_state
from osupdate_kit.rollout.journey import Journey
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.state import Course, Facts, State, fold
from osupdate_kit.rollout.targets import Target
from osupdate_kit.stores.ledger import StoredDevice, StoredJourney, Transaction, Transition

log = logging.getLogger(__name__)


class Plans:
    """The plans of running rollouts, read once: they are frozen."""

    def __init__(self) -> None:
        self._plans: dict[int, RolloutPlan] = {}
        self._starts: dict[int, Start] = {}
        self._courses: dict[tuple[int, str, str, str, str, str], Course] = {}
        self._targets: dict[str, Target] = {}  # by their text
        self._unreadable: set[int] = set()

    def plan(self, tx: Transaction, rollout: int) -> RolloutPlan:
        if rollout not in self._plans:
            self._load(tx, rollout)
        return self._plans[rollout]

    def readable(self, tx: Transaction, rollout: int) -> bool:
        """Can the plan be read? One that cannot stops its own rollout, and no other (I9); it is logged once."""
        if rollout in self._plans:
            return True
        try:
            self._load(tx, rollout)
        except PlanError as error:
            if rollout not in self._unreadable:
                log.error("rollout %s waits: %s", rollout, error)  # noqa: TRY400 - the message says it all
                self._unreadable.add(rollout)
            return False
        return True

    def start(self, tx: Transaction, rollout: int) -> Start:
        if rollout not in self._starts:
            self._load(tx, rollout)
        return self._starts[rollout]

    def forget(self, rollout: int) -> None:
        """Its plan is another one from here on."""
        self._plans.pop(rollout, None)
        self._starts.pop(rollout, None)
        self._unreadable.discard(rollout)
        self._courses = {key: course for key, course in self._courses.items() if key[0] != rollout}

    def _load(self, tx: Transaction, rollout: int) -> None:
        stored = tx.rollout(rollout)
        plan = tx.plan_of(stored.plan_id) if stored else None
        if stored is None or plan is None:
            raise PlanError(
                f"Rollout {rollout} has no plan in this store.", remedy="Restore the store from its backup."
            )
        self._plans[rollout] = RolloutPlan.from_yaml(plan.yaml)
        self._starts[rollout] = Start(stored.started_at, stored.start_seq)

    def course(self, tx: Transaction, journey: StoredJourney) -> Course:
        """What the plan wants of this device."""
        number, server = journey.journey.rollout, journey.journey.key.server
        key = (number, journey.platform, journey.os_version_start, journey.target, journey.instrument, server)
        if key not in self._courses:
            platform = Platform(journey.platform)
            plan, item = self.plan(tx, number), self.target(tx, journey).version is None
            self._courses[key] = Course(
                rollout=number,
                steps=plan.steps(platform),
                listing=platform is Platform.MACOS or not takes_version(journey),
                item=item,
                instrument=journey.instrument,
                platform=platform,
                can_declare=server in plan.declaring.servers and not item,  # a declaration names a version
            )
        return self._courses[key]

    def target(self, tx: Transaction, journey: StoredJourney) -> Target:
        """What this device is to report: its own target where the plan's is a rule."""
        plan, text = self.plan(tx, journey.journey.rollout), journey.target
        if not text:
            return plan.target
        found = self._targets.get(text)
        if found is None:
            found = self._targets[text] = plan.target_of(text)
        return found

    def target_version(self, tx: Transaction, journey: StoredJourney) -> str:
        version = self.target(tx, journey).version
        return str(version) if version else ""


_RECENT: OrderedDict[str, Facts] = OrderedDict()  # by stored text; facts never change, so all threads may share them
_MOST_RECENT = 4096


def facts_of(text: str) -> Facts:
    """The facts in a stored text. Kept for a while: worker, loop and sender read those of the same devices in turn."""
    facts = _RECENT.get(text)
    return Facts.from_json(text) if facts is None else facts


def text_of(facts: Facts) -> str:
    """The text to store."""
    text = facts.to_json()
    _RECENT[text] = facts
    if len(_RECENT) > _MOST_RECENT:
        _RECENT.popitem(last=False)
    return text


def takes_version(journey: StoredJourney) -> bool:
    """Does ScheduleOSUpdate take a ProductVersion there, or only a listed product key?"""
    return key_available("ProductVersion", Platform(journey.platform), OSVersion.parse(journey.os_version_start))


def record(
    tx: Transaction,
    plans: Plans,
    events: Sequence[RolloutEvent],
    *,
    devices: dict[DeviceKey, StoredDevice] | None = None,
    journeys: Mapping[DeviceKey, Sequence[StoredJourney]] | None = None,
    raw: Mapping[str, bytes] = MappingProxyType({}),
    at: int = 0,
    seen: Mapping[DeviceKey, int] = MappingProxyType({}),
) -> set[DeviceKey]:
    """Store the new ones among `events` and everything that follows from them; whose devices were touched and saved.

    devices, journeys: rows the caller has loaded in this transaction, devices with inventory changes of its own. raw:
    redacted bodies to be kept beside their events, by digest, as of `at`. seen: when devices were, these or others.
    """
    new = tx.add_events(events) if events else []
    if not new:
        tx.seen(seen)
        return set()
    tx.add_raw([(event.seq, raw[event.digest]) for event in new if event.digest in raw], at=at)
    by_device: dict[DeviceKey, list[RolloutEvent]] = defaultdict(list)
    for event in new:
        by_device[event.key].append(event)
    known = devices if devices is not None else tx.devices(by_device)
    journeys = journeys if journeys is not None else tx.journeys_of(by_device)
    rows: list[Journey] = []
    belated: dict[DeviceKey, tuple[Mapping[int, Course], int]] = {}
    transitions: list[Transition] = []
    for key, fresh in by_device.items():
        device = known[key]
        facts, newest_at = facts_of(device.facts), device.newest_at
        mine = [journey for journey in journeys.get(key, ()) if journey.platform and not journey.barred]
        unreadable = [journey for journey in mine if not plans.readable(tx, journey.journey.rollout)]
        if unreadable:
            rows += [replace(journey.journey, updated_seq=0) for journey in unreadable]
            mine = [journey for journey in mine if journey not in unreadable]
        seq = fresh[-1].seq
        fresh.sort(key=lambda event: (event.at, event.seq))
        states: dict[int, str] = {j.journey.rollout: j.journey.state for j in mine}
        read: dict[int, State] = {}
        courses = {j.journey.rollout: plans.course(tx, j) for j in mine}
        begins = {j.journey.rollout: plans.start(tx, j.journey.rollout).at for j in mine if not j.journey.updated_seq}
        late = fresh[0].at < newest_at or any(newest_at > at for at in begins.values())
        for rollout, at in begins.items() if not late else ():  # what was known before it began counts from there
            before = stored_state(facts, courses[rollout])
            transitions += [_row(rollout, key, fresh[0].seq, c) for c in changes(states[rollout], before, at)]
            states[rollout] = before
        for event in fresh:
            facts = fold(facts, event)
            newest_at = max(newest_at, event.at)
            for rollout, course in courses.items() if not late else ():
                after = stored_state(facts, course)
                found = changes(states[rollout], after, max(event.at, plans.start(tx, rollout).at))
                transitions += [_row(rollout, key, event.seq, change) for change in found]
                states[rollout] = read[rollout] = after
        if late and mine:
            belated[key] = courses, seq
        for journey in mine:
            rollout = journey.journey.rollout
            target = plans.target_version(tx, journey)
            rows.append(journey_of(key, facts, courses[rollout], target, seq=seq, state=read.get(rollout)))
        known[key] = StoredDevice(
            device=device.device, facts=text_of(facts), newest_at=newest_at, info_at=device.info_at
        )
    tx.save_devices([known[key] for key in by_device], seen)
    tx.save_journeys(rows)
    tx.add_transitions(transitions + _corrected(tx, plans, belated))
    return set(by_device)


def catch_up(tx: Transaction, plans: Plans, rollout: int, keys: Sequence[DeviceKey]) -> None:
    """Devices that came to a rollout later: what happened to them since it began counts, as if they had been there."""
    start, seq = plans.start(tx, rollout), tx.last_seq()
    events = {key: mine for key, mine in tx.events_of(keys).items() if any(e.seq > start.seq for e in mine)}
    devices, journeys = tx.devices(events), tx.journeys_of(events)
    rows: list[Journey] = []
    belated: dict[DeviceKey, tuple[Mapping[int, Course], int]] = {}
    for key in events:
        stored = next(j for j in journeys[key] if j.journey.rollout == rollout)
        if stored.barred:
            continue
        course, target = plans.course(tx, stored), plans.target_version(tx, stored)
        rows.append(journey_of(key, facts_of(devices[key].facts), course, target, seq=seq))
        belated[key] = {rollout: course}, seq
    tx.save_journeys(rows)
    tx.add_transitions(_corrected(tx, plans, belated))


def _corrected(
    tx: Transaction, plans: Plans, belated: Mapping[DeviceKey, tuple[Mapping[int, Course], int]]
) -> list[Transition]:
    """Late news of these devices: their whole histories again, and only what differs is appended.

    belated: each device's course by rollout, and the event by which it is known.
    """
    events = tx.events_of(belated)
    by_rollout: dict[int, list[DeviceKey]] = defaultdict(list)
    for key, (courses, _) in belated.items():
        for rollout in courses:
            by_rollout[rollout].append(key)
    found = []
    for rollout, keys in by_rollout.items():
        told, start = tx.transitions_of(rollout, keys), plans.start(tx, rollout)
        for key in keys:
            courses, seq = belated[key]
            known = [Change(t.at, t.state, t.sign) for t in told.get(key, ())]
            true = [Change(start.at, "held", 1), *history(events[key], courses[rollout], start)]
            found += [_row(rollout, key, seq, change) for change in corrections(known, true)]
    return found


def _row(rollout: int, key: DeviceKey, seq: int, change: Change) -> Transition:
    return Transition(rollout=rollout, key=key, at=change.at, known_seq=seq, state=change.state, sign=change.sign)
