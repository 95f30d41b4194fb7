"""`init`, `doctor` and `prove`: the first settings, what is broken on the way, and the first device through it all."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from osupdate_kit.cli.common import Common, console, print_json, remark, say
from osupdate_kit.cli.fleet import AsJson
from osupdate_kit.errors import SettingsError
from osupdate_kit.kit.doctor import Found, Hop, examine
from osupdate_kit.kit.prove import begin, follow, proof, write_proof
from osupdate_kit.kit.roundtrip import SECONDS
from osupdate_kit.kit.setup import Answers, Written, write_settings
from osupdate_kit.settings import FILE_NAME

_STYLE = {Found.OK: "green", Found.FAILED: "bold red", Found.NOT_LOOKED_AT: "dim"}


def add_to(app: typer.Typer) -> None:
    app.command("init")(init)
    app.command("doctor")(doctor)
    app.command("prove")(prove)


def init(
    context: typer.Context,
    url: Annotated[str, typer.Option(help="Where the server's API is, such as https://mdm.example.org.")] = "",
    name: Annotated[str, typer.Option(help="What people, plans and the webhook's path call the server.")] = "",
    kind: Annotated[Literal["nanomdm", "nanohub"] | None, typer.Option(help="What it is.")] = None,
    key_file: Annotated[
        str, typer.Option(help="The file, readable by its owner only, with the API key; - reads the key from here.")
    ] = "",
    key_env: Annotated[str, typer.Option(help="The variable that will hold the API key.")] = "",
    store: Annotated[str, typer.Option(help="The store's URL; else SQLite in your data folder.")] = "",
    host: Annotated[str, typer.Option(help="Where the receiver listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="On which port.")] = 8077,
    webhook_at: Annotated[
        str, typer.Option(help="Where the server reaches the receiver, if a proxy stands before it.")
    ] = "",
    trusted_proxy: Annotated[
        bool, typer.Option("--trusted-proxy", help="A proxy lets only this server reach its webhook path.")
    ] = False,
    kmfddm: Annotated[str, typer.Option(help="Where KMFDDM's API is, if one stands beside a NanoMDM.")] = "",
    kmfddm_key_file: Annotated[str, typer.Option(help="The file with KMFDDM's API key.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Write anew what is there.")] = False,
) -> None:
    """Write the settings, make the webhook key, and print what to tell the server. Asks for what no option says."""
    common: Common = context.obj
    path = Path(common.config or FILE_NAME)
    if path.exists() and not force:
        raise SettingsError(f"{path} exists.", remedy="Say --force to write it anew, or name another by --config.")
    asks = sys.stdin.isatty() and key_file != "-"
    url = url or _asked("--url", "Where is the server's API (https://…)?", asks=asks)
    chosen = kind or _asked("--kind", "Is it a nanomdm or a nanohub?", asks=asks, default="nanomdm")
    name = name or (_asked("--name", "What do you call it?", asks=asks, default="school") if asks else "school")
    api_key = ""
    if key_file == "-":
        api_key, key_file = sys.stdin.readline().strip(), ""
        if not api_key:
            raise SettingsError("No key came by standard input.", remedy="Write it there, on one line.")
    elif not key_file and not key_env:
        api_key = _asked("--key-file or --key-env", "Its API key (it is not shown)?", asks=asks, hidden=True)
    told = Answers(
        name=name, kind=chosen, url=url, api_key=api_key, key_env=key_env,
        key_file=str(Path(key_file).absolute()) if key_file else "", store_url=store, host=host, port=port,
        webhook_at=webhook_at, trusted_proxy=trusted_proxy, kmfddm=kmfddm,
        kmfddm_key_file=str(Path(kmfddm_key_file).absolute()) if kmfddm_key_file else "",
    )  # fmt: skip
    _tell(write_settings(told, path, force=force), told)


def _asked(option: str, question: str, *, asks: bool, default: str = "", hidden: bool = False) -> str:
    if not asks:
        raise SettingsError(f"{option} is not told, and nobody can be asked here.", remedy=f"Say {option}.")
    answer: str = typer.prompt(question, default=default or None, hide_input=hidden, err=True)
    return answer.strip()


def _tell(written: Written, told: Answers) -> None:
    say(f"Written: {written.settings}")
    for key in written.keys:
        say(f"Written, for you alone to read: {key}")
    for key in written.kept:
        say(f"Kept: {key}")
    say("", "Add to the flags of the server, and restart it:", "", *(f"  {one}" for one in written.flags.splitlines()))
    if told.kind == "nanohub":
        say("", "NanoHUB signs nothing: keep the receiver on loopback, or behind a proxy that lets only it in.")
    config = "" if written.settings == Path(FILE_NAME).absolute() else f" --config {written.settings}"
    say(
        "",
        f"Then start the service and leave it running: osupdate-kit{config} serve",
        f"And in another window look at every hop:     osupdate-kit{config} doctor --device UDID",
    )


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


def prove(
    context: typer.Context,
    device: Annotated[str, typer.Argument(help="Serial, UDID or enrollment ID of a test device.")],
    target: Annotated[str, typer.Option(help="The version that it is taken to, such as 26.6.1.")] = "",
    allow_major: Annotated[bool, typer.Option("--allow-major", help="It may leave its major version.")] = False,
    hours: Annotated[float, typer.Option(min=0.001, max=720, help="How long to wait for it.")] = 12,
    rollout: Annotated[int, typer.Option(help="Begin nothing: the page of this earlier proof, as of now.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the page and its JSON.")] = Path(),
    yes: Annotated[bool, typer.Option("--yes", help="Begin without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Update one test device; write a page of what it sent beside what is expected. Exit 1 if it is not done."""
    common: Common = context.obj
    with common.kit() as kit:
        if rollout:
            proving = kit.rollout(rollout)
        else:
            if not target:
                raise SettingsError("No version is named.", remedy="Say --target, or --rollout for an earlier proof.")
            if not yes:
                _agreed(f"{device} will be updated to {target}, and restart. Begin?")
            proving = begin(kit, device, target, allow_major=allow_major)
            remark(f"Rollout {proving.id} has begun. Ctrl+C leaves it running; `osupdate-kit rollout cancel` ends it.")
            with contextlib.suppress(KeyboardInterrupt):
                follow(kit, proving, seconds=hours * 3600, tell=remark)
        found = proof(kit, proving)
    page, data = write_proof(found, out)
    if as_json:
        print_json(found.to_dict())
    else:
        say(found.finding, f"Page: {page}", f"Data: {data}")
    if found.state != "done":
        raise typer.Exit(1)


def _agreed(question: str) -> None:
    if not sys.stdin.isatty():
        raise SettingsError("Nobody can be asked here.", remedy="Say --yes.")
    typer.confirm(question, abort=True, err=True)


def _show(hop: Hop) -> None:
    """One line for a hop, as soon as it is known; the remedy below it where it is broken."""
    word = f"[{_STYLE[hop.found]}]{hop.found.value:<13}[/]"
    console.print(f"{word} {escape(hop.title)}: {escape(hop.seen)}", soft_wrap=True, highlight=False)
    if hop.remedy:
        console.print(f"{'':<13} → {escape(hop.remedy)}", soft_wrap=True, highlight=False)


def _silent(_: object) -> None:
    return None
