"""The columns of a grid: how they compare, filter, count and read. Whole-column indexes are made when first needed.

Nothing here loops over devices: pyarrow and numpy work on columns, Python only on the few distinct values and on the
rows of one page. All texts are kept as they came; whoever shows them treats them as text.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from osupdate_kit.errors import InventoryError
from osupdate_kit.fleet.inventory import KINDS, Kind
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.views.grid.filters import (
    ChoiceFilter,
    FlagFilter,
    MomentFilter,
    NumberFilter,
    TextFilter,
    VersionFilter,
)
from osupdate_kit.views.status import moment

Mask: TypeAlias = NDArray[np.bool_]
Rows: TypeAlias = NDArray[np.int64]
Ranks: TypeAlias = NDArray[np.int32]

LONGEST = 400  # characters of one cell that travel; the frame keeps the whole text
FEW = 200  # distinct values among SAMPLE rows up to which a text column is a choice
SAMPLE = 2_000
LAST = np.iinfo(np.int32).max  # rank of a device without a value

LABELS: Mapping[str, str] = {
    "enrollment_id": "Enrollment ID",
    "udid": "UDID",
    "os_version": "OS",
    "build_version": "Build",
    "last_seen_at": "Seen",
}
FLAG_WORDS = {
    **dict.fromkeys(("true", "yes", "y", "1", "1.0"), 1),
    **dict.fromkeys(("false", "no", "n", "0", "0.0"), 0),
}
ABBREVIATIONS = {word.lower(): word for word in ("GB", "MB", "ID", "IP", "OS", "UDID", "MDM", "VIP")}


@dataclass(frozen=True, slots=True)
class Choice:
    """A value of a column, and how many devices have it; `label` is how people read it."""

    value: str | bool | None
    label: str
    devices: int


class Column(Protocol):
    """One column over all devices; `row` numbers are positions in the frame."""

    name: str
    kind: Kind

    @property
    def ranks(self) -> Ranks:
        """The order of each row's value; LAST where there is none."""
        ...

    def fits(self, wanted: Any) -> Mask:
        """Which rows the filter, one of this kind, keeps."""
        ...

    def has(self, text: str) -> Mask | None:
        """Which rows contain the lower-case text; None if people do not search this column."""
        ...

    def choices(self, among: Mask) -> list[Choice]:
        """The distinct values among these rows, most frequent first; empty if one does not choose from this column."""
        ...

    def words(self, rows: Rows) -> list[str]:
        """As people read it, row by row."""
        ...


class TextColumn:
    """Texts of which nearly every device has its own."""

    kind = Kind.TEXT

    def __init__(self, name: str, values: "pd.Series[Any]") -> None:
        self.name, self._values = name, values

    @cached_property
    def lower(self) -> pa.Array:
        return pc.utf8_lower(texts(self._values))

    @cached_property
    def ranks(self) -> Ranks:
        return _ranks(self.lower)

    def fits(self, wanted: TextFilter) -> Mask:
        text = wanted.text.lower()
        return mask(pc.equal(self.lower, pa.scalar(text, pa.large_string()))) if wanted.whole else self.has(text)

    def has(self, text: str) -> Mask:
        return mask(pc.match_substring(self.lower, text))

    def choices(self, among: Mask) -> list[Choice]:
        return []

    def words(self, rows: Rows) -> list[str]:
        return [short(value) for value in self._values.iloc[rows]]


class ChoiceColumn:
    """Texts that many devices share, by number: `codes` point into `values`, -1 is none."""

    kind = Kind.CHOICE

    def __init__(self, name: str, values: "pd.Series[Any]") -> None:
        self.name, self._texts = name, values

    @cached_property
    def _encoded(self) -> pa.DictionaryArray:
        column = texts(self._texts)
        return pc.dictionary_encode(pc.if_else(pc.equal(column, ""), None, column))

    @cached_property
    def codes(self) -> Ranks:
        return codes_of(self._encoded)

    @cached_property
    def values(self) -> list[str]:
        found: list[str] = self._encoded.dictionary.to_pylist()
        return found

    @cached_property
    def ranks(self) -> Ranks:
        return np.append(self._order(), LAST)[self.codes]

    def fits(self, wanted: ChoiceFilter) -> Mask:
        keep = np.isin(self.values, wanted.values) if self.values else np.zeros(0, bool)
        return np.append(keep, "" in wanted.values)[self.codes]

    def has(self, text: str) -> Mask:
        return np.append(mask(pc.match_substring(pc.utf8_lower(self._encoded.dictionary), text)), False)[self.codes]

    def choices(self, among: Mask) -> list[Choice]:
        return self._counted(self.codes[among])

    def words(self, rows: Rows) -> list[str]:
        return [short(value) for value in self._texts.iloc[rows]]

    def _order(self) -> Ranks:
        return _ranks(pc.utf8_lower(self._encoded.dictionary))

    def _counted(self, codes: Ranks) -> list[Choice]:
        counts = np.bincount(codes + 1, minlength=len(self.values) + 1)
        present = np.flatnonzero(counts)
        ordered = present[np.argsort(-counts[present], kind="stable")]
        return [
            Choice(self.values[at - 1], short(self.values[at - 1]), int(counts[at]))
            if at
            else Choice("", "(none)", int(counts[0]))
            for at in ordered
        ]


