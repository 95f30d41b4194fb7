"""`today` and `why`: what happened and what is to be done, over all rollouts; and all of one device."""

from typing import Annotated

import typer

from osupdate_kit.cli.common import Common, print_json, say, table
from osupdate_kit.cli.fleet import AsJson
from osupdate_kit.kit.today import (
    ALERTS,
    DEADLINES,
    ENDED,
    KINDS,
    NEEDS,
    SINCE,
    alert_rows,
    ended_rows,
    need_rows,
    site_rows,
)

SITES = 20


def add_to(app: typer.Typer) -> None:
    app.command("today")(today)
    app.command("why")(why)


def today(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="24h, 7d, 2026-11-24 (UTC), or 2026-11-24T08:00+01:00.")] = SINCE,
    as_json: AsJson = False,
) -> None:
    """What came to an end since, and what needs a person now: what to do, whose move it is, and at which site."""
    common: Common = context.obj
    with common.kit() as kit:
        found = kit.today(since)
    if as_json:
        print_json(found.to_dict())
        return
    say(found.finding)
    if found.ended:
        table("\nEnded since", ENDED, ended_rows(found), numbers=4)
    if found.needs:
        table("\nNeeds a person", NEEDS, need_rows(found))
    if found.sites:
        sites = site_rows(found)
        more = f" ({SITES} of {len(sites):,}; --json names all)" if len(sites) > SITES else ""
        table(f"\nBy site{more}", ["site", *KINDS], sites[:SITES], numbers=len(KINDS))
    if found.deadlines:
        table("\nDeadlines of declarations", DEADLINES, list(found.deadlines.items()), numbers=1)
    if found.alerts:
        table("\nAlerts that stand", ALERTS, alert_rows(found))


def why(
    context: typer.Context,
    device: Annotated[str, typer.Argument(help="Its serial, UDID or enrollment ID.")],
    everything: Annotated[bool, typer.Option("--all", help="Pushes and questions that changed nothing, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """One device's story across rollouts and servers: each command, answer and state, what it waits for, what to do."""
    from osupdate_kit.kit.why import PARTS, STORY, WHO, part_rows, story_rows, who_rows

    common: Common = context.obj
    with common.kit() as kit:
        found = kit.why(device)
    if as_json:
        print_json(found.to_dict())
        return
    say(found.finding)
    if found.remedy:
        say(f"What to do: {found.remedy}")
    table("\nWho it is", WHO, who_rows(found))
    if found.parts:
        table("\nRollouts", PARTS, part_rows(found))
    if found.story:
        rows = story_rows(found, minor=everything)
        left = len(found.story) - len(rows)
        more = f"; {left:,} pushes and questions that changed nothing are left out, --all shows them" if left else ""
        table(f"\nWhat happened{more}", STORY, rows)
