"""Timecodes `HH:MM:SS:FF.mmm` as times: how many frames a second the labels count, drop-frame or not, and at which rate.

The labels count whole numbers of frames (30), whatever the rate (29.97). Frames are counted first and divided by the rate then,
so that labels of 29.97 frames a second do not drift against the sound. Drop-frame labels (SMPTE 12M) leave out two numbers of
30 in every minute but each tenth. The count is read off the labels, or the caller is asked; it is never assumed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talker_cli.errors import InputError

PATTERN = re.compile(r"([0-9]{1,2}):([0-5][0-9]):([0-5][0-9])([:;])([0-9]{1,3})(\.[0-9]{1,6})?")
STANDARD = (24, 25, 30, 48, 50, 60, 90, 100, 120)  # frames a second that one second's end is enough to recognise
DAY_SECONDS = 86_400
LONGEST_PAUSE = 2.0  # seconds between two rows; a longer one means two recordings in one file
TOLERANCE = 0.3  # frames by which a jittering label may miss its second's end


@dataclass(frozen=True)
class Clock:
    """What labels count.

    Args:
        count: Frames a second of the labels, a whole number.
        fps: Frames a second in truth: 30 or 29.97 for labels that count to 30.
        dropped: Labels left out of every minute but each tenth: 0, or 2 for each 30 of drop-frame labels.
    """

    count: int
    fps: float
    dropped: int = 0


@dataclass(frozen=True)
class Labels:
    """The timecodes of a file's rows.

    Args:
        path: The file, for messages.
        lines: (T,) line of each row.
        seconds: (T,) whole seconds since midnight.
        frames: (T,) frames within the second.
        semicolon: A semicolon stands before the frames, the mark of drop-frame labels.
    """

    path: Path
    lines: np.ndarray
    seconds: np.ndarray
    frames: np.ndarray
    semicolon: bool

    @property
    def least_count(self) -> int:
        """The least number of frames a second that these labels can count."""
        return int(np.floor(self.frames.max() + 1e-9)) + 1

    def boundaries(self) -> np.ndarray:
        """Return the rows (N,) that are followed by a row of the next second."""
        return np.flatnonzero(np.diff(self.seconds) % DAY_SECONDS == 1)


def parse_labels(path: Path, codes: Sequence[tuple[int, str]]) -> Labels:
    """Return the timecodes of rows.

    Args:
        path: The file, for messages.
        codes: (line, text) of each row.

    Raises:
        InputError: a text is no timecode.
    """
    numbers, marks = [], set()
    for line, text in codes:
        match = PATTERN.fullmatch(text.strip())
        if match is None or int(match[1]) > 23:
            raise InputError(f"{path} line {line} has the timecode {text[:30]!r}; expected HH:MM:SS:FF.mmm; fix the line")
        seconds = int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])
        numbers.append((line, seconds, float(match[5] + (match[6] or ""))))
        marks.add(match[4])
    lines, whole, frames = np.array(numbers, np.float64).T
    return Labels(path, lines.astype(np.int64), whole.astype(np.int64), frames, marks == {";"})


def find_clock(labels: Labels, source_fps: float | None = None) -> Clock | None:
    """Return what the labels count, or None where they do not show it.

    The count is read off the ends of seconds: the last label, plus the usual step, minus the next second's first label. Lost
    frames make this smaller, never larger, so the count is the one that most ends of seconds give, and at least the highest
    label plus one.

    Args:
        labels: The timecodes of a file.
        source_fps: Frames a second in truth, None if unknown.

    Raises:
        InputError: the labels count other frames than the rate that was given.
    """
    counted = _counted(labels)
    if source_fps is None:
        if counted is None:
            return None
        dropped = _dropped(labels, counted)
        return Clock(counted, counted * 1000 / 1001 if dropped else float(counted), dropped)
    count = max(1, round(source_fps))
    if labels.least_count > count or (counted is not None and counted != count):
        highest = f"count {counted} frames a second" if counted else f"go up to frame {labels.least_count - 1}"
        raise InputError(
            f"{labels.path} has timecodes that {highest}; expected {count} a second for a rate of {source_fps:g}; "
            "give the rate that the timecodes count, or none",
            field="source_fps",
        )
    return Clock(count, source_fps, _dropped(labels, count))


def agreed_clock(clocks: Sequence[Clock | None]) -> Clock | None:
    """Return the one clock of all files whose labels tell theirs, None if they differ or no file shows it."""
    known = {clock for clock in clocks if clock is not None}
    return known.pop() if len(known) == 1 else None


def times(labels: Labels, clock: Clock | None) -> np.ndarray:
    """Return the times (T,) of labels, seconds from the first row on, across midnight too.

    Raises:
        InputError: the count of the labels is unknown, or the times do not rise.
    """
    steps = np.diff(labels.seconds)
    steps = np.where(steps < -DAY_SECONDS // 2, steps + DAY_SECONDS, steps)
    _refuse_jumps(labels, steps, (steps < 0) | (steps > LONGEST_PAUSE + 1))  # whatever a second counts
    if clock is None or labels.least_count > clock.count:
        raise InputError(
            f"{labels.path} has timecodes up to frame {labels.least_count - 1}, which do not show how many frames a second "
            "they count; expected a recording over the end of a second; give its frame rate",
            field="source_fps",
        )
    minutes = labels.seconds // 60
    frames = labels.seconds * clock.count + labels.frames - clock.dropped * (minutes - minutes // 10)
    day = DAY_SECONDS * clock.count - clock.dropped * (1440 - 144)
    frames = frames + day * np.concatenate([[0], np.cumsum(np.diff(frames) < -day / 2)])
    seconds = frames / clock.fps
    steps = np.diff(seconds)
    _refuse_jumps(labels, steps, (steps < -1e-6) | (steps > LONGEST_PAUSE))
    return np.asarray(np.maximum.accumulate(seconds) - seconds[0])


def _refuse_jumps(labels: Labels, steps: np.ndarray, wrong: np.ndarray) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"{labels.path} line {labels.lines[row + 1]} jumps by {steps[row]:.2f} s; expected one recording, rising times; "
            "split the file, or give the frame rate that the timecodes count",
            field="source_fps",
        )


def _counted(labels: Labels) -> int | None:
    """Return how many frames a second the labels count, None where the ends of seconds do not show it."""
    ends = labels.boundaries()
    within = np.diff(labels.frames)[np.diff(labels.seconds) == 0]
    if not len(ends) or not len(within):
        return None
    step = float(np.median(within))
    counts = labels.frames[ends] + step - labels.frames[ends + 1]
    least = labels.least_count
    candidates = sorted({round(count) for count in counts if round(count) >= least})
    support = {count: int((np.abs(counts - count) < TOLERANCE).sum()) for count in candidates}
    if not support or max(support.values()) == 0:
        return None
    count = max(candidates, key=lambda each: (support[each], -each))
    even = bool((np.abs(within - step) < TOLERANCE).all())  # no frame was lost
    return count if support[count] > 1 or even or count in STANDARD else None


def _dropped(labels: Labels, count: int) -> int:
    """Return how many labels are left out of a minute: those of drop-frame counting, or none.

    The labels show it themselves: at the start of a minute the first ones are missing, directly behind the last of the minute
    before. A semicolon says it where no minute starts.
    """
    if count % 30:
        return 0
    dropped = count // 15
    ends = labels.boundaries()
    starts = labels.seconds[ends + 1]
    ends = ends[(starts % 60 == 0) & (starts // 60 % 10 != 0)]
    first = labels.frames[ends + 1]
    if len(first) and (first < dropped - TOLERANCE).any():
        return 0
    behind = (labels.frames[ends] > count - 1 - TOLERANCE) & (np.abs(first - dropped) < TOLERANCE)
    return dropped if labels.semicolon or behind.any() else 0
