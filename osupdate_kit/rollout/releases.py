"""Releases: what Apple has published for which models, as a dated catalogue, and the newest of it for one device.

Knows no addresses and no formats: `feeds/releases.py` reads the catalogue. A model that the catalogue says nothing of
is unknown, never unsupported.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.policy import DAY


class Offer(NamedTuple):
    """Builds of a release for the same models: forks for new models, and one for devices that are set up anew.

    expires_at: by when the feed says that Apple ends it (microseconds UTC, 0 = not said); such dates are often put off.
    """

    models: frozenset[str] = frozenset()  # product names and device ids; empty: the feed does not say
    builds: tuple[str, ...] = ()
    expires_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One published version. iPadOS stands under iOS, as in Apple's schema. Times: microseconds UTC, 0 = not known."""

    platform: Platform
    version: OSVersion
    released_at: int = 0
    offers: tuple[Offer, ...] = ()  # as of the feed's date; empty: Apple offers it no more
    past_models: frozenset[str] = frozenset()  # of one that is offered no more
    cves: tuple[str, ...] = ()
    exploited: tuple[str, ...] = ()  # those of them that attackers are known to use
    advisory: str = ""
    extra: str = ""  # of a Background Security Improvement: its suffix, such as "(a)"; no target by version
    prerequisite_build: str = ""
    sources: tuple[str, ...] = ()

    @property
    def models(self) -> frozenset[str]:
        return self.past_models.union(*(offer.models for offer in self.offers))

    @property
    def builds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(build for offer in self.offers for build in offer.builds))

    @property
    def expires_at(self) -> int:
        """When the last offer ends, as the feed says; 0: not said."""
        ends = [offer.expires_at for offer in self.offers]
        return 0 if 0 in ends else max(ends, default=0)

    def fits(self, models: Collection[str]) -> bool | None:
        """Is it for a device with one of these names? None: the feed names no models for it."""
        known = self.models
        return not known.isdisjoint(models) if known else None

    def offers_for(self, models: Collection[str], by: int) -> tuple[Offer, ...]:
        """Those for a device with one of these names that the feed does not date to have ended by then."""
        return tuple(
            offer for offer in self.offers if not 0 < offer.expires_at <= by and not offer.models.isdisjoint(models)
        )

    def joined(self, other: "Release") -> "Release":
        """The same release as two feeds tell it: what one of them does not say, the other may."""
        released = [at for at in (self.released_at, other.released_at) if at]
        return Release(
            platform=self.platform,
            version=self.version,
            released_at=min(released, default=0),
            offers=tuple(dict.fromkeys((*self.offers, *other.offers))),
            past_models=self.past_models | other.past_models,
            cves=self.cves or other.cves,
            exploited=self.exploited or other.exploited,
            advisory=self.advisory or other.advisory,
            extra=self.extra,
            prerequisite_build=self.prerequisite_build or other.prerequisite_build,
            sources=tuple(dict.fromkeys((*self.sources, *other.sources))),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueRef:
    """Which catalogue a plan was made with: frozen into its record."""

    as_of: int
    sha256: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Releases as the feeds told them at `as_of`. sha256: of the feeds' bytes; source: their names."""

    as_of: int
    sha256: str
    source: str
    releases: tuple[Release, ...] = field(repr=False)
    names: Mapping[str, str] = field(default_factory=dict, repr=False)  # of models, for people

    @property
    def ref(self) -> CatalogueRef:
        return CatalogueRef(as_of=self.as_of, sha256=self.sha256, source=self.source)

    def age_days(self, now: int) -> float:
        return max(0, now - self.as_of) / DAY

    def knows(self, platform: Platform, models: Collection[str]) -> bool:
        """Does any release of the platform name the device's model?"""
        return not self._models.get(platform.schema, frozenset()).isdisjoint(models)

    def of(self, platform: Platform) -> tuple[Release, ...]:
        """Of the platform, the newest first, without supplements."""
        return self._by_platform.get(platform.schema, ())

    def named(self, platform: Platform, version: OSVersion) -> Release | None:
        return self._by_version.get((platform.schema, version))

    def fitting(
        self, platform: Platform, models: Collection[str], now: int, *, major: int = 0, after_days: float = 0
    ) -> Iterator[Release]:
        """Offered releases for the model, the newest first: of that major version, out for so many days.

        A release that the feed dates to have ended is left out if the feed itself is younger than that: an older feed
        cannot know, for Apple puts such dates off.
        """
        for release in self.of(platform):
            if major and release.version.major != major:
                continue
            old_enough = release.released_at + after_days * DAY <= now if release.released_at else not after_days
            if old_enough and release.offers_for(models, min(now, self.as_of)):
                yield release

    def latest(
        self, platform: Platform, models: Collection[str], now: int, *, major: int = 0, after_days: float = 0
    ) -> Release | None:
        """The newest of `fitting`. major 0: of any major version."""
        return next(self.fitting(platform, models, now, major=major, after_days=after_days), None)

    @cached_property
    def doubtful_advisories(self) -> frozenset[str]:
        """Addresses that the feeds name for several platforms: of some of them they tell another's CVEs."""
        platforms: dict[str, set[Platform]] = defaultdict(set)
        for release in self.releases:
            platforms[release.advisory].add(release.platform)
        return frozenset(url for url, some in platforms.items() if url and len(some) > 1)

    @cached_property
    def _by_platform(self) -> Mapping[Platform, tuple[Release, ...]]:
        found: dict[Platform, list[Release]] = defaultdict(list)
        for release in self.releases:
            if not release.extra:
                found[release.platform].append(release)
        return {p: tuple(sorted(some, key=lambda one: one.version, reverse=True)) for p, some in found.items()}

    @cached_property
    def _by_version(self) -> Mapping[tuple[Platform, OSVersion], Release]:
        return {(one.platform, one.version): one for some in self._by_platform.values() for one in some}

    @cached_property
    def _models(self) -> Mapping[Platform, frozenset[str]]:
        return {p: frozenset[str]().union(*(one.models for one in some)) for p, some in self._by_platform.items()}


def joined(releases: Iterable[Release]) -> tuple[Release, ...]:
    """Each release once, whatever feeds tell of it; in the order in which they first came."""
    found: dict[tuple[Platform, OSVersion, str], Release] = {}
    for release in releases:
        key = (release.platform, release.version, release.extra)
        found[key] = found[key].joined(release) if key in found else release
    return tuple(found.values())
