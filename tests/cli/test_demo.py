"""`demo`: the main job on a fresh machine."""

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from osupdate_kit.cli import main
from osupdate_kit.lab.truth import TruthLog


def test_the_demo_ends_with_a_table_that_adds_up_and_pages(tmp_path: Path) -> None:
    out = StringIO()
    words = ["demo", "--devices", "40", "--days", "1", "--seed", "3", "--out", str(tmp_path)]
    with redirect_stdout(out), redirect_stderr(StringIO()), pytest.raises(SystemExit) as ended:
        main(words)
    assert not ended.value.code
    rows = [line.split() for line in out.getvalue().splitlines()]
    figures = {row[0]: [int(cell) for cell in row[1:]] for row in rows if len(row) == 5 and row[1].isdigit()}
    selected = figures.pop("selected")
    assert selected == [sum(column) for column in zip(*figures.values(), strict=True)]
    assert selected[-1] == 40
    pages = sorted(tmp_path.glob("rollout-*.html"))
    assert len(pages) == 3
    assert all("selected" in page.read_text() for page in pages)
    assert len(TruthLog.read(tmp_path / "truth.jsonl").versions()) == 40


@pytest.mark.parametrize("speed", ["901", "0.5", "nan"])
def test_a_lab_faster_than_its_server_s_clock_can_tell_is_refused(speed: str, tmp_path: Path) -> None:
    err = StringIO()
    with redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(["lab", str(tmp_path / "lab"), "--speed", speed, "--no-jupyter"])
    assert ended.value.code == 2
    assert "Choose 1 to 900: servers date their answers to whole seconds" in err.getvalue()
    assert not (tmp_path / "lab").exists()
