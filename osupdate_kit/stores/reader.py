"""A store opened for Ibis: to read, and shortly.

Knows how a URL becomes an Ibis backend that cannot write. Leaves what is asked of it to `analysis`.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ibis
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from osupdate_kit.errors import StoreError
from osupdate_kit.stores import migrate
from osupdate_kit.stores.connect import explained, file_of, make_engine, prepare_file, store_url
from osupdate_kit.stores.ledger import Transaction


@contextmanager
def reading(url: str) -> Iterator[ibis.BaseBackend]:
    """An Ibis backend over the store, each query a snapshot of its own; for one thread, closed at the end.

    Raises StoreError as `Ledger.open` does, and for a store in memory, which no second connection can see.
    """
    parsed = store_url(url)
    path = file_of(parsed)
    if path is not None:
        prepare_file(path, create=False)
    elif parsed.get_backend_name() == "sqlite":
        raise StoreError("A store in memory cannot be opened a second time.", remedy="Give the store a file.")
    engine = make_engine(parsed)
    try:
        with explained(parsed):
            with engine.connect() as connection:
                migrate.check(migrate.version_of(connection), str(path or parsed.render_as_string()))
            yield from _sqlite(engine) if path is not None else _postgres(engine)
    finally:
        engine.dispose()


def within(tx: Transaction) -> ibis.BaseBackend:
    """An Ibis backend that sees what this transaction sees, and nothing later.

    Ibis sets the connection up for itself, so let the ledger be one that is closed afterwards.
    """
    tx.last_seq()  # a snapshot begins with the first question
    connection = tx.driver_connection
    if isinstance(connection, sqlite3.Connection):
        return ibis.sqlite.from_connection(_Within(connection))
    return ibis.postgres.from_connection(connection)


class _Within:
    """A connection whose transaction is ended by whoever began it; Ibis would commit after questions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None: ...

    def rollback(self) -> None: ...


def _sqlite(engine: Engine) -> Iterator[ibis.BaseBackend]:
    raw = engine.raw_connection()
    connection = raw.driver_connection
    assert connection is not None
    connection.execute("PRAGMA query_only=ON")
    try:
        yield ibis.sqlite.from_connection(connection)
    finally:
        raw.close()


def _postgres(engine: Engine) -> Iterator[ibis.BaseBackend]:
    import psycopg

    raw = engine.raw_connection()
    connection = raw.driver_connection
    assert connection is not None
    connection.autocommit = True
    connection.execute("SET default_transaction_read_only = on")
    try:
        yield ibis.postgres.from_connection(connection)
    except psycopg.Error as error:
        raise DBAPIError(None, None, error) from error  # so that it is explained like all others
    finally:
        raw.close()
