"""Numbers, moments and names as figures write them. Text from devices becomes harmless here (I12)."""

import html
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from osupdate_kit.analysis.scope import Subject
from osupdate_kit.views.status import GROUPS, count, moment
from osupdate_kit.views.text import clean
from osupdate_kit.views.tokens import tokens

FEW = 30  # below this, counts instead of rates
LONGEST = 80  # characters of a text from a device: a figure has less room than a page


def name(text: str, longest: int = LONGEST) -> str:
    """Text of a device for inside a figure, where plotly would read markup. It leaves &quot; as it is."""
    return html.escape(clean(text, longest), quote=False)


def share(part: float, whole: float) -> str:
    """A whole percentage, finer at the ends: something never reads 0 %, nearly all never 100 %."""
    percent = 100 * part / whole if whole else 0.0
    if percent in (0, 100) or 1 <= percent <= 99:
        return f"{percent:.0f}\u202f%"
    if 0.1 <= percent <= 99.9:
        return f"{percent:.1f}\u202f%"
    return "<0.1\u202f%" if percent < 1 else ">99.9\u202f%"


def part_of(part: int, whole: int) -> str:
    """`61 % of 139`; of few, `1 of 26`."""
    return f"{count(part)} of {count(whole)}" if whole < FEW else f"{share(part, whole)} of {count(whole)}"


def are(number: int) -> str:
    return "is" if number == 1 else "are"


def listed(parts: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`"""
    *most, last = list(parts) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def label(state: str) -> str:
    text: str = tokens()["states"][state]["label"]
    return text


def reconciliation(counts: Mapping[str, int]) -> str:
    """`5,000 selected = 3,756 reached + …`; groups with none are left out."""
    sums = ((words, sum(counts.get(state, 0) for state in states)) for words, states in GROUPS.values())
    parts = " + ".join(f"{count(number)} {words}" for words, number in sums if number)
    return f"{count(sum(counts.values()))} selected = {parts or 0}"


def stamp(subject: Subject) -> str:
    """`as of …`, and `known by …` where that differs."""
    text = f"as of {moment(subject.as_of)}"
    if subject.known_by == subject.as_of:
        return text
    when, known = (datetime.fromtimestamp(at / 1e6, UTC) for at in (subject.as_of, subject.known_by))
    later = f"{known:%H:%M:%S}" if when.date() == known.date() else moment(subject.known_by)
    return f"{text} · known by {later}"
