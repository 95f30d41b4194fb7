"""Lines of the table, and how two sides are held against each other: in turn, by medians."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing measured. With a `limit`: both sides in `unit`, and `ratio`; without: `ours` is held to the target."""

    name: str
    measured: str
    ours: float
    unit: str
    against: str = ""
    limit: float | None = None
    ratio: float | None = None
    most: float | None = None
    least: float | None = None

    @property
    def ok(self) -> bool | None:
        """None: stated only."""
        value = self.ours if self.ratio is None else self.ratio
        if self.most is not None:
            return value <= self.most
        return None if self.least is None else value >= self.least


def cpu_of(work: Callable[[], object]) -> float:
    """Seconds of this process's CPU, all threads."""
    started = time.process_time()
    work()
    return time.process_time() - started


def wall_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@dataclass(frozen=True, slots=True)
class Compared:
    ours: float
    limit: float
    ratio: float  # the median of the rounds' ratios


def compared(rounds: int, ours: Callable[[], float], limit: Callable[[], float]) -> Compared:
    """Run both sides in turn; each returns what one unit cost, or brought, in that round."""
    pairs = []
    for number in range(rounds):
        if number % 2:  # neither side is always the second
            theirs, mine = limit(), ours()
        else:
            mine, theirs = ours(), limit()
        pairs.append((mine, theirs))
    mine, theirs = zip(*pairs, strict=True)
    return Compared(median(mine), median(theirs), median(m / t for m, t in pairs))
