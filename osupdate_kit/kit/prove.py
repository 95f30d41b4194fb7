"""The proof of one device: taken through the whole flow, with every payload beside what the protocol expects.

So a site learns its own truth before the fleet does. The device takes the same way as all: plan, service, server,
webhook. Leaves what is expected of one reply to `protocol.expected`, and the page to `views.proof`.
"""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osupdate_kit.errors import PlanError, ProtocolError, ReportError, RolloutError, SelectionError
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.kit import status as _status
from osupdate_kit.protocol.expected import Deviation, deviations
from osupdate_kit.protocol.plists import to_json
from osupdate_kit.protocol.terms import CommandStatus, RequestType
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.events import EventKind, RolloutEvent
from osupdate_kit.rollout.journey import OutboxKind, OutboxRow, OutboxStatus
from osupdate_kit.rollout.state import ENDS
from osupdate_kit.servers.events import decode_event
from osupdate_kit.stores.ledger import Transaction
from osupdate_kit.views.proof import Departure, Exchange, Proof
from osupdate_kit.views.status import DeviceStatus

if TYPE_CHECKING:
    from osupdate_kit.kit import Kit
    from osupdate_kit.kit.rollouts import Rollout

LOOK_SECONDS = 1.0

_WORDS = {
    EventKind.SENDING: "sent",
    EventKind.QUEUED: "queued",
    EventKind.REFUSED: "refused",
    EventKind.PUSHED: "woken",
    EventKind.ANSWERED: "answered",
    EventKind.FOREIGN: "answered to another party",
    EventKind.IDLE: "came",
    EventKind.AUTHENTICATED: "enrolled anew",
    EventKind.ENROLLED: "enrolled",
    EventKind.CHECKED_OUT: "left",
    EventKind.REPORTED: "reported",
}


def begin(kit: "Kit", wanted: str, target: str, **words: Any) -> "Rollout":
    """Plan for this one device, and begin. words: as `Kit.plan` takes them.

    Raises RolloutError if no service works, PlanError if the device cannot take the target.
    """
    if not kit.is_served():
        raise RolloutError(
            "No service works on this store.", remedy="Start one: osupdate-kit serve. Then `osupdate-kit doctor`."
        )
    key = _key(kit, wanted)
    chosen = kit.select(wanted=[key.enrollment_id])
    draft = kit.plan(chosen, **({"target": target, "name": f"proof of {wanted}", "deadline": "2d"} | words))
    barred = [member for member in draft.members if member.barrier]
    if barred or len(draft.members) != 1:
        why = barred[0].reason if barred else f"{len(draft.members)} devices are called so"
        raise PlanError(
            f"{wanted} does not take {target}: {why.rstrip('.')}.",
            remedy=f"Ask it what it is by `osupdate-kit doctor --device {wanted}`, or choose another device or target.",
        )
    return kit.start(draft)


def follow(
    kit: "Kit", rollout: "Rollout", *, seconds: float, tell: Callable[[str], None] = lambda words: None
) -> DeviceStatus:
    """Wait until the device is at an end, but no longer than `seconds` of real time. tell: at each change."""
    ends, pause, before = time.monotonic() + seconds, threading.Event(), ""
    while True:
        view = rollout.status()
        device = view.devices[0]
        told = f"{device.state}{f': {device.reason}' if device.reason else ''}"
        if told != before:
            tell(told)
        before = told
        if device.state in ENDS or time.monotonic() >= ends or rollout.finished:
            return device
        pause.wait(LOOK_SECONDS)


def proof(kit: "Kit", rollout: "Rollout") -> Proof:
    """What that rollout's one device was asked and answered so far. Raises RolloutError if it has several."""
    view = rollout.status()
    if len(view.devices) != 1:
        raise RolloutError(
            f"Rollout {rollout.id} has {len(view.devices)} devices; a proof is of one.",
            remedy="Name a rollout that `osupdate-kit prove` began.",
        )
    status = view.devices[0]
    key = _key(kit, status.udid, status.server)
    with kit.ledger.read() as tx:
        stored, _ = _status.rollout_and_plan(tx, rollout.id)
        device = tx.devices([key])[key].device
        rows = tx.outbox_of([key], list(OutboxStatus)).get(key, [])
        mine = {row.id: row for row in rows if row.rollout in (0, rollout.id) and row.created_at >= stored.started_at}
        events = [
            event
            for event in tx.events_of([key]).get(key, [])
            if event.at >= stored.started_at and (event.outbox in mine or not event.outbox)
        ]
        bodies = {event.seq: _fields(tx, event) for event in events}
    found = [*_of_replies(events, mine, bodies, device), *_of_the_whole(events, mine, status)]
    return Proof(
        device={
            "udid": status.udid, "serial": status.serial, "server": status.server, "platform": status.platform,
            "model": device.model, "OS version at the start": status.os_version_at_start,
            "OS version now": status.os_version_reported,
        },
        rollout=rollout.id,
        target=view.target,
        state=status.state,
        reason=status.reason,
        began_at=stored.started_at,
        until_at=kit.now(),
        departures=tuple(sorted(found, key=lambda one: (bool(one.known), one.at))),
        exchanges=tuple(_exchange(event, mine.get(event.outbox), bodies[event.seq]) for event in events),
    )  # fmt: skip


