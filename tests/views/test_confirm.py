import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from osupdate_kit.errors import RolloutError
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.fleet.selection import Selection
from osupdate_kit.kit import Kit
from osupdate_kit.kit.people import keep_rule
from osupdate_kit.kit.plans import Draft, draft
from osupdate_kit.protocol.terms import InstallAction, Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.journey import Instrument
from osupdate_kit.rollout.people import SecondPerson
from osupdate_kit.rollout.plan import DEFAULT_ACTIONS, RolloutPlan
from osupdate_kit.rollout.policy import DAY
from osupdate_kit.rollout.targets import Target
from osupdate_kit.rollout.waves import Opening, Wave, Who
from osupdate_kit.views.widgets import Confirm
from osupdate_kit.views.widgets import Draft as AnyDraft
from osupdate_kit.views.widgets.confirm import Stage, lines, waves
from tests.views.scene import MACS, click, eventually, scene

NOW = int(datetime(2026, 11, 23, 9, 0, tzinfo=UTC).timestamp()) * 1_000_000
FORCE = InstallAction.INSTALL_FORCE_RESTART


def made(*, macs: int = 0, pads: int = 0, barred: int = 0, name: str = "plan", force: bool = False) -> Draft:
    """A draft over Macs, iPads, and devices that nobody supervises."""
    actions = {**DEFAULT_ACTIONS, Platform.MACOS: (FORCE,)} if force else DEFAULT_ACTIONS
    plan = RolloutPlan(
        name=name,
        author="ann",
        created_at=NOW,
        target=Target(version=OSVersion.parse("26.1")),
        deadline_at=NOW + DAY,
        actions=actions,
    )
    kinds = [(Platform.MACOS, True)] * macs + [(Platform.IPADOS, True)] * pads + [(Platform.IPADOS, False)] * barred
    devices = tuple(
        Device(key=DeviceKey("lab", f"D{n:04}"), platform=kind, os_version=OSVersion.parse("26.0"), supervised=known)
        for n, (kind, known) in enumerate(kinds)
    )
    return draft(Selection(devices, {}), plan)


@dataclass
class Office:
    """Begins rollouts by counting them; `fault` makes it refuse, `free` makes it wait."""

    begun: list[AnyDraft] = field(default_factory=list)
    fault: Exception | None = None
    alone: int = 1_000_000  # devices for which no second person is needed
    free: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.free.set()

    def needs_another(self, devices: int) -> bool:
        return devices > self.alone

    def issue(self, draft: AnyDraft) -> int:
        assert threading.current_thread() is not threading.main_thread()
        assert self.free.wait(30)
        if self.fault:
            raise self.fault
        self.begun.append(draft)
        return len(self.begun)


def issue(widget: Confirm, nonce: str = "one", stamp: str = "") -> None:
    click(widget, kind="issue", nonce=nonce, stamp=stamp or widget.stand["stamp"])
    assert widget.wait()


def armed(widget: Confirm, nonce: str = "one") -> Confirm:
    click(widget, kind="shown", nonce=nonce)
    click(widget, kind="read", nonce=nonce)
    if widget.view["forced"]:
        click(widget, kind="typed", nonce=nonce, text=str(widget.view["forced"]))
    assert widget.stage is Stage.ARMED
    return widget


# --- what is to be read -----------------------------------------------------------------------------------------------


def test_the_table_says_who_gets_what_and_what_people_will_notice() -> None:
    table = lines(made(macs=3, pads=5, barred=2, force=True))
    assert [(line.platform, line.devices, line.action, line.forced) for line in table] == [
        (Platform.IPADOS, 5, "DownloadOnly, then InstallASAP", False),
        (Platform.MACOS, 3, "InstallForceRestart", True),
    ]
    assert "passcode" in table[0].noticed
    assert "restarts at once" in table[0].noticed
    assert "unsaved work is lost" in table[1].noticed
    assert {line.window for line in table} == {"any hour"}


def test_deferrals_stand_in_the_table() -> None:
    plain = made(macs=1)
    later = {**DEFAULT_ACTIONS, Platform.MACOS: (InstallAction.INSTALL_LATER,)}
    plan = replace(plain.plan, actions=later, max_user_deferrals=5)
    (line,) = lines(replace(plain, plan=plan))
    assert line.action == "InstallLater, 5 deferrals"
    assert "at most 5 times" in line.noticed


