"""Statements of SQLAlchemy Core, compiled once per database and run with parameters by position.

Compiling and naming parameters for each row would cost more than SQLite's own work. Knows how the two databases differ
where the ledger needs it: lists as one parameter, and inserts that meet a row that is there.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    Connection,
    Delete,
    Insert,
    Integer,
    Select,
    Text,
    Update,
    bindparam,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import Table
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement

from osupdate_kit.fleet.devices import DeviceKey

CHUNK = 1000  # keys in one list, rows in one page

Executable = Select[Any] | Insert | Update | Delete


class Statement:
    """One statement; `build` may be a function of the dialect's name where the databases differ."""

    __slots__ = ("_build", "_sql")

    def __init__(self, build: Executable | Callable[[str], Executable]) -> None:
        self._build = build
        self._sql: dict[str, str] = {}

    def sql(self, dialect: Dialect) -> str:
        text = self._sql.get(dialect.name)
        if text is None:
            build = self._build(dialect.name) if callable(self._build) else self._build
            compiled = build.compile(dialect=dialect)
            assert all(bind.required for bind in compiled.binds.values()), "constants are written as `constant`"
            text = self._sql[dialect.name] = str(compiled)
        return text


ZERO: ColumnElement[Any] = literal_column("0")
EMPTY: ColumnElement[Any] = literal_column("''")


def at_most(rows: Select[Any]) -> Select[Any]:
    """The first rows, by a last parameter. OFFSET is spelled out, else SQLite's compiler adds a parameter for it."""
    return rows.limit(bindparam("limit", type_=Integer())).offset(ZERO)


def last_id(column: Column[int]) -> Statement:
    """The highest id, 0 in an empty table: ids that we count ourselves, as the one writer, are in order of commit."""
    return Statement(select(func.coalesce(func.max(column), ZERO)))


def insert_or(
    table: Table, conflict: Callable[[Any], Any], columns: Sequence[str] | None = None
) -> Callable[[str], Insert]:
    """An insert with a conflict clause: `conflict` adds it to the dialect's own insert."""
    names = columns or [column.name for column in table.c]
    makes: dict[str, Callable[[Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

    def build(dialect: str) -> Insert:
        insert: Insert = conflict(makes[dialect](table).values({name: bindparam(name) for name in names}))
        return insert

    return build


class among(ColumnElement[bool]):
    """`column` is in a list that travels as one parameter, made by `Session.pack`."""

    inherit_cache = False
    type = sqlite.BOOLEAN()

    def __init__(self, column: Column[Any]) -> None:
        self.column = column

    def self_group(self, against: Any = None) -> "among":
        return self  # a condition as it is, where SQLite has no booleans to compare with


@compiles(among, "sqlite")
def _among_sqlite(element: among, compiler: SQLCompiler, **words: Any) -> str:
    column, values = compiler.process(element.column, **words), compiler.process(bindparam("among", type_=Text()))
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - both parts are the compiler's


@compiles(among, "postgresql")
def _among_postgresql(element: among, compiler: SQLCompiler, **words: Any) -> str:
    kind = Text() if isinstance(element.column.type, Text) else element.column.type
    values = compiler.process(bindparam("among", type_=postgresql.ARRAY(kind)))
    return f"{compiler.process(element.column, **words)} = ANY({values})"


class Session:
    """One transaction's connection, and the few ways statements are run on it.

    They go to the driver itself: to wrap a result costs SQLAlchemy more than SQLite needs to find it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect
        self.driver_connection: Any = connection.connection.driver_connection  # inside this transaction

    def _rows(self, statement: Statement, *values: Any) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._cursor(statement, values).fetchall()
        return rows

    def _row(self, statement: Statement, *values: Any) -> Any:
        return self._cursor(statement, values).fetchone()

    def _value(self, statement: Statement, *values: Any) -> Any:
        row = self._row(statement, *values)
        return row[0] if row else None

    def _run(self, statement: Statement, *values: Any) -> int:
        touched: int = self._cursor(statement, values).rowcount
        return touched

    def _cursor(self, statement: Statement, values: tuple[Any, ...]) -> Any:
        return self.driver_connection.execute(statement.sql(self._dialect), values)

    def _each(self, statement: Statement, rows: list[tuple[Any, ...]]) -> int:
        """Run it for each row; how many rows of the table were touched."""
        if not rows:
            return 0
        cursor = self.driver_connection.cursor()
        cursor.executemany(statement.sql(self._dialect), rows)
        touched: int = cursor.rowcount
        return touched

    def _pages(self, statement: Statement, *values: Any, after: Sequence[Any], limit: int | None) -> Iterator[Any]:
        """Rows in key order, fetched by pages that begin after a key: memory stays flat, and no cursor stays open.

        The statement takes `values`, the key it begins after, and the size of a page; its last columns are the key.
        """
        width = len(after)
        left = limit
        while left is None or left > 0:
            size = CHUNK if left is None else min(CHUNK, left)
            page = self._rows(statement, *values, *after, size)
            yield from page
            if len(page) < size:
                return
            after = tuple(page[-1][-width:])
            left = None if left is None else left - size

    def pack(self, values: Iterable[Any]) -> Any:
        """A list as one parameter for `among`."""
        return msgspec.json.encode(list(values)).decode() if self._dialect.name == "sqlite" else list(values)

    def _packs(self, values: Iterable[Any]) -> Iterator[Any]:
        distinct = list(dict.fromkeys(values))
        for start in range(0, len(distinct), CHUNK):
            yield self.pack(distinct[start : start + CHUNK])

    def _of(self, statement: Statement, keys: Iterable[DeviceKey], *values: Any) -> Iterator[Any]:
        """Rows of these devices. The statement takes a server, its enrollment ids, and `values`."""
        by_server: dict[str, list[str]] = defaultdict(list)
        for server, enrollment_id in keys:
            by_server[server].append(enrollment_id)
        for server, ids in by_server.items():
            for pack in self._packs(ids):
                yield from self._rows(statement, server, pack, *values)
