"""Inbox and outbox under any order of acts, failing ones too: nothing is lost, and nothing is there twice."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from osupdate_kit.rollout.journey import OutboxRow, OutboxStatus
from osupdate_kit.stores.ledger import Ledger
from tests.stores.values import NOW, event, inbox_row, step

TEXTS = st.lists(st.text(max_size=5), max_size=4)
STATUSES = st.sampled_from(list(OutboxStatus))


class CutError(Exception):
    """The process stops here, as far as the store can tell."""


def cut_if(cut: bool) -> None:
    if cut:
        raise CutError


class Boxes(RuleBasedStateMachine):
    """The store beside plain lists."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger.open("sqlite://", migrate=True)
        self.waiting: list[bytes] = []
        self.outbox: dict[int, OutboxRow] = {}
        self.evidence: list[tuple[str, str]] = []

    def teardown(self) -> None:
        self.ledger.close()

    @rule(texts=TEXTS)
    def take_in(self, texts: list[str]) -> None:
        self.ledger.take_in([inbox_row(text) for text in texts])
        self.waiting += [text.encode() for text in texts]

    @rule(limit=st.integers(1, 5), cut=st.booleans())
    def work_in(self, limit: int, cut: bool) -> None:
        """Effect and mark are one transaction: a cut leaves both undone."""
        with self.ledger.read() as tx:
            rows = tx.inbox_next(limit)
        assert [row.body for row in rows] == self.waiting[:limit]
        try:
            with self.ledger.write() as tx:
                new = tx.add_events([event(len(row.body), row.body.hex()) for row in rows])
                tx.inbox_done([row.id for row in rows])
                cut_if(cut)
        except CutError:
            return
        del self.waiting[:limit]
        self.evidence += [(e.key.enrollment_id, e.digest) for e in new]

    @rule(numbers=st.lists(st.integers(0, 5), max_size=4), cut=st.booleans())
    def intend(self, numbers: list[int], cut: bool) -> None:
        try:
            with self.ledger.write() as tx:
                rows = tx.add_outbox([step(number) for number in numbers])
                cut_if(cut)
        except CutError:
            return
        assert not self.outbox or all(row.id > max(self.outbox) for row in rows)
        self.outbox.update((row.id, row) for row in rows)

    @rule(data=st.data(), status=STATUSES, cut=st.booleans())
    def change(self, data: st.DataObject, status: OutboxStatus, cut: bool) -> None:
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.outbox)), unique=True)) if self.outbox else []
        uuid = "" if status in (OutboxStatus.INTENDED, OutboxStatus.WITHDRAWN) else f"U{len(self.evidence)}"
        rows = [replace(self.outbox[number], status=status, command_uuid=uuid) for number in chosen]
        try:
            with self.ledger.write() as tx:
                tx.save_outbox(rows)
                cut_if(cut)
        except CutError:
            return
        self.outbox.update((row.id, row) for row in rows)

    @invariant()
    def nothing_is_lost_and_nothing_is_there_twice(self) -> None:
        with self.ledger.read() as tx:
            assert [row.body for row in tx.inbox_next(1000)] == self.waiting
            assert tx.inbox_size() == len(self.waiting)
            kept = [e for _, events in tx.replay() for e in events]
            assert sorted((e.key.enrollment_id, e.digest) for e in kept) == sorted(self.evidence)
            assert len(set(self.evidence)) == len(self.evidence)
            assert tx.outbox_rows(range(1, 200)) == self.outbox
            ready = [row for row in self.outbox.values() if row.status is OutboxStatus.INTENDED]
            assert sorted(tx.outbox_ready("mdm", NOW, 1000), key=lambda row: row.id) == ready
            unsure = {row.id for row in self.outbox.values() if row.status in ("sending", "unknown")}
            assert {row.id for row in tx.outbox_unsure("mdm", NOW, 1000)} == unsure
            assert tx.outbox_backlog("mdm") == len(ready)


TestBoxes = Boxes.TestCase
TestBoxes.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
