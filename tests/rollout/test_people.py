"""Who is another person, and when one is wanted."""

import pytest

from osupdate_kit.errors import RolloutError
from osupdate_kit.rollout.people import SecondPerson, Who


@pytest.mark.parametrize(
    ("text", "person", "account"),
    [("ada", "ada", "ada"), ("ada via hub", "ada", "hub"), ("ada via hub via www", "ada via hub", "www")],
)
def test_a_person_and_an_account_are_read_from_one_word(text: str, person: str, account: str) -> None:
    assert Who.of(text) == Who(person, account)
    assert str(Who.of(text)) == text


def test_only_more_devices_than_the_rule_names_want_a_second_person() -> None:
    rule = SecondPerson(over=1000)
    assert [rule.wanted(devices) for devices in (0, 1000, 1001)] == [False, False, True]
    assert [SecondPerson(over=1).wanted(devices) for devices in (1, 2)] == [False, True]
    assert not SecondPerson().wanted(1_000_000)
    assert SecondPerson() == SecondPerson(0, ())
    assert SecondPerson.from_text(SecondPerson(7, ("hub",)).to_text()) == SecondPerson(7, ("hub",))


@pytest.mark.parametrize(
    ("asked", "approves", "shared", "why"),
    [
        ("ada", "ada", (), "cannot be the second person"),
        ("ada", "Ada", (), "cannot be the second person"),
        ("ada via hub", "ada", ("hub",), "cannot be the second person"),
        ("ada via hub", "bob via hub", (), "the same account, hub"),
        ("ada", "bob via ada", (), "the same account, ada"),
        ("ada", "bob", (), ""),
        ("ada via hub", "bob via hub", ("hub",), ""),
        ("ada via hub", "bob", (), ""),
    ],
)
def test_a_name_alone_makes_no_second_person(asked: str, approves: str, shared: tuple[str, ...], why: str) -> None:
    rule = SecondPerson(1, shared)
    if not why:
        rule.check(asked, approves)
        return
    with pytest.raises(RolloutError, match=why) as error:
        rule.check(asked, approves)
    assert error.value.remedy


def test_who_is_turned_away_learns_how_it_goes() -> None:
    with pytest.raises(RolloutError, match="ada asked for it") as error:
        SecondPerson(1).check("ada", "ada via hub")
    assert "Somebody else approves" in str(error.value.remedy)
    with pytest.raises(RolloutError, match="ada and bob acted through the same account, hub") as error:
        SecondPerson(1).check("ada via hub", "bob via hub")
    assert "another account" in str(error.value.remedy)
    assert "If hub makes sure who people are" in str(error.value.remedy)
