"""One device, one plan: by command, by declaration, or everything that bars it."""

from typing import Any

import pytest
from msgspec.structs import replace

from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.protocol.terms import InstallAction, Platform, Priority
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.eligibility import Barrier, Judge, Verdict, explain
from osupdate_kit.rollout.enforcement import Declaring
from osupdate_kit.rollout.journey import Instrument
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import DAY
from osupdate_kit.rollout.preflight import Finding
from osupdate_kit.rollout.releases import Catalogue, Offer, Release
from osupdate_kit.rollout.targets import aim_of
from osupdate_kit.rollout.windows import window_of

NOW = 2_000 * DAY
v = OSVersion.parse
IPAD = Device(
    key=DeviceKey("s", "E"), platform=Platform.IPADOS, model="iPad13,18", os_version=v("18.6"), supervised=True
)
MAC = replace(IPAD, platform=Platform.MACOS, model="Mac14,2", os_version=v("15.6.1"))
TV = replace(IPAD, platform=Platform.TVOS, model="AppleTV14,1")
OK = {"AvailableDeviceCapacity": 50.0}  # a device that told, and nothing bad
NIGHT = window_of("20:00-05:00")
SPACE = {"AvailableDeviceCapacity": 1.0, "AvailableOSUpdates": [["18.7.2", 2 << 30, 1 << 30, 0]]}  # too little


def on(device: Device, os_version: str, **more: Any) -> Device:
    return replace(device, os_version=v(os_version), **more)


def plan(aim: str = "18.7.2", *, item: str = "", build: str = "", extra: str = "", **policy: Any) -> RolloutPlan:
    target, goal = aim_of(aim if not item else "", product_key=item, build=build, extra=extra)
    words: dict[str, Any] = {"target": target, "goal": goal} | policy
    return RolloutPlan(name="p", author="a", created_at=NOW, deadline_at=NOW + DAY, **words)


def barriers(device: Device, made: RolloutPlan | None = None) -> list[str]:
    return list(Judge(made or plan()).barriers(device))


def mac_with(action: InstallAction, aim: str = "15.7.2", **policy: Any) -> RolloutPlan:
    return plan(aim, actions={Platform.MACOS: (action,)}, **policy)


# --- what the device is ---


@pytest.mark.parametrize(
    ("changes", "barrier"),
    [
        ({"enrolled": False}, Barrier.GONE),
        ({"enrollment_type": "User Enrollment"}, Barrier.NOT_DEVICE_CHANNEL),
        ({"supervised": None}, Barrier.SUPERVISION_UNKNOWN),
        ({"supervised": False}, Barrier.NOT_SUPERVISED),
        ({"awaiting_configuration": True}, Barrier.AWAITING_CONFIGURATION),
        ({"declared": True}, Barrier.DECLARED),
        ({"os_version": None}, Barrier.VERSION_UNKNOWN),
        ({"platform": None}, Barrier.PLATFORM_UNKNOWN),
        ({"platform": Platform.WATCHOS}, Barrier.PLATFORM_WITHOUT),
        ({"platform": Platform.VISIONOS}, Barrier.PLATFORM_WITHOUT),
    ],
)
def test_one_fact_is_one_barrier(changes: dict[str, Any], barrier: Barrier) -> None:
    assert barriers(replace(IPAD, **changes)) == [barrier]


@pytest.mark.parametrize("device", [IPAD, TV, replace(IPAD, platform=Platform.IOS), replace(IPAD, enrollment_type="")])
def test_a_device_of_which_nothing_speaks_against_the_target_goes_by_command(device: Device) -> None:
    verdict = Judge(plan()).verdict(device)
    assert verdict == Verdict(Instrument.COMMAND, (), "", ())
    assert verdict.reason == ""


def test_a_device_of_which_nobody_has_told_is_barred_by_all_that_is_unknown() -> None:
    nobody = Device(key=DeviceKey("s", "E"))
    assert barriers(nobody) == [Barrier.SUPERVISION_UNKNOWN, Barrier.VERSION_UNKNOWN, Barrier.PLATFORM_UNKNOWN]
    assert Judge(plan()).verdict(nobody).instrument is Instrument.NONE


