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
    rows = done_at(scope, "os_version_start", "os_version", "updated_at")
    rows = rows.mutate(now=(_.os_version == "").ifelse(_.os_version_start, _.os_version))
    since = _.done_at.fill_null(_.updated_at)
    moved = rows.mutate(until=grid.of(since)).group_by("until", "os_version_start", "now").agg(change=_.count())
    frame = moved.to_pandas()
    begun = frame.assign(until=start, os_version=frame["os_version_start"])
    left = frame.assign(os_version=frame["os_version_start"], change=-frame["change"])
    changes = pd.concat([begun, left, frame.rename(columns={"now": "os_version"})])
    stock = grid.stock(changes[["until", "os_version", "change"]], "os_version")
    scope.check(int(stock.loc[stock["at"] == stock["at"].max(), "devices"].sum()), "Versions")
    return stock


def done_at(scope: Scope, *columns: str) -> ibis.Table:
    """The journeys with `done_at`: when the target was proven, NULL while it is not. Done stays done.

    A correction takes back one instant and gives another: the sum of signed instants is the one that holds.
    """
    done = scope.transitions().filter(_.state == State.DONE.value).group_by(*KEY)
    proven = done.agg(done_at=(_["at"] * _.sign).sum(), times=_.sign.sum()).filter(_.times > 0).drop("times")
    rows = scope.journey().select(*KEY, *columns).left_join(proven, KEY)
    return rows.drop("server_right", "enrollment_id_right")
