"""Coefficients for programs and people: JSON, and one NumPy archive that holds the whole motion."""

import json
from pathlib import Path

import numpy as np

from talker_cli.export.attribution import copyright_of
from talker_cli.export.motion_clip import MotionClip
from talker_cli.formats.files import atomic_path


def write_json_coefficients(clip: MotionClip, path: Path) -> None:
    """Write the sidecar's content, the coefficients' names, and a row of coefficients for each frame.

    Raises:
        OutputError: the place cannot be written.
    """
    rest = {key: value for key, value in clip.about.items() if key not in ("coefficients", "fps")}
    head = {"fps": clip.fps, "names": list(clip.rig.names), **rest}
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write("{\n" + ",\n".join(lines) + ',\n  "frames": [\n')
        for index, row in enumerate(clip.coefficients):
            values = ", ".join(f"{value:.9g}" for value in row.tolist())
            stream.write(f"    [{values}]{',' if index + 1 < len(clip.coefficients) else ''}\n")
        stream.write("  ]\n}\n")


def write_npz(clip: MotionClip, path: Path) -> None:
    """Write `vertices = template + coefficients @ basis` in its parts, the neck of a head that turns, faces, colours, origin.

    Raises:
        OutputError: the place cannot be written.
    """
    rig = clip.rig
    arrays: dict[str, np.ndarray] = {
        "coefficients": clip.coefficients,
        "names": np.array(rig.names),
        "fps": np.array(clip.fps),
        "template": rig.template,
        "basis": rig.basis,
        "faces": rig.faces,
        "lip_pairs": rig.lip_pairs,
        "about": np.array(json.dumps({**clip.origin(), "copyright": copyright_of(rig)})),
    }
    if rig.neck is not None:
        arrays |= {"neck_pivot": rig.neck.pivot, "neck_weights": rig.neck.weights}
    if rig.colors is not None:
        arrays["colors"] = rig.colors
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)
