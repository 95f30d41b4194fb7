"""A lab that lives in a process of its own: `python -m benchmarks.ui.world FOLDER DEVICES LISTED SPEED`.

Beside the devices that live, the store knows LISTED others from a list. Prints the settings file, and ends when its
standard input does.
"""

import csv
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from osupdate_kit.kit import Kit
from osupdate_kit.lab.fleet import makeup
from osupdate_kit.rehearsal import live_lab
from osupdate_kit.settings import Settings


def main(folder: Path, devices: int, listed: int, speed: float) -> None:
    with live_lab(folder, makeup("school"), devices, speed=speed) as settings_file:
        with closing(Kit.open(Settings.load(settings_file))) as kit:
            kit.sync(str(_others(folder / "others.csv", listed)), ask=False)
        print(settings_file, flush=True)
        sys.stdin.read()


def _others(path: Path, number: int) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["udid", "serial", "name", "platform", "site"])
        rows.writerows([f"OTHER-{n}", f"SO{n:06}", f"Other {n}", "iPadOS", "Elsewhere"] for n in range(number))
    return path


@contextmanager
def living(folder: Path, devices: int, listed: int, speed: float) -> Iterator[str]:
    """The path of its settings."""
    words = [sys.executable, "-m", __name__, str(folder), str(devices), str(listed), str(speed)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
