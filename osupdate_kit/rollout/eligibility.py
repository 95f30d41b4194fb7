"""One device, one plan → Verdict: by command, by declaration, or everything that bars it.

Knows the barriers, each with its reason and its remedy. Unknown facts are barriers of their own, never assumptions.
Leaves what a rule comes to for a device to `resolution.py`, and what warns without barring to `preflight.py`.
"""

from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

from osupdate_kit.fleet.devices import Device
from osupdate_kit.protocol.rules import (
    DECLARATIONS,
    ENFORCEMENT,
    action_available,
    command_available,
    declaration_available,
)
from osupdate_kit.protocol.terms import InstallAction, Platform, RequestType
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.journey import Instrument
from osupdate_kit.rollout.plan import DEFAULT_ACTIONS, RolloutPlan
from osupdate_kit.rollout.preflight import BLOCKING, FINDINGS, Finding, Told, of_device, of_release, of_version
from osupdate_kit.rollout.releases import Catalogue
from osupdate_kit.rollout.resolution import Unresolved, of_other_platform, resolve
from osupdate_kit.rollout.state import Version
from osupdate_kit.rollout.targets import Target


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
    ABOVE_FLOOR = "above_floor"
    LOST_MODE = "lost_mode"
    NO_SPACE = "no_space"
    MODEL_UNKNOWN = "model_unknown"
    NO_RELEASE = "no_release"
    NO_RULE = "no_rule"
    MAJOR_JUMP = "major_jump"
    TARGET_OF_OTHER_PLATFORM = "target_of_other_platform"
    DECLARED = "declared"
    NEEDS_DECLARATION = "needs_declaration"
    NO_VERSION_TO_DECLARE = "no_version_to_declare"
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
    Barrier.ABOVE_FLOOR: ("it runs the lowest version that the plan accepts, or newer", "Nothing to do."),
    Barrier.LOST_MODE: FINDINGS[Finding.LOST_MODE][1:],
    Barrier.NO_SPACE: FINDINGS[Finding.NO_SPACE][1:],
    Barrier.MODEL_UNKNOWN: (
        "the catalogue of releases does not know its model, so nobody can say what is newest for it",
        "Run `osupdate-kit feeds refresh` and plan anew, or name a version for it.",
    ),
    Barrier.NO_RELEASE: (
        "the catalogue has no release for it that fits the plan's rule",
        "Plan it with latest-major and --allow-major, fewer days after release, or a version.",
    ),
    Barrier.NO_RULE: ("the plan names no target for its major version", "Add one by --by-major, or leave it out."),
    Barrier.MAJOR_JUMP: (
        "the target is of another major version, and the plan does not allow that",
        "Plan it within its major version, or say --allow-major: there is no way back.",
    ),
    Barrier.TARGET_OF_OTHER_PLATFORM: (
        "the target is no version of its platform",
        "Plan each platform with a target of its own.",
    ),
    Barrier.DECLARED: ("a declaration manages its updates", "Withdraw that declaration, or leave the device to it."),
    Barrier.NEEDS_DECLARATION: (
        "its OS takes updates by declaration only, and its server has no declarations here",
        "The commands are gone in OS 27: name the server's declarations in the settings, and plan anew.",
    ),
    Barrier.COMMAND_TOO_NEW: ("its OS is too old for ScheduleOSUpdate", "Update it by hand once."),
    Barrier.ACTION_TOO_NEW: ("its OS does not know this InstallAction", "Choose InstallASAP or Default for it."),
    Barrier.NO_VERSION_TO_DECLARE: (
        "a declaration names an OS version, and the plan aims at an item",
        "Items that are no OS update go by command only: leave the device out.",
    ),
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


class Verdict(Struct, frozen=True, gc=False):
    """How a device takes the target: an instrument, or the barriers that keep it from any.

    target: what the plan's rule comes to for it; empty: the plan's own. findings: what preflight warns of besides.
    """

    instrument: Instrument
    barriers: tuple[Barrier, ...] = ()
    target: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def reason(self) -> str:
        return explain(self.barriers)


@lru_cache(maxsize=4096)
def explain(barriers: tuple[Barrier, ...]) -> str:
    """All barriers in one sentence each, with what to do."""
    return " ".join(f"{WORDS[b][0][0].upper()}{WORDS[b][0][1:]}. {WORDS[b][1]}" for b in barriers)


class _Line(NamedTuple):
    """What all devices of one platform, version and model have in common."""

    target: Target
    text: str
    barriers: tuple[Barrier, ...]
    findings: tuple[Finding, ...]
    instrument: Instrument


