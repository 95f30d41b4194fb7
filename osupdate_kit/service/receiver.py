"""The receiver: a server's webhook calls → the inbox, checked, redacted, and acknowledged after the commit.

A call that gets 200 is durable. Servers send each event once, so everything here is made to say 200 soon and to lose
nothing: one writer thread commits whatever has queued, without a timer. Leaves what an event means to the worker.
"""

import asyncio
import ipaddress
import json
import logging
import queue
import re
import socket
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from osupdate_kit.errors import SettingsError, WebhookError
from osupdate_kit.rollout.ports import Clock
from osupdate_kit.servers.events import MAX_BYTES, USER_CHANNELS, RawEvent, encode_event, parse_event
from osupdate_kit.servers.nanomdm import HMAC_HEADER, signature_ok
from osupdate_kit.servers.transport import Forwarder
from osupdate_kit.settings import Settings
from osupdate_kit.stores.ledger import InboxRow, Ledger

log = logging.getLogger(__name__)

MAX_BATCH = 1000  # events in one commit
MAX_HELD_BYTES = 64 << 20  # of all bodies that are being read or wait for their commit
MAX_HEAD_BYTES = 64 << 10
MAX_CONNECTIONS = 4096
READ_SECONDS = 10.0  # in which a request has to come, head and body
IDLE_SECONDS = 120  # longer than Go's client keeps a connection (90 s): it is never cut off as it sends
_DISCARD_BYTES = 64 << 20  # of a body that is too large; beyond, the connection is closed
_FORWARD_QUEUE = 1000
_NOTES = 100

