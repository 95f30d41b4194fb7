"""Hours of load in small: a real NanoMDM, simulated devices in a rollout, and events at a steady rate beside theirs,
while a notebook holds a read transaction. `make soak MINUTES=30`

Prints a line each ten seconds; exit 1 if memory, latency, backlog or the write-ahead log grow from the middle of the
run to its end, or if one call was refused. With `feed` it is the process that posts.
"""

import argparse
import asyncio
import hmac
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from random import Random
from statistics import median

import uvloop

from benchmarks.load import request
from osupdate_kit.lab.plists import write_plist
from osupdate_kit.stores.ledger import Ledger
from tests.line.site import SERVER, WEBHOOK_KEY, Site, site
from tests.line.waves import fleet

EVERY_SECONDS = 10.0
READ_SECONDS = 30.0  # how long the notebook holds a read, and how long it then does without
CONNECTIONS = 32
MOST_GROWTH = 0.15  # of the median, from the second third of the run to the last


@dataclass(frozen=True, slots=True)
class Sample:
    at: float  # seconds since the start
    rss_mb: float
    wal_mb: float
    backlog: int
    rate: float  # calls answered a second
    p50_ms: float
    p99_ms: float
    refused: int

    def __str__(self) -> str:
        return (
            f"{self.at:6.0f} s  {self.rate:7,.0f}/s  p50 {self.p50_ms:6.2f} ms  p99 {self.p99_ms:7.2f} ms  "
            f"RSS {self.rss_mb:6.1f} MB  WAL {self.wal_mb:6.1f} MB  inbox {self.backlog:6,}  refused {self.refused}"
        )


# --- the process that posts ---


def _bodies(udids: Sequence[str], seed: int) -> list[bytes]:
    """Mostly Idle; some answers to another party's commands. Stamped when they are made."""
    luck, found = Random(seed), []
    for udid in udids:
        for number in range(2):
            foreign = luck.random() < 0.1
            words: dict[str, object] = {"Status": "Acknowledged" if foreign else "Idle", "UDID": udid}
            if foreign:
                words["CommandUUID"] = f"FOREIGN-{seed}-{udid}-{number}"
            part = {
                "udid": udid, "ids": {"id": udid, "type": "Device"}, "status": words["Status"],
                **({"command_uuid": words["CommandUUID"]} if foreign else {}),
                "raw_payload": b64encode(write_plist(words)).decode(),
            }  # fmt: skip
            event = {
                "topic": "mdm.Connect", "event_id": f"{luck.getrandbits(64):016x}",
                "created_at": datetime.now(UTC).isoformat(), "acknowledge_event": part,
            }  # fmt: skip
            found.append(json.dumps(event).encode())
    luck.shuffle(found)
    return found


class _Post(asyncio.Protocol):
    """One connection: a call when its time has come and the last one is answered."""

    def __init__(self, feed: "_Feed") -> None:
        self._feed, self._head, self._sent = feed, b"", 0.0
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self._head.endswith(b"\r\n\r\n"):
            self._feed.answered(self._head.startswith(b"HTTP/1.1 200"), time.perf_counter() - self._sent)
            self._head = b""
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def _next(self) -> None:
        wait = self._feed.take()
        if wait is None:
            self._transport.close()
            return
        asyncio.get_running_loop().call_later(max(0.0, wait), self._send)

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._feed.request())


