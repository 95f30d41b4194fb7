"""Figures of made-up tables, with all that a lab seldom does: equal to rules and sums written in plain Python."""

from collections import Counter, defaultdict
from datetime import date, time
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from statsmodels.duration.survfunc import SurvfuncRight

from osupdate_kit.analysis.deadlines import ENDED, deadlines
from osupdate_kit.analysis.deferrals import next_installs
from osupdate_kit.analysis.failures import failures, failures_by
from osupdate_kit.analysis.funnel import funnel
from osupdate_kit.analysis.progress import Steps, progress
from osupdate_kit.analysis.scope import Scope
from osupdate_kit.analysis.shown import states_by_instrument, states_now
from osupdate_kit.analysis.survival import kaplan_meier
from osupdate_kit.analysis.versions import adoption, reached_by
from osupdate_kit.errors import AnalysisError
from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.causes import name_of
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.deadlines import Due, due, standing
from osupdate_kit.rollout.journey import Armed, Instrument, Journey, RolloutStatus
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import DAY, HOUR, MINUTE, Cadences, Gate
from osupdate_kit.rollout.shown import Moment, shown
from osupdate_kit.rollout.state import Deferrals, Facts, State
from osupdate_kit.rollout.targets import Target
from osupdate_kit.rollout.waves import Limits
from osupdate_kit.rollout.windows import Blackout, Kin, Window
from tests.analysis.conftest import Bench

START = 1_795_420_800_000_000  # Mon 23 Nov 2026, 08:00 UTC
CADENCES = Cadences(silent_after_hours=10, stalled_after_hours=6.5)
NONE = ("", "")
HALTED = "iPad13,18"
UNLISTED = ("No. (com.example 7)", "Nein. (com.example 7)", "No. (com.example 8)", "no code")
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "")
SLOW = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])

STORED = [state for state in State if state not in (State.SILENT, State.STALLED, State.BARRED)]

hours = st.integers(0, 30).map(lambda number: START + number * HOUR)
instants = st.one_of(st.just(0), hours, st.integers(START - HOUR, START + 30 * HOUR))


class Row(NamedTuple):
    """One device, in its journey and in the inventory."""

    state: State
    barrier: str
    ready: bool
    live: bool
    zone: str
    progress_at: int
    contact_at: int
    seen_later: int  # µs after the contact
    held: bool
    commands_sent: int
    failure: tuple[str, str]  # class and words
    version: str
    site: str = ""
    platform: str = "iPadOS"
    admitted_at: int = START
    model: str = ""
    declared: bool = False
    enforce_at: int = 0
    taken_back: bool = False


rows = st.builds(
    Row,
    state=st.sampled_from([*STORED, State.DEFERRED, State.DEFERRED, State.DEFERRED]),
    barrier=st.sampled_from(["", "", "", "not_supervised"]),
    ready=st.booleans(),
    live=st.booleans(),
    zone=st.sampled_from(ZONES),
    site=st.sampled_from(["North", "South", ""]),
    platform=st.sampled_from(["iPadOS", "macOS"]),
    admitted_at=st.sampled_from([START, START, 0, -START]),
    model=st.sampled_from(["", "", HALTED]),
    progress_at=instants,
    contact_at=instants,
    seen_later=st.integers(0, 2 * HOUR),
    held=st.booleans(),
    commands_sent=st.integers(0, 2),
    failure=st.sampled_from([NONE, ("space", "Voll"), *(("unknown", words) for words in UNLISTED)]),
    version=st.sampled_from(["", "18.6", "26.5"]),
    declared=st.booleans(),
    enforce_at=st.sampled_from([0, START + 5 * HOUR, START + 25 * HOUR, START + 60 * HOUR, START + 9 * DAY]),
    taken_back=st.booleans(),
)
walks = st.lists(st.tuples(st.integers(0, 30 * HOUR), st.sampled_from(list(State))), max_size=5)


