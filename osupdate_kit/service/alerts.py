"""Alerts, carried: which ones stand (Alerter), telling people (Teller), and the dead-man's switch (Pulse).

Three turns, for a messenger that does not answer must hold up neither the loop nor the sign of life. What is to be told
stands in the store before it is sent, so that a restart loses nothing; between sending and noting that it was sent a
kill can make a notice go out twice, never not at all. Leaves the rules to `rollout.alerts`.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from osupdate_kit.errors import PlanError
from osupdate_kit.rollout.alerts import (
    FORGOTTEN,
    GRACE,
    Notifier,
    RolloutFigures,
    Said,
    ServerFigures,
    Stop,
    Telling,
    Untaken,
    Wait,
    Watch,
    change,
    notice,
    standing,
    telling,
)
from osupdate_kit.rollout.events import EventKind
from osupdate_kit.rollout.journey import RolloutStatus
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import DAY, HOUR, MINUTE
from osupdate_kit.rollout.ports import Clock
from osupdate_kit.service.loop import TAIL
from osupdate_kit.service.record import Plans
from osupdate_kit.service.sender import untaken_calls
from osupdate_kit.stores.alerts import ArmedCell, News
from osupdate_kit.stores.ledger import Ledger, StoredRollout, Transaction

log = logging.getLogger(__name__)

ARMED_EVERY = 10 * MINUTE  # it reads the journeys of all rollouts from end to end: 0.3 s for 1,000,000
GAP = 10 * MINUTE  # a service that was away for longer could not hear anything meanwhile
AGAIN_SECONDS = (10.0, 60.0, 300.0, 900.0)  # real time, between tries of an address that does not take a notice
STUCK_SECONDS = 300.0  # a turn that has not come round for so long is no life
RING_AGAIN_SECONDS = 60.0
PATIENCE = DAY  # how long an address that takes nothing keeps an alert, which others have taken, from being told
_CURSOR, _PARTLY = "alerts", "alerts_partly"
_OVER = (RolloutStatus.CANCELLED, RolloutStatus.ENDED)
_HEARD = frozenset(
    {
        EventKind.ANSWERED, EventKind.FOREIGN, EventKind.IDLE, EventKind.AUTHENTICATED, EventKind.ENROLLED,
        EventKind.CHECKED_OUT,
    }
)  # fmt: skip


class Alerter:
    """A turn looks, once a minute of our clock, at what stands, and keeps what changed. In the thread of the loop."""

    def __init__(self, ledger: Ledger, clock: Clock, plans: Plans, servers: Sequence[str], watch: Watch) -> None:
        self._ledger, self._clock, self._plans, self._watch = ledger, clock, plans, watch
        self._servers = servers
        self._next_at = self._armed_at = 0
        self._armed: Mapping[int, int] = {}
        self._hearing = _Hearing(servers, watch)

    def turn(self) -> int:
        """How many alerts began, were worded anew or ended."""
        now = self._clock.now()
        if now < self._next_at:
            return 0
        self._next_at = now + MINUTE
        with self._ledger.read() as tx:
            stored = [one for one in tx.rollouts() if one.status not in _OVER or one.changed_at >= now - TAIL]
            if now >= self._armed_at:
                self._armed_at = now + ARMED_EVERY
                self._armed = self._count_armed(tx, stored, now)
            heard = self._hearing.listen(tx, now)
            figures = [self._figures(tx, one) for one in stored]
            servers = [self._hearing.figures(name, untaken_calls(tx, name, now)) for name in self._servers]
            stand = standing(figures, servers, self._watch, now)
            found = change(tx.open_alerts(), stand, now)
        if not found and not heard:
            return 0
        with self._ledger.write() as tx:
            if heard:
                self._hearing.keep(tx, now)
            for alert in found.new:
                tx.begin_alert(alert, at=now)
            for number, text in found.reworded.items():
                tx.reword_alert(number, text)
            for said in found.over:
                tx.end_alert(said, at=now, told=not self._watch.told)
        return len(found.new) + len(found.reworded) + len(found.over)

    def _figures(self, tx: Transaction, stored: StoredRollout) -> RolloutFigures:
        readable = self._plans.readable(tx, stored.id)
        name = self._plans.plan(tx, stored.id).name if readable else "whose plan cannot be read"
        armed = self._armed.get(stored.id, 0)
        if stored.status in _OVER:
            return RolloutFigures(number=stored.id, name=name, armed=armed)
        asked = tx.approval(stored.id) if stored.waits else None
        return RolloutFigures(
            number=stored.id,
            name=name,
            unapproved=asked.devices if asked else 0,
            halted=stored.status is RolloutStatus.HALTED,
            stops=tuple(Stop(halt.dimension, halt.value, halt.reason) for halt in tx.halts(stored.id)),
            waits=tuple(Wait(wave.name, wave.waits_for) for wave in tx.waves(stored.id) if not wave.opened_at),
            armed=armed,
        )

    def _count_armed(self, tx: Transaction, stored: Sequence[StoredRollout], now: int) -> Counter[int]:
        """By rollout: devices that are armed while their window has been shut for a while."""
        plans = {one.id: self._plans.plan(tx, one.id) for one in stored if self._plans.readable(tx, one.id)}
        plans = {number: plan for number, plan in plans.items() if plan.blackouts or not plan.window.always}
        found: Counter[int] = Counter()
        for cell in tx.armed() if plans else ():
            if cell.rollout in plans and _is_shut(plans[cell.rollout], cell, now):
                found[cell.rollout] += cell.devices
        return found


def _is_shut(plan: RolloutPlan, cell: ArmedCell, now: int) -> bool:
    try:
        gate = plan.schedule.hours(cell.kin, downloads=False).gate(now, cell.time_zone or plan.time_zone or "UTC")
    except PlanError:  # a time zone that is not known here: nobody can say that its window is open
        return True
    return not gate.open_since and now >= gate.shut_since + GRACE


class _Hearing:
    """By server: how many pushes went out since anything was heard, and since when; from events as they are recorded.

    Kept in the store, so that a service that takes over goes on with it. Time in which no service worked does not
    count: nobody listened.
    """

    def __init__(self, servers: Sequence[str], watch: Watch) -> None:
        self._servers, self._patience = frozenset(servers), int(watch.webhook_silent_hours * HOUR)
        self._after = -1
        self._at = 0  # of the last look
        self._pushed: dict[str, tuple[int, int]] = {}  # by server: how many, and when the first
        self._asked_at: dict[str, int] = {}

    def listen(self, tx: Transaction, now: int) -> bool:
        """Take what is new; is it to be kept?"""
        fresh = self._after < 0 and self._load(tx, now)
        news = tx.news_after(self._after)
        last = tx.last_event()
        for server in {one.server for one in news} & self._servers:
            self._take(server, [one for one in news if one.server == server])
        for server, (_, first_at) in list(self._pushed.items()):
            self._ask(tx, server, first_at, now)
        changed = last != self._after
        self._after, self._at = last, now if changed or fresh or now >= self._at + GAP // 2 else self._at
        return self._at == now

    def _load(self, tx: Transaction, now: int) -> bool:
        kept = json.loads(tx.get(_CURSOR) or "{}")
        self._after = kept.get("seq", tx.last_event())
        away = now - kept.get("at", now)
        later = away if away > GAP else 0
        pushed = kept.get("pushed", {})
        self._pushed = {server: (n, at + later) for server, (n, at) in pushed.items() if server in self._servers}
        return True

    def _take(self, server: str, news: Iterable[News]) -> None:
        kinds = {one.kind: one for one in news}
        if _HEARD & kinds.keys():
            self._pushed.pop(server, None)
        elif pushes := kinds.get(EventKind.PUSHED):
            count, first_at = self._pushed.get(server, (0, pushes.at))
            self._pushed[server] = count + pushes.number, first_at

    def _ask(self, tx: Transaction, server: str, first_at: int, now: int) -> None:
        """Before a server is called silent: idle polls leave no event, but the device that came was seen."""
        if now - first_at < self._patience or now < self._asked_at.get(server, 0) + GAP:
            return
        self._asked_at[server] = now
        if tx.seen_after(server, first_at):
            self._pushed.pop(server)

    def keep(self, tx: Transaction, now: int) -> None:
        tx.put(_CURSOR, json.dumps({"seq": self._after, "at": now, "pushed": self._pushed}))

    def figures(self, server: str, untaken: Sequence[Untaken]) -> ServerFigures:
        pushes, first_at = self._pushed.get(server, (0, 0))
        return ServerFigures(name=server, untaken=untaken, pushes=pushes, pushed_at=first_at)


class Teller:
    """A turn tells people what has not been told yet, each address by itself. In a thread of its own."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        notifier: Notifier,
        watch: Watch,
        *,
        real_time: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger, self._clock, self._notifier, self._watch = ledger, clock, notifier, watch
        self._real_time = real_time
        self._rests: dict[str, tuple[int, float]] = {}  # by address: failures in a row, and until when it rests

    def turn(self) -> int:
        """How many alerts were told to everybody."""
        now = self._clock.now()
        repeat = int(self._watch.repeat_hours * HOUR)
        with self._ledger.read() as tx:
            untold = tx.untold_alerts(told_by=max(0, now - repeat), over_since=now - FORGOTTEN)
            partly = _partly(tx) if untold else {}
        return sum(
            self._tell(said, why, partly)
            for said in untold
            if (why := telling(said, now, self._watch.repeat_hours)) is not None
        )

    def _tell(self, said: Said, why: Telling, partly: Mapping[str, list[str]]) -> bool:
        """To each address that has not taken it yet; noted address by address, so that none hears it twice."""
        addresses = set(self._notifier.addresses())
        told = set(partly.get(_stage(said, why), ()))
        for address in sorted(addresses - told):
            if not self._rested(address):
                continue
            if self._notifier.send(address, notice(said, why)):
                told.add(address)
                self._rests.pop(address, None)
                self._note(said, why, told, done=addresses <= told)
            else:
                self._rest(address)
        if addresses <= told:
            return True
        waited = self._clock.now() - _owed_since(said, self._watch.repeat_hours)
        if told and waited > PATIENCE:  # an address that is wrong for good must not keep the others from a repeat
            self._note(said, why, told, done=True)
        return bool(told) and waited > PATIENCE

    def _note(self, said: Said, why: Telling, told: set[str], *, done: bool) -> None:
        with self._ledger.write() as tx:
            kept = {stage: names for stage, names in _partly(tx).items() if stage.split()[0] != str(said.id)}
            if done:
                tx.alert_told(said.id, at=self._clock.now(), over=why is Telling.OVER)
            else:
                kept[_stage(said, why)] = sorted(told)
            tx.put(_PARTLY, json.dumps(kept))

    def _rested(self, address: str) -> bool:
        return self._real_time() >= self._rests.get(address, (0, 0.0))[1]

    def _rest(self, address: str) -> None:
        failed = self._rests.get(address, (0, 0.0))[0]
        seconds = AGAIN_SECONDS[min(failed, len(AGAIN_SECONDS) - 1)]
        self._rests[address] = failed + 1, self._real_time() + seconds
        log.error(
            "alerts: %s took no notice; it is tried again in %.0f s. Try `osupdate-kit alerts test`.", address, seconds
        )


