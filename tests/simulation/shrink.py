"""A failing seed made short: what can be left out of its story while the same promise breaks is left out.

Delta debugging, by parts: days, devices, faults, deeds, and what the plan has beside its defaults.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.simulation.run import simulate
from tests.simulation.scenario import PLAIN, Cut

_PARTS = ("faults", "deeds", "devices")


def shrink(seed: int, *, tell: Callable[[str], None] = print) -> Cut | None:
    """The shortest story of this seed that was found to break the same promise; None if the seed breaks none."""
    whole = Cut(seed=seed)
    invariant = simulate(whole.story()).invariant
    if not invariant:
        return None

    def breaks(cut: Cut) -> bool:
        broken = bool(cut.story().specs) and simulate(cut.story()).invariant == invariant
        if broken:
            tell(cut.to_json())
        return broken

    story = whole.story()
    best = replace(
        whole,
        devices=tuple(int(spec.udid.rpartition("-")[2]) for spec in story.specs),
        deeds=tuple(range(len(story.deeds))),
        faults=tuple(name for name in story.faults.__slots__ if getattr(story.faults, name)),
    )
    before = None
    while best != before:
        before = best
        for hours in (6, 12, 24, 48, 72):
            if (best.hours is None or hours < best.hours) and breaks(shorter := replace(best, hours=hours)):
                best = shorter
                break
        for part in _PARTS:
            best = _fewer(best, part, breaks)
        for name in PLAIN.keys() - set(best.plain):
            if breaks(plainer := replace(best, plain=tuple(sorted({*best.plain, name})))):
                best = plainer
    return best


def _fewer(best: Cut, part: str, breaks: Callable[[Cut], bool]) -> Cut:
    """Leave out halves, quarters, single ones, as long as it still breaks."""
    size = max(1, len(getattr(best, part)) // 2)
    while size:
        left: Sequence[object] = getattr(best, part)
        for start in range(0, len(left), size):
            fewer = replace(best, **{part: (*left[:start], *left[start + size :])})
            if breaks(fewer):
                best = fewer
                break
        else:
            size //= 2
    return best
