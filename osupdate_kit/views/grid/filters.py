"""What a grid shows, as values that compare equal and survive a re-run: a filter per column, the search, the order."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeAlias

from osupdate_kit.errors import ProtocolError, SelectionError
from osupdate_kit.fleet.inventory import Kind
from osupdate_kit.protocol.versions import OSVersion

LONGEST = 500  # characters of a text that somebody searches for


@dataclass(frozen=True, slots=True)
class TextFilter:
    """The text contains `text`, or with `whole` equals it; upper and lower case are the same."""

    text: str
    whole: bool = False

    def __str__(self) -> str:
        return f"= {self.text}" if self.whole else self.text


@dataclass(frozen=True, slots=True)
class ChoiceFilter:
    """One of `values`; "" stands for devices without a value."""

    values: tuple[str, ...]

    def __str__(self) -> str:
        return self.values[0] or "(none)" if len(self.values) == 1 else f"{len(self.values)} chosen"


@dataclass(frozen=True, slots=True)
class NumberFilter:
    """From `least` to `most`, both included; None is open."""

    least: float | None = None
    most: float | None = None

    def __str__(self) -> str:
        return _span(*("" if end is None else f"{end:,g}" for end in (self.least, self.most)))


@dataclass(frozen=True, slots=True)
class MomentFilter:
    """From `since` until `until`, both included, aware; None is open."""

    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        if any(end is not None and end.tzinfo is None for end in (self.since, self.until)):
            raise SelectionError("A date without a time zone.", remedy="Write datetime(2026, 11, 24, tzinfo=UTC).")

    def __str__(self) -> str:
        return _span(*("" if end is None else f"{end.astimezone(UTC):%d %b}" for end in (self.since, self.until)))


@dataclass(frozen=True, slots=True)
class VersionFilter:
    """From `least` to `most`, both included, compared as versions; None is open."""

    least: OSVersion | None = None
    most: OSVersion | None = None

    @classmethod
    def of(cls, least: str = "", most: str = "") -> "VersionFilter":
        """Of texts such as "18.7.2"; SelectionError if one is no version."""
        return cls(_version(least), _version(most))

    def __str__(self) -> str:
        return _span(*("" if end is None else end.text for end in (self.least, self.most)))


@dataclass(frozen=True, slots=True)
class FlagFilter:
    """One of `values`: True, False, or None for unknown."""

    values: tuple[bool | None, ...]

    def __str__(self) -> str:
        return " or ".join({True: "yes", False: "no", None: "unknown"}[value] for value in self.values)


ColumnFilter: TypeAlias = TextFilter | ChoiceFilter | NumberFilter | MomentFilter | VersionFilter | FlagFilter
FILTER_OF: Mapping[Kind, type[ColumnFilter]] = MappingProxyType(
    {
        Kind.TEXT: TextFilter,
        Kind.CHOICE: ChoiceFilter,
        Kind.NUMBER: NumberFilter,
        Kind.MOMENT: MomentFilter,
        Kind.VERSION: VersionFilter,
        Kind.FLAG: FlagFilter,
    }
)


@dataclass(frozen=True, slots=True)
class Order:
    """Sort by `column`; devices without a value come last either way."""

    column: str
    descending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Everything that narrows or orders the rows. `orders`: the first counts most."""

    search: str = ""
    columns: Mapping[str, ColumnFilter] = field(default_factory=dict)
    orders: tuple[Order, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.search or self.columns)


def filter_of(kind: Kind, value: object) -> ColumnFilter:
    """What a person means by `value`: "Lyon", ["Lyon", "Rome"], True, ("26.0", "26.5") for a range, or a filter itself.

    Raises SelectionError where it fits no filter of this kind.
    """
    if isinstance(value, FILTER_OF[kind]):
        return value
    many = tuple(value) if isinstance(value, Collection) and not isinstance(value, str) else (value,)
    ends = many if len(many) == 2 else many * 2
    match kind:
        case Kind.TEXT if isinstance(value, str):
            return TextFilter(value)
        case Kind.CHOICE if all(isinstance(one, str) for one in many):
            return ChoiceFilter(tuple(map(str, many)))
        case Kind.FLAG if all(one is None or isinstance(one, bool) for one in many):
            return FlagFilter(tuple(None if one is None else bool(one) for one in many))
        case Kind.VERSION if len(ends) == 2 and all(isinstance(one, str | None) for one in ends):
            return VersionFilter.of(*(str(one or "") for one in ends))
        case Kind.NUMBER if len(ends) == 2 and all(isinstance(one, int | float | None) for one in ends):
            return NumberFilter(*(one if isinstance(one, int | float) else None for one in ends))
        case Kind.MOMENT if len(ends) == 2 and all(isinstance(one, datetime | None) for one in ends):
            return MomentFilter(*(one if isinstance(one, datetime) else None for one in ends))
    raise SelectionError(
        f"{str(value)[:80]!r} is no filter of a {kind} column.", remedy=f"Give a {FILTER_OF[kind].__name__}."
    )


def to_wire(column_filter: ColumnFilter) -> dict[str, Any]:
    """As JSON for the browser; moments in days, versions as text."""
    return {part.name: _plain(getattr(column_filter, part.name)) for part in fields(column_filter)}


def from_wire(kind: Kind, parts: Mapping[str, Any]) -> ColumnFilter | None:
    """What the browser asked for; None if nothing is asked. SelectionError says what cannot be read."""
    match kind:
        case Kind.TEXT:
            text = str(parts["text"])[:LONGEST]
            return TextFilter(text, bool(parts.get("whole"))) if text else None
        case Kind.CHOICE:
            values = tuple(str(value) for value in parts["values"])
            return ChoiceFilter(values) if values else None
        case Kind.FLAG:
            flags = tuple(flag for flag in (True, False, None) if flag in parts["values"])
            return FlagFilter(flags) if 0 < len(flags) < 3 else None
        case Kind.VERSION:
            versions = VersionFilter.of(str(parts.get("least") or ""), str(parts.get("most") or ""))
            return versions if versions != VersionFilter() else None
        case Kind.NUMBER:
            numbers = NumberFilter(_number(parts.get("least")), _number(parts.get("most")))
            return numbers if numbers != NumberFilter() else None
        case Kind.MOMENT:
            moments = MomentFilter(_day(parts.get("since")), _day(parts.get("until"), last=True))
            return moments if moments != MomentFilter() else None


def _span(least: str, most: str) -> str:
    if least and most:
        return least if least == most else f"{least} – {most}"
    return f"≥ {least}" if least else f"≤ {most}"


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).date().isoformat()
    return value.text if isinstance(value, OSVersion) else value


def _version(text: str) -> OSVersion | None:
    try:
        return OSVersion.parse(text.strip()) if text.strip() else None
    except ProtocolError as error:
        raise SelectionError(str(error)) from None


def _number(text: object) -> float | None:
    if text is None or not str(text).strip():
        return None
    try:
        return float(str(text))
    except ValueError:
        raise SelectionError(f"{str(text)[:40]!r} is no number.", remedy="Write it as 12 or 12.5.") from None


def _day(text: object, *, last: bool = False) -> datetime | None:
    """The first or the last instant of a day in UTC."""
    if not text:
        return None
    try:
        day = datetime.fromisoformat(str(text)).replace(tzinfo=UTC)
    except ValueError:
        raise SelectionError(f"{str(text)[:40]!r} is no date.", remedy="Write it as 2026-11-24.") from None
    return day.replace(hour=23, minute=59, second=59, microsecond=999_999) if last else day
