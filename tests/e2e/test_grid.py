"""The grid in a real JupyterLab: by keyboard, through re-runs, live, with hostile names, in both themes."""

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.conftest import OpenNotebook
from tests.e2e.jupyter import Notebook

pytestmark = pytest.mark.real_server

FLEET = """
from osupdate_kit.views.grid import DeviceGrid
from osupdate_kit.fleet.devices import DeviceKey
from tests.views.grids import fleet
frame = fleet(100_000)
frame.loc[frame.index[:482 * 7:7], "owner"] = "Éva Novák"
barred = {DeviceKey("school", frame.enrollment_id[at]): "Not supervised" for at in (7, 12)}
"""
SHOW = """
grid = DeviceGrid(frame, barred=barred, states={}, name="fleet", height=12, act="Plan for")
grid
"""


def grid_of(notebook: Notebook) -> Locator:
    grid = notebook.page.locator(".osk-grid")
    expect(grid.locator(".device").first).to_be_visible()
    return grid


def line_of(grid: Locator) -> Locator:
    return grid.locator(".selection")


def test_482_of_100_000_by_keyboard_alone_and_again_after_a_rerun(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(FLEET, SHOW)
    grid, keyboard = grid_of(notebook), notebook.page.keyboard
    expect(line_of(grid)).to_have_text(
        "Nothing selected · 100,000 of 100,000 shown · 2 can’t be selected, each with its reason"
    )
    grid.get_by_role("searchbox").focus()
    keyboard.press("ArrowDown")
    keyboard.press("/")
    keyboard.type("éva novák")
    expect(line_of(grid)).to_contain_text("482 of 100,000 shown")
    keyboard.press("ArrowDown")
    keyboard.press("Control+a")
    expect(line_of(grid)).to_have_text(re.compile("^481 selected · 482 of 100,000 shown · 1 can’t"))
    assert notebook.run("print(len(grid.selection), grid.selection.left_out['Not supervised'])") == "481 2"
    keyboard.press("End")
    last = grid.locator(".device[aria-rowindex='484']")
    expect(last).to_be_visible()
    expect(last.locator("[tabindex='0']")).to_be_focused()
    keyboard.press(" ")
    expect(last).to_have_attribute("aria-selected", "false")
    keyboard.press("Shift+ArrowUp")
    keyboard.press("Shift+ArrowUp")
    expect(line_of(grid)).to_contain_text("481 selected")
    keyboard.press("/")
    keyboard.press("Escape")
    expect(line_of(grid)).to_contain_text("100,000 of 100,000 shown")
    keyboard.type("lab-0000004")
    expect(line_of(grid)).to_contain_text("481 hidden by the filter")
    grid.get_by_role("button", name="481 hidden by the filter").press("Enter")
    expect(line_of(grid)).to_contain_text("481 of 100,000 shown: selected, but hidden by the filter")
    grid.get_by_role("button", name="Back to the filter").press("Enter")

    notebook.run_all()
    expect(line_of(grid)).to_contain_text("481 selected, 481 hidden by the filter")
    expect(grid.get_by_role("searchbox")).to_have_value("lab-0000004")
    assert notebook.run("print(len(grid.selection))") == "481"


def test_a_column_is_filtered_and_lifted_by_keyboard(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(FLEET, SHOW)
    grid, keyboard = grid_of(notebook), notebook.page.keyboard
    grid.locator(".device [role=gridcell]").nth(1).click()
    expect(line_of(grid)).to_contain_text("1 selected")
    keyboard.press("ArrowUp")
    expect(grid.get_by_role("button", name="Filter Name")).to_be_focused()
    for _ in range(4):
        keyboard.press("ArrowRight")
    expect(grid.get_by_role("button", name="Filter Site")).to_be_focused()
    keyboard.press("Enter")
    menu = grid.get_by_role("dialog", name="Filter Site")
    expect(menu.get_by_role("checkbox")).to_have_count(4)
    expect(menu.locator(".option").first).to_have_text(re.compile("(Lyon|Rome|Bern|Oslo)2[45],..."))
    expect(menu.get_by_role("checkbox").first).to_be_focused()
    keyboard.press("ArrowDown")
    keyboard.press(" ")
    expect(line_of(grid)).to_contain_text("25,00")
    keyboard.press("Escape")
    opener = grid.locator(".filter.set")
    expect(opener).to_be_focused()
    chosen = opener.inner_text()
    assert notebook.run("print(set(grid.shown.site))") == f"{{{chosen!r}}}"
    keyboard.press("Delete")
    expect(line_of(grid)).to_contain_text("100,000 of 100,000 shown")
    grid.get_by_role("button", name="Filter OS").press("Enter")
    keyboard.type("newest")
    expect(grid.locator(".fault")).to_contain_text("is no OS version")
    keyboard.press("Control+a")
    keyboard.type("27.0")
    expect(grid.locator(".empty")).to_contain_text("No device matches OS ≥ 27.0.")
    keyboard.press("Escape")
    grid.get_by_role("button", name="Clear the OS filter (100,000 match)").press("Enter")
    expect(line_of(grid)).to_contain_text("100,000 of 100,000 shown")
    keyboard.press("Tab")


def test_it_is_a_grid_for_screen_readers(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(FLEET, SHOW)
    grid = grid_of(notebook)
    table = grid.get_by_role("grid")
    expect(table).to_have_attribute("aria-rowcount", "100002")
    expect(table).to_have_attribute("aria-multiselectable", "true")
    expect(table.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "none")
    assert grid.locator(".port [tabindex='0']").count() == 1, "one Tab stop"
    barred = grid.locator(".device[aria-rowindex='10']")
    expect(barred).to_have_attribute("aria-disabled", "true")
    expect(barred).to_contain_text("Not supervised")
    barred.click(force=True)
    expect(line_of(grid)).to_contain_text("Nothing selected")
    sorter = table.get_by_role("columnheader", name="Free GB").get_by_role("button")
    sorter.click()
    sorter.click()
    expect(table.get_by_role("columnheader", name="Free GB")).to_have_attribute("aria-sort", "descending")
    expect(grid.locator(".device").first).to_contain_text("49.9")
    expect(grid.get_by_role("status")).to_contain_text("100,000 of 100,000 shown")


def test_names_stay_text(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(FLEET, SHOW)
    grid = grid_of(notebook)
    names = grid.locator(".device > div:nth-child(2)")
    assert names.nth(0).inner_text() == "<img src=x onerror=alert(1)>"
    assert names.nth(1).inner_text() == '=HYPERLINK("http://x")'
    assert grid.locator("img").count() == 0
    wide = names.nth(3).bounding_box()
    assert wide is not None
    assert wide["width"] < 400
    assert wide["height"] < 30
    names.nth(3).hover()
    expect(names.nth(3)).to_have_attribute("title", re.compile("^long long"))


def test_news_show_at_once_where_they_are_seen(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(FLEET, SHOW)
    grid = grid_of(notebook)
    row = grid.locator(".device").nth(4)
    name = row.locator("div").nth(1).inner_text()
    code = """
import threading
key = DeviceKey("school", frame.enrollment_id[4])
def tell():
    for state in ("queued", "downloading", "failed"):
        grid.update_states({key: state})
    grid.update_states({key: RowState("failed", "<b>No space</b>", armed=True)})
from osupdate_kit.views.grid import RowState
thread = threading.Thread(target=tell)
thread.start()
thread.join()
"""
    assert notebook.run(code) == ""
    chip = row.locator(".chip")
    expect(chip).to_have_text("Failed<b>No space</b>")
    expect(row.locator(".flag")).to_have_attribute("title", "armed")
    expect(row.locator("div").nth(1)).to_have_text(name)
    notebook.run("grid.trouble('The store can’t be reached.')")
    expect(grid.get_by_role("alert").filter(has_text="The store can’t be reached.")).to_be_visible()
    expect(chip).to_be_visible()


def test_pasted_serials_are_matched_and_the_rest_reported(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(FLEET, SHOW)
    grid = grid_of(notebook)
    grid.get_by_role("button", name="Paste serials…").click()
    grid.get_by_role("textbox", name="Serials").fill("C02X00000003\nC02X00000007, NOBODY")
    grid.get_by_role("button", name="Select these").click()
    expect(grid.get_by_role("dialog")).to_contain_text(
        "1 selected from the list · 1 can’t be selected · 1 not found: NOBODY"
    )
    notebook.page.keyboard.press("Escape")
    expect(grid.get_by_role("dialog")).to_have_count(0)
    expect(line_of(grid)).to_contain_text("1 selected")


@pytest.mark.parametrize("width", [1280, 1920])
def test_both_themes_are_legible(open_notebook: OpenNotebook, width: int) -> None:
    """Contrast of text on its ground, as computed by the browser, and nothing wider than the notebook."""
    notebook = open_notebook(FLEET, SHOW, width=width)
    grid = grid_of(notebook)
    notebook.run("grid.update_states({DeviceKey('school', e): s for e, s in zip(frame.enrollment_id, "
                 "('done', 'queued', 'deferred', 'held', 'silent', 'failed'))})")  # fmt: skip
    expect(grid.locator(".chip")).to_have_count(7 + 1)
    grid.locator(".device").first.click()
    for theme in ("light", "dark"):
        notebook.theme(theme)
        grid.scroll_into_view_if_needed()
        for name in (".chip", ".reason", ".selection", ".picked bdi", ".barred bdi", ".filter", ".sorter", "footer"):
            ratio = grid.locator(name).first.evaluate(_CONTRAST)
            assert ratio >= 4.5, (theme, name, ratio)
        overflow = grid.evaluate("node => node.scrollWidth - node.clientWidth")
        assert overflow <= 0


_CONTRAST = """node => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const over = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const grounds = [];
  for (let at = node; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
  const light = (colour) => {
    const [r, g, b] = colour.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const both = [light(over(grounds)), light(over([...grounds, getComputedStyle(node).color]))];
  const [less, more] = both.sort((a, b) => a - b);
  return (more + 0.05) / (less + 0.05);
}"""
