"""Mutation testing of `protocol/` and `rollout/`: small bugs at places chosen by a seed; do the tests notice each one?

Run by `make mutants` with Cosmic Ray in a virtual environment of its own. A mutant has to fail a unit test of those
parts, else a seed of the simulation. Survivors are printed as diffs, to be looked at. Annotations and the decorators
of classes are left out.
"""

import argparse
import ast
import difflib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from cosmic_ray.commands.init import _all_work_items
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"  # tables that some tests compare with
PARTS = ("protocol/*", "rollout/*")
_COPIED = ("osupdate_kit", "tests", "data", "notebooks", "docs", "pyproject.toml")
_SECONDS = 300  # then it hangs, which is noticed, too
_OWN_SECONDS = 40
_PYTEST = ("-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider")
_TESTS = ("tests/protocol", "tests/rollout", "tests/fleet")


@dataclass(frozen=True, slots=True)
class Mutant:
    path: Path
    operator: str
    occurrence: int
    line: int

    def code(self) -> str | None:
        """The changed module; None where nothing is changed or it is no Python any more."""
        changed = mutate_code(self.path.read_text(), get_operator(self.operator)(), self.occurrence)
        with suppress(SyntaxError):
            if changed and ast.dump(ast.parse(changed)) != ast.dump(ast.parse(self.path.read_text())):
                return str(changed)
        return None

    def diff(self) -> str:
        lines = self.path.read_text().splitlines(), (self.code() or "").splitlines()
        return "\n".join(difflib.unified_diff(*lines, fromfile=str(self.path.relative_to(ROOT)), n=0, lineterm=""))


def sample(count: int, seed: int, modules: Sequence[str]) -> list[Mutant]:
    """So many places, each with one of the mutants that are possible there."""
    places: dict[tuple[Path, tuple[int, int], tuple[int, int]], list[Mutant]] = defaultdict(list)
    for path in sorted(path for name in modules for path in (ROOT / "osupdate_kit").glob(f"{name}.py")):
        apart = _apart(path)
        for item in _all_work_items([path], {}):
            for one in item.mutations:
                start = tuple(one.start_pos)
                if not any(begins <= start < ends for begins, ends in apart):
                    mutant = Mutant(path, one.operator_name, one.occurrence, start[0])
                    places[path, start, tuple(one.end_pos)].append(mutant)
    luck, found = Random(seed), []
    keys = sorted(places)
    luck.shuffle(keys)
    print(f"{sum(map(len, places.values())):,} mutants at {len(keys):,} places; {count} are tried, seed {seed}")
    for key in keys:
        chosen = luck.choice(places[key])
        if chosen.code():
            found.append(chosen)
        if len(found) == count:
            break
    return found


def _apart(path: Path) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where types and the flags of dataclasses stand: changed ones are no bugs that anything could notice."""
    found: list[ast.expr] = []
    for node in ast.walk(ast.parse(path.read_text())):
        found += [part for name in ("annotation", "returns") if (part := getattr(node, name, None))]
        if isinstance(node, ast.ClassDef):
            found += node.decorator_list
    return [((n.lineno, n.col_offset), (n.end_lineno or 0, n.end_col_offset or 0)) for n in found]


class Bench:
    """Copies of the checkout, one for each thread, in which mutants are tried."""

    def __init__(self, folder: Path, python: str, seeds: int, *, own: bool) -> None:
        self._folder, self._python, self._seeds, self._own = folder, python, seeds, own
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._copies = 0

    def _copy(self) -> Path:
        if not hasattr(self._mine, "path"):
            with self._lock:
                self._copies += 1
                path = self._folder / str(self._copies)
            path.mkdir()
            if SHARED.exists() and not (path.parent / SHARED.name).exists():
                (path.parent / SHARED.name).symlink_to(SHARED)
            for name in _COPIED:
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copy(ROOT / name, path / name)
            self._mine.path = path
        found: Path = self._mine.path
        return found

    def untouched(self) -> str:
        """What the tests say of a copy without a bug; empty when they pass, as they must."""
        words = [self._python, *_PYTEST, *_TESTS]
        copy = self._copy()
        environment = {**os.environ, "PYTHONPATH": str(copy)}
        done = subprocess.run(words, cwd=copy, env=environment, capture_output=True, text=True, check=False)
        return done.stdout[-2000:] if done.returncode else ""

    def killed_by(self, mutant: Mutant) -> str:
        """Which tests noticed; empty: none."""
        copy, code = self._copy(), mutant.code()
        target = copy / mutant.path.relative_to(ROOT)
        assert code is not None
        target.write_text(code)
        try:
            own = f"tests/{mutant.path.parent.name}/test_{mutant.path.stem}.py"
            first = [own] if (copy / own).exists() else []
            if self._own:
                return "its own test" if first and not self._passes(copy, [*_PYTEST, *first]) else ""
            for words, name in (
                ([*_PYTEST, *first, *_TESTS], "unit tests"),
                (["-m", "tests.simulation", "--seeds", str(self._seeds), "--stop"], "simulation"),
            ):
                if not self._passes(copy, words):
                    return name
            return ""
        finally:
            shutil.copy(mutant.path, target)

    def _passes(self, copy: Path, words: list[str]) -> bool:
        environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                [self._python, *words], cwd=copy, env=environment, capture_output=True, check=False,
                timeout=_OWN_SECONDS if self._own else _SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tests/mutants.py", description=__doc__)
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=60, help="of the simulation, for what unit tests did not notice")
    parser.add_argument("--python", default=str(ROOT / ".venv/bin/python"), help="which runs the tests")
    parser.add_argument("--least", type=float, default=0.9, help="share that has to be noticed")
    parser.add_argument("--modules", nargs="*", default=PARTS, help="such as rollout/waves")
    parser.add_argument("--own", action="store_true", help="only by the module's own test: quick, for who writes one")
    words = parser.parse_args()
    mutants = sample(words.sample, words.seed, words.modules)
    counts: dict[str, int] = defaultdict(int)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(words.jobs) as pool:
        bench = Bench(Path(folder), words.python, words.seeds, own=words.own)
        if not words.own and (words_of_it := bench.untouched()):
            print(f"The tests fail without any bug:\n{words_of_it}")
            return 2
        for mutant, name in zip(mutants, pool.map(bench.killed_by, mutants), strict=True):
            counts[name] += 1
            if not name:
                print(f"\nsurvived: {mutant.operator}\n{mutant.diff()}", flush=True)
    noticed = sum(number for name, number in counts.items() if name)
    share = noticed / len(mutants)
    told = ", ".join(f"{name or 'nobody'} {number}" for name, number in sorted(counts.items(), reverse=True))
    print(f"\n{noticed} of {len(mutants)} noticed: {share:.0%} ({told})")
    return 0 if share >= words.least else 1


if __name__ == "__main__":
    sys.exit(main())
