"""A folder's recordings, one in memory at a time: who speaks where, and the style that each is spoken in."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.errors import InputError
from talker_cli.formats.audio import SAMPLE_RATE, read_speech
from talker_cli.formats.files import file_hash, files_below
from talker_cli.identity.resolve import on_sphere
from talker_cli.identity.vad import detect_speech

# What lies beside recordings and is none; every other file is tried.
OTHERS = frozenset(
    ".npy .npz .csv .json .txt .lab .textgrid .srt .vtt .md .pdf .png .jpg .jpeg .heic .ply .obj .mtl .glb .gltf .usd .usdz "
    ".safetensors .py .zip .log .xml .html .db .ini".split()
)
LEAST_SPEECH = 0.5  # seconds, of a clip
LEAST_SHARE = 0.1  # of a clip's sound that must be speech: music resembles it for a moment now and then
ENOUGH = 30 * 60.0  # seconds of speech: more does not change a style
LONGEST = 60 * 60.0  # seconds of one file that are read: an hour of sound lies in memory at once
LEAST_TOTAL = 1.0  # seconds of speech in all

OnClip = Callable[[int, int], None]
WindowStyles = Callable[[np.ndarray], np.ndarray]  # speech (S,) -> styles (N, S)


@dataclass(frozen=True)
class RecordedClip:
    """A recording that was used.

    Args:
        path: relative to the folder.
        sha256: of the file.
        seconds: of speech.
        windows: how many windows its style is the mean of.
        style: (S,) float32.
    """

    path: str
    sha256: str
    seconds: float
    windows: int
    style: np.ndarray


@dataclass(frozen=True)
class Collection:
    """What a folder gave.

    Args:
        folder: absolute.
        clips: by path.
        left_out: (path, why), by path.
        notes: (path, what was left out of it), of clips that were used.
        spared: files that were not read, because enough had been heard.
    """

    folder: Path
    clips: tuple[RecordedClip, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    spared: int = 0

    @property
    def seconds(self) -> float:
        """Seconds of speech in all."""
        return sum(clip.seconds for clip in self.clips)

    @property
    def style(self) -> np.ndarray:
        """The (S,) style of all clips, each counting by its length."""
        return on_sphere(np.sum([clip.windows * clip.style for clip in self.clips], axis=0))

    def sources(self) -> list[dict[str, Any]]:
        """Return what an identity records of its clips."""
        return [{"path": clip.path, "sha256": clip.sha256, "seconds": round(clip.seconds, 2)} for clip in self.clips]


def recordings(folder: Path) -> list[Path]:
    """Return all files below a folder that may be recordings, or the one file given, in an order that mixes subfolders.

    Raises:
        InputError: there is no such folder, it cannot be read, or nothing in it could be a recording.
    """
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise InputError(f"no folder {folder}; expected one with recordings of a voice (wav, mp3, m4a, mp4 …); check the path")
    found = [path for path in files_below(folder) if path.suffix.lower() not in OTHERS]
    if not found:
        raise InputError(f"found no recording in {folder}; expected files such as wav, mp3, m4a, mp4; check the path")
    return sorted(found, key=lambda path: hashlib.sha256(os.fsencode(path.relative_to(folder))).digest())


@dataclass
class _Reader:
    read: WindowStyles
    clips: list[RecordedClip] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)

    def add(self, path: Path, name: str) -> None:
        """Take in a file, as a clip or with the reason why it is none."""
        try:
            sha256 = file_hash(path)
            twin = next((clip.path for clip in self.clips if clip.sha256 == sha256), None)
            if twin is not None:
                self.left_out.append((name, f"the same recording as {twin}"))
                return
            sound, whole = _beginning(path)
        except OSError as error:
            self.left_out.append((name, f"cannot be read ({error.strerror})"))
            return
        except InputError as error:
            self.left_out.append((name, str(error).removeprefix(f"{path} ").split("; ")[0]))
            return
        heard = detect_speech(sound)
        reason = _unusable(heard.speech, heard.other, len(sound) / SAMPLE_RATE)
        if reason is not None:
            self.left_out.append((name, reason))
            return
        styles = self.read(heard.cut(sound))
        self.clips.append(RecordedClip(name, sha256, heard.speech, len(styles), on_sphere(styles.mean(0))))
        if not whole:
            self.notes.append((name, f"read to {LONGEST / 60:.0f} minutes"))
        if heard.other > 1.0:
            self.notes.append((name, f"{heard.other:.1f} s of music or noise left out"))


def _beginning(path: Path) -> tuple[np.ndarray, bool]:
    """Return a recording (S,), 16 kHz, and whether that is all of it: not of one of many hours."""
    parts: list[np.ndarray] = []
    count = 0
    for part in read_speech(path):
        if count >= LONGEST * SAMPLE_RATE:
            return np.concatenate(parts), False
        parts.append(part)
        count += len(part)
    return np.concatenate(parts), True


def _unusable(speech: float, other: float, seconds: float) -> str | None:
    """Say why a recording is no clip, or return None."""
    if other > 0 and speech < LEAST_SHARE * (speech + other):
        return f"music or noise, no speech ({other:.1f} s)"
    if seconds < LEAST_SPEECH:
        return f"too short ({seconds:.2f} s; expected {LEAST_SPEECH} s of speech or more)"
    if speech == 0:
        return f"silence ({seconds:.1f} s)"
    return f"too little speech ({speech:.2f} s)" if speech < LEAST_SPEECH else None


def collect(folder: Path, paths: Sequence[Path], read: WindowStyles, on_clip: OnClip) -> Collection:
    """Read recordings until enough is heard.

    Args:
        folder: that they lie below.
        paths: of the recordings, in the order they are read.
        read: the styles of windows of speech.
        on_clip: called after each file with (files done, files).

    Raises:
        InputError: there is no usable recording.
    """
    reader = _Reader(read)
    heard, done = 0.0, 0
    for done, path in enumerate(paths, 1):
        before = len(reader.clips)
        reader.add(path, str(path.relative_to(folder)))
        heard += sum(clip.seconds for clip in reader.clips[before:])
        on_clip(done, len(paths))
        if heard >= ENOUGH:
            break
    if heard < LEAST_TOTAL:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in sorted(reader.left_out)[:3])
        more = f"; and {len(reader.left_out) - 3} more" if len(reader.left_out) > 3 else ""
        raise InputError(
            f"found {heard:.1f} s of speech in {len(paths)} files of {folder}; expected {LEAST_TOTAL:.0f} s or more"
            + (f" ({reasons}{more})" if reasons else "")
        )
    return Collection(
        folder.resolve(), tuple(sorted(reader.clips, key=lambda clip: clip.path)), tuple(sorted(reader.left_out)),
        tuple(sorted(reader.notes)), len(paths) - done,
    )  # fmt: skip


@dataclass(frozen=True)
class ClipConsistency:
    """How alike a folder's clips sound.

    Args:
        mean, least: cosine similarity of a clip's style to that of all.
        oddest: the clip of the least.
        groups: the two groups of clips that look like two people, or None.
        apart: similarity between the groups' styles.
    """

    mean: float
    least: float
    oddest: str
    groups: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    apart: float = 1.0


TWO_PEOPLE = 0.35  # similarity of two groups' styles under which they look like two people
LEAST_GROUP = 0.15  # of the windows that the smaller group must have


def spread(collection: Collection) -> ClipConsistency:
    """Return how alike the clips sound, and whether they fall into two groups that do not sound like one person."""
    clips = collection.clips
    styles = np.stack([clip.style for clip in clips]).astype(np.float64)
    styles /= np.maximum(np.linalg.norm(styles, axis=1, keepdims=True), 1e-12)
    weight = np.array([clip.windows for clip in clips], dtype=np.float64)
    centre = collection.style / max(float(np.linalg.norm(collection.style)), 1e-12)
    similarity = styles @ centre
    oddest = int(similarity.argmin())
    found = ClipConsistency(float(similarity @ weight / weight.sum()), float(similarity[oddest]), clips[oddest].path)
    if len(clips) < 2:
        return found
    side = _two_groups(styles, weight, oddest)
    means = [(weight[mask, None] * styles[mask]).sum(0) for mask in (side, ~side)]
    if min(weight[side].sum(), weight[~side].sum()) < LEAST_GROUP * weight.sum():
        return found
    apart = float(means[0] @ means[1] / (np.linalg.norm(means[0]) * np.linalg.norm(means[1])))
    if apart >= TWO_PEOPLE:
        return found
    names = tuple(tuple(clip.path for clip, inside in zip(clips, mask, strict=True) if inside) for mask in (side, ~side))
    return ClipConsistency(found.mean, found.least, found.oddest, (names[0], names[1]), apart)


def _two_groups(styles: np.ndarray, weight: np.ndarray, first: int) -> np.ndarray:
    """Return (N,) bool, which of two groups each unit style belongs to: spherical 2-means from the two that differ most."""
    centres = np.stack([styles[first], styles[int((styles @ styles[first]).argmin())]])
    side = np.zeros(len(styles), dtype=bool)
    for _ in range(20):
        nearer = styles @ centres[0] >= styles @ centres[1]
        if nearer.all() or (nearer == side).all():
            break
        side = nearer
        centres = np.stack([(weight[mask, None] * styles[mask]).sum(0) for mask in (side, ~side)])
        centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
    return side
