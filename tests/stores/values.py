"""Devices, events and rows as the tests need them."""

from typing import Any

from msgspec.structs import replace

from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.events import EventKind, RolloutEvent
from osupdate_kit.rollout.journey import Instrument, Member, OutboxKind, OutboxRow
from osupdate_kit.stores.ledger import InboxRow, Ledger

DAY = 86_400_000_000
NOW = 1_795_000_000_000_000


def key(number: int | str, server: str = "mdm") -> DeviceKey:
    return DeviceKey(server, f"{number:08}" if isinstance(number, int) else number)


def device(number: int | str, server: str = "mdm", **words: Any) -> Device:
    known = Device(
        key=key(number, server),
        udid=f"udid-{number}",
        serial=f"serial-{number}",
        name="iPad of the lobby",
        platform=Platform.IPADOS,
        model="iPad13,1",
        os_version=OSVersion.parse("18.6"),
        supervised=True,
        site="North",
    )
    return replace(known, **words)


def member(number: int | str, server: str = "mdm", **words: Any) -> Member:
    known = Member(
        key=key(number, server),
        udid=f"udid-{number}",
        serial=f"serial-{number}",
        platform="iPadOS",
        os_version="18.6",
        time_zone="Europe/Berlin",
        site="North",
        ring="pilot",
        wave="all",
        instrument=Instrument.COMMAND,
    )
    return replace(known, **words)


def event(number: int | str, digest: str = "d", at: int = NOW, **words: Any) -> RolloutEvent:
    known = RolloutEvent(key=key(number), kind=EventKind.IDLE, at=at, recorded_at=at + 1, digest=digest)
    return replace(known, **words)


def step(number: int | str, rollout: int = 1, **words: Any) -> OutboxRow:
    known = OutboxRow(
        key=key(number), rollout=rollout, kind=OutboxKind.STEP, request_type="ScheduleOSUpdate", role=1,
        command='{"RequestType":"ScheduleOSUpdate"}', created_at=NOW, not_before=NOW,
    )  # fmt: skip
    return replace(known, **words)


def inbox_row(text: str, *, server: str = "mdm", kind: str = "webhook", at: int = NOW) -> InboxRow:
    return InboxRow(server=server, kind=kind, received_at=at, body=text.encode())


def begin(ledger: Ledger, *members: Member, name: str = "plan", now: int = NOW) -> int:
    """A rollout with these members."""
    with ledger.write() as tx:
        plan = tx.save_plan(name=name, yaml=f"name: {name}", sha256=name, author="ada", created_at=now, members=members)
        return tx.start_rollout(plan, now=now, deadline_at=now + DAY, by="ada")
