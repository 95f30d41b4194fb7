"""NanoMDM 0.9: its API as a CommandServer, and the signature of its webhook.

Knows what each of its answers proves about each device: the body decides, never the HTTP status alone. An answer that
is not NanoMDM's own proves nothing. Leaves retries and batches to the sender, the webhook's format to `events.py`.
"""

import hmac
import json
import re
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from hashlib import sha256
from threading import Lock
from typing import Any
from urllib.parse import quote

import requests
from requests.auth import HTTPBasicAuth
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from osupdate_kit.rollout.ports import EnqueueAnswer, Outcome, PushAnswer, ServerCheck
from osupdate_kit.servers.events import read_event

__all__ = ["HMAC_HEADER", "NanoMDM", "read_event", "signature_ok"]

HMAC_HEADER = "X-Hmac-Signature"

_MAX_ANSWER_BYTES = 16 << 20
_MAX_PATH_BYTES = 1_000_000  # the server reads about 1 MiB of request head
_MAX_ID = 255  # characters; NanoMDM's own tables hold no more
_ID = re.compile(rf"[^\s,/]{{1,{_MAX_ID}}}")
_CONNECT_SECONDS = 10.0

# The HTTP layer's own refusals: the call never came to the queue.
_REFUSALS = {
    301: "it redirects to another address",
    302: "it redirects to another address",
    307: "it redirects to another address",
    308: "it redirects to another address",
    400: "it calls the request malformed",
    401: "it does not accept the API key",
    403: "it forbids the call",
    404: "there is no NanoMDM API at this address",
    405: "there is no NanoMDM API at this address",
    407: "a proxy wants a password",
    411: "it wants another form of request",
    413: "the request is too large",
    414: "the request names too many devices",
    429: "it takes no more calls for now",
    431: "the request names too many devices",
}
_TOO_MANY_IDS = (414, 431)


