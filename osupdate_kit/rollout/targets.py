"""Target: what a device must report to be done.

Knows which report is a proof. Leaves which target is best for a device to the release catalogue.
"""

from dataclasses import dataclass
from typing import Any

from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.state import Listed, Version


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
        more = " ".join(part for part in (self.extra, self.build or self.supplemental_build) if part)
        return f"{self.version} {more}".strip()

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
    def from_words(cls, words: dict[str, Any]) -> "Target":
        """Raises ValueError or ProtocolError for anything else."""
        return cls(
            version=OSVersion.parse(words["version"]) if words.get("version") else None,
            build=str(words.get("build", "")),
            supplemental_build=str(words.get("supplemental_build", "")),
            extra=str(words.get("extra", "")),
            product_key=str(words.get("product_key", "")),
        )
