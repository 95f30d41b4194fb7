"""`note`: what people leave for one another on devices and rollouts."""

from typing import Annotated

import typer

from osupdate_kit.cli.common import Common, print_json, say, table
from osupdate_kit.cli.fleet import AsJson
from osupdate_kit.kit.people import Noted, notes
from osupdate_kit.views.status import iso

note = typer.Typer(no_args_is_help=True, help="Notes for others on devices and rollouts.")

Device = Annotated[str, typer.Option("--device", help="Its serial, UDID or enrollment ID.")]


def add_to(app: typer.Typer) -> None:
    app.add_typer(note, name="note")


@note.command("add")
def add(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="What others should know.")],
    device: Device = "",
    rollout: Annotated[int, typer.Option(help="The rollout's number.")] = 0,
) -> None:
    """Leave a note on a device, on a rollout, or on a device in a rollout. It is signed with your name."""
    common: Common = context.obj
    with common.kit() as kit:
        number = kit.note(text, device=device, rollout=rollout)
    say(f"Note {number} is kept.")


@note.command("list")
def list_notes(
    context: typer.Context,
    device: Device = "",
    rollout: Annotated[int | None, typer.Option(help="The rollout's number.")] = None,
    as_json: AsJson = False,
) -> None:
    """Notes, the newest first: all of them, those on a device, or those on a rollout and its devices."""
    common: Common = context.obj
    with common.kit() as kit:
        found = notes(kit, device=device, rollout=rollout)
    rows = [one._asdict() | {"at": iso(one.at)} for one in found]
    if as_json:
        print_json(rows)
    else:
        table("", Noted._fields, [list(row.values()) for row in rows])
