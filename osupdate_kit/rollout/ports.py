"""The doors to the outside world, as small Protocols beside the values that pass through them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from msgspec import Struct


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
    fields: Mapping[str, object] = {}  # of the device's plist, by allow-list


class Outcome(StrEnum):
    """What a server's answer to an enqueue proves about one device."""

    QUEUED = "queued"
    REFUSED = "refused"  # certainly not queued
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
