"""Compare any system's predictions with the truth: two folders of motions (T, V, 3) or (T, V*3), paired by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np

from talker_cli.data.dataset import Dataset
from talker_cli.data.regions import parse_region_option, read_lip_pairs, read_regions
from talker_cli.errors import InputError
from talker_cli.evaluate.measured_rig import rigs_in_unit
from talker_cli.evaluate.protocols import (
    PROTOCOLS,
    Prediction,
    Protocol,
    parse_prediction,
    subject_of,
    unmeasured,
    without_truth,
)
from talker_cli.evaluate.report import (
    BLENDSHAPE_METRICS,
    LVE_VARIANTS,
    SURFACE_METRICS,
    EvaluationReport,
    Output,
    SurfaceErrors,
    measure_blendshapes,
    measure_surface,
)
from talker_cli.evaluate.templates import read_faces
from talker_cli.formats.motion import read_motion
from talker_cli.formats.npy import read_npy
from talker_cli.metrics import blendshape_error, mve
from talker_cli.render.source import at_rest
from talker_cli.rig import ARKIT_NAMES

SUFFIXES = (".npy", ".npz")
COEFFICIENTS = ".coefficients.npy"
CHUNK_FRAMES = 64  # of two long motions at a time
OnSequence = Callable[[int, int], None]  # (sequences done, of how many)


@dataclass(frozen=True)
class Truths:
    """The true motions by name, each read on demand.

    Args:
        where: The folder.
        read: Function from a name to (T, V, 3), or (T, K) where coefficients are measured.
        names: All names.
        identity: Function from a name to its identity.
        surface: Function from a name to the parts of its face; None where coefficients are measured.
        one_template: Whether all subjects share a template.
    """

    where: Path
    read: Callable[[str], np.ndarray]
    names: tuple[str, ...]
    identity: Callable[[str], str]
    surface: Callable[[str], SurfaceErrors] | None = None
    one_template: bool = False


@dataclass
class Pairs:
    """Predictions by the truth's name, and what has no counterpart.

    Args:
        matched: Predictions and their files by the truth's name.
        unpaired: Names of predictions without a truth.
        missing: Names of truths without a prediction.
    """

    matched: dict[str, list[tuple[Prediction, Path]]] = field(default_factory=dict)
    unpaired: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def compare(
    predictions: Path,
    truth: Path,
    *,
    template: Path | None = None,
    regions: str | None = None,
    lip_pairs: Path | None = None,
    split: str | None = None,
    protocol: str | None = None,
    fps: float | None = None,
    truth_fps: float | None = None,
    blendshapes: bool = False,
    lve: str = LVE_VARIANTS[0],
    on_sequence: OnSequence | None = None,
) -> EvaluationReport:
    """Measure a folder of predictions.

    Args:
        predictions: Folder of `.npy` or `.npz` files, named like the truth, or as other systems name theirs.
        truth: Folder of such files, or a prepared dataset.
        template: Mesh, templates.pkl, rig or identity file; None with a prepared dataset, which has its own.
        regions: `FLAME_masks.pkl` or `lve.txt,fdd.txt`; None with a rig or a prepared dataset.
        lip_pairs: Text file of upper and lower inner-lip vertices, for the mouth gap; None with a rig or a prepared dataset.
        split: Split of a prepared dataset; None for "test", or for all of it under a protocol.
        protocol: Name of PROTOCOLS: its sequences under its conditions, all of which must be there.
        fps: Frame rate of the predictions; None if it is the truth's.
        truth_fps: Frame rate of the truth; of twice the predictions' rate, every second frame is read.
        blendshapes: Whether the files hold ARKit coefficients (T, 52), or (T, 51) without the tongue.
        lve: One of LVE_VARIANTS.
        on_sequence: Callback after each sequence, (sequences done, sequences).

    Raises:
        TalkerError: a file cannot be used, nothing fits together, or predictions of the protocol are missing.
    """
    rule = PROTOCOLS[protocol] if protocol else None
    files = motion_files(predictions, blendshapes)
    if not files:
        raise InputError(f"found no motions ({', '.join(SUFFIXES)}) in {predictions}; check the path")
    if (truth / "dataset.json").is_file():
        if template:
            raise InputError(f"found {template} with a prepared dataset, which has its own; leave it out", field="template")
        split = None if rule else split or "test"
        truths = _prepared(Dataset(truth), rule, split, blendshapes, regions, lip_pairs)
    else:
        if split:
            raise InputError(f"found {split} and {truth}, which is no prepared dataset; leave it out", field="split")
        truths = _motions(truth, blendshapes, template, regions, lip_pairs)
    stride = _stride(fps, truth_fps)
    pairs = pair(files, truths.names, rule)
    if not pairs.matched:
        raise InputError(
            f"found no prediction in {predictions} for a motion in {truth}: names like {next(iter(files))} and "
            f"{next(iter(truths.names), 'none')}; expected the same names, with _condition_IDENTITY where there are several"
        )
    report = EvaluationReport(BLENDSHAPE_METRICS if blendshapes else SURFACE_METRICS, lve, rule.unit if rule else "m")
    frames = cut = 0
    ratios: list[float] = []
    for done, (sequence, predicted) in enumerate(pairs.matched.items()):
        true = truths.read(sequence)[::stride]
        motions = [_read_like(path, true, truth) for _, path in predicted]
        surface = truths.surface(sequence) if truths.surface else None
        outputs = []
        for (prediction, _), motion in zip(predicted, motions, strict=True):
            compared = min(len(true), len(motion))
            frames, cut = frames + compared, cut + len(motion) - compared
            ratios.append(len(motion) / len(true))
            about = (truths.identity(sequence), prediction.condition, prediction.sample, compared)
            outputs.append(Output(predictions.resolve().name, sequence, *about, _values(true, motion, surface)))
        if len(motions) > 1:
            distance = _distance if surface else blendshape_error
            outputs[0].values["diversity"] = float(np.mean([distance(*pair) for pair in combinations(motions, 2)]))
        report.outputs += outputs
        if on_sequence:
            on_sequence(done + 1, len(pairs.matched))
    report.about = {
        "predictions": str(predictions), "truth": str(truth), "template": str(template) if template else None,
        "regions": regions, "protocol": protocol, "split": split, "fps": fps, "truth_fps": truth_fps,
        "sequences": len(pairs.matched), "outputs": len(report.outputs), "frames": frames, "frames_left_over": cut,
        "length_ratio": float(np.median(ratios)), "unpaired_predictions": pairs.unpaired, "unpaired_truths": pairs.missing,
    }  # fmt: skip
    report.remarks = _remarks(report, truths, pairs)
    return report


def _remarks(report: EvaluationReport, truths: Truths, pairs: Pairs) -> list[str]:
    """Return what the user should know of the numbers."""
    remarks = []
    protocol = report.about["protocol"]
    missing = without_truth(protocol) if protocol else "truths without a prediction"
    for names, what in ((pairs.unpaired, "predictions that fit nothing"), (pairs.missing, missing)):
        if names:
            remarks.append(unmeasured(what, names))
    if not 0.8 < (ratio := report.about["length_ratio"]) < 1.25:
        remarks.append(f"predictions last {ratio:.2f} times as many frames as the truth: give the frame rates of both")
    if truths.one_template and len({output.identity for output in report.outputs}) > 1:
        remarks.append("one template for several subjects: FDD counts their shapes as motion; give templates.pkl for it")
    return remarks


def motion_files(folder: Path, blendshapes: bool, suffixes: Sequence[str] = SUFFIXES) -> dict[str, Path]:
    """Return stem -> file of a folder's motions: `talker animate`'s coefficients if those are wanted, never both.

    Raises:
        InputError: there is no such folder, or two files have one stem.
    """
    if not folder.is_dir():
        raise InputError(f"no folder {folder}; expected one with motions ({', '.join(suffixes)}); check the path")
    every = sorted(path for path in folder.iterdir() if path.suffix in suffixes)
    ours = [path for path in every if path.name.endswith(COEFFICIENTS)]
    chosen = ours if blendshapes and ours else [path for path in every if path not in ours]
    found: dict[str, Path] = {}
    for path in chosen:
        stem = path.name.removesuffix(COEFFICIENTS) if path in ours else path.stem
        if stem in found:
            raise InputError(f"found {found[stem].name} and {path.name} in {folder}; expected one file of each name")
        found[stem] = path
    return found


def pair(files: dict[str, Path], truths: Sequence[str], protocol: Protocol | None) -> Pairs:
    """Pair predictions with truths by name; under a protocol, those of its sequences and conditions alone.

    Raises:
        InputError: two files predict the same, or one that the protocol asks for is missing.
    """
    known = set(truths) if protocol is None else set(truths) & set(protocol.sequences)
    pairs = Pairs()
    meant: dict[Prediction, Path] = {}
    for stem, path in files.items():
        prediction = parse_prediction(stem, known)
        if prediction is None:
            pairs.unpaired.append(stem)
            continue
        if prediction in meant:
            raise InputError(f"found {meant[prediction].name} and {path.name}, both for {prediction.sequence}; expected one")
        meant[prediction] = path
        wanted = (prediction.condition,) if protocol is None else ("", *protocol.wanted(prediction.sequence))
        if prediction.condition in wanted:
            pairs.matched.setdefault(prediction.sequence, []).append((prediction, path))
        else:
            pairs.unpaired.append(stem)
    if protocol:
        for sequence in sorted(known):
            there = {prediction.condition for prediction, _ in pairs.matched.get(sequence, [])}
            wanted = protocol.wanted(sequence)
            if there == {""}:  # of a system that knows no identities, one output stands for all
                continue
            if lacking := [condition for condition in wanted if condition not in there]:
                raise InputError(
                    f"found no prediction {sequence}_condition_{lacking[0]} ({len(wanted) - len(lacking)} of {len(wanted)} "
                    f"conditions); expected all that {protocol.name} averages over; make the rest"
                )
        pairs.missing = [sequence for sequence in protocol.sequences if sequence not in known]
    else:
        pairs.missing = [name for name in truths if name not in pairs.matched]
    return pairs


def _motions(folder: Path, blendshapes: bool, template: Path | None, regions: str | None, lip_pairs: Path | None) -> Truths:
    """Return the truths of a folder of motions."""
    files = motion_files(folder, blendshapes)
    if not files:
        raise InputError(f"found no {' or '.join(SUFFIXES)} in {folder}; expected the true motions, or a prepared dataset")
    if blendshapes:
        return Truths(folder, lambda name: read_coefficients(files[name])[:, : len(ARKIT_NAMES)], tuple(files), subject_of)
    if template is None:
        raise InputError("found no neutral face; expected a mesh, templates.pkl, or a rig.safetensors", field="template")
    faces = read_faces(template, regions, lip_pairs)
    count = len(faces.lips)

    def read(name: str) -> np.ndarray:
        return read_vertices(files[name], count, template)

    return Truths(folder, read, tuple(files), faces.subject, faces.surface, len(faces.templates) == 1)


def _prepared(
    dataset: Dataset,
    protocol: Protocol | None,
    split: str | None,
    blendshapes: bool,
    regions: str | None,
    lip_pairs: Path | None,
) -> Truths:
    """Return the truths of a prepared dataset, each with its identity's own template."""
    clips = {clip.name: clip for clip in (dataset.clips(split) if split else dataset.info.clips)}
    if not clips:
        raise InputError(f"found no clip in the '{split}' split of {dataset.folder}; choose another", field="split")
    rigs, count = rigs_in_unit(dataset, protocol), len(dataset.rig.rig.template)
    face = rigs.rig.face

    def identity(name: str) -> str:
        return clips[name].identity

    if blendshapes:
        if rigs.rig.face_names != ARKIT_NAMES:
            raise InputError("found a dataset without ARKit coefficients; measure its vertices instead", field="blendshapes")
        return Truths(dataset.folder, lambda name: face.matched(dataset.coefficients(name)), tuple(clips), identity)
    masks = read_regions(parse_region_option(regions), count) if regions else rigs.rig.regions
    pairs = read_lip_pairs(lip_pairs, count) if lip_pairs else rigs.rig.lip_pairs

    def read(name: str) -> np.ndarray:
        return rigs.rig_of(identity(name)).face.decode(face.matched(dataset.coefficients(name)))

    def surface(name: str) -> SurfaceErrors:
        template = rigs.identities[identity(name)].template
        return SurfaceErrors(template, masks["lips"], masks["upper_face"], pairs if len(pairs) else None)

    return Truths(dataset.folder, read, tuple(clips), identity, surface)


