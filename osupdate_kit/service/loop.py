"""The loop: what is the next step of each due device? Decisions become outbox rows; nothing goes on the wire here."""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from osupdate_kit.errors import PlanError
from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.commands import (
    AvailableOSUpdates,
    Command,
    DeclarativeManagement,
    DeviceInformation,
    OSUpdateStatus,
    ScheduleOSUpdateScan,
)  # fmt: skip
from osupdate_kit.protocol.terms import Platform, RequestType
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout import assignments as assigned
from osupdate_kit.rollout.assignments import TAKE
from osupdate_kit.rollout.enforcement import deadline, enforcement_text, said_again, take_back_text
from osupdate_kit.rollout.engine import Act, Ask, Assign, Push, SayAgain, asks_by_key, next_steps, only_downloads
from osupdate_kit.rollout.events import EventKind, RolloutEvent
from osupdate_kit.rollout.journey import OutboxKind, OutboxRow, OutboxStatus, RolloutStatus
from osupdate_kit.rollout.people import APPROVAL
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import DAY, HOUR, Cadences, Gate
from osupdate_kit.rollout.ports import Clock
from osupdate_kit.rollout.state import Facts
from osupdate_kit.rollout.windows import Kin
from osupdate_kit.service.record import Plans, facts_of, record, takes_version
from osupdate_kit.service.words import command_text, own_event
from osupdate_kit.stores.ledger import Halt, Hold, Ledger, StoredJourney, StoredRollout, Transaction

BACKLOG = 20_000  # intentions that wait for the sender; beyond it the loop waits, too
UNREADABLE = HOUR  # how long a rollout whose plan cannot be read waits until it is tried again
TAIL = 7 * DAY  # how long an ended rollout still asks its open devices, so that the truth can still come to be known

_QUERIES: Mapping[RequestType, Command] = {
    RequestType.SCHEDULE_OS_UPDATE_SCAN: ScheduleOSUpdateScan(force=True),
    RequestType.AVAILABLE_OS_UPDATES: AvailableOSUpdates(),
    RequestType.OS_UPDATE_STATUS: OSUpdateStatus(),
    RequestType.DEVICE_INFORMATION: DeviceInformation(),
    RequestType.DECLARATIVE_MANAGEMENT: DeclarativeManagement(),
}


def gate_of(
    rollout: StoredRollout, plan: RolloutPlan, journey: StoredJourney, now: int, *, held: str, downloads: bool
) -> Gate:
    """The window as this device may use it now: shut while paused, halted, held, or after the deadline.

    Shut, too, until another person approves, where one has to, and in a time zone that is not known here. A resumed
    rollout, or one just approved of, knocks anew: its opening counts from then on.

    held: why it is kept waiting, if it is. downloads: its next step cannot install, see `engine.only_downloads`.
    """
    if rollout.status is not RolloutStatus.RUNNING or now >= rollout.deadline_at or not journey.live:
        return Gate(stopped=True)
    if rollout.waits:
        return Gate(why=APPROVAL, stopped=True)
    if held:
        return Gate(why=held, stopped=True)
    hours = plan.schedule.hours(kin_of(journey), downloads=downloads)
    zone = journey.time_zone or plan.time_zone or "UTC"
    try:
        gate = hours.gate(now, zone)
    except PlanError:  # a time zone that this machine does not know: nobody can say when its window is open
        return Gate(why="its time zone is not known here")
    if not gate.open_since:
        changes_at = min(gate.changes_at or rollout.deadline_at, rollout.deadline_at)
        return Gate(0, changes_at, gate.shut_since, hours.why_shut(now, zone))
    since = max(gate.open_since, rollout.resumed_at, rollout.started_at)
    return Gate(since, min(gate.changes_at, rollout.deadline_at))


def kin_of(journey: StoredJourney) -> Kin:
    return Kin(journey.site, journey.ring, journey.platform, journey.model, journey.wave)


DECLARED = "a declaration of somebody else manages its updates"


