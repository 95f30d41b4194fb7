"""`store verify`: replays all events and compares what they add up to with what is kept (I7)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.rollout.events import RolloutEvent
from osupdate_kit.rollout.history import Change, corrections, history, journey_of
from osupdate_kit.rollout.state import Facts, fold
from osupdate_kit.service.record import Plans
from osupdate_kit.stores.ledger import Ledger, StoredDevice, StoredJourney, Transaction

CHUNK = 500


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is kept and does not follow from the events. `key`: None where it is no single device's."""

    key: DeviceKey | None
    what: str
    kept: str
    replayed: str

    def __str__(self) -> str:
        return f"{self.key or 'all devices'}: {self.what} is {self.kept!r}, the events say {self.replayed!r}"


def verify(ledger: Ledger) -> Iterator[Difference]:
    """Every device that has events: its facts, journeys and signed transitions; and these summed by the minute."""
    plans = Plans()
    with ledger.read() as tx:
        for key, events in tx.replay():
            facts = Facts()
            for event in events:
                facts = fold(facts, event)
            stored = tx.devices([key])[key]
            yield from _facts(key, stored, facts)
            for journey in tx.journeys_of([key]).get(key, []):
                number = journey.journey.rollout
                if not plans.readable(tx, number):
                    yield Difference(key, f"the plan of rollout {number}", "", "cannot be read")
                elif not journey.barred:
                    yield from _journey(tx, plans, journey, facts)
                    yield from _transitions(tx, plans, journey, events)
        for rollout, at, state, kept, true in tx.wrong_minutes():
            yield Difference(None, f"the change of {state!r} by {at} in rollout {rollout}", str(kept), str(true))


def _facts(key: DeviceKey, stored: StoredDevice, facts: Facts) -> Iterator[Difference]:
    if Facts.from_json(stored.facts) != Facts.from_json(facts.to_json()):
        yield Difference(key, "facts", stored.facts, facts.to_json())


def _journey(tx: Transaction, plans: Plans, stored: StoredJourney, facts: Facts) -> Iterator[Difference]:
    kept = stored.journey
    if not kept.updated_seq:
        return  # nothing has happened since the rollout began
    version = plans.target_version(tx, stored)
    true = journey_of(kept.key, facts, plans.course(tx, stored), version, seq=kept.updated_seq)
    if kept != true:
        yield Difference(kept.key, f"journey of rollout {kept.rollout}", str(kept), str(true))


def _transitions(
    tx: Transaction, plans: Plans, stored: StoredJourney, events: Sequence[RolloutEvent]
) -> Iterator[Difference]:
    rollout, key = stored.journey.rollout, stored.journey.key
    start = plans.start(tx, rollout)
    kept = [Change(t.at, t.state, t.sign) for t in tx.transitions_of(rollout, [key]).get(key, ())]
    true = [Change(start.at, "held", 1), *history(events, plans.course(tx, stored), start)]
    missing = list(corrections(kept, true))
    if missing:
        yield Difference(key, f"transitions of rollout {rollout}", str(kept), str(true))
