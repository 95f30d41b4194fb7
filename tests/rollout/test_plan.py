"""The plan's YAML: read back to an equal plan, and what it does not know is named."""

import re
from dataclasses import fields
from datetime import date, time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.errors import PlanError
from osupdate_kit.protocol.commands import UpdateRequest
from osupdate_kit.protocol.terms import InstallAction, Platform, Priority
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.plan import DEFAULT_ACTIONS, TIMING, RolloutPlan, parse_actions, timing_of
from osupdate_kit.rollout.policy import DAY, FIRST, HOUR, INSTALL, MINUTE, Cadences, Steps
from osupdate_kit.rollout.releases import CatalogueRef
from osupdate_kit.rollout.targets import Goal, Target
from osupdate_kit.rollout.waves import Limits, Opening, Wave, Who, check_waves
from osupdate_kit.rollout.windows import Blackout, Kin, Window
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


# --- steps ---

DOWNLOAD, ASAP, DEFAULT, NOTIFY, LATER, RESTART = (
    InstallAction.DOWNLOAD_ONLY,
    InstallAction.INSTALL_ASAP,
    InstallAction.DEFAULT,
    InstallAction.NOTIFY_ONLY,
    InstallAction.INSTALL_LATER,
    InstallAction.INSTALL_FORCE_RESTART,
)
V = Target(version=OSVersion.parse("18.7"))


def plan(**policy: Any) -> RolloutPlan:
    return RolloutPlan(**{"name": "p", "author": "ada", "created_at": 1, "deadline_at": 2, "target": V} | policy)


@pytest.mark.parametrize(
    ("actions", "first", "install", "apart"),
    [
        ((DOWNLOAD, ASAP), DOWNLOAD, ASAP, True),
        ((DEFAULT, DEFAULT), DEFAULT, DEFAULT, False),  # handed out again, the first one installs
        ((DOWNLOAD, DEFAULT), DOWNLOAD, DEFAULT, True),
        ((ASAP,), None, ASAP, False),
        ((LATER,), None, LATER, False),
        ((RESTART,), None, RESTART, False),
        ((DOWNLOAD,), DOWNLOAD, None, True),
        ((NOTIFY,), NOTIFY, None, True),
    ],
)
def test_a_step_brings_the_download_or_installs_or_is_an_end_of_its_own(
    actions: tuple[InstallAction, ...], first: InstallAction | None, install: InstallAction | None, apart: bool
) -> None:
    steps = Steps(actions=actions)
    assert (steps.first, steps.install, steps.downloads_apart) == (first, install, apart)
    assert (steps.action(FIRST), steps.action(INSTALL)) == (first, install)
    assert steps.tries == 3


def test_by_default_phones_pads_and_tvs_download_first_and_macs_install_at_once() -> None:
    made = plan(tries=2)
    two = Steps(actions=(DOWNLOAD, ASAP), tries=2)
    assert [made.steps(p) for p in (Platform.IOS, Platform.IPADOS, Platform.TVOS)] == [two, two, two]
    assert made.steps(Platform.MACOS) == Steps(actions=(ASAP,), tries=2)
    only_macs = plan(actions={Platform.MACOS: (LATER,)})
    assert only_macs.steps(Platform.MACOS).actions == (LATER,)
    assert only_macs.steps(Platform.IPADOS).actions == (DOWNLOAD, ASAP)


def asked(made: RolloutPlan, platform: Platform, role: int, **words: Any) -> UpdateRequest:
    (request,) = made.step_command(platform, role, **words).updates
    return request


def test_a_step_names_its_action_and_the_targets_version() -> None:
    assert asked(plan(), Platform.IPADOS, FIRST) == UpdateRequest(install_action=DOWNLOAD, product_version="18.7")
    assert asked(plan(), Platform.IPADOS, INSTALL) == UpdateRequest(install_action=ASAP, product_version="18.7")
    own = Target(version=OSVersion.parse("17.7.10"))
    assert asked(plan(), Platform.TVOS, INSTALL, target=own).product_version == "17.7.10"


