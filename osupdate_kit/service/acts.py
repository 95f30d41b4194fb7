"""People's acts: rows that the service picks up and carries out, each with its line in the audit log (I10)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from msgspec import structs

from osupdate_kit.errors import OSUpdateKitError, RolloutError
from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.causes import name_of
from osupdate_kit.rollout.events import EventKind
from osupdate_kit.rollout.journey import Journey, RolloutStatus
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.ports import Clock
from osupdate_kit.rollout.state import Facts, State
from osupdate_kit.service.loop import withdraw
from osupdate_kit.service.record import Plans, catch_up, record
from osupdate_kit.service.words import own_event, retried
from osupdate_kit.stores.ledger import Act, Approval, Ledger, StoredRollout, Transaction

CHUNK = 1000

_FROM: Mapping[str, tuple[RolloutStatus, ...]] = {
    "pause": (RolloutStatus.RUNNING,),
    "resume": (RolloutStatus.PAUSED, RolloutStatus.HALTED),
    "halt": (RolloutStatus.RUNNING, RolloutStatus.PAUSED),
    "cancel": (RolloutStatus.RUNNING, RolloutStatus.PAUSED, RolloutStatus.HALTED),
    "abandon": tuple(RolloutStatus),
    "retry": (RolloutStatus.RUNNING, RolloutStatus.PAUSED),
    "open": (RolloutStatus.RUNNING, RolloutStatus.PAUSED),
    "lift": (RolloutStatus.RUNNING, RolloutStatus.PAUSED, RolloutStatus.HALTED),
    "extend": (RolloutStatus.RUNNING, RolloutStatus.PAUSED, RolloutStatus.HALTED),
    "revise": (RolloutStatus.RUNNING, RolloutStatus.PAUSED, RolloutStatus.HALTED),
    "approve": (RolloutStatus.RUNNING, RolloutStatus.PAUSED, RolloutStatus.HALTED),
}
_TO = {
    "pause": RolloutStatus.PAUSED,
    "resume": RolloutStatus.RUNNING,
    "halt": RolloutStatus.HALTED,
    "cancel": RolloutStatus.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Carries out what people asked for, oldest first, at the beginning of the loop's turn."""

    ledger: Ledger
    clock: Clock
    plans: Plans

    def turn(self) -> int:
        with self.ledger.read() as tx:
            if not tx.open_acts():
                return 0
        with self.ledger.write() as tx:
            acts = tx.open_acts()
            for act in acts:
                self._carry_out(tx, act)
            return len(acts)

    def _carry_out(self, tx: Transaction, act: Act) -> None:
        now = self.clock.now()
        try:
            rollout = check(tx, act.what, act.rollout)
            count = _ACTS[act.what](self, tx, rollout, act, now)
            outcome = "done"
        except OSUpdateKitError as error:
            count, outcome = 0, str(error)
        tx.finish_act(act.id, at=now, outcome=outcome)
        tx.audit(at=now, who=act.who, what=act.what, rollout=act.rollout, count=count, detail=act.detail or outcome)

    def _change(self, tx: Transaction, rollout: StoredRollout, act: Act, now: int) -> int:
        status = _TO[act.what]
        if status is RolloutStatus.CANCELLED:
            tx.end_rollout(rollout.id, status, now=now, reason=act.detail or f"by {act.who}")
        else:
            tx.set_rollout(rollout.id, status, now=now, reason=act.detail or f"by {act.who}")
        if status is RolloutStatus.RUNNING:
            for halt in tx.halts(rollout.id):
                if not halt.dimension:
                    tx.lift_halt(halt.id, at=now, by=act.who)
            tx.make_due(rollout.id, now)
            return 0
        tx.make_due_declared(rollout.id, now)
        return withdraw(tx, self.plans, rollout.id, now)

    def _abandon(self, tx: Transaction, rollout: StoredRollout, act: Act, now: int) -> int:
        """Declare the open and accepted steps of one device dead: only a person may, for nothing else can know."""
        server, _, enrollment_id = act.detail.partition(" ")
        key = DeviceKey(server, enrollment_id)
        stored = tx.devices([key]).get(key)
        facts = Facts.from_json(stored.facts) if stored else Facts()
        dead = [number for number, step in facts.steps.items() if step.perhaps_sent and step.installs and not step.dead]
        rows = tx.outbox_rows(dead)
        record(tx, self.plans, [own_event(EventKind.ABANDONED, row, now) for row in rows.values()])
        tx.set_due([(rollout.id, key, now)])
        return len(rows)

    def _retry(self, tx: Transaction, rollout: StoredRollout, act: Act, now: int) -> int:
        """Give the failed devices their tries anew; `detail` names a cause, as a class or as it is counted, "" all.

        Where places are counted, each waits for one once more: so many at once are what a pace is there to prevent.
        """
        failed = [
            stored.journey.key
            for stored, _ in tx.journeys(rollout.id)
            if stored.journey.state == State.FAILED and act.detail in _names(stored.journey)
        ]
        for start in range(0, len(failed), CHUNK):
            keys = failed[start : start + CHUNK]
            events = []
            for key, device in tx.devices(keys).items():
                facts = Facts.from_json(device.facts)
                steps = [number for number, step in facts.steps.items() if step.rollout == rollout.id]
                given = [number for number, one in facts.assignments.items() if one.rollout == rollout.id]
                newest = max(steps + given, default=0)
                events.append(retried(key, rollout.id, newest, act.id, now))
            record(tx, self.plans, events)
            if self.plans.plan(tx, rollout.id).has_places:
                tx.give_up(rollout.id, keys, now)
            else:
                tx.set_due([(rollout.id, key, now) for key in keys])
        return len(failed)

    def _open(self, tx: Transaction, rollout: StoredRollout, act: Act, now: int) -> int:
        """Let a wave begin whatever it waits for; `detail` names it. The gatekeeper opens it."""
        waves = tx.waves(rollout.id)
        wave = next((wave for wave in waves if wave.name == act.detail), None)
        if wave is None or wave.opened_at:
            waiting = ", ".join(wave.name for wave in waves if not wave.opened_at) or "none"
            raise RolloutError(f"No wave {act.detail!r} waits in rollout {rollout.id}.", remedy=f"Waiting: {waiting}.")
        tx.save_wave(rollout.id, structs.replace(wave, who=act.who, waits_for="", changed_at=now))
        return 0

    def _lift(self, tx: Transaction, rollout: StoredRollout, act: Act, now: int) -> int:
        """Let slices go on that were halted by their figures; `detail` is a halt's number, "" means all of them."""
        halts = [halt for halt in tx.halts(rollout.id) if act.detail in ("", str(halt.id))]
        if not halts:
            raise RolloutError(
                f"Nothing that is called {act.detail!r} stands halted in rollout {rollout.id}.",
                remedy="`osupdate-kit rollout status` shows what is halted.",
            )
        for halt in halts:
            tx.lift_halt(halt.id, at=now, by=act.who)
            if not halt.dimension and rollout.status is RolloutStatus.HALTED:
                tx.set_rollout(rollout.id, RolloutStatus.RUNNING, now=now, reason=f"lifted by {act.who}")
        tx.make_due(rollout.id, now)
        return len(halts)

    def _extend(self, tx: Transaction, rollout: StoredRollout, act: Act, now: int) -> int:
        """A later deadline, in microseconds UTC."""
        deadline_at = int(act.detail)
        if deadline_at <= max(now, rollout.deadline_at):
            raise RolloutError(
                f"The deadline of rollout {rollout.id} can only be put off.", remedy="Give a later moment, or cancel."
            )
        tx.extend_rollout(rollout.id, deadline_at)
        tx.make_due(rollout.id, now)
        return 0

    def _revise(self, tx: Transaction, rollout: StoredRollout, act: Act, now: int) -> int:
        """Go on by another plan, and take in the devices that are new in it; `detail` is the plan's number."""
        stored = tx.plan_of(int(act.detail))
        if stored is None:
            raise RolloutError(f"The store has no plan {act.detail}.", remedy="Make it by `osupdate-kit plan create`.")
        plan = RolloutPlan.from_yaml(stored.yaml)
        if plan.deadline_at <= now:
            raise RolloutError(f"The deadline of plan {stored.id} has passed.", remedy="Plan anew with a later one.")
        if (plan.goal is None) != (self.plans.plan(tx, rollout.id).goal is None):
            raise RolloutError(
                f"Of rollout {rollout.id} and plan {stored.id}, one has a rule for targets and one a version for all.",
                remedy="Revise it by a plan of the same kind, or end it and begin another.",
            )
        waves = [(wave.name, wave.pace) for wave in plan.waves] if tx.waves(rollout.id) or plan.admits else []
        added = tx.revise_rollout(rollout, stored.id, now=now, deadline_at=plan.deadline_at, waves=waves)
        tx.ask_approval(rollout.id, stored.id, by=act.who, at=now)
        self.plans.forget(rollout.id)
        for start in range(0, len(added), CHUNK):
            catch_up(tx, self.plans, rollout.id, added[start : start + CHUNK])
        tx.make_due(rollout.id, now)
        return len(added)

    def _approve(self, tx: Transaction, rollout: StoredRollout, act: Act, now: int) -> int:
        """Let it go on by the plan that waits, if this is another person; how many devices take it."""
        approval = approvable(tx, rollout, act.who)
        tx.approve(approval, by=act.who, at=now)
        tx.make_due(rollout.id, now)
        return approval.devices


def _names(journey: Journey) -> tuple[str, ...]:
    """By which of a retry's details it is meant."""
    return "", journey.failure, name_of(journey.failure, journey.failure_text)


_ACTS: Mapping[str, Callable[[Actor, Transaction, StoredRollout, Act, int], int]] = {
    **dict.fromkeys(_TO, Actor._change),
    "abandon": Actor._abandon,
    "retry": Actor._retry,
    "open": Actor._open,
    "lift": Actor._lift,
    "extend": Actor._extend,
    "revise": Actor._revise,
    "approve": Actor._approve,
}


def allowed(rollout: StoredRollout) -> frozenset[str]:
    """What may be asked for of a rollout that stands so."""
    acts = frozenset(what for what, statuses in _FROM.items() if rollout.status in statuses)
    return acts if rollout.waits else acts - {"approve"}


def approvable(tx: Transaction, rollout: StoredRollout, who: str) -> Approval:
    """What this person would approve of. Raises RolloutError where nothing waits, or where it is no second person."""
    approval = tx.approval(rollout.id)
    if approval is None or not approval.waits:
        raise RolloutError(
            f"Rollout {rollout.id} waits for nobody's approval.",
            remedy="`osupdate-kit rollout status` shows what it waits for.",
        )
    tx.second_person().check(approval.asked_by, who)
    return approval


def check(tx: Transaction, what: str, rollout_id: int) -> StoredRollout:
    """The rollout, if it allows this act now; else a RolloutError that says why not."""
    rollout = tx.rollout(rollout_id)
    if rollout is None:
        raise RolloutError(f"There is no rollout {rollout_id}.", remedy="`osupdate-kit rollout list` shows them.")
    if rollout.status not in _FROM[what]:
        allowed = " or ".join(_FROM[what])
        raise RolloutError(
            f"Rollout {rollout_id} is {rollout.status}; only a {allowed} one takes {what!r}.",
            remedy="`osupdate-kit rollout status` shows where it stands.",
        )
    return rollout
