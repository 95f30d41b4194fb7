"""Criteria choose devices, name what they do not understand, and never execute anything."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from osupdate_kit.errors import SelectionError
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.fleet.selection import criterion, select
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion


def device(number: int, **more: object) -> Device:
    values: dict[str, object] = {
        "key": DeviceKey("school", f"U{number}"), "udid": f"U{number}", "serial": f"S{number}", "site": "North",
        "platform": Platform.IPADOS, "os_version": OSVersion.parse("18.6"), "supervised": True,
    }  # fmt: skip
    return Device(**(values | more))  # type: ignore[arg-type]


FLEET = [
    device(1),
    device(2, site="South"),
    device(3, os_version=OSVersion.parse("26.10")),
    device(4, os_version=None),
    device(5, supervised=None, attributes={"owner": "<img src=x onerror=alert(1)>"}),
]


@pytest.mark.parametrize(
    ("where", "chosen"),
    [
        ('platform == "iPadOS"', "12345"),
        ('site == "North" and os_version < "18.7.2"', "15"),
        ('os_version > "26.9"', "3"),
        ('site in ("South", "West") or os_version == "26.10.0"', "23"),
        ("supervised", "1234"),
        ('not supervised and owner != "me"', "5"),
        ('owner == "<img src=x onerror=alert(1)>"', "5"),
    ],
)
def test_a_criterion_chooses(where: str, chosen: str) -> None:
    assert "".join(d.udid[1] for d in select(FLEET, where=where).devices) == chosen


@pytest.mark.parametrize(
    "where",
    [
        "__import__('os').system('true')", "site.__class__ == 1", "sight == 'North'", "'North' == site",
        "site == North", "os_version < 'newest'", "site in 'North'", "site == ('North',)", "1 < site < 3", "",
        "site ==", "(" * 5000, "lambda: 1", "[d for d in ()]",
    ],
)  # fmt: skip
def test_what_is_no_criterion_is_refused_with_a_remedy(where: str) -> None:
    with pytest.raises(SelectionError) as caught:
        criterion(where)
    assert caught.value.remedy


@given(st.text(max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    with suppress(SelectionError):
        criterion(text)


def test_every_device_is_chosen_or_counted_as_left_out() -> None:
    chosen = select(FLEET, where='site == "North"', wanted=["S1", "U2", "S9"])
    assert [d.udid for d in chosen.devices] == ["U1"]
    assert chosen.unmatched == ("S9",)
    assert len(chosen) + sum(chosen.left_out.values()) == len(FLEET)


class Choosing(RuleBasedStateMachine):
    """An inventory that changes, and selections of it: everybody is chosen, or counted once with a reason."""

    def __init__(self) -> None:
        super().__init__()
        self.fleet: dict[str, Device] = {}

    @rule(number=st.integers(0, 20), site=st.sampled_from(["North", "South", ""]), supervised=st.booleans() | st.none())
    def enrols(self, number: int, site: str, supervised: bool | None) -> None:
        self.fleet[f"D{number}"] = device(number, site=site, supervised=supervised)

    @rule(number=st.integers(0, 20))
    def leaves(self, number: int) -> None:
        self.fleet.pop(f"D{number}", None)

    @rule(where=st.sampled_from(["", "supervised", 'site == "North"', 'not supervised and site != "South"']))
    def is_chosen_by_criterion(self, where: str) -> None:
        chosen = select(list(self.fleet.values()), where=where)
        again = select(list(chosen.devices), where=where)
        assert again.devices == chosen.devices
        assert len(chosen.devices) + sum(chosen.left_out.values()) == len(self.fleet)

    @rule(numbers=st.sets(st.integers(0, 30), min_size=1, max_size=6), by=st.sampled_from("SU"))
    def is_chosen_by_name(self, numbers: set[int], by: str) -> None:
        wanted = {f"{by}{number}" for number in numbers}
        chosen = select(list(self.fleet.values()), wanted=wanted)
        known = {f"{by}{key[1:]}" for key in self.fleet}
        assert len(chosen.devices) == len(wanted & known)
        assert set(chosen.unmatched) == wanted - known


TestChoosing = Choosing.TestCase
TestChoosing.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
