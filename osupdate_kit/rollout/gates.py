"""Gates: may a wave open, how many may begin, has a slice to stop? By figures alone.

Knows the sequential test and its error, and what an opening waits for. Leaves where the figures come from, and what a
halt does, to the service.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import ceil, log
from typing import NamedTuple

from osupdate_kit.rollout.policy import HOUR
from osupdate_kit.rollout.state import ENDS, State
from osupdate_kit.rollout.waves import Limits, Opening

BEFORE = frozenset({State.BARRED, State.HELD, State.KNOCKING, State.LISTING})  # nothing has been sent that counts
LOADS = BEFORE | {State.QUEUED, State.NOT_NOW, State.DOWNLOADING, State.SCHEDULED}  # its download may be under way
MISSED = frozenset({State.FAILED, State.EXPIRED})

# --- Has a slice to stop? -----------------------------------------------------------------------------------------


class Slice(NamedTuple):
    """Devices with one value in one column of the journey; no dimension: all of the rollout."""

    dimension: str = ""
    value: str = ""

    def __str__(self) -> str:
        return f"{self.dimension} {self.value or 'unknown'}" if self.dimension else "all devices"


class Count(NamedTuple):
    """Devices that have begun, and those of them that have failed."""

    begun: int = 0
    failed: int = 0

    def plus(self, other: "Count") -> "Count":
        return Count(self.begun + other.begun, self.failed + other.failed)

    def minus(self, other: "Count") -> "Count":
        return Count(max(0, self.begun - other.begun), max(0, self.failed - other.failed))


class Finding(NamedTuple):
    """A slice that has to stop, and the figures that say so."""

    part: Slice
    figures: Count
    silent: bool = False  # they have not failed: they say nothing any more

    @property
    def share(self) -> float:
        return self.figures.failed / self.figures.begun if self.figures.begun else 0.0

    def __str__(self) -> str:
        failed, begun = self.figures.failed, self.figures.begun
        one = failed == 1
        what = ("is silent" if one else "are silent") if self.silent else "has failed" if one else "have failed"
        return f"{failed:,} of the {begun:,} devices that began {what} ({self.share:.0%}): {self.part}"


Cell = tuple[str, ...]  # the values of the columns that are judged, in their order


def counts_of(cells: Mapping[Cell, Count], by: Sequence[str], stopped: frozenset[Slice]) -> dict[Slice, Count]:
    """Figures by slice, and those of all, without the devices of slices that stand still already."""
    found: dict[Slice, Count] = defaultdict(Count)
    for cell, count in cells.items():
        slices = [Slice(), *map(Slice, by, cell)]
        if stopped.isdisjoint(slices):
            for part in slices:
                found[part] = found[part].plus(count)
    return found


def evidence(count: Count, limits: Limits) -> float:
    """How much likelier these figures are with a bad release than with a good one, as a logarithm.

    Whoever has begun and not failed counts as well, although its answer may be out: failures tend to show sooner than
    successes, and a test on those alone that have answered would stop good releases.
    """
    bad, good = limits.failure_share, limits.healthy_share
    return count.failed * log(bad / good) + (count.begun - count.failed) * log((1 - bad) / (1 - good))


def enough(limits: Limits, slices: int) -> float:
    """Evidence that stops a slice. A good one reaches it, ever, with a probability of false_halt / slices at most.

    The likelihood ratio is a martingale where the release is good, so that looking at it all the time costs nothing
    (Ville's inequality); with several slices each gets its part of the allowed error.
    """
    return log(max(1, slices) / limits.false_halt)


def bad_slices(
    cells: Mapping[Cell, Count],
    limits: Limits,
    *,
    stopped: Iterable[Slice] = (),
) -> list[Finding]:
    """Slices that have to stop, the worst first; each is judged without the devices of those before it.

    All of the rollout, where they would hold more than half of what began, or where only all of it together is bad.
    stopped: slices that stand still already.
    """
    if not limits.failure_share:
        return []
    found: list[Finding] = []
    still = frozenset(stopped)
    line = enough(limits, len(counts_of(cells, limits.by, frozenset())))
    whole = Count()
    while True:
        counts = counts_of(cells, limits.by, still)
        whole = whole if found else counts.get(Slice(), Count())
        bad = [Finding(part, figures) for part, figures in counts.items() if evidence(figures, limits) >= line]
        if not bad:
            break
        worst = max(bad, key=lambda one: (one.part != Slice(), one.share, evidence(one.figures, limits)))
        found.append(worst)
        still |= {worst.part}
        if worst.part == Slice():
            break
    if 2 * sum(one.figures.begun for one in found) > whole.begun:
        return [Finding(Slice(), whole)]
    return found


# --- May a wave open? ---------------------------------------------------------------------------------------------


class Progress(NamedTuple):
    """Where a wave stands: its devices, barred ones apart; `reached_at`: when the share asked for was done, 0 = not."""

    devices: int = 0
    done: int = 0
    ended: int = 0
    reached_at: int = 0


def waits_for(opening: Opening, now: int, before: Progress | None, *, stopped: bool, allowed: bool) -> str:
    """What a wave waits for, in words; empty: it opens now.

    before: the wave before it. stopped: something stands still by its figures. allowed: a person said that it opens.
    """
    if allowed:
        return ""
    if opening.at > now:
        return "its time has not come"
    if before is not None and opening.follows:
        if stopped:
            return "a person to lift what was halted"
        if not before.reached_at:
            share = before.done / before.devices if before.devices else 1.0
            done = f"{before.done:,} of {before.devices:,} are done in the wave before it ({share:.0%})"
            asked = f"{opening.done_share:.0%} are asked for"
            over = ": all have ended, a person may open it" if before.ended == before.devices else ""
            return f"{done}, {asked}{over}"
        if now < before.reached_at + opening.soak_hours * HOUR:
            left = ceil((before.reached_at + opening.soak_hours * HOUR - now) / HOUR)
            return f"the wave before it to soak, {left} more hour{'' if left == 1 else 's'}"
    return "a person to open it" if opening.by_hand else ""


# --- How many may begin? ------------------------------------------------------------------------------------------


def next_pace(pace: int, done_since: int, *, healthy: bool) -> int:
    """Twice as many once as many as the pace are done since it last changed; never while something stands still."""
    return 2 * pace if pace and healthy and done_since >= pace else pace


def is_under_way(state: str) -> bool:
    """Does an admitted device in this state take a place?"""
    return state not in ENDS
