"""RolloutEvent: one dated piece of evidence about one device.

Knows the kinds of evidence and the values that travel with each. Leaves to `evidence.py` how a device's answer becomes
one, and to `state.py` what events add up to.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from osupdate_kit.fleet.devices import DeviceKey


class EventKind(StrEnum):
    """What happened. The first group is our own doing, the second is what server and device say."""

    INTENDED = "intended"  # the loop decided; nothing is on the wire
    WITHDRAWN = "withdrawn"  # the intention was dropped before anything was sent
    SENDING = "sending"  # committed before the wire: from here on it may be on the server
    QUEUED = "queued"
    REFUSED = "refused"
    PUSHED = "pushed"
    ABANDONED = "abandoned"  # a person declared a step dead (audited)
    RETRIED = "retried"  # a person gives a failed device its tries anew (audited)

    ANSWERED = "answered"  # the device's answer to a command of ours
    FOREIGN = "foreign"  # the device's answer to another party's update command
    REPORTED = "reported"  # the device's own status report
    IDLE = "idle"
    AUTHENTICATED = "authenticated"
    ENROLLED = "enrolled"  # TokenUpdate
    CHECKED_OUT = "checked_out"


class RolloutEvent(Struct, frozen=True, kw_only=True):
    """Immutable once stored. `digest` makes a repeat of the same evidence recognisable."""

    key: DeviceKey
    kind: EventKind
    at: int  # when it happened: the server's word on our clock, or ours for our own doing; microseconds UTC
    recorded_at: int  # when we knew
    digest: str
    server_at: int = 0  # the server's own time stamp: orders what one server says, compared with nothing of ours
    rollout: int = 0  # 0 = none
    outbox: int = 0  # the outbox row (one command or push to one device) that it speaks of; 0 = none
    command_uuid: str = ""
    evidence: Mapping[str, object] = {}  # JSON values; keys by kind, see evidence.py
    seq: int = 0  # order of recording; 0 before it is stored
