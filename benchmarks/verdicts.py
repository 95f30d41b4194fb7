"""Verdicts: what it costs to say of each device how it takes a target, or why not."""

from collections.abc import Iterator
from statistics import median

from benchmarks.fleets import NOW, plan_of
from benchmarks.measure import Line, cpu_of
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.lab.specs import DeviceSpec
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.eligibility import Judge


def run(quick: bool) -> Iterator[Line]:
    devices, chunk = (20_000, 5_000) if quick else (1_000_000, 50_000)
    judge = Judge(plan_of("26.6.1", at=NOW))
    specs = make_fleet(makeup("school"), chunk, 1)
    costs = []
    for part in range(devices // chunk):  # flat memory: each part is made anew, outside the measurement
        fleet = [_device(spec, part) for spec in specs]
        costs.append(cpu_of(lambda fleet=fleet: [judge.verdict(device) for device in fleet]) / chunk * 1e6)
    yield Line(name="verdicts", measured=f"one of {devices:,}, school fleet", ours=median(costs), unit="µs", most=12)


def _device(spec: DeviceSpec, part: int) -> Device:
    return Device(
        key=DeviceKey("lab", f"{spec.udid}-{part}"), udid=spec.udid, serial=spec.serial, platform=spec.platform,
        model=spec.product_name, os_version=OSVersion.parse(spec.os_version), build_version=spec.build,
        supervised=spec.supervised, site=spec.site, ring=spec.ring, time_zone=spec.time_zone,
    )  # fmt: skip
