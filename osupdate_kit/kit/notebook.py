"""The widgets of a notebook, joined: what the grid selects is planned, what is planned is confirmed, what happens shows
in the grid. Each of them knows nothing of the others; no callback here stores or sends anything.
"""

import logging
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from osupdate_kit.errors import OSUpdateKitError
from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.kit.plans import Draft, barrier_words
from osupdate_kit.kit.watch import watch
from osupdate_kit.rollout.deadlines import left_words
from osupdate_kit.rollout.eligibility import Barrier
from osupdate_kit.rollout.journey import Instrument, RolloutStatus
from osupdate_kit.views.grid import DeviceGrid, RowState
from osupdate_kit.views.widgets import Confirm, DeviceLine, PlanBuilder, RolloutMonitor
from osupdate_kit.views.widgets.thread import OneThread
from osupdate_kit.views.widgets.watch import cause_words

if TYPE_CHECKING:
    from osupdate_kit.fleet.selection import Selection
    from osupdate_kit.kit import Kit
    from osupdate_kit.kit.watch import Watching

LOG = logging.getLogger(__name__)
LOOK_SECONDS = 1.5  # from look to look: what is new shows within two seconds, in as few messages as that allows
KEY = ["server", "enrollment_id"]
_OVER = (RolloutStatus.CANCELLED, RolloutStatus.ENDED)


def fleet_grid(kit: "Kit", frame: pd.DataFrame, **words: Any) -> DeviceGrid:
    """A grid whose state column follows the rollouts that run. Who can take no update command at all is barred."""
    reasons = {
        barrier_words(Barrier.GONE): ~_flag(frame, "enrolled", unknown=True),
        barrier_words(Barrier.NOT_SUPERVISED): ~_flag(frame, "supervised", unknown=True),
    }
    barred = np.select(list(reasons.values()), list(reasons), "")
    grid = DeviceGrid(frame.assign(barred=barred), barred="barred", states={}, as_of=_now(kit), **words)
    threading.Thread(target=_follow, args=(kit, grid), name="live states", daemon=True).start()
    return grid


def plan_builder(kit: "Kit", chosen: "DeviceGrid | Selection", **words: Any) -> PlanBuilder:
    """A form over these devices; over a grid's, it follows the grid's selection, and a click shows devices there."""
    if not isinstance(chosen, DeviceGrid):
        return PlanBuilder(chosen, kit, **words)
    builder = PlanBuilder(chosen.selection, kit, **words)
    hands = OneThread("selection to plan")

    def take(revision: int) -> None:
        if revision == chosen.revision:  # else a later one follows
            builder.selection = chosen.selection

    chosen.observe(lambda change: hands.post(take, change["new"]), names="revision")
    show_chosen(builder, chosen, "chosen in the plan’s preview")
    return builder


def confirm(kit: "Kit", planned: PlanBuilder | Draft, grid: DeviceGrid | None) -> Confirm:
    """The confirmation of what is planned; it follows the form, and says what the grid's filter hides."""
    if isinstance(planned, PlanBuilder):
        planned.wait()
    widget = Confirm(None, kit)
    _Confirming(kit, planned, grid, widget).begin()
    if grid is not None:
        show_chosen(widget, grid, "named by the confirmation")
    return widget


def show_chosen(widget: Confirm | PlanBuilder | RolloutMonitor, grid: DeviceGrid, words: str) -> None:
    """Show in the grid what somebody chooses in this widget."""

    def show(change: Mapping[str, Any]) -> None:
        if change["new"]:
            grid.show(change["new"], words)

    widget.observe(show, names="chosen_devices")


