"""Widgets of the flow: build a plan, confirm it, watch its rollout. Each declares the small door that it needs."""

from osupdate_kit.views.widgets.confirm import Confirm, Issuer
from osupdate_kit.views.widgets.drafts import Draft
from osupdate_kit.views.widgets.monitor import MonitorSource, RolloutMonitor
from osupdate_kit.views.widgets.plan_builder import PlanBuilder, Previewer
from osupdate_kit.views.widgets.story import Told
from osupdate_kit.views.widgets.watch import ActLine, DeviceLine, HaltLine, Head, Subset, Watched, WaveLine, watched

__all__ = [
    "ActLine", "Confirm", "DeviceLine", "Draft", "HaltLine", "Head", "Issuer", "MonitorSource", "PlanBuilder",
    "Previewer", "RolloutMonitor", "Subset", "Told", "Watched", "WaveLine", "watched",
]  # fmt: skip
