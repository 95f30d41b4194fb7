"""The virtual world: the same seed tells the same story, and webhooks suffer what webhooks suffer."""

import plistlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.lab.clock import DAY, SECOND, RunningClock, VirtualClock
from osupdate_kit.lab.fleet import make_devices, make_fleet, makeup
from osupdate_kit.lab.plists import read_plist, write_plist
from osupdate_kit.lab.server import LabServer, WebhookFaults
from osupdate_kit.lab.truth import TruthLog, What, can_install
from osupdate_kit.lab.world import World
from tests.lab.worlds import MONDAY, SmallWorld, ipad, mac


def story(seed: int) -> list[tuple[object, ...]]:
    small = SmallWorld(*(ipad(f"P{i}", seed=seed * 100 + i, drops=0.1, not_now=0.3) for i in range(8)), seed=seed)
    small.schedule("DownloadOnly")
    small.days(1)
    small.schedule("InstallASAP")
    small.days(2)
    return [tuple(entry) for entry in small.truth] + [(event["created_at"], event["topic"]) for event in small.events]


def test_the_same_seed_tells_the_same_story() -> None:
    assert story(4) == story(4)
    assert story(4) != story(5)


@pytest.mark.parametrize("storage", ["kv", "pgsql"])
def test_a_two_step_by_hand_reaches_installed(storage: str) -> None:
    small = SmallWorld(*(ipad(f"P{i}", seed=i) for i in range(20)), storage="pgsql" if storage == "pgsql" else "kv")
    small.schedule("DownloadOnly")
    small.days(1)
    small.schedule("InstallASAP")
    small.days(1)
    assert set(small.truth.versions().values()) == {"18.7.2"}
    assert small.truth.second_installs() == []


def test_webhooks_come_out_of_order_but_dated() -> None:
    small = SmallWorld(*(ipad(f"P{i}", seed=i) for i in range(60)), faults=WebhookFaults(reorder=0.2))
    small.push()
    small.hours(1)
    dates = [event["created_at"] for event in small.events]
    assert dates != sorted(dates)
    assert len(set(dates)) == len(dates)


def test_lost_doubled_and_late_events_are_just_that() -> None:
    specs = [ipad(f"P{i}", seed=i) for i in range(100)]
    lossy = SmallWorld(*specs, faults=WebhookFaults(lost=0.5))
    assert 60 < len(lossy.events) < 140
    doubled = SmallWorld(*specs, faults=WebhookFaults(doubled=1.0))
    assert len(doubled.hours(0.1).events) == 400
    assert len({event["event_id"] for event in doubled.events}) == 200
    late = SmallWorld(*specs, faults=WebhookFaults(late=1.0, late_minutes=(30, 60)))
    assert not late.events
    assert len(late.hours(1.1).events) == 200


def test_the_truth_names_a_second_install_step() -> None:
    small = SmallWorld(ipad(passcode=True, prompt_hours=(40, 40)))
    small.schedule("DownloadOnly")
    small.hours(3)
    first = small.schedule("InstallASAP")
    small.hours(1)
    second = small.schedule("InstallASAP")
    (found,) = small.truth.second_installs()
    assert (found.udid, found.command_uuid, found.open_uuid) == ("PAD", second, first)
    assert small.truth.second_installs({first}) == []


def test_a_step_that_only_downloads_is_no_second_install() -> None:
    assert can_install("ScheduleOSUpdate:Default")
    assert not can_install("ScheduleOSUpdate:DownloadOnly")
    assert not can_install("OSUpdateStatus")


def test_the_truth_survives_a_file(tmp_path: Path) -> None:
    small = SmallWorld(ipad(), mac())
    small.schedule("DownloadOnly", "PAD")
    small.days(1)
    small.truth.write(tmp_path / "truth.jsonl")
    again = TruthLog.read(tmp_path / "truth.jsonl")
    assert again.entries == small.truth.entries
    assert again.versions() == small.truth.versions()


def test_clocks_never_go_back() -> None:
    clock = VirtualClock(10)
    clock.advance_to(30)
    clock.advance_to(20)
    assert clock.now() == 30
    running = RunningClock(start_at=MONDAY, speed=1000)
    assert running.now() >= MONDAY
    assert running.real_seconds(MONDAY + 10_000 * SECOND) <= 10
    assert running.real_seconds(0) == 0


def test_a_fleet_of_every_kind_lives_through_a_week() -> None:
    parts = makeup("school")
    truth, clock = TruthLog(), VirtualClock(MONDAY)
    server = LabServer(clock, "key", truth=truth)
    world = World(clock, server, make_devices(parts, make_fleet(parts, 150, seed=3), truth), truth)
    world.enrol()
    world.run_until(MONDAY + 7 * DAY)
    assert len(truth.of(next(iter(world.devices)), What.ENROLLED)) == 1
    assert len(truth) < 150 * 30
    assert (world.next_at() or 0) > MONDAY + 7 * DAY


VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")))
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcXYZ<&>", max_size=5), inner, max_size=4),
)


@given(st.dictionaries(st.text("abcXYZ", max_size=5), VALUES, max_size=5))
def test_our_plists_are_everybodys_plists(value: dict[str, object]) -> None:
    assert plistlib.loads(write_plist(value)) == value


@pytest.mark.parametrize("body", [b"", b"x", b"<plist><array/></plist>", b"<plist><dict><key>A</key></dict></plist>"])
def test_what_is_no_dictionary_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_plist(body)
