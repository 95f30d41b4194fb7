"""The same devices before a real NanoMDM or NanoHUB: identities, an exchange over HTTP, real time, and pushes.

A device needs no APNs on loopback: a small proxy before the API takes the calls that push, forwards them without, wakes
the simulated devices, and answers as a server with a push certificate would.
"""

import json
import re
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Condition, Lock, Thread, local
from types import TracebackType
from typing import Self
from urllib.parse import quote_plus, unquote, urlencode, urlsplit
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from osupdate_kit.lab.clock import PacedClock
from osupdate_kit.lab.ddm import KMFDDM, NANOHUB_DDM
from osupdate_kit.lab.devices import Exchange, SimulatedDevice
from osupdate_kit.lab.http import Call, Loopback
from osupdate_kit.lab.plists import read_command
from osupdate_kit.lab.schedule import Schedule
from osupdate_kit.lab.server import CHECKIN_TYPE, COMMAND_TYPE, IDENTITY_HEADER, NANOHUB, NANOMDM, Response
from osupdate_kit.lab.truth import TruthLog, What, command_words

PULSE_SECONDS = 0.2


class IdentityMode(StrEnum):
    """How a device shows its certificate."""

    PEM = "pem"  # -cert-header: URL-escaped PEM
    RFC9440 = "rfc9440"  # -cert-header: :base64 DER:
    SIGNATURE = "signature"  # Mdm-Signature: a detached CMS signature of the body


class Identities:
    """A certificate authority and one certificate per device, all with one key: quick to make, pinned one by one."""

    def __init__(self, mode: IdentityMode = IdentityMode.RFC9440) -> None:
        self.mode = mode
        self._ca_key = ec.generate_private_key(ec.SECP256R1())
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab CA")])
        self._ca = self._signed(self._ca_name, self._ca_key.public_key(), authority=True)
        self._certificates: dict[str, x509.Certificate] = {}

    def write_ca(self, path: Path) -> Path:
        """The authority's certificate as PEM, for the server's -ca."""
        path.write_bytes(self._ca.public_bytes(serialization.Encoding.PEM))
        return path

    def certificate(self, udid: str) -> x509.Certificate:
        if udid not in self._certificates:
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, udid[:64])])
            self._certificates[udid] = self._signed(name, self._key.public_key(), authority=False)
        return self._certificates[udid]

    def headers(self, udid: str, body: bytes) -> dict[str, str]:
        """What proves to the server who sends the body."""
        certificate = self.certificate(udid)
        if self.mode is IdentityMode.PEM:
            pem = certificate.public_bytes(serialization.Encoding.PEM)
            return {IDENTITY_HEADER: quote_plus(pem.decode())}
        if self.mode is IdentityMode.RFC9440:
            der = certificate.public_bytes(serialization.Encoding.DER)
            return {IDENTITY_HEADER: f":{b64encode(der).decode()}:"}
        builder = pkcs7.PKCS7SignatureBuilder().set_data(body)
        builder = builder.add_signer(certificate, self._key, hashes.SHA256())
        options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
        return {"Mdm-Signature": b64encode(builder.sign(serialization.Encoding.DER, options)).decode()}

    def _signed(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, *, authority: bool
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self._ca_name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=90))
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if not authority:
            usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
            builder = builder.add_extension(usage, critical=False)
        return builder.sign(self._ca_key, hashes.SHA256())


