"""The receiver over real sockets: what is acknowledged is in the inbox, and nothing posted stops the service."""

import hmac
import http.client
import json
import plistlib
import queue
import resource
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import pytest
import requests

from osupdate_kit.errors import SettingsError, StoreError
from osupdate_kit.lab.clock import VirtualClock
from osupdate_kit.lab.http import Call, Loopback
from osupdate_kit.lab.server import Response
from osupdate_kit.rollout.ports import Topic
from osupdate_kit.servers.events import decode_event
from osupdate_kit.servers.transport import Forwarder
from osupdate_kit.service.clock import KitClock
from osupdate_kit.service.receiver import (
    InboxEntry,
    LedgerInbox,
    Receiver,
    RunningReceiver,
    WebhookSource,
    serve_receiver,
    webhook_sources,
)
from osupdate_kit.settings import Settings
from osupdate_kit.stores.ledger import Ledger
from tests.servers.test_events import BOMB, UUID, answer, webhook

KEY = b"webhook-key"
SECRET = b"planted-unlock-token"


class Memory:
    """An inbox in memory that can be told to fail."""

    def __init__(self) -> None:
        self.rows: list[InboxEntry] = []
        self.commits = 0
        self.asked: list[list[str]] = []
        self.broken = False
        self.own: set[str] = set()

    def ours(self, uuids: Sequence[str]) -> set[str]:
        self.asked.append(sorted(uuids))
        return self.own & set(uuids)

    def take_in(self, rows: Sequence[InboxEntry]) -> None:
        if self.broken:
            raise StoreError("The disk is full.")
        self.commits += 1
        self.rows += rows


def signed(body: bytes, key: bytes = KEY) -> dict[str, str]:
    return {"X-Hmac-Signature": b64encode(hmac.digest(key, body, sha256)).decode()}


SOURCES = (WebhookSource(name="school", key=KEY), WebhookSource(name="hub", key=None))


def make(inbox: Memory, sources: Sequence[WebhookSource] = SOURCES) -> Receiver:
    return Receiver(inbox, sources, KitClock())


@contextmanager
def served(inbox: Memory, sources: Sequence[WebhookSource] = SOURCES) -> Iterator[RunningReceiver]:
    with serve_receiver(make(inbox, sources), port=0) as running:
        yield running


def post(running: RunningReceiver, body: bytes, headers: Mapping[str, str], server: str = "school") -> int:
    return requests.post(f"{running.url}/webhook/{server}", data=body, headers=dict(headers), timeout=20).status_code


def idle(number: int) -> bytes:
    return webhook("mdm.Connect", {}, status="Idle", ids={"id": f"D{number}", "type": "Device"})


# --- without sockets ---


