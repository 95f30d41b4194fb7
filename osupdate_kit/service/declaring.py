"""Assignments on their way to one server of declarations: the set first, then the devices.

Knows in which order a server must learn of things. Leaves who is assigned when to the loop, and what the answers prove
to the sender.
"""

import time
from collections.abc import Callable, Sequence

from osupdate_kit.rollout.assignments import TAKE
from osupdate_kit.rollout.enforcement import DeclarationSet, besides_of, set_name_of, set_of
from osupdate_kit.rollout.journey import OutboxRow
from osupdate_kit.rollout.ports import Change, DeclarationServer, EnqueueAnswer, Outcome

SET_STANDS_SECONDS = 600.0  # real time for which a set is taken to be as it was put: the server may be restored


class Declarer:
    """Carries out the assignments of one call. All of it may be repeated: the server takes the same word twice."""

    def __init__(self, server: DeclarationServer, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._server, self._seconds = server, seconds
        self._stands: dict[str, float] = {}
        self.batch_ids = server.batch_ids

    def carry_out(self, row: OutboxRow, ids: Sequence[str]) -> EnqueueAnswer:
        """`row`: one of the call, for all of them say the same."""
        answers = []
        for name in besides_of(row.command) or ():
            answers.append(answer := self._server.withdraw(name, ids))
            ids = [one for one in ids if answer.outcomes[one] is Outcome.QUEUED]
        answers.append(self._say(row, ids))
        outcomes: dict[str, Outcome] = {}
        reasons: dict[str, str] = {}
        for answer in answers:  # the last word on a device counts
            outcomes |= answer.outcomes
            reasons |= answer.reasons
        return EnqueueAnswer(outcomes=outcomes, reasons=reasons, server_at=max(answer.server_at for answer in answers))

    def _say(self, row: OutboxRow, ids: Sequence[str]) -> EnqueueAnswer:
        if row.role == TAKE:
            return self._server.withdraw(set_name_of(row.command), ids)
        wanted = set_of(row.command)
        change = self._put(wanted)
        if change.outcome is Outcome.QUEUED:
            return self._server.assign(wanted.name, ids)
        return EnqueueAnswer(
            outcomes=dict.fromkeys(ids, change.outcome),
            reasons=dict.fromkeys(ids, change.reason),
            server_at=change.server_at,
        )

    def _put(self, wanted: DeclarationSet) -> Change:
        """See to it that the set stands; the first thing that fails, else the last that was done."""
        if self._stands.get(wanted.name, 0.0) > self._seconds():
            return Change(outcome=Outcome.QUEUED)
        for _, body in wanted.declarations:
            change = self._server.put(body)
            if change.outcome is not Outcome.QUEUED:
                return change
        change = self._server.fill(wanted.name, [identifier for identifier, _ in wanted.declarations])
        if change.outcome is Outcome.QUEUED:
            self._stands = {name: until for name, until in self._stands.items() if until > self._seconds()}
            self._stands[wanted.name] = self._seconds() + SET_STANDS_SECONDS
        return change
