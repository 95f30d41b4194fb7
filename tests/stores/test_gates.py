"""Waves, halts and places in every store."""

from osupdate_kit.rollout.journey import Instrument, Member
from osupdate_kit.stores.gates import SLICED, StoredWave
from osupdate_kit.stores.ledger import Ledger, Transition
from tests.stores.values import DAY, NOW, key


def member(number: int, wave: str, model: str = "iPad13,18", barrier: str = "") -> Member:
    return Member(
        key=key(number), platform="iPadOS", model=model, os_version="18.6", site="North", wave=wave,
        instrument=Instrument.COMMAND, barrier=barrier,
    )  # fmt: skip


def begin(ledger: Ledger, *members: Member, waves: tuple[tuple[str, int], ...]) -> int:
    with ledger.write() as tx:
        plan = tx.save_plan(name="p", yaml="name: p", sha256="p", author="ada", created_at=NOW, members=members)
        return tx.start_rollout(plan, now=NOW, deadline_at=NOW + DAY, by="ada", waves=waves)


def test_waves_keep_their_order_and_what_is_said_of_them(ledger: Ledger) -> None:
    rollout = begin(ledger, member(1, "canary"), member(2, "broad"), waves=(("canary", 20), ("broad", 0)))
    with ledger.write() as tx:
        first, second = tx.waves(rollout)
        assert (first.name, first.pace, first.opened_at) == ("canary", 20, 0)
        opened = StoredWave(name="broad", opened_at=NOW, who="ada", pace=0, changed_at=NOW + 1, waits_for="nobody")
        tx.save_wave(rollout, opened)
        assert tx.waves(rollout) == [first, opened]
        assert second.name == "broad"


def test_without_waves_everybody_is_admitted_at_once(ledger: Ledger) -> None:
    rollout = begin(ledger, member(1, "all"), member(2, "all", barrier="gone"), waves=())
    with ledger.read() as tx:
        assert [place.key for place in tx.under_way(rollout)] == [key(1)]
        assert list(tx.waiting(rollout, "all")) == []


def test_places_go_to_those_never_admitted_then_to_the_longest_lapsed(ledger: Ledger) -> None:
    rollout = begin(ledger, *(member(n, "all") for n in range(2_500)), waves=(("all", 2),))
    with ledger.write() as tx:
        assert len({place.key for place in tx.waiting(rollout, "all")}) == 2_500
        tx.admit(rollout, [key(n) for n in range(2_500)], NOW)
        tx.give_up(rollout, [key(7)], NOW + 2)
        tx.give_up(rollout, [key(3)], NOW + 1)
        assert [place.key for place in tx.waiting(rollout, "all")] == [key(3), key(7)]
        assert len(tx.under_way(rollout)) == 2_498
        assert tx.admit_all(rollout, "all", NOW + 3) == 2
        assert list(tx.waiting(rollout, "all")) == []


def test_a_halt_stands_until_it_is_lifted_once(ledger: Ledger) -> None:
    rollout = begin(ledger, member(1, "all"), waves=())
    with ledger.write() as tx:
        number = tx.add_halt(
            rollout, dimension="model", value="iPad13,18", at=NOW, reason="7 of 20\0", begun=20, failed=7
        )
        (halt,) = tx.halts(rollout)
        assert (halt.id, halt.stands, halt.begun, halt.failed) == (number, True, 20, 7)
        assert tx.lift_halt(number, at=NOW + 1, by="ada")
        assert not tx.lift_halt(number, at=NOW + 2, by="bob")
        assert tx.halts(rollout) == []
        (halt,) = tx.halts(rollout, lifted=True)
        assert (halt.lifted_by, halt.judged_anew) == ("ada", True)
        tx.forgive(number, "[]")
        (halt,) = tx.halts(rollout, lifted=True)
        assert not halt.judged_anew


def test_transitions_come_with_the_slices_they_count_in(ledger: Ledger) -> None:
    rollout = begin(ledger, member(1, "all"), member(2, "all", model="iPad7,5"), waves=())
    with ledger.write() as tx:
        last = tx.last_transition()
        assert tx.turns_after(last, 10) == []
        moves = [
            Transition(rollout=rollout, key=key(2), at=NOW, known_seq=1, state=state, sign=sign)
            for state, sign in (("held", -1), ("failed", 1))
        ]
        tx.add_transitions(moves)
        found = tx.turns_after(last, 10)
    assert [(turn.sign, turn.place.state, turn.place.site) for turn in found] == [
        (-1, "held", "North"),
        (1, "failed", "North"),
    ]
    assert found[0].place.cell[SLICED.index("model")] == "iPad7,5"
    with ledger.read() as tx:
        assert sum(tx.cells(rollout).values()) == 2


def test_when_a_share_was_reached_and_who_is_silent(ledger: Ledger) -> None:
    rollout = begin(ledger, *(member(n, "canary") for n in range(4)), waves=())
    with ledger.read() as tx:
        assert tx.reached_at(rollout, "canary", 1) == 0
        assert tx.silence(rollout, NOW) == {}
