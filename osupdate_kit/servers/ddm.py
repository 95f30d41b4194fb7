"""KMFDDM 0.8, alone beside NanoMDM or within NanoHUB, as a DeclarationServer, each at its own addresses.

Knows what each answer proves, and what KMFDDM takes without a word and gets wrong: names with dots, lists of ids where
one is meant, several declarations in one call. Never notifies: overlapping notifications lose commands, so a device is
woken by DeclarativeManagement, queued as any other command. Leaves that, and retries, to the sender.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import requests
from msgspec.structs import replace

from osupdate_kit.errors import ProtocolError
from osupdate_kit.protocol.declarations import check_identifier, decode
from osupdate_kit.protocol.json_text import read_json
from osupdate_kit.protocol.status import declaration_status, read_status_fields
from osupdate_kit.rollout.ports import (
    Change,
    DeclarationOnDevice,
    DeclarationsOnDevices,
    EnqueueAnswer,
    Names,
    Outcome,
    ReceivedReport,
    ReportsAnswer,
    ServerCheck,
    StoredDeclaration,
)
from osupdate_kit.servers.events import kept_of_report
from osupdate_kit.servers.queue_api import in_short, listed, sorted_out
from osupdate_kit.servers.wire import REFUSALS, Reply, Wire, http_date, kind_of

_JSON = "application/json"
_STATUS_IDS = 200  # of one call for declaration statuses: file storage needs two milliseconds for each
_DONE = (204, 304)
_FOREIGN = "the answer is not the server's own"
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Where one kind of server offers the API, and whom it lets in."""

    name: str  # as people call it
    kind: str  # as the settings call it
    user: str
    key_flag: str  # the flag of its program that sets the key
    root: str  # of the API
    preview: str  # where it shows what a device would be given
    version: str = "/version"


KMFDDM = Dialect(name="KMFDDM", kind="kmfddm", user="kmfddm", key_flag="-api", root="/v1/", preview="/")
NANOHUB = Dialect(
    name="NanoHUB",
    kind="nanohub",
    user="nanohub",
    key_flag="-api-key",
    root="/api/v1/ddm/",  # the KMFDDM within, without its own /v1
    preview="/api/v1/ddm/",
)
DIALECTS: Mapping[str, Dialect] = {dialect.kind: dialect for dialect in (KMFDDM, NANOHUB)}


