"""Seeds in which everything goes wrong, and no promise is broken.

`make simulate` runs thousands more; `test_patches.py` plants bugs.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import time
from pathlib import Path

import pytest

from osupdate_kit.lab.clock import HOUR
from osupdate_kit.lab.specs import PROFILES
from osupdate_kit.rollout.waves import Limits
from osupdate_kit.rollout.windows import Window
from tests.real import postgres
from tests.simulation.run import simulate
from tests.simulation.scenario import Cut, Deed, Faults, Scenario, scenario
from tests.simulation.store import MEMORY

SEEDS, CHUNK = 200, 20
ON_DISK = (5, 11)
ON_POSTGRESQL = (3, 14)
NAMED = [line for line in Path(__file__).with_name("seeds.jsonl").read_text().splitlines() if line]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of injected faults are logged by the service, as they should be."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def kept(seed: int, *, url: str = MEMORY) -> Counter[str]:
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


def uncertain(story: Scenario) -> Scenario:
    """One failure is a reason to halt, and the store fails again and again."""
    return replace(story, limits=Limits(failures=1), faults=Faults(store_fails=0.25))


def full(story: Scenario) -> Scenario:
    """The disk is full again and again, and the database away."""
    return replace(story, faults=replace(story.faults, disk_full=0.05, store_away=0.05))


def set_wrong(story: Scenario) -> Scenario:
    """Clocks are set, ours ahead and back."""
    return replace(story, faults=replace(story.faults, clock_jumps=0.1, server_jumps=0.05))


def played_back(story: Scenario) -> Scenario:
    """The server's database is restored, and a device moves to another server."""
    backed_up = Deed(at=story.starts_at + 5 * HOUR, what="back_up")
    restored = Deed(at=backed_up.at + 6 * HOUR, what="restore")
    moved = Deed(at=restored.at + 3 * HOUR, what="move")
    return replace(story, deeds=(backed_up, restored, moved))


@pytest.mark.parametrize("change", [succeeded, abandoned, busy, unreadable, full, set_wrong, played_back])
@pytest.mark.parametrize("seed", range(6))
def test_no_promise_is_broken_where_one_was(change: Callable[[Scenario], Scenario], seed: int) -> None:
    outcome = simulate(change(scenario(seed)))
    assert not outcome.broken, outcome.broken


@pytest.mark.parametrize("seed", [32, 34, 100])
def test_a_halt_that_could_not_be_stored_is_not_forgotten(seed: int) -> None:
    outcome = simulate(uncertain(scenario(seed)))
    assert not outcome.broken, outcome.broken


@pytest.mark.parametrize("line", NAMED, ids=[Cut.name_of(line) for line in NAMED])
def test_a_story_that_was_broken_once_is_not_any_more(line: str) -> None:
    outcome = simulate(Cut.from_json(line).story())
    assert not outcome.broken, f"{outcome.broken}\nReplay: python -m tests.simulation '{line}'"


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
