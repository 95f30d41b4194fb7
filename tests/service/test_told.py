"""What a device tells of itself is kept: the newest word of each kind, and a time zone where no list gave one."""

from typing import Any

from msgspec.structs import replace

from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.protocol.results import read_result
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.rollout.ports import ServerEvent, Topic
from osupdate_kit.service.worker import Read, _described
from osupdate_kit.stores.ledger import InboxRow, StoredDevice

KEY = DeviceKey("s", "E")
EMPTY = StoredDevice(device=Device(key=KEY), facts="", newest_at=0, info_at=0)


def heard(stored: StoredDevice, at: int, *, topic: Topic = Topic.CONNECT, **fields: Any) -> StoredDevice:
    """The device after one more event."""
    answer = topic is Topic.CONNECT
    words = {"UDID": "E", "CommandUUID": "1", "Status": "Acknowledged", **fields} if answer else fields
    event = ServerEvent(
        topic=topic, created_at=at, enrollment_id="E", udid="E", enrollment_type="Device",
        status="Acknowledged" if answer else "", command_uuid="1" if answer else "", fields=words,
    )  # fmt: skip
    row = InboxRow(id=1, server="s", kind="webhook", received_at=at, body=b"")
    return _described(stored, Read(row, KEY, event, read_result(words) if answer else None))


def test_a_report_fills_in_what_preflight_asks_after() -> None:
    told = heard(
        EMPTY, 5,
        QueryResponses={
            "OSVersion": "18.6", "ProductName": "iPad13,18", "AvailableDeviceCapacity": 12.3456, "BatteryLevel": 0.579,
            "IsMultiUser": True, "IsMDMLostModeEnabled": True, "AwaitingConfiguration": True,
            "TimeZone": "Europe/Berlin", "SoftwareUpdateDeviceID": "iPad13,18",
        },
    )  # fmt: skip
    assert told.info_at == 5
    assert (told.device.platform, told.device.awaiting_configuration) == (Platform.IPADOS, True)
    assert told.device.time_zone == "Europe/Berlin"
    assert told.device.told == {
        "AvailableDeviceCapacity": 12.3, "BatteryLevel": 0.5, "IsMultiUser": True, "IsMDMLostModeEnabled": True,
        "SoftwareUpdateDeviceID": "iPad13,18",
    }  # fmt: skip


def test_what_a_later_report_does_not_say_stays_and_a_small_change_is_none() -> None:
    first = heard(EMPTY, 5, QueryResponses={"OSVersion": "18.6", "BatteryLevel": 0.58, "IsMultiUser": False})
    second = heard(first, 6, QueryResponses={"OSVersion": "18.6", "BatteryLevel": 0.52})
    assert second.device is first.device  # so that nothing but the time is written
    assert heard(second, 7, QueryResponses={"OSVersion": "18.6", "BatteryLevel": 0.12}).device.told == {
        "BatteryLevel": 0.1,
        "IsMultiUser": False,
    }
    assert heard(second, 4, QueryResponses={"OSVersion": "18.5", "BatteryLevel": 0.9}) == second


def test_a_battery_that_is_unknown_says_nothing() -> None:
    for level in (-1.0, float("inf"), float("nan"), "full"):
        assert heard(EMPTY, 5, QueryResponses={"OSVersion": "26.6", "BatteryLevel": level}).device.told == {}


def test_a_time_zone_of_a_list_stays_and_one_that_nobody_knows_is_none() -> None:
    listed = replace(EMPTY, device=replace(EMPTY.device, time_zone="America/Chicago"))
    assert heard(listed, 5, QueryResponses={"TimeZone": "Europe/Berlin"}).device.time_zone == "America/Chicago"
    assert heard(EMPTY, 5, QueryResponses={"TimeZone": "Mars/Olympus"}).device.time_zone == ""


def test_the_newest_list_and_the_newest_word_of_the_token_stay() -> None:
    item = {"ProductKey": "k", "Version": "15.7.9", "Build": "24G830", "DownloadSize": 3.0, "HumanReadableName": "x"}
    old = heard(EMPTY, 5, AvailableOSUpdates=[item])
    assert old.device.told["AvailableOSUpdates"] == [["15.7.9", 3, 0, 0]]
    new = heard(old, 7, AvailableOSUpdates=[])
    assert new.device.told["AvailableOSUpdates"] == []
    assert heard(new, 6, AvailableOSUpdates=[item]).device.told["AvailableOSUpdates"] == []
    security = {"BootstrapTokenAllowedForAuthentication": "allowed", "BootstrapTokenRequiredForSoftwareUpdate": True}
    told = heard(new, 8, SecurityInfo=security).device.told
    assert {**told, **security} == told
    assert told["SecurityInfoAt"] == 8
    assert heard(EMPTY, 5, AvailableOSUpdates=[item]).info_at == 0  # of its version it has said nothing


def test_a_device_in_the_setup_assistant_says_so_as_it_enrols() -> None:
    waiting = heard(EMPTY, 5, topic=Topic.TOKEN_UPDATE, AwaitingConfiguration=True)
    assert waiting.device.awaiting_configuration
    assert not heard(waiting, 6, topic=Topic.TOKEN_UPDATE, UDID="E").device.awaiting_configuration
