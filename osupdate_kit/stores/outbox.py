"""Outbox and commands: what we intend, and under which UUID it went out."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Select, Text, and_, bindparam, func, insert, literal_column, not_, select, update
from sqlalchemy.dialects import postgresql

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.rollout.assignments import GIVE
from osupdate_kit.rollout.journey import OutboxRow, OutboxStatus
from osupdate_kit.stores.rows import outbox_of, outbox_values
from osupdate_kit.stores.schema import commands, outbox
from osupdate_kit.stores.statements import Session, Statement, among, at_most, last_id

# As constants, for a partial index serves only a condition that is known when the statement is planned.
_READY = outbox.c.status == literal_column("'intended'")
_UNSURE = and_(
    outbox.c.kind.in_([literal_column("'step'"), literal_column("'assignment'")]),
    outbox.c.status.in_([literal_column("'sending'"), literal_column("'unknown'")]),
)

_LAST = last_id(outbox.c.id)
_ADD = Statement(insert(outbox))
_NEXT = Statement(
    at_most(
        select(outbox)
        .where(_READY, outbox.c.server == bindparam("server"), outbox.c.not_before <= bindparam("now"))
        .order_by(outbox.c.not_before, outbox.c.id)
    )
)
_UNSURE_DUE = Statement(
    at_most(
        select(outbox.c.command_uuid)
        .where(_UNSURE, outbox.c.server == bindparam("server"), outbox.c.not_before <= bindparam("now"))
        .order_by(outbox.c.not_before)
    )
)
_UNSURE_OF = Statement(select(outbox).where(_UNSURE, among(outbox.c.command_uuid)).order_by(outbox.c.id))
_BY_ID = Statement(select(outbox).where(among(outbox.c.id)).order_by(outbox.c.id))
_OF = Statement(
    select(outbox).where(outbox.c.server == bindparam("server"), among(outbox.c.enrollment_id)).order_by(outbox.c.id)
)
_INTENDED = Statement(
    select(outbox)
    .where(_READY, outbox.c.rollout == bindparam("of_rollout"))
    .order_by(outbox.c.server, outbox.c.not_before, outbox.c.id)  # so that only what is intended is read
)
_SETS = Statement(
    select(outbox.c.command)
    .where(
        outbox.c.rollout == bindparam("of_rollout"), outbox.c.server == bindparam("server"),
        outbox.c.kind == literal_column("'assignment'"), outbox.c.role == literal_column(str(GIVE)),
    )
    .distinct()
)  # fmt: skip
_SAVE = Statement(
    update(outbox)
    .values({name: bindparam(name) for name in ("status", "command_uuid", "not_before", "attempts")})
    .where(outbox.c.id == bindparam("of_id"))
)
_DUE = and_(outbox.c.server == bindparam("of_server"), outbox.c.not_before <= bindparam("now"))
_IS_PUSH, _IS_ASSIGNMENT = (outbox.c.kind == literal_column(f"'{kind}'") for kind in ("push", "assignment"))
_POSTPONE = {
    assignments: [
        Statement(update(outbox).values(not_before=bindparam("later")).where(_DUE, waits, line))
        for waits in (_READY, _UNSURE)
    ]
    for assignments, line in ((True, _IS_ASSIGNMENT), (False, not_(_IS_ASSIGNMENT | _IS_PUSH)))
}
_NO_PUSH = Statement(update(outbox).values(status=literal_column("'withdrawn'")).where(_DUE, _READY, _IS_PUSH))
_BACKLOG = Statement(select(func.count()).select_from(outbox).where(_READY, outbox.c.server == bindparam("server")))


def _answered(dialect: str) -> Select[Any]:
    """By pairs of enrollment id and UUID, which travel as two lists (PostgreSQL) or one list of pairs (SQLite)."""
    if dialect == "sqlite":
        pairs: Any = func.json_each(bindparam("pairs")).table_valued("value", name="pairs")
        enrollment_id, uuid = (func.json_extract(pairs.c.value, literal_column(f"'$[{n}]'")) for n in (0, 1))
    else:
        lists = (bindparam(name, type_=postgresql.ARRAY(Text())) for name in ("ids", "uuids"))
        pairs = func.unnest(*lists).table_valued("enrollment_id", "uuid", name="pairs").render_derived()
        enrollment_id, uuid = pairs.c.enrollment_id, pairs.c.uuid
    same = and_(
        outbox.c.server == bindparam("server"), outbox.c.enrollment_id == enrollment_id, outbox.c.command_uuid == uuid
    )
    return select(outbox).select_from(
        pairs.outerjoin(outbox, same)
    )  # outer: the pairs are looked up, not the outbox read


_ANSWERED = Statement(_answered)
_COMMAND_ADD = Statement(insert(commands))
_COMMANDS = Statement(select(commands.c.uuid).where(among(commands.c.uuid)))


class Outbox(Session):
    """Its part of a transaction."""

    def add_outbox(self, rows: Sequence[OutboxRow]) -> list[OutboxRow]:
        """Store them in this order; the same rows with their ids, which only grow."""
        last = int(self._value(_LAST))
        self._each(_ADD, [outbox_values(row, number) for number, row in enumerate(rows, last + 1)])
        return [replace(row, id=number) for number, row in enumerate(rows, last + 1)]

    def outbox_ready(self, server: str, now: int, limit: int) -> list[OutboxRow]:
        """Intended and due, the longest due first."""
        return [outbox_of(row) for row in self._rows(_NEXT, server, now, limit)]

    def outbox_unsure(self, server: str, now: int, limit: int) -> list[OutboxRow]:
        """Steps and assignments of unknown outcome that are due for another try.

        All unsure rows of each UUID, never half of a batch. `limit` bounds the rows by which batches are chosen.
        """
        due = [uuid for (uuid,) in self._rows(_UNSURE_DUE, server, now, limit)]
        found = [outbox_of(row) for pack in self._packs(due) for row in self._rows(_UNSURE_OF, pack)]
        return [row for row in found if row.key.server == server]

    def postpone(self, server: str, *, assignments: bool, now: int, later: int) -> None:
        """Nothing that is due goes to the server (or, of assignments, to its declarations) before `later`.

        Pushes are dropped: the loop asks for one again in its own time, and they must not heap up.
        """
        for statement in _POSTPONE[assignments]:
            self._run(statement, later, server, now)
        if not assignments:
            self._run(_NO_PUSH, server, now)

    def outbox_rows(self, ids: Iterable[int]) -> dict[int, OutboxRow]:
        rows = (outbox_of(row) for pack in self._packs(ids) for row in self._rows(_BY_ID, pack))
        return {row.id: row for row in rows}

    def outbox_of(
        self, keys: Iterable[DeviceKey], statuses: Collection[OutboxStatus]
    ) -> dict[DeviceKey, list[OutboxRow]]:
        """By device, oldest first; devices without such rows are not in it."""
        found: dict[DeviceKey, list[OutboxRow]] = defaultdict(list)
        for row in map(outbox_of, self._of(_OF, keys)):
            if row.status in statuses:
                found[row.key].append(row)
        return dict(found)

    def outbox_intended(self, rollout: int) -> list[OutboxRow]:
        """What a rollout intends, and nothing was sent of; oldest first."""
        return sorted(map(outbox_of, self._rows(_INTENDED, rollout)), key=lambda row: row.id)

    def assigned_sets(self, rollout: int, server: str) -> list[str]:
        """The sets of declarations that devices of a rollout were ever assigned to there; reads the whole outbox."""
        return [command for (command,) in self._rows(_SETS, rollout, server)]

    def save_outbox(self, rows: Sequence[OutboxRow]) -> None:
        """Keep status, command_uuid, not_before and attempts."""
        self._each(_SAVE, [(r.status.value, r.command_uuid, r.not_before, r.attempts, r.id) for r in rows])

    def outbox_backlog(self, server: str) -> int:
        return int(self._value(_BACKLOG, server))

    def add_command(self, uuid: str, server: str, request_type: str, rollout: int, command: str, at: int) -> None:
        """Remember a UUID as ours, before it is on the wire."""
        self._run(_COMMAND_ADD, uuid, server, request_type, rollout, command, at)

    def our_commands(self, uuids: Sequence[str]) -> set[str]:
        return {uuid for pack in self._packs(uuids) for (uuid,) in self._rows(_COMMANDS, pack)}

    def answered_rows(self, answers: Iterable[tuple[DeviceKey, str]]) -> dict[tuple[DeviceKey, str], OutboxRow]:
        """Which intention a device's report on a UUID answers; reports on others' commands are not in it."""
        wanted: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for (server, enrollment_id), uuid in dict.fromkeys(answers):
            if uuid:
                wanted[server].append((enrollment_id, uuid))
        found: dict[tuple[DeviceKey, str], OutboxRow] = {}
        for server, pairs in wanted.items():
            lists = (pairs,) if self._dialect.name == "sqlite" else zip(*pairs, strict=True)
            for values in self._rows(_ANSWERED, *map(self.pack, lists), server):
                if values[0] is not None:
                    row = outbox_of(values)
                    found[row.key, row.command_uuid] = row
        return found
