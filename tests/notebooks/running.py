"""Shipped notebooks run as people run them: copied, in a kernel of their own, told by settings alone where they are."""

import os
import shutil
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from osupdate_kit.settings import CONFIG_VARIABLE
from tests.paths import ROOT

NOTEBOOKS = ROOT / "notebooks"
NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
CELL_SECONDS = 300


def run(name: str, settings: Path, folder: Path) -> nbformat.NotebookNode:
    """Run a copy in `folder` from top to bottom; the notebook with its outputs. A cell that fails raises."""
    folder.mkdir(exist_ok=True)
    copy = folder / f"{name}.ipynb"
    shutil.copyfile(NOTEBOOKS / copy.name, copy)
    notebook = nbformat.read(copy, as_version=4)
    environment = {key: text for key, text in os.environ.items() if not key.startswith("OSUPDATE_KIT_")}
    environment |= {CONFIG_VARIABLE: str(settings), "PYTHONPATH": str(ROOT)}
    client = NotebookClient(
        notebook, timeout=CELL_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=environment)
    return notebook


def shown(notebook: nbformat.NotebookNode, kind: str = "text/html") -> list[str]:
    """What its cells showed, of one kind."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return ["".join(output.data[kind]) for output in outputs if kind in output.get("data", {})]


def stream(notebook: nbformat.NotebookNode, name: str) -> str:
    """What it printed to "stdout" or "stderr"."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == name)
