"""Bugs planted on purpose, each a patch in `patches/`: the simulation notices every one, by the promise that it breaks.

A patch is applied to a copy of the package. One that does not fit the code any more fails its test: mend the patch. It
may name the shares of the faults among which it is looked for.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATCHES = sorted(Path(__file__).with_name("patches").glob("*.patch"))
WITHIN = 1000  # seeds in which a planted bug has to show
SECONDS = 300


def planted(patch: Path, folder: Path) -> Path:
    """A checkout of which only the package is a copy, with the bug in it."""
    shutil.copytree(ROOT / "osupdate_kit", folder / "osupdate_kit", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tests", "data", "notebooks", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    words = ["git", "apply", "--unsafe-paths", "-C1", "-p1", str(patch)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert not done.returncode, f"{patch.name} does not fit the code any more; mend it:\n{done.stderr}"
    names = re.findall(r"^\+\+\+ b/(.*)$", patch.read_text(), re.MULTILINE)
    changed = [name for name in names if (folder / name).read_bytes() != (ROOT / name).read_bytes()]
    assert names, f"{patch.name} is empty"
    assert changed == names, f"{patch.name} changes nothing"
    return folder


def test_at_least_ten_places_are_tried() -> None:
    places = {line for patch in PATCHES for line in patch.read_text().splitlines() if line.startswith("+++ ")}
    assert len(PATCHES) >= 10
    assert len(places) >= 6


@pytest.mark.parametrize("patch", PATCHES, ids=[patch.stem for patch in PATCHES])
def test_a_planted_bug_is_noticed(patch: Path, tmp_path: Path) -> None:
    folder = planted(patch, tmp_path)
    promises = re.search(r"^Caught as: (.*)$", patch.read_text(), re.MULTILINE)
    assert promises, f"{patch.name} does not say which promise it breaks"
    faults = re.search(r"^With faults: (.*)$", patch.read_text(), re.MULTILINE)
    words = [sys.executable, "-m", "tests.simulation", "--seeds", str(WITHIN), "--stop"]
    words += ["--faults", faults[1]] if faults else []
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=SECONDS)
    found = re.search(r"^seed (\d+): (I\d+): .*$", done.stdout, re.MULTILINE)
    assert found, f"not noticed in {WITHIN} seeds: {done.stdout[-300:]} {done.stderr[-300:]}"
    assert found[2] in promises[1].split(), found[0]
