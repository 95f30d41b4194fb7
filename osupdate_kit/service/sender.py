"""The sender: takes intentions to one MDM server, and asks every condition again when it marks them *sending*.

Knows batches, retries of unknown outcome, and what a server's answer proves. One call is in flight per server.
"""

import json
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType

from msgspec.structs import replace

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.commands import encode_request
from osupdate_kit.rollout.alerts import Untaken
from osupdate_kit.rollout.assignments import GIVE, TAKE
from osupdate_kit.rollout.engine import may_send, may_send_assignment, may_wake, only_downloads, wants_declaration
from osupdate_kit.rollout.events import EventKind
from osupdate_kit.rollout.journey import Box, OutboxKind, OutboxRow, OutboxStatus, RolloutStatus
from osupdate_kit.rollout.policy import HOUR, MINUTE, Gate
from osupdate_kit.rollout.ports import Clock, CommandServer, DeclarationServer, EnqueueAnswer, Outcome
from osupdate_kit.rollout.state import Course, Facts
from osupdate_kit.service.declaring import Declarer
from osupdate_kit.service.loop import gate_of, why_held
from osupdate_kit.service.record import Plans, facts_of, record
from osupdate_kit.service.words import own_event, receipt
from osupdate_kit.stores.ledger import InboxRow, Ledger, Transaction

RETRY_UNKNOWN = 5 * MINUTE
RETRY_UNTAKEN = MINUTE
TRIED_EVERY = HOUR  # what nobody takes: pushes by their own cadence, the rest every minute
_CALLS = ("commands", "declarations")

_FATE = {
    Outcome.QUEUED: OutboxStatus.QUEUED,
    Outcome.REFUSED: OutboxStatus.REFUSED,
    Outcome.UNTAKEN: OutboxStatus.WITHDRAWN,  # and intended anew
    Outcome.UNKNOWN: OutboxStatus.UNKNOWN,
}


