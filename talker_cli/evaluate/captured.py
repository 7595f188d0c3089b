"""Motions against captured faces, in millimetres and on equal terms for any system: scores of clips, and their report.

Every mean over clips is a ratio of two sums over them, so that one bootstrap serves all measures.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.evaluate.curve_metrics import (
    HALF,
    blinks,
    lagged,
    lip_error,
    lip_speed,
    mean_and_best_error,
    power_edge,
    temporal_misalignment,
)
from talker_cli.evaluate.face_measures import RATE, Curves
from talker_cli.formats.files import atomic_path
from talker_cli.metrics import SILENCE, Phones

SHUT = 1.0  # mm: lips nearer than this are shut
OPENS = 2.0  # mm: the mouth is open
MARGIN = 0.1  # seconds about the spoken part of a clip, within which the lips are measured
RESAMPLES, LEVEL = 1000, 0.95
CURVES = ("gap", "width", "jaw")
CAPTURE = "capture"  # the system that gives the captured motion itself
Terms = tuple[float, float]  # numerator, denominator


@dataclass(frozen=True)
class Measure:
    """A measure: its key in JSON, its unit, and what it means."""

    key: str
    unit: str
    meaning: str


def _of_curves() -> list[Measure]:
    rows = []
    for name, what in (("gap", "mouth gap"), ("width", "mouth width"), ("jaw", "jaw opening")):
        rows += [
            Measure(f"{name}_r", "", f"{what}: Pearson's r with the captured one"),
            Measure(f"{name}_best_r", "", f"{what}: largest r at a lag of up to 0.3 s"),
            Measure(f"{name}_lag_s", "s", f"{what}: that lag; positive where the prediction comes later"),
            Measure(f"{name}_error_mm", "mm", f"{what}: mean absolute difference"),
            Measure(f"{name}_f95_hz", "Hz", f"{what}: frequency under which 95 % of its power lies"),
        ]
    return rows


MEASURES = (
    *_of_curves(),
    Measure("lip_error_mm", "mm", "largest distance over the inner lips' points, mean over frames"),
    Measure("mean_estimate_error_mm", "mm", "lip error of the mean of a clip's samples"),
    Measure("coverage_error_mm", "mm", "lip error of the best of a clip's samples"),
    Measure("mtm_ms", "ms", "mean temporal misalignment of the mouth gap's extrema"),
    Measure("slcc", "", "correlation over clips of the speech's level and the lips' speed"),
    Measure("shut_share", "", "share of frames whose mouth gap is under 1 mm"),
    Measure("shut_precision", "", "share of those that are shut in the captured clip too"),
    Measure("shut_recall", "", "share of the captured clip's shut frames that are shut"),
    Measure("first_opening_s", "s", "first opening (2 mm), after the first sound"),
    Measure("first_opening_error_s", "s", "the same, after the captured one"),
    Measure("last_closure_s", "s", "last closure, after the last sound"),
    Measure("last_closure_error_s", "s", "the same, after the captured one"),
    Measure("blinks_per_minute", "1/min", "blinks: falls of the lids under 0.7 of the open height, up to 0.6 s"),
    Measure("blink_length_s", "s", "their length"),
    Measure("half_blinks_share", "", "share of the blinks that stop over half of the open height"),
    Measure("brow_std_mm", "mm", "height of the brows: std within a clip"),
    Measure("gaze_pitch_std_deg", "°", "gaze up and down: std within a clip"),
    Measure("gaze_yaw_std_deg", "°", "gaze to the sides: std within a clip"),
    Measure("head_pitch_std_deg", "°", "head, pitch: std within a clip"),
    Measure("head_yaw_std_deg", "°", "head, yaw: std within a clip"),
    Measure("head_roll_std_deg", "°", "head, roll: std within a clip"),
)


@dataclass
class ClipScore:
    """One clip of one system.

    Args:
        clip: Name of the clip.
        identity: Who was captured.
        terms: Measure to numerator and denominator; their ratio is the clip's own value.
        by_phone: Phone to (sum of the captured gap, sum of the prediction's, count), mm at each phone's middle.
        level: Root mean square of the speech.
        lip_speed: Lips' intensity, mm/s.
    """

    clip: str
    identity: str
    terms: dict[str, Terms]
    by_phone: dict[str, np.ndarray] = field(default_factory=dict)
    level: float = float("nan")
    lip_speed: float = float("nan")

    def value(self, key: str) -> float:
        """Return the clip's value of a measure; NaN where it has none."""
        numerator, denominator = self.terms.get(key, (0.0, 0.0))
        return numerator / denominator if denominator else float("nan")


def score(truth: Curves, samples: Sequence[Curves], phones: Phones, clip: str = "", identity: str = "") -> ClipScore:
    """Measure the samples of one system against a captured clip, all of them curves at RATE over the same seconds."""
    span = _spoken(phones, len(truth["gap"]))
    total: dict[str, Terms] = {}
    by_phone: dict[str, np.ndarray] = {}
    for made in samples:
        for key, (numerator, denominator) in _terms(truth, made, phones, span).items():
            if np.isfinite(numerator):
                before = total.get(key, (0.0, 0.0))
                total[key] = (before[0] + numerator, before[1] + denominator)
        for symbol, row in _at_phones(truth["gap"], made["gap"], phones).items():
            by_phone[symbol] = by_phone.get(symbol, np.zeros(3)) + row
    lips = [made["lips"][span] for made in samples]
    if len(lips) > 1:
        mean, best = mean_and_best_error(truth["lips"][span], lips)
        total |= {"mean_estimate_error_mm": (mean, 1.0), "coverage_error_mm": (best, 1.0)}
    return ClipScore(clip, identity, total, by_phone, lip_speed=float(np.mean([lip_speed(each) for each in lips])))


def _terms(truth: Curves, made: Curves, phones: Phones, span: slice) -> dict[str, Terms]:
    """Return each measure's numerator and denominator; a numerator that is not finite stands for none."""
    values: dict[str, float] = {}
    for name in (name for name in CURVES if name in made and name in truth):
        one, other = truth[name][span], made[name][span]
        values[f"{name}_r"], values[f"{name}_best_r"], values[f"{name}_lag_s"] = lagged(one, other)
        values[f"{name}_error_mm"] = float(np.abs(one - other).mean())
        values[f"{name}_f95_hz"] = power_edge(other)
    values["lip_error_mm"] = lip_error(truth["lips"][span], made["lips"][span])
    values["mtm_ms"] = temporal_misalignment(truth["gap"][span], made["gap"][span])
    begins, ends = _sound(phones, len(truth["gap"]))
    (first, last), (own_first, own_last) = _opening(truth["gap"]), _opening(made["gap"])
    values["first_opening_s"], values["last_closure_s"] = own_first - begins, own_last - ends
    values["first_opening_error_s"], values["last_closure_error_s"] = own_first - first, own_last - last
    for name, columns in (("gaze", ("pitch", "yaw")), ("head", ("pitch", "yaw", "roll"))):
        if name in made:
            values |= {f"{name}_{axis}_std_deg": float(made[name][:, i].std()) for i, axis in enumerate(columns)}
    if "brows" in made:
        values["brow_std_mm"] = float(made["brows"].std())
    terms = {key: (value, 1.0) for key, value in values.items()}
    here, there = truth["gap"][span] < SHUT, made["gap"][span] < SHUT
    both = float((here & there).sum())
    terms |= {
        "shut_share": (float(there.sum()), float(len(here))),
        "shut_precision": (both, float(there.sum())),
        "shut_recall": (both, float(here.sum())),
    }
    if "lids" in made:
        found = blinks(made["lids"])
        terms |= {
            "blinks_per_minute": (float(len(found)), len(made["lids"]) / RATE / 60),
            "blink_length_s": (sum(blink.seconds for blink in found), float(len(found))),
            "half_blinks_share": (float(sum(blink.least > HALF for blink in found)), float(len(found))),
        }
    return terms


def _at_phones(truth: np.ndarray, made: np.ndarray, phones: Phones) -> dict[str, np.ndarray]:
    rows: dict[str, np.ndarray] = {}
    for symbol, start, end in phones:
        middle = int((start + end) / 2 * RATE)
        if symbol != SILENCE and middle < len(truth):
            rows[symbol] = rows.get(symbol, np.zeros(3)) + np.array([truth[middle], made[middle], 1.0])
    return rows


def _sound(phones: Phones, count: int) -> tuple[float, float]:
    """Return when the first sound begins and the last ends, seconds; the whole clip without phones."""
    sounds = [(start, end) for symbol, start, end in phones if symbol != SILENCE]
    return (sounds[0][0], sounds[-1][1]) if sounds else (0.0, count / RATE)


def _spoken(phones: Phones, count: int) -> slice:
    """Return the samples from a tenth of a second before the first sound to one after the last."""
    begins, ends = _sound(phones, count)
    return slice(max(0, int((begins - MARGIN) * RATE)), min(count, int((ends + MARGIN) * RATE)))


def _opening(gap: np.ndarray) -> tuple[float, float]:
    """Return when the mouth first opens and last closes, seconds; NaN where it stays shut."""
    where = np.flatnonzero(gap > OPENS)
    return (where[0] / RATE, where[-1] / RATE) if len(where) else (np.nan, np.nan)


Row = dict[str, tuple[float, float, float]]  # measure -> estimate, lower and upper bound; NaN where there is none


@dataclass(frozen=True)
class CapturedReport:
    """What systems do against captured clips.

    Args:
        systems: Title to its clips' scores, in the order of the clips.
        about: What was measured on.
        remarks: Notes that the user should read.
    """

    systems: dict[str, list[ClipScore]]
    about: dict[str, Any]
    remarks: tuple[str, ...] = ()

    @cached_property
    def table(self) -> dict[str, Row]:
        """System -> measure -> (estimate, lower, upper): over all clips, with 95 % bootstrap intervals over clips."""
        count = len(next(iter(self.systems.values())))
        draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(np.float64)
        return {title: _row(scores, draws) for title, scores in self.systems.items()}

    def by_phone(self) -> dict[str, dict[str, float]]:
        """Return phone -> mean gap in mm at its middle: captured, and of each system, with the count."""
        table: dict[str, dict[str, float]] = {}
        for title, scores in self.systems.items():
            if title == CAPTURE:
                continue
            total: dict[str, np.ndarray] = {}
            for each in scores:
                for symbol, sums in each.by_phone.items():
                    total[symbol] = total.get(symbol, np.zeros(3)) + sums
            for symbol, (true, made, count) in sorted(total.items()):
                row = table.setdefault(symbol, {"count": count, "captured": round(true / count, 2)})
                row["count"] = min(row["count"], count)  # a system with several samples counts each phone as often
                row[title] = round(made / count, 2)
        return table

    @cached_property
    def measured(self) -> list[str]:
        """The measures that some system has, in the table's order."""
        return [measure.key for measure in MEASURES if any(measure.key in row for row in self.table.values())]

    def as_json(self) -> dict[str, Any]:
        """Return everything but the single clips, ready for JSON; what is not known is null."""
        systems = {
            title: {key: [round(value, 4) if np.isfinite(value) else None for value in values] for key, values in row.items()}
            for title, row in self.table.items()
        }
        return {
            **self.about,
            "interval": {"level": LEVEL, "resamples": RESAMPLES, "of": "clips"},
            "measures": {
                each.key: {"unit": each.unit, "meaning": each.meaning} for each in MEASURES if each.key in self.measured
            },
            "systems": systems,
            "gap_by_phone_mm": self.by_phone(),
        }

    def write_csv(self, path: Path) -> None:
        """Write a line for each system and clip.

        Raises:
            OutputError: the place cannot be written.
        """
        keys = [key for key in self.measured if key != "slcc"]
        with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(["system", "clip", "identity", "speech_rms", "lip_speed_mm_per_s", *keys])
            for title, scores in self.systems.items():
                for each in scores:
                    values = [each.level, each.lip_speed, *(each.value(key) for key in keys)]
                    writer.writerow([title, each.clip, each.identity, *("" if np.isnan(v) else f"{v:.6g}" for v in values)])


def _row(scores: list[ClipScore], draws: np.ndarray) -> Row:
    """Return a system's measures; `draws` (R, N) is how often each resample takes each clip."""
    row: Row = {}
    for measure in MEASURES:
        terms = np.array([score.terms.get(measure.key, (0.0, 0.0)) for score in scores])
        if measure.key == "slcc":
            if len(scores) > 2:
                row["slcc"] = _slcc(scores, draws)
        elif terms[:, 1].any():
            row[measure.key] = _interval(*(_ratio(weights @ terms) for weights in (np.ones((1, len(scores))), draws)))
    return row


def _ratio(sums: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[:, 0] / sums[:, 1])


def _slcc(scores: list[ClipScore], draws: np.ndarray) -> tuple[float, float, float]:
    """Return the correlation over clips of the speech's level and the lips' speed, each as a z-score of its identity's."""
    pairs = np.array([(score.level, score.lip_speed) for score in scores])
    people = np.array([score.identity for score in scores])
    for person in np.unique(people):
        own = pairs[people == person]
        with np.errstate(invalid="ignore", divide="ignore"):
            pairs[people == person] = (own - own.mean(0)) / np.where(own.std(0) > 1e-9, own.std(0), np.nan)
    x, y = np.nan_to_num(pairs).T
    moments = np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], 1)

    def correlation(sums: np.ndarray) -> np.ndarray:
        n, sx, sy, sxx, syy, sxy = sums.T
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((n * sxy - sx * sy) / np.sqrt((n * sxx - sx**2) * (n * syy - sy**2)))

    return _interval(*(correlation(weights @ moments) for weights in (np.ones((1, len(x))), draws)))


def _interval(estimate: np.ndarray, drawn: np.ndarray) -> tuple[float, float, float]:
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return float(estimate[0]), float("nan"), float("nan")
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(estimate[0]), float(low), float(high)
