"""Second persons, notes and hand-overs: what waits, who may end that, and where people read of it."""

import os
import pwd
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from osupdate_kit.errors import RolloutError, SelectionError
from osupdate_kit.kit import Kit
from osupdate_kit.kit.people import vouches, who_acts
from osupdate_kit.kit.rollouts import Rollout
from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.rehearsal import SERVER, Rehearsal, write_list
from osupdate_kit.rollout.people import APPROVAL, SecondPerson

TARGET = "26.6.1"


class Office(NamedTuple):
    """A fleet, and two people over its store; the service's rule wants a second person over ten devices."""

    rehearsal: Rehearsal
    ada: Kit
    bob: Kit

    def begin(self) -> Rollout:
        return self.ada.start(self.plan())

    def plan(self, most: int = 0) -> str:
        chosen = self.ada.select('platform == "iPadOS"')
        if most:
            chosen = self.ada.select(wanted=[device.serial for device in chosen.devices[:most]])
        return self.ada.save(self.ada.plan(chosen, target=TARGET, allow_major=True))

    def sent(self, rollout: int) -> int:
        with self.ada.ledger.read() as tx:
            return sum(journey.journey.commands_sent for journey, _ in tx.journeys(rollout))


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    parts = makeup("school")
    specs = make_fleet(parts, 40, 3)
    rehearsal = Rehearsal.of(parts, specs, f"sqlite:///{tmp_path / 'store.db'}", who="ada")
    ada = rehearsal.kit
    ada.sync(str(write_list(specs, tmp_path / "fleet.csv")), SERVER)
    rehearsal.run(0.5)
    bob = Kit(ada.ledger, ada.servers, ada.clock, ada.cadences, who="bob")
    Kit(ada.ledger, ada.servers, ada.clock, ada.cadences, who="service", rule=SecondPerson(10)).turns()
    yield Office(rehearsal, ada, bob)
    ada.close()


def test_a_large_rollout_waits_until_another_person_approves(office: Office) -> None:
    rollout = office.begin()
    taking = rollout.status().selected - rollout.status().states.get("barred", 0)
    assert taking > 10
    office.rehearsal.run(1)
    status = rollout.status()
    assert office.sent(rollout.id) == 0
    assert status.states["held"] == taking
    assert {device.reason for device in status.devices if device.state == "held"} == {APPROVAL}
    assert f"{taking} devices take it" in status.approval
    assert "Another person has to approve first." in status.finding

    with pytest.raises(RolloutError, match="ada asked for it"):
        rollout.approve()
    act = Rollout(office.bob, rollout.id).approve()
    office.rehearsal.run(2)
    assert office.bob.outcome(act) == "done"
    assert not rollout.status().approval
    assert rollout.status().states["done"] > 0
    assert office.ada.verify() == []
    with office.ada.ledger.read() as tx:
        said = [(one.who, one.what, one.count) for one in tx.audits(rollout.id) if one.what == "approve"]
    assert said == [("bob", "approve", taking)]
    with pytest.raises(RolloutError, match="waits for nobody"):
        Rollout(office.bob, rollout.id).approve()


def test_macs_are_not_even_asked_before_another_person_approves(office: Office) -> None:
    kit = office.ada
    with kit.ledger.write() as tx:
        tx.set_second_person(SecondPerson(1))
    chosen = kit.select('platform == "macOS"')
    rollout = kit.start(kit.plan(chosen, target="26.6.2", allow_major=True))
    office.rehearsal.run(1)

    def asked() -> int:
        with kit.ledger.read() as tx:
            events = tx.events_of([device.key for device in chosen.devices]).values()
            return sum(event.rollout == rollout.id for mine in events for event in mine)

    assert asked() == 0
    assert set(rollout.status().states) <= {"held", "barred"}
    Rollout(office.bob, rollout.id).approve()
    office.rehearsal.run(1)
    assert asked() > 0
    assert rollout.status().states.get("held", 0) == 0


def test_the_service_judges_who_is_another_person_whatever_a_client_wrote(office: Office) -> None:
    rollout = office.begin()
    with office.ada.ledger.write() as tx:
        act = tx.add_act(at=office.ada.now(), who="Ada", what="approve", rollout=rollout.id)
    office.rehearsal.run(0.2)
    assert "cannot be the second person" in str(office.ada.outcome(act))
    assert rollout.status().approval
    assert office.sent(rollout.id) == 0


def test_a_rollout_of_few_devices_begins_at_once(office: Office) -> None:
    rollout = office.ada.start(office.plan(most=10))
    office.rehearsal.run(1)
    assert not rollout.status().approval
    assert office.sent(rollout.id) > 0


def test_revising_a_small_rollout_by_a_large_plan_waits_for_a_second_person(office: Office) -> None:
    rollout = office.ada.start(office.plan(most=5))
    office.rehearsal.run(0.3)
    before = office.sent(rollout.id)
    assert before > 0
    rollout.revise(office.plan())
    office.rehearsal.run(1)
    assert rollout.status().approval.startswith("ada asked")
    assert office.sent(rollout.id) == before
    Rollout(office.bob, rollout.id).approve()
    office.rehearsal.run(1)
    assert office.sent(rollout.id) > before


