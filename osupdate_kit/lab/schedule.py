"""One heap of what the devices of a fleet do when, and the pushes on their way to them. Used by every kind of world."""

from collections import deque
from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from osupdate_kit.lab.devices import Exchange, SimulatedDevice


class Schedule:
    """Not thread-safe but for `push`, which may be called from anywhere."""

    def __init__(self, devices: Iterable[SimulatedDevice], exchange: Callable[[str], Exchange]) -> None:
        self.devices = {device.udid: device for device in devices}
        self._order = list(self.devices.values())
        self._number = {udid: number for number, udid in enumerate(self.devices)}
        self._exchanges = [exchange(udid) for udid in self.devices]
        self._heap: list[tuple[int, int]] = []
        self._booked: list[int | None] = [None] * len(self._order)
        self._pushes: deque[tuple[int, int]] = deque()
        for number in range(len(self._order)):
            self._book(number)

    def push(self, udid: str, now: int) -> bool:
        """Send a push on its way; False if there is no such device."""
        number = self._number.get(udid)
        if number is None:
            return False
        self._pushes.append((now, number))
        return True

    def enrol(self, udid: str, now: int) -> None:
        self._order[self._number[udid]].enrol(now, self._exchanges[self._number[udid]])
        self._book(self._number[udid])

    def check_out(self, udid: str, now: int) -> None:
        self._order[self._number[udid]].check_out(now, self._exchanges[self._number[udid]])

    def next_at(self) -> int | None:
        """When a device does something next; None: never without a push."""
        while self._pushes:
            now, number = self._pushes.popleft()
            self._order[number].push(now)
            self._book(number)
        while self._heap and self._booked[self._heap[0][1]] != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def turn(self, due_by: int, now: int) -> bool:
        """Let one device do what was due by `due_by`; False if none was."""
        at = self.next_at()
        if at is None or at > due_by:
            return False
        number = heappop(self._heap)[1]
        self._booked[number] = None
        self._order[number].turn(now, self._exchanges[number])
        self._book(number)
        return True

    def _book(self, number: int) -> None:
        at = self._order[number].next_at()
        if at is not None and at != self._booked[number]:
            self._booked[number] = at
            heappush(self._heap, (at, number))
