"""Measurements of motions, one row each, and their means, confidence intervals and tables.

An output is one motion for one sequence, under one condition (the identity asked for), one of several samples.
Every mean over outputs is a ratio of two sums over them, so that one bootstrap serves all metrics.
"""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.formats.files import atomic_path
from talker_cli.metrics import Articulation, blendshape_error, blendshape_fdd, fdd, lip_gap, lip_gap_error, lve_per_frame

RESAMPLES = 2000
LEVEL = 0.95
BOOTSTRAP_SEED = 0
LVE_VARIANTS = ("codetalker", "diffspeaker", "imitator")
Terms = tuple[float, float]  # numerator, denominator


@dataclass(frozen=True)
class SurfaceErrors:
    """The parts of a face that metrics need.

    Args:
        template: (V, 3) neutral face.
        lips, upper_face: (V,) bool.
        lip_pairs: (P, 2) inner-lip vertices that meet, or None if unknown.
    """

    template: np.ndarray
    lips: np.ndarray
    upper_face: np.ndarray
    lip_pairs: np.ndarray | None = None


@dataclass
class Output:
    """One motion that was measured.

    Args:
        system: Name of the system that made it.
        sequence: Name of the truth.
        identity: Identity of the truth.
        condition: Identity that the system was asked for; empty if it knows none.
        sample: Number of the sample, from 0.
        frames: Number of frames compared.
        values: Measured values, see SURFACE_METRICS and BLENDSHAPE_METRICS.
        articulation: Counts at the sounds that show, where the phones are known.
    """

    system: str
    sequence: str
    identity: str
    condition: str
    sample: int
    frames: int
    values: dict[str, float]
    articulation: Articulation = field(default_factory=Articulation.empty)


def measure_surface(truth: np.ndarray, prediction: np.ndarray, surface: SurfaceErrors) -> dict[str, float]:
    """Return the values of one output against its truth, (T, V, 3) each; `mve` is not among them."""
    errors = lve_per_frame(truth, prediction, surface.lips)
    values = {
        "lve_squared": float(errors.mean()),
        "lve_distance": float(np.sqrt(errors).mean()),
        "fdd": fdd(truth, prediction, surface.template, surface.upper_face),
    }
    if surface.lip_pairs is not None:
        gaps = (lip_gap(vertices, surface.template, surface.lip_pairs) for vertices in (truth, prediction))
        values["gap_error"] = lip_gap_error(*gaps)
    return values


