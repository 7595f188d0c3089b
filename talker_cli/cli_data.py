"""The commands about data: preprocess. Imported workers stay inside the commands."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from talker_cli.cli_common import OutputFolderOption, SeedOption, guarded, note, progress, result


@guarded
def preprocess(
    source: Annotated[
        str, typer.Argument(help="articulated: speech of this machine's packages, motion by articulation rules.")
    ],
    output: OutputFolderOption,
    seed: SeedOption = 0,
    cache: Annotated[Path | None, typer.Option(help="A folder that keeps alignments between runs.")] = None,
) -> None:
    """Make a dataset to train on.

    Example: talker preprocess articulated -o prepared/
    """
    from talker_cli.errors import InputError

    if source != "articulated":
        raise InputError(f"found the source '{source}'; expected articulated; see talker preprocess --help")
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
