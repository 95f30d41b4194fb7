"""The device grid against ipydatagrid and itables in the same JupyterLab, in turn: targets G1 to G5.

First row: from running the cell until a row is painted. Bytes: of the kernel's websocket, decompressed, until it is
quiet. The rivals are not asked for a million rows: at that size they are slow or unusable.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, WebSocket

from benchmarks.measure import Line
from tests.e2e.jupyter import Notebook, chromium, jupyterlab

DEBOUNCE_MS = 150
LIVE_SECONDS = 8
CHANGES_PER_SECOND = 1_000
BATCHES_PER_SECOND = 4

SETUP = """
import itables, ipydatagrid, numpy as np, threading, time
from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.views.grid import DeviceGrid
from osupdate_kit.views.status import STATES
from tests.views.grids import fleet
itables.init_notebook_mode(connected=False)
itables.options.maxBytes = 0
frames = {{size: fleet(size) for size in {sizes}}}
"""
CELLS = {
    "ours": "grid = DeviceGrid(frames[{size}], states={{}}); grid",
    "ipydatagrid": "ipydatagrid.DataGrid(frames[{size}])",
    "itables": "itables.show(frames[{size}])",
}
# True as soon as a device is painted in the output: a cell with a serial, or on a canvas anything but its ground.
PAINTED = """(output) => {
  const canvases = [...output.querySelectorAll("canvas")].filter((canvas) => canvas.width > 200 && canvas.height > 200);
  for (const canvas of canvases) {
    const pixels = new Uint32Array(canvas.getContext("2d").getImageData(80, 40, 160, 40).data.buffer);
    if (new Set(pixels).size > 8) return true;
  }
  return [...output.querySelectorAll(".device, td")].some((node) => /C02X\\d{8}/.test(node.textContent));
}"""
RUN_CELL = """async ([cell, painted]) => {
  const isPainted = eval(painted);
  const notebook = jupyterapp.shell.currentWidget.content;
  await jupyterapp.commands.execute("notebook:clear-all-cell-outputs");
  notebook.deselectAll();
  notebook.activeCellIndex = cell;
  const output = notebook.widgets[cell].node;
  await notebook.scrollToItem(cell, "start"); // a canvas is painted in view only
  const start = performance.now();
  const done = jupyterapp.commands.execute("notebook:run-cell");
  const first = await new Promise((resolve) => {
    const look = () => isPainted(output) ? resolve(performance.now() - start) : requestAnimationFrame(look);
    look();
  });
  await done;
  return first;
}"""
SEARCH = """async ([text, found]) => {
  const grid = document.querySelector(".osk-grid");
  const input = grid.querySelector("input.search");
  input.focus({preventScroll: true}); // a field that nobody is in shows what the kernel says
  const start = performance.now();
  input.value = text;
  input.dispatchEvent(new Event("input"));
  return await new Promise((done) => {
    const look = () => {
      const shown = grid.querySelector(".selection").textContent;
      if (shown.includes(found)) done(performance.now() - start); else requestAnimationFrame(look);
    };
    look();
  });
}"""
FRAMES = """async (seconds) => {
  const gaps = [];
  let last = performance.now();
  const end = last + seconds * 1000;
  return await new Promise((done) => {
    const look = (now) => {
      gaps.push(now - last);
      last = now;
      if (now < end) requestAnimationFrame(look);
      else done({fps: gaps.length / seconds, worst: Math.max(...gaps.slice(2))});
    };
    requestAnimationFrame(look);
  });
}"""
LIVE = f"""
random = np.random.default_rng(4)
def tell():
    for _ in range({LIVE_SECONDS * BATCHES_PER_SECOND}):
        rows = random.choice(1_000, {CHANGES_PER_SECOND // BATCHES_PER_SECOND}, replace=False)
        news = frame.iloc[rows][["server", "enrollment_id"]].assign(state=random.choice(STATES, len(rows)))
        grid.update_states(news)
        truth.update(zip(news.enrollment_id, news.state))
        time.sleep(1 / {BATCHES_PER_SECOND})
frame, truth = frames[{{size}}], {{{{}}}}
thread = threading.Thread(target=tell)
thread.start()
"""


TRUTH = """
import json
from osupdate_kit.views.tokens import tokens
labels = {state: word["label"] for state, word in tokens()["states"].items()}
serials = dict(zip(frame.enrollment_id.head(1_000), frame.serial.head(1_000)))
print(json.dumps({serials[key]: labels[state] for key, state in truth.items()}))
"""
SEEN = """() => Object.fromEntries([...document.querySelectorAll(".osk-grid .device")].map((row) => [
  row.querySelector(".mono").textContent, row.querySelector(".chip")?.textContent ?? ""]))"""


class Wire:
    """Messages and bytes that come from the kernel."""

    def __init__(self, page: Page) -> None:
        self.page, self.bytes, self.messages = page, 0, 0
        page.on("websocket", self._watch)

    def _watch(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._count)

    def _count(self, payload: str | bytes) -> None:
        self.bytes += len(payload)
        self.messages += 1

    def settle(self) -> None:
        """Until nothing has come for a second."""
        while True:
            before = self.messages
            self.page.wait_for_timeout(1_000)
            if self.messages == before:
                return


def run(quick: bool) -> Iterator[Line]:
    small, middle, large, huge = (300, 1_000, 3_000, 10_000) if quick else (1_000, 10_000, 100_000, 1_000_000)
    with tempfile.TemporaryDirectory() as folder, jupyterlab(Path(folder)) as lab, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        wire = Wire(page)
        shown = [(name, size) for size in (small, middle, large) for name in CELLS] + [("ours", huge)]
        notebook = lab.open(page, *(CELLS[name].format(size=size) for name, size in shown))
        printed = notebook.run(SETUP.format(sizes=(small, middle, large, huge)))
        assert "Error" not in printed, printed
        first, sent = _first_rows(notebook, wire, shown, rounds=1 if quick else 2)
        for size in (small, middle):
            for rival in ("ipydatagrid", "itables"):
                yield _line(f"first row at {size:,}", first["ours", size], rival, first[rival, size], "ms")
        yield _line(f"first row at {large:,}", first["ours", large], "itables", first["itables", large], "ms")
        ours, rival = ("ours", large), ("ipydatagrid", large)
        yield _line(f"G1 first row at {large:,}", first[ours], "ipydatagrid", first[rival], "ms", most=1 / 4)
        largest, least = ("ours", huge), ("ours", small)
        yield _line(f"G2 first row at {huge:,}", first[largest], f"at {small:,}", first[least], "ms", most=3)
        yield _line(f"G3 bytes at {huge:,}", sent[largest], f"at {small:,}", sent[least], "kB", most=1.1)
        most = None if quick else 1 / 100  # of a few rows, the grid's own script is most
        yield _line(f"G3 bytes at {large:,}", sent[ours], "ipydatagrid", sent[rival], "kB", most=most)
        few, many = (_search(notebook, shown.index(("ours", size)), size) for size in (large, huge))
        yield _line(f"G4 search in {huge:,}, less debounce", many, f"in {large:,}", few, "ms", most=3)
        yield from _live(notebook, wire, shown.index(ours), large)
        notebook.close()


def _line(measured: str, ours: float, against: str, limit: float, unit: str, *, most: float | None = None) -> Line:
    return Line(
        name="grid",
        measured=measured,
        ours=ours,
        unit=unit,
        against=against,
        limit=limit,
        ratio=ours / limit,
        most=most,
    )


def _first_rows(
    notebook: Notebook, wire: Wire, shown: list[tuple[str, int]], *, rounds: int
) -> tuple[dict[tuple[str, int], float], dict[tuple[str, int], float]]:
    """Milliseconds to the first row and kB from the kernel by grid and size: medians after a first run for warmth."""
    times: dict[tuple[str, int], list[float]] = {which: [] for which in shown}
    sizes: dict[tuple[str, int], list[float]] = {which: [] for which in shown}
    for number in range(rounds + 1):
        for cell, which in enumerate(shown):
            if number == 0 and which[1] != shown[0][1]:
                continue  # the smallest is enough to load each grid's scripts
            before = wire.bytes
            took = _run_cell(notebook, cell)
            wire.settle()
            if number:
                times[which].append(took)
                sizes[which].append((wire.bytes - before) / 1_000)
    return {w: median(found) for w, found in times.items()}, {w: median(found) for w, found in sizes.items()}


def _run_cell(notebook: Notebook, cell: int) -> float:
    took: float = notebook.page.evaluate(RUN_CELL, [cell, PAINTED])
    return took


def _search(notebook: Notebook, cell: int, size: int) -> float:
    """Milliseconds from typing to the new count, less the debounce: the median of searches for different names."""
    _run_cell(notebook, cell)
    notebook.page.evaluate(SEARCH, ["warm", f"0 of {size:,}"])
    took = [
        notebook.page.evaluate(SEARCH, [f"c02x{number:08d}", f"1 of {size:,}"]) - DEBOUNCE_MS
        for number in (4, 250, 130)
        if notebook.page.evaluate(SEARCH, ["", f"{size:,} of {size:,}"])
    ]
    return median(took)


def _live(notebook: Notebook, wire: Wire, cell: int, size: int) -> Iterator[Line]:
    """Changes at full rate: is the page still smooth, are messages few, does the screen end up like the frame?"""
    _run_cell(notebook, cell)
    wire.settle()
    before = wire.messages
    notebook.run(LIVE.format(size=size))
    frames = notebook.page.evaluate(FRAMES, LIVE_SECONDS)
    notebook.run("thread.join(); grid.wait()")
    wire.settle()
    messages, changes = wire.messages - before, LIVE_SECONDS * CHANGES_PER_SECOND
    rows = json.loads(notebook.run(TRUTH))
    seen = notebook.page.evaluate(SEEN)
    wrong = sum(seen[serial] != label for serial, label in rows.items() if serial in seen)
    yield Line(name="grid", measured=f"G5 frames at {CHANGES_PER_SECOND:,} changes/s", ours=frames["fps"], unit="fps",
               against="60 Hz", limit=60, ratio=frames["fps"] / 60, least=0.9)  # fmt: skip
    yield Line(name="grid", measured="G5 worst gap between frames", ours=frames["worst"], unit="ms", most=100)
    yield _line("G5 messages", messages, "changes", changes, "", most=1 / 40)
    yield Line(name="grid", measured=f"G5 of {len(seen)} rows differ from the frame", ours=wrong, unit="rows", most=0)
