"""The gatekeeper: opens waves, gives out places, halts what its own figures speak against.

Knows how figures are kept between turns: they are sums of signed transitions, so that a turn costs by what is new, and
a service that takes over adds them up again. Leaves the test itself to `rollout.gates`. Nothing here sends anything:
loop and sender ask `why_kept` in their own transactions.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import ceil

from msgspec.structs import replace

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.rollout.gates import (
    BEFORE,
    LOADS,
    MISSED,
    Cell,
    Count,
    Finding,
    Progress,
    Slice,
    bad_slices,
    next_pace,
    waits_for,
)
from osupdate_kit.rollout.journey import RolloutStatus
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import HOUR, MINUTE, Cadences
from osupdate_kit.rollout.ports import Clock
from osupdate_kit.rollout.state import ENDS, State
from osupdate_kit.rollout.waves import Wave
from osupdate_kit.service.loop import withdraw
from osupdate_kit.service.record import Plans
from osupdate_kit.stores.gates import SLICED, Turn
from osupdate_kit.stores.ledger import Halt, Ledger, Place, StoredRollout, StoredWave, Transaction

EVERY = MINUTE // 12  # how often waves and places are looked at; failures are judged at once
SILENCE_EVERY = 10 * MINUTE
IDLE_HOURS = 30  # a place that nobody could use for longer than a day and a night lapses, too
FEWEST = 20  # devices; a share of fewer says nothing
NEWS = 5_000  # transitions read at once
AT_ONCE = 20_000  # devices that are considered, or admitted, in one look


@dataclass(slots=True)
class Standing:
    """What the gates know of one rollout: sums of its transitions, and who is under way."""

    plan: RolloutPlan
    states: Counter[tuple[Cell, str]]  # devices by the columns of `SLICED` and stored state
    begun: Counter[Cell]  # those that something was ever sent to, or that have the target
    who: set[int]  # hashes of those: a device that knocks again has begun all the same
    under_way: dict[DeviceKey, Place]
    since: dict[DeviceKey, int]  # when those under way came into their state, as far as this service knows
    failed: int = 0  # failures when the newest transition was read
    judged: int = -1  # failures when slices were last judged
    looked_at: int = 0
    silence_at: int = 0
    reached: dict[str, int] = field(default_factory=dict)  # by wave that waits: when the one before was done enough
    paced_from: dict[str, int] = field(default_factory=dict)  # by wave: how many were done when its pace last changed

    def take(self, turn: Turn) -> None:
        """One signed transition. Of a device under way, the state that it entered is the one it is in."""
        place = turn.place
        self.states[place.cell, place.state] += turn.sign
        if turn.sign > 0 and place.state not in BEFORE:
            self.begin(place)
        if place.state in MISSED:
            self.failed += turn.sign
        if place.admitted_at <= 0 or not self.plan.has_places:
            return
        if turn.now in ENDS:
            self.leave(place.key)
        elif turn.sign > 0:  # also one that goes on after an end
            self.enter(replace(place, state=turn.now), max(turn.at, self.since.get(place.key, 0)))

    def begin(self, place: Place) -> None:
        if (device := hash(place.key)) not in self.who:
            self.who.add(device)
            self.begun[place.cell] += 1

    def enter(self, place: Place, at: int) -> None:
        self.under_way[place.key], self.since[place.key] = place, at

    def leave(self, key: DeviceKey) -> None:
        self.under_way.pop(key, None)
        self.since.pop(key, None)

    def due(self, now: int) -> bool:
        return self.failed != self.judged or now >= self.looked_at + EVERY

    def cells(self, by: Sequence[str]) -> dict[Cell, Count]:
        """Begun and failed devices by the columns that are judged."""
        columns = [SLICED.index(name) for name in by]
        found: dict[tuple[str, ...], Count] = {}
        counts = [(cell, Count(0, devices)) for (cell, state), devices in self.states.items() if state in MISSED]
        counts += [(cell, Count(devices, 0)) for cell, devices in self.begun.items()]
        for cell, count in counts:
            part = tuple(cell[column] for column in columns)
            found[part] = found.get(part, Count()).plus(count)
        return found

    def progress(self, wave: str) -> tuple[int, int, int]:
        """Of a wave: devices, done, ended."""
        column = SLICED.index("wave")
        mine = [(state, n) for (cell, state), n in self.states.items() if cell[column] == wave]
        return (
            sum(n for _, n in mine),
            sum(n for state, n in mine if state == State.DONE),
            sum(n for state, n in mine if state in ENDS),
        )


class Gatekeeper:
    """One turn: read what is new, halt, open, admit. In the thread of the loop, before it."""

    def __init__(self, ledger: Ledger, clock: Clock, cadences: Cadences, plans: Plans) -> None:
        self._ledger, self._clock, self._cadences, self._plans = ledger, clock, cadences, plans
        self._standing: dict[int, Standing] = {}
        self._after = -1

    def turn(self) -> int:
        """How many rollouts were looked at because something was new or due."""
        now = self._clock.now()
        with self._ledger.read() as tx:
            running = [r for r in tx.rollouts() if r.status is RolloutStatus.RUNNING and now < r.deadline_at]
            mine = [rollout for rollout in running if not rollout.waits and self._concerns(tx, rollout)]
            news = self._read(tx, mine, now)
            due = [r for r in mine if self._standing[r.id].due(now) or tx.is_asked(r.id)]
        for rollout in due:
            try:
                with self._ledger.write() as tx:
                    self._look(tx, rollout, self._standing[rollout.id], now)
            except BaseException:
                del self._standing[rollout.id]  # it counts what was not kept: added up anew in the next turn
                raise
        return len(news)

    def _concerns(self, tx: Transaction, rollout: StoredRollout) -> bool:
        if not self._plans.readable(tx, rollout.id):
            return False
        plan = self._plans.plan(tx, rollout.id)
        return bool(plan.limits) or plan.admits

    def _read(self, tx: Transaction, rollouts: Sequence[StoredRollout], now: int) -> set[int]:
        """Bring the figures up to date; the rollouts with something new."""
        gone = self._standing.keys() - {rollout.id for rollout in rollouts}
        for number in gone:
            del self._standing[number]
        if not rollouts:
            self._after = -1
            return set()
        news: set[int] = set()
        if self._after < 0:
            self._after = tx.last_transition()
        while turns := tx.turns_after(self._after, NEWS):
            for turn in turns:
                if turn.rollout in self._standing:
                    self._standing[turn.rollout].take(turn)
                    news.add(turn.rollout)
            self._after = turns[-1].id
        for rollout in rollouts:
            known = self._standing.get(rollout.id)
            if known is None or known.plan is not self._plans.plan(tx, rollout.id):
                self._standing[rollout.id] = self._begin(tx, rollout, now)
                news.add(rollout.id)
        return news

    def _begin(self, tx: Transaction, rollout: StoredRollout, now: int) -> Standing:
        plan = self._plans.plan(tx, rollout.id)
        states = Counter(dict(tx.cells(rollout.id)))
        taken = {place.key: place for place in tx.under_way(rollout.id)} if plan.has_places else {}
        failed = sum(n for (_, state), n in states.items() if state in MISSED)
        since = dict.fromkeys(taken, now)
        standing = Standing(plan, states, Counter(), set(), taken, since, failed=failed)
        for place in tx.begun(rollout.id):
            standing.begin(place)
        return standing

    def _look(self, tx: Transaction, rollout: StoredRollout, standing: Standing, now: int) -> None:
        standing.looked_at = now
        if self._halt(tx, rollout, standing, now):
            return
        stopped = frozenset(Slice(halt.dimension, halt.value) for halt in tx.halts(rollout.id))
        waves = tx.waves(rollout.id)
        for place, (wave, stored) in enumerate(zip(standing.plan.waves, waves, strict=False)):
            before = standing.plan.waves[place - 1] if place else None
            opened = self._open(tx, rollout.id, standing, wave, stored, before, now, stopped=bool(stopped))
            if opened.opened_at:
                self._admit(tx, rollout.id, standing, opened, now, stopped)

    # --- halts ---

    def _halt(self, tx: Transaction, rollout: StoredRollout, standing: Standing, now: int) -> bool:
        """Stop what the figures speak against; True when all of the rollout stands."""
        limits = standing.plan.limits
        if not limits:
            return False
        cells = standing.cells(limits.by)
        halts = tx.halts(rollout.id, lifted=True)
        if any(halt.judged_anew for halt in halts):
            _forgive(tx, halts, cells, limits.by)
            halts = tx.halts(rollout.id, lifted=True)
        changed = standing.failed != standing.judged
        standing.judged = standing.failed
        stopped = [Slice(halt.dimension, halt.value) for halt in halts if halt.stands]
        found = []
        if changed:
            fresh = _since_lifted(cells, halts)
            found = bad_slices(fresh, limits, stopped=stopped)
            all_of_it = _total(fresh)
            if limits.failures and all_of_it.failed >= limits.failures:
                found = [Finding(Slice(), all_of_it)]
        if limits.silent_share and now >= standing.silence_at + SILENCE_EVERY:
            standing.silence_at = now
            found += self._silent(tx, rollout, standing, now, {Slice(h.dimension, h.value) for h in halts})
        for finding in found:
            self._stop(tx, rollout, standing, finding, now)
        return any(finding.part == Slice() for finding in found)

    def _silent(
        self, tx: Transaction, rollout: StoredRollout, standing: Standing, now: int, spared: set[Slice]
    ) -> list[Finding]:
        patience = int(self._cadences.silent_after_hours * HOUR)
        found = []
        for wave, (sent, silent) in tx.silence(rollout.id, now - patience).items():
            part = Slice("wave", wave)
            if sent >= FEWEST and silent > standing.plan.limits.silent_share * sent and part not in spared:
                found.append(Finding(part, Count(sent, silent), silent=True))
        return found

    def _stop(self, tx: Transaction, rollout: StoredRollout, standing: Standing, finding: Finding, now: int) -> None:
        part, words = finding.part, str(finding)
        tx.add_halt(
            rollout.id, dimension=part.dimension, value=part.value, at=now, reason=words,
            begun=finding.figures.begun, failed=finding.figures.failed,
        )  # fmt: skip
        tx.audit(at=now, who="service", what="halt", rollout=rollout.id, count=finding.figures.failed, detail=words)
        if part == Slice():
            tx.set_rollout(rollout.id, RolloutStatus.HALTED, now=now, reason=words)
            withdraw(tx, self._plans, rollout.id, now)
            tx.make_due_declared(rollout.id, now)
            return
        tx.make_due_declared(rollout.id, now)
        column = SLICED.index(part.dimension)
        idle = [
            place.key
            for place in standing.under_way.values()
            if place.cell[column] == part.value and place.state in BEFORE
        ]
        self._lapse(tx, rollout.id, standing, idle, now)

    # --- waves ---

    def _open(
        self,
        tx: Transaction,
        rollout: int,
        standing: Standing,
        wave: Wave,
        stored: StoredWave,
        before: Wave | None,
        now: int,
        *,
        stopped: bool,
    ) -> StoredWave:
        if stored.opened_at:
            return _hasten(tx, rollout, standing, stored, now, healthy=not stopped)
        progress = None
        if before is not None:
            devices, done, ended = standing.progress(before.name)
            wanted = ceil(round(devices * wave.opens.done_share, 6))
            if done >= wanted and wave.name not in standing.reached:
                since = tx.reached_at(rollout, before.name, wanted) if wanted else _opened_at(tx, rollout, before)
                standing.reached[wave.name] = since
            progress = Progress(devices, done, ended, standing.reached.get(wave.name, 0))
        words = waits_for(wave.opens, now, progress, stopped=stopped, allowed=bool(stored.who))
        if not words:
            opened = replace(stored, opened_at=now, who=stored.who or "service", changed_at=now, waits_for="")
            tx.save_wave(rollout, opened)
            tx.audit(at=now, who=opened.who, what="open", rollout=rollout, detail=wave.name)
            return opened
        if words != stored.waits_for:
            tx.save_wave(rollout, replace(stored, waits_for=words))
        return stored

    # --- places ---

    def _admit(
        self, tx: Transaction, rollout: int, standing: Standing, wave: StoredWave, now: int, stopped: frozenset[Slice]
    ) -> None:
        slots = standing.plan.slots_per_site
        if not standing.plan.has_places and not stopped:
            tx.admit_all(rollout, wave.name, now)
            return
        self._lapse(tx, rollout, standing, self._unseen(standing, wave.name, now), now)
        mine = [place for place in standing.under_way.values() if place.wave == wave.name]
        free = wave.pace - len(mine) if wave.pace else AT_ONCE
        if free <= 0:
            return
        loading = Counter(place.site for place in standing.under_way.values() if place.state in LOADS)
        chosen: list[Place] = []
        over: list[DeviceKey] = []  # who came to an end without a place needs none any more
        for place in islice(tx.waiting(rollout, wave.name), AT_ONCE):
            if place.state in ENDS:
                over.append(place.key)
                continue
            if _within(place, stopped) or (slots and loading[place.site] >= slots):
                continue
            chosen.append(place)
            loading[place.site] += 1
            if len(chosen) == free:
                break
        tx.admit(rollout, [*over, *(place.key for place in chosen)], now)
        for place in chosen:
            standing.enter(replace(place, admitted_at=now), now)

    def _unseen(self, standing: Standing, wave: str, now: int) -> list[DeviceKey]:
        """Devices that were given a place and have not shown themselves, or are gone: others take it meanwhile."""
        idle = IDLE_HOURS * HOUR
        patience = {State.KNOCKING: int(self._cadences.place_hours * HOUR), State.HELD: idle, State.UNKNOWN: idle}
        return [
            key
            for key, place in standing.under_way.items()
            if place.wave == wave and (until := patience.get(State(place.state))) and standing.since[key] + until < now
        ]

    def _lapse(self, tx: Transaction, rollout: int, standing: Standing, keys: Sequence[DeviceKey], now: int) -> None:
        tx.give_up(rollout, keys, now)
        for key in keys:
            standing.leave(key)


def _total(cells: Mapping[Cell, Count]) -> Count:
    return Count(sum(count.begun for count in cells.values()), sum(count.failed for count in cells.values()))


def _forgive(tx: Transaction, halts: Sequence[Halt], cells: Mapping[Cell, Count], by: Sequence[str]) -> None:
    """Note the figures of what a person has lifted: it is judged by what happens from now on."""
    for halt in halts:
        if not halt.judged_anew:
            continue
        mine = [[*cell, *count] for cell, count in cells.items() if _concerns(halt, dict(zip(by, cell, strict=True)))]
        tx.forgive(halt.id, json.dumps(mine))


def _concerns(halt: Halt, values: Mapping[str, str]) -> bool:
    return not halt.dimension or values.get(halt.dimension) == halt.value


def _since_lifted(cells: Mapping[Cell, Count], halts: Sequence[Halt]) -> dict[Cell, Count]:
    """Figures without those that a person has forgiven; of several liftings the newest counts."""
    forgiven: dict[Cell, Count] = {}
    for halt in halts:
        for *cell, begun, failed in json.loads(halt.forgiven or "[]"):
            forgiven[tuple(cell)] = Count(begun, failed)
    return {cell: count.minus(forgiven.get(cell, Count())) for cell, count in cells.items()}


def _hasten(
    tx: Transaction, rollout: int, standing: Standing, stored: StoredWave, now: int, *, healthy: bool
) -> StoredWave:
    """Slow start: the pace doubles while all goes well."""
    if not stored.pace:
        return stored
    done = standing.progress(stored.name)[1]
    pace = next_pace(stored.pace, done - standing.paced_from.setdefault(stored.name, done), healthy=healthy)
    if pace == stored.pace:
        return stored
    standing.paced_from[stored.name] = done
    faster = replace(stored, pace=pace, changed_at=now)
    tx.save_wave(rollout, faster)
    return faster


def _within(place: Place, stopped: frozenset[Slice]) -> bool:
    return any(not part.dimension or place.cell[SLICED.index(part.dimension)] == part.value for part in stopped)


def _opened_at(tx: Transaction, rollout: int, wave: Wave) -> int:
    return next((stored.opened_at for stored in tx.waves(rollout) if stored.name == wave.name), 0)
