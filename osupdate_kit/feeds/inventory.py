"""Who is enrolled, from elsewhere: an operator's list of devices.

Knows encodings, separators and headings. What cannot be read is reported row by row, never dropped in silence.
Leaves to the kit which server a row belongs to, and to the census what a device runs today.
"""

import codecs
import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile
from zoneinfo import ZoneInfo

from osupdate_kit.errors import InventoryError, ProtocolError
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion

MAX_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryRow:
    """One device as the source describes it. Empty or None: the source does not say."""

    row: int = 0  # its line in the file, from 1; 0 = not from a file
    udid: str = ""
    enrollment_id: str = ""
    serial: str = ""
    name: str = ""
    platform: Platform | None = None
    model: str = ""
    os_version: OSVersion | None = None
    build_version: str = ""
    supervised: bool | None = None
    site: str = ""
    ring: str = ""
    time_zone: str = ""
    enrollment_type: str = "Device"
    last_seen_at: int = 0  # microseconds UTC; 0 = unknown
    attributes: Mapping[str, str] = field(default_factory=dict)  # all other columns, by their headings


@dataclass(frozen=True, slots=True)
class Remark:
    """What is wrong in one row; row 0 speaks of the whole file."""

    row: int
    words: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.words}" if self.row else self.words


@dataclass(frozen=True, slots=True)
class InventoryList:
    """What a list says: its devices in order, each once, and a remark on everything not taken as it stands."""

    rows: tuple[InventoryRow, ...]
    remarks: tuple[Remark, ...]
    encoding: str


# --- lists ---

_HEADINGS = {
    "udid": ("udid", "device_udid", "identifier"),
    "enrollment_id": ("enrollment_id", "enrolment_id", "enrollmentid"),
    "serial": ("serial", "serial_number", "serialnumber", "serial_no"),
    "name": ("name", "device_name", "devicename", "computer_name"),
    "platform": ("platform", "os", "os_type"),
    "model": ("model", "product_name", "productname", "model_identifier"),
    "os_version": ("os_version", "osversion", "version"),
    "build_version": ("build_version", "buildversion", "build", "os_build"),
    "supervised": ("supervised", "is_supervised", "issupervised"),
    "site": ("site", "location"),
    "ring": ("ring",),
    "time_zone": ("time_zone", "timezone", "tz"),
}
_COLUMN_OF = {heading: column for column, headings in _HEADINGS.items() for heading in headings}
_IDS = ("enrollment_id", "udid", "serial")

_UDID = re.compile(
    r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{16}|[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12})|[0-9A-Fa-f]{40}"
)
_SERIAL = re.compile(r"(?=.*[0-9])[A-Za-z0-9]{6,20}", re.ASCII)
_ID = re.compile(r"[!-+\--.0-~]{1,255}", re.ASCII)  # printable, without blank, comma and slash
_BLANKS = re.compile(r"[\s\x00-\x1f\x7f]+")
_FLAGS = {
    **dict.fromkeys(("true", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "no", "n", "0"), False),
}
_PLATFORMS = {platform.value.lower(): platform for platform in Platform} | {
    "iphone": Platform.IOS,
    "ipad": Platform.IPADOS,
    "mac": Platform.MACOS,
    "mac os": Platform.MACOS,
    "mac os x": Platform.MACOS,
    "os x": Platform.MACOS,
    "apple tv": Platform.TVOS,
    "appletv": Platform.TVOS,
}


