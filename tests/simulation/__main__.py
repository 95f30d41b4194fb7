"""`python -m tests.simulation SEED…` replays; `--seeds N [--from M]` runs many and sums up."""

import argparse
import logging
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.run import Outcome, simulate
from tests.simulation.scenario import scenario


def outcome_of(seed: int) -> Outcome:
    return simulate(scenario(seed))


def replay(seed: int) -> bool:
    """Tell the story of a seed, step by step; True if every promise was kept."""
    print(scenario(seed))
    outcome = simulate(scenario(seed), tell=print)
    print(f"seed {seed}: {outcome.broken or 'all promises kept'}; shown {dict(outcome.states)}")
    return not outcome.broken


def many(first: int, count: int, jobs: int) -> bool:
    """Run seeds, print what was injected and reached, and which failed; True if none did."""
    begun = time.perf_counter()
    injected: Counter[str] = Counter()
    reached: Counter[tuple[str, str]] = Counter()
    states: Counter[str] = Counter()
    failed: list[Outcome] = []
    seeds = range(first, first + count)
    with ProcessPoolExecutor(jobs) as pool:
        for outcome in pool.map(outcome_of, seeds, chunksize=5):
            injected += outcome.injected
            reached += outcome.reached
            states += outcome.states
            if outcome.broken:
                failed.append(outcome)
                print(f"seed {outcome.seed}: {outcome.broken}", flush=True)
    print(f"\n{count} seeds from {first} in {time.perf_counter() - begun:.0f} s")
    print("\nFaults injected:")
    for kind, number in injected.most_common():
        print(f"  {number:8,}  {kind}")
    print(f"\nStates shown at the end: {dict(states.most_common())}")
    print(f"\nState × evidence: {len(reached)} pairs")
    for state in sorted({state for state, _ in reached}):
        met = {evidence: number for (s, evidence), number in reached.items() if s == state}
        print(f"  {state}: " + ", ".join(f"{e} {n:,}" for e, n in sorted(met.items(), key=lambda pair: -pair[1])))
    print(f"\n{len(failed)} seeds failed: {' '.join(str(outcome.seed) for outcome in failed) or 'none'}")
    return not failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", nargs="*", type=int, help="replay these, step by step")
    parser.add_argument("--seeds", type=int, default=0, help="run so many")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    words = parser.parse_args()
    logging.disable()
    good = [replay(seed) for seed in words.seed]
    if words.seeds:
        good.append(many(words.first, words.seeds, words.jobs))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
