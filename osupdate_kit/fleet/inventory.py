"""Inventory rows ↔ devices: the column contract of lists, tables and selections."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from osupdate_kit.fleet.devices import Device
from osupdate_kit.protocol.versions import OSVersion

Value = str | int | bool | OSVersion | None

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
        "enrolled": lambda device: device.enrolled,
        "site": lambda device: device.site,
        "ring": lambda device: device.ring,
        "time_zone": lambda device: device.time_zone,
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
