"""What reports cost, as ratios whose two sides run in turn in the same process.

Run: python -m benchmarks.reports [--devices N]. R1: bytes of the HTML beyond plotly.js. R2: the PDF by typst against
the same page printed by Chromium, charts excluded. R3: charts by one browser against a browser for each. Besides: Excel
and CSV of the whole fleet against bare XlsxWriter and csv with the same cells, and the memory that writing needs.
Needs Chromium.
"""

import argparse
import asyncio
import csv
import os
import subprocess
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import kaleido
import xlsxwriter
from plotly.offline import get_plotlyjs

from osupdate_kit.views.reports import Report, browser, contents, write_report
from osupdate_kit.views.reports.html import html_report
from osupdate_kit.views.reports.pdf import draw, typeset
from tests.views import fleets

REPEATS = 5


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU, those of programs that it runs as well."""
    begin = sum(os.times()[:4])
    work()
    return sum(os.times()[:4]) - begin


def html(report: Report) -> None:
    beyond = len(html_report(report).encode()) - len(get_plotlyjs().encode())
    print(f"R1  HTML with {len(report.charts)} charts: plotly.js + {beyond / 1e6:.2f} MB (at most 0.5)")


def pdf(report: Report, svgs: Sequence[str], folder: Path) -> None:
    """Both set the same words, tables and pictures."""
    page = folder / "page.html"
    static = html_report(replace(report, charts=())).replace("</main>", "".join(svgs) + "</main>")
    page.write_text(static, "utf-8")
    print_it = [str(browser()), "--headless", "--no-sandbox", f"--print-to-pdf={folder / 'page.pdf'}", page.as_uri()]
    ours, theirs = [], []
    for number in range(REPEATS):
        fresh = replace(report, made_by=f"run {number}")  # typst remembers what it has set
        ours.append(cpu(lambda fresh=fresh: typeset(fresh, svgs)))  # type: ignore[misc]
        theirs.append(cpu(lambda: subprocess.run(print_it, check=True, capture_output=True)))
    ratio = f"1/{min(theirs) / min(ours):.0f} (at most 1/10)"
    print(f"R2  PDF by typst {min(ours):.2f} s of CPU, by Chromium {min(theirs):.2f} s: {ratio}")


def pictures(report: Report) -> list[str]:
    figures = [chart.figure(print=True) for chart in report.charts]
    drawn: list[str] = []

    def one_by_one() -> None:
        for figure in figures:
            asyncio.run(kaleido.calc_fig(figure, opts={"format": "svg", "width": 720, "height": figure.layout.height}))

    one, each = seconds(lambda: drawn.extend(draw(figures))), seconds(one_by_one)
    ratio = f"1/{each / one:.1f} (at most 1/4)"
    print(f"R3  {len(figures)} charts by one browser {one:.1f} s, by one each {each:.1f} s: {ratio}")
    return drawn


def data(report: Report, folder: Path) -> None:
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
        ours, theirs = seconds(lambda name=name: write_report(report, folder, [name])), seconds(bare)  # type: ignore[misc]
        print(f"    {name} of {report.status.selected:,} devices {ours:.1f} s: {ours / theirs:.2f} of bare")
    rows.clear()
    tracemalloc.start()
    write_report(report, folder, ["xlsx", "csv", "html"])
    print(f"    memory while all of it is written: {tracemalloc.get_traced_memory()[1] / 1e6:.1f} MB")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--devices", type=int, default=20_000)
    number = arguments.parse_args().devices
    drawn = fleets.report(5_000, drawn=fleets.all_charts())
    with tempfile.TemporaryDirectory() as folder:
        html(drawn)
        pdf(drawn, pictures(drawn), Path(folder))
        data(fleets.report(number), Path(folder))


if __name__ == "__main__":
    main()
