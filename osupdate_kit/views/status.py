"""A rollout as people look at it: the value that the CLI, the page and, later, the notebook show. No I/O."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from osupdate_kit.rollout.needs import IN_NEED

GROUPS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "reached": ("reached", ("done", "notified", "downloaded_end")),
    "active": (
        "under way",
        ("verifying", "installing", "downloaded", "downloading", "scheduled", "listing", "queued"),
    ),
    "put_off": ("put off", ("deferred", "not_now")),
    "waiting": ("waiting", ("knocking", "held")),
    "attention": ("to look at", ("unknown", "stalled", "silent")),
    "lost": ("failed or expired", ("expired", "failed")),
    "barred": ("barred", ("barred",)),
}
STATES = tuple(state for _, states in GROUPS.values() for state in states)
ROUTES: Mapping[str, str] = {
    "command": "by command",
    "declaration": "by declaration",
    "none": "barred",
}  # instruments as people read them


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStatus:
    """One device of a rollout, as of the status it belongs to."""

    udid: str
    serial: str
    server: str
    platform: str
    state: str
    flags: tuple[str, ...]  # armed on the server / on the device, regressed, presumed
    instrument: str
    os_version_at_start: str
    os_version_reported: str
    action_asked: str
    action_returned: str
    deferrals_used: int | None
    deferrals_remaining: int | None
    failure_class: str
    reason: str
    remedy: str
    commands_sent: int
    updated_at: str | None  # newest evidence, ISO 8601 UTC
    barrier: str = ""  # first reason that bars it, by its name
    cause: str = ""  # why it failed or expired: the failure's class; where that is not known, domain and code
    name: str = ""  # as its user wrote it; "" = not known
    wave: str = ""
    route: str = ""  # the instrument that it goes by now; `instrument` is the plan's
    declaration: str = ""  # where it stands: on the device, taken back, …; "" = it goes by command, or came to an end
    deadline: str | None = None  # of its declaration, by its own time zone, ISO 8601 UTC
    time_left: str = ""  # until then: 3 d left, 2 h late


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveStatus:
    """One wave: `devices` without barred ones; `pace`: how many may be under way at once, 0 = all."""

    name: str
    opened_at: str | None  # ISO 8601 UTC; None: it waits
    opened_by: str
    pace: int
    waits_for: str
    devices: int
    done: int
    lost: int  # failed or expired


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltStatus:
    """What stands still by its figures, until a person lifts it."""

    number: int
    part: str  # such as "model iPad13,18"
    reason: str
    since: str  # ISO 8601 UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStatusView:
    """A rollout as of an instant. `states` sums up to `selected`, always (I5)."""

    rollout: int
    name: str
    status: str
    reason: str
    as_of: str
    target: str
    deadline_at: str
    selected: int
    excluded: dict[str, int]  # breakdown of *barred* by reason
    states: dict[str, int]
    failures: dict[str, int]
    armed: tuple[str, ...]  # serials (or UDIDs) that may still install because of us
    waves: tuple[WaveStatus, ...] = ()  # in their order; none: all may begin at once
    halts: tuple[HaltStatus, ...] = ()  # those that stand
    instruments: dict[str, dict[str, int]] = field(default_factory=dict)  # states by the instrument they go by now
    deadlines: dict[str, int] = field(default_factory=dict)  # declared devices that go on, by when they enforce
    owner: str = ""  # who answers for it
    approval: str = ""  # who asked for the second person's approval that it waits for; empty: it waits for none
    devices: tuple[DeviceStatus, ...] = field(default=())

    def __post_init__(self) -> None:
        total = sum(self.states.values())
        if total != self.selected:
            raise ValueError(f"{self.selected} selected, but the states sum up to {total}")
        apart = sum(sum(states.values()) for states in self.instruments.values())
        if self.instruments and apart != self.selected:
            raise ValueError(f"{self.selected} selected, but the instruments sum up to {apart}")

    def to_dict(self) -> dict[str, object]:
        """JSON values, in the order in which people read them."""
        return asdict(self)

    @property
    def declares(self) -> bool:
        """Does any of its devices go by declaration?"""
        return "declaration" in self.instruments

    @property
    def groups(self) -> Iterator[tuple[str, str, int]]:
        """(group, words, count) of the groups that are not empty."""
        for group, (words, states) in GROUPS.items():
            if count := sum(self.states.get(state, 0) for state in states):
                yield group, words, count

    @property
    def finding(self) -> str:
        """What the figures say, in one sentence; computed, so that it cannot be false."""
        done = self.states.get("done", 0)
        eligible = self.selected - self.states.get("barred", 0)
        if not eligible:
            return f"None of {count(self.selected)} devices can take {self.target}."
        if done == eligible:
            return (
                f"All {count(eligible)} devices run {self.target}." if done > 1 else f"The device runs {self.target}."
            )
        person, noun = self.needs_person, "device" if eligible == 1 else "devices"
        on_the_way = "Another person has to approve first." if self.approval else "The others are on their way."
        others = f"{count(person)} need{'s' * (person == 1)} a person." if person else on_the_way
        return f"{count(done)} of {count(eligible)} {noun} run{'s' * (done == 1)} {self.target}. {others}"

    @property
    def needs_person(self) -> int:
        return sum(self.states.get(state, 0) for state in IN_NEED)

    @property
    def reconciliation(self) -> str:
        parts = " + ".join(f"{count(number)} {words}" for _, words, number in self.groups)
        return f"{count(self.selected)} selected = {parts or 0}"


class Summary(NamedTuple):
    """Counts over the devices of a rollout."""

    states: Counter[str]
    failures: Counter[str]  # by cause
    armed: list[str]
    total: int
    instruments: dict[str, dict[str, int]]  # states by the instrument they go by now


def summary(devices: Iterable[DeviceStatus]) -> Summary:
    """One pass, nothing kept."""
    states: Counter[tuple[str, str]] = Counter()
    failures: Counter[str] = Counter()
    armed: list[str] = []
    for device in devices:
        states[device.route, device.state] += 1
        if device.cause:
            failures[device.cause] += 1
        if any(flag.startswith("armed") for flag in device.flags):
            armed.append(device.serial or device.udid)
    whole: Counter[str] = Counter()
    routes: dict[str, dict[str, int]] = {}
    for (route, state), number in states.items():
        whole[state] += number
        routes.setdefault(route, {})[state] = number
    return Summary(whole, failures, armed, whole.total(), {route: routes[route] for route in ROUTES if route in routes})


def count(number: int) -> str:
    return f"{number:,}"


def moment(at: int) -> str:
    """`Tue 24 Nov 2026, 08:00 UTC`"""
    return f"{_datetime(at):%a %d %b %Y, %H:%M} UTC"


def iso(at: int) -> str:
    return _datetime(at).isoformat(timespec="seconds").replace("+00:00", "Z")


def _datetime(at: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
