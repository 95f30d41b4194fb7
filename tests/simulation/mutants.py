"""Planted bugs: services that break one promise each, so that the simulation can be seen to notice."""

import json
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from osupdate_kit.protocol.commands import encode_request
from osupdate_kit.rollout.events import EventKind, RolloutEvent
from osupdate_kit.rollout.journey import OutboxKind, OutboxRow
from osupdate_kit.rollout.policy import Gate
from osupdate_kit.rollout.state import Course, Facts
from osupdate_kit.service.gates import Gatekeeper, Standing
from osupdate_kit.service.sender import Sender
from osupdate_kit.service.worker import Worker
from osupdate_kit.stores.ledger import StoredRollout, StoredWave, Transaction


class SenderThatTrustsTheLoop(Sender):
    """Sends what was intended, however long ago, without asking again."""

    def _fits(self, row: OutboxRow, facts: Facts, course: Course | None, gate: Gate) -> bool:
        return True


class SenderThatAlwaysPushes(Sender):
    """Wakes a device for every question, whatever waits for it on the server."""

    def _ask_again(
        self, tx: Transaction, rows: Sequence[OutboxRow], now: int
    ) -> tuple[list[OutboxRow], dict[int, bool]]:
        fits, wakes = super()._ask_again(tx, rows, now)
        return fits, dict.fromkeys(wakes, True)


class SenderThatRetriesAnew(Sender):
    """Tries an unknown outcome again under another UUID."""

    def _call(self, rows: Sequence[OutboxRow], push: bool) -> None:
        now = self._clock.now()
        if rows[0].kind is OutboxKind.STEP and rows[0].not_before > now:  # a retry
            fresh = self._new_uuid()
            rows = [replace(row, command_uuid=fresh) for row in rows]
            with self._ledger.write() as tx:
                tx.save_outbox(rows)
                tx.add_command(fresh, rows[0].key.server, rows[0].request_type, rows[0].rollout, rows[0].command, now)
        super()._call(rows, push)


class SenderThatKeepsNoRecord(Sender):
    """Calls first and writes down afterwards: a crash in between forgets the UUID."""

    def _mark(self, tx: Transaction, rows: Sequence[OutboxRow], now: int) -> tuple[list[OutboxRow], bool]:
        chosen, push = super()._mark(tx, rows, now)
        if chosen and chosen[0].kind is OutboxKind.STEP:
            body = encode_request(json.loads(chosen[0].command), chosen[0].command_uuid)
            self._server.enqueue(body, [row.key.enrollment_id for row in chosen], push=push)
        return chosen, push


class WorkerThatTakesAnErrorForAnEnd(Worker):
    """After an Error nothing can be going on, it thinks: a step that failed raises no doubt."""

    def _event(self, *words: Any) -> RolloutEvent | None:
        event = super()._event(*words)
        if event and event.evidence.get("answer") == "failed" and event.evidence.get("of") == "step":
            return replace(event, evidence={**event.evidence, "action": "DownloadOnly"})
        return event


class WorkerThatForgets(Worker):
    """Takes events out of the inbox before their effect is kept: two transactions instead of one."""

    def turn(self) -> int:
        with self._ledger.read() as tx:
            rows = tx.inbox_next(self._limit)
        if not rows:
            return 0
        with self._ledger.write() as tx:
            tx.inbox_done([row.id for row in rows])
        receipts = [row for row in rows if row.kind == "receipt"]
        reads = [read for row in rows if row.kind == "webhook" and (read := self._read(row))]
        with self._ledger.write() as tx:
            self._take(tx, reads, receipts)
        return len(rows)


class WorkerThatCountsTwice(Worker):
    """Every body is news to it, also the second of the same."""

    def _event(self, *words: Any) -> RolloutEvent | None:
        event = super()._event(*words)
        return replace(event, digest=f"{event.digest}:{words[1].row.id}") if event else None


class WorkerThatBelievesNoUpdate(Worker):
    """A device on which nothing goes on must have the target, it thinks."""

    def _event(self, *words: Any) -> RolloutEvent | None:
        event = super()._event(*words)
        said = event.evidence if event else {}
        if (
            event
            and event.kind is EventKind.ANSWERED
            and (said.get("look") == "nothing" or said.get("answer") == "no_update")
        ):
            return replace(event, evidence={**said, "proves": [event.rollout]})
        return event


class GatesThatLetOneMoreIn(Gatekeeper):
    """Gives out a place too many."""

    def _admit(self, tx: Transaction, rollout: int, standing: Standing, wave: StoredWave, *rest: Any) -> None:
        super()._admit(tx, rollout, standing, replace(wave, pace=wave.pace + (wave.pace > 0)), *rest)


class GatesThatForget(Gatekeeper):
    """Takes no notice of failures after the first look."""

    def _read(self, tx: Transaction, rollouts: Sequence[StoredRollout], now: int) -> set[int]:
        known = {number: standing.failed for number, standing in self._standing.items()}
        news = super()._read(tx, rollouts, now)
        for number, failed in known.items():
            if number in self._standing:
                self._standing[number].failed = failed
        return news
