"""One rollout to OS 27.1 over a mixed fleet: commands below OS 26, declarations from there on, on a bad network."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path

from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.lab.specs import DeviceSpec, release
from osupdate_kit.lab.truth import What
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.policy import DAY, HOUR
from osupdate_kit.servers.ddm import DIALECTS, Declarations
from osupdate_kit.settings import Settings
from tests.line.site import PAUSE, SERVER, Kind, Site, site

TARGET = OSVersion.parse("27.1")
NEWER = {p: (release(p, "27.1", "24B70"),) for p in (Platform.IOS, Platform.IPADOS, Platform.TVOS, Platform.MACOS)}
OLD = [
    (Platform.IPADOS, "15.8", "19H370"), (Platform.IPADOS, "16.7.10", "20H350"), (Platform.IPADOS, "17.7.10", "21H450"),
    (Platform.IPADOS, "18.7.2", "22H124"), (Platform.MACOS, "12.7.6", "21H1320"), (Platform.MACOS, "13.7.8", "22H730"),
    (Platform.MACOS, "14.8.2", "23J126"), (Platform.MACOS, "15.7.2", "24G325"), (Platform.TVOS, "18.5", "22L572"),
]  # fmt: skip
NEW = [
    (Platform.IPADOS, "26.6.1", "23G90"), (Platform.IOS, "26.6.1", "23G90"), (Platform.IOS, "27.0", "24A330"),
    (Platform.MACOS, "26.6.2", "25G80"), (Platform.MACOS, "27.0", "26A340"), (Platform.TVOS, "26.6", "23M50"),
]  # fmt: skip
WAVES = """
waves:
- {name: canary, who: {percent: 20}}
- {name: broad, opens: {done_share: 0.3}}
limits: {failure_share: 0.7, healthy_share: 0.3, failures: 5000}
"""


def fleet(devices: int) -> list[DeviceSpec]:
    """Of each make and version alike; supervised, of models that take OS 27, slow enough for a Date's whole second."""
    wanted = list(islice(cycle(OLD + NEW), devices))
    made: dict[Platform, Iterator[DeviceSpec]] = {}
    for platform in {platform for platform, _, _ in wanted}:
        name = "company" if platform is Platform.IOS else "school"
        specs = make_fleet(makeup(name), 40 * devices if platform is Platform.TVOS else 4 * devices, 11)
        made[platform] = iter([spec for spec in specs if spec.platform is platform])
    return [
        replace(next(made[platform]), os_version=version, build=build, newest_major=99, supervised=True).behaving(
            reach_seconds=(600, 4000), updates_itself_days=None
        )
        for platform, version, build in wanted
    ]


@dataclass(frozen=True, slots=True)
class Played:
    """What came of it, each device held against the fleet's own log."""

    states: Counter[str]
    planned: Counter[str]  # devices by the instrument of the plan
    done_by: Counter[tuple[str, str]]  # done devices by the plan's instrument, and by the one that brought the target
    false_done: list[str]
    not_known: list[str]  # devices that have had the target for a day, and are not shown as done
    fights: list[str]
    second_installs: list[str]
    assigned_still: list[str]  # devices that the server still gives a set of ours
    missing: list[str]
    differences: list[object]
    secrets: list[str]


def play(folder: Path, kind: Kind, *, devices: int, speed: float, days: float, kills: int) -> Played:
    specs = fleet(devices)
    with site(
        folder, specs, speed=speed, start="2026-11-23T12:00:00Z", kind=kind, newer=NEWER, loses=0.02, doubles=0.05
    ) as here:
        here.serve()
        here.wait(lambda: "Webhook of site" in here.logs(), seconds=30, what="a service that works")
        here.serve()
        here.json("devices", "sync", "--from", "fleet.csv")
        here.wait(lambda: here.known() >= 0.9 * devices, seconds=120, what="most devices known")
        (folder / "waves.yaml").write_text(WAVES)
        words = ["--target", str(TARGET), "--allow-major", "--waves", "waves.yaml", "--deadline", f"{days * 24:.0f}h"]
        here.run("plan", "create", *words, "--enforce-days", "1", "--enforce-weekends", "-o", "plan.yaml")
        number = here.json("rollout", "start", "plan.yaml", "--yes")["rollout"]
        ends = here.clock.now() + int(days * DAY) + 6 * HOUR
        for _ in range(kills):
            PAUSE.wait(here.clock.real_seconds(ends) / (kills + 2))
            here.kill()
            here.serve()
        here.wait_until(ends)
        return _judged(here, number)


def _judged(here: Site, number: int) -> Played:
    acknowledged = list(here.recorder.acknowledged)
    here.wait(lambda: not here.missing_events(acknowledged), seconds=60, what="the effect of all acknowledged (I3)")
    status = here.json("rollout", "status", str(number))
    assert sum(status["states"].values()) == status["selected"] == len(status["devices"])  # I5
    done = [device for device in status["devices"] if device["state"] == "done"]
    return Played(
        states=Counter(status["states"]),
        planned=Counter(device["instrument"] for device in status["devices"]),
        done_by=Counter((device["instrument"], _brought(here, device["udid"])) for device in done),
        false_done=[device["udid"] for device in done if not _brought(here, device["udid"])],
        not_known=[d["udid"] for d in status["devices"] if d["state"] not in ("done", "barred") and _had(here, d)],
        fights=[str(fight) for fight in here.truth.fights(here.our_uuids())],
        second_installs=[str(one) for one in here.truth.second_installs(own=here.our_uuids())],
        assigned_still=_assigned(here),
        missing=here.missing_events(acknowledged),
        differences=here.json("store", "verify"),
        secrets=here.secrets_found(),
    )


def _brought(here: Site, udid: str) -> str:
    """The instrument that brought the target; empty: it never ran it."""
    found = [one for one in here.truth.installs(udid) if OSVersion.parse(one.version.partition("(")[0]) >= TARGET]
    return found[0].instrument if found else ""


def _had(here: Site, device: dict[str, str]) -> bool:
    """Has it run the target for a day, and woken since?"""
    at = [
        e.at
        for e in here.truth.of(device["udid"], What.INSTALLED)
        if OSVersion.parse(e.detail.partition("(")[0]) >= TARGET
    ]
    return bool(at) and any(e.at > at[0] + DAY for e in here.truth.of(device["udid"], What.ANSWERED))


def _assigned(here: Site) -> list[str]:
    settings = Settings.load(here.folder / "osupdate-kit.toml").servers[SERVER]
    server = Declarations(
        SERVER, DIALECTS[settings.declared_by], settings.declarations_address(), settings.declarations_key()
    )
    return [f"{spec.udid}: {sorted(names)}" for spec in here.specs if (names := server.sets_of(spec.udid).names)]
