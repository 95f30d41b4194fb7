"""The next step of one device, as a pure function of what is known, the plan, the window and now.

`possible` says what may be done at all, with timers taken as able to fire at any moment (the model's table).
`next_steps` picks what is due now and says when to look again. `may_send` asks every condition once more in the
transaction that marks an intention *sending*.
"""

from dataclasses import dataclass
from typing import NamedTuple

from osupdate_kit.protocol.terms import RequestType
from osupdate_kit.rollout import assignments as assigned
from osupdate_kit.rollout.assignments import GIVE, TAKE
from osupdate_kit.rollout.journey import Box
from osupdate_kit.rollout.policy import FIRST, HOUR, MINUTE, Cadences, Gate
from osupdate_kit.rollout.state import (
    Answer,
    Asked,
    Course,
    Facts,
    State,
    crossed,
    declaration_failed,
    declares,
    has_listed,
    in_doubt,
    is_installing,
    next_role,
    state_of,
)


class Intend(NamedTuple):
    """Decide on a ScheduleOSUpdate step; the sender asks again before it sends."""

    role: int


class Ask(NamedTuple):
    """Queue a query; `push` wakes the device for it."""

    request_type: RequestType
    push: bool


class Push(NamedTuple):
    """Wake the device; `gate` names the opening of the window that it knocks in."""

    gate: int


class Assign(NamedTuple):
    """Assign the device to a declaration of ours (`GIVE`), or take that back (`TAKE`): the set named."""

    role: int
    set_name: str = ""


class SayAgain(NamedTuple):
    """Say once more what this outbox row has said of declarations, and take the sets `besides` it back with it."""

    outbox: int
    besides: tuple[str, ...] = ()


Act = Intend | Ask | Push | Assign | SayAgain


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, and when to look again (microseconds UTC; None = only when news comes)."""

    acts: tuple[Act, ...]
    due_at: int | None


def _can_install(course: Course, role: int) -> bool:
    action = course.steps.action(role)
    return action is not None and action.can_install


class Possible(NamedTuple):
    """What may be done, timers apart."""

    intend: int = 0  # the role of the step that may be sent next
    knock: bool = False  # push first, and wait until the device shows itself
    push: bool = False  # push again
    query: bool = False
    query_push: bool = False  # may the query wake the device?


def possible(facts: Facts, course: Course, gate: int, *, forgets_answered: bool = False) -> Possible:
    """The model's table of next steps; see `may_send` for its line *send*."""
    state = state_of(facts, course, gate)
    if state is State.DONE:
        return Possible()
    waiting = facts.open_steps()
    entering = facts.accepted or any(step.installs for step in waiting)
    intended = [s for s in facts.steps.values() if s.box == Box.INTENDED]
    unsure = [s for s in waiting if s.box == Box.SENDING and s.answer == Answer.NONE and not forgets_answered]
    intend, knock, push = 0, False, bool(gate and waiting)
    if gate:
        knocked = facts.knocked(gate)
        for step in [s for s in intended if s.rollout == course.rollout] + unsure:
            if step.installs and not facts.unresolved and knocked < 2:
                knock, push = knock or not knocked, push or knocked == 1
        over = state in (State.FAILED, State.NOTIFIED, State.DOWNLOADED_END, State.UNKNOWN)
        over = over or declares(facts, course) or bool(assigned.held(facts.assignments))  # never both at once
        if not entering and not intended and not facts.unresolved and not over:
            role = next_role(facts, course)
            busy = role == FIRST and state in (State.DOWNLOADING, State.QUEUED, State.NOT_NOW)
            if not busy and not facts.used_up(course.rollout, role, course.steps.tries):
                if _can_install(course, role) and knocked < 2:
                    knock, push = knock or not knocked, push or knocked == 1
                else:
                    intend = role
    return Possible(intend, knock, push, True, bool(gate) or not facts.on_server)


