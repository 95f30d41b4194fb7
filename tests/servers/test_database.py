"""NanoMDM's own database: what a reader with just the named columns sees, and the same statements for MySQL.

On a database that speaks MySQL they are run by `test_database_mysql.py`.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy.dialects import mysql, postgresql

from osupdate_kit.errors import OSUpdateKitError, ServerRefusedError, ServerUnreachableError
from osupdate_kit.kit.databases import inventory_row
from osupdate_kit.servers.database import (
    BODIES,
    CERTIFICATES,
    NEEDED,
    NOW,
    RESULTS,
    SEEN,
    USEFUL,
    Enrolled,
    ServerDatabase,
    enrolled,
    grants,
)
from osupdate_kit.service.clock import KitClock
from tests.feeds.test_inventory import MAC, OLD, PHONE
from tests.real import Cluster, nanomdm, postgres
from tests.servers.checkins import enrol

STATEMENTS = {
    "now": NOW, "seen": SEEN, "results": RESULTS, "bodies": BODIES, "certificates": CERTIFICATES,
    "enrolled": enrolled(), "few": enrolled(serial=False, authenticate=False),
}  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgres() as running:
        yield running


def reader(cluster: Cluster, name: str, statements: list[str]) -> str:
    """A role of its own with these rights and nothing more; its URL."""
    role = f"reader_{name}"
    cluster.psql(name, "-c", f"CREATE ROLE {role} LOGIN;" + "".join(one.replace("ROLE", role) for one in statements))
    return f"postgres://{role}@127.0.0.1:{cluster.port}/{name}"


def test_a_url_that_cannot_be_used_is_refused_without_its_password() -> None:
    for url in ("postgres://u:planted@h:x/db", "oracle://u:planted@h/db", "://", "postgres://u:planted@127.0.0.1:1/db",
                "mysql://u:planted@127.0.0.1:1/db"):  # fmt: skip
        with pytest.raises(OSUpdateKitError) as caught:
            ServerDatabase(url, "school").now()
        assert "school" in str(caught.value)
        assert "planted" not in str(caught.value)
        assert caught.value.remedy
    assert "planted" not in repr(ServerDatabase("postgres://u:planted@h/db", "school"))


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_statements_are_the_same_in_both_dialects(name: str) -> None:
    """By the same tables and columns; and only granted ones are named."""
    words = {"compile_kwargs": {"render_postcompile": True}}
    ours, theirs = (
        str(STATEMENTS[name].params(keys=[("a", "b")]).compile(dialect=dialect, **words))
        if name == "bodies"
        else str(STATEMENTS[name].compile(dialect=dialect))
        for dialect in (postgresql.dialect(), mysql.dialect())
    )

    def named(sql: str) -> set[str]:
        return set(re.findall(r"(?:enrollments|devices|command_results|push_certs)\.\w+", sql))

    assert named(ours) == named(theirs)
    granted = {f"{of}.{one}" for part in (NEEDED, USEFUL) for of, names in part.items() for one in names}
    assert named(ours) <= granted
    assert "TIMESTAMP WITH TIME ZONE" not in theirs
    assert "UNIX_TIMESTAMP" not in ours


def test_mysql_is_asked_in_its_own_words() -> None:
    sql = str(RESULTS.compile(dialect=mysql.dialect()))
    assert "CAST(UNIX_TIMESTAMP(command_results.updated_at) * 1000000 AS SIGNED)" in sql
    assert "> (FROM_UNIXTIME(%s / 1000000), %s, %s)" in " ".join(sql.split())
    assert sql.rstrip().endswith("LIMIT %s")


def answers(url: str) -> Any:
    """All that is in the database, page by page."""
    database = ServerDatabase(url, "school")
    try:
        return database.seen_after(0), database.results_after(0)
    finally:
        database.close()


@pytest.mark.real_server
def test_the_granted_columns_suffice_and_nothing_else_can_be_read(cluster: Cluster) -> None:
    """Two devices enrol, one checks out again; each reader sees what it may, in microseconds of UTC."""
    dsn = cluster.nanomdm_database()
    name = dsn.rpartition("/")[2].partition("?")[0]
    cluster.psql(name, "-c", f"ALTER DATABASE {name} SET timezone TO 'Asia/Kolkata'")
    began = datetime.now(UTC)
    with nanomdm("pgsql", dsn=dsn) as server:
        enrol(server, MAC, "C02X1")
        enrol(server, PHONE, "DMPX1")
        enrol(server, OLD, "OLD1", leaves=True)
    whole = reader(cluster, name, grants("ROLE"))
    database = ServerDatabase(whole, "school")
    assert database.check() == ""
    found = list(database.enrolled())
    assert [(one.enrollment_id, one.serial) for one in found] == [(PHONE, "DMPX1"), (MAC, "C02X1")]
    rows = [inventory_row(one, KitClock()) for one in found]
    assert {(row.name, row.model, str(row.os_version)) for row in rows} == {("Ann's", "Mac16,1", "15.6.1")}
    began_at, now = int(began.timestamp() * 1_000_000), database.now()
    seen = {one.enrollment_id: one for one in database.seen_after(began_at)}
    assert {(one.enrollment_id, one.enabled) for one in seen.values()} == {(MAC, True), (PHONE, True), (OLD, False)}
    for one in seen.values():
        assert began_at < one.authenticated_at <= one.token_update_at <= one.last_seen_at <= now, "a zone is a zone"
    last = max(seen.values(), key=lambda one: one.last_seen_at)
    assert database.seen_after(last.last_seen_at, last.enrollment_id) == []
    assert database.seen_after(last.last_seen_at, "") == [last], "to the microsecond"
    database.close()
    for secret in ("push_magic FROM enrollments", "unlock_token FROM devices", "key_pem FROM push_certs",
                   "bootstrap_token_b64 FROM devices", "token_update FROM devices",
                   "command FROM commands"):  # fmt: skip
        with pytest.raises(subprocess.CalledProcessError):
            cluster.psql(name, "-c", f"SET ROLE reader_{name}; SELECT {secret}")
    with pytest.raises(ServerRefusedError, match="read-only"), database._asking() as connection:
        connection.exec_driver_sql("CREATE TEMP TABLE mine (id int)")
    database.close()


@pytest.mark.real_server
def test_a_reader_with_less_sees_less_or_is_told_what_to_grant(cluster: Cluster) -> None:
    dsn = cluster.nanomdm_database()
    name = dsn.rpartition("/")[2].partition("?")[0]
    with nanomdm("pgsql", dsn=dsn) as server:
        enrol(server, MAC, "C02X1")
    url = reader(cluster, name, ["GRANT SELECT (id, type, device_id, enabled, last_seen_at) ON enrollments TO ROLE;",
                                 "GRANT SELECT (id) ON devices TO ROLE;"])  # fmt: skip
    database = ServerDatabase(url, "school")
    assert [(one.enrollment_id, one.serial, one.told) for one in database.enrolled()] == [(MAC, "", {})]
    assert database.certificates() is None
    with pytest.raises(ServerRefusedError, match="permission denied") as caught:
        database.check()
    assert "GRANT SELECT (id, device_id, type, enabled, last_seen_at) ON enrollments" in caught.value.remedy
    cluster.psql(name, "-c", f"REVOKE SELECT (enabled) ON enrollments FROM reader_{name}")
    with pytest.raises(ServerRefusedError, match="school"):
        list(database.enrolled())
    database.close()
    with pytest.raises(ServerRefusedError, match="school"):
        list(ServerDatabase(cluster.url("postgresql"), "school").enrolled())
    with pytest.raises(ServerUnreachableError, match="does not answer"):
        ServerDatabase(f"postgres://nobody@127.0.0.1:1/{name}", "school").now()


@pytest.mark.parametrize(("extra", "driver"), [("mysql", "pymysql"), ("postgres", "psycopg")])
def test_a_driver_that_is_missing_is_named(extra: str, driver: str) -> None:
    """In a process of its own, which cannot import it."""
    program = (
        f"import sys; sys.modules[{driver!r}] = None\n"
        "from osupdate_kit.errors import SettingsError\nfrom osupdate_kit.servers.database import ServerDatabase\n"
        f"try: ServerDatabase('{extra}://u@h/db', 'school')\nexcept SettingsError as error: print(error.remedy)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert f"osupdate-kit[{extra}]" in told


@pytest.mark.real_server
def test_a_push_certificates_expiry_is_read_where_it_is_granted(cluster: Cluster) -> None:
    dsn = cluster.nanomdm_database()
    name = dsn.rpartition("/")[2].partition("?")[0]
    expires = datetime(2027, 3, 1, tzinfo=UTC)
    pem = certificate(expires)
    values = f"('t', '{pem}', '-----', 0)"
    cluster.psql(name, "-c", f"INSERT INTO push_certs (topic, cert_pem, key_pem, stale_token) VALUES {values}")
    database = ServerDatabase(reader(cluster, name, grants("ROLE")), "school")
    assert database.certificates() == {"t": expires}
    database.close()


def certificate(expires: datetime) -> str:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "push")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(expires - timedelta(days=365)).not_valid_after(expires)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_what_a_row_lacks_stays_unknown() -> None:
    row = inventory_row(Enrolled("E-1", "User Enrollment (Device)", 0, "", {"OSVersion": "no version"}), KitClock())
    assert (row.udid, row.enrollment_id, row.os_version, row.last_seen_at) == ("", "E-1", None, 0)
