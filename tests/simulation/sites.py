"""The world of a story: a lab world whose devices may move to a second MDM server, and put off what they are told.

Knows what befalls servers and devices beside their habits: a move, a storm of NotNow, a backup that is played back.
"""

import copy
from collections.abc import Iterable
from typing import Any

from osupdate_kit.lab.devices import Exchange, SimulatedDevice
from osupdate_kit.lab.plists import write_plist
from osupdate_kit.lab.server import LabServer
from osupdate_kit.lab.truth import TruthLog, What
from osupdate_kit.lab.world import World
from tests.simulation.faults import Clocks


class StormyDevice(SimulatedDevice):
    """Answers NotNow to every command while a storm lasts: an update of another app, a locked keychain, an exam."""

    storm_until = 0

    def _obey(self, now: int, uuid: str, command: Any) -> None:
        if now >= self.storm_until:
            super()._obey(now, uuid, command)
            return
        self._about = (uuid, "NotNow")
        self._report = write_plist({"UDID": self.udid, "CommandUUID": uuid, "Status": "NotNow"})


class Sites(World):
    """Devices before two servers, each at one of them; they all begin at the first."""

    def __init__(self, clock: Clocks, servers: dict[str, LabServer], devices: Iterable[StormyDevice], truth: TruthLog):
        self.servers, self.moved = servers, set[str]()
        self.first, self.second = servers.values()
        super().__init__(clock, self.first, devices, truth)
        self.first.push, self.second.push = self._push_at_home, self._push_moved
        self.first.truth = _Deaf(self, truth)
        self._backup: tuple[Any, ...] | None = None

    def next_at(self) -> int | None:
        found = [at for at in (super().next_at(), self.second.next_at()) if at is not None]
        return min(found, default=None)

    def run_until(self, at: int) -> None:
        while (then := self.next_at()) is not None and then <= at:
            self.clock.advance_to(then)
            self.first.deliver(then)
            self.second.deliver(then)
            self._schedule.turn(then, max(then, self.clock.now()))
        self.clock.advance_to(at)

    def server_of(self, udid: str) -> LabServer:
        return self.second if udid in self.moved else self.first

    def _exchange(self, identity: str) -> Exchange:
        def exchange(kind: str, body: bytes) -> bytes:
            status, answer = self.server_of(identity).mdm(kind, body, identity)
            if status != 200:
                raise ConnectionError(f"the server answered {status}")
            return answer

        return exchange

    def _push_at_home(self, udid: str) -> None:
        if udid not in self.moved:  # the token that its first server knows wakes nobody any more
            self._push(udid)

    def _push_moved(self, udid: str) -> None:
        if udid in self.moved:
            self._push(udid)

    # --- what befalls them ---

    def move(self, udid: str, *, says_goodbye: bool) -> bool:
        """It enrols with the second server; False if it is there already."""
        if udid in self.moved:
            return False
        if says_goodbye and self.devices[udid].enrolled:
            self.check_out(udid)
        self.moved.add(udid)
        self.enrol([udid])
        return True

    def back_up(self) -> None:
        """What the first server's database holds now."""
        server: Any = self.first
        kept = (server._queue, server._enrolments, server._owners)
        self._backup = copy.deepcopy(kept, {id(server): server})

    def play_back(self) -> set[str] | None:
        """The first server is restored from its backup. Which commands are there again that had gone; None: no backup.

        What was queued since is lost, and what was answered since is handed out once more.
        """
        if self._backup is None:
            return None
        server: Any = self.first
        before = {udid: set(server.open_uuids(udid)) for udid in self.devices}
        server._queue, server._enrolments, server._owners = copy.deepcopy(self._backup, {id(server): server})
        return {uuid for udid in self.devices for uuid in set(server.open_uuids(udid)) - before[udid]}


class _Deaf:
    """The truth log as the first server writes it: what it queues for who has moved away concerns nobody."""

    def __init__(self, sites: Sites, truth: TruthLog) -> None:
        self._sites, self._truth = sites, truth

    def add(self, at: int, udid: str, what: What, command_uuid: str = "", detail: str = "") -> None:
        if udid not in self._sites.moved:
            self._truth.add(at, udid, what, command_uuid, detail)
