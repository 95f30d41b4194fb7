"""The servers under test, each as the lab's and as the real one, and a device that says what a test tells it to.

A further kind of server is one line in `KINDS`, and its subjects in `SUBJECTS`.
"""

import json
import plistlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from osupdate_kit.lab.clock import DAY, SECOND, VirtualClock
from osupdate_kit.lab.ddm import LabDDM
from osupdate_kit.lab.devices import TOPIC
from osupdate_kit.lab.http import Call, Loopback
from osupdate_kit.lab.plists import write_plist
from osupdate_kit.lab.real import HTTPClient
from osupdate_kit.lab.server import (
    API,
    CHECKIN_TYPE,
    COMMAND_TYPE,
    IDENTITY_HEADER,
    NANOHUB,
    NANOMDM,
    LabServer,
    Response,
    basic_authorization,
)
from osupdate_kit.lab.truth import TruthLog
from osupdate_kit.servers.nanohub import NanoHUB
from osupdate_kit.servers.nanomdm import NanoMDM
from osupdate_kit.servers.queue_api import QueueServer
from osupdate_kit.servers.transport import in_process_session
from tests.real import RealServer, nanohub, nanomdm, postgres

API_KEY = "lab-key"

Told = tuple[dict[str, Any], bytes, Mapping[str, str]]
"""A webhook call: event, body, headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of server: what is known of it in the lab, its adapter, and what it signs with."""

    api: API
    adapter: type[QueueServer]
    webhook_key: str = ""  # empty: it cannot sign


KINDS = {
    "nanomdm": Kind(api=NANOMDM, adapter=NanoMDM, webhook_key="webhook-key"),
    "nanohub": Kind(api=NANOHUB, adapter=NanoHUB),
}
_real = pytest.mark.real_server
SUBJECTS = [
    "lab nanomdm kv",
    "lab nanomdm pgsql",
    "lab nanohub kv",
    pytest.param("real nanomdm kv", marks=_real),
    pytest.param("real nanomdm pgsql", marks=_real),
    pytest.param("real nanohub kv", marks=_real),
]
FORGETFUL = ["lab nanomdm pgsql", pytest.param("real nanomdm pgsql", marks=_real)]


