"""Apple's rules as data: which command, key, action and declaration exists where, since and until when, and for whom.

Knows facts and checks requests and replies against them, with every reason. Leaves the verdict on a device within a
plan to `rollout/eligibility.py`. Sources: Apple's device-management schema (18.2 edition for keys, 27.0 edition for
what is deprecated and removed) and Apple's archived MDM Protocol Reference (access rights).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from osupdate_kit.errors import ProtocolError
from osupdate_kit.protocol.results import Fields, read_result
from osupdate_kit.protocol.terms import CommandStatus, InstallAction, Platform, Priority, RequestType, UpdateStatus
from osupdate_kit.protocol.versions import OSVersion


class Availability(NamedTuple):
    """From when a thing exists on a platform, and until when."""

    introduced: OSVersion
    deprecated: OSVersion | None = None
    removed: OSVersion | None = None

    def covers(self, os_version: OSVersion) -> bool:
        return self.introduced <= os_version and (self.removed is None or os_version < self.removed)


ByPlatform = Mapping[Platform, Availability]


def _since(*, deprecated: str = "", removed: str = "", **introduced: str) -> ByPlatform:
    """By Apple's names of platforms; a platform that is not named never has it, iPadOS follows iOS."""
    until = tuple(OSVersion.parse(text) if text else None for text in (deprecated, removed))
    return {Platform(name): Availability(OSVersion.parse(text), *until) for name, text in introduced.items()}


# --- commands ---


class CommandRule(NamedTuple):
    """Where a command exists, and what it asks of device and enrolment."""

    since: ByPlatform
    supervised: frozenset[Platform] = frozenset()  # where it must be
    app_right: frozenset[Platform] = frozenset()  # where the access right AllowAppInstallation is needed
    user_enrollment: bool = False
    user_channel: frozenset[Platform] = frozenset()


APP_INSTALLATION = 4096  # the bit of AllowAppInstallation in AccessRights
_MOBILE = frozenset({Platform.IOS, Platform.TVOS})
_MOBILE_AND_MAC = _MOBILE | {Platform.MACOS}

COMMANDS: Mapping[RequestType, CommandRule] = {
    RequestType.SCHEDULE_OS_UPDATE: CommandRule(
        _since(iOS="9.0", macOS="10.11", tvOS="12.0", deprecated="26.0", removed="27.0"), _MOBILE_AND_MAC, _MOBILE
    ),
    RequestType.AVAILABLE_OS_UPDATES: CommandRule(
        _since(iOS="9.0", macOS="10.11", tvOS="12.0", deprecated="26.0", removed="27.0"), _MOBILE, _MOBILE
    ),
    RequestType.OS_UPDATE_STATUS: CommandRule(
        _since(iOS="9.0", macOS="10.11.5", tvOS="12.0", deprecated="26.0", removed="27.0"), _MOBILE_AND_MAC, _MOBILE
    ),
    RequestType.SCHEDULE_OS_UPDATE_SCAN: CommandRule(
        _since(macOS="10.11", deprecated="26.0", removed="27.0"), frozenset({Platform.MACOS})
    ),
    RequestType.DEVICE_INFORMATION: CommandRule(
        _since(iOS="4.0", macOS="10.7", tvOS="9.0", visionOS="1.1", watchOS="10.0"),
        user_enrollment=True,
        user_channel=frozenset({Platform.IOS, Platform.MACOS}),
    ),
    RequestType.SECURITY_INFO: CommandRule(
        _since(iOS="4.0", macOS="10.7", tvOS="9.0", visionOS="1.1", watchOS="10.0"),
        user_enrollment=True,
        user_channel=frozenset({Platform.MACOS}),
    ),
}

# --- ScheduleOSUpdate ---

