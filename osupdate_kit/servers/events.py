"""The webhook format that NanoMDM, NanoHUB and MicroMDM share, read and redacted; and what of it the inbox keeps.

Knows the envelope, and which keys of a device's property list may be kept: by allow-list, so that what we do not know
is never stored. Leaves signatures to the servers' own modules, and the meaning of the keys to `protocol.results`.
"""

import binascii
import json
import re
from base64 import b64decode
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from osupdate_kit.errors import ProtocolError, WebhookError
from osupdate_kit.protocol.commands import DEFAULT_QUERIES
from osupdate_kit.protocol.json_text import read_json
from osupdate_kit.protocol.plists import from_json, read_plist, to_json
from osupdate_kit.protocol.rules import DECLARATIONS, STATUS_ITEMS
from osupdate_kit.rollout.ports import ServerEvent, Topic

MAX_BYTES = 1 << 20
USER_CHANNELS = frozenset({"User", "User Enrollment", "Shared iPad"})  # updates go by the device channel only

_MAX_WORD = 255  # characters of an id, as NanoMDM's own tables hold it
_REMEDY = "Check that only the MDM server posts to this address, and that its version is a supported one."
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,12}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_TOPICS = {f"mdm.{topic.value}": topic for topic in Topic if topic is not Topic.OTHER}

# --- What may be kept: a key maps to None (a plain value, or an array of such) or to the shape of what it holds ---

Shape = Mapping[str, "Shape | None"]


def _plain(*keys: str) -> Shape:
    return dict.fromkeys(keys)


_ERRORS = _plain("ErrorDomain", "ErrorCode", "LocalizedDescription", "USEnglishDescription")
_FOREIGN: Shape = {
    **_plain("UDID", "EnrollmentID", "CommandUUID", "Status"),
    "ErrorChain": _ERRORS,
    "UpdateResults": {**_plain("ProductKey", "InstallAction", "Status"), "ErrorChain": _ERRORS},
}
_OURS: Shape = {
    **_FOREIGN,
    "ScanInitiated": None,
    "AvailableOSUpdates": _plain(
        "ProductKey", "HumanReadableName", "HumanReadableNameLocale", "ProductName", "Version", "Build",
        "DownloadSize", "InstallSize", "MetadataURL", "AppIdentifiersToClose", "IsCritical", "RestartRequired",
        "AllowsInstallLater", "IsConfigDataUpdate", "IsConfigurationDataUpdate", "IsFirmwareUpdate", "IsMajorOSUpdate",
        "DeferredUntil", "RequiresBootstrapToken", "IsSecurityResponse", "SupplementalBuildVersion",
        "SupplementalOSVersionExtra",
    ),
    "OSUpdateStatus": _plain(
        "ProductKey", "IsDownloaded", "DownloadPercentComplete", "Status", "MaxDeferrals", "DeferralsRemaining",
        "NextScheduledInstall", "PastNotifications",
    ),
    "QueryResponses": _plain(*DEFAULT_QUERIES),
    "SecurityInfo": _plain(
        "BootstrapTokenAllowedForAuthentication", "BootstrapTokenRequiredForSoftwareUpdate",
        "BootstrapTokenRequiredForKernelExtensionApproval",
    ),
}  # fmt: skip
_CHECKINS: Mapping[Topic, Shape] = {
    Topic.AUTHENTICATE: _plain(
        "UDID", "EnrollmentID", "SerialNumber", "DeviceName", "OSVersion", "BuildVersion", "SupplementalBuildVersion",
        "SupplementalOSVersionExtra", "ProductName", "Model", "ModelName",
    ),
    Topic.TOKEN_UPDATE: _plain("UDID", "EnrollmentID", "AwaitingConfiguration"),
}  # fmt: skip
_REASONS = {**_plain("code", "description"), "details": _plain("Error")}
_DECLARED = {**_plain("identifier", "active", "valid", "server-token"), "reasons": _REASONS}
_REPORT: Shape = {
    "FullReport": None,
    "Errors": {
        "StatusItem": None,
        "Reasons": {**_plain("Code", "Description", "code", "description"), "Details": _plain("Error")},
    },
    "StatusItems": {
        "device": {
            "identifier": _plain("serial-number", "udid"),
            "operating-system": {
                **_plain("version", "build-version"),
                "supplemental": _plain("build-version", "extra-version"),
            },
        },
        "softwareupdate": {
            **_plain("install-state", "device-id", "beta-enrollment"),
            "install-reason": _plain("reason", "declaration-id"),
            "pending-version": _plain("os-version", "build-version", "target-local-date-time"),
            "failure-reason": _plain("count", "reason", "timestamp"),
        },
        "management": {
            "client-capabilities": {
                "supported-versions": None,
                "supported-payloads": {"declarations": _plain("activations", "configurations"), "status-items": None},
            },
            "declarations": dict.fromkeys(("activations", "configurations", "assets", "management"), _DECLARED),
        },
    },
}
_CAPABLE = frozenset(DECLARATIONS) | frozenset(STATUS_ITEMS)  # of what a device can do, what bears on updates
_PLAIN = (str, int, float, datetime)


