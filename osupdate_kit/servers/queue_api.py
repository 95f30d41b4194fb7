"""The API of NanoMDM's command queue, as NanoMDM itself and NanoHUB offer it, each at its own addresses.

Knows what each answer proves about each device: the body decides, never the HTTP status alone. An answer that is not
the server's own proves nothing. Leaves retries and batches to the sender, the webhook's format to `events.py`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote

import requests

from osupdate_kit.rollout.ports import EnqueueAnswer, Outcome, PushAnswer, ServerCheck
from osupdate_kit.servers.wire import MAX_PATH_BYTES, REFUSALS, TOO_MANY_IDS, Answer, Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Where one kind of server offers the API, and whom it lets in. Paths end where the ids begin."""

    name: str  # as people call it
    kind: str  # as the settings call it
    user: str
    key_flag: str  # the flag of its program that sets the key
    enqueue: str
    push: str
    version: str = "/version"


NANOMDM = Dialect(
    name="NanoMDM", kind="nanomdm", user="nanomdm", key_flag="-api", enqueue="/v1/enqueue/", push="/v1/push/"
)
NANOHUB = Dialect(
    name="NanoHUB",
    kind="nanohub",
    user="nanohub",
    key_flag="-api-key",
    enqueue="/api/v1/nanomdm/enqueue/",  # the NanoMDM within, without its own /v1
    push="/api/v1/nanomdm/push/",
)
_DIALECTS = (NANOMDM, NANOHUB)

_MAX_ID = 255  # characters; NanoMDM's own tables hold no more
_ID = re.compile(rf"[^\s,/]{{1,{_MAX_ID}}}")
_FOREIGN = "the answer is not the server's answer to this command"


class QueueServer:
    """One server of a kind; fulfils `CommandServer`. Thread-safe: one call is in flight at a time.

    user: empty for the kind's own.
    """

    dialect: ClassVar[Dialect]

    def __init__(
        self,
        name: str,
        url: str,
        api_key: str,
        *,
        user: str = "",
        batch_ids: int = 200,
        ids_per_second: float = 0.0,
        timeout_seconds: float = 30,
        forgets_answered: bool = False,
        session: requests.Session | None = None,
    ) -> None:
        self.name, self.batch_ids, self.forgets_answered = name, batch_ids, forgets_answered
        self.ids_per_second = ids_per_second
        self._wire = Wire(url, user or self.dialect.user, api_key, timeout_seconds=timeout_seconds, session=session)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self._wire.url!r})"

    # --- CommandServer ---

    def enqueue(self, body: bytes, ids: Sequence[str], *, push: bool) -> EnqueueAnswer:
        """Queue the command plist (XML) for each id in one call, and push if asked. Never raises."""
        good, bad = sorted_out(ids)
        outcomes, reasons = dict.fromkeys(bad, Outcome.REFUSED), bad
        if not good:
            return EnqueueAnswer(outcomes=outcomes, reasons=reasons)
        path = self.dialect.enqueue + listed(good)
        if not body.lstrip().startswith(b"<"):
            return _refused(outcomes, reasons, good, "the command is no XML property list")
        if len(path) > MAX_PATH_BYTES:
            return _refused(outcomes, reasons, good, REFUSALS[431], separable=True)
        answer = self._wire.call("PUT", path if push else f"{path}?nopush=1", body)
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
        good, reasons = sorted_out(ids)
        if not good:
            return PushAnswer(pushed=frozenset(), reasons=reasons)
        path = self.dialect.push + listed(good)
        if len(path) > MAX_PATH_BYTES:
            return PushAnswer(pushed=frozenset(), reasons=reasons | dict.fromkeys(good, REFUSALS[431]))
        answer = self._wire.call("GET", path)
        pushed, failed = _woken(answer.said or {}, good)
        otherwise = answer.trouble or "the server does not say that it was woken"
        more = {one: failed.get(one, otherwise) for one in good if one not in pushed}
        return PushAnswer(pushed=pushed, reasons=reasons | more, server_at=answer.server_at, untaken=answer.untaken)

    def check(self) -> ServerCheck:
        """Is this such a server, and does it take our key? Asks its version, then makes a call that queues nothing."""
        answer = self._wire.call("GET", self.dialect.version, signed=False)
        version = (answer.said or {}).get("version")
        if answer.status != 200 or not isinstance(version, str):
            return self._checked("", _unreached(answer) or "kind", answer, *self._diagnosis(answer))
        version = version[:80]
        answer = self._wire.call("PUT", _nothing(self.dialect), b"")
        if answer.status == 401:
            return self._checked(
                version,
                "key",
                answer,
                "does not accept the API key.",
                f"Compare the key with the server's {self.dialect.key_flag} flag, and the user with "
                f"`{self.dialect.user}`.",
            )
        if not isinstance((answer.said or {}).get("command_error"), str):
            hop = _unreached(answer) or ("kind" if answer.status == 404 else "enqueue")
            return self._checked(version, hop, answer, *self._diagnosis(answer))
        return ServerCheck(
            server=self.name,
            ok=True,
            version=version,
            message=f"{self.name} answers and takes our key.",
            server_at=answer.server_at,
        )

    # --- what is wrong with an address ---

    def _checked(self, version: str, hop: str, answer: Answer, message: str, remedy: str) -> ServerCheck:
        return ServerCheck(
            server=self.name,
            ok=False,
            version=version,
            message=f"{self.name} {message}",
            remedy=remedy,
            hop=hop,
            server_at=answer.server_at,
        )

    def _diagnosis(self, answer: Answer) -> tuple[str, str]:
        """What an answer that is not such a server's means, and the remedy."""
        at = f"at {self._wire.url}"
        if not answer.status:
            if "certificate" in answer.trouble:
                authority = "Install the authority's certificate, or name it in REQUESTS_CA_BUNDLE."
                return f"{at}: {answer.trouble}.", authority
            return f"{at} does not answer: {answer.trouble}.", _DOWN
        if answer.status in _BEHIND:
            return f"{at} is down behind its proxy (HTTP status {answer.status}).", _DOWN
        own = self.dialect.name
        if answer.status == 404 and (other := self._other_kind()):
            return f"{at} is a {other.name}, no {own}.", f'Write kind = "{other.kind}" for it in the settings.'
        what = answer.trouble or f"JSON that is not {own}'s, with HTTP status {answer.status}"
        if answer.status in REFUSALS:
            what = f"HTTP status {answer.status}: {REFUSALS[answer.status]}"
        return (
            f"{at} is no {own}: it answers {what}.",
            f"Correct the server's url in the settings: scheme, host and port of {own} itself, "
            f"and any path before {self.dialect.enqueue}.",
        )

    def _other_kind(self) -> Dialect | None:
        """Whose API there is at this address: it asks for a key, and is not given one."""
        others = (dialect for dialect in _DIALECTS if dialect != self.dialect)
        return next((one for one in others if self._wire.call("PUT", _nothing(one), signed=False).status == 401), None)


