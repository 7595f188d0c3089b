"""Motions against captured faces, in millimetres on the built-in head: openings, closures, timing, speed, blinks.

Truth and prediction are coefficients of the same head, measured at the same bound points: the gap over nine inner-lip pairs,
the width between the inner corners, the jaw from chin to bridge of the nose, the height of the lids.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.interpolate import interp1d
from scipy.signal import welch

from talker_cli.animate.animator import Animator, load_animator
from talker_cli.capture import landmarks as marks
from talker_cli.capture.fit import LandmarkModel
from talker_cli.corpus.articulate.articulation import articulate
from talker_cli.corpus.articulate.prosody import measure_prosody
from talker_cli.corpus.articulate.styles import Style
from talker_cli.data.dataset import Clip, Dataset
from talker_cli.errors import InputError
from talker_cli.evaluate.model import loudness_coefficients
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.metrics import SILENCE, Phones
from talker_cli.model.diffusion import noise_seed
from talker_cli.rig import Rig

RATE = 100.0  # samples a second of all measures
SHUT = 1.0  # mm: lips nearer than this are shut
LAG = 0.3  # seconds within which the best lag is sought
OPENS = 2.0  # mm: the mouth is open
MARGIN = 0.1  # seconds about the spoken part of a clip, within which it is measured
RESAMPLES, LEVEL = 1000, 0.95
CURVES = ("gap", "width", "jaw")
Generate = Callable[[np.ndarray, Clip, Phones], tuple[np.ndarray, float]]  # (speech, clip, phones) -> coefficients, fps


class FaceMeasures:
    """What is measured of a face's coefficients."""

    def __init__(self, rig: Rig) -> None:
        self.model = LandmarkModel(rig, range(478))

    def __call__(self, coefficients: np.ndarray, fps: float, seconds: float) -> dict[str, np.ndarray]:
        """Return gap, width, jaw and lids in mm, 100 times a second over `seconds`, of coefficients (T, 52)."""
        model = self.model
        points = model.rest + np.einsum("pdk,tk->tpd", model.basis, coefficients.astype(np.float64))
        left, right = (model.index[number] for number in marks.MOUTH_CORNERS)
        measured = {
            "gap": model.gap(points),
            "width": np.linalg.norm(points[:, left] - points[:, right], axis=1),
            "jaw": points[:, model.index[marks.BRIDGE], 1] - points[:, model.index[marks.CHIN], 1],
            "lids": model.lids(points),
        }
        times = np.arange(int(seconds * RATE)) / RATE
        frames = np.arange(len(coefficients)) / fps
        return {name: _resampled(frames, 1e3 * value, times) for name, value in measured.items()}


def _resampled(frames: np.ndarray, values: np.ndarray, times: np.ndarray) -> np.ndarray:
    ends = (values[0], values[-1])
    return np.asarray(interp1d(frames, values, kind="cubic", bounds_error=False, fill_value=ends)(times))


def lagged(truth: np.ndarray, made: np.ndarray) -> tuple[float, float, float]:
    """Return Pearson's r at lag 0, the largest r within 0.3 s, and its lag in seconds: positive where `made` comes later.

    A curve that does not move has r = 0 and no lag: NaN.
    """
    if np.ptp(made) < 1e-9 or np.ptp(truth) < 1e-9:
        return 0.0, 0.0, np.nan
    shifts = range(-round(LAG * RATE), round(LAG * RATE) + 1)
    found = {}
    for shift in shifts:
        early, late = max(0, -shift), max(0, shift)
        found[shift] = _pearson(truth[early : len(truth) - late], made[late : len(made) - early])
    best = max(found, key=lambda shift: found[shift])
    return found[0], found[best], best / RATE


def _pearson(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt(np.square(one).sum() * np.square(other).sum()))
    return float(one @ other) / size if size > 1e-9 else 0.0


def fast_edge(values: np.ndarray) -> float:
    """Return the frequency, Hz, under which 95 % of a curve's power between 0.3 and 12 Hz lies."""
    frequency, power = welch(values - values.mean(), RATE, nperseg=min(len(values), int(4 * RATE)))
    inside = (frequency > 0.3) & (frequency <= 12.0)
    total = np.cumsum(power[inside])
    return float(frequency[inside][np.searchsorted(total, 0.95 * total[-1])]) if total[-1] > 1e-12 else 0.0


@dataclass
class ClipScore:
    """One clip of one system: means can be taken over clips, counts can be added.

    Args:
        values: Name to number, NaN where a clip has none.
        shut: Frames shut in both, in the truth, in the prediction, and all frames.
        by_phone: Symbol to (sum of the truth's gap, sum of the prediction's, count), mm at each phone's middle.
    """

    values: dict[str, float]
    shut: np.ndarray
    by_phone: dict[str, np.ndarray] = field(default_factory=dict)


