"""The adapter and the receiver before the real NanoMDM 0.9.0, with in-memory and with PostgreSQL storage."""

import plistlib
import threading
from base64 import b64encode
from collections.abc import Iterator, Sequence
from uuid import uuid4

import pytest

from osupdate_kit.rollout.ports import Outcome, ServerEvent, Topic
from osupdate_kit.servers.events import decode_event
from osupdate_kit.servers.nanomdm import NanoMDM
from osupdate_kit.service.clock import KitClock
from osupdate_kit.service.receiver import InboxEntry, Receiver, WebhookSource, serve_receiver
from tests.real import RealServer, nanomdm, postgres
from tests.servers.checkins import enrol, say

pytestmark = pytest.mark.real_server
Q, R, U = Outcome.QUEUED, Outcome.REFUSED, Outcome.UNKNOWN


@pytest.fixture(scope="module", params=["inmem", "pgsql"])
def subject(request: pytest.FixtureRequest) -> Iterator[tuple[str, RealServer]]:
    if request.param == "inmem":
        with nanomdm() as server:
            yield "kv", server
    else:
        with postgres() as cluster, nanomdm("pgsql", dsn=cluster.nanomdm_database()) as server:
            yield "pgsql", server


def command(uuid: str) -> bytes:
    return plistlib.dumps({"CommandUUID": uuid, "Command": {"RequestType": "OSUpdateStatus"}})


def fresh() -> str:
    return str(uuid4()).upper()


def enrolled(server: RealServer) -> str:
    udid = fresh()
    enrol(server, udid, udid[:8])
    return udid


def test_the_outcomes_are_what_the_devices_see(subject: tuple[str, RealServer]) -> None:
    storage, server = subject
    kit = NanoMDM("school", server.url, server.api_key)
    first, second, stranger, uuid = enrolled(server), enrolled(server), fresh(), fresh()
    found = kit.enqueue(command(uuid), [first, second, first], push=False)
    assert found.outcomes == {first: Q, second: Q}
    assert found.server_at > 1_600_000_000_000_000
    assert uuid.encode() in say(server, first, "connect", {"Status": "Idle"})
    assert kit.enqueue(command(uuid), [first, second], push=False).outcomes == {first: Q, second: Q}

    uuid = fresh()
    mixed = kit.enqueue(command(uuid), [second, stranger], push=False)
    refused = storage == "pgsql"
    assert set(mixed.outcomes.values()) == {R if refused else Q}
    assert mixed.separable is refused
    say(server, second, "connect", {"Status": "Idle"})

    unwoken = kit.enqueue(command(fresh()), [first], push=True)
    assert unwoken.outcomes == {first: Q}
    assert unwoken.pushed == frozenset()
    assert unwoken.reasons[first].startswith("retrieving push cert")


def test_an_answered_command_is_known_for_ever(subject: tuple[str, RealServer]) -> None:
    _, server = subject
    kit, udid, uuid = NanoMDM("school", server.url, server.api_key), enrolled(server), fresh()
    assert kit.enqueue(command(uuid), [udid], push=False).outcomes == {udid: Q}
    assert say(server, udid, "connect", {"Status": "Acknowledged", "CommandUUID": uuid}) == b""
    assert kit.enqueue(command(uuid), [udid], push=False).outcomes == {udid: Q}
    assert say(server, udid, "connect", {"Status": "Idle"}) == b""


def test_pushes_name_everybody_who_was_not_woken(subject: tuple[str, RealServer]) -> None:
    _, server = subject
    udid, stranger = enrolled(server), fresh()
    found = NanoMDM("school", server.url, server.api_key).push([udid, stranger])
    assert found.pushed == frozenset()
    assert found.reasons[udid].startswith("retrieving push cert")
    assert found.reasons[stranger] == "push data missing for id"


def test_the_check_knows_a_good_key_from_a_wrong_one_and_queues_nothing(subject: tuple[str, RealServer]) -> None:
    _, server = subject
    assert NanoMDM("school", server.url, server.api_key).check().ok
    assert "API key" in NanoMDM("school", server.url, "wrong").check().message
    assert "no NanoMDM" in NanoMDM("school", f"{server.url}/elsewhere", server.api_key).check().message


def test_thousands_of_ids_in_one_call_and_too_many_for_the_head() -> None:
    with nanomdm() as server:
        kit = NanoMDM("school", server.url, server.api_key)
        assert set(kit.enqueue(command(fresh()), [fresh() for _ in range(20_000)], push=False).outcomes.values()) == {Q}
        many = kit.enqueue(command(fresh()), [fresh() for _ in range(30_000)], push=False)
        assert set(many.outcomes.values()) == {R}
        assert many.separable


class Arrivals:
    """An inbox that can be waited for."""

    def __init__(self) -> None:
        self.events: list[ServerEvent] = []
        self.bytes = b""
        self._news = threading.Condition()

    def ours(self, uuids: Sequence[str]) -> set[str]:
        return set()

    def take_in(self, rows: Sequence[InboxEntry]) -> None:
        with self._news:
            self.events += [decode_event(row.body) for row in rows]
            self.bytes += b"".join(row.body for row in rows)
            self._news.notify_all()

    def wait(self, count: int) -> list[ServerEvent]:
        with self._news:
            assert self._news.wait_for(lambda: len(self.events) >= count, 20), self.events
            return sorted(self.events, key=lambda event: event.created_at)


@pytest.mark.parametrize("right", [True, False])
def test_its_signed_webhook_is_understood(right: bool) -> None:
    inbox = Arrivals()
    source = WebhookSource(name="school", key=b"hook" if right else b"another")
    receiver = Receiver(inbox, [source], KitClock())
    with serve_receiver(receiver, port=0) as running, nanomdm(
        webhook_url=f"{running.url}/webhook/school", webhook_key="hook"
    ) as server:  # fmt: skip
        udid = enrolled(server)
        say(server, udid, "connect", {"Status": "Idle"})
        if right:
            topics = [event.topic for event in inbox.wait(3)]
            assert topics == [Topic.AUTHENTICATE, Topic.TOKEN_UPDATE, Topic.CONNECT]
            assert {event.enrollment_id for event in inbox.events} == {udid}
            assert b"planted-unlock-token" not in inbox.bytes
            assert b64encode(b"planted-unlock-token") not in inbox.bytes
    if not right:
        assert inbox.events == []
        assert {note.status for note in receiver.notes} <= {401}
