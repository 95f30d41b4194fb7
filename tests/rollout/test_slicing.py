"""Every device in exactly one wave, the same one every time."""

import math
import time
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from osupdate_kit.errors import PlanError
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.policy import DAY
from osupdate_kit.rollout.slicing import place, slices
from osupdate_kit.rollout.waves import Wave, Who
from tests.rollout.plans import waves

MODELS = ("iPad13,18", "iPad14,1", "iPhone15,2", "Mac14,2")
VERSIONS = [OSVersion.parse(text) for text in ("17.7", "18.1", "18.2", "18.10")]
REST = Wave(name="the rest")
PINNED = [73.248249, 24.609005, 13.774746]  # where three devices have always stood


def device(number: int, *, model: str = MODELS[0], version: int = 0, **words: object) -> Device:
    one = Device(
        key=DeviceKey("s", f"U{number}"),
        udid=f"U{number}",
        serial=f"C{number:07}",
        platform=Platform.IPADOS,
        model=model,
        os_version=VERSIONS[version],
        site="North" if number % 3 else "South",
        attributes={"owner": f"team {number % 5}"},
    )
    return structs.replace(one, **words)


def fleet(count: int) -> list[Device]:
    return [device(n, model=MODELS[n * 7 % 4], version=n * n % 4) for n in range(count)]


