"""The command line: options, progress and errors. The work is imported inside the commands, so that help is instant."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from talker_cli import __version__
from talker_cli.cli.animate import animate
from talker_cli.cli.capture import capture
from talker_cli.cli.data import data_app, preprocess_app
from talker_cli.cli.evaluate import compare, evaluate
from talker_cli.cli.export import export
from talker_cli.cli.export_model import export_model
from talker_cli.cli.head import head
from talker_cli.cli.identities import enroll, identities
from talker_cli.cli.machine import bench, doctor
from talker_cli.cli.options import FULL, MISTAKE, guarded, note, result, stdout_problem
from talker_cli.cli.page import page
from talker_cli.cli.render import render
from talker_cli.cli.rig import convert, rig
from talker_cli.cli.serve import serve
from talker_cli.cli.train import distill, train

app = typer.Typer(
    name="talker",
    help="Speech in, talking 3D face out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # boxes round the help take two fifths of its time
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run(arguments: Sequence[str]) -> int:
    """Run the command line; return its exit code. A wrong option or argument is one line on stderr, exit code 2."""
    try:
        code = app(list(arguments), prog_name="talker", standalone_mode=False)
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in FULL:
            raise
        note(str(stdout_problem(error)))  # the help, to a full disk
        return MISTAKE
    except Exception as error:
        if not hasattr(error, "format_message"):  # one of Click's, whose module is Typer's own
            raise
        if text := error.format_message():  # none where the help was shown in its place
            where = getattr(getattr(error, "ctx", None), "command_path", "talker")
            note(f"{text.replace('Value error, ', '')} (see {where} --help)")
        return int(getattr(error, "exit_code", MISTAKE))
    return code or 0


@guarded
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
OF_MOTION = (animate, serve, page, render, export, export_model, capture, head, rig, convert)
for command in (*OF_MOTION, train, distill, evaluate, compare, enroll, bench, doctor):
    app.command()(command)
app.command("enroll-identity", hidden=True)(enroll)
app.add_typer(identities)
