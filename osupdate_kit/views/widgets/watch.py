"""A rollout as the monitor shows it: values, and the one pass over its devices that counts them.

Knows what is counted and which few devices are named. Leaves where the lines come from to the kit, and how it looks to
`monitor.py`.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count

from msgspec import Struct

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.causes import Retry, cause_of
from osupdate_kit.protocol.terms import InstallAction, Platform
from osupdate_kit.rollout.deadlines import Due, Standing
from osupdate_kit.rollout.needs import cause_name
from osupdate_kit.rollout.windows import Window
from osupdate_kit.views.status import GROUPS

NAMED = 20  # devices per list; the others are counted
_WAITS = frozenset(state for group in ("active", "put_off", "waiting") for state in GROUPS[group][1])
_LOST = GROUPS["lost"][1]

NO_WAVE = "in no wave"  # the barred ones


@dataclass(frozen=True, slots=True, kw_only=True)
class ActLine:
    """What a person, or the service, did to the rollout."""

    at: int
    who: str
    what: str
    count: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveLine:
    """How a wave stands; `opened_at` 0: it waits. `pace` 0: all at once."""

    name: str
    opened_at: int = 0
    by: str = ""
    pace: int = 0
    waits_for: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltLine:
    """What stands still by its figures, which `reason` says."""

    number: int
    part: str
    reason: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The rollout itself as of `now`. Times in microseconds UTC, 0 = none."""

    rollout: int
    name: str
    target: str
    status: str
    reason: str = ""
    changed_at: int = 0
    by: str = ""
    started_at: int
    deadline_at: int
    now: int
    version: str  # opaque; equal = nothing changed
    last_event_at: int = 0
    window: Window = field(default_factory=Window)
    time_zone: str = ""  # of devices that name none
    actions: Mapping[Platform, tuple[InstallAction, ...]] = field(default_factory=dict)
    served: bool = True  # does a service work on this store?
    allowed: frozenset[str] = frozenset()  # acts that may be asked for now
    acts: tuple[ActLine, ...] = ()  # newest first
    waves: tuple[WaveLine, ...] = ()  # in their order; none: all may begin at once
    halts: tuple[HaltLine, ...] = ()  # those that stand


class DeviceLine(Struct, frozen=True, kw_only=True, gc=False):
    """One device of the rollout, as of the head's `now`."""

    key: DeviceKey
    udid: str = ""
    serial: str = ""
    name: str = ""
    platform: str = ""
    wave: str = ""
    time_zone: str = ""
    state: str
    reason: str = ""  # why it waits, is silent, or is barred
    barrier: str = ""  # the first one, in words
    armed: str = ""  # on the server, on the device
    regressed: bool = False
    presumed: bool = False  # deferred, for all we can see
    cause: str = ""  # what its failure is counted as, where it failed or expired with one
    cause_text: str = ""  # the device's or the server's own words
    remedy: str = ""
    deferrals_used: int | None = None
    deferrals_remaining: int | None = None
    next_install_at: int = 0
    seen_at: int = 0
    os_version: str = ""
    route: str = ""  # command, declaration, none: by which it goes now
    declaration: Standing = Standing.NO
    enforce_at: int = 0  # deadline of its declaration
    due: Due | None = None  # when it enforces it, as figures count it


@dataclass(frozen=True, slots=True)
class Subset:
    """A part of a rollout that somebody wants to see. `value`: which one of its kind."""

    kind: str
    value: str = ""

    def fits(self, line: DeviceLine) -> bool:
        match self.kind:
            case "state":
                return line.state == self.value
            case "group":
                return line.state in GROUPS.get(self.value, ("", ()))[1]
            case "cause":
                return line.state in _LOST and line_cause(line) == self.value
            case "armed":
                return bool(line.armed)
            case "deferred":
                return line.state == "deferred" and line.presumed == (self.value == "presumed")
            case "wait":
                return wait_of(line) == self.value
            case "route":
                return line.route == self.value
            case "due":
                return line.due == self.value
            case "barrier":
                return line.barrier == self.value
            case "wave":
                return line.wave == ("" if self.value == NO_WAVE else self.value)
        return False


@dataclass(frozen=True, slots=True)
class Some:
    """How many, and the first of them by name."""

    devices: int
    lines: tuple[DeviceLine, ...]


@dataclass(frozen=True, slots=True)
class Cause:
    """Why devices failed or expired; each device once, by its last cause."""

    cause: str
    devices: int
    text: str  # one of the devices' own words
    remedy: str
    retry_helps: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """Devices in one state for one reason, none of which is an end."""

    state: str
    reason: str
    declaration: Standing
    devices: int

    @property
    def value(self) -> str:
        """As `Subset` names it."""
        return _wait_value(self.state, self.reason, self.declaration)


