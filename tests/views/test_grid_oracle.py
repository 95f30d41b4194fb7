"""Filters, order and selection against a reader that goes row by row, over fleets and acts that Hypothesis makes up."""

from collections.abc import Callable
from typing import Any

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.views.grid import (
    ChoiceFilter,
    DeviceGrid,
    Filters,
    FlagFilter,
    NumberFilter,
    Order,
    TextFilter,
    VersionFilter,
)

TEXTS = st.text(alphabet="aAbBé .<=\u202e", max_size=4)
VERSIONS = st.sampled_from(["26.9", "26.10", "26", "25.7.1", "9.0", "not one", None])
SITES = st.sampled_from(["Lyon", "Rome", "", None])
FLAGS = st.sampled_from([True, False, None])
NUMBERS = st.sampled_from([-1.5, 0.0, 3.0, 12.0, 1e9, None])
ROWS = st.lists(st.tuples(TEXTS, VERSIONS, SITES, FLAGS, NUMBERS), max_size=12)
COLUMNS = ("name", "os_version", "site", "supervised", "free_gb")

FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.builds(TextFilter, TEXTS.filter(bool), st.booleans()),
        "os_version": st.builds(
            VersionFilter, *(st.sampled_from([None, *map(OSVersion.parse, ("9", "26.0", "26.10"))]) for _ in range(2))
        ),
        "site": st.builds(ChoiceFilter, st.lists(st.sampled_from(["Lyon", "Rome", ""]), min_size=1).map(tuple)),
        "supervised": st.builds(FlagFilter, st.lists(FLAGS, min_size=1, max_size=2).map(tuple)),
        "free_gb": st.builds(NumberFilter, NUMBERS, NUMBERS),
    },
)
ORDERS = st.lists(st.builds(Order, st.sampled_from(COLUMNS), st.booleans()), max_size=3).map(tuple)


def frame_of(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"supervised": object, "free_gb": float})
    return frame.assign(server="s", enrollment_id=[f"E{at}" for at in range(len(rows))], serial="")


def version(text: str | None) -> OSVersion | None:
    return OSVersion.parse(text) if text and text != "not one" else None


def between(value: Any, least: Any, most: Any) -> bool:
    return value is not None and (least is None or value >= least) and (most is None or value <= most)


def fits(row: dict[str, Any], name: str, wanted: Any) -> bool:
    value = row[name]
    match wanted:
        case TextFilter(text, whole):
            return bool(value.lower() == text.lower() if whole else text.lower() in value.lower())
        case ChoiceFilter(values):
            return (value or "") in values
        case FlagFilter(values):
            return value in values
        case VersionFilter(least, most):
            return between(version(value), least, most)
        case _:
            return between(value, wanted.least, wanted.most)


RANKS: dict[str, Callable[[Any], Any]] = {
    "name": lambda value: value.lower().encode(),
    "os_version": version,
    "site": lambda value: value.lower() if value else None,
    "supervised": lambda value: None if value is None else not value,
    "free_gb": lambda value: value,
}


def shown(rows: list[tuple[Any, ...]], filters: Filters) -> list[int]:
    """Row by row, then sorted once per column from the last to the first, which is stable."""
    whole = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    text = filters.search.lower()
    kept = [
        at
        for at, row in enumerate(whole)
        if all(fits(row, name, wanted) for name, wanted in filters.columns.items())
        and any(
            text in str(value or "").lower() for value in (row["name"], row["os_version"], row["site"], "s", f"E{at}")
        )
    ]
    for order in reversed(filters.orders):
        ranked = [(RANKS[order.column](whole[at][order.column]), at) for at in kept]
        known = [one for one in ranked if one[0] is not None]
        known.sort(key=lambda one: one[0], reverse=order.descending)  # equal ones stay in place either way
        kept = [at for _, at in known] + [at for rank, at in ranked if rank is None]
    return kept


