"""Charts that follow JupyterLab's theme: a widget that is nowhere shown, whose script lives in the page.

Outputs stay what JupyterLab draws, and keeps, by itself; without a kernel they are light.
"""

from functools import cache
from importlib.resources import files
from typing import ClassVar

import anywidget


class Follower(anywidget.AnyWidget):
    _esm: ClassVar[str] = files("osupdate_kit.views.charts").joinpath("follow.js").read_text("utf-8")


@cache
def follow() -> Follower:
    """One is enough for a kernel, and all pages that look at it."""
    return Follower()
