"""When a device can be reached: nights, weekends and offline spells in its own time zone, drawn from its seed alone.

Every question has one answer whatever was asked before, so a device's presence does not depend on who looks.
"""

from datetime import UTC, datetime, timedelta
from enum import IntEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from osupdate_kit.lab.clock import DAY, HOUR, SECOND
from osupdate_kit.lab.specs import Behaviour, DeviceSpec

EVENING, MORNING = 22, 6  # local hours between which it is night
_MASK = (1 << 64) - 1


class _Draw(IntEnum):
    NIGHT = 1
    WEEKEND = 2
    SPELL = 3
    SPELL_HOUR = 4
    SPELL_LENGTH = 5


def _share(seed: int, draw: _Draw, day: int) -> float:
    """0–1, the same for the same arguments (a splitmix64 step)."""
    x = (seed * 0x9E3779B97F4A7C15 + draw * 0xBF58476D1CE4E5B9 + day * 0x94D049BB133111EB) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return (x ^ (x >> 31)) / 2**64


@lru_cache(maxsize=512)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


class Presence:
    """Answers for one device; instants are microseconds UTC."""

    __slots__ = ("_behaviour", "_seed", "_zone")

    def __init__(self, spec: DeviceSpec) -> None:
        self._seed, self._zone = spec.seed, _zone(spec.time_zone)
        self._behaviour: Behaviour = spec.behaviour

    @property
    def zone(self) -> ZoneInfo:
        return self._zone

    def local(self, at: int) -> datetime:
        return datetime.fromtimestamp(at / SECOND, self._zone)

    def night(self, at: int) -> bool:
        return not MORNING <= self.local(at).hour < EVENING

    def reachable(self, at: int) -> bool:
        local, habits = self.local(at), self._behaviour
        day, hour = local.toordinal(), local.hour
        if habits.off_hours and self._switched_off(hour + local.minute / 60):
            return False
        if not MORNING <= hour < EVENING:
            night = day if hour >= EVENING else day - 1  # a night belongs to the day on which it begins
            if _share(self._seed, _Draw.NIGHT, night) >= habits.night_share:
                return False
        elif local.weekday() >= 5 and _share(self._seed, _Draw.WEEKEND, day) >= habits.weekend_share:
            return False
        return not (habits.offline_share and self._in_spell(day, hour + local.minute / 60))

    def _switched_off(self, hour: float) -> bool:
        since, until = self._behaviour.off_hours or (0, 0)
        return since <= hour < until if since <= until else not until <= hour < since

    def _in_spell(self, day: int, hour: float) -> bool:
        low, high = self._behaviour.offline_hours
        for ago in range(int(high / 24) + 2):
            if _share(self._seed, _Draw.SPELL, day - ago) < self._behaviour.offline_share:
                start = 24 * _share(self._seed, _Draw.SPELL_HOUR, day - ago)
                length = low + (high - low) * _share(self._seed, _Draw.SPELL_LENGTH, day - ago)
                if start <= hour + 24 * ago < start + length:
                    return True
        return False

    def reachable_from(self, at: int) -> int:
        """The first instant from `at` on when it can be reached, to the hour; ten weeks later at the latest.

        To the half hour, where it is switched off by the clock.
        """
        last, pace = at + 70 * DAY, HOUR // 2 if self._behaviour.off_hours else HOUR
        while at < last and not self.reachable(at):
            at = (at // pace + 1) * pace
        return at

    def by_day(self, at: int, *, hour: float) -> int:
        """When the local clock next shows `hour`, strictly after `at`; later if the device cannot be reached then."""
        local = self.local(at)
        then = local.replace(hour=int(hour), minute=int(hour % 1 * 60), second=0, microsecond=0)
        while then <= local:
            then += timedelta(days=1)
        return self.reachable_from(int(then.astimezone(UTC).timestamp()) * SECOND)
