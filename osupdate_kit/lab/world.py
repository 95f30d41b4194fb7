"""The virtual world: devices, the server before them, and one heap of what happens when."""

from collections.abc import Iterable
from heapq import heappop, heappush

from osupdate_kit.lab.clock import LabClock
from osupdate_kit.lab.devices import Exchange, SimulatedDevice
from osupdate_kit.lab.server import LabServer
from osupdate_kit.lab.truth import TruthLog


class World:
    """`enrol` the fleet, then `run_until`; calls to the server (enqueue, push) may come at any time in between."""

    def __init__(self, clock: LabClock, server: LabServer, devices: Iterable[SimulatedDevice], truth: TruthLog) -> None:
        self.clock, self.server, self.truth = clock, server, truth
        self.devices = {device.udid: device for device in devices}
        self._order = list(self.devices.values())
        self._number = {udid: number for number, udid in enumerate(self.devices)}
        self._exchanges = [_exchange(server, device.udid) for device in self._order]
        self._heap: list[tuple[int, int]] = []
        self._booked: list[int | None] = [None] * len(self._order)
        server.push = self._push
        for number in range(len(self._order)):
            self._book(number)

    def enrol(self, udids: Iterable[str] | None = None) -> None:
        """Authenticate and TokenUpdate of all devices, or of some, now."""
        now = self.clock.now()
        for udid in self.devices if udids is None else udids:
            number = self._number[udid]
            self._order[number].enrol(now, self._exchanges[number])
            self._book(number)

    def check_out(self, udid: str) -> None:
        self.devices[udid].check_out(self.clock.now(), self._exchanges[self._number[udid]])

    def next_at(self) -> int | None:
        """When something happens next, in a device or on the way to the webhook; None: nothing ever."""
        while self._heap and self._booked[self._heap[0][1]] != self._heap[0][0]:
            heappop(self._heap)
        device_at, webhook_at = (self._heap[0][0] if self._heap else None), self.server.next_at()
        if device_at is None or webhook_at is None:
            return webhook_at if device_at is None else device_at
        return min(device_at, webhook_at)

    def run_until(self, at: int) -> None:
        """Let everything happen that is due by `at`, in order of time, and leave the clock there."""
        while (then := self.next_at()) is not None and then <= at:
            self.clock.advance_to(then)
            self.server.deliver(then)
            while self._heap and self._heap[0][0] <= then:
                due_at, number = heappop(self._heap)
                if self._booked[number] == due_at:
                    self._booked[number] = None
                    self._order[number].turn(then, self._exchanges[number])
                    self._book(number)
        self.clock.advance_to(at)

    def _book(self, number: int) -> None:
        at = self._order[number].next_at()
        if at is not None and at != self._booked[number]:
            self._booked[number] = at
            heappush(self._heap, (at, number))

    def _push(self, udid: str) -> None:
        number = self._number.get(udid)
        if number is not None:
            self._order[number].push(self.clock.now())
            self._book(number)


def _exchange(server: LabServer, identity: str) -> Exchange:
    def exchange(kind: str, body: bytes) -> bytes:
        status, answer = server.mdm(kind, body, identity)
        if status != 200:
            raise ConnectionError(f"the server answered {status}")
        return answer

    return exchange
