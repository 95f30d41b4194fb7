"""Recovery over a store: rows of a server's database become the events that its webhook would have brought, once."""

import plistlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.errors import ServerUnreachableError
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.lab.clock import VirtualClock
from osupdate_kit.rollout.ports import ServerEvent, Topic
from osupdate_kit.servers.database import ResultKey, Seen
from osupdate_kit.servers.events import decode_event
from osupdate_kit.service.record import Plans
from osupdate_kit.service.recovery import OVERLAP, Recovery, cursor_name
from osupdate_kit.service.worker import Worker
from osupdate_kit.stores.ledger import Ledger

NOW = 1_790_000_000_000_000
SECOND = 1_000_000
PAGE = 3


@dataclass
class Tables:
    """A server's database as Recovery sees it; small pages."""

    server: str = "school"
    at: int = NOW
    seen: list[Seen] = field(default_factory=list)
    results: dict[ResultKey, bytes] = field(default_factory=dict)
    asked: list[ResultKey] = field(default_factory=list)
    down: bool = False

    def now(self) -> int:
        if self.down:
            raise ServerUnreachableError("The database of school does not answer.", remedy="Start it.")
        return self.at

    def seen_after(self, at: int, enrollment_id: str = "") -> list[Seen]:
        rows = sorted(self.seen, key=lambda one: (one.last_seen_at, one.enrollment_id))
        return [one for one in rows if (one.last_seen_at, one.enrollment_id) > (at, enrollment_id)][:PAGE]

    def results_after(self, at: int, enrollment_id: str = "", command_uuid: str = "") -> list[ResultKey]:
        return [key for key in sorted(self.results) if key[:3] > (at, enrollment_id, command_uuid)][:PAGE]

    def bodies(self, keys: Sequence[ResultKey]) -> dict[tuple[str, str], bytes]:
        self.asked += keys
        return {(key.enrollment_id, key.command_uuid): self.results[key] for key in keys}

    def answer(self, udid: str, uuid: str, at: int, status: str = "Acknowledged", **words: object) -> ResultKey:
        of_updates = "UpdateResults" in words
        key = ResultKey(at, udid, uuid, "Device", status, of_updates)
        self.results = {old: body for old, body in self.results.items() if old[1:3] != key[1:3]}
        self.results[key] = plistlib.dumps({"UDID": udid, "CommandUUID": uuid, "Status": status, **words})
        return key


def key(udid: str) -> DeviceKey:
    return DeviceKey("school", udid)


class Site:
    def __init__(self, url: str, tables: Tables) -> None:
        self.ledger, self.tables, self.clock = Ledger.open(url, migrate=True), tables, VirtualClock(NOW)
        self.real = 0.0
        self.recovery = self.made()

    def made(self) -> Recovery:
        return Recovery(self.ledger, self.clock, self.tables, 60, seconds=lambda: self.real)

    def turn(self) -> list[ServerEvent]:
        """One round, a minute later; what it put into the inbox, which is empty afterwards."""
        self.real += 60
        self.recovery.turn()
        with self.ledger.write() as tx:
            rows = tx.inbox_next(1000)
            tx.inbox_done([row.id for row in rows])
        return [decode_event(row.body) for row in rows]

    def ours(self, uuid: str) -> None:
        with self.ledger.write() as tx:
            tx.add_command(uuid, "school", "DeviceInformation", 0, "{}", NOW)


def make(tmp_path: Path) -> Site:
    return Site(f"sqlite:///{tmp_path / 'store.db'}", Tables())


def test_an_answer_to_our_command_is_the_webhooks_event(tmp_path: Path) -> None:
    site = make(tmp_path)
    site.ours("U-1")
    site.tables.answer("A", "U-1", NOW - SECOND, QueryResponses={"OSVersion": "26.6.1", "UnlockToken": b"planted"})
    [event] = site.turn()
    assert (event.topic, event.created_at, event.enrollment_id, event.udid) == (Topic.CONNECT, NOW - SECOND, "A", "A")
    assert (event.status, event.command_uuid) == ("Acknowledged", "U-1")
    assert event.fields["QueryResponses"] == {"OSVersion": "26.6.1"}, "by the allow-list"
    assert site.turn() == [], "once"
    site.recovery = site.made()
    assert len(site.turn()) == 1, "a restart repeats the overlap; the worker knows repeats"


