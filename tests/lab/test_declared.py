"""The simulated devices' declarative side: fetched, judged, enforced by their own clocks, and reported of."""

import json
import plistlib
from base64 import b64decode
from datetime import UTC, datetime
from typing import Any

import pytest

from osupdate_kit.lab.clock import SECOND
from osupdate_kit.lab.truth import Fight, TruthLog, What
from tests.lab.worlds import MONDAY, SmallWorld, apple_tv, ipad, mac

WEDNESDAY = "2026-11-25T19:00:00"
ALONE: dict[str, Any] = {"agrees_early": 0.0}


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


def judged(world: SmallWorld, udid: str) -> dict[str, tuple[bool, str, list[str]]]:
    rows = world.state(udid)["management.declarations"]
    return {
        row["identifier"]: (row["active"], row["valid"], [reason["code"] for reason in row.get("reasons", ())])
        for kind in rows.values()
        for row in kind
    }


def test_a_declared_device_installs_at_the_deadline_of_its_own_time_zone() -> None:
    pads = [ipad("HERE", **ALONE), ipad("TOKYO", time_zone="Asia/Tokyo", **ALONE)]
    world = SmallWorld(*pads, mac(**ALONE))
    world.enforce("18.7.2", WEDNESDAY, "HERE", "TOKYO")
    world.hours(20)
    assert world.state("HERE")["softwareupdate.install-state"] == "prepared"
    assert world.state("HERE")["softwareupdate.pending-version"] == {
        "os-version": "18.7.2", "build-version": "22H124", "target-local-date-time": WEDNESDAY,
    }  # fmt: skip
    assert world.truth.version("HERE") == "18.6.2"
    world.days(3)
    for udid, due in (("HERE", at(WEDNESDAY)), ("TOKYO", at("2026-11-25T10:00:00"))):
        (installed,) = world.truth.installs(udid)
        assert 0 < installed.at - due < 3600 * SECOND
        assert installed[1:] == ("18.7.2", "declaration", "declaration", "update")
        assert world.state(udid)["device.operating-system.version"] == "18.7.2"
        assert world.state(udid)["softwareupdate.install-state"] == "none"
        assert judged(world, udid)["update"] == (True, "invalid", ["Error.ConfigurationCannotBeApplied"])
    assert world.truth.installs("MAC") == []


def test_the_first_report_is_full_then_come_increments_and_a_full_one_each_day() -> None:
    world = SmallWorld(ipad(**ALONE))
    world.enforce("18.7.2", WEDNESDAY, "PAD")
    world.hours(60)
    first, *more = world.told("PAD")
    assert first["FullReport"] is True
    assert "client-capabilities" in first["StatusItems"]["management"]
    assert first["StatusItems"]["device"]["operating-system"]["version"] == "18.6.2"
    full = [report for report in more if report.get("FullReport")]
    states = [report["StatusItems"].get("softwareupdate", {}).get("install-state") for report in [first, *more]]
    assert len(full) == 2
    told = [state for state, before in zip(states, [None, *states], strict=False) if state and state != before]
    assert told == ["waiting", "downloading", "prepared", "installing", "none"]
    for report in more:
        if not report.get("FullReport"):
            assert "identifier" not in report["StatusItems"].get("device", {})
            assert "client-capabilities" not in report["StatusItems"].get("management", {})


def test_what_is_not_subscribed_is_not_reported() -> None:
    world = SmallWorld(ipad(**ALONE))
    world.enforce("18.7.2", WEDNESDAY, "PAD", subscribe=["softwareupdate.install-state", "passcode.is-present"])
    world.days(3)
    assert set(world.state("PAD")) == {
        "management.declarations", "management.client-capabilities", "management.push-token",
        "softwareupdate.install-state",
    }  # fmt: skip
    errors = [error["StatusItem"] for report in world.told("PAD") for error in report["Errors"]]
    assert set(errors) == {"passcode.is-present"}


def test_a_person_may_install_before_the_deadline() -> None:
    world = SmallWorld(ipad(agrees_early=1.0, prompt_hours=(1, 2)))
    world.enforce("18.7.2", WEDNESDAY, "PAD")
    world.days(1)
    (installed,) = world.truth.installs("PAD")
    assert (installed.version, installed.instrument, installed.by) == ("18.7.2", "declaration", "user")
    reasons = [r["StatusItems"].get("softwareupdate", {}).get("install-reason") for r in world.told("PAD")]
    assert {"reason": ["notification"]} in reasons


