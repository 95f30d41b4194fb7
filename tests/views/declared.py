"""A rehearsed fleet of which many go by declaration: as `scene`, with a server of declarations beside the lab's own."""

from dataclasses import replace
from pathlib import Path

from osupdate_kit.kit import Kit
from osupdate_kit.lab.clock import VirtualClock
from osupdate_kit.lab.ddm import LabDDM
from osupdate_kit.lab.fleet import make_devices, make_fleet, makeup
from osupdate_kit.lab.server import LabServer
from osupdate_kit.lab.truth import TruthLog
from osupdate_kit.lab.world import World
from osupdate_kit.rehearsal import BEGINS_AT, SERVER, Rehearsal, write_list
from osupdate_kit.rollout.policy import Cadences
from osupdate_kit.servers.ddm import KMFDDM, Declarations
from osupdate_kit.servers.nanomdm import NanoMDM
from osupdate_kit.servers.transport import in_process_session
from osupdate_kit.service.receiver import LedgerInbox, Receiver, WebhookSource
from osupdate_kit.stores.ledger import Ledger
from tests.views.scene import HOSTILE, Scene

_KEY = "rehearsal"
TARGET = "26.6.2"  # of Macs
WORDS = {"allow_major": True, "declare_since": {"macOS": "14"}, "enforce_weekends": True, "deadline": "10d"}


def declared_scene(folder: Path, devices: int = 90, *, seed: int = 3, store_url: str = "") -> Scene:
    """Nobody updates by himself, so that the instruments do; the first devices are named by somebody who means harm."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = makeup("company")
    specs = tuple(
        replace(spec, name=HOSTILE[number] if number < len(HOSTILE) else spec.name).behaving(updates_itself_days=None)
        for number, spec in enumerate(make_fleet(parts, devices, seed))
    )
    clock, truth = VirtualClock(BEGINS_AT), TruthLog()
    beside = LabDDM(clock, _KEY, truth=truth, seed=seed)
    server = LabServer(
        clock, _KEY, webhook=lambda body, headers: 0, webhook_key=_KEY, seed=seed, truth=truth, declarations=beside
    )
    world = World(clock, server, make_devices(parts, specs, truth), truth)
    world.enrol()
    world.run_until(BEGINS_AT + 60_000_000)
    ledger = Ledger.open(store_url or f"sqlite:///{folder / 'store.db'}", migrate=True)
    kit = Kit(
        ledger,
        {SERVER: NanoMDM(SERVER, "http://lab.invalid", _KEY, session=in_process_session(server.handle))},
        clock,
        Cadences(),
        who="ann",
        declarations={
            SERVER: Declarations(
                SERVER,
                KMFDDM,
                "http://declarations.invalid",
                _KEY,
                session=lambda: in_process_session(server.handle_declarations),
            )
        },
    )
    receiver = Receiver(LedgerInbox(ledger), [WebhookSource(name=SERVER, key=_KEY.encode())], clock)
    server.webhook = lambda body, headers: receiver.accept(SERVER, headers, body)
    made = Scene(Rehearsal(kit, world, kit.turns(), clock, truth), specs)
    kit.sync(str(write_list(specs, folder / "fleet.csv")), SERVER)
    made.run(1)  # everybody is asked, and answers
    return made
