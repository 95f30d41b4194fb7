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
from osupdate_kit.rollout.state import Item, Listed, Version
from osupdate_kit.rollout.targets import Goal, Target, aim_of, is_goal

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


def test_what_begins_with_more_digits_than_a_version_has_is_a_product_key() -> None:
    assert Target.parse("1234567890") == Target(product_key="1234567890")


@pytest.mark.parametrize(
    "text",
    ["18.7.2 18.7.3", "latest-minor latest-major", "latest-minor +7d +8d", "15=15.7.1 15=15.7.9", ">=18.1,>=18.9 26.1"],
)
def test_words_that_contradict_each_other_are_refused(text: str) -> None:
    with pytest.raises(PlanError, match="The target says") as caught:
        aim_of(text)
    assert caught.value.remedy
    assert aim_of("15=15.7 15=15.7", by_major={15: "15.7"}) == aim_of("15=15.7")
    with pytest.raises(PlanError, match=r"says 15\.7 and 15\.8"):
        aim_of(by_major=["15=15.7", "15=15.8"])


# --- proof ---

RESPONSE = Target(version=OSVersion.parse("16.5.1"), extra="(a)", supplemental_build="20F770750b")


@pytest.mark.parametrize(
    ("target", "reported", "proof"),
    [
        (Target(version=OSVersion.parse("18.7")), Version(1, "18.7", "22H1"), True),
        (Target(version=OSVersion.parse("18.7")), Version(1, "18.7.0", ""), True),
        (Target(version=OSVersion.parse("18.7")), Version(1, "18.10", ""), True),
        (Target(version=OSVersion.parse("18.7")), Version(1, "18.6.9", "22H1"), False),
        (Target(version=OSVersion.parse("18.7")), Version(), False),
        (Target(version=OSVersion.parse("18.7"), build="22H1"), Version(1, "18.7", "22H1"), True),
        (Target(version=OSVersion.parse("18.7"), build="22H1"), Version(1, "18.7", "22H2"), False),
        (Target(version=OSVersion.parse("18.7"), build="22H1"), Version(1, "18.8", "22J1"), True),
        (RESPONSE, Version(1, "16.5.1", "20F75", "20F770750b", "(a)"), True),
        (RESPONSE, Version(1, "16.5.1", "20F75", "20F770750b", "a"), True),  # some devices leave the brackets out
        (RESPONSE, Version(1, "16.5.1", "20F75", "20F770750b", "(b)"), False),
        (RESPONSE, Version(1, "16.5.1", "20F75", "20F770750b", ""), False),
        (RESPONSE, Version(1, "16.5.1", "20F75", "20F770750a", "(a)"), False),
        (RESPONSE, Version(1, "16.5.1", "20F75"), False),
        (RESPONSE, Version(1, "16.6", "20G75"), True),
        (Target(product_key="052-1"), Version(1, "26.1", "25B1"), False),
        (Target(), Version(1, "26.1", "25B1"), False),
    ],
)
def test_only_the_version_or_a_newer_one_with_what_the_target_names_is_a_proof(
    target: Target, reported: Version, proof: bool
) -> None:
    assert target.reached_by(reported) is proof


@pytest.mark.parametrize(
    ("listed_at", "scanned_at", "after", "gone"),
    [(30, 20, 10, True), (30, 20, 19, True), (21, 20, 1, True), (20, 20, 10, False), (30, 20, 20, False),
     (19, 20, 10, False), (30, 20, 21, False), (30, 20, 0, False), (30, 0, 0, False)],
)  # fmt: skip
def test_an_item_is_gone_by_a_list_newer_than_a_scan_that_is_newer_than_the_step(
    listed_at: int, scanned_at: int, after: int, gone: bool
) -> None:
    found = Listed(listed_at, (Item("052-2", "1.0", ""),))
    assert Target(product_key="052-1").gone_from(found, scanned_at=scanned_at, after=after) is gone


@pytest.mark.parametrize(
    ("keys", "gone"),
    [((), True), (("052-2", "052-3"), True), (("052-1",), False), (("052-2", "052-1"), False), (("052-2", ""), False)],
)
def test_an_item_is_gone_only_from_a_list_that_names_all_its_keys(keys: tuple[str, ...], gone: bool) -> None:
    found = Listed(30, tuple(Item(key, "1.0", "") for key in keys))
    assert Target(product_key="052-1").gone_from(found, scanned_at=20, after=10) is gone
    assert not Target(version=OSVersion.parse("18.7")).gone_from(found, scanned_at=20, after=10)


