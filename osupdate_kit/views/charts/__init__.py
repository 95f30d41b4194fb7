"""Charts: from a DataFrame of `analysis` to a `Chart`, whose title states what the numbers say."""

from osupdate_kit.views.charts.chart import Chart
from osupdate_kit.views.charts.deferrals import deferrals, next_installs
from osupdate_kit.views.charts.failures import failures, failures_by
from osupdate_kit.views.charts.funnel import funnel
from osupdate_kit.views.charts.instruments import deadlines, reached_by_instrument, states_by_instrument
from osupdate_kit.views.charts.states import device_strips, done_over_time, states_over_time
from osupdate_kit.views.charts.survival import time_to_update
from osupdate_kit.views.charts.versions import adoption

__all__ = [
    "Chart", "adoption", "deadlines", "deferrals", "device_strips", "done_over_time", "failures", "failures_by",
    "funnel", "next_installs", "reached_by_instrument", "states_by_instrument", "states_over_time", "time_to_update",
]  # fmt: skip
