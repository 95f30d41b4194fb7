"""One simulated Apple device: speaks plists through an `exchange`, wakes by push, downloads, asks its user, installs.

Its behaviour depends on its seed and on what happens to it, on nothing else. Source: Apple's protocol as in the device
management schema; quirks as seen in the field. Knows nothing of the kit, and of a server only what it answers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from heapq import heappop, heappush
from random import Random
from typing import Any

from osupdate_kit.lab.clock import DAY, HOUR, MINUTE, SECOND
from osupdate_kit.lab.habits import Presence
from osupdate_kit.lab.plists import read_command, write_plist
from osupdate_kit.lab.specs import DeviceSpec, Release, Span
from osupdate_kit.lab.truth import TruthLog, What, command_words
from osupdate_kit.protocol.terms import CommandStatus, InstallAction, Platform, RequestType, UpdateStatus
from osupdate_kit.protocol.versions import OSVersion

Exchange = Callable[[str, bytes], bytes]
"""exchange("checkin" | "connect", body) → the server's answer, b"" if none. Raises OSError if the connection fails."""

TOPIC = "com.apple.mgmt.External.5f0c5e0e-9a3b-4d0f-8f5e-6c1f3a8d2b47"
GONE_IN = OSVersion.parse("27.0")  # the four update commands
COUNTED_DEFERRALS = OSVersion.parse("12.3")

MDM_ERRORS: Mapping[int, str] = {
    12021: "The request type is not valid.",
    12048: "No update is available.",
    12050: "The scan for updates failed.",
    12051: "A download is in progress.",
    12054: "There is not enough space to download the update.",
    12057: "The download failed.",
    12058: "An install is in progress.",
    12059: "The update must be downloaded before it can be installed.",
    12061: "There is not enough power to install the update.",
    12062: "The install failed.",
    12077: "Not permitted while a user is logged in.",
}


class Phase(Enum):
    LOADING = "loading"
    LOADED = "loaded"
    PROMPT = "prompt"  # a person has to agree
    INSTALLING = "installing"


@dataclass(slots=True)
class Update:
    """What is under way on the device for one release."""

    release: Release
    started_at: int
    done_at: int
    phase: Phase = Phase.LOADING
    step: str = ""  # UUID of the command that is to install; empty: none, or the system itself
    action: InstallAction = InstallAction.DOWNLOAD_ONLY
    max_deferrals: int | None = None
    deferrals_left: int = 0
    next_prompt_at: int = 0
    notified_at: list[int] = field(default_factory=list)


class _Refusal(Exception):
    """The device says no: an answer, no fault of ours."""

    def __init__(self, code: int, status: UpdateStatus = UpdateStatus.IDLE) -> None:
        super().__init__(code)
        self.code, self.status = code, status


