"""Reports: the same numbers in every format, text that stays text, files that are whole."""

import base64
import csv
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import mkdtemp

import openpyxl
import pandas as pd
import pypdf
import pytest
from bs4 import BeautifulSoup
from plotly.offline import get_plotlyjs

from osupdate_kit.errors import ReportError
from osupdate_kit.rollout.needs import IN_NEED
from osupdate_kit.views.charts import Chart
from osupdate_kit.views.charts.canvas import Canvas
from osupdate_kit.views.charts.words import label
from osupdate_kit.views.reports import Format, Report, browser, contents, report_of, write_report
from osupdate_kit.views.reports.contents import Kind, Table
from osupdate_kit.views.reports.html import html_report
from osupdate_kit.views.reports.pdf import pdf_report
from osupdate_kit.views.reports.text import shown
from osupdate_kit.views.reports.value import SHOWN
from tests import real
from tests.views import fleets
from tests.views.fleets import AT, HOSTILE, device, devices, report, status

DEVICES = 2_000
PARTS = (
    contents.blocks, contents.instruments, contents.deadlines, contents.failures, contents.deferrals,
    contents.exceptions, contents.barred, contents.acts, contents.states,
)  # fmt: skip
WHOLE = (
    contents.summary, contents.states, contents.instruments, contents.deadlines, contents.failures, contents.deferrals,
    contents.barred, contents.acts,
)  # fmt: skip


def needs_chromium() -> None:
    if browser() is None:
        real.missing("Chromium")


@cache
def value() -> Report:
    return report(DEVICES)


@cache
def files() -> dict[str, Path]:
    """All formats of one report, by their endings."""
    needs_chromium()
    with_chart = report(DEVICES, drawn=[bars(value())])
    folder = Path(mkdtemp(prefix="reports-"))
    return {
        path.name.removeprefix("rollout-7-2026-11-24"): path for path in write_report(with_chart, folder, list(Format))
    }


def bars(of: Report, *, name: str = "bars") -> Chart:
    """A small chart, so that these tests do not depend on a particular one."""
    states = contents.states(of)
    table = pd.DataFrame(
        {"State": [label(str(row[0])) for row in states.rows], "Devices": [row[1] for row in states.rows]}
    )

    def draw(canvas: Canvas) -> None:
        canvas.figure.add_bar(x=table["State"], y=table["Devices"], marker_color=canvas.fill("done"))
        canvas.frame(left=48, right=16, bottom=80)

    return Chart(
        name=name, title="Most are done", subtitle="Devices by state", note=f"{of.status.reconciliation}\nas of then",
        as_of=AT, known_by=AT, table=table, draw=draw,
    )  # fmt: skip


@cache
def soup() -> BeautifulSoup:
    return BeautifulSoup(files()[".html"].read_text("utf-8"), "html.parser")


@cache
def pdf_text() -> str:
    """Without blanks: where a line ends is the page's affair."""
    text = "".join(page.extract_text() for page in pypdf.PdfReader(files()[".pdf"]).pages)
    return squeezed(re.sub(r"osupdate-kit · rollout 7 · as of .* \d+ / \d+", "", text))


def squeezed(text: str) -> str:
    return re.sub(r"[\s\N{ZERO WIDTH SPACE}]+", "", text)


def words(table: Table) -> list[list[str]]:
    return [
        [
            label(str(cell)) if column.kind is Kind.STATE else shown(cell)
            for column, cell in zip(table.columns, row, strict=True)
        ]
        for row in table.rows
    ]


# --- the same numbers everywhere -------------------------------------------------------------------------------------


def test_value_counts_what_the_devices_say() -> None:
    of = value()
    fleet = [device(number) for number in range(DEVICES)]
    lost = [one for one in fleet if one.state in ("failed", "expired")]
    assert {cause.name: cause.devices for cause in of.failures} == {
        name: sum(one.failure_class == name for one in lost) for name in {one.failure_class for one in lost}
    }
    assert sum(kind.devices for kind in of.deferrals) == sum(one.state in ("deferred", "not_now") for one in fleet)
    assert (
        sum(cause.devices for cause in of.barred) == of.count("barred") == sum(one.state == "barred" for one in fleet)
    )
    assert of.needs_person == sum(one.state in IN_NEED for one in fleet)
    assert f"{of.needs_person} need a person" in of.status.finding
    assert [one.state for one in of.exceptions] == ["failed"] * SHOWN


