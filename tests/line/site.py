"""A whole site: a real NanoMDM, simulated devices before it, the kit's own processes, and all webhook calls recorded.

The devices live by the store's clock, faster than real time. Everything the kit does goes through its command.
"""

import json
import os
import signal
import subprocess
import sys
import zlib
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from threading import Event, Lock
from types import MappingProxyType
from typing import Any, Literal

from sqlalchemy import MetaData, select

from osupdate_kit.lab.devices import SimulatedDevice
from osupdate_kit.lab.fleet import releases
from osupdate_kit.lab.http import Call, Loopback
from osupdate_kit.lab.real import HTTPClient, PushProxy, RealWorld
from osupdate_kit.lab.server import Response
from osupdate_kit.lab.specs import DeviceSpec, Release
from osupdate_kit.lab.truth import TruthLog, What
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.rehearsal import write_list
from osupdate_kit.servers.database import grants
from osupdate_kit.service.clock import KitClock, open_clock
from osupdate_kit.settings import Settings
from osupdate_kit.stores.connect import make_engine, store_url
from osupdate_kit.stores.ledger import Ledger
from tests.real import Cluster, RealServer, free_port, kmfddm, nanohub, nanomdm

SERVER = "site"
API_KEY = "api-key-that-must-stay-secret"
WEBHOOK_KEY = "webhook-key-that-must-stay-secret"
DECLARATIONS_KEY = "declarations-key-that-must-stay-secret"
Kind = Literal["nanomdm", "nanohub", "kmfddm"]
PAUSE = Event()  # never set: waiting on it gives way to the others


class Recorder:
    """Between the server and the receiver: passes calls on, and keeps the bodies that were acknowledged.

    A network with faults loses that share of the calls, and brings that share twice.
    """

    def __init__(self, receiver_port: int, *, loses: float = 0.0, doubles: float = 0.0) -> None:
        self._luck, self._loses, self._doubles = Random(1), loses, doubles
        self.acknowledged: list[dict[str, Any]] = []
        self.lost = 0
        self._client = HTTPClient(f"http://127.0.0.1:{receiver_port}", timeout_seconds=10)
        self._lock = Lock()
        self.loopback = Loopback(self._pass)

    def _pass(self, call: Call) -> Response | None:
        with self._lock:
            lost, doubled = self._luck.random() < self._loses, self._luck.random() < self._doubles
            self.lost += lost
        if lost:
            return None
        if doubled:
            self._bring(call)
        return self._bring(call)

    def _bring(self, call: Call) -> Response | None:
        headers = {name: value for name, value in call.headers.items() if name.lower() not in ("host", "connection")}
        try:
            answer = self._client.call("POST", call.path, headers, call.body)
        except OSError:
            answer = None
        with self._lock:
            if answer is not None and answer.status == 200:
                self.acknowledged.append(json.loads(call.body))
            else:
                self.lost += 1
        return answer


