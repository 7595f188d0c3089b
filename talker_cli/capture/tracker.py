"""Face landmarks of a video, by MediaPipe (Lugaresi et al. 2019): the only module that imports it."""

import os
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.capture.cover import POINTS, colours
from talker_cli.capture.video import Video, read_frames
from talker_cli.errors import InputError, MachineError

COUNT = 478  # landmarks: the mesh's 468 and ten of the irises
# Another shot: the picture changes by so many of 255 levels in the mean, and by so many times what it changes before and after.
# Between GRID's videos of one man in one place it is 6 levels and more; 99 % of the frames within them stay under 2.4.
SHOT_LEVELS, SHOT_TIMES = 5.0, 3.0
ACROSS = 45  # places across a frame that are compared


@dataclass(frozen=True)
class Track:
    """One person's landmarks over a video.

    Args:
        landmarks: (T, 478, 3) float32 pixels, +x right in the picture, +y up, +z towards the camera; zeros without a face. They
            lie in a temporary file: an hour of them is half a gigabyte.
        seen: (T,) bool.
        several: (T,) bool; more than one face was seen, and the nearest to the one before was taken.
        looks: (T, N, 3) uint8 colours at places of the face, zeros without one: `cover.covered` finds what is before the mouth.
        cuts: Frames where another shot begins.
    """

    landmarks: np.ndarray
    seen: np.ndarray
    several: np.ndarray
    looks: np.ndarray
    cuts: tuple[int, ...]


def tracker_file(given: Path | None) -> Path:
    """Return MediaPipe's `face_landmarker.task`: the given one, `$TALKER_TRACKER`, or the one in the user's data folder.

    Raises:
        MachineError: there is none.
    """
    from talker_cli.identity.library import data_folder

    named = os.environ.get("TALKER_TRACKER")
    places = [given] if given is not None else [Path(named)] if named else [data_folder() / "face_landmarker.task"]
    for place in places:
        if place.is_file():
            return place
    raise MachineError(
        f"found no {places[0]}; expected MediaPipe's face_landmarker.task: download it from MediaPipe's page of models, "
        "or run tools/fetch_tracker.sh",
        field="tracker",
    )


def track(video: Video, model: Path, on_frame: Callable[[int], None] = lambda done: None) -> Track:
    """Find one person's landmarks in every frame.

    Args:
        video: The video.
        model: MediaPipe's `face_landmarker.task`.
        on_frame: Callback with the number of frames done.

    Raises:
        InputError: no frame shows a face.
        MachineError: MediaPipe is not installed, or its model cannot be loaded.
    """
    seen: list[bool] = []
    several: list[bool] = []
    changes: list[float] = []
    last: np.ndarray | None = None
    looks: list[np.ndarray] = []
    scale = np.array([video.width, -video.height, -video.width], np.float64)
    before: np.ndarray | None = None
    with _landmarker(model) as detect, tempfile.TemporaryFile() as store:
        for number, frame in enumerate(read_frames(video)):
            faces = [face * scale for face in detect(frame, round(number * 1000 / video.fps))]
            seen.append(bool(faces))
            small = frame[:: max(1, video.width // ACROSS), :: max(1, video.width // ACROSS)].astype(np.int16)
            changes.append(0.0 if last is None else float(np.abs(small - last).mean()))
            last = small
            several.append(len(faces) > 1)
            if faces:
                face = faces[0] if before is None else min(faces, key=lambda each: float(np.abs(each - before).mean()))
                before = face
            looks.append(
                colours(frame, before[:, :2]) if faces and before is not None else np.zeros((len(POINTS), 3), np.uint8)
            )
            points = before if faces and before is not None else np.zeros((COUNT, 3))
            store.write(points.astype(np.float32).tobytes())
            on_frame(number + 1)
        if not any(seen):
            raise InputError(f"{video.path} shows no face in {len(seen)} frames; expected a video of one talking person")
        store.flush()
        landmarks = np.memmap(store, np.float32, "r", shape=(len(seen), COUNT, 3))
    return Track(landmarks, np.array(seen), np.array(several), np.stack(looks), _shots(np.array(changes), np.array(seen)))


def landmarks_of_image(image: np.ndarray, model: Path) -> list[np.ndarray]:
    """Return the landmarks (478, 3) of each face, two at most, in an image (H, W, 3) uint8: shares of its width and height.

    Raises:
        MachineError: MediaPipe is not installed, or its model cannot be loaded.
    """
    with _landmarker(model) as detect:
        found: list[np.ndarray] = detect(image, 0)
    return found


def _shots(changes: np.ndarray, seen: np.ndarray) -> tuple[int, ...]:
    """Return the frames where another shot begins, from how far each differs from the one before (T,), levels."""
    before, after = np.append(0.0, changes[:-1]), np.append(changes[1:], 0.0)
    found = (changes > SHOT_LEVELS) & (changes > SHOT_TIMES * np.maximum(before, after)) & seen & np.append(False, seen[:-1])
    return tuple(int(frame) for frame in np.flatnonzero(found))


@contextmanager
def _landmarker(model: Path) -> Any:
    os.environ.setdefault("GLOG_minloglevel", "3")
    try:
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision
    except ImportError as error:
        raise MachineError("capture needs MediaPipe, which is not installed; run: pip install 'talker-cli[capture]'") from error
    try:
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=model.read_bytes()),
            running_mode=vision.RunningMode.VIDEO,
            num_faces=2,
            min_face_detection_confidence=0.3,
            min_face_presence_confidence=0.3,
            min_tracking_confidence=0.3,
        )
        with _quiet():
            landmarker = vision.FaceLandmarker.create_from_options(options)
    except (RuntimeError, ValueError, OSError) as error:
        raise MachineError(
            f"{model} cannot be loaded ({str(error)[:80]}); expected MediaPipe's face_landmarker.task"
        ) from error

    def detect(frame: np.ndarray, milliseconds: int) -> list[np.ndarray]:
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(frame))
        result = landmarker.detect_for_video(image, milliseconds)
        return [np.array([(point.x, point.y, point.z) for point in face]) for face in result.face_landmarks]

    try:
        yield detect
    finally:
        landmarker.close()


@contextmanager
def _quiet() -> Any:
    """Keep the library's own log off stderr while it loads."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
