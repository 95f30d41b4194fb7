"""The receiver over loopback: what a durable answer costs against no write at all, and against a commit for each call.

Run as a module with a kind and a folder it is the server; the load comes from the process that asks.
"""

import pickle
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.children import Child, answer, child, tell
from benchmarks.fleets import KEY, NOW, scratch, signature, webhook_bodies
from benchmarks.load import post, request
from benchmarks.measure import Line, compared
from osupdate_kit.rehearsal import SERVER
from osupdate_kit.servers.events import parse_event
from osupdate_kit.servers.nanomdm import signature_ok
from osupdate_kit.service.clock import KitClock
from osupdate_kit.service.receiver import LedgerInbox, Receiver, WebhookSource, serve_receiver
from osupdate_kit.stores.ledger import Ledger

BODIES = "bodies.pickle"


def run(quick: bool) -> Iterator[Line]:
    devices, calls, rounds = (40, 1_000, 3) if quick else (300, 20_000, 7)
    with scratch() as folder, ExitStack() as stack:
        bodies = webhook_bodies(devices, folder)
        (folder / BODIES).write_bytes(pickle.dumps(bodies))
        requests = [request(f"/webhook/{SERVER}", body, signature(body)) for body in bodies]
        requests = (requests * (calls // len(requests) + 1))[:calls]
        durable, unwritten, single = (
            _Served(stack.enter_context(child("benchmarks.receiver", kind, str(folder))), requests) for kind in KINDS
        )
        durable.load()  # warm
        unwritten.load()
        cost = compared(rounds, durable.cpu, unwritten.cpu)
        few = _Served(single.child, requests[: max(500, calls // 5)], single.port)
        rate = compared(rounds, durable.rate, few.rate)
    yield Line(
        name="receiver, durable", measured="one acknowledged call", against="HMAC and redaction, no write",
        ours=cost.ours, limit=cost.limit, ratio=cost.ratio, unit="µs", most=2.5,
    )  # fmt: skip
    yield Line(
        name="receiver, rate", measured="wall, 64 connections", against="one commit for each call",
        ours=rate.ours, limit=rate.limit, ratio=rate.ratio, unit="/s", least=2.5,
    )  # fmt: skip


class _Served:
    def __init__(self, server: Child, requests: list[bytes], port: int = 0) -> None:
        self.child, self._requests = server, requests
        self.port = port or server.told()

    def load(self) -> float:
        return post(self.port, self._requests)

    def cpu(self) -> float:
        before = self.child.ask("cpu")
        self.load()
        return (self.child.ask("cpu") - before) / len(self._requests) * 1e6

    def rate(self) -> float:
        return len(self._requests) / self.load()


# --- the servers ---


class _Bare:
    """An ASGI application that reads a call and answers it with the status of `take`."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def take(self, signature: str, body: bytes) -> int:
        raise NotImplementedError

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        given = next(value.decode("latin-1") for name, value in scope["headers"] if name == b"x-hmac-signature")
        body = bytearray()
        while True:
            message = await receive()
            body += message["body"]
            if not message["more_body"]:
                break
        status = self.take(given, bytes(body))
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


class _Unwritten(_Bare):
    """Signature, reading and redaction as in the receiver; then it is forgotten."""

    def __init__(self, ours: set[str]) -> None:
        self._ours = ours

    def take(self, signature: str, body: bytes) -> int:
        if not signature_ok(body, signature, KEY):
            return 401
        event = parse_event(body)
        event.redacted(ours=event.command_uuid in self._ours)
        return 200


class _Single(_Bare):
    """The receiver without its writer: each call is committed by itself."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def take(self, signature: str, body: bytes) -> int:
        return self._receiver.accept(SERVER, {"X-Hmac-Signature": signature}, body)


KINDS = ("durable", "unwritten", "single")


def _serve(kind: str, folder: Path) -> None:
    ours = {event.command_uuid for event in map(parse_event, pickle.loads((folder / BODIES).read_bytes()))} - {""}
    if kind == "unwritten":
        application: Any = _Unwritten(ours)
    else:
        ledger = Ledger.open(f"sqlite:///{folder / kind}.db", migrate=True)
        with ledger.write() as tx:
            for uuid in ours:
                tx.add_command(uuid, SERVER, "DeviceInformation", 0, "{}", NOW)
        receiver = Receiver(LedgerInbox(ledger), [WebhookSource(name=SERVER, key=KEY)], KitClock())
        application = receiver if kind == "durable" else _Single(receiver)
    with serve_receiver(application, port=0) as running:
        tell(running.port)
        answer(cpu=time.process_time)


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]))
