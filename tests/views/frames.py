"""Frames as `analysis` gives them, of made-up rollouts: for the looks of charts, not for their numbers."""

import numpy as np
import pandas as pd

from osupdate_kit.analysis.scope import Subject
from osupdate_kit.analysis.survival import kaplan_meier

STARTED = 1_795_420_800_000_000  # Mon 23 Nov 2026, 08:00 UTC
HOUR = 3_600_000_000
WAY = ("held", "knocking", "queued", "not_now", "listing", "scheduled", "downloading", "downloaded", "deferred",
       "installing", "verifying", "done")  # fmt: skip
PACE = (30, 6, 3, 4, 2, 3, 6, 8, 30, 3, 3, 0)  # hours spent in each, on average
LOST = {"barred": 0.01, "failed": 0.028, "notified": 0.009, "downloaded_end": 0.008, "unknown": 0.003}


def subject(selected: int = 5_000, *, hours: float = 168, known_later: int = 0, **words: object) -> Subject:
    as_of = STARTED + int(hours * HOUR)
    known: dict[str, object] = {
        "rollout": 7, "plan": "November security", "target": "26.5", "status": "running", "selected": selected,
        "started_at": STARTED, "deadline_at": STARTED + 300 * HOUR, "as_of": as_of, "known_by": as_of + known_later,
    }  # fmt: skip
    return Subject(**(known | words))  # type: ignore[arg-type]


def progress(about: Subject, *, steps: int = 168, seed: int = 26) -> pd.DataFrame:
    """Each device walks the way at its own pace; the lost leave it."""
    random = np.random.default_rng(seed)
    n = about.selected
    stays = random.exponential(PACE, (n, len(PACE)))
    until = np.cumsum(stays, axis=1)  # hours at which each device leaves each state
    end = (about.as_of - about.started_at) / HOUR
    hours = np.linspace(0, end, steps + 1)
    fate = random.choice(["", *LOST], n, p=[1 - sum(LOST.values()), *LOST.values()])
    falls_at = until[:, 6]
    rows = []
    for hour in hours:
        place = np.array(WAY)[np.minimum((until < hour).sum(axis=1), len(WAY) - 1)]
        place = np.where((fate != "") & (hour >= falls_at), fate, place)
        place = np.where(fate == "barred", "barred", place)
        rows.append(pd.Series(place).value_counts())
    table = pd.DataFrame(rows).fillna(0).astype(int)
    table.index = pd.to_datetime(about.started_at + (hours * HOUR).astype("int64"), unit="us", utc=True).rename("at")
    return table.rename_axis("state", axis=1).stack().rename("devices").reset_index()


def shown(frame: pd.DataFrame) -> pd.DataFrame:
    """Of the last instant, with some that time calls silent or stalled."""
    counts = frame[frame["at"] == frame["at"].max()].set_index("state")["devices"].to_dict()
    for state, words in (("downloading", "stalled"), ("knocking", "silent"), ("held", "silent")):
        counts[words] = counts.get(words, 0) + counts.get(state, 0) // 2
        counts[state] = counts.get(state, 0) - counts.get(state, 0) // 2
    found = pd.DataFrame({"state": list(counts), "devices": list(counts.values())})
    return found[found["devices"] > 0].sort_values("devices", ascending=False, ignore_index=True)


def stages(now: pd.DataFrame) -> pd.DataFrame:
    of = {"barred": "selected", "held": "eligible", "knocking": "eligible", "silent": "eligible",
          "queued": "command sent", "not_now": "command sent", "listing": "eligible", "downloaded": "downloaded",
          "downloaded_end": "downloaded", "installing": "downloaded", "deferred": "downloaded",
          "done": "done"}  # fmt: skip
    order = ["selected", "eligible", "command sent", "accepted", "downloaded", "done"]
    stage = pd.Categorical([of.get(state, "accepted") for state in now["state"]], order, ordered=True)
    return now.assign(stage=stage)[["stage", "state", "devices"]].sort_values("stage", kind="stable")


def versions(frame: pd.DataFrame, about: Subject) -> pd.DataFrame:
    done = frame[frame["state"] == "done"].set_index("at")["devices"]
    rest, parts = about.selected - done, {"26.4.1": 0.55, "26.4": 0.3, "25.6": 0.08, "18.7.2": 0.02, "": 0.02}
    table = pd.DataFrame({version: (rest * part).astype(int) for version, part in parts.items()})
    table["26.5"] = done
    table["27.0"] = about.selected - table.sum(axis=1)
    return table.rename_axis("os_version", axis=1).stack().rename("devices").reset_index()


def put_off(*counted: tuple[int, int, int], presumed: int = 0) -> pd.DataFrame:
    """counted: (used, remaining, devices)"""
    rows = [("counted", used, remaining, devices) for used, remaining, devices in counted]
    rows += [("presumed", None, None, presumed)] if presumed else []  # type: ignore[list-item]
    frame = pd.DataFrame(rows, columns=["kind", "used", "remaining", "devices"])
    return frame.astype({"used": "Int64", "remaining": "Int64", "devices": "int64"})


def nights(total: int = 572, undated: int = 11, seed: int = 4) -> pd.DataFrame:
    hours = [*range(20, 24), *range(5)]
    shape = np.outer((1.4, 1.05, 0.62, 0.35, 0.08), (6, 14, 22, 17, 9, 6, 4, 2, 1)).ravel()
    counts = np.random.default_rng(seed).multinomial(total - undated, shape / shape.sum())
    cells = [(night, hour) for night in pd.date_range("2026-11-24", periods=5, unit="us") for hour in hours]
    frame = pd.DataFrame(cells, columns=["night", "hour"]).assign(devices=counts)
    frame = pd.concat([frame[frame["devices"] > 0], pd.DataFrame({"night": [pd.NaT], "devices": [undated]})])
    return frame.astype({"hour": "Int64", "devices": "int64"})


def causes(*rows: tuple[str, str, int]) -> pd.DataFrame:
    """rows: (failure, text, devices)"""
    frame = pd.DataFrame(list(rows), columns=["failure", "text", "devices"])
    return frame.assign(together=frame["devices"].cumsum() / max(frame["devices"].sum(), 1))


def curves(seed: int = 26, hours: int = 168, **sizes: int) -> pd.DataFrame:
    random, parts = np.random.default_rng(seed), []
    for group, size in sizes.items():
        done_at = np.ceil(random.weibull(1.3, size) * 55).astype(int)
        done = np.bincount(done_at[done_at <= hours], minlength=hours + 1)
        censored = np.zeros_like(done)
        censored[-1] = size - done.sum()
        at_risk, share, low, high = kaplan_meier(done, censored)
        parts.append(
            pd.DataFrame({"group": group, "hours": range(hours + 1), "at_risk": at_risk, "done": done, "share": share,
                          "low": low, "high": high})
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def strips(*walks: tuple[str, str]) -> pd.DataFrame:
    """walks: (name, states parted by blanks), a day in each."""
    day, rows = 24 * HOUR, []
    for number, (name, states) in enumerate(walks):
        for place, state in enumerate(states.split()):
            since = STARTED + place * day
            until = STARTED + 7 * day if place == len(states.split()) - 1 else since + day
            rows.append(("mdm", f"id-{number}", f"S{number:04}", name, "all", state, since, until))
    columns = ["server", "enrollment_id", "serial", "name", "wave", "state", "since", "until"]
    frame = pd.DataFrame(rows, columns=columns)
    for column in ("since", "until"):
        frame[column] = pd.to_datetime(frame[column], unit="us", utc=True)
    return frame
