"""Live Link Face: a CSV of ARKit coefficients and head angles beside a recording or a video, columns matched by their names.

The timecode says when each row was recorded; phones drop frames, so rows are not evenly spaced.
"""

import csv
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from talker_cli.data.folders import find_pairs, identities_of
from talker_cli.data.sequences import NOT_STATED, Source, resample_rows
from talker_cli.data.timecode import Clock, Labels, agreed_clock, find_clock, parse_labels, times
from talker_cli.errors import InputError
from talker_cli.formats.schema import reading
from talker_cli.rig import ARKIT_NAMES, HEAD_NAMES

FPS = 60.0  # of the sequences after their rows are resampled to even spacing
OPTIONAL = "tongueout"  # the one shape that older versions do not write
LARGEST = float(np.finfo(np.float32).max)


def open_livelink(
    folder: Path, *, source_fps: float | None, table: Path | None, identity: str | None, licence: str | None
) -> Source:
    """Return a folder of Live Link Face recordings.

    Args:
        folder: Folder of CSV files with their recordings beside them.
        source_fps: Frame rate of the recordings; None reads it off their timecodes.
        table: CSV of names, identities and splits, or None.
        identity: Identity of all clips; None reads it from the file's name.
        licence: Licence of the recordings, None if it is not stated.

    Raises:
        InputError: a file is damaged, the folder holds no clips, or a file's frame rate is unknown.
    """
    clips, notes = find_pairs(folder, ".csv", table=table, identity=identity)
    labels, heads = [], []
    for clip in clips:
        stamps, rows = _read(clip.motion)
        labels.append(stamps)
        heads.append(rows.shape[1] > len(ARKIT_NAMES))
    clocks = [None if each is None else find_clock(each, source_fps) for each in labels]
    shared = agreed_clock(clocks)
    clocks = [clock or shared for clock in clocks]
    sequences = []
    for clip, stamps, clock in zip(clips, labels, clocks, strict=True):
        frames = _even_length(times(stamps, clock) if stamps else read_csv(clip.motion, source_fps)[0])
        sequences.append(clip.sequence(frames, partial(_rows, clip.motion, source_fps, clock)))
    counts = Counter(f"{clock.fps:g} frames a second" for clock in clocks if clock is not None)
    about = {"timecodes": dict(sorted(counts.items()))} if counts else {}
    return Source("Live Link Face", licence or NOT_STATED, FPS, tuple(sequences), identities_of(clips), {**about, **notes},
                  all(heads))  # fmt: skip


def even_coefficients(path: Path, source_fps: float | None = None, clock: Clock | None = None) -> np.ndarray:
    """Return the coefficients (T, 52 or 55) float32 of a CSV at 60 frames a second from its first row on: see `read_csv`.

    Args:
        path: The CSV.
        source_fps: Frame rate of the recording; None reads it off the timecodes.
        clock: What the timecodes count, if it is known already.

    Raises:
        InputError: the file cannot be read, lacks a shape, a line is damaged, or its frame rate is unknown.
    """
    seconds, coefficients = read_csv(path, source_fps, clock)
    return resample_rows(seconds, coefficients, np.arange(_even_length(seconds)) / FPS)


def read_csv(path: Path, source_fps: float | None = None, clock: Clock | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a CSV: their times (T,), seconds, and their coefficients.

    These are (T, 52) in the order of ARKIT_NAMES, or (T, 55) with HEAD_NAMES, radians from the mean, where the head turns.

    Args:
        path: The CSV.
        source_fps: Frame rate of the recording; None reads it off the timecodes.
        clock: What the timecodes count, if it is known already.

    Raises:
        InputError: the file cannot be read, lacks a shape, a line is damaged, or its frame rate is unknown.
    """
    labels, coefficients = _read(path)
    if labels is not None:
        return times(labels, clock or find_clock(labels, source_fps)), coefficients
    if source_fps is None:
        raise InputError(
            f"{path} has no column Timecode; expected one, or the frame rate of its rows; give the rate", field="source_fps"
        )
    return np.arange(len(coefficients)) / source_fps, coefficients


def _read(path: Path) -> tuple[Labels | None, np.ndarray]:
    """Return a CSV's timecodes, None if it has none, and its coefficients (T, 52 or 55) float32."""
    with reading(path, "a CSV of Live Link Face"), path.open(encoding="utf-8-sig", newline="") as stream:
        lines = list(csv.reader(stream))
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
                f"{path}: {where} has {len(cells)} fields; expected {len(header)}; the file is damaged: remove the line, "
                "or export it again"
            )
    if not rows:
        raise InputError(f"{path} holds no frames; expected a row for each; export it again")
    coefficients = np.zeros((len(rows), len(ARKIT_NAMES)), np.float32)
    for row, (number, cells) in enumerate(rows):
        for index, name in enumerate(ARKIT_NAMES):
            if name.lower() in columns:
                coefficients[row, index] = _number(path, number, name, cells[columns[name.lower()]])
    if all(name.lower() in header for name in HEAD_NAMES):
        places = [(name, header.index(name.lower())) for name in HEAD_NAMES]
        head = np.array([[_number(path, number, name, cells[at]) for name, at in places] for number, cells in rows], np.float32)
        if np.ptp(head, axis=0).any():  # the phone stands anywhere: the mean pose is the head at rest
            coefficients = np.concatenate([coefficients, head - head.mean(0)], 1)
    if "timecode" not in header:
        return None, coefficients
    return parse_labels(path, [(number, cells[header.index("timecode")]) for number, cells in rows]), coefficients


def _number(path: Path, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not abs(value) <= LARGEST:
        raise InputError(
            f"{path} line {line}, column {column}, holds {text[:20]!r}; expected a finite number; fix or remove the line"
        )
    return value


def _even_length(seconds: np.ndarray) -> int:
    """Return how many frames at 60 a second lie between the first and the last of the times (T,)."""
    return int(np.floor(seconds[-1] * FPS + 1e-6)) + 1


def _rows(path: Path, source_fps: float | None, clock: Clock | None, rows: np.ndarray) -> np.ndarray:
    return even_coefficients(path, source_fps, clock)[rows]
