"""What `why` tells of a device is what the statuses, the stories and the events of its rollouts say."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import create_engine

from osupdate_kit.errors import SelectionError
from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.kit.why import Why, story_rows
from osupdate_kit.stores.schema import plans
from tests.views.scene import HOSTILE, MACS, PADS, Scene, scene


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Every device is in a rollout that is over, for Macs, and in one by night, seen by day."""
    made = scene(tmp_path_factory.mktemp("why"))
    made.started(MACS, name="Macs", deadline="4d", tries=1)
    made.run(2)
    made.kit.rollout(1).pause("a look at the failures")
    made.turn()
    made.kit.rollout(1).resume()
    made.run(3)
    made.started(PADS, name="iPads", deadline="9d", window="20:00-05:00", time_zone="Europe/Berlin")
    made.run(1.9)
    yield made
    made.kit.close()


def every(made: Scene) -> Iterator[Why]:
    return (made.kit.why(device.serial) for device in made.kit.inventory())


def test_each_device_stands_in_each_rollout_where_the_status_says(lived: Scene) -> None:
    told = {(why.enrolments[0].udid, part.rollout): part for why in every(lived) for part in why.parts}
    for number in (1, 2):
        for device in lived.kit.status(number).devices:
            part = told[device.udid, number]
            assert (part.state, f"armed {part.armed}" in device.flags) == (device.state, bool(part.armed))
            if device.state in ("failed", "silent", "stalled"):
                assert part.remedy
                assert part.owner
    assert len(told) == sum(lived.kit.status(number).selected for number in (1, 2))
    assert {"done", "failed", "held", "deferred", "barred", "expired"} <= {part.state for part in told.values()}


def test_the_story_has_each_event_once_in_order_and_ends_in_the_stored_states(lived: Scene) -> None:
    for why in every(lived):
        key = DeviceKey(why.enrolments[0].server, why.enrolments[0].enrollment_id)
        with lived.kit.ledger.read() as tx:
            events, journeys = tx.events_of([key]).get(key, []), tx.journeys_of([key])[key]
            acts = [a for n in (1, 2) for a in tx.audits(n) if a.what in ("pause", "resume", "end")]
        assert len(why.story) == len(events) + len(journeys) + len(acts)
        assert [one.at for one in why.story] == sorted(one.at for one in why.story)
        states: dict[int, str] = {}
        for one in why.story:
            states |= one.states
        assert states == {j.journey.rollout: j.journey.state for j in journeys}


def test_each_line_is_worded_as_in_the_story_of_its_rollout(lived: Scene) -> None:
    for why in list(every(lived))[::7]:
        for number in (1, 2):
            told = lived.kit.rollout(number).story(why.enrolments[0].serial)
            mine = {(one.what, one.detail) for one in why.story}
            own = told[~told["detail"].str.contains("for rollout")]
            assert set(zip(own["what"], own["detail"], strict=True)) <= mine


def test_what_it_waits_for_is_said_with_the_hour_at_which_its_window_opens(lived: Scene) -> None:
    waiting = [why for why in every(lived) if why.now and why.now.state == "held"]
    assert waiting
    for why in waiting:
        assert "It waits for the install window, 20:00-05:00 device-local. That opens" in why.finding
        assert why.now is not None
        assert why.now.opens_at.endswith("20:00")
        assert why.remedy == ""


def test_the_live_rollout_decides_what_happens_next(lived: Scene) -> None:
    for why in every(lived):
        assert why.now is not None
        live = [part for part in why.parts if part.live]
        assert why.now == (live or [part for part in why.parts if part.state != "barred"] or [why.parts[-1]])[-1]
        assert f"in rollout {why.now.rollout}," in why.finding


def test_a_failed_device_says_why_in_its_own_words_and_whose_move_it_is(lived: Scene) -> None:
    failed = next(why for why in every(lived) if why.now and why.now.state == "failed" and "12054" in why.finding)
    assert "too little free space. It said: There is not enough space" in failed.finding
    assert failed.remedy.startswith("the device's user: Free storage")
    assert any(one.what == "Error" and "12054" in one.detail for one in failed.story)


def test_holds_and_acts_stand_in_the_story(lived: Scene) -> None:
    kit = lived.kit
    device = next(d for d in kit.inventory() if kit.why(d.serial).finding.count("It waits for the install window"))
    with kit.ledger.write() as tx:
        gone = tx.add_hold(device.key, at=kit.now() - 2, by="ada", reason="an exam")
        tx.release_hold(gone, at=kit.now() - 1, by="bob")
        tx.add_hold(device.key, at=kit.now(), by="eve", reason="a kiosk", until_at=kit.now() + 3_600_000_000)
    why = kit.why(device.serial)
    assert why.enrolments[0].held == "a kiosk, by eve"
    assert "a kiosk" in why.finding
    told = {(one.what, one.detail) for one in why.story}
    assert ("Put on the hold list", "by ada: an exam") in told
    assert ("Released", "by bob") in told
    assert any(what.startswith("Put on the hold list until") for what, _ in told)
    assert ("The rollout: pause", "by ann: a look at the failures") in told


def test_a_device_on_two_servers_has_one_story(lived: Scene) -> None:
    kit = lived.kit
    device = kit.inventory()[0]
    elsewhere = replace(device, key=DeviceKey("annex", "OTHER"), udid="OTHER", last_seen_at=1)
    with kit.ledger.write() as tx:
        tx.add_devices([elsewhere], now=kit.now())
    for name in (device.serial, "OTHER", device.udid):
        why = kit.why(name)
        assert [one.server for one in why.enrolments] == ["lab", "annex"]
        assert len(why.parts) == 2
    assert kit.why("OTHER").to_dict()["finding"] == why.finding


def test_a_device_in_no_rollout_says_so_and_one_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    made = scene(tmp_path, 3)
    device = made.kit.inventory()[0]
    assert made.kit.why(device.serial).finding.endswith(": in no rollout.")
    with pytest.raises(SelectionError, match="No device is called 'C0FFEE'") as refused:
        made.kit.why("C0FFEE")
    assert "devices list" in refused.value.remedy
    made.kit.close()


def test_a_plan_that_cannot_be_read_hides_no_other_rollout(tmp_path: Path) -> None:
    made = scene(tmp_path, 6)
    made.started(MACS, deadline="1h")
    made.run(0.1)
    made.started(PADS)
    engine = create_engine(made.kit.ledger.url)
    with engine.begin() as connection:
        connection.execute(plans.update().where(plans.c.id == 1).values(yaml="nonsense"))
    engine.dispose()
    why = made.kit.why(made.kit.inventory()[0].serial)
    assert why.parts[0].reason.startswith("The plan cannot be read")
    assert why.parts[1].name.endswith(PADS) or PADS in why.parts[1].target
    made.kit.close()


def test_names_that_devices_gave_themselves_are_no_markup(lived: Scene) -> None:
    hostile = next(d for d in lived.kit.inventory() if d.name == HOSTILE[0])
    page = lived.kit.why(hostile.serial)._repr_html_()
    assert "&lt;img" in page
    assert "<img" not in page


def test_what_changed_nothing_is_left_out_until_asked_for(lived: Scene) -> None:
    why = next(every(lived))
    shown, whole = story_rows(why), story_rows(why, minor=True)
    assert len(shown) < len(whole) == len(why.story)
