"""One device with odd habits, proved before a real NanoMDM by the command itself."""

import json
from pathlib import Path

import pytest

from osupdate_kit.lab.truth import What
from osupdate_kit.protocol.terms import Platform
from tests.kit.test_prove import TARGETS, device
from tests.line.site import API_KEY, WEBHOOK_KEY, site

pytestmark = pytest.mark.real_server


def test_a_device_that_substitutes_is_proved_and_named(tmp_path: Path) -> None:
    spec = device(Platform.MACOS, substitutes=True, reach_seconds=(600, 1200), prompt_hours=(0.2, 1))
    with site(tmp_path, [spec], speed=3000, start="2026-11-23T12:00:00Z") as here:
        here.serve()
        here.wait(lambda: "Webhook of site" in here.logs(), seconds=30, what="a service that works")
        here.run("devices", "sync", "--from", "fleet.csv")
        here.wait(lambda: here.known() == 1, seconds=30, what="a device that said what it is")
        words = ("prove", spec.serial, "--target", TARGETS[Platform.MACOS], "--allow-major", "--hours", "0.05", "--yes")
        said = here.run(*words)
        assert f"{spec.serial} is done" in said
        assert "that others have met" in said
        told = json.loads((tmp_path / "proof-1.json").read_text())
        assert here.truth.version(spec.udid) == TARGETS[Platform.MACOS]
        assert "InstallAction" in {one["rule"] for one in told["departures"]}
        ours = here.our_uuids()
        answered = {entry.command_uuid for entry in here.truth.of(spec.udid, What.ANSWERED)} & ours
        assert len(answered & {one["command_uuid"] for one in told["exchanges"]}) >= 4
        secrets = [API_KEY.encode(), WEBHOOK_KEY.encode(), *here.devices.devices[spec.udid].secrets()]
        for page in ("proof-1.html", "proof-1.json"):
            assert not [secret for secret in secrets if secret in (tmp_path / page).read_bytes()]
        again = here.run("prove", spec.serial, "--rollout", "1", "--out", "again")
        assert "again/proof-1.html" in again
        assert len(here.json("rollout", "list")) == 1, "nothing else began"
