"""The report into files: all of them or none, each whole, with names that no device has a say in."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from xlsxwriter.exceptions import XlsxWriterException

from osupdate_kit.errors import ReportError
from osupdate_kit.rollout.needs import IN_NEED
from osupdate_kit.views.reports import contents
from osupdate_kit.views.reports.contents import Cell, Column, Table
from osupdate_kit.views.reports.excel import ROWS, ExcelFile
from osupdate_kit.views.reports.html import html_report
from osupdate_kit.views.reports.pdf import pdf_report
from osupdate_kit.views.reports.text import CsvFiles
from osupdate_kit.views.reports.value import Report, check_sum
from osupdate_kit.views.status import count

Progress = Callable[[str, float], None]  # what is being written, and the share of it that is, 0–1
_DEVICES_PER_MESSAGE = 1_000


class Format(StrEnum):
    HTML = "html"
    PDF = "pdf"
    XLSX = "xlsx"
    CSV = "csv"


class Sink(Protocol):
    """Takes tables row by row; rows of several tables may come in turn."""

    def begin(self, name: str, columns: Sequence[Column]) -> None: ...

    def add(self, name: str, cells: Sequence[Cell]) -> None: ...

    def close(self) -> None: ...


def write_report(
    report: Report, folder: Path, formats: Sequence[Format | str], *, progress: Progress = lambda what, share: None
) -> list[Path]:
    """Write `rollout-7-2026-11-24.html` and its like, and name them.

    Raises ReportError, which says what to do; nothing is left or changed then.
    """
    wanted = _formats(formats)
    if Format.XLSX in wanted and report.status.selected >= ROWS:
        raise ReportError(
            f"A sheet of Excel ends at {count(ROWS)} rows; this rollout has {count(report.status.selected)} devices.",
            remedy="Choose csv.",
        )
    stem = f"rollout-{report.status.rollout}-{contents.utc(report.at):%Y-%m-%d}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix=".report-") as scratch:
            place = Path(scratch) / stem
            if Format.PDF in wanted:  # first: most likely to fail
                document = pdf_report(report, progress=lambda share: progress("PDF", share))
                place.with_suffix(".pdf").write_bytes(document)
            if Format.HTML in wanted:
                place.with_suffix(".html").write_text(html_report(report), "utf-8")
                progress("HTML", 1)
            _write_data(report, place, wanted, progress)
            return [new.replace(folder / new.name) for new in sorted(place.parent.iterdir())]
    except (OSError, XlsxWriterException) as error:
        raise ReportError(
            f"The report cannot be written to {folder}: {error}.",
            remedy="Choose a folder that can be written to and has space left.",
        ) from error


def _formats(formats: Sequence[Format | str]) -> list[Format]:
    try:
        wanted = [Format(name) for name in formats]
    except ValueError as error:
        raise ReportError(f"No report format: {error}.", remedy=f"Choose from {', '.join(Format)}.") from None
    if not wanted:
        raise ReportError("No format is named.", remedy=f"Choose from {', '.join(Format)}.")
    return wanted


def _write_data(report: Report, place: Path, wanted: Sequence[Format], progress: Progress) -> None:
    """Excel and CSV, in one pass over the devices."""
    with ExitStack() as stack:
        sinks: list[Sink] = []
        if Format.XLSX in wanted:
            sinks.append(ExcelFile(place.with_suffix(".xlsx")))
        if Format.CSV in wanted:
            sinks.append(files := CsvFiles(place))
            for chart in report.charts:
                _whole(files, contents.chart_table(chart), f"chart-{chart.name}")
        for sink in sinks:
            stack.callback(sink.close)
            for table in (contents.summary(report), contents.states(report), *contents.of_declarations(report)):
                _whole(sink, table)
            sink.begin("devices", contents.device_columns())
            for table in (contents.failures(report), contents.deferrals(report)):
                _whole(sink, table)
            sink.begin("exceptions", contents.exception_columns())
            _whole(sink, contents.barred(report))
            sink.begin("armed", contents.armed(report).columns)
            _whole(sink, contents.acts(report))
        if sinks:
            _write_devices(report, sinks, progress)


def _write_devices(report: Report, sinks: Sequence[Sink], progress: Progress) -> None:
    states: Counter[str] = Counter()
    for number, (device, cells) in enumerate(contents.device_rows(report.devices()), start=1):
        states[device.state] += 1
        for sink in sinks:
            sink.add("devices", cells)
            if device.state in IN_NEED:
                sink.add("exceptions", contents.exception_row(device))
        if number % _DEVICES_PER_MESSAGE == 0:
            progress("Devices", number / report.status.selected)
    check_sum(states, report.status)
    for serial in report.status.armed:
        for sink in sinks:
            sink.add("armed", (serial,))
    progress("Devices", 1)


def _whole(sink: Sink, table: Table, name: str = "") -> None:
    name = name or table.name
    sink.begin(name, table.columns)
    for row in table.rows:
        sink.add(name, row)
