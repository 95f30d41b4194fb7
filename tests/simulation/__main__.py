"""`python -m tests.simulation SEED…` replays; `--seeds N [--from M]` runs many and sums up; `--shrink SEED` shortens.

A seed is a number, or the JSON that `--shrink` prints. `--faults` turns some up in all of many seeds.
"""

import argparse
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.simulation.run import Outcome, simulate
from tests.simulation.scenario import Cut
from tests.simulation.shrink import shrink

_BEGINS, _ENDS = "<!-- seeds: written by --write -->", "<!-- /seeds -->"
ON_DISK = 25  # of so many seeds, one lives on disk


def outcome_of(seed: int, shares: Mapping[str, float]) -> Outcome:
    """Run one, in memory or on disk, as its number says; shares: of faults, instead of those that it draws."""
    story = Cut(seed=seed, shares=shares).story()
    if seed % ON_DISK:
        return simulate(story)
    with TemporaryDirectory() as folder:
        outcome = simulate(story, url=f"sqlite:///{folder}/store.db")
        outcome.injected["(a store on disk)"] += 1
        return outcome


@dataclass(slots=True)
class Sum:
    """What many seeds came to; kept as JSON, so that a long run can be taken up again and written down."""

    seeds: int = 0
    seconds: float = 0.0
    injected: Counter[str] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)  # "state · evidence"
    states: Counter[str] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)

    def take(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.injected += outcome.injected
        self.reached += Counter({" · ".join(pair): number for pair, number in outcome.reached.items()})
        self.states += outcome.states
        if outcome.broken:
            self.failed[outcome.seed] = outcome.broken

    def lines(self) -> Iterator[str]:
        yield f"{self.seeds:,} seeds, {self.seconds:,.0f} s of all processes; {len(self.failed)} broke a promise"
        yield ""
        yield f"{sum(self.injected.values()):,} faults and mishaps injected:"
        for kind, number in self.injected.most_common():
            yield f"  {number:10,}  {kind}"
        yield ""
        yield f"Shown at the end: {', '.join(f'{state} {number:,}' for state, number in self.states.most_common())}"
        yield ""
        yield f"{len(self.reached)} pairs of state and evidence were met:"
        pairs = [(*pair.split(" · "), number) for pair, number in self.reached.items()]
        for state in sorted({pair[0] for pair in pairs}):
            met = sorted(((evidence, n) for s, evidence, n in pairs if s == state), key=lambda pair: -pair[1])
            yield f"  {state}: {', '.join(f'{evidence} {n:,}' for evidence, n in met)}"
        for seed, words in self.failed.items():
            yield f"seed {seed}: {words}"

    def markdown(self) -> Iterator[str]:
        """The same for the docs."""
        broken = f"**{len(self.failed)} broke a promise**" if self.failed else "none broke a promise"
        faults = sum(number for kind, number in self.injected.items() if not kind.startswith("("))
        yield f"{self.seeds:,} seeds, {faults:,} faults and mishaps, {len(self.reached)} pairs of state and evidence;"
        yield f"{broken}."
        if self.failed:
            yield from ("", *(f"- seed {seed}: {words}" for seed, words in self.failed.items()))
        yield from ("", "| Injected | Times |", "|---|---:|")
        yield from (f"| {kind} | {number:,} |" for kind, number in self.injected.most_common())
        yield from ("", "| State | Evidence that met it, and how often |", "|---|---|")
        pairs = [(*pair.split(" · "), number) for pair, number in self.reached.items()]
        for state in sorted({pair[0] for pair in pairs}):
            met = sorted(((evidence, n) for s, evidence, n in pairs if s == state), key=lambda pair: -pair[1])
            yield f"| `{state}` | {', '.join(f'{evidence} {n:,}' for evidence, n in met)} |"

    def write(self, path: Path) -> None:
        """Into the docs' page, between its marks."""
        before, _, rest = path.read_text(encoding="utf-8").partition(_BEGINS)
        _, _, after = rest.partition(_ENDS)
        path.write_text(f"{before}{_BEGINS}\n{chr(10).join(self.markdown())}\n{_ENDS}{after}", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Sum":
        words = json.loads(path.read_text())
        counters = {name: Counter(words[name]) for name in ("injected", "reached", "states")}
        failed = {int(seed): text for seed, text in words["failed"].items()}
        return cls(seeds=words["seeds"], seconds=words["seconds"], failed=failed, **counters)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({name: getattr(self, name) for name in self.__slots__}, indent=1) + "\n")


def many(
    seeds: range, jobs: int, run: Callable[[int], Outcome], *, stop: bool, keep: Path | None, write: Path | None
) -> bool:
    """Run seeds, print what was injected and reached, and which failed; True if none did.

    keep: the sums so far; where the file is there, the run tries again what broke, and goes on behind its seeds.
    """
    total, begun = Sum.load(keep) if keep and keep.exists() else Sum(), time.perf_counter()
    spent = total.seconds
    total.failed = {seed: broken for seed in total.failed if (broken := run(seed).broken)}
    with ProcessPoolExecutor(jobs) as pool:
        work = pool.map(run, seeds[total.seeds :], chunksize=1 if stop else 5)
        for outcome in work:
            total.take(outcome)
            total.seconds = spent + (time.perf_counter() - begun) * jobs
            if outcome.broken:
                print(f"seed {outcome.seed}: {outcome.broken}", flush=True)
                if stop:
                    pool.shutdown(cancel_futures=True)
                    return False
            if keep and total.seeds % 100 == 0:
                total.save(keep)
    print(f"Seeds {seeds[0]} to {seeds[-1]}, {jobs} at a time: {total.seconds / jobs:.0f} s")
    print("\n".join(total.lines()))
    if keep:
        total.save(keep)
    if write:
        total.write(write)
    return not total.failed


def replay(text: str) -> bool:
    """Tell the story of a seed, step by step; True if every promise was kept."""
    cut = Cut.from_json(text)
    story = cut.story()
    print(story)
    outcome = simulate(story, tell=print)
    print(f"seed {text}: {outcome.broken or 'all promises kept'}; shown {dict(outcome.states)}")
    return not outcome.broken


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", nargs="*", help="replay these, step by step")
    parser.add_argument("--seeds", type=int, default=0, help="run so many")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first of them")
    parser.add_argument("--faults", type=json.loads, default={}, help='shares in all of them: {"refused": 0.5}')
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--stop", action="store_true", help="at the first that breaks a promise")
    parser.add_argument("--keep", type=Path, help="a JSON file for the sums; a run goes on where it ended")
    parser.add_argument("--shrink", type=int, metavar="SEED", help="make a failing seed short")
    parser.add_argument("--write", type=Path, help="the page of the docs that the sums are written into")
    words = parser.parse_args()
    logging.disable()
    good = [replay(seed) for seed in words.seed]
    if words.seeds:
        seeds, run = range(words.first, words.first + words.seeds), partial(outcome_of, shares=words.faults)
        good.append(many(seeds, words.jobs, run, stop=words.stop, keep=words.keep, write=words.write))
    if words.shrink is not None:
        cut = shrink(words.shrink)
        print(f"Shortest: {cut.to_json()}" if cut else f"Seed {words.shrink} breaks no promise.")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
