"""One HTTP call to an MDM server's API, and what is known when it fails.

Knows requests: time-outs, proxies, certificates, redirects, bounds. One try and never an exception: what the caller
cannot know is data. Leaves the paths and the meaning of an answer to the servers' own modules.
"""

import json
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import Any

import requests
from requests.auth import HTTPBasicAuth
from requests.cookies import extract_cookies_to_jar
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

MAX_PATH_BYTES = 1_000_000  # Go's servers read about 1 MiB of request head

# The HTTP layer's own refusals: the call never came to what stands behind it.
REFUSALS = {
    301: "it redirects to another address",
    302: "it redirects to another address",
    307: "it redirects to another address",
    308: "it redirects to another address",
    400: "it calls the request malformed",
    401: "it does not accept the API key",
    403: "it forbids the call",
    404: "there is no such API at this address",
    405: "there is no such API at this address",
    407: "a proxy wants a password",
    411: "it wants another form of request",
    413: "the request is too large",
    414: "the request names too many devices",
    429: "it takes no more calls for now",
    431: "the request names too many devices",
}
TOO_MANY_IDS = (414, 431)
_ITS_FORM = (400, 411, 413, *TOO_MANY_IDS)  # refused for what this call is: another may pass

_MAX_ANSWER_BYTES = 16 << 20
_CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, unread. No status: no answer."""

    status: int = 0
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)  # looked up whatever their letters' case
    broken: str = ""  # why there is no whole answer
    sent: bool = True  # False: certainly not a byte of the request left

    @property
    def server_at(self) -> int:
        """The Date header, microseconds UTC; 0 = none."""
        return http_date(self.headers.get("Date"))

    @property
    def trouble(self) -> str:
        """Why this is no good answer, as far as HTTP can tell; empty if it is one."""
        return REFUSALS.get(self.status, "") or self.broken

    @property
    def untaken(self) -> bool:
        """Did the call certainly come to nobody, so that no other need be tried now?"""
        return _untaken(self.status, self.sent)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `said`: the JSON object of the body; None: none that can be read. No status: no answer."""

    status: int = 0
    said: Mapping[str, Any] | None = None
    server_at: int = 0  # the Date header, microseconds UTC; 0 = none
    broken: str = ""  # why there is no whole answer
    sent: bool = True  # False: certainly not a byte of the request left

    @property
    def trouble(self) -> str:
        """Why this is no good answer, as far as HTTP can tell; empty if it is one."""
        return REFUSALS.get(self.status, "") or self.broken

    @property
    def untaken(self) -> bool:
        """Did the call certainly come to nobody, so that no other need be tried now?"""
        return _untaken(self.status, self.sent)


def _untaken(status: int, sent: bool) -> bool:
    return not sent or (status in REFUSALS and status not in _ITS_FORM)