def plan(members: int) -> RolloutPlan:
    return RolloutPlan(
        name="made up", author="test", created_at=START, target=Target(version=OSVersion.parse("26.5")),
        deadline_at=START + 20 * HOUR, window=Window(opens=time(20), closes=time(5)), members=members,
        limits=Limits(failure_share=0.2),
        download_window=Window(opens=time(9), closes=time(21), days=(1, 2, 3)),
        blackouts=(
            Blackout(first=date(2026, 11, 23), last=date(2026, 11, 23), where='site == "North"', reason="exams"),
            Blackout(first=date(2026, 11, 24), last=date(2026, 11, 30), where='platform == "macOS" or site == "South"'),
        ),
    )  # fmt: skip


def fill(bench: Bench, devices: list[Row], status: RolloutStatus, walked: list[Any] | None = None) -> None:
    text: dict[str, Any] = dict.fromkeys(("udid", "serial", "platform", "model", "site", "ring", "reason",
                                          "os_version_start", "action_asked",
                                          "action_returned", "target"), "")  # fmt: skip
    journey, inventory, holds, transitions = [], [], [], []
    for number, row in enumerate(devices):
        key = {"server": "mdm", "enrollment_id": f"{number:03}"}
        state = State.BARRED if row.barrier else row.state
        journey.append(
            text | key | {
                "rollout": 1, "time_zone": row.zone, "site": row.site, "platform": row.platform,
                "wave": "all", "model": row.model, "barrier": row.barrier, "state": state.value,
                "instrument": "command", "regressed": False, "ready": row.ready, "os_version": row.version,
                "os_version_start": "18.6", "deferrals_used": None, "deferrals_remaining": None,
                "failure": row.failure[0], "failure_text": row.failure[1],
                "commands_sent": row.commands_sent, "progress_at": row.progress_at, "updated_at": row.contact_at,
                "done_at": START * (state is State.DONE), "updated_seq": 1, "live": row.live, "due_at": None,
                "admitted_at": row.admitted_at, "enforce_at": row.enforce_at,
                "route": "declaration" if row.declared else "command",
                "armed": "on the device" * (row.declared and not row.taken_back),
            }
        )  # fmt: skip
        inventory.append(
            key | dict.fromkeys(("udid", "serial", "name", "platform", "model", "os_version", "build_version",
                                 "enrollment_type", "site", "ring", "time_zone", "attributes", "told"), "")
            | {"supervised": True, "declared": False, "enrolled": True, "awaiting_configuration": False,
               "last_seen_at": row.contact_at + row.seen_later, "added_at": 0, "info_at": 0, "newest_at": 0,
               "facts": Facts(deferrals=Deferrals(1, 5, 3, row.progress_at)).to_json()}
        )  # fmt: skip
        if row.held:
            until_at = (0, START + 1, START + 40 * HOUR)[number % 3]
            holds.append(key | {"id": number, "at": START, "until_at": until_at, "who": "", "reason": "",
                                "released_at": 0, "released_by": ""})  # fmt: skip
        before = "held"
        transitions.append(key | {"at": START, "state": before, "sign": 1})
        for offset, after in sorted(walked[number] if walked else [(0, state)]):
            for name, sign in ((before, -1), (after.value, 1)):
                transitions.append(key | {"at": START + offset, "state": name, "sign": sign})
            before = after.value
    rollouts = {"id": 1, "plan": 1, "status": status.value, "started_at": START, "start_seq": 0, "who": "",
                "deadline_at": START + 20 * HOUR, "reason": "", "changed_at": START, "resumed_at": 0}  # fmt: skip
    plans = {"id": 1, "name": "made up", "yaml": plan(len(devices)).to_yaml(), "sha256": "", "author": "",
             "created_at": START, "members": len(devices)}  # fmt: skip
    for number, row in enumerate(transitions, start=1):
        row |= {"id": number, "rollout": 1, "known_seq": 0}
    sums: Counter[tuple[int, str]] = Counter()
    for row in transitions:
        at = row["at"]
        sums[at if at == START else at + -at % MINUTE, row["state"]] += row["sign"]
    minutes = [{"rollout": 1, "at": at, "state": name, "change": change} for (at, name), change in sums.items()]
    halt = {"rollout": 1, "at": START, "reason": "", "begun": 9, "failed": 5, "forgiven": 0, "lifted_by": ""}
    halts = [halt | {"id": 1, "dimension": "os_version_start", "value": "18.5", "lifted_at": 0},
             halt | {"id": 2, "dimension": "platform", "value": "macOS", "lifted_at": START},
             halt | {"id": 3, "dimension": "model", "value": HALTED, "lifted_at": 0}]  # fmt: skip
    bench.fill(halts=halts, plans=[plans], rollouts=[rollouts], journey=journey, devices=inventory, holds=holds,
               transitions=transitions, minutes=minutes)  # fmt: skip