def test_all_barriers_are_given_the_gravest_first_and_told_in_sentences() -> None:
    gone = on(IPAD, "18.7.2", enrolled=False, supervised=False, awaiting_configuration=True)
    verdict = Judge(plan(window=NIGHT)).verdict(gone)
    assert verdict.barriers == (
        Barrier.GONE,
        Barrier.NOT_SUPERVISED,
        Barrier.AWAITING_CONFIGURATION,
        Barrier.ALREADY_THERE,
        Barrier.TIME_ZONE_UNKNOWN,
    )
    assert verdict.reason == explain(verdict.barriers)
    assert explain((Barrier.GONE, Barrier.ALREADY_THERE)) == (
        "It has left this server. Enrol it again, or take it off the list. It runs the target or newer. Nothing to do."
    )


# --- its version against the target ---


@pytest.mark.parametrize(
    ("os_version", "build", "aim", "there"),
    [
        ("18.7.1", "", {}, False),
        ("18.7.2", "", {}, True),
        ("18.7.3", "", {}, True),
        ("26.1", "", {}, True),
        ("18.7.2", "22H124", {"build": "22H124"}, True),
        ("18.7.2", "22H120", {"build": "22H124"}, False),
        ("18.7.2", "", {"build": "22H124"}, False),
        ("18.7.3", "22H200", {"build": "22H124"}, True),
        ("18.7.2", "22H124", {"extra": "(a)"}, False),  # an inventory does not tell supplements
        ("18.7.3", "22H124", {"extra": "(a)"}, True),
    ],
)
def test_who_runs_the_target_or_newer_is_there(os_version: str, build: str, aim: dict[str, str], there: bool) -> None:
    expected = [Barrier.ALREADY_THERE] if there else []
    assert barriers(on(IPAD, os_version, build_version=build), plan(**aim)) == expected


@pytest.mark.parametrize(
    ("device", "aim", "allow_major", "expected"),
    [
        (IPAD, "26.1", False, [Barrier.MAJOR_JUMP]),
        (IPAD, "26.1", True, []),
        (IPAD, "18.7", False, []),
        (on(IPAD, "17.7"), "18.7", False, [Barrier.MAJOR_JUMP]),
        (IPAD, "17.7", False, [Barrier.ALREADY_THERE]),
        (MAC, "18.7", False, [Barrier.TARGET_OF_OTHER_PLATFORM]),
        (IPAD, "20.1", True, [Barrier.TARGET_OF_OTHER_PLATFORM]),
    ],
)
def test_a_target_of_another_major_version_or_platform(
    device: Device, aim: str, allow_major: bool, expected: list[Barrier]
) -> None:
    assert barriers(device, plan(aim, allow_major=allow_major)) == expected


def test_an_item_that_is_no_os_update_is_for_macs() -> None:
    assert barriers(MAC, plan(item="052-1")) == []
    assert barriers(IPAD, plan(item="052-1")) == [Barrier.ITEM_FOR_MAC_ONLY]


# --- what its OS knows: commands from iOS 9, tvOS 12 and macOS 10.11 on, until 27 (Apple's schema) ---


@pytest.mark.parametrize(
    ("device", "aim", "expected"),
    [
        (on(IPAD, "8.4"), "9.3", [Barrier.COMMAND_TOO_NEW]),
        (on(TV, "11.4"), "12.4", [Barrier.COMMAND_TOO_NEW]),
        (on(MAC, "10.10.5"), "10.15", [Barrier.COMMAND_TOO_NEW]),
        (on(IPAD, "9.0"), "9.3", []),
        (on(MAC, "10.11"), "10.15", []),
        (on(IPAD, "26.9"), "26.10", []),
        (on(IPAD, "27.0"), "27.1", [Barrier.NEEDS_DECLARATION]),
        (on(MAC, "27.0"), "27.1", [Barrier.NEEDS_DECLARATION]),
        (on(IPAD, "27.0"), "latest-minor", [Barrier.NEEDS_DECLARATION]),
    ],
)
def test_without_the_commands_a_device_is_too_old_or_needs_a_declaration(
    device: Device, aim: str, expected: list[Barrier]
) -> None:
    assert barriers(device, plan(aim, allow_major=True)) == expected


@pytest.mark.parametrize("servers", [(), ("s",)])
def test_an_item_goes_by_command_only(servers: tuple[str, ...]) -> None:
    made = plan(item="052-1", declaring=Declaring(servers=servers))
    assert barriers(on(MAC, "27.0"), made) == [Barrier.NO_VERSION_TO_DECLARE]
    assert Judge(made).verdict(on(MAC, "26.0")).instrument is Instrument.COMMAND


