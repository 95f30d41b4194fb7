"""The ledger: everything the kit keeps, in SQLite or PostgreSQL, behind two kinds of transactions.

Knows how a store is opened, who may write when, and what a broken database means. The transaction's methods stand in
`evidence`, `fleet`, `outbox`, `rollouts`, `gates`, `alerts`, `office` and `people`; tables in `schema`. Leaves what the
rows mean to `rollout` and `service`.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine

from osupdate_kit.errors import StoreError
from osupdate_kit.stores import migrate as migration
from osupdate_kit.stores.alerts import Alerts
from osupdate_kit.stores.connect import (
    BUSY_SECONDS,
    WRITER_CACHE,
    explained,
    file_of,
    make_engine,
    prepare_file,
    store_url,
)
from osupdate_kit.stores.evidence import Evidence
from osupdate_kit.stores.fleet import Fleet
from osupdate_kit.stores.gates import Gates, Halt, Place, StoredWave
from osupdate_kit.stores.locks import WRITER, AdvisoryLock, FileLock, MemoryLock, ServiceLock
from osupdate_kit.stores.office import Office
from osupdate_kit.stores.outbox import Outbox
from osupdate_kit.stores.people import Approval, Handover, Note, People
from osupdate_kit.stores.rollouts import Rollouts
from osupdate_kit.stores.rows import (
    Act,
    Audit,
    Hold,
    InboxRow,
    StoredDevice,
    StoredJourney,
    StoredPlan,
    StoredRollout,
    Transition,
)  # fmt: skip

__all__ = [
    "Act", "Approval", "Audit", "Halt", "Handover", "Hold", "InboxRow", "Ledger", "Note", "Place", "ServiceLock",
    "StoredDevice", "StoredJourney", "StoredPlan", "StoredRollout", "StoredWave", "Transaction", "Transition",
]  # fmt: skip


class Transaction(Evidence, Fleet, Outbox, Rollouts, Gates, Alerts, Office, People):
    """All that is done inside `Ledger.read()` or `Ledger.write()`; of no use after it."""


class Ledger:
    """One store. May be used by many threads; each transaction belongs to one."""

    def __init__(self, engine: Engine, url: URL) -> None:
        self._engine, self._url = engine, url
        self._file: Path | None = file_of(url)
        self._postgres = engine.dialect.name == "postgresql"
        self._memory = not self._postgres and self._file is None
        # SQLite's own waiting is by polling and unfair; threads of one process queue here instead.
        self._turnstile = threading.RLock()
        self._kept: Connection | None = None  # SQLite's; whoever has passed the turnstile may use it

    @classmethod
    def open(cls, url: str, *, migrate: bool = False) -> "Ledger":
        """Open the store of this URL; `migrate` makes it where there is none yet.

        One with an older schema is refused: only `upgrade.upgrade` changes tables that hold something.

        Raises StoreError, with a remedy, for a schema older or newer than ours, a file that is missing, damaged or on a
        network file system, a database that cannot be reached, or a driver that is not installed.
        """
        parsed = store_url(url)
        path = file_of(parsed)
        if path is not None:
            prepare_file(path, create=migrate)
        ledger = cls(make_engine(parsed), parsed)
        try:
            ledger._bring_up(migrate=migrate)
        except BaseException:
            ledger.close()
            raise
        return ledger

    def _bring_up(self, *, migrate: bool) -> None:
        where = str(self._file or self._url.render_as_string(hide_password=True))
        with explained(self._url), self._engine.connect() as connection, connection.begin():
            version = migration.version_of(connection)
        if not version and migrate:
            with self.write() as tx:
                connection = tx._connection
                if not migration.version_of(connection):
                    migration.upgrade(connection)
                version = migration.version_of(connection)
        migration.check(version, where)

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None
        self._engine.dispose()

    @property
    def url(self) -> str:
        """Its URL, password and all: to open it again, never to be shown."""
        return self._url.render_as_string(hide_password=False)

    @property
    def kind(self) -> str:
        """What people call such a store."""
        return "PostgreSQL" if self._postgres else "SQLite"

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """One consistent snapshot. Keep it short: SQLite's log cannot be emptied while it is open."""
        if self._memory:
            with self._by_turns("BEGIN") as tx:
                yield tx
            return
        options: dict[str, Any] = (
            {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True} if self._postgres else {}
        )
        with self._connected(options) as tx:
            yield tx

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """The one writer of this store: commit order is the order of `seq`. Commits at the end, or undoes all."""
        with self._writing() as tx:
            if self._postgres:
                tx.driver_connection.execute("SELECT pg_advisory_xact_lock(%s)", (WRITER,))
            yield tx

    def _writing(self) -> AbstractContextManager[Transaction]:
        return self._connected({}) if self._postgres else self._by_turns("BEGIN IMMEDIATE")

    @contextmanager
    def _by_turns(self, begin: str) -> Iterator[Transaction]:
        """SQLite's writer, and whoever reads what is in memory: one connection, kept and driven by hand.

        To take one from the pool and to begin by SQLAlchemy's ways costs as much as to write some rows.
        """
        with explained(self._url), self._waited():
            if self._kept is None:
                self._kept = self._engine.connect()
                Transaction(self._kept).driver_connection.execute(f"PRAGMA {WRITER_CACHE}")
            tx = Transaction(self._kept)
            driver = tx.driver_connection
            assert not driver.in_transaction, "a transaction of this thread is open: its work would be undone"
            try:
                driver.execute(begin)
                yield tx
                driver.commit()
            except BaseException:
                driver.rollback()
                raise
            finally:
                tx.driver_connection = None  # of no use after its end

    @contextmanager
    def _connected(self, options: Mapping[str, Any]) -> Iterator[Transaction]:
        with (
            explained(self._url),
            self._engine.connect().execution_options(**options) as connection,
            connection.begin(),
        ):
            tx = Transaction(connection)
            try:
                yield tx
            finally:
                tx.driver_connection = None

    @contextmanager
    def _waited(self) -> Iterator[None]:
        if not self._turnstile.acquire(timeout=BUSY_SECONDS):
            raise StoreError(
                f"The store {self._file or 'in memory'} has been written to by another thread for {BUSY_SECONDS} s.",
                remedy="Try again; if it stays so, restart the service.",
            )
        try:
            yield
        finally:
            self._turnstile.release()

    def take_in(self, rows: Sequence[InboxRow]) -> None:
        """The receiver's rows, durable when this returns. Waits for no other writer on PostgreSQL."""
        with self._writing() as tx:
            tx.inbox_add(rows)

    def ours(self, uuids: Sequence[str]) -> set[str]:
        """Which command UUIDs are ours."""
        if not uuids:
            return set()
        with self.read() as tx:
            return tx.our_commands(uuids)

    # --- one service at a time ---

    def try_service_lock(self) -> ServiceLock | None:
        """The right to be the working service, until closed or until the process dies; None while another has it."""
        if self._postgres:
            with explained(self._url):
                return AdvisoryLock.take(self._engine)
        if self._file is None:
            return MemoryLock()
        return FileLock.take(self._file.with_name(self._file.name + ".lock"))

    @contextmanager
    def service_lock(self) -> Iterator[bool]:
        """Hold the lock for a block; False inside it when another service has it."""
        lock = self.try_service_lock()
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.close()