class VersionColumn(ChoiceColumn):
    """OS versions; what cannot be read as one is shown, but is in no range and sorts last."""

    kind = Kind.VERSION

    @cached_property
    def _versions(self) -> list[OSVersion | None]:
        return [OSVersion.parse_or_none(value) for value in self.values]

    def fits(self, wanted: VersionFilter) -> Mask:  # type: ignore[override]  # each kind has its own filter
        keep = [
            version is not None
            and (wanted.least is None or version >= wanted.least)
            and (wanted.most is None or version <= wanted.most)
            for version in self._versions
        ]
        return np.array([*keep, False])[self.codes]

    def _order(self) -> Ranks:
        known = sorted({version for version in self._versions if version is not None})
        place = {version: rank for rank, version in enumerate(known)}
        return np.array([LAST if v is None else place[v] for v in self._versions], np.int32)


class FlagColumn:
    """Yes, no or unknown."""

    kind = Kind.FLAG

    def __init__(self, name: str, values: "pd.Series[Any]") -> None:
        self.name, self._flags = name, values

    @cached_property
    def codes(self) -> NDArray[np.int8]:
        return _flags(self._flags)

    @cached_property
    def ranks(self) -> Ranks:
        return np.array([1, 0, LAST], np.int32)[self.codes]  # yes first; -1 is the last entry

    def fits(self, wanted: FlagFilter) -> Mask:
        return np.array([False in wanted.values, True in wanted.values, None in wanted.values])[self.codes]

    def has(self, text: str) -> Mask | None:
        return None

    def choices(self, among: Mask) -> list[Choice]:
        codes = self.codes[among]
        return [
            Choice(value, label, int(np.count_nonzero(codes == code)))
            for value, label, code in ((True, "yes", 1), (False, "no", 0), (None, "unknown", -1))
        ]

    def words(self, rows: Rows) -> list[str]:
        return [("no", "yes", "unknown")[code] for code in _flags(self._flags.iloc[rows])]


class NumberColumn:
    """Numbers; NaN where there is none."""

    kind = Kind.NUMBER

    def __init__(self, name: str, values: "pd.Series[Any]") -> None:
        self.name, self._given = name, values

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        return _numbers(self._given)

    @cached_property
    def ranks(self) -> Ranks:
        return _ranks(pa.array(self.numbers, from_pandas=True))

    def fits(self, wanted: NumberFilter) -> Mask:
        return within(self.numbers, wanted.least, wanted.most, known=~np.isnan(self.numbers))

    def has(self, text: str) -> Mask | None:
        return None

    def choices(self, among: Mask) -> list[Choice]:
        return []

    def words(self, rows: Rows) -> list[str]:
        return ["" if np.isnan(number) else f"{number:,.10g}" for number in _numbers(self._given.iloc[rows])]


class MomentColumn:
    """Moments in microseconds since 1970 UTC; 0 where there is none."""

    kind = Kind.MOMENT

    def __init__(self, name: str, values: "pd.Series[Any]") -> None:
        self.name, self._given = name, values

    @cached_property
    def moments(self) -> NDArray[np.int64]:
        return _moments(self._given)

    @cached_property
    def ranks(self) -> Ranks:
        return _ranks(pa.array(self.moments, mask=self.moments == 0))

    def fits(self, wanted: MomentFilter) -> Mask:
        least, most = (None if end is None else microseconds(end) for end in (wanted.since, wanted.until))
        return within(self.moments, least, most, known=self.moments != 0)

    def has(self, text: str) -> Mask | None:
        return None

    def choices(self, among: Mask) -> list[Choice]:
        return []

    def at(self, rows: Rows) -> list[int]:
        moments: list[int] = _moments(self._given.iloc[rows]).tolist()
        return moments

    def words(self, rows: Rows) -> list[str]:
        """`23 Nov 02:10`, in UTC as the column's head says."""
        return [f"{_datetime(at):%d %b %H:%M}" if at else "" for at in self.at(rows)]

    def ages(self, rows: Rows, as_of: int) -> list[str]:
        """How long before `as_of`: `40 s`, `12 m`, `5 h`, `3 d`."""
        return [age(as_of - at) if at else "never" for at in self.at(rows)]

    def dates(self, rows: Rows) -> list[str]:
        return [moment(at) if at else "" for at in self.at(rows)]


