"""A store opened for Ibis: to read, and shortly.

Knows how a URL becomes an Ibis backend that cannot write. Leaves what is asked of it to `analysis`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import ibis
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from osupdate_kit.errors import StoreError
from osupdate_kit.stores import migrate
from osupdate_kit.stores.connect import explained, file_of, make_engine, prepare_file, store_url


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
