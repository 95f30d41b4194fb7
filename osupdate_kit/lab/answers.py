"""What a simulated device answers to each command, in Apple's words and with the errors that the field has seen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

from osupdate_kit.lab.clock import DAY, SECOND
from osupdate_kit.lab.declared import Declarative
from osupdate_kit.lab.habits import Presence
from osupdate_kit.lab.specs import DeviceSpec, Release
from osupdate_kit.lab.updates import GONE_IN, Phase, Refusal, SoftwareUpdates
from osupdate_kit.protocol.terms import CommandStatus, InstallAction, Platform, RequestType, UpdateStatus
from osupdate_kit.protocol.versions import OSVersion

COUNTED_DEFERRALS = OSVersion.parse("12.3")
Keys = dict[str, object]

MDM_ERRORS: Mapping[int, str] = {
    12021: "The request type is not valid.",
    12048: "No update is available.",
    12050: "The scan for updates failed.",
    12051: "A download is in progress.",
    12054: "There is not enough space to download the update.",
    12057: "The download failed.",
    12058: "An install is in progress.",
    12059: "The update must be downloaded before it can be installed.",
    12061: "There is not enough power to install the update.",
    12062: "The install failed.",
    12077: "Not permitted while a user is logged in.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A report's status and its keys; `swallowed`: a restart comes first, and the report never leaves the device."""

    status: CommandStatus = CommandStatus.ACKNOWLEDGED
    keys: Mapping[str, object] = field(default_factory=dict)
    swallowed: bool = False


class _Chain(Exception):
    """An Error with a chain that is not of MCMDMErrorDomain."""

    def __init__(self, *errors: Mapping[str, object]) -> None:
        super().__init__()
        self.errors = list(errors)


