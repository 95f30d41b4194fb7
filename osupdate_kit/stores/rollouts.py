"""Plans, rollouts, journeys and transitions: what was begun with whom, and where each device stands."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal_column,
    not_,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.sql.expression import false, null, true

from osupdate_kit.errors import PlanError, RolloutError
from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.rollout.journey import Journey, Member, RolloutStatus
from osupdate_kit.rollout.policy import MINUTE
from osupdate_kit.stores.rows import (
    StoredJourney,
    StoredPlan,
    StoredRollout,
    Transition,
    journey_values,
    member_of,
    member_values,
    plan_of,
    rollout_of,
    stored_journey_of,
    transition_of,
    transition_values,
)  # fmt: skip
from osupdate_kit.stores.schema import (
    approvals,
    devices,
    events,
    journey,
    members,
    minutes,
    plans,
    rollouts,
    transitions,
)  # fmt: skip
from osupdate_kit.stores.schema import waves as waves_table
from osupdate_kit.stores.statements import (
    CHUNK,
    EMPTY,
    ZERO,
    Session,
    Statement,
    among,
    at_most,
    insert_or,
    last_id,
)  # fmt: skip

_LAST_PLAN = last_id(plans.c.id)
_PLAN_ADD = Statement(insert(plans))
_PLAN_COUNT = Statement(update(plans).values(members=bindparam("count")).where(plans.c.id == bindparam("of_plan")))
_PLAN_BY_SHA = Statement(select(plans).where(plans.c.sha256 == bindparam("sha256")))
_PLAN_BY_ID = Statement(select(plans).where(plans.c.id == bindparam("of_plan")))
_PLANS = Statement(select(plans).order_by(plans.c.id))
_MEMBER_ADD = Statement(insert(members))
_MEMBER_KEY = (members.c.server, members.c.enrollment_id)
_MEMBERS = Statement(
    at_most(
        select(members, *(column.label(f"key_{column.name}") for column in _MEMBER_KEY))
        .where(
            members.c.plan == bindparam("of_plan"),
            tuple_(*_MEMBER_KEY) > tuple_(*(bindparam(f"after_{c.name}", type_=c.type) for c in _MEMBER_KEY)),
        )
        .order_by(*_MEMBER_KEY)
    )
)
_MEMBERS_OF = Statement(
    select(members).where(
        members.c.server == bindparam("server"), among(members.c.enrollment_id), members.c.plan == bindparam("of_plan")
    )
)

_LAST_ROLLOUT = last_id(rollouts.c.id)
_ROLLOUT_ADD = Statement(insert(rollouts))
_WAITS = and_(
    approvals.c.rollout == rollouts.c.id, approvals.c.plan == rollouts.c.plan, approvals.c.wanted,
    approvals.c.approved_at == ZERO,
)  # fmt: skip
_WITH_WAITS = select(rollouts, approvals.c.rollout.is_not(None)).select_from(rollouts.outerjoin(approvals, _WAITS))
_ROLLOUT = Statement(_WITH_WAITS.where(rollouts.c.id == bindparam("of_rollout")))
_STARTED = Statement(select(rollouts.c.started_at).where(rollouts.c.id == bindparam("of_rollout")))
_ROLLOUTS = Statement(_WITH_WAITS.order_by(rollouts.c.id))
_ROLLOUT_SET = Statement(
    update(rollouts)
    .values({name: bindparam(name) for name in ("status", "reason", "changed_at", "resumed_at")})
    .where(rollouts.c.id == bindparam("of_rollout"))
)
_EXTEND = Statement(
    update(rollouts).values(deadline_at=bindparam("at")).where(rollouts.c.id == bindparam("of_rollout"))
)
_BUSY = Statement(
    select(journey.c.server, journey.c.enrollment_id, journey.c.rollout)
    .select_from(
        members.join(
            journey, and_(journey.c.server == members.c.server, journey.c.enrollment_id == members.c.enrollment_id)
        )
    )
    .where(members.c.plan == bindparam("of_plan"), members.c.barrier == EMPTY, journey.c.live)
    .limit(literal_column("1"))
    .offset(ZERO)
)
_BEGINS: dict[str, ColumnElement[Any]] = {
    "state": literal_column("'held'"),
    "live": true(),
    "regressed": false(),
    "ready": false(),
    "deferrals_used": null(),
    "deferrals_remaining": null(),
    "os_version_start": members.c.os_version,
    "commands_sent": ZERO,
    "progress_at": ZERO,
    "done_at": ZERO,
    "updated_at": ZERO,
    "updated_seq": ZERO,
    "route": members.c.instrument,
    "enforce_at": ZERO,
    **dict.fromkeys(("armed", "os_version", "action_asked", "action_returned", "failure", "failure_text"), EMPTY),
}


_HAS_JOURNEY = (
    select(literal_column("1"))
    .where(
        journey.c.rollout == bindparam("of_rollout"),
        journey.c.server == members.c.server,
        journey.c.enrollment_id == members.c.enrollment_id,
    )
    .exists()
)
_ADDED = Statement(
    select(members.c.server, members.c.enrollment_id, members.c.barrier)
    .where(members.c.plan == bindparam("of_plan"), not_(_HAS_JOURNEY))
    .order_by(*_MEMBER_KEY)
)


def _begin(*, barred: bool, added: bool = False) -> Statement:
    """Journeys of all members of a plan that are barred, or of all that are not; `added`: that have none there yet."""
    overlay: dict[str, ColumnElement[Any]] = (
        {"state": literal_column("'barred'"), "live": false(), "due_at": null()} if barred else {}
    )
    begins: dict[str, ColumnElement[Any]] = {
        "rollout": bindparam("new_rollout", type_=journey.c.rollout.type),
        "due_at": bindparam("due", type_=journey.c.due_at.type),
        "admitted_at": bindparam("admitted", type_=journey.c.admitted_at.type),
        **_BEGINS,
        **overlay,
    }
    values = [begins[c.name] if c.name in begins else members.c[c.name] for c in journey.c]
    chosen = members.c.barrier != EMPTY if barred else members.c.barrier == EMPTY
    rows = select(*values).where(members.c.plan == bindparam("of_plan"), chosen)
    if added:
        rows = rows.where(not_(_HAS_JOURNEY))
    return Statement(insert(journey).from_select([column.name for column in journey.c], rows.order_by(*_MEMBER_KEY)))


_BEGIN, _BEGIN_BARRED = _begin(barred=False), _begin(barred=True)
_ADD, _ADD_BARRED = _begin(barred=False, added=True), _begin(barred=True, added=True)
_REVISE = Statement(
    update(rollouts)
    .values(plan=bindparam("new_plan"), deadline_at=bindparam("deadline"))
    .where(rollouts.c.id == bindparam("of_rollout"))
)
_BEGIN_TRANSITIONS = Statement(
    insert(transitions).from_select(
        ["rollout", "server", "enrollment_id", "at", "known_seq", "state", "sign"],
        select(
            journey.c.rollout,
            journey.c.server,
            journey.c.enrollment_id,
            bindparam("at", type_=transitions.c.at.type),
            bindparam("seq", type_=transitions.c.known_seq.type),
            journey.c.state,
            literal_column("1"),
        )
        .where(journey.c.rollout == bindparam("of_rollout"))
        .order_by(journey.c.server, journey.c.enrollment_id),
    )
)

_BEGIN_MINUTES = Statement(
    insert(minutes).from_select(
        ["rollout", "at", "state", "change"],
        select(journey.c.rollout, bindparam("at", type_=minutes.c.at.type), journey.c.state, func.count())
        .where(journey.c.rollout == bindparam("of_rollout"))
        .group_by(journey.c.rollout, journey.c.state),
    )
)

_WAVE_ADD = Statement(insert(waves_table))
_WAVE_NAMES = Statement(
    select(waves_table.c.position, waves_table.c.name).where(waves_table.c.rollout == bindparam("of_rollout"))
)

_IS = and_(
    journey.c.rollout == bindparam("of_rollout"),
    journey.c.server == bindparam("of_server"),
    journey.c.enrollment_id == bindparam("of_enrollment_id"),
)
_STATES = (
    *tuple(journey.c)[journey.c.keys().index("state") : journey.c.keys().index("live")], journey.c.route,
    journey.c.enforce_at,
)  # fmt: skip
_OF = Statement(
    select(journey)
    .where(journey.c.server == bindparam("server"), among(journey.c.enrollment_id))
    .order_by(journey.c.rollout)
)
_DUE = Statement(
    at_most(
        select(journey)
        .where(journey.c.due_at <= bindparam("now"), journey.c.due_at.is_not(None))
        .order_by(journey.c.due_at)
    )
)
_NEXT_DUE = Statement(select(func.min(journey.c.due_at)).where(journey.c.due_at.is_not(None)))
_SAVE = Statement(update(journey).values({c.name: bindparam(c.name) for c in _STATES}).where(_IS))
_SET_DUE = Statement(update(journey).values(due_at=bindparam("due")).where(_IS))
_MAKE_DUE = Statement(
    update(journey).values(due_at=bindparam("due")).where(journey.c.rollout == bindparam("of_rollout"), journey.c.live)
)
_STILL_DECLARED = Statement(
    select(literal_column("1"))
    .where(journey.c.rollout == bindparam("of_rollout"), journey.c.enforce_at > ZERO, journey.c.armed != EMPTY)
    .limit(literal_column("1"))
    .offset(ZERO)
)
_ON_DEVICE = Statement(
    at_most(
        select(journey.c.enrollment_id)
        .where(
            journey.c.server == bindparam("server"),
            journey.c.enrollment_id > bindparam("after_id", type_=journey.c.enrollment_id.type),
            journey.c.live, journey.c.enforce_at > ZERO, journey.c.armed == literal_column("'on the device'"),
        )
        .order_by(journey.c.enrollment_id)
    )
)  # fmt: skip
_MAKE_DUE_DECLARED = Statement(
    update(journey)
    .values(due_at=bindparam("due"))
    .where(journey.c.rollout == bindparam("of_rollout"), journey.c.enforce_at > ZERO)
)
_END = Statement(
    update(journey).values(live=false()).where(journey.c.rollout == bindparam("of_rollout"), journey.c.live)
)
_JOURNEY_KEY = (journey.c.server, journey.c.enrollment_id)
_JOURNEYS = Statement(
    at_most(
        select(
            journey,
            func.coalesce(devices.c.last_seen_at, ZERO),
            func.coalesce(devices.c.name, EMPTY),
            *(column.label(f"key_{column.name}") for column in _JOURNEY_KEY),
        )
        .select_from(
            journey.outerjoin(
                devices, and_(devices.c.server == journey.c.server, devices.c.enrollment_id == journey.c.enrollment_id)
            )
        )
        .where(
            journey.c.rollout == bindparam("of_rollout"),
            tuple_(*_JOURNEY_KEY) > tuple_(*(bindparam(f"after_{c.name}", type_=c.type) for c in _JOURNEY_KEY)),
        )
        .order_by(*_JOURNEY_KEY)
    )
)
_NEWS = Statement(
    select(journey, func.coalesce(devices.c.last_seen_at, ZERO))
    .select_from(
        journey.outerjoin(
            devices, and_(devices.c.server == journey.c.server, devices.c.enrollment_id == journey.c.enrollment_id)
        )
    )
    .where(journey.c.rollout == bindparam("of_rollout"), journey.c.updated_seq > bindparam("after_seq"))
)
_COUNT_STATES = Statement(
    select(journey.c.state, func.count()).where(journey.c.rollout == bindparam("of_rollout")).group_by(journey.c.state)
)
_CHANGE = tuple(column for column in transitions.c if column.name != "id")
_TRANSITION_ADD = Statement(insert(transitions).values({c.name: bindparam(c.name) for c in _CHANGE}))
_TRANSITIONS_OF = Statement(
    select(*_CHANGE)
    .where(
        transitions.c.server == bindparam("server"),
        among(transitions.c.enrollment_id),
        transitions.c.rollout == bindparam("of_rollout"),
    )
    .order_by(transitions.c.id)
)
_MINUTE_ADD = Statement(
    insert_or(
        minutes,
        lambda row: row.on_conflict_do_update(
            index_elements=[minutes.c.rollout, minutes.c.at, minutes.c.state],
            set_={"change": minutes.c.change + row.excluded.change},
        ),
    )
)
_WIDTH = literal_column(str(MINUTE), minutes.c.at.type)
_SUMS = union_all(
    select(minutes, ZERO.label("told")),
    select(
        transitions.c.rollout,
        case(
            (transitions.c.at <= rollouts.c.started_at, rollouts.c.started_at),
            else_=transitions.c.at + (_WIDTH - transitions.c.at % _WIDTH) % _WIDTH,
        ).label("at"),
        transitions.c.state,
        ZERO,
        transitions.c.sign,
    ).join(rollouts, rollouts.c.id == transitions.c.rollout),
).subquery()
_MINUTES_WRONG = Statement(
    select(_SUMS.c.rollout, _SUMS.c.at, _SUMS.c.state, func.sum(_SUMS.c.change), func.sum(_SUMS.c.told))
    .group_by(_SUMS.c.rollout, _SUMS.c.at, _SUMS.c.state)
    .having(func.sum(_SUMS.c.change) != func.sum(_SUMS.c.told))
    .order_by(_SUMS.c.rollout, _SUMS.c.at, _SUMS.c.state)
)
_LAST_SEQ = last_id(events.c.seq)


class Rollouts(Session):
    """Its part of a transaction."""

    def save_plan(
        self, *, name: str, yaml: str, sha256: str, author: str, created_at: int, members: Iterable[Member]
    ) -> int:
        """Keep a plan and its membership, which may be a stream; its id. `sha256`: of the YAML.

        A plan that is there already is left as it is, and its id returned.
        """
        known = self.plan(sha256)
        if known is not None:
            return known.id
        plan = int(self._value(_LAST_PLAN)) + 1
        self._run(_PLAN_ADD, plan, name, yaml, sha256, author, created_at, 0)
        count, rows = 0, iter(members)
        while chunk := list(islice(rows, 5 * CHUNK)):
            count += self._each(_MEMBER_ADD, [member_values(plan, member) for member in chunk])
        self._run(_PLAN_COUNT, count, plan)
        return plan

    def plan(self, sha256: str) -> StoredPlan | None:
        row = self._row(_PLAN_BY_SHA, sha256)
        return plan_of(row) if row else None

    def plan_of(self, plan_id: int) -> StoredPlan | None:
        row = self._row(_PLAN_BY_ID, plan_id)
        return plan_of(row) if row else None

    def plans(self) -> list[StoredPlan]:
        return [plan_of(row) for row in self._rows(_PLANS)]

    def members(self, plan_id: int, keys: Iterable[DeviceKey] | None = None) -> Iterator[Member]:
        """All in key order, memory-flat; or those among `keys`."""
        if keys is not None:
            yield from map(member_of, self._of(_MEMBERS_OF, keys, plan_id))
            return
        for row in self._pages(_MEMBERS, plan_id, after=("", ""), limit=None):
            yield member_of(row[:-2])

    # --- rollouts ---

    def start_rollout(
        self, plan_id: int, *, now: int, deadline_at: int, by: str, waves: Sequence[tuple[str, int]] = ()
    ) -> int:
        """Begin: every member gets a journey and a transition, *barred* or *held* and due now; the rollout's id.

        waves: name and first pace of each, in their order; with any, no device is admitted yet.

        Raises RolloutError when a device is in another live rollout, PlanError when the store has no such plan.
        """
        plan = self.plan_of(plan_id)
        if plan is None:
            raise PlanError(f"The store has no plan {plan_id}.", remedy="Make it by `osupdate-kit plan create`.")
        busy = self._row(_BUSY, plan_id)
        if busy is not None:
            raise RolloutError(
                f"Device {DeviceKey(busy[0], busy[1])} is in rollout {busy[2]}, which has not ended.",
                remedy=f"Wait for its end, or cancel it: osupdate-kit rollout cancel {busy[2]}.",
            )
        rollout, seq = int(self._value(_LAST_ROLLOUT)) + 1, int(self._value(_LAST_SEQ))
        status = RolloutStatus.RUNNING.value
        self._run(_ROLLOUT_ADD, rollout, plan_id, status, now, seq, deadline_at, by, "", now, 0)
        self._run(_BEGIN, rollout, now, 0 if waves else now, plan_id)
        self._run(_BEGIN_BARRED, rollout, now, plan_id)
        self._run(_BEGIN_TRANSITIONS, now, seq, rollout)
        self._run(_BEGIN_MINUTES, now, rollout)
        first = [(rollout, name, place, 0, "", pace, now, "") for place, (name, pace) in enumerate(waves)]
        self._each(_WAVE_ADD, first)
        return rollout

    def revise_rollout(
        self, rollout: StoredRollout, plan_id: int, *, now: int, deadline_at: int, waves: Sequence[tuple[str, int]] = ()
    ) -> list[DeviceKey]:
        """Let it go on by another plan: whoever is new in it begins, as if from the start; who that is.

        Devices that are under way stay, whether the new plan names them or not. waves: as `start_rollout` takes them;
        those that are there keep their standing. Raises RolloutError when a new device is in another live rollout.
        """
        added = self._rows(_ADDED, plan_id, rollout.id)
        keys = [DeviceKey(server, one) for server, one, _ in added]
        for key, mine in self.journeys_of(DeviceKey(server, one) for server, one, why in added if not why).items():
            if busy := next((stored.journey.rollout for stored in mine if stored.live), 0):
                raise RolloutError(
                    f"Device {key} is in rollout {busy}, which has not ended.", remedy=f"End rollout {busy} first."
                )
        known = {row[1] for row in self._rows(_WAVE_NAMES, rollout.id)}
        fresh = [(name, pace) for name, pace in waves if name not in known]
        rows = [(rollout.id, name, len(known) + n, 0, "", pace, now, "") for n, (name, pace) in enumerate(fresh)]
        self._each(_WAVE_ADD, rows)
        admitted = 0 if waves else now
        self._run(_ADD, rollout.id, now, admitted, plan_id, rollout.id)
        self._run(_ADD_BARRED, rollout.id, admitted, plan_id, rollout.id)
        self.add_transitions(
            [
                Transition(
                    rollout=rollout.id, key=DeviceKey(server, one), at=rollout.started_at,
                    known_seq=rollout.start_seq, state="barred" if why else "held", sign=1,
                )
                for server, one, why in added
            ]
        )  # fmt: skip
        self._run(_REVISE, plan_id, deadline_at, rollout.id)
        return keys

    def rollout(self, rollout_id: int) -> StoredRollout | None:
        row = self._row(_ROLLOUT, rollout_id)
        return rollout_of(row) if row else None

    def rollouts(self) -> list[StoredRollout]:
        return [rollout_of(row) for row in self._rows(_ROLLOUTS)]

    def set_rollout(self, rollout_id: int, status: RolloutStatus, *, now: int, reason: str) -> None:
        """Change its status; running again after anything else is a resumption. RolloutError if there is none."""
        known = self.rollout(rollout_id)
        if known is None:
            raise RolloutError(f"There is no rollout {rollout_id}.", remedy="`osupdate-kit rollout list` shows them.")
        resumed = status is RolloutStatus.RUNNING and known.status is not RolloutStatus.RUNNING
        self._run(_ROLLOUT_SET, status.value, reason, now, now if resumed else known.resumed_at, rollout_id)

    def extend_rollout(self, rollout_id: int, deadline_at: int) -> None:
        self._run(_EXTEND, deadline_at, rollout_id)

    def end_rollout(self, rollout_id: int, status: RolloutStatus, *, now: int, reason: str) -> None:
        """Cancelled or ended: its devices are free for another rollout. What is due stays due."""
        self.set_rollout(rollout_id, status, now=now, reason=reason)
        self._run(_END, rollout_id)

    # --- journeys ---

    def journeys_of(self, keys: Iterable[DeviceKey]) -> dict[DeviceKey, list[StoredJourney]]:
        """By device, the oldest rollout first, ended ones too; devices in no rollout are not in it."""
        found: dict[DeviceKey, list[StoredJourney]] = defaultdict(list)
        for row in self._of(_OF, keys):
            stored = stored_journey_of(row)
            found[stored.journey.key].append(stored)
        return dict(found)

    def due(self, now: int, limit: int) -> list[StoredJourney]:
        """The longest due first; costs by these rows only."""
        return [stored_journey_of(row) for row in self._rows(_DUE, now, limit)]

    def next_due(self) -> int | None:
        due: int | None = self._value(_NEXT_DUE)
        return due

    def save_journeys(self, rows: Sequence[Journey]) -> None:
        """Replace what the events add up to; they are in the store."""
        self._each(_SAVE, [journey_values(row) for row in rows])

    def set_due(self, rows: Sequence[tuple[int, DeviceKey, int | None]]) -> None:
        """When each is looked at next; None: not before something happens."""
        self._each(_SET_DUE, [(due, rollout, *key) for rollout, key, due in rows])

    def make_due(self, rollout_id: int, at: int) -> None:
        """Look at all its live devices then."""
        self._run(_MAKE_DUE, at, rollout_id)

    def make_due_declared(self, rollout_id: int, at: int) -> None:
        """Look then at all that were ever declared in it, live or not: that may have to be taken back."""
        self._run(_MAKE_DUE_DECLARED, at, rollout_id)

    def still_declared(self, rollout: int) -> bool:
        """May a device of it still act on a declaration?"""
        return self._row(_STILL_DECLARED, rollout) is not None

    def declared_devices(self, server: str, *, after: str, limit: int) -> list[str]:
        """Enrollment ids of devices that know of a declaration of ours; in order, beyond `after`."""
        return [one for (one,) in self._rows(_ON_DEVICE, server, after, limit)]

    def journeys(
        self, rollout_id: int, *, after: DeviceKey | None = None, limit: int | None = None
    ) -> Iterator[tuple[StoredJourney, int]]:
        """With the device's `last_seen_at` (0 = never), in key order, memory-flat."""
        for stored, seen_at, _ in self.named_journeys(rollout_id, after=after, limit=limit):
            yield stored, seen_at

    def named_journeys(
        self, rollout_id: int, *, after: DeviceKey | None = None, limit: int | None = None
    ) -> Iterator[tuple[StoredJourney, int, str]]:
        """The same with the device's name, as its user wrote it."""
        for row in self._pages(_JOURNEYS, rollout_id, after=after or ("", ""), limit=limit):
            yield stored_journey_of(row[:-4]), row[-4], row[-3]

    def journeys_since(self, rollout_id: int, seq: int) -> list[tuple[StoredJourney, int]]:
        """Those that events after `seq` have changed, each with its device's `last_seen_at`."""
        return [(stored_journey_of(row[:-1]), row[-1]) for row in self._rows(_NEWS, rollout_id, seq)]

    def count_states(self, rollout_id: int) -> dict[str, int]:
        return dict(self._rows(_COUNT_STATES, rollout_id))

    def add_transitions(self, rows: Sequence[Transition]) -> None:
        """Append them, and add them up by the minute; what happened at the start of a rollout stands apart."""
        self._each(_TRANSITION_ADD, [transition_values(row) for row in rows])
        starts = {number: self._value(_STARTED, number) for number in {row.rollout for row in rows}}
        sums: Counter[tuple[int, int, str]] = Counter()
        for row in rows:
            start = starts[row.rollout]
            at = start if row.at <= start else -(-row.at // MINUTE) * MINUTE
            sums[row.rollout, at, row.state] += row.sign
        self._each(_MINUTE_ADD, [(*minute, change) for minute, change in sums.items()])

    def wrong_minutes(self) -> list[tuple[int, int, str, int, int]]:
        """Rollout, minute, state, change kept and change by the transitions, where the two differ; reads them all."""
        return [tuple(row) for row in self._rows(_MINUTES_WRONG)]

    def transitions_of(self, rollout: int, keys: Iterable[DeviceKey]) -> dict[DeviceKey, list[Transition]]:
        """By device, in the order of recording."""
        found: dict[DeviceKey, list[Transition]] = defaultdict(list)
        for row in map(transition_of, self._of(_TRANSITIONS_OF, keys, rollout)):
            found[row.key].append(row)
        return dict(found)
