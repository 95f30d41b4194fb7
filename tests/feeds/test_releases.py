"""Feeds become one catalogue; whatever bytes an address sends, the last good copy stays."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.errors import FeedError
from osupdate_kit.feeds.releases import (
    MAX_BYTES,
    Feeds,
    catalogue_of,
    read_catalogue,
    read_feed,
    write_catalogue,
)
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.releases import Catalogue
from osupdate_kit.rollout.words import iso, micros
from tests.feeds.feeds import IOS, LOOKUP, MACOS, Shelf, body, shelf
from tests.paths import ROOT

NOW = micros("2026-08-23T08:00:00Z")
SHIPPED = ROOT / "data" / "releases" / "catalogue.json"
v = OSVersion.parse


def catalogue(**feeds: Any) -> Catalogue:
    return catalogue_of({name: (read_feed(body(words)), NOW, name) for name, words in feeds.items()})


def newest(found: Catalogue, platform: Platform, model: str, **more: Any) -> str:
    release = found.latest(platform, [model], NOW, **more)
    return str(release.version) if release else ""


def test_a_release_is_read_with_its_dates_builds_models_and_what_it_mends() -> None:
    release = catalogue(ios=IOS).named(Platform.IPADOS, v("26.6.1"))
    assert release is not None
    assert (release.platform, release.builds) == (Platform.IOS, ("23G83", "23G6083"))
    assert (iso(release.released_at), iso(release.expires_at)) == ("2026-08-17T00:00:00Z", "2026-11-20T00:00:00Z")
    assert (release.cves, release.exploited) == (("CVE-2026-1", "CVE-2026-2"), ("CVE-2026-2",))
    assert release.models == {"iPad13,18", "iPhone14,5"}
    assert release.advisory == "https://support.apple.com/en-us/148282"


def test_the_newest_is_the_newest_that_is_for_the_model() -> None:
    found = catalogue(ios=IOS)
    assert newest(found, Platform.IPADOS, "iPad7,11", major=18) == "18.7.10"
    assert newest(found, Platform.IPADOS, "iPad13,18", major=18) == "18.7.8"
    assert newest(found, Platform.IPADOS, "iPad13,18") == "26.6.1"
    assert newest(found, Platform.IPADOS, "iPad13,18", after_days=7) == "26.6"
    assert newest(found, Platform.IPADOS, "iPad99,1") == ""


def test_a_release_without_a_date_of_its_end_is_no_longer_offered_by_sofa() -> None:
    old = catalogue(ios=IOS).named(Platform.IOS, v("18.7.7"))
    assert old is not None
    assert (old.offers, old.fits(["iPad13,18"]), old.fits(["iPad8,1"])) == ((), True, False)


def test_a_feed_that_is_older_than_an_end_cannot_know_it() -> None:
    later = micros("2026-11-23T12:00:00Z")
    feed = read_feed(body(IOS))
    old = catalogue_of({"ios": (feed, NOW, "")})
    young = catalogue_of({"ios": (feed, later, "")})
    assert str(old.latest(Platform.IOS, ["iPhone14,5"], later).version) == "26.6.1"  # type: ignore[union-attr]
    assert young.latest(Platform.IOS, ["iPhone14,5"], later) is None


def test_a_supplement_is_no_target_by_version() -> None:
    found = catalogue(ios=IOS)
    extras = [release for release in found.releases if release.extra]
    assert [(str(one.version), one.extra, one.builds) for one in extras] == [("26.6.1", "(a)", ("23G830001a",))]
    assert extras[0] not in found.of(Platform.IOS)


def test_a_mac_is_known_by_its_product_name_its_device_id_and_the_list_of_models() -> None:
    found = catalogue(apple=LOOKUP, macos=MACOS)
    assert {newest(found, Platform.MACOS, model) for model in ("Mac14,2", "J413AP", "iMac19,2")} == {"15.7.9"}
    assert not found.knows(Platform.MACOS, ["Mac14,3"])
    assert found.named(Platform.MACOS, v("15.7.9")).sources == ("Apple", "SOFA")  # type: ignore[union-attr]


def test_a_version_has_a_fork_for_a_new_mac() -> None:
    found = catalogue(apple=LOOKUP, macos=MACOS)
    release = found.latest(Platform.MACOS, ["J999AP"], NOW)
    assert release is not None
    assert [offer.builds for offer in release.offers_for(["J999AP"], NOW)] == [("24G831",)]
    assert set(release.builds) == {"24G830", "24G831"}
    assert iso(release.released_at) == "2026-08-06T00:00:00Z"  # a later posting makes it no younger


def test_apples_list_of_phones_holds_televisions_and_watches_too() -> None:
    found = catalogue(apple=LOOKUP)
    assert [str(one.version) for one in found.of(Platform.TVOS)] == ["26.6"]
    assert found.of(Platform.IOS) == ()


def test_a_release_that_names_no_models_says_nothing_of_any() -> None:
    words = json.loads(body(IOS))
    for line in words["OSVersions"]:
        for entry in [line["Latest"], *line["SecurityReleases"]]:
            entry.pop("SupportedDevices", None)
    found = catalogue(ios=words)
    assert found.named(Platform.IOS, v("26.6.1")).fits(["iPad13,18"]) is None  # type: ignore[union-attr]
    assert not found.knows(Platform.IOS, ["iPad13,18"])


def test_a_catalogue_is_as_old_as_its_oldest_feed() -> None:
    feed = read_feed(body(IOS))
    assert catalogue_of({"a": (feed, NOW, "x"), "b": (feed, NOW - 5, "y")}).as_of == NOW - 5


def test_what_is_shipped_is_read_as_it_was_written() -> None:
    shipped = read_catalogue(SHIPPED.read_bytes())
    assert write_catalogue(shipped) == SHIPPED.read_text("utf-8")
    assert newest(shipped, Platform.IPADOS, "iPad13,18", major=18) == "18.7.8"
    assert iso(shipped.as_of)[:10] == "2026-08-22"


# --- no bytes do harm ---

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("26.6.1"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(sorted({
            "OSVersions", "SecurityReleases", "Latest", "SupportedDevices", "SupportedModels", "Identifiers", "Devices",
            "DeviceID", "ProductName", "ProductVersion", "ReleaseDate", "ExpirationDate", "CVEs", "Build", "AllBuilds",
            "ActivelyExploitedCVEs", "BackgroundSecurityImprovements", "Version", "VersionExtra", "Models",
            "PublicAssetSets", "AssetSets", "PublicRapidSecurityResponses", "PostingDate", "iOS", "data", "releases",
            "models", "as_of", "source", "platform", "version", "offers",
        })), inner, max_size=5),
    max_leaves=25,
)  # fmt: skip


@given(st.binary(max_size=200) | JSON.map(body))
def test_no_bytes_make_a_reader_raise_anything_but_our_own_error(data: bytes) -> None:
    for read in (read_feed, read_catalogue):
        remedy = "none was needed"
        try:
            read(data)
        except FeedError as error:
            remedy = error.remedy
        assert remedy


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A feed in which a part is another thing than it should be."""
    words = json.loads(body(draw(st.sampled_from([IOS, MACOS, LOOKUP]))))
    place: Any = words
    while isinstance(place, dict | list) and place:
        key = draw(st.sampled_from(sorted(place))) if isinstance(place, dict) else draw(
            st.integers(0, len(place) - 1))  # fmt: skip
        if draw(st.booleans()) or not isinstance(place[key], dict | list):
            place[key] = draw(JSON)
            break
        place = place[key]
    return body(words)


