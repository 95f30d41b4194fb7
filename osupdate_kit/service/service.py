"""The long-running process: worker, acts and loop, one sender per server, alerts; each in a thread, until told to stop.

Knows how the turns are driven in real time, and that one service works while others stand by. Everything that decides
is in the turns themselves: the simulation calls them one by one.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Self

from osupdate_kit.errors import OSUpdateKitError
from osupdate_kit.rollout.alerts import Notifier, Watch
from osupdate_kit.rollout.policy import Cadences
from osupdate_kit.rollout.ports import Clock, CommandServer, DeclarationServer
from osupdate_kit.service.acts import Actor
from osupdate_kit.service.alerts import Alerter, Pulse, Teller
from osupdate_kit.service.census import Census
from osupdate_kit.service.gates import Gatekeeper
from osupdate_kit.service.keeping import Keeper
from osupdate_kit.service.loop import Loop
from osupdate_kit.service.record import Plans
from osupdate_kit.service.reports import StatusReader
from osupdate_kit.service.sender import Sender
from osupdate_kit.service.tidying import Tidier
from osupdate_kit.service.worker import Worker
from osupdate_kit.stores.ledger import Ledger

log = logging.getLogger(__name__)

IDLE_SECONDS = 0.2  # how long a thread rests when there was nothing to do
FAULT_SECONDS = (1.0, 5.0, 30.0)  # how long it rests after errors in a row


@dataclass(frozen=True, slots=True)
class Turns:
    """All that a service does, as synchronous turns over store, servers and clock."""

    worker: Worker
    actor: Actor
    gates: Gatekeeper
    loop: Loop
    census: Census
    keeper: Keeper
    alerter: Alerter
    senders: Mapping[str, Sender]
    declaring: Mapping[str, tuple[StatusReader, Tidier]] = field(default_factory=dict)
    teller: Teller | None = None
    pulse: Pulse | None = None

    @classmethod
    def over(
        cls,
        ledger: Ledger,
        servers: Sequence[CommandServer],
        clock: Clock,
        cadences: Cadences,
        *,
        limit: int = 1000,
        watch: Watch | None = None,
        notifier: Notifier | None = None,
        pulse: Pulse | None = None,
        declarations: Mapping[str, DeclarationServer] = MappingProxyType({}),
    ) -> "Turns":
        """declarations: the servers' own, by the server's name, where they have them."""
        plans, watch = Plans(), watch or Watch()
        return cls(
            Worker(ledger, clock, plans),
            Actor(ledger, clock, plans),
            Gatekeeper(ledger, clock, cadences, plans),
            Loop(ledger, clock, cadences, plans, limit=limit),
            Census(ledger, clock),
            Keeper(ledger, clock),
            Alerter(ledger, clock, plans, [server.name for server in servers], watch),
            {
                server.name: Sender(ledger, server, clock, plans, declarations=declarations.get(server.name))
                for server in servers
            },
            {
                name: (StatusReader(ledger, server, clock, cadences), Tidier(ledger, server, clock))
                for name, server in declarations.items()
            },
            Teller(ledger, clock, notifier, watch) if notifier else None,
            pulse,
        )

    def decide(self) -> int:
        """What one thread does in turn, so that a halt stands before the next step is decided on (I8)."""
        done = self.actor.turn() + self.gates.turn() + self.loop.turn()
        return done + self.census.turn() + self.keeper.turn() + self.alerter.turn()

    def all_once(self) -> bool:
        """Each once, in the order in which news travels; False when nobody had anything to do."""
        busy = bool(self.worker.turn())
        busy = bool(self.actor.turn()) or busy
        busy = bool(self.gates.turn()) or busy
        busy = bool(self.loop.turn()) or busy
        busy = bool(self.census.turn()) or busy
        busy = bool(self.keeper.turn()) or busy
        busy = bool(self.alerter.turn()) or busy
        busy = bool(self.teller and self.teller.turn()) or busy
        turns: list[Callable[[], object]] = [one.turn for one in self.senders.values()]
        turns += [one.turn for both in self.declaring.values() for one in both]
        for turn in turns:
            busy = bool(turn()) or busy
        return busy


def _each(both: tuple[StatusReader, Tidier]) -> int:
    reader, tidier = both
    return reader.turn() + tidier.turn()


@dataclass(slots=True)
class Service:
    """Drives the turns in threads. `stop()` ends them after the turn they are in; a kill at any time loses nothing."""

    turns: Turns
    besides: Mapping[str, Callable[[], object]] = field(default_factory=dict)  # turns of others that run with it
    _stopping: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        turns = self.turns
        jobs: dict[str, Callable[[], object]] = {
            **{f"declarations {name}": partial(_each, both) for name, both in turns.declaring.items()},
            "worker": turns.worker.turn,
            "loop": turns.decide,
            **{f"sender {name}": sender.turn for name, sender in turns.senders.items()},
            **self.besides,
        }
        if turns.teller:
            jobs["alerts"] = turns.teller.turn
        if turns.pulse:
            turns.pulse.watch("worker", "loop")
            jobs["pulse"] = turns.pulse.turn
        for name, turn in jobs.items():
            thread = threading.Thread(target=self._drive, args=(name, turn), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self, *, timeout_seconds: float = 35.0) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout_seconds)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _drive(self, name: str, turn: Callable[[], object]) -> None:
        """An error stops nobody else: it is logged with its remedy, and the turn comes again (I9)."""
        errors = 0
        while not self._stopping.is_set():
            try:
                rest = 0.0 if turn() else IDLE_SECONDS
                errors = 0
                if self.turns.pulse:
                    self.turns.pulse.came_round(name)
            except OSUpdateKitError as error:
                log.error("%s: %s", name, error)  # noqa: TRY400 - the message says it all, a trace would not help
                rest = FAULT_SECONDS[min(errors, len(FAULT_SECONDS) - 1)]
                errors += 1
            except Exception:
                log.exception("%s failed; it goes on", name)
                rest = FAULT_SECONDS[min(errors, len(FAULT_SECONDS) - 1)]
                errors += 1
            if rest:
                self._stopping.wait(rest)
