"""Which version the devices report, over the rollout's time.

From the journey: a device has the version of the plan's making until it is first *done* (or, not done, until its newest
evidence), then the newest it reported. What a device reported in between is not drawn. "" is: never reported.
"""

import ibis
import pandas as pd
from ibis import _

from osupdate_kit.analysis.progress import Steps
from osupdate_kit.analysis.scope import Scope
from osupdate_kit.analysis.shown import KEY
from osupdate_kit.rollout.state import State


def adoption(scope: Scope, *, steps: int = 200) -> pd.DataFrame:
    """Devices by reported version at up to `steps` instants. Columns `at` (UTC), `os_version`, `devices`."""
    scope.only_now("Versions over time")
    start = scope.subject.started_at
    grid = Steps.between(start, scope.subject.as_of, steps)
    others = scope.journey().filter(_.state != State.DONE.value).mutate(at=_.updated_at, sign=ibis.literal(1, "int64"))
    done = became_done(scope, "os_version_start", "os_version")
    columns = {"at": "at", "sign": "sign", "was": "os_version_start", "now": "os_version"}
    moves, rest = (rows.select(**{new: rows[old] for new, old in columns.items()}) for rows in (done, others))
    moves = moves.union(rest).mutate(now=(_.now == "").ifelse(_.was, _.now))
    frame = moves.group_by("was", "now", until=grid.of(_["at"])).agg(change=_.sign.sum()).to_pandas()
    begun = frame.assign(until=start, os_version=frame["was"])
    left = frame.assign(os_version=frame["was"], change=-frame["change"])
    came = frame.assign(os_version=frame["now"])
    stock = grid.stock(pd.concat([begun, left, came])[["until", "os_version", "change"]], "os_version")
    scope.check(int(stock.loc[stock["at"] == stock["at"].max(), "devices"].sum()), "Versions")
    return stock


def became_done(scope: Scope, *columns: str) -> ibis.Table:
    """`at`, `sign` and these columns of the journey: the signed instants at which the target was proven.

    A correction takes back one instant and gives another, so sums of `sign` count every device once, or not at all.
    """
    done = scope.transitions().filter(_.state == State.DONE.value).select(*KEY, "at", "sign")
    return done.inner_join(scope.journey().select(*KEY, *columns), KEY)
