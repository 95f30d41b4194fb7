"""No bytes make the reader raise anything but the kit's own error, and nothing small becomes large."""

import json
import plistlib
import re
import struct
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from osupdate_kit.errors import ProtocolError
from osupdate_kit.protocol.commands import decode
from osupdate_kit.protocol.plists import MAX_BYTES, MAX_DEPTH, from_json, read_plist, to_json
from osupdate_kit.protocol.results import read_report

HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n'
REPLY = plistlib.dumps({"Status": "Acknowledged", "UDID": "U", "CommandUUID": "C", "N": [1, 2.5, True, b"x"]})
BINARY = plistlib.dumps({"Status": "Idle", "UDID": "U", "N": [1, 2.5, True, b"x", {"k": "é"}]}, fmt=plistlib.FMT_BINARY)


def xml(inner: bytes, dtd: bytes = b"") -> bytes:
    return HEAD + dtd + b'<plist version="1.0">' + inner + b"</plist>"


def entry(value: bytes) -> bytes:
    return xml(b"<dict><key>k</key>" + value + b"</dict>")


def binary(objects: list[bytes], *, offsets: list[int] | None = None, top: int = 0, count: int | None = None) -> bytes:
    """A binary property list by hand: objects, offset table, trailer; every size one byte."""
    body, found = b"bplist00", []
    for item in objects:
        found.append(len(body))
        body += item
    table = b"".join(struct.pack(">Q", offset) for offset in (offsets or found))
    return body + table + struct.pack(">6xBBQQQ", 8, 1, count or len(objects), top, len(body))


def doubling_array(levels: int) -> bytes:
    """One key whose value is an array of two references to an array of two references, …: 2**levels values."""
    objects = [b"\xd1\x01\x02", b"\x51k"]
    objects += [b"\xa2" + bytes([level + 3, level + 3]) for level in range(levels)]
    return binary([*objects, b"\x09"])