def wait_of(line: DeviceLine) -> str:
    return _wait_value(line.state, line.reason, line.declaration)


def _wait_value(state: str, reason: str, declaration: Standing) -> str:
    return " ".join(part for part in (state, reason, declaration and f"({declaration})") if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A rollout as of an instant. `states` sums up to `selected`, always (I5)."""

    head: Head
    selected: int
    states: Mapping[str, int]
    barred: Mapping[str, int]  # by the first barrier, in words
    causes: tuple[Cause, ...]  # most frequent first
    waits: tuple[Wait, ...]  # most frequent first
    deferred: Some  # told by the device, soonest install first
    presumed: Some  # iOS and its kin: nobody says so, it only looks so
    exhausted: int  # deferred, with none left
    armed: Some
    attention: Some  # silent, stalled, unknown: longest unseen first
    waves: Mapping[str, Mapping[str, int]]  # states by wave
    routes: Mapping[str, Mapping[str, int]]  # states by instrument
    deadlines: Mapping[Due, int]  # declared devices that go on, by when they enforce
    next_deadline: int = 0  # the soonest that is still to come

    def __post_init__(self) -> None:
        total = sum(self.states.values())
        if total != self.selected:
            raise ValueError(f"{self.selected} selected, but the states sum up to {total}")


def line_cause(line: DeviceLine) -> str:
    return cause_name(line.state, line.cause)


def retry_helps(cause: str) -> bool:
    """May the same command succeed the next time? Not where only another command or another device would."""
    return cause_of(cause).retry is not Retry.NO


def watched(head: Head, lines: Iterable[DeviceLine]) -> Watched:
    """Count all devices of a rollout in one pass; only the few that are named are kept."""
    states: Counter[str] = Counter()
    barred: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    waits: Counter[tuple[str, str, Standing]] = Counter()
    waves: dict[str, Counter[str]] = {}
    routes: dict[str, Counter[str]] = {}
    deadlines: Counter[Due] = Counter()
    soonest = _NEVER
    examples: dict[str, DeviceLine] = {}
    deferred, presumed, armed, attention = _First(), _First(), _First(), _First()
    exhausted = 0
    for line in lines:
        state = line.state
        states[state] += 1
        if line.wave not in waves:
            waves[line.wave] = Counter()
        waves[line.wave][state] += 1
        if line.route not in routes:
            routes[line.route] = Counter()
        routes[line.route][state] += 1
        if line.due:
            deadlines[line.due] += 1
            if line.declaration.in_force and head.now < line.enforce_at < soonest:
                soonest = line.enforce_at
        if line.armed:
            armed.add(line.seen_at, line)
        if state == "barred":
            barred[line.barrier] += 1
        elif state == "deferred":
            if line.presumed:
                presumed.add(line.seen_at, line)
            else:
                deferred.add(line.next_install_at or _NEVER, line)
                exhausted += line.deferrals_remaining == 0
        elif state in _LOST:
            cause = line_cause(line)
            causes[cause] += 1
            examples.setdefault(cause, line)
        elif state in GROUPS["attention"][1]:
            attention.add(line.seen_at, line)
        if state in _WAITS:
            waits[state, line.reason, line.declaration] += 1
    return Watched(
        head=head,
        selected=states.total(),
        states=dict(states),
        barred=dict(barred.most_common()),
        causes=tuple(
            Cause(cause, devices, examples[cause].cause_text, examples[cause].remedy, retry_helps(cause))
            for cause, devices in causes.most_common()
        ),
        waits=tuple(Wait(*waiting, devices) for waiting, devices in waits.most_common()),
        deferred=deferred.some(),
        presumed=presumed.some(),
        exhausted=exhausted,
        armed=armed.some(),
        attention=attention.some(),
        waves={wave: dict(counts) for wave, counts in waves.items()},
        routes={route: dict(routes[route]) for route in sorted(routes)},
        deadlines={when: deadlines[when] for when in Due if deadlines[when]},
        next_deadline=0 if soonest == _NEVER else soonest,
    )


_NEVER = 1 << 62


class _First:
    """Counts all, keeps those with the smallest ranks."""

    def __init__(self) -> None:
        self._devices = 0
        self._numbers = count()
        self._kept: list[tuple[int, int, DeviceLine]] = []  # largest rank on top

    def add(self, rank: int, line: DeviceLine) -> None:
        self._devices += 1
        entry = (-rank, -next(self._numbers), line)
        if len(self._kept) < NAMED:
            heapq.heappush(self._kept, entry)
        elif entry > self._kept[0]:
            heapq.heapreplace(self._kept, entry)

    def some(self) -> Some:
        return Some(self._devices, tuple(line for *_, line in sorted(self._kept, reverse=True)))


def cause_words(cause: str) -> str:
    """What people call a class of failures; one that is not listed stays as it is."""
    return cause_of(cause).title