def read_vertices(path: Path, count: int, like: Path) -> np.ndarray:
    """Read a motion of `count` vertices, (T, V, 3); where its sidecar says that the head turns, with the head at rest.

    Raises:
        InputError: it cannot be read, or has another number of vertices.
    """
    motion = read_motion(path)
    vertices = at_rest(path, motion)
    if vertices.shape[1] != count:
        raise InputError(f"{path} has {vertices.shape[1]} vertices; expected {count}, as {like} has")
    return vertices


def read_coefficients(path: Path) -> np.ndarray:
    """Read ARKit coefficients, (T, 52), (T, 51) without `tongueOut`, or (T, 55) with the head's rotation.

    Raises:
        InputError: it cannot be read, is of another shape, or holds NaN or infinity.
    """
    array = read_npy(path, "coefficients (T, 52) in a .npy file")
    if array.dtype.kind != "f" or array.ndim != 2 or array.shape[1] not in (51, 52, 55):
        raise InputError(
            f"{path} holds {array.dtype} {array.shape}; expected ARKit coefficients (T, 52), (T, 51) without tongueOut, "
            "or (T, 55) with the head's rotation"
        )
    broken = np.flatnonzero(~np.isfinite(array).all(1))
    if len(array) == 0 or broken.size:
        what = f"NaN or infinity, first in frame {broken[0]}" if broken.size else "no frames"
        raise InputError(f"{path} holds {what}; expected finite coefficients")
    return array


