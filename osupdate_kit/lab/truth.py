"""What really happened, as only the simulator knows it: append-only, one entry after the other.

Knows nothing of the kit. Devices and the server before them write; tests and rehearsals compare.
"""

import json
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from osupdate_kit.protocol.terms import InstallAction


class What(StrEnum):
    """The closed list of entries; in brackets what `detail` says."""

    ENROLLED = "enrolled"  # (version)
    CHECKED_OUT = "checked_out"
    QUEUED = "queued"  # the server took an enqueue call (request type, or ScheduleOSUpdate:action)
    PUSHED = "pushed"
    CLEARED = "cleared"  # Authenticate emptied the server's queue
    AWAKE = "awake"  # the device connects
    HANDED = "handed"  # the server gave this command to the device (as QUEUED)
    ANSWERED = "answered"  # the device's report reached the server (status)
    UNANSWERED = "unanswered"  # the device acted or not, and its report never left it (why)
    DOWNLOAD_STARTED = "download_started"  # (version)
    DOWNLOAD_DONE = "download_done"  # (version)
    DOWNLOAD_FAILED = "download_failed"  # (version)
    ACCEPTED = "accepted"  # the device will install because of this command (version)
    PROMPT = "prompt"  # a person is asked (version)
    PUT_OFF = "put_off"  # and says later (remaining deferrals, if counted)
    NOTIFIED = "notified"  # NotifyOnly did what it can (version)
    ASSIGNED = "assigned"  # the server of declarations took it: the device is to have this set (set)
    UNASSIGNED = "unassigned"  # and no longer (set)
    DECLARED = "declared"  # the device took an enforcement into force; it stands for the UUID (version)
    UNDECLARED = "undeclared"  # and let go of it (version)
    INSTALL_STARTED = "install_started"  # (command, user, system, forced or declaration)
    INSTALL_FAILED = "install_failed"  # (version)
    INSTALLED = "installed"  # (version)
    RESTARTED = "restarted"


class Entry(NamedTuple):
    """One entry; `at` in microseconds UTC of the lab's clock, `command_uuid` empty where no command is behind it.

    Where a declaration is behind it, its identifier stands there instead.
    """

    at: int
    udid: str
    what: What
    command_uuid: str = ""
    detail: str = ""


class SecondInstall(NamedTuple):
    """An install step that was queued while another was open: what invariant I1 forbids the kit."""

    at: int
    udid: str
    command_uuid: str
    open_uuid: str  # empty: the device was installing by itself


class Installed(NamedTuple):
    """What brought one version onto a device. instrument: command, declaration, or system for neither."""

    at: int
    version: str
    instrument: str
    by: str  # command, user, system, forced or declaration: whose hand it was
    origin: str  # the command's UUID or the declaration's identifier


class Fight(NamedTuple):
    """A device that could install by a command and by a declaration at once."""

    at: int
    udid: str
    command_uuid: str
    declaration: str


