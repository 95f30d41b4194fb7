"""The story of one device, across rollouts and servers: who it is, what happened, what it waits for now, what to do.

Costs by the device's own rows, however large the fleet. Leaves how an event is worded to `views/widgets/story.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from osupdate_kit.errors import PlanError, SelectionError
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.kit.watch import line_of, told_of
from osupdate_kit.rollout.assignments import Said
from osupdate_kit.rollout.deadlines import left_words
from osupdate_kit.rollout.eligibility import WORDS, Barrier
from osupdate_kit.rollout.events import RolloutEvent
from osupdate_kit.rollout.journey import Instrument
from osupdate_kit.rollout.needs import IN_NEED, need_of
from osupdate_kit.rollout.people import APPROVAL, APPROVE
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.state import Facts, State
from osupdate_kit.service.loop import why_held
from osupdate_kit.service.record import Plans
from osupdate_kit.service.sender import untaken_calls
from osupdate_kit.stores.ledger import Hold, StoredDevice, StoredJourney, StoredRollout, Transaction
from osupdate_kit.views.status import iso, moment
from osupdate_kit.views.text import clean
from osupdate_kit.views.widgets.reported import pending_words
from osupdate_kit.views.widgets.sections import wait_words
from osupdate_kit.views.widgets.story import StoryLine, Told, story, words_of
from osupdate_kit.views.widgets.watch import DeviceLine
from osupdate_kit.views.widgets.words import local

if TYPE_CHECKING:
    from osupdate_kit.kit import Kit

WHOLE = 1_000_000  # lines: all of them
_OF_THE_ROLLOUT = ("pause", "resume", "halt", "cancel", "end", "approve", "hand-over")  # each of its devices feels them
_ENDS = {
    State.DONE: "It reported the target.",
    State.NOTIFIED: "Its user was told; the plan wants no more.",
    State.DOWNLOADED_END: "The update lies on it; the plan wants no more.",
}
_NEXT = {
    State.NOTIFIED: "Plan an install, if its user does not follow.",
    State.DOWNLOADED_END: "Plan the install.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """The device as one server knows it."""

    server: str
    enrollment_id: str
    udid: str
    serial: str
    name: str
    platform: str
    model: str
    os_version: str
    build_version: str
    supervised: bool | None
    site: str
    ring: str
    time_zone: str
    enrolled: bool
    last_seen_at: str | None  # ISO 8601 UTC; None: never
    held: str = ""  # why, and by whom, if it is on the hold list now


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One rollout that it is in, or was."""

    rollout: int
    name: str
    target: str
    server: str
    status: str  # of the rollout
    live: bool  # it is in this one now
    wave: str
    state: str
    reason: str
    remedy: str
    owner: str  # whose move it is, where a person is needed
    armed: str
    instrument: str  # by which it goes now: command, declaration, none
    declaration: str  # where its declaration stands; empty: it goes by command, or came to an end
    deadline: str  # of a declaration that is in force, as the clock shows there
    time_left: str
    pending: str  # what it said is pending, and by when
    waits: str  # completes "it waits …"; empty where it waits for nothing
    opens_at: str  # when its window opens, where it waits for that, as the clock shows there


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One thing that happened. `states`: by rollout, those that it led to. `minor`: it changed nothing."""

    at: str  # ISO 8601 UTC
    server: str
    rollout: int  # 0 = none
    what: str
    detail: str
    states: Mapping[int, str]
    minor: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """As of `at`, microseconds UTC. `parts` and `story`: oldest first."""

    wanted: str
    at: int
    enrolments: tuple[Enrolment, ...]
    parts: tuple[Part, ...]
    story: tuple[Happening, ...]

    @property
    def now(self) -> Part | None:
        """The rollout that decides what happens next: the live one, else the newest that did not leave it out."""
        return max(self.parts, key=lambda p: (p.live, p.state != State.BARRED, p.rollout), default=None)

    @property
    def finding(self) -> str:
        """Where it stands and why, in a few sentences."""
        named = self.enrolments[0]
        who = f"{clean(named.serial or named.udid)}, {named.platform or 'a device'} on {named.server}"
        part = self.now
        if part is None:
            return f"{who}: in no rollout."
        head = f"{who}: {part.state.replace('_', ' ')} in rollout {part.rollout}, {clean(part.name)}, to {part.target}."
        waits = f" It waits {part.waits}." if part.waits else ""
        opens = f" That opens {part.opens_at}." if part.opens_at else ""
        reason = f" {clean(part.reason)}" if part.reason and not part.waits else ""
        stop = "" if not reason or reason.endswith(".") else "."
        return f"{head}{waits}{opens}{reason}{stop}{_armed_words(part)}"

    @property
    def remedy(self) -> str:
        """What to do, and whose move it is; empty: nothing but to wait."""
        part = self.now
        if part is None or not part.remedy:
            return ""
        return f"{part.owner}: {part.remedy}" if part.owner else part.remedy

    def to_dict(self) -> dict[str, object]:
        """JSON values, in the order in which people read them."""
        words = asdict(self) | {"at": iso(self.at)}
        return {"finding": self.finding, "remedy": self.remedy, **words}

    def _repr_html_(self) -> str:
        import pandas as pd

        from osupdate_kit.views.tables import Table

        tables = (
            ("Enrolments", pd.DataFrame(who_rows(self), columns=WHO)),
            ("Rollouts", pd.DataFrame(part_rows(self), columns=PARTS)),
            ("What happened", pd.DataFrame(story_rows(self), columns=STORY).tail(50)),
        )
        parts = [f"<p>{what}</p>{Table(frame)._repr_html_()}" for what, frame in tables if len(frame)]
        do = f"<br>{escape(self.remedy)}" if self.remedy else ""
        return f"<p><b>{escape(self.finding)}</b>{do}<br>as of {moment(self.at)}</p>{''.join(parts)}"


def _armed_words(part: Part) -> str:
    if part.declaration:
        by = f": it installs by {part.deadline} its own time, {part.time_left}" if part.deadline else ""
        pending = f" It says that {part.pending} is pending." if part.pending else ""
        return f" Its declaration is {part.declaration}{by}.{pending}"
    what = "a declaration" if part.instrument == Instrument.DECLARATION else "a command"
    return f" It may still install because of us: {what} is {part.armed}." if part.armed else ""


WHO = ("server", "name", "platform", "model", "reports", "supervised", "site", "enrolled", "seen", "held")
PARTS = ("rollout", "name", "target", "server", "status", "wave", "by", "state", "why", "armed", "deadline")
STORY = ("at", "rollout", "what", "detail", "state")


def who_rows(why: Why) -> list[tuple[object, ...]]:
    return [
        (e.server, e.name, e.platform, e.model, f"{e.os_version} {e.build_version}".strip(), e.supervised, e.site,
         e.enrolled, e.last_seen_at or "never", e.held)
        for e in why.enrolments
    ]  # fmt: skip


def part_rows(why: Why) -> list[tuple[object, ...]]:
    return [
        (p.rollout, p.name, p.target, p.server, p.status, p.wave, p.instrument, p.state, p.reason, p.armed,
         f"{p.deadline}, {p.time_left}" if p.deadline else "")
        for p in why.parts
    ]  # fmt: skip


def story_rows(why: Why, *, minor: bool = False) -> list[tuple[object, ...]]:
    """minor: what changed nothing, too, such as pushes and questions."""
    several = len(why.parts) > 1
    return [
        (one.at, one.rollout or None, one.what, one.detail, _states(one.states, several=several))
        for one in why.story
        if minor or not one.minor
    ]


def _states(states: Mapping[int, str], *, several: bool) -> str:
    return ", ".join(f"{state} (rollout {rollout})" if several else state for rollout, state in states.items())


def why(kit: "Kit", wanted: str) -> Why:
    """wanted: a serial, UDID or enrollment ID. Raises SelectionError if no device is called so."""
    now, plans = kit.clock.now(), Plans()
    with kit.ledger.read() as tx:
        keys = tx.keys_called(wanted.strip())
        if not keys:
            raise SelectionError(
                f"No device is called {clean(wanted)!r}.",
                remedy="Give its serial, UDID or enrollment ID; `osupdate-kit devices list` shows them.",
            )
        devices = tx.devices(keys)
        holds = tx.holds(keys, now)
        journeys = tx.journeys_of(keys)
        looks = [
            _look(kit, tx, plans, journey, devices[key], holds.get(key), now)
            for key in keys
            for journey in journeys.get(key, ())
        ]
        looks.sort(key=lambda look: look.part.rollout)
        happened = sorted(
            [
                *_told(keys, tx.events_of(keys), looks),
                *_held(tx.holds_ever(keys), now),
                *_acts(tx, {look.part.rollout for look in looks}),
                *_noted(tx, keys, {look.part.rollout for look in looks}),
            ],
            key=lambda one: one.order,
        )
    enrolments = [_enrolment(devices[key].device, holds.get(key)) for key in keys]
    enrolments.sort(key=lambda one: (one.enrolled, one.last_seen_at or ""), reverse=True)
    return Why(
        wanted=wanted,
        at=now,
        enrolments=tuple(enrolments),
        parts=tuple(look.part for look in looks),
        story=tuple(one.happening for one in happened),
    )


# --- where it stands ---


class _Look(NamedTuple):
    """One rollout of the device: how it stands there, and what its story is told from (None: it cannot be told)."""

    part: Part
    told: Told | None


def _look(
    kit: "Kit", tx: Transaction, plans: Plans, journey: StoredJourney, known: StoredDevice, hold: Hold | None, now: int
) -> _Look:
    device, facts = known.device, known.facts
    number = journey.journey.rollout
    rollout = tx.rollout(number)
    assert rollout is not None, number
    try:
        plan = plans.plan(tx, number)
    except PlanError as error:  # one that cannot be read hides no other (I9)
        return _Look(_unreadable(journey, rollout, error), None)
    held = why_held(hold, journey, tx.halts(number))
    line = line_of(journey, device.last_seen_at, rollout, plan, now, kit, held=held, name=device.name)
    said = Facts.from_json(facts).said if line.declaration else {}
    part = _part(journey, rollout, plan, line, said, now)
    if part.waits and not line.reason:  # nothing of ours keeps it
        part = replace(part, waits=_server_words(tx, line, now) or part.waits)
    return _Look(part, told_of(tx, plans, rollout, journey, line, now))


def _server_words(tx: Transaction, line: DeviceLine, now: int) -> str:
    """Completes "it waits …", where its server takes no such calls."""
    calls = "declarations" if line.route == Instrument.DECLARATION else "commands"
    why = next((one.words for one in untaken_calls(tx, line.key.server, now) if one.calls == calls), "")
    return f"for {line.key.server}, which takes no {calls}: {clean(why)}; one call a minute tries" if why else ""


def _part(
    journey: StoredJourney,
    rollout: StoredRollout,
    plan: RolloutPlan,
    line: DeviceLine,
    reports: Mapping[str, Said],
    now: int,
) -> Part:
    state = State(line.state)
    reason, remedy, owner = line.reason, "", ""
    if state is State.BARRED:
        remedy = WORDS[Barrier(journey.barrier)][1]
        reason = f"{line.barrier[:1].upper()}{line.barrier[1:]}."
    elif state in IN_NEED:
        need = need_of(state, line.cause)
        remedy, owner = need.remedy, need.owner.value
        said = f"It said: {line.cause_text}" if line.cause_text else line.reason
        reason = f"{need.meaning} {said[:1].upper()}{said[1:]}".strip()
    elif state in _ENDS:
        reason, remedy = _ENDS[state], _NEXT.get(state, "")
    elif reason == APPROVAL:
        remedy = APPROVE.format(rollout.id)
    return Part(
        rollout=rollout.id,
        name=plan.name,
        target=journey.target or plan.target_label,
        server=line.key.server,
        status=rollout.status.value,
        live=journey.live,
        wave=line.wave,
        state=line.state,
        reason=reason,
        remedy=remedy,
        owner=owner,
        armed=line.armed,
        instrument=line.route,
        declaration=line.declaration.value,
        deadline=local(line.enforce_at, line.time_zone or plan.time_zone) if line.declaration.in_force else "",
        time_left=left_words(line.enforce_at, now) if line.declaration.in_force else "",
        pending=pending_words(reports.get("pending", Said()).text, reports.get("pending_by", Said()).text),
        waits=wait_words(line.state, line.reason, plan.window, line.declaration),
        opens_at=_opens(journey, plan, line, now) if line.reason == "window shut" else "",
    )


def _opens(journey: StoredJourney, plan: RolloutPlan, line: DeviceLine, now: int) -> str:
    zone = line.time_zone or plan.time_zone or "UTC"
    window = plan.window if journey.journey.ready else plan.download_window or plan.window
    try:
        opens_at = window.gate(now, zone).changes_at
    except PlanError:
        return ""
    return local(opens_at, zone)


def _unreadable(journey: StoredJourney, rollout: StoredRollout, error: PlanError) -> Part:
    return Part(
        rollout=rollout.id,
        name="",
        target=journey.target,
        server=journey.journey.key.server,
        status=rollout.status.value,
        live=journey.live,
        wave=journey.wave,
        state=journey.journey.state,
        reason=f"The plan cannot be read: {error.args[0]}",
        remedy=error.remedy,
        owner="",
        armed=journey.journey.armed.value,
        instrument=journey.journey.route.value,
        declaration="",
        deadline="",
        time_left="",
        pending="",
        waits="",
        opens_at="",
    )


def _enrolment(device: Device, hold: Hold | None) -> Enrolment:
    return Enrolment(
        server=device.key.server,
        enrollment_id=device.key.enrollment_id,
        udid=device.udid,
        serial=device.serial,
        name=device.name,
        platform=device.platform.value if device.platform else "",
        model=device.model,
        os_version=str(device.os_version or ""),
        build_version=device.build_version,
        supervised=device.supervised,
        site=device.site,
        ring=device.ring,
        time_zone=device.time_zone,
        enrolled=device.enrolled,
        last_seen_at=iso(device.last_seen_at) if device.last_seen_at else None,
        held=f"{hold.reason}, by {hold.by}" if hold else "",
    )


# --- what happened ---


class _Dated(NamedTuple):
    order: tuple[int, int, int]
    happening: Happening


def _told(
    keys: Sequence[DeviceKey], events: Mapping[DeviceKey, Sequence[RolloutEvent]], looks: Sequence[_Look]
) -> Iterator[_Dated]:
    """Each event once, worded as in its own rollout, with the states that it led to in all of them."""
    for key in keys:
        lines: dict[int, dict[int, StoryLine]] = {}  # by seq, by rollout
        for look in looks:
            if look.told is None or look.told.line.key != key:
                continue
            for line in story(look.told, WHOLE).lines:
                if line.seq:
                    lines.setdefault(line.seq, {})[look.part.rollout] = line
                else:
                    yield _began(key, look.part.rollout, line)
        for event in events.get(key, ()):
            yield _happened(event, lines.get(event.seq, {}))


def _began(key: DeviceKey, rollout: int, line: StoryLine) -> _Dated:
    return _Dated(
        (line.at, 0, rollout),
        Happening(
            at=iso(line.at),
            server=key.server,
            rollout=rollout,
            what=line.title,
            detail=line.detail,
            states={rollout: str(line.state)},
            minor=False,
        ),
    )


def _happened(event: RolloutEvent, lines: Mapping[int, StoryLine]) -> _Dated:
    """lines: what the stories of its rollouts say of the event."""
    line = lines.get(event.rollout) or (next(iter(lines.values()), None) if not event.rollout else None)
    title, detail, minor = (line.title, line.detail, line.minor) if line else words_of(event, event.rollout)
    states = {rollout: str(line.state) for rollout, line in lines.items() if line.changed}
    return _Dated(
        (event.at, 2, event.seq),
        Happening(
            at=iso(event.at),
            server=event.key.server,
            rollout=event.rollout,
            what=title,
            detail=detail,
            states=states,
            minor=minor and not states,
        ),
    )


def _held(holds: Sequence[Hold], now: int) -> Iterator[_Dated]:
    for hold in holds:
        until = f" until {moment(hold.until_at)}" if hold.until_at else ""
        yield _act(hold.at, hold.id, 0, f"Put on the hold list{until}", f"by {hold.by}: {hold.reason}", hold.key.server)
        if hold.released_at:
            yield _act(hold.released_at, hold.id, 0, "Released", f"by {hold.released_by}", hold.key.server)
        elif hold.until_at and hold.until_at <= now:
            yield _act(hold.until_at, hold.id, 0, "The hold ended", hold.reason, hold.key.server)


def _noted(tx: Transaction, keys: Sequence[DeviceKey], rollouts: set[int]) -> Iterator[_Dated]:
    """Notes on the device, and on its rollouts as a whole."""
    for note in tx.notes_of(keys):
        server = note.key.server if note.key else ""
        yield _act(note.at, note.id, note.rollout, f"Note by {note.who}", note.text, server)
    for number in sorted(rollouts):
        for note in tx.notes(number):
            if note.key is None:
                yield _act(note.at, note.id, number, f"Note on the rollout by {note.who}", note.text, "")


def _acts(tx: Transaction, rollouts: set[int]) -> Iterator[_Dated]:
    for number in sorted(rollouts):
        for act in tx.audits(number):
            if act.what in _OF_THE_ROLLOUT:
                detail = f"by {act.who}" + (f": {act.detail}" if act.detail else "")
                yield _act(act.at, act.id, number, f"The rollout: {act.what}", detail, "")


def _act(at: int, number: int, rollout: int, what: str, detail: str, server: str) -> _Dated:
    happening = Happening(at=iso(at), server=server, rollout=rollout, what=what, detail=detail, states={}, minor=False)
    return _Dated((at, 1, number), happening)
