"""The one Clock: real time, or a rehearsal's that runs faster. Its anchor stands in the store: all processes agree."""

import json
import time
from dataclasses import dataclass

from osupdate_kit.stores.ledger import Ledger

_ANCHOR = "clock"


@dataclass(frozen=True, slots=True)
class KitClock:
    """Our time = `start_at` + (real time − `real_at`) × `speed`; all in microseconds UTC."""

    start_at: int = 0
    real_at: int = 0
    speed: float = 1.0

    def now(self) -> int:
        return self.from_server(time.time_ns() // 1000)

    def from_server(self, at: int) -> int:
        return self.start_at + int((at - self.real_at) * self.speed)

    def real_seconds(self, until: int) -> float:
        """How long to wait, in real seconds, until our clock shows `until`."""
        return max(0.0, (until - self.now()) / 1_000_000 / self.speed)


def open_clock(ledger: Ledger, *, start_at: int | None = None, speed: float = 1.0) -> KitClock:
    """The clock of this store. The first process sets the anchor; start and speed are the store's from then on."""
    with ledger.read() as tx:
        kept = tx.get(_ANCHOR)
    if kept is None and (start_at is not None or speed != 1.0):
        real_at = time.time_ns() // 1000
        with ledger.write() as tx:
            kept = tx.get(_ANCHOR)
            if kept is None:
                anchor = {"start_at": start_at or real_at, "real_at": real_at, "speed": speed}
                kept = json.dumps(anchor)
                tx.put(_ANCHOR, kept)
    return KitClock(**json.loads(kept)) if kept else KitClock()
