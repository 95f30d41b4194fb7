"""Frames and a browser's messages for tests of the grid."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from comm.base_comm import BaseComm

from osupdate_kit.views.grid import DeviceGrid

HOSTILE = ("<img src=x onerror=alert(1)>", '=HYPERLINK("http://x")', "abc\u202eTVP-DAPI", "long " * 800)
SITES = ("Lyon", "Rome", "Bern", "Oslo")
NOW = 1_795_507_203_000_000


def fleet(size: int) -> pd.DataFrame:
    """Devices in the columns of the contract and two of an operator's own; the same for each size's beginning."""
    at = np.arange(size)
    return pd.DataFrame(
        {
            "server": "school",
            "enrollment_id": [f"00008030-{number:016X}" for number in range(size)],
            "serial": [f"C02X{number:08d}" for number in range(size)],
            "name": [_name(number) for number in range(size)],
            "platform": np.array(["macOS", "iPadOS"])[at % 2],
            "os_version": np.array(["26.10", "26.9", "25.7", None], dtype=object)[at % 4],
            "supervised": np.array([True, False, None], dtype=object)[at % 3],
            "site": np.array(SITES)[at // 3 % 4],
            "last_seen_at": NOW - at * 1_000_000,
            "free_gb": at % 500 / 10,
            "owner": [f"person {number % 997}" for number in range(size)],
        }
    )


def _name(number: int) -> str:
    """Hostile ones among every hundred; the long one once, for no fleet consists of them."""
    return HOSTILE[number % 100] if number % 100 < 3 or number == 3 else f"LAB-{number:07d}"


class Browser(BaseComm):
    """The other end of a grid's connection: sends what people do, keeps what comes back."""

    def __init__(self, grid: DeviceGrid, *, size: int = 30) -> None:
        self.sent: list[Mapping[str, Any]] = []
        super().__init__()
        self.grid, self.size = grid, size
        grid.comm = self
        self.scroll(0)

    def publish_msg(self, msg_type: str, data: Any = None, *_: Any, **__: Any) -> None:
        self.sent.append(json.loads(json.dumps(data or {})))

    def do(self, act: str, **more: Any) -> None:
        content = {"do": act, **more}
        self.handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})
        assert self.grid.wait()

    def scroll(self, start: int) -> None:
        self.do("page", view="v", start=start, size=self.size, request=len(self.sent) + 1)

    def heard(self, kind: str) -> list[Mapping[str, Any]]:
        """The messages of this kind, oldest first."""
        contents = [message["content"] for message in self.sent if message.get("method") == "custom"]
        return [content for content in contents if content["kind"] == kind]

    @property
    def news(self) -> list[Mapping[str, Any]]:
        """The changed cells that it was told of, oldest first."""
        states = [message["state"] for message in self.sent if message.get("method") == "update"]
        return [state["news"]["views"]["v"] for state in states if "v" in state.get("news", {}).get("views", {})]

    @property
    def page(self) -> Mapping[str, Any]:
        """The newest rows."""
        return self.heard("page")[-1]

    @property
    def status(self) -> Mapping[str, Any]:
        status: Mapping[str, Any] = self.grid.status
        return status

    def column(self, name: str) -> Sequence[Any]:
        """This column's cells on the page."""
        names = [head["name"] for head in self.grid.columns]
        cells: Sequence[Any] = self.page["cells"][names.index(name)]
        return cells

    def toggle(self, at: int) -> None:
        self.do("toggle", at=at, order=self.status["order"])

    def extend(self, start: int, at: int) -> None:
        self.do("range", start=start, at=at, order=self.status["order"])
