"""What the ledger hands out and takes in, and how it stands in a row.

Knows the order of columns. Values of other layers (Device, RolloutEvent, OutboxRow, Member, Journey) stay theirs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct

from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.events import EventKind, RolloutEvent
from osupdate_kit.rollout.journey import (
    Armed,
    Instrument,
    Journey,
    Member,
    OutboxKind,
    OutboxRow,
    OutboxStatus,
    RolloutStatus,
)  # fmt: skip


class InboxRow(Struct, frozen=True, kw_only=True):
    """One acknowledged webhook body, or one receipt of the sender, not worked in yet."""

    id: int = 0
    server: str
    kind: str  # webhook | receipt
    received_at: int
    body: bytes


class StoredDevice(Struct, frozen=True, kw_only=True):
    """A device, and what its events add up to."""

    device: Device
    facts: str = ""  # JSON text of rollout/state.py, opaque here
    newest_at: int = 0  # newest event folded in
    info_at: int = 0  # server's time of the newest report the device gave of itself; 0 = never


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPlan:
    id: int
    name: str
    yaml: str
    sha256: str
    author: str
    created_at: int
    members: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRollout:
    id: int
    plan_id: int
    status: RolloutStatus
    started_at: int
    start_seq: int  # the last event stored before it began
    deadline_at: int
    by: str
    reason: str
    changed_at: int
    resumed_at: int
    waits: bool = False  # for another person's approval of its plan


class StoredJourney(Struct, frozen=True, kw_only=True):
    """A journey, with what the plan froze about the device, and when it is looked at next."""

    journey: Journey
    udid: str = ""
    serial: str = ""
    platform: str = ""
    model: str = ""
    os_version_start: str = ""
    time_zone: str = ""
    site: str = ""
    ring: str = ""
    wave: str = ""
    target: str = ""
    instrument: Instrument = Instrument.NONE
    barrier: str = ""
    reason: str = ""
    live: bool = False
    due_at: int | None = None
    admitted_at: int = 0

    @property
    def barred(self) -> bool:
        return bool(self.barrier)


class Transition(Struct, frozen=True, kw_only=True):
    """One signed change: at `at`, one device more (+1) or less (−1) in `state`; known after event `known_seq`."""

    rollout: int
    key: DeviceKey
    at: int
    known_seq: int
    state: str
    sign: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A person keeps a device out of everything that can install."""

    id: int
    key: DeviceKey
    at: int
    until_at: int  # 0 = until released
    by: str
    reason: str
    released_at: int = 0
    released_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A person's intention, picked up by the service."""

    id: int
    at: int
    who: str
    what: str
    rollout: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    id: int
    at: int
    who: str
    what: str
    rollout: int
    count: int
    detail: str


# --- text from devices ---------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Text as both databases can hold it: NUL and lone surrogates, which neither format forbids, become U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").replace("\0", "\ufffd")


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def json_text(words: Mapping[str, object]) -> str:
    if not words:
        return "{}"
    try:
        return _encode(dict(words)).decode()
    except UnicodeEncodeError:  # a lone surrogate, which only ASCII's escapes can hold
        return json.dumps(dict(words), separators=(",", ":"))


def words_of(text: str) -> dict[str, Any]:
    if text == "{}":
        return {}
    try:
        return _decode(text)
    except msgspec.DecodeError:
        words: dict[str, Any] = json.loads(text)
        return words


# --- devices -------------------------------------------------------------------------------------------------------

_PLATFORMS: dict[str, Platform | None] = {"": None, **{platform.value: platform for platform in Platform}}


def device_values(device: Device) -> tuple[Any, ...]:
    """Columns `udid` to `told`."""
    return (
        plain(device.udid), plain(device.serial), plain(device.name), device.platform or "", plain(device.model),
        device.os_version.text if device.os_version else "", plain(device.build_version), device.supervised,
        plain(device.enrollment_type), plain(device.site), plain(device.ring), plain(device.time_zone),
        device.declared, device.enrolled, device.awaiting_configuration, device.last_seen_at,
        json_text(device.attributes), json_text(device.told),
    )  # fmt: skip


