"""`demo`, `serve` and `store`: what runs, and what it keeps."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from osupdate_kit.cli.common import Common, console, print_json, remark, remarks, say, table
from osupdate_kit.cli.fleet import AsJson
from osupdate_kit.errors import SettingsError
from osupdate_kit.kit.alerts import notifier
from osupdate_kit.kit.databases import recoveries
from osupdate_kit.lab.fleet import make_fleet, makeup, shipped
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rehearsal import SERVER, Rehearsal, false_done, live_lab, write_list
from osupdate_kit.rollout.enforcement import Declaring
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import DAY
from osupdate_kit.rollout.targets import Target
from osupdate_kit.service.receiver import LedgerInbox, Receiver, serve_receiver, webhook_sources
from osupdate_kit.service.serve import serve as serve_until
from osupdate_kit.service.service import Service
from osupdate_kit.service.tally import Tally
from osupdate_kit.settings import CONFIG_VARIABLE
from osupdate_kit.stores.upgrade import backup as back_up
from osupdate_kit.stores.upgrade import upgrade as bring_up
from osupdate_kit.views.reports import browser
from osupdate_kit.views.status import STATES

store = typer.Typer(no_args_is_help=True, help="The store itself.")

FASTEST = 900  # of a lab: whole seconds, as Date headers have them, hide what happens within a quarter of an hour
_TARGETS = {Platform.IPADOS: "26.6.1", Platform.MACOS: "26.6.2", Platform.TVOS: "26.6"}


def add_to(app: typer.Typer) -> None:
    app.command("demo")(demo)
    app.command("serve")(serve)
    app.command("lab")(lab)
    app.command("notebooks")(notebooks)
    app.add_typer(store, name="store")


def demo(
    devices: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many simulated devices.")] = 300,
    seed: Annotated[int, typer.Option(help="Another seed, another fleet.")] = 1,
    days: Annotated[float, typer.Option(min=0.1, max=90, help="Days of the fleet's life after the start.")] = 5,
    out: Annotated[Path, typer.Option(help="Folder for the store and the pages.")] = Path("demo-out"),
) -> None:
    """Roll out three updates to a simulated school district, in virtual time, and show where every device stands."""
    parts = makeup("school")
    specs = make_fleet(parts, devices, seed)
    folder = _fresh(out)
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    with Progress(*columns, console=remarks) as progress:
        task = progress.add_task(f"{devices:,} devices are asked what they are", total=1 + days)
        rehearsal = Rehearsal.of(parts, specs, f"sqlite:///{folder / 'store.db'}", seed=seed, who="demo", declares=True)
        kit = rehearsal.kit
        kit.sync(str(write_list(specs, folder / "fleet.csv")), SERVER)
        rehearsal.run(1, progress=lambda share: progress.update(task, completed=share))
        started = []
        for platform, version in _TARGETS.items():
            chosen = kit.select(where=f'platform == "{platform.value}"')
            if chosen.devices:
                plan = RolloutPlan(
                    name=f"{platform.value} {version}",
                    author="demo",
                    created_at=kit.clock.now(),
                    target=Target(version=OSVersion.parse(version)),
                    allow_major=True,
                    declaring=Declaring(servers=tuple(kit.declarations), weekends=True),
                    deadline_at=kit.clock.now() + 14 * DAY,
                )
                started.append((version, kit.start(kit.draft(chosen, plan)).id))
        progress.update(task, description=f"{days:g} days of {len(started)} rollouts")
        rehearsal.run(days, progress=lambda share: progress.update(task, completed=1 + share * days))
    found = [kit.status(number) for _, number in started]
    rows = [
        (
            state,
            *(status.states.get(state, 0) for status in found),
            sum(status.states.get(state, 0) for status in found),
        )
        for state in STATES
        if any(state in status.states for status in found)
    ]
    rows.append(("selected", *(status.selected for status in found), sum(status.selected for status in found)))
    table("Devices by state", ["state", *(status.name for status in found), "all"], rows, numbers=len(found) + 1)
    for status in found:
        say(f"{status.name}: {status.finding} {status.reconciliation}.")
    wrong = [udid for version, number in started for udid in false_done(rehearsal, number, version)]
    done = sum(status.states.get("done", 0) for status in found)
    say(f"Held against the fleet's own log: {done - len(wrong):,} of {done:,} devices shown as done run the target.")
    rehearsal.truth.write(folder / "truth.jsonl")
    formats = [one for one in ("html", "pdf", "xlsx", "csv") if one != "pdf" or browser()]
    if "pdf" not in formats:
        remark("No PDF: its charts are drawn by a Chromium, and none is installed (Debian: apt-get install chromium).")
    with Progress(*columns, console=remarks, transient=True) as progress:
        for _, number in started:
            told = partial(_tell, progress, progress.add_task(f"Report of rollout {number}", total=1))
            written = kit.rollout(number).report(folder, formats, progress=told)
            say(*(f"Report: {path}" for path in written if path.suffix != ".csv"))
    kit.close()
    if wrong:
        raise typer.Exit(1)


def lab(
    folder: Annotated[Path, typer.Argument(help="For settings, store and the notebooks' copies.")] = Path("lab"),
    devices: Annotated[int, typer.Option(min=1, max=100_000, help="How many simulated devices.")] = 1000,
    seed: Annotated[int, typer.Option(help="Another seed, another fleet.")] = 1,
    speed: Annotated[float, typer.Option(help="How much faster than real time they live: 1 to 900.")] = 600,
    jupyter: Annotated[bool, typer.Option(help="Start JupyterLab on the notebooks.")] = True,
) -> None:
    """A simulated fleet, its MDM server, the service and JupyterLab, all on this machine; ends with Ctrl+C."""
    if not 1 <= speed <= FASTEST:
        raise SettingsError(
            f"--speed {speed:g} is out of range.",
            remedy=f"Choose 1 to {FASTEST}: servers date their answers to whole seconds, and in a faster lab so much "
            "happens within one that a device which has just shown itself looks as if it had not.",
        )
    say(f"{devices:,} devices enrol …")
    with live_lab(folder, makeup("school"), devices, seed=seed, speed=speed) as settings_file:
        copied = _copy_notebooks(folder / "notebooks")
        say(f"The lab runs, {speed:g} times faster than real time. Settings: {settings_file}", *copied)
        environment = os.environ | {CONFIG_VARIABLE: str(settings_file.resolve())}
        if not jupyter:
            say(f"Use it from elsewhere with {CONFIG_VARIABLE}={settings_file.resolve()}")
            stop = threading.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: stop.set())
            stop.wait()
            return
        _jupyter(folder / "notebooks", environment)


def notebooks(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Where the copies go.")] = Path("notebooks"),
    opened: Annotated[bool, typer.Option("--open", help="Start JupyterLab there, on your settings.")] = False,
) -> None:
    """Copy the notebooks; what is there already is never overwritten."""
    say(*_copy_notebooks(folder))
    if opened:
        common: Common = context.obj
        source = common.settings.source
        _jupyter(folder, os.environ | ({CONFIG_VARIABLE: str(source.resolve())} if source else {}))


def _jupyter(folder: Path, environment: Mapping[str, str]) -> None:
    """JupyterLab on a folder, until Ctrl+C."""
    words = [sys.executable, "-m", "jupyterlab", str(folder.resolve())]
    words += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with contextlib.suppress(KeyboardInterrupt):
        subprocess.run(words, env=environment, check=False)  # noqa: S603 - our own words


def _copy_notebooks(folder: Path) -> list[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        told = []
        for source in sorted(shipped("notebooks").iterdir(), key=lambda one: one.name):
            copy = folder / source.name
            if source.name.endswith(".ipynb") and copy.exists():
                told.append(f"Left as it is: {copy}")
            elif source.name.endswith(".ipynb"):
                copy.write_bytes(source.read_bytes())
                told.append(f"Copied: {copy}")
    except OSError as error:
        raise SettingsError(f"{folder} cannot be written: {error.strerror}.", remedy="Choose another folder.") from None
    return told


def _tell(progress: Progress, task: TaskID, what: str, share: float) -> None:
    progress.update(task, description=what, completed=share)


def _fresh(out: Path) -> Path:
    """The folder, with nothing of an earlier demo in it that could be taken for this one's."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for old in [*out.glob("store.db*"), *out.glob("rollout-*"), out / "truth.jsonl", out / "fleet.csv"]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{out} cannot be used: {error.strerror}.", remedy="Choose another folder with --out."
        ) from None
    return out


