"""What a device sent → CommandResult: everything readable, and a remark for everything that breaks a rule.

Reads liberally, since devices of ten years answer: old key names, 0/1 for booleans, reals for integers, absent arrays.
Nothing is dropped in silence. Leaves to `rollout` what an answer means for a device, and to `causes` what words and
codes mean. Sources: Apple's device-management schema; openradar-mirror 19571, 19665, 20593.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from msgspec import Struct

from osupdate_kit.errors import ProtocolError
from osupdate_kit.protocol.causes import CODES, COMMAND_FAILURES, STATUS_FAILURES, FailureClass
from osupdate_kit.protocol.plists import read_plist
from osupdate_kit.protocol.terms import CommandStatus, InstallAction, RequestType, UpdateStatus
from osupdate_kit.protocol.versions import OSVersion

Fields = Mapping[str, Any]
Remarks = list[str]
Item = TypeVar("Item")
_MOST = 1e300  # a number below it; a property list may say inf and nan


class ErrorItem(NamedTuple):
    """One link of an ErrorChain; the outermost comes first."""

    domain: str
    code: int | None
    text: str  # LocalizedDescription, or else USEnglishDescription


class UpdateResult(NamedTuple):
    """One item of UpdateResults. None: missing, or a word that Apple does not know (then a remark holds it)."""

    product_key: str
    install_action: InstallAction | None
    status: UpdateStatus | None
    errors: tuple[ErrorItem, ...] = ()


class AvailableUpdate(Struct, frozen=True, kw_only=True):
    """One item of AvailableOSUpdates. None: the device did not say."""

    product_key: str
    human_readable_name: str
    human_readable_name_locale: str
    product_name: str
    version: str  # as written: items that are no OS have versions of other forms
    build: str
    download_bytes: int | None
    install_bytes: int | None
    metadata_url: str
    app_identifiers_to_close: tuple[str, ...]
    is_critical: bool | None
    is_config_data_update: bool | None
    is_firmware_update: bool | None
    is_major_os_update: bool | None
    is_security_response: bool | None
    restart_required: bool | None
    allows_install_later: bool | None
    requires_bootstrap_token: bool | None
    deferred_until: datetime | None
    supplemental_build_version: str
    supplemental_os_version_extra: str


class UpdateProgress(Struct, frozen=True, kw_only=True):
    """One item of OSUpdateStatus. None: the device did not say."""

    product_key: str
    is_downloaded: bool | None
    download_percent_complete: float | None  # Apple's name; a fraction, 0 to 1
    status: UpdateStatus | None
    max_deferrals: int | None = None
    deferrals_remaining: int | None = None
    next_scheduled_install: datetime | None = None
    past_notifications: tuple[datetime, ...] = ()


class DeviceReport(Struct, frozen=True, kw_only=True):
    """QueryResponses of DeviceInformation: the truth about a device. Empty or None: not answered."""

    udid: str
    serial_number: str
    device_name: str
    os_version: OSVersion | None
    build_version: str
    supplemental_build_version: str
    supplemental_os_version_extra: str
    is_supervised: bool | None
    product_name: str
    model: str
    model_name: str
    is_apple_silicon: bool | None
    available_device_capacity: float | None  # GB of 1024³ bytes
    battery_level: float | None  # 0 to 1; None also for Apple's -1, unknown
    is_multi_user: bool | None
    is_mdm_lost_mode_enabled: bool | None
    awaiting_configuration: bool | None
    time_zone: str
    software_update_device_id: str


class SecurityReport(Struct, frozen=True, kw_only=True):
    """What SecurityInfo says of the bootstrap token."""

    bootstrap_token_allowed_for_authentication: str  # "allowed", "disallowed" or "not supported"
    bootstrap_token_required_for_software_update: bool | None
    bootstrap_token_required_for_kernel_extension_approval: bool | None


class CommandResult(Struct, frozen=True, kw_only=True):
    """One reply. None means that its key is missing, which is another thing than empty."""

    status: CommandStatus
    udid: str = ""
    enrollment_id: str = ""  # instead of the UDID where Apple hides it
    command_uuid: str | None = None
    errors: tuple[ErrorItem, ...] = ()
    update_results: tuple[UpdateResult, ...] | None = None
    available: tuple[AvailableUpdate, ...] | None = None
    update_status: tuple[UpdateProgress, ...] | None = None
    device: DeviceReport | None = None
    security: SecurityReport | None = None
    scan_initiated: bool | None = None
    remarks: tuple[str, ...] = ()  # what breaks a rule: each starts with the rule's id


_STATUSES = {status.value: status for status in CommandStatus}
_ACTIONS = {action.value: action for action in InstallAction}
_UPDATE_STATUSES = {status.value: status for status in UpdateStatus}
_PROGRESS_STATUSES = {s.value: s for s in (UpdateStatus.IDLE, UpdateStatus.DOWNLOADING, UpdateStatus.INSTALLING)}


def read_report(body: bytes) -> CommandResult:
    """The reply in a property list. Raises ProtocolError for what is no reply."""
    return read_result(read_plist(body))


def read_result(fields: Fields) -> CommandResult:
    """The reply in a property list's dictionary. Raises ProtocolError if its Status is missing or unknown."""
    word = fields.get("Status")
    status = _STATUSES.get(word) if type(word) is str else None
    if status is None:
        raise ProtocolError(
            f"S01: Status {_cut(word)} is none of a device's five.", remedy="See whether this is a device's reply."
        )
    remarks: Remarks = []
    uuid = _text(fields, "CommandUUID", "S01", remarks) or None
    if (uuid is None) is not (status is CommandStatus.IDLE):
        remarks.append("S01: a report names no CommandUUID" if uuid is None else "S01: Idle names a CommandUUID")
    udid, enrollment_id = fields.get("UDID"), ""
    if type(udid) is not str or not udid:
        udid = _text(fields, "UDID", "S01", remarks)
        enrollment_id = _text(fields, "EnrollmentID", "S01", remarks)
        if not udid and not enrollment_id:
            remarks.append("S01: neither UDID nor EnrollmentID")
    errors = update_results = available = update_status = device = security = scan = None
    if "ErrorChain" in fields:
        errors = _chain(fields, remarks)
    if "UpdateResults" in fields:
        update_results = _items(fields, "UpdateResults", "S03", _update_result, remarks)
    if "OSUpdateStatus" in fields:
        update_status = _items(fields, "OSUpdateStatus", "S07", _progress, remarks)
    if "AvailableOSUpdates" in fields:
        available = _items(fields, "AvailableOSUpdates", "S06", _available, remarks)
    if "ScanInitiated" in fields:
        scan = _flag(fields, "ScanInitiated", "S09", remarks)
    if "QueryResponses" in fields:
        device = _section(fields, "QueryResponses", _device, remarks)
    if "SecurityInfo" in fields:
        security = _section(fields, "SecurityInfo", _security, remarks)
    return CommandResult(
        status=status,
        udid=udid,
        enrollment_id=enrollment_id,
        command_uuid=uuid,
        errors=errors or (),
        update_results=update_results,
        available=available,
        update_status=update_status,
        device=device,
        security=security,
        scan_initiated=scan,
        remarks=tuple(remarks),
    )


