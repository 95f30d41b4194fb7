"""What `today` says is what the rollouts' own statuses add up to, device by device."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine

from osupdate_kit.errors import AnalysisError
from osupdate_kit.fleet.selection import Selection
from osupdate_kit.kit import Today
from osupdate_kit.kit.today import KINDS, since_of
from osupdate_kit.rollout.needs import cause_name, need_of
from osupdate_kit.rollout.policy import DAY, HOUR
from osupdate_kit.rollout.waves import Opening, Wave, Who
from osupdate_kit.rollout.windows import Window
from osupdate_kit.stores.schema import plans
from tests.views.scene import HOSTILE, MACS, PADS, Scene, scene

NOW = 1_795_420_800_000_000  # Mon 23 Nov 2026, 08:00 UTC


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A rollout for Macs that has run for days, and one for iPads by night, seen by day."""
    made = scene(tmp_path_factory.mktemp("today"))
    made.started(MACS, name="Macs", deadline="4d", tries=1)
    yield made
    made.kit.close()


@pytest.fixture(scope="module")
def later(begun: Scene) -> Scene:
    begun.run(5)
    begun.started(PADS, name=HOSTILE[0], deadline="9d", window="20:00-05:00", time_zone="Europe/Berlin")
    begun.run(1.9)
    return begun


def by_kind(today: Today) -> Counter[str]:
    found: Counter[str] = Counter()
    for need in today.needs:
        found[need.kind] += need.devices
    return found


def test_before_the_first_rollout_it_says_so(tmp_path: Path) -> None:
    kit = scene(tmp_path, 2).kit
    today = kit.today()
    assert (today.rollouts, today.ended, today.needs, dict(today.sites)) == (0, (), (), {})
    assert today.finding == "No rollout has begun yet. Plan one, and confirm it."
    assert "No rollout has begun yet" in today._repr_html_()
    kit.close()


def test_needs_are_the_devices_of_the_statuses(later: Scene) -> None:
    today = later.kit.today("7d")
    devices = [(number, d) for number in (1, 2) for d in later.kit.status(number).devices]
    expected = Counter(
        (d.state, cause_name(d.state, d.cause) if d.state in ("failed", "expired") else "") for _, d in devices
    )
    expected = Counter({key: n for key, n in expected.items() if key[0] in KINDS})
    told = {(n.kind, n.what.partition(": ")[2]): n.devices for n in today.needs if n.kind in ("failed", "expired")}
    lost = {(kind, need_of(kind, name).title): n for (kind, name), n in expected.items() if name}
    assert told == lost
    assert len(told) >= 2
    counted = by_kind(today)
    for kind in ("silent", "stalled", "unknown"):
        assert counted[kind] == expected[kind, ""]
    assert today.in_need == expected.total()
    assert f"{today.in_need} devices need a person" in today.finding


def test_sites_add_up_to_the_needs(later: Scene) -> None:
    today = later.kit.today("7d")
    sums = Counter[str]()
    for kinds in today.sites.values():
        sums.update(kinds)
    assert sums == Counter({kind: n for kind, n in by_kind(today).items() if n})
    sites = {spec.udid: spec.site for spec in later.specs}
    lost = Counter(
        sites[d.udid] for number in (1, 2) for d in later.kit.status(number).devices if d.state in ("failed", "expired")
    )
    told = Counter({site: kinds.get("failed", 0) + kinds.get("expired", 0) for site, kinds in today.sites.items()})
    assert +told == lost


def test_what_ended_is_told_by_rollout_and_adds_up_to_the_status(later: Scene) -> None:
    today = later.kit.today("30d")
    for one in today.ended:
        states = later.kit.status(one.rollout).states
        assert (one.done, one.failed, one.expired) == tuple(states.get(s, 0) for s in ("done", "failed", "expired"))
        assert one.began
    assert [one.status for one in today.ended] == ["ended", "running"]
    assert today.total("done") > 10


def test_what_ended_before_is_no_news(later: Scene) -> None:
    """The Macs' rollout ended two days ago: what expired there is told in the week, not in the last hour."""
    assert later.kit.today("7d").total("expired") > 0
    recent = later.kit.today("1h")
    assert recent.total("expired") == by_kind(recent)["expired"] == 0
    done = [datetime.fromtimestamp(row / 1e6, UTC) for row in _done_at(later)]
    cut = since_of("12h", later.kit.now())
    assert later.kit.today("12h").total("done") == sum(at.timestamp() * 1e6 > cut for at in done)


def test_armed_at_large_is_who_may_install_while_the_window_is_shut_there(later: Scene) -> None:
    """Of the running rollout by its hours in each device's zone; of the one that is over, all."""
    kit = later.kit
    window = Window(opens=time(20), closes=time(5))
    with kit.ledger.read() as tx:
        pads = [j for j, _ in tx.journeys(2) if j.journey.armed]
        macs = [j for j, _ in tx.journeys(1) if j.journey.armed]
    shut = [j for j in pads if not window.gate(kit.now(), j.time_zone or "Europe/Berlin").open_since]
    assert len(pads) > len(shut) > 0
    expected = Counter(f"Armed {j.journey.armed}" for j in (*shut, *macs))
    assert {n.what: n.devices for n in kit.today().needs if n.kind == "armed"} == expected


