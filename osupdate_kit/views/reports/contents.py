"""What a report says, once for all formats: its sentences, and its tables as plain values."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any

import pandas as pd
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

from osupdate_kit.analysis.deadlines import ENDED
from osupdate_kit.rollout.deadlines import Due
from osupdate_kit.rollout.needs import need_of
from osupdate_kit.views.charts import Chart
from osupdate_kit.views.charts.words import FEW, label, share
from osupdate_kit.views.reports.value import PUT_OFF, SHOWN, Cause, Report
from osupdate_kit.views.status import GROUPS, ROUTES, STATES, DeviceStatus, count, moment
from osupdate_kit.views.text import clean, devices

Cell = str | int | float | datetime | None  # datetimes are aware UTC


class Kind(StrEnum):
    TEXT = "text"
    NUMBER = "number"
    MOMENT = "moment"
    STATE = "state"


@dataclass(frozen=True, slots=True)
class Column:
    head: str
    kind: Kind = Kind.TEXT
    wide: bool = False  # holds sentences


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """`name` is ours, fit for a file; `of`: how many rows there are, where not all are shown."""

    name: str
    title: str
    what: str  # what is counted
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    of: int = 0

    @property
    def narrow(self) -> bool:
        """Holds no text."""
        return not any(column.kind is Kind.TEXT for column in self.columns)


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of a sentence."""

    text: str
    strong: bool = False


Sentence = tuple[Run, ...]

_LONGEST_NAME = 60  # characters of serial and of name where they share a cell
_NUMBER = Kind.NUMBER
_STATE = Column("State", Kind.STATE)
_DEVICES = Column("Devices", _NUMBER)
_OWNER = Column("Whose move")


# --- sentences -------------------------------------------------------------------------------------------------------


def lead(report: Report) -> tuple[Sentence, ...]:
    """Where the rollout stands, in three sentences with numbers; together they name every device once."""
    status = report.status
    moving = {group: number for group, _, number in status.groups if group in ("active", "put_off", "waiting")}
    words = {group: words for group, words, _ in status.groups}
    done, way, person = report.count("done"), sum(moving.values()), report.needs_person
    parts = ", ".join(f"{count(number)} {words[group]}" for group, number in moving.items())
    ends = ", ".join(
        f"{count(number)} {label(state).lower()}"
        for state in ("notified", "downloaded_end", "barred")
        if (number := report.count(state))
    )
    return (
        _sentence(
            "",
            f"{count(done)} of {count(status.selected)}",
            f" devices{_share(done, status.selected)} are proved to run {status.target}; they said so themselves.",
        ),
        _sentence(
            "", count(way), f" {'is on its' if way == 1 else 'are on their'} way{f' ({parts})' if parts else ''}."
        ),
        _sentence(
            "", count(person), f" need{'s' if person == 1 else ''} a person.{f' The others: {ends}.' if ends else ''}"
        ),
    )


def next_steps(report: Report) -> tuple[Sentence, ...]:
    """What to do and what will happen, most urgent first; dates where there are any."""
    status = report.status
    steps = []
    if status.status in ("paused", "halted"):
        why = f": {status.reason}" if status.reason else ""
        steps.append(_sentence("", f"The rollout is {status.status}{why}.", " Nothing goes out until it is resumed."))
    for cause in report.failures[:3]:
        steps.append(_sentence("", f"{devices(cause.devices)}, {cause.owner}.", f" {cause.meaning} {cause.remedy}"))
    if silent := report.count("silent"):
        steps.append(
            _sentence("", f"{devices(silent)}, site IT.", " Nothing was heard of them: find them and connect them.")
        )
    if status.armed:
        steps.append(
            _sentence("", f"{devices(len(status.armed))} armed.", " They may still install because of this rollout.")
        )
    if late := status.deadlines.get(Due.OVERDUE, 0):
        steps.append(
            _sentence(
                "", f"{devices(late)} past the deadline of {'its' if late == 1 else 'their'} declaration.",
                " One that was off then installs within an hour of its start; start and connect the others.",
            )
        )  # fmt: skip
    if soon := status.deadlines.get(Due.DAY, 0):
        steps.append(
            _sentence(
                "", f"Within a day, {devices(soon)} by declaration.", " They install by themselves, in their own time."
            )
        )
    coming = report.count(*(state for group in ("active", "put_off", "waiting") for state in GROUPS[group][1]))
    if coming:
        steps.append(
            _sentence(
                "", f"By {status.deadline_at}.", f" {devices(coming)} to come; who is late then is shown as expired."
            )
        )
    return tuple(steps)


