"""HTTP without sockets: a requests.Session whose calls go to a function in this process.

Tests, demo and simulation so drive the very adapters that talk to real servers. Knows requests' shapes only; `before`
and `after` let a simulation break the line on either side of the server.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from io import BytesIO
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import requests
from requests.adapters import BaseAdapter


class Answer(Protocol):
    """What a server function returns."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def body(self) -> bytes: ...


Handle = Callable[[str, str, Mapping[str, str], Mapping[str, str], bytes], Answer]
"""handle(method, path, query, headers, body); the path is percent-encoded, the query holds the last value of a name."""


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call on its way."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


def in_process_session(
    handle: Handle,
    *,
    before: Callable[[Call], None] = lambda call: None,
    after: Callable[[Call, Answer], Answer] = lambda call, answer: answer,
) -> requests.Session:
    """A session that calls `handle`, whatever the host.

    before: may raise a `requests` exception, and the server sees nothing. after: may raise one although the server has
    acted, or return another answer (half of it, a proxy's page).
    """
    session = requests.Session()
    session.trust_env = False
    adapter = _InProcess(handle, before, after)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


class _InProcess(BaseAdapter):
    def __init__(self, handle: Handle, before: Callable[[Call], None], after: Callable[[Call, Answer], Answer]) -> None:
        super().__init__()
        self._handle, self._before, self._after = handle, before, after

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        parts = urlsplit(request.url or "")
        body = request.body or b""
        call = Call(
            request.method or "GET",
            parts.path,
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            {name: str(value) for name, value in request.headers.items()},
            body if isinstance(body, bytes) else str(body).encode(),
        )
        self._before(call)
        answer = self._after(call, self._handle(call.method, call.path, call.query, call.headers, call.body))
        response = requests.Response()
        response.status_code = answer.status
        response.headers.update(answer.headers)
        response.raw = BytesIO(answer.body)
        response.request = request
        response.url = request.url or ""
        return response

    def close(self) -> None:
        """Nothing is open."""


class Forwarder:
    """Passes a webhook call on to another address, body and signature untouched. One try, like the server's own."""

    def __init__(self, url: str, *, timeout_seconds: float = 10.0, session: requests.Session | None = None) -> None:
        self._url, self._timeout_seconds, self._session = url, timeout_seconds, session or requests.Session()

    def __call__(self, body: bytes, headers: Mapping[str, str]) -> bool:
        """Was it answered with 2xx?"""
        try:
            with self._session.post(
                self._url, data=body, headers=dict(headers), timeout=self._timeout_seconds, allow_redirects=False,
                stream=True,
            ) as response:  # fmt: skip
                return 200 <= response.status_code < 300
        except requests.RequestException:
            return False


class Caller:
    """Calls an address, to be heard there. One try; what it answers is not read."""

    def __init__(self, url: str, *, timeout_seconds: float = 10.0, session: requests.Session | None = None) -> None:
        self._url, self._timeout_seconds, self._session = url, timeout_seconds, session or requests.Session()
        logging.getLogger("urllib3").setLevel(logging.INFO)  # below it, it logs paths, in which tokens stand

    def __call__(self) -> bool:
        """Was it answered with 2xx?"""
        try:
            with self._session.get(self._url, timeout=self._timeout_seconds, stream=True) as response:
                return 200 <= response.status_code < 300
        except requests.RequestException:
            return False


class Health(Enum):
    """What answers where the receiver should be."""

    OURS = "ours"
    OTHER = "other"
    SILENT = "silent"


def health(url: str, *, timeout_seconds: float = 5.0) -> Health:
    """Ask the receiver at `url`, directly: a proxy of the environment would speak of itself."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            with session.get(f"{url}/health", timeout=timeout_seconds, allow_redirects=False) as response:
                told = response.json()
        except requests.JSONDecodeError:
            return Health.OTHER
        except requests.RequestException:
            return Health.SILENT
    return Health.OURS if isinstance(told, dict) and "received" in told else Health.OTHER