class Declarations:
    """One server of declarations; fulfils `DeclarationServer`. Thread-safe.

    user: empty for the dialect's own. connections: calls in flight at a time, for different devices. session: makes
    each connection's; None: over the network.
    """

    def __init__(
        self,
        name: str,
        dialect: Dialect,
        url: str,
        api_key: str,
        *,
        user: str = "",
        batch_ids: int = 200,
        connections: int = 4,
        timeout_seconds: float = 30,
        session: Callable[[], requests.Session] | None = None,
    ) -> None:
        self.name, self.dialect, self.batch_ids = name, dialect, batch_ids
        self._wires = [
            Wire(
                url,
                user or dialect.user,
                api_key,
                timeout_seconds=timeout_seconds,
                session=session() if session else None,
            )
            for _ in range(connections)
        ]

    def __repr__(self) -> str:
        return f"Declarations({self.name!r}, {self.dialect.name}, {self._wires[0].url!r})"

    # --- declarations ---

    def put(self, body: bytes) -> Change:
        """Store a declaration of the kit's."""
        try:
            check_identifier(decode(body)[0])
        except ProtocolError as error:
            return Change(outcome=Outcome.REFUSED, reason=in_short(str(error.args[0])))
        return _changed(self._call("PUT", "declarations?nonotify=1", body))

    def get(self, identifier: str) -> StoredDeclaration:
        """One declaration, whosever it is."""
        reply = self._call("GET", f"declarations/{quote(identifier, safe='')}")
        if reply.status == 404 and "not found" in _error(reply):
            return StoredDeclaration(identifier=identifier)
        said = _object(reply)
        if reply.status != 200 or said is None or said.get("Identifier") != identifier:
            return StoredDeclaration(identifier=identifier, trouble=_trouble(reply))
        return StoredDeclaration(
            identifier=identifier,
            type=_text(said, "Type"),
            server_token=_text(said, "ServerToken"),
            body=reply.body,
        )

    def delete(self, identifier: str) -> Change:
        """Take a declaration from the server; refused while a set holds it."""
        if refusal := _misnamed(identifier):
            return refusal
        return _changed(self._call("DELETE", f"declarations/{identifier}"))

    def declarations(self) -> Names:
        return self._names("declarations")

    # --- sets ---

    def fill(self, set_name: str, identifiers: Sequence[str]) -> Change:
        """Put declarations into a set, in this order; the first that is not taken ends it."""
        return self._in_set("PUT", set_name, identifiers)

    def empty(self, set_name: str, identifiers: Sequence[str]) -> Change:
        """Take declarations out of a set, in this order."""
        return self._in_set("DELETE", set_name, identifiers)

    def contents(self, set_name: str) -> Names:
        return self._names(f"set-declarations/{quote(set_name, safe='')}")

    def _in_set(self, method: str, set_name: str, identifiers: Sequence[str]) -> Change:
        if refusal := next(filter(None, map(_misnamed, (set_name, *identifiers))), None):
            return refusal
        made, server_at = False, 0
        for identifier in identifiers:
            answer = _changed(self._call(method, f"set-declarations/{set_name}?declaration={identifier}&nonotify=1"))
            made, server_at = made or answer.changed, answer.server_at or server_at
            if answer.outcome is not Outcome.QUEUED:
                reason = f"{identifier}: {answer.reason}"
                return Change(outcome=answer.outcome, changed=made, reason=reason, server_at=server_at)
        return Change(outcome=Outcome.QUEUED, changed=made, server_at=server_at)

    # --- devices ---

    def assign(self, set_name: str, ids: Sequence[str]) -> EnqueueAnswer:
        """Give the set to each device, by one call each."""
        return self._on_devices("PUT", set_name, ids)

    def withdraw(self, set_name: str, ids: Sequence[str]) -> EnqueueAnswer:
        """Take the set from each device, by one call each."""
        return self._on_devices("DELETE", set_name, ids)

    def sets_of(self, enrollment_id: str) -> Names:
        return self._names(f"enrollment-sets/{quote(enrollment_id, safe=':')}")

    def given(self, enrollment_id: str) -> Names:
        """The declarations that the device would be given now; with -shard, without what that adds."""
        reply = self._wires[0].fetch(
            "GET", f"{self.dialect.preview}declaration-items", headers={"X-Enrollment-ID": enrollment_id}
        )
        said = _object(reply)
        kinds = said.get("Declarations") if said and reply.status == 200 else None
        if not isinstance(kinds, dict):
            return Names(trouble=_trouble(reply))
        items = [item for kind in kinds.values() if isinstance(kind, list) for item in kind]
        return Names(names=frozenset(_text(item, "Identifier") for item in items if isinstance(item, dict)))

    def _on_devices(self, method: str, set_name: str, ids: Sequence[str]) -> EnqueueAnswer:
        good, reasons = _addressable(ids)
        if refusal := _misnamed(set_name):
            reasons |= dict.fromkeys(good, refusal.reason)
            good = []
        outcomes = dict.fromkeys(reasons, Outcome.REFUSED)
        query = urlencode({"set": set_name, "nonotify": 1})
        server_at = 0

        def change(wire: Wire, one: str) -> tuple[Change, str]:
            reply = self._fetch(wire, method, f"enrollment-sets/{quote(one, safe=':')}?{query}")
            return _changed(reply), _gone(reply)

        def untried(why: str) -> Change:
            return Change(outcome=Outcome.UNTAKEN, reason=why)

        for one, change_made in self._each(good, change, untried).items():
            outcomes[one] = change_made.outcome
            server_at = max(server_at, change_made.server_at)
            if change_made.reason:
                reasons[one] = change_made.reason
        return EnqueueAnswer(outcomes=outcomes, reasons=reasons, server_at=server_at)

    # --- what devices report ---

    def declaration_status(self, ids: Sequence[str]) -> DeclarationsOnDevices:
        """What each device last said of its declarations."""
        good, troubles = _addressable(ids)
        found: dict[str, tuple[DeclarationOnDevice, ...]] = {}
        for start in range(0, len(good), _STATUS_IDS):
            part = good[start : start + _STATUS_IDS]
            reply = self._call("GET", f"declaration-status/{listed(part)}")
            said = _object(reply)
            if reply.status != 200 or said is None:
                troubles |= dict.fromkeys(part, _trouble(reply))
                continue
            for one in part:
                if isinstance(rows := said.get(one), list):
                    found[one] = tuple(_on_device(rows))
        return DeclarationsOnDevices(of=found, troubles=troubles)

    def reports(self, since: Mapping[str, str], *, most: int = 20) -> Mapping[str, ReportsAnswer]:
        """The status reports of each device after its mark."""
        good, troubles = _addressable(list(since))
        found = {one: ReportsAnswer(mark=since[one], whole=False, trouble=why) for one, why in troubles.items()}
        found |= self._each(
            good,
            lambda wire, one: self._reports(wire, one, since[one], most),
            lambda why: ReportsAnswer(whole=False, trouble=why),
        )
        return {one: answer if answer.mark else replace(answer, mark=since[one]) for one, answer in found.items()}

    def _reports(self, wire: Wire, one: str, mark: str, most: int) -> tuple[ReportsAnswer, str]:
        """Walks from the newest back to the mark, to a full report, or to the first."""
        found: list[ReceivedReport] = []
        whole, trouble, gone = False, "", ""
        for index in range(2 * most):  # a report that comes in meanwhile moves all others by one
            reply = self._fetch(wire, "GET", f"status-report/{quote(one, safe=':')}?index={index}")
            if reply.status != 200 or not reply.body:
                whole = _no_more(reply)
                trouble, gone = ("", "") if whole else (_trouble(reply), _gone(reply))
                break
            this = _mark(reply)
            if this == mark:
                whole = True
                break
            if found and this == found[-1].report_id:
                continue
            if len(found) >= most:
                break
            found.append(received := _received(reply, this))
            if received.report is not None and received.report.full_report:
                whole = True
                break
        newest = found[0].report_id if found else mark
        return ReportsAnswer(reports=tuple(found[::-1]), mark=newest, whole=whole, trouble=trouble), gone

    # --- for people ---

    def check(self) -> ServerCheck:
        """Is this such a server, and does it take our key? Changes nothing."""
        wire, own = self._wires[0], self.dialect
        answer = wire.call("GET", own.version, signed=False)
        version = (answer.said or {}).get("version")
        if answer.status != 200 or not isinstance(version, str):
            at = f"at {wire.url} does not answer as {own.name} does: "
            said = answer.trouble or f"JSON with HTTP status {answer.status}"
            return self._checked("", at + f"{said}.", f"Correct the address of {own.name} in the settings; start it.")
        reply = self._call("GET", "sets")
        if reply.status == 401:
            return self._checked(
                version[:80],
                f"({own.name}) does not accept the API key.",
                f"Compare the key with its {own.key_flag} flag, and the user with `{own.user}`.",
            )
        if reply.status != 200 or _array(reply) is None:
            return self._checked(
                version[:80],
                f"at {wire.url} has no declarations at {own.root}: {_trouble(reply)}.",
                f"Correct the address of {own.name} in the settings: scheme, host and port, and any path "
                f"before {own.root}.",
            )
        return ServerCheck(
            server=self.name, ok=True, version=version[:80], message=f"{self.name} takes declarations and our key."
        )

    def _checked(self, version: str, message: str, remedy: str) -> ServerCheck:
        return ServerCheck(server=self.name, ok=False, version=version, message=f"{self.name} {message}", remedy=remedy)

    # --- the wire ---

    def _call(self, method: str, target: str, body: bytes | None = None) -> Reply:
        return self._fetch(self._wires[0], method, target, body)

    def _fetch(self, wire: Wire, method: str, target: str, body: bytes | None = None) -> Reply:
        return wire.fetch(method, self.dialect.root + target, body, content_type=_JSON)

    def _names(self, target: str) -> Names:
        reply = self._call("GET", target)
        found = _array(reply)
        if reply.status != 200 or found is None:
            return Names(trouble=_trouble(reply))
        return Names(names=frozenset(name for name in found if isinstance(name, str)))

    def _each(
        self, ids: Sequence[str], act: Callable[[Wire, str], tuple[Result, str]], untried: Callable[[str], Result]
    ) -> dict[str, Result]:
        """What `act` makes of each id, over all connections; and of the ids after the first that found nobody there.

        act: the result, and why no other call need be tried.
        """
        found: dict[str, Result] = {}
        waiting, lock, gone = iter(ids), Lock(), ""

        def work(wire: Wire) -> None:
            nonlocal gone
            while True:
                with lock:
                    one = next(waiting, None)
                    why = gone
                if one is None:
                    return
                result, ended = (untried(why), "") if why else act(wire, one)
                with lock:
                    found[one] = result
                    gone = gone or ended

        wires = self._wires[: max(1, min(len(self._wires), len(ids) // _WORTH_A_THREAD))]
        if len(wires) == 1:
            work(wires[0])
        else:
            with ThreadPoolExecutor(len(wires)) as pool:
                for done in [pool.submit(work, wire) for wire in wires]:
                    done.result()
        return found


_WORTH_A_THREAD = 4  # calls


# --- what an answer proves ---


def _changed(reply: Reply) -> Change:
    if reply.status in _DONE and not reply.broken:
        return Change(outcome=Outcome.QUEUED, changed=reply.status == 204, server_at=reply.server_at)
    error = _error(reply)
    if error.startswith("notify"):  # after the change was stored
        return Change(outcome=Outcome.QUEUED, changed=True, reason=error, server_at=reply.server_at)
    refused = bool(error) or (reply.status in REFUSALS and not reply.untaken)
    outcome = Outcome.REFUSED if refused else Outcome.UNTAKEN if reply.untaken else Outcome.UNKNOWN
    return Change(outcome=outcome, reason=_trouble(reply), server_at=reply.server_at)


def _gone(reply: Reply) -> str:
    """Why no other call need be tried now: nobody is there, or nobody lets us in."""
    return _trouble(reply) if not reply.status or reply.status in (401, 403, 407, 429, 502, 503, 504) else ""


def _error(reply: Reply) -> str:
    """KMFDDM's own words for a refusal; empty if these are not its words."""
    said = _object(reply) if reply.status >= 400 else None
    return in_short(_text(said, "error")) if said else ""


def _trouble(reply: Reply) -> str:
    if reply.status == 401:
        return REFUSALS[401]
    words = _error(reply) or reply.trouble
    if words:
        return words
    if reply.status == 200:
        return _FOREIGN
    return f"{kind_of(reply.body)} with HTTP status {reply.status}"


def _object(reply: Reply) -> Mapping[str, Any] | None:
    try:
        return read_json(reply.body, max_bytes=_MAX_BYTES)
    except ProtocolError:
        return None


def _array(reply: Reply) -> list[Any] | None:
    """A list; KMFDDM writes null, or nothing, for an empty one."""
    try:
        said = json.loads(reply.body or b"null")
    except (ValueError, RecursionError):
        return None
    return [] if said is None else said if isinstance(said, list) else None


_MAX_BYTES = 16 << 20


def _text(said: Mapping[str, Any], key: str) -> str:
    value = said.get(key)
    return value if isinstance(value, str) else ""


def _no_more(reply: Reply) -> bool:
    """Does the answer say that there is no such report, in the words of key-value and SQL storage?"""
    error = _error(reply)
    return any(words in error for words in ("index out of range: too high", "key not found", "no rows", "not found"))


def _mark(reply: Reply) -> str:
    """What names a report: its id, and where it has none, its number."""
    return (reply.headers.get("X-Status-Report-ID") or "#" + reply.headers.get("X-Status-Report-Index", ""))[:255]


def _received(reply: Reply, report_id: str) -> ReceivedReport:
    report, fields = None, {}
    try:
        fields = kept_of_report(read_json(reply.body))
        report = read_status_fields(fields)
    except ProtocolError:
        pass
    received_at = http_date(reply.headers.get("Last-Modified"))
    return ReceivedReport(report=report, fields=fields, received_at=received_at, report_id=report_id)


def _on_device(rows: list[Any]) -> Iterator[DeclarationOnDevice]:
    for row in rows:
        status = declaration_status(row) if isinstance(row, dict) else None
        if status is not None:
            yield DeclarationOnDevice(status, row.get("current") is True, _instant(_text(row, "status_received")))


def _instant(text: str) -> int:
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1_000_000) if text else 0
    except (ValueError, OverflowError):
        return 0


# --- names ---


def _misnamed(name: str) -> Change | None:
    try:
        check_identifier(name)
    except ProtocolError as error:
        return Change(outcome=Outcome.REFUSED, reason=in_short(str(error.args[0])))
    return None


def _addressable(ids: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Each id once, and those that no call may carry: a dot in one would be taken for the end of a key."""
    good, bad = sorted_out(ids)
    dotted = {one: "the enrollment ID holds a dot" for one in good if "." in one}
    return [one for one in good if one not in dotted], bad | dotted
