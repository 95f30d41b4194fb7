"""The page of a proof: what one device was asked and answered, payload by payload, and where it departs from the book.

Knows the look only. Every text on it comes from a device or a server, and is escaped.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from osupdate_kit.views.css import variables
from osupdate_kit.views.status import iso
from osupdate_kit.views.text import clean, visible

_LONGEST = 20_000  # characters of one payload on the page; the JSON has it whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One thing that happened between the kit and the device. Times: microseconds UTC, by the kit's clock."""

    at: int
    what: str  # queued, woken, came, answered, …
    command: str = ""  # the request type that it belongs to
    word: str = ""  # the reply's status, or what was asked
    command_uuid: str = ""
    payload: Mapping[str, Any] | None = None  # redacted, as JSON can hold it


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """Where the device does not do what is expected; `known`: others have met it, and the kit copes."""

    at: int
    command: str
    rule: str
    seen: str
    expected: str
    known: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One device's whole way through a rollout."""

    device: Mapping[str, str]
    rollout: int
    target: str
    state: str
    reason: str
    began_at: int
    until_at: int
    departures: tuple[Departure, ...]
    exchanges: tuple[Exchange, ...]

    @property
    def finding(self) -> str:
        new = sum(not one.known for one in self.departures)
        met = len(self.departures) - new
        ended = f"{clean(self.device.get('serial') or self.device.get('udid', ''))} is {self.state}"
        if not self.departures:
            return f"{ended}; all that it sent is as expected."
        return f"{ended}; {new} departures that nobody has described yet, {met} that others have met."

    def to_dict(self) -> dict[str, Any]:
        words = asdict(self)
        return words | {"finding": self.finding, "began_at": iso(self.began_at), "until_at": iso(self.until_at)}

    def _repr_html_(self) -> str:
        return f"<p><b>{escape(self.finding)}</b></p>{_departures(self.departures)}"

    def to_html(self) -> str:
        """One page that loads nothing."""
        return _PAGE.format(
            variables=variables("light"), dark=variables("dark"), title=escape(f"Proof: {self.target}"),
            finding=escape(self.finding), device=_device(self), departures=_departures(self.departures),
            exchanges="".join(map(_exchange, self.exchanges)),
        )  # fmt: skip


def _device(proof: Proof) -> str:
    words = {**proof.device, "rollout": str(proof.rollout), "target": proof.target, "state": proof.state,
             "why": proof.reason, "from": iso(proof.began_at), "until": iso(proof.until_at)}  # fmt: skip
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(clean(value))}</dd>" for name, value in words.items() if value)


def _departures(found: Sequence[Departure]) -> str:
    if not found:
        return "<p>None.</p>"
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td>{escape(clean(cell))}</td>"
            for cell in (iso(one.at), one.command, one.rule, one.seen, one.expected, one.known or "not described yet")
        )
        + "</tr>"
        for one in found
    )
    heads = "".join(f"<th>{word}</th>" for word in ("when", "command", "rule", "seen", "expected", "known"))
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _exchange(one: Exchange) -> str:
    words = " ".join(clean(word) for word in (one.what, one.command, one.word) if word)
    head = f"<time>{escape(iso(one.at))}</time> {escape(words)} <small>{escape(clean(one.command_uuid))}</small>"
    if one.payload is None:
        return f"<li>{head}</li>"
    text = json.dumps(one.payload, indent=2, ensure_ascii=False, default=str)[:_LONGEST]
    shown = escape("\n".join(map(visible, text.splitlines())))
    return f"<li><details><summary>{head}</summary><pre>{shown}</pre></details></li>"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title><style>
:root {{ color-scheme: light; {variables} }}
@media (prefers-color-scheme: dark) {{ :root {{ color-scheme: dark; {dark} }} }}
body {{ font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--surface); margin: 2rem auto;
  max-width: 72rem; padding: 0 1rem; }}
h1 {{ font-size: 1.3rem; }} h2 {{ font-size: 1.05rem; margin-top: 2rem; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; }}
td, th {{ text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--rule); }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }} dd {{ margin: 0; }}
ol {{ list-style: none; padding: 0; }} li {{ padding: .15rem 0; }} small, time {{ color: var(--ink2); }}
pre {{ overflow-x: auto; font-size: .85rem; }}
</style></head><body>
<h1>{finding}</h1><dl>{device}</dl>
<h2>Departures from what is expected</h2>{departures}
<h2>What happened</h2>
<p>Payloads as they are kept: by an allow-list, without what the kit does not know, so without tokens and keys.</p>
<ol>{exchanges}</ol>
</body></html>
"""
