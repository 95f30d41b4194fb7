"""What a re-run of a cell gives back: filters and selected devices, by the grid's name, while the kernel lives.

The newest grid of a name is kept; its successor takes over what it knows. Nothing that could send a command is
remembered here, an armed confirmation least of all.
"""

import threading
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from osupdate_kit.views.grid.filters import Filters


@dataclass(frozen=True, slots=True)
class Remembered:
    """`keys`: `server` and `enrollment_id` of the selected devices."""

    filters: Filters
    keys: pd.DataFrame


class Rememberer(Protocol):
    def remembered(self) -> Remembered: ...

    def close(self) -> None: ...


_NEWEST: dict[str, Rememberer] = {}
_LOCK = threading.Lock()


def succeed(name: str, heir: Rememberer) -> Remembered | None:
    """Make `heir` the grid of this name; what its predecessor knew, which is closed: it holds a whole fleet."""
    with _LOCK:
        former = _NEWEST.get(name)
        _NEWEST[name] = heir
    if former is None:
        return None
    former.close()
    return former.remembered()


def forget(name: str) -> None:
    """Let the next grid of this name start afresh."""
    with _LOCK:
        _NEWEST.pop(name, None)
