"""DataFrames in and out: the inventory as a frame, and an operator's frame as rows of a list."""

import json
from collections.abc import Iterator, Sequence

import pandas as pd

from osupdate_kit.analysis.scope import typed
from osupdate_kit.fleet.inventory import COLUMNS
from osupdate_kit.rollout.releases import Catalogue
from osupdate_kit.stores.reader import reading


def inventory_frame(store_url: str) -> pd.DataFrame:
    """One row per device, by server and enrollment ID: the columns of `fleet.inventory`, `last_seen_at` (UTC, NaT =
    never), then the operator's own columns.
    """
    with reading(store_url) as backend:
        devices = typed(backend, "devices")
        frame = devices.select(*COLUMNS, "last_seen_at", "attributes").order_by("server", "enrollment_id").to_pandas()
    seen = frame.pop("last_seen_at")
    frame["last_seen_at"] = pd.to_datetime(seen.where(seen > 0), unit="us", utc=True)
    own = frame.pop("attributes")
    if (own != "{}").any():
        frame = frame.join(pd.DataFrame([json.loads(text) for text in own], index=frame.index), rsuffix=" (list)")
    return frame


def releases_frame(catalogue: Catalogue) -> pd.DataFrame:
    """One row per release, the newest of each platform first; times UTC, NaT = not known.

    `models`, `cves`, `exploited`: how many. `expires_at`: when Apple ends it as far as was known, `offered`: whether it
    was offered on the catalogue's day, which `attrs` holds beside its hash and its source. `advisory_of_others`: the
    feeds name the same address for another platform, so the CVEs may be the other's.
    """
    rows = [
        {
            "platform": one.platform.value,
            "version": f"{one.version} {one.extra}".strip(),
            "builds": " ".join(one.builds),
            "released_at": one.released_at,
            "expires_at": one.expires_at,
            "offered": bool(one.offers),
            "models": len(one.models),
            "cves": len(one.cves),
            "exploited": len(one.exploited),
            "advisory": one.advisory,
            "advisory_of_others": one.advisory in catalogue.doubtful_advisories,
            "sources": ", ".join(one.sources),
        }
        for one in sorted(catalogue.releases, key=lambda one: (one.platform, one.version, one.extra), reverse=True)
    ]
    frame = pd.DataFrame(rows)
    for column in ("released_at", "expires_at"):
        frame[column] = pd.to_datetime(frame[column].where(frame[column] > 0), unit="us", utc=True)
    as_of = pd.Timestamp(catalogue.as_of, unit="us", tz="UTC")
    frame.attrs = {"as_of": as_of, "sha256": catalogue.sha256, "source": catalogue.source}
    return frame


def rows_of(frame: pd.DataFrame) -> Iterator[tuple[int, Sequence[str]]]:
    """Headings and rows as a list has them, numbered from 1; what is missing is empty."""
    yield 1, [str(column) for column in frame.columns]
    texts = frame.astype("string").fillna("")
    yield from enumerate(texts.itertuples(index=False, name=None), 2)
