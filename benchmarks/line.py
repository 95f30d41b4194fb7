"""The true line at scale: 2,000 simulated devices before a real NanoMDM with PostgreSQL, canary and two waves, a
network with faults, a stand-by service, and the active one killed every 20 seconds. `python -m benchmarks.line`

Exit 1 if the kit says of one device what is not true, sends a second install step, or has lost an event.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path

from tests.line.waves import Size, play
from tests.real import postgres


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.line", description=__doc__)
    arguments.add_argument("--devices", type=int, default=2_000)
    arguments.add_argument("--speed", type=float, default=600, help="how much faster than real time the site lives")
    arguments.add_argument("--days", type=float, default=4)
    chosen = arguments.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="osupdate-kit-line-") as folder, postgres() as cluster:
        played = play(Path(folder), cluster, Size(chosen.devices, chosen.speed, chosen.days, kill_seconds=20))
    for field in fields(played):
        value = getattr(played, field.name)
        print(f"{field.name}: {len(value) if isinstance(value, list) else value}")
        for wrong in value[:3] if isinstance(value, list) else ():
            print(wrong)
    print(f"{chosen.devices:,} devices, {time.perf_counter() - started:.0f} s")
    wrong = (played.false_done, played.not_known, played.second_installs, played.missing, played.out_of_turn)
    return 1 if any(wrong) or played.differences else 0


if __name__ == "__main__":
    sys.exit(main())
