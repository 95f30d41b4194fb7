"""Status reports that no webhook brought: read at the server of declarations, and worked in like all evidence.

Knows of whom too little was heard, and up to which report each was read. Leaves what a report says to the worker.
"""

from osupdate_kit.rollout.policy import HOUR, Cadences
from osupdate_kit.rollout.ports import Clock, DeclarationServer, ReportsAnswer, ServerEvent, Topic
from osupdate_kit.servers.events import encode_event
from osupdate_kit.stores.ledger import InboxRow, Ledger

EVERY = HOUR
AT_ONCE = 200  # devices in one turn
MOST = 20  # reports of each, the newest
WHOLE_SECOND = 999_999  # Last-Modified is cut to seconds: what it dates came in no later than this much after it


class StatusReader:
    """One per server of declarations. A turn reads the reports of some declared devices that have been quiet.

    A report may come twice, by the webhook and by this: it says the same both times. Marks are kept in memory only, for
    after a restart no more than `MOST` reports of a device are read again.
    """

    def __init__(self, ledger: Ledger, server: DeclarationServer, clock: Clock, cadences: Cadences) -> None:
        self._ledger, self._server, self._clock = ledger, server, clock
        self._patience = int(cadences.query_every_hours * HOUR)
        self._marks: dict[str, str] = {}
        self._next_at, self._after = 0, ""

    def turn(self) -> int:
        """How many devices were read."""
        now = self._clock.now()
        if now < self._next_at:
            return 0
        with self._ledger.read() as tx:
            ids = tx.unheard_declared(self._server.name, before=now - self._patience, after=self._after, limit=AT_ONCE)
        if not ids:
            self._next_at, self._after = now + EVERY, ""
            return 0
        answers = self._server.reports({one: self._marks.get(one, "") for one in ids}, most=MOST)
        rows = [row for one in ids for row in self._rows(one, answers[one])]
        if rows:
            with self._ledger.write() as tx:
                tx.inbox_add(rows)
        self._marks |= {one: answers[one].mark for one in ids}
        self._after = ids[-1]
        return len(ids)

    def _rows(self, enrollment_id: str, answer: ReportsAnswer) -> list[InboxRow]:
        now = self._clock.now()
        events = [
            ServerEvent(
                topic=Topic.DECLARATIVE_MANAGEMENT,
                created_at=report.received_at + WHOLE_SECOND + order,
                enrollment_id=enrollment_id,
                endpoint="status",
                fields=report.fields,
            )
            for order, report in enumerate(answer.reports)
            if report.report is not None and report.received_at
        ]
        return [
            InboxRow(server=self._server.name, kind="webhook", received_at=now, body=encode_event(event))
            for event in events
        ]
