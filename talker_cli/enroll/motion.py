"""Motion beside a recording: vertices `NAME.npy` or Live Link Face's `NAME.csv`, as coefficients at the model's rate."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talker_cli.avatar.solve import nearest_coefficients
from talker_cli.data.livelink import read_csv
from talker_cli.data.sequences import resample_rows
from talker_cli.errors import InputError, ModelError
from talker_cli.formats.motion import read_motion
from talker_cli.render.source import at_rest, rig_of_motion
from talker_cli.rig import ARKIT_NAMES, Rig

RATES = (24.0, 25.0, 30.0, 50.0, 60.0, 90.0, 100.0, 120.0)  # of cameras
MAX_RATE_ERROR = 0.03  # relative distance of frames / seconds from one of them
MIN_SECONDS = 1.0


@dataclass(frozen=True)
class MotionExample:
    """A recording with its motion: sound (S,) at 16 kHz, and coefficients (T, K) at the model's rate."""

    path: str
    sound: np.ndarray
    coefficients: np.ndarray


def motion_beside(recording: Path) -> Path | None:
    """Return the file that may hold a recording's motion, or None."""
    candidates = (recording.with_suffix(".npy"), recording.with_suffix(".csv"))
    return next((path for path in candidates if path.is_file()), None)


def read_coefficients(path: Path, seconds: float, rig: Rig, own: Rig | None, source_fps: float | None = None) -> np.ndarray:
    """Read motion as coefficients (T, K) of a rig at its rate.

    Args:
        path: File found by `motion_beside`.
        seconds: Length of the recording.
        rig: The model's rig.
        own: Rig with the template that the vertices were made with, or None.
        source_fps: Frame rate of the file, or that its timecodes count; None infers it.

    Raises:
        InputError: it cannot be read, holds NaN or infinity, or its template or frame rate is unknown.
    """
    if path.suffix == ".npy":
        times, coefficients = _vertices(path, seconds, rig, own, source_fps)
    elif rig.face_names == ARKIT_NAMES:
        times, coefficients = read_csv(path, source_fps)
    else:
        raise InputError(f"{path} holds ARKit coefficients; the model moves {rig.names[0]} …; expected vertices, as .npy")
    bad = np.flatnonzero(~np.isfinite(coefficients).all(1))
    if bad.size:
        raise InputError(f"{path} holds NaN or infinity, first in row {bad[0]}; expected finite numbers; export it again")
    if times[-1] < MIN_SECONDS:
        raise InputError(f"{path} holds {times[-1]:.2f} s of motion; expected {MIN_SECONDS:.0f} s or more")
    at = np.arange(int(min(times[-1], seconds) * rig.fps + 1e-6) + 1) / rig.fps
    return resample_rows(times, rig.matched(coefficients), at)


def _vertices(path: Path, seconds: float, rig: Rig, own: Rig | None, source_fps: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the times (N,) and the coefficients (N, K) nearest to vertices, without the head's rotation."""
    motion = read_motion(path)
    if own is None:
        try:
            own = rig_of_motion(path, motion)
        except (InputError, ModelError) as error:
            raise InputError(f"{path} does not name its neutral face; expected it as a mesh", field="template") from error
    if motion.vertices.shape[1] != len(own.template):
        raise InputError(f"{path} has {motion.vertices.shape[1]} vertices; expected the template's {len(own.template)}")
    own, rig = own.face, rig.face
    if own.names != rig.names:
        raise InputError(f"{path} moves {own.names[0]} …; expected the model's shapes, {rig.names[0]} …")
    coefficients = nearest_coefficients(at_rest(path, motion), own)
    return np.arange(len(coefficients)) / (source_fps or _fps(path, motion.about, len(coefficients), seconds)), coefficients


def _fps(path: Path, sidecar: dict[str, object], frames: int, seconds: float) -> float:
    """Return the sidecar's frame rate, or the camera rate nearest to so many frames in so many seconds."""
    fps = sidecar.get("fps")
    if fps is not None:
        if isinstance(fps, bool) or not isinstance(fps, int | float) or not 1.0 <= fps <= 1000.0:
            raise InputError(f"the sidecar of {path} has the fps {fps!r:.40}; expected a number from 1 to 1000; animate again")
        return float(fps)
    measured = frames / seconds
    nearest = min(RATES, key=lambda rate: abs(rate - measured))
    if abs(nearest - measured) > MAX_RATE_ERROR * nearest:
        raise InputError(
            f"{path} has {frames} frames for {seconds:.1f} s of sound; expected a camera's rate, 24 to 120 a second",
            field="source_fps",
        )
    return nearest
