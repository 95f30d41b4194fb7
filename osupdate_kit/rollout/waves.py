"""Waves: who goes first, when the next ones may begin, and how many at once.

Knows what a plan says of them. Leaves which device falls into which wave to `slicing.py`, and whether a wave may open,
or has to stop, to `gates.py`.
"""

from dataclasses import dataclass

from osupdate_kit.errors import PlanError


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Which of the devices that earlier waves left over; the first one given counts, none of them: all of the rest."""

    where: str = ""  # an expression over the inventory's columns, as in a selection
    serials: tuple[str, ...] = ()  # or UDIDs
    cover: tuple[str, ...] = ()  # columns: one device at least of every combination among all that the plan reaches
    percent: float = 0.0  # of all that the plan reaches, by a stable hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """When a wave begins: all that is given must hold. Nothing given: at once."""

    at: int = 0  # microseconds UTC
    done_share: float = 0.0  # of the wave before it, 0-1
    soak_hours: float = 0.0  # since the wave before it reached that share, and nothing went wrong
    by_hand: bool = False  # and a person has to say so


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """A dated slice of the plan. `pace`: how many may be under way at once at first, 0 = all; doubles while healthy."""

    name: str = "all"
    who: Who = Who()
    opens: Opening = Opening()
    pace: int = 0


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

    def __bool__(self) -> bool:
        return bool(self.failure_share or self.failures or self.silent_share)
