"""`servers` and `devices`: whom we can talk to, and whom we know."""

from typing import Annotated

import typer

from osupdate_kit.cli.common import Common, print_json, remark, say, table
from osupdate_kit.errors import SettingsError
from osupdate_kit.fleet.inventory import as_row

servers = typer.Typer(no_args_is_help=True, help="MDM servers of the settings.")
devices = typer.Typer(no_args_is_help=True, help="Devices that the store knows.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_to(app: typer.Typer) -> None:
    app.add_typer(servers, name="servers")
    app.add_typer(devices, name="devices")


@servers.command("check")
def check(context: typer.Context, as_json: AsJson = False) -> None:
    """Ask each server for its version, and whether it takes our key. Exit 1 if one does not."""
    common: Common = context.obj
    if not common.settings.servers:
        raise SettingsError("The settings name no server.", remedy="Add [servers.NAME] with kind, url and key_env.")
    with common.kit() as kit:
        checks = kit.check_servers()
    if as_json:
        print_json(
            [
                {"server": c.server, "ok": c.ok, "version": c.version, "message": c.message, "remedy": c.remedy}
                for c in checks
            ]
        )
    else:
        table(
            "",
            ["server", "well", "version", "what"],
            [(c.server, c.ok, c.version, f"{c.message} {c.remedy}") for c in checks],
        )
    if not all(c.ok for c in checks):
        raise typer.Exit(1)


@devices.command("sync")
def sync(
    context: typer.Context,
    source: Annotated[
        str, typer.Option("--from", help="A list of UDIDs or serials (CSV, Excel), or the URL of NanoMDM's database.")
    ] = "",
    from_database: Annotated[
        bool, typer.Option("--from-database", help="From the server's own database, as the settings name it.")
    ] = False,
    server: Annotated[str, typer.Option(help="The server they are enrolled with; needed if there are several.")] = "",
    ask: Annotated[bool, typer.Option(help="Wake and ask devices of which too little is known.")] = True,
    as_json: AsJson = False,
) -> None:
    """Take devices from a list or from NanoMDM's database; the running service then asks them what they are."""
    common: Common = context.obj
    if bool(source) == from_database:
        raise SettingsError("Where from?", remedy="Say either --from FILE or --from-database.")
    with common.kit() as kit:
        found = kit.sync_database(server, ask=ask) if from_database else kit.sync(source, server, ask=ask)
    for words in found.remarks:
        remark(words)
    if as_json:
        print_json(
            {
                "listed": found.listed,
                "new": found.new,
                "known": found.known,
                "asked": found.asked,
                "remarks": found.remarks,
            }
        )
    else:
        say(
            f"{found.listed:,} devices listed: {found.new:,} new, {found.known:,} known. {found.asked:,} will be asked."
        )


@devices.command("list")
def list_devices(
    context: typer.Context,
    where: Annotated[str, typer.Option(help='Such as: platform == "iPadOS" and os_version < "18.7.2"')] = "",
    as_json: AsJson = False,
) -> None:
    """Devices, all or by a criterion."""
    common: Common = context.obj
    with common.kit() as kit:
        chosen = kit.select(where=where)
    rows = [as_row(device) for device in chosen.devices]
    if as_json:
        print_json(rows)
        return
    shown = ("serial", "name", "platform", "os_version", "supervised", "site", "ring", "server")
    table("", shown, [[row[column] for column in shown] for row in rows])
    say(f"{len(rows):,} devices.")
