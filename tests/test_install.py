"""The wheel alone is the program: installed far from the checkout it has its notebooks, its data, and does its job."""

from pathlib import Path
from zipfile import ZipFile

import pytest

from osupdate_kit import __version__
from tests.installed import Installed, build_wheel
from tests.paths import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


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
