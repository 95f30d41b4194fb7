"""What the monitor looks at: one rollout, read anew as far as it has changed. Fulfils `views.widgets.MonitorSource`."""

import plistlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from osupdate_kit.errors import RolloutError
from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.kit.plans import barrier_words
from osupdate_kit.kit.status import look_over, rollout_and_plan, route_of
from osupdate_kit.rollout.deadlines import due, standing
from osupdate_kit.rollout.history import Start
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import MINUTE
from osupdate_kit.rollout.state import Facts, State
from osupdate_kit.servers.events import decode_event
from osupdate_kit.service.acts import allowed
from osupdate_kit.service.loop import why_held
from osupdate_kit.service.record import Plans
from osupdate_kit.stores.ledger import StoredJourney, StoredRollout, Transaction
from osupdate_kit.views.status import STATES
from osupdate_kit.views.widgets import ActLine, DeviceLine, HaltLine, Head, Subset, Told, Watched, WaveLine, watched

if TYPE_CHECKING:
    from osupdate_kit.kit import Kit

NEWEST_ACTS = 20
_LOST = ("failed", "expired")
assert set(_LOST) <= set(STATES)


class Watching:
    """Lines are kept from look to look: news changes its own devices, and each minute what time adds to all."""

    def __init__(self, kit: "Kit", rollout: int) -> None:
        self._kit, self._rollout = kit, rollout
        self._plans = Plans()
        self._lines: dict[DeviceKey, DeviceLine] = {}
        self._seq, self._minute, self._changed_at = -1, -1, -1

    def look(self, seen: str) -> Watched | None:
        """As of now; None if nothing has changed since the look whose version was `seen`."""
        with self._kit.ledger.read() as tx:
            stored, plan = rollout_and_plan(tx, self._rollout)
            now, seq = self._kit.clock.now(), tx.last_seq()
            acts = tx.audits(self._rollout)
            waves, halts = tx.waves(self._rollout), tx.halts(self._rollout)
            paces = [f"{wave.changed_at} {wave.waits_for}" for wave in waves]
            version = f"{seq} {stored.changed_at} {acts[-1].id if acts else 0} {now // MINUTE} {paces} {len(halts)}"
            if version == seen:
                return None
            self._read(tx, stored, plan, now, seq)
        head = Head(
            rollout=stored.id,
            name=plan.name,
            target=plan.target_label,
            status=stored.status.value,
            reason=stored.reason,
            changed_at=stored.changed_at,
            by=stored.by,
            started_at=stored.started_at,
            deadline_at=stored.deadline_at,
            now=now,
            version=version,
            last_event_at=max((line.seen_at for line in self._lines.values()), default=0),
            window=plan.window,
            time_zone=plan.time_zone,
            actions=plan.actions,
            served=self._kit.is_served(),
            allowed=allowed(stored),
            waves=tuple(
                WaveLine(name=w.name, opened_at=w.opened_at, by=w.who, pace=w.pace, waits_for=w.waits_for)
                for w in waves
            ),
            halts=tuple(HaltLine(number=h.id, part=h.part, reason=h.reason, at=h.at) for h in halts),
            acts=tuple(
                ActLine(at=act.at, who=act.who, what=act.what, count=act.count, detail=act.detail)
                for act in acts[: -NEWEST_ACTS - 1 : -1]
            ),
        )
        return watched(head, self._lines.values())

    def keys(self, subset: Subset) -> Sequence[DeviceKey]:
        return [line.key for line in list(self._lines.values()) if subset.fits(line)]

    def lines(self, keys: Sequence[DeviceKey]) -> Sequence[DeviceLine]:
        return [self._lines[key] for key in keys if key in self._lines]

    def all_lines(self) -> Sequence[DeviceLine]:
        """Every device as of the last look."""
        return list(self._lines.values())

    def act(self, what: str, detail: str = "") -> int:
        return self._kit.act(what, self._rollout, detail=detail)

    def outcome(self, act: int) -> str | None:
        return self._kit.outcome(act)

    def story(self, wanted: DeviceKey | str) -> Told | None:
        """One device's story, by key, serial, UDID or enrollment ID; None if no device of this rollout is meant."""
        line = self._meant(wanted)
        if line is None:
            return None
        with self._kit.ledger.read() as tx:
            stored, _ = rollout_and_plan(tx, self._rollout)
            journey = next(j for j in tx.journeys_of([line.key])[line.key] if j.journey.rollout == self._rollout)
            return told_of(tx, self._plans, stored, journey, line, self._kit.clock.now())

    def raw(self, key: DeviceKey, seq: int) -> bytes | None:
        """The plist that the device sent, as far as redaction left it."""
        with self._kit.ledger.read() as tx:
            body = tx.raw(seq)
        return None if body is None else plistlib.dumps(dict(decode_event(body).fields))

    def _meant(self, wanted: DeviceKey | str) -> DeviceLine | None:
        if not self._lines:
            self.look("")
        if isinstance(wanted, DeviceKey):
            return self._lines.get(wanted)
        text = wanted.strip()
        lines = list(self._lines.values())
        return next((one for one in lines if text in (one.serial, one.udid, one.key.enrollment_id)), None)

    def _read(self, tx: Transaction, stored: StoredRollout, plan: RolloutPlan, now: int, seq: int) -> None:
        """Take in what changed: the devices with news, or all when the minute or the rollout itself is another."""
        changed_at = max(stored.changed_at, stored.resumed_at)
        everything = now // MINUTE != self._minute or changed_at != self._changed_at
        holds, halts = tx.all_holds(now), tx.halts(self._rollout)
        put_off = []
        for journey, seen_at, name in tx.named_journeys(self._rollout) if everything else self._news(tx):
            key = journey.journey.key
            held = why_held(holds.get(key), journey, halts)
            self._lines[key] = line_of(journey, seen_at, stored, plan, now, self._kit, held=held, name=name)
            if journey.journey.state == State.DEFERRED:
                put_off.append(key)
        for key, at in _next_installs(tx, put_off).items():
            self._lines[key] = replace(self._lines[key], next_install_at=at)
        self._seq, self._minute, self._changed_at = seq, now // MINUTE, changed_at

    def _news(self, tx: Transaction) -> Iterator[tuple[StoredJourney, int, str]]:
        for journey, seen_at in tx.journeys_since(self._rollout, self._seq):
            yield journey, seen_at, self._lines[journey.journey.key].name


