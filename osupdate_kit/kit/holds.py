"""The hold list: devices that a person keeps out of everything that can install, in every rollout.

Knows how people name them and how the list is audited (I10). That a held device is sent no step is judged by loop and
sender, each time anew.
"""

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from osupdate_kit.errors import RolloutError
from osupdate_kit.fleet.selection import Selection

if TYPE_CHECKING:
    from osupdate_kit.kit import Kit

CHUNK = 5_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Held(NamedTuple):
    """One line of the list; times in microseconds UTC, `until` 0 = until released."""

    serial: str
    udid: str
    name: str
    site: str
    server: str
    reason: str
    by: str
    since: int
    until: int


def hold(kit: "Kit", chosen: Selection, *, reason: str, until: str, group: str) -> int:
    """Put devices on the list; who is on it already is on it anew, with the new reason. How many."""
    if not reason.strip():
        raise RolloutError("A hold needs a reason.", remedy="Say why, such as: board meeting; others will ask.")
    _some(chosen)
    now = kit.clock.now()
    until_at = until_of(until) if until else 0
    if until_at and until_at <= now:
        raise RolloutError(f"{until} has passed.", remedy="Give a later day, or none: until released.")
    words = f"{group.strip()}: {reason.strip()}" if group.strip() else reason.strip()
    with kit.ledger.write() as tx:
        for device in chosen.devices:
            tx.add_hold(device.key, at=now, by=kit.who, reason=words, until_at=until_at)
        tx.audit(at=now, who=kit.who, what="hold", count=len(chosen), detail=f"{words} until {until or 'released'}")
    return len(chosen)


def release(kit: "Kit", chosen: Selection) -> int:
    """Take devices off the list, and look at them in their rollouts at once; how many were on it."""
    _some(chosen)
    now, released = kit.clock.now(), 0
    keys = [device.key for device in chosen.devices]
    with kit.ledger.write() as tx:
        for start in range(0, len(keys), CHUNK):
            mine = keys[start : start + CHUNK]
            held = tx.holds(mine, now)
            released += len(held)
            while standing := tx.holds(mine, now):  # one device may be held for several reasons
                for one in standing.values():
                    tx.release_hold(one.id, at=now, by=kit.who)
            journeys = tx.journeys_of(held)
            tx.set_due([(j.journey.rollout, key, now) for key, own in journeys.items() for j in own if j.live])
        if released:
            tx.audit(at=now, who=kit.who, what="release", count=released, detail="hold list")
    return released


def held(kit: "Kit") -> list[Held]:
    """The list as it stands, the newest first."""
    with kit.ledger.read() as tx:
        standing = tx.all_holds(kit.clock.now())
        known = tx.devices(standing)
    found = []
    for key, one in standing.items():
        device = known[key].device if key in known else None
        who = (device.serial, device.udid, device.name, device.site) if device else ("", key.enrollment_id, "", "")
        found.append(Held(*who, key.server, one.reason, one.by, one.at, one.until_at))
    return sorted(found, key=lambda line: (-line.since, line.serial))


def until_of(text: str) -> int:
    """The end of that day (UTC), or that moment, in microseconds. Raises RolloutError."""
    try:
        if len(text) <= 10:
            return (date.fromisoformat(text) - _EPOCH.date() + timedelta(days=1)) // timedelta(microseconds=1)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return (moment - _EPOCH) // timedelta(microseconds=1)
    except ValueError:
        pass
    raise RolloutError(f"{text[:40]!r} is no day.", remedy="Write 2026-12-18, or 2026-12-18T12:00+01:00.")


def _some(chosen: Selection) -> None:
    if not chosen.devices:
        called = f"called {', '.join(chosen.unmatched[:3])}" if chosen.unmatched else "meant"
        raise RolloutError(f"No device is {called}.", remedy="`osupdate-kit devices list` shows them all.")