def test_what_is_read_adds_up_and_names_what_is_hidden_and_stale() -> None:
    one = made(macs=3, pads=5, barred=2, force=True)
    keys = [member.key for member in one.members]
    widget = Confirm(one, Office(), hidden=keys[:2], hidden_by="Site is Lyon", stale=keys[2:5])
    view = widget.view
    assert view["by_command"] + view["by_declaration"] + view["barred"] + view["unknown"] == view["selected"] == 10
    assert (view["count"], view["forced"], view["hidden"], view["stale"]) == (8, 3, 2, 3)
    click(widget, kind="show", which="hidden")
    assert widget.chosen_devices == tuple(keys[:2])
    click(widget, kind="show", which="stale")
    assert widget.chosen_devices == tuple(keys[2:5])


def test_declared_devices_have_lines_of_their_own_and_are_counted_with_what_they_do_by_themselves() -> None:
    one = declared(made(macs=3, pads=5, barred=2))
    table = lines(one)
    assert [(line.platform, line.devices, line.declared) for line in table] == [
        (Platform.IPADOS, 5, False), (Platform.MACOS, 3, True),
    ]  # fmt: skip
    assert table[1].window == "by 19:00 its own time, 3 days after its assignment; a weekend moves to Monday"
    assert "at the deadline it installs and restarts" in table[1].noticed
    office = Office()
    widget = Confirm(one, office)
    view = widget.view
    assert (view["count"], view["by_command"], view["by_declaration"], view["barred"]) == (8, 5, 3, 2)
    assert view["no_way_back"]
    issue(armed(widget))
    assert len(office.begun) == 1


def test_a_plan_of_declarations_only_can_be_confirmed() -> None:
    office = Office()
    widget = Confirm(declared(made(macs=3)), office)
    assert (widget.view["count"], widget.view["by_command"]) == (3, 0)
    issue(armed(widget))
    assert len(office.begun) == 1


def declared(one: Draft) -> Draft:
    """The same draft, whose Macs go by declaration."""
    members = tuple(
        structs.replace(m, instrument=Instrument.DECLARATION) if m.platform == Platform.MACOS and not m.barrier else m
        for m in one.members
    )
    return replace(one, members=members)


# --- arming -----------------------------------------------------------------------------------------------------------


def test_two_clicks_of_one_display_begin_the_rollout_once() -> None:
    office = Office()
    widget = armed(Confirm(made(macs=3), office))
    issue(widget)
    assert (widget.stage, widget.rollout, len(office.begun)) == (Stage.ISSUED, 1, 1)
    issue(widget)
    click(widget, kind="read", nonce="one")
    issue(widget)
    assert len(office.begun) == 1


def test_force_wants_its_number_typed() -> None:
    office = Office()
    widget = Confirm(made(macs=12, pads=1_000, force=True), office)
    click(widget, kind="shown", nonce="one")
    click(widget, kind="read", nonce="one")
    for text in ("", "1", "1012", "12 000", "-12", "12.0"):
        click(widget, kind="typed", nonce="one", text=text)
        assert widget.stage is Stage.TYPE
        issue(widget)
    click(widget, kind="typed", nonce="one", text=" 12 ")
    assert widget.stage is Stage.ARMED
    click(widget, kind="typed", nonce="one", text="123")
    assert widget.stage is Stage.TYPE
    issue(widget)
    assert not office.begun
    click(widget, kind="typed", nonce="one", text="12")
    issue(widget)
    assert len(office.begun) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda widget: setattr(widget, "draft", made(macs=4)),
        lambda widget: setattr(widget, "draft", widget.draft),
        lambda widget: setattr(widget, "draft", None),
        lambda widget: setattr(widget, "hidden", [DeviceKey("lab", "D0000")]),
        lambda widget: setattr(widget, "stale", [DeviceKey("lab", "D0000")]),
        lambda widget: widget.consider(widget.draft),
        lambda widget: widget.disarm(),
        lambda widget: click(widget, kind="back"),
        lambda widget: click(widget, kind="shown", nonce="one"),
        lambda widget: click(widget, kind="shown", nonce="two"),
        lambda widget: click(widget, kind="closed", nonce="one"),
    ],
)
def test_any_change_disarms(change: object) -> None:
    office = Office()
    widget = armed(Confirm(made(macs=3), office))
    before = widget.stand["stamp"]
    assert callable(change)
    change(widget)
    assert widget.stage is Stage.READ
    issue(widget)
    issue(widget, stamp=before)
    assert not office.begun


