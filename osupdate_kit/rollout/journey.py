"""Journey: one row per rollout and device, the newest state and what stands beside it; and the member it belongs to."""

from enum import IntEnum, StrEnum

from msgspec import Struct

from osupdate_kit.fleet.devices import DeviceKey


class Instrument(StrEnum):
    COMMAND = "command"
    DECLARATION = "declaration"
    NONE = "none"


class Armed(StrEnum):
    """May this device still install because of us?"""

    NO = ""
    ON_SERVER = "on the server"
    ON_DEVICE = "on the device"


class Member(Struct, frozen=True, kw_only=True, gc=False):
    """One device of a plan, frozen with its verdict."""

    key: DeviceKey
    udid: str = ""
    serial: str = ""
    platform: str = ""
    model: str = ""
    os_version: str = ""  # at planning
    time_zone: str = ""
    site: str = ""
    ring: str = ""
    wave: str = ""
    target: str = ""  # where the plan's target is a rule: what it comes to for this device
    instrument: Instrument = Instrument.NONE
    barrier: str = ""  # first reason, when barred
    reason: str = ""  # all reasons in words


class Journey(Struct, frozen=True, kw_only=True, gc=False):
    """What the events of one device add up to in one rollout. Rebuilt exactly by replaying the events (I7)."""

    rollout: int
    key: DeviceKey
    state: str  # as read off the facts with an open window; waiting and attention are laid over it when it is shown
    armed: Armed = Armed.NO
    regressed: bool = False
    ready: bool = False  # the download is there
    os_version: str = ""  # newest reported
    action_asked: str = ""
    action_returned: str = ""
    deferrals_used: int | None = None
    deferrals_remaining: int | None = None
    failure: str = ""  # class of the newest failure
    failure_text: str = ""
    commands_sent: int = 0
    progress_at: int = 0  # newest evidence of progress, our clock
    done_at: int = 0  # first proof of the target, our clock; 0 = none
    updated_at: int = 0  # newest evidence, our clock
    updated_seq: int = 0  # the event it was last read off after; 0 = as the rollout began
    route: Instrument = Instrument.COMMAND  # the instrument that it goes by now; the plan's stands in its member
    enforce_at: int = 0  # the deadline of its newest declaration, our clock; 0 = none


class RolloutStatus(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    HALTED = "halted"
    CANCELLED = "cancelled"
    ENDED = "ended"


class OutboxStatus(StrEnum):
    INTENDED = "intended"
    WITHDRAWN = "withdrawn"
    SENDING = "sending"  # on the wire, or perhaps: after a crash the outcome is unknown
    UNKNOWN = "unknown"  # no answer came
    QUEUED = "queued"
    REFUSED = "refused"
    PUSHED = "pushed"


class Box(IntEnum):
    """How far an intention came on its way to the server. A later word wins; *queued* is a proof and wins over all."""

    INTENDED = 0
    SENDING = 1  # on the wire or perhaps on the server
    WITHDRAWN = 2
    REFUSED = 3
    QUEUED = 4


class OutboxKind(StrEnum):
    STEP = "step"  # a ScheduleOSUpdate
    ASSIGNMENT = "assignment"  # of a device to a set of declarations, or its end
    QUERY = "query"
    PUSH = "push"


class OutboxRow(Struct, frozen=True, kw_only=True):
    """One intention for one device: a command, or a push without one."""

    id: int = 0
    key: DeviceKey
    rollout: int
    kind: OutboxKind
    request_type: str = ""
    role: int = 0  # of a step: 1 first, 2 install; of an assignment: 1 give, 2 take
    command: str = ""  # canonical JSON of the request, or of the set; equal text = one call may serve both
    status: OutboxStatus = OutboxStatus.INTENDED
    command_uuid: str = ""
    created_at: int = 0
    not_before: int = 0
    gate: int = 0  # of a push that knocks: the opening of the window it knocks in; of an assignment: its deadline
    attempts: int = 0