def test_three_sentences_name_every_device_once() -> None:
    of = value()
    first, second, third = ["".join(run.text for run in sentence) for sentence in contents.lead(of)]
    numbers = lambda text: [int(n.replace(",", "")) for n in re.findall(r"\d[\d,]*(?![\d.])", text)]  # noqa: E731
    done, selected = numbers(first)[:2]
    moving, *moving_parts = numbers(second)
    person, *others = numbers(third)
    assert moving == sum(moving_parts)
    assert selected == DEVICES == done + moving + person + sum(others)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_html_says_what_the_value_says(part) -> None:  # type: ignore[no-untyped-def]
    table = part(value())
    found = soup().find("table", {"data-table": table.name})
    assert found is not None
    rows = [
        [cell.get_text() for cell in row.find_all("td", {"data-head": True})]
        for row in found.find("tbody").find_all("tr")
    ]
    assert rows == words(table)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_pdf_says_what_the_value_says(part) -> None:  # type: ignore[no-untyped-def]
    table, text = part(value()), pdf_text()
    assert squeezed(table.what) in text
    for row in words(table):
        if not any("\u202e" in cell or "\ufffd" in cell for cell in row):  # typst sets these another way round
            assert squeezed("".join(row)) in text, row


def test_sentences_stand_in_html_and_pdf() -> None:
    of = value()
    page = squeezed(soup().find("main").get_text())
    for sentence in (*contents.lead(of), *contents.next_steps(of)):
        text = squeezed("".join(run.text for run in sentence))
        assert text in page
        assert text in pdf_text()
    for text in (of.status.finding, of.status.reconciliation, *(meaning for _, meaning in contents.method(of))):
        assert squeezed(text) in page
        assert squeezed(text) in pdf_text()


def sheets() -> Iterator[tuple[str, list[tuple[object, ...]]]]:
    book = openpyxl.load_workbook(files()[".xlsx"])
    for sheet in book.worksheets:
        assert sheet.freeze_panes == "A2"
        assert sheet.auto_filter.ref == sheet.dimensions
        yield sheet.title, list(sheet.iter_rows(min_row=2, values_only=True))


def test_excel_says_what_the_value_says() -> None:
    of, found = value(), dict(sheets())
    for part in WHOLE:
        table = part(of)
        expected = [
            tuple(
                None if cell in (None, "") else label(str(cell)) if column.kind is Kind.STATE
                else cell.replace(tzinfo=None, microsecond=0) if column.kind is Kind.MOMENT else cell
                for column, cell in zip(table.columns, row, strict=True)
            )
            for row in table.rows
        ]  # fmt: skip
        if table.name != "summary":
            assert found[table.name] == expected, table.name
    assert dict(found["summary"])["Devices"] == DEVICES
    assert len(found["devices"]) == DEVICES
    assert len(found["exceptions"]) == of.needs_person
    assert [serial for (serial,) in found["armed"]] == list(of.status.armed)
    by_state = pd.Series([row[4] for row in found["devices"]]).value_counts().to_dict()
    assert by_state == {label(state): number for state, number in of.status.states.items()}


def rows_of(name: str) -> list[list[str]]:
    raw = files()[f"-{name}.csv"].read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(raw.decode("utf-8-sig").splitlines(keepends=True)))


def test_csv_says_what_the_value_says() -> None:
    of = value()
    for part in WHOLE[1:-1]:
        table = part(of)
        heads, *rows = rows_of(table.name)
        assert heads == [column.head for column in table.columns]
        assert rows == [["" if cell is None else str(cell) for cell in row] for row in table.rows]
    heads, *rows = rows_of("devices")
    assert len(rows) == DEVICES
    assert pd.Series([row[heads.index("state")] for row in rows]).value_counts().to_dict() == of.status.states
    assert len(rows_of("exceptions")) == of.needs_person + 1
    assert len(rows_of("chart-bars")) == len(contents.states(of).rows) + 1


