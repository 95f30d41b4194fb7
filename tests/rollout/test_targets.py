"""Targets and rules: read back as they were written, and what makes no sense is named."""

import re
from types import MappingProxyType

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.errors import PlanError
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.targets import Goal, Target, is_goal

VERSIONS = st.lists(st.integers(0, 99), min_size=1, max_size=3).map(lambda n: OSVersion.parse(".".join(map(str, n))))
TARGETS = st.builds(
    Target,
    version=VERSIONS,
    build=st.sampled_from(["", "22H124", "23G6083"]),
    supplemental_build=st.sampled_from(["", "23D771330a"]),
    extra=st.sampled_from(["", "(a)", "(b)"]),
) | st.builds(Target, product_key=st.sampled_from(["_SAFARI-18.6", "MSU_UPDATE_24G90", "012-34567"]))
GOALS = st.one_of(
    st.builds(Goal, latest=st.sampled_from(["minor", "major"]), after_days=st.sampled_from([0.0, 7.0, 0.5])),
    st.builds(
        Goal,
        latest=st.sampled_from(["", "minor"]),
        by_major=st.dictionaries(st.integers(1, 99), VERSIONS, min_size=1, max_size=3).map(MappingProxyType),
        floor=st.none() | VERSIONS,
    ),
    st.builds(Goal, floor=VERSIONS, version=st.none() | VERSIONS),
)


def plan(**more: object) -> RolloutPlan:
    words = {"name": "p", "author": "a", "created_at": 1, "deadline_at": 2, "target": Target()} | more
    return RolloutPlan(**words)  # type: ignore[arg-type]


@given(TARGETS)
def test_a_target_is_read_back_from_its_text(target: Target) -> None:
    assert Target.parse(str(target)) == target


@given(GOALS, st.booleans())
def test_a_rule_is_read_back_from_the_plans_yaml(goal: Goal, allow_major: bool) -> None:
    made = plan(goal=goal, allow_major=allow_major)
    again = RolloutPlan.from_yaml(made.to_yaml())
    assert again == made
    assert again.target_label == str(goal)
    assert is_goal(goal.words())


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ("{latest: minor, after_days: 7}", "latest minor, 7 days after release"),
        ("{latest: major}", "latest major"),
        ("{by_major: {15: 15.7.2, 26: 26.10}}", "15 to 15.7.2, 26 to 26.10"),
        ("{by_major: {15: 15.7.2}, latest: minor}", "15 to 15.7.2, else latest minor"),
        ("{floor: 18.6, latest: minor}", "latest minor, of those below 18.6"),
        ("{floor: 18.10}", "18.10 or newer"),
        ("{floor: 18.6, version: 18.7.2}", "18.7.2, of those below 18.6"),
    ],
)
def test_a_rule_is_read_as_people_write_it(words: str, label: str) -> None:
    text = plan().to_yaml().replace("target: {}", f"target: {words}")
    assert RolloutPlan.from_yaml(text).target_label == label


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ({"latest": "newest"}, "latest"),
        ({"latest": "minor", "after_days": -1}, "after_days"),
        ({"latest": "minor", "after_days": True}, "after_days"),
        ({"after_days": 7}, "after_days"),
        ({"by_major": {}}, "by_major"),
        ({"by_major": {"fifteen": "15.7"}}, "by_major"),
        ({"by_major": {15: "15.7-beta"}}, "by_major"),
        ({"by_major": {15: 15.7}}, "by_major"),  # a number that no text stands behind: 15.70 looks the same
        ({"floor": "18.6", "to": "18.7"}, "to"),
        ({"latest": "minor", "version": "18.7"}, "at once"),
        ({}, "says nothing"),
        ("latest", "mapping"),
    ],
)
def test_a_rule_that_makes_no_sense_is_named_with_a_remedy(words: object, named: str) -> None:
    with pytest.raises(PlanError, match=re.escape(named)) as caught:
        Goal.from_words(words)
    assert caught.value.remedy


def test_a_devices_own_target_wins_over_the_plans() -> None:
    made = plan(target=Target(version=OSVersion.parse("18.7.2")))
    assert str(made.target_of("")) == "18.7.2"
    assert str(made.target_of("17.7.10")) == "17.7.10"


def test_a_version_is_not_the_number_that_it_looks_like() -> None:
    text = plan(target=Target(version=OSVersion.parse("18.1"))).to_yaml()
    assert "version: '18.1'" in text
    assert yaml.safe_load(text)["target"] == {"version": "18.1"}
    assert str(RolloutPlan.from_yaml(text.replace("'18.1'", "18.10")).target) == "18.10"
