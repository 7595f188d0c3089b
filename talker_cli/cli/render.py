"""The command that draws: motions as films, stills and sheets. The work is imported inside, so that help is instant."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from talker_cli.cli.options import guarded, note, parse_size, progress, result, same_file


@guarded
def render(
    motion: Annotated[Path, typer.Argument(help="A motion (.npy) of talker's, or of any system.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="mp4, webm, gif, png, or a folder for a PNG a frame; the motion's name with .mp4 otherwise."
        ),
    ] = None,
    size: Annotated[str, typer.Option(help="Width x height of each face's picture, pixels.")] = "512x512",
    fps: Annotated[
        float | None,
        typer.Option(min=1.0, max=240.0, help="Frames a second: of the film; of a motion that does not say its own, of both."),
    ] = None,
    view: Annotated[
        Literal["front", "three-quarter", "side", "turntable"], typer.Option(help="Where the camera stands.")
    ] = "front",
    background: Annotated[
        str | None, typer.Option(help="A colour, as '#2a2c30' or 'white'; a studio's grey wall otherwise.", show_default=False)
    ] = None,
    at: Annotated[float | None, typer.Option(min=0.0, help="Write one still, of this second, as a png.")] = None,
    every: Annotated[
        float | None, typer.Option(min=0.001, help="Write a contact sheet, a picture every so many seconds, as a png.")
    ] = None,
    audio: Annotated[Path | None, typer.Option(help="The sound, if not the recording that was animated.")] = None,
    template: Annotated[
        Path | None, typer.Option(help="The mesh that another system's motion moves: ply, obj, glb or npz.")
    ] = None,
    avatar: Annotated[
        Path | None, typer.Option(help="Your own character instead of the head: a .glb with ARKit-named morph targets.")
    ] = None,
    compare: Annotated[
        list[Path] | None, typer.Option(help="Another motion to put beside; may be given again.", show_default=False)
    ] = None,
    heatmap: Annotated[bool, typer.Option("--heatmap", help="With --compare: show the distance from the first, mm.")] = False,
) -> None:
    """Draw motions as a film with its sound, a still, or a contact sheet.

    Example: talker render out.npy -o out.mp4

    Example: talker render truth.npy --compare out.npy --heatmap --template FLAME_sample.ply --fps 30 -o compared.mp4
    """
    from talker_cli.errors import InputError, OutputError
    from talker_cli.formats.audio import load_speech
    from talker_cli.render import RenderOptions, read_driven, read_track, render_sheet, render_still, render_video
    from talker_cli.render.encoder import SOUND, check_place, kind_of
    from talker_cli.render.source import audio_of_motion, labelled, recording_of
    from talker_cli.render.stage import parse_color

    picture = at is not None or every is not None or (output is not None and output.suffix.lower() == ".png")
    place = output if output is not None else motion.with_suffix(".png" if picture else ".mp4")
    if at is not None and every is not None:
        raise InputError("found --at and --every; a still shows one instant, a sheet many; leave one of them out")
    if picture and kind_of(place) != ".png":
        option = "--at" if at is not None else "--every"
        raise OutputError(f"found {option} with {place}; that makes a .png; leave {option} out for a film")
    if avatar is not None and (template is not None or compare):
        raise InputError("found --avatar with --template or --compare; an avatar is driven by one motion; leave the other out")
    if heatmap and not compare:
        raise InputError("found --heatmap alone; expected a motion to measure against; give one with --compare other.npy")
    shot = RenderOptions(parse_size(size), view, parse_color(background), fps, heatmap)
    check_place(place)
    if avatar is not None:
        take, missing = read_driven(motion, avatar, fps=fps)
        takes = [take]
        if missing:
            note(f"{avatar} has no shape for {', '.join(missing)}: they move nothing")
    else:
        takes = labelled([read_track(path, template=template, fps=fps) for path in (motion, *(compare or ()))])
    if picture:
        if every is None:
            render_still(takes, place, shot, seconds=at or 0.0)
        else:
            with progress("drawing", "pictures") as advance:
                render_sheet(takes, place, shot, every=every, on_frame=advance)
        result(place)
        return
    sound = audio
    if sound is not None:
        load_speech(sound)  # says in one line what the encoder would say in many
    elif kind_of(place) in SOUND:
        sound = audio_of_motion(motion, takes[0].about)
        if sound is None:
            note("the motion names no recording: the film is silent; give one with --audio FILE")
    for recording in (sound, recording_of(motion)):
        if recording is not None and same_file(recording, place):
            raise OutputError(f"cannot write {place}: it is the recording itself; choose another -o")
    with progress("drawing", "frames") as advance:
        render_video(takes, place, shot, audio=sound, on_frame=advance)
    result(place)