def read_list(source: Path) -> InventoryList:
    """Read a list of devices: an Excel workbook's first sheet, or text in UTF-8, UTF-16 or else Latin-1.

    Text is separated by comma, semicolon or tab. Headings come in any order; one names UDIDs, serials or enrollment
    IDs, and unknown ones become attributes. A list of one column needs no heading. Raises InventoryError if it is no
    such list at all.
    """
    body = _bytes(source)
    if body.startswith(b"PK\x03\x04"):
        return read_rows(_workbook(body, source), str(source))
    content, encoding = _decoded(body, source)
    remarks: list[Remark] = []
    if encoding == "latin-1":
        remarks.append(Remark(0, "The list is neither UTF-8 nor UTF-16 and was read as Latin-1: check the accents."))
    reader = csv.reader(StringIO(content, newline=""), delimiter=_separator(content))
    at = 1

    def rows() -> Iterator[tuple[int, list[str]]]:
        nonlocal at
        for cells in reader:
            row, at = at, reader.line_num + 1
            if reader.line_num > row and any(map(str.strip, cells)):
                remarks.append(Remark(row, "a value runs over several lines: look for a lone quotation mark"))
            yield row, cells

    try:
        return read_rows(rows(), str(source), remarks, encoding)
    except csv.Error as error:
        raise InventoryError(
            f"{source}, from row {at} on: {error}.", remedy="Look for a lone quotation mark in that row."
        ) from None


def read_rows(
    numbered: Iterable[tuple[int, Sequence[str]]],
    source: str,
    remarks: list[Remark] | None = None,
    encoding: str = "",
) -> InventoryList:
    """The same from rows of cells, each with its number; `source` is what errors call it."""
    remarks = [] if remarks is None else remarks
    rows: list[InventoryRow] = []
    take: Callable[[int, Sequence[str]], None] | None = None
    for row, cells in numbered:
        if not any(map(str.strip, cells)):
            continue
        if take is None:
            columns = _columns(cells)
            take = _Taker(columns or ["?"], rows, remarks).take
            if columns:
                continue
            if len(cells) > 1:
                raise InventoryError(
                    f"{source}, row {row}: no heading names a UDID, a serial or an enrollment ID.",
                    remedy="Give one column the heading udid, serial or enrollment_id.",
                )
        take(row, cells)
    if not rows and not remarks:
        raise InventoryError(f"{source} is empty.", remedy="Write one UDID or serial per line.")
    return InventoryList(tuple(rows), tuple(remarks), encoding)


def _bytes(source: Path) -> bytes:
    try:
        if source.stat().st_size > MAX_BYTES:
            raise InventoryError(f"{source} has more than {MAX_BYTES} bytes.", remedy="Split the list.")
        return source.read_bytes()
    except OSError as error:
        raise InventoryError(f"{source} cannot be read: {error.strerror}.", remedy="Check the path.") from None


