"""The wiring: settings → a Kit whose methods are the flow. The only place where carrying and showing meet."""

import getpass
import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from osupdate_kit.errors import PlanError, RolloutError, SettingsError
from osupdate_kit.feeds.inventory import InventoryRow, read_list, read_nanomdm_database
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.fleet.selection import Selection, select
from osupdate_kit.kit import status as _status
from osupdate_kit.kit.plans import Draft, draft
from osupdate_kit.kit.servers import Servers
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import Cadences
from osupdate_kit.rollout.ports import Clock, CommandServer, ServerCheck
from osupdate_kit.rollout.state import ATTENTION, ENDS
from osupdate_kit.service.acts import check
from osupdate_kit.service.clock import open_clock
from osupdate_kit.service.service import Turns
from osupdate_kit.service.verify import Difference, verify
from osupdate_kit.settings import Settings
from osupdate_kit.stores.ledger import Ledger, StoredRollout, Transaction
from osupdate_kit.views.status import DeviceStatus, RolloutStatusView, iso

__all__ = ["Draft", "Kit", "Sync"]

CHUNK = 5_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """What a list of devices changed."""

    listed: int
    new: int
    known: int
    asked: int  # woken and asked for their version, at a bounded rate
    remarks: tuple[str, ...]  # rows that could not be used, and why


class Kit:
    """Inventory → selection → plan → rollout → status, over one store."""

    def __init__(
        self, ledger: Ledger, servers: Mapping[str, CommandServer], clock: Clock, cadences: Cadences, *, who: str = ""
    ) -> None:
        self.ledger, self.servers, self.clock, self.cadences = ledger, servers, clock, cadences
        self.who = who or _user()

    @classmethod
    def open(cls, settings: Settings, *, migrate: bool = True) -> "Kit":
        """The kit of these settings; the store is brought up to date first."""
        ledger = Ledger.open(settings.store_url, migrate=migrate)
        clock = open_clock(ledger, start_at=settings.clock_start_at, speed=settings.clock_speed)
        return cls(ledger, Servers(settings.servers), clock, settings.cadences())

    def close(self) -> None:
        self.ledger.close()

    # --- servers and devices ---

    def check_servers(self) -> list[ServerCheck]:
        return [server.check() for server in self.servers.values()]

    def sync(self, source: str, server: str, *, ask: bool = True) -> Sync:
        """Take devices from a list or from NanoMDM's database, then ask those of which too little is known."""
        if server not in self.servers:
            raise SettingsError(
                f"There is no server {server!r} in the settings.",
                remedy=f"Servers: {', '.join(self.servers) or 'none'}. Choose one with --server.",
            )
        remarks: list[str] = []
        rows: Iterable[InventoryRow]
        if "://" in source:
            rows = read_nanomdm_database(source, server)
        else:
            found = read_list(Path(source))
            rows, remarks = found.rows, [str(remark) for remark in found.remarks]
        now = self.clock.now()
        listed = new = asked = 0
        for chunk in _chunks(rows, CHUNK):
            with self.ledger.write() as tx:
                devices = []
                for row in chunk:
                    if device := _device(tx, row, server):
                        devices.append(device)
                    else:
                        remarks.append(f"row {row.row}: no device has the serial {row.serial}; give its UDID, too")
                listed += len(devices)
                new += tx.add_devices(devices, now=now)
                if ask:
                    known = tx.devices(device.key for device in devices)
                    poor = [key for key, stored in known.items() if not stored.info_at]
                    tx.census_add(poor, now=now)
                    asked += len(poor)
        with self.ledger.write() as tx:
            tx.audit(at=now, who=self.who, what="sync", count=listed, detail=server)
        return Sync(listed=listed, new=new, known=listed - new, asked=asked, remarks=tuple(remarks))

    def devices(self) -> list[Device]:
        with self.ledger.read() as tx:
            return list(tx.all_devices())

    def select(self, *, where: str = "", wanted: Collection[str] = ()) -> Selection:
        return select(self.devices(), where=where, wanted=wanted)

    # --- plans ---

    def draft(self, selection: Selection, plan: RolloutPlan) -> Draft:
        return draft(selection, plan)

    def save(self, draft: Draft) -> str:
        """Keep plan and membership in the store; the YAML that names them."""
        if not draft.members:
            raise PlanError("Nothing is selected.", remedy="Widen --where, or check the serials of the list.")
        yaml = draft.plan.to_yaml()
        with self.ledger.write() as tx:
            tx.save_plan(
                name=draft.plan.name,
                yaml=yaml,
                sha256=_sha256(yaml),
                author=draft.plan.author,
                created_at=draft.plan.created_at,
                members=draft.members,
            )
            tx.audit(at=self.clock.now(), who=self.who, what="plan", count=len(draft.members), detail=draft.plan.name)
        return yaml

    def preview(self, yaml: str) -> Draft:
        """The saved plan and its membership, as they were frozen."""
        with self.ledger.read() as tx:
            stored = tx.plan(_sha256(yaml))
            if stored is None:
                raise _not_ours()
            return Draft(RolloutPlan.from_yaml(stored.yaml), tuple(tx.members(stored.id)))

    # --- rollouts ---

    def start(self, yaml: str) -> int:
        """Begin the rollout of a saved plan. Who confirmed it stands in the audit log."""
        plan = RolloutPlan.from_yaml(yaml)
        now = self.clock.now()
        if plan.deadline_at <= now:
            raise PlanError(f"The deadline {iso(plan.deadline_at)} has passed.", remedy="Plan anew with a later one.")
        with self.ledger.write() as tx:
            stored = tx.plan(_sha256(yaml))
            if stored is None:
                raise _not_ours()
            _check_members(tx, stored.id)
            rollout = tx.start_rollout(stored.id, now=now, deadline_at=plan.deadline_at, by=self.who)
            tx.audit(at=now, who=self.who, what="start", rollout=rollout, count=plan.members, detail=plan.name)
        return rollout

    def act(self, what: str, rollout: int, *, detail: str = "") -> int:
        """Ask the service for pause, resume, halt, cancel or abandon; refused at once where it is not allowed.

        The act's number: `outcome` tells what became of it.
        """
        with self.ledger.write() as tx:
            check(tx, what, rollout)
            return tx.add_act(at=self.clock.now(), who=self.who, what=what, rollout=rollout, detail=detail)

    def outcome(self, act: int) -> str | None:
        """What became of an act; None while the service has not picked it up."""
        with self.ledger.read() as tx:
            return tx.act_outcome(act)

    def rollouts(self) -> list[tuple[StoredRollout, str]]:
        """Each rollout with its plan's name, oldest first."""
        with self.ledger.read() as tx:
            stored = tx.rollouts()
            names = {plan_id: plan.name for plan_id in {r.plan_id for r in stored} if (plan := tx.plan_of(plan_id))}
            return [(rollout, names.get(rollout.plan_id, "")) for rollout in stored]

    def status(self, rollout: int, *, keep: Callable[[DeviceStatus], bool] = lambda device: True) -> RolloutStatusView:
        """Everything about a rollout as of now. `keep`: which devices to list; all are counted."""
        with self.ledger.read() as tx:
            return _status.status(tx, rollout, self.clock.now(), self.cadences, keep=keep)

    def finished(self, rollout: int) -> bool:
        """Has every device reached an end or needs a person?"""
        states = self.status(rollout, keep=lambda device: False).states
        return all(state in ENDS or state in ATTENTION for state in states)

    # --- service ---

    def is_served(self) -> bool:
        """Does a service work on this store now?"""
        with self.ledger.service_lock() as free:
            return not free

    def turns(self, *, limit: int = 1000) -> Turns:
        return Turns.over(self.ledger, list(self.servers.values()), self.clock, self.cadences, limit=limit)

    def verify(self) -> list[Difference]:
        """Replay all events and compare (I7); empty is clean."""
        return list(verify(self.ledger))


