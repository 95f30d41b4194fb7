"""The visual language as data: `tokens.json`, read once."""

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def tokens() -> dict[str, Any]:
    """Colours, sizes and words of the visual language."""
    words: dict[str, Any] = json.loads(files("osupdate_kit.views").joinpath("tokens.json").read_text("utf-8"))
    return words
