"""Preflight: what a device has told of itself, held against its target before anything is sent.

Each finding blocks, warns, or says what nobody knows; each has a remedy in a sentence. What a device told may be old:
free space from an old report blocks nobody. Leaves enrolment and versions to `eligibility.py`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from osupdate_kit.protocol.rules import command_deprecated
from osupdate_kit.protocol.terms import Platform, RequestType
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.policy import DAY
from osupdate_kit.rollout.releases import Catalogue
from osupdate_kit.rollout.targets import Target

STALE_DAYS = 7
LOW_BATTERY = 0.2  # a share; below it, devices answer DownloadInsufficientPower or InstallInsufficientPower
SPACE_FACTOR = 3  # times the download, where a device lists no InstallSize (macOS): image, unpacked files, snapshot
ROOMY_GB: Mapping[Platform, float] = {Platform.IOS: 10, Platform.MACOS: 35}  # with so much free no size matters
GB = 1 << 30  # as AvailableDeviceCapacity counts

NO_WAY_BACK = "There is no way back: no command brings a device to an older version again."

Told = Mapping[str, object]


class Kind(StrEnum):
    BLOCKING = "blocking"  # the device is barred
    WARNING = "warning"  # it is sent the update, and may fail or surprise
    UNKNOWN = "unknown"  # nobody has told; it is sent the update


class Finding(StrEnum):
    """What preflight found; a blocking one is the barrier of the same name."""

    LOST_MODE = "lost_mode"
    NO_SPACE = "no_space"
    SPACE_SHORT = "space_short"
    SPACE_UNKNOWN = "space_unknown"
    LOW_BATTERY = "low_battery"
    SHARED_IPAD = "shared_ipad"
    BOOTSTRAP_MISSING = "bootstrap_missing"
    BOOTSTRAP_UNKNOWN = "bootstrap_unknown"
    NEVER_TOLD = "never_told"
    STALE = "stale"
    DEPRECATED = "deprecated"
    DELAYED = "delayed"
    RELEASE_UNLISTED = "release_unlisted"
    RELEASE_ENDED = "release_ended"
    RELEASE_MAY_HAVE_ENDED = "release_may_have_ended"
    NOT_FOR_MODEL = "not_for_model"
    MODEL_UNLISTED = "model_unlisted"


_REFRESH = "Run `osupdate-kit feeds refresh`, and plan anew."
FINDINGS: Mapping[Finding, tuple[Kind, str, str]] = {
    Finding.LOST_MODE: (
        Kind.BLOCKING,
        "it is in Lost Mode, where it takes no update commands",
        "End Lost Mode when it is found, and plan it anew.",
    ),
    Finding.NO_SPACE: (
        Kind.BLOCKING,
        "it has less free space than its own list says that download and install need",
        "Free some space on it, and let it be asked again.",
    ),
    Finding.SPACE_SHORT: (
        Kind.WARNING,
        f"its free space may not do: less than download and install need, or {SPACE_FACTOR} times the download",
        "Free some space on it, or expect it among the failures by space.",
    ),
    Finding.SPACE_UNKNOWN: (
        Kind.UNKNOWN,
        "its free space or the size of the update is not known, and there is no room to spare",
        "Let it be asked again by `osupdate-kit devices sync`; where space is short, free some.",
    ),
    Finding.LOW_BATTERY: (
        Kind.WARNING,
        f"its battery stood below {LOW_BATTERY:.0%} when it last told",
        "See that it is on power in its window.",
    ),
    Finding.SHARED_IPAD: (
        Kind.WARNING,
        "it is a Shared iPad: it refuses while somebody is logged in",
        "Give the plan a window in which nobody is, such as 20:00-05:00.",
    ),
    Finding.BOOTSTRAP_MISSING: (
        Kind.WARNING,
        "by its own report it needs a bootstrap token for updates, and its use is not allowed",
        "Escrow the token: `profiles install -type bootstraptoken` on the Mac; until then a person must authorise it.",
    ),
    Finding.BOOTSTRAP_UNKNOWN: (
        Kind.UNKNOWN,
        "a Mac with Apple silicon that has not told of its bootstrap token",
        "Let it be asked by `osupdate-kit devices sync`; without the token its update waits for a person.",
    ),
    Finding.NEVER_TOLD: (
        Kind.UNKNOWN,
        "it has told nothing of itself yet",
        "Let it be asked by `osupdate-kit devices sync`, and plan again when it has answered.",
    ),
    Finding.STALE: (
        Kind.WARNING,
        f"what it told of itself is older than {STALE_DAYS} days",
        "Let it be asked again by `osupdate-kit devices sync`; all other findings rest on the old report.",
    ),
    Finding.DEPRECATED: (
        Kind.WARNING,
        "ScheduleOSUpdate is deprecated on its OS, though it works",
        "Plan the move to declarations: the commands are gone in OS 27.",
    ),
    Finding.DELAYED: (
        Kind.WARNING,
        "a restriction still hides this release from its users",
        "A command installs it all the same: lift the delay, or plan it for later.",
    ),
    Finding.RELEASE_UNLISTED: (
        Kind.WARNING,
        "the catalogue of releases knows no such version, or no such build of it",
        f"Check the version. {_REFRESH}",
    ),
    Finding.RELEASE_ENDED: (
        Kind.WARNING,
        "by the catalogue, Apple no longer offers this version",
        "Choose a newer one, such as latest-minor.",
    ),
    Finding.RELEASE_MAY_HAVE_ENDED: (
        Kind.WARNING,
        "the catalogue is older than the day to which it dates the end of this version",
        _REFRESH,
    ),
    Finding.NOT_FOR_MODEL: (
        Kind.WARNING,
        "the catalogue does not list its model for this version",
        "Plan it with latest-minor, which fits the model, or leave it out.",
    ),
    Finding.MODEL_UNLISTED: (
        Kind.UNKNOWN,
        "the catalogue does not know its model, or names no models for this version",
        f"Nobody can say whether the version is for it. {_REFRESH}",
    ),
}
BLOCKING = frozenset(finding for finding, (kind, _, _) in FINDINGS.items() if kind is Kind.BLOCKING)


class Count(NamedTuple):
    """How many devices a finding is about."""

    finding: Finding
    devices: int

    @property
    def kind(self) -> Kind:
        return FINDINGS[self.finding][0]

    @property
    def words(self) -> str:
        return FINDINGS[self.finding][1]

    @property
    def remedy(self) -> str:
        return FINDINGS[self.finding][2]


def of_version(platform: Platform, os_version: OSVersion) -> tuple[Finding, ...]:
    """What all devices of this platform and version have in common."""
    deprecated = command_deprecated(RequestType.SCHEDULE_OS_UPDATE, platform, os_version)
    return (Finding.DEPRECATED,) if deprecated else ()


def of_release(
    catalogue: Catalogue, target: Target, platform: Platform, models: tuple[str, ...], now: int
) -> tuple[Finding, ...]:
    """What the catalogue says of this target for this model. It never bars: catalogues have been wrong on good Macs."""
    if target.version is None:
        return ()
    release = catalogue.named(platform, target.version)
    if release is None:
        return (Finding.RELEASE_UNLISTED,)
    fits = release.fits(models)
    if fits is None or not catalogue.knows(platform, models):
        return (Finding.MODEL_UNLISTED,)
    if not fits:
        return (Finding.NOT_FOR_MODEL,)
    if not release.offers_for(models, min(now, catalogue.as_of)):
        return (Finding.RELEASE_ENDED,)
    found = []
    if not release.offers_for(models, now):
        found.append(Finding.RELEASE_MAY_HAVE_ENDED)
    if target.build and release.builds and target.build not in release.builds:
        found.append(Finding.RELEASE_UNLISTED)
    return tuple(found)


def of_device(told: Told, told_at: int, platform: Platform, target: Target, now: int) -> list[Finding]:
    """What the device itself has told. told: by Apple's query names; told_at: when, our clock, 0 = never."""
    if not told_at:
        return [Finding.NEVER_TOLD]
    found = []
    stale = now - told_at > STALE_DAYS * DAY
    if stale:
        found.append(Finding.STALE)
    get = told.get
    if get("IsMDMLostModeEnabled") is True:
        found.append(Finding.LOST_MODE)
    if get("IsMultiUser") is True:
        found.append(Finding.SHARED_IPAD)
    battery = get("BatteryLevel")
    if isinstance(battery, float) and battery < LOW_BATTERY:
        found.append(Finding.LOW_BATTERY)
    if get("IsAppleSilicon") is True and platform is Platform.MACOS:
        found += _bootstrap(told)
    roomy = ROOMY_GB.get(platform.schema)
    if roomy is not None:
        free = get("AvailableDeviceCapacity")
        if not isinstance(free, float) or free < roomy:
            found += _space(told, free, target, stale=stale)
    if "AvailableOSUpdates" in told and (listed := _listed(told, target)) and listed.delayed_until > now:
        found.append(Finding.DELAYED)
    return found