def watch(kit: "Kit", rollout: int) -> Watching:
    """Raises RolloutError if there is no such rollout."""
    with kit.ledger.read() as tx:
        if tx.rollout(rollout) is None:
            raise RolloutError(f"There is no rollout {rollout}.", remedy="`osupdate-kit rollout list` shows them.")
    return Watching(kit, rollout)


def told_of(
    tx: Transaction, plans: Plans, rollout: StoredRollout, journey: StoredJourney, line: DeviceLine, now: int
) -> Told:
    """All that a device's story in a rollout is told from. now: as of when the line was read."""
    return Told(
        device=tx.devices([line.key])[line.key].device,
        line=line,
        events=tx.events_of([line.key]).get(line.key, []),
        course=None if journey.barred else plans.course(tx, journey),
        start=Start(rollout.started_at, rollout.start_seq),
        now=now,
    )


def _next_installs(tx: Transaction, keys: Sequence[DeviceKey]) -> Mapping[DeviceKey, int]:
    return {key: Facts.from_json(device.facts).deferrals.next_install_at for key, device in tx.devices(keys).items()}


def line_of(
    stored: StoredJourney,
    seen_at: int,
    rollout: StoredRollout,
    plan: RolloutPlan,
    now: int,
    kit: "Kit",
    *,
    held: str,
    name: str,
) -> DeviceLine:
    journey = stored.journey
    over = look_over(stored, seen_at, rollout, plan, now, kit.cadences, held=held)
    declaration = standing(over.state, journey.route, journey.armed, journey.enforce_at, now)
    return DeviceLine(
        key=journey.key,
        udid=stored.udid,
        serial=stored.serial,
        name=name,
        platform=stored.platform,
        wave=stored.wave,
        time_zone=stored.time_zone,
        state=over.state.value,
        reason=over.why,
        barrier=barrier_words(stored.barrier) if stored.barred else "",
        armed=journey.armed.value,
        regressed=journey.regressed,
        presumed=over.presumed,
        cause=over.cause,
        cause_text=journey.failure_text if over.cause else "",
        remedy=over.remedy,
        deferrals_used=journey.deferrals_used,
        deferrals_remaining=journey.deferrals_remaining,
        seen_at=seen_at,
        os_version=journey.os_version,
        route=route_of(stored).value,
        declaration=declaration,
        enforce_at=journey.enforce_at,
        due=due(declaration, journey.enforce_at, now),
    )
