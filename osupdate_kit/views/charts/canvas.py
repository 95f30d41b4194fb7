"""A figure under way: where title, note, labels and marks go, in one theme. Knows no chart."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from osupdate_kit.views.template import Theme, template
from osupdate_kit.views.tokens import tokens

_FLAG = "M0,6 L7,3 L0,0 Z"  # drawn, not typed: fonts differ, and some signs turn into emoji
_DAY_MS = 86_400_000
_TICKS_MS = tuple(hours * 3_600_000 for hours in (0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 96, 168, 336, 672))
_LINE = 16  # pixels between labels, at least
BESIDE = (
    "beside"  # the name of sentences beside the plot, which a page leaves out where it has no room; tables have them
)
_CHARACTER = 6.6  # pixels of a letter at 12 px, on average; labels are given room by it


@dataclass(frozen=True, slots=True)
class Label:
    """A name at the end of a band or line: at `y`, in `ink`."""

    y: float
    text: str  # may hold plotly's markup: what a device wrote must have passed `words.name`
    ink: str


class Canvas:
    """`figure` is the result. words: title, subtitle and note; None where the page sets them in its own type."""

    def __init__(self, theme: Theme, height: int, words: tuple[str, str, str] | None) -> None:
        self.theme, self._words = theme, words
        self.figure = go.Figure(layout={"template": template(theme), "height": height})
        self._look: Mapping[str, Any] = tokens()["themes"][theme]

    # --- colours ---

    def ink(self, which: str = "ink") -> str:
        """`ink`, `ink2`, … of the surface."""
        return str(self._look["surface"][which])

    def group(self, group: str) -> str:
        """The ink of a group of states."""
        return str(self._look["groups"][group]["ink"])

    def of(self, state: str) -> str:
        """The ink of a state's group."""
        return self.group(tokens()["states"][state]["group"])

    def fill(self, state: str) -> str:
        return str(self._look["states"][state]["fill"])

    def ramp(self, which: str = "sequential") -> Sequence[str]:
        """Colours from weak to strong: `sequential`, `sequential_lost`, `sequential_put_off`, or `series`."""
        colours: Sequence[str] = self._look[which]
        return colours

    # --- frame ---

    def frame(self, *, left: int, right: int, top: int = 0, bottom: int) -> None:
        """Margins in pixels around the plot; `top` and `bottom`: for what stands there beside title and note."""
        if self._words is None:
            self.figure.update_layout(margin={"l": left, "r": right, "t": 16 + top, "b": bottom})
            return
        title, subtitle, note = self._words
        heads, lines = wrap(title, 96) or [""], note.split("\n")
        sizes = tokens()["type"]["size"]
        small = f"font-size:{sizes['small']}px;color:{self.ink('ink2')}"
        head = "<br>".join(f"<b>{html.escape(line, quote=False)}</b>" for line in heads)
        self.figure.update_layout(
            title_text=f"{head}<br><span style='{small}'>{html.escape(subtitle, quote=False)}</span>",
            margin={"l": left, "r": right, "t": 54 + 19 * len(heads) + top, "b": bottom + 22 + 15 * len(lines)},
        )
        text = "<br>".join(html.escape(line, quote=False) for line in lines)
        self.text(
            0, 0, text, xref="paper", yref="paper", xshift=16 - left, yshift=-bottom - 4,
            yanchor="top", size=sizes["caption"], ink=self.ink("ink2"),
        )  # fmt: skip

    def empty(self, words: str) -> None:
        """Nothing to draw, and why that is so: a finding, too."""
        self.figure.update_layout(xaxis={"visible": False}, yaxis={"visible": False})
        self.text(0.5, 0.5, html.escape(words, quote=False), xref="paper", yref="paper", xanchor="center", size=13,
                  ink=self.ink("ink2"))  # fmt: skip
        self.figure.add_shape(type="rect", xref="paper", yref="paper", x0=0, x1=1, y0=0, y1=1,
                              line={"width": 1, "color": self.ink("rule"), "dash": "dot"})  # fmt: skip

    # --- parts ---

    def text(self, x: Any, y: Any, text: str, *, size: int = 12, ink: str = "", **more: Any) -> None:
        words = {"xanchor": "left", "align": "left", "showarrow": False} | more
        self.figure.add_annotation(x=x, y=y, text=text, font={"size": size, "color": ink or self.ink()}, **words)

    def labels(self, x: Any, labels: Iterable[Label], low: float, high: float) -> None:
        """Names at the right end, moved apart by a line. The frame stands already: it says how high the plot is."""
        ordered = sorted(labels, key=lambda one: one.y)
        layout = self.figure.layout
        plot = max(layout.height - layout.margin.t - layout.margin.b, 1)
        places = spread([one.y for one in ordered], _LINE / plot * (high - low), low, high)
        for one, y in zip(ordered, places, strict=True):
            self.text(x, y, one.text, ink=one.ink, xshift=8)

    def mark(self, x: float, text: str, *, left: bool) -> None:
        """A firm instant: a thin line through the plot, a flag and a word on the rail above, `left` of it or right."""
        ink = self.ink()
        self.figure.add_shape(type="line", x0=x, x1=x, y0=0, y1=1.02, yref="paper", line={"width": 1, "color": ink})
        self.figure.add_shape(
            type="path", path=_FLAG, xref="x", yref="paper", xsizemode="pixel", ysizemode="pixel", xanchor=x,
            yanchor=1.03, fillcolor=ink, line={"width": 1, "color": ink},
        )  # fmt: skip
        self.text(x, 1.03, text, yref="paper", yanchor="bottom", xanchor="right" if left else "left",
                  xshift=-8 if left else 8, size=11)  # fmt: skip

    def time_axis(self, first: float, last: float, *, end: float = 0.0) -> None:
        """UTC, between two instants in milliseconds; `end`: how far the axis goes on, as a share."""
        span = max(last - first, 1.0)
        tick = next((tick for tick in _TICKS_MS if span / tick <= 9), _TICKS_MS[-1])
        shape = "%a %-d %b" if tick >= _DAY_MS else "%H:%M\n%a %-d %b"
        self.figure.update_xaxes(
            type="date", range=[first, last + span * end], dtick=tick, tick0="2026-01-05", tickformat=shape
        )

    def count_axis(self, total: int) -> None:
        ticks = round_ticks(total)
        self.figure.update_yaxes(range=[0, max(total, 1)], tickvals=ticks, ticktext=[short(tick) for tick in ticks])


