"""A version is one to three numbers, compared as numbers and kept as it was written; nothing else is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.errors import ProtocolError
from osupdate_kit.protocol.versions import OSVersion

v = OSVersion.parse
PARTS = st.lists(st.integers(0, 999_999_999), min_size=1, max_size=3)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("18", (18, 0, 0)),
        ("18.7", (18, 7, 0)),
        ("18.07.2", (18, 7, 2)),
        ("0", (0, 0, 0)),
        ("999999999", (999999999, 0, 0)),
    ],
)
def test_a_version_is_one_to_three_numbers_and_its_text(text: str, numbers: tuple[int, int, int]) -> None:
    found = v(text)
    assert (found.numbers, found.text, str(found), found.major) == (numbers, text, text, numbers[0])


@pytest.mark.parametrize(
    "text",
    ["", ".", "18.", ".18", "18..7", "18.7.2.1", " 18", "18 ", "18.7\n", "18.7.2 (a)", "22H124", "-1", "18,7", "1e1",
     "18.x", "٣", "²", "1234567890", "18.1234567890", None, 18, 18.1, b"18", ["18"]],
)  # fmt: skip
def test_what_is_no_version_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ProtocolError, match="is no OS version") as caught:
        v(text)  # type: ignore[arg-type]
    assert "18.7.2" in caught.value.remedy


def test_a_refused_text_is_shown_cut() -> None:
    with pytest.raises(ProtocolError) as caught:
        v("x" * 41)
    assert caught.value.args == (f"'{'x' * 40}' is no OS version.",)


@given(PARTS, PARTS)
def test_versions_compare_as_numbers_and_missing_ones_are_zero(one: list[int], other: list[int]) -> None:
    first, second = v(".".join(map(str, one))), v(".".join(map(str, other)))
    whole, rest = [*one, 0, 0][:3], [*other, 0, 0][:3]
    assert (first < second, first <= second) == (whole < rest, whole <= rest)
    assert (first > second, first >= second) == (whole > rest, whole >= rest)
    assert (first == second) is (whole == rest)
    assert hash(first) == hash(v(".".join(map(str, whole))))


def test_equal_versions_are_one_key_and_a_text_is_no_version() -> None:
    assert v("26.10") > v("26.9")
    assert {v("14"), v("14.0"), v("14.0.0")} == {v("14.0")}
    assert v("14") != "14"
    with pytest.raises(TypeError):
        assert v("14") < "15"  # type: ignore[operator]
