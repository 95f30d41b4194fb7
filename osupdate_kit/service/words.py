"""The service's own words: events of our own doing, the sender's receipts, and commands as comparable text."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.causes import FailureClass
from osupdate_kit.protocol.commands import Command, request
from osupdate_kit.rollout.enforcement import besides_of, set_name_of
from osupdate_kit.rollout.events import EventKind, RolloutEvent
from osupdate_kit.rollout.journey import OutboxKind, OutboxRow


def command_text(command: Command) -> str:
    """Canonical JSON of the request: equal commands have equal text, and one call may serve them all."""
    return json.dumps(request(command), sort_keys=True, separators=(",", ":"))


def intention_words(row: OutboxRow) -> dict[str, Any]:
    """What an event says of the intention it speaks of."""
    if row.kind is OutboxKind.PUSH:
        return {"of": "push", "gate": row.gate}
    if row.kind is OutboxKind.QUERY:
        return {"of": "query", "type": row.request_type}
    if row.kind is OutboxKind.ASSIGNMENT:
        words = {"of": "assignment", "role": row.role, "set": set_name_of(row.command), "enforce_at": row.gate}
        return words if besides_of(row.command) is None else words | {"again": True}
    return {"of": "step", "role": row.role, "action": _action(row.command)}


@lru_cache(maxsize=256)
def _action(command: str) -> str:
    action: str = json.loads(command)["Updates"][0]["InstallAction"]
    return action


def own_event(
    kind: EventKind, row: OutboxRow, now: int, *, server_at: int = 0, reason: str = "", given_up: bool = False
) -> RolloutEvent:
    """An event of our own doing, or the server's word on it. given_up: an earlier call of it had no answer."""
    words = intention_words(row)
    if given_up:
        words |= {"given_up": True}
    if reason:
        words |= {"failure": [FailureClass.REFUSED.value, reason]}
    return RolloutEvent(
        key=row.key,
        kind=kind,
        at=now,
        recorded_at=now,
        digest=f"{kind.value}:{row.id}:{row.command_uuid}",
        server_at=server_at,
        rollout=row.rollout,
        outbox=row.id,
        command_uuid=row.command_uuid,
        evidence=words,
    )


def retried(key: DeviceKey, rollout: int, newest: int, act: int, now: int) -> RolloutEvent:
    """A person's word that the steps up to the outbox row `newest` are no tries any more."""
    return RolloutEvent(
        key=key,
        kind=EventKind.RETRIED,
        at=now,
        recorded_at=now,
        digest=f"{EventKind.RETRIED.value}:{rollout}:{act}",
        rollout=rollout,
        outbox=newest,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The server's word on one call, on its way through the inbox like all evidence."""

    kind: EventKind
    rows: tuple[int, ...]  # outbox ids
    server_at: int = 0
    reasons: Mapping[int, str] = field(default_factory=dict)
    given_up: bool = False  # an earlier call of them had no answer

    def to_bytes(self) -> bytes:
        words = {
            "kind": self.kind, "rows": self.rows, "server_at": self.server_at, "reasons": dict(self.reasons),
            "given_up": self.given_up,
        }  # fmt: skip
        return json.dumps(words, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, body: bytes) -> "Receipt":
        words = json.loads(body)
        reasons = {int(number): text for number, text in words["reasons"].items()}
        return cls(
            kind=EventKind(words["kind"]), rows=tuple(words["rows"]), server_at=words["server_at"], reasons=reasons,
            given_up=words.get("given_up", False),
        )  # fmt: skip


def receipt(
    kind: EventKind, rows: Sequence[OutboxRow], server_at: int, reasons: Mapping[str, str], *, given_up: bool = False
) -> bytes:
    told = {row.id: reasons[row.key.enrollment_id] for row in rows if row.key.enrollment_id in reasons}
    numbers = tuple(row.id for row in rows)
    return Receipt(kind=kind, rows=numbers, server_at=server_at, reasons=told, given_up=given_up).to_bytes()
