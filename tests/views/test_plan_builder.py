import threading
from collections.abc import Iterator
from datetime import UTC, datetime, time

import pytest
from msgspec import structs

from osupdate_kit.errors import StoreError
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.fleet.selection import Selection
from osupdate_kit.kit.plans import draft
from osupdate_kit.protocol.rules import ACTIONS, ENFORCEMENT, availability, declaration_available
from osupdate_kit.protocol.terms import InstallAction, Platform, Priority
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.eligibility import Barrier
from osupdate_kit.rollout.enforcement import DECLARE_SINCE, Declaring
from osupdate_kit.rollout.plan import DEFAULT_ACTIONS, RolloutPlan
from osupdate_kit.rollout.targets import Target
from osupdate_kit.rollout.windows import Window
from osupdate_kit.views.widgets import Draft, PlanBuilder
from osupdate_kit.views.widgets.fields import LINES, Fields, choices, first_fields, hazards, read
from osupdate_kit.views.widgets.plan_builder import RULES, forget
from tests.views.scene import click

NOW = int(datetime(2026, 11, 23, 9, 0, tzinfo=UTC).timestamp()) * 1_000_000


def device(number: int, platform: Platform | None, version: str | None, supervised: bool | None = True) -> Device:
    return Device(
        key=DeviceKey("lab", f"D{number}"),
        platform=platform,
        os_version=OSVersion.parse(version) if version else None,
        supervised=supervised,
    )


FLEET = Selection(
    (
        *(device(n, Platform.IPADOS, "18.6") for n in range(7)),
        *(device(n, Platform.MACOS, "15.6") for n in range(7, 12)),
        device(12, Platform.IPADOS, "18.6", supervised=False),
        device(13, Platform.IPADOS, "18.6", supervised=None),
        device(14, Platform.IPADOS, "27.0"),
        device(15, Platform.WATCHOS, "11.0"),
    ),
    {},
    ("GONE", "<b>never</b>"),
)


class Office:
    """Gives verdicts as the kit does, and can be made to wait or to fail."""

    who = "ann"

    def __init__(self) -> None:
        self.declarations: frozenset[str] = frozenset()  # no server declares
        self.free = threading.Event()
        self.free.set()
        self.fault: Exception | None = None

    def now(self) -> int:
        return NOW

    def draft(self, selection: Selection, plan: RolloutPlan) -> Draft:
        assert threading.current_thread() is not threading.main_thread()
        assert self.free.wait(30)
        if self.fault:
            raise self.fault
        return draft(selection, plan)


@pytest.fixture
def office() -> Iterator[Office]:
    forget("plan")
    office = Office()
    yield office
    office.free.set()
    forget("plan")


# --- fields -----------------------------------------------------------------------------------------------------------


def test_every_choice_is_one_that_apple_and_the_plan_allow_and_the_recommended_is_first() -> None:
    for platform in DEFAULT_ACTIONS:
        offered = choices(platform)
        assert offered[0] == DEFAULT_ACTIONS[platform]
        assert len(set(offered)) == len(offered)
        for actions in offered:
            assert all(availability(ACTIONS[action], platform) for action in actions)
            read_back = read(typed(actions={platform.value: "+".join(actions)}), now=NOW, author="ann").plan
            assert read_back is not None
            assert read_back.steps(platform).actions == actions
    mac_only = {InstallAction.INSTALL_FORCE_RESTART, InstallAction.INSTALL_LATER, InstallAction.NOTIFY_ONLY}
    assert not mac_only & {action for actions in choices(Platform.IPADOS) for action in actions}
    assert mac_only <= {action for actions in choices(Platform.MACOS) for action in actions}


def typed(**more: object) -> Fields:
    return first_fields("18.7.2", NOW).with_typed(more)


