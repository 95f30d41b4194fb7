"""What reports cost, as ratios whose two sides run in turn in the same process. Needs Chromium.

R1: bytes of the HTML beyond plotly.js. R2: the PDF by typst against the same page printed by Chromium, with the same
pictures, which are drawn before. R3: charts by one browser against a browser for each. Besides: Excel and CSV of the
whole fleet against bare XlsxWriter and csv with the same cells, and the memory that writing needs.
"""

import asyncio
import csv
import os
import subprocess
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import kaleido
import xlsxwriter
from plotly.offline import get_plotlyjs

from benchmarks.fleets import scratch
from benchmarks.measure import Line, compared, wall_of
from osupdate_kit.views.reports import Report, browser, contents, write_report
from osupdate_kit.views.reports.html import html_report
from osupdate_kit.views.reports.pdf import draw, typeset
from tests import real
from tests.views import fleets


def run(quick: bool) -> Iterator[Line]:
    if browser() is None:
        real.missing("Chromium")
    drawn = fleets.report(5_000, drawn=fleets.all_charts()[: 2 if quick else 8])
    with scratch() as folder:
        yield _html(drawn)
        pictures: list[str] = []
        yield _pictures(drawn, pictures)
        yield _pdf(drawn, pictures, folder, rounds=2 if quick else 7)
        yield from _data(fleets.report(2_000 if quick else 20_000), folder)


def _html(report: Report) -> Line:
    beyond = len(html_report(report).encode()) - len(get_plotlyjs().encode())
    return Line(name="R1", measured=f"HTML with {len(report.charts)} charts, beyond plotly.js", ours=beyond / 1e6,
                unit="MB", most=0.5)  # fmt: skip


def _pdf(report: Report, svgs: Sequence[str], folder: Path, *, rounds: int) -> Line:
    """Both set the same words, tables and pictures."""
    page = folder / "page.html"
    static = html_report(replace(report, charts=())).replace("</main>", "".join(svgs) + "</main>")
    page.write_text(static, "utf-8")
    print_it = [str(browser()), "--headless", "--no-sandbox", f"--print-to-pdf={folder / 'page.pdf'}", page.as_uri()]
    fresh = (replace(report, made_by=f"run {number}") for number in count())  # typst remembers what it has set

    def by_typst() -> float:
        one = next(fresh)
        return 1_000 * _cpu(lambda: typeset(one, svgs))

    found = compared(
        rounds, by_typst, lambda: 1_000 * _cpu(lambda: subprocess.run(print_it, check=True, capture_output=True))
    )
    return Line(name="R2", measured=f"PDF of {report.status.selected:,} devices by typst", against="by Chromium",
                ours=found.ours, limit=found.limit, ratio=found.ratio, unit="ms", most=1 / 10)  # fmt: skip


def _cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU, those of programs that it runs as well."""
    begin = sum(os.times()[:4])
    work()
    return sum(os.times()[:4]) - begin


def _pictures(report: Report, into: list[str]) -> Line:
    figures = [chart.figure(print=True) for chart in report.charts]

    def one_by_one() -> None:
        for figure in figures:
            asyncio.run(kaleido.calc_fig(figure, opts={"format": "svg", "width": 720, "height": figure.layout.height}))

    one, each = wall_of(lambda: into.extend(draw(figures))), wall_of(one_by_one)
    most = 1 / 4 if len(figures) > 4 else None  # of a few, the browser's start is most of it
    return Line(name="R3", measured=f"{len(figures)} charts by one browser, wall", against="by one each", ours=one,
                limit=each, ratio=one / each, unit="s", most=most)  # fmt: skip


def _data(report: Report, folder: Path) -> Iterator[Line]:
    rows = [cells for _, cells in contents.device_rows(report.devices())]

    def bare_csv() -> None:
        with (folder / "bare.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)

    def bare_excel() -> None:
        with xlsxwriter.Workbook(folder / "bare.xlsx", {"constant_memory": True, "remove_timezone": True}) as book:
            moments = book.add_format({"num_format": "yyyy-mm-dd"})
            sheet = book.add_worksheet()
            for place, cells in enumerate(rows):
                for column, cell in enumerate(cells):
                    if cell not in (None, ""):
                        sheet.write(place, column, cell, moments if hasattr(cell, "year") else None)

    for name, bare in (("csv", bare_csv), ("xlsx", bare_excel)):
        ours, theirs = wall_of(lambda name=name: write_report(report, folder, [name])), wall_of(bare)  # type: ignore[misc]
        yield Line(name="report", measured=f"{name} of {report.status.selected:,} devices, wall", against="bare",
                   ours=ours, limit=theirs, ratio=ours / theirs, unit="s")  # fmt: skip
    rows.clear()
    tracemalloc.start()
    write_report(report, folder, ["xlsx", "csv", "html"])
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    yield Line(name="report", measured="memory while all of it is written", ours=peak, unit="MB")
