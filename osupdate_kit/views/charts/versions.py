"""Which versions the devices report."""

import pandas as pd

from osupdate_kit.analysis.scope import Subject
from osupdate_kit.errors import ProtocolError
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.views.charts.canvas import Canvas, Label, milliseconds, room
from osupdate_kit.views.charts.chart import Chart, chart, nothing
from osupdate_kit.views.charts.words import name, part_of, share
from osupdate_kit.views.status import count

_OLDER = 4  # bands of single versions below the target; what is older still is one band
_REST, _NONE = "older", "not reported"


def adoption(frame: pd.DataFrame, subject: Subject) -> Chart:
    """Shares by reported version: the target strongest at the floor, newer above it, then older as they pale.

    frame: `at`, `os_version` ("" = never reported), `devices`; with `there` (each device has a target of its own, and
    reports it or newer) the strongest are all those.
    """
    what = f"Devices by the version they report; plan “{subject.plan}”, target {subject.target}"
    kind = {"name": "adoption", "subtitle": what}
    if not subject.selected:
        return nothing(subject, **kind, title="No device was selected", words="Widen the selection of the plan.")
    own = "there" in frame
    summed = frame.groupby(["at", "os_version"], as_index=False)["devices"].sum() if own else frame
    wide = summed.pivot(index="at", columns="os_version", values="devices")
    bands = _own_bands(frame) if own else _bands(wide, subject)
    total = subject.selected
    there = {name: values for (name, which), values in bands.items() if which in ("target", "newer")}
    safe = pd.DataFrame(there, index=wide.index).sum(axis=1)
    note = f"{count(total)} selected at every instant; versions as reported: those of the plan, then the newest since"

    def draw(canvas: Canvas) -> None:
        x = milliseconds(wide.index.to_series())
        strong = list(canvas.ramp("sequential"))
        older = iter((strong[4], strong[3], strong[2], strong[1], strong[0]))
        labels, base = [], 0
        for (version, which), values in bands.items():
            colour = {"target": strong[6], "newer": strong[5], "none": canvas.ink("sunken")}.get(which) or next(older)
            canvas.figure.add_scatter(
                x=x, y=values.to_numpy(), stackgroup="versions", mode="lines", name=version, fillcolor=colour,
                line={"width": 1, "color": canvas.ink("surface")},
                fillpattern={"shape": "/" if which == "none" else "", "fgcolor": canvas.ink("ink3"),
                             "bgcolor": colour, "size": 7, "solidity": 0.15, "fillmode": "replace"},
                customdata=[share(n, total) for n in values],
                hovertemplate=f"<b>%{{fullData.name}}</b><br>%{{y:,}} of {count(total)} selected (%{{customdata}})"
                "<br>%{x|%a %-d %b %H:%M} UTC<extra></extra>",
            )  # fmt: skip
            last = int(values.iloc[-1])
            if last:
                labels.append(
                    Label(base + last / 2, f"{version} <b>{count(last)}</b> · {share(last, total)}", canvas.ink())
                )
            base += last
        canvas.frame(left=58, right=room(one.text for one in labels), top=8, bottom=40)
        canvas.labels(x[-1], labels, 0, total)
        canvas.time_axis(float(x[0]), float(x[-1]))
        canvas.count_axis(total)

    table = wide.rename(columns=lambda version: name(str(version)) or _NONE).reset_index()
    return chart(
        subject, **kind, title=_finding(safe, subject, own=own), note=note, draw=draw,
        table=table.rename(columns={"at": "At (UTC)"}), height=420,
    )  # fmt: skip


def _finding(safe: "pd.Series[int]", subject: Subject, *, own: bool) -> str:
    first, last = int(safe.iloc[0]), int(safe.iloc[-1])
    total, target = subject.selected, subject.target
    if own:
        target = "its own target" if total == 1 or not last else "their own target"
    if total == 1:
        return f"The one device {'reports' if last else 'does not report'} {target} or newer"
    if last == total:
        head = f"All {count(total)} devices report {target} or newer"
    elif not last:
        return f"None of {count(total)} devices reports {target}"
    else:
        head = f"{part_of(last, total)} devices report {target} or newer"
    return f"{head}, {count(last - first)} more than at the start" if last > first else head


def _bands(wide: pd.DataFrame, subject: Subject) -> "dict[tuple[str, str], pd.Series[int]]":
    """(name, kind) → devices at each instant, from the floor upwards."""
    target = _number(subject.target.partition(" ")[0])
    known = sorted((version for version in wide if version and wide[version].any()), key=_order)
    newer = [version for version in known if target and _order(version) > (1, target)]
    same = [version for version in known if target and _number(version) == target]
    older = [version for version in known if version not in newer and version not in same][::-1]
    bands = {(f"{name(version)} target", "target"): wide[version] for version in same}
    bands |= {(name(version), "newer"): wide[version] for version in newer}
    bands |= {(name(version), "older"): wide[version] for version in older[:_OLDER]}
    if older[_OLDER:]:
        bands[_REST, "older"] = wide[older[_OLDER:]].sum(axis=1)
    if "" in wide and wide[""].any():
        bands[_NONE, "none"] = wide[""]
    return bands


def _own_bands(frame: pd.DataFrame) -> "dict[tuple[str, str], pd.Series[int]]":
    """The same where each device has a target of its own: those that reached it, then the others."""
    there = frame[frame["there"]].pivot(index="at", columns="os_version", values="devices")
    older = frame[~frame["there"]].pivot(index="at", columns="os_version", values="devices")
    bands = {
        (f"{name(version)} its target or newer", "target"): there[version]
        for version in sorted((one for one in there if there[one].any()), key=_order)
    }
    known = sorted((one for one in older if one and older[one].any()), key=_order, reverse=True)
    bands |= {(name(version), "older"): older[version] for version in known[:_OLDER]}
    if known[_OLDER:]:
        bands[_REST, "older"] = older[known[_OLDER:]].sum(axis=1)
    if "" in older and older[""].any():
        bands[_NONE, "none"] = older[""]
    return bands


def _number(version: str) -> OSVersion | None:
    try:
        return OSVersion.parse(version)
    except (ProtocolError, ValueError):
        return None


def _order(version: str) -> tuple[int, OSVersion | str]:
    number = _number(version)
    return (0, version) if number is None else (1, number)
