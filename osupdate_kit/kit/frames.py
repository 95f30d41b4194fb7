"""DataFrames in and out: the inventory as a frame, and an operator's frame as rows of a list."""

import json
from collections.abc import Iterator, Sequence

import pandas as pd

from osupdate_kit.analysis.scope import typed
from osupdate_kit.fleet.inventory import COLUMNS
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


def rows_of(frame: pd.DataFrame) -> Iterator[tuple[int, Sequence[str]]]:
    """Headings and rows as a list has them, numbered from 1; what is missing is empty."""
    yield 1, [str(column) for column in frame.columns]
    texts = frame.astype("string").fillna("")
    yield from enumerate(texts.itertuples(index=False, name=None), 2)
