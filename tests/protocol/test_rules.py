"""Each rule at its bounds: which requests and replies break it, which do not, and the words in which it is told."""

from typing import Any

import pytest

from osupdate_kit.protocol.rules import (
    ACTIVATION,
    ENFORCEMENT,
    RULES,
    SETTINGS,
    Availability,
    Book,
    Findings,
    RequestContext,
    Violation,
    check_request,
    check_result,
    command_available,
    command_deprecated,
    declaration_available,
    is_major,
    key_available,
    query_available,
    status_items,
)
from osupdate_kit.protocol.terms import InstallAction, Platform, RequestType
from osupdate_kit.protocol.versions import OSVersion

v = OSVersion.parse
SCHEDULE, LIST, LOOK, SCAN, INFO, SECURITY, DECLARE = RequestType
IOS, IPADOS, MACOS, TVOS, VISIONOS, WATCHOS = Platform


def device(platform: Platform = MACOS, os_version: str = "14.5", **more: Any) -> RequestContext:
    told: dict[str, Any] = {"supervised": True, "access_rights": 8191} | more
    return RequestContext(platform=platform, os_version=v(os_version), **told)


def update(action: Any = "InstallASAP", **keys: Any) -> dict[str, Any]:
    return {"InstallAction": action} | (keys or {"ProductKey": "K"})


def schedule(*updates: Any) -> dict[str, Any]:
    return {"RequestType": "ScheduleOSUpdate", "Updates": list(updates)}


def told(findings: Findings) -> list[str]:
    return [f"{violation.rule} {violation.reason}" for violation in findings.violations]


def broken(findings: Findings) -> list[str]:
    return [violation.rule for violation in findings.violations]


# --- where a thing exists ---


def test_a_thing_exists_from_its_first_version_until_the_one_that_removed_it() -> None:
    row = Availability(v("9.0"), v("26.0"), v("27.0"))
    assert [row.covers(v(text)) for text in ("8.9", "9", "26.9", "27.0", "28")] == [False, True, True, False, False]
    assert Availability(v("9.0")).covers(v("99"))


@pytest.mark.parametrize("kind", [SCHEDULE, LIST, LOOK, SCAN])
def test_the_update_commands_are_deprecated_in_26_and_gone_in_27(kind: RequestType) -> None:
    for text, exists, deprecated in (
        ("25.9", True, False),
        ("26", True, True),
        ("26.9", True, True),
        ("27", False, False),
    ):
        assert command_available(kind, MACOS, v(text)) is exists
        assert command_deprecated(kind, MACOS, v(text)) is deprecated


def test_what_was_never_deprecated_or_never_there_is_not_deprecated() -> None:
    assert not command_deprecated(INFO, MACOS, v("27.0"))
    assert not command_deprecated(SCAN, IOS, v("26.0"))
    assert not command_deprecated(SCHEDULE, MACOS, v("10.10"))


def test_what_nobody_knows_exists_nowhere() -> None:
    assert not query_available("NoSuchQuery", MACOS, v("15.0"))
    assert not key_available("NoSuchKey", MACOS, v("15.0"))
    assert not declaration_available("com.example", MACOS, v("15.0"))
    assert query_available("SoftwareUpdateDeviceID", IPADOS, v("26.9"))
    assert not query_available("SoftwareUpdateDeviceID", IPADOS, v("27.0"))
    assert not key_available("MaxUserDeferrals", MACOS, v("11.7"))
    assert key_available("MaxUserDeferrals", MACOS, v("12.0"))
    assert [declaration_available(ENFORCEMENT, IPADOS, v(text)) for text in ("16.7", "17.0")] == [False, True]
    assert [declaration_available(SETTINGS, TVOS, v(text)) for text in ("18.3", "18.4")] == [False, True]
    assert declaration_available(ACTIVATION, WATCHOS, v("10.0"))


def test_only_known_items_are_subscribed_to() -> None:
    system = (
        "device.operating-system.version",
        "device.operating-system.build-version",
        "device.operating-system.supplemental.build-version",
        "device.operating-system.supplemental.extra-version",
    )
    assert status_items(IPADOS, v("15.0")) == system[:2]
    assert set(status_items(TVOS, v("16.1"))) == {
        *system, "device.identifier.serial-number", "device.identifier.udid",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("installed", "target", "major"),
    [("14.6", "14.7", False), ("14.6", "15.0", True), ("15.0", "14.6", True), ("10.14", "10.15", False)],
)
def test_a_major_upgrade_changes_the_first_number(installed: str, target: str, major: bool) -> None:
    assert is_major(v(installed), v(target)) is major


