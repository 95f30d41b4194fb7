"""The wheel alone is the program: installed far from the checkout it has its notebooks, its data, and does its job."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from osupdate_kit import __version__
from tests.paths import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = folder.glob("*.whl")
    return found


class Installed:
    """An environment of its own that sees what our dependencies are, and nothing of the checkout."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", with_pip=False)
        self.packages = next((folder / "venv" / "lib").glob("python*/site-packages"))
        # A path in a .pth is searched, but what .pth files in it say, such as where a checkout is, is not followed.
        (self.packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "venv")]
        self._call([*pip, "install", "--quiet", "--no-index", "--no-deps", "--ignore-installed", str(wheel)])

    def run(self, *words: str) -> str:
        return self._call([str(self.folder / "venv" / "bin" / "osupdate-kit"), *words])

    def python(self, program: str) -> str:
        return self._call([str(self.folder / "venv" / "bin" / "python"), "-c", program])

    def _call(self, words: list[str]) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OSUPDATE"))}
        done = subprocess.run(words, cwd=self.folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"), wheel)


def test_the_wheel_holds_every_file_that_is_no_program(wheel: Path) -> None:
    held = set(ZipFile(wheel).namelist())
    package = ROOT / "osupdate_kit"
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    for name in ("data", "notebooks"):
        folder = ROOT / name
        found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        wanted |= {f"osupdate_kit/_{name}/{path}" for path in found if "ipynb_checkpoints" not in path}
    assert not wanted - held
    assert not [name for name in held if name.startswith(("tests/", "benchmarks/"))]


def test_it_runs_from_where_it_is_installed(installed: Installed) -> None:
    assert installed.run("--version").strip() == f"osupdate-kit {__version__}"
    where = installed.python("import osupdate_kit; print(osupdate_kit.__file__)")
    assert Path(where.strip()).is_relative_to(installed.packages)


def test_the_notebooks_are_copied_out(installed: Installed) -> None:
    installed.run("notebooks", "mine")
    copied = {path.name: path.read_bytes() for path in (installed.folder / "mine").iterdir()}
    assert copied == {path.name: path.read_bytes() for path in (ROOT / "notebooks").glob("*.ipynb")}


def test_the_demo_runs(installed: Installed) -> None:
    told = installed.run("demo", "--devices", "20", "--days", "0.5", "--out", "out")
    assert "Held against the fleet's own log" in told
    assert list((installed.folder / "out").glob("rollout-*.html"))
