"""How far the devices came, and where the others stand."""

from textwrap import wrap

import pandas as pd

from osupdate_kit.analysis.funnel import Stage
from osupdate_kit.analysis.scope import Subject
from osupdate_kit.views.charts.canvas import BESIDE, Canvas
from osupdate_kit.views.charts.chart import Chart, chart, nothing
from osupdate_kit.views.charts.words import are, label, share
from osupdate_kit.views.status import count

_STOPPED = {  # what is said of one device, and of several, that came to this stage and no further
    Stage.ELIGIBLE: ("has no command yet", "have no command yet"),
    Stage.SENT: ("has not accepted the command", "have not accepted the command"),
    Stage.ACCEPTED: ("has accepted, with no proof of the download", "have accepted, with no proof of the download"),
    Stage.DOWNLOADED: ("has the download", "have the download"),
}


def funnel(frame: pd.DataFrame, subject: Subject) -> Chart:
    """frame: `stage`, `state`, `devices`; each device once, at the furthest stage proven."""
    kind = {"name": "funnel", "subtitle": f"How far the devices came; plan “{subject.plan}”, target {subject.target}"}
    if not subject.selected:
        return nothing(subject, **kind, title="No device was selected", words="Widen the selection of the plan.")
    by_stage = frame.groupby("stage", observed=False)["devices"].sum()
    stopped = {stage: int(by_stage.get(stage.value, 0)) for stage in Stage}
    reached = {stage: sum(list(stopped.values())[place:]) for place, stage in enumerate(Stage)}
    total, done = subject.selected, stopped[Stage.DONE]
    note = f"{count(total)} selected = {count(done)} done + {count(total - done)} not, each once, at the step not taken"
    stages = list(Stage)

    def draw(canvas: Canvas) -> None:
        names = [stage.value.capitalize() for stage in stages]
        inks = [canvas.ramp("series")[1]] * (len(stages) - 1) + [canvas.fill("done")]
        before = [total, *(reached[stage] for stage in stages[:-1])]
        canvas.figure.add_bar(
            y=names, x=[reached[stage] for stage in stages], orientation="h",
            marker={"color": inks, "line": {"width": 0}},
            customdata=[share(reached[stage], total) for stage in stages],
            hovertemplate=f"<b>%{{y}}</b><br>%{{x:,}} of {count(total)} selected (%{{customdata}})<extra></extra>",
        )  # fmt: skip
        canvas.figure.add_bar(
            y=names, x=[b - reached[stage] for b, stage in zip(before, stages, strict=True)], orientation="h",
            marker={"color": canvas.ink("sunken"), "line": {"width": 1, "color": canvas.ink("rule")}}, hoverinfo="skip",
        )  # fmt: skip
        for place, stage in enumerate(stages):
            words = f"<b>{count(reached[stage])}</b>  {share(reached[stage], total)}"
            canvas.text(-0.012, place, words, xref="paper", xanchor="right")
            head, states = _why(frame, stages[place - 1]) if place else ("", "")
            why = "<br>".join(wrap(f"{head}: {states}", 46)).replace(head, f"<b>{head}</b>", 1) if head else ""
            canvas.text(before[place], place, why, size=11, ink=canvas.ink("ink2"), xshift=8, name=BESIDE)
        canvas.frame(left=200, right=280, top=4, bottom=12)
        canvas.figure.update_layout(barmode="stack", bargap=0.25)
        canvas.figure.update_xaxes(visible=False, range=[0, total])
        canvas.figure.update_yaxes(
            autorange="reversed", showgrid=False, tickfont={"size": 12, "color": canvas.ink()}, ticklabelstandoff=92
        )

    table = pd.DataFrame(
        {
            "Stage": [stage.value.capitalize() for stage in stages],
            "Reached": [reached[stage] for stage in stages],
            "No further": [stopped[stage] if stage is not Stage.DONE else 0 for stage in stages],
            "By state": [_why(frame, stage)[1] if stage is not Stage.DONE else "" for stage in stages],
        }
    )
    return chart(subject, **kind, title=_finding(stopped, total), note=note, table=table, draw=draw, height=400)


def _finding(stopped: dict[Stage, int], total: int) -> str:
    left = total - stopped[Stage.DONE]
    if not left:
        return f"All {count(total)} devices are done" if total > 1 else "The one device is done"
    if stopped[Stage.SELECTED] == total:
        return f"All {count(total)} devices are barred" if total > 1 else "The one device is barred"
    most = max(_STOPPED, key=lambda stage: stopped[stage])
    if not stopped[most]:
        return f"All devices that can update are done; {count(left)} {are(left)} barred"
    one, several = _STOPPED[most]
    if total == 1:
        return f"The one device {one}"
    return f"{count(stopped[most])} of the {count(left)} devices not done {one if stopped[most] == 1 else several}"


def _why(frame: pd.DataFrame, stage: Stage) -> tuple[str, str]:
    """Of those that came to `stage` and no further: how many, and their states."""
    part = frame[(frame["stage"] == stage.value) & (frame["devices"] > 0)]
    if part.empty:
        return "", ""
    states = ", ".join(
        f"{count(n)} {label(state).lower()}" for state, n in zip(part["state"], part["devices"], strict=True)
    )
    return f"{count(int(part['devices'].sum()))} not", states
