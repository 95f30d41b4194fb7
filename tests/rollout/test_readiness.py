"""Who could go by declaration: the same as the verdict of a plan that declares wherever it can."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.protocol.rules import command_available
from osupdate_kit.protocol.terms import Platform, RequestType
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.eligibility import Judge
from osupdate_kit.rollout.enforcement import Declaring
from osupdate_kit.rollout.journey import Instrument
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import DAY
from osupdate_kit.rollout.readiness import REMEDIES, Commands, Known, Ready, commands_of, ready_of
from osupdate_kit.rollout.targets import Target

MAC = Known("macOS", "15.6", True, "Device", True, False, True, False, False)
WHEREVER = Declaring(
    servers=("s",),
    since=dict.fromkeys((Platform.IOS, Platform.IPADOS, Platform.MACOS, Platform.TVOS), OSVersion.parse("1")),
)
known = st.builds(
    Known,
    platform=st.sampled_from(["", *(platform.value for platform in Platform)]),
    os_version=st.sampled_from(["", "12.7", "13.6", "14", "16.7", "17", "18.3", "18.4", "26.0", "26.6", "27.0"]),
    supervised=st.sampled_from([None, False, True]),
    enrollment_type=st.sampled_from(["", "Device", "User Enrollment (Device)"]),
    enrolled=st.booleans(),
    declared=st.booleans(),
    declares=st.booleans(),
    told=st.booleans(),
    refused=st.booleans(),
)


@given(known)
def test_a_plan_that_declares_wherever_it_can_declares_to_those_and_no_other(one: Known) -> None:
    plan = RolloutPlan(
        name="all", author="ada", created_at=0, deadline_at=DAY, target=Target(version=OSVersion.parse("27.9")),
        allow_major=True, declaring=WHEREVER,
    )  # fmt: skip
    device = Device(
        key=DeviceKey("s" if one.declares else "other", "1"),
        platform=Platform(one.platform) if one.platform else None,
        os_version=OSVersion.parse(one.os_version) if one.os_version else None,
        supervised=one.supervised,
        enrollment_type=one.enrollment_type,
        enrolled=one.enrolled,
        declared=one.declared,
    )
    declares = Judge(plan).verdict(device).instrument is Instrument.DECLARATION
    assert declares == (ready_of(one).able or ready_of(one) is Ready.REFUSED)  # that it refuses, only its answer tells


@given(known)
def test_commands_are_called_there_where_the_os_has_them(one: Known) -> None:
    there = bool(one.platform and one.os_version) and command_available(
        RequestType.SCHEDULE_OS_UPDATE, Platform(one.platform), OSVersion.parse(one.os_version)
    )
    assert (commands_of(one) in (Commands.WORK, Commands.DEPRECATED)) == there


@pytest.mark.parametrize(
    ("changes", "ready"),
    [
        ({}, Ready.READY),
        ({"told": True}, Ready.PROVED),
        ({"told": True, "refused": True}, Ready.REFUSED),
        ({"declared": True, "refused": True}, Ready.OTHERS),
        ({"declares": False, "declared": True}, Ready.NO_SERVER),
        ({"supervised": False, "declares": False}, Ready.NOT_SUPERVISED),
        ({"supervised": None}, Ready.UNKNOWN),
        ({"platform": "iPadOS", "os_version": "17.0", "supervised": False}, Ready.READY),  # device enrolment will do
        ({"os_version": "13.7", "supervised": False}, Ready.TOO_OLD),
        ({"platform": "watchOS", "os_version": "26.0"}, Ready.NO_PLATFORM),
        ({"os_version": ""}, Ready.UNKNOWN),
        ({"enrollment_type": "User Enrollment (Device)"}, Ready.NO_CHANNEL),
        ({"enrolled": False}, Ready.GONE),
    ],
)
def test_the_lasting_reason_is_told_before_the_passing_one(changes: dict[str, object], ready: Ready) -> None:
    assert ready_of(MAC._replace(**changes)) is ready  # type: ignore[arg-type]


def test_as_one_thing_after_another_is_mended_the_next_is_named() -> None:
    device = Known("", "13.6", None, "User Enrollment (Device)", False, True, False, True, True)
    mended: list[tuple[dict[str, object], Ready]] = [
        ({}, Ready.GONE),
        ({"enrolled": True}, Ready.NO_CHANNEL),
        ({"enrollment_type": ""}, Ready.UNKNOWN),  # a server that does not tell the type serves devices
        ({"platform": "visionOS"}, Ready.NO_PLATFORM),
        ({"platform": "macOS"}, Ready.TOO_OLD),
        ({"os_version": "14.0"}, Ready.UNKNOWN),
        ({"supervised": False}, Ready.NOT_SUPERVISED),
        ({"supervised": True}, Ready.NO_SERVER),
        ({"declares": True}, Ready.OTHERS),
        ({"declared": False}, Ready.REFUSED),
        ({"refused": False}, Ready.PROVED),
        ({"told": False}, Ready.READY),
    ]
    for changes, ready in mended:
        device = device._replace(**changes)  # type: ignore[arg-type]
        assert ready_of(device) is ready
        assert ready.able == (ready in (Ready.PROVED, Ready.READY))


def test_what_cannot_be_read_is_not_known() -> None:
    for changes in ({"platform": "Windows"}, {"platform": ""}, {"os_version": ""}):
        assert (ready_of(MAC._replace(**changes)), commands_of(MAC._replace(**changes))) == (
            Ready.UNKNOWN,
            Commands.UNKNOWN,
        )


def test_commands_end_with_os_27() -> None:
    versions = {"15.6": Commands.WORK, "26.2": Commands.DEPRECATED, "27.0": Commands.GONE, "": Commands.UNKNOWN}
    assert {text: commands_of(MAC._replace(os_version=text)) for text in versions} == versions
    assert commands_of(MAC._replace(platform="watchOS", os_version="27.0")) is Commands.NONE
    assert commands_of(MAC._replace(platform="iPadOS", os_version="8.4")) is Commands.NONE  # too old for them
    assert commands_of(MAC._replace(os_version="28.1")) is Commands.GONE


def test_every_standing_has_a_remedy() -> None:
    assert set(REMEDIES) == set(Ready)
