"""What breaks: the process at a commit or a call, the store, the line to the server, clocks, and what devices say."""

import json
import plistlib
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import requests
from urllib3.exceptions import NewConnectionError

from osupdate_kit.errors import StoreError
from osupdate_kit.lab.clock import HOUR, MINUTE, VirtualClock
from osupdate_kit.lab.server import Response
from osupdate_kit.servers.transport import Answer, Call
from osupdate_kit.stores.ledger import InboxRow, Transaction
from tests.simulation.scenario import Faults
from tests.simulation.store import Store


class Crash(BaseException):
    """The process dies here: nobody in it can catch this."""


class Luck:
    """Decides at each boundary what happens; counts what it did. Off while the world is calm.

    Each kind of fault has luck of its own, so that a story without one kind meets the others where it met them before.
    """

    def __init__(self, seed: int, faults: Faults) -> None:
        self._seed, self.faults, self.on = seed, faults, False
        self._of: dict[str, Random] = {}
        self.injected: Counter[str] = Counter()

    def _random(self, kind: str) -> Random:
        found = self._of.get(kind)
        if found is None:
            found = self._of[kind] = Random(f"{kind} {self._seed}")
        return found

    def strikes(self, kind: str, share: float) -> bool:
        if not self.on or not share or self._random(kind).random() >= share:
            return False
        self.injected[kind] += 1
        return True

    def between(self, kind: str, low: float, high: float) -> float:
        return self._random(kind).uniform(low, high)

    def choice(self, kind: str, options: Sequence[Any]) -> Any:
        return self._random(kind).choice(options)


class Clocks(VirtualClock):
    """The world's time, which the lab server's own clock is ahead of or behind."""

    def __init__(self, start_at: int) -> None:
        super().__init__(start_at)
        self.server_ahead = 0

    def to_server(self, at: int) -> int:
        return at + self.server_ahead


class OurClock:
    """The clock of the machine that the service runs on: as it is set, it jumps, back as well."""

    def __init__(self, world: VirtualClock) -> None:
        self._world, self.ahead = world, 0

    def now(self) -> int:
        return self._world.now() + self.ahead

    def from_server(self, at: int) -> int:
        return at


class MortalLedger:
    """The store as the service's process has it: a commit may be the last thing that it does, or may not be."""

    def __init__(self, store: Store, luck: Luck, clock: VirtualClock) -> None:
        self._store, self._ledger, self._luck, self._clock = store, store.ledger, luck, clock
        self.open = 0  # write transactions that are open now
        self.away_until = self.full_until = 0

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        self._reached()
        with self._ledger.read() as tx:
            yield tx

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        faults, luck = self._luck.faults, self._luck
        self._reached()
        self.open += 1
        try:
            with self._ledger.write() as tx:
                yield tx
                if luck.strikes("crash before commit", faults.crash_commit / 2):
                    raise Crash
                if luck.strikes("store fails", faults.store_fails):
                    raise StoreError("The store failed.", remedy="Wait.")
                if luck.strikes("database away in a transaction", faults.store_away / 2) and not self._store.cut():
                    raise StoreError("The database went away.", remedy="Wait.")
        finally:
            self.open -= 1
        if luck.strikes("crash after commit", faults.crash_commit / 2):
            raise Crash

    def _reached(self) -> None:
        """May this transaction begin? From time to time the database is away for a while, or its disk is full."""
        now, luck = self._clock.now(), self._luck
        if self.full_until and now >= self.full_until:
            self.make_room()
        if luck.strikes("disk full", luck.faults.disk_full / 4) and self._store.fill(
            luck.choice("pages", (0, 0, 1, 4))
        ):
            self.full_until = now + int(luck.between("full", 0.05, 4) * HOUR)
        if luck.strikes("database away", luck.faults.store_away / 8):
            self.away_until = now + int(luck.between("away", 0.02, 3) * HOUR)
            self._store.cut()
        if now < self.away_until and luck.on:
            raise StoreError("The database is away.", remedy="Wait.")

    def make_room(self) -> None:
        if self.full_until:
            self._store.empty()
            self.full_until = 0

    def take_in(self, rows: Sequence[InboxRow]) -> None:
        with self.write() as tx:
            tx.inbox_add(rows)

    def ours(self, uuids: Sequence[str]) -> set[str]:
        self._reached()
        return self._ledger.ours(uuids)


