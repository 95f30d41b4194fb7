"""Why devices are lost, and where it happens more than elsewhere."""

import pandas as pd
from ibis import _

from osupdate_kit.analysis.scope import Scope
from osupdate_kit.analysis.shown import lost
from osupdate_kit.errors import AnalysisError
from osupdate_kit.protocol.causes import FailureClass, name_of
from osupdate_kit.rollout.journey import Instrument

DIMENSIONS = ("platform", "model", "os_version_start", "site", "ring", "wave", "time_zone", "route")


def failures(scope: Scope) -> pd.DataFrame:
    """Failed and expired devices, each once, by its last cause; the most frequent first.

    Columns `cause` (what is counted: the class; of an unlisted code, domain and code), `failure` (class; "" = none was
    reported), `text` (the most frequent words of devices, of causes that the kit has no class for), `devices`,
    `declared` (those of them that go by declaration), `together` (share of this cause and those before it, 0–1).
    """
    unnamed = _.failure == FailureClass.UNKNOWN.value
    rows = scope.journey().filter(lost(scope)).mutate(text=unnamed.ifelse(_.failure_text, ""))
    declared = _.route == Instrument.DECLARATION.value
    frame = rows.group_by("failure", "text").agg(devices=_.count(), declared=declared.sum()).to_pandas()
    frame["cause"] = [name_of(failure, text) for failure, text in zip(frame["failure"], frame["text"], strict=True)]
    frame = frame.sort_values(["devices", "text"], ascending=[False, True])
    frame = frame.groupby(["cause", "failure"], as_index=False).agg(
        text=("text", "first"), devices=("devices", "sum"), declared=("declared", "sum")
    )
    frame = frame.sort_values(["devices", "cause"], ascending=[False, True], ignore_index=True)
    frame["declared"] = frame["declared"].astype("int64")
    frame["together"] = frame["devices"].cumsum() / frame["devices"].sum()
    return frame


def failures_by(scope: Scope, dimension: str) -> pd.DataFrame:
    """Failed and expired devices beside those tried, by one of DIMENSIONS; most failed first.

    Columns `group` ("" = not known), `failed`, `tried` (a step went out, or the device was lost without one).
    """
    if dimension not in DIMENSIONS:
        raise AnalysisError(f"Failures cannot be split by {dimension}.", remedy=f"One of: {', '.join(DIMENSIONS)}.")
    failed = lost(scope)
    tried = (_.commands_sent > 0) | failed
    counts = scope.journey().group_by(group=_[dimension]).agg(failed=failed.sum(), tried=tried.sum())
    frame = counts.filter(_.tried > 0).to_pandas().astype({"failed": "int64", "tried": "int64"})
    return frame.sort_values(["failed", "tried", "group"], ascending=[False, False, True], ignore_index=True)
