"""States over time, from the signed transitions and their sums: stored states, at any `as_of` and `known_at`."""

from dataclasses import dataclass

import ibis
import numpy as np
import pandas as pd
from ibis import _

from osupdate_kit.analysis.scope import Scope
from osupdate_kit.analysis.shown import KEY, shown
from osupdate_kit.analysis.tally import ceiling
from osupdate_kit.rollout.policy import DAY, HOUR, MINUTE

STRIPS = 40  # fewer devices than this are shown one by one

_WIDTHS = tuple(
    number * unit for unit, numbers in ((MINUTE, (1, 2, 5, 10, 15, 30)), (HOUR, (1, 2, 3, 6, 12))) for number in numbers
)


@dataclass(frozen=True, slots=True)
class Steps:
    """`first`, `last` and the whole minutes, hours or days between them; microseconds UTC."""

    first: int
    last: int
    width: int

    @classmethod
    def between(cls, first: int, last: int, most: int) -> "Steps":
        """At most `most` instants (3 or more)."""
        span = last - first
        days = -(-span // (DAY * (most - 2))) * DAY
        return cls(first, last, next((width for width in _WIDTHS if span <= width * (most - 2)), days))

    @property
    def instants(self) -> list[int]:
        inner = range(self.first - self.first % self.width + self.width, self.last, self.width)
        return [self.first, *inner, *([self.last] if self.last > self.first else [])]

    def of(self, at: ibis.Value, engine: str) -> ibis.Value:
        """The number of the first of the instants that is not before `at`; more than there are if all are."""
        whole = self.first - self.first % self.width
        return (at <= self.first).ifelse(0, ceiling(at, whole, self.width, engine))

    def stock(self, changes: pd.DataFrame, by: str) -> pd.DataFrame:
        """Running sums as `at`, `by`, `devices`, every instant with every value. changes: `step`, `by`, `change`.

        What is later than the last instant counts as of it.
        """
        instants = self.instants
        steps = changes["step"].clip(upper=len(instants) - 1)
        table = changes.pivot_table(index=steps, columns=by, values="change", aggfunc="sum", fill_value=0)
        table = table.reindex(range(len(instants)), fill_value=0).cumsum().astype(np.int64)
        table.index = pd.to_datetime(instants, unit="us", utc=True).rename("at")
        return table.stack().rename("devices").reset_index()


def progress(scope: Scope, *, steps: int = 200) -> pd.DataFrame:
    """Devices by state at up to `steps` instants, from the start to `as_of`: as many values whatever the fleet.

    Columns `at` (UTC), `state`, `devices`; every instant with every state that ever occurs. At each instant the
    devices sum up to the selected ones; AnalysisError if they do not.
    """
    grid = Steps.between(scope.subject.started_at, scope.subject.as_of, steps)
    changes = scope.changes().group_by(step=grid.of(_["at"], scope.engine), state=_.state).agg(change=_.change.sum())
    frame = grid.stock(changes.to_pandas(), "state")
    for total in set(frame.groupby("at")["devices"].sum()) or {0}:
        scope.check(int(total), "States over time")
    return frame


def devices(scope: Scope) -> pd.DataFrame:
    """One row per device: who it is, and its state as of the scope.

    Of now: `state` as shown, with what stands beside it, such as `route` (the instrument that it goes by now) and
    `enforce_at` (UTC; the deadline of its declaration, NaT for none). Of an earlier instant: the stored state of then;
    versions, deferrals and failures are known of now only, and left out. Sorted by key.
    """
    named = scope.tables["devices"].select(*KEY, "name", "model")
    who = ("udid", "serial", "platform", "site", "ring", "wave", "os_version_start")
    if scope.is_now:
        beside = ("os_version", "armed", "failure", "failure_text", "deferrals_used", "deferrals_remaining",
                  "route", "enforce_at")  # fmt: skip
        rows = shown(scope, *who, *beside).rename(state="shown")
    else:
        states = scope.transitions().group_by(*KEY, "state").agg(times=_.sign.sum()).filter(_.times > 0).drop("times")
        rows = scope.journey().select(*KEY, *who).left_join(states, KEY).drop("server_right", "enrollment_id_right")
    frame = rows.left_join(named, KEY).drop("server_right", "enrollment_id_right").order_by(*KEY).to_pandas()
    scope.check(int(frame["state"].notna().sum()), "States by device")
    if "enforce_at" in frame:
        at = frame["enforce_at"]
        frame["enforce_at"] = pd.to_datetime(at.where(at > 0), unit="us", utc=True)
    return frame


def spells(scope: Scope) -> pd.DataFrame:
    """For a few devices: since when until when each was in which state, by wave and serial.

    Columns `server`, `enrollment_id`, `serial`, `name`, `wave`, `state`, `since`, `until` (UTC). The spells of a
    device follow one another from the start to `as_of`.
    """
    changes = scope.transitions().group_by(*KEY, "at", "state").agg(sign=_.sign.sum()).filter(_.sign > 0)
    who = scope.journey().select(*KEY, "serial", "wave").left_join(scope.tables["devices"].select(*KEY, "name"), KEY)
    rows = changes.inner_join(who.drop("server_right", "enrollment_id_right"), KEY)
    frame = rows.order_by("wave", "serial", *KEY, "at").to_pandas()
    frame["since"] = pd.to_datetime(frame["at"], unit="us", utc=True)
    frame["until"] = frame.groupby(list(KEY))["since"].shift(-1)
    frame["until"] = frame["until"].fillna(pd.Timestamp(scope.subject.as_of, unit="us", tz="UTC"))
    return frame[["server", "enrollment_id", "serial", "name", "wave", "state", "since", "until"]]