class _Feed:
    def __init__(self, udids: Sequence[str], rate: float, seconds: float) -> None:
        self._udids, self._rate, self._until = udids, rate, time.perf_counter() + seconds
        self._due = time.perf_counter()
        self._waiting: deque[bytes] = deque()
        self._seed = 0
        self.waits: list[float] = []
        self.refused = 0

    def take(self) -> float | None:
        """Seconds until the next call's turn; what was missed is not made up for in a burst."""
        now = time.perf_counter()
        if now > self._until:
            return None
        self._due = max(self._due + 1 / self._rate, now - 0.1)
        return self._due - now

    def request(self) -> bytes:
        if not self._waiting:
            self._seed += 1
            bodies = _bodies(self._udids, self._seed)
            self._waiting.extend(request(f"/webhook/{SERVER}", body, _signature(body)) for body in bodies)
        return self._waiting.popleft()

    def answered(self, good: bool, seconds: float) -> None:
        self.waits.append(seconds)
        self.refused += not good

    async def report(self) -> None:
        while time.perf_counter() < self._until:
            await asyncio.sleep(EVERY_SECONDS)
            waits, self.waits = sorted(self.waits), []
            told = {
                "rate": len(waits) / EVERY_SECONDS, "refused": self.refused,
                "p50": waits[len(waits) // 2] if waits else 0, "p99": waits[len(waits) * 99 // 100] if waits else 0,
            }  # fmt: skip
            print(json.dumps(told), flush=True)


def _signature(body: bytes) -> str:
    return b64encode(hmac.digest(WEBHOOK_KEY.encode(), body, sha256)).decode()


async def _feed(port: int, udids: Sequence[str], rate: float, seconds: float) -> None:
    loop, feed = asyncio.get_running_loop(), _Feed(udids, rate, seconds)
    made = [await loop.create_connection(lambda: _Post(feed), "127.0.0.1", port) for _ in range(CONNECTIONS)]
    report = loop.create_task(feed.report())
    await asyncio.gather(*(one.closed for _, one in made))
    await report


# --- the site, and what is measured ---


class Notebook(threading.Thread):
    """Holds a read transaction for a while, lets go for a while, over and over: a kernel with a long query."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url, self.stopping, self.reads = url, threading.Event(), 0

    def run(self) -> None:
        ledger = Ledger.open(self._url)
        while not self.stopping.is_set():
            with ledger.read() as tx:
                tx.count_devices()
                self.reads += 1
                self.stopping.wait(READ_SECONDS)
                tx.count_devices()
            self.stopping.wait(READ_SECONDS)
        ledger.close()


def soak(minutes: float, devices: int, rate: float, folder: Path) -> list[Sample]:
    specs = fleet(devices)
    with site(folder, specs, speed=600, start="2026-11-23T12:00:00Z") as here:
        here.serve()
        here.wait(lambda: "Webhook of site" in here.logs(), seconds=60, what="a service that works")
        here.json("devices", "sync", "--from", "fleet.csv")
        here.json("plan", "create", "--target", "26.6.1", "--allow-major", "--deadline", "30d", "-o", "plan.yaml")
        here.json("rollout", "start", "plan.yaml", "--yes")
        notebook = Notebook(here.environment["OSUPDATE_KIT_STORE_URL"])
        notebook.start()
        samples = _measured(here, minutes * 60, rate)
        notebook.stopping.set()
        notebook.join(60)
        print(f"{notebook.reads} reads of {READ_SECONDS:.0f} s each were held")
        return samples


def _measured(here: Site, seconds: float, rate: float) -> list[Sample]:
    port = re.search(r"http://[^:]+:(\d+)/webhook", here.logs())
    assert port, here.logs()
    service = here.services[0]
    words = [sys.executable, "-m", "benchmarks.soak", "feed", port[1], f"{rate:g}", f"{seconds:g}"]
    (here.folder / "udids").write_text("\n".join(spec.udid for spec in here.specs))
    samples, began = [], time.monotonic()
    with subprocess.Popen([*words, str(here.folder / "udids")], stdout=subprocess.PIPE, text=True) as feed:
        assert feed.stdout is not None
        for line in feed.stdout:
            told = json.loads(line)
            wal = here.folder / "store.db-wal"
            with here.ledger.read() as tx:
                backlog = tx.inbox_size()
            samples.append(
                Sample(
                    time.monotonic() - began,
                    _rss(service.pid),
                    wal.stat().st_size / 1e6 if wal.exists() else 0.0,
                    backlog,
                    told["rate"],
                    told["p50"] * 1e3,
                    told["p99"] * 1e3,
                    told["refused"],
                )
            )
            print(samples[-1], flush=True)
    return samples


def _rss(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024 / 1e6


def grown(samples: Sequence[Sample]) -> list[str]:
    """What is more in the last third than in the one before, by more than is allowed."""
    third = len(samples) // 3
    middle, end = samples[third : 2 * third], samples[2 * third :]
    found = []
    for name, least in (("rss_mb", 10.0), ("wal_mb", 64.0), ("backlog", 5000.0), ("p50_ms", 5.0), ("p99_ms", 50.0)):
        before, after = (median(getattr(one, name) for one in part) for part in (middle, end))
        if after > before * (1 + MOST_GROWTH) and after - before > least:
            found.append(f"{name} grew from {before:.1f} to {after:.1f}")
    if samples[-1].refused:
        found.append(f"{samples[-1].refused} calls were refused")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--devices", type=int, default=2_000)
    parser.add_argument("--rate", type=float, default=2_000, help="calls a second beside those of NanoMDM")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="osupdate-kit-soak-") as folder:
        samples = soak(words.minutes, words.devices, words.rate, Path(folder))
    found = grown(samples)
    calls = sum(one.rate for one in samples) * EVERY_SECONDS
    print(f"{words.minutes:g} minutes, {words.devices:,} devices, {calls:,.0f} calls; {'; '.join(found) or 'all flat'}")
    return 1 if found else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["feed"]:
        port, rate, seconds, udids = sys.argv[2:]
        uvloop.run(_feed(int(port), Path(udids).read_text().split(), float(rate), float(seconds)))
    else:
        sys.exit(main())