_DOWN = "Start the server, or correct its url in the settings; see that nothing between here and it blocks the way."


_BEHIND = (502, 503, 504)  # a proxy's word that there is nobody behind it


def _unreached(answer: Answer) -> str:
    return "address" if not answer.status or answer.status in _BEHIND else ""


def _nothing(dialect: Dialect) -> str:
    """A call that queues nothing and wakes nobody."""
    return f"{dialect.enqueue}check?nopush=1"


# --- what an answer proves ---


def _judged(answer: Answer, body: bytes, ids: Sequence[str]) -> EnqueueAnswer:
    said = answer.said
    if said is None or not _is_ours(said, body):
        if answer.status in REFUSALS and not answer.untaken:
            return _refused({}, {}, ids, answer.trouble, separable=answer.status in TOO_MANY_IDS)
        return EnqueueAnswer(
            outcomes=dict.fromkeys(ids, Outcome.UNTAKEN if answer.untaken else Outcome.UNKNOWN),
            reasons=dict.fromkeys(ids, answer.trouble or _FOREIGN),
        )
    error = said.get("command_error")
    if isinstance(error, str) and not _was_queued_before(error):
        return _refused({}, {}, ids, in_short(error), separable="foreign key constraint" in error.lower())
    pushed, reasons = _woken(said, ids)
    outcomes = dict.fromkeys(ids, Outcome.QUEUED)
    for one, error in _errors(said, "command_error", ids):
        if not _was_queued_before(error):
            outcomes[one], reasons[one] = Outcome.REFUSED, in_short(error)
    return EnqueueAnswer(outcomes=outcomes, reasons=reasons, pushed=pushed)


def _is_ours(said: Mapping[str, Any], body: bytes) -> bool:
    """Is it the server's answer to this very command? A proxy's JSON, or an answer to another call, proves nothing."""
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
        reasons = dict.fromkeys((one for one in ids if one not in pushed), in_short(whole))
    reasons |= {one: in_short(error) for one, error in _errors(said, "push_error", ids)}
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


def in_short(text: str) -> str:
    """A server's words, short and on one line."""
    return " ".join(text.split())[:300]


# --- ids ---


def sorted_out(ids: Sequence[str]) -> tuple[list[str], dict[str, str]]:
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


def listed(ids: Sequence[str]) -> str:
    """Ids as they stand in an address."""
    return quote(",".join(ids), safe=",:")
