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
    folder: Annotated[
        Path | None,
        typer.Argument(help="NAME.wav (or flac, mp3, …) beside NAME.txt, or *.trans.txt; without it, this machine's packages."),
    ] = None,
    *,
    output: OutputFolderOption,
    language: Annotated[
        str | None, typer.Option(help="Spoken in the folder: a voice of espeak-ng, such as de or pt-br; en if not said.")
    ] = None,
    voice: Annotated[
        str | None, typer.Option(help="Who speaks all of it; if not said, the folders in it are the speakers.")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Of the folder's recordings, for the manifest.")] = None,
    seed: SeedOption = 0,
    processes: Annotated[int, typer.Option(help="How many work at once; the result is the same.", min=1)] = 2,
    cache: Annotated[Path | None, typer.Option(help="A folder that keeps alignments between corpora.")] = None,
) -> None:
    """Transcribed speech, motion by articulation rules; the same command goes on where a killed run ended.

    Example: talker preprocess articulated recordings/ --language de -o prepared/
    """
    from talker_cli.data.articulated import UNSTATED, prepare, prepare_folder
    from talker_cli.errors import InputError
    from talker_cli.head import build_head

    command = shlex.join(["talker", *sys.argv[1:]])
    for name, value in {"language": language, "voice": voice, "licence": licence}.items():
        if value and folder is None:
            raise InputError(f"found --{name} without a folder; expected a folder of transcribed speech; give one")
    with progress("preparing", "shares") as advance:

        def report(stage: str, done: int, total: int) -> None:
            advance(done, total)

        if folder is None:
            notes = prepare(
                output, rig=build_head(), seed=seed, processes=processes, cache=cache, command=command, on_progress=report
            )
        else:
            notes = prepare_folder(
                folder, output, rig=build_head(), language=language or "en", voice=voice, licence=licence or UNSTATED,
                seed=seed, processes=processes, cache=cache, command=command, on_progress=report,
            )  # fmt: skip
    for name, value in notes.items():
        note(f"{name}: {value}")
    result(output)


@preprocess_app.callback()
def _sources() -> None:
    """Keep `articulated` a word of the command line while it is the only source."""
