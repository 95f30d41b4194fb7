"""Apple's releases from elsewhere: the SOFA feeds (version 2), Apple's lookup service, and the dated sample we ship.

Knows formats, addresses' answers, and the last good copy of each feed on disk. Reads liberally: an entry that cannot
be read is passed over, and what is no feed at all is a FeedError and nothing else. Leaves to `rollout/releases.py` what
the releases mean for a device. Sources: macadmins/sofa, v2 schema; Apple, "Apple Software Lookup Service".
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests

from osupdate_kit.errors import FeedError, ProtocolError
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.releases import Catalogue, Offer, Release, joined
from osupdate_kit.rollout.words import iso

MAX_BYTES = 16 << 20  # the largest feed of 2026 has half a MiB
_MAX_ENTRIES = 20_000  # of any list in it
_MAX_TEXT = 200
_PATIENCE_SECONDS = 60.0  # for one feed as a whole; a single pause may be half as long
_SOFA, _APPLE = "SOFA", "Apple"
_REMEDY = "Check the address in the settings under [feeds], or leave it empty to go without this feed."
_OLD_COPY = "The last good copy stays in use; try again by `osupdate-kit feeds refresh`."


class Feed(NamedTuple):
    """What one feed says. as_of: when it says it was made (microseconds UTC, 0 = it does not)."""

    releases: tuple[Release, ...]
    names: Mapping[str, str]  # of models, for people
    products: Mapping[str, str]  # the product name of a device id where they differ (Macs)
    as_of: int = 0


# --- formats ----------------------------------------------------------------------------------------------------------


def read_feed(body: bytes) -> Feed:
    """A SOFA feed or an answer of Apple's lookup service, whichever it is. Raises FeedError, and nothing else."""
    words = _loaded(body)
    if isinstance(words.get("data"), dict):  # a cache's wrapping around Apple's document
        words = words["data"]
    if "OSVersions" in words:
        feed = _sofa(words)
    elif "PublicAssetSets" in words or "AssetSets" in words:
        feed = _lookup(words)
    else:
        raise FeedError("The feed is neither SOFA's nor Apple's.", remedy=_REMEDY)
    if not feed.releases:
        raise FeedError("The feed names no release that can be read.", remedy=_REMEDY)
    return feed