UPDATE_KEYS: Mapping[str, ByPlatform] = {
    "ProductKey": _since(iOS="9.0", macOS="10.11", tvOS="12.0"),
    "ProductVersion": _since(iOS="11.3", macOS="12.0", tvOS="12.2"),
    "InstallAction": _since(iOS="9.0", macOS="10.11", tvOS="12.0"),
    "MaxUserDeferrals": _since(macOS="12.0"),
    "Priority": _since(macOS="12.3"),
}
ACTIONS: Mapping[InstallAction, ByPlatform] = {  # in requests; `Error` is an answer
    InstallAction.DEFAULT: _since(iOS="9.0", macOS="10.11", tvOS="12.0"),
    InstallAction.DOWNLOAD_ONLY: _since(iOS="9.0", macOS="11.0", tvOS="12.0"),
    InstallAction.INSTALL_ASAP: _since(iOS="9.0", macOS="10.11", tvOS="12.0"),
    InstallAction.NOTIFY_ONLY: _since(macOS="10.11"),
    InstallAction.INSTALL_LATER: _since(macOS="10.11"),
    InstallAction.INSTALL_FORCE_RESTART: _since(macOS="11.0"),
}
RESULT_ACTIONS = frozenset(InstallAction) - {InstallAction.DEFAULT}
STATUS_PLATFORMS: Mapping[UpdateStatus, frozenset[Platform]] = {
    UpdateStatus.DOWNLOAD_REQUIRES_COMPUTER: frozenset({Platform.IOS}),
}
PROGRESS_STATUSES = frozenset({UpdateStatus.IDLE, UpdateStatus.DOWNLOADING, UpdateStatus.INSTALLING})

# --- what the other commands ask and answer ---


class ReplyKey(NamedTuple):
    """A key of an item in a reply: its type in the schema, and whether the schema calls it required."""

    type: str
    required: bool
    since: ByPlatform


_ALL = _since(iOS="9.0", macOS="10.11", tvOS="12.0")
_MAC = _since(macOS="10.11")
_RESPONSES = _since(iOS="16.2", macOS="13.1", tvOS="16.2")  # Rapid Security Responses

AVAILABLE_KEYS: Mapping[str, ReplyKey] = {
    "ProductKey": ReplyKey("string", True, _ALL),
    "HumanReadableName": ReplyKey("string", True, _ALL),
    "HumanReadableNameLocale": ReplyKey("string", True, _MAC),
    "MetadataURL": ReplyKey("string", True, _MAC),
    "ProductName": ReplyKey("string", True, _since(iOS="9.0", tvOS="12.0")),
    "Version": ReplyKey("string", True, _ALL),
    "Build": ReplyKey("string", True, _ALL),
    "DownloadSize": ReplyKey("integer", True, _since(iOS="9.0", macOS="10.12", tvOS="12.0")),
    "InstallSize": ReplyKey("integer", True, _since(iOS="9.0", tvOS="12.0")),
    "AppIdentifiersToClose": ReplyKey("array", True, _MAC),
    "IsCritical": ReplyKey("boolean", False, _ALL),
    "IsConfigDataUpdate": ReplyKey("boolean", False, _MAC),
    "IsFirmwareUpdate": ReplyKey("boolean", False, _MAC),
    "IsMajorOSUpdate": ReplyKey("boolean", False, _since(macOS="10.11.4")),
    "RestartRequired": ReplyKey("boolean", False, _ALL),
    "AllowsInstallLater": ReplyKey("boolean", False, _ALL),
    "DeferredUntil": ReplyKey("date", False, _since(macOS="10.12.4")),
    "RequiresBootstrapToken": ReplyKey("boolean", False, _since(macOS="11.0")),
    "IsSecurityResponse": ReplyKey("boolean", True, _RESPONSES),
    "SupplementalBuildVersion": ReplyKey("string", False, _RESPONSES),
    "SupplementalOSVersionExtra": ReplyKey("string", False, _RESPONSES),
}
_STATUS = _since(iOS="9.0", macOS="10.11.5", tvOS="12.0")
_DEFERRALS = _since(macOS="12.3")
STATUS_KEYS: Mapping[str, ReplyKey] = {
    "ProductKey": ReplyKey("string", True, _STATUS),
    "IsDownloaded": ReplyKey("boolean", True, _STATUS),
    "DownloadPercentComplete": ReplyKey("real", True, _STATUS),
    "Status": ReplyKey("string", True, _STATUS),
    "MaxDeferrals": ReplyKey("integer", False, _DEFERRALS),
    "DeferralsRemaining": ReplyKey("integer", False, _DEFERRALS),
    "NextScheduledInstall": ReplyKey("date", False, _DEFERRALS),
    "PastNotifications": ReplyKey("array", False, _DEFERRALS),
}
_TOLERATED = frozenset({"MetadataURL"})  # documented as absent for MSU and major updates