def test_answers_to_others_are_read_only_where_they_speak_of_updates(tmp_path: Path) -> None:
    site = make(tmp_path)
    site.tables.answer("A", "THEIRS-1", NOW - 2 * SECOND, SecurityInfo={"FDE_PersonalRecoveryKeyCMS": b"planted"})
    wanted = site.tables.answer(
        "A", "THEIRS-2", NOW - SECOND, UpdateResults=[{"ProductKey": "p", "Status": "Installing"}]
    )
    assert [event.command_uuid for event in site.turn()] == ["THEIRS-2"]
    assert site.tables.asked == [wanted], "the other's body never left the database"


def test_a_row_that_changes_is_news(tmp_path: Path) -> None:
    site = make(tmp_path)
    site.ours("U-1")
    site.tables.answer("A", "U-1", NOW - SECOND, "NotNow")
    assert [event.status for event in site.turn()] == ["NotNow"]
    site.tables.at += 60 * SECOND
    site.tables.answer("A", "U-1", site.tables.at)
    assert [event.status for event in site.turn()] == ["Acknowledged"]


def test_contacts_that_the_webhook_told_of_are_not_told_again(tmp_path: Path) -> None:
    site = make(tmp_path)
    site.turn()
    with site.ledger.write() as tx:
        tx.add_devices(
            [Device(key=key(udid), udid=udid, last_seen_at=at) for udid, at in (("A", NOW), ("B", 0))], now=NOW
        )
    old = NOW - 90 * 86_400 * SECOND
    site.tables.seen = [Seen(udid, "Device", True, NOW - SECOND, old, old) for udid in ("A", "B")]
    [event] = site.turn()
    assert (event.enrollment_id, event.status, event.created_at) == ("B", "Idle", NOW - SECOND)
    assert site.turn() == []


def test_enrolments_and_leavings_are_told_and_describe_nothing(tmp_path: Path) -> None:
    site = make(tmp_path)
    site.turn()
    with site.ledger.write() as tx:
        tx.add_devices([Device(key=key("L"), udid="L", awaiting_configuration=True)], now=NOW)
        tx.add_devices([Device(key=key("W"), udid="W")], now=NOW)
    at = NOW - 5 * SECOND
    site.tables.seen = [
        Seen("N", "Device", True, at, at - 2 * SECOND, at - SECOND),
        Seen("L", "Device", False, at, 1, 1),
    ]
    site.real += 60
    site.recovery.turn()
    with site.ledger.read() as tx:
        topics = [(e.enrollment_id, e.topic) for e in (decode_event(row.body) for row in tx.inbox_next(10))]
    assert topics[0] == ("L", Topic.CHECK_OUT)
    assert topics[1:] == [("N", Topic.AUTHENTICATE), ("N", Topic.TOKEN_UPDATE), ("N", Topic.CONNECT)]
    Worker(site.ledger, site.clock, Plans()).turn()
    with site.ledger.read() as tx:
        known = tx.devices([key("N"), key("L")])
    assert known[key("N")].device.enrolled
    assert known[key("N")].info_at == 0, "it has told nothing of itself"
    assert known[key("N")].device.last_seen_at == at, "then, not now"
    assert not known[key("L")].device.enrolled


def test_a_database_that_is_down_is_waited_for_and_nothing_is_skipped(tmp_path: Path) -> None:
    site = make(tmp_path)
    site.ours("U-1")
    site.turn()
    site.tables.down = True
    for _ in range(3):
        site.real += 60
        with pytest.raises(ServerUnreachableError, match="does not answer"):
            site.recovery.turn()
    site.tables.answer("A", "U-1", NOW + 30 * SECOND)
    site.tables.down, site.tables.at = False, NOW + 3600 * SECOND
    assert [event.command_uuid for event in site.turn()] == ["U-1"]
    with site.ledger.read() as tx:
        assert str(NOW + 3600 * SECOND - OVERLAP) in (tx.get(cursor_name("school")) or "")


@given(data=st.data())
def test_however_rounds_and_rows_fall_every_answer_comes_in_the_end(data: st.DataObject) -> None:
    """Rows become visible up to half a minute late, turns and restarts come between: none is lost."""
    site = Site("sqlite://", Tables())
    site.turn()
    rows = data.draw(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 25)), max_size=12))
    late = sorted((stamp + delay, stamp, number) for number, (stamp, delay) in enumerate(rows))
    got: list[str] = []
    for visible, stamp, number in late:
        site.ours(f"U-{number}")
        site.tables.at = max(site.tables.at, NOW + visible * SECOND)
        site.tables.answer("A", f"U-{number}", NOW + stamp * SECOND)
        if data.draw(st.booleans()):
            got += [event.command_uuid for event in site.turn()]
        if data.draw(st.booleans()):
            site.recovery = site.made()
    got += [event.command_uuid for event in site.turn()]
    assert set(got) == {f"U-{number}" for number in range(len(rows))}
    site.ledger.close()
