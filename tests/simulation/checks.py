"""What must always be true (design: Invariants), judged by the truth log, the wire and the store's rows.

The engine's own predicates are not asked: windows and open steps are worked out anew from facts of the lab.
"""

import json
import plistlib
from base64 import b64decode
from collections import Counter, defaultdict
from datetime import UTC, datetime, time, timedelta
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from osupdate_kit.lab.clock import DAY, HOUR, SECOND
from osupdate_kit.lab.habits import Presence
from osupdate_kit.lab.truth import Entry, SecondInstall, What, can_install, command_words
from osupdate_kit.protocol.rules import command_available
from osupdate_kit.protocol.terms import RequestType
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout import assignments as assigned
from osupdate_kit.rollout.enforcement import enforcement_id
from osupdate_kit.rollout.events import EventKind
from osupdate_kit.rollout.history import stored_state
from osupdate_kit.rollout.state import Facts, fold
from osupdate_kit.servers.transport import Call
from osupdate_kit.service.loop import TAIL
from osupdate_kit.service.record import Plans
from osupdate_kit.service.verify import verify
from tests.simulation.scenario import ITEM, TARGET

SERVER = "lab"  # at which all devices begin
FOREVER = 2**62

if TYPE_CHECKING:
    from tests.simulation.run import Simulation

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OFTEN, _SELDOM = 40, 10  # busy turns between two looks at all sums; of these, one in so many is by the kit's status


class Broken(AssertionError):
    """A promise that was not kept."""

    def __init__(self, invariant: str, words: str) -> None:
        super().__init__(f"{invariant}: {words}")
        self.invariant = invariant


