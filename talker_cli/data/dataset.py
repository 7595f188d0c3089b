"""A prepared dataset: a folder with `dataset.json`, `rig.safetensors`, `speech.safetensors` and `clips.safetensors`.

A recording is speech, 16 kHz mono int16; a clip is one identity's motion for one recording, (T, K) coefficients.
Frame i of a clip is the instant i / fps of its recording.
"""

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from talker_cli.data.emotions import Spans
from talker_cli.errors import InputError
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.formats.files import (
    ArrayFile,
    atomic_path,
    file_hash,
    output_error,
    read_json,
    stream_arrays,
    sweep,
    write_json,
)
from talker_cli.formats.schema import FrameRate, Schema, parse, reading
from talker_cli.rig import ARKIT_NAMES, RigFile, face_names, load_rig, pack_rig

SPLITS = ("train", "validation", "test", "test_voice")
VERSION = 1
RIG, SPEECH, CLIPS = "rig.safetensors", "speech.safetensors", "clips.safetensors"
SAME_DATASET = "choose the dataset that the model was trained on, or one prepared like it"
FILES = ("dataset.json", RIG, SPEECH, CLIPS)


@dataclass(frozen=True)
class Recording:
    """One piece of speech.

    Args:
        name: Name, unique; the array's name in `speech.safetensors`.
        voice: Name of the speaker.
        language: ISO 639-1 code.
        human: The voice is a person's, not a synthesiser's.
        split: One of SPLITS; `test` is held out by recording, `test_voice` by voice.
        text: Transcript.
        phones: (ARPAbet symbol without stress or "SIL", start, end), seconds; empty if unknown.
        source: Name of its source.
    """

    name: str
    voice: str
    language: str
    human: bool
    split: str
    text: str = ""
    phones: tuple[tuple[str, float, float], ...] = ()
    source: str = ""


@dataclass(frozen=True)
class Clip:
    """One identity's motion for one recording.

    Args:
        name: Name, unique; the array's name in `clips.safetensors`.
        recording: Name of the recording.
        identity: Name of the identity.
        voice_matched: The recording's voice is this identity's own, so the style can be learned from the audio.
        emotion: (start, end, emotion, strength 0…1), seconds; none for a neutral face. See `emotions.strengths`.
    """

    name: str
    recording: str
    identity: str
    voice_matched: bool
    emotion: Spans = ()


@dataclass(frozen=True)
class DatasetInfo:
    """The content of `dataset.json`."""

    source: str
    licence: str
    fps: float
    identities: tuple[str, ...]
    recordings: tuple[Recording, ...]
    clips: tuple[Clip, ...]
    command: str = ""
    seed: int = 0
    notes: dict[str, Any] = field(default_factory=dict)


class _RecordingEntry(Schema):
    """A recording in `dataset.json`."""

    name: str = Field(min_length=1)
    voice: str
    language: str
    human: bool
    split: Literal["train", "validation", "test", "test_voice"]
    text: str = ""
    phones: tuple[tuple[str, float, float], ...] = ()
    source: str = ""


class _ClipEntry(Schema):
    """A clip in `dataset.json`."""

    name: str = Field(min_length=1)
    recording: str
    identity: str
    voice_matched: bool
    emotion: tuple[tuple[float, float, Annotated[str, Field(min_length=1)], Annotated[float, Field(ge=0, le=1)]], ...] = ()


class _DatasetFile(Schema):
    """The structure of `dataset.json`."""

    source: str
    licence: str
    fps: FrameRate
    identities: tuple[str, ...]
    recordings: tuple[_RecordingEntry, ...]
    clips: tuple[_ClipEntry, ...]
    command: str
    seed: int
    notes: dict[str, Any]


