"""Peak memory of a service: 100,000 devices in one live rollout, calls coming in, a status read once.

Run as a module with a store, a rollout, a server's address and its key it is the service.
"""

import json
import re
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.children import Child, answer, child, tell
from benchmarks.fleets import KEY, NOW, Filled, filled, key, scratch, signature
from benchmarks.load import post, request
from benchmarks.measure import Line
from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.kit import Kit
from osupdate_kit.lab.plists import write_plist
from osupdate_kit.rehearsal import SERVER
from osupdate_kit.rollout.journey import OutboxStatus
from osupdate_kit.rollout.policy import Cadences
from osupdate_kit.servers.nanomdm import NanoMDM
from osupdate_kit.service.clock import open_clock
from osupdate_kit.service.receiver import LedgerInbox, Receiver, WebhookSource, serve_receiver
from osupdate_kit.service.service import Service
from osupdate_kit.stores.ledger import Ledger
from tests.real import nanomdm

_PART = 5_000
_PATIENCE_SECONDS = 900.0


def run(quick: bool) -> Iterator[Line]:
    devices = 2_000 if quick else 100_000
    with scratch() as folder, nanomdm("inmem") as real:
        store = filled(folder / "store.db", devices, due_at=NOW)
        words = (str(folder / "store.db"), str(store.rollout), real.url, real.api_key)
        with child("benchmarks.memory", *words) as service:
            port = service.told()
            _await(service, lambda states: "held" not in states)  # everyone has been sent the first step
            for start in range(0, devices, _PART):
                post(port, _calls(store, [key(number) for number in range(start, min(start + _PART, devices))]))
            _await(service, lambda states: "queued" not in states)  # every answer has been worked in
            before = service.ask("peak")
            listed = service.ask("status")
            assert listed == devices, listed
            peak = service.ask("peak")
        store.ledger.close()
    what = f"peak RSS of the service, {devices:,} devices, {2 * devices:,} calls"
    yield Line(name="memory", measured=what, ours=before, unit="MB", most=600)
    yield Line(name="memory", measured="the same, with a status of all devices", ours=peak, unit="MB", most=600)


def _calls(store: Filled, keys: list[DeviceKey]) -> list[bytes]:
    """What the devices say once they are woken: Idle, and that they download."""
    with store.ledger.read() as tx:
        rows = tx.outbox_of(keys, {OutboxStatus.QUEUED})
    calls = []
    for one in keys:
        for uuid in ("", rows[one][-1].command_uuid):
            body = _body(one.enrollment_id, uuid)
            calls.append(request(f"/webhook/{SERVER}", body, signature(body)))
    return calls


def _body(udid: str, uuid: str) -> bytes:
    words: dict[str, object] = {"Status": "Acknowledged" if uuid else "Idle", "UDID": udid}
    if uuid:
        item = {"InstallAction": "DownloadOnly", "ProductKey": "iOSUpdate22H124", "Status": "Downloading"}
        words |= {"CommandUUID": uuid, "UpdateResults": [item]}
    part = {
        "udid": udid,
        "ids": {"id": udid, "type": "Device"},
        "status": words["Status"],
        **({"command_uuid": uuid} if uuid else {}),
        "raw_payload": b64encode(write_plist(words)).decode(),
    }
    event = {
        "topic": "mdm.Connect", "event_id": "0123456789abcdef", "created_at": datetime.now(UTC).isoformat(),
        "acknowledge_event": part,
    }  # fmt: skip
    return json.dumps(event, separators=(",", ":")).encode()


def _await(service: Child, holds: Callable[[dict[str, int]], bool]) -> None:
    """Ask for the counts by state until they are as wanted; the load of asking is small against the work."""
    pause, waited = threading.Event(), 0.0
    while not holds(states := service.ask("states")):
        assert waited < _PATIENCE_SECONDS, states
        pause.wait(1.0)
        waited += 1.0


# --- the service ---


def _serve(path: str, rollout: int, url: str, api_key: str) -> None:
    ledger = Ledger.open(f"sqlite:///{path}")
    clock = open_clock(ledger, start_at=NOW + 1)
    kit = Kit(ledger, {SERVER: NanoMDM(SERVER, url, api_key)}, clock, Cadences(), who="bench")
    receiver = Receiver(LedgerInbox(ledger), [WebhookSource(name=SERVER, key=KEY)], clock)

    def states() -> dict[str, int]:
        with ledger.read() as tx:
            return tx.count_states(rollout)

    with serve_receiver(receiver, port=0) as running, Service(kit.turns()):
        tell(running.port)
        answer(states=states, status=lambda: kit.status(rollout).selected, peak=_peak_megabytes)


def _peak_megabytes() -> float:
    """Not `getrusage`: that takes over the peak of the process that started this one."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024 / 1e6


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