FLEETS = st.lists(
    st.tuples(st.sampled_from(MODELS), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60
).map(lambda rows: [device(n, model=m, version=v, last_seen_at=d * DAY) for n, (m, v, d) in enumerate(rows)])


def sliced(devices: list[Device], *chosen: Wave) -> dict[str, str]:
    return {d.serial: name for d, name in zip(devices, slices(devices, chosen), strict=True)}


@given(FLEETS, waves(), st.randoms())
def test_every_device_is_in_one_wave_whatever_their_order(
    devices: list[Device], some: tuple[Wave, ...], r: object
) -> None:
    some = (*(w for w in some if not w.who.rest), replace(REST, name="the rest of all"))
    names = slices(devices, some)
    assert len(names) == len(devices)
    assert set(names) <= {wave.name for wave in some}
    shuffled = list(devices)
    r.shuffle(shuffled)  # type: ignore[attr-defined]
    assert sliced(shuffled, *some) == sliced(devices, *some)


@given(FLEETS)
def test_a_canary_has_one_of_every_combination_and_no_more(devices: list[Device]) -> None:
    names = slices(devices, (Wave(name="canary", who=Who(cover=("model", "os_version"))), REST))
    canary = [(d.model, d.os_version) for d, name in zip(devices, names, strict=True) if name == "canary"]
    assert len(canary) == len(set(canary))
    assert set(canary) == {(d.model, d.os_version) for d in devices}


def test_a_canary_is_one_that_was_seen_of_late() -> None:
    devices = [device(n, last_seen_at=DAY * (n == 7)) for n in range(20)]
    names = slices(devices, (Wave(name="canary", who=Who(cover=("model", "owner"))), REST))
    assert names[7] == "canary"
    assert names.count("canary") == 5


@pytest.mark.parametrize(
    ("seen", "canary"),
    [
        ({1: 5 * DAY, 2: 6 * DAY, 3: 5 * DAY}, 2),
        ({1: 5 * DAY, 2: 5 * DAY - 1, 3: 4 * DAY}, 1),
        ({1: 5 * DAY, 2: 6 * DAY - 1, 3: 5 * DAY + 1}, 0),  # all on one day: the first by hash
        ({1: 0, 2: 0, 3: 0}, 0),
        ({1: 0, 2: 0, 3: DAY}, 3),
    ],
)
def test_of_those_seen_on_one_day_the_canary_is_the_first_by_hash(seen: dict[int, int], canary: int) -> None:
    devices = [device(n, last_seen_at=at) for n, at in seen.items()]
    expected = canary or int(min(devices, key=place).serial[1:])
    for some in (devices, devices[::-1]):
        names = slices(some, (Wave(name="canary", who=Who(cover=("model",))), REST))
        assert [d.serial for d, name in zip(some, names, strict=True) if name == "canary"] == [f"C{expected:07}"]


@given(st.floats(1, 45), st.floats(1, 45), st.floats(0, 5))
def test_nobody_comes_later_when_percentages_grow(first: float, second: float, more: float) -> None:
    devices = fleet(400)
    order = {"a": 0, "b": 1, "the rest": 2}
    before = sliced(devices, Wave(name="a", who=Who(percent=first)), Wave(name="b", who=Who(percent=second)), REST)
    grown = Wave(name="a", who=Who(percent=first + more)), Wave(name="b", who=Who(percent=second + more))
    after = sliced(devices, *grown, REST)
    assert all(order[after[serial]] <= order[wave] for serial, wave in before.items())
    assert {s for s, wave in before.items() if wave == "a"} <= {s for s, wave in after.items() if wave == "a"}


def test_nobody_changes_waves_when_the_fleet_grows() -> None:
    pilots = Wave(name="a", who=Who(percent=5)), Wave(name="b", who=Who(percent=20)), REST
    before, after = sliced(fleet(1000), *pilots), sliced(fleet(3000), *pilots)
    assert before == {serial: after[serial] for serial in before}


def test_percentages_are_of_all_that_the_plan_reaches() -> None:
    devices = fleet(50_000)
    parts = [Wave(name=f"{p}", who=Who(percent=p)) for p in (1, 5, 25)]
    sizes = Counter(slices(devices, (*parts, REST)))
    for percent, tolerance in ((1, 0.15), (5, 0.4), (25, 0.8)):
        assert abs(100 * sizes[f"{percent}"] / len(devices) - percent) < tolerance


def test_no_release_of_the_kit_shuffles_the_pilots() -> None:
    assert [round(place(device(n)), 6) for n in (1, 2, 3)] == PINNED


def test_a_device_stands_by_its_serial_else_its_udid_else_its_enrollment_id() -> None:
    key = DeviceKey("s", "E")
    by_serial = Device(key=DeviceKey("t", "F"), udid="V", serial="x")
    assert place(by_serial) == place(Device(key=key, udid="x")) == place(Device(key=DeviceKey("s", "x")))
    assert place(Device(key=key, udid="U", serial="x")) != place(Device(key=key, udid="U", serial="y"))


@given(st.text(min_size=1))
def test_every_device_stands_between_0_and_100(serial: str) -> None:
    assert 0 <= place(device(1, serial=serial)) < 100


def test_a_wave_by_percent_begins_where_the_one_before_ends() -> None:
    one = device(1)
    stands = place(one)
    beyond = math.nextafter(stands, 100)
    assert slices([one], (Wave(name="a", who=Who(percent=stands)), REST)) == ["the rest"]
    assert slices([one], (Wave(name="a", who=Who(percent=beyond)), REST)) == ["a"]
    second = Wave(name="south", who=Who(where='site == "South"')), Wave(name="b", who=Who(percent=1e-9)), REST
    assert slices([one], (Wave(name="a", who=Who(percent=stands)), *second)) == ["b"]


def test_shares_that_make_the_whole_leave_nobody_over() -> None:
    thirds = [Wave(name=f"{n}", who=Who(percent=p)) for n, p in enumerate((33.3, 33.3, 33.4))]
    assert set(slices(fleet(20_000), thirds)) == {"0", "1", "2"}


def test_each_wave_takes_of_what_earlier_ones_left() -> None:
    devices = fleet(9)
    found = sliced(
        devices,
        Wave(name="named", who=Who(serials=("C0000001", "U2", "nobody"))),
        Wave(name="south", who=Who(where='site == "South" and os_version < "18.10"')),
        Wave(name="team", who=Who(where='owner == "team 1"')),
        REST,
    )
    assert found["C0000001"] == found["C0000002"] == "named"
    assert {s for s, wave in found.items() if wave == "south"} == {"C0000000", "C0000003", "C0000006"}
    assert {s for s, wave in found.items() if wave == "team"} == set()


def test_those_that_no_wave_takes_are_counted() -> None:
    with pytest.raises(PlanError, match=r"6 of 9 devices are in no wave, C0000001 among them") as caught:
        slices(fleet(9), (Wave(name="south", who=Who(where='site == "South"')),))
    assert "last wave" in caught.value.remedy


def test_who_is_in_no_wave_is_called_by_the_best_name_that_it_has() -> None:
    south = (Wave(name="south", who=Who(where='site == "South"')),)
    for one, name in (
        (device(1), "C0000001"),
        (device(1, serial=""), "U1"),
        (device(1, serial="", udid=""), "U1 on s"),
    ):
        with pytest.raises(PlanError, match=f"1 of 1 devices are in no wave, {name} among them"):
            slices([one], south)


def test_a_column_that_no_device_has_is_named_with_those_that_there_are() -> None:
    with pytest.raises(PlanError, match="Wave canary covers colour, shape: no such column") as caught:
        slices(fleet(9), (Wave(name="canary", who=Who(cover=("shape", "model", "colour"))), REST))
    assert caught.value.remedy.startswith("Columns: awaiting_configuration, ")
    assert " owner, " in caught.value.remedy


@pytest.mark.parametrize("name", ["C0000001", "U1", "E1"])
def test_a_device_may_be_named_by_serial_udid_or_enrollment_id(name: str) -> None:
    devices = [device(n, key=DeviceKey("s", f"E{n}")) for n in range(3)]
    found = sliced(devices, Wave(name="named", who=Who(serials=(name,))), REST)
    assert [serial for serial, wave in found.items() if wave == "named"] == ["C0000001"]


def test_nobody_is_in_no_wave_where_there_is_nobody() -> None:
    assert slices([], (Wave(name="south", who=Who(where="supervised")),)) == []


@pytest.mark.parametrize("who", [Who(where='colour == "red"'), Who(where="os_version <"), Who(cover=("colour",))])
def test_what_cannot_be_read_names_its_wave(who: Who) -> None:
    with pytest.raises(PlanError, match="Wave south") as caught:
        slices(fleet(9), (Wave(name="south", who=who), REST))
    assert caught.value.remedy


def test_a_million_devices_take_seconds() -> None:
    devices = fleet(100_000)
    canary = Wave(name="canary", who=Who(cover=("model", "os_version")))
    named = Wave(name="named", who=Who(serials=tuple(d.serial for d in devices[:1000])))
    some = (
        canary,
        named,
        Wave(name="pilot", who=Who(percent=5)),
        Wave(name="s", who=Who(where='site == "South"')),
        REST,
    )
    spent = []
    for _ in range(3):
        began = time.process_time()
        slices(devices, some)
        spent.append(time.process_time() - began)
    assert min(spent) / len(devices) < 12e-6
