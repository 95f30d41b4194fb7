"""Who could go by declaration, who not and why, and how long commands do for them: the whole fleet, in few rows."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

import pandas as pd

from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.readiness import REMEDIES, Commands, Known, Ready, commands_of, ready_of
from osupdate_kit.views.status import count, iso, moment
from osupdate_kit.views.tables import Table
from osupdate_kit.views.text import devices

if TYPE_CHECKING:
    from osupdate_kit.kit import Kit

COLUMNS = ("server", "platform", "os", "declaration", "commands", "devices")


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """As of `at`, microseconds UTC. frame: devices by COLUMNS; `os` is the major version (0: not known),
    `declaration` one of `Ready`, `commands` one of `Commands`.
    """

    at: int
    frame: pd.DataFrame = field(repr=False)
    kit: "Kit" = field(repr=False)

    @property
    def total(self) -> int:
        return int(self.frame["devices"].sum())

    def count(self, *ready: Ready) -> int:
        return int(self.frame.loc[self.frame["declaration"].isin(ready), "devices"].sum())

    @property
    def able(self) -> int:
        return self.count(*(one for one in Ready if one.able))

    @property
    def stranded(self) -> int:
        """Without commands, and not able: nothing of ours updates them."""
        gone = self.frame["commands"] == Commands.GONE
        unable = ~self.frame["declaration"].isin([one for one in Ready if one.able])
        return int(self.frame.loc[gone & unable, "devices"].sum())

    @property
    def finding(self) -> str:
        """In a few sentences; computed, so that it cannot be false."""
        if not self.total:
            return "The store knows no device yet."
        said = [f"{count(self.able)} of {devices(self.total)} could go by declaration."]
        by_command = self.frame.groupby("commands")["devices"].sum()
        for commands, words in _COMMANDS.items():
            if number := int(by_command.get(commands, 0)):
                said.append(
                    f"{devices(number)} {words.format(s='s' * (number == 1), is_='is' if number == 1 else 'are')}."
                )
        if self.stranded:
            said.append(
                f"Nothing of ours updates {count(self.stranded)} of them: they have no commands and cannot declare."
            )
        return " ".join(said)

    def reasons(self) -> Iterator[tuple[str, int, str]]:
        """How it stands, how many, and what to do; in the order of `Ready`, which adds up to all."""
        for one in Ready:
            if number := self.count(one):
                yield one.value, number, REMEDIES[one]

    def devices(self, *ready: Ready | str) -> pd.DataFrame:
        """One row per device that stands so (none named: all): `server`, `enrollment_id`, `serial`, `name`, `site`,
        `platform`, `os_version`, `declaration`, `commands`.
        """
        from osupdate_kit.analysis.readiness import known_devices
        from osupdate_kit.stores.reader import reading

        with reading(self.kit.ledger.url) as backend:
            found = _judged(known_devices(backend, self.kit.declarations))
        if ready:
            found = found[found["declaration"].isin(list(ready))]
        who = ["server", "enrollment_id", "serial", "name", "site", "platform", "os_version", "declaration", "commands"]
        return found[who].reset_index(drop=True)

    def to_dict(self) -> dict[str, object]:
        """JSON values, in the order in which people read them."""
        return {
            "finding": self.finding,
            "at": iso(self.at),
            "devices": self.total,
            "able": self.able,
            "stranded": self.stranded,
            "standing": [
                {"declaration": words, "devices": number, "remedy": remedy} for words, number, remedy in self.reasons()
            ],
            "parts": self.frame.to_dict("records"),
        }

    def _repr_html_(self) -> str:
        standing = pd.DataFrame(self.reasons(), columns=["standing", "devices", "what to do"])
        parts_of = self.frame.assign(os=[str(major or "") for major in self.frame["os"]])  # 0: not known
        parts = "".join(f"<p>{words}</p>{Table(frame)._repr_html_()}" for words, frame in (
            ("How they stand", standing), ("By server, platform and OS", parts_of)))  # fmt: skip
        return f"<p><b>{escape(self.finding)}</b><br>as of {moment(self.at)}</p>{parts}"


_COMMANDS = {
    Commands.GONE: "{is_} on OS 27 or later, where the commands are gone",
    Commands.DEPRECATED: "{is_} on OS 26, where the commands are deprecated: they end with the move to 27",
    Commands.WORK: "still take{s} commands, until the move to OS 27",
}


def readiness(kit: "Kit") -> Readiness:
    """Read from the store at once, whatever the number of devices; nothing is kept of it."""
    from osupdate_kit.analysis.readiness import known
    from osupdate_kit.stores.reader import reading

    with reading(kit.ledger.url) as backend:
        rows = _judged(known(backend, kit.declarations))
    rows["os"] = rows["os_version"].map(_major)
    frame = rows.groupby(list(COLUMNS[:-1]), as_index=False)["devices"].sum()
    frame = frame.sort_values(["server", "platform", "os", "devices"], ascending=[True, True, False, False])
    return Readiness(at=kit.clock.now(), frame=frame.reset_index(drop=True), kit=kit)


def _judged(rows: pd.DataFrame) -> pd.DataFrame:
    """With `declaration` and `commands`; each kind of device is judged once."""
    supervised = rows["supervised"].astype("object")
    rows = rows.assign(
        supervised=supervised.where(supervised.notna(), None).map(lambda one: None if one is None else bool(one))
    )
    known = [Known(*row) for row in rows[list(Known._fields)].itertuples(index=False, name=None)]
    verdicts = {one: (ready_of(one).value, commands_of(one).value) for one in set(known)}
    told = pd.DataFrame([verdicts[one] for one in known], columns=["declaration", "commands"], index=rows.index)
    return rows.join(told)


def _major(text: str) -> int:
    return OSVersion.parse(text).major if text else 0
