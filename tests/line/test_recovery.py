"""Where no webhook reaches the kit, or one was lost, its own reader of NanoMDM's database brings what was said."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.lab.specs import DeviceSpec
from osupdate_kit.lab.truth import What
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.rollout.policy import DAY, HOUR
from tests.line.site import Site, site
from tests.real import Cluster, postgres

pytestmark = pytest.mark.real_server
START = "2026-11-23T12:00:00Z"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgres() as running:
        yield running


def ipads(count: int) -> list[DeviceSpec]:
    specs = [spec for spec in make_fleet(makeup("school"), 3 * count, 9) if spec.platform is Platform.IPADOS]
    return [spec.behaving(reach_seconds=(600, 4000)) for spec in specs[:count]]


def serve(here: Site) -> None:
    here.serve()
    here.wait(lambda: "Webhook of site" in here.logs(), seconds=30, what="a service that works")


def states(here: Site, number: int) -> dict[str, int]:
    told: dict[str, int] = here.json("rollout", "status", str(number))["states"]
    return told


def is_true(here: Site, number: int) -> None:
    """What is shown as done runs the target; nothing was installed twice, nothing secret was kept."""
    for one in here.json("rollout", "status", str(number))["devices"]:
        if one["state"] == "done":
            assert here.truth.version(one["udid"]) == "26.6.1", one
    assert not here.truth.second_installs(own=here.our_uuids())
    assert here.json("store", "verify") == []
    assert not here.secrets_found()


def test_without_any_webhook_devices_are_found_asked_and_updated(tmp_path: Path, cluster: Cluster) -> None:
    specs = ipads(40)
    with site(
        tmp_path, specs, speed=4000, start=START, storage="pgsql", cluster=cluster, loses=1.0, database=True
    ) as here:
        serve(here)
        told = here.json("devices", "sync", "--from-database")
        assert (told["listed"], told["new"] + told["known"], told["asked"]) == (40, 40, 40)
        here.wait(lambda: here.known() >= 34, seconds=60, what="34 devices that said what they are")
        assert here.recorder.acknowledged == []
        found = here.json("doctor", "--device", specs[0].udid)
        hops = {hop["name"]: hop for hop in found["hops"]}
        assert hops["database"]["found"] == "ok"
        assert "read from the server's database" in hops["webhook"]["seen"]
        here.run("plan", "create", "--target", "26.6.1", "--allow-major", "--deadline", "4d", "-o", "plan.yaml")
        number = here.json("rollout", "start", "plan.yaml", "--yes")["rollout"]
        began = here.clock.now()
        here.wait_until(began + DAY)
        here.kill()
        serve(here)
        here.wait_until(began + 3 * DAY)
        here.wait(lambda: states(here, number).get("done", 0) >= 15, seconds=60, what="15 devices done")
        is_true(here, number)
        assert here.recorder.acknowledged == []


def test_what_a_dead_receiver_missed_is_filled_in_and_repeats_are_harmless(tmp_path: Path, cluster: Cluster) -> None:
    """Half of the calls are lost, the others come twice: with the database, each answer is one event."""
    specs = ipads(30)
    with site(
        tmp_path,
        specs,
        speed=4000,
        start=START,
        storage="pgsql",
        cluster=cluster,
        loses=0.5,
        doubles=0.5,
        database=True,
    ) as here:
        serve(here)
        here.json("devices", "sync", "--from-database")
        here.wait(lambda: here.known() >= 26, seconds=60, what="26 devices that said what they are")
        here.run("plan", "create", "--target", "26.6.1", "--allow-major", "--deadline", "4d", "-o", "plan.yaml")
        number = here.json("rollout", "start", "plan.yaml", "--yes")["rollout"]
        began = here.clock.now()
        here.wait_until(began + 3 * DAY)
        here.wait(lambda: states(here, number).get("done", 0) >= 12, seconds=60, what="12 devices done")
        assert here.recorder.lost > 20
        settled = here.clock.now() - 6 * HOUR
        ours = here.our_uuids()
        answered = {
            (entry.udid, entry.command_uuid)
            for entry in here.truth
            if entry.what is What.ANSWERED and entry.command_uuid in ours and entry.at < settled
        }
        with here.ledger.read() as tx:
            events = tx.events_of([device.key for device in tx.all_devices()]).values()
            told = [(e.key.enrollment_id, e.command_uuid) for mine in events for e in mine if e.kind == "answered"]
        assert answered - set(told) == set(), "no answer is missing"
        is_true(here, number)
