"""The device as its inventory last described it, and the key by which one server addresses it."""

from typing import NamedTuple

from msgspec import Struct

from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion


class DeviceKey(NamedTuple):
    """What identifies a device to us: the server's name in the settings, and the enrollment ID there."""

    server: str
    enrollment_id: str

    def __str__(self) -> str:
        return f"{self.enrollment_id} on {self.server}"


class Device(Struct, frozen=True, kw_only=True, gc=False):  # by the million, and in no circle
    """One enrolled device. None means that nobody has told us yet: unknown, never assumed."""

    key: DeviceKey
    udid: str = ""
    serial: str = ""
    name: str = ""
    platform: Platform | None = None
    model: str = ""
    os_version: OSVersion | None = None
    build_version: str = ""
    supervised: bool | None = None
    enrollment_type: str = "Device"
    site: str = ""
    ring: str = ""
    time_zone: str = ""
    declared: bool = False  # an active declaration already manages its updates
    enrolled: bool = True  # False after CheckOut
    awaiting_configuration: bool = False
    last_seen_at: int = 0
    attributes: dict[str, str] = {}  # further columns of the operator's own lists
    told: dict[str, object] = {}  # what else it told of itself, by Apple's query names
