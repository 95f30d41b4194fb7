"""The tokens as CSS variables: of a page, or of a widget inside JupyterLab, which says by an attribute of its own which
theme is on.
"""

from functools import cache

from osupdate_kit.views.template import Theme
from osupdate_kit.views.tokens import tokens


def themed(selector: str) -> str:
    """Variables of all that `selector` names, of the theme that is on; JupyterLab's font before ours."""
    kinds = tokens()["type"]
    fonts = f"--mono: {kinds['mono']}; --sans: var(--jp-ui-font-family, {kinds['family']});"
    return (
        f"{selector} {{ color-scheme: light; {fonts} {variables('light')} }}\n"
        f'[data-jp-theme-light="false"] {selector} {{ color-scheme: dark; {variables("dark")} }}\n'
    )


@cache
def variables(theme: Theme) -> str:
    """`--ink: …; --ink-lost: …; --tint-lost: …; --fill-failed: …; --hatch-expired: …; …`"""
    look = tokens()["themes"][theme]
    found = [f"--{name.replace('_', '-')}: {colour};" for name, colour in look["surface"].items()]
    for group, colours in look["groups"].items():
        found.append(f"--ink-{group}: {colours['ink']}; --tint-{group}: {colours['tint']};")
    for state, colours in look["states"].items():
        found += [f"--{part}-{state}: {colours[part]};" for part in ("fill", "on", "hatch") if part in colours]
    return " ".join(found)
