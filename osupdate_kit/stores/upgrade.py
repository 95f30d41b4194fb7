"""From an older schema to ours: with nobody at work, after a copy, and all or nothing. And such copies by themselves.

Knows the order of things. Leaves the steps themselves to `migrations/`.
"""

import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from osupdate_kit.errors import StoreError
from osupdate_kit.stores import migrate
from osupdate_kit.stores.connect import explained, file_of, make_engine, prepare_file, store_url
from osupdate_kit.stores.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Upgraded:
    """Schemas before and after; `before` is empty for a new store. `backup`: a SQLite store as it was."""

    before: str
    after: str
    backup: Path | None = None


def upgrade(url: str) -> Upgraded:
    """Make the store of this URL, or bring it up to our schema; all its rows stay.

    What people write meanwhile waits, and a broken step undoes all. Raises StoreError, with a remedy, while a service
    works on the store, for one that is newer than ours, and for everything that `Ledger.open` refuses.
    """
    parsed = store_url(url)
    path = file_of(parsed)
    if path is not None:
        prepare_file(path, create=True)
    with closing(Ledger(make_engine(parsed), parsed)) as ledger, explained(parsed), ledger.service_lock() as free:
        if not free:
            raise StoreError(
                "A service works on the store.",
                remedy="Stop every `osupdate-kit serve`, upgrade, and start them again.",
            )
        with ledger.write() as tx:
            before = migrate.version_of(tx._connection)
            if before in migrate.REVISIONS[:-1] or not before:
                copy = _backup(path, before) if path is not None and before else None
                migrate.upgrade(tx._connection)
            else:
                copy = None
            after = migrate.version_of(tx._connection)
    migrate.check(after, str(path or parsed.render_as_string(hide_password=True)))
    return Upgraded(before, after, copy)


def _backup(path: Path, version: str) -> Path:
    """A whole copy beside the store."""
    for number in count(1):
        copy = path.with_name(f"{path.name}.{version}.backup" + (f"-{number}" if number > 1 else ""))
        with suppress(FileExistsError):
            _copy(path, copy)
            return copy
    raise AssertionError


def backup(url: str, copy: Path) -> None:
    """A whole copy of a SQLite store, as of one instant, while everybody works on. Raises StoreError."""
    parsed = store_url(url)
    path = file_of(parsed)
    if path is None:
        raise StoreError(
            "Only a SQLite store that is a file is copied so.",
            remedy="On PostgreSQL: pg_dump --format=custom --file osupdate.dump, and your database's name.",
        )
    prepare_file(path, create=False)
    with explained(parsed):
        try:
            _copy(path, copy)
        except FileExistsError:
            raise StoreError(f"{copy} is there already.", remedy="Give the copy a name of its own.") from None


def _copy(path: Path, copy: Path) -> None:
    """Readable by its owner only; whole, or not there. FileExistsError where something is."""
    try:
        os.close(os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise
    except OSError as error:
        raise StoreError(
            f"The copy {copy} cannot be made: {error.strerror}.", remedy="Check the folder and its permissions."
        ) from None
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
    except BaseException:
        with suppress(OSError):
            copy.unlink()
        raise