def _partly(tx: Transaction) -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(tx.get(_PARTLY) or "{}")
    return found


def _stage(said: Said, why: Telling) -> str:
    """Which telling of which alert."""
    return f"{said.id} {why.name} {said.sent_at}"


def _owed_since(said: Said, repeat_hours: float) -> int:
    return said.over_at or (said.sent_at + int(repeat_hours * HOUR) if said.sent_at else said.at)


class Pulse:
    """The dead-man's switch: a turn touches a file and calls an address while the turns that matter still come round.

    In real time, as whoever watches it from outside lives in it. Silence is the alarm: a service that is dead, cannot
    reach its store, or hangs, gives no sign.
    """

    def __init__(
        self,
        every_minutes: float,
        *,
        file: Path | None = None,
        call: Callable[[], bool] | None = None,
        real_time: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every, self._file, self._call, self._real_time = every_minutes * 60, file, call, real_time
        self._next_at = 0.0
        self._came_round: dict[str, float] = {}
        self._said = ""

    def watch(self, *names: str) -> None:
        """From now on these turns matter."""
        self._came_round = dict.fromkeys(names, self._real_time())

    def came_round(self, name: str) -> None:
        """A turn has ended well."""
        if name in self._came_round:
            self._came_round[name] = self._real_time()

    def turn(self) -> int:
        """1 when signs of life were given."""
        now = self._real_time()
        if now < self._next_at:
            return 0
        self._next_at = now + self._every
        trouble = self._stuck(now) or self._touched() or self._called()
        if trouble:
            self._next_at = now + min(self._every, RING_AGAIN_SECONDS)
            if trouble != self._said:
                log.error("alerts: no sign of life was given: %s", trouble)
        self._said = trouble
        return not trouble

    def _stuck(self, now: float) -> str:
        late = sorted(name for name, at in self._came_round.items() if now - at > STUCK_SECONDS)
        words = "has not come round for minutes. The errors before this one say why; else restart the service."
        return f"{', '.join(late)} {words}" if late else ""

    def _touched(self) -> str:
        try:
            if self._file is not None:
                self._file.touch()
        except OSError as error:
            return f"dead_man_file {self._file}: {error.strerror}. Name a file that the service may write."
        return ""

    def _called(self) -> str:
        if self._call is None or self._call():
            return ""
        return "dead_man_url does not answer with 2xx. Check it, and the way there."
