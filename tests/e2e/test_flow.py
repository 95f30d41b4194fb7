"""The whole flow in a real JupyterLab: 482 of 100,000 devices by keyboard → plan → confirm → watch → retry → report.

With OSUPDATE_KIT_PICTURES=1 the pictures of the docs are taken on the way.
"""

import csv
import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from osupdate_kit.kit import Kit
from osupdate_kit.lab.fleet import makeup
from osupdate_kit.rehearsal import live_lab
from osupdate_kit.settings import Settings
from tests.e2e.jupyter import Lab, Notebook
from tests.paths import ROOT

pytestmark = pytest.mark.real_server

FLEET, CHOSEN = 100_000, 482
HOSTILE = ("<img src=x onerror=alert(1)>", '=HYPERLINK("http://x")', "\u202egpj.exe", "long" * 1000)
TOWN = "Flowtown"
REAL = CHOSEN - len(HOSTILE)
MINUTES = 60_000
CELLS = (
    "import osupdate_kit\nkit = osupdate_kit.connect({config!r})\ngrid = kit.grid(name='flow')\ngrid",
    "builder = kit.plan_builder(grid, targets=['26.6.1'])\nbuilder",
    "confirm = kit.confirm(builder, grid=grid)\nconfirm",
    "monitor = kit.rollout().monitor() if kit.rollouts() else 'No rollout has begun yet.'\nmonitor",
)


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """A fleet that lives, in a store that also knows a hundred thousand others from a list."""
    with live_lab(tmp_path / "lab", makeup("school"), REAL, speed=900) as settings_file:
        with closing(Kit.open(Settings.load(settings_file))) as kit:
            kit.sync(str(_others(tmp_path / "others.csv")), ask=False)
            real = pd.read_csv(settings_file.parent / "fleet.csv")[["serial"]]
            assert kit.enrich(real.assign(site=TOWN)).listed == REAL
            assert kit.count() == FLEET
        yield settings_file


def _others(path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["udid", "serial", "name", "platform", "site"])
        rows.writerows([f"HOSTILE-{n}", f"SH{n:05}", name, "iPadOS", TOWN] for n, name in enumerate(HOSTILE))
        rows.writerows([f"OTHER-{n}", f"SO{n:06}", f"Other {n}", "iPadOS", "Elsewhere"] for n in range(FLEET - CHOSEN))
    return path


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    yield page
    assert dialogs == []


def picture(of: Locator, name: str, *, height: int = 2400) -> None:
    """For the docs: the upper `height` pixels of it, in a window that holds the whole of it and nothing beside it."""
    if os.environ.get("OSUPDATE_KIT_PICTURES") != "1":
        return
    size = of.page.viewport_size
    assert size is not None
    of.page.set_viewport_size({"width": 1440, "height": 3600})
    of.scroll_into_view_if_needed()
    box = of.bounding_box()
    assert box is not None
    images = ROOT / "docs" / "images"
    images.mkdir(exist_ok=True)
    clip = {"x": box["x"], "y": box["y"], "width": box["width"], "height": min(box["height"], height)}
    of.page.screenshot(path=images / f"{name}.png", clip=clip)
    of.page.set_viewport_size(size)


def test_from_100_000_devices_to_a_report(lab: Lab, browser: Browser, page: Page, config: Path, tmp_path: Path) -> None:
    notebook = lab.open(page, *(cell.format(config=str(config)) for cell in CELLS))
    page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")  # the files beside it
    notebook.run_all()
    _select(notebook)
    _issue(notebook)
    _watch_and_retry(notebook)
    _report(notebook, browser, tmp_path / "reports")
    notebook.close()


