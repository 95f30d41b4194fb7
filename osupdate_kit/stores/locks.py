"""The lock that makes one service the working one and every other a stand-by.

In real time and without lease rows: `flock` beside a SQLite file, a session's advisory lock on PostgreSQL. Both end
with the process that holds them, however it dies.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

SERVICE = 0x6F73_7570_6B69_7401  # our advisory locks in one database: the service, the one writer of events
WRITER = 0x6F73_7570_6B69_7402


class ServiceLock(Protocol):
    """Held from the moment it is handed out."""

    def alive(self) -> bool:
        """Is it still ours? False when the database connection that holds it broke."""

    def close(self) -> None:
        """Let a stand-by take over."""


class MemoryLock:
    """A store in memory belongs to one process: always granted."""

    def alive(self) -> bool:
        return True

    def close(self) -> None:
        return None


class FileLock:
    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, path: Path) -> "FileLock | None":
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return cls(descriptor)

    def alive(self) -> bool:
        return self._descriptor is not None

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)  # the file stays: removing it would let two services hold two files
            self._descriptor = None


class AdvisoryLock:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    def take(cls, engine: Engine) -> "AdvisoryLock | None":
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            granted = connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s)", (SERVICE,)).scalar_one()
        except BaseException:
            connection.close()
            raise
        if granted:
            return cls(connection)
        connection.close()
        return None

    def alive(self) -> bool:
        if self._connection.closed or self._connection.invalidated:  # else it would connect anew, without the lock
            return False
        try:
            self._connection.exec_driver_sql("SELECT 1")
        except DBAPIError:
            return False
        return True

    def close(self) -> None:
        """Gives it back at once, and ends the session itself, so that no connection pool keeps the lock."""
        with contextlib.suppress(DBAPIError):
            if self.alive():
                self._connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (SERVICE,))
            self._connection.invalidate()
        self._connection.close()
