"""The notebooks as files: pairs in step, nothing stored, few lines a cell, and no line that acts on a rollout."""

import ast
from itertools import pairwise
from pathlib import Path

import jupytext
import nbformat
import pytest

from tests.notebooks.running import NAMES, NOTEBOOKS

MOST_LINES = 10
ACTS = {"start", "issue", "act", "pause", "resume", "halt", "cancel", "retry"}
NETWORK = {"requests", "urllib", "http", "socket"}


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def code(name: str) -> list[str]:
    return [cell.source for cell in read(name).cells if cell.cell_type == "code"]


def test_all_are_there_with_their_twins() -> None:
    scripts = sorted(path.stem for path in NOTEBOOKS.glob("*.py"))
    stories = ["quickstart", "fleet", "plan_and_issue", "monitor", "deferrals_and_failures", "report", "real_server"]
    assert NAMES == scripts == [f"{number:02}_{story}" for number, story in enumerate(stories)]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_edited_is_what_is_shipped(name: str) -> None:
    edited = jupytext.read(NOTEBOOKS / f"{name}.py")
    shipped = read(name)

    def cells(notebook: nbformat.NotebookNode) -> list[tuple[str, str, dict[str, object]]]:
        return [(cell.cell_type, cell.source, dict(cell.metadata)) for cell in notebook.cells]

    assert cells(shipped) == cells(edited), f"run: jupytext --to ipynb --update {Path('notebooks') / name}.py"
    nbformat.validate(shipped)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_stored_in_it(name: str) -> None:
    for cell in read(name).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_tells_one_step(name: str) -> None:
    for cell in code(name):
        assert 1 <= len(cell.splitlines()) <= MOST_LINES, cell
        for node in ast.walk(ast.parse(cell)):
            assert not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef), cell
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not NETWORK & {module.partition(".")[0] for module in modules}, cell


@pytest.mark.parametrize("name", NAMES)
def test_no_line_of_it_acts(name: str) -> None:
    """What begins, stops or repeats anything is left to people; `rehearse` alone begins, and in the lab only."""
    called = {
        node.func.attr
        for cell in code(name)
        for node in ast.walk(ast.parse(cell))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not called & ACTS
    assert ("rehearse" in called) == (name == "00_quickstart")


@pytest.mark.parametrize("name", NAMES)
def test_every_step_is_explained(name: str) -> None:
    """Text stands before the first cell, and a heading before each step that shows something to everybody."""
    cells = read(name).cells
    assert cells[0].cell_type == "markdown"
    assert cells[0].source.startswith("# ")
    for before, cell in pairwise(cells):
        if cell.cell_type == "markdown":
            assert cell.source.startswith("## "), cell.source
            assert before.cell_type == "code" or cells.index(before) == 0, before.source