# --- the parts of a reply ---


def _items(
    fields: Fields, key: str, rule: str, read: Callable[[Fields, Remarks], Item], remarks: Remarks
) -> tuple[Item, ...] | None:
    value = fields[key]
    if type(value) is not list:
        remarks.append(f"{rule}: {key} is no array: {_cut(value)}")
        return None
    found = []
    for item in value:
        if isinstance(item, dict):
            found.append(read(item, remarks))
        else:
            remarks.append(f"{rule}: {key} holds no dictionary: {_cut(item)}")
    return tuple(found)


def _section(fields: Fields, key: str, read: Callable[[Fields, Remarks], Item], remarks: Remarks) -> Item | None:
    value = fields[key]
    if isinstance(value, dict):
        return read(value, remarks)
    remarks.append(f"R17: {key} is no dictionary: {_cut(value)}")
    return None


def _chain(fields: Fields, remarks: Remarks) -> tuple[ErrorItem, ...]:
    return _items(fields, "ErrorChain", "S05", _error, remarks) or ()


def _error(item: Fields, remarks: Remarks) -> ErrorItem:
    text = _text(item, "LocalizedDescription", "S05", remarks) or _text(item, "USEnglishDescription", "S05", remarks)
    return ErrorItem(_text(item, "ErrorDomain", "S05", remarks), _whole(item, "ErrorCode", "S05", remarks), text)