def test_what_is_typed_becomes_the_plan_it_says() -> None:
    fields = typed(
        name="Night",
        build="22H124",
        actions={"macOS": "InstallLater"},
        max_user_deferrals="5",
        priority="High",
        tries="2",
        opens="22:00",
        closes="05:00",
        time_zone="Europe/Berlin",
        deadline="2026-12-04T18:00",
    )
    plan = read(fields, now=NOW, author="ann", where='site == "Lyon"').plan
    assert plan is not None
    assert plan.target == Target(version=OSVersion.parse("18.7.2"), build="22H124")
    assert (plan.name, plan.author, plan.where) == ("Night", "ann", 'site == "Lyon"')
    assert (plan.max_user_deferrals, plan.priority, plan.tries) == (5, Priority.HIGH, 2)
    assert (str(plan.window), plan.time_zone) == ("22:00-05:00", "Europe/Berlin")
    assert plan.deadline_at == int(datetime(2026, 12, 4, 18, tzinfo=UTC).timestamp()) * 1_000_000
    assert plan.steps(Platform.MACOS).actions == (InstallAction.INSTALL_LATER,)
    assert RolloutPlan.from_yaml(plan.to_yaml()) == plan


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("target", "", "No target yet"),
        ("target", "18.x", "no OS version"),
        ("deadline", "soon", "no date and time"),
        ("deadline", "2026-11-23T09:00", "has passed"),
        ("max_user_deferrals", "many", "no whole number"),
        ("max_user_deferrals", "5", "no platform uses InstallLater"),
        ("max_user_deferrals", "²", "no whole number"),
        ("tries", "0", "needs a try"),
        ("priority", "Medium", "no priority"),
        ("opens", "25:00", "no time of day"),
        ("time_zone", "Mars/Olympus", "no time zone"),
        ("time_zone", "../../etc/passwd", "no time zone"),
    ],
)
def test_a_mistake_is_a_sentence_beside_its_field_with_a_remedy(name: str, text: str, says: str) -> None:
    reading = read(typed(**{name: text}), now=NOW, author="ann")
    assert reading.plan is None
    assert says in reading.errors[name]
    assert reading.errors[name].endswith(".")


def test_all_mistakes_show_at_once() -> None:
    reading = read(typed(target="x", tries="-1", opens="22:00", actions={"iPadOS": "InstallLater"}), now=NOW, author="")
    assert set(reading.errors) == {"target", "tries", "closes", "actions iPadOS"}


def test_a_browser_cannot_type_what_no_field_holds() -> None:
    fields = Fields().with_typed({"author": "eve", "__class__": "x", "name": "n" * 9_999, "actions": "nonsense"})
    assert fields == Fields(name="n" * 200)


def test_hazards_name_what_apple_and_the_field_warn_of() -> None:
    def said(actions: str, versions: dict[str, int], platform: Platform = Platform.MACOS, **more: object) -> str:
        plan = read(typed(target="26.1", actions={platform.value: actions}, **more), now=NOW, author="ann").plan
        assert plan is not None
        found = hazards(plan, {platform: {OSVersion.parse(text): n for text, n in versions.items()}})
        return " ".join(hazard.text for hazard in found)

    assert "unsaved work is lost" in said("InstallForceRestart", {"15.6": 3})
    assert "3 Macs would take a major upgrade" in said("InstallForceRestart", {"15.6": 3, "26.0": 9})
    assert "3 Macs would take a major upgrade" in said("InstallLater", {"15.6": 3})
    assert "major upgrade" not in said("InstallASAP", {"15.6": 3})
    assert "without end" in said("InstallLater", {"26.0": 1})
    assert "without end" not in said("InstallLater", {"26.0": 1}, max_user_deferrals="3")
    assert "delivered again" in said("Default+Default", {"18.6": 1}, Platform.IPADOS)
    assert "delivered again" not in said("DownloadOnly+InstallASAP", {"18.6": 1}, Platform.IPADOS)
    assert "a declaration outlives it" in said("InstallASAP", {"26.0": 1})
    assert "any hour" in said("InstallASAP", {"26.0": 1})
    assert "any hour" not in said("InstallASAP", {"26.0": 1}, opens="22:00", closes="05:00")
    assert "any hour" not in said("DownloadOnly", {"26.0": 1})


# --- the widget -------------------------------------------------------------------------------------------------------


