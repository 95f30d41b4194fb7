"""Attacks on the receiver: strangers' bodies, forged calls, and clients that are slow on purpose."""

import hmac
import http.client
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest
import requests

from osupdate_kit.lab.clock import VirtualClock
from osupdate_kit.service.clock import KitClock
from osupdate_kit.service.receiver import READ_SECONDS, LedgerInbox, Receiver, WebhookSource, serve_receiver
from osupdate_kit.service.record import Plans
from osupdate_kit.service.worker import Worker
from osupdate_kit.stores.ledger import Ledger
from tests.attacks.fuzz import fuzz_receiver
from tests.attacks.mutations import valid
from tests.attacks.parsers import by_mutation
from tests.lab.worlds import MONDAY

KEYS = {"school": b"key-of-the-school", "company": b"key-of-the-company"}
SOURCES = [WebhookSource(name=name, key=key) for name, key in KEYS.items()]
SLOW_CLIENTS = 300


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    opened = Ledger.open("sqlite://", migrate=True)
    yield opened
    opened.close()


def signed(body: bytes, key: bytes) -> str:
    return b64encode(hmac.digest(key, body, sha256)).decode()


def test_a_hundred_thousand_bodies_of_strangers_are_answered_without_a_fault_of_ours() -> None:
    found = fuzz_receiver(100_000, seed=2026)
    assert set(found.statuses) <= {200, 400, 413}
    assert min(found.statuses[200], found.statuses[400]) > 10_000  # both sides of the door were tried
    assert found.grown_kib < 32 << 10


def test_parsers_raise_nothing_but_our_own_errors() -> None:
    assert by_mutation(15, seed=7) > 1000


# --- forged calls ---


@pytest.mark.parametrize(
    "header",
    [
        None, "", " ", "0", "=", "====", "AAAA", "a" * 100_000, "ü" * 44, "\x00", "None",
        signed(b"", KEYS["school"]), signed(valid()[0], b""), signed(valid()[0], KEYS["company"]),
        signed(valid()[0] + b" ", KEYS["school"]), signed(valid()[0], KEYS["school"])[:-4],
        hmac.digest(KEYS["school"], valid()[0], "sha1").hex(), hmac.digest(KEYS["school"], valid()[0], sha256).hex(),
    ],
)  # fmt: skip
def test_a_call_without_the_servers_own_signature_is_refused(ledger: Ledger, header: str | None) -> None:
    receiver = Receiver(LedgerInbox(ledger), SOURCES, KitClock())
    headers = {} if header is None else {"X-Hmac-Signature": header}
    assert receiver.accept("school", headers, valid()[0]) == 401
    with ledger.read() as tx:
        assert not tx.inbox_size()


def test_a_call_of_one_server_is_no_call_of_another(ledger: Ledger) -> None:
    """Recorded at one server, played at the other's address."""
    receiver = Receiver(LedgerInbox(ledger), SOURCES, KitClock())
    body = valid()[0]
    headers = {"X-Hmac-Signature": signed(body, KEYS["school"])}
    assert receiver.accept("company", headers, body) == 401
    assert receiver.accept("school", headers, body) == 200


def test_a_call_that_is_played_again_counts_once(ledger: Ledger) -> None:
    """Whoever records a signed call can repeat it, and changes nothing by that."""
    clock = VirtualClock(MONDAY)
    receiver = Receiver(LedgerInbox(ledger), SOURCES, clock)
    worker = Worker(ledger, clock, Plans())
    told = []
    for _ in range(3):
        for body in valid():
            assert receiver.accept("school", {"X-Hmac-Signature": signed(body, KEYS["school"])}, body) == 200
        while worker.turn():
            pass
        with ledger.read() as tx:
            devices = list(tx.all_devices())
            events = tx.events_of([device.key for device in devices])
            told.append((devices, events))
    assert told[0] == told[1] == told[2]


def test_a_signature_is_compared_in_constant_time() -> None:
    """Not by a clock, which would be luck: by what the comparison is made with."""
    source = Path(__file__).parents[2] / "osupdate_kit" / "servers"
    text = "".join(path.read_text() for path in source.glob("*.py"))
    assert "compare_digest" in text
    assert "== signature" not in text
    assert "signature ==" not in text