def method(report: Report) -> tuple[tuple[str, str], ...]:
    """How it was counted: term and meaning."""
    status = report.status
    presumed = sum(kind.devices for kind in report.deferrals if kind.state == "deferred" and kind.remaining is None)
    return (
        ("Selected", f"{devices(status.selected)}, frozen in the plan. Every figure adds up to this or names its own."),
        ("Done", f"The device itself reported {status.target} or newer. An accepted command proves nothing."),
        (
            "Presumed",
            f"{count(presumed)} of {count(report.count('deferred'))} deferrals: "
            "iPhones, iPads and Apple TVs report no count while their users postpone.",
        ),
        (
            "Armed",
            "A step that can install went out, or perhaps did; nobody refused it, and the target is not reported.",
        ),
        *(
            [
                (
                    "By declaration",
                    f"{devices(sum(status.instruments['declaration'].values()))} enforce the update themselves, by a "
                    "deadline in their own time zone, whatever happens to this rollout's service; times here are UTC.",
                )
            ]
            if status.declares
            else []
        ),
        ("As of, known by", f"What had happened by {status.as_of}, as far as it was known at {known_by(report)}."),
        ("Sources", f"Store: {report.store}. MDM servers: {', '.join(report.servers) or 'none'}."),
        ("Made by", report.made_by),
    )


# --- tables ----------------------------------------------------------------------------------------------------------


def summary(report: Report) -> Table:
    status = report.status
    facts: tuple[tuple[str, Cell], ...] = (
        ("Finding", status.finding),
        ("Rollout", status.rollout),
        ("Plan", status.name),
        ("Target", status.target),
        ("Status", status.status),
        ("Devices", status.selected),
        ("Need a person", report.needs_person),
        ("Armed", len(status.armed)),
        ("As of (UTC)", utc(report.at)),
        ("Known by (UTC)", utc(report.known_at)),
        ("Deadline", status.deadline_at),
        ("Sum", status.reconciliation),
        *method(report),
    )
    return Table(
        name="summary", title="Summary", what="", columns=(Column("What"), Column("Meaning", wide=True)), rows=facts
    )


def states(report: Report) -> Table:
    rows = tuple(
        (state, report.count(state), share(report.count(state), report.status.selected), words)
        for words, members in GROUPS.values()
        for state in members
        if report.count(state)
    )
    return Table(
        name="states",
        title="Devices by state",
        what=f"Each of the {count(report.status.selected)} selected devices once.",
        columns=(_STATE, _DEVICES, Column("Share"), Column("Group")),
        rows=rows,
    )


def instruments(report: Report) -> Table:
    """How the devices of each instrument fare."""
    routes = report.status.instruments

    def row(words: str, states: Iterable[str]) -> tuple[Cell, ...]:
        numbers = [sum(counts.get(state, 0) for state in states) for counts in routes.values()]
        return (words, *numbers, sum(numbers))

    rows = [row(words, states) for words, states in GROUPS.values()]
    return Table(
        name="instruments",
        title="By instrument",
        what=f"Each of the {count(report.status.selected)} selected devices once, by the instrument it goes by now.",
        columns=(
            Column("Group"),
            *(Column(ROUTES[route].capitalize(), _NUMBER) for route in routes),
            Column("All", _NUMBER),
        ),
        rows=(*(one for one in rows if one[-1]), row("all", STATES)),
    )


def deadlines(report: Report) -> Table:
    """When declared devices enforce."""
    declared = sum(report.status.instruments.get("declaration", {}).values())
    going = report.status.deadlines
    ended = declared - sum(going.values())
    rows = [*going.items(), *([(ENDED, ended)] if ended else [])]
    return Table(
        name="deadlines",
        title="Deadlines of declarations",
        what=f"The {devices(declared)} that go by declaration, by when they enforce it; the Excel and CSV files have "
        "each device's own deadline.",
        columns=(Column("Enforces"), _DEVICES, Column("Share")),
        rows=tuple((when, number, share(number, declared)) for when, number in rows),
    )


def of_declarations(report: Report) -> tuple[Table, ...]:
    """The tables about both instruments; none where all go by command."""
    return (instruments(report), deadlines(report)) if report.status.declares else ()


def blocks(report: Report) -> Table:
    """What will not move by itself, and whose move it is."""
    why = {
        "failed": (_causes(report.failures), _owners(report.failures)),
        "expired": ("The deadline passed before they came to an end", "MDM team"),
        "silent": _need("silent"),
        "stalled": _need("stalled"),
        "unknown": _need("unknown"),
        "barred": (_causes(report.barred), _owners(report.barred)),
        "notified": ("The plan only notifies: a person must install", "the device's user"),
        "downloaded_end": ("The plan only downloads on these", "MDM team"),
    }
    rows = tuple((state, number, *why[state]) for state in why if (number := report.count(state)))
    return Table(
        name="blocks",
        title="What blocks",
        what=f"The {devices(sum(row[1] for row in rows))} that will not move by themselves.",
        columns=(_STATE, _DEVICES, Column("Why", wide=True), _OWNER),
        rows=rows,
    )