def write_dataset(
    folder: Path,
    info: DatasetInfo,
    rig: RigFile,
    speech: Iterable[tuple[str, np.ndarray]],
    motion: Iterable[tuple[str, np.ndarray]],
) -> None:
    """Write a prepared dataset, all of its files or none, with one array of speech or motion in memory at a time.

    `dataset.json` is written last: a folder without it is unfinished.

    Args:
        speech: (recording name, (S,) int16 at 16 kHz).
        motion: (clip name, (T, K) float32 coefficients).

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    sweep(folder)  # temporary files of a killed run
    half = ((name, coefficients.astype(np.float16)) for name, coefficients in motion)
    about = {"format": "talker-dataset", "version": VERSION, **asdict(info)}
    with ExitStack() as stack:
        # The last to be entered is the first to appear.
        paths = [stack.enter_context(atomic_path(folder / name)) for name in FILES]
        stream_arrays(paths[1], pack_rig(rig)[0].items(), pack_rig(rig)[1])
        stream_arrays(paths[2], speech, {"kind": "speech", "sample_rate": SAMPLE_RATE})
        stream_arrays(paths[3], half, {"kind": "clips", "fps": info.fps})
        write_json(paths[0], about)
        (folder / "dataset.json").unlink(missing_ok=True)  # a run killed after this leaves no readable mixture


class Dataset:
    """A prepared dataset, arrays read lazily.

    Raises:
        InputError: the folder is not a finished prepared dataset.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        path = self.folder / "dataset.json"
        if not path.is_file():
            raise InputError(f"{folder} holds no dataset.json; expected a prepared dataset; make one with talker preprocess")
        with reading(path, "a prepared dataset"):
            raw = read_json(path)
        if not isinstance(raw, dict) or raw.get("format") != "talker-dataset" or raw.get("version") != VERSION:
            raise InputError(f"{path} is not a talker dataset of version {VERSION}; prepare it again with talker preprocess")
        checked = parse(_DatasetFile, raw, str(path))
        recordings = tuple(Recording(**dict(entry)) for entry in checked.recordings)
        clips = tuple(Clip(**dict(entry)) for entry in checked.clips)
        self.info = DatasetInfo(
            checked.source, checked.licence, checked.fps, checked.identities, recordings, clips, checked.command, checked.seed,
            checked.notes,
        )  # fmt: skip
        self.rig = load_rig(self.folder / RIG)
        self.recordings = {recording.name: recording for recording in recordings}
        self._speech = ArrayFile(self.folder / SPEECH, "speech file")
        self._clips = ArrayFile(self.folder / CLIPS, "clips file")
        self._check(path)

    def _check(self, path: Path) -> None:
        """Check that entries and arrays fit together.

        Raises:
            InputError: an entry names nothing, or its array has another shape than it states.
        """
        for kind, names in (
            ("identities", self.info.identities),
            ("recordings", [recording.name for recording in self.info.recordings]),
            ("clips", [clip.name for clip in self.info.clips]),
        ):
            if len(set(names)) != len(names):
                raise InputError(f"{path} names one of its {kind} twice; expected each once; prepare it again")
        for recording in self.info.recordings:
            if len(self._speech.shape(recording.name)) != 1:
                raise InputError(f"{path}: the speech of {recording.name} is no row of samples; prepare it again")
            if any(not 0.0 <= start <= end for _, start, end in recording.phones):
                raise InputError(f"{path}: the phones of {recording.name} end before they begin; prepare it again")
        width = len(self.rig.rig.names)
        for clip in self.info.clips:
            if clip.recording not in self.recordings or clip.identity not in self.info.identities:
                raise InputError(
                    f"{path}: the clip {clip.name} is of {clip.identity} and {clip.recording}; expected an identity and a "
                    "recording of this dataset; prepare it again"
                )
            shape = self._clips.shape(clip.name)
            if len(shape) != 2 or shape[1] != width or not shape[0]:
                raise InputError(f"{path}: the clip {clip.name} is {shape}; expected (T, {width}); prepare it again")
            seconds = self.seconds(clip.recording)
            if abs(shape[0] / self.info.fps - seconds) > 2 / self.info.fps:
                raise InputError(
                    f"{path}: the clip {clip.name} is {shape[0] / self.info.fps:.2f} s long and its speech {seconds:.2f} s; "
                    "expected the same length; prepare it again"
                )

    @property
    def trained(self) -> tuple[str, ...]:
        """The identities of the training split: a model learns no others."""
        seen = {clip.identity for clip in self.clips("train")}
        return tuple(name for name in self.info.identities if name in seen)

    @property
    def emotions(self) -> tuple[str, ...]:
        """The emotions of the training split, in alphabetical order."""
        return tuple(sorted({name for clip in self.clips("train") for _, _, name, _ in clip.emotion}))

    def content(self) -> str:
        """Return a hash of the whole dataset, which is read for it."""
        return hashlib.sha256("".join(file_hash(self.folder / name) for name in FILES).encode()).hexdigest()

    def check_model(self, names: Sequence[str], fps: float, basis: np.ndarray, *, head: bool = True) -> None:
        """Check that a model's coefficients have the dataset's meaning.

        Args:
            names: Names of the model's coefficients.
            fps: Its frame rate.
            basis: Basis of its rig (K, V, 3), metres.
            head: Whether both must have the head's rotation, or neither.

        Raises:
            InputError: it has other coefficients, another frame rate or another basis.
        """
        own = self.rig.rig
        if not head:
            own, names = own.face, face_names(names)
            basis = basis[: len(names)]
        if tuple(names) != own.names or fps != self.info.fps:
            raise InputError(
                f"found a model of {len(names)} coefficients at {fps:g} fps and a dataset of {len(own.names)} at "
                f"{self.info.fps:g}; expected the same coefficients and rate; {SAME_DATASET}"
            )
        # ARKit's names define a shape on any head; `pca_…` is a different shape in every dataset.
        if own.face_names != ARKIT_NAMES and not (basis.shape == own.basis.shape and np.allclose(basis, own.basis, atol=1e-5)):
            raise InputError(
                f"found a model whose shapes are not those of {self.folder}, though they have the same names; expected the "
                f"same basis; {SAME_DATASET}"
            )

    def speech(self, recording: str) -> np.ndarray:
        """Return (S,) float32 speech in -1…1 at 16 kHz."""
        return self.samples(recording).astype(np.float32) / 32768.0

    def samples(self, recording: str) -> np.ndarray:
        """Return (S,) int16 speech at 16 kHz, as it is stored."""
        return self._speech.array(recording)

    def coefficients(self, clip: str) -> np.ndarray:
        """Return (T, K) float32 coefficients."""
        return self._clips.array(clip).astype(np.float32)

    def frames(self, clip: str) -> int:
        """Return a clip's length T, without reading it."""
        return self._clips.shape(clip)[0]

    def seconds(self, recording: str) -> float:
        """Return a recording's length, without reading it."""
        return self._speech.shape(recording)[0] / SAMPLE_RATE

    def clips(self, split: str) -> list[Clip]:
        """Return the clips whose recording belongs to `split`."""
        return [clip for clip in self.info.clips if self.recordings[clip.recording].split == split]
