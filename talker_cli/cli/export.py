"""`talker export`: a motion in other programs' formats; and the function and option that `animate -o` shares with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from talker_cli.cli.options import examples, guarded, note, progress, result

if TYPE_CHECKING:
    from talker_cli.avatar.drive import DrivenAvatar
    from talker_cli.export.motion_clip import MotionClip

DEFAULT_OUTPUT = "out.npy"

_FORMATS = (
    "Output: npy, npz, csv, json, glb, vrma, usda, usdz, html, mp4, webm, gif, FOLDER/%04d.obj or .ply; Rhubarb's tsv, xml, "
    "dat, rhubarb.json; azure.json, anim.json, metahuman.csv or .json; with --avatar vrm; with --text TextGrid, phones.tsv."
)
VisemesOption = Annotated[
    Literal["oculus"] | None,
    typer.Option(help="Write csv, json and anim.json as Oculus' 15 visemes in place of ARKit's curves.", show_default=False),
]
_Outputs = Annotated[list[Path] | None, typer.Option("--output", "-o", help=_FORMATS, show_default=False)]
OutputsOption = Annotated[list[Path] | None, typer.Option("--output", "-o", help=_FORMATS, show_default=DEFAULT_OUTPUT)]
AvatarOption = Annotated[
    Path | None,
    typer.Option(help="Character to drive: a .glb or .vrm with ARKit's morph targets or visemes.", show_default=False),
]
MapOption = Annotated[
    Path | None,
    typer.Option("--map", help="What the character's shapes are, where their names are not known (.toml).", show_default=False),
]


def driven_avatar(avatar: Path | None, shape_map: Path | None, outputs: Sequence[Path]) -> "DrivenAvatar | None":
    """Return the character that the outputs show, with a note of what moves nothing; None without one.

    Raises:
        TalkerError: the character or its map cannot be used, no output shows it, or an output is it.
    """
    from talker_cli.avatar.drive import expressions_drive, read_driven_avatar
    from talker_cli.errors import InputError
    from talker_cli.export.formats import check_avatar, check_outputs

    if avatar is None:
        if shape_map is not None:
            raise InputError("found a map without a character; expected both; give the character", field="avatar")
        check_avatar(outputs, None)
        return None
    found = read_driven_avatar(avatar, shape_map)
    check_avatar(outputs, found)
    check_outputs(outputs, [avatar])
    for line in found.notes:
        note(line)
    for output in outputs:
        if output.suffix.lower() == ".vrma" and found.file.vrm and not expressions_drive(found.file, found.table).expressions:
            note(
                f"{avatar} has no expression that moves the face: {output} holds the head and the gaze alone; a .vrm moves more"
            )
    return found


def write_outputs(clip: "MotionClip", outputs: Sequence[Path]) -> None:
    """Write a motion to every output, and print each."""
    from talker_cli.export.formats import write_motion_clip

    for output in outputs:
        with progress(f"writing {output.name}", "frames") as advance:
            write_motion_clip(clip, output, advance)
        result(output)


@examples("talker export out.npy -o out.glb -o out.html", "talker export out.npy --avatar me.glb -o me_speaks.glb")
@guarded
def export(
    motion: Annotated[Path, typer.Argument(help="Motion of talker animate (.npy).", show_default=False)],
    output: _Outputs = None,
    avatar: AvatarOption = None,
    shape_map: MapOption = None,
    visemes: VisemesOption = None,
    audio: Annotated[
        Path | None, typer.Option(help="Sound. [default: the recording that was animated]", show_default=False)
    ] = None,
) -> None:
    """Convert a motion to other programs' formats, or put it on a character of your own."""
    from dataclasses import replace

    from talker_cli.errors import OutputError
    from talker_cli.export.formats import check_outputs, check_rig, check_visemes, format_of
    from talker_cli.export.motion_clip import read_motion_clip
    from talker_cli.formats.audio import load_speech
    from talker_cli.formats.motion import coefficients_path, sidecar_path
    from talker_cli.render.source import recording_of

    if not output:
        raise OutputError(f"found no -o; expected an output, for example: talker export {motion} -o {motion.stem}.glb")
    character = driven_avatar(avatar, shape_map, output)
    if visemes is not None:
        check_visemes(output)
    if audio is not None:
        load_speech(audio)  # refuses in one line what the encoder would in many
    sounding = any(format_of(place).sounds for place in output)
    clip = replace(read_motion_clip(motion, audio, with_sound=sounding), avatar=character, visemes=visemes is not None)
    recordings = (clip.audio, recording_of(motion))
    sources = [motion, coefficients_path(motion), sidecar_path(motion), *(each for each in recordings if each is not None)]
    check_outputs(output, sources)
    check_rig(output, clip.rig, character)
    if sounding and clip.audio is None:
        note("the motion names no recording, so the output is silent; give one with --audio FILE")
    write_outputs(clip, output)
