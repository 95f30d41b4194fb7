"""Rows and devices are the same thing told twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.fleet.inventory import COLUMNS, KINDS, as_row, from_row
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion

TEXTS = st.text(max_size=6)
DEVICES = st.builds(
    Device,
    key=st.builds(DeviceKey, TEXTS, TEXTS),
    **dict.fromkeys(("udid", "serial", "name", "model", "build_version", "site", "ring", "time_zone"), TEXTS),
    platform=st.sampled_from([None, *Platform]),
    os_version=st.sampled_from([None, *map(OSVersion.parse, ("26", "26.10.1"))]),
    supervised=st.sampled_from([True, False, None]),
    enrollment_type=st.sampled_from(["Device", "User"]),
    declared=st.booleans(),
    enrolled=st.booleans(),
    awaiting_configuration=st.booleans(),
    last_seen_at=st.integers(0, 2**50),
    attributes=st.dictionaries(TEXTS.filter(lambda name: name not in KINDS), TEXTS),
)


@given(DEVICES)
def test_a_device_comes_back_from_its_row(device: Device) -> None:
    assert from_row(as_row(device)) == device


def test_every_column_of_the_contract_has_a_kind() -> None:
    assert set(KINDS) == {*COLUMNS, "last_seen_at"}


def test_what_cannot_be_read_is_unknown() -> None:
    row = {"server": "s", "enrollment_id": "E", "os_version": "newest", "platform": "Amiga", "supervised": None}
    device = from_row(row)
    assert (device.os_version, device.platform, device.supervised) == (None, None, None)
    with pytest.raises(KeyError):
        from_row({"server": "s"})
