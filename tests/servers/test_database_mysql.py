"""NanoMDM's tables on a database that speaks MySQL's protocol (MariaDB): read by the same statements, with its grants.

NanoMDM itself needs MySQL 8.0.19 and does not write to MariaDB, so its own schema is filled here as its statements do.
"""

import plistlib
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from osupdate_kit.errors import OSUpdateKitError, ServerRefusedError, ServerUnreachableError
from osupdate_kit.servers.database import DEVICE_CHANNELS, ResultKey, ServerDatabase, grants
from tests.real import MariaDB, mariadb
from tests.servers.test_database import certificate

SECOND = 1_000_000
NOON = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()) * SECOND
UPDATES = plistlib.dumps({"UpdateResults": [{"UpdateKey": "MSU"}]}).decode()
OTHER = plistlib.dumps({"QueryResponses": {"OSVersion": "15.6.1"}}).decode()

pytestmark = pytest.mark.real_server


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDB]:
    with mariadb() as running:
        running.sql("SET GLOBAL time_zone = '+05:30'")  # a column bears no zone: sessions that name none live in it
        yield running


def made(server: MariaDB) -> str:
    """A database of a Mac and an iPhone that has left; its name."""
    name = server.nanomdm_database()
    told = plistlib.dumps({"DeviceName": "Ann's", "ProductName": "Mac16,1", "OSVersion": "15.6.1"}).decode()
    rows = []
    for udid, serial, seen, enabled in (("MAC-1", "C02X1", 60, 1), ("PHONE-1", "DMPX1", 5, 0)):
        at = f"FROM_UNIXTIME({NOON // SECOND})"
        rows.append(
            "INSERT INTO devices (id, serial_number, authenticate, authenticate_at, token_update, token_update_at) "
            f"VALUES ('{udid}', '{serial}', {quoted(told)}, {at}, 'x', {at} + INTERVAL 1 SECOND)"
        )
        channels = ((udid, "NULL", DEVICE_CHANNELS[0]), (f"{udid}:ann", f"'{udid}:ann'", "User"))
        rows.append(f"INSERT INTO users (id, device_id, user_short_name) VALUES ('{udid}:ann', '{udid}', 'ann')")
        rows += [
            "INSERT INTO enrollments (id, device_id, user_id, type, topic, push_magic, token_hex, enabled, "
            f"last_seen_at) VALUES ('{one}', '{udid}', {user}, '{kind}', 't', 'm', 'ff', {enabled}, "
            f"{at} + INTERVAL {seen} SECOND)"
            for one, user, kind in channels
        ]
    server.sql(";\n".join(rows), name)
    return name


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def answered(server: MariaDB, name: str, udid: str, uuid: str, body: str, *, after: int) -> None:
    command = '<?xml version="1.0"?>'
    server.sql(
        f"INSERT IGNORE INTO commands (command_uuid, request_type, command) VALUES ('{uuid}', 'X', '{command}');"
        "INSERT INTO command_results (id, command_uuid, status, result, updated_at) VALUES "
        f"('{udid}', '{uuid}', 'Acknowledged', {quoted(body)}, FROM_UNIXTIME({NOON // SECOND + after}))",
        name,
    )


def reader(server: MariaDB, name: str, statements: list[str]) -> ServerDatabase:
    """Of a user with these rights and nothing more."""
    user = f"reader_{name}"
    server.sql(f"CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'planted'")
    server.sql("".join(one.replace("ROLE", f"{user}@'127.0.0.1'") for one in statements), name)
    return ServerDatabase(f"mysql://{user}:planted@127.0.0.1:{server.port}/{name}", "school")


def test_the_granted_columns_suffice_and_instants_are_utc(server: MariaDB) -> None:
    database = reader(server, made(server), grants("ROLE"))
    assert database.check() == ""
    assert abs(database.now() / SECOND - datetime.now(UTC).timestamp()) < 30
    (mac,) = database.enrolled()
    assert (mac.enrollment_id, mac.type, mac.serial, mac.last_seen_at) == (
        "MAC-1",
        "Device",
        "C02X1",
        NOON + 60 * SECOND,
    )
    assert mac.told == {"DeviceName": "Ann's", "ProductName": "Mac16,1", "OSVersion": "15.6.1"}
    phone, seen = database.seen_after(NOON)
    assert (phone.enrollment_id, phone.enabled, phone.last_seen_at) == ("PHONE-1", False, NOON + 5 * SECOND)
    assert (seen.enrollment_id, seen.authenticated_at, seen.token_update_at) == ("MAC-1", NOON, NOON + SECOND)
    assert database.seen_after(phone.last_seen_at, phone.enrollment_id) == [seen]
    assert database.seen_after(seen.last_seen_at, seen.enrollment_id) == []
    database.close()


