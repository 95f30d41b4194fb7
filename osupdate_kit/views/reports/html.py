"""The report as one HTML file: no network, no inline handler, every script and style named by its hash.

Charts are drawn by plotly, inlined once, in the reader's colour scheme; without scripts their tables stand open.
"""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from osupdate_kit.views.charts import Chart
from osupdate_kit.views.css import variables
from osupdate_kit.views.reports import contents
from osupdate_kit.views.reports.signs import sign
from osupdate_kit.views.reports.text import shown
from osupdate_kit.views.reports.value import Report
from osupdate_kit.views.status import count
from osupdate_kit.views.text import clean, visible
from osupdate_kit.views.tokens import tokens

_TABLE_ROWS = 48  # of a chart's table; curves are thinned to it
_EMPTY = ""  # plotly adds one empty style element and fills it by script
_UNASKED = re.compile(r'getElementById\("([0-9a-f]{64})"\)')  # style sheets that plotly adds unless their id is there


def html_report(report: Report) -> str:
    """The whole page."""
    style = _style()
    scripts = [get_plotlyjs(), _source("report.js")] if report.charts else []
    return (
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            status=report.status,
            contents=contents,
            states=tokens()["states"],
            sign=_sign,
            widest=max(report.status.states.values(), default=1),
            known_by=contents.known_by(report),
            figures=[_Figure(chart, report.status.reconciliation) for chart in report.charts],
            style=Markup(style),  # noqa: S704 - our own file
            unasked=_UNASKED.findall(scripts[0]) if scripts else [],
            scripts=[Markup(script) for script in scripts],  # noqa: S704 - plotly's and our own
            policy=_policy(scripts, [style, _EMPTY]),
        )
    )


class _Figure:
    """A chart as the page wants it: the light figure, and what is different in the dark."""

    def __init__(self, chart: Chart, reconciliation: str) -> None:
        self.chart, self.section = chart, contents.section(chart)
        self.whole, self.note = contents.note(chart, reconciliation)
        self.table = contents.chart_table(chart, rows=_TABLE_ROWS)
        light, dark = chart.themes(bare=True)
        # Inside a script element nothing but "<" can end it or begin markup.
        text = json.dumps({"light": light, "dark": dark}, separators=(",", ":"))
        self.data = Markup(text.replace("<", "\\u003c"))  # noqa: S704 - no markup is left


def _sign(group: str) -> Markup:
    return Markup(sign(group, ink="currentColor", ground="var(--tint)"))  # noqa: S704 - our own drawing


def _policy(scripts: Sequence[str], styles: Sequence[str]) -> str:
    def hashes(texts: Sequence[str]) -> str:
        sums = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
        return " ".join(f"'sha256-{one}'" for one in sums) or "'none'"

    parts = (
        "default-src 'none'",
        f"script-src {hashes(scripts)}",
        f"style-src {hashes(styles)}",
        "style-src-attr 'unsafe-inline'",  # plotly sets bold and small pieces of its labels so
        "img-src data:",  # plotly draws a heat map's cells so
        "base-uri 'none'",
    )
    return "; ".join(parts)


@cache
def _style() -> str:
    """The style sheet, with the tokens as its variables."""
    css = _environment().get_template("report.css").render(tokens=tokens(), variables=variables)
    return re.sub(r"\s*\n\s*", "\n", css).strip()


def _source(name: str) -> str:
    return files("osupdate_kit.views.reports").joinpath("templates", name).read_text("utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("osupdate_kit.views.reports", "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": count, "shown": shown, "clean": clean, "visible": visible, "zip": zip}
    return environment
