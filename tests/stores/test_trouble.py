"""Killed processes, two services, many writers, and databases that go away."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from osupdate_kit.errors import StoreError
from osupdate_kit.stores.ledger import Ledger
from tests.paths import ROOT
from tests.real import Cluster
from tests.stores.values import NOW, device, event, inbox_row, key


@contextmanager
def program(body: str) -> Iterator["subprocess.Popen[str]"]:
    """Another process; it prints `ready` when it is where the test wants it."""
    start = "import sys; from osupdate_kit.stores.ledger import Ledger; from tests.stores.values import *\n"
    running = subprocess.Popen(
        [sys.executable, "-c", start + body], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert running.stdout is not None
        assert running.stdout.readline().strip() == "ready"
        yield running
    finally:
        running.kill()
        running.communicate()


def test_a_writer_killed_half_way_leaves_nothing_of_its_transaction(shared_url: str) -> None:
    ledger = Ledger.open(shared_url, migrate=True)
    ledger.take_in([inbox_row("before")])
    body = f"""
ledger = Ledger.open({shared_url!r})
with ledger.write() as tx:
    tx.add_devices([device(n) for n in range(3000)], now=NOW)
    tx.add_events([event(n) for n in range(3000)])
    tx.inbox_done([row.id for row in tx.inbox_next(5)])
    print("ready", flush=True)
    sys.stdin.read()
"""
    with program(body) as running:
        running.send_signal(signal.SIGKILL)
        running.wait()
    with ledger.write() as tx:
        assert (tx.count_devices(), tx.last_seq()) == (0, 0)
        assert [row.body for row in tx.inbox_next(5)] == [b"before"]
        tx.add_devices([device(1)], now=NOW)
    ledger.close()
    again = Ledger.open(shared_url)
    with again.read() as tx:
        assert tx.count_devices() == 1
    again.close()


def test_what_was_acknowledged_survives_a_kill(shared_url: str) -> None:
    Ledger.open(shared_url, migrate=True).close()
    body = f"""
ledger = Ledger.open({shared_url!r})
ledger.take_in([inbox_row("kept")])
print("ready", flush=True)
sys.stdin.read()
"""
    with program(body) as running:
        running.send_signal(signal.SIGKILL)
        running.wait()
    ledger = Ledger.open(shared_url)
    with ledger.read() as tx:
        assert [row.body for row in tx.inbox_next(5)] == [b"kept"]
    ledger.close()


def test_one_service_works_and_the_other_takes_over_when_it_dies(shared_url: str) -> None:
    ledger = Ledger.open(shared_url, migrate=True)
    body = f"""
