"""BEAT (Liu et al. 2022): `SPEAKER/NAME.json` beside `NAME.wav`, ARKit coefficients at 60 frames a second.

Each file states the order of its own shapes in `names`; it differs from file to file, and is never assumed. A frame may state
its `time` in the recording, and is placed by it. The head's rotation is that of `NAME.bvh`, where every clip has one.
"""

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from talker_cli.data.bvh import read_head
from talker_cli.data.folders import find_pairs, identities_of
from talker_cli.data.sequences import Source, resample_rows
from talker_cli.errors import InputError
from talker_cli.formats.files import read_json
from talker_cli.formats.schema import Schema, parse, reading
from talker_cli.rig import ARKIT_NAMES

FPS = 60.0
LONGEST_PAUSE = 2.0  # seconds between two frames; a longer one means damaged times
ROUNDING = 0.25  # frames by which a time may miss its place and still count as rounded
LICENCE = "BEAT: research only (https://pantomatrix.github.io/BEAT); whatever is learned from it inherits that"
READ = re.compile(r"\d+_[^_]+_0_(\d{1,4})_(\d{1,4})$")  # 0: speech that is read, not a conversation
# Numbers of the sentences that are read with an emotion; those up to 64 are neutral.
EMOTIONS = {
    "happy": (65, 72), "angry": (73, 80), "sad": (81, 86), "contemptuous": (87, 94), "surprised": (95, 102),
    "afraid": (103, 110), "disgusted": (111, 118),
}  # fmt: skip
SPEAKER = re.compile(r"\d+_([^_\d][^_]*)_")  # 1_wayne_0_1_1 -> wayne


class _Content(Schema):
    """The structure of a file; frames are checked one by one, for a message that names the frame."""

    names: tuple[str, ...] = Field(min_length=1)
    frames: tuple[dict[str, Any], ...] = Field(min_length=1)


def open_beat(folder: Path, *, source_fps: float | None, table: Path | None, identity: str | None) -> Source:
    """Return a folder of BEAT's coefficients.

    Args:
        folder: Folder of JSON files with their recordings beside them.
        source_fps: Frame rate of files whose frames state no times, None for 60.
        table: CSV of names, identities and splits, or None.
        identity: Identity of all clips; None reads it from the file's name, `1_wayne_0_1_1`, or its folder's.

    Raises:
        InputError: a file is damaged, or the folder holds no clips.
    """
    clips, without_audio = find_pairs(folder, ".json", table=table, identity=identity, identity_of=speaker)
    notes: dict[str, Any] = dict(without_audio)
    sequences, gaps = [], []
    head = all(clip.motion.with_suffix(".bvh").is_file() for clip in clips)
    for clip in clips:
        coefficients, rows = _read(clip.motion, source_fps)
        frames = len(coefficients)
        if frames > rows:
            gaps.append((frames - rows) / (source_fps or FPS))
        language = "en" if clip.row.language == "und" else None
        emotion = emotion_of_name(clip.motion.stem)
        sequences.append(clip.sequence(frames, partial(_rows, clip.motion, source_fps, head), language, emotion))
    if gaps:
        notes["gaps between the times of frames, bridged"] = {"clips": len(gaps), "seconds": round(sum(gaps), 2)}
    return Source("BEAT", LICENCE, source_fps or FPS, tuple(sequences), identities_of(clips), notes, head)


def speaker(motion: Path) -> str:
    """Return who speaks, by the file's name or its folder's."""
    match = SPEAKER.match(motion.stem)
    return match[1] if match else motion.parent.name


def _rows(path: Path, source_fps: float | None, head: bool, rows: np.ndarray) -> np.ndarray:
    coefficients = read_coefficients(path, source_fps)
    if head:
        times, angles = read_head(path.with_suffix(".bvh"))
        turned = resample_rows(times, angles, np.arange(len(coefficients)) / (source_fps or FPS))
        coefficients = np.concatenate([coefficients, turned], 1)
    return coefficients[rows]


