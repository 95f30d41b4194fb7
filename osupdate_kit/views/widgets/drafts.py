"""A plan before it is issued, as people look at it: how many by which way, and why the others not."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.terms import InstallAction, Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.eligibility import WORDS, Barrier
from osupdate_kit.rollout.enforcement import Declaring
from osupdate_kit.rollout.journey import Instrument, Member
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.preflight import Count

UNKNOWN = frozenset(
    {
        Barrier.PLATFORM_UNKNOWN,
        Barrier.VERSION_UNKNOWN,
        Barrier.SUPERVISION_UNKNOWN,
        Barrier.TIME_ZONE_UNKNOWN,
        Barrier.MODEL_UNKNOWN,
    }
)  # facts that nobody has told yet: never taken for a yes


class Draft(Protocol):
    """A plan and its members, each with its verdict; nothing is stored or sent yet."""

    @property
    def plan(self) -> RolloutPlan: ...

    @property
    def members(self) -> Sequence[Member]: ...

    @property
    def unmatched(self) -> Sequence[str]:
        """Wanted names that no device has."""

    @property
    def findings(self) -> Sequence[Count]:
        """What preflight found on those that take the plan."""

    @property
    def targets(self) -> Mapping[str, int]:
        """Devices that take the plan, by what its rule comes to for them."""

    @property
    def held(self) -> int:
        """How many of those that take the plan are on the hold list."""


@dataclass(frozen=True, slots=True)
class Part:
    """The members that share a verdict. `name`: an instrument, or the first barrier."""

    name: str
    words: str
    remedy: str
    devices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """How the members of a draft fall apart; the parts sum up to `selected`, always (I5)."""

    selected: int
    by_command: int
    by_declaration: int
    barred: tuple[Part, ...]  # most frequent first
    unknown: tuple[Part, ...]

    @property
    def taking(self) -> int:
        return self.by_command + self.by_declaration


def verdicts(members: Sequence[Member]) -> Verdicts:
    barriers = Counter(member.barrier for member in members if member.barrier)
    instruments = Counter(member.instrument for member in members if not member.barrier)
    parts = [
        Part(barrier.value, *WORDS[barrier], devices)
        for barrier, devices in ((Barrier(name), devices) for name, devices in barriers.most_common())
    ]
    return Verdicts(
        selected=len(members),
        by_command=instruments[Instrument.COMMAND],
        by_declaration=instruments[Instrument.DECLARATION],
        barred=tuple(part for part in parts if part.name not in UNKNOWN),
        unknown=tuple(part for part in parts if part.name in UNKNOWN),
    )


def keys_of(members: Sequence[Member], part: str) -> tuple[DeviceKey, ...]:
    """The devices of a part, by its name; of a wave, by "wave " and its name."""
    if part.startswith("wave "):
        return tuple(member.key for member in members if member.wave and member.wave == part.removeprefix("wave "))
    return tuple(member.key for member in members if (member.barrier or member.instrument) == part)


def waves_of(draft: Draft) -> list[tuple[str, str, int]]:
    """Of each wave: its name, when it opens, and its devices; nothing for a single one."""
    if len(draft.plan.waves) < 2:
        return []
    sizes = Counter(member.wave for member in draft.members)
    return [(wave.name, str(wave.opens), sizes[wave.name]) for wave in draft.plan.waves]


def leaving(draft: Draft) -> int:
    """How many devices that take the plan leave their major version by it."""
    taking = Counter((m.target, m.os_version) for m in draft.members if not m.barrier and m.os_version)
    pairs = ((draft.plan.target_of(text).version, OSVersion.parse(now), n) for (text, now), n in taking.items())
    return sum(devices for version, now, devices in pairs if version and version.major > now.major)


def installs(draft: Draft) -> bool:
    """May any device that takes the plan install?"""
    if any(member.instrument is Instrument.DECLARATION for member in draft.members):
        return True
    return any(draft.plan.steps(platform).install for platform in versions_of(draft.members))


def versions_of(members: Sequence[Member]) -> dict[Platform, Counter[OSVersion]]:
    """The versions of those that take the plan by command, by platform."""
    counts = Counter((m.platform, m.os_version) for m in members if m.instrument is Instrument.COMMAND)
    found: dict[Platform, Counter[OSVersion]] = {}
    for (platform, version), devices in counts.items():
        found.setdefault(Platform(platform), Counter())[OSVersion.parse(version)] += devices
    return found


# --- what people notice -----------------------------------------------------------------------------------------------

_ASAP_MOBILE = "a device without a passcode restarts at once; one with a passcode asks for it, again and again"
_MAC = {
    InstallAction.DEFAULT: "downloads or installs, whichever is next; restarts when it installs",
    InstallAction.DOWNLOAD_ONLY: "nothing: it only downloads",
    InstallAction.INSTALL_ASAP: "a countdown of a minute, then the Mac restarts",
    InstallAction.NOTIFY_ONLY: "a notification; nothing installs by itself",
    InstallAction.INSTALL_LATER: "a daily question; nothing is forced",
    InstallAction.INSTALL_FORCE_RESTART: "the Mac restarts without asking; unsaved work is lost",
}
_TV = "the Apple TV restarts at once, in the middle of what it shows"
_NAMES: Mapping[Platform, str] = MappingProxyType(
    {Platform.MACOS: "Mac", Platform.IPADOS: "iPad", Platform.IOS: "iPhone", Platform.TVOS: "Apple TV"}
)


def declared_by(declaring: Declaring) -> str:
    """By when a declared device installs, as a sentence goes on after "by"."""
    days = (
        "on the day of its assignment"
        if not declaring.days
        else (f"{declaring.days} day{'s' * (declaring.days != 1)} after its assignment")
    )
    weekends = "" if declaring.weekends else "; a weekend moves to Monday"
    return f"{declaring.at} its own time, {days}{weekends}"


def noticed_declared(platform: Platform) -> str:
    """What people at a declared device will notice. Source: Apple, on enforcing software updates by declaration."""
    last = (
        "it restarts, in the middle of what it shows"
        if platform is Platform.TVOS
        else ("it installs and restarts, whether or not somebody works at it")
    )
    return f"reminders, more often as the deadline nears, and a way to install earlier; at the deadline {last}"


def platform_name(platform: str) -> str:
    """What people call such a device."""
    return _NAMES.get(Platform(platform), platform) if platform in tuple(Platform) else platform


def noticed(platform: Platform, actions: Sequence[InstallAction], max_user_deferrals: int | None = None) -> str:
    """What people at the device will notice. Source: Apple, ScheduleOSUpdate's InstallAction; field reports."""
    last = actions[-1]
    if platform is Platform.MACOS:
        if last is InstallAction.INSTALL_LATER and max_user_deferrals is not None:
            return f"a question, put off at most {max_user_deferrals} times; then it installs and restarts"
        return _MAC[last]
    if not last.can_install:
        return _MAC[InstallAction.DOWNLOAD_ONLY]
    return _TV if platform is Platform.TVOS else _ASAP_MOBILE


def action_words(actions: Sequence[InstallAction]) -> str:
    return ", then ".join(actions)
