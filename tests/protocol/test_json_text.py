"""JSON from strangers is an object within bounds, or our error: exactly at each bound and one beyond."""

import json
from typing import Any

import pytest

from osupdate_kit.errors import ProtocolError
from osupdate_kit.protocol.json_text import read_json


def refusal(body: bytes, **bounds: int) -> str:
    with pytest.raises(ProtocolError) as caught:
        read_json(body, **bounds)
    assert caught.value.remedy
    return str(caught.value.args[0])


def nested(levels: int, opening: bytes = b'{"a":', closing: bytes = b"}") -> bytes:
    return b'{"a":' + opening * (levels - 1) + b"1" + closing * (levels - 1) + b"}"


def test_what_is_plain_json_is_read_and_the_last_of_two_equal_keys_counts() -> None:
    fields: dict[str, Any] = {"text": "ü", "list": [1, 2.5, True, None, {"deep": []}], "empty": {}}
    assert read_json(json.dumps(fields).encode()) == fields
    assert read_json(b'{"a": 1, "a": 2}') == {"a": 2}
    assert read_json("{}".encode("utf-16")) == {}


def test_a_mebibyte_is_read_and_a_byte_more_is_not() -> None:
    whole = b'{"a":1}'.ljust(1 << 20)
    assert read_json(whole) == {"a": 1}
    assert refusal(whole + b" ") == "A JSON text of 1048577 bytes is too large (at most 1048576)."
    assert read_json(b"{}", max_bytes=2) == {}
    assert refusal(b"{} ", max_bytes=2) == "A JSON text of 3 bytes is too large (at most 2)."


@pytest.mark.parametrize(("opening", "closing"), [(b'{"a":', b"}"), (b"[", b"]")])
def test_32_levels_are_read_and_one_more_is_not(opening: bytes, closing: bytes) -> None:
    assert read_json(nested(32, opening, closing))
    assert refusal(nested(33, opening, closing)) == "JSON nested deeper than 32 levels."
    assert read_json(nested(1), max_depth=1) == {"a": 1}
    assert refusal(nested(2, opening, closing), max_depth=1) == "JSON nested deeper than 1 levels."


def test_a_number_has_400_digits_at_most() -> None:
    assert read_json(b'{"a":' + b"9" * 400 + b"}") == {"a": 10**400 - 1}
    assert refusal(b'{"a":' + b"9" * 401 + b"}") == "No JSON: ValueError."


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "No JSON: JSONDecodeError."),
        (b"{", "No JSON: JSONDecodeError."),
        (b'{"a":"\xff"}', "No JSON: UnicodeDecodeError."),
        (b"[" * 100_000, "No JSON: RecursionError."),
        (b'{"a":NaN}', "No JSON: ValueError."),
        (b'{"a":-Infinity}', "No JSON: ValueError."),
        (b"[]", "The JSON is no object but list."),
        (b"null", "The JSON is no object but NoneType."),
        (b'"{}"', "The JSON is no object but str."),
        (b'{"a":[1,1e999]}', "A number of the JSON is too large."),
        (b'{"a":-1e999}', "A number of the JSON is too large."),
        (b'{"a":"\\u0000"}', "A string of the JSON holds a NUL."),
        (b'{"a":{"b\\u0000":1}}', "A string of the JSON holds a NUL."),
        (b'{"a":["\\ud800"]}', "A string of the JSON holds half a character."),
        (b'{"\\udc00":1}', "A string of the JSON holds half a character."),
    ],
)
def test_what_no_database_holds_or_is_no_object_is_refused(body: bytes, words: str) -> None:
    assert refusal(body) == words


def test_large_numbers_and_rare_characters_are_no_reason_to_refuse() -> None:
    assert read_json('{"𝄞":"\\ud834\\udd1e\\u0001","a":[1e308,-1e308,0.0]}'.encode()) == {
        "𝄞": "𝄞\x01",
        "a": [1e308, -1e308, 0.0],
    }
