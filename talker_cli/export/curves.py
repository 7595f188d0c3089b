"""Curves for programs and people: JSON that reads itself, and one NumPy archive that holds all that a motion is."""

import json
from pathlib import Path

import numpy as np

from talker_cli.export.attribution import copyright_of
from talker_cli.export.motion_clip import MotionClip
from talker_cli.formats.files import atomic_path, json_text


def write_json_curves(performance: MotionClip, path: Path) -> None:
    """Write the sidecar's content, the shapes' names, and a row of coefficients for each frame.

    Raises:
        OutputError: the place cannot be written.
    """
    rest = {key: value for key, value in performance.about.items() if key not in ("coefficients", "fps")}
    head = {"fps": performance.fps, "names": list(performance.rig.names), **rest}
    lines = [f"  {json.dumps(key)}: {json_text(value)}" for key, value in head.items()]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write("{\n" + ",\n".join(lines) + ',\n  "frames": [\n')
        for index, row in enumerate(performance.coefficients):
            values = ", ".join(f"{value:.9g}" for value in row.tolist())
            stream.write(f"    [{values}]{',' if index + 1 < len(performance.coefficients) else ''}\n")
        stream.write("  ]\n}\n")


def write_npz(performance: MotionClip, path: Path) -> None:
    """Write `vertices = template + coefficients @ basis` in its parts, with faces, colours and origin.

    Raises:
        OutputError: the place cannot be written.
    """
    rig = performance.rig
    arrays: dict[str, np.ndarray] = {
        "coefficients": performance.coefficients,
        "names": np.array(rig.names),
        "fps": np.array(performance.fps),
        "template": rig.template,
        "basis": rig.basis,
        "faces": rig.faces,
        "lip_pairs": rig.lip_pairs,
        "about": np.array(json_text({**performance.origin(), "copyright": copyright_of(rig)})),
    }
    if rig.colors is not None:
        arrays["colors"] = rig.colors
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)
