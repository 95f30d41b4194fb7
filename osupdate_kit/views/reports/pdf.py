"""The report as PDF, set by typst; the charts are the same figures, drawn to SVG by one headless Chromium.

All text reaches typst as JSON data and is never read as markup.
"""

import asyncio
import json
import re
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import kaleido
import plotly.graph_objects as go
import typst
from choreographer.browsers.chromium import Chromium

from osupdate_kit.errors import ReportError
from osupdate_kit.views.charts import Chart
from osupdate_kit.views.reports import contents
from osupdate_kit.views.reports.contents import Cell, Sentence, Table
from osupdate_kit.views.reports.text import shown
from osupdate_kit.views.reports.value import Report
from osupdate_kit.views.status import count
from osupdate_kit.views.template import for_print
from osupdate_kit.views.text import clean, visible
from osupdate_kit.views.tokens import tokens

_WIDTH = 720  # of a chart, CSS pixels: the page between its margins, so that its text has the size of the page's
_FIRST_HEIGHTS = (220, 340)  # of the first one: what its page has room for, within these
_FONT = "Inter, Liberation Sans, sans-serif"  # typst has the first; Chromium measures with what there is
_DRAWN_WITHIN_SECONDS = 120
_LONG_WORD = re.compile(r"\S{27,}")
_PIECE = re.compile(r"\S{8}(?=\S)")
_NO_BROWSER = 'Install Chromium (Debian: "apt install chromium"; or name one in BROWSER_PATH), or choose html,xlsx,csv.'


def browser() -> Path | None:
    """The Chromium, Chrome or Edge that draws charts for PDFs; None if there is none."""
    found = Chromium.find_browser(skip_local=False)
    program = shutil.which(found) if found else None
    return Path(program) if program else None


def pdf_report(report: Report, *, progress: Callable[[float], None] = lambda share: None) -> bytes:
    """The whole document. Raises ReportError with a remedy where charts cannot be drawn."""
    figures = [
        chart.figure(print=True, within=_WIDTH if place else _first_height(report))
        for place, chart in enumerate(report.charts)
    ]
    for figure in figures:
        figure.update_layout(font_family=_FONT)
    svgs = draw(figures, progress=progress) if figures else []
    document = typeset(report, svgs)
    progress(1)
    return document


def _first_height(report: Report) -> int:
    """What the words of the first page leave to its chart; a line is 17 pixels, and the page has 50 of them."""
    chart = report.charts[0]
    lines = 2.0 * _lines(report.status.finding, 62) + _lines("".join(map(_words, contents.lead(report))), 100)
    lines += sum(0.83 * _lines(line, 145) for line in chart.note.splitlines())
    if not contents.note(chart, report.status.reconciliation)[0]:
        lines += 3  # the sum stands beneath
    lines += sum(0.3 + max(_lines(row[2], 58), _lines(row[3], 26)) for row in contents.blocks(report).rows)
    lines += sum(0.1 + _lines(_words(step), 110) for step in contents.next_steps(report))
    least, most = _FIRST_HEIGHTS
    return round(min(max(850 - 17 * lines, least), most))