_ASKED = COMMANDS[RequestType.DEVICE_INFORMATION].since
_SUPPLEMENTS = _since(iOS="16.1", macOS="13.0", tvOS="16.1", visionOS="1.1", watchOS="10.0")
QUERIES: Mapping[str, ByPlatform] = {  # of DeviceInformation: those that bear on updates
    "UDID": _ASKED,
    "SerialNumber": _ASKED,
    "DeviceName": _ASKED,
    "OSVersion": _ASKED,
    "BuildVersion": _ASKED,
    "SupplementalBuildVersion": _SUPPLEMENTS,
    "SupplementalOSVersionExtra": _SUPPLEMENTS,
    "IsSupervised": _since(iOS="6.0", macOS="10.15", tvOS="9.0", visionOS="1.1", watchOS="10.0"),
    "ProductName": _ASKED,
    "Model": _since(iOS="4.0", macOS="10.7", tvOS="9.0", watchOS="10.0"),
    "ModelName": _ASKED,
    "IsAppleSilicon": _since(macOS="12.0"),
    "AvailableDeviceCapacity": _since(iOS="4.0", macOS="10.7", visionOS="1.1", watchOS="10.0"),
    "BatteryLevel": _since(iOS="5.0", macOS="13.3", visionOS="1.1", watchOS="10.0"),
    "IsMultiUser": _since(iOS="9.3"),
    "IsMDMLostModeEnabled": _since(iOS="9.3", watchOS="10.0"),
    "AwaitingConfiguration": _since(iOS="9.0", macOS="10.11", tvOS="10.2", visionOS="2.0", watchOS="10.0"),
    "TimeZone": _since(iOS="14.0", tvOS="14.0", visionOS="2.0", watchOS="10.0"),
    "OSUpdateSettings": _since(macOS="10.11", deprecated="26.0", removed="27.0"),
    "SoftwareUpdateSettings": _since(iOS="14.5", removed="27.0"),
    "SoftwareUpdateDeviceID": _since(iOS="15.0", macOS="12.0", visionOS="1.1", removed="27.0"),
}

# --- declarations: the second instrument ---

ENFORCEMENT = "com.apple.configuration.softwareupdate.enforcement.specific"
SETTINGS = "com.apple.configuration.softwareupdate.settings"


class DeclarationRule(NamedTuple):
    """Where a configuration exists, and where only a supervised device takes it."""

    since: ByPlatform
    supervised: frozenset[Platform]


DECLARATIONS: Mapping[str, DeclarationRule] = {
    ENFORCEMENT: DeclarationRule(
        _since(iOS="17.0", macOS="14.0", tvOS="18.4", visionOS="26.0"), frozenset({Platform.MACOS})
    ),
    SETTINGS: DeclarationRule(
        _since(iOS="18.0", macOS="15.0", tvOS="18.4", visionOS="26.0"), frozenset({Platform.MACOS})
    ),
}

# --- lookups: asked for each device, so the answers are kept ---


def availability(since: ByPlatform, platform: Platform) -> Availability | None:
    """The row that applies to a platform; None: it never has it."""
    return since.get(platform.schema)


def _exists(since: ByPlatform, platform: Platform, os_version: OSVersion) -> bool:
    row = availability(since, platform)
    return row is not None and row.covers(os_version)


@lru_cache(maxsize=65536)
def command_available(request_type: RequestType, platform: Platform, os_version: OSVersion) -> bool:
    """Does that OS know the command? Deprecated ones exist, removed ones do not (R01, R02)."""
    return _exists(COMMANDS[request_type].since, platform, os_version)


@lru_cache(maxsize=65536)
def command_deprecated(request_type: RequestType, platform: Platform, os_version: OSVersion) -> bool:
    """Does the command exist there, but no longer should be relied on (R03)?"""
    row = availability(COMMANDS[request_type].since, platform)
    return bool(row and row.covers(os_version) and row.deprecated and row.deprecated <= os_version)


@lru_cache(maxsize=65536)
def action_available(action: InstallAction, platform: Platform, os_version: OSVersion) -> bool:
    """May ScheduleOSUpdate ask for this action there (R09)?"""
    scheduled = command_available(RequestType.SCHEDULE_OS_UPDATE, platform, os_version)
    return scheduled and _exists(ACTIONS.get(action, {}), platform, os_version)


@lru_cache(maxsize=65536)
def key_available(key: str, platform: Platform, os_version: OSVersion) -> bool:
    """May an item of ScheduleOSUpdate's `Updates` hold this key there (R11, R14, R15)?"""
    scheduled = command_available(RequestType.SCHEDULE_OS_UPDATE, platform, os_version)
    return scheduled and _exists(UPDATE_KEYS.get(key, {}), platform, os_version)


