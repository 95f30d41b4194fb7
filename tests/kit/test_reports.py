"""A report of a rehearsed rollout, as the kit writes it."""

import csv
from pathlib import Path

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
