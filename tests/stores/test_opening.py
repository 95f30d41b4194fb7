"""Opening a store: versions, places, and what is refused with which remedy."""

import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from osupdate_kit.errors import StoreError
from osupdate_kit.stores import migrate
from osupdate_kit.stores.connect import filesystem_of, refuse_network_filesystem, store_url
from osupdate_kit.stores.ledger import Ledger
from osupdate_kit.stores.schema import metadata
from tests.stores.values import NOW, device

SCHEMA = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite%' AND name != 'alembic_version'"


def definitions(connection: Connection) -> dict[str, set[str]]:
    """Of each table and index, what stands between its commas: a later step can only append columns."""
    rows = connection.execute(text(SCHEMA))
    return {name: {" ".join(part.split()) for part in sql.rstrip(" )\n").split(",")} for name, sql in rows}


def test_the_steps_lead_to_the_tables_of_the_schema_to_the_letter(memory: Callable[[], Ledger]) -> None:
    wanted = create_engine("sqlite://")
    metadata.create_all(wanted)
    ledger = memory()
    with wanted.connect() as there, ledger._engine.connect() as here:
        assert definitions(here) == definitions(there)


def test_the_steps_lead_to_the_tables_of_the_schema(ledger: Ledger) -> None:
    with ledger._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert migrate.version_of(connection) == migrate.REVISIONS[-1]


def test_the_package_knows_its_newest_step() -> None:
    config = Config()
    config.set_main_option("script_location", "osupdate_kit.stores:migrations")
    config.set_main_option("path_separator", "os")
    steps = ScriptDirectory.from_config(config)
    assert tuple(step.revision for step in reversed(list(steps.walk_revisions()))) == migrate.REVISIONS


def test_an_empty_store_is_refused_until_it_is_made(shared_url: str) -> None:
    with pytest.raises(StoreError, match="store upgrade"):
        Ledger.open(shared_url)
    Ledger.open(shared_url, migrate=True).close()
    Ledger.open(shared_url).close()
    Ledger.open(shared_url, migrate=True).close()


def test_an_older_schema_asks_for_the_upgrade_and_takes_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    with create_engine(url).begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    with pytest.raises(StoreError, match="osupdate-kit store upgrade"):
        Ledger.open(url)
    Ledger.open(url, migrate=True).close()


def test_a_newer_schema_asks_for_a_newer_package(shared_url: str) -> None:
    ledger = Ledger.open(shared_url, migrate=True)
    with ledger._engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    ledger.close()
    for migrates in (False, True):
        with pytest.raises(StoreError, match="newer osupdate-kit") as error:
            Ledger.open(shared_url, migrate=migrates)
        assert "pip install --upgrade" in error.value.remedy


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'photos.db'}"
    with create_engine(url).begin() as connection:
        connection.execute(text("CREATE TABLE photos (id INTEGER)"))
    with pytest.raises(StoreError, match="photos"):
        Ledger.open(url, migrate=True)


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.db").write_text("not a database at all, but long enough to be read as one" * 20)
    with pytest.raises(StoreError, match="backup"):
        Ledger.open(f"sqlite:///{tmp_path / 'note.db'}", migrate=True)


def test_a_store_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "store.db"
    ledger = Ledger.open(f"sqlite:///{path}", migrate=True)
    with ledger.write() as tx:
        tx.add_devices([device(1)], now=NOW)
    lock = ledger.try_service_lock()
    assert lock is not None
    files = list(path.parent.iterdir())
    assert {file.name for file in files} == {"store.db", "store.db-wal", "store.db-shm", "store.db.lock"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    lock.close()
    ledger.close()


MOUNTS = """\
/dev/vda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/vdb1 /home/local xfs rw 0 0
//nas/share /mnt/my\\040share cifs rw 0 0
ada@host: /mnt/ssh fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/store.db", "ext4"),
        ("/home/ada/store.db", "nfs4"),
        ("/home/local/store.db", "xfs"),
        ("/homes/store.db", "ext4"),
        ("/mnt/my share/store.db", "cifs"),
        ("/mnt/ssh/x/store.db", "fuse.sshfs"),
    ],
)
def test_a_network_file_system_is_refused(path: str, kind: str) -> None:
    assert filesystem_of(Path(path), MOUNTS) == kind
    if kind in {"ext4", "xfs"}:
        refuse_network_filesystem(Path(path), MOUNTS)
    else:
        with pytest.raises(StoreError, match=f"network file system \\({kind}\\)") as error:
            refuse_network_filesystem(Path(path), MOUNTS)
        assert "PostgreSQL" in error.value.remedy


@pytest.mark.parametrize(
    "url", ["", "store.db", "mysql://host/db", "sqlite+aiosqlite:///x.db", "postgresql+asyncpg://h/d"]
)
def test_an_address_that_is_no_store_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match="sqlite:///path"):
        store_url(url)


def test_postgresql_may_be_written_without_its_driver() -> None:
    assert store_url("postgresql://ada@host/kit").drivername == "postgresql+psycopg"


def test_a_password_is_never_shown() -> None:
    with pytest.raises(StoreError) as error:
        Ledger.open("postgresql://ada:sesame@127.0.0.1:1/kit")
    assert "sesame" not in str(error.value)
    assert "server runs" in error.value.remedy


def test_opening_does_not_wait_for_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    Ledger.open(url, migrate=True).close()
    program = (
        "import sys; from osupdate_kit.stores.ledger import Ledger\n"
        f"Ledger.open({url!r}, migrate=True).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_another_process_that_closes_leaves_the_log_of_one_that_opened_the_store_twice(tmp_path: Path) -> None:
    """SQLite's locks belong to the process and end when it closes the file by any way: then who closes last deletes."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    first = Ledger.open(url, migrate=True)
    with first.write() as tx:
        tx.add_devices([device("before")], now=NOW)
    second = Ledger.open(url, migrate=True)
    closes = "import sys; from osupdate_kit.stores.ledger import Ledger; Ledger.open(sys.argv[1]).close()"
    subprocess.run([sys.executable, "-c", closes, url], check=True)
    assert (tmp_path / "store.db-wal").exists()
    with first.write() as tx:
        tx.add_devices([device("after")], now=NOW)
    with second.read() as tx:
        assert tx.count_devices() == 2
    second.close()
    first.close()