class HTTPClient:
    """Kept-alive connections to one server, one a thread. Raises OSError if no whole answer comes."""

    def __init__(self, url: str, *, timeout_seconds: float = 30.0) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._timeout = parts.hostname or "127.0.0.1", parts.port or 80, timeout_seconds
        self._kept = local()

    def call(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
        connection: HTTPConnection | None = getattr(self._kept, "connection", None)
        if connection is None:
            connection = HTTPConnection(self._host, self._port, timeout=self._timeout)
            self._kept.connection = connection
        try:
            connection.request(method, target, body or None, dict(headers))
            answer = connection.getresponse()
            return Response(status=answer.status, headers=dict(answer.getheaders()), body=answer.read())
        except HTTPException as error:
            connection.close()
            raise ConnectionError(f"{self._host}:{self._port} gave no whole answer: {error!r}") from error
        except OSError:
            connection.close()
            raise


def http_exchange(client: HTTPClient, identities: Identities, udid: str) -> Exchange:
    """The exchange of one device with a real server. Raises ConnectionError for any answer but 200."""

    def exchange(kind: str, body: bytes) -> bytes:
        content_type = CHECKIN_TYPE if kind == "checkin" else COMMAND_TYPE
        answer = client.call("PUT", "/mdm", {"Content-Type": content_type} | identities.headers(udid, body), body)
        if answer.status != 200:
            raise ConnectionError(f"the server answered {answer.status} to {udid}")
        return answer.body

    return exchange


class RealWorld:
    """Devices before the server at `url`, in real time at the clock's speed, in one thread of their own."""

    def __init__(
        self, url: str, devices: Iterable[SimulatedDevice], clock: PacedClock, identities: Identities, truth: TruthLog
    ) -> None:
        self.clock, self.truth = clock, truth
        client = HTTPClient(url)
        self._schedule = Schedule(devices, lambda udid: http_exchange(client, identities, udid))
        self._changed = Condition()
        self._stopping = False
        self._thread = Thread(target=self._run, daemon=True)

    @property
    def devices(self) -> Mapping[str, SimulatedDevice]:
        return self._schedule.devices

    def enrol(self) -> None:
        """All devices, one after the other, in the calling thread; before `start`."""
        for udid in self.devices:
            self._schedule.enrol(udid, self.clock.now())

    def push(self, udid: str) -> bool:
        """An APNs push, from any thread; False if no such device ever enrolled."""
        device = self.devices.get(udid)
        if device is None or not device.enrolled:
            return False
        self._schedule.push(udid, self.clock.now())
        with self._changed:
            self._changed.notify_all()
        return True

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """The devices stand still; returns when the last exchange has ended."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def wait_until(self, holds: Callable[[], bool], *, timeout_seconds: float) -> bool:
        """Wait in real time until `holds()`, asked again after whatever the devices do; False if it never did."""
        with self._changed:
            return self._changed.wait_for(holds, timeout_seconds)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopping:
            now = self.clock.now()
            done = self._schedule.turn(now, now)
            with self._changed:
                if done:
                    self._changed.notify_all()
                    continue
                next_at = self._schedule.next_at()
                wait = PULSE_SECONDS if next_at is None else self.clock.real_seconds(next_at)
                if wait > 0 and not self._stopping:
                    self._changed.wait(min(wait, PULSE_SECONDS))


_HOP = {"host", "connection", "content-length"}
_API = re.compile(rf"({re.escape(NANOMDM.root)}|{re.escape(NANOHUB.root)})(enqueue|push)/(.*)", re.DOTALL)
_SETS = re.compile(rf"({re.escape(KMFDDM.root)}|{re.escape(NANOHUB_DDM.root)})enrollment-sets/([^/]*)")


class Failure(Enum):
    """How the proxy is told to fail, so that the caller cannot know what was queued."""

    BEFORE = "before"  # drops the connection, forwards nothing
    AFTER = "after"  # forwards, then drops the connection


class PushProxy:
    """Before the API of a real server without push certificate; logs what was queued, wakes whom it would have pushed.

    The server may be a NanoMDM, a NanoHUB or a KMFDDM: calls of all are known by their paths.
    push: wakes a device by id, and says whether the server has push data of it.
    """

    def __init__(
        self, upstream: str, push: Callable[[str], bool], clock: PacedClock, truth: TruthLog, *, port: int = 0
    ) -> None:
        self._client, self._wake, self._clock, self._truth = HTTPClient(upstream), push, clock, truth
        self._failures: deque[Failure] = deque()
        self._lock = Lock()
        self._loopback = Loopback(self._answer, port=port)

    @property
    def url(self) -> str:
        return self._loopback.url

    def fail(self, failure: Failure, times: int = 1) -> None:
        """The next calls of the API fail so."""
        with self._lock:
            self._failures.extend([failure] * times)

    def start(self) -> None:
        self._loopback.start()

    def stop(self) -> None:
        self._loopback.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _answer(self, call: Call) -> Response | None:
        with self._lock:
            meant = _API.fullmatch(call.path) or _SETS.fullmatch(call.path)
            failure = self._failures.popleft() if self._failures and meant else None
        if failure is Failure.BEFORE:
            return None
        try:
            response = self._forwarded(call)
        except OSError:
            return None
        return None if failure is Failure.AFTER else response

    def _forwarded(self, call: Call) -> Response:
        headers = {name: value for name, value in call.headers.items() if name.lower() not in _HOP}
        called = _API.fullmatch(call.path)
        root, verb, ids_text = called.groups() if called else ("", "", "")
        ids = unquote(ids_text).split(",") if ids_text else []
        if verb == "push" and ids:
            # an empty command changes nothing on the server, but the key is checked, and the answer is dated
            asked = self._client.call("PUT", f"{root}enqueue/{ids_text}?nopush=1", headers)
            return asked if asked.status in (401, 404) else self._pushed(ids, {}, asked)
        if verb != "enqueue" or not ids or not call.body:
            response = self._client.call(call.method, call.target, headers, call.body)
            if response.status == 204 and (device := _SETS.fullmatch(call.path)):
                what = What.ASSIGNED if call.method == "PUT" else What.UNASSIGNED
                self._truth.add(self._clock.now(), unquote(device[2]), what, detail=call.query.get("set", ""))
            return response
        query = urlencode(dict(call.query) | {"nopush": "1"})
        answer = self._client.call(call.method, f"{call.path}?{query}", headers, call.body)
        self._log(ids, call.body, answer)
        if answer.status != 200 or call.query.get("nopush"):
            return answer
        told = json.loads(answer.body)
        told.pop("no_push", None)
        return self._pushed(ids, told, answer)

    def _log(self, ids: list[str], body: bytes, answer: Response) -> None:
        if answer.status != 200:
            return
        command, now = read_command(body), self._clock.now()
        words = command_words(command["Command"])
        for udid in ids:
            self._truth.add(now, udid, What.QUEUED, command["CommandUUID"], words)

    def _pushed(self, ids: list[str], told: dict[str, object], answer: Response) -> Response:
        woken = {udid: self._wake(udid) for udid in ids}
        missing = {"push_error": "push data missing for id"}
        status = {udid: {"push_result": str(uuid4()).upper()} if ok else missing for udid, ok in woken.items()}
        code = 200 if all(woken.values()) else 207 if any(woken.values()) else 500
        body = json.dumps({"status": status} | told, indent="\t").encode() + b"\n"
        headers = {"Content-Type": "application/json", "Date": answer.headers.get("Date", "")}
        return Response(status=code, headers=headers, body=body)
