"""One rollout as seen from an instant: what every figure is computed from, and what it is about.

Knows the contract's tables as Ibis tables, and the instants. Two of them: `as_of`, by when a thing had happened, and
`known_at`, by when we knew it. Leaves the figures to the modules beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ibis
from ibis import _

from osupdate_kit.analysis.tables import TABLES, Kind
from osupdate_kit.errors import AnalysisError, RolloutError
from osupdate_kit.rollout.journey import RolloutStatus
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import MINUTE, Cadences

_TYPES = {Kind.TEXT: "string", Kind.JSON: "string", Kind.NUMBER: "int64", Kind.TIME: "int64", Kind.FLAG: "boolean"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a figure is about: which rollout, how many devices, from which instant. Times in microseconds UTC."""

    rollout: int
    plan: str
    target: str
    status: str
    selected: int
    started_at: int
    deadline_at: int
    as_of: int
    known_by: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Tables, subject, and what the overlay of time needs (see `shown.py`)."""

    tables: Mapping[str, ibis.Table]
    subject: Subject
    plan: RolloutPlan
    cadences: Cadences
    start_seq: int
    now: int
    known_at: int  # 0: all that is known
    waits: bool = False  # for another person's approval, now

    @classmethod
    def of(
        cls,
        backend: ibis.BaseBackend,
        rollout: int,
        *,
        now: int,
        cadences: Cadences,
        as_of: int = 0,
        known_at: int = 0,
    ) -> "Scope":
        """as_of, known_at: microseconds UTC, 0 = now and all that is known.

        Raises RolloutError when there is no such rollout, or when it had not begun by then.
        """
        names = ("journey", "transitions", "minutes", "devices", "events", "holds", "halts")
        tables = {name: typed(backend, name) for name in names}
        row = _row(backend, rollout)
        as_of = min(as_of or now, now)
        if min(as_of, known_at or now) < row["started_at"]:
            raise RolloutError(f"Rollout {rollout} had not begun then.", remedy="Ask for a later instant.")
        plan = RolloutPlan.from_yaml(row["yaml"])
        subject = Subject(
            rollout=rollout,
            plan=plan.name,
            target=plan.target_label,
            status=row["status"],
            selected=row["members"],
            started_at=row["started_at"],
            deadline_at=row["deadline_at"],
            as_of=as_of,
            known_by=known_at or now,
        )
        return cls(
            tables=tables,
            subject=subject,
            plan=plan,
            cadences=cadences,
            start_seq=row["start_seq"],
            now=now,
            known_at=known_at,
            waits=bool(row["waits"]),
        )

    @property
    def status(self) -> RolloutStatus:
        return RolloutStatus(self.subject.status)

    @property
    def is_now(self) -> bool:
        """Is it the newest of all? Only then is the journey, which is overwritten, the right answer."""
        return self.subject.as_of == self.now and not self.known_at

    @property
    def engine(self) -> str:
        """What computes: `sqlite`, `postgres`, `duckdb`."""
        return str(self.tables["journey"].get_backend().name)

    def only_now(self, what: str) -> None:
        """Raise AnalysisError unless this is the newest of all."""
        if not self.is_now:
            raise AnalysisError(f"{what} can be told as of now only.", remedy="Leave out as_of and known_at.")

    def journey(self) -> ibis.Table:
        """The rollout's journeys."""
        return self.tables["journey"].filter(_.rollout == self.subject.rollout)

    def transitions(self) -> ibis.Table:
        """The rollout's signed changes up to `as_of`, as far as they were known at `known_at`.

        As of now all of them: what a server's clock dates after our now has happened, at the latest now.
        """
        all_of_it = _.rollout + 0 == self.subject.rollout  # + 0: reading in order, not device by device by an index
        rows = self.tables["transitions"].filter(all_of_it)
        if self.is_now:
            return rows.mutate(at=ibis.least(_["at"], self.subject.as_of))
        rows = rows.filter(_["at"] <= self.subject.as_of)
        return rows.filter(_.known_seq <= self._known_seq()) if self.known_at else rows

    def changes(self) -> ibis.Table:
        """`transitions`, added up by the minute where they can be: `at`, `state`, `change`.

        As of any whole minute, of the start, and of `as_of`, the sums are exact.
        """
        if self.known_at:
            return self.transitions().select("at", "state", change=_.sign)
        sums = self.tables["minutes"].filter(_.rollout == self.subject.rollout).select("at", "state", "change")
        if self.is_now:
            return sums
        whole = max(self.subject.as_of - self.subject.as_of % MINUTE, self.subject.started_at)
        rest = self.transitions().filter(_["at"] > whole).select("at", "state", change=_.sign.cast("int64"))
        return sums.filter(_["at"] <= whole).union(rest)

    def _known_seq(self) -> int:
        """The newest event that was recorded by `known_at`; the rollout's own beginning is always known."""
        known = self.tables["events"].filter(_.recorded_at <= self.known_at).order_by(ibis.desc("seq")).limit(1)
        rows = known.select("seq").to_pyarrow().to_pylist()
        return max(rows[0]["seq"] if rows else 0, self.start_seq)

    def check(self, total: int, what: str) -> None:
        """Selected = sum over states, always (I5): what does not add up is not shown."""
        if total != self.subject.selected:
            raise AnalysisError(
                f"{what}: {total:,} devices add up, but {self.subject.selected:,} were selected "
                f"({total - self.subject.selected:+,}).",
                remedy="Run osupdate-kit store verify, which names what differs.",
            )


def typed(backend: ibis.BaseBackend, name: str) -> ibis.Table:
    """A table of the contract, with the contract's types in place of the engine's, which differ in what may be NULL.

    No cast stands in the query for it: a database uses no index for a cast column.
    """
    schema = ibis.schema({column.name: _TYPES[column.kind] for column in TABLES[name].columns})
    return backend.table(name).op().copy(schema=schema).to_expr()


def _row(backend: ibis.BaseBackend, rollout: int) -> dict[str, Any]:
    """The rollout beside its plan's YAML and number of members."""
    rollouts = typed(backend, "rollouts").filter(_.id == rollout)
    plans = typed(backend, "plans").select(_.id.name("plan"), _.yaml, _.members)
    asked = typed(backend, "approvals").filter(_.wanted, _.approved_at == 0)
    waits = asked.select(rollout=_.rollout, plan=_.plan, waits=ibis.literal(True))
    found = rollouts.inner_join(plans, "plan")
    rows = found.left_join(waits, [found.id == waits.rollout, found.plan == waits.plan]).to_pyarrow().to_pylist()
    if not rows:
        raise RolloutError(f"There is no rollout {rollout}.", remedy="`osupdate-kit rollout list` shows them.")
    row: dict[str, Any] = rows[0]
    return row
