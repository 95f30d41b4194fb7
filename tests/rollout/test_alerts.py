"""Which alerts stand for given figures, what they say, and when each is told."""

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


def test_what_stands_already_is_not_new_and_what_does_not_any_more_is_over() -> None:
    halted, gate = Alert(AlertKind.HALTED, "rollout 1", "7 failed"), Alert(AlertKind.GATE, "rollout 1 wave b", "waits")
    first = change([], [halted, gate], NOW)
    assert (first.new, first.reworded, first.over) == ([halted, gate], {}, [])
    kept = [Said(n, one.kind.value, one.subject, one.text, NOW) for n, one in enumerate((halted, gate), 1)]
    assert not change(kept, [halted, gate], NOW)
    after = change(kept, [halted._replace(text="9 failed")], NOW)
    assert (after.new, after.reworded, after.over) == ([], {1: "9 failed"}, [kept[1]])


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