def _loaded(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_BYTES:
        raise FeedError(f"The feed has {len(body):,} bytes (at most {MAX_BYTES:,}).", remedy=_REMEDY)
    try:
        words = json.loads(body)
    except (ValueError, RecursionError):
        raise FeedError("The feed is no JSON.", remedy=_REMEDY) from None
    if not isinstance(words, dict):
        raise FeedError("The feed is no JSON object.", remedy=_REMEDY)
    return words


_SOFA_PLATFORMS = {"ios": Platform.IOS, "ipados": Platform.IOS, "macos": Platform.MACOS, "tvos": Platform.TVOS}


def _sofa(words: Mapping[str, Any]) -> Feed:
    devices, names = _devices(words.get("Devices"))
    found: list[Release] = []
    for line in _dicts(words.get("OSVersions")):
        latest = line.get("Latest")
        latest = latest if isinstance(latest, dict) else {}
        inherited = _texts(latest.get("SupportedDevices"))
        macs = [_text(one) for part in _dicts(line.get("SupportedModels")) for one in _dict(part.get("Identifiers"))]
        for entry in [*_dicts(line.get("SecurityReleases")), latest]:
            own = _texts(entry.get("SupportedDevices")) or inherited
            if entry.get("DeviceScope") != "device-specific":
                own = own + macs  # some Macs have no device id, and of some SOFA's two lists know different names
            if release := _sofa_release(entry, own, devices):
                found.append(release)
    improvements = words.get("BackgroundSecurityImprovements")
    platforms = {release.platform for release in found}
    if isinstance(improvements, dict) and len(platforms) == 1:
        for entries in list(improvements.values())[:_MAX_ENTRIES]:
            found += _improvements(entries, next(iter(platforms)), devices, _SOFA)
    for model, more in list(_dict(words.get("Models")).items())[:_MAX_ENTRIES]:
        if isinstance(more, dict) and (name := _text(more.get("MarketingName"))):
            names.setdefault(str(model)[:_MAX_TEXT], name)
    return Feed(joined(found), names, devices, _micros(words.get("LastCheck")))


def _devices(words: object) -> tuple[dict[str, str], dict[str, str]]:
    """The product name of each device id where they differ (Macs), and what people call them."""
    ids: dict[str, str] = {}
    names: dict[str, str] = {}
    for one, more in list(_dict(words).items())[:_MAX_ENTRIES]:
        if isinstance(more, dict):
            product = _text(more.get("DeviceID"))
            if product:
                ids[one] = product
            if name := _text(more.get("MarketingName")):
                names[product or one] = name
    return ids, names


def _sofa_release(entry: Mapping[str, Any], ids: list[str], devices: Mapping[str, str]) -> Release | None:
    version = _version(entry.get("ProductVersion"))
    product = _text(entry.get("ProductName")).lower()
    platform = next((p for word, p in _SOFA_PLATFORMS.items() if word in product.split()), None)
    if version is None or platform is None or _text(entry.get("ReleaseType")).upper() not in ("", "OS"):
        return None
    models = _with_products(ids, devices)
    builds = tuple(dict.fromkeys(filter(None, [_text(entry.get("Build")), *_texts(entry.get("AllBuilds"))])))
    expires_at = _micros(entry.get("ExpirationDate"))  # stands there only while Apple still offers it
    cves = _dict(entry.get("CVEs"))
    return Release(
        platform=platform,
        version=version,
        released_at=_micros(entry.get("ReleaseDate")),
        offers=(Offer(models, builds, expires_at),) if expires_at else (),
        past_models=frozenset() if expires_at else models,
        cves=tuple(str(cve)[:_MAX_TEXT] for cve in list(cves)[:_MAX_ENTRIES]),
        exploited=tuple(_texts(entry.get("ActivelyExploitedCVEs"))),
        advisory=_address(entry.get("SecurityInfo")),
        sources=(_SOFA,),
    )


def _lookup(words: Mapping[str, Any]) -> Feed:
    """Each entry is one build for some devices: a version comes several times."""
    found: list[Release] = []
    for part in ("PublicAssetSets", "AssetSets"):
        for entries in _dict(words.get(part)).values():
            found += [release for entry in _dicts(entries) for release in _lookup_releases(entry)]
    for part in ("PublicBackgroundSecurityImprovements", "PublicRapidSecurityResponses"):  # the second is the old name
        for entries in _dict(words.get(part)).values():
            for entry in _dicts(entries):
                for platform in _by_platform(_texts(entry.get("SupportedDevices"))):
                    found += _improvements([entry], platform, {}, _APPLE)
    return Feed(joined(found), {}, {})


def _lookup_releases(entry: Mapping[str, Any]) -> Iterator[Release]:
    version = _version(entry.get("ProductVersion"))
    if version is None:
        return
    for platform, models in _by_platform(_texts(entry.get("SupportedDevices"))).items():
        yield Release(
            platform=platform,
            version=version,
            released_at=_micros(entry.get("PostingDate")),
            offers=(
                Offer(
                    frozenset(models),
                    tuple(filter(None, [_text(entry.get("Build"))])),
                    _micros(entry.get("ExpirationDate")),
                ),
            ),
            sources=(_APPLE,),
        )


def _improvements(entries: object, platform: Platform, devices: Mapping[str, str], source: str) -> Iterator[Release]:
    for entry in _dicts(entries):
        version = _version(entry.get("Version") or entry.get("ProductVersion"))
        extra = _text(entry.get("VersionExtra") or entry.get("ProductVersionExtra"))
        if version is None or not extra:
            continue
        models = _with_products(_texts(entry.get("SupportedDevices")), devices)
        build = _text(entry.get("Build"))
        yield Release(
            platform=platform,
            version=version,
            released_at=_micros(entry.get("PostingDate")),
            offers=(Offer(models, (build,) if build else (), _micros(entry.get("ExpirationDate"))),),
            cves=tuple(_texts(entry.get("CVEs"))),
            advisory=_address(entry.get("SecurityInfo")),
            extra=extra,
            prerequisite_build=_text(entry.get("PrerequisiteBuild")),
            sources=(source,),
        )


_PREFIXES = (("iPhone", Platform.IOS), ("iPad", Platform.IOS), ("iPod", Platform.IOS), ("AppleTV", Platform.TVOS))
_OTHERS = ("Watch", "RealityDevice", "AudioAccessory")


def _by_platform(models: Iterable[str]) -> dict[Platform, list[str]]:
    """The list named iOS holds watches and televisions, too. Macs stand there by board ids, such as J274AP."""
    found: dict[Platform, list[str]] = {}
    for model in models:
        platform = next((p for prefix, p in _PREFIXES if model.startswith(prefix)), None)
        if platform is None and model.startswith(_OTHERS):
            continue
        found.setdefault(platform or Platform.MACOS, []).append(model)
    return found


def _with_products(ids: Iterable[str], devices: Mapping[str, str]) -> frozenset[str]:
    """Device ids, and the product names that devices report themselves by."""
    return frozenset(name for one in ids for name in (one, devices.get(one, "")) if name)


# --- single values: what cannot be read is not there ---


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value[:_MAX_ENTRIES] if isinstance(one, dict)] if isinstance(value, list) else []


