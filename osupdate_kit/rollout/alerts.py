"""Alerts: what people are told of without asking. Which ones stand for given figures, and when each is told.

Knows the kinds, their words, and that a thing is told once, again while it lasts, and once more when it is over. Leaves
where figures come from and how rows are kept and sent to `service` and `stores`. Words hold counts and names of
rollouts, waves, servers and slices, cleaned; never a device's name.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from osupdate_kit.rollout.policy import DAY, HOUR, MINUTE


class AlertKind(StrEnum):
    HALTED = "halted"
    APPROVAL = "approval_waits"
    GATE = "gate_waits"
    ARMED = "armed_after_window"
    UNTAKEN = "calls_not_taken"
    WEBHOOK = "webhook_silent"
    CERTIFICATE = "certificate_expires"
    REPORT = "report_failed"


class Alert(NamedTuple):
    """One thing that stands; there is one per kind and subject."""

    kind: AlertKind
    subject: str
    text: str


class Said(NamedTuple):
    """An alert as it is kept: since when it stands, when it was last told, and when it was over. 0 = not."""

    id: int
    kind: str
    subject: str
    text: str
    at: int
    sent_at: int = 0
    over_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is watched for, and how patiently. Settings fill it."""

    repeat_hours: float = 24
    webhook_silent_hours: float = 12
    certificate_days: float = 30
    certificates: Mapping[str, int] = field(default_factory=dict)  # by server: when its push certificate expires
    told: bool = False  # is there anybody to tell?


GRACE = HOUR // 2  # after its window a device may finish what it began inside it
UNTAKEN_STANDS = 10 * MINUTE  # a server that is started anew is no alert
REPORT_STANDS = DAY  # a report that failed is told once, unless it is written before
FORGOTTEN = 7 * DAY  # what was over for so long before it could be told is not told any more

_TITLES = {
    AlertKind.HALTED: ("Halted", "Look at what it names; then lift the halt, or cancel the rollout."),
    AlertKind.APPROVAL: (
        "A rollout waits for a second person",
        "Somebody other than who asked looks at its plan, then: osupdate-kit rollout approve.",
    ),
    AlertKind.GATE: ("A wave waits for a person", "Look at the waves before it; then open it."),
    AlertKind.ARMED: (
        "Devices may install outside their window",
        "Tell whom it would disturb; rollout status names the devices.",
    ),
    AlertKind.UNTAKEN: (
        "A server takes no calls",
        "What it is to be sent waits, and no device fails for it. osupdate-kit doctor says which part is broken.",
    ),
    AlertKind.WEBHOOK: (
        "A server's webhook is silent",
        "See that the server runs, that its webhook URL leads to the receiver, and that its push certificate is valid.",
    ),
    AlertKind.CERTIFICATE: (
        "A push certificate is near its expiry",
        "Renew it, never replace it, with the same Apple Account; then correct the date in the settings.",
    ),
    AlertKind.REPORT: ("A report was not written", "Run osupdate-kit report again; it says why."),
}

# --- what stands ---------------------------------------------------------------------------------------------------


class Stop(NamedTuple):
    """A halt that stands. No dimension: all of the rollout."""

    dimension: str
    value: str
    words: str  # the figures


class Wait(NamedTuple):
    """A wave that has not opened, and what it waits for, as `rollout/gates.py` words it."""

    wave: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutFigures:
    number: int
    name: str
    unapproved: int = 0  # devices that wait for a second person's word
    halted: bool = False  # all of it
    stops: tuple[Stop, ...] = ()
    waits: tuple[Wait, ...] = ()
    armed: int = 0  # devices that may install because of us while their window is shut


class Untaken(NamedTuple):
    """Calls that nobody takes: of which kind, since when, and in which words."""

    calls: str  # commands | declarations
    since: int
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFigures:
    name: str
    untaken: Sequence[Untaken] = ()
    pushes: int = 0  # that went out since anything was heard from it
    pushed_at: int = 0  # the first of them


_BY_HAND = ("a person to open it", "a person may open it")


def standing(
    rollouts: Iterable[RolloutFigures], servers: Iterable[ServerFigures], watch: Watch, now: int
) -> list[Alert]:
    """Everything that people are to know by these figures."""
    found = [alert for figures in rollouts for alert in _of_rollout(figures)]
    found += [alert for figures in servers for alert in _of_server(figures, watch, now)]
    return found + list(_certificates(watch, now))


def _of_rollout(figures: RolloutFigures) -> Iterator[Alert]:
    subject = f"rollout {figures.number}"
    who = f"Rollout {figures.number}, {clean(figures.name)}"
    whole = next((stop for stop in figures.stops if not stop.dimension), None)
    if whole or figures.halted:
        why = f"by its figures: {clean(whole.words, 200)}" if whole else "by a person"
        yield Alert(AlertKind.HALTED, subject, f"{who}, is halted {why}.")
    if figures.unapproved:
        words = f"{who}, waits for a second person to approve of it. Devices that take it: {figures.unapproved:,}."
        yield Alert(AlertKind.APPROVAL, subject, words)
    for stop in figures.stops:
        if stop.dimension and not (whole or figures.halted):
            part = f"{stop.dimension.replace('_', ' ')} {clean(stop.value) or 'unknown'}"
            words = f"{who}, stands still for {part}: {clean(stop.words, 200)}."
            yield Alert(AlertKind.HALTED, f"{subject} {stop.dimension} {stop.value}", words)
    for wait in figures.waits:
        if wait.words.endswith(_BY_HAND):
            words = f"{who}: wave {clean(wait.wave)} waits for {clean(wait.words, 200)}."
            yield Alert(AlertKind.GATE, f"{subject} wave {wait.wave}", words)
    if figures.armed:
        what = "1 device is" if figures.armed == 1 else f"{figures.armed:,} devices are"
        yield Alert(AlertKind.ARMED, subject, f"{who}: {what} armed while their window is shut.")


