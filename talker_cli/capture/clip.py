"""A captured video: from frames to coefficients (T, K) of the built-in head and the head's rotation, in one call."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talker_cli.capture.cover import covered
from talker_cli.capture.fit import LandmarkModel
from talker_cli.capture.pose import Posed, remove_pose
from talker_cli.capture.tracker import Track, track
from talker_cli.capture.video import Video, open_video
from talker_cli.rig import Rig

LANDMARKS = 478  # of MediaPipe, those of the irises among them
BRIDGED = 0.5  # seconds without a face that smoothness bridges; longer gaps are left out
PROFILE = np.radians(40.0)  # a head turned further hides half its mouth


@dataclass(frozen=True)
class CapturedClip:
    """One video's motion.

    Args:
        video: The file and its frame rate.
        coefficients: (T, K) float32 of the built-in head, 0…1.
        rotation: (T, 3) float32 pitch, yaw, roll of the head in radians, about its mean pose.
        seen: (T,) bool; False where no face was seen for longer than half a second, or it was turned away or its mouth covered.
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

    @property
    def with_head(self) -> np.ndarray:
        """The coefficients of the built-in head that turns, (T, K + 3)."""
        return np.concatenate([self.coefficients, self.rotation], 1)

    def seen_ranges(self) -> list[list[float]]:
        """Return [start, end) of what was seen, in seconds."""
        return [[round(first / self.video.fps, 4), round(end / self.video.fps, 4)] for first, end in runs(self.seen)]


@dataclass(frozen=True)
class TrackedClip:
    """One video's landmarks, before anything is fitted to them.

    Args:
        video: The file and its frame rate.
        found: Landmarks of every frame.
        posed: The same in the head's space, and its rotation.
        covered: (T,) bool; frames with something before the mouth, so that its landmarks are invented.
        known: (T,) bool; frames with a face that is not turned away, and nothing before its mouth.
    """

    video: Video
    found: Track
    posed: Posed
    covered: np.ndarray
    known: np.ndarray


def landmark_model(rig: Rig) -> LandmarkModel:
    """Return all of MediaPipe's landmarks on the built-in head."""
    return LandmarkModel(rig, range(LANDMARKS))


def track_clip(
    path: Path, model: LandmarkModel, tracker: Path, on_frame: Callable[[int, int | None], None] = lambda done, total: None
) -> TrackedClip:
    """Find the landmarks of a video of one talking person. Arguments and errors are those of `capture`."""
    video = open_video(path)
    total = round(video.seconds * video.fps) or None
    found = track(video, tracker, lambda done: on_frame(done, total))
    posed = remove_pose(found.landmarks, found.seen, model.still, model.rest[model.still])
    hidden = covered(found.looks, posed.rotation, found.seen)
    return TrackedClip(video, found, posed, hidden, found.seen & ~hidden & ~turned_away(posed))


def fit_clip(clip: TrackedClip, model: LandmarkModel, neutral: np.ndarray) -> CapturedClip:
    """Fit the head to a video's landmarks.

    Args:
        clip: The landmarks.
        model: Where they lie on the head.
        neutral: (P, 3) the person's landmarks at rest, metres: `LandmarkModel.neutral` of one or all of their videos.
    """
    found, posed, known = clip.found, clip.posed, clip.known
    fitted = model.fit(posed, neutral, known)
    seen = bridged(known, round(BRIDGED * clip.video.fps))
    notes = _notes(clip)
    error = float(fitted.lip_error[known].mean()) if known.any() else float("nan")
    rotation = posed.steady(clip.video.fps)
    return CapturedClip(clip.video, fitted.coefficients, rotation, seen, error, notes, found.landmarks[..., :2], found.seen)


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
    model = landmark_model(rig)
    clip = track_clip(path, model, tracker, on_frame)
    return fit_clip(clip, model, model.neutral([(clip.posed, clip.known)]))


def turned_away(posed: Posed) -> np.ndarray:
    """Return (T,) bool where the head hides a part of its mouth."""
    return np.asarray(np.abs(posed.rotation[:, :2]).max(1) > PROFILE)


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


def _notes(clip: TrackedClip) -> tuple[str, ...]:
    found, away, known, fps = clip.found, turned_away(clip.posed), clip.known, clip.video.fps

    def times(where: np.ndarray) -> str:
        found = runs(where)
        listed = ", ".join(f"{first / fps:.1f}–{end / fps:.1f} s" for first, end in found[:5])
        return listed + (f" and {len(found) - 5} more" if len(found) > 5 else "")

    lines = []
    if not found.seen.all():
        lines.append(f"no face at {times(~found.seen)}")
    if (away & found.seen).any():
        lines.append(f"the head is turned away at {times(away & found.seen)}")
    if clip.covered.any():
        lines.append(f"the mouth is covered at {times(clip.covered)}")
    if found.several.any():
        lines.append(f"more than one face at {times(found.several)}; the one nearest to the frame before was taken")
    if found.cuts:
        more = f" and {len(found.cuts) - 5} more times" if len(found.cuts) > 5 else ""
        lines.append(f"another shot begins at {', '.join(f'{cut / fps:.1f} s' for cut in found.cuts[:5])}{more}")
    if known.mean() < 0.5:
        lines.append(f"only {known.mean():.0%} of the frames could be used")
    return tuple(lines)
