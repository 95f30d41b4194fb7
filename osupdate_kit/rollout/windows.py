"""Windows: when a step may be sent, in the device's own time.

Knows hours and time zones; daylight saving is the zone's business. Leaves what waits for a window to `engine.py`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from osupdate_kit.errors import PlanError
from osupdate_kit.rollout.policy import Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Daily hours in device-local time in which a step may be sent; `opens` later than `closes` spans midnight."""

    opens: time = time(0, 0)
    closes: time = time(0, 0)  # equal to `opens`: the whole day

    def gate(self, now: int, time_zone: str) -> Gate:
        """The window at `now` (microseconds UTC) for a device there. Raises PlanError for an unknown time zone."""
        day = 86_400_000_000
        for opens, closes in _openings(self, time_zone, now // day):
            if opens <= now < closes:
                return Gate(opens, closes)
            if opens > now:
                return Gate(0, opens)
        raise AssertionError("a daily window opens within two days")

    def words(self) -> dict[str, Any]:
        """As a plan's YAML holds it."""
        return {"opens": f"{self.opens:%H:%M}", "closes": f"{self.closes:%H:%M}"}

    @classmethod
    def from_words(cls, words: dict[str, Any]) -> "Window":
        return cls(opens=_clock(words.get("opens", "00:00")), closes=_clock(words.get("closes", "00:00")))

    def __str__(self) -> str:
        return "any hour" if self.opens == self.closes else f"{self.opens:%H:%M}-{self.closes:%H:%M}"


@lru_cache(maxsize=4096)
def _openings(window: Window, time_zone: str, day: int) -> tuple[tuple[int, int], ...]:
    """Openings around a UTC day, as instants: daylight saving is the zone's business, not ours."""
    zone = zone_of(time_zone)
    date = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).date()
    spans = []
    for offset in range(-2, 4):
        opens = datetime.combine(date + timedelta(days=offset), window.opens, zone)
        until = date + timedelta(days=offset + (window.closes <= window.opens))
        spans.append((_instant(opens), _instant(datetime.combine(until, window.closes, zone))))
    return tuple(spans)


def _instant(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name; PlanError with a remedy if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise PlanError(
            f"{name!r} is no time zone.", remedy="Use a name of the tz database, such as Europe/Berlin."
        ) from None


def _clock(text: object) -> time:
    if isinstance(text, int):  # YAML 1.1 reads 22:00 as sixty-based
        return time(text // 60, text % 60)
    return time.fromisoformat(str(text))