class Answers:
    """Of one device."""

    def __init__(
        self, spec: DeviceSpec, updates: SoftwareUpdates, declared: Declarative, presence: Presence, random: Random
    ) -> None:
        self._spec, self._updates, self._presence, self._random = spec, updates, presence, random
        self._declared = declared
        self._scans_fail = spec.behaviour.scans_fail

    def to(self, now: int, uuid: str, command: Mapping[str, Any]) -> Answer:
        """Act on a command, and say what to report."""
        kind = str(command.get("RequestType"))
        try:
            if kind in _UPDATE_COMMANDS:
                if self._busy(now):
                    return Answer(status=CommandStatus.NOT_NOW)
                self._may_ask(kind)
            if kind == RequestType.SCHEDULE_OS_UPDATE:
                return self._schedule(now, uuid, command)
            return Answer(keys=_QUERIES.get(kind, Answers._unknown)(self, now, command))
        except Refusal as refusal:
            return Answer(status=CommandStatus.ERROR, keys={"ErrorChain": [_mdm_error(refusal.code)]})
        except _Chain as chain:
            return Answer(status=CommandStatus.ERROR, keys={"ErrorChain": chain.errors})

    def _busy(self, now: int) -> bool:
        habits = self._spec.behaviour
        share = max(habits.not_now, habits.night_not_now if self._presence.night(now) else 0)
        return share > 0 and self._random.random() < share

    def _may_ask(self, kind: str) -> None:
        """Raises what bars an update command on this device altogether."""
        free = self._updates.mac and kind == RequestType.AVAILABLE_OS_UPDATES
        if not self._spec.supervised and not free:
            raise _Chain(_UNSUPERVISED)
        if self._updates.version >= GONE_IN:
            raise Refusal(12021)

    # --- ScheduleOSUpdate ---------------------------------------------------------------------------------------------

    def _schedule(self, now: int, uuid: str, command: Mapping[str, Any]) -> Answer:
        updates = command.get("Updates")
        if not self._well_formed(updates):
            return Answer(status=CommandStatus.COMMAND_FORMAT_ERROR, keys={"ErrorChain": [_mdm_error(12008)]})
        if self._spec.shared_ipad and not self._presence.night(now) and self._random.random() < 0.5:
            raise Refusal(12077)
        if self._spec.behaviour.fails_unlisted:
            raise _Chain(_UNLISTED[self._spec.seed % len(_UNLISTED)])
        if self._declared.enforcing:
            raise _Chain(_DECLARED)
        installing, results = self._updates.installing, []
        for item in updates or []:
            try:
                result = self._updates.take(now, uuid, item)
            except Refusal as refusal:
                if not self._updates.mac or refusal.status is UpdateStatus.IDLE:
                    raise
                result = {"ProductKey": str(item.get("ProductKey", "")), "InstallAction": InstallAction.ERROR.value}
                result |= {"Status": refusal.status.value, "ErrorChain": [_mdm_error(refusal.code)]}
            if result:
                results.append(result)
        current = self._updates.current
        if current and current.step == uuid and self._spec.behaviour.false_error:
            raise Refusal(12062)
        begins = self._updates.installing and not installing
        swallowed = begins and self._random.random() < self._spec.behaviour.swallows
        return Answer(keys={"UpdateResults": results} if results else {}, swallowed=swallowed)

    def _well_formed(self, updates: object) -> bool:
        """Apple's schema as the device checks it: types, actions and keys of its platform."""
        if not isinstance(updates, list) or not updates:
            return False
        for item in updates:
            if not isinstance(item, dict) or item.get("InstallAction") not in _ACTIONS[self._updates.mac]:
                return False
            if not isinstance(item.get("ProductKey", item.get("ProductVersion")), str):
                return False
            deferrals, priority = item.get("MaxUserDeferrals", 0), item.get("Priority", "Low")
            if type(deferrals) is not int or deferrals < 0 or priority not in ("Low", "High"):
                return False
            if not self._updates.mac and ("MaxUserDeferrals" in item or "Priority" in item):
                return False
        return True

    def _unknown(self, now: int, command: Mapping[str, Any]) -> Keys:
        raise Refusal(12021)

    def _declarative(self, now: int, command: Mapping[str, Any]) -> Keys:
        if not self._declared.able:
            raise Refusal(12021)
        self._declared.command(now, command.get("Data"))
        return {}

    # --- Queries ------------------------------------------------------------------------------------------------------

    def _scan(self, now: int, command: Mapping[str, Any]) -> Keys:
        if not self._updates.mac:
            raise Refusal(12021)
        self._updates.scan(now)
        return {"ScanInitiated": True}

    def _available(self, now: int, command: Mapping[str, Any]) -> Keys:
        listed = [release for release in self._updates.releases if self._updates.applies(release)]
        listed = [release for release in listed if not self._declared.manages(release)]
        if self._updates.mac:
            if self._scans_fail > 0:
                self._scans_fail -= 1
                raise Refusal(12050)
            return {"AvailableOSUpdates": [self._listed(r) for r in listed] if self._updates.fresh(now) else []}
        if not listed:
            raise _Chain(*_NO_UPDATE)
        newest = max(listed, key=lambda release: (release.number, release.extra))
        return {"AvailableOSUpdates": [self._listed(newest)]}

    def _listed(self, release: Release) -> dict[str, object]:
        words: dict[str, object] = {"ProductKey": release.product_key, "HumanReadableName": release.name}
        words |= {"Version": release.version, "Build": release.build, "DownloadSize": release.download_bytes}
        words |= {"IsCritical": False, "RestartRequired": release.os, "AllowsInstallLater": True}
        words |= {"IsSecurityResponse": bool(release.extra)}
        if release.extra:
            words |= {"SupplementalBuildVersion": release.build, "SupplementalOSVersionExtra": release.extra}
        if not self._updates.mac:
            return words | {"ProductName": self._spec.platform.schema.value, "InstallSize": release.install_bytes}
        words |= {"HumanReadableNameLocale": "en-US", "AppIdentifiersToClose": [], "IsConfigDataUpdate": False}
        words |= {"IsFirmwareUpdate": False, "RequiresBootstrapToken": self._spec.apple_silicon}
        return words | {"IsMajorOSUpdate": release.os and release.number.major > self._updates.version.major}

    def _status(self, now: int, command: Mapping[str, Any]) -> Keys:
        update = self._updates.current
        if update is None or update.declared:
            return {"OSUpdateStatus": []}
        loaded = update.phase is not Phase.LOADING
        share = (now - update.started_at) / max(1, update.done_at - update.started_at)
        percent = 1.0 if loaded else min(0.99, max(0.0, share))
        status = {Phase.LOADING: UpdateStatus.DOWNLOADING, Phase.INSTALLING: UpdateStatus.INSTALLING}
        item: dict[str, object] = {"ProductKey": update.release.product_key, "IsDownloaded": loaded}
        item |= {"DownloadPercentComplete": round(percent, 4)}
        item |= {"Status": status.get(update.phase, UpdateStatus.IDLE).value}
        if self._updates.mac and self._updates.version >= COUNTED_DEFERRALS and update.max_deferrals is not None:
            item |= {"MaxDeferrals": update.max_deferrals, "DeferralsRemaining": update.deferrals_left}
            if update.next_prompt_at:
                item["NextScheduledInstall"] = _date(update.next_prompt_at + update.deferrals_left * DAY)
            item["PastNotifications"] = [_date(at) for at in update.notified_at]
        return {"OSUpdateStatus": [item]}

    def _information(self, now: int, command: Mapping[str, Any]) -> Keys:
        spec, habits = self._spec, self._spec.behaviour
        known: dict[str, object] = {
            "UDID": spec.udid,
            "SerialNumber": spec.serial,
            "DeviceName": spec.name,
            "OSVersion": self._updates.version.text,
            "BuildVersion": self._updates.build,
            "SupplementalBuildVersion": self._updates.build,
            "SupplementalOSVersionExtra": self._updates.extra,
            "IsSupervised": spec.supervised,
            "ProductName": spec.product_name,
            "Model": spec.model,
            "ModelName": _FAMILIES[spec.platform],
            "DeviceCapacity": 64.0,
            "AvailableDeviceCapacity": 1.5 if habits.disk_full and not habits.disk_full_hours else 23.25,
            "BatteryLevel": -1.0 if spec.platform is Platform.TVOS else 0.06 if self._updates.flat(now) else 0.83,
        }
        if self._updates.mac:
            known["IsAppleSilicon"] = spec.apple_silicon
        else:
            known["IsMultiUser"] = spec.shared_ipad
        if self._updates.version < GONE_IN:
            known["SoftwareUpdateDeviceID"] = spec.product_name
        asked = command.get("Queries")
        answers = {key: known[key] for key in asked if key in known} if isinstance(asked, list) else known
        return {"QueryResponses": answers}

    def _security(self, now: int, command: Mapping[str, Any]) -> Keys:
        if self._updates.mac:
            silicon = self._spec.apple_silicon
            allowed = "not supported" if not silicon else "allowed" if self._spec.bootstrap_token else "disallowed"
            known: dict[str, object] = {"FDE_Enabled": True, "SystemIntegrityProtectionEnabled": True}
            known |= {"BootstrapTokenAllowedForAuthentication": allowed}
            known |= {"BootstrapTokenRequiredForSoftwareUpdate": silicon}
        else:
            known = {"PasscodePresent": self._spec.passcode, "HardwareEncryptionCaps": 3, "PasscodeCompliant": True}
        return {"SecurityInfo": known}