def may_send(facts: Facts, course: Course, outbox: int, gate: int, *, forgets_answered: bool = False) -> bool:
    """Every condition of a step, asked in the transaction that marks it *sending*; for retries, too."""
    step = facts.steps.get(outbox)
    if step is None or not gate or course.rollout in facts.proven or facts.gone or step.dead:
        return False
    first = step.box == Box.INTENDED and step.rollout == course.rollout
    again = step.box == Box.SENDING and step.answer == Answer.NONE and not forgets_answered
    if not first and not again:
        return False
    others = any(s.installs and facts.is_open(s) for number, s in facts.steps.items() if number != outbox)
    if first and (others or facts.accepted or declares(facts, course) or assigned.held(facts.assignments)):
        return False
    return not step.installs or (not facts.unresolved and facts.knocked(gate) == 2)


def may_wake(facts: Facts, gate: int) -> bool:
    """No push of ours wakes a device outside its window while a step that can install may be on the server."""
    return bool(gate) or not facts.on_server


def only_downloads(facts: Facts, course: Course) -> bool:
    """Is the next step one that cannot install, and nothing under way that can? Then the download window counts.

    A declared device may install when its user likes: for it the window of installs counts.
    """
    if declares(facts, course):
        return False
    if not course.steps.downloads_apart or next_role(facts, course) != FIRST or facts.accepted or facts.unresolved:
        return False
    return not any(s.installs and (s.box == Box.INTENDED or facts.is_open(s)) for s in facts.steps.values())


# --- The second instrument --------------------------------------------------------------------------------------------


def wants_declaration(facts: Facts, course: Course, gate: Gate) -> bool:
    """Is a declaration of this rollout to stand for the device? A shut window takes nothing back; a person does."""
    if gate.stopped or facts.gone or course.rollout in facts.proven:
        return False
    return declares(facts, course) and not declaration_failed(facts, course)


def may_assign(facts: Facts, course: Course, gate: Gate) -> bool:
    """Every condition of an assignment but the intention: no command that can install may be about (never both)."""
    if not gate.open_since or not wants_declaration(facts, course, gate):
        return False
    if any(step.installs for step in facts.open_steps()) or is_installing(facts, course) or in_doubt(facts, course):
        return False
    return crossed(facts, course) or not facts.accepted


def next_assignment(facts: Facts, course: Course, gate: Gate, now: int) -> Assign | SayAgain | None:
    """Give, or take back what is not wanted any more, be it an older rollout's; or say the last word once more."""
    last = assigned.last_word(facts.assignments)
    if last and last[1].box in (Box.INTENDED, Box.SENDING):
        return None  # the sender has it, and asks again
    there = assigned.held(facts.assignments)
    if there and not (there[1].rollout == course.rollout and wants_declaration(facts, course, gate)):
        return Assign(TAKE, there[1].set_name)
    if not there and may_assign(facts, course, gate):
        return Assign(GIVE)
    if not last or not 0 < assigned.say_again_at(facts.assignments) <= now:
        return None
    if there and not may_assign(facts, course, gate):
        return None  # what gives waits for its hour
    sets = {one.set_name for one in facts.assignments.values() if one.given_up}
    return SayAgain(last[0], tuple(sorted(sets - {last[1].set_name})))


def may_send_assignment(facts: Facts, course: Course, outbox: int, gate: Gate) -> bool:
    """The same, asked in the transaction that marks it *sending*; for retries, too."""
    one = facts.assignments.get(outbox)
    if one is None or one.box not in (Box.INTENDED, Box.SENDING):
        return False
    if any(number > outbox and other.counts for number, other in facts.assignments.items()):
        return False
    if one.role == GIVE:
        return may_assign(facts, course, gate)
    if one.box == Box.SENDING:
        return True  # perhaps it is taken back already: only the server's word settles what is there
    rows = facts.assignments.items()
    given = [n for n, other in rows if n < outbox and other.set_name == one.set_name and other.role == GIVE]
    mine = bool(given) and facts.assignments[max(given)].rollout == course.rollout
    return not (mine and wants_declaration(facts, course, gate))


def _give_again_at(facts: Facts, course: Course, cadences: Cadences) -> int:
    """What the server has refused is given once more after a pause; what is to be taken back is taken back now."""
    since = facts.retried.get(course.rollout, 0)
    mine = assigned.of_rollout(facts.assignments, course.rollout)
    refused_at = max((one.refused_at for number, one in mine if number > since), default=0)
    return refused_at + int(cadences.retry_backoff_minutes * MINUTE) if refused_at else 0


