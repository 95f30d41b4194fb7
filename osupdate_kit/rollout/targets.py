"""Target: what a device must report to be done. Goal: the rule that gives each device a target of its own.

Knows which report is a proof, and the words of both. Leaves what a rule comes to for a device to `preflight.py`, and
what there is to the release catalogue.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from osupdate_kit.errors import PlanError, ProtocolError
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.state import Listed, Version
from osupdate_kit.rollout.words import Written, plain, read
from osupdate_kit.rollout.words import text as words_text

_BUILD = re.compile(r"\d+[A-Z]\d+")
_SUPPLEMENTAL_BUILD = re.compile(r"\d+[A-Z]\d+[a-z]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a device must report to be done: a version, with a build or a supplement if named; or a macOS item's key."""

    version: OSVersion | None = None
    build: str = ""
    supplemental_build: str = ""  # of a Rapid Security Response or Background Security Improvement
    extra: str = ""  # its suffix, such as "(a)"
    product_key: str = ""  # of a macOS item that is no OS update

    def reached_by(self, reported: Version) -> bool:
        """Is this report a proof? Never true for a product key: only a fresh list can show that an item is gone."""
        if self.version is None or not reported.os_version:
            return False
        version = OSVersion.parse(reported.os_version)
        if version != self.version:
            return version > self.version
        if self.supplemental_build and reported.supplemental_build != self.supplemental_build:
            return False
        if self.extra and reported.extra.strip("()") != self.extra.strip("()"):
            return False
        return not self.build or reported.build == self.build

    def gone_from(self, listed: Listed, *, scanned_at: int, after: int) -> bool:
        """Is a macOS item gone from a list that is newer than a scan, and the scan newer than `after`?

        after: when a list still named it, or the device answered the install step; 0 = neither is known. A list with
        an entry that names no key may hide it, and proves nothing.
        """
        if not self.product_key or not listed.at > scanned_at > after > 0:
            return False
        return all(item.product_key not in ("", self.product_key) for item in listed.items)

    def __str__(self) -> str:
        if self.version is None:
            return self.product_key
        more = " ".join(part for part in (self.extra, self.build, self.supplemental_build) if part)
        return f"{self.version} {more}".strip()

    @classmethod
    def parse(cls, text: str) -> "Target":
        """What `str` of a target says: a version, then its suffix and builds if there are any; or a product key."""
        first, *more = text.split(" ")
        version = OSVersion.parse_or_none(first)
        if version is None:
            return cls(product_key=text)
        words: dict[str, Any] = {}
        for part in more:
            build = "build" if _BUILD.fullmatch(part) else "extra"
            words["supplemental_build" if _SUPPLEMENTAL_BUILD.fullmatch(part) else build] = part
        return cls(version=version, **words)

    def words(self) -> dict[str, Any]:
        """As a plan's YAML holds it."""
        words = {
            "version": str(self.version) if self.version else None,
            "build": self.build,
            "supplemental_build": self.supplemental_build,
            "extra": self.extra,
            "product_key": self.product_key,
        }
        return {key: value for key, value in words.items() if value}

    @classmethod
    def from_words(cls, words: object) -> "Target":
        """Raises PlanError, naming the key."""
        given = {k: v for k, v in words.items() if v not in (None, "")} if isinstance(words, Mapping) else words
        target = cls(**read(given, _TARGET_READERS, "the target"))
        if bool(target.version) == bool(target.product_key):
            raise PlanError(
                "The target names neither a version nor a product key, or both.",
                remedy="Give a version, or the product key of a macOS item.",
            )
        return target


# --- rules ------------------------------------------------------------------------------------------------------------

LATEST = ("minor", "major")


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A rule: what it comes to for a device is frozen when a plan is made.

    latest: the newest release within the device's major version (minor), or of any (major), that has been out for
    `after_days`. by_major: a version for each major version that devices run; it wins over `latest`. floor: at or above
    it there is nothing to do; alone, it is the target.
    """

    latest: str = ""
    after_days: float = 0
    by_major: Mapping[int, OSVersion] = field(default_factory=lambda: MappingProxyType({}))
    floor: OSVersion | None = None
    version: OSVersion | None = None  # the same for all; with a floor

    def __post_init__(self) -> None:
        if self.latest and self.latest not in LATEST:
            raise PlanError(f"latest is {self.latest[:40]!r}.", remedy="Write minor or major.")
        if self.after_days and not self.latest:
            raise PlanError("after_days is given without latest.", remedy="Say latest: minor or latest: major, too.")
        if self.version and (self.latest or self.by_major):
            raise PlanError(
                "The target is a version and a rule at once.", remedy="Give one of version, latest and by_major."
            )
        if not (self.latest or self.by_major or self.floor):
            raise PlanError(
                "The target's rule says nothing.", remedy="Give latest: minor, latest: major, by_major or floor."
            )

    @property
    def needs_catalogue(self) -> bool:
        return bool(self.latest)

    def __str__(self) -> str:
        what = self._what()
        if not self.floor:
            return what
        return f"{what}, of those below {self.floor}" if what else f"{self.floor} or newer"

    def _what(self) -> str:
        parts = [f"{major} to {version}" for major, version in sorted(self.by_major.items())]
        if self.latest:
            after = f", {self.after_days:g} days after release" if self.after_days else ""
            parts.append(f"{'else ' if parts else ''}latest {self.latest}{after}")
        if self.version:
            parts.append(str(self.version))
        return ", ".join(parts)

    def words(self) -> dict[str, Any]:
        """As a plan's YAML holds it."""
        words = {
            "latest": self.latest,
            "after_days": plain(self.after_days),
            "by_major": {major: str(version) for major, version in sorted(self.by_major.items())},
            "version": str(self.version) if self.version else "",
            "floor": str(self.floor) if self.floor else "",
        }
        return {key: value for key, value in words.items() if value}

    @classmethod
    def from_words(cls, words: object) -> "Goal":
        """Raises PlanError, naming the key."""
        return cls(**read(words, _READERS, "the target"))