def _bootstrap(told: Told) -> list[Finding]:
    required = told.get("BootstrapTokenRequiredForSoftwareUpdate")
    allowed = told.get("BootstrapTokenAllowedForAuthentication")
    if required is None and not allowed:
        return [Finding.BOOTSTRAP_UNKNOWN]
    return [Finding.BOOTSTRAP_MISSING] if required is True and allowed != "allowed" else []


class Listed(NamedTuple):
    """An entry of the device's newest AvailableOSUpdates, as its inventory keeps it; sizes 0: not said."""

    version: str
    download_bytes: int
    install_bytes: int
    delayed_until: int  # DeferredUntil, microseconds UTC; 0: no restriction hides it


def _listed(told: Told, target: Target) -> Listed | None:
    rows = told.get("AvailableOSUpdates")
    if target.version is None or not isinstance(rows, list):
        return None
    return next((Listed(*row) for row in rows if OSVersion.parse_or_none(row[0]) == target.version), None)


def _space(told: Told, free: object, target: Target, *, stale: bool) -> list[Finding]:
    listed = _listed(told, target)
    if not isinstance(free, float) or listed is None or not listed.download_bytes:
        return [Finding.SPACE_UNKNOWN]
    if listed.install_bytes:
        short = free * GB < listed.download_bytes + listed.install_bytes
        return [Finding.SPACE_SHORT if stale else Finding.NO_SPACE] if short else []
    return [Finding.SPACE_SHORT] if free * GB < listed.download_bytes * SPACE_FACTOR else []
