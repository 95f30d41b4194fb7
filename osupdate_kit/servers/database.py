"""NanoMDM's own database, PostgreSQL or MySQL, read-only: who is enrolled, who was seen, what devices answered.

Knows NanoMDM 0.9's tables, how each dialect keeps an instant, and which columns a reader of ours needs. Of answers to
others' commands only those that speak of updates are read at all. Leaves what is kept of them to `events`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from cryptography import x509
from sqlalchemy import (
    URL,
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    DateTime,
    Engine,
    Text,
    bindparam,
    case,
    column,
    create_engine,
    event,
    func,
    make_url,
    select,
    table,
    tuple_,
)
from sqlalchemy.exc import ArgumentError, OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from osupdate_kit.errors import (
    OSUpdateKitError,
    ProtocolError,
    ServerRefusedError,
    ServerUnreachableError,
    SettingsError,
)
from osupdate_kit.protocol.plists import read_plist

PAGE = 1000  # rows in one answer
DEVICE_CHANNELS = ("Device", "User Enrollment (Device)")

# What a reader needs, by table; a test grants these and nothing else.
NEEDED: Mapping[str, tuple[str, ...]] = {
    "enrollments": ("id", "device_id", "type", "enabled", "last_seen_at"),
    "devices": ("id", "serial_number", "authenticate_at", "token_update_at"),
    "command_results": ("id", "command_uuid", "status", "result", "updated_at"),
}
# What more may be granted: a device's name, model and version at enrolment; the expiry of the push certificate.
USEFUL: Mapping[str, tuple[str, ...]] = {"devices": ("authenticate",), "push_certs": ("topic", "cert_pem")}


def grants(reader: str = "osupdate_reader") -> list[str]:
    """The statements that let a reader see what is needed, and what is useful."""
    return [f"GRANT SELECT ({', '.join(names)}) ON {of} TO {reader};" for part in (NEEDED, USEFUL)
            for of, names in part.items()]  # fmt: skip


class Enrolled(NamedTuple):
    """A device channel that is enrolled now. Times: microseconds UTC; 0 = unknown."""

    enrollment_id: str
    type: str
    last_seen_at: int
    serial: str
    told: Mapping[str, str]  # by its Authenticate, if that may be read


class Seen(NamedTuple):
    """When a device channel was last heard of, and when it last enrolled."""

    enrollment_id: str
    type: str
    enabled: bool
    last_seen_at: int
    authenticated_at: int
    token_update_at: int


class ResultKey(NamedTuple):
    """That a device answered. of_updates: its answer speaks of UpdateResults."""

    updated_at: int
    enrollment_id: str
    command_uuid: str
    type: str
    status: str
    of_updates: bool


class ServerDatabase:
    """The database of one server. Each question is a transaction of its own, so that nothing is held open.

    Raises SettingsError for a URL that cannot be used, ServerUnreachableError where the database does not answer,
    ServerRefusedError where it answers no. No message holds the URL's password.
    """

    def __init__(self, url: str, server: str) -> None:
        self.server = server
        self._url = _readable(url, server)
        self._engine = _engine(self._url, server)

    def __repr__(self) -> str:
        return f"ServerDatabase({self.server!r}, {self._url.render_as_string(hide_password=True)!r})"

    def close(self) -> None:
        self._engine.dispose()

    def now(self) -> int:
        """By the database's clock."""
        with self._asking() as connection:
            return _micros(connection.execute(NOW).scalar_one())

    def check(self) -> str:
        """Ask for every column that is needed, and for no row; which useful ones may not be read."""
        with self._asking() as connection:
            for of, names in NEEDED.items():
                connection.execute(_none_of(of, names))
        lacking = [f"{of} ({', '.join(names)})" for of, names in USEFUL.items() if not self._may(of, names)]
        return ", ".join(lacking)

    def enrolled(self) -> Iterator[Enrolled]:
        """All that are enrolled now, in the order of their IDs; memory stays flat."""
        serial = self._may("devices", ("serial_number",))
        authenticate = self._may("devices", ("authenticate",))
        statement, after = enrolled(serial=serial, authenticate=authenticate), ""
        while True:
            with self._asking() as connection:
                rows = connection.execute(statement, {"after": after, "most": PAGE}).all()
            for one, kind, seen, number, message in rows:
                told = _authenticate(message) if message else {}
                yield Enrolled(one, kind, _micros(seen), number or "", told)
            if len(rows) < PAGE:
                return
            after = rows[-1][0]

    def seen_after(self, at: int, enrollment_id: str = "") -> list[Seen]:
        """Device channels heard of after that instant, in its order; at that very instant, those after that ID."""
        words = {"at": at, "after": enrollment_id, "most": PAGE}
        with self._asking() as connection:
            rows = connection.execute(SEEN, words).all()
        return [
            Seen(one, kind, bool(enabled), *map(_micros, (seen, authenticated, token)))
            for one, kind, enabled, seen, authenticated, token in rows
        ]

    def results_after(self, at: int, enrollment_id: str = "", command_uuid: str = "") -> list[ResultKey]:
        """Answers of device channels after that one, in the order in which they came."""
        words = {"at": at, "after": enrollment_id, "after_uuid": command_uuid, "most": PAGE}
        with self._asking() as connection:
            rows = connection.execute(RESULTS, words).all()
        return [
            ResultKey(_micros(at), one, uuid, kind, status, bool(of_updates))
            for at, one, uuid, kind, status, of_updates in rows
        ]

    def bodies(self, keys: Sequence[ResultKey]) -> dict[tuple[str, str], bytes]:
        """What these devices sent, as it came: it may hold secrets."""
        if not keys:
            return {}
        with self._asking() as connection:
            rows = connection.execute(BODIES, {"keys": [(k.enrollment_id, k.command_uuid) for k in keys]}).all()
        return {(one, uuid): body.encode() if isinstance(body, str) else bytes(body) for one, uuid, body in rows}

    def certificates(self) -> dict[str, datetime] | None:
        """When each push certificate expires, by topic; None where we may not see that."""
        if not self._may("push_certs", USEFUL["push_certs"]):
            return None
        with self._asking() as connection:
            rows = connection.execute(CERTIFICATES).all()
        return {topic: expiry for topic, pem in rows if (expiry := _expiry(pem)) is not None}

    # --- asking ---

    def _may(self, of: str, names: Sequence[str]) -> bool:
        """May we read these columns?"""
        try:
            with self._asking() as connection:
                connection.execute(_none_of(of, names))
        except ServerRefusedError:
            return False
        return True

    @contextmanager
    def _asking(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise self._explained(error) from None

    def _explained(self, error: SQLAlchemyError) -> OSUpdateKitError:
        cause = " ".join(str(getattr(error, "orig", None) or type(error).__name__).split())[:200]
        where = f"The database of {self.server} ({self._url.render_as_string(hide_password=True)})"
        code = getattr(getattr(error, "orig", None), "args", (0,))[0]
        denied = isinstance(error, ProgrammingError) or code in _MYSQL_DENIES
        if denied or not isinstance(error, OperationalError):
            return ServerRefusedError(f"{where} cannot be read: {cause}", remedy=_GRANT)
        return ServerUnreachableError(f"{where} does not answer: {cause}", remedy=_DOWN)


_MYSQL_DENIES = (1044, 1142, 1143, 1054)  # a database, a table, a column; a column that there is not
_GRANT = "Give a reader of its own what is needed: " + " ".join(grants()[: len(NEEDED)])
_DOWN = "Check host, port, user and password in its URL, and that the database lets this machine in."


def _readable(text: str, server: str) -> URL:
    remedy = "Write postgresql://reader:password@host:5432/database, or mysql://…"
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        raise SettingsError(f"The URL of the database of {server} cannot be read.", remedy=remedy) from None
    kind = url.drivername.partition("+")[0]
    driver = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}.get(kind)
    if driver is None:
        raise SettingsError(f"The database of {server} is {kind}; PostgreSQL and MySQL can be read.", remedy=remedy)
    return url.set(drivername=driver)


