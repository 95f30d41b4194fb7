"""The state column of a grid: what each device's rollout says, live, and what bars a device from being selected.

Kept as small numbers per row, so that a thousand changes per second cost by the changes and not by the fleet.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osupdate_kit.errors import InventoryError
from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.fleet.inventory import Kind
from osupdate_kit.views.grid.columns import LAST, Choice, Mask, Ranks, Rows, codes_of, short, texts
from osupdate_kit.views.grid.filters import ChoiceFilter
from osupdate_kit.views.status import STATES
from osupdate_kit.views.tokens import tokens

ARMED, REGRESSED, DECLARED = 1, 2, 4
BY_DECLARATION = "by declaration"  # a choice of the filter that narrows all others
BARRED = STATES.index("barred")


@dataclass(frozen=True, slots=True)
class RowState:
    """One device's state, a few words beside it ("2 of 5", "No space"), and its flags."""

    state: str
    detail: str = ""
    armed: bool = False
    regressed: bool = False
    declared: bool = False  # it goes by declaration


_FIELDS = ("state", "detail", "armed", "regressed", "declared")
States: TypeAlias = pd.DataFrame | Mapping[DeviceKey, RowState | str]
Reasons: TypeAlias = Mapping[DeviceKey, str]


class StateColumn:
    """State, detail and flags of each row; a barred row shows its reason instead."""

    name = "state"
    kind = Kind.CHOICE

    def __init__(self, size: int) -> None:
        self._codes = np.full(size, -1, np.int8)
        self._details = np.full(size, "", object)
        self._flags = np.zeros(size, np.uint8)
        self._reasons: list[str] = []
        self._why = np.full(size, -1, np.int32)

    @property
    def barred(self) -> Mask:
        """Which rows can't be selected."""
        barred: Mask = self._why >= 0
        return barred

    @property
    def codes(self) -> NDArray[np.int8]:
        """Position in STATES, -1 for a device without a state."""
        return np.where(self.barred, np.int8(BARRED), self._codes)

    @property
    def ranks(self) -> Ranks:
        return np.append(np.arange(len(STATES), dtype=np.int32), LAST)[self.codes]

    @property
    def _declared(self) -> Mask:
        declared: Mask = (self._flags & DECLARED > 0) & ~self.barred
        return declared

    def fits(self, wanted: ChoiceFilter) -> Mask:
        """In one of the states; of these, or of all where none is named, those by declaration if that is wanted."""
        states = [value for value in wanted.values if value != BY_DECLARATION]
        narrowed = len(states) < len(wanted.values)
        found = np.append(np.isin(STATES, states), "" in states)[self.codes]
        if not narrowed:
            return found
        return self._declared & found if states else self._declared

    def has(self, text: str) -> Mask:
        labels = [text in _label(state).lower() for state in STATES]
        reasons = [text in reason.lower() for reason in self._reasons]
        found: Mask = np.array([*labels, False])[self.codes] | np.array([*reasons, False])[self._why]
        return found | self._declared if text in BY_DECLARATION else found

    def choices(self, among: Mask) -> list[Choice]:
        counts = np.bincount(self.codes[among].astype(np.int16) + 1, minlength=len(STATES) + 1)
        found = [Choice(state, _label(state), int(counts[at])) for at, state in enumerate(STATES, 1) if counts[at]]
        if counts[0]:
            found.append(Choice("", "(none)", int(counts[0])))
        declared = int(np.count_nonzero(self._declared[among]))
        return [*found, Choice(BY_DECLARATION, BY_DECLARATION, declared)] if declared else found

    def words(self, rows: Rows) -> list[str]:
        return [f"{_label(STATES[code])} {detail}".strip() if code >= 0 else "" for code, detail, _ in self._at(rows)]

    def cells(self, rows: Rows) -> list[tuple[str, str, int]]:
        """State, detail and flags of these rows; state "" where there is none."""
        return [(STATES[code] if code >= 0 else "", short(detail), flags) for code, detail, flags in self._at(rows)]

    def left_out(self, among: Mask) -> dict[str, int]:
        """How many of these rows are barred, by reason, most frequent first."""
        counts = np.bincount(self._why[among] + 1, minlength=len(self._reasons) + 1)[1:]
        return {self._reasons[at]: int(counts[at]) for at in np.argsort(-counts, kind="stable") if counts[at]}

    def bar(self, reasons: "pd.Series[Any]", rows: Rows | slice = slice(None)) -> None:
        """Bar these rows for these reasons; empty or missing: not barred."""
        encoded = texts(reasons).dictionary_encode()
        self._reasons = ["" if reason is None else reason for reason in encoded.dictionary.to_pylist()]
        codes = codes_of(encoded)
        empty = self._reasons.index("") if "" in self._reasons else len(self._reasons)
        self._why[rows] = np.where(codes == empty, -1, codes)

    def update(self, rows: Rows, states: pd.DataFrame) -> Rows:
        """Take `state` and, where given, `detail`, `armed`, `regressed`, `declared`; the rows that changed by it."""
        codes = _codes(states["state"])
        details = _filled(states, "detail", "").to_numpy(object)
        flags = np.zeros(len(states), np.uint8)
        for name, bit in (("armed", ARMED), ("regressed", REGRESSED), ("declared", DECLARED)):
            flags |= np.where(_filled(states, name, False).to_numpy(bool), np.uint8(bit), np.uint8(0))
        changed = (self._codes[rows] != codes) | (self._details[rows] != details) | (self._flags[rows] != flags)
        rows = rows[changed]
        self._codes[rows], self._details[rows], self._flags[rows] = codes[changed], details[changed], flags[changed]
        return rows

    def _at(self, rows: Rows) -> list[tuple[int, str, int]]:
        return [
            (BARRED, self._reasons[why], 0) if why >= 0 else (code, detail, flags)
            for why, code, detail, flags in zip(
                self._why[rows].tolist(),
                self._codes[rows].tolist(),
                self._details[rows].tolist(),
                self._flags[rows].tolist(),
                strict=True,
            )
        ]


def as_frame(states: States) -> pd.DataFrame:
    """A mapping as a frame with `server`, `enrollment_id`, and the fields of RowState."""
    if isinstance(states, pd.DataFrame):
        return states
    rows = [
        (*key, *(getattr(given, name) for name in _FIELDS))
        for key, value in states.items()
        for given in (RowState(value) if isinstance(value, str) else value,)
    ]
    return pd.DataFrame(rows, columns=["server", "enrollment_id", *_FIELDS])


def _codes(states: "pd.Series[Any]") -> NDArray[np.int8]:
    """Positions in STATES; -1 for none. InventoryError names a state that is not in the closed list."""
    encoded = texts(states).dictionary_encode()
    names = ["" if name is None else name for name in encoded.dictionary.to_pylist()]
    if unknown := sorted({*names} - {*STATES, ""}):
        raise InventoryError(f"{short(unknown[0])!r} is no state.", remedy=f"States: {', '.join(STATES)}.")
    places = np.array([STATES.index(name) if name else -1 for name in names] + [-1], np.int8)
    return places[codes_of(encoded)]


def _filled(states: pd.DataFrame, name: str, otherwise: object) -> "pd.Series[Any]":
    if name not in states.columns:
        return pd.Series([otherwise] * len(states))
    return states[name].astype(object).where(states[name].notna(), otherwise)


def _label(state: str) -> str:
    label: str = tokens()["states"][state]["label"]
    return label
