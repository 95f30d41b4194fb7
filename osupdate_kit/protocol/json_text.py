"""JSON from strangers, read within bounds.

Knows bytes and types only. Leaves to `declarations.py` and `status.py` what the keys mean.
"""

import json
from typing import Any, NoReturn

from osupdate_kit.errors import ProtocolError

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
_MAX_DIGITS = 400  # of one number; Python would refuse 4,300 with an error of its own
_REMEDY = "Find out who sent it; no Apple device writes such JSON."


def read_json(body: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """The object in a JSON text. Raises ProtocolError, and nothing else, for any other bytes.

    Of a key that stands twice, the last counts. NaN and infinities, which are no JSON, are refused; so are strings that
    no database holds.
    """
    if len(body) > max_bytes:
        raise ProtocolError(f"A JSON text of {len(body)} bytes is too large (at most {max_bytes}).", remedy=_REMEDY)
    try:
        value = json.loads(body, parse_constant=_no_number, parse_int=_whole)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise ProtocolError(f"No JSON: {type(error).__name__}.", remedy=_REMEDY) from None
    if type(value) is not dict:
        raise ProtocolError(f"The JSON is no object but {type(value).__name__}.", remedy=_REMEDY)
    _check(value, max_depth)
    return value


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError("a number of so many digits")
    return int(digits)


def _check(fields: dict[str, Any], max_depth: int) -> None:
    """Walk all values without recursion."""
    level: list[Any] = [fields]
    for _ in range(max_depth):
        inner: list[Any] = []
        for value in level:
            members = [*value, *value.values()] if type(value) is dict else value
            for member in members:
                if type(member) is str:
                    _check_text(member)
                elif type(member) is dict or type(member) is list:
                    inner.append(member)
                elif type(member) is float and member - member != 0:
                    raise ProtocolError("A number of the JSON is too large.", remedy=_REMEDY)
        if not inner:
            return
        level = inner
    raise ProtocolError(f"JSON nested deeper than {max_depth} levels.", remedy=_REMEDY)


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ProtocolError("A string of the JSON holds a NUL.", remedy=_REMEDY)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ProtocolError("A string of the JSON holds half a character.", remedy=_REMEDY) from None
