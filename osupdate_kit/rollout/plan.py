"""RolloutPlan: what is intended, as one frozen, readable value.

Knows steps per platform, and the plan's YAML. Leaves the verdict on a device to
`eligibility.py`, and where plans are kept to `stores`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import yaml

from osupdate_kit.errors import PlanError, ProtocolError
from osupdate_kit.protocol.commands import ScheduleOSUpdate, UpdateRequest
from osupdate_kit.protocol.terms import InstallAction, Platform, Priority
from osupdate_kit.rollout.enforcement import Declaring
from osupdate_kit.rollout.policy import Steps
from osupdate_kit.rollout.releases import CatalogueRef
from osupdate_kit.rollout.targets import Goal, Target, is_goal
from osupdate_kit.rollout.waves import Limits, Opening, Wave, check_waves, waves_of
from osupdate_kit.rollout.windows import Blackout, Schedule, Window, zone_of
from osupdate_kit.rollout.words import Written, count, iso, micros, read


class _LOADER(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Ten times as fast where PyYAML has been built with its C part. Numbers keep how they were written."""


_LOADER.add_constructor(
    "tag:yaml.org,2002:float",
    lambda loader, node: Written.of(loader.construct_yaml_float(node), loader.construct_scalar(node)),
)
_TWO_STEPS = (InstallAction.DOWNLOAD_ONLY, InstallAction.INSTALL_ASAP)
DEFAULT_ACTIONS: Mapping[Platform, tuple[InstallAction, ...]] = MappingProxyType(
    {
        Platform.IOS: _TWO_STEPS,  # each says what it does, so a re-delivered first step cannot install
        Platform.IPADOS: _TWO_STEPS,
        Platform.TVOS: _TWO_STEPS,
        Platform.MACOS: (InstallAction.INSTALL_ASAP,),  # downloads and installs by itself
    }
)
_POLICIES = (
    _TWO_STEPS,
    (InstallAction.DEFAULT, InstallAction.DEFAULT),  # Apple's documented pair; re-delivered, the first one installs
    (InstallAction.DOWNLOAD_ONLY, InstallAction.DEFAULT),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPlan:
    """Policy and membership. The YAML carries count and digest of the membership; the store holds the rows."""

    name: str
    author: str
    created_at: int
    target: Target  # the same for all; empty where `goal` gives each device one of its own
    deadline_at: int
    goal: Goal | None = None
    allow_major: bool = False  # may devices leave their major version? There is no way back
    releases: CatalogueRef | None = None  # the catalogue it was made with
    where: str = ""
    actions: Mapping[Platform, tuple[InstallAction, ...]] = field(default_factory=lambda: DEFAULT_ACTIONS)
    max_user_deferrals: int | None = None
    priority: Priority | None = None
    tries: int = 3
    declaring: Declaring = field(default_factory=Declaring)
    window: Window = field(default_factory=Window)  # of steps that can install, and of all if there is no other
    download_window: Window | None = None  # of steps that cannot install
    blackouts: tuple[Blackout, ...] = ()
    waves: tuple[Wave, ...] = (Wave(),)
    limits: Limits = field(default_factory=Limits)
    slots_per_site: int = 0  # devices of one site that may be downloading at once; 0: no limit
    time_zone: str = (
        ""  # of devices that name none; empty: such a device is barred when the window is not the whole day
    )
    members: int = 0
    members_sha256: str = ""
    schedule: Schedule = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for platform, actions in self.actions.items():
            _check_actions(platform, actions)
        later = any(InstallAction.INSTALL_LATER in actions for actions in self.actions.values())
        if self.max_user_deferrals is not None and not later:
            raise PlanError(
                "max_user_deferrals is set, but no platform uses InstallLater.",
                remedy="Add --action macOS=InstallLater or drop --max-user-deferrals.",
            )
        if self.max_user_deferrals is not None and self.max_user_deferrals < 0:
            raise PlanError("max_user_deferrals is negative.", remedy="Give 0 or more.")
        if self.tries < 1:
            raise PlanError(f"tries is {self.tries}.", remedy="Give 1 or more.")
        if self.slots_per_site < 0:
            raise PlanError("slots_per_site is negative.", remedy="Give 0 for no limit, or more.")
        if self.time_zone:
            zone_of(self.time_zone)
        check_waves(self.waves)
        object.__setattr__(self, "schedule", Schedule(self.window, self.download_window, self.blackouts))

    @property
    def target_label(self) -> str:
        """What it aims at, for people; of a rule, the rule."""
        return str(self.goal or self.target)

    def target_of(self, text: str) -> Target:
        """A device's target. text: what was frozen for it; empty: the plan's own."""
        return Target.parse(text) if text else self.target

    @property
    def by_the_clock(self) -> bool:
        """Must one know a device's time zone to know when a step may be sent?"""
        windows = (self.window, self.download_window or self.window)
        return bool(self.blackouts) or not all(window.always for window in windows)

    @property
    def admits(self) -> bool:
        """Are devices let in one after the other: by waves, by pace, by slots? Else all may begin at once."""
        return len(self.waves) > 1 or self.has_places or self.waves[0].opens != Opening()

    @property
    def has_places(self) -> bool:
        """Are those under way counted? Else a wave that opens lets all of its devices in."""
        return bool(self.slots_per_site) or any(wave.pace for wave in self.waves)

    def steps(self, platform: Platform) -> Steps:
        return Steps(actions=self.actions.get(platform, DEFAULT_ACTIONS[platform]), tries=self.tries)

    def step_command(
        self,
        platform: Platform,
        role: int,
        *,
        target: Target | None = None,
        product_key: str = "",
        by_key: bool = False,
    ) -> ScheduleOSUpdate:
        """The command of a step. target: the device's own. `by_key`: name the listed product key, not the version."""
        target = target or self.target
        action = self.steps(platform).action(role)
        assert action is not None, (platform, role)
        later = action is InstallAction.INSTALL_LATER
        mac = platform is Platform.MACOS
        key = target.product_key or (product_key if by_key else "")
        request = UpdateRequest(
            install_action=action,
            product_key=key or None,
            product_version=None if key else str(target.version),
            max_user_deferrals=self.max_user_deferrals if later else None,
            priority=self.priority if mac else None,
        )
        return ScheduleOSUpdate(updates=(request,))

    def to_yaml(self) -> str:
        """Readable and diffable; `from_yaml` reads it back to an equal plan."""
        words: dict[str, Any] = {
            "name": self.name,
            "author": self.author,
            "created_at": iso(self.created_at),
            "target": self.goal.words() if self.goal else self.target.words(),
            "allow_major": self.allow_major,
            "releases": _ref_words(self.releases) if self.releases else None,
            "where": self.where,
            "actions": {platform.value: "+".join(actions) for platform, actions in self.actions.items()},
            "max_user_deferrals": self.max_user_deferrals,
            "priority": self.priority.value if self.priority else None,
            "tries": self.tries,
            "declaring": self.declaring.words(),
            "window": self.window.words(),
            "download_window": self.download_window.words() if self.download_window else None,
            "blackouts": [one.words() for one in self.blackouts],
            "time_zone": self.time_zone,
            "deadline_at": iso(self.deadline_at),
            "waves": [wave.words() for wave in self.waves],
            "limits": self.limits.words(),
            "slots_per_site": self.slots_per_site,
            "members": {"count": self.members, "sha256": self.members_sha256},
        }
        return yaml.safe_dump(words, sort_keys=False, allow_unicode=True, width=100)

    @classmethod
    @lru_cache(maxsize=64)  # frozen, and asked for with every look at a rollout
    def from_yaml(cls, text: str) -> "RolloutPlan":
        """Raises PlanError, naming the key, for anything that is no plan."""
        words = _loaded(text, "The plan")
        try:
            priority = words.get("priority")
            return cls(
                name=str(words["name"]),
                author=str(words["author"]),
                created_at=micros(words["created_at"]),
                target=Target() if is_goal(words["target"]) else Target.from_words(words["target"]),
                goal=Goal.from_words(words["target"]) if is_goal(words["target"]) else None,
                allow_major=words.get("allow_major") is True,
                releases=_ref_of(words["releases"]) if words.get("releases") else None,
                where=str(words.get("where", "")),
                actions=parse_actions(f"{platform}={text}" for platform, text in words["actions"].items()),
                priority=Priority(priority) if priority else None,
                declaring=Declaring.from_words(words["declaring"]) if words.get("declaring") else Declaring(),
                **_numbers(words),
                **timing(words),
                time_zone=str(words.get("time_zone") or ""),
                deadline_at=micros(words["deadline_at"]),
                members=int(words["members"]["count"]),
                members_sha256=str(words["members"]["sha256"]),
            )
        except KeyError as error:
            raise PlanError(
                f"The plan lacks the key {error}.", remedy="Write it by `osupdate-kit plan create`."
            ) from None
        except (TypeError, ValueError, AttributeError, ProtocolError) as error:
            raise PlanError(f"The plan cannot be read: {error}", remedy="Correct the value, or plan anew.") from None


def _numbers(words: Mapping[str, Any]) -> dict[str, Any]:
    readers = {"max_user_deferrals": count, "tries": count}
    return read({key: words[key] for key in readers if words.get(key) is not None}, readers, "the plan")


def _ref_words(ref: CatalogueRef) -> dict[str, str]:
    return {"as_of": iso(ref.as_of), "sha256": ref.sha256, "source": ref.source}


def _ref_of(words: Mapping[str, Any]) -> CatalogueRef:
    return CatalogueRef(as_of=micros(words["as_of"]), sha256=str(words["sha256"]), source=str(words["source"]))


_WRITE = "Write it as `osupdate-kit plan create` does."
TIMING = ("window", "download_window", "blackouts", "waves", "limits", "slots_per_site")


def timing(words: Mapping[str, Any]) -> dict[str, Any]:
    """What a plan's words say of who goes when, as RolloutPlan takes it. PlanError, naming the key, for wrong ones."""
    readers: dict[str, Any] = {
        "window": Window.from_words,
        "download_window": Window.from_words,
        "blackouts": _blackouts,
        "waves": waves_of,
        "limits": Limits.from_words,
        "slots_per_site": count,
    }
    return read({key: words[key] for key in TIMING if words.get(key)}, readers, "the plan")


def timing_of(text: str) -> dict[str, Any]:
    """The same from a YAML file that holds nothing else, as people write it. Raises PlanError."""
    words = _loaded(text, "The file")
    if unknown := words.keys() - set(TIMING):
        raise PlanError(
            f"The file has a key {str(min(unknown, key=str))[:100]!r}.", remedy=f"Keys: {', '.join(TIMING)}."
        )
    return timing(words)


def _loaded(text: str, what: str) -> dict[Any, Any]:
    try:
        words = yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe one
    except (yaml.YAMLError, ValueError) as error:  # a date such as 2026-02-30 is a ValueError
        raise PlanError(f"{what} is no YAML: {error}", remedy=_WRITE) from None
    if not isinstance(words, dict):
        raise PlanError(f"{what} is no mapping of keys.", remedy=_WRITE)
    return words


def _blackouts(words: object) -> tuple[Blackout, ...]:
    """a list, one line for each: - {from: 2026-12-07, to: 2026-12-18, reason: exams}"""
    if not isinstance(words, list):
        raise TypeError(words)
    return tuple(Blackout.from_words(one) for one in words)


def parse_actions(texts: Any) -> dict[Platform, tuple[InstallAction, ...]]:
    """Read "iPadOS=DownloadOnly+InstallASAP" on top of the defaults. PlanError for what Apple does not know."""
    actions = dict(DEFAULT_ACTIONS)
    for text in texts:
        platform, _, names = text.partition("=")
        try:
            actions[Platform(platform)] = tuple(InstallAction(name) for name in names.split("+"))
        except ValueError as error:
            raise PlanError(
                f"{text!r} is no action: {error}.",
                remedy="Write PLATFORM=ACTION or PLATFORM=FIRST+SECOND, such as iPadOS=DownloadOnly+InstallASAP.",
            ) from None
    return actions


_MAC_ONLY = (InstallAction.NOTIFY_ONLY, InstallAction.INSTALL_LATER, InstallAction.INSTALL_FORCE_RESTART)


def _check_actions(platform: Platform, actions: tuple[InstallAction, ...]) -> None:
    if platform not in DEFAULT_ACTIONS:
        raise PlanError(f"{platform} takes no ScheduleOSUpdate.", remedy="Leave the platform out.")
    if InstallAction.ERROR in actions:
        raise PlanError("Error is no action to ask for.", remedy="Choose another InstallAction.")
    if platform is not Platform.MACOS and any(action in _MAC_ONLY for action in actions):
        raise PlanError(
            f"{'+'.join(actions)} is not for {platform}.",
            remedy="NotifyOnly, InstallLater and InstallForceRestart are for macOS only.",
        )
    single = (
        actions == (InstallAction.DOWNLOAD_ONLY,)
        or (platform is Platform.MACOS and len(actions) == 1)
    )  # fmt: skip
    if actions not in _POLICIES and not single:
        raise PlanError(
            f"{'+'.join(actions) or 'nothing'} is no sequence of steps for {platform}.",
            remedy="Two steps: DownloadOnly+InstallASAP or Default+Default. One step: DownloadOnly, or any on macOS.",
        )
