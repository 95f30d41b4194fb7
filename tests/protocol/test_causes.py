"""The catalogue of causes is whole: every class is explained, every signal has a class, what is not listed stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.protocol.causes import (
    CAUSES,
    CODES,
    COMMAND_FAILURES,
    INSTALL_STATE_FAILURES,
    LONGEST_NAME,
    SIGNALS,
    STATUS_FAILURES,
    Cause,
    FailureClass,
    Retry,
    cause_of,
    name_of,
    words_of_failure,
)


def test_every_class_is_explained() -> None:
    assert list(CAUSES) == list(FailureClass)
    assert len({cause.title for cause in CAUSES.values()}) == len(CAUSES)
    for cause in CAUSES.values():
        assert cause.title
        assert not cause.title.endswith(".")
        assert cause.meaning.endswith(".")
        assert cause.remedy.endswith(".")


def test_a_retry_is_no_help_where_only_another_command_or_device_would_be() -> None:
    lasting = {failure for failure, cause in CAUSES.items() if cause.retry is Retry.NO}
    assert lasting == {
        FailureClass.BUG, FailureClass.UNSUPPORTED, FailureClass.SUPERVISION, FailureClass.INVALID,
        FailureClass.DEADLINE,
    }  # fmt: skip


def test_every_class_has_a_signal_but_the_clock_s_and_the_declaration_s() -> None:
    assert {failure for _, _, failure in SIGNALS} == set(FailureClass) - {FailureClass.DEADLINE, FailureClass.INVALID}


def test_the_signals_are_all_that_is_known_and_each_once() -> None:
    listed = [*STATUS_FAILURES, *CODES, *COMMAND_FAILURES, *INSTALL_STATE_FAILURES]
    pairs = [(source, word) for source, word, _ in SIGNALS]
    assert len(pairs) == len(set(pairs)) == len(listed) + 2  # and what the MDM server says


@pytest.mark.parametrize("name", ["a_class_of_tomorrow", "com.example 17", ""])
def test_a_name_that_is_not_listed_is_shown_as_it_is(name: str) -> None:
    unknown = CAUSES[FailureClass.UNKNOWN]
    assert cause_of(name) == Cause(name, name, unknown.remedy, unknown.retry, unknown.owner)


@pytest.mark.parametrize(
    ("failure", "words", "name"),
    [
        ("space", "Zu wenig Platz (MCMDMErrorDomain 12054)", "space"),
        ("refused", "command_error: no such device", "refused"),
        ("unknown", "No. (com.example.su 17)", "com.example.su 17"),
        ("unknown", "Nein (wirklich). (com.example.su 17)", "com.example.su 17"),
        ("unknown", "(com.example.su -1)", "com.example.su -1"),
        ("unknown", "No try is left.", "No try is left."),
        ("unknown", "Said nothing (com.example.su)", "Said nothing (com.example.su)"),
        ("unknown", "  two\n lines ", "two lines"),
        ("unknown", "", "unknown"),
        ("", "", ""),
    ],
)
def test_a_failure_is_counted_by_its_class_or_by_its_unlisted_code(failure: str, words: str, name: str) -> None:
    assert name_of(failure, words) == name


@given(text=st.text(max_size=300), domain=st.text(max_size=40), code=st.none() | st.integers(-(2**31), 2**31))
def test_one_code_has_one_name_in_every_language(text: str, domain: str, code: int | None) -> None:
    words = words_of_failure(text, domain, code)
    assert words.endswith(domain + ("" if code is None or not domain else f" {code}") + (")" if domain else ""))
    assert len(name_of("unknown", words)) <= LONGEST_NAME
    if domain and code is not None and not any(c.isspace() for c in domain):
        assert name_of("unknown", words) == f"{domain} {code}"
