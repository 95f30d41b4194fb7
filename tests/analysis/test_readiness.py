"""What bears on declarations, counted by the database: as by hand over the rows, on each kind of store."""

from collections import Counter
from typing import Any

import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from osupdate_kit.analysis.readiness import known, known_devices
from osupdate_kit.rollout.assignments import Told
from osupdate_kit.rollout.readiness import Known
from osupdate_kit.rollout.state import Facts
from tests.analysis.conftest import Bench

SLOW = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
_TEXTS = ("udid", "serial", "name", "model", "build_version", "site", "ring", "time_zone", "attributes", "told")
_NUMBERS = ("last_seen_at", "added_at", "info_at", "newest_at")

PLANS = [{"id": 1, "name": "", "yaml": "", "sha256": "", "author": "", "created_at": 0, "members": 0}]
ROLLOUTS = [
    {"id": number, "plan": 1, "status": "running", "started_at": 0, "start_seq": 0, "who": "", "deadline_at": 0,
     "reason": "", "changed_at": 0, "resumed_at": 0}
    for number in (1, 2)
]  # fmt: skip
rows = st.tuples(
    st.sampled_from(["a", "b"]), st.sampled_from(["", "macOS", "iOS"]), st.sampled_from(["", "15.6", "27.0"]),
    st.sampled_from([None, False, True]), st.booleans(), st.booleans(),
    st.integers(0, 3), st.integers(0, 3),  # the newest answered DeclarativeManagement, and the newest that failed
    st.booleans(),  # was it ever assigned a declaration?
)  # fmt: skip


@SLOW
@given(st.lists(rows, max_size=20))
def test_devices_alike_are_counted_together_and_each_is_there_once(bench: Bench, made: list[Any]) -> None:
    devices, journey, wanted = [], [], []
    for number, (server, platform, version, supervised, enrolled, declared, told, refused, given_one) in enumerate(
        made
    ):
        key = {"server": server, "enrollment_id": f"{number:02}"}
        facts = Facts(told=Told(told, 9), untold=Told(refused, 9)).to_json() if told or refused else ""
        devices.append(
            key | dict.fromkeys(_TEXTS, "") | dict.fromkeys(_NUMBERS, 0)
            | {"platform": platform, "os_version": version, "supervised": supervised, "enrollment_type": "Device",
               "declared": declared, "enrolled": enrolled, "awaiting_configuration": False, "facts": facts}
        )  # fmt: skip
        if given_one:
            journey += [_journey(key, rollout) for rollout in (1, 2)]
        wanted.append(
            (server, Known(platform, version, supervised, "Device", enrolled, declared, server == "a",
                           given_one and told > refused, given_one and refused > told))
        )  # fmt: skip
    bench.fill(plans=PLANS, rollouts=ROLLOUTS, devices=devices, journey=journey)
    frame = known(bench.backend, ["a"])
    assert Counter(dict(zip(pairs(frame), frame["devices"], strict=True))) == Counter(wanted)
    by_device = known_devices(bench.backend, ["a"])
    assert list(pairs(by_device)) == [
        pair for _, pair in sorted(enumerate(wanted), key=lambda one: (one[1][0], one[0]))
    ]


def _journey(key: dict[str, str], rollout: int) -> dict[str, Any]:
    texts = (
        "udid", "serial", "platform", "model", "site", "ring", "reason", "os_version_start", "os_version",
        "action_asked", "action_returned", "target", "time_zone", "barrier", "failure", "failure_text", "armed",
    )  # fmt: skip
    numbers = ("commands_sent", "progress_at", "updated_at", "done_at", "updated_seq", "admitted_at")
    return key | dict.fromkeys(texts, "") | dict.fromkeys(numbers, 0) | {
        "rollout": rollout, "wave": "all", "state": "done", "instrument": "declaration", "regressed": False,
        "ready": False, "deferrals_used": None, "deferrals_remaining": None, "live": False, "due_at": None,
        "route": "declaration", "enforce_at": 5,
    }  # fmt: skip


def pairs(frame: pd.DataFrame) -> Any:
    flags = frame["supervised"].astype("object").where(frame["supervised"].notna(), None)
    told = frame.assign(supervised=flags)
    for server, *row in told[["server", *Known._fields]].itertuples(index=False, name=None):
        one = Known(*row)
        supervised = None if one.supervised is None else bool(one.supervised)
        yield server, one._replace(supervised=supervised)
