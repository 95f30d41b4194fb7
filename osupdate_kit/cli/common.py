"""What all commands share: the settings, a kit for as long as a command runs, and how values are printed."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from osupdate_kit.kit import Kit
from osupdate_kit.settings import Settings

console = Console()
remarks = Console(stderr=True)


@dataclass
class Common:
    """Read when first asked for, so that `--help` and `demo` need no settings."""

    config: str | None

    @cached_property
    def settings(self) -> Settings:
        return Settings.load(self.config)

    @contextmanager
    def kit(self) -> Iterator[Kit]:
        kit = Kit.open(self.settings)
        try:
            yield kit
        finally:
            kit.close()


def print_json(value: object) -> None:
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False, default=str)
    sys.stdout.write("\n")


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: int = 0) -> None:
    """Print a table; the last `numbers` columns are figures. Cells are text, never markup: devices name themselves."""
    if title:
        console.print(escape(title), style="bold", soft_wrap=True, highlight=False)
    made = Table(box=None, pad_edge=False)
    for index, heading in enumerate(headings):
        figure = index >= len(headings) - numbers
        made.add_column(heading, justify="right" if figure else "left", no_wrap=figure, overflow="fold")
    for row in rows:
        made.add_row(*(escape(_cell(cell)) for cell in row))
    console.print(made)


def say(*sentences: str) -> None:
    for sentence in sentences:
        console.print(escape(sentence), soft_wrap=True, highlight=False)


def remark(sentence: str) -> None:
    """To standard error, so that a program that reads our output does not see it."""
    remarks.print(escape(sentence), soft_wrap=True, highlight=False)


def some(names: Sequence[str], most: int) -> str:
    """The first few, and that there are more."""
    return ", ".join(names[:most]) + (" …" if len(names) > most else "") if names else "none"


def counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{words}: {count:,}" for words, count in counts.items()) or "none"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
