"""The data contract says what the stores keep."""

import pytest
from sqlalchemy import BigInteger, Boolean, Integer, SmallInteger, Text
from sqlalchemy import Table as SqlTable

from osupdate_kit.analysis.tables import TABLES, Kind, Table
from osupdate_kit.stores.schema import metadata

PRIVATE = {"inbox", "raw_bodies", "acts", "cursors", "census"}
TYPES: dict[Kind, tuple[type, ...]] = {
    Kind.TEXT: (Text,),
    Kind.JSON: (Text,),
    Kind.FLAG: (Boolean,),
    Kind.TIME: (BigInteger,),
    Kind.NUMBER: (BigInteger, Integer, SmallInteger),
}


def test_every_table_is_public_or_named_private() -> None:
    assert set(TABLES) | PRIVATE == set(metadata.tables)
    assert not set(TABLES) & PRIVATE


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_public_table_has_the_columns_of_the_contract(table: Table) -> None:
    kept: SqlTable = metadata.tables[table.name]
    assert [column.name for column in table.columns] == [column.name for column in kept.c]
    for column in table.columns:
        there = kept.c[column.name]
        assert isinstance(there.type, TYPES[column.kind]), column
        assert bool(there.nullable) is column.nullable, column
        assert (column.kind is Kind.TIME) == (
            column.name.endswith("_at") or column.name in {"at", "not_before", "gate"}
        )
    assert list(table.key) == [column.name for column in kept.primary_key]
    assert not table.watermark or table.key == (table.watermark,)
