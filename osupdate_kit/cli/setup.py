"""`doctor`: from settings to the first device that answers, and what is broken on the way."""

from typing import Annotated

import typer
from rich.markup import escape

from osupdate_kit.cli.common import Common, console, print_json, remark, say
from osupdate_kit.cli.fleet import AsJson
from osupdate_kit.kit.doctor import Found, Hop, examine
from osupdate_kit.kit.roundtrip import SECONDS

_STYLE = {Found.OK: "green", Found.FAILED: "bold red", Found.NOT_LOOKED_AT: "dim"}


def add_to(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def doctor(
    context: typer.Context,
    device: Annotated[
        str, typer.Option(help="Wake this one, by serial, UDID or enrollment ID, and ask it what it is.")
    ] = "",
    server: Annotated[str, typer.Option(help="Look at this server's hops only.")] = "",
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long the device is given.")] = SECONDS,
    as_json: AsJson = False,
) -> None:
    """Look at every hop from the settings to a device's answer, and name the broken one with its remedy (exit 1)."""
    common: Common = context.obj
    show, tell = (_silent, _silent) if as_json else (_show, remark)
    found = examine(lambda: common.settings, device=device, server=server, seconds=seconds, show=show, tell=tell)
    if as_json:
        broken = found.broken
        print_json({"ok": found.ok, "broken": broken.title if broken else "", "hops": found.as_rows()})
    else:
        say("", found.summary)
    if not found.ok:
        raise typer.Exit(1)


def _show(hop: Hop) -> None:
    """One line for a hop, as soon as it is known; the remedy below it where it is broken."""
    word = f"[{_STYLE[hop.found]}]{hop.found.value:<13}[/]"
    console.print(f"{word} {escape(hop.title)}: {escape(hop.seen)}", soft_wrap=True, highlight=False)
    if hop.remedy:
        console.print(f"{'':<13} → {escape(hop.remedy)}", soft_wrap=True, highlight=False)


def _silent(_: object) -> None:
    return None
