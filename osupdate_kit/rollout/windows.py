"""Windows and black-outs: when a step may be sent, in the device's own time.

Knows hours, weekdays, days on which nothing is sent, and time zones. A window is open exactly while the clock on the
wall there shows a time inside it: where daylight saving skips its closing hour it closes with the jump, where an hour
comes twice and it closes within, it opens twice. Leaves what waits for a window to `engine.py`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from osupdate_kit.errors import PlanError, SelectionError
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.fleet.selection import Criterion, criterion
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.rollout.policy import DAY, Gate
from osupdate_kit.rollout.words import Reader, day, read, text

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FROZEN = ("site", "ring", "platform", "model", "wave")  # what a plan freezes of each device; see `Member`
_BLOCK = 8  # days whose openings are worked out together
_MOST_BLOCKS, _MOST_KIN = 4096, 65_536
_FAR = 120  # blocks that are searched for the next opening: over two years
_SECOND = timedelta(seconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Days = tuple[date, date]  # both included


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Hours in device-local time in which a step may be sent; `opens` later than `closes` spans midnight."""

    opens: time = time(0, 0)
    closes: time = time(0, 0)  # equal to `opens`: the whole day
    days: tuple[int, ...] = ()  # weekdays on which it opens, Monday is 0; empty: all

    def __post_init__(self) -> None:
        if self.opens.tzinfo or self.closes.tzinfo:
            raise PlanError(f"The window {self} names a time zone.", remedy="Its hours are in the devices' own time.")
        if any(not 0 <= one < 7 for one in self.days):
            raise PlanError(f"{self.days} are no weekdays.", remedy="Monday is 0, Sunday 6.")
        days = tuple(sorted(set(self.days)))
        object.__setattr__(self, "days", () if len(days) == 7 else days)

    @property
    def always(self) -> bool:
        """Is it never shut?"""
        return self.opens == self.closes and not self.days

    def gate(self, now: int, time_zone: str) -> Gate:
        """The window at `now` (microseconds UTC) for a device there. Raises PlanError for an unknown time zone."""
        return hours_of(self).gate(now, time_zone)

    def words(self) -> dict[str, Any]:
        """As a plan's YAML holds it."""
        words: dict[str, Any] = {"opens": _clock_words(self.opens), "closes": _clock_words(self.closes)}
        return words | {"days": [WEEKDAYS[one] for one in self.days]} if self.days else words

    @classmethod
    def from_words(cls, words: object) -> "Window":
        """Raises PlanError, naming the key, for anything else."""
        return cls(**read(words, _WINDOW, "a window"))

    def __str__(self) -> str:
        hours = "any hour" if self.opens == self.closes else f"{_clock_words(self.opens)}-{_clock_words(self.closes)}"
        return f"{hours} {', '.join(WEEKDAYS[one] for one in self.days)}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Blackout:
    """Whole days, as the device counts them, on which no step is sent: to all, or to those that `where` means."""

    first: date
    last: date  # included
    where: str = ""  # over the columns in FROZEN
    reason: str = ""

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise PlanError(
                f"A black-out lasts from {self.first} to {self.last}.", remedy="Let it end when it begins, or later."
            )
        if self.where:
            _concerns(self.where)

    def __str__(self) -> str:
        return f"black-out{f': {self.reason}' if self.reason else ''} until {self.last}"

    def words(self) -> dict[str, Any]:
        """As a plan's YAML holds it."""
        words = {"from": self.first, "to": self.last, "where": self.where, "reason": self.reason}
        return {key: value for key, value in words.items() if value}

    @classmethod
    def from_words(cls, words: object) -> "Blackout":
        """Raises PlanError, naming the key, for anything else."""
        found = read(words, _BLACKOUT, "a black-out")
        if not {"from", "to"} <= found.keys():
            raise PlanError("A black-out lacks from or to.", remedy="Give its first and its last day.")
        return cls(first=found.pop("from"), last=found.pop("to"), **found)


class Kin(NamedTuple):
    """What a plan froze of a device that a black-out may go by; the fields of FROZEN."""

    site: str = ""
    ring: str = ""
    platform: str = ""
    model: str = ""
    wave: str = ""


