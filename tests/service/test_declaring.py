"""The second instrument over the real turns, a simulated server of declarations and simulated devices."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from osupdate_kit.kit.rollouts import Rollout
from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.lab.specs import PROFILES
from osupdate_kit.lab.truth import What
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.rehearsal import SERVER, Rehearsal, write_list
from osupdate_kit.rollout.journey import Instrument
from osupdate_kit.rollout.policy import DAY
from osupdate_kit.rollout.state import Facts

STEADY = replace(PROFILES["always_on"], drops=0, agrees_early=0.0)
WORDS = {"target": "26.6.1", "enforce_days": 1, "enforce_weekends": True, "deadline": "5d"}


def site(folder: Path, devices: int = 8) -> Rehearsal:
    parts = makeup("school")
    found = [spec for spec in make_fleet(parts, 4 * devices, 1) if spec.platform is Platform.IPADOS][:devices]
    specs = tuple(
        replace(spec, os_version="26.5", build="23F60", passcode=False, shared_ipad=False, newest_major=99,
                time_zone="Europe/Berlin", behaviour=STEADY)
        for spec in found
    )  # fmt: skip
    rehearsal = Rehearsal.of(parts, specs, "sqlite://", seed=1, who="ada", declares=True)
    rehearsal.kit.sync(str(write_list(specs, folder / "fleet.csv")), SERVER)
    rehearsal.run(0.1)
    return rehearsal


def begun(rehearsal: Rehearsal) -> Rollout:
    kit = rehearsal.kit
    draft = kit.plan(kit.select(), **WORDS)
    assert {member.instrument for member in draft.members} == {Instrument.DECLARATION}
    return kit.start(draft)


def states(rehearsal: Rehearsal, rollout: Rollout) -> Counter[str]:
    return Counter(rehearsal.kit.status(rollout.id).states)


def given(rehearsal: Rehearsal) -> list[str]:
    """Devices to which the server still gives a set."""
    server = rehearsal.kit.declarations[SERVER]
    return [udid for udid in rehearsal.world.devices if server.sets_of(udid).names]


def facts_of(rehearsal: Rehearsal) -> list[Facts]:
    with rehearsal.kit.ledger.read() as tx:
        keys = [device.key for device in tx.all_devices()]
        return [Facts.from_json(device.facts) for device in tx.devices(keys).values()]


def test_devices_come_to_their_target_by_themselves_and_nothing_is_left_on_the_server(tmp_path: Path) -> None:
    rehearsal = site(tmp_path)
    rollout, server = begun(rehearsal), rehearsal.kit.declarations[SERVER]
    rehearsal.run(0.5)
    assert len(given(rehearsal)) == 8
    assert len(server.declarations().names) == 4  # one set serves them all, however many batches there were
    rehearsal.run(2.5)
    assert states(rehearsal, rollout) == {"done": 8}
    assert {e.instrument for udid in rehearsal.world.devices for e in rehearsal.truth.installs(udid)} == {"declaration"}
    assert not given(rehearsal)
    assert not [e for e in rehearsal.truth if e.what is What.QUEUED and e.detail.startswith("ScheduleOSUpdate:")]
    rehearsal.run(2.2)  # beyond the rollout's deadline
    assert not server.declarations().names
    assert not rehearsal.kit.verify()


def test_a_pause_takes_back_what_was_declared_and_a_resume_gives_it_anew(tmp_path: Path) -> None:
    rehearsal = site(tmp_path)
    rollout, kit = begun(rehearsal), rehearsal.kit
    rehearsal.run(0.3)
    kit.act("pause", rollout.id)
    rehearsal.run(0.3)
    assert not given(rehearsal)
    assert not any(facts.armed for facts in facts_of(rehearsal))
    rehearsal.run(2)  # the deadline that was declared passes
    assert states(rehearsal, rollout)["done"] == 0
    kit.act("resume", rollout.id)
    rehearsal.run(2.2)
    assert states(rehearsal, rollout) == {"done": 8}


def test_a_held_device_is_let_go_of_and_the_others_go_on(tmp_path: Path) -> None:
    rehearsal = site(tmp_path)
    rollout = begun(rehearsal)
    rehearsal.run(0.3)
    held = sorted(rehearsal.world.devices)[0]
    rehearsal.kit.hold([held], reason="exam")
    rehearsal.run(3)
    assert states(rehearsal, rollout) == {"done": 7, "held": 1}
    assert rehearsal.truth.version(held) == "26.5"
    assert not given(rehearsal)


def test_a_device_that_forgets_all_at_a_new_enrolment_is_told_again(tmp_path: Path) -> None:
    rehearsal = site(tmp_path)
    rollout = begun(rehearsal)
    rehearsal.run(0.3)
    rehearsal.world.enrol()
    rehearsal.run(3)
    assert states(rehearsal, rollout) == {"done": 8}


def test_reports_that_no_webhook_brings_are_read_at_the_server(tmp_path: Path) -> None:
    rehearsal = site(tmp_path)
    take = rehearsal.world.server.webhook
    assert take is not None

    def without_reports(body: bytes, headers: Mapping[str, str]) -> int:
        return 0 if json.loads(body)["topic"] == "mdm.DeclarativeManagement" else take(body, headers)

    rehearsal.world.server.webhook = without_reports
    kit = rehearsal.kit
    kit.start(kit.plan(kit.select(), **WORDS | {"enforce_days": 4, "deadline": "9d"}))
    rehearsal.run(3.5)
    assert all(facts.said["state"].text for facts in facts_of(rehearsal))
    newest = max(said.at for facts in facts_of(rehearsal) for said in facts.said.values())
    assert newest > rehearsal.clock.now() - 2 * DAY  # one of each day, not only the first
