"""What is typed into a plan's form → RolloutPlan, or a sentence beside each field that cannot be read.

Knows which actions Apple allows where (by the plan's own rules and `protocol/rules.py`), which it recommends, and which
hazards a plan has. Draws nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from functools import cache
from typing import Any, NamedTuple, TypeVar

from osupdate_kit.errors import OSUpdateKitError, PlanError
from osupdate_kit.fleet.devices import Device
from osupdate_kit.protocol.rules import ACTIONS, WARNINGS, action_available, availability, command_deprecated
from osupdate_kit.protocol.terms import InstallAction, Platform, Priority, RequestType
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.enforcement import DECLARE_SINCE, Declaring
from osupdate_kit.rollout.plan import DEFAULT_ACTIONS, RolloutPlan
from osupdate_kit.rollout.policy import DAY
from osupdate_kit.rollout.targets import Goal, Target, aim_of
from osupdate_kit.rollout.waves import Limits, Opening, Wave, Who
from osupdate_kit.rollout.windows import Window, window_of, zone_of

Actions = tuple[InstallAction, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """The form's texts as typed. `actions` by platform, such as DownloadOnly+InstallASAP; `deadline` is UTC."""

    name: str = ""
    target: str = ""  # a version, or a rule as `targets.aim_of` reads it
    build: str = ""
    allow_major: str = ""  # "yes": devices may leave their major version
    actions: Mapping[str, str] = field(default_factory=dict)
    max_user_deferrals: str = ""
    priority: str = ""
    tries: str = "3"
    opens: str = ""
    closes: str = ""
    days: str = ""
    download_opens: str = ""
    download_closes: str = ""
    waves: str = ""
    time_zone: str = ""
    deadline: str = ""
    declare_since: Mapping[str, str] = field(default_factory=dict)  # by platform; from which OS on, where both work
    enforce_days: str = "3"
    enforce_at: str = "19:00"
    enforce_weekends: str = ""  # "yes": a declaration's deadline may be a Saturday or Sunday
    details_url: str = ""

    def with_typed(self, typed: Mapping[str, object]) -> "Fields":
        """Take over what the form says; what it does not know is ignored, for a browser may send anything."""
        texts = {
            name: str(value)[:200]
            for name, value in typed.items()
            if name in Fields.__dataclass_fields__ and name not in _BY_PLATFORM
        }
        return replace(
            self,
            **texts,
            actions={**self.actions, **_texts(typed.get("actions"))},
            declare_since={**self.declare_since, **_texts(typed.get("declare_since"))},
        )


_BY_PLATFORM = ("actions", "declare_since")


def _texts(said: object) -> dict[str, str]:
    return {str(k)[:200]: str(v)[:200] for k, v in said.items()} if isinstance(said, Mapping) else {}


@dataclass(frozen=True, slots=True)
class Reading:
    """The plan that the fields make, or why not: a sentence by field ("" = the whole form)."""

    plan: RolloutPlan | None
    errors: Mapping[str, str]


class Hazard(NamedTuple):
    """Something a plan does that people should know. `grave`: people may lose something."""

    text: str
    grave: bool = False


_NO_AIM: tuple[Target, Goal | None] = (Target(), None)


