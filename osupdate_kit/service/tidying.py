"""What a rollout leaves on a server of declarations: its sets, once nobody is assigned to them any more."""

from osupdate_kit.rollout.enforcement import DeclarationSet, set_of
from osupdate_kit.rollout.journey import RolloutStatus
from osupdate_kit.rollout.policy import HOUR
from osupdate_kit.rollout.ports import Clock, DeclarationServer, Outcome
from osupdate_kit.service.loop import TAIL
from osupdate_kit.stores.ledger import Ledger

EVERY = HOUR
_HEARD = (Outcome.QUEUED, Outcome.REFUSED)  # the server itself has answered
_OVER = (RolloutStatus.ENDED, RolloutStatus.CANCELLED)


class Tidier:
    """One per server of declarations. A turn, once an hour, empties and deletes the sets of rollouts that are over.

    A device that has not been told for a week after the end is not waited for. What several sets share stays for as
    long as one of them holds it: the server refuses to delete it before.
    """

    def __init__(self, ledger: Ledger, server: DeclarationServer, clock: Clock) -> None:
        self._ledger, self._server, self._clock = ledger, server, clock
        self._next_at = 0

    def turn(self) -> int:
        """How many sets were taken away."""
        now = self._clock.now()
        if now < self._next_at:
            return 0
        self._next_at = now + EVERY
        sets = 0
        for rollout in self._over(now):
            with self._ledger.read() as tx:
                mine = {set_of(command) for command in tx.assigned_sets(rollout, self._server.name)}
            if all(self._take_away(one) for one in mine):
                with self._ledger.write() as tx:
                    tx.put(self._cursor(rollout), str(now))
            sets += len(mine)
        return sets

    def _over(self, now: int) -> list[int]:
        with self._ledger.read() as tx:
            over = [r for r in tx.rollouts() if r.status in _OVER and not tx.get(self._cursor(r.id))]
            return [r.id for r in over if now > r.changed_at + TAIL or not tx.still_declared(r.id)]

    def _cursor(self, rollout: int) -> str:
        return f"tidied:{self._server.name}:{rollout}"

    def _take_away(self, one: DeclarationSet) -> bool:
        """False where the server could not be reached: it is tried again."""
        names = [name for name, _ in reversed(one.declarations)]  # an activation before what it names
        done = self._server.empty(one.name, names).outcome in _HEARD
        return done and all(self._server.delete(name).outcome in _HEARD for name in names)
