"""Motion of a recording that is a video of the speaker, captured as coefficients at the model's rate."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talker_cli.capture.clip import CapturedClip, TrackedClip, fit_clip, landmark_model, track_clip
from talker_cli.capture.video import open_video
from talker_cli.data.sequences import resample_rows
from talker_cli.enroll.motion import MotionExample
from talker_cli.errors import InputError
from talker_cli.formats.audio import SAMPLE_RATE, load_intact_speech
from talker_cli.model.built_in import built_in_head

MIN_SECONDS = 1.0  # of a piece that was seen without a gap


@dataclass(frozen=True)
class VideoMotion:
    """What was seen of a video.

    Args:
        examples: Its pieces with a face, each with its sound; their coefficients end with the head's rotation.
        seconds: Length of the video.
        seen: Seconds in the pieces.
        lip_error: Mean distance of the lips' landmarks from the fitted head's, metres.
        notes: Lines for the user.
    """

    examples: tuple[MotionExample, ...]
    seconds: float
    seen: float
    lip_error: float
    notes: tuple[str, ...]


def is_video(path: Path) -> bool:
    """Return whether a recording has a video stream that is not a cover image."""
    try:
        return open_video(path).seconds > 0
    except InputError:
        return False


def captured_motion(
    videos: Mapping[str, Path], fps: float, tracker: Path, on_video: Callable[[], None] = lambda: None
) -> dict[str, VideoMotion | InputError]:
    """Capture one person's videos for a style to be fitted to, with one neutral face for all: short ones hardly show any.

    Args:
        videos: Video, with sound, by its name.
        fps: Rate of the model.
        tracker: MediaPipe's `face_landmarker.task`.
        on_video: Callback after each video that was tracked.

    Returns:
        By name, the motion, or why there is none: an unreadable video, or no face for a second.

    Raises:
        MachineError: MediaPipe is not installed.
    """
    model = landmark_model(built_in_head().rig)
    tracked: dict[str, TrackedClip] = {}
    made: dict[str, VideoMotion | InputError] = {}
    for name, path in videos.items():
        try:
            tracked[name] = track_clip(path, model, tracker)
        except InputError as error:
            made[name] = error
        on_video()
    if not tracked:
        return made
    neutral = model.neutral((clip.posed, clip.known) for clip in tracked.values())
    for name, clip in tracked.items():
        try:
            made[name] = _examples(name, videos[name], fit_clip(clip, model, neutral), fps)
        except InputError as error:
            made[name] = error
    return made


def _examples(name: str, path: Path, made: CapturedClip, fps: float) -> VideoMotion:
    sound, rate = load_intact_speech(path), made.video.fps
    examples = []
    for start, end in made.seen_ranges():
        end = min(end, len(sound) / SAMPLE_RATE)
        if end - start < MIN_SECONDS:
            continue
        at = start + np.arange(int((end - start) * fps + 1e-6)) / fps
        rows = resample_rows(np.arange(len(made.coefficients)) / rate, made.with_head, at)
        examples.append(MotionExample(name, sound[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)], rows))
    if not examples:
        raise InputError(f"{path} shows no face for a second at a time; expected a video of one talking person")
    seen = sum(len(example.coefficients) for example in examples) / fps
    return VideoMotion(tuple(examples), len(made.coefficients) / rate, seen, made.lip_error, made.notes)