def read(fields: Fields, *, now: int, author: str, where: str = "", declaring_servers: Iterable[str] = ()) -> Reading:
    """Read every field, so that all mistakes show at once. declaring_servers: those that can declare."""
    errors: dict[str, str] = {}

    def part(name: str, parse: Callable[[str], T], otherwise: T) -> T:
        try:
            return parse(getattr(fields, name).strip())
        except OSUpdateKitError as error:
            errors[name] = str(error)
            return otherwise

    target, goal = part("target", lambda text: _aim(text, fields.build.strip()), _NO_AIM)
    deadline_at = part("deadline", lambda text: _deadline(text, now), now + DAY)
    days = part("days", _days, _EVERY_DAY)
    window = Window(opens=part("opens", _hour, time()), closes=part("closes", _hour, time()), days=days)
    download = Window(
        opens=part("download_opens", _hour, time()), closes=part("download_closes", _hour, time()), days=days
    )
    values: dict[str, Any] = {
        "actions": _actions(fields.actions, errors),
        "max_user_deferrals": part("max_user_deferrals", _number, None),
        "priority": part("priority", _priority, None),
        "tries": part("tries", _tries, 1),
        "time_zone": part("time_zone", _zone, ""),
        "waves": part("waves", _waves, _ONE),
        "download_window": download if fields.download_opens.strip() else None,
        "limits": HALTS if fields.waves.strip() else Limits(),
        "declaring": Declaring(
            servers=tuple(sorted(declaring_servers)),
            since=_since(fields.declare_since, errors),
            days=part("enforce_days", _enforce_days, 3),
            at=f"{part('enforce_at', _hour, time(19)):%H:%M}",
            weekends=fields.enforce_weekends == "yes",
            details_url=part("details_url", _page, ""),
        ),
    }
    for opens, closes in (("opens", "closes"), ("download_opens", "download_closes")):
        if bool(getattr(fields, opens).strip()) != bool(getattr(fields, closes).strip()):
            errors.setdefault(closes, "A window has two ends. Give both hours, or none.")
    if errors:
        return Reading(None, errors)
    name = fields.name.strip() or f"{goal or fields.target.strip()} by {fields.deadline.strip().replace('T', ' ')} UTC"
    try:
        plan = RolloutPlan(
            name=name,
            author=author,
            created_at=now,
            target=target,
            goal=goal,
            allow_major=fields.allow_major == "yes",
            deadline_at=deadline_at,
            where=where,
            window=window,
            **values,
        )
    except PlanError as error:
        return Reading(None, {"max_user_deferrals" if "max_user_deferrals" in error.args[0] else "": str(error)})
    return Reading(plan, {})


# --- waves ------------------------------------------------------------------------------------------------------------

_CANARY = Wave(name="canary", who=Who(cover=("model", "os_version")), pace=20)
_NEXT = Opening(done_share=0.9, soak_hours=24)
WAVES: Mapping[str, tuple[str, tuple[Wave, ...]]] = {
    "": ("one wave: all at once", (Wave(),)),
    "canary": ("a canary, then the rest", (_CANARY, Wave(name="rest", opens=_NEXT))),
    "rings": (
        "a canary, a pilot of 5 %, then the rest",
        (
            _CANARY,
            Wave(name="pilot", who=Who(percent=5), opens=_NEXT),
            Wave(name="broad", opens=Opening(done_share=0.9, soak_hours=24, by_hand=True)),
        ),
    ),
}  # others are written as YAML: see `kit.plan(waves=…)`
HALTS = Limits(failure_share=0.15)  # of every choice with more than one wave


_ONE: tuple[Wave, ...] = (Wave(),)


def _waves(text: str) -> tuple[Wave, ...]:
    if text not in WAVES:
        raise PlanError(f"{text!r} is no choice of waves.", remedy="Choose one of the list.")
    return WAVES[text][1]


def first_fields(target: str, now: int) -> Fields:
    """What a new form shows: a week's time, any hour, the recommended actions."""
    deadline = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now) + timedelta(days=7)
    return Fields(target=target, deadline=f"{deadline:%Y-%m-%dT%H}:00")


# --- actions ----------------------------------------------------------------------------------------------------------


@cache
def choices(platform: Platform) -> tuple[Actions, ...]:
    """The sequences of steps that Apple knows for a platform and the kit can walk, the recommended one first."""
    known = [action for action, since in ACTIONS.items() if availability(since, platform)]
    sequences: list[Actions] = [(first, last) for first in known for last in known]
    sequences += [(action,) for action in known]
    allowed = [actions for actions in sequences if _walks(platform, actions)]
    best = recommended(platform)
    return (best, *(actions for actions in allowed if actions != best))