def measure_blendshapes(truth: np.ndarray, prediction: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Return the values of one output's coefficients (T, K) against the truth's; `names` are ARKit's."""
    mouth = np.array([name.startswith(("jaw", "mouth", "tongue")) for name in names])
    upper = np.array([name.startswith(("brow", "eye")) for name in names])
    return {
        "lve": blendshape_error(truth[:, mouth], prediction[:, mouth]),
        "mve": blendshape_error(truth, prediction),
        "fdd": blendshape_fdd(truth[:, upper], prediction[:, upper]),
    }


@dataclass(frozen=True)
class Metric:
    """A metric over many outputs.

    Args:
        key: Name in JSON.
        title: Name in tables.
        unit: "length", "length^2", "mm" or "" for a plain number.
        formula: The formula in words.
        terms: Function from an output to its part of numerator and denominator; (0, 0) if it lacks the value.
    """

    key: str
    title: str
    unit: str
    formula: str
    terms: Callable[[Output], Terms]


def _of(value: str, *, by_frames: bool = False, change: Callable[[float], float] = float) -> Callable[[Output], Terms]:
    def terms(output: Output) -> Terms:
        if value not in output.values:
            return 0.0, 0.0
        weight = output.frames if by_frames else 1
        return weight * change(output.values[value]), weight

    return terms


def _share(name: str) -> Callable[[Output], Terms]:
    def terms(output: Output) -> Terms:
        counted = getattr(output.articulation, name)
        return sum(counted), len(counted)

    return terms


DIVERSITY = Metric(
    "diversity", "diversity", "length",
    "FaceDiffuser: mean |p_i - p_j| over vertices, frames and pairs of a sequence's outputs, then mean over sequences",
    _of("diversity"),
)  # fmt: skip

BLINKS = Metric(
    "blinks", "blinks/min", "", "how often a minute eyeBlinkLeft rises over 0.5, over all frames together",
    _of("blinks_a_minute", by_frames=True),
)  # fmt: skip

SURFACE_METRICS = (
    Metric(
        "lve_codetalker", "LVE", "length^2", "CodeTalker: max over the lips of |p - g|^2, mean over all frames together",
        _of("lve_squared", by_frames=True),
    ),
    Metric(
        "lve_diffspeaker", "LVE", "length^2",
        "DiffSpeaker: max over the lips of |p - g|^2, mean over a sequence's frames, then over sequences", _of("lve_squared"),
    ),
    Metric(
        "lve_imitator", "LVE", "mm",
        "Imitator: 1000 max over the lips of |p - g|, mean over a sequence's frames, then over sequences",
        _of("lve_distance", change=lambda value: 1000 * value),
    ),
    Metric("mve", "MVE", "length", "FaceDiffuser: |p - g|, mean over all vertices and frames", _of("mve", by_frames=True)),
    Metric(
        "fdd", "FDD", "length^2",
        "CodeTalker: std over time of |offset|^2, mean over the upper face, truth minus prediction; mean over sequences",
        _of("fdd"),
    ),
    Metric("abs_fdd", "|FDD|", "length^2", "the same, mean of absolute values over sequences", _of("fdd", change=abs)),
    Metric("gap_error", "mouth gap error", "length", "|gap - true gap|, mean over frames", _of("gap_error", by_frames=True)),
    DIVERSITY,
    BLINKS,
)  # fmt: skip

BLENDSHAPE_METRICS = (
    Metric(
        "lve", "LVE", "", "FaceDiffuser: |p - g| over jaw, mouth and tongue coefficients, mean over frames, then sequences",
        _of("lve"),
    ),
    Metric("mve", "MVE", "", "FaceDiffuser: |p - g| over all coefficients, mean over frames, then sequences", _of("mve")),
    Metric(
        "fdd", "FDD", "",
        "FaceDiffuser: std over time of the sum of squares of brow and eye coefficients, truth minus prediction; mean over "
        "sequences",
        _of("fdd"),
    ),
    Metric("abs_fdd", "|FDD|", "", "the same, mean of absolute values over sequences", _of("fdd", change=abs)),
    Metric(
        "diversity", "diversity", "", "|p_i - p_j|, mean over frames and pairs of a sequence's outputs, then over sequences",
        _of("diversity"),
    ),
    BLINKS,
)  # fmt: skip

ARTICULATION_METRICS = (
    Metric("bilabials_closed", "/p b m/ closed", "", "", _share("bilabials_closed")),
    Metric("vowels_open", "vowels open", "", "", _share("vowels_open")),
    Metric("silences_closed", "silences closed", "", "", _share("silences_closed")),
    Metric("false_closure_rate", "false closures", "", "", _share("false_closures")),
)


@dataclass(frozen=True)
class Estimate:
    """A number with its confidence interval; the bounds are None where there is one sequence."""

    value: float
    low: float | None
    high: float | None


def estimates(outputs: Sequence[Output], metrics: Iterable[Metric]) -> dict[str, Estimate]:
    """Return each metric that the outputs have, with a 95 % interval by bootstrap over sequences.

    A resample draws as many sequences as there are, with replacement, each with all its outputs; the interval is the
    middle 95 % of 2,000 resamples (Efron & Tibshirani 1993, chapter 13). The draws are the same for every metric and system.
    """
    names = _sequences(outputs)
    result = {}
    for metric in metrics:
        numerator, denominator = _sums(outputs, metric, names)
        if denominator.sum() == 0:
            continue
        value = float(numerator.sum() / denominator.sum())
        several = np.count_nonzero(denominator) > 1
        result[metric.key] = _estimate(value, _resampled(numerator, denominator) if several else None)
    return result


def ratios(outputs: Sequence[Output], reference: Sequence[Output], metrics: Iterable[Metric]) -> dict[str, Estimate]:
    """Return each metric of the outputs as a multiple of the reference's, with a 95 % interval by bootstrap over sequences.

    Each resample draws the same sequences of both, so that what makes a sequence hard for both cancels. A metric that is 0
    for the reference, and FDD with its sign, are left out.

    Args:
        outputs: Outputs of one system.
        reference: Outputs of another for the same sequences.
        metrics: Metrics of the outputs.
    """
    names = _sequences(reference)
    result = {}
    for metric in metrics:
        (numerator, denominator), (other, other_denominator) = (_sums(each, metric, names) for each in (outputs, reference))
        if metric.key == "fdd" or not denominator.sum() or not other.sum():
            continue
        value = float(numerator.sum() / denominator.sum() / (other.sum() / other_denominator.sum()))
        several = np.count_nonzero(other) > 1
        with np.errstate(invalid="ignore", divide="ignore"):
            resampled = _resampled(numerator, denominator) / _resampled(other, other_denominator)
        result[metric.key] = _estimate(value, resampled if several else None)
    return result


def _sequences(outputs: Sequence[Output]) -> list[str]:
    return list(dict.fromkeys(output.sequence for output in outputs))


def _sums(outputs: Sequence[Output], metric: Metric, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return a metric's numerator and denominator, summed over the outputs of each sequence: (sequences,) each."""
    place = {name: index for index, name in enumerate(names)}
    index = np.array([place[output.sequence] for output in outputs])
    terms = np.array([metric.terms(output) for output in outputs], dtype=np.float64)  # (outputs, 2)
    numerator, denominator = (np.bincount(index, column, len(names)) for column in terms.T)
    return numerator, denominator


@lru_cache(maxsize=64)
def _draws(count: int) -> np.ndarray:
    """Return (RESAMPLES, count): how often each resample draws each of so many sequences."""
    return np.random.default_rng(BOOTSTRAP_SEED).multinomial(count, np.full(count, 1 / count), RESAMPLES)


def _resampled(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return the ratio in each resample, NaN where its sequences lack the value."""
    draws = _draws(len(numerator))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((draws @ numerator) / (draws @ denominator))


def _estimate(value: float, resampled: np.ndarray | None) -> Estimate:
    if resampled is None:
        return Estimate(value, None, None)
    low, high = np.quantile(resampled[np.isfinite(resampled)], ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Estimate(value, float(low), float(high))


@dataclass
class EvaluationReport:
    """The outputs of all systems, and how they were measured. Add all outputs before `rows` is read.

    Args:
        metrics: Metrics of vertices or of coefficients.
        lve: The variant reported as LVE, one of LVE_VARIANTS.
        unit: Unit of the vertices: "m", or "unit" where the mesh is normalised.
        outputs: Every motion that was measured.
        about: Settings: the files, the split, the seed, …
        findings: Results that are no means over outputs.
        remarks: Notes that the user should read.
        relative_to: System whose values the others are divided by, or None.
    """

    metrics: tuple[Metric, ...]
    lve: str = LVE_VARIANTS[0]
    unit: str = "m"
    outputs: list[Output] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    findings: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    relative_to: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return everything but the single outputs, ready for JSON."""
        rows = self.rows
        keys = [key for key in ("lve", *(metric.key for metric in self.metrics)) if any(key in row for row in rows)]
        return {
            **self.about,
            "unit": self.unit,
            "metrics": {
                key: {"unit": self.metric_unit(key), "formula": self.metric(key).formula} for key in dict.fromkeys(keys)
            },
            "lve_variant": self.lve if self.metrics is SURFACE_METRICS else None,
            "interval": {"level": LEVEL, "resamples": RESAMPLES, "of": "sequences", "seed": BOOTSTRAP_SEED},
            "scores": rows,
            **self.findings,
        }

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """A row a system: each metric's value, `intervals`, the articulation's shares, `identities`, and `relative`."""
        systems: dict[str, list[Output]] = {}
        for output in self.outputs:
            systems.setdefault(output.system, []).append(output)
        rows = [self._row(system, outputs) for system, outputs in systems.items()]
        for row in rows if self.relative_to else []:
            if row["system"] != self.relative_to:
                multiples = self._with_lve(ratios(systems[row["system"]], systems[str(self.relative_to)], self.metrics))
                row["relative"] = {key: [each.value, each.low, each.high] for key, each in multiples.items()}
        return rows

    def _with_lve(self, values: dict[str, Estimate]) -> dict[str, Estimate]:
        """Return the values, with the chosen LVE variant under "lve" too."""
        chosen = f"lve_{self.lve}"
        return {"lve": values[chosen], **values} if chosen in values else values

    def _row(self, system: str, outputs: list[Output]) -> dict[str, Any]:
        values = self._with_lve(estimates(outputs, (*self.metrics, *ARTICULATION_METRICS)))
        row: dict[str, Any] = {"system": system, **{key: estimate.value for key, estimate in values.items()}}
        summary = Articulation.joined(output.articulation for output in outputs).summary()
        if summary["bilabials"] + summary["vowels"] + summary["silences"]:
            row |= {key: None if np.isnan(value) else value for key, value in summary.items()}
        row["intervals"] = {key: [estimate.low, estimate.high] for key, estimate in values.items()}
        people = list(dict.fromkeys(output.identity for output in outputs))
        if len(people) > 1:
            row["identities"] = {
                name: self._row(system, [output for output in outputs if output.identity == name]) for name in people
            }
        return row

    def columns(self) -> tuple[str, ...]:
        """Return the keys of a row that a table has: one LVE, and the rest."""
        plain = [metric.key for metric in self.metrics if not metric.key.startswith("lve")]
        return ("lve", *plain, *(metric.key for metric in ARTICULATION_METRICS))

    def summary(self) -> list[str]:
        """Return the lines under a table: the kind of intervals, the results on identities, the settings."""
        count = len({output.sequence for output in self.outputs})
        lines = []
        if count > 1:
            lines.append(
                f"intervals: {LEVEL:.0%}, bootstrap over {count} sequences, {RESAMPLES:,} resamples, seed {BOOTSTRAP_SEED}"
            )
        if "retrieval" in self.findings:
            retrieval, wrong = self.findings["retrieval"], self.findings["wrong_identity"]
            made_by, diversity = self.findings["identities_by"], self.findings["identity_diversity"]
            lines += [
                f"identity from the speech: top-1 {retrieval['top1']:.3f}, chance {retrieval['chance']:.3f}",
                f"LVE with the wrong identity ({made_by}): {wrong['lve_mean']:.3e} {self.unit}^2, mean of the others; "
                f"diversity over identities: {diversity:.3e} {self.unit}",
            ]
        for row in self.rows if self.relative_to else []:
            multiples = [
                f"{self.metric(key).title} {value:.3f}" + ("" if low is None else f" ({low:.3f}…{high:.3f})")
                for key, (value, low, high) in row.get("relative", {}).items()
                if key in ("lve", "mve", "abs_fdd", "diversity")
            ]
            if multiples:
                lines.append(f"{row['system']}, as multiples of {self.relative_to}: {', '.join(multiples)}")
        about = {
            key: value for key, value in self.about.items() if value not in (None, False) and not isinstance(value, list | dict)
        }
        about |= {key: round(value, 3) for key, value in about.items() if isinstance(value, float)}
        return [*lines, ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in about.items())]

    def metric(self, key: str) -> Metric:
        """Return the metric of a key of a row."""
        wanted = f"lve_{self.lve}" if key == "lve" and self.metrics is SURFACE_METRICS else key
        return next(metric for metric in (*self.metrics, *ARTICULATION_METRICS) if metric.key == wanted)

    def metric_unit(self, key: str) -> str:
        """Return the unit of a row's value."""
        unit = self.metric(key).unit
        if unit == "mm":
            return "mm" if self.unit == "m" else f"{self.unit}/1000"
        return unit.replace("length", self.unit)

    def display(self, key: str, values: Iterable[float | None]) -> "DisplayFormat":
        """Return how to print a row's values: metres as millimetres, areas with their power of ten in the heading."""
        metric, unit = self.metric(key), self.metric_unit(key)
        if unit == "m":
            return DisplayFormat(metric.title, "mm", 1000.0, 3)
        if unit in ("", "mm", "unit/1000"):
            return DisplayFormat(metric.title, unit, 1.0, 3)
        sizes = [abs(value) for value in values if value]
        power = int(np.floor(np.log10(np.median(sizes)))) if sizes else 0
        return DisplayFormat(metric.title, f"1e{power} {unit}", 10.0**-power, 2)

    def write_csv(self, path: Path) -> None:
        """Write a line for each output: system, sequence, and values in metres (or the mesh's unit).

        Raises:
            OutputError: the place cannot be written.
        """
        names = list(dict.fromkeys(name for output in self.outputs for name in output.values))
        with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(["system", "sequence", "identity", "condition", "sample", "frames", *names])
            for output in self.outputs:
                about = (output.system, output.sequence, output.identity, output.condition, output.sample, output.frames)
                writer.writerow([*about, *(repr(output.values[name]) if name in output.values else "" for name in names)])


@dataclass(frozen=True)
class DisplayFormat:
    """How a number is printed: title, unit, factor from the value, and decimals."""

    title: str
    unit: str
    factor: float
    decimals: int

    @property
    def heading(self) -> str:
        """Title and unit."""
        return f"{self.title} {self.unit}".strip()

    def text(self, value: float | None) -> str:
        """Return the number as text."""
        return "–" if value is None else f"{value * self.factor:.{self.decimals}f}"
