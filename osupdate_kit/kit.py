"""The wiring: settings → a Kit whose methods are the flow. The only place where carrying and showing meet."""

import getpass
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from osupdate_kit.errors import PlanError, RolloutError, SettingsError
from osupdate_kit.feeds.inventory import InventoryRow, read_list, read_nanomdm_database
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.fleet.selection import Selection, select
from osupdate_kit.protocol.results import REMEDIES
from osupdate_kit.rollout.eligibility import WORDS, Barrier, Judge
from osupdate_kit.rollout.journey import Armed, Instrument, Member
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import Cadences, Gate
from osupdate_kit.rollout.ports import Clock, CommandServer, ServerCheck
from osupdate_kit.rollout.shown import Moment, Shown, shown
from osupdate_kit.rollout.state import ATTENTION, ENDS, State
from osupdate_kit.servers.nanomdm import NanoMDM
from osupdate_kit.service.acts import check
from osupdate_kit.service.clock import open_clock
from osupdate_kit.service.loop import gate_of
from osupdate_kit.service.service import Turns
from osupdate_kit.service.verify import Difference, verify
from osupdate_kit.service.words import REFUSED
from osupdate_kit.settings import ServerSettings, Settings
from osupdate_kit.stores.ledger import Ledger, StoredJourney, StoredRollout, Transaction
from osupdate_kit.views.status import DeviceStatus, RolloutStatusView, iso, moment, summary

