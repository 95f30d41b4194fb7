"""Replies are read liberally: all that is readable is kept, all that breaks a rule is remarked, nothing crashes."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from osupdate_kit.errors import ProtocolError
from osupdate_kit.protocol.causes import CODES, STATUS_FAILURES, FailureClass
from osupdate_kit.protocol.results import (
    AvailableUpdate,
    CommandResult,
    DeviceReport,
    ErrorItem,
    Failure,
    SecurityReport,
    UpdateProgress,
    UpdateResult,
    classify,
    failure_of,
    read_result,
    reading,
)
from osupdate_kit.protocol.rules import AVAILABLE_KEYS, QUERIES, STATUS_KEYS, check_result
from osupdate_kit.protocol.terms import CommandStatus, InstallAction, Platform, RequestType, UpdateStatus
from osupdate_kit.protocol.versions import OSVersion

MCMDM = "MCMDMErrorDomain"
REPLY = {"Status": "Acknowledged", "UDID": "U", "CommandUUID": "C"}


def reply(status: str = "Acknowledged", **fields: Any) -> CommandResult:
    return read_result(REPLY | {"Status": status} | fields)


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


def test_what_a_device_said_cannot_be_changed_afterwards() -> None:
    result = reply(AvailableOSUpdates=[{}], OSUpdateStatus=[{}], QueryResponses={}, SecurityInfo={})
    assert result.available
    assert result.update_status
    for said in (result, result.available[0], result.update_status[0], result.device, result.security):
        for name in type(said).__struct_fields__:  # type: ignore[union-attr]
            with pytest.raises(AttributeError):
                setattr(said, name, None)


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


@pytest.mark.parametrize(
    ("told", "share"),
    [
        (0, 0.0), (0.25, 0.25), (1, 1.0), (1.5, 0.015), (50.0, 0.5), (100, 1.0), (100.5, None), (-0.5, None),
        (1e9, None), (float("inf"), None), (float("nan"), None), ("half", None), (True, None),
    ],
)  # fmt: skip
def test_a_share_beyond_1_is_read_as_percent_or_not_at_all(told: object, share: float | None) -> None:
    item = {"ProductKey": "K", "IsDownloaded": False, "Status": "Downloading"}
    result = reply(OSUpdateStatus=[item | {"DownloadPercentComplete": told}])
    assert result.update_status is not None
    assert result.update_status[0].download_percent_complete == share
    assert rules_of(result) == ([] if share == told and told is not True else ["S07"])


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


@pytest.mark.parametrize(
    ("told", "level", "rules"),
    [(1, 1.0, []), (75, 0.75, ["R17"]), (101, None, ["R17"]), (-0.5, None, ["R17"]), (float("inf"), None, ["R17"]),
     (float("-inf"), None, ["R17"]), (float("nan"), None, ["R17"])],
)  # fmt: skip
def test_a_battery_is_charged_to_a_share(told: float, level: float | None, rules: list[str]) -> None:
    result = reply(QueryResponses={"OSVersion": "18.7", "BatteryLevel": told})
    assert result.device is not None
    assert (result.device.battery_level, rules_of(result)) == (level, rules)


def test_every_key_of_a_device_stands_under_its_name() -> None:
    texts = {
        "UDID": "udid", "SerialNumber": "serial_number", "DeviceName": "device_name", "BuildVersion": "build_version",
        "SupplementalBuildVersion": "supplemental_build_version",
        "SupplementalOSVersionExtra": "supplemental_os_version_extra", "ProductName": "product_name", "Model": "model",
        "ModelName": "model_name", "TimeZone": "time_zone", "SoftwareUpdateDeviceID": "software_update_device_id",
    }  # fmt: skip
    flags = {
        "IsSupervised": "is_supervised", "IsAppleSilicon": "is_apple_silicon", "IsMultiUser": "is_multi_user",
        "IsMDMLostModeEnabled": "is_mdm_lost_mode_enabled", "AwaitingConfiguration": "awaiting_configuration",
    }  # fmt: skip
    numbers = {"AvailableDeviceCapacity": 12.5, "BatteryLevel": 0}
    empty: dict[str, Any] = {**dict.fromkeys(texts.values(), ""), **dict.fromkeys(flags.values())}
    empty |= {"os_version": None, "available_device_capacity": None, "battery_level": None}
    assert reply(QueryResponses={}).device == DeviceReport(**empty)
    told: dict[str, Any] = {key: f"the {key}" for key in texts} | {"OSVersion": "18.7"} | numbers
    full = empty | {name: f"the {key}" for key, name in texts.items()} | {"os_version": OSVersion.parse("18.7")}
    full |= {"available_device_capacity": 12.5, "battery_level": 0.0}
    assert reply(QueryResponses=told).device == DeviceReport(**full)
    for key, name in flags.items():
        assert reply(QueryResponses={key: True}).device == DeviceReport(**(empty | {name: True}))


def test_the_bootstrap_token_is_told_by_security_info() -> None:
    told = {"BootstrapTokenAllowedForAuthentication": "allowed", "BootstrapTokenRequiredForSoftwareUpdate": True}
    assert reply(SecurityInfo=told).security == SecurityReport(
        bootstrap_token_allowed_for_authentication="allowed",
        bootstrap_token_required_for_software_update=True,
        bootstrap_token_required_for_kernel_extension_approval=None,
    )
    assert reply(SecurityInfo={"BootstrapTokenRequiredForKernelExtensionApproval": False}).security == SecurityReport(
        bootstrap_token_allowed_for_authentication="",
        bootstrap_token_required_for_software_update=None,
        bootstrap_token_required_for_kernel_extension_approval=False,
    )


def test_every_key_of_a_listed_update_stands_under_its_name() -> None:
    texts = {
        "ProductKey": "product_key", "HumanReadableName": "human_readable_name", "ProductName": "product_name",
        "HumanReadableNameLocale": "human_readable_name_locale", "Version": "version", "Build": "build",
        "MetadataURL": "metadata_url", "SupplementalBuildVersion": "supplemental_build_version",
        "SupplementalOSVersionExtra": "supplemental_os_version_extra",
    }  # fmt: skip
    flags = {
        "IsCritical": "is_critical", "IsConfigDataUpdate": "is_config_data_update",
        "IsFirmwareUpdate": "is_firmware_update", "IsMajorOSUpdate": "is_major_os_update",
        "IsSecurityResponse": "is_security_response", "RestartRequired": "restart_required",
        "AllowsInstallLater": "allows_install_later", "RequiresBootstrapToken": "requires_bootstrap_token",
    }  # fmt: skip
    told: dict[str, Any] = {key: f"the {key}" for key in texts} | {
        "DownloadSize": 10, "InstallSize": 20, "AppIdentifiersToClose": ["a", "b"],
        "DeferredUntil": datetime(2026, 1, 2),
    }  # fmt: skip
    listed: dict[str, Any] = dict.fromkeys(flags.values()) | {name: f"the {key}" for key, name in texts.items()}
    listed |= {"download_bytes": 10, "install_bytes": 20, "app_identifiers_to_close": ("a", "b")}
    listed |= {"deferred_until": datetime(2026, 1, 2, tzinfo=UTC)}
    result = reply(AvailableOSUpdates=[told])
    assert (result.available, result.remarks) == ((AvailableUpdate(**listed),), ())
    for key, name in flags.items():
        assert reply(AvailableOSUpdates=[told | {key: True}]).available == (AvailableUpdate(**(listed | {name: True})),)


def test_of_an_old_and_a_new_name_the_new_one_counts() -> None:
    both = {"IsConfigDataUpdate": False, "IsConfigurationDataUpdate": True}
    available = reply(AvailableOSUpdates=[both]).available
    assert available is not None
    assert available[0].is_config_data_update is False


def test_every_key_of_an_update_under_way_stands_under_its_name() -> None:
    moment, noon = datetime(2026, 1, 2, 12, tzinfo=timezone(timedelta(hours=1))), datetime(2026, 1, 2, 11, tzinfo=UTC)
    told = {
        "ProductKey": "K", "IsDownloaded": True, "DownloadPercentComplete": 0.5, "Status": "Installing",
        "MaxDeferrals": 5, "DeferralsRemaining": 3, "NextScheduledInstall": moment, "PastNotifications": [moment],
    }  # fmt: skip
    result = reply(OSUpdateStatus=[told])
    assert result.update_status == (
        UpdateProgress(
            product_key="K", is_downloaded=True, download_percent_complete=0.5, status=UpdateStatus.INSTALLING,
            max_deferrals=5, deferrals_remaining=3, next_scheduled_install=noon, past_notifications=(noon,),
        ),
    )  # fmt: skip
    assert result.remarks == ()


def test_what_an_update_under_way_does_not_tell_is_remarked_once_each() -> None:
    result = reply(OSUpdateStatus=[{"PastNotifications": "never"}])
    assert result.update_status == (
        UpdateProgress(product_key="", is_downloaded=None, download_percent_complete=None, status=None),
    )
    assert result.remarks == (
        "S07: IsDownloaded is missing", "S07: DownloadPercentComplete is missing",
        "S08: PastNotifications is no array: 'never'", "S07: ProductKey is missing", "S07: Status is missing",
    )  # fmt: skip


def test_an_update_under_way_has_one_of_three_words() -> None:
    item = {"ProductKey": "K", "IsDownloaded": True, "DownloadPercentComplete": 1.0}
    for status in UpdateStatus:
        result = reply(OSUpdateStatus=[item | {"Status": status.value}])
        assert result.update_status is not None
        known = status in (UpdateStatus.IDLE, UpdateStatus.DOWNLOADING, UpdateStatus.INSTALLING)
        assert result.update_status[0].status == (status if known else None)
        assert result.remarks == (() if known else (f"S07: Status '{status}' is not Apple's",))


def test_what_is_listed_without_its_names_is_remarked() -> None:
    assert reply(AvailableOSUpdates=[{}]).remarks == tuple(
        f"S06: {key} is missing" for key in ("ProductKey", "HumanReadableName", "Version", "Build")
    )
    assert reply(UpdateResults=[{}]).remarks == tuple(
        f"S03: {key} is missing" for key in ("InstallAction", "ProductKey", "Status")
    )


def test_a_link_of_a_chain_speaks_its_own_language_or_else_english() -> None:
    english, own = {"USEnglishDescription": "No space"}, {"LocalizedDescription": "Kein Platz"}
    chain = [link(MCMDM, 12054) | own | english, {"ErrorDomain": "D", "LocalizedDescription": ""} | english, {}]
    result = reply("Error", ErrorChain=chain)
    assert result.errors == (
        ErrorItem(MCMDM, 12054, "Kein Platz"), ErrorItem("D", None, "No space"), ErrorItem("", None, ""),
    )  # fmt: skip
    inner = reply(UpdateResults=[update("Error", "InstallFailed", link("D", 5, "no"))])
    assert inner.update_results == (
        UpdateResult("K", InstallAction.ERROR, UpdateStatus.INSTALL_FAILED, (ErrorItem("D", 5, "no"),)),
    )
    assert (result.remarks, inner.remarks) == ((), ())


@pytest.mark.parametrize(
    ("key", "rule", "name"),
    [
        ("ErrorChain", "S05", "errors"),
        ("UpdateResults", "S03", "update_results"),
        ("AvailableOSUpdates", "S06", "available"),
        ("OSUpdateStatus", "S07", "update_status"),
    ],
)
def test_what_should_be_an_array_of_dictionaries_and_is_not_is_remarked(key: str, rule: str, name: str) -> None:
    result = read_result(REPLY | {key: {"a": 1, "b": 2}})
    assert getattr(result, name) == (() if name == "errors" else None)
    assert result.remarks == (f"{rule}: {key} is no array: dict of 2",)
    result = read_result(REPLY | {key: [[1, 2, 3]]})
    assert (getattr(result, name), result.remarks) == ((), (f"{rule}: {key} holds no dictionary: list of 3",))


@pytest.mark.parametrize(("key", "name"), [("QueryResponses", "device"), ("SecurityInfo", "security")])
def test_what_should_be_a_dictionary_and_is_not_is_remarked(key: str, name: str) -> None:
    result = read_result(REPLY | {key: [5]})
    assert (getattr(result, name), result.remarks) == (None, (f"R17: {key} is no dictionary: list of 1",))


def test_a_stranger_s_value_is_cut_for_people() -> None:
    for value in ("x" * 81, b"x" * 81):
        cut = repr(value[:80])
        assert reply(SecurityInfo=value).remarks == (f"R17: SecurityInfo is no dictionary: {cut}",)
        assert reply(ScanInitiated=value).remarks == (f"S09: ScanInitiated is no boolean: {cut}",)


@pytest.mark.parametrize(
    ("told", "read", "right"),
    [
        (True, True, True), (False, False, True), (1, True, True), (0.0, False, True), (2, None, False),
        (-1, None, False), ("true", None, False), ([], None, False),
    ],
)  # fmt: skip
def test_a_boolean_may_be_written_as_0_or_1(told: object, read: bool | None, right: bool) -> None:
    result = reply(ScanInitiated=told)
    assert result.scan_initiated is read
    assert rules_of(result) == ([] if right else ["S09"])


@pytest.mark.parametrize(
    ("told", "read", "right"),
    [
        (12048, 12048, True), (12048.0, 12048, True), (-5, -5, True), (12048.5, None, False), ("12048", 12048, False),
        ("9" * 19, 10**19 - 1, False), ("9" * 20, None, False), ("-1", None, False), ("²", None, False),
        (True, None, False), (None, None, True),
    ],
)  # fmt: skip
def test_an_integer_may_be_written_as_a_real_and_is_read_from_digits(told: object, read: object, right: bool) -> None:
    result = reply("Error", ErrorChain=[{"ErrorCode": told}])
    assert (result.errors[0].code, rules_of(result)) == (read, [] if right else ["S05"])


def test_a_text_that_is_a_number_is_kept_as_its_digits() -> None:
    for told, kept in ((5, "5"), (18.1, "18.1"), (True, ""), (b"x", ""), ([], "")):
        result = reply(QueryResponses={"BuildVersion": told})
        assert result.device is not None
        assert (result.device.build_version, rules_of(result)) == (kept, ["R17"])


def test_texts_of_an_array_are_kept_and_others_remarked() -> None:
    item = {"ProductKey": "K", "HumanReadableName": "N", "Version": "1", "Build": "B"}
    for told, kept, remark in (
        (["a", 5, "b"], ("a", "b"), "S06: AppIdentifiersToClose holds something that is no string"),
        ("a", (), "S06: AppIdentifiersToClose is no array: 'a'"),
    ):
        result = reply(AvailableOSUpdates=[item | {"AppIdentifiersToClose": told}])
        assert result.available is not None
        assert (result.available[0].app_identifiers_to_close, result.remarks) == (kept, (remark,))
    later = reply(AvailableOSUpdates=[item | {"DeferredUntil": "soon"}])
    assert later.remarks == ("S06: DeferredUntil is no date: 'soon'",)


def test_an_enrollment_id_stands_in_for_the_udid() -> None:
    hidden = read_result({"Status": "Idle", "EnrollmentID": "E"})
    assert (hidden.udid, hidden.enrollment_id, hidden.remarks) == ("", "E", ())
    assert rules_of(read_result({"Status": "Idle"})) == ["S01"]
    both = read_result({"Status": "Idle", "UDID": "U", "EnrollmentID": "E"})
    assert (both.udid, both.enrollment_id, both.remarks) == ("U", "", ())
    odd = read_result({"Status": "Idle", "UDID": 5, "EnrollmentID": "E"})
    assert (odd.udid, odd.enrollment_id, odd.remarks) == ("5", "E", ("S01: UDID is no string: 5",))


def test_all_replies_but_idle_name_their_command() -> None:
    for status in CommandStatus:
        named, nameless = reply(status.value), reply(status.value, CommandUUID="")
        assert (named.command_uuid, nameless.command_uuid) == ("C", None)
        idle = status is CommandStatus.IDLE
        assert named.remarks == (("S01: Idle names a CommandUUID",) if idle else ())
        assert nameless.remarks == (() if idle else ("S01: a report names no CommandUUID",))


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
    vague = [link("com.example", 1, "x"), link(MCMDM, 12057, "outer"), link(MCMDM, 12062, "inner")]
    assert failure_of(reply("Error", ErrorChain=vague)) == Failure(FailureClass.RETRY, MCMDM, 12057, "outer")
    unlisted = [link("com.example", 1, "outer"), link("com.example", 2, "inner")]
    assert failure_of(reply("Error", ErrorChain=unlisted)) == Failure(FailureClass.UNKNOWN, "com.example", 1, "outer")
    assert failure_of(reply("Error")) == Failure(FailureClass.UNKNOWN, "", None, "The device gave no reason.")


def test_a_code_as_a_real_is_the_same_code() -> None:
    assert reading(reply("Error", ErrorChain=[link(MCMDM, 12048.0)])) == "no_update"


def test_a_malformed_command_is_our_bug_unless_the_device_does_not_know_it() -> None:
    assert reading(reply("CommandFormatError")) == "failed:bug"
    assert reading(reply("CommandFormatError", ErrorChain=[link(MCMDM, 12021)])) == "failed:unsupported"
    listed = reply("CommandFormatError", ErrorChain=[link(MCMDM, 12048, "none")])
    assert failure_of(listed) == Failure(FailureClass.BUG, MCMDM, 12048, "none")


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
        (update("Error", "Installing"), FailureClass.PROGRESS),
        (update("Error", "Downloading", link("com.example", 1)), FailureClass.UNKNOWN),
        (update("Error", "Idle", link(MCMDM, 12057)), FailureClass.RETRY),
        (update("InstallASAP", "InstallInsufficientSpace", link(MCMDM, 12062)), FailureClass.SPACE),
        (update("InstallASAP", "InstallFailed", link(MCMDM, 12061)), FailureClass.POWER),
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


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (update("Error", "InstallFailed"), "InstallFailed"),
        (update("Error", "InstallFailed", link("com.example", 1, "No.")), "No."),
        (update("Error", "Preparing"), "The device gave no reason."),
    ],
)
def test_the_words_of_a_failed_item_are_its_chain_s_or_else_its_status(item: dict[str, Any], text: str) -> None:
    found = failure_of(reply(UpdateResults=[item, update("Error", "Idle")]))
    assert found is not None
    assert found.text == text


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


def test_an_installation_is_further_than_a_prompt_that_is_further_than_a_download() -> None:
    item = {"ProductKey": "K", "DownloadPercentComplete": 1.0}
    items = {
        "verify": item | {"IsDownloaded": False, "Status": "Idle"},
        "downloading": item | {"IsDownloaded": False, "Status": "Downloading"},
        "downloaded": item | {"IsDownloaded": True, "Status": "Downloading"},
        "deferred": item | {"IsDownloaded": True, "Status": "Idle", "DeferralsRemaining": 1},
        "installing": item | {"IsDownloaded": True, "Status": "Installing", "DeferralsRemaining": 1},
    }
    words = list(items)
    for first in words:
        for second in words:
            furthest = words[max(words.index(first), words.index(second))]
            assert reading(reply(OSUpdateStatus=[items[first], items[second]])) == furthest


def test_what_an_update_result_says_is_one_word() -> None:
    for status, word in (("Idle", "verify"), ("Downloading", "downloading"), ("Installing", "installing")):
        assert reading(reply(UpdateResults=[update(status=status)])) == word
        assert reading(reply(UpdateResults=[update(status=status), update(status="Preparing")])) == word
    assert reading(reply(UpdateResults=[])) == "verify"
    assert reading(reply(UpdateResults=[update("Error", "Idle", link(MCMDM, 12048))])) == "no_update"


def test_only_a_reported_version_is_done() -> None:
    target = OSVersion.parse("26.1")
    for told, word in (("26.1", "done"), ("26.1.0", "done"), ("26.10", "done"), ("26.0.9", "not_done")):
        assert reading(reply(QueryResponses={"OSVersion": told}), target=target) == word
    assert reading(reply(QueryResponses={"OSVersion": "26.1"})) == "acknowledged"
    assert reading(reply(QueryResponses={}), target=target) == "acknowledged"


def test_an_acknowledgement_without_more_is_to_be_verified_only_of_what_was_scheduled() -> None:
    for kind in RequestType:
        verify = kind is RequestType.SCHEDULE_OS_UPDATE
        assert reading(reply(), kind) == ("verify" if verify else "acknowledged")
    assert reading(reply()) == "acknowledged"
    assert reading(read_result({"Status": "Idle", "UDID": "U"})) == "idle"
    assert reading(reply("NotNow")) == "not_now"