@pytest.mark.parametrize(
    ("os_version", "action", "expected"),
    [
        ("10.15", InstallAction.DOWNLOAD_ONLY, [Barrier.ACTION_TOO_NEW]),
        ("10.15", InstallAction.INSTALL_FORCE_RESTART, [Barrier.ACTION_TOO_NEW]),
        ("10.15", InstallAction.INSTALL_LATER, []),
        ("11.0", InstallAction.DOWNLOAD_ONLY, []),
        ("11.0", InstallAction.INSTALL_FORCE_RESTART, []),
    ],
)
def test_a_mac_knows_some_actions_since_11(os_version: str, action: InstallAction, expected: list[Barrier]) -> None:
    assert barriers(on(MAC, os_version), mac_with(action, allow_major=True)) == expected


@pytest.mark.parametrize(
    ("policy", "bars"),
    [
        ({"action": InstallAction.INSTALL_LATER, "max_user_deferrals": 0}, True),
        ({"action": InstallAction.INSTALL_LATER, "max_user_deferrals": 3}, True),
        ({"action": InstallAction.INSTALL_LATER}, False),
        ({"action": InstallAction.INSTALL_ASAP, "priority": Priority.HIGH}, True),
        ({"action": InstallAction.INSTALL_ASAP}, False),
    ],
)
def test_on_a_mac_deferrals_and_priority_are_for_updates_within_a_major_version(
    policy: dict[str, Any], bars: bool
) -> None:
    upgrade = mac_with(aim="26.1", allow_major=True, **policy)
    assert barriers(MAC, upgrade) == ([Barrier.MINOR_ONLY] if bars else [])
    assert barriers(MAC, mac_with(aim="15.7.2", **policy)) == []
    assert barriers(IPAD, upgrade) == []
    declared = mac_with(aim="26.1", allow_major=True, declaring=DECLARES_MACS, **policy)
    assert Judge(declared).verdict(MAC).instrument is Instrument.DECLARATION


# --- the second instrument ---

DECLARES = Declaring(servers=("s",))
DECLARES_MACS = Declaring(servers=("s",), since={Platform.MACOS: v("15")})


@pytest.mark.parametrize(
    ("device", "aim", "instrument"),
    [
        (IPAD, "18.7.2", Instrument.COMMAND),
        (on(IPAD, "26.0"), "26.1", Instrument.DECLARATION),
        (on(MAC, "26.0"), "26.1", Instrument.DECLARATION),
        (on(IPAD, "27.0"), "27.1", Instrument.DECLARATION),
        (on(IPAD, "26.0", key=DeviceKey("t", "E")), "26.1", Instrument.COMMAND),
        (on(IPAD, "27.0", key=DeviceKey("t", "E")), "27.1", Instrument.NONE),
    ],
)
def test_from_26_on_a_server_that_can_declare_does_so(device: Device, aim: str, instrument: Instrument) -> None:
    assert Judge(plan(aim, declaring=DECLARES)).verdict(device).instrument is instrument


def test_one_judge_tells_the_servers_apart() -> None:
    judge = Judge(plan("26.1", declaring=DECLARES))
    here = on(IPAD, "26.0")
    there = replace(here, key=DeviceKey("t", "E"))
    found = [judge.verdict(device).instrument for device in (here, there, here)]
    assert found == [Instrument.DECLARATION, Instrument.COMMAND, Instrument.DECLARATION]


@pytest.mark.parametrize(
    ("device", "bars"), [(on(IPAD, "26.0"), False), (on(TV, "26.0"), False), (on(MAC, "26.0"), True)]
)
@pytest.mark.parametrize("supervised", [False, None])
def test_a_declaration_asks_for_supervision_of_macs_only(device: Device, bars: bool, supervised: bool | None) -> None:
    device = replace(device, supervised=supervised)
    assert bool(barriers(device, plan("26.1", declaring=DECLARES))) is bars
    assert barriers(device, plan("26.1")) != []  # a command does of all


