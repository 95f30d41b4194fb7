"""One device's story: its events as lines that people can read, each with the state it led to.

Pure: what the kit tells becomes lines. Whether a raw body is still kept is found out when somebody asks for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from osupdate_kit.fleet.devices import Device
from osupdate_kit.protocol.terms import RequestType
from osupdate_kit.rollout.assignments import GIVE, TAKE, Said
from osupdate_kit.rollout.events import EventKind, RolloutEvent
from osupdate_kit.rollout.history import Start, stored_state
from osupdate_kit.rollout.state import Course, Facts, State, fold
from osupdate_kit.views.status import moment
from osupdate_kit.views.widgets.reported import report_words
from osupdate_kit.views.widgets.watch import DeviceLine

SHOWN = 200  # events; older ones are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the kit tells of one device. `events`: all of it, ordered by (at, seq)."""

    device: Device
    line: DeviceLine
    events: Sequence[RolloutEvent]
    course: Course | None  # what the plan wants of it; None for a barred one
    start: Start
    raw_seqs: frozenset[int] | None = None  # events whose body is kept; None: not known
    now: int = 0  # as of when the line was read, microseconds UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryLine:
    """One thing that happened. `minor`: it changed nothing and would only fill the page."""

    at: int
    seq: int  # 0 = no event of its own
    title: str
    detail: str = ""
    state: str  # after it
    changed: bool = False
    minor: bool = False
    raw: bool = False  # is there a body of a device to show?


@dataclass(frozen=True, slots=True)
class Story:
    earlier: int  # lines that are not shown
    lines: tuple[StoryLine, ...]  # oldest first


def story(told: Told, most: int = SHOWN) -> Story:
    """All that happened since the rollout began, and the state after each event; of it the newest `most` lines."""
    if told.course is None:
        return Story(0, (_barred(told),))
    lines = [StoryLine(at=told.start.at, seq=0, title="The rollout began", state=State.HELD, changed=True)]
    facts, state = Facts(), State.HELD
    for event in sorted(told.events, key=lambda e: (max(e.at, told.start.at), e.seq)):
        known = facts.said
        facts = fold(facts, event)
        if event.seq <= told.start.seq:  # known before the rollout began
            continue
        after = stored_state(facts, told.course)
        lines.append(_line(event, state, after, told, known))
        state = after
    return Story(max(0, len(lines) - most), tuple(lines[-most:]))


def _barred(told: Told) -> StoryLine:
    return StoryLine(
        at=told.start.at,
        seq=0,
        title="Barred when the rollout began: it is sent nothing",
        detail=told.line.reason or told.line.barrier,
        state=State.BARRED,
        changed=True,
    )


def _line(event: RolloutEvent, before: State, after: State, told: Told, known: Mapping[str, Said]) -> StoryLine:
    title, detail, minor = words_of(event, told.course.rollout if told.course else 0, known)
    from_device = event.kind in _FROM_DEVICE
    return StoryLine(
        at=event.at,
        seq=event.seq,
        title=title,
        detail=detail,
        state=after,
        changed=after is not before,
        minor=minor and after is before,
        raw=from_device and (told.raw_seqs is None or event.seq in told.raw_seqs),
    )


_FROM_DEVICE = frozenset(
    {
        EventKind.ANSWERED, EventKind.FOREIGN, EventKind.AUTHENTICATED, EventKind.ENROLLED, EventKind.CHECKED_OUT,
        EventKind.REPORTED,
    }
)  # fmt: skip
_PLAIN = {
    EventKind.IDLE: ("Showed itself", "asked for work, and got what the server held", True),
    EventKind.AUTHENTICATED: ("Began to enrol anew", "the server drops what it held for it", False),
    EventKind.ENROLLED: ("Enrolled", "", True),
    EventKind.CHECKED_OUT: ("Left the server", "", False),
    EventKind.RETRIED: ("A person gave it its tries anew", "", False),
    EventKind.FOREIGN: ("Answered another party's update command", "asked what goes on before the next step", False),
}
_PUSHES = {
    EventKind.SENDING: ("Push on its way", "", True),
    EventKind.PUSHED: ("Push taken by the server", "no proof that it arrived", True),
    EventKind.REFUSED: ("Push refused by the server", "", False),
}
_STEPS = {
    EventKind.INTENDED: ("Decided: {action}", "nothing is sent yet", True),
    EventKind.WITHDRAWN: ("Withdrawn: {action}", "nothing of it is on the server", False),
    EventKind.SENDING: ("ScheduleOSUpdate on its way", "{action}; from here on it may be on the server", True),
    EventKind.QUEUED: ("ScheduleOSUpdate queued", "{action}, on the server", False),
    EventKind.REFUSED: ("The server refused it", "{action}", False),
    EventKind.ABANDONED: ("Declared dead by a person", "{action}", False),
}
_QUERIES = {
    EventKind.INTENDED: ("Decided to ask: {type}", "", True),
    EventKind.WITHDRAWN: ("Question withdrawn: {type}", "", True),
    EventKind.SENDING: ("Question on its way: {type}", "", True),
    EventKind.QUEUED: ("Question queued: {type}", "", True),
    EventKind.REFUSED: ("The server refused the question", "{type}", False),
}
_GIVEN = {
    EventKind.INTENDED: ("Decided: declare the update to it", "nothing is sent yet{deadline}", True),
    EventKind.WITHDRAWN: ("Assignment withdrawn", "nothing of it is on the server", False),
    EventKind.SENDING: ("Assignment on its way", "from here on the server may hold it", True),
    EventKind.QUEUED: ("Assigned the declaration", "the server holds it, the device is told next{deadline}", False),
    EventKind.REFUSED: ("The server refused the assignment", "", False),
}
_TAKEN = {
    EventKind.INTENDED: ("Decided: take the declaration back", "nothing is sent yet", True),
    EventKind.WITHDRAWN: ("The declaration stays", "its end was never sent", False),
    EventKind.SENDING: ("End of the declaration on its way", "", True),
    EventKind.QUEUED: ("Declaration taken back", "the server holds it no more, the device is told next", False),
    EventKind.REFUSED: ("The server refused to take it back", "", False),
}
_ASSIGNMENTS = {GIVE: _GIVEN, TAKE: _TAKEN}
_ANSWERS = {
    "not_now": ("NotNow", "busy or locked; it asks again by itself, and this command stays the open one"),
    "acknowledged": ("Acknowledged", "accepted; that is no proof of an install"),
    "failed": ("Error", ""),
    "needs_download": ("Not downloaded yet", "the download step is needed first"),
    "no_update": ("No such update", "asked for its version, for it may be there already"),
}