def _texts(value: object) -> list[str]:
    return list(filter(None, map(_text, value[:_MAX_ENTRIES]))) if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= _MAX_TEXT and value.isprintable() else ""


def _address(value: object) -> str:
    """Shown as a link: an https address, or nothing."""
    text = _text(value)
    return text if text.startswith("https://") and " " not in text else ""


def _version(value: object) -> OSVersion | None:
    try:
        return OSVersion.parse(value) if isinstance(value, str) else None
    except ProtocolError:
        return None


def _micros(value: object) -> int:
    """A date or a moment, as microseconds UTC; 0 for anything else."""
    text = _text(value)
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0, (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))
    except (ValueError, OverflowError):
        return 0


# --- a whole catalogue: of several feeds, and as we ship it ---


def catalogue_of(feeds: Mapping[str, tuple[Feed, int, str]]) -> Catalogue:
    """One catalogue of several feeds: name → what it says, as of when, and the SHA-256 of its bytes.

    It is as old as its oldest part. Apple's device ids of Macs become product names where SOFA tells them.
    """
    names: dict[str, str] = {}
    products: dict[str, str] = {}
    for feed, _, _ in feeds.values():
        names |= feed.names
        products |= feed.products
    releases = [_named(release, products) for feed, _, _ in feeds.values() for release in feed.releases]
    parts = sorted((name, sha256) for name, (_, _, sha256) in feeds.items())
    return Catalogue(
        as_of=min((as_of for _, as_of, _ in feeds.values()), default=0),
        sha256=hashlib.sha256("\n".join(f"{name} {sha256}" for name, sha256 in parts).encode()).hexdigest(),
        source=", ".join(name for name, _ in parts),
        releases=joined(releases),
        names=names,
    )


def _named(release: Release, products: Mapping[str, str]) -> Release:
    offers = tuple(offer._replace(models=_with_products(offer.models, products)) for offer in release.offers)
    return replace(release, offers=offers)


def write_catalogue(catalogue: Catalogue) -> str:
    """As JSON of our own: lists of models stand once, under a letter."""
    groups: dict[frozenset[str], str] = {}

    def group(models: frozenset[str]) -> str:
        return groups.setdefault(models, f"m{len(groups) + 1}") if models else ""

    rows = [
        {
            "platform": one.platform.value,
            "version": str(one.version),
            "released": _day(one.released_at),
            "offers": [[group(o.models), list(o.builds), _day(o.expires_at)] for o in one.offers],
            "past_models": group(one.past_models),
            "cves": list(one.cves),
            "exploited": list(one.exploited),
            "advisory": one.advisory,
            "extra": one.extra,
            "prerequisite_build": one.prerequisite_build,
            "sources": list(one.sources),
        }
        for one in catalogue.releases
    ]
    slim = [{key: value for key, value in row.items() if value} for row in rows]
    lists = {name: " ".join(sorted(models)) for models, name in groups.items()}
    head = {"as_of": iso(catalogue.as_of), "source": catalogue.source, "models": lists}
    lines = ",\n  ".join(json.dumps(row, separators=(",", ":")) for row in slim)
    return f'{json.dumps(head, indent=1)[:-2]},\n "releases": [\n  {lines}\n ]\n}}\n'


