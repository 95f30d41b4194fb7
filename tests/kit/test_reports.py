"""A report of a rehearsed rollout, as the kit writes it."""

import csv
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from osupdate_kit.analysis.progress import progress
from osupdate_kit.analysis.scope import Scope
from osupdate_kit.analysis.shown import states_now
from osupdate_kit.kit.status import status
from osupdate_kit.stores.ledger import Ledger
from osupdate_kit.stores.reader import within
from tests.real import postgres
from tests.views.scene import MACS, scene


def test_exceptions_name_the_devices_as_their_users_do(tmp_path: Path) -> None:
    world = scene(tmp_path / "world", 60)
    rollout = world.started(MACS, actions=["macOS=InstallASAP"])
    world.run(4)
    rollout.report(tmp_path / "report", ["csv"])
    (path,) = (tmp_path / "report").glob("*-exceptions.csv")
    rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))
    named = {device.serial: device.name for device in world.kit.inventory()}
    assert rows
    assert {row["Serial"]: row["Name"] for row in rows} == {row["Serial"]: named[row["Serial"]] for row in rows}
    assert all(row["What to do"] for row in rows)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real_server)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.db'}"
        return
    with postgres() as cluster:
        yield cluster.url()


def test_figures_see_what_the_counts_see_though_news_come_in(tmp_path: Path, store_url: str) -> None:
    world = scene(tmp_path / "world", 60, store_url=store_url)
    rollout = world.started(MACS, actions=["macOS=InstallASAP"])
    world.run(0.1)
    kit, now = world.kit, world.kit.clock.now()
    with closing(Ledger.open(kit.ledger.url)) as ledger, ledger.read() as tx:
        scope = Scope.of(within(tx), rollout.id, now=now, cadences=kit.cadences)
        first = states_now(scope)
        world.run(1)
        counted = status(tx, rollout.id, now, kit.cadences, keep=lambda device: False).states
        for frame in (first, states_now(scope)):
            assert dict(zip(frame["state"], frame["devices"], strict=True)) == counted
        done = progress(scope).query("state == 'done'")["devices"].iloc[-1]
        assert done == counted["done"]
        assert counted != rollout.status().states
    kit.close()
