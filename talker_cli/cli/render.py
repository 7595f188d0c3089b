"""`talker render`: motions as videos, stills and contact sheets. The work is imported inside, so that help is instant."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from talker_cli.cli.export import MapOption
from talker_cli.cli.options import examples, guarded, note, parse_size, progress, result, same_file


@examples(
    "talker render out.npy -o out.mp4",
    "talker render truth.npy --compare out.npy --heatmap --template FLAME_sample.ply --fps 30 -o compared.mp4",
)
@guarded
def render(
    motion: Annotated[Path, typer.Argument(help="Motion (.npy) of talker or of another system.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Output: mp4, webm, gif, png, or a folder of PNGs. [default: the motion's name with .mp4]",
            show_default=False,
        ),
    ] = None,
    size: Annotated[str, typer.Option(help="Width x height of each face, pixels.")] = "512x512",
    fps: Annotated[
        float | None,
        typer.Option(min=1.0, max=240.0, help="Frame rate of the video, and of a motion whose file does not state one."),
    ] = None,
    view: Annotated[
        Literal["front", "three-quarter", "side", "turntable"], typer.Option(help="Position of the camera.")
    ] = "front",
    background: Annotated[
        str | None, typer.Option(help="Colour, as '#2a2c30' or 'white'. [default: a grey studio]", show_default=False)
    ] = None,
    at: Annotated[float | None, typer.Option(min=0.0, help="Write a still of this second (png).")] = None,
    every: Annotated[
        float | None, typer.Option(min=0.001, help="Write a contact sheet with an image every so many seconds (png).")
    ] = None,
    audio: Annotated[
        Path | None, typer.Option(help="Sound of the video. [default: the recording that was animated]", show_default=False)
    ] = None,
    template: Annotated[
        Path | None, typer.Option(help="Neutral mesh of another system's motion: ply, obj, glb or npz.")
    ] = None,
    avatar: Annotated[
        Path | None, typer.Option(help="Character to drive instead of the head: a .glb or .vrm with ARKit's shapes or visemes.")
    ] = None,
    shape_map: MapOption = None,
    compare: Annotated[
        list[Path] | None, typer.Option(help="Motion to show beside the first; repeatable.", show_default=False)
    ] = None,
    heatmap: Annotated[
        bool, typer.Option("--heatmap", help="Show each distance from the first motion, mm; needs --compare.")
    ] = False,
) -> None:
    """Draw motions as a video with sound, a still, or a contact sheet."""
    from talker_cli.avatar.drive import listed
    from talker_cli.avatar.table import table_with
    from talker_cli.errors import InputError, OutputError
    from talker_cli.formats.audio import load_speech
    from talker_cli.render import RenderOptions, read_driven, read_track, render_contact_sheet, render_still, render_video
    from talker_cli.render.encoder import SOUND, check_place, kind_of
    from talker_cli.render.source import audio_of_motion, labelled, recording_of
    from talker_cli.render.stage import parse_color

    still = at is not None or every is not None or (output is not None and output.suffix.lower() == ".png")
    place = output if output is not None else motion.with_suffix(".png" if still else ".mp4")
    if at is not None and every is not None:
        raise InputError("found --at and --every; expected one of them: a still, or a contact sheet")
    if still and kind_of(place) != ".png":
        option = "--at" if at is not None else "--every"
        raise OutputError(f"found {option} with {place}; expected a .png; leave {option} out for a video")
    if avatar is not None and (template is not None or compare):
        raise InputError("found --avatar with --template or --compare; expected one motion for an avatar; leave the other out")
    if heatmap and not compare:
        raise InputError("found --heatmap alone; expected a motion to compare with; give one with --compare other.npy")
    options = RenderOptions(parse_size(size), view, parse_color(background), fps, heatmap)
    check_place(place)
    if avatar is not None:
        track, missing = read_driven(motion, avatar, fps=fps, table=table_with(shape_map))
        tracks = [track]
        if missing:
            note(f"{avatar} has no morph target for {listed(missing)}: they move nothing")
    else:
        tracks = labelled([read_track(path, template=template, fps=fps) for path in (motion, *(compare or ()))])
    if still:
        if every is None:
            render_still(tracks, place, options, seconds=at or 0.0)
        else:
            with progress("drawing", "images") as advance:
                render_contact_sheet(tracks, place, options, every=every, on_frame=advance)
        result(place)
        return
    sound = audio
    if sound is not None:
        load_speech(sound)  # refuses in one line what the encoder would in many
    elif kind_of(place) in SOUND:
        sound = audio_of_motion(motion, tracks[0].about)
        if sound is None:
            note("the motion names no recording, so the video is silent; give one with --audio FILE")
    for recording in (sound, recording_of(motion)):
        if recording is not None and same_file(recording, place):
            raise OutputError(f"cannot write {place}: it is the recording itself; choose another -o")
    with progress("drawing", "frames") as advance:
        render_video(tracks, place, options, audio=sound, on_frame=advance)
    result(place)