def _kept(fields: Mapping[str, object], shape: Shape) -> dict[str, object]:
    """The part of `fields` that fits the shape. Data (bytes) and nesting where a plain value belongs are dropped."""
    kept: dict[str, object] = {}
    for key, inner in shape.items():
        value = fields.get(key)
        if value is None:
            continue
        if isinstance(value, list):
            if inner is None:
                kept[key] = [item for item in value if isinstance(item, _PLAIN)]
            else:
                kept[key] = [_kept(item, inner) for item in value if isinstance(item, dict)]
        elif inner is None and isinstance(value, _PLAIN):
            kept[key] = value
        elif inner is not None and isinstance(value, dict):
            kept[key] = _kept(value, inner)
    return kept


def _known(names: list[object]) -> list[object]:
    return [name for name in names if name in _CAPABLE]


def kept_of_report(fields: Mapping[str, object]) -> dict[str, object]:
    """The part of a status report that may be kept; of the long lists of what a device can do, what concerns us."""
    kept = _kept(fields, _REPORT)
    part: Any = kept
    for key in ("StatusItems", "management", "client-capabilities", "supported-payloads"):
        part = part.get(key) if isinstance(part, dict) else None
    for lists in (part, part.get("declarations")) if isinstance(part, dict) else ():
        if isinstance(lists, dict):
            lists |= {key: _known(names) for key, names in lists.items() if isinstance(names, list)}
    return kept


# --- Reading ---


@dataclass(frozen=True, slots=True, kw_only=True)
class RawEvent:
    """An event as it came: it may hold secrets, so it goes nowhere but into `redacted`."""

    topic: Topic
    created_at: int
    enrollment_id: str
    udid: str
    enrollment_type: str
    status: str
    command_uuid: str
    endpoint: str
    _fields: Mapping[str, object]

    def redacted(self, *, ours: bool) -> ServerEvent:
        """What may be kept. ours: the command that is answered was sent by us."""
        shape: Shape = {}
        if self.topic is Topic.CONNECT:
            shape = _OURS if ours else _FOREIGN
        elif self.topic in _CHECKINS:
            shape = _CHECKINS[self.topic]
        declarative = self.topic is Topic.DECLARATIVE_MANAGEMENT
        return ServerEvent(
            topic=self.topic,
            created_at=self.created_at,
            enrollment_id=self.enrollment_id,
            udid=self.udid,
            enrollment_type=self.enrollment_type,
            status=self.status,
            command_uuid=self.command_uuid,
            endpoint=self.endpoint,
            fields=kept_of_report(self._fields) if declarative else _kept(self._fields, shape),
        )

    def __repr__(self) -> str:
        return f"RawEvent({self.topic}, {self.enrollment_id!r})"


def parse_event(body: bytes) -> RawEvent:
    """The event in a webhook's body. Raises WebhookError, and nothing else.

    Idle and CheckOut say nothing beyond their envelope, so their property lists stay unread; so do topics that prove
    nothing for us and user channels, which are Topic.OTHER.
    """
    if len(body) > MAX_BYTES:
        raise WebhookError(f"A webhook body of {len(body)} bytes (at most {MAX_BYTES}).", remedy=_REMEDY)
    try:
        envelope = json.loads(body)
    except (ValueError, RecursionError):
        raise WebhookError("The webhook's body is no JSON.", remedy=_REMEDY) from None
    if not isinstance(envelope, dict):
        raise WebhookError("The webhook's body is no JSON object.", remedy=_REMEDY)
    name = _word(envelope, "topic")
    if not name:
        raise WebhookError("The webhook's event names no topic.", remedy=_REMEDY)
    topic = _TOPICS.get(name, Topic.OTHER)
    created_at = _instant(envelope.get("created_at"))
    part = _object(envelope, "acknowledge_event" if name == "mdm.Connect" else "checkin_event")
    ids = _object(part, "ids")
    enrollment_id, enrollment_type = _word(ids, "id"), _word(ids, "type")
    if enrollment_type in USER_CHANNELS:
        topic = Topic.OTHER
    status = command_uuid = endpoint = ""
    fields: Mapping[str, object] = {}
    if topic is not Topic.OTHER and not enrollment_id:
        raise WebhookError(f"The {name} event names no enrollment ID.", remedy=_REMEDY)
    if topic is Topic.CONNECT:
        status, command_uuid = _word(part, "status"), _word(part, "command_uuid")
        if not status:
            raise WebhookError(f"The report of {enrollment_id} has no status.", remedy=_REMEDY)
    if topic in _CHECKINS or command_uuid or topic is Topic.DECLARATIVE_MANAGEMENT:
        fields = _payload(part, enrollment_id)
    if topic is Topic.DECLARATIVE_MANAGEMENT:
        endpoint = _word(fields, "Endpoint")
        fields = _status_report(fields, enrollment_id) if endpoint == "status" else {}
    return RawEvent(
        topic=topic,
        created_at=created_at,
        enrollment_id=enrollment_id,
        udid=_word(part, "udid"),
        enrollment_type=enrollment_type,
        status=status,
        command_uuid=command_uuid,
        endpoint=endpoint,
        _fields=fields,
    )


