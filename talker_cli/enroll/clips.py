"""The recordings of a folder, one in memory at a time: where speech is, and the style of each."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from talker_cli.enroll.record import SimilarityRecord, SourceRecord
from talker_cli.errors import InputError
from talker_cli.formats.audio import SAMPLE_RATE, read_speech
from talker_cli.formats.files import file_hash, files_below
from talker_cli.identity.resolve import on_sphere
from talker_cli.identity.style import Heard, StyleReader, VoiceStyle
from talker_cli.identity.vad import detect_speech

# Suffixes of files that lie beside recordings and hold no sound; every other file is tried.
NOT_SOUND = frozenset(
    ".npy .npz .csv .json .txt .lab .textgrid .srt .vtt .md .pdf .png .jpg .jpeg .heic .ply .obj .mtl .glb .gltf .usd .usdz "
    ".safetensors .py .zip .log .xml .html .db .ini".split()
)
MIN_SPEECH = 0.5  # seconds in a clip
MIN_SPEECH_SHARE = 0.1  # of a clip's sound: music resembles speech for a moment now and then
ENOUGH_SPEECH = 30 * 60.0  # seconds: more does not change a style
MAX_SECONDS = 60 * 60.0  # read from one file: an hour of sound lies in memory at once
MIN_TOTAL = 1.0  # seconds of speech in all clips

OnClip = Callable[[int, int], None]  # (files done, files)


@dataclass(frozen=True)
class RecordedClip:
    """A recording that was used.

    Args:
        path: Path relative to the folder.
        sha256: Hash of the file.
        seconds: Seconds of speech.
        heard: What the style is read off.
        style: (S,) float32 style of this clip alone.
    """

    path: str
    sha256: str
    seconds: float
    heard: Heard
    style: np.ndarray


@dataclass(frozen=True)
class Collection:
    """The usable recordings of a folder.

    Args:
        folder: Absolute path.
        clips: Usable recordings, sorted by path.
        voice: Style of all of them together.
        skipped: (path, reason) of files that were not used, sorted by path.
        notes: (path, note) of clips that were used in part.
        unread: Number of files that were not read because there was enough speech.
    """

    folder: Path
    clips: tuple[RecordedClip, ...]
    voice: VoiceStyle
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    unread: int = 0

    @property
    def seconds(self) -> float:
        """Seconds of speech in all clips."""
        return sum(clip.seconds for clip in self.clips)

    def sources(self) -> tuple[SourceRecord, ...]:
        """Return the clips as an identity file records them."""
        return tuple(SourceRecord(path=clip.path, sha256=clip.sha256, seconds=round(clip.seconds, 2)) for clip in self.clips)

    def similarity(self) -> SimilarityRecord:
        """Return the cosine similarity of the clips' styles to the style of all."""
        whole = self.voice.style
        values = np.array([on_sphere(clip.style) @ whole / len(whole) for clip in self.clips], dtype=np.float64)
        mean = float(np.average(values, weights=[clip.seconds for clip in self.clips]))
        lowest = int(values.argmin())
        return SimilarityRecord(
            mean=round(mean, 4), lowest=round(float(values[lowest]), 4), lowest_clip=self.clips[lowest].path
        )


def recordings(folder: Path) -> list[Path]:
    """Return all files below a folder that may be recordings, or the one file given, in an order that mixes subfolders.

    Raises:
        InputError: there is no such folder, it cannot be read, or nothing in it could be a recording.
    """
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise InputError(f"no folder {folder}; expected one with recordings of a voice (wav, mp3, m4a, mp4 …); check the path")
    paths = [path for path in files_below(folder) if path.suffix.lower() not in NOT_SOUND]
    if not paths:
        raise InputError(f"found no recording in {folder}; expected files such as wav, mp3, m4a, mp4; check the path")
    return sorted(paths, key=lambda path: hashlib.sha256(os.fsencode(path.relative_to(folder))).digest())


@dataclass
class _Reader:
    styles: StyleReader
    clips: list[RecordedClip] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)

    def add(self, path: Path, name: str) -> None:
        """Add a file to the clips, or to the skipped files with a reason."""
        try:
            sha256 = file_hash(path)
            same = next((clip.path for clip in self.clips if clip.sha256 == sha256), None)
            if same is not None:
                self.skipped.append((name, f"the same recording as {same}"))
                return
            sound, complete = _beginning(path)
        except OSError as error:
            self.skipped.append((name, f"cannot be read ({error.strerror})"))
            return
        except InputError as error:
            self.skipped.append((name, str(error).removeprefix(f"{path} ").split("; ")[0]))
            return
        speech = detect_speech(sound)
        reason = _unusable(speech.speech, speech.other, len(sound) / SAMPLE_RATE)
        if reason is not None:
            self.skipped.append((name, reason))
            return
        heard = self.styles.hear(speech.cut(sound))
        self.clips.append(RecordedClip(name, sha256, speech.speech, heard, self.styles.style([heard]).style))
        if not complete:
            self.notes.append((name, f"read to {MAX_SECONDS / 60:.0f} minutes"))
        if speech.other > 1.0:
            self.notes.append((name, f"{speech.other:.1f} s of music or noise left out"))


def _beginning(path: Path) -> tuple[np.ndarray, bool]:
    """Return a recording (S,), 16 kHz, up to MAX_SECONDS, and whether that is all of it."""
    parts: list[np.ndarray] = []
    count = 0
    for part in read_speech(path):
        if count >= MAX_SECONDS * SAMPLE_RATE:
            return np.concatenate(parts), False
        parts.append(part)
        count += len(part)
    return np.concatenate(parts), True


def _unusable(speech: float, other: float, seconds: float) -> str | None:
    """Return the reason why a recording cannot be used, or None."""
    if other > 0 and speech < MIN_SPEECH_SHARE * (speech + other):
        return f"music or noise, no speech ({other:.1f} s)"
    if seconds < MIN_SPEECH:
        return f"too short ({seconds:.2f} s; expected {MIN_SPEECH} s of speech or more)"
    if speech == 0:
        return f"silence ({seconds:.1f} s)"
    return f"too little speech ({speech:.2f} s)" if speech < MIN_SPEECH else None


def collect(folder: Path, paths: Sequence[Path], styles: StyleReader, on_clip: OnClip) -> Collection:
    """Read recordings until there is enough speech.

    Args:
        folder: Folder that the paths lie below.
        paths: Recordings, in reading order.
        styles: Reader of styles off speech.
        on_clip: Callback after each file, (files done, files).

    Raises:
        InputError: there is no usable recording.
    """
    reader = _Reader(styles)
    done = 0
    for done, path in enumerate(paths, 1):
        reader.add(path, str(path.relative_to(folder)))
        on_clip(done, len(paths))
        if sum(clip.seconds for clip in reader.clips) >= ENOUGH_SPEECH:
            break
    seconds = sum(clip.seconds for clip in reader.clips)
    skipped = tuple(sorted(reader.skipped))
    if seconds < MIN_TOTAL:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped[:3])
        more = f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        raise InputError(
            f"found {seconds:.1f} s of speech in {len(paths)} files of {folder}; expected {MIN_TOTAL:.0f} s or more"
            + (f" ({reasons}{more})" if reasons else "")
        )
    clips = tuple(sorted(reader.clips, key=lambda clip: clip.path))
    voice = styles.style([clip.heard for clip in clips])
    return Collection(folder.resolve(), clips, voice, skipped, tuple(sorted(reader.notes)), len(paths) - done)