def _engine(url: URL, server: str) -> Engine:
    mysql = url.get_backend_name() == "mysql"
    words: dict[str, Any] = {"connect_timeout": 10}
    if not mysql:
        words["options"] = "-c default_transaction_read_only=on -c statement_timeout=60s"
    try:
        engine = create_engine(
            url, connect_args=words, pool_size=1, max_overflow=1, pool_pre_ping=True, hide_parameters=True,
            isolation_level="AUTOCOMMIT",
        )  # fmt: skip
    except ImportError:
        package = "mysql" if mysql else "postgres"
        raise SettingsError(
            f"The driver for the database of {server} is not installed.", remedy=f"Install osupdate-kit[{package}]."
        ) from None
    if mysql:
        event.listen(engine, "connect", _settle)
    return engine


def _settle(connection: Any, _record: object) -> None:
    """What PostgreSQL is told by options, MySQL is told by statements."""
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION READ ONLY")
        cursor.execute("SET time_zone = '+00:00'")


# --- statements, the same for both dialects ---


class micros(FunctionElement[int]):
    """A column's instant as microseconds since 1970 UTC. Columns bear no zone: it is that of the database."""

    inherit_cache = True
    type = BigInteger()


@compiles(micros)
def _micros_mysql(element: micros, compiler: SQLCompiler, **words: Any) -> str:
    return f"CAST(UNIX_TIMESTAMP({compiler.process(element.clauses, **words)}) * 1000000 AS SIGNED)"


@compiles(micros, "postgresql")
def _micros_postgresql(element: micros, compiler: SQLCompiler, **words: Any) -> str:
    inner = compiler.process(element.clauses, **words)
    return f"CAST(EXTRACT(EPOCH FROM CAST({inner} AS TIMESTAMP WITH TIME ZONE)) * 1000000 AS BIGINT)"


