"""What figures cost: against ten times the events, against numpy, and in seconds for 1,000,000 devices.

Made-up rollouts of a week, amid their work, some sixteen signed transitions a device; on SQLite, and on DuckDB over
Parquet copies of the store's tables. Ten times the events take at most twelve times the time, and the figure is as
large as before. Each figure of 1,000,000 devices takes at most a second. Survival: at most three times numpy's bincount
of the same hours.
"""

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import Line, compared, cpu_of, wall_of
from osupdate_kit.analysis.deferrals import deferrals, next_installs
from osupdate_kit.analysis.failures import failures, failures_by
from osupdate_kit.analysis.funnel import funnel
from osupdate_kit.analysis.needs import needs
from osupdate_kit.analysis.progress import progress
from osupdate_kit.analysis.scope import Scope
from osupdate_kit.analysis.shown import states_now
from osupdate_kit.analysis.survival import kaplan_meier, time_to_update
from osupdate_kit.analysis.tables import TABLES, Kind
from osupdate_kit.analysis.versions import adoption
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import HOUR, MINUTE, Cadences
from osupdate_kit.rollout.state import Deferrals, Facts
from osupdate_kit.rollout.targets import Target
from osupdate_kit.stores.ledger import Ledger
from osupdate_kit.stores.reader import reading
from osupdate_kit.views.charts import states_over_time

START = 1_795_420_800_000_000
NOW = START + 168 * HOUR
WAY = np.array(["held", "knocking", "queued", "downloading", "downloaded", "knocking", "queued", "deferred", "done"])
PACE = (30, 4, 1, 8, 40, 6, 2, 40)  # hours in each, on average
EMPTY: dict[Kind, Any] = {Kind.TEXT: "", Kind.JSON: "{}", Kind.NUMBER: 0, Kind.TIME: 0, Kind.FLAG: False}
ARROW = {Kind.TEXT: pa.string(), Kind.JSON: pa.string(), Kind.FLAG: pa.bool_()}
FIGURES: dict[str, Callable[[Scope], Any]] = {
    "states now": states_now,
    "states over time": progress,
    "funnel": funnel,
    "adoption": adoption,
    "deferrals": deferrals,
    "next installs": next_installs,
    "failures": failures,
    "needs": needs,
    "failures by model": lambda scope: failures_by(scope, "model"),
    "time to update": time_to_update,
}