class TruthLog:
    """All entries in the order in which they happened."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._versions: dict[str, list[tuple[int, str]]] = {}

    def add(self, at: int, udid: str, what: What, command_uuid: str = "", detail: str = "") -> None:
        self.entries.append(Entry(at, udid, what, command_uuid, detail))
        if what in (What.INSTALLED, What.ENROLLED):
            self._versions.setdefault(udid, []).append((at, detail))

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def of(self, udid: str, *whats: What) -> list[Entry]:
        """The entries of one device, of these kinds or of all."""
        return [entry for entry in self.entries if entry.udid == udid and (not whats or entry.what in whats)]

    def version(self, udid: str, at: int | None = None) -> str:
        """The OS version on the device, now or as of `at`; empty before it enrolled."""
        known = self._versions.get(udid, [])
        index = len(known) if at is None else bisect_right(known, at, key=lambda pair: pair[0])
        return known[index - 1][1] if index else ""

    def versions(self) -> Mapping[str, str]:
        """The OS version on every device now."""
        return {udid: known[-1][1] for udid, known in self._versions.items()}

    def second_installs(self, own: Collection[str] | None = None) -> list[SecondInstall]:
        """Install steps queued, with another UUID, while one was open on the server, accepted, or running.

        own: only steps with these command UUIDs are looked at; None: all, other parties' and the system's too. An open
        step is one that can install and is queued without a final answer; a running one lasts from its acceptance,
        prompt or start until installed or failed.
        """
        queued: dict[str, set[str]] = {}
        running: dict[str, str] = {}
        ended: set[tuple[str, str]] = set()  # on a real server an answer may be told before the enqueue is
        found = []
        for at, udid, what, uuid, detail in self.entries:
            if own is not None and uuid not in own and (what is What.QUEUED or what in _BEGINS):
                continue
            if what is What.QUEUED and can_install(detail) and (udid, uuid) not in ended:
                others = queued.setdefault(udid, set()) - {uuid}
                if others:
                    found.append(SecondInstall(at, udid, uuid, min(others)))
                elif running.get(udid, uuid) != uuid:
                    found.append(SecondInstall(at, udid, uuid, running[udid]))
                queued[udid].add(uuid)
            elif what is What.ANSWERED and detail != "NotNow":
                queued.get(udid, set()).discard(uuid)
                ended.add((udid, uuid))
            elif what is What.CLEARED:
                queued.pop(udid, None)
            elif what in _BEGINS:
                running[udid] = uuid
            elif what in (What.INSTALLED, What.INSTALL_FAILED):
                running.pop(udid, None)
        return found

    def installs(self, udid: str) -> list[Installed]:
        """Each version that came onto the device after its enrolment, and by which instrument."""
        declared = {entry.command_uuid for entry in self.of(udid, What.DECLARED)}
        found, by = [], ""
        for entry in self.of(udid, What.INSTALL_STARTED, What.INSTALLED):
            if entry.what is What.INSTALL_STARTED:
                by = entry.detail
                continue
            origin = entry.command_uuid
            instrument = "declaration" if origin in declared else "command" if origin else "system"
            found.append(Installed(entry.at, entry.detail, instrument, by, origin))
        return found

    def fights(self, own: Collection[str] | None = None) -> list[Fight]:
        """Install steps that were open on the server, accepted or running while the device was declared.

        own: only steps with these command UUIDs count. A step counts as open from its enqueue to its answer, and from
        its acceptance until it is installed or failed.
        """
        queued: dict[str, set[str]] = {}
        running: dict[str, str] = {}
        declared: dict[str, set[str]] = {}
        ended: set[tuple[str, str]] = set()
        found = []
        for at, udid, what, uuid, detail in self.entries:
            mine = own is None or uuid in own
            if what is What.QUEUED and mine and can_install(detail) and (udid, uuid) not in ended:
                queued.setdefault(udid, set()).add(uuid)
            elif what is What.ANSWERED and detail != "NotNow":
                queued.get(udid, set()).discard(uuid)
                ended.add((udid, uuid))
            elif what is What.CLEARED:
                queued.pop(udid, None)
            elif what is What.DECLARED:
                declared.setdefault(udid, set()).add(uuid)
            elif what is What.UNDECLARED:
                declared.get(udid, set()).discard(uuid)
            elif what in _BEGINS and mine and uuid and uuid not in declared.get(udid, set()):
                running[udid] = uuid
            elif what in (What.INSTALLED, What.INSTALL_FAILED):
                running.pop(udid, None)
            else:
                continue
            steps = queued.get(udid, set()) | ({running[udid]} if udid in running else set())
            if steps and declared.get(udid) and what in (What.QUEUED, What.DECLARED, *_BEGINS):
                found.append(Fight(at, udid, min(steps), min(declared[udid])))
        return found

    def write(self, path: Path) -> None:
        """All entries as JSON lines."""
        with path.open("w", encoding="utf-8") as file:
            for entry in self.entries:
                file.write(json.dumps(entry._asdict(), separators=(",", ":")) + "\n")

    @classmethod
    def read(cls, path: Path) -> "TruthLog":
        log = cls()
        with path.open(encoding="utf-8") as file:
            for line in file:
                words = json.loads(line)
                log.add(words["at"], words["udid"], What(words["what"]), words["command_uuid"], words["detail"])
        return log


def command_words(command: Mapping[str, object]) -> str:
    """How the log names a command: its request type, for ScheduleOSUpdate with the first action: `…:InstallASAP`."""
    updates = command.get("Updates")
    first = updates[0] if isinstance(updates, list) and updates else None
    if isinstance(first, dict):
        return f"{command.get('RequestType')}:{first.get('InstallAction')}"
    return str(command.get("RequestType"))


_BEGINS = (What.ACCEPTED, What.PROMPT, What.INSTALL_STARTED)
_HARMLESS = {action.value for action in InstallAction if not action.can_install}


def can_install(words: str) -> bool:
    """May a device that is handed the command named so install because of it?"""
    request_type, _, action = words.partition(":")
    if request_type != "ScheduleOSUpdate":
        return False
    return action not in _HARMLESS
