"""Calendars become black-outs; what is no calendar is an error with a remedy."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.errors import PlanError
from osupdate_kit.feeds.calendars import MOST_BYTES, blackouts_of, read_calendar
from osupdate_kit.rollout.windows import Blackout

FIRST, LAST = date(2026, 11, 23), date(2027, 6, 30)
EXAMS = "UID:1\nSUMMARY:Exams\nDTSTART;VALUE=DATE:20261207\nDTEND;VALUE=DATE:20261219"


def calendar(*events: str) -> bytes:
    parts = (f"BEGIN:VEVENT\n{event}\nEND:VEVENT\n" for event in events)
    return f"BEGIN:VCALENDAR\nVERSION:2.0\n{''.join(parts)}END:VCALENDAR\n".replace("\n", "\r\n").encode()


def days(*events: str) -> list[tuple[str, str, str]]:
    found = blackouts_of(calendar(*events), "a.ics", first=FIRST, last=LAST)
    return [(str(one.first), str(one.last), one.reason) for one in found]


def test_an_event_of_whole_days_ends_on_the_day_before_its_end() -> None:
    assert days(EXAMS) == [("2026-12-07", "2026-12-18", "Exams")]


def test_a_calendar_is_read_for_those_whom_it_concerns(tmp_path: Path) -> None:
    file = tmp_path / "exams.ics"
    file.write_bytes(calendar(EXAMS))
    assert read_calendar(file, first=FIRST, last=LAST, where='site == "North"') == (
        Blackout(first=date(2026, 12, 7), last=date(2026, 12, 18), where='site == "North"', reason="Exams"),
    )


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("DTSTART;VALUE=DATE:20261224", [("2026-12-24", "2026-12-24", "")]),
        ("DTSTART:20261207T080000\nDTEND:20261207T120000", [("2026-12-07", "2026-12-07", "")]),
        ("DTSTART:20261207T080000\nDTEND:20261209T000000", [("2026-12-07", "2026-12-08", "")]),
        ("DTSTART;TZID=Europe/Berlin:20261207T220000\nDURATION:PT4H", [("2026-12-07", "2026-12-08", "")]),
        ("DTSTART;VALUE=DATE:20200101\nDTEND;VALUE=DATE:20200102", []),
        ("DTSTART;VALUE=DATE:20261224\nSTATUS:CANCELLED", []),
        ("DTSTART;VALUE=DATE:20201224\nRRULE:FREQ=YEARLY", [("2026-12-24", "2026-12-24", "")]),
        (
            "DTSTART;VALUE=DATE:20261204\nRRULE:FREQ=WEEKLY;COUNT=3\nEXDATE;VALUE=DATE:20261211",
            [("2026-12-04", "2026-12-04", ""), ("2026-12-18", "2026-12-18", "")],
        ),
        (
            "DTSTART;VALUE=DATE:20261204\nRRULE:FREQ=WEEKLY;UNTIL=20261211T230000Z",
            [("2026-12-04", "2026-12-04", ""), ("2026-12-11", "2026-12-11", "")],
        ),
        (
            "DTSTART;VALUE=DATE:20261204\nRDATE;VALUE=DATE:20261206,20261208",
            [(f"2026-12-0{n}", f"2026-12-0{n}", "") for n in (4, 6, 8)],
        ),
    ],
)
def test_events_take_whole_days(event: str, expected: list[tuple[str, str, str]]) -> None:
    assert days(event) == expected


def test_an_occurrence_that_was_moved_is_where_it_was_moved_to() -> None:
    weekly = "UID:7\nDTSTART;VALUE=DATE:20261204\nRRULE:FREQ=WEEKLY;COUNT=2"
    moved = "UID:7\nRECURRENCE-ID;VALUE=DATE:20261211\nDTSTART;VALUE=DATE:20261214\nSUMMARY:later"
    assert days(weekly, moved) == [("2026-12-04", "2026-12-04", ""), ("2026-12-14", "2026-12-14", "later")]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"serial,site\nC1,North\n",
        b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n",
        calendar("SUMMARY:no start"),
        calendar("DTSTART:20269999"),
        calendar("DTSTART:20261201T000000\nRRULE:FREQ=SECONDLY"),
        calendar("DTSTART;VALUE=DATE:00010101\nRRULE:FREQ=DAILY"),
        calendar("DTSTART;VALUE=DATE:20260101\nDTEND;VALUE=DATE:29990101"),
        b"x" * (MOST_BYTES + 1),
    ],
)
def test_what_is_no_calendar_is_refused_with_a_remedy(content: bytes) -> None:
    with pytest.raises(PlanError, match=r"a\.ics") as caught:
        blackouts_of(content, "a.ics", first=FIRST, last=LAST)
    assert caught.value.remedy


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="exams"):
        read_calendar(tmp_path / "exams.ics", first=FIRST, last=LAST)


TEXTS = st.text(max_size=9)
LINES = st.lists(
    st.one_of(
        st.sampled_from(["BEGIN:VEVENT", "END:VEVENT", "DTSTART;VALUE=DATE:20261207", "DTEND:20261209T100000Z"]),
        st.builds("DTSTART:{}".format, st.from_regex(r"[0-9]{8}(T[0-9]{6}Z?)?", fullmatch=True)),
        st.builds("DURATION:{}".format, st.from_regex(r"-?P[0-9]{1,9}[WD]", fullmatch=True)),
        st.builds(
            "RRULE:FREQ={};{}={}".format,
            st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY", "HOURLY", "EVER"]),
            st.sampled_from(["INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "BYEASTER"]),
            st.sampled_from(["0", "1", "31", "-1", "MO", "5SU", "20270101", "99999999999999999999", "x"]),
        ),
        st.builds("{}:{}".format, st.sampled_from(["EXDATE", "RDATE", "RECURRENCE-ID", "SUMMARY"]), TEXTS),
    ),
    max_size=12,
)


@given(LINES | st.just([]), st.binary(max_size=60))
def test_no_file_is_too_strange_for_an_error_that_we_can_explain(lines: list[str], tail: bytes) -> None:
    for content in (calendar("\n".join(lines)), calendar(*lines) + tail, tail, b"\r\n".join(map(str.encode, lines))):
        found, remedy = (), "none is needed"
        try:
            found = blackouts_of(content, "a.ics", first=FIRST, last=LAST)
        except PlanError as error:
            remedy = error.remedy
        assert remedy
        assert all(one.first <= LAST and one.last >= FIRST for one in found)
