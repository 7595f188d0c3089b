"""Captured sequences, speech with motion: cut to the shorter of the two, and written as a prepared dataset."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.data.dataset import Clip, DatasetInfo, Recording, write_dataset
from talker_cli.data.emotions import ALWAYS
from talker_cli.data.resume import ResumableParts
from talker_cli.errors import InputError
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.formats.mesh import LARGEST
from talker_cli.rig import RigFile

NOT_STATED = "not stated"  # a licence
FASTEST = 30.0  # frames a second: faster captures are thinned to at most this
OnProgress = Callable[[str, int, int], None]  # (stage, done, of how many)


@dataclass(frozen=True)
class CaptureSequence:
    """One capture of one person.

    Args:
        name: Name of its recording and of its clip, unique in the dataset.
        identity: Name of the person.
        split: One of dataset.SPLITS.
        frames: Number of frames of motion, at the rate of the capture.
        speech: Function that reads the speech, (S,) float32 at 16 kHz.
        motion: Function that reads rows of the motion, (N, …) float32 of N indices below `frames`.
        files: Source files; a change of their sizes or times makes it another sequence.
        text: Transcript.
        language: ISO 639 code, "und" if unknown.
        phones: (ARPAbet symbol without stress or "SIL", start, end), seconds; empty if unknown.
        emotion: Emotion of the whole clip, as the dataset labels it; empty if neutral or unknown.
    """

    name: str
    identity: str
    split: str
    frames: int
    speech: Callable[[], np.ndarray]
    motion: Callable[[np.ndarray], np.ndarray]
    files: tuple[Path, ...]
    text: str = ""
    language: str = "und"
    phones: tuple[tuple[str, float, float], ...] = ()
    emotion: str = ""


@dataclass(frozen=True)
class Source:
    """The content of a folder of captures.

    Args:
        name: Name of the dataset, such as VOCASET.
        licence: Licence of its data.
        source_fps: Frame rate of the sequences' motion.
        sequences: Sequences, in the order they are written.
        identities: Identities in the order of the model's table: those of the training split first.
        notes: Notes for the user: files left out and why, units, …
        head: Whether the motion's last three columns are the head's rotation, radians.
    """

    name: str
    licence: str
    source_fps: float
    sequences: tuple[CaptureSequence, ...]
    identities: tuple[str, ...]
    notes: dict[str, Any] = field(default_factory=dict)
    head: bool = False


def thinned_fps(source_fps: float) -> float:
    """Return the rate that every n-th frame gives, n the least that brings it down to 30: 60 -> 30, 25 -> 25, 100 -> 25."""
    return source_fps / max(1, int(np.ceil(source_fps / FASTEST - 1e-9)))


class Timeline:
    """A capture's frames at the dataset's rate: every n-th if one rate divides the other, else linear in between."""

    def __init__(self, source_fps: float, fps: float) -> None:
        self.fps = fps
        ratio = source_fps / fps
        self.ratio = float(round(ratio)) if abs(ratio - round(ratio)) < 1e-6 and round(ratio) >= 1 else ratio

    def frames(self, source_frames: int) -> int:
        """Return the number of the dataset's frames within that many of the capture's."""
        return int(np.floor((source_frames - 1) / self.ratio + 1e-6)) + 1 if source_frames else 0

    def read(self, sequence: CaptureSequence, first: int, last: int) -> np.ndarray:
        """Return the dataset's frames from `first` up to, but not including, `last`.

        Raises:
            InputError: a frame holds NaN or infinity.
        """
        position = np.arange(first, last) * self.ratio
        below = np.floor(position + 1e-6).astype(np.int64)
        rows = _finite(sequence, below)
        weight = np.clip(position - below, 0.0, 1.0).astype(np.float32)
        if not (weight > 1e-5).any():
            return rows
        above = np.minimum(below + 1, sequence.frames - 1)
        weight = weight.reshape(-1, *(1,) * (rows.ndim - 1))
        return np.asarray(rows * (1 - weight) + _finite(sequence, above) * weight)


def resample_rows(times: np.ndarray, rows: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return rows (N, K) float32 at the times `at` (N,): linear between rows (T, K) at the rising times (T,), held beyond."""
    below = np.clip(np.searchsorted(times, at + 1e-9, "right") - 1, 0, max(len(times) - 2, 0))
    above = np.minimum(below + 1, len(times) - 1)
    width = np.maximum(times[above] - times[below], 1e-9)
    weight = np.clip((at - times[below]) / width, 0.0, 1.0)[:, None].astype(np.float32)
    return np.asarray(rows[below] * (1 - weight) + rows[above] * weight, np.float32)


def _finite(sequence: CaptureSequence, rows: np.ndarray) -> np.ndarray:
    values = sequence.motion(rows)
    flat = values.reshape(len(values), -1)
    with np.errstate(over="ignore", invalid="ignore"):
        broken = ~np.isfinite(flat.sum(1, dtype=np.float64))  # a sum of finite float32 is finite in float64
    if not broken.any() and flat.size and np.abs(flat).max() > LARGEST:
        raise InputError(
            f"{sequence.name} holds numbers beyond {LARGEST:g}; expected positions or coefficients; check its unit"
        )
    if broken.any():
        frame = int(rows[int(np.argmax(broken))])
        raise InputError(
            f"{sequence.name} holds NaN or infinity, first in frame {frame}; expected finite motion; fix or remove it"
        )
    return values