def signature_ok(body: bytes, header: str | None, key: bytes) -> bool:
    """Is `header` (X-Hmac-Signature) the base64 of HMAC-SHA256 over the raw body? In constant time."""
    if not header or not key:
        return False
    given = header.strip().encode(errors="backslashreplace")
    return hmac.compare_digest(given, b64encode(hmac.digest(key, body, sha256)))


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back. `said`: the JSON object of the body; None: none that can be read. No status: no answer."""

    status: int = 0
    said: Mapping[str, Any] | None = None
    server_at: int = 0
    trouble: str = ""  # why there is no whole answer
    sent: bool = True  # False: certainly not a byte of the request left


class NanoMDM:
    """One NanoMDM server; fulfils `CommandServer`. Thread-safe: one call is in flight at a time.

    The server loses commands that are queued for one device by two calls at once (key-value storage).
    """

    def __init__(
        self,
        name: str,
        url: str,
        api_key: str,
        *,
        user: str = "nanomdm",
        batch_ids: int = 200,
        timeout_seconds: float = 30,
        forgets_answered: bool = False,
        session: requests.Session | None = None,
    ) -> None:
        self.name, self.batch_ids, self.forgets_answered = name, batch_ids, forgets_answered
        self._url = url.rstrip("/")
        self._auth = HTTPBasicAuth(user.encode(), api_key.encode())
        self._timeout_seconds = timeout_seconds
        self._session = session or _own_session(self._url)
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"NanoMDM({self.name!r}, {self._url!r})"

    # --- CommandServer ---

    def enqueue(self, body: bytes, ids: Sequence[str], *, push: bool) -> EnqueueAnswer:
        """Queue the command plist (XML) for each id in one call, and push if asked. Never raises."""
        good, bad = _sorted_out(ids)
        outcomes, reasons = dict.fromkeys(bad, Outcome.REFUSED), bad
        if not good:
            return EnqueueAnswer(outcomes=outcomes, reasons=reasons)
        path = _path("enqueue", good)
        if not body.lstrip().startswith(b"<"):
            return _refused(outcomes, reasons, good, "the command is no XML property list")
        if len(path) > _MAX_PATH_BYTES:
            return _refused(outcomes, reasons, good, _REFUSALS[431], separable=True)
        answer = self._call("PUT", path if push else f"{path}?nopush=1", body)
        judged = _judged(answer, body, good)
        return EnqueueAnswer(
            outcomes={**outcomes, **judged.outcomes},
            reasons={**reasons, **judged.reasons},
            pushed=judged.pushed if push else frozenset(),
            server_at=answer.server_at,
            separable=judged.separable,
        )

    def push(self, ids: Sequence[str]) -> PushAnswer:
        """Wake the devices; whom the server does not report woken is in `reasons`. Never raises."""
        good, reasons = _sorted_out(ids)
        if not good:
            return PushAnswer(pushed=frozenset(), reasons=reasons)
        path = _path("push", good)
        if len(path) > _MAX_PATH_BYTES:
            return PushAnswer(pushed=frozenset(), reasons=reasons | dict.fromkeys(good, _REFUSALS[431]))
        answer = self._call("GET", path)
        pushed, failed = _woken(answer.said or {}, good)
        otherwise = _trouble(answer) or "the server does not say that it was woken"
        more = {one: failed.get(one, otherwise) for one in good if one not in pushed}
        return PushAnswer(pushed=pushed, reasons=reasons | more, server_at=answer.server_at)

    # --- for people ---

    def check(self) -> ServerCheck:
        """Is this a NanoMDM, and does it take our key? Asks for the version, then makes a call that queues nothing."""
        answer = self._call("GET", "/version", signed=False)
        version = (answer.said or {}).get("version")
        if answer.status != 200 or not isinstance(version, str):
            return self._checked("", *_diagnosis(answer, self._url))
        version = version[:80]
        answer = self._call("PUT", "/v1/enqueue/check?nopush=1", b"")
        error = (answer.said or {}).get("command_error")
        if answer.status == 401:
            return self._checked(
                version,
                "does not accept the API key.",
                "Compare the key with the server's -api flag, and the user with `nanomdm`.",
            )
        if not isinstance(error, str):
            return self._checked(version, *_diagnosis(answer, self._url))
        return ServerCheck(
            server=self.name, ok=True, version=version, message=f"{self.name} answers and takes our key."
        )

    def _checked(self, version: str, message: str, remedy: str) -> ServerCheck:
        return ServerCheck(server=self.name, ok=False, version=version, message=f"{self.name} {message}", remedy=remedy)

    # --- the wire ---

    def _call(self, method: str, path: str, body: bytes | None = None, *, signed: bool = True) -> _Answer:
        """One try. Redirects are not followed: they would carry a command, or the key, to a stranger."""
        try:
            with (
                self._lock,
                self._session.request(
                    method,
                    f"{self._url}{path}",
                    data=body,
                    headers={"Content-Type": "application/xml"} if body else None,
                    auth=self._auth if signed else None,
                    timeout=(min(_CONNECT_SECONDS, self._timeout_seconds), self._timeout_seconds),
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                server_at = _date(response.headers.get("Date"))
                try:
                    text = _text(response, time.monotonic() + self._timeout_seconds)
                except requests.RequestException as error:
                    return _Answer(response.status_code, None, server_at, f"half an answer ({_named(error)})")
        except requests.RequestException as error:
            return _Answer(trouble=_named(error), sent=not _never_left(error))
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            kind = "a web page" if text.lstrip()[:1] == b"<" else "nothing" if not text.strip() else "no JSON"
            return _Answer(response.status_code, None, server_at, f"{kind} with HTTP status {response.status_code}")
        return _Answer(response.status_code, said, server_at)


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


def _date(header: str | None) -> int:
    try:
        return int(parsedate_to_datetime(header).timestamp()) * 1_000_000 if header else 0
    except (ValueError, TypeError, OverflowError):
        return 0


# --- what an answer proves ---


def _judged(answer: _Answer, body: bytes, ids: Sequence[str]) -> EnqueueAnswer:
    said = answer.said
    if said is None or not _is_ours(said, body):
        if not answer.sent or answer.status in _REFUSALS:
            separable = answer.status in _TOO_MANY_IDS and len(ids) > 1
            return _refused({}, {}, ids, _trouble(answer), separable=separable)
        return EnqueueAnswer(
            outcomes=dict.fromkeys(ids, Outcome.UNKNOWN), reasons=dict.fromkeys(ids, _trouble(answer) or _FOREIGN)
        )
    error = said.get("command_error")
    if isinstance(error, str) and not _was_queued_before(error):
        separable = "foreign key constraint" in error.lower() and len(ids) > 1
        return _refused({}, {}, ids, _words(error), separable=separable)
    pushed, reasons = _woken(said, ids)
    outcomes = dict.fromkeys(ids, Outcome.QUEUED)
    for one, error in _errors(said, "command_error", ids):
        if not _was_queued_before(error):
            outcomes[one], reasons[one] = Outcome.REFUSED, _words(error)
    return EnqueueAnswer(outcomes=outcomes, reasons=reasons, pushed=pushed)


def _is_ours(said: Mapping[str, Any], body: bytes) -> bool:
    """Is it NanoMDM's answer to this very command? A proxy's JSON, or an answer to another call, proves nothing."""
    uuid = said.get("command_uuid")
    if isinstance(uuid, str) and uuid:
        return uuid.encode() in body
    return isinstance(said.get("command_error"), str)


def _was_queued_before(error: str) -> bool:
    """In the words of key-value, PostgreSQL and MySQL storage: this command UUID is known already."""
    return any(words in error for words in ("command already exists", '"commands_pkey"', "'commands.PRIMARY'"))


def _woken(said: Mapping[str, Any], ids: Sequence[str]) -> tuple[frozenset[str], dict[str, str]]:
    """Whom the server reports woken, and why the others were not."""
    status = said.get("status")
    per_id = status if isinstance(status, dict) else {}
    pushed = frozenset(
        one
        for one in (ids if per_id else ())
        if isinstance(told := per_id.get(one), dict) and told.get("push_result") and not told.get("push_error")
    )
    reasons: dict[str, str] = {}
    if isinstance(whole := said.get("push_error"), str):
        reasons = dict.fromkeys((one for one in ids if one not in pushed), _words(whole))
    reasons |= {one: _words(error) for one, error in _errors(said, "push_error", ids)}
    return pushed, reasons


def _errors(said: Mapping[str, Any], key: str, ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    status = said.get("status")
    if isinstance(status, dict) and status:
        for one in ids:
            told = status.get(one)
            if isinstance(told, dict) and isinstance(error := told.get(key), str):
                yield one, error


def _refused(
    outcomes: Mapping[str, Outcome],
    reasons: Mapping[str, str],
    ids: Sequence[str],
    reason: str,
    *,
    separable: bool = False,
) -> EnqueueAnswer:
    return EnqueueAnswer(
        outcomes={**outcomes, **dict.fromkeys(ids, Outcome.REFUSED)},
        reasons={**reasons, **dict.fromkeys(ids, reason)},
        separable=separable and len(ids) > 1,
    )


# --- ids and words ---


def _sorted_out(ids: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Each id once, and those that no call may carry, with the reason.

    An id twice in one call makes key-value storage lose the next command; a comma would mean two devices, a slash
    another address.
    """
    good: list[str] = []
    bad: dict[str, str] = {}
    for one in dict.fromkeys(ids):
        if _ID.fullmatch(one) and one.isprintable() and one.strip("."):
            good.append(one)
        elif not one:
            bad[one] = "the enrollment ID is empty"
        elif len(one) > _MAX_ID:
            bad[one] = f"the enrollment ID has more than {_MAX_ID} characters"
        else:
            bad[one] = "the enrollment ID holds characters that no enrollment ID has"
    return good, bad


