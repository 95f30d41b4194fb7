"""Moments as the widgets write them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from osupdate_kit.errors import PlanError
from osupdate_kit.rollout.windows import zone_of


def clock(at: int) -> str:
    """`Tue 24 Nov, 08:00:03 UTC`; "" for 0."""
    return f"{_utc(at):%a %d %b, %H:%M:%S} UTC" if at else ""


def day(at: int) -> str:
    """`23 Nov 02:10`; the zone, UTC, stands in the head of the table."""
    return f"{_utc(at):%d %b %H:%M}" if at else ""


def local(at: int, zone: str) -> str:
    """`Tue 24 Nov 02:10` where the device is; in UTC, and saying so, where its zone is not known."""
    if not at:
        return ""
    known = _zone(zone)
    return f"{_utc(at).astimezone(known):%a %d %b %H:%M}" if known else f"{_utc(at):%a %d %b %H:%M} UTC"


def _utc(at: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)


def _zone(name: str) -> ZoneInfo | None:
    try:
        return zone_of(name) if name else None
    except PlanError:
        return None