def test_the_preview_counts_every_device_once_and_each_part_gives_its_devices(office: Office) -> None:
    builder = PlanBuilder(FLEET, office, targets=["18.7.2"])
    assert builder.wait()
    shown = builder.preview
    parts = {row["part"]: row["devices"] for row in (*shown["barred"], *shown["unknown"])}
    assert parts == {
        Barrier.TARGET_OF_OTHER_PLATFORM: 5,
        Barrier.NOT_SUPERVISED: 1,
        Barrier.NEEDS_DECLARATION: 1,
        Barrier.PLATFORM_WITHOUT: 1,
        Barrier.SUPERVISION_UNKNOWN: 1,
    }
    assert [row["part"] for row in shown["unknown"]] == [Barrier.SUPERVISION_UNKNOWN]
    assert shown["by_command"] + shown["by_declaration"] + sum(parts.values()) == shown["selected"] == len(FLEET)
    assert shown["unmatched"] == 2
    for part, devices in {"command": shown["by_command"], **parts}.items():
        click(builder, kind="show", part=part)
        assert builder.wait()
        assert len(builder.chosen_devices) == devices
        assert set(builder.chosen_devices) <= {one.key for one in FLEET.devices}
    assert builder.draft is not None
    assert builder.draft.plan.members == len(FLEET)


def test_a_draft_belongs_to_what_is_typed_or_is_none(office: Office) -> None:
    builder = PlanBuilder(FLEET, office, targets=["18.7.2"])
    assert builder.wait()
    office.free.clear()
    click(builder, kind="typed", fields={"target": "18.7.3"})
    click(builder, kind="typed", fields={"target": "18.7.4"})
    assert builder.draft is None
    assert builder.preview["busy"]
    office.free.set()
    assert builder.wait()
    assert builder.draft is not None
    assert str(builder.draft.plan.target) == "18.7.4"
    click(builder, kind="typed", fields={"target": "18."})
    assert builder.plan is None
    assert builder.draft is None
    assert "no OS version" in builder.errors["target"]
    assert builder.wait()
    assert builder.draft is None


def test_what_is_typed_again_is_no_change(office: Office) -> None:
    builder = PlanBuilder(FLEET, office, targets=["18.7.2"])
    assert builder.wait()
    before = builder.draft
    click(builder, kind="typed", fields={"target": "18.7.2", "tries": "3"})
    assert builder.wait()
    assert builder.draft is before is not None


def test_other_devices_are_judged_anew_and_the_fields_stay(office: Office) -> None:
    builder = PlanBuilder(FLEET, office, targets=["18.7.2"])
    builder.set(name="Night")
    builder.selection = Selection(FLEET.devices[:3], {})
    assert builder.wait()
    assert builder.draft is not None
    assert (builder.draft.plan.name, len(builder.draft.members)) == ("Night", 3)
    assert [row["platform"] for row in builder.form["platforms"]] == ["iPadOS"]


def test_a_cell_that_runs_again_finds_what_was_typed(office: Office) -> None:
    PlanBuilder(FLEET, office, targets=["18.7.2"]).set(target="18.7.1", opens="22:00", closes="05:00")
    again = PlanBuilder(FLEET, office, targets=["18.7.2"])
    assert (again.fields["target"], again.fields["opens"]) == ("18.7.1", "22:00")
    other = PlanBuilder(FLEET, office, targets=["18.7.2"], memory="another")
    assert other.fields["target"] == "18.7.2"
    forget("another")


@pytest.mark.parametrize("fault", [StoreError("The store is away.", remedy="Start it."), RuntimeError("odd")])
def test_a_failed_preview_says_so_and_the_next_one_works(office: Office, fault: Exception) -> None:
    office.fault = fault
    builder = PlanBuilder(FLEET, office, targets=["18.7.2"])
    assert builder.wait()
    assert builder.draft is None
    assert ("The store is away. Start it." if isinstance(fault, StoreError) else "RuntimeError") in builder.preview[
        "error"
    ]
    office.fault = None
    builder.set(tries="2")
    assert builder.wait()
    assert builder.draft is not None
    assert "error" not in builder.preview


def test_the_form_offers_what_the_selection_has(office: Office) -> None:
    builder = PlanBuilder(FLEET, office, targets=["18.7.2", "18.7.1"])
    by_name = {row["platform"]: row for row in builder.form["platforms"]}
    assert {name: row["devices"] for name, row in by_name.items()} == {"iPadOS": 10, "macOS": 5}
    first = by_name["iPadOS"]["choices"][0]
    assert (first["value"], first["best"], first["unknown_to"]) == ("DownloadOnly+InstallASAP", True, 1)  # OS 27
    assert "passcode" in first["noticed"]
    assert builder.form["targets"] == ["18.7.2", "18.7.1", *RULES]


