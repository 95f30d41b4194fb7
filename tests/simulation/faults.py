"""What breaks: the process at a commit or a call, the store, the line to the server, and what devices say."""

import json
import plistlib
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from random import Random
from typing import Any

import requests

from osupdate_kit.errors import StoreError
from osupdate_kit.lab.server import Response
from osupdate_kit.servers.transport import Answer, Call
from osupdate_kit.stores.ledger import InboxRow, Ledger, Transaction
from tests.simulation.scenario import Faults


class Crash(BaseException):
    """The process dies here: nobody in it can catch this."""


class Luck:
    """Decides at each boundary what happens; counts what it did. Off while the world is calm."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self._random, self.faults, self.on = Random(f"faults {seed}"), faults, False
        self.injected: Counter[str] = Counter()

    def strikes(self, kind: str, share: float) -> bool:
        if not self.on or not share or self._random.random() >= share:
            return False
        self.injected[kind] += 1
        return True

    def between(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def choice(self, options: Sequence[Any]) -> Any:
        return self._random.choice(options)


class MortalLedger:
    """The store as the service's process has it: a commit may be the last thing that it does, or may not be."""

    def __init__(self, ledger: Ledger, luck: Luck) -> None:
        self._ledger, self._luck = ledger, luck
        self.open = 0  # write transactions that are open now

    def read(self) -> AbstractContextManager[Transaction]:
        return self._ledger.read()

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        faults, luck = self._luck.faults, self._luck
        self.open += 1
        try:
            with self._ledger.write() as tx:
                yield tx
                if luck.strikes("crash before commit", faults.crash_commit / 2):
                    raise Crash
                if luck.strikes("store fails", faults.store_fails):
                    raise StoreError("The store failed.", remedy="Wait.")
        finally:
            self.open -= 1
        if luck.strikes("crash after commit", faults.crash_commit / 2):
            raise Crash

    def take_in(self, rows: Sequence[InboxRow]) -> None:
        with self.write() as tx:
            tx.inbox_add(rows)

    def ours(self, uuids: Sequence[str]) -> set[str]:
        return self._ledger.ours(uuids)


class Line:
    """The wire between the service and the MDM server: `before` and `after` of an in-process session."""

    def __init__(self, luck: Luck) -> None:
        self._luck = luck

    def before(self, call: Call) -> None:
        luck, faults = self._luck, self._luck.faults
        if luck.strikes("crash before call", faults.crash_call / 2):
            raise Crash
        if luck.strikes("call lost", faults.call_lost):
            raise luck.choice((requests.ConnectionError, requests.ReadTimeout))("no answer")

    def after(self, call: Call, answer: Answer) -> Answer:
        luck, faults = self._luck, self._luck.faults
        if luck.strikes("crash after call", faults.crash_call / 2):
            raise Crash
        if luck.strikes("answer lost", faults.answer_lost / 2):
            raise luck.choice((requests.ConnectionError, requests.ReadTimeout))("no answer")
        if luck.strikes("proxy's page", faults.answer_lost / 4):
            status = luck.choice((200, 500, 502, 503, 504))
            return Response(status=status, headers={"Content-Type": "text/html"}, body=b"<html>Bad Gateway</html>")
        if luck.strikes("half an answer", faults.answer_lost / 4):
            return Response(status=answer.status, headers=answer.headers, body=answer.body[: len(answer.body) // 2])
        return answer


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
    report = plistlib.loads(b64decode(part["raw_payload"])) | luck.choice(_ODD)
    part["raw_payload"] = b64encode(plistlib.dumps(report)).decode()
    return json.dumps(event).encode()
