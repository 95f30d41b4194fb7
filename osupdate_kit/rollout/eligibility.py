"""One device, one plan → Verdict: by command, by declaration, or everything that bars it.

Knows the barriers, each with its reason and its remedy. Unknown facts are barriers of their own, never assumptions.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from osupdate_kit.fleet.devices import Device
from osupdate_kit.protocol.rules import action_available, command_available, declaration_available
from osupdate_kit.protocol.terms import InstallAction, Platform, RequestType
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.journey import Instrument
from osupdate_kit.rollout.plan import DEFAULT_ACTIONS, RolloutPlan
from osupdate_kit.rollout.state import Version

ENFORCEMENT = "com.apple.configuration.softwareupdate.enforcement.specific"


class Barrier(StrEnum):
    """One reason why a device does not take a target; the value goes to stores and reports."""

    GONE = "gone"
    NOT_DEVICE_CHANNEL = "not_device_channel"
    PLATFORM_UNKNOWN = "platform_unknown"
    PLATFORM_WITHOUT = "platform_without"
    VERSION_UNKNOWN = "version_unknown"
    SUPERVISION_UNKNOWN = "supervision_unknown"
    NOT_SUPERVISED = "not_supervised"
    AWAITING_CONFIGURATION = "awaiting_configuration"
    ALREADY_THERE = "already_there"
    TARGET_OF_OTHER_PLATFORM = "target_of_other_platform"
    DECLARED = "declared"
    NEEDS_DECLARATION = "needs_declaration"
    COMMAND_TOO_NEW = "command_too_new"
    ACTION_TOO_NEW = "action_too_new"
    MINOR_ONLY = "minor_only"
    ITEM_FOR_MAC_ONLY = "item_for_mac_only"
    TIME_ZONE_UNKNOWN = "time_zone_unknown"


WORDS: dict[Barrier, tuple[str, str]] = {
    Barrier.GONE: ("it has left this server", "Enrol it again, or take it off the list."),
    Barrier.NOT_DEVICE_CHANNEL: (
        "its enrolment has no device channel of its own",
        "Only device enrolments take update commands; enrol the device itself.",
    ),
    Barrier.PLATFORM_UNKNOWN: ("its platform is not known", "Run `osupdate-kit devices sync` and let it answer once."),
    Barrier.PLATFORM_WITHOUT: ("its platform takes no update commands", "Update it by other means."),
    Barrier.VERSION_UNKNOWN: ("its OS version is not known", "Run `osupdate-kit devices sync` and let it answer once."),
    Barrier.SUPERVISION_UNKNOWN: (
        "nobody has said whether it is supervised",
        "Run `osupdate-kit devices sync` and let it answer once.",
    ),
    Barrier.NOT_SUPERVISED: ("it is not supervised", "Supervise it: by automated enrolment or Apple Configurator."),
    Barrier.AWAITING_CONFIGURATION: ("it stands in the Setup Assistant", "Finish its set-up first."),
    Barrier.ALREADY_THERE: ("it runs the target or newer", "Nothing to do."),
    Barrier.TARGET_OF_OTHER_PLATFORM: (
        "the target is no version of its platform",
        "Plan each platform with a target of its own.",
    ),
    Barrier.DECLARED: ("a declaration manages its updates", "Withdraw that declaration, or leave the device to it."),
    Barrier.NEEDS_DECLARATION: (
        "its OS takes updates by declaration only",
        "The commands are gone in OS 27: enforce the update by a declaration.",
    ),
    Barrier.COMMAND_TOO_NEW: ("its OS is too old for ScheduleOSUpdate", "Update it by hand once."),
    Barrier.ACTION_TOO_NEW: ("its OS does not know this InstallAction", "Choose InstallASAP or Default for it."),
    Barrier.MINOR_ONLY: (
        "MaxUserDeferrals and Priority are for updates within a major version",
        "Plan the upgrade without them.",
    ),
    Barrier.ITEM_FOR_MAC_ONLY: ("items that are no OS update exist on macOS only", "Leave it out of this plan."),
    Barrier.TIME_ZONE_UNKNOWN: (
        "the plan has a window and its time zone is not known",
        "Give a time_zone column to `osupdate-kit devices sync --from`, or --time-zone to the plan.",
    ),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a device takes the target: an instrument, or the barriers that keep it from any."""

    instrument: Instrument
    barriers: tuple[Barrier, ...] = ()

    @property
    def reason(self) -> str:
        return explain(self.barriers)


