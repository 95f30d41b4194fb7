"""Inbox, events and raw bodies: what came in, and what was recorded of it."""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from sqlalchemy import bindparam, delete, func, insert, select, tuple_

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.rollout.events import RolloutEvent
from osupdate_kit.stores.rows import InboxRow, event_of, event_values
from osupdate_kit.stores.schema import events, inbox, raw_bodies
from osupdate_kit.stores.statements import Session, Statement, among, at_most, insert_or, last_id

INBOX_ADD = Statement(insert(inbox).values({c.name: bindparam(c.name) for c in inbox.c if c.name != "id"}))
_INBOX_NEXT = Statement(at_most(select(inbox).order_by(inbox.c.id)))
_INBOX_DONE = Statement(delete(inbox).where(among(inbox.c.id)))
_INBOX_SIZE = Statement(select(func.count()).select_from(inbox))

_LAST_SEQ = last_id(events.c.seq)
_ADD = Statement(insert_or(events, lambda new: new.on_conflict_do_nothing()))
_ADDED = Statement(select(events.c.seq).where(events.c.seq > bindparam("after")))
_OF = Statement(
    select(events)
    .where(events.c.server == bindparam("server"), among(events.c.enrollment_id))
    .order_by(events.c.at, events.c.seq)
)
_IDENTITY = (events.c.server, events.c.enrollment_id, events.c.digest)
_REPLAY = Statement(
    at_most(
        select(events, *(column.label(f"key_{column.name}") for column in _IDENTITY))
        .where(tuple_(*_IDENTITY) > tuple_(*(bindparam(f"after_{c.name}", type_=c.type) for c in _IDENTITY)))
        .order_by(*_IDENTITY)
    )
)

_ADD_RAW = Statement(insert_or(raw_bodies, lambda new: new.on_conflict_do_nothing()))
_RAW = Statement(select(raw_bodies.c.body).where(raw_bodies.c.seq == bindparam("seq")))
_FORGET_RAW = Statement(delete(raw_bodies).where(raw_bodies.c.at < bindparam("before")))


def inbox_values(row: InboxRow) -> tuple[str, str, int, bytes]:
    return row.server, row.kind, row.received_at, row.body


def _numbered(event: RolloutEvent, seq: int) -> RolloutEvent:
    """As `replace(event, seq=seq)`, in a third of the time: every event passes here."""
    return RolloutEvent(
        key=event.key,
        kind=event.kind,
        at=event.at,
        recorded_at=event.recorded_at,
        digest=event.digest,
        server_at=event.server_at,
        rollout=event.rollout,
        outbox=event.outbox,
        command_uuid=event.command_uuid,
        evidence=event.evidence,
        seq=seq,
    )


_SMALL = 1024  # bytes; to pack fewer costs more time than it saves room


def _packed(body: bytes) -> bytes:
    """A long body compressed, with a window for a few KB: zlib's usual 32 KB costs far more to set up than to use."""
    if len(body) <= _SMALL:
        return _PLAIN + body
    packer = zlib.compressobj(wbits=12, memLevel=4)
    return _ZLIB + packer.compress(body) + packer.flush()


def _unpacked(kept: bytes) -> bytes:
    return zlib.decompress(kept[1:]) if kept[:1] == _ZLIB else kept[1:]


_PLAIN, _ZLIB = b"p", b"z"


class Evidence(Session):
    """Its part of a transaction."""

    def inbox_next(self, limit: int) -> list[InboxRow]:
        """The oldest ones; they stay until `inbox_done`."""
        return [
            InboxRow(id=number, server=server, kind=kind, received_at=received_at, body=bytes(body))
            for number, server, kind, received_at, body in self._rows(_INBOX_NEXT, limit)
        ]

    def inbox_add(self, rows: Sequence[InboxRow]) -> None:
        self._each(INBOX_ADD, [inbox_values(row) for row in rows])

    def inbox_done(self, ids: Sequence[int]) -> None:
        for pack in self._packs(ids):
            self._run(_INBOX_DONE, pack)

    def inbox_size(self) -> int:
        return int(self._value(_INBOX_SIZE))

    def add_events(self, new: Sequence[RolloutEvent]) -> list[RolloutEvent]:
        """Store them in this order; those that were new, with their `seq`. A repeat is ignored and leaves a gap."""
        last = self.last_seq()
        added = self._each(_ADD, [event_values(event, seq) for seq, event in enumerate(new, last + 1)])
        if added == len(new):
            return [_numbered(event, seq) for seq, event in enumerate(new, last + 1)]
        there = {seq for (seq,) in self._rows(_ADDED, last)}
        return [_numbered(event, seq) for seq, event in enumerate(new, last + 1) if seq in there]

    def events_of(self, keys: Iterable[DeviceKey]) -> dict[DeviceKey, list[RolloutEvent]]:
        """By device, ordered by (at, seq); devices without events are not in it."""
        found: dict[DeviceKey, list[RolloutEvent]] = defaultdict(list)
        for row in self._of(_OF, keys):
            event = event_of(row)
            found[event.key].append(event)
        return dict(found)

    def replay(self) -> Iterator[tuple[DeviceKey, list[RolloutEvent]]]:
        """All devices that have events, in key order, each with all of them ordered by (at, seq)."""
        rows = self._pages(_REPLAY, after=("", "", ""), limit=None)
        for key, mine in groupby((event_of(row[:-3]) for row in rows), key=lambda event: event.key):
            yield key, sorted(mine, key=lambda event: (event.at, event.seq))

    def last_seq(self) -> int:
        return int(self._value(_LAST_SEQ))

    def add_raw(self, rows: Sequence[tuple[int, bytes]], *, at: int) -> None:
        """Keep the redacted bodies that events were read from, long ones compressed, by `seq`."""
        self._each(_ADD_RAW, [(seq, _packed(body), at) for seq, body in rows])

    def raw(self, seq: int) -> bytes | None:
        body = self._value(_RAW, seq)
        return None if body is None else _unpacked(body)

    def forget_raw(self, before: int) -> int:
        """Drop those kept before that time; how many."""
        return self._run(_FORGET_RAW, before)
