"""Commands are what Apple's schema says, byte for byte, and come back as they went."""

import json
import plistlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.errors import ProtocolError
from osupdate_kit.protocol.commands import (
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
    request,
    request_type,
)
from osupdate_kit.protocol.terms import InstallAction, Priority

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


BAD: dict[str, Any] = {
    "no command": {"CommandUUID": "1"},
    "no UUID": {"Command": {"RequestType": "SecurityInfo"}},
    "an empty UUID": {"CommandUUID": "", "Command": {"RequestType": "SecurityInfo"}},
    "more in the envelope": {"CommandUUID": "1", "Command": {"RequestType": "SecurityInfo"}, "X": 1},
    "a command that is a word": {"CommandUUID": "1", "Command": "SecurityInfo"},
    **{
        name: {"CommandUUID": "1", "Command": command}
        for name, command in {
            "another command": {"RequestType": "EraseDevice"},
            "no type": {},
            "a type that is an array": {"RequestType": ["SecurityInfo"]},
            "a key too many": {"RequestType": "SecurityInfo", "Force": True},
            "Force as a number": {"RequestType": "ScheduleOSUpdateScan", "Force": 1},
            "no updates": {"RequestType": "ScheduleOSUpdate"},
            "empty updates": {"RequestType": "ScheduleOSUpdate", "Updates": []},
            "an update that is a word": {"RequestType": "ScheduleOSUpdate", "Updates": ["Default"]},
            "no action": {"RequestType": "ScheduleOSUpdate", "Updates": [{"ProductKey": "K"}]},
            "an unknown action": {"RequestType": "ScheduleOSUpdate", "Updates": [{"InstallAction": "Now"}]},
            "an unknown priority": {
                "RequestType": "ScheduleOSUpdate",
                "Updates": [{"InstallAction": "Default", "Priority": "Normal"}],
            },
            "deferrals as a string": {
                "RequestType": "ScheduleOSUpdate",
                "Updates": [{"InstallAction": "InstallLater", "MaxUserDeferrals": "3"}],
            },
            "deferrals as a boolean": {
                "RequestType": "ScheduleOSUpdate",
                "Updates": [{"InstallAction": "InstallLater", "MaxUserDeferrals": True}],
            },
            "a key that is a number": {
                "RequestType": "ScheduleOSUpdate",
                "Updates": [{"InstallAction": "Default", "ProductKey": 5}],
            },
            "queries that are numbers": {"RequestType": "DeviceInformation", "Queries": [1]},
            "no queries": {"RequestType": "DeviceInformation", "Queries": []},
        }.items()
    },
}


@pytest.mark.parametrize("envelope", BAD.values(), ids=BAD)
def test_decoding_is_strict(envelope: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(plistlib.dumps(envelope))
    assert caught.value.remedy


@pytest.mark.parametrize("word", ["", "a\0b", "a\rb", "a\nb", "\ud800", "\uffff", "\x1b[31m"])
def test_words_that_xml_cannot_carry_are_refused_before_they_are_sent(word: str) -> None:
    with pytest.raises(ProtocolError):
        UpdateRequest(install_action=InstallAction.DEFAULT, product_key=word)
    with pytest.raises(ProtocolError):
        encode(SecurityInfo(), word)


@pytest.mark.parametrize("value", [None, {1: 2}, 2**70, object(), "a\0b"])
def test_values_that_no_property_list_holds_are_our_error(value: object) -> None:
    with pytest.raises(ProtocolError):
        encode_request({"RequestType": "ScheduleOSUpdate", "Updates": value}, "0001")
