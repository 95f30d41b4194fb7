"""The tally: what the receiver heard, and that the service lives, kept in the store for whoever asks from elsewhere.

One row, by server and reason, written when it has changed and once a minute otherwise: a flood of calls writes no more
often than a few. Leaves what it means to `kit.doctor`.
"""

import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from osupdate_kit.service.receiver import Heard, Receiver
from osupdate_kit.stores.ledger import Ledger, Transaction

_CURSOR = "receiver"
CHANGED_SECONDS, ALIVE_SECONDS = 2.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """The working service's sign of life."""

    alive_at: int = 0  # real microseconds UTC, whatever the speed of the store's clock; 0 = none ever worked
    host: str = ""  # the machine it works on
    url: str = ""  # where its receiver listens
    heard: Mapping[str, Heard] = field(default_factory=dict)


def read_sign(tx: Transaction) -> Sign:
    kept = json.loads(tx.get(_CURSOR) or "{}")
    heard = {name: Heard(*values) for name, values in kept.pop("heard", {}).items()}
    return Sign(**kept, heard=heard)


class Tally:
    """A turn keeps the receiver's counts, on top of those of earlier services on this store."""

    def __init__(
        self, ledger: Ledger, receiver: Receiver, url: str, *, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._ledger, self._receiver, self._url, self._seconds = ledger, receiver, url, seconds
        self._before: Mapping[str, Heard] | None = None
        self._kept: dict[str, Heard] = {}
        self._at = 0.0

    def turn(self) -> int:
        now = self._seconds()
        if self._before is not None and now < self._at + CHANGED_SECONDS:
            return 0
        if self._before is None:
            with self._ledger.read() as tx:
                self._before = read_sign(tx).heard
        heard = {name: _summed(self._before.get(name, Heard()), one) for name, one in self._receiver.heard.items()}
        if heard == self._kept and now < self._at + ALIVE_SECONDS:
            return 0
        words = {
            "alive_at": time.time_ns() // 1000,
            "host": socket.gethostname(),
            "url": self._url,
            "heard": {name: [h.taken, h.taken_at, h.refused, h.refused_at, h.path] for name, h in heard.items()},
        }
        with self._ledger.write() as tx:
            tx.put(_CURSOR, json.dumps(words))
        self._kept, self._at = heard, now
        return 0  # never at once again


def _summed(before: Heard, now: Heard) -> Heard:
    """What an earlier service heard, and this one since. Refusals count from the last call that was taken in."""
    refused = dict(now.refused)
    if not now.taken:
        refused = {reason: before.refused.get(reason, 0) + refused.get(reason, 0) for reason in
                   before.refused.keys() | refused.keys()}  # fmt: skip
    return Heard(
        before.taken + now.taken,
        max(before.taken_at, now.taken_at),
        refused,
        max(before.refused_at, now.refused_at),
        now.path or before.path,
    )
