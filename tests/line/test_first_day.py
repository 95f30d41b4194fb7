"""The first real day, as its page tells it: from a NanoMDM that knows nothing of the kit to a canary that is done.

500 devices have enrolled in PostgreSQL before; a push alone wakes them. The commands, the grants and the setting of the
database are those of `docs/real-server.md`, read from the page, with this day's addresses and names in place of the
page's. Only the clock is a rehearsal's: it runs faster.
"""

import json
import os
import re
import shlex
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from openpyxl import Workbook

from osupdate_kit.lab.devices import SimulatedDevice
from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.lab.real import PushProxy, RealWorld
from osupdate_kit.lab.specs import Behaviour, DeviceSpec
from osupdate_kit.lab.truth import TruthLog, What
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.service.clock import open_clock
from osupdate_kit.stores.ledger import Ledger
from tests.installed import Installed, build_wheel
from tests.line.site import API_KEY, PAUSE
from tests.paths import ROOT
from tests.real import Cluster, free_port, nanomdm, postgres
from tests.test_docs import commands, fenced

pytestmark = pytest.mark.real_server

PAGE = (ROOT / "docs" / "real-server.md").read_text("utf-8")
SPEED, START, TARGET = 1500, 1_795_435_200_000_000, "26.6.1"
DEVICES, CANARIES = 500, 20


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgres() as running:
        yield running


def fleet() -> list[DeviceSpec]:
    """Devices that can be reached at any hour: what is proved here is the way, not their habits."""
    specs = make_fleet(makeup("school"), DEVICES, 5)
    steady = Behaviour(
        night_share=1, weekend_share=1, not_now=0, reach_seconds=(600, 3000), prompt_hours=(0.2, 2), kept_pushes=1,
        drops=0, download_minutes=(4, 30), install_minutes=(8, 20),
    )  # fmt: skip
    return [replace(spec, behaviour=steady) for spec in specs]


def canaries(specs: list[DeviceSpec]) -> list[DeviceSpec]:
    """iPads of the target's own major version, one of them for the proof."""
    fit = [s for s in specs if s.platform is Platform.IPADOS and s.os_version.startswith("26") and s.supervised]
    return [spec for spec in fit if spec.os_version != TARGET][: CANARIES + 1]


class Day:
    """A person at a shell, in a folder of their own."""

    def __init__(self, folder: Path, program: Path, names: dict[str, str]) -> None:
        self.folder, self.program, self.names = folder, program, names
        self.environment = {
            n: v for n, v in os.environ.items() if not n.startswith(("OSUPDATE_KIT_", "XDG_", "PYTHON"))
        }
        self.environment |= {"XDG_DATA_HOME": str(folder / "data"), "NO_COLOR": "1", "COLUMNS": "200"}
        self.service: subprocess.Popen[bytes] | None = None

    def words(self, call: str) -> list[str]:
        """The page's call with this day's names."""
        for old, new in self.names.items():
            call = call.replace(old, new)
        return [str(self.program), *shlex.split(call, comments=True)[1:]]

    def run(self, call: str, *more: str) -> str:
        words = [*self.words(call), *more]
        done = subprocess.run(words, env=self.environment, cwd=self.folder, text=True, capture_output=True, timeout=400)
        assert done.returncode == 0, (call, done.stdout[-2000:], done.stderr[-2000:], self.log()[-2000:])
        return done.stdout

    def serve(self, call: str) -> None:
        with (self.folder / "serve.log").open("wb") as log:
            self.service = subprocess.Popen(
                self.words(call), env=self.environment, cwd=self.folder, stdout=log, stderr=log
            )
        self.wait(lambda: "Webhook of school" in self.log(), 60, "a service that works")

    def log(self) -> str:
        path = self.folder / "serve.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait(self, holds: Callable[[], bool], seconds: float, what: str) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if holds():
                return
            PAUSE.wait(0.5)
        raise AssertionError(f"not within {seconds} s: {what}\n{self.log()[-2000:]}")