def _walks(platform: Platform, actions: Actions) -> bool:
    """The plan itself is the judge of what is a sequence of steps."""
    try:
        RolloutPlan(name="", author="", created_at=0, target=Target(), deadline_at=0, actions={platform: actions})
    except PlanError:
        return False
    return True


def recommended(platform: Platform) -> Actions:
    return DEFAULT_ACTIONS[platform]


def known_by(actions: Actions, platform: Platform, versions: Mapping[OSVersion, int]) -> int:
    """How many of the devices with these versions know all the actions."""
    return sum(
        devices
        for version, devices in versions.items()
        if all(action_available(action, platform, version) for action in actions)
    )


def platforms_of(devices: Iterable[Device]) -> dict[Platform, Counter[OSVersion]]:
    """Versions and their numbers by platform, for the platforms that take ScheduleOSUpdate; the most devices first."""
    found: dict[Platform, Counter[OSVersion]] = {}
    for device in devices:
        if device.platform is not None and device.platform in DEFAULT_ACTIONS:
            versions = found.setdefault(device.platform, Counter())
            if device.os_version is not None:
                versions[device.os_version] += 1
    return dict(sorted(found.items(), key=lambda item: -item[1].total()))


# --- the line between the instruments ---------------------------------------------------------------------------------

_GONE = "27"  # the first OS without the commands
LINES: Mapping[Platform, tuple[str, ...]] = {
    Platform.IOS: ("26", "18", "17", _GONE),
    Platform.IPADOS: ("26", "18", "17", _GONE),
    Platform.MACOS: ("14", "15", "26", _GONE),
    Platform.TVOS: ("26", "18.4", _GONE),
}  # where both work, from which OS on devices may be declared; the recommended one first
WHY_DECLARE = (
    "Recommended for Macs from macOS 14 on: the commands are deprecated in 26 and gone in 27, and a declared Mac "
    "reminds its user and enforces by itself"
)


def line_words(since: str) -> str:
    return f"only from {since} on" if since == _GONE else f"from {since} on"


def _since(texts: Mapping[str, str], errors: dict[str, str]) -> Mapping[Platform, OSVersion]:
    """Over the kit's own line, what was chosen. The form offers only what Apple allows."""
    since = dict(DECLARE_SINCE)
    for name, text in texts.items():
        if name not in _PLATFORMS or text not in LINES[Platform(name)]:
            errors[f"declare_since {name}"] = f"{text!r} is no line for {name}. Choose one of the list."
        else:
            since[Platform(name)] = OSVersion.parse(text)
    return since


# --- hazards ----------------------------------------------------------------------------------------------------------


def hazards(
    plan: RolloutPlan, platforms: Mapping[Platform, Mapping[OSVersion, int]], declared: int = 0
) -> tuple[Hazard, ...]:
    """What this plan risks, the gravest first. platforms: the versions of those that take it by command; declared: how
    many take it by declaration.
    """
    found: list[Hazard] = []
    for platform, versions in platforms.items():
        actions = plan.steps(platform).actions
        if InstallAction.INSTALL_FORCE_RESTART in actions:
            found.append(Hazard(WARNINGS["data_loss"], grave=True))
        if actions == (InstallAction.DEFAULT, InstallAction.DEFAULT):
            found.append(
                Hazard(
                    f"{platform}: Default, then Default. A first step that is delivered again after the download "
                    "installs at once, window or not. DownloadOnly, then InstallASAP cannot."
                )
            )
        major = sum(devices for version, devices in versions.items() if _is_upgrade(version, plan.target.version))
        if platform is Platform.MACOS and major and actions[-1] not in (_ASAP, InstallAction.DEFAULT):
            found.append(Hazard(f"{major:,} Macs would take a major upgrade. {WARNINGS['major_action_unreliable']}"))
        if InstallAction.INSTALL_LATER in actions and plan.max_user_deferrals is None:
            found.append(Hazard("InstallLater without a number of deferrals: people may put it off without end."))
        old = sum(devices for version, devices in versions.items() if _deprecated(platform, version))
        if old:
            found.append(Hazard(f"{old:,} on {platform} 26. {WARNINGS['deprecated']}"))
    installs = any(plan.steps(platform).install for platform in platforms)
    if installs and plan.window.always:
        found.append(Hazard("No window is set: devices restart at any hour of their day."))
    if declared:
        found.append(
            Hazard(
                f"{declared:,} by declaration: each installs by its deadline, whatever happens to us. Pause, halt, "
                "hold and cancel take the declaration back."
            )
        )
        if plan.created_at + plan.declaring.days * DAY > plan.deadline_at:
            found.append(
                Hazard("The rollout ends before the declarations' days are over: they enforce an hour before its end.")
            )
    return tuple(sorted(found, key=lambda hazard: not hazard.grave))


