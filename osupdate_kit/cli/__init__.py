"""The same flow without a notebook: `osupdate-kit --help`.

Exit status: 0 done, 1 a rollout was stopped or a check found something, 2 misuse or trouble that the message explains.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from osupdate_kit import __version__
from osupdate_kit.cli import alerts, ddm, feeds, fleet, holds, looks, notes, rollouts, run, setup
from osupdate_kit.cli.common import Common
from osupdate_kit.errors import OSUpdateKitError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Select Apple devices, issue ScheduleOSUpdate, follow every device to proof, and report.",
)
run.add_to(app)
fleet.add_to(app)
feeds.add_to(app)
rollouts.add_to(app)
holds.add_to(app)
notes.add_to(app)
looks.add_to(app)
ddm.add_to(app)
alerts.add_to(app)
setup.add_to(app)


def _version(asked: bool) -> None:
    if asked:
        print(f"osupdate-kit {__version__}")
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    config: str = typer.Option("", help="Settings file (else ./osupdate-kit.toml)."),
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Say which this is."),
) -> None:
    context.obj = Common(config or None)


def main(words: Sequence[str] | None = None) -> NoReturn:
    """The command; `words` instead of the process's own. Ends by SystemExit with the exit status.

    Errors that the kit can explain are shown in a sentence with their remedy.
    """
    try:
        app(args=words)
    except OSUpdateKitError as error:
        print(f"osupdate-kit: {error}", file=sys.stderr)
    except BrokenPipeError:
        pass
    sys.exit(2)