# --- the findings ---


def test_what_is_found_twice_is_told_once_with_its_remedy() -> None:
    book = Book()
    assert book.findings().valid
    assert book.require(True, "R20", "not said")
    for _ in range(2):
        assert not book.require(False, "R13", "It is no version.")
        book.warn("data_loss")
    book.breaks("R13", "Nor is this.")
    found = book.findings()
    remedy = RULES["R13"].remedy
    assert found.violations == (
        Violation("R13", "It is no version.", remedy),
        Violation("R13", "Nor is this.", remedy),
    )
    assert found.warnings == ("data_loss",)
    assert not found.valid


# --- requests: device and enrolment ---


@pytest.mark.parametrize(
    ("request_type", "at", "words"),
    [
        ("ScheduleOSUpdateScan", device(IPADOS), ["R01 ScheduleOSUpdateScan does not exist on iPadOS."]),
        (
            "OSUpdateStatus",
            device(MACOS, "10.11.4"),
            ["R01 OSUpdateStatus came with macOS 10.11.5; the device has macOS 10.11.4."],
        ),
        ("OSUpdateStatus", device(MACOS, "10.11.5"), []),
        ("OSUpdateStatus", device(IPADOS, "26.9"), []),
        (
            "OSUpdateStatus",
            device(IPADOS, "27"),
            ["R02 OSUpdateStatus is gone since iPadOS 27.0; the device has iPadOS 27."],
        ),
        ("DeviceInformation", device(IPADOS, "27.0"), []),
        ("OSUpdateStatus", device(supervised=False), ["R04 It is not supervised."]),
        ("OSUpdateStatus", device(supervised=None), ["R04 Nobody has said whether it is supervised."]),
        ("AvailableOSUpdates", device(supervised=False), []),
        ("AvailableOSUpdates", device(IPADOS, supervised=None), ["R04 Nobody has said whether it is supervised."]),
        ("SecurityInfo", device(IPADOS, supervised=None), []),
        ("OSUpdateStatus", device(enrollment="user"), ["R05 It came by User Enrollment."]),
        ("OSUpdateStatus", device(enrollment="automated"), []),
        ("DeviceInformation", device(enrollment="user"), []),
        ("OSUpdateStatus", device(channel="user"), ["R06 OSUpdateStatus was meant for a user channel."]),
        ("DeviceInformation", device(IPADOS, channel="user"), []),
        ("SecurityInfo", device(MACOS, channel="user"), []),
        ("SecurityInfo", device(IPADOS, channel="user"), ["R06 SecurityInfo was meant for a user channel."]),
        ("OSUpdateStatus", device(IPADOS, access_rights=4096), []),
        ("OSUpdateStatus", device(IPADOS, access_rights=4095), ["R07 The access rights 4095 lack 4096."]),
        ("OSUpdateStatus", device(IPADOS, access_rights=8192), ["R07 The access rights 8192 lack 4096."]),
        ("OSUpdateStatus", device(MACOS, access_rights=0), []),
        ("OSUpdateStatus", device(IPADOS, shared_ipad=True), []),
        ("OSUpdateStatus", device(ddm_enforcement_active=True), []),
        ("EraseDevice", device(IPADOS, supervised=False), ["R16 'EraseDevice' is no command of the kit."]),
    ],
)
def test_a_device_may_be_sent_a_command_or_each_reason_is_told(
    request_type: str, at: RequestContext, words: list[str]
) -> None:
    queries = {"Queries": ["OSVersion"]} if request_type == "DeviceInformation" else {}
    found = check_request({"RequestType": request_type} | queries, at)
    assert told(found) == words
    assert found.warnings == (("deprecated",) if at.os_version.text == "26.9" else ())


def test_what_is_no_request_at_all_is_one_finding_that_is_short() -> None:
    assert told(check_request({}, device())) == ["R16 'None' is no command of the kit."]
    assert told(check_request({"RequestType": "x" * 99}, device())) == [f"R16 '{'x' * 40}' is no command of the kit."]


