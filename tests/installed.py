"""The program as people have it: from the wheel, in an environment of its own, far from the checkout."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from tests.paths import ROOT


def build_wheel(folder: Path) -> Path:
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
        self.program = folder / "venv" / "bin" / "osupdate-kit"
        self.packages = next((folder / "venv" / "lib").glob("python*/site-packages"))
        # A path in a .pth is searched, but what .pth files in it say, such as where a checkout is, is not followed.
        (self.packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "venv")]
        self._call([*pip, "install", "--quiet", "--no-index", "--no-deps", "--ignore-installed", str(wheel)])

    def run(self, *words: str) -> str:
        return self._call([str(self.program), *words])

    def python(self, program: str) -> str:
        return self._call([str(self.folder / "venv" / "bin" / "python"), "-c", program])

    def _call(self, words: list[str]) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OSUPDATE"))}
        done = subprocess.run(words, cwd=self.folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout
