"""What Apple has published for which models: the newest of it for a device, and what two feeds tell together."""

from dataclasses import replace

import pytest

from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.policy import DAY, HOUR
from osupdate_kit.rollout.releases import Catalogue, CatalogueRef, Offer, Release, joined

NOW = 2_000 * DAY
v = OSVersion.parse
A, B = frozenset({"iPad13,18"}), frozenset({"iPad7,11", "J171AP"})


def release(version: str, *offers: Offer, days: float = 100, **more: object) -> Release:
    words = {"platform": Platform.IOS, "version": v(version), "released_at": int(NOW - days * DAY), "offers": offers}
    return Release(**words | more)  # type: ignore[arg-type]


def catalogue(*releases: Release, as_of: int = NOW) -> Catalogue:
    return Catalogue(as_of=as_of, sha256="ab", source="SOFA", releases=releases)


def versions(found: object) -> list[str]:
    return [str(one.version) for one in found]  # type: ignore[attr-defined]


# --- one release ---


def test_a_release_is_for_the_models_of_all_its_offers_and_has_all_their_builds_once() -> None:
    fork = release("18.7", Offer(A, ("22H1", "22H2")), Offer(B, ("22H2", "22H3")), past_models=frozenset({"iPad6,3"}))
    assert fork.models == A | B | {"iPad6,3"}
    assert fork.builds == ("22H1", "22H2", "22H3")
    assert fork.fits(["iPad13,18"]) is fork.fits(("Mac1,1", "J171AP")) is fork.fits(["iPad6,3"]) is True
    assert fork.fits(["Mac1,1"]) is False
    assert release("18.7", Offer()).fits(["iPad13,18"]) is None


@pytest.mark.parametrize(
    ("ends", "end"),
    [((), 0), ((NOW,), NOW), ((NOW, NOW + DAY), NOW + DAY), ((NOW + DAY, NOW), NOW + DAY), ((NOW, 0), 0)],
)
def test_a_release_ends_with_its_last_offer_and_never_while_one_has_no_end(ends: tuple[int, ...], end: int) -> None:
    assert release("18.7", *(Offer(A, (), at) for at in ends)).expires_at == end


@pytest.mark.parametrize(
    ("expires_at", "by", "offered"),
    [(NOW, NOW - 1, True), (NOW, NOW, False), (NOW, NOW + 1, False), (0, NOW, True), (1, NOW, False)],
)
def test_an_offer_has_ended_once_its_date_is_there(expires_at: int, by: int, offered: bool) -> None:
    mine, other = Offer(A, ("22H1",), expires_at), Offer(B, ("22H2",))
    assert release("18.7", mine, other).offers_for(["iPad13,18"], by) == ((mine,) if offered else ())
    assert release("18.7", mine, other).offers_for(["J171AP"], by) == (other,)


# --- the newest for a device ---

SOME = catalogue(
    release("18.7", Offer(A)),
    release("26.1", Offer(A | B), days=7),
    release("18.10", Offer(A), days=30),
    release("26.0.1", Offer(B), days=20),
    release("26.2", Offer(A), days=0, extra="(a)"),
    release("18.8", Offer(frozenset({"Mac14,2"})), platform=Platform.MACOS),
)


@pytest.mark.parametrize("platform", [Platform.IOS, Platform.IPADOS])
def test_releases_are_told_newest_first_as_numbers_and_without_supplements(platform: Platform) -> None:
    assert versions(SOME.of(platform)) == ["26.1", "26.0.1", "18.10", "18.7"]
    assert versions(SOME.of(Platform.MACOS)) == ["18.8"]
    assert SOME.of(Platform.TVOS) == ()


@pytest.mark.parametrize("platform", [Platform.IOS, Platform.IPADOS])
def test_a_release_is_found_by_platform_and_number(platform: Platform) -> None:
    found = SOME.named(platform, v("26.1.0"))
    assert found is not None
    assert found.models == A | B
    assert SOME.named(platform, v("26.2")) is None  # a supplement is no version
    assert SOME.named(platform, v("18.8")) is None
    assert SOME.named(Platform.MACOS, v("26.1")) is None


def test_a_model_is_known_by_any_release_of_its_platform() -> None:
    assert SOME.knows(Platform.IPADOS, ["iPad13,18"])
    assert SOME.knows(Platform.IOS, ("iPad99,1", "J171AP"))
    assert not SOME.knows(Platform.IOS, ["Mac14,2"])
    assert not SOME.knows(Platform.TVOS, ["iPad13,18"])
    assert not SOME.knows(Platform.IOS, [])


@pytest.mark.parametrize(
    ("model", "major", "after_days", "found"),
    [
        ("iPad13,18", 0, 0, ["26.1", "18.10", "18.7"]),
        ("iPad7,11", 0, 0, ["26.1", "26.0.1"]),
        ("iPad13,18", 18, 0, ["18.10", "18.7"]),
        ("iPad13,18", 26, 0, ["26.1"]),
        ("iPad7,11", 18, 0, []),
        ("iPad13,18", 0, 7, ["26.1", "18.10", "18.7"]),
        ("iPad13,18", 0, 7.01, ["18.10", "18.7"]),
        ("iPad13,18", 0, 30, ["18.10", "18.7"]),
        ("iPad13,18", 0, 31, ["18.7"]),
        ("iPad13,18", 0, 101, []),
    ],
)
def test_only_what_has_been_out_for_so_many_days_fits(
    model: str, major: int, after_days: float, found: list[str]
) -> None:
    words = {"major": major, "after_days": after_days}
    assert versions(SOME.fitting(Platform.IPADOS, [model], NOW, **words)) == found  # type: ignore[arg-type]
    newest = SOME.latest(Platform.IPADOS, [model], NOW, **words)  # type: ignore[arg-type]
    assert (str(newest.version) if newest else None) == (found[0] if found else None)