class _Confirming:
    """Keeps a confirmation on what the form and the grid show. What is not known yet cannot be confirmed."""

    def __init__(self, kit: "Kit", planned: PlanBuilder | Draft, grid: DeviceGrid | None, widget: Confirm) -> None:
        self._kit, self._planned, self._grid, self._widget = kit, planned, grid, widget
        self._lock = threading.Lock()
        self._hands = OneThread("plan to confirmation")

    def begin(self) -> None:
        self._consider()
        if isinstance(self._planned, PlanBuilder):
            self._planned.observe(self._typed, names="preview")
        if self._grid is not None:
            self._grid.observe(self._narrowed, names="status")

    @property
    def _draft(self) -> Any:
        return self._planned.draft if isinstance(self._planned, PlanBuilder) else self._planned

    def _typed(self, _change: object) -> None:
        with self._lock:
            if self._draft is None:
                self._widget.draft = None
        self._hands.post(self._consider)

    def _narrowed(self, change: Mapping[str, Any]) -> None:
        if any(change["old"].get(part) != change["new"].get(part) for part in ("hidden", "filters", "search")):
            self._hands.post(self._consider)

    def _consider(self) -> None:
        draft = self._draft
        if draft is None:
            return
        hidden, words = _hidden(draft, self._grid)
        stale = self._kit.stale(draft)
        with self._lock:
            if draft is self._draft:  # else the form has moved on
                self._widget.consider(draft, hidden=hidden, hidden_by=words, stale=stale)


def _hidden(draft: Draft, grid: DeviceGrid | None) -> tuple[list[DeviceKey], str]:
    """Devices that the draft sends something, though the grid's filter hides them; and that filter in words."""
    if grid is None:
        return [], ""
    shown = set(grid.shown[KEY].itertuples(index=False, name=None))
    hidden = [m.key for m in draft.members if not m.barrier and tuple(m.key) not in shown]
    filters = grid.status["filters"]
    words = [grid.status["search"], *(f"{column} {one['words']}" for column, one in filters.items())]
    return hidden, ", ".join(word for word in words if word)


# --- live states ------------------------------------------------------------------------------------------------------


def _follow(kit: "Kit", grid: DeviceGrid) -> None:
    """Until the grid is closed: what the rollouts that run say of its devices."""
    watched: dict[int, tuple[Watching, str]] = {}
    known: dict[DeviceKey, RowState] = {}
    pause = threading.Event()
    while grid.comm is not None:
        begun = time.monotonic()
        try:
            news = _news(kit, watched, known)
            if news:
                grid.update_states(news, as_of=_now(kit))
        except OSUpdateKitError as error:
            grid.trouble(str(error))
        except Exception as error:
            LOG.exception("the live states failed")
            grid.trouble(f"The live states could not be read ({type(error).__name__}). The kernel's log says more.")
        took = time.monotonic() - begun
        pause.wait(max(LOOK_SECONDS - took, took))  # never more than half of a processor


def _news(
    kit: "Kit", watched: "dict[int, tuple[Watching, str]]", known: dict[DeviceKey, RowState]
) -> dict[DeviceKey, RowState]:
    """What has changed since the last look; a rollout that is over is looked at once more."""
    running = {stored.id for stored, _ in kit.rollouts() if stored.status not in _OVER}
    news: dict[DeviceKey, RowState] = {}
    for number in sorted({*running, *watched}):
        watching, seen = watched.get(number) or (watch(kit, number), "")
        look = watching.look(seen)
        if look is not None:
            for line in watching.all_lines():
                state = _row_state(line, look.head.now)
                if known.get(line.key) != state:
                    news[line.key] = known[line.key] = state
            watched[number] = watching, look.head.version
        if number not in running:
            del watched[number]
    return news


def _now(kit: "Kit") -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=kit.now())


def _row_state(line: DeviceLine, now: int) -> RowState:
    if line.cause:
        detail = cause_words(line.cause)
    elif line.state == "deferred" and line.deferrals_used is not None and line.deferrals_remaining is not None:
        detail = f"{line.deferrals_used} of {line.deferrals_used + line.deferrals_remaining}"
    elif line.declaration.in_force:
        detail = left_words(line.enforce_at, now)
    else:
        detail = line.barrier
    return RowState(line.state, detail, bool(line.armed), line.regressed, line.route == Instrument.DECLARATION)


def _flag(frame: pd.DataFrame, name: str, *, unknown: bool) -> "pd.Series[bool]":
    """A column of yes, no and unknown."""
    if name not in frame:
        return pd.Series(unknown, index=frame.index)
    return frame[name].astype("boolean").fillna(unknown).astype(bool)