lock = Ledger.open({shared_url!r}).try_service_lock()
assert lock is not None and lock.alive()
print("ready", flush=True)
sys.stdin.read()
"""
    with program(body) as running:
        assert ledger.try_service_lock() is None
        with ledger.service_lock() as granted:
            assert granted is False
        running.send_signal(signal.SIGKILL)
        running.wait()
        waiting = threading.Event()
        for _ in range(200):
            lock = ledger.try_service_lock()
            if lock is not None:
                break
            waiting.wait(0.05)
        assert lock is not None
    assert lock.alive()
    assert ledger.try_service_lock() is None
    lock.close()
    assert not lock.alive()
    with ledger.service_lock() as granted:
        assert granted is True
    ledger.close()


def test_a_store_in_memory_grants_its_lock_always() -> None:
    ledger = Ledger.open("sqlite://", migrate=True)
    first, second = ledger.try_service_lock(), ledger.try_service_lock()
    assert first is not None
    assert second is not None
    assert first.alive()
    first.close()


def test_numbers_are_in_order_of_commit_with_many_writers(shared_url: str) -> None:
    """Whoever has seen a number has seen every smaller one: no watermark can lose an event."""
    ledger = Ledger.open(shared_url, migrate=True)
    stop = threading.Event()
    gaps: list[list[int]] = []

    def watch() -> None:
        seen = 0
        while not stop.is_set():
            with ledger.read() as tx:
                last = tx.last_seq()
                numbers = [e.seq for events in tx.events_of([key(n) for n in range(4)]).values() for e in events]
            if sorted(numbers) != list(range(1, last + 1)) or last < seen:
                gaps.append(numbers)
            seen = last

    def write(writer: int) -> None:
        for turn in range(15):
            with ledger.write() as tx:
                tx.add_events([event(writer, f"{turn}:{n}") for n in range(10)])
            ledger.take_in([inbox_row(f"{writer}:{turn}")])

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    stop.set()
    watcher.join()
    assert gaps == []
    with ledger.read() as tx:
        assert (tx.last_seq(), tx.inbox_size()) == (600, 60)
    ledger.close()


def test_a_read_sees_one_moment(shared_url: str) -> None:
    ledger = Ledger.open(shared_url, migrate=True)
    with ledger.read() as tx:
        assert tx.count_devices() == 0
        with ledger.write() as writer:
            writer.add_devices([device(1)], now=NOW)
        assert tx.count_devices() == 0
    with ledger.read() as tx:
        assert tx.count_devices() == 1
    ledger.close()


@pytest.mark.real_server
def test_the_receiver_does_not_wait_for_the_writer_on_postgresql(cluster: Cluster) -> None:
    ledger = Ledger.open(cluster.url(), migrate=True)
    with ledger.write() as tx:
        tx.add_devices([device(1)], now=NOW)
        ledger.take_in([inbox_row("at once")])
        with ledger.read() as reader:
            assert (reader.inbox_size(), reader.count_devices()) == (1, 0)
    ledger.close()


@pytest.mark.real_server
def test_the_ledger_works_again_when_its_connections_were_cut(cluster: Cluster) -> None:
    ledger = Ledger.open(cluster.url(), migrate=True)
    lock = ledger.try_service_lock()
    assert lock is not None

    def cut_off() -> None:
        with ledger.write() as tx:
            tx.add_devices([device(1)], now=NOW)
            cluster.psql(
                "postgres",
                "-c",
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' "
                "AND pid <> pg_backend_pid()",
            )
            tx.add_devices([device(2)], now=NOW)

    with pytest.raises(StoreError) as error:
        cut_off()
    assert error.value.remedy
    assert not lock.alive()
    assert not lock.alive()
    lock.close()
    with ledger.write() as tx:
        assert tx.count_devices() == 0
        tx.add_devices([device(3)], now=NOW)
    assert ledger.try_service_lock() is not None
    ledger.close()


def test_a_full_store_says_so_and_works_again_with_more_room(tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'store.db'}", migrate=True)
    many = [inbox_row("x" * 5000) for _ in range(500)]
    with ledger.write() as tx:
        pages = tx._connection.execute(text("PRAGMA page_count")).scalar_one()
        tx._connection.execute(text(f"PRAGMA max_page_count = {pages + 20}"))
    with pytest.raises(StoreError, match="Free space"):
        ledger.take_in(many)
    with ledger.write() as tx:
        assert tx.inbox_size() == 0
        tx._connection.execute(text("PRAGMA max_page_count = 1000000"))
    ledger.take_in(many)
    with ledger.read() as tx:
        assert tx.inbox_size() == 500
    ledger.close()


def test_a_store_that_another_program_keeps_locked_says_so(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    ledger = Ledger.open(f"sqlite:///{path}", migrate=True)
    with ledger.write() as tx:
        tx._connection.execute(text("PRAGMA busy_timeout = 50"))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="end that program"):
        ledger.take_in([inbox_row("one")])
    other.execute("ROLLBACK")
    ledger.take_in([inbox_row("one")])
    other.close()
    ledger.close()


def test_a_store_whose_file_is_gone_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store at"):
        Ledger.open(f"sqlite:///{tmp_path / 'none.db'}")
    assert not os.listdir(tmp_path)
