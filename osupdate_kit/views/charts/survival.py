"""Time to update: Kaplan–Meier, drawn upwards."""

import pandas as pd

from osupdate_kit.analysis.scope import Subject
from osupdate_kit.views.charts.canvas import Canvas, Label, room
from osupdate_kit.views.charts.chart import Chart, chart, nothing
from osupdate_kit.views.charts.words import name, share
from osupdate_kit.views.status import ROUTES, count
from osupdate_kit.views.template import translucent

_LINES = 4  # more cannot be told apart; the others stand in the table
_DASHES = ("solid", "longdash", "dash", "dot")

_TICKS = (1, 2, 3, 6, 12, 24, 48, 96, 168, 336)


def time_to_update(frame: pd.DataFrame, subject: Subject, *, by: str = "wave") -> Chart:
    """Share done by hours since the start, with a 95 % band; the dot is where half of the group is done.

    frame: `group`, `hours`, `at_risk`, `done`, `share`, `low`, `high`.
    """
    if by == "route":
        by, frame = "instrument", frame.assign(group=frame["group"].map(lambda group: ROUTES.get(group, group)))
    kind = {
        "name": f"time-to-update-by-{by}",
        "subtitle": f"Share done by hours since the start, by {by} (Kaplan–Meier, 95 % band)",
    }
    if frame.empty:
        words = "No device of the plan can take the update: all are barred."
        return nothing(subject, **kind, title="No device can be updated", words=words)
    groups = {str(group): part for group, part in frame.groupby("group")}
    order = sorted(groups, key=lambda group: -int(groups[group]["at_risk"].iloc[0]))
    drawn = order[:_LINES]
    sizes = {group: int(part["at_risk"].iloc[0]) for group, part in groups.items()}
    halves = {group: half for group in order if (half := _half(groups[group])) is not None}
    last = int(frame["hours"].max())
    total = sum(sizes.values())
    note = (
        f"{count(total)} eligible of {count(subject.selected)} selected; barred ones left out\n"
        "Whoever is not done, whatever became of it, counts as waiting until now. ● half of the group is done"
    )

    if len(order) > _LINES:
        note += f"\nDrawn are the {_LINES} largest of {len(order)} groups; the table has all"

    def draw(canvas: Canvas) -> None:
        labels = []
        series = canvas.ramp("series")
        for group, colour, dash in zip(drawn, series, _DASHES, strict=False):
            part = groups[group]
            _line(canvas, part, colour, dash, name(group) or "not known", sizes[group])
            end = float(part["share"].iloc[-1])
            words = f"{name(group, 24) or 'not known'} <b>{share(end, 1)}</b> of {count(sizes[group])}"
            labels.append(Label(end, words, canvas.ink()))
        for group, colour in zip(drawn, series, strict=False):
            if group not in halves:
                continue
            canvas.figure.add_scatter(
                x=[halves[group]], y=[0.5], mode="markers", hoverinfo="skip",
                marker={"size": 9, "color": colour, "line": {"width": 1.5, "color": canvas.ink("surface")}},
            )  # fmt: skip
        canvas.frame(left=58, right=room(one.text for one in labels), top=8, bottom=40)
        canvas.labels(last, labels, 0, 1)
        tick = next((tick for tick in _TICKS if last / tick <= 9), 24 * -(-last // 216))
        ticks = list(range(0, last + 1, tick))
        canvas.figure.update_xaxes(
            range=[0, max(last, 1)], tickvals=ticks, ticktext=[f"{hour} h" for hour in ticks], tickangle=0
        )
        canvas.figure.update_yaxes(range=[0, 1.02], dtick=0.25, tickformat=".0%")

    table = frame.rename(
        columns={"group": by.capitalize(), "hours": "Hours", "at_risk": "Waiting", "done": "Done in the hour",
                 "share": "Share done", "low": "Low", "high": "High"}
    )  # fmt: skip
    title = _finding(order, halves, groups, by, last)
    return chart(subject, **kind, title=title, note=note, table=table, draw=draw, height=430)


def _line(canvas: Canvas, part: pd.DataFrame, colour: str, dash: str, words: str, size: int) -> None:
    hours = part["hours"]
    band = {"mode": "lines", "hoverinfo": "skip", "line": {"width": 0, "shape": "hv"}}
    canvas.figure.add_scatter(x=hours, y=part["low"], **band)
    canvas.figure.add_scatter(x=hours, y=part["high"], **band, fill="tonexty", fillcolor=translucent(colour, 0.18))
    canvas.figure.add_scatter(
        x=hours, y=part["share"], mode="lines", name=words,
        line={"width": 2.5, "color": colour, "shape": "hv", "dash": dash},
        hovertemplate=f"<b>{words}</b><br>%{{y:.1%}} of {count(size)} eligible done<br>%{{x}} h after the start"
        "<extra></extra>",
    )  # fmt: skip


def _half(part: pd.DataFrame) -> int | None:
    reached = part.loc[part["share"] >= 0.5, "hours"]
    return int(reached.iloc[0]) if len(reached) else None


def _finding(order: list[str], halves: dict[str, int], groups: dict[str, pd.DataFrame], by: str, last: int) -> str:
    if len(order) == 1:
        group = order[0]
        if group in halves:
            return f"Half of the devices were done {halves[group]} hours after the start"
        end = float(groups[group]["share"].iloc[-1])
        return (
            f"{share(end, 1)} of the devices are done {last} hours after the start"
            if end
            else f"No device is done {last} hours after the start"
        )
    if not halves:
        return f"No {by} is half done {last} hours after the start"
    early, late = min(halves.values()), max(halves.values())
    when = f"{early} hours" if early == late else f"{early} to {late} hours"
    if len(halves) == len(order):
        return f"Half of each {by} was done {when} after the start"
    return f"Half was done {when} after the start in {len(halves)} of {len(order)} groups by {by}"
