"""BEAT (Liu et al. 2022): `SPEAKER/NAME.json` beside `NAME.wav`, ARKit curves at 60 frames a second.

Each file says the order of its own curves in `names`; it differs from file to file, and is never assumed.
"""

import re
from functools import partial
from pathlib import Path

import numpy as np

from talker_cli.data.folders import find_pairs, identities_of
from talker_cli.data.sequences import CaptureSequence, Source
from talker_cli.errors import InputError
from talker_cli.formats.audio import load_intact_speech
from talker_cli.formats.files import read_json
from talker_cli.rig import ARKIT_NAMES

FPS = 60.0
LICENCE = "BEAT: research only (https://pantomatrix.github.io/BEAT); whatever is learned from it inherits that"
SPEAKER = re.compile(r"\d+_([^_\d][^_]*)_")  # 1_wayne_0_1_1 -> wayne


def open_beat(folder: Path, *, source_fps: float | None, table: Path | None, identity: str | None) -> Source:
    """Return a folder of BEAT's curves.

    Args:
        source_fps: frames a second of the files, if not 60.
        table: `--clips`, or None.
        identity: who speaks in all of them; None takes it from the file's name, `1_wayne_0_1_1`, or its folder's.

    Raises:
        InputError: a file is broken, or nothing is there.
    """
    found, notes = find_pairs(folder, ".json", table=table, identity=identity, who=speaker)
    takes = []
    for take in found:
        frames = len(read_curves(take.motion))
        motion = partial(_rows, take.motion)
        row = take.row
        speech = partial(load_intact_speech, take.sound)
        files = (take.motion, take.sound)
        language = "en" if row.language == "und" else row.language
        takes.append(CaptureSequence(take.name, row.identity, row.split, frames, speech, motion, files, row.text, language))
    return Source("BEAT", LICENCE, source_fps or FPS, tuple(takes), identities_of(found), dict(notes))


def speaker(motion: Path) -> str:
    """Return who speaks, by the file's name or its folder's."""
    match = SPEAKER.match(motion.stem)
    return match[1] if match else motion.parent.name


def _rows(path: Path, rows: np.ndarray) -> np.ndarray:
    return read_curves(path)[rows]


def read_curves(path: Path) -> np.ndarray:
    """Return the curves (T, 52) float32 of a file, in the order of ARKIT_NAMES; shapes that it lacks stay 0.

    Raises:
        InputError: the file is no such JSON, names a shape that ARKit has not, or a frame is torn.
    """
    content = read_json(path)
    names = content.get("names") if isinstance(content, dict) else None
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(names, list) or not isinstance(frames, list) or not frames:
        raise InputError(f"{path} lacks names or frames; expected BEAT's blendshapes; get the original file")
    place = {name.lower(): index for index, name in enumerate(ARKIT_NAMES)}
    columns = [place.get(str(name).lower(), -1) for name in names]
    if -1 in columns:
        raise InputError(f"{path} names the shape '{names[columns.index(-1)]}'; expected ARKit's; get the original file")
    if len(set(columns)) != len(columns) or len(columns) < len(ARKIT_NAMES) - 1:
        raise InputError(f"{path} names {len(set(columns))} shapes; expected 51 or 52, each once; get the original file")
    curves = np.zeros((len(frames), len(ARKIT_NAMES)), np.float32)
    for number, frame in enumerate(frames):
        weights = frame.get("weights") if isinstance(frame, dict) else None
        if not isinstance(weights, list) or len(weights) != len(names):
            count = len(weights) if isinstance(weights, list) else 0
            raise InputError(
                f"{path} frame {number} has {count} weights; expected {len(names)}, one for each name; mend the file"
            )
        try:
            curves[number, columns] = weights
        except (TypeError, ValueError) as error:
            raise InputError(f"{path} frame {number} holds something else than numbers; mend the file") from error
    return curves
