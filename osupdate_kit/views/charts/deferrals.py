"""What people put off, and when their devices mean to install."""

import pandas as pd
from plotly.colors import sample_colorscale

from osupdate_kit.analysis.deferrals import COUNTED
from osupdate_kit.analysis.scope import Subject
from osupdate_kit.views.charts.canvas import Canvas, room
from osupdate_kit.views.charts.chart import Chart, chart, nothing
from osupdate_kit.views.status import count
from osupdate_kit.views.template import bar, ramp
from osupdate_kit.views.text import devices

_PIPS = 8  # more deferrals than this are written as numbers
_ROWS = 10
_PRESUMED = "Presumed"


def deferrals(frame: pd.DataFrame, subject: Subject) -> Chart:
    """Used and remaining as pips, and how many devices stand there; those that tell no count apart, outlined.

    frame: `kind` (counted, presumed), `used`, `remaining`, `devices`.
    """
    kind = {"name": "deferrals", "subtitle": "Devices whose user has put the install off, by deferrals used and left"}
    total = int(frame["devices"].sum())
    if not total:
        return nothing(subject, **kind, title="No device is deferred", words="Nobody puts the update off now.")
    told = frame[frame["kind"] == COUNTED].sort_values("devices", ascending=False)
    few, more = told.head(_ROWS).sort_values(["remaining", "used"], ascending=[False, True]), told.iloc[_ROWS:]
    rows = [(_pips(int(u), int(r)), int(n), _left(int(r))) for u, r, n in few[["used", "remaining", "devices"]].values]
    if len(more):
        rows.append((f"{len(more)} others", int(more["devices"].sum()), "other counts"))
    counted = int(told["devices"].sum())
    presumed = total - counted
    note = f"{count(total)} deferred = {count(counted)} that count + {count(presumed)} presumed (no count is told)"

    def draw(canvas: Canvas) -> None:
        names = [words for words, *_ in rows]
        canvas.figure.add_bar(
            y=names, x=[n for _, n, _ in rows], orientation="h", width=0.6, **bar("deferred", canvas.theme),
            text=[f" <b>{count(n)}</b>  {left}" for _, n, left in rows], textposition="outside", cliponaxis=False,
            hovertemplate=f"<b>%{{y}}</b><br>%{{x:,}} of {count(total)} deferred<extra></extra>",
        )  # fmt: skip
        if presumed:
            names.append(_PRESUMED)
            canvas.figure.add_bar(
                y=[_PRESUMED], x=[presumed], orientation="h", width=0.6, cliponaxis=False, textposition="outside",
                text=[f" <b>{count(presumed)}</b>  no count"],
                marker={"color": canvas.ink("surface"), "line": {"width": 1.5, "color": canvas.group("put_off")}},
                hovertemplate=f"<b>Presumed</b><br>%{{x:,}} of {count(total)} deferred<extra></extra>",
            )  # fmt: skip
        canvas.frame(left=room(names, 100) + 30, right=40, top=4, bottom=12)
        canvas.figure.update_xaxes(visible=False, range=[0, 1.5 * max([presumed, *(n for _, n, _ in rows)])])
        canvas.figure.update_yaxes(
            autorange="reversed",
            showgrid=False,
            tickfont={"size": 14, "color": canvas.group("put_off")},
            ticklabelstandoff=6,
        )

    table = frame.rename(columns={"kind": "Kind", "used": "Used", "remaining": "Remaining", "devices": "Devices"})
    height = 170 + 42 * (len(rows) + bool(presumed))
    return chart(
        subject, **kind, title=_finding(told, counted, presumed), note=note, table=table, draw=draw, height=height
    )


