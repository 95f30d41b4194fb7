"""A frame as people read it in a notebook: whole texts from the left, numbers from the right, no row numbers."""

from dataclasses import dataclass
from html import escape

import pandas as pd

from osupdate_kit.views.text import clean

MOST_ROWS = 50
_STYLE = (
    "<style>.osk-table td, .osk-table th { text-align: left !important; vertical-align: top; max-width: 48em; "
    "white-space: normal; } .osk-table .n { text-align: right !important; font-variant-numeric: tabular-nums; }</style>"
)


@dataclass(frozen=True, slots=True)
class Table:
    """`frame` is whole; of what is shown, texts are cut and neutral, and rows end at MOST_ROWS, with their number."""

    frame: pd.DataFrame

    def _repr_html_(self) -> str:
        if self.frame.empty:
            return "<p>None.</p>"
        shown = self.frame.head(MOST_ROWS)
        numeric = [kind.kind in "iuf" for kind in shown.dtypes]
        heads = "".join(_cell("th", str(name), number) for name, number in zip(shown.columns, numeric, strict=True))
        rows = "".join(
            "<tr>" + "".join(_cell("td", _text(value), number) for value, number in zip(row, numeric, strict=True))
            for row in shown.itertuples(index=False, name=None)
        )
        rest = len(self.frame) - len(shown)
        more = f"<p>and {rest:,} more rows</p>" if rest else ""
        return f'{_STYLE}<table class="osk-table"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{more}'


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return ""
    if isinstance(value, pd.Timestamp):
        return f"{value:%a %d %b %H:%M:%S} {value.tzname() or ''}".strip()
    if isinstance(value, int):
        return f"{value:,}"
    return clean(f"{value:g}" if isinstance(value, float) else str(value))


def _cell(tag: str, text: str, number: bool) -> str:
    name = "n" if number else ""
    return f'<{tag} class="{name}">{escape(text)}</{tag}>'
