"""Plan, confirm and monitor in a real JupyterLab: by keyboard, re-run, live, with hostile names, in both themes."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import OpenNotebook
from tests.e2e.jupyter import Notebook

pytestmark = pytest.mark.real_server

WORLD = """
import tempfile
from pathlib import Path
from osupdate_kit.views.widgets import Confirm, PlanBuilder
from tests.views.scene import MACS, PADS, scene
if "world" not in globals():
    world = scene(Path(tempfile.mkdtemp()), 60)
    kit = world.kit
"""
PLAN = "builder = PlanBuilder(world.selection(), kit, targets=[PADS])\nbuilder"
CONFIRM = """
builder.wait()
confirm = Confirm(builder.draft, kit)
builder.observe(lambda change: confirm.consider(builder.draft), "preview")
confirm
"""
MONITOR = """
words = {"actions": ["macOS=InstallLater"], "max_user_deferrals": 5, "allow_major": True}
rollout = kit.start(kit.plan(world.selection(), target=MACS, **words))
world.run(1.5)
monitor = rollout.monitor()
monitor
"""
ROLLOUTS = "print(len(kit.rollouts()))"


def until(holds: Callable[[], bool]) -> None:
    """A click goes to the kernel by a way of its own: what is asked beside it may come first."""
    for _ in range(50):
        if holds():
            return
    raise AssertionError("it never came")


def widget(notebook: Notebook, kind: str) -> Locator:
    found = notebook.page.locator(f".osk-{kind}")
    expect(found).to_be_visible()
    return found


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.textContent"))


def test_a_plan_typed_by_keyboard_is_confirmed_in_three_steps_and_run_all_does_nothing(
    open_notebook: OpenNotebook,
) -> None:
    notebook = open_notebook(WORLD, PLAN, CONFIRM)
    plan, confirm, keyboard = widget(notebook, "plan"), widget(notebook, "confirm"), notebook.page.keyboard
    expect(plan.locator(".figure")).to_contain_text("by command")

    target = plan.get_by_label("Target version")
    target.focus()
    keyboard.press("Control+a")
    keyboard.type("15.")  # letters and dots stay out of the notebook's command mode
    expect(plan.get_by_text("is no OS version")).to_be_visible()
    expect(target).to_have_attribute("aria-invalid", "true")
    expect(confirm.get_by_role("heading")).to_have_text("Nothing to issue")
    keyboard.type("7.2")
    expect(target).to_have_attribute("aria-invalid", "false")
    plan.get_by_label(re.compile("^Mac,")).select_option("InstallForceRestart")
    expect(plan.locator(".notes")).to_contain_text("unsaved work is lost")
    macs = int(notebook.run("builder.wait(); print(builder.preview['by_command'])"))
    assert macs > 1
    expect(plan.locator(".figure b")).to_have_text(str(macs))
    plan.get_by_role("button", name=re.compile("^[0-9]+ it runs the target or newer")).press("Enter")
    there = "print(len(builder.chosen_devices) == sum(m.barrier == 'already_there' for m in builder.draft.members) > 0)"
    until(lambda: notebook.run(f"builder.wait(); {there}") == "True")

    issue = confirm.get_by_role("button", name=f"Issue to {macs} devices")
    expect(confirm.get_by_role("heading")).to_have_text(f"Issue ScheduleOSUpdate to {macs} devices")
    expect(issue).to_be_disabled()
    read = confirm.get_by_role("button", name="I have read this")
    number = confirm.get_by_label("Type the number")
    read.press("Enter")
    expect(number).to_be_focused()
    keyboard.type(f"{macs}0")
    expect(confirm.get_by_text(f"{macs}0 is not {macs}.")).to_be_visible()
    expect(issue).to_be_disabled()
    keyboard.press("Backspace")
    expect(issue).to_be_enabled()

    notebook.run_all()  # the armed one is gone, the new one has not been read
    expect(read).to_be_visible()
    expect(issue).to_be_disabled()
    issue.dispatch_event("click")
    notebook.page.evaluate("document.querySelector('.osk-confirm button.danger').disabled = false")
    issue.click()  # a forced look protects nothing, and harms nothing
    assert notebook.run("confirm.wait(); print(confirm.stage, len(kit.rollouts()))") == "read 0"
    expect(plan.get_by_label("Target version")).to_have_value("15.7.2")  # what was typed is found again

    read.press("Enter")
    expect(number).to_be_focused()
    keyboard.type(str(macs))
    expect(issue).to_be_enabled()
    plan.get_by_label("Tries per step").fill("2")  # any change disarms
    expect(read).to_be_enabled()
    expect(issue).to_be_disabled()
    read.press("Enter")
    expect(number).to_be_focused()
    keyboard.type(str(macs))
    expect(issue).to_be_enabled()
    issue.dblclick()
    expect(confirm.get_by_text("Rollout 1 has begun").first).to_be_visible()
    assert notebook.run(f"confirm.wait(); {ROLLOUTS}") == "1"
    notebook.run_all()
    assert notebook.run(f"confirm.wait(); {ROLLOUTS}") == "1"


def test_a_rollout_is_watched_halted_and_told_of(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(WORLD, MONITOR)
    page, monitor, keyboard = notebook.page, widget(notebook, "monitor"), notebook.page.keyboard
    expect(monitor.locator(".headline")).to_contain_text("of 60 done")
    expect(monitor.locator(".sum").first).to_contain_text("60 selected = ")

    # live: what the store learns shows by itself
    before = int(monitor.locator(".headline b").inner_text())
    notebook.run("world.run(2)")
    after = int(notebook.run("print(rollout.status().states['done'])"))
    assert after > before
    expect(monitor.locator(".headline b")).to_have_text(str(after))
    failed = notebook.run("print(rollout.status().states.get('failed', 0))")
    expect(monitor.get_by_role("heading", name=f"Failed or expired: {failed}")).to_be_visible()

    # halt: a second step in place, which can be left
    monitor.get_by_role("button", name="Halt…").press("Enter")
    sure = monitor.get_by_role("group", name="Are you sure?")
    expect(sure).to_contain_text("Nothing more is sent until a person resumes it.")
    expect(sure.get_by_role("textbox")).to_be_focused()
    keyboard.press("Escape")
    expect(sure).to_have_count(0)
    assert focused(page) == "Halt…"
    keyboard.press("Enter")
    keyboard.type("too many fail")
    sure.get_by_role("button", name="Halt now").press("Enter")
    expect(monitor.get_by_text("Halt is asked for")).to_be_visible()
    notebook.run("world.turn()")
    expect(monitor.locator(".pill")).to_have_text("Halted")
    expect(monitor.locator("[role=alert]")).to_have_text("The rollout is halted. too many fail")
    expect(monitor.get_by_role("button", name="Pause")).to_have_count(0)

    # a part, a device of it, its story, what it said
    done = monitor.get_by_role("button", name="Done", exact=True)
    done.press("Enter")
    drawer = monitor.get_by_role("region", name="Devices of a part")
    expect(drawer.get_by_role("heading")).to_contain_text(f"Done: {after} device")
    assert notebook.run("monitor.wait(); print(len(monitor.chosen_devices))") == str(after)
    drawer.locator("button.who").first.press("Enter")
    story = monitor.get_by_role("region", name="A device's story")
    expect(story.locator(".story li").last).to_contain_text("this proves the target")
    expect(story.locator(".story")).to_contain_text("ScheduleOSUpdate queued")
    story.get_by_role("button", name="What it said, redacted").last.press("Enter")
    expect(story.locator("pre")).to_contain_text("OSVersion")
    monitor.get_by_label("Whose story").fill("nobody")
    keyboard.press("Enter")
    expect(story).to_contain_text("No device of this rollout is nobody.")


WAVES = """
waves = [
    {"name": "canary", "who": {"cover": ["platform"]}},
    {"name": "pilot", "who": {"percent": 30}, "pace": 5, "opens": {"by_hand": True}},
    {"name": "broad", "opens": {"done_share": 0.9, "soak_hours": 24}},
]
limits = {"failures": 1}
rollout = kit.start(kit.plan(world.selection(), target=PADS, waves=waves, limits=limits, allow_major=True, tries=1))
world.turn()
monitor = rollout.monitor()
monitor
"""


def test_a_waiting_wave_is_opened_and_a_halt_lifted(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(WORLD, WAVES)
    monitor, keyboard = widget(notebook, "monitor"), notebook.page.keyboard
    lanes = monitor.locator(".lane")
    expect(lanes).to_have_count(4)  # the barred ones are in none
    expect(lanes.nth(1)).to_contain_text("waits: a person to open it")
    monitor.get_by_role("button", name="Open…").first.press("Enter")
    sure = monitor.get_by_role("group", name="Are you sure?")
    expect(sure).to_contain_text("Wave pilot begins at once")
    sure.get_by_role("button", name="Open pilot").press("Enter")
    expect(monitor.get_by_text("Open is asked for")).to_be_visible()
    notebook.run("world.turn()")
    expect(lanes.nth(1)).to_contain_text("by ann, at most 5 devices under way at once")

    notebook.run("world.run(4)")
    expect(monitor.locator(".pill")).to_have_text("Halted")
    halt = monitor.locator(".note", has_text="Halted:").first
    expect(halt).to_contain_text("all devices")
    halt.get_by_role("button", name="Lift…").press("Enter")
    expect(sure).to_contain_text("is judged by what happens from now on")
    keyboard.press("Escape")
    expect(sure).to_have_count(0)
    halt.get_by_role("button", name="Lift…").press("Enter")
    sure.get_by_role("button", name="Let all devices go on").press("Enter")
    expect(monitor.get_by_text("Lift is asked for")).to_be_visible()
    notebook.run("world.turn()")
    expect(monitor.locator(".pill")).to_have_text("Running")


def test_names_from_devices_stay_text_in_both_themes(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(WORLD, MONITOR)
    page, monitor = notebook.page, widget(notebook, "monitor")
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    story = monitor.get_by_role("region", name="A device's story")
    serials = notebook.run(
        "from tests.views.scene import HOSTILE\n"
        "named = {d.name: d.serial for d in kit.inventory()}\nprint(*[named[name] for name in HOSTILE])"
    ).split()
    for serial, shown in zip(
        serials, ("<img src=x onerror=alert(1)>", "=HYPERLINK(", "gnp.exe", "x" * 199), strict=True
    ):
        monitor.get_by_label("Whose story").fill(serial)
        page.keyboard.press("Enter")
        expect(story.get_by_role("heading")).to_contain_text(shown)
        box, card = story.get_by_role("heading").bounding_box(), story.bounding_box()
        assert box is not None
        assert card is not None
        assert box["width"] <= card["width"]
    assert monitor.locator("img, script").count() == 0
    assert dialogs == []
    grounds = []
    for theme in ("light", "dark"):
        notebook.theme(theme)
        style = "node => [getComputedStyle(node).backgroundColor, getComputedStyle(node).color].join()"
        grounds.append(monitor.evaluate(style))
    assert grounds == ["rgb(255, 255, 255),rgb(21, 24, 30)", "rgb(18, 21, 26),rgb(240, 242, 245)"]


SECOND = """
from osupdate_kit.kit import Kit, Rollout
from osupdate_kit.rollout.people import SecondPerson
with kit.ledger.write() as tx:
    tx.set_second_person(SecondPerson(1))
