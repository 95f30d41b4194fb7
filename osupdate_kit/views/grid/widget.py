"""`DeviceGrid`: the fleet in JupyterLab. Only the rows on screen travel; the frame, its order and the picks stay here.

The browser sends what people do, the grid answers with the rows of each view's window. People's acts run in order in
the grid's own thread, Python's calls in the caller's; one lock keeps them apart. Nothing here sends a command.
"""

import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from importlib.resources import files
from threading import RLock
from typing import Any, ClassVar

import anywidget
import numpy as np
import pandas as pd
import traitlets

from osupdate_kit.errors import OSUpdateKitError, SelectionError
from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.fleet.inventory import KINDS, Kind
from osupdate_kit.fleet.selection import Selection
from osupdate_kit.views.css import themed
from osupdate_kit.views.grid import memory
from osupdate_kit.views.grid.columns import Mask, MomentColumn, Rows, label_of, microseconds, short
from osupdate_kit.views.grid.filters import (
    FILTER_OF,
    LONGEST,
    ChoiceFilter,
    ColumnFilter,
    Filters,
    Order,
    filter_of,
    from_wire,
    to_wire,
)
from osupdate_kit.views.grid.picks import Picks
from osupdate_kit.views.grid.states import Reasons, States, as_frame
from osupdate_kit.views.grid.table import KEY, Table
from osupdate_kit.views.grid.worker import Worker
from osupdate_kit.views.status import count, moment
from osupdate_kit.views.tokens import tokens

LOG = logging.getLogger(__name__)

MOST_ROWS = 200  # of one window, whatever a browser asks for
MOST_CHOICES = 200  # of one column's menu; the rest is found by typing
FLUSH_SECONDS = 0.25
SHOWN_FIRST = ("name", "serial", "model", "platform", "os_version", "site", "ring", "last_seen_at")
_WORDS = {state: (word["label"], word["group"]) for state, word in tokens()["states"].items()}
_SEPARATORS = re.compile(r"[\s,;]+")


@dataclass(frozen=True, slots=True)
class Matched:
    """What became of a list of wanted devices: how many were selected, were barred, and which names no device has."""

    selected: int
    barred: int
    unmatched: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = [f"{count(self.selected)} selected from the list"]
        if self.barred:
            words.append(f"{count(self.barred)} can’t be selected")
        if self.unmatched:
            named = ", ".join(short(name) for name in self.unmatched[:8])
            more = f" and {count(len(self.unmatched) - 8)} more" if len(self.unmatched) > 8 else ""
            words.append(f"{count(len(self.unmatched))} not found: {named}{more}")
        return " · ".join(words)


@dataclass(frozen=True, slots=True)
class _Spot:
    """Rows that are shown instead of those the filters keep, and why."""

    rows: Mask
    words: str


def _text(name: str) -> str:
    return files("osupdate_kit.views.grid").joinpath(name).read_text("utf-8")


