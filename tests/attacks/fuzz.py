"""Strangers' bodies, many of them, through the receiver and what follows: no 5xx, no error, memory that stays."""

import logging
import resource
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice

from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.lab.clock import VirtualClock
from osupdate_kit.service.receiver import LedgerInbox, Receiver, WebhookSource
from osupdate_kit.service.record import Plans
from osupdate_kit.service.worker import Worker
from osupdate_kit.stores.ledger import Ledger
from tests.attacks.mutations import UDID, UUID, bodies
from tests.lab.worlds import MONDAY

SERVER = "school"
_TURN = 500  # bodies between two turns of the worker


@dataclass(slots=True)
class Fuzzed:
    statuses: Counter[int] = field(default_factory=Counter)
    grown_kib: int = 0  # of the process, after the first tenth
    seconds: float = 0.0


def fuzz_receiver(count: int, seed: int) -> Fuzzed:
    """Post so many; what was taken in goes through the worker, too, which has to take all of it."""
    ledger, clock, found = Ledger.open("sqlite://", migrate=True), VirtualClock(MONDAY), Fuzzed()
    with ledger.write() as tx:
        tx.add_devices([Device(key=DeviceKey(SERVER, UDID), udid=UDID)], now=MONDAY)
        tx.add_command(UUID, SERVER, "OSUpdateStatus", 0, "{}", MONDAY)  # so that answers are ours to read
    receiver = Receiver(LedgerInbox(ledger), [WebhookSource(name=SERVER, key=None)], clock)
    worker = Worker(ledger, clock, Plans())
    began, before = time.perf_counter(), 0
    for number, body in enumerate(islice(bodies(seed), count)):
        clock.advance_to(clock.now() + 1000)
        found.statuses[receiver.accept(SERVER, {}, body)] += 1
        if number % _TURN == 0:
            while worker.turn():
                pass
        if number == count // 10:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while worker.turn():
        pass
    found.grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    found.seconds = time.perf_counter() - began
    ledger.close()
    return found


def by_hand(count: int, seed: int) -> bool:
    logging.disable()
    found = fuzz_receiver(count, seed)
    rate = count / found.seconds
    print(f"{count:,} bodies of seed {seed} in {found.seconds:,.0f} s, {rate:,.0f} a second: {dict(found.statuses)}")
    print(f"memory grew by {found.grown_kib / 1024:.1f} MiB after the first tenth")
    return not any(status >= 500 for status in found.statuses)
