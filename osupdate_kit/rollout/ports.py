"""The doors to the outside world, as small Protocols beside the values that pass through them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from msgspec import Struct

from osupdate_kit.protocol.status import DeclarationStatus, StatusReport


class Clock(Protocol):
    """The one source of time. Locks and network time-outs use real time instead."""

    def now(self) -> int:
        """Microseconds since 1970 UTC, at the speed of the settings."""

    def from_server(self, at: int) -> int:
        """A server's time stamp (real microseconds UTC) on this clock."""


class Topic(StrEnum):
    """What a server's webhook speaks of; topics that prove nothing for us are OTHER."""

    AUTHENTICATE = "Authenticate"
    TOKEN_UPDATE = "TokenUpdate"  # noqa: S105 - Apple's word for a check-in message, no secret
    CHECK_OUT = "CheckOut"
    CONNECT = "Connect"
    DECLARATIVE_MANAGEMENT = "DeclarativeManagement"  # a device fetches declarations, or reports of them
    OTHER = "Other"


class ServerEvent(Struct, frozen=True, kw_only=True):
    """One webhook event, redacted: nothing in it is a secret."""

    topic: Topic
    created_at: int  # microseconds UTC by the server's clock
    enrollment_id: str
    udid: str = ""
    enrollment_type: str = ""
    status: str = ""  # of a Connect: Idle, Acknowledged, …
    command_uuid: str = ""
    endpoint: str = ""  # of DeclarativeManagement: tokens, declaration-items, declaration/KIND/ID, status
    fields: Mapping[str, object] = {}  # of the device's plist, or of its status report, by allow-list


class Outcome(StrEnum):
    """What a server's answer to an enqueue proves about one device."""

    QUEUED = "queued"
    REFUSED = "refused"  # certainly not queued by this call
    UNTAKEN = "untaken"  # nor that: the call came to nobody, and nothing speaks against the device
    UNKNOWN = "unknown"  # no answer: it may be queued


@dataclass(frozen=True, slots=True, kw_only=True)
class EnqueueAnswer:
    """The server's word on one enqueue call, by enrollment ID; every ID of the call is in `outcomes`."""

    outcomes: Mapping[str, Outcome]
    reasons: Mapping[str, str] = field(default_factory=dict)  # why refused or not woken, where the server says
    pushed: frozenset[str] = frozenset()  # whom the server reports woken
    server_at: int = 0  # the answer's Date header, microseconds UTC, whole seconds; 0 = none
    separable: bool = False  # the whole call failed for the sake of some IDs: smaller calls may pass


@dataclass(frozen=True, slots=True, kw_only=True)
class PushAnswer:
    """The server's word on one push call."""

    pushed: frozenset[str]
    reasons: Mapping[str, str] = field(default_factory=dict)
    server_at: int = 0
    untaken: bool = False  # the call came to nobody


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCheck:
    """What a check of address and credentials found; `remedy` is empty when all is well."""

    server: str
    ok: bool
    version: str = ""
    message: str = ""
    remedy: str = ""
    hop: str = ""  # which of `CHECKED` is broken; empty when all is well
    server_at: int = 0  # the Date header of its answer, microseconds UTC, whole seconds; 0 = none


CHECKED = ("address", "kind", "key", "enqueue")  # what a check looks at, one after the other


class CommandServer(Protocol):
    """An MDM server as the sender sees it. Never raises for a refusal or a broken connection: both are answers."""

    name: str
    batch_ids: int  # how many ids one call may carry
    ids_per_second: float  # commands and pushes it is sent at most, over ten seconds of real time; 0 = no limit
    forgets_answered: bool  # an answered UUID is forgotten (delete=1): a retry with the same UUID would queue it anew

    def enqueue(self, body: bytes, ids: Sequence[str], *, push: bool) -> EnqueueAnswer:
        """Queue the command plist for each id in one call, and push if asked."""

    def push(self, ids: Sequence[str]) -> PushAnswer:
        """Wake the devices; proves nothing about commands."""

    def check(self) -> ServerCheck:
        """For people: does it answer, is it what the settings say, and does it take our key?"""


