"""Why devices are lost, what to do, and where it happens."""

from collections.abc import Mapping
from textwrap import wrap

import pandas as pd

from osupdate_kit.analysis.scope import Subject
from osupdate_kit.protocol.causes import FailureClass, cause_of
from osupdate_kit.views.charts.canvas import BESIDE, Canvas, room
from osupdate_kit.views.charts.chart import Chart, chart, nothing
from osupdate_kit.views.charts.words import FEW, LONGEST, name, part_of, share
from osupdate_kit.views.status import ROUTES, count
from osupdate_kit.views.template import bar
from osupdate_kit.views.text import clean, devices

_ROWS = 10
_OF = {
    "platform": "platform",
    "model": "model",
    "os_version_start": "version at the start",
    "site": "site",
    "ring": "ring",
    "wave": "wave",
    "time_zone": "time zone",
    "route": "instrument",
}


def failures(frame: pd.DataFrame, subject: Subject, *, remedies: Mapping[str, str] | None = None) -> Chart:
    """Causes by size, each with what to do. frame: `failure`, `text`, `devices`, `together`, and where some go by
    declaration `declared`.

    remedies: by failure class, in place of the kit's own.
    """
    kind = {"name": "failures", "subtitle": "Failed and expired devices by last cause, with remedy"}
    total = int(frame["devices"].sum())
    note = (
        f"{count(total)} failed or expired of {count(subject.selected)} selected; each device once, by its last cause"
    )
    if not total:
        words = "Failures and their remedies stand here as soon as there are any."
        return nothing(subject, **kind, title="No device has failed", words=words, note=note)
    rows = [_cause(remedies or {}, *row) for row in frame[["failure", "text", "devices"]].itertuples(index=False)]
    declared = list(frame["declared"].astype(int)) if "declared" in frame else [0] * len(frame)
    shown, rest = rows[:_ROWS], rows[_ROWS:]
    if any(declared):
        note += f"; {count(sum(declared))} of them by declaration"
    by_declaration = [*declared[:_ROWS], sum(declared[_ROWS:])]
    if rest:
        shown.append((f"{len(rest)} further causes", "In the table.", sum(n for *_, n in rest)))

    def draw(canvas: Canvas) -> None:
        so_far = 0
        texts = []
        for (_, _, number), others in zip(shown, by_declaration, strict=False):
            so_far += number
            ways = f", {count(others)} by declaration" if others else ""
            texts.append(f" <b>{count(number)}</b>  {share(number, total)}, together {share(so_far, total)}{ways}")
        canvas.figure.add_bar(
            y=list(range(len(shown))), x=[n for *_, n in shown], orientation="h", width=0.3,
            **bar("failed", canvas.theme), text=texts, textposition="outside", cliponaxis=False,
            customdata=[name(cause) for cause, *_ in shown],
            hovertemplate=f"<b>%{{customdata}}</b><br>%{{x:,}} of {count(total)} failed or expired<extra></extra>",
        )  # fmt: skip
        for place, (cause, remedy, _) in enumerate(shown):
            canvas.text(0, place - 0.17, f"<b>{name(cause)}</b>", yanchor="bottom")
            words = "<br>".join(name(line) for line in wrap(remedy, 44))
            canvas.text(1, place, words, xref="paper", size=11, ink=canvas.ink("ink2"), xshift=8, yshift=8, name=BESIDE)
        canvas.frame(left=16, right=300, top=16, bottom=8)
        canvas.figure.update_xaxes(visible=False, range=[0, 1.55 * shown[0][2]])
        canvas.figure.update_yaxes(range=[len(shown) - 0.55, -0.75], visible=False)

    table = pd.DataFrame(rows, columns=["Cause", "Remedy", "Devices"])
    if any(declared):
        table["By declaration"] = declared
    return chart(
        subject, **kind, title=_finding(rows, total), note=note, table=table, draw=draw, height=160 + 54 * len(shown)
    )


