"""RolloutPlan: what is intended, as one frozen, readable value.

Knows steps per platform, and the plan's YAML. Leaves the verdict on a device to
`eligibility.py`, and where plans are kept to `stores`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import yaml

from osupdate_kit.errors import PlanError, ProtocolError
from osupdate_kit.protocol.commands import ScheduleOSUpdate, UpdateRequest
from osupdate_kit.protocol.terms import InstallAction, Platform, Priority
from osupdate_kit.rollout.policy import Steps
from osupdate_kit.rollout.targets import Target
from osupdate_kit.rollout.waves import Wave
from osupdate_kit.rollout.windows import Window, zone_of

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where PyYAML has been built with it
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
    target: Target
    deadline_at: int
    where: str = ""
    actions: Mapping[Platform, tuple[InstallAction, ...]] = field(default_factory=lambda: DEFAULT_ACTIONS)
    max_user_deferrals: int | None = None
    priority: Priority | None = None
    tries: int = 3
    window: Window = field(default_factory=Window)
    waves: tuple[Wave, ...] = (Wave(),)
    time_zone: str = (
        ""  # of devices that name none; empty: such a device is barred when the window is not the whole day
    )
    members: int = 0
    members_sha256: str = ""

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
        if self.time_zone:
            zone_of(self.time_zone)

    def steps(self, platform: Platform) -> Steps:
        return Steps(actions=self.actions.get(platform, DEFAULT_ACTIONS[platform]), tries=self.tries)

    def step_command(
        self, platform: Platform, role: int, *, product_key: str = "", by_key: bool = False
    ) -> ScheduleOSUpdate:
        """The command of a step. `by_key`: name the listed product key instead of the version."""
        action = self.steps(platform).action(role)
        assert action is not None, (platform, role)
        later = action is InstallAction.INSTALL_LATER
        mac = platform is Platform.MACOS
        key = self.target.product_key or (product_key if by_key else "")
        request = UpdateRequest(
            install_action=action,
            product_key=key or None,
            product_version=None if key else str(self.target.version),
            max_user_deferrals=self.max_user_deferrals if later else None,
            priority=self.priority if mac else None,
        )
        return ScheduleOSUpdate(updates=(request,))

    def to_yaml(self) -> str:
        """Readable and diffable; `from_yaml` reads it back to an equal plan."""
        words: dict[str, Any] = {
            "name": self.name,
            "author": self.author,
            "created_at": _iso(self.created_at),
            "target": self.target.words(),
            "where": self.where,
            "actions": {platform.value: "+".join(actions) for platform, actions in self.actions.items()},
            "max_user_deferrals": self.max_user_deferrals,
            "priority": self.priority.value if self.priority else None,
            "tries": self.tries,
            "window": self.window.words(),
            "time_zone": self.time_zone,
            "deadline_at": _iso(self.deadline_at),
            "waves": [{"name": wave.name} for wave in self.waves],
            "members": {"count": self.members, "sha256": self.members_sha256},
        }
        return yaml.safe_dump(words, sort_keys=False, allow_unicode=True, width=100)

    @classmethod
    def from_yaml(cls, text: str) -> "RolloutPlan":
        """Raises PlanError, naming the key, for anything that is no plan."""
        try:
            words = yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe one
        except yaml.YAMLError as error:
            raise PlanError(f"The plan is no YAML: {error}", remedy="Write it by `osupdate-kit plan create`.") from None
        if not isinstance(words, dict):
            raise PlanError("The plan is no mapping of keys.", remedy="Write it by `osupdate-kit plan create`.")
        try:
            priority = words.get("priority")
            return cls(
                name=str(words["name"]),
                author=str(words["author"]),
                created_at=_micros(words["created_at"]),
                target=Target.from_words(words["target"]),
                where=str(words.get("where", "")),
                actions=parse_actions(f"{platform}={text}" for platform, text in words["actions"].items()),
                max_user_deferrals=words.get("max_user_deferrals"),
                priority=Priority(priority) if priority else None,
                tries=int(words.get("tries", 3)),
                window=Window.from_words(words.get("window") or {}),
                time_zone=str(words.get("time_zone") or ""),
                deadline_at=_micros(words["deadline_at"]),
                waves=tuple(Wave(name=str(wave["name"])) for wave in words.get("waves") or [{"name": "all"}]),
                members=int(words["members"]["count"]),
                members_sha256=str(words["members"]["sha256"]),
            )
        except KeyError as error:
            raise PlanError(
                f"The plan lacks the key {error}.", remedy="Write it by `osupdate-kit plan create`."
            ) from None
        except (TypeError, ValueError, AttributeError, ProtocolError) as error:
            raise PlanError(f"The plan cannot be read: {error}", remedy="Correct the value, or plan anew.") from None


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


def _iso(at: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
    return moment.isoformat().replace("+00:00", "Z")


def _micros(text: object) -> int:
    moment = text if isinstance(text, datetime) else datetime.fromisoformat(str(text))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
