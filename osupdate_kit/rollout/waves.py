"""Waves: who goes first, when the next ones may begin, and how many at once.

Knows what a plan says of them. Leaves which device falls into which wave to `slicing.py`, and whether a wave may open,
or has to stop, to `gates.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from osupdate_kit.errors import PlanError
from osupdate_kit.rollout.words import Reader, count, flag, iso, micros, number, plain, read, text, texts

SLICES = frozenset({"model", "os_version_start", "site", "platform", "ring", "wave", "time_zone"})

_WHO: dict[str, Reader] = {"where": text, "serials": texts, "cover": texts, "percent": number}
_OPENS: dict[str, Reader] = {"at": micros, "done_share": number, "soak_hours": number, "by_hand": flag}


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Which of the devices that earlier waves left over: by one of these; by none of them, all of the rest."""

    where: str = ""  # an expression over the inventory's columns, as in a selection
    serials: tuple[str, ...] = ()  # or UDIDs
    cover: tuple[str, ...] = ()  # columns: one device at least of every combination among those left
    percent: float = 0.0  # of all that the plan reaches, by a stable hash

    def __post_init__(self) -> None:
        given = [name for name in _WHO if getattr(self, name)]
        if len(given) > 1:
            raise PlanError(
                f"A wave chooses by {' and '.join(given)}.",
                remedy="Choose by one of them; let other waves take more.",
            )
        if not 0 <= self.percent <= 100:
            raise PlanError(f"percent is {self.percent:g}.", remedy="Give a number between 0 and 100, such as 5.")

    @property
    def rest(self) -> bool:
        """All that earlier waves left over."""
        return self == Who()

    def __str__(self) -> str:
        if self.where:
            return self.where
        if self.serials:
            return f"{len(self.serials):,} by name"
        if self.cover:
            return f"one of every {' × '.join(self.cover)}"
        return f"{self.percent:g} %" if self.percent else "the rest"

    def words(self) -> dict[str, Any]:
        return _words(self)

    @classmethod
    def from_words(cls, words: object) -> "Who":
        return cls(**read(words, _WHO, "who of a wave"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """When a wave begins: all that is given must hold. Nothing given: at once."""

    at: int = 0  # microseconds UTC
    done_share: float = 0.0  # of the wave before it, 0-1
    soak_hours: float = 0.0  # since the wave before it reached that share, and nothing went wrong
    by_hand: bool = False  # and a person has to say so

    def __post_init__(self) -> None:
        if not 0 <= self.done_share <= 1:
            raise PlanError(f"done_share is {self.done_share:g}.", remedy="Give a share between 0 and 1, such as 0.9.")
        if not 0 <= self.soak_hours <= 24 * 366:
            raise PlanError(f"soak_hours is {self.soak_hours:g}.", remedy="Give hours, such as 24.")

    @property
    def follows(self) -> bool:
        """Does it need a wave before it?"""
        return bool(self.done_share or self.soak_hours)

    def __str__(self) -> str:
        parts = [f"at {iso(self.at)}"] if self.at else []
        if self.done_share:
            parts.append(f"when {self.done_share:.0%} of the wave before are done")
        if self.soak_hours:
            parts.append(f"{self.soak_hours:g} hours later" if self.done_share else f"after {self.soak_hours:g} hours")
        if self.by_hand:
            parts.append("by hand")
        return ", ".join(parts) or "at once"

    def words(self) -> dict[str, Any]:
        words = _words(self)
        return words | {"at": iso(self.at)} if self.at else words

    @classmethod
    def from_words(cls, words: object) -> "Opening":
        return cls(**read(words, _OPENS, "opens of a wave"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """A dated slice of the plan. `pace`: how many may be under way at once at first, 0 = all; doubles while healthy."""

    name: str = "all"
    who: Who = Who()
    opens: Opening = Opening()
    pace: int = 0

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > 100:
            raise PlanError(f"A wave is called {self.name[:100]!r}.", remedy="Give each a short name, such as canary.")

    def words(self) -> dict[str, Any]:
        """As a plan's YAML holds it."""
        parts = {"who": self.who.words(), "opens": self.opens.words(), "pace": self.pace}
        return {"name": self.name} | {key: value for key, value in parts.items() if value}

    @classmethod
    def from_words(cls, words: object) -> "Wave":
        """Raises PlanError, naming the key, for anything else."""
        return cls(**read(words, _WAVE, "a wave"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What stops a slice, or the whole rollout, by itself. A share of 0 and a count of 0 limit nothing."""

    failure_share: float = 0.0  # a slice in which more than this fail is a bad one
    healthy_share: float = 0.02  # what a good release has; between the two either verdict is right
    false_halt: float = 0.005  # how often a good slice may be halted by mistake, at most
    failures: int = 0  # failed devices in the whole rollout
    silent_share: float = 0.0  # of the devices under way in a wave
    by: tuple[str, ...] = ("model", "os_version_start", "site", "platform")  # the slices that are judged

    def __post_init__(self) -> None:
        if self.failure_share and not 0 < self.healthy_share < self.failure_share < 1:
            raise PlanError(
                f"failure_share is {self.failure_share:g}, healthy_share {self.healthy_share:g}.",
                remedy="Give shares between 0 and 1, the healthy one below the other, such as 0.02 and 0.15.",
            )
        if not 0 < self.false_halt < 0.5:
            raise PlanError(f"false_halt is {self.false_halt:g}.", remedy="Give a share such as 0.005.")
        if not 0 <= self.silent_share <= 1:
            raise PlanError(f"silent_share is {self.silent_share:g}.", remedy="Give a share between 0 and 1.")
        if unknown := set(self.by) - SLICES:
            raise PlanError(
                f"Limits by {', '.join(sorted(unknown))[:100]}: nothing is judged by that.",
                remedy=f"Choose among {', '.join(sorted(SLICES))}.",
            )

    def __bool__(self) -> bool:
        return bool(self.failure_share or self.failures or self.silent_share)

    def words(self) -> dict[str, Any]:
        """As a plan's YAML holds it: every figure, once one of them is not the default."""
        return {} if self == Limits() else {name: plain(getattr(self, name)) for name in _LIMITS}

    @classmethod
    def from_words(cls, words: object) -> "Limits":
        """Raises PlanError, naming the key, for anything else."""
        return cls(**read(words, _LIMITS, "limits"))


_WAVE: dict[str, Reader] = {"name": text, "who": Who.from_words, "opens": Opening.from_words, "pace": count}
_LIMITS: dict[str, Reader] = {
    "failure_share": number,
    "healthy_share": number,
    "false_halt": number,
    "failures": count,
    "silent_share": number,
    "by": texts,
}


def waves_of(words: object) -> tuple[Wave, ...]:
    """A plan's list of waves; without any, one that takes all. PlanError, naming the key, for anything else."""
    if words in (None, []):
        return (Wave(),)
    if not isinstance(words, list):
        raise PlanError("waves is no list.", remedy="Write one line for each: - {name: canary, who: {percent: 5}}.")
    return tuple(Wave.from_words(one) for one in words)


def check_waves(waves: Sequence[Wave]) -> None:
    """Raises PlanError for waves that cannot be told apart, that nothing can reach, or that wait for none before."""
    names = [wave.name for wave in waves]
    if not names:
        raise PlanError("The plan has no wave.", remedy="Leave `waves` out: then one wave takes all.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise PlanError(f"Two waves are called {twice}.", remedy="Give each wave a name of its own.")
    if waves[0].opens.follows:
        raise PlanError(
            f"Wave {names[0]} waits for the wave before it, and there is none.",
            remedy="Let the first wave open at once, at a time, or by hand.",
        )
    rest = [wave.name for wave in waves[:-1] if wave.who.rest]
    if rest:
        raise PlanError(
            f"Wave {rest[0]} takes all that is left, so that nothing remains for {names[-1]}.",
            remedy="Say with `who` whom it takes, or let it be the last one.",
        )
    if sum(wave.who.percent for wave in waves) > 100.000001:
        raise PlanError("The waves take more than 100 percent.", remedy="Let the last wave take the rest, without who.")


def _words(value: Any) -> dict[str, Any]:
    """What is not the default."""
    given = {field.name: getattr(value, field.name) for field in fields(value)}
    return {name: plain(one) for name, one in given.items() if one}