def _need(state: str) -> tuple[str, str]:
    need = need_of(state)
    return need.meaning.rstrip("."), need.owner.value


def failures(report: Report) -> Table:
    total = report.count("failed", "expired")
    known = sum(cause.devices for cause in report.failures)
    without = f" {devices(total - known)} expired without a failure." if total > known else ""
    cut = len(report.failures) > SHOWN
    more = (
        f" The {SHOWN} most frequent causes are shown; each device's stands in the Excel and CSV files." if cut else ""
    )
    return Table(
        name="failures",
        title="Failures by cause",
        what=f"The {devices(total)} that failed or expired, each once, by the newest failure.{without}{more}",
        columns=(Column("Cause", wide=True), _DEVICES, Column("What to do", wide=True), _OWNER, Column("Class")),
        rows=tuple((c.meaning, c.devices, c.remedy, c.owner, c.name) for c in report.failures[:SHOWN]),
        of=len(report.failures),
    )


def deferrals(report: Report) -> Table:
    return Table(
        name="deferrals",
        title="Put off by people",
        what=f"The {devices(report.count(*PUT_OFF))} put off, by deferrals used and remaining; "
        "deferred without numbers is presumed.",
        columns=(_STATE, Column("Used", _NUMBER), Column("Remaining", _NUMBER), _DEVICES),
        rows=tuple((kind.state, kind.used, kind.remaining, kind.devices) for kind in report.deferrals),
    )


_NEWS = Column("Last news (UTC)", Kind.MOMENT)
_WHY = (Column("Why", wide=True), Column("What to do", wide=True))


def exception_columns() -> tuple[Column, ...]:
    """Of the data files; a page has one column for serial and name."""
    return (Column("Serial"), Column("Name"), Column("Platform"), _STATE, _NEWS, *_WHY, *_BY)


def exception_row(device: DeviceStatus) -> tuple[Cell, ...]:
    return (device.serial or device.udid, device.name, *_exception(device), *_by(device))


def _exception(device: DeviceStatus) -> tuple[Cell, ...]:
    remedy = device.remedy or need_of(device.state, device.cause).remedy
    return (device.platform, device.state, _iso(device.updated_at), device.reason, remedy)


_BY = (Column("Instrument"), Column("Deadline (UTC)", Kind.MOMENT), Column("Time left"))


def _by(device: DeviceStatus) -> tuple[Cell, ...]:
    return (device.route, _iso(device.deadline), device.time_left)


def exceptions(report: Report) -> Table:
    by = report.status.declares
    return Table(
        name="exceptions",
        title="Devices that need a person",
        what=f"{count(len(report.exceptions))} of {count(report.needs_person)} shown"
        + ("." if len(report.exceptions) == report.needs_person else "; all of them stand in the Excel and CSV files."),
        columns=(Column("Device"), Column("Platform"), *((Column("By"),) if by else ()), _STATE, _NEWS, *_WHY),
        rows=tuple(
            (who(device), device.platform, *((_way(device),) if by else ()), *_exception(device)[1:])
            for device in report.exceptions
        ),
        of=report.needs_person,
    )


def _way(device: DeviceStatus) -> str:
    """`declaration, 2 h late`"""
    return ", ".join(part for part in (device.route, device.time_left) if part)


def barred(report: Report) -> Table:
    return Table(
        name="barred",
        title="Barred by reason",
        what=f"The {devices(report.count('barred'))} that the plan left out, each once, by the first reason.",
        columns=(Column("Reason", wide=True), _DEVICES, Column("What to do", wide=True), _OWNER),
        rows=tuple((c.meaning, c.devices, c.remedy, c.owner) for c in report.barred),
    )


def armed(report: Report) -> Table:
    return Table(
        name="armed",
        title="Armed",
        what=f"{devices(len(report.status.armed))} that may still install because of this rollout.",
        columns=(Column("Serial"),),
        rows=tuple((serial,) for serial in report.status.armed[:SHOWN]),
        of=len(report.status.armed),
    )


def acts(report: Report) -> Table:
    return Table(
        name="audit",
        title="Who did what",
        what="Acts of people, and of the service on its own, from the audit log.",
        columns=(
            Column("When (UTC)", Kind.MOMENT),
            Column("Who"),
            Column("What"),
            _DEVICES,
            Column("Detail", wide=True),
        ),
        rows=tuple((utc(act.at), act.who, act.what, act.count, act.detail) for act in report.acts),
    )


