"""ScheduleOSUpdate and its kin: typed values → Apple's property lists, and back.

Knows the shape of requests. Leaves to `rules.py` whether a device may be sent one. Source: Apple's device-management
schema, mdm/commands.
"""

import plistlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from osupdate_kit.errors import ProtocolError
from osupdate_kit.protocol.plists import read_plist
from osupdate_kit.protocol.terms import InstallAction, Priority, RequestType
from osupdate_kit.protocol.versions import OSVersion

_REMEDY = "Correct the request; protocol rules R08 to R18 say what it may hold."

QUERIES_FROM_27 = (
    "UDID",
    "SerialNumber",
    "DeviceName",
    "OSVersion",
    "BuildVersion",
    "SupplementalBuildVersion",
    "SupplementalOSVersionExtra",
    "IsSupervised",
    "ProductName",
    "Model",
    "ModelName",
    "IsAppleSilicon",
    "AvailableDeviceCapacity",
    "BatteryLevel",
    "IsMultiUser",
    "IsMDMLostModeEnabled",
    "AwaitingConfiguration",
    "TimeZone",
)
DEFAULT_QUERIES = (*QUERIES_FROM_27, "SoftwareUpdateDeviceID")  # the last one is gone in 27.0


def queries_for(os_version: OSVersion) -> tuple[str, ...]:
    """What a device of that version can be asked by DeviceInformation."""
    return QUERIES_FROM_27 if os_version.major >= 27 else DEFAULT_QUERIES


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateRequest:
    """One item of `Updates`. `product_key` is opaque: only ever what a device listed."""

    install_action: InstallAction
    product_key: str | None = None
    product_version: str | None = None
    max_user_deferrals: int | None = None
    priority: Priority | None = None

    def __post_init__(self) -> None:
        for key, text in (("ProductKey", self.product_key), ("ProductVersion", self.product_version)):
            if text is not None:
                _writable(text, key)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleOSUpdate:
    updates: tuple[UpdateRequest, ...]

    def __post_init__(self) -> None:
        if not self.updates:
            raise ProtocolError("ScheduleOSUpdate without Updates.", remedy=_REMEDY)


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailableOSUpdates:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class OSUpdateStatus:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleOSUpdateScan:
    force: bool = False  # False: the system picks the time


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInformation:
    queries: tuple[str, ...] = DEFAULT_QUERIES

    def __post_init__(self) -> None:
        if not self.queries:
            raise ProtocolError("DeviceInformation without Queries.", remedy=_REMEDY)
        for query in self.queries:
            _writable(query, "Queries")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityInfo:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclarativeManagement:
    """Synchronise with the server's declarations. Without `Data` the device asks for the tokens itself."""


Command: TypeAlias = (
    ScheduleOSUpdate
    | AvailableOSUpdates
    | OSUpdateStatus
    | ScheduleOSUpdateScan
    | DeviceInformation
    | SecurityInfo
    | DeclarativeManagement
)

_REQUEST_TYPES: Mapping[type[Command], RequestType] = {
    ScheduleOSUpdate: RequestType.SCHEDULE_OS_UPDATE,
    AvailableOSUpdates: RequestType.AVAILABLE_OS_UPDATES,
    OSUpdateStatus: RequestType.OS_UPDATE_STATUS,
    ScheduleOSUpdateScan: RequestType.SCHEDULE_OS_UPDATE_SCAN,
    DeviceInformation: RequestType.DEVICE_INFORMATION,
    SecurityInfo: RequestType.SECURITY_INFO,
    DeclarativeManagement: RequestType.DECLARATIVE_MANAGEMENT,
}


def request_type(command: Command) -> RequestType:
    return _REQUEST_TYPES[type(command)]


def request(command: Command) -> dict[str, Any]:
    """The `Command` dictionary, of plain values that JSON can hold, too. `command_of` reads it back."""
    fields: dict[str, Any] = {"RequestType": request_type(command).value}
    match command:
        case ScheduleOSUpdate(updates=updates):
            fields["Updates"] = [_item(update) for update in updates]
        case ScheduleOSUpdateScan(force=force):
            fields["Force"] = force
        case DeviceInformation(queries=queries):
            fields["Queries"] = list(queries)
    return fields


def _item(update: UpdateRequest) -> dict[str, Any]:
    item = {
        "InstallAction": update.install_action.value,
        "ProductKey": update.product_key,
        "ProductVersion": update.product_version,
        "MaxUserDeferrals": update.max_user_deferrals,
        "Priority": update.priority.value if update.priority else None,
    }
    return {key: value for key, value in item.items() if value is not None}


def encode(command: Command, uuid: str) -> bytes:
    """The XML property list that a server queues for devices; the same command and UUID give the same bytes."""
    return encode_request(request(command), uuid)