def scope_at(bench: Bench, now: int) -> Scope:
    return Scope.of(bench.backend, 1, now=now, cadences=CADENCES)


def state_seen(number: int, row: Row, status: RolloutStatus, now: int) -> str:
    """By `rollout/shown.py`, device by device."""
    if row.barrier:
        return "barred"
    held = row.held and (0, START + 1, START + 40 * HOUR)[number % 3] != START + 1
    shut = held or row.admitted_at <= 0 or row.model == HALTED or status is not RolloutStatus.RUNNING or not row.live
    made = plan(1)
    downloads = not row.ready and not row.declared and made.steps(Platform(row.platform)).downloads_apart
    hours = made.schedule.hours(Kin(site=row.site, platform=row.platform, wave="all"), downloads=downloads)
    gate = Gate() if shut else hours.gate(now, row.zone or "UTC")
    journey = Journey(rollout=1, key=DeviceKey("mdm", str(number)), state=row.state, ready=row.ready,
                      progress_at=row.progress_at, enforce_at=row.enforce_at,
                      route=Instrument.DECLARATION if row.declared else Instrument.COMMAND,
                      armed=Armed.ON_DEVICE if row.declared and not row.taken_back else Armed.NO)  # fmt: skip
    moment = Moment(now, status, START, START + 20 * HOUR, gate, row.contact_at + row.seen_later)
    return shown(journey, moment, CADENCES).state.value


def due_by_rule(row: Row, state: str, now: int) -> str:
    """By `rollout/deadlines.py`, device by device."""
    armed = Armed.NO if row.taken_back else Armed.ON_DEVICE
    where = standing(state, Instrument.DECLARATION, armed, row.enforce_at, now)
    return str(due(where, row.enforce_at, now) or ENDED)


@SLOW
@given(devices=st.lists(rows, min_size=1, max_size=25), status=st.sampled_from(list(RolloutStatus)),
       now=st.integers(START + HOUR, START + 30 * HOUR))  # fmt: skip
