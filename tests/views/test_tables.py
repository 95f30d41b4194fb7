"""Frames in a notebook: all of it text, numbers apart, and no row dropped in silence."""

import pandas as pd

from osupdate_kit.views.tables import MOST_ROWS, Table


def test_what_devices_say_stays_text_in_cells_and_headings() -> None:
    html = Table(
        pd.DataFrame({"<b>own</b>": ["<img src=x onerror=alert(1)>", "a\u202egpj.exe", "x" * 4000]})
    )._repr_html_()
    assert "<img" not in html
    assert "<b>own" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
    assert "\u202e" not in html
    assert "x" * 201 not in html


def test_numbers_moments_and_gaps_are_written_as_people_read_them() -> None:
    frame = pd.DataFrame(
        {
            "devices": [12_345],
            "share": [0.25],
            "told": [True],
            "at": [pd.Timestamp("2026-11-24 08:00:05", tz="UTC")],
            "used": pd.array([None], dtype="Int64"),
        }
    )
    cells = Table(frame)._repr_html_().partition("<tbody>")[2]
    texts = [cell.partition("</td>")[0].partition(">")[2] for cell in cells.split("<td")[1:]]
    assert texts == ["12,345", "0.25", "yes", "Tue 24 Nov 08:00:05 UTC", ""]
    assert cells.count('class="n"') == 3


def test_rows_that_are_not_shown_are_counted() -> None:
    html = Table(pd.DataFrame({"n": range(MOST_ROWS + 1_234)}))._repr_html_()
    assert html.count("<td") == MOST_ROWS
    assert "and 1,234 more rows" in html
    assert Table(pd.DataFrame(columns=["n"]))._repr_html_() == "<p>None.</p>"