@given(broken())
def test_a_feed_with_a_broken_part_is_read_without_it_or_refused(data: bytes) -> None:
    try:
        feed = read_feed(data)
    except FeedError:
        return
    assert read_catalogue(write_catalogue(catalogue_of({"x": (feed, NOW, "")})).encode()).releases


@pytest.mark.parametrize("data", [b"[" * 200_000, b" " * (MAX_BYTES + 1), b"", b"[]", b'{"OSVersions": []}'])
def test_a_feed_that_is_too_deep_too_large_or_empty_is_refused(data: bytes) -> None:
    with pytest.raises(FeedError) as caught:
        read_feed(data)
    assert caught.value.remedy


# --- fetching ---


@pytest.fixture
def served() -> Iterator[Shelf]:
    with shelf() as made:
        made.bodies = {"/ios": body(IOS), "/macos": body(MACOS)}
        yield made


def feeds(served: Shelf, folder: Path, *names: str) -> Feeds:
    return Feeds({name: f"{served.url}/{name}" for name in names or ("ios",)}, folder, SHIPPED.read_bytes)


def test_until_a_feed_was_fetched_the_shipped_sample_is_used(served: Shelf, tmp_path: Path) -> None:
    assert feeds(served, tmp_path).catalogue().source == "SOFA, Apple"
    assert served.asked == []


def test_what_was_fetched_is_kept_and_is_asked_for_again_by_its_etag(served: Shelf, tmp_path: Path) -> None:
    (state,) = feeds(served, tmp_path).refresh(NOW)
    assert (state.trouble, state.news, state.releases) == ("", True, 6)
    again = feeds(served, tmp_path)
    (state,) = again.refresh(NOW + 5)
    assert (state.trouble, state.news, state.fetched_at) == ("", False, NOW + 5)
    assert served.asked[1][1] == served.etag("/ios")
    assert (again.catalogue().source, iso(again.catalogue().as_of)) == ("ios", "2026-08-22T18:45:03Z")
    assert [path.name for path in tmp_path.iterdir()] == ["ios.feed"]


@pytest.mark.parametrize("bad", [b"<html>", b"{}", b" " * (MAX_BYTES + 1)])
def test_a_bad_answer_leaves_the_last_good_copy(served: Shelf, tmp_path: Path, bad: bytes) -> None:
    kept = feeds(served, tmp_path, "ios", "macos")
    kept.refresh(NOW)
    before = kept.catalogue()
    served.bodies["/ios"] = bad
    ios, macos = kept.refresh(NOW + 5)
    assert "last good copy" in ios.trouble
    assert macos.trouble == ""
    assert kept.catalogue() == before


@pytest.mark.parametrize("status", [302, 401, 404, 500])
def test_a_server_that_refuses_is_named(served: Shelf, tmp_path: Path, status: int) -> None:
    served.statuses["/ios"] = status
    (state,) = feeds(served, tmp_path).refresh(NOW)
    assert state.trouble
    assert (state.as_of, state.sha256) == (0, "")


def test_an_address_that_does_not_answer_or_has_no_tls_is_named(tmp_path: Path) -> None:
    there = Feeds({"dead": "http://127.0.0.1:9/", "none": ""}, tmp_path, SHIPPED.read_bytes)
    (state,) = there.refresh(NOW)
    assert "does not answer" in state.trouble


def test_a_copy_that_was_damaged_is_as_good_as_none(served: Shelf, tmp_path: Path) -> None:
    kept = feeds(served, tmp_path)
    kept.refresh(NOW)
    (tmp_path / "ios.feed").write_bytes(b"\x00")
    assert kept.catalogue().source == "SOFA, Apple"
    kept.refresh(NOW)
    assert kept.catalogue().source == "ios"


def test_a_folder_that_cannot_be_written_is_named(served: Shelf, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (state,) = feeds(served, tmp_path / "file").refresh(NOW)
    assert "cannot be written" in state.trouble
