"""Readiness of a fleet for declarations: adds up, names who stands how, and knows what a rollout has shown."""

from collections import Counter
from pathlib import Path

import pytest

from osupdate_kit.kit.readiness import COLUMNS
from osupdate_kit.rollout.readiness import Commands, Ready
from tests.views.declared import TARGET, WORDS, declared_scene
from tests.views.scene import Scene


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return declared_scene(tmp_path_factory.mktemp("fleet"), 60)


def test_every_device_stands_somewhere_once(world: Scene) -> None:
    found = world.kit.readiness()
    assert tuple(found.frame.columns) == COLUMNS
    assert found.total == world.kit.count() == sum(number for _, number, _ in found.reasons())
    by_device = found.devices()
    assert len(by_device) == found.total
    assert Counter(by_device["declaration"]) == {words: number for words, number, _ in found.reasons()}
    assert len(found.devices(Ready.NOT_SUPERVISED)) == found.count(Ready.NOT_SUPERVISED)
    assert f"{found.able} of {found.total} devices could go by declaration." in found.finding
    assert "By server, platform and OS" in found._repr_html_()
    told = found.to_dict()
    assert (told["devices"], told["able"]) == (found.total, found.able)
    assert by_device["name"].str.contains("<img").any()  # data, whatever it says
    assert "<img" not in found._repr_html_()


def test_a_rollout_shows_who_takes_declarations(world: Scene) -> None:
    before = world.kit.readiness()
    assert not before.count(Ready.PROVED)
    rollout = world.kit.start(world.kit.plan(world.selection(), target=TARGET, **WORDS))
    world.run(1)
    after = world.kit.readiness()
    declared = sum(rollout.status().instruments["declaration"].values())
    assert 0 < after.count(Ready.PROVED) <= declared
    assert after.total == before.total
    gone = after.frame[after.frame["commands"] == Commands.GONE]
    assert set(gone["os"]) == {27}


def test_without_a_server_of_declarations_those_on_27_are_stranded(world: Scene) -> None:
    """The same store, with settings that name none."""
    with_one, declarations = world.kit.readiness(), world.kit.declarations
    world.kit.declarations = {}
    try:
        found = world.kit.readiness()
    finally:
        world.kit.declarations = declarations
    assert (found.able, found.count(Ready.NO_SERVER)) == (
        0,
        with_one.able + with_one.count(Ready.OTHERS, Ready.REFUSED),
    )
    on_27 = int(found.frame.loc[found.frame["commands"] == Commands.GONE, "devices"].sum())
    assert found.stranded == on_27 > 0
    assert f"Nothing of ours updates {on_27} of them" in found.finding


def test_an_empty_store_says_so(tmp_path: Path) -> None:
    from osupdate_kit.kit import Kit
    from osupdate_kit.lab.clock import VirtualClock
    from osupdate_kit.rollout.policy import Cadences
    from osupdate_kit.stores.ledger import Ledger

    kit = Kit(Ledger.open(f"sqlite:///{tmp_path / 'store.db'}", migrate=True), {}, VirtualClock(1), Cadences())
    found = kit.readiness()
    assert found.finding == "The store knows no device yet."
    assert list(found.reasons()) == []
    kit.close()
