"""The plan's YAML: read back to an equal plan, and what it does not know is named."""

import re
from datetime import date, time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.errors import PlanError
from osupdate_kit.protocol.terms import InstallAction, Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.plan import TIMING, RolloutPlan, timing_of
from osupdate_kit.rollout.targets import Target
from osupdate_kit.rollout.waves import Limits, Opening, Wave, Who, check_waves
from osupdate_kit.rollout.windows import Blackout, Window
from tests.paths import ROOT
from tests.rollout.plans import PLANS

AS_PEOPLE_WRITE_IT = """
waves:
- {name: canary, who: {cover: [model, os_version]}, pace: 20}
- {name: pilot, who: {percent: 5}, opens: {done_share: 0.9, soak_hours: 24}}
- {name: named, who: {serials: ["0123", C39]}, opens: {at: 2026-12-01T18:00:00+01:00}}
- {name: broad, opens: {by_hand: true}}
limits: {failure_share: 0.15, healthy_share: 0.02, false_halt: 0.005, failures: 200, silent_share: 0.3,
         by: [model, os_version_start, site, platform]}
slots_per_site: 40
window: {opens: 20:00, closes: "05:00"}
download_window: {opens: "08:00", closes: "18:00", days: [mon, tue, wed, thu, fri]}
blackouts:
- {from: 2026-12-07, to: 2026-12-18, where: 'site == "North"', reason: exams}
- {from: "2026-12-24", to: 2026-12-26}
"""


@given(PLANS)
def test_a_plan_is_read_back_as_it_was_written(plan: RolloutPlan) -> None:
    again = RolloutPlan.from_yaml(plan.to_yaml())
    assert again == plan
    assert again.to_yaml() == plan.to_yaml()


def test_waves_limits_windows_and_blackouts_are_read_as_people_write_them() -> None:
    assert timing_of(AS_PEOPLE_WRITE_IT) == {
        "waves": (
            Wave(name="canary", who=Who(cover=("model", "os_version")), pace=20),
            Wave(name="pilot", who=Who(percent=5), opens=Opening(done_share=0.9, soak_hours=24)),
            Wave(name="named", who=Who(serials=("0123", "C39")), opens=Opening(at=1796144400000000)),
            Wave(name="broad", opens=Opening(by_hand=True)),
        ),
        "limits": Limits(failure_share=0.15, failures=200, silent_share=0.3),
        "slots_per_site": 40,
        "window": Window(opens=time(20), closes=time(5)),
        "download_window": Window(opens=time(8), closes=time(18), days=(0, 1, 2, 3, 4)),
        "blackouts": (
            Blackout(first=date(2026, 12, 7), last=date(2026, 12, 18), where='site == "North"', reason="exams"),
            Blackout(first=date(2026, 12, 24), last=date(2026, 12, 26)),
        ),
    }


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("wavs: []", "wavs"),
        ("waves: {name: all}", "waves"),
        ("waves: [{nam: all}]", "nam"),
        ("waves: [{name: 7}]", "name of a wave is '7'"),
        ("waves: [{name: ' '}]", "called"),
        ("waves: [{name: a, who: {percent: five}}]", "percent"),
        ("waves: [{name: a, who: {percent: .nan}}]", "percent"),
        ("waves: [{name: a, who: {percent: 101}}]", "percent"),
        ("waves: [{name: a, who: {percent: true}}]", "percent"),
        ("waves: [{name: a, who: {percent: 5, where: site == 'N'}}]", "where and percent"),
        ("waves: [{name: a, who: {serials: [123]}}]", "serials"),
        ("waves: [{name: a, who: {everyone: true}}]", "everyone"),
        ("waves: [{name: a, opens: {at: soon}}]", "at"),
        ("waves: [{name: a, opens: {done_share: 90}}]", "done_share"),
        ("waves: [{name: a, opens: {soak_hours: -1}}]", "soak_hours"),
        ("waves: [{name: a, opens: {by_hand: 'no'}}]", "by_hand"),
        ("waves: [{name: a, pace: -1}]", "pace"),
        ("limits: {failure_share: 1.5}", "failure_share"),
        ("limits: {healthy: 0.1}", "healthy"),
        ("limits: {failure_share: 0.1, healthy_share: 0.2}", "healthy_share"),
        ("limits: {silent_share: 30}", "silent_share"),
        ("limits: {by: [colour]}", "colour"),
        ("slots_per_site: 1.5", "slots_per_site"),
        ("window: {opens: 25:00}", "opens"),
        ("window: {open: '20:00'}", "open"),
        ("window: {opens: '20:00+01:00'}", "time zone"),
        ("download_window: {days: [mon, moon]}", "days"),
        ("blackouts: [{from: 2026-12-07}]", "lacks from or to"),
        ("blackouts: [{from: 2026-12-07, to: 2026-12-06}]", "2026-12-06"),
        ("blackouts: [{from: 2026-02-30, to: 2026-03-06}]", "YAML"),
        ("blackouts: [{from: 2026-12-07T08:00:00, to: 2026-12-09}]", "from"),
        ("blackouts: [{from: 2026-12-07, to: 2026-12-09, where: 'os_version < \"18\"'}]", "os_version"),
        ("blackouts: exams.ics", "blackouts"),
        ("[]", "mapping"),
    ],
)
def test_what_is_wrong_is_named_with_a_remedy(text: str, named: str) -> None:
    with pytest.raises(PlanError, match=re.escape(named)) as caught:
        timing_of(text)
    assert caught.value.remedy


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates() | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "who",
                    "opens",
                    "pace",
                    "where",
                    "percent",
                    "cover",
                    "serials",
                    "at",
                    "from",
                    "to",
                    "days",
                    "by",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from(["waves", "limits", "slots_per_site", "window", "download_window", "blackouts"]), JSON)
