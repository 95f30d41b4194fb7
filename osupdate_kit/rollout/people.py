"""Who acts, and when a second person is wanted.

Knows how a person and the account that acted are named in one word, and who is another person. Leaves how an account is
found out to the kit, and where the rule is kept to the store.
"""

import json
from typing import NamedTuple

from osupdate_kit.errors import RolloutError

APPROVAL = "not approved by another person"  # why such a rollout stands still, as devices wait for it
APPROVE = "Somebody else than who asked for it: osupdate-kit rollout approve {}"
_VIA = " via "


class Who(NamedTuple):
    """A person, and the account through which he acted; the same where the system's word is all there is."""

    person: str
    account: str

    @classmethod
    def of(cls, text: str) -> "Who":
        """As the audit log has it: `ada`, or `ada via hub`."""
        person, _, account = text.rpartition(_VIA)
        return cls(person or account, account)

    def __str__(self) -> str:
        return self.person if self.person == self.account else f"{self.person}{_VIA}{self.account}"


class SecondPerson(NamedTuple):
    """The rule: a rollout that more than `over` devices take waits for another person's approval; 0: none does.

    shared: accounts that act for several people and have made sure who each is. Elsewhere another name through the same
    account is no other person: anybody can write a name.
    """

    over: int = 0
    shared: tuple[str, ...] = ()

    @classmethod
    def from_text(cls, text: str) -> "SecondPerson":
        over, shared = json.loads(text)
        return cls(over, tuple(shared))

    def to_text(self) -> str:
        return json.dumps(self)

    def wanted(self, devices: int) -> bool:
        return 0 < self.over < devices

    def check(self, asked_by: str, approves: str) -> None:
        """Pass only another person than the one who asked. Raises RolloutError."""
        asked, other = Who.of(asked_by), Who.of(approves)
        if asked.person.casefold() == other.person.casefold():
            raise RolloutError(
                f"{asked.person} asked for it, and cannot be the second person.",
                remedy="Somebody else approves, under their own account.",
            )
        if asked.account == other.account and asked.account not in self.shared:
            raise RolloutError(
                f"{asked.person} and {other.person} acted through the same account, {asked.account}.",
                remedy=f"Approve under another account. If {asked.account} makes sure who people are, "
                "name it in [people] shared_accounts where the service runs.",
            )