class DeviceGrid(anywidget.AnyWidget):
    """A grid over `frame`: one row per device, with the columns of `fleet.inventory` and the operator's own.

    barred: who can't be selected and why, by device or as the name of a column of reasons.
    states: what each device's rollout says: a frame with `server`, `enrollment_id`, `state` and, where wanted,
        `detail`, `armed`, `regressed`, `declared`, or a mapping. With it or with `barred` there is a state column; it
        replaces a `state` of the frame.
    name: a grid of the same name that is made later takes over filters and selection, and this one is closed.
    columns: which to show, in order; otherwise the usual ones and all of the operator's own.
    kinds: what the values of the operator's own columns are, where it can't be told by looking.
    as_of: aware; the moment of the data, by which *seen* becomes an age.
    act: what to do with the selection, such as "Plan for"; the button calls `on_act` with the grid.

    `revision` grows with every change of the selection, so whoever relies on one can observe it. Raises InventoryError
    for a frame without `server` and `enrollment_id`, or with a device in two rows (found when keys are first needed).
    """

    _esm: ClassVar[str] = _text("grid.js")
    _css: ClassVar[str] = themed(".osk-grid") + _text("grid.css")

    columns: "traitlets.List[dict[str, Any]]" = traitlets.List().tag(sync=True)
    status: "traitlets.Dict[str, Any]" = traitlets.Dict().tag(sync=True)
    news: "traitlets.Dict[str, Any]" = traitlets.Dict().tag(sync=True)  # changed cells on screen, by view
    words = traitlets.Dict(_WORDS).tag(sync=True)
    height = traitlets.Int(12).tag(sync=True)
    revision = traitlets.Int(0)

    def __init__(
        self,
        frame: pd.DataFrame,
        *,
        barred: Reasons | str | None = None,
        states: States | None = None,
        name: str = "",
        columns: Sequence[str] = (),
        kinds: Mapping[str, Kind] | None = None,
        as_of: datetime | None = None,
        act: str = "",
        on_act: Callable[["DeviceGrid"], None] | None = None,
        on_retry: Callable[[], None] | None = None,
        height: int = 12,
    ) -> None:
        self._lock = RLock()
        self._worker = Worker(f"osupdate-kit-grid-{name}", flush=self._guarded(self._flush), pause=FLUSH_SECONDS)
        self._table = Table(frame, kinds or {})
        self._ignored = {barred} if isinstance(barred, str) else set()
        self._windows: dict[str, tuple[int, int]] = {}
        self._newest: dict[str, int] = {}
        self._changed: list[Rows] = []
        self._flushes = 0
        self._note = self._trouble = ""
        self._unmatched: tuple[str, ...] = ()
        self._as_of = microseconds(as_of) if as_of else 0
        self._act, self._on_act, self._on_retry = act, on_act, on_retry
        self._live, self._stale, self._order = False, False, 0
        self._distinct: dict[str, int] = {}
        self._bar(barred)
        if barred is not None or states is not None:
            self._table.columns["state"] = self._table.states
        self._picks = Picks(self._table.states.barred)
        if states is not None:
            self._take_states(states)
        self._look(Filters())
        heads = [self._head(column) for column in columns or self._usual()]
        if name and (known := memory.succeed(name, self)):
            self._restore(known)
        super().__init__(columns=heads, status=self._status(), height=height)
        self.on_msg(self._received)

    # --- for Python ---

    @property
    def selection(self) -> Selection:
        """The selected devices, hidden ones too, and how many were left out for which reason."""
        with self._lock:
            rows = self._picks.rows
            left_out = self._table.states.left_out(~rows)
            others = len(rows) - len(self._picks) - sum(left_out.values())
            if others:
                left_out["not selected"] = others
            return Selection(self._table.devices(rows, ignored=self._ignored), left_out, self._unmatched)

    @property
    def selected(self) -> pd.DataFrame:
        """The rows of the selected devices, without making a device of each."""
        with self._lock:
            return self._table.frame[self._picks.rows]

    @property
    def hidden(self) -> int:
        """How many selected devices the filter hides."""
        with self._lock:
            return int(np.count_nonzero(self._picks.rows & ~self._shown))

    @property
    def filters(self) -> Filters:
        with self._lock:
            return self._filters

    @property
    def shown(self) -> pd.DataFrame:
        """The rows that are shown, in their order."""
        with self._lock:
            return self._table.frame.iloc[self._view]

    def filter(self, filters: Filters | None = None, *, search: str | None = None, **columns: object) -> None:
        """Show only what fits: `grid.filter(site="Lyon", os_version=("25.0", "26.5"), search="lab")`; None lifts one.

        `filters` replaces all of them. SelectionError names a column or a value that does not exist or fit.
        """
        with self._changing():
            wanted = self._filters if filters is None else filters
            asked = {name: value for name, value in {**wanted.columns, **columns}.items() if value is not None}
            kept = {name: filter_of(self._table.column(name).kind, value) for name, value in asked.items()}
            searched = wanted.search if search is None else search[:LONGEST]
            self._narrow(replace(wanted, columns=kept, search=searched))

    def sort(self, *orders: Order | str) -> None:
        """Order by these columns, the first counts most; `"-last_seen_at"` is descending, none is the frame's order."""
        wanted = [
            one if isinstance(one, Order) else Order(one.removeprefix("-"), one.startswith("-")) for one in orders
        ]
        with self._changing():
            self._narrow(replace(self._filters, orders=tuple(wanted)))

    def select(
        self, wanted: Collection[str] | Iterable[DeviceKey] | pd.DataFrame | Selection, *, add: bool = False
    ) -> Matched:
        """Select these devices: serials, UDIDs or enrollment IDs, keys, a frame with both key columns, or a Selection.

        `add`: beside what is selected already. What is barred stays out, and the answer says how many.
        """
        with self._changing():
            rows, self._unmatched = self._wanted(wanted)
            barred = self._table.states.barred
            matched = Matched(int(np.count_nonzero(rows & ~barred)), int((rows & barred).sum()), self._unmatched)
            self._picks.set(rows | self._picks.rows if add else rows)
            self._note = str(matched) if matched.barred or matched.unmatched else ""
            return matched

    def select_all(self) -> None:
        """Select everything shown that can be selected, beside what is selected already."""
        with self._changing():
            self._picks.add(self._shown)

    def invert(self) -> None:
        """Turn round the selection of everything shown; what the filter hides stays as it is."""
        with self._changing():
            self._picks.flip(self._shown)

    def clear(self) -> None:
        """Select nothing."""
        with self._changing():
            self._picks.set(np.zeros(len(self._table), bool))
            self._unmatched = ()

    def show(self, wanted: Collection[str] | Iterable[DeviceKey] | pd.DataFrame | Selection, words: str) -> None:
        """Show exactly these devices until people go back to their filter; `words` says which they are."""
        with self._changing():
            self._look(self._filters, _Spot(self._wanted(wanted)[0], words))

    def update_states(self, states: States, *, as_of: datetime | None = None) -> int:
        """Take news of some devices, from any thread; how many of them changed. Devices that have no row are ignored.

        Rows keep their place until people sort or filter anew.
        """
        with self._lock:
            rows = self._take_states(states)
            self._changed.append(rows)
            self._live, self._trouble = True, ""
            if as_of:
                self._as_of = microseconds(as_of)
            touched = {*self._filters.columns, *(order.column for order in self._filters.orders)}
            self._stale = self._stale or (rows.size > 0 and "state" in touched)
        self._worker.want_flush()
        return int(rows.size)

    def trouble(self, words: str) -> None:
        """Say what failed; what is on the screen stays. Lifted by the next news or by `trouble("")`."""
        with self._lock:
            self._trouble = words
            self._tell()

    def wait(self, timeout: float = 30.0) -> bool:
        """Wait until everything asked for so far is done and sent; False after `timeout` seconds."""
        return self._worker.wait(timeout)

    def remembered(self) -> memory.Remembered:
        with self._lock:
            return memory.Remembered(self._filters, self._table.keys(self._picks.rows))

    def close(self) -> None:
        self._worker.stop()
        super().close()

    # --- what is shown ---

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Around a change of filter or selection: counts and rows are sent once, at its end."""
        with self._lock:
            self._note = ""
            before = self._picks.rows
            yield
            self._tell()
            self._send_pages()
            changed = self._picks.rows is not before
        if changed:
            self.revision += 1  # outside the lock: who observes it may wait for another thread

    def _narrow(self, filters: Filters) -> None:
        """Show by these filters from now on; SelectionError if there is no such column to order by."""
        for order in filters.orders:
            self._table.column(order.column)
        self._look(filters)

    def _set_filter(self, name: str, wanted: ColumnFilter | None) -> None:
        with self._changing():
            kept = {other: one for other, one in self._filters.columns.items() if other != name}
            self._narrow(replace(self._filters, columns=kept if wanted is None else {**kept, name: wanted}))

    def _look(self, filters: Filters, spot: _Spot | None = None) -> None:
        """Find anew which rows are shown, and in which order. Where that fails, everything stays as it is."""
        shown = spot.rows if spot else self._table.shown(filters)
        self._view = self._table.ordered(shown, filters.orders)
        self._shown, self._filters, self._spot = shown, filters, spot
        self._order += 1
        self._stale = False
        self._windows = {view: (0, size) for view, (_, size) in self._windows.items()}

    def _tell(self) -> None:
        self.status = self._status()

    def _status(self) -> dict[str, Any]:
        """Everything beside the rows, as one value for the browser."""
        barred = self._table.states.barred
        return {
            "order": self._order,
            "selected": len(self._picks),
            "hidden": int(np.count_nonzero(self._picks.rows & ~self._shown)),
            "shown": len(self._view),
            "total": len(self._table),
            "barred": int(np.count_nonzero(barred & self._shown)),
            "allShown": self._all_shown_are_picked(barred),
            "search": self._filters.search,
            "filters": {
                name: {"words": self._filter_words(name, one), "parts": to_wire(one)}
                for name, one in self._filters.columns.items()
            },
            "orders": [[order.column, order.descending] for order in self._filters.orders],
            "spot": self._spot.words if self._spot else "",
            "note": self._note,
            "trouble": self._trouble,
            "retry": self._on_retry is not None,
            "ways": self._ways_out() if not len(self._view) else [],
            "distinct": self._distinct,
            "asOf": moment(self._as_of) if self._as_of else "",
            "live": self._live,
            "stale": self._stale,
            "act": self._act,
        }

    def _all_shown_are_picked(self, barred: Mask) -> bool:
        can = self._shown & ~barred
        return bool(can.any()) and not bool((can & ~self._picks.rows).any())

    def _filter_words(self, name: str, one: ColumnFilter) -> str:
        if name == "state" and isinstance(one, ChoiceFilter) and len(one.values) == 1 and one.values[0]:
            return str(_WORDS[one.values[0]][0])
        return short(one)

    def _ways_out(self) -> list[dict[str, Any]]:
        """What to lift so that something is shown again, with the count: each filter alone, else all of them."""
        if self._spot or not self._filters:
            return []
        others = {name: self._table.shown(self._filters, without=name) for name in self._filters.columns}
        if self._filters.search:
            others[""] = self._table.shown(replace(self._filters, search=""))
        ways = [
            {"column": name, "label": label_of(name), "devices": int(np.count_nonzero(rows))}
            for name, rows in others.items()
        ]
        useful = [way for way in ways if way["devices"]]
        return useful or [{"column": "*", "label": "", "devices": len(self._table)}]

    def _usual(self) -> list[str]:
        server = self._table.frame["server"]
        several = ["server"] if len(server) and (server != server.iloc[0]).any() else []
        own = [
            name for name in self._table.columns if name not in KINDS and name not in self._ignored and name != "state"
        ]
        first = [name for name in SHOWN_FIRST if name in self._table.columns]
        state = ["state"] if self._table.columns.get("state") is self._table.states else []
        return [*first, *several, *own, *state]

    def _head(self, name: str) -> dict[str, Any]:
        column = self._table.column(name)
        live = column is self._table.states
        return {"name": name, "label": label_of(name), "kind": "state" if live else str(column.kind)}

    # --- rows for the browser ---

    def _page(self, view: str) -> dict[str, Any]:
        start, size = self._windows[view]
        rows = self._view[start : start + size]
        names = [head["name"] for head in self.columns]
        barred = self._table.states.barred[rows]
        marks = self._picks.rows[rows].astype(np.uint8) | (barred.astype(np.uint8) << 1)
        return {
            "kind": "page",
            "view": view,
            "order": self._order,
            "request": self._newest.get(view, 0),
            "start": start,
            "marks": marks.tolist(),
            "cells": [self._cells(name, rows) for name in names],
        }

    def _cells(self, name: str, rows: Rows) -> Sequence[object]:
        column = self._table.columns[name]
        if column is self._table.states:
            return self._table.states.cells(rows)
        if isinstance(column, MomentColumn) and self._as_of:
            return list(zip(column.ages(rows, self._as_of), column.dates(rows), strict=True))
        return column.words(rows)

    def _send_pages(self) -> None:
        for view in self._windows:
            self.send(self._page(view))

    def _flush(self) -> None:
        """Send the cells on screen that changed, and the moment of the news: all of it in one message."""
        with self._lock, self.hold_sync():
            changed, self._changed = np.concatenate([np.zeros(0, np.int64), *self._changed]), []
            views = {}
            for view, (start, size) in self._windows.items():
                rows = self._view[start : start + size]
                places = np.flatnonzero(np.isin(rows, changed))
                if places.size:
                    cells = self._table.states.cells(rows[places])
                    views[view] = {"order": self._order, "at": (places + start).tolist(), "cells": cells}
            if views:
                self._flushes += 1  # what is said again is news again
                self.news = {"number": self._flushes, "views": views}
            self._tell()

    # --- what the browser asks for ---

    def _received(self, _widget: object, content: Mapping[str, Any], _buffers: object) -> None:
        """Whichever thread this is: note what is asked, and let the grid's own thread do it."""
        if content.get("do") == "page":
            with self._lock:
                self._newest[str(content["view"])] = int(content["request"])
        self._worker.post(self._guarded(partial(self._do, content)))

    def _guarded(self, job: Callable[[], None]) -> Callable[[], None]:
        def guarded() -> None:
            try:
                job()
            except OSUpdateKitError as error:
                self.trouble(str(error))
            except Exception as error:
                LOG.exception("the grid failed")
                self.trouble(f"The grid could not do that ({type(error).__name__}). The kernel's log says more.")

        return guarded

    def _do(self, content: Mapping[str, Any]) -> None:
        match content:
            case {"do": "page", "view": str(view), "start": start, "size": size, "request": request}:
                self._asked_page(view, int(start), int(size), int(request))
            case {"do": "gone", "view": str(view)}:
                with self._lock:
                    self._windows.pop(view, None)
                    self._newest.pop(view, None)
            case {"do": "toggle" | "range", "at": at, "order": order}:
                self._picked(content, int(at), int(order))
            case {"do": "search", "text": str(text)}:
                self.filter(search=text)
            case {"do": "filter", "column": str(name), "parts": parts}:
                self._asked_filter(name, parts)
            case {"do": "sort", "column": str(name), "more": more}:
                self._asked_sort(name, more=bool(more))
            case {"do": "lift", "column": str(name)}:
                self._lift(name)
            case {"do": "choices", "column": str(name), "text": str(text), "view": str(view)}:
                self._send_choices(name, text, view)
            case {"do": "paste", "text": str(text), "view": str(view)}:
                matched = self.select({name for name in _SEPARATORS.split(text) if name}, add=True)
                self.send({"kind": "pasted", "view": view, "words": str(matched), "whole": not matched.unmatched})
            case {"do": "all"}:
                self.select_all()
            case {"do": "invert"}:
                self.invert()
            case {"do": "none"}:
                self.clear()
            case {"do": "hidden"}:
                self._show_hidden()
            case {"do": "again"}:
                with self._changing():
                    self._look(self._filters)
            case {"do": "survey"}:
                self._survey()
            case {"do": "act"} if self._on_act and len(self._picks):
                self._on_act(self)
            case {"do": "retry"} if self._on_retry:
                self._on_retry()
            case _:
                LOG.warning("a grid was asked for something unknown: %.80r", content.get("do"))

    def _asked_page(self, view: str, start: int, size: int, request: int) -> None:
        with self._lock:
            if request < self._newest.get(view, 0):
                return  # the view has moved on
            self._windows[view] = (max(0, start), min(max(0, size), MOST_ROWS))
            self.send(self._page(view))

    def _picked(self, content: Mapping[str, Any], at: int, order: int) -> None:
        with self._changing():
            if order != self._order or not 0 <= at < len(self._view):
                return  # meant another order of the rows than the one that stands now
            if content["do"] == "toggle":
                self._picks.toggle(int(self._view[at]))
            else:
                start = int(content.get("start", at))
                self._picks.extend(self._view, start if 0 <= start < len(self._view) else at, at)

    def _asked_filter(self, name: str, parts: Mapping[str, Any] | None) -> None:
        try:
            wanted = from_wire(self._table.column(name).kind, parts) if parts else None
        except SelectionError as error:
            self.send({"kind": "refused", "column": name, "words": str(error)})
        else:
            self._set_filter(name, wanted)

    def _asked_sort(self, name: str, *, more: bool) -> None:
        """Ascending, then descending, then not by this column; `more` keeps the other columns."""
        now = next((order for order in self._filters.orders if order.column == name), None)
        others = [order for order in self._filters.orders if order.column != name] if more else []
        if now is None:
            self.sort(*others, Order(name))
        elif not now.descending:
            self.sort(*others, Order(name, descending=True))
        else:
            self.sort(*others)

    def _lift(self, name: str) -> None:
        if name == "*":
            self.filter(Filters(orders=self._filters.orders))
        elif name:
            self._set_filter(name, None)
        else:
            self.filter(search="")

    def _show_hidden(self) -> None:
        with self._changing():
            hidden = self._picks.rows & ~self._shown
            self._look(self._filters, _Spot(hidden, "selected, but hidden by the filter"))

    def _send_choices(self, name: str, text: str, view: str) -> None:
        with self._lock:
            choices = self._table.choices(name, self._filters)
            found = [choice for choice in choices if text.lower() in choice.label.lower()]
            self.send(
                {
                    "kind": "choices",
                    "view": view,
                    "column": name,
                    "choices": [[one.value, one.label, one.devices] for one in found[:MOST_CHOICES]],
                    "more": max(0, len(found) - MOST_CHOICES),
                }
            )

    def _survey(self) -> None:
        """How many different values the shown columns have: asked for once, after the first rows are on screen."""
        with self._lock:
            if not self._distinct:
                everyone = np.ones(len(self._table), bool)
                heads = [head["name"] for head in self.columns if head["kind"] in ("choice", "version", "state")]
                self._distinct = {name: len(self._table.column(name).choices(everyone)) for name in heads}
                self._tell()

    # --- devices by key ---

    def _wanted(
        self, wanted: Collection[str] | Iterable[DeviceKey] | pd.DataFrame | Selection
    ) -> tuple[Mask, tuple[str, ...]]:
        """The rows of these devices, and what has none."""
        if isinstance(wanted, Selection):
            wanted = [device.key for device in wanted.devices]
        if not isinstance(wanted, pd.DataFrame):
            many = [wanted] if isinstance(wanted, str) else list(wanted)
            if all(isinstance(one, str) for one in many):
                return self._table.find([str(one) for one in many])
            wanted = pd.DataFrame(many, columns=list(KEY), dtype="str")
        found = self._table.rows_of(wanted)
        rows = np.zeros(len(self._table), bool)
        rows[found[found >= 0]] = True
        return rows, tuple(str(DeviceKey(*key)) for key in wanted.loc[found < 0, list(KEY)].itertuples(index=False))

    def _bar(self, barred: Reasons | str | None) -> None:
        if isinstance(barred, str):
            self._table.column(barred)
            self._table.states.bar(self._table.frame[barred])
            del self._table.columns[barred]
        elif barred:
            rows = self._table.rows_of_keys(barred)
            reasons = pd.Series(list(barred.values()), dtype="str")
            self._table.states.bar(reasons[rows >= 0], rows[rows >= 0])

    def _take_states(self, states: States) -> Rows:
        news = as_frame(states)
        rows = self._table.rows_of(news)
        return self._table.states.update(rows[rows >= 0], news[rows >= 0])

    def _restore(self, known: memory.Remembered) -> None:
        """Take over what still fits; the note says what is gone."""
        columns = self._table.columns
        kept = {
            name: one
            for name, one in known.filters.columns.items()
            if name in columns and isinstance(one, FILTER_OF[columns[name].kind])
        }
        orders = tuple(order for order in known.filters.orders if order.column in columns)
        self._look(replace(known.filters, columns=kept, orders=orders))
        if len(known.keys):
            rows, gone = self._wanted(known.keys)
            self._picks.set(rows)
            lost = len(known.keys) - len(self._picks)
            if lost:
                self._note = (
                    f"{count(lost)} of {count(len(known.keys))} selected before are no longer: "
                    f"{count(len(gone))} not listed any more, {count(lost - len(gone))} can’t be selected"
                )
