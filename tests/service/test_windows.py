"""Windows, black-outs and holds over the real turns and simulated devices, by the fleet's own log of what happened."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from osupdate_kit.kit.rollouts import Rollout
from osupdate_kit.lab.clock import SECOND
from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.lab.specs import PROFILES, Behaviour
from osupdate_kit.lab.truth import Entry, What
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.rehearsal import SERVER, Rehearsal, write_list
from osupdate_kit.rollout.windows import Blackout, Window

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Sydney", "Asia/Kolkata")
THERE = replace(PROFILES["always_on"], drops=0, not_now=0, self_wake_days=(0.2, 0.4))
AWAY = replace(THERE, off_hours=(20, 8.5), kept_pushes=1)  # woken at half past eight by the pushes of the night
NIGHT = Window(opens=time(20), closes=time(5))


def site(folder: Path, *habits: tuple[int, Behaviour], begins: str = "2026-11-23") -> Rehearsal:
    """iPads without passcodes in four time zones, so many with each of these habits."""
    parts = makeup("school")
    behaviours = [behaviour for count, behaviour in habits for _ in range(count)]
    found = [spec for spec in make_fleet(parts, 4 * len(behaviours), 1) if spec.platform is Platform.IPADOS]
    specs = tuple(
        replace(spec, os_version="26.5", build="23F60", passcode=False, shared_ipad=False, supervised=True,
                product_name="iPad13,18", newest_major=99, site=("North", "South")[n // 4 % 2],
                time_zone=ZONES[n % 4], behaviour=behaviour)
        for n, (spec, behaviour) in enumerate(zip(found, behaviours, strict=False))
    )  # fmt: skip
    assert len(specs) == len(behaviours)
    begins_at = int(datetime.fromisoformat(f"{begins}T12:00+00:00").timestamp()) * SECOND
    rehearsal = Rehearsal.of(parts, specs, "sqlite://", seed=1, who="ada", begins_at=begins_at)
    rehearsal.kit.sync(str(write_list(specs, folder / "fleet.csv")), SERVER)
    rehearsal.run(0.1)
    return rehearsal


def begun(rehearsal: Rehearsal, **words: object) -> Rollout:
    return rehearsal.kit.start(rehearsal.kit.plan(rehearsal.kit.select(), target="26.6.1", **words))


def steps(rehearsal: Rehearsal, what: What) -> list[tuple[str, datetime, Entry]]:
    """ScheduleOSUpdates of the truth log: action, when by the clock on the device's wall, and the entry."""
    sent = {e.command_uuid: e.detail.partition(":")[2] for e in rehearsal.truth
            if e.what is What.QUEUED and e.detail.startswith("ScheduleOSUpdate:")}  # fmt: skip
    return [
        (sent[entry.command_uuid], local(rehearsal, entry), entry)
        for entry in rehearsal.truth
        if entry.what is what and entry.command_uuid in sent
    ]


