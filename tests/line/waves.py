"""A rollout in waves before a real NanoMDM: a network with faults, a stand-by, and the active service killed again
and again. The suite plays it small, the benchmark with 2,000 devices."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.lab.specs import DeviceSpec
from osupdate_kit.lab.truth import SecondInstall, What
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.policy import DAY, HOUR
from tests.line.site import PAUSE, Site, site
from tests.real import Cluster

TARGET = OSVersion.parse("26.6.1")
PLAN = """
waves:
- {name: canary, who: {cover: [model, os_version]}, pace: 20}
- {name: pilot, who: {percent: 20}, opens: {done_share: 0.4, soak_hours: 2}, pace: 200}
- {name: broad, opens: {done_share: 0.3}}
limits: {failure_share: 0.6, healthy_share: 0.2, failures: 5000}
"""


@dataclass(frozen=True, slots=True)
class Size:
    devices: int
    speed: float
    days: float
    kill_seconds: float  # how long a service lives


@dataclass(frozen=True, slots=True)
class Played:
    """What came of it, each device held against the fleet's own log."""

    states: Counter[str]
    opened: dict[str, str | None]  # by wave: since when it was open
    kills: int
    lost: int  # calls of the webhook that the network swallowed
    false_done: list[str]
    not_known: list[str]  # devices that have had the target for a day, and woke since, and are not shown as done
    second_installs: list[str]  # each with the device's whole story, by the fleet's log and by the kit's events
    denied: int  # those before which the device had answered an Error, and gone on all the same: no query shows it
    missing: list[str]  # acknowledged answers that no event tells of
    out_of_turn: list[str]  # devices that were sent a step before their wave was open
    differences: list[object]  # what replaying all events finds


def fleet(devices: int) -> list[DeviceSpec]:
    """iPads that take long enough to wake that a Date header's whole second can be told."""
    specs = make_fleet(makeup("school"), 2 * devices, 7)
    found = [spec for spec in specs if spec.platform is Platform.IPADOS][:devices]
    return [spec.behaving(reach_seconds=(600, 4000)) for spec in found]


def play(folder: Path, cluster: Cluster, size: Size) -> Played:
    start, specs = "2026-11-23T12:00:00Z", fleet(size.devices)
    with site(
        folder, specs, speed=size.speed, start=start, storage="pgsql", cluster=cluster, loses=0.02, doubles=0.05
    ) as here:
        here.serve()
        here.wait(lambda: "Webhook of site" in here.logs(), seconds=30, what="a service that works")
        here.serve()
        here.json("devices", "sync", "--from", "fleet.csv")
        here.wait(lambda: here.known() >= 0.8 * size.devices, seconds=120, what="most devices known")
        (folder / "waves.yaml").write_text(PLAN)
        words = ["--target", str(TARGET), "--allow-major", "--waves", "waves.yaml"]
        words += ["--deadline", f"{size.days:g}d", "-o", "plan.yaml"]
        here.run("plan", "create", *words)
        number = here.json("rollout", "start", "plan.yaml", "--yes")["rollout"]
        ends, kills = here.clock.now() + int(size.days * DAY) + 2 * HOUR, 0
        while here.clock.now() < ends:
            PAUSE.wait(min(size.kill_seconds, here.clock.real_seconds(ends)))
            if here.clock.now() < ends - 12 * HOUR:
                here.kill()
                here.serve()
                kills += 1
        return _judged(here, number, kills)


def _judged(here: Site, number: int, kills: int) -> Played:
    acknowledged = list(here.recorder.acknowledged)
    here.wait(lambda: not here.missing_events(acknowledged), seconds=60, what="the effect of all acknowledged (I3)")
    status = here.json("rollout", "status", str(number))
    assert sum(status["states"].values()) == status["selected"] == len(status["devices"])  # I5
    opened = {wave["name"]: wave["opened_at"] for wave in status["waves"]}
    second = list(here.truth.second_installs(own=here.our_uuids()))
    return Played(
        states=Counter(status["states"]),
        opened=opened,
        kills=kills,
        lost=here.recorder.lost,
        false_done=[d["udid"] for d in status["devices"] if d["state"] == "done" and not _has(here, d["udid"])],
        not_known=[d["udid"] for d in status["devices"] if d["state"] not in ("done", "barred") and _told(here, d)],
        second_installs=[_both_sides(here, one) for one in second if not _denied(here, one)],
        denied=sum(_denied(here, one) for one in second),
        missing=here.missing_events(acknowledged),
        out_of_turn=[d["udid"] for d in status["devices"] if d["commands_sent"] and not opened[d["wave"]]],
        differences=here.json("store", "verify"),
    )


def _denied(here: Site, one: SecondInstall) -> bool:
    """Did the device deny by an Error the step that it was carrying out? The model's own exception to I1."""
    told = [e.detail for e in here.truth.of(one.udid, What.ANSWERED) if e.command_uuid == one.open_uuid]
    habits = next(spec.behaviour for spec in here.specs if spec.udid == one.udid)
    return habits.false_error and told == ["Error"]


def _both_sides(here: Site, one: SecondInstall) -> str:
    lines = [f"{one}", *(f"  {e.at} {e.what} {e.command_uuid} {e.detail}" for e in here.truth.of(one.udid))]
    with here.ledger.read() as tx:
        key = next(device.key for device in tx.all_devices() if device.udid == one.udid)
        events = tx.events_of([key]).get(key, [])
    lines += [f"  {e.at} {e.kind} {e.command_uuid} {dict(e.evidence)} recorded {e.recorded_at}" for e in events]
    return "\n".join(lines)


def _has(here: Site, udid: str) -> bool:
    return OSVersion.parse(here.truth.version(udid)) >= TARGET


def _told(here: Site, device: dict[str, str]) -> bool:
    """Has it said which version it has, long enough ago that the kit should know?"""
    udid = device["udid"]
    if not _has(here, udid):
        return False
    there_at = max((entry.at for entry in here.truth.of(udid, What.INSTALLED)), default=0)
    return any(entry.at > there_at + DAY for entry in here.truth.of(udid, What.ANSWERED))
