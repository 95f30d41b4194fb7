"""A rehearsal: what simulated fleet, server, receiver, store and turns cost together, in one process."""

import time
from collections.abc import Iterator

from benchmarks.fleets import rehearsal_of, scratch, start_rollouts
from benchmarks.measure import Line


def run(quick: bool) -> Iterator[Line]:
    devices, days = (100, 1) if quick else (1_000, 3)
    with scratch() as folder:
        started = time.process_time()
        rehearsal = rehearsal_of(devices, folder)
        rehearsal.run(1)
        start_rollouts(rehearsal)
        rehearsal.run(days)
        events = len(rehearsal.world.server.acknowledged)
        cost = (time.process_time() - started) / events * 1e6
        rehearsal.kit.close()
    yield Line(name="rehearsal", measured=f"one of {events:,} events, {devices:,} devices", ours=cost, unit="µs")