def serve(context: typer.Context) -> None:
    """Receive webhooks, follow every device, send what is due; a second service on the same store stands by."""
    common: Common = context.obj
    settings = common.settings
    if not settings.servers:
        raise SettingsError("The settings name no server.", remedy="Add [servers.NAME] with kind, url and key_env.")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with common.kit() as kit:
        sources = webhook_sources(settings)
        servers = list(kit.servers.values())  # a key that is missing is told now, not at the first command
        besides = recoveries(kit.ledger, kit.clock, settings.servers)
        notifier(settings.alerts)  # and so is an address that nobody could be told by

        @contextmanager
        def work() -> Iterator[None]:
            receiver = Receiver(LedgerInbox(kit.ledger), sources, kit.clock)
            with (
                serve_receiver(receiver, host=settings.receiver.host, port=settings.receiver.port) as running,
                Service(kit.turns(), besides | {"tally": Tally(kit.ledger, receiver, running.url).turn}),
            ):
                for server in servers:
                    console.print(f"Webhook of {server.name}: {running.url}/webhook/{server.name}", soft_wrap=True)
                yield

        serve_until(kit.ledger, work, stop, tell=lambda words: console.print(words))


@store.command("verify")
def verify(context: typer.Context, as_json: AsJson = False) -> None:
    """Replay all events and compare what they add up to with what is kept. Exit 1 on any difference."""
    common: Common = context.obj
    with common.kit() as kit, remarks.status("Replaying all events …"):
        found = kit.verify()
    if as_json:
        print_json([{"device": str(d.key), "what": d.what, "kept": d.kept, "replayed": d.replayed} for d in found])
    elif not found:
        say("The events add up to exactly what is kept.")
    else:
        table("", ["device", "what", "kept", "by the events"], [(d.key, d.what, d.kept, d.replayed) for d in found])
    if found:
        raise typer.Exit(1)


@store.command("upgrade")
def upgrade(context: typer.Context) -> None:
    """Make the store, or bring an older one up to this version's schema, after a copy of a SQLite store beside it."""
    common: Common = context.obj
    with remarks.status("Upgrading the store …"):
        done = bring_up(common.settings.store_url)
    if done.backup:
        say(f"The store as it was: {done.backup}")
    if done.before == done.after:
        say("The store is up to date.")
    elif not done.before:
        say(f"The store is made, with schema {done.after}.")
    else:
        say(f"The store has gone from schema {done.before} to {done.after}. Check it: osupdate-kit store verify")


@store.command("backup")
def backup(
    context: typer.Context, copy: Annotated[Path, typer.Argument(help="The file that the copy becomes.")]
) -> None:
    """Copy a SQLite store, whole and as of one instant, while the service works on. For PostgreSQL use pg_dump."""
    common: Common = context.obj
    back_up(common.settings.store_url, copy)
    say(f"The store is copied to {copy}.")
