"""The virtual world: devices, the server before them, and what happens when. No second ticks for nothing."""

from collections.abc import Iterable, Mapping

from osupdate_kit.lab.clock import LabClock
from osupdate_kit.lab.devices import Exchange, SimulatedDevice
from osupdate_kit.lab.schedule import Schedule
from osupdate_kit.lab.server import LabServer
from osupdate_kit.lab.truth import TruthLog


class World:
    """`enrol` the fleet, then `run_until`; calls to the server (enqueue, push) may come at any time in between."""

    def __init__(self, clock: LabClock, server: LabServer, devices: Iterable[SimulatedDevice], truth: TruthLog) -> None:
        self.clock, self.server, self.truth = clock, server, truth
        self._schedule = Schedule(devices, self._exchange)
        server.push = self._push

    @property
    def devices(self) -> Mapping[str, SimulatedDevice]:
        return self._schedule.devices

    def enrol(self, udids: Iterable[str] | None = None) -> None:
        """Authenticate and TokenUpdate of all devices, or of some, now."""
        for udid in self.devices if udids is None else udids:
            self._schedule.enrol(udid, self.clock.now())

    def check_out(self, udid: str) -> None:
        self._schedule.check_out(udid, self.clock.now())

    def next_at(self) -> int | None:
        """When something happens next, in a device or on the way to the webhook; None: nothing ever."""
        device_at, webhook_at = self._schedule.next_at(), self.server.next_at()
        if device_at is None or webhook_at is None:
            return webhook_at if device_at is None else device_at
        return min(device_at, webhook_at)

    def run_until(self, at: int) -> None:
        """Let everything happen that is due by `at`, in order of time, and leave the clock there."""
        while (then := self.next_at()) is not None and then <= at:
            self.clock.advance_to(then)
            self.server.deliver(then)
            self._schedule.turn(then, max(then, self.clock.now()))
        self.clock.advance_to(at)

    def _push(self, udid: str) -> None:
        self._schedule.push(udid, self.clock.now())

    def _exchange(self, identity: str) -> Exchange:
        def exchange(kind: str, body: bytes) -> bytes:
            status, answer = self.server.mdm(kind, body, identity)
            if status != 200:
                raise ConnectionError(f"the server answered {status}")
            return answer

        return exchange