class Wire:
    """The way to one server. Thread-safe: one call is in flight at a time.

    NanoMDM's key-value storage loses commands that are queued for one device by two calls at once.
    """

    def __init__(
        self, url: str, user: str, api_key: str, *, timeout_seconds: float, session: requests.Session | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._auth = HTTPBasicAuth(user.encode(), api_key.encode())
        self._timeout_seconds = timeout_seconds
        self._session = session or _own_session(self.url)
        self._lock = Lock()
        self._prepared: dict[bool, requests.PreparedRequest] = {}

    def call(self, method: str, path: str, body: bytes | None = None, *, signed: bool = True) -> Answer:
        """One try; never raises. The answer is read as a JSON object. signed: with our key."""
        reply = self.fetch(method, path, body, signed=signed)
        if reply.broken:
            return Answer(reply.status, None, reply.server_at, reply.broken, reply.sent)
        try:
            said = json.loads(reply.body)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            broken = f"{kind_of(reply.body)} with HTTP status {reply.status}"
            return Answer(reply.status, None, reply.server_at, broken)
        return Answer(reply.status, said, reply.server_at)

    def fetch(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        signed: bool = True,
        content_type: str = "application/xml",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One try; never raises. Redirects are not followed: they would carry a command, or the key, to a stranger."""
        try:
            with self._lock, self._sent(method, path, body, signed, content_type, headers) as response:
                try:
                    text = _text(response, time.monotonic() + self._timeout_seconds)
                except requests.RequestException as error:
                    return Reply(
                        response.status_code, headers=response.headers, broken=f"half an answer ({_named(error)})"
                    )
                return Reply(response.status_code, text, response.headers)
        except requests.RequestException as error:
            return Reply(broken=_named(error), sent=not _never_left(error))

    def _sent(
        self,
        method: str,
        path: str,
        body: bytes | None,
        signed: bool,
        content_type: str,
        headers: Mapping[str, str] | None,
    ) -> requests.Response:
        """What `Session.request` does; but what is the same for each call is prepared once, in half the time."""
        session = self._session
        if signed not in self._prepared:
            made = requests.Request("GET", self.url, auth=self._auth if signed else None)
            self._prepared[signed] = session.prepare_request(made)
        request = self._prepared[signed].copy()
        request.method, request.url = method, f"{self.url}{path}"
        request.headers.update(headers or {})
        if body:
            request.headers["Content-Type"] = content_type
        request.prepare_body(body, None)
        if session.cookies:
            request.headers.pop("Cookie", None)
            request.prepare_cookies(session.cookies)
        response = session.get_adapter(request.url).send(
            request,
            stream=True,
            timeout=(min(_CONNECT_SECONDS, self._timeout_seconds), self._timeout_seconds),
            verify=True if session.verify is None else session.verify,
            cert=session.cert,
            proxies=session.proxies,
        )
        if "Set-Cookie" in response.headers:  # such as those that keep us at one of several servers
            extract_cookies_to_jar(session.cookies, request, response.raw)  # type: ignore[no-untyped-call]
        return response


def kind_of(body: bytes) -> str:
    """What a body is that is not the JSON that was expected, for people."""
    return "a web page" if body.lstrip()[:1] == b"<" else "no JSON" if body.strip() else "nothing"


def _own_session(url: str) -> requests.Session:
    """A session that asks the environment for proxies and authorities once, not at each call."""
    session = requests.Session()
    found = session.merge_environment_settings(url, {}, None, None, None)
    session.proxies, session.verify, session.trust_env = found["proxies"], found["verify"], False
    return session


def _text(response: requests.Response, until: float) -> bytes:
    """The body, bounded in size and in time."""
    text = bytearray()
    for chunk in response.iter_content(1 << 16):
        text += chunk
        if len(text) > _MAX_ANSWER_BYTES or time.monotonic() > until:
            raise requests.exceptions.ContentDecodingError
    return bytes(text)


def http_date(header: str | None) -> int:
    """A header's date as microseconds UTC; 0 = none."""
    try:
        return int(parsedate_to_datetime(header).timestamp()) * 1_000_000 if header else 0
    except (ValueError, TypeError, OverflowError):
        return 0


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what lies beneath it, as requests and urllib3 wrap it."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            waiting += [*one.args, getattr(one, "reason", None), one.__cause__]
            yield one


def _never_left(error: requests.RequestException) -> bool:
    """Did the attempt end before there was a connection (or a trusted one) to send the request over?

    Not judged behind a proxy: there the error may speak of the second half of the way.
    """
    if isinstance(error, requests.exceptions.ProxyError):
        return False
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.InvalidURL):
        return True
    before = (NewConnectionError, ConnectTimeoutError, ssl.SSLCertVerificationError)
    return isinstance(error, requests.ConnectionError) and any(isinstance(one, before) for one in _causes(error))


def _named(error: requests.RequestException) -> str:
    """The cause in our own words: the library's would quote the address with all its ids."""
    causes = list(_causes(error))
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy on the way does not answer"
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in causes):
        return "the server's certificate is not trusted"
    if any(isinstance(one, NewConnectionError) for one in causes):
        return "no connection can be made"
    if isinstance(error, requests.ConnectTimeout) or any(isinstance(one, ConnectTimeoutError) for one in causes):
        return "no connection in time"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return f"the connection broke ({type(error).__name__})"
