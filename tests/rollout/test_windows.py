"""A window is open exactly while the clock on the wall there shows a time inside it."""

import time as clock
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from osupdate_kit.errors import PlanError
from osupdate_kit.rollout.policy import DAY, HOUR, MINUTE, Gate
from osupdate_kit.rollout.windows import Blackout, Hours, Kin, Schedule, Window, weekdays, window_of
from tests.rollout.plans import HOURS, WINDOWS, blackouts

NIGHT = Window(opens=time(20), closes=time(5))
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Sydney", "Asia/Kolkata")
ODD = ("Australia/Lord_Howe", "Africa/Cairo", "Pacific/Apia", "Asia/Kathmandu", "America/Santiago", "UTC")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(text: str, zone: str = "UTC", *, fold: int = 0) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return int(moment.timestamp()) * 1_000_000


def wall(now: int, zone: str) -> datetime:
    return (EPOCH + timedelta(microseconds=now)).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def inside(window: Window, off: list[Blackout], shown: datetime) -> bool:
    """Is this time of a clock on the wall inside? Said anew, day by day, without any instants."""
    if any(one.first <= shown.date() <= one.last for one in off):
        return False
    for day in (shown.date() - timedelta(days=1), shown.date()):
        closes = day + timedelta(days=window.closes <= window.opens)
        if window.days and day.weekday() not in window.days:
            continue
        if datetime.combine(day, window.opens) <= shown < datetime.combine(closes, window.closes):
            return True
    return False


# Around both changes of 2026 of the four zones, and any instant of some years.
CHANGES = [at(f"2026-{day}T{hour}:00") for day in ("03-29", "10-25", "03-08", "11-01", "04-05", "10-04") for hour in
           ("00", "06", "12", "18")]  # fmt: skip
INSTANTS = st.one_of(
    st.builds(lambda change, minutes: change + minutes * MINUTE, st.sampled_from(CHANGES), st.integers(-600, 600)),
    st.integers(at("2009-01-01"), at("2036-01-01")),
)
OFF = st.lists(blackouts(date(2026, 3, 1), date(2026, 11, 30)), max_size=3)


