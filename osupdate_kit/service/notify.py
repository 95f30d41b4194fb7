"""Notices to people by Apprise, an extra: e-mail, chat, pagers, by one address each.

Knows that an address is a secret: it stands in no name, error or log line, and Apprise, which names addresses in its
own, may log nothing. Leaves what is told, and when, to `service.alerts`.
"""

import logging
from collections.abc import Iterable, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from osupdate_kit.errors import SettingsError
from osupdate_kit.rollout.alerts import Notice

TIMEOUT_SECONDS = 30.0


class AppriseNotifier:
    """Fulfils `Notifier`. where: the setting that leads to the addresses, for errors."""

    def __init__(self, urls: Iterable[str], where: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        """Raises SettingsError where the extra is not installed, or an address is none that Apprise knows."""
        self._apprise, self._timeout_seconds = _apprise(where), timeout_seconds
        asset = self._apprise.AppriseAsset(
            app_id="osupdate-kit", app_desc="osupdate-kit", app_url="", image_url_mask="", image_url_logo="",
            plugin_paths=[],
        )  # fmt: skip
        self._services: dict[str, Any] = {}
        for number, url in enumerate(urls, 1):
            service = self._apprise.Apprise.instantiate(url, asset=asset)
            if service is None:
                raise SettingsError(
                    f"{where}: address {number} is none that Apprise knows.",
                    remedy="Correct it, one address to a line, such as mailtos://user:password@example.org.",
                )
            self._services[f"address {number} ({service.service_name})"] = service
        if not self._services:
            raise SettingsError(f"{where}: there is no address.", remedy="Write one Apprise URL to a line.")

    def __repr__(self) -> str:
        return f"AppriseNotifier({', '.join(self._services)})"

    def addresses(self) -> Sequence[str]:
        return list(self._services)

    def send(self, address: str, notice: Notice) -> bool:
        """Did it take it, in time? Never raises."""
        one = self._apprise.Apprise()
        one.add(self._services[address])
        try:
            return bool(
                one.notify(
                    title=notice.title,
                    body=notice.body,
                    body_format=self._apprise.NotifyFormat.TEXT,
                    interpret_escapes=False,
                    timeout=self._timeout_seconds,
                )
            )
        except Exception:  # of a plugin; its words could hold the address
            return False


def _apprise(where: str) -> ModuleType:
    try:
        found = import_module("apprise")  # an extra: only who uses it needs it
    except ImportError:
        raise SettingsError(
            f"{where}: the apprise package is not installed.", remedy="Install osupdate-kit[notify]."
        ) from None
    logging.getLogger("apprise").disabled = True
    logging.getLogger("urllib3").setLevel(logging.INFO)  # below it, it logs paths, in which tokens stand
    return found
