"""A device's assignments to declarations of ours, and what it reports of them: the facts of the second instrument.

Knows which assignment holds, and whether the device has been told. An assignment can be taken back, which no queued
command can. Leaves the joining of all facts to `state.py`, and what is declared to `enforcement.py`.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from osupdate_kit.rollout.journey import Armed, Box
from osupdate_kit.rollout.policy import DAY

GIVE, TAKE = 1, 2  # the role of an assignment's outbox row
LATE = DAY  # a call that was given up has come by then, or never will


class Assignment(NamedTuple):
    """One assignment of a device to a set of ours (`GIVE`), or its end (`TAKE`), by its outbox row."""

    rollout: int
    role: int = GIVE
    box: int = Box.INTENDED
    set_name: str = ""
    enforce_at: int = 0  # the deadline that is declared, as an instant of our clock
    failures: int = 0  # how often the device says that this update failed
    invalid_at: int = 0  # newest report that calls it invalid, by the server's clock
    refused_at: int = 0  # when the server refused it, by our clock
    done_at: int = 0  # newest word that the server has done it, by our clock
    given_up: bool = False  # a call of it had no answer: the server may do it once more, later
    again: bool = False  # says what an older one has said, should such a call have come since: it changes nothing else

    @property
    def counts(self) -> bool:
        """Does it change what the server holds, or may it?"""
        return self.box not in (Box.WITHDRAWN, Box.REFUSED)

    @property
    def perhaps_there(self) -> bool:
        """May it stand on the server? Of a `TAKE`: may it not have arrived?"""
        return self.box == Box.SENDING or (self.box == Box.QUEUED) == (self.role == GIVE)

    def join(self, other: "Assignment") -> "Assignment":
        return Assignment(
            max(self.rollout, other.rollout),
            max(self.role, other.role),
            max(self.box, other.box),
            max(self.set_name, other.set_name),
            max(self.enforce_at, other.enforce_at),
            max(self.failures, other.failures),
            max(self.invalid_at, other.invalid_at),
            max(self.refused_at, other.refused_at),
            max(self.done_at, other.done_at),
            self.given_up or other.given_up,
            self.again or other.again,
        )


class Said(NamedTuple):
    """One thing that a status report says, newest by the server's clock."""

    at: int = 0
    text: str = ""


class Told(NamedTuple):
    """The newest answered DeclarativeManagement: its outbox row, and when, by the server's clock."""

    outbox: int = 0
    at: int = 0


Assignments = Mapping[int, Assignment]
NONE: Assignments = MappingProxyType({})


def last_word(assignments: Assignments) -> tuple[int, Assignment] | None:
    """What was said last, be it once more."""
    return max(((n, one) for n, one in assignments.items() if one.counts), default=None)


def newest(assignments: Assignments) -> tuple[int, Assignment] | None:
    """The one that decides what the server holds: rows of one device are sent in their order."""
    return last_word({n: one for n, one in assignments.items() if not one.again})


def held(assignments: Assignments) -> tuple[int, Assignment] | None:
    """The newest that may stand on the server, for whatever rollout."""
    last = newest(assignments)
    if last is None or not last[1].perhaps_there:
        return None
    return last if last[1].role == GIVE else _before(assignments, last[0])


def _before(assignments: Assignments, number: int) -> tuple[int, Assignment] | None:
    """What the row `number` takes back."""
    return newest({n: one for n, one in assignments.items() if n < number and one.role == GIVE})


def of_rollout(assignments: Assignments, rollout: int) -> Iterator[tuple[int, Assignment]]:
    """What was given for it, the oldest first."""
    rows = sorted(assignments.items())
    return ((n, one) for n, one in rows if one.rollout == rollout and one.role == GIVE and not one.again)


def say_again_at(assignments: Assignments) -> int:
    """When the last word has to be said once more, because a call that was given up may have come since; 0: never."""
    given_up = [one.done_at for one in assignments.values() if one.given_up]
    last = last_word(assignments) if given_up else None
    if last is None or last[1].box != Box.QUEUED:
        return 0
    refused = [one.refused_at for one in assignments.values() if one.again]
    at = max(given_up + refused) + LATE
    return at if last[1].done_at < at else 0


def must_be_told(assignments: Assignments, told: Told, cleared_at: int) -> bool:
    """Does the device not know yet what the server holds for it now?

    A device that enrols anew has forgotten all, and nothing tells it that it has.
    """
    last = last_word(assignments)
    if last is None or last[1].box != Box.QUEUED:
        return False
    number, one = last
    if one.role == GIVE:
        return told.outbox < number or cleared_at > told.at
    given = _before(assignments, number)
    return told.outbox < number and given is not None and told.outbox > given[0]


def armed(assignments: Assignments, told: Told) -> tuple[Armed, int]:
    """May the device still install because it was declared; and for which rollout."""
    last = newest(assignments)
    if last is None:
        return Armed.NO, 0
    number, one = last
    given = last if one.role == GIVE else _before(assignments, number)
    if given is None or (one.role == GIVE and one.box == Box.INTENDED):
        return Armed.NO, 0
    knows = told.outbox > given[0]
    if one.role == TAKE and one.box == Box.QUEUED and (not knows or told.outbox > number):
        return Armed.NO, 0
    return (Armed.ON_DEVICE if knows else Armed.ON_SERVER), given[1].rollout
