"""A local MDM server with NanoMDM 0.9.0's API, queue and webhook, quirks included; no sockets, no threads of its own.

It can stand at NanoHUB's addresses instead. What it answers was measured on the real servers, with in-memory and with
PostgreSQL storage; the contract tests hold both to the same table. It stamps by the lab's clock. Webhook calls wait
here until the world delivers them.
"""

import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from hashlib import sha256
from heapq import heappop, heappush
from random import Random
from threading import RLock
from typing import Any, Literal, Protocol
from urllib.parse import unquote
from uuid import UUID

from osupdate_kit.lab.clock import MINUTE, SECOND, LabClock
from osupdate_kit.lab.ddm import NANOHUB_DDM, LabDDM
from osupdate_kit.lab.plists import read_plist, write_plist
from osupdate_kit.lab.truth import TruthLog, What, command_words
from osupdate_kit.protocol.terms import CommandStatus

CHECKIN_TYPE = "application/x-apple-aspen-mdm-checkin"
COMMAND_TYPE = "application/x-apple-aspen-mdm"
IDENTITY_HEADER = "X-Client-Cert"
HMAC_HEADER = "X-Hmac-Signature"
SIMULATED = "simulated"  # stands in the version that it tells, which is the one difference from the real server


@dataclass(frozen=True, slots=True, kw_only=True)
class API:
    """In what the kinds of servers with NanoMDM's API differ: its addresses, and small things."""

    root: str
    user: str
    realm: str
    numbers_events: bool


NANOMDM = API(root="/v1/", user="nanomdm", realm="nanomdm", numbers_events=True)
NANOHUB = API(root="/api/v1/nanomdm/", user="nanohub", realm="NanoHUB API", numbers_events=False)

Webhook = Callable[[bytes, Mapping[str, str]], int]
"""webhook(body, headers) → HTTP status; 0 if nobody answered. One try, whatever the status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookFaults:
    """Shares (0–1) of the events that fare so. Doubles come from proxies before a receiver, not from this server."""

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    late_minutes: tuple[float, float] = (2, 90)
    reorder: float = 0.03


class StorageError(Exception):
    """What the storage says to an enqueue or a report; the server passes the words on."""


class Queue(Protocol):
    """The commands of all enrolments, as one kind of storage keeps them."""

    def enqueue(self, ids: list[str], uuid: str, body: bytes) -> None:
        """Queue for each id. Raises StorageError."""

    def report(self, udid: str, uuid: str, status: str) -> None:
        """Take a device's word on a command. Raises StorageError."""

    def next(self, udid: str, *, skip_not_now: bool) -> bytes:
        """The command to hand out, b"" if none."""

    def clear(self, udid: str) -> None:
        """Drop what is open."""

    def open_uuids(self, udid: str) -> list[str]:
        """What would still be handed out, oldest first."""


@dataclass(slots=True)
class _Links:
    """One enrolment's queue on key-value storage: a linked list without transactions, with all that follows."""

    first: str = ""
    last: str = ""
    after: dict[str, str] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)

    def append(self, uuid: str) -> None:
        if not self.last:
            self.first = self.last = uuid
            return
        self.after[self.last] = uuid
        self.before[uuid] = self.last
        self.last = uuid

    def unlink(self, uuid: str) -> None:
        before, after = self.before.get(uuid, ""), self.after.get(uuid, "")
        if not before and not after:  # taken for the only one, also if it is not in the list at all: the list is lost
            self.first = self.last = ""
        elif not before:
            self.first = after
            self.before.pop(after, None)
        elif not after:
            self.last = before
        else:
            self.after[before] = after
            self.before[after] = before
        self.before.pop(uuid, None)
        self.after.pop(uuid, None)