@lru_cache(maxsize=65536)
def query_available(query: str, platform: Platform, os_version: OSVersion) -> bool:
    """Does DeviceInformation answer this query there?"""
    return _exists(QUERIES.get(query, {}), platform, os_version)


@lru_cache(maxsize=65536)
def declaration_available(declaration: str, platform: Platform, os_version: OSVersion) -> bool:
    """Does that OS take a configuration of this type (D01)? Unknown types: no."""
    rule = DECLARATIONS.get(declaration)
    return rule is not None and _exists(rule.since, platform, os_version)


def is_major(installed: OSVersion, target: OSVersion) -> bool:
    """Does the first number change? So 10.15 to 11 is major, and 10.14 to 10.15, by Apple's numbers, is not."""
    return installed.major != target.major


# --- the rules by name ---


class Rule(NamedTuple):
    """kind: S from Apple's schema or documentation, K the kit's own policy, P the device would ignore it."""

    kind: str
    says: str
    remedy: str


_AS_SCHEMA = "Correct the request; it is malformed for every device."
_READ_ON = "Nothing to do: what can be read is used, and the rest is kept as a remark."
_DECLARE = "Enforce the update by a declaration."
RULES: Mapping[str, Rule] = {
    "R01": Rule("S", "the command exists on this platform and version", "Update the device by other means once."),
    "R02": Rule("S", "the update commands are gone from OS 27.0 on", _DECLARE),
    "R03": Rule("S", "the update commands are deprecated from OS 26.0 on", _DECLARE),
    "R04": Rule("S", "the device is supervised", "Supervise it: by automated enrolment or Apple Configurator."),
    "R05": Rule("S", "User Enrollment takes no update commands", "Enrol the device itself."),
    "R06": Rule("S", "update commands go to the device channel", "Send it to the device, not to a user of it."),
    "R07": Rule(
        "S", "the enrolment grants AllowAppInstallation (4096)", "Add that right to the MDM profile; enrol anew."
    ),
    "R08": Rule("S", "Updates is a filled array of dictionaries", _AS_SCHEMA),
    "R09": Rule("S", "InstallAction is a word for requests, known to this OS", "Choose an action this OS knows."),
    "R10": Rule("S", "ProductKey or ProductVersion is there", "Name the version, or the key that the device listed."),
    "R11": Rule("S", "this OS takes ProductVersion", "Name the ProductKey that the device listed."),
    "R12": Rule("S", "ProductVersion names no security response", "Name the ProductKey that the device listed."),
    "R13": Rule("K", "a version is one to three numbers joined by dots", "Write it such as 18.7.2."),
    "R14": Rule(
        "S",
        "MaxUserDeferrals is 0 or more, with InstallLater, for a minor update, from macOS 12.0 on",
        "Leave MaxUserDeferrals out, or plan InstallLater for a minor update.",
    ),
    "R15": Rule(
        "S", "Priority is Low or High, for a minor update, from macOS 12.3 on", "Leave Priority out for this device."
    ),
    "R16": Rule("K", "only keys that Apple's schema knows", _AS_SCHEMA),
    "R17": Rule("S", "each value has the type of the schema, and no string is empty", _AS_SCHEMA),
    "R18": Rule("S", "ScheduleOSUpdateScan takes only Force, a boolean; the two queries take no keys", _AS_SCHEMA),
    "R19": Rule(
        "P",
        "no active declaration manages the device's updates",
        "Withdraw that declaration, or leave the device to it.",
    ),
    "R20": Rule("K", "the target is newer than what is installed", "Nothing to do, or plan a newer target."),
    "S01": Rule("S", "a reply has one of five Status words; all but Idle name a command", _READ_ON),
    "S02": Rule("S", "an acknowledged ScheduleOSUpdate without UpdateResults tells nothing: verify", _READ_ON),
    "S03": Rule("S", "an item of UpdateResults has ProductKey, InstallAction and Status, of Apple's words", _READ_ON),
    "S04": Rule("S", "DownloadRequiresComputer comes from iOS only", _READ_ON),
    "S05": Rule("S", "ErrorChain is an array of dictionaries, outermost first", _READ_ON),
    "S06": Rule("S", "an item of AvailableOSUpdates has the keys of its platform", _READ_ON),
    "S07": Rule("S", "an item of OSUpdateStatus has one of three words and a fraction from 0 to 1", _READ_ON),
    "S08": Rule("S", "deferrals are told by macOS from 12.3 on", _READ_ON),
    "S09": Rule("S", "ScanInitiated is a boolean", _READ_ON),
    "S10": Rule("K", "codes 2213, 3 and 12048 say that there is no update, which is no failure", _READ_ON),
}
WARNINGS: Mapping[str, str] = {
    "deprecated": "Apple has deprecated this command; a declaration outlives it.",
    "data_loss": "InstallForceRestart restarts without asking: unsaved work is lost.",
    "major_action_unreliable": "For major upgrades of macOS, only InstallASAP is reported to work.",
    "major_unknown": "Whether this is a major upgrade is not known; then MaxUserDeferrals and Priority do not apply.",
    "access_rights_unknown": "Whether the enrolment grants AllowAppInstallation is not known.",
    "query_unknown": "This OS does not answer one of the queries.",
}


