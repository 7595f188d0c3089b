"""The table of output formats by suffix, the checks before any work, and the function that writes a motion in any of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talker_cli.avatar.drive import DrivenAvatar
from talker_cli.errors import InputError, OutputError
from talker_cli.export.arkit import arkit_shapes_for
from talker_cli.export.characters import character_track, on_character, write_character
from talker_cli.export.coefficients import write_json_coefficients, write_npz
from talker_cli.export.cues import write_cues_dat, write_cues_json, write_cues_tsv, write_cues_xml
from talker_cli.export.glb import head_glb
from talker_cli.export.livelink import write_csv
from talker_cli.export.meshes import OnFrame, check_pattern, write_meshes
from talker_cli.export.motion_clip import MotionClip
from talker_cli.export.page import write_html
from talker_cli.export.programs import (
    write_azure,
    write_metahuman_csv,
    write_metahuman_json,
    write_talkinghead,
    write_visemes_csv,
    write_visemes_json,
)
from talker_cli.export.usd import write_usda, write_usdz
from talker_cli.export.vrma import write_vrma
from talker_cli.formats.alignment import TextAlignment, write_textgrid, write_tsv
from talker_cli.formats.files import check_writable, write_bytes
from talker_cli.formats.mesh import LARGEST
from talker_cli.formats.motion import check_motion_files, motion_files, write_motion
from talker_cli.rig import Rig


@dataclass(frozen=True)
class Format:
    """An output format.

    Args:
        write: Function of the motion, the path, and a callback after each of many frames.
        files: Function that returns every file written for a path; the folder where there are many.
        check: Function that refuses a path that cannot be written.
        needs_arkit: Whether it holds the 52 ARKit coefficients and nothing else.
        sounds: Whether it holds or names the recording.
        needs_text: Whether it holds words and phones in their places.
        shows_avatar: Whether it shows a user's character, where there is one.
        needs_avatar: Whether it is the file of a user's character.
        may_be_visemes: Whether it holds curves that may be Oculus' visemes.
    """

    write: Callable[[MotionClip, Path, OnFrame | None], None]
    files: Callable[[Path], list[Path]] = lambda path: [path]
    check: Callable[[Path], None] = check_writable
    needs_arkit: bool = False
    sounds: bool = False
    needs_text: bool = False
    shows_avatar: bool = False
    needs_avatar: bool = False
    may_be_visemes: bool = False


def _npy(clip: MotionClip, path: Path, on_frame: OnFrame | None) -> None:
    write_motion(path, clip.frames(), clip.coefficients, {**clip.about, "fps": clip.fps})


def _glb(clip: MotionClip, path: Path, on_frame: OnFrame | None) -> None:
    if clip.avatar is not None:
        write_character(clip, path)
        return
    rig = clip.rig
    data = head_glb(
        rig,
        name=clip.identity,
        coefficients=clip.coefficients,
        fps=clip.fps,
        extras=clip.origin(),
    )
    write_bytes(path, data)


def _aligned(write: Callable[[TextAlignment, Path], None]) -> Callable[[MotionClip, Path, OnFrame | None], None]:
    def write_alignment(clip: MotionClip, path: Path, on_frame: OnFrame | None) -> None:
        check_text([path], clip.alignment is not None)
        assert clip.alignment is not None
        write(clip.alignment, path)

    return write_alignment


def _video(clip: MotionClip, path: Path, on_frame: OnFrame | None) -> None:
    from talker_cli.render import render_video

    render_video([character_track(clip)], path, audio=clip.audio, on_frame=on_frame)


def _plainly(write: Callable[[MotionClip, Path], None]) -> Callable[[MotionClip, Path, OnFrame | None], None]:
    return lambda clip, path, on_frame: write(clip, path)


def _either(
    curves: Callable[[MotionClip, Path], None], visemes: Callable[[MotionClip, Path], None]
) -> Callable[[MotionClip, Path, OnFrame | None], None]:
    return lambda clip, path, on_frame: (visemes if clip.visemes else curves)(clip, path)


FORMATS = {
    ".npy": Format(_npy, files=motion_files, check=check_motion_files),
    ".npz": Format(_plainly(write_npz)),
    ".csv": Format(_either(write_csv, write_visemes_csv), needs_arkit=True, may_be_visemes=True),
    ".json": Format(_either(write_json_coefficients, write_visemes_json), may_be_visemes=True),
    ".azure.json": Format(_plainly(write_azure), needs_arkit=True),
    ".anim.json": Format(_plainly(write_talkinghead), needs_arkit=True, may_be_visemes=True),
    ".metahuman.csv": Format(_plainly(write_metahuman_csv), needs_arkit=True),
    ".metahuman.json": Format(_plainly(write_metahuman_json), needs_arkit=True),
    ".tsv": Format(_plainly(write_cues_tsv), needs_arkit=True),
    ".xml": Format(_plainly(write_cues_xml), needs_arkit=True),
    ".rhubarb.json": Format(_plainly(write_cues_json), needs_arkit=True),
    ".dat": Format(_plainly(write_cues_dat), needs_arkit=True),
    ".glb": Format(_glb, shows_avatar=True),
    ".vrm": Format(_plainly(write_character), shows_avatar=True, needs_avatar=True),
    ".vrma": Format(_plainly(write_vrma), needs_arkit=True, shows_avatar=True),
    ".usda": Format(_plainly(write_usda), sounds=True),
    ".usdz": Format(_plainly(write_usdz), sounds=True),
    ".html": Format(lambda clip, path, on_frame: write_html(on_character(clip), path), sounds=True, shows_avatar=True),
    ".mp4": Format(_video, sounds=True, shows_avatar=True),
    ".webm": Format(_video, sounds=True, shows_avatar=True),
    ".gif": Format(_video, shows_avatar=True),
    ".textgrid": Format(_aligned(write_textgrid), needs_text=True),
    ".phones.tsv": Format(_aligned(write_tsv), needs_text=True),
    ".obj": Format(write_meshes, files=lambda path: [path.parent], check=check_pattern),
    ".ply": Format(write_meshes, files=lambda path: [path.parent], check=check_pattern),
}
SPELLED = {".textgrid": ".TextGrid", ".obj": "FOLDER/%04d.obj", ".ply": "FOLDER/%04d.ply"}
KNOWN = ", ".join(SPELLED.get(suffix, suffix) for suffix in FORMATS)


def format_of(path: Path) -> Format:
    """Return the format of a file name's suffix.

    Raises:
        OutputError: the suffix is unknown.
    """
    try:
        return FORMATS[suffix_of(path).lower()]
    except KeyError:
        raise OutputError(
            f"found the output {path}; expected a name that ends in one of {KNOWN}; rename it", field="output"
        ) from None


def suffix_of(path: Path) -> str:
    """Return the end of a file name that says its format: the last suffix, or two where a format has two."""
    two = "".join(path.suffixes[-2:])
    return two if two.lower() in FORMATS else path.suffix


def check_outputs(outputs: Sequence[Path], sources: Iterable[Path] = ()) -> None:
    """Refuse, before any work, outputs that could not be written afterwards.

    Args:
        outputs: Output files.
        sources: Input files, which must not be overwritten.

    Raises:
        OutputError: an unknown suffix, one file written twice or read as well, or a place that cannot be written.
    """
    taken: dict[Path, Path | None] = {source.resolve(): None for source in sources}
    for output in outputs:
        kind = format_of(output)
        kind.check(output)
        for file in kind.files(output):
            place = file.resolve()
            # A folder of meshes appears as a whole, so nothing else may be written into it.
            for other in taken:
                if place != other and place not in other.parents and other not in place.parents:
                    continue
                first = taken[other]
                if first is None:
                    raise OutputError(f"cannot write {output}: {file} is what is read; choose another", field="output")
                said = f"found {output} twice" if first == output else f"{first} and {output} both write {file}"
                raise OutputError(f"{said}; expected outputs with names of their own; rename one", field="output")
        taken |= dict.fromkeys((file.resolve() for file in kind.files(output)), output)


def check_text(outputs: Sequence[Path], known: bool) -> None:
    """Refuse formats that hold the words of a recording, where these are not known.

    Raises:
        OutputError: a format needs them.
    """
    needing = [output for output in outputs if format_of(output).needs_text]
    if needing and not known:
        raise OutputError(
            f"cannot write {needing[0]}: nobody said what is spoken; expected the text; animate the recording with --text",
            field="output",
        )


def check_visemes(outputs: Sequence[Path]) -> None:
    """Refuse visemes where no output may hold them.

    Raises:
        OutputError: none does.
    """
    if not any(format_of(output).may_be_visemes for output in outputs):
        known = ", ".join(suffix for suffix, kind in FORMATS.items() if kind.may_be_visemes)
        raise OutputError(f"found visemes, and no output that holds them; expected one of {known}; add one", field="visemes")


def check_rig(outputs: Sequence[Path], rig: Rig, avatar: DrivenAvatar | None = None) -> None:
    """Refuse formats that need shapes which a rig lacks.

    Raises:
        InputError: a format or the character needs ARKit shapes, and the rig's mesh has none.
    """
    if any(format_of(output).needs_arkit or (avatar and format_of(output).shows_avatar) for output in outputs):
        arkit_shapes_for(rig)


def check_avatar(outputs: Sequence[Path], avatar: DrivenAvatar | None) -> None:
    """Refuse a character that no output shows, and formats that are a character's own without one.

    Raises:
        OutputError: they do not go together.
    """
    for output in outputs:
        if format_of(output).needs_avatar and (avatar is None or avatar.file.vrm is None):
            found = "without a character" if avatar is None else f"of {avatar.file.path}, which is no VRM"
            raise OutputError(f"cannot write {output} {found}; expected a .vrm to drive; choose another format", field="avatar")
    if avatar is not None and not any(format_of(output).shows_avatar for output in outputs):
        shown = ", ".join(suffix for suffix, kind in FORMATS.items() if kind.shows_avatar)
        raise OutputError(f"found a character, and no output that shows one; expected one of {shown}; leave it out, or add one",
                          field="avatar")  # fmt: skip


def write_motion_clip(clip: MotionClip, output: Path, on_frame: OnFrame | None = None) -> None:
    """Write a motion in the format of its suffix; the file appears whole or not at all.

    Args:
        clip: The motion.
        output: The file, or a pattern as `frames/%04d.ply`.
        on_frame: Callback with (frames written, T) while a video or a folder of meshes is written.

    Raises:
        OutputError: an unknown suffix, or a place that cannot be written.
        InputError: the rig lacks the shapes that the format holds, or the motion is not finite.
        MachineError: ffmpeg or OpenGL is missing, where a format needs it.
    """
    check_finite(clip)
    format_of(output).write(clip, output, on_frame)


def check_finite(clip: MotionClip) -> None:
    """Refuse a motion whose coefficients or vertices are NaN, infinite or beyond any mesh's size.

    Raises:
        InputError: they are.
    """
    frames = np.flatnonzero(~np.isfinite(clip.coefficients).all(axis=1))
    if len(frames):
        raise InputError(f"the motion holds NaN or infinity, first in frame {frames[0]}; expected finite coefficients")
    if not 1 <= clip.fps <= 1000:
        raise InputError(f"the motion has {clip.fps} frames a second; expected a number from 1 to 1000", field="fps")
    # A bound of the vertices, without computing any: the template's size, and each shape's at its largest coefficient.
    shapes = np.abs(clip.rig.basis).max(axis=(1, 2), initial=0.0).astype(np.float64)
    largest = np.abs(clip.rig.template).max() + np.abs(clip.coefficients).max(axis=0, initial=0.0) @ shapes
    if not largest < LARGEST:
        raise InputError(f"the motion or its rig moves vertices up to {largest:.3g} m; expected finite ones; check both")
