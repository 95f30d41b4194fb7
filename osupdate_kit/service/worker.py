"""The worker: turns the inbox, in order, into events, facts, journeys and transitions; one transaction a turn.

The effect of an inbox row and its removal are one transaction, so a killed worker neither loses nor doubles any (I3).
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from osupdate_kit.errors import OSUpdateKitError, PlanError, ProtocolError
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.protocol.results import CommandResult, DeviceReport, read_result
from osupdate_kit.protocol.status import StatusReport, read_status_fields
from osupdate_kit.protocol.terms import CommandStatus, Platform
from osupdate_kit.rollout import assignments as assigned
from osupdate_kit.rollout.assignments import Assignment
from osupdate_kit.rollout.enforcement import is_ours
from osupdate_kit.rollout.events import EventKind, RolloutEvent
from osupdate_kit.rollout.evidence import version_in, words_of, words_of_report
from osupdate_kit.rollout.journey import OutboxKind, OutboxRow
from osupdate_kit.rollout.ports import Clock, ServerEvent, Topic
from osupdate_kit.rollout.state import Facts, fold
from osupdate_kit.rollout.targets import Target
from osupdate_kit.rollout.windows import zone_of
from osupdate_kit.servers.events import decode_event
from osupdate_kit.service.record import Plans, facts_of, record
from osupdate_kit.service.words import Receipt, intention_words, own_event
from osupdate_kit.stores.ledger import InboxRow, Ledger, StoredDevice, StoredJourney, Transaction

log = logging.getLogger(__name__)

STAMP_SLACK = 1_000_000  # the server stamps each event in a thread of its own: neighbours may be stamped the wrong way
WHOLE_SECOND = 999_999  # a Date header is cut to seconds: what it dates happened no later than this much after it

DATABASE = "database"  # the kind of inbox rows that were read from a server's database

_KEPT = frozenset({EventKind.ANSWERED, EventKind.FOREIGN, EventKind.REPORTED})  # whose bodies people may read

_BEARS = frozenset({"os_version", "items", "scanned"})  # a version's first word, and what proves an item

_CHECKINS = {
    Topic.AUTHENTICATE: EventKind.AUTHENTICATED,
    Topic.TOKEN_UPDATE: EventKind.ENROLLED,
    Topic.CHECK_OUT: EventKind.CHECKED_OUT,
}


class Read(Struct, frozen=True):
    """One inbox row, parsed; `result` only where a device reports on a command, `report` only of declarations."""

    row: InboxRow
    key: DeviceKey
    event: ServerEvent
    result: CommandResult | None
    report: StatusReport | None = None


class Worker:
    """The only one that turns evidence into events."""

    def __init__(self, ledger: Ledger, clock: Clock, plans: Plans, *, limit: int = 1000) -> None:
        self._ledger, self._clock, self._plans, self._limit = ledger, clock, plans, limit
        self.untaken = 0  # events that were read and could not be made evidence, or inventory: a bug of ours

    def turn(self) -> int:
        """Take up to `limit` inbox rows; how many were taken."""
        with self._ledger.read() as tx:
            rows = tx.inbox_next(self._limit)
        if not rows:
            return 0
        receipts = [row for row in rows if row.kind == "receipt"]
        reads = [read for row in rows if row.kind != "receipt" and (read := self._read(row))]
        with self._ledger.write() as tx:
            self._take(tx, reads, receipts)
            tx.inbox_done([row.id for row in rows])
        return len(rows)

    def _read(self, row: InboxRow) -> Read | None:
        """Parse outside the transaction. A body that cannot be read is logged by its number, and stops nobody (I9)."""
        try:
            event = decode_event(row.body)
            result = read_result(event.fields) if event.topic is Topic.CONNECT and event.command_uuid else None
            report = read_status_fields(event.fields) if _reports(event) else None
        except (OSUpdateKitError, ValueError, KeyError, TypeError) as error:
            log.warning("event %s of %s cannot be read: %s", row.id, row.server, type(error).__name__)
            return None
        return Read(row, DeviceKey(row.server, event.enrollment_id), event, result, report)

    def _take(self, tx: Transaction, reads: Sequence[Read], receipts: Sequence[InboxRow]) -> None:
        told = [Receipt.from_bytes(row.body) for row in receipts]
        mine = tx.outbox_rows(number for receipt in told for number in receipt.rows)
        keys = {read.key for read in reads} | {row.key for row in mine.values()}
        devices = tx.devices(keys)
        new = [_newcomer(read) for read in reads if read.key not in devices]
        if new:
            tx.add_devices({device.key: device for device in new}.values(), now=self._clock.now())
            devices |= tx.devices(device.key for device in new)
        journeys = tx.journeys_of(keys)
        answers = [(read.key, read.event.command_uuid) for read in reads if read.result]
        answered = tx.answered_rows(answers)
        events: list[RolloutEvent] = []
        for receipt, inbox in zip(told, receipts, strict=True):
            events += self._settled(receipt, inbox, mine)
        wake = {event.key for event in events if event.kind is not EventKind.PUSHED}
        unsure = {event.key for event in events if event.evidence.get("given_up")}  # to be told once more, though done
        seen: dict[DeviceKey, int] = {}
        described: set[DeviceKey] = set()
        raw: dict[str, bytes] = {}
        informed: dict[DeviceKey, Facts] = {}  # with what this turn has taken and bears on the answers behind it
        for read in reads:
            seen[read.key] = max(seen.get(read.key, 0), self._seen_at(read))
            row = answered.get((read.key, read.event.command_uuid)) if read.result else None
            device = devices[read.key]
            better, event = device, None
            facts, its = informed.get(read.key) or facts_of(device.facts), journeys.get(read.key, ())
            try:
                if event := self._event(tx, read, row, facts, its):
                    event = self._proving(tx, event, facts, its)
                better = _described(device, read)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:  # one device's own
                self.untaken += 1
                log.warning("event %s of %s is not taken: %s", read.row.id, read.row.server, type(error).__name__)
            if better is not device and better != device:
                devices[read.key] = better
                described.add(read.key)
            if event:
                events.append(event)
                if not _BEARS.isdisjoint(event.evidence):
                    informed[read.key] = fold(facts, event)
                wake.add(read.key)
                if event.kind in _KEPT:
                    raw[event.digest] = read.row.body
        now = self._clock.now()
        saved = record(tx, self._plans, events, devices=devices, journeys=journeys, raw=raw, at=now, seen=seen)
        left = described - saved
        tx.save_devices([devices[key] for key in left], {key: seen[key] for key in left})
        tx.set_due(
            [
                (j.journey.rollout, key, now)
                for key in wake
                for j in journeys.get(key, ())
                if (j.due_at or 0) > now or key in unsure
            ]
        )

    def _seen_at(self, read: Read) -> int:
        """When the device was there: a webhook tells at once, the server's database perhaps days later."""
        received_at = read.row.received_at
        return (
            min(received_at, self._clock.from_server(read.event.created_at))
            if read.row.kind == DATABASE
            else received_at
        )

    def _settled(self, receipt: Receipt, inbox: InboxRow, rows: dict[int, OutboxRow]) -> list[RolloutEvent]:
        at = receipt.server_at + WHOLE_SECOND if receipt.server_at else 0
        return [
            own_event(
                receipt.kind, rows[n], inbox.received_at, server_at=at, reason=receipt.reasons.get(n, ""),
                given_up=receipt.given_up,
            )
            for n in receipt.rows
        ]  # fmt: skip

    def _event(
        self,
        tx: Transaction,
        read: Read,
        row: OutboxRow | None,
        facts: Facts,
        journeys: Sequence[StoredJourney],
    ) -> RolloutEvent | None:
        """The evidence in one webhook event, if there is any."""
        if read.report:
            return self._reported(tx, read, read.report, facts, journeys)
        kind, words, digest = self._reading(tx, read, row, facts, journeys)
        if kind is None:
            return None
        return RolloutEvent(
            key=read.key,
            kind=kind,
            at=self._clock.from_server(read.event.created_at),
            recorded_at=read.row.received_at,
            digest=digest,
            server_at=read.event.created_at + (STAMP_SLACK if words.get("of") == "step" else 0),
            rollout=row.rollout if row else 0,
            outbox=row.id if row else 0,
            command_uuid=read.event.command_uuid,
            evidence=words,
        )

    def _reported(
        self, tx: Transaction, read: Read, report: StatusReport, facts: Facts, journeys: Sequence[StoredJourney]
    ) -> RolloutEvent | None:
        """A status report, held against the assignment that stands now; of a device in no rollout it is no evidence."""
        if not journeys:
            return None
        number, one = assigned.held(facts.assignments) or (0, Assignment(0))
        return RolloutEvent(
            key=read.key,
            kind=EventKind.REPORTED,
            at=self._clock.from_server(read.event.created_at),
            recorded_at=read.row.received_at,
            digest=f"report:{read.event.created_at}:{_digest(read.event)}",
            server_at=read.event.created_at,
            rollout=one.rollout,
            outbox=number,
            evidence=words_of_report(report, number, one.set_name),
        )

    def _reading(
        self,
        tx: Transaction,
        read: Read,
        row: OutboxRow | None,
        facts: Facts,
        journeys: Sequence[StoredJourney],
    ) -> tuple[EventKind | None, dict[str, Any], str]:
        event, result = read.event, read.result
        if event.topic in _CHECKINS:
            kind = _CHECKINS[event.topic]
            return (kind if journeys else None), {}, f"{kind.value}:{event.created_at}"
        if result is None:
            knocking = facts.knock.gate and facts.idle_at <= (facts.knock.pushed_at or facts.idle_at)
            idle = event.status == CommandStatus.IDLE and knocking
            return (EventKind.IDLE if idle else None), {}, f"idle:{event.created_at}"
        digest = f"{event.command_uuid}:{_digest(event)}"
        if row is not None and row.kind is not OutboxKind.PUSH:
            words = words_of(result, intention_words(row), facts)
            if "os_version" in words:
                words.setdefault("since", event.created_at)
            if offered := self._offered(tx, words, journeys):
                words["offered"] = offered
            return EventKind.ANSWERED, words, digest
        other = result.update_results is not None and result.status is CommandStatus.ACKNOWLEDGED
        return (EventKind.FOREIGN if other and journeys else None), {}, digest

    def _offered(self, tx: Transaction, words: dict[str, Any], journeys: Sequence[StoredJourney]) -> list[str]:
        """The product keys among the listed ones that a rollout of this device aims at."""
        listed = {key for key, _, _ in words.get("items", ())}
        mine = [j for j in journeys if not j.barred] if listed else []
        aims = {self._plans.target(tx, j).product_key for j in mine if self._plans.readable(tx, j.journey.rollout)}
        return sorted(listed & aims)

    def _proving(
        self, tx: Transaction, event: RolloutEvent, facts: Facts, journeys: Sequence[StoredJourney]
    ) -> RolloutEvent:
        """With the rollouts whose target it shows: those that it was asked for in, and older ones."""
        version = version_in(event.evidence)
        if version is None and "items" not in event.evidence:
            return event
        found = []
        for journey in journeys:
            number = journey.journey.rollout
            if journey.barred or number > event.rollout or not self._plans.readable(tx, number):
                continue
            target = self._plans.target(tx, journey)
            if (version and target.reached_by(version)) or (target.product_key and _gone(target, fold(facts, event))):
                found.append(number)
        return replace(event, evidence={**event.evidence, "proves": sorted(found)}) if found else event


