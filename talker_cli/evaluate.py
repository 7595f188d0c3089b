"""Measure a model on a prepared dataset's held-out clips: surface error, articulation, identity."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from talker_cli.animate import Animator, load_animator
from talker_cli.data.prepared import SAMPLE_RATE, SPLITS, Clip, Dataset
from talker_cli.errors import InputError
from talker_cli.metrics import Articulation, fdd, lip_gap, lve_per_frame, mve
from talker_cli.model.audio_encoder import log_mel
from talker_cli.rig import Rig

Generate = Callable[[np.ndarray, Clip], np.ndarray]  # (speech (S,), clip) -> coefficients (T, K)
OnClip = Callable[[str, int, int], None]


@dataclass
class Score:
    """One system's numbers over a split: LVE (m^2), MVE (m), mean |FDD| (m^2), and the articulation's shares."""

    system: str
    lve: float
    mve: float
    fdd: float
    articulation: dict[str, float]

    def row(self) -> dict[str, Any]:
        """Return a flat row for a table."""
        return {"system": self.system, "lve": self.lve, "mve": self.mve, "fdd": self.fdd, **self.articulation}


def loudness_coefficients(speech: np.ndarray, frames: int, fps: float, names: tuple[str, ...]) -> np.ndarray:
    """Return the baseline that opens the jaw with loudness: (T, K), only `jawOpen` moves.

    The level in decibels over 50 ms, from 40 dB under the recording's loudest to that loudest, opens the jaw from 0 to 0.35.
    """
    centre = np.arange(frames) / fps * SAMPLE_RATE
    half = int(0.025 * SAMPLE_RATE)
    energy = np.concatenate([[0.0], np.cumsum(np.square(speech, dtype=np.float64))])
    start = np.clip(centre - half, 0, len(speech)).astype(int)
    end = np.clip(centre + half, 0, len(speech)).astype(int)
    level = 10 * np.log10((energy[end] - energy[start]) / np.maximum(end - start, 1) + 1e-10)
    coefficients = np.zeros((frames, len(names)), dtype=np.float32)
    coefficients[:, names.index("jawOpen")] = 0.35 * np.clip((level - level.max() + 40) / 40, 0, 1)
    return coefficients


class Evaluation:
    """A split's clips, each with its own identity, and the systems' scores on them.

    Raises:
        InputError: the split has no clip.
    """

    def __init__(
        self, dataset: Dataset, split: str, *, human_only: bool = False, language: str | None = None, limit: int | None = None
    ) -> None:
        self.dataset = dataset
        chosen = []
        for clip in dataset.clips(split):
            recording = dataset.recordings[clip.recording]
            wanted = (recording.human or not human_only) and language in (None, recording.language)
            if clip.voice_matched and wanted:
                chosen.append(clip)
        if not chosen:
            raise InputError(
                f"found no such clip in the '{split}' split of {dataset.folder}; expected some to measure on; "
                f"choose another --split ({', '.join(SPLITS)}), voice or --language"
            )
        # Evenly spaced, so that a part of the split stands for all of it.
        count = min(limit or len(chosen), len(chosen))
        self.clips = [chosen[index * len(chosen) // count] for index in range(count)]
        self.fps = dataset.info.fps
        self._rigs = {name: dataset.rig.rig_of(name) for name in dataset.rig.identities}

    def rig(self, clip: Clip) -> Rig:
        """Return the rig of a clip's identity."""
        return self._rigs[clip.identity]

    def score(self, system: str, generate: Generate, on_clip: OnClip | None = None) -> Score:
        """Run a system over the clips and measure it against the truth."""
        errors, distances, deviations = [], [], []
        articulation = Articulation.empty()
        for index, clip in enumerate(self.clips):
            rig = self.rig(clip)
            predicted = rig.decode(generate(self.dataset.speech(clip.recording), clip))
            truth = rig.decode(self.dataset.coefficients(clip.name))
            errors.append(lve_per_frame(truth, predicted, rig.regions["lips"]))
            distances.append((mve(truth, predicted), len(truth)))
            deviations.append(abs(fdd(truth, predicted, rig.template, rig.regions["upper_face"])))
            gap = lip_gap(predicted, rig.lip_pairs)
            articulation.add(gap, self.dataset.recordings[clip.recording].phones, self.fps)
            if on_clip:
                on_clip(system, index + 1, len(self.clips))
        weight = np.array([frames for _, frames in distances])
        return Score(
            system,
            float(np.concatenate(errors).mean()),
            float((np.array([value for value, _ in distances]) * weight).sum() / weight.sum()),
            float(np.mean(deviations)),
            articulation.summary(),
        )

    def truth(self, speech: np.ndarray, clip: Clip) -> np.ndarray:
        """Return the truth itself: what the articulation measures say of it is what they can reach."""
        return self.dataset.coefficients(clip.name)

    def loudness(self, speech: np.ndarray, clip: Clip) -> np.ndarray:
        """Return the loudness baseline's coefficients."""
        frames = len(self.dataset.coefficients(clip.name))
        return loudness_coefficients(speech, frames, self.fps, self.dataset.rig.rig.names)

    def mean_face(self) -> Generate:
        """Return the system that holds the mean face of each identity's training clips."""
        means = {}
        for identity in self.dataset.info.identities:
            clips = [clip for clip in self.dataset.clips("train") if clip.identity == identity]
            if clips:
                means[identity] = np.concatenate([self.dataset.coefficients(clip.name) for clip in clips]).mean(
                    0, keepdims=True
                )
        return lambda speech, clip: np.repeat(means[clip.identity], len(self.dataset.coefficients(clip.name)), 0)

    def model(self, animator: Animator, seed: int = 0, identity: Callable[[Clip], str] | None = None) -> Generate:
        """Return the system that a loaded model is, with each clip's own identity or the one that `identity` gives."""
        return lambda speech, clip: animator.coefficients(speech, identity(clip) if identity else clip.identity, seed=seed)

    def retrieval(self, animator: Animator) -> float:
        """Return the share of clips whose speech, read by the personalizer, lies nearest to its own identity (top-1)."""
        network = animator.network
        hits = []
        for clip in self.clips:
            speech = torch.from_numpy(self.dataset.speech(clip.recording))[None].to(animator.device)
            frames = max(1, int(speech.shape[1] * self.fps / SAMPLE_RATE))
            with torch.inference_mode():
                style = network.personalizer.read(log_mel(speech, frames, network.config))
                nearest = int(network.personalizer.similarity(style).argmax())
            hits.append(network.config.identities[nearest] == clip.identity)
        return float(np.mean(hits))