def test_a_declaration_does_not_change_what_a_rule_comes_to() -> None:
    latest = plan("latest-minor", declaring=DECLARES)
    assert barriers(on(IPAD, "27.0"), latest) == [Barrier.MODEL_UNKNOWN]
    assert barriers(on(IPAD, "26.0"), plan("27.1", declaring=DECLARES)) == [Barrier.MAJOR_JUMP]


# --- rules, preflight and the catalogue ---

CATALOGUE = Catalogue(
    as_of=NOW,
    sha256="ab",
    source="test",
    releases=(
        Release(platform=Platform.IOS, version=v("18.7.2"), released_at=1, offers=(Offer(frozenset({"iPad13,18"})),)),
        Release(platform=Platform.IOS, version=v("26.1"), released_at=1, offers=(Offer(frozenset({"J1AP"})),)),
    ),
)


def test_a_barred_device_keeps_the_target_that_its_rule_came_to() -> None:
    verdict = Judge(plan("latest-minor"), CATALOGUE, NOW).verdict(replace(IPAD, enrolled=False))
    assert (verdict.instrument, verdict.barriers, verdict.target) == (Instrument.NONE, (Barrier.GONE,), "18.7.2")
    assert Judge(plan("latest-minor"), CATALOGUE, NOW).verdict(IPAD) == Verdict(Instrument.COMMAND, (), "18.7.2")


def test_devices_of_one_model_may_differ_by_their_device_id() -> None:
    judge = Judge(plan("latest-major", allow_major=True), CATALOGUE, NOW)
    ids = [{**OK, "SoftwareUpdateDeviceID": name} for name in ("J1AP", "J2AP", 7)]
    found = [judge.verdict(IPAD, told, NOW).target for told in (OK, *ids)]
    assert found == ["18.7.2", "26.1", "18.7.2", "18.7.2"]


def test_what_blocks_bars_and_what_warns_stands_beside_it() -> None:
    told = {**SPACE, "IsMultiUser": True, "IsMDMLostModeEnabled": True}
    verdict = Judge(plan(), now=NOW).verdict(IPAD, told, NOW)
    assert verdict.barriers == (Barrier.LOST_MODE, Barrier.NO_SPACE)
    assert verdict.findings == (Finding.SHARED_IPAD,)
    assert verdict.instrument is Instrument.NONE


def test_what_a_barred_device_told_is_not_looked_at() -> None:
    verdict = Judge(plan(), now=NOW).verdict(replace(IPAD, supervised=False), SPACE, NOW)
    assert (verdict.barriers, verdict.findings) == ((Barrier.NOT_SUPERVISED,), ())


def test_who_has_told_nothing_is_sent_the_update_with_a_remark() -> None:
    judge = Judge(plan(), now=NOW)
    assert judge.verdict(IPAD, {}) == Verdict(Instrument.COMMAND, (), "", (Finding.NEVER_TOLD,))
    assert judge.verdict(IPAD, None, 0) == Verdict(Instrument.COMMAND, (), "", ())  # that is not looked at


def test_the_catalogue_speaks_of_targets_that_nothing_else_bars() -> None:
    unlisted = Judge(plan("18.7.9"), CATALOGUE, NOW)
    assert unlisted.verdict(IPAD).findings == (Finding.RELEASE_UNLISTED,)
    assert Judge(plan("26.9"), CATALOGUE, NOW).verdict(IPAD).findings == ()  # a major jump: barred


def test_only_a_command_is_deprecated_on_26() -> None:
    device = on(IPAD, "26.0")
    assert Judge(plan("26.1")).verdict(device).findings == (Finding.DEPRECATED,)
    assert Judge(plan("26.1", declaring=DECLARES)).verdict(device).findings == ()
    assert Judge(plan("18.7.2")).verdict(IPAD).findings == ()


# --- time zones ---


@pytest.mark.parametrize(
    ("policy", "zone", "bars"),
    [
        ({}, "", False),
        ({"window": NIGHT}, "", True),
        ({"window": NIGHT}, "Europe/Berlin", False),
        ({"window": NIGHT, "time_zone": "UTC"}, "", False),
        ({"download_window": NIGHT}, "", True),
    ],
)
def test_a_plan_with_a_window_must_know_the_time_at_the_device(policy: dict[str, Any], zone: str, bars: bool) -> None:
    expected = [Barrier.TIME_ZONE_UNKNOWN] if bars else []
    assert barriers(replace(IPAD, time_zone=zone), plan(**policy)) == expected