_HMAC = HMAC_HEADER.lower()
_HMAC_RAW = _HMAC.encode()

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Forward = Callable[[bytes, Mapping[str, str]], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxEntry:
    """One event, redacted and encoded (`servers.events.encode_event`), as it goes into the inbox."""

    server: str
    received_at: int  # microseconds UTC on our clock
    body: bytes


class Inbox(Protocol):
    """The store as the receiver sees it. Called by one thread at a time."""

    def ours(self, uuids: Sequence[str]) -> set[str]:
        """Which of these command UUIDs are ours."""

    def take_in(self, rows: Sequence[InboxEntry]) -> None:
        """Durable when this returns; all or none."""


class LedgerInbox:
    """The inbox of a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def ours(self, uuids: Sequence[str]) -> set[str]:
        return self._ledger.ours(uuids)

    def take_in(self, rows: Sequence[InboxEntry]) -> None:
        self._ledger.take_in(
            [InboxRow(server=row.server, kind="webhook", received_at=row.received_at, body=row.body) for row in rows]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSource:
    """One server that may post to us. key: None if it cannot sign."""

    name: str
    key: bytes | None
    trusted_proxy: bool = False
    forward: Forward | None = None

    def __repr__(self) -> str:
        return f"WebhookSource({self.name!r}, {'signed' if self.key else 'not signed'})"


def webhook_sources(settings: Settings) -> list[WebhookSource]:
    """The servers of the settings, their keys read. Raises SettingsError."""
    return [
        WebhookSource(
            name=name,
            key=server.webhook_key(),
            trusted_proxy=server.trusted_proxy,
            forward=Forwarder(server.forward_to) if server.forward_to else None,
        )
        for name, server in settings.servers.items()
    ]


@dataclass(frozen=True, slots=True)
class Note:
    """Why a call was not taken in; nothing of its body."""

    at: int
    server: str
    status: int
    words: str


@dataclass(slots=True)
class Heard:
    """Of one server's calls: when one was last taken in, and what was refused since. 0 = never."""

    taken: int = 0
    taken_at: int = 0
    refused: dict[str, int] = field(default_factory=dict)  # by reason, since the last one that was taken in
    refused_at: int = 0
    path: str = ""  # where a call to no server of ours last went; of `STRANGERS` only

    def take(self, now: int) -> None:
        self.taken += 1
        self.taken_at = now
        if self.refused:
            self.refused = {}

    def refuse(self, status: int, words: str, now: int) -> None:
        """words: one of our own few sentences, so that what is kept is bounded, whoever calls."""
        reason = next((one for one in _REASONS if one in words), str(status))
        self.refused[reason] = self.refused.get(reason, 0) + 1
        self.refused_at = now


STRANGERS = ""  # under this name calls are counted that go to no server of the settings
WRONG_SIGNATURE, NO_SIGNATURE = "a wrong signature", "no signature"
_REASONS = (WRONG_SIGNATURE, NO_SIGNATURE)
_PATH = re.compile(r"/[A-Za-z0-9/._-]{0,79}")


@dataclass(slots=True)
class _Waiting:
    """An event on its way to the commit, and who waits for it. status: 0 until it is decided."""

    server: str
    received_at: int
    event: RawEvent
    done: "asyncio.Future[int] | None" = None
    status: int = 0


class Receiver:
    """An ASGI application, and the same without HTTP: `accept`. `start` the writer before serving, `stop` it after."""

    def __init__(self, inbox: Inbox, sources: Sequence[WebhookSource], clock: Clock) -> None:
        self._inbox, self._clock = inbox, clock
        self.sources = {source.name: source for source in sources}
        self.received = 0  # acknowledged with 200
        self.refused = 0  # answered with anything else
        self.last_at = 0  # when the last one was acknowledged; 0 = none yet
        self.notes: deque[Note] = deque(maxlen=_NOTES)
        self.heard = {name: Heard() for name in (*self.sources, STRANGERS)}
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._held_bytes = 0
        self._forwards = {s.name: _Forwards(s.name, s.forward) for s in sources if s.forward}

    # --- without HTTP ---

    def accept(self, server: str, headers: Mapping[str, str], body: bytes) -> int:
        """Take one call in, in this thread; the HTTP status that it is answered with. 200: it is durable."""
        signature = next((value for name, value in headers.items() if name.lower() == _HMAC), None)
        status, waiting = self._checked(server, signature, body)
        if waiting:
            self._commit([waiting])
            status = waiting.status
        return self._counted(server, status)

    def health(self) -> dict[str, int]:
        """Counts since the start; `last_at` in microseconds UTC, 0 = never; `queue`: events that wait for a commit."""
        return {
            "received": self.received,
            "refused": self.refused,
            "last_at": self.last_at,
            "queue": self._queue.qsize(),
            "not_forwarded": sum(forwards.failed for forwards in self._forwards.values()),
        }

    # --- the checks, in the order of their cost ---

    def _checked(self, server: str, signature: str | None, body: bytes) -> tuple[int, _Waiting | None]:
        """The status, or the event whose commit decides it."""
        source = self.sources.get(server)
        if source is None:
            return self._refuse(server, 404, "no such server in the settings"), None
        if len(body) > MAX_BYTES:
            return self._refuse(server, 413, f"a body of more than {MAX_BYTES} bytes"), None
        if source.key is not None and not signature_ok(body, signature, source.key):
            words = WRONG_SIGNATURE if signature else NO_SIGNATURE
            return self._refuse(server, 401, f"{words}; compare the webhook key with -webhook-hmac-key"), None
        if server in self._forwards:
            self._forwards[server].put(body, signature)
        try:
            event = parse_event(body)
        except WebhookError as error:
            return self._refuse(server, 400, Exception.__str__(error)), None
        if not event.enrollment_id or event.enrollment_type in USER_CHANNELS:
            return 200, None  # about no device: nothing to keep
        return 0, _Waiting(server, self._clock.now(), event)

    def _refuse(self, server: str, status: int, words: str) -> int:
        now = self._clock.now()
        if server in self.sources:
            self.heard[server].refuse(status, words, now)
        else:
            self._strange(f"/webhook/{server}", now)
            server = "unknown"
        self.notes.append(Note(now, server, status, words))
        log.info("webhook of %s: %s, %s", server, status, words)
        return status

    def _strange(self, path: str, now: int) -> None:
        """A call that is for no server of ours: its path may show what is mistyped. Strangers write it, too."""
        heard = self.heard[STRANGERS]
        heard.refuse(404, "", now)
        heard.path = path if _PATH.fullmatch(path) else "/…"

    def _counted(self, server: str, status: int) -> int:
        if status == 200:
            self.received += 1
            self.last_at = now = self._clock.now()
            self.heard[server].take(now)
        else:
            self.refused += 1
        return status

    # --- the commit ---

    def _commit(self, batch: Sequence[_Waiting]) -> None:
        """Redact and store; every event has its status afterwards, whatever happens (I9)."""
        try:
            ours = self._inbox.ours(list({w.event.command_uuid for w in batch} - {""}))
            entries = []
            for waiting in batch:
                event = waiting.event.redacted(ours=waiting.event.command_uuid in ours)
                entries.append(
                    InboxEntry(server=waiting.server, received_at=waiting.received_at, body=encode_event(event))
                )
            self._inbox.take_in(entries)
            status = 200
        except Exception as error:
            log.error("%s events could not be stored: %s", len(batch), type(error).__name__)  # noqa: TRY400
            status = self._refuse(batch[0].server, 503, f"the store does not take it: {type(error).__name__}")
        for waiting in batch:
            waiting.status = status

    def start(self) -> None:
        """Start writing; a second start does nothing."""
        if self._writer is None:
            self._writer = threading.Thread(target=self._write, name="receiver", daemon=True)
            self._writer.start()
            for forwards in self._forwards.values():
                forwards.start()

    def stop(self) -> None:
        """Commit what has queued, and end. Call it when nobody serves any more."""
        if self._writer is not None:
            self._queue.put(None)
            self._writer.join()
            self._writer = None
            for forwards in self._forwards.values():
                forwards.stop()

    def _write(self) -> None:
        """Group commit: while one batch is being committed, the next one gathers."""
        going = True
        while going:
            batch: list[_Waiting] = []
            waiting = self._queue.get()
            while waiting is not None:
                batch.append(waiting)
                if len(batch) == MAX_BATCH:
                    break
                try:
                    waiting = self._queue.get_nowait()
                except queue.Empty:
                    break
            else:
                going = False
            if batch:
                self._commit(batch)
                assert batch[0].done is not None
                batch[0].done.get_loop().call_soon_threadsafe(_release, batch)

    # --- HTTP ---

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if scope["method"] == "POST" and path.startswith("/webhook/"):
            await self._webhook(path.removeprefix("/webhook/"), scope, receive, send)
        elif path == "/health" and scope["method"] == "GET":
            await _answer(send, 200, json.dumps(self.health()).encode(), "application/json")
        else:
            if scope["method"] == "POST":
                self._strange(path, self._clock.now())
            await _answer(send, 404)

    async def _webhook(self, server: str, scope: Scope, receive: Receive, send: Send) -> None:
        signature = length = None
        for name, value in scope["headers"]:
            if name == _HMAC_RAW:
                signature = value.decode("latin-1")
            elif name == b"content-length":
                length = int(value)
        body = bytearray()
        try:
            status = 413 if (length or 0) > MAX_BYTES else 404 if server not in self.sources else 0
            if status:
                self._refuse(server, status, "a body too large" if status == 413 else "no such server in the settings")
            else:
                status = await self._read(server, receive, body)
            if not status:
                status, waiting = self._checked(server, signature, bytes(body))
                if waiting:
                    waiting.done = asyncio.get_running_loop().create_future()
                    self._queue.put(waiting)
                    status = await waiting.done
        finally:
            self._held_bytes -= len(body)
        self._counted(server, status)
        await _answer(send, status, close=status == 413 and (length or _DISCARD_BYTES) >= _DISCARD_BYTES)

    async def _read(self, server: str, receive: Receive, body: bytearray) -> int:
        """Read the body within its bounds; 0, or the status of the refusal. `_BoundedProtocol` bounds the time."""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return self._refuse(server, 400, "half a body")
            chunk = message["body"]
            body += chunk
            self._held_bytes += len(chunk)
            if len(body) > MAX_BYTES:
                return self._refuse(server, 413, f"a body of more than {MAX_BYTES} bytes")
            if self._held_bytes > MAX_HELD_BYTES:
                return self._refuse(server, 503, f"bodies of {MAX_HELD_BYTES} bytes wait already")
            if not message["more_body"]:
                return 0


def _release(batch: Sequence[_Waiting]) -> None:
    for waiting in batch:
        if waiting.done is not None and not waiting.done.done():
            waiting.done.set_result(waiting.status)


async def _answer(send: Send, status: int, body: bytes = b"", kind: str = "", *, close: bool = False) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    if kind:
        headers.append((b"content-type", kind.encode()))
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class _Forwards:
    """Calls waiting to be passed on to one other address, in a thread of their own; what fails is counted."""

    def __init__(self, name: str, forward: Forward | None) -> None:
        self.failed = 0
        self._forward = forward
        self._queue: queue.Queue[tuple[bytes, str | None] | None] = queue.Queue(_FORWARD_QUEUE)
        self._thread = threading.Thread(target=self._run, name=f"forward {name}", daemon=True)

    def put(self, body: bytes, signature: str | None) -> None:
        try:
            self._queue.put_nowait((body, signature))
        except queue.Full:
            self.failed += 1

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            return  # a daemon: it ends with the process
        self._thread.join(READ_SECONDS)

    def _run(self) -> None:
        assert self._forward is not None
        while (call := self._queue.get()) is not None:
            body, signature = call
            headers = {"Content-Type": "application/json; charset=utf-8"}
            if signature:
                headers[HMAC_HEADER] = signature
            try:
                passed = self._forward(body, headers)
            except Exception:
                passed = False
            self.failed += not passed


# --- serving ---


class _BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP, with bounds that it has not: the bytes of a request's head, and how long a request may come in.

    Whoever is too slow, or sends too long a head, is cut off.
    """

    _deadline: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._request_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.transport.close()

    def on_message_begin(self) -> None:
        self._await_request()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._request_is_there()
        super().on_message_complete()

    def _await_request(self) -> None:
        self._request_is_there()
        self._in_head, self._head_bytes = True, 0
        self._deadline = self.loop.call_later(READ_SECONDS, self.transport.close)

    def _request_is_there(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


class RunningReceiver:
    """A receiver that listens, in a thread of its own, until `stop`. Also a context manager."""

    def __init__(self, receiver: Receiver, listener: socket.socket) -> None:
        self.receiver, self._listener = receiver, listener
        self.host, self.port = listener.getsockname()[:2]
        self._server = _Server(
            uvicorn.Config(
                receiver,
                loop="uvloop",
                http=_BoundedProtocol,
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_keep_alive=IDLE_SECONDS,
                timeout_graceful_shutdown=10,
            )
        )
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)

    @property
    def url(self) -> str:
        """The address without a path; a server posts to `url`/webhook/<its name>."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def start(self) -> None:
        """Returns when calls are answered."""
        self.receiver.start()
        self._thread.start()
        self._server.up.wait()

    def stop(self) -> None:
        """Answer the calls that came, commit them, and end."""
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()
        self.receiver.stop()

    def _run(self) -> None:
        try:
            self._server.run([self._listener])
        finally:
            self._server.up.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve_receiver(receiver: Receiver, *, host: str = "127.0.0.1", port: int = 8077) -> RunningReceiver:
    """Listen and return at once; port 0 takes any free one.

    Raises SettingsError if the address cannot be had, or if a server that does not sign could be impersonated there.
    """
    refuse_strangers(receiver.sources.values(), host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise SettingsError(
            f"The receiver cannot listen on {host}:{port}: {error.strerror or error}.",
            remedy="Choose another receiver.host or receiver.port, or end the program that has this one.",
        ) from None
    running = RunningReceiver(receiver, listener)
    running.start()
    return running


def refuse_strangers(sources: Iterable[WebhookSource], host: str) -> None:
    """Raises SettingsError if a server that does not sign could be impersonated by whoever reaches `host`."""
    unsigned = [] if _is_loopback(host) else [s.name for s in sources if s.key is None and not s.trusted_proxy]
    if unsigned:
        raise SettingsError(
            f"servers.{unsigned[0]} signs nothing, and the receiver would listen on {host}: anybody could post.",
            remedy=(
                "If it can sign, name its webhook_key_env or webhook_key_file. If not, listen on 127.0.0.1, or put "
                "a TLS proxy before the receiver that lets only this server in, and state trusted_proxy = true."
            ),
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