class KVQueue:
    """In-memory and file key-value storage: knows no enrolments, remembers every UUID for ever."""

    def __init__(self) -> None:
        self._bodies: dict[str, bytes] = {}
        self._lists: dict[str, _Links] = {}

    def enqueue(self, ids: list[str], uuid: str, body: bytes) -> None:
        if uuid in self._bodies:
            raise StorageError(f"command already exists: {uuid}")
        self._bodies[uuid] = body
        for udid in ids:
            self._lists.setdefault(udid, _Links()).append(uuid)

    def report(self, udid: str, uuid: str, status: str) -> None:
        if not uuid:
            raise StorageError("empty command UUID")
        links = self._lists.setdefault(udid, _Links())
        links.status[uuid] = status
        if status != "NotNow":
            links.unlink(uuid)

    def next(self, udid: str, *, skip_not_now: bool) -> bytes:
        links = self._lists.get(udid)
        uuid = links.first if links else ""
        while links and uuid:
            if not (skip_not_now and links.status.get(uuid) == "NotNow"):
                return self._bodies[uuid]
            uuid = links.after.get(uuid, "")
        return b""

    def clear(self, udid: str) -> None:
        self._lists.pop(udid, None)

    def open_uuids(self, udid: str) -> list[str]:
        links, found = self._lists.get(udid), []
        uuid = links.first if links else ""
        while links and uuid and uuid not in found:
            found.append(uuid)
            uuid = links.after.get(uuid, "")
        return found


@dataclass(slots=True)
class _Row:
    active: bool = True
    status: str = ""


class PgQueue:
    """PostgreSQL storage: foreign keys, one transaction a call; with `delete`, answered commands are forgotten."""

    def __init__(self, enrolled: Callable[[str], bool], *, delete: bool = False) -> None:
        self._enrolled, self._delete = enrolled, delete
        self._bodies: dict[str, bytes] = {}
        self._rows: dict[str, dict[str, _Row]] = {}
        self._uses: dict[str, int] = {}  # queue rows of a command; kept for `delete`

    def enqueue(self, ids: list[str], uuid: str, body: bytes) -> None:
        try:
            body.decode("utf-8")
            if b"\0" in body:
                raise StorageError('pq: invalid byte sequence for encoding "UTF8": 0x00')
        except UnicodeDecodeError as error:
            length = 4 if body[error.start] >= 0xF0 else 3 if body[error.start] >= 0xE0 else 2
            bad = body[error.start : error.start + length] if body[error.start] >= 0xC0 else body[error.start :][:1]
            words = " ".join(f"0x{byte:02x}" for byte in bad)
            raise StorageError(f'pq: invalid byte sequence for encoding "UTF8": {words}') from error
        if uuid in self._bodies:
            raise StorageError('pq: duplicate key value violates unique constraint "commands_pkey"')
        if len(set(ids)) < len(ids):
            raise StorageError('pq: duplicate key value violates unique constraint "enrollment_queue_pkey"')
        if not all(map(self._enrolled, ids)):
            raise StorageError(_FOREIGN_KEY.format("enrollment_queue", "enrollment_queue_id_fkey"))
        self._bodies[uuid] = body
        self._uses[uuid] = len(ids)
        for udid in ids:
            self._rows.setdefault(udid, {})[uuid] = _Row()

    def report(self, udid: str, uuid: str, status: str) -> None:
        rows = self._rows.setdefault(udid, {})
        if self._delete and status != "NotNow":
            if rows.pop(uuid, None):
                self._uses[uuid] -= 1
                if not self._uses[uuid]:
                    del self._bodies[uuid], self._uses[uuid]
            return
        if status not in _STATUSES:
            raise StorageError('pq: new row for relation "command_results" violates check constraint')
        if uuid not in self._bodies:
            raise StorageError(_FOREIGN_KEY.format("command_results", "command_results_command_uuid_fkey"))
        if uuid in rows:
            rows[uuid].status = status

    def next(self, udid: str, *, skip_not_now: bool) -> bytes:
        for uuid, row in self._rows.get(udid, {}).items():
            if row.active and (not row.status or (row.status == "NotNow" and not skip_not_now)):
                return self._bodies[uuid]
        return b""

    def clear(self, udid: str) -> None:
        for row in self._rows.get(udid, {}).values():
            row.active &= row.status not in ("", "NotNow")

    def open_uuids(self, udid: str) -> list[str]:
        rows = self._rows.get(udid, {})
        return [uuid for uuid, row in rows.items() if row.active and row.status in ("", "NotNow")]