@lru_cache(maxsize=4096)
def explain(barriers: tuple[Barrier, ...]) -> str:
    """All barriers in one sentence each, with what to do."""
    return " ".join(f"{WORDS[b][0][0].upper()}{WORDS[b][0][1:]}. {WORDS[b][1]}" for b in barriers)


_COMMAND = Verdict(Instrument.COMMAND)


class Judge:
    """Gives the verdicts of one plan. What is the same for all devices of a platform and version is worked out once."""

    def __init__(self, plan: RolloutPlan) -> None:
        self._plan = plan
        self._known: dict[tuple[Platform, OSVersion], tuple[Barrier, ...]] = {}
        self._needs_zone = plan.by_the_clock and not plan.time_zone

    def verdict(self, device: Device) -> Verdict:
        """By command where nothing bars it. A device that only a declaration reaches is barred, and says so."""
        found = self.barriers(device)
        return Verdict(Instrument.NONE, found) if found else _COMMAND

    def barriers(self, device: Device) -> tuple[Barrier, ...]:
        """Everything that keeps `device` from taking the plan's target by command; empty means eligible."""
        found: list[Barrier] = []
        if not device.enrolled:
            found.append(Barrier.GONE)
        if device.enrollment_type not in ("Device", ""):
            found.append(Barrier.NOT_DEVICE_CHANNEL)
        if device.supervised is not True:
            found.append(Barrier.SUPERVISION_UNKNOWN if device.supervised is None else Barrier.NOT_SUPERVISED)
        if device.awaiting_configuration:
            found.append(Barrier.AWAITING_CONFIGURATION)
        if device.declared:
            found.append(Barrier.DECLARED)
        if device.os_version is None:
            found.append(Barrier.VERSION_UNKNOWN)
        if device.platform is None:
            found.append(Barrier.PLATFORM_UNKNOWN)
        elif device.os_version is not None:
            known = self._known.get((device.platform, device.os_version))
            if known is None:
                known = tuple(_version_barriers(self._plan, device.platform, device.os_version))
                self._known[device.platform, device.os_version] = known
            found += known
            if self._there(device.os_version, device.build_version):
                found.append(Barrier.ALREADY_THERE)
        if self._needs_zone and not device.time_zone:
            found.append(Barrier.TIME_ZONE_UNKNOWN)
        return tuple(found)

    def _there(self, os_version: OSVersion, build: str) -> bool:
        target = self._plan.target
        if target.version is None or os_version < target.version:
            return False
        return os_version > target.version or target.reached_by(Version(0, os_version.text, build))


def _version_barriers(plan: RolloutPlan, platform: Platform, os_version: OSVersion) -> Iterable[Barrier]:
    if platform not in DEFAULT_ACTIONS:
        yield Barrier.PLATFORM_WITHOUT
        return
    if not command_available(RequestType.SCHEDULE_OS_UPDATE, platform, os_version):
        if declaration_available(ENFORCEMENT, platform, os_version):
            yield Barrier.NEEDS_DECLARATION
        else:
            yield Barrier.COMMAND_TOO_NEW
        return
    actions = plan.steps(platform).actions
    if not all(action_available(action, platform, os_version) for action in actions):
        yield Barrier.ACTION_TOO_NEW
    target = plan.target.version
    if target is None:
        if platform is not Platform.MACOS:
            yield Barrier.ITEM_FOR_MAC_ONLY
        return
    if target.major in _GAPS[platform.schema]:
        yield Barrier.TARGET_OF_OTHER_PLATFORM
    major_jump = target.major > os_version.major
    minor_keys = plan.priority is not None or (
        plan.max_user_deferrals is not None and InstallAction.INSTALL_LATER in actions
    )
    if platform is Platform.MACOS and major_jump and minor_keys:
        yield Barrier.MINOR_ONLY


# Apple skipped these numbers when all platforms took the year as their version in 2025.
_GAPS = {Platform.IOS: range(19, 26), Platform.TVOS: range(19, 26), Platform.MACOS: range(16, 26)}