def test_the_instruments_and_the_deadlines_add_up_and_each_device_has_its_own() -> None:
    of = value()
    *groups, whole = contents.instruments(of).rows
    assert [sum(column) for column in zip(*(row[1:] for row in groups), strict=True)] == list(whole[1:])
    assert whole[-1] == DEVICES
    declared = whole[[column.head for column in contents.instruments(of).columns].index("By declaration")]
    assert sum(row[1] for row in contents.deadlines(of).rows) == declared  # type: ignore[misc]
    heads, *rows = rows_of("devices")
    dated = [row for row in rows if row[heads.index("deadline (UTC)")]]
    assert len(dated) == declared
    assert {row[heads.index("route")] for row in dated} == {"declaration"}
    heads, *rows = rows_of("exceptions")
    assert heads[-3:] == ["Instrument", "Deadline (UTC)", "Time left"]
    assert {row[-3] for row in rows} == {"command", "declaration"}


def test_a_rollout_by_command_alone_has_no_word_of_declarations() -> None:
    of = value()
    alone = replace(of.status, instruments={"command": dict(of.status.states)}, deadlines={})
    plain = replace(of, status=alone)
    assert contents.of_declarations(plain) == ()
    assert "By" not in [column.head for column in contents.exceptions(plain).columns]
    assert "declaration" not in " ".join(meaning for _, meaning in contents.method(plain))


def test_devices_that_do_not_add_up_are_not_reported(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"do not add up .*one transaction"):
        report_of(status(100), lambda: devices(99), at=AT, known_at=AT, made_by="", store="", servers=())
    passes = iter((devices(100), devices(101)))
    of = report_of(status(100), lambda: next(passes), at=AT, known_at=AT, made_by="", store="", servers=())
    with pytest.raises(ReportError, match="do not add up"):
        write_report(of, tmp_path, ["csv", "html"])
    assert list(tmp_path.iterdir()) == []


# --- text stays text -------------------------------------------------------------------------------------------------


def test_hostile_text_is_in_the_data_files_whole() -> None:
    serials = {one.serial for one in map(device, range(DEVICES)) if one.serial in HOSTILE}
    assert len(serials) == len(HOSTILE)
    plain = {re.sub("[\x00-\x08\x0e-\x1f]", "\ufffd", serial) for serial in serials}
    heads, *rows = rows_of("devices")
    assert plain <= {row[heads.index("serial")].removeprefix("'") for row in rows}
    assert {text.replace("\r", "") for text in plain} <= {
        str(row[1]).replace("_x000D_", "").replace("\r", "") for row in dict(sheets())["devices"]
    }


def test_nothing_in_csv_or_excel_is_a_formula() -> None:
    for name in files():
        if name.endswith(".csv"):
            for row in rows_of(name[1:-4]):
                assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row), row
    for sheet in openpyxl.load_workbook(files()[".xlsx"]).worksheets:
        for row in sheet.iter_rows():
            for cell in row:
                assert cell.data_type != "f"
                assert cell.hyperlink is None


def test_pdf_sets_markup_as_text() -> None:
    for text in (HOSTILE[0], HOSTILE[1], HOSTILE[8]):
        assert squeezed(text) in pdf_text()


@pytest.mark.parametrize("reason", ["", "Too many of the pilot group failed within an hour. " * 5])
def test_the_first_page_holds_all_that_blocks_and_comes_next(reason: str) -> None:
    needs_chromium()
    of = report(DEVICES, drawn=fleets.all_charts()[:2])
    of = replace(of, status=replace(of.status, name="November security " * 4, status="halted", reason=reason))
    assert len(contents.blocks(of).rows) == 8
    first, second = (squeezed(page.extract_text()) for page in pypdf.PdfReader(BytesIO(pdf_report(of))).pages[:2])
    for step in contents.next_steps(of):
        assert squeezed("".join(run.text for run in step)) in first
    assert second.startswith("Progress")


