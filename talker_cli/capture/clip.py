"""A captured video: from frames to coefficients (T, K) of the built-in head and the head's rotation, in one call."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talker_cli.capture import landmarks as marks
from talker_cli.capture.fit import LandmarkModel
from talker_cli.capture.pose import remove_pose
from talker_cli.capture.tracker import Track, track
from talker_cli.capture.video import Video, open_video
from talker_cli.rig import Rig

BRIDGED = 0.5  # seconds without a face that smoothness bridges; longer gaps are left out
PROFILE = np.radians(40.0)  # a head turned further hides half its mouth


@dataclass(frozen=True)
class CapturedClip:
    """One video's motion.

    Args:
        video: The file and its frame rate.
        coefficients: (T, K) float32 of the built-in head, 0…1.
        rotation: (T, 3) float32 pitch, yaw, roll of the head in radians, about its mean pose.
        seen: (T,) bool; False where no face was seen for longer than half a second, or it was turned away.
        lip_error: Mean distance of the lips' landmarks from the fitted head's, metres, over seen frames.
        notes: Lines for the user: what was not seen, with times.
        landmarks: (T, 478, 2) float32 pixels of the frames as read, +x right, +y up; zeros where no face was found.
        found: (T,) bool; False where no face was found.
    """

    video: Video
    coefficients: np.ndarray
    rotation: np.ndarray
    seen: np.ndarray
    lip_error: float
    notes: tuple[str, ...]
    landmarks: np.ndarray
    found: np.ndarray

    def seen_ranges(self) -> list[list[float]]:
        """Return [start, end) of what was seen, in seconds."""
        return [[round(first / self.video.fps, 4), round(end / self.video.fps, 4)] for first, end in runs(self.seen)]


def capture(
    path: Path, rig: Rig, tracker: Path, on_frame: Callable[[int, int | None], None] = lambda done, total: None
) -> CapturedClip:
    """Capture a video of one talking person.

    Args:
        path: The video.
        rig: The built-in head.
        tracker: MediaPipe's `face_landmarker.task`.
        on_frame: Callback with (frames done, about how many there are).

    Raises:
        InputError: the file is no video, or shows no face.
        MachineError: MediaPipe is missing.
    """
    video = open_video(path)
    total = round(video.seconds * video.fps) or None
    found = track(video, tracker, lambda done: on_frame(done, total))
    model = LandmarkModel(rig, range(found.landmarks.shape[1]))
    posed = remove_pose(found.landmarks, found.seen, model.still, model.rest[model.still])
    away = np.abs(posed.rotation[:, :2]).max(1) > PROFILE
    known = found.seen & ~away
    fitted = model.fit(posed.points, model.neutral(posed.points[known] if known.any() else posed.points), known)
    lips = model.places(sorted({n for group in (marks.INNER_UPPER, marks.INNER_LOWER) for side in group for n in side}))
    seen = bridged(known, round(BRIDGED * video.fps))
    notes = _notes(found, away, known, video.fps)
    error = float(fitted.error[known][:, lips].mean()) if known.any() else float("nan")
    flat = found.landmarks[..., :2].astype(np.float32)
    return CapturedClip(video, fitted.coefficients, posed.rotation.astype(np.float32), seen, error, notes, flat, found.seen)


def runs(where: np.ndarray) -> list[tuple[int, int]]:
    """Return (first, end) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], where, [False]]).astype(int)))
    return [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]


def bridged(known: np.ndarray, longest: int) -> np.ndarray:
    """Return `known` with gaps of up to `longest` frames between seen ones filled."""
    seen = known.copy()
    for first, end in runs(~known):
        if first > 0 and end < len(known) and end - first <= longest:
            seen[first:end] = True
    return seen


def _notes(found: Track, away: np.ndarray, known: np.ndarray, fps: float) -> tuple[str, ...]:
    def times(where: np.ndarray) -> str:
        found = runs(where)
        listed = ", ".join(f"{first / fps:.1f}–{end / fps:.1f} s" for first, end in found[:5])
        return listed + (f" and {len(found) - 5} more" if len(found) > 5 else "")

    lines = []
    if not found.seen.all():
        lines.append(f"no face at {times(~found.seen)}")
    if (away & found.seen).any():
        lines.append(f"the head is turned away at {times(away & found.seen)}")
    if found.several.any():
        lines.append(f"more than one face at {times(found.several)}; the one nearest to the frame before was taken")
    if found.cuts:
        lines.append(f"another shot begins at {', '.join(f'{cut / fps:.1f} s' for cut in found.cuts[:5])}")
    if known.mean() < 0.5:
        lines.append(f"only {known.mean():.0%} of the frames could be used")
    return tuple(lines)