def next_installs(frame: pd.DataFrame, subject: Subject) -> Chart:
    """Night by hour, device-local: one cell per hour, its count written in it.

    frame: `night`, `hour`, `devices`; NaT where a device named no time.
    """
    kind = {
        "name": "next-installs",
        "subtitle": "Next install that deferred devices named, night of … by hour, device-local time",
    }
    total = int(frame["devices"].sum())
    dated = frame.dropna(subset=["night", "hour"])
    named = int(dated["devices"].sum())
    note = f"{count(total)} deferred = {count(named)} with a time + {count(total - named)} without"
    if not named:
        words = "None of the deferred devices named a time to come." if total else "Nobody puts the update off now."
        title = f"{devices(total)} deferred, none with a time to come" if total else "No device is deferred"
        return nothing(subject, **kind, title=title, words=words, note=note)
    table = dated.pivot_table(index="hour", columns="night", values="devices", aggfunc="sum", fill_value=0)
    hours = sorted(table.index, key=lambda hour: (hour - 12) % 24)
    first, last = ((hour - 12) % 24 for hour in (hours[0], hours[-1]))
    table = table.reindex([(hour + 12) % 24 for hour in range(first, last + 1)], fill_value=0)
    nights = [f"{night:%a} {night.day} {night:%b}" for night in table.columns]
    sums = [int(number) for number in table.sum()]
    head = f"{count(named)} of {count(total)} deferred devices"
    title = f"{head} named a time; most, {count(max(sums))}, the night of {nights[sums.index(max(sums))]}"
    if len(nights) == 1:
        title = f"{head} mean to install in the night of {nights[0]}"

    def draw(canvas: Canvas) -> None:
        colours, highest = list(canvas.ramp("sequential_put_off")), int(table.to_numpy().max())
        clock = [f"{hour:02d}:00" for hour in table.index]
        canvas.figure.add_heatmap(
            z=table.to_numpy(), x=nights, y=clock, colorscale=ramp(colours), zmin=0, zmax=highest, xgap=3, ygap=3,
            showscale=False,
            hovertemplate=f"<b>%{{x}}, %{{y}} device-local</b><br>%{{z:,}} of {count(total)} deferred<extra></extra>",
        )  # fmt: skip
        for row, line in enumerate(table.to_numpy()):
            for column, number in enumerate(line):
                if number:
                    ink = _legible(number / highest, colours)
                    canvas.text(column, row, count(int(number)), xanchor="center", ink=ink)
        for column, number in enumerate(sums):
            canvas.text(column, 1, f"<b>{count(number)}</b>", yref="paper", xanchor="center", yanchor="bottom")
        canvas.frame(left=64, right=24, top=24, bottom=46)
        ticks = {"tickvals": nights, "ticktext": [night.replace(" ", "<br>", 1) for night in nights], "tickangle": 0}
        canvas.figure.update_xaxes(showline=False, ticks="", type="category", **ticks)
        canvas.figure.update_yaxes(autorange="reversed", showgrid=False, type="category", ticklabelstandoff=6)

    shown = table.set_axis(nights, axis=1).rename_axis("Hour").reset_index()
    return chart(subject, **kind, title=title, note=note, table=shown, draw=draw, height=204 + 28 * len(table))


def _finding(told: pd.DataFrame, counted: int, presumed: int) -> str:
    out = int(told.loc[told["remaining"] == 0, "devices"].sum())
    if out:
        then = "has no deferral left: it installs next" if out == 1 else "have no deferral left: they install next"
        return f"{devices(out)} {then}"
    if not counted:
        return f"{devices(presumed)} presumably {'puts' if presumed == 1 else 'put'} the update off; none tells a count"
    least = int(told["remaining"].min())
    return f"{devices(counted + presumed)} put the update off; nobody who counts has fewer than {least} left"


def _pips(used: int, remaining: int) -> str:
    most = used + remaining
    return "●" * used + "○" * remaining if most <= _PIPS else f"{used} of {most}"


def _left(remaining: int) -> str:
    return f"{remaining} left" if remaining else "none left"


def _legible(part: float, colours: list[str]) -> str:
    """Black or white, whichever reads better on that part of the ramp (WCAG's relative luminance)."""
    (rgb,) = sample_colorscale(ramp(colours), [min(part, 1)], colortype="tuple")
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb)
    return "#15181e" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.19 else "#ffffff"
