"""The command line: options, progress and errors. The work is imported inside the commands, so that help is instant."""

from pathlib import Path
from typing import Annotated

import typer

from talker_cli import __version__
from talker_cli.cli_common import (
    DEFAULT_MODEL,
    DeviceOption,
    IdentityOption,
    LibraryOption,
    ModelOption,
    SeedOption,
    guarded,
    note,
    progress,
    result,
)
from talker_cli.cli_data import data_app, preprocess_app
from talker_cli.cli_evaluate import evaluate
from talker_cli.cli_export import DEFAULT_OUTPUT, OutputsOption, export, write_outputs
from talker_cli.cli_head import head
from talker_cli.cli_identities import enroll, identities
from talker_cli.cli_render import render
from talker_cli.cli_training import distill, train

DEFAULT_IDENTITY = "FaceTalk_170725"

app = typer.Typer(
    name="talker",
    help="Speech in, talking 3D face out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line."""
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


@app.command()
@guarded
def animate(
    audio: Annotated[Path, typer.Argument(help="A recording of speech: wav, flac, mp3, m4a, mp4, g722, …", show_default=False)],
    identity: IdentityOption = DEFAULT_IDENTITY,
    output: OutputsOption = None,
    steps: Annotated[str, typer.Option(help="8: the student. Another number: the teacher. full: all its steps.")] = "8",
    seed: SeedOption = 0,
    guidance: Annotated[float | None, typer.Option(help="How strictly the teacher follows speech and style; 1 is off.")] = None,
    style_scale: Annotated[float, typer.Option(help="0: the average style; 1: the identity's; 2: twice as far from it.")] = 1.0,
    library: LibraryOption = None,
    device: DeviceOption = "auto",
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Turn a recording of speech into the motion of a face.

    Example: talker animate speech.wav --identity FaceTalk_170725 -o out.glb -o out.csv
    """
    from talker_cli.audio import check_file
    from talker_cli.export.formats import check_outputs, check_rig

    # What can be refused at once is refused before seconds go into loading a model.
    outputs = output or [Path(DEFAULT_OUTPUT)]
    check_file(audio)
    check_outputs(outputs, [audio])
    from talker_cli.animate import animate_file

    with progress("animating", "steps") as advance:
        made = animate_file(
            audio,
            identity=identity,
            model=model,
            steps=steps,
            seed=seed,
            guidance=guidance,
            style_scale=style_scale,
            library=library,
            device=device,
            check_rig=lambda rig: check_rig(outputs, rig),
            on_note=note,
            on_step=advance,
        )
    performance = made.performance
    frames = len(performance.coefficients)
    length = frames / performance.fps
    note(f"{performance.identity}, {made.sampler}: {frames} frames, {length:.1f} s of motion in {made.seconds:.1f} s")
    write_outputs(performance, outputs)


app.add_typer(preprocess_app, name="preprocess")
app.add_typer(data_app, name="data")
for command in (render, export, head, train, distill, evaluate, enroll):
    app.command()(command)
app.command("enroll-identity", help="The same as enroll.")(enroll)
app.add_typer(identities)