def check_sequences(source: Source) -> None:
    """Check that a dataset can be made of a source, before any work is done.

    Raises:
        InputError: two sequences have one name, or none is for training.
    """
    seen: dict[str, CaptureSequence] = {}
    for sequence in source.sequences:
        if sequence.name in seen:
            one, other = seen[sequence.name].files[0], sequence.files[0]
            raise InputError(f"found two clips named {sequence.name}: {one} and {other}; expected a name each; rename one")
        seen[sequence.name] = sequence
    if not any(sequence.split == "train" for sequence in source.sequences):
        raise InputError(
            f"found {len(source.sequences)} clips of {source.name}, none for training; expected one at least; see docs/data.md"
        )


def fingerprint(source: Source) -> str:
    """Return a hash of the sequences' names and lengths and of their files' sizes and times."""
    stamps: dict[Path, list[int]] = {}
    for sequence in source.sequences:
        for path in sequence.files:
            if path not in stamps:
                about = path.stat()
                stamps[path] = [about.st_size, about.st_mtime_ns]
    files = [[str(path), *stamp] for path, stamp in stamps.items()]
    facts = [[each.name, each.identity, each.split, each.frames, each.text, each.language] for each in source.sequences]
    return hashlib.sha256(json.dumps([facts, files]).encode()).hexdigest()


class Lengths:
    """Each sequence's length in the dataset's frames, the shorter of sound and motion; and the seconds cut off."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.frames: dict[str, int] = {}
        self.cut: dict[str, list[float]] = {"motion longer": [], "sound longer": []}

    def add(self, sequence: CaptureSequence, samples: int) -> int:
        """Add a sequence with that many samples of speech; return its length in frames.

        Raises:
            InputError: it holds no motion.
        """
        motion, sound = self.timeline.frames(sequence.frames), int(samples * self.timeline.fps / SAMPLE_RATE)
        frames = min(motion, sound)
        if frames < 1:
            raise InputError(f"{sequence.name} holds {sequence.frames} frames of motion; expected at least one; remove it")
        if abs(motion - sound) > 1:  # one is rounding
            longer = "motion longer" if motion > sound else "sound longer"
            self.cut[longer].append(abs(motion - sound) / self.timeline.fps)
        self.frames[sequence.name] = frames
        return frames

    def notes(self) -> dict[str, Any]:
        """Return the number of sequences that were cut, and the seconds cut off in all."""
        return {name: {"clips": len(cut), "seconds": round(sum(cut), 2)} for name, cut in self.cut.items() if cut}


def store_speech(source: Source, work: ResumableParts, timeline: Timeline, on_progress: OnProgress) -> Lengths:
    """Read the speech of every sequence once, into `work` as int16; return the lengths."""
    lengths = Lengths(timeline)
    for number, sequence in enumerate(source.sequences):
        key = f"speech-{number}"
        if key not in work:
            speech = np.round(sequence.speech() * 32767.0).astype(np.int16)
            frames = Lengths(timeline).add(sequence, len(speech))
            enough = int(np.ceil(frames * SAMPLE_RATE / timeline.fps))
            work.save(key, {"speech": speech[:enough]}, {"samples": len(speech)})
        lengths.add(sequence, work.load(key).metadata["samples"])
        on_progress("reading speech", number + 1, len(source.sequences))
    return lengths


def write_sequences(
    output: Path, source: Source, work: ResumableParts, rig: RigFile, lengths: Lengths, notes: dict[str, Any], command: str
) -> dict[str, Any]:
    """Write sequences, whose speech and coefficients are in `work`, as a prepared dataset; return all notes."""
    recordings = tuple(
        Recording(each.name, each.identity, each.language, True, each.split, each.text, each.phones, source.name)
        for each in source.sequences
    )
    clips = tuple(
        Clip(each.name, each.name, each.identity, True, ((0.0, ALWAYS, each.emotion, 1.0),) if each.emotion else ())
        for each in source.sequences
    )
    notes = {**source.notes, **notes, **({"cut": lengths.notes()} if lengths.notes() else {})}
    about = {"source_fps": source.source_fps, **notes}
    info = DatasetInfo(
        source.name, source.licence, lengths.timeline.fps, source.identities, recordings, clips, command, 0, about
    )  # fmt: skip

    def parts(kind: str, array: str) -> Iterator[tuple[str, np.ndarray]]:
        for number, sequence in enumerate(source.sequences):
            yield sequence.name, work.load(f"{kind}-{number}").array(array)

    write_dataset(output, info, rig, parts("speech", "speech"), parts("motion", "coefficients"))
    return notes


def official_order(sequences: Sequence[CaptureSequence], first: Sequence[str]) -> tuple[str, ...]:
    """Return the identities: those of `first`, then the others in order of appearance."""
    return tuple(dict.fromkeys([*first, *(sequence.identity for sequence in sequences)]))
