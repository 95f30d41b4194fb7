"""A real JupyterLab and a real Chromium, started once for all browser tests and ended with them."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from tests.paths import ROOT
from tests.real import free_port, missing

START_SECONDS = 60.0
RUN_MS = 60_000
TOKEN = "browser-tests"
_KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
_NEWS = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
_CONNECTED = """() => {
  const kernel = window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel;
  return kernel && kernel.connectionStatus === "connected" && kernel.status === "idle";
}"""


@dataclass(frozen=True, slots=True)
class Lab:
    """A running JupyterLab; notebooks lie in `folder`."""

    url: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Notebook:
    """An open notebook whose cells have run."""

    page: Page

    @property
    def outputs(self) -> Locator:
        """Where results are; Lab's own search boxes and buttons are not in it."""
        return self.page.locator(".jp-OutputArea-output")

    def run_all(self) -> None:
        assert self.page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells').then(() => true)")
        errors = self.page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']")
        assert errors.count() == 0, errors.first.inner_text()

    def run(self, code: str) -> str:
        """Run code in the notebook's own kernel, beside its cells; what it printed."""
        printed = self.page.evaluate(
            """async (code) => {
                 const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                 const future = kernel.requestExecute({code, store_history: false});
                 let printed = "";
                 future.onIOPub = ({header, content}) => {
                   if (header.msg_type === "stream" && content.name === "stdout") printed += content.text;
                   if (header.msg_type === "error") printed += content.traceback.join("\\n");
                 };
                 await future.done;
                 return printed;
               }""",
            code,
        )
        return str(printed).strip()

    def theme(self, name: str) -> None:
        """ "light" or "dark" """
        title = f"JupyterLab {name.title()}"
        self.page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", title)
        self.page.wait_for_selector(f"body[data-jp-theme-light='{str(name == 'light').lower()}']", state="attached")


OpenNotebook = Callable[..., Notebook]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    notebooks, config = folder / "notebooks", folder / "config"
    notebooks.mkdir()
    (config / "labconfig").mkdir(parents=True)
    (config / "labconfig" / "page_config.json").write_text(json.dumps(_NEWS))
    port = free_port()
    words = [sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    words += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={notebooks}"]
    words += ["--LabApp.expose_app_in_browser=True"]
    places = {"JUPYTER_CONFIG_DIR": config, "JUPYTER_DATA_DIR": folder / "data", "JUPYTER_RUNTIME_DIR": folder / "run"}
    environment = os.environ | {name: str(path) for name, path in places.items()} | {"PYTHONPATH": str(ROOT)}
    log = folder / "lab.log"
    with log.open("wb") as output:
        process = subprocess.Popen(words, env=environment, stdout=output, stderr=output)
    try:
        _await_port(port, process, log)
        yield Lab(f"http://127.0.0.1:{port}", notebooks)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or missing("Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def open_notebook(lab: Lab, browser: Browser) -> Iterator[OpenNotebook]:
    """Write these cells to a notebook, open it in a fresh workspace, run it; closed after the test.

    Whatever goes wrong in the page's own scripts fails the test.
    """
    pages: list[Page] = []
    faults: list[str] = []

    def opened(*cells: str, width: int = 1280, height: int = 900) -> Notebook:
        name = f"{uuid.uuid4().hex}.ipynb"
        written = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata={"kernelspec": _KERNEL}
        )
        nbformat.write(written, lab.folder / name)
        page = browser.new_page(viewport={"width": width, "height": height})
        pages.append(page)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{lab.url}/lab/workspaces/{uuid.uuid4().hex}/tree/{name}?token={TOKEN}&reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=RUN_MS)
        page.wait_for_function(_CONNECTED, timeout=RUN_MS)  # a run sent before is lost
        notebook = Notebook(page)
        notebook.run_all()
        return notebook

    yield opened
    for page in pages:
        page.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        page.close()
    assert not [fault for fault in faults if not re.search("ResizeObserver loop", fault)]


def _await_port(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    pause = threading.Event()
    for _ in range(int(START_SECONDS / 0.1)):
        if process.poll() is not None:
            pytest.fail(f"JupyterLab ended at once: {log.read_text()[-2000:]}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            pause.wait(0.1)
        else:
            return
    pytest.fail(f"JupyterLab does not listen after {START_SECONDS} s: {log.read_text()[-2000:]}")
