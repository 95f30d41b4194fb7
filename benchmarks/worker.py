"""The worker: inbox → events, facts, transitions and journeys, against merely reading and checking the same calls.

The calls are a school district's, census and three rollouts: about half Idle, half answers to queries and steps (the
line says the shares). They come in as they would while the service catches up, so that batches are large; receipts of
the sender are worked in beside them, at the calls' expense.
"""

import gc
import hmac
import json
import plistlib
import time
from base64 import b64decode
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from statistics import median

from benchmarks.fleets import KEY, rehearsal_of, scratch, start_rollouts
from benchmarks.measure import Line, cpu_of
from osupdate_kit.lab.clock import DAY, HOUR
from osupdate_kit.rehearsal import SERVER
from osupdate_kit.servers.events import encode_event, parse_event
from osupdate_kit.stores.ledger import InboxRow


def run(quick: bool) -> Iterator[Line]:
    devices, days, seeds = (200, 1, (1,)) if quick else (3_000, 2, (1, 2, 3))
    with scratch() as folder:
        runs = [_Run(devices, folder, seed) for seed in seeds]
        for one in runs:
            one.go(days)
    ours, limit = median(one.ours for one in runs), median(one.limit for one in runs)
    yield Line(
        name="worker", measured=f"one event ({runs[0].mix})", against="json.loads, plistlib.loads, HMAC", unit="µs",
        ours=ours, limit=limit, ratio=median(one.ours / one.limit for one in runs), most=2.5,
    )  # fmt: skip
    whole = median(one.checked + one.ours for one in runs)
    yield Line(
        name="worker and checks", measured="the same, with HMAC, reading, redaction", against="the same", unit="µs",
        ours=whole, limit=limit, ratio=median((one.checked + one.ours) / one.limit for one in runs),
    )  # fmt: skip


class _Run:
    """A rehearsal in which calls gather for an hour, and are then worked in."""

    def __init__(self, devices: int, folder: Path, seed: int) -> None:
        self._rehearsal = rehearsal_of(devices, folder, seed=seed)
        self._rehearsal.world.server.webhook = self._gather
        self._bodies: list[bytes] = []
        self._seconds = Counter[str]()
        self._events = 0
        self._kinds: Counter[str] = Counter()

    @property
    def ours(self) -> float:
        return self._seconds["worker"] / self._events * 1e6

    @property
    def limit(self) -> float:
        return self._seconds["limit"] / self._events * 1e6

    @property
    def checked(self) -> float:
        return self._seconds["checked"] / self._events * 1e6

    @property
    def mix(self) -> str:
        return ", ".join(f"{count / self._events:.0%} {kind}" for kind, count in self._kinds.most_common(4))

    def go(self, days: float) -> None:
        self._pass(1)
        start_rollouts(self._rehearsal)
        self._pass(days)
        self._rehearsal.kit.close()

    def _gather(self, body: bytes, headers: Mapping[str, str]) -> int:
        self._bodies.append(body)
        return 200

    def _pass(self, days: float) -> None:
        world, clock, turns = self._rehearsal.world, self._rehearsal.clock, self._rehearsal.turns
        ends = clock.now() + int(days * DAY)
        while clock.now() < ends:
            world.run_until(clock.now() + HOUR)
            gc.freeze()  # a service has no simulated fleet in its memory that each collection would walk
            bodies, self._bodies = self._bodies, []
            self._take_in(bodies)
            waiting = deque(bodies)
            while True:
                busy = False
                while self._work(waiting):
                    busy = True
                busy = bool(turns.actor.turn() + turns.loop.turn() + turns.census.turn()) or busy
                if not (turns.senders[SERVER].turn() or busy):
                    break

    def _take_in(self, bodies: list[bytes]) -> None:
        """As the receiver does: check, read, redact; group by group."""
        started = time.process_time()
        for start in range(0, len(bodies), 500):
            group = bodies[start : start + 500]
            events = [parse_event(body) for body in group if hmac.digest(KEY, body, sha256)]
            ours = self._rehearsal.kit.ledger.ours(list({event.command_uuid for event in events}))
            told = [encode_event(event.redacted(ours=event.command_uuid in ours)) for event in events]
            self._seconds["checked"] += time.process_time() - started
            now = self._rehearsal.clock.now()
            rows = [InboxRow(server=SERVER, kind="webhook", received_at=now, body=body) for body in told]
            self._rehearsal.kit.ledger.take_in(rows)
            started = time.process_time()

    def _work(self, waiting: "deque[bytes]") -> bool:
        """One turn of the worker, and the limit over the calls that it took."""
        started = time.process_time()
        taken = self._rehearsal.turns.worker.turn()
        self._seconds["worker"] += time.process_time() - started
        bodies = [waiting.popleft() for _ in range(min(taken, len(waiting)))]
        self._seconds["limit"] += cpu_of(lambda: [_limit(body) for body in bodies])
        self._events += len(bodies)
        for body in bodies:
            part = json.loads(body).get("acknowledge_event")
            self._kinds[part["status"] if part else "check-in"] += 1
        return bool(taken)


def _limit(body: bytes) -> None:
    event = json.loads(body)
    hmac.digest(KEY, body, sha256)
    part = event.get("acknowledge_event") or event["checkin_event"]
    plistlib.loads(b64decode(part["raw_payload"]))
