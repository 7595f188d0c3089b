"""The command line: options, progress and errors. The work is imported inside the commands, so that help is instant."""

from pathlib import Path
from typing import Annotated

import typer

from talker_cli import __version__
from talker_cli.cli_common import (
    DeviceOption,
    IdentityOption,
    ModelOption,
    SeedOption,
    guarded,
    note,
    parse_size,
    progress,
    result,
    same_file,
)
from talker_cli.cli_evaluate import evaluate
from talker_cli.cli_training import distill, preprocess, train

DEFAULT_IDENTITY = "FaceTalk_170725"
DEFAULT_MODEL = "talker-base"

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
    output: Annotated[Path, typer.Option("--output", "-o", help="The motion to write; its .json comes beside it.")] = Path(
        "out.npy"
    ),
    steps: Annotated[str, typer.Option(help="8: the student. Another number: the teacher. full: all its steps.")] = "8",
    seed: SeedOption = 0,
    guidance: Annotated[float | None, typer.Option(help="How strictly the teacher follows speech and style; 1 is off.")] = None,
    device: DeviceOption = "auto",
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Turn a recording of speech into the motion of a face.

    Example: talker animate speech.wav --identity FaceTalk_170725
    """
    from talker_cli.audio import check_file
    from talker_cli.files import check_writable

    # What can be refused at once is refused before seconds go into loading a model.
    check_file(audio)
    check_writable(output)
    from talker_cli.animate import animate_file

    with progress("animating", "steps") as advance:
        made = animate_file(
            audio,
            output,
            identity=identity,
            model=model,
            steps=steps,
            seed=seed,
            guidance=guidance,
            device=device,
            on_note=note,
            on_step=advance,
        )
    length = made.frames / made.fps
    note(f"{made.identity}, {made.sampler}: {made.frames} frames, {length:.1f} s of motion in {made.seconds:.1f} s")
    result(made.output)


@app.command()
@guarded
def render(
    motion: Annotated[Path, typer.Argument(help="A motion that talker animate wrote (.npy).", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="mp4, gif, or png for a still; the motion's name with .mp4.")
    ] = None,
    size: Annotated[str, typer.Option(help="Width x height, pixels.")] = "512x512",
    audio: Annotated[Path | None, typer.Option(help="The sound, if not the recording that was animated.")] = None,
    at: Annotated[float | None, typer.Option(min=0.0, help="Write one still, of this second, as a png.")] = None,
) -> None:
    """Draw a motion as a film with its sound, or as a still.

    Example: talker render out.npy -o out.mp4
    """
    from talker_cli.audio import load_speech
    from talker_cli.errors import OutputError
    from talker_cli.files import check_writable
    from talker_cli.motion import read_motion
    from talker_cli.render import render_still, render_video
    from talker_cli.render.source import audio_of_motion, rig_of_motion

    still = at is not None or (output is not None and output.suffix.lower() == ".png")
    place = output if output is not None else motion.with_suffix(".png" if still else ".mp4")
    if still and place.suffix.lower() != ".png":
        raise OutputError(f"found --at with {place}; a still is a .png; leave --at out for a film")
    pixels = parse_size(size)
    read = read_motion(motion)
    rig = rig_of_motion(motion, read)
    check_writable(place)
    if still:
        render_still(read, rig, place, seconds=at or 0.0, size=pixels)
        result(place)
        return
    sound = audio
    if sound is None:
        sound = audio_of_motion(motion, read)
    else:
        load_speech(sound)  # says in one line what the encoder would say in many
    if sound is None:
        note("the motion names no recording: the film is silent; give one with --audio FILE")
    elif same_file(sound, place):
        raise OutputError(f"cannot write {place}: it is the recording itself; choose another -o")
    with progress("drawing", "frames") as advance:
        render_video(read, rig, place, size=pixels, audio=sound, on_frame=advance)
    result(place)


@app.command()
@guarded
def identities(model: ModelOption = DEFAULT_MODEL) -> None:
    """List whom a model can animate.

    Example: talker identities
    """
    from talker_cli.identities import STAND_IN_NOTE, list_identities

    people = list_identities(model)
    width = max((len(person.name) for person in people), default=0)
    for person in people:
        result(f"{person.name:<{width}}  {person.about}")
    if any("stand-in" in person.about for person in people):
        note(STAND_IN_NOTE)


for making in (preprocess, train, distill, evaluate):
    app.command()(making)
