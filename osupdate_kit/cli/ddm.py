"""`ddm`: declarative device management, as far as updates go."""

from typing import Annotated

import typer

from osupdate_kit.cli.common import Common, print_json, say, table
from osupdate_kit.cli.fleet import AsJson
from osupdate_kit.errors import InventoryError
from osupdate_kit.rollout.readiness import Ready

ddm = typer.Typer(no_args_is_help=True, help="Updates by declaration: who could go so.")
_WORDS = {one.name.lower().replace("_", "-"): one for one in Ready}


def add_to(app: typer.Typer) -> None:
    app.add_typer(ddm, name="ddm")


@ddm.callback()
def _group() -> None:
    """Keeps `readiness` a word of its own, though it is the only one."""


@ddm.command("readiness")
def readiness(
    context: typer.Context,
    who: Annotated[
        list[str] | None,
        typer.Option("--list", help=f"Name the devices that stand so; repeatable. Of {', '.join(_WORDS)}."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Who could go by declaration, who not and why, and how long commands do for them."""
    common: Common = context.obj
    if unknown := set(who or ()) - _WORDS.keys():
        raise InventoryError(f"{sorted(unknown)[0]!r} is no standing.", remedy=f"One of: {', '.join(_WORDS)}.")
    with common.kit() as kit:
        found = kit.readiness()
        named = found.devices(*(_WORDS[word] for word in who)) if who else None
    if as_json:
        more = {} if named is None else {"listed": named.to_dict("records")}
        print_json(found.to_dict() | more)
        return
    say(found.finding)
    standing = [(words, number, remedy) for words, number, remedy in found.reasons()]
    table("\nHow they stand", ("standing", "devices", "what to do"), standing)
    rows = [(*row[:2], row[2] or "", *row[3:]) for row in found.frame.itertuples(index=False, name=None)]
    table("\nBy server, platform and OS", list(found.frame.columns), rows, numbers=1)
    if named is not None:
        heads = ["serial", "name", "site", "platform", "os_version", "declaration", "commands", "server"]
        table("\nThese are", heads, named[heads].itertuples(index=False, name=None))