@given(st.one_of(HOURS, WINDOWS), OFF, INSTANTS, st.sampled_from(ZONES + ODD))
@example(Window(opens=time(22), closes=time(2, 30)), [], at("2026-03-29T01:00"), "Europe/Berlin")
@example(Window(opens=time(22), closes=time(2, 30)), [], at("2026-10-25T00:45"), "Europe/Berlin")
@example(Window(opens=time(2, 30), closes=time(5)), [], at("2026-10-25T01:15"), "Europe/Berlin")
def test_a_window_is_open_exactly_when_the_wall_shows_a_time_inside(
    window: Window, off: list[Blackout], now: int, zone: str
) -> None:
    gate = Hours(window, off).gate(now, zone)
    assert bool(gate.open_since) == inside(window, off, wall(now, zone))
    if not gate.changes_at:
        return
    assert now < gate.changes_at
    at_hand = [now, (now + gate.changes_at) // 2, gate.changes_at - 1]
    assert all(inside(window, off, wall(one, zone)) == bool(gate.open_since) for one in at_hand)
    if not gate.open_since:
        assert inside(window, off, wall(gate.changes_at, zone))
        assert Hours(window, off).gate(gate.changes_at, zone).open_since == gate.changes_at


@given(HOURS, INSTANTS, st.sampled_from(ZONES + ODD))
def test_one_opening_is_one_gate_however_often_one_looks(window: Window, now: int, zone: str) -> None:
    hours = Hours(window)
    gate = hours.gate(now, zone)
    if not gate.open_since:
        return
    assert gate.open_since <= now < gate.changes_at
    looks = [gate.open_since, (gate.open_since + now) // 2, gate.changes_at - 1]
    assert {Hours(window).gate(one, zone) for one in looks} == {gate}
    before = hours.gate(gate.open_since - 1, zone)
    assert before.changes_at == gate.open_since


@pytest.mark.parametrize(
    ("zone", "evening", "hours"),
    [
        ("Europe/Berlin", "2026-03-28", 8), ("Europe/Berlin", "2026-10-24", 10),
        ("America/New_York", "2026-03-07", 8), ("America/New_York", "2026-10-31", 10),
        ("Australia/Sydney", "2026-10-03", 8), ("Australia/Sydney", "2026-04-04", 10),
        ("Asia/Kolkata", "2026-03-28", 9), ("Asia/Kolkata", "2026-10-24", 9),
    ],
)  # fmt: skip
def test_a_night_of_daylight_saving_is_one_opening_by_the_clock_on_the_wall(
    zone: str, evening: str, hours: int
) -> None:
    opens = at(f"{evening}T20:00", zone)
    closes = opens + hours * HOUR
    assert NIGHT.gate(opens, zone) == NIGHT.gate(closes - 1, zone) == Gate(opens, closes)
    assert wall(closes, zone).time() == time(5)
    assert NIGHT.gate(opens - 1, zone)[:2] == (0, opens)
    assert NIGHT.gate(closes, zone)[:2] == (0, at(f"{wall(closes, zone).date()}T20:00", zone))


def test_a_closing_hour_that_is_skipped_closes_with_the_jump() -> None:
    window = Window(opens=time(22), closes=time(2, 30))
    jump = at("2026-03-29T01:00")
    assert window.gate(jump - 1, "Europe/Berlin") == Gate(at("2026-03-28T21:00"), jump)
    assert window.gate(jump, "Europe/Berlin").open_since == 0


def test_a_closing_hour_that_comes_twice_opens_the_window_twice() -> None:
    window = Window(opens=time(22), closes=time(2, 30))
    assert window.gate(at("2026-10-25T00:15"), "Europe/Berlin") == Gate(at("2026-10-24T20:00"), at("2026-10-25T00:30"))
    assert window.gate(at("2026-10-25T00:45"), "Europe/Berlin")[:2] == (0, at("2026-10-25T01:00"))
    assert window.gate(at("2026-10-25T01:15"), "Europe/Berlin") == Gate(at("2026-10-25T01:00"), at("2026-10-25T01:30"))


def test_a_window_opens_on_its_weekdays_and_closes_on_the_day_after() -> None:
    week = Window(opens=time(20), closes=time(5), days=(0, 1, 2, 3, 4))
    friday, monday = at("2026-11-27T20:00", "Europe/Berlin"), at("2026-11-30T20:00", "Europe/Berlin")
    assert week.gate(friday + 8 * HOUR, "Europe/Berlin") == Gate(friday, friday + 9 * HOUR)
    assert week.gate(friday + 9 * HOUR, "Europe/Berlin")[:2] == (0, monday)


def test_no_step_is_sent_on_the_days_of_a_blackout_as_the_device_counts_them() -> None:
    exams = Blackout(first=date(2026, 12, 7), last=date(2026, 12, 18), reason="exams")
    hours = Hours(NIGHT, [exams])
    begins, ends = at("2026-12-07T00:00", "Asia/Kolkata"), at("2026-12-19T00:00", "Asia/Kolkata")
    assert hours.gate(begins - 1, "Asia/Kolkata") == Gate(at("2026-12-06T20:00", "Asia/Kolkata"), begins)
    assert hours.gate(begins, "Asia/Kolkata")[:2] == (0, ends)
    assert hours.gate(ends, "Asia/Kolkata") == Gate(ends, ends + 5 * HOUR)
    assert hours.why_shut(begins, "Asia/Kolkata") == "black-out: exams until 2026-12-18"
    assert hours.why_shut(begins - 10 * HOUR, "Asia/Kolkata") == "window shut"


def test_a_blackout_without_an_end_in_sight_never_opens() -> None:
    assert (
        Hours(Window(), [Blackout(first=date(2020, 1, 1), last=date(2090, 1, 1))]).gate(at("2026-11-27"), "UTC")
        == Gate()
    )


def test_two_windows_and_blackouts_for_whom_they_mean() -> None:
    day = Window(opens=time(8), closes=time(18))
    north = Blackout(first=date(2026, 12, 7), last=date(2026, 12, 8), where='site == "North" and wave != "canary"')
    schedule = Schedule(NIGHT, day, (north,))
    noon, midnight = at("2026-12-07T12:00"), at("2026-12-07T23:00")
    for kin, kept in (
        (Kin(site="North", wave="broad"), True),
        (Kin(site="North", wave="canary"), False),
        (Kin(), False),
    ):
        assert bool(schedule.hours(kin, downloads=True).gate(noon, "UTC").open_since) is not kept
        assert bool(schedule.hours(kin, downloads=False).gate(midnight, "UTC").open_since) is not kept
        assert not schedule.hours(kin, downloads=True).gate(midnight, "UTC").open_since
        assert not schedule.hours(kin, downloads=False).gate(noon, "UTC").open_since


def test_one_window_is_for_both_kinds_of_steps() -> None:
    schedule = Schedule(NIGHT, None, ())
    assert schedule.hours(Kin(), downloads=True) is schedule.hours(Kin(), downloads=False)


@pytest.mark.parametrize(
    ("words", "days"),
    [("", ()), ("mon-fri", (0, 1, 2, 3, 4)), ("sat,sun", (5, 6)), ("Sat-Mon", (0, 5, 6)), (["wed"], (2,)), ([], ())],
)
def test_weekdays_are_read_as_people_write_them(words: object, days: tuple[int, ...]) -> None:
    assert weekdays(words) == days


@pytest.mark.parametrize(("hours", "days"), [("8 to 5", ""), ("20:00", ""), ("", "weekend"), ("", "mon-")])
def test_what_is_no_window_is_refused_with_a_remedy(hours: str, days: str) -> None:
    with pytest.raises(PlanError) as caught:
        window_of(hours, days)
    assert caught.value.remedy


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(PlanError, match="no time zone"):
        NIGHT.gate(0, "Europe/Atlantis")


def test_a_turn_of_a_thousand_devices_asks_its_windows_in_milliseconds() -> None:
    off = tuple(Blackout(first=date(2026, 12, n), last=date(2026, 12, n), reason=str(n)) for n in range(1, 29))
    schedule = Schedule(NIGHT, Window(opens=time(8), closes=time(18)), off)
    kin = [Kin(site=f"site {n % 40}", platform="iPadOS", model=f"iPad{n % 9},1", wave="broad") for n in range(1000)]
    spent = []
    for turn in range(3):
        began = clock.process_time()
        for number, one in enumerate(kin):
            schedule.hours(one, downloads=True).gate(at("2026-12-07T12:00") + turn * DAY // 24, ZONES[number % 4])
        spent.append(clock.process_time() - began)
    assert min(spent) < 0.02