def test_of_all_majors_and_without_a_wait_unless_one_says_otherwise() -> None:
    newest = SOME.latest(Platform.IPADOS, ["iPad13,18"], NOW - 7 * DAY)
    assert newest is not None
    assert str(newest.version) == "26.1"
    assert versions(SOME.fitting(Platform.IPADOS, ["iPad13,18"], NOW - 8 * DAY)) == ["18.10", "18.7"]  # not out yet


def test_a_release_without_a_date_has_been_out_for_no_known_number_of_days() -> None:
    undated = catalogue(release("18.7", Offer(A), released_at=0))
    assert versions(undated.fitting(Platform.IOS, A, NOW)) == ["18.7"]
    assert undated.latest(Platform.IOS, A, NOW) == undated.releases[0]
    assert versions(undated.fitting(Platform.IOS, A, NOW, after_days=0.5)) == []


@pytest.mark.parametrize(
    ("as_of", "now", "fits"),
    [
        (NOW + DAY, NOW + DAY, False),  # feed and clock are beyond the date
        (NOW, NOW + DAY, False),  # the feed is as young as the date
        (NOW - 1, NOW + DAY, True),  # an older feed cannot know: Apple puts such dates off
        (NOW + DAY, NOW - 1, True),  # not ended yet
    ],
)
def test_an_end_counts_only_if_the_feed_is_younger_than_it(as_of: int, now: int, fits: bool) -> None:
    ends = catalogue(release("18.7", Offer(A, (), NOW)), as_of=as_of)
    assert (ends.latest(Platform.IOS, A, now) is not None) is fits


# --- the catalogue itself ---


def test_a_plan_names_its_catalogue_by_date_hash_and_source() -> None:
    assert catalogue(as_of=NOW).ref == CatalogueRef(as_of=NOW, sha256="ab", source="SOFA")


@pytest.mark.parametrize(("later", "days"), [(0, 0), (12 * HOUR, 0.5), (8 * DAY, 8), (-DAY, 0)])
def test_a_catalogue_grows_old_in_days(later: int, days: float) -> None:
    assert catalogue(as_of=NOW).age_days(NOW + later) == days


def test_an_advisory_that_stands_for_several_platforms_is_doubtful() -> None:
    some = catalogue(
        release("18.7", advisory="https://a"),
        release("18.7", advisory="https://a", platform=Platform.MACOS),
        release("18.8", advisory="https://b"),
        release("18.9", advisory="https://b"),
        release("18.8"),
        release("18.8", platform=Platform.MACOS),
    )
    assert some.doubtful_advisories == {"https://a"}


# --- two feeds ---


def test_what_one_feed_does_not_say_the_other_may() -> None:
    first = release(
        "18.7", Offer(A, ("22H1",)), days=5, past_models=frozenset({"x"}), cves=("CVE-1",), sources=("SOFA", "both")
    )
    second = release(
        "18.7", Offer(A, ("22H1",)), Offer(B), days=6, past_models=frozenset({"y"}), cves=("CVE-2",),
        exploited=("CVE-2",), advisory="https://b", prerequisite_build="22G1", sources=("both", "Apple"),
    )  # fmt: skip
    assert first.joined(second) == release(
        "18.7", Offer(A, ("22H1",)), Offer(B), days=6, past_models=frozenset({"x", "y"}), cves=("CVE-1",),
        exploited=("CVE-2",), advisory="https://b", prerequisite_build="22G1", sources=("SOFA", "both", "Apple"),
    )  # fmt: skip
    assert second.joined(first).cves == ("CVE-2",)
    assert second.joined(first).advisory == "https://b"
    assert second.joined(first).exploited == ("CVE-2",)
    assert second.joined(first).prerequisite_build == "22G1"


@pytest.mark.parametrize(("first", "second", "both"), [(5, 6, 5), (6, 5, 5), (0, 5, 5), (5, 0, 5), (0, 0, 0)])
def test_a_release_came_out_when_the_first_feed_says_so(first: int, second: int, both: int) -> None:
    one, other = release("18.7", released_at=first), release("18.7", released_at=second)
    assert one.joined(other).released_at == both


def test_each_release_is_told_once_in_the_order_in_which_they_came() -> None:
    first, second, supplement = release("18.7", Offer(A)), release("18.8"), release("18.7", extra="(a)")
    mac, again = release("18.7", platform=Platform.MACOS), release("18.7.0", Offer(B), cves=("CVE-1",))
    assert joined([first, second, supplement, mac, again]) == (
        replace(first, offers=(Offer(A), Offer(B)), cves=("CVE-1",)), second, supplement, mac,
    )  # fmt: skip
    assert joined([supplement, supplement])[0].extra == "(a)"
    assert joined([]) == ()
