"""Waves, pace, slots and halts over the real turns and simulated devices."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from msgspec import structs

from osupdate_kit.kit import Draft
from osupdate_kit.kit.rollouts import Rollout
from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.lab.specs import PROFILES, DeviceSpec
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rehearsal import SERVER, Rehearsal, write_list
from osupdate_kit.rollout.journey import RolloutStatus
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import DAY, HOUR, Cadences
from osupdate_kit.rollout.state import ENDS, State
from osupdate_kit.rollout.targets import Target
from osupdate_kit.rollout.waves import Limits, Opening, Wave, Who
from osupdate_kit.service.gates import Gatekeeper
from osupdate_kit.service.record import Plans
from osupdate_kit.service.verify import verify
from osupdate_kit.stores.ledger import Halt

STEADY = replace(PROFILES["always_on"], drops=0, not_now=0)
REFUSES = replace(STEADY, installs_refused=99)
BAD = "iPad13,18"


def site(tmp_path: Path, devices: int = 60, *, bad: float = 0.0) -> Rehearsal:
    """iPads that are always there, without passcodes; that share of one model refuses to install."""
    parts = makeup("school")
    found = [spec for spec in make_fleet(parts, devices * 3, 1) if spec.platform is Platform.IPADOS][:devices]
    specs = tuple(_spec(number, spec, bad) for number, spec in enumerate(found))
    rehearsal = Rehearsal.of(parts, specs, "sqlite://", seed=1, who="ada")
    rehearsal.kit.sync(str(write_list(specs, tmp_path / "fleet.csv")), SERVER)
    rehearsal.run(0.5)
    return rehearsal


def _spec(number: int, spec: DeviceSpec, bad: float) -> DeviceSpec:
    model = BAD if number % 2 else "iPad14,3"
    broken = number % 2 and number / 2 % 10 < 10 * bad
    return replace(
        spec, os_version="26.5", build="23F60", passcode=False, shared_ipad=False, supervised=True, product_name=model,
        newest_major=99,
        site="North" if number % 3 else "South", behaviour=REFUSES if broken else STEADY,
    )  # fmt: skip


def start(rehearsal: Rehearsal, wave_of: Callable[[int], str] = lambda number: "all", **policy: object) -> Rollout:
    kit, now = rehearsal.kit, rehearsal.clock.now()
    plan = RolloutPlan(
        name="gates", author="ada", created_at=now, target=Target(version=OSVersion.parse("26.6.1")),
        deadline_at=now + 14 * DAY, tries=1, **policy,  # type: ignore[arg-type]
    )  # fmt: skip
    draft = kit.draft(kit.select(), plan)
    members = [structs.replace(member, wave=wave_of(n)) for n, member in enumerate(draft.members)]
    return kit.start(Draft(draft.plan, tuple(members)))


def states(rollout: Rollout, wave: str = "") -> Counter[str]:
    with rollout._kit.ledger.read() as tx:
        found = [journey for journey, _ in tx.journeys(rollout.id) if wave in ("", journey.wave)]
    return Counter(journey.journey.state for journey in found)


def begun(rollout: Rollout, wave: str) -> int:
    with rollout._kit.ledger.read() as tx:
        return sum(j.journey.commands_sent > 0 for j, _ in tx.journeys(rollout.id) if wave == j.wave)


def until(rehearsal: Rehearsal, reached: Callable[[], bool], *, days: float = 5, a_day: int = 24) -> None:
    """Look so often a day."""
    for _ in range(int(days * a_day)):
        if reached():
            return
        rehearsal.run(1 / a_day)
    raise AssertionError("it was not reached")


def test_a_wave_opens_when_the_one_before_is_done_and_has_soaked(tmp_path: Path) -> None:
    rehearsal = site(tmp_path)
    waves = (Wave(name="canary", who=Who(percent=20)), Wave(name="broad", opens=Opening(done_share=0.9, soak_hours=12)))
    rollout = start(rehearsal, lambda n: "canary" if n < 10 else "broad", waves=waves)
    until(rehearsal, lambda: states(rollout, "canary")["done"] == 10)
    done_at = rehearsal.clock.now()
    with rehearsal.kit.ledger.read() as tx:
        assert "to soak" in tx.waves(rollout.id)[1].waits_for
    assert begun(rollout, "broad") == 0
    until(rehearsal, lambda: states(rollout, "broad")["done"] == 50)
    with rehearsal.kit.ledger.read() as tx:
        canary, broad = tx.waves(rollout.id)
        first = min(journey.journey.done_at for journey, _ in tx.journeys(rollout.id) if journey.wave == "broad")
    assert canary.who == broad.who == "service"
    assert broad.opened_at >= done_at + 10 * HOUR
    assert first > broad.opened_at


def test_no_more_are_under_way_than_the_pace_which_doubles_while_all_is_well(tmp_path: Path) -> None:
    rehearsal = site(tmp_path)
    rollout = start(rehearsal, waves=(Wave(pace=4),))
    seen: list[tuple[int, int]] = []

    def look() -> bool:
        with rehearsal.kit.ledger.read() as tx:
            pace = tx.waves(rollout.id)[0].pace
            under_way = [place for place in tx.under_way(rollout.id) if place.state not in ENDS]
        seen.append((len(under_way), pace))
        return states(rollout)["done"] == 60

    until(rehearsal, look)
    assert all(under_way <= pace for under_way, pace in seen)
    assert seen[1] == (4, 4)
    assert max(pace for _, pace in seen) >= 16


def test_who_is_tried_again_waits_for_a_place_once_more(tmp_path: Path) -> None:
    rehearsal = site(tmp_path, devices=12, bad=1)
    rollout = start(rehearsal, waves=(Wave(pace=2),))
    until(rehearsal, lambda: states(rollout) == {"done": 6, "failed": 6})
    with rehearsal.kit.ledger.write() as tx:
        tx.save_wave(rollout.id, structs.replace(tx.waves(rollout.id)[0], pace=2))
    assert rehearsal.kit.act("retry", rollout.id)
    most = 0

    def look() -> bool:
        nonlocal most
        with rehearsal.kit.ledger.read() as tx:
            most = max(most, len(tx.under_way(rollout.id)))
        return most > 0 and states(rollout) == {"done": 6, "failed": 6}

    until(rehearsal, look, a_day=500)
    assert most == 2


def test_who_is_done_before_its_turn_takes_no_place(tmp_path: Path) -> None:
    rehearsal = site(tmp_path, devices=12)
    rollout = start(rehearsal, waves=(Wave(pace=1),))
    gates = Gatekeeper(rehearsal.kit.ledger, rehearsal.clock, Cadences(), Plans())
    with rehearsal.kit.ledger.write() as tx:
        first = [(place.key.enrollment_id,) for place in tx.waiting(rollout.id, "all")][:6]
        tx.driver_connection.executemany("UPDATE journey SET state = 'done' WHERE enrollment_id = ?", first)
    gates.turn()
    with rehearsal.kit.ledger.read() as tx:
        assert [place.state for place in tx.under_way(rollout.id)] == ["held"]
        assert len(list(tx.waiting(rollout.id, "all"))) == 5


def test_a_device_that_has_left_keeps_no_place_for_ever(tmp_path: Path) -> None:
    rehearsal = site(tmp_path, devices=6)
    rollout = start(rehearsal, waves=(Wave(pace=1),))
    admitted: list[str] = []

    def first() -> bool:
        with rehearsal.kit.ledger.read() as tx:
            admitted[:] = [place.key.enrollment_id for place in tx.under_way(rollout.id)]
        return bool(admitted)

    until(rehearsal, first)
    rehearsal.world.check_out(admitted[0])
    until(rehearsal, lambda: states(rollout) == {"done": 5, "unknown": 1})


def test_a_model_that_fails_is_halted_alone_and_the_others_go_on(tmp_path: Path) -> None:
    rehearsal = site(tmp_path, bad=0.6)
    rollout = start(rehearsal, waves=(Wave(pace=12),), limits=Limits(failure_share=0.15))
    until(rehearsal, lambda: states(rollout)["done"] >= 30)
    with rehearsal.kit.ledger.read() as tx:
        (halt,) = tx.halts(rollout.id)
        stored = tx.rollout(rollout.id)
        audit = [line for line in tx.audits(rollout.id) if line.what == "halt"]
    assert stored is not None
    assert stored.status is RolloutStatus.RUNNING
    assert (halt.dimension, halt.value) == ("model", BAD)
    assert "have failed" in halt.reason
    assert [(line.who, line.detail) for line in audit] == [("service", halt.reason)]
    failed = states(rollout)["failed"]
    assert 3 <= failed <= 12
    status = rehearsal.kit.status(rollout.id)
    waiting = [row for row in status.devices if row.reason.startswith("halted: ")]
    assert {row.state for row in waiting} <= {State.HELD.value, State.DOWNLOADED.value}
    assert len(waiting) >= 10
    rehearsal.run(2)
    assert states(rollout)["failed"] == failed  # nothing more of that model is sent


def test_a_lifted_halt_is_judged_by_what_happens_from_then_on(tmp_path: Path) -> None:
    rehearsal = site(tmp_path, bad=0.6)
    rollout = start(rehearsal, waves=(Wave(pace=12),), limits=Limits(failure_share=0.15))
    until(rehearsal, lambda: states(rollout)["done"] >= 30)
    failed = states(rollout)["failed"]
    rollout.lift()
    rehearsal.run(0.1)
    until(rehearsal, lambda: states(rollout)["failed"] > failed)
    until(rehearsal, lambda: len(_halts(rehearsal, rollout)) == 2)
    first, second = _halts(rehearsal, rollout)
    assert (first.lifted_by, first.value, second.value, second.stands) == ("ada", BAD, BAD, True)


def test_so_many_failures_halt_everything_until_a_person_resumes(tmp_path: Path) -> None:
    rehearsal = site(tmp_path, bad=0.6)
    rollout = start(rehearsal, waves=(Wave(pace=30),), limits=Limits(failures=5))
    until(rehearsal, lambda: rehearsal.kit.status(rollout.id).status is RolloutStatus.HALTED)
    begun_then = begun(rollout, "all")
    rehearsal.run(1)
    assert begun(rollout, "all") == begun_then
    rollout.resume()
    until(rehearsal, lambda: len(_halts(rehearsal, rollout)) == 2)
    first, second = _halts(rehearsal, rollout)
    assert (first.lifted_by, second.stands) == ("ada", True)
    assert 5 <= second.failed < states(rollout)["failed"]  # what failed before counts no more


def test_a_wave_that_waits_for_a_person_is_opened_by_one(tmp_path: Path) -> None:
    rehearsal = site(tmp_path, devices=20)
    waves = (Wave(name="canary", who=Who(percent=20)), Wave(name="broad", opens=Opening(by_hand=True)))
    rollout = start(rehearsal, lambda n: "canary" if n < 5 else "broad", waves=waves)
    rehearsal.run(1)
    assert begun(rollout, "broad") == 0
    rollout.open("broad")
    until(rehearsal, lambda: states(rollout)["done"] == 20)
    with rehearsal.kit.ledger.read() as tx:
        assert tx.waves(rollout.id)[1].who == "ada"


def test_slots_of_a_site_free_themselves(tmp_path: Path) -> None:
    rehearsal = site(tmp_path)
    rollout = start(rehearsal, slots_per_site=3)
    most: Counter[str] = Counter()

    def look() -> bool:
        with rehearsal.kit.ledger.read() as tx:
            loading = Counter(p.site for p in tx.under_way(rollout.id) if p.state in ("queued", "downloading"))
        most.update({place: max(0, count - most[place]) for place, count in loading.items()})
        return states(rollout)["done"] == 60

    until(rehearsal, look)
    assert set(most.values()) == {3}


def _halts(rehearsal: Rehearsal, rollout: Rollout) -> list[Halt]:
    with rehearsal.kit.ledger.read() as tx:
        return list(tx.halts(rollout.id, lifted=True))


def test_a_revised_plan_takes_in_devices_that_count_from_the_start(tmp_path: Path) -> None:
    rehearsal = site(tmp_path, devices=20)
    kit, now = rehearsal.kit, rehearsal.clock.now()
    few = [device.serial for device in kit.select().devices][:8]
    first = RolloutPlan(
        name="few", author="ada", created_at=now, target=Target(version=OSVersion.parse("26.6.1")),
        deadline_at=now + 3 * DAY, waves=(Wave(pace=2),),
    )  # fmt: skip
    rollout = kit.start(kit.draft(kit.select(few), first))
    rehearsal.run(0.3)
    all_of_them = replace(first, name="all", deadline_at=now + 9 * DAY, waves=(Wave(pace=6),))
    told = rollout.revise(kit.draft(kit.select(), all_of_them))
    assert "-name: few" in told
    assert "+name: all" in told
    until(rehearsal, lambda: states(rollout)["done"] == 20)
    with kit.ledger.read() as tx:
        stored = tx.rollout(rollout.id)
        revised = next(line for line in tx.audits(rollout.id) if line.what == "revise")
        assert stored is not None
        assert stored.deadline_at == all_of_them.deadline_at
        assert (revised.who, revised.count) == ("ada", 12)
    assert list(verify(kit.ledger)) == []
