"""Scripts and styles of the widgets, with the visual language before them: one source for browser and kernel."""

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from osupdate_kit.views.css import themed
from osupdate_kit.views.status import GROUPS
from osupdate_kit.views.tokens import tokens


@cache
def script(name: str) -> str:
    """The module of one widget: the words and shapes of states, what all widgets share, and its own part."""
    words = tokens()
    look = {
        "order": words["stack_order"],
        "states": {state: {"label": part["label"], "group": part["group"]} for state, part in words["states"].items()},
        "groups": {group: {"label": words["groups"][group]["label"], "word": GROUPS[group][0]} for group in GROUPS},
    }
    return f"const LOOK = {json.dumps(look)};\n{_text('shared.js')}\n{_text(f'{name}.js')}"


@cache
def stylesheet(name: str) -> str:
    """The rules of one widget."""
    return themed(".osk") + "\n".join(_classes()) + _text("shared.css") + _text(f"{name}.css")


_HATCHES = {
    "/": "repeating-linear-gradient(135deg, {ink} 0 1.6px, transparent 1.6px 5.6px)",
    "\\": "repeating-linear-gradient(45deg, {ink} 0 1.6px, transparent 1.6px 5.6px)",
    "-": "repeating-linear-gradient(0deg, {ink} 0 1.6px, transparent 1.6px 6px)",
    "x": "repeating-linear-gradient(45deg, {ink} 0 1.2px, transparent 1.2px 6px),"
    " repeating-linear-gradient(135deg, {ink} 0 1.2px, transparent 1.2px 6px)",
    ".": "radial-gradient({ink} 1.1px, transparent 1.5px) 0 0 / 5px 5px",
}


def _classes() -> Iterator[str]:
    """`g-…` sets the ink and tint of a group, `s-…` the ground of a state."""
    for group in GROUPS:
        yield f".osk .g-{group} {{ --g: var(--ink-{group}); --t: var(--tint-{group}); }}"
    for state, part in tokens()["states"].items():
        hatch = _HATCHES.get(part["pattern"], "").format(ink=f"var(--hatch-{state})")
        ground = f"{hatch}, var(--fill-{state})" if hatch else f"var(--fill-{state})"
        yield f".osk .s-{state} {{ background: {ground}; }}"


def _text(name: str) -> str:
    return files("osupdate_kit.views.widgets").joinpath(name).read_text("utf-8")
