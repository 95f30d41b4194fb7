"""What people see of devices that go by declaration: told alike everywhere, and adding up."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from osupdate_kit.analysis.deadlines import ENDED, deadlines
from osupdate_kit.analysis.scope import Scope
from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.kit import Rollout
from osupdate_kit.kit.notebook import _row_state
from osupdate_kit.kit.watch import watch
from osupdate_kit.rollout.assignments import Said
from osupdate_kit.rollout.deadlines import Due
from osupdate_kit.stores.reader import reading
from osupdate_kit.views.grid.filters import ChoiceFilter
from osupdate_kit.views.grid.states import BY_DECLARATION, RowState, StateColumn, as_frame
from osupdate_kit.views.status import RolloutStatusView
from osupdate_kit.views.widgets import Subset, Watched
from osupdate_kit.views.widgets.reported import pending_words, report_words, who_installs
from osupdate_kit.views.widgets.sections import sections
from tests.views.declared import TARGET, WORDS, declared_scene
from tests.views.scene import Scene


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = declared_scene(tmp_path_factory.mktemp("fleet"))
    yield made
    made.kit.close()


@pytest.fixture(scope="module")
def rollout(world: Scene) -> Rollout:
    """Its first deadlines have passed, others are to come."""
    begun = world.kit.start(world.kit.plan(world.selection(), target=TARGET, **WORDS))
    world.run(3.4)
    return begun


@pytest.fixture(scope="module")
def status(rollout: Rollout) -> RolloutStatusView:
    return rollout.status()


@pytest.fixture
def look(world: Scene, rollout: Rollout) -> Watched:
    found = watch(world.kit, rollout.id).look("")
    assert found is not None
    return found


def test_states_by_instrument_sum_up_to_the_selected_and_deadlines_to_the_declared(status: RolloutStatusView) -> None:
    assert set(status.instruments) == {"command", "declaration", "none"}
    assert Counter(device.route for device in status.devices) == {
        route: sum(states.values()) for route, states in status.instruments.items()
    }
    assert sum(sum(states.values()) for states in status.instruments.values()) == status.selected
    declared = [device for device in status.devices if device.route == "declaration"]
    going = [device for device in declared if device.declaration]
    assert sum(status.deadlines.values()) == len(going) > 0
    assert all(device.deadline and device.time_left for device in going if device.declaration != Due.NOT_YET)
    late = sum(device.time_left.endswith("late") for device in declared)
    assert status.deadlines[Due.OVERDUE] == late > 0


def test_monitor_and_figures_and_today_count_deadlines_as_the_status_does(
    world: Scene, rollout: Rollout, status: RolloutStatusView, look: Watched
) -> None:
    assert {when.value: devices for when, devices in look.deadlines.items()} == status.deadlines
    with reading(world.kit.ledger.url) as backend:
        frame = deadlines(Scope.of(backend, rollout.id, now=world.kit.clock.now(), cadences=world.kit.cadences))
    counted = dict(zip(frame["due"], frame["devices"], strict=True))
    declared = sum(status.instruments["declaration"].values())
    assert counted.pop(ENDED) == declared - sum(status.deadlines.values())
    assert counted == status.deadlines
    assert list(counted) == [when.value for when in Due if when in counted]
    today = world.kit.today()
    assert today.deadlines == status.deadlines
    assert f"{status.deadlines[Due.OVERDUE]} by declaration are past the deadline" in today.finding
    assert "Deadlines of declarations" in today._repr_html_()


def test_the_monitor_shows_each_instrument_and_each_part_gives_its_devices(
    world: Scene, rollout: Rollout, look: Watched
) -> None:
    shown = sections(look)["instruments"]
    assert [row["route"] for row in shown["rows"]] == ["command", "declaration"]
    assert sum(row["devices"] for row in shown["deadlines"]) + shown["over"] == shown["declared"]
    assert shown["next"].endswith("left")
    watching = watch(world.kit, rollout.id)
    watching.look("")
    for row in shown["deadlines"]:
        assert len(watching.keys(Subset("due", row["due"]))) == row["devices"]
    for row in shown["rows"]:
        assert len(watching.keys(Subset("route", row["route"]))) == sum(row["states"].values())
    waits = sections(look)["waits"]["rows"]
    for row in waits:
        assert len(watching.keys(Subset("wait", row["value"]))) == row["devices"]
    assert any("deadline has passed" in row["words"] for row in waits)


def test_the_grid_says_how_long_is_left_and_that_it_goes_by_declaration(look: Watched) -> None:
    line = next(line for line in look.armed.lines if line.declaration.in_force)
    state = _row_state(line, look.head.now)
    assert state.declared
    assert state.armed
    assert state.detail.endswith(("left", "late"))


def test_a_story_tells_of_assignments_and_reports_and_of_each_only_what_is_new(
    world: Scene, rollout: Rollout, status: RolloutStatusView
) -> None:
    done = next(d for d in status.devices if d.route == "declaration" and d.state == "done")
    told = list(rollout.story(done.udid)["what"])
    wanted = ["Assigned the declaration", "Told of its declarations", "Our declaration is active"]
    assert [what for what in told if what in wanted] == wanted
    assert any(what.startswith("Reported 26.6.2") for what in told)
    assert told.count("Our declaration is active") == 1
    why = world.kit.why(done.udid)
    assert [one.what for one in why.story if not one.minor and one.rollout and one.what in wanted] == wanted
    assert "this proves the target" in " ".join(one.detail for one in why.story)


def test_why_names_the_deadline_the_time_left_and_what_the_device_says_is_pending(
    world: Scene, status: RolloutStatusView
) -> None:
    waiting = next(d for d in status.devices if d.declaration == "on the device" and d.platform == "macOS")
    why = world.kit.why(waiting.udid)
    part = why.now
    assert part is not None
    assert (part.instrument, part.declaration) == ("declaration", "on the device")
    assert part.deadline
    assert part.time_left == waiting.time_left
    assert f"it installs by {part.deadline} its own time, {part.time_left}." in why.finding
    assert "It says that 26.6.2 25G83, by " in why.finding
    assert "command" not in why.finding


def test_what_is_taken_back_says_so_until_the_device_knows(world: Scene, rollout: Rollout) -> None:
    """Pausing takes it back; a device that is away still has it."""
    world.kit.act("pause", rollout.id)
    world.turn()
    paused = rollout.status()
    assert {d.declaration for d in paused.devices if d.declaration} <= {
        "taken back, and the device not told yet", "not assigned any more", "on the device",
    }  # fmt: skip
    world.run(0.3)
    later = rollout.status()
    back = [d for d in later.devices if d.declaration == "not assigned any more"]
    assert later.deadlines[Due.TAKEN_BACK] == len(back) > 0
    assert not any(d.time_left or d.flags for d in back)
    assert any(one.what == "Declaration taken back" for one in world.kit.why(back[0].udid).story)
    world.kit.act("resume", rollout.id)
    world.run(0.2)
    assert Due.TAKEN_BACK not in rollout.status().deadlines


# --- a report in words ------------------------------------------------------------------------------------------------

ACTIVE = [["state", "waiting"], ["pending", "26.1 25B78"], ["pending_by", "2026-11-27T19:00:00"],
          ["why", "declaration"], ["declaration", "osupdate-kit-r1-x-update"], ["ours", "active, valid"]]  # fmt: skip


def test_a_report_is_told_by_what_is_news_in_it() -> None:
    assert report_words({"said": ACTIVE}, {}) == (
        "Our declaration is active",
        "Waiting for its deadline; pending 26.1 25B78, by Fri 27 Nov 19:00 its own time; begun by our declaration",
        False,
    )
    known = {what: Said(1, text) for what, text in ACTIVE}
    assert report_words({"said": ACTIVE}, known) == ("Reported its status", "nothing in it is new", True)
    assert report_words({"said": [["state", "downloading"], *ACTIVE[1:]]}, known)[:2] == ("Downloading", "")


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ([["ours", "inactive, invalid: Error.ConfigurationCannotBeApplied <b>no</b>"]],
         "Our declaration is invalid: Error.ConfigurationCannotBeApplied <b>no</b>"),
        ([["ours", "inactive, valid"]], "Our declaration is there, and not active"),
        ([["ours", "active, unknown"]], "Our declaration has arrived, and is not checked yet"),
        ([["ours", "not there"]], "Our declaration is not on it"),
        ([["failure", "1: no space"], ["state", "failed"]], "The update failed once: no space"),
        ([["failure", "3: "]], "The update failed 3 times: it names no reason"),
        ([["state", "a later word"]], "A later word"),
        ([["pending", ""]], "Reported its status"),
    ],
)  # fmt: skip
def test_invalid_inactive_and_failed_are_said_with_their_reasons(said: list[list[str]], title: str) -> None:
    assert report_words({"said": said}, {})[0] == title


def test_who_installed_is_the_install_reason_in_words() -> None:
    assert who_installs({"why": "declaration", "declaration": "osupdate-kit-r1-x-update"}) == "our declaration"
    assert who_installs({"why": "declaration", "declaration": "theirs"}) == "somebody else's declaration theirs"
    assert who_installs({"why": "install-tonight, auto-update"}) == (
        "its user, who chose tonight, the system by itself, by automatic updates"
    )
    assert who_installs({"why": "a later word"}) == "a later word"
    assert who_installs({}) == ""
    assert pending_words("26.1", "whenever") == "26.1, by whenever"
    assert pending_words("", "") == ""


def test_the_grids_state_filter_narrows_to_those_by_declaration() -> None:
    column = StateColumn(5)
    news = {
        DeviceKey("s", "0"): RowState("done", declared=True),
        DeviceKey("s", "1"): RowState("done"),
        DeviceKey("s", "2"): RowState("queued", declared=True),
        DeviceKey("s", "3"): RowState("queued"),
    }
    column.update(np.arange(4), as_frame(news))
    wanted = {
        ("done",): [0, 1], (BY_DECLARATION,): [0, 2], ("done", BY_DECLARATION): [0], ("",): [4],
        ("done", "queued", BY_DECLARATION): [0, 2],
    }  # fmt: skip
    for values, rows in wanted.items():
        assert np.flatnonzero(column.fits(ChoiceFilter(values))).tolist() == rows
    choices = {choice.value: choice.devices for choice in column.choices(np.ones(5, bool))}
    assert choices == {"done": 2, "queued": 2, "": 1, BY_DECLARATION: 2}
    assert np.flatnonzero(column.has("declaration")).tolist() == [0, 2]


def test_figures_by_instrument_are_drawn_where_some_go_by_declaration(
    rollout: Rollout, status: RolloutStatusView
) -> None:
    made = {chart.name: chart for chart in rollout.charts()}
    assert {
        "states-by-instrument", "deadlines", "failures-by-instrument", "adoption-by-instrument",
        "time-to-update-by-instrument",
    } <= set(made)  # fmt: skip
    strips = made["states-by-instrument"].table
    assert int(strips["Devices"].sum()) == status.selected
    declared = sum(status.instruments["declaration"].values())
    assert int(made["deadlines"].table["Devices"].sum()) == declared
    assert f"{declared} by declaration = " in made["deadlines"].note
    frame = rollout.devices()
    assert frame["enforce_at"].notna().sum() == sum(device.deadline is not None for device in status.devices)