def _device(tx: Transaction, row: InventoryRow, server: str) -> Device | None:
    """The device a row means: by enrollment ID or UDID, or by its serial if the store knows it."""
    enrollment_id = row.enrollment_id or row.udid
    if not enrollment_id:
        key = tx.key_of_serial(server, row.serial)
        if key is None:
            return None
        enrollment_id = key.enrollment_id
    return Device(
        key=DeviceKey(server, enrollment_id),
        udid=row.udid or enrollment_id,
        serial=row.serial,
        name=row.name,
        platform=row.platform,
        model=row.model,
        os_version=row.os_version,
        build_version=row.build_version,
        supervised=row.supervised,
        enrollment_type=row.enrollment_type,
        site=row.site,
        ring=row.ring,
        time_zone=row.time_zone,
        last_seen_at=row.last_seen_at,
        attributes=dict(row.attributes),
    )


def _check_members(tx: Transaction, plan_id: int) -> None:
    """A device may have left since the plan was made."""
    for chunk in _chunks(tx.members(plan_id), CHUNK):
        known = tx.devices(member.key for member in chunk)
        gone = [m for m in chunk if not m.barrier and (m.key not in known or not known[m.key].device.enrolled)]
        if gone:
            raise RolloutError(
                f"{len(gone)} planned devices are gone, {gone[0].serial or gone[0].key} among them.",
                remedy="Plan anew: the new plan bars them with that reason.",
            )


def _not_ours() -> PlanError:
    return PlanError(
        "This plan is not in the store, or was changed after it was made.",
        remedy="Make it by `osupdate-kit plan create` on this store; its membership is kept there.",
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown user"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _chunks(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    chunk: list[T] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
