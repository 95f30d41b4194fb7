"""Seeds in which everything goes wrong, and no promise is broken; and planted bugs, which do not go unnoticed."""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real import postgres
from tests.simulation import mutants
from tests.simulation.run import Cast, simulate
from tests.simulation.scenario import scenario

SEEDS, CHUNK = 300, 20
ON_DISK = (5, 11)
ON_POSTGRESQL = (3, 14)
REGRESSIONS = {
    4: "a plan that cannot be read stopped the loop, and with it everybody",
    6: "a second rollout's failure took away the cause of the first one's",
    31: "a first Default that met a finished download was taken for a download: the second one doubled the install",
    40: "two questions, one after the other, needed two visits of a device that may not be woken",
    1150: "a macOS item whose step's answer was lost could never be known to be installed",
    1216: "an abandoned step left a failure without a cause",
    2147: "a cancelled rollout and its successor took each other's scans and lists away",
    4021: "the lost question of a cancelled rollout kept its successor from asking for the version",
    2158: "an item that no list had named before could not be known to be gone",
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of injected faults are logged by the service, as they should be."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def kept(seed: int, *, url: str = "sqlite://") -> Counter[str]:
    """Run a seed; which faults it met. Fails with the one command that replays it."""
    outcome = simulate(scenario(seed), url=url)
    assert not outcome.broken, f"{outcome.broken}\nReplay: python -m tests.simulation {seed}"
    return outcome.injected


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_promise_is_broken(first: int) -> None:
    injected = sum((kept(seed) for seed in range(first, first + CHUNK)), Counter())
    assert len(injected) > 5


@pytest.mark.parametrize("seed", REGRESSIONS, ids=REGRESSIONS.get)
def test_what_once_was_broken(seed: int) -> None:
    kept(seed)


def test_a_seed_tells_the_same_story_twice() -> None:
    told: list[list[str]] = []
    for _ in range(2):
        told.append([])
        simulate(scenario(12), tell=told[-1].append)
    assert told[0] == told[1]
    assert len(told[0]) > 100


@pytest.mark.parametrize("seed", ON_DISK)
def test_no_promise_is_broken_on_disk(seed: int, tmp_path: Path) -> None:
    kept(seed, url=f"sqlite:///{tmp_path / 'store.db'}")


@pytest.mark.real_server
def test_no_promise_is_broken_on_postgresql() -> None:
    with postgres() as cluster:
        for seed in ON_POSTGRESQL:
            kept(seed, url=cluster.url())


@pytest.mark.parametrize(
    ("cast", "invariants"),
    [
        (Cast(sender=mutants.SenderThatTrustsTheLoop), {"I1", "I2"}),
        (Cast(sender=mutants.SenderThatAlwaysPushes), {"I2"}),
        (Cast(sender=mutants.SenderThatRetriesAnew), {"I1", "I3"}),
        (Cast(sender=mutants.SenderThatKeepsNoRecord), {"I4"}),
        (Cast(worker=mutants.WorkerThatTakesAnErrorForAnEnd), {"I1"}),
        (Cast(worker=mutants.WorkerThatForgets), {"I3"}),
        (Cast(worker=mutants.WorkerThatCountsTwice), {"I3", "I7"}),
        (Cast(worker=mutants.WorkerThatBelievesNoUpdate), {"I6"}),
    ],
    ids=lambda value: (
        next((c.__name__ for c in (value.sender, value.worker) if c.__module__ == mutants.__name__), "")
        if isinstance(value, Cast)
        else ""
    ),
)
def test_a_planted_bug_is_noticed(cast: Cast, invariants: set[str]) -> None:
    outcomes = (simulate(scenario(seed), cast=cast) for seed in range(SEEDS))
    broken = next((outcome for outcome in outcomes if outcome.broken), None)
    assert broken is not None
    assert broken.invariant in invariants, broken.broken