def test_anything_else_is_an_error_that_we_can_explain(key: str, words: object) -> None:
    remedy = "none was needed"
    try:
        timing_of(yaml.safe_dump({key: words}, allow_unicode=True))
    except PlanError as error:
        remedy = error.remedy
    assert remedy


@pytest.mark.parametrize(
    ("waves", "named"),
    [
        ((), "no wave"),
        ((Wave(name="a", who=Who(percent=5)), Wave(name="a")), "Two waves are called a"),
        ((Wave(name="a"), Wave(name="b")), "Wave a takes all"),
        ((Wave(name="a", opens=Opening(done_share=0.9)),), "Wave a waits"),
        ((Wave(name="a", who=Who(percent=60)), Wave(name="b", who=Who(percent=60))), "more than 100"),
    ],
)
def test_waves_that_make_no_sense_together_are_refused(waves: tuple[Wave, ...], named: str) -> None:
    with pytest.raises(PlanError, match=named) as caught:
        check_waves(waves)
    assert caught.value.remedy


def test_the_example_of_the_docs_is_a_plan_that_can_be_read() -> None:
    page = (ROOT / "docs" / "rollout.md").read_text("utf-8")
    found = timing_of(page.partition("```yaml\n")[2].partition("```")[0])
    check_waves(found["waves"])
    assert set(found) == set(TIMING)


@pytest.mark.parametrize("name", ["max_user_deferrals", "tries", "slots_per_site"])
def test_numbers_just_beyond_their_bounds_are_refused(name: str) -> None:
    def made(number: int) -> RolloutPlan:
        return RolloutPlan(
            name="x", author="ada", created_at=1, deadline_at=2, target=Target(version=OSVersion.parse("18.7")),
            actions={Platform.MACOS: (InstallAction.INSTALL_LATER,)}, **{name: number},  # type: ignore[arg-type]
        )  # fmt: skip

    least = 1 if name == "tries" else 0
    assert getattr(made(least), name) == least
    with pytest.raises(PlanError):
        made(least - 1)
