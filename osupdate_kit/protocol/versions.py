"""OS versions: parsed once, ordered numerically (26.10 is newer than 26.9, 14 equals 14.0)."""

import re
from dataclasses import dataclass
from functools import lru_cache, total_ordering

from osupdate_kit.errors import ProtocolError

_FORM = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,2}", re.ASCII)


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class OSVersion:
    """One to three numbers; `text` is kept as it was written, for people and for the wire."""

    numbers: tuple[int, int, int]
    text: str

    @classmethod
    def parse(cls, text: str) -> "OSVersion":
        """Read "18.7.2"; blanks, line ends, builds and suffixes are refused with a ProtocolError (rule R13)."""
        return _parse(text) if isinstance(text, str) else _refuse(text)

    @classmethod
    def parse_or_none(cls, text: str) -> "OSVersion | None":
        """The same of a stranger's text, where one that is no version says nothing."""
        try:
            return cls.parse(text)
        except ProtocolError:
            return None

    @property
    def major(self) -> int:
        return self.numbers[0]

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return self.numbers == other.numbers if isinstance(other, OSVersion) else NotImplemented

    def __lt__(self, other: "OSVersion") -> bool:
        return self.numbers < other.numbers if isinstance(other, OSVersion) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.numbers)


@lru_cache(maxsize=4096)
def _parse(text: str) -> OSVersion:
    if not _FORM.fullmatch(text):
        _refuse(text)
    parts = [int(part) for part in text.split(".")]
    first, second, third = [*parts, 0, 0][:3]
    return OSVersion((first, second, third), text)


def _refuse(text: object) -> "OSVersion":
    raise ProtocolError(
        f"{str(text)[:40]!r} is no OS version.", remedy="Write one to three numbers joined by dots, such as 18.7.2."
    )