def section(chart: Chart) -> str:
    """Beside which table it stands; empty: under *Progress*."""
    if chart.name.startswith("failures"):
        return "failures"
    return "deferrals" if chart.name in ("deferrals", "next-installs") else ""


def note(chart: Chart, reconciliation: str) -> tuple[bool, str]:
    """Does the chart's note begin with the sum of the whole, which pages set in colours, and what else does it say?"""
    rest = chart.note.removeprefix(reconciliation)
    return rest != chart.note, rest.strip()


def chart_table(chart: Chart, *, rows: int = 0) -> Table:
    """A chart's own table. rows: if given, every so many-th row, so that no more are left; the last one always is."""
    step = math.ceil(len(chart.table) / rows) if rows and len(chart.table) else 1
    frame = chart.table.iloc[::-step][::-1]
    kinds = [
        Kind.NUMBER if is_numeric_dtype(kind) else Kind.MOMENT if is_datetime64_any_dtype(kind) else Kind.TEXT
        for kind in frame.dtypes
    ]
    return Table(
        name=chart.name,
        title=chart.title,
        what=chart.subtitle,
        columns=tuple(Column(str(head), kind) for head, kind in zip(frame.columns, kinds, strict=True)),
        rows=tuple(tuple(_from_frame(cell) for cell in row) for row in frame.itertuples(index=False)),
        of=len(chart.table),
    )


def device_columns() -> tuple[Column, ...]:
    """One column per field of a device's status, in its order."""
    kinds = {"int": Kind.NUMBER, "int | None": Kind.NUMBER}
    named = {
        "updated_at": Column("updated (UTC)", Kind.MOMENT),
        "deadline": Column("deadline (UTC)", Kind.MOMENT),
        "state": Column("state", Kind.STATE),
    }
    return tuple(
        named.get(field.name)
        or Column(
            field.name.replace("_", " "),
            kinds.get(_type(field.type), Kind.TEXT),
            wide=field.name in ("reason", "remedy"),
        )
        for field in fields(DeviceStatus)
    )


def device_rows(devices: Iterable[DeviceStatus]) -> Iterator[tuple[DeviceStatus, tuple[Cell, ...]]]:
    """Each device with its cells."""
    names = [field.name for field in fields(DeviceStatus)]
    values, flags = attrgetter(*names), names.index("flags")
    updated, deadline = names.index("updated_at"), names.index("deadline")
    for device in devices:
        cells = list(values(device))
        cells[flags] = ", ".join(cells[flags])
        cells[updated], cells[deadline] = _iso(cells[updated]), _iso(cells[deadline])
        yield device, tuple(cells)


def _from_frame(cell: Any) -> Cell:
    if isinstance(cell, str):
        return cell
    if pd.isna(cell):
        return None
    if isinstance(cell, pd.Timestamp):
        at: datetime = cell.to_pydatetime()
        return at
    number = float(cell)
    return int(number) if number.is_integer() else number


# --- words -----------------------------------------------------------------------------------------------------------


def who(device: DeviceStatus) -> str:
    """`DMPX00000001 · iPad of room 12`"""
    return " · ".join(clean(part, _LONGEST_NAME) for part in (device.serial or device.udid, device.name) if part)


def known_by(report: Report) -> str:
    """Only the time, where it is the day of *as of*."""
    known, at = utc(report.known_at), utc(report.at)
    return f"{known:%H:%M:%S}" if known.date() == at.date() else moment(report.known_at)


def _share(part: int, whole: int) -> str:
    """A share of few says little."""
    return f" ({share(part, whole)})" if whole >= FEW else ""


def utc(at: int) -> datetime:
    """Microseconds since 1970."""
    return datetime.fromtimestamp(at / 1_000_000, UTC)


def _sentence(*texts: str) -> Sentence:
    """Plain and strong pieces in turn, beginning with a plain one."""
    return tuple(Run(text, strong=bool(place % 2)) for place, text in enumerate(texts) if text)


def _causes(causes: tuple[Cause, ...]) -> str:
    """`The device has too little free space (49); The battery is too low (36); 3 more`"""
    named = [f"{cause.meaning.rstrip('.')} ({count(cause.devices)})" for cause in causes[:2]]
    more = [f"{count(len(causes) - 2)} more"] if len(causes) > 2 else []
    return "; ".join(named + more) or "No cause is known"


def _owners(causes: tuple[Cause, ...]) -> str:
    """Of the causes that are named, each once."""
    return ", ".join(dict.fromkeys(cause.owner for cause in causes[:2] if cause.owner))


def _iso(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _type(annotation: object) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
