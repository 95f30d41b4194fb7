"""Figures of a lab rollout: equal to the status, to an oracle over the raw rows, and to the fleet's own truth log."""

from collections import Counter
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pytest
from statsmodels.duration.survfunc import SurvfuncRight

from osupdate_kit.analysis.deferrals import deferrals, next_installs
from osupdate_kit.analysis.failures import failures, failures_by
from osupdate_kit.analysis.funnel import Stage, funnel
from osupdate_kit.analysis.needs import armed_at_large, ended, needs
from osupdate_kit.analysis.progress import devices, progress, spells
from osupdate_kit.analysis.scope import Scope
from osupdate_kit.analysis.shown import states_now
from osupdate_kit.analysis.survival import proven, time_to_update
from osupdate_kit.analysis.versions import adoption
from osupdate_kit.errors import RolloutError, StoreError
from osupdate_kit.lab.truth import What
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.needs import IN_NEED, cause_name
from osupdate_kit.rollout.policy import HOUR
from osupdate_kit.stores.reader import reading
from tests.analysis.conftest import Lived

ROLLOUTS = (1, 2, 3)  # iPads, Macs, Apple TVs


@pytest.fixture(params=ROLLOUTS)
def rollout(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


def proven_at(lived: Lived, rollout: int) -> dict[str, int]:
    """By the truth log: when each device of the rollout first told its server that it runs the target."""
    truth, target = lived.rehearsal.truth, OSVersion.parse(lived.targets[rollout])
    members = {d.udid: d for d in lived.status(rollout).devices if not d.barrier}
    asked = {(e.udid, e.command_uuid) for e in truth if e.what is What.HANDED and e.detail == "DeviceInformation"}
    with lived.rehearsal.kit.ledger.read() as tx:
        started = next(row.started_at for row in tx.rollouts() if row.id == rollout)
    found: dict[str, int] = {}
    for entry in truth:
        if entry.what is not What.ANSWERED or entry.at < started or entry.detail != "Acknowledged":
            continue
        if entry.udid in members and entry.udid not in found and (entry.udid, entry.command_uuid) in asked:
            version = truth.version(entry.udid, entry.at).partition("(")[0]
            if OSVersion.parse(version) >= target:
                found[entry.udid] = entry.at
    return found


def test_states_of_now_are_those_of_the_status(lived: Lived, backend: ibis.BaseBackend, rollout: int) -> None:
    status = lived.status(rollout)
    frame = states_now(lived.scope(backend, rollout))
    assert dict(zip(frame["state"], frame["devices"], strict=True)) == status.states
    by_device = devices(lived.scope(backend, rollout)).set_index("udid")["state"].to_dict()
    assert by_device == {device.udid: device.state for device in status.devices}


def test_the_rollouts_show_enough_to_be_worth_comparing(lived: Lived) -> None:
    states = Counter[str]()
    for rollout in ROLLOUTS:
        states.update(lived.status(rollout).states)
    assert {"done", "barred", "failed", "stalled"} <= set(states)


def test_done_over_time_is_what_the_fleet_says(lived: Lived, backend: ibis.BaseBackend, rollout: int) -> None:
    """Exactly: at every instant as many devices are done as had told their server so by then."""
    truth = sorted(proven_at(lived, rollout).values())
    frame = progress(lived.scope(backend, rollout))
    done = frame[frame["state"] == "done"].set_index("at")["devices"]
    assert truth, "somebody is done"
    for at, count in done.items():
        assert count == sum(instant <= at.value // 1000 for instant in truth), at


def test_when_each_device_was_done_is_what_the_fleet_says(
    lived: Lived, backend: ibis.BaseBackend, rollout: int
) -> None:
    """From the journeys as from the signed transitions, which know what was known when."""
    now = lived.rehearsal.kit.clock.now()
    for words in ({}, {"known_at": now}, {"as_of": now - 1}):
        told = proven(lived.scope(backend, rollout, **words), "udid").to_pandas().dropna(subset=["at"])
        assert sorted(zip(told["udid"], told["at"].astype("int64"), strict=True)) == sorted(
            proven_at(lived, rollout).items()
        )


def test_versions_of_done_devices_are_those_they_run(lived: Lived, backend: ibis.BaseBackend, rollout: int) -> None:
    scope = lived.scope(backend, rollout)
    runs = lived.rehearsal.truth.versions()
    done = devices(scope).query("state == 'done'")
    assert all(runs[d.udid].partition("(")[0] == d.os_version for d in done.itertuples())
    frame = adoption(scope)
    at_end = frame[frame["at"] == frame["at"].max()].set_index("os_version")["devices"]
    told = devices(scope).apply(lambda d: d["os_version"] or d["os_version_start"], axis=1)
    assert {v: n for v, n in at_end.items() if n} == told.value_counts().to_dict()
    assert set(frame.groupby("at")["devices"].sum()) == {scope.subject.selected}


def test_news_from_after_now_count_as_of_now(lived: Lived, backend: ibis.BaseBackend, rollout: int) -> None:
    """A live rollout goes on while it is read, and a server's clock may be ahead of ours."""
    whole = adoption(lived.scope(backend, rollout)).groupby("os_version")["devices"].last()
    done = progress(lived.scope(backend, rollout)).query("state == 'done' and devices > 0")["at"]
    kit = lived.rehearsal.kit
    early = max(int(done.iloc[0].value // 1000) - HOUR, lived.scope(backend, rollout).subject.started_at + 1)
    scope = Scope.of(backend, rollout, now=early, cadences=kit.cadences)
    assert adoption(scope).groupby("os_version")["devices"].last().to_dict() == whole.to_dict()
    assert progress(scope)["at"].max().value // 1000 == early


def test_progress_equals_the_signed_rows_counted_by_hand(lived: Lived, backend: ibis.BaseBackend, rollout: int) -> None:
    rows = raw(backend, "transitions", rollout)
    frame = progress(lived.scope(backend, rollout), steps=37)
    assert frame["at"].nunique() <= 37
    for at, part in frame.groupby("at"):
        upto = rows[rows["at"] <= at.value // 1000]
        assert part.set_index("state")["devices"].to_dict() == {
            state: int(upto.loc[upto["state"] == state, "sign"].sum()) for state in part["state"]
        }


def test_the_past_can_be_seen_as_it_was_and_as_it_was_known(
    lived: Lived, backend: ibis.BaseBackend, rollout: int
) -> None:
    whole = lived.scope(backend, rollout).subject
    half = whole.started_at + (whole.as_of - whole.started_at) // 2
    rows, events = raw(backend, "transitions", rollout), backend.table("events").to_pandas()
    for words in ({"as_of": half}, {"known_at": half}, {"as_of": half, "known_at": half}):
        scope = lived.scope(backend, rollout, **words)
        seen = rows[rows["at"] <= scope.subject.as_of]
        if "known_at" in words:
            known = events.loc[events["recorded_at"] <= half, "seq"].max()
            seen = seen[seen["known_seq"] <= max(known, scope.start_seq)]
        sums = seen.groupby("state")["sign"].sum()
        frame = progress(scope)
        last = frame[frame["at"] == frame["at"].max()].set_index("state")["devices"]
        assert {state: n for state, n in last.items() if n} == {state: n for state, n in sums.items() if n}
        states = devices(scope)["state"].value_counts()
        assert states.to_dict() == {state: n for state, n in sums.items() if n}


def test_spells_follow_one_another(lived: Lived, backend: ibis.BaseBackend, rollout: int) -> None:
    scope = lived.scope(backend, rollout)
    frame = spells(scope)
    start, end = (pd.Timestamp(at, unit="us", tz="UTC") for at in (scope.subject.started_at, scope.subject.as_of))
    assert frame["enrollment_id"].nunique() == scope.subject.selected
    for _, one in frame.groupby("enrollment_id"):
        assert one["since"].iloc[0] == start
        assert one["until"].iloc[-1] == end
        assert (one["since"].iloc[1:].to_numpy() == one["until"].iloc[:-1].to_numpy()).all()


def test_the_funnel_counts_each_device_once(lived: Lived, backend: ibis.BaseBackend, rollout: int) -> None:
    status = lived.status(rollout)
    frame = funnel(lived.scope(backend, rollout))
    assert frame.groupby("state")["devices"].sum().to_dict() == status.states
    by_stage = frame.groupby("stage", observed=False)["devices"].sum()
    assert by_stage[Stage.SELECTED.value] == status.states.get("barred", 0)
    assert by_stage[Stage.DONE.value] == status.states.get("done", 0)
    unsent = sum(d.commands_sent == 0 and d.state not in ("done", "barred") for d in status.devices)
    assert by_stage[Stage.ELIGIBLE.value] <= unsent
    if downloaded := int(by_stage[Stage.DOWNLOADED.value]):
        had = {e.udid for e in lived.rehearsal.truth if e.what is What.DOWNLOAD_DONE}
        assert downloaded <= sum(d.udid in had for d in status.devices if d.state != "done")


def test_failures_are_those_of_the_status(lived: Lived, backend: ibis.BaseBackend, rollout: int) -> None:
    status = lived.status(rollout)
    scope = lived.scope(backend, rollout)
    frame = failures(scope)
    assert frame[frame["cause"] != ""].groupby("cause")["devices"].sum().to_dict() == status.failures
    assert list(frame["devices"]) == sorted(frame["devices"], reverse=True)
    if len(frame):
        assert frame["together"].iloc[-1] == pytest.approx(1)
    lost = [device for device in status.devices if device.state in ("failed", "expired")]
    for dimension in ("platform", "site", "model", "os_version_start"):
        by = failures_by(scope, dimension)
        assert by["failed"].sum() == len(lost)
        assert (by["failed"] <= by["tried"]).all()
        assert by["tried"].sum() == sum(d.commands_sent > 0 or d in lost for d in status.devices)


def test_needs_and_ends_are_those_of_the_status(lived: Lived, backend: ibis.BaseBackend, rollout: int) -> None:
    status, scope = lived.status(rollout), lived.scope(backend, rollout)
    frame = needs(scope)
    told = {(state, cause): n for (state, cause), n in frame.groupby(["state", "cause"])["devices"].sum().items()}
    lost = ("failed", "expired")
    assert told == Counter(
        (d.state, cause_name(d.state, d.cause) if d.state in lost else "") for d in status.devices if d.state in IN_NEED
    )
    assert ended(scope, 0) == {s: n for s, n in status.states.items() if s in ("done", "failed") and n}
    assert ended(scope, scope.now) == {}
    armed = [d for d in status.devices if any(flag.startswith("armed") for flag in d.flags)]
    assert armed_at_large(scope)["devices"].sum() <= len(armed)


def test_deferrals_are_those_of_the_status(lived: Lived, backend: ibis.BaseBackend, rollout: int) -> None:
    deferred = [device for device in lived.status(rollout).devices if device.state == "deferred"]
    scope = lived.scope(backend, rollout)
    frame = deferrals(scope)
    counted = Counter(
        (d.deferrals_used, d.deferrals_remaining) for d in deferred if not any(f == "presumed" for f in d.flags)
    )
    told = frame[frame["kind"] == "counted"]
    assert dict(zip(zip(told["used"], told["remaining"], strict=True), told["devices"], strict=True)) == counted
    assert frame["devices"].sum() == len(deferred)
    assert next_installs(scope)["devices"].sum() == len(deferred)


def test_time_to_update_is_that_of_statsmodels(lived: Lived, backend: ibis.BaseBackend, rollout: int) -> None:
    """On the truth log's own times, in whole hours, Greenwood's band included."""
    scope = lived.scope(backend, rollout)
    start, last = scope.subject.started_at, -(-(scope.subject.as_of - scope.subject.started_at) // HOUR)
    members = [d.udid for d in lived.status(rollout).devices if not d.barrier]
    proven = proven_at(lived, rollout)
    hours = [-(-(proven[udid] - start) // HOUR) if udid in proven else last for udid in members]
    oracle = SurvfuncRight(hours, [int(udid in proven) for udid in members])
    frame = time_to_update(scope).set_index("hours")
    assert frame["at_risk"].iloc[0] == len(members)
    for time, alive, error in zip(oracle.surv_times, oracle.surv_prob, oracle.surv_prob_se, strict=True):
        row = frame.loc[time]
        assert row["share"] == pytest.approx(1 - alive, abs=1e-12)
        low, high = np.clip((1 - alive - 1.959963984540054 * error, 1 - alive + 1.959963984540054 * error), 0, 1)
        if alive > 0:
            assert (row["low"], row["high"]) == pytest.approx((low, high), abs=1e-12)


def test_another_engine_gives_the_same_values(
    lived: Lived, backend: ibis.BaseBackend, rollout: int, tmp_path: Path
) -> None:
    """DuckDB over Parquet copies of the tables, by the same definitions."""
    copies = ibis.duckdb.connect()
    names = ("journey", "transitions", "minutes", "devices", "events", "holds", "halts", "rollouts", "plans")
    for name in (*names, "approvals"):
        backend.table(name).to_parquet(tmp_path / f"{name}.parquet")
        copies.read_parquet(tmp_path / f"{name}.parquet", table_name=name)
    for figure in (states_now, progress, devices, funnel, adoption, deferrals, next_installs, failures, time_to_update):
        one, other = (figure(lived.scope(engine, rollout)) for engine in (backend, copies))
        pd.testing.assert_frame_equal(one, other, check_dtype=False, check_exact=False, rtol=1e-12)


def test_what_is_not_there_is_said(lived: Lived, backend: ibis.BaseBackend) -> None:
    with pytest.raises(RolloutError, match="no rollout 99"):
        lived.scope(backend, 99)
    with pytest.raises(RolloutError, match="not begun"):
        lived.scope(backend, 1, as_of=1)


def test_nothing_can_be_written_through_a_reader(lived: Lived) -> None:
    with pytest.raises(StoreError), reading(lived.url) as opened:
        opened.raw_sql("DELETE FROM journey")
    assert lived.status(1).selected > 0


def raw(backend: ibis.BaseBackend, table: str, rollout: int) -> pd.DataFrame:
    frame: pd.DataFrame = backend.table(table).to_pandas()
    return frame[frame["rollout"] == rollout]
