"""Notes, approvals and hand-overs: what people say to one another about devices and rollouts."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import and_, bindparam, func, insert, literal_column, or_, select, update
from sqlalchemy.sql.expression import true

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.rollout.people import SecondPerson
from osupdate_kit.stores.rows import plain
from osupdate_kit.stores.schema import approvals, commands, cursors, handovers, journey, notes, rollouts
from osupdate_kit.stores.statements import EMPTY, ZERO, Session, Statement, among, insert_or, last_id

_RULE = "second person"  # the cursor that keeps it


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Of a rollout, of a device in it, or (`rollout` 0) of a device at large. `key`: None of the whole rollout."""

    id: int
    at: int
    who: str
    rollout: int
    key: DeviceKey | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What one plan of a rollout was asked for; `approved_at` 0: nobody has approved of it."""

    rollout: int
    plan: int
    devices: int
    wanted: bool
    asked_by: str
    asked_at: int
    approved_by: str
    approved_at: int

    @property
    def waits(self) -> bool:
        return self.wanted and not self.approved_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    rollout: int
    at: int
    who: str
    owner: str
    reason: str


_LAST_NOTE = last_id(notes.c.id)
_NOTE_ADD = Statement(insert(notes))
_NOTES = Statement(select(notes).order_by(notes.c.id))
_NOTES_OF_ROLLOUT = Statement(select(notes).where(notes.c.rollout == bindparam("of_rollout")).order_by(notes.c.id))
_NOTES_OF = Statement(
    select(notes)
    .where(notes.c.server == bindparam("server"), among(notes.c.enrollment_id))
    .order_by(notes.c.id)
)  # fmt: skip

_RULE_GET = Statement(select(cursors.c.value).where(cursors.c.name == bindparam("of_name")))
_RULE_PUT = Statement(
    insert_or(
        cursors, lambda new: new.on_conflict_do_update(index_elements=["name"], set_={"value": new.excluded.value})
    )
)
_TAKING = Statement(
    select(func.count()).where(journey.c.rollout == bindparam("of_rollout"), journey.c.barrier == EMPTY)
)
_ASK = Statement(
    insert_or(
        approvals,
        lambda new: new.on_conflict_do_update(
            index_elements=["rollout", "plan"],
            set_={name: new.excluded[name] for name in ("devices", "wanted", "asked_by", "asked_at")},
        ),
    )
)
_BY_NOW = and_(rollouts.c.id == approvals.c.rollout, rollouts.c.plan == approvals.c.plan)
_APPROVAL = Statement(
    select(approvals)
    .select_from(approvals.join(rollouts, _BY_NOW))
    .where(approvals.c.rollout == bindparam("of_rollout"))
)  # fmt: skip
_APPROVE = Statement(
    update(approvals)
    .values(approved_by=bindparam("who"), approved_at=bindparam("at"))
    .where(approvals.c.rollout == bindparam("of_rollout"), approvals.c.plan == bindparam("of_plan"))
)
_GOES_ON = Statement(
    update(rollouts).values(resumed_at=bindparam("at")).where(rollouts.c.id == bindparam("of_rollout"))
)
_SENT = select(literal_column("1")).where(commands.c.rollout == approvals.c.rollout).exists()
_WANT = Statement(
    update(approvals)
    .values(wanted=and_(bindparam("over") > ZERO, approvals.c.devices > bindparam("over_again")))
    .where(or_(~_SENT, approvals.c.wanted == true()), approvals.c.approved_at == ZERO)
)

_LAST_HANDOVER = last_id(handovers.c.id)
_HANDOVER_ADD = Statement(insert(handovers))
_HANDOVERS = Statement(select(handovers).order_by(handovers.c.id))


class People(Session):
    """Its part of a transaction."""

    # --- notes ---

    def add_note(self, *, at: int, who: str, text: str, rollout: int = 0, key: DeviceKey | None = None) -> int:
        number = int(self._value(_LAST_NOTE)) + 1
        self._run(_NOTE_ADD, number, at, who, rollout, *(key or ("", "")), plain(text))
        return number

    def notes(self, rollout: int | None = None) -> list[Note]:
        """Oldest first; of one rollout and its devices, or all."""
        rows = self._rows(_NOTES) if rollout is None else self._rows(_NOTES_OF_ROLLOUT, rollout)
        return [_note(*row) for row in rows]

    def notes_of(self, keys: Iterable[DeviceKey]) -> list[Note]:
        """Of these devices, oldest first."""
        return sorted((_note(*row) for row in self._of(_NOTES_OF, keys)), key=lambda note: note.id)

    # --- approvals ---

    def second_person(self) -> SecondPerson:
        """The rule, as the service last stated it."""
        text = self._value(_RULE_GET, _RULE)
        return SecondPerson.from_text(text) if text else SecondPerson()

    def set_second_person(self, rule: SecondPerson) -> None:
        """The rule from now on, for rollouts that wait by the old one, too, and for those that nothing was sent of."""
        self._run(_RULE_PUT, _RULE, rule.to_text())
        self._run(_WANT, rule.over, rule.over)

    def ask_approval(self, rollout: int, plan: int, *, by: str, at: int) -> Approval:
        """By this plan the rollout begins or goes on; whether it waits for a second person."""
        devices = int(self._value(_TAKING, rollout))
        wanted = self.second_person().wanted(devices)
        self._run(_ASK, rollout, plan, devices, wanted, by, at, "", 0)
        approval = self.approval(rollout)
        assert approval is not None, rollout
        return approval

    def approval(self, rollout: int) -> Approval | None:
        """Of the plan that it goes by now."""
        row = self._row(_APPROVAL, rollout)
        return _approval(*row) if row else None

    def approve(self, approval: Approval, *, by: str, at: int) -> None:
        """It goes on from here as after a pause: every device is woken anew."""
        self._run(_APPROVE, by, at, approval.rollout, approval.plan)
        self._run(_GOES_ON, at, approval.rollout)

    # --- hand-overs ---

    def hand_over(self, rollout: int, *, at: int, who: str, owner: str, reason: str) -> None:
        number = int(self._value(_LAST_HANDOVER)) + 1
        self._run(_HANDOVER_ADD, number, rollout, at, who, owner, plain(reason))

    def handovers(self) -> dict[int, Handover]:
        """The newest of each rollout; who started one that is not in it answers for it."""
        found = (
            Handover(rollout=rollout, at=at, who=who, owner=owner, reason=reason)
            for _, rollout, at, who, owner, reason in self._rows(_HANDOVERS)
        )
        return {one.rollout: one for one in found}


def _note(number: int, at: int, who: str, rollout: int, server: str, enrollment_id: str, text: str) -> Note:
    key = DeviceKey(server, enrollment_id) if enrollment_id else None
    return Note(id=number, at=at, who=who, rollout=rollout, key=key, text=text)


def _approval(
    rollout: int, plan: int, devices: int, wanted: bool, asked_by: str, asked_at: int, by: str, at: int
) -> Approval:
    return Approval(
        rollout=rollout, plan=plan, devices=devices, wanted=bool(wanted), asked_by=asked_by, asked_at=asked_at,
        approved_by=by, approved_at=at,
    )  # fmt: skip
