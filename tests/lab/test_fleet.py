"""The sample fleets: shares that add up, devices dealt out by them, documentation that keeps up."""

import csv
from collections import Counter, defaultdict

import pytest

from osupdate_kit.errors import InventoryError
from osupdate_kit.lab.fleet import make_fleet, makeup, releases
from osupdate_kit.lab.specs import PROFILES
from osupdate_kit.protocol.terms import Platform
from tests.paths import ROOT

DATA = ROOT / "data"
KEYS = {"versions.csv": 2, "behaviours.csv": 2}


def rows(file: str) -> list[dict[str, str]]:
    with (DATA / file).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("file", ["sites.csv", "rings.csv", "models.csv", "versions.csv", "behaviours.csv"])
def test_shares_sum_to_one(file: str) -> None:
    sums: dict[tuple[str, ...], float] = defaultdict(float)
    for row in rows(file):
        sums[tuple(list(row.values())[: KEYS.get(file, 1)])] += float(row["share"])
    assert {round(total, 9) for total in sums.values()} == {1.0}


@pytest.mark.parametrize("path", sorted(DATA.glob("*.csv")), ids=lambda path: path.name)
def test_the_readme_shows_size_and_first_rows_of_each_file(path: object) -> None:
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    lines = (DATA / str(path)).read_text(encoding="utf-8").splitlines()
    name = str(path).rsplit("/", maxsplit=1)[-1]
    assert f"## `{name}` ({len(lines) - 1} rows" in readme
    assert "\n".join(lines[:3]) in readme


@pytest.mark.parametrize("name", ["school", "company"])
def test_a_fleet_is_dealt_out_by_its_shares(name: str) -> None:
    parts = makeup(name)
    fleet = make_fleet(parts, 1000, seed=1)
    assert fleet == make_fleet(parts, 1000, seed=1)
    assert fleet != make_fleet(parts, 1000, seed=2)
    assert len({spec.udid for spec in fleet}) == len({spec.serial for spec in fleet}) == 1000
    rings = Counter(spec.ring for spec in fleet)
    assert all(abs(rings[ring] - 1000 * share) < 1 for ring, share in parts.rings)
    assert all(spec.version.major <= spec.newest_major for spec in fleet)
    assert {spec.behaviour for spec in fleet} <= set(PROFILES.values())


def test_an_unknown_fleet_is_named_with_a_remedy() -> None:
    with pytest.raises(InventoryError, match=r"'zoo'.*company, school"):
        makeup("zoo")


def test_product_keys_look_like_apples() -> None:
    assert {one.product_key for one in releases(Platform.IPADOS)} >= {"iOSUpdate22H124"}
    assert {one.product_key for one in releases(Platform.MACOS)} >= {"MSU_UPDATE_24G325_patch_15.7.2_minor"}
