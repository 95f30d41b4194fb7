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
from osupdate_kit.rollout.preflight import (
    BLOCKING,
    FINDINGS,
    STALE_DAYS,
    Count,
    Finding,
    Kind,
    of_device,
    of_release,
    of_version,
)
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


GIB = 2**30  # AvailableDeviceCapacity is told in binary gigabytes, sizes in bytes


def listed(version: str, download: float, install: float, delayed_until: int = 0) -> list[list[object]]:
    return [[version, int(download * GIB), int(install * GIB), delayed_until]]


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
        ({"AvailableOSUpdates": [*listed("Firmware", 2, 1), *listed("18.07.8", 2, 1, NOW + DAY)]}, {Finding.DELAYED}),
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


# --- each bound, from both sides ---

TV = replace(IPAD, platform=Platform.TVOS, model="AppleTV14,1")
IPHONE = replace(IPAD, platform=Platform.IOS)


@pytest.mark.parametrize(
    ("age", "stale"), [(0, False), (7 * DAY, False), (7 * DAY + 1, True), (400 * DAY, True), (-DAY, False)]
)
def test_what_was_told_grows_old_after_a_week(age: int, stale: bool) -> None:
    assert of_device(WELL, NOW - age, Platform.IPADOS, Target(), NOW) == ([Finding.STALE] if stale else [])


@pytest.mark.parametrize(("level", "low"), [(0.0, True), (0.199, True), (0.2, False), (1.0, False), (-1.0, True)])
def test_a_battery_is_low_below_a_fifth(level: float, low: bool) -> None:
    assert found(BatteryLevel=level) == ({Finding.LOW_BATTERY} if low else set())


@pytest.mark.parametrize(
    ("device", "free", "asked"),
    [
        (IPAD, 10.0, False),
        (IPAD, 9.99, True),
        (IPHONE, 9.99, True),
        (MAC, 35.0, False),
        (MAC, 34.99, True),
        (TV, 0.0, False),  # an Apple TV does not tell
        (TV, None, False),
    ],
)
def test_with_so_much_free_sizes_do_not_matter(device: Device, free: float | None, asked: bool) -> None:
    aim = "15.7.9" if device is MAC else "18.7.8"
    told = {**WELL, "AvailableDeviceCapacity": free}
    findings = judged(device, aim, told=told, catalogue=None).findings
    assert findings == ((Finding.SPACE_UNKNOWN,) if asked else ())


@pytest.mark.parametrize(
    ("free", "download", "install", "expected"),
    [
        (3.0, 2, 1, set()),
        (2.999, 2, 1, {Finding.NO_SPACE}),
        (6.0, 2, 0, set()),  # three times the download, where no install size is named
        (5.999, 2, 0, {Finding.SPACE_SHORT}),
        (5.0, 0, 1, {Finding.SPACE_UNKNOWN}),
        (5.0, 0, 0, {Finding.SPACE_UNKNOWN}),
    ],
)
def test_download_and_install_must_fit_to_the_byte(
    free: float, download: float, install: float, expected: set[str]
) -> None:
    assert found(AvailableDeviceCapacity=free, AvailableOSUpdates=listed("18.7.8", download, install)) == expected


def test_space_that_is_counted_in_no_numbers_is_unknown() -> None:
    rows = listed("18.7.8", 2, 1)
    assert found(AvailableDeviceCapacity="4", AvailableOSUpdates=rows) == {Finding.SPACE_UNKNOWN}
    assert found(AvailableDeviceCapacity=4.0, AvailableOSUpdates="none") == {Finding.SPACE_UNKNOWN}


@pytest.mark.parametrize(("until", "delayed"), [(0, False), (NOW, False), (NOW + 1, True)])
def test_a_release_is_delayed_until_its_moment(until: int, delayed: bool) -> None:
    assert found(AvailableOSUpdates=listed("18.7.8", 2, 1, until)) == ({Finding.DELAYED} if delayed else set())
    assert found(AvailableOSUpdates=listed("18.7.9", 2, 1, until)) == set()  # that is another release
    assert found(AvailableOSUpdates=listed("18.7.9", 1, 1) + listed("18.7.8", 1, 1, until)) == (
        {Finding.DELAYED} if delayed else set()
    )


@pytest.mark.parametrize("word", ["IsMDMLostModeEnabled", "IsMultiUser", "IsAppleSilicon"])
@pytest.mark.parametrize("value", [False, None, 1, "true"])
def test_only_a_plain_yes_is_a_yes(word: str, value: object) -> None:
    assert found(MAC, "15.7.9", **{word: value}) == set()


