"""Rows counted as they stream by, where some texts travel as numbers."""

import sqlite3
from collections import Counter

import ibis
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.analysis.tally import ceiling, tally

texts = st.one_of(st.none(), st.sampled_from(["", "0", "1", "26.5", "it's", 'a "b"', "?"]), st.text(max_size=3))
texts = texts.filter(lambda text: text is None or "\x00" not in text)  # which ends a text in SQLite
rows = st.lists(st.tuples(texts, st.one_of(st.none(), st.integers(0, 3)), texts), max_size=40)


@given(rows)
def test_rows_are_counted_whatever_their_texts(rows: list[tuple[str | None, int | None, str | None]]) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE rows (was TEXT, step INTEGER, now TEXT)")
    connection.executemany("INSERT INTO rows VALUES (?, ?, ?)", [row for row in rows for _ in range(2)])
    table = ibis.sqlite.from_connection(connection).table("rows")
    found = tally(table.select("was", "step", "now"))
    told = {
        tuple(None if cell != cell else cell for cell in row): number
        for *row, number in found.astype(object).itertuples(index=False, name=None)
    }
    assert told == {row: 2 * number for row, number in Counter(rows).items()}


@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=20), st.integers(1, 10**11), st.integers(0, 10**6))
def test_ceiling_is_exact(numbers: list[int], width: int, since: int) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE rows (at INTEGER)")
    exact = [since + number for number in numbers if number // width < 10**6]
    exact += [since + width * (number % 10**3) + more for number in numbers for more in (0, 1, width - 1)]
    connection.executemany("INSERT INTO rows VALUES (?)", [(number,) for number in exact])
    rows = ibis.sqlite.from_connection(connection).table("rows")
    found = rows.select(at=rows["at"], up=ceiling(rows["at"], since, width, "sqlite")).to_pandas()
    assert list(found["up"]) == [-(-(at - since) // width) for at in found["at"]]