_NOTHING_SAID: Mapping[str, Said] = {}


def words_of(event: RolloutEvent, rollout: int, known: Mapping[str, Said] = _NOTHING_SAID) -> tuple[str, str, bool]:
    """Title, detail, and whether it is minor; as told in the story of this rollout.

    known: what its status reports had said before: of a report, only what is new is told.
    """
    if event.kind in _PLAIN:
        return _PLAIN[event.kind]
    words: Any = event.evidence
    if event.kind is EventKind.REPORTED:
        title, detail, minor = report_words(words, known)
    elif event.kind is EventKind.ANSWERED:
        title, detail, minor = _answered_step(words) if words.get("of") == "step" else _answered_query(words)
    else:
        title, detail, minor = _own(event.kind, words)
    said = words["failure"][1:] if "failure" in words and event.kind is not EventKind.REPORTED else ()
    more = [detail, *said]
    if event.rollout and event.rollout != rollout:
        more.append(f"for rollout {event.rollout}")
    if event.command_uuid and words.get("of") == "step":
        more.append(f"UUID {event.command_uuid}")
    return title, "; ".join(part for part in more if part), minor


def _own(kind: EventKind, words: Any) -> tuple[str, str, bool]:
    """Of our own doing."""
    if words.get("of") == "assignment":
        known = _ASSIGNMENTS.get(words.get("role", 0), {})
    else:
        known = {"push": _PUSHES, "step": _STEPS, "query": _QUERIES}.get(words.get("of", ""), {})
    title, detail, minor = known.get(kind, (kind.value.replace("_", " ").capitalize(), "", True))
    if words.get("again") and kind is EventKind.WITHDRAWN:
        title, detail = "Not said once more", "what was said before stands"
    elif words.get("again"):
        title, detail = f"{title}, once more", "lest a call that had no answer has come late"
    at = words.get("enforce_at", 0)
    values = {
        "action": words.get("action", ""),
        "type": words.get("type", ""),
        "deadline": f"; it enforces by {moment(at)}" if at else "",
    }
    return title.format(**values), detail.format(**values), minor


def _answered_step(words: Any) -> tuple[str, str, bool]:
    title, detail = _ANSWERS.get(words.get("answer", ""), (str(words.get("answer", "")), ""))
    returned = words.get("returned", "")
    if returned and returned != words.get("action"):
        detail = f"asked for {words.get('action')}, the device says {returned}" + (f"; {detail}" if detail else "")
    return title, detail, False


def _answered_query(words: Any) -> tuple[str, str, bool]:
    asked = words.get("type", "")
    if words.get("answer") == "not_now":
        return "NotNow", f"to {asked}", True
    if "os_version" in words:
        build = f" ({words['build']})" if words.get("build") else ""
        proves = "this proves the target" if words.get("proves") else ""
        return f"Reported {words['os_version']}{build}", proves, not proves
    if asked == RequestType.DECLARATIVE_MANAGEMENT:
        if words.get("answer") == "failed":
            return "It takes no declarations", "it answered DeclarativeManagement with an Error", False
        return "Told of its declarations", "it fetches them now", False
    if asked == RequestType.OS_UPDATE_STATUS:
        return _looked(words)
    if asked == RequestType.AVAILABLE_OS_UPDATES:
        versions = ", ".join(item[1] or item[0] for item in words.get("items", ())[:6])
        return f"Listed {len(words.get('items', ()))} updates", versions, False
    if asked == RequestType.SCHEDULE_OS_UPDATE_SCAN:
        return "Began to scan for updates", "", False
    return f"Answered {asked}", "", True


def _looked(words: Any) -> tuple[str, str, bool]:
    look = words.get("look", "")
    if "deferrals" in words:
        most, remaining, _ = words["deferrals"]
        detail = f"{remaining} of {most} deferrals remain"
    else:
        detail = "by OSUpdateStatus"
    title = {
        "loading": f"Downloading, {words.get('share', 0):.0%}",
        "ready": "Downloaded",
        "installing": "Installing",
        "nothing": "No update in progress",
    }.get(look, "Answered OSUpdateStatus")
    return title, detail, look == "nothing"
