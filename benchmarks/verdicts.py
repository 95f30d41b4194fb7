"""Verdicts: what it costs to say of each device how it takes a target, or why not, and what preflight finds."""

from collections.abc import Iterator
from dataclasses import replace
from statistics import median

from benchmarks.fleets import NOW, plan_of
from benchmarks.measure import Line, cpu_of
from osupdate_kit.feeds.releases import read_catalogue
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.lab.fleet import make_fleet, makeup, shipped
from osupdate_kit.lab.specs import DeviceSpec
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.eligibility import Judge
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.preflight import Told
from osupdate_kit.rollout.targets import Goal, Target


def run(quick: bool) -> Iterator[Line]:
    by_rule = replace(plan_of("26.6.1", at=NOW), target=Target(), goal=Goal(latest="minor", after_days=7))
    yield _line("verdicts", plan_of("26.6.1", at=NOW), quick)
    yield _line("verdicts by rule", by_rule, quick)


def _line(name: str, plan: RolloutPlan, quick: bool) -> Line:
    devices, chunk = (20_000, 5_000) if quick else (1_000_000, 50_000)
    catalogue = read_catalogue((shipped("data") / "releases" / "catalogue.json").read_bytes())
    judge = Judge(plan, catalogue, NOW)
    specs = make_fleet(makeup("school"), chunk, 1)
    costs = []
    for part in range(devices // chunk):  # flat memory: each part is made anew, outside the measurement
        fleet = [(_device(spec, part), _told(spec, number)) for number, spec in enumerate(specs)]
        costs.append(cpu_of(lambda fleet=fleet: [judge.verdict(one, told, NOW) for one, told in fleet]) / chunk * 1e6)
    return Line(name=name, measured=f"one of {devices:,}, school fleet", ours=median(costs), unit="µs", most=12)


def _device(spec: DeviceSpec, part: int) -> Device:
    return Device(
        key=DeviceKey("lab", f"{spec.udid}-{part}"), udid=spec.udid, serial=spec.serial, platform=spec.platform,
        model=spec.product_name, os_version=OSVersion.parse(spec.os_version), build_version=spec.build,
        supervised=spec.supervised, site=spec.site, ring=spec.ring, time_zone=spec.time_zone,
    )  # fmt: skip


def _told(spec: DeviceSpec, number: int) -> Told:
    """Every eighth device has little space, or a low battery."""
    mac = {"IsAppleSilicon": True, "SecurityInfoAt": NOW} if spec.platform is Platform.MACOS else {}
    return {
        "AvailableDeviceCapacity": 4.0 if number % 8 == 0 else 43.5, "BatteryLevel": 0.1 if number % 8 == 1 else 0.8,
        "IsMultiUser": spec.shared_ipad, "SoftwareUpdateDeviceID": spec.product_name, **mac,
        "AvailableOSUpdates": [["18.7.8", 3 << 30, 2 << 30, 0]],
    }  # fmt: skip
