"""JupyterLab and Chromium, started once for all browser tests and ended with them."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.jupyter import Lab, Notebook, chromium, jupyterlab

OpenNotebook = Callable[..., Notebook]

expect.set_options(timeout=20_000)  # ms: a bound for what hangs, not a measure; the machine does other things besides


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with jupyterlab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def open_notebook(lab: Lab, browser: Browser) -> Iterator[OpenNotebook]:
    """Open a notebook of these cells and run it; closed after the test.

    Whatever goes wrong in our own scripts, which a widget loads as blobs, fails the test; JupyterLab's own do not.
    """
    notebooks: list[Notebook] = []
    faults: list[str] = []

    def opened(*cells: str, width: int = 1280, height: int = 900) -> Notebook:
        page = browser.new_page(viewport={"width": width, "height": height})
        page.on("pageerror", lambda error: faults.append(error.stack or str(error)))
        notebook = lab.open(page, *cells)
        notebooks.append(notebook)
        notebook.run_all()
        return notebook

    yield opened
    for notebook in notebooks:
        notebook.close()
    assert not [fault for fault in faults if "ResizeObserver loop" not in fault and not _is_jupyters(fault)]


def _is_jupyters(stack: str) -> bool:
    """Did it happen in JupyterLab's files alone? Its change of themes takes a style away twice, now and then."""
    return "/static/" in stack and "blob:" not in stack
