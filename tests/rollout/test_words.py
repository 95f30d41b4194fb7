"""The words of a plan's YAML: each key takes its own kind of value, and says what it wants instead of others."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given

from osupdate_kit.errors import PlanError
from osupdate_kit.rollout.words import (
    Reader,
    Written,
    count,
    day,
    flag,
    iso,
    micros,
    number,
    plain,
    read,
    text,
    texts,
)
from tests.rollout.plans import MOMENTS

NOON = datetime(2026, 12, 4, 12, 0, tzinfo=UTC)
AT = int(NOON.timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("reader", "value", "found"),
    [
        (text, "", ""),
        (text, "18.10", "18.10"),
        (texts, [], ()),
        (texts, ["a", "0123"], ("a", "0123")),
        (texts, ("a",), ("a",)),
        (number, 5, 5.0),
        (number, -0.5, -0.5),
        (count, 0, 0),
        (count, 1, 1),
        (count, 2**53 - 1, 2**53 - 1),  # the greatest that programs of all languages count exactly
        (flag, True, True),
        (flag, False, False),
        (day, date(2026, 12, 7), date(2026, 12, 7)),
        (day, "2026-12-07", date(2026, 12, 7)),
        (micros, "2026-12-04T12:00:00Z", AT),
        (micros, "2026-12-04T13:00:00+01:00", AT),
        (micros, "2026-12-04T12:00:00", AT),  # without a zone it is UTC
        (micros, "2026-12-04T12:00:00.000001Z", AT + 1),
        (micros, NOON.replace(tzinfo=None), AT),
        (micros, NOON.astimezone(timezone(timedelta(hours=5, minutes=30))), AT),
        (micros, "1970-01-01T00:00:00Z", 0),
    ],
)
def test_a_value_of_the_right_kind_is_read(reader: Reader, value: object, found: object) -> None:
    made = reader(value)
    assert made == found
    assert type(made) is type(found)


@pytest.mark.parametrize(
    ("reader", "wanted", "wrong"),
    [
        (text, "a text, in quotes if it looks like a number", [7, None, True, ["a"], date(2026, 1, 1)]),
        (texts, "a list of texts, each in quotes if it looks like a number", ["a", [7], [True], None, {"a": "b"}]),
        (number, "a number", ["5", True, None, [5]]),
        (count, "a whole number, 0 or more", [-1, 1.0, True, "1", None, 2**53]),
        (flag, "true or false", [0, 1, "true", None]),
        (day, "a date, such as 2026-12-07", [datetime(2026, 12, 7, tzinfo=UTC), 7, "7 December", None]),
        (micros, "a moment, such as 2026-12-04T18:00:00+01:00", ["soon", None, "25:00"]),
    ],
)  # fmt: skip
def test_another_kind_of_value_is_refused_with_what_is_wanted(reader: Reader, wanted: str, wrong: list[object]) -> None:
    for value in wrong:
        with pytest.raises(PlanError) as caught:
            read({"key": value}, {"key": reader}, "the plan")
        assert caught.value.args[0] == f"key of the plan is {str(value)!r}."
        assert caught.value.remedy == f"Give {wanted}."


READERS: dict[str, Reader] = {"pace": count, "name": text}


def test_only_keys_that_are_given_are_read() -> None:
    assert read({"name": "a"}, READERS, "a wave") == {"name": "a"}
    assert read({}, READERS, "a wave") == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (None, "a wave is no mapping of keys."),
        ([("pace", 1)], "a wave is no mapping of keys."),
        ({"pace": 1, "pase": 2}, "a wave has no key 'pase'."),
        ({7: 1}, "a wave has no key '7'."),
    ],
)
def test_an_unknown_key_is_named_with_those_that_there_are(words: object, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        read(words, READERS, "a wave")
    assert (caught.value.args[0], caught.value.remedy) == (message, "Keys: pace, name.")


def test_what_is_very_long_is_named_in_short() -> None:
    for words in ({"x" * 9_999: 1}, {"pace": "x" * 9_999}):
        with pytest.raises(PlanError) as caught:
            read(words, READERS, "a wave")
        assert "x" * 100 in str(caught.value)
        assert len(str(caught.value)) < 200


def test_a_reader_without_words_of_its_own_asks_for_another_value() -> None:
    readers: dict[str, Reader] = {"key": lambda value: 1 // int(str(value))}
    with pytest.raises(PlanError) as caught:
        read({"key": 0}, readers, "the plan")
    assert caught.value.remedy == "Give another value."


@given(MOMENTS)
def test_a_moment_is_written_as_it_is_read(at: int) -> None:
    assert micros(iso(at)) == at
    assert iso(at).endswith("Z")


def test_moments_are_written_in_utc() -> None:
    assert iso(AT) == "2026-12-04T12:00:00Z"
    assert iso(0) == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("value", "shown"), [(("a", "b"), ["a", "b"]), (5.0, 5), (0.5, 0.5), (0.0, 0), (7, 7), ("x", "x"), (True, True)]
)
def test_values_are_written_as_people_would(value: object, shown: Any) -> None:
    assert plain(value) == shown
    assert type(plain(value)) is type(shown)


def test_a_number_remembers_how_it_was_written() -> None:
    made = Written.of(18.1, "18.10")
    assert (made, made.written) == (18.1, "18.10")
    assert Written(18.1).written == ""
