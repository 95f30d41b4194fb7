"""How a device stands with its declaration, and how long until it enforces it. One rule for every page and figure.

Knows what follows from a journey and now. Leaves when a declaration is given and taken back to `engine.py`.
"""

from enum import StrEnum

from osupdate_kit.rollout.journey import Armed, Instrument
from osupdate_kit.rollout.policy import DAY, HOUR, MINUTE
from osupdate_kit.rollout.state import ENDS, State


class Standing(StrEnum):
    """Where a declaration of the rollout stands; the words complete "its declaration is …"."""

    NO = ""  # it goes by command, or came to an end
    NOT_YET = "not assigned yet"
    ON_SERVER = "on the server, and the device not told yet"
    ON_DEVICE = "on the device"
    LATE = "on the device, which is past its deadline"
    LEAVING = "taken back, and the device not told yet"
    TAKEN_BACK = "not assigned any more"  # taken back, or refused by the server

    @property
    def in_force(self) -> bool:
        """May it still make the device install?"""
        return self in (Standing.ON_SERVER, Standing.ON_DEVICE, Standing.LATE, Standing.LEAVING)


class Due(StrEnum):
    """When declared devices enforce, as figures count them, in this order."""

    OVERDUE = "overdue"
    DAY = "within a day"
    THREE_DAYS = "within 3 days"
    WEEK = "within a week"
    LATER = "later"
    TAKEN_BACK = "not assigned any more"
    NOT_YET = "not assigned yet"


BOUNDS = ((Due.DAY, DAY), (Due.THREE_DAYS, 3 * DAY), (Due.WEEK, 7 * DAY))  # a deadline of this very instant is overdue
_OVER = frozenset(state.value for state in ENDS)


def standing(state: str, route: str, armed: str, enforce_at: int, now: int) -> Standing:
    """state: as it is shown. An older rollout's declaration arms a device, too; its own has a deadline."""
    if route != Instrument.DECLARATION or state in _OVER:
        return Standing.NO
    if not enforce_at:
        return Standing.NOT_YET
    if armed == Armed.NO:
        return Standing.TAKEN_BACK
    if state == State.HELD:
        return Standing.LEAVING
    if armed == Armed.ON_SERVER:
        return Standing.ON_SERVER
    return Standing.ON_DEVICE if now < enforce_at else Standing.LATE


def due(where: Standing, enforce_at: int, now: int) -> Due | None:
    """None: nothing is due of it."""
    match where:
        case Standing.NO:
            return None
        case Standing.NOT_YET:
            return Due.NOT_YET
        case Standing.TAKEN_BACK:
            return Due.TAKEN_BACK
    left = enforce_at - now
    return Due.OVERDUE if left <= 0 else next((name for name, bound in BOUNDS if left <= bound), Due.LATER)


def left_words(at: int, now: int) -> str:
    """`3 d left`, `31 h left`, `14 min left`; `2 h late`. Empty for no deadline."""
    if not at:
        return ""
    return f"{_span(abs(at - now))} left" if at > now else f"{_span(abs(at - now))} late"


def _span(micros: int) -> str:
    if micros >= 2 * DAY:
        return f"{micros // DAY} d"
    return f"{micros // HOUR} h" if micros >= HOUR else f"{micros // MINUTE} min"