def made_up(devices: int, seed: int = 26) -> dict[str, pa.Table]:
    """The tables of a rollout a week old."""
    random = np.random.default_rng(seed)
    until = START + (np.cumsum(random.exponential(PACE, (devices, len(PACE))), axis=1) * HOUR).astype(np.int64)
    place = (until < NOW).sum(axis=1)
    failed = (np.arange(devices) % 40 == 0) & (place > 0) & (place < len(PACE))
    state = np.where(failed, "failed", WAY[place])
    seen = np.where(place > 0, until[np.arange(devices), np.maximum(place - 1, 0)], START)
    asked = NOW - random.integers(0, 24 * HOUR, devices)  # each is asked daily how it goes, and most answer
    heard = np.where((state == "done") | (np.arange(devices) % 14 == 0), seen, np.maximum(seen, asked))
    ids = np.char.add("id-", np.char.zfill(np.arange(devices).astype(str), 9))
    numbers = np.arange(devices)
    key = {"server": np.full(devices, "mdm"), "enrollment_id": ids, "serial": ids, "udid": ids}
    groups = {"site": np.char.add("Site ", (numbers % 9).astype(str)), "time_zone": np.full(devices, "Europe/Berlin"),
              "platform": np.array(["iPadOS", "macOS", "iOS"])[numbers % 3]}  # fmt: skip
    facts = Facts(deferrals=Deferrals(1, 5, 3, NOW + 9 * HOUR)).to_json()
    journey = key | groups | {
        "rollout": np.ones(devices, int), "state": state, "wave": np.full(devices, "all"), "ready": place >= 4,
        "os_version_start": np.array(["26.4", "26.4.1", "26.3"])[numbers % 3], "commands_sent": np.full(devices, 2),
        "os_version": np.where(state == "done", "26.5", ""), "failure": np.where(failed, "space", ""),
        "deferrals_used": 1 + numbers % 3, "deferrals_remaining": 3 - numbers % 3, "progress_at": seen,
        "updated_at": heard, "live": np.ones(devices, bool), "done_at": np.where(state == "done", until[:, -1], 0),
        "model": np.char.add("iPad13,", (numbers % 12).astype(str)), "instrument": np.full(devices, "command"),
        "admitted_at": np.full(devices, START),
    }  # fmt: skip
    inventory = key | {"last_seen_at": heard, "facts": np.full(devices, facts)}
    who, when, what, sign = [numbers], [np.full(devices, START)], [np.zeros(devices, int)], [np.ones(devices, int)]
    for step in range(len(PACE)):
        (gone,) = np.nonzero(place > step)
        after = np.where(failed[gone] & (place[gone] == step + 1), len(WAY), step + 1)
        who += [gone, gone]
        when += [until[gone, step]] * 2
        what += [np.full(len(gone), step), after]
        sign += [np.full(len(gone), -1), np.ones(len(gone), int)]
    order = np.argsort(np.concatenate(when), kind="stable")
    rows = np.concatenate(who)[order]
    transitions = {
        "id": np.arange(1, len(rows) + 1), "rollout": np.ones(len(rows), int), "at": np.concatenate(when)[order],
        "server": pa.array(["mdm"]).take(np.zeros(len(rows), int)), "enrollment_id": pa.array(ids).take(rows),
        "state": pa.array([*WAY, "failed"]).take(np.concatenate(what)[order]),
        "sign": np.concatenate(sign)[order],
    }  # fmt: skip
    at, what_of = np.concatenate(when), np.concatenate(what)
    minute = np.where(at == START, at, at + -at % MINUTE)
    names, number_of = np.unique([*WAY, "failed"], return_inverse=True)
    found, place_of = np.unique(minute * 16 + number_of[what_of], return_inverse=True)
    minutes = {
        "rollout": np.ones(len(found), int), "at": found // 16, "state": names[found % 16],
        "change": np.bincount(place_of, np.concatenate(sign)).astype(int),
    }  # fmt: skip
    plan = RolloutPlan(name="made up", author="bench", created_at=START, members=devices, deadline_at=NOW + 99 * HOUR,
                       target=Target(version=OSVersion.parse("26.5")))  # fmt: skip
    plans = {"id": [1], "name": [plan.name], "yaml": [plan.to_yaml()], "members": [devices]}
    rollouts = {"id": [1], "plan": [1], "status": ["running"], "started_at": [START], "deadline_at": [plan.deadline_at]}
    made = {"plans": plans, "rollouts": rollouts, "devices": inventory, "journey": journey, "transitions": transitions,
            "minutes": minutes}  # fmt: skip
    return {name: _table(name, made.get(name, {})) for name in (*made, "events", "holds", "halts", "approvals")}


def _table(name: str, columns: dict[str, Any]) -> pa.Table:
    length = len(next(iter(columns.values()), ()))
    return pa.table(
        {
            column.name: pa.array(
                columns.get(column.name, [EMPTY[column.kind]] * length), ARROW.get(column.kind, pa.int64())
            )
            for column in TABLES[name].columns
        }
    )  # fmt: skip


def on_duckdb(tables: dict[str, pa.Table], folder: Path) -> Scope:
    backend = ibis.duckdb.connect()
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
        backend.read_parquet(folder / f"{name}.parquet", table_name=name)
    return Scope.of(backend, 1, now=NOW, cadences=Cadences())


def on_sqlite(tables: dict[str, pa.Table], path: Path) -> None:
    Ledger.open(f"sqlite:///{path}", migrate=True).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        for name, table in tables.items():
            marks = ",".join("?" * table.num_columns)
            for batch in table.to_batches(50_000):
                columns = [column.to_pylist() for column in batch.columns]
                connection.executemany(f"INSERT INTO {name} VALUES ({marks})", zip(*columns, strict=True))


