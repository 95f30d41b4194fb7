"""A rollout in the browser while it runs: targets G6 and U1, and the monitor of a large one.

G6: scrolling the grid of the whole fleet while a rollout runs, its monitor and the grid's states live, against the same
without a rollout. U1: messages of grid and monitor against the events that they tell of, over the same seconds. The
lab, its server and the service are a process of their own. First paint: from running the cell until the figures stand.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

from playwright.sync_api import Page

from benchmarks import charts
from benchmarks.measure import Line, cpu_of
from benchmarks.ui.grids import RUN_CELL, Wire
from benchmarks.ui.world import living
from osupdate_kit.kit import Kit
from osupdate_kit.kit.watch import Watching
from osupdate_kit.service.clock import open_clock
from osupdate_kit.settings import Settings
from osupdate_kit.stores.ledger import Ledger
from tests.e2e.jupyter import Notebook, chromium, jupyterlab

SCROLLS = 15
WATCHED_SECONDS = 15
CELLS = (
    "import osupdate_kit\nkit = osupdate_kit.connect({config!r})\nkit.grid()",
    "commands = dict.fromkeys(('iPadOS', 'macOS', 'tvOS'), '99')  # which make more events than declarations\n"
    "chosen = kit.select(where=\"serial != '' and site != 'Elsewhere'\")\n"
    "rollout = kit.start(kit.plan(chosen, target='26.6.1', declare_since=commands))\n"
    "rollout.monitor()",
)
MONITOR = ("import osupdate_kit\nkit = osupdate_kit.connect({config!r})", "kit.rollout(1).monitor()")
EVENTS = "with kit.ledger.read() as tx: print(tx.last_seq())"
# Milliseconds until a row far away is painted, whole; rows are 28 px high.
SCROLL = """async (row) => {
  const port = document.querySelector(".osk-grid .port");
  const start = performance.now();
  port.scrollTop = row * 28;
  return await new Promise((done) => {
    const look = () => {
      const found = port.querySelector(`.device[aria-rowindex="${row + 3}"] .mono`);
      if (found?.textContent) done(performance.now() - start); else requestAnimationFrame(look);
    };
    look();
  });
}"""
FIGURES = """(output) => / of [\\d,]+ done/.test(output.querySelector(".osk-monitor .headline")?.textContent ?? "")"""

BEGUN = "() => !/^0 of/.test(document.querySelector('.osk-monitor .headline')?.textContent ?? '0 of')"


def run(quick: bool) -> Iterator[Line]:
    with tempfile.TemporaryDirectory() as kept, chromium() as browser:
        folder = Path(kept)
        with jupyterlab(folder) as lab:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            wire = Wire(page)
            devices, fleet, speed = (200, 2_000, 1_800) if quick else (1_500, 100_000, 1_800)
            with living(folder / "world", devices, fleet - devices, speed) as config:
                notebook = lab.open(page, *(cell.format(config=config) for cell in CELLS))
                yield from _while_it_runs(
                    notebook, wire, fleet, most=None if quick else 1 / 50
                )  # few devices, few events
                notebook.close()
            size = 2_000 if quick else 100_000
            config = _large(folder / "large", size)
            notebook = lab.open(
                browser.new_page(viewport={"width": 1280, "height": 900}),
                *(cell.format(config=str(config)) for cell in MONITOR),
            )
            yield from _first_paint(notebook, size)
            notebook.close()
        yield from _looks(config, size)


def _while_it_runs(notebook: Notebook, wire: Wire, fleet: int, *, most: float | None) -> Iterator[Line]:
    page = notebook.page
    _run(notebook, 0)
    page.wait_for_selector(".osk-grid .device")
    wire.settle()
    idle = _scrolls(page, fleet)
    _run(notebook, 1)
    page.wait_for_function(BEGUN, timeout=120_000)
    page.evaluate("jupyterapp.shell.currentWidget.content.scrollToItem(0, 'start')")
    page.evaluate(SCROLL, 0)
    running = _scrolls(page, fleet)
    events = int(notebook.run(EVENTS))
    before = wire.messages  # those of the question are no news of the rollout
    page.wait_for_timeout(WATCHED_SECONDS * 1_000)
    messages = wire.messages - before
    events = int(notebook.run(EVENTS)) - events
    yield Line(name="rollout", measured=f"G6 scroll in {fleet:,} while it runs", ours=median(running), unit="ms",
               against="without", limit=median(idle), ratio=median(running) / median(idle), most=2)  # fmt: skip
    yield Line(name="rollout", measured="G6 the slowest of those", ours=max(running), unit="ms",
               against="without", limit=max(idle), ratio=max(running) / max(idle))  # fmt: skip
    yield Line(name="rollout", measured=f"U1 messages in {WATCHED_SECONDS} s", ours=messages, unit="", against="events",
               limit=events, ratio=messages / events, most=most)  # fmt: skip


def _scrolls(page: Page, fleet: int) -> list[float]:
    took = []
    for number in range(SCROLLS):
        took.append(page.evaluate(SCROLL, fleet // SCROLLS * (number * 7 % SCROLLS) + 40))
        page.wait_for_timeout(300)
    return took


def _run(notebook: Notebook, cell: int) -> None:
    notebook.page.evaluate(
        """async (cell) => {
          const notebook = jupyterapp.shell.currentWidget.content;
          notebook.deselectAll();
          notebook.activeCellIndex = cell;
          await jupyterapp.commands.execute("notebook:run-cell");
        }""",
        cell,
    )


def _large(folder: Path, devices: int) -> Path:
    """A rollout amid its work, in a store of its own; its settings."""
    folder.mkdir()
    store = folder / "large.db"
    charts.on_sqlite(charts.made_up(devices), store)
    with closing(Ledger.open(f"sqlite:///{store}")) as ledger:
        open_clock(ledger, start_at=charts.NOW)
    settings = folder / "osupdate-kit.toml"
    settings.write_text(f"store_url = {json.dumps(f'sqlite:///{store}')}\n")
    return settings


def _first_paint(notebook: Notebook, devices: int) -> Iterator[Line]:
    _run(notebook, 0)
    took = [notebook.page.evaluate(RUN_CELL, [1, FIGURES]) for _ in range(4)][1:]  # the first loads the scripts
    yield Line(name="monitor", measured=f"first paint at {devices:,}", ours=median(took), unit="ms", most=3_000)


def _looks(config: Path, devices: int) -> Iterator[Line]:
    with closing(Kit.open(Settings.load(config))) as kit:
        all_of_it = [cpu_of(lambda: Watching(kit, 1).look("")) for _ in range(3)]
        watching = Watching(kit, 1)
        watched = watching.look("")
        assert watched is not None
        nothing = [cpu_of(lambda: watching.look(watched.head.version)) for _ in range(3)]
    yield Line(name="monitor", measured=f"look at {devices:,}, CPU", ours=median(all_of_it) * 1_000, unit="ms")
    yield Line(name="monitor", measured="look where nothing is new, CPU", ours=median(nothing) * 1_000, unit="ms")
