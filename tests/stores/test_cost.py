"""Nothing that runs with each turn reads a whole table: its cost follows what is due, not the fleet."""

import pytest
from sqlalchemy import text

from osupdate_kit.stores import evidence, fleet, office, outbox, rollouts
from osupdate_kit.stores.ledger import Ledger
from osupdate_kit.stores.statements import Statement

WHOLE = {
    "_INBOX_NEXT",
    "_COUNT",
    "_INBOX_SIZE",
    "_PLANS",
    "_ROLLOUTS",
    "_AUDITS",
    "_AUDITS_OF",
    "_SERVERS",
    "_HOLDS_ALL",
    "_HOLDS_EVER",
    "_BY_UDID",
    "_MINUTES_WRONG",
}
STATEMENTS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": statement
    for module in (evidence, fleet, office, outbox, rollouts)
    for name, statement in vars(module).items()
    if isinstance(statement, Statement) and name not in WHOLE
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_finds_its_rows_by_an_index(name: str) -> None:
    ledger = Ledger.open("sqlite://", migrate=True)
    with ledger.read() as tx:
        connection = tx._connection
        sql = STATEMENTS[name].sql(connection.dialect)
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", ("1",) * sql.count("?"))]
        tables = [row[0] for row in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'"))]
    ledger.close()
    read_whole = [step for step in plan if step in {f"SCAN {table}" for table in tables}]
    assert read_whole == []
