"""A chart as a value: what it finds, what it counts, its table, and how it is drawn in either theme."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from osupdate_kit.analysis.scope import Subject
from osupdate_kit.views.charts.canvas import Canvas
from osupdate_kit.views.charts.words import stamp
from osupdate_kit.views.template import Theme

_MIME = "application/vnd.plotly.v1+json"
Difference = tuple[tuple[str | int, ...], Any]  # path within a figure, and the value there


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

    def themes(self, *, bare: bool = False) -> tuple[dict[str, Any], list[Difference]]:
        """The light figure as JSON values, and where the dark one differs: in its colours."""
        light, dark = (_plain(self.figure(theme, bare=bare)) for theme in ("light", "dark"))
        return light, list(_differences(light, dark))

    def _repr_mimebundle_(self, *_args: Any, **_words: Any) -> dict[str, Any]:
        from osupdate_kit.views.charts.follow import follow  # not before a notebook asks for it

        light, dark = self.themes()
        light["layout"]["meta"] = {"dark": dark}
        follow()
        return {_MIME: light | {"config": {"displayModeBar": False}}, "text/plain": self.alternative}


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


def _differences(light: Any, dark: Any, path: tuple[str | int, ...] = ()) -> Iterator[Difference]:
    if isinstance(light, dict) and isinstance(dark, dict) and light.keys() == dark.keys():
        for key in light:
            yield from _differences(light[key], dark[key], (*path, key))
    elif isinstance(light, list) and isinstance(dark, list) and len(light) == len(dark):
        for place, (one, other) in enumerate(zip(light, dark, strict=True)):
            yield from _differences(one, other, (*path, place))
    elif light != dark:
        yield path, dark


def _plain(figure: go.Figure) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(figure.to_json())
    return {"data": found["data"], "layout": found["layout"]}


def nothing(subject: Subject, *, name: str, title: str, subtitle: str, words: str, note: str = "") -> Chart:
    """The designed empty figure: it says why there is nothing."""

    def draw(canvas: Canvas) -> None:
        canvas.frame(left=16, right=16, bottom=8)
        canvas.empty(words)

    return chart(
        subject, name=name, title=title, subtitle=subtitle, note=note, table=pd.DataFrame(), draw=draw, height=240
    )
