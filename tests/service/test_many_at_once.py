"""One store, and everybody at once: a service, its stand-by, three notebooks, commands; no lock reaches a person.

By hand for longer: `TOGETHER_SECONDS=60`.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from osupdate_kit.kit import Kit
from osupdate_kit.lab.clock import SECOND, RunningClock
from osupdate_kit.lab.fleet import make_devices, make_fleet, makeup
from osupdate_kit.lab.http import LabHost, http_webhook
from osupdate_kit.lab.server import LabServer, WebhookFaults
from osupdate_kit.lab.truth import TruthLog
from osupdate_kit.lab.world import World
from osupdate_kit.rehearsal import BEGINS_AT, SERVER, write_list
from osupdate_kit.service.clock import open_clock
from osupdate_kit.service.verify import verify
from osupdate_kit.settings import Settings
from osupdate_kit.stores.ledger import Ledger
from tests.real import Cluster, free_port, postgres

SECONDS = float(os.environ.get("TOGETHER_SECONDS", "20"))
DEVICES, SPEED = 120, 3600.0
KEY = "key-of-the-lab"

NOTEBOOK = """
import sys, time
from osupdate_kit.kit import Kit
from osupdate_kit.settings import Settings
kit = Kit.open(Settings.load())
until, number, turns = time.monotonic() + float(sys.argv[1]), int(sys.argv[2]), 0
while time.monotonic() < until:
    frame = kit.devices()
    rollout = kit.rollout()
    rollout.status(); rollout.devices(); rollout.progress(); kit.today("30d"); kit._repr_html_()
    mine = sorted(frame["serial"])[number * 5 : number * 5 + 5]
    kit.hold(mine, reason=f"notebook {number}")
    kit.why(mine[0])
    kit.release(mine)
    if number == 0:
        (rollout.pause if turns % 2 else rollout.resume)() if rollout.status().status in ("running", "paused") and (
            rollout.status().status == ("running" if turns % 2 else "paused")) else None
    turns += 1
print("turns", turns)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real_server)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        found: Cluster = request.getfixturevalue("cluster")
        return found.url()
    return f"sqlite:///{tmp_path / 'store.db'}"


@contextmanager
def lab(folder: Path, url: str) -> Iterator[tuple[Path, TruthLog]]:
    """A fleet that lives by the store's clock, before a server on loopback; settings for everybody else."""
    ledger = Ledger.open(url, migrate=True)
    anchor = open_clock(ledger, start_at=BEGINS_AT, speed=SPEED)
    ledger.close()
    clock, truth = RunningClock(start_at=anchor.start_at, speed=anchor.speed, real_at=anchor.real_at), TruthLog()
    parts, port = makeup("school"), free_port()
    specs = make_fleet(parts, DEVICES, 1)
    faults = WebhookFaults(lost=0.01, doubled=0.05)
    server = LabServer(
        clock, KEY, storage="pgsql", webhook=http_webhook(f"http://127.0.0.1:{port}/webhook/{SERVER}"), truth=truth,
        faults=faults,
    )  # fmt: skip
    world = World(clock, server, make_devices(parts, specs, truth), truth)
    world.enrol()
    (folder / "api.key").touch(mode=0o600)
    (folder / "api.key").write_text(KEY)
    write_list(specs, folder / "fleet.csv")
    with LabHost(world, clock) as host:
        (folder / "osupdate-kit.toml").write_text(
            f'store_url = "{url}"\n[servers.{SERVER}]\nurl = "{host.url}"\nkey_file = "api.key"\n'
            f"[receiver]\nport = {port}\n"
            f"[clock]\nstart = {datetime.fromtimestamp(BEGINS_AT // SECOND, UTC):%Y-%m-%dT%H:%M:%SZ}\nspeed = {SPEED}\n"
        )
        yield folder / "osupdate-kit.toml", truth


class Company:
    """Processes of people and services, and what each of them said."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = {**os.environ, "OSUPDATE_KIT_CONFIG": str(folder / "osupdate-kit.toml")}
        self._logs: list[Path] = []
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        self._logs.append(self._folder / f"{len(self._logs)}.log")
        with self._logs[-1].open("wb") as log:
            self.running.append(
                subprocess.Popen(
                    [sys.executable, *words], env=self._environment, cwd=self._folder, stdout=log, stderr=log
                )
            )
        return self.running[-1]

    def said(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in self._logs)

    def until(self, holds: Callable[[], object]) -> None:
        """Wait until this holds; fails with what everybody has said."""
        ends = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < ends, self.said()[-2000:]
            time.sleep(0.05)

    def end(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


@contextmanager
def company(folder: Path) -> Iterator[Company]:
    made = Company(folder)
    try:
        yield made
    finally:
        made.end()


def at_work(kit: Kit) -> set[str]:
    """The notebooks that have held devices by now, each by its reason."""
    with kit.ledger.read() as tx:
        told = [line.detail for line in tx.audits() if line.what == "hold"]
    return {found[0] for detail in told if (found := re.search(r"notebook \d", detail))}


def test_everybody_works_on_one_store_and_no_lock_reaches_a_person(url: str, tmp_path: Path) -> None:
    command = ("-m", "osupdate_kit.cli")
    with lab(tmp_path, url) as (settings_file, _), company(tmp_path) as people:
        kit = Kit.open(Settings.load(settings_file))
        kit.sync(str(tmp_path / "fleet.csv"), SERVER)
        kit.start(kit.plan(kit.select(), target="26.6.1", allow_major=True))
        first = people.start(*command, "serve")
        people.until(lambda: "Working" in people.said())
        people.start(*command, "serve")
        people.until(lambda: "standing by" in people.said())
        notebooks = [people.start("-c", NOTEBOOK, str(SECONDS), str(number)) for number in range(3)]
        statuses: Counter[int] = Counter()
        stop = threading.Event()

        def terminal() -> None:
            words = [("rollout", "status", "1"), ("today",), ("devices", "list"), ("rollout", "list"), ("hold", "list")]
            while not stop.is_set():
                statuses[people.start(*command, *words[sum(statuses.values()) % len(words)]).wait(60)] += 1

        shell = threading.Thread(target=terminal)
        shell.start()
        people.until(lambda: statuses and at_work(kit) == {f"notebook {number}" for number in range(3)})
        first.send_signal(signal.SIGKILL)  # the stand-by goes on
        ended = [notebook.wait(SECONDS + 120) for notebook in notebooks]
        stop.set()
        shell.join()
        said = people.said()
        assert ended == [0, 0, 0], said[-3000:]
        assert set(statuses) <= {0, 1}, (statuses, said[-3000:])  # 1: it found something
        assert statuses
        for word in ("locked", "lock timeout", "Traceback", "deadlock", "The store"):
            assert word not in said, [line for line in said.splitlines() if word in line][:5]
        assert said.count("Working") == 2, said[-3000:]
        kit.close()
    ledger = Ledger.open(url)
    assert not list(verify(ledger))
    with ledger.read() as tx:
        holds = [line for line in tx.audits() if line.what in ("hold", "release")]
        assert tx.last_seq() > 100
    assert len(holds) >= 12
    ledger.close()
