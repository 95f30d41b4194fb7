"""What a plan's rule comes to for one device, or why it has no target."""

import pytest

from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import DAY
from osupdate_kit.rollout.releases import Catalogue, Offer, Release
from osupdate_kit.rollout.resolution import Resolved, Unresolved, of_other_platform, resolve
from osupdate_kit.rollout.targets import Target, aim_of

NOW = 2_000 * DAY
v = OSVersion.parse
IPAD = "iPad13,18"
CATALOGUE = Catalogue(
    as_of=NOW,
    sha256="ab",
    source="test",
    releases=tuple(
        Release(
            platform=Platform.IOS, version=v(text), released_at=NOW - days * DAY, offers=(Offer(frozenset({IPAD})),)
        )
        for text, days in (("26.2", 2), ("26.1", 40), ("18.8", 2), ("18.7", 40))
    ),
)


def resolved(
    aim: str, os_version: str = "18.6", *, catalogue: Catalogue | None = CATALOGUE, **more: object
) -> Resolved:
    target, goal = aim_of(aim)
    plan = RolloutPlan(name="p", author="a", created_at=NOW, deadline_at=NOW + DAY, target=target, goal=goal)
    words = {"platform": Platform.IPADOS, "models": (IPAD,)} | more
    return resolve(plan, catalogue, NOW, os_version=v(os_version), **words)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("platform", "never"),
    [
        (Platform.IOS, range(19, 26)),
        (Platform.IPADOS, range(19, 26)),
        (Platform.TVOS, range(19, 26)),
        (Platform.MACOS, range(16, 26)),
        (Platform.WATCHOS, range(0)),
    ],
)
def test_when_apple_took_the_year_as_the_version_it_skipped_numbers(platform: Platform, never: range) -> None:
    """iOS 18, tvOS 18 and macOS 15 were followed by 26 (Apple, June 2025)."""
    assert [major for major in range(9, 40) if of_other_platform(platform, v(f"{major}.1"))] == list(never)


@pytest.mark.parametrize(
    ("aim", "os_version", "text"),
    [
        ("latest-minor", "18.6", "18.8"),
        ("latest-minor", "26.0", "26.2"),
        ("latest-minor +7d", "18.6", "18.7"),
        ("latest-major", "18.6", "26.2"),
        ("latest-major +7d", "18.6", "26.1"),
        ("18=18.7.2", "18.6", "18.7.2"),
        ("18=18.7.2 latest-minor", "18.6", "18.7.2"),  # it wins over the latest
        ("18=18.7.2 latest-minor", "26.0", "26.2"),
        (">=18.7", "18.6", "18.7"),
        (">=18.7 18.9", "18.6", "18.9"),
        (">=18.7 latest-minor", "18.6", "18.8"),
        (">=18.7 18=18.7.2", "18.6", "18.7.2"),
    ],
)
def test_a_rule_comes_to_a_version_that_is_frozen_as_text(aim: str, os_version: str, text: str) -> None:
    assert resolved(aim, os_version) == Resolved(Target(version=v(text)), text, None)


@pytest.mark.parametrize(
    ("aim", "os_version", "why"),
    [
        (">=18.6 latest-minor", "18.6", Unresolved.ABOVE_FLOOR),
        (">=18.6", "18.6.1", Unresolved.ABOVE_FLOOR),
        (">=18.6 18=18.9", "18.7", Unresolved.ABOVE_FLOOR),
        (">=20.1", "18.6", Unresolved.TARGET_OF_OTHER_PLATFORM),
        (">=20.1", "26.1", Unresolved.TARGET_OF_OTHER_PLATFORM),
        ("26=26.1", "18.6", Unresolved.NO_RULE),
        (">=18.7 26=26.1", "18.6", Unresolved.NO_RULE),  # the floor is a target only if it stands alone
        ("latest-minor", "17.7", Unresolved.NO_RELEASE),
        ("latest-minor +50d", "18.6", Unresolved.NO_RELEASE),
        ("26=26.1 latest-minor", "17.7", Unresolved.NO_RELEASE),
    ],
)
def test_a_device_that_no_rule_fits_is_told_why_and_has_no_target(aim: str, os_version: str, why: Unresolved) -> None:
    assert resolved(aim, os_version) == Resolved(Target(), "", why)


@pytest.mark.parametrize(
    ("catalogue", "models", "platform"),
    [
        (None, (IPAD,), Platform.IPADOS),
        (CATALOGUE, ("iPad99,1",), Platform.IPADOS),
        (CATALOGUE, (), Platform.IPADOS),
        (CATALOGUE, (IPAD,), Platform.MACOS),
    ],
)
def test_a_model_that_the_catalogue_does_not_know_is_unknown(
    catalogue: Catalogue | None, models: tuple[str, ...], platform: Platform
) -> None:
    words = {"catalogue": catalogue, "models": models, "platform": platform}
    assert resolved("latest-minor", **words).why_not is Unresolved.MODEL_UNKNOWN  # type: ignore[arg-type]
    assert resolved("18=18.7.2 latest-minor", **words).text == "18.7.2"  # type: ignore[arg-type]


def test_one_target_for_all_is_the_plans_own() -> None:
    assert resolved("18.7.2", "26.1", catalogue=None) == Resolved(Target(version=v("18.7.2")), "", None)
