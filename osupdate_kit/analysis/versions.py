"""Which version the devices report, over the rollout's time.

From the journey: a device has the version of the plan's making until it is first *done* (or, not done, until its newest
evidence), then the newest it reported. What a device reported in between is not drawn. "" is: never reported.
"""

import pandas as pd
from ibis import _

from osupdate_kit.analysis.progress import Steps
from osupdate_kit.analysis.scope import Scope
from osupdate_kit.analysis.tally import tally


def adoption(scope: Scope, *, steps: int = 200) -> pd.DataFrame:
    """Devices by reported version at up to `steps` instants. Columns `at` (UTC), `os_version`, `devices`."""
    scope.only_now("Versions over time")
    grid = Steps.between(scope.subject.started_at, scope.subject.as_of, steps)
    stays = (_.os_version == "") | (_.os_version == _.os_version_start)
    step = stays.ifelse(0, grid.of((_.done_at > 0).ifelse(_.done_at, _.updated_at)))
    frame = tally(scope.journey().select(was=_.os_version_start, now=_.os_version, step=step))
    frame = frame.rename(columns={"devices": "change"}).assign(now=frame["now"].where(frame["now"] != "", frame["was"]))
    begun = frame.assign(step=0, os_version=frame["was"])
    left = frame.assign(os_version=frame["was"], change=-frame["change"])
    came = frame.assign(os_version=frame["now"])
    stock = grid.stock(pd.concat([begun, left, came])[["step", "os_version", "change"]], "os_version")
    scope.check(int(stock.loc[stock["at"] == stock["at"].max(), "devices"].sum()), "Versions")
    return stock