def _told_later(facts: Facts, course: Course) -> bool:
    """Is DeclarativeManagement to be asked for? Only what the server has done is worth being told."""
    told = assigned.must_be_told(facts.assignments, facts.told, facts.cleared_at)
    if not told or facts.waits_for(RequestType.DECLARATIVE_MANAGEMENT, course.rollout):
        return False
    last = assigned.last_word(facts.assignments)
    if last is None or facts.untold.at < facts.cleared_at:
        return True
    number, one = last
    return facts.untold.outbox <= max(number, facts.retried.get(one.rollout, 0))


# --- Timers -----------------------------------------------------------------------------------------------------------

_GONE = frozenset(
    {RequestType.OS_UPDATE_STATUS, RequestType.AVAILABLE_OS_UPDATES, RequestType.SCHEDULE_OS_UPDATE_SCAN}
)  # in OS 27
_ACTIVE = frozenset({State.DOWNLOADING, State.SCHEDULED, State.INSTALLING, State.DEFERRED, State.VERIFYING})


def next_steps(facts: Facts, course: Course, gate: Gate, now: int, cadences: Cadences) -> Decision:
    """What is due now for one device, and when to look again."""
    may = possible(facts, course, gate.open_since)
    later: list[int] = [gate.changes_at] if gate.changes_at else []
    acts: list[Act] = []
    say_again_at = 0
    if course.can_declare or facts.assignments:
        assign, say_again_at = next_assignment(facts, course, gate, now), assigned.say_again_at(facts.assignments)
        if assign == Assign(GIVE) and (again_at := _give_again_at(facts, course, cadences)) > now:
            later.append(again_at)
        elif assign:
            acts.append(assign)
        elif _told_later(facts, course):
            acts.append(Ask(RequestType.DECLARATIVE_MANAGEMENT, may_wake(facts, gate.open_since)))
    if not may.query:
        return Decision(tuple(acts), say_again_at if say_again_at > now else None)

    later += [say_again_at] if say_again_at > now else []
    query, query_at = _query(facts, course, now, cadences)
    if query and query_at <= now:
        acts.append(Ask(query, may.query_push))
        if _with_version(facts, course, query):
            acts.append(Ask(RequestType.DEVICE_INFORMATION, may.query_push))
        later.append(now + int(cadences.query_timeout_hours * HOUR))
    elif query:
        later.append(query_at)

    listed = not _lists(facts, course) or has_listed(facts, course)
    failed_at = max((s.failed_at for s in facts.of_rollout(course.rollout)), default=0)
    retry_at = failed_at + int(cadences.retry_backoff_minutes * MINUTE) if failed_at else 0
    stepping = listed and (may.intend or may.knock or may.push)
    if stepping and retry_at > now and not facts.open_steps():
        later.append(retry_at)
    elif may.intend and listed and facts.knocked(gate.open_since) == 2:
        acts.append(Intend(may.intend))
    elif (may.knock or (may.intend and not facts.knocked(gate.open_since))) and listed:
        acts.append(Push(gate.open_since))  # harmless steps knock, too: nothing is to lie on the server for who is away
        later.append(now + int(cadences.push_again_minutes * MINUTE))
    elif (may.push or may.intend) and listed:
        push_at = _push_at(facts, gate, cadences)
        if push_at <= now:
            acts.append(Push(gate.open_since))
            push_at = now + int(cadences.push_again_minutes * MINUTE)
        later.append(push_at)
    return Decision(tuple(acts), max(min(later), now + MINUTE) if later else None)


def _push_at(facts: Facts, gate: Gate, cadences: Cadences) -> int:
    """Each push again waits as long as the window has waited so far: an absent device is not pushed every half hour."""
    waited = max(0, facts.pushed_at - gate.open_since)
    return facts.pushed_at + max(int(cadences.push_again_minutes * MINUTE), waited)