def emotion_of_name(name: str) -> str:
    """Return the emotion that a clip of read speech is numbered by, `1_wayne_0_65_65` happy; empty if neutral or unknown."""
    match = READ.match(name)
    first, last = (int(match[1]), int(match[2])) if match else (0, 0)
    return next((emotion for emotion, (low, high) in EMOTIONS.items() if low <= first <= last <= high), "")


def read_coefficients(path: Path, source_fps: float | None = None) -> np.ndarray:
    """Return the coefficients (T, 52) float32 of a file, evenly spaced, in the order of ARKIT_NAMES.

    Shapes that the file lacks stay 0. Frames whose times say that others were lost are placed by their times.

    Args:
        path: The JSON file.
        source_fps: Frame rate of the rows, None for 60.

    Raises:
        InputError: the file is no such JSON, names a shape that ARKit has not, or a frame is damaged.
    """
    return _read(path, source_fps)[0]


def _read(path: Path, source_fps: float | None) -> tuple[np.ndarray, int]:
    """Return the coefficients (T, 52) float32, evenly spaced, and how many frames the file has."""
    with reading(path, "BEAT's blendshapes as JSON"):
        content = read_json(path)
    if not isinstance(content, dict) or not content.get("names") or not content.get("frames"):
        raise InputError(f"{path} lacks names or frames; expected BEAT's blendshapes; get the original file")
    checked = parse(_Content, {"names": content["names"], "frames": content["frames"]}, str(path))
    order = {name.lower(): index for index, name in enumerate(ARKIT_NAMES)}
    columns = [order.get(name.lower(), -1) for name in checked.names]
    if -1 in columns:
        raise InputError(
            f"{path} names the shape '{checked.names[columns.index(-1)]}'; expected ARKit's; get the original file"
        )
    if len(set(columns)) != len(columns) or len(columns) < len(ARKIT_NAMES) - 1:
        raise InputError(f"{path} names {len(set(columns))} shapes; expected 51 or 52, each once; get the original file")
    coefficients = np.zeros((len(checked.frames), len(ARKIT_NAMES)), np.float32)
    for number, frame in enumerate(checked.frames):
        weights = frame.get("weights")
        if not isinstance(weights, list) or len(weights) != len(columns):
            count = len(weights) if isinstance(weights, list) else 0
            raise InputError(
                f"{path} frame {number} has {count} weights; expected {len(columns)}, one for each name; fix the file"
            )
        if not all(_is_number(weight) for weight in weights):
            raise InputError(f"{path} frame {number} holds something else than finite numbers; fix the file")
        coefficients[number, columns] = weights
    fps = source_fps or FPS
    times = _times(path, checked.frames, fps)
    if times is None:
        return coefficients, len(coefficients)
    count = int(np.floor(times[-1] * fps + ROUNDING)) + 1
    return resample_rows(times, coefficients, np.arange(count) / fps), len(coefficients)


def _times(path: Path, frames: tuple[dict[str, Any], ...], fps: float) -> np.ndarray | None:
    """Return the times (T,) of frames, seconds, or None where each lies in its place anyway or none states one."""
    stated = [frame.get("time") for frame in frames]
    if all(time is None for time in stated):
        return None
    wrong = next((number for number, time in enumerate(stated) if not _is_number(time)), None)
    if wrong is not None:
        raise InputError(f"{path} frame {wrong} has no number as its time; expected seconds in each frame; fix the file")
    times = np.array(stated, np.float64)
    steps = np.diff(times, prepend=0.0)
    if (steps < 0).any() or (steps > LONGEST_PAUSE).any():
        number = int(np.argmax((steps < 0) | (steps > LONGEST_PAUSE)))
        raise InputError(
            f"{path} frame {number} jumps to {times[number]:.6g} s; expected rising times in seconds, from the start of the "
            "recording on; fix the file"
        )
    if np.abs(times * fps - np.arange(len(times))).max() < ROUNDING:
        return None
    return times


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= float(np.finfo(np.float32).max)
