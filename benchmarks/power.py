"""Power of the halts: how soon a bad release stops, how often a good one is stopped by mistake.

The real gatekeeper over a real store in memory, in virtual time; only the devices are made up: each begins when it is
admitted, and fails, or is done, after a delay. `python -m benchmarks.power` prints the table that
stands in `docs/halts.md`.
"""

import argparse
import heapq
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import exp
from pathlib import Path
from random import Random
from typing import NamedTuple

import plotly.graph_objects as go

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.lab.clock import VirtualClock
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.journey import Instrument, Journey, Member, RolloutStatus
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import DAY, HOUR, MINUTE, Cadences
from osupdate_kit.rollout.targets import Target
from osupdate_kit.rollout.waves import Limits, Wave
from osupdate_kit.service.gates import Gatekeeper
from osupdate_kit.service.record import Plans
from osupdate_kit.stores.ledger import Ledger, Transition
from osupdate_kit.views.template import template

MODELS = ("iPad11,3", "iPad12,1", "iPad13,18", "iPad14,1", "iPad15,7")
BAD = MODELS[2]
SITES = ("North", "South", "East", "West")
LIMITS = Limits(failure_share=0.15)
BEGINS = 1_795_000_000_000_000
PACE = 20
STEP = 5 * MINUTE
FAILS_AFTER, DONE_AFTER = 90.0, 240.0  # minutes, median; successes show later than failures: the harder case


@dataclass(frozen=True, slots=True)
class Case:
    """A release: how large a share fails on one model, and on all the others."""

    name: str
    bad: float
    others: float = 0.02
    pace: int = PACE
    devices: int = 2_000
    seeds: int = 100
    limits: Limits = LIMITS


class Outcome(NamedTuple):
    """Of one seed: what was halted first, how many of the bad model had failed by then, and how far all came."""

    halted: str  # "" = nothing, "bad" = the bad model alone or all, "good" = something else
    failed: int
    begun: int
    hours: float


def play(case: Case, seed: int, days: float = 10) -> Outcome:
    """One rollout from its start to its first halt, or to its end."""
    random, clock, ledger = Random(seed), VirtualClock(BEGINS), Ledger.open("sqlite://", migrate=True)
    rollout = _begin(ledger, case, random)
    gates = Gatekeeper(ledger, clock, Cadences(), Plans())
    coming: list[tuple[int, DeviceKey, str, str]] = []  # at, device, state left, state entered
    known: set[DeviceKey] = set()
    failed = ended = 0
    while clock.now() < BEGINS + int(days * DAY) and ended < case.devices:
        gates.turn()
        with ledger.read() as tx:
            halts, stored = tx.halts(rollout), tx.rollout(rollout)
            fresh = [place.key for place in tx.under_way(rollout) if place.key not in known]
        if halts:
            right = halts[0].dimension in ("", "model") and halts[0].value in ("", BAD)
            hours = (clock.now() - BEGINS) / HOUR
            ledger.close()
            return Outcome("bad" if right else "good", failed, len(known), hours)
        assert stored is not None
        assert stored.status is RolloutStatus.RUNNING
        moves = [(key, "held", "queued", clock.now()) for key in fresh]
        for key in fresh:
            known.add(key)
            fails = random.random() < (case.bad if _is_bad(key) else case.others)
            at = clock.now() + int(_delay(random, FAILS_AFTER if fails else DONE_AFTER) * MINUTE)
            heapq.heappush(coming, (at, key, "queued", "failed" if fails else "done"))
        clock.advance_to(clock.now() + STEP)
        while coming and coming[0][0] <= clock.now():
            at, key, left, entered = heapq.heappop(coming)
            failed += entered == "failed" and _is_bad(key)
            ended += 1
            moves.append((key, left, entered, at))
        _record(ledger, rollout, moves)
    ledger.close()
    return Outcome("", failed, len(known), (clock.now() - BEGINS) / HOUR)


def _is_bad(key: DeviceKey) -> bool:
    return key.enrollment_id.endswith(BAD)


def _delay(random: Random, median: float) -> float:
    """Minutes, log-normal: some take many times as long."""
    return median * exp(random.gauss(0, 0.7))


def _begin(ledger: Ledger, case: Case, random: Random) -> int:
    plan = RolloutPlan(
        name=case.name, author="power", created_at=BEGINS, target=Target(version=OSVersion.parse("26.6.1")),
        deadline_at=BEGINS + 30 * DAY, waves=(Wave(pace=case.pace),), limits=case.limits, members=case.devices,
    )  # fmt: skip
    with ledger.write() as tx:
        number = tx.save_plan(
            name=plan.name, yaml=plan.to_yaml(), sha256="power", author="power", created_at=BEGINS,
            members=(_member(random) for _ in range(case.devices)),
        )  # fmt: skip
        return tx.start_rollout(
            number, now=BEGINS, deadline_at=plan.deadline_at, by="power", waves=[("all", case.pace)]
        )