def _gone(target: Target, facts: Facts) -> bool:
    """Is the item gone from the newest list, which was scanned for after its install?

    Another OS begins with an empty list: the one that a report behind the list names must have been there at the scan.
    List and report may come in any order.
    """
    version = facts.version
    if not facts.may_have_installed or not version.since or version.at <= facts.listed.at:
        return False
    after = facts.offered.get(target.product_key, facts.doubt.at)
    return target.gone_from(facts.listed, scanned_at=facts.scanned_at, after=after and max(after, version.since))


def _digest(event: ServerEvent) -> str:
    return hashlib.blake2b(msgspec.json.encode(event.fields), digest_size=12).hexdigest()


def _reports(event: ServerEvent) -> bool:
    return event.topic is Topic.DECLARATIVE_MANAGEMENT and event.endpoint == "status"


def _newcomer(read: Read) -> Device:
    event = read.event
    return Device(
        key=read.key,
        udid=event.udid or event.enrollment_id,
        enrollment_type=event.enrollment_type or "Device",
    )


def _described(stored: StoredDevice, read: Read) -> StoredDevice:
    """What this event tells of the device itself; the newest word by the server's clock stays."""
    device, event = stored.device, read.event
    if event.topic is Topic.CHECK_OUT:
        return replace(stored, device=replace(device, enrolled=False))
    if event.topic is Topic.TOKEN_UPDATE:
        awaiting = event.fields.get("AwaitingConfiguration") is True if event.fields else device.awaiting_configuration
        return replace(stored, device=replace(device, enrolled=True, awaiting_configuration=awaiting))
    if read.result and (read.result.available is not None or read.result.security):
        return replace(stored, device=replace(device, told=_told_besides(device.told, read.result, event.created_at)))
    if read.report:
        return _described_by_status(stored, read.report, event.created_at)
    report: DeviceReport | None = read.result.device if read.result else None
    if event.topic is Topic.AUTHENTICATE:
        try:
            report = read_result({"Status": "Acknowledged", "UDID": event.udid, "CommandUUID": "-",
                                  "QueryResponses": dict(event.fields)}).device  # fmt: skip
        except ProtocolError:
            report = None
        report = report if event.fields else None  # by the server's database: when, but nothing of the device
        device = replace(device, enrolled=True)
    if report is None or event.created_at < stored.info_at:
        return stored if device is stored.device else replace(stored, device=device)
    platform = _platform(report) or device.platform
    described = replace(
        device,
        serial=report.serial_number or device.serial,
        name=report.device_name or device.name,
        platform=platform,
        model=report.product_name or device.model,
        os_version=report.os_version or device.os_version,
        build_version=report.build_version or device.build_version,
        supervised=report.is_supervised if report.is_supervised is not None else device.supervised,
        awaiting_configuration=_known(report.awaiting_configuration, device.awaiting_configuration),
        time_zone=device.time_zone or _zone(report.time_zone),
        told=_told(device.told, report),
    )
    return replace(stored, device=device if described == device else described, info_at=event.created_at)


