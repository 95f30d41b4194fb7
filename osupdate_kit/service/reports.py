"""Status reports that no webhook brought: read at the server of declarations, and worked in like all evidence.

Knows whose last report is too old, and up to which one each was read. Leaves what a report says to the worker.
"""

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.rollout.policy import HOUR, Cadences
from osupdate_kit.rollout.ports import Clock, DeclarationServer, ReportsAnswer, ServerEvent, Topic
from osupdate_kit.servers.events import encode_event
from osupdate_kit.service.record import facts_of
from osupdate_kit.stores.ledger import InboxRow, Ledger

EVERY = 6 * HOUR
AT_ONCE = 200  # devices in one turn
MOST = 20  # reports of each, the newest
WHOLE_SECOND = 999_999  # Last-Modified is cut to seconds: what it dates came in no later than this much after it


class StatusReader:
    """One per server of declarations. A turn looks at some declared devices, and reads reports of those that are quiet.

    A device reports daily; whoever has not for so long is asked after at the server, which keeps what it was told.
    Marks are in memory only: after a restart no more than `MOST` reports of a device are read again.
    """

    def __init__(self, ledger: Ledger, server: DeclarationServer, clock: Clock, cadences: Cadences) -> None:
        self._ledger, self._server, self._clock = ledger, server, clock
        self._patience = int(cadences.query_every_hours * HOUR)
        self._marks: dict[str, str] = {}
        self._next_at, self._after = 0, ""

    def turn(self) -> int:
        """How many devices were looked at."""
        now = self._clock.now()
        if now < self._next_at:
            return 0
        with self._ledger.read() as tx:
            ids = tx.declared_devices(self._server.name, after=self._after, limit=AT_ONCE)
            devices = tx.devices(DeviceKey(self._server.name, one) for one in ids)
        if not ids:
            self._next_at, self._after = now + EVERY, ""
            return 0
        said_at = {key.enrollment_id: _said_at(device.facts) for key, device in devices.items()}
        quiet = [one for one in ids if now - self._clock.from_server(said_at.get(one, 0)) > self._patience]
        if quiet:
            answers = self._server.reports({one: self._marks.get(one, "") for one in quiet}, most=MOST)
            rows = [row for one in quiet for row in self._rows(one, answers[one], said_at.get(one, 0))]
            with self._ledger.write() as tx:
                tx.inbox_add(rows)
            self._marks |= {one: answers[one].mark for one in quiet}
        self._after = ids[-1]
        return len(ids)

    def _rows(self, enrollment_id: str, answer: ReportsAnswer, said_at: int) -> list[InboxRow]:
        """What came to the server since; the reports that a webhook brought are not worked in twice."""
        events = [
            ServerEvent(
                topic=Topic.DECLARATIVE_MANAGEMENT,
                created_at=report.received_at + WHOLE_SECOND + order,
                enrollment_id=enrollment_id,
                endpoint="status",
                fields=report.fields,
            )
            for order, report in enumerate(answer.reports)
            if report.report is not None and report.received_at > said_at
        ]
        now = self._clock.now()
        return [
            InboxRow(server=self._server.name, kind="webhook", received_at=now, body=encode_event(event))
            for event in events
        ]


def _said_at(facts: str) -> int:
    """When the device last reported, by the server's clock; 0: never."""
    return max((said.at for said in facts_of(facts).said.values()), default=0)
