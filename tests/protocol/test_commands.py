"""Commands are what Apple's schema says, byte for byte, and come back as they went."""

import json
import plistlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.errors import ProtocolError
from osupdate_kit.protocol.commands import (
    DEFAULT_QUERIES,
    AvailableOSUpdates,
    Command,
    DeclarativeManagement,
    DeviceInformation,
    OSUpdateStatus,
    ScheduleOSUpdate,
    ScheduleOSUpdateScan,
    SecurityInfo,
    UpdateRequest,
    command_of,
    decode,
    encode,
    encode_request,
    queries_for,
    request,
    request_type,
)
from osupdate_kit.protocol.terms import InstallAction, Priority
from osupdate_kit.protocol.versions import OSVersion

WORDS = st.text(min_size=1, max_size=40).filter(str.isprintable)
UPDATES = st.builds(
    UpdateRequest,
    install_action=st.sampled_from(InstallAction),
    product_key=st.none() | WORDS,
    product_version=st.none() | WORDS,
    max_user_deferrals=st.none() | st.integers(-(2**63), 2**63 - 1),
    priority=st.none() | st.sampled_from(Priority),
)
COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(ScheduleOSUpdate, updates=st.lists(UPDATES, min_size=1, max_size=4).map(tuple)),
    st.builds(ScheduleOSUpdateScan, force=st.booleans()),
    st.builds(DeviceInformation, queries=st.lists(WORDS, min_size=1, max_size=6).map(tuple)),
    st.sampled_from([AvailableOSUpdates(), OSUpdateStatus(), SecurityInfo(), DeclarativeManagement()]),
)


@given(COMMANDS, WORDS)
def test_decoding_undoes_encoding(command: Command, uuid: str) -> None:
    assert decode(encode(command, uuid)) == (uuid, command)
    assert command_of(json.loads(json.dumps(request(command)))) == command
    assert encode(command, uuid) == encode_request(json.loads(json.dumps(request(command))), uuid)
    assert request(command)["RequestType"] == request_type(command).value


def test_an_envelope_is_apples() -> None:
    update = UpdateRequest(
        install_action=InstallAction.INSTALL_LATER,
        product_version="14.6.1",
        max_user_deferrals=0,
        priority=Priority.HIGH,
    )
    assert plistlib.loads(encode(ScheduleOSUpdate(updates=(update,)), "0001")) == {
        "CommandUUID": "0001",
        "Command": {
            "RequestType": "ScheduleOSUpdate",
            "Updates": [
                {
                    "InstallAction": "InstallLater",
                    "ProductVersion": "14.6.1",
                    "MaxUserDeferrals": 0,
                    "Priority": "High",
                }
            ],
        },
    }
    assert encode(OSUpdateStatus(), "0001").startswith(b"<?xml")


def test_the_bytes_of_a_command_are_the_same_each_time() -> None:
    body = "".join(encode(ScheduleOSUpdateScan(force=True), "0001").decode().split())
    assert body.endswith(
        "<dict><key>Command</key><dict><key>Force</key><true/><key>RequestType</key>"
        "<string>ScheduleOSUpdateScan</string></dict><key>CommandUUID</key><string>0001</string></dict></plist>"
    )
    assert encode_request({"A": 1, "B": 2}, "1") == encode_request({"B": 2, "A": 1}, "1")


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        (AvailableOSUpdates(), {"RequestType": "AvailableOSUpdates"}),
        (OSUpdateStatus(), {"RequestType": "OSUpdateStatus"}),
        (SecurityInfo(), {"RequestType": "SecurityInfo"}),
        (DeclarativeManagement(), {"RequestType": "DeclarativeManagement"}),
        (ScheduleOSUpdateScan(), {"RequestType": "ScheduleOSUpdateScan", "Force": False}),
        (DeviceInformation(queries=("UDID",)), {"RequestType": "DeviceInformation", "Queries": ["UDID"]}),
        (
            ScheduleOSUpdate(updates=(UpdateRequest(install_action=InstallAction.DEFAULT, product_key="K"),)),
            {"RequestType": "ScheduleOSUpdate", "Updates": [{"InstallAction": "Default", "ProductKey": "K"}]},
        ),
    ],
)
def test_a_command_says_only_what_is_said(command: Command, fields: dict[str, Any]) -> None:
    assert request(command) == fields
    assert command_of(fields) == command


def test_a_scan_without_a_word_about_force_is_not_forced() -> None:
    assert command_of({"RequestType": "ScheduleOSUpdateScan"}) == ScheduleOSUpdateScan(force=False)


def test_from_27_on_one_query_less_is_asked() -> None:
    gone = ("SoftwareUpdateDeviceID",)
    assert DeviceInformation().queries == queries_for(OSVersion.parse("26.10")) == DEFAULT_QUERIES
    for text in ("27", "28.1"):
        assert queries_for(OSVersion.parse(text)) + gone == DEFAULT_QUERIES
    assert not set(gone) & set(queries_for(OSVersion.parse("27.0")))


def update(**keys: Any) -> dict[str, Any]:
    return {"RequestType": "ScheduleOSUpdate", "Updates": [{"InstallAction": "InstallLater"} | keys]}


