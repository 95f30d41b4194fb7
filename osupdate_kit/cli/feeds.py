"""`feeds`: which releases there are, from where, and how old that knowledge is."""

from collections.abc import Iterator
from typing import Annotated

import typer

from osupdate_kit.cli.common import Common, print_json, remark, say, table
from osupdate_kit.cli.fleet import AsJson
from osupdate_kit.feeds.releases import FeedState
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.rollout.policy import DAY
from osupdate_kit.rollout.releases import Catalogue, Release
from osupdate_kit.views.status import iso

feeds = typer.Typer(no_args_is_help=True, help="Apple's releases: what there is, and for which models.")

OLD_DAYS = 14  # from when on the age of a catalogue is worth a remark


def add_to(app: typer.Typer) -> None:
    app.add_typer(feeds, name="feeds")


@feeds.command("refresh")
def refresh(context: typer.Context, as_json: AsJson = False) -> None:
    """Fetch what is new. Exit 1 when a feed could not be had; its last good copy stays in use."""
    common: Common = context.obj
    with common.kit() as kit:
        states = kit.refresh_feeds()
        now = kit.now()
    if as_json:
        print_json([_words(state) for state in states])
    else:
        _print(states, now)
    for state in states:
        if state.trouble:
            remark(f"{state.name}: {state.trouble}")
    if any(state.trouble for state in states):
        raise typer.Exit(1)


@feeds.command("show")
def show(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Every release, not only the newest of each.")] = False,
    as_json: AsJson = False,
) -> None:
    """The releases that plans are made by, with the age of what is known."""
    common: Common = context.obj
    with common.kit() as kit:
        catalogue, states, now = kit.feeds.catalogue(), kit.feeds.states(), kit.now()
        frame = kit.releases() if as_json else None
    if frame is not None:
        rows = frame.assign(**{name: frame[name].astype("string") for name in ("released_at", "expires_at")})
        print_json(
            {
                "as_of": iso(catalogue.as_of), "sha256": catalogue.sha256, "source": catalogue.source,
                "feeds": [_words(state) for state in states],
                "releases": rows.astype(object).where(rows.notna(), None).to_dict("records"),
            }
        )  # fmt: skip
        return
    if any(state.as_of for state in states):
        _print(states, now)
    headings = ("platform", "version", "released", "offered until", "exploited", "sources", "models", "CVEs")
    title = f"{catalogue.source}, as of {iso(catalogue.as_of)}, {catalogue.age_days(now):,.0f} days old"
    table(f"{title}, SHA-256 {catalogue.sha256[:12]}", headings, _rows(catalogue, everything=everything), numbers=2)
    if catalogue.age_days(now) > OLD_DAYS:
        remark("That is old: `osupdate-kit feeds refresh` asks for news.")


def _rows(catalogue: Catalogue, *, everything: bool) -> Iterator[tuple[object, ...]]:
    for platform in Platform:
        majors: set[int] = set()
        for release in catalogue.of(platform) if platform is platform.schema else ():
            newest = release.version.major not in majors
            majors.add(release.version.major)
            if everything or newest or release.offers:
                yield _row(release, doubtful=release.advisory in catalogue.doubtful_advisories)


def _row(release: Release, *, doubtful: bool) -> tuple[object, ...]:
    until = (_day(release.expires_at) or "not said") if release.offers else "no longer"
    exploited = " ".join([*release.exploited, *(["(advisory of another platform, too)"] if doubtful else [])])
    return (
        release.platform.value, release.version, _day(release.released_at), until, exploited,
        ", ".join(release.sources), len(release.models), len(release.cves),
    )  # fmt: skip


def _day(at: int) -> str:
    return iso(at)[:10] if at else ""


def _print(states: list[FeedState], now: int) -> None:
    rows = [
        (
            state.name, "news" if state.news else "", iso(state.as_of) if state.as_of else "no copy",
            f"{(now - state.as_of) / DAY:,.0f} days" if state.as_of else "", state.sha256[:12], state.releases,
        )
        for state in states
    ]  # fmt: skip
    if rows:
        table("", ("feed", "", "as of", "age", "SHA-256", "releases"), rows, numbers=1)
    else:
        say("No feed is named in the settings.")


def _words(state: FeedState) -> dict[str, object]:
    return {
        "feed": state.name, "url": state.url, "as_of": iso(state.as_of) if state.as_of else None,
        "sha256": state.sha256, "fetched_at": iso(state.fetched_at) if state.fetched_at else None,
        "releases": state.releases, "news": state.news, "trouble": state.trouble,
    }  # fmt: skip
