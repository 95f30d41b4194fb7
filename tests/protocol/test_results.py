"""Replies are read liberally: all that is readable is kept, all that breaks a rule is remarked, nothing crashes."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from osupdate_kit.errors import ProtocolError
from osupdate_kit.protocol.causes import CODES, STATUS_FAILURES, FailureClass
from osupdate_kit.protocol.results import (
    CommandResult,
    ErrorItem,
    Failure,
    classify,
    failure_of,
    read_result,
    reading,
)
from osupdate_kit.protocol.rules import AVAILABLE_KEYS, QUERIES, STATUS_KEYS, check_result
from osupdate_kit.protocol.terms import CommandStatus, InstallAction, Platform, RequestType, UpdateStatus
from osupdate_kit.protocol.versions import OSVersion

MCMDM = "MCMDMErrorDomain"


def reply(status: str = "Acknowledged", **fields: Any) -> CommandResult:
    return read_result({"Status": status, "UDID": "U", "CommandUUID": "C"} | fields)


def link(domain: str, code: Any, text: str = "?") -> dict[str, Any]:
    return {"ErrorDomain": domain, "ErrorCode": code, "LocalizedDescription": text}


def update(action: Any = "InstallASAP", status: Any = "Idle", *errors: dict[str, Any]) -> dict[str, Any]:
    item = {"ProductKey": "K", "InstallAction": action, "Status": status}
    return item | {"ErrorChain": list(errors)} if errors else item


def rules_of(result: CommandResult) -> list[str]:
    return [remark.partition(":")[0] for remark in result.remarks]


# --- reading ---


def test_a_missing_key_is_not_an_empty_one() -> None:
    silent = reply()
    assert (silent.update_results, silent.available, silent.update_status) == (None, None, None)
    assert (silent.device, silent.security, silent.scan_initiated) == (None, None, None)
    empty = reply(UpdateResults=[], AvailableOSUpdates=[], OSUpdateStatus=[], QueryResponses={}, SecurityInfo={})
    assert (empty.update_results, empty.available, empty.update_status) == ((), (), ())
    assert empty.device is not None
    assert empty.device.os_version is None
    assert silent.remarks == empty.remarks == ()


def test_what_is_broken_is_kept_as_far_as_readable_and_remarked() -> None:
    result = reply(UpdateResults=[update("Default", "Preparing"), 7, {"ProductKey": 5}])
    assert result.update_results is not None
    first, second = result.update_results
    assert (first.product_key, first.install_action, first.status) == ("K", InstallAction.DEFAULT, None)
    assert second.product_key == "5"
    assert set(rules_of(result)) == {"S03"}
    assert any("'Preparing'" in remark for remark in result.remarks)
    assert any("no dictionary: 7" in remark for remark in result.remarks)


def test_old_names_and_kinds_of_numbers_are_read_without_remark() -> None:
    item = {"ProductKey": "K", "HumanReadableName": "N", "Version": "1", "Build": "B"}
    result = reply(
        AvailableOSUpdates=[item | {"IsConfigurationDataUpdate": 1, "DownloadSize": 2147483648.0, "IsCritical": 0}],
        OSUpdateStatus=[{"ProductKey": "K", "IsDownloaded": 1, "DownloadPercentComplete": 1, "Status": "Idle"}],
    )
    assert result.remarks == ()
    assert result.available is not None
    assert result.update_status is not None
    (listed,), (progress,) = result.available, result.update_status
    assert (listed.is_config_data_update, listed.download_bytes, listed.is_critical) == (True, 2**31, False)
    assert (progress.is_downloaded, progress.download_percent_complete) == (True, 1.0)


def test_dates_are_utc_whatever_their_kind() -> None:
    naive, aware = datetime(2026, 1, 2, 3), datetime(2026, 1, 2, 3, tzinfo=UTC)
    item = {"ProductKey": "K", "IsDownloaded": True, "DownloadPercentComplete": 1.0, "Status": "Idle"}
    result = reply(OSUpdateStatus=[item | {"NextScheduledInstall": naive, "PastNotifications": [naive, "soon"]}])
    assert result.update_status is not None
    assert result.update_status[0].next_scheduled_install == aware
    assert result.update_status[0].past_notifications == (aware,)
    assert rules_of(result) == ["S08"]


def test_a_share_beyond_1_is_read_as_percent_or_not_at_all() -> None:
    item = {"ProductKey": "K", "IsDownloaded": False, "Status": "Downloading"}
    for told, share in ((0.25, 0.25), (50.0, 0.5), (-1.0, None), (1e9, None), (float("nan"), None), ("half", None)):
        result = reply(OSUpdateStatus=[item | {"DownloadPercentComplete": told}])
        assert result.update_status is not None
        assert result.update_status[0].download_percent_complete == share
        assert rules_of(result) == ([] if share == told else ["S07"])


def test_the_device_tells_of_itself() -> None:
    told = {"UDID": "U", "OSVersion": "18.7.2", "BuildVersion": "22H124", "SupplementalBuildVersion": "22H124a",
            "SupplementalOSVersionExtra": "(a)", "IsSupervised": True, "ProductName": "iPad13,1", "ModelName": "iPad",
            "BatteryLevel": -1, "AvailableDeviceCapacity": 12, "IsMultiUser": 0, "DeviceName": "<b>",
            "SerialNumber": "S", "TimeZone": "Europe/Berlin", "AwaitingConfiguration": False}  # fmt: skip
    result = reply(QueryResponses=told)
    device = result.device
    assert device is not None
    assert device.os_version == OSVersion.parse("18.7.2")
    assert (device.build_version, device.supplemental_build_version) == ("22H124", "22H124a")
    assert (device.is_supervised, device.is_multi_user, device.is_apple_silicon) == (True, False, None)
    assert (device.battery_level, device.available_device_capacity) == (None, 12.0)
    assert result.remarks == ()
    odd = reply(QueryResponses={"OSVersion": "eighteen"})
    assert odd.device is not None
    assert odd.device.os_version is None
    assert rules_of(odd) == ["R13"]


def test_the_bootstrap_token_is_told_by_security_info() -> None:
    told = {"BootstrapTokenAllowedForAuthentication": "allowed", "BootstrapTokenRequiredForSoftwareUpdate": True}
    security = reply(SecurityInfo=told).security
    assert security is not None
    assert security.bootstrap_token_allowed_for_authentication == "allowed"
    assert security.bootstrap_token_required_for_software_update is True
    assert security.bootstrap_token_required_for_kernel_extension_approval is None


def test_an_enrollment_id_stands_in_for_the_udid() -> None:
    hidden = read_result({"Status": "Idle", "EnrollmentID": "E"})
    assert (hidden.udid, hidden.enrollment_id, hidden.remarks) == ("", "E", ())
    assert rules_of(read_result({"Status": "Idle"})) == ["S01"]


@pytest.mark.parametrize("word", [None, "", "Queued", "idle", 1, [], {}, True])
def test_without_a_known_status_there_is_no_reply(word: object) -> None:
    with pytest.raises(ProtocolError, match="S01") as caught:
        read_result({"Status": word, "UDID": "U"})
    assert caught.value.remedy


# --- anything at all ---

TOP = ["Status", "UDID", "EnrollmentID", "CommandUUID", "ErrorChain", "UpdateResults", "AvailableOSUpdates",
       "OSUpdateStatus", "QueryResponses", "SecurityInfo", "ScanInitiated"]  # fmt: skip
KEYS = [*TOP, *AVAILABLE_KEYS, *STATUS_KEYS, *QUERIES, "InstallAction", "ErrorDomain", "ErrorCode",
        "LocalizedDescription", "BootstrapTokenRequiredForSoftwareUpdate"]  # fmt: skip
WORDS = st.sampled_from(
    ["Acknowledged", "Idle", "Error", "NotNow", "Default", "Installing", "18.1", "٣", "²", "9" * 5000]
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), WORDS, st.binary(max_size=5),
    st.datetimes(),
)  # fmt: skip
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)
)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from(TOP), ANYTHING, max_size=8), st.sampled_from(CommandStatus))
@example(
    {"UpdateResults": [{"InstallAction": "Error", "ErrorChain": [{"ErrorCode": float("inf")}]}]}, CommandStatus.ERROR
)
def test_no_values_raise_anything_but_our_error(fields: dict[str, Any], status: CommandStatus) -> None:
    for told in (fields, fields | {"Status": status.value, "UDID": "U"}):
        for kind in (RequestType.SCHEDULE_OS_UPDATE, RequestType.OS_UPDATE_STATUS):
            check_result(told, kind, Platform.MACOS, OSVersion.parse("15.1"))
        try:
            result = read_result(told)
        except ProtocolError:
            continue
        reading(result, target=OSVersion.parse("18.1"))
        failure_of(result)
        assert all(re.match(r"[RS]\d\d: ", remark) and len(remark) < 500 for remark in result.remarks)


# --- failures ---


def test_every_failing_status_has_a_class() -> None:
    going_on = {UpdateStatus.IDLE, UpdateStatus.DOWNLOADING, UpdateStatus.INSTALLING}
    assert set(STATUS_FAILURES) == set(UpdateStatus) - going_on


@pytest.mark.parametrize(("pair", "failure"), CODES.items())
def test_a_known_code_has_its_class_wherever_it_stands(pair: tuple[str, int | None], failure: FailureClass) -> None:
    known = ErrorItem(*pair, "text")
    assert classify((known,)) is failure
    assert classify((ErrorItem("com.example", 1, ""), known)) is failure
    assert failure_of(reply("Error", ErrorChain=[link(*pair)])) == Failure(failure, *pair, "?")


def test_the_link_that_names_a_cause_outranks_the_vague_one_around_it() -> None:
    chain = [link(MCMDM, 12062, "failed"), link("com.example", 1), link(MCMDM, 12060, "no space")]
    assert failure_of(reply("Error", ErrorChain=chain)) == Failure(FailureClass.SPACE, MCMDM, 12060, "no space")
    assert classify(()) is FailureClass.UNKNOWN


def test_a_code_as_a_real_is_the_same_code() -> None:
    assert reading(reply("Error", ErrorChain=[link(MCMDM, 12048.0)])) == "no_update"


def test_a_malformed_command_is_our_bug_unless_the_device_does_not_know_it() -> None:
    assert reading(reply("CommandFormatError")) == "failed:bug"
    assert reading(reply("CommandFormatError", ErrorChain=[link(MCMDM, 12021)])) == "failed:unsupported"


def test_an_acknowledged_reply_fails_only_when_nothing_in_it_goes_on() -> None:
    failed = update("InstallASAP", "InstallFailed")
    assert failure_of(reply(UpdateResults=[failed])) == Failure(FailureClass.FAILED, "", None, "InstallFailed")
    assert failure_of(reply(UpdateResults=[failed, update(status="Installing")])) is None
    assert reading(reply(UpdateResults=[failed, update(status="Installing")])) == "installing"
    assert failure_of(reply(UpdateResults=[])) is None
    assert failure_of(reply(UpdateResults=[update("InstallASAP", "Idle", link(MCMDM, 12048))])) is None


@pytest.mark.parametrize(
    ("item", "failure"),
    [
        (update("Error", "Idle"), FailureClass.UNKNOWN),
        (update("Error", "Preparing"), FailureClass.UNKNOWN),
        (update("Error", "Downloading"), FailureClass.PROGRESS),
        (update("Error", "Idle", link(MCMDM, 12051)), FailureClass.PROGRESS),
        (update("Error", "Idle", link(MCMDM, 12048)), FailureClass.NO_UPDATE),
        (update("DownloadOnly", "DownloadFailed", link(MCMDM, 12056)), FailureClass.NETWORK),
        (update("DownloadOnly", "DownloadFailed", link("com.example", 1)), FailureClass.RETRY),
        (update("InstallASAP", "InstallInsufficientPower", link("com.example", 1)), FailureClass.POWER),
        (update("InstallASAP", "InstallPhoneCallInProgress"), FailureClass.BUSY),
    ],
)
def test_status_and_chain_of_an_item_make_one_cause(item: dict[str, Any], failure: FailureClass) -> None:
    found = failure_of(reply(UpdateResults=[item]))
    assert found is not None
    assert found.failure_class is failure


def test_idle_and_not_now_are_no_failures() -> None:
    assert failure_of(read_result({"Status": "Idle", "UDID": "U"})) is None
    assert failure_of(reply("NotNow")) is None


def test_of_several_items_the_furthest_is_read() -> None:
    item = {"ProductKey": "K", "IsDownloaded": False, "DownloadPercentComplete": 0.5, "Status": "Downloading"}
    waiting = item | {"IsDownloaded": True, "Status": "Idle", "DeferralsRemaining": 2}
    used_up = waiting | {"DeferralsRemaining": 0}
    assert reading(reply(OSUpdateStatus=[item, waiting])) == "deferred"
    assert reading(reply(OSUpdateStatus=[used_up, item])) == "downloaded"
    assert reading(reply(OSUpdateStatus=[item | {"Status": "Idle"}])) == "verify"
    assert reading(reply(AvailableOSUpdates=[]), RequestType.AVAILABLE_OS_UPDATES) == "acknowledged"