LONG, CUT = "x" * 50, f"'{'x' * 40}'"
NO_COMMAND = "is none of the kit's commands."
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no command": ({"CommandUUID": "1"}, "The envelope holds no Command dictionary."),
    "a command that is a word": (
        {"CommandUUID": "1", "Command": "SecurityInfo"},
        "The envelope holds no Command dictionary.",
    ),
    "no UUID": ({"Command": {"RequestType": "SecurityInfo"}}, "CommandUUID is no string."),
    "an empty UUID": (
        {"CommandUUID": "", "Command": {"RequestType": "SecurityInfo"}},
        "CommandUUID is empty or holds characters that cannot be sent: ''.",
    ),
    "more in the envelope": (
        {"CommandUUID": "1", "Command": {"RequestType": "SecurityInfo"}, "Y": 1, LONG: 1},
        "the envelope has the unknown key 'Y'.",
    ),
    **{
        name: ({"CommandUUID": "1", "Command": command}, words)
        for name, command, words in (
            ("another command", {"RequestType": "EraseDevice"}, f"RequestType 'EraseDevice' {NO_COMMAND}"),
            ("a long word", {"RequestType": LONG}, f"RequestType {CUT} {NO_COMMAND}"),
            ("no type", {}, f"RequestType 'None' {NO_COMMAND}"),
            ("a type that is an array", {"RequestType": ["Sec"]}, f"RequestType \"['Sec']\" {NO_COMMAND}"),
            ("a key too many", {"RequestType": "SecurityInfo", LONG: True}, f"SecurityInfo has the unknown key {CUT}."),
            (
                "a key too many for a scan",
                {"RequestType": "ScheduleOSUpdateScan", "Updates": []},
                "ScheduleOSUpdateScan has the unknown key 'Updates'.",
            ),
            (
                "a key too many for updates",
                {"RequestType": "ScheduleOSUpdate", "Force": True},
                "ScheduleOSUpdate has the unknown key 'Force'.",
            ),
            (
                "a key too many for queries",
                {"RequestType": "DeviceInformation", "Force": True},
                "DeviceInformation has the unknown key 'Force'.",
            ),
            ("Force as a number", {"RequestType": "ScheduleOSUpdateScan", "Force": 1}, "Force is no boolean."),
            ("no updates", {"RequestType": "ScheduleOSUpdate"}, "Updates is no array."),
            ("empty updates", {"RequestType": "ScheduleOSUpdate", "Updates": []}, "ScheduleOSUpdate without Updates."),
            (
                "an update that is a word",
                {"RequestType": "ScheduleOSUpdate", "Updates": ["Default"]},
                "Updates holds something that is no dictionary.",
            ),
            (
                "no action",
                {"RequestType": "ScheduleOSUpdate", "Updates": [{"ProductKey": "K"}]},
                "InstallAction is no string.",
            ),
            (
                "an unknown action",
                update(InstallAction="Now"),
                "An item of Updates has a word that Apple does not know: 'Now' is not a valid InstallAction",
            ),
            (
                "an unknown priority",
                update(Priority="Normal"),
                "An item of Updates has a word that Apple does not know: 'Normal' is not a valid Priority",
            ),
            ("an unknown key of an update", update(Deadline=1), "Updates has the unknown key 'Deadline'."),
            ("deferrals as a string", update(MaxUserDeferrals="3"), "MaxUserDeferrals is no integer."),
            ("deferrals as a boolean", update(MaxUserDeferrals=True), "MaxUserDeferrals is no integer."),
            ("a key that is a number", update(ProductKey=5), "ProductKey is no string."),
            (
                "an empty version",
                update(ProductVersion=""),
                "ProductVersion is empty or holds characters that cannot be sent: ''.",
            ),
            (
                "queries that are numbers",
                {"RequestType": "DeviceInformation", "Queries": ["UDID", 1]},
                "Queries holds something that is no string.",
            ),
            (
                "an empty query",
                {"RequestType": "DeviceInformation", "Queries": ["UDID", ""]},
                "Queries is empty or holds characters that cannot be sent: ''.",
            ),
            ("no queries", {"RequestType": "DeviceInformation", "Queries": []}, "DeviceInformation without Queries."),
            ("queries as a word", {"RequestType": "DeviceInformation", "Queries": "UDID"}, "Queries is no array."),
        )
    },
}


@pytest.mark.parametrize(("envelope", "words"), BAD.values(), ids=BAD)
def test_decoding_is_strict_and_says_why(envelope: dict[str, Any], words: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(plistlib.dumps(envelope))
    assert caught.value.args == (words,)
    assert "rules R08 to R18" in caught.value.remedy


@pytest.mark.parametrize("word", ["", "a\0b", "a\rb", "a\nb", "\ud800", "\uffff", "\x1b[31m"])
def test_words_that_xml_cannot_carry_are_refused_before_they_are_sent(word: str) -> None:
    with pytest.raises(ProtocolError):
        UpdateRequest(install_action=InstallAction.DEFAULT, product_key=word)
    with pytest.raises(ProtocolError):
        UpdateRequest(install_action=InstallAction.DEFAULT, product_version=word)
    with pytest.raises(ProtocolError):
        DeviceInformation(queries=("UDID", word))
    with pytest.raises(ProtocolError):
        encode(SecurityInfo(), word)


def test_a_word_that_cannot_be_sent_is_shown_cut() -> None:
    with pytest.raises(ProtocolError) as caught:
        encode(SecurityInfo(), LONG + "\0")
    assert caught.value.args == (f"CommandUUID is empty or holds characters that cannot be sent: {CUT}.",)


@pytest.mark.parametrize("value", [None, {1: 2}, 2**70, object(), "a\0b"])
def test_values_that_no_property_list_holds_are_our_error(value: object) -> None:
    with pytest.raises(ProtocolError, match="The request 0001 cannot be written: ") as caught:
        encode_request({"RequestType": "ScheduleOSUpdate", "Updates": value}, "0001")
    assert caught.value.remedy
