"""One simulated Apple device: speaks plists through an `exchange`, wakes by push, follows Apple's rule of connecting.

Its behaviour depends on its seed and on what happens to it, on nothing else. Knows nothing of the kit, and of a server
only what it answers.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from osupdate_kit.lab.answers import Answers
from osupdate_kit.lab.clock import DAY, MINUTE, SECOND
from osupdate_kit.lab.declared import Declarative
from osupdate_kit.lab.habits import Presence
from osupdate_kit.lab.plists import read_command, write_plist
from osupdate_kit.lab.specs import DeviceSpec, Release, Span
from osupdate_kit.lab.truth import TruthLog, What, command_words
from osupdate_kit.lab.updates import Agenda, SoftwareUpdates
from osupdate_kit.protocol.terms import CommandStatus, Platform

Exchange = Callable[[str, bytes], bytes]
"""exchange("checkin" | "connect", body) → the server's answer, b"" if none. Raises OSError if the connection fails."""

TOPIC = "com.apple.mgmt.External.5f0c5e0e-9a3b-4d0f-8f5e-6c1f3a8d2b47"


class SimulatedDevice:
    """`enrol`, then `push` at will; whenever `next_at()` has come, call `turn`."""

    def __init__(self, spec: DeviceSpec, releases: Sequence[Release], truth: TruthLog) -> None:
        self.spec, self.enrolled = spec, False
        self._truth, self._random, self._presence = truth, Random(spec.seed), Presence(spec)
        self._agenda = Agenda()
        self._updates = SoftwareUpdates(
            spec,
            releases,
            truth,
            self._random,
            self._presence,
            self._agenda,
            goes_down=self._go_down,
            is_up=self._back_again,
        )
        self._declared = Declarative(
            spec,
            self._updates,
            self._presence,
            self._random,
            self._agenda,
            truth,
            lambda kind, body: self._exchange(kind, body),
        )
        self._answers = Answers(spec, self._updates, self._declared, self._presence, self._random)
        self._exchange: Exchange = _nowhere
        self._session = 0  # counts sessions; odd while one is open
        self._again = False  # pushed during a session
        self._report = b""
        self._about = ("", "")  # command UUID and status of the report
        self._wake_at: int | None = None
        self._down_until = 0
        self._idle = write_plist({"UDID": spec.udid, "Status": CommandStatus.IDLE.value})

    # --- The outside --------------------------------------------------------------------------------------------------

    @property
    def udid(self) -> str:
        return self.spec.udid

    @property
    def updates(self) -> SoftwareUpdates:
        """The system behind the messages: its version, its releases, what is under way."""
        return self._updates

    def secrets(self) -> tuple[bytes, ...]:
        """What its server is told and nobody else may keep: UnlockToken, Token, PushMagic, bootstrap token."""
        return tuple(f"{word}-of-{self.udid}".encode() for word in ("unlock", "token", "magic", "bootstrap"))

    def next_at(self) -> int | None:
        """When something happens on the device next; None: nothing until a push."""
        return self._agenda.next_at()

    def enrol(self, now: int, exchange: Exchange) -> None:
        """Authenticate and TokenUpdate, a Mac escrows its bootstrap token. Raises OSError if the server refuses."""
        spec, (unlock, token, magic, bootstrap) = self.spec, self.secrets()
        told: dict[str, object] = {"MessageType": "Authenticate", "UDID": spec.udid, "Topic": TOPIC}
        told |= {"SerialNumber": spec.serial, "Model": spec.model, "ProductName": spec.product_name}
        told |= {"DeviceName": spec.name, "OSVersion": self._updates.version.text, "BuildVersion": self._updates.build}
        exchange("checkin", write_plist(told))
        self._truth.add(now, spec.udid, What.CLEARED)
        self._declared.forget(now)
        told = {"MessageType": "TokenUpdate", "UDID": spec.udid, "Topic": TOPIC, "Token": token}
        told |= {"PushMagic": magic.decode(), "AwaitingConfiguration": False}
        if spec.platform is not Platform.MACOS:
            told["UnlockToken"] = unlock
        exchange("checkin", write_plist(told))
        if spec.platform is Platform.MACOS and spec.bootstrap_token:
            told = {"MessageType": "SetBootstrapToken", "UDID": spec.udid, "BootstrapToken": bootstrap}
            exchange("checkin", write_plist(told | {"AwaitingConfiguration": False}))
        self._truth.add(now, spec.udid, What.ENROLLED, detail=self._updates.version.text)
        if not self.enrolled:
            self.enrolled = True
            self._wake_some_day(now)
            if spec.behaviour.updates_itself_days:
                self._updates.update_itself(now + self._span(spec.behaviour.updates_itself_days, DAY))

    def check_out(self, now: int, exchange: Exchange) -> None:
        """Leave; the device does not come back before it enrols again."""
        exchange("checkin", write_plist({"MessageType": "CheckOut", "UDID": self.udid, "Topic": TOPIC}))
        self._truth.add(now, self.udid, What.CHECKED_OUT)
        self.enrolled, self._wake_at = False, None
        self._declared.forget(now)
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
        self._exchange = exchange
        self._agenda.run(now)

    # --- Sessions -----------------------------------------------------------------------------------------------------

    def _span(self, span: Span, unit: int) -> int:
        return int(self._random.uniform(*span) * unit)

    def _wake(self, at: int) -> None:
        """Connect at `at`, unless it will sooner anyway."""
        if self._wake_at is None or at < self._wake_at:
            self._wake_at = at
            self._agenda.at(at, self._woken)

    def _wake_some_day(self, now: int) -> None:
        self._agenda.at(now + self._span(self.spec.behaviour.self_wake_days, DAY), self._woken_by_itself)

    def _woken_by_itself(self, now: int) -> None:
        if self.enrolled:
            self._wake(max(self._presence.reachable_from(now), self._down_until))
            self._wake_some_day(now)

    def _woken(self, now: int) -> None:
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
            self._connect(self._session, now)

    def _end_session(self) -> None:
        self._session += self._session % 2
        self._again = False

    def _connect(self, session: int, now: int) -> None:
        """Send the report, take the next command; its answer goes out in the next exchange."""
        if session != self._session:
            return
        status = self._about[1]
        answer = self._exchanged(now)
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
            self._obey(now, envelope["CommandUUID"], envelope["Command"])
            if session == self._session:
                self._agenda.at(now + self._span((0.05, 1.5), SECOND), lambda at: self._connect(session, at))

    def _exchanged(self, now: int) -> bytes | None:
        habits, (uuid, status) = self.spec.behaviour, self._about
        luck = self._random.random()
        if luck < habits.drops / 2:
            if uuid:
                self._truth.add(now, self.udid, What.UNANSWERED, uuid, "dropped")
            return None
        try:
            answer = self._exchange("connect", self._report)
            self._told(now, uuid, status, answer)
            if uuid and self._random.random() < habits.repeats:
                answer = self._exchange("connect", self._report)
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

    def _obey(self, now: int, uuid: str, command: Mapping[str, Any]) -> None:
        """Act on a command and lay the report ready, unless a restart swallows it."""
        answer = self._answers.to(now, uuid, command)
        self._about = (uuid, answer.status.value)
        self._report = write_plist(
            {"UDID": self.udid, "CommandUUID": uuid, "Status": answer.status.value, **answer.keys}
        )
        if answer.swallowed:
            self._truth.add(now, self.udid, What.UNANSWERED, uuid, "restarted")
            self._end_session()

    def _go_down(self, until: int) -> None:
        self._down_until = until
        self._end_session()

    def _back_again(self, now: int) -> None:
        """The restart is over: the device connects by itself once."""
        if self.enrolled:
            self._wake(now + self._span((20, 90), SECOND))
            self._declared.awake(now)


def _nowhere(kind: str, body: bytes) -> bytes:
    raise ConnectionError("the device has not been given a connection yet")