@dataclass(order=True, slots=True)
class Underway:
    """A call that the kit has given up, and that a proxy hands on all the same."""

    at: int
    number: int
    server: str
    call: Call
    handle: Callable[..., Any]  # of the server that it goes to


class Line:
    """The wire between the service and one MDM server: `before` and `after` of an in-process session."""

    def __init__(self, luck: Luck, clock: VirtualClock, server: str) -> None:
        self._luck, self._clock, self._server = luck, clock, server
        self.underway: list[Underway] = []

    def before(self, call: Call, handle: Callable[..., Any], late: str = "call comes late") -> None:
        """handle: the server's own, which may see the call after the kit has given it up; late: what that is called."""
        luck, faults = self._luck, self._luck.faults
        if luck.strikes("crash before call", faults.crash_call / 2):
            raise Crash
        if luck.strikes("nobody is there", faults.refused):
            raise requests.ConnectionError(NewConnectionError(None, "Connection refused"))
        if luck.strikes("call lost", faults.call_lost):
            raise _no_answer(luck)
        if luck.strikes(late, faults.call_late):
            later = luck.choice("how late", (0.5 * MINUTE, 20 * MINUTE, 3 * HOUR, 12 * HOUR))
            at = self._clock.now() + int(luck.between("how late", 0.2, 1) * later)
            self.underway.append(Underway(at, len(self.underway), self._server, call, handle))
            raise _no_answer(luck)

    def after(self, call: Call, answer: Answer) -> Answer:
        luck, faults = self._luck, self._luck.faults
        if luck.strikes("crash after call", faults.crash_call / 2):
            raise Crash
        if luck.strikes("answer lost", faults.answer_lost / 2):
            raise _no_answer(luck)
        if luck.strikes("proxy's page", faults.answer_lost / 4):
            status = luck.choice("page", (200, 500, 502, 503, 504))
            return Response(status=status, headers={"Content-Type": "text/html"}, body=b"<html>Bad Gateway</html>")
        if luck.strikes("half an answer", faults.answer_lost / 4):
            return Response(status=answer.status, headers=answer.headers, body=answer.body[: len(answer.body) // 2])
        return answer


def _no_answer(luck: Luck) -> requests.RequestException:
    error: type[requests.RequestException] = luck.choice("error", (requests.ConnectionError, requests.ReadTimeout))
    return error("no answer")


_ODD: Sequence[dict[str, Any]] = (
    {"QueryResponses": "none"},
    {"QueryResponses": {"OSVersion": 26, "ProductName": ["iPad"], "IsSupervised": "perhaps"}},
    {"QueryResponses": {"OSVersion": "twenty-six"}},
    {"OSUpdateStatus": {"ProductKey": 5}},
    {"OSUpdateStatus": [{"IsDownloaded": "yes", "DownloadPercentComplete": "half", "Status": "Dancing"}]},
    {"UpdateResults": [{"InstallAction": "Perhaps", "Status": 7}]},
    {"AvailableOSUpdates": [{"Version": "x" * 300}, 5]},
    {"Status": "Confused"},
    {"ErrorChain": "many"},
)


def garbled(body: bytes, luck: Luck) -> bytes:
    """The webhook's body as a device of unknown make might have caused it: a report that says odd things."""
    event = json.loads(body)
    part = event["acknowledge_event"]
    report = plistlib.loads(b64decode(part["raw_payload"])) | luck.choice("odd", _ODD)
    part["raw_payload"] = b64encode(plistlib.dumps(report)).decode()
    return json.dumps(event).encode()
