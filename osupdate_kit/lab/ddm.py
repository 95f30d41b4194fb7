"""A local server of declarations with KMFDDM 0.8.3's API, as it stands alone or within NanoHUB 0.2; no sockets.

What it answers was measured on the real ones. Of their quirks it has those that a caller meets: null for empty lists, a
comma list taken for one id, 500 where others say 404, tokens that change with the white space. It reads and writes its
JSON by itself.
"""

import hmac
import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from random import Random
from threading import RLock
from typing import Any
from urllib.parse import unquote

from osupdate_kit.lab.clock import SECOND, LabClock
from osupdate_kit.lab.truth import TruthLog, What


@dataclass(frozen=True, slots=True, kw_only=True)
class DDMAPI:
    """In what the two differ: where they stand, and whom they let in."""

    root: str
    preview: str  # where they show what a device would be given
    user: str
    realm: str
    preview_needs_key: bool


KMFDDM = DDMAPI(root="/v1/", preview="/", user="kmfddm", realm="kmfddm", preview_needs_key=False)
NANOHUB_DDM = DDMAPI(
    root="/api/v1/ddm/", preview="/api/v1/ddm/", user="nanohub", realm="NanoHUB API", preview_needs_key=True
)

Notify = Callable[[list[str]], str]
"""notify(ids) → the error of waking them; empty: none."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, body, and headers beyond those that every answer has."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Stored:
    type: str
    payload: bytes  # as it was sent
    token: str
    raw: bytes

    @property
    def manifest(self) -> str:
        """activation, configuration, asset or management; whatever else stands there is never handed out."""
        return self.type.removeprefix("com.apple.").partition(".")[0] if self.type.startswith("com.apple.") else ""


@dataclass(frozen=True, slots=True)
class _Report:
    at: int
    report_id: str
    raw: bytes


_KINDS = {"Activations": "activation", "Assets": "asset", "Configurations": "configuration", "Management": "management"}


class LabDDM:
    """`handle` takes calls of the API, `device` a device's check-ins, as the MDM server before it passes them on."""

    def __init__(
        self,
        clock: LabClock,
        api_key: str,
        *,
        api: DDMAPI = KMFDDM,
        notify: Notify = lambda ids: "",
        truth: TruthLog | None = None,
        seed: int = 0,
    ) -> None:
        self.api, self.notify = api, notify
        self._clock, self._truth, self._random = clock, TruthLog() if truth is None else truth, Random(seed)
        self._authorization = b"Basic " + b64encode(f"{api.user}:{api_key}".encode())
        self._declarations: dict[str, _Stored] = {}
        self._sets: dict[str, dict[str, None]] = {}
        self._assigned: dict[str, dict[str, None]] = {}
        self._reports: dict[str, list[_Report]] = {}
        self._status: dict[str, tuple[int, str, list[dict[str, Any]]]] = {}
        self._lock = RLock()

    # --- the API ------------------------------------------------------------------------------------------------------

    def stands_at(self, path: str) -> bool:
        """Is it a call for this API?"""
        return path.startswith(self.api.root) or path == f"{self.api.preview}declaration-items"

    def handle(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes = b""
    ) -> Reply:
        """One HTTP call. path: percent-encoded; header names in any case."""
        named = {name.lower(): value for name, value in headers.items()}
        with self._lock:
            preview = path == f"{self.api.preview}declaration-items"
            authorised = hmac.compare_digest(named.get("authorization", "").encode(), self._authorization)
            if not authorised and (not preview or self.api.preview_needs_key):
                challenge = {"WWW-Authenticate": f'Basic realm="{self.api.realm}"'}
                return Reply(401, b"Unauthorized\n", "text/plain; charset=utf-8", challenge)
            if preview:
                status, answer = self.device("declaration-items", named.get("x-enrollment-id", ""), b"")
                return Reply(status, answer)
            noun, _, rest = path.removeprefix(self.api.root).partition("/")
            act = self._routes().get((method, noun, bool(rest)))
            if act is None or "/" in rest:
                return Reply(404, b"404 page not found\n", "text/plain; charset=utf-8")
            return act(unquote(rest), query, body)

    def _routes(self) -> "Mapping[tuple[str, str, bool], Callable[[str, Mapping[str, str], bytes], Reply]]":
        return {
            ("GET", "declarations", False): lambda name, query, body: _json(list(self._declarations) or None),
            ("PUT", "declarations", False): self._put,
            ("GET", "declarations", True): self._get,
            ("DELETE", "declarations", True): self._delete,
            ("GET", "sets", False): lambda name, query, body: _json(list(self._sets) or None),
            ("GET", "set-declarations", True): lambda name, query, body: _json(list(self._sets.get(name, ())) or None),
            ("PUT", "set-declarations", True): self._fill,
            ("DELETE", "set-declarations", True): self._empty,
            ("GET", "declaration-sets", True): lambda name, query, body: _json(self._holding(name) or None),
            ("GET", "enrollment-sets", True): lambda name, query, body: _json(
                list(self._assigned.get(name, ())) or None
            ),
            ("PUT", "enrollment-sets", True): self._assign,
            ("DELETE", "enrollment-sets", True): self._withdraw,
            ("GET", "declaration-status", True): self._declaration_status,
            ("GET", "status-report", True): self._report,
            ("POST", "notify", False): self._notify,
        }

    def _put(self, name: str, query: Mapping[str, str], body: bytes) -> Reply:
        try:
            fields = json.loads(body)
        except ValueError as error:
            return _error(400, str(error))
        if not isinstance(fields, dict) or not all(fields.get(key) for key in ("Type", "Identifier", "Payload")):
            return _error(400, "invalid declaration")
        identifier, payload = str(fields["Identifier"]), body[body.find(b'"Payload"') :]
        before = self._declarations.get(identifier)
        if before and (before.payload, before.type) == (payload, fields["Type"]):
            return Reply(304)
        self._store(identifier, str(fields["Type"]), payload, fields["Payload"])
        self._wake(query, self._having(self._holding(identifier)))
        return Reply(204)

    def _store(self, identifier: str, kind: str, payload: bytes, value: object) -> None:
        salt = self._random.getrandbits(32).to_bytes(4, "big")
        token = sha256(payload + salt).hexdigest()[:16]
        fields = {"Identifier": identifier, "Type": kind, "Payload": value, "ServerToken": token}
        self._declarations[identifier] = _Stored(kind, payload, token, json.dumps(fields, indent="\t").encode())

    def _get(self, name: str, query: Mapping[str, str], body: bytes) -> Reply:
        found = self._declarations.get(name)
        return Reply(200, found.raw) if found else _error(404, f"declaration not found: key not found: dcl.{name}")

    def _delete(self, name: str, query: Mapping[str, str], body: bytes) -> Reply:
        if holding := self._holding(name):
            return _error(500, f"txn rolled back: declaration is referenced by {len(holding)} sets")
        return Reply(204 if self._declarations.pop(name, None) else 304)

    def _fill(self, name: str, query: Mapping[str, str], body: bytes) -> Reply:
        identifier = query.get("declaration", "")
        if identifier not in self._declarations:
            return _error(500, "declaration not found" if identifier else "empty declaration")
        mine = self._sets.setdefault(name, {})
        if identifier in mine:
            return Reply(304)
        mine[identifier] = None
        return self._woken(query, self._having([name]))

    def _empty(self, name: str, query: Mapping[str, str], body: bytes) -> Reply:
        mine = self._sets.get(name, {})
        if query.get("declaration", "") not in mine:
            return Reply(304)
        del mine[query["declaration"]]
        if not mine:
            del self._sets[name]
        return self._woken(query, self._having([name]))

    def _assign(self, udid: str, query: Mapping[str, str], body: bytes) -> Reply:
        if not query.get("set"):
            return _error(500, "empty set name")
        mine = self._assigned.setdefault(udid, {})
        if query["set"] in mine:
            return Reply(304)
        mine[query["set"]] = None
        self._truth.add(self._clock.now(), udid, What.ASSIGNED, detail=query["set"])
        return self._woken(query, [udid])

    def _withdraw(self, udid: str, query: Mapping[str, str], body: bytes) -> Reply:
        if not query.get("set"):
            return _error(500, "empty set name")
        mine = self._assigned.get(udid, {})
        if query["set"] not in mine:
            return Reply(304)
        del mine[query["set"]]
        self._truth.add(self._clock.now(), udid, What.UNASSIGNED, detail=query["set"])
        return self._woken(query, [udid])

    def _declaration_status(self, name: str, query: Mapping[str, str], body: bytes) -> Reply:
        found = {}
        for udid in name.split(","):
            if udid in self._status:
                at, report_id, rows = self._status[udid]
                given = {stored.token for _, stored in self._given(udid)}
                found[udid] = [
                    row
                    | {"current": row.get("server-token") in given, "status_received": _instant(at)}
                    | {"status_id": report_id}
                    for row in rows
                ]
        return _json(found)

    def _report(self, name: str, query: Mapping[str, str], body: bytes) -> Reply:
        if "index" not in query:
            return _error(500, "empty index")
        try:
            index = int(query["index"])
        except ValueError as error:
            return _error(400, str(error))
        reports = self._reports.get(name)
        if not reports:
            return _error(500, f"getting rs.{name}.0.raw: key not found: rs.{name}.0.raw")
        if index < 0 or index >= len(reports):
            return _error(500, f"index out of range: too {'low' if index < 0 else 'high'} ({index})")
        number = len(reports) - 1 - index
        report = reports[number]
        headers = {
            "Last-Modified": f"{_date(report.at):%a, %d %b %Y %H:%M:%S} GMT",
            "X-Status-Report-Index": str(number),
        }
        return Reply(200, report.raw, headers=headers | {"X-Status-Report-ID": report.report_id})

    def _notify(self, name: str, query: Mapping[str, str], body: bytes) -> Reply:
        ids = [query["id"]] if query.get("id") else []
        return self._woken({}, ids + self._having([query["set"]] if query.get("set") else []))

    def _woken(self, query: Mapping[str, str], ids: list[str]) -> Reply:
        """The change is made, whether or not anybody can be woken."""
        error = self._wake(query, ids)
        return _error(500, f"notify enrollment: enqueueing DM command: {error}") if error else Reply(204)

    def _wake(self, query: Mapping[str, str], ids: list[str]) -> str:
        quiet = query.get("nonotify", "").lower() not in ("", "0", "false", "no", "off")
        return self.notify(ids) if ids and not quiet else ""

    def _holding(self, identifier: str) -> list[str]:
        """The sets that hold a declaration."""
        return [name for name, mine in self._sets.items() if identifier in mine]

    def _having(self, sets: Iterable[str]) -> list[str]:
        """The devices that have one of these sets."""
        wanted = set(sets)
        return [udid for udid, mine in self._assigned.items() if wanted & mine.keys()]

    # --- devices ------------------------------------------------------------------------------------------------------

    def device(self, endpoint: str, udid: str, data: bytes) -> tuple[int, bytes]:
        """A DeclarativeManagement check-in: HTTP status and answer."""
        with self._lock:
            if not udid:
                return 400, b"Bad Request\n"
            if endpoint == "status":
                return self._take_report(udid, data)
            given = self._given(udid)
            token = sha256("".join(stored.token for _, stored in given).encode()).hexdigest()[:16]
            if endpoint == "tokens":
                stamp = f"{_date(self._server_now()):%Y-%m-%dT%H:%M:%SZ}"
                return 200, _text({"SyncTokens": {"DeclarationsToken": token, "Timestamp": stamp}})
            if endpoint == "declaration-items":
                rows = {
                    name: [
                        {"Identifier": identifier, "ServerToken": stored.token}
                        for identifier, stored in given
                        if stored.manifest == kind
                    ]
                    for name, kind in _KINDS.items()
                }
                return 200, _text({"Declarations": rows, "DeclarationsToken": token})
            _, _, rest = endpoint.partition("/")
            kind, _, identifier = rest.partition("/")
            for found, stored in given:
                if (stored.manifest, found) == (kind, identifier):
                    return 200, stored.raw
            return 404, b"Not Found\n"

    def _take_report(self, udid: str, data: bytes) -> tuple[int, bytes]:
        try:
            fields = json.loads(data)
            told = fields.get("StatusItems", {}).get("management", {}).get("declarations", {})
            rows = [{**row, "ManifestType": kind} for kind, found in told.items() for row in found]
        except (ValueError, AttributeError, TypeError):
            return 500, b"Internal Server Error\n"
        at, report_id = self._server_now(), f"{self._random.getrandbits(64):016x}"
        self._reports.setdefault(udid, []).append(_Report(at, report_id, data))
        if rows:
            self._status[udid] = (at, report_id, rows)
        return 200, b""

    def _given(self, udid: str) -> list[tuple[str, _Stored]]:
        """What the device is given, each declaration once."""
        names = [identifier for name in self._assigned.get(udid, ()) for identifier in self._sets.get(name, ())]
        return [(identifier, self._declarations[identifier]) for identifier in dict.fromkeys(names)]

    def _server_now(self) -> int:
        return self._clock.to_server(self._clock.now())


def _json(value: object) -> Reply:
    return Reply(200, json.dumps(value).encode() + b"\n")


def _text(value: object) -> bytes:
    return json.dumps(value).encode()


def _error(status: int, words: str) -> Reply:
    return Reply(status, json.dumps({"error": words}).encode() + b"\n")


def _date(at: int) -> datetime:
    return datetime.fromtimestamp(at // SECOND, UTC)


def _instant(at: int) -> str:
    return f"{_date(at):%Y-%m-%dT%H:%M:%S}.{at % SECOND:06d}Z"