def device_of(row: Sequence[Any]) -> Device:
    """Columns `server` to `told`."""
    (
        server, enrollment_id, udid, serial, name, platform, model, os_version, build_version, supervised,
        enrollment_type, site, ring, time_zone, declared, enrolled, awaiting_configuration, last_seen_at, attributes,
        told,
    ) = row  # fmt: skip
    return Device(
        key=DeviceKey(server, enrollment_id),
        udid=udid,
        serial=serial,
        name=name,
        platform=_PLATFORMS[platform],
        model=model,
        os_version=OSVersion.parse(os_version) if os_version else None,
        build_version=build_version,
        supervised=None if supervised is None else bool(supervised),
        enrollment_type=enrollment_type,
        site=site,
        ring=ring,
        time_zone=time_zone,
        declared=bool(declared),
        enrolled=bool(enrolled),
        awaiting_configuration=bool(awaiting_configuration),
        last_seen_at=last_seen_at,
        attributes=words_of(attributes),
        told=words_of(told),
    )


def stored_device_of(row: Sequence[Any]) -> StoredDevice:
    info_at, newest_at, facts = row[20:]
    return StoredDevice(device=device_of(row[:20]), facts=facts, newest_at=newest_at, info_at=info_at)


# --- events --------------------------------------------------------------------------------------------------------

_KINDS = {kind.value: kind for kind in EventKind}


def event_values(event: RolloutEvent, seq: int) -> tuple[Any, ...]:
    server, enrollment_id = event.key
    return (
        seq, server, enrollment_id, event.kind.value, event.at, event.recorded_at, plain(event.digest), event.server_at,
        event.rollout, event.outbox, plain(event.command_uuid), json_text(event.evidence),
    )  # fmt: skip


def event_of(row: Sequence[Any]) -> RolloutEvent:
    (
        seq, server, enrollment_id, kind, at, recorded_at, digest, server_at, rollout, outbox, command_uuid, evidence,
    ) = row  # fmt: skip
    return RolloutEvent(
        key=DeviceKey(server, enrollment_id),
        kind=_KINDS[kind],
        at=at,
        recorded_at=recorded_at,
        digest=digest,
        server_at=server_at,
        rollout=rollout,
        outbox=outbox,
        command_uuid=command_uuid,
        evidence=words_of(evidence),
        seq=seq,
    )


# --- outbox --------------------------------------------------------------------------------------------------------

_OUTBOX_KINDS = {kind.value: kind for kind in OutboxKind}
_OUTBOX_STATUSES = {status.value: status for status in OutboxStatus}


def outbox_values(row: OutboxRow, number: int) -> tuple[Any, ...]:
    server, enrollment_id = row.key
    return (
        number, server, enrollment_id, row.rollout, row.kind.value, row.request_type, row.role, row.command,
        row.status.value, row.command_uuid, row.created_at, row.not_before, row.gate, row.attempts,
    )  # fmt: skip


def outbox_of(row: Sequence[Any]) -> OutboxRow:
    (
        number, server, enrollment_id, rollout, kind, request_type, role, command, status, command_uuid, created_at,
        not_before, gate, attempts,
    ) = row  # fmt: skip
    return OutboxRow(
        id=number,
        key=DeviceKey(server, enrollment_id),
        rollout=rollout,
        kind=_OUTBOX_KINDS[kind],
        request_type=request_type,
        role=role,
        command=command,
        status=_OUTBOX_STATUSES[status],
        command_uuid=command_uuid,
        created_at=created_at,
        not_before=not_before,
        gate=gate,
        attempts=attempts,
    )


# --- plans, rollouts, journeys -------------------------------------------------------------------------------------

_INSTRUMENTS = {instrument.value: instrument for instrument in Instrument}
_ARMED = {armed.value: armed for armed in Armed}


def member_values(plan: int, member: Member) -> tuple[Any, ...]:
    server, enrollment_id = member.key
    return (
        plan, server, enrollment_id, plain(member.udid), plain(member.serial), member.platform, plain(member.model),
        member.os_version, plain(member.time_zone), plain(member.site), plain(member.ring), plain(member.wave),
        plain(member.target), member.instrument.value, member.barrier, plain(member.reason),
    )  # fmt: skip