class Violation(NamedTuple):
    rule: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that is wrong, and what is worth saying though it is allowed (keys of WARNINGS)."""

    violations: tuple[Violation, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        return not self.violations


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """What a request is checked against. None: nobody has said, which is never taken for a yes."""

    platform: Platform
    os_version: OSVersion
    supervised: bool | None
    enrollment: str = "device"  # "automated", "device" or "user"
    channel: str = "device"  # "device" or "user"
    access_rights: int | None = None
    shared_ipad: bool = False  # allowed: its device channel takes the commands
    ddm_enforcement_active: bool = False


class _Book:
    """Collects the findings of one check."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self.warnings: list[str] = []

    def breaks(self, rule: str, reason: str) -> None:
        violation = Violation(rule, reason, RULES[rule].remedy)
        if violation not in self.violations:
            self.violations.append(violation)

    def require(self, holds: bool, rule: str, reason: str) -> bool:
        if not holds:
            self.breaks(rule, reason)
        return holds

    def warn(self, word: str) -> None:
        if word not in self.warnings:
            self.warnings.append(word)

    def findings(self) -> Findings:
        return Findings(violations=tuple(self.violations), warnings=tuple(self.warnings))


# --- requests ---


def check_request(
    request: Mapping[str, Any],
    device: RequestContext,
    *,
    target_major: bool | None = None,
    supplement_base: OSVersion | None = None,
) -> Findings:
    """Every rule that this `Command` dictionary would break on this device.

    target_major: what the device's list says of the update; else the versions say, or the product key's ending.
    supplement_base: the version that a security response named by its product key belongs to.
    """
    book = _Book()
    word = request.get("RequestType")
    if word not in tuple(RequestType):
        book.breaks("R16", f"{str(word)[:40]!r} is no command of the kit.")
        return book.findings()
    kind = RequestType(word)
    _check_device(kind, device, book)
    _check_keys(kind, request, device, book)
    if kind is RequestType.SCHEDULE_OS_UPDATE:
        book.require(not device.ddm_enforcement_active, "R19", "A declaration manages this device's updates.")
        updates = request.get("Updates")
        if not isinstance(updates, list):
            book.breaks("R08", "Updates is missing." if updates is None else "Updates is no array.")
            book.require(updates is None, "R17", "Updates is no array.")
        elif not updates:
            book.breaks("R08", "Updates is empty.")
        else:
            for number, item in enumerate(updates):
                if book.require(isinstance(item, dict), "R08", f"Updates[{number}] is no dictionary."):
                    _check_item(item, device, target_major, book)
        if supplement_base is not None:
            installed = device.os_version == supplement_base
            book.require(installed, "R20", f"It belongs to {supplement_base}; {device.os_version} is installed.")
    return book.findings()


def _check_device(kind: RequestType, device: RequestContext, book: _Book) -> None:
    rule, platform = COMMANDS[kind], device.platform.schema
    where = f"{device.platform} {device.os_version}"
    row = availability(rule.since, platform)
    if row is None:
        book.breaks("R01", f"{kind} does not exist on {device.platform}.")
    elif device.os_version < row.introduced:
        book.breaks("R01", f"{kind} came with {device.platform} {row.introduced}; the device has {where}.")
    elif not row.covers(device.os_version):
        book.breaks("R02", f"{kind} is gone since {device.platform} {row.removed}; the device has {where}.")
    elif command_deprecated(kind, platform, device.os_version):
        book.warn("deprecated")
    if platform in rule.supervised:
        unknown = device.supervised is None
        reason = "Nobody has said whether it is supervised." if unknown else "It is not supervised."
        book.require(device.supervised is True, "R04", reason)
    book.require(rule.user_enrollment or device.enrollment != "user", "R05", "It came by User Enrollment.")
    on_user = device.channel != "device"
    book.require(not on_user or platform in rule.user_channel, "R06", f"{kind} was meant for a user channel.")
    if platform in rule.app_right:
        if device.access_rights is None:
            book.warn("access_rights_unknown")
        else:
            granted = bool(device.access_rights & APP_INSTALLATION)
            book.require(granted, "R07", f"The access rights {device.access_rights} lack {APP_INSTALLATION}.")