_CLASSES: Mapping[Kind, Callable[[str, "pd.Series[Any]"], Column]] = {
    Kind.TEXT: TextColumn,
    Kind.CHOICE: ChoiceColumn,
    Kind.VERSION: VersionColumn,
    Kind.FLAG: FlagColumn,
    Kind.NUMBER: NumberColumn,
    Kind.MOMENT: MomentColumn,
}


def column_of(name: str, values: "pd.Series[Any]", kind: Kind | None = None) -> Column:
    """The column of this kind; without one, the contract's kind or what its values look like."""
    return _CLASSES[kind or KINDS.get(name) or kind_of(values)](name, values)


def kind_of(values: "pd.Series[Any]") -> Kind:
    """What a column of the operator's own lists is: by its dtype, texts by how many differ in a sample."""
    dtype = values.dtype
    if pd.api.types.is_bool_dtype(dtype):
        return Kind.FLAG
    if pd.api.types.is_numeric_dtype(dtype):
        return Kind.NUMBER
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return Kind.MOMENT
    sample = values.iloc[:: max(1, len(values) // SAMPLE)].dropna()
    if not sample.empty and sample.map(type).eq(bool).all():
        return Kind.FLAG
    return Kind.CHOICE if sample.astype(str).nunique() <= min(FEW, max(12, len(sample) // 4)) else Kind.TEXT


def label_of(name: str) -> str:
    """`free_gb` → `Free GB`"""
    words = [ABBREVIATIONS.get(word.lower(), word) for word in name.split("_")]
    label = " ".join(words).strip()
    return LABELS.get(name) or label[:1].upper() + label[1:]


def texts(values: "pd.Series[Any]") -> pa.Array:
    """A column as texts; null where there is none."""
    try:
        column = pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # values of several types, or of our own
        column = pa.array(values.map(str, na_action="ignore"), from_pandas=True)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column.cast(pa.large_string())


def mask(found: pa.Array) -> Mask:
    """Arrow's answer as a mask; null is no."""
    return np.asarray(found.fill_null(False).to_numpy(zero_copy_only=False), bool)


def codes_of(encoded: pa.DictionaryArray) -> Ranks:
    """Where each row's value stands in the dictionary; -1 is none."""
    return np.asarray(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False), np.int32)


def short(value: object) -> str:
    """One cell's text, cut where nobody reads on; "" where there is none."""
    if value is None or value is pd.NA or value != value:
        return ""
    text = str(value)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def within(values: NDArray[Any], least: float | None, most: float | None, *, known: Mask) -> Mask:
    keep = known
    if least is not None:
        keep = keep & (values >= least)
    if most is not None:
        keep = keep & (values <= most)
    return keep


def microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def age(span: int) -> str:
    """A span in microseconds as people say it."""
    seconds = max(span, 0) // 1_000_000
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size:,} {unit}"
    return f"{seconds} s"


def checked(frame: pd.DataFrame, wanted: Collection[str]) -> None:
    """InventoryError if the frame lacks one of these columns."""
    if lacking := [name for name in wanted if name not in frame.columns]:
        raise InventoryError(
            f"The frame has no column {lacking[0]!r}.",
            remedy=f"It needs {' and '.join(wanted)}; it has {_listed(list(map(str, frame.columns)))}.",
        )


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _datetime(at: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at)


def _flags(values: "pd.Series[Any]") -> NDArray[np.int8]:
    """1 yes, 0 no, -1 unknown; of truth values, or of the words of a list."""
    if pd.api.types.is_bool_dtype(values.dtype):
        return np.asarray(values.astype("Int8").fillna(-1), np.int8)
    encoded = texts(values).dictionary_encode()
    meanings = [FLAG_WORDS.get((word or "").strip().lower(), -1) for word in encoded.dictionary.to_pylist()]
    return np.array([*meanings, -1], np.int8)[codes_of(encoded)]


def _numbers(values: "pd.Series[Any]") -> NDArray[np.float64]:
    """NaN where there is none, or what is there is no number."""
    return np.asarray(pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan), np.float64)


def _moments(values: "pd.Series[Any]") -> NDArray[np.int64]:
    """Microseconds since 1970 UTC, 0 where there is none; of numbers, dates, or ISO texts (naive ones are UTC)."""
    if not pd.api.types.is_numeric_dtype(values.dtype):
        aware = pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601").dt.as_unit("us")
        return np.where(aware.isna(), np.int64(0), aware.astype("int64").to_numpy(np.int64))
    return np.asarray(values.fillna(0), np.int64)


def _ranks(values: pa.Array) -> Ranks:
    ranks = np.asarray(pc.rank(values, tiebreaker="dense"), np.int32)
    if values.null_count:
        ranks[mask(values.is_null())] = LAST
    return ranks


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "") or "none"
