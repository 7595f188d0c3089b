"""Takes: what somebody said, as sound and as motion; cut to the shorter of the two, and written as a prepared dataset."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.data.dataset import Clip, DatasetInfo, Recording, write_dataset
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
    """One take of one person.

    Args:
        name: unique in the dataset; that of its recording and of its clip.
        identity: who.
        split: one of prepared.SPLITS.
        frames: of motion, at the rate of the capture.
        speech: reads the sound, (S,) float32 at 16 kHz.
        motion: reads rows of the motion, (N, …) float32 of N indices below `frames`.
        files: what the take is read from; a change of their sizes or times makes it another take.
        text: what is said.
        language: ISO 639 code, "und" if unknown.
        phones: (ARPAbet symbol without stress or "SIL", start, end), seconds; empty if unknown.
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


@dataclass(frozen=True)
class Source:
    """What a folder of captures holds.

    Args:
        name: what it is.
        licence: of its data.
        source_fps: frames a second of the takes' motion.
        takes: in the order they are written.
        identities: in the order of the identity table: those of the training split first.
        notes: what the user should know: what was left out and why, units, …
    """

    name: str
    licence: str
    source_fps: float
    takes: tuple[CaptureSequence, ...]
    identities: tuple[str, ...]
    notes: dict[str, Any] = field(default_factory=dict)


def thinned_fps(source_fps: float) -> float:
    """Return the rate that every n-th frame gives, n the least that brings it down to 30: 60 -> 30, 25 -> 25, 100 -> 25."""
    return source_fps / max(1, int(np.ceil(source_fps / FASTEST - 1e-9)))


class Timeline:
    """From a capture's frames to the dataset's: every n-th where the rates allow it, linear in between where they do not."""

    def __init__(self, source_fps: float, fps: float) -> None:
        self.fps = fps
        ratio = source_fps / fps
        self.ratio = float(round(ratio)) if abs(ratio - round(ratio)) < 1e-6 and round(ratio) >= 1 else ratio

    def frames(self, source_frames: int) -> int:
        """Return how many frames of the dataset lie within so many of the capture."""
        return int(np.floor((source_frames - 1) / self.ratio + 1e-6)) + 1 if source_frames else 0

    def read(self, take: CaptureSequence, first: int, last: int) -> np.ndarray:
        """Return the dataset's frames `first` to `last`, the last not among them.

        Raises:
            InputError: a frame holds NaN or infinity.
        """
        position = np.arange(first, last) * self.ratio
        below = np.floor(position + 1e-6).astype(np.int64)
        rows = _finite(take, below)
        share = np.clip(position - below, 0.0, 1.0).astype(np.float32)
        if not (share > 1e-5).any():
            return rows
        above = np.minimum(below + 1, take.frames - 1)
        share = share.reshape(-1, *(1,) * (rows.ndim - 1))
        return np.asarray(rows * (1 - share) + _finite(take, above) * share)


