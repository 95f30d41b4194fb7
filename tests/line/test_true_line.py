"""The true line: from a plan to verified devices, on a real NanoMDM, with the service killed on the way."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.lab.specs import DeviceSpec
from osupdate_kit.lab.truth import What
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.policy import DAY, HOUR
from tests.line.site import Site, secrets_arrive, site
from tests.real import Cluster, postgres

pytestmark = pytest.mark.real_server

TARGETS = {Platform.IPADOS: "26.6.1", Platform.IOS: "26.6.1", Platform.MACOS: "26.6.2", Platform.TVOS: "26.6"}
SPEED = 3000
DAYS = 4


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgres() as running:
        yield running


def fleet() -> list[DeviceSpec]:
    """200 devices of all platforms; they take long enough to wake that a Date header's whole second can be told."""
    specs = [*make_fleet(makeup("school"), 120, 5), *make_fleet(makeup("company"), 80, 6)]
    return [spec.behaving(reach_seconds=(600, 4000)) for spec in specs]


@pytest.mark.parametrize("storage", ["inmem", "pgsql"])
def test_every_device_ends_where_the_truth_log_says(
    storage: Literal["inmem", "pgsql"], tmp_path: Path, cluster: Cluster
) -> None:
    with site(tmp_path, fleet(), speed=SPEED, start="2026-11-23T12:00:00Z", storage=storage, cluster=cluster) as here:
        here.serve()
        here.wait(lambda: "Webhook of site" in here.logs(), seconds=30, what="a service that works")
        here.serve()  # the stand-by, which takes over at the first kill
        assert here.json("servers", "check")[0]["ok"] is True
        told = here.json("devices", "sync", "--from", "fleet.csv")
        assert (told["listed"], told["new"] + told["known"], told["remarks"]) == (200, 200, [])
        here.wait(lambda: here.known() >= 170, seconds=60, what="170 devices that said what they are")
        rollouts = {}
        for platform, version in TARGETS.items():
            file = f"{platform.value}.yaml"
            where = f'platform == "{platform.value}"'
            words = ["--target", version, "--allow-major", "--where", where, "--deadline", f"{DAYS}d", "-o", file]
            here.run("plan", "create", *words)
            rollouts[platform] = here.json("rollout", "start", file, "--yes")["rollout"]
        began = here.clock.now()
        for share in (0.08, 0.2, 0.4):
            here.wait_until(began + int(share * DAYS * DAY))
            here.kill()
            here.serve()
        here.wait_until(began + DAYS * DAY + 2 * HOUR)
        for number in rollouts.values():
            here.wait(lambda: _ended(here, number), seconds=60, what=f"rollout {number} at its end")  # noqa: B023
        _holds(here, rollouts, done=90)


def _ended(here: Site, number: int) -> bool:
    status = here.json("rollout", "status", str(number))
    ends = {"barred", "done", "failed", "expired", "unknown", "notified", "downloaded_end"}
    return set(status["states"]) <= ends


def _holds(here: Site, rollouts: dict[Platform, int], *, done: int) -> None:
    states: Counter[str] = Counter()
    for platform, number in rollouts.items():
        status = here.json("rollout", "status", str(number))
        assert sum(status["states"].values()) == status["selected"] == len(status["devices"])  # I5
        for device in status["devices"]:
            states[device["state"]] += 1
            _is_true(here, device, TARGETS[platform])
    assert states["done"] >= done, states
    assert not here.truth.second_installs(own=here.our_uuids())  # I1
    assert any(map(secrets_arrive, here.recorder.acknowledged)) or here.recorder.lost
    acknowledged = list(here.recorder.acknowledged)
    here.wait(lambda: not here.missing_events(acknowledged), seconds=30, what="the effect of all acknowledged (I3)")
    assert here.json("store", "verify") == []  # I7
    assert not here.secrets_found()  # I11


def _is_true(here: Site, device: dict[str, object], target: str) -> None:
    """I6: done only with the target; and whoever had it for long enough to say so is shown as done."""
    udid, wanted = str(device["udid"]), OSVersion.parse(target)
    has = OSVersion.parse(here.truth.version(udid)) >= wanted
    if device["state"] == "done":
        assert has, device
    elif has and device["state"] != "barred":
        there_at = max(entry.at for entry in here.truth.of(udid, What.INSTALLED))
        woke = [entry for entry in here.truth.of(udid, What.ANSWERED) if entry.at > there_at + DAY]
        assert not woke, (device, woke)
    if device["state"] == "failed":
        assert device["failure_class"], device


