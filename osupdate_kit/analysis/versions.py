"""Which version the devices report, over the rollout's time.

From the journey: a device has the version of the plan's making until it is first *done* (or, not done, until its newest
evidence), then the newest it reported. What a device reported in between is not drawn. "" is: never reported.
"""

import pandas as pd
from ibis import _

from osupdate_kit.analysis.progress import Steps
from osupdate_kit.analysis.scope import Scope
from osupdate_kit.analysis.tally import tally
from osupdate_kit.errors import ProtocolError
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.plan import RolloutPlan


def adoption(scope: Scope, *, steps: int = 200) -> pd.DataFrame:
    """Devices by reported version at up to `steps` instants. Columns `at` (UTC), `os_version`, `devices`.

    Where the plan's target is a rule, `there` besides: the version is this device's own target or newer.
    """
    scope.only_now("Versions over time")
    grid = Steps.between(scope.subject.started_at, scope.subject.as_of, steps)
    stays = (_.os_version == "") | (_.os_version == _.os_version_start)
    step = stays.ifelse(0, grid.of((_.done_at > 0).ifelse(_.done_at, _.updated_at), scope.engine))
    rule = scope.plan.goal is not None
    columns = {"was": _.os_version_start, "now": _.os_version, "step": step} | ({"target": _.target} if rule else {})
    frame = tally(scope.journey().select(**columns))
    frame = frame.rename(columns={"devices": "change"}).assign(now=frame["now"].where(frame["now"] != "", frame["was"]))
    if rule:
        for column in ("was", "now"):
            pairs = zip(frame[column], frame["target"], strict=True)
            frame[column] = [f"{version}{_THERE * _reached(scope.plan, version, target)}" for version, target in pairs]
    begun = frame.assign(step=0, os_version=frame["was"])
    left = frame.assign(os_version=frame["was"], change=-frame["change"])
    came = frame.assign(os_version=frame["now"])
    stock = grid.stock(pd.concat([begun, left, came])[["step", "os_version", "change"]], "os_version")
    scope.check(int(stock.loc[stock["at"] == stock["at"].max(), "devices"].sum()), "Versions")
    if rule:
        marked = stock["os_version"].str.endswith(_THERE)
        stock = stock.assign(os_version=stock["os_version"].str.removesuffix(_THERE), there=marked)
    return stock


def reached_by(scope: Scope, *, by: str = "route", steps: int = 200) -> pd.DataFrame:
    """Devices that report their target or newer, by group, at up to `steps` instants.

    Columns `at` (UTC), `group`, `devices`, `of` (all that take the plan in the group). by: a column of the journey.
    """
    scope.only_now("Versions over time")
    grid = Steps.between(scope.subject.started_at, scope.subject.as_of, steps)
    stays = (_.os_version == "") | (_.os_version == _.os_version_start)
    step = stays.ifelse(0, grid.of((_.done_at > 0).ifelse(_.done_at, _.updated_at), scope.engine))
    rows = scope.journey().filter(_.barrier == "")
    frame = tally(rows.select(group=_[by], was=_.os_version_start, now=_.os_version, target=_.target, step=step))
    if frame.empty:
        return pd.DataFrame(columns=["at", "group", "devices", "of"])
    frame["now"] = frame["now"].where(frame["now"] != "", frame["was"])
    there = {
        column: pd.Series([_reached(scope.plan, *pair) for pair in zip(frame[column], frame["target"], strict=True)])
        for column in ("was", "now")
    }
    begun = frame.assign(step=0, change=frame["devices"].where(there["was"], 0))
    came = frame.assign(change=frame["devices"] * (there["now"].astype(int) - there["was"].astype(int)))
    stock = grid.stock(pd.concat([begun, came])[["step", "group", "change"]], "group")
    return stock.assign(of=stock["group"].map(frame.groupby("group")["devices"].sum()))


_THERE = "\t"  # marks a version that is a device's own target or newer; none that a device reports has it


def _reached(plan: RolloutPlan, version: str, target: str) -> bool:
    """A device that the rule gave no target has nothing to do from its floor on."""
    wanted = plan.target_of(target).version or (plan.goal.floor if plan.goal else None)
    try:
        return wanted is not None and OSVersion.parse(version) >= wanted
    except ProtocolError:
        return False