class Schedule:
    """Both windows of a plan and its black-outs. What is the same for many devices is worked out once."""

    def __init__(self, install: Window, download: Window | None, blackouts: tuple[Blackout, ...]) -> None:
        self._install, self._download, self._blackouts = install, download or install, blackouts
        self._kin: dict[Kin, tuple[Hours, Hours]] = {}
        self._made: dict[tuple[Blackout, ...], tuple[Hours, Hours]] = {}
        self._all = None if any(one.where for one in blackouts) else self._both(blackouts)

    def hours(self, kin: Kin, *, downloads: bool) -> "Hours":
        """When such a device may be sent its next step. `downloads`: a step that cannot install."""
        found = self._all or self._kin.get(kin)
        if found is None:
            if len(self._kin) >= _MOST_KIN:
                self._kin.clear()
            found = self._kin[kin] = self._both(tuple(one for one in self._blackouts if concerns(one, kin)))
        return found[downloads]

    def _both(self, blackouts: tuple[Blackout, ...]) -> "tuple[Hours, Hours]":
        if blackouts not in self._made:
            self._made[blackouts] = hours_of(self._install, blackouts), hours_of(self._download, blackouts)
        return self._made[blackouts]


class Hours:
    """When a window is open, black-outs taken out."""

    def __init__(self, window: Window, blackouts: Iterable[Blackout] = ()) -> None:
        self.window, self.blackouts = window, tuple(blackouts)
        self._kept: dict[tuple[str, int], tuple[tuple[int, int], ...]] = {}

    def gate(self, now: int, time_zone: str) -> Gate:
        """As of `now` (microseconds UTC) for a device there. Raises PlanError for an unknown time zone.

        Never to change again is 0, as where a black-out has no end.
        """
        block = now // (_BLOCK * DAY)
        for ahead in range(_FAR):
            for opens, closes in self._block(time_zone, block + ahead):
                if opens <= now < closes:
                    return Gate(opens, closes)
                if opens > now:
                    return Gate(0, opens, self._shut_since(now, time_zone, block))
        return Gate()

    def _shut_since(self, now: int, time_zone: str, block: int) -> int:
        for one in (block, block - 1):
            if past := [closes for _, closes in self._block(time_zone, one) if closes <= now]:
                return past[-1]
        return (block - 1) * _BLOCK * DAY

    def why_shut(self, now: int, time_zone: str) -> str:
        """What people are told when it is shut: the black-out of this day, or that it is not the hour."""
        today = (_EPOCH + timedelta(microseconds=now)).astimezone(zone_of(time_zone)).date()
        over = [one for one in self.blackouts if one.first <= today <= one.last]
        return str(max(over, key=lambda one: one.last)) if over else "window shut"

    def _block(self, time_zone: str, block: int) -> tuple[tuple[int, int], ...]:
        found = self._kept.get((time_zone, block))
        if found is None:
            if len(self._kept) >= _MOST_BLOCKS:
                self._kept.clear()
            begins, ends = block * _BLOCK * DAY, (block + 1) * _BLOCK * DAY
            spans = self._spans(zone_of(time_zone), begins - 3 * DAY, ends + DAY)
            found = self._kept[time_zone, block] = tuple(s for s in spans if s[1] > begins and s[0] < ends)
        return found

    def _spans(self, zone: ZoneInfo, begins: int, ends: int) -> list[tuple[int, int]]:
        """Openings between two instants, earliest first.

        Between two changes of a zone's offset the wall's clock runs evenly: there each day's opening is cut to size,
        and what daylight saving has cut in two, without a gap, is one opening.
        """
        spans: list[tuple[int, int, date]] = []
        for since, until, offset in _even(zone, begins, ends):
            for opens, closes, of in self._on_the_wall(since + offset, until + offset):
                opens, closes = max(opens - offset, since), min(closes - offset, until)
                if opens >= closes:
                    continue
                if spans and spans[-1][1] == opens and spans[-1][2] == of:
                    spans[-1] = (spans[-1][0], closes, of)
                else:
                    spans.append((opens, closes, of))
        return [(opens, closes) for opens, closes, _ in spans]

    def _on_the_wall(self, since: int, until: int) -> Iterator[tuple[int, int, date]]:
        """Openings that overlap these hours of the wall's clock, and the day on which each opens."""
        window = self.window
        closes_later = DAY if window.closes <= window.opens else 0
        for number in range(since // DAY - 1, until // DAY + 1):
            of = _EPOCH.date() + timedelta(days=number)
            if window.days and of.weekday() not in window.days:
                continue
            opens = number * DAY + _since_midnight(window.opens)
            closes = number * DAY + closes_later + _since_midnight(window.closes)
            for begins, ends in self._without_blackouts(opens, closes):
                yield begins, ends, of

    def _without_blackouts(self, opens: int, closes: int) -> list[tuple[int, int]]:
        parts = [(opens, closes)]
        for one in self.blackouts:
            first, after = _midnight(one.first), _midnight(one.last) + DAY
            if first < closes and after > opens:
                cut = [((b, min(e, first)), (max(b, after), e)) for b, e in parts]
                parts = [part for both in cut for part in both if part[0] < part[1]]
        return parts


def concerns(blackout: Blackout, kin: Kin) -> bool:
    """Does the black-out mean such a device?"""
    return not blackout.where or _concerns(blackout.where)(_stand_in(kin))


def _stand_in(kin: Kin) -> Device:
    platform = Platform(kin.platform) if kin.platform else None
    return Device(
        key=DeviceKey("", ""),
        site=kin.site,
        ring=kin.ring,
        platform=platform,
        model=kin.model,
        attributes={"wave": kin.wave},
    )


@lru_cache(maxsize=256)
def _concerns(where: str) -> Criterion:
    try:
        return criterion(where, only=FROZEN)
    except SelectionError as error:
        raise PlanError(
            f"A black-out is for {where[:200]!r}: {error.args[0]}",
            remedy=f"A plan keeps of its devices: {', '.join(FROZEN)}. {error.remedy}",
        ) from None


def _even(zone: ZoneInfo, begins: int, ends: int) -> Iterator[tuple[int, int, int]]:
    """Parts in which the zone's offset stays the same, and that offset in microseconds."""
    at, offset = begins, _offset(zone, begins)
    since = begins
    while at < ends:
        further = min(at + DAY, ends)
        there = _offset(zone, further)
        if there != offset:
            low, high = at, further  # the offset at `low` is the old one, at `high` another
            while high - low > 1_000_000:
                middle = (low + high) // 2_000_000 * 1_000_000
                low, high = (middle, high) if _offset(zone, middle) == offset else (low, middle)
            yield since, high, offset
            since, at, offset = high, high, _offset(zone, high)
        else:
            at = further
    if since < ends:
        yield since, ends, offset


def _offset(zone: ZoneInfo, at: int) -> int:
    shift = (_EPOCH + timedelta(microseconds=at)).astimezone(zone).utcoffset()
    assert shift is not None, zone
    return shift // timedelta(microseconds=1)


def _midnight(of: date) -> int:
    return (of - _EPOCH.date()).days * DAY


def _since_midnight(clock: time) -> int:
    return (clock.hour * 3600 + clock.minute * 60 + clock.second) * 1_000_000 + clock.microsecond


@lru_cache(maxsize=256)
def hours_of(window: Window, blackouts: tuple[Blackout, ...] = ()) -> Hours:
    """One for all who ask: what it has worked out serves again."""
    return Hours(window, blackouts)


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name; PlanError with a remedy if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise PlanError(
            f"{name!r} is no time zone.", remedy="Use a name of the tz database, such as Europe/Berlin."
        ) from None


def window_of(text: str, days: str = "") -> Window:
    """Read "20:00-05:00" and "mon-fri" as people write them; empty: any hour, every day. Raises PlanError."""
    opens = closes = time(0, 0)
    if text:
        try:
            opens, closes = (datetime.strptime(part.strip(), "%H:%M").time() for part in text.split("-"))
        except ValueError:
            raise PlanError(f"{text!r} is no window.", remedy="Write 20:00-05:00, in the devices' own time.") from None
    try:
        return Window(opens=opens, closes=closes, days=weekdays(days))
    except ValueError:
        raise PlanError(f"{days!r} are no weekdays.", remedy="Write mon-fri, or sat,sun.") from None


def weekdays(words: object) -> tuple[int, ...]:
    """weekdays, such as [mon, tue] or mon-fri"""
    parts = words.replace(" ", "").split(",") if isinstance(words, str) else words
    if not isinstance(parts, list):
        raise TypeError(words)
    found: list[int] = []
    for part in parts:
        if part or len(parts) > 1:
            first, dash, last = text(part).lower().partition("-")
            begins = WEEKDAYS.index(first)
            ends = WEEKDAYS.index(last) if dash else begins
            found += [one % 7 for one in range(begins, ends + 1 + (7 if ends < begins else 0))]
    return tuple(sorted(set(found)))


def _clock(value: object) -> time:
    """hours and minutes in quotes, such as '20:00'"""
    if isinstance(value, int) and not isinstance(value, bool):  # YAML 1.1 reads 22:00 as sixty-based
        return time(value // 60, value % 60)
    return time.fromisoformat(text(value))


def _clock_words(clock: time) -> str:
    return clock.isoformat("minutes") if not (clock.second or clock.microsecond) else clock.isoformat()


_WINDOW: dict[str, Reader] = {"opens": _clock, "closes": _clock, "days": weekdays}
_BLACKOUT: dict[str, Reader] = {"from": day, "to": day, "where": text, "reason": text}