def encode_request(fields: Mapping[str, object], uuid: str) -> bytes:
    """The envelope around a `Command` dictionary. Raises ProtocolError for values that no property list holds."""
    _writable(uuid, "CommandUUID")
    try:
        return plistlib.dumps({"Command": dict(fields), "CommandUUID": uuid}, sort_keys=True)
    except (TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"The request {uuid} cannot be written: {error}", remedy=_REMEDY) from None


def decode(body: bytes) -> tuple[str, Command]:
    """CommandUUID and command of an envelope. Strict: what `encode` would not have written is a ProtocolError."""
    fields = read_plist(body)
    _only(fields, "the envelope", {"CommandUUID", "Command"})
    command = fields.get("Command")
    if not isinstance(command, dict):
        raise ProtocolError("The envelope holds no Command dictionary.", remedy=_REMEDY)
    return _text(fields, "CommandUUID"), command_of(command)


def command_of(fields: Mapping[str, Any]) -> Command:
    """The command in a `Command` dictionary, as `request` gives it. Strict, as `decode` is."""
    word = fields.get("RequestType")
    match word:
        case RequestType.SCHEDULE_OS_UPDATE:
            _only(fields, word, {"RequestType", "Updates"})
            return ScheduleOSUpdate(updates=tuple(_update(item) for item in _array(fields, "Updates")))
        case RequestType.SCHEDULE_OS_UPDATE_SCAN:
            _only(fields, word, {"RequestType", "Force"})
            force = fields.get("Force", False)
            if not isinstance(force, bool):
                raise ProtocolError("Force is no boolean.", remedy=_REMEDY)
            return ScheduleOSUpdateScan(force=force)
        case RequestType.DEVICE_INFORMATION:
            _only(fields, word, {"RequestType", "Queries"})
            queries = _array(fields, "Queries")
            if not all(isinstance(query, str) for query in queries):
                raise ProtocolError("Queries holds something that is no string.", remedy=_REMEDY)
            return DeviceInformation(queries=tuple(queries))
    if isinstance(word, str) and word in _BARE:
        _only(fields, word, {"RequestType"})
        return _BARE[RequestType(word)]
    raise ProtocolError(f"RequestType {str(word)[:40]!r} is none of the kit's commands.", remedy=_REMEDY)


_BARE: Mapping[RequestType, Command] = {
    RequestType.AVAILABLE_OS_UPDATES: AvailableOSUpdates(),
    RequestType.OS_UPDATE_STATUS: OSUpdateStatus(),
    RequestType.SECURITY_INFO: SecurityInfo(),
    RequestType.DECLARATIVE_MANAGEMENT: DeclarativeManagement(),
}


def _update(item: object) -> UpdateRequest:
    if not isinstance(item, dict):
        raise ProtocolError("Updates holds something that is no dictionary.", remedy=_REMEDY)
    _only(item, "Updates", {"InstallAction", "ProductKey", "ProductVersion", "MaxUserDeferrals", "Priority"})
    deferrals = item.get("MaxUserDeferrals")
    if deferrals is not None and type(deferrals) is not int:
        raise ProtocolError("MaxUserDeferrals is no integer.", remedy=_REMEDY)
    try:
        return UpdateRequest(
            install_action=InstallAction(_text(item, "InstallAction")),
            product_key=_text(item, "ProductKey") if "ProductKey" in item else None,
            product_version=_text(item, "ProductVersion") if "ProductVersion" in item else None,
            max_user_deferrals=deferrals,
            priority=Priority(_text(item, "Priority")) if "Priority" in item else None,
        )
    except ValueError as error:
        raise ProtocolError(
            f"An item of Updates has a word that Apple does not know: {error}", remedy=_REMEDY
        ) from None


def _only(fields: Mapping[str, object], where: str, known: set[str]) -> None:
    unknown = sorted(set(fields) - known)
    if unknown:
        raise ProtocolError(f"{where} has the unknown key {unknown[0][:40]!r}.", remedy=_REMEDY)


def _array(fields: Mapping[str, Any], key: str) -> list[Any]:
    value = fields.get(key)
    if not isinstance(value, list):
        raise ProtocolError(f"{key} is no array.", remedy=_REMEDY)
    return value


def _text(fields: Mapping[str, object], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str):
        raise ProtocolError(f"{key} is no string.", remedy=_REMEDY)
    return _writable(value, key)


def _writable(text: str, key: str) -> str:
    """Not empty, and of characters that come back from XML as they went in."""
    if not text or not text.isprintable():
        raise ProtocolError(f"{key} is empty or holds characters that cannot be sent: {text[:40]!r}.", remedy=_REMEDY)
    return text
