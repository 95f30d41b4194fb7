"""The second instrument in a plan: which devices go by declaration, what is declared to them, and by when.

Knows the line between the two instruments as data, and the set of declarations that one assignment stands for. Leaves
the declarations' form to `protocol.declarations`, and who is assigned when to `engine.py`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from osupdate_kit.errors import PlanError, ProtocolError
from osupdate_kit.protocol.declarations import (
    ActivationSimple,
    EnforcementSpecific,
    StatusSubscriptions,
    deadline_local,
    encode,
)
from osupdate_kit.protocol.rules import ENFORCEMENT, declaration_available, status_items
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.policy import HOUR, MINUTE
from osupdate_kit.rollout.targets import Target
from osupdate_kit.rollout.windows import Hours, zone_of
from osupdate_kit.rollout.words import count, flag, read, text, texts

_OURS = "osupdate-kit-"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# From OS 26 on the commands are deprecated; before, what has always been done goes on.
DECLARE_SINCE: Mapping[Platform, OSVersion] = MappingProxyType(
    dict.fromkeys((Platform.IOS, Platform.IPADOS, Platform.TVOS, Platform.MACOS), OSVersion.parse("26"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaring:
    """When a plan's devices go by declaration, and by when these enforce it, in their own time.

    since: by platform, from which OS on, where both instruments work. Without the commands it is declared in any case.
    """

    servers: tuple[str, ...] = ()  # those that can declare, as of the plan
    since: Mapping[Platform, OSVersion] = field(default_factory=lambda: DECLARE_SINCE)
    days: int = 3  # from the assignment on
    at: str = "19:00"
    weekends: bool = False
    details_url: str = ""

    def __post_init__(self) -> None:
        try:
            deadline_local(_EPOCH, self.days, at=self.at)
        except ProtocolError as error:
            raise PlanError(f"The deadline of declarations: {error.args[0]}", remedy=error.remedy) from None

    def words(self) -> dict[str, Any]:
        """As a plan's YAML holds it."""
        return {
            "servers": list(self.servers),
            "since": {platform.value: str(version) for platform, version in self.since.items()},
            "days": self.days,
            "at": self.at,
            "weekends": self.weekends,
            "details_url": self.details_url,
        }

    @classmethod
    def from_words(cls, words: object) -> "Declaring":
        """Raises PlanError, naming the key."""
        readers: dict[str, Any] = {
            "servers": texts, "since": since_of, "days": count, "at": text, "weekends": flag, "details_url": text,
        }  # fmt: skip
        return cls(**read(words, readers, "declaring"))

    def chosen(self, server: str, platform: Platform, os_version: OSVersion, *, commands: bool) -> bool:
        """Does such a device go by declaration? commands: does its OS have the commands as well?"""
        if server not in self.servers or not declaration_available(ENFORCEMENT, platform, os_version):
            return False
        return not commands or os_version >= self.since.get(platform, DECLARE_SINCE[platform])


def since_of(words: object) -> Mapping[Platform, OSVersion]:
    """a version for each platform, such as {macOS: "14"}"""
    if not isinstance(words, Mapping):
        raise TypeError(words)
    try:
        told = {Platform(platform): OSVersion.parse(str(version)) for platform, version in words.items()}
    except ProtocolError as error:
        raise ValueError(str(error)) from None
    if unknown := told.keys() - DECLARE_SINCE.keys():
        raise ValueError(sorted(unknown)[0])
    return MappingProxyType({**DECLARE_SINCE, **told})


def deadline(declaring: Declaring, hours: Hours, now: int, time_zone: str, last: int) -> tuple[datetime, int]:
    """By when a device that is assigned now must install: in its own time without a zone, and as an instant.

    It lies in the plan's window, and an hour before `last`, the rollout's own deadline, wherever that leaves an hour.
    """
    zone = zone_of(time_zone)
    local = deadline_local(_local(now, zone), declaring.days, at=declaring.at, weekends=declaring.weekends)
    at = _instant(local.replace(tzinfo=zone))
    gate = hours.gate(at, time_zone)
    if not gate.open_since and gate.changes_at:
        at = gate.changes_at
    if at > last - HOUR:
        gate = hours.gate(last - HOUR, time_zone)
        at = last - HOUR if gate.open_since else gate.shut_since - HOUR
    at = max(at, now + HOUR) // MINUTE * MINUTE
    return _local(at, zone).replace(tzinfo=None), at


def _local(at: int, zone: Any) -> datetime:
    return (_EPOCH + timedelta(microseconds=at)).astimezone(zone)


def _instant(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def enforcement_text(
    rollout: int, declaring: Declaring, target: Target, when: datetime, platform: Platform, os_version: OSVersion
) -> str:
    """An assignment as canonical JSON, with the name of its set: equal texts are one set, and one call serves them."""
    assert target.version is not None, target
    words: dict[str, Any] = {
        "TargetOSVersion": str(target.version),
        "TargetBuildVersion": target.supplemental_build or target.build,
        "TargetLocalDateTime": when.isoformat(timespec="seconds"),
        "DetailsURL": declaring.details_url,
        "Platform": platform.value,
        "Major": os_version.major,
    }
    digest = hashlib.sha256(_json(words).encode()).hexdigest()[:10]
    return _json({"Set": f"{_OURS}r{rollout}-{digest}", **words})


def take_back_text(set_name: str) -> str:
    """The end of an assignment, as canonical JSON."""
    return _json({"Set": set_name})


def said_again(command: str, besides: Iterable[str]) -> str:
    """An assignment, or its end, said once more; besides: sets that must not stand there with it."""
    return _json(json.loads(command) | {"Besides": sorted(besides)})


@lru_cache(maxsize=1024)
def besides_of(command: str) -> tuple[str, ...] | None:
    """The sets to be taken back with what is said once more; None: it is said for the first time."""
    found = json.loads(command).get("Besides")
    return None if found is None else tuple(found)


def _json(words: Mapping[str, Any]) -> str:
    return json.dumps(words, sort_keys=True, separators=(",", ":"))


class DeclarationSet(NamedTuple):
    """A set and the declarations in it, in the order in which a server is to learn of them: activations last."""

    name: str
    declarations: tuple[tuple[str, bytes], ...]


@lru_cache(maxsize=1024)
def set_of(command: str) -> DeclarationSet:
    """What an assignment's text stands for: the enforcement, and what the device is to report of it."""
    words = json.loads(command)
    name, platform, major = words["Set"], Platform(words["Platform"]), words["Major"]
    update, status = f"{name}-update", f"{_OURS}status-{platform.value}-{major}"
    enforced = EnforcementSpecific(
        target_os_version=OSVersion.parse(words["TargetOSVersion"]),
        target_local_date_time=datetime.fromisoformat(words["TargetLocalDateTime"]),
        target_build_version=words["TargetBuildVersion"],
        details_url=words["DetailsURL"],
    )
    told = StatusSubscriptions(items=status_items(platform, OSVersion.parse(str(major))))
    contents = (
        (status, told),
        (update, enforced),
        (f"{status}-on", ActivationSimple(configurations=(status,))),
        (f"{update}-on", ActivationSimple(configurations=(update,))),
    )
    return DeclarationSet(name, tuple((name, encode(content, name)) for name, content in contents))


def set_name_of(command: str) -> str:
    name: str = json.loads(command)["Set"]
    return name


def enforcement_id(set_name: str) -> str:
    """The identifier of the enforcement in a set of ours: the one whose status says how the update fares."""
    return f"{set_name}-update"


def is_ours(identifier: str) -> bool:
    return identifier.startswith(_OURS)
