"""The servers that take declarations, each as the lab's and as the real one, and a device that speaks of them."""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from osupdate_kit.lab.ddm import LabDDM
from osupdate_kit.lab.http import Call, Loopback
from osupdate_kit.lab.real import HTTPClient
from osupdate_kit.lab.server import Response, basic_authorization
from osupdate_kit.protocol.declarations import ActivationSimple, Content, EnforcementSpecific, encode
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.servers.ddm import KMFDDM, NANOHUB, Declarations, Dialect
from osupdate_kit.servers.transport import in_process_session
from tests.contract.subjects import API_KEY, KINDS, Device, LabSubject, RealSubject, Sink, Subject, opened
from tests.real import kmfddm

DDM_KEY = "ddm-key"
_real = pytest.mark.real_server
DECLARING = [
    "lab nanohub",
    "lab kmfddm",
    pytest.param("real nanohub", marks=_real),
    pytest.param("real kmfddm", marks=_real),
]
REAL = DECLARING[2:]

Bare = Callable[[str, str, bytes], Response]
"""bare(method, target, body): a call of the API with our key, target after its root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaring:
    """subject: the MDM server that its devices talk to."""

    subject: Subject
    dialect: Dialect
    make: Callable[[str], Declarations]
    bare: Bare
    preview: Callable[[str, str], Response]  # preview(noun, id)

    def adapter(self, api_key: str = "") -> Declarations:
        return self.make(api_key)

    def call(self, method: str, target: str, body: bytes = b"") -> Response:
        """A bare call; nobody is woken unless the target says `nonotify=0`."""
        mark = "" if "nonotify" in target else "&nonotify=1" if "?" in target else "?nonotify=1"
        return self.bare(method, target + mark, body)

    def names(self, target: str) -> list[str]:
        return sorted(json.loads(self.call("GET", target).body) or [])


class DeclaredDevice(Device):
    """Speaks DeclarativeManagement."""

    def asks(self, endpoint: str, data: bytes = b"") -> Response:
        words: dict[str, object] = {"MessageType": "DeclarativeManagement", "Endpoint": endpoint}
        return self.checkin(words | ({"Data": data} if data else {}))

    def items(self) -> dict[str, list[str]]:
        """What it is given, by kind."""
        told = json.loads(self.asks("declaration-items").body)["Declarations"]
        return {kind: sorted(row["Identifier"] for row in rows or ()) for kind, rows in told.items() if rows}

    def reports(self, items: Mapping[str, Any], *, full: bool = False) -> None:
        body = {"StatusItems": items, "Errors": []} | ({"FullReport": True} if full else {})
        assert self.asks("status", json.dumps(body).encode()).status == 200


def enforcement(version: str = "26.1") -> Content:
    return EnforcementSpecific(
        target_os_version=OSVersion.parse(version), target_local_date_time=datetime(2026, 11, 27, 19)
    )


def put_into(declaring: Declaring, kit: Declarations, name: str) -> tuple[str, str]:
    """An enforcement and its activation in a set, all called after `name`; their identifiers."""
    update, active = f"{name}-update", f"{name}-active"
    assert kit.put(encode(enforcement(), update)).changed
    assert kit.put(encode(ActivationSimple(configurations=(update,)), active)).changed
    assert kit.fill(name, [update, active]).changed
    return update, active


def declaring_server(name: str, stack: ExitStack) -> Declaring:
    """The server of that name, running until the stack closes."""
    where, kind = name.split()
    if kind == "nanohub":
        return _nanohub(opened(f"{where} nanohub kv", stack))
    return _lab_kmfddm() if where == "lab" else _real_kmfddm(stack)


def _nanohub(subject: Subject) -> Declaring:
    def make(api_key: str) -> Declarations:
        if isinstance(subject, LabSubject):
            return Declarations(
                "school", NANOHUB, "http://lab", api_key or API_KEY,
                session=lambda: in_process_session(subject.server.handle),
            )  # fmt: skip
        assert isinstance(subject, RealSubject)
        return Declarations("school", NANOHUB, subject.server.url, api_key or API_KEY)

    return Declaring(
        subject=subject,
        dialect=NANOHUB,
        make=make,
        bare=lambda method, target, body: subject.call(method, NANOHUB.root + target, body),
        preview=lambda noun, udid: subject.call(
            "GET", NANOHUB.preview + noun, headers=subject.authorization() | ({"X-Enrollment-ID": udid} if udid else {})
        ),
    )


def _lab_kmfddm() -> Declaring:
    subject = LabSubject(KINDS["nanomdm"], "kv", declarations=lambda clock, truth: LabDDM(clock, DDM_KEY, truth=truth))
    handle = subject.server.handle_declarations

    def call(method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Response:
        path, _, query = target.partition("?")
        return handle(method, path, dict(pair.split("=") for pair in query.split("&") if pair), headers, body)

    return _beside(
        subject,
        lambda api_key: Declarations(
            "school", KMFDDM, "http://lab", api_key or DDM_KEY, session=lambda: in_process_session(handle)
        ),
        call,
    )


def _real_kmfddm(stack: ExitStack) -> Declaring:
    sink = Sink()

    def answer(call: Call) -> Response:
        return Response(status=sink.take(call.body, call.headers), headers={}, body=b"")

    webhook = stack.enter_context(Loopback(answer)).url + "/"
    kind = KINDS["nanomdm"]
    running = stack.enter_context(
        kmfddm(webhook_url=webhook, webhook_key=kind.webhook_key, api_key=API_KEY, declarations_key=DDM_KEY)
    )
    client = HTTPClient(running.url)
    return _beside(
        RealSubject(kind, "kv", running.nanomdm, sink),
        lambda api_key: Declarations("school", KMFDDM, running.url, api_key or DDM_KEY),
        lambda method, target, body, headers: client.call(method, target, headers, body),
    )


def _beside(
    subject: Subject,
    make: Callable[[str], Declarations],
    call: Callable[[str, str, bytes, Mapping[str, str]], Response],
) -> Declaring:
    key = {"Authorization": basic_authorization(DDM_KEY, KMFDDM.user)}
    return Declaring(
        subject=subject,
        dialect=KMFDDM,
        make=make,
        bare=lambda method, target, body: call(method, KMFDDM.root + target, body, key),
        preview=lambda noun, udid: call("GET", KMFDDM.preview + noun, b"", {"X-Enrollment-ID": udid} if udid else {}),
    )