def test_unknown_access_rights_are_a_warning_where_rights_are_needed() -> None:
    warned = {
        platform: check_request({"RequestType": "OSUpdateStatus"}, device(platform, access_rights=None)).warnings
        for platform in (IPADOS, TVOS, MACOS)
    }
    assert warned == {IPADOS: ("access_rights_unknown",), TVOS: ("access_rights_unknown",), MACOS: ()}


# --- requests: keys ---


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"RequestType": "OSUpdateStatus", "Force": True},
         ["R16 OSUpdateStatus has no key 'Force'.", "R18 OSUpdateStatus takes no 'Force'."]),
        ({"RequestType": "SecurityInfo", "X": 1}, ["R16 SecurityInfo has no key 'X'."]),
        ({"RequestType": "SecurityInfo", "y" * 50: 1}, [f"R16 SecurityInfo has no key '{'y' * 40}'."]),
        ({"RequestType": "SecurityInfo", "RequestRequiresNetworkTether": True}, []),
        ({"RequestType": "SecurityInfo", "RequestRequiresNetworkTether": 1},
         ["R17 RequestRequiresNetworkTether is no boolean."]),
        ({"RequestType": "ScheduleOSUpdateScan"}, []),
        ({"RequestType": "ScheduleOSUpdateScan", "Force": False}, []),
        ({"RequestType": "ScheduleOSUpdateScan", "Force": 1}, ["R17 Force is no boolean.", "R18 Force is no boolean."]),
        ({"RequestType": "ScheduleOSUpdateScan", "Queries": []},
         ["R16 ScheduleOSUpdateScan has no key 'Queries'.", "R18 ScheduleOSUpdateScan takes no 'Queries'."]),
        ({"RequestType": "DeviceInformation"}, ["R17 Queries is no filled array of strings."]),
        *(
            ({"RequestType": "DeviceInformation", "Queries": odd}, ["R17 Queries is no filled array of strings."])
            for odd in ([], "UDID", ["UDID", ""], ["UDID", 5])
        ),
        ({"RequestType": "DeviceInformation", "Queries": ["UDID"]}, []),
        ({"RequestType": "ScheduleOSUpdate"}, ["R08 Updates is missing."]),
        ({"RequestType": "ScheduleOSUpdate", "Updates": {}}, ["R08 Updates is no array.", "R17 Updates is no array."]),
        (schedule(), ["R08 Updates is empty."]),
        (schedule(update(), "K", 5), ["R08 Updates[1] is no dictionary.", "R08 Updates[2] is no dictionary."]),
    ],
)  # fmt: skip
def test_a_request_has_only_its_keys_each_of_its_type(fields: dict[str, Any], words: list[str]) -> None:
    assert told(check_request(fields, device())) == words


def test_a_query_is_judged_by_the_device_s_own_system() -> None:
    asked = {"RequestType": "DeviceInformation", "Queries": ["OSVersion", "IsAppleSilicon"]}
    assert check_request(asked, device(MACOS, "12.0")).warnings == ()
    assert check_request(asked, device(MACOS, "11.7")).warnings == ("query_unknown",)
    assert check_request(asked, device(IPADOS, "18.0")).warnings == ("query_unknown",)