class instant(FunctionElement[datetime]):
    """The other way: to be compared with a column as it is, so that an index on it serves."""

    inherit_cache = True
    type = DateTime()


@compiles(instant)
def _instant_mysql(element: instant, compiler: SQLCompiler, **words: Any) -> str:
    return f"FROM_UNIXTIME({compiler.process(element.clauses, **words)} / 1000000)"


@compiles(instant, "postgresql")
def _instant_postgresql(element: instant, compiler: SQLCompiler, **words: Any) -> str:
    inner = compiler.process(element.clauses, **words)
    return f"CAST(to_timestamp(0) + CAST({inner} AS BIGINT) * INTERVAL '1 microsecond' AS TIMESTAMP)"


_enrollments = table(
    "enrollments", column("id", Text), column("device_id", Text), column("type", Text), column("enabled", Boolean),
    column("last_seen_at", DateTime),
)  # fmt: skip
_devices = table(
    "devices", column("id", Text), column("serial_number", Text), column("authenticate", Text),
    column("authenticate_at", DateTime), column("token_update_at", DateTime),
)  # fmt: skip
_results = table(
    "command_results", column("id", Text), column("command_uuid", Text), column("status", Text), column("result", Text),
    column("updated_at", DateTime),
)  # fmt: skip
_certs = table("push_certs", column("topic", Text), column("cert_pem", Text))

_OF_DEVICES = _enrollments.c.type.in_(DEVICE_CHANNELS)
_AT: ColumnElement[Any] = instant(bindparam("at", type_=BigInteger()))
_AFTER: ColumnElement[Any] = bindparam("after", type_=Text())
_AFTER_UUID: ColumnElement[Any] = bindparam("after_uuid", type_=Text())
_MOST: ColumnElement[Any] = bindparam("most", type_=BigInteger())

NOW = select(micros(func.current_timestamp()))


def enrolled(*, serial: bool = True, authenticate: bool = True) -> Any:
    """A page of who is enrolled; without the columns that may not be read."""
    number: ColumnElement[Any] = _devices.c.serial_number if serial else bindparam("number", "", Text)
    message: ColumnElement[Any] = _devices.c.authenticate if authenticate else bindparam("message", "", Text)
    return (
        select(_enrollments.c.id, _enrollments.c.type, micros(_enrollments.c.last_seen_at), number, message)
        .join_from(_enrollments, _devices, _devices.c.id == _enrollments.c.device_id)
        .where(_enrollments.c.enabled.is_(True), _OF_DEVICES, _enrollments.c.id > _AFTER)
        .order_by(_enrollments.c.id)
        .limit(_MOST)
    )


SEEN = (
    select(
        _enrollments.c.id,
        _enrollments.c.type,
        _enrollments.c.enabled,
        micros(_enrollments.c.last_seen_at),
        micros(_devices.c.authenticate_at),
        micros(_devices.c.token_update_at),
    )
    .join_from(_enrollments, _devices, _devices.c.id == _enrollments.c.device_id)
    .where(_OF_DEVICES, tuple_(_enrollments.c.last_seen_at, _enrollments.c.id) > tuple_(_AT, _AFTER))
    .order_by(_enrollments.c.last_seen_at, _enrollments.c.id)
    .limit(_MOST)
)
RESULTS = (
    select(
        micros(_results.c.updated_at),
        _results.c.id,
        _results.c.command_uuid,
        _enrollments.c.type,
        _results.c.status,
        case((_results.c.result.like("%<key>UpdateResults</key>%"), 1), else_=0),
    )
    .join_from(_results, _enrollments, _enrollments.c.id == _results.c.id)
    .where(
        _OF_DEVICES,
        tuple_(_results.c.updated_at, _results.c.id, _results.c.command_uuid) > tuple_(_AT, _AFTER, _AFTER_UUID),
    )
    .order_by(_results.c.updated_at, _results.c.id, _results.c.command_uuid)
    .limit(_MOST)
)
BODIES = select(_results.c.id, _results.c.command_uuid, _results.c.result).where(
    tuple_(_results.c.id, _results.c.command_uuid).in_(bindparam("keys", expanding=True))
)
CERTIFICATES = select(_certs.c.topic, _certs.c.cert_pem)


def _none_of(of: str, names: Sequence[str]) -> Any:
    return select(*(column(name) for name in names)).select_from(table(of)).limit(0)


def _micros(value: object) -> int:
    return int(value) if value is not None else 0  # type: ignore[call-overload]


def _authenticate(message: str | bytes) -> dict[str, str]:
    try:
        fields = read_plist(message.encode() if isinstance(message, str) else bytes(message))
    except ProtocolError:
        return {}
    return {key: value for key, value in fields.items() if isinstance(value, str)}


def _expiry(pem: str) -> datetime | None:
    try:
        return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc.astimezone(UTC)
    except ValueError:
        return None
