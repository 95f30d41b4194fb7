"""People: who acts here, what they note down, and into whose hands a rollout goes.

Knows how the account is found out and how each act is audited (I10). That a rollout waits for a second person is judged
by loop and sender, each time anew; whether somebody is one, by the service that takes the act up.
"""

import getpass
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from osupdate_kit.errors import RolloutError, SelectionError, SettingsError
from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.rollout.people import SecondPerson, Who
from osupdate_kit.stores.ledger import Note, Transaction

if TYPE_CHECKING:
    from osupdate_kit.kit import Kit

MOST = 2_000  # characters of a note


class Noted(NamedTuple):
    """One note as people read it; `at` in microseconds UTC. `serial` empty: on the whole rollout."""

    at: int
    who: str
    rollout: int | None
    serial: str
    server: str
    text: str


def who_acts(person: str = "") -> str:
    """The person of the settings and the account that this process runs as, or the account alone."""
    account = _account()
    return str(Who(" ".join(person.split()) or account, account))


def _account() -> str:
    """By the system, not by a variable that anybody can set; behind sudo, who called it."""
    if os.name != "posix":
        return getpass.getuser()
    import pwd

    def entry(number: int) -> tuple[str, str]:
        try:
            found = pwd.getpwuid(number)
        except KeyError:
            return f"user {number}", ""
        return found.pw_name, found.pw_shell

    name, shell = entry(os.getuid())
    called_by = os.environ.get("SUDO_UID", "")
    if called_by.isdecimal() and vouches(os.getuid(), shell):
        name, _ = entry(int(called_by))
    return name


def vouches(account: int, shell: str) -> bool:
    """Can only sudo, or root, have said who called? Nobody else sets variables of root, or of whom none logs in as."""
    return account == 0 or shell.endswith(("/nologin", "/false"))


def keep_rule(kit: "Kit", rule: SecondPerson) -> None:
    """The service states the rule: it is in the store from now on, whatever the settings of those who plan."""
    with kit.ledger.read() as tx:
        known = tx.second_person()
    if known == rule:
        return
    words = f"second approver over {rule.over:,} devices, before: {known.over:,}" + (
        f"; shared accounts: {', '.join(rule.shared)}" if rule.shared else ""
    )
    with kit.ledger.write() as tx:
        tx.set_second_person(rule)
        tx.audit(at=kit.clock.now(), who=kit.who, what="rule", detail=words)


def second_person(kit: "Kit") -> SecondPerson:
    """The rule that holds in this store."""
    with kit.ledger.read() as tx:
        return tx.second_person()


def note(kit: "Kit", text: str, *, device: str = "", rollout: int = 0) -> int:
    """Write it down; its number. Raises RolloutError or SelectionError."""
    words = text.strip()
    if not words or len(words) > MOST:
        why = "is empty" if not words else f"is longer than {MOST:,} characters"
        raise RolloutError(f"The note {why}.", remedy="Write what others should know, in a few sentences.")
    if not device and not rollout:
        raise RolloutError("The note is on nothing.", remedy="Name a device, a rollout, or both.")
    now = kit.clock.now()
    with kit.ledger.write() as tx:
        if rollout and tx.rollout(rollout) is None:
            raise RolloutError(f"There is no rollout {rollout}.", remedy="`osupdate-kit rollout list` shows them.")
        key = _key(tx, device, rollout) if device else None
        number = tx.add_note(at=now, who=kit.who, text=words, rollout=rollout, key=key)
        detail = f"{device.strip()}: {words}" if device else words
        tx.audit(at=now, who=kit.who, what="note", rollout=rollout, count=1 if device else 0, detail=detail)
    return number


def _key(tx: Transaction, device: str, rollout: int) -> DeviceKey:
    keys = tx.keys_called(device.strip())
    if rollout and keys:
        known = tx.journeys_of(keys)
        keys = [key for key in keys if any(one.journey.rollout == rollout for one in known.get(key, ()))]
    if not keys:
        where = f" in rollout {rollout}" if rollout else ""
        raise SelectionError(
            f"No device{where} is called {device[:80]!r}.", remedy="Give its serial, UDID or enrollment ID."
        )
    return keys[-1]


def notes(kit: "Kit", *, device: str = "", rollout: int | None = None) -> list[Noted]:
    """The newest first; of a device, of a rollout, or all."""
    with kit.ledger.read() as tx:
        if device:
            found = tx.notes_of(tx.keys_called(device.strip()))
            found = [one for one in found if rollout is None or one.rollout == rollout]
        else:
            found = tx.notes(rollout)
        return _named(tx, reversed(found))


def _named(tx: Transaction, found: Iterable[Note]) -> list[Noted]:
    rows = list(found)
    known = tx.devices({one.key for one in rows if one.key})
    return [
        Noted(
            one.at,
            one.who,
            one.rollout or None,
            (known[one.key].device.serial if one.key in known else one.key.enrollment_id) if one.key else "",
            one.key.server if one.key else "",
            one.text,
        )
        for one in rows
    ]


def hand_over(kit: "Kit", rollout: int, to: str, why: str) -> None:
    """Into another person's hands; nothing of what is sent changes."""
    owner = " ".join(to.split())
    if not owner:
        raise SettingsError("Nobody is named.", remedy="Say who takes the rollout over: --to NAME.")
    now = kit.clock.now()
    with kit.ledger.write() as tx:
        if tx.rollout(rollout) is None:
            raise RolloutError(f"There is no rollout {rollout}.", remedy="`osupdate-kit rollout list` shows them.")
        tx.hand_over(rollout, at=now, who=kit.who, owner=owner, reason=why.strip())
        words = f"to {owner}" + (f": {why.strip()}" if why.strip() else "")
        tx.audit(at=now, who=kit.who, what="hand-over", rollout=rollout, detail=words)


def owners(kit: "Kit") -> dict[int, str]:
    """Who answers for each rollout."""
    with kit.ledger.read() as tx:
        handed = tx.handovers()
        return {one.id: handed[one.id].owner if one.id in handed else one.by for one in tx.rollouts()}
