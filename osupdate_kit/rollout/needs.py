"""What needs a person, beside failures: what it means, what to do, and whose move it is.

Knows the words for states of attention, and which cause an end has. Leaves failures to `protocol/causes.py`.
"""

from collections.abc import Mapping

from osupdate_kit.protocol.causes import Cause, FailureClass, Owner, Retry, cause_of
from osupdate_kit.rollout.state import ATTENTION, State

LOST = (State.FAILED, State.EXPIRED)
IN_NEED = (*LOST, State.SILENT, State.STALLED, State.UNKNOWN)

_ATTENTION: Mapping[State, Cause] = {
    State.SILENT: Cause(
        "Silent",
        "No contact for longer than the policy allows.",
        "Find it, charge it, connect it.",
        Retry.LATER,
        Owner.TECHNICIAN,
    ),
    State.STALLED: Cause(
        "Stalled",
        "In contact, but no step further for longer than the policy allows.",
        "Look at its story; restart it; declare a step dead only if you know that it is.",
        Retry.LATER,
        Owner.ADMIN,
    ),
    State.UNKNOWN: Cause(
        "Unknown",
        "Checked out, enrolled elsewhere, or with contradicting evidence.",
        "Enrol it again, or leave it out.",
        Retry.LATER,
        Owner.ADMIN,
    ),
}
assert set(_ATTENTION) == ATTENTION


def cause_name(state: str, name: str) -> str:
    """By what a failed or expired device is counted. name: its newest failure, as it is counted; "" = none."""
    return name or (FailureClass.DEADLINE if state == State.EXPIRED else FailureClass.UNKNOWN).value


def need_of(state: str, name: str = "") -> Cause:
    """Why a device in this state needs a person, and whom. name: of its newest failure, as it is counted."""
    found = _ATTENTION.get(State(state))
    return found or cause_of(cause_name(state, name))
