"""Canary, pilot, broad on a real NanoMDM with PostgreSQL, in small."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.line.waves import Size, play
from tests.real import Cluster, postgres

pytestmark = pytest.mark.real_server


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgres() as running:
        yield running


def test_waves_before_a_real_server_end_where_the_truth_log_says(tmp_path: Path, cluster: Cluster) -> None:
    played = play(tmp_path, cluster, Size(devices=120, speed=3000, days=4, kill_seconds=20))
    assert played.kills >= 3
    assert played.states["done"] >= 30, played.states
    assert all(played.opened.values()), played.opened
    assert not played.false_done
    assert not played.not_known
    assert not played.second_installs
    assert not played.missing
    assert not played.out_of_turn
    assert not played.differences
