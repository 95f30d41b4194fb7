"""What a simulated device does with one update: downloads, asks its user, installs, restarts. No messages in here.

Source: Apple's device management schema for what each action does; the field for what goes wrong.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from heapq import heappop, heappush
from random import Random
from typing import Any

from osupdate_kit.lab.clock import HOUR, MINUTE, SECOND
from osupdate_kit.lab.habits import Presence
from osupdate_kit.lab.specs import DeviceSpec, Release, Span
from osupdate_kit.lab.truth import TruthLog, What
from osupdate_kit.protocol.terms import InstallAction, Platform, UpdateStatus
from osupdate_kit.protocol.versions import OSVersion

GONE_IN = OSVersion.parse("27.0")  # the four update commands


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
    declared: str = ""  # identifier of the declaration that manages it
    action: InstallAction = InstallAction.DOWNLOAD_ONLY
    max_deferrals: int | None = None
    deferrals_left: int = 0
    next_prompt_at: int = 0
    notified_at: list[int] = field(default_factory=list)

    @property
    def origin(self) -> str:
        """What is behind an install of it, as the truth log names it."""
        return self.step or self.declared


class Refusal(Exception):
    """The device says no: an answer, no fault of ours. code: of MCMDMErrorDomain."""

    def __init__(self, code: int, status: UpdateStatus = UpdateStatus.IDLE) -> None:
        super().__init__(code)
        self.code, self.status = code, status


class Agenda:
    """What one device will do, by time; in the order of booking where times are equal."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callable[[int], None]]] = []
        self._number = 0

    def at(self, at: int, act: Callable[[int], None]) -> None:
        self._number += 1
        heappush(self._heap, (at, self._number, act))

    def next_at(self) -> int | None:
        return self._heap[0][0] if self._heap else None

    def run(self, now: int) -> None:
        """Do all that is due, and what becomes due by it."""
        while self._heap and self._heap[0][0] <= now:
            heappop(self._heap)[2](now)


