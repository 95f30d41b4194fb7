"""XML plists as devices and servers write them. Reading is plistlib's; writing is by hand, for speed."""

import plistlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from xml.sax.saxutils import escape

_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n'
    '<plist version="1.0">\n'
)


def write_plist(value: Mapping[str, object]) -> bytes:
    """The XML plist of a dictionary of strings, numbers, booleans, bytes, aware datetimes, lists and dictionaries."""
    parts = [_HEAD]
    _write(value, parts)
    parts.append("\n</plist>\n")
    return "".join(parts).encode()


def _write(value: object, parts: list[str]) -> None:
    if isinstance(value, str):
        parts.append(f"<string>{escape(value)}</string>")
    elif isinstance(value, bool):
        parts.append("<true/>" if value else "<false/>")
    elif isinstance(value, int):
        parts.append(f"<integer>{value}</integer>")
    elif isinstance(value, float):
        parts.append(f"<real>{value!r}</real>")
    elif isinstance(value, bytes):
        parts.append(f"<data>{b64encode(value).decode()}</data>")
    elif isinstance(value, datetime):
        parts.append(f"<date>{value:%Y-%m-%dT%H:%M:%SZ}</date>")
    elif isinstance(value, Mapping):
        parts.append("<dict>")
        for key, item in value.items():
            parts.append(f"<key>{escape(key)}</key>")
            _write(item, parts)
        parts.append("</dict>")
    elif isinstance(value, Sequence):
        parts.append("<array>")
        for item in value:
            _write(item, parts)
        parts.append("</array>")
    else:
        raise TypeError(f"{type(value).__name__} has no place in a plist")


def read_plist(body: bytes) -> dict[str, Any]:
    """The dictionary in a plist. Raises ValueError for anything else, whatever plistlib makes of it."""
    try:
        value = plistlib.loads(body)
    except Exception as error:  # plistlib raises what its XML parser, int(), and base64 raise
        raise ValueError(str(error)) from error
    if not isinstance(value, dict):
        raise ValueError("the plist holds no dictionary")  # noqa: TRY004 - callers ask whether it can be read
    return value


@lru_cache(maxsize=4096)
def read_command(body: bytes) -> dict[str, Any]:
    """As read_plist; one body serves many devices, so readings are kept. Do not change the answer."""
    return read_plist(body)
