"""Who goes by declaration, by when a device enforces it, and what one assignment stands for."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.errors import PlanError
from osupdate_kit.protocol.declarations import ActivationSimple, EnforcementSpecific, StatusSubscriptions, decode
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.enforcement import (
    Declaring,
    deadline,
    enforcement_id,
    enforcement_text,
    is_ours,
    set_name_of,
    set_of,
    since_of,
    take_back_text,
)
from osupdate_kit.rollout.policy import HOUR, MINUTE
from osupdate_kit.rollout.targets import Target
from osupdate_kit.rollout.windows import Blackout, Hours, hours_of, window_of

V = OSVersion.parse
HERE = Declaring(servers=("school",))
ALWAYS = hours_of(window_of(""))
NIGHTS = hours_of(window_of("20:00-05:00"))
FAR = 4_000_000_000_000_000


def instant(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


WEDNESDAY = instant("2026-11-18 12:00")  # 13:00 in Berlin


# --- who ---


@pytest.mark.parametrize(
    ("platform", "os_version", "commands", "chosen"),
    [
        (Platform.IOS, "16.7", True, False),
        (Platform.IPADOS, "18.6", True, False),
        (Platform.IPADOS, "18.6", False, True),  # without the commands it is declared in any case
        (Platform.IPADOS, "26.0", True, True),
        (Platform.MACOS, "13.6", False, False),
        (Platform.MACOS, "15.6", True, False),
        (Platform.TVOS, "26.0", True, True),
        (Platform.MACOS, "27.0", False, True),
    ],
)
def test_commands_go_on_below_os_26_and_declarations_begin_there(
    platform: Platform, os_version: str, commands: bool, chosen: bool
) -> None:
    assert HERE.chosen("school", platform, V(os_version), commands=commands) is chosen
    assert not HERE.chosen("lobby", platform, V(os_version), commands=commands)  # a server without declarations


def test_a_plan_may_move_the_line_for_one_platform_and_leave_it_for_the_others() -> None:
    moved = Declaring(servers=("school",), since=since_of({"macOS": "14"}))
    assert moved.chosen("school", Platform.MACOS, V("14.0"), commands=True)
    assert not moved.chosen("school", Platform.IPADOS, V("18.6"), commands=True)
    only_macs = Declaring(servers=("school",), since={Platform.MACOS: V("14")})
    assert not only_macs.chosen("school", Platform.IPADOS, V("18.6"), commands=True)
    assert only_macs.chosen("school", Platform.IPADOS, V("26.0"), commands=True)


@pytest.mark.parametrize("words", [{"watchOS": "26"}, {"Windows": "11"}, {"macOS": "new"}, {"visionOS": "26"}])
def test_a_line_that_makes_no_sense_is_refused_with_the_key(words: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"watchOS|Windows|new|visionOS"):
        since_of(words)
    with pytest.raises(PlanError, match="since") as error:
        Declaring.from_words({"since": words})
    assert "a version for each platform" in str(error.value.remedy)


def test_a_line_is_a_mapping() -> None:
    with pytest.raises(TypeError):
        since_of(["macOS"])
    with pytest.raises(PlanError, match="since"):
        Declaring.from_words({"since": "14"})


def test_a_plan_keeps_what_it_says_of_declarations() -> None:
    told = Declaring(
        servers=("school", "lobby"), since=since_of({"macOS": "14"}), days=5, at="20:30", weekends=True,
        details_url="https://example.org/update",
    )  # fmt: skip
    assert Declaring.from_words(told.words()) == told
    assert Declaring.from_words({}) == Declaring()
    assert (Declaring().days, Declaring().at, Declaring().weekends) == (3, "19:00", False)


@pytest.mark.parametrize("words", [{"days": -1}, {"at": "7pm"}, {"at": "25:00"}])
def test_a_deadline_that_is_none_is_refused_when_the_plan_is_made(words: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match="The deadline of declarations") as error:
        Declaring(**words)
    assert error.value.remedy


# --- by when ---


@pytest.mark.parametrize(
    ("declaring", "hours", "last", "local"),
    [
        (HERE, ALWAYS, FAR, "2026-11-23 19:00"),  # Saturday the 21st moves to the Monday
        (Declaring(days=2), ALWAYS, FAR, "2026-11-20 19:00"),
        (Declaring(weekends=True), ALWAYS, FAR, "2026-11-21 19:00"),
        (HERE, NIGHTS, FAR, "2026-11-23 20:00"),  # not before the window opens
        (Declaring(at="21:30"), NIGHTS, FAR, "2026-11-23 21:30"),
        (Declaring(at="04:59"), NIGHTS, FAR, "2026-11-23 04:59"),
        (Declaring(at="05:00"), NIGHTS, FAR, "2026-11-23 20:00"),
        (HERE, ALWAYS, instant("2026-11-20 09:00"), "2026-11-20 09:00"),  # an hour before the rollout's end
        (HERE, NIGHTS, instant("2026-11-20 22:00"), "2026-11-20 22:00"),
        (Declaring(days=2), ALWAYS, instant("2026-11-20 19:00"), "2026-11-20 19:00"),  # 19:00 there is 18:00 here
        (Declaring(days=2), ALWAYS, instant("2026-11-20 18:10"), "2026-11-20 18:10"),
        (Declaring(days=2), ALWAYS, instant("2026-11-20 18:00"), "2026-11-20 18:00"),
        (HERE, NIGHTS, instant("2026-11-20 09:00"), "2026-11-20 04:00"),  # an hour before the last window closes
        (HERE, NIGHTS, instant("2026-11-20 05:00"), "2026-11-20 04:00"),  # the end, less an hour, is when it closes
    ],
)  # fmt: skip
def test_the_deadline_lies_in_the_window_and_before_the_rollouts_own(
    declaring: Declaring, hours: Hours, last: int, local: str
) -> None:
    when, at = deadline(declaring, hours, WEDNESDAY, "Europe/Berlin", last)
    assert when == datetime.fromisoformat(local)  # the device's own time, without a zone
    assert at == instant(local) - HOUR


def test_a_deadline_is_an_hour_away_at_least_but_for_the_seconds() -> None:
    now = WEDNESDAY + 40 * 1_000_000
    when, at = deadline(HERE, ALWAYS, now, "Europe/Berlin", now + MINUTE)
    assert (when, at) == (datetime.fromisoformat("2026-11-18 14:00"), WEDNESDAY + HOUR)
    when, at = deadline(Declaring(days=0, at="13:00"), ALWAYS, WEDNESDAY, "Europe/Berlin", FAR)
    assert (when, at) == (datetime.fromisoformat("2026-11-18 14:00"), WEDNESDAY + HOUR)


def test_a_window_that_never_opens_again_leaves_the_day_as_it_is() -> None:
    shut = hours_of(window_of(""), (Blackout(first=date(2026, 1, 1), last=date(9999, 12, 31)),))
    when, _ = deadline(HERE, shut, WEDNESDAY, "Europe/Berlin", FAR)
    assert when == datetime.fromisoformat("2026-11-23 19:00")


def test_a_device_reads_it_by_its_own_clock() -> None:
    _, berlin = deadline(HERE, ALWAYS, WEDNESDAY, "Europe/Berlin", FAR)
    when, honolulu = deadline(HERE, ALWAYS, WEDNESDAY, "Pacific/Honolulu", FAR)
    assert when == datetime.fromisoformat("2026-11-23 19:00")
    assert honolulu - berlin == 11 * HOUR


# --- what ---


WHEN = datetime.fromisoformat("2026-11-23 19:00")


def text(
    rollout: int = 1,
    declaring: Declaring = HERE,
    target: Target | None = None,
    when: datetime = WHEN,
    platform: Platform = Platform.IPADOS,
    os_version: str = "26.1",
) -> str:
    return enforcement_text(rollout, declaring, target or Target(version=V("26.6.2")), when, platform, V(os_version))


def test_equal_assignments_are_one_set_and_others_are_others() -> None:
    assert text() == text(os_version="26.2")  # what it is to report hangs on the major version only
    others = [
        text(rollout=2),
        text(declaring=Declaring(servers=("school",), details_url="https://example.org")),
        text(target=Target(version=V("26.6.3"))),
        text(target=Target(version=V("26.6.2"), build="23G5")),
        text(when=datetime.fromisoformat("2026-11-23 20:00")),
        text(platform=Platform.IOS),
        text(os_version="27.0"),
    ]
    assert len({set_name_of(one) for one in [text(), *others]}) == 8
    assert set_name_of(text()).startswith("osupdate-kit-r1-")
    assert list(json.loads(text())) == sorted(json.loads(text()))  # canonical
    assert set_name_of(take_back_text(set_name_of(text()))) == set_name_of(text())


def test_a_set_holds_the_enforcement_what_is_to_be_reported_and_their_activations_last() -> None:
    told = Declaring(servers=("school",), details_url="https://example.org/update")
    name, declarations = set_of(text(declaring=told, target=Target(version=V("26.6.2"), build="23G5")))
    contents = {identifier: decode(body)[1] for identifier, body in declarations}
    assert all(is_ours(identifier) for identifier in contents)
    kinds = [type(content) for content in contents.values()]
    assert kinds == [StatusSubscriptions, EnforcementSpecific, ActivationSimple, ActivationSimple]
    enforced = contents[enforcement_id(name)]
    assert enforced == EnforcementSpecific(
        target_os_version=V("26.6.2"), target_local_date_time=WHEN, target_build_version="23G5",
        details_url="https://example.org/update",
    )  # fmt: skip
    *configurations, one, other = contents
    activated = [contents[one], contents[other]]
    assert activated == [ActivationSimple(configurations=(each,)) for each in configurations]


def test_a_supplement_is_enforced_by_its_own_build() -> None:
    supplement = Target(version=V("26.6.2"), build="23G5", supplemental_build="23G5a")
    assert json.loads(text(target=supplement))["TargetBuildVersion"] == "23G5a"


def test_all_devices_of_a_major_version_share_what_they_are_to_report() -> None:
    def reported(command: str) -> tuple[str, bytes]:
        return set_of(command).declarations[0]

    assert reported(text()) == reported(text(rollout=2))
    assert len({reported(text(os_version=f"{major}.0"))[0] for major in (26, 27)}) == 2
    assert reported(text())[0] != reported(text(platform=Platform.IOS))[0]


@given(st.text(max_size=30))
def test_nobody_elses_declaration_is_taken_for_ours(identifier: str) -> None:
    assert is_ours(identifier) == identifier.startswith("osupdate-kit-")
    assert is_ours(f"osupdate-kit-{identifier}")
