"""The kit before a simulated fleet, in virtual time: the demo, and rehearsals of plans. No sockets, no sleeping.

Everything but the network is the real thing: adapter, receiver, store, turns. The fleet keeps a truth log of its own,
so that what the kit says can be held against what happened.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from osupdate_kit.kit import Kit
from osupdate_kit.lab.clock import DAY, MINUTE, SECOND, VirtualClock
from osupdate_kit.lab.fleet import Makeup, make_devices
from osupdate_kit.lab.server import LabServer, WebhookFaults
from osupdate_kit.lab.specs import DeviceSpec
from osupdate_kit.lab.truth import TruthLog, What
from osupdate_kit.lab.world import World
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.policy import Cadences
from osupdate_kit.servers.nanomdm import NanoMDM
from osupdate_kit.servers.transport import in_process_session
from osupdate_kit.service.receiver import LedgerInbox, Receiver, WebhookSource
from osupdate_kit.service.service import Turns
from osupdate_kit.stores.ledger import Ledger

SERVER = "lab"
BEGINS_AT = int(datetime(2026, 11, 23, 12, 0, tzinfo=UTC).timestamp()) * SECOND  # a Monday
STEP = 5 * MINUTE  # how long news may lie before the kit's next turn
_KEY = "rehearsal"


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A kit, its simulated fleet, and the clock that both live by."""

    kit: Kit
    world: World
    turns: Turns
    clock: VirtualClock
    truth: TruthLog

    @classmethod
    def of(
        cls,
        makeup: Makeup,
        specs: tuple[DeviceSpec, ...],
        store_url: str,
        *,
        seed: int = 0,
        storage: Literal["kv", "pgsql"] = "pgsql",
        faults: WebhookFaults | None = None,
        cadences: Cadences | None = None,
        who: str = "",
    ) -> "Rehearsal":
        """The fleet enrols before the kit first listens, as a fleet that was there long ago."""
        clock, truth = VirtualClock(BEGINS_AT), TruthLog()
        server = LabServer(
            clock, _KEY, storage=storage, webhook=_nobody, webhook_key=_KEY, seed=seed, faults=faults, truth=truth
        )
        world = World(clock, server, make_devices(makeup, specs, truth), truth)
        world.enrol()
        world.run_until(BEGINS_AT + MINUTE)
        ledger = Ledger.open(store_url, migrate=True)
        adapter = NanoMDM(SERVER, "http://lab.invalid", _KEY, session=in_process_session(server.handle))
        kit = Kit(ledger, {SERVER: adapter}, clock, cadences or Cadences(), who=who)
        receiver = Receiver(LedgerInbox(ledger), [WebhookSource(name=SERVER, key=_KEY.encode())], clock)
        server.webhook = lambda body, headers: receiver.accept(SERVER, headers, body)
        return cls(kit, world, kit.turns(), clock, truth)

    def run(self, days: float, *, progress: Callable[[float], None] = lambda share: None) -> None:
        """Let so much time pass, every step as long as `STEP` at most. progress: the share that has passed, 0–1."""
        begins = self.clock.now()
        ends = begins + int(days * DAY)
        while (now := self.clock.now()) < ends:
            self.world.run_until(min(now + STEP, ends))
            while self.turns.all_once():
                pass
            progress((self.clock.now() - begins) / (ends - begins))


def _nobody(body: bytes, headers: Mapping[str, str]) -> int:
    return 0


def write_list(specs: tuple[DeviceSpec, ...], path: Path) -> Path:
    """The operator's own list of the fleet: what no MDM server knows, such as site, ring and time zone."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["serial", "udid", "platform", "site", "ring", "time_zone"])
        rows.writerows((s.serial, s.udid, s.platform.value, s.site, s.ring, s.time_zone) for s in specs)
    return path


def false_done(rehearsal: Rehearsal, rollout: int, target: str) -> list[str]:
    """UDIDs that the kit says are *done* and that, by the fleet's truth log, never ran the target; empty is right."""
    wanted = OSVersion.parse(target)
    ran = {
        entry.udid
        for entry in rehearsal.truth
        if entry.what in (What.ENROLLED, What.INSTALLED) and OSVersion.parse(entry.detail.partition("(")[0]) >= wanted
    }
    devices = rehearsal.kit.status(rollout).devices
    return [device.udid for device in devices if device.state == "done" and device.udid not in ran]
