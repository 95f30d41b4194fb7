"""Both instruments in one rollout, on the real NanoHUB and on the real NanoMDM with KMFDDM."""

from pathlib import Path

import pytest

from tests.line.mixed import Played, play
from tests.line.site import Kind

pytestmark = pytest.mark.real_server


@pytest.mark.parametrize("kind", ["nanohub", "kmfddm"])
def test_a_mixed_fleet_comes_to_27_by_the_instrument_of_the_plan(tmp_path: Path, kind: Kind) -> None:
    played: Played = play(tmp_path, kind, devices=300, speed=2000, days=3.5, kills=2)
    assert played.planned["command"] >= 150, played
    assert played.planned["declaration"] >= 100, played
    assert played.states["done"] >= 150, played
    assert not played.false_done
    assert not played.not_known
    assert not played.fights
    assert not played.second_installs
    assert not played.assigned_still
    assert not played.missing
    assert not played.differences
    assert not played.secrets
    others = {pair: n for pair, n in played.done_by.items() if pair[0] != pair[1]}
    assert not others, others
