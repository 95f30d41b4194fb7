"""Moments and names as the widgets write them. A device's text is cut and shows no direction marks (I12)."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from osupdate_kit.errors import PlanError
from osupdate_kit.rollout.windows import zone_of

LONGEST = 200  # characters of a device's text in a message

# Control characters, and those that turn the direction of the text around them: a name must not look like another.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+")


def short(text: str) -> str:
    """Text on one line, cut, without what cannot be seen."""
    text = " ".join(_UNSEEN.sub(" ", text[: 4 * LONGEST]).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def devices(number: int) -> str:
    return f"{number:,} device" if number == 1 else f"{number:,} devices"


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
