"""What is expected of a reply, as data: good replies depart in nothing, and each departure is named."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.protocol.commands import (
    AvailableOSUpdates,
    DeclarativeManagement,
    DeviceInformation,
    OSUpdateStatus,
    ScheduleOSUpdate,
    ScheduleOSUpdateScan,
    SecurityInfo,
    UpdateRequest,
    request,
)
from osupdate_kit.protocol.expected import REPLIES, deviations
from osupdate_kit.protocol.terms import InstallAction, Platform

KEY = "iOSUpdate23A"
STEP = request(ScheduleOSUpdate(updates=(UpdateRequest(install_action=InstallAction.DEFAULT, product_key=KEY),)))
INFO, LIST, LOOK, SCAN = map(
    request, (DeviceInformation(), AvailableOSUpdates(), OSUpdateStatus(), ScheduleOSUpdateScan(force=True))
)
SECURITY, DECLARE = request(SecurityInfo()), request(DeclarativeManagement())
LATER = request(ScheduleOSUpdate(updates=(UpdateRequest(install_action=InstallAction.INSTALL_LATER, product_key=KEY),)))
RESULT = {"ProductKey": KEY, "InstallAction": "DownloadOnly", "Status": "Downloading"}
ITEM = {
    "ProductKey": KEY, "HumanReadableName": "iPadOS 26.6.1", "ProductName": "iPadOS", "Version": "26.6.1",
    "Build": "23G", "DownloadSize": 10, "InstallSize": 20,
}  # fmt: skip
ABOUT = {"OSVersion": "26", "BuildVersion": "23B", "SerialNumber": "S", "ProductName": "iPad1,1", "IsSupervised": True}
UNLISTED = [{"ErrorDomain": "SUMacController", "ErrorCode": 9}]
OTHER = [RESULT | {"InstallAction": "InstallLater"}]
HALF = [{"ProductKey": KEY, "Status": "Sleeping"}]


def reply(status: str = "Acknowledged", **words: Any) -> dict[str, Any]:
    return {"UDID": "A", "CommandUUID": "U", "Status": status, **words}


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        (STEP, reply(UpdateResults=[RESULT])),
        (STEP, reply("NotNow")),
        (STEP, reply("Error", ErrorChain=[{"ErrorDomain": "MCMDMErrorDomain", "ErrorCode": 12048}])),
        (LIST, reply(AvailableOSUpdates=[ITEM])),
        (LIST, reply(AvailableOSUpdates=[])),
        (LOOK, reply(OSUpdateStatus=[])),
        (INFO, reply(QueryResponses=ABOUT)),
        (SCAN, reply()),  # on an iPad: it means nothing there
    ],
)
def test_a_good_reply_departs_in_nothing(asked: dict[str, Any], fields: dict[str, Any]) -> None:
    assert [d for d in deviations(asked, fields, Platform.IPADOS) if not d.known] == []


@pytest.mark.parametrize(
    ("asked", "fields", "rule", "words", "known"),
    [
        (STEP, reply(), "UpdateResults", "missing", True),
        (STEP, reply(UpdateResults=OTHER), "InstallAction", "InstallLater", True),
        (STEP, reply(UpdateResults=HALF), "UpdateResults", "InstallAction", False),
        (STEP, reply("CommandFormatError"), "Status", "CommandFormatError", False),
        (STEP, reply("Error", ErrorChain=UNLISTED), "ErrorCode", "SUMacController 9", True),
        (LIST, reply(AvailableOSUpdates=[{"ProductKey": KEY}]), "AvailableOSUpdates", "InstallSize", False),
        (LIST, reply(), "AvailableOSUpdates", "missing", False),
        (INFO, reply("NotNow"), "Status", "NotNow to DeviceInformation", False),
        (INFO, reply(QueryResponses={"OSVersion": "26.1"}), "QueryResponses", "BuildVersion", False),
        (INFO, {"Status": "Sleeping", "UDID": "A"}, "S01", "Status", False),
    ],
)  # fmt: skip
def test_each_departure_is_named_with_who_has_met_it(
    asked: dict[str, Any], fields: dict[str, Any], rule: str, words: str, known: bool
) -> None:
    found = [one for one in deviations(asked, fields, Platform.IPADOS) if one.rule == rule and words in one.seen]
    assert found, deviations(asked, fields, Platform.IPADOS)
    assert bool(found[0].known) is known


LISTED = [{"ErrorDomain": "MCMDMErrorDomain", "ErrorCode": 12054}]


@pytest.mark.parametrize(
    ("asked", "fields", "platform", "found"),
    [
        (STEP, reply(), None, [
            ("UpdateResults", "missing", "in every Acknowledged reply",
             "Missing after a restart and a resend, and always from iOS 11.3.1 (openradar-mirror 19740)."),
        ]),
        (LOOK, reply(), None, [("OSUpdateStatus", "missing", "in every Acknowledged reply", "")]),
        (LOOK, reply(), Platform.VISIONOS, []),
        (SCAN, reply(), None, [("ScanInitiated", "missing", "in every Acknowledged reply", "")]),
        (SCAN, reply(ScanInitiated=True), Platform.MACOS, []),
        (SECURITY, reply(SecurityInfo={}), Platform.MACOS, []),
        (DECLARE, reply(), Platform.IPADOS, []),
        (STEP, reply(UpdateResults=OTHER), None, [
            ("InstallAction", "InstallLater", "DownloadOnly or InstallASAP", "It may differ from the request (Apple)."),
        ]),
        (STEP, reply(UpdateResults=[RESULT, RESULT | {"InstallAction": "InstallASAP"}]), None, []),
        (STEP, reply(UpdateResults=[RESULT | {"InstallAction": "Error", "ErrorChain": LISTED}]), None, []),
        (LATER, reply(UpdateResults=OTHER), None, []),
        (LATER, reply(UpdateResults=[RESULT]), None, [
            ("InstallAction", "DownloadOnly", "InstallLater", "It may differ from the request (Apple)."),
        ]),
        (STEP, reply(UpdateResults=[RESULT | {"ErrorChain": [*LISTED, *UNLISTED]}]), None, [
            ("ErrorCode", "SUMacController 9", "a code of the kit's list", "Codes may change (Apple)."),
        ]),
        (STEP, reply("Error", ErrorChain=[{"ErrorDomain": "x" * 90, "ErrorCode": 1}]), None, [
            ("ErrorCode", f"{'x' * 80} 1", "a code of the kit's list", "Codes may change (Apple)."),
        ]),
        (STEP, reply("CommandFormatError"), None, [
            ("Status", "CommandFormatError", "a request that this device can read", ""),
        ]),
        (INFO, reply("NotNow"), Platform.IOS, [
            ("Status", "NotNow to DeviceInformation", "an answer at any time, on iOS and iPadOS", ""),
        ]),
        (INFO, reply("NotNow"), Platform.MACOS, []),
        (INFO, reply("NotNow"), None, []),
        (SECURITY, reply("NotNow"), Platform.IOS, []),
        (INFO, reply(QueryResponses={"OSVersion": "26.1", "BuildVersion": "B", "ProductName": "P"}), None, [
            ("QueryResponses", "an item without SerialNumber, IsSupervised", "required by Apple's schema", ""),
        ]),
        (LIST, reply(AvailableOSUpdates=[ITEM, {}, "x"]), Platform.TVOS, [
            *(("S06", f"{key} is missing", "what the rule says", "")
              for key in ("ProductKey", "HumanReadableName", "Version", "Build")),
            ("S06", "AvailableOSUpdates holds no dictionary: 'x'", "what the rule says", ""),
            ("AvailableOSUpdates", "an item without ProductKey, HumanReadableName, Version, Build, DownloadSize, "
             "ProductName, InstallSize", "required by Apple's schema", ""),
        ]),
        (LIST, {"Status": "Sleeping"}, None, [
            ("S01", "Status 'Sleeping' is none of a device's five.", "a reply that can be read", ""),
        ]),
    ],
)  # fmt: skip
def test_a_departure_is_told_with_what_was_expected(
    asked: dict[str, Any], fields: dict[str, Any], platform: Platform | None, found: list[tuple[str, str, str, str]]
) -> None:
    assert deviations(asked, fields, platform) == found


def test_what_one_platform_sends_is_not_asked_of_another() -> None:
    mac = {key: ITEM[key] for key in ("ProductKey", "HumanReadableName", "Version", "Build", "DownloadSize")}
    mac |= {"HumanReadableNameLocale": "en", "AppIdentifiersToClose": []}
    assert deviations(LIST, reply(AvailableOSUpdates=[mac]), Platform.MACOS) == []
    assert deviations(LIST, reply(AvailableOSUpdates=[mac]), Platform.IPADOS)
    assert deviations(SCAN, reply(), Platform.MACOS)[0].rule == "ScanInitiated"


def test_every_key_that_is_expected_is_one_that_is_kept() -> None:
    """Else each reply would depart, for the kit itself drops what it does not know."""
    from osupdate_kit.servers.events import _OURS

    for one in REPLIES.values():
        shape = _OURS[one.holds]
        assert set(one.keys) <= set(shape or {}), one.holds


@given(
    fields=st.dictionaries(
        st.sampled_from(["Status", "UDID", "CommandUUID", "UpdateResults", "ErrorChain", "QueryResponses", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=3),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
            max_leaves=6,
        ),
    ),
    asked=st.sampled_from([STEP, INFO, LIST, LOOK, SCAN]),
)
def test_no_reply_raises(fields: dict[str, Any], asked: dict[str, Any]) -> None:
    for platform in (None, Platform.MACOS, Platform.IOS):
        deviations(asked, fields, platform)
