"""Recovery: what webhooks lost is read from the server's own database, and becomes the events they would have been.

Every webhook event is sent once; the database keeps answers, and when each device was last heard of. A turn reads what
is new there and puts it into the inbox, redacted; what the webhook brought as well is recognised by the worker as a
repeat. Where no webhook can reach the kit, this is the way in. Leaves the tables to `servers.database`.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from osupdate_kit.errors import WebhookError
from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.terms import CommandStatus
from osupdate_kit.rollout.policy import DAY, HOUR
from osupdate_kit.rollout.ports import Clock, Topic
from osupdate_kit.servers.database import ResultKey, Seen
from osupdate_kit.servers.events import RawEvent, encode_event, event_from_database
from osupdate_kit.service.worker import DATABASE
from osupdate_kit.stores.ledger import InboxRow, Ledger, StoredDevice

log = logging.getLogger(__name__)

FIRST = 7 * DAY  # how far back the first turn reads answers
OVERLAP = 30_000_000  # microseconds that are read again: a transaction stamps its rows when it begins
WEBHOOK_SECONDS = 2  # by which a webhook may be ahead of, or behind, what the database says of the same contact
MOST_PAGES = 20  # of answers in one turn
BACKLOG = 20_000  # rows in the inbox; beyond it the next turn waits


class Source(Protocol):
    """The database of one server (`servers.database.ServerDatabase`)."""

    @property
    def server(self) -> str: ...

    def now(self) -> int: ...

    def seen_after(self, at: int, enrollment_id: str = "") -> list[Seen]: ...

    def results_after(self, at: int, enrollment_id: str = "", command_uuid: str = "") -> list[ResultKey]: ...

    def bodies(self, keys: Sequence[ResultKey]) -> dict[tuple[str, str], bytes]: ...


def cursor_name(server: str) -> str:
    """Under which name the store keeps how far a database has been read."""
    return f"database:{server}"


class Recovery:
    """A turn reads one round of the database every so many seconds of real time."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        source: Source,
        every_seconds: float,
        *,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger, self._clock, self._source, self._every_seconds = ledger, clock, source, every_seconds
        self._seconds, self._next = seconds, 0.0
        self._seen_at = self._results_at = 0  # by the server's clock; 0 = not loaded yet
        self._taken: dict[tuple[str, ...], int] = {}  # what the overlap brings again, and when it happened
        self._rest: tuple[int, str, str] | None = None  # where the last round broke off, among the answers

    def turn(self) -> int:
        """How many events were put into the inbox."""
        if self._seconds() < self._next:
            return 0
        with self._ledger.read() as tx:
            if tx.inbox_size() > BACKLOG:
                return 0
        now = self._source.now()
        if not self._results_at:
            self._load(now)
        done = sum(map(self._take_in, self._pages()))
        if self._rest is None:
            self._results_at, self._seen_at = max(self._results_at, now - OVERLAP), max(self._seen_at, now - OVERLAP)
        with self._ledger.write() as tx:
            tx.put(
                cursor_name(self._source.server),
                json.dumps({"results": self._results_at, "seen": self._seen_at, "read_at": self._clock.now()}),
            )
        self._taken = {key: at for key, at in self._taken.items() if at >= now - 2 * HOUR}
        self._next = self._seconds() + (0 if self._rest else self._every_seconds)
        return done

    def _load(self, now: int) -> None:
        with self._ledger.read() as tx:
            kept = json.loads(tx.get(cursor_name(self._source.server)) or "{}")
        self._results_at = min(kept.get("results", now - FIRST), now)
        self._seen_at = min(kept.get("seen", now - OVERLAP), now)

    def _pages(self) -> Iterator[list[RawEvent]]:
        """Check-ins and contacts first, then answers: each page in the order in which it happened."""
        at, one = self._seen_at - OVERLAP, ""
        while not self._rest and (rows := self._source.seen_after(at, one)):
            yield self._contacts(rows)
            at, one = rows[-1].last_seen_at, rows[-1].enrollment_id
            self._seen_at = max(self._seen_at, at)
        at, one, uuid = self._rest or (self._results_at - OVERLAP, "", "")
        for _ in range(MOST_PAGES):
            keys = self._source.results_after(at, one, uuid)
            if not keys:
                self._rest = None
                return
            yield self._answers(keys)
            at, one, uuid = keys[-1].updated_at, keys[-1].enrollment_id, keys[-1].command_uuid
            self._results_at = max(self._results_at, at)
        self._rest = at, one, uuid

    def _take_in(self, events: list[RawEvent]) -> int:
        if not events:
            return 0
        ours = self._ledger.ours(sorted({event.command_uuid for event in events} - {""}))
        now = self._clock.now()
        rows = [
            InboxRow(
                id=0,
                server=self._source.server,
                kind=DATABASE,
                received_at=now,
                body=encode_event(event.redacted(ours=event.command_uuid in ours)),
            )
            for event in events
        ]
        self._ledger.take_in(rows)
        return len(rows)

    # --- answers ---

    def _answers(self, keys: Sequence[ResultKey]) -> list[RawEvent]:
        """Those to our commands, and others' that speak of updates; nothing else is read."""
        new = [key for key in keys if self._is_new(key.updated_at, key.enrollment_id, key.command_uuid, key.status)]
        ours = self._ledger.ours(sorted({key.command_uuid for key in new}))
        wanted = [key for key in new if key.of_updates or key.command_uuid in ours]
        bodies = self._source.bodies(wanted)
        found = []
        for key in wanted:
            body = bodies.get((key.enrollment_id, key.command_uuid))
            event = body and self._read(
                Topic.CONNECT, key.updated_at, key, payload=body, status=key.status, command_uuid=key.command_uuid
            )
            if event:
                found.append(event)
        return found

    # --- contacts ---

    def _contacts(self, rows: Sequence[Seen]) -> list[RawEvent]:
        """Enrolments, leavings, and contacts that no webhook has told of."""
        keys = {row: DeviceKey(self._source.server, row.enrollment_id) for row in rows}
        with self._ledger.read() as tx:
            known = tx.devices(keys.values())
        found: list[RawEvent | None] = []
        for row in rows:
            stored = known.get(keys[row])
            since = max(row.last_seen_at - HOUR, self._seen_at - HOUR)  # a device may take long to enrol
            if row.enabled and row.authenticated_at > since and self._is_new(row.authenticated_at, "A", row[0]):
                found.append(self._read(Topic.AUTHENTICATE, row.authenticated_at, row))
            if row.enabled and row.token_update_at > since and self._is_new(row.token_update_at, "T", row[0]):
                found.append(self._read(Topic.TOKEN_UPDATE, row.token_update_at, row))
            if not row.enabled:
                if stored is not None and stored.device.enrolled and self._is_new(row.last_seen_at, "C", row[0]):
                    found.append(self._read(Topic.CHECK_OUT, row.last_seen_at, row))
            elif not self._heard(stored, row.last_seen_at) and self._is_new(row.last_seen_at, "I", row[0]):
                found.append(self._read(Topic.CONNECT, row.last_seen_at, row, status=CommandStatus.IDLE.value))
        return [event for event in found if event]

    def _heard(self, stored: StoredDevice | None, at: int) -> bool:
        """Did the webhook tell of this contact?"""
        told = stored.device.last_seen_at if stored else 0
        return told >= self._clock.from_server(at - WEBHOOK_SECONDS * 1_000_000)

    # --- both ---

    def _is_new(self, at: int, *key: str) -> bool:
        if self._taken.get(key) == at:
            return False
        self._taken[key] = at
        return True

    def _read(
        self,
        topic: Topic,
        at: int,
        row: Seen | ResultKey,
        *,
        payload: bytes = b"",
        status: str = "",
        command_uuid: str = "",
    ) -> RawEvent | None:
        try:
            return event_from_database(
                topic, at, row.enrollment_id, row.type, status=status, command_uuid=command_uuid, payload=payload
            )
        except WebhookError as error:
            log.warning("a row of the database of %s: %s", self._source.server, Exception.__str__(error))
            return None
