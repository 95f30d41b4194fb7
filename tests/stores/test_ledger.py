"""The ledger keeps what it is told, on every database alike."""

import random
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import select, update

from osupdate_kit.errors import PlanError, RolloutError
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.events import EventKind
from osupdate_kit.rollout.journey import Armed, Journey, OutboxKind, OutboxStatus, RolloutStatus
from osupdate_kit.rollout.policy import MINUTE
from osupdate_kit.stores.ledger import Ledger, StoredDevice, Transaction, Transition
from osupdate_kit.stores.schema import minutes
from tests.stores.values import DAY, NOW, begin, device, event, inbox_row, key, member, step

# --- inbox ---


def test_what_is_taken_in_comes_out_oldest_first_and_stays_until_it_is_done(ledger: Ledger) -> None:
    ledger.take_in([inbox_row("one"), inbox_row("two", kind="receipt")])
    ledger.take_in([inbox_row("three", server="other", at=NOW + 1)])
    with ledger.read() as tx:
        rows = tx.inbox_next(2)
        assert [(row.body, row.kind, row.server, row.received_at) for row in rows] == [
            (b"one", "webhook", "mdm", NOW),
            (b"two", "receipt", "mdm", NOW),
        ]
        assert tx.inbox_size() == 3
    with ledger.write() as tx:
        tx.inbox_done([row.id for row in rows])
    with ledger.read() as tx:
        assert [row.body for row in tx.inbox_next(10)] == [b"three"]


def test_an_inbox_number_is_never_used_twice(ledger: Ledger) -> None:
    numbers = []
    for text in ("one", "two"):
        ledger.take_in([inbox_row(text)])
        with ledger.write() as tx:
            (row,) = tx.inbox_next(1)
            numbers.append(row.id)
            tx.inbox_done([row.id])
    assert numbers[0] < numbers[1]