@dataclass
class Site:
    folder: Path
    devices: RealWorld
    truth: TruthLog
    clock: KitClock
    recorder: Recorder
    proxy: PushProxy
    specs: Sequence[DeviceSpec]
    environment: dict[str, str]
    ledger: Ledger
    server: RealServer
    output: list[str] = field(default_factory=list)
    services: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    # --- the command ---

    def run(self, *words: str, exits: int = 0) -> str:
        """Run `osupdate-kit` with these words; its standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "osupdate_kit.cli", *words], env=self.environment, cwd=self.folder, text=True,
            capture_output=True, timeout=300,
        )  # fmt: skip
        self.output += [done.stdout, done.stderr]
        assert done.returncode == exits, (words, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))

    def json_of(self, *words: str, exits: int) -> Any:
        """The same of a command that may find something."""
        return json.loads(self.run(*words, "--json", exits=exits))

    def serve(self) -> None:
        """Start a service; it stands by while another works."""
        words = [sys.executable, "-m", "osupdate_kit.cli", "serve"]
        with (self.folder / f"serve-{len(self.services)}.log").open("wb") as log:
            self.services.append(subprocess.Popen(words, env=self.environment, cwd=self.folder, stdout=log, stderr=log))

    def kill(self) -> None:
        """`kill -9` of the oldest service that lives."""
        service = next(one for one in self.services if one.poll() is None)
        service.send_signal(signal.SIGKILL)
        service.wait(10)

    def wait(self, holds: Any, *, seconds: float, what: str) -> None:
        for _ in range(int(seconds / 0.25)):
            if holds():
                return
            PAUSE.wait(0.25)
        raise AssertionError(f"not within {seconds} s: {what}\n{self.logs()[-3000:]}")

    def wait_until(self, at: int) -> None:
        """Wait until the site's clock shows `at`."""
        while (left := self.clock.real_seconds(at)) > 0:
            PAUSE.wait(left)

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("serve-*.log")))

    # --- what must hold ---

    def known(self) -> int:
        """How many devices have said what they are."""
        with self.ledger.read() as tx:
            return sum(device.os_version is not None for device in tx.all_devices())

    def our_uuids(self) -> set[str]:
        """Of all commands that the server ever queued, those that are the kit's."""
        queued = {entry.command_uuid for entry in self.truth if entry.what is What.QUEUED}
        return self.ledger.ours(sorted(queued))

    def missing_events(self, acknowledged: Sequence[dict[str, Any]]) -> list[str]:
        """Acknowledged answers to our commands that no event tells of (I3); what is in the inbox still is one, too."""
        ours = self.our_uuids()
        with self.ledger.read() as tx:
            told = {
                (event.key.enrollment_id, event.command_uuid)
                for events in tx.events_of([device.key for device in tx.all_devices()]).values()
                for event in events
                if event.kind == "answered"
            }
        return [
            f"{part['udid']} {part['command_uuid']} {part['status']}"
            for event in acknowledged
            if (part := event.get("acknowledge_event")) and part.get("command_uuid") in ours
            and (part["udid"], part["command_uuid"]) not in told
        ]  # fmt: skip

    def secrets_found(self) -> list[str]:
        """Where a planted secret stands: in the store (decompressed), in logs, in what the command printed."""
        secrets = [API_KEY.encode(), WEBHOOK_KEY.encode(), DECLARATIONS_KEY.encode()]
        secrets += [secret for device in self.devices.devices.values() for secret in device.secrets()]
        found = [f"output: {s!r}" for s in secrets for text in [*self.output, self.logs()] if s in text.encode()]
        for where, body in self._everything_stored():
            found += [f"{where}: {secret!r}" for secret in secrets if secret in body]
        return found

    def _everything_stored(self) -> Iterator[tuple[str, bytes]]:
        engine = make_engine(store_url(self.environment["OSUPDATE_KIT_STORE_URL"]))
        tables = MetaData()
        with engine.connect() as connection:
            tables.reflect(connection)
            for table in tables.tables.values():
                cells = (cell for row in connection.execute(select(table)) for cell in row)
                yield table.name, b"\n".join(map(_plain, cells))
        engine.dispose()


def _plain(cell: object) -> bytes:
    if isinstance(cell, memoryview):
        cell = bytes(cell)
    if not isinstance(cell, bytes):
        return str(cell).encode()
    try:
        return zlib.decompress(cell[1:])  # what the store packs begins with a mark
    except zlib.error:
        return cell


def secrets_arrive(event: dict[str, Any]) -> bool:
    """Does the server's own body hold a secret? Else the search would prove nothing."""
    part = event.get("checkin_event") or {}
    return b"unlock-of-" in b64decode(part.get("raw_payload", ""))


def reader(cluster: Cluster, dsn: str) -> str:
    """The URL of a role that may read what the kit needs of NanoMDM's database, and nothing more."""
    name = dsn.rpartition("/")[2].partition("?")[0]
    cluster.psql(name, "-c", f"CREATE ROLE reader_{name} LOGIN;" + "".join(grants(f"reader_{name}")))
    return f"postgres://reader_{name}@127.0.0.1:{cluster.port}/{name}"