def event_from_database(
    topic: Topic,
    created_at: int,
    enrollment_id: str,
    enrollment_type: str,
    *,
    status: str = "",
    command_uuid: str = "",
    payload: bytes = b"",
) -> RawEvent:
    """The event that a webhook would have brought of this row. Raises WebhookError for what no webhook could bring."""
    if len(payload) > MAX_BYTES:
        raise WebhookError(f"An answer of {len(payload)} bytes (at most {MAX_BYTES}).", remedy=_REMEDY)
    words = {"id": enrollment_id, "status": status, "command_uuid": command_uuid}
    one, status, command_uuid = (_word(words, name) for name in words)
    return RawEvent(
        topic=topic,
        created_at=created_at,
        enrollment_id=one,
        udid=one if enrollment_type == "Device" else "",
        enrollment_type=enrollment_type,
        status=status,
        command_uuid=command_uuid,
        endpoint="",
        _fields=_plist(payload, one) if payload else {},
    )


def read_event(body: bytes, *, ours: Callable[[str], bool] | Container[str]) -> ServerEvent:
    """The event in a webhook's body, redacted. ours: is this command UUID one of ours? Raises WebhookError."""
    event = parse_event(body)
    uuid = event.command_uuid
    return event.redacted(ours=bool(uuid) and (ours(uuid) if callable(ours) else uuid in ours))


def _object(fields: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = fields.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise WebhookError(f"The webhook's {key} is no JSON object.", remedy=_REMEDY)
    return value


def _word(fields: Mapping[str, Any], key: str) -> str:
    """A short text without control characters: every database must be able to hold it."""
    value = fields.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _MAX_WORD or not value.isprintable():
        raise WebhookError(f"The webhook's {key} is no text of at most {_MAX_WORD} characters.", remedy=_REMEDY)
    return value


def _instant(value: object) -> int:
    """RFC 3339, with any number of decimals, as microseconds UTC."""
    match = _INSTANT.fullmatch(value) if isinstance(value, str) else None
    try:
        whole, fraction, zone = match.groups() if match else ("", "", "")
        since = datetime.fromisoformat(whole + ("+00:00" if zone in "Zz" else zone)) - _EPOCH
    except (ValueError, OverflowError):
        raise WebhookError("The webhook's created_at is no RFC 3339 time.", remedy=_REMEDY) from None
    return (since.days * 86_400 + since.seconds) * 1_000_000 + int((fraction or "").ljust(6, "0")[:6])


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _payload(part: Mapping[str, Any], enrollment_id: str) -> dict[str, object]:
    raw = part.get("raw_payload")
    try:
        if not isinstance(raw, str):
            raise WebhookError(f"The event of {enrollment_id} has no raw_payload.", remedy=_REMEDY)
        return _plist(b64decode(raw, validate=True), enrollment_id)
    except (binascii.Error, ValueError):
        raise WebhookError(f"The raw_payload of {enrollment_id} is no base64.", remedy=_REMEDY) from None


def _plist(body: bytes, enrollment_id: str) -> dict[str, object]:
    try:
        return read_plist(body)
    except ProtocolError as error:
        said = Exception.__str__(error).partition(":")[0]  # what follows may quote the device's own bytes
        raise WebhookError(f"The raw_payload of {enrollment_id} cannot be read. {said}.", remedy=_REMEDY) from None


def _status_report(fields: Mapping[str, object], enrollment_id: str) -> dict[str, object]:
    data = fields.get("Data")
    try:
        return read_json(data if isinstance(data, bytes) else b"")
    except ProtocolError:
        raise WebhookError(f"The status report of {enrollment_id} cannot be read.", remedy=_REMEDY) from None


# --- What the inbox keeps ---


_encode = json.JSONEncoder(separators=(",", ":")).encode
_decode = msgspec.json.Decoder(list[Any]).decode
_MARK = b'"$'  # every mark of `to_json` begins so; most events have none, and need no second walk


def encode_event(event: ServerEvent) -> bytes:
    """The event as JSON; `decode_event` gives the equal event back."""
    words = [
        event.topic.value, event.created_at, event.enrollment_id, event.udid, event.enrollment_type, event.status,
        event.command_uuid,
    ]  # fmt: skip
    if event.fields or event.endpoint:
        words.append(to_json(event.fields))
    if event.endpoint:
        words.append(event.endpoint)
    return _encode(words).encode("ascii")


def decode_event(body: bytes) -> ServerEvent:
    """The event that `encode_event` was given. Raises ProtocolError for anything else."""
    try:
        topic, created_at, enrollment_id, udid, enrollment_type, status, command_uuid, *more = _decode(body)
        return ServerEvent(
            topic=Topic(topic),
            created_at=created_at,
            enrollment_id=enrollment_id,
            udid=udid,
            enrollment_type=enrollment_type,
            status=status,
            command_uuid=command_uuid,
            fields=(from_json(more[0]) if _MARK in body else more[0]) if more else {},
            endpoint=more[1] if len(more) > 1 else "",
        )
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise ProtocolError(
            f"An event in the inbox cannot be read: {type(error).__name__}.", remedy="Restore the store."
        ) from None