def test_what_time_adds_is_what_the_rule_says_of_each_device(
    bench: Bench, devices: list[Row], status: RolloutStatus, now: int
) -> None:
    fill(bench, devices, status)
    scope = scope_at(bench, now)
    seen = [state_seen(number, row, status, now) for number, row in enumerate(devices)]
    frame = states_now(scope)
    assert dict(zip(frame["state"], frame["devices"], strict=True)) == Counter(seen)
    assert funnel(scope).groupby("state")["devices"].sum().to_dict() == Counter(seen)
    lost = Counter(
        name_of(*row.failure) for row, state in zip(devices, seen, strict=True) if state in ("failed", "expired")
    )
    causes = failures(scope)
    assert dict(zip(causes["cause"], causes["devices"], strict=True)) == lost
    assert {name_of(*pair) for pair in zip(causes["failure"], causes["text"], strict=True)} == set(lost)
    routes = ["none" if row.barrier else "declaration" if row.declared else "command" for row in devices]
    by_route = states_by_instrument(scope).set_index(["instrument", "state"])["devices"].to_dict()
    assert by_route == Counter(zip(routes, seen, strict=True))
    due_of = Counter(
        due_by_rule(row, state, now) for row, state, route in zip(devices, seen, routes, strict=True)
        if route == "declaration"
    )  # fmt: skip
    dues = deadlines(scope)
    assert dict(zip(dues["due"], dues["devices"], strict=True)) == due_of
    soonest = {
        name: min(row.enforce_at for row, state in zip(devices, seen, strict=True)
                  if row.declared and not row.barrier and due_by_rule(row, state, now) == name)
        for name in due_of if name in [one.value for one in Due if one not in (Due.NOT_YET, Due.TAKEN_BACK)]
    }  # fmt: skip
    pairs = zip(dues["due"], dues["next_at"], strict=True)
    assert {name: at.value // 1000 for name, at in pairs if at is not pd.NaT} == soonest
    assert causes["declared"].sum() == sum(
        row.declared and state in ("failed", "expired") for row, state in zip(devices, seen, strict=True)
    )
    by_instrument = failures_by(scope, "route").set_index("group")
    for route in ("command", "declaration"):
        mine = [(row.commands_sent, state in ("failed", "expired")) for row, state in zip(devices, seen, strict=True)
                if row.declared == (route == "declaration")]  # fmt: skip
        tried = [fell for sent, fell in mine if fell or sent]
        found = tuple(by_instrument.loc[route]) if route in by_instrument.index else (0, 0)
        assert found == (sum(tried), len(tried))
    deferred = [row for row, state in zip(devices, seen, strict=True) if state == "deferred"]
    dated = next_installs(scope).dropna()
    assert dated["devices"].sum() == sum(row.progress_at > now for row in deferred)


@SLOW
@given(devices=st.lists(rows, min_size=1, max_size=25), now=st.integers(START + HOUR, START + 30 * HOUR))
def test_adoption_by_instrument_adds_up_to_the_whole(bench: Bench, devices: list[Row], now: int) -> None:
    """A device has its version at the start until it is done, or spoke last; then the newest that it reported."""
    fill(bench, devices, RolloutStatus.RUNNING)
    frame = reached_by(scope_at(bench, now))
    taking = [row for row in devices if not row.barrier]
    assert frame.groupby("group")["of"].first().to_dict() == Counter(
        "declaration" if row.declared else "command" for row in taking
    )
    since = {
        group: [min(START if row.state is State.DONE else row.contact_at, now)
                for row in taking if row.version == "26.5" and row.declared == (group == "declaration")]
        for group in set(frame["group"])
    }  # fmt: skip
    for at, part in frame.groupby("at"):
        known = {group: sum(one <= at.value // 1000 for one in since[group]) for group in part["group"]}
        assert dict(zip(part["group"], part["devices"], strict=True)) == known
    if not frame.empty:
        whole = adoption(scope_at(bench, now))
        last = whole[(whole["at"] == whole["at"].max()) & (whole["os_version"] == "26.5")]["devices"].sum()
        barred = sum(row.version == "26.5" for row in devices if row.barrier)
        assert frame[frame["at"] == frame["at"].max()]["devices"].sum() == last - barred


@SLOW
@given(data=st.data(), steps=st.integers(3, 40), span=st.integers(0, 40 * HOUR))
def test_counts_over_time_are_the_states_of_each_device_then(bench: Bench, data: Any, steps: int, span: int) -> None:
    walked = data.draw(st.lists(walks, min_size=1, max_size=12))
    blank = Row(State.HELD, "", False, True, "UTC", 0, START, 0, False, 0, NONE, "26.5")
    ends = [max(walk, key=lambda step: step[0])[1] if walk else State.HELD for walk in walked]
    fill(bench, [blank._replace(state=end) for end in ends], RolloutStatus.RUNNING, walked)
    frame = progress(scope_at(bench, START + span), steps=steps)
    assert frame["at"].nunique() <= steps
    for at, part in frame.groupby("at"):
        states = [
            ([State.HELD] + [s for offset, s in sorted(walk) if min(offset, span) <= at.value // 1000 - START])[
                -1
            ].value
            for walk in walked
        ]
        assert {s: n for s, n in zip(part["state"], part["devices"], strict=True) if n} == Counter(states)


def test_what_does_not_add_up_is_not_shown(bench: Bench) -> None:
    blank = Row(State.HELD, "", False, True, "UTC", 0, START, 0, False, 0, NONE, "")
    fill(bench, [blank] * 3, RolloutStatus.RUNNING)
    bench.connection.exec_driver_sql("UPDATE plans SET members = 4")
    bench.connection.commit()
    for figure in (progress, states_now, funnel, adoption):
        with pytest.raises(AnalysisError, match=r"3 devices add up, but 4 were selected \(-1\)"):
            figure(scope_at(bench, START + HOUR))


def test_what_only_the_newest_can_tell_is_refused_for_the_past(bench: Bench) -> None:
    fill(bench, [Row(State.HELD, "", False, True, "UTC", 0, START, 0, False, 0, NONE, "")], RolloutStatus.RUNNING)
    past = Scope.of(bench.backend, 1, now=START + DAY, as_of=START + HOUR, cadences=CADENCES)
    for figure in (states_now, funnel, failures, next_installs, adoption):
        with pytest.raises(AnalysisError, match="as of now only"):
            figure(past)


@given(first=st.integers(START, START + DAY), span=st.integers(0, 400 * DAY), most=st.integers(3, 200))
def test_steps_are_few_whole_and_cover_the_time(first: int, span: int, most: int) -> None:
    found = Steps.between(first, first + span, most).instants
    assert found[0] == first
    assert found[-1] == first + span
    assert len(found) <= most
    assert found == sorted(set(found))
    assert all(at % 60_000_000 == 0 for at in found[1:-1])


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=60))
def test_the_survival_curve_is_that_of_statsmodels(times: list[tuple[int, bool]]) -> None:
    done, censored = (np.bincount([t for t, e in times if e is which], minlength=41) for which in (True, False))
    at_risk, share, low, high = kaplan_meier(done, censored)
    assert at_risk[0] == len(times)
    if not done.any():
        assert not share.any()
        return
    oracle = SurvfuncRight([t for t, _ in times], [int(e) for _, e in times])
    for at, alive, error in zip(oracle.surv_times, oracle.surv_prob, oracle.surv_prob_se, strict=True):
        assert share[at] == pytest.approx(1 - alive, abs=1e-12)
        if alive > 1e-12:
            assert low[at] == pytest.approx(max(0, 1 - alive - 1.959963984540054 * error), abs=1e-12)
            assert high[at] == pytest.approx(min(1, 1 - alive + 1.959963984540054 * error), abs=1e-12)
    assert (np.diff(share) >= -1e-15).all()


def test_next_installs_are_told_in_the_time_of_the_device(bench: Bench) -> None:
    """18:40 UTC is 19:40 in Berlin and 00:10 in Kolkata, of the same night."""
    blank = Row(
        State.DEFERRED, "", False, True, "UTC", START + 10 * HOUR + 40 * 60_000_000, START, 0, False, 0, NONE, ""
    )
    fill(bench, [blank._replace(zone=zone) for zone in ZONES], RolloutStatus.RUNNING)
    cells: dict[tuple[str, int], int] = defaultdict(int)
    for night, hour, devices in next_installs(scope_at(bench, START + HOUR)).itertuples(index=False):
        cells[str(night.date()), hour] += devices
    assert cells == {("2026-11-23", 18): 2, ("2026-11-23", 19): 1, ("2026-11-23", 0): 1}
