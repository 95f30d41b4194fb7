"""What ended of late, and which devices need a person: counted by the database, over all devices of a rollout."""

import pandas as pd
from ibis import _

from osupdate_kit.analysis.scope import Scope
from osupdate_kit.analysis.shown import shown
from osupdate_kit.analysis.tally import tally
from osupdate_kit.errors import PlanError
from osupdate_kit.protocol.causes import FailureClass, name_of
from osupdate_kit.rollout.journey import RolloutStatus
from osupdate_kit.rollout.needs import IN_NEED, LOST, cause_name
from osupdate_kit.rollout.state import ENDS, State
from osupdate_kit.rollout.windows import FROZEN, Kin

_GOOD = ENDS - set(LOST)
_REACHED = ENDS - {State.BARRED, State.EXPIRED}  # barred is who never began; who expired is told by the clock alone


def ended(scope: Scope, since: int) -> dict[str, int]:
    """Devices by end that have come to it since then; those that left an end again are taken off."""
    changes = scope.changes().filter(_["at"] > since, _.state.isin(sorted(state.value for state in _REACHED)))
    frame = changes.group_by("state").agg(devices=_.change.sum()).to_pandas()
    return {state: int(devices) for state, devices in frame.itertuples(index=False) if devices > 0}


def needs(scope: Scope) -> pd.DataFrame:
    """Devices that need a person now. Columns `state`, `cause` (of a lost one, as it is counted), `site`, `devices`."""
    lost, unlisted = _.shown.isin([state.value for state in LOST]), _.failure == FailureClass.UNKNOWN.value
    rows = shown(scope, "site", "failure", "failure_text", stored=frozenset(State) - _GOOD)
    rows = rows.filter(_.shown.isin([state.value for state in IN_NEED]))
    rows = rows.mutate(failure=lost.ifelse(_.failure, ""), text=(lost & unlisted).ifelse(_.failure_text, ""))
    frame = tally(rows.select(state=_.shown, failure=_.failure, text=_.text, site=_.site))
    frame["cause"] = [
        cause_name(state, name_of(failure, text)) if state in LOST else ""
        for state, failure, text in frame[["state", "failure", "text"]].itertuples(index=False)
    ]
    return frame.groupby(["state", "cause", "site"], as_index=False)["devices"].sum()


def armed_at_large(scope: Scope) -> pd.DataFrame:
    """Devices that may install because of us though nothing is to be sent to them now.

    Their window is shut, or the rollout does not run. Columns `armed`, `site`, `devices`.
    """
    running = scope.status is RolloutStatus.RUNNING and scope.now < scope.subject.deadline_at and not scope.waits
    rows = scope.journey().filter(_.armed != "").select("armed", "time_zone", *FROZEN)
    if running and scope.plan.window.always and not scope.plan.blackouts:
        rows = rows.limit(0)
    frame = tally(rows)
    if running:
        shut = [_shut(scope, zone, Kin(*kin)) for _armed, zone, *kin, _devices in frame.itertuples(index=False)]
        frame = frame[pd.Series(shut, dtype=bool, index=frame.index)]
    return frame.groupby(["armed", "site"], as_index=False)["devices"].sum()


def _shut(scope: Scope, zone: str, kin: Kin) -> bool:
    try:
        hours = scope.plan.schedule.hours(kin, downloads=False)
        return not hours.gate(scope.now, zone or scope.plan.time_zone or "UTC").open_since
    except PlanError:  # a time zone that is not known here: nobody can say that its window is open
        return True
