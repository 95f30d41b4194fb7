"""The report as an Excel file: every device, real numbers and dates, and nothing that could be a formula."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import xlsxwriter
from xlsxwriter.format import Format as Style
from xlsxwriter.worksheet import Worksheet

from osupdate_kit.views.charts.words import label
from osupdate_kit.views.reports.contents import Cell, Column, Kind
from osupdate_kit.views.reports.text import like_a_formula, plain

ROWS = 1_048_576  # of a sheet, its head included
_CHARACTERS = 32_767  # of a cell


class ExcelFile:
    """Sheets that are filled row by row; a row is on disk as soon as the next one comes."""

    def __init__(self, path: Path) -> None:
        self._book = xlsxwriter.Workbook(
            path,
            {
                "constant_memory": True,
                "strings_to_formulas": False,
                "strings_to_urls": False,
                "strings_to_numbers": False,
            },
        )
        self._head = self._book.add_format({"bold": True, "bottom": 1, "valign": "top"})
        self._styles: dict[Kind, Style] = {
            Kind.NUMBER: self._book.add_format({"num_format": "#,##0"}),
            Kind.MOMENT: self._book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss", "align": "left"}),
        }
        self._quoted = self._book.add_format({"quote_prefix": True})
        self._sheets: dict[str, _Sheet] = {}

    def begin(self, name: str, columns: Sequence[Column]) -> None:
        sheet = self._book.add_worksheet(name)
        for place, column in enumerate(columns):
            sheet.set_column(place, place, _width(column))
        for place, column in enumerate(columns):
            sheet.write_string(0, place, column.head, self._head)
        sheet.freeze_panes(1, 0)
        self._sheets[name] = _Sheet(sheet, [column.kind for column in columns])

    def add(self, name: str, cells: Sequence[Cell]) -> None:
        into = self._sheets[name]
        into.rows += 1
        row, sheet = into.rows, into.sheet
        for place, (kind, value) in enumerate(zip(into.kinds, cells, strict=True)):
            if value is None or value == "":
                continue
            if isinstance(value, str):
                text = label(value) if kind is Kind.STATE else plain(value)[:_CHARACTERS]
                sheet.write_string(row, place, text, self._quoted if like_a_formula(text) else None)
            elif isinstance(value, datetime):
                sheet.write_datetime(row, place, value.replace(tzinfo=None), self._styles[Kind.MOMENT])
            else:
                sheet.write_number(row, place, value, self._styles[Kind.NUMBER])

    def close(self) -> None:
        for into in self._sheets.values():
            into.sheet.autofilter(0, 0, into.rows, len(into.kinds) - 1)
        self._book.close()


class _Sheet:
    def __init__(self, sheet: Worksheet, kinds: list[Kind]) -> None:
        self.sheet, self.kinds, self.rows = sheet, kinds, 0


def _width(column: Column) -> int:
    """In characters."""
    if column.wide:
        return 56
    if column.head == "udid":
        return 38
    return 20 if column.kind is Kind.MOMENT else max(12, len(column.head) + 4)
