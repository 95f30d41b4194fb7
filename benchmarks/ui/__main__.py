"""Run the measurements in JupyterLab and print them. Exit 1 when a target is missed. Needs Chromium.

Run: python -m benchmarks.ui [--quick]
"""

import argparse
import sys
from itertools import chain

from rich.console import Console

from benchmarks.ui import grids, rollouts

PARTS = {"grids": grids.run, "rollouts": rollouts.run}


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.ui", description=__doc__)
    arguments.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(PARTS)}; all if none is named")
    arguments.add_argument("--quick", action="store_true", help="small sizes: shows that it runs, proves no target")
    chosen = arguments.parse_args()
    out, missed = Console(width=130), 0
    for line in chain.from_iterable(PARTS[name](chosen.quick) for name in chosen.names or PARTS):
        target = f"≤ {line.most:.3g}" if line.most is not None else f"≥ {line.least:.3g}" if line.least else "-"
        theirs = "-" if line.limit is None else f"{line.limit:,.0f} {line.unit}"
        ratio = "-" if line.ratio is None else f"{line.ratio:.3g}"
        verdict = {True: "ok", False: "MISSED", None: "stated"}[line.ok]
        figures = f"{line.ours:,.0f} {line.unit}".rjust(12), f"{line.against}: {theirs}".ljust(28), ratio.rjust(8)
        out.print(line.measured.ljust(42), *figures, target.ljust(8), verdict)
        missed += line.ok is False
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