def _update_result(item: Fields, remarks: Remarks) -> UpdateResult:
    action = _word(item, "InstallAction", _ACTIONS, "S03", remarks)
    if action is InstallAction.DEFAULT:
        remarks.append("S03: InstallAction 'Default' is for requests only")
    return UpdateResult(
        _required(item, "ProductKey", "S03", remarks),
        action,
        _word(item, "Status", _UPDATE_STATUSES, "S03", remarks),
        _chain(item, remarks) if "ErrorChain" in item else (),
    )


def _available(item: Fields, remarks: Remarks) -> AvailableUpdate:
    rule = "S06"
    config = "IsConfigDataUpdate" if "IsConfigDataUpdate" in item else "IsConfigurationDataUpdate"
    return AvailableUpdate(
        product_key=_required(item, "ProductKey", rule, remarks),
        human_readable_name=_required(item, "HumanReadableName", rule, remarks),
        human_readable_name_locale=_text(item, "HumanReadableNameLocale", rule, remarks),
        product_name=_text(item, "ProductName", rule, remarks),
        version=_required(item, "Version", rule, remarks),
        build=_required(item, "Build", rule, remarks),
        download_bytes=_whole(item, "DownloadSize", rule, remarks),
        install_bytes=_whole(item, "InstallSize", rule, remarks),
        metadata_url=_text(item, "MetadataURL", rule, remarks),
        app_identifiers_to_close=_texts(item, "AppIdentifiersToClose", rule, remarks),
        is_critical=_flag(item, "IsCritical", rule, remarks),
        is_config_data_update=_flag(item, config, rule, remarks),
        is_firmware_update=_flag(item, "IsFirmwareUpdate", rule, remarks),
        is_major_os_update=_flag(item, "IsMajorOSUpdate", rule, remarks),
        is_security_response=_flag(item, "IsSecurityResponse", rule, remarks),
        restart_required=_flag(item, "RestartRequired", rule, remarks),
        allows_install_later=_flag(item, "AllowsInstallLater", rule, remarks),
        requires_bootstrap_token=_flag(item, "RequiresBootstrapToken", rule, remarks),
        deferred_until=_moment(item, "DeferredUntil", rule, remarks),
        supplemental_build_version=_text(item, "SupplementalBuildVersion", rule, remarks),
        supplemental_os_version_extra=_text(item, "SupplementalOSVersionExtra", rule, remarks),
    )


def _progress(item: Fields, remarks: Remarks) -> UpdateProgress:
    for key in ("IsDownloaded", "DownloadPercentComplete"):
        if key not in item:
            remarks.append(f"S07: {key} is missing")
    dates = item.get("PastNotifications") or ()
    if not isinstance(dates, (list, tuple)):
        remarks.append(f"S08: PastNotifications is no array: {_cut(dates)}")
        dates = ()
    moments = (_moment({"PastNotifications": date}, "PastNotifications", "S08", remarks) for date in dates)
    return UpdateProgress(
        product_key=_required(item, "ProductKey", "S07", remarks),
        is_downloaded=_flag(item, "IsDownloaded", "S07", remarks),
        download_percent_complete=_share(item, "DownloadPercentComplete", "S07", remarks),
        status=_word(item, "Status", _PROGRESS_STATUSES, "S07", remarks),
        max_deferrals=_whole(item, "MaxDeferrals", "S08", remarks),
        deferrals_remaining=_whole(item, "DeferralsRemaining", "S08", remarks),
        next_scheduled_install=_moment(item, "NextScheduledInstall", "S08", remarks),
        past_notifications=tuple(moment for moment in moments if moment),
    )


def _share(item: Fields, key: str, rule: str, remarks: Remarks) -> float | None:
    share = _real(item, key, rule, remarks)
    if share is None or 0 <= share <= 1:
        return share
    remarks.append(f"{rule}: {key} {share} is no fraction of 1")
    return share / 100 if 1 < share <= 100 else None