_OWN_KEYS: Mapping[RequestType, frozenset[str]] = {
    RequestType.SCHEDULE_OS_UPDATE: frozenset({"Updates"}),
    RequestType.SCHEDULE_OS_UPDATE_SCAN: frozenset({"Force"}),
    RequestType.DEVICE_INFORMATION: frozenset({"Queries"}),
}
_BARE = frozenset({RequestType.AVAILABLE_OS_UPDATES, RequestType.OS_UPDATE_STATUS, RequestType.SCHEDULE_OS_UPDATE_SCAN})


def _check_keys(kind: RequestType, request: Mapping[str, Any], device: RequestContext, book: _Book) -> None:
    known = _OWN_KEYS.get(kind, frozenset()) | {"RequestType", "RequestRequiresNetworkTether"}
    for key in request:
        if key not in known:
            book.breaks("R16", f"{kind} has no key {str(key)[:40]!r}.")
            if kind in _BARE:
                book.breaks("R18", f"{kind} takes no {str(key)[:40]!r}.")
    tether = request.get("RequestRequiresNetworkTether", False)
    book.require(isinstance(tether, bool), "R17", "RequestRequiresNetworkTether is no boolean.")
    if kind is RequestType.SCHEDULE_OS_UPDATE_SCAN and not isinstance(request.get("Force", False), bool):
        book.breaks("R17", "Force is no boolean.")
        book.breaks("R18", "Force is no boolean.")
    if kind is RequestType.DEVICE_INFORMATION:
        queries = request.get("Queries")
        if not isinstance(queries, list) or not queries or not all(isinstance(q, str) and q for q in queries):
            book.breaks("R17", "Queries is no filled array of strings.")
        elif not all(query_available(query, device.platform, device.os_version) for query in queries):
            book.warn("query_unknown")


def _check_item(item: Mapping[str, Any], device: RequestContext, target_major: bool | None, book: _Book) -> None:
    for key in item:
        book.require(key in UPDATE_KEYS, "R16", f"Updates has no key {str(key)[:40]!r}.")
    for key in ("InstallAction", "ProductKey", "ProductVersion", "Priority"):
        value = item.get(key, "-")
        book.require(isinstance(value, str) and bool(value), "R17", f"{key} is no filled string.")
    action = _check_action(item, device, book)
    installs = _check_version(item, device, book)
    book.require("ProductKey" in item or "ProductVersion" in item, "R10", "Neither ProductKey nor ProductVersion.")
    major = target_major if target_major is not None else _major(item, device, installs)
    if major is None and ("MaxUserDeferrals" in item or "Priority" in item):
        book.warn("major_unknown")
    if "MaxUserDeferrals" in item:
        _check_deferrals(item["MaxUserDeferrals"], action, major, device, book)
    if "Priority" in item:
        exists = key_available("Priority", device.platform, device.os_version)
        book.require(exists, "R15", f"{device.platform} {device.os_version} does not know Priority.")
        book.require(item["Priority"] in tuple(Priority), "R15", f"{str(item['Priority'])[:40]!r} is no Priority.")
        book.require(major is not True, "R15", "Priority is for minor updates; this is a major one.")
    mac = device.platform is Platform.MACOS
    if mac and major and action not in (None, InstallAction.INSTALL_ASAP, InstallAction.DEFAULT):
        book.warn("major_action_unreliable")
    if action is InstallAction.INSTALL_FORCE_RESTART:
        book.warn("data_loss")