def test_a_device_too_old_refuses_and_one_too_old_for_updates_says_so() -> None:
    world = SmallWorld(ipad("OLD", version="14.8"), ipad("MIDDLE", version="16.7"), apple_tv(version="18.3"))
    world.enforce("18.7.2", WEDNESDAY, "MIDDLE", "TV")
    report = world.ask("DeclarativeManagement", "OLD")
    assert (report["Status"], report["ErrorChain"][0]["ErrorCode"]) == ("Error", 12021)
    world.hours(1)
    for udid in ("MIDDLE", "TV"):
        assert judged(world, udid)["update"] == (False, "invalid", ["Error.ConfigurationNotSupported"])
        capable = world.state(udid)["management.client-capabilities"]["supported-payloads"]
        assert not any("softwareupdate" in name for name in capable["status-items"])
    assert world.truth.of("MIDDLE", What.DECLARED) == []


def test_a_mac_must_be_supervised() -> None:
    world = SmallWorld(mac(supervised=False))
    world.enforce("15.7.2", WEDNESDAY, "MAC")
    world.days(3)
    assert judged(world, "MAC")["update"] == (False, "invalid", ["Error.ConfigurationNotSupported"])
    assert world.truth.version("MAC") == "15.6.1"


def test_configurations_want_an_activation_and_activations_their_configurations() -> None:
    world = SmallWorld(ipad())
    world.declare("update", "configuration.softwareupdate.enforcement.specific",
                  TargetOSVersion="18.7.2", TargetLocalDateTime=WEDNESDAY)  # fmt: skip
    world.declare("active", "activation.simple", StandardConfigurations=["update", "gone"])
    world.assign("PAD")
    world.days(4)
    assert judged(world, "PAD") == {
        "update": (False, "unknown", ["Info.NotReferencedByActivation"]),
        "active": (False, "invalid", ["Error.MissingConfigurations"]),
    }
    assert world.truth.version("PAD") == "18.6.2"


@pytest.mark.parametrize("version", ["18.6.2", "17.7"])
def test_a_target_that_is_not_newer_is_active_and_invalid(version: str) -> None:
    world = SmallWorld(ipad())
    world.enforce(version, WEDNESDAY, "PAD")
    world.hours(1)
    assert judged(world, "PAD")["update"] == (True, "invalid", ["Error.ConfigurationCannotBeApplied"])
    assert world.truth.of("PAD", What.DECLARED) == []


def test_a_target_that_nobody_knows_stays_active_and_nothing_happens() -> None:
    world = SmallWorld(ipad())
    world.enforce("18.9", WEDNESDAY, "PAD")
    world.days(4)
    assert judged(world, "PAD")["update"] == (True, "valid", [])
    assert world.state("PAD")["softwareupdate.install-state"] == "none"
    assert world.truth.version("PAD") == "18.6.2"


def test_a_declaration_that_is_withdrawn_enforces_nothing() -> None:
    world = SmallWorld(ipad(**ALONE))
    world.enforce("18.7.2", WEDNESDAY, "PAD")
    world.hours(20)
    world.assign("PAD", method="DELETE")
    world.days(4)
    assert world.truth.version("PAD") == "18.6.2"
    assert [entry.what for entry in world.truth.of("PAD", What.DECLARED, What.UNDECLARED)] == ["declared", "undeclared"]
    assert world.told("PAD")[-1]["StatusItems"]["management"]["declarations"]["configurations"] == []


def test_a_device_that_enrols_anew_has_forgotten_and_is_told_by_a_command() -> None:
    world = SmallWorld(ipad(**ALONE))
    world.enforce("18.7.2", WEDNESDAY, "PAD")
    world.hours(20)
    world.world.enrol(["PAD"])
    world.days(3)
    assert world.truth.version("PAD") == "18.6.2"
    world.enqueue("DeclarativeManagement", "PAD")
    world.days(1)
    assert world.truth.version("PAD") == "18.7.2"


def test_a_device_that_is_off_at_the_deadline_installs_an_hour_after_it_is_back() -> None:
    world = SmallWorld(ipad(off_hours=(18, 23), **ALONE))
    world.enforce("18.7.2", WEDNESDAY, "PAD")
    world.days(3)
    (started,) = world.truth.of("PAD", What.INSTALL_STARTED)
    assert started.at >= at("2026-11-26T00:00:00")


