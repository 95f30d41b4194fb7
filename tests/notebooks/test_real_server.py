"""The same notebooks before a real NanoMDM: told by settings alone, and nothing begins by itself."""

from pathlib import Path

import pytest
from nbclient.exceptions import CellExecutionError

from osupdate_kit.kit import Kit
from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.settings import Settings
from tests.line.site import site
from tests.notebooks.running import NAMES, run, shown, stream

pytestmark = pytest.mark.real_server


def test_they_run_and_begin_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    specs = [spec.behaving(reach_seconds=(600, 4000)) for spec in make_fleet(makeup("school"), 80, 5)]
    with site(tmp_path, specs, speed=1500, start="2026-11-23T12:00:00Z") as here:
        here.serve()
        here.wait(lambda: "Webhook of site" in here.logs(), seconds=30, what="a service that works")
        here.json("devices", "sync", "--from", "fleet.csv")
        here.wait(lambda: here.known() >= 60, seconds=60, what="60 devices that said what they are")
        settings = tmp_path / "osupdate-kit.toml"
        kit = Kit.open(Settings.load(settings))
        with pytest.raises(CellExecutionError, match="No rollout has begun yet"):
            run("00_quickstart", settings, folder)
        assert kit.rollouts() == [], "only the lab is rehearsed in"
        chosen = kit.select(where='platform == "iPadOS"')
        rollout = kit.start(kit.plan(chosen, target="26.6.1", allow_major=True))
        rollout.wait_for(done=0.1, seconds=60)
        for name in NAMES:
            notebook = run(name, settings, folder)
            assert stream(notebook, "stderr") == "", name
            if name == "01_fleet":
                assert "site answers and takes our key." in "".join(shown(notebook))
        assert [stored.id for stored, _ in kit.rollouts()] == [rollout.id]
        assert list((folder / "reports").glob("rollout-1-*.xlsx"))
        kit.close()
