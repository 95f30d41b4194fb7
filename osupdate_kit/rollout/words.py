"""The words of a plan's YAML: mappings whose keys are all known, and values of the kind that each key wants.

Leaves what the words mean to the values that are made of them.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from osupdate_kit.errors import PlanError

Reader = Callable[[object], Any]


class Written(float):
    """A number with a point, as YAML reads it, that still knows how it was written: version 18.10 is not 18.1."""

    written: str = ""

    @classmethod
    def of(cls, number: float, written: str) -> "Written":
        made = cls(number)
        made.written = written
        return made


def read(words: object, readers: Mapping[str, Reader], what: str) -> dict[str, Any]:
    """Each given key's value. PlanError, naming the key, for one that is not known or holds another kind of value."""
    if not isinstance(words, Mapping):
        raise PlanError(f"{what} is no mapping of keys.", remedy=f"Keys: {', '.join(readers)}.")
    found = {}
    for key, value in words.items():
        if key not in readers:
            raise PlanError(f"{what} has no key {str(key)[:100]!r}.", remedy=f"Keys: {', '.join(readers)}.")
        try:
            found[key] = readers[key](value)
        except (TypeError, ValueError, OverflowError, ArithmeticError):
            raise PlanError(
                f"{key} of {what} is {str(value)[:100]!r}.", remedy=f"Give {readers[key].__doc__ or 'another value'}."
            ) from None
    return found


def text(value: object) -> str:
    """a text, in quotes if it looks like a number"""
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def texts(value: object) -> tuple[str, ...]:
    """a list of texts, each in quotes if it looks like a number"""
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise TypeError(value)
    return tuple(text(one) for one in value)


def number(value: object) -> float:
    """a number"""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    return float(value)


def count(value: object) -> int:
    """a whole number, 0 or more"""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise TypeError(value)
    return value


def flag(value: object) -> bool:
    """true or false"""
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def day(value: object) -> date:
    """a date, such as 2026-12-07"""
    if isinstance(value, datetime):
        raise TypeError(value)
    return value if isinstance(value, date) else date.fromisoformat(text(value))


def micros(value: object) -> int:
    """a moment, such as 2026-12-04T18:00:00+01:00"""
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def iso(at: int) -> str:
    """Microseconds UTC as `micros` reads them."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
    return moment.isoformat().replace("+00:00", "Z")


def plain(value: object) -> Any:
    """As YAML shows it: tuples as lists, whole shares without a point."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