def _read_like(path: Path, true: np.ndarray, truth: Path) -> np.ndarray:
    """Read a prediction in the truth's form: (T, V, 3), or (T, K) coefficients."""
    if true.ndim == 3:
        return read_vertices(path, true.shape[1], truth)
    coefficients = read_coefficients(path)[:, : len(ARKIT_NAMES)]
    if coefficients.shape[1] != true.shape[1]:
        raise InputError(f"{path} has {coefficients.shape[1]} coefficients; expected {true.shape[1]}, as {truth} has")
    return coefficients


def _values(true: np.ndarray, motion: np.ndarray, surface: SurfaceErrors | None) -> dict[str, float]:
    if surface is None:
        return measure_blendshapes(true, motion, ARKIT_NAMES[: true.shape[1]])
    return {**measure_surface(true, motion, surface), "mve": _distance(true, motion)}


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the mean vertex distance of two motions (T, V, 3), a part of them in memory at a time."""
    frames = min(len(one), len(other))
    starts = range(0, frames, CHUNK_FRAMES)
    parts = [mve(one[start : start + CHUNK_FRAMES], other[start : start + CHUNK_FRAMES]) for start in starts]
    return float(np.average(parts, weights=[min(CHUNK_FRAMES, frames - start) for start in starts]))


def _stride(fps: float | None, truth_fps: float | None) -> int:
    """Return which of the truth's frames are read: every one, every second, …

    Raises:
        InputError: only one rate is given, or the truth's is no whole multiple of the other.
    """
    if fps is None and truth_fps is None:
        return 1
    if fps is None or truth_fps is None:
        raise InputError("found one frame rate; expected those of predictions and truth, or none", field="truth_fps")
    ratio = truth_fps / fps
    if ratio < 1 or abs(ratio - round(ratio)) > 1e-6:
        raise InputError(
            f"found {fps:g} fps of predictions and {truth_fps:g} of the truth; expected the second to be a multiple of the "
            "first",
            field="truth_fps",
        )
    return round(ratio)
