"""Whom a wave takes and when it opens: the words of it, the bounds of every figure, and waves that make no sense."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from osupdate_kit.errors import PlanError
from osupdate_kit.rollout.waves import SLICES, Limits, Opening, Wave, Who, check_waves, waves_of

AT = 1_796_144_400_000_000  # 2026-12-01T17:00:00Z
YEAR = 366 * 24  # hours of the longest year


@pytest.mark.parametrize(
    ("who", "words"),
    [
        (Who(), "the rest"),
        (Who(where='site == "North"'), 'site == "North"'),
        (Who(serials=("a", "b")), "2 by name"),
        (Who(serials=tuple(map(str, range(1200)))), "1,200 by name"),
        (Who(cover=("model", "site")), "one of every model × site"),
        (Who(percent=5), "5 %"),
        (Who(percent=0.5), "0.5 %"),
    ],
)
def test_whom_a_wave_takes_is_told_in_words(who: Who, words: str) -> None:
    assert str(who) == words
    assert who.rest == (words == "the rest")


@pytest.mark.parametrize(
    ("opens", "words", "follows"),
    [
        (Opening(), "at once", False),
        (Opening(at=AT), "at 2026-12-01T17:00:00Z", False),
        (Opening(by_hand=True), "by hand", False),
        (Opening(soak_hours=24), "after 24 hours", True),
        (Opening(done_share=0.9), "when 90% of the wave before are done", True),
        (
            Opening(at=AT, done_share=0.95, soak_hours=1.5, by_hand=True),
            "at 2026-12-01T17:00:00Z, when 95% of the wave before are done, 1.5 hours later, by hand",
            True,
        ),
    ],
)
def test_when_a_wave_opens_is_told_in_words(opens: Opening, words: str, follows: bool) -> None:
    assert str(opens) == words
    assert opens.follows is follows


@pytest.mark.parametrize(
    ("make", "key", "least", "most", "step"),
    [
        (Who, "percent", 0, 100, 0.5),
        (Opening, "done_share", 0, 1, 0.01),
        (Opening, "soak_hours", 0, YEAR, 0.5),
        (Limits, "silent_share", 0, 1, 0.01),
    ],
)
def test_figures_may_lie_on_their_bounds_and_not_beyond(
    make: Callable[..., Any], key: str, least: float, most: float, step: float
) -> None:
    for fine in (least, least + step, most - step, most):
        assert getattr(make(**{key: fine}), key) == fine
    for wrong in (least - step, most + step):
        with pytest.raises(PlanError, match=re.escape(f"{key} is {wrong:g}.")) as caught:
            make(**{key: wrong})
        assert caught.value.remedy.startswith("Give ")


@pytest.mark.parametrize(
    ("words", "fine"),
    [
        ({"failure_share": 0.15}, True),
        ({"failure_share": 0.15, "healthy_share": 0.14}, True),
        ({"failure_share": 0.15, "healthy_share": 0.15}, False),
        ({"failure_share": 0.15, "healthy_share": 0.16}, False),
        ({"failure_share": 0.15, "healthy_share": 0}, False),
        ({"failure_share": 0.15, "healthy_share": 0.001}, True),
        ({"failure_share": 0.999}, True),
        ({"failure_share": 1}, False),
        ({"failure_share": -0.1, "healthy_share": -0.2}, False),
        ({"failure_share": 0, "healthy_share": 0.5}, True),  # nothing is judged by it
        ({"false_halt": 0.001}, True),
        ({"false_halt": 0}, False),
        ({"false_halt": 0.49}, True),
        ({"false_halt": 0.5}, False),
        ({"false_halt": 0.6}, False),
        ({"by": tuple(SLICES)}, True),
        ({"by": ("owner",)}, False),
    ],
)
def test_limits_that_nothing_could_be_judged_by_are_refused(words: dict[str, Any], fine: bool) -> None:
    if fine:
        Limits(**words)
        return
    with pytest.raises(PlanError) as caught:
        Limits(**words)
    assert caught.value.remedy


def test_limits_by_a_column_that_is_none_name_it_and_those_that_there_are() -> None:
    with pytest.raises(PlanError, match=re.escape("Limits by colour, owner:")) as caught:
        Limits(by=("owner", "model", "colour"))
    assert caught.value.remedy == "Choose among model, os_version_start, platform, ring, site, time_zone, wave."


@pytest.mark.parametrize(
    ("limits", "any_limit"),
    [
        (Limits(), False),
        (Limits(healthy_share=0.01, by=("site",)), False),
        (Limits(failure_share=0.15), True),
        (Limits(failures=200), True),
        (Limits(silent_share=0.3), True),
    ],
)
def test_without_a_figure_nothing_is_halted(limits: Limits, any_limit: bool) -> None:
    assert bool(limits) is any_limit


def test_a_halt_is_by_mistake_once_in_two_hundred_unless_one_says_otherwise() -> None:
    assert Limits(failure_share=0.15).words() == {
        "failure_share": 0.15,
        "healthy_share": 0.02,
        "false_halt": 0.005,
        "failures": 0,
        "silent_share": 0,
        "by": ["model", "os_version_start", "site", "platform"],
    }
    assert Limits().words() == {}
    assert Limits.from_words({}) == Limits()
    assert Limits.from_words(Limits(failures=7).words()) == Limits(failures=7)


@pytest.mark.parametrize(
    ("wave", "words"),
    [
        (Wave(), {"name": "all"}),
        (Wave(name="pilot", who=Who(percent=5), pace=20), {"name": "pilot", "who": {"percent": 5}, "pace": 20}),
        (Wave(name="a", who=Who(serials=("x", "y"))), {"name": "a", "who": {"serials": ["x", "y"]}}),
        (Wave(name="a", opens=Opening(at=AT)), {"name": "a", "opens": {"at": "2026-12-01T17:00:00Z"}}),
        (
            Wave(name="a", opens=Opening(done_share=0.9, soak_hours=24.0, by_hand=True)),
            {"name": "a", "opens": {"done_share": 0.9, "soak_hours": 24, "by_hand": True}},
        ),
    ],
)
def test_a_wave_is_written_without_what_goes_without_saying(wave: Wave, words: dict[str, Any]) -> None:
    assert wave.words() == words
    assert Wave.from_words(words) == wave


@pytest.mark.parametrize(("name", "fine"), [("x" * 100, True), ("x" * 101, False), (" \t", False), ("", False)])
def test_a_waves_name_is_short_and_can_be_read(name: str, fine: bool) -> None:
    if fine:
        assert Wave(name=name).name == name
        return
    with pytest.raises(PlanError, match="A wave is called") as caught:
        Wave(name=name)
    assert len(str(caught.value)) < 200


def test_a_wave_that_chooses_twice_says_by_what() -> None:
    with pytest.raises(PlanError, match=re.escape("A wave chooses by cover and percent.")):
        Who(cover=("model",), percent=1)
    with pytest.raises(PlanError, match=re.escape("A wave chooses by where and serials and percent.")) as caught:
        Who(where="supervised", serials=("x",), percent=1)
    assert caught.value.remedy == "Choose by one of them; let other waves take more."


@pytest.mark.parametrize("words", [None, []])
def test_without_waves_one_takes_all(words: object) -> None:
    assert waves_of(words) == (Wave(),)
    assert Wave().who.rest
    assert str(Wave().opens) == "at once"


def test_waves_keep_the_order_in_which_they_are_written() -> None:
    assert [wave.name for wave in waves_of([{"name": "b", "who": {"percent": 5}}, {"name": "a"}])] == ["b", "a"]
    with pytest.raises(PlanError, match="waves is no list"):
        waves_of("canary")


# --- together ---


def percents(*shares: float) -> list[Wave]:
    return [Wave(name=f"{n}", who=Who(percent=share)) for n, share in enumerate(shares)]


@pytest.mark.parametrize(
    ("waves", "message"),
    [
        ([Wave(name="a"), Wave(name="b"), Wave(name="c")], "a takes all that is left, so that nothing remains for c"),
        ([Wave(name="a", who=Who(percent=5)), Wave(name="b"), Wave(name="c")], "Wave b takes all that is left"),
        (percents(50, 50.5), "The waves take more than 100 percent."),
        ([*percents(5, 6), Wave(name="1", who=Who(percent=7))], "Two waves are called 1."),
        ([Wave(name="a", opens=Opening(soak_hours=1))], "Wave a waits for the wave before it, and there is none."),
    ],
)  # fmt: skip
def test_waves_that_could_never_all_be_reached_are_named(waves: list[Wave], message: str) -> None:
    with pytest.raises(PlanError, match=re.escape(message)) as caught:
        check_waves(waves)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "waves",
    [
        percents(50, 50),
        percents(*[13.9] * 7, 2.7),  # whose sum is a little more than 100, as computers add
        [*percents(5), Wave(name="all others")],
        [Wave(name="a", opens=Opening(at=AT, by_hand=True))],
        [Wave(name="a", who=Who(percent=5)), Wave(name="b", opens=Opening(done_share=0.9))],
        [Wave(name="a", who=Who(where="supervised"))],
    ],
)
def test_waves_that_can_all_be_reached_are_fine(waves: list[Wave]) -> None:
    check_waves(waves)
