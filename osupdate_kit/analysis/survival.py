"""Time to update: the share of devices done by hours since the rollout began (Kaplan–Meier, drawn upwards).

The store counts devices by group and hour; the curve over these counts is numpy's. Devices that are not done, whatever
else became of them, count as not done until now; barred ones are left out.
"""

import ibis
import numpy as np
import pandas as pd
from ibis import _
from numpy.typing import NDArray

from osupdate_kit.analysis.scope import Scope
from osupdate_kit.analysis.shown import KEY
from osupdate_kit.analysis.tally import ceiling, tally
from osupdate_kit.errors import AnalysisError
from osupdate_kit.rollout.policy import HOUR
from osupdate_kit.rollout.state import State

GROUPS = ("wave", "platform", "site", "ring", "route")
Z95 = 1.959963984540054  # of the normal distribution, two-sided 95 %


def time_to_update(scope: Scope, *, by: str = "wave") -> pd.DataFrame:
    """The curve of each group. by: one of GROUPS.

    Columns `group`, `hours` (whole hours since the start, rounded up), `at_risk`, `done` (in this hour), `share` (0–1),
    `low`, `high` (95 %, Greenwood); from hour 0 to the last one, every hour.
    """
    if by not in GROUPS:
        raise AnalysisError(f"Time to update cannot be split by {by}.", remedy=f"One of: {', '.join(GROUPS)}.")
    start, last = scope.subject.started_at, -(-(scope.subject.as_of - scope.subject.started_at) // HOUR)
    counts = tally(proven(scope, by).select(group=_[by], hour=ceiling(_["at"], start, HOUR, scope.engine)))
    counts["hour"] = counts["hour"].clip(0, last)  # a server's clock may be ahead of ours, or behind
    curves = [_curve(group, part, last) for group, part in counts.groupby("group")]
    columns = ["group", "hours", "at_risk", "done", "share", "low", "high"]
    return pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=columns)


def proven(scope: Scope, *columns: str) -> ibis.Table:
    """One row per eligible device: these columns of its journey, and `at`: when the target was proven, NULL if not.

    As of the scope: what was known earlier, only the signed transitions tell.
    """
    rows = scope.journey().filter(_.barrier == "")
    if scope.known_at:
        done = scope.transitions().filter(_.state == State.DONE.value).group_by(*KEY, "at").agg(times=_.sign.sum())
        return rows.left_join(done.filter(_.times > 0), KEY).select(*columns, "at")
    there = (_.done_at > 0) if scope.is_now else (_.done_at > 0) & (_.done_at <= scope.subject.as_of)
    return rows.select(*columns, at=there.ifelse(_.done_at, None))


def _curve(group: str, counts: pd.DataFrame, last: int) -> pd.DataFrame:
    """counts: eligible `devices` by the `hour` in which they were done; none: not yet."""
    ended = counts.dropna(subset=["hour"])
    done = np.bincount(ended["hour"].astype(np.int64), ended["devices"], minlength=last + 1).astype(np.int64)
    censored = np.zeros_like(done)
    censored[-1] = counts["devices"].sum() - done.sum()
    at_risk, share, low, high = kaplan_meier(done, censored)
    frame = {"hours": np.arange(len(done)), "at_risk": at_risk, "done": done, "share": share, "low": low, "high": high}
    return pd.DataFrame({"group": group, **frame})


def kaplan_meier(
    done: NDArray[np.int64], censored: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """At risk, share done, and its 95 % band, at each time. done, censored: counts by time; those of a time are at risk
    in it, the censored ones to its end.

    Source: Kaplan and Meier 1958 for the curve, Greenwood 1926 for its variance.
    """
    leaving = done + censored
    at_risk = leaving[::-1].cumsum()[::-1]
    waiting = np.cumprod(1 - done / np.maximum(at_risk, 1))
    staying = at_risk - done
    terms = np.divide(done, at_risk * staying.astype(float), out=np.zeros(len(done)), where=staying > 0)
    error = Z95 * waiting * np.sqrt(np.cumsum(terms))
    share = 1 - waiting
    return at_risk, share, np.clip(share - error, 0, 1), np.clip(share + error, 0, 1)
