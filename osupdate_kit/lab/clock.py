"""Time as the lab sees it: virtual (moves only when told to) or running (real time, faster). Microseconds UTC."""

import time
from dataclasses import dataclass, field
from typing import Protocol

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class LabClock(Protocol):
    """What the lab asks of a clock."""

    def now(self) -> int:
        """Microseconds since 1970 UTC."""

    def advance_to(self, at: int) -> None:
        """Say that the world has come to `at`; a clock that runs by itself takes no notice."""

    def to_server(self, at: int) -> int:
        """What a server's own clock shows at that instant of this one."""


class PacedClock(Protocol):
    """What the lab's threads ask of a clock that runs by itself."""

    def now(self) -> int:
        """Microseconds since 1970 UTC."""

    def real_seconds(self, until: int) -> float:
        """How long to wait, in real seconds, until the clock shows `until`; 0 if it has passed."""


class VirtualClock:
    """Stands still until it is advanced, and never goes back."""

    def __init__(self, start_at: int) -> None:
        self._now = start_at

    def now(self) -> int:
        return self._now

    def advance_to(self, at: int) -> None:
        self._now = max(self._now, at)

    def from_server(self, at: int) -> int:
        """The lab's server stamps with this very clock."""
        return at

    def to_server(self, at: int) -> int:
        return at


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningClock:
    """Shows `start_at` when made, then `speed` virtual seconds for each real one."""

    start_at: int
    speed: float = 1.0
    real_at: int = field(default_factory=lambda: time.time_ns() // 1000)

    def now(self) -> int:
        return self.from_server(time.time_ns() // 1000)

    def advance_to(self, at: int) -> None:
        """Takes no notice: this clock runs by itself."""

    def from_server(self, at: int) -> int:
        """A real time stamp on this clock."""
        return self.start_at + int((at - self.real_at) * self.speed)

    def to_server(self, at: int) -> int:
        """Real time: whoever talks to the server maps its stamps by the same speed."""
        return self.real_at + int((at - self.start_at) / self.speed)

    def real_seconds(self, until: int) -> float:
        return max(0.0, (until - self.now()) / SECOND / self.speed)
