"""Every notebook from top to bottom, in a kernel of its own, before a fleet that lives."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from osupdate_kit.kit import Kit
from osupdate_kit.lab.fleet import makeup
from osupdate_kit.rehearsal import live_lab
from osupdate_kit.settings import CONFIG_VARIABLE, Settings
from tests.notebooks.running import NOTEBOOKS, run, shown, stream
from tests.paths import ROOT

PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with live_lab(tmp_path_factory.mktemp("lab"), makeup("school"), 250) as file:
        yield file


@pytest.fixture(scope="module")
def kit(settings: Path) -> Iterator[Kit]:
    kit = Kit.open(Settings.load(settings))
    yield kit
    kit.close()


@pytest.fixture(scope="module")
def before(settings: Path, kit: Kit) -> dict[str, str]:
    """What those show that look at a rollout, before there is one: the error, by notebook."""
    errors = {}
    for name in ("03_monitor", "04_deferrals_and_failures", "05_report"):
        with pytest.raises(CellExecutionError) as caught:
            run(name, settings, settings.parent / "notebooks")
        errors[name] = str(caught.value)
    for name in ("01_fleet", "02_plan_and_issue", "06_real_server"):
        run(name, settings, settings.parent / "notebooks")
    assert kit.rollouts() == []
    return errors


@pytest.fixture(scope="module")
def quickstart(settings: Path, before: dict[str, str]) -> nbformat.NotebookNode:
    return run("00_quickstart", settings, settings.parent / "notebooks")


def test_without_a_rollout_they_say_what_to_do_and_nothing_begins(before: dict[str, str]) -> None:
    for error in before.values():
        assert "No rollout has begun yet. Plan one, and confirm it." in error
        assert "osupdate_kit/kit" not in error, "the way through our code helps nobody"


def test_the_quickstart_comes_to_devices_that_are_done(quickstart: nbformat.NotebookNode, kit: Kit) -> None:
    last = shown(quickstart)[-1]
    found = re.search(r"([\d,]+) of ([\d,]+) devices run 26\.6\.1", last)
    assert found, last
    done, eligible = (int(number.replace(",", "")) for number in found.groups())
    assert 0 < eligible // 4 <= done <= eligible
    assert [stored.id for stored, _ in kit.rollouts()] == [1]
    assert len(shown(quickstart, PLOTLY)) == 2
    assert len(shown(quickstart, WIDGET)) == 1
    assert any("rollout-1-" in html and ".html" in html for html in shown(quickstart))
    assert stream(quickstart, "stderr") == ""


def test_the_quickstart_begins_no_second_rollout(quickstart: nbformat.NotebookNode, settings: Path, kit: Kit) -> None:
    run("00_quickstart", settings, settings.parent / "notebooks")
    assert len(kit.rollouts()) == 1


WIDGETS = {
    "01_fleet": 1,
    "02_plan_and_issue": 3,
    "03_monitor": 1,
    "04_deferrals_and_failures": 0,
    "06_real_server": 2,
}


@pytest.mark.parametrize("name", WIDGETS)
def test_it_runs_and_begins_nothing(name: str, quickstart: nbformat.NotebookNode, settings: Path, kit: Kit) -> None:
    acts = _acts(kit)
    notebook = run(name, settings, settings.parent / "notebooks")
    assert stream(notebook, "stderr") == ""
    assert len(kit.rollouts()) == 1
    assert _acts(kit) == acts
    assert len(shown(notebook, WIDGET)) == WIDGETS[name]


def test_the_first_day_is_told_from_the_doctor_to_the_confirmation(
    settings: Path, quickstart: nbformat.NotebookNode
) -> None:
    outputs = shown(run("06_real_server", settings, settings.parent / "notebooks"))
    (doctor,) = (html for html in outputs if "signature" in html)
    assert doctor.count(">ok<") > 10
    assert "failed" not in doctor
    told = "".join(outputs)
    assert "250 devices</b>: 0 new, 250 known" in told
    assert "version told" in told
    assert "First canary" in told


def test_the_fleet_takes_a_list_and_keeps_a_selection(settings: Path, quickstart: nbformat.NotebookNode) -> None:
    folder = settings.parent / "notebooks"
    keys = "server,enrollment_id\nlab,nobody\n"
    (folder / "selection.csv").write_text(keys)
    notebook = run("01_fleet", settings, folder)
    assert "250 devices</b>: 0 new, 250 known" in "".join(shown(notebook))
    assert "0 selected from the list · 1 not found: nobody on lab" in stream(notebook, "stdout")
    assert (folder / "selection.csv").read_text() == keys, "nothing was selected, so nothing is overwritten"


def test_the_report_has_the_rollouts_numbers(quickstart: nbformat.NotebookNode, settings: Path, kit: Kit) -> None:
    folder = settings.parent / "notebooks"
    notebook = run("05_report", settings, folder)
    assert len(shown(notebook, PLOTLY)) == len(kit.rollout().charts())
    pages = sorted((folder / "reports").glob("rollout-1-*.html"))
    selected = f"{kit.rollout().status().selected:,}"
    assert f"<b>{selected}</b>" in pages[-1].read_text() or f"{selected} selected" in pages[-1].read_text()


def test_papermill_passes_number_folder_and_formats(
    quickstart: nbformat.NotebookNode, settings: Path, tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "papermill", str(NOTEBOOKS / "05_report.ipynb"), str(tmp_path / "out.ipynb")]
    words += ["-p", "rollout_number", "1", "-p", "folder", str(tmp_path / "handed on"), "-p", "formats", "html,xlsx"]
    environment = os.environ | {CONFIG_VARIABLE: str(settings), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path.suffix for path in (tmp_path / "handed on").iterdir()} == {".html", ".xlsx"}
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    tags = [cell.metadata.get("tags", []) for cell in executed.cells if cell.cell_type == "code"]
    assert tags[:2] == [["parameters"], ["injected-parameters"]]


def _acts(kit: Kit) -> list[str]:
    with kit.ledger.read() as tx:
        return [act.what for act in tx.audits(1)]