def why_held(hold: Hold | None, journey: StoredJourney, halts: Iterable[Halt], *, declared: bool = False) -> str:
    """Why a device may not begin, or go on, whatever the hour: on the hold list, halted, not its turn. Empty: it may.

    halts: those of its rollout that stand. declared: is somebody else's declaration at work there?
    """
    if hold:
        return f"held by {hold.by}: {hold.reason}"
    if halt := next((halt for halt in halts if halt.keeps(journey)), None):
        return f"halted: {halt.reason}"
    if declared:
        return DECLARED
    return "" if journey.admitted_at > 0 else "its wave is not open, or its turn has not come"


class Loop:
    """One turn decides for at most `limit` due devices; its cost follows them, not the fleet."""

    def __init__(self, ledger: Ledger, clock: Clock, cadences: Cadences, plans: Plans, *, limit: int = 1000) -> None:
        self._ledger, self._clock, self._cadences, self._plans, self._limit = ledger, clock, cadences, plans, limit

    def turn(self) -> int:
        """Decide for the due devices; how many there were (`limit` means: come again at once)."""
        now = self._clock.now()
        with self._ledger.read() as tx:
            nothing = (tx.next_due() or now + 1) > now and not self._overdue(tx, now)
        if nothing:
            return 0
        with self._ledger.write() as tx:
            self._end_overdue(tx, now)
            due = tx.due(now, self._limit)
            if due:
                self._decide(tx, due, now)
            return len(due)

    def _overdue(self, tx: Transaction, now: int) -> list[StoredRollout]:
        return [r for r in tx.rollouts() if r.status is RolloutStatus.RUNNING and now >= r.deadline_at]

    def _end_overdue(self, tx: Transaction, now: int) -> None:
        for rollout in self._overdue(tx, now):
            tx.end_rollout(rollout.id, RolloutStatus.ENDED, now=now, reason="deadline")
            withdraw(tx, self._plans, rollout.id, now)
            tx.make_due_declared(rollout.id, now)
            tx.audit(at=now, who="service", what="end", rollout=rollout.id, detail="deadline")

    def _decide(self, tx: Transaction, due: list[StoredJourney], now: int) -> None:
        devices = tx.devices(journey.journey.key for journey in due)
        rollouts = {number: tx.rollout(number) for number in {journey.journey.rollout for journey in due}}
        holds = tx.holds(devices, now)
        halts = {number: tx.halts(number) for number in rollouts}
        newest = self._newest(tx, [journey.journey.key for journey in due if not journey.live])
        busy = {server for server in {j.journey.key.server for j in due} if tx.outbox_backlog(server) > BACKLOG}
        later: list[tuple[int, DeviceKey, int | None]] = []
        rows: list[OutboxRow] = []
        for journey in due:
            key, number = journey.journey.key, journey.journey.rollout
            rollout = rollouts[number]
            assert rollout is not None, number
            if key.server in busy:
                later.append((number, key, now + 60_000_000))
                continue
            if not journey.live and (now > rollout.changed_at + TAIL or newest.get(key, number) > number):
                later.append((number, key, None))
                continue
            if not self._plans.readable(tx, number):
                later.append((number, key, now + UNREADABLE))
                continue
            plan = self._plans.plan(tx, number)
            facts = facts_of(devices[key].facts)
            if rollout.waits and _at_rest(facts):  # not even asked, until another person approves
                later.append((number, key, None))
                continue
            course, hold = self._plans.course(tx, journey), holds.get(key)
            downloads = only_downloads(facts, course)
            held = why_held(hold, journey, halts[number], declared=devices[key].device.declared)
            gate = gate_of(rollout, plan, journey, now, held=held, downloads=downloads)
            if hold and hold.until_at:
                gate = gate._replace(changes_at=min(hold.until_at, gate.changes_at or hold.until_at))
            decision = next_steps(facts, course, gate, now, self._cadences)
            later.append((number, key, decision.due_at))
            for act in decision.acts:
                rows.append(self._row(tx, act, journey, plan, facts, now, rollout.deadline_at))
        self._intend(tx, rows, now)
        tx.set_due(later)

    def _newest(self, tx: Transaction, keys: list[DeviceKey]) -> dict[DeviceKey, int]:
        """The newest rollout of each device: it asks for the older ones, too, whose questions would cross its own."""
        found = tx.journeys_of(keys) if keys else {}
        return {key: max((j.journey.rollout for j in mine if not j.barred), default=0) for key, mine in found.items()}

    def _row(
        self,
        tx: Transaction,
        act: Act,
        journey: StoredJourney,
        plan: RolloutPlan,
        facts: Facts,
        now: int,
        last: int,
    ) -> OutboxRow:
        row = OutboxRow(
            key=journey.journey.key,
            rollout=journey.journey.rollout,
            kind=OutboxKind.PUSH,
            created_at=now,
            not_before=now,
        )
        if isinstance(act, Push):
            return replace(row, gate=act.gate)
        if isinstance(act, Ask):
            query = _QUERIES[act.request_type]
            return replace(row, kind=OutboxKind.QUERY, request_type=act.request_type, command=command_text(query))
        if isinstance(act, Assign):
            return _assignment(row, act, journey, plan, last)
        if isinstance(act, SayAgain):
            said = tx.outbox_rows([act.outbox])[act.outbox]
            return replace(
                row, kind=said.kind, role=said.role, command=said_again(said.command, act.besides), gate=said.gate
            )
        target = plan.target_of(journey.target)
        version = str(target.version) if target.version else ""
        key = asks_by_key(facts, version) if version else target.product_key
        by_key = not takes_version(journey)
        platform = Platform(journey.platform)
        command = plan.step_command(platform, act.role, target=target, product_key=key, by_key=by_key)
        return replace(
            row,
            kind=OutboxKind.STEP,
            request_type=RequestType.SCHEDULE_OS_UPDATE,
            role=act.role,
            command=command_text(command),
        )

    def _intend(self, tx: Transaction, rows: list[OutboxRow], now: int) -> None:
        rows = tx.add_outbox(rows) if rows else []
        told = [row for row in rows if row.kind is not OutboxKind.PUSH]
        record(tx, self._plans, [own_event(EventKind.INTENDED, row, now) for row in told])