def run(quick: bool) -> Iterator[Line]:
    small, large, whole = (1_000, 10_000, 10_000) if quick else (10_000, 100_000, 1_000_000)
    tables = {size: made_up(size) for size in (small, large)}
    events = {size: made["transitions"].num_rows for size, made in tables.items()}
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept)
        for size in (small, large):
            (folder / str(size)).mkdir()
            on_sqlite(tables[size], folder / f"{size}.db")
        few, many = (on_duckdb(tables[size], folder / str(size)) for size in (small, large))
        yield from _ten_times("DuckDB", few, many, events[large])
        with (
            reading(f"sqlite:///{folder / f'{small}.db'}") as one,
            reading(f"sqlite:///{folder / f'{large}.db'}") as ten,
        ):
            scopes = [Scope.of(engine, 1, now=NOW, cadences=Cadences()) for engine in (one, ten)]
            yield from _ten_times("SQLite", *scopes, events[large])
        # Larger counts are wider integers, up to four bytes; nothing else may grow.
        pictures = [
            len(states_over_time(progress(s), states_now(s), s.subject).figure().to_json()) for s in (few, many)
        ]
        yield Line(name="picture", measured="bytes of states over time", against="a tenth of the events", unit="B",
                   ours=pictures[1], limit=pictures[0], ratio=pictures[1] / pictures[0], most=1.25)  # fmt: skip
        del tables, few, many
        (folder / "whole").mkdir()
        all_tables = made_up(whole)
        yield from _whole("DuckDB over Parquet", on_duckdb(all_tables, folder / "whole"), whole, wall_of)
        del all_tables["transitions"]  # figures of now read none, and most of the time would go into writing them
        on_sqlite(all_tables, folder / "whole.db")
        del all_tables
        with reading(f"sqlite:///{folder / 'whole.db'}") as backend:
            scope = Scope.of(backend, 1, now=NOW, cadences=Cadences())
            yield from _whole("SQLite alone", scope, whole, cpu_of)
        yield _survival(whole)


def _ten_times(engine: str, few: Scope, many: Scope, events: int) -> Iterator[Line]:
    for name, figure in FIGURES.items():
        figure(few), figure(many)
        found = compared(3, lambda f=figure: cpu_of(lambda: f(many)), lambda f=figure: cpu_of(lambda: f(few)))
        yield Line(name=name, measured=f"{engine}, {events:,} transitions", against="a tenth of them", unit="s",
                   ours=found.ours, limit=found.limit, ratio=found.ratio, most=12)  # fmt: skip


def _whole(engine: str, scope: Scope, devices: int, time_of: Callable[[Callable[[], object]], float]) -> Iterator[Line]:
    by = "wall" if time_of is wall_of else "CPU"
    for name, figure in FIGURES.items():
        ours = min(time_of(lambda figure=figure: figure(scope)) for _ in range(3))
        yield Line(name=name, measured=f"{engine}, {devices:,} devices, {by}", unit="s", ours=ours, most=1)


def _survival(devices: int) -> Line:
    hours = np.random.default_rng(1).integers(0, 168, devices)
    ended = np.random.default_rng(2).random(devices) < 0.85
    engine = ibis.duckdb.connect()
    engine.con.register("arrow_hours", pa.table({"hour": hours, "ended": ended}))
    engine.raw_sql("CREATE TABLE hours AS SELECT * FROM arrow_hours")
    counted = engine.table("hours").group_by("hour", "ended").agg(devices=ibis._.count())

    def ours() -> None:
        counts = counted.to_pandas().pivot(index="hour", columns="ended", values="devices").to_numpy()
        kaplan_meier(counts[:, 1], counts[:, 0])

    def limit() -> None:
        np.bincount(hours[ended], minlength=168), np.bincount(hours[~ended], minlength=168)

    found = compared(9, lambda: cpu_of(ours), lambda: cpu_of(limit))
    return Line(name="survival", measured=f"curve and band of {devices:,} devices", against="numpy's bincount",
                unit="s", ours=found.ours, limit=found.limit, ratio=found.ratio, most=3)  # fmt: skip