def local(rehearsal: Rehearsal, entry: Entry) -> datetime:
    """When that was by the clock on the device's wall."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=entry.at)
    return at.astimezone(ZoneInfo(rehearsal.world.devices[entry.udid].spec.time_zone))


def open_steps(rehearsal: Rehearsal, udid: str) -> set[str]:
    mine = {e.command_uuid for e in rehearsal.truth.of(udid, What.QUEUED) if e.detail.startswith("ScheduleOSUpdate:")}
    return mine & set(rehearsal.world.server.open_uuids(udid)) if mine else set()


def by_night(when: datetime) -> bool:
    return not time(5) <= when.time() < time(20)


@pytest.mark.parametrize(
    ("begins", "changes"),
    [("2026-10-23", {"Europe/Berlin"}), ("2027-03-27", {"Europe/Berlin"}), ("2026-10-31", {"America/New_York"})],
)
def test_who_is_off_at_night_finds_nothing_in_the_morning(tmp_path: Path, begins: str, changes: set[str]) -> None:
    rehearsal = site(tmp_path, (50, AWAY), (8, THERE), begins=begins)
    offsets = {
        zone: datetime.fromtimestamp(rehearsal.clock.now() / SECOND, ZoneInfo(zone)).utcoffset() for zone in ZONES
    }
    rollout = begun(rehearsal, window="20:00-05:00")
    away = [u for u, device in rehearsal.world.devices.items() if device.spec.behaviour is AWAY]
    assert len(away) == 50
    for _ in range(3 * 48):
        rehearsal.run(1 / 48)
        assert not any(open_steps(rehearsal, udid) for udid in away)
    after = {zone: datetime.fromtimestamp(rehearsal.clock.now() / SECOND, ZoneInfo(zone)).utcoffset() for zone in ZONES}
    assert {zone for zone in ZONES if after[zone] != offsets[zone]} == changes
    awake = {(e.udid, local(rehearsal, e)) for e in rehearsal.truth if e.what is What.AWAKE and e.udid in away}
    assert {udid for udid, when in awake if when.hour * 60 + when.minute in range(510, 512)} == set(away)
    assert all(time(8, 30) <= when.time() < time(20, 15) for _, when in awake)
    handed = steps(rehearsal, What.HANDED)
    assert {entry.udid for *_, entry in handed}.isdisjoint(away)
    assert all(by_night(when) for _, when, _ in handed)
    assert all(by_night(when) for _, when, _ in steps(rehearsal, What.QUEUED))
    status = rollout.status()
    assert status.states["done"] == 8
    assert sum(status.states.values()) == 58


def test_downloads_by_day_and_installs_by_night(tmp_path: Path) -> None:
    rehearsal = site(tmp_path, (12, THERE))
    rollout = begun(rehearsal, window="20:00-05:00", download_window="08:00-18:00")
    rehearsal.run(2.5)
    queued = steps(rehearsal, What.QUEUED)
    assert {action for action, *_ in queued} == {"DownloadOnly", "InstallASAP"}
    for action, when, _ in queued + steps(rehearsal, What.HANDED):
        assert by_night(when) if action == "InstallASAP" else 8 <= when.hour < 18, (action, when)
    assert rollout.status().states == {"done": 12}


def test_windows_that_overlap_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """The download window opens at midnight, in the middle of the install window: who comes at one has both by two."""
    late = replace(THERE, off_hours=(12, 1), kept_pushes=1, download_minutes=(5, 20))
    rehearsal = site(tmp_path, (8, late))
    rehearsal.run(1)  # until everybody has told what it is
    kit = rehearsal.kit
    plan = replace(kit.plan(kit.select(), target="26.6.1", window="20:00-05:00").plan, download_window=Window())
    rollout = kit.start(kit.draft(kit.select(), plan))
    rehearsal.run(2.2)
    assert rollout.status().states == {"done": 8}
    sent = {(entry.udid, action): when for action, when, entry in steps(rehearsal, What.QUEUED)}
    installs = {udid: when for (udid, action), when in sent.items() if action == "InstallASAP"}
    at_night = [(udid, when) for (udid, action), when in sent.items() if action == "DownloadOnly" and when.hour < 4]
    assert len(at_night) >= 4
    assert all(installs[udid].date() == when.date() for udid, when in at_night)
    assert all(by_night(when) for when in installs.values())


def test_nothing_is_sent_on_days_that_are_blacked_out_and_people_are_told_why(tmp_path: Path) -> None:
    rehearsal = site(tmp_path, (16, THERE))
    exams = Blackout(first=date(2026, 11, 23), last=date(2026, 11, 25), where='site == "North"', reason="exams")
    rollout = begun(rehearsal, blackouts=[exams])
    rehearsal.run(1.5)
    sites = {udid: device.spec.site for udid, device in rehearsal.world.devices.items()}
    waiting = {d.reason for d in rollout.status().devices if sites[d.udid] == "North"}
    assert waiting == {"black-out: exams until 2026-11-25"}
    assert {d.state for d in rollout.status().devices if sites[d.udid] == "South"} == {"done"}
    rehearsal.run(3)
    assert rollout.status().states == {"done": 16}
    north = [when.date() for _, when, entry in steps(rehearsal, What.QUEUED) if sites[entry.udid] == "North"]
    assert min(north) == date(2026, 11, 26)


def test_weekdays_are_those_of_the_device(tmp_path: Path) -> None:
    rehearsal = site(tmp_path, (8, THERE), begins="2026-11-27")  # a Friday
    rollout = begun(rehearsal, days="mon-thu")
    rehearsal.run(4)
    assert all(when.weekday() < 4 for _, when, _ in steps(rehearsal, What.QUEUED))
    assert rollout.status().states == {"done": 8}


def test_who_is_held_is_sent_nothing_until_released(tmp_path: Path) -> None:
    rehearsal = site(tmp_path, (12, THERE))
    kit = rehearsal.kit
    serials = [device.spec.serial for device in rehearsal.world.devices.values()]
    assert kit.hold(serials[:3], reason="board meeting", group="vip", until="2026-11-23") == 3
    assert kit.hold(serials[3:5], reason="shop window", group="kiosk") == 2
    draft = kit.plan(kit.select(), target="26.6.1")
    assert draft.held == 5
    assert "5 of them are on the hold list: they wait until they are released." in draft.warnings
    rollout = kit.start(draft)
    rehearsal.run(0.3)
    told = {d.serial: (d.state, d.reason) for d in rollout.status().devices}
    assert [told[serial] for serial in serials[:3]] == [("held", "held by ada: vip: board meeting")] * 3
    assert [told[serial] for serial in serials[3:5]] == [("held", "held by ada: kiosk: shop window")] * 2
    assert all(told[serial][0] == "done" for serial in serials[5:])
    rehearsal.run(0.6)  # the 23rd is over
    states = {d.serial: d.state for d in rollout.status().devices}
    assert {states[serial] for serial in serials[:3]} == {"done"}
    assert {states[serial] for serial in serials[3:5]} == {"held"}
    assert list(kit.holds()["reason"]) == ["kiosk: shop window"] * 2
    assert kit.release(serials) == 2
    assert kit.holds().empty
    rehearsal.run(0.3)
    assert rollout.status().states == {"done": 12}
    with kit.ledger.read() as tx:
        acts = [(a.who, a.what, a.count, a.detail) for a in tx.audits() if a.what in ("hold", "release")]
    assert acts == [
        ("ada", "hold", 3, "vip: board meeting until 2026-11-23"),
        ("ada", "hold", 2, "kiosk: shop window until released"),
        ("ada", "release", 2, "hold list"),
    ]