# --- declarations ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The server's word on one change of its declarations or sets. QUEUED: it stands on the server as asked."""

    outcome: Outcome
    changed: bool = False  # False with QUEUED: it stood there before
    reason: str = ""
    server_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Identifiers, as a server lists them. `trouble`: why there is no list: that is not an empty one."""

    names: frozenset[str] = frozenset()
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDeclaration:
    """A declaration as a server holds it, also somebody else's. Neither body nor trouble: it has none of that name."""

    identifier: str
    type: str = ""
    server_token: str = ""
    body: bytes = b""
    trouble: str = ""


class DeclarationOnDevice(NamedTuple):
    """What a device last reported of one declaration, as the server keeps it."""

    status: DeclarationStatus
    current: bool  # is it the declaration that the server would give now? Not to be relied on: it swallows errors
    received_at: int  # microseconds UTC by the server's clock; 0 = not said


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclarationsOnDevices:
    """By enrollment ID; a device that never reported is in neither."""

    of: Mapping[str, tuple[DeclarationOnDevice, ...]] = field(default_factory=dict)
    troubles: Mapping[str, str] = field(default_factory=dict)


class ReceivedReport(Struct, frozen=True, kw_only=True):
    """A status report as the server keeps it. report None: it cannot be read. fields: its JSON, by allow-list."""

    report: StatusReport | None
    fields: Mapping[str, object] = {}
    received_at: int  # microseconds UTC by the server's clock, whole seconds; 0 = not said
    report_id: str


class ReportsAnswer(Struct, frozen=True, kw_only=True):
    """A device's reports since the mark that was given, the oldest first.

    whole: from that mark, from a full report or from the device's first on: their fold is the device's state. Otherwise
    older ones were left out, for want of calls or by trouble.
    """

    reports: tuple[ReceivedReport, ...] = ()
    mark: str = ""  # to be given next time; the one that was given if there is nothing new
    whole: bool = True
    trouble: str = ""


class DeclarationServer(Protocol):
    """A server of declarations. Never raises for a refusal or a broken connection: both are answers.

    No call wakes a device or queues a command: that is DeclarativeManagement's, by the ordinary `CommandServer`. All
    changes may be repeated. Names of sets and declarations are those that `protocol.declarations.check_identifier` lets
    pass; others are refused.
    """

    name: str
    batch_ids: int  # how many ids one call of `assign` or `withdraw` should be given

    def put(self, body: bytes) -> Change:
        """Store a declaration of the kit's, as `protocol.declarations.encode` writes it."""

    def get(self, identifier: str) -> StoredDeclaration:
        """Whosever it is."""

    def delete(self, identifier: str) -> Change:
        """Refused while a set holds it; no change if there is none."""

    def declarations(self) -> Names:
        """All that the server holds, ours and others'."""

    def fill(self, set_name: str, identifiers: Sequence[str]) -> Change:
        """Put declarations into a set, in this order: a configuration before the activation that names it."""

    def empty(self, set_name: str, identifiers: Sequence[str]) -> Change:
        """Take declarations out of a set, in this order."""

    def contents(self, set_name: str) -> Names:
        """The declarations in a set."""

    def assign(self, set_name: str, ids: Sequence[str]) -> EnqueueAnswer:
        """Give the set to each device. QUEUED: the server holds it so; the device does not know it yet."""

    def withdraw(self, set_name: str, ids: Sequence[str]) -> EnqueueAnswer:
        """Take the set from each device. QUEUED: the server holds it no more; the device does until it is told."""

    def sets_of(self, enrollment_id: str) -> Names:
        """The sets that are given to a device."""

    def given(self, enrollment_id: str) -> Names:
        """The declarations that the device would be given now."""

    def declaration_status(self, ids: Sequence[str]) -> DeclarationsOnDevices:
        """What each device last said of its declarations; in few calls."""

    def reports(self, since: Mapping[str, str], *, most: int = 20) -> Mapping[str, ReportsAnswer]:
        """The status reports of each device after the mark that is given for it (empty: all).

        One call per device if there is nothing new; `most` reports of each, the newest, else.
        """

    def check(self) -> ServerCheck:
        """For people: does it answer, is it what the settings say, and does it take our key?"""
