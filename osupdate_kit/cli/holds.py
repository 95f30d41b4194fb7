"""`hold`: the list of devices that nothing may be installed on for now."""

from pathlib import Path
from typing import Annotated

import typer

from osupdate_kit.cli.common import Common, print_json, remark, say, some, table
from osupdate_kit.cli.fleet import AsJson
from osupdate_kit.errors import RolloutError
from osupdate_kit.feeds.inventory import read_list
from osupdate_kit.fleet.selection import Selection
from osupdate_kit.kit import Kit
from osupdate_kit.kit.holds import held
from osupdate_kit.views.status import iso

hold = typer.Typer(no_args_is_help=True, help="The hold list: devices that no rollout may install on for now.")

Names = Annotated[list[str] | None, typer.Argument(help="Serials or UDIDs.")]
Lists = Annotated[Path | None, typer.Option(help="A list of serials or UDIDs.")]


def add_to(app: typer.Typer) -> None:
    app.add_typer(hold, name="hold")


@hold.command("add")
def add(
    context: typer.Context,
    names: Names = None,
    serials: Lists = None,
    where: Annotated[str, typer.Option(help='Or by a criterion, such as: ring == "vip"')] = "",
    reason: Annotated[str, typer.Option(help="Why; everyone who asks is told.")] = "",
    until: Annotated[
        str, typer.Option(help="The last day (UTC), or 2026-12-18T12:00+01:00; else until released.")
    ] = "",
    group: Annotated[str, typer.Option(help="What kind of device: vip, exam, kiosk, …")] = "",
    as_json: AsJson = False,
) -> None:
    """Keep devices out of everything that can install, in every rollout. What was sent before may still install."""
    common: Common = context.obj
    with common.kit() as kit:
        count = kit.hold(_meant(kit, names, serials, where), reason=reason, until=until, group=group)
    print_json({"held": count}) if as_json else say(f"{count:,} devices are held.")


@hold.command("release")
def release(
    context: typer.Context,
    names: Names = None,
    serials: Lists = None,
    where: Annotated[str, typer.Option(help='Or by a criterion, such as: ring == "vip"')] = "",
    as_json: AsJson = False,
) -> None:
    """Take devices off the hold list."""
    common: Common = context.obj
    with common.kit() as kit:
        count = kit.release(_meant(kit, names, serials, where))
    print_json({"released": count}) if as_json else say(f"{count:,} devices are released.")


@hold.command("list")
def list_holds(context: typer.Context, as_json: AsJson = False) -> None:
    """Who is held, why, by whom and until when."""
    common: Common = context.obj
    with common.kit() as kit:
        lines = held(kit)
    rows = [one._asdict() | {"since": iso(one.since), "until": iso(one.until) if one.until else None} for one in lines]
    if as_json:
        print_json(rows)
        return
    shown = ("serial", "name", "site", "reason", "by", "since", "until")
    table("", shown, [[row[column] for column in shown] for row in rows])
    say(f"{len(rows):,} devices are held.")


def _meant(kit: Kit, names: list[str] | None, serials: Path | None, where: str) -> Selection:
    wanted = set(names or ())
    if serials:
        found = read_list(serials)
        for words in found.remarks:
            remark(f"{serials}: {words}")
        wanted |= {row.enrollment_id or row.udid or row.serial for row in found.rows}
    if not wanted and not where:
        raise RolloutError("Nobody is named.", remedy="Give serials, --serials FILE, or --where.")
    chosen = kit.select(where=where, wanted=wanted)
    if chosen.unmatched:
        remark(f"{len(chosen.unmatched):,} names match no device: {some(chosen.unmatched, 5)}")
    return chosen
