"""The catalogue of causes is whole: every class is explained, every signal has a class, what is not listed stays."""

import pytest

from osupdate_kit.protocol.causes import (
    CAUSES,
    CODES,
    COMMAND_FAILURES,
    INSTALL_STATE_FAILURES,
    SIGNALS,
    STATUS_FAILURES,
    Cause,
    FailureClass,
    Retry,
    cause_of,
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
        FailureClass.BUG, FailureClass.UNSUPPORTED, FailureClass.SUPERVISION, FailureClass.DEADLINE,
    }  # fmt: skip


def test_every_class_has_a_signal_but_the_one_that_is_the_clock_s() -> None:
    assert {failure for _, _, failure in SIGNALS} == set(FailureClass) - {FailureClass.DEADLINE}


def test_the_signals_are_all_that_is_known_and_each_once() -> None:
    listed = [*STATUS_FAILURES, *CODES, *COMMAND_FAILURES, *INSTALL_STATE_FAILURES]
    pairs = [(source, word) for source, word, _ in SIGNALS]
    assert len(pairs) == len(set(pairs)) == len(listed) + 2  # and what the MDM server says


@pytest.mark.parametrize("name", ["a_class_of_tomorrow", "com.example 17", ""])
def test_a_name_that_is_not_listed_is_shown_as_it_is(name: str) -> None:
    unknown = CAUSES[FailureClass.UNKNOWN]
    assert cause_of(name) == Cause(name, name, unknown.remedy, unknown.retry, unknown.owner)