def score(truth: dict[str, np.ndarray], made: dict[str, np.ndarray], phones: Phones) -> ClipScore:
    """Measure a prediction against a captured clip; both from `FaceMeasures` at the same times."""
    values: dict[str, float] = {}
    span = _spoken(phones, len(truth["gap"]))
    for name in CURVES:
        one, other = truth[name][span], made[name][span]
        values[f"{name}_r"], values[f"{name}_best_r"], values[f"{name}_lag"] = lagged(one, other)
        values[f"{name}_error"] = float(np.abs(one - other).mean())
        values[f"{name}_edge"] = fast_edge(other)
    (first, last), (own_first, own_last) = _opening(truth["gap"]), _opening(made["gap"])
    values["opens_late"], values["closes_late"] = own_first - first, own_last - last
    here, there = truth["gap"][span] < SHUT, made["gap"][span] < SHUT
    shut = np.array([(here & there).sum(), here.sum(), there.sum(), len(here)], np.float64)
    by_phone: dict[str, np.ndarray] = {}
    for symbol, start, end in phones:
        middle = int((start + end) / 2 * RATE)
        if symbol != SILENCE and middle < len(truth["gap"]):
            row = np.array([truth["gap"][middle], made["gap"][middle], 1.0])
            by_phone[symbol] = by_phone.get(symbol, np.zeros(3)) + row
    return ClipScore(values, shut, by_phone)


def _spoken(phones: Phones, count: int) -> slice:
    """Return the samples from a tenth of a second before the first sound to one after the last; all without phones."""
    sounds = [(start, end) for symbol, start, end in phones if symbol != SILENCE]
    if not sounds:
        return slice(0, count)
    return slice(max(0, int((sounds[0][0] - MARGIN) * RATE)), min(count, int((sounds[-1][1] + MARGIN) * RATE)))


def _opening(gap: np.ndarray) -> tuple[float, float]:
    """Return when the mouth first opens and last closes, seconds; NaN where it stays shut."""
    where = np.flatnonzero(gap > OPENS)
    return (where[0] / RATE, where[-1] / RATE) if len(where) else (np.nan, np.nan)