def test_an_active_declaration_keeps_a_device_from_being_scheduled() -> None:
    assert told(check_request(schedule(update()), device(ddm_enforcement_active=True))) == [
        "R19 A declaration manages this device's updates."
    ]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (update(), []),
        (update(ProductVersion="14.6"), []),
        (update(ProductKey="K", ProductVersion="14.6"), []),
        (update(Priority="High"), ["R10 Neither ProductKey nor ProductVersion."]),
        (update(ProductKey=""), ["R17 ProductKey is no filled string."]),
        (update(ProductKey=5), ["R17 ProductKey is no filled string."]),
        (update(ProductVersion=14.6), ["R17 ProductVersion is no filled string."]),
        (update(ProductKey="K", Deadline=1), ["R16 Updates has no key 'Deadline'."]),
        (update(ProductKey="K", **{"z" * 50: 1}), [f"R16 Updates has no key '{'z' * 40}'."]),
        ({"ProductKey": "K"}, ["R09 InstallAction 'None' cannot be asked for."]),
        (update("Error"), ["R09 InstallAction 'Error' cannot be asked for."]),
        (update("installasap"), ["R09 InstallAction 'installasap' cannot be asked for."]),
        (update(""), ["R17 InstallAction is no filled string.", "R09 InstallAction '' cannot be asked for."]),
        (update(ProductVersion="14.6 "), ["R13 ProductVersion '14.6 ' is no version."]),
        (update(ProductVersion="14.6 (a)"),
         ["R12 '14.6 (a)' names a security response.", "R13 ProductVersion '14.6 (a)' is no version."]),
        (update(ProductVersion="x" * 50), [f"R13 ProductVersion '{'x' * 40}' is no version."]),
        (update(ProductVersion="(" * 50),
         [f"R12 '{'(' * 40}' names a security response.", f"R13 ProductVersion '{'(' * 40}' is no version."]),
        (update(ProductVersion="14.5.0"), ["R20 14.5.0 is not newer than 14.5."]),
        (update(ProductVersion="14.4.9"), ["R20 14.4.9 is not newer than 14.5."]),
        (update(ProductVersion="14.5.1"), []),
    ],
)  # fmt: skip
def test_an_update_names_an_action_and_what_is_wanted(item: dict[str, Any], words: list[str]) -> None:
    assert told(check_request(schedule(item), device())) == words


@pytest.mark.parametrize(
    ("action", "at", "words"),
    [
        ("DownloadOnly", device(MACOS, "10.15.7"),
         ["R09 DownloadOnly came with 11.0 on macOS; the device has 10.15.7."]),
        ("DownloadOnly", device(MACOS, "11.0"), []),
        ("NotifyOnly", device(IPADOS, "18.0"), ["R09 NotifyOnly does not exist on iPadOS; the device has 18.0."]),
        ("InstallASAP", device(IPADOS, "9.0"), []),
    ],
)  # fmt: skip
def test_an_action_exists_on_the_device_s_system_or_not(action: str, at: RequestContext, words: list[str]) -> None:
    assert told(check_request(schedule(update(action)), at)) == words


@pytest.mark.parametrize(
    ("at", "knows"),
    [
        (device(IPADOS, "11.2.6"), False),
        (device(IPADOS, "11.3"), True),
        (device(MACOS, "11.9"), False),
        (device(MACOS, "12.0"), True),
        (device(TVOS, "12.1"), False),
        (device(TVOS, "12.2"), True),
    ],
)
def test_a_version_can_be_named_from_then_on(at: RequestContext, knows: bool) -> None:
    words = [] if knows else [f"R11 {at.platform} {at.os_version} does not know ProductVersion."]
    assert told(check_request(schedule(update(ProductVersion="12.9")), at)) == words


LATER = {"ProductKey": "K_minor"}


@pytest.mark.parametrize(
    ("item", "at", "words"),
    [
        (update("InstallLater", MaxUserDeferrals=0, **LATER), device(MACOS, "12.0"), []),
        (update("InstallLater", MaxUserDeferrals=-1, **LATER), device(), ["R14 MaxUserDeferrals is -1."]),
        *(
            (
                update("InstallLater", MaxUserDeferrals=odd, **LATER),
                device(),
                ["R14 MaxUserDeferrals is no integer.", "R17 MaxUserDeferrals is no integer."],
            )
            for odd in (True, "3", 3.0)
        ),
        (
            update("InstallASAP", MaxUserDeferrals=3, **LATER),
            device(),
            ["R14 MaxUserDeferrals goes with InstallLater only."],
        ),
        (
            update("InstallLater", MaxUserDeferrals=3, **LATER),
            device(MACOS, "11.7"),
            ["R14 macOS 11.7 does not know MaxUserDeferrals."],
        ),
        (
            update("InstallLater", MaxUserDeferrals=3, ProductVersion="15.0"),
            device(),
            ["R14 MaxUserDeferrals is for minor updates; this is a major one."],
        ),
        (update(Priority="Low", **LATER), device(MACOS, "12.3"), []),
        (update(Priority="High", **LATER), device(MACOS, "12.2.1"), ["R15 macOS 12.2.1 does not know Priority."]),
        (update(Priority="High", **LATER), device(IPADOS, "18.0"), ["R15 iPadOS 18.0 does not know Priority."]),
        (update(Priority="Normal", **LATER), device(), ["R15 'Normal' is no Priority."]),
        (update(Priority="n" * 50, **LATER), device(), [f"R15 '{'n' * 40}' is no Priority."]),
        (update(Priority="", **LATER), device(), ["R17 Priority is no filled string.", "R15 '' is no Priority."]),
        (
            update(Priority="Low", ProductVersion="15.0"),
            device(),
            ["R15 Priority is for minor updates; this is a major one."],
        ),
    ],
)
def test_deferrals_and_priority_are_for_minor_updates_of_newer_macs(
    item: dict[str, Any], at: RequestContext, words: list[str]
) -> None:
    assert told(check_request(schedule(item), at)) == words


