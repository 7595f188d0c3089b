"""Live Link Face: a CSV of ARKit curves and head angles beside a recording or a film, columns matched by their names.

The timecode, `HH:MM:SS:FF.mmm`, says when each row was taken; phones drop frames, so rows are not evenly spaced.
"""

import csv
import re
from functools import partial
from pathlib import Path

import numpy as np

from talker_cli.data.folders import find_pairs, identities_of
from talker_cli.data.sequences import NOT_STATED, CaptureSequence, Source
from talker_cli.errors import InputError
from talker_cli.formats.audio import load_intact_speech
from talker_cli.rig import ARKIT_NAMES

FPS = 60.0  # of the takes after their rows are brought into even time, and of rows without a timecode
TIMECODE = re.compile(r"(\d+):(\d+):(\d+)[:;](\d+)(\.\d+)?")
RATES = (24.0, 25.0, 30.0, 48.0, 50.0, 60.0, 100.0, 120.0)  # that a timecode may count frames at
DAY = 86_400.0  # seconds
LONGEST_PAUSE = 2.0  # seconds between two rows; beyond that it is two recordings in one file
OPTIONAL = "tongueout"  # the one shape that older versions do not write


def open_livelink(
    folder: Path, *, source_fps: float | None, table: Path | None, identity: str | None, licence: str | None
) -> Source:
    """Return a folder of Live Link Face takes.

    Args:
        source_fps: what the timecodes count frames at, and the rate of rows without one; None infers it.
        table: `--clips`, or None.
        identity: who speaks in all of them; None takes it from the file's name.
        licence: of the takes, None if it is not stated.

    Raises:
        InputError: a file is broken, or nothing is there.
    """
    found, notes = find_pairs(folder, ".csv", table=table, identity=identity)
    takes = []
    for take in found:
        curves = even_curves(take.motion, source_fps)
        row = take.row
        speech = partial(load_intact_speech, take.sound)
        motion = partial(_rows, take.motion, source_fps)
        files = (take.motion, take.sound)
        takes.append(
            CaptureSequence(take.name, row.identity, row.split, len(curves), speech, motion, files, row.text, row.language)
        )
    return Source("Live Link Face", licence or NOT_STATED, FPS, tuple(takes), identities_of(found), dict(notes))


def even_curves(path: Path, source_fps: float | None = None) -> np.ndarray:
    """Return the curves (T, 52) float32 of a CSV at 60 frames a second from its first row on.

    Raises:
        InputError: the file cannot be read, lacks a shape, or a line is torn.
    """
    seconds, curves = read_csv(path, source_fps)
    instants = np.arange(int(np.floor((seconds[-1] - seconds[0]) * FPS + 1e-6)) + 1) / FPS + seconds[0]
    below = np.clip(np.searchsorted(seconds, instants + 1e-9, "right") - 1, 0, max(len(seconds) - 2, 0))
    above = np.minimum(below + 1, len(seconds) - 1)
    width = np.maximum(seconds[above] - seconds[below], 1e-9)
    share = np.clip((instants - seconds[below]) / width, 0.0, 1.0)[:, None].astype(np.float32)
    return np.asarray(curves[below] * (1 - share) + curves[above] * share, np.float32)


def read_csv(path: Path, source_fps: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a CSV: their times (T,), seconds, and their curves (T, 52) in the order of ARKIT_NAMES.

    Raises:
        InputError: the file cannot be read, lacks a shape, or a line is torn.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = list(csv.reader(stream))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"cannot read {path} ({error}); expected a CSV of Live Link Face; export it again") from error
    header = [cell.strip().lower() for cell in lines[0]] if lines else []
    columns = {name.lower(): header.index(name.lower()) for name in ARKIT_NAMES if name.lower() in header}
    missing = [name for name in ARKIT_NAMES if name.lower() not in columns and name.lower() != OPTIONAL]
    if missing:
        shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise InputError(f"{path} lacks {len(missing)} columns ({shown}); expected ARKit's 52 shapes by name; export it again")
    rows = [(number, cells) for number, cells in enumerate(lines[1:], 2) if cells]
    for number, cells in rows:
        if len(cells) != len(header):
            where = "the last line" if number == rows[-1][0] else f"line {number}"
            raise InputError(
                f"{path}: {where} has {len(cells)} fields; expected {len(header)}; the file is torn: remove the line, "
                "or export it again"
            )
    if not rows:
        raise InputError(f"{path} holds no frames; expected a row for each; export it again")
    curves = np.zeros((len(rows), len(ARKIT_NAMES)), np.float32)
    for place, (number, cells) in enumerate(rows):
        for index, name in enumerate(ARKIT_NAMES):
            if name.lower() in columns:
                curves[place, index] = _number(path, number, cells[columns[name.lower()]])
    if "timecode" not in header:
        return np.arange(len(rows)) / (source_fps or FPS), curves
    return _seconds(path, [(number, cells[header.index("timecode")]) for number, cells in rows], source_fps), curves


def _seconds(path: Path, codes: list[tuple[int, str]], source_fps: float | None) -> np.ndarray:
    """Return the times of timecodes, from 0, across midnight too."""
    parts = []
    for number, text in codes:
        match = TIMECODE.fullmatch(text.strip())
        if match is None:
            raise InputError(f"{path} line {number} has the timecode '{text[:30]}'; expected HH:MM:SS:FF.mmm; mend the line")
        parts.append([float(match[1]) * 3600 + float(match[2]) * 60 + float(match[3]), float(match[4]) + float(match[5] or 0)])
    whole, frame = np.array(parts).T
    # A take that shows a whole second counts up to the rate; a shorter one may not, and is taken for the usual 60.
    counted = frame.max() if whole.max() - whole.min() >= 2 else FPS - 1
    seconds = whole + frame / (source_fps or next((rate for rate in RATES if rate > counted >= rate - 2), FPS))
    seconds += DAY * np.concatenate([[0], np.cumsum(np.diff(seconds) < -DAY / 2)])
    steps = np.diff(seconds)
    if (steps < -1e-6).any() or (steps > LONGEST_PAUSE).any():
        place = int(np.argmax((steps < -1e-6) | (steps > LONGEST_PAUSE))) + 1
        raise InputError(
            f"{path} line {codes[place][0]} jumps from {codes[place - 1][1]} to {codes[place][1]}; expected one recording, "
            "rising times; split the file, or say what the timecodes count frames at with --source-fps"
        )
    return np.asarray(np.maximum.accumulate(seconds) - seconds[0])


def _number(path: Path, line: int, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{path} line {line} holds '{text[:20]}'; expected a number; mend the line") from error


def _rows(path: Path, source_fps: float | None, rows: np.ndarray) -> np.ndarray:
    return even_curves(path, source_fps)[rows]
