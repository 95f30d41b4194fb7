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
    Owner,
    Retry,
    cause_of,
    class_of,
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


def test_each_move_has_one_who_makes_it() -> None:
    by = {owner: {failure for failure, cause in CAUSES.items() if cause.owner is owner} for owner in Owner}
    assert by[Owner.KIT] == {FailureClass.BUG}
    assert by[Owner.USER] == {FailureClass.USER, FailureClass.SPACE, FailureClass.BUSY}
    assert by[Owner.TECHNICIAN] == {
        FailureClass.POWER, FailureClass.NETWORK, FailureClass.LOST_MODE, FailureClass.TETHER, FailureClass.FAILED,
    }  # fmt: skip


def test_what_failed_by_itself_may_be_tried_again_at_once() -> None:
    at_once = {failure for failure, cause in CAUSES.items() if cause.retry is Retry.YES}
    assert at_once == {FailureClass.RETRY, FailureClass.FAILED}


@pytest.mark.parametrize(
    ("failure", "codes"),
    [
        (FailureClass.BUG, {12008}),
        (FailureClass.UNSUPPORTED, {12021}),
        (FailureClass.NO_UPDATE, {12048}),
        (FailureClass.USER, {12049, 12053, 12063}),
        (FailureClass.RETRY, {12050, 12057}),
        (FailureClass.PROGRESS, {12051, 12052, 12058}),
        (FailureClass.SPACE, {12054, 12060}),
        (FailureClass.POWER, {12055, 12061}),
        (FailureClass.NETWORK, {12056}),
        (FailureClass.NEEDS_DOWNLOAD, {12059}),
        (FailureClass.FAILED, {12062}),
        (FailureClass.BUSY, {12077}),
        (FailureClass.LOST_MODE, {12078}),
        (FailureClass.TETHER, {12081}),
    ],
)
def test_the_codes_of_apple_s_reference_are_classed(failure: FailureClass, codes: set[int]) -> None:
    """Apple's MDM Protocol Reference (2018), MCMDMErrorDomain."""
    assert {
        code for (domain, code), found in CODES.items() if (domain, found) == ("MCMDMErrorDomain", failure)
    } == codes


def test_the_codes_of_other_domains_are_those_that_were_reported() -> None:
    assert {pair: failure for pair, failure in CODES.items() if pair[0] != "MCMDMErrorDomain"} == {
        ("DeviceManagement.error", 2213): FailureClass.NO_UPDATE,
        ("com.apple.softwareupdateservices.errors", 3): FailureClass.NO_UPDATE,
        ("MCChaperoneErrorDomain", 29000): FailureClass.SUPERVISION,
    }


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
    assert class_of(name) is FailureClass.UNKNOWN


def test_a_listed_name_stands_for_its_class_and_its_cause() -> None:
    for failure, cause in CAUSES.items():
        assert class_of(failure.value) is failure
        assert cause_of(failure.value) == cause


@pytest.mark.parametrize(
    ("text", "domain", "code", "words"),
    [
        ("No space", "D", 5, "No space (D 5)"),
        ("No space", "D", 0, "No space (D 0)"),
        ("No space", "D", None, "No space (D)"),
        ("No space", "", 5, "No space"),
        ("", "D", 5, "(D 5)"),
        ("", "", None, ""),
    ],
)
def test_words_end_with_domain_and_code(text: str, domain: str, code: int | None, words: str) -> None:
    assert words_of_failure(text, domain, code) == words


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
        ("unknown", "Said (com.example.su 17) and more", "Said (com.example.su 17) and more"),
        ("unknown", "  two\n lines ", "two lines"),
        ("unknown", "x" * 120, "x" * 120),
        ("unknown", "x" * 121, "x" * 120),
        ("unknown", f"No. ({'x' * 130} 17)", "x" * 120),
        ("unknown", "", "unknown"),
        ("", "", ""),
        ("unsupported", "No. (com.example.su 17)", "unsupported"),  # behind "unknown" in the alphabet
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