@settings(max_examples=150)
@given(rows=ROWS, columns=FILTERS, orders=ORDERS, search=TEXTS)
def test_what_is_shown_is_what_a_reader_would_pick(
    rows: list[tuple[Any, ...]], columns: dict[str, Any], orders: tuple[Order, ...], search: str
) -> None:
    grid = DeviceGrid(frame_of(rows))
    filters = Filters(search=search, columns=columns, orders=orders)
    grid.filter(filters)
    assert [int(name[1:]) for name in grid.shown["enrollment_id"]] == shown(rows, filters)
    assert grid.filters == filters
    again = DeviceGrid(frame_of(rows))
    again.filter(filters)
    assert again.status["shown"] == grid.status["shown"] == len(shown(rows, filters))
    grid.close()


class Picking(RuleBasedStateMachine):
    """A person's acts on a grid, and on a set of numbers beside it."""

    @initialize(
        rows=st.lists(st.tuples(TEXTS, VERSIONS, SITES, FLAGS, NUMBERS), min_size=1, max_size=10), data=st.data()
    )
    def start(self, rows: list[tuple[Any, ...]], data: st.DataObject) -> None:
        self.rows = rows
        self.barred = data.draw(st.sets(st.integers(0, len(rows) - 1), max_size=3))
        reasons = {DeviceKey("s", f"E{at}"): "On hold" for at in self.barred}
        self.grid = DeviceGrid(frame_of(rows), barred=reasons)
        self.filters = Filters()
        self.picked: set[int] = set()
        self.anchor: int | None = None
        self.before: set[int] = set()

    def ordered(self) -> list[int]:
        return shown(self.rows, self.filters)

    def pick(self, wanted: set[int]) -> None:
        self.picked = wanted - self.barred
        self.before = set(self.picked)

    @rule(columns=FILTERS, orders=ORDERS)
    def narrow(self, columns: dict[str, Any], orders: tuple[Order, ...]) -> None:
        self.filters = Filters(columns=columns, orders=orders)
        self.grid.filter(self.filters)

    @precondition(lambda self: self.ordered())
    @rule(data=st.data())
    def toggle(self, data: st.DataObject) -> None:
        view = self.ordered()
        at = data.draw(st.integers(0, len(view) - 1))
        self.grid._do({"do": "toggle", "at": at, "order": self.grid.status["order"]})
        self.pick(self.picked ^ {view[at]})
        self.anchor = view[at]

    @precondition(lambda self: self.ordered())
    @rule(data=st.data())
    def extend(self, data: st.DataObject) -> None:
        view = self.ordered()
        start, at = (data.draw(st.integers(0, len(view) - 1)) for _ in range(2))
        self.grid._do({"do": "range", "start": start, "at": at, "order": self.grid.status["order"]})
        if self.anchor in view:
            start = view.index(self.anchor)
        else:
            self.anchor, self.before = view[start], set(self.picked)
        low, high = sorted((start, at))
        self.picked = (self.before | set(view[low : high + 1])) - self.barred

    @rule()
    def all_shown(self) -> None:
        self.grid.select_all()
        self.pick(self.picked | set(self.ordered()))

    @rule()
    def invert(self) -> None:
        self.grid.invert()
        self.pick(self.picked ^ set(self.ordered()))

    @rule()
    def clear(self) -> None:
        self.grid.clear()
        self.pick(set())

    @rule(data=st.data(), add=st.booleans())
    def by_name(self, data: st.DataObject, add: bool) -> None:
        names = data.draw(st.sets(st.integers(0, len(self.rows) + 1)))
        matched = self.grid.select([f"E{at}" for at in names], add=add)
        known = {at for at in names if at < len(self.rows)}
        assert set(matched.unmatched) == {f"E{at}" for at in names - known}
        assert (matched.selected, matched.barred) == (len(known - self.barred), len(known & self.barred))
        self.pick(known | self.picked if add else known)

    @invariant()
    def the_grid_says_the_same(self) -> None:
        if not hasattr(self, "grid"):
            return
        assert {int(name[1:]) for name in self.grid.selected["enrollment_id"]} == self.picked
        view = set(self.ordered())
        status = self.grid.status
        assert status["selected"] == len(self.picked)
        assert status["hidden"] == len(self.picked - view)
        assert status["barred"] == len(self.barred & view)
        selection = self.grid.selection
        assert len(selection) + sum(selection.left_out.values()) == len(self.rows)


TestPicking = Picking.TestCase
TestPicking.settings = settings(max_examples=30, stateful_step_count=15)
