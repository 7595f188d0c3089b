"""The commands about data: preprocess, one for each source. Imported workers stay inside the commands."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from talker_cli.cli_common import OutputFolderOption, SeedOption, guarded, note, progress, result

preprocess_app = typer.Typer(help="Make a dataset to train on, from one of these sources.", no_args_is_help=True)


@preprocess_app.command()
@guarded
def articulated(
    output: OutputFolderOption,
    seed: SeedOption = 0,
    cache: Annotated[Path | None, typer.Option(help="A folder that keeps alignments between runs.")] = None,
) -> None:
    """Speech of this machine's packages, motion by articulation rules.

    Example: talker preprocess articulated -o prepared/
    """
    from talker_cli.data.articulated import prepare
    from talker_cli.head import build_head

    command = shlex.join(["talker", *sys.argv[1:]])
    with progress("preparing", "recordings") as advance:
        notes = prepare(
            output,
            rig=build_head(),
            seed=seed,
            cache=cache,
            command=command,
            on_progress=lambda stage, done, total: advance(done, total),
        )
    for name, value in notes.items():
        note(f"{name}: {value}")
    result(output)


@preprocess_app.callback()
def _sources() -> None:
    """Keep `articulated` a word of the command line while it is the only source."""
