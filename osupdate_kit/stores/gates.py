"""Waves, halts and places: what a rollout lets through, and what it keeps waiting."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.rollout.state import ENDS
from osupdate_kit.stores.rows import StoredJourney, plain
from osupdate_kit.stores.schema import devices, halts, journey, transitions, waves
from osupdate_kit.stores.statements import CHUNK, EMPTY, ZERO, Session, Statement, at_most, last_id


class StoredWave(Struct, frozen=True, kw_only=True):
    """One wave of a rollout; `opened_at` 0: it waits. `pace` 0: no limit."""

    name: str
    opened_at: int
    who: str
    pace: int
    changed_at: int
    waits_for: str


class Halt(Struct, frozen=True, kw_only=True):
    """A slice that stands still by its figures until a person lifts it."""

    id: int
    rollout: int
    dimension: str  # column of the journey; empty: all of the rollout
    value: str
    at: int
    reason: str
    begun: int
    failed: int
    forgiven: str = ""  # JSON of the figures when it was lifted; opaque here
    lifted_at: int = 0
    lifted_by: str = ""

    def keeps(self, journey: StoredJourney) -> bool:
        """Is this device of the slice?"""
        return not self.dimension or getattr(journey, self.dimension) == self.value

    @property
    def part(self) -> str:
        return f"{self.dimension} {self.value or 'unknown'}" if self.dimension else "all devices"

    @property
    def stands(self) -> bool:
        return not self.lifted_at

    @property
    def judged_anew(self) -> bool:
        """Lifted, and nobody has noted yet from which figures on it is judged."""
        return bool(self.lifted_at) and not self.forgiven


class Place(Struct, frozen=True, kw_only=True):
    """A device of a rollout as the gates see it; `cell`: its values in the columns of `SLICED`, in their order."""

    key: DeviceKey
    cell: tuple[str, ...]
    state: str
    admitted_at: int  # 0 or less: it waits

    @property
    def wave(self) -> str:
        return self.cell[_WAVE]

    @property
    def site(self) -> str:
        return self.cell[_SITE]


class Turn(Struct, frozen=True):
    """One signed transition, and the device it is of."""

    id: int
    rollout: int
    sign: int
    at: int
    now: str  # the journey's state by now: what is corrected later comes in no order
    place: Place  # `state`: the one entered or left


SLICED = ("model", "os_version_start", "site", "platform", "ring", "wave", "time_zone")
_WAVE, _SITE = SLICED.index("wave"), SLICED.index("site")
_SLICES = tuple(journey.c[name] for name in SLICED)
_PLACE = (journey.c.server, journey.c.enrollment_id, journey.c.state, journey.c.admitted_at, *_SLICES)
_ENDS: list[ColumnElement[Any]] = [literal_column(f"'{state.value}'") for state in sorted(ENDS)]

_WAVES = Statement(select(waves).where(waves.c.rollout == bindparam("of_rollout")).order_by(waves.c.position))
_WAVE_SAVE = Statement(
    update(waves)
    .values({name: bindparam(name) for name in ("opened_at", "who", "pace", "changed_at", "waits_for")})
    .where(waves.c.rollout == bindparam("of_rollout"), waves.c.name == bindparam("of_name"))
)
_ASKED_TO_OPEN = Statement(
    select(waves.c.rollout).where(
        waves.c.rollout == bindparam("of_rollout"), waves.c.opened_at == ZERO, waves.c.who != EMPTY
    )
)
_JUST_LIFTED = Statement(
    select(halts.c.rollout).where(
        halts.c.rollout == bindparam("of_rollout"), halts.c.lifted_at > ZERO, halts.c.forgiven == EMPTY
    )
)
_LAST_HALT = last_id(halts.c.id)
_HALT_ADD = Statement(insert(halts))
_HALTS = Statement(select(halts).where(halts.c.rollout == bindparam("of_rollout")).order_by(halts.c.id))
_STANDING = Statement(
    select(halts).where(halts.c.rollout == bindparam("of_rollout"), halts.c.lifted_at == ZERO).order_by(halts.c.id)
)
_LIFT = Statement(
    update(halts)
    .values(lifted_at=bindparam("at"), lifted_by=bindparam("who"))
    .where(halts.c.id == bindparam("of_halt"), halts.c.lifted_at == ZERO)
)
_FORGIVE = Statement(update(halts).values(forgiven=bindparam("new")).where(halts.c.id == bindparam("of_halt")))

_ME = and_(journey.c.rollout == bindparam("of_rollout"), journey.c.wave == bindparam("of_wave"), journey.c.live)
_WAITING = Statement(
    at_most(
        select(*_PLACE)
        .where(
            _ME,
            journey.c.admitted_at <= ZERO,
            tuple_(journey.c.admitted_at, journey.c.enrollment_id)
            < tuple_(
                bindparam("before_at", type_=journey.c.admitted_at.type),
                bindparam("before_id", type_=journey.c.enrollment_id.type),
            ),
        )
        .order_by(journey.c.admitted_at.desc(), journey.c.enrollment_id.desc())
    )
)
_IS = and_(
    journey.c.rollout == bindparam("of_rollout"),
    journey.c.server == bindparam("of_server"),
    journey.c.enrollment_id == bindparam("of_enrollment_id"),
)
_ADMIT = Statement(update(journey).values(admitted_at=bindparam("at"), due_at=bindparam("due")).where(_IS))
_ADMIT_ALL = Statement(
    update(journey)
    .values(admitted_at=bindparam("at"), due_at=bindparam("due"))
    .where(_ME, journey.c.admitted_at <= ZERO)
)
_UNDER_WAY = Statement(
    select(*_PLACE).where(
        journey.c.rollout == bindparam("of_rollout"), journey.c.live, journey.c.admitted_at > ZERO,
        journey.c.state.not_in(_ENDS),
    )
)  # fmt: skip
_BEGUN = Statement(
    select(*_PLACE).where(
        journey.c.rollout == bindparam("of_rollout"),
        or_(journey.c.commands_sent > ZERO, journey.c.state.in_(_ENDS), journey.c.ready),
        journey.c.barrier == EMPTY,
    )
)
_CELLS = Statement(
    select(*_SLICES, journey.c.state, func.count())
    .where(journey.c.rollout == bindparam("of_rollout"), journey.c.barrier == EMPTY)
    .group_by(*_SLICES, journey.c.state)
)
_LAST_TRANSITION = Statement(select(func.coalesce(func.max(transitions.c.id), ZERO)))
_NEWS = Statement(
    at_most(
        select(
            transitions.c.id, transitions.c.rollout, transitions.c.sign, transitions.c.at,
            journey.c.state.label("now"), journey.c.server, journey.c.enrollment_id, transitions.c.state,
            journey.c.admitted_at, *_SLICES,
        )
        .join(
            journey,
            and_(
                journey.c.rollout == transitions.c.rollout, journey.c.server == transitions.c.server,
                journey.c.enrollment_id == transitions.c.enrollment_id,
            ),
        )
        .where(transitions.c.id > bindparam("after_id"))
        .order_by(transitions.c.id)
    )
)  # fmt: skip
_REACHED = Statement(
    at_most(
        select(journey.c.done_at)
        .where(
            journey.c.rollout == bindparam("of_rollout"), journey.c.wave == bindparam("of_wave"),
            journey.c.done_at > ZERO,
        )
        .order_by(journey.c.done_at)
    )
)  # fmt: skip
_SILENT = Statement(
    select(
        journey.c.wave,
        func.count(),
        func.sum(
            case(
                (
                    and_(
                        journey.c.updated_at < bindparam("cut"),
                        func.coalesce(devices.c.last_seen_at, ZERO) < bindparam("cut_again"),
                    ),
                    literal_column("1"),
                ),
                else_=ZERO,
            )
        ),
    )
    .select_from(
        journey.outerjoin(
            devices, and_(devices.c.server == journey.c.server, devices.c.enrollment_id == journey.c.enrollment_id)
        )
    )
    .where(journey.c.rollout == bindparam("of_rollout"), journey.c.live, journey.c.commands_sent > ZERO,
           journey.c.done_at == ZERO)
    .group_by(journey.c.wave)
)  # fmt: skip
_FIRST_ID = "\U0010ffff"  # above every enrollment id


def _place(row: Sequence[Any]) -> Place:
    server, enrollment_id, state, admitted_at, *cell = row
    return Place(key=DeviceKey(server, enrollment_id), cell=tuple(cell), state=state, admitted_at=admitted_at)


def _halt(row: Sequence[Any]) -> Halt:
    number, rollout, dimension, value, at, reason, begun, failed, forgiven, lifted_at, lifted_by = row
    return Halt(
        id=number, rollout=rollout, dimension=dimension, value=value, at=at, reason=reason, begun=begun, failed=failed,
        forgiven=forgiven, lifted_at=lifted_at, lifted_by=lifted_by,
    )  # fmt: skip


class Gates(Session):
    """Its part of a transaction."""

    # --- waves ---

    def waves(self, rollout: int) -> list[StoredWave]:
        """In the order of the plan; none: every device was admitted at the start."""
        return [
            StoredWave(name=name, opened_at=opened, who=who, pace=pace, changed_at=changed, waits_for=words)
            for _, name, _, opened, who, pace, changed, words in self._rows(_WAVES, rollout)
        ]

    def is_asked(self, rollout: int) -> bool:
        """Has a person opened a wave, or lifted a halt, that nobody has looked at since?"""
        return any(self._row(asked, rollout) is not None for asked in (_ASKED_TO_OPEN, _JUST_LIFTED))

    def save_wave(self, rollout: int, wave: StoredWave) -> None:
        values = (wave.opened_at, wave.who, wave.pace, wave.changed_at, wave.waits_for)
        self._run(_WAVE_SAVE, *values, rollout, wave.name)

    def reached_at(self, rollout: int, wave: str, devices: int) -> int:
        """When so many devices of that wave were done; 0: they are not."""
        done = self._rows(_REACHED, rollout, wave, devices)
        return int(done[-1][0]) if len(done) == devices else 0

    # --- halts ---

    def halts(self, rollout: int, *, lifted: bool = False) -> list[Halt]:
        """Those that stand; `lifted`: and those that a person has lifted."""
        return [_halt(row) for row in self._rows(_HALTS if lifted else _STANDING, rollout)]

    def add_halt(
        self, rollout: int, *, dimension: str, value: str, at: int, reason: str, begun: int, failed: int
    ) -> int:
        number = int(self._value(_LAST_HALT)) + 1
        self._run(_HALT_ADD, number, rollout, dimension, value, at, plain(reason), begun, failed, "", 0, "")
        return number

    def lift_halt(self, halt: int, *, at: int, by: str) -> bool:
        """False when it did not stand any more."""
        return self._run(_LIFT, at, by, halt) == 1

    def forgive(self, halt: int, figures: str) -> None:
        """Judge its slice from these figures on."""
        self._run(_FORGIVE, figures, halt)

    # --- places ---

    def waiting(self, rollout: int, wave: str) -> Iterator[Place]:
        """Devices without a place: those never admitted first, then those whose place lapsed, the oldest first."""
        before = (1, _FIRST_ID)
        while rows := [_place(row) for row in self._rows(_WAITING, rollout, wave, *before, CHUNK)]:
            yield from rows
            before = (rows[-1].admitted_at, rows[-1].key.enrollment_id)

    def admit(self, rollout: int, keys: Iterable[DeviceKey], now: int) -> None:
        self._each(_ADMIT, [(now, now, rollout, *key) for key in keys])

    def admit_all(self, rollout: int, wave: str, now: int) -> int:
        """All of a wave; how many."""
        return self._run(_ADMIT_ALL, now, now, rollout, wave)

    def give_up(self, rollout: int, keys: Iterable[DeviceKey], now: int) -> None:
        """Their places lapse: they go behind all others of their wave."""
        self._each(_ADMIT, [(now, -now, rollout, *key) for key in keys])

    def under_way(self, rollout: int) -> list[Place]:
        """Admitted and at no end."""
        return [_place(row) for row in self._rows(_UNDER_WAY, rollout)]

    # --- figures ---

    def begun(self, rollout: int) -> Iterator[Place]:
        """Devices that something was ever sent to, or that are at an end."""
        return map(_place, self._rows(_BEGUN, rollout))

    def cells(self, rollout: int) -> Mapping[tuple[tuple[str, ...], str], int]:
        """Devices by cell and stored state, barred ones apart. Reads them all."""
        return {(tuple(cell), state): number for *cell, state, number in self._rows(_CELLS, rollout)}

    def last_transition(self) -> int:
        return int(self._value(_LAST_TRANSITION))

    def turns_after(self, transition: int, limit: int) -> list[Turn]:
        """Transitions recorded after that one, in order."""
        rows = self._rows(_NEWS, transition, limit)
        return [Turn(number, rollout, sign, at, now, _place(row)) for number, rollout, sign, at, now, *row in rows]

    def silence(self, rollout: int, before: int) -> dict[str, tuple[int, int]]:
        """By wave: devices that something was sent to and that are not done, and those not heard of since then."""
        return {wave: (sent, int(silent)) for wave, sent, silent in self._rows(_SILENT, before, before, rollout)}
