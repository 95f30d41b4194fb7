"""Could a device go by declaration, and how long will commands do for it? By Apple's rules and what is known of it.

Knows one device at a time, whatever plan there may be. Leaves the verdict on a plan's target to `eligibility.py`.
"""

from enum import StrEnum
from typing import NamedTuple

from osupdate_kit.protocol.rules import (
    DECLARATIONS,
    ENFORCEMENT,
    availability,
    command_available,
    command_deprecated,
    declaration_available,
)
from osupdate_kit.protocol.terms import Platform, RequestType
from osupdate_kit.protocol.versions import OSVersion


class Ready(StrEnum):
    """The first that fits, in the order of `ready_of`."""

    PROVED = "has taken declarations"
    READY = "could go by declaration"
    OTHERS = "held by somebody else’s declaration"
    REFUSED = "refuses declarations"
    NO_SERVER = "its server has no declarations here"
    NOT_SUPERVISED = "not supervised"
    TOO_OLD = "its OS is too old"
    NO_PLATFORM = "its platform has none"
    NO_CHANNEL = "no device channel"
    UNKNOWN = "not known well enough"
    GONE = "has left its server"

    @property
    def able(self) -> bool:
        return self in (Ready.PROVED, Ready.READY)


REMEDIES: dict[Ready, str] = {
    Ready.PROVED: "Nothing: plan it.",
    Ready.READY: "Nothing: plan it.",
    Ready.OTHERS: "Have that declaration withdrawn, or leave its updates to whoever gave it.",
    Ready.REFUSED: "It answered DeclarativeManagement with an Error: enrol it anew, and see its story for the words.",
    Ready.NO_SERVER: "Name the server's declarations in the settings (`servers.NAME.declarations`).",
    Ready.NOT_SUPERVISED: "Supervise it: macOS takes an enforcement only so.",
    Ready.TOO_OLD: "Update it by command first: declarations enforce from iOS 17, macOS 14 and tvOS 18.4 on.",
    Ready.NO_PLATFORM: "Update it by other means.",
    Ready.NO_CHANNEL: "Enrol the device itself: a user's enrolment enforces nothing.",
    Ready.UNKNOWN: "Run `osupdate-kit devices sync` and let it answer once.",
    Ready.GONE: "Enrol it again, or take it off the list.",
}


class Commands(StrEnum):
    """How long ScheduleOSUpdate does for a device."""

    WORK = "work until OS 27"
    DEPRECATED = "deprecated; gone in OS 27"
    GONE = "gone"
    NONE = "none for it"  # its platform or its old OS has them not
    UNKNOWN = "not known"


class Known(NamedTuple):
    """What bears on it. told, refused: it answered DeclarativeManagement well, or last with an Error."""

    platform: str
    os_version: str
    supervised: bool | None
    enrollment_type: str
    enrolled: bool
    declared: bool  # by somebody else
    declares: bool  # has its server declarations?
    told: bool
    refused: bool


def ready_of(device: Known) -> Ready:
    """What keeps it from declarations, the lasting before the passing; else whether it has taken one."""
    platform, version = _parsed(device)
    if not device.enrolled:
        return Ready.GONE
    if device.enrollment_type not in ("Device", ""):
        return Ready.NO_CHANNEL
    if platform is None or version is None:
        return Ready.UNKNOWN
    if platform not in _DECLARED_HERE:
        return Ready.NO_PLATFORM
    if not declaration_available(ENFORCEMENT, platform, version):
        return Ready.TOO_OLD
    if platform in DECLARATIONS[ENFORCEMENT].supervised and device.supervised is not True:
        return Ready.UNKNOWN if device.supervised is None else Ready.NOT_SUPERVISED
    if not device.declares:
        return Ready.NO_SERVER
    if device.declared:
        return Ready.OTHERS
    if device.refused:
        return Ready.REFUSED
    return Ready.PROVED if device.told else Ready.READY


_DECLARED_HERE = frozenset(
    platform
    for platform in (Platform.IOS, Platform.IPADOS, Platform.MACOS, Platform.TVOS)
    if availability(DECLARATIONS[ENFORCEMENT].since, platform)
)  # those that the kit plans for


def commands_of(device: Known) -> Commands:
    platform, version = _parsed(device)
    if platform is None or version is None:
        return Commands.UNKNOWN
    if command_available(RequestType.SCHEDULE_OS_UPDATE, platform, version):
        deprecated = command_deprecated(RequestType.SCHEDULE_OS_UPDATE, platform, version)
        return Commands.DEPRECATED if deprecated else Commands.WORK
    return Commands.GONE if platform in _DECLARED_HERE and version.major >= _GONE else Commands.NONE


_GONE = 27


def _parsed(device: Known) -> tuple[Platform | None, OSVersion | None]:
    platform = Platform(device.platform) if device.platform in _PLATFORMS else None
    return platform, OSVersion.parse(device.os_version) if device.os_version else None


_PLATFORMS = frozenset(platform.value for platform in Platform)
