"""What is kept for a while only: the raw bodies beside events, which outweigh everything else in a store."""

from osupdate_kit.rollout.policy import DAY, HOUR
from osupdate_kit.rollout.ports import Clock
from osupdate_kit.stores.ledger import Ledger

RAW_DAYS = 90


class Keeper:
    """A turn drops, once an hour of our clock, the raw bodies that are older than `RAW_DAYS`."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger, self._clock, self._next_at = ledger, clock, 0

    def turn(self) -> int:
        now = self._clock.now()
        if now < self._next_at:
            return 0
        self._next_at = now + HOUR
        with self._ledger.write() as tx:
            return tx.forget_raw(now - RAW_DAYS * DAY)
