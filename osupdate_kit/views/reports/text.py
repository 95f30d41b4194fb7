"""Cells on their way into files: on pages clean, in data files whole, and never a formula or a control character (I12).

And the CSV files.
"""

import csv
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from osupdate_kit.views.reports.contents import Cell, Column
from osupdate_kit.views.status import count
from osupdate_kit.views.text import clean

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def plain(text: str) -> str:
    """Control characters, which no format can hold or show, become U+FFFD."""
    return text if text.isascii() and text.isprintable() else _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def shown(value: Cell) -> str:
    """A cell as a page shows it; what a device wrote at length is cut, the data files have all of it."""
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, datetime):
        return f"{value:%d %b %H:%M}"
    return clean(value or "")


def like_a_formula(text: str) -> bool:
    """Would a spreadsheet compute it?"""
    return text.startswith(_FORMULA)


class CsvFiles:
    """One file per table, UTF-8 with a byte order mark, by which Excel recognises it."""

    def __init__(self, path: Path) -> None:
        """path: of the report, without suffix; tables add their names to it."""
        self._path = path
        self._files: dict[str, TextIO] = {}
        self._rows: dict[str, Any] = {}

    def begin(self, name: str, columns: Sequence[Column]) -> None:
        path = self._path.with_name(f"{self._path.name}-{name}.csv")
        self._files[name] = file = path.open("w", encoding="utf-8-sig", newline="")
        self._rows[name] = csv.writer(file)
        self._rows[name].writerow(column.head for column in columns)

    def add(self, name: str, cells: Sequence[Cell]) -> None:
        self._rows[name].writerow([_csv(cell) for cell in cells])

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def _csv(cell: Cell) -> str | float | None:
    if isinstance(cell, str):
        text = plain(cell)
        return f"'{text}" if like_a_formula(text) else text
    return cell.isoformat(" ", "seconds")[:19] if isinstance(cell, datetime) else cell
