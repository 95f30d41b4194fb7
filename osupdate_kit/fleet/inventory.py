"""Inventory rows ↔ devices: the column contract of lists, tables and selections."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType

from osupdate_kit.errors import ProtocolError
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion

Value = str | int | bool | OSVersion | None


class Kind(StrEnum):
    """What the values of a column are; it decides how they compare and how one filters them."""

    TEXT = "text"  # nearly every device has its own
    CHOICE = "choice"  # few values, shared by many
    VERSION = "version"
    FLAG = "flag"  # yes, no or unknown
    NUMBER = "number"
    MOMENT = "moment"  # microseconds since 1970 UTC, or a date and time of the frame's own kind


COLUMNS: Mapping[str, Callable[[Device], Value]] = MappingProxyType(
    {
        "server": lambda device: device.key.server,
        "enrollment_id": lambda device: device.key.enrollment_id,
        "udid": lambda device: device.udid,
        "serial": lambda device: device.serial,
        "name": lambda device: device.name,
        "platform": lambda device: device.platform.value if device.platform else None,
        "model": lambda device: device.model,
        "os_version": lambda device: device.os_version,
        "build_version": lambda device: device.build_version,
        "supervised": lambda device: device.supervised,
        "enrollment_type": lambda device: device.enrollment_type,
        "enrolled": lambda device: device.enrolled,
        "declared": lambda device: device.declared,
        "awaiting_configuration": lambda device: device.awaiting_configuration,
        "site": lambda device: device.site,
        "ring": lambda device: device.ring,
        "time_zone": lambda device: device.time_zone,
    }
)

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        **dict.fromkeys(("enrollment_id", "udid", "serial", "name"), Kind.TEXT),
        **dict.fromkeys(("server", "platform", "model", "build_version", "enrollment_type"), Kind.CHOICE),
        **dict.fromkeys(("site", "ring", "time_zone"), Kind.CHOICE),
        **dict.fromkeys(("supervised", "enrolled", "declared", "awaiting_configuration"), Kind.FLAG),
        "os_version": Kind.VERSION,
        "last_seen_at": Kind.MOMENT,
    }
)


def value_of(device: Device, column: str) -> Value:
    """A column of the contract, or one of the operator's own lists; None where the device has none."""
    reader = COLUMNS.get(column)
    return reader(device) if reader else device.attributes.get(column)


def as_row(device: Device) -> dict[str, str | bool | int | None]:
    """One flat row for tables and JSON; versions as text, `last_seen_at` in microseconds UTC."""
    row: dict[str, str | bool | int | None] = {}
    for column, reader in COLUMNS.items():
        value = reader(device)
        row[column] = str(value) if isinstance(value, OSVersion) else value
    return row | {"last_seen_at": device.last_seen_at or None} | dict(device.attributes)


def from_row(row: Mapping[str, object]) -> Device:
    """The device of such a row; None and what cannot be read are unknown, further columns become attributes.

    Raises KeyError without `server` and `enrollment_id`.
    """
    known = {column: value for column, value in row.items() if value is not None}
    supervised, seen_at = known.get("supervised"), known.get("last_seen_at")
    return Device(
        key=DeviceKey(str(row["server"]), str(row["enrollment_id"])),
        **{column: str(known.get(column, "")) for column in _TEXTS},
        platform=_PLATFORMS.get(str(known.get("platform"))),
        os_version=_version(str(known.get("os_version"))),
        supervised=None if supervised is None else bool(supervised),
        enrollment_type=str(known.get("enrollment_type", "Device")),
        declared=bool(known.get("declared", False)),
        enrolled=bool(known.get("enrolled", True)),
        awaiting_configuration=bool(known.get("awaiting_configuration", False)),
        last_seen_at=seen_at if isinstance(seen_at, int) else 0,
        attributes={column: str(value) for column, value in known.items() if column not in KINDS},
        told={},
    )


_TEXTS = ("udid", "serial", "name", "model", "build_version", "site", "ring", "time_zone")
_PLATFORMS = {platform.value: platform for platform in Platform}


def _version(text: str) -> OSVersion | None:
    try:
        return OSVersion.parse(text)
    except ProtocolError:
        return None
