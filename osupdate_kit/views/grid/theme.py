"""The tokens of the visual language as CSS variables, light and dark, for widgets inside JupyterLab."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from osupdate_kit.views.tokens import tokens


@cache
def stylesheet() -> str:
    """The grid's rules behind the variables they use. JupyterLab says by an attribute of its own which theme is on."""
    themes, font = tokens()["themes"], tokens()["type"]
    families = f"--sans: {font['family']}; --mono: {font['mono']};"
    light, dark = ("".join(_variables(themes[name])) for name in ("light", "dark"))
    return (
        f".osk-grid {{ color-scheme: light; {families}{light} }}\n"
        f'[data-jp-theme-light="false"] .osk-grid {{ color-scheme: dark; {dark} }}\n'
        + files("osupdate_kit.views.grid").joinpath("grid.css").read_text("utf-8")
    )


@cache
def script() -> str:
    return files("osupdate_kit.views.grid").joinpath("grid.js").read_text("utf-8")


@cache
def state_words() -> dict[str, tuple[str, str]]:
    """Label and group of each state, for the browser."""
    return {state: (word["label"], word["group"]) for state, word in tokens()["states"].items()}


def _variables(theme: Mapping[str, Any]) -> Iterator[str]:
    for name, colour in theme["surface"].items():
        yield f"--{name.replace('_', '-')}: {colour}; "
    for group, colours in theme["groups"].items():
        yield f"--ink-{group}: {colours['ink']}; --tint-{group}: {colours['tint']}; "
