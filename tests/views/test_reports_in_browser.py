"""The HTML report in Chromium: it asks nothing of the network, hostile text stays text, all readers get the figures."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pypdf
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from plotly.offline import get_plotlyjs

from osupdate_kit.views.reports import browser, contents, report_of, write_report
from tests import real
from tests.views.fleets import AT, HOSTILE, all_charts, devices, report, status
from tests.views.test_reports import bars


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    found = browser() or real.missing("Chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    of = report(2_000)
    charts = [bars(of), bars(of, name="more-bars")]
    (written,) = write_report(report(2_000, drawn=charts), tmp_path_factory.mktemp("report"), ["html"])
    return written


class Watched:
    """A page and all that it did beside showing itself."""

    def __init__(self, page: Page) -> None:
        self.page, self.said = page, list[str]()
        page.on("dialog", lambda dialog: (self.said.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.said.append(request.url) if request.url.startswith("http") else None)


def opened(chromium: Browser, path: Path, **how: object) -> Watched:
    watched = Watched(chromium.new_context(**how).new_page())  # type: ignore[arg-type]
    watched.page.goto(path.as_uri())
    return watched


def drawn(page: Page) -> None:
    """Wait until both figures are there."""
    expect(page.locator("figure .plot .main-svg .barlayer")).to_have_count(2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_it_shows_itself_and_does_nothing_else(chromium: Browser, path: Path, scheme: str, width: int) -> None:
    watched = opened(chromium, path, color_scheme=scheme, viewport={"width": width, "height": 900})
    page = watched.page
    drawn(page)
    assert watched.said == []
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 21, 26)"}[scheme]
    paper = page.evaluate("document.querySelector('.plot .main-svg').style.background")
    assert paper == ground
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not page.locator("details").first.evaluate("e => e.open")
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")  # the table is one key away
    assert page.locator("details table").first.is_visible()


def test_the_kits_own_charts(chromium: Browser, tmp_path: Path) -> None:
    """Nothing that plotly does for them is against the policy of the page, and they need little room."""
    charts = all_charts()
    (written,) = write_report(report(2_000, drawn=charts), tmp_path, ["html"])
    assert written.stat().st_size <= len(get_plotlyjs().encode()) + 500_000
    watched = opened(chromium, written, viewport={"width": 390, "height": 844})
    expect(watched.page.locator("figure .plot .main-svg .infolayer")).to_have_count(len(charts))
    assert watched.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert watched.said == []


def test_hostile_names_stay_text(chromium: Browser, path: Path) -> None:
    watched = opened(chromium, path)
    drawn(watched.page)
    cells = watched.page.locator('[data-table="exceptions"] td').all_inner_texts()
    for text in (HOSTILE[0], HOSTILE[1], HOSTILE[8], HOSTILE[9]):
        assert any(text in cell for cell in cells)
    assert watched.page.locator("main img, main b script").count() == 0
    assert watched.said == []


def test_the_scheme_may_change_while_it_is_open(chromium: Browser, path: Path) -> None:
    page = opened(chromium, path, color_scheme="light").page
    drawn(page)
    page.emulate_media(color_scheme="dark")
    expect(page.locator(".plot .main-svg").first).to_have_css("background-color", "rgb(18, 21, 26)")


def test_without_scripts_the_tables_stand_for_the_figures(chromium: Browser, path: Path) -> None:
    page = opened(chromium, path, java_script_enabled=False).page
    assert page.locator("details table").first.is_visible()
    assert page.locator("details table").count() == 2
    assert page.get_by_role("heading", name="What blocks").is_visible()


def test_on_a_phone_every_chart_is_as_wide_as_the_screen(chromium: Browser, tmp_path: Path) -> None:
    charts = all_charts()
    (written,) = write_report(report(100, drawn=charts), tmp_path, ["html"])
    page = opened(chromium, written, viewport={"width": 390, "height": 844}).page
    plots = page.locator("figure .plot")
    expect(page.locator("figure .plot .main-svg .infolayer")).to_have_count(len(charts))
    assert {plot.evaluate("plot => plot.scrollWidth") for plot in plots.all()} == {358}
    page.get_by_text("The same as a table").nth(2).click()
    expect(page.locator('table[data-chart="funnel"]')).to_contain_text("deferred")  # what stands beside it elsewhere


def test_on_a_phone_rows_are_cards(chromium: Browser, path: Path) -> None:
    page = opened(chromium, path, viewport={"width": 390, "height": 844}).page
    cells = page.locator('[data-table="failures"] tbody tr').first.locator("td")
    tops = [cells.nth(place).bounding_box()["y"] for place in range(cells.count())]  # type: ignore[index]
    assert tops == sorted(set(tops))
    assert not page.locator('[data-table="failures"] thead').is_visible()


def test_print_is_light_and_its_first_page_says_it_all(chromium: Browser, path: Path) -> None:
    page = opened(chromium, path, color_scheme="dark").page
    drawn(page)
    printed = pypdf.PdfReader(BytesIO(page.pdf(prefer_css_page_size=True)))
    of = report(2_000)
    first = " ".join(printed.pages[0].extract_text().split())
    for text in (of.status.finding, "What blocks", "What next", of.status.deadline_at):
        assert text in first
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_every_table_has_its_name_and_heads(chromium: Browser, path: Path) -> None:
    page = opened(chromium, path).page
    drawn(page)
    for part in (contents.blocks, contents.failures, contents.exceptions, contents.states):
        table = part(report(2_000))
        found = page.get_by_role("table", name=table.title)
        assert found.get_by_role("columnheader").count() >= len(table.columns)
        assert found.get_by_role("row").count() == len(table.rows) + 1


def test_a_report_of_one_device(chromium: Browser, tmp_path: Path) -> None:
    of = report_of(
        status(1), lambda: devices(1), at=AT, known_at=AT, made_by=HOSTILE[0], store="SQLite", servers=("a",)
    )
    (written,) = write_report(of, tmp_path, ["html"])
    watched = opened(chromium, written)
    assert HOSTILE[0] in watched.page.locator("footer").inner_text()
    assert watched.said == []
