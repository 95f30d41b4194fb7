"""A device's status report in words: how far it is, what it waits for, who installed, and what became of our
declaration.

Of a report only what is new is told, for a full one repeats all of it each day.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from osupdate_kit.rollout.assignments import Said
from osupdate_kit.rollout.enforcement import is_ours

_STATES = {
    "none": "No update in progress",
    "waiting": "Waiting for its deadline",
    "downloading": "Downloading",
    "prepared": "Downloaded and prepared",
    "installing": "Installing",
    "failed": "The update failed",
}
_WHY = {
    "system-settings": "its user, in the settings",
    "install-tonight": "its user, who chose tonight",
    "auto-update": "the system by itself, by automatic updates",
    "notification": "its user, by the notification",
    "setup-assistant": "the Setup Assistant",
    "command-line": "somebody at its command line",
    "mdm": "a command of the server",
}


def report_words(words: Any, known: Mapping[str, Said]) -> tuple[str, str, bool]:
    """Title, detail, and whether it is minor. known: what earlier reports had said."""
    said = {what: text for what, text in words.get("said", ()) if what not in known or known[what].text != text}
    if "pending" in said and not said["pending"] and not known.get("pending", Said()).text:
        del said["pending"]  # there was nothing before
    if words.get("proves"):
        said.pop("ours", None)  # one that runs the target calls it invalid, and is right
    news = [*_version(words), *_failure(said), *_ours(said), *_state(said), *_pending(said)]
    if "why" in said and (who := who_installs(dict(words["said"]))):
        news.append(f"begun by {who}")
    if not news:
        return "Reported its status", "nothing in it is new", True
    title, *details = news
    proves = ["this proves the target"] if words.get("proves") else []
    return title[:1].upper() + title[1:], "; ".join([*proves, *details]), False


def who_installs(said: Mapping[str, str]) -> str:
    """Who began the update, by the install reason; empty: nobody has said."""
    parts = [part for part in said.get("why", "").split(", ") if part]
    identifier = said.get("declaration", "")
    declared = "our declaration" if is_ours(identifier) else f"somebody else's declaration {identifier}".rstrip()
    return ", ".join(declared if part == "declaration" else _WHY.get(part, part) for part in parts)


def pending_words(version: str, by: str) -> str:
    """`26.1 25B78, by Fri 27 Nov 19:00 its own time`; empty: nothing is pending."""
    if not version:
        return ""
    try:
        when = f"{datetime.fromisoformat(by):%a %d %b %H:%M} its own time" if by else ""
    except ValueError:  # as it came
        when = by
    return f"{version}, by {when}" if when else version


def _version(words: Any) -> Iterator[str]:
    """Its OS is told in each full report: news where it proves something."""
    if words.get("os_version") and words.get("proves"):
        build = f" ({words['build']})" if words.get("build") else ""
        yield f"Reported {words['os_version']}{build}"


def _failure(said: Mapping[str, str]) -> Iterator[str]:
    if text := said.get("failure"):
        times, _, why = text.partition(": ")
        yield f"the update failed {'once' if times == '1' else f'{times} times'}: {why or 'it names no reason'}"


def _ours(said: Mapping[str, str]) -> Iterator[str]:
    """`active, valid`, `inactive, invalid: why`, `not there`."""
    text = said.get("ours")
    if text is None:
        return
    if text == "not there":
        yield "our declaration is not on it"
        return
    stands, _, why = text.partition(": ")
    active, _, valid = stands.partition(", ")
    if valid == "valid":
        yield "our declaration is active" if active == "active" else "our declaration is there, and not active"
    elif valid == "unknown":
        yield "our declaration has arrived, and is not checked yet"
    else:
        yield f"our declaration is {valid or active}: {why or 'it names no reason'}"


def _state(said: Mapping[str, str]) -> Iterator[str]:
    if text := said.get("state"):
        yield _STATES.get(text, text)


def _pending(said: Mapping[str, str]) -> Iterator[str]:
    if "pending" in said:
        words = pending_words(said["pending"], said.get("pending_by", ""))
        yield f"pending {words}" if words else "nothing pending"
