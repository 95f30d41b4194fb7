"""A bounded load: so many requests over so many kept-alive connections, one at a time on each; raw, to cost little."""

import asyncio
import time
from collections.abc import Iterator, Sequence

import uvloop


class _Connection(asyncio.Protocol):
    """Sends the next request when the last one is answered with 200."""

    def __init__(self, requests: Iterator[bytes], done: "asyncio.Future[None]") -> None:
        self._requests, self._done, self._head = requests, done, b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # uvloop's own class
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._head += data
        if not self._head.endswith(b"\r\n\r\n"):
            return
        if not self._head.startswith(b"HTTP/1.1 200"):
            self._end(ConnectionError(self._head[:200].decode()))
            return
        self._head = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(ConnectionError("the server closed the connection"))

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._end(None)
        else:
            self._transport.write(request)

    def _end(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error) if error else self._done.set_result(None)
            self._transport.close()


def request(path: str, body: bytes, signature: str) -> bytes:
    """A webhook call as NanoMDM writes it."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Go-http-client/1.1\r\n"
        f"Content-Length: {len(body)}\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"X-Hmac-Signature: {signature}\r\nAccept-Encoding: gzip\r\n\r\n"
    ).encode() + body


def post(port: int, requests: Sequence[bytes], *, connections: int = 64) -> float:
    """Send all and wait for all answers; seconds. Raises ConnectionError for any answer but 200."""
    return uvloop.run(_post(port, iter(requests), connections))


async def _post(port: int, requests: Iterator[bytes], connections: int) -> float:
    loop = asyncio.get_running_loop()
    done = [loop.create_future() for _ in range(connections)]
    started = time.perf_counter()
    for one in done:
        await loop.create_connection(lambda one=one: _Connection(requests, one), "127.0.0.1", port)
    await asyncio.gather(*done)
    return time.perf_counter() - started
