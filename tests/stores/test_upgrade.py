"""A store of an earlier version goes on in this one: nothing is lost, and its running rollout comes to its end."""

import hashlib
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine, insert, select, text

from osupdate_kit.errors import StoreError
from osupdate_kit.kit import Kit
from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.rehearsal import _KEY, SERVER, Rehearsal, write_list
from osupdate_kit.rollout.policy import Cadences
from osupdate_kit.service.receiver import LedgerInbox, Receiver, WebhookSource
from osupdate_kit.service.verify import verify
from osupdate_kit.stores import migrate
from osupdate_kit.stores.connect import make_engine, store_url
from osupdate_kit.stores.ledger import Ledger
from osupdate_kit.stores.schema import approvals
from osupdate_kit.stores.upgrade import Upgraded, backup, upgrade
from tests.stores.test_opening import SCHEMA

FIRST_SCHEMA = (
    "964a1d09b35cb458d5653ee7b77b3ae9cef8016eea792d3db96b625d3fd40e30"  # of version 0.1.0; never to be changed
)
FIRST = migrate.REVISIONS[0]
NEWEST = migrate.REVISIONS[-1]

Rows = dict[str, list[tuple[Any, ...]]]


def make_first(url: str) -> MetaData:
    """An empty store as version 0.1.0 made it; its tables."""
    engine = make_engine(store_url(url))
    with engine.execution_options(writes=True).connect() as connection, connection.begin():
        migrate.upgrade(connection, FIRST)
    tables = MetaData()
    tables.reflect(engine)
    engine.dispose()
    tables.remove(tables.tables["alembic_version"])
    return tables


def rows_of(url: str, tables: MetaData) -> Rows:
    engine = create_engine(store_url(url))
    with engine.connect() as connection:
        found = {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in tables.sorted_tables
        }
    engine.dispose()
    return found


def fill(url: str, tables: MetaData, source: str) -> None:
    """Take the rows of another store, table by table."""
    rows = rows_of(source, tables)
    engine = create_engine(store_url(url))
    with engine.begin() as connection:
        for table in tables.sorted_tables:
            names = [column.name for column in table.columns]
            if rows[table.name]:
                connection.execute(insert(table), [dict(zip(names, row, strict=True)) for row in rows[table.name]])
        if engine.dialect.name == "postgresql":  # numbers that the database itself gives go on after these
            for table in ("inbox", "transitions"):
                last = f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"
                connection.execute(text(last))
    engine.dispose()


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """A rollout under way."""
    folder = tmp_path_factory.mktemp("begun")
    parts = makeup("school")
    specs = make_fleet(parts, 60, 3)
    rehearsal = Rehearsal.of(parts, specs, f"sqlite:///{folder / 'store.db'}", who="ada")
    kit = rehearsal.kit
    kit.sync(str(write_list(specs, folder / "fleet.csv")), SERVER)
    rehearsal.run(1)
    chosen = kit.select('platform == "iPadOS"')
    kit.hold(kit.select(wanted=[chosen.devices[0].serial]), reason="exam")
    kit.start(kit.plan(chosen, target="26.6.1", allow_major=True))
    rehearsal.run(0.5)
    yield rehearsal
    kit.close()


@pytest.fixture
def first(begun: Rehearsal, shared_url: str) -> tuple[str, MetaData]:
    """A store of version 0.1.0 with a rollout under way."""
    tables = make_first(shared_url)
    fill(shared_url, tables, begun.kit.ledger.url)
    return shared_url, tables