def _lines(text: Cell, length: int) -> int:
    return -(-len(str(text)) // length)


def _words(sentence: Sentence) -> str:
    return "".join(run.text for run in sentence)


def typeset(report: Report, svgs: Sequence[str]) -> bytes:
    """The document with its charts as they were drawn, in their order."""
    with as_file(files("osupdate_kit.views.reports") / "templates") as templates:
        return typst.compile(
            templates / "report.typ",
            format="pdf",
            font_paths=_fonts(),
            sys_inputs={"report": json.dumps(_data(report, svgs))},
        )


@cache
def _fonts() -> typst.Fonts:
    """Ours, and those of the system for what ours lack; looking for them takes a tenth of a report's time."""
    with as_file(files("osupdate_kit.views.reports") / "fonts") as fonts:
        return typst.Fonts(font_paths=[fonts])


def draw(figures: Sequence[go.Figure], *, progress: Callable[[float], None] = lambda share: None) -> list[str]:
    """One SVG per figure, all by one browser."""
    if browser() is None:
        raise ReportError("Charts in a PDF need a Chromium, and there is none.", remedy=_NO_BROWSER)

    async def all_of_them() -> list[str]:
        svgs = []
        async with kaleido.Kaleido(timeout=_DRAWN_WITHIN_SECONDS) as drawer:
            for number, figure in enumerate(figures, start=1):
                opts = {"format": "svg", "width": _WIDTH, "height": figure.layout.height}
                drawn: bytes = await drawer.calc_fig(figure, opts=opts)
                svgs.append(for_print(drawn.decode()))
                progress(0.9 * number / len(figures))
        return svgs

    with ThreadPoolExecutor(1) as thread:  # a notebook's main thread has a loop of its own
        try:
            return thread.submit(asyncio.run, all_of_them()).result()
        except Exception as error:  # the browser's own: whatever it is, the remedy is the same
            raise ReportError(f"{browser()} could not draw the charts: {error!r}.", remedy=_NO_BROWSER) from error


def _data(report: Report, svgs: Sequence[str]) -> dict[str, Any]:
    """Everything the template shows, as text."""
    status = report.status
    return {
        "look": tokens()["themes"]["light"],
        "states": tokens()["states"],
        "title": _text(f"{status.name} · rollout {status.rollout}"),
        "kicker": _text(f"Rollout report · {status.name} · target {status.target} · {status.status}"),
        "finding": _text(status.finding),
        "lead": [_sentence(runs) for runs in contents.lead(report)],
        "charts": [_chart(chart, svg, status.reconciliation) for chart, svg in zip(report.charts, svgs, strict=True)],
        "selected": count(status.selected),
        "groups": [{"group": group, "words": words, "devices": count(n)} for group, words, n in status.groups],
        "as_of": f"as of {status.as_of} · known by {contents.known_by(report)} · deadline {status.deadline_at}",
        "blocks": _table(contents.blocks(report)),
        "next": [_sentence(runs) for runs in contents.next_steps(report)],
        "tables": [_table(table) for table in (*contents.of_declarations(report), *(part(report) for part in _PARTS))],
        "armed": {
            "what": contents.armed(report).what,
            "serials": [_text(str(row[0])) for row in contents.armed(report).rows],
        },
        "counted": _table(contents.states(report)),
        "method": [[term, _text(meaning)] for term, meaning in contents.method(report)],
        "foot": _text(f"osupdate-kit · rollout {status.rollout} · as of {status.as_of} · made by {report.made_by}"),
    }


_PARTS = (contents.failures, contents.deferrals, contents.exceptions, contents.barred, contents.acts)


def _chart(chart: Chart, svg: str, reconciliation: str) -> dict[str, Any]:
    whole, note = contents.note(chart, reconciliation)
    return {
        "title": _text(chart.title),
        "what": _text(chart.subtitle),
        "section": contents.section(chart),
        "whole": whole,
        "note": [_text(line) for line in note.splitlines()],
        "alternative": clean(chart.alternative, 2_000),
        "svg": svg,
    }


def _table(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "title": table.title,
        "what": table.what,
        "columns": [{"head": column.head, "kind": column.kind.value, "wide": column.wide} for column in table.columns],
        "rows": [[_cell(value) for value in row] for row in table.rows],
    }


def _cell(value: Cell) -> str:
    return _text(shown(value))


def _sentence(runs: Sentence) -> list[dict[str, Any]]:
    return [{"text": _breakable(visible(run.text)), "strong": run.strong} for run in runs]


def _text(text: str) -> str:
    return _breakable(clean(text))


def _breakable(text: str) -> str:
    """Long words may be broken anywhere: a serial of 4,000 characters must not leave its cell."""
    return _LONG_WORD.sub(lambda word: _PIECE.sub("\\g<0>\N{ZERO WIDTH SPACE}", word[0]), text)