def _device(item: Fields, remarks: Remarks) -> DeviceReport:
    rule = "R17"
    version = _text(item, "OSVersion", "R13", remarks)
    os_version = None
    if version:
        try:
            os_version = OSVersion.parse(version)
        except ProtocolError:
            remarks.append(f"R13: OSVersion {_cut(version)} is no version")
    battery = item.get("BatteryLevel")
    unknown = type(battery) in (int, float) and battery == -1
    return DeviceReport(
        udid=_text(item, "UDID", rule, remarks),
        serial_number=_text(item, "SerialNumber", rule, remarks),
        device_name=_text(item, "DeviceName", rule, remarks),
        os_version=os_version,
        build_version=_text(item, "BuildVersion", rule, remarks),
        supplemental_build_version=_text(item, "SupplementalBuildVersion", rule, remarks),
        supplemental_os_version_extra=_text(item, "SupplementalOSVersionExtra", rule, remarks),
        is_supervised=_flag(item, "IsSupervised", rule, remarks),
        product_name=_text(item, "ProductName", rule, remarks),
        model=_text(item, "Model", rule, remarks),
        model_name=_text(item, "ModelName", rule, remarks),
        is_apple_silicon=_flag(item, "IsAppleSilicon", rule, remarks),
        available_device_capacity=_real(item, "AvailableDeviceCapacity", rule, remarks),
        battery_level=None if unknown else _share(item, "BatteryLevel", rule, remarks),
        is_multi_user=_flag(item, "IsMultiUser", rule, remarks),
        is_mdm_lost_mode_enabled=_flag(item, "IsMDMLostModeEnabled", rule, remarks),
        awaiting_configuration=_flag(item, "AwaitingConfiguration", rule, remarks),
        time_zone=_text(item, "TimeZone", rule, remarks),
        software_update_device_id=_text(item, "SoftwareUpdateDeviceID", rule, remarks),
    )


def _security(item: Fields, remarks: Remarks) -> SecurityReport:
    kernel = "BootstrapTokenRequiredForKernelExtensionApproval"
    return SecurityReport(
        bootstrap_token_allowed_for_authentication=_text(
            item, "BootstrapTokenAllowedForAuthentication", "R17", remarks
        ),
        bootstrap_token_required_for_software_update=_flag(
            item, "BootstrapTokenRequiredForSoftwareUpdate", "R17", remarks
        ),
        bootstrap_token_required_for_kernel_extension_approval=_flag(item, kernel, "R17", remarks),
    )


# --- single values: the readable value, and a remark where the type is not Apple's ---


def _cut(value: object) -> str:
    """At most 80 characters of a stranger's value, for people."""
    if isinstance(value, (dict, list)):
        return f"{type(value).__name__} of {len(value)}"
    return repr(value[:80] if isinstance(value, (str, bytes)) else value)


def _text(item: Fields, key: str, rule: str, remarks: Remarks) -> str:
    value = item.get(key)
    if type(value) is str:
        return value
    if value is None:
        return ""
    remarks.append(f"{rule}: {key} is no string: {_cut(value)}")
    return str(value) if type(value) in (int, float) else ""


def _required(item: Fields, key: str, rule: str, remarks: Remarks) -> str:
    value = _text(item, key, rule, remarks)
    if not value:
        remarks.append(f"{rule}: {key} is missing")
    return value


def _texts(item: Fields, key: str, rule: str, remarks: Remarks) -> tuple[str, ...]:
    values = item.get(key)
    if values is None:
        return ()
    if isinstance(values, (list, tuple)):
        if not all(type(value) is str for value in values):
            remarks.append(f"{rule}: {key} holds something that is no string")
        return tuple(value for value in values if type(value) is str)
    remarks.append(f"{rule}: {key} is no array: {_cut(values)}")
    return ()


def _word(item: Fields, key: str, words: Mapping[str, Item], rule: str, remarks: Remarks) -> Item | None:
    value = item.get(key)
    found = words.get(value) if type(value) is str else None
    if found is None:
        remarks.append(f"{rule}: {key} is missing" if value is None else f"{rule}: {key} {_cut(value)} is not Apple's")
    return found


def _flag(item: Fields, key: str, rule: str, remarks: Remarks) -> bool | None:
    value = item.get(key)
    if value is True or value is False or value is None:
        return value
    if type(value) in (int, float) and value in (0, 1):
        return bool(value)
    remarks.append(f"{rule}: {key} is no boolean: {_cut(value)}")
    return None


def _whole(item: Fields, key: str, rule: str, remarks: Remarks) -> int | None:
    value = item.get(key)
    if type(value) is int or value is None:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    remarks.append(f"{rule}: {key} is no integer: {_cut(value)}")
    if type(value) is str and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return None


def _real(item: Fields, key: str, rule: str, remarks: Remarks) -> float | None:
    value = item.get(key)
    if value is None:
        return None
    if type(value) in (int, float) and abs(value) < _MOST:
        return float(value)
    remarks.append(f"{rule}: {key} is no number: {_cut(value)}")
    return None