BOMBS: dict[str, bytes] = {
    "nothing": b"",
    "NUL bytes": b"\0" * 1000,
    "a NUL in XML": entry(b"<string>a\0b</string>"),
    "a NUL in a binary string": binary([b"\xd1\x01\x02", b"\x51k", b"\x53a\0b"]),
    "text": b"Status=Idle",
    "HTML": b"<!doctype html><html><body>502</body></html>",
    "half a body": REPLY[: len(REPLY) // 2],
    "half a binary body": BINARY[: len(BINARY) // 2],
    "an array on top": xml(b"<array/>"),
    "a string on top": xml(b"<string>x</string>"),
    "no value on top": xml(b""),
    "billion laughs": xml(
        b"<dict><key>k</key><string>&h;</string></dict>",
        b'<!DOCTYPE plist [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY h "&b;&b;&b;&b;&b;&b;&b;">]>',
    ),
    "one harmless entity": xml(b"<dict/>", b'<!DOCTYPE plist [<!ENTITY a "x">]>'),
    "a file as entity": xml(
        b"<dict><key>k</key><string>&f;</string></dict>", b'<!DOCTYPE plist [<!ENTITY f SYSTEM "file:///etc/hosts">]>'
    ),
    "a parameter entity": xml(b"<dict/>", b'<!DOCTYPE plist [<!ENTITY % p "x"> %p;]>'),
    "an entity in UTF-16": xml(b"<dict/>", b'<!DOCTYPE plist [<!ENTITY a "x">]>').decode().encode("utf-16"),
    "100,000 nested arrays": entry(b"<array>" * 100_000 + b"</array>" * 100_000)[: MAX_BYTES * 2],
    "60,000 nested arrays": entry(b"<array>" * 60_000 + b"</array>" * 60_000),
    "one level too many": entry(b"<array>" * MAX_DEPTH + b"</array>" * MAX_DEPTH),
    "too large": entry(b"<string>" + b"x" * MAX_BYTES + b"</string>"),
    "an invalid date": entry(b"<date>yesterday</date>"),
    "the 13th month": entry(b"<date>2026-13-01T00:00:00Z</date>"),
    "no number": entry(b"<integer>twelve</integer>"),
    "a number of 5,000 digits": entry(b"<integer>" + b"9" * 5_000 + b"</integer>"),
    "a number of 1,000 digits": entry(b"<integer>" + b"9" * 1_000 + b"</integer>"),
    "a number of 65 bits": entry(b"<integer>18446744073709551616</integer>"),
    "no base64": entry(b"<data>abc</data>"),
    "an unknown element": entry(b"<set/>"),
    "a key without value": xml(b"<dict><key>k</key></dict>"),
    "a value without key": xml(b"<dict><true/></dict>"),
    "an unknown encoding": b'<?xml version="1.0" encoding="klingon"?><plist><dict/></plist>',
    "a null": binary([b"\xd1\x01\x02", b"\x51k", b"\x00"]),
    "a UID": binary([b"\xd1\x01\x02", b"\x51k", b"\x80\x01"]),
    "a key that is a number": binary([b"\xd1\x01\x01", b"\x10\x05"]),
    "a key that is an array": binary([b"\xd1\x01\x01", b"\xa0"]),
    "an array that holds itself": binary([b"\xd1\x01\x02", b"\x51k", b"\xa1\x02"]),
    "a dictionary that holds itself": binary([b"\xd1\x01\x00", b"\x51k"]),
    "an array twice in itself": binary([b"\xd1\x01\x02", b"\x51k", b"\xa2\x02\x02"]),
    "2**28 values by reference": doubling_array(28),
    "an offset beyond the end": binary([b"\xd1\x01\x02", b"\x51k", b"\x09"], offsets=[8, 11, 1 << 62]),
    "an offset beyond 63 bits": binary([b"\xd1\x01\x02", b"\x51k", b"\x09"], offsets=[8, 11, (1 << 64) - 1]),
    "a reference to nothing": binary([b"\xd1\x01\x09", b"\x51k"]),
    "a top that is not there": binary([b"\xd0"], top=7),
    "2**40 objects": binary([b"\xd0"], count=1 << 40),
    "an array of 2**60": binary([b"\xd1\x01\x02", b"\x51k", b"\xaf\x13" + struct.pack(">Q", 1 << 60)]),
    "a string of 2**60": binary([b"\xd1\x01\x02", b"\x51k", b"\x5f\x13" + struct.pack(">Q", 1 << 60)]),
    "a number of 128 bits": binary([b"\xd1\x01\x02", b"\x51k", b"\x14" + b"\x7f" * 16]),
    "a date of nan": binary([b"\xd1\x01\x02", b"\x51k", b"\x33" + struct.pack(">d", float("nan"))]),
    "a date of 1e300": binary([b"\xd1\x01\x02", b"\x51k", b"\x33" + struct.pack(">d", 1e300)]),
    "half a character": binary([b"\xd1\x01\x02", b"\x51k", b"\x61\xd8\x00"]),
}


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS)
def test_a_bomb_gives_our_error_with_a_remedy(body: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_plist(body)
    assert caught.value.remedy
    assert len(str(caught.value)) < 400


def test_a_long_string_by_many_references_is_refused() -> None:
    long = b"\x5f\x12" + struct.pack(">I", 200_000) + b"x" * 200_000
    array = b"\xaf\x10\xc8" + b"\x03" * 200
    with pytest.raises(ProtocolError, match="swells"):
        read_plist(binary([b"\xd1\x01\x02", b"\x51k", array, long]))


def test_few_bytes_that_refer_to_one_another_cost_little_to_refuse() -> None:
    """An array of itself twice doubles at every level: without a bound by its size it was counted up to a mebibyte."""
    with pytest.raises(ProtocolError, match="swells"):
        read_plist(binary([b"\xd1\x01\x02", b"\x51k", b"\xa2\x02\x02"]))
    text = b"\x5f\x11" + struct.pack(">H", 1000) + b"x" * 1000
    with pytest.raises(ProtocolError, match="swells"):  # 200 KB of 1.3
        read_plist(binary([b"\xd1\x01\x02", b"\x51k", b"\xaf\x10\xc8" + b"\x03" * 200, text]))


def test_what_a_list_of_updates_shares_is_read() -> None:
    """The binary form writes equal keys and texts once."""
    items = [{f"AKeyOfAnUpdateThatIsLong{n}": "A text that all of them share" for n in range(25)} for _ in range(300)]
    body = plistlib.dumps({"AvailableOSUpdates": items}, fmt=plistlib.FMT_BINARY)
    assert read_plist(body) == {"AvailableOSUpdates": items}


def test_a_text_of_900_bytes_may_be_referred_to_a_hundred_times() -> None:
    """Honest lists share much: what a body swells to is bounded by its size, generously."""
    text = b"\x5f\x11" + struct.pack(">H", 900) + b"x" * 900
    body = binary([b"\xd1\x01\x02", b"\x51k", b"\xaf\x10\x64" + b"\x03" * 100, text])
    assert read_plist(body) == {"k": ["x" * 900] * 100}


def test_nested_binary_arrays_beyond_pythons_stack_are_refused() -> None:
    body, found = b"bplist00", []
    for item in [
        b"\xd1\x00\x01\x00\x02",
        b"\x51k",
        *(b"\xa1" + struct.pack(">H", n + 3) for n in range(5_000)),
        b"\x09",
    ]:
        found.append(len(body))
        body += item
    table = b"".join(struct.pack(">I", offset) for offset in found)
    body = body + table + struct.pack(">6xBBQQQ", 4, 2, len(found), 0, len(body))
    with pytest.raises(ProtocolError):
        read_plist(body)


def test_what_is_allowed_is_read() -> None:
    assert read_plist(REPLY)["N"] == [1, 2.5, True, b"x"]
    assert read_plist(BINARY)["N"] == [1, 2.5, True, b"x", {"k": "é"}]
    assert read_plist(entry(b"<string><![CDATA[<!ENTITY a>]]></string>")) == {"k": "<!ENTITY a>"}
    assert read_plist(entry(b"<integer>18446744073709551615</integer>")) == {"k": 2**64 - 1}
    deep = read_plist(entry(b"<array>" * (MAX_DEPTH - 1) + b"</array>" * (MAX_DEPTH - 1)))
    assert str(deep).count("[") == MAX_DEPTH - 1
    assert len(str(read_plist(entry(b"<string>" + b"x" * (MAX_BYTES - 200) + b"</string>")))) > MAX_BYTES - 200
    full = b"<array>" + b"<true/>" * 140_000 + b"</array>"
    assert len(read_plist(entry(full))["k"]) == 140_000  # type: ignore[arg-type]


def refusal(body: bytes, **bounds: int) -> str:
    with pytest.raises(ProtocolError) as caught:
        read_plist(body, **bounds)
    assert caught.value.remedy
    return str(caught.value.args[0])


def test_a_body_may_be_as_large_and_as_deep_as_its_bounds_and_no_more() -> None:
    whole = entry(b"<string>x</string>").ljust(1 << 20)
    assert read_plist(whole) == {"k": "x"}
    assert refusal(whole + b" ") == "A property list of 1048577 bytes is too large (at most 1048576)."
    body = entry(b"<array/>")
    assert read_plist(body, max_bytes=len(body), max_depth=2) == {"k": []}
    assert refusal(body, max_bytes=len(body) - 1).endswith(f"(at most {len(body) - 1}).")
    assert refusal(body, max_depth=1) == "A property list nested deeper than 1 levels."
    assert read_plist(entry(b"<true/>"), max_depth=1) == {"k": True}
    assert refusal(entry(b"<array>" * 32 + b"</array>" * 32)) == "A property list nested deeper than 32 levels."


def test_all_values_together_weigh_no_more_than_the_bytes_allowed() -> None:
    """Every value counts one, and a text or data its length besides; what is referred to twice counts twice."""
    for text, kind in ((b"\x5f", "x"), (b"\x4f", b"x")):
        long = b"\x12" + struct.pack(">I", 1000) + b"x" * 1000
        body = binary([b"\xd1\x01\x02", b"\x51k", b"\xa2\x03\x03", text + long])
        weight = 2 + 1 + 2 * 1001  # the key, the array, the text by two references
        assert weight > len(body)
        assert read_plist(body, max_bytes=weight) == {"k": [kind * 1000] * 2}
        assert refusal(body, max_bytes=weight - 1) == "A property list that swells beyond its size."


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (xml(b"<array/>"), "The property list is no dictionary but list."),
        (xml(b"<string>x</string>"), "The property list is no dictionary but str."),
        (binary([b"\xd1\x01\x01", b"\x10\x05"]), "A key of the property list is no string."),
        (binary([b"\xd1\x01\x02", b"\x51k", b"\xd1\x03\x03", b"\x10\x05"]), "A key of the property list is no string."),
        (binary([b"\xd1\x01\x01", b"\x52a\0"]), "A string of the property list holds a NUL."),
        (entry(b"<array><string>a</string></array>").replace(b"<string>a", b"<string>&#x18;"),
         "No property list: ExpatError: "),
        (entry(b"<integer>-9223372036854775809</integer>"), "A number of the property list has over 64 bits."),
        (entry(b"<integer>18446744073709551616</integer>"), "A number of the property list has over 64 bits."),
        (binary([b"\xd1\x01\x02", b"\x51k", b"\x80\x01"]), "The property list holds a UID."),
        (b"Status=Idle", "No property list: InvalidFileException: "),
    ],
)  # fmt: skip
def test_what_is_refused_is_refused_with_its_reason(body: bytes, words: str) -> None:
    assert refusal(body).startswith(words)


