"""The two instruments beside each other: how far the devices of each came, and when declarations enforce."""

from collections.abc import Mapping

import pandas as pd

from osupdate_kit.analysis.deadlines import ENDED
from osupdate_kit.analysis.scope import Subject
from osupdate_kit.rollout.deadlines import Due, left_words
from osupdate_kit.views.charts.canvas import Canvas, Label, milliseconds, room
from osupdate_kit.views.charts.chart import Chart, chart, nothing
from osupdate_kit.views.charts.words import FEW, are, label, part_of, reconciliation, share
from osupdate_kit.views.status import GROUPS, ROUTES, count, moment
from osupdate_kit.views.template import bar
from osupdate_kit.views.text import devices
from osupdate_kit.views.tokens import tokens

_BARS: Mapping[str, str] = {
    Due.OVERDUE: "stalled",
    Due.TAKEN_BACK: "held",
    Due.NOT_YET: "held",
    ENDED: "done",
}  # whose colours they take; the others are under way
_WORDS: Mapping[str, str] = {Due.OVERDUE: "past its deadline", Due.LATER: "in more than a week"}


def states_by_instrument(frame: pd.DataFrame, subject: Subject) -> Chart:
    """One strip per instrument, in shares of its devices. frame: `instrument`, `state`, `devices`; barred ones are in
    the sum only.
    """
    kind = {"name": "states-by-instrument", "subtitle": "Devices by state as of now, of each instrument"}
    counts = frame.groupby("state")["devices"].sum().to_dict()
    note = reconciliation({str(state): int(number) for state, number in counts.items()})
    parts = {
        words: dict(zip(part["state"], part["devices"].astype(int), strict=True))
        for route, words in ROUTES.items()
        if route != "none" and len(part := frame[frame["instrument"] == route])
    }
    if not parts:
        return nothing(subject, **kind, title="No device can be updated", words="All devices are barred.", note=note)
    order = [state for state in tokens()["stack_order"] if any(state in part for part in parts.values())]

    def draw(canvas: Canvas) -> None:
        totals = {words: sum(part.values()) for words, part in parts.items()}
        names = [f"{words}, <b>{count(total)}</b>" for words, total in totals.items()]
        for state in order:
            numbers = [part.get(state, 0) for part in parts.values()]
            shares = [number / total for number, total in zip(numbers, totals.values(), strict=True)]
            canvas.figure.add_bar(
                y=list(range(len(parts))), x=shares, orientation="h", width=0.5, **bar(state, canvas.theme),
                customdata=[f"{count(n)} of {count(t)} {w}" for n, (w, t) in zip(numbers, totals.items(), strict=True)],
                hovertemplate="<b>%{fullData.name}</b><br>%{customdata} (%{x:.0%})<extra></extra>",
            )  # fmt: skip
        for row, part in enumerate(parts.values()):
            canvas.text(0, row - 0.3, _groups(canvas, part), yanchor="bottom", size=11, ink=canvas.ink("ink2"))
        canvas.frame(left=room(names), right=40, top=4, bottom=28)
        canvas.figure.update_layout(barmode="stack")
        canvas.figure.update_xaxes(range=[0, 1], tickformat=".0%", dtick=0.25)
        canvas.figure.update_yaxes(
            range=[len(parts) - 0.6, -0.65], showgrid=False, tickvals=list(range(len(parts))), ticktext=names,
            tickfont={"size": 12, "color": canvas.ink()}, ticklabelstandoff=6,
        )  # fmt: skip

    table = frame.assign(
        instrument=frame["instrument"].map(lambda route: ROUTES.get(route, route)), state=frame["state"].map(label)
    )
    table = table.rename(columns={"instrument": "Instrument", "state": "State", "devices": "Devices"})
    title = _finding(parts)
    return chart(subject, **kind, title=title, note=note, table=table, draw=draw, height=160 + 76 * len(parts))


def _groups(canvas: Canvas, part: Mapping[str, int]) -> str:
    """`19 reached · 35 under way`, each in its group's ink."""
    sums = ((group, words, sum(part.get(s, 0) for s in states)) for group, (words, states) in GROUPS.items())
    return " · ".join(
        f"<span style='color:{canvas.group(group)}'><b>{count(number)}</b> {words}</span>"
        for group, words, number in sums
        if number
    )


def _finding(parts: Mapping[str, Mapping[str, int]]) -> str:
    said = [f"{part_of(part.get('done', 0), sum(part.values()))} {words}" for words, part in parts.items()]
    return f"Done: {', '.join(said)}"