_STATUSES = {status.value for status in CommandStatus}
_REFUSALS = {400: b"Bad Request\n", 500: b"Internal Server Error\n"}
_FOREIGN_KEY = 'pq: insert or update on table "{}" violates foreign key constraint "{}"'


@dataclass(slots=True)
class _Enrolment:
    identities: set[str]
    topic: str = ""
    tokens: int = 0  # the tally since the last Authenticate
    pushable: bool = False
    known: bool = False  # has a row among the enrolments: from its first TokenUpdate on


class LabServer:
    """`handle` takes every call, from the kit and from devices; `deliver` sends the webhook calls that are due.

    declarations: who takes its devices' declarations; a NanoHUB does so itself, at addresses of its own. push: called
    with each id that the server wakes. push_certificate=False: pushes fail, commands are queued all the
    same. webhook_key: none for a server that does not sign, as no NanoHUB does. Thread-safe.
    """

    def __init__(
        self,
        clock: LabClock,
        api_key: str,
        *,
        api: API = NANOMDM,
        storage: Literal["kv", "pgsql"] = "kv",
        delete: bool = False,
        webhook: Webhook | None = None,
        webhook_key: str = "",
        seed: int = 0,
        faults: WebhookFaults | None = None,
        push_certificate: bool = True,
        truth: TruthLog | None = None,
        declarations: LabDDM | None = None,
    ) -> None:
        self.clock, self.webhook = clock, webhook
        self.truth = TruthLog() if truth is None else truth
        self.faults, self.push_certificate = faults or WebhookFaults(), push_certificate
        self.push: Callable[[str], None] = lambda udid: None
        self.acknowledged: list[str] = []  # event ids that the receiver answered with 200
        self._api, self._authorization = api, basic_authorization(api_key, api.user).encode()
        self._webhook_key = webhook_key.encode()
        self._pgsql = storage == "pgsql"
        self._enrolments: dict[str, _Enrolment] = {}
        self._owners: dict[str, str] = {}  # certificate → the id that enrolled with it
        self._queue: Queue = PgQueue(self._is_known, delete=delete) if self._pgsql else KVQueue()
        self._random = Random(seed)
        self._deliveries: list[tuple[int, int, str, bytes]] = []
        self._events = 0
        self._stamped_at = 0
        self._lock = RLock()
        self.declarations = declarations
        if api is NANOHUB and declarations is None:
            self.declarations = LabDDM(clock, api_key, api=NANOHUB_DDM, truth=self.truth, seed=seed)
        if self.declarations is not None:
            self.declarations.notify = self._notify

    def handle(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes = b""
    ) -> Response:
        """One HTTP call. path: without the query, percent-encoded or not; header names in any case."""
        named = {name.lower(): value for name, value in headers.items()}
        with self._lock:
            if path == "/version":
                return self._json(200, {"version": f"v0.9.0, {SIMULATED}"})
            if path == "/mdm":
                checkin = named.get("content-type", "").startswith(CHECKIN_TYPE)
                status, answer = self.mdm(
                    "checkin" if checkin else "connect", body, named.get(IDENTITY_HEADER.lower(), "")
                )
                return self._response(status, answer or _REFUSALS.get(status, b""), "text/plain; charset=utf-8")
            declarations = self.declarations
            if self._api is NANOHUB and declarations is not None and declarations.stands_at(path):
                return self._declared(method, path, query, headers, body)
            for verb, act in (("enqueue/", self._enqueue), ("push/", self._push)):
                if path.startswith(prefix := self._api.root + verb):
                    if not self._authorised(named.get("authorization", "")):
                        return self._response(401, b"Unauthorized\n", "text/plain; charset=utf-8")
                    ids = unquote(path[len(prefix) :])
                    return act(ids.split(",") if ids else [], body, nopush=bool(query.get("nopush")))
            return self._response(404, b"404 page not found\n", "text/plain; charset=utf-8")

    def handle_declarations(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes = b""
    ) -> Response:
        """One HTTP call to the server of declarations that stands beside this one, at an address of its own."""
        with self._lock:
            if path == "/version":
                return self._json(200, {"version": f"v0.8.3, {SIMULATED}"})
            return self._declared(method, path, query, headers, body)

    def open_uuids(self, udid: str) -> list[str]:
        """Commands that this device would still be handed, oldest first; no such call exists in the API."""
        with self._lock:
            return self._queue.open_uuids(udid)

    # --- The API ------------------------------------------------------------------------------------------------------

    def _declared(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Response:
        assert self.declarations is not None
        reply = self.declarations.handle(method, path, query, headers, body)
        response = self._response(reply.status, reply.body, reply.content_type)
        return Response(status=reply.status, headers={**response.headers, **reply.headers}, body=response.body)

    def _notify(self, ids: list[str]) -> str:
        """The server's own DeclarativeManagement, under a UUID that it tells nobody."""
        uuid = str(UUID(int=self._random.getrandbits(128), version=4)).upper()
        body = write_plist({"CommandUUID": uuid, "Command": {"RequestType": "DeclarativeManagement"}})
        try:
            self._queue.enqueue(ids, uuid, body)
        except StorageError as error:
            return str(error)
        now = self.clock.now()
        for udid in ids:
            self.truth.add(now, udid, What.QUEUED, uuid, "DeclarativeManagement")
        answer = self._pushed(ids, {})
        return "" if answer.status == 200 else "push error: no push certificate"

    def _authorised(self, header: str) -> bool:
        return hmac.compare_digest(header.encode(), self._authorization)

    def _enqueue(self, ids: list[str], body: bytes, *, nopush: bool) -> Response:
        if not ids:
            return self._json(500, {"command_error": "getting enrollment ids: empty path"})
        if not body and nopush:
            return self._json(500, {"no_push": True, "command_error": "must enqueue or push"})
        answer: dict[str, object] = {}
        if nopush:
            answer["no_push"] = True
        if body:
            try:
                command = _decoded(body)
            except ValueError as error:
                return self._json(500, {"command_error": f"decoding command: {error}"})
            told = {"command_uuid": command["CommandUUID"], "request_type": command["Command"]["RequestType"]}
            try:
                self._queue.enqueue(ids, command["CommandUUID"], body)
            except StorageError as error:
                return self._json(500, answer | {"command_error": str(error)} | told)
            words, now = command_words(command["Command"]), self.clock.now()
            for udid in ids:
                self.truth.add(now, udid, What.QUEUED, command["CommandUUID"], words)
            answer |= told
        if nopush:
            return self._json(200, answer)
        return self._pushed(ids, answer)

    def _push(self, ids: list[str], body: bytes, *, nopush: bool) -> Response:
        if not ids:
            return self._json(500, {"push_error": "getting enrollment ids: empty path"})
        return self._pushed(ids, {})

    def _pushed(self, ids: list[str], answer: dict[str, object]) -> Response:
        status: dict[str, dict[str, str]] = {}
        failed = 0
        for udid in dict.fromkeys(ids):
            enrolment = self._enrolments.get(udid)
            if enrolment is None or not enrolment.pushable:
                status[udid] = {"push_error": "push data missing for id"}
                failed += 1
            elif self.push_certificate:
                self.push(udid)
                status[udid] = {"push_result": f"{self._random.getrandbits(128):032X}"}
            else:
                missing = "sql: no rows in result set"
                if not self._pgsql:
                    missing = f"getting {enrolment.topic}.pem: key not found: {enrolment.topic}.pem"
                answer["push_error"] = f'retrieving push cert for topic "{enrolment.topic}": {missing}'
        if status:
            answer = {"status": status} | answer
        if "push_error" in answer or failed == len(ids):
            return self._json(500, answer)
        return self._json(207 if failed else 200, answer)

    def _json(self, status: int, value: Mapping[str, object]) -> Response:
        order = ("status", "no_push", "push_error", "command_error", "command_uuid", "request_type")
        value = {key: value[key] for key in (*order, "version") if key in value}
        return self._response(status, json.dumps(value, indent="\t").encode() + b"\n", "application/json")

    def _response(self, status: int, body: bytes, kind: str) -> Response:
        date = format_datetime(
            datetime.fromtimestamp(self.clock.to_server(self.clock.now()) // SECOND, UTC), usegmt=True
        )
        headers = {"Content-Type": kind, "Date": date, "Content-Length": str(len(body))}
        if status == 401:
            headers["WWW-Authenticate"] = f'Basic realm="{self._api.realm}"'
        return Response(status=status, headers=headers, body=body)

    # --- Devices ------------------------------------------------------------------------------------------------------

    def _is_known(self, udid: str) -> bool:
        enrolment = self._enrolments.get(udid)
        return enrolment is not None and enrolment.known

    def mdm(self, kind: str, body: bytes, identity: str = "") -> tuple[int, bytes]:
        """A device's "checkin" or "connect": HTTP status and answer. identity: the device's certificate, in any form.

        Without an event: 400 for what cannot be read, 500 for a device that never enrolled, or under another
        certificate than at its enrolment.
        """
        with self._lock:
            try:
                message = _read_message(body)
            except ValueError:
                return 400, b""
            udid = message.get("UDID") or message.get("EnrollmentID") or ""
            own = f"{udid}:{message['UserID']}" if message.get("UserID") else udid
            enrolment = self._enrolments.get(own)
            if kind == "checkin":
                return self._checkin(own, udid, message, body, identity)
            if enrolment is None or identity not in enrolment.identities:
                return 500, b""
            status, uuid = message.get("Status", ""), message.get("CommandUUID", "")
            answer, code = b"", 200
            try:
                if status != "Idle":
                    self._queue.report(own, uuid, status)
                answer = self._queue.next(own, skip_not_now=status == "NotNow")
            except StorageError:
                code = 500
            event = {"udid": udid, "status": status} | ({"command_uuid": uuid} if uuid else {})
            self._emit("mdm.Connect", "acknowledge_event", own, udid, event, body)
            return code, answer

    def _checkin(
        self, own: str, udid: str, message: Mapping[str, Any], body: bytes, identity: str
    ) -> tuple[int, bytes]:
        kind = message.get("MessageType", "")
        if kind not in ("Authenticate", "TokenUpdate", "CheckOut", "SetBootstrapToken", "DeclarativeManagement"):
            return 400, b""
        code, answer = 200, b""
        more: dict[str, object] = {}
        if kind == "Authenticate":
            if self._owners.setdefault(identity or own, own) != own:
                return 500, b""  # another device's certificate
            enrolment = self._enrolments.setdefault(own, _Enrolment(set()))
            enrolment.identities = {identity} | (enrolment.identities if self._pgsql else set())
            enrolment.tokens = 0
            self._queue.clear(own)
        elif identity not in (self._enrolments[udid].identities if udid in self._enrolments else ()):
            return 500, b""
        elif kind == "TokenUpdate":
            enrolment = self._enrolments.setdefault(own, _Enrolment({identity}))
            enrolment.tokens += 1
            enrolment.topic, enrolment.pushable, enrolment.known = message.get("Topic", ""), True, True
            more["token_update_tally"] = enrolment.tokens
        elif kind == "DeclarativeManagement":
            code, answer = 500, b""
            if self.declarations is not None:
                data = message.get("Data", b"")
                code, answer = self.declarations.device(str(message.get("Endpoint", "")), own, data)
        self._emit(f"mdm.{kind}", "checkin_event", own, udid, {"udid": udid} | more, body)
        return code, answer

    # --- The webhook --------------------------------------------------------------------------------------------------

    def _emit(self, topic: str, key: str, own: str, udid: str, words: Mapping[str, object], body: bytes) -> None:
        """Make an event; it leaves at a time of its own, perhaps never, perhaps after a later one."""
        if self.webhook is None:
            return
        ids = {"id": own, "type": "Device"} if own == udid else {"id": own, "parent_id": udid, "type": "User"}
        now, luck, faults = self.clock.now(), self._random, self.faults
        self._stamped_at = at = max(self.clock.to_server(now), self._stamped_at + 1)
        event_id = f"{luck.getrandbits(64):016x}"
        event = {
            key: {**words, "ids": ids, "raw_payload": b64encode(body).decode()},
            "created_at": f"{datetime.fromtimestamp(at // SECOND, UTC):%Y-%m-%dT%H:%M:%S}.{at % SECOND:06d}000Z",
            **({"event_id": event_id} if self._api.numbers_events else {}),
            "topic": topic,
        }
        if luck.random() < faults.lost:
            return
        payload = json.dumps(event, separators=(",", ":")).encode()
        for _ in range(2 if luck.random() < faults.doubled else 1):
            delay = luck.uniform(0.001, 0.02) * SECOND
            if luck.random() < faults.reorder:
                delay = luck.uniform(0.1, 5) * SECOND
            if luck.random() < faults.late:
                delay = luck.uniform(*faults.late_minutes) * MINUTE
            self._events += 1
            heappush(self._deliveries, (now + int(delay), self._events, event_id, payload))

    def next_at(self) -> int | None:
        """When the next webhook call is due."""
        with self._lock:
            return self._deliveries[0][0] if self._deliveries else None

    def deliver(self, now: int) -> int:
        """Make the webhook calls that are due, one try each; how many. Not under the lock: the receiver may call us."""
        count = 0
        while True:
            with self._lock:
                if not self._deliveries or self._deliveries[0][0] > now or self.webhook is None:
                    return count
                _, _, event_id, body = heappop(self._deliveries)
            headers = {"Content-Type": "application/json; charset=utf-8"}
            if self._webhook_key:
                headers[HMAC_HEADER] = b64encode(hmac.digest(self._webhook_key, body, sha256)).decode()
            count += 1
            if self.webhook(body, headers) == 200:
                self.acknowledged.append(event_id)


def _decoded(body: bytes) -> dict[str, Any]:
    """A command plist as the server reads it. Raises ValueError in the server's words."""
    try:
        command = read_plist(body)
    except ValueError as error:
        raise ValueError(f"parse error: plist: {error}") from error
    inner = command.get("Command")
    if not command.get("CommandUUID") or not isinstance(inner, dict) or not inner.get("RequestType"):
        raise ValueError("invalid command")
    return command


@lru_cache(maxsize=65536)
def _idle(body: bytes) -> dict[str, Any]:
    return read_plist(body)


def _read_message(body: bytes) -> dict[str, Any]:
    """A device's message. The short ones, Idle above all, come again and again, byte for byte."""
    return _idle(body) if len(body) < 400 else read_plist(body)


def basic_authorization(api_key: str, user: str = NANOMDM.user) -> str:
    """The header that the API asks for."""
    return "Basic " + b64encode(f"{user}:{api_key}".encode()).decode()


def signed_by(body: bytes, signature: str, key: str) -> bool:
    """Is this the webhook signature of the body?"""
    return hmac.compare_digest(b64decode(signature), hmac.digest(key.encode(), body, sha256))
