"""A pretrained encoder's features of a dataset's recordings, made once and kept on the disk, below the dataset's folder.

`features/<beginning of the encoder's hash>/<recording>.safetensors`, a file a recording, each written whole or not at all: a
killed run goes on where it was, and the next training on the dataset finds them all. A file that is damaged, or that was made
of other speech or at another frame rate, is made anew. The folder may be deleted at any time.
"""

import hashlib
import zlib
from pathlib import Path

import numpy as np
import torch

from talker_cli.corpus.sound.augment import augment_speech
from talker_cli.data.dataset import Dataset
from talker_cli.errors import ModelError
from talker_cli.formats.files import ArrayFile, make_folder, sweep, write_arrays
from talker_cli.model.config import COMPACT, ModelConfig
from talker_cli.model.encoders import load_encoder, verified
from talker_cli.model.frontend import recording_features
from talker_cli.model.frozen import Description
from talker_cli.train.run import OnProgress, Progress

FOLDER = "features"
RECIPE = 1  # of the changes in the sound; features of another are made anew
CROWD_RECORDINGS = 60
SOUND_VARIANTS = 1  # changed copies of a training recording


class FeatureCache:
    """The features of a dataset's recordings.

    Args:
        dataset: prepared.
        encoder: which one's.
        device: where it runs, for those that are not there yet.
        variants: Number of copies of every training recording that are changed in the sound; see `augment_speech`.
    """

    def __init__(self, dataset: Dataset, encoder: Description, device: torch.device, variants: int = 0) -> None:
        self.encoder, self.variants, self._dataset, self._device = encoder, variants, dataset, device
        self.folder = dataset.folder / FOLDER / encoder.hash[:16]
        self._crowd: list[np.ndarray] | None = None
        # As many as the shortest motion of the recording has: a clip bank has no use for more.
        self._frames: dict[str, int] = {}
        for clip in dataset.info.clips:
            frames = dataset.frames(clip.name)
            self._frames[clip.recording] = min(frames, self._frames.get(clip.recording, frames))

    def fill(self, on_progress: OnProgress, process: int = 0, processes: int = 1) -> None:
        """Make what is missing for the splits that are trained and validated on: this process's share of it.

        Args:
            on_progress: the first process calls it after every recording.
            process: its number.
            processes: how many share the work.

        Raises:
            ModelError: the encoder is damaged.
            OutputError: the dataset's folder cannot be written to.
        """
        missing = self.missing(process, processes)
        if missing:
            sweep(self.folder)  # what killed runs left half-written
        for done, (recording, variant) in enumerate(missing, 1):
            self.read(recording, variant)
            if process == 0:
                on_progress(Progress(done, len(missing), {}, f"features by {self.encoder.name}"))
        load_encoder.cache_clear()  # a training has better uses for the memory

    def missing(self, process: int = 0, processes: int = 1) -> list[tuple[str, int]]:
        """Return the recordings and variants, of the splits that are trained and validated on, that are not there yet.

        Args:
            process, processes: as for `fill`. Shares are of all that is wanted: what is missing changes while others work.
        """
        splits = {name: self._dataset.recordings[name].split for name in self._frames}
        used = [name for name, split in splits.items() if split in ("train", "validation")]
        # Variant by variant: where those of one are there already, all processes share those of the next.
        variants = range(1 + self.variants)
        wanted = [(name, variant) for variant in variants for name in used if variant in self.variants_of(splits[name])]
        return [each for each in wanted[process::processes] if not self.has(*each)]

    def variants_of(self, split: str) -> range:
        """Return the variants of a split's recordings: 0 is the recording itself; only training has others."""
        return range(1 + (self.variants if split == "train" else 0))

    def has(self, recording: str, variant: int = 0) -> bool:
        """Say whether a recording's features are on the disk."""
        return self._path(recording, variant).is_file()

    def read(self, recording: str, variant: int = 0) -> np.ndarray:
        """Return the features (T, W) float16 of a recording's frames; they are made if need be.

        Args:
            recording: Name of the recording.
            variant: 0 for the recording itself; others are changed in the sound, and lie at the same frames.

        Raises:
            ModelError: the encoder is damaged.
            OutputError: the dataset's folder cannot be written to.
        """
        path, shape = self._path(recording, variant), self.shape(recording)
        speech, fps = self._dataset.speech(recording), self._dataset.info.fps
        about = {"kind": FOLDER, "encoder": self.encoder.hash, "speech": hashlib.sha256(speech.data).hexdigest(), "fps": fps}
        if variant:
            about |= {"variant": variant, "augmentation": RECIPE}
        kept = _kept(path, about)
        if kept is not None and kept.shape == shape:
            return kept
        speed = 1.0
        if variant:
            speech, speed = augment_speech(speech, np.random.default_rng([*recording.encode(), variant]), self._others())
        encoder = load_encoder(self.encoder, str(self._device))
        with np.errstate(over="ignore"):  # refused below
            made = recording_features(encoder, speech, shape[0], fps * speed).astype(np.float16)
        if not np.isfinite(made).all():
            raise ModelError(f"the audio encoder in {self.encoder.folder} makes numbers over 65504; expected smaller ones")
        make_folder(self.folder)
        write_arrays(path, {FOLDER: made}, {**about, "crc32": zlib.crc32(made.data)})
        return made

    def shape(self, recording: str) -> tuple[int, int]:
        """Return (T, W) of a recording's features."""
        return self._frames[recording], self.encoder.width

    def _others(self) -> list[np.ndarray]:
        """Return some training recordings, for crowds; the same every time."""
        if self._crowd is None:
            names = [name for name in self._frames if self._dataset.recordings[name].split == "train"]
            places = np.random.default_rng(0).permutation(len(names))[:CROWD_RECORDINGS]
            self._crowd = [speech for place in places if len(speech := self._dataset.speech(names[place]))]
        return self._crowd

    def _path(self, recording: str, variant: int) -> Path:
        # A recording's name may be anything, a file's may not.
        name = hashlib.sha256(recording.encode()).hexdigest()[:32]
        return self.folder / (f"{name}-{variant}.safetensors" if variant else f"{name}.safetensors")


def _kept(path: Path, about: dict[str, object]) -> np.ndarray | None:
    """Return the features in a file, if they are whole and were made as `about` says."""
    if not path.is_file():
        return None
    try:
        file = ArrayFile(path, "features file")
        features = file.array(FOLDER)
    except ModelError:
        return None
    return features if file.metadata == {**about, "crc32": zlib.crc32(features.data)} else None


def features_for(config: ModelConfig, dataset: Dataset, device: torch.device, variants: int = 0) -> FeatureCache | None:
    """Return the features of a dataset by the encoder that a model was trained with; None if that is the compact one.

    Raises:
        ModelError: the encoder is not there any more, or is another.
    """
    return None if config.audio_encoder == COMPACT else FeatureCache(dataset, verified(config), device, variants)
