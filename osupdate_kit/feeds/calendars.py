"""Calendars (iCalendar files) → black-outs: exam weeks and holidays as a school or a firm already keeps them.

Knows events, recurrences and moved or cancelled ones. A timed event takes its whole days, as the calendar writes them.
Leaves what a black-out does to `rollout/windows.py`.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from dateutil.rrule import DAILY, rrulestr
from icalendar import Calendar

from osupdate_kit.errors import PlanError
from osupdate_kit.rollout.windows import Blackout

MOST_BYTES = 4 * 1024 * 1024
MOST = 2_000  # black-outs of one file; more than that is no calendar of exams
MOST_DAYS = 366  # of one event
_REMEDY = "Export it anew as an iCalendar file (.ics), with the events that matter only."

Days = tuple[date, date]  # both included


def read_calendar(path: Path, *, first: date, last: date, where: str = "") -> tuple[Blackout, ...]:
    """The events that touch these days, earliest first. `where`: for whom, as `Blackout` takes it. Raises PlanError."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise PlanError(f"{path} cannot be read: {error.strerror}.", remedy="Name an iCalendar file.") from None
    return blackouts_of(content, str(path), first=first, last=last, where=where)


def blackouts_of(content: bytes, name: str, *, first: date, last: date, where: str = "") -> tuple[Blackout, ...]:
    """The same of a file's content; `name`: what to call it in an error."""
    if len(content) > MOST_BYTES:
        raise PlanError(f"{name} is larger than {MOST_BYTES >> 20} MiB.", remedy=_REMEDY)
    found: set[tuple[date, date, str]] = set()
    try:
        for begins, ends, reason in _events(content, first, last):
            if ends >= first and begins <= last and len(found) <= MOST:
                found.add((begins, ends, reason))
    except Exception as error:  # a parser of a format with a hundred corners: whatever it stumbles over, it is the file
        what = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise PlanError(f"{name} is no calendar that can be read: {what}", remedy=_REMEDY) from None
    if len(found) > MOST:
        raise PlanError(f"{name} has more than {MOST:,} events in these days.", remedy=_REMEDY)
    return tuple(Blackout(first=b, last=e, where=where, reason=reason) for b, e, reason in sorted(found))


def _events(content: bytes, first: date, last: date) -> Iterator[tuple[date, date, str]]:
    calendars = Calendar.from_ical(content, multiple=True)
    if not calendars:
        raise ValueError("it is empty")
    events: list[Any] = [event for calendar in calendars for event in calendar.walk("VEVENT")]
    moved: dict[str, set[date]] = defaultdict(set)
    for event in events:
        if "RECURRENCE-ID" in event:
            moved[str(event.get("UID"))].add(_day(event["RECURRENCE-ID"].dt))
    for event in events:
        if str(event.get("STATUS", "")).upper() == "CANCELLED":
            continue
        begins, ends = _days(event)
        reason = " ".join(str(event.get("SUMMARY", "")).split())[:100]
        if "RRULE" not in event or "RECURRENCE-ID" in event:
            starts: Iterator[date] = iter([begins])
            if "RDATE" in event:
                starts = iter({begins, *_dates(event["RDATE"])})
        else:
            without = {_day(one) for one in event.exdates} | moved[str(event.get("UID"))]
            starts = (one for one in _recurrences(event, begins, last) if one not in without)
        for start in starts:
            yield start, start + (ends - begins), reason


def _days(event: Any) -> Days:
    """First and last day of an event. An end at midnight, or as a date, is no day of it any more."""
    begins, ends = event.start, event.end
    if isinstance(ends, datetime):
        ends -= timedelta(microseconds=1)
    else:
        ends -= timedelta(days=1)
    first, last = _day(begins), max(_day(begins), _day(ends))
    if (last - first).days >= MOST_DAYS:
        raise ValueError(f"an event lasts from {first} to {last}")
    return first, last


def _day(moment: date | datetime) -> date:
    return moment.date() if isinstance(moment, datetime) else moment


def _dates(given: Any) -> Iterator[date]:
    for part in given if isinstance(given, list) else [given]:
        for one in part.dts:
            yield _day(one.dt[0] if isinstance(one.dt, tuple) else one.dt)


def _recurrences(event: Any, begins: date, last: date) -> Iterator[date]:
    """By whole days, and no further than `last`: a rule may have no end, and a hostile one no occurrence."""
    rules = event["RRULE"]
    for words in rules if isinstance(rules, list) else [rules]:
        text = words.to_ical().decode()
        if begins.year < 1970:
            raise ValueError(f"an event comes back since {begins}")
        rule: Any = rrulestr(_dateless(text), dtstart=_midnight(begins))
        if rule._freq > DAILY:
            raise ValueError(f"an event comes back more often than daily: {text[:100]}")
        until, count = words.get("UNTIL", [last])[0], words.get("COUNT", [None])[0]
        bounded = rule.replace(count=None, until=_midnight(min(_day(until), last)))
        for occurrence in islice(bounded, count):
            yield occurrence.date()


def _dateless(text: str) -> str:
    """The rule without its end, which is given apart: dates and moments do not compare."""
    return ";".join(part for part in text.split(";") if not part.upper().startswith(("UNTIL=", "COUNT=")))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)


def days_of(begins: int, ends: int) -> Days:
    """The days on earth between two instants in microseconds UTC, for `read_calendar`."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    first, last = (epoch + timedelta(microseconds=at) for at in (begins, ends))
    return (first - timedelta(days=1)).date(), (last + timedelta(days=1)).date()
