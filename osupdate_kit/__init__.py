"""Select Apple devices, issue ScheduleOSUpdate, follow every device to proof, and report.

In a notebook: `kit = osupdate_kit.connect()`, then `kit.devices()`, `kit.select(…)`, `kit.plan(…)`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from osupdate_kit.kit import Kit

__version__ = "0.2.0"


def connect(config: str | None = None) -> "Kit":
    """The kit of the settings: `config`, else OSUPDATE_KIT_CONFIG, else ./osupdate-kit.toml, else the user's own."""
    from osupdate_kit.kit import Kit
    from osupdate_kit.settings import Settings

    return Kit.open(Settings.load(config))