class Judge:
    """Gives the verdicts of one plan. What is the same for all devices of a platform and version is worked out once.

    catalogue: for rules, and for what it says of each target; now: our clock, for ages.
    """

    def __init__(self, plan: RolloutPlan, catalogue: Catalogue | None = None, now: int = 0) -> None:
        self._plan, self._catalogue, self._now = plan, catalogue, now
        self._lines: dict[tuple[Platform, OSVersion, str, object, str], _Line] = {}
        self._plain: dict[
            tuple[Instrument, str, tuple[Finding, ...]], Verdict
        ] = {}  # most devices have few verdicts between them
        self._needs_zone = plan.by_the_clock and not plan.time_zone

    def verdict(self, device: Device, told: Told | None = None, told_at: int = 0) -> Verdict:
        """By command or by declaration, as the plan draws the line, where nothing bars it.

        told, told_at: what it told of itself and when, see `preflight.of_device`; None: that is not looked at.
        """
        barriers, target, findings, instrument = self._judged(device, told, told_at)
        if barriers:
            return Verdict(Instrument.NONE, barriers, target, findings)
        known = self._plain.get((instrument, target, findings))
        if known is None:
            known = self._plain[instrument, target, findings] = Verdict(instrument, (), target, findings)
        return known

    def barriers(self, device: Device) -> tuple[Barrier, ...]:
        """Everything that keeps `device` from taking the plan's target; empty means eligible."""
        return self._judged(device, None, 0)[0]

    def _judged(
        self, device: Device, told: Told | None, told_at: int
    ) -> tuple[tuple[Barrier, ...], str, tuple[Finding, ...], Instrument]:
        found: list[Barrier] = []
        target, instrument = "", Instrument.COMMAND
        findings: tuple[Finding, ...] = ()
        line = None
        if device.platform is not None and device.os_version is not None:
            line = self._line(device, device.platform, device.os_version, told)
            target, findings, instrument = line.text, line.findings, line.instrument
        if not device.enrolled:
            found.append(Barrier.GONE)
        if device.enrollment_type not in ("Device", ""):
            found.append(Barrier.NOT_DEVICE_CHANNEL)
        if device.supervised is not True and _must_be_supervised(instrument, device.platform):
            found.append(Barrier.SUPERVISION_UNKNOWN if device.supervised is None else Barrier.NOT_SUPERVISED)
        if device.awaiting_configuration:
            found.append(Barrier.AWAITING_CONFIGURATION)
        if device.declared:
            found.append(Barrier.DECLARED)
        if device.os_version is None:
            found.append(Barrier.VERSION_UNKNOWN)
        if device.platform is None:
            found.append(Barrier.PLATFORM_UNKNOWN)
        elif line is not None and device.os_version is not None:
            found += line.barriers
            if _there(line.target, device.os_version, device.build_version):
                found.append(Barrier.ALREADY_THERE)
            if told is not None and not found:
                more = of_device(told, told_at, device.platform, line.target, self._now)
                if more:
                    found += [Barrier(finding) for finding in more if finding in BLOCKING]
                    findings += tuple(finding for finding in more if finding not in BLOCKING)
        if self._needs_zone and not device.time_zone:
            found.append(Barrier.TIME_ZONE_UNKNOWN)
        return tuple(found), target, findings, instrument

    def _line(self, device: Device, platform: Platform, os_version: OSVersion, told: Told | None) -> _Line:
        device_id = told.get("SoftwareUpdateDeviceID") if told else None
        server = device.key.server if self._plan.declaring.servers else ""
        key = (platform, os_version, device.model, device_id, server)
        line = self._lines.get(key)
        if line is None:
            models = tuple(name for name in (device.model, device_id) if isinstance(name, str) and name)
            line = self._lines[key] = self._made(server, platform, os_version, models)
        return line

    def _made(self, server: str, platform: Platform, os_version: OSVersion, models: tuple[str, ...]) -> _Line:
        plan, now = self._plan, self._now
        target, text, why_not = resolve(
            plan, self._catalogue, now, platform=platform, os_version=os_version, models=models
        )
        commands = command_available(RequestType.SCHEDULE_OS_UPDATE, platform, os_version)
        takes = platform in DEFAULT_ACTIONS and (target.version is not None or why_not is not None)
        declares = takes and plan.declaring.chosen(server, platform, os_version, commands=commands)
        instrument = Instrument.DECLARATION if declares else Instrument.COMMAND
        barriers = tuple(_version_barriers(plan, target, why_not, platform, os_version, instrument))
        findings = () if declares else of_version(platform, os_version)
        if self._catalogue and not barriers:
            findings += of_release(self._catalogue, target, platform, models, now)
        return _Line(target, text, barriers, findings, instrument)


@lru_cache(maxsize=64)
def _must_be_supervised(instrument: Instrument, platform: Platform | None) -> bool:
    """Commands need it everywhere, an enforcement on macOS only (Apple's schema)."""
    return instrument is Instrument.COMMAND or platform in DECLARATIONS[ENFORCEMENT].supervised


def _there(target: Target, os_version: OSVersion, build: str) -> bool:
    if target.version is None or os_version < target.version:
        return False
    return os_version > target.version or target.reached_by(Version(0, os_version.text, build))


def _version_barriers(
    plan: RolloutPlan,
    target: Target,
    why_not: Unresolved | None,
    platform: Platform,
    os_version: OSVersion,
    instrument: Instrument,
) -> Iterable[Barrier]:
    if platform not in DEFAULT_ACTIONS:
        yield Barrier.PLATFORM_WITHOUT
        return
    by_command = instrument is Instrument.COMMAND
    if by_command and not command_available(RequestType.SCHEDULE_OS_UPDATE, platform, os_version):
        if not declaration_available(ENFORCEMENT, platform, os_version):
            yield Barrier.COMMAND_TOO_NEW
        elif target.version is None and not why_not:
            yield Barrier.NO_VERSION_TO_DECLARE
        else:
            yield Barrier.NEEDS_DECLARATION
        return
    actions = plan.steps(platform).actions
    if by_command and not all(action_available(action, platform, os_version) for action in actions):
        yield Barrier.ACTION_TOO_NEW
    if why_not:
        yield Barrier(why_not)
        return
    version = target.version
    if version is None:
        if platform is not Platform.MACOS:
            yield Barrier.ITEM_FOR_MAC_ONLY
        return
    if of_other_platform(platform, version):
        yield Barrier.TARGET_OF_OTHER_PLATFORM
        return
    major_jump = version.major > os_version.major
    if major_jump and not plan.allow_major:
        yield Barrier.MAJOR_JUMP
    minor_keys = plan.priority is not None or (
        plan.max_user_deferrals is not None and InstallAction.INSTALL_LATER in actions
    )
    if by_command and platform is Platform.MACOS and major_jump and minor_keys:
        yield Barrier.MINOR_ONLY
