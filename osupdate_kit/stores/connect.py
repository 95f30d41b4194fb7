"""From a URL to an engine: what a store may be, and what its errors mean.

Knows SQLite's and PostgreSQL's settings and refusals. Leaves the tables to `schema.py`, versions to `migrate.py`.
"""

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import StaticPool

from osupdate_kit.errors import StoreError

BUSY_SECONDS = 30
PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "temp_store=MEMORY",
    "cache_size=-16384",  # KiB, for each connection that reads; a mapped file would count again for each of them
    "wal_autocheckpoint=16384",  # pages; those that change with each batch are copied back once, not each time
)

STATEMENTS = 512  # that SQLite keeps compiled; the ledger has more than the driver's 128
WRITER_CACHE = "cache_size=-65536"  # with little, a large store's pages are read and written again and again

_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afs", "ncpfs", "ceph", "glusterfs", "lustre", "davfs",
     "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.davfs2", "fuse.gcsfuse"}
)  # fmt: skip


def store_url(text: str) -> URL:
    """Read the settings' URL. StoreError for anything that is neither SQLite nor PostgreSQL."""
    remedy = "Write sqlite:///path/to/store.db or postgresql://user@host/database."
    try:
        url = make_url(text)
    except ArgumentError:
        raise StoreError("The store's URL cannot be read.", remedy=remedy) from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        raise StoreError(f"{url.drivername} is no database that a store can live in.", remedy=remedy)
    return url


def file_of(url: URL) -> Path | None:
    """The file of a SQLite store; None in memory or on PostgreSQL."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    assert url.database is not None
    return Path(url.database)


def make_engine(url: URL) -> Engine:
    """An engine whose transactions begin where SQLAlchemy says so."""
    if url.get_backend_name() == "sqlite":
        return _sqlite(url)
    try:
        return create_engine(
            url,
            paramstyle="format",
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={"connect_timeout": 10, "options": f"-c lock_timeout={BUSY_SECONDS}s"},
        )
    except ModuleNotFoundError:
        raise StoreError(
            "The store is on PostgreSQL, and its driver is not installed.",
            remedy="Install it: pip install 'osupdate-kit[postgres]'.",
        ) from None


def _sqlite(url: URL) -> Engine:
    memory = file_of(url) is None
    words: dict[str, Any] = {"timeout": BUSY_SECONDS, "check_same_thread": False, "cached_statements": STATEMENTS}
    engine = create_engine(
        url,
        connect_args=words,
        hide_parameters=True,
        pool_reset_on_return=None,  # every transaction is ended by the block that began it
        **({"poolclass": StaticPool} if memory else {}),
    )

    @event.listens_for(engine, "connect")
    def settle(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where we say, not where the driver guesses
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        if not driver.in_transaction:  # the ledger begins its writers itself
            driver.execute("BEGIN")

    return engine


def filesystem_of(path: Path, mounts: str) -> str:
    """The type of the file system that holds `path`, by the lines of /proc/self/mounts; "" where none fits."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        words = line.split()
        if len(words) < 3:
            continue
        point = Path(words[1].replace("\\040", " "))
        if (path == point or point in path.parents) and len(point.parts) >= best:
            best, kind = len(point.parts), words[2]
    return kind


def refuse_network_filesystem(path: Path, mounts: str) -> None:
    """SQLite's write-ahead log needs memory that all its processes share: it breaks on a network file system."""
    kind = filesystem_of(path, mounts)
    if kind in _NETWORK:
        raise StoreError(
            f"The store {path} lies on a network file system ({kind}), where SQLite loses data.",
            remedy="Put it on a local disk, or use PostgreSQL for a team.",
        )


def prepare_file(path: Path, *, create: bool) -> None:
    """Check the place of a SQLite file; make an empty one, readable by its owner only, if asked."""
    mounts = Path("/proc/self/mounts")
    if mounts.exists():
        refuse_network_filesystem(path.absolute(), mounts.read_text(errors="replace"))
    try:
        if create:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Never opened where it exists: closing it again would drop the locks by which this process's connections
            # keep another process, when it closes its last one, from deleting the write-ahead log beneath them.
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        elif not path.is_file():
            raise StoreError(f"There is no store at {path}.", remedy="Make one: osupdate-kit store upgrade.")
    except OSError as error:
        raise StoreError(
            f"The store {path} cannot be made: {error.strerror}.", remedy="Check the folder and its permissions."
        ) from None


@contextmanager
def explained(url: URL) -> Iterator[None]:
    """Turn what the database says into a StoreError with a remedy. The URL is shown without its password."""
    try:
        yield
    except _errors() as error:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
        text = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        where = file_of(url) or url.render_as_string(hide_password=True)
        raise StoreError(f"The store {where} failed: {text}.", remedy=_remedy(cause, text)) from error


def _errors() -> tuple[type[Exception], ...]:
    """What a store may raise; PostgreSQL's driver need not be installed."""
    postgres = sys.modules.get("psycopg")
    return (SQLAlchemyError, sqlite3.Error, *((postgres.Error,) if postgres else ()))


def _remedy(cause: BaseException, text: str) -> str:
    text = text.lower()
    if "locked" in text or "lock timeout" in text:
        return f"Another program writes to it for more than {BUSY_SECONDS} s: end that program, then try again."
    if "full" in text or "no space" in text:
        return "Free space on its disk; the work goes on by itself."
    if "readonly" in text or "read-only" in text or "permission" in text or "unable to open" in text:
        return "Check who owns the file and its folder."
    if "not a database" in text or "malformed" in text:
        return "Restore it from a backup: the file is damaged, or no store."
    if isinstance(cause, PoolTimeoutError):
        return "Too many readers at once: close notebooks that hold a read open."
    if "authentication" in text or "role" in text:
        return "Check user and password in the store's URL."
    if "connect" in text or "server closed" in text or "terminat" in text or "shut" in text or "starting up" in text:
        return "Check that the database server runs and can be reached; the work goes on by itself when it is back."
    return "Nothing of this transaction was kept; see the database's own log."