def room(texts: Iterable[str], least: int = 60) -> int:
    """Pixels that labels need; markup does not count."""
    lengths = [len(line) for text in texts for line in _bare(text).split("\n")]
    return max(least, int(max(lengths, default=0) * _CHARACTER) + 22)


def _bare(text: str) -> str:
    plain, inside = "", False
    for letter in text.replace("<br>", "\n"):
        inside = letter == "<" or (inside and letter != ">")
        plain += "" if inside or letter == ">" else letter
    return html.unescape(plain)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places near the wanted ones (ascending), at least `gap` apart, within low..high as far as there is room."""
    placed = list(wanted)
    for place in range(1, len(placed)):
        placed[place] = max(placed[place], placed[place - 1] + gap)
    if placed:
        placed[-1] = min(placed[-1], high)
    for place in range(len(placed) - 2, -1, -1):
        placed[place] = min(placed[place], placed[place + 1] - gap)
    return [max(place, low) for place in placed]


def round_ticks(total: int) -> list[int]:
    """0, round numbers, and the total itself: four to six ticks."""
    if total <= 4:
        return list(range(total + 1))
    scale = 10.0 ** math.floor(math.log10(total / 4))
    step = next(
        int(scale * factor)
        for factor in (1, 2, 2.5, 5, 10)
        if total / (scale * factor) <= 5 and scale * factor % 1 == 0
    )
    return [*(tick for tick in range(0, total, step) if tick <= total - 0.4 * step), total]


def short(number: int) -> str:
    """For axes: 250k, 1M, 1.2M."""
    if number < 10_000:
        return f"{number:,}"
    return f"{number / 1e3:g}k" if number < 1_000_000 else f"{number / 1e6:.4g}M"


def milliseconds(at: "pd.Series[Any]") -> NDArray[np.float64]:
    """Instants as plotly's date axes take them, in the fewest bytes."""
    return np.asarray(at.dt.tz_convert(None), "datetime64[ms]").astype(np.float64)