class Subject(ABC):
    """A server under test, without push certificate; its kind and `storage` decide what it must answer."""

    def __init__(self, kind: Kind, storage: str) -> None:
        self.kind, self.storage = kind, storage

    @abstractmethod
    def call(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Response: ...

    @abstractmethod
    def mdm(self, kind: str, body: bytes, identity: str) -> Response: ...

    @abstractmethod
    def events(self, udid: str, count: int) -> list[Told]:
        """Webhook calls about one enrolment, once there are so many, in the order of their stamps."""

    @abstractmethod
    def adapter(self, made: type[QueueServer] | None = None, *, api_key: str = API_KEY, path: str = "") -> QueueServer:
        """Our adapter to this server: its kind's own, or `made`."""

    def api(self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Response:
        """A call of the API, with our key; target: after the kind's own root."""
        return self.call(method, self.kind.api.root + target, body, headers)

    def authorization(self, api_key: str = API_KEY) -> dict[str, str]:
        return {"Authorization": basic_authorization(api_key, self.kind.api.user)}


class Sink:
    def __init__(self) -> None:
        self._calls: list[tuple[bytes, Mapping[str, str]]] = []
        self._came = threading.Condition()

    def take(self, body: bytes, headers: Mapping[str, str]) -> int:
        with self._came:
            self._calls.append((body, headers))
            self._came.notify_all()
        return 200

    def events(self, udid: str, count: int) -> list[Told]:
        def found() -> list[Told]:
            told = [(json.loads(body), body, headers) for body, headers in self._calls]
            return [one for one in told if part(one[0])["ids"]["id"] == udid]

        with self._came:
            assert self._came.wait_for(lambda: len(found()) >= count, 10), f"{len(found())} of {count} events of {udid}"
            return sorted(found(), key=lambda one: one[0]["created_at"])


class LabSubject(Subject):
    def __init__(
        self,
        kind: Kind,
        storage: str,
        *,
        delete: bool = False,
        declarations: Callable[[VirtualClock, TruthLog], LabDDM] | None = None,
    ) -> None:
        super().__init__(kind, storage)
        self._sink = Sink()
        self._clock = VirtualClock(1_795_000_000 * SECOND)
        truth = TruthLog()
        self.server = LabServer(
            self._clock,
            API_KEY,
            api=kind.api,
            storage="pgsql" if storage == "pgsql" else "kv",
            delete=delete,
            webhook=self._sink.take,
            webhook_key=kind.webhook_key,
            push_certificate=False,
            truth=truth,
            declarations=declarations(self._clock, truth) if declarations else None,
        )

    def call(self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Response:
        path, _, query = target.partition("?")
        named = dict(pair.split("=") for pair in query.split("&") if pair)
        return self.server.handle(method, path, named, self.authorization() if headers is None else headers, body)

    def mdm(self, kind: str, body: bytes, identity: str) -> Response:
        headers = {"Content-Type": CHECKIN_TYPE if kind == "checkin" else COMMAND_TYPE, IDENTITY_HEADER: identity}
        return self.server.handle("PUT", "/mdm", {}, headers, body)

    def events(self, udid: str, count: int) -> list[Told]:
        self._clock.advance_to(self._clock.now() + DAY)
        self.server.deliver(self._clock.now())
        return self._sink.events(udid, count)

    def adapter(self, made: type[QueueServer] | None = None, *, api_key: str = API_KEY, path: str = "") -> QueueServer:
        session = in_process_session(self.server.handle)
        return (made or self.kind.adapter)("school", f"http://lab{path}", api_key, session=session)


class RealSubject(Subject):
    def __init__(self, kind: Kind, storage: str, server: RealServer, sink: Sink) -> None:
        super().__init__(kind, storage)
        self.server, self._sink, self._client = server, sink, HTTPClient(server.url)

    def call(self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Response:
        return self._client.call(method, target, self.authorization() if headers is None else headers, body)

    def mdm(self, kind: str, body: bytes, identity: str) -> Response:
        headers = {"Content-Type": CHECKIN_TYPE if kind == "checkin" else COMMAND_TYPE}
        return self._client.call("PUT", "/mdm", headers | self.server.identities.headers(identity, body), body)

    def events(self, udid: str, count: int) -> list[Told]:
        return self._sink.events(udid, count)

    def adapter(self, made: type[QueueServer] | None = None, *, api_key: str = API_KEY, path: str = "") -> QueueServer:
        return (made or self.kind.adapter)("school", self.server.url + path, api_key)


def opened(name: str, stack: ExitStack, *, delete: bool = False) -> Subject:
    """The subject of that name, running until the stack closes."""
    where, kind_name, storage = name.split()
    kind = KINDS[kind_name]
    if where == "lab":
        return LabSubject(kind, storage, delete=delete)
    sink = Sink()

    def answer(call: Call) -> Response:
        return Response(status=sink.take(call.body, call.headers), headers={}, body=b"")

    webhook = stack.enter_context(Loopback(answer)).url + "/"
    server = real_server(kind_name, storage, stack, webhook_url=webhook, delete=delete)
    return RealSubject(kind, storage, server, sink)


def real_server(
    kind: str, storage: str, stack: ExitStack, *, webhook_url: str = "", delete: bool = False
) -> RealServer:
    """The real program, signing its webhook calls if it can, until the stack closes."""
    if kind == "nanohub":
        return stack.enter_context(nanohub(webhook_url=webhook_url, api_key=API_KEY))
    pgsql = storage == "pgsql"
    running = nanomdm(
        "pgsql" if pgsql else "inmem",
        dsn=stack.enter_context(postgres()).nanomdm_database() if pgsql else "unused",
        delete=delete,
        webhook_url=webhook_url,
        webhook_key=KINDS[kind].webhook_key,
        api_key=API_KEY,
    )
    return stack.enter_context(running)


class Device:
    """Says to the server what a test tells it to."""

    def __init__(self, subject: Subject, *, enrolled: bool = True) -> None:
        self.subject, self.udid = subject, str(uuid4()).upper()
        self.identity = self.udid
        if enrolled:
            assert self.authenticate().status == 200
            assert self.token_update().status == 200

    def authenticate(self) -> Response:
        return self.checkin({"MessageType": "Authenticate", "SerialNumber": self.udid[:12]})

    def token_update(self) -> Response:
        token = {"Token": self.udid.encode(), "PushMagic": f"magic-{self.udid}"}
        return self.checkin({"MessageType": "TokenUpdate", **token})

    def checkin(self, words: Mapping[str, object]) -> Response:
        body = write_plist({"UDID": self.udid, "Topic": TOPIC, **words})
        return self.subject.mdm("checkin", body, self.identity)

    def says(self, status: str, uuid: str = "") -> str:
        """Report; the UUID that is handed out, "" for none, "500" for a refusal."""
        words = {"UDID": self.udid, "Status": status} | ({"CommandUUID": uuid} if uuid else {})
        answer = self.subject.mdm("connect", write_plist(words), self.identity)
        if answer.status != 200:
            return str(answer.status)
        return str(plistlib.loads(answer.body)["CommandUUID"]) if answer.body else ""

    def given(self, *uuids: str) -> None:
        """Have these commands queued."""
        for uuid in uuids:
            assert queue(self.subject, [self.udid], uuid).status == 200


def command(uuid: str) -> bytes:
    return plistlib.dumps({"CommandUUID": uuid, "Command": {"RequestType": "OSUpdateStatus"}})


def queue(subject: Subject, ids: list[str], uuid: str, *, query: str = "?nopush=1") -> Response:
    return subject.api("PUT", f"enqueue/{','.join(ids)}{query}", command(uuid))


def fresh(count: int = 1) -> list[str]:
    return [str(uuid4()).upper() for _ in range(count)]


def part(event: dict[str, Any]) -> dict[str, Any]:
    """What the event tells of its enrolment."""
    inner: dict[str, Any] = event.get("acknowledge_event") or event["checkin_event"]
    return inner