def _assignment(row: OutboxRow, act: Assign, journey: StoredJourney, plan: RolloutPlan, last: int) -> OutboxRow:
    """The row of an assignment, or of its end. last: the rollout's own deadline."""
    row = replace(row, kind=OutboxKind.ASSIGNMENT, role=act.role)
    if act.role == TAKE:
        return replace(row, command=take_back_text(act.set_name))
    zone, hours = journey.time_zone or plan.time_zone or "UTC", plan.schedule.hours(kin_of(journey), downloads=False)
    when, at = deadline(plan.declaring, hours, row.created_at, zone, last)
    command = enforcement_text(
        row.rollout,
        plan.declaring,
        plan.target_of(journey.target),
        when,
        Platform(journey.platform),
        OSVersion.parse(journey.os_version_start),
    )
    return replace(row, command=command, gate=at)


def _at_rest(facts: Facts) -> bool:
    """Is nothing under way on it, of any rollout, of which the truth is still to be asked for?"""
    under_way = facts.open_steps() or facts.accepted or facts.unresolved or assigned.held(facts.assignments)
    return not under_way


def withdraw(tx: Transaction, plans: Plans, rollout: int, now: int) -> int:
    """Drop the intentions of a rollout that nothing was sent of; how many."""
    rows = tx.outbox_intended(rollout)
    tx.save_outbox([replace(row, status=OutboxStatus.WITHDRAWN) for row in rows])
    events: list[RolloutEvent] = [
        own_event(EventKind.WITHDRAWN, row, now) for row in rows if row.kind is not OutboxKind.PUSH
    ]
    record(tx, plans, events)
    return len(rows)
