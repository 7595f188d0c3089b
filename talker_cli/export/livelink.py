"""Live Link Face's CSV: one row a frame, 52 ARKit coefficients and nine rotations, as Epic's app records and Unreal imports.

A timecode is HH:MM:SS:FF.mmm with frames of a sixtieth of a second, whatever the rate: the app's clock ticks so, and Unreal's
importer divides by 60. Of the nine rotations, those of the eyes stay zero: they have shapes of their own.
"""

from pathlib import Path

import numpy as np

from talker_cli.export.arkit import arkit_coefficients
from talker_cli.export.motion_clip import MotionClip
from talker_cli.formats.files import atomic_path
from talker_cli.rig import ARKIT_NAMES

TICKS = 60  # a second
ROTATIONS = ("HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw",
             "RightEyePitch", "RightEyeRoll")  # fmt: skip
# The app goes from right to left where Apple's list, which ours is, goes from left to right.
SWAPPED = {"jawLeft": "jawRight", "jawRight": "jawLeft", "mouthLeft": "mouthRight", "mouthRight": "mouthLeft"}
CURVES = tuple(SWAPPED.get(name, name) for name in ARKIT_NAMES)
COLUMNS = (*(name[0].upper() + name[1:] for name in CURVES), *ROTATIONS)


def timecode(seconds: float) -> str:
    """Return HH:MM:SS:FF.mmm of an instant."""
    thousandths = round(seconds * TICKS * 1000)
    whole, rest = divmod(thousandths, TICKS * 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def write_csv(clip: MotionClip, path: Path) -> None:
    """Write the coefficients as Live Link Face does.

    Raises:
        InputError: the rig has no ARKit shapes, and none can be solved for.
        OutputError: the place cannot be written.
    """
    coefficients = arkit_coefficients(clip)
    order = [ARKIT_NAMES.index(name) for name in CURVES]
    still = np.zeros((len(coefficients), len(ROTATIONS)))
    if clip.rotation is not None:
        still[:, :3] = clip.rotation[:, (1, 0, 2)]  # yaw, pitch, roll
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii", newline="\n") as stream:
        stream.write(f"Timecode,BlendShapeCount,{','.join(COLUMNS)}\n")
        for index, row in enumerate(coefficients):
            values = ",".join(f"{value:.8f}" for value in row[order].tolist())
            turned = ",".join(f"{value:.6f}" if value else "0" for value in still[index].tolist())
            stream.write(f"{timecode(index / clip.fps)},{len(COLUMNS)},{values},{turned}\n")
