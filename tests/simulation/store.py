"""The stores that stories are lived in: made in a millisecond, broken on purpose, and asked by plain SQL.

In memory, on disk, or PostgreSQL. A disk that is full is SQLite's own: it may take no page more.
"""

import sqlite3
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import text

from osupdate_kit.stores.connect import make_engine, store_url
from osupdate_kit.stores.ledger import Ledger

MEMORY = "sqlite://"
_MOST_PAGES = 1 << 30


@cache
def _empty() -> bytes:
    """A store with today's tables and nothing in them."""
    ledger = Ledger.open(MEMORY, migrate=True)
    try:
        with ledger.read() as tx:
            driver: sqlite3.Connection = tx.driver_connection
        return driver.serialize()
    finally:
        ledger.close()


class Store:
    """One ledger, and what the people who run the database may do to it."""

    def __init__(self, url: str = MEMORY) -> None:
        self._sqlite: sqlite3.Connection | None = None
        self.on_disk = url.startswith("sqlite:///")
        if url == MEMORY:
            engine = make_engine(store_url(url))
            with engine.connect() as connection:
                self._sqlite = driver = connection.connection.driver_connection  # type: ignore[assignment]
                assert driver is not None
                driver.deserialize(_empty())
            self.ledger = Ledger(engine, store_url(url))
        else:
            if self.on_disk:
                with suppress(FileExistsError), Path(url.removeprefix("sqlite:///")).open("xb") as file:
                    file.write(_empty())
            self.ledger = Ledger.open(url, migrate=True)
            if self.on_disk:
                self._sqlite = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=30)

    def close(self) -> None:
        if self.on_disk and self._sqlite is not None:
            self._sqlite.close()
        self.ledger.close()

    def rows(self, sql: str, **values: object) -> list[Any]:
        """As of now; not through the ledger where there is a shorter way, for it is asked after every turn."""
        if self._sqlite is not None:
            return self._sqlite.execute(sql, values).fetchall()
        with self.ledger.read() as tx:
            return list(tx._connection.execute(text(sql), values))

    def value(self, sql: str, **values: object) -> Any:
        rows = self.rows(sql, **values)
        return rows[0][0] if rows else None

    # --- trouble ---

    def fill(self, spare_pages: int) -> bool:
        """The disk is full but for so many pages; False where a store cannot be made to believe that."""
        return self._pages("PRAGMA page_count", spare_pages)

    def empty(self) -> None:
        """Somebody has made room."""
        self._pages("", _MOST_PAGES)

    def _pages(self, count: str, more: int) -> bool:
        if self._sqlite is None:
            return False
        with self.ledger.write() as tx:
            driver: Any = tx.driver_connection
            (used,) = driver.execute(count).fetchone() if count else (0,)
            driver.execute(f"PRAGMA max_page_count={used + more}")
        return True

    def cut(self) -> bool:
        """End every other session of this PostgreSQL database, in the middle of whatever it does; False elsewhere."""
        if self._sqlite is not None:
            return False
        engine = make_engine(store_url(self.ledger.url))
        sql = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()"
        )
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql(sql)
        finally:
            engine.dispose()
        return True