def test_a_listed_key_is_named_only_when_asked_for_and_an_items_key_always() -> None:
    by_version = asked(plan(), Platform.MACOS, INSTALL, product_key="052-1")
    by_key = asked(plan(), Platform.MACOS, INSTALL, product_key="052-1", by_key=True)
    item = asked(plan(target=Target(product_key="052-9")), Platform.MACOS, INSTALL, product_key="052-1", by_key=True)
    found = [(one.product_key, one.product_version) for one in (by_version, by_key, item)]
    assert found == [(None, "18.7"), ("052-1", None), ("052-9", None)]


def test_deferrals_go_with_install_later_and_priority_with_macs_only() -> None:
    made = plan(actions={Platform.MACOS: (LATER,)}, max_user_deferrals=0, priority=Priority.HIGH)
    mac, pad = asked(made, Platform.MACOS, INSTALL), asked(made, Platform.IPADOS, INSTALL)
    assert (mac.max_user_deferrals, mac.priority) == (0, Priority.HIGH)
    assert (pad.max_user_deferrals, pad.priority) == (None, None)


# --- actions as people write them ---


@pytest.mark.parametrize(
    ("text", "platform", "actions"),
    [
        ("iPadOS=DownloadOnly+InstallASAP", Platform.IPADOS, (DOWNLOAD, ASAP)),
        ("iOS=Default+Default", Platform.IOS, (DEFAULT, DEFAULT)),
        ("tvOS=DownloadOnly+Default", Platform.TVOS, (DOWNLOAD, DEFAULT)),
        ("iPadOS=DownloadOnly", Platform.IPADOS, (DOWNLOAD,)),
        ("macOS=DownloadOnly+InstallASAP", Platform.MACOS, (DOWNLOAD, ASAP)),
        ("macOS=NotifyOnly", Platform.MACOS, (NOTIFY,)),
        ("macOS=InstallLater", Platform.MACOS, (LATER,)),
        ("macOS=InstallForceRestart", Platform.MACOS, (RESTART,)),
        ("macOS=Default", Platform.MACOS, (DEFAULT,)),
    ],
)
def test_actions_that_a_platform_takes_stand_on_top_of_the_defaults(
    text: str, platform: Platform, actions: tuple[InstallAction, ...]
) -> None:
    found = parse_actions([text])
    assert found == {**DEFAULT_ACTIONS, platform: actions}
    assert plan(actions=found).steps(platform).actions == actions