def failures_by(frame: pd.DataFrame, subject: Subject, *, dimension: str) -> Chart:
    """Where devices fail: counts as bars, and rates only where enough were tried. frame: `group`, `failed`, `tried`."""
    what = _OF[dimension]
    named = dimension == "route"
    if named:
        frame = frame.assign(group=frame["group"].map(lambda group: ROUTES.get(group, group)))
    kind = {
        "name": f"failures-by-{what if named else dimension.replace('_', '-')}",
        "subtitle": f"Failed and expired devices by {what}",
    }
    failed, tried = int(frame["failed"].sum()), int(frame["tried"].sum())
    note = f"{count(failed)} failed or expired of {count(tried)} tried; rates only where {FEW} or more were tried"
    if not failed:
        words = "Nothing to compare: no device that was tried has failed."
        return nothing(subject, **kind, title="No device has failed", words=words, note=note)
    rows = [
        (clean(group, LONGEST) or "not known", int(f), int(t)) for group, f, t in frame.itertuples(index=False) if f
    ][:_ROWS]

    def draw(canvas: Canvas) -> None:
        texts = [f" <b>{count(f)}</b> of {count(t)} tried{f'  {share(f, t)}' if t >= FEW else ''}" for _, f, t in rows]
        names = [name(group, 28) for group, *_ in rows]
        canvas.figure.add_bar(
            y=list(range(len(rows))), x=[f for _, f, _ in rows], orientation="h", width=0.55,
            **bar("failed", canvas.theme), text=texts, textposition="outside", cliponaxis=False,
            customdata=[(name(group), count(t)) for group, _, t in rows],
            hovertemplate="<b>%{customdata[0]}</b><br>%{x:,} failed of %{customdata[1]} tried<extra></extra>",
        )  # fmt: skip
        canvas.frame(left=room(names), right=40, top=4, bottom=12)
        canvas.figure.update_xaxes(visible=False, range=[0, 1.45 * max(f for _, f, _ in rows)])
        canvas.figure.update_yaxes(
            range=[len(rows) - 0.4, -0.6], showgrid=False, tickvals=list(range(len(rows))), ticktext=names,
            tickfont={"size": 12, "color": canvas.ink()}, ticklabelstandoff=6,
        )  # fmt: skip

    table = frame.rename(columns={"group": what.capitalize(), "failed": "Failed", "tried": "Tried"})
    title = _where(frame, what)
    return chart(subject, **kind, title=title, note=note, table=table, draw=draw, height=170 + 36 * len(rows))


def _cause(remedies: Mapping[str, str], failure: str, text: str, number: int) -> tuple[str, str, int]:
    """What is shown of a cause. One that is not in the catalogue is shown as received."""
    cause = cause_of(failure or FailureClass.DEADLINE)
    words = clean(text, LONGEST) or clean(cause.meaning.rstrip("."), LONGEST)
    return words, clean(remedies.get(failure, cause.remedy), 160), number


def _finding(rows: list[tuple[str, str, int]], total: int) -> str:
    top, _, number = rows[0]
    if len(rows) == 1:
        return f"{devices(total)} failed, for one cause: {_lower(top)}"
    two = number + rows[1][2]
    if number >= total / 2:
        return f"One cause makes {part_of(number, total)} failures: {_lower(top)}"
    return f"Two of {len(rows)} causes make {part_of(two, total)} failures"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text


def _where(frame: pd.DataFrame, what: str) -> str:
    """A group that fails at least twice as often as the others, if enough were tried; else the one with the most."""
    failed, tried = int(frame["failed"].sum()), int(frame["tried"].sum())
    rows = [
        (clean(group, LONGEST) or "not known", int(its), int(of)) for group, its, of in frame.itertuples(index=False)
    ]
    for group, its, of in rows:
        if min(of, tried - of) < FEW or its < 5 or its == failed:
            continue
        times = (its / of) / ((failed - its) / (tried - of))
        if times >= 2:
            return f"{group} fails {times:.1f} times as often as the others: {count(its)} of {count(of)} tried"
    group, its, of = rows[0]
    if len(rows) == 1:
        return f"{count(its)} of {count(of)} tried failed, all of one {what}: {group}"
    return f"Most failures by {what}: {group}, {count(its)} of {count(of)} tried"