# --- the words of a target ---


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (Target(version=OSVersion.parse("18.7")), "18.7"),
        (Target(version=OSVersion.parse("18.7"), build="22H124"), "18.7 22H124"),
        (RESPONSE, "16.5.1 (a) 20F770750b"),
        (
            Target(version=OSVersion.parse("26"), extra="(b)", build="25A1", supplemental_build="25A2c"),
            "26 (b) 25A1 25A2c",
        ),
        (Target(product_key="MSU_UPDATE_24G90_patch_15.6.1"), "MSU_UPDATE_24G90_patch_15.6.1"),
        (Target(product_key="1.2.3.4"), "1.2.3.4"),  # no version has four numbers
        (Target(product_key="052-1 b"), "052-1 b"),
    ],
)
def test_a_targets_text_says_all_of_it(target: Target, text: str) -> None:
    assert str(target) == text
    assert Target.parse(text) == target


@given(TARGETS)
def test_a_target_is_read_back_from_its_words(target: Target) -> None:
    words = target.words()
    assert Target.from_words(words) == target
    assert all(words.values())
    assert not is_goal(words)


# --- as people write it ---


def version(text: str) -> tuple[Target, None]:
    return Target(version=OSVersion.parse(text)), None


def rule(**words: object) -> tuple[Target, Goal]:
    return Target(), Goal.from_words(words)


@pytest.mark.parametrize(
    ("text", "aim"),
    [
        ("18.7.2", version("18.7.2")),
        (" 18.7.2, ", version("18.7.2")),
        ("26", version("26")),
        ("latest-minor", rule(latest="minor")),
        ("latest-major", rule(latest="major")),
        ("latest-minor +7d", rule(latest="minor", after_days=7)),
        ("+0.5d,latest-major", rule(latest="major", after_days=0.5)),
        ("15=15.7.2", rule(by_major={15: "15.7.2"})),
        ("15=15.7.2 26=26.1, latest-minor", rule(by_major={15: "15.7.2", 26: "26.1"}, latest="minor")),
        (">=18.6", rule(floor="18.6")),
        (">=18.6 18.7.2", rule(floor="18.6", version="18.7.2")),
        (">=18.6 latest-minor +7d", rule(floor="18.6", latest="minor", after_days=7)),
    ],
)
def test_a_target_or_a_rule_is_read_from_words_with_blanks_between(text: str, aim: tuple[Target, Goal | None]) -> None:
    assert aim_of(text) == aim


def test_what_stands_in_options_of_their_own_means_the_same_as_in_words() -> None:
    assert aim_of("latest-minor", after_days=7) == aim_of("latest-minor +7d")
    assert aim_of(by_major={"15": "15.7.2"}) == aim_of(by_major=["15=15.7.2"]) == aim_of("15=15.7.2")
    assert aim_of("26=26.1", by_major=["15=15.7.2"]) == aim_of("15=15.7.2 26=26.1")
    assert aim_of("latest-major", floor="18.6") == aim_of(">=18.6 latest-major")
    assert aim_of("18.7", build="22H1", extra="(a)")[0] == Target(
        version=OSVersion.parse("18.7"), build="22H1", extra="(a)"
    )
    assert aim_of(product_key="052-1") == (Target(product_key="052-1"), None)


def test_reading_a_rule_changes_nothing_of_what_was_given() -> None:
    given_words = {"15": "15.7.2"}
    aim_of("26=26.1", by_major=given_words)
    assert given_words == {"15": "15.7.2"}


HOW = "A rule is latest-minor, latest-major, +7d, 15=15.7.2 or >=18.6."
ONE = "Give a version, a rule, or the product key of a macOS item."
BUILD = "Give a version together with the build or suffix."
ONE_OF = "Give one of version, latest and by_major."
DAYS = "Give a number of days, 0 to 365."
A_VERSION = "Give a version, such as 18.7.2, in quotes."
MAJORS = "Give a version for each major version, such as {15: 15.7.2, 26: 26.1}."