def test_names_of_files_come_from_the_rollout_only() -> None:
    assert all(re.fullmatch(r"(-[a-z-]+)?\.(html|pdf|xlsx|csv)", name) for name in files())


# --- the HTML file ---------------------------------------------------------------------------------------------------


def test_html_has_no_address_and_no_handler() -> None:
    for tag in soup().find_all(True):
        for name in tag.attrs:
            assert name not in ("src", "href", "srcset", "action", "data", "poster", "style", "xlink:href"), tag
            assert not name.startswith("on"), tag
    assert {tag.name for tag in soup().find_all(["img", "link", "iframe", "object", "form", "base"])} == set()
    assert "@import" not in str(soup().style)


def test_html_names_every_script_and_style_by_its_hash() -> None:
    policy = soup().find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
    parts = dict(part.split(" ", 1) for part in str(policy).split("; "))
    assert parts["default-src"] == "'none'"
    assert "unsafe" not in parts["script-src"]
    assert "unsafe" not in parts["style-src"]
    for tag in soup().find_all(["script", "style"]):
        if tag.get("type") != "application/json":
            found = base64.b64encode(hashlib.sha256(tag.string.encode()).digest()).decode()
            assert f"'sha256-{found}'" in parts[f"{tag.name}-src"]


def test_html_is_plotly_and_little_more() -> None:
    size = files()[".html"].stat().st_size
    assert size <= len(get_plotlyjs().encode()) + 500_000
    assert len(html_report(report(20_000))) <= 1.1 * len(html_report(report(2_000)))
    assert "plotly" not in html_report(value())  # without charts it is not needed


def test_figures_have_text_alternatives_and_their_table() -> None:
    figure = soup().find("figure")
    assert figure.find("div", {"role": "img"})["aria-label"].startswith("Most are done.")
    assert figure.find("details").has_attr("open")  # closed by the script that draws
    cells = [[cell.get_text() for cell in row.find_all("td")] for row in figure.find("tbody").find_all("tr")]
    assert cells == [[label(str(row[0])), shown(row[1])] for row in contents.states(value()).rows]
    themes = json.loads(figure.find("script").string)
    assert themes["light"]["data"]
    assert themes["dark"]


def test_a_long_curve_is_thinned_to_its_newest_row() -> None:
    long = replace(bars(value()), table=pd.DataFrame({"Hour": range(500), "Done": range(500)}))
    thinned = contents.chart_table(long, rows=48)
    assert 40 <= len(thinned.rows) <= 48
    assert thinned.rows[-1] == (499, 499)
    assert thinned.of == len(contents.chart_table(long).rows) == 500


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_failed_report_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (old,) = write_report(report(100), tmp_path, ["html"])
    before = old.read_bytes()
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "none"))
    with pytest.raises(ReportError, match=r"Chromium.*choose html,xlsx,csv"):
        write_report(report(200, drawn=[bars(value())]), tmp_path, ["html", "pdf"])
    assert list(tmp_path.iterdir()) == [old]
    assert old.read_bytes() == before
    (new,) = write_report(report(200), tmp_path, ["html"])
    assert new == old
    assert new.read_bytes() != before


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="Choose from html, pdf, xlsx, csv"):
        write_report(value(), tmp_path, ["docx"])
    with pytest.raises(ReportError, match="Choose from"):
        write_report(value(), tmp_path, [])
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="Choose a folder"):
        write_report(value(), tmp_path / "file", ["html"])


def test_progress_ends_at_one(tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    write_report(value(), tmp_path, ["html", "csv"], progress=lambda what, share: told.append((what, share)))
    assert told == [("HTML", 1), ("Devices", 0.5), ("Devices", 1.0), ("Devices", 1)]


def test_a_rollout_without_devices_or_trouble(tmp_path: Path) -> None:
    assert len(write_report(report(0), tmp_path, ["html", "xlsx", "csv"])) > 3
    assert "Nothing: every device has come to its end." in html_report(report(0))
