"""The grid over the fleet, and the values that say what it shows."""

from osupdate_kit.views.grid.filters import (
    ChoiceFilter,
    Filters,
    FlagFilter,
    MomentFilter,
    NumberFilter,
    Order,
    TextFilter,
    VersionFilter,
)
from osupdate_kit.views.grid.memory import forget
from osupdate_kit.views.grid.states import RowState
from osupdate_kit.views.grid.widget import DeviceGrid, Matched

__all__ = [
    "ChoiceFilter",
    "DeviceGrid",
    "Filters",
    "FlagFilter",
    "Matched",
    "MomentFilter",
    "NumberFilter",
    "Order",
    "RowState",
    "TextFilter",
    "VersionFilter",
    "forget",
]
