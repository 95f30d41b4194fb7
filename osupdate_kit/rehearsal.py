"""The kit before a simulated fleet: in virtual time (demo, rehearsals of plans), or running by itself (the lab).

Everything is the real thing, adapter, receiver, store, turns; in virtual time there are no sockets and no sleeping. The
fleet keeps a truth log of its own, so that what the kit says can be held against what happened.
"""

import csv
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from osupdate_kit.kit import Kit
from osupdate_kit.lab.clock import DAY, MINUTE, SECOND, RunningClock, VirtualClock
from osupdate_kit.lab.ddm import LabDDM
from osupdate_kit.lab.fleet import Makeup, make_devices, make_fleet
from osupdate_kit.lab.http import LabHost, http_webhook, serve_declarations
from osupdate_kit.lab.server import LabServer, WebhookFaults
from osupdate_kit.lab.specs import DeviceSpec
from osupdate_kit.lab.truth import TruthLog, What
from osupdate_kit.lab.world import World
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.policy import Cadences
from osupdate_kit.servers.ddm import KMFDDM, Declarations
from osupdate_kit.servers.nanomdm import NanoMDM
from osupdate_kit.servers.transport import in_process_session
from osupdate_kit.service.clock import open_clock
from osupdate_kit.service.receiver import LedgerInbox, Receiver, WebhookSource, serve_receiver, webhook_sources
from osupdate_kit.service.service import Service, Turns
from osupdate_kit.service.tally import Tally
from osupdate_kit.settings import Settings
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
        begins_at: int = BEGINS_AT,
        declares: bool = False,
    ) -> "Rehearsal":
        """The fleet enrols before the kit first listens, as a fleet that was there long ago.

        declares: a server of declarations stands beside the MDM server.
        """
        clock, truth = VirtualClock(begins_at), TruthLog()
        server = LabServer(
            clock,
            _KEY,
            storage=storage,
            webhook=_nobody,
            webhook_key=_KEY,
            seed=seed,
            faults=faults,
            truth=truth,
            declarations=LabDDM(clock, _KEY, truth=truth, seed=seed) if declares else None,
        )
        world = World(clock, server, make_devices(makeup, specs, truth), truth)
        world.enrol()
        world.run_until(begins_at + MINUTE)
        ledger = Ledger.open(store_url, migrate=True)
        adapter = NanoMDM(SERVER, "http://lab.invalid", _KEY, session=in_process_session(server.handle))
        beside = Declarations(
            SERVER,
            KMFDDM,
            "http://declarations.invalid",
            _KEY,
            session=lambda: in_process_session(server.handle_declarations),
        )
        kit = Kit(
            ledger,
            {SERVER: adapter},
            clock,
            cadences or Cadences(),
            who=who,
            declarations={SERVER: beside} if declares else {},
        )
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


@contextmanager
def live_lab(folder: Path, makeup: Makeup, devices: int, *, seed: int = 1, speed: float = 600) -> Iterator[Path]:
    """A fleet that lives by itself, `speed` times faster than real time, its server and the service, all on loopback.

    Everything of it stands in `folder`: settings, keys, store, the operator's list. Each start begins with a new fleet
    and a new store; yields the settings file by which kits and commands come to it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    specs = make_fleet(makeup, devices, seed)
    fleet = write_list(specs, folder / "fleet.csv")
    keys = {name: _new_key(folder / f"{name}.key") for name in ("api", "webhook")}
    store_url = f"sqlite:///{(folder / f'lab-{datetime.now(UTC):%Y%m%d-%H%M%S}.db').resolve()}"
    ledger = Ledger.open(store_url, migrate=True)
    anchor = open_clock(ledger, start_at=BEGINS_AT, speed=speed)
    ledger.close()
    clock = RunningClock(start_at=anchor.start_at, speed=anchor.speed, real_at=anchor.real_at)
    truth = TruthLog()
    server = LabServer(
        clock,
        keys["api"],
        storage="pgsql",
        webhook=_nobody,
        webhook_key=keys["webhook"],
        seed=seed,
        truth=truth,
        declarations=LabDDM(clock, keys["api"], truth=truth, seed=seed),
    )
    world = World(clock, server, make_devices(makeup, specs, truth), truth)
    world.enrol()
    with LabHost(world, clock) as host, serve_declarations(server) as declarations:
        settings_file = _write_settings(folder, store_url, host.url, declarations.url, speed)
        settings = Settings.load(settings_file)
        kit = Kit.open(settings)
        receiver = Receiver(LedgerInbox(kit.ledger), webhook_sources(settings), kit.clock)
        kit.sync(str(fleet))
        lock = kit.ledger.try_service_lock()
        assert lock is not None, store_url
        try:
            with (
                serve_receiver(receiver, port=settings.receiver.port) as running,
                Service(kit.turns(), {"tally": Tally(kit.ledger, receiver, running.url).turn}),
            ):
                server.webhook = http_webhook(f"{running.url}/webhook/{SERVER}")
                yield settings_file
        finally:
            lock.close()
            kit.close()


def _free_port() -> int:
    """One that nobody listens on: it stands in the settings, for everybody who asks whether the receiver answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _new_key(path: Path) -> str:
    key = secrets.token_urlsafe(24)
    path.touch(mode=0o600)
    path.write_text(key)
    return key


def _write_settings(folder: Path, store_url: str, url: str, declarations_url: str, speed: float) -> Path:
    lines = (
        "# Written anew at each start of the lab.",
        f'store_url = "{store_url}"',
        f'[servers.{SERVER}]\nkind = "nanomdm"\nurl = "{url}"\nkey_file = "api.key"\nwebhook_key_file = "webhook.key"',
        f'declarations = "kmfddm"\ndeclarations_url = "{declarations_url}"\ndeclarations_key_file = "api.key"',
        f"[receiver]\nport = {_free_port()}",
        '[feeds]\nfolder = "feeds"  # empty: the sample that is shipped',
        f"[clock]\nstart = {datetime.fromtimestamp(BEGINS_AT // SECOND, UTC):%Y-%m-%dT%H:%M:%SZ}\nspeed = {speed}",
    )
    path = folder / "osupdate-kit.toml"
    path.write_text("\n".join(lines) + "\n")
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