def deadlines(frame: pd.DataFrame, subject: Subject) -> Chart:
    """How many declared devices enforce by when. frame: `due`, `devices`, `next_at`."""
    kind = {"name": "deadlines", "subtitle": "Devices by declaration, by when they enforce; each in its own time zone"}
    counts = dict(zip(frame["due"], frame["devices"].astype(int), strict=True))
    total = sum(counts.values())
    of = f"of {count(subject.selected)} selected"
    if not total:
        words = "All devices of this rollout go by command."
        return nothing(subject, **kind, title="No device goes by declaration", words=words, note=f"0 {of}")
    parts = " + ".join(f"{count(number)} {due}" for due, number in counts.items())
    next_at = frame["next_at"].dropna()
    to_come = [at for at in (int(one.value // 1000) for one in next_at) if at > subject.as_of]
    soonest = min(to_come, default=0)
    note = f"{count(total)} by declaration = {parts}; {of}"
    if soonest:
        note += f"\nNext deadline {moment(soonest)}, {left_words(soonest, subject.as_of)}"

    def draw(canvas: Canvas) -> None:
        names = [_WORDS.get(due, due) for due in counts]
        for row, (due, number) in enumerate(counts.items()):
            canvas.figure.add_bar(
                y=[row], x=[number], orientation="h", width=0.55, **bar(_BARS.get(due, "scheduled"), canvas.theme),
                text=[f" <b>{count(number)}</b>  {share(number, total)}"], textposition="outside", cliponaxis=False,
                hovertemplate=f"<b>{names[row]}</b><br>%{{x:,}} of {count(total)} by declaration<extra></extra>",
            )  # fmt: skip
        canvas.frame(left=room(names), right=40, top=4, bottom=12)
        canvas.figure.update_xaxes(visible=False, range=[0, 1.3 * max(counts.values())])
        canvas.figure.update_yaxes(
            range=[len(counts) - 0.4, -0.6], showgrid=False, tickvals=list(range(len(counts))), ticktext=names,
            tickfont={"size": 12, "color": canvas.ink()}, ticklabelstandoff=6,
        )  # fmt: skip

    table = frame.rename(columns={"due": "Enforces", "devices": "Devices", "next_at": "Next deadline (UTC)"})
    return chart(
        subject, **kind, title=_due(counts, total), note=note, table=table, draw=draw, height=170 + 36 * len(counts)
    )


def _due(counts: Mapping[str, int], total: int) -> str:
    """What is late, then what comes first; true in every case."""
    late, ended = counts.get(Due.OVERDUE, 0), counts.get(ENDED, 0)
    if ended == total:
        return f"{devices(total)} by declaration, {'all' if total > 1 else 'and it is'} at an end"
    head = f"{count(late)} of {count(total)} by declaration {are(late)} past the deadline" if late else ""
    coming = next(((due, counts[due]) for due in (Due.DAY, Due.THREE_DAYS, Due.WEEK, Due.LATER) if due in counts), None)
    if coming is None:
        return head or f"No deadline is to come for {devices(total)} by declaration"
    due, number = coming
    return f"{head + '; ' if head else ''}{count(number)}{' more' if head else ''} enforce {_WORDS.get(due, due)}"


def reached_by_instrument(frame: pd.DataFrame, subject: Subject) -> Chart:
    """Share of devices on their target or newer, over time, of each. frame: `at`, `group`, `devices`, `of`."""
    kind = {
        "name": "adoption-by-instrument",
        "subtitle": "Share of the devices that take the plan and report their target or newer, by instrument",
    }
    if frame.empty:
        return nothing(subject, **kind, title="No device can be updated", words="All devices are barred.")
    groups = {ROUTES[route]: part for route, part in frame.groupby("group") if route in ROUTES}
    last = {words: (int(part["devices"].iloc[-1]), int(part["of"].iloc[-1])) for words, part in groups.items()}
    total = sum(of for _, of in last.values())
    note = " + ".join(f"{count(of)} {words}" for words, (_, of) in last.items())
    note = f"{count(total)} take the plan = {note}; {count(subject.selected - total)} barred ones left out"

    def draw(canvas: Canvas) -> None:
        labels = []
        for (words, part), colour, dash in zip(
            groups.items(), canvas.ramp("series"), ("solid", "longdash"), strict=False
        ):
            there, of = last[words]
            canvas.figure.add_scatter(
                x=milliseconds(part["at"]), y=part["devices"] / part["of"], mode="lines", name=words,
                line={"width": 2.5, "color": colour, "shape": "hv", "dash": dash},
                customdata=[count(int(number)) for number in part["devices"]],
                hovertemplate=f"<b>{words}</b><br>%{{customdata}} of {count(of)} (%{{y:.0%}})"
                "<br>%{x|%a %-d %b %H:%M} UTC<extra></extra>",
            )  # fmt: skip
            said = f"<b>{count(there)}</b> of {count(of)}" if of < FEW else f"<b>{share(there, of)}</b> of {count(of)}"
            labels.append(Label(there / of, f"{words} {said}", canvas.ink()))
        at = milliseconds(frame["at"])
        canvas.frame(left=58, right=room(one.text for one in labels), top=8, bottom=40)
        canvas.labels(at.max(), labels, 0, 1)
        canvas.time_axis(float(at.min()), float(at.max()))
        canvas.figure.update_yaxes(range=[0, 1.02], dtick=0.25, tickformat=".0%")

    table = frame.assign(group=frame["group"].map(lambda route: ROUTES.get(route, route)))
    table = table.rename(columns={"at": "At (UTC)", "group": "Instrument", "devices": "Target or newer", "of": "Of"})
    title = f"On the target or newer: {', '.join(f'{part_of(*pair)} {words}' for words, pair in last.items())}"
    return chart(subject, **kind, title=title, note=note, table=table, draw=draw, height=400)
