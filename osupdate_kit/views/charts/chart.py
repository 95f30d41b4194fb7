"""A chart as a value: what it finds, what it counts, its table, and how it is drawn in either theme."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from osupdate_kit.analysis.scope import Subject
from osupdate_kit.views.charts.canvas import Canvas
from osupdate_kit.views.charts.words import stamp
from osupdate_kit.views.template import Theme


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chart:
    """`title`, `subtitle` and `note` are plain text, computed from the same numbers that are drawn."""

    name: str  # fit for a file
    title: str  # the finding
    subtitle: str  # what is counted
    note: str  # what adds up to what, and as of when; lines by \n
    as_of: int  # microseconds UTC
    known_by: int
    table: pd.DataFrame = field(repr=False)  # the numbers drawn, as people read them
    height: int = 440  # pixels; the width is that of its place
    draw: Callable[[Canvas], None] = field(repr=False)

    @property
    def alternative(self) -> str:
        """For whoever does not see it."""
        return ". ".join(part.strip(" .") for part in (self.title, self.subtitle, *self.note.split("\n"))) + "."

    def figure(
        self, theme: Theme = "light", *, bare: bool = False, print: bool = False, within: int | None = None
    ) -> go.Figure:
        """bare: without title and note. print: bare, light, and nothing in it that moves, as a PDF takes it.

        within: pixels that it may be high.
        """
        words = None if bare or print else (self.title, self.subtitle, self.note)
        height = self.height if within is None else min(self.height, within)
        canvas = Canvas("light" if print else theme, height, words)
        self.draw(canvas)
        if print:
            canvas.figure.update_traces(hoverinfo="skip", hovertemplate=None, customdata=None)
        return canvas.figure

    def _repr_mimebundle_(self, *_args: Any, **_words: Any) -> Any:
        return self.figure()._repr_mimebundle_()


def chart(
    subject: Subject,
    *,
    name: str,
    title: str,
    subtitle: str,
    note: str,
    table: pd.DataFrame,
    draw: Callable[[Canvas], None],
    height: int = 440,
) -> Chart:
    """A chart of this subject: its note ends with the instants."""
    return Chart(
        name=name,
        title=title,
        subtitle=subtitle,
        note="\n".join(part for part in (note, stamp(subject)) if part),
        as_of=subject.as_of,
        known_by=subject.known_by,
        table=table,
        height=height,
        draw=draw,
    )


def nothing(subject: Subject, *, name: str, title: str, subtitle: str, words: str, note: str = "") -> Chart:
    """The designed empty figure: it says why there is nothing."""

    def draw(canvas: Canvas) -> None:
        canvas.frame(left=16, right=16, bottom=8)
        canvas.empty(words)

    return chart(
        subject, name=name, title=title, subtitle=subtitle, note=note, table=pd.DataFrame(), draw=draw, height=240
    )
