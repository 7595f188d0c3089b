"""A motion clip: coefficients (T, K) that move one identity's rig, their recording, and where they come from."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.avatar.drive import DrivenAvatar
from talker_cli.formats.alignment import TextAlignment
from talker_cli.formats.files import file_hash
from talker_cli.formats.motion import read_coefficients, read_motion
from talker_cli.render.source import audio_of_motion, rate_of_motion, rig_of_motion
from talker_cli.rig import Rig

CHUNK_FRAMES = 64  # decoded at a time: an hour of vertices is 11 GB


@dataclass(frozen=True)
class MotionClip:
    """A motion that can be written in any format; vertices are computed only where a format holds them.

    Args:
        coefficients: (T, K) float32 of the rig, the head's rotation among them where the rig turns its head.
        rig: Rig of the identity.
        fps: Frames a second.
        about: Content of the motion's sidecar: identity, rig, audio, model, sampler, seed …
        audio: Recording, if it is at hand.
        alignment: Words and phones of the recording in their places, where the text is known.
        visemes: Whether curves are written as Oculus' fifteen visemes, where a format may hold either.
        avatar: Character to drive in place of the rig's mesh, where a format shows one.
    """

    coefficients: np.ndarray
    rig: Rig
    fps: float
    about: dict[str, Any] = field(default_factory=dict)
    audio: Path | None = None
    alignment: TextAlignment | None = None
    visemes: bool = False
    avatar: DrivenAvatar | None = None

    @property
    def identity(self) -> str:
        """Name of the identity."""
        return str(self.about.get("identity") or "face")

    @property
    def sound(self) -> str | None:
        """File name of the recording, without its folders."""
        if self.audio is not None:
            return self.audio.name
        return Path(self.about["audio"]["path"]).name if "audio" in self.about else None

    @property
    def weights(self) -> np.ndarray:
        """The (T, N) weights of the rig's shapes, without the head's rotation."""
        return self.coefficients[:, : len(self.rig.face_names)]

    @property
    def rotation(self) -> np.ndarray | None:
        """The (T, 3) pitch, yaw and roll of the head in radians; None where the rig has none."""
        return self.coefficients[:, len(self.rig.face_names) :] if self.rig.has_head else None

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the (V, 3) float32 vertices of each frame, metres, in bounded memory."""
        for start in range(0, len(self.coefficients), CHUNK_FRAMES):
            yield from self.rig.decode(self.coefficients[start : start + CHUNK_FRAMES])

    def origin(self) -> dict[str, Any]:
        """Return the provenance that a shared file holds: names and numbers, no paths."""
        origin: dict[str, Any] = {key: self.about[key] for key in ("identity", "sampler", "seed") if key in self.about}
        origin["fps"] = self.fps
        if self.sound is not None:
            origin["audio"] = self.sound
        return origin


def read_motion_clip(path: Path, audio: Path | None = None, *, with_sound: bool = True) -> MotionClip:
    """Read a motion's coefficients and all files that its sidecar names.

    Args:
        path: Place of the motion that talker animate wrote.
        audio: Recording to use in place of the one that was animated.
        with_sound: Whether to read the recording; without, it may be missing.

    Raises:
        InputError: the motion has no coefficients, or a file that its sidecar names is missing or has changed.
        ModelError: the rig file is damaged.
    """
    motion = read_motion(path)
    rig = rig_of_motion(path, motion)
    coefficients = np.asarray(read_coefficients(path, motion, len(rig.names)), dtype=np.float32)
    about = {key: value for key, value in motion.about.items() if key != "files"}  # hashes of the files that were read
    if audio is not None:  # from now on, the sidecar names this one
        about["audio"] = {"path": str(audio.resolve()), "sha256": file_hash(audio)}
    elif with_sound:
        audio = audio_of_motion(path, about)
    return MotionClip(coefficients, rig, rate_of_motion(path, motion, rig.fps), about, audio)