def _query(facts: Facts, course: Course, now: int, cadences: Cadences) -> tuple[RequestType | None, int]:
    """Which question comes next, and when."""
    waiting = facts.open_query(course.rollout)
    request_type = next((t for t, asked in facts.asked.items() if asked == waiting), "")
    gone = request_type in _GONE and declares(facts, course)  # what the OS no longer answers is not asked again
    if waiting and not gone:
        patience = max(
            int(cadences.query_timeout_hours * HOUR), waiting.at - facts.contact_at if facts.contact_at else 0
        )
        return RequestType(request_type), waiting.at + min(int(cadences.query_every_hours * HOUR), patience)
    if _lists(facts, course) and not has_listed(facts, course):
        return _listing_query(facts, course, now, cadences)
    if (
        course.item
        and facts.may_have_installed
        and not facts.in_doubt
        and (proof := _proof_by_list(facts, now, cadences))
    ):
        return proof
    info = facts.answered.get(RequestType.DEVICE_INFORMATION, Asked())
    look = facts.answered.get(RequestType.OS_UPDATE_STATUS, Asked())
    newest = max(info.at, look.at)
    looks = (facts.steps or facts.in_doubt) and not declares(facts, course)
    first = RequestType.OS_UPDATE_STATUS if looks else RequestType.DEVICE_INFORMATION
    day = int(cadences.query_every_hours * HOUR)
    if in_doubt(facts, course):
        pause = int(cadences.doubt_query_minutes * MINUTE)
        return first, max(facts.doubt.known_at, newest) + min(day, max(pause, (now - facts.doubt.known_at) // 4))
    there = assigned.held(facts.assignments)
    if there and now < there[1].enforce_at:
        return first, newest + day  # it reports by itself, and until its deadline nothing need happen
    state = state_of(facts, course, 0)
    if state in _ACTIVE or facts.open_steps():
        pause = int(cadences.progress_query_minutes * MINUTE)
        return first, newest + min(day, max(pause, (now - facts.progress.known_at) // 4))
    return first, newest + day


def _with_version(facts: Facts, course: Course, query: RequestType) -> bool:
    """Is its version to be asked for behind this question? One visit may be all there is for days."""
    if query == RequestType.DEVICE_INFORMATION or facts.waits_for(RequestType.DEVICE_INFORMATION, course.rollout):
        return False
    if query == RequestType.AVAILABLE_OS_UPDATES:  # a list proves an item by a report behind it
        return course.item or facts.waits_for(query, course.rollout)  # asked again: it may never be answered
    return True


def _lists(facts: Facts, course: Course) -> bool:
    return course.listing and not declares(facts, course)


def _listing_query(facts: Facts, course: Course, now: int, cadences: Cadences) -> tuple[RequestType, int]:
    """macOS refreshes its list only after a scan, and a scan's answer says no more than that it began."""
    scanned = facts.answered.get(RequestType.SCHEDULE_OS_UPDATE_SCAN, Asked())
    if scanned.rollout != course.rollout:
        return RequestType.SCHEDULE_OS_UPDATE_SCAN, now
    return RequestType.AVAILABLE_OS_UPDATES, scanned.at + int(cadences.scan_wait_minutes * MINUTE)


def _proof_by_list(facts: Facts, now: int, cadences: Cadences) -> tuple[RequestType, int] | None:
    """An item that is no OS shows nowhere but in a list, with a report behind it: after the install step, and daily."""
    scanned = facts.answered.get(RequestType.SCHEDULE_OS_UPDATE_SCAN, Asked())
    listed = facts.answered.get(RequestType.AVAILABLE_OS_UPDATES, Asked())
    stale = listed.at > scanned.at and listed.at + int(cadences.query_every_hours * HOUR) <= now
    if scanned.at <= facts.doubt.known_at or stale:
        return RequestType.SCHEDULE_OS_UPDATE_SCAN, now
    if listed.at < scanned.at:
        return RequestType.AVAILABLE_OS_UPDATES, scanned.at + int(cadences.scan_wait_minutes * MINUTE)
    if facts.answered.get(RequestType.DEVICE_INFORMATION, Asked()).at < listed.at:  # a list behind a NotNow comes late
        return RequestType.DEVICE_INFORMATION, now
    return None


def asks_by_key(facts: Facts, target_version: str) -> str:
    """The listed product key of that version; empty if the list does not name it."""
    return next((item.product_key for item in facts.listed.items if item.version == target_version), "")