def _moment(item: Fields, key: str, rule: str, remarks: Remarks) -> datetime | None:
    value = item.get(key)
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    remarks.append(f"{rule}: {key} is no date: {_cut(value)}")
    return None


# --- failures ---


_VAGUE = frozenset({FailureClass.RETRY, FailureClass.FAILED, FailureClass.UNKNOWN})


class Failure(NamedTuple):
    """One cause for a whole reply."""

    failure_class: FailureClass
    domain: str
    code: int | None
    text: str


def classify(errors: Sequence[ErrorItem]) -> FailureClass:
    """The class of an ErrorChain: the outermost link that names a cause, else the outermost that is known at all."""
    return _cause(errors).failure_class


def failure_of(result: CommandResult) -> Failure | None:
    """Why this reply is no success; None where it is one, or where nothing failed (Idle, NotNow).

    An acknowledged reply fails only if every item of UpdateResults does: whatever goes on must not be called dead.
    """
    status = result.status
    if status is CommandStatus.ACKNOWLEDGED:
        results = result.update_results
        if not results:
            return None
        failures = [_item_failure(item) for item in results]
        return failures[0] if all(failures) else None
    if status is CommandStatus.ERROR:
        return _cause(result.errors)
    if status is CommandStatus.COMMAND_FORMAT_ERROR:
        cause = _cause(result.errors)
        known = cause.failure_class is FailureClass.UNSUPPORTED
        return cause if known else cause._replace(failure_class=COMMAND_FAILURES[status])
    return None


def _cause(errors: Sequence[ErrorItem]) -> Failure:
    known = [(CODES[error.domain, error.code], error) for error in errors if (error.domain, error.code) in CODES]
    telling = next((pair for pair in known if pair[0] not in _VAGUE), None) or next(iter(known), None)
    if telling:
        return Failure(telling[0], *telling[1])
    if errors:
        return Failure(FailureClass.UNKNOWN, *errors[0])
    return Failure(COMMAND_FAILURES[CommandStatus.ERROR], "", None, "The device gave no reason.")


def _item_failure(item: UpdateResult) -> Failure | None:
    by_status = STATUS_FAILURES.get(item.status) if item.status else None
    if by_status is None and item.install_action is not InstallAction.ERROR:
        return None
    cause = _cause(item.errors)
    if by_status is None:
        moving = item.status in (UpdateStatus.DOWNLOADING, UpdateStatus.INSTALLING)
        by_status = FailureClass.PROGRESS if moving and not item.errors else FailureClass.UNKNOWN
    if cause.failure_class in _VAGUE and by_status is not FailureClass.UNKNOWN:
        cause = cause._replace(failure_class=by_status)
    return cause if item.errors or not item.status else cause._replace(text=item.status.value)


def reading(result: CommandResult, request_type: RequestType | None = None, *, target: OSVersion | None = None) -> str:
    """One word for a reply: idle, not_now, no_update, failed:<class>, verify, downloading, downloaded, deferred,
    installing, done, not_done, or acknowledged where nothing more is said.

    request_type: what was asked, if known. target: the version wanted; only a report of it or newer is `done`.
    """
    if result.status is CommandStatus.IDLE:
        return "idle"
    if result.status is CommandStatus.NOT_NOW:
        return "not_now"
    failure = failure_of(result)
    if failure:
        no_update = failure.failure_class is FailureClass.NO_UPDATE
        return "no_update" if no_update else f"failed:{failure.failure_class}"
    if result.device and result.device.os_version and target:
        return "done" if result.device.os_version >= target else "not_done"
    if result.update_status is not None:
        return max((_looks(item) for item in result.update_status), key=_ORDER.index, default="verify")
    if result.update_results is not None:
        words = (_WORDS.get(item.status, "verify") if item.status else "verify" for item in result.update_results)
        return max(words, key=_ORDER.index, default="verify")
    return "verify" if request_type is RequestType.SCHEDULE_OS_UPDATE else "acknowledged"


_ORDER = ("verify", "downloading", "downloaded", "deferred", "installing")
_WORDS = {UpdateStatus.DOWNLOADING: "downloading", UpdateStatus.INSTALLING: "installing"}


def _looks(item: UpdateProgress) -> str:
    if item.status is UpdateStatus.INSTALLING:
        return "installing"
    if item.is_downloaded:
        return "deferred" if item.deferrals_remaining else "downloaded"
    return "downloading" if item.status is UpdateStatus.DOWNLOADING else "verify"
