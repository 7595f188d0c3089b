"""A character's file with one more animation, which makes it speak; all else in it stays as it was, byte for byte."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from talker_cli.avatar.drive import LOOK, DrivenAvatar
from talker_cli.avatar.file import Bone
from talker_cli.avatar.scene import matrix_of, quaternions_of
from talker_cli.formats.gltf import EXPECTED
from talker_cli.formats.gltf_edit import GlbEdit
from talker_cli.formats.schema import reading
from talker_cli.rig import ARKIT_NAMES, head_matrices

Channel = tuple[int, str, np.ndarray]  # node, path, values

ANIMATION = "speech"
LOOK_DEGREES = {"Up": 22.0, "Down": 26.0, "In": 28.0, "Out": 28.0}  # that the built-in head's eyes turn at 1


def spoken(
    avatar: DrivenAvatar,
    coefficients: np.ndarray,
    fps: float,
    *,
    rotation: np.ndarray | None = None,
    extras: dict[str, Any] | None = None,
) -> bytes:
    """Return a character's file with the animation of a motion.

    Args:
        avatar: The character.
        coefficients: (T, 52) in ARKit's order.
        fps: Frames a second.
        rotation: (T, 3) pitch, yaw and roll of the head, radians, or None for a still head.
        extras: Metadata of the animation, as the sound's name.

    Raises:
        InputError: the file is damaged, or its data lie in another.
    """
    file = avatar.file
    with reading(file.path, EXPECTED), np.errstate(all="ignore"):
        edit = GlbEdit(file.path)
        channels = [*_weights(avatar, coefficients), *_turns(avatar, coefficients, rotation)]
        edit.animation(ANIMATION, channels, np.arange(len(coefficients)) / fps, extras)
        return edit.to_bytes()


def _weights(avatar: DrivenAvatar, coefficients: np.ndarray) -> Iterator[Channel]:
    """Yield the weights of every mesh that is driven, node by node."""
    drive = avatar.drive
    values = drive.values(coefficients)
    for mesh in avatar.file.meshes:
        matrix = drive.targets[mesh.index]
        driven = matrix.any(axis=1)
        if not driven.any():
            continue
        moved = np.clip(values @ matrix.T, 0.0, 1.0)
        for node in mesh.nodes:
            rest = np.where(drive.stilled[mesh.index], 0.0, avatar.file.rest_weights(node))
            yield node, "weights", np.where(driven, moved, rest)


def _turns(avatar: DrivenAvatar, coefficients: np.ndarray, rotation: np.ndarray | None) -> Iterator[Channel]:
    """Yield the rotations of the head's bone, and of the eyes' where they have no shapes."""
    bones = avatar.file.bones(avatar.table)
    if rotation is not None and "head" in bones:
        yield bones["head"].node, "rotation", _turned(bones["head"], head_matrices(rotation))
    if set(avatar.drive.missing) >= LOOK:
        for side in ("Left", "Right"):
            bone = bones.get(f"{side.lower()}Eye")
            if bone is not None:
                yield bone.node, "rotation", _turned(bone, head_matrices(gaze(coefficients, side)))


def gaze(coefficients: np.ndarray, side: str) -> np.ndarray:
    """Return (T, 3) pitch, yaw and roll of the left or right eye, radians, of coefficients (T, 52)."""
    look = {
        way: np.radians(degrees) * coefficients[:, ARKIT_NAMES.index(f"eyeLook{way}{side}")].astype(np.float64)
        for way, degrees in LOOK_DEGREES.items()
    }
    outwards = 1.0 if side == "Left" else -1.0  # +yaw is the subject's left
    return np.stack([look["Down"] - look["Up"], outwards * (look["Out"] - look["In"]), np.zeros(len(coefficients))], 1)


def _turned(bone: Bone, turn: np.ndarray) -> np.ndarray:
    """Return (T, 4) own rotations of a bone that is turned by (T, 3, 3) in the character's space."""
    return quaternions_of(bone.parent.T @ turn @ bone.parent @ matrix_of(bone.rest))