def test_the_same_line_before_a_real_nanohub(tmp_path: Path) -> None:
    """Its webhook is not signed, and its API has other paths and another user."""
    specs = [spec for spec in fleet() if spec.platform in (Platform.IPADOS, Platform.MACOS)][:60]
    with site(tmp_path, specs, speed=SPEED, start="2026-11-23T12:00:00Z", kind="nanohub") as here:
        here.serve()
        here.wait(lambda: "Webhook of site" in here.logs(), seconds=30, what="a service that works")
        assert here.json("servers", "check")[0]["ok"] is True
        here.json("devices", "sync", "--from", "fleet.csv")
        here.wait(lambda: here.known() >= 50, seconds=60, what="50 devices that said what they are")
        here.run(
            "plan",
            "create",
            "--target",
            "26.6.1",
            "--allow-major",
            "--where",
            'platform == "iPadOS"',
            "--deadline",
            "2d",
            "-o",
            "p",
        )
        number = here.json("rollout", "start", "p", "--yes")["rollout"]
        began = here.clock.now()
        here.wait_until(began + int(0.3 * DAY))
        here.kill()
        here.serve()
        here.wait_until(began + 2 * DAY + 2 * HOUR)
        here.wait(lambda: _ended(here, number), seconds=60, what="every device at its end")
        _holds(here, {Platform.IPADOS: number}, done=15)


def test_who_sleeps_through_the_window_gets_nothing_and_a_pause_prints_who_is_armed(tmp_path: Path) -> None:
    """Half of the devices sleep from before the window until after it. In the middle comes a pause."""
    awake, asleep = ({"night_share": share, "offline_share": 0.0, "self_wake_days": (9, 12)} for share in (1.0, 0.0))
    specs = [
        replace(spec, time_zone="Europe/Berlin", supervised=True, os_version="18.6.2", build="22G100", newest_major=26)
        .behaving(**(awake if number % 2 else asleep), reach_seconds=(600, 3000), prompt_hours=(1, 6))
        for number, spec in enumerate(_ipads(60))
    ]  # fmt: skip
    sleepers = {spec.udid for number, spec in enumerate(specs) if number % 2 == 0}
    with site(tmp_path, specs, speed=900, start="2026-11-23T15:00:00Z") as here:
        here.serve()
        here.wait(lambda: "Webhook of site" in here.logs(), seconds=30, what="a service that works")
        here.json("devices", "sync", "--from", "fleet.csv")
        here.wait(lambda: here.known() >= 50, seconds=60, what="50 devices known")
        here.run("plan", "create", "--target", "18.7.2", "--window", "23:00-05:00", "-o", "plan.yaml")
        number = str(here.json("rollout", "start", "plan.yaml", "--yes")["rollout"])
        midnight = here.clock.now() // DAY * DAY + 24 * HOUR
        here.wait_until(midnight + HOUR)  # 02:00 in Berlin
        paused = here.json("rollout", "pause", number)
        paused_at = here.clock.now()
        assert paused["outcome"] == "done"
        here.wait_until(midnight + 9 * HOUR)
        serial = {spec.udid: spec.serial for spec in specs}
        steps = [e for e in here.truth if e.what is What.HANDED and e.detail.startswith("ScheduleOSUpdate")]
        assert {entry.udid for entry in steps} & set(serial) - sleepers, "nobody was sent anything: the test is void"
        queued = {e.udid for e in here.truth if e.what is What.QUEUED and e.detail.startswith("ScheduleOSUpdate")}
        assert not queued & sleepers
        assert not {entry.udid for entry in steps} & sleepers
        installs = [e for e in steps if e.at > paused_at and e.detail.endswith("InstallASAP")]
        assert {serial[entry.udid] for entry in installs} <= set(paused["armed"])
        begun = {e.udid for e in here.truth if e.what is What.INSTALL_STARTED and e.at > paused_at and e.command_uuid}
        assert {serial[udid] for udid in begun} <= set(paused["armed"])
        states = here.json("rollout", "status", number)["states"]
        assert sum(states.values()) == len(specs)


def _ipads(count: int) -> list[DeviceSpec]:
    specs = make_fleet(makeup("school"), 2 * count, 9)
    return [spec for spec in specs if spec.platform is Platform.IPADOS][:count]
