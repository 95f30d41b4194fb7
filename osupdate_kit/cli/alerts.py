"""`alerts`: what people are told of without asking, and whether it reaches them."""

from typing import Annotated

import typer

from osupdate_kit.cli.common import Common, print_json, remark, say, table
from osupdate_kit.cli.fleet import AsJson
from osupdate_kit.kit.alerts import alerts, try_addresses
from osupdate_kit.rollout.alerts import Said
from osupdate_kit.views.status import iso

alert = typer.Typer(no_args_is_help=True, help="What people are told of without asking.")

PAST = 50


def add_to(app: typer.Typer) -> None:
    app.add_typer(alert, name="alerts")


@alert.command("list")
def list_alerts(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help=f"And the newest {PAST} that are over.")] = False,
    as_json: AsJson = False,
) -> None:
    """The alerts that stand: since when, of what, and when somebody was last told."""
    common: Common = context.obj
    with common.kit() as kit:
        found = alerts(kit, over=PAST if everything else 0)
        told = common.settings.alerts.told
    if as_json:
        print_json([_words(said) for said in found])
    elif not found:
        say("Nothing stands.")
    else:
        headings = ("since", "kind", "what", "told", "over")
        table("", headings, [[_words(said)[heading] for heading in headings] for said in found])
    if not told:
        remark("Nobody is told: name urls_file or urls_env in the table [alerts] of the settings.")


def _words(said: Said) -> dict[str, str]:
    return {
        "since": iso(said.at), "kind": said.kind, "subject": said.subject, "what": said.text,
        "told": iso(said.sent_at) if said.sent_at else "", "over": iso(said.over_at) if said.over_at else "",
    }  # fmt: skip


@alert.command("test")
def try_out(context: typer.Context, as_json: AsJson = False) -> None:
    """Send a notice to each address of the settings. Exit 1 when one of them does not take it."""
    common: Common = context.obj
    found = try_addresses(common.settings.alerts)
    if as_json:
        print_json(found)
    else:
        table("", ("address", "took it"), found.items())
    if not all(found.values()):
        remark("See that the address is right and can be reached from here; its line is shown nowhere.")
        raise typer.Exit(1)