def test_what_a_stranger_wrote_is_shown_cut() -> None:
    words = f"invalid literal for int() with base 10: '{'x' * 100}'"
    assert refusal(entry(b"<integer>" + b"x" * 100 + b"</integer>")) == f"No property list: ValueError: {words[:80]}"


def test_every_kind_of_value_is_read_at_any_depth() -> None:
    kinds: list[Any] = [-(2**63), 2**64 - 1, True, -0.5, datetime(2026, 1, 2), b"\0", "", {}, []]
    fields = {"a": kinds, "b": {"c": kinds}}
    for form in (plistlib.FMT_XML, plistlib.FMT_BINARY):
        assert read_plist(plistlib.dumps(fields, fmt=form)) == fields


def flipped(body: bytes, flips: list[tuple[int, int]], cut: int) -> bytes:
    found = bytearray(body)
    for place, value in flips:
        found[place % len(found)] = value
    return bytes(found[: len(found) - cut % 40])


ANY = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=200).map(lambda b: b"bplist00" + b),
    st.text(max_size=200).map(lambda t: entry(t.encode("utf-8", "replace"))),
    st.builds(
        flipped,
        st.sampled_from([REPLY, BINARY, doubling_array(3)]),
        st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 255)), max_size=6),
        st.sampled_from([0, 0, 0, 1, 13]),
    ),
)


