"""Run the benchmarks named, or all, and print one table. Exit 1 when a target is missed or could not be measured."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping

import pytest
from rich.console import Console
from rich.table import Table

from benchmarks import charts, declarations, enqueue, memory, receiver, rehearsal, reports, storage, verdicts, worker
from benchmarks.measure import Line

Bench = Callable[[bool], Iterable[Line]]
BENCHES: Mapping[str, Bench] = {
    "receiver": receiver.run,
    "insert": storage.run_insert,
    "worker": worker.run,
    "enqueue": enqueue.run,
    "declarations": declarations.run,
    "turn": storage.run_turn,
    "verdicts": verdicts.run,
    "rehearsal": rehearsal.run,
    "memory": memory.run,
    "charts": charts.run,
    "reports": reports.run,
}


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    arguments.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(BENCHES)}; all if none is named")
    arguments.add_argument("--quick", action="store_true", help="small sizes: shows that it runs, proves no target")
    chosen = arguments.parse_args()
    if unknown := [name for name in chosen.names if name not in BENCHES]:
        arguments.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    out, remarks = Console(width=168), Console(stderr=True)
    table = Table(*("name", "measured", "against", "ours", "limit", "ratio", "target", ""), title=_title(chosen.quick))
    missed = 0
    for name in chosen.names or BENCHES:
        started = time.perf_counter()
        try:
            for line in BENCHES[name](chosen.quick):
                table.add_row(*_cells(line))
                missed += line.ok is False
        except pytest.skip.Exception as reason:  # a program that is no Python package is missing
            table.add_row(name, str(reason), "", "", "", "", "", "not run")
            missed += 1
        remarks.print(f"{name}: {time.perf_counter() - started:.0f} s")
    out.print(table)
    return 1 if missed else 0


def _title(quick: bool) -> str:
    load = "load {:.1f} {:.1f} {:.1f} at the start".format(*os.getloadavg())
    return f"{'Quick sizes' if quick else 'Full sizes'}, {os.cpu_count()} cores, {load}; CPU unless it says wall"


def _cells(line: Line) -> tuple[str, ...]:
    target = f"≤ {line.most:g}" if line.most is not None else f"≥ {line.least:g}" if line.least is not None else "-"
    if line.ratio is None and target != "-":
        target += f" {line.unit}"
    return (
        line.name,
        line.measured,
        line.against or "-",
        _figure(line.ours, line.unit),
        "-" if line.limit is None else _figure(line.limit, line.unit),
        "-" if line.ratio is None else f"{line.ratio:.2f}",
        target,
        {True: "ok", False: "MISSED", None: "stated"}[line.ok],
    )


def _figure(value: float, unit: str) -> str:
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:,.1f} {unit}"


if __name__ == "__main__":
    sys.exit(main())