def evaluate(
    model: Path,
    dataset_folder: Path,
    split: str,
    *,
    human_only: bool = False,
    language: str | None = None,
    limit: int | None = None,
    device: str = "auto",
    seed: int = 0,
    on_clip: OnClip | None = None,
) -> dict[str, Any]:
    """Measure a model folder against the baselines and its own teacher.

    Args:
        model: folder with teacher and student.
        dataset_folder: a prepared dataset of the same rig.
        split: "validation", "test" or "test_voice".
        human_only: leave synthetic voices out.
        language: ISO 639-1 code of the recordings to measure on.
        limit: measure on so many clips, evenly spaced.
        device: "auto", "cpu" or "cuda".
        seed: of the noise.
        on_clip: called after each clip with (system, clips done, clips).

    Returns:
        `scores` (rows), `retrieval` (top-1 and chance), `wrong_identity` (the student's LVE with every other identity).

    Raises:
        TalkerError: the model or the dataset cannot be used.
    """
    evaluation = Evaluation(Dataset(dataset_folder), split, human_only=human_only, language=language, limit=limit)
    student, full = (load_animator(model, steps, device) for steps in ("8", "full"))
    eight = Animator(full.network, 8, full.device)
    systems: dict[str, Generate] = {
        "truth": evaluation.truth,
        "mean face": evaluation.mean_face(),
        "loudness": evaluation.loudness,
        "student, 8 steps": evaluation.model(student, seed),
        "teacher, DDIM 8 steps": evaluation.model(eight, seed),
        "teacher, DDPM 256 steps": evaluation.model(full, seed),
    }
    scores = [evaluation.score(name, generate, on_clip) for name, generate in systems.items()]
    names = evaluation.dataset.info.identities
    wrong = []
    for shift in range(1, len(names)):

        def other(clip: Clip, shift: int = shift) -> str:
            return names[(names.index(clip.identity) + shift) % len(names)]

        wrong.append(evaluation.score("student, wrong identity", evaluation.model(student, seed, other), on_clip).lve)
    return {
        "split": split,
        "human_only": human_only,
        "language": language,
        "clips": len(evaluation.clips),
        "seconds": sum(len(evaluation.dataset.coefficients(clip.name)) for clip in evaluation.clips) / evaluation.fps,
        "scores": [score.row() for score in scores],
        "retrieval": {"top1": evaluation.retrieval(student), "chance": 1 / len(names)},
        "wrong_identity": {"lve_mean": float(np.mean(wrong)), "lve_least": float(np.min(wrong))},
    }
