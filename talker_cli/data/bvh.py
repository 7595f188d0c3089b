"""The head's rotation of a motion capture in BVH: the turns of neck and head together, against the chest."""

import re
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from talker_cli.errors import InputError
from talker_cli.formats.schema import reading
from talker_cli.rig import head_angles

JOINT = re.compile(r"(.*:)?(neck\d*|head)", re.I)  # Neck, Neck1, Head, mixamorig:Head; not HeadEnd
EXPECTED = "a motion capture in BVH with the joints Neck and Head"


def read_head(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the times (T,), seconds, and pitch, yaw and roll of the head (T, 3), radians, about their mean.

    Raises:
        InputError: the file is no BVH, has no such joint, or is cut short.
    """
    with reading(path, EXPECTED):
        skeleton, _, motion = path.read_text(encoding="utf-8", errors="replace").partition("MOTION")
        found = re.match(r"\s*Frames:\s*(\d+)\s*Frame Time:\s*([\d.eE+-]+)", motion)
        joints, width = _joints(skeleton)
        if found is None or not joints:
            raise InputError(f"{path} has no {'frames' if joints else 'joint called Head'}; expected {EXPECTED}")
        count, step = int(found[1]), float(found[2])
        values = np.array(motion[found.end() :].split(), np.float64)
    if not (count and 0 < step < 1 and values.size == count * width and np.isfinite(values).all()):
        raise InputError(f"{path} holds {values.size} numbers for {count} frames of {width}; expected all of them, finite")
    values = values.reshape(count, width)
    turned = Rotation.identity(count)
    for order, columns in joints:
        turned = turned * Rotation.from_euler(order, values[:, columns], degrees=True)
    return np.arange(count) * step, head_angles(turned.as_matrix())


def _joints(skeleton: str) -> tuple[list[tuple[str, list[int]]], int]:
    """Return the rotations of neck and head, from below: (order of the axes, their columns); and how many columns there are."""
    words, name, column = skeleton.split(), "", 0
    joints = []
    for place, word in enumerate(words):
        if word in ("ROOT", "JOINT"):
            name = words[place + 1]
        elif word == "CHANNELS":
            channels = words[place + 2 : place + 2 + int(words[place + 1])]
            turns = [number for number, channel in enumerate(channels) if channel[1:] == "rotation"]
            if JOINT.fullmatch(name) and turns:
                joints.append(("".join(channels[number][0] for number in turns), [column + number for number in turns]))
            column += len(channels)
    return joints, column