def _described_by_status(stored: StoredDevice, report: StatusReport, server_at: int) -> StoredDevice:
    """What a status report tells of the device itself: its OS, and whether somebody else's declaration is at work."""
    device = stored.device
    told = {"SoftwareUpdateDeviceID": report.device_id} if report.device_id else {}
    declared = device.declared
    if report.install_reason is not None:
        others = report.install_reason.declaration_id
        declared = bool(others) and not is_ours(others)
    if told or declared != device.declared:
        device = replace(device, declared=declared, told=dict(device.told) | told)
    if report.os_version is None or server_at < stored.info_at:
        return stored if device is stored.device else replace(stored, device=device)
    device = replace(device, os_version=report.os_version, build_version=report.build_version or device.build_version)
    return replace(stored, device=device, info_at=server_at)


def _known(told: bool | None, before: bool) -> bool:
    return before if told is None else told


@lru_cache(maxsize=1024)
def _zone(name: str) -> str:
    """A time zone that this machine knows, too; else none."""
    try:
        return zone_of(name).key if name else ""
    except PlanError:
        return ""


def _told(before: Mapping[str, object], report: DeviceReport) -> dict[str, object]:
    """What preflight asks after, by Apple's query names; what this report does not answer stays as it was.

    Rounded, so that a battery which falls does not make another row of each report.
    """
    free, battery = report.available_device_capacity, report.battery_level
    told: dict[str, object] = {
        "IsAppleSilicon": report.is_apple_silicon,
        "AvailableDeviceCapacity": None if free is None else round(free, 1),
        "BatteryLevel": None if battery is None else int(battery * 10) / 10,
        "IsMultiUser": report.is_multi_user,
        "IsMDMLostModeEnabled": report.is_mdm_lost_mode_enabled,
        "SoftwareUpdateDeviceID": report.software_update_device_id or None,
    }
    return dict(before) | {name: value for name, value in told.items() if value is not None}