class Checks:
    """Watches one simulation."""

    def __init__(self, simulation: "Simulation") -> None:
        self._of = simulation
        self._specs = {spec.udid: spec for spec in simulation.story.specs}
        self.resurrected: set[str] = set()  # commands that a server's backup has brought back
        self.belated: set[str] = set()  # commands that the server saw after the kit had given their call up
        self.late_sets: set[tuple[str, str]] = set()  # device, and set of declarations of which the same is true
        self._own: set[str] = set()  # UUIDs of ours that were on the wire
        self._steps: dict[str, str] = {}  # those that can install, and how the truth log names them
        self._rows, self._value = simulation.store.rows, simulation.store.value
        self._waits: list[dict[str, Any]] = []  # acknowledged events whose effect is not looked up yet
        self._members: dict[int, set[str]] = {}
        self._done: set[tuple[int, str, str]] = set()
        self._judged: set[SecondInstall] = set()
        self._admitted: set[tuple[Any, ...]] = set()
        self._looked_at = 0  # entries of the truth log that I1 was judged by
        self._turns = 0
        self._reports: dict[tuple[str, str, str], set[str]] = defaultdict(set)  # server, device, UUID: distinct answers
        self.shown: Counter[str] = Counter()

    def started(self, rollout: int, udids: list[str]) -> None:
        self._members[rollout] = set(udids)

    # --- the wire ---

    def call(self, server: str, call: Call) -> None:
        """Just before a call of ours leaves for a server: I2, I4, and who is woken."""
        verb, _, ids = call.path.removeprefix("/v1/").partition("/")
        udids = [unquote(one) for one in ids.split(",")]
        wakes = not call.query.get("nopush")
        if self._of.mortal.open:
            raise Broken("I4", "a call leaves within a transaction: a crash would forget it")
        if len(set(udids)) < len(udids):
            raise Broken("I4", f"an id twice in one call: {udids}")
        if verb == "enqueue":
            self._enqueue(server, plistlib.loads(call.body), udids)
        if wakes:
            for udid in udids:
                self._wakes(server, udid)

    def came_late(self, call: Call) -> None:
        """The server has seen a call that the kit had given up; what a person has declared dead may come so, too."""
        noun, _, udid = call.path.removeprefix("/v1/").partition("/")
        if noun == "enqueue":
            self.belated.add(plistlib.loads(call.body)["CommandUUID"])
        elif noun == "enrollment-sets":
            self.late_sets.add((unquote(udid), call.query["set"]))

    def declared(self, server: str, call: Call) -> None:
        """The same of a call to the server of declarations beside it."""
        noun, _, udid = call.path.removeprefix("/v1/").partition("/")
        if self._of.mortal.open:
            raise Broken("I4", "a call leaves within a transaction: a crash would forget it")
        if noun != "enrollment-sets" or call.method == "GET":
            return
        udid, name = unquote(udid), call.query["set"]
        gives = call.method == "PUT"
        sql = (
            "SELECT rollout FROM outbox WHERE server = :server AND enrollment_id = :udid AND kind = 'assignment' "
            "AND status = 'sending' AND command LIKE :name"
        )
        sql += " AND role = 1" if gives else ' AND (role = 2 OR command LIKE \'%"Besides":["%\')'
        rows = self._rows(sql, server=server, udid=udid, name=f'%"{name}"%')
        if not rows:
            raise Broken("I4", f"{call.method} of set {name} for {udid} is on the wire and not in the store")
        if gives:
            self._may_be_declared(server, udid, rows[-1][0], f"set {name} is given to {udid} of rollout {rows[-1][0]}")

    def _may_be_declared(self, server: str, udid: str, rollout: int, told: str) -> None:
        now = self._of.clock.now()
        status, deadline_at = self._rows("SELECT status, deadline_at FROM rollouts WHERE id = :r", r=rollout)[0]
        if status != "running" or now >= deadline_at or udid in self._of.held:
            raise Broken("I2", f"{told}: {status}, {'held' if udid in self._of.held else 'or past its deadline'}")
        self._may_begin(server, udid, rollout, told)
        if not self.opened_at(udid):
            raise Broken("I2", f"{told} outside the device's window")
        if (rollout, server, udid) in self._done:
            raise Broken("I2", f"{told}, which is done")
        told_of = self._of.truth.of(udid, What.ANSWERED)
        ended = {e.command_uuid for e in told_of if e.detail != "NotNow"} | self.resurrected | self._abandoned()
        open_ones = [u for u in self._of.servers[server].open_uuids(udid) if u in self._steps and u not in ended]
        if open_ones:
            raise Broken("I1", f"{told}, and {open_ones} can install")

    def _no_fights(self) -> None:
        """Never a command of ours and a declaration at once, by the truth log."""
        if not self._of.story.declares:
            return
        dead = self._abandoned() | self.resurrected
        late = {(udid, enforcement_id(name)) for udid, name in self.late_sets}
        for fight in self._of.truth.fights(self._own - dead):
            if (fight.udid, fight.declaration) not in late and not self._beyond_knowing(
                fight.udid, fight.command_uuid, fight.at
            ):
                raise Broken("I1", f"{fight.udid} goes by {fight.command_uuid} and by {fight.declaration} at once")

    def _taken_back(self) -> None:
        """At the end the server gives each device what the kit knows of, and only where it is wanted still."""
        for name, server in self._of.servers.items():
            beside = server.declarations
            for spec in self._of.story.specs if beside else ():
                given = set(beside._assigned.get(spec.udid, ()))  # type: ignore[union-attr]
                sql = "SELECT facts FROM devices WHERE server = :s AND enrollment_id = :u"
                row = self._rows(sql, s=name, u=spec.udid)
                there = assigned.held(Facts.from_json(row[0][0]).assignments) if row else None
                known = {there[1].set_name} if there else set()
                if given != known:
                    raise Broken("I2", f"{name} gives {spec.udid} {sorted(given)}; the kit knows of {sorted(known)}")
                if there:
                    self._is_wanted(name, spec.udid, there[1].rollout)

    def _is_wanted(self, server: str, udid: str, rollout: int) -> None:
        sql = (
            "SELECT rollouts.status, state FROM rollouts JOIN journey ON journey.rollout = rollouts.id "
            "WHERE rollouts.id = :r AND server = :s AND enrollment_id = :u"
        )
        status, state = self._rows(sql, r=rollout, s=server, u=udid)[0]
        if status != "running" or state in ("done", "failed") or udid in self._of.held:
            raise Broken(
                "I2", f"{udid} is still declared for rollout {rollout}, which is {status}; the device: {state}"
            )

    def _enqueue(self, server: str, message: dict[str, Any], udids: list[str]) -> None:
        uuid, words = message["CommandUUID"], command_words(message["Command"])
        sql = (
            "SELECT enrollment_id, rollout FROM outbox WHERE command_uuid = :uuid AND status = 'sending' "
            "AND server = :server"
        )
        rows = {row[0]: row[1] for row in self._rows(sql, uuid=uuid, server=server)}
        if set(rows) != set(udids) or not self._value("SELECT count(*) FROM commands WHERE uuid = :uuid", uuid=uuid):
            raise Broken("I4", f"{words} {uuid} is on the wire for {udids}, in the store for {sorted(rows)}")
        self._own.add(uuid)
        if not words.startswith("ScheduleOSUpdate:"):
            return
        if can_install(words):
            self._steps[uuid] = words
        for udid, rollout in rows.items():
            self._may_be_sent(server, udid, rollout, words)

    def _may_be_sent(self, server: str, udid: str, rollout: int, words: str) -> None:
        now = self._of.clock.now()
        status, deadline_at = self._rows("SELECT status, deadline_at FROM rollouts WHERE id = :r", r=rollout)[0]
        sql = "SELECT barrier FROM journey WHERE rollout = :r AND server = :server AND enrollment_id = :udid"
        barrier = self._value(sql, r=rollout, server=server, udid=udid)
        opened = [self.opened_at(udid)] + ([] if can_install(words) else [self.opened_at(udid, downloads=True)])
        opened = [at for at in opened if at]
        told = f"{words} is sent to {udid} of rollout {rollout}"
        if barrier is None or barrier:
            raise Broken("I2", f"{told}, which is barred: {barrier}")
        if status != "running":
            raise Broken("I2", f"{told}, which is {status}")
        if now >= deadline_at:
            raise Broken("I2", f"{told}, whose deadline has passed")
        if udid in self._of.held:
            raise Broken("I2", f"{told}, and the device is held")
        self._may_begin(server, udid, rollout, told)
        if not opened:
            raise Broken("I2", f"{told} outside the device's window")
        if not self._awake_since(udid, min(opened)):
            raise Broken("I2", f"{told}, which has not been awake in this window")
        if (rollout, server, udid) in self._done:
            raise Broken("I2", f"{told}, which is done")

    def _awake_since(self, udid: str, opened: int) -> bool:
        """By our clock, which may have been set since: as far as it can have been off."""
        slack = 10 * HOUR if self._of.story.faults.clock_jumps else 0
        return any(e.at >= opened - slack for e in self._of.truth.of(udid, What.AWAKE))

    def _may_begin(self, server: str, udid: str, rollout: int, told: str) -> None:
        """It waits for nobody's approval, its wave is open, it has a place, and nothing that is halted is about it."""
        if self._unapproved(rollout):
            raise Broken("I2", f"{told}, which waits for a second person")
        sql = "SELECT admitted_at, wave, model, os_version_start, site, platform FROM journey WHERE rollout = :r"
        columns = ("model", "os_version_start", "site", "platform")
        sql += " AND server = :server AND enrollment_id = :udid"
        admitted_at, wave, *mine = self._rows(sql, r=rollout, server=server, udid=udid)[0]
        if admitted_at <= 0:
            raise Broken("I2", f"{told}, which has no place")
        opened = self._rows("SELECT opened_at FROM waves WHERE rollout = :r AND name = :w", r=rollout, w=wave)
        if opened and not opened[0][0]:
            raise Broken("I2", f"{told}, whose wave {wave} is not open")
        values = dict(zip(columns, mine, strict=True)) | {"wave": wave, "": ""}
        for part, value in self._rows(
            "SELECT dimension, value FROM halts WHERE rollout = :r AND lifted_at = 0", r=rollout
        ):
            if values[part] == value:
                raise Broken("I2", f"{told}, which is halted: {part} {value}")

    def _unapproved(self, rollout: int) -> bool:
        sql = "SELECT count(*) FROM approvals WHERE rollout = :r AND wanted AND approved_at = 0"
        return bool(self._value(sql, r=rollout))

    def _wakes(self, server: str, udid: str) -> None:
        """No push of ours wakes a device outside its window while a step of ours that can install is on the server."""
        if self._of.world.server_of(udid) is not self._of.servers[server]:
            return  # who has moved away is not woken by its first server
        waiting = [uuid for uuid in self._of.servers[server].open_uuids(udid) if uuid in self._steps]
        if waiting:  # an answered one may be offered again behind a NotNow: a fault of the server that it does not tell
            told = self._of.truth.of(udid, What.ANSWERED)
            ended = {entry.command_uuid for entry in told if entry.detail != "NotNow"} | self.resurrected
            waiting = [uuid for uuid in waiting if uuid not in ended]
        if waiting and not self._gate_open(server, udid) and not set(waiting) <= self._abandoned():
            raise Broken("I2", f"a push wakes {udid} outside its window, and {waiting} can install")

    def _gate_open(self, server: str, udid: str) -> bool:
        sql = (
            "SELECT count(*) FROM journey JOIN rollouts ON rollouts.id = journey.rollout WHERE enrollment_id = :udid "
            "AND server = :server AND live AND rollouts.status = 'running' AND deadline_at > :now"
        )
        live = self._value(sql, server=server, udid=udid, now=self._of.clock.now())
        return bool(live) and udid not in self._of.held and bool(self.opened_at(udid))

    def opened_at(self, udid: str, *, downloads: bool = False) -> int:
        """When the window that is open now on that device opened; 0: shut. By wall clock and calendar, on our clock."""
        story, zone = self._of.story, ZoneInfo(self._specs[udid].time_zone)
        window = (downloads and story.download_window) or story.window
        local = datetime.fromtimestamp(self._of.clock.now() // SECOND, zone)
        clock, day = local.time(), local.date()
        off = [one for one in story.blackouts if not one.where or self._specs[udid].platform.value in one.where]
        if any(one.first <= day <= one.last for one in off):
            return 0
        if window.opens < window.closes:
            inside = window.opens <= clock < window.closes
        else:
            inside = clock >= window.opens or clock < window.closes
            day -= timedelta(days=clock < window.opens)
        if not inside:
            return 0
        opened = datetime.combine(day, window.opens, zone)
        after = [datetime.combine(one.last + timedelta(days=1), time(), zone) for one in off]
        return (max([opened, *(at for at in after if at <= local)]) - _EPOCH) // timedelta(microseconds=1)

    def _abandoned(self) -> set[str]:
        return {row[0] for row in self._rows("SELECT command_uuid FROM events WHERE kind = 'abandoned'")}

    # --- the webhook ---

    def delivered(self, server: str, body: bytes) -> None:
        """A body came to the receiver, acknowledged or not: what it says may count once."""
        part = json.loads(body).get("acknowledge_event") or {}
        if uuid := part.get("command_uuid"):
            self._reports[server, part["ids"]["id"], uuid].add(part["raw_payload"])

    def acknowledged(self, server: str, body: bytes) -> None:
        """The receiver has said 200: from here on the event must have its effect (I3)."""
        event = json.loads(body)
        part = event.get("acknowledge_event") or event.get("checkin_event") or {}
        udid = part["ids"]["id"]
        planned = server == SERVER and any(udid in members for members in self._members.values())
        event |= {"server": server, "udid": udid, "part": part, "planned": planned, "at": self._of.clock.now()}
        self._waits.append(event)

    def _effects(self) -> None:
        waits, self._waits = self._waits, []
        reports: set[tuple[str, str, str]] = set()
        mine = "server = :server AND enrollment_id = :udid"
        for event in waits:
            server, udid, part = event["server"], event["udid"], event["part"]
            uuid = part.get("command_uuid", "")
            seen = self._value(f"SELECT last_seen_at FROM devices WHERE {mine}", server=server, udid=udid)
            if seen is None or seen < event["at"]:
                raise Broken("I3", f"{event['topic']} of {udid} was acknowledged and left no trace")
            kind = {"mdm.Authenticate": "authenticated", "mdm.TokenUpdate": "enrolled", "mdm.CheckOut": "checked_out"}
            if event["topic"] in kind and event["planned"]:
                sql = f"SELECT count(*) FROM events WHERE {mine} AND kind = :kind AND server_at = :at"
                at = micros(event["created_at"])
                if self._value(sql, server=server, udid=udid, kind=kind[event["topic"]], at=at) != 1:
                    raise Broken("I3", f"{event['topic']} of {udid} has not exactly one effect")
            elif uuid in self._own:
                reports.add((server, udid, uuid))
            elif uuid and event["planned"] and b"UpdateResults" in b64decode(part["raw_payload"]):
                sql = f"SELECT count(*) FROM events WHERE {mine} AND command_uuid = :uuid"
                found = self._value(sql, server=server, udid=udid, uuid=uuid)
                if part["status"] == "Acknowledged" and not found:
                    raise Broken("I3", f"another party's result {uuid} of {udid} left no trace")
        for server, udid, uuid in sorted(reports):
            sql = f"SELECT digest FROM events WHERE {mine} AND command_uuid = :uuid AND kind = 'answered'"
            stored = [row[0] for row in self._rows(sql, server=server, udid=udid, uuid=uuid)]
            if not stored:
                raise Broken("I3", f"the answer of {udid} to {uuid} was acknowledged and left no trace")
            known = self._reports[server, udid, uuid]
            if len(stored) > len(known) and udid != self._garbled_udid:
                raise Broken("I3", f"{len(known)} answers of {udid} to {uuid} count {len(stored)} times")

    @property
    def _garbled_udid(self) -> str:
        number = self._of.story.garbled
        return "" if number is None else self._of.story.specs[number].udid

    # --- after a turn, after some time ---

    def after_turn(self, name: str) -> None:
        """After a turn that had something to do, or died of it."""
        self._turns += 1
        if name == "worker" and self._waits and not self._value("SELECT count(*) FROM inbox"):
            self._effects()
        if name == "sender":
            self._one_install()
        if name in ("worker", "loop"):
            self._proofs()
        if name == "actor":
            self._audited()
        if self._turns % _OFTEN == 0:
            self._sums()
        if self._turns % (_OFTEN * _SELDOM) == 0:
            self._shown()

    def _audited(self) -> None:
        """I10: as many lines as acts were carried out, refused ones too; and each names who."""
        acts = dict(self._rows("SELECT what, count(*) FROM acts WHERE finished_at > 0 GROUP BY what"))
        lines = dict(self._rows("SELECT what, count(*) FROM audit WHERE who NOT IN ('service', '') GROUP BY what"))
        for what, count in acts.items():
            told = lines.get(what, 0)
            if told < count or (told > count and what != "open"):  # a wave that opens is told by its opener's name, too
                raise Broken("I10", f"{what} was carried out {count} times, and the audit tells of {told}")

    def pace(self) -> None:
        """I8, after a whole turn of the gatekeeper: no more under way than the pace; what crossed its limit stands."""
        ends = "('done', 'failed', 'notified', 'downloaded_end', 'expired', 'barred')"
        sql = (
            "SELECT waves.rollout, waves.name, waves.pace, server, enrollment_id, admitted_at, "
            f"live AND state NOT IN {ends} FROM waves JOIN journey ON journey.rollout = waves.rollout "
            "AND journey.wave = waves.name WHERE waves.pace > 0 AND admitted_at > 0"
        )
        under_way: Counter[tuple[int, str, int]] = Counter()
        fresh: set[tuple[int, str, int]] = set()  # waves in which somebody was let in since
        for *row, goes_on in self._rows(sql):
            wave, place = tuple(row[:3]), (row[0], *row[3:])
            under_way[wave] += bool(goes_on)
            if place not in self._admitted:
                self._admitted.add(place)
                fresh.add(wave)
        for rollout, name, pace in fresh:  # who goes on after an end, because of others, has had a place before
            if (count := under_way[rollout, name, pace]) > pace:
                raise Broken("I8", f"{count} are under way in wave {name} of rollout {rollout}, whose pace is {pace}")
        limit = self._of.story.limits.failures
        sql = (
            "SELECT rollouts.id, count(*) FROM rollouts JOIN journey ON journey.rollout = rollouts.id WHERE status = "
            "'running' AND state = 'failed' AND deadline_at > :now AND NOT EXISTS (SELECT 1 FROM halts WHERE "
            "halts.rollout = rollouts.id) GROUP BY rollouts.id"
        )
        for rollout, failed in self._rows(sql, now=self._of.clock.now()) if limit else ():
            if failed >= limit and rollout != self._of.broken_rollout:
                raise Broken("I8", f"{failed} have failed in rollout {rollout}, and it goes on")

    def _one_install(self) -> None:
        """I1, by the truth log."""
        truth = self._of.truth
        new = truth.entries[self._looked_at :]
        self._looked_at = len(truth)
        if not any(e.what is What.QUEUED and e.command_uuid in self._steps for e in new):
            return
        dead = self._abandoned()
        found = [
            one
            for one in truth.second_installs(self._own)
            if one.open_uuid not in dead and not (one.command_uuid in dead and one.command_uuid in self.belated)
        ]
        found += truth.second_installs(self._own - dead)
        for one in set(found) - self._judged:
            self._judged.add(one)
            if one.open_uuid not in self.resurrected and not self._beyond_knowing(one.udid, one.open_uuid, one.at):
                raise Broken("I1", f"{one.udid} is sent {one.command_uuid} while {one.open_uuid} is open")

    def _beyond_knowing(self, udid: str, uuid: str, at: int) -> bool:
        """What no query had shown by then: a prompt or an agreement for tonight beside a download that is there.

        After an Error (the model's own exception), or where the answer was lost and a re-enrolment cleared the queue.
        And a first `Default` that meets a finished download and installs (its named hazard), if the device denies it.
        """
        habits = self._specs[udid].behaviour
        if habits.substitutes and "Default" in self._steps.get(uuid, ""):
            return self._value("SELECT role FROM outbox WHERE command_uuid = :uuid", uuid=uuid) == 1
        story = [(number, entry) for number, entry in enumerate(self._of.truth.of(udid)) if entry.at <= at]
        looks = {e.command_uuid for _, e in story if e.what is What.HANDED and e.detail == "OSUpdateStatus"}
        told = [(n, e) for n, e in story if e.what is What.ANSWERED]
        since = [n for n, e in told if e.command_uuid == uuid and e.detail == "Error" and habits.false_error]
        if uuid in self._unanswered(udid):
            since += [
                n for n, e in story if e.what is What.CLEARED and any(e.command_uuid == uuid for _, e in story[:n])
            ]
        answered = {
            e.command_uuid
            for n, e in told
            if since and n > since[0] and e.command_uuid in looks and e.detail == "Acknowledged"
        }
        asked = [n for n, e in story if e.what is What.HANDED and e.command_uuid in answered]  # as it was then
        steps = (What.DOWNLOAD_STARTED, What.DOWNLOAD_DONE, What.INSTALL_STARTED)
        seen = [e.what for _, e in story[: max(asked, default=0)] if e.what in steps]
        return bool(asked) and seen[-1:] == [What.DOWNLOAD_DONE]

    def _proofs(self) -> None:
        """I6: *done* only if the device has, or had, the target."""
        sql = "SELECT rollout, server, enrollment_id FROM journey WHERE state = 'done'"
        for rollout, server, udid in self._rows(sql):
            if (rollout, server, udid) in self._done:
                continue
            if not self.reached_at(udid):
                raise Broken("I6", f"{udid} is shown done and runs {self._of.truth.version(udid)}")
            self._done.add((rollout, server, udid))

    def reached_at(self, udid: str) -> int:
        """When the device first had the target; 0: never."""
        entries = self._of.truth.of(udid, What.ENROLLED, What.INSTALLED)
        if self._of.story.item:
            return next((e.at for e in entries if e.detail == ITEM), 0)
        reached = (
            e.at for e in entries if "-" not in e.detail and OSVersion.parse(e.detail) >= OSVersion.parse(TARGET)
        )
        return next(reached, 0)

    def armed(self) -> set[str]:
        """Who is shown armed, or needs not be."""
        if not self._steps:
            return set()
        return {row[0] for row in self._rows("SELECT enrollment_id FROM journey WHERE armed <> '' OR state = 'done'")}

    def world_went_on(self, before: int, armed: set[str]) -> None:
        """What the server handed out since then was on the armed list."""
        dead: set[str] | None = None
        for entry in self._of.truth.entries[before:]:
            if self._of.telling:
                self._of.say(f"    · {entry.udid} {entry.what} {entry.command_uuid[:8]} {entry.detail}")
            if entry.what is What.HANDED and entry.command_uuid in self._steps and entry.udid not in armed:
                dead = self._abandoned() if dead is None else dead
                if entry.command_uuid not in dead and not self._again(entry):
                    raise Broken("I2", f"{entry.command_uuid} is handed to {entry.udid}, which is not shown armed")

    def _again(self, entry: Entry) -> bool:
        """Does a server hand out what has been answered? No kit can know of that.

        One that was restored does, and key-value storage behind a NotNow, too.
        """
        told = self._of.truth.of(entry.udid, What.ANSWERED)
        answered = any(e.command_uuid == entry.command_uuid and e.detail != "NotNow" and e.at <= entry.at for e in told)
        forgetful = self._of.restored or self._of.story.storage == "kv"
        return entry.command_uuid in self.resurrected or (forgetful and answered)

    def _sums(self) -> None:
        """I5, I7 in small: each device has one state, by its journey and by the sum of its transitions."""
        self._no_fights()
        sql = (
            "SELECT rollout, server, enrollment_id, state, sum(sign) FROM transitions "
            "GROUP BY rollout, server, enrollment_id, state HAVING sum(sign) <> 0"
        )
        summed = {tuple(row[:4]): int(row[4]) for row in self._rows(sql)}
        journeys = dict.fromkeys(map(tuple, self._rows("SELECT rollout, server, enrollment_id, state FROM journey")), 1)
        if summed != journeys:
            odd = sorted(set(summed.items()) ^ set(journeys.items()))
            raise Broken("I5", f"transitions and journeys differ: {odd}")

    def _shown(self) -> None:
        """I5 and I6 as people see it."""
        for rollout in self._of.rollouts:
            view = self._of.person.status(rollout)
            if view.selected != sum(view.states.values()) or view.selected != len(view.devices):
                raise Broken("I5", f"rollout {rollout}: {view.selected} selected, states {view.states}")
            for device in view.devices:
                if device.state == "failed" and not (device.failure_class or device.reason):
                    raise Broken("I6", f"{device.udid} failed without a cause")

    # --- at the end ---

    def at_the_end(self) -> None:
        if self._waits:
            self._effects()
        self._sums()
        self._shown()
        self._replayed()
        self._taken_back()
        self._audited()
        if self._value("SELECT count(*) FROM acts WHERE finished_at = 0"):
            raise Broken("I9", "acts of people wait for ever")
        for rollout in self._of.rollouts:
            for device in self._of.person.status(rollout).devices:
                self.shown[device.state] += 1
                if device.state not in ("done", "barred") and self._could_be_known(rollout, device.udid):
                    raise Broken("I6", f"{device.udid} has the target, and is shown {device.state} {device.reason}")

    def _replayed(self) -> None:
        """I7: replayed in order, and folded in any order with repeats."""
        if different := list(verify(self._of.ledger)):
            raise Broken("I7", "; ".join(map(str, different[:3])))
        luck = Random(f"order of {self._of.story.seed}")
        with self._of.ledger.read() as tx:
            for key, events in tx.replay():
                shuffled = events + events[::3]
                luck.shuffle(shuffled)
                facts = Facts()
                for event in shuffled:
                    facts = fold(facts, event)
                if Facts.from_json(tx.devices([key])[key].facts) != Facts.from_json(facts.to_json()):
                    raise Broken("I7", f"the order of the events of {key} matters")

    def _could_be_known(self, rollout: int, udid: str) -> bool:
        """Has it had the target for some days in which it could be asked, and was it reachable?"""
        of, spec = self._of, self._specs[udid]
        since = max(self.reached_at(udid), of.story.calm_at)
        changed_at = self._value("SELECT changed_at FROM rollouts WHERE id = :r", r=rollout) - of.clock.ahead
        ended = self._value("SELECT status FROM rollouts WHERE id = :r", r=rollout) in ("cancelled", "ended")
        asked_until = changed_at + TAIL if ended else of.story.ends_at
        if self._unapproved(rollout):
            return False  # nobody is asked anything for it
        if not self.reached_at(udid) or min(asked_until, of.story.ends_at) - since < 3 * DAY:
            return False
        if not of.world.devices[udid].enrolled or udid in of.world.moved:
            return False
        runs = of.world.devices[udid].updates.version
        if of.story.item and not command_available(RequestType.AVAILABLE_OS_UPDATES, spec.platform, runs):
            return False  # only a list would tell
        presence = Presence(spec)
        there = [presence.reachable(at) for at in range(since, of.story.ends_at, HOUR)]
        if sum(there) < 0.4 * len(there) or self._keeps_silent(udid, since):
            return False
        if not self._unanswered(udid, of.clock.now() - DAY) or self._gate_open(SERVER, udid):
            return True
        # It may not be woken, lest it install: it has to come by itself, and more than once where lists are needed.
        visits = {entry.at // DAY for entry in of.truth.of(udid, What.AWAKE) if entry.at > since + DAY}
        return len(visits) >= (4 if of.story.item else 2)

    def _keeps_silent(self, udid: str, since: int) -> bool:
        """Was it pushed several times since, and never came? Handed several commands of ours, and hardly answered?"""
        since_then = [e for e in self._of.truth.of(udid) if e.at > since]
        seen = Counter(e.what for e in since_then)
        mine = [e for e in since_then if e.command_uuid in self._own]
        handed = {e.command_uuid for e in mine if e.what is What.HANDED}
        answered = {e.at // HOUR for e in mine if e.what is What.ANSWERED and e.detail != "NotNow"}
        enough = 4 if self._of.story.item else 1  # of an item: a scan, a list, a report, at three visits at least
        return (seen[What.PUSHED] > 1 and not seen[What.AWAKE]) or (len(handed) > 1 and len(answered) < enough)

    def _unanswered(self, udid: str, known_by: int = FOREVER) -> set[str]:
        """Steps that were sent, or perhaps, and to which no final answer had come in by then."""
        sql = (
            "SELECT command_uuid FROM outbox WHERE enrollment_id = :udid AND kind = 'step' AND command_uuid <> '' "
            "AND status <> 'refused' AND NOT EXISTS (SELECT 1 FROM events WHERE events.enrollment_id = :udid "
            "AND kind = 'answered' AND events.command_uuid = outbox.command_uuid AND evidence NOT LIKE '%not_now%' "
            "AND recorded_at <= :known_by)"
        )
        return {row[0] for row in self._rows(sql, udid=udid, known_by=known_by)}

    # --- for people ---

    def reached(self) -> Counter[tuple[str, str]]:
        """Which evidence met which state, replayed in the order in which it became known."""
        found: Counter[tuple[str, str]] = Counter()
        plans = Plans()
        with self._of.ledger.read() as tx:
            for key, events in tx.replay():
                journeys = [j for j in tx.journeys_of([key]).get(key, []) if not j.barred]
                for journey in journeys:
                    if journey.journey.rollout == self._of.broken_rollout:
                        continue
                    course, facts = plans.course(tx, journey), Facts()
                    start = plans.start(tx, journey.journey.rollout)
                    for event in sorted(events, key=lambda e: e.seq):
                        if event.seq > start.seq:
                            found[stored_state(facts, course), _evidence(event.kind, event.evidence)] += 1
                        facts = fold(facts, event)
        return found

    def named(self, body: bytes) -> str:
        if not body:
            return ""
        message = plistlib.loads(body)
        return f"{command_words(message['Command'])} {message['CommandUUID'][:8]}"

    def event_words(self, body: bytes) -> str:
        event = json.loads(body)
        part = event.get("acknowledge_event") or event.get("checkin_event") or {}
        uuid, status = part.get("command_uuid", ""), part.get("status", "")
        return f"{part['ids']['id']} {event['topic']} {status} {uuid[:8]} of {event['created_at'][8:19]}"


def _evidence(kind: EventKind, words: Any) -> str:
    if kind is not EventKind.ANSWERED:
        return str(kind)
    if words.get("of") == "step":
        return f"step: {words.get('answer')}"
    seen = words.get("look") or ("proof" if words.get("proves") else words.get("answer"))
    return f"query: {seen}"


def micros(text_: str) -> int:
    """The server's created_at, in microseconds."""
    whole, _, fraction = text_.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole + "+00:00").timestamp())
    return seconds * SECOND + int(fraction[:6])
