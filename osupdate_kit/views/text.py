"""Text of devices, and of people, before people's eyes (I12): on one line, cut, without what cannot be seen.

Leaves to each format what would be markup in it, and to data files the whole text.
"""

import re

LONGEST = 200  # characters

# Control characters, and those that turn the direction of the text around them: a name must not look like another.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\ufffe\uffff]+"
)


def visible(text: str) -> str:
    """A blank for what cannot be seen."""
    return text if text.isascii() and text.isprintable() else _UNSEEN.sub(" ", text)


def clean(text: str, longest: int = LONGEST) -> str:
    text = " ".join(visible(text[: 4 * longest]).split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def devices(number: int) -> str:
    return f"{number:,} device" if number == 1 else f"{number:,} devices"
