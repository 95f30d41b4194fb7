"""States over time, as areas or, of few devices, one strip each; and the devices done."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import pandas as pd

from osupdate_kit.analysis.scope import Subject
from osupdate_kit.rollout.needs import IN_NEED, LOST
from osupdate_kit.views.charts.canvas import Canvas, Label, milliseconds, room
from osupdate_kit.views.charts.chart import Chart, chart, nothing
from osupdate_kit.views.charts.words import are, label, listed, name, part_of, reconciliation, share
from osupdate_kit.views.status import count
from osupdate_kit.views.template import area, bar
from osupdate_kit.views.text import clean, devices
from osupdate_kit.views.tokens import tokens

THIN = 0.022  # a band below this share of the height is listed under the figure instead of labelled
_ALWAYS = ("done", "failed", "silent")
_COLUMN, _GAP = 0.03, 0.012  # of the time axis: the column of now, and the gap before it


def states_over_time(progress: pd.DataFrame, now: pd.DataFrame | None, subject: Subject) -> Chart:
    """Every device in one state at any time: done stands on the floor, what is lost hangs from the ceiling.

    progress: `at`, `state`, `devices`, states by evidence. now: `state`, `devices` as shown, or None for a past
    instant. What only time tells (silent, stalled, expired, a shut window) has no history; it stands in a column of its
    own at the right, and labels, title and sum are of that column.
    """
    kind = {"name": "states-over-time", "subtitle": f"Devices by state, {_about(subject)}"}
    if not subject.selected:
        return nothing(subject, **kind, title=_NOBODY, words="Widen the selection of the plan.")
    wide = progress.pivot(index="at", columns="state", values="devices")
    last = {str(state): int(n) for state, n in wide.iloc[-1].items()}
    counts = last if now is None else dict(zip(now["state"], now["devices"].astype(int), strict=True))
    order = [state for state in tokens()["stack_order"] if wide.get(state, pd.Series([0])).any() or counts.get(state)]
    notes = [reconciliation(counts), *_thin(counts)]
    if now is not None:
        notes.append("Areas: states by evidence. Column: now, with what time tells (silent, stalled, expired, shut).")

    def draw(canvas: Canvas) -> None:
        x = milliseconds(wide.index.to_series())
        first, end = float(x[0]), float(x[-1])
        span = max(end - first, 1.0)
        labels = _band_labels(canvas, order, counts)
        for state in order:
            if state in wide and wide[state].any():
                _band(canvas, state, x, wide[state].to_numpy(), subject)
            if now is not None:
                beside = [end + _GAP * span, end + (_GAP + _COLUMN) * span]
                _band(canvas, state, beside, [counts.get(state, 0)] * 2, subject, column=True)
        width = 0 if now is None else _GAP + _COLUMN
        canvas.frame(left=58, right=room(one.text for one in labels), top=24, bottom=40)
        canvas.labels(end + width * span, labels, 0, subject.selected)
        canvas.time_axis(first, end, end=width)
        canvas.count_axis(subject.selected)
        if now is not None:
            canvas.text(end + (_GAP + _COLUMN / 2) * span, 1, "now", yref="paper", yanchor="bottom", xanchor="center",
                        yshift=4, size=11, ink=canvas.ink("ink2"))  # fmt: skip
        _deadline(canvas, subject, first, end)

    table = wide.rename(columns=label).reset_index().rename(columns={"at": "At (UTC)"})
    return chart(
        subject, **kind, title=_finding(counts), note="\n".join(notes), table=table, draw=draw, height=500
    )  # fmt: skip


def device_strips(spells: pd.DataFrame, devices: pd.DataFrame, subject: Subject) -> Chart:
    """One strip per device, for nobody averages twelve devices.

    spells: `server`, `enrollment_id`, `serial`, `name`, `wave`, `state`, `since`, `until`. devices: `server`,
    `enrollment_id`, `state` as shown, which is the word at the right.
    """
    kind = {
        "name": "device-strips",
        "subtitle": f"One strip per device, states by evidence; at the right as of now. Of {_about(subject)}",
    }
    if not len(devices):
        return nothing(subject, **kind, title=_NOBODY, words="Widen the selection of the plan.")
    keys = ["server", "enrollment_id"]
    rows = spells.drop_duplicates(keys)[[*keys, "serial", "name"]].merge(devices[[*keys, "state"]], on=keys)
    place = {key: number for number, key in enumerate(rows[keys].itertuples(index=False, name=None))}
    at = [place[key] for key in spells[keys].itertuples(index=False, name=None)]
    strips = spells.assign(row=at, since_ms=milliseconds(spells["since"]), until_ms=milliseconds(spells["until"]))
    counts = {str(state): int(n) for state, n in rows["state"].value_counts().items()}
    names = [
        clean(device) or clean(serial) for device, serial in zip(rows["name"].fillna(""), rows["serial"], strict=True)
    ]

    def draw(canvas: Canvas) -> None:
        first, end = float(strips["since_ms"].min()), float(strips["until_ms"].max())
        for state, part in strips.groupby("state"):
            style = bar(str(state), canvas.theme)
            style["marker"]["line"] = {"width": 0}
            canvas.figure.add_bar(
                y=part["row"], base=part["since_ms"], x=part["until_ms"] - part["since_ms"], orientation="h",
                width=0.62, **style, customdata=[name(names[row]) for row in part["row"]],
                hovertemplate="<b>%{customdata}</b><br>%{fullData.name}<br>since %{base|%a %-d %b %H:%M} UTC"
                "<extra></extra>",
            )  # fmt: skip
        for row, state in enumerate(rows["state"]):
            canvas.text(end, row, label(state), ink=canvas.of(state), xshift=8)
            canvas.figure.add_shape(type="rect", x0=first, x1=end, y0=row - 0.31, y1=row + 0.31,
                                    line={"width": 1, "color": canvas.ink("ink3")})  # fmt: skip
        ticks = [name(text, 22) for text in names]
        canvas.frame(left=room(ticks), right=room(map(label, counts)), top=_rail(subject), bottom=40)
        canvas.time_axis(first, end)
        canvas.figure.update_layout(barmode="overlay")
        canvas.figure.update_yaxes(
            tickvals=list(range(len(rows))),
            ticktext=ticks,
            range=[len(rows) - 0.4, -0.6],
            showgrid=False,
            ticklabelstandoff=6,
        )
        _deadline(canvas, subject, first, end)

    table = pd.DataFrame({"Device": rows["name"], "Serial": rows["serial"], "State": rows["state"].map(label)})
    return chart(
        subject, **kind, title=_finding(counts), note=reconciliation(counts), table=table, draw=draw,
        height=190 + 27 * len(rows),
    )  # fmt: skip


def done_over_time(progress: pd.DataFrame, subject: Subject, *, goal: float | None = None) -> Chart:
    """Devices with the target proved, cumulative. progress: as for `states_over_time`. goal: a share, 0–1."""
    kind = {"name": "done-over-time", "subtitle": f"Devices with the target proved, cumulative; {_about(subject)}"}
    if not subject.selected:
        return nothing(subject, **kind, title=_NOBODY, words="Widen the selection of the plan.")
    moments = progress[["at"]].drop_duplicates()
    done = moments.merge(progress[progress["state"] == "done"], on="at", how="left").fillna({"devices": 0})
    values, at = done["devices"].astype(int), done["at"]
    last, total = int(values.iloc[-1]), subject.selected
    wanted = None if goal is None else -int(-goal * total // 1)
    title, note = f"{part_of(last, total)} devices are done", f"{count(last)} done of {count(total)} selected"
    if total == 1:
        title = "The one device is done" if last else "The one device is not done"
    elif last == total:
        title = f"All {count(total)} devices are done"
    elif not last:
        title = f"None of {count(total)} devices is done"
    if wanted is not None:
        short = wanted - last
        title += f"; the goal of {count(wanted)} is reached" if short <= 0 else f"; {count(short)} more reach the goal"
        note += f"; goal {share(wanted, total)} = {count(wanted)}"
    elif (at.iloc[-1] - at.iloc[0]) > pd.Timedelta(days=1) and last:
        before = values[at <= at.iloc[-1] - pd.Timedelta(days=1)]
        title += f", {count(last - int(before.iloc[-1]))} of them within the last 24 h"

    def draw(canvas: Canvas) -> None:
        x, ink = milliseconds(at), canvas.group("reached")
        words = f"<b>{count(last)}</b> done ({share(last, total)})"
        canvas.figure.add_scatter(
            x=x, y=values, mode="lines", name="Done",
            line={"width": tokens()["stroke"]["emphasis"], "color": ink, "shape": "hv"},
            customdata=[share(n, total) for n in values],
            hovertemplate=f"<b>Done</b><br>%{{y:,}} of {count(total)} selected (%{{customdata}})"
            "<br>%{x|%a %-d %b %H:%M} UTC<extra></extra>",
        )  # fmt: skip
        canvas.figure.add_scatter(x=x[-1:], y=[last], mode="markers", marker={"size": 9, "color": ink},
                                  hoverinfo="skip", cliponaxis=False)  # fmt: skip
        labels = [Label(last, words, ink)]
        if wanted is not None:
            canvas.figure.add_shape(type="line", x0=x[0], x1=x[-1], y0=wanted, y1=wanted,
                                    line={"width": 1.5, "dash": "6px,4px", "color": canvas.ink("goal")})  # fmt: skip
            labels.append(Label(wanted, f"Goal <b>{count(wanted)}</b>", canvas.ink()))
        canvas.frame(left=58, right=room(one.text for one in labels), top=8 + _rail(subject), bottom=40)
        canvas.labels(x[-1], labels, 0, total)
        canvas.time_axis(float(x[0]), float(x[-1]))
        canvas.count_axis(total)
        _deadline(canvas, subject, float(x[0]), float(x[-1]))

    table = pd.DataFrame({"At (UTC)": at, "Done": values})
    return chart(subject, **kind, title=title, note=note, table=table, draw=draw, height=420)


_NOBODY = "No device was selected"


def _about(subject: Subject) -> str:
    return f"plan “{subject.plan}”, target {subject.target}"


def _finding(counts: Mapping[str, int]) -> str:
    """What the counts say, true in every case."""
    total, done, barred = sum(counts.values()), counts.get("done", 0), counts.get("barred", 0)
    if total == 1:
        (state,) = (state for state, number in counts.items() if number)
        return f"The one device is {label(state).lower()}"
    lost = [(counts.get(state, 0), state) for state in IN_NEED]
    parts = [f"{count(n)} {'' if state in LOST else are(n) + ' '}{label(state).lower()}"
             for n, state in lost if n]  # fmt: skip
    tail = f"; {listed(parts[:3])}" if parts else ""
    if barred == total:
        return f"All {count(total)} devices are barred"
    if done == total - barred:
        head = (
            f"All {count(total)} devices are done"
            if not barred
            else f"All {devices(done)} that can update {are(done)} done"
        )
        return head + (f"; {count(barred)} {are(barred)} barred" if barred else "")
    head = (
        f"{count(done)} of {count(total)} devices {are(done)} done"
        if done
        else f"None of {count(total)} devices is done"
    )
    return head + tail


def _thin(counts: Mapping[str, int]) -> list[str]:
    total = sum(counts.values())
    few = [
        state for state in tokens()["stack_order"] if 0 < counts.get(state, 0) < THIN * total and state not in _ALWAYS
    ]
    words = (f"{count(counts[state])} {label(state).lower()}".replace(" ", "\xa0") for state in few)  # stay together
    return [line.replace("\xa0", " ") for line in wrap(f"Thin bands: {', '.join(words)}", 130)] if few else []


def _band_labels(canvas: Canvas, order: list[str], counts: Mapping[str, int]) -> list[Label]:
    labels, base, total = [], 0, sum(counts.values())
    for state in order:
        number = counts.get(state, 0)
        if number and (number >= THIN * total or state in _ALWAYS):
            labels.append(Label(base + number / 2, f"{label(state)} <b>{count(number)}</b>", canvas.of(state)))
        base += number
    return labels


def _band(canvas: Canvas, state: str, x: Any, y: Sequence[int], subject: Subject, *, column: bool = False) -> None:
    when = "now" if column else "%{x|%a %-d %b %H:%M} UTC"
    canvas.figure.add_scatter(
        x=x, y=y, stackgroup="now" if column else "states", **area(state, canvas.theme),
        customdata=[share(number, subject.selected) for number in y],
        hovertemplate=f"<b>%{{fullData.name}}</b><br>%{{y:,}} of {count(subject.selected)} selected (%{{customdata}})"
        f"<br>{when}<extra></extra>",
    )  # fmt: skip


def _rail(subject: Subject) -> int:
    """Pixels above the plot that the deadline's flag needs."""
    return 20 if subject.started_at < subject.deadline_at <= subject.as_of else 0


def _deadline(canvas: Canvas, subject: Subject, first: float, last: float) -> None:
    if _rail(subject):
        at = subject.deadline_at / 1000
        canvas.mark(at, "deadline", left=at > (first + last) / 2)
