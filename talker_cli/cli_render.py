"""The command that draws: motions as films, stills and sheets. The work is imported inside, so that help is instant."""

from pathlib import Path
from typing import Annotated

import typer

from talker_cli.cli_common import guarded, note, parse_size, progress, result, same_file


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