# --- over sockets ---


def test_slow_clients_keep_nobody_else_waiting_and_are_cut_off(tmp_path: Path) -> None:
    """Each sends a byte every half second; meanwhile the server's calls go through, and in time all are gone."""
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'store.db'}", migrate=True)
    body = valid()[0]
    headers = {"X-Hmac-Signature": signed(body, KEYS["school"])}
    head = b"POST /webhook/school HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    with serve_receiver(Receiver(LedgerInbox(ledger), SOURCES, KitClock()), port=0) as running:
        slow = [socket.create_connection(("127.0.0.1", running.port), timeout=5) for _ in range(SLOW_CLIENTS)]
        stop, waits = threading.Event(), []

        def trickle() -> None:
            sent = 0
            while not stop.wait(0.5):
                for number, client in enumerate(slow):
                    part = head if number % 2 else b"x" * len(head)  # half of them never come to the end of the head
                    with suppress(OSError):
                        client.send(part[sent : sent + 1] or b"x")
                sent += 1

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            until = time.monotonic() + READ_SECONDS + 4
            while time.monotonic() < until:
                began = time.monotonic()
                answer = requests.post(f"{running.url}/webhook/school", data=body, headers=headers, timeout=10)
                waits.append(time.monotonic() - began)
                assert answer.status_code == 200
            gone = sum(_is_gone(client) for client in slow)
        finally:
            stop.set()
            thread.join()
            for client in slow:
                client.close()
    ledger.close()
    assert gone == SLOW_CLIENTS
    assert sorted(waits)[int(len(waits) * 0.99)] < 1


def _is_gone(client: socket.socket) -> bool:
    client.settimeout(1)
    try:
        while chunk := client.recv(4096):
            del chunk
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def test_broken_http_is_answered_with_a_refusal_or_the_door(tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'store.db'}", migrate=True)
    luck, body = Random(5), valid()[0]
    whole = (
        b"POST /webhook/school HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Hmac-Signature: "
        + signed(body, KEYS["school"]).encode() + b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
    )  # fmt: skip
    odd = [
        *(whole.replace(b"-Length: ", b"-Length: " + odd) for odd in (b"-", b"+", b"1, ", b"\xb2", b"9" * 30)),
        whole.replace(b"Host: x", b"Transfer-Encoding: chunked"), whole.replace(b"/webhook/school", b"/webhook/%00%ff"),
        whole.replace(b"/webhook/school", b"/webhook/../webhook/school"), whole.replace(b"HTTP/1.1", b"HTTP/9.9"),
        whole.replace(b"POST", b"PUT"), whole.replace(b"POST", b"\xff\xff"), whole.replace(b"X-Hmac", b"X-Hm\x00ac"),
        whole.replace(b"/webhook/school", b"/webhook/" + b"s" * 60_000), b"\x16\x03\x01" + luck.randbytes(300),
    ]  # fmt: skip
    with serve_receiver(Receiver(LedgerInbox(ledger), SOURCES, KitClock()), port=0) as running:
        for request in [*odd, *(_damaged(whole, luck) for _ in range(300))]:
            assert _status(running.port, request) < 500, request[:200]
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
        connection.request("POST", "/webhook/school", body, {"X-Hmac-Signature": signed(body, KEYS["school"])})
        assert connection.getresponse().status == 200
        connection.close()
    ledger.close()


def _damaged(request: bytes, luck: Random) -> bytes:
    part = bytearray(request)
    for _ in range(luck.choice((1, 2, 5))):
        at = luck.randrange(min(len(part), 250))  # in the head
        part[at : at + luck.choice((0, 1, 3))] = luck.randbytes(luck.choice((0, 1, 4)))
    return bytes(part)


def _status(port: int, request: bytes) -> int:
    """0: the connection was closed without an answer, or the request is not at its end."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        try:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            words = client.recv(4096).split()
        except OSError:
            return 0
    return int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/") else 0