def member_of(row: Sequence[Any]) -> Member:
    (
        _, server, enrollment_id, udid, serial, platform, model, os_version, time_zone, site, ring, wave, target,
        instrument, barrier, reason,
    ) = row  # fmt: skip
    return Member(
        key=DeviceKey(server, enrollment_id),
        udid=udid,
        serial=serial,
        platform=platform,
        model=model,
        os_version=os_version,
        time_zone=time_zone,
        site=site,
        ring=ring,
        wave=wave,
        target=target,
        instrument=_INSTRUMENTS[instrument],
        barrier=barrier,
        reason=reason,
    )


def journey_values(journey: Journey) -> tuple[Any, ...]:
    """Columns `state` to `updated_seq`, `route` and `enforce_at`, then the key: as an update by key takes them."""
    server, enrollment_id = journey.key
    return (
        journey.state, journey.armed.value, journey.regressed, journey.ready, journey.os_version, journey.action_asked,
        plain(journey.action_returned), journey.deferrals_used, journey.deferrals_remaining, journey.failure,
        plain(journey.failure_text), journey.commands_sent, journey.progress_at, journey.done_at,
        journey.updated_at, journey.updated_seq, journey.route.value, journey.enforce_at,
        journey.rollout, server, enrollment_id,
    )  # fmt: skip


def stored_journey_of(row: Sequence[Any]) -> StoredJourney:
    (
        rollout, server, enrollment_id, udid, serial, platform, model, os_version_start, time_zone, site, ring, wave,
        target, instrument, barrier, reason, state, armed, regressed, ready, os_version, action_asked, action_returned,
        deferrals_used, deferrals_remaining, failure, failure_text, commands_sent, progress_at, done_at, updated_at,
        updated_seq, live, due_at, admitted_at, route, enforce_at,
    ) = row  # fmt: skip
    return StoredJourney(
        journey=Journey(
            rollout=rollout,
            key=DeviceKey(server, enrollment_id),
            state=state,
            armed=_ARMED[armed],
            regressed=bool(regressed),
            ready=bool(ready),
            os_version=os_version,
            action_asked=action_asked,
            action_returned=action_returned,
            deferrals_used=deferrals_used,
            deferrals_remaining=deferrals_remaining,
            failure=failure,
            failure_text=failure_text,
            commands_sent=commands_sent,
            progress_at=progress_at,
            done_at=done_at,
            updated_at=updated_at,
            updated_seq=updated_seq,
            route=_INSTRUMENTS[route],
            enforce_at=enforce_at,
        ),
        udid=udid,
        serial=serial,
        platform=platform,
        model=model,
        os_version_start=os_version_start,
        time_zone=time_zone,
        site=site,
        ring=ring,
        wave=wave,
        target=target,
        instrument=_INSTRUMENTS[instrument],
        barrier=barrier,
        reason=reason,
        live=bool(live),
        due_at=due_at,
        admitted_at=admitted_at,
    )


def transition_values(row: Transition) -> tuple[Any, ...]:
    server, enrollment_id = row.key
    return row.rollout, server, enrollment_id, row.at, row.known_seq, row.state, row.sign


def transition_of(row: Sequence[Any]) -> Transition:
    rollout, server, enrollment_id, at, known_seq, state, sign = row
    return Transition(
        rollout=rollout, key=DeviceKey(server, enrollment_id), at=at, known_seq=known_seq, state=state, sign=sign
    )


def plan_of(row: Sequence[Any]) -> StoredPlan:
    number, name, yaml, sha256, author, created_at, members = row
    return StoredPlan(
        id=number, name=name, yaml=yaml, sha256=sha256, author=author, created_at=created_at, members=members
    )


def rollout_of(row: Sequence[Any]) -> StoredRollout:
    number, plan, status, started_at, start_seq, deadline_at, who, reason, changed_at, resumed_at, waits = row
    return StoredRollout(
        id=number,
        plan_id=plan,
        status=RolloutStatus(status),
        started_at=started_at,
        start_seq=start_seq,
        deadline_at=deadline_at,
        by=who,
        reason=reason,
        changed_at=changed_at,
        resumed_at=resumed_at,
        waits=bool(waits),
    )
