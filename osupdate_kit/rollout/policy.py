"""How patient the engine is, and which steps a platform takes. Pure values; settings fill them."""

from dataclasses import dataclass
from typing import NamedTuple

from osupdate_kit.protocol.terms import InstallAction

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadences:
    """Waiting times. Each is measured on our own clock, from when we knew to now."""

    query_every_hours: float = 24
    query_timeout_hours: float = 6
    push_again_minutes: float = 30
    progress_query_minutes: float = 30
    doubt_query_minutes: float = 10
    retry_backoff_minutes: float = 60
    silent_after_hours: float = 72
    stalled_after_hours: float = 48
    scan_wait_minutes: float = 10
    place_hours: float = 4  # how long a place of a paced wave is kept for a device that does not show itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The one or two ScheduleOSUpdate steps of a platform, and how often each may be tried.

    Two steps: the first brings the download, the second installs. One step installs, or (NotifyOnly, DownloadOnly) does
    what it can and is an end of its own.
    """

    actions: tuple[InstallAction, ...]
    tries: int = 3

    @property
    def first(self) -> InstallAction | None:
        """The step before the install, if there is one."""
        return self.actions[0] if len(self.actions) == 2 or not self.actions[0].can_install else None

    @property
    def downloads_apart(self) -> bool:
        """Is there a first step, and can it not install? Then it may have a window of its own."""
        return self.first is not None and not self.first.can_install

    @property
    def install(self) -> InstallAction | None:
        return self.actions[-1] if self.actions[-1].can_install else None

    def action(self, role: int) -> InstallAction | None:
        return self.first if role == FIRST else self.install


class Gate(NamedTuple):
    """A window as one device sees it now: since when it is open (0 = shut), and when that changes (0 = never)."""

    open_since: int = 0
    changes_at: int = 0
    shut_since: int = 0  # of a shut one: since when, no earlier than a week ago; 0 = as long as one thinks
    why: str = ""  # why it is shut, for people
    stopped: bool = False  # by a person, a halt or the end, not by the hour: what can be taken back is taken back


FIRST, INSTALL = 1, 2  # the role of a step
