"""Alerts for people who ask: which stand, a notice to try the addresses by, and reports that were not written."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from osupdate_kit.errors import OSUpdateKitError, RolloutError, SettingsError
from osupdate_kit.rollout.alerts import AlertKind, Notice, Notifier, Said, report_failed
from osupdate_kit.servers.transport import Caller
from osupdate_kit.service.alerts import Pulse
from osupdate_kit.service.notify import AppriseNotifier
from osupdate_kit.settings import AlertSettings

if TYPE_CHECKING:
    from osupdate_kit.kit import Kit

_TRIED = Notice("Test", "This is a test by osupdate-kit alerts test. Nothing has happened.")


def notifier(settings: AlertSettings) -> Notifier | None:
    """Whoever carries notices to the addresses of the settings; None where there are none. Raises SettingsError."""
    return AppriseNotifier(settings.urls(), settings.where) if settings.told else None


def pulse(settings: AlertSettings) -> Pulse | None:
    """The dead-man's switch of the settings; None where there is none."""
    file, url = settings.dead_man_path(), settings.dead_man_url
    if not file and not url:
        return None
    return Pulse(settings.dead_man_minutes, file=file, call=Caller(url) if url else None)


def alerts(kit: "Kit", *, over: int = 0) -> list[Said]:
    """Those that stand, the oldest first; then up to `over` that are over, the newest first."""
    with kit.ledger.read() as tx:
        past = [said for said in tx.newest_alerts(over) if said.over_at] if over else []
        return tx.open_alerts() + past


def try_addresses(settings: AlertSettings) -> Mapping[str, bool]:
    """Send a notice to each address: which took it? Raises SettingsError where there is none."""
    sender = notifier(settings)
    if sender is None:
        raise SettingsError(
            f"{settings.where}: nobody is to be told.",
            remedy="Name in urls_file a file of mode 0600 with one Apprise URL to a line.",
        )
    return {address: sender.send(address, _TRIED) for address in sender.addresses()}


@contextmanager
def reporting(kit: "Kit", rollout: int) -> Iterator[None]:
    """Writing a report inside: if it fails, people are told by the service; if not, an older failure is over."""
    try:
        yield
    except RolloutError:
        raise  # there is no such rollout
    except Exception:
        name = next((name for stored, name in kit.rollouts() if stored.id == rollout), "")
        now = kit.clock.now()
        with suppress(OSUpdateKitError), kit.ledger.write() as tx:
            tx.begin_alert(report_failed(rollout, name, now), at=now)
        raise
    with kit.ledger.read() as tx:
        failed = [said for said in tx.open_alerts() if _is_of(said, rollout)]
    if failed:
        with kit.ledger.write() as tx:
            for said in failed:
                tx.end_alert(said, at=kit.clock.now(), told=not kit.watch.told)


def _is_of(said: Said, rollout: int) -> bool:
    return (said.kind, said.subject) == (AlertKind.REPORT, f"rollout {rollout}")
