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
    RequestType.DECLARATIVE_MANAGEMENT: CommandRule(
        _since(iOS="15.0", macOS="13.0", tvOS="16.0", visionOS="1.1", watchOS="10.0"),
        user_enrollment=True,
        user_channel=frozenset({Platform.IOS, Platform.MACOS}),
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
SUBSCRIPTIONS = "com.apple.configuration.management.status-subscriptions"
ACTIVATION = "com.apple.activation.simple"


class DeclarationRule(NamedTuple):
    """Where a declaration exists, where only a supervised device takes it, and whether User Enrollment does."""

    since: ByPlatform
    supervised: frozenset[Platform] = frozenset()
    user_enrollment: bool = False


DECLARATIONS: Mapping[str, DeclarationRule] = {
    ENFORCEMENT: DeclarationRule(
        _since(iOS="17.0", macOS="14.0", tvOS="18.4", visionOS="26.0"), frozenset({Platform.MACOS})
    ),
    SETTINGS: DeclarationRule(
        _since(iOS="18.0", macOS="15.0", tvOS="18.4", visionOS="26.0"), frozenset({Platform.MACOS})
    ),
    SUBSCRIPTIONS: DeclarationRule(
        _since(iOS="15.0", macOS="13.0", tvOS="16.0", visionOS="1.1", watchOS="10.0"),
        frozenset({Platform.MACOS, Platform.WATCHOS}),
        user_enrollment=True,
    ),
    ACTIVATION: DeclarationRule(
        _since(iOS="15.0", macOS="13.0", tvOS="16.0", visionOS="1.1", watchOS="10.0"), user_enrollment=True
    ),
}


class DeclarationKey(NamedTuple):
    """A key of a declaration's Payload, and where it exists. The keys of an array's dictionaries stand right below it.

    words: the closed list, if there is one. span: the least and the greatest number. supervised: where the device
    must be.
    """

    type: str
    since: ByPlatform
    required: bool = False
    words: tuple[str, ...] = ()
    span: tuple[int, int] | None = None
    supervised: frozenset[Platform] = frozenset()


def _but(since: ByPlatform, *platforms: Platform) -> ByPlatform:
    return {platform: row for platform, row in since.items() if platform not in platforms}


_ENFORCED = DECLARATIONS[ENFORCEMENT].since
_SET = DECLARATIONS[SETTINGS].since
_NOT_MAC = _but(_SET, Platform.MACOS)
_ONLY_MAC = _since(macOS="15.0")
_NOT_TV = _but(_SET, Platform.TVOS)
_RESPONSE_SETTINGS = _since(iOS="18.0", macOS="15.0")
_BETA = _since(iOS="18.0", macOS="15.4")
_IOS_AND_MAC = frozenset({Platform.IOS, Platform.MACOS})
_EVERYWHERE = frozenset(_SET)
_MAC_ONLY = frozenset({Platform.MACOS})
_CONTROL = ("Allowed", "AlwaysOn", "AlwaysOff")
_DAYS = (1, 90)

DECLARATION_KEYS: Mapping[str, Mapping[str, DeclarationKey]] = {  # by type, and by the path within Payload
    ENFORCEMENT: {
        "TargetOSVersion": DeclarationKey("string", _ENFORCED, required=True, supervised=_MAC_ONLY),
        "TargetBuildVersion": DeclarationKey("string", _ENFORCED, supervised=_MAC_ONLY),
        "TargetLocalDateTime": DeclarationKey("string", _ENFORCED, required=True, supervised=_MAC_ONLY),
        "DetailsURL": DeclarationKey("string", _ENFORCED, supervised=_MAC_ONLY),
    },
    SETTINGS: {
        "Notifications": DeclarationKey("boolean", _SET, supervised=_MAC_ONLY),
        "Deferrals": DeclarationKey("dictionary", _SET, supervised=_EVERYWHERE),
        "Deferrals.CombinedPeriodInDays": DeclarationKey("integer", _NOT_MAC, span=_DAYS, supervised=_EVERYWHERE),
        "Deferrals.MajorPeriodInDays": DeclarationKey("integer", _ONLY_MAC, span=_DAYS, supervised=_EVERYWHERE),
        "Deferrals.MinorPeriodInDays": DeclarationKey("integer", _ONLY_MAC, span=_DAYS, supervised=_EVERYWHERE),
        "Deferrals.SystemPeriodInDays": DeclarationKey("integer", _ONLY_MAC, span=_DAYS, supervised=_EVERYWHERE),
        "RecommendedCadence": DeclarationKey(
            "string", _but(_NOT_MAC, Platform.TVOS), words=("All", "Oldest", "Newest"), supervised=_MAC_ONLY
        ),
        "AutomaticActions": DeclarationKey("dictionary", _SET, supervised=_EVERYWHERE),
        "AutomaticActions.Download": DeclarationKey("string", _NOT_TV, words=_CONTROL, supervised=_EVERYWHERE),
        "AutomaticActions.InstallOSUpdates": DeclarationKey("string", _SET, words=_CONTROL, supervised=_EVERYWHERE),
        "AutomaticActions.InstallSecurityUpdate": DeclarationKey(
            "string", _NOT_TV, words=_CONTROL, supervised=_EVERYWHERE
        ),
        "RapidSecurityResponse": DeclarationKey("dictionary", _RESPONSE_SETTINGS, supervised=_IOS_AND_MAC),
        "RapidSecurityResponse.Enable": DeclarationKey("boolean", _RESPONSE_SETTINGS, supervised=_IOS_AND_MAC),
        "RapidSecurityResponse.EnableRollback": DeclarationKey("boolean", _RESPONSE_SETTINGS, supervised=_IOS_AND_MAC),
        "AllowStandardUserOSUpdates": DeclarationKey("boolean", _ONLY_MAC, supervised=_MAC_ONLY),
        "Beta": DeclarationKey("dictionary", _BETA, supervised=_MAC_ONLY),
        "Beta.ProgramEnrollment": DeclarationKey("string", _BETA, words=_CONTROL, supervised=_IOS_AND_MAC),
        "Beta.OfferPrograms": DeclarationKey("array", _BETA, supervised=_MAC_ONLY),
        "Beta.OfferPrograms.Description": DeclarationKey("string", _BETA, required=True, supervised=_MAC_ONLY),
        "Beta.OfferPrograms.Token": DeclarationKey("string", _BETA, required=True, supervised=_MAC_ONLY),
        "Beta.RequireProgram": DeclarationKey("dictionary", _BETA, supervised=_IOS_AND_MAC),
        "Beta.RequireProgram.Description": DeclarationKey("string", _BETA, required=True, supervised=_IOS_AND_MAC),
        "Beta.RequireProgram.Token": DeclarationKey("string", _BETA, required=True, supervised=_IOS_AND_MAC),
    },
    SUBSCRIPTIONS: {
        "StatusItems": DeclarationKey(
            "array", DECLARATIONS[SUBSCRIPTIONS].since, required=True, supervised=DECLARATIONS[SUBSCRIPTIONS].supervised
        ),
        "StatusItems.Name": DeclarationKey(
            "string",
            DECLARATIONS[SUBSCRIPTIONS].since,
            required=True,
            supervised=DECLARATIONS[SUBSCRIPTIONS].supervised,
        ),
    },
    ACTIVATION: {
        "StandardConfigurations": DeclarationKey("array", DECLARATIONS[ACTIVATION].since, required=True),
        "Predicate": DeclarationKey("string", DECLARATIONS[ACTIVATION].since),
    },
}

_SYSTEM = _since(iOS="15.0", macOS="13.0", tvOS="16.0", visionOS="1.1", watchOS="10.0")
_SYSTEM_SUPPLEMENT = _since(iOS="16.1", macOS="13.0", tvOS="16.1", visionOS="1.1", watchOS="10.0")
_IDENTITY = _since(iOS="16.0", macOS="13.0", tvOS="16.0", visionOS="1.1", watchOS="10.0")
STATUS_ITEMS: Mapping[str, ByPlatform] = {  # what a device can be asked to report: those that bear on updates
    "device.identifier.serial-number": _IDENTITY,
    "device.identifier.udid": _IDENTITY,
    "device.operating-system.version": _SYSTEM,
    "device.operating-system.build-version": _SYSTEM,
    "device.operating-system.supplemental.build-version": _SYSTEM_SUPPLEMENT,
    "device.operating-system.supplemental.extra-version": _SYSTEM_SUPPLEMENT,
    "softwareupdate.install-state": _ENFORCED,
    "softwareupdate.install-reason": _ENFORCED,
    "softwareupdate.pending-version": _ENFORCED,
    "softwareupdate.failure-reason": _ENFORCED,
    "softwareupdate.device-id": _SET,
    "softwareupdate.beta-enrollment": _RESPONSE_SETTINGS,
}

# --- lookups: asked for each device, so the answers are kept ---


def availability(since: ByPlatform, platform: Platform) -> Availability | None:
    """The row that applies to a platform; None: it never has it."""
    return since.get(platform.schema)


def known_on(since: ByPlatform, platform: Platform, os_version: OSVersion) -> bool:
    row = availability(since, platform)
    return row is not None and row.covers(os_version)


@lru_cache(maxsize=65536)
def command_available(request_type: RequestType, platform: Platform, os_version: OSVersion) -> bool:
    """Does that OS know the command? Deprecated ones exist, removed ones do not (R01, R02)."""
    return known_on(COMMANDS[request_type].since, platform, os_version)


@lru_cache(maxsize=65536)
def command_deprecated(request_type: RequestType, platform: Platform, os_version: OSVersion) -> bool:
    """Does the command exist there, but no longer should be relied on (R03)?"""
    row = availability(COMMANDS[request_type].since, platform)
    return bool(row and row.covers(os_version) and row.deprecated and row.deprecated <= os_version)


@lru_cache(maxsize=65536)
def action_available(action: InstallAction, platform: Platform, os_version: OSVersion) -> bool:
    """May ScheduleOSUpdate ask for this action there (R09)?"""
    scheduled = command_available(RequestType.SCHEDULE_OS_UPDATE, platform, os_version)
    return scheduled and known_on(ACTIONS.get(action, {}), platform, os_version)


@lru_cache(maxsize=65536)
def key_available(key: str, platform: Platform, os_version: OSVersion) -> bool:
    """May an item of ScheduleOSUpdate's `Updates` hold this key there (R11, R14, R15)?"""
    scheduled = command_available(RequestType.SCHEDULE_OS_UPDATE, platform, os_version)
    return scheduled and known_on(UPDATE_KEYS.get(key, {}), platform, os_version)


@lru_cache(maxsize=65536)
def query_available(query: str, platform: Platform, os_version: OSVersion) -> bool:
    """Does DeviceInformation answer this query there?"""
    return known_on(QUERIES.get(query, {}), platform, os_version)


@lru_cache(maxsize=65536)
def declaration_available(declaration: str, platform: Platform, os_version: OSVersion) -> bool:
    """Does that OS take a declaration of this type (D01)? Unknown types: no."""
    rule = DECLARATIONS.get(declaration)
    return rule is not None and known_on(rule.since, platform, os_version)


@lru_cache(maxsize=65536)
def status_items(platform: Platform, os_version: OSVersion) -> tuple[str, ...]:
    """What a device of that platform and version can be subscribed to; others it would report as errors."""
    return tuple(name for name, since in STATUS_ITEMS.items() if known_on(since, platform, os_version))


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
    "D01": Rule(
        "S",
        "the declaration exists on this platform and version, and the enrolment takes it",
        "Update it by command, or by hand; on macOS, supervise it.",
    ),
    "D02": Rule(
        "S",
        "Type, Identifier (64 bytes at most) and Payload, and in it the required keys, each of Apple's type and words",
        "Correct the declaration; it is malformed for every device.",
    ),
    "D03": Rule(
        "S",
        "TargetLocalDateTime is yyyy-mm-ddThh:mm:ss, without time zone or fraction",
        "Write it such as 2026-11-20T19:00:00; each device reads it in its own time zone.",
    ),
    "D04": Rule("P", "the target is newer than what is installed", "Nothing to do, or plan a newer target."),
    "D05": Rule("S", "a delay is of 1 to 90 days", "Choose a number from 1 to 90, or leave the delay out."),
    "D06": Rule(
        "S", "a key of the payload exists on this platform and version, for its supervision", "Leave that key out."
    ),
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


class Book:
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
    book = Book()
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


def _check_device(kind: RequestType, device: RequestContext, book: Book) -> None:
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


def _check_keys(kind: RequestType, request: Mapping[str, Any], device: RequestContext, book: Book) -> None:
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


def _check_item(item: Mapping[str, Any], device: RequestContext, target_major: bool | None, book: Book) -> None:
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


def _check_action(item: Mapping[str, Any], device: RequestContext, book: Book) -> InstallAction | None:
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


def _check_version(item: Mapping[str, Any], device: RequestContext, book: Book) -> OSVersion | None:
    word = item.get("ProductVersion")
    if not isinstance(word, str):
        return None
    exists = known_on(UPDATE_KEYS["ProductVersion"], device.platform, device.os_version)
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
    value: object, action: InstallAction | None, major: bool | None, device: RequestContext, book: Book
) -> None:
    exists = known_on(UPDATE_KEYS["MaxUserDeferrals"], device.platform, device.os_version)
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
    book = Book()
    try:
        result = read_result(fields)
    except ProtocolError as error:
        book.breaks("S01", error.args[0].removeprefix("S01: "))
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
    book: Book,
) -> None:
    """Required keys of this platform and version are there, and none that it cannot know."""
    items = fields.get(array)
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, dict):
            continue
        for key, row in keys.items():
            exists = known_on(row.since, platform, os_version)
            if key in item:
                book.require(exists, rule, f"{key} from {platform} {os_version}.")
            elif row.required and exists and key not in _TOLERATED and array == "AvailableOSUpdates":
                book.breaks(rule, f"{key} is missing")