def _check_action(item: Mapping[str, Any], device: RequestContext, book: _Book) -> InstallAction | None:
    word = item.get("InstallAction")
    if word not in tuple(ACTIONS):
        book.breaks("R09", f"InstallAction {str(word)[:40]!r} cannot be asked for.")
        return None
    action = InstallAction(word)
    row = availability(ACTIONS[action], device.platform)
    exists = row is not None and row.covers(device.os_version)
    since = f"came with {row.introduced}" if row else "does not exist"
    book.require(exists, "R09", f"{action} {since} on {device.platform}; the device has {device.os_version}.")
    return action


def _check_version(item: Mapping[str, Any], device: RequestContext, book: _Book) -> OSVersion | None:
    word = item.get("ProductVersion")
    if not isinstance(word, str):
        return None
    exists = _exists(UPDATE_KEYS["ProductVersion"], device.platform, device.os_version)
    book.require(exists, "R11", f"{device.platform} {device.os_version} does not know ProductVersion.")
    book.require("(" not in word, "R12", f"{word[:40]!r} names a security response.")
    try:
        version = OSVersion.parse(word)
    except ProtocolError:
        book.breaks("R13", f"ProductVersion {word[:40]!r} is no version.")
        return None
    book.require(version > device.os_version, "R20", f"{version} is not newer than {device.os_version}.")
    return version


def _major(item: Mapping[str, Any], device: RequestContext, version: OSVersion | None) -> bool | None:
    if version is not None:
        return is_major(device.os_version, version)
    key = str(item.get("ProductKey", ""))
    return key.endswith("_major") if key.endswith(("_major", "_minor")) else None


def _check_deferrals(
    value: object, action: InstallAction | None, major: bool | None, device: RequestContext, book: _Book
) -> None:
    exists = _exists(UPDATE_KEYS["MaxUserDeferrals"], device.platform, device.os_version)
    book.require(exists, "R14", f"{device.platform} {device.os_version} does not know MaxUserDeferrals.")
    if type(value) is not int:
        book.breaks("R14", "MaxUserDeferrals is no integer.")
        book.breaks("R17", "MaxUserDeferrals is no integer.")
    else:
        book.require(value >= 0, "R14", f"MaxUserDeferrals is {value}.")
    book.require(action is InstallAction.INSTALL_LATER, "R14", "MaxUserDeferrals goes with InstallLater only.")
    book.require(major is not True, "R14", "MaxUserDeferrals is for minor updates; this is a major one.")


# --- replies ---


def check_result(fields: Fields, request_type: RequestType, platform: Platform, os_version: OSVersion) -> Findings:
    """Every rule that a reply to `request_type` breaks, read strictly. The service reads on regardless."""
    book = _Book()
    try:
        result = read_result(fields)
    except ProtocolError as error:
        book.breaks("S01", error.args[0])
        return book.findings()
    for remark in result.remarks:
        rule, _, reason = remark.partition(": ")
        book.breaks(rule, reason)
    for update in result.update_results or ():
        platforms = STATUS_PLATFORMS.get(update.status, frozenset(Platform)) if update.status else frozenset(Platform)
        book.require(platform.schema in platforms, "S04", f"{update.status} from {platform}.")
    _check_items(fields, "AvailableOSUpdates", AVAILABLE_KEYS, "S06", platform, os_version, book)
    _check_items(fields, "OSUpdateStatus", STATUS_KEYS, "S08", platform, os_version, book)
    if result.status is CommandStatus.ACKNOWLEDGED and request_type in _ANSWERS:
        key, rule = _ANSWERS[request_type]
        book.require(key in fields, rule, f"{key} is missing")
    return book.findings()


_ANSWERS: Mapping[RequestType, tuple[str, str]] = {
    RequestType.AVAILABLE_OS_UPDATES: ("AvailableOSUpdates", "S06"),
    RequestType.OS_UPDATE_STATUS: ("OSUpdateStatus", "S07"),
    RequestType.SCHEDULE_OS_UPDATE_SCAN: ("ScanInitiated", "S09"),
}


def _check_items(
    fields: Fields,
    array: str,
    keys: Mapping[str, ReplyKey],
    rule: str,
    platform: Platform,
    os_version: OSVersion,
    book: _Book,
) -> None:
    """Required keys of this platform and version are there, and none that it cannot know."""
    items = fields.get(array)
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, dict):
            continue
        for key, row in keys.items():
            exists = _exists(row.since, platform, os_version)
            if key in item:
                book.require(exists, rule, f"{key} from {platform} {os_version}.")
            elif row.required and exists and key not in _TOLERATED and array == "AvailableOSUpdates":
                book.breaks(rule, f"{key} is missing")
