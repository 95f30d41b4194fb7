"""A round trip: one device is woken and asked what it is, by way of the running service, and watched until it answers.

Only a question goes out, as the census asks it; a device with an install on the server is not woken outside its window.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from osupdate_kit.errors import SelectionError
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.protocol.terms import RequestType
from osupdate_kit.rollout.events import EventKind
from osupdate_kit.rollout.journey import OutboxStatus
from osupdate_kit.service.census import asked
from osupdate_kit.service.clock import KitClock
from osupdate_kit.service.receiver import STRANGERS
from osupdate_kit.service.sender import push_trouble_name
from osupdate_kit.service.tally import Sign, read_sign
from osupdate_kit.stores.ledger import Ledger, Transaction

SECONDS = 120.0  # of real time that a device is given
_LOOK_SECONDS = 0.25
_GRACE_SECONDS = 5.0  # after the first sign of a fault: perhaps the answer is on its way all the same


_NOTHING = Sign()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTrip:
    """What became of one question."""

    key: DeviceKey
    began_at: int  # our clock
    seconds: float = 0.0  # of real time, until the answer or until we stopped waiting
    status: OutboxStatus = OutboxStatus.INTENDED
    shown: bool = False  # the device was heard of since
    answer: str = ""  # its status word; empty: none came
    told: str = ""  # what it said of itself
    after: Sign = _NOTHING  # what the receiver had heard by then


def take_in(ledger: Ledger, clock: KitClock, wanted: str, servers: Sequence[str]) -> DeviceKey:
    """The device of that serial, UDID or enrollment ID; one that the store does not know is taken in by its ID.

    Raises SelectionError where it could be on several servers.
    """
    with ledger.read() as tx:
        known = [key for key in tx.keys_called(wanted) if key.server in servers]
    if known:
        return known[0]
    if len(servers) != 1:
        raise SelectionError(
            f"The store does not know {wanted}.", remedy=f"Name its server by --server: {', '.join(servers)}."
        )
    key = DeviceKey(servers[0], wanted)
    with ledger.write() as tx:
        tx.add_devices([Device(key=key, udid=wanted)], now=clock.now())
    return key


def round_trip(
    ledger: Ledger,
    clock: KitClock,
    key: DeviceKey,
    *,
    seconds: float = SECONDS,
    tell: Callable[[str], None] = lambda words: None,
    pause: threading.Event | None = None,
) -> RoundTrip:
    """Ask, and wait for the answer or for signs of a fault. tell: a sentence at each step."""
    pause = pause or threading.Event()
    began, began_at = time.monotonic(), clock.now()
    with ledger.write() as tx:
        before = read_sign(tx)
        [row] = tx.add_outbox([asked(key, RequestType.DEVICE_INFORMATION, began_at)])
    tell(f"{key.enrollment_id} is asked what it is.")
    found = RoundTrip(key=key, began_at=began_at)
    fault_since = 0.0
    while True:
        pause.wait(_LOOK_SECONDS)
        with ledger.read() as tx:
            now = _look(tx, found, row.id, time.monotonic() - began)
            fault = now.status is OutboxStatus.QUEUED and _fault(tx, before, now)
        if now.status is not found.status:
            tell(f"The command is {now.status.value}.")
        if now.shown and not found.shown:
            tell("The device came.")
        found = now
        fault_since = (fault_since or now.seconds) if fault else 0.0
        over = fault and now.seconds >= fault_since + _GRACE_SECONDS
        if now.answer or over or now.seconds >= seconds or now.status in _ENDS:
            return found


_ENDS = (OutboxStatus.REFUSED, OutboxStatus.UNKNOWN, OutboxStatus.WITHDRAWN)


def _look(tx: Transaction, trip: RoundTrip, row: int, seconds: float) -> RoundTrip:
    asked_for = tx.outbox_rows([row])[row]
    stored = tx.devices([trip.key]).get(trip.key)
    events = tx.events_of([trip.key]).get(trip.key, ()) if asked_for.command_uuid else ()
    answer = next((e for e in events if e.kind is EventKind.ANSWERED and e.outbox == row), None)
    told = ""
    if answer and stored:
        device = stored.device
        told = f"It runs {device.platform.value if device.platform else 'an OS'} {device.os_version or 'unknown'}."
    return RoundTrip(
        key=trip.key,
        began_at=trip.began_at,
        seconds=seconds,
        status=asked_for.status,
        shown=bool(answer) or (stored is not None and stored.device.last_seen_at >= trip.began_at),
        answer=str(answer.evidence.get("answer", "something")) if answer else "",
        told=told,
        after=read_sign(tx),
    )


def _fault(tx: Transaction, before: Sign, now: RoundTrip) -> bool:
    """Did something go wrong since that explains why no answer comes?"""
    kept = tx.get(push_trouble_name(now.key.server))
    if kept and '"words": ""' not in kept:
        return not now.shown
    for name in (now.key.server, STRANGERS):
        then, since = before.heard.get(name), now.after.heard.get(name)
        if since and since.refused_at > max(now.began_at, since.taken_at, then.refused_at if then else 0):
            return True
    return False