def test_only_macs_are_asked_for_a_bootstrap_token() -> None:
    assert found(IsAppleSilicon=True) == set()


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"required": True}, {Finding.BOOTSTRAP_MISSING}),
        ({"allowed": "disallowed"}, set()),  # it does not say that it needs one
        ({"allowed": "allowed"}, set()),
        ({"required": None, "allowed": ""}, {Finding.BOOTSTRAP_UNKNOWN}),
        ({"required": False}, set()),
    ],
)
def test_half_an_answer_about_the_bootstrap_token(told: dict[str, object], expected: set[str]) -> None:
    names = {
        "required": "BootstrapTokenRequiredForSoftwareUpdate",
        "allowed": "BootstrapTokenAllowedForAuthentication",
    }
    assert found(MAC, "15.7.9", IsAppleSilicon=True, **{names[key]: value for key, value in told.items()}) == expected


def test_all_that_is_found_is_told_and_an_old_report_first() -> None:
    told = {"IsMDMLostModeEnabled": True, "IsMultiUser": True, "BatteryLevel": 0.1}
    assert of_device(told, NOW - 8 * DAY, Platform.IPADOS, Target(), NOW) == [
        Finding.STALE,
        Finding.LOST_MODE,
        Finding.SHARED_IPAD,
        Finding.LOW_BATTERY,
        Finding.SPACE_UNKNOWN,
    ]


@pytest.mark.parametrize(
    ("platform", "version", "deprecated"),
    [
        (Platform.IPADOS, "26.0", True),
        (Platform.IPADOS, "18.7.8", False),
        (Platform.MACOS, "26.0", True),
        (Platform.MACOS, "15.7.9", False),
        (Platform.WATCHOS, "26.0", False),
    ],
)
def test_the_commands_are_deprecated_from_26_on(platform: Platform, version: str, deprecated: bool) -> None:
    assert of_version(platform, v(version)) == ((Finding.DEPRECATED,) if deprecated else ())


def test_an_item_is_no_release() -> None:
    assert of_release(CATALOGUE, Target(product_key="052-1"), Platform.MACOS, ("Mac14,2",), NOW) == ()


@pytest.mark.parametrize(
    ("ends", "as_of", "expected"),
    [
        (NOW + 1, NOW, ()),
        (NOW, NOW, (Finding.RELEASE_ENDED,)),
        (NOW, NOW + DAY, (Finding.RELEASE_ENDED,)),
        (NOW, NOW - 1, (Finding.RELEASE_MAY_HAVE_ENDED,)),
        (NOW + 1, NOW + DAY, ()),  # the clock decides: it has not ended yet
        (0, NOW, ()),
    ],
)
def test_a_release_has_ended_by_clock_and_feed_together(ends: int, as_of: int, expected: tuple[Finding, ...]) -> None:
    offers = (Offer(frozenset({"iPad13,18"}), ("22H1",), ends),)
    catalogue = Catalogue(as_of=as_of, sha256="ab", source="test", releases=(release("18.7.8", offers=offers),))
    target = Target(version=v("18.7.8"))
    assert of_release(catalogue, target, Platform.IPADOS, ("iPad13,18",), NOW) == expected
    if expected != (Finding.RELEASE_ENDED,):
        forked = Target(version=v("18.7.8"), build="22H9")
        both = (*expected, Finding.RELEASE_UNLISTED)
        assert of_release(catalogue, forked, Platform.IPADOS, ("iPad13,18",), NOW) == both


def test_a_release_of_which_no_builds_are_known_may_have_any() -> None:
    offers = (Offer(frozenset({"iPad13,18"})),)
    catalogue = Catalogue(as_of=NOW, sha256="ab", source="test", releases=(release("18.7.8", offers=offers),))
    target = Target(version=v("18.7.8"), build="22H9")
    assert of_release(catalogue, target, Platform.IPADOS, ("iPad13,18",), NOW) == ()


def test_a_count_of_a_finding_tells_its_kind_words_and_remedy() -> None:
    low = Count(Finding.LOW_BATTERY, 3)
    assert (low.kind, low.devices) == (Kind.WARNING, 3)
    assert low.words == "its battery stood below 20% when it last told"
    assert low.remedy == "See that it is on power in its window."
    assert "older than 7 days" in Count(Finding.STALE, 1).words
    assert "3 times the download" in Count(Finding.SPACE_SHORT, 1).words


def test_only_lost_mode_and_too_little_space_bar_a_device() -> None:
    assert {Finding.LOST_MODE, Finding.NO_SPACE} == BLOCKING