def test_a_window_in_the_plan_bars_who_names_no_zone(office: Office) -> None:
    builder = PlanBuilder(FLEET, office, targets=["18.7.2"])
    builder.set(opens="22:00", closes="05:00")
    assert builder.wait()
    assert {row["part"] for row in builder.preview["unknown"]} >= {Barrier.TIME_ZONE_UNKNOWN}
    builder.set(time_zone="Europe/Berlin")
    assert builder.wait()
    assert Barrier.TIME_ZONE_UNKNOWN not in {row["part"] for row in builder.preview["unknown"]}


# --- who goes when ----------------------------------------------------------------------------------------------------


def test_waves_windows_and_weekdays_become_a_plan() -> None:
    fields = typed(waves="rings", opens="20:00", closes="05:00", download_opens="08:00", download_closes="18:00",
                   days="mon-fri", time_zone="Europe/Berlin")  # fmt: skip
    reading = read(fields, now=NOW, author="ann")
    assert reading.plan is not None, reading.errors
    plan = reading.plan
    assert [(wave.name, str(wave.opens)) for wave in plan.waves] == [
        ("canary", "at once"),
        ("pilot", "when 90% of the wave before are done, 24 hours later"),
        ("broad", "when 90% of the wave before are done, 24 hours later, by hand"),
    ]
    week = (0, 1, 2, 3, 4)
    assert plan.window == Window(opens=time(20), closes=time(5), days=week)
    assert plan.download_window == Window(opens=time(8), closes=time(18), days=week)
    assert plan.limits.failure_share == 0.15
    assert RolloutPlan.from_yaml(plan.to_yaml()) == plan


@pytest.mark.parametrize(
    ("words", "label"),
    [("latest-minor +7d", "latest minor, 7 days after release"), ("15=15.7.2, 18=18.7.2", "15 to 15.7.2, 18 to 18.7.2"),
     (">=18.6 latest-minor", "latest minor, of those below 18.6"), (">=18.6 18.7.2", "18.7.2, of those below 18.6")],
)  # fmt: skip
def test_the_target_field_takes_rules_as_the_command_does(words: str, label: str) -> None:
    plan = read(typed(target=words), now=NOW, author="ann").plan
    assert plan is not None
    assert (plan.target_label, plan.name.startswith(label)) == (label, True)


@pytest.mark.parametrize("words", ["latest", "latest-patch", "15=", "x=15.7", "+7d", ">=new", "latest-minor 18.7"])
def test_a_rule_that_cannot_be_read_is_said_beside_the_target(words: str) -> None:
    reading = read(typed(target=words), now=NOW, author="ann")
    assert reading.plan is None
    assert set(reading.errors) == {"target"}


def test_another_major_version_needs_a_yes_of_its_own(office: Office) -> None:
    builder = PlanBuilder(FLEET, office, targets=["26.1"])
    try:
        assert builder.wait()
        assert {row["part"]: row["devices"] for row in builder.preview["barred"]}[Barrier.MAJOR_JUMP] == 12
        builder.set(allow_major="yes")
        assert builder.wait()
        assert builder.preview["by_command"] == 12
    finally:
        builder.close()


def test_a_form_without_waves_is_one_wave_that_nothing_halts() -> None:
    plan = read(typed(), now=NOW, author="ann").plan
    assert plan is not None
    assert (len(plan.waves), bool(plan.limits), plan.download_window) == (1, False, None)


@pytest.mark.parametrize(
    ("field", "words"),
    [({"waves": "tsunami"}, "waves"), ({"days": "weekend"}, "days"), ({"download_opens": "08:00"}, "download_closes"),
     ({"download_opens": "8", "download_closes": "18:00"}, "download_opens")],
)  # fmt: skip
def test_what_cannot_be_read_of_waves_and_windows_stands_beside_its_field(field: dict[str, str], words: str) -> None:
    reading = read(typed(**field), now=NOW, author="ann")
    assert reading.plan is None
    assert words in reading.errors


def test_the_preview_shows_devices_per_wave_and_gives_them_to_the_grid(office: Office) -> None:
    builder = PlanBuilder(FLEET, office, targets=["18.7.2"])
    try:
        builder.set(waves="canary")
        assert builder.wait()
        shown = builder.preview
        assert [(row["wave"], row["devices"]) for row in shown["waves"]] == [("canary", 1), ("rest", 6)]
        assert sum(row["devices"] for row in shown["waves"]) == shown["by_command"]
        builder.show_devices("wave canary")
        assert len(builder.chosen_devices) == 1
    finally:
        builder.close()


