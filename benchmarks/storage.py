"""The store: inserts against bare sqlite3, and what a turn of the loop costs in a small fleet and in a large one."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from benchmarks.fleets import NOW, Filled, filled, key, scratch, webhook_bodies
from benchmarks.measure import Line, compared, cpu_of
from osupdate_kit.lab.clock import DAY, VirtualClock
from osupdate_kit.rehearsal import SERVER
from osupdate_kit.rollout.policy import Cadences
from osupdate_kit.servers.events import encode_event, parse_event
from osupdate_kit.service.loop import Loop
from osupdate_kit.service.record import Plans
from osupdate_kit.stores.connect import PRAGMAS, WRITER_CACHE
from osupdate_kit.stores.ledger import InboxRow, Ledger

# --- inserts ---


def run_insert(quick: bool) -> Iterator[Line]:
    devices, rounds = (40, 5) if quick else (150, 15)
    with scratch() as folder:
        bodies = [encode_event(parse_event(body).redacted(ours=True)) for body in webhook_bodies(devices, folder)]
        ledger = Ledger.open(f"sqlite:///{folder / 'ours.db'}", migrate=True)
        Ledger.open(f"sqlite:///{folder / 'bare.db'}", migrate=True).close()
        bare = _bare(folder / "bare.db")
        for size in (50, 500):
            batches = [bodies[start : start + size] for start in range(0, len(bodies) - size + 1, size)][: 4000 // size]
            each = 1e6 / (len(batches) * size)
            found = compared(
                rounds,
                lambda batches=batches, each=each: cpu_of(lambda: _take_in(ledger, batches)) * each,
                lambda batches=batches, each=each: cpu_of(lambda: _execute(bare, batches)) * each,
            )
            yield Line(
                name=f"insert, {size}", measured="one inbox row, FULL, speed",
                against="sqlite3 executemany, same bytes",
                ours=found.ours, limit=found.limit, ratio=1 / found.ratio, unit="µs", least=0.7,
            )  # fmt: skip
        bare.close()
        ledger.close()


def _take_in(ledger: Ledger, batches: list[list[bytes]]) -> None:
    for bodies in batches:
        ledger.take_in([InboxRow(server=SERVER, kind="webhook", received_at=NOW, body=body) for body in bodies])


def _bare(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in (*PRAGMAS, WRITER_CACHE):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _execute(bare: sqlite3.Connection, batches: list[list[bytes]]) -> None:
    insert = "INSERT INTO inbox (server, kind, received_at, body) VALUES (?,?,?,?)"
    for bodies in batches:
        bare.execute("BEGIN IMMEDIATE")
        bare.executemany(insert, [(SERVER, "webhook", NOW, body) for body in bodies])
        bare.execute("COMMIT")


# --- a turn of the loop ---

DUE = 1_000


def run_turn(quick: bool) -> Iterator[Line]:
    few, many, rounds = (5_000, 20_000, 3) if quick else (10_000, 1_000_000, 9)
    with scratch() as folder:
        small, large = (_Fleet(folder / f"{devices}.db", devices) for devices in (few, many))
        found = compared(rounds, large.turn, small.turn)
        small.store.ledger.close()
        large.store.ledger.close()
    yield Line(
        name="turn", measured=f"one of {DUE:,} due among {many:,} devices", against=f"among {few:,}", unit="µs",
        ours=found.ours, limit=found.limit, ratio=found.ratio, most=1.5,
    )  # fmt: skip


class _Fleet:
    """A rollout in which nobody is due, but for those of a turn: they get their first step."""

    def __init__(self, path: Path, devices: int) -> None:
        self.store: Filled = filled(path, devices, due_at=NOW + DAY)
        self._devices, self._turns = devices, 0
        self._loop = Loop(self.store.ledger, VirtualClock(NOW + 1), Cadences(), Plans(), limit=DUE)

    def turn(self) -> float:
        apart = self._devices // DUE
        due = [key(self._turns + apart * n) for n in range(DUE)]
        self._turns += 1
        with self.store.ledger.write() as tx:
            tx.set_due([(self.store.rollout, one, NOW) for one in due])
        return cpu_of(self._one_turn) / DUE * 1e6

    def _one_turn(self) -> None:
        decided = self._loop.turn()
        assert decided == DUE, decided
