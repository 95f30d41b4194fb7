"""What people put off: how often, how often they still may, and when the devices mean to install.

macOS counts its deferrals. iOS, iPadOS and tvOS tell no number: that such a device is deferred is *presumed*, from an
install that was accepted and does not happen.
"""

from typing import Any
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.datatypes as dt
import pandas as pd
from ibis import _

from osupdate_kit.analysis.scope import Scope
from osupdate_kit.analysis.shown import KEY, shown
from osupdate_kit.rollout.state import Deferrals, Facts, State

COUNTED, PRESUMED = "counted", "presumed"

_QUARTER = 900_000_000  # µs; every time zone of today is whole quarters of an hour off UTC
_CELL, _NEXT = Facts.__struct_fields__.index("deferrals"), Deferrals._fields.index("next_install_at")


def deferrals(scope: Scope) -> pd.DataFrame:
    """Deferred devices by the deferrals used and remaining.

    Columns `kind` (counted, presumed), `used`, `remaining` (Int64; NA where presumed), `devices`; counted first, fewest
    used first.
    """
    rows = _deferred(scope)
    counted = _.deferrals_used.fill_null(0) > 0
    groups = rows.mutate(
        kind=counted.ifelse(COUNTED, PRESUMED),
        used=counted.ifelse(_.deferrals_used, None),
        remaining=counted.ifelse(_.deferrals_remaining, None),
    )
    frame = groups.group_by("kind", "used", "remaining").agg(devices=_.count()).to_pandas()
    frame = frame.astype({"used": "Int64", "remaining": "Int64"})
    return frame.sort_values(["kind", "used", "remaining"], ignore_index=True)


def next_installs(scope: Scope) -> pd.DataFrame:
    """Deferred devices by the hour in which they mean to install next, device-local.

    Columns `night` (datetime64; the evening's date, until noon it is the day before), `hour` (0–23, Int64), `devices`;
    NaT and NA where the device named none, or one that has passed. A device without a time zone has the plan's, or UTC.
    """
    facts = scope.tables["devices"].select(*KEY, _.facts)
    rows = _deferred(scope).left_join(facts, KEY)
    at = json(rows.facts.nullif(""))[_CELL][_NEXT].cast("string").cast("int64").fill_null(0)
    quarter = (at > scope.now).ifelse(at - at % _QUARTER, 0)
    counts = rows.group_by(zone=rows.time_zone, quarter=quarter).agg(devices=_.count()).to_pandas()
    local = [_local(*row, home=scope.plan.time_zone or "UTC") for row in counts.itertuples(index=False)]
    frame = pd.DataFrame(local, columns=["night", "hour", "devices"])
    frame = frame.astype({"night": "datetime64[us]", "hour": "Int64", "devices": "int64"})
    return frame.groupby(["night", "hour"], dropna=False, as_index=False)["devices"].sum()


def _json(text: str) -> dt.JSON:
    """Text as JSON: all our engines know the function by this name, while SQLite reads a number where it is cast."""


json = ibis.udf.scalar.builtin(_json, name="json")


def _deferred(scope: Scope) -> Any:
    rows = shown(scope, "time_zone", "deferrals_used", "deferrals_remaining", stored={State.DEFERRED})
    return rows.filter(_.shown == State.DEFERRED.value)


def _local(zone: str, quarter: int, devices: int, *, home: str) -> tuple[Any, Any, int]:
    if not quarter:
        return pd.NaT, pd.NA, devices
    at = pd.Timestamp(quarter, unit="us", tz="UTC").tz_convert(ZoneInfo(zone or home))
    return (at - pd.Timedelta(hours=12)).tz_localize(None).normalize(), at.hour, devices