rollout = kit.start(kit.plan(world.selection(), target=MACS, allow_major=True))
world.turn()
bob = Kit(kit.ledger, kit.servers, kit.clock, kit.cadences, who="bob")
monitor = Rollout(bob, rollout.id).monitor()
monitor
"""


def test_a_second_person_approves_in_the_monitor(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(WORLD, SECOND)
    monitor = widget(notebook, "monitor")
    expect(monitor.get_by_text("its plan waits for another person")).to_be_visible()
    expect(monitor.get_by_text("for another person to approve of the plan").first).to_be_visible()
    monitor.get_by_role("button", name="Approve…").press("Enter")
    sure = monitor.get_by_role("group", name="Are you sure?")
    expect(sure).to_contain_text("You are the second person")
    sure.get_by_role("button", name="Approve").press("Enter")
    expect(monitor.get_by_text("Approve is asked for")).to_be_visible()
    notebook.run("world.turn()")
    expect(monitor.get_by_text("Approve is done.")).to_be_visible()
    expect(monitor.get_by_role("button", name="Approve…")).to_have_count(0)


NEEDS_ANOTHER = """
from osupdate_kit.rollout.people import SecondPerson
with kit.ledger.write() as tx:
    tx.set_second_person(SecondPerson(1))
confirm = Confirm(kit.plan(world.selection(), target=MACS, allow_major=True), kit)
confirm
"""


def test_a_confirmation_says_before_and_after_that_a_second_person_is_needed(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(WORLD, NEEDS_ANOTHER)
    confirm = widget(notebook, "confirm")
    expect(confirm.get_by_text("A second person has to approve.")).to_be_visible()
    confirm.get_by_role("button", name="I have read this").press("Enter")
    issue = confirm.get_by_role("button", name=re.compile("^Issue to"))
    expect(issue).to_be_enabled()
    issue.press("Enter")
    expect(confirm.get_by_text("waits for another person: osupdate-kit rollout approve 1")).to_be_visible()
