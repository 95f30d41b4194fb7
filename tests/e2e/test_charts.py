"""Charts in a real JupyterLab: in the colours of its theme, whichever is on, and whichever comes."""

import pytest
from playwright.sync_api import expect

from osupdate_kit.views.tokens import tokens
from tests.e2e.conftest import OpenNotebook
from tests.e2e.jupyter import Notebook

pytestmark = pytest.mark.real_server

CHARTS = """
from tests.views import fleets
from IPython.display import display
display(*fleets.all_charts())
"""


def grounds(notebook: Notebook, theme: str) -> None:
    """Every chart's ground, title and done area come to be those of this theme."""
    look = tokens()["themes"][theme]
    plots = notebook.page.locator(".jp-RenderedPlotly.js-plotly-plot")
    expect(plots).to_have_count(8)
    for number in range(8):
        expect(plots.nth(number).locator(".main-svg").first).to_have_css(
            "background-color", rgb(look["surface"]["surface"])
        )
        expect(plots.nth(number).locator(".gtitle")).to_have_css("fill", rgb(look["surface"]["ink"]))
    expect(plots.nth(0).locator(".js-fill").first).to_have_css("fill", rgb(look["states"]["done"]["fill"]))


def rgb(colour: str) -> str:
    return f"rgb({', '.join(str(int(colour[place : place + 2], 16)) for place in (1, 3, 5))})"


def test_charts_follow_the_theme(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(CHARTS)
    notebook.theme("light")  # JupyterLab keeps the one of the test before
    grounds(notebook, "light")
    notebook.theme("dark")
    grounds(notebook, "dark")
    notebook.run_all()  # drawn anew while it is dark
    grounds(notebook, "dark")
    notebook.theme("light")
    grounds(notebook, "light")