@lru_cache(maxsize=2)  # the shipped one is asked for by each Kit
def read_catalogue(body: bytes) -> Catalogue:
    """What `write_catalogue` wrote. Raises FeedError for anything else."""
    words = _loaded(body)
    try:
        models = {name: frozenset(text.split()) for name, text in words["models"].items()} | {"": frozenset[str]()}
        releases = tuple(
            Release(
                platform=Platform(row["platform"]),
                version=OSVersion.parse(row["version"]),
                released_at=_micros(row.get("released")),
                offers=tuple(Offer(models[m], tuple(builds), _micros(end)) for m, builds, end in row.get("offers", ())),
                past_models=models[row.get("past_models", "")],
                cves=tuple(row.get("cves", ())),
                exploited=tuple(row.get("exploited", ())),
                advisory=str(row.get("advisory", "")),
                extra=str(row.get("extra", "")),
                prerequisite_build=str(row.get("prerequisite_build", "")),
                sources=tuple(row.get("sources", ())),
            )
            for row in words["releases"]
        )
        sha256 = hashlib.sha256(body).hexdigest()
        return Catalogue(as_of=_micros(words["as_of"]), sha256=sha256, source=str(words["source"]), releases=releases)
    except (KeyError, TypeError, ValueError, AttributeError, ProtocolError):
        raise FeedError("The catalogue of releases cannot be read.", remedy="Install osupdate-kit anew.") from None


def _day(at: int) -> str:
    return iso(at)[:10] if at else ""


# --- fetching, and the last good copies -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A feed as it lies on disk."""

    url: str
    etag: str
    fetched_at: int  # when the address last confirmed it
    body: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedState:
    """One feed and its last good copy. as_of 0: there is none. trouble: why it could not be refreshed."""

    name: str
    url: str
    as_of: int = 0
    fetched_at: int = 0
    sha256: str = ""
    releases: int = 0
    news: bool = False
    trouble: str = ""