class SoftwareUpdates:
    """The system's side of updates. goes_down(until), is_up(now): told about restarts."""

    def __init__(
        self,
        spec: DeviceSpec,
        releases: Sequence[Release],
        truth: TruthLog,
        random: Random,
        presence: Presence,
        agenda: Agenda,
        *,
        goes_down: Callable[[int], None],
        is_up: Callable[[int], None],
    ) -> None:
        self.releases = tuple(releases)
        self.version, self.build, self.extra = spec.version, spec.build, ""
        self.current: Update | None = None
        self._spec, self._truth, self._random, self._presence, self._agenda = spec, truth, random, presence, agenda
        self._goes_down, self._is_up = goes_down, is_up
        self._items: set[str] = set()  # product keys of installed items that are no OS
        self._scanned_at: int | None = None
        self._space_from = 0  # when somebody makes room on the disk, or charges the battery
        self._power_from = 0
        habits = spec.behaviour
        self._downloads_fail, self._installs_fail = habits.downloads_fail, habits.installs_fail
        self._refusals = habits.installs_refused
        self._failed_before = False
        self._put_offs = 0
        self.told: Callable[[int, str], None] = _nobody  # told(now, what failed: download, install or nothing)

    @property
    def installing(self) -> bool:
        return self.current is not None and self.current.phase is Phase.INSTALLING

    def flat(self, now: int) -> bool:
        """Is the battery flat?"""
        habits = self._spec.behaviour
        return habits.battery_flat and (habits.battery_stays_flat or not 0 < self._power_from <= now)

    def scan(self, now: int) -> None:
        """macOS: look for updates; the list stays as it was until the scan is over."""
        if not self.fresh(now):
            self._scanned_at = now + self._between(self._spec.behaviour.scan_seconds, SECOND)

    def update_itself(self, at: int) -> None:
        """Have the system install the newest release unasked, from `at` on."""
        self._agenda.at(at, self._update_itself)

    @property
    def mac(self) -> bool:
        return self._spec.platform is Platform.MACOS

    def fresh(self, now: int) -> bool:
        """macOS: does the list show what a finished scan found?"""
        return self._scanned_at is not None and self._scanned_at <= now

    def applies(self, release: Release) -> bool:
        """Is it newer than what is installed, and made for this model?"""
        if not release.os:
            return release.product_key not in self._items
        if release.extra:
            return release.number == self.version and release.extra > self.extra
        return release.number > self.version and release.number.major <= self._spec.newest_major

    def take(self, now: int, uuid: str, item: Mapping[str, Any]) -> dict[str, object]:
        """Start what one item of Updates asks for. The result item; empty where a device leaves it out.

        Raises Refusal for what the device answers with an error.
        """
        asked = InstallAction(item["InstallAction"])
        release = self._wanted(now, item)
        if release is None:
            if self._random.random() < 0.5:
                return {}
            raise Refusal(12048)
        update = self.current if self.current and self.current.release == release else None
        if self.current and self.current.phase is Phase.INSTALLING:
            if update is None:
                raise Refusal(12058)
            return self._result(release, InstallAction.INSTALL_ASAP, UpdateStatus.INSTALLING)
        loaded = update is not None and update.phase is not Phase.LOADING
        action = asked
        if asked is InstallAction.DEFAULT:
            action = InstallAction.INSTALL_ASAP if loaded else InstallAction.DOWNLOAD_ONLY
        if not loaded and action is InstallAction.INSTALL_ASAP and not self.mac:
            raise Refusal(12051 if update else 12059)
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
            self._truth.add(now, self._spec.udid, What.ACCEPTED, uuid, release.version)
            if loaded:
                self._ask(now, update)
        status = {Phase.LOADING: UpdateStatus.DOWNLOADING, Phase.INSTALLING: UpdateStatus.INSTALLING}
        return self._result(release, action, status.get(update.phase, UpdateStatus.IDLE))

    def declare(self, now: int, release: Release, identifier: str) -> None:
        """A declaration manages this release from now on: load it, and let nothing else install it. Raises Refusal."""
        update = self.current if self.current and self.current.release == release else None
        if update is None:
            self.current = None
            update = self._load(now, release, None)
        elif update.phase is Phase.PROMPT:
            update.phase = Phase.LOADED
        update.declared, update.step, update.action = identifier, "", InstallAction.DOWNLOAD_ONLY
        if update.phase is Phase.LOADED:
            self.told(now, "")

    def undeclare(self, identifier: str) -> None:
        """That declaration manages nothing any more; what is loaded stays."""
        if self.current and self.current.declared == identifier and not self.installing:
            self.current.declared = ""

    def install_declared(self, now: int, by: str) -> None:
        """Install what is loaded and declared. Raises Refusal for what stands against it."""
        assert self.current is not None
        self._may_install(now)
        self._install(now, self.current, by)

    def _result(self, release: Release, action: InstallAction, status: UpdateStatus) -> dict[str, object]:
        if self._spec.behaviour.substitutes:
            action = {
                InstallAction.INSTALL_FORCE_RESTART: InstallAction.INSTALL_ASAP,
                InstallAction.INSTALL_ASAP: InstallAction.INSTALL_LATER if self.mac else InstallAction.DOWNLOAD_ONLY,
                InstallAction.INSTALL_LATER: InstallAction.NOTIFY_ONLY,
            }.get(action, InstallAction.INSTALL_ASAP if self.mac else action)
        return {"ProductKey": release.product_key, "InstallAction": action.value, "Status": status.value}

    def _wanted(self, now: int, item: Mapping[str, Any]) -> Release | None:
        listed = [release for release in self.releases if self.applies(release)]
        if key := item.get("ProductKey"):
            fresh = not self.mac or self.fresh(now)
            return next((release for release in listed if release.product_key == key and fresh), None)
        version = item.get("ProductVersion")
        fits = [r for r in listed if r.os and not r.extra and (version is None or r.version == version)]
        return max(fits, key=lambda release: release.number, default=None)

    def _may_install(self, now: int) -> None:
        """Raises what stands against installing now."""
        habits = self._spec.behaviour
        if self.flat(now):
            self._power_from = self._power_from or now + int(habits.battery_flat_hours * HOUR)
            raise Refusal(12061, UpdateStatus.INSTALL_INSUFFICIENT_POWER)
        if self._refusals > 0:
            self._refusals -= 1
            raise Refusal(12062, UpdateStatus.INSTALL_FAILED)

    def _between(self, span: Span, unit: int) -> int:
        return int(self._random.uniform(*span) * unit)

    # --- Downloading --------------------------------------------------------------------------------------------------

    def _load(self, now: int, release: Release, under_way: Update | None) -> Update:
        if under_way:
            return under_way
        habits = self._spec.behaviour
        if habits.disk_full:
            until = self._space_from or now + int(habits.disk_full_hours * HOUR)
            self._space_from = until
            if now < until or not habits.disk_full_hours:
                raise Refusal(12054, UpdateStatus.DOWNLOAD_INSUFFICIENT_SPACE)
        fails = self._downloads_fail > 0
        self._downloads_fail -= fails
        if fails and self._failed_before:
            raise Refusal(12057, UpdateStatus.DOWNLOAD_FAILED)
        time = self._between(habits.download_minutes, MINUTE)
        update = Update(release, now, now + time)
        self.current = update
        self._truth.add(now, self._spec.udid, What.DOWNLOAD_STARTED, detail=release.version)
        if fails:
            self._agenda.at(now + time // 2, lambda at: self._load_failed(at, update))
        else:
            self._agenda.at(now + time, lambda at: self._loaded(at, update))
        return update

    def _load_failed(self, now: int, update: Update) -> None:
        if self.current is update:
            self.current, self._failed_before = None, True
            self._truth.add(now, self._spec.udid, What.DOWNLOAD_FAILED, detail=update.release.version)
            if update.step:
                self._truth.add(now, self._spec.udid, What.INSTALL_FAILED, update.step, update.release.version)
            self.told(now, "download")

    def _loaded(self, now: int, update: Update) -> None:
        if self.current is not update or update.phase is not Phase.LOADING:
            return
        update.phase = Phase.LOADED
        self._truth.add(now, self._spec.udid, What.DOWNLOAD_DONE, detail=update.release.version)
        if update.action is InstallAction.NOTIFY_ONLY:
            update.notified_at.append(now)
            self._truth.add(now, self._spec.udid, What.NOTIFIED, detail=update.release.version)
        elif update.step:
            self._ask(now, update)
        self.told(now, "")

    def _update_itself(self, now: int) -> None:
        newest = max((r for r in self.releases if self.applies(r) and r.os), key=lambda r: r.number, default=None)
        if newest and self.current is None and self.version < GONE_IN:
            update = Update(newest, now, now + 20 * MINUTE)
            self.current = update
            self._truth.add(now, self._spec.udid, What.DOWNLOAD_STARTED, detail=newest.version)
            self._agenda.at(update.done_at, lambda at: self._loaded(at, update))
            tonight = self._presence.by_day(update.done_at, hour=2.5)
            self._agenda.at(tonight, lambda at: self._install(at, update, "system"))

    # --- Asking the user ----------------------------------------------------------------------------------------------

    def _ask(self, now: int, update: Update) -> None:
        """The download is there and a step is to install: at once, after a person's word, or day by day."""
        habits, release = self._spec.behaviour, update.release
        if not release.os:
            self._install(now, update, "command")
        elif update.action is InstallAction.INSTALL_LATER and update.max_deferrals is not None:
            update.phase = Phase.PROMPT
            self._next_prompt(now, update)
        elif update.action is InstallAction.INSTALL_LATER:
            tonight = self._presence.by_day(now, hour=2 + 2 * self._random.random())
            self._agenda.at(tonight, lambda at: self._install(at, update, "system"))
        elif self._needs_a_person():
            if update.phase is Phase.PROMPT and self._random.random() < 0.5:  # "tonight" was agreed: now it is at once
                self._install(now, update, "command")
                return
            update.phase = Phase.PROMPT
            self._truth.add(now, self._spec.udid, What.PROMPT, update.step, release.version)
            when = now + self._between(habits.prompt_hours, HOUR)
            if self._presence.night(when):
                when = self._presence.by_day(when, hour=8 + 4 * self._random.random())
            when = self._presence.reachable_from(when)
            self._agenda.at(when, lambda at: self._install(at, update, "user"))
        elif self.mac and update.action is not InstallAction.INSTALL_FORCE_RESTART:
            self._agenda.at(now + MINUTE, lambda at: self._install(at, update, "command"))
        else:
            self._install(now, update, "command")

    def _needs_a_person(self) -> bool:
        """iOS: a passcode. Macs with Apple silicon and no escrowed bootstrap token: the password of a user."""
        return (self._spec.apple_silicon and not self._spec.bootstrap_token) if self.mac else self._spec.passcode

    def _next_prompt(self, now: int, update: Update) -> None:
        at = self._presence.by_day(now, hour=10 + 5 * self._random.random())
        update.next_prompt_at = at
        self._agenda.at(at, lambda then: self._prompt(then, update))

    def _prompt(self, now: int, update: Update) -> None:
        """The daily reminder of InstallLater with a number of deferrals."""
        if self.current is not update or update.phase is not Phase.PROMPT or now < update.next_prompt_at:
            return
        update.notified_at.append(now)
        self._truth.add(now, self._spec.udid, What.PROMPT, update.step, update.release.version)
        if update.deferrals_left <= 0:
            self._install(now, update, "forced")
        elif self._put_offs >= self._spec.behaviour.put_offs:
            self._install(now, update, "user")
        else:
            self._put_offs += 1
            update.deferrals_left -= 1
            self._truth.add(now, self._spec.udid, What.PUT_OFF, update.step, str(update.deferrals_left))
            self._next_prompt(now + 15 * HOUR, update)  # tomorrow

    # --- Installing ---------------------------------------------------------------------------------------------------

    def _install(self, now: int, update: Update, by: str) -> None:
        if self.current is not update or update.phase in (Phase.LOADING, Phase.INSTALLING):
            return
        update.phase = Phase.INSTALLING
        self._truth.add(now, self._spec.udid, What.INSTALL_STARTED, update.origin, by)
        self.told(now, "")
        fails = self._installs_fail > 0
        self._installs_fail -= fails
        time = self._between(self._spec.behaviour.install_minutes, MINUTE)
        if not update.release.os:
            self._agenda.at(now + time // 4, lambda at: self._item_installed(at, update))
            return
        self._agenda.at(now + time * 6 // 10, lambda at: self._goes_down(now + time))
        self._agenda.at(now + time, lambda at: self._up_again(at, update, installed=not fails))

    def _up_again(self, now: int, update: Update, *, installed: bool) -> None:
        """The restart is over."""
        release, self.current = update.release, None
        self._truth.add(now, self._spec.udid, What.RESTARTED)
        if installed:
            self.version, self.build, self.extra = release.number, release.build, release.extra
            self._scanned_at = None
            self._truth.add(now, self._spec.udid, What.INSTALLED, update.origin, f"{release.version}{release.extra}")
        else:
            update.phase, update.step = Phase.LOADED, ""
            self.current = update
            self._truth.add(now, self._spec.udid, What.INSTALL_FAILED, detail=release.version)
            self.told(now, "install")
        self._is_up(now)

    def _item_installed(self, now: int, update: Update) -> None:
        self.current = None
        self._items.add(update.release.product_key)
        self._truth.add(now, self._spec.udid, What.INSTALLED, update.step, update.release.product_key)


def _nobody(now: int, failed: str) -> None:
    """Nobody has to be told."""
