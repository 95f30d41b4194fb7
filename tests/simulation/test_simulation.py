"""Seeds in which everything goes wrong, and no promise is broken; and planted bugs, which do not go unnoticed."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import time
from pathlib import Path
from typing import Any

import pytest

from osupdate_kit.lab.clock import HOUR
from osupdate_kit.lab.specs import PROFILES
from osupdate_kit.rollout.windows import Window
from osupdate_kit.service.gates import Gatekeeper
from osupdate_kit.service.sender import Sender
from osupdate_kit.service.worker import Worker
from tests.real import postgres
from tests.simulation import mutants
from tests.simulation.run import Cast, simulate
from tests.simulation.scenario import Deed, Scenario, scenario

SEEDS, CHUNK = 300, 20
ON_DISK = (5, 11)
ON_POSTGRESQL = (3, 14)
WITHIN = 120  # seeds in which a planted bug has to show


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


def succeeded(story: Scenario) -> Scenario:
    """The rollout is cancelled, and another one follows."""
    cancelled_at = story.starts_at + 9 * HOUR
    deeds = (Deed(at=cancelled_at, what="cancel"), Deed(at=cancelled_at + HOUR, what="start"))
    return replace(story, deeds=deeds)


def abandoned(story: Scenario) -> Scenario:
    """A person declares every device's step dead, and there is one try only."""
    at = story.starts_at + 12 * HOUR
    deeds = (Deed(at=at + number, what="abandon", device=number) for number in range(len(story.specs)))
    return replace(story, tries=1, deeds=tuple(deeds))


def busy(story: Scenario) -> Scenario:
    """Devices that answer NotNow and drop connections, in a narrow window: what is sent stays on the server."""
    specs = tuple(replace(spec, behaviour=replace(PROFILES["busy"], drops=0.3)) for spec in story.specs)
    return replace(story, specs=specs, window=Window(opens=time(20), closes=time(23)))


def unreadable(story: Scenario) -> Scenario:
    """One rollout's plan cannot be read."""
    return replace(story, broken_plan=True)


@pytest.mark.parametrize("change", [succeeded, abandoned, busy, unreadable])
@pytest.mark.parametrize("seed", range(6))
def test_no_promise_is_broken_where_one_was(change: Callable[[Scenario], Scenario], seed: int) -> None:
    outcome = simulate(change(scenario(seed)))
    assert not outcome.broken, outcome.broken


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
    ("bug", "first", "invariants"),
    [
        (mutants.SenderThatAlwaysPushes, 129, {"I2"}),
        (mutants.SenderThatTrustsTheLoop, 0, {"I1", "I2"}),
        (mutants.SenderThatRetriesAnew, 0, {"I1", "I3"}),
        (mutants.SenderThatKeepsNoRecord, 0, {"I4"}),
        (mutants.WorkerThatTakesAnErrorForAnEnd, 89, {"I1"}),
        (mutants.WorkerThatForgets, 0, {"I3"}),
        (mutants.WorkerThatCountsTwice, 0, {"I3", "I7"}),
        (mutants.WorkerThatBelievesNoUpdate, 0, {"I6"}),
        (mutants.GatesThatLetOneMoreIn, 6, {"I8"}),
        (mutants.GatesThatForget, 0, {"I8"}),
    ],
)
def test_a_planted_bug_is_noticed(bug: type[Any], first: int, invariants: set[str]) -> None:
    """first: where to begin, so that the test is a short one."""
    parts = {"worker": Worker, "sender": Sender, "gates": Gatekeeper}
    cast = Cast(**{name: bug for name, part in parts.items() if issubclass(bug, part)})
    outcomes = (simulate(scenario(seed), cast=cast) for seed in range(first, first + WITHIN))
    broken = next((outcome for outcome in outcomes if outcome.broken), None)
    assert broken is not None
    assert broken.invariant in invariants, broken.broken