class Feeds:
    """The feeds of the settings, their last good copies in `folder`, and `shipped` for as long as there are none.

    urls: by name; an empty one is not used. ca_files: by name, what the address's certificate is held against instead
    of the public authorities.
    """

    def __init__(
        self,
        urls: Mapping[str, str],
        folder: Path,
        shipped: Callable[[], bytes],
        *,
        ca_files: Mapping[str, str] | None = None,
        session: requests.Session | None = None,
    ) -> None:
        self._urls = {name: url for name, url in urls.items() if url}
        self._folder, self._shipped, self._ca_files = folder, shipped, ca_files or {}
        self._session = session or requests.Session()
        self._made: tuple[object, Catalogue] | None = None

    def catalogue(self) -> Catalogue:
        """Of the last good copies; the shipped sample if there is none. Read again when a copy has changed."""
        stamp = [_changed_at(self._path(name)) for name in self._urls]
        if self._made is None or self._made[0] != stamp:
            self._made = stamp, self._catalogue()
        return self._made[1]

    def _catalogue(self) -> Catalogue:
        found = {name: read for name in self._urls if (read := self._read(name))}
        if not found:
            return read_catalogue(self._shipped())
        return catalogue_of({name: (feed, _as_of(copy, feed), copy.sha256) for name, (copy, feed) in found.items()})

    def states(self) -> list[FeedState]:
        return [self._state(name) for name in self._urls]

    def refresh(self, now: int) -> list[FeedState]:
        """Ask each address whether there is news; what cannot be fetched or read leaves the last good copy."""
        return [self._refreshed(name, now) for name in self._urls]

    def _refreshed(self, name: str, now: int) -> FeedState:
        url, old = self._urls[name], self._copy(name)
        known = old.etag if old and old.url == url else ""
        try:
            answer = _fetch(self._session, url, known, self._ca_files.get(name, ""))
            if answer:
                read_feed(answer[0])
                self._keep(name, Copy(url=url, etag=answer[1], fetched_at=now, body=answer[0]))
            elif old:
                self._keep(name, replace(old, fetched_at=now))
        except FeedError as error:
            return replace(self._state(name), trouble=f"{error} {_OLD_COPY}" if old else str(error))
        return replace(self._state(name), news=answer is not None and (old is None or old.body != answer[0]))

    def _state(self, name: str) -> FeedState:
        state = FeedState(name=name, url=self._urls[name])
        read = self._read(name)
        if read is None:
            return state
        copy, feed = read
        return replace(
            state,
            as_of=_as_of(copy, feed),
            fetched_at=copy.fetched_at,
            sha256=copy.sha256,
            releases=len(feed.releases),
        )

    def _read(self, name: str) -> tuple[Copy, Feed] | None:
        """A copy that cannot be read any more is as good as none."""
        copy = self._copy(name)
        try:
            return (copy, read_feed(copy.body)) if copy else None
        except FeedError:
            return None

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.feed"

    def _copy(self, name: str) -> Copy | None:
        try:
            with self._path(name).open("rb") as file:
                head = json.loads(file.readline(1 << 16))
                body = file.read(MAX_BYTES + 1)
            return Copy(url=str(head["url"]), etag=str(head["etag"]), fetched_at=int(head["fetched_at"]), body=body)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def _keep(self, name: str, copy: Copy) -> None:
        """Whole or not at all: a reader sees the old copy or the new one."""
        head = json.dumps({"url": copy.url, "etag": copy.etag, "fetched_at": copy.fetched_at}).encode()
        path = self._path(name)
        temporary = ""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix=f".{name}-", delete=False) as file:
                temporary = file.name
                file.write(head + b"\n" + copy.body)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            if temporary:
                Path(temporary).unlink(missing_ok=True)
            raise FeedError(
                f"{path} cannot be written: {error.strerror}.", remedy="Name another folder by feeds.folder."
            ) from None


def _changed_at(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_ino


def _as_of(copy: Copy, feed: Feed) -> int:
    """When it was made, if it says so; else when we fetched it."""
    return min(feed.as_of, copy.fetched_at) or copy.fetched_at


def _fetch(session: requests.Session, url: str, etag: str, ca_file: str) -> tuple[bytes, str] | None:
    """The body and its ETag; None: not modified. Certificates are always verified. Raises FeedError."""
    ends = time.monotonic() + _PATIENCE_SECONDS
    headers = {"Accept": "application/json"} | ({"If-None-Match": etag} if etag else {})
    try:
        with session.get(
            url, headers=headers, timeout=_PATIENCE_SECONDS / 2, stream=True, verify=ca_file or True
        ) as answer:
            for step in [*answer.history, answer]:
                _check_address(step.url or url)
            if answer.status_code == 304 and etag:
                return None
            if answer.status_code != 200:
                raise FeedError(f"{url} answered {answer.status_code}.", remedy=_REMEDY)
            body = bytearray()
            for chunk in answer.iter_content(1 << 16):
                body += chunk
                if len(body) > MAX_BYTES:
                    raise FeedError(f"{url} sends more than {MAX_BYTES:,} bytes.", remedy=_REMEDY)
                if time.monotonic() > ends:
                    raise FeedError(f"{url} sends too slowly.", remedy="Try again later.")
            return bytes(body), answer.headers.get("ETag", "")[:_MAX_TEXT]
    except requests.exceptions.SSLError:
        raise FeedError(
            f"The certificate of {url} cannot be verified.",
            remedy="Apple's lookup service has one of Apple's own authority: name a file with the Apple Root CA, from "
            "www.apple.com/certificateauthority, by feeds.apple_ca_file.",
        ) from None
    except (requests.RequestException, OSError) as error:
        raise FeedError(f"{url} does not answer: {type(error).__name__}.", remedy="Check the network.") from None


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise FeedError(f"{parts.hostname} sends without TLS.", remedy=_REMEDY)
