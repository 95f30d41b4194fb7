"""What the benchmarks run on: webhook calls of simulated devices, and stores filled by the ledger's own means."""

import hmac
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.lab.clock import DAY
from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rehearsal import BEGINS_AT, SERVER, Rehearsal, write_list
from osupdate_kit.rollout.journey import Instrument, Member
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.targets import Target
from osupdate_kit.stores.ledger import Ledger

KEY = b"rehearsal"  # the webhook key of a rehearsal's server
TARGETS = {Platform.IPADOS: "26.6.1", Platform.MACOS: "26.6.2", Platform.TVOS: "26.6"}


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="osupdate-kit-bench-") as folder:
        yield Path(folder)


def signature(body: bytes) -> str:
    return b64encode(hmac.digest(KEY, body, sha256)).decode()


# --- rehearsals ---


def rehearsal_of(devices: int, folder: Path, *, seed: int = 1) -> Rehearsal:
    """A school district that is known by list, and asked what it is as its first day goes by."""
    parts = makeup("school")
    specs = make_fleet(parts, devices, seed)
    rehearsal = Rehearsal.of(parts, specs, f"sqlite:///{folder / f'fleet-{seed}.db'}", seed=seed, who="bench")
    rehearsal.kit.sync(str(write_list(specs, folder / "fleet.csv")), SERVER)
    return rehearsal


def start_rollouts(rehearsal: Rehearsal) -> None:
    """One for each platform, as `demo` does."""
    kit = rehearsal.kit
    for platform, version in TARGETS.items():
        chosen = kit.select(where=f'platform == "{platform.value}"')
        if chosen.devices:
            kit.start(kit.draft(chosen, plan_of(version, at=kit.clock.now())))


def plan_of(version: str, *, at: int) -> RolloutPlan:
    target = Target(version=OSVersion.parse(version))
    return RolloutPlan(
        name=version, author="bench", created_at=at, target=target, deadline_at=at + 14 * DAY, allow_major=True
    )


def webhook_bodies(devices: int, folder: Path, *, days: float = 2) -> list[bytes]:
    """What a NanoMDM would post of such a fleet, in the order in which it came: census, then rollouts."""
    rehearsal = rehearsal_of(devices, folder)
    server, bodies = rehearsal.world.server, []
    receive = server.webhook
    assert receive is not None

    def listen(body: bytes, headers: Mapping[str, str]) -> int:
        bodies.append(body)
        return receive(body, headers)

    server.webhook = listen
    rehearsal.run(1)
    start_rollouts(rehearsal)
    rehearsal.run(days)
    rehearsal.kit.close()
    return bodies


# --- stores ---

NOW = BEGINS_AT
_CHUNK = 20_000


@dataclass(frozen=True, slots=True)
class Filled:
    """A store with one live rollout of all its iPads."""

    ledger: Ledger
    rollout: int


def key(number: int) -> DeviceKey:
    return DeviceKey(SERVER, f"00008030-{number * 7919 % 10_000_019:016X}")


def device(number: int) -> Device:
    return Device(
        key=key(number), udid=key(number).enrollment_id, serial=f"DMPX{number:08}", name=f"iPad {number}", site="North",
        platform=Platform.IPADOS, model="iPad13,18", os_version=OSVersion.parse("18.6"), supervised=True, ring="pilot",
    )  # fmt: skip


def _member(number: int) -> Member:
    return Member(
        key=key(number), udid=key(number).enrollment_id, serial=f"DMPX{number:08}", platform="iPadOS",
        os_version="18.6", time_zone="Europe/Berlin", site="North", ring="pilot", wave="all",
        instrument=Instrument.COMMAND,
    )  # fmt: skip


def filled(path: Path, devices: int, *, due_at: int) -> Filled:
    """That many devices in a rollout that began at `NOW`; each is looked at when `due_at` has come."""
    ledger = Ledger.open(f"sqlite:///{path}", migrate=True)
    order = sorted(range(devices), key=key)  # rows in the order of their key are added where the last one was
    for start in range(0, devices, _CHUNK):
        with ledger.write() as tx:
            tx.add_devices((device(number) for number in order[start : start + _CHUNK]), now=NOW)
    yaml = replace(plan_of("18.7.2", at=NOW), members=devices).to_yaml()
    with ledger.write() as tx:
        plan = tx.save_plan(
            name="bench", yaml=yaml, sha256="bench", author="bench", created_at=NOW, members=map(_member, order)
        )
    with ledger.write() as tx:
        rollout = tx.start_rollout(plan, now=NOW, deadline_at=NOW + 14 * DAY, by="bench")
        tx.make_due(rollout, due_at)
    return Filled(ledger, rollout)