def _workbook(body: bytes, source: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of the first sheet, as text. Formulas are never computed: what Excel saved beside them is read."""
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = load_workbook(BytesIO(body), read_only=True, data_only=True)
        for row, cells in enumerate(book.worksheets[0].iter_rows(values_only=True), 1):
            yield row, ["" if cell is None else str(cell) for cell in cells]
    except (InvalidFileException, BadZipFile, KeyError, IndexError, ValueError, OSError):
        raise InventoryError(
            f"{source} is no Excel workbook that can be read.", remedy="Save it as .xlsx or as CSV (UTF-8)."
        ) from None


def _decoded(body: bytes, source: Path) -> tuple[str, str]:
    encoding = _encoding(body[:400])
    try:
        decoded = body.decode(encoding)
    except UnicodeDecodeError:
        if encoding.startswith("utf-16"):
            raise InventoryError(f"{source} is broken UTF-16.", remedy="Export it again, as UTF-8.") from None
        encoding = "latin-1"
        decoded = body.decode(encoding)
    return decoded, encoding


def _encoding(start: bytes) -> str:
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if start.count(0) * 3 > len(start):  # every other byte of ASCII text is NUL
        return "utf-16-be" if start[:1] == b"\0" else "utf-16-le"
    return "utf-8-sig"


def _separator(content: str) -> str:
    head = content.lstrip("\r\n").partition("\n")[0]
    return max(",;\t", key=head.count)


def _columns(cells: Sequence[str]) -> list[str] | None:
    """The column of each cell, "+heading" for the operator's own; None if the row names no ids and so is no heading."""
    words = [re.sub(r"[^a-z0-9]+", "_", cell.strip().lower()).strip("_") for cell in cells]
    columns: list[str] = []
    for cell, word in zip(cells, words, strict=True):
        column = _COLUMN_OF.get(word, "")
        columns.append(column if column and column not in columns else f"+{_tidy(cell)}")
    return columns if any(column in _IDS for column in columns) else None


def _tidy(value: str) -> str:
    return _BLANKS.sub(" ", value).strip()


class _Taker:
    """Takes the rows of one list, under its columns; "?" is a column whose values tell by their form what they are."""

    def __init__(self, columns: Sequence[str], rows: list[InventoryRow], remarks: list[Remark]) -> None:
        self._columns, self._rows, self._remarks = columns, rows, remarks
        self._seen: dict[str, int] = {}  # id → row
        self._serials: dict[str, tuple[int, bool]] = {}  # serial → row, and whether that row has an id, too

    def take(self, row: int, cells: Sequence[str]) -> None:
        values: dict[str, Any] = {}
        attributes: dict[str, str] = {}
        for column, cell in zip(self._columns, cells, strict=False):
            value = _tidy(cell)
            if not value:
                continue
            if column[0] == "+":
                attributes[column[1:]] = value
                continue
            if column == "?":
                column = "udid" if _UDID.fullmatch(value) else "serial" if _SERIAL.fullmatch(value) else "?"
            reader = _READERS.get(column)
            read = reader(value) if reader else value
            if read is None:
                self._remarks.append(Remark(row, f"{_WRONG[column]}: {value[:60]!r}"))
            else:
                values[column] = read
        if any(map(str.strip, cells[len(self._columns) :])):
            self._remarks.append(Remark(row, "more cells than headings; the last ones were not read"))
        if not any(column in values for column in _IDS):
            self._remarks.append(Remark(row, "left out: it names no device that can be read"))
        elif self._is_new(row, values):
            self._rows.append(InventoryRow(row=row, attributes=attributes, **values))

    def _is_new(self, row: int, values: Mapping[str, Any]) -> bool:
        """Is it the first row of this device? One serial under two UDIDs is two enrolments, and remarked."""
        ids = [values[column] for column in ("enrollment_id", "udid") if column in values]
        serial = values.get("serial", "")
        first = next((self._seen[one] for one in ids if one in self._seen), 0)
        if not first and serial in self._serials:
            earlier, has_id = self._serials[serial]
            if ids and has_id:
                self._remarks.append(
                    Remark(row, f"the serial {serial} of row {earlier} under another ID; both were taken")
                )
            else:
                first = earlier
        if first:
            self._remarks.append(Remark(row, f"left out: the same device ({(ids or [serial])[0]}) as in row {first}"))
            return False
        self._seen.update(dict.fromkeys(ids, row))
        if serial:
            self._serials.setdefault(serial, (row, bool(ids)))
        return True


@lru_cache(maxsize=4096)
def _version(value: str) -> OSVersion | None:
    try:
        return OSVersion.parse(value)
    except ProtocolError:
        return None


@lru_cache(maxsize=1024)
def _zone(value: str) -> str | None:
    try:
        return ZoneInfo(value).key
    except (ValueError, OSError, LookupError):  # ZoneInfoNotFoundError is a LookupError
        return None


def _an_id(value: str) -> str | None:
    return value if _ID.fullmatch(value) else None


_READERS: Mapping[str, Callable[[str], object]] = {
    "?": lambda value: None,
    "udid": _an_id,
    "enrollment_id": _an_id,
    "serial": lambda value: _an_id(value.upper()),
    "platform": lambda value: _PLATFORMS.get(value.lower()),
    "os_version": _version,
    "supervised": lambda value: _FLAGS.get(value.lower()),
    "time_zone": _zone,
}
_WRONG = {
    "?": "neither a UDID nor a serial",
    "udid": "no UDID",
    "enrollment_id": "no enrollment ID",
    "serial": "no serial",
    "platform": "no platform that we know",
    "os_version": "no OS version",
    "supervised": "neither yes nor no",
    "time_zone": "no time zone (write, for example, Europe/Berlin)",
}