# --- by declaration ---------------------------------------------------------------------------------------------------


def test_the_line_between_the_instruments_is_typed_and_counted_by_instrument(office: Office) -> None:
    office.declarations = frozenset({"lab"})
    builder = PlanBuilder(FLEET, office, targets=["27.1"])
    try:
        builder.set(allow_major="yes")
        assert builder.wait()
        shown = builder.preview
        assert (shown["by_command"], shown["by_declaration"], shown["taking"]) == (12, 1, 13)  # only OS 27
        builder.set(declare_since={"macOS": "14"})
        assert builder.wait()
        shown = builder.preview
        assert (shown["by_command"], shown["by_declaration"]) == (7, 6)
        rest = sum(row["devices"] for row in (*shown["barred"], *shown["unknown"]))
        assert shown["by_command"] + shown["by_declaration"] + rest == shown["selected"] == len(FLEET)
        assert shown["declared_by"] == "19:00 its own time, 3 days after its assignment; a weekend moves to Monday"
        assert any("take the declaration back" in hazard["text"] for hazard in shown["hazards"])
        click(builder, kind="show", part="declaration")
        assert builder.wait()
        assert {key.enrollment_id for key in builder.chosen_devices} == {"D7", "D8", "D9", "D10", "D11", "D14"}
        assert builder.draft is not None
        assert RolloutPlan.from_yaml(builder.draft.plan.to_yaml()) == builder.draft.plan
    finally:
        builder.close()


def test_the_form_recommends_declarations_for_macs_and_says_why_and_leaves_the_choice(office: Office) -> None:
    office.declarations = frozenset({"lab"})
    builder = PlanBuilder(FLEET, office, targets=["18.7.2"])
    try:
        rows = {row["platform"]: row["lines"] for row in builder.form["platforms"]}
        assert [(one["value"], one["best"], one["default"]) for one in rows["macOS"]] == [
            ("14", True, False), ("15", False, False), ("26", False, True), ("27", False, False),
        ]  # fmt: skip
        assert builder.form["declares"]
        assert "gone in 27" in builder.form["why_declare"]
        builder.selection = Selection((structs.replace(FLEET.devices[0], key=DeviceKey("other", "D0")),), {})
        assert not builder.form["declares"]  # its server has none
    finally:
        builder.close()


def test_every_line_that_the_form_offers_is_one_where_declarations_exist() -> None:
    for platform, offered in LINES.items():
        assert all(declaration_available(ENFORCEMENT, platform, OSVersion.parse(since)) for since in offered)
        assert DECLARE_SINCE[platform].text in offered
    assert LINES.keys() == DEFAULT_ACTIONS.keys() == DECLARE_SINCE.keys()


def test_days_hour_weekends_and_page_of_declarations_become_the_plan() -> None:
    fields = typed(
        enforce_days="5", enforce_at="21:30", enforce_weekends="yes", details_url="https://help.example.org/"
    )
    plan = read(fields, now=NOW, author="ann", declaring_servers=["b", "a"]).plan
    assert plan is not None
    assert plan.declaring == Declaring(
        servers=("a", "b"), days=5, at="21:30", weekends=True, details_url="https://help.example.org/"
    )
    late = hazards(read(typed(enforce_days="9"), now=NOW, author="ann").plan, {}, declared=2)  # type: ignore[arg-type]
    assert any("enforce an hour before its end" in hazard.text for hazard in late)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("enforce_days", "91", "no number of days"), ("enforce_days", "", "no number of days"),
        ("enforce_at", "7 pm", "no time of day"), ("details_url", "javascript:alert(1)", "no web address"),
    ],
)  # fmt: skip
def test_a_mistake_about_declarations_stands_beside_its_field(name: str, value: str, says: str) -> None:
    reading = read(typed(**{name: value}), now=NOW, author="ann")
    assert reading.plan is None
    assert says in reading.errors[name]
    wrong = read(typed(declare_since={"macOS": "13", "watchOS": "26"}), now=NOW, author="ann")
    assert set(wrong.errors) == {"declare_since macOS", "declare_since watchOS"}
