"""A rehearsed fleet behind a real kit, for widgets: simulated devices, a lab server, a store, and the service's turns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from osupdate_kit.fleet.devices import Device
from osupdate_kit.fleet.selection import Selection
from osupdate_kit.kit import Kit, Rollout
from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.lab.specs import PROFILES, DeviceSpec
from osupdate_kit.rehearsal import SERVER, Rehearsal, write_list

HOSTILE = ("<img src=x onerror=alert(1)>", '=HYPERLINK("http://example.invalid")', "\u202egnp.exe\u202c", "x" * 4_000)
PADS, MACS = "18.7.2", "15.7.2"  # a target for iPads and iPhones, one for Macs


@dataclass(frozen=True, slots=True)
class Scene:
    """`run` lets virtual time pass, with all turns of the service in it."""

    rehearsal: Rehearsal
    specs: Sequence[DeviceSpec]

    @property
    def kit(self) -> Kit:
        return self.rehearsal.kit

    def run(self, days: float) -> None:
        self.rehearsal.run(days)

    def turn(self) -> None:
        """The service's turns at this very instant, until nothing is left to do."""
        while self.rehearsal.turns.all_once():
            pass

    def selection(self, keep: Callable[[Device], bool] = lambda device: True) -> Selection:
        chosen = tuple(device for device in self.kit.inventory() if keep(device))
        return Selection(chosen, {})

    def started(self, target: str, **words: object) -> Rollout:
        """A rollout of all devices, begun by the kit itself."""
        return self.kit.start(self.kit.plan(self.selection(), target=target, **words))


def scene(folder: Path, devices: int = 120, *, seed: int = 3, name: str = "company") -> Scene:
    """The first devices are named by somebody who means harm; a few of each habit are among the rest."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = makeup(name)
    habits = [PROFILES[habit] for habit in ("full_disk", "install_fails", "puts_off", "busy", "traveller")]
    specs = tuple(
        replace(
            spec,
            name=HOSTILE[number] if number < len(HOSTILE) else spec.name,
            behaviour=habits[number // 6 % len(habits)] if number % 6 == 5 else spec.behaviour,
        )
        for number, spec in enumerate(make_fleet(parts, devices, seed))
    )
    rehearsal = Rehearsal.of(parts, specs, f"sqlite:///{folder / 'store.db'}", seed=seed, who="ann")
    rehearsal.kit.sync(str(write_list(specs, folder / "fleet.csv")), SERVER)
    made = Scene(rehearsal, specs)
    made.run(1)  # everybody is asked, and answers
    return made
