"""A rehearsed fleet behind a real kit, for widgets: simulated devices, a lab server, a store, the service's turns."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ipywidgets import Widget

from osupdate_kit.fleet.devices import Device
from osupdate_kit.fleet.selection import Selection
from osupdate_kit.kit import Kit, Rollout
from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.lab.specs import PROFILES, DeviceSpec
from osupdate_kit.rehearsal import SERVER, Rehearsal, write_list

HOSTILE = ("<img src=x onerror=alert(1)>", '=HYPERLINK("http://example.invalid")', "\u202egnp.exe\u202c", "x" * 4_000)
PADS, MACS = "18.7.2", "15.7.2"  # a target for iPads and iPhones, one for Macs
_HABITS = ("full_disk", "install_fails", "puts_off", "busy", "traveller")


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

    def started(self, target: str, **words: Any) -> Rollout:
        """A rollout of all devices, begun by the kit itself."""
        return self.kit.start(self.kit.plan(self.selection(), target=target, allow_major=True, **words))


def scene(folder: Path, devices: int = 120, *, seed: int = 3, store_url: str = "") -> Scene:
    """The first devices are named by somebody who means harm; every sixth of the others has a habit that delays it.

    store_url: of an empty store, in place of a file in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = makeup("company")
    specs = tuple(_odd(spec, number) for number, spec in enumerate(make_fleet(parts, devices, seed)))
    rehearsal = Rehearsal.of(parts, specs, store_url or f"sqlite:///{folder / 'store.db'}", seed=seed, who="ann")
    rehearsal.kit.sync(str(write_list(specs, folder / "fleet.csv")), SERVER)
    made = Scene(rehearsal, specs)
    made.run(1)  # everybody is asked, and answers
    return made


def _odd(spec: DeviceSpec, number: int) -> DeviceSpec:
    if number < len(HOSTILE):
        return replace(spec, name=HOSTILE[number])
    return replace(spec, behaviour=PROFILES[_HABITS[number // 6 % len(_HABITS)]]) if number % 6 == 5 else spec


# --- what a browser does ----------------------------------------------------------------------------------------------


def click(widget: Widget, **message: object) -> None:
    """A message of the front end, as the kernel hands it to the widget."""
    widget._handle_custom_msg(message, [])


def eventually(holds: Callable[[], object], seconds: float = 60) -> None:
    """Wait until this holds; fails if it never does."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it never came to hold"
        time.sleep(0.01)
