"""Bodies that a stranger, or a broken device, may post: valid ones, and what becomes of them by seeded mutation."""

import json
import plistlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

UDID = "8212E022-4D53-4437-9053-F676225F181D"
UUID = "C1D2548D-27FD-4B13-9C6F-713BE5742E6F"
_REPORT = {
    "StatusItems": {"device": {"operating-system": {"version": "26.0"}}, "softwareupdate": {"install-state": []}}
}
_UPDATES = [{"ProductKey": "iOSUpdate22H124", "InstallAction": "InstallASAP", "Status": "Downloading"}]
_STATUS = [{"ProductKey": "x", "IsDownloaded": True, "DownloadPercentComplete": 0.5, "Status": "Downloading"}]
_LISTED = [{"ProductKey": "052-12345", "Version": "15.7", "Build": "24G325", "DownloadSize": 3.4e9, "IsCritical": True}]
_ERROR = [{"ErrorCode": 12057, "ErrorDomain": "MCMDMErrorDomain", "USEnglishDescription": "No."}]
_PAYLOADS: Sequence[tuple[str, str, dict[str, Any]]] = (
    ("mdm.Authenticate", "", {"SerialNumber": "C02", "OSVersion": "26.0", "ProductName": "iPad12,1", "Model": "M1"}),
    ("mdm.TokenUpdate", "", {"Token": b"t", "PushMagic": "m", "UnlockToken": b"u", "AwaitingConfiguration": False}),
    ("mdm.CheckOut", "", {"MessageType": "CheckOut"}),
    ("mdm.Connect", "Idle", {}),
    ("mdm.Connect", "Acknowledged", {"UpdateResults": _UPDATES}),
    ("mdm.Connect", "Acknowledged", {"OSUpdateStatus": _STATUS}),
    ("mdm.Connect", "Acknowledged", {"AvailableOSUpdates": _LISTED}),
    (
        "mdm.Connect",
        "Acknowledged",
        {"QueryResponses": {"OSVersion": "26.0", "BatteryLevel": 0.5, "IsSupervised": 1}},
    ),
    ("mdm.Connect", "Error", {"ErrorChain": _ERROR}),
    ("mdm.Connect", "NotNow", {}),
    ("mdm.DeclarativeManagement", "", {"Endpoint": "status", "Data": json.dumps(_REPORT).encode()}),
)


def valid() -> list[bytes]:
    """One body of each kind, in both forms of a property list."""
    found = []
    for topic, status, fields in _PAYLOADS:
        for form in (plistlib.FMT_XML, plistlib.FMT_BINARY):
            found.append(_body(topic, status, fields, form))
    return found


def _body(topic: str, status: str, fields: dict[str, Any], form: plistlib.PlistFormat) -> bytes:
    fields = {"UDID": UDID, **({"Status": status} if status else {}), **fields}
    part: dict[str, Any] = {"udid": UDID, "ids": {"id": UDID, "type": "Device"}}
    if topic == "mdm.Connect":
        part["status"] = status
        if status != "Idle":
            part["command_uuid"] = fields["CommandUUID"] = UUID
    part["raw_payload"] = b64encode(plistlib.dumps(fields, fmt=form)).decode()
    key = "acknowledge_event" if topic == "mdm.Connect" else "checkin_event"
    event = {"topic": topic, "event_id": "7bc9d6c86ed6bbb9", "created_at": "2026-11-24T06:55:07.418261264Z", key: part}
    return json.dumps(event).encode()


_ODD: Sequence[Any] = (
    None, True, 0, -1, 1 << 63, 1 << 200, 0.5, 1e308, float("nan"), "", "\0", "\ud800", "x" * 5000, "=1+1",
    "<img src=x>", [], {}, [[]], ["a", 5], {"a": {}}, "2026-13-45T99:99:99Z", "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z", "../../x", "User", "mdm.Connect", "Acknowledged", b"\x00\xff",
)  # fmt: skip


def _bytes(body: bytes, luck: Random) -> bytes:
    """Bytes changed, left out, doubled, or cut off."""
    part = bytearray(body)
    for _ in range(luck.choice((1, 1, 2, 8))):
        at, size = luck.randrange(len(part) + 1), luck.choice((1, 2, 16, 200))
        what = luck.randrange(5)
        if what == 0:
            part[at : at + 1] = bytes([luck.randrange(256)])
        elif what == 1:
            del part[at : at + size]
        elif what == 2:
            part[at:at] = part[at : at + size]
        elif what == 3:
            part[at:at] = luck.randbytes(size)
        else:
            del part[at:]
    return bytes(part)


def _values(value: Any, luck: Random, *, data: bool) -> Any:
    """A value with one of its parts replaced by something odd, dropped, or put elsewhere."""
    odd = [one for one in _ODD if data or not isinstance(one, bytes)]
    if not isinstance(value, dict | list) or not value or luck.random() < 0.2:
        return luck.choice(odd)
    if isinstance(value, list):
        place = luck.randrange(len(value))
        times = luck.choice((1, 1, 1, 50))
        if isinstance(value[place], list):  # at each depth of many it would come to more than any memory holds
            times = 1
        return [*value[:place], _values(value[place], luck, data=data), *value[place + 1 :]] * times
    key = luck.choice(list(value))
    changed = dict(value)
    what = luck.random()
    if what < 0.1:
        del changed[key]
    elif what < 0.2:
        changed[luck.choice(["", "id", "ids", "UDID", "Status", "CommandUUID", "x" * 300])] = changed.pop(key)
    else:
        changed[key] = _values(value[key], luck, data=data)
    return changed


def _outside(body: bytes, luck: Random) -> bytes:
    """The event's own values."""
    return json.dumps(_values(json.loads(body), luck, data=False)).encode("utf-8", "surrogatepass")


def _inside(body: bytes, luck: Random) -> bytes:
    """The values of the device's property list, or its bytes."""
    event = json.loads(body)
    key = "acknowledge_event" if "acknowledge_event" in event else "checkin_event"
    raw = b64decode(event[key]["raw_payload"])
    if luck.random() < 0.3:
        raw = _bytes(raw, luck)
    else:
        try:
            changed = _values(plistlib.loads(raw), luck, data=True)
            raw = plistlib.dumps(changed, fmt=luck.choice((plistlib.FMT_XML, plistlib.FMT_BINARY)))
        except Exception:  # bytes that are none any more, or what no property list can say
            raw = _bytes(raw, luck)
    event[key]["raw_payload"] = b64encode(raw).decode()
    return json.dumps(event).encode()


def _deep(body: bytes, luck: Random) -> bytes:
    depth = luck.choice((10, 40, 500, 5000))
    opened, closed = luck.choice(((b"[", b"]"), (b'{"a":', b"}")))
    return body.replace(b'"ids"', b'"x": ' + opened * depth + b"1" + closed * depth + b', "ids"', 1)


_WAYS: Sequence[Callable[[bytes, Random], bytes]] = (_bytes, _outside, _inside, _inside, _deep)


def bodies(seed: int) -> Iterator[bytes]:
    """Without end; the same seed, the same bodies. A tenth of them is left whole."""
    luck, whole = Random(seed), valid()
    while True:
        body = luck.choice(whole)
        if luck.random() < 0.9:
            for _ in range(luck.choice((1, 1, 1, 3))):
                try:
                    body = luck.choice(_WAYS)(body, luck)
                except Exception:  # broken beyond this way
                    body = _bytes(body, luck)
        yield body
