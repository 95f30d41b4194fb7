"""The look of `tokens.json` as plotly takes it: templates of both themes, fills and hatches, and a fix for print."""

import re
from collections.abc import Sequence
from typing import Any, Literal

import plotly.graph_objects as go
import plotly.io as pio

from osupdate_kit.views.tokens import tokens

Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")


def template(theme: Theme) -> go.layout.Template:
    """Type, axes, hover and colours of a theme, for any plotly figure."""
    look, sizes = tokens()["themes"][theme], tokens()["type"]["size"]
    surface, family = look["surface"], tokens()["type"]["family"]
    small = {"size": sizes["caption"], "color": surface["ink2"]}
    axis = {
        "showgrid": False,
        "zeroline": False,
        "linecolor": surface["rule"],
        "tickcolor": surface["rule"],
        "ticks": "outside",
        "ticklen": 4,
        "tickfont": small,
        "title": {"font": small, "standoff": 8},
    }
    return go.layout.Template(
        layout={
            "font": {"family": family, "size": sizes["small"], "color": surface["ink"]},
            "title": {
                "x": 0,
                "xanchor": "left",
                "xref": "container",
                "y": 1,
                "yanchor": "top",
                "yref": "container",
                "pad": {"l": 16, "t": 24},
                "font": {"size": sizes["lead"], "color": surface["ink"]},
            },
            "paper_bgcolor": surface["surface"],
            "plot_bgcolor": surface["surface"],
            "colorway": look["series"],
            "colorscale": {"sequential": ramp(look["sequential"])},
            "xaxis": axis,
            "yaxis": axis
            | {
                "showgrid": True,
                "gridcolor": surface["grid"],
                "showline": False,
                "ticks": "",
                "ticklabelstandoff": 4,
            },
            "showlegend": False,
            "separators": ".,",
            "hovermode": "closest",
            "hoverlabel": {
                "bgcolor": surface["raised"],
                "bordercolor": surface["rule"],
                "font": {"family": family, "size": sizes["small"], "color": surface["ink"]},
                "align": "left",
                "namelength": -1,
            },
            "bargap": 0.35,
            "annotationdefaults": {"showarrow": False, "font": small},
            "modebar": {
                "color": surface["ink3"],
                "activecolor": surface["ink"],
                "bgcolor": "rgba(0,0,0,0)",
            },
        }
    )


def register() -> None:
    """Make the templates known to plotly as "osupdate-light" and "osupdate-dark"."""
    for theme in THEMES:
        pio.templates[f"osupdate-{theme}"] = template(theme)


def ramp(colours: Sequence[str]) -> list[list[float | str]]:
    """Evenly spaced stops of a colour scale."""
    return [[place / (len(colours) - 1), colour] for place, colour in enumerate(colours)]


def hatch(state: str, theme: Theme) -> dict[str, Any]:
    """The pattern of a state: half-way between its fill and the surface, so that the fill keeps its lightness."""
    colours = tokens()["themes"][theme]["states"][state]
    if "hatch" not in colours:
        return {"shape": ""}
    shape = tokens()["states"][state]["pattern"]
    dots = shape == "."
    return {
        "shape": shape,
        "fgcolor": colours["hatch"],
        "bgcolor": colours["fill"],
        "size": 6 if dots else 7,
        "solidity": 0.3 if dots else 0.26,
        "fillmode": "replace",
    }


def area(state: str, theme: Theme) -> dict[str, Any]:
    """A state as a band of a stack: its fill, its hatch, and a hairline of the surface to its neighbour."""
    look = tokens()["themes"][theme]
    return {
        "name": tokens()["states"][state]["label"],
        "mode": "lines",
        "line": {"width": tokens()["stroke"]["separator"], "color": look["surface"]["surface"]},
        "fillcolor": look["states"][state]["fill"],
        "fillpattern": hatch(state, theme),
    }


def bar(state: str, theme: Theme) -> dict[str, Any]:
    """A state as a bar: with the outline that a pale fill needs where it stands alone."""
    look, group = tokens()["themes"][theme], tokens()["states"][state]["group"]
    return {
        "name": tokens()["states"][state]["label"],
        "marker": {
            "color": look["states"][state]["fill"],
            "line": {"width": 1, "color": look["groups"][group]["ink"]},
            "pattern": hatch(state, theme),
        },
    }


def translucent(colour: str, opacity: float) -> str:
    """`#rrggbb` as plotly's rgba."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def for_print(svg: str) -> str:
    """`svg` with a plain ground beneath every hatched shape: in a PDF the tiles of a hatch show seams without it."""
    grounds = dict(re.findall(r'<pattern id="([^"]+)"[^>]*><rect [^>]*fill="([^"]+)"', svg))

    def grounded(path: re.Match[str]) -> str:
        colour = grounds.get(path["id"])
        return (path[0].replace(path["fill"], colour) if colour else "") + path[0]

    return re.sub(r"""<path [^>]*fill: (?P<fill>url\((?P<q>['"]?)#(?P<id>[^'")]+)(?P=q)\))[^>]*/>""", grounded, svg)
