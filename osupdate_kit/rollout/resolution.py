"""What a plan's rule comes to for one device: a target of its own, or why there is none.

Never an exception: one device that no rule fits must not stop the others. Leaves to `eligibility.py` what else bars it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.releases import Catalogue
from osupdate_kit.rollout.targets import Goal, Target


class Unresolved(StrEnum):
    """Why a rule gives a device no target; each is a barrier of the same name."""

    MODEL_UNKNOWN = "model_unknown"
    NO_RELEASE = "no_release"
    NO_RULE = "no_rule"
    ABOVE_FLOOR = "above_floor"
    TARGET_OF_OTHER_PLATFORM = "target_of_other_platform"


class Resolved(NamedTuple):
    """text: of the target, as it is frozen for the device; empty: the plan's own."""

    target: Target
    text: str = ""
    why_not: Unresolved | None = None


# Apple skipped these numbers when all platforms took the year as their version in 2025.
_GAPS: Mapping[Platform, range] = {
    Platform.IOS: range(19, 26),
    Platform.TVOS: range(19, 26),
    Platform.MACOS: range(16, 26),
}


def of_other_platform(platform: Platform, version: OSVersion) -> bool:
    """Is it a version that this platform never had?"""
    return version.major in _GAPS.get(platform.schema, ())


def resolve(
    plan: RolloutPlan,
    catalogue: Catalogue | None,
    now: int,
    *,
    platform: Platform,
    os_version: OSVersion,
    models: tuple[str, ...],
) -> Resolved:
    """What the plan comes to there. models: the device's product name and, if told, its device id.

    A rule by `latest` needs a catalogue; without one every model is unknown.
    """
    goal = plan.goal
    if goal is None:
        return Resolved(plan.target)
    if goal.floor:
        if of_other_platform(platform, goal.floor):
            return _none(Unresolved.TARGET_OF_OTHER_PLATFORM)
        if os_version >= goal.floor:
            return _none(Unresolved.ABOVE_FLOOR)
    version = goal.by_major.get(os_version.major)
    if version is None and goal.latest:
        found = _latest(goal, catalogue, now, platform, os_version, models)
        if isinstance(found, Unresolved):
            return _none(found)
        version = found
    if version is None and not goal.by_major:
        version = goal.version or goal.floor
    if version is None:
        return _none(Unresolved.NO_RULE)
    return Resolved(Target(version=version), str(version))


def _latest(
    goal: Goal,
    catalogue: Catalogue | None,
    now: int,
    platform: Platform,
    os_version: OSVersion,
    models: tuple[str, ...],
) -> OSVersion | Unresolved:
    if catalogue is None or not catalogue.knows(platform, models):
        return Unresolved.MODEL_UNKNOWN
    major = os_version.major if goal.latest == "minor" else 0
    release = catalogue.latest(platform, models, now, major=major, after_days=goal.after_days)
    return release.version if release else Unresolved.NO_RELEASE


def _none(why: Unresolved) -> Resolved:
    return Resolved(Target(), why_not=why)
