"""Batches of crops from a prepared dataset; a batch is a function of (seed, step) alone, so that runs resume exactly.

Several processes draw the same batch, and each trains on its part of it: how many there are changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from talker_cli.data.dataset import Dataset
from talker_cli.data.emotions import Spans, strengths
from talker_cli.data.sequences import resample_rows
from talker_cli.errors import InputError
from talker_cli.identity.voice import VoiceSums
from talker_cli.model.config import ModelConfig
from talker_cli.model.mel import log_mel
from talker_cli.model.phones import smoothed_rows
from talker_cli.train.features import FeatureCache
from talker_cli.train.voices import voice_sums

CROP_FRAMES = (128, 96, 64, 48, 32, 24)  # a crop takes the longest of these that its recording fills: no padding
SPEED_RANGE = (0.87, 1.15)
HUMAN_WEIGHT = 2.0  # how much more often a second of human speech is drawn than one of a synthesiser
MEASURE_NOISE = 0.4  # deviations of the voices, on what is measured of one
STRETCH_NOISE = 0.2  # of them, where every voice is heard many times
LISTENING = (3.0, 120.0)  # seconds of a voice that its style is read off
UNKNOWN_PHONE = -1
KNOWN_PHONES = 0.3  # share of crops in which an encoder that reads phones is given the true ones


@dataclass
class Batch:
    """One training batch.

    Args:
        mel: (B, T * mels_per_frame, bands) clean log-mel columns; None where nothing reads them.
        coefficients: (B, T, K) truth.
        identity: (B,) rows of the identity table.
        voice_matched: (B,) bool, the audio tells of this identity.
        phones: (B, T) indices into the bank's phone list, UNKNOWN_PHONE where unknown.
        features: (B, T, W) of a pretrained encoder; None where the network's is trained with the rest.
        measures: (B, M + 1) of the voices, over some of their recordings; None for a personalizer that reads log-mel columns.
        emotion: (B, T, E) strengths of the config's emotions; None where it has none.
    """

    mel: Tensor | None
    coefficients: Tensor
    identity: Tensor
    voice_matched: Tensor
    phones: Tensor
    features: Tensor | None = None
    measures: Tensor | None = None
    emotion: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on `device`."""
        return self._each(lambda rows: rows.to(device))

    def rows(self, first: int, last: int) -> "Batch":
        """Return rows first … last - 1."""
        return self._each(lambda rows: rows[first:last])

    def encoder_input(self, mel: Tensor | None) -> Tensor:
        """Return the input of the network's encoder: log-mel columns, or a pretrained encoder's features."""
        return _first(self.features, mel)

    def voice_input(self, mel: Tensor | None) -> Tensor:
        """Return the input of the network's personalizer: the voices' measures, or log-mel columns."""
        return _first(self.measures, mel)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        changed: dict[str, Any] = {name: None if value is None else change(value) for name, value in values.items()}
        return Batch(**changed)


def _first(*inputs: Tensor | None) -> Tensor:
    return next(each for each in inputs if each is not None)


@dataclass(frozen=True)
class Part:
    """The rows that one process has of a batch, and what its losses must know of the others.

    Args:
        first: row of the batch that is the process's first.
        last: row after its last.
        processes: how many share the batch.
        identity: (B,) of the whole batch.
        voice_matched: (B,) bool, of the whole batch.
        known_phones: frames of the whole batch whose phone is known.
    """

    first: int
    last: int
    processes: int
    identity: Tensor
    voice_matched: Tensor
    known_phones: int

    @classmethod
    def of(cls, batch: Batch, process: int = 0, processes: int = 1) -> "Part":
        """Return the part of the process with this number; the parts differ by a row at most."""
        size = len(batch.identity)
        first, last = process * size // processes, (process + 1) * size // processes
        known = int((batch.phones != UNKNOWN_PHONE).sum())
        return cls(first, last, processes, batch.identity, batch.voice_matched, known)

    @property
    def share(self) -> float:
        """What a mean over the part counts, so that the mean over the processes is that over the whole batch."""
        return (self.last - self.first) * self.processes / len(self.identity)


@dataclass
class _Entry:
    """A recording in memory: (T * mels_per_frame, bands) float16, (T,) phones, clips, variants of (T, W) float16 features."""

    mel: np.ndarray | None
    phones: np.ndarray
    motions: list[tuple[int, bool, np.ndarray, Spans]]  # identity row, voice_matched, (T, K) float16, emotions
    weight: float
    voice: str
    features: list[np.ndarray]
    sums: VoiceSums | None  # of the voice, where the model reads its measures


