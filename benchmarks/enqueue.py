"""Enqueues on a real NanoMDM, in memory: the adapter against a bare session, and the way through the outbox."""

import time
from collections.abc import Callable, Iterator
from itertools import count
from uuid import UUID

import requests

from benchmarks.fleets import NOW, filled, key, scratch
from benchmarks.measure import Line, compared, wall_of
from osupdate_kit.lab.clock import VirtualClock
from osupdate_kit.protocol.commands import DeviceInformation, encode
from osupdate_kit.rehearsal import SERVER
from osupdate_kit.rollout.policy import Cadences
from osupdate_kit.rollout.ports import Outcome
from osupdate_kit.servers.nanomdm import NanoMDM
from osupdate_kit.service.service import Turns
from tests.real import RealServer, nanomdm

BATCH = 200  # ids a call, the adapter's default


def run(quick: bool) -> Iterator[Line]:
    devices, rounds = (10_000, 5) if quick else (100_000, 10)
    with scratch() as folder, nanomdm("inmem") as real:
        ids = [key(number).enrollment_id for number in range(devices)]
        batches = [ids[start : start + BATCH] for start in range(0, devices, BATCH)]
        part = len(batches) // rounds
        parts = [batches[start : start + part] for start in range(0, len(batches), part)]
        adapter, bare = _adapter(real), _bare(real)
        mine, theirs = iter(parts), iter(parts)
        adapter(batches[0]), bare(batches[0])
        found = compared(
            rounds,
            lambda: part * BATCH / wall_of(lambda: [adapter(batch) for batch in next(mine)]),
            lambda: part * BATCH / wall_of(lambda: [bare(batch) for batch in next(theirs)]),
        )
        yield Line(
            name="enqueue, adapter", measured=f"wall, {devices:,} ids, {BATCH} a call", against="bare requests.Session",
            ours=found.ours, limit=found.limit, ratio=found.ratio, unit="ids/s", least=0.9,
        )  # fmt: skip
        yield from _by_outbox(real, folder / "outbox.db", devices)


_numbers = count(1)


def _command() -> bytes:
    return encode(DeviceInformation(), str(UUID(int=next(_numbers))).upper())


def _adapter(real: RealServer) -> Callable[[list[str]], None]:
    server = NanoMDM(SERVER, real.url, real.api_key)

    def call(ids: list[str]) -> None:
        answer = server.enqueue(_command(), ids, push=False)
        assert all(outcome is Outcome.QUEUED for outcome in answer.outcomes.values()), answer

    return call


def _bare(real: RealServer) -> Callable[[list[str]], None]:
    session = requests.Session()
    session.auth = ("nanomdm", real.api_key)

    def call(ids: list[str]) -> None:
        answer = session.put(f"{real.url}/v1/enqueue/{','.join(ids)}?nopush=1", data=_command())
        assert answer.status_code == 200, answer.text

    return call


def _by_outbox(real: RealServer, path, devices: int) -> Iterator[Line]:
    """A whole rollout's first steps: intended by the loop, marked, sent with a push, settled, told to the inbox."""
    store = filled(path, devices, due_at=NOW)
    server = NanoMDM(SERVER, real.url, real.api_key)
    turns = Turns.over(store.ledger, [server], VirtualClock(NOW + 1), Cadences())
    sender, wall, cpu = turns.senders[SERVER], 0.0, 0.0
    decided = 0.0
    while True:
        began = time.perf_counter()
        due = turns.loop.turn()
        decided += time.perf_counter() - began
        if not due:
            break
        started = time.perf_counter(), time.process_time()
        while sender.turn():
            pass
        wall += time.perf_counter() - started[0]
        cpu += time.process_time() - started[1]
    with store.ledger.read() as tx:
        assert tx.outbox_backlog(SERVER) == 0
    store.ledger.close()
    ids = [key(number).enrollment_id for number in range(devices)]
    batches = [ids[start : start + BATCH] for start in range(0, devices, BATCH)]
    ceiling = wall_of(lambda: [server.enqueue(_command(), batch, push=True) for batch in batches])
    yield Line(
        name="enqueue, outbox", measured=f"wall, {devices:,} due devices: decided, marked, sent with a push, settled",
        against="the adapter's own calls", ours=devices / (wall + decided), limit=devices / ceiling,
        ratio=ceiling / (wall + decided), unit="ids/s", least=0.8,
    )  # fmt: skip
    yield Line(name="enqueue, outbox", measured="one id", ours=cpu / devices * 1e6, unit="µs")