@pytest.mark.parametrize(
    ("keys", "listed", "known"),
    [
        ({"ProductKey": "K_major"}, None, True),
        ({"ProductKey": "K_minor"}, None, False),
        ({"ProductKey": "K_minor_rsr"}, None, None),
        ({"ProductVersion": "14.6"}, None, False),
        ({"ProductVersion": "15.0"}, None, True),
        ({"ProductVersion": "14.6", "ProductKey": "K_major"}, None, False),  # the versions say more than the key
        ({"ProductVersion": "14.6"}, True, True),  # and the device's own list says most
        ({"ProductVersion": "15.0"}, False, False),
        ({"ProductKey": "K"}, False, False),
    ],
)
def test_whether_an_update_is_major_is_read_from_list_versions_or_key(
    keys: dict[str, str], listed: bool | None, known: bool | None
) -> None:
    for more, rule in (({"MaxUserDeferrals": 1}, "R14"), ({"Priority": "Low"}, "R15")):
        found = check_request(schedule(update("InstallLater", **keys, **more)), device(), target_major=listed)
        assert broken(found) == ([rule] if known else [])
        assert found.warnings == {None: ("major_unknown",), True: ("major_action_unreliable",), False: ()}[known]
    assert "major_unknown" not in check_request(schedule(update("InstallLater", **keys)), device()).warnings


def test_for_major_upgrades_of_macs_other_actions_than_the_reliable_ones_are_a_warning() -> None:
    for action in InstallAction:
        found = check_request(schedule(update(action.value, ProductVersion="15.0")), device())
        sure = action in (InstallAction.INSTALL_ASAP, InstallAction.DEFAULT, InstallAction.ERROR)
        assert ("major_action_unreliable" in found.warnings) is not sure
        assert ("data_loss" in found.warnings) is (action is InstallAction.INSTALL_FORCE_RESTART)
        minor = check_request(schedule(update(action.value, ProductVersion="14.6")), device())
        assert "major_action_unreliable" not in minor.warnings
    pad = check_request(schedule(update("DownloadOnly", ProductVersion="19.0")), device(IPADOS, "18.0"))
    assert pad == Findings()


def test_a_supplement_belongs_to_exactly_one_version() -> None:
    for base, words in (("14.5.0", []), ("14.5.1", ["R20 It belongs to 14.5.1; 14.5 is installed."]),
                        ("14.4", ["R20 It belongs to 14.4; 14.5 is installed."])):  # fmt: skip
        assert told(check_request(schedule(update()), device(), supplement_base=v(base))) == words
        assert check_request({"RequestType": "OSUpdateStatus"}, device(), supplement_base=v(base)).valid


# --- replies ---


def reply(status: str = "Acknowledged", **fields: Any) -> dict[str, Any]:
    return {"Status": status, "UDID": "U", "CommandUUID": "C"} | fields


LISTED = {"ProductKey": "K", "HumanReadableName": "N", "Version": "26.1", "Build": "B", "DownloadSize": 1}
PAD = LISTED | {"ProductName": "iPadOS", "InstallSize": 2}
MAC = LISTED | {"HumanReadableNameLocale": "en", "AppIdentifiersToClose": []}
LOOKED = {"ProductKey": "K", "IsDownloaded": True, "DownloadPercentComplete": 1.0, "Status": "Idle"}


def result(status: str) -> dict[str, Any]:
    return {"ProductKey": "K", "InstallAction": "InstallASAP", "Status": status}