@pytest.mark.parametrize(
    ("text", "more", "message", "remedy"),
    [
        ("newest", {}, "'newest' is no OS version.", HOW),
        ("7d", {}, "'7d' is no OS version.", HOW),
        (">18", {}, "'>18' is no OS version.", HOW),
        ("", {}, "A plan has one target.", ONE),
        (" , ", {}, "A plan has one target.", ONE),
        ("18.7", {"product_key": "052-1"}, "A plan has one target.", ONE),
        ("latest-minor", {"build": "22H1"}, "A rule names no build.", BUILD),
        (">=18.6", {"extra": "(a)"}, "A rule names no build.", BUILD),
        ("+7d", {}, "after_days is given without latest.", "Say latest: minor or latest: major, too."),
        ("18.7 latest-minor", {}, "The target is a version and a rule at once.", ONE_OF),
        ("18.7 15=15.7", {}, "The target is a version and a rule at once.", ONE_OF),
        ("latest-minor +xd", {}, "after_days of the target is 'x'.", DAYS),
        ("latest-minor +366d", {}, "after_days of the target is '366.0'.", DAYS),
        ("latest-minor +-1d", {}, "after_days of the target is '-1.0'.", DAYS),
        ("latest-minor +nand", {}, "after_days of the target is 'nan'.", DAYS),
        (">=beta", {}, "floor of the target is 'beta'.", A_VERSION),
        ("15=", {}, "by_major of the target is \"{'15': ''}\".", MAJORS),
        ("x=15.7", {}, "by_major of the target is \"{'x': '15.7'}\".", MAJORS),
    ],
)  # fmt: skip
def test_what_people_mistype_is_told_with_what_they_could_write(
    text: str, more: dict[str, str], message: str, remedy: str
) -> None:
    with pytest.raises(PlanError) as caught:
        aim_of(text, **more)  # type: ignore[arg-type]
    assert caught.value.args[0].startswith(message)
    assert caught.value.remedy == remedy


@pytest.mark.parametrize(("days", "fine"), [(0, True), (365, True), (365.5, False), (-0.5, False), ("7", False)])
def test_days_after_release_are_a_year_at_most(days: object, fine: bool) -> None:
    if fine:
        assert Goal.from_words({"latest": "minor", "after_days": days}).after_days == days
        return
    with pytest.raises(PlanError, match="after_days"):
        Goal.from_words({"latest": "minor", "after_days": days})


@pytest.mark.parametrize(
    ("major", "fine"), [(1, True), ("26", True), (999, True), (0, False), (-1, False), (1000, False), (True, False)]
)
def test_a_major_version_is_a_number_that_may_be_one(major: object, fine: bool) -> None:
    if fine:
        assert list(Goal.from_words({"by_major": {major: "15.7"}}).by_major) == [int(str(major))]
        return
    with pytest.raises(PlanError, match="by_major"):
        Goal.from_words({"by_major": {major: "15.7"}})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("18.10", "18.10"),
        (26, "26"),
        (OSVersion.parse("18.6"), "18.6"),
        (True, ""),
        (None, ""),
        (["18"], ""),
        (1.5, ""),
    ],
)
def test_a_version_may_be_a_text_or_a_whole_number(value: object, text: str) -> None:
    if text:
        assert str(Goal.from_words({"floor": value}).floor) == text
        return
    with pytest.raises(PlanError, match="floor of the target"):
        Goal.from_words({"floor": value})


def test_a_rule_tells_itself_apart_and_whether_it_needs_a_catalogue() -> None:
    assert [is_goal({key: "x"}) for key in ("latest", "after_days", "by_major", "floor")] == [True] * 4
    assert [is_goal(words) for words in ({"version": "18.7"}, {"product_key": "x"}, {}, "latest", None)] == [False] * 5
    assert [aim_of(text)[1].needs_catalogue for text in ("latest-minor", ">=18.6", "15=15.7")] == [True, False, False]  # type: ignore[union-attr]


def test_a_rule_by_another_word_is_refused_in_short() -> None:
    with pytest.raises(PlanError, match=r"latest is 'x{40}'\.") as caught:
        Goal(latest="x" * 9_999)
    assert caught.value.remedy == "Write minor or major."
