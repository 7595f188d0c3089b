"""Curves as other programs' own files: Azure, TalkingHead, MetaHuman, and the fifteen Oculus visemes."""

import json
from pathlib import Path

import numpy as np

from talker_cli.avatar.drive import set_drive
from talker_cli.avatar.table import built_in
from talker_cli.export.arkit import arkit_coefficients
from talker_cli.export.motion_clip import MotionClip
from talker_cli.formats.files import atomic_path
from talker_cli.rig import ARKIT_NAMES

AZURE_RATE = 60  # frames a second
OCULUS = "Oculus and Ready Player Me visemes"
METAHUMAN, CONTROL = "MetaHuman", "CTRL_expressions_"
TURNS = ("headRotateX", "headRotateY", "headRotateZ")  # TalkingHead's pitch, yaw and roll, radians
HEAD = ("HeadYaw", "HeadPitch", "HeadRoll")  # as in Live Link Face's CSV


def oculus_visemes(coefficients: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names and the (T, 15) weights of Oculus' visemes, 0…1, of coefficients (T, 52); `sil` is what is left of 1."""
    drive = set_drive(OCULUS, built_in())
    names = tuple(control.label for control in drive.controls)
    weights = drive.values(coefficients)
    silent = names.index("viseme_sil")
    weights[:, silent] = 0.0
    weights[:, silent] = np.clip(1.0 - weights.sum(axis=1), 0.0, 1.0)
    return names, weights


def write_azure(clip: MotionClip, path: Path) -> None:
    """Write Azure's `FacialExpression`: 60 rows a second of the 52 coefficients, head roll, and two eye rolls that are zero.

    Raises:
        InputError: the rig has no ARKit shapes.
        OutputError: the place cannot be written.
    """
    rolls = np.zeros((len(clip.coefficients), 3))
    if clip.rotation is not None:
        rolls[:, 0] = clip.rotation[:, 2]
    rows = np.concatenate([arkit_coefficients(clip), rolls], axis=1)
    seconds = len(rows) / clip.fps
    times = np.arange(max(1, int(np.floor(seconds * AZURE_RATE + 1e-6)))) / AZURE_RATE
    own = np.arange(len(rows)) / clip.fps
    resampled = np.stack([np.interp(times, own, column) for column in rows.T], axis=1)
    _write_json(path, {"FrameIndex": 0, "BlendShapes": _rounded(resampled)})


def write_talkinghead(clip: MotionClip, path: Path) -> None:
    """Write TalkingHead's animation: `dt`, milliseconds of each frame, `vs`, values by shape. Raises as `write_azure`."""
    names, values = _curves(clip)
    if clip.rotation is not None:
        names, values = (*names, *TURNS), np.concatenate([values, clip.rotation], axis=1)
    used = {name: _rounded(values[:, place]) for place, name in enumerate(names) if values[:, place].any()}
    # A value is reached at the end of its `dt`: the first at once.
    times = np.diff(np.round(np.arange(len(values)) * 1000 / clip.fps), prepend=0).astype(int)
    _write_json(path, {"name": clip.identity, "dt": times.tolist(), "vs": used})


def write_metahuman_csv(clip: MotionClip, path: Path) -> None:
    """Write a row of MetaHuman's controls for each frame, with its time in seconds. Raises as `write_azure`."""
    names, values = metahuman_controls(clip)
    write_table(names, values, clip.fps, path)


def write_metahuman_json(clip: MotionClip, path: Path) -> None:
    """Write frames a second, MetaHuman's names, and a row of values for each frame. Raises as `write_azure`."""
    names, values = metahuman_controls(clip)
    _write_json(path, {"fps": clip.fps, "names": list(names), "frames": _rounded(values)})


def metahuman_controls(clip: MotionClip) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names and the (T, N) values of MetaHuman's `CTRL_expressions`; the head's rotation, radians, follows."""
    drive = set_drive(METAHUMAN, built_in())
    names = tuple(f"{CONTROL}{control.label}" for control in drive.controls)
    values = drive.values(arkit_coefficients(clip))
    if clip.rotation is None:
        return names, values
    return (*names, *HEAD), np.concatenate([values, clip.rotation[:, (1, 0, 2)]], axis=1)


def write_visemes_csv(clip: MotionClip, path: Path) -> None:
    """Write a row of the fifteen visemes for each frame, with its time in seconds. Raises as `write_azure`."""
    write_table(*oculus_visemes(arkit_coefficients(clip)), clip.fps, path)


def write_visemes_json(clip: MotionClip, path: Path) -> None:
    """Write frames a second, the visemes' names, and a row of weights for each frame. Raises as `write_azure`."""
    names, values = oculus_visemes(arkit_coefficients(clip))
    _write_json(path, {"fps": clip.fps, "names": list(names), "frames": _rounded(values)})


def write_table(names: tuple[str, ...], values: np.ndarray, fps: float, path: Path) -> None:
    """Write a CSV of a column `time` in seconds and one for each name.

    Args:
        names: N names.
        values: (T, N).
        fps: Frames a second.
        path: The file.

    Raises:
        OutputError: the place cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii", newline="\n") as stream:
        stream.write(f"time,{','.join(names)}\n")
        for index, row in enumerate(values.tolist()):
            stream.write(f"{index / fps:.6f},{','.join(f'{value:.6f}' for value in row)}\n")


def _curves(clip: MotionClip) -> tuple[tuple[str, ...], np.ndarray]:
    coefficients = arkit_coefficients(clip)
    return oculus_visemes(coefficients) if clip.visemes else (ARKIT_NAMES, coefficients)


def _rounded(values: np.ndarray) -> list[object]:
    rounded: list[object] = np.round(values.astype(np.float64), 6).tolist()
    return rounded


def _write_json(path: Path, content: dict[str, object]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="ascii")