def test_a_transaction_that_fails_leaves_nothing(ledger: Ledger) -> None:
    def broken() -> None:
        with ledger.write() as tx:
            tx.inbox_add([inbox_row("one")])
            tx.add_devices([device(1)], now=NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    with ledger.read() as tx:
        assert (tx.inbox_size(), tx.count_devices()) == (0, 0)


# --- devices ---


def test_a_device_comes_back_as_it_was_kept(ledger: Ledger) -> None:
    told = device(1, attributes={"room": "A 1"}, declared=True, awaiting_configuration=True, last_seen_at=NOW)
    unknown = device(2, platform=None, os_version=None, supervised=None, name="")
    with ledger.write() as tx:
        assert tx.add_devices([told, unknown], now=NOW) == 2
    with ledger.read() as tx:
        kept = tx.devices([key(1), key(2), key(3)])
        assert kept == {key(1): StoredDevice(device=told), key(2): StoredDevice(device=unknown)}
        assert list(tx.all_devices()) == [told, unknown]


def test_saving_a_device_replaces_all_of_it(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.add_devices([device(1), device(2)], now=NOW)
        better = replace(device(1), os_version=OSVersion.parse("18.7"), supervised=None, enrolled=False)
        row = StoredDevice(device=better, facts='{"a":1}', newest_at=NOW + 3, info_at=NOW + 2)
        tx.save_devices([row])
        assert tx.devices([key(1)]) == {key(1): row}
        assert tx.devices([key(2)]) == {key(2): StoredDevice(device=device(2))}


def test_a_list_never_replaces_a_known_value_by_an_empty_one(ledger: Ledger) -> None:
    bare = device(1, serial="", name="", platform=None, os_version=None, supervised=None, site="")
    with ledger.write() as tx:
        tx.add_devices([device(1, last_seen_at=NOW)], now=NOW)
        assert tx.add_devices([bare, device(2)], now=NOW) == 1
        assert tx.devices([key(1)])[key(1)].device == device(1, last_seen_at=NOW)
        tx.add_devices([device(1, site="South", last_seen_at=NOW - 1)], now=NOW)
        assert tx.devices([key(1)])[key(1)].device == device(1, site="South", last_seen_at=NOW)


def test_a_list_never_overrules_what_a_device_told_of_itself(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.add_devices([device(1)], now=NOW)
        told = device(1, os_version=OSVersion.parse("18.7"), enrolled=False, supervised=False)
        tx.save_devices([StoredDevice(device=told, info_at=NOW)])
        tx.add_devices([device(1, os_version=OSVersion.parse("17.0"), platform=Platform.IOS, ring="pilot")], now=NOW)
        assert tx.devices([key(1)])[key(1)].device == replace(told, ring="pilot")


def test_last_seen_only_grows(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.add_devices([device(1), device(2)], now=NOW)
        tx.seen({key(1): NOW, key(2): NOW})
        tx.seen({key(1): NOW - 5, key(2): NOW + 5})
        assert [d.last_seen_at for d in tx.all_devices()] == [NOW, NOW + 5]


def test_devices_stream_in_key_order_from_anywhere(ledger: Ledger) -> None:
    everyone = [device(n, server) for server in ("a", "b") for n in range(1300)]
    with ledger.write() as tx:
        assert tx.add_devices(random.Random(1).sample(everyone, len(everyone)), now=NOW) == 2600
    with ledger.read() as tx:
        assert [d.key for d in tx.all_devices()] == [d.key for d in everyone]
        rest = [d.key for d in tx.all_devices(after=key(1298, "a"), limit=3)]
        assert rest == [key(1299, "a"), key(0, "b"), key(1, "b")]
        assert tx.count_devices() == 2600
        assert len(tx.devices([d.key for d in everyone] * 2)) == 2600


def test_a_serial_names_the_enrolment_that_was_seen_last(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.add_devices([device("old", serial="S", last_seen_at=1), device("new", serial="S", last_seen_at=2)], now=NOW)
        assert tx.key_of_serial("mdm", "S") == key("new")
        assert tx.key_of_serial("other", "S") is None
        assert tx.key_of_serial("mdm", "") is None


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>", "'); DROP TABLE devices; --", "nul\0", "\ud800", "😀"]
)
def test_text_from_devices_is_data(ledger: Ledger, name: str) -> None:
    with ledger.write() as tx:
        tx.add_devices([device(1, name=name)], now=NOW)
        tx.add_events([event(1, evidence={"name": name})])
    with ledger.read() as tx:
        kept = tx.devices([key(1)])[key(1)].device.name
        assert kept == name or "\ufffd" in kept
        assert tx.events_of([key(1)])[key(1)][0].evidence == {"name": name}


# --- holds, census, servers ---


def test_a_hold_stands_until_its_end_or_its_release(ledger: Ledger) -> None:
    with ledger.write() as tx:
        first = tx.add_hold(key(1), at=NOW, by="ada", reason="exam")
        tx.add_hold(key(2), at=NOW, by="ada", reason="exam", until_at=NOW + 10)
        assert set(tx.holds([key(1), key(2), key(3)], NOW)) == {key(1), key(2)}
        assert set(tx.all_holds(NOW + 10)) == {key(1)}
        assert tx.holds([key(1)], NOW)[key(1)].reason == "exam"
        assert tx.release_hold(first, at=NOW, by="bob")
        assert not tx.release_hold(first, at=NOW, by="bob")
        assert tx.holds([key(1)], NOW) == {}
        assert [hold.released_by for hold in tx.holds_ever([key(1), key(2)])] == ["bob", ""]


def test_a_device_is_called_by_serial_enrollment_id_or_udid_on_every_server(ledger: Ledger) -> None:
    here, there, guest = DeviceKey("a", "UDID-1"), DeviceKey("b", "UDID-1"), DeviceKey("c", "GUEST-7")
    with ledger.write() as tx:
        tx.add_devices(
            [
                Device(key=here, udid="UDID-1", serial="S1"),
                Device(key=there, udid="UDID-1"),
                Device(key=guest, udid="UDID-2", serial="S1"),
                Device(key=key(9)),
            ],
            now=1,
        )
    with ledger.read() as tx:
        assert set(tx.keys_called("S1")) == {here, guest}
        assert set(tx.keys_called("UDID-1")) == {here, there, guest}
        assert tx.keys_called("UDID-2") == [guest]
        assert tx.keys_called("GUEST-7") == [guest, here]
        assert tx.keys_called("nobody") == tx.keys_called("") == []


def test_the_census_asks_in_turn(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.census_add([key(2)], now=NOW)
        tx.census_add([key(1), key(2)], now=NOW + 1)
        assert tx.census_next(5) == [key(2), key(1)]
        tx.census_done([key(2)])
        assert tx.census_next(5) == [key(1)]


def test_a_server_is_kept_by_its_name(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.add_server("mdm", "nanohub", now=NOW)
        tx.add_server("mdm", "nanomdm", now=NOW)
        assert tx.servers() == {"mdm": "nanomdm"}


# --- events ---


def test_events_are_numbered_in_order_and_repeats_are_ignored(ledger: Ledger) -> None:
    words = {"proves": [1], "failure": ["refused", "no"]}
    with ledger.write() as tx:
        new = tx.add_events([event(1, "a", evidence=words), event(2, "a"), event(1, "a"), event(1, "b", NOW - 1)])
        assert [(e.key, e.digest) for e in new] == [(key(1), "a"), (key(2), "a"), (key(1), "b")]
        assert [e.seq for e in new] == sorted({e.seq for e in new})
        assert tx.last_seq() == new[-1].seq
        assert tx.add_events([event(1, "b"), event(2, "a")]) == []
        (late,) = tx.add_events([event(3, "a", kind=EventKind.ANSWERED, command_uuid="U", outbox=7, rollout=2)])
        assert late.seq > new[-1].seq
    with ledger.read() as tx:
        assert tx.events_of([key(1), key(3), key(4)]) == {key(1): [new[2], new[0]], key(3): [late]}


def test_replay_gives_each_device_once_with_all_its_events_in_order(ledger: Ledger) -> None:
    chance = random.Random(3)
    many = [event(n % 70, f"d{n}", NOW + chance.randrange(50)) for n in range(2500)]
    with ledger.write() as tx:
        stored = tx.add_events(many)
    with ledger.read() as tx:
        replayed = dict(tx.replay())
        assert list(replayed) == [key(n) for n in range(70)]
        for number, events in enumerate(replayed.values()):
            assert events == sorted((e for e in stored if e.key == key(number)), key=lambda e: (e.at, e.seq))


def test_raw_bodies_come_back_until_they_are_forgotten(ledger: Ledger) -> None:
    with ledger.write() as tx:
        one, two = tx.add_events([event(1, "a"), event(1, "b")])
        tx.add_raw([(one.seq, b"<plist/>" * 100)], at=NOW)
        tx.add_raw([(two.seq, b"\0\xff")], at=NOW + DAY)
        assert tx.raw(one.seq) == b"<plist/>" * 100
        assert tx.forget_raw(NOW + 1) == 1
        assert (tx.raw(one.seq), tx.raw(two.seq)) == (None, b"\0\xff")


# --- outbox ---


def test_intentions_get_growing_ids_in_the_order_given(ledger: Ledger) -> None:
    with ledger.write() as tx:
        first = tx.add_outbox([step(n) for n in range(1500)])
        second = tx.add_outbox([step(1, kind=OutboxKind.PUSH, gate=NOW)])
        assert [row.id for row in first + second] == list(range(first[0].id, first[0].id + 1501))
        assert tx.outbox_rows([first[3].id, second[0].id, 99_999]) == {r.id: r for r in (first[3], second[0])}
        assert tx.outbox_backlog("mdm") == 1501
        assert tx.outbox_backlog("other") == 0


def test_ready_are_the_due_intentions_of_one_server(ledger: Ledger) -> None:
    with ledger.write() as tx:
        rows = tx.add_outbox([step(1), step(2, not_before=NOW + 5), step(3), step(4, key=key(4, "other"))])
        tx.save_outbox([replace(rows[0], status=OutboxStatus.WITHDRAWN)])
        assert tx.outbox_ready("mdm", NOW, 9) == [rows[2]]
        assert tx.outbox_ready("mdm", NOW + 5, 9) == [rows[2], rows[1]]
        assert tx.outbox_ready("mdm", NOW + 5, 1) == [rows[2]]
        assert tx.outbox_intended(1) == rows[1:]
        assert tx.outbox_intended(2) == []


def test_unsure_steps_come_as_whole_batches(ledger: Ledger) -> None:
    with ledger.write() as tx:
        rows = tx.add_outbox([*(step(n) for n in range(6)), step(6, kind=OutboxKind.QUERY)])
        sending = [replace(r, status=OutboxStatus.SENDING, command_uuid="A", not_before=NOW) for r in rows[:3]]
        unknown = [replace(r, status=OutboxStatus.UNKNOWN, command_uuid="B", not_before=NOW + 5) for r in rows[3:5]]
        query = replace(rows[6], status=OutboxStatus.SENDING, command_uuid="C", not_before=NOW)
        tx.save_outbox([*sending, *unknown, query])
        assert tx.outbox_unsure("mdm", NOW - 1, 9) == []
        assert tx.outbox_unsure("mdm", NOW, 1) == sending
        assert tx.outbox_unsure("mdm", NOW + 5, 9) == sending + unknown
        tx.save_outbox([replace(sending[0], status=OutboxStatus.QUEUED)])
        assert tx.outbox_unsure("mdm", NOW, 9) == sending[1:]
        assert tx.outbox_unsure("other", NOW, 9) == []


@pytest.mark.parametrize("assignments", [False, True])
def test_what_is_due_for_a_server_that_takes_nothing_waits_and_pushes_are_dropped(
    ledger: Ledger, assignments: bool
) -> None:
    kinds = (OutboxKind.STEP, OutboxKind.QUERY, OutboxKind.ASSIGNMENT, OutboxKind.PUSH)
    with ledger.write() as tx:
        ready = tx.add_outbox([step(n, kind=kind) for n, kind in enumerate(kinds)])
        later = tx.add_outbox([step(5, not_before=NOW + 9), step(6, key=key(6, "other"))])
        unsure = tx.add_outbox([step(7), step(8, kind=OutboxKind.ASSIGNMENT)])
        unsure = [replace(row, status=OutboxStatus.UNKNOWN, command_uuid=str(row.id)) for row in unsure]
        tx.save_outbox(unsure)
        tx.postpone("mdm", assignments=assignments, now=NOW, later=NOW + 5)
        step_, query, assignment, push = ready
        untouched = [step_, query, push] if assignments else [assignment]
        assert tx.outbox_ready("mdm", NOW, 9) == untouched
        assert tx.outbox_unsure("mdm", NOW, 9) == (unsure[:1] if assignments else unsure[1:])
        assert {row.id for row in tx.outbox_ready("mdm", NOW + 5, 9)} == {
            row.id for row in ready if assignments or row is not push
        }
        assert tx.outbox_rows([row.id for row in later]) == {row.id: row for row in later}


def test_a_report_finds_the_intention_that_it_answers(ledger: Ledger) -> None:
    with ledger.write() as tx:
        rows = tx.add_outbox([step(1), step(2), step(1)])
        sent = [replace(row, status=OutboxStatus.SENDING, command_uuid="U") for row in rows[:2]]
        tx.save_outbox(sent)
        tx.add_command("U", "mdm", "ScheduleOSUpdate", 1, "{}", NOW)
        asked = [(key(1), "U"), (key(2), "U"), (key(1), "V"), (key(3), "U"), (key(1, "other"), "U"), (key(1), "")]
        assert tx.answered_rows(asked) == {(key(1), "U"): sent[0], (key(2), "U"): sent[1]}
        assert tx.outbox_of([key(1)], {OutboxStatus.INTENDED}) == {key(1): [rows[2]]}
        assert tx.outbox_of([key(1)], set(OutboxStatus)) == {key(1): [sent[0], rows[2]]}
    assert ledger.ours(["U", "V"]) == {"U"}
    assert ledger.ours([]) == set()


# --- plans, rollouts, journeys ---


def test_a_plan_keeps_its_members_in_key_order(ledger: Ledger) -> None:
    rows = [
        member(n, barrier="not_supervised" if n % 2 else "", reason="why not" if n % 2 else "") for n in range(2100)
    ]
    words: Any = {"name": "p", "yaml": "name: p", "sha256": "s", "author": "ada", "created_at": NOW}
    with ledger.write() as tx:
        number = tx.save_plan(**words, members=iter(reversed(rows)))
        assert tx.save_plan(**words, members=iter(rows)) == number
        plan = tx.plan("s")
        assert plan is not None
        assert (plan.id, plan.members, plan.yaml) == (number, 2100, "name: p")
        assert tx.plan_of(number) == plan
        assert tx.plans() == [plan]
        assert list(tx.members(number)) == rows
        assert list(tx.members(number, [key(7), key(9999)])) == [rows[7]]
        assert tx.plan("other") is None


def test_a_rollout_begins_with_every_member_held_or_barred(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.add_events([event(1)])
        seq = tx.last_seq()
    rollout = begin(ledger, member(1), member(2, barrier="not_supervised", reason="It is not supervised."), member(3))
    with ledger.read() as tx:
        kept = tx.rollout(rollout)
        assert kept is not None
        assert (kept.status, kept.started_at, kept.deadline_at) == (RolloutStatus.RUNNING, NOW, NOW + DAY)
        assert (kept.start_seq, kept.by, kept.resumed_at) == (seq, "ada", 0)
        assert tx.rollouts() == [kept]
        (held,), (barred,) = tx.journeys_of([key(1), key(2)]).values()
        assert held.journey == Journey(rollout=rollout, key=key(1), state="held")
        assert (held.live, held.due_at, held.barred, held.os_version_start) == (True, NOW, False, "18.6")
        assert (barred.live, barred.due_at, barred.barred, barred.journey.state) == (False, None, True, "barred")
        assert barred.reason == "It is not supervised."
        assert tx.count_states(rollout) == {"held": 2, "barred": 1}
        assert tx.transitions_of(rollout, [key(1), key(2)]) == {
            key(n): [Transition(rollout=rollout, key=key(n), at=NOW, known_seq=seq, state=state, sign=1)]
            for n, state in ((1, "held"), (2, "barred"))
        }


def test_a_device_is_in_one_live_rollout_only(ledger: Ledger) -> None:
    first = begin(ledger, member(1), member(2, barrier="x"), name="a")
    with pytest.raises(RolloutError, match=rf"00000001 on mdm is in rollout {first}") as error:
        begin(ledger, member(1), member(3), name="b")
    assert "cancel" in error.value.remedy
    begin(ledger, member(2), member(1, barrier="x"), name="c")
    with ledger.write() as tx:
        assert len(tx.rollouts()) == 2
        tx.end_rollout(first, RolloutStatus.CANCELLED, now=NOW, reason="by ada")
        assert tx.journeys_of([key(1)])[key(1)][0].live is False
    begin(ledger, member(1), name="d")
    with ledger.read() as tx:
        assert [j.live for j in tx.journeys_of([key(1)])[key(1)]] == [False, False, True]


def test_a_rollout_needs_a_plan(ledger: Ledger) -> None:
    with pytest.raises(PlanError, match="no plan 7"), ledger.write() as tx:
        tx.start_rollout(7, now=NOW, deadline_at=NOW, by="ada")


def test_a_rollout_remembers_when_it_was_resumed(ledger: Ledger) -> None:
    rollout = begin(ledger, member(1))
    with ledger.write() as tx:
        tx.set_rollout(rollout, RolloutStatus.PAUSED, now=NOW + 1, reason="lunch")
        paused = tx.rollout(rollout)
        assert paused is not None
        assert (paused.status, paused.reason, paused.changed_at, paused.resumed_at) == ("paused", "lunch", NOW + 1, 0)
        tx.set_rollout(rollout, RolloutStatus.RUNNING, now=NOW + 2, reason="")
        resumed = tx.rollout(rollout)
        assert resumed is not None
        assert (resumed.status, resumed.changed_at, resumed.resumed_at) == (RolloutStatus.RUNNING, NOW + 2, NOW + 2)
        assert tx.rollout(99) is None
        with pytest.raises(RolloutError, match="no rollout 99"):
            tx.set_rollout(99, RolloutStatus.PAUSED, now=NOW, reason="")


def test_due_are_the_devices_whose_time_has_come(ledger: Ledger) -> None:
    rollout = begin(ledger, member(1), member(2), member(3), member(4, barrier="x"))
    with ledger.write() as tx:
        assert tx.next_due() == NOW
        tx.set_due([(rollout, key(1), NOW + 20), (rollout, key(2), NOW + 10), (rollout, key(3), None)])
        assert tx.next_due() == NOW + 10
        assert tx.due(NOW, 9) == []
        assert [j.journey.key for j in tx.due(NOW + 20, 9)] == [key(2), key(1)]
        assert [j.journey.key for j in tx.due(NOW + 20, 1)] == [key(2)]
        tx.make_due(rollout, NOW + 1)
        assert {j.journey.key for j in tx.due(NOW + 1, 9)} == {key(1), key(2), key(3)}


def test_journeys_are_saved_and_streamed_with_when_the_device_was_seen(ledger: Ledger) -> None:
    rollout = begin(ledger, *(member(n) for n in range(1200)))
    told = Journey(
        rollout=rollout, key=key(5), state="installing", armed=Armed.ON_DEVICE, regressed=True, ready=True,
        os_version="18.7", action_asked="InstallASAP", action_returned="Default", deferrals_used=2,
        deferrals_remaining=1, failure="space", failure_text="Disk\0 full", commands_sent=3, progress_at=NOW + 1,
        updated_at=NOW + 2, updated_seq=9,
    )  # fmt: skip
    with ledger.write() as tx:
        tx.add_devices([device(5, last_seen_at=NOW)], now=NOW)
        tx.save_journeys([told])
        rows = list(tx.journeys(rollout))
        assert [stored.journey.key for stored, _ in rows] == [key(n) for n in range(1200)]
        assert rows[5][0].journey == replace(told, failure_text="Disk\ufffd full")
        assert (rows[5][1], rows[6][1]) == (NOW, 0)
        assert (rows[5][0].live, rows[5][0].due_at, rows[5][0].wave) == (True, NOW, "all")
        page = [stored.journey.key for stored, _ in tx.journeys(rollout, after=key(7), limit=2)]
        assert page == [key(8), key(9)]
        assert tx.count_states(rollout) == {"held": 1199, "installing": 1}


def test_transitions_are_appended(ledger: Ledger) -> None:
    rollout = begin(ledger, member(1))
    more = [
        Transition(rollout=rollout, key=key(1), at=NOW + 5, known_seq=3, state=state, sign=sign)
        for state, sign in (("held", -1), ("queued", 1), ("queued", 1))
    ]
    with ledger.write() as tx:
        tx.add_transitions(more)
        assert tx.transitions_of(rollout, [key(1)])[key(1)][1:] == more
        assert tx.transitions_of(rollout + 1, [key(1)]) == {}


def test_transitions_are_summed_by_the_minute(ledger: Ledger) -> None:
    rollout = begin(ledger, member(1), member(2))
    changes = ((NOW, "held", -1), (NOW, "queued", 1), (NOW + 5, "queued", -1), (NOW + MINUTE, "done", 1))

    def sums(tx: Transaction) -> dict[tuple[int, str], int]:
        rows = tx._connection.execute(select(minutes.c.at, minutes.c.state, minutes.c.change))
        return {(at, state): change for at, state, change in rows}

    with ledger.write() as tx:
        for at, state, sign in changes:
            tx.add_transitions(
                [Transition(rollout=rollout, key=key(1), at=at, known_seq=1, state=state, sign=sign)] * 2
            )
        by = NOW + 5 + -(NOW + 5) % MINUTE
        assert sums(tx) == {
            (NOW, "held"): 2 - 2, (NOW, "queued"): 2, (by, "queued"): -2,
            (NOW + MINUTE + -(NOW + MINUTE) % MINUTE, "done"): 2,
        }  # fmt: skip
        assert tx.wrong_minutes() == []
        tx._connection.execute(update(minutes).values(change=7).where(minutes.c.state == "done"))
        assert [row[2:] for row in tx.wrong_minutes()] == [("done", 7, 2)]


# --- acts, audit, cursors ---


def test_an_act_is_open_until_the_service_finishes_it(ledger: Ledger) -> None:
    with ledger.write() as tx:
        first = tx.add_act(at=NOW, who="ada", what="pause", rollout=1)
        second = tx.add_act(at=NOW, who="bob", what="halt", rollout=1, detail="fire")
        assert [(act.id, act.what, act.detail) for act in tx.open_acts()] == [
            (first, "pause", ""),
            (second, "halt", "fire"),
        ]
        tx.finish_act(first, at=NOW + 1, outcome="done")
        assert [act.id for act in tx.open_acts()] == [second]
        assert (tx.act_outcome(first), tx.act_outcome(second)) == ("done", None)


def test_the_audit_tells_who_did_what(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.audit(at=NOW, who="ada", what="sync", count=3)
        tx.audit(at=NOW + 1, who="bob", what="pause", rollout=1, detail="lunch")
        assert [(a.who, a.what, a.count) for a in tx.audits()] == [("ada", "sync", 3), ("bob", "pause", 0)]
        assert [a.detail for a in tx.audits(1)] == ["lunch"]


def test_a_cursor_holds_its_newest_value(ledger: Ledger) -> None:
    with ledger.write() as tx:
        assert tx.get("clock") is None
        tx.put("clock", "1")
        tx.put("clock", "2")
        assert tx.get("clock") == "2"