@pytest.mark.parametrize(
    ("kind", "fields", "platform", "os_version", "words"),
    [
        (LIST, reply(AvailableOSUpdates=[PAD]), IPADOS, "16.1", []),
        (LIST, reply(AvailableOSUpdates=[PAD]), IPADOS, "16.2", ["S06 IsSecurityResponse is missing"]),
        (LIST, reply(AvailableOSUpdates=[PAD | {"IsSecurityResponse": False}]), IPADOS, "16.1",
         ["S06 IsSecurityResponse from iPadOS 16.1."]),
        (LIST, reply(AvailableOSUpdates=[PAD | {"IsSecurityResponse": False}]), IPADOS, "16.2", []),
        (LIST, reply(AvailableOSUpdates=[PAD | {"MetadataURL": "u"}]), TVOS, "16.1",
         ["S06 MetadataURL from tvOS 16.1."]),
        (LIST, reply(AvailableOSUpdates=[MAC]), MACOS, "13.0", []),
        (LIST, reply(AvailableOSUpdates=[MAC, PAD]), MACOS, "13.0",
         ["S06 HumanReadableNameLocale is missing", "S06 ProductName from macOS 13.0.",
          "S06 InstallSize from macOS 13.0.", "S06 AppIdentifiersToClose is missing"]),
        (LIST, reply(AvailableOSUpdates=[]), MACOS, "13.0", []),
        (LIST, reply(AvailableOSUpdates=["K"]), MACOS, "13.0", ["S06 AvailableOSUpdates holds no dictionary: 'K'"]),
        (LIST, reply(AvailableOSUpdates=["K", MAC | {"ProductName": "macOS"}]), MACOS, "13.0",
         ["S06 AvailableOSUpdates holds no dictionary: 'K'", "S06 ProductName from macOS 13.0."]),
        (LIST, reply(AvailableOSUpdates="K"), MACOS, "13.0", ["S06 AvailableOSUpdates is no array: 'K'"]),
        (LIST, reply(), MACOS, "13.0", ["S06 AvailableOSUpdates is missing"]),
        (LIST, reply("Error"), MACOS, "13.0", []),
        (LIST, reply("NotNow"), MACOS, "13.0", []),
        (LOOK, reply(OSUpdateStatus=[LOOKED]), IPADOS, "18.0", []),
        (LOOK, reply(OSUpdateStatus=[]), IPADOS, "18.0", []),
        (LOOK, reply(), IPADOS, "18.0", ["S07 OSUpdateStatus is missing"]),
        (LOOK, reply(OSUpdateStatus=[LOOKED | {"MaxDeferrals": 3}]), MACOS, "12.3", []),
        (LOOK, reply(OSUpdateStatus=[LOOKED | {"MaxDeferrals": 3}]), MACOS, "12.2.1",
         ["S08 MaxDeferrals from macOS 12.2.1."]),
        (LOOK, reply(OSUpdateStatus=[{}]), IPADOS, "18.0",
         [f"S07 {key} is missing" for key in ("IsDownloaded", "DownloadPercentComplete", "ProductKey", "Status")]),
        (SCAN, reply(), MACOS, "13.0", ["S09 ScanInitiated is missing"]),
        (SCAN, reply(ScanInitiated=False), MACOS, "13.0", []),
        (SCHEDULE, reply(), MACOS, "13.0", []),  # S02: it tells nothing, and is readable
        (SCHEDULE, reply(UpdateResults=[result("Idle")]), MACOS, "13.0", []),
        (SCHEDULE, reply(UpdateResults=[result("DownloadRequiresComputer")]), IPADOS, "18.0", []),
        (SCHEDULE, reply(UpdateResults=[result("DownloadRequiresComputer")]), TVOS, "18.0",
         ["S04 DownloadRequiresComputer from tvOS."]),
        (SCHEDULE, reply(UpdateResults=[result("Preparing")]), TVOS, "18.0", ["S03 Status 'Preparing' is not Apple's"]),
        (SECURITY, reply(), MACOS, "13.0", []),
    ],
)  # fmt: skip
def test_a_reply_breaks_the_rules_of_its_command_and_platform(
    kind: RequestType, fields: dict[str, Any], platform: Platform, os_version: str, words: list[str]
) -> None:
    assert told(check_result(fields, kind, platform, v(os_version))) == words


def test_what_is_no_reply_is_one_finding() -> None:
    found = check_result({"Status": "Sleeping", "AvailableOSUpdates": [{}]}, LIST, MACOS, v("13.0"))
    assert broken(found) == ["S01"]
    assert "Status 'Sleeping' is none of a device's five." in found.violations[0].reason