def test_the_first_schema_is_that_of_version_0_1_0(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    make_first(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as store:
        words = "\n".join(f"{name}\n{sql}" for name, sql in sorted(store.execute(SCHEMA)))
    assert hashlib.sha256(words.encode()).hexdigest() == FIRST_SCHEMA


def test_an_older_store_is_refused_by_everything_but_the_upgrade(first: tuple[str, MetaData]) -> None:
    url, _ = first
    for makes in (False, True):
        with pytest.raises(StoreError, match=f"older schema {FIRST}") as error:
            Ledger.open(url, migrate=makes)
        assert "osupdate-kit store upgrade" in error.value.remedy


def test_nothing_is_lost_and_the_events_add_up(first: tuple[str, MetaData]) -> None:
    url, tables = first
    before = rows_of(url, tables)
    assert len(before["events"]) > 100
    assert before["rollouts"][0][2] == "running"
    done = upgrade(url)
    assert (done.before, done.after) == (FIRST, NEWEST)
    assert rows_of(url, tables) == before
    with closing(Ledger.open(url)) as ledger:
        assert list(verify(ledger)) == []
    assert upgrade(url) == Upgraded(NEWEST, NEWEST)


def test_nobody_is_asked_to_approve_of_what_began_before(first: tuple[str, MetaData]) -> None:
    url, tables = first
    upgrade(url)
    engine = create_engine(store_url(url))
    with engine.connect() as connection:
        asked = connection.execute(select(approvals)).fetchall()
        taking = connection.execute(text("SELECT count(*) FROM journey WHERE barrier = ''")).scalar()
    engine.dispose()
    began = rows_of(url, tables)["rollouts"][0]
    assert [tuple(row) for row in asked] == [(began[0], began[1], taking, False, "ada", began[3], "", 0)]


def test_the_rollout_under_way_comes_to_its_end(begun: Rehearsal, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    fill(url, make_first(url), begun.kit.ledger.url)
    upgrade(url)
    ledger = Ledger.open(url)
    kit = Kit(ledger, begun.kit.servers, begun.clock, Cadences(), who="ada")
    server = begun.world.server
    receiver = Receiver(LedgerInbox(ledger), [WebhookSource(name=SERVER, key=_KEY.encode())], begun.clock)
    server.webhook = lambda body, headers: receiver.accept(SERVER, headers, body)
    done = kit.status(1).states.get("done", 0)
    Rehearsal(kit, begun.world, kit.turns(), begun.clock, begun.truth).run(4)
    status = kit.status(1)
    assert status.states["done"] > done
    assert sum(status.states.values()) == status.selected
    assert kit.verify() == []
    ledger.close()


def test_a_sqlite_store_is_copied_first(begun: Rehearsal, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    url = f"sqlite:///{path}"
    tables = make_first(url)
    fill(url, tables, begun.kit.ledger.url)
    before = rows_of(url, tables)
    (tmp_path / f"store.db.{FIRST}.backup").write_text("of an earlier upgrade")
    copy = upgrade(url).backup
    assert copy == tmp_path / f"store.db.{FIRST}.backup-2"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert rows_of(f"sqlite:///{copy}", tables) == before
    with pytest.raises(StoreError, match="older schema"):
        Ledger.open(f"sqlite:///{copy}")


def test_nothing_is_upgraded_while_a_service_works(first: tuple[str, MetaData]) -> None:
    url, _ = first
    parsed = store_url(url)
    working = Ledger(make_engine(parsed), parsed)
    with working.service_lock() as ours:
        assert ours
        with pytest.raises(StoreError, match="A service works") as error:
            upgrade(url)
        assert "Stop every" in error.value.remedy
    working.close()
    with pytest.raises(StoreError, match="older schema"):
        Ledger.open(url)
    assert upgrade(url).after == NEWEST


def test_a_store_is_copied_while_somebody_writes(begun: Rehearsal, tmp_path: Path) -> None:
    url, tables = begun.kit.ledger.url, make_first(f"sqlite:///{tmp_path / 'tables.db'}")
    copy = tmp_path / "copy.db"
    with begun.kit.ledger.write() as tx:
        tx.put("written", "not yet")
        backup(url, copy)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    before, after = rows_of(f"sqlite:///{copy}", tables), rows_of(url, tables)
    assert ("written", "not yet") in set(after["cursors"]) - set(before["cursors"])
    assert before["events"] == after["events"]
    with closing(Ledger.open(f"sqlite:///{copy}")) as ledger:
        assert list(verify(ledger)) == []
    with pytest.raises(StoreError, match="is there already"):
        backup(url, copy)
    with pytest.raises(StoreError, match="cannot be made"):
        backup(url, tmp_path / "no folder" / "copy.db")
    with pytest.raises(StoreError, match="SQLite") as error:
        backup("postgresql://ada@127.0.0.1:1/kit", copy)
    assert "pg_dump" in error.value.remedy


def test_an_upgrade_makes_a_store_where_there_is_none(shared_url: str) -> None:
    done = upgrade(shared_url)
    assert (done.before, done.after, done.backup) == ("", NEWEST, None)
    Ledger.open(shared_url).close()
