"""A real JupyterLab and a real Chromium, and notebooks opened in them; for tests and for measurements."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

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
# Asked of the notebook's model: its page draws an error like any other text on standard error.
_ERRORS = """() => jupyterapp.shell.currentWidget.content.widgets
  .flatMap((cell) => cell.model.type === "code" ? cell.model.outputs.toJSON() : [])
  .filter((output) => output.output_type === "error").map((output) => output.traceback.join("\\n"))"""


@dataclass(frozen=True, slots=True)
class Lab:
    """A running JupyterLab; notebooks lie in `folder`."""

    url: str
    folder: Path

    def open(self, page: Page, *cells: str) -> "Notebook":
        """Write these cells to a notebook and open it in a fresh workspace; its kernel is ready, nothing has run."""
        name = f"{uuid.uuid4().hex}.ipynb"
        written = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata={"kernelspec": _KERNEL}
        )
        nbformat.write(written, self.folder / name)
        return self.visit(page, name)

    def visit(self, page: Page, name: str) -> "Notebook":
        """Open a notebook that lies in `folder`, in a fresh workspace; its kernel is ready, nothing has run."""
        page.goto(f"{self.url}/lab/workspaces/{uuid.uuid4().hex}/tree/{name}?token={TOKEN}&reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=RUN_MS)
        page.wait_for_function(_CONNECTED, timeout=RUN_MS)  # a run sent before is lost
        return Notebook(page)


@dataclass(frozen=True, slots=True)
class Notebook:
    """An open notebook."""

    page: Page

    def run_all(self) -> None:
        assert self.page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells').then(() => true)")
        errors = self.page.evaluate(_ERRORS)
        assert not errors, errors

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

    def close(self) -> None:
        self.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        self.page.close()

    def theme(self, name: str) -> None:
        """ "light" or "dark" """
        title = f"JupyterLab {name.title()}"
        self.page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", title)
        self.page.wait_for_selector(f"body[data-jp-theme-light='{str(name == 'light').lower()}']", state="attached")


@contextmanager
def jupyterlab(folder: Path) -> Iterator[Lab]:
    """JupyterLab on loopback; everything it reads and writes is in `folder`."""
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


@contextmanager
def chromium() -> Iterator[Browser]:
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or missing("Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


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