class ClipBank:
    """A split of a dataset in memory, log-mel and what voices tell computed once.

    Clips of held-out people are labelled with the identities of the model, in turn.

    Args:
        dataset: prepared.
        split: one of its splits.
        config: of the model.
        cache: the features that batches carry, where the model has a pretrained encoder.
        known_phones: Share of crops whose posteriors are made of the phones themselves, as where a text is known.
        with_mel: Whether batches carry log-mel columns.

    Raises:
        InputError: the split has no clip of at least the shortest crop.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        config: ModelConfig,
        cache: FeatureCache | None = None,
        known_phones: float = 0.0,
        with_mel: bool = True,
    ) -> None:
        self.phone_names = sorted({phone[0] for recording in dataset.info.recordings for phone in recording.phones})
        phone_index = {name: index for index, name in enumerate(self.phone_names)}
        self.mels_per_frame, self.known_phones = config.mels_per_frame, known_phones
        self._read_phones = () if cache is None else cache.encoder.phones
        # The posteriors' column of each phone; of an unknown one, which is counted from the end, none.
        columns = {name: column for column, name in enumerate(self._read_phones)}
        self._columns = np.array([*(columns.get(name, UNKNOWN_PHONE) for name in self.phone_names), UNKNOWN_PHONE])
        self._emotions, self._fps = config.emotions, config.fps
        by_recording: dict[str, list[tuple[int, bool, np.ndarray, Spans]]] = {}
        known = config.identities
        for place, clip in enumerate(dataset.clips(split)):
            motion = dataset.coefficients(clip.name).astype(np.float16)
            own = clip.identity in known
            row = known.index(clip.identity) if own else place % len(known)
            by_recording.setdefault(clip.recording, []).append((row, own and clip.voice_matched, motion, clip.emotion))
        sums = voice_sums(dataset, by_recording) if config.voice_measures else {}
        self.buckets: dict[int, list[_Entry]] = {frames: [] for frames in CROP_FRAMES}
        for name, motions in by_recording.items():
            frames = min(len(motion) for _, _, motion, _ in motions)
            bucket = next((crop for crop in CROP_FRAMES if crop <= frames), None)
            if bucket is None:
                continue
            recording = dataset.recordings[name]
            mel = log_mel(dataset.speech(name), frames, config).astype(np.float16) if with_mel else None
            phones = np.full(frames, UNKNOWN_PHONE, dtype=np.int64)
            for symbol, start, end in recording.phones:
                phones[int(np.ceil(start * config.fps)) : int(np.ceil(end * config.fps))] = phone_index[symbol]
            weight = frames * (HUMAN_WEIGHT if recording.human else 1.0)
            variants = () if cache is None else cache.variants_of(recording.split)
            features = [cache.read(name, variant) for variant in variants] if cache is not None else []
            self.buckets[bucket].append(_Entry(mel, phones, motions, weight, recording.voice, features, sums.get(name)))
        self.buckets = {frames: entries for frames, entries in self.buckets.items() if entries}
        if not self.buckets:
            raise InputError(
                f"the '{split}' split of {dataset.folder} has no clip of at least {CROP_FRAMES[-1]} frames; "
                "expected speech to train on; prepare the dataset again"
            )
        self._voices: dict[str, list[VoiceSums]] = {}
        for entry in (entry for entries in self.buckets.values() for entry in entries):
            if entry.sums is not None:
                self._voices.setdefault(entry.voice, []).append(entry.sums)
        self._measure_std = self.voice_statistics()[1] if self._voices else np.zeros(0, np.float32)
        self._bucket_frames = list(self.buckets)
        total = np.array([sum(entry.weight for entry in self.buckets[frames]) for frames in self._bucket_frames])
        self._bucket_share = total / total.sum()
        self._entry_share = {
            frames: np.array([entry.weight for entry in entries]) / sum(entry.weight for entry in entries)
            for frames, entries in self.buckets.items()
        }

    def coefficient_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and standard deviation (K,) over all clips; coefficients that never move get a deviation of 0.01."""
        motions = [motion for entries in self.buckets.values() for entry in entries for _, _, motion, _ in entry.motions]
        count = sum(len(motion) for motion in motions)
        mean = sum(motion.sum(0, dtype=np.float64) for motion in motions) / count
        square = sum(np.square(motion.astype(np.float64)).sum(0) for motion in motions) / count
        std = np.sqrt(np.maximum(square - mean**2, 0.0))
        return mean.astype(np.float32), np.maximum(std, 0.01).astype(np.float32)

    def voice_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and standard deviation (M,) of the measures over the voices."""
        measures = np.stack([VoiceSums.total(parts).measures() for parts in self._voices.values()])
        return measures.mean(0).astype(np.float32), np.maximum(measures.std(0), 0.02).astype(np.float32)

    def crops(self, frames_in_batch: int) -> int:
        """Return how many crops the smallest batches of about `frames_in_batch` frames have: those of the longest crops."""
        return max(2, frames_in_batch // max(self.buckets))

    def batch(self, frames_in_batch: int, rng: np.random.Generator, augment: bool) -> Batch:
        """Draw a batch of about `frames_in_batch` frames; with `augment`, a part of the crops is played faster or slower."""
        frames = self._bucket_frames[rng.choice(len(self._bucket_frames), p=self._bucket_share)]
        entries = self.buckets[frames]
        count = max(2, frames_in_batch // frames)
        chosen = rng.choice(len(entries), size=count, p=self._entry_share[frames])
        mels, coefficients, phones, identities, matched, features, emotions = [], [], [], [], [], [], []
        # Of what frozen encoders add, and of what is read of a voice: a compact encoder's batches stay the same.
        draw, listen = rng.spawn(2)
        measures = []
        for index in chosen:
            entry = entries[index]
            own = [motion for motion in entry.motions if motion[1]]
            options = own if own and rng.random() < 0.4 else entry.motions
            identity, voice_matched, motion, spans = options[rng.integers(len(options))]
            available = len(entry.phones)
            speed = rng.uniform(*SPEED_RANGE) if augment and rng.random() < 0.4 else 1.0
            speed = min(speed, available / frames)
            span = frames * speed
            start = rng.integers(0, int(available - span) + 1)
            outputs = self._outputs_of(entry, draw, augment)
            if speed == 1.0:
                at = slice(start, start + frames)
                columns = slice(start * self.mels_per_frame, (start + frames) * self.mels_per_frame)
                if entry.mel is not None:
                    mels.append(entry.mel[columns].astype(np.float32))
                coefficients.append(motion[at].astype(np.float32))
                phones.append(entry.phones[at])
                if outputs is not None:
                    features.append(outputs[at].astype(np.float32))
            else:
                position = start + np.arange(frames) * speed
                coefficients.append(_interpolate(motion, position))
                phones.append(entry.phones[np.minimum(np.round(position).astype(int), available - 1)])
                if entry.mel is not None:
                    # Column j lies at (j + 0.5) / mels_per_frame - 0.5 frames: see log_mel.
                    column = (np.arange(frames * self.mels_per_frame) + 0.5) / self.mels_per_frame - 0.5
                    column = (start + column * speed + 0.5) * self.mels_per_frame - 0.5
                    mels.append(_interpolate(entry.mel, column))
                if outputs is not None:
                    features.append(_interpolate(outputs, position))
            emotions.append(strengths(spans, self._emotions, (start + np.arange(frames) * speed) / self._fps))
            identities.append(identity)
            matched.append(voice_matched)
            if entry.sums is not None:
                reading = self._listen(entry, listen).reading()
                if augment:  # few voices must not be learned by heart, and other microphones measure otherwise
                    reading = self._noisy(reading, MEASURE_NOISE, listen)
                measures.append(reading)
        return Batch(
            torch.from_numpy(np.stack(mels)) if mels else None,
            torch.from_numpy(np.stack(coefficients)),
            torch.tensor(identities),
            torch.tensor(matched),
            torch.from_numpy(np.stack(phones)),
            torch.from_numpy(np.stack(features)) if features else None,
            torch.from_numpy(np.stack(measures)) if measures else None,
            torch.from_numpy(np.stack(emotions)) if self._emotions else None,
        )

    def listenings(self, each: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return the measures (N, M + 1) of stretches of the voices' speech, and the identities (N,) who speak.

        Args:
            each: Number of stretches of an identity.
            rng: Generator.
        """
        spoken: dict[int, list[_Entry]] = {}
        for entry in (entry for entries in self.buckets.values() for entry in entries):
            for identity in {identity for identity, voice_matched, _, _ in entry.motions if voice_matched}:
                spoken.setdefault(identity, []).append(entry)
        readings, identities = [], []
        for identity, entries in sorted(spoken.items()):
            for index in rng.integers(len(entries), size=each):
                readings.append(self._noisy(self._listen(entries[index], rng).reading(), STRETCH_NOISE, rng))
                identities.append(identity)
        return torch.from_numpy(np.array(readings, np.float32)), torch.tensor(identities)

    def _noisy(self, reading: np.ndarray, deviations: float, rng: np.random.Generator) -> np.ndarray:
        """Return measures and log seconds (M + 1,) with noise on the measures."""
        reading[:-1] += deviations * self._measure_std * rng.normal(size=len(reading) - 1).astype(np.float32)
        return reading

    def _listen(self, entry: _Entry, rng: np.random.Generator) -> VoiceSums:
        """Return the sums of a recording and of others of its voice, until they last as long as an enrolment might."""
        assert entry.sums is not None
        seconds = float(np.exp(rng.uniform(*np.log(LISTENING))))
        total, others = entry.sums, self._voices[entry.voice]
        for index in rng.permutation(len(others)):
            if total.seconds >= seconds:
                break
            if others[index] is not entry.sums:
                total = VoiceSums.total([total, others[index]])
        return total

    def _outputs_of(self, entry: _Entry, rng: np.random.Generator, augment: bool) -> np.ndarray | None:
        """Return the encoder's outputs (T, W) of a recording or of one of its variants, with known phones in some."""
        if not entry.features:
            return None
        outputs = entry.features[int(rng.integers(len(entry.features))) if augment else 0]
        if augment and self._read_phones and rng.random() < self.known_phones:
            one_hot = np.eye(len(self._read_phones) + 1, dtype=np.float32)[:, :-1]
            known = smoothed_rows(one_hot[self._columns[entry.phones]])
            outputs = np.concatenate([outputs[: len(known), : -len(self._read_phones)], known.astype(np.float16)], 1)
        return outputs


def _interpolate(rows: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Return rows (N, C) linearly interpolated at fractional positions, held at the ends; float32."""
    return resample_rows(np.arange(len(rows)), rows, position)