@dataclass(frozen=True)
class CapturedReport:
    """What systems do against captured clips.

    Args:
        systems: Title to its clips' scores, in the order of the clips.
        notes: What was measured on.
    """

    systems: dict[str, list[ClipScore]]
    notes: dict[str, Any]

    def table(self) -> dict[str, dict[str, tuple[float, float, float]]]:
        """Return system -> measure -> (estimate, lower, upper): means over clips, with 95 % bootstrap intervals over clips."""
        count = len(next(iter(self.systems.values())))
        draws = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
        return {title: self._row(scores, draws) for title, scores in self.systems.items()}

    def _row(self, scores: list[ClipScore], draws: np.ndarray) -> dict[str, tuple[float, float, float]]:
        row = {}
        for name in scores[0].values:
            column = np.array([score.values[name] for score in scores])
            row[name] = _interval(float(np.nanmean(column)) if np.isfinite(column).any() else np.nan, _means(column[draws]))
        shut = np.stack([score.shut for score in scores])
        for name, top, below in (("shut_recall", 0, 1), ("shut_precision", 0, 2), ("shut_share", 2, 3)):
            with np.errstate(invalid="ignore", divide="ignore"):
                drawn = shut[draws].sum(1)
                row[name] = _interval(float(shut[:, top].sum() / shut[:, below].sum()), drawn[:, top] / drawn[:, below])
        return row

    def by_phone(self) -> dict[str, dict[str, float]]:
        """Return phone -> mean gap in mm at its middle: captured, and of each system, with the count."""
        table: dict[str, dict[str, float]] = {}
        for title, scores in self.systems.items():
            total: dict[str, np.ndarray] = {}
            for each in scores:
                for symbol, sums in each.by_phone.items():
                    total[symbol] = total.get(symbol, np.zeros(3)) + sums
            for symbol, (true, made, count) in sorted(total.items()):
                row = table.setdefault(symbol, {"count": count, "captured": round(true / count, 2)})
                row[title] = round(made / count, 2)
        return table

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON-able values."""
        systems = {
            title: {name: [round(value, 4) if np.isfinite(value) else None for value in values] for name, values in row.items()}
            for title, row in self.table().items()
        }
        return {**self.notes, "level": LEVEL, "systems": systems, "gap_by_phone_mm": self.by_phone()}


def _means(drawn: np.ndarray) -> np.ndarray:
    known = np.isfinite(drawn)
    with np.errstate(invalid="ignore"):
        return np.where(known, drawn, 0).sum(1) / known.sum(1)


def _interval(estimate: float, drawn: np.ndarray) -> tuple[float, float, float]:
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return estimate, np.nan, np.nan
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return estimate, float(low), float(high)


def evaluate_captured(
    dataset_folder: Path,
    split: str,
    systems: dict[str, Generate],
    *,
    limit: int | None = None,
    on_motion: Callable[[int, int], None] = lambda done, total: None,
) -> CapturedReport:
    """Measure systems and baselines on captured clips.

    Baselines: the capture itself, loudness, another sentence's motion, the mean, and the rules of the corpus given the phones.

    Args:
        dataset_folder: Prepared dataset of captures on the built-in head, for example of `talker preprocess grid`.
        split: One of the dataset's splits.
        systems: Title to a function that makes the motion.
        limit: Number of clips, evenly spaced; None for all.
        on_motion: Callback with (motions done, motions).

    Raises:
        InputError: the dataset has no such clips.
    """
    dataset = Dataset(dataset_folder)
    clips = dataset.clips(split)
    if not clips:
        raise InputError(f"{dataset_folder} has no clips in the split '{split}'; choose another", field="split")
    count = min(limit or len(clips), len(clips))
    clips = [clips[index * len(clips) // count] for index in range(count)]
    measures, fps, names = FaceMeasures(dataset.rig.rig), dataset.info.fps, dataset.rig.rig.names
    training = [dataset.coefficients(clip.name) for clip in (dataset.clips("train") or clips)[:100]]
    mean = np.concatenate(training).mean(0, keepdims=True)

    def another(speech: np.ndarray, clip: Clip, phones: Phones) -> tuple[np.ndarray, float]:
        return dataset.coefficients(clips[(clips.index(clip) + 1) % len(clips)].name), fps

    def rules(speech: np.ndarray, clip: Clip, phones: Phones) -> tuple[np.ndarray, float]:
        rate = 30.0
        return articulate(tuple(phones), len(speech), Style(), measure_prosody(speech), clip.name, rate), rate

    everything: dict[str, Generate] = {
        "capture": lambda speech, clip, phones: (dataset.coefficients(clip.name), fps),
        "mean": lambda speech, clip, phones: (np.repeat(mean, dataset.frames(clip.name), 0), fps),
        "another sentence": another,
        "loudness": lambda speech, clip, phones: (loudness_coefficients(speech, dataset.frames(clip.name), fps, names), fps),
        "rules": rules,
        **systems,
    }
    if not all(dataset.recordings[clip.recording].phones for clip in clips):
        clips = [clip for clip in clips if dataset.recordings[clip.recording].phones] or clips
    scores: dict[str, list[ClipScore]] = {title: [] for title in everything}
    for number, clip in enumerate(clips):
        speech, phones = dataset.speech(clip.recording), dataset.recordings[clip.recording].phones
        seconds = min(dataset.frames(clip.name) / fps, len(speech) / SAMPLE_RATE)
        truth = measures(dataset.coefficients(clip.name), fps, seconds)
        for title, generate in everything.items():
            if title == "rules" and not phones:
                continue
            made, rate = generate(speech, clip, phones)
            scores[title].append(score(truth, measures(made, rate, seconds), phones))
        on_motion(number + 1, len(clips))
    notes = {"dataset": str(dataset_folder), "source": dataset.info.source, "split": split, "clips": len(clips)}
    return CapturedReport({title: rows for title, rows in scores.items() if rows}, notes)


def systems_of(model: Path, steps: Sequence[str], identities: Sequence[str], device: str, seed: int) -> dict[str, Generate]:
    """Return a model's samplers as systems, one for each sampler and identity.

    Args:
        model: Model folder.
        steps: As `animate --steps`.
        identities: Names; several give a system each.
        device: "auto", "cpu" or "cuda".
        seed: Seed of the noise.

    Raises:
        ModelError: the weights are missing or damaged.
    """
    found: dict[str, Generate] = {}
    for each in steps:
        animator = load_animator(model, each, device)
        for identity in identities:
            found[f"{animator.sampler}, {identity}"] = partial(_animated, animator, identity, seed)
    return found


def _animated(
    animator: Animator, identity: str, seed: int, speech: np.ndarray, clip: Clip, phones: Phones
) -> tuple[np.ndarray, float]:
    made = animator.coefficients(speech, identity, seed=noise_seed(seed, clip.recording))
    return np.clip(made, 0.0, 1.0), animator.network.config.fps
