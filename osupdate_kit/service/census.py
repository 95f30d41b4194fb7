"""The census: devices of which too little is known are woken and asked, a few at a time.

Macs are asked for their bootstrap token, too: by SecurityInfo, which on other platforms says nothing of updates.

A fleet that was enrolled long ago never says Authenticate again; a list of its UDIDs is all there is. Each is asked
once, at a bounded rate, and stays visible as *never seen* until it answers.
"""

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.commands import DeviceInformation, SecurityInfo
from osupdate_kit.protocol.terms import Platform, RequestType
from osupdate_kit.rollout.journey import OutboxKind, OutboxRow
from osupdate_kit.rollout.policy import MINUTE
from osupdate_kit.rollout.ports import Clock
from osupdate_kit.service.words import command_text
from osupdate_kit.stores.ledger import Ledger

PER_MINUTE = 2_000


class Census:
    """A turn asks the next devices that a person has put on the list, `PER_MINUTE` of them each minute of our clock."""

    def __init__(self, ledger: Ledger, clock: Clock, *, per_minute: int = PER_MINUTE) -> None:
        self._ledger, self._clock, self._per_minute = ledger, clock, per_minute
        self._next_at = 0

    def turn(self) -> int:
        now = self._clock.now()
        if now < self._next_at:
            return 0
        with self._ledger.read() as tx:
            waiting = bool(tx.census_next(1))
        if not waiting:
            self._next_at = now + MINUTE // 60
            return 0
        with self._ledger.write() as tx:
            keys = tx.census_next(self._per_minute)
            known = tx.devices(keys)
            macs = [key for key in keys if key in known and known[key].device.platform in (Platform.MACOS, None)]
            rows = [asked(key, RequestType.DEVICE_INFORMATION, now) for key in keys]
            tx.add_outbox([*rows, *(asked(key, RequestType.SECURITY_INFO, now) for key in macs)])
            tx.census_done(keys)
        self._next_at = now + MINUTE
        return len(keys)


_QUESTIONS = {
    RequestType.DEVICE_INFORMATION: command_text(DeviceInformation()),
    RequestType.SECURITY_INFO: command_text(SecurityInfo()),
}


def asked(key: DeviceKey, request_type: RequestType, now: int) -> OutboxRow:
    """The question to one device, for the sender."""
    return OutboxRow(
        key=key,
        rollout=0,
        kind=OutboxKind.QUERY,
        request_type=request_type,
        command=_QUESTIONS[request_type],
        created_at=now,
        not_before=now,
    )