def write_proof(found: Proof, folder: Path) -> tuple[Path, Path]:
    """The page and its JSON, readable by their owner only: they name a device. Raises ReportError."""
    name = f"proof-{found.rollout}"
    page, data = folder / f"{name}.html", folder / f"{name}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in ((page, found.to_html()), (data, json.dumps(found.to_dict(), indent=2, default=str))):
            path.touch(mode=0o600)
            path.write_text(text, "utf-8")
    except OSError as error:
        raise ReportError(f"{folder} cannot be written: {error.strerror}.", remedy="Choose another --out.") from None
    return page, data


def _key(kit: "Kit", wanted: str, server: str = "") -> DeviceKey:
    with kit.ledger.read() as tx:
        keys = [key for key in tx.keys_called(wanted) if not server or key.server == server]
    if not keys:
        raise SelectionError(
            f"The store does not know {wanted}.", remedy=f"Meet it first: `osupdate-kit doctor --device {wanted}`."
        )
    return keys[0]


def _fields(tx: Transaction, event: RolloutEvent) -> Mapping[str, Any] | None:
    """What the device sent, redacted, while it is kept."""
    body = tx.raw(event.seq)
    try:
        return decode_event(body).fields if body else None
    except ProtocolError:
        return None


def _exchange(event: RolloutEvent, row: OutboxRow | None, fields: Mapping[str, Any] | None) -> Exchange:
    command = row.request_type if row and row.kind is not OutboxKind.PUSH else ""
    asked = json.loads(row.command) if row and row.command and event.kind is EventKind.SENDING else None
    status = str(fields.get("Status", "")) if fields else ""
    return Exchange(
        at=event.at,
        what=_WORDS.get(event.kind, event.kind.value),
        command=str(command),
        word=status,
        command_uuid=event.command_uuid,
        payload=asked if asked is not None else to_json(fields) if fields is not None else None,
    )


# --- departures ---


def _of_replies(
    events: Sequence[RolloutEvent],
    rows: Mapping[int, OutboxRow],
    bodies: Mapping[int, Mapping[str, Any] | None],
    device: Device,
) -> Iterator[Departure]:
    for event in events:
        row, fields = rows.get(event.outbox), bodies[event.seq]
        if event.kind is not EventKind.ANSWERED or row is None or fields is None or not row.command:
            continue
        for one in deviations(json.loads(row.command), fields, device.platform):
            yield _departure(event.at, str(row.request_type), one)


def _of_the_whole(
    events: Sequence[RolloutEvent], rows: Mapping[int, OutboxRow], status: DeviceStatus
) -> Iterator[Departure]:
    """What only shows over several replies."""
    answers: dict[int, list[RolloutEvent]] = defaultdict(list)
    for event in events:
        if event.kind is EventKind.ANSWERED:
            answers[event.outbox].append(event)
    done = status.state == "done"
    for row in rows.values():
        told, kind = answers.get(row.id, []), str(row.request_type)
        last = [event for event in told if event.evidence.get("answer") != "not_now"]
        if row.status is OutboxStatus.QUEUED and row.kind is not OutboxKind.PUSH and not told:
            known = "An install may swallow the answer to its command: the version decides." if done else ""
            step = row.request_type == RequestType.SCHEDULE_OS_UPDATE
            yield _departure(
                row.created_at, kind, Deviation("answer", "none came", "one to each command", known if step else "")
            )
        if len(last) > 1:
            yield _departure(last[1].at, kind, Deviation("answer", f"{len(last)} that differ", "one to each command"))
        failed = any(event.evidence.get("answer") == "failed" for event in told)
        if failed and done and row.request_type == RequestType.SCHEDULE_OS_UPDATE:
            yield _departure(
                told[0].at, kind,
                Deviation("Status", f"{CommandStatus.ERROR}, and the update was installed", "Acknowledged",
                          "It happens; verify, do not trust (openradar-mirror 20595)."),
            )  # fmt: skip
    yield from _versions(events)


def _versions(events: Sequence[RolloutEvent]) -> Iterator[Departure]:
    """A version that goes back."""
    before: OSVersion | None = None
    for event in events:
        words = event.evidence.get("os_version")
        version = OSVersion.parse_or_none(str(words)) if words else None
        if version and before and version < before:
            seen = f"{version} after {before}"
            yield _departure(event.at, "DeviceInformation", Deviation("OSVersion", seen, "a version that only grows"))
        before = version or before


def _departure(at: int, command: str, found: Deviation) -> Departure:
    return Departure(
        at=at, command=command, rule=found.rule, seen=found.seen, expected=found.expected, known=found.known
    )