_ASAP = InstallAction.INSTALL_ASAP


def _is_upgrade(installed: OSVersion, target: OSVersion | None) -> bool:
    return target is not None and target.major > installed.major


def _deprecated(platform: Platform, version: OSVersion) -> bool:
    return command_deprecated(RequestType.SCHEDULE_OS_UPDATE, platform, version)


# --- single fields ----------------------------------------------------------------------------------------------------


def _aim(text: str, build: str) -> tuple[Target, Goal | None]:
    if not text:
        raise PlanError("No target yet.", remedy="Give the version to reach, such as 18.7.2, or latest-minor.")
    return aim_of(text, build=build)


def _deadline(text: str, now: int) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise PlanError("This is no date and time.", remedy="Write it such as 2026-12-04T18:00, in UTC.") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    at = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    if at <= now:
        raise PlanError("The deadline has passed.", remedy="Choose a later one.")
    return at


def _hour(text: str) -> time:
    try:
        return time.fromisoformat(text) if text else time()
    except ValueError:
        raise PlanError(f"{text!r} is no time of day.", remedy="Write it such as 22:00.") from None


_EVERY_DAY: tuple[int, ...] = ()


def _days(text: str) -> tuple[int, ...]:
    return window_of("", text).days


def _enforce_days(text: str) -> int:
    number = _number(text)
    if number is None or number > 90:
        raise PlanError("This is no number of days.", remedy="Give 0 to 90.")
    return number


def _page(text: str) -> str:
    if text and not text.startswith(("https://", "http://")):
        raise PlanError("This is no web address.", remedy="Write it such as https://help.example.org/update.")
    return text


def _number(text: str) -> int | None:
    if text and not (text.isascii() and text.isdigit()):
        raise PlanError("This is no whole number.", remedy="Give 0 or more, or nothing.")
    return int(text) if text else None


def _tries(text: str) -> int:
    number = _number(text)
    if not number:
        raise PlanError("A step needs a try.", remedy="Give 1 or more.")
    return number


def _priority(text: str) -> Priority | None:
    if text and text not in tuple(Priority):
        raise PlanError(f"{text!r} is no priority.", remedy="Choose Low, High, or none.")
    return Priority(text) if text else None


def _zone(text: str) -> str:
    if text:
        zone_of(text)
    return text


def _actions(texts: Mapping[str, str], errors: dict[str, str]) -> dict[Platform, Actions]:
    """The recommended ones, and over them what was chosen. The form offers only what Apple allows."""
    actions = dict(DEFAULT_ACTIONS)
    for name, text in texts.items():
        found = next((a for a in choices(Platform(name)) if "+".join(a) == text), None) if name in _PLATFORMS else None
        if found is None:
            errors[f"actions {name}"] = f"{text!r} is no action for {name}. Choose one of the list."
        else:
            actions[Platform(name)] = found
    return actions


_PLATFORMS = frozenset(platform.value for platform in DEFAULT_ACTIONS)
