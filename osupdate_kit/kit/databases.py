"""Servers' own databases, from settings to what the service and `devices sync` do with them."""

from collections.abc import Callable, Mapping

from osupdate_kit.feeds.inventory import InventoryRow
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.ports import Clock
from osupdate_kit.servers.database import Enrolled, ServerDatabase
from osupdate_kit.service.recovery import Recovery
from osupdate_kit.settings import ServerSettings
from osupdate_kit.stores.ledger import Ledger


def recoveries(ledger: Ledger, clock: Clock, servers: Mapping[str, ServerSettings]) -> dict[str, Callable[[], object]]:
    """A turn for each server whose database the settings name. Raises SettingsError where one cannot be used."""
    return {
        f"database {name}": Recovery(
            ledger, clock, ServerDatabase(settings.database_url(), name), settings.database_seconds
        ).turn
        for name, settings in servers.items()
        if settings.has_database
    }


def inventory_row(enrolled: Enrolled, clock: Clock) -> InventoryRow:
    """What a server's database tells of one device, as a list would."""
    told = enrolled.told
    return InventoryRow(
        udid=told.get("UDID") or (enrolled.enrollment_id if enrolled.type == "Device" else ""),
        enrollment_id=enrolled.enrollment_id,
        serial=enrolled.serial,
        name=" ".join(told.get("DeviceName", "").split()),
        model=told.get("ProductName", ""),
        os_version=OSVersion.parse_or_none(told.get("OSVersion", "")),
        build_version=told.get("BuildVersion", ""),
        enrollment_type=enrolled.type,
        last_seen_at=clock.from_server(enrolled.last_seen_at) if enrolled.last_seen_at else 0,
    )