def test_the_page_leads_from_an_old_fleet_to_a_canary_that_is_done(tmp_path: Path, cluster: Cluster) -> None:
    page = PAGE.split("## What the kit cannot know")[0]
    calls = list(dict.fromkeys(call for block in fenced(page, "bash") for call in commands(f"```bash\n{block}```")))
    specs = fleet()
    proved, *canary = canaries(specs)
    assert len(canary) == CANARIES
    truth, dsn, at = TruthLog(), cluster.nanomdm_database(), f"127.0.0.1:{free_port()}"
    store = tmp_path / "data" / "osupdate-kit" / "store.db"
    ledger = Ledger.open(f"sqlite:///{store}", migrate=True)
    clock = open_clock(ledger, start_at=START, speed=SPEED)
    school = makeup("school").releases
    devices = [SimulatedDevice(spec, school[spec.platform], truth) for spec in specs]
    with nanomdm("pgsql", dsn=dsn, api_key=API_KEY, listen=at) as before:  # nobody has heard of the kit
        world = RealWorld(before.url, devices, clock, before.identities, truth)
        world.enrol()
    (tmp_path / "api.key").touch(mode=0o600)
    (tmp_path / "api.key").write_text(API_KEY)
    listed(specs, canary, tmp_path / "fleet.xlsx")
    with PushProxy(f"http://{at}", world.push, clock, truth) as proxy, world:
        program = Installed(tmp_path / "installed", build_wheel(tmp_path / "wheel")).program
        day = Day(tmp_path, program, {
            "https://mdm.example.org": proxy.url, "/etc/osupdate-kit/api.key": str(tmp_path / "api.key"),
            "00008110-000A1B2C3D4E5F60": proved.udid, "C02XL0XXJ1": proved.serial, "18.7.2": TARGET,
        })  # fmt: skip
        init, serve, check, doctor, whole, from_database, from_list, unheard, prove, *rest = calls
        told = day.run(init, "--port", str(free_port()))
        url, key_file = re.findall(r'-webhook-url (\S+) -webhook-hmac-key "\$\(cat (.+)\)"', told)[0]
        grant_reader(day, cluster, dsn)
        with nanomdm(
            "pgsql", dsn=dsn, api_key=API_KEY, listen=at, identities=before.identities, webhook_url=url,
            webhook_key=Path(key_file).read_text().strip(),
        ):  # fmt: skip
            try:
                day.serve(serve)
                assert "takes our key" in day.run(check)
                day.run(doctor)
                assert "Nothing broken was found." in day.run(whole, "--seconds", "60")
                assert f"{DEVICES:,} devices listed" in day.run(from_database)
                matched = day.run(from_list)
                assert f"{DEVICES:,} devices listed: 0 new" in matched, "each serial names a device of the database"
                day.wait(lambda: json.loads(day.run(unheard, "--json")) == [], 120, "500 devices with their version")
                rows = json.loads(day.run("osupdate-kit devices list --json"))
                assert len(rows) == DEVICES
                assert {row["udid"]: row["os_version"] for row in rows} == {s.udid: s.os_version for s in specs}
                assert "is done" in day.run(prove, "--yes", "--hours", "0.05")
                canary_day(day, rest, canary, truth)
                assert json.loads(day.run("osupdate-kit store verify --json")) == []
                queued = {e.command_uuid for e in truth if e.what is What.QUEUED}
                assert not truth.second_installs(own=ledger.ours(sorted(queued)))
            finally:
                if day.service:
                    day.service.terminate()
                    day.service.wait(30)
                ledger.close()


def listed(specs: list[DeviceSpec], canary: list[DeviceSpec], path: Path) -> None:
    """A technician's own workbook: serials, and what no server knows."""
    book = Workbook()
    sheet = book.active
    sheet.append(["Serial Number", "Site", "Ring", "Time Zone", "Cart"])
    chosen = {spec.serial for spec in canary}
    for number, spec in enumerate(specs):
        ring = "canary" if spec.serial in chosen else "broad"
        sheet.append([spec.serial, spec.site, ring, "Europe/Berlin", f"cart {number // 30}"])
    book.save(path)


def grant_reader(day: Day, cluster: Cluster, dsn: str) -> None:
    """The page's own grants, and its setting."""
    name = dsn.rpartition("/")[2].partition("?")[0]
    [sql] = fenced(PAGE, "sql")
    cluster.psql(name, "-c", sql.replace("…", "pw"))
    file = day.folder / "school.database"
    file.touch(mode=0o600)
    file.write_text(f"postgresql://osupdate_reader:pw@127.0.0.1:{cluster.port}/{name}\n")
    setting = next(line for line in PAGE.splitlines() if line.startswith("database_file = "))
    settings = day.folder / "osupdate-kit.toml"
    line = setting.partition("#")[0].replace("/etc/osupdate-kit/school.database", str(file))
    settings.write_text(settings.read_text().replace("[receiver]", f"{line}\n[receiver]"))
    assert stat.S_IMODE((day.folder / "school.webhook.key").stat().st_mode) == 0o600


def canary_day(day: Day, calls: list[str], canary: list[DeviceSpec], truth: TruthLog) -> None:
    create, preview, start, status, report, today = calls
    day.run(create)
    assert str(CANARIES) in day.run(preview)
    day.run(start)

    def done() -> bool:
        return json.loads(day.run(status, "--json"))["states"].get("done", 0) == CANARIES

    day.wait(done, 400, f"{CANARIES} canaries done")
    assert {truth.version(spec.udid) for spec in canary} == {TARGET}
    day.run(report)
    pages = {path.suffix for path in (day.folder / "reports").iterdir()}
    assert {".html", ".xlsx", ".csv"} <= pages
    assert "canary" in day.run(today)
