"""Devices, holds, the census and servers: whom the store knows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)

from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.stores.rows import Hold, StoredDevice, device_of, device_values, stored_device_of, words_of
from osupdate_kit.stores.schema import census, devices, holds, journey, servers
from osupdate_kit.stores.statements import EMPTY, ZERO, Session, Statement, among, at_most, insert_or, last_id

_INVENTORY = tuple(column for column in devices.c if column.name not in ("added_at", "info_at", "newest_at", "facts"))
_STORED = (*_INVENTORY, devices.c.info_at, devices.c.newest_at, devices.c.facts)
_TOLD = frozenset({"platform", "model", "os_version", "build_version", "supervised"})  # by the device itself, if at all
_WITNESSED = frozenset({"enrolled", "awaiting_configuration", "told"})  # by the device: a list knows nothing of them


def _merged(new: Any, column: Column[Any]) -> ColumnElement[Any]:
    """What stays when a list speaks of a known device: never a known value for an empty one."""
    listed = new[column.name]
    if column.name in _WITNESSED:
        return column
    if column.name == "declared":
        return or_(column, listed)
    if column.name == "last_seen_at":
        return case((listed > column, listed), else_=column)
    if column.name == "supervised":
        return case((or_(listed.is_(None), and_(devices.c.info_at > ZERO, column.is_not(None))), column), else_=listed)
    nothing: ColumnElement[Any] = literal_column("'{}'") if column.name == "attributes" else EMPTY
    keep = listed == nothing
    if column.name in _TOLD:
        keep = or_(keep, and_(devices.c.info_at > ZERO, column != nothing))
    return case((keep, column), else_=listed)


def _upsert(new: Any) -> Any:
    changed = {column.name: _merged(new.excluded, column) for column in _INVENTORY[2:]}
    return new.on_conflict_do_update(index_elements=["server", "enrollment_id"], set_=changed)


def _key_is(table: Any) -> ColumnElement[bool]:
    return and_(table.c.server == bindparam("of_server"), table.c.enrollment_id == bindparam("of_enrollment_id"))


_OF = Statement(select(*_STORED).where(devices.c.server == bindparam("server"), among(devices.c.enrollment_id)))
_NAMES = Statement(
    select(devices.c.server, devices.c.enrollment_id, devices.c.name).where(
        devices.c.server == bindparam("server"), among(devices.c.enrollment_id)
    )
)
_TELLS = Statement(
    select(devices.c.server, devices.c.enrollment_id, devices.c.told, devices.c.info_at).where(
        devices.c.server == bindparam("server"), among(devices.c.enrollment_id)
    )
)
_KNOWN = Statement(
    select(devices.c.enrollment_id).where(devices.c.server == bindparam("server"), among(devices.c.enrollment_id))
)
_ADD = Statement(insert_or(devices, _upsert))
_SAVE = Statement(
    update(devices).values({column.name: bindparam(column.name) for column in _STORED[2:]}).where(_key_is(devices))
)
_SAVE_FACTS = Statement(
    update(devices).values({column.name: bindparam(column.name) for column in _STORED[-3:]}).where(_key_is(devices))
)
_SAVE_SEEN = Statement(  # both in one, for most devices that say something have just been seen
    update(devices)
    .values(
        {column.name: bindparam(column.name) for column in _STORED[-3:]}
        | {
            "last_seen_at": case(
                (devices.c.last_seen_at < bindparam("seen_at"), bindparam("new_seen_at")), else_=devices.c.last_seen_at
            )
        }
    )
    .where(_key_is(devices))
)
_SEEN = Statement(
    update(devices)
    .values(last_seen_at=bindparam("new_seen_at"))
    .where(_key_is(devices), devices.c.last_seen_at < bindparam("seen_at"))
)
_KEY = (devices.c.server, devices.c.enrollment_id)
_ALL = Statement(
    at_most(
        select(*_INVENTORY, *(column.label(f"key_{column.name}") for column in _KEY))
        .where(tuple_(*_KEY) > tuple_(*(bindparam(f"after_{c.name}", type_=c.type) for c in _KEY)))
        .order_by(*_KEY)
    )
)
_COUNT = Statement(select(func.count()).select_from(devices))
_BY_SERIAL = Statement(
    select(devices.c.server, devices.c.enrollment_id)
    .where(devices.c.server == bindparam("server"), devices.c.serial == bindparam("serial"))
    .order_by(devices.c.last_seen_at.desc(), devices.c.enrollment_id)
    .limit(literal_column("1"))
    .offset(ZERO)
)

_NEXT_SERVER = Statement(select(func.min(devices.c.server)).where(devices.c.server > bindparam("after")))
_CALLED = Statement(  # in no order: by it SQLite would rather read the whole server in that order
    select(*_KEY).where(devices.c.server == bindparam("server"), devices.c.serial == bindparam("serial"))
)
_ENROLLED_AS = Statement(select(*_KEY).where(devices.c.server == bindparam("server"), _KEY[1] == bindparam("id")))
_BY_UDID = Statement(select(*_KEY).where(devices.c.udid == bindparam("udid")).order_by(*_KEY))

_HOLD_COLUMNS = (
    holds.c.id, holds.c.server, holds.c.enrollment_id, holds.c.at, holds.c.until_at, holds.c.who, holds.c.reason,
)  # fmt: skip
_STANDS = and_(holds.c.released_at == ZERO, or_(holds.c.until_at == ZERO, holds.c.until_at > bindparam("now")))
_LAST_HOLD = last_id(holds.c.id)
_HOLD_ADD = Statement(insert(holds))
_DUE_DECLARED = Statement(  # what is declared to a held device is taken back at once
    update(journey)
    .values(due_at=bindparam("due"))
    .where(
        journey.c.server == bindparam("of_server"), journey.c.enrollment_id == bindparam("of_enrollment_id"),
        journey.c.live, journey.c.enforce_at > ZERO,
    )
)  # fmt: skip
_HOLDS_OF = Statement(
    select(*_HOLD_COLUMNS)
    .where(holds.c.server == bindparam("server"), among(holds.c.enrollment_id), _STANDS)
    .order_by(holds.c.id)
)
_HOLDS_EVER = Statement(
    select(*_HOLD_COLUMNS, holds.c.released_at, holds.c.released_by)
    .where(holds.c.server == bindparam("server"), among(holds.c.enrollment_id))
    .order_by(holds.c.id)
)
_HOLDS_ALL = Statement(select(*_HOLD_COLUMNS).where(_STANDS).order_by(holds.c.id))
_HOLD_RELEASE = Statement(
    update(holds)
    .values(released_at=bindparam("at"), released_by=bindparam("by"))
    .where(holds.c.id == bindparam("hold_id"), holds.c.released_at == ZERO)
)

_CENSUS_ADD = Statement(insert_or(census, lambda new: new.on_conflict_do_nothing()))
_CENSUS_NEXT = Statement(
    at_most(
        select(census.c.server, census.c.enrollment_id).order_by(census.c.at, census.c.server, census.c.enrollment_id)
    )
)
_CENSUS_DONE = Statement(delete(census).where(_key_is(census)))

_SERVER_ADD = Statement(
    insert_or(servers, lambda new: new.on_conflict_do_update(index_elements=["name"], set_={"kind": new.excluded.kind}))
)
_SERVERS = Statement(select(servers.c.name, servers.c.kind).order_by(servers.c.name))


def _hold_of(row: Sequence[Any]) -> Hold:
    number, server, enrollment_id, at, until_at, who, reason, *released = row
    released_at, released_by = released or (0, "")
    return Hold(
        id=number,
        key=DeviceKey(server, enrollment_id),
        at=at,
        until_at=until_at,
        by=who,
        reason=reason,
        released_at=released_at,
        released_by=released_by,
    )


class Fleet(Session):
    """Its part of a transaction."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._as_kept: dict[DeviceKey, Device] = {}

    def devices(self, keys: Iterable[DeviceKey]) -> dict[DeviceKey, StoredDevice]:
        """The known ones among them."""
        found = {stored.device.key: stored for stored in map(stored_device_of, self._of(_OF, keys))}
        self._as_kept.update((key, stored.device) for key, stored in found.items())
        return found

    def add_devices(self, listed: Iterable[Device], *, now: int) -> int:
        """Take devices from a list or from a first check-in; how many were new.

        A known value is never replaced by an empty one, what a device told of itself not by a list's word, and only
        check-ins change `enrolled` and `awaiting_configuration`.
        """
        unique = {device.key: device for device in listed}
        known = sum(1 for _ in self._of(_KNOWN, unique))
        self._each(_ADD, [(*key, *device_values(device), now, 0, 0, "") for key, device in unique.items()])
        return len(unique) - known

    def save_devices(self, rows: Sequence[StoredDevice], seen: Mapping[DeviceKey, int] = MappingProxyType({})) -> None:
        """Replace all of what is known of these devices; they are in the store. seen: see there; for them, or others.

        Of a device that is the very value which this transaction read, only what stands beside it is written.
        """
        whole: list[tuple[Any, ...]] = []
        beside: list[tuple[Any, ...]] = []
        beside_seen: list[tuple[Any, ...]] = []
        later = dict(seen)
        for row in rows:
            key, words = row.device.key, (row.info_at, row.newest_at, row.facts)
            if self._as_kept.get(key) is not row.device:
                whole.append((*device_values(row.device), *words, *key))
                self._as_kept[key] = row.device
            elif at := later.pop(key, 0):
                beside_seen.append((at, at, *words, *key))
            else:
                beside.append((*words, *key))
        self._each(_SAVE, whole)
        self._each(_SAVE_FACTS, beside)
        self._each(_SAVE_SEEN, beside_seen)
        self.seen(later)

    def seen(self, last_seen: Mapping[DeviceKey, int]) -> None:
        """Raise `last_seen_at`; never lower it."""
        self._each(_SEEN, [(at, *key, at) for key, at in last_seen.items()])

    def all_devices(self, *, after: DeviceKey | None = None, limit: int | None = None) -> Iterator[Device]:
        """In key order, however many; memory stays flat."""
        for row in self._pages(_ALL, after=after or ("", ""), limit=limit):
            yield device_of(row[:-2])

    def names(self, keys: Iterable[DeviceKey]) -> dict[DeviceKey, str]:
        """What devices are called: as their users wrote it."""
        return {DeviceKey(server, one): name for server, one, name in self._of(_NAMES, keys)}

    def told(self, keys: Iterable[DeviceKey]) -> dict[DeviceKey, tuple[dict[str, Any], int]]:
        """What the known ones among them have told of themselves, and when by the server's clock; 0 = never."""
        rows = self._of(_TELLS, keys)
        return {DeviceKey(server, one): (words_of(told), info_at) for server, one, told, info_at in rows}

    def count_devices(self) -> int:
        return int(self._value(_COUNT))

    def key_of_serial(self, server: str, serial: str) -> DeviceKey | None:
        """The device of that serial there; of several enrolments, the one seen last."""
        row = self._row(_BY_SERIAL, server, serial) if serial else None
        return DeviceKey(*row) if row else None

    def keys_called(self, name: str) -> list[DeviceKey]:
        """Every enrolment of the device with this serial, enrollment ID or UDID, on all servers; costs by these rows.

        Only a UDID that is no enrollment ID is looked for in the whole inventory.
        """
        servers = list(self._servers())
        found = [DeviceKey(*row) for server in servers for row in self._rows(_ENROLLED_AS, server, name)]
        serials = {stored.device.serial for stored in self.devices(found).values()} | {name}
        for serial in sorted(serials - {""}):
            found += [DeviceKey(*row) for server in servers for row in sorted(self._rows(_CALLED, server, serial))]
        if not found and name:
            found = [DeviceKey(*row) for row in self._rows(_BY_UDID, name)]
        return list(dict.fromkeys(found))

    def _servers(self) -> Iterator[str]:
        """Those that devices are on, each found by the index."""
        after: str | None = ""
        while after := self._value(_NEXT_SERVER, after):
            yield after

    # --- holds ---

    def add_hold(self, key: DeviceKey, *, at: int, by: str, reason: str, until_at: int = 0) -> int:
        """Keep a device out of everything that can install, until then or until released; the hold's id."""
        number = int(self._value(_LAST_HOLD)) + 1
        self._run(_HOLD_ADD, number, *key, at, until_at, by, reason, 0, "")
        self._run(_DUE_DECLARED, at, *key)
        return number

    def holds(self, keys: Iterable[DeviceKey], now: int) -> dict[DeviceKey, Hold]:
        """Those among the devices that are held now, each with its newest hold."""
        return {hold.key: hold for hold in map(_hold_of, self._of(_HOLDS_OF, keys, now))}

    def holds_ever(self, keys: Iterable[DeviceKey]) -> list[Hold]:
        """All holds of these devices, released and expired ones too; oldest first."""
        return sorted(map(_hold_of, self._of(_HOLDS_EVER, keys)), key=lambda hold: hold.id)

    def all_holds(self, now: int) -> dict[DeviceKey, Hold]:
        return {hold.key: hold for hold in map(_hold_of, self._rows(_HOLDS_ALL, now))}

    def release_hold(self, hold: int, *, at: int, by: str) -> bool:
        """False when it was not held any more."""
        return self._run(_HOLD_RELEASE, at, by, hold) == 1

    # --- census ---

    def census_add(self, keys: Iterable[DeviceKey], *, now: int) -> None:
        """Devices to be asked what they are; one that waits already keeps its turn."""
        self._each(_CENSUS_ADD, [(*key, now) for key in keys])

    def census_next(self, limit: int) -> list[DeviceKey]:
        return [DeviceKey(*row) for row in self._rows(_CENSUS_NEXT, limit)]

    def census_done(self, keys: Iterable[DeviceKey]) -> None:
        self._each(_CENSUS_DONE, [tuple(key) for key in keys])

    # --- servers ---

    def add_server(self, name: str, kind: str, *, now: int) -> None:
        self._run(_SERVER_ADD, name, kind, now)

    def servers(self) -> dict[str, str]:
        """Name → kind."""
        return dict(self._rows(_SERVERS))
