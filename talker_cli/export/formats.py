"""Which suffix means which format: the one table behind every `-o`, and the one way by which all of them are written."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from talker_cli.errors import OutputError
from talker_cli.export.arkit import arkit_shapes_for
from talker_cli.export.curves import write_json_curves, write_npz
from talker_cli.export.glb import head_glb
from talker_cli.export.livelink import write_csv
from talker_cli.export.meshes import OnFrame, check_pattern, write_meshes
from talker_cli.export.motion_clip import MotionClip
from talker_cli.export.page import write_html
from talker_cli.export.usd import write_usda
from talker_cli.formats.files import check_writable, write_bytes
from talker_cli.formats.motion import coefficients_path, sidecar_path, write_motion
from talker_cli.rig import Rig


@dataclass(frozen=True)
class Format:
    """A way to write a performance.

    Args:
        write: takes the performance, the place, and what to call after each of many frames.
        files: everything that is written for a place; the folder where there are many.
        check: refuses a place that cannot be written.
        needs_arkit: it holds the 52 ARKit curves and nothing else.
        sounds: it holds the recording, or leads to it.
    """

    write: Callable[[MotionClip, Path, OnFrame | None], None]
    files: Callable[[Path], list[Path]] = lambda path: [path]
    check: Callable[[Path], None] = check_writable
    needs_arkit: bool = False
    sounds: bool = False


def _npy(performance: MotionClip, path: Path, on_frame: OnFrame | None) -> None:
    write_motion(path, performance.frames(), performance.coefficients, {**performance.about, "fps": performance.fps})


def _glb(performance: MotionClip, path: Path, on_frame: OnFrame | None) -> None:
    rig = performance.rig
    data = head_glb(
        rig,
        name=performance.identity,
        coefficients=performance.coefficients,
        fps=performance.fps,
        extras=performance.origin(),
    )
    write_bytes(path, data)


def _film(performance: MotionClip, path: Path, on_frame: OnFrame | None) -> None:
    from talker_cli.render import MotionTrack, render_video

    take = MotionTrack(performance.rig, performance.coefficients, performance.fps)
    render_video([take], path, audio=performance.audio, on_frame=on_frame)


FORMATS = {
    ".npy": Format(_npy, files=lambda path: [path, coefficients_path(path), sidecar_path(path)]),
    ".npz": Format(lambda performance, path, on_frame: write_npz(performance, path)),
    ".csv": Format(lambda performance, path, on_frame: write_csv(performance, path), needs_arkit=True),
    ".json": Format(lambda performance, path, on_frame: write_json_curves(performance, path)),
    ".glb": Format(_glb),
    ".usda": Format(lambda performance, path, on_frame: write_usda(performance, path), sounds=True),
    ".html": Format(lambda performance, path, on_frame: write_html(performance, path), sounds=True),
    ".mp4": Format(_film, sounds=True),
    ".webm": Format(_film, sounds=True),
    ".gif": Format(_film),
    ".obj": Format(write_meshes, files=lambda path: [path.parent], check=check_pattern),
    ".ply": Format(write_meshes, files=lambda path: [path.parent], check=check_pattern),
}
KNOWN = ", ".join(suffix if suffix not in (".obj", ".ply") else f"FOLDER/%04d{suffix}" for suffix in FORMATS)


def format_of(path: Path) -> Format:
    """Return what a name's suffix means.

    Raises:
        OutputError: it means nothing.
    """
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise OutputError(f"found the output {path}; expected a name that ends in one of {KNOWN}; choose one with -o") from None


def check_outputs(outputs: Sequence[Path], sources: Iterable[Path] = ()) -> None:
    """Refuse, before any work, what could not be written afterwards.

    Args:
        outputs: the places.
        sources: what is read, and must not be written over.

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
                    raise OutputError(f"cannot write {output}: {file} is what is read; choose another -o")
                said = f"found {output} twice" if first == output else f"{first} and {output} both write {file}"
                raise OutputError(f"{said}; expected outputs with names of their own; change one -o")
        taken |= dict.fromkeys((file.resolve() for file in kind.files(output)), output)


def check_rig(outputs: Sequence[Path], rig: Rig) -> None:
    """Refuse the formats that a rig's shapes cannot fill.

    Raises:
        InputError: a format needs ARKit shapes, and the rig's mesh has none.
    """
    if any(format_of(output).needs_arkit for output in outputs):
        arkit_shapes_for(rig)


def write_motion_clip(performance: MotionClip, output: Path, on_frame: OnFrame | None = None) -> None:
    """Write a performance in the format of its suffix; the file appears whole or not at all.

    Args:
        on_frame: called with (frames done, T) while a film or a folder of meshes grows.

    Raises:
        OutputError: an unknown suffix, or a place that cannot be written.
        InputError: the rig has not the shapes that the format holds.
        MachineError: ffmpeg or OpenGL is missing, where a format needs it.
    """
    format_of(output).write(performance, output, on_frame)
