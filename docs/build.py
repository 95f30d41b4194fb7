"""What the pages say that stands in the code already: read from it at each build, so that it cannot be out of date.

A page says `<!-- from the code: NAME -->`; what the functions here return takes that line's place.
"""

import html
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import indent
from typing import Any

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page
from nbclient import NotebookClient
from plotly.offline import get_plotlyjs
from typer.main import get_command
from typer.testing import CliRunner

from osupdate_kit.analysis.tables import TABLES
from osupdate_kit.cli import app
from osupdate_kit.lab.fleet import makeup
from osupdate_kit.protocol.causes import CAUSES, SIGNALS, Retry
from osupdate_kit.rehearsal import live_lab
from osupdate_kit.rollout.eligibility import WORDS
from osupdate_kit.rollout.preflight import FINDINGS
from osupdate_kit.settings import CONFIG_VARIABLE

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "notebooks" / "00_quickstart.ipynb"
LAB_DEVICES, LAB_SPEED = 300, 3000
CELL_SECONDS = 300
_MARK = re.compile(r"^( *)<!-- from the code: (\w+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    return _MARK.sub(lambda mark: indent(PARTS[mark[2]](), mark[1]), markdown)


def on_post_build(config: MkDocsConfig, **_: Any) -> None:
    """plotly comes from its own package: a reader's browser fetches nothing from elsewhere."""
    script = Path(config.site_dir) / "plotly.min.js"
    script.write_text(get_plotlyjs(), "utf-8")


# --- tables ---


def _cell(text: object) -> str:
    return html.escape(str(text), quote=False).replace("|", "\\|")


def _table(*rows: tuple[object, ...]) -> str:
    head, *body = rows
    lines = [head, ("---",) * len(head), *body]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    subcommands: Mapping[str, Any] = getattr(command, "commands", {})
    if not subcommands:
        yield words
    for name, subcommand in subcommands.items():
        yield from _commands(subcommand, (*words, name))


def commands() -> str:
    """Each command with its own help."""
    told = []
    for words in _commands(get_command(app)):
        shown = CliRunner().invoke(app, [*words, "--help"], terminal_width=96, prog_name="osupdate-kit").output
        told.append(f"## {' '.join(words)}\n\n```text\n{shown.strip()}\n```")
    return "\n\n".join(told)


def tables() -> str:
    """The data contract."""
    told = []
    for table in TABLES.values():
        key = ", ".join(f"`{name}`" for name in table.key)
        grows = f" New rows have a greater `{table.watermark}`." if table.watermark else ""
        rows = [
            (f"`{column.name}`", column.kind.value + (" or NULL" if column.nullable else ""), _cell(column.meaning))
            for column in table.columns
        ]
        meaning = f"{table.meaning[0].upper()}{table.meaning[1:]}."
        told.append(f"## {table.name}\n\n{meaning} A row is named by {key}.{grows}\n\n")
        told.append(_table(("Column", "Kind", "Meaning"), *rows) + "\n\n")
    return "".join(told)


def causes() -> str:
    """Classes of failure, with what to do about each."""
    helps = {Retry.YES: "yes", Retry.LATER: "once that is mended", Retry.NO: "no"}
    rows = [
        (f"`{name.value}`", *map(_cell, (cause.meaning, cause.remedy, helps[cause.retry], cause.owner)))
        for name, cause in CAUSES.items()
    ]
    return _table(("Cause", "Meaning", "What to do", "Does a retry help?", "Whose move"), *rows)


def signals() -> str:
    """Words and codes that are known to mean a cause."""
    rows = [(f"`{source}`", f"`{word}`", f"`{failure.value}`") for source, word, failure in SIGNALS]
    return _table(("Said by", "Word or code", "Cause"), *rows)


def findings() -> str:
    rows = [
        (f"`{finding.value}`", kind.value, _cell(words), _cell(remedy))
        for finding, (kind, words, remedy) in FINDINGS.items()
    ]
    return _table(("Finding", "Kind", "What it says", "What to do"), *rows)


def barriers() -> str:
    rows = [(f"`{barrier.value}`", _cell(words), _cell(remedy)) for barrier, (words, remedy) in WORDS.items()]
    return _table(("Barrier", "Why the device is left out", "What to do"), *rows)


def _deployed(name: str, language: str) -> Callable[[], str]:
    """A file of `deploy/`, whole."""
    return lambda: f"```{language}\n{(ROOT / 'deploy' / name).read_text('utf-8').strip()}\n```"


# --- the tutorial ---

_PICTURES = {"DeviceGrid": "grid", "PlanBuilder": "plan", "Confirm": "confirm", "RolloutMonitor": "monitor"}


def tutorial() -> str:
    """The first notebook, run from top to bottom against a lab, with what it showed."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with (
        tempfile.TemporaryDirectory(prefix="osupdate-kit-docs-") as folder,
        live_lab(Path(folder) / "lab", makeup("school"), LAB_DEVICES, speed=LAB_SPEED) as settings_file,
    ):
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(notebook, timeout=CELL_SECONDS, kernel_name="python3", resources=resources)
        client.execute(env=os.environ | {CONFIG_VARIABLE: str(settings_file.resolve())})
    widgets = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    return "\n\n".join(part for cell in notebook.cells for part in _told(cell, widgets))


def _told(cell: Any, widgets: Mapping[str, Any]) -> Iterator[str]:
    if cell.cell_type == "markdown":
        source = re.sub(r"^# .*$", "", cell.source, count=1, flags=re.MULTILINE)  # the page has a title of its own
        yield re.sub(r"\[([^]]+)\]\(\w+\.ipynb\)", r"\1", source)  # the other notebooks are no pages
    elif cell.cell_type == "code":
        yield f"```python\n{cell.source}\n```"
        for output in cell.outputs:
            yield _shown(output, widgets)


def _shown(output: Any, widgets: Mapping[str, Any]) -> str:
    """An output as it can stand on a page that no kernel is behind."""
    data = output.get("data", {})
    plain = output.get("text") or data.get("text/plain", "")
    if figure := data.get("application/vnd.plotly.v1+json"):
        words = json.dumps({part: figure[part] for part in ("data", "layout")}).replace("</", "<\\/")
        return f'<div class="figure"><script type="application/json">{words}</script></div>'
    if view := data.get("application/vnd.jupyter.widget-view+json"):
        name = widgets[view["model_id"]]["state"]["_anywidget_id"].rpartition(".")[2]
        picture = Path("images") / f"{_PICTURES[name]}.png"
        words = f"{name}, live in JupyterLab"
        return f"![{words}]({picture})" if (ROOT / "docs" / picture).exists() else f"*{words}.*"
    if markup := data.get("text/html"):
        unlinked = re.sub(r"</?a\b[^>]*>", "", markup)  # links lead to files of the lab, which is gone
        return f'<div class="output">{" ".join(unlinked.split())}</div>'
    return f"```text\n{plain.rstrip()}\n```" if plain.strip() else ""


PARTS: Mapping[str, Callable[[], str]] = {
    "barriers": barriers,
    "caddy": _deployed("Caddyfile", "text"),
    "containerfile": _deployed("Containerfile", "dockerfile"),
    "nanohub_proxy": _deployed("nginx-beside-nanohub.conf", "nginx"),
    "nginx": _deployed("nginx.conf", "nginx"),
    "postgresql": _deployed("postgresql.sql", "sql"),
    "unit": _deployed("osupdate-kit.service", "ini"),
    "findings": findings,
    "causes": causes,
    "commands": commands,
    "signals": signals,
    "tables": tables,
    "tutorial": tutorial,
}
