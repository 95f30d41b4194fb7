"""Property lists from strangers, read within bounds; and their values as JSON and back, without loss.

Knows bytes and types only. Leaves to `results.py` and `commands.py` what the keys mean. Dates are naive and UTC, as a
property list has them.
"""

import base64
import math
import plistlib
from datetime import UTC, datetime
from typing import Any

from osupdate_kit.errors import ProtocolError

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
_SWELLS_TO, _SWELLS_BY = 1 << 16, 64  # what shared references may make of few bytes; counting it out costs time
_INTEGERS = range(-(1 << 63), 1 << 64)  # what a property list can hold
_REMEDY = "Find out who sent it; no Apple device writes such a property list."


def read_plist(body: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> dict[str, object]:
    """The dictionary in an XML or binary property list. Raises ProtocolError, and nothing else, for any other bytes.

    Bounded: bytes, depth, and the sum of all values as they would be written out, so that neither nesting nor entities
    nor shared references (of the binary form) can make little into much.
    """
    if len(body) > max_bytes:
        raise ProtocolError(f"A property list of {len(body)} bytes is too large (at most {max_bytes}).", remedy=_REMEDY)
    try:
        fields = plistlib.loads(body)
    except Exception as error:  # plistlib has no error of its own: bad bytes raise whatever they hit upon
        raise ProtocolError(f"No property list: {type(error).__name__}: {str(error)[:80]}", remedy=_REMEDY) from None
    if type(fields) is not dict:
        raise ProtocolError(f"The property list is no dictionary but {type(fields).__name__}.", remedy=_REMEDY)
    _check(fields, min(max_bytes, _SWELLS_TO + _SWELLS_BY * len(body)), max_depth)
    return fields


def _check(fields: dict[str, object], max_weight: int, max_depth: int) -> None:
    """Walk all values without recursion; a value that is referred to twice counts twice, so loops and bombs end."""
    weight, depth = 0, 0
    level: list[object] = [fields]
    while level:
        depth += 1
        if depth > max_depth:
            raise ProtocolError(f"A property list nested deeper than {max_depth} levels.", remedy=_REMEDY)
        inner: list[object] = []
        for value in level:
            kind = type(value)
            members: list[object] = []
            if kind is dict:
                assert isinstance(value, dict)
                members = [*value.keys(), *value.values()]
                if not all(type(key) is str for key in value):
                    raise ProtocolError("A key of the property list is no string.", remedy=_REMEDY)
            elif kind is list:
                assert isinstance(value, list)
                members = value
            for member in members:
                kind = type(member)
                weight += 1
                if kind is str or kind is bytes:
                    assert isinstance(member, (str, bytes))
                    weight += len(member)
                    if kind is str and "\0" in member:
                        raise ProtocolError("A string of the property list holds a NUL.", remedy=_REMEDY)
                elif kind is dict or kind is list:
                    inner.append(member)
                elif kind is int:
                    if member not in _INTEGERS:
                        raise ProtocolError("A number of the property list has over 64 bits.", remedy=_REMEDY)
                elif kind not in _PLAIN:
                    raise ProtocolError(f"The property list holds a {kind.__name__}.", remedy=_REMEDY)
            if weight > max_weight:
                raise ProtocolError("A property list that swells beyond its size.", remedy=_REMEDY)
        level = inner


_PLAIN = frozenset({bool, float, datetime})


def to_json(value: object) -> Any:
    """A value of a property list as JSON value; `from_json` gives the equal value back.

    Dates become {"$date": "…Z"}, bytes {"$data": base64}, reals without a finite value {"$real": "nan"}, and a
    dictionary with a key that starts like these {"$dict": [[key, value], …]}.
    """
    if isinstance(value, dict):
        if any(key.startswith("$") for key in value):
            return {"$dict": [[key, to_json(inner)] for key, inner in value.items()]}
        return {key: to_json(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(inner) for inner in value]
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            value = value.astimezone(UTC).replace(tzinfo=None)
        return {"$date": f"{value.isoformat()}Z"}
    if isinstance(value, (bytes, bytearray)):
        return {"$data": base64.b64encode(value).decode("ascii")}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$real": str(value)}
    return value


def from_json(value: Any) -> Any:
    """The value that `to_json` was given. Raises ProtocolError for a mark that it never writes."""
    if isinstance(value, list):
        return [from_json(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    mark = next(iter(value), "") if len(value) == 1 else ""
    if not mark.startswith("$"):
        return {key: from_json(inner) for key, inner in value.items()}
    word = value[mark]
    try:
        if mark == "$date":
            return datetime.strptime(word, "%Y-%m-%dT%H:%M:%S.%fZ" if "." in word else "%Y-%m-%dT%H:%M:%SZ")
        if mark == "$data":
            return base64.b64decode(word, validate=True)
        if mark == "$real":
            return float(word)
        if mark == "$dict":
            return {key: from_json(inner) for key, inner in word}
    except (ValueError, TypeError, OverflowError):
        pass
    raise ProtocolError(f"The stored value {mark}: {str(word)[:40]!r} cannot be read.", remedy="Restore the store.")
