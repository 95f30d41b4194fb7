"""Acts, audit and cursors: what people asked for and did, and small values that outlive a process."""

from sqlalchemy import bindparam, insert, select, update

from osupdate_kit.stores.rows import Act, Audit, plain
from osupdate_kit.stores.schema import acts, audit, cursors
from osupdate_kit.stores.statements import ZERO, Session, Statement, insert_or, last_id

_LAST_ACT = last_id(acts.c.id)
_ACT_ADD = Statement(insert(acts))
_OPEN = Statement(
    select(acts.c.id, acts.c.at, acts.c.who, acts.c.what, acts.c.rollout, acts.c.detail)
    .where(acts.c.finished_at == ZERO)
    .order_by(acts.c.id)
)
_OUTCOME = Statement(select(acts.c.outcome).where(acts.c.id == bindparam("of_id"), acts.c.finished_at > ZERO))
_FINISH = Statement(
    update(acts)
    .values(finished_at=bindparam("at"), outcome=bindparam("outcome"))
    .where(acts.c.id == bindparam("of_id"))
)
_LAST_AUDIT = last_id(audit.c.id)
_AUDIT_ADD = Statement(insert(audit))
_AUDITS = Statement(select(audit).order_by(audit.c.id))
_AUDITS_OF = Statement(select(audit).where(audit.c.rollout == bindparam("of_rollout")).order_by(audit.c.id))
_GET = Statement(select(cursors.c.value).where(cursors.c.name == bindparam("of_name")))
_PUT = Statement(
    insert_or(
        cursors, lambda new: new.on_conflict_do_update(index_elements=["name"], set_={"value": new.excluded.value})
    )
)


class Office(Session):
    """Its part of a transaction."""

    def add_act(self, *, at: int, who: str, what: str, rollout: int, detail: str = "") -> int:
        """A person's intention, for the service to pick up; its id."""
        number = int(self._value(_LAST_ACT)) + 1
        self._run(_ACT_ADD, number, at, who, what, rollout, plain(detail), 0, "")
        return number

    def open_acts(self) -> list[Act]:
        return [
            Act(id=number, at=at, who=who, what=what, rollout=rollout, detail=detail)
            for number, at, who, what, rollout, detail in self._rows(_OPEN)
        ]

    def finish_act(self, act: int, *, at: int, outcome: str) -> None:
        self._run(_FINISH, at, plain(outcome), act)

    def act_outcome(self, act: int) -> str | None:
        """What became of it; None while it is open."""
        outcome: str | None = self._value(_OUTCOME, act)
        return outcome

    def audit(self, *, at: int, who: str, what: str, rollout: int = 0, count: int = 0, detail: str = "") -> None:
        """Who did what, when, to how many (I10)."""
        self._run(_AUDIT_ADD, int(self._value(_LAST_AUDIT)) + 1, at, who, what, rollout, count, plain(detail))

    def audits(self, rollout: int | None = None) -> list[Audit]:
        """Oldest first; of one rollout, or all."""
        rows = self._rows(_AUDITS) if rollout is None else self._rows(_AUDITS_OF, rollout)
        return [
            Audit(id=number, at=at, who=who, what=what, rollout=of, count=count, detail=detail)
            for number, at, who, what, of, count, detail in rows
        ]

    def get(self, name: str) -> str | None:
        value: str | None = self._value(_GET, name)
        return value

    def put(self, name: str, value: str) -> None:
        self._run(_PUT, name, value)
