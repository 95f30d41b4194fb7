"""A window is open exactly while the clock on the wall there shows a time inside it."""

import time as clock
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from osupdate_kit.errors import PlanError
from osupdate_kit.rollout.policy import DAY, HOUR, MINUTE, Gate
from osupdate_kit.rollout.windows import (
    Blackout,
    Hours,
    Kin,
    Schedule,
    Window,
    concerns,
    weekdays,
    window_of,
    zone_of,
)
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


# --- how long it has been shut, and how far ahead one looks ---


@given(HOURS, OFF, INSTANTS, st.sampled_from(ZONES))
def test_a_shut_window_has_been_shut_since_it_closed_or_for_longer_than_a_week(
    window: Window, off: list[Blackout], now: int, zone: str
) -> None:
    gate = Hours(window, off).gate(now, zone)
    if gate.open_since or not gate.changes_at:
        return
    assert gate.shut_since <= now
    assert not inside(window, off, wall(gate.shut_since, zone))
    assert not inside(window, off, wall((gate.shut_since + now) // 2, zone))
    before = Hours(window, off).gate(gate.shut_since - 1, zone)
    assert before.changes_at == gate.shut_since or gate.shut_since < now - 7 * DAY


def test_a_window_is_shut_since_its_last_hour_whatever_day_that_was() -> None:
    fridays = Window(opens=time(20), closes=time(22), days=(4,))
    for now in ("2026-11-27T22:00", "2026-11-30T12:00", "2026-12-04T19:59"):
        assert fridays.gate(at(now), "UTC") == Gate(0, at("2026-12-04T20:00"), at("2026-11-27T22:00"))


def test_an_opening_two_years_ahead_is_found() -> None:
    off = Blackout(first=date(2026, 1, 1), last=date(2027, 12, 31))
    assert Hours(NIGHT, [off]).gate(at("2026-01-02T12:00"), "UTC").changes_at == at("2028-01-01T00:00")


# --- words ---


@pytest.mark.parametrize(
    ("window", "words", "always"),
    [
        (Window(), "any hour", True),
        (Window(opens=time(7), closes=time(7)), "any hour", True),
        (NIGHT, "20:00-05:00", False),
        (Window(opens=time(8, 30), closes=time(18, 0, 30)), "08:30-18:00:30", False),
        (Window(days=(6, 5, 5)), "any hour sat, sun", False),
        (Window(opens=time(20), closes=time(5), days=(0,)), "20:00-05:00 mon", False),
        (Window(days=tuple(range(7))), "any hour", True),
    ],
)
def test_a_window_is_told_in_words(window: Window, words: str, always: bool) -> None:
    assert str(window) == words
    assert window.always is always


@pytest.mark.parametrize(
    ("window", "words"),
    [
        (NIGHT, {"opens": "20:00", "closes": "05:00"}),
        (Window(opens=time(1, 2, 3), days=(2, 0)), {"opens": "01:02:03", "closes": "00:00", "days": ["mon", "wed"]}),
        (Window(closes=time(0, 0, 0, 5)), {"opens": "00:00", "closes": "00:00:00.000005"}),
    ],
)
def test_a_window_is_written_as_it_is_read(window: Window, words: dict[str, object]) -> None:
    assert window.words() == words
    assert Window.from_words(words) == window


@pytest.mark.parametrize(
    ("value", "clock"),
    [("20:00", time(20)), ("20:00:30", time(20, 0, 30)), (1200, time(20)), (485, time(8, 5)), (0, time(0)),
     (1439, time(23, 59)), (1440, None), (-1, None), (True, None), (8.5, None), ("8 pm", None)],
)  # fmt: skip
def test_hours_without_quotes_are_read_as_yaml_counts_them(value: object, clock: time | None) -> None:
    if clock is not None:
        assert Window.from_words({"opens": value}).opens == clock
        return
    with pytest.raises(PlanError, match="opens of a window") as caught:
        Window.from_words({"opens": value})
    assert caught.value.remedy == "Give hours and minutes in quotes, such as '20:00'."


@pytest.mark.parametrize("day", [-1, 7])
def test_a_week_has_seven_days(day: int) -> None:
    assert Window(days=(0, 6)).days == (0, 6)
    with pytest.raises(PlanError, match="are no weekdays") as caught:
        Window(days=(0, day))
    assert caught.value.remedy == "Monday is 0, Sunday 6."


@pytest.mark.parametrize(
    ("text", "days", "window"),
    [
        ("", "", Window()),
        ("20:00-05:00", "", NIGHT),
        (" 8:00 - 18:00", "mon-fri", Window(opens=time(8), closes=time(18), days=(0, 1, 2, 3, 4))),
        ("", "sun", Window(days=(6,))),
        ("", "fri-mon, wed", Window(days=(0, 2, 4, 5, 6))),
        ("", "tue-tue", Window(days=(1,))),
        ("", "mon-sun", Window()),
        ("", "sun-sat", Window()),
    ],
)
def test_a_window_is_read_as_people_write_it(text: str, days: str, window: Window) -> None:
    assert window_of(text, days) == window


@pytest.mark.parametrize(
    ("hours", "days", "message", "remedy"),
    [
        ("8 to 5", "", "'8 to 5' is no window.", "Write 20:00-05:00, in the devices' own time."),
        ("20:00", "", "'20:00' is no window.", "Write 20:00-05:00, in the devices' own time."),
        ("", "mon,", "'mon,' are no weekdays.", "Write mon-fri, or sat,sun."),
        ("", "weekend", "'weekend' are no weekdays.", "Write mon-fri, or sat,sun."),
    ],
)
def test_what_is_no_window_says_which_part_and_what_to_write(hours: str, days: str, message: str, remedy: str) -> None:
    with pytest.raises(PlanError) as caught:
        window_of(hours, days)
    assert (caught.value.args[0], caught.value.remedy) == (message, remedy)


@pytest.mark.parametrize("words", [7, None, ("mon",), [1]])
def test_weekdays_are_texts(words: object) -> None:
    with pytest.raises(TypeError):
        weekdays(words)


# --- black-outs ---


def december(first: int, last: int, **words: str) -> Blackout:
    return Blackout(first=date(2026, 12, first), last=date(2026, 12, last), **words)


def test_a_blackout_lasts_a_day_at_least() -> None:
    assert december(7, 7).last == date(2026, 12, 7)
    with pytest.raises(PlanError, match="lasts from 2026-12-07 to 2026-12-06") as caught:
        december(7, 6)
    assert caught.value.remedy == "Let it end when it begins, or later."


def test_a_blackout_is_told_and_written_without_what_goes_without_saying() -> None:
    assert str(december(7, 8)) == "black-out until 2026-12-08"
    assert str(december(7, 8, reason="exams")) == "black-out: exams until 2026-12-08"
    assert december(7, 8).words() == {"from": date(2026, 12, 7), "to": date(2026, 12, 8)}
    full = december(7, 8, reason="exams", where='ring == "pilot"')
    assert Blackout.from_words(full.words()) == full


@pytest.mark.parametrize("words", [{"from": "2026-12-07"}, {"to": "2026-12-07"}, {}])
def test_a_blackout_without_both_its_days_is_refused(words: dict[str, str]) -> None:
    with pytest.raises(PlanError, match="lacks from or to") as caught:
        Blackout.from_words(words)
    assert caught.value.remedy == "Give its first and its last day."


@pytest.mark.parametrize(
    ("now", "why"),
    [
        ("2026-12-06T23:59", "window shut"),
        ("2026-12-07T00:00", "black-out: exams until 2026-12-09"),
        ("2026-12-08T12:00", "black-out: fair until 2026-12-11"),  # of two, the one that lasts longer
        ("2026-12-09T23:59", "black-out: fair until 2026-12-11"),
        ("2026-12-11T23:59", "black-out: fair until 2026-12-11"),
        ("2026-12-12T00:00", "window shut"),
    ],
)
def test_people_are_told_of_the_blackout_of_the_day(now: str, why: str) -> None:
    hours = Hours(NIGHT, [december(8, 11, reason="fair"), december(7, 9, reason="exams")])
    assert hours.why_shut(at(now), "UTC") == why
    assert (
        Hours(NIGHT, [december(7, 7)]).why_shut(at("2026-12-06T18:30"), "Asia/Kolkata") == "black-out until 2026-12-07"
    )


@pytest.mark.parametrize(
    ("where", "meant"),
    [
        ("", True),
        ('site == "North"', True),
        ('ring == "pilot"', True),
        ('platform == "iPadOS"', True),
        ('model == "iPad13,18"', True),
        ('wave == "broad"', True),
        ('site == "South"', False),
        ('platform == "macOS"', False),
        ('wave == "canary"', False),
    ],
)
def test_a_blackout_goes_by_all_that_a_plan_froze_of_a_device(where: str, meant: bool) -> None:
    kin = Kin(site="North", ring="pilot", platform="iPadOS", model="iPad13,18", wave="broad")
    assert concerns(december(7, 8, where=where), kin) is meant
    assert concerns(december(7, 8, where=where), Kin()) is not bool(where)


def test_a_blackout_by_what_no_plan_froze_says_what_one_may_name() -> None:
    with pytest.raises(PlanError, match="A black-out is for 'serial == 1'") as caught:
        december(7, 8, where="serial == 1")
    assert caught.value.remedy.startswith("A plan keeps of its devices: site, ring, platform, model, wave. ")


@pytest.mark.parametrize("name", ["Europe/Atlantis", "", "../etc/passwd", "x" * 300, "\x00"])
def test_a_name_that_is_no_time_zone_is_refused_with_an_example(name: str) -> None:
    with pytest.raises(PlanError, match="is no time zone") as caught:
        zone_of(name)
    assert caught.value.remedy == "Use a name of the tz database, such as Europe/Berlin."
