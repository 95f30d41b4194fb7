"""`alerts` as people use it, and a report that could not be written, in a folder with a store and its settings."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from osupdate_kit.cli import main
from osupdate_kit.kit.today import Standing, Today
from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.lab.http import Loopback
from osupdate_kit.rehearsal import SERVER, Rehearsal, write_list
from osupdate_kit.rollout.alerts import Alert, AlertKind
from osupdate_kit.rollout.policy import HOUR
from osupdate_kit.stores.ledger import Ledger
from tests.service.test_alerts import TOKEN, Sink


@dataclass
class Desk:
    """A folder with settings and a file of addresses."""

    folder: Path
    sink: Sink

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder / 'store.db'}"

    def settings(self, *urls: str, mode: int = 0o600) -> None:
        (self.folder / "alerts.urls").write_text("".join(f"{url}\n" for url in urls))
        (self.folder / "alerts.urls").chmod(mode)
        alerts = '[alerts]\nurls_file = "alerts.urls"\n' if urls else ""
        (self.folder / "osupdate-kit.toml").write_text(f'store_url = "{self.url}"\n{alerts}')

    def run(self, *words: str, exits: int = 0) -> tuple[str, str]:
        out, err = StringIO(), StringIO()
        with chdir(self.folder), redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main(words)
        assert (ended.value.code or 0) == exits, (words, ended.value.code, out.getvalue(), err.getvalue())
        assert TOKEN not in out.getvalue() + err.getvalue()
        return out.getvalue(), err.getvalue()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    sink = Sink()
    with Loopback(sink.answer) as running:
        sink.url = running.url
        made = Desk(tmp_path, sink)
        made.settings(sink.address)
        yield made


def test_what_stands_is_listed_and_what_is_over_when_asked(desk: Desk) -> None:
    assert "Nothing stands." in desk.run("alerts", "list")[0]
    ledger = Ledger.open(desk.url)
    with ledger.write() as tx:
        tx.begin_alert(Alert(AlertKind.HALTED, "rollout 1", "Rollout 1, iPads, is halted."), at=HOUR)
        tx.begin_alert(Alert(AlertKind.WEBHOOK, "school", "900 pushes went out."), at=2 * HOUR)
        tx.end_alert(tx.open_alerts()[0], at=3 * HOUR)
    ledger.close()
    out, _ = desk.run("alerts", "list")
    assert "900 pushes went out." in out
    assert "halted" not in out
    found = json.loads(desk.run("alerts", "list", "--all", "--json")[0])
    assert [(one["kind"], one["over"]) for one in found] == [
        ("webhook_silent", ""),
        ("halted", "1970-01-01T03:00:00Z"),
    ]


def test_a_notice_for_a_test_goes_to_each_address_and_exit_1_says_that_one_fails(desk: Desk) -> None:
    assert json.loads(desk.run("alerts", "test", "--json")[0]) == {"address 1 (JSON)": True}
    assert desk.sink.titles == ["Test"]
    desk.settings(desk.sink.address, f"json://127.0.0.1:9/{TOKEN}")
    out, err = desk.run("alerts", "test", exits=1)
    assert [line.split()[-1] for line in out.splitlines() if line.startswith("address ")][1:] == ["yes", "no"]
    assert "can be reached from here" in err


def test_without_addresses_it_says_where_to_put_them(desk: Desk) -> None:
    desk.settings()
    assert "Name in urls_file a file of mode 0600" in desk.run("alerts", "test", exits=2)[1]
    assert "Nobody is told: name urls_file or urls_env" in desk.run("alerts", "list")[1]
    desk.settings(desk.sink.address, mode=0o644)
    assert "alerts.urls_file: others may read" in desk.run("alerts", "test", exits=2)[1]


def test_without_the_extra_the_setting_and_the_extra_are_named(desk: Desk) -> None:
    """A Python in which apprise cannot be imported, as where the extra is not installed."""
    code = "import sys; sys.modules['apprise'] = None; from osupdate_kit.cli import main; main(['alerts', 'test'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=desk.folder, capture_output=True, text=True)
    assert done.returncode == 2
    assert "alerts.urls_file: the apprise package is not installed. Install osupdate-kit[notify]." in done.stderr
    assert TOKEN not in done.stdout + done.stderr


def test_a_report_that_could_not_be_written_stands_until_it_is(desk: Desk, tmp_path: Path) -> None:
    parts = makeup("school")
    specs = make_fleet(parts, 30, 2)
    rehearsal = Rehearsal.of(parts, specs, desk.url)
    rehearsal.kit.sync(str(write_list(specs, tmp_path / "fleet.csv")), SERVER)
    rehearsal.run(1)
    macs = rehearsal.kit.select('platform == "macOS"')
    rehearsal.kit.start(rehearsal.kit.plan(macs, target="26.6.2", name="Macs"))
    rehearsal.kit.close()
    (tmp_path / "file").touch()
    (desk.folder / "osupdate-kit.toml").write_text(
        (desk.folder / "osupdate-kit.toml").read_text() + "[clock]\nstart = 2026-11-25T12:00:00Z\n"
    )
    desk.run("report", "9", "--format", "csv", exits=2)  # no such rollout: a slip, nothing to be told of
    assert json.loads(desk.run("alerts", "list", "--json")[0]) == []
    desk.run("report", "1", "--format", "csv", "--out", "file", exits=2)
    (said,) = json.loads(desk.run("alerts", "list", "--json")[0])
    assert (said["kind"], said["subject"], said["told"]) == ("report_failed", "rollout 1", "")
    assert said["what"].startswith("The report of rollout 1, Macs, could not be written at 2026-11-25 12:0")
    desk.run("report", "1", "--format", "csv", "--out", "reports")
    assert json.loads(desk.run("alerts", "list", "--json")[0]) == []


def test_today_shows_what_stands_and_says_what_no_rollout_tells(desk: Desk) -> None:
    Rehearsal.of(makeup("school"), make_fleet(makeup("school"), 2, 2), desk.url).kit.close()
    ledger = Ledger.open(desk.url)
    silent = Alert(AlertKind.WEBHOOK, "school", "900 pushes went out by server school, and nothing has come.")
    with ledger.write() as tx:
        tx.begin_alert(silent, at=HOUR)
        tx.begin_alert(Alert(AlertKind.GATE, "rollout 1 wave b", "Wave b waits for a person to open it."), at=HOUR)
        tx.alert_told(1, at=2 * HOUR, over=False)
    ledger.close()
    found = json.loads(desk.run("today", "--json")[0])
    assert [(one["kind"], one["told"]) for one in found["alerts"]] == [
        ("webhook_silent", "1970-01-01T02:00:00Z"),
        ("gate_waits", ""),
    ]
    out, _ = desk.run("today")
    assert "Alerts that stand" in out
    assert "nobody" in out


def test_the_finding_of_today_names_alerts_that_are_no_need_of_a_rollout() -> None:
    stand = tuple(
        Standing(kind=kind.value, what=f"About {kind.value}.", since="", told="")
        for kind in (AlertKind.HALTED, AlertKind.CERTIFICATE)
    )
    found = Today(since=0, at=HOUR, rollouts=1, ended=(), needs=(), alerts=stand)
    assert found.finding.endswith("no device came to an end. About certificate_expires.")