def aim_of(
    text: str = "",
    *,
    after_days: float = 0,
    by_major: Mapping[int, str] | Iterable[str] = (),
    floor: str = "",
    build: str = "",
    extra: str = "",
    product_key: str = "",
) -> tuple[Target, Goal | None]:
    """The target for all, or the rule, in the words that people write. Raises PlanError.

    text: a version, or a rule: latest-minor, latest-major, +7d (out for so long), 15=15.7.2 (for those on 15), >=18.6
    (at or above it: nothing to do), with blanks between. by_major: such a mapping, or texts such as "15=15.7.2".
    """
    rule: dict[str, Any] = {"after_days": after_days, "floor": floor, "by_major": _pairs(by_major)}
    for word in text.replace(",", " ").split():
        name, sign, value = word.partition("=")
        if word in _LATEST_WORDS:
            _say(rule, "latest", _LATEST_WORDS[word])
        elif word.startswith("+") and word.endswith("d"):
            _say(rule, "after_days", _number(word[1:-1]))
        elif name == ">":
            _say(rule, "floor", value)
        elif sign:
            _say(rule["by_major"], name, value)
        else:
            _say(rule, "version", word)
    rule = {key: value for key, value in rule.items() if value}
    if bool(rule) == bool(product_key):
        raise PlanError("A plan has one target.", remedy="Give a version, a rule, or the product key of a macOS item.")
    if not is_goal(rule):
        version = _parsed(rule["version"]) if rule else None
        return Target(version=version, build=build, extra=extra, product_key=product_key), None
    if build or extra:
        raise PlanError("A rule names no build.", remedy="Give a version together with the build or suffix.")
    return Target(), Goal.from_words(rule)


def _say(words: dict[Any, Any], key: str, value: object) -> None:
    if words.get(key, value) not in (value, "", 0):
        raise PlanError(f"The target says {words[key]} and {value}.", remedy="Give one of them.")
    words[key] = value


_LATEST_WORDS = {"latest-minor": "minor", "latest-major": "major"}


def _pairs(by_major: Mapping[int, str] | Iterable[str]) -> dict[Any, str]:
    pairs = by_major.items() if isinstance(by_major, Mapping) else [text.partition("=")[::2] for text in by_major]
    words: dict[Any, str] = {}
    for major, version in pairs:
        _say(words, str(major), version)
    return words


def _parsed(text: str) -> OSVersion:
    try:
        return OSVersion.parse(text)
    except ProtocolError as error:
        raise PlanError(str(error), remedy="A rule is latest-minor, latest-major, +7d, 15=15.7.2 or >=18.6.") from None


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def is_goal(words: object) -> bool:
    """Are these the words of a rule, and not of one target for all?"""
    return isinstance(words, Mapping) and not words.keys().isdisjoint(("latest", "after_days", "by_major", "floor"))


def _latest(value: object) -> str:
    """minor or major"""
    if value not in LATEST:
        raise TypeError(value)
    return str(value)


def _days(value: object) -> float:
    """a number of days, 0 to 365"""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 365:
        raise TypeError(value)
    return float(value)


def _version(value: object) -> OSVersion:
    """a version, such as 18.7.2, in quotes"""
    text = value.written if isinstance(value, Written) else str(value)
    if isinstance(value, bool) or not isinstance(value, str | int | Written | OSVersion):
        raise TypeError(value)
    try:
        return OSVersion.parse(text)
    except ProtocolError as error:
        raise ValueError(text) from error


def _by_major(value: object) -> Mapping[int, OSVersion]:
    """a version for each major version, such as {15: 15.7.2, 26: 26.1}"""
    if not isinstance(value, Mapping) or not value:
        raise TypeError(value)
    return MappingProxyType({_major(major): _version(version) for major, version in value.items()})


def _major(value: object) -> int:
    """a major version, such as 15"""
    major = int(str(value)) if not isinstance(value, bool) else 0
    if not 0 < major < 1000:
        raise ValueError(value)
    return major


_TARGET_READERS: Mapping[str, Any] = {
    "version": _version,
    "build": words_text,
    "supplemental_build": words_text,
    "extra": words_text,
    "product_key": words_text,
}
_READERS: Mapping[str, Any] = {
    "latest": _latest,
    "after_days": _days,
    "by_major": _by_major,
    "version": _version,
    "floor": _version,
}