def test_a_signed_event_is_taken_in_redacted() -> None:
    inbox = Memory()
    body = webhook("mdm.TokenUpdate", {"UnlockToken": SECRET})
    receiver = make(inbox)
    assert receiver.accept("school", {"x-hmac-signature": signed(body)["X-Hmac-Signature"]}, body) == 200
    (row,) = inbox.rows
    assert decode_event(row.body).topic is Topic.TOKEN_UPDATE
    assert row.server == "school"
    assert abs(row.received_at - time.time_ns() // 1000) < 60_000_000
    assert SECRET not in row.body
    assert b64encode(SECRET) not in row.body
    assert receiver.health() | {"last_at": 0} == {
        "received": 1, "refused": 0, "last_at": 0, "queue": 0, "not_forwarded": 0,
    }  # fmt: skip


def test_our_own_answers_keep_what_foreign_ones_lose() -> None:
    inbox = Memory()
    body = answer({"QueryResponses": {"OSVersion": "18.7.2"}})
    make(inbox).accept("school", signed(body), body)
    inbox.own = {UUID}
    make(inbox).accept("school", signed(body), body)
    foreign, own = (decode_event(row.body) for row in inbox.rows)
    assert "QueryResponses" not in foreign.fields
    assert own.fields["QueryResponses"] == {"OSVersion": "18.7.2"}


@pytest.mark.parametrize(
    ("server", "headers", "body", "status"),
    [
        ("school", {}, idle(1), 401),
        ("school", signed(idle(1), b"wrong"), idle(1), 401),
        ("school", signed(idle(2)), idle(1), 401),
        ("school", {}, b"{", 401),
        ("school", signed(b"{"), b"{", 400),
        ("hub", {}, b"junk", 400),
        ("nobody", signed(idle(1)), idle(1), 404),
        ("", {}, b"", 404),
        ("hub", {}, b"x" * ((1 << 20) + 1), 413),
        ("hub", {}, webhook("mdm.Connect", BOMB, status="Error", command_uuid=UUID), 400),
        ("hub", {}, idle(1), 200),
    ],
)
def test_what_is_refused_is_counted_and_noted_without_its_body(
    server: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    inbox = Memory()
    receiver = make(inbox)
    assert receiver.accept(server, headers, body) == status
    assert len(inbox.rows) == (status == 200)
    assert (receiver.received, receiver.refused) == ((1, 0) if status == 200 else (0, 1))
    assert [note.status for note in receiver.notes] == ([] if status == 200 else [status])
    assert all(0 < len(note.words) < 300 for note in receiver.notes)


def test_what_is_about_no_device_is_acknowledged_and_not_kept() -> None:
    inbox = Memory()
    receiver = make(inbox)
    user = {"id": "A:U", "parent_id": "A", "type": "User"}
    for body in (webhook("mdm.TokenUpdate", {}, ids=user), webhook("mdm.New", {}, ids=None)):
        assert receiver.accept("hub", {}, body) == 200
    assert inbox.rows == []
    assert receiver.accept("hub", {}, webhook("mdm.SetBootstrapToken", {"BootstrapToken": SECRET})) == 200
    assert [decode_event(row.body).topic for row in inbox.rows] == [Topic.OTHER]


def test_a_store_that_fails_is_a_503_and_no_acknowledgement() -> None:
    inbox = Memory()
    inbox.broken = True
    receiver = make(inbox)
    assert receiver.accept("hub", {}, idle(1)) == 503
    inbox.broken = False
    assert receiver.accept("hub", {}, idle(1)) == 200
    assert len(inbox.rows) == 1


def test_times_come_from_the_clock() -> None:
    inbox = Memory()
    start_at = 1_795_503_307_000_000
    receiver = Receiver(inbox, SOURCES, VirtualClock(start_at))
    receiver.accept("hub", {}, idle(1))
    assert inbox.rows[0].received_at == start_at
    assert receiver.last_at == start_at


# --- over sockets ---


def test_whatever_is_acknowledged_is_in_the_inbox_once_and_commits_are_shared() -> None:
    inbox = Memory()
    with served(inbox) as running, ThreadPoolExecutor(16) as pool:

        def client(first: int) -> list[int]:
            statuses = []
            with requests.Session() as session:
                for number in range(first, first + 40):
                    body = idle(number)
                    url = f"{running.url}/webhook/school"
                    statuses.append(session.post(url, data=body, headers=signed(body), timeout=20).status_code)
            return statuses

        statuses = [status for found in pool.map(client, range(0, 640, 40)) for status in found]
        health = requests.get(f"{running.url}/health", timeout=20).json()
    assert statuses == [200] * 640
    assert sorted(decode_event(row.body).enrollment_id for row in inbox.rows) == sorted(f"D{n}" for n in range(640))
    assert health["received"] == 640
    assert health["queue"] == 0
    assert inbox.commits <= 640


def test_events_that_queue_during_a_commit_share_the_next_one_and_its_question() -> None:
    class Slow(Memory):
        def __init__(self) -> None:
            super().__init__()
            self.begun, self.go = threading.Event(), threading.Event()

        def take_in(self, rows: Sequence[InboxEntry]) -> None:
            self.begun.set()
            self.go.wait(20)
            super().take_in(rows)

    inbox = Slow()
    with served(inbox) as running, ThreadPoolExecutor(9) as pool:
        first = pool.submit(post, running, idle(0), {}, "hub")
        assert inbox.begun.wait(20)
        bodies = [answer({"N": number}) for number in range(8)]
        rest = [pool.submit(post, running, body, {}, "hub") for body in bodies]
        until = time.monotonic() + 20
        while requests.get(f"{running.url}/health", timeout=20).json()["queue"] < 8:
            assert time.monotonic() < until
        assert not first.done()
        inbox.go.set()
        assert [future.result(20) for future in (first, *rest)] == [200] * 9
    assert inbox.commits == 2
    assert inbox.asked == [[], [UUID]]


def test_a_store_that_fails_in_the_middle_costs_only_those_calls() -> None:
    inbox = Memory()
    with served(inbox) as running:
        assert post(running, idle(1), {}, "hub") == 200
        inbox.broken = True
        assert [post(running, idle(n), {}, "hub") for n in (2, 3)] == [503, 503]
        inbox.broken = False
        assert post(running, idle(4), {}, "hub") == 200
    assert [decode_event(row.body).enrollment_id for row in inbox.rows] == ["D1", "D4"]


def test_refusals_over_http_and_the_service_goes_on() -> None:
    inbox = Memory()
    body = idle(1)
    with served(inbox) as running:
        assert post(running, body, {}) == 401
        assert post(running, body, signed(body, b"wrong")) == 401
        assert post(running, b"{", signed(b"{")) == 400
        assert post(running, body, signed(body), "nobody") == 404
        assert post(running, webhook("mdm.Connect", BOMB, status="Error", command_uuid=UUID), {}, "hub") == 400
        assert requests.get(f"{running.url}/webhook/school", timeout=20).status_code == 404
        assert requests.get(f"{running.url}/", timeout=20).status_code == 404
        good = requests.post(f"{running.url}/webhook/school", data=body, headers=signed(body), timeout=20)
        assert (good.status_code, good.content) == (200, b"")
    assert len(inbox.rows) == 1


def test_a_deep_or_swelling_property_list_is_refused_and_the_service_goes_on() -> None:
    deep = b"<plist><array>" + b"<array>" * 20_000 + b"</array>" * 20_001 + b"</plist>"
    loop = plistlib.dumps({"A": [b"x" * 1000] * 1000}, fmt=plistlib.FMT_BINARY)
    inbox = Memory()
    with served(inbox) as running:
        for payload in (deep, BOMB, b"bplist00" + b"\xff" * 64):
            body = webhook("mdm.Connect", payload, status="Error", command_uuid=UUID)
            assert post(running, body, {}, "hub") == 400
        post(running, webhook("mdm.Connect", loop, status="Error", command_uuid=UUID), {}, "hub")
        assert post(running, idle(1), {}, "hub") == 200


def test_a_body_of_50_mib_is_refused_within_bounded_memory() -> None:
    inbox = Memory()
    with served(inbox) as running:
        assert post(running, idle(0), {}, "hub") == 200
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        block = b"x" * (1 << 16)
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
        connection.putrequest("POST", "/webhook/school")
        connection.putheader("Content-Length", str(50 << 20))
        connection.endheaders()
        for _ in range(800):
            connection.send(block)
        assert connection.getresponse().status == 413
        connection.close()
        with suppress(OSError):
            chunked = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
            chunked.request("POST", "/webhook/school", iter([block] * 800), encode_chunked=True)
            assert chunked.getresponse().status == 413
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10  # KiB
        assert post(running, idle(1), {}, "hub") == 200
    assert [note.status for note in running.receiver.notes] == [413, 413]


def test_an_endless_head_is_cut_off() -> None:
    with served(Memory()) as running, socket.create_connection(("127.0.0.1", running.port), timeout=20) as client:
        client.sendall(b"POST /webhook/hub HTTP/1.1\r\n")
        with pytest.raises(OSError):  # noqa: PT012 - which of the sends meets the closed door depends on buffers
            for _ in range(1000):
                client.sendall(b"X-Filler: " + b"x" * 4096 + b"\r\n")
            assert client.recv(1) == b""
            raise ConnectionResetError
        assert post(running, idle(1), {}, "hub") == 200


def test_a_client_that_leaves_in_the_middle_harms_nobody() -> None:
    inbox = Memory()
    with served(inbox) as running:
        with socket.create_connection(("127.0.0.1", running.port), timeout=20) as client:
            client.sendall(b"POST /webhook/hub HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{")
        assert post(running, idle(1), {}, "hub") == 200
    assert len(inbox.rows) == 1


def test_what_is_acknowledged_is_in_a_real_store(tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'store.db'}", migrate=True)
    with serve_receiver(Receiver(LedgerInbox(ledger), SOURCES, KitClock()), port=0) as running:
        assert post(running, idle(7), {}, "hub") == 200
        with ledger.read() as tx:
            (row,) = tx.inbox_next(10)
    assert (row.server, row.kind, decode_event(row.body).enrollment_id) == ("hub", "webhook", "D7")
    ledger.close()


# --- passing on ---


def test_a_call_is_passed_on_as_it_came() -> None:
    got: queue.Queue[Call] = queue.Queue()

    def other(call: Call) -> Response:
        got.put(call)
        return Response(status=200, headers={}, body=b"")

    body = answer({"Password": "for the other one"})
    with Loopback(other) as address:
        sources = [WebhookSource(name="school", key=KEY, forward=Forwarder(f"{address.url}/hook"))]
        with served(Memory(), sources) as running:
            assert post(running, body, signed(body)) == 200
            call = got.get(timeout=20)
            assert post(running, body, {}) == 401
    assert (call.method, call.path, call.body) == ("POST", "/hook", body)
    assert call.headers["X-Hmac-Signature"] == signed(body)["X-Hmac-Signature"]
    assert call.headers["Content-Type"] == "application/json; charset=utf-8"
    assert got.empty()


def test_what_cannot_be_passed_on_is_only_counted() -> None:
    tried = threading.Event()

    def broken(body: bytes, headers: Mapping[str, str]) -> bool:
        tried.set()
        raise OSError

    inbox = Memory()
    with served(inbox, [WebhookSource(name="hub", key=None, forward=broken)]) as running:
        assert post(running, idle(1), {}, "hub") == 200
        assert tried.wait(20)
    assert running.receiver.health()["not_forwarded"] == 1
    assert len(inbox.rows) == 1


# --- where it listens ---


def test_a_server_that_cannot_sign_is_taken_on_loopback_only_unless_a_proxy_guards_it() -> None:
    with pytest.raises(SettingsError, match="hub signs nothing") as caught:
        serve_receiver(make(Memory()), host="0.0.0.0", port=0)
    assert "trusted_proxy" in caught.value.remedy
    guarded = [WebhookSource(name="hub", key=None, trusted_proxy=True), SOURCES[0]]
    with serve_receiver(make(Memory(), guarded), host="0.0.0.0", port=0) as running:
        assert running.port


def test_a_port_that_is_taken_is_named_with_a_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"127.0.0.1:{port}") as caught:
            serve_receiver(make(Memory()), port=port)
    assert "receiver.port" in caught.value.remedy


def test_sources_come_from_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", "webhook-key")
    config = tmp_path / "osupdate-kit.toml"
    config.write_text(
        '[servers.school]\nurl = "http://127.0.0.1:1"\nkey_env = "K"\nwebhook_key_env = "HOOK"\n'
        'forward_to = "http://127.0.0.1:2/x"\n[servers.hub]\nurl = "http://127.0.0.1:3"\nkey_env = "K"\n'
    )
    school, hub = webhook_sources(Settings.load(config))
    assert (school.name, school.key, hub.key) == ("school", KEY, None)
    assert school.forward is not None
    assert hub.forward is None
    assert "webhook-key" not in repr(school)


def test_health_is_json() -> None:
    with served(Memory()) as running:
        answer = requests.get(f"{running.url}/health", timeout=20)
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(answer.content)["last_at"] == 0
