"""The command line: options, progress and errors. The work is imported inside the commands, so that help is instant."""

import signal
import sys
from typing import Annotated

import typer

from talker_cli import __version__
from talker_cli.cli.animate import animate
from talker_cli.cli.data import data_app, preprocess_app
from talker_cli.cli.evaluate import evaluate
from talker_cli.cli.export import export
from talker_cli.cli.head import head
from talker_cli.cli.identities import enroll, identities
from talker_cli.cli.machine import bench, doctor
from talker_cli.cli.options import result
from talker_cli.cli.render import render
from talker_cli.cli.train import distill, train

app = typer.Typer(
    name="talker",
    help="Speech in, talking 3D face out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line."""
    # What was begun is removed when a job is stopped, as it is after Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGHUP):  # a terminal that closes stops it too
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup's
            signal.signal(number, lambda number, frame: sys.exit(128 + number))
    app()


def _version(wanted: bool) -> None:
    if wanted:
        result(f"talker {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    pass


app.add_typer(preprocess_app, name="preprocess")
app.add_typer(data_app, name="data")
for command in (animate, render, export, head, train, distill, evaluate, enroll, bench, doctor):
    app.command()(command)
app.command("enroll-identity", help="The same as enroll.")(enroll)
app.add_typer(identities)