_QUERIES: Mapping[str, Callable[[Answers, int, Mapping[str, Any]], Keys]] = {
    RequestType.AVAILABLE_OS_UPDATES: Answers._available,
    RequestType.OS_UPDATE_STATUS: Answers._status,
    RequestType.SCHEDULE_OS_UPDATE_SCAN: Answers._scan,
    RequestType.DEVICE_INFORMATION: Answers._information,
    RequestType.SECURITY_INFO: Answers._security,
    RequestType.DECLARATIVE_MANAGEMENT: Answers._declarative,
}
_FAMILIES = {Platform.IOS: "iPhone", Platform.IPADOS: "iPad", Platform.MACOS: "Mac", Platform.TVOS: "Apple TV"}
_UPDATE_COMMANDS = {
    RequestType.SCHEDULE_OS_UPDATE,
    RequestType.AVAILABLE_OS_UPDATES,
    RequestType.OS_UPDATE_STATUS,
    RequestType.SCHEDULE_OS_UPDATE_SCAN,
}
_MOBILE_ACTIONS = {InstallAction.DEFAULT, InstallAction.DOWNLOAD_ONLY, InstallAction.INSTALL_ASAP}
_ACTIONS = {False: _MOBILE_ACTIONS, True: set(InstallAction) - {InstallAction.ERROR}}
_UNSUPERVISED = {
    "ErrorDomain": "MCChaperoneErrorDomain",
    "ErrorCode": 29000,
    "LocalizedDescription": "The device is not supervised.",
}
_DECLARED = {
    "ErrorDomain": "com.apple.softwareupdateservices.errors",
    "ErrorCode": 1000,  # the real one is not known
    "LocalizedDescription": "A declaration manages the software updates of this device.",
}
_NO_UPDATE = (
    {
        "ErrorDomain": "DeviceManagement.error",
        "ErrorCode": 2213,
        "LocalizedDescription": "No update available",
    },
    {
        "ErrorDomain": "com.apple.softwareupdateservices.errors",
        "ErrorCode": 3,
        "LocalizedDescription": "The software is up to date.",
    },
)
_UNLISTED = tuple(
    {"ErrorDomain": "com.example.updates", "ErrorCode": 4711, "LocalizedDescription": words}
    for words in ("The update was put aside.", "Die Aktualisierung wurde verschoben.")
)


def _mdm_error(code: int) -> dict[str, object]:
    words = MDM_ERRORS.get(code, "The command is not well formed.")
    return {"ErrorDomain": "MCMDMErrorDomain", "ErrorCode": code, "LocalizedDescription": words}


def _date(at: int) -> datetime:
    return datetime.fromtimestamp(at // SECOND, UTC)