def _done_at(made: Scene) -> list[int]:
    with made.kit.ledger.read() as tx:
        return [j.journey.done_at for n in (1, 2) for j, _ in tx.journeys(n) if j.journey.state == "done"]


def test_nobody_at_work_and_a_halt_stand_first(later: Scene) -> None:
    kit = later.kit
    assert next(n.kind for n in kit.today().needs) == "service"
    with kit.ledger.service_lock():
        assert "service" not in by_kind(kit.today())
    kit.act("halt", 2, detail="the canary does not boot")
    later.turn()
    halted = next(n for n in kit.today().needs if n.kind == "halted")
    assert halted.why.startswith("the canary does not boot; since")
    assert (halted.rollouts, halted.devices, halted.owner) == ((2,), 0, "MDM team")
    assert "is halted" in kit.today().finding
    armed = [d for d in kit.status(2).devices if any(f.startswith("armed") for f in d.flags)]
    of_old = [d for d in kit.status(1).devices if any(f.startswith("armed") for f in d.flags)]
    assert by_kind(kit.today())["armed"] == len(armed) + len(of_old) > 0
    kit.act("resume", 2)
    later.turn()
    assert not [n for n in kit.today().needs if n.kind == "halted"]


def test_a_slice_that_is_halted_is_named_until_a_person_lifts_it(later: Scene) -> None:
    with later.kit.ledger.write() as tx:
        number = tx.add_halt(2, dimension="os_version_start", value="18.6", at=later.kit.now(),
                             reason="9 of 14 failed", begun=14, failed=9)  # fmt: skip
    (halted,) = (n for n in later.kit.today().needs if n.kind == "halted")
    assert halted.what.endswith("stands still for os version start 18.6")
    assert halted.why.startswith("9 of 14 failed; since")
    with later.kit.ledger.write() as tx:
        assert tx.lift_halt(number, at=later.kit.now(), by="ann")
    assert "halted" not in by_kind(later.kit.today())


def test_a_plan_that_cannot_be_read_hides_no_other_rollout(tmp_path: Path) -> None:
    made = scene(tmp_path, 12)
    half = made.kit.inventory()[::2]
    for devices in (half, [d for d in made.kit.inventory() if d not in half]):
        made.kit.start(made.kit.plan(Selection(tuple(devices), {}), target=MACS, allow_major=True))
    engine = create_engine(made.kit.ledger.url)
    with engine.begin() as connection:
        connection.execute(plans.update().where(plans.c.id == 1).values(yaml="nonsense"))
    engine.dispose()
    today = made.kit.today()
    (unreadable,) = (n for n in today.needs if n.kind == "plan")
    assert unreadable.rollouts == (1,)
    assert unreadable.remedy
    assert [one.rollout for one in today.ended] == [2]
    made.kit.close()


def test_a_wave_that_only_a_person_opens_is_named(tmp_path: Path) -> None:
    made = scene(tmp_path, 12)
    waves = (Wave(name="canary", who=Who(percent=20)), Wave(name="broad", opens=Opening(by_hand=True)))
    plan = made.kit.plan(made.selection(), target=MACS, allow_major=True).plan
    made.kit.start(made.kit.draft(made.selection(), replace(plan, waves=waves)))
    made.turn()
    (gate,) = (n for n in made.kit.today().needs if n.kind == "gate")
    assert gate.what.endswith("wave broad waits")
    assert gate.why == "It waits for a person to open it."
    made.kit.close()


def test_names_of_people_s_making_are_no_markup(later: Scene) -> None:
    page = later.kit.today("7d")._repr_html_()
    assert "&lt;img" in page
    assert "<img" not in page


@pytest.mark.parametrize(
    ("words", "at"),
    [
        ("24h", NOW - DAY),
        ("7d", NOW - 7 * DAY),
        ("0h", NOW),
        ("2026-11-23", NOW - 8 * HOUR),
        ("2026-11-23T08:00+01:00", NOW - HOUR),
        ("2026-11-23T07:00Z", NOW - HOUR),
    ],
)
def test_since_when_is_read_as_people_write_it(words: str, at: int) -> None:
    assert since_of(words, NOW) == at


@given(st.text(max_size=12))
def test_whatever_is_written_it_is_a_time_gone_by_or_refused(words: str) -> None:
    with suppress(AnalysisError):
        assert since_of(words, NOW) <= NOW


@pytest.mark.parametrize("words", ["", "yesterday", "2026-11-24", "2026-11-23T08:00", "-1h", "99999999999999h"])
def test_what_is_no_time_or_still_to_come_is_refused(words: str) -> None:
    with pytest.raises(AnalysisError, match="Write 24h"):
        since_of(words, NOW)
