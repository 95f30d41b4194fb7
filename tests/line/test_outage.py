"""A NanoMDM that cannot be reached for hours: nothing is lost, no device fails, and people are told."""

from pathlib import Path

import pytest

from osupdate_kit.lab.real import PushProxy
from osupdate_kit.rollout.policy import HOUR
from tests.line.site import SERVER, Site, site
from tests.line.test_recovery import ipads, states

pytestmark = pytest.mark.real_server


def untaken(here: Site) -> list[str]:
    return [one["what"] for one in here.json("alerts", "list") if one["kind"] == "calls_not_taken"]


def test_a_rollout_that_begins_while_its_server_is_away_goes_on_when_it_is_back(tmp_path: Path) -> None:
    with site(tmp_path, ipads(20), speed=2000, start="2026-11-23T12:00:00Z") as here:
        here.serve()
        here.json("devices", "sync", "--from", "fleet.csv")
        here.wait(lambda: here.known() >= 16, seconds=60, what="16 devices that said what they are")
        port = int(here.proxy.url.rpartition(":")[2])
        here.proxy.stop()
        here.kill()  # with its open connection to the server
        here.serve()
        here.run("plan", "create", "--target", "26.6.1", "--allow-major", "--deadline", "4d", "-o", "plan.yaml")
        number = here.json("rollout", "start", "plan.yaml", "--yes")["rollout"]
        here.wait_until(here.clock.now() + 6 * HOUR)
        assert "no connection can be made" in untaken(here)[0]
        before = states(here, number)
        assert "failed" not in before
        waiting = next(d for d in here.json("rollout", "status", str(number))["devices"] if d["state"] == "knocking")
        assert f"waits for {SERVER}, which takes no commands" in here.json("why", waiting["udid"])["finding"]
        with PushProxy(here.server.url, here.devices.push, here.clock, here.truth, port=port):
            here.wait(lambda: states(here, number).get("done", 0) >= 12, seconds=120, what="12 devices done")
            assert untaken(here) == []
            assert not here.truth.second_installs(own=here.our_uuids())
            assert here.json("store", "verify") == []
