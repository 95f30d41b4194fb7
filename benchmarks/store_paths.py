"""What the ledger's own part of the worker costs per event, and what it adds to bare sqlite3.

Run: python benchmarks/store_paths.py [--devices N] [--events N] [--url URL]. Prints microseconds of CPU per event, and
ratios whose two sides ran in turn in the same process. On PostgreSQL the CPU of its own processes is not in it.
"""

import argparse
import sqlite3
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.events import EventKind, RolloutEvent
from osupdate_kit.rollout.journey import Instrument, Member, OutboxKind, OutboxRow, OutboxStatus
from osupdate_kit.stores.connect import PRAGMAS
from osupdate_kit.stores.ledger import InboxRow, Ledger, Transition
from osupdate_kit.stores.rows import event_values

NOW = 1_795_000_000_000_000
BATCH = 500
FACTS = (
    '[{"17":["7",1,"InstallASAP",4,5,0,0,0,1]},{},{},[0,0],["18.6","22G86","","",1795000000000000]' + ",0" * 150 + "]"
)
EVIDENCE = {"of": "step", "role": 2, "action": "InstallASAP", "status": "Acknowledged", "answer": "acknowledged"}


class Costs:
    """CPU seconds by name."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = defaultdict(float)
        self.wall: dict[str, float] = defaultdict(float)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.cpu[name] += time.process_time() - cpu
        self.wall[name] += time.perf_counter() - wall


def key(number: int) -> DeviceKey:
    return DeviceKey("school", f"00008030-{number * 7919 % 10_000_019:016X}")


def device(number: int) -> Device:
    return Device(
        key=key(number), udid=f"00008030-{number:016X}", serial=f"DMPX{number:08}", name=f"iPad {number}", site="North",
        platform=Platform.IPADOS, model="iPad13,18", os_version=OSVersion.parse("18.6"), supervised=True, ring="pilot",
    )  # fmt: skip


def member(number: int) -> Member:
    return Member(
        key=key(number), udid=f"00008030-{number:016X}", serial=f"DMPX{number:08}", platform="iPadOS",
        os_version="18.6", time_zone="Europe/Berlin", site="North", ring="pilot", wave="all",
        instrument=Instrument.COMMAND,
    )  # fmt: skip


def fill(ledger: Ledger, devices: int, costs: Costs) -> int:
    """A store with that many devices, all in one rollout."""
    for start in range(0, devices, 20_000):
        with costs.of("add a device"), ledger.write() as tx:
            tx.add_devices((device(n) for n in range(start, min(start + 20_000, devices))), now=NOW)
    with ledger.write() as tx:
        for start in range(0, devices, 20_000):  # as large as after some events
            known = tx.devices(key(n) for n in range(start, min(start + 20_000, devices)))
            tx.save_devices([replace(stored, facts=FACTS) for stored in known.values()])
    members = sorted((member(n) for n in range(devices)), key=lambda m: m.key)
    with costs.of("save a member"), ledger.write() as tx:
        plan = tx.save_plan(name="p", yaml="", sha256="s", author="a", created_at=NOW, members=members)
    with costs.of("begin a journey"), ledger.write() as tx:
        rollout = tx.start_rollout(plan, now=NOW, deadline_at=NOW, by="a")
    with costs.of("make a journey due"), ledger.write() as tx:
        tx.make_due(rollout, NOW + 10_000_000)
    return rollout


def batch(ledger: Ledger, rollout: int, numbers: list[int], turn: int, costs: Costs) -> None:
    """What the worker asks of the ledger for one batch, without its own thinking."""
    keys = [key(n) for n in numbers]
    uuid = f"UUID-{turn}"
    with costs.of("(take in)"):
        rows = [InboxRow(server="school", kind="webhook", received_at=NOW, body=b"x" * 1300) for _ in numbers]
        ledger.take_in(rows)
    with ledger.write() as tx:
        intended = [OutboxRow(key=k, rollout=rollout, kind=OutboxKind.STEP, role=1, command="{}") for k in keys]
        with costs.of("(outbox add)"):
            intended = tx.add_outbox(intended)
        with costs.of("(outbox save)"):
            sent = [replace(row, status=OutboxStatus.SENDING, command_uuid=uuid) for row in intended]
            tx.save_outbox(sent)
        tx.add_command(uuid, "school", "ScheduleOSUpdate", rollout, "{}", NOW)
        tx.save_outbox([replace(row, status=OutboxStatus.QUEUED) for row in sent])
    with costs.of("inbox_next"), ledger.read() as tx:
        taken = tx.inbox_next(BATCH)
    with costs.of("commit"), ledger.write() as tx:
        started = time.process_time(), time.perf_counter()
        with costs.of("devices"):
            known = tx.devices(keys)
        with costs.of("journeys_of"):
            journeys = tx.journeys_of(keys)
        with costs.of("answered_rows"):
            answered = tx.answered_rows([(k, uuid) for k in keys])
        events = [
            RolloutEvent(
                key=k, kind=EventKind.ANSWERED, at=NOW + turn, recorded_at=NOW + turn, digest=f"{uuid}:0123456789ab",
                server_at=NOW, rollout=rollout, outbox=answered[k, uuid].id, command_uuid=uuid, evidence=EVIDENCE,
            )
            for k in keys
        ]  # fmt: skip
        with costs.of("add_events"):
            new = tx.add_events(events)
        saved = [replace(known[k], newest_at=NOW + turn, facts=FACTS + " " * (turn % 7)) for k in keys]
        with costs.of("save_devices"):
            tx.save_devices(saved)
        states = [replace(journeys[e.key][0].journey, state="scheduled", updated_seq=e.seq) for e in new]
        with costs.of("save_journeys"):
            tx.save_journeys(states)
        changes = [
            Transition(rollout=rollout, key=e.key, at=e.at, known_seq=e.seq, state=state, sign=sign)
            for e in new
            for state, sign in (("held", -1), ("scheduled", 1))
        ]
        with costs.of("add_transitions (2)"):
            tx.add_transitions(changes)
        with costs.of("seen"):
            tx.seen(dict.fromkeys(keys, NOW + turn))
        with costs.of("set_due"):
            tx.set_due([(rollout, k, NOW + 10_000_000 + turn) for k in keys])
        with costs.of("inbox_done"):
            tx.inbox_done([row.id for row in taken])
        costs.cpu["commit"] -= time.process_time() - started[0]
        costs.wall["commit"] -= time.perf_counter() - started[1]


def _bare(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return connection


def inserts(folder: Path, costs: Costs) -> None:
    """Events by the ledger and by bare sqlite3 executemany: the same rows, the same settings, in turn."""
    ledger = Ledger.open(f"sqlite:///{folder / 'ours.db'}", migrate=True)
    Ledger.open(f"sqlite:///{folder / 'bare.db'}", migrate=True).close()
    bare = _bare(folder / "bare.db")
    insert = f"INSERT INTO events VALUES ({','.join('?' * 12)})"
    for size in (50, 500):
        for turn in range(40_000 // size):
            events = [
                RolloutEvent(key=key(n), kind=EventKind.IDLE, at=turn, recorded_at=turn, digest=f"{size}:{turn}:{n}",
                             evidence=EVIDENCE)
                for n in range(size)
            ]  # fmt: skip
            first = (size == 500) * 40_000 + turn * size + 1
            with costs.of(f"bare insert, {size}"):
                values = [event_values(event, seq) for seq, event in enumerate(events, first)]
                bare.execute("BEGIN IMMEDIATE")
                bare.executemany(insert, values)
                bare.execute("COMMIT")
            with costs.of(f"our insert, {size}"), ledger.write() as tx:
                tx.add_events(events)
    bare.close()
    ledger.close()


def inbox(folder: Path, costs: Costs) -> None:
    """The receiver's rows by the ledger and by bare sqlite3."""
    ledger = Ledger.open(f"sqlite:///{folder / 'in-ours.db'}", migrate=True)
    Ledger.open(f"sqlite:///{folder / 'in-bare.db'}", migrate=True).close()
    bare = _bare(folder / "in-bare.db")
    for size in (50, 500):
        rows = [InboxRow(server="school", kind="webhook", received_at=NOW, body=bytes(2000)) for _ in range(size)]
        values = [("school", "webhook", NOW, bytes(2000)) for _ in range(size)]
        for _ in range(20_000 // size):
            with costs.of(f"bare take in, {size}"):
                bare.execute("BEGIN IMMEDIATE")
                bare.executemany("INSERT INTO inbox (server, kind, received_at, body) VALUES (?,?,?,?)", values)
                bare.execute("COMMIT")
            with costs.of(f"our take in, {size}"):
                ledger.take_in(rows)
    bare.close()
    ledger.close()


def due(ledger: Ledger, rollout: int, numbers: list[int], costs: Costs, name: str) -> None:
    """A thousand due devices: found, loaded, put off."""
    keys = [key(n) for n in numbers]
    with ledger.write() as tx:
        tx.set_due([(rollout, k, NOW) for k in keys])
    with costs.of(name), ledger.write() as tx:
        found = tx.due(NOW, 5000)
        assert len(found) == len(keys), len(found)
        tx.devices(j.journey.key for j in found)
        tx.set_due([(rollout, j.journey.key, NOW + 10_000_000) for j in found])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--devices", type=int, default=100_000)
    arguments.add_argument("--events", type=int, default=20_000)
    arguments.add_argument("--url", default="")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fills, costs = Costs(), Costs()
        ledger = Ledger.open(chosen.url or f"sqlite:///{folder}/large.db", migrate=True)
        rollout = fill(ledger, chosen.devices, fills)
        print(f"filling a store of {chosen.devices:,} devices, µs of CPU each (wall):")
        for name, seconds in fills.cpu.items():
            each = 1e6 / chosen.devices
            print(f"  {name:22} {seconds * each:7.1f} ({fills.wall[name] * each:.1f}; {fills.wall[name]:.1f} s in all)")
        turns = chosen.events // BATCH
        for turn in range(turns):
            numbers = [(turn * BATCH + n) * 613 % chosen.devices for n in range(BATCH)]
            batch(ledger, rollout, list(dict.fromkeys(numbers)), turn, costs)
        print(f"the ledger's part of the worker, {BATCH} events a batch, µs of CPU per event (wall):")
        for name, seconds in costs.cpu.items():
            print(f"  {name:22} {seconds / chosen.events * 1e6:7.1f} ({costs.wall[name] / chosen.events * 1e6:.1f})")
        ours = [name for name in costs.cpu if not name.startswith("(")]
        total, wall = (sum(times[name] for name in ours) / chosen.events * 1e6 for times in (costs.cpu, costs.wall))
        print(f"  {'without those in ()':22} {total:7.1f} ({wall:.1f})")
        if not chosen.url:
            compare(ledger, rollout, chosen.devices, Path(folder))
        ledger.close()


def compare(ledger: Ledger, rollout: int, devices: int, folder: Path) -> None:
    costs = Costs()
    inserts(folder, costs)
    inbox(folder, costs)
    small = Ledger.open(f"sqlite:///{folder / 'small.db'}", migrate=True)
    few = fill(small, 10_000, Costs())
    for turn in range(9):
        due(small, few, [(turn + 7 * n) % 10_000 for n in range(1000)], costs, "due, 10,000 devices")
        due(ledger, rollout, [(turn + devices // 1000 * n) % devices for n in range(1000)], costs, "due, all devices")
    small.close()
    ratios = [
        ("our insert, 50", "bare insert, 50"),
        ("our insert, 500", "bare insert, 500"),
        ("our take in, 50", "bare take in, 50"),
        ("our take in, 500", "bare take in, 500"),
    ]
    for name in ("due, 10,000 devices", "due, all devices"):
        each = 1e6 / 9000
        print(f"  {name:22} {costs.cpu[name] * each:7.1f} ({costs.wall[name] * each:.1f}), µs for each of 1,000 due")
    print("speed as a share of bare sqlite3's, by wall (by CPU); at least 0.7:")
    for ours, bare in ratios:
        wall, cpu = costs.wall[bare] / costs.wall[ours], costs.cpu[bare] / costs.cpu[ours]
        print(f"  {ours:22} {wall:5.2f} ({cpu:.2f})  {'yes' if wall >= 0.7 else 'NO'}")


if __name__ == "__main__":
    main()
