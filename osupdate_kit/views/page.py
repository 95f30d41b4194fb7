"""A small, self-contained HTML page of a rollout's figures: no script, no network, both themes, prints well."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from osupdate_kit.views.status import GROUPS, RolloutStatusView, count


@cache
def tokens() -> dict[str, Any]:
    """Colours, sizes and words of the visual language."""
    words: dict[str, Any] = json.loads(files("osupdate_kit.views").joinpath("tokens.json").read_text("utf-8"))
    return words


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("osupdate_kit.views", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = count
    return environment


def page(status: RolloutStatusView, *, note: str = "") -> str:
    """The page. Names that devices gave themselves are text in it, never markup (I12)."""
    template = _environment().get_template("rollout.html")
    states = tokens()["states"]
    bars = [
        (state, group, states[state]["label"], status.states[state])
        for group, (_, members) in GROUPS.items()
        for state in members
        if status.states.get(state)
    ]
    return template.render(
        status=status, bars=bars, widest=max((b[3] for b in bars), default=1), tokens=tokens(), note=note
    )
