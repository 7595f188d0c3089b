"""A performance: coefficients (T, K) that move one identity's rig, the speech they belong to, and where they come from."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.formats.files import file_hash
from talker_cli.formats.motion import read_motion
from talker_cli.render.source import audio_of_motion, coefficients_of_motion, rate_of_motion, rig_of_motion
from talker_cli.rig import Rig

CHUNK_FRAMES = 64  # decoded at a time: an hour of vertices is 11 GB


@dataclass(frozen=True)
class MotionClip:
    """What can be written in any format; vertices are computed only where a format holds them.

    Args:
        coefficients: (T, K) float32 of the rig's K shapes.
        rig: of the one identity that performs.
        fps: frames a second.
        about: the motion's sidecar: identity, rig, audio, model, sampler, seed …
        audio: the recording, if it is at hand.
        rotation: (T, 3) float32 pitch, yaw and roll of the head in radians, or None: the head keeps still.
    """

    coefficients: np.ndarray
    rig: Rig
    fps: float
    about: dict[str, Any] = field(default_factory=dict)
    audio: Path | None = None
    rotation: np.ndarray | None = None

    @property
    def identity(self) -> str:
        """The name of who performs."""
        return str(self.about.get("identity") or "face")

    @property
    def sound(self) -> str | None:
        """The recording's file name, without the folders of whoever made it."""
        if self.audio is not None:
            return self.audio.name
        named = self.about.get("audio")
        return Path(str(named["path"])).name if isinstance(named, dict) and "path" in named else None

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the (V, 3) float32 vertices of each frame, metres, in bounded memory."""
        for start in range(0, len(self.coefficients), CHUNK_FRAMES):
            yield from self.rig.decode(self.coefficients[start : start + CHUNK_FRAMES])

    def origin(self) -> dict[str, Any]:
        """Return what a file that travels should tell of where it comes from: names and numbers, no paths."""
        told: dict[str, Any] = {key: self.about[key] for key in ("identity", "sampler", "seed") if key in self.about}
        told["fps"] = self.fps
        if self.sound is not None:
            told["audio"] = self.sound
        return told


def read_motion_clip(path: Path, audio: Path | None = None, *, with_sound: bool = True) -> MotionClip:
    """Read a motion's coefficients and all that its sidecar leads to.

    Args:
        path: the motion that talker animate wrote.
        audio: the recording, if it is not the one that was animated.
        with_sound: look for the recording that was animated; without, it may be gone.

    Raises:
        InputError: the motion has no coefficients, or something that its sidecar names is gone or another one now.
        ModelError: the rig file is damaged.
    """
    motion = read_motion(path)
    rig = rig_of_motion(path, motion)
    coefficients = np.asarray(coefficients_of_motion(path, motion, len(rig.names)), dtype=np.float32)
    about = motion.about
    if audio is not None:  # of what is written of it from now on
        about = {**about, "audio": {"path": str(audio.resolve()), "sha256": file_hash(audio)}}
    elif with_sound:
        audio = audio_of_motion(path, about)
    return MotionClip(coefficients, rig, rate_of_motion(path, motion, rig.fps), about, audio)
