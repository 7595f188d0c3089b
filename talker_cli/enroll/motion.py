"""Motion beside a recording: vertices `NAME.npy` or Live Link Face's `NAME.csv`, as coefficients at the model's rate."""

from pathlib import Path

import numpy as np

from talker_cli.data.livelink import read_csv
from talker_cli.errors import InputError, ModelError
from talker_cli.export.arkit import bounded_least_squares
from talker_cli.formats.motion import read_motion
from talker_cli.render.source import rig_of_motion
from talker_cli.rig import ARKIT_NAMES, Rig

RATES = (24.0, 25.0, 30.0, 50.0, 60.0, 90.0, 100.0, 120.0)  # that cameras know
RATE_ERROR = 0.03  # how far frames / seconds may lie from one of them
LIP_WEIGHT = 10.0  # how much more a vertex of the lips counts where shapes are solved for
BATCH_FRAMES = 256
LEAST_SECONDS = 1.0


def motion_beside(recording: Path) -> Path | None:
    """Return the file that may hold a recording's motion, or None."""
    found = [path for path in (recording.with_suffix(".npy"), recording.with_suffix(".csv")) if path.is_file()]
    return found[0] if found else None


def read_coefficients(path: Path, seconds: float, rig: Rig, own: Rig | None) -> np.ndarray:
    """Read motion as coefficients (T, K) of a rig at its rate.

    Args:
        path: what `motion_beside` found.
        seconds: how long the recording is.
        rig: of the model.
        own: the rig with the template that vertices were made with, or None.

    Raises:
        InputError: it cannot be read, or nobody knows the template or the frame rate.
    """
    if path.suffix == ".npy":
        times, curves = _vertices(path, seconds, rig, own)
    elif rig.names == ARKIT_NAMES:
        times, curves = read_csv(path)
    else:
        raise InputError(f"{path} holds ARKit's curves; the model moves {rig.names[0]} …; expected vertices, as .npy")
    count = int(min(times[-1], seconds) * rig.fps + 1e-6) + 1
    if times[-1] < LEAST_SECONDS:
        raise InputError(f"{path} holds {times[-1]:.2f} s of motion; expected {LEAST_SECONDS:.0f} s or more")
    at = np.arange(count) / rig.fps
    return np.stack([np.interp(at, times, column) for column in curves.T], 1).astype(np.float32)


def _vertices(path: Path, seconds: float, rig: Rig, own: Rig | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the times (N,) and the coefficients (N, K) that come nearest to vertices."""
    motion = read_motion(path)
    if own is None:
        try:
            own = rig_of_motion(path, motion)
        except (InputError, ModelError) as error:
            raise InputError(f"nobody says which neutral face {path} moves; expected --template") from error
    if motion.vertices.shape[1] != len(own.template):
        raise InputError(f"{path} moves {motion.vertices.shape[1]} vertices; expected the template's {len(own.template)}")
    if own.names != rig.names:
        raise InputError(f"{path} moves {own.names[0]} …; expected the model's shapes, {rig.names[0]} …")
    weights = np.ones(len(own.template))
    if "lips" in own.regions:
        weights[own.regions["lips"]] = LIP_WEIGHT
    gram = own.gram(weights)
    flat = (own.basis * weights[None, :, None]).reshape(len(own.names), -1)
    towards = np.concatenate([
        (motion.vertices[start : start + BATCH_FRAMES] - own.template).reshape(-1, flat.shape[1]) @ flat.T
        for start in range(0, len(motion.vertices), BATCH_FRAMES)
    ]).astype(np.float64)  # fmt: skip
    bounded = own.names == ARKIT_NAMES
    curves = bounded_least_squares(gram, towards) if bounded else np.linalg.lstsq(gram, towards.T, rcond=None)[0].T
    fps = motion.about.get("fps") or _rate(path, len(curves), seconds)
    return np.arange(len(curves)) / float(fps), curves


def _rate(path: Path, frames: int, seconds: float) -> float:
    """Return the camera rate that so many frames in so many seconds come nearest to."""
    found = frames / seconds
    nearest = min(RATES, key=lambda rate: abs(rate - found))
    if abs(nearest - found) > RATE_ERROR * nearest:
        raise InputError(
            f"{path} has {frames} frames for {seconds:.1f} s of sound; expected a camera's rate, 24 to 120 a second"
        )
    return nearest