def _path(verb: str, ids: Sequence[str]) -> str:
    return f"/v1/{verb}/{quote(','.join(ids), safe=',:')}"


def _words(text: str) -> str:
    """A server's words, short and on one line."""
    return " ".join(text.split())[:300]


_FOREIGN = "the answer is not NanoMDM's answer to this command"


def _trouble(answer: _Answer) -> str:
    return _REFUSALS.get(answer.status, "") or answer.trouble


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


_DOWN = "Start the server, or correct its url in the settings; see that nothing between here and it blocks the way."
_ELSEWHERE = (
    "Correct the server's url in the settings: scheme, host and port of NanoMDM itself, and any path before /v1."
)


def _diagnosis(answer: _Answer, url: str) -> tuple[str, str]:
    """What an answer that is not NanoMDM's means, and the remedy."""
    if not answer.status:
        if "certificate" in answer.trouble:
            return (
                f"at {url}: {answer.trouble}.",
                "Install the authority's certificate, or name it in REQUESTS_CA_BUNDLE.",
            )
        return f"at {url} does not answer: {answer.trouble}.", _DOWN
    if answer.status in (502, 503, 504):
        return f"at {url} is down behind its proxy (HTTP status {answer.status}).", _DOWN
    what = answer.trouble or f"JSON that is not NanoMDM's, with HTTP status {answer.status}"
    if answer.status in _REFUSALS:
        what = f"HTTP status {answer.status}: {_REFUSALS[answer.status]}"
    return f"at {url} is no NanoMDM: it answers {what}.", _ELSEWHERE