class SimulatedDevice:
    """`enrol`, then `push` at will; whenever `next_at()` has come, call `turn`."""

    def __init__(self, spec: DeviceSpec, releases: Sequence[Release], truth: TruthLog) -> None:
        self.spec, self.releases, self._truth = spec, tuple(releases), truth
        self.version, self.build, self.extra = spec.version, spec.build, ""
        self.enrolled = False
        self._random = Random(spec.seed)
        self._presence = Presence(spec)
        self._agenda: list[tuple[int, int, Callable[[int, Exchange], None]]] = []
        self._number = 0
        self._update: Update | None = None
        self._items: set[str] = set()  # product keys of installed items that are no OS
        self._scanned_at: int | None = None
        self._session = 0  # counts sessions; odd while one is open
        self._again = False  # pushed during a session
        self._report: bytes = b""
        self._about = ("", "")  # command UUID and status of the report
        self._wake_at: int | None = None
        self._down_until = 0
        self._space_from = 0  # when somebody makes room on the disk, or charges the battery
        self._power_from = 0
        habits = spec.behaviour
        self._downloads_fail, self._installs_fail = habits.downloads_fail, habits.installs_fail
        self._refusals, self._scans_fail = habits.installs_refused, habits.scans_fail
        self._failed_before = False
        self._put_offs = 0
        self._idle = write_plist({"UDID": spec.udid, "Status": CommandStatus.IDLE.value})

    # --- The outside --------------------------------------------------------------------------------------------------

    @property
    def udid(self) -> str:
        return self.spec.udid

    @property
    def update(self) -> Update | None:
        """What is under way, for tests that look inside."""
        return self._update

    def secrets(self) -> tuple[bytes, ...]:
        """What its server is told and nobody else may keep: UnlockToken, Token, PushMagic, bootstrap token."""
        return tuple(f"{word}-of-{self.udid}".encode() for word in ("unlock", "token", "magic", "bootstrap"))

    def next_at(self) -> int | None:
        """When something happens on the device next; None: nothing until a push."""
        return self._agenda[0][0] if self._agenda else None

    def enrol(self, now: int, exchange: Exchange) -> None:
        """Authenticate and TokenUpdate, a Mac escrows its bootstrap token. Raises OSError if the server refuses."""
        spec, (unlock, token, magic, bootstrap) = self.spec, self.secrets()
        told: dict[str, object] = {"MessageType": "Authenticate", "UDID": spec.udid, "Topic": TOPIC}
        told |= {"SerialNumber": spec.serial, "Model": spec.model, "ProductName": spec.product_name}
        told |= {"DeviceName": spec.name, "OSVersion": self.version.text, "BuildVersion": self.build}
        exchange("checkin", write_plist(told))
        self._truth.add(now, spec.udid, What.CLEARED)
        told = {"MessageType": "TokenUpdate", "UDID": spec.udid, "Topic": TOPIC, "Token": token}
        told |= {"PushMagic": magic.decode(), "AwaitingConfiguration": False}
        if spec.platform is not Platform.MACOS:
            told["UnlockToken"] = unlock
        exchange("checkin", write_plist(told))
        if spec.platform is Platform.MACOS and spec.bootstrap_token:
            told = {"MessageType": "SetBootstrapToken", "UDID": spec.udid, "BootstrapToken": bootstrap}
            exchange("checkin", write_plist(told | {"AwaitingConfiguration": False}))
        self._truth.add(now, spec.udid, What.ENROLLED, detail=self.version.text)
        if not self.enrolled:
            self.enrolled = True
            self._wake_some_day(now)
            if spec.behaviour.updates_itself_days:
                self._at(now + self._span(spec.behaviour.updates_itself_days, DAY), self._update_itself)

    def check_out(self, now: int, exchange: Exchange) -> None:
        """Leave; the device does not come back before it enrols again."""
        exchange("checkin", write_plist({"MessageType": "CheckOut", "UDID": self.udid, "Topic": TOPIC}))
        self._truth.add(now, self.udid, What.CHECKED_OUT)
        self.enrolled, self._wake_at = False, None
        self._end_session()

    def push(self, now: int) -> None:
        """An APNs push. A device that cannot be reached connects when it is back, or never learns of it."""
        if not self.enrolled:
            return
        self._truth.add(now, self.udid, What.PUSHED)
        at = self._presence.reachable_from(now)
        if at > now and self._random.random() >= self.spec.behaviour.kept_pushes:
            return
        self._wake(max(at, self._down_until) + self._span(self.spec.behaviour.reach_seconds, SECOND))

    def turn(self, now: int, exchange: Exchange) -> None:
        """Do all that is due; a connection is one exchange a turn, the next follows within a second or so."""
        while self._agenda and self._agenda[0][0] <= now:
            heappop(self._agenda)[2](now, exchange)

    # --- Sessions -----------------------------------------------------------------------------------------------------

    def _at(self, at: int, act: Callable[[int, Exchange], None]) -> None:
        self._number += 1
        heappush(self._agenda, (at, self._number, act))

    def _span(self, span: Span, unit: int) -> int:
        return int(self._random.uniform(*span) * unit)

    def _wake(self, at: int) -> None:
        """Connect at `at`, unless it will sooner anyway."""
        if self._wake_at is None or at < self._wake_at:
            self._wake_at = at
            self._at(at, self._woken)

    def _wake_some_day(self, now: int) -> None:
        self._at(now + self._span(self.spec.behaviour.self_wake_days, DAY), self._woken_by_itself)

    def _woken_by_itself(self, now: int, exchange: Exchange) -> None:
        if self.enrolled:
            self._wake(max(self._presence.reachable_from(now), self._down_until))
            self._wake_some_day(now)

    def _woken(self, now: int, exchange: Exchange) -> None:
        if self._wake_at is None or now < self._wake_at or not self.enrolled:
            return
        self._wake_at = None
        if now < self._down_until:
            self._wake(self._down_until + 5 * SECOND)
        elif self._session % 2:
            self._again = True
        else:
            self._session += 1
            self._truth.add(now, self.udid, What.AWAKE)
            self._report, self._about = self._idle, ("", CommandStatus.IDLE.value)
            self._connect(self._session, now, exchange)

    def _end_session(self) -> None:
        self._session += self._session % 2
        self._again = False

    def _connect(self, session: int, now: int, exchange: Exchange) -> None:
        """Send the report, take the next command; its answer goes out in the next exchange."""
        if session != self._session:
            return
        status = self._about[1]
        answer = self._exchanged(now, exchange)
        if answer is None:  # the connection dropped: the device forgets, the server hands out again
            self._end_session()
        elif not answer:
            again = self._again
            self._end_session()
            if again:
                self._wake(now + SECOND)
            elif status == CommandStatus.NOT_NOW:
                self._wake(now + self._span(self.spec.behaviour.not_now_minutes, MINUTE))
        else:
            envelope = read_command(answer)
            self._obey(now, str(envelope["CommandUUID"]), envelope["Command"])
            if session == self._session:
                self._at(now + self._span((0.05, 1.5), SECOND), lambda at, through: self._connect(session, at, through))

    def _exchanged(self, now: int, exchange: Exchange) -> bytes | None:
        habits, (uuid, status) = self.spec.behaviour, self._about
        luck = self._random.random()
        if luck < habits.drops / 2:
            if uuid:
                self._truth.add(now, self.udid, What.UNANSWERED, uuid, "dropped")
            return None
        try:
            answer = exchange("connect", self._report)
            self._told(now, uuid, status, answer)
            if uuid and self._random.random() < habits.repeats:
                answer = exchange("connect", self._report)
                self._told(now, uuid, status, answer)
        except OSError:
            return None
        return None if luck < habits.drops else answer

    def _told(self, now: int, uuid: str, status: str, answer: bytes) -> None:
        if uuid:
            self._truth.add(now, self.udid, What.ANSWERED, uuid, status)
        if answer:
            handed = read_command(answer)
            self._truth.add(now, self.udid, What.HANDED, handed["CommandUUID"], command_words(handed["Command"]))

    # --- Commands -----------------------------------------------------------------------------------------------------

    def _obey(self, now: int, uuid: str, command: Mapping[str, Any]) -> None:
        """Act on a command and lay the report ready; a restart may swallow it."""
        kind = str(command.get("RequestType"))
        about_updates = kind in _UPDATE_COMMANDS
        if about_updates and self._busy(now):
            self._lay(uuid, CommandStatus.NOT_NOW, {})
            return
        if about_updates and not self.spec.supervised and self._needs_supervision(kind):
            self._lay(uuid, CommandStatus.ERROR, {"ErrorChain": [_UNSUPERVISED]})
            return
        gone = about_updates and self.version >= GONE_IN
        answer = _ANSWERS.get(kind, SimulatedDevice._unknown) if not gone else SimulatedDevice._unknown
        try:
            answer(self, now, uuid, command)
        except _Refusal as refusal:
            self._lay(uuid, CommandStatus.ERROR, {"ErrorChain": [_mdm_error(refusal.code)]})

    def _unknown(self, now: int, uuid: str, command: Mapping[str, Any]) -> None:
        raise _Refusal(12021)

    def _lay(self, uuid: str, status: CommandStatus, keys: Mapping[str, object]) -> None:
        self._about = (uuid, status.value)
        self._report = write_plist({"UDID": self.udid, "CommandUUID": uuid, "Status": status.value, **keys})

    def _acknowledge(self, uuid: str, **keys: object) -> None:
        self._lay(uuid, CommandStatus.ACKNOWLEDGED, keys)

    def _busy(self, now: int) -> bool:
        habits = self.spec.behaviour
        share = max(habits.not_now, habits.night_not_now if self._presence.night(now) else 0)
        return share > 0 and self._random.random() < share

    def _needs_supervision(self, kind: str) -> bool:
        return self.spec.platform is not Platform.MACOS or kind in (
            RequestType.SCHEDULE_OS_UPDATE,
            RequestType.OS_UPDATE_STATUS,
            RequestType.SCHEDULE_OS_UPDATE_SCAN,
        )

    @property
    def _mac(self) -> bool:
        return self.spec.platform is Platform.MACOS

    def _schedule(self, now: int, uuid: str, command: Mapping[str, Any]) -> None:
        updates = command.get("Updates")
        if not self._well_formed(updates):
            self._lay(uuid, CommandStatus.COMMAND_FORMAT_ERROR, {"ErrorChain": [_mdm_error(12008)]})
            return
        if self.spec.shared_ipad and not self._presence.night(now) and self._random.random() < 0.5:
            raise _Refusal(12077)
        results, installing = [], self._installs(self._update)
        for item in updates or []:
            try:
                result = self._take(now, uuid, item)
            except _Refusal as refusal:
                if not self._mac:
                    raise
                result = {"ProductKey": str(item.get("ProductKey", "")), "InstallAction": InstallAction.ERROR.value}
                result |= {"Status": refusal.status.value, "ErrorChain": [_mdm_error(refusal.code)]}
            if result:
                results.append(result)
        self._acknowledge(uuid, **({"UpdateResults": results} if results else {}))
        if self._update and self._update.step == uuid and self.spec.behaviour.false_error:
            raise _Refusal(12062)
        begins = self._installs(self._update) and not installing
        if begins and self._random.random() < self.spec.behaviour.swallows:
            self._truth.add(now, self.udid, What.UNANSWERED, uuid, "restarted")
            self._end_session()

    @staticmethod
    def _installs(update: Update | None) -> bool:
        return update is not None and update.phase is Phase.INSTALLING

    def _well_formed(self, updates: object) -> bool:
        """Apple's schema as the device checks it: types, actions and keys of its platform."""
        if not isinstance(updates, list) or not updates:
            return False
        for item in updates:
            if not isinstance(item, dict) or item.get("InstallAction") not in _ACTIONS[self._mac]:
                return False
            if not isinstance(item.get("ProductKey", item.get("ProductVersion")), str):
                return False
            deferrals, priority = item.get("MaxUserDeferrals", 0), item.get("Priority", "Low")
            if type(deferrals) is not int or deferrals < 0 or priority not in ("Low", "High"):
                return False
            if not self._mac and ("MaxUserDeferrals" in item or "Priority" in item):
                return False
        return True

    def _take(self, now: int, uuid: str, item: Mapping[str, Any]) -> dict[str, object]:
        """One item of Updates: start what it asks for. The result item; empty where a device leaves it out."""
        asked = InstallAction(item["InstallAction"])
        release = self._wanted(now, item)
        if release is None:
            if self._random.random() < 0.5:
                return {}
            raise _Refusal(12048)
        update = self._update if self._update and self._update.release == release else None
        if self._update and self._update.phase is Phase.INSTALLING:
            if update is None:
                raise _Refusal(12058)
            return self._result(release, InstallAction.INSTALL_ASAP, UpdateStatus.INSTALLING)
        loaded = update is not None and update.phase is not Phase.LOADING
        action = asked
        if asked is InstallAction.DEFAULT:
            action = InstallAction.INSTALL_ASAP if loaded else InstallAction.DOWNLOAD_ONLY
        if not loaded and action is InstallAction.INSTALL_ASAP and not self._mac:
            raise _Refusal(12051 if update else 12059)
        if not loaded:
            update = self._load(now, release, update)
        assert update is not None
        if not action.can_install:
            if action is InstallAction.NOTIFY_ONLY or not update.step:
                update.action = action
        else:
            self._may_install(now)
            update.step, update.action = uuid, action
            counted = action is InstallAction.INSTALL_LATER and release.number.major == self.version.major
            update.max_deferrals = item.get("MaxUserDeferrals") if counted else None
            update.deferrals_left, self._put_offs = update.max_deferrals or 0, 0
            self._truth.add(now, self.udid, What.ACCEPTED, uuid, release.version)
            if loaded:
                self._ask(now, update)
        status = {Phase.LOADING: UpdateStatus.DOWNLOADING, Phase.INSTALLING: UpdateStatus.INSTALLING}
        return self._result(release, action, status.get(update.phase, UpdateStatus.IDLE))

    def _result(self, release: Release, action: InstallAction, status: UpdateStatus) -> dict[str, object]:
        if self.spec.behaviour.substitutes:
            action = {
                InstallAction.INSTALL_FORCE_RESTART: InstallAction.INSTALL_ASAP,
                InstallAction.INSTALL_ASAP: InstallAction.INSTALL_LATER if self._mac else InstallAction.DOWNLOAD_ONLY,
                InstallAction.INSTALL_LATER: InstallAction.NOTIFY_ONLY,
            }.get(action, InstallAction.INSTALL_ASAP if self._mac else action)
        return {"ProductKey": release.product_key, "InstallAction": action.value, "Status": status.value}

    def _wanted(self, now: int, item: Mapping[str, Any]) -> Release | None:
        listed = [release for release in self.releases if self._applies(release)]
        if key := item.get("ProductKey"):
            fresh = not self._mac or self._fresh(now)
            return next((release for release in listed if release.product_key == key and fresh), None)
        version = item.get("ProductVersion")
        fits = [r for r in listed if r.os and not r.extra and (version is None or r.version == version)]
        return max(fits, key=lambda release: release.number, default=None)

    def _applies(self, release: Release) -> bool:
        if not release.os:
            return release.product_key not in self._items
        if release.extra:
            return release.number == self.version and release.extra > self.extra
        return release.number > self.version and release.number.major <= self.spec.newest_major

    def _may_install(self, now: int) -> None:
        """Raises what stands against installing now."""
        habits = self.spec.behaviour
        if habits.battery_flat and (habits.battery_stays_flat or not 0 < self._power_from <= now):
            self._power_from = self._power_from or now + int(habits.battery_flat_hours * HOUR)
            raise _Refusal(12061, UpdateStatus.INSTALL_INSUFFICIENT_POWER)
        if self._refusals > 0:
            self._refusals -= 1
            raise _Refusal(12062, UpdateStatus.INSTALL_FAILED)

    # --- Downloading --------------------------------------------------------------------------------------------------

    def _load(self, now: int, release: Release, under_way: Update | None) -> Update:
        if under_way:
            return under_way
        habits = self.spec.behaviour
        if habits.disk_full:
            until = self._space_from or now + int(habits.disk_full_hours * HOUR)
            self._space_from = until
            if now < until or not habits.disk_full_hours:
                raise _Refusal(12054, UpdateStatus.DOWNLOAD_INSUFFICIENT_SPACE)
        fails = self._downloads_fail > 0
        self._downloads_fail -= fails
        if fails and self._failed_before:
            raise _Refusal(12057, UpdateStatus.DOWNLOAD_FAILED)
        time = self._span(habits.download_minutes, MINUTE)
        update = Update(release, now, now + time)
        self._update = update
        self._truth.add(now, self.udid, What.DOWNLOAD_STARTED, detail=release.version)
        if fails:
            self._at(now + time // 2, lambda at, _: self._load_failed(at, update))
        else:
            self._at(now + time, lambda at, _: self._loaded(at, update))
        return update

    def _load_failed(self, now: int, update: Update) -> None:
        if self._update is update:
            self._update, self._failed_before = None, True
            self._truth.add(now, self.udid, What.DOWNLOAD_FAILED, detail=update.release.version)
            if update.step:
                self._truth.add(now, self.udid, What.INSTALL_FAILED, update.step, update.release.version)

    def _loaded(self, now: int, update: Update) -> None:
        if self._update is not update or update.phase is not Phase.LOADING:
            return
        update.phase = Phase.LOADED
        self._truth.add(now, self.udid, What.DOWNLOAD_DONE, detail=update.release.version)
        if update.action is InstallAction.NOTIFY_ONLY:
            update.notified_at.append(now)
            self._truth.add(now, self.udid, What.NOTIFIED, detail=update.release.version)
        elif update.step:
            self._ask(now, update)

    def _update_itself(self, now: int, _exchange: Exchange) -> None:
        newest = max((r for r in self.releases if self._applies(r) and r.os), key=lambda r: r.number, default=None)
        if newest and self._update is None and self.version < GONE_IN:
            update = Update(newest, now, now + 20 * MINUTE)
            self._update = update
            self._truth.add(now, self.udid, What.DOWNLOAD_STARTED, detail=newest.version)
            self._at(update.done_at, lambda at, _: self._loaded(at, update))
            tonight = self._presence.by_day(update.done_at, hour=2.5)
            self._at(tonight, lambda at, _: self._install(at, update, "system"))

    # --- Asking the user ----------------------------------------------------------------------------------------------

    def _ask(self, now: int, update: Update) -> None:
        """The download is there and a step is to install: at once, after a person's word, or day by day."""
        habits, release = self.spec.behaviour, update.release
        if not release.os:
            self._install(now, update, "command")
        elif update.action is InstallAction.INSTALL_LATER and update.max_deferrals is not None:
            update.phase = Phase.PROMPT
            self._next_prompt(now, update)
        elif update.action is InstallAction.INSTALL_LATER:
            tonight = self._presence.by_day(now, hour=2 + 2 * self._random.random())
            self._at(tonight, lambda at, _: self._install(at, update, "system"))
        elif self._needs_a_person():
            if update.phase is Phase.PROMPT and self._random.random() < 0.5:  # "tonight" was agreed: now it is at once
                self._install(now, update, "command")
                return
            update.phase = Phase.PROMPT
            self._truth.add(now, self.udid, What.PROMPT, update.step, release.version)
            when = now + self._span(habits.prompt_hours, HOUR)
            if self._presence.night(when):
                when = self._presence.by_day(when, hour=8 + 4 * self._random.random())
            when = self._presence.reachable_from(when)
            self._at(when, lambda at, _: self._install(at, update, "user"))
        elif self._mac and update.action is not InstallAction.INSTALL_FORCE_RESTART:
            self._at(now + MINUTE, lambda at, _: self._install(at, update, "command"))
        else:
            self._install(now, update, "command")

    def _needs_a_person(self) -> bool:
        """iOS: a passcode. Macs with Apple silicon and no escrowed bootstrap token: the password of a user."""
        return (self.spec.apple_silicon and not self.spec.bootstrap_token) if self._mac else self.spec.passcode

    def _next_prompt(self, now: int, update: Update) -> None:
        at = self._presence.by_day(now, hour=10 + 5 * self._random.random())
        update.next_prompt_at = at
        self._at(at, lambda then, _: self._prompt(then, update))

    def _prompt(self, now: int, update: Update) -> None:
        """The daily reminder of InstallLater with a number of deferrals."""
        if self._update is not update or update.phase is not Phase.PROMPT or now < update.next_prompt_at:
            return
        update.notified_at.append(now)
        self._truth.add(now, self.udid, What.PROMPT, update.step, update.release.version)
        if update.deferrals_left <= 0:
            self._install(now, update, "forced")
        elif self._put_offs >= self.spec.behaviour.put_offs:
            self._install(now, update, "user")
        else:
            self._put_offs += 1
            update.deferrals_left -= 1
            self._truth.add(now, self.udid, What.PUT_OFF, update.step, str(update.deferrals_left))
            self._next_prompt(now + 15 * HOUR, update)  # tomorrow

    # --- Installing ---------------------------------------------------------------------------------------------------

    def _install(self, now: int, update: Update, by: str) -> None:
        if self._update is not update or update.phase in (Phase.LOADING, Phase.INSTALLING):
            return
        update.phase = Phase.INSTALLING
        self._truth.add(now, self.udid, What.INSTALL_STARTED, update.step, by)
        fails = self._installs_fail > 0
        self._installs_fail -= fails
        time = self._span(self.spec.behaviour.install_minutes, MINUTE)
        if not update.release.os:
            self._at(now + time // 4, lambda at, _: self._item_installed(at, update))
            return
        self._at(now + time * 6 // 10, lambda at, _: self._go_down(now + time))
        self._at(now + time, lambda at, _: self._up_again(at, update, installed=not fails))

    def _go_down(self, until: int) -> None:
        self._down_until = until
        self._end_session()

    def _up_again(self, now: int, update: Update, *, installed: bool) -> None:
        """The restart is over. The device connects by itself once."""
        release, self._update = update.release, None
        self._truth.add(now, self.udid, What.RESTARTED)
        if installed:
            self.version, self.build, self.extra = release.number, release.build, release.extra
            self._scanned_at = None
            self._truth.add(now, self.udid, What.INSTALLED, update.step, f"{release.version}{release.extra}")
        else:
            update.phase, update.step = Phase.LOADED, ""
            self._update = update
            self._truth.add(now, self.udid, What.INSTALL_FAILED, detail=release.version)
        if self.enrolled:
            self._wake(now + self._span((20, 90), SECOND))

    def _item_installed(self, now: int, update: Update) -> None:
        self._update = None
        self._items.add(update.release.product_key)
        self._truth.add(now, self.udid, What.INSTALLED, update.step, update.release.product_key)

    # --- Answers to queries -------------------------------------------------------------------------------------------

    def _fresh(self, now: int) -> bool:
        return self._scanned_at is not None and self._scanned_at <= now

    def _scan(self, now: int, uuid: str, command: Mapping[str, Any]) -> None:
        if not self._mac:
            raise _Refusal(12021)
        if not self._fresh(now) or command.get("Force"):
            done_at = now + self._span(self.spec.behaviour.scan_seconds, SECOND)
            self._scanned_at = self._scanned_at if self._fresh(now) else done_at
        self._acknowledge(uuid, ScanInitiated=True)

    def _available(self, now: int, uuid: str, command: Mapping[str, Any]) -> None:
        listed = [release for release in self.releases if self._applies(release)]
        if self._mac:
            if self._scans_fail > 0:
                self._scans_fail -= 1
                raise _Refusal(12050)
            self._acknowledge(uuid, AvailableOSUpdates=[self._listed(r) for r in listed] if self._fresh(now) else [])
        elif listed:
            newest = max(listed, key=lambda release: (release.number, release.extra))
            self._acknowledge(uuid, AvailableOSUpdates=[self._listed(newest)])
        else:
            self._lay(uuid, CommandStatus.ERROR, {"ErrorChain": list(_NO_UPDATE)})

    def _listed(self, release: Release) -> dict[str, object]:
        words: dict[str, object] = {"ProductKey": release.product_key, "HumanReadableName": release.name}
        words |= {"Version": release.version, "Build": release.build, "DownloadSize": release.download_bytes}
        words |= {"IsCritical": False, "RestartRequired": release.os, "AllowsInstallLater": True}
        words |= {"IsSecurityResponse": bool(release.extra)}
        if release.extra:
            words |= {"SupplementalBuildVersion": release.build, "SupplementalOSVersionExtra": release.extra}
        if not self._mac:
            return words | {"ProductName": self.spec.platform.schema.value, "InstallSize": release.install_bytes}
        words |= {"HumanReadableNameLocale": "en-US", "AppIdentifiersToClose": [], "IsConfigDataUpdate": False}
        words |= {"IsFirmwareUpdate": False, "RequiresBootstrapToken": self.spec.apple_silicon}
        return words | {"IsMajorOSUpdate": release.os and release.number.major > self.version.major}

    def _status(self, now: int, uuid: str, command: Mapping[str, Any]) -> None:
        update = self._update
        if update is None:
            self._acknowledge(uuid, OSUpdateStatus=[])
            return
        loaded = update.phase is not Phase.LOADING
        share = (now - update.started_at) / max(1, update.done_at - update.started_at)
        percent = 1.0 if loaded else min(0.99, max(0.0, share))
        status = {Phase.LOADING: UpdateStatus.DOWNLOADING, Phase.INSTALLING: UpdateStatus.INSTALLING}
        item: dict[str, object] = {"ProductKey": update.release.product_key, "IsDownloaded": loaded}
        item |= {"DownloadPercentComplete": round(percent, 4)}
        item |= {"Status": status.get(update.phase, UpdateStatus.IDLE).value}
        if self._mac and self.version >= COUNTED_DEFERRALS and update.max_deferrals is not None:
            item |= {"MaxDeferrals": update.max_deferrals, "DeferralsRemaining": update.deferrals_left}
            if update.next_prompt_at:
                item["NextScheduledInstall"] = _date(update.next_prompt_at + update.deferrals_left * DAY)
            item["PastNotifications"] = [_date(at) for at in update.notified_at]
        self._acknowledge(uuid, OSUpdateStatus=[item])

    def _information(self, now: int, uuid: str, command: Mapping[str, Any]) -> None:
        spec, habits = self.spec, self.spec.behaviour
        flat = habits.battery_flat and (habits.battery_stays_flat or not 0 < self._power_from <= now)
        known: dict[str, object] = {
            "UDID": spec.udid,
            "SerialNumber": spec.serial,
            "DeviceName": spec.name,
            "OSVersion": self.version.text,
            "BuildVersion": self.build,
            "SupplementalBuildVersion": self.build,
            "SupplementalOSVersionExtra": self.extra,
            "IsSupervised": spec.supervised,
            "ProductName": spec.product_name,
            "Model": spec.model,
            "ModelName": spec.platform.value,
            "DeviceCapacity": 64.0,
            "AvailableDeviceCapacity": 1.5 if habits.disk_full and not habits.disk_full_hours else 23.25,
            "BatteryLevel": -1.0 if spec.platform is Platform.TVOS else 0.06 if flat else 0.83,
        }
        if self._mac:
            known["IsAppleSilicon"] = spec.apple_silicon
        else:
            known["IsMultiUser"] = spec.shared_ipad
        if self.version < GONE_IN:
            known["SoftwareUpdateDeviceID"] = spec.product_name
        asked = command.get("Queries")
        answers = {key: known[key] for key in asked if key in known} if isinstance(asked, list) else known
        self._acknowledge(uuid, QueryResponses=answers)

    def _security(self, now: int, uuid: str, command: Mapping[str, Any]) -> None:
        if self._mac:
            silicon = self.spec.apple_silicon
            allowed = "not supported" if not silicon else "allowed" if self.spec.bootstrap_token else "disallowed"
            known: dict[str, object] = {"FDE_Enabled": True, "SystemIntegrityProtectionEnabled": True}
            known |= {"BootstrapTokenAllowedForAuthentication": allowed}
            known |= {"BootstrapTokenRequiredForSoftwareUpdate": silicon}
        else:
            known = {"PasscodePresent": self.spec.passcode, "HardwareEncryptionCaps": 3, "PasscodeCompliant": True}
        self._acknowledge(uuid, SecurityInfo=known)


_ANSWERS: Mapping[str, Callable[[SimulatedDevice, int, str, Mapping[str, Any]], None]] = {
    RequestType.SCHEDULE_OS_UPDATE: SimulatedDevice._schedule,
    RequestType.AVAILABLE_OS_UPDATES: SimulatedDevice._available,
    RequestType.OS_UPDATE_STATUS: SimulatedDevice._status,
    RequestType.SCHEDULE_OS_UPDATE_SCAN: SimulatedDevice._scan,
    RequestType.DEVICE_INFORMATION: SimulatedDevice._information,
    RequestType.SECURITY_INFO: SimulatedDevice._security,
}
_UPDATE_COMMANDS = {
    RequestType.SCHEDULE_OS_UPDATE,
    RequestType.AVAILABLE_OS_UPDATES,
    RequestType.OS_UPDATE_STATUS,
    RequestType.SCHEDULE_OS_UPDATE_SCAN,
}
_MOBILE_ACTIONS = {InstallAction.DEFAULT, InstallAction.DOWNLOAD_ONLY, InstallAction.INSTALL_ASAP}
_ACTIONS = {False: _MOBILE_ACTIONS, True: set(InstallAction) - {InstallAction.ERROR}}
_UNSUPERVISED = {
    "ErrorDomain": "MCChaperoneErrorDomain",
    "ErrorCode": 29000,
    "LocalizedDescription": "The device is not supervised.",
}
_NO_UPDATE = (
    {
        "ErrorDomain": "DeviceManagement.error",
        "ErrorCode": 2213,
        "LocalizedDescription": "No update available",
    },
    {
        "ErrorDomain": "com.apple.softwareupdateservices.errors",
        "ErrorCode": 3,
        "LocalizedDescription": "The software is up to date.",
    },
)


def _mdm_error(code: int) -> dict[str, object]:
    words = MDM_ERRORS.get(code, "The command is not well formed.")
    return {"ErrorDomain": "MCMDMErrorDomain", "ErrorCode": code, "LocalizedDescription": words}


def _date(at: int) -> datetime:
    return datetime.fromtimestamp(at // SECOND, UTC)