@contextmanager
def _server(
    kind: Kind, storage: Literal["inmem", "pgsql"], dsn: str, webhook_url: str
) -> Iterator[tuple[RealServer, str]]:
    """The MDM server, and where a server of declarations stands beside it."""
    if kind == "nanohub":
        with nanohub(api_key=API_KEY, webhook_url=webhook_url) as server:
            yield server, ""
        return
    if kind == "kmfddm":
        with kmfddm(
            api_key=API_KEY, webhook_url=webhook_url, webhook_key=WEBHOOK_KEY, declarations_key=DECLARATIONS_KEY
        ) as declaring:
            yield declaring.nanomdm, declaring.url
        return
    with nanomdm(storage, dsn=dsn, api_key=API_KEY, webhook_url=webhook_url, webhook_key=WEBHOOK_KEY) as server:
        yield server, ""


@contextmanager
def site(
    folder: Path,
    specs: Sequence[DeviceSpec],
    *,
    speed: float,
    start: str,
    storage: Literal["inmem", "pgsql"] = "inmem",
    cluster: Cluster | None = None,
    kind: Kind = "nanomdm",
    newer: Mapping[Platform, Sequence[Release]] = MappingProxyType({}),
    loses: float = 0.0,
    doubles: float = 0.0,
    database: bool = False,
) -> Iterator[Site]:
    """A site whose devices are enrolled before the kit first starts. start: ISO 8601, of the site's clock.

    newer: releases that are out beside those of the shipped data.

    pgsql: server and store are on PostgreSQL, each in a database of the cluster; else both are not.
    database: the settings name the server's own database.
    """
    port = free_port()
    recorder = Recorder(port, loses=loses, doubles=doubles)
    dsn = cluster.nanomdm_database() if storage == "pgsql" and cluster else "unused"
    webhook_url = f"{recorder.loopback.url}/webhook/{SERVER}"
    with recorder.loopback, _server(kind, storage, dsn, webhook_url) as (server, declarations_url):
        truth = TruthLog()
        url = cluster.url() if storage == "pgsql" and cluster else f"sqlite:///{folder / 'store.db'}"
        settings = Settings.model_validate({"store_url": url, "clock": {"start": start, "speed": speed}})
        ledger = Ledger.open(url, migrate=True)
        clock = open_clock(ledger, start_at=settings.clock_start_at, speed=speed)
        devices = [
            SimulatedDevice(spec, (*releases(spec.platform), *newer.get(spec.platform, ())), truth) for spec in specs
        ]
        world = RealWorld(server.url, devices, clock, server.identities, truth)
        world.enrol()
        with PushProxy(server.url, world.push, clock, truth) as proxy, world:
            keys = {"api.key": API_KEY, "webhook.key": WEBHOOK_KEY, "declarations.key": DECLARATIONS_KEY}
            for name, key in keys.items():
                (folder / name).touch(mode=0o600)
                (folder / name).write_text(key)
            if database and cluster:
                (folder / "database.url").touch(mode=0o600)
                (folder / "database.url").write_text(reader(cluster, dsn))
            lines = [
                f'store_url = "{url}"',
                f'[servers.{SERVER}]\nkind = "{"nanohub" if kind == "nanohub" else "nanomdm"}"',
                f'url = "{proxy.url}"\nkey_file = "api.key"',
                'webhook_key_file = "webhook.key"' if kind != "nanohub" else "",
                f'declarations = "kmfddm"\ndeclarations_url = "{declarations_url}"' if declarations_url else "",
                'declarations_key_file = "declarations.key"' if declarations_url else "",
                'database_file = "database.url"\ndatabase_seconds = 1' if database else "",
                f"[receiver]\nport = {port}",
                f"[clock]\nstart = {start}\nspeed = {speed}",
            ]
            (folder / "osupdate-kit.toml").write_text("\n".join(lines) + "\n")
            write_list(tuple(specs), folder / "fleet.csv")
            environment = {name: value for name, value in os.environ.items() if not name.startswith("OSUPDATE_KIT_")}
            environment |= {"OSUPDATE_KIT_STORE_URL": url, "NO_COLOR": "1", "COLUMNS": "200"}
            made = Site(folder, world, truth, clock, recorder, proxy, specs, environment, ledger, server)
            try:
                yield made
            finally:
                for service in made.services:
                    if service.poll() is None:
                        service.terminate()
                        service.wait(30)
                ledger.close()
