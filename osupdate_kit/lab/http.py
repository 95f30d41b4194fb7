"""The lab on loopback: its server by address, its webhook over HTTP, one try each. Standard library only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from osupdate_kit.lab.clock import RunningClock
from osupdate_kit.lab.server import LabServer, Response, Webhook
from osupdate_kit.lab.world import World

HEAD_BYTES = 1 << 20  # as the real server: thousands of ids in one URL
PULSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP request. path: still percent-encoded; query: the first value of each name."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    target: str  # path and query as sent


class Loopback:
    """A threaded HTTP server on 127.0.0.1. answer(call) → Response, or None to drop the connection without a word."""

    def __init__(self, answer: Callable[[Call], Response | None], *, port: int = 0) -> None:
        class Handler(_Handler):
            _answer = staticmethod(answer)

        self._server = _Server(("127.0.0.1", port), Handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and wait for the listening thread."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


_FRAMING = {"content-length", "transfer-encoding", "connection"}  # of one connection, not of what it carries


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    _answer: Callable[[Call], Response | None]

    def handle_one_request(self) -> None:
        """As inherited, with room for a longer first line."""
        try:
            self.raw_requestline = self.rfile.readline(HEAD_BYTES + 1)
        except OSError:
            self.raw_requestline = b""
        if len(self.raw_requestline) > HEAD_BYTES:
            self.requestline, self.request_version, self.command = "", "", ""
            self.send_error(431)
            self.close_connection = True
        elif not self.raw_requestline:
            self.close_connection = True
        elif self.parse_request():
            self._serve()

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        parts = urlsplit(self.path)
        response = type(self)._answer(
            Call(
                method=self.command,
                path=parts.path,
                query=dict(reversed(parse_qsl(parts.query, keep_blank_values=True))),
                headers=dict(self.headers.items()),
                body=self.rfile.read(length) if length else b"",
                target=self.path,
            )
        )
        if response is None:
            self.close_connection = True
            return
        head = [f"HTTP/1.1 {response.status} {self.responses.get(response.status, ('',))[0]}\r\n"]
        head += [f"{name}: {value}\r\n" for name, value in response.headers.items() if name.lower() not in _FRAMING]
        head.append(f"Content-Length: {len(response.body)}\r\n\r\n")
        try:
            self.wfile.write("".join(head).encode("latin-1") + response.body)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the truth log says more."""


def http_webhook(url: str, *, timeout_seconds: float = 10.0) -> Webhook:
    """A webhook that posts to `url`: one try, one connection; 0 if nobody answered."""
    parts = urlsplit(url)

    def webhook(body: bytes, headers: Mapping[str, str]) -> int:
        connection = HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=timeout_seconds)
        try:
            connection.request("POST", parts.path or "/", body, dict(headers))
            return connection.getresponse().status
        except (OSError, HTTPException):
            return 0
        finally:
            connection.close()

    return webhook


class LabHost:
    """A world that runs by itself at its clock's speed, with its server at `url`: what `osupdate-kit lab` talks to."""

    def __init__(self, world: World, clock: RunningClock, *, port: int = 0) -> None:
        self.world, self._clock = world, clock
        self._loopback = Loopback(lambda call: _by_address(world.server, call), port=port)
        self._stopping = Event()
        self._thread = Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        return self._loopback.url

    def start(self) -> None:
        self._loopback.start()
        self._thread.start()

    def stop(self) -> None:
        """Devices stand still and the address answers no more; returns when both have ended."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._loopback.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.world.run_until(self._clock.now())
            next_at = self.world.next_at()
            wait = PULSE_SECONDS if next_at is None else self._clock.real_seconds(next_at)
            self._stopping.wait(min(wait, PULSE_SECONDS))


def serve(server: LabServer, *, port: int = 0) -> Loopback:
    """The server alone by address; whoever has the world runs it."""
    return Loopback(lambda call: _by_address(server, call), port=port)


def serve_declarations(server: LabServer, *, port: int = 0) -> Loopback:
    """The server of declarations beside it, at an address of its own."""
    return Loopback(
        lambda call: server.handle_declarations(call.method, call.path, call.query, call.headers, call.body), port=port
    )


def _by_address(server: LabServer, call: Call) -> Response:
    return server.handle(call.method, call.path, call.query, call.headers, call.body)
