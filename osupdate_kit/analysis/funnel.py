"""How far the devices came, and where the others stand."""

from enum import StrEnum

import ibis
import pandas as pd
from ibis import _

from osupdate_kit.analysis.scope import Scope
from osupdate_kit.analysis.shown import shown, stored_in
from osupdate_kit.rollout.state import State


class Stage(StrEnum):
    """In order. Each device counts once, at the furthest stage that is proven of it; *done* proves all before."""

    SELECTED = "selected"  # and barred
    ELIGIBLE = "eligible"
    SENT = "command sent"  # or perhaps
    ACCEPTED = "accepted"  # a step, or progress seen
    DOWNLOADED = "downloaded"
    DONE = "done"


_KNOWN = {State.BARRED: Stage.SELECTED, State.DONE: Stage.DONE}  # by their state alone
_ACCEPTED = (State.SCHEDULED, State.DOWNLOADING, State.DEFERRED, State.NOTIFIED)
_DOWNLOADED = (State.DOWNLOADED, State.DOWNLOADED_END, State.INSTALLING)


def funnel(scope: Scope) -> pd.DataFrame:
    """Devices by the furthest stage proven, and by the state they are shown in.

    Columns `stage`, `state`, `devices`, in the order of the stages. A stage was reached by the sum from it downwards.
    """
    rows = shown(scope, "state", "ready", "progress_at", "commands_sent", stored=frozenset(State) - set(_KNOWN))
    furthest = ibis.cases(
        (_.ready | _.state.isin([state.value for state in _DOWNLOADED]), Stage.DOWNLOADED.value),
        (_progressed(scope) | _.state.isin([state.value for state in _ACCEPTED]), Stage.ACCEPTED.value),
        (_.commands_sent > 0, Stage.SENT.value),
        else_=Stage.ELIGIBLE.value,
    )
    stage_of = ibis.cases(*((_.state == state.value, stage.value) for state, stage in _KNOWN.items()))
    both = _.shown + "\n" + furthest  # SQLite groups by one text in half the time that it takes to group by two
    known = stored_in(scope, _KNOWN).select(both=_.state + "\n" + stage_of, devices=_.devices)
    counts = known.union(rows.group_by(both=both).agg(devices=_.count())).to_pandas()
    split = [text.split("\n") for text in counts["both"]]
    frame = pd.DataFrame({"stage": [stage for _state, stage in split], "state": [state for state, _stage in split]})
    frame["devices"] = counts["devices"]
    scope.check(int(frame["devices"].sum()), "Funnel")
    frame["stage"] = pd.Categorical(frame["stage"], [stage.value for stage in Stage], ordered=True)
    return frame.sort_values(["stage", "devices"], ascending=[True, False], ignore_index=True)


def _progressed(scope: Scope) -> ibis.Value:
    """Progress counts where it is of this rollout: the facts of a device outlive rollouts."""
    return (_.commands_sent > 0) & (_.progress_at >= scope.subject.started_at)