class Rate:
    """So many a second, in real time. What was missed for want of time is made up for within a second, no longer."""

    def __init__(self, per_second: float, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._seconds = per_second, seconds
        self._next = 0.0

    def most(self, ids: int) -> int:
        """Of so many in one call: what comes up to a quarter of a second, so that no call is a burst."""
        return min(ids, max(1, int(self._per_second / 4))) if self._per_second else ids

    def allows(self) -> bool:
        return not self._per_second or self._seconds() >= self._next

    def spend(self, ids: int) -> None:
        if self._per_second:
            self._next = max(self._next, self._seconds() - 1) + ids / self._per_second


def push_trouble_name(server: str) -> str:
    """Under which name the store keeps why the last call that pushed woke nobody; no words: it woke somebody."""
    return f"push:{server}"


def untaken_calls(tx: Transaction, server: str, now: int) -> list[Untaken]:
    """The calls that are tried in vain; what is no longer tried is nobody's trouble."""
    found = []
    for calls in _CALLS:
        note = json.loads(tx.get(_trouble_name(server, calls)) or "{}")
        if note.get("words") and now - note["last"] <= TRIED_EVERY:
            found.append(Untaken(calls, note["at"], note["words"]))
    return found


def _trouble_name(server: str, calls: str) -> str:
    """Under which name the store keeps why nobody takes them, since when, and when last tried; no words: they go."""
    return f"{calls}:{server}"


def new_uuid() -> str:
    return str(uuid.uuid4()).upper()


class Sender:
    """One per server. A turn makes at most one call, so that a killed service leaves at most one outcome unknown."""

    def __init__(
        self,
        ledger: Ledger,
        server: CommandServer,
        clock: Clock,
        plans: Plans,
        *,
        declarations: DeclarationServer | None = None,
        new_uuid: Callable[[], str] = new_uuid,
    ) -> None:
        self._rate = Rate(server.ids_per_second)
        self._declarer = Declarer(declarations) if declarations else None
        self._ledger, self._server, self._clock, self._plans, self._new_uuid = ledger, server, clock, plans, new_uuid
        self._push_trouble: str | None = None  # as the store has it; None: not looked yet
        self._untaken: dict[bool, int] = {}  # of commands and assignments: since when nobody takes them; 0: they go

    def turn(self) -> bool:
        """One call to the server, if anything is to be sent; False when there is nothing."""
        if not self._rate.allows():
            return False
        now = self._clock.now()
        return self._retry(now) or self._send(now)

    # --- first sending ---

    def _send(self, now: int) -> bool:
        with self._ledger.read() as tx:
            ready = tx.outbox_ready(self._server.name, now, 4 * self._server.batch_ids)
        if not ready:
            return False
        with self._ledger.write() as tx:
            batch = tx.outbox_rows(row.id for row in self._batch(ready))
            marked = self._mark(tx, list(batch.values()), now)
        rows, push = marked
        if rows:
            self._call(rows, push=push)
        return True

    def _batch(self, ready: Sequence[OutboxRow]) -> list[OutboxRow]:
        """The oldest, and those that may share its call."""
        waiting = sorted(ready, key=lambda row: row.id)
        head = _group(waiting[0])
        assigns = _assigns(waiting) and self._declarer
        most = assigns.batch_ids if assigns else self._server.batch_ids
        size = self._rate.most(max(1, most >> 2 * waiting[0].attempts))
        if self._untaken.get(_assigns(waiting)):
            size = 1  # enough to see whether somebody is there again
        return _distinct([row for row in waiting if _group(row) == head])[:size]

    def _mark(self, tx: Transaction, rows: Sequence[OutboxRow], now: int) -> tuple[list[OutboxRow], bool]:
        """Mark the rows of one call *sending* under one new UUID, and withdraw those that no longer fit."""
        batch = sorted((r for r in rows if r.status is OutboxStatus.INTENDED), key=lambda row: row.id)
        if not batch:
            return [], False
        fits, wakes, _ = self._ask_again(tx, batch, now)
        push = bool(fits) and wakes[fits[0].id]
        chosen = [row for row in fits if wakes[row.id] == push]
        dropped = [row for row in batch if row not in fits]
        command_uuid = "" if batch[0].kind is OutboxKind.PUSH else self._new_uuid()
        chosen = [
            replace(row, status=OutboxStatus.SENDING, command_uuid=command_uuid, not_before=now) for row in chosen
        ]
        dropped = [replace(row, status=OutboxStatus.WITHDRAWN) for row in dropped]
        tx.save_outbox([*chosen, *dropped])
        if chosen and command_uuid and chosen[0].kind is not OutboxKind.ASSIGNMENT:
            first = chosen[0]
            tx.add_command(command_uuid, first.key.server, first.request_type, first.rollout, first.command, now)
        events = [own_event(EventKind.SENDING, row, now) for row in chosen if row.kind is not OutboxKind.QUERY]
        events += [own_event(EventKind.WITHDRAWN, row, now) for row in dropped if row.kind is not OutboxKind.PUSH]
        record(tx, self._plans, events)
        return chosen, push

    def _ask_again(
        self, tx: Transaction, rows: Sequence[OutboxRow], now: int
    ) -> tuple[list[OutboxRow], dict[int, bool], set[int]]:
        """Which rows still fit; whether each may wake its device; and which declarations are wanted, if not now."""
        devices = tx.devices(row.key for row in rows)
        journeys = tx.journeys_of(row.key for row in rows)
        holds = tx.holds(devices, now)
        rollouts = {number: tx.rollout(number) for number in {row.rollout for row in rows} if number}
        halts = {number: tx.halts(number) for number in rollouts}
        fits, wakes, wanted = [], {}, set()
        for row in rows:
            facts = facts_of(devices[row.key].facts) if row.key in devices else Facts()
            journey = next((j for j in journeys.get(row.key, ()) if j.journey.rollout == row.rollout), None)
            rollout = rollouts.get(row.rollout)
            gate, course = Gate(), None
            if journey and rollout and self._plans.readable(tx, row.rollout):
                plan, course = self._plans.plan(tx, row.rollout), self._plans.course(tx, journey)
                declared = devices[row.key].device.declared
                held = why_held(holds.get(row.key), journey, halts[row.rollout], declared=declared)
                downloads = only_downloads(facts, course)
                gate = gate_of(rollout, plan, journey, now, held=held, downloads=downloads)
            acts = row.kind in (OutboxKind.STEP, OutboxKind.ASSIGNMENT)
            wakes[row.id] = acts or may_wake(facts, gate.open_since)
            if self._fits(row, facts, course, gate):
                fits.append(row)
            gives = row.kind is OutboxKind.ASSIGNMENT and row.role == GIVE
            if gives and course and wants_declaration(facts, course, gate):
                wanted.add(row.id)
        return fits, wakes, wanted

    def _fits(self, row: OutboxRow, facts: Facts, course: Course | None, gate: Gate) -> bool:
        if row.kind is OutboxKind.QUERY:
            return True  # queries are exempt; whether they wake the device is asked beside
        if row.kind is OutboxKind.PUSH:
            return row.gate == gate.open_since and bool(gate.open_since)
        if row.kind is OutboxKind.ASSIGNMENT:
            return row.role == TAKE if course is None else may_send_assignment(facts, course, row.id, gate)
        if course is None:
            return False
        forgets = self._server.forgets_answered
        seen = facts.knocked(gate.open_since) == 2
        return seen and may_send(facts, course, row.id, gate.open_since, forgets_answered=forgets)

    # --- unknown outcomes ---

    def _retry(self, now: int) -> bool:
        """The identical batch once more under the same UUID, while every condition holds for each of its devices."""
        with self._ledger.read() as tx:
            unsure = tx.outbox_unsure(self._server.name, now, self._server.batch_ids)
        if not unsure:
            return False
        batches: dict[str, list[OutboxRow]] = defaultdict(list)
        for row in unsure:
            batches[row.command_uuid].append(row)
        for rows in batches.values():
            with self._ledger.write() as tx:
                fits, _, wanted = self._ask_again(tx, rows, now)
                again = (
                    self._assign_again(tx, rows, fits, wanted, now)
                    if _assigns(rows)
                    else self._send_again(tx, rows, fits, now)
                )
            if again:
                self._call(again, push=True, before=True)
                return True
        return False

    def _send_again(
        self, tx: Transaction, rows: Sequence[OutboxRow], fits: Sequence[OutboxRow], now: int
    ) -> list[OutboxRow]:
        """The whole batch of steps, or nothing of it."""
        whole = len(fits) == len(rows)
        status = OutboxStatus.SENDING if whole else self._unsent(tx, rows)
        later = [replace(row, status=status, not_before=now + RETRY_UNKNOWN) for row in rows]
        tx.save_outbox(later)
        return later if whole else []

    def _assign_again(
        self,
        tx: Transaction,
        rows: Sequence[OutboxRow],
        fits: Sequence[OutboxRow],
        wanted: Collection[int],
        now: int,
    ) -> list[OutboxRow]:
        """The assignments that still fit. What is wanted at another hour waits; the rest is presumed to stand.

        What stands can be taken back, and only what is wanted no more is: else nobody would ever give it.
        """
        later = now + RETRY_UNKNOWN
        again = [replace(row, status=OutboxStatus.SENDING, not_before=later) for row in fits]
        waits = [
            replace(row, status=OutboxStatus.UNKNOWN, not_before=later)
            for row in rows
            if row not in fits and row.id in wanted
        ]
        rest = [replace(row, status=OutboxStatus.QUEUED) for row in rows if row not in fits and row.id not in wanted]
        tx.save_outbox([*again, *waits, *rest])
        record(tx, self._plans, [own_event(EventKind.QUEUED, row, now, given_up=True) for row in rest])
        tx.set_due([(row.rollout, row.key, now) for row in rest])  # also of who is done, and looked at no more
        return again

    def _unsent(self, tx: Transaction, rows: Sequence[OutboxRow]) -> OutboxStatus:
        """What a batch that is not tried again now comes to: nothing more, if it never will be.

        One device's answer shows that the call came to the queue. Where no retry is allowed any more, because the
        server forgets or the rollout is over, it is presumed to be there, too; the steps stay open and armed.
        """
        rollouts = [tx.rollout(number) for number in {row.rollout for row in rows}]
        over = any(r is None or r.status in (RolloutStatus.CANCELLED, RolloutStatus.ENDED) for r in rollouts)
        if over or self._server.forgets_answered:
            return OutboxStatus.QUEUED
        devices = tx.devices(row.key for row in rows)
        steps = [facts_of(devices[row.key].facts).steps.get(row.id) for row in rows if row.key in devices]
        queued = any(step is not None and step.box == Box.QUEUED for step in steps)
        return OutboxStatus.QUEUED if queued else OutboxStatus.UNKNOWN

    # --- the wire ---

    def _call(self, rows: Sequence[OutboxRow], *, push: bool, before: bool = False) -> None:
        """before: the same call went out before, perhaps, and nobody knows what came of it."""
        ids = [row.key.enrollment_id for row in rows]
        first = rows[0]
        self._rate.spend(len(ids))
        if first.kind is OutboxKind.PUSH:
            answer = self._server.push(ids)
            pushed = [row for row in rows if row.key.enrollment_id in answer.pushed]
            with self._ledger.write() as tx:
                tx.save_outbox([replace(row, status=OutboxStatus.PUSHED) for row in rows])
                self._note_push(tx, answer.pushed, answer.reasons)
                self._tell(tx, EventKind.PUSHED, pushed, answer.server_at)
                since = self._note_call(tx, rows, answer.reasons, untaken=answer.untaken)
            self._untaken[False] = since
            return
        if first.kind is OutboxKind.ASSIGNMENT:
            assigned = self._declarer.carry_out(first, ids) if self._declarer else _no_declarations(ids)
            self._settle(rows, assigned, push=False, before=before)
            return
        body = encode_request(json.loads(first.command), first.command_uuid)
        self._settle(rows, self._server.enqueue(body, ids, push=push), push=push, before=before)

    def _settle(self, rows: Sequence[OutboxRow], answer: EnqueueAnswer, *, push: bool, before: bool) -> None:
        """Keep what the answer proves: statuses at once, evidence by way of the inbox."""
        now = self._clock.now()
        by_fate: dict[OutboxStatus, list[OutboxRow]] = defaultdict(list)
        for row in rows:
            outcome = answer.outcomes[row.key.enrollment_id]
            by_fate[_fate(outcome, row, before=before and not answer.separable)].append(row)
        refused, anew = by_fate[OutboxStatus.REFUSED], by_fate.pop(OutboxStatus.WITHDRAWN, [])
        apart = refused if answer.separable and len(rows) > 1 else []
        heard = set(answer.outcomes.values()) & {Outcome.QUEUED, Outcome.REFUSED}
        untaken = not heard and Outcome.UNTAKEN in answer.outcomes.values()
        with self._ledger.write() as tx:
            for fate, mine in by_fate.items():
                not_before = now + RETRY_UNKNOWN if fate is OutboxStatus.UNKNOWN else now
                tx.save_outbox([replace(row, status=fate, not_before=not_before) for row in mine])
            if push and by_fate[OutboxStatus.QUEUED]:
                self._note_push(tx, answer.pushed, answer.reasons)
            since = self._note_call(tx, rows, answer.reasons, untaken=untaken)
            if apart:  # one unknown device made the whole call fail: smaller calls go out
                self._anew(tx, apart, now, attempts=1)
            if anew:
                self._anew(tx, anew, now, pause=RETRY_UNTAKEN, reasons=answer.reasons)
            if rows[0].kind is not OutboxKind.QUERY:  # only the answer to one proves anything
                given_up = before and _assigns(rows)
                self._tell(tx, EventKind.QUEUED, by_fate[OutboxStatus.QUEUED], answer.server_at, given_up=given_up)
                self._tell(tx, EventKind.REFUSED, [] if apart else refused, answer.server_at, answer.reasons)
        self._untaken[_assigns(rows)] = since

    def _note_push(self, tx: Transaction, pushed: Collection[str], reasons: Mapping[str, str]) -> None:
        """Keep why the last call that pushed woke nobody, for whoever looks for the fault; written when it changes."""
        trouble = "" if pushed else next(iter(reasons.values()), "")
        if trouble != self._push_trouble:
            tx.put(push_trouble_name(self._server.name), json.dumps({"at": self._clock.now(), "words": trouble}))
            self._push_trouble = trouble

    def _note_call(
        self, tx: Transaction, rows: Sequence[OutboxRow], reasons: Mapping[str, str], *, untaken: bool
    ) -> int:
        """While nobody takes calls, one a minute goes out; keep why, for whoever looks for the fault. Since when."""
        now, assigns = self._clock.now(), _assigns(rows)
        known = self._untaken.get(assigns)
        since = (known or now) if untaken else 0
        if untaken:
            tx.postpone(self._server.name, assignments=assigns, now=now, later=now + RETRY_UNTAKEN)
        if untaken or known != 0:
            words = next(iter(reasons.values()), "") if untaken else ""
            note = json.dumps({"at": since, "words": words, "last": now})
            tx.put(_trouble_name(self._server.name, _CALLS[assigns]), note)
        return since

    def _anew(
        self,
        tx: Transaction,
        rows: Sequence[OutboxRow],
        now: int,
        *,
        attempts: int = 0,
        pause: int = 0,
        reasons: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Nobody got it, and nothing speaks against the device: intended once more. No try is used up."""
        tx.save_outbox([replace(row, status=OutboxStatus.WITHDRAWN) for row in rows])
        again = [
            replace(
                row, id=0, status=OutboxStatus.INTENDED, command_uuid="", attempts=row.attempts + attempts,
                not_before=now + pause,
            )
            for row in rows
        ]  # fmt: skip
        events = [
            own_event(EventKind.WITHDRAWN, row, now, reason=reasons.get(row.key.enrollment_id, "")) for row in rows
        ]
        events += [own_event(EventKind.INTENDED, row, now) for row in tx.add_outbox(again)]
        record(tx, self._plans, events)

    def _tell(
        self,
        tx: Transaction,
        kind: EventKind,
        rows: Sequence[OutboxRow],
        server_at: int,
        reasons: Mapping[str, str] = MappingProxyType({}),
        *,
        given_up: bool = False,
    ) -> None:
        if not rows:
            return
        body = receipt(kind, rows, server_at, reasons, given_up=given_up)
        tx.inbox_add(
            [InboxRow(id=0, server=self._server.name, kind="receipt", received_at=self._clock.now(), body=body)]
        )


def _fate(outcome: Outcome, row: OutboxRow, *, before: bool) -> OutboxStatus:
    """What the answer proves. A refusal says nothing of a call before it; and what is taken back is so until it is."""
    takes = row.kind is OutboxKind.ASSIGNMENT and row.role == TAKE
    return OutboxStatus.UNKNOWN if (before or takes) and outcome is not Outcome.QUEUED else _FATE[outcome]


def _no_declarations(ids: Sequence[str]) -> EnqueueAnswer:
    """The settings name no declarations for this server any more."""
    reason = "Its server has no declarations in the settings."
    return EnqueueAnswer(outcomes=dict.fromkeys(ids, Outcome.REFUSED), reasons=dict.fromkeys(ids, reason))


def _assigns(rows: Sequence[OutboxRow]) -> bool:
    """Is it the server of declarations that this call goes to?"""
    return rows[0].kind is OutboxKind.ASSIGNMENT


def _group(row: OutboxRow) -> tuple[OutboxKind, str, int]:
    """Rows of one group may share one call: the same body, and equally often split."""
    return row.kind, row.command, row.attempts


def _distinct(rows: Sequence[OutboxRow]) -> list[OutboxRow]:
    """An id twice in one call loses commands on kv storage."""
    seen: dict[DeviceKey, OutboxRow] = {}
    for row in rows:
        seen.setdefault(row.key, row)
    return list(seen.values())
