"""Folders of OBJ or PLY files, one a frame, numbered by the pattern in their name."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from talker_cli.errors import OutputError
from talker_cli.export.attribution import credits_of
from talker_cli.export.motion_clip import MotionClip
from talker_cli.formats.files import atomic_folder, check_new_folder

OnFrame = Callable[[int, int], None]  # (frames written, of how many)
PATTERN = re.compile(r"[^%]*%(0\d{1,2})?d[^%]*")  # as `%04d.ply`


def check_pattern(path: Path) -> None:
    """Refuse a pattern without a folder of its own, or whose folder is not empty.

    Raises:
        OutputError: the name has not one %d, the folder has one, is not empty, or cannot be made.
    """
    if not PATTERN.fullmatch(path.name) or "%" in str(path.parent):
        raise OutputError(f"found the output {path}; expected a pattern: {path.stem}/%04d{path.suffix}, for one mesh a frame")
    folder = path.parent
    if folder.resolve() == Path.cwd() or folder.resolve() in Path.cwd().parents:
        raise OutputError(
            f"found the output {path}; expected a folder of its own for the frames: {path.stem or 'frames'}/{path.name}"
        )
    check_new_folder(folder, _frame_names(path.name))


def write_meshes(clip: MotionClip, path: Path, on_frame: OnFrame | None = None) -> None:
    """Write every frame as a file of its own; the folder appears whole or not at all.

    Args:
        clip: The motion.
        path: Pattern, as `frames/%04d.ply`; the suffix selects the format.
        on_frame: Callback with (frames written, T).

    Raises:
        OutputError: the folder is not empty, or the place cannot be written.
    """
    encode = _obj_encoder(clip) if path.suffix.lower() == ".obj" else _ply_encoder(clip)
    count = len(clip.coefficients)
    with atomic_folder(path.parent, _frame_names(path.name)) as temporary:
        for index, vertices in enumerate(clip.frames()):
            (temporary / (path.name % index)).write_bytes(encode(vertices))
            if on_frame is not None:
                on_frame(index + 1, count)


def _frame_names(pattern: str) -> Callable[[str], bool]:
    """Return a function that says whether a name is that of a frame, which new frames may replace."""
    before, _, after = re.split(r"(%\d*d)", pattern)
    expression = re.compile(re.escape(before) + r"\d+" + re.escape(after))
    return lambda name: expression.fullmatch(name) is not None


def _obj_encoder(clip: MotionClip) -> Callable[[np.ndarray], bytes]:
    """Return a function from (V, 3) vertices to an OBJ, with colours behind the positions as most programs read them."""
    rig = clip.rig
    head = f"# {credits_of(rig)}\no {clip.identity}\n".encode()
    shown = np.zeros((len(rig.template), 0)) if rig.colors is None else rig.colors / 255.0
    line = "v %.6f %.6f %.6f" + " %.3f" * shown.shape[1] + "\n"
    faces = "".join(f"f {a} {b} {c}\n" for a, b, c in (rig.faces + 1).tolist()).encode()

    def encode(vertices: np.ndarray) -> bytes:
        rows = np.concatenate([vertices, shown], axis=1).tolist()
        return head + "".join(line % tuple(row) for row in rows).encode() + faces

    return encode


def _ply_encoder(clip: MotionClip) -> Callable[[np.ndarray], bytes]:
    """Return a function from (V, 3) vertices to a binary PLY with colours."""
    rig = clip.rig
    columns: list[tuple[str, str]] = [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]
    if rig.colors is not None:
        columns += [("red", "u1"), ("green", "u1"), ("blue", "u1")]
    names = {"<f4": "float", "u1": "uchar"}
    head = ["ply", "format binary_little_endian 1.0", f"comment {credits_of(rig)}", f"element vertex {len(rig.template)}"]
    head += [f"property {names[kind]} {name}" for name, kind in columns]
    head += [f"element face {len(rig.faces)}", "property list uchar int vertex_indices", "end_header\n"]
    faces = np.zeros(len(rig.faces), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, rig.faces
    table = np.zeros(len(rig.template), columns)
    if rig.colors is not None:
        for name, column in zip(("red", "green", "blue"), rig.colors.T, strict=True):
            table[name] = column

    def encode(vertices: np.ndarray) -> bytes:
        for name, column in zip("xyz", vertices.T, strict=True):
            table[name] = column
        return "\n".join(head).encode() + table.tobytes() + faces.tobytes()

    return encode
