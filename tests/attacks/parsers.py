"""Every parser that strangers' bytes reach: any bytes at all, and nothing but our own errors comes out.

By atheris, guided by coverage, where it is installed (`pip install atheris`); else by seeded mutation of valid bodies.
"""

import importlib
import importlib.util
import inspect
import json
import sys
import time
from base64 import b64decode
from collections.abc import Iterator

from osupdate_kit.errors import OSUpdateKitError
from osupdate_kit.protocol.json_text import read_json
from osupdate_kit.protocol.plists import read_plist
from osupdate_kit.protocol.results import read_result
from osupdate_kit.protocol.status import read_status, read_status_fields
from osupdate_kit.servers.events import decode_event, encode_event, parse_event
from tests.attacks.mutations import bodies, valid

_INSTRUMENTED = (
    "osupdate_kit.protocol.json_text", "osupdate_kit.protocol.plists", "osupdate_kit.protocol.results",
    "osupdate_kit.protocol.status", "osupdate_kit.servers.events", "plistlib", "json.decoder",
)  # fmt: skip


def try_all(body: bytes) -> None:
    """One body through each of them."""
    try:
        raw = parse_event(body)
        for ours in (True, False):
            event = decode_event(encode_event(raw.redacted(ours=ours)))
            read_result(event.fields)
            read_status_fields(event.fields)
    except OSUpdateKitError:
        pass
    for parser in (read_plist, read_status, read_json):
        try:
            fields = parser(body)
            if isinstance(fields, dict):
                read_result(fields)
        except OSUpdateKitError:
            pass


def seeds() -> Iterator[bytes]:
    """Whole events, and the property lists in them."""
    for body in valid():
        yield body
        yield payload_of(body)


def payload_of(body: bytes) -> bytes:
    """The device's own words in an event."""
    event = json.loads(body)
    return b64decode((event.get("acknowledge_event") or event["checkin_event"])["raw_payload"])


def by_mutation(seconds: float, seed: int) -> int:
    """How many bodies were tried; raises what a parser should not have raised."""
    until, count = time.monotonic() + seconds, 0
    for body in bodies(seed):
        try_all(body)
        try:
            inner = payload_of(body)
        except Exception:  # no event any more
            inner = b""
        try_all(inner)
        count += 1
        if count % 100 == 0 and time.monotonic() > until:
            break
    return count


def by_atheris(seconds: float, corpus: str) -> None:
    """Does not return: libFuzzer ends the process, with a status of its own where a parser failed."""
    import atheris

    for name in _INSTRUMENTED:
        for value in vars(importlib.import_module(name)).values():
            if inspect.isfunction(value) and value.__module__ == name:
                atheris.instrument_func(value)
    atheris.Setup([sys.argv[0], f"-max_total_time={int(seconds)}", "-max_len=65536", corpus], try_all)
    atheris.Fuzz()


def has_atheris() -> bool:
    return importlib.util.find_spec("atheris") is not None
