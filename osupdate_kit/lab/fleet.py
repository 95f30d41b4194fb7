"""Fleets from their make-up: shares of sites, rings, models, versions and habits become devices. Reads `data/` only."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from random import Random
from typing import TypeVar
from uuid import UUID

from osupdate_kit.errors import InventoryError
from osupdate_kit.lab.devices import SimulatedDevice
from osupdate_kit.lab.specs import PROFILES, DeviceSpec, Release, release
from osupdate_kit.lab.truth import TruthLog
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion

T = TypeVar("T")
Shares = Sequence[tuple[T, float]]

_SERIAL = "0123456789CDFGHJKLMNPQRTVWXY"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShare:
    """One row of models.csv."""

    platform: Platform
    product_name: str
    model: str
    oldest_major: int
    newest_major: int
    supervised: float
    passcode: float
    shared: float
    bootstrap: float
    apple_silicon: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Makeup:
    """What a fleet consists of, in shares (each list sums to 1), and the releases that exist for it."""

    name: str
    sites: Shares[tuple[str, str]]  # site, time zone
    rings: Shares[str]
    models: Shares[ModelShare]
    versions: Mapping[Platform, Shares[tuple[str, str]]]  # version, build
    profiles: Mapping[Platform, Shares[str]]
    releases: Mapping[Platform, tuple[Release, ...]]


def shipped(name: str) -> Traversable:
    """`data` or `notebooks`: the folder of the checkout, or its copy in an installed package."""
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").exists() and (checkout / name).is_dir():
        return checkout / name
    return files("osupdate_kit") / f"_{name}"


@cache
def makeup(name: str) -> Makeup:
    """The fleet "school" or "company". Raises InventoryError for another name."""
    sites = _rows("sites.csv")
    known = sorted({row["fleet"] for row in sites})
    if name not in known:
        raise InventoryError(f"There is no make-up of a fleet {name!r}.", remedy=f"Choose one of: {', '.join(known)}.")

    def shares(file: str, make: Callable[[Mapping[str, str]], T]) -> list[tuple[T, float]]:
        return [(make(row), float(row["share"])) for row in _rows(file) if row["fleet"] == name]

    models = shares("models.csv", _model)
    platforms = dict.fromkeys(model.platform for model, _ in models)

    def of(file: str, platform: Platform, make: Callable[[Mapping[str, str]], T]) -> list[tuple[T, float]]:
        rows = [row for row in _rows(file) if row["fleet"] == name and row["platform"] == platform]
        return [(make(row), float(row["share"])) for row in rows]

    return Makeup(
        name=name,
        sites=shares("sites.csv", lambda row: (row["site"], row["time_zone"])),
        rings=shares("rings.csv", lambda row: row["ring"]),
        models=models,
        versions={p: of("versions.csv", p, lambda row: (row["os_version"], row["build"])) for p in platforms},
        profiles={p: of("behaviours.csv", p, lambda row: row["profile"]) for p in platforms},
        releases={p: releases(p) for p in platforms},
    )


@cache
def releases(platform: Platform) -> tuple[Release, ...]:
    """The releases of a platform that devices can install, oldest first."""
    rows = [row for row in _rows("releases.csv") if row["platform"] == platform]
    found = [release(platform, row["version"], row["build"]) for row in rows]
    return tuple(sorted(found, key=lambda one: one.number))


def make_fleet(makeup: Makeup, devices: int, seed: int) -> tuple[DeviceSpec, ...]:
    """So many devices, dealt out by the shares as exactly as whole numbers allow; equal arguments, equal fleets."""
    random = Random(seed)
    sites, rings = _dealt(makeup.sites, devices, random), _dealt(makeup.rings, devices, random)
    models = _dealt(makeup.models, devices, random)
    counts = {platform: sum(model.platform is platform for model in models) for platform in makeup.versions}
    versions = {p: iter(_dealt(makeup.versions[p], count, random)) for p, count in counts.items()}
    profiles = {p: iter(_dealt(makeup.profiles[p], count, random)) for p, count in counts.items()}
    fleet = []
    for number, ((site, zone), ring, model) in enumerate(zip(sites, rings, models, strict=True)):
        version, build = _taken(next(versions[model.platform]), makeup.versions[model.platform], model)
        fleet.append(
            DeviceSpec(
                udid=_udid(model, random),
                serial="".join(random.choices(_SERIAL, k=10)),
                platform=model.platform,
                os_version=version,
                build=build,
                model=model.model,
                product_name=model.product_name,
                name=f"{site} {model.product_name.rstrip('0123456789,')} {number:05}",
                site=site,
                ring=ring,
                time_zone=zone,
                supervised=random.random() < model.supervised,
                passcode=random.random() < model.passcode,
                shared_ipad=random.random() < model.shared,
                bootstrap_token=random.random() < model.bootstrap,
                apple_silicon=model.apple_silicon,
                newest_major=model.newest_major,
                behaviour=PROFILES[next(profiles[model.platform])],
                seed=random.getrandbits(48),
            )
        )
    return tuple(fleet)


def make_devices(makeup: Makeup, specs: Iterable[DeviceSpec], truth: TruthLog) -> list[SimulatedDevice]:
    """The fleet's devices, each knowing the releases of its platform."""
    return [SimulatedDevice(spec, makeup.releases[spec.platform], truth) for spec in specs]