def test_a_click_on_an_older_picture_is_not_taken() -> None:
    office = Office()
    widget = armed(Confirm(made(macs=3), office))
    old = widget.stand["stamp"]
    widget.draft = made(macs=900)
    armed(widget)
    issue(widget, stamp=old)
    assert not office.begun
    assert widget.stage is Stage.ARMED


def test_a_click_that_no_display_made_is_not_taken() -> None:
    office = Office()
    widget = Confirm(made(macs=3), office)
    click(widget, kind="read", nonce="made up")
    assert widget.stage is Stage.READ
    click(widget, kind="shown", nonce="")
    click(widget, kind="read", nonce="")
    assert widget.stage is Stage.READ
    armed(widget)
    issue(widget, nonce="made up")
    issue(widget, nonce="")
    click(widget, kind="issue", nonce="one")
    assert widget.wait()
    assert not office.begun


def test_what_runs_all_cells_can_do_issues_nothing() -> None:
    """Constructing, showing, and every public name of the class."""
    office = Office()
    widget = Confirm(made(macs=3), office)
    widget._repr_mimebundle_()
    public = set(vars(Confirm)) - {name for name in vars(Confirm) if name.startswith("_")}
    assert public == {
        "chosen_devices", "close", "consider", "disarm", "draft", "hidden", "rollout", "stage", "stale", "stand",
        "view", "wait",
    }  # fmt: skip
    widget.consider(made(macs=4))
    widget.disarm()
    assert widget.wait()
    assert not office.begun


def test_nothing_by_command_cannot_be_armed() -> None:
    widget = Confirm(made(barred=4), Office())
    click(widget, kind="shown", nonce="one")
    click(widget, kind="read", nonce="one")
    assert widget.stage is Stage.READ
    widget = Confirm(None, Office())
    click(widget, kind="shown", nonce="one")
    click(widget, kind="read", nonce="one")
    assert widget.stage is Stage.READ


def test_it_is_disarmed_before_anything_happens_and_while_it_does() -> None:
    office = Office()
    office.free.clear()
    widget = armed(Confirm(made(macs=3), office))
    stamp = widget.stand["stamp"]
    click(widget, kind="issue", nonce="one", stamp=stamp)
    assert widget.stage is Stage.ISSUING
    click(widget, kind="issue", nonce="one", stamp=stamp)
    widget.draft = widget.draft  # set anew while it is on its way
    assert widget.stage is Stage.ISSUING
    click(widget, kind="read", nonce="one")
    assert widget.stage is Stage.ISSUING
    office.free.set()
    assert widget.wait()
    assert len(office.begun) == 1
    assert widget.stage is Stage.ISSUED


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (RolloutError("Device D1 is in rollout 4.", remedy="Wait for its end."), "Wait for its end."),
        (ValueError("odd"), "Look first whether the rollout has begun"),
    ],
)
def test_a_refusal_shows_its_remedy_and_leaves_it_disarmed(fault: Exception, says: str) -> None:
    office = Office(fault=fault)
    widget = armed(Confirm(made(macs=3), office))
    issue(widget)
    assert widget.stage is Stage.READ
    assert says in widget.stand["error"]
    office.fault = None
    issue(widget)
    assert not office.begun
    issue(armed(widget))
    assert len(office.begun) == 1


def test_another_plan_wants_another_confirmation_and_the_used_one_stays_used() -> None:
    office = Office()
    first, second = made(macs=3), made(macs=3, name="another")
    widget = armed(Confirm(first, office))
    issue(widget)
    widget.draft = second
    assert widget.stage is Stage.READ
    widget.draft = first
    assert (widget.stage, widget.stand["rollout"]) == (Stage.ISSUED, 1)
    widget.draft = second
    issue(armed(widget))
    assert [one.plan.name for one in office.begun] == ["plan", "another"]