@settings(max_examples=600, deadline=None)
@given(ANY)
@example(b"bplist00")
@example(b"<plist><dict><key/><date/></dict></plist>")
def test_no_bytes_raise_anything_but_our_error(body: bytes) -> None:
    for read in (read_plist, read_report, decode):
        with suppress(ProtocolError):
            read(body)


LEAVES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(max_size=20),
    st.datetimes().map(lambda moment: moment.replace(fold=0)),
)
KEYS = st.one_of(st.text(max_size=6), st.sampled_from(["$date", "$data", "$real", "$dict", "$"]))
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_values_come_back_from_json_as_they_went(fields: dict[str, Any]) -> None:
    again = from_json(json.loads(json.dumps(to_json(fields), allow_nan=False)))
    assert again == fields
    assert repr(again) == repr(fields), "1, 1.0 and True are different values"


NEW_YEAR = datetime(2026, 1, 1)


def test_dates_and_bytes_have_one_form_in_json() -> None:
    moment = datetime(2026, 11, 24, 16, 9, 22)
    assert to_json({"at": moment, "raw": b"\x00\xff"}) == {
        "at": {"$date": "2026-11-24T16:09:22Z"},
        "raw": {"$data": "AP8="},
    }
    assert to_json([float("nan"), float("inf"), float("-inf"), 1.5]) == [
        {"$real": "nan"}, {"$real": "inf"}, {"$real": "-inf"}, 1.5,
    ]  # fmt: skip
    assert str(from_json(to_json(float("nan")))) == "nan"
    assert from_json(to_json(float("-inf"))) == float("-inf")
    east = datetime(2026, 11, 24, 16, 9, 22, 5, tzinfo=timezone(timedelta(hours=1)))
    assert to_json(east) == {"$date": "2026-11-24T15:09:22.000005Z"}
    assert from_json(to_json(east)) == datetime(2026, 11, 24, 15, 9, 22, 5)
    assert to_json((bytearray(b"a"),)) == [{"$data": "YQ=="}]


def test_a_key_like_a_mark_makes_pairs_and_other_dictionaries_stay() -> None:
    assert to_json({"$date": "x"}) == {"$dict": [["$date", "x"]]}
    assert to_json({"a": 1, "$": NEW_YEAR}) == {"$dict": [["a", 1], ["$", {"$date": "2026-01-01T00:00:00Z"}]]}
    assert to_json({"a": {"b$": 1}}) == {"a": {"b$": 1}}
    assert from_json({"a": 1, "$other": 1}) == {"a": 1, "$other": 1}  # a mark stands alone
    assert from_json({"": {}}) == {"": {}}


@pytest.mark.parametrize(
    "word",
    [{"$date": "soon"}, {"$date": "2026-11-24T16:09:22"}, {"$date": 5}, {"$data": "="}, {"$dict": 1}, {"$other": 1}],
)
def test_marks_that_we_never_write_are_refused(word: dict[str, Any]) -> None:
    with pytest.raises(
        ProtocolError, match=f"The stored value {re.escape(next(iter(word)))}: .* cannot be read"
    ) as caught:
        from_json(word)
    assert caught.value.remedy


def test_a_stored_value_that_cannot_be_read_is_shown_cut() -> None:
    with pytest.raises(ProtocolError) as caught:
        from_json({"$data": "x" * 41})
    assert caught.value.args == (f"The stored value $data: '{'x' * 40}' cannot be read.",)