PAIRS = "Two steps: DownloadOnly+InstallASAP or Default+Default. One step: DownloadOnly, or any on macOS."


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("watchOS=InstallASAP", "watchOS takes no ScheduleOSUpdate.", "Leave the platform out."),
        ("macOS=Error", "Error is no action to ask for.", "Choose another InstallAction."),
        ("iPadOS=NotifyOnly", "NotifyOnly is not for iPadOS.",
         "NotifyOnly, InstallLater and InstallForceRestart are for macOS only."),
        ("tvOS=DownloadOnly+InstallLater", "DownloadOnly+InstallLater is not for tvOS.",
         "NotifyOnly, InstallLater and InstallForceRestart are for macOS only."),
        ("iPadOS=InstallASAP", "InstallASAP is no sequence of steps for iPadOS.", PAIRS),
        ("iPadOS=Default", "Default is no sequence of steps for iPadOS.", PAIRS),
        ("iOS=InstallASAP+DownloadOnly", "InstallASAP+DownloadOnly is no sequence of steps for iOS.", PAIRS),
        ("macOS=DownloadOnly+InstallLater", "DownloadOnly+InstallLater is no sequence of steps for macOS.", PAIRS),
        ("macOS=Default+Default+Default", "Default+Default+Default is no sequence of steps for macOS.", PAIRS),
        ("iPadOS=Install", "'iPadOS=Install' is no action: 'Install' is not a valid InstallAction.",
         "Write PLATFORM=ACTION or PLATFORM=FIRST+SECOND, such as iPadOS=DownloadOnly+InstallASAP."),
        ("iPad=Default", "'iPad=Default' is no action: 'iPad' is not a valid Platform.",
         "Write PLATFORM=ACTION or PLATFORM=FIRST+SECOND, such as iPadOS=DownloadOnly+InstallASAP."),
    ],
)  # fmt: skip
def test_actions_that_make_no_rollout_are_refused_with_what_there_is(text: str, message: str, remedy: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan(actions=parse_actions([text]))
    assert (caught.value.args[0], caught.value.remedy) == (message, remedy)


def test_no_steps_at_all_are_no_sequence() -> None:
    with pytest.raises(PlanError, match="nothing is no sequence of steps for macOS"):
        plan(actions={Platform.MACOS: ()})


@pytest.mark.parametrize(
    ("policy", "message", "remedy"),
    [
        ({"max_user_deferrals": 0}, "max_user_deferrals is set, but no platform uses InstallLater.",
         "Add --action macOS=InstallLater or drop --max-user-deferrals."),
        ({"max_user_deferrals": -1, "actions": {Platform.MACOS: (LATER,)}}, "max_user_deferrals is negative.",
         "Give 0 or more."),
        ({"tries": 0}, "tries is 0.", "Give 1 or more."),
        ({"slots_per_site": -1}, "slots_per_site is negative.", "Give 0 for no limit, or more."),
        ({"time_zone": "Atlantis"}, "'Atlantis' is no time zone.",
         "Use a name of the tz database, such as Europe/Berlin."),
        ({"waves": ()}, "The plan has no wave.", "Leave `waves` out: then one wave takes all."),
    ],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_says_what_would(policy: dict[str, Any], message: str, remedy: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan(**policy)
    assert (caught.value.args[0], caught.value.remedy) == (message, remedy)


# --- what a plan asks of the service ---

NIGHT = Window(opens=time(20), closes=time(5))
ANY_HOUR = Window(opens=time(3), closes=time(3))
EXAMS = Blackout(first=date(2026, 12, 7), last=date(2026, 12, 8))


@pytest.mark.parametrize(
    ("policy", "by_the_clock"),
    [
        ({}, False),
        ({"window": ANY_HOUR, "download_window": Window()}, False),
        ({"window": NIGHT}, True),
        ({"window": NIGHT, "download_window": Window()}, True),
        ({"download_window": NIGHT}, True),
        ({"window": Window(days=(0,))}, True),
        ({"blackouts": (EXAMS,)}, True),
    ],
)
def test_a_plan_goes_by_the_clock_once_any_hour_is_shut(policy: dict[str, Any], by_the_clock: bool) -> None:
    assert plan(**policy).by_the_clock is by_the_clock


@pytest.mark.parametrize(
    ("policy", "admits"),
    [
        ({}, False),
        ({"waves": (Wave(name="one"),)}, False),
        ({"waves": (Wave(pace=1),)}, True),
        ({"slots_per_site": 1}, True),
        ({"waves": (Wave(opens=Opening(at=1)),)}, True),
        ({"waves": (Wave(opens=Opening(by_hand=True)),)}, True),
        ({"waves": (Wave(name="a", who=Who(percent=5)), Wave(name="b"))}, True),
        ({"limits": Limits(failures=1)}, False),
    ],
)
def test_devices_are_let_in_one_after_the_other_by_waves_pace_slots_or_an_opening(
    policy: dict[str, Any], admits: bool
) -> None:
    assert plan(**policy).admits is admits


def test_a_plan_of_one_version_says_it_and_one_by_a_rule_says_the_rule() -> None:
    assert plan().target_label == "18.7"
    assert plan(target=Target(), goal=Goal(latest="minor")).target_label == "latest minor"
    assert plan(target=Target(product_key="052-1")).target_label == "052-1"


def test_a_steps_window_is_the_plans_and_downloads_have_their_own() -> None:
    schedule = plan(window=NIGHT, download_window=ANY_HOUR, blackouts=(EXAMS,)).schedule
    assert [schedule.hours(Kin(), downloads=d).window for d in (False, True)] == [NIGHT, ANY_HOUR]
    assert schedule.hours(Kin(), downloads=True).blackouts == (EXAMS,)


def test_waiting_times_are_what_the_settings_page_says() -> None:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    told = {name: float(value) for name, value in re.findall(r"^\| `engine\.(\w+)` \| (\d+) \|", page, re.MULTILINE)}
    waits = {field.name: getattr(Cadences(), field.name) for field in fields(Cadences)}
    assert waits == {name: told[name] for name in waits}
    assert (MINUTE, HOUR, DAY) == (60 * 10**6, 3600 * 10**6, 86_400 * 10**6)


# --- the file ---

REF = CatalogueRef(as_of=1_795_507_200_000_000, sha256="ab", source="SOFA")


def test_a_plans_file_names_the_catalogue_and_who_may_leave_a_major_version() -> None:
    made = plan(releases=REF, allow_major=True, goal=Goal(latest="minor"), target=Target(), priority=Priority.LOW)
    words = yaml.safe_load(made.to_yaml())
    assert words["releases"] == {"as_of": "2026-11-24T08:00:00Z", "sha256": "ab", "source": "SOFA"}
    assert (words["allow_major"], words["target"], words["priority"]) == (True, {"latest": "minor"}, "Low")
    assert words["members"] == {"count": 0, "sha256": ""}
    assert words["actions"]["iPadOS"] == "DownloadOnly+InstallASAP"
    assert words["download_window"] is None
    assert RolloutPlan.from_yaml(made.to_yaml()) == made


def test_what_a_file_leaves_out_is_as_by_default() -> None:
    words = yaml.safe_load(plan().to_yaml())
    needed = ("name", "author", "created_at", "target", "actions", "deadline_at", "members")
    again = RolloutPlan.from_yaml(yaml.safe_dump({key: words[key] for key in needed}))
    assert again == plan()
    assert (again.tries, again.allow_major, again.where, again.time_zone) == (3, False, "", "")


@pytest.mark.parametrize("word", ["yes please", 1, "true", None])
def test_only_a_plain_true_lets_devices_leave_their_major_version(word: object) -> None:
    words = yaml.safe_load(plan().to_yaml()) | {"allow_major": word}
    assert RolloutPlan.from_yaml(yaml.safe_dump(words)).allow_major is False


@pytest.mark.parametrize("key", ["name", "author", "created_at", "target", "actions", "deadline_at", "members"])
def test_a_key_that_a_plan_needs_is_named_when_it_lacks(key: str) -> None:
    words = yaml.safe_load(plan().to_yaml())
    del words[key]
    with pytest.raises(PlanError, match=f"The plan lacks the key '{key}'.") as caught:
        RolloutPlan.from_yaml(yaml.safe_dump(words))
    assert caught.value.remedy == "Write it by `osupdate-kit plan create`."


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tries": "many"}, "tries"),
        ({"tries": 1.5}, "tries"),
        ({"max_user_deferrals": True}, "max_user_deferrals"),
        ({"max_user_deferrals": 1.5}, "max_user_deferrals"),
        ({"created_at": "soon"}, "cannot be read"),
        ({"priority": "Urgent"}, "Urgent"),
        ({"actions": ["iOS"]}, "cannot be read"),
        ({"target": {"version": "18.7-beta"}}, "18.7-beta"),
        ({"target": {"versoin": "18.7"}}, "versoin"),
        ({"target": {"build": "22H1"}}, "neither a version nor a product key"),
        ({"target": {"version": "18.7", "product_key": "012-34567"}}, "or both"),
        ({"target": {}}, "neither a version nor a product key"),
        ({"target": "18.7"}, "target"),
        ({"members": 7}, "cannot be read"),
        ({"waves": [{"nam": "x"}]}, "nam"),
    ],
)
def test_a_value_that_no_plan_has_is_an_error_with_a_remedy(changes: dict[str, Any], named: str) -> None:
    words = yaml.safe_load(plan().to_yaml()) | changes
    with pytest.raises(PlanError, match=named) as caught:
        RolloutPlan.from_yaml(yaml.safe_dump(words))
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("waves: [", "The file is no YAML: ", "Write it as `osupdate-kit plan create` does."),
        ("- waves", "The file is no mapping of keys.", "Write it as `osupdate-kit plan create` does."),
        ("{zzz: 1, aaa: 2}", "The file has a key 'aaa'.",
         "Keys: window, download_window, blackouts, waves, limits, slots_per_site."),
        ("{7: 1}", "The file has a key '7'.",
         "Keys: window, download_window, blackouts, waves, limits, slots_per_site."),
    ],
)  # fmt: skip
def test_a_file_that_says_who_goes_when_holds_nothing_else(text: str, message: str, remedy: str) -> None:
    with pytest.raises(PlanError) as caught:
        timing_of(text)
    assert caught.value.args[0].startswith(message)
    assert caught.value.remedy == remedy


def test_keys_without_a_value_say_nothing() -> None:
    assert timing_of("{waves: , limits: {}, slots_per_site: 0, blackouts: []}") == {}