_CLICKS = st.sampled_from(
    ["shown one", "shown two", "closed one", "read one", "read two", "right one", "right two", "wrong one", "issue one",
     "issue two", "issue stale", "back", "other draft", "same draft"]
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(clicks=st.lists(_CLICKS, max_size=14), force=st.booleans())
def test_whatever_is_clicked_a_rollout_begins_only_from_the_armed_display_and_once(
    clicks: list[str], force: bool
) -> None:
    """The rule told again, by another way: the last clicks of the issuing display are read, (number,) issue."""
    office = Office()
    drafts = [made(macs=3, force=force), made(macs=4, force=force, name="other")]
    widget = Confirm(drafts[0], office)
    current, shown, progress, used = 0, set[str](), ("", 0), set[int]()
    expected: list[int] = []
    wanted = 2 if force else 1
    stale = widget.stand["stamp"]
    for what, _, who in (text.partition(" ") for text in clicks):
        if what == "shown":
            click(widget, kind="shown", nonce=who)
            shown.add(who)
            progress = ("", 0)
        elif what == "closed":
            click(widget, kind="closed", nonce=who)
            shown.discard(who)
            progress = ("", 0) if progress[0] == who else progress
        elif what == "read":
            click(widget, kind="read", nonce=who)
            if who in shown and progress == ("", 0) and current not in used:
                progress = (who, 1)
        elif what in ("right", "wrong"):
            click(widget, kind="typed", nonce=who, text=str(3 + current) if what == "right" else "7")
            if force and who in shown and progress[0] == who:
                progress = (who, 2 if what == "right" else 1)
        elif what == "back":
            click(widget, kind="back")
            progress = ("", 0)
        elif what in ("other", "same"):
            current = 1 - current if what == "other" else current
            widget.draft = drafts[current]
            progress = ("", 0)
        elif who == "stale":
            issue(widget, nonce=progress[0], stamp=stale)
        else:
            issue(widget, nonce=who)
            if progress == (who, wanted):
                expected.append(current)
                used.add(current)
                progress = ("", 0)
    assert [drafts.index(one) for one in office.begun] == expected  # type: ignore[arg-type]
    widget.close()


# --- with the kit itself ----------------------------------------------------------------------------------------------


def test_the_kit_begins_what_was_confirmed_and_refuses_it_a_second_time(tmp_path: Path) -> None:
    world = scene(tmp_path, 30)
    kit: Kit = world.kit
    planned = kit.plan(world.selection(), target=MACS, allow_major=True)
    widget = armed(Confirm(planned, kit))
    issue(widget)
    assert widget.rollout is not None
    status = kit.status(widget.rollout)
    assert status.selected == len(planned.members) == widget.view["selected"]
    assert status.selected - status.states["barred"] == widget.view["count"]
    again = armed(Confirm(kit.plan(world.selection(), target=MACS, allow_major=True), kit))
    issue(again)
    eventually(lambda: again.stage is Stage.READ)
    assert f"rollout {widget.rollout}" in again.stand["error"]
    assert len(kit.rollouts()) == 1


def test_who_needs_a_second_person_reads_so_before_the_first_click(tmp_path: Path) -> None:
    world = scene(tmp_path, 30)
    kit: Kit = world.kit
    keep_rule(kit, SecondPerson(over=3))
    planned = kit.plan(world.selection(), target=MACS, allow_major=True)
    widget = Confirm(planned, kit)
    assert widget.view["count"] > 3
    assert widget.view["another"]
    assert not Confirm(made(macs=3), kit).view["another"]
    issue(armed(widget))
    assert widget.rollout is not None
    assert kit.status(widget.rollout).approval
    widget.close()


def test_waves_are_named_with_their_size_opening_and_pace() -> None:
    plain = made(macs=1)
    canary = Wave(name="canary", who=Who(percent=10), pace=2)
    broad = Wave(name="broad", opens=Opening(done_share=0.9, soak_hours=24))
    plan = replace(plain.plan, waves=(canary, broad))
    assert waves(plain) == ()
    first, second = waves(replace(plain, plan=plan))
    assert first == "canary: 0 devices, at once, at most 2 devices under way at once"
    assert second.endswith("when 90% of the wave before are done, 24 hours later")