def test_a_rule_that_comes_first_with_the_service_concerns_what_nothing_was_sent_of(office: Office) -> None:
    kit = office.ada
    kit_without = Kit(kit.ledger, kit.servers, kit.clock, kit.cadences, who="ada", rule=SecondPerson())
    kit_without.turns()
    rollout = office.begin()
    assert not rollout.status().approval
    Kit(kit.ledger, kit.servers, kit.clock, kit.cadences, who="service", rule=SecondPerson(10)).turns()
    assert rollout.status().approval
    with kit.ledger.read() as tx:
        rules = [one.detail for one in tx.audits() if one.what == "rule"]
    assert rules[-1] == "second approver over 10 devices, before: 0"


def test_what_waits_for_a_second_person_is_told_wherever_people_look(office: Office) -> None:
    rollout = office.begin()
    office.rehearsal.run(0.2)
    need = next(one for one in office.ada.today().needs if one.kind == "approval")
    assert "waits for a second person" in need.what
    assert f"rollout approve {rollout.id}" in need.remedy
    told = office.ada.why(next(device.serial for device in rollout.status().devices if device.state == "held"))
    assert "It waits for another person to approve of the plan." in told.finding
    assert f"rollout approve {rollout.id}" in told.remedy
    office.rehearsal.run(2.3)  # longer than patience lasts: nobody stalls who may not begin
    shown = Counter(rollout.devices()["state"])
    assert shown == rollout.status().states
    assert set(shown) == {"held", "barred"}
    monitor = rollout.monitor()
    try:
        monitor._look()
        assert monitor.head["asks"]["approve"]["question"].startswith("You are the second person")
        assert monitor.counts["finding"] == f"Nothing is sent: {APPROVAL}."
    finally:
        monitor.close()


def test_notes_and_hand_overs_are_told_and_audited(office: Office) -> None:
    rollout = office.ada.start(office.plan(most=5))
    serial = rollout.status().devices[0].serial
    office.ada.note("Screen is broken, waits for repair", device=serial)
    Rollout(office.bob, rollout.id).note("Look at the lobby first", device=serial)
    rollout.note("Bob takes over on Monday")
    rollout.hand_over("bob", "on leave")
    assert rollout.status().owner == "bob"
    assert office.ada.notes()["text"].tolist() == [
        "Bob takes over on Monday", "Look at the lobby first", "Screen is broken, waits for repair",
    ]  # fmt: skip
    assert office.ada.notes(device=serial)["who"].tolist() == ["bob", "ada"]
    assert len(office.ada.notes(rollout=rollout.id)) == 2
    story = [(one.what, one.detail) for one in office.ada.why(serial).story]
    assert ("Note by ada", "Screen is broken, waits for repair") in story
    assert ("Note on the rollout by ada", "Bob takes over on Monday") in story
    assert ("The rollout: hand-over", "by ada: to bob: on leave") in story
    with office.ada.ledger.read() as tx:
        said = {(one.who, one.what, one.detail) for one in tx.audits()}
    assert ("bob", "note", f"{serial}: Look at the lobby first") in said
    assert ("ada", "hand-over", "to bob: on leave") in said


def test_a_note_needs_words_and_something_it_is_on(office: Office) -> None:
    for words in ("  ", "x" * 2001):
        with pytest.raises(RolloutError, match="note"):
            office.ada.note(words, device="whoever")
    with pytest.raises(RolloutError, match="on nothing"):
        office.ada.note("hello")
    with pytest.raises(SelectionError, match="is called"):
        office.ada.note("hello", device="nobody")
    with pytest.raises(RolloutError, match="no rollout 99"):
        office.ada.note("hello", rollout=99)


@pytest.mark.parametrize(
    ("account", "shell", "trusted"),
    [(0, "/bin/bash", True), (998, "/usr/sbin/nologin", True), (998, "/bin/false", True), (1000, "/bin/bash", False)],
)
def test_sudo_s_word_counts_where_nobody_else_could_have_said_it(account: int, shell: str, trusted: bool) -> None:
    assert vouches(account, shell) is trusted


def test_the_account_is_the_systems_word_and_no_variables() -> None:
    mine = pwd.getpwuid(os.getuid()).pw_name
    words = "from osupdate_kit.kit.people import who_acts; print(who_acts(), who_acts('ada'), sep='|')"
    claims = dict.fromkeys(("LOGNAME", "USER", "USERNAME", "LNAME"), "mallory")
    environment = {name: value for name, value in os.environ.items() if name != "SUDO_UID"} | claims
    done = subprocess.run([sys.executable, "-c", words], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{mine}|ada via {mine}"
    assert who_acts("  ada   lovelace ").startswith("ada lovelace via ")