def _of_server(figures: ServerFigures, watch: Watch, now: int) -> Iterator[Alert]:
    for calls, since, why in figures.untaken:
        if now - since >= UNTAKEN_STANDS:
            words = f"Server {clean(figures.name)} takes no {calls}: {clean(why, 200)}."
            yield Alert(AlertKind.UNTAKEN, f"{figures.name} {calls}", words)
    if figures.pushed_at and now - figures.pushed_at >= watch.webhook_silent_hours * HOUR:
        hours = (now - figures.pushed_at) // HOUR
        words = f"{figures.pushes:,} pushes went out by server {clean(figures.name)}, and nothing has come from it"
        yield Alert(AlertKind.WEBHOOK, figures.name, f"{words} for {hours:,} hours.")


def _certificates(watch: Watch, now: int) -> Iterator[Alert]:
    for server, expires_at in watch.certificates.items():
        days = (expires_at - now) / DAY
        if days <= watch.certificate_days:
            when = f"in {days:.0f} days" if days >= 1.5 else "within two days" if days > 0 else "it has expired"
            words = f"The push certificate of server {clean(server)}: {_date(expires_at)}, {when}."
            yield Alert(AlertKind.CERTIFICATE, server, words)


def report_failed(rollout: int, name: str, now: int) -> Alert:
    """Of a report that the command could not write."""
    words = f"The report of rollout {rollout}, {clean(name)}, could not be written at {moment(now)}."
    return Alert(AlertKind.REPORT, f"rollout {rollout}", words)


# --- what changed --------------------------------------------------------------------------------------------------


class Change(NamedTuple):
    """What is to be kept: alerts that are new, ids with other words, ids that are over."""

    new: list[Alert]
    reworded: dict[int, str]
    over: list[Said]

    def __bool__(self) -> bool:
        return bool(self.new or self.reworded or self.over)


def change(open_ones: Sequence[Said], stand: Iterable[Alert], now: int) -> Change:
    """From what is kept as standing to what stands; a failed report stands for a while by itself."""
    kept = {(said.kind, said.subject): said for said in open_ones}
    found = {(alert.kind.value, alert.subject): alert for alert in stand}
    new = [alert for key, alert in found.items() if key not in kept]
    reworded = {
        kept[key].id: alert.text for key, alert in found.items() if key in kept and kept[key].text != alert.text
    }
    over = [said for key, said in kept.items() if key not in found and not _stands_by_itself(said, now)]
    return Change(new, reworded, over)


def _stands_by_itself(said: Said, now: int) -> bool:
    return said.kind == AlertKind.REPORT and now < said.at + REPORT_STANDS


# --- telling -------------------------------------------------------------------------------------------------------


class Telling(StrEnum):
    """Why an alert is told now."""

    NEW = ""
    AGAIN = "Still: "
    OVER = "Over: "


class Notice(NamedTuple):
    """What goes out: plain text."""

    title: str
    body: str


class Notifier(Protocol):
    """Whoever carries notices to people: several addresses, none of which is ever shown."""

    def addresses(self) -> Sequence[str]:
        """A name for each that gives nothing away."""

    def send(self, address: str, notice: Notice) -> bool:
        """Did it take it? Never raises for an address that does not work."""


def telling(said: Said, now: int, repeat_hours: float) -> Telling | None:
    """Is it to be told now, and as what? What is over before it could be told is told once, as over."""
    if said.over_at:
        return Telling.OVER if said.sent_at < said.over_at and now < said.over_at + FORGOTTEN else None
    if not said.sent_at:
        return Telling.NEW
    return Telling.AGAIN if now >= said.sent_at + repeat_hours * HOUR else None


def notice(said: Said, why: Telling) -> Notice:
    title, remedy = _TITLES.get(AlertKind(said.kind), (said.kind, ""))
    if why is Telling.OVER:
        return Notice(f"{why}{title}", f"{said.text}\nIt was so from {moment(said.at)} to {moment(said.over_at)}.")
    return Notice(f"{why}{title}", f"{said.text}\nSince {moment(said.at)}. {remedy}")


def moment(at: int) -> str:
    return f"{datetime.fromtimestamp(at // MINUTE * 60, UTC):%Y-%m-%d %H:%M} UTC"


def _date(at: int) -> str:
    return f"{datetime.fromtimestamp(at // MINUTE * 60, UTC):%Y-%m-%d}"


_MARKS = frozenset(" .,:;%+-–/()'")


def clean(text: str, most: int = 60) -> str:
    """Letters, digits and a few marks, on one line: nothing that any messenger reads as markup, mention or address."""
    kept = (
        c if c in _MARKS or unicodedata.category(c)[0] in "LMN" else " "
        for c in unicodedata.normalize("NFC", text).replace("://", " ")
    )
    words = " ".join("".join(kept).split())
    return words if len(words) <= most else f"{words[: most - 1].rstrip()}…"