def _select(notebook: Notebook) -> None:
    grid, keyboard = notebook.page.locator(".osk-grid"), notebook.page.keyboard
    line = grid.locator(".selection")
    expect(line).to_contain_text(f"of {FLEET:,} shown", timeout=MINUTES)
    grid.get_by_role("searchbox").focus()
    keyboard.type("SH0000")
    expect(line).to_contain_text(f"{len(HOSTILE)} of {FLEET:,} shown")
    expect(grid).to_contain_text(HOSTILE[0])
    assert grid.locator("img, script").count() == 0
    keyboard.press("Control+a")
    keyboard.type(TOWN)
    expect(line).to_contain_text(f"{CHOSEN} of {FLEET:,} shown")
    keyboard.press("ArrowDown")
    keyboard.press("Control+a")
    expect(line).to_contain_text(re.compile("^4[0-9]{2} selected"))
    picture(grid, "grid")


def _issue(notebook: Notebook) -> None:
    plan, confirm = notebook.page.locator(".osk-plan"), notebook.page.locator(".osk-confirm")
    target = plan.get_by_label("Target version")
    target.fill("26.6.1")
    plan.get_by_label("Major version").select_option("yes")
    expect(plan.locator(".figure")).to_contain_text(re.compile("of 4[0-9]{2} (take it|by command)"))
    issue = confirm.get_by_role("button", name=re.compile("^Issue to [0-9]+ devices"))
    expect(issue).to_be_disabled()
    expect(confirm.get_by_role("heading").first).to_contain_text("Issue ScheduleOSUpdate", timeout=MINUTES)
    picture(plan, "plan")
    picture(confirm, "confirm")
    confirm.get_by_role("button", name="I have read this").press("Enter")
    expect(issue).to_be_enabled()
    issue.click()
    expect(confirm.get_by_text("Rollout 1 has begun").first).to_be_visible(timeout=MINUTES)


def _watch_and_retry(notebook: Notebook) -> None:
    notebook.run_all()  # nothing is issued a second time; the last cell has a rollout now
    monitor = notebook.page.locator(".osk-monitor")
    done = monitor.locator(".headline b")
    expect(done).to_have_text(re.compile("^[1-9][0-9]+"), timeout=4 * MINUTES)  # ten or more devices ended
    expect(monitor.get_by_role("heading", name=re.compile("^Failed or expired: [1-9]"))).to_be_visible(
        timeout=4 * MINUTES
    )
    retry = monitor.get_by_role("button", name="Retry…").first
    expect(retry).to_be_visible(timeout=4 * MINUTES)
    picture(monitor, "monitor", height=1100)
    retry.press("Enter")
    sure = monitor.get_by_role("group", name="Are you sure?")
    sure.get_by_role("button", name=re.compile("^Retry [0-9]+")).press("Enter")
    expect(sure).to_have_count(0)
    counts = "with kit.ledger.read() as tx: print([a.count for a in tx.audits(1) if a.what == 'retry'])"
    assert re.fullmatch(r"\[[1-9][0-9]*(, [0-9]+)*\]", _until(notebook, counts)), "nobody was retried"
    assert notebook.run("print(len(kit.rollouts()))") == "1"


def _until(notebook: Notebook, code: str) -> str:
    """Ask the kernel until it has something to say."""
    for _ in range(60):
        if (said := notebook.run(code)) != "[]":
            return said
        notebook.page.wait_for_timeout(500)
    return "[]"


def _report(notebook: Notebook, browser: Browser, folder: Path) -> None:
    notebook.run(f"kit.rollout(1).report({str(folder)!r}, ['html', 'xlsx', 'csv'])")
    (path,) = folder.glob("*.html")
    report = browser.new_page(viewport={"width": 1280, "height": 900})
    asked: list[str] = []
    report.on("request", lambda request: asked.append(request.url))
    report.on("dialog", lambda dialog: asked.append(dialog.message))
    report.goto(path.as_uri())
    expect(report.get_by_role("heading").first).to_contain_text("26.6.1")
    expect(report.locator("body")).to_contain_text(re.compile("4[0-9]{2} selected"))
    picture(report.locator("section.first"), "report")
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    report.close()
