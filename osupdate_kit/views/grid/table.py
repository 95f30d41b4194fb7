"""The devices behind a grid: filtered, searched and ordered by whole columns, found by key or by pasted names."""

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, reduce

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from osupdate_kit.errors import InventoryError, SelectionError
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.fleet.inventory import Kind, from_row
from osupdate_kit.views.grid.columns import (
    LAST,
    Choice,
    Column,
    Mask,
    MomentColumn,
    Ranks,
    Rows,
    TextColumn,
    checked,
    column_of,
    mask,
    texts,
)
from osupdate_kit.views.grid.filters import ColumnFilter, Filters, Order
from osupdate_kit.views.grid.states import StateColumn

KEY = ("server", "enrollment_id")
NAMES = ("serial", "udid", "enrollment_id")
# Arrow works outside the interpreter's lock, so columns can be searched at the same time.
SEARCHERS = ThreadPoolExecutor(2, thread_name_prefix="osupdate-kit-search")


class Table:
    """A frame of devices, one per row, its columns by name, and the live `states` beside them."""

    def __init__(self, frame: pd.DataFrame, kinds: Mapping[str, Kind]) -> None:
        checked(frame, KEY)
        self.frame = frame.copy(deep=False)  # copied on write: what the caller does to his frame later is his
        self.states = StateColumn(len(frame))
        self.columns: dict[str, Column] = {
            str(name): column_of(str(name), frame[name], kinds.get(str(name))) for name in frame.columns
        }
        self._kept: dict[tuple[str, ColumnFilter], Mask] = {}

    def __len__(self) -> int:
        return len(self.frame)

    def column(self, name: str) -> Column:
        """By name; SelectionError if there is none."""
        if name not in self.columns:
            raise SelectionError(f"There is no column {name!r}.", remedy=f"Columns: {', '.join(self.columns)}.")
        return self.columns[name]

    # --- which rows ---

    def shown(self, filters: Filters, *, without: str = "") -> Mask:
        """The rows that search and filters keep; `without` leaves one column's filter out."""
        masks = [self._fits(name, wanted) for name, wanted in filters.columns.items() if name != without]
        if filters.search:
            masks.append(self._search(filters.search.lower()))
        return reduce(np.logical_and, masks) if masks else np.ones(len(self), bool)

    def ordered(self, shown: Mask, orders: tuple[Order, ...]) -> Rows:
        """Positions of these rows in this order; equal ones stay as the frame has them."""
        rows = np.flatnonzero(shown)
        if not orders:
            return rows
        ranks = [_directed(self.column(order.column).ranks[rows], order.descending) for order in orders]
        return rows[np.lexsort(ranks[::-1]) if len(ranks) > 1 else np.argsort(ranks[0], kind="stable")]

    def choices(self, name: str, filters: Filters) -> list[Choice]:
        """What one can choose in a column, counted over what all other filters keep."""
        return self.column(name).choices(self.shown(filters, without=name))

    def _fits(self, name: str, wanted: ColumnFilter) -> Mask:
        column: Column = self.column(name)
        if column is self.states:  # the one that changes
            return self.states.fits(wanted)  # type: ignore[arg-type]  # filters were checked by kind
        if (name, wanted) not in self._kept:
            if len(self._kept) > 8:
                self._kept.clear()
            self._kept[name, wanted] = column.fits(wanted)
        return self._kept[name, wanted]

    def _search(self, text: str) -> Mask:
        found = SEARCHERS.map(lambda column: column.has(text), self._searched)
        return reduce(np.logical_or, (hit for hit in found if hit is not None), np.zeros(len(self), bool))

    @cached_property
    def _searched(self) -> list[Column]:
        """The columns people search; a UDID that is the enrollment ID again is looked at once."""
        wanted = dict(self.columns)
        if "udid" in wanted and texts(self.frame["udid"]).equals(texts(self.frame["enrollment_id"])):
            del wanted["udid"]
        return list(wanted.values())

    # --- who is who ---

    @cached_property
    def _index(self) -> pd.Index:
        index = pd.Index(_joined(self.frame).to_pandas())
        if not index.is_unique:
            server, enrollment_id = index[index.duplicated()][0].split("\x1f", 1)
            raise InventoryError(
                f"{enrollment_id} on {server} stands in the frame more than once.",
                remedy="Keep one row per server and enrollment ID: frame.drop_duplicates(['server', 'enrollment_id']).",
            )
        return index

    def keys(self, rows: Mask) -> pd.DataFrame:
        return self.frame.loc[rows, list(KEY)]

    def rows_of(self, keys: pd.DataFrame) -> Rows:
        """The row of each key, -1 where there is none."""
        checked(keys, KEY)
        if keys.empty:  # nobody is meant: no reason to index a whole fleet
            return np.zeros(0, np.int64)
        return np.asarray(self._index.get_indexer(pd.Index(_joined(keys).to_pandas())), np.int64)

    def rows_of_keys(self, keys: Iterable[DeviceKey]) -> Rows:
        return self.rows_of(pd.DataFrame(list(keys), columns=list(KEY), dtype="str"))

    def find(self, names: Collection[str]) -> tuple[Mask, tuple[str, ...]]:
        """The rows that have one of these serials, UDIDs or enrollment IDs, and the names that no row has."""
        wanted = {name.lower(): name for name in names}
        found = np.zeros(len(self), bool)
        known: set[str] = set()
        for name in NAMES:
            column = self.columns.get(name)
            if isinstance(column, TextColumn):
                hits = pc.is_in(column.lower, value_set=pa.array(list(wanted), pa.large_string()))
                known.update(column.lower.filter(hits).to_pylist())
                found |= mask(hits)
        return found, tuple(name for lower, name in wanted.items() if lower not in known)

    def devices(self, rows: Mask, *, ignored: Collection[str] = ()) -> tuple[Device, ...]:
        """These rows as devices; `ignored`: columns that are no part of a device."""
        positions = np.flatnonzero(rows)
        part = self.frame.iloc[positions]
        values = {}
        for name in part.columns:
            column = self.columns.get(str(name))
            if name == "last_seen_at" and isinstance(column, MomentColumn):
                values[str(name)] = column.at(positions)
            elif name not in ignored:
                values[str(name)] = part[name].astype(object).where(part[name].notna(), None).tolist()
        return tuple(from_row(dict(zip(values, row, strict=True))) for row in zip(*values.values(), strict=True))


def _joined(frame: pd.DataFrame) -> pa.Array:
    """Server and enrollment ID as one text; neither can hold the separator, a control character."""
    server, enrollment_id = (texts(frame[name]) for name in KEY)
    return pc.binary_join_element_wise(server, enrollment_id, pa.scalar("\x1f", pa.large_string()))


def _directed(ranks: Ranks, descending: bool) -> Ranks:
    return np.where(ranks == LAST, LAST, -ranks) if descending else ranks