def _member(random: Random) -> Member:
    model = random.choice(MODELS)
    key = DeviceKey("mdm", f"{random.getrandbits(64):016X}-{model}")
    version = random.choice(("26.5", "26.5.1", "26.6"))
    return Member(
        key=key, udid=key.enrollment_id, platform="iPadOS", model=model, os_version=version, site=random.choice(SITES),
        wave="all", instrument=Instrument.COMMAND,
    )  # fmt: skip


def _record(ledger: Ledger, rollout: int, moves: list[tuple[DeviceKey, str, str, int]]) -> None:
    """What the worker would: the state of each, and its signed transitions."""
    rows = [
        Transition(rollout=rollout, key=key, at=at, known_seq=1, state=state, sign=sign)
        for key, left, entered, at in moves
        for state, sign in ((left, -1), (entered, 1))
    ]
    journeys = [
        Journey(rollout=rollout, key=key, state=entered, commands_sent=1, updated_at=at, updated_seq=1)
        for key, _, entered, at in moves
    ]
    with ledger.write() as tx:
        tx.save_journeys(journeys)
        tx.add_transitions(rows)


# --- the table ---

CASES = (
    Case("bad 35%", bad=0.35),
    Case("good 2%", bad=0.02, devices=1_000, seeds=200),
    *(Case(f"bad {share:.0%}", bad=share, devices=1_000, seeds=40) for share in (0.05, 0.10, 0.15, 0.20, 0.25, 0.50)),
    *(Case(f"bad 35%, pace {pace}", bad=0.35, pace=pace, seeds=40) for pace in (50, 100)),
)


class Line(NamedTuple):
    case: Case
    outcomes: list[Outcome]

    def words(self) -> tuple[str, ...]:
        n, halted = len(self.outcomes), [one for one in self.outcomes if one.halted == "bad"]
        soon = sum(one.failed < 60 for one in halted)
        failed = sorted(one.failed for one in halted)
        median = f"{failed[len(failed) // 2]} ({failed[-1]})" if failed else "-"
        return (
            self.case.name, str(n), str(len(halted)), str(soon), str(sum(o.halted == "good" for o in self.outcomes)),
            median, f"{sum(one.hours for one in halted) / len(halted):.0f}" if halted else "-",
        )  # fmt: skip


HEADINGS = ("release", "seeds", "halted", "before 60 failed", "something else halted", "failed by then", "hours")


def lines(share: float) -> Iterator[Line]:
    with ProcessPoolExecutor() as pool:
        for case in CASES:
            wanted = max(1, round(case.seeds * share))
            yield Line(case, list(pool.map(play, [case] * wanted, range(wanted), chunksize=5)))


def picture(drawn: list[Line], path: Path) -> None:
    """How many of the seeds are halted, by the share that fails; needs a Chromium."""
    curve = sorted((line for line in drawn if line.case.pace == PACE), key=lambda line: line.case.bad)
    shares = [line.case.bad for line in curve]
    halted = [sum(bool(one.halted) for one in line.outcomes) / len(line.outcomes) for line in curve]
    figure = go.Figure(go.Scatter(x=shares, y=halted, mode="lines+markers+text", text=[f"{y:.0%}" for y in halted]))
    figure.update_traces(textposition="top center", cliponaxis=False)
    figure.update_layout(
        template=template("light"), width=720, height=340, margin={"l": 64, "r": 24, "t": 56, "b": 56},
        title_text="A model that fails at 15 % or more is halted every time, a good release hardly ever",
        xaxis={"title_text": "share of one model that fails", "tickformat": ".0%", "range": [0, 0.52]},
        yaxis={"title_text": "rollouts halted by themselves", "tickformat": ".0%", "range": [0, 1.1]},
    )  # fmt: skip
    figure.write_image(path)


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.power", description=__doc__)
    arguments.add_argument("--share", type=float, default=1, help="of the seeds of each line, 0-1")
    arguments.add_argument("--picture", type=Path, help="where the curve goes, such as docs/images/halts.svg")
    chosen = arguments.parse_args()
    print(f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}")
    drawn = []
    for line in lines(chosen.share):
        print(f"| {' | '.join(line.words())} |", flush=True)
        drawn.append(line)
    if chosen.picture:
        picture(drawn, chosen.picture)


if __name__ == "__main__":
    main()
