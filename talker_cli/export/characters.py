"""A user's character, driven: its own file with one more animation, and VRM animations."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from talker_cli.avatar.spoken import spoken
from talker_cli.errors import OutputError
from talker_cli.export.arkit import arkit_coefficients
from talker_cli.export.motion_clip import MotionClip
from talker_cli.formats.files import write_bytes
from talker_cli.render import MotionTrack
from talker_cli.render.avatar import read_avatar
from talker_cli.rig import ARKIT_NAMES, HEAD_NAMES


def write_character(clip: MotionClip, path: Path) -> None:
    """Write the character's own file with the motion as one more animation.

    Raises:
        OutputError: there is no character, or a .vrm is asked for of one that is none.
        InputError: the rig has no ARKit shapes, or the file is damaged.
    """
    if clip.avatar is None or (path.suffix.lower() == ".vrm" and clip.avatar.file.vrm is None):
        raise OutputError(f"cannot write {path}: there is no VRM character; expected a .vrm to drive", field="avatar")
    motion = arkit_coefficients(clip)
    write_bytes(path, spoken(clip.avatar, motion, clip.fps, rotation=clip.rotation, extras=clip.origin()))


def character_track(clip: MotionClip) -> MotionTrack:
    """Return the motion on the character's mesh, for drawing; on the clip's own where it has no character.

    Raises:
        InputError: the character's meshes cannot be read.
    """
    if clip.avatar is None:
        return MotionTrack(clip.rig, clip.coefficients, clip.fps)
    coefficients = arkit_coefficients(clip)
    names = ARKIT_NAMES
    if clip.rotation is not None:
        coefficients, names = np.concatenate([coefficients, clip.rotation], axis=1), (*ARKIT_NAMES, *HEAD_NAMES)
    character = read_avatar(clip.avatar.file.path, names, clip.fps, clip.avatar.table)
    return MotionTrack(character.rig, character.coefficients(coefficients, names), clip.fps, given=character.surface)


def on_character(clip: MotionClip) -> MotionClip:
    """Return a clip whose rig is the character's, painted at its vertices; the clip itself where it has no character."""
    if clip.avatar is None:
        return clip
    track = character_track(clip)
    return replace(clip, rig=track.rig, coefficients=track.frames, avatar=None)
