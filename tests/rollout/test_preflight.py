"""What bars a device, what only warns, what nobody knows; and what a rule comes to for each."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.eligibility import WORDS, Barrier, Judge, Verdict
from osupdate_kit.rollout.journey import Instrument
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import DAY
from osupdate_kit.rollout.preflight import BLOCKING, FINDINGS, GB, STALE_DAYS, Finding, Kind
from osupdate_kit.rollout.releases import Catalogue, Offer, Release
from osupdate_kit.rollout.resolution import Unresolved
from osupdate_kit.rollout.targets import Goal, Target, aim_of

NOW = 2_000 * DAY
v = OSVersion.parse
IPAD = Device(
    key=DeviceKey("s", "E"), platform=Platform.IPADOS, model="iPad13,18", os_version=v("18.6"), supervised=True
)
MAC = replace(IPAD, platform=Platform.MACOS, model="Mac14,2", os_version=v("15.6.1"))
WELL: Mapping[str, object] = {"AvailableDeviceCapacity": 50.0, "BatteryLevel": 0.8, "IsMultiUser": False}


def release(version: str, *models: str, platform: Platform = Platform.IOS, days: float = 100, **more: Any) -> Release:
    offers = more.pop("offers", (Offer(frozenset(models), ("22H1", "22H2")),))
    return Release(
        platform=platform, version=v(version), released_at=int(NOW - days * DAY), offers=offers, **more
    )  # fmt: skip


CATALOGUE = Catalogue(
    as_of=NOW - DAY,
    sha256="ab",
    source="test",
    releases=(
        release("26.6.1", "iPad13,18", days=3),
        release("26.6", "iPad13,18", days=30),
        release("18.7.10", "iPad7,11", days=3),
        release("18.7.8", "iPad13,18", "iPad7,11", days=5),
        release("18.7.7", "iPad13,18", "iPad7,11", days=30),
        release("18.7.5", offers=(), past_models=frozenset({"iPad13,18"})),
        release("18.7.4", "iPad13,18", offers=(Offer(frozenset({"iPad13,18"}), (), NOW - DAY // 2),)),
        release("17.7.11", "iPad7,5"),
        release("15.7.9", "Mac14,2", "J413AP", platform=Platform.MACOS),
        release("15.7.8", offers=(Offer(),), platform=Platform.MACOS),
    ),
)


def judged(
    device: Device,
    aim: str,
    *,
    told: Mapping[str, object] | None = WELL,
    told_at: int = NOW,
    catalogue: Catalogue | None = CATALOGUE,
    allow_major: bool = False,
    build: str = "",
) -> Verdict:
    target, goal = aim_of(aim, build=build)
    plan = RolloutPlan(
        name="p", author="a", created_at=NOW, deadline_at=NOW + DAY, target=target, goal=goal, allow_major=allow_major
    )
    return Judge(plan, catalogue, NOW).verdict(device, told, told_at)


# --- rules ---


@pytest.mark.parametrize(
    ("aim", "device", "target"),
    [
        ("latest-minor", IPAD, "18.7.8"),
        ("latest-minor +7d", IPAD, "18.7.7"),
        ("latest-minor", replace(IPAD, model="iPad7,11"), "18.7.10"),
        ("latest-minor", MAC, "15.7.9"),
        ("latest-major", IPAD, "26.6.1"),
        ("latest-major +7d", IPAD, "26.6"),
        ("latest-major", replace(IPAD, model="iPad7,11"), "18.7.10"),
        ("18=18.7.2 15=15.7.2", IPAD, "18.7.2"),
        ("18=18.7.2 15=15.7.2", MAC, "15.7.2"),
        ("18=18.7.2 latest-minor", MAC, "15.7.9"),
        (">=18.7 latest-minor", IPAD, "18.7.8"),
        (">=18.7 18.7.2", IPAD, "18.7.2"),
        (">=18.7", IPAD, "18.7"),
    ],
)
def test_a_rule_gives_each_device_a_target_of_its_own(aim: str, device: Device, target: str) -> None:
    verdict = judged(device, aim, allow_major=True)
    assert (verdict.instrument, verdict.target, verdict.barriers) == (Instrument.COMMAND, target, ())


@pytest.mark.parametrize(
    ("aim", "device", "barrier"),
    [
        ("latest-minor", replace(IPAD, model="iPad99,1"), Barrier.MODEL_UNKNOWN),
        ("latest-minor", replace(IPAD, model=""), Barrier.MODEL_UNKNOWN),
        ("latest-minor +200d", IPAD, Barrier.NO_RELEASE),
        ("latest-minor", replace(IPAD, os_version=v("17.7")), Barrier.NO_RELEASE),
        ("latest-minor", replace(IPAD, os_version=v("18.7.8")), Barrier.ALREADY_THERE),
        ("latest-minor", replace(IPAD, os_version=v("18.8")), Barrier.ALREADY_THERE),
        ("15=15.7.2", IPAD, Barrier.NO_RULE),
        (">=18.6 latest-minor", IPAD, Barrier.ABOVE_FLOOR),
        (">=18.6 latest-minor", MAC, Barrier.TARGET_OF_OTHER_PLATFORM),
        ("latest-major", IPAD, Barrier.MAJOR_JUMP),
        ("18=26.6.1", IPAD, Barrier.MAJOR_JUMP),
        ("26.6.1", IPAD, Barrier.MAJOR_JUMP),
    ],
)
def test_a_device_that_a_rule_gives_no_target_is_barred_with_the_reason(
    aim: str, device: Device, barrier: Barrier
) -> None:
    verdict = judged(device, aim)
    assert verdict.barriers == (barrier,)
    assert WORDS[barrier][1] in verdict.reason


def test_without_a_catalogue_no_model_is_known() -> None:
    assert judged(IPAD, "latest-minor", catalogue=None).barriers == (Barrier.MODEL_UNKNOWN,)


def test_a_mac_may_be_known_by_its_device_id_alone() -> None:
    told = {**WELL, "SoftwareUpdateDeviceID": "J413AP"}
    assert judged(replace(MAC, model="Mac99,1"), "latest-minor", told=told).target == "15.7.9"


@given(
    st.sampled_from(["latest-minor", "latest-major +9d", ">=18.6 18.7", "15=15.7 18=26.1", "18.7.2"]),
    st.builds(
        Device,
        key=st.just(IPAD.key),
        platform=st.sampled_from([None, *Platform]),
        model=st.sampled_from(["", "iPad13,18", "Mac14,2", "\x00"]),
        os_version=st.none() | st.builds(lambda *n: v(".".join(map(str, n))), st.integers(0, 40), st.integers(0, 9)),
        supervised=st.sampled_from([None, True, False]),
    ),
    st.dictionaries(
        st.sampled_from(["AvailableDeviceCapacity", "BatteryLevel", "AvailableOSUpdates", "SoftwareUpdateDeviceID"]),
        st.sampled_from([None, True, 1, 0.5, "x", ["18.7.2", 1, 2, 3]]).filter(lambda one: not isinstance(one, list)),
    ),
)
def test_no_device_is_an_exception_for_the_others(aim: str, device: Device, told: dict[str, object]) -> None:
    verdict = judged(device, aim, told=told)
    assert (verdict.instrument is Instrument.COMMAND) == (not verdict.barriers)


# --- findings ---


def found(device: Device = IPAD, aim: str = "18.7.8", *, at: int = NOW, **told: object) -> set[str]:
    verdict = judged(device, aim, told={**WELL, **told}, told_at=at)
    return {*verdict.findings, *verdict.barriers}


def listed(version: str, download: float, install: float, delayed_until: int = 0) -> list[list[object]]:
    return [[version, int(download * GB), int(install * GB), delayed_until]]


def test_a_device_that_has_told_nothing_bad_has_no_finding() -> None:
    assert found() == set()


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"IsMDMLostModeEnabled": True}, {Finding.LOST_MODE}),
        ({"IsMultiUser": True}, {Finding.SHARED_IPAD}),
        ({"BatteryLevel": 0.1}, {Finding.LOW_BATTERY}),
        ({"BatteryLevel": None}, set()),
        ({"AvailableDeviceCapacity": None}, {Finding.SPACE_UNKNOWN}),
        ({"AvailableDeviceCapacity": 4.0}, {Finding.SPACE_UNKNOWN}),
        ({"AvailableDeviceCapacity": 4.0, "AvailableOSUpdates": listed("18.7.8", 2, 1)}, set()),
        ({"AvailableDeviceCapacity": 4.0, "AvailableOSUpdates": listed("18.7.9", 2, 1)}, {Finding.SPACE_UNKNOWN}),
        ({"AvailableDeviceCapacity": 4.0, "AvailableOSUpdates": listed("18.7.8", 3, 2)}, {Finding.NO_SPACE}),
        ({"AvailableDeviceCapacity": 4.0, "AvailableOSUpdates": listed("18.7.8", 2, 0)}, {Finding.SPACE_SHORT}),
        ({"AvailableDeviceCapacity": 7.0, "AvailableOSUpdates": listed("18.7.8", 2, 0)}, set()),
        ({"AvailableOSUpdates": listed("18.7.8", 2, 1, NOW + DAY)}, {Finding.DELAYED}),
        ({"AvailableOSUpdates": listed("18.7.8", 2, 1, NOW - DAY)}, set()),
    ],
)
def test_what_a_device_told_is_held_against_its_target(told: dict[str, object], expected: set[str]) -> None:
    assert found(**told) == expected


def test_an_old_report_of_little_space_bars_nobody() -> None:
    told = {"AvailableDeviceCapacity": 1.0, "AvailableOSUpdates": listed("18.7.8", 3, 2)}
    assert found(at=NOW - (STALE_DAYS + 1) * DAY, **told) == {Finding.STALE, Finding.SPACE_SHORT}
    assert found(at=0, **told) == {Finding.NEVER_TOLD}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, {Finding.BOOTSTRAP_UNKNOWN}),
        ({"required": True, "allowed": "allowed"}, set()),
        ({"required": True, "allowed": "disallowed"}, {Finding.BOOTSTRAP_MISSING}),
        ({"required": True, "allowed": "not supported"}, {Finding.BOOTSTRAP_MISSING}),
        ({"required": False, "allowed": "disallowed"}, set()),
    ],
)
def test_a_mac_with_apple_silicon_needs_its_bootstrap_token(told: dict[str, object], expected: set[str]) -> None:
    names = {
        "required": "BootstrapTokenRequiredForSoftwareUpdate",
        "allowed": "BootstrapTokenAllowedForAuthentication",
    }
    said = {names[key]: value for key, value in told.items()}
    assert found(MAC, "15.7.9", IsAppleSilicon=True, **said) == expected
    assert found(MAC, "15.7.9", IsAppleSilicon=False, **said) == set()


@pytest.mark.parametrize(
    ("device", "aim", "expected"),
    [
        (IPAD, "18.7.22", Finding.RELEASE_UNLISTED),
        (IPAD, "18.7.5", Finding.RELEASE_ENDED),
        (IPAD, "18.7.4", Finding.RELEASE_MAY_HAVE_ENDED),
        (IPAD, "18.7.10", Finding.NOT_FOR_MODEL),
        (replace(IPAD, model="iPad99,1"), "18.7.8", Finding.MODEL_UNLISTED),
        (MAC, "15.7.8", Finding.MODEL_UNLISTED),
    ],
)
def test_the_catalogue_warns_and_never_bars(device: Device, aim: str, expected: Finding) -> None:
    verdict = judged(device, aim)
    assert (verdict.findings, verdict.barriers) == ((expected,), ())
    assert judged(device, aim, catalogue=None).findings == ()


def test_a_build_that_no_fork_of_the_release_has_is_named() -> None:
    assert judged(IPAD, "18.7.8", build="22H2").findings == ()
    assert judged(IPAD, "18.7.8", build="22H9").findings == (Finding.RELEASE_UNLISTED,)


def test_the_commands_are_deprecated_on_26() -> None:
    device = replace(IPAD, os_version=v("26.1"))
    assert judged(device, "26.6.1").findings == (Finding.DEPRECATED,)


def test_what_is_not_looked_at_is_not_found() -> None:
    assert judged(IPAD, "18.7.8", told=None, told_at=0).findings == ()


def test_every_finding_has_a_remedy_and_every_blocking_one_a_barrier() -> None:
    assert set(FINDINGS) == set(Finding)
    assert all(words and remedy.endswith(".") and not words.endswith(".") for _, words, remedy in FINDINGS.values())
    assert {Barrier(finding) for finding in BLOCKING} <= set(WORDS)
    assert {kind for kind, _, _ in FINDINGS.values()} == set(Kind)
    assert {Barrier(why) for why in Unresolved} <= set(WORDS)
    assert set(WORDS) == set(Barrier)


def test_a_goal_needs_no_target() -> None:
    assert aim_of("latest-minor") == (Target(), Goal(latest="minor"))
    assert aim_of(by_major=["15=15.7.2"], floor="15.1") == aim_of("15=15.7.2 >=15.1")
