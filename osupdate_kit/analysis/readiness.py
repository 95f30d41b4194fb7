"""What bears on declarations of each device, from the inventory and the facts of those that were once assigned one."""

from collections.abc import Collection

import ibis
import pandas as pd
from ibis import _

from osupdate_kit.analysis.deferrals import json
from osupdate_kit.analysis.scope import typed
from osupdate_kit.analysis.shown import KEY
from osupdate_kit.analysis.tally import tally
from osupdate_kit.rollout.assignments import Told
from osupdate_kit.rollout.readiness import Known
from osupdate_kit.rollout.state import Facts

_TOLD, _UNTOLD = (Facts.__struct_fields__.index(name) for name in ("told", "untold"))
_OUTBOX = Told._fields.index("outbox")
_KNOWN = ("platform", "os_version", "supervised", "enrollment_type", "enrolled", "declared")


def known(backend: ibis.BaseBackend, declaring: Collection[str]) -> pd.DataFrame:
    """How many devices are alike: the columns of `Known`, `server`, `devices`. declaring: servers that can declare."""
    return tally(_rows(backend, declaring).drop("enrollment_id"))


def known_devices(backend: ibis.BaseBackend, declaring: Collection[str]) -> pd.DataFrame:
    """The same, one row per device, with `enrollment_id`, `serial`, `name` and `site`; by key."""
    rows = _rows(backend, declaring)
    who = typed(backend, "devices").select(*KEY, "serial", "name", "site")
    return rows.inner_join(who, KEY).order_by(*KEY).to_pandas()


def _rows(backend: ibis.BaseBackend, declaring: Collection[str]) -> ibis.Table:
    """Only who was ever assigned a declaration can have been told of one: of all others no facts are read."""
    devices = typed(backend, "devices")
    given = typed(backend, "journey").filter(_.enforce_at > 0).select(*KEY).distinct()
    asked = devices.inner_join(given, KEY)
    told, untold = (_place(asked.facts, cell) for cell in (_TOLD, _UNTOLD))
    answered = asked.select(*KEY, told=told > untold, refused=untold > told)
    rows = devices.select(*KEY, *_KNOWN).left_join(answered, KEY)
    return rows.select(
        *KEY,
        *_KNOWN,
        declares=_.server.isin(sorted(declaring)) if declaring else ibis.literal(False),
        told=_.told.fill_null(False),
        refused=_.refused.fill_null(False),
    )


def _place(facts: ibis.Value, cell: int) -> ibis.Value:
    return json(facts.nullif(""))[cell][_OUTBOX].cast("string").cast("int64").fill_null(0)


assert set(_KNOWN) < set(Known._fields)
