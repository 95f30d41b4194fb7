"""The wiring: settings → a Kit whose methods are the flow. The only place where carrying and showing meet."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from osupdate_kit.errors import PlanError, RolloutError, SettingsError
from osupdate_kit.feeds.inventory import InventoryRow, read_list, read_rows
from osupdate_kit.feeds.releases import Feeds, FeedState
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.fleet.selection import Selection, select
from osupdate_kit.kit import holds as _holds
from osupdate_kit.kit import people as _people
from osupdate_kit.kit import status as _status
from osupdate_kit.kit.alerts import notifier, pulse
from osupdate_kit.kit.databases import inventory_row
from osupdate_kit.kit.plans import Draft, ToldOf, again, draft, plan_of
from osupdate_kit.kit.rollouts import Rollout
from osupdate_kit.kit.servers import DeclarationServers, Servers
from osupdate_kit.kit.today import SINCE, Today, today
from osupdate_kit.lab.fleet import shipped
from osupdate_kit.lab.server import SIMULATED
from osupdate_kit.rollout.alerts import Watch
from osupdate_kit.rollout.journey import RolloutStatus
from osupdate_kit.rollout.people import SecondPerson
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import DAY, Cadences
from osupdate_kit.rollout.ports import Clock, CommandServer, DeclarationServer, ServerCheck
from osupdate_kit.rollout.preflight import STALE_DAYS
from osupdate_kit.servers.database import ServerDatabase
from osupdate_kit.service.acts import approvable, check
from osupdate_kit.service.clock import open_clock
from osupdate_kit.service.service import Turns
from osupdate_kit.service.verify import Difference, verify
from osupdate_kit.settings import AlertSettings, Settings
from osupdate_kit.stores.ledger import Ledger, StoredRollout, Transaction
from osupdate_kit.views.status import DeviceStatus, RolloutStatusView, count, iso

if TYPE_CHECKING:
    import pandas as pd

    from osupdate_kit.kit.doctor import Diagnosis
    from osupdate_kit.kit.readiness import Readiness
    from osupdate_kit.kit.why import Why
    from osupdate_kit.views.grid import DeviceGrid
    from osupdate_kit.views.tables import Table
    from osupdate_kit.views.widgets import Confirm, PlanBuilder
    from osupdate_kit.views.widgets import Draft as Shown

__all__ = ["Draft", "Kit", "Rollout", "Sync", "Today"]

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

    def _repr_html_(self) -> str:
        remarks = "".join(f"<li>{escape(remark)}</li>" for remark in self.remarks[:50])
        more = f"<li>and {len(self.remarks) - 50:,} more</li>" if len(self.remarks) > 50 else ""
        head = f"<b>{self.listed:,} devices</b>: {self.new:,} new, {self.known:,} known; {self.asked:,} will be asked."
        return f"<p>{head}</p><ul>{remarks}{more}</ul>" if remarks else f"<p>{head}</p>"


class Kit:
    """Inventory → selection → plan → rollout → status, over one store."""

    def __init__(
        self,
        ledger: Ledger,
        servers: Mapping[str, CommandServer],
        clock: Clock,
        cadences: Cadences,
        *,
        who: str = "",
        watch: Watch | None = None,
        feeds: Feeds | None = None,
        alerts: AlertSettings | None = None,
        rule: SecondPerson | None = None,
        settings: Settings | None = None,
        declarations: Mapping[str, DeclarationServer] = MappingProxyType({}),
    ) -> None:
        """declarations: the servers' own, by the server's name, where they have them."""
        self.declarations = declarations
        self.ledger, self.servers, self.clock, self.cadences = ledger, servers, clock, cadences
        self.who = who or _people.who_acts()
        self._rule = rule
        self.feeds = feeds or Feeds({}, Path(), _shipped_releases)
        self.watch, self._alerts = watch or Watch(), alerts or AlertSettings()
        self._settings = settings

    @classmethod
    def open(cls, settings: Settings, *, migrate: bool = True) -> "Kit":
        """The kit of these settings; the store is made if there is none, and refused if it is an older one."""
        ledger = Ledger.open(settings.store_url, migrate=migrate)
        clock = open_clock(ledger, start_at=settings.clock_start_at, speed=settings.clock_speed)
        servers = Servers(settings.servers)
        feeds = Feeds(
            settings.feeds.urls(),
            settings.feeds_folder,
            _shipped_releases,
            ca_files={"apple": settings.feeds.apple_ca_file},
        )
        return cls(
            ledger,
            servers,
            clock,
            settings.cadences(),
            who=_people.who_acts(settings.person),
            rule=settings.people.rule(),
            watch=settings.watch(),
            alerts=settings.alerts,
            feeds=feeds,
            settings=settings,
            declarations=DeclarationServers(settings.servers),
        )

    def close(self) -> None:
        self.ledger.close()

    def _repr_html_(self) -> str:
        lines = [f"{count(self.count())} devices on {', '.join(self.servers) or 'no server'}"]
        lines += [f"rollout {stored.id}, {name}: {stored.status}" for stored, name in self.rollouts()[-10:]]
        lines += ["a service works" if self.is_served() else "no service works: start one by osupdate-kit serve"]
        return f"<p><b>osupdate-kit</b><br>{'<br>'.join(map(escape, lines))}</p>"

    # --- servers and devices ---

    def check_servers(self) -> list[ServerCheck]:
        return [server.check() for server in self.servers.values()]

    def doctor(self, device: str = "", *, server: str = "", seconds: float = 120) -> "Diagnosis":
        """Every hop from the settings to a device's answer: ok, failed with its remedy, or not looked at.

        device: serial, UDID or enrollment ID of one to wake and ask, by way of the running service.
        """
        from osupdate_kit.kit.doctor import examine

        return examine(self._load, device=device, server=server, seconds=seconds)

    def _load(self) -> Settings:
        if self._settings is None:
            raise SettingsError("This kit was made without settings.", remedy="Use connect() or Kit.open().")
        return self._settings

    def sync(self, source: str, server: str = "", *, ask: bool = True) -> Sync:
        """Take devices from a list or from NanoMDM's database, then ask those of which too little is known."""
        server = server or self._only_server()
        if server not in self.servers:
            raise SettingsError(
                f"There is no server {server!r} in the settings.",
                remedy=f"Servers: {', '.join(self.servers) or 'none'}. Choose one of them.",
            )
        if "://" in source:
            return self._take_database(ServerDatabase(source, server), server, ask=ask)
        return self._take(self._rows(source), server, ask=ask)

    def sync_database(self, server: str = "", *, ask: bool = True) -> Sync:
        """The same from the server's own database, as `database_env` or `database_file` of the settings names it."""
        server = server or self._only_server()
        settings = self._load().servers.get(server)
        if settings is None or not settings.has_database:
            raise SettingsError(
                f"The settings name no database of {server}.",
                remedy=f"Put its URL into a file of mode 0600, and name that by servers.{server}.database_file.",
            )
        return self._take_database(ServerDatabase(settings.database_url(), server), server, ask=ask)

    def _take_database(self, database: ServerDatabase, server: str, *, ask: bool) -> Sync:
        try:
            rows = (inventory_row(one, self.clock) for one in database.enrolled())
            return self._take(_Rows(rows, []), server, ask=ask)
        finally:
            database.close()

    def _only_server(self) -> str:
        if len(self.servers) == 1:
            return next(iter(self.servers))
        raise SettingsError(
            f"The settings name {len(self.servers)} servers.",
            remedy=f"Name one: {', '.join(self.servers)}." if self.servers else "Add [servers.NAME] to the settings.",
        )

    def _rows(self, source: "pd.DataFrame | Path | str") -> "_Rows":
        if isinstance(source, str | Path):
            found = read_list(Path(source))
        else:
            from osupdate_kit.kit.frames import rows_of

            found = read_rows(rows_of(source), "The frame")
        return _Rows(found.rows, [str(remark) for remark in found.remarks])

    def _take(self, found: "_Rows", server: str, *, ask: bool, known_only: bool = False) -> Sync:
        now = self.clock.now()
        remarks = list(found.remarks)
        listed = new = asked = 0
        for chunk in _chunks(found.rows, CHUNK):
            with self.ledger.write() as tx:
                devices = {place: device for place, row in enumerate(chunk) if (device := _device(tx, row, server))}
                known = tx.devices(device.key for device in devices.values())
                if known_only:
                    devices = {place: device for place, device in devices.items() if device.key in known}
                for place, row in enumerate(chunk):
                    if row.row and place not in devices:
                        remarks.append(f"row {row.row}: no device on {server} is {row.serial or row.udid}")
                listed += len(devices)
                new += tx.add_devices(devices.values(), now=now)
                if ask:
                    oldest = now - STALE_DAYS * DAY
                    fresh = {k for k, stored in known.items() if self.clock.from_server(stored.info_at) >= oldest}
                    poor = [d.key for d in devices.values() if d.key not in fresh or _untold(known[d.key].device)]
                    tx.census_add(poor, now=now)
                    asked += len(poor)
        with self.ledger.write() as tx:
            tx.audit(at=now, who=self.who, what="enrich" if known_only else "sync", count=listed, detail=server)
        return Sync(listed=listed, new=new, known=listed - new, asked=asked, remarks=tuple(remarks))

    def enrich(self, source: "pd.DataFrame | Path | str", server: str = "") -> Sync:
        """Take what an operator's list knows of devices: site, ring, owner, time zone, and columns of his own.

        source: a DataFrame, a CSV file or an Excel workbook with a serial or a UDID per row. Rows that match no device
        are remarked, one by one. Nobody is asked anything.
        """
        return self._take(self._rows(source), server or self._only_server(), ask=False, known_only=True)

    def inventory(self) -> list[Device]:
        with self.ledger.read() as tx:
            return list(tx.all_devices())

    def devices(self) -> "pd.DataFrame":
        """The fleet, one row per device (columns: `kit.frames.inventory_frame`)."""
        from osupdate_kit.kit.frames import inventory_frame

        return inventory_frame(self.ledger.url)

    def select(
        self,
        chosen: "pd.DataFrame | str | Iterable[str] | None" = None,
        *,
        where: str = "",
        wanted: Collection[str] = (),
    ) -> Selection:
        """Whom we mean: by a criterion, a list of serials or UDIDs, or the rows of a frame like `devices()`."""
        if isinstance(chosen, str):
            where = chosen
        elif chosen is not None:
            wanted = set(getattr(chosen, "enrollment_id", chosen))
            if not wanted:
                return Selection((), {"not on the list": self.count()})
        return select(self.inventory(), where=where, wanted=wanted)

    def count(self) -> int:
        with self.ledger.read() as tx:
            return tx.count_devices()

    def stale(self, chosen: Selection | Draft, *, days: float = 7) -> list[DeviceKey]:
        """Whose inventory is older than that, or who never told anything of itself; of a draft: who takes its plan."""
        members = [m for m in chosen.members if not m.barrier] if isinstance(chosen, Draft) else chosen.devices
        oldest = self.clock.now() - int(days * DAY)
        with self.ledger.read() as tx:
            known = tx.devices(member.key for member in members)
        return [key for key, stored in known.items() if self.clock.from_server(stored.info_at) < oldest]

    def readiness(self) -> "Readiness":
        """Who could go by declaration, who not and why, and how long commands do for them."""
        from osupdate_kit.kit.readiness import readiness

        return readiness(self)

    # --- the hold list ---

    def hold(
        self,
        chosen: "Selection | pd.DataFrame | str | Iterable[str]",
        *,
        reason: str,
        until: str = "",
        group: str = "",
    ) -> int:
        """Keep devices out of everything that can install, in every rollout; how many.

        chosen: as `select` takes it. until: the last day (UTC), or an ISO moment with its offset; empty: until
        released. group: what kind of device they are, such as vip, exam or kiosk.
        """
        return _holds.hold(self, self._meant(chosen), reason=reason, until=until, group=group)

    def release(self, chosen: "Selection | pd.DataFrame | str | Iterable[str]") -> int:
        """Take devices off the hold list; how many were on it. Their rollouts go on with them in the next turn."""
        return _holds.release(self, self._meant(chosen))

    def holds(self) -> "pd.DataFrame":
        """The hold list as it stands: who, why, by whom, since and until when (UTC)."""
        import pandas as pd

        frame = pd.DataFrame(_holds.held(self), columns=list(_holds.Held._fields))
        for column in ("since", "until"):
            frame[column] = pd.to_datetime(frame[column].where(frame[column] > 0), unit="us", utc=True)
        return frame

    def _meant(self, chosen: "Selection | pd.DataFrame | str | Iterable[str]") -> Selection:
        return chosen if isinstance(chosen, Selection) else self.select(chosen)

    # --- people ---

    def note(self, text: str, *, device: str = "", rollout: int = 0) -> int:
        """Leave a note for others on a device (by serial, UDID or enrollment ID), on a rollout, or on one in the other.

        Its number. It stands in the device's story, in the monitor's and the report's acts, and in the audit log.
        """
        return _people.note(self, text, device=device, rollout=rollout)

    def notes(self, *, device: str = "", rollout: int | None = None) -> "pd.DataFrame":
        """Notes, the newest first: `at` (UTC), `who`, `rollout`, `serial`, `server`, `text`."""
        import pandas as pd

        frame = pd.DataFrame(_people.notes(self, device=device, rollout=rollout), columns=_people.Noted._fields)
        return frame.assign(at=pd.to_datetime(frame["at"], unit="us", utc=True))

    # --- releases ---

    def releases(self) -> "pd.DataFrame":
        """What Apple has published, as the newest catalogue here tells it (see `kit.frames.releases_frame`)."""
        from osupdate_kit.kit.frames import releases_frame

        return releases_frame(self.feeds.catalogue())

    def refresh_feeds(self) -> list[FeedState]:
        """Ask the feeds of the settings for news. What cannot be fetched keeps its last good copy, and says why."""
        return self.feeds.refresh(self.clock.now())

    # --- plans ---

    def plan(self, selection: Selection, **words: Any) -> Draft:
        """A plan with the verdict on each device. words: as `kit.plans.plan_of` reads them, `target=` at least."""
        words = {"declaring_servers": self.declarations, **words}
        return self.draft(selection, plan_of(author=self.who, now=self.clock.now(), **words))

    def draft(self, selection: Selection, plan: RolloutPlan) -> Draft:
        now = self.clock.now()
        with self.ledger.read() as tx:
            held, catalogue = tx.all_holds(now), self.feeds.catalogue()
            return draft(selection, plan, held=held, catalogue=catalogue, told_of=self._told_of(tx), now=now)

    def _told_of(self, tx: Transaction) -> ToldOf:
        """What devices have told of themselves, by our clock: of rows of a frame, too, which hold nothing of it."""
        known = tx.told
        return lambda keys: {
            key: (told, self.clock.from_server(at) if at else 0) for key, (told, at) in known(keys).items()
        }

    def now(self) -> int:
        return self.clock.now()

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
        """The saved plan and its membership, as they were frozen; what preflight finds on them is of now."""
        now = self.clock.now()
        with self.ledger.read() as tx:
            stored = tx.plan(_sha256(yaml))
            if stored is None:
                raise _not_ours()
            members, held = tuple(tx.members(stored.id)), tx.all_holds(now)
            plan = RolloutPlan.from_yaml(stored.yaml)
            findings = again(plan, members, self.feeds.catalogue(), self._told_of(tx), now)
        waiting = sum(member.key in held for member in members if not member.barrier)
        return Draft(plan, members, held=waiting, findings=findings)

    # --- rollouts ---

    def start(self, plan: Draft | str) -> Rollout:
        """Begin the rollout of a draft, or of a saved plan's YAML. Who confirmed it stands in the audit log.

        Where the service's rule wants a second person for so many devices, nothing is sent until that one approves.
        """
        yaml = self.save(plan) if isinstance(plan, Draft) else plan
        policy = RolloutPlan.from_yaml(yaml)
        now = self.clock.now()
        if policy.deadline_at <= now:
            raise PlanError(f"The deadline {iso(policy.deadline_at)} has passed.", remedy="Plan anew with a later one.")
        with self.ledger.write() as tx:
            stored = tx.plan(_sha256(yaml))
            if stored is None:
                raise _not_ours()
            _check_members(tx, stored.id)
            waves = [(wave.name, wave.pace) for wave in policy.waves] if policy.admits else []
            number = tx.start_rollout(stored.id, now=now, deadline_at=policy.deadline_at, by=self.who, waves=waves)
            tx.audit(at=now, who=self.who, what="start", rollout=number, count=policy.members, detail=policy.name)
            tx.ask_approval(number, stored.id, by=self.who, at=now)
        return Rollout(self, number)

    def issue(self, draft: "Shown") -> int:
        """What the confirmation widget calls: begin, and give the number."""
        assert isinstance(draft, Draft), draft
        return self.start(draft).id

    def needs_another(self, devices: int) -> bool:
        """Does a rollout that so many devices take wait for a second person?"""
        return _people.second_person(self).wanted(devices)

    def rehearse(self, draft: Draft) -> Rollout:
        """In the lab, where no device is real, begin at once unless a rollout runs there; elsewhere begin nothing.

        The newest rollout. A plan for real devices is begun by a person, in `confirm`. Raises RolloutError if there is
        no rollout.
        """
        running = any(stored.status is RolloutStatus.RUNNING for stored, _ in self.rollouts())
        return self.rollout() if running or not self.is_lab() else self.start(draft)

    def is_lab(self) -> bool:
        """Does every server say of itself that its devices are simulated?"""
        return bool(self.servers) and all(SIMULATED in server.version for server in self.check_servers())

    def rollout(self, number: int | None = None) -> Rollout:
        """The rollout of that number, or the newest. Raises RolloutError if there is none."""
        with self.ledger.read() as tx:
            if number is None:
                number = max((stored.id for stored in tx.rollouts()), default=None)
            if number is None:
                raise RolloutError("No rollout has begun yet.", remedy="Plan one, and confirm it.")
            _status.rollout_and_plan(tx, number)
        return Rollout(self, number)

    def act(self, what: str, rollout: int, *, detail: str = "") -> int:
        """Ask the service for pause, resume, halt, cancel, approve, …; refused at once where it is not allowed.

        The act's number: `outcome` tells what became of it.
        """
        with self.ledger.write() as tx:
            stored = check(tx, what, rollout)
            if what == "approve":
                approvable(tx, stored, self.who)
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
        return Rollout(self, rollout).status(keep=keep)

    def today(self, since: str = SINCE) -> Today:
        """What came to an end since (`24h`, `7d`, `2026-11-24`), and what needs a person now, over all rollouts."""
        return today(self, since)

    def why(self, wanted: str) -> "Why":
        """The story of one device, by serial, UDID or enrollment ID, across rollouts and servers."""
        from osupdate_kit.kit.why import why

        return why(self, wanted)

    # --- widgets ---

    def grid(self, frame: "pd.DataFrame | None" = None, *, name: str = "fleet", **words: Any) -> "DeviceGrid":
        """The fleet, or these rows of it, in a grid; its state column is live. words: as `DeviceGrid` takes them."""
        from osupdate_kit.kit.notebook import fleet_grid

        return fleet_grid(self, self.devices() if frame is None else frame, name=name, **words)

    def plan_builder(self, chosen: "DeviceGrid | Selection", **words: Any) -> "PlanBuilder":
        """A form that plans for a selection, or for what a grid selects, now and later."""
        from osupdate_kit.kit.notebook import plan_builder

        return plan_builder(self, chosen, **words)

    def confirm(self, planned: "PlanBuilder | Draft", *, grid: "DeviceGrid | None" = None) -> "Confirm":
        """What a person clicks to begin a rollout; it says what the grid's filter hides and whose inventory is old."""
        from osupdate_kit.kit.notebook import confirm

        return confirm(self, planned, grid)

    def table(self, frame: "pd.DataFrame") -> "Table":
        """The frame as people read it: whole texts, all of them escaped."""
        from osupdate_kit.views.tables import Table

        return Table(frame)

    # --- service ---

    def is_served(self) -> bool:
        """Does a service work on this store now?"""
        with self.ledger.service_lock() as free:
            return not free

    def turns(self, *, limit: int = 1000) -> Turns:
        """All that a service does; the settings' rule on second persons is the store's from here on.

        Raises SettingsError where nobody could be told of alerts, though somebody is to.
        """
        if self._rule is not None:
            _people.keep_rule(self, self._rule)
        return Turns.over(
            self.ledger,
            list(self.servers.values()),
            self.clock,
            self.cadences,
            limit=limit,
            watch=self.watch,
            notifier=notifier(self._alerts),
            pulse=pulse(self._alerts),
            declarations=self.declarations,
        )

    def verify(self) -> list[Difference]:
        """Replay all events and compare (I7); empty is clean."""
        return list(verify(self.ledger))


@dataclass(frozen=True, slots=True)
class _Rows:
    rows: Iterable[InventoryRow]
    remarks: Sequence[str]


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


def _untold(device: Device) -> bool:
    """Has a Mac said nothing of its bootstrap token?"""
    return device.told.get("IsAppleSilicon") is True and "SecurityInfoAt" not in device.told


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


def _shipped_releases() -> bytes:
    return (shipped("data") / "releases" / "catalogue.json").read_bytes()


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