CHUNK = 5_000
_REMEDIES = {kind.value: text for kind, text in REMEDIES.items()} | {
    REFUSED: "Read what the server said; then check that the device is still enrolled there."
}
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """What a list of devices changed."""

    listed: int
    new: int
    known: int
    asked: int  # woken and asked for their version, at a bounded rate
    remarks: tuple[str, ...]  # rows that could not be used, and why


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan with the verdict on each device, before anything is stored."""

    plan: RolloutPlan
    members: tuple[Member, ...]
    unmatched: tuple[str, ...]

    @property
    def by_command(self) -> int:
        return sum(member.instrument is Instrument.COMMAND for member in self.members)

    @property
    def excluded(self) -> dict[str, int]:
        """Barred devices by their first reason, in words; most frequent first."""
        barred = Counter(member.barrier for member in self.members if member.barrier)
        return {WORDS[Barrier(barrier)][0]: count for barrier, count in barred.most_common()}


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
        servers = {name: _server(name, server) for name, server in settings.servers.items()}
        return cls(ledger, servers, clock, settings.cadences())

    def close(self) -> None:
        self.ledger.close()

    # --- servers and devices ---

    def check_servers(self) -> list[ServerCheck]:
        return [server.check() for server in self.servers.values() if isinstance(server, NanoMDM)]

    def sync(self, source: str, server: str, *, ask: bool = True) -> Sync:
        """Take devices from a list or from NanoMDM's database, then ask those of which too little is known."""
        if server not in self.servers:
            raise SettingsError(
                f"There is no server {server!r} in the settings.",
                remedy=f"Servers: {', '.join(self.servers) or 'none'}. Choose one with --server.",
            )
        remarks: tuple[str, ...] = ()
        rows: Iterable[InventoryRow]
        if "://" in source:
            rows = read_nanomdm_database(source, server)
        else:
            found = read_list(Path(source))
            rows, remarks = found.rows, tuple(str(remark) for remark in found.remarks)
        now = self.clock.now()
        listed = new = asked = 0
        for chunk in _chunks(rows, CHUNK):
            with self.ledger.write() as tx:
                devices = [d for row in chunk if (d := self._device(tx, row, server))]
                listed += len(chunk)
                new += tx.add_devices(devices, now=now)
                if ask:
                    known = tx.devices(device.key for device in devices)
                    poor = [key for key, stored in known.items() if not stored.info_at]
                    tx.census_add(poor, now=now)
                    asked += len(poor)
        with self.ledger.write() as tx:
            tx.audit(at=now, who=self.who, what="sync", count=listed, detail=server)
        return Sync(listed=listed, new=new, known=listed - new, asked=asked, remarks=remarks)

    def _device(self, tx: Transaction, row: InventoryRow, server: str) -> Device | None:
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
            supervised=row.supervised,
            site=row.site,
            ring=row.ring,
            time_zone=row.time_zone,
            attributes=dict(row.attributes),
        )

    def devices(self) -> list[Device]:
        with self.ledger.read() as tx:
            return list(tx.all_devices())

    def select(self, *, where: str = "", wanted: Collection[str] = ()) -> Selection:
        return select(self.devices(), where=where, wanted=wanted)

    # --- plans ---

    def draft(self, selection: Selection, plan: RolloutPlan) -> Draft:
        """The verdict on each selected device: by command, or everything that bars it."""
        judge = Judge(plan)
        members = []
        for device in selection.devices:
            verdict = judge.verdict(device)
            members.append(
                Member(
                    key=device.key,
                    udid=device.udid,
                    serial=device.serial,
                    platform=device.platform.value if device.platform else "",
                    os_version=str(device.os_version or ""),
                    time_zone=device.time_zone or plan.time_zone,
                    site=device.site,
                    ring=device.ring,
                    wave=plan.waves[0].name,
                    instrument=verdict.instrument,
                    barrier=verdict.barriers[0] if verdict.barriers else "",
                    reason=verdict.reason,
                )
            )
        members.sort(key=lambda member: member.key)
        counted = replace(plan, members=len(members), members_sha256=_digest(members))
        return Draft(counted, tuple(members), selection.unmatched)

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
                raise PlanError(
                    "This plan is not in the store, or was changed after it was made.",
                    remedy="Make it by `osupdate-kit plan create` on this store; its membership is kept there.",
                )
            self._check_members(tx, stored.id)
            rollout = tx.start_rollout(stored.id, now=now, deadline_at=plan.deadline_at, by=self.who)
            tx.audit(at=now, who=self.who, what="start", rollout=rollout, count=plan.members, detail=plan.name)
        return rollout

    def _check_members(self, tx: Transaction, plan_id: int) -> None:
        """A device may have left since the plan was made."""
        for chunk in _chunks(tx.members(plan_id), CHUNK):
            known = tx.devices(member.key for member in chunk)
            gone = [m for m in chunk if not m.barrier and (m.key not in known or not known[m.key].device.enrolled)]
            if gone:
                raise RolloutError(
                    f"{len(gone)} planned devices are gone, {gone[0].serial or gone[0].key} among them.",
                    remedy="Plan anew: the new plan bars them with that reason.",
                )

    def act(self, what: str, rollout: int, *, detail: str = "") -> None:
        """Ask the service for pause, resume, halt, cancel or abandon; refused at once where it is not allowed."""
        with self.ledger.write() as tx:
            check(tx, what, rollout)
            tx.add_act(at=self.clock.now(), who=self.who, what=what, rollout=rollout, detail=detail)

    def rollouts(self) -> list[tuple[StoredRollout, str]]:
        with self.ledger.read() as tx:
            plans = {rollout.plan_id: tx.plan_of(rollout.plan_id) for rollout in tx.rollouts()}
            return [(r, plan.name if (plan := plans[r.plan_id]) else "") for r in tx.rollouts()]

    def status(self, rollout: int, *, keep: Callable[[DeviceStatus], bool] = lambda device: True) -> RolloutStatusView:
        """Everything about a rollout as of now. `keep`: which devices to list; all are counted."""
        with self.ledger.read() as tx:
            stored = tx.rollout(rollout)
            if stored is None:
                raise RolloutError(f"There is no rollout {rollout}.", remedy="`osupdate-kit rollout list` shows them.")
            kept = tx.plan_of(stored.plan_id)
            assert kept is not None, stored
            plan = RolloutPlan.from_yaml(kept.yaml)
            now = self.clock.now()
            listed: list[DeviceStatus] = []
            excluded: Counter[str] = Counter()
            held = tx.all_holds(now)

            def rows() -> Iterator[DeviceStatus]:
                for journey, seen_at in tx.journeys(rollout):
                    row = self._row(journey, seen_at, stored, plan, now, journey.journey.key in held)
                    if journey.barrier:
                        excluded[WORDS[Barrier(journey.barrier)][0]] += 1
                    if keep(row):
                        listed.append(row)
                    yield row

            states, failures, armed, total = summary(rows())
        return RolloutStatusView(
            rollout=rollout,
            name=plan.name,
            status=stored.status,
            reason=stored.reason,
            as_of=moment(now),
            target=str(plan.target),
            deadline_at=moment(stored.deadline_at),
            selected=total,
            excluded=dict(excluded.most_common()),
            states=dict(states.most_common()),
            failures=dict(failures.most_common()),
            armed=tuple(armed),
            devices=tuple(listed),
        )

    def _row(
        self, stored: StoredJourney, seen_at: int, rollout: StoredRollout, plan: RolloutPlan, now: int, held: bool
    ) -> DeviceStatus:
        journey = stored.journey
        gate = Gate() if stored.barred else gate_of(rollout, plan, stored, now, held=held)
        facts = Moment(now, rollout.status, rollout.started_at, rollout.deadline_at, gate, seen_at)
        state, why = Shown(State.BARRED, stored.reason) if stored.barred else shown(journey, facts, self.cadences)
        failed = journey.failure if state in ("failed", "expired") else ""
        remedy = _REMEDIES.get(failed, "")
        return DeviceStatus(
            udid=stored.udid,
            serial=stored.serial,
            server=journey.key.server,
            platform=stored.platform,
            state=state,
            flags=_flags(journey.armed, journey.regressed, presumed=state == "deferred" and not journey.deferrals_used),
            instrument=stored.instrument,
            os_version_at_start=stored.os_version_start,
            os_version_reported=journey.os_version,
            action_asked=journey.action_asked,
            action_returned=journey.action_returned,
            deferrals_used=journey.deferrals_used,
            deferrals_remaining=journey.deferrals_remaining,
            failure_class=journey.failure,
            reason=" ".join(part for part in (why, journey.failure_text if failed else "") if part),
            remedy=remedy,
            commands_sent=journey.commands_sent,
            updated_at=iso(journey.updated_at) if journey.updated_at else None,
        )

    def finished(self, rollout: int) -> bool:
        """Has every device reached an end or needs a person?"""
        states = self.status(rollout, keep=lambda device: False).states
        return all(state in ENDS or state in ATTENTION for state in states)

    # --- service ---

    def turns(self, *, limit: int = 1000) -> Turns:
        return Turns.over(self.ledger, list(self.servers.values()), self.clock, self.cadences, limit=limit)

    def verify(self) -> list[Difference]:
        """Replay all events and compare (I7); empty is clean."""
        return list(verify(self.ledger))


def _flags(armed: Armed, regressed: bool, *, presumed: bool) -> tuple[str, ...]:
    flags = ((f"armed {armed}", armed is not Armed.NO), ("regressed", regressed), ("presumed", presumed))
    return tuple(flag for flag, flies in flags if flies)


def _server(name: str, settings: ServerSettings) -> CommandServer:
    return NanoMDM(
        name,
        settings.url,
        settings.api_key(),
        batch_ids=settings.batch_ids,
        forgets_answered=settings.forgets_answered,
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown user"


def _digest(members: Iterable[Member]) -> str:
    digest = hashlib.sha256()
    for m in members:
        digest.update(f"{m.key.server}\t{m.key.enrollment_id}\t{m.instrument}\t{m.barrier}\n".encode())
    return digest.hexdigest()


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