def resample_rows(times: np.ndarray, rows: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return rows (N, K) float32 at the times `at` (N,): linear between rows (T, K) at the rising times (T,), held beyond."""
    below = np.clip(np.searchsorted(times, at + 1e-9, "right") - 1, 0, max(len(times) - 2, 0))
    above = np.minimum(below + 1, len(times) - 1)
    width = np.maximum(times[above] - times[below], 1e-9)
    weight = np.clip((at - times[below]) / width, 0.0, 1.0)[:, None].astype(np.float32)
    return np.asarray(rows[below] * (1 - weight) + rows[above] * weight, np.float32)


def _finite(take: CaptureSequence, rows: np.ndarray) -> np.ndarray:
    values = take.motion(rows)
    flat = values.reshape(len(values), -1)
    with np.errstate(over="ignore", invalid="ignore"):
        broken = ~np.isfinite(flat.sum(1, dtype=np.float64))  # a sum of finite float32 is finite in float64
    if not broken.any() and flat.size and np.abs(flat).max() > LARGEST:
        raise InputError(f"{take.name} holds numbers beyond {LARGEST:g}; expected positions or coefficients; check its unit")
    if broken.any():
        frame = int(rows[int(np.argmax(broken))])
        raise InputError(
            f"{take.name} holds NaN or infinity, first in frame {frame}; expected finite motion; mend or remove it"
        )
    return values


def check_sequences(source: Source) -> None:
    """Refuse what no dataset can be made of before any work goes into it.

    Raises:
        InputError: two takes have one name, or none is there to train on.
    """
    seen: dict[str, CaptureSequence] = {}
    for take in source.takes:
        if take.name in seen:
            one, other = seen[take.name].files[0], take.files[0]
            raise InputError(f"found two clips named {take.name}: {one} and {other}; expected a name each; rename one")
        seen[take.name] = take
    if not any(take.split == "train" for take in source.takes):
        raise InputError(
            f"found {len(source.takes)} clips of {source.name}, none of them to train on; see the README's page on data"
        )


def fingerprint(source: Source) -> str:
    """Return what tells these takes from others: a hash of names, lengths, and the sizes and times of their files."""
    stamps: dict[Path, list[int]] = {}
    for take in source.takes:
        for path in take.files:
            if path not in stamps:
                about = path.stat()
                stamps[path] = [about.st_size, about.st_mtime_ns]
    files = [[str(path), *stamp] for path, stamp in stamps.items()]
    takes = [[take.name, take.identity, take.split, take.frames, take.text, take.language] for take in source.takes]
    return hashlib.sha256(json.dumps([takes, files]).encode()).hexdigest()


class Lengths:
    """How long each take is, in the dataset's frames, once its sound is known; and what was cut off."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.frames: dict[str, int] = {}
        self.cut: dict[str, list[float]] = {"motion longer": [], "sound longer": []}

    def add(self, take: CaptureSequence, samples: int) -> int:
        """Take in a take with so many samples of speech; return its frames.

        Raises:
            InputError: nothing is left.
        """
        moving, heard = self.timeline.frames(take.frames), int(samples * self.timeline.fps / SAMPLE_RATE)
        frames = min(moving, heard)
        if frames < 1:
            raise InputError(f"{take.name} holds {take.frames} frames of motion; expected at least one; remove it")
        if abs(moving - heard) > 1:  # one is rounding
            longer = "motion longer" if moving > heard else "sound longer"
            self.cut[longer].append(abs(moving - heard) / self.timeline.fps)
        self.frames[take.name] = frames
        return frames

    def notes(self) -> dict[str, Any]:
        """Return how many takes were cut, and by how many seconds in all."""
        return {name: {"clips": len(cut), "seconds": round(sum(cut), 2)} for name, cut in self.cut.items() if cut}


def keep_speech(source: Source, work: ResumableParts, timeline: Timeline, on_progress: OnProgress) -> Lengths:
    """Read the sound of every take once, as int16 into `work`; return the takes' lengths."""
    lengths = Lengths(timeline)
    for number, take in enumerate(source.takes):
        key = f"speech-{number}"
        if key not in work:
            speech = np.round(take.speech() * 32767.0).astype(np.int16)
            frames = Lengths(timeline).add(take, len(speech))
            enough = int(np.ceil(frames * SAMPLE_RATE / timeline.fps))
            work.save(key, {"speech": speech[:enough]}, {"samples": len(speech)})
        lengths.add(take, work.load(key).metadata["samples"])
        on_progress("reading speech", number + 1, len(source.takes))
    return lengths


def write_sequences(
    output: Path, source: Source, work: ResumableParts, rig: RigFile, lengths: Lengths, notes: dict[str, Any], command: str
) -> None:
    """Write the takes, whose speech and coefficients lie in `work`, as a prepared dataset."""
    recordings = tuple(
        Recording(take.name, take.identity, take.language, True, take.split, take.text, take.phones, source.name)
        for take in source.takes
    )
    clips = tuple(Clip(take.name, take.name, take.identity, True) for take in source.takes)
    cut = {"cut": lengths.notes()} if lengths.notes() else {}
    about = {"source_fps": source.source_fps, **source.notes, **cut, **notes}
    info = DatasetInfo(
        source.name, source.licence, lengths.timeline.fps, source.identities, recordings, clips, command, 0, about
    )  # fmt: skip

    def parts(kind: str, array: str) -> Iterator[tuple[str, np.ndarray]]:
        for number, take in enumerate(source.takes):
            yield take.name, work.load(f"{kind}-{number}").array(array)

    write_dataset(output, info, rig, parts("speech", "speech"), parts("motion", "coefficients"))


def official_order(takes: Sequence[CaptureSequence], first: Sequence[str]) -> tuple[str, ...]:
    """Return the identities: those of `first`, then the others as they come."""
    return tuple(dict.fromkeys([*first, *(take.identity for take in takes)]))