def test_failures_are_counted_and_told_with_their_reason() -> None:
    world = SmallWorld(
        ipad("FULL", disk_full=True, **ALONE), ipad("ONCE", installs_fail=1, **ALONE),
        ipad("NEVER", installs_refused=99, **ALONE), ipad("FLAT", battery_flat=True, **ALONE),
    )  # fmt: skip
    world.enforce("18.7.2", WEDNESDAY, "FULL", "ONCE", "NEVER", "FLAT")
    world.days(5)
    for udid, words in (("FULL", "There is not enough free space."), ("NEVER", "The update could not be prepared.")):
        failure = world.state(udid)["softwareupdate.failure-reason"]
        assert failure["count"] > 1
        assert (failure["reason"], world.state(udid)["softwareupdate.install-state"]) == (words, "failed")
    for udid in ("ONCE", "FLAT"):
        counts = [r["StatusItems"].get("softwareupdate", {}).get("failure-reason") for r in world.told(udid)]
        assert max(count["count"] for count in counts if count) >= 1
        assert world.truth.version(udid) == "18.7.2"
        assert world.state(udid)["softwareupdate.failure-reason"] == {"count": 0}


def test_a_managed_update_is_closed_to_commands() -> None:
    world = SmallWorld(ipad(version="18.6.2", newest_major=18, **ALONE))
    world.enforce("18.7.2", WEDNESDAY, "PAD")
    world.hours(20)
    uuid = world.schedule("InstallASAP", "PAD")
    world.hours(1)
    (report,) = world.reports(uuid)
    assert report["Status"] == "Error"
    assert "declaration" in report["ErrorChain"][0]["LocalizedDescription"]
    assert world.status("PAD") == []
    assert world.ask("AvailableOSUpdates", "PAD")["Status"] == "Error"
    assert [(fight.udid, fight.command_uuid, fight.declaration) for fight in world.truth.fights()] == [
        ("PAD", uuid, "update")
    ]


def test_27_knows_declarations_but_no_update_commands() -> None:
    world = SmallWorld(ipad(version="27.0"))
    for request_type in ("ScheduleOSUpdate", "AvailableOSUpdates", "OSUpdateStatus"):
        assert world.ask(request_type, "PAD")["ErrorChain"][0]["ErrorCode"] == 12021
    assert world.ask("DeclarativeManagement", "PAD")["Status"] == "Acknowledged"


def test_a_mute_device_acknowledges_and_never_asks() -> None:
    world = SmallWorld(ipad(mute=True))
    world.enforce("18.7.2", WEDNESDAY, "PAD")
    world.days(4)
    assert world.told("PAD") == []
    assert world.truth.version("PAD") == "18.6.2"


def test_every_check_in_comes_to_the_webhook() -> None:
    world = SmallWorld(ipad(**ALONE))
    world.enforce("18.7.2", WEDNESDAY, "PAD")
    world.hours(1)
    told = [event for event in world.events if event["topic"] == "mdm.DeclarativeManagement"]
    plists = [plistlib.loads(b64decode(event["checkin_event"]["raw_payload"])) for event in told]
    asked = sorted(fields["Endpoint"] for fields in plists if fields["Endpoint"] != "status")
    assert asked == [
        "declaration-items", "declaration/activation/active", "declaration/configuration/status",
        "declaration/configuration/update", "tokens",
    ]  # fmt: skip
    reports = [json.loads(fields["Data"]) for fields in plists if fields["Endpoint"] == "status"]
    assert sorted(map(str, reports)) == sorted(map(str, world.told("PAD")))


def test_a_step_beside_a_declaration_is_a_fight_and_one_after_the_other_is_none() -> None:
    log = TruthLog()
    log.add(1, "D", What.QUEUED, "U1", "ScheduleOSUpdate:InstallASAP")
    log.add(2, "D", What.ANSWERED, "U1", "Error")
    log.add(3, "D", What.DECLARED, "r7", "18.7.2")
    log.add(4, "D", What.UNDECLARED, "r7", "18.7.2")
    log.add(5, "D", What.QUEUED, "U2", "ScheduleOSUpdate:InstallASAP")
    assert log.fights() == []
    log.add(6, "D", What.DECLARED, "r8", "18.7.2")
    assert log.fights() == [Fight(6, "D", "U2", "r8")]
    assert log.fights(own={"U1"}) == []


def test_equal_seeds_give_equal_lives() -> None:
    def life() -> list[object]:
        world = SmallWorld(ipad(seed=3), mac(seed=4), ipad("B", seed=5, installs_fail=1))
        world.enforce("18.7.2", WEDNESDAY, "PAD", "MAC", "B")
        world.days(5)
        return [*world.truth, MONDAY]

    assert life() == life()
