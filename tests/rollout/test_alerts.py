"""Which alerts stand for given figures, what they say, and when each is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.rollout.alerts import (
    GRACE,
    Alert,
    AlertKind,
    RolloutFigures,
    Said,
    ServerFigures,
    Stop,
    Telling,
    Untaken,
    Wait,
    Watch,
    change,
    clean,
    notice,
    report_failed,
    standing,
    telling,
)
from osupdate_kit.rollout.policy import DAY, HOUR, MINUTE

NOW = 1_795_000_000_000_000  # 2026-11-18
WATCH = Watch(certificates={"school": NOW + 20 * DAY, "lobby": NOW + 200 * DAY})
STOPPED = Stop("model", "iPad13,18", "7 of the 20 devices that began have failed (35%): model iPad13,18")


def stand(
    *rollouts: RolloutFigures, servers: tuple[ServerFigures, ...] = (), watch: Watch | None = None
) -> list[Alert]:
    return standing(rollouts, servers, watch or Watch(), NOW)


def said(kind: AlertKind = AlertKind.HALTED, **words: int) -> Said:
    return Said(**{"id": 1, "kind": kind.value, "subject": "rollout 1", "text": "It stands.", "at": NOW, **words})


def test_nothing_stands_where_all_is_well() -> None:
    assert stand(RolloutFigures(number=1, name="iPads", waits=(Wait("broad", "its time has not come"),))) == []
    assert stand(servers=(ServerFigures(name="school", pushes=5, pushed_at=NOW - HOUR),)) == []
    assert RolloutFigures(number=1, name="iPads") == RolloutFigures(
        number=1, name="iPads", unapproved=0, halted=False, stops=(), waits=(), armed=0
    )
    assert ServerFigures(name="school") == ServerFigures(name="school", pushes=0, pushed_at=0)


def test_a_halt_is_told_once_whether_of_all_or_of_slices() -> None:
    whole = Stop("", "", "30 of the 60 devices that began have failed (50%): all devices")
    (alert,) = stand(RolloutFigures(number=3, name="iPads", halted=True, stops=(whole, STOPPED)))
    assert alert.subject == "rollout 3"
    assert alert.text == (
        "Rollout 3, iPads, is halted by its figures: 30 of the 60 devices that began have failed (50%): all devices."
    )
    assert [one.text for one in stand(RolloutFigures(number=3, name="iPads", halted=True))] == [
        "Rollout 3, iPads, is halted by a person."
    ]
    (alert,) = stand(RolloutFigures(number=3, name="iPads", stops=(STOPPED,)))
    assert alert.subject == "rollout 3 model iPad13,18"
    assert "stands still for model iPad13,18: 7 of the 20 devices" in alert.text


def test_a_wave_that_waits_for_a_person_is_told_and_no_other() -> None:
    waits = (
        Wait("pilot", "its time has not come"),
        Wait("broad", "a person to open it"),
        Wait("late", "18 of 20 are done in the wave before it: all have ended, a person may open it"),
        Wait("last", "a person to lift what was halted"),  # told as halted
    )  # fmt: skip
    found = stand(RolloutFigures(number=2, name="Macs", waits=waits))
    assert [(one.kind, one.subject) for one in found] == [
        (AlertKind.GATE, "rollout 2 wave broad"),
        (AlertKind.GATE, "rollout 2 wave late"),
    ]


def test_armed_devices_are_counted_never_named() -> None:
    (one,) = stand(RolloutFigures(number=2, name="Macs", armed=1))
    (many,) = stand(RolloutFigures(number=2, name="Macs", armed=1234))
    assert one.text == "Rollout 2, Macs: 1 device is armed while their window is shut."
    assert "1,234 devices are armed" in many.text
    assert one.subject == many.subject


def test_a_server_is_silent_when_pushes_have_brought_nothing_for_hours() -> None:
    early, late = (ServerFigures(name="school", pushes=900, pushed_at=NOW - hours * HOUR) for hours in (11, 12))
    assert stand(servers=(early,)) == []
    (alert,) = stand(servers=(late,))
    assert alert.text == "900 pushes went out by server school, and nothing has come from it for 12 hours."
    assert stand(servers=(early,), watch=Watch(webhook_silent_hours=2))


def test_a_certificate_is_told_before_it_expires_and_after() -> None:
    (alert,) = standing((), (), WATCH, NOW)
    assert (alert.subject, alert.kind) == ("school", AlertKind.CERTIFICATE)
    assert alert.text.endswith("in 20 days.")
    assert standing((), (), WATCH, NOW + 19 * DAY)[0].text.endswith("within two days.")
    assert standing((), (), WATCH, NOW + 21 * DAY)[0].text.endswith("it has expired.")


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (30 * DAY + 1, None),
        (30 * DAY, "2026-12-18, in 30 days."),
        (3 * DAY, "2026-11-21, in 3 days."),
        (36 * HOUR, "in 2 days."),
        (36 * HOUR - 1, "within two days."),
        (1, "2026-11-18, within two days."),
        (0, "2026-11-18, it has expired."),
        (-DAY, "2026-11-17, it has expired."),
    ],
)
def test_a_certificate_is_told_from_the_days_on_that_the_watch_names(left: int, words: str | None) -> None:
    found = stand(watch=Watch(certificates={"school": NOW + left}))
    assert [one.text.startswith("The push certificate of server school: ") for one in found] == [True] * bool(words)
    assert all(one.text.endswith(str(words)) for one in found)
    assert not stand(watch=Watch(certificates={"school": NOW + 2 * DAY}, certificate_days=1))


def test_a_watch_is_as_patient_as_the_settings_say() -> None:
    watch = Watch()
    assert (watch.repeat_hours, watch.webhook_silent_hours, watch.certificate_days) == (24, 12, 30)
    assert (watch.certificates, watch.told) == ({}, False)
    assert GRACE == 30 * MINUTE  # half an hour after the window


def test_a_server_that_nobody_pushed_for_is_not_silent() -> None:
    assert stand(servers=(ServerFigures(name="school", pushes=0, pushed_at=0),)) == []
    silent = ServerFigures(name="school", pushes=1_200, pushed_at=NOW - 1_500 * HOUR - 59 * MINUTE)
    (alert,) = stand(servers=(silent,))
    assert (alert.kind, alert.subject) == (AlertKind.WEBHOOK, "school")
    assert alert.text.startswith("1,200 pushes ")
    assert alert.text.endswith("for 1,500 hours.")


def test_a_server_that_takes_no_calls_is_told_of_unless_it_is_only_started_anew() -> None:
    def told(minutes: int, calls: str = "commands") -> list[Alert]:
        untaken = (Untaken(calls, NOW - minutes * MINUTE, "it does not accept the API key"),)
        return stand(servers=(ServerFigures(name="school", untaken=untaken),))

    assert told(9) == []
    (alert,) = told(10)
    assert alert.text == "Server school takes no commands: it does not accept the API key."
    assert told(10, "declarations")[0].subject != alert.subject
    assert "doctor" in notice(said(AlertKind.UNTAKEN), Telling.NEW).body


def test_a_rollout_that_waits_for_a_second_person_is_told_with_what_would_follow() -> None:
    (alert,) = stand(RolloutFigures(number=2, name="Macs", unapproved=1_234))
    assert (alert.kind, alert.subject) == (AlertKind.APPROVAL, "rollout 2")
    assert alert.text.startswith("Rollout 2, Macs, waits for a second person")
    assert "1,234" in alert.text
    assert "rollout approve" in notice(said(AlertKind.APPROVAL), Telling.NEW).body


def test_each_slice_that_stands_is_told_unless_all_of_it_does() -> None:
    stops = (STOPPED, Stop("os_version_start", "", "5 of 6 failed"))
    two = stand(RolloutFigures(number=3, name="iPads", stops=stops))
    assert [one.subject for one in two] == ["rollout 3 model iPad13,18", "rollout 3 os_version_start "]
    assert "stands still for os version start unknown: 5 of 6 failed." in two[1].text
    (one,) = stand(RolloutFigures(number=3, name="iPads", halted=True, stops=stops))
    assert one.text.endswith("halted by a person.")
    (one,) = stand(RolloutFigures(number=3, name="iPads", stops=(*stops, Stop("", "", "all of them"))))
    assert one.text.endswith("halted by its figures: all of them.")


def test_names_are_short_and_figures_may_be_longer() -> None:
    long = Stop("", "", "y" * 201)
    (alert,) = stand(RolloutFigures(number=3, name="x" * 61, stops=(long,)))
    assert alert.text == f"Rollout 3, {'x' * 59}…, is halted by its figures: {'y' * 199}…."
    assert clean("x" * 60) == "x" * 60
    assert clean("y" * 200, 200) == "y" * 200
    assert clean("aaaa bbbb", 6) == "aaaa…"
    wait = Wait("w", "z" * 200 + " a person to open it")
    (alert,) = stand(RolloutFigures(number=3, name="iPads", waits=(wait,)))
    assert alert.text == f"Rollout 3, iPads: wave w waits for {'z' * 199}…."


def test_everything_that_stands_is_told_at_once() -> None:
    figures = RolloutFigures(
        number=1, name="a", halted=True, unapproved=2, armed=3, waits=(Wait("w", "a person to open it"),)
    )
    untaken = (Untaken("commands", NOW - HOUR, "no connection can be made"),)
    servers = (ServerFigures(name="school", pushes=1, pushed_at=NOW - DAY, untaken=untaken),)
    kinds = [one.kind for one in stand(figures, servers=servers, watch=WATCH)]
    assert set(kinds) == set(AlertKind) - {AlertKind.REPORT}
    assert len(kinds) == len(set(kinds))


def test_what_stands_already_is_not_new_and_what_does_not_any_more_is_over() -> None:
    halted, gate = Alert(AlertKind.HALTED, "rollout 1", "7 failed"), Alert(AlertKind.GATE, "rollout 1 wave b", "waits")
    first = change([], [halted, gate], NOW)
    assert (first.new, first.reworded, first.over) == ([halted, gate], {}, [])
    kept = [Said(n, one.kind.value, one.subject, one.text, NOW) for n, one in enumerate((halted, gate), 1)]
    assert not change(kept, [halted, gate], NOW)
    after = change(kept, [halted._replace(text="9 failed")], NOW)
    assert (after.new, after.reworded, after.over) == ([], {1: "9 failed"}, [kept[1]])


def test_a_change_is_whatever_is_new_reworded_or_over() -> None:
    assert not change([], [], NOW)
    kept, alert = said(), Alert(AlertKind.HALTED, "rollout 1", "It stands.")
    assert change([], [alert], NOW)
    assert change([kept], [alert._replace(text="It stands still.")], NOW)
    assert change([kept], [], NOW)
    assert not change([kept], [alert], NOW)


def test_what_is_over_is_told_within_a_week_and_what_lasts_again_to_the_minute() -> None:
    over = said(over_at=NOW + HOUR)
    assert telling(over, NOW + HOUR + 7 * DAY - 1, 24) is Telling.OVER
    assert telling(over, NOW + HOUR + 7 * DAY, 24) is None
    assert telling(said(sent_at=NOW), NOW + 2 * HOUR - 1, 2) is None
    assert telling(said(sent_at=NOW), NOW + 2 * HOUR, 2) is Telling.AGAIN


def test_a_report_is_told_to_have_failed_at_a_minute_that_people_can_read() -> None:
    alert = report_failed(4, "Macs", NOW)
    assert (alert.kind, alert.subject) == (AlertKind.REPORT, "rollout 4")
    assert alert.text == "The report of rollout 4, Macs, could not be written at 2026-11-18 11:06 UTC."


def test_a_failed_report_stands_for_a_day_by_itself() -> None:
    failed = said(AlertKind.REPORT)
    assert not change([failed], [], NOW + DAY - 1)
    assert change([failed], [], NOW + DAY).over == [failed]
    assert "rollout 4, Macs," in report_failed(4, "Macs", NOW).text


def test_an_alert_is_told_once_again_while_it_lasts_and_once_more_when_it_is_over() -> None:
    assert telling(said(), NOW, 24) is Telling.NEW
    told = said(sent_at=NOW + MINUTE)
    assert telling(told, NOW + DAY, 24) is None
    assert telling(told, NOW + DAY + MINUTE, 24) is Telling.AGAIN
    assert telling(told._replace(over_at=NOW + HOUR), NOW + HOUR, 24) is Telling.OVER
    assert telling(said(sent_at=NOW + HOUR, over_at=NOW + HOUR), NOW + 9 * DAY, 24) is None
    assert telling(said(over_at=NOW + HOUR), NOW + 2 * HOUR, 24) is Telling.OVER  # it could not be told before
    assert telling(said(over_at=NOW + HOUR), NOW + 8 * DAY, 24) is None


def test_a_notice_says_since_when_and_what_to_do() -> None:
    first, again = notice(said(), Telling.NEW), notice(said(), Telling.AGAIN)
    assert first.title == "Halted"
    assert first.body.startswith("It stands.\nSince 2026-11-18 ")
    assert "lift the halt" in first.body
    assert (again.title, again.body) == ("Still: Halted", first.body)
    over = notice(said(over_at=NOW + GRACE), Telling.OVER)
    assert over.title == "Over: Halted"
    assert "It was so from 2026-11-18 " in over.body
    assert all(notice(said(kind), Telling.NEW).title for kind in AlertKind)


def test_names_become_plain_words() -> None:
    assert clean("<img src=x onerror=alert(1)>") == "img src x onerror alert(1)"
    assert clean("[click](https://evil.example/?a=b) **now** @everyone <!channel> `x`") == (
        "click (https evil.example/ a b) now everyone channel x"
    )
    assert clean("America/New_York\n\u202eréunion\u0000 東京") == "America/New York réunion 東京"
    assert clean("a" * 100) == "a" * 59 + "…"


@given(st.text(max_size=300))
def test_cleaned_text_is_one_line_without_marks_of_any_markup(text: str) -> None:
    cleaned = clean(text)
    assert not set(cleaned) & set('<>&*_`[]{}#|~@!\\"=?$^\n\r\t\0')
    assert "://" not in cleaned
    assert len(cleaned) <= 60
    assert clean(cleaned).rstrip("…") == cleaned.rstrip("…")


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=80))
def test_no_text_of_an_alert_carries_markup(name: str, wave: str, model: str) -> None:
    figures = RolloutFigures(
        number=1, name=name, armed=3, stops=(Stop("model", model, f"all failed: model {model}"),),
        waits=(Wait(wave, "a person to open it"),),
    )  # fmt: skip
    for alert in stand(figures):
        assert not set(alert.text) & set("<>&*_`[]{}#|~@!\\\n")
