"""An error code that is in no list, from the device to all who look: shown as it came, equal ones counted together."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from osupdate_kit.kit import Rollout
from osupdate_kit.kit.watch import watch
from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.lab.specs import Behaviour
from osupdate_kit.rehearsal import SERVER, Rehearsal, write_list
from osupdate_kit.views.widgets import Subset
from osupdate_kit.views.widgets.sections import sections

CODE = "com.example.updates 4711"
WORDS = ("The update was put aside.", "Die Aktualisierung wurde verschoben.")


@pytest.fixture(scope="module")
def rollout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rollout]:
    """Eleven devices fail so in two languages, one has a full disk."""
    folder = tmp_path_factory.mktemp("unlisted")
    always = Behaviour(night_share=1, weekend_share=1, not_now=0, drops=0, self_wake_days=(0.05, 0.1))
    habits = [replace(always, fails_unlisted=True)] * 11 + [replace(always, disk_full=True)]
    macs = [spec for spec in make_fleet(makeup("company"), 100, 5) if spec.version.major == 15]
    specs = tuple(
        replace(spec, behaviour=behaviour, seed=number)
        for number, (spec, behaviour) in enumerate(zip(macs, habits, strict=False))
    )
    rehearsal = Rehearsal.of(makeup("company"), specs, f"sqlite:///{folder / 'store.db'}")
    rehearsal.kit.sync(str(write_list(specs, folder / "fleet.csv")), SERVER)
    rehearsal.run(0.5)
    begun = rehearsal.kit.start(rehearsal.kit.plan(rehearsal.kit.select(), target="15.7.2", allow_major=True, tries=1))
    rehearsal.run(0.5)
    yield begun
    rehearsal.kit.close()


def test_the_status_counts_them_as_one(rollout: Rollout) -> None:
    status = rollout.status()
    assert status.failures == {CODE: 11, "space": 1}
    failed = [device for device in status.devices if device.cause == CODE]
    assert {device.failure_class for device in failed} == {"unknown"}
    assert {words for words in WORDS for device in failed if words in device.reason} == set(WORDS)
    assert all(f"({CODE})" in device.reason for device in failed)


def test_chart_and_monitor_show_it_as_it_came(rollout: Rollout) -> None:
    chart = rollout.chart("failures")
    assert chart.table["Devices"].tolist() == [11, 1]
    assert f"({CODE})" in chart.table["Cause"][0]
    source = watch(rollout._kit, rollout.id)
    look = source.look("")
    assert look is not None
    row = sections(look)["causes"]["rows"][0]
    assert (row["words"], row["devices"]) == (CODE, 11)
    assert len(source.keys(Subset("cause", CODE))) == 11


def test_the_report_shows_it_as_it_came(rollout: Rollout, tmp_path: Path) -> None:
    (page,) = rollout.report(tmp_path, ["html"])
    table = BeautifulSoup(page.read_text("utf-8"), "html.parser").find("table", {"data-table": "failures"})
    assert table is not None
    cells = [cell.get_text() for cell in table.find("tbody").find_all("td")][:5]
    assert cells[:2] == [CODE, "11"]
    assert cells[3:] == ["MDM team", "unknown"]


def test_a_retry_by_the_code_is_for_these_devices_only(rollout: Rollout) -> None:
    kit = rollout._kit
    act = rollout.retry(CODE)
    assert kit.turns().actor.turn() == 1
    assert kit.outcome(act) == "done"
    with kit.ledger.read() as tx:
        assert tx.audits(rollout.id)[-1].count == 11
    assert rollout.status().failures == {"space": 1}