def test_answers_come_in_order_whole_and_only_of_device_channels(server: MariaDB) -> None:
    """Columns hold whole seconds: within one, the order goes on by device and command."""
    name = made(server)
    for udid, uuid, body, after in (
        ("MAC-1", "B", UPDATES, 10), ("MAC-1", "A", OTHER, 10), ("PHONE-1", "A", OTHER, 10), ("MAC-1", "C", OTHER, 9),
        ("MAC-1:ann", "A", OTHER, 11),
    ):  # fmt: skip
        answered(server, name, udid, uuid, body, after=after)
    database = reader(server, name, grants("ROLE"))
    found = database.results_after(NOON)
    assert [(key.updated_at - NOON, key.enrollment_id, key.command_uuid) for key in found] == [
        (9 * SECOND, "MAC-1", "C"), (10 * SECOND, "MAC-1", "A"), (10 * SECOND, "MAC-1", "B"),
        (10 * SECOND, "PHONE-1", "A"),
    ]  # fmt: skip
    assert found[2] == ResultKey(NOON + 10 * SECOND, "MAC-1", "B", "Device", "Acknowledged", True)
    assert [key.of_updates for key in found] == [False, False, True, False]
    for number, key in enumerate(found):
        assert database.results_after(key.updated_at, key.enrollment_id, key.command_uuid) == found[number + 1 :]
    bodies = database.bodies(found[1:3])
    assert bodies == {("MAC-1", "A"): OTHER.encode(), ("MAC-1", "B"): UPDATES.encode()}
    database.close()


def test_a_reader_reads_nothing_else_and_writes_nothing(server: MariaDB) -> None:
    name = made(server)
    database = reader(server, name, grants("ROLE"))
    for secret in ("unlock_token FROM devices", "bootstrap_token_b64 FROM devices", "push_magic FROM enrollments",
                   "command FROM commands", "key_pem FROM push_certs"):  # fmt: skip
        with pytest.raises(ServerRefusedError, match="denied"), database._asking() as connection:
            connection.exec_driver_sql(f"SELECT {secret}")
    server.sql(f"GRANT INSERT, UPDATE ON {name}.* TO reader_{name}@'127.0.0.1'")
    again = ServerDatabase(database._url.render_as_string(hide_password=False), "school")
    with pytest.raises(OSUpdateKitError, match="READ ONLY"), again._asking() as connection:
        connection.exec_driver_sql("UPDATE devices SET serial_number = 'X'")
    database.close()
    again.close()


def test_a_reader_with_less_sees_less_or_is_told_what_to_grant(server: MariaDB) -> None:
    few = ["GRANT SELECT (id, type, device_id, enabled, last_seen_at) ON enrollments TO ROLE;",
           "GRANT SELECT (id) ON devices TO ROLE;"]  # fmt: skip
    database = reader(server, made(server), few)
    assert [(one.enrollment_id, one.serial, one.told) for one in database.enrolled()] == [("MAC-1", "", {})]
    assert database.certificates() is None
    with pytest.raises(ServerRefusedError, match="denied") as caught:
        database.check()
    assert "GRANT SELECT (id, device_id, type, enabled, last_seen_at) ON enrollments" in caught.value.remedy
    assert "planted" not in str(caught.value)
    database.close()
    url = database._url.set(password="wrong").render_as_string(hide_password=False)
    with pytest.raises(ServerUnreachableError) as caught_too:
        ServerDatabase(url, "school").now()
    assert "user and password" in caught_too.value.remedy


def test_a_push_certificates_expiry_is_read(server: MariaDB) -> None:
    name, expires = made(server), datetime(2027, 3, 1, tzinfo=UTC)
    values = f"('t', {quoted(certificate(expires))}, '-----BEGIN', 0)"
    server.sql(f"INSERT INTO push_certs (topic, cert_pem, key_pem, stale_token) VALUES {values}", name)
    database = reader(server, name, grants("ROLE"))
    assert database.certificates() == {"t": expires}
    database.close()