@cache
def _rows(file: str) -> list[dict[str, str]]:
    return list(csv.DictReader((shipped("data") / file).read_text(encoding="utf-8").splitlines()))


def _model(row: Mapping[str, str]) -> ModelShare:
    return ModelShare(
        platform=Platform(row["platform"]),
        product_name=row["product_name"],
        model=row["model"],
        oldest_major=int(row["oldest_major"]),
        newest_major=int(row["newest_major"]),
        supervised=float(row["supervised_share"]),
        passcode=float(row["passcode_share"] or 0),
        shared=float(row["shared_share"] or 0),
        bootstrap=float(row["bootstrap_share"] or 0),
        apple_silicon=row["apple_silicon"] == "yes",
    )


def _dealt(shares: Shares[T], count: int, random: Random) -> list[T]:
    """`count` values in shuffled order, their numbers by largest remainder."""
    total = sum(share for _, share in shares)
    exact = [(value, count * share / total) for value, share in shares]
    whole = [int(number) for _, number in exact]
    by_rest = sorted(range(len(exact)), key=lambda i: (whole[i] - exact[i][1], i))
    for index in by_rest[: count - sum(whole)]:
        whole[index] += 1
    dealt = [value for (value, _), number in zip(exact, whole, strict=True) for _ in range(number)]
    random.shuffle(dealt)
    return dealt


def _taken(dealt: tuple[str, str], versions: Shares[tuple[str, str]], model: ModelShare) -> tuple[str, str]:
    """The version dealt, or the nearest that the model runs."""

    def major(pair: tuple[str, str]) -> int:
        return OSVersion.parse(pair[0]).major

    if model.oldest_major <= major(dealt) <= model.newest_major:
        return dealt
    fits = [pair for pair, _ in versions if model.oldest_major <= major(pair) <= model.newest_major]
    nearest = max if major(dealt) > model.newest_major else min
    return nearest(fits, key=lambda pair: OSVersion.parse(pair[0]))


def _udid(model: ModelShare, random: Random) -> str:
    """As devices write it: a UUID for Macs, chip and number for newer mobile ones, 40 digits for old ones."""
    if model.platform is Platform.MACOS:
        return str(UUID(int=random.getrandbits(128), version=4)).upper()
    if model.newest_major <= 17:
        return f"{random.getrandbits(160):040x}"
    return f"00008{random.choice(['020', '030', '101', '110', '120'])}-{random.getrandbits(64):016X}"
