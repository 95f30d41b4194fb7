"""From one device's events to its journey and its transitions, so that replaying rebuilds both exactly (I7)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.causes import FailureClass
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout import assignments as assigned
from osupdate_kit.rollout.events import RolloutEvent
from osupdate_kit.rollout.journey import Box, Journey
from osupdate_kit.rollout.state import Course, Facts, Failure, State, declares, fold, route, state_of

USED_UP = Failure(kind=FailureClass.UNKNOWN, text="No try is left, and the device has named no cause.")
ANY_WINDOW = 1  # the stored state is read with an open window in which nobody has knocked or been seen


class Start(NamedTuple):
    """Where a journey begins: every device of a rollout starts *held*; earlier evidence counts from here."""

    at: int
    seq: int  # events up to this one were stored before the rollout began


class Change(NamedTuple):
    """One signed transition: at `at`, one device more (+1) or less (−1) in `state`."""

    at: int
    state: str
    sign: int


def stored_state(facts: Facts, course: Course) -> State:
    """The state as far as evidence tells it; a knock shows while it is the newest thing that happened."""
    return state_of(facts, course, facts.knock.gate or ANY_WINDOW)


def changes(before: str, after: str, at: int) -> list[Change]:
    return [] if before == after else [Change(at, before, -1), Change(at, after, +1)]


def history(events: Sequence[RolloutEvent], course: Course, start: Start) -> list[Change]:
    """All transitions of a journey after its start. `events`: all of the device, ordered by (at, seq)."""
    if all(event.seq <= start.seq for event in events):
        return []
    found: list[Change] = []
    facts, state = Facts(), State.HELD
    for event in sorted(events, key=lambda e: (max(e.at, start.at), e.seq)):
        facts = fold(facts, event)
        after = stored_state(facts, course)
        found += changes(state, after, max(event.at, start.at))
        state = after
    return found


def corrections(known: Iterable[Change], true: Iterable[Change]) -> Iterator[Change]:
    """What to append so that the signed sums of `known` become those of `true`. Nothing is rewritten."""
    sums: Counter[tuple[int, str]] = Counter()
    for change in true:
        sums[change.at, change.state] += change.sign
    for change in known:
        sums[change.at, change.state] -= change.sign
    for (at, state), count in sorted(sums.items()):
        for _ in range(abs(count)):
            yield Change(at, state, 1 if count > 0 else -1)


def journey_of(
    key: DeviceKey, facts: Facts, course: Course, target: str, *, seq: int = 0, state: State | None = None
) -> Journey:
    """The newest state and what stands beside it. `target`: the version aimed at, "" for an item.

    state: of these facts, where the caller has read it off already.
    """
    given = [one for _, one in assigned.of_rollout(facts.assignments, course.rollout)] if facts.assignments else []
    sent = [one for one in given if one.box not in (Box.INTENDED, Box.WITHDRAWN)]
    mine = [(number, step) for number, step in sorted(facts.steps.items()) if step.rollout == course.rollout]
    newest = mine[-1][1] if mine else None
    state = state or stored_state(facts, course)
    failure = facts.failures.get(course.rollout, USED_UP if state is State.FAILED else Failure())
    return Journey(
        rollout=course.rollout,
        key=key,
        state=state,
        armed=facts.armed,
        regressed=state is State.DONE and _less(facts.version.os_version, target),
        ready=facts.ready or (state is State.DOWNLOADED and declares(facts, course)),
        os_version=facts.version.os_version,
        action_asked=newest.action if newest else "",
        action_returned=newest.returned if newest else "",
        deferrals_used=facts.deferrals.most - facts.deferrals.remaining if facts.deferrals.at else None,
        deferrals_remaining=facts.deferrals.remaining if facts.deferrals.at else None,
        failure=failure.kind,
        failure_text=failure.text,
        commands_sent=sum(step.counts and step.box > 0 for _, step in mine)
        + sum(one.counts and one.box > 0 for one in given),
        progress_at=facts.progress.known_at,
        done_at=facts.proven.get(course.rollout, 0),
        updated_at=facts.contact_at,
        updated_seq=seq,
        route=route(facts, course),
        enforce_at=sent[-1].enforce_at if sent else 0,
    )


def _less(reported: str, target: str) -> bool:
    return bool(reported and target) and OSVersion.parse(reported) < OSVersion.parse(target)