_MOST_LISTED = 20  # updates of a device that its inventory keeps


def _told_besides(before: Mapping[str, object], result: CommandResult, server_at: int) -> dict[str, object]:
    """The same of AvailableOSUpdates, as `preflight.Listed`, and of SecurityInfo; the newest word stays."""
    told = dict(before)
    if result.available is not None and _newer(before, "AvailableOSUpdatesAt", server_at):
        told["AvailableOSUpdatesAt"] = server_at
        told["AvailableOSUpdates"] = [
            [
                update.version,
                update.download_bytes or 0,
                update.install_bytes or 0,
                int(update.deferred_until.timestamp() * 1_000_000) if update.deferred_until else 0,
            ]
            for update in result.available[:_MOST_LISTED]
        ]
    if result.security and _newer(before, "SecurityInfoAt", server_at):
        told["SecurityInfoAt"] = server_at
        told["BootstrapTokenAllowedForAuthentication"] = result.security.bootstrap_token_allowed_for_authentication
        told["BootstrapTokenRequiredForSoftwareUpdate"] = result.security.bootstrap_token_required_for_software_update
    return told


def _newer(before: Mapping[str, object], key: str, server_at: int) -> bool:
    at = before.get(key)
    return not isinstance(at, int) or at <= server_at


_FAMILIES = (
    ("iPad", Platform.IPADOS), ("iPhone", Platform.IOS), ("iPod", Platform.IOS), ("AppleTV", Platform.TVOS),
    ("Mac", Platform.MACOS), ("iMac", Platform.MACOS), ("VirtualMac", Platform.MACOS),
    ("RealityDevice", Platform.VISIONOS), ("Watch", Platform.WATCHOS),
)  # fmt: skip


def _platform(report: DeviceReport) -> Platform | None:
    """By the product name, such as iPad13,1: Apple's replies name no platform."""
    name = report.product_name or report.model_name or ""
    return next((platform for prefix, platform in _FAMILIES if name.startswith(prefix)), None)
