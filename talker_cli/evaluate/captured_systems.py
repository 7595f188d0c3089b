"""What is measured against captured faces: baselines, a model as several identities, a folder of any system's motions."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from talker_cli.animate.animator import Animator, load_animator
from talker_cli.corpus.articulate.articulation import articulate
from talker_cli.corpus.articulate.prosody import measure_prosody
from talker_cli.corpus.articulate.styles import Style
from talker_cli.data.dataset import Clip, Dataset
from talker_cli.data.livelink import read_csv
from talker_cli.data.regions import read_lip_pairs
from talker_cli.data.sequences import resample_rows
from talker_cli.errors import InputError
from talker_cli.evaluate.captured import CAPTURE, CapturedReport, ClipScore, score
from talker_cli.evaluate.compare import COEFFICIENTS, motion_files, pair, read_coefficients
from talker_cli.evaluate.face_measures import FaceMeasures, MeasuredMotion, MeshMeasures
from talker_cli.evaluate.model import loudness_coefficients
from talker_cli.evaluate.protocols import unmeasured
from talker_cli.evaluate.templates import read_template
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.formats.motion import read_motion, read_sidecar
from talker_cli.formats.npy import read_npy
from talker_cli.identity.resolve import StyleCondition
from talker_cli.metrics import Phones
from talker_cli.model.noise import noise_seed
from talker_cli.render.source import at_rest
from talker_cli.rig import ARKIT_NAMES, Rig

ALL = "all"  # every split
RULES_FPS = 30.0
MEAN_CLIPS = 100  # of the training split, for the mean
SUFFIXES = (".npy", ".npz", ".csv")
Generate = Callable[[np.ndarray, Clip, Phones], list[MeasuredMotion]]  # (speech, clip, phones) -> samples


def evaluate_captured(
    dataset_folder: Path,
    split: str,
    systems: dict[str, Generate],
    *,
    names: Sequence[str] | None = None,
    voice: str | None = None,
    limit: int | None = None,
    on_clip: Callable[[int, int], None] = lambda done, total: None,
) -> CapturedReport:
    """Measure systems and baselines on captured clips.

    Baselines: the capture itself, the mean, another sentence's motion, loudness, and the corpus' rules given the phones.

    Args:
        dataset_folder: Prepared dataset of captures on the built-in head, for example of `talker preprocess grid`.
        split: One of the dataset's splits, or "all".
        systems: Title to a function that makes the motion.
        names: Clips to measure on, or None for all of the split.
        voice: Voice of the recordings, or None for all.
        limit: Number of clips, evenly spaced; None for all.
        on_clip: Callback with (clips done, clips).

    Raises:
        InputError: the dataset has no such clips, or not the built-in head's coefficients.
    """
    dataset = Dataset(dataset_folder)
    if dataset.rig.rig.face_names != ARKIT_NAMES:
        raise InputError(f"{dataset_folder} has no ARKit coefficients; expected captures on the built-in head")
    clips = [
        clip
        for clip in (dataset.info.clips if split == ALL else dataset.clips(split))
        if voice in (None, dataset.recordings[clip.recording].voice) and (names is None or clip.name in names)
    ]
    if not clips:
        raise InputError(f"{dataset_folder} has no such clips in the split '{split}'; choose another", field="split")
    count = min(limit or len(clips), len(clips))
    clips = [clips[index * len(clips) // count] for index in range(count)]
    known = [clip for clip in clips if dataset.recordings[clip.recording].phones]
    left_out, clips = (len(clips) - len(known), known) if known else (0, clips)
    measures = FaceMeasures(dataset.rig.rig)
    everything = {**_baselines(dataset, clips, measures), **systems}
    scores: dict[str, list[ClipScore]] = {title: [] for title in everything}
    for number, clip in enumerate(clips):
        speech, phones = dataset.speech(clip.recording), dataset.recordings[clip.recording].phones
        seconds = min(dataset.frames(clip.name) / dataset.info.fps, len(speech) / SAMPLE_RATE)
        truth = measures(dataset.coefficients(clip.name), dataset.info.fps).resampled(seconds)
        level = float(np.sqrt(np.square(speech, dtype=np.float64).mean()))
        for title, generate in everything.items():
            samples = [made.resampled(seconds) for made in generate(speech, clip, phones)]
            scored = score(truth, samples, phones, clip.name, clip.identity)
            scored.level = level
            scores[title].append(scored)
        on_clip(number + 1, len(clips))
    total = sum(dataset.seconds(clip.recording) for clip in clips)
    about = {
        "dataset": str(dataset_folder), "source": dataset.info.source, "split": split, "voice": voice, "clips": len(clips),
        "seconds": round(total, 1),
    }  # fmt: skip
    remarks = (f"{left_out} clips without phones left out",) if left_out else ()
    return CapturedReport(scores, about, remarks)


def _baselines(dataset: Dataset, clips: list[Clip], measures: FaceMeasures) -> dict[str, Generate]:
    """Return what every system is compared with; the rules only where every clip's phones are known."""
    fps, names = dataset.info.fps, dataset.rig.rig.names
    training = [dataset.coefficients(clip.name) for clip in (dataset.clips("train") or clips)[:MEAN_CLIPS]]
    mean = np.concatenate(training).mean(0, keepdims=True)
    half = len(clips) // 2  # neighbours in the alphabet may share their words
    following = {clip.name: clips[(place + half) % len(clips)].name for place, clip in enumerate(clips)}

    def rules(speech: np.ndarray, clip: Clip, phones: Phones) -> list[MeasuredMotion]:
        motion = articulate(tuple(phones), len(speech), Style(), measure_prosody(speech), clip.name, RULES_FPS)
        return [measures(motion, RULES_FPS)]

    found: dict[str, Generate] = {
        CAPTURE: lambda speech, clip, phones: [measures(dataset.coefficients(clip.name), fps)],
        "mean": lambda speech, clip, phones: [measures(np.repeat(mean, dataset.frames(clip.name), 0), fps)],
        "loudness": lambda speech, clip, phones: [
            measures(loudness_coefficients(speech, dataset.frames(clip.name), fps, names), fps)
        ],
    }
    if len(clips) > 1:
        found["another sentence"] = lambda speech, clip, phones: [measures(dataset.coefficients(following[clip.name]), fps)]
    if all(dataset.recordings[clip.recording].phones for clip in clips):  # all clips, or none
        found["rules, given the phones"] = rules
    return found


def model_systems(
    model: Path, steps: Sequence[str], identities: Sequence[str], head: Rig, *, device: str = "auto", seed: int = 0,
    samples: int = 1,
) -> dict[str, Generate]:  # fmt: skip
    """Return a model's samplers as systems, one for each sampler and identity.

    Args:
        model: Model folder.
        steps: As `animate --steps`.
        identities: Full names; several give a system each.
        head: The dataset's head.
        device: "auto", "cpu", "cuda" or "mps".
        seed: Seed of the noise of the first sample; the others follow.
        samples: Number of samples of each clip.

    Raises:
        ModelError: the weights are missing or damaged.
    """
    measures, found = FaceMeasures(head), dict[str, Generate]()
    for each in steps:
        animator = load_animator(model, each, device)
        for identity in identities:
            found[f"{identity} ({animator.sampler})"] = animated(animator, identity, measures, seed, samples)
    return found


def animated(
    animator: Animator, identity: str | StyleCondition, measures: FaceMeasures, seed: int = 0, samples: int = 1
) -> Generate:
    """Return a loaded model in one style as a system; its samples have the seeds `seed`, `seed + 1`, …"""
    fps = animator.config.fps

    def generate(speech: np.ndarray, clip: Clip, phones: Phones) -> list[MeasuredMotion]:
        seeds = (noise_seed(seed + number, clip.recording) for number in range(samples))
        made = (animator.coefficients(speech, identity, seed=each) for each in seeds)
        return [measures(each, fps) for each in made]

    return generate


def compare_captured(
    predictions: Path,
    dataset_folder: Path,
    split: str,
    *,
    template: Path | None = None,
    lip_pairs: Path | None = None,
    fps: float | None = None,
    on_clip: Callable[[int, int], None] = lambda done, total: None,
) -> CapturedReport:
    """Measure a folder of any system's motions against captured clips of the same names, with the baselines.

    Args:
        predictions: Folder of vertices (`.npy`, `.npz`), or ARKit coefficients: `.csv` of Live Link Face, `.npy` (T, 52 or 55).
        dataset_folder: Prepared dataset of captures on the built-in head.
        split: One of the dataset's splits, or "all".
        template: Neutral face of the vertices: a mesh, or a rig or an identity file with lip pairs of its own.
        lip_pairs: Text file of the inner-lip vertices that meet; None with a rig.
        fps: Frame rate of `.npy` and `.npz`; None takes that of the file's sidecar, or else the dataset's.
        on_clip: Callback with (clips done, clips).

    Raises:
        InputError: a file cannot be used, or nothing fits together.
    """
    dataset = Dataset(dataset_folder)
    clips = [clip.name for clip in (dataset.info.clips if split == ALL else dataset.clips(split))]
    pairs = pair(motion_files(predictions, template is None, SUFFIXES), clips, None)
    if not pairs.matched:
        raise InputError(
            f"found no motion in {predictions} for the clips of {dataset_folder}, such as {next(iter(clips), 'none')}; "
            "expected files of the same names"
        )
    face = FaceMeasures(dataset.rig.rig)
    mesh = _mesh_measures(template, lip_pairs) if template is not None else None
    reader = partial(_read, face, mesh, fps, dataset.info.fps)

    def system(speech: np.ndarray, clip: Clip, phones: Phones) -> list[MeasuredMotion]:
        return [reader(path) for _, path in pairs.matched[clip.name]]

    title = predictions.resolve().name
    report = evaluate_captured(dataset_folder, split, {title: system}, names=tuple(pairs.matched), on_clip=on_clip)
    kinds = (("predictions that fit no clip", pairs.unpaired), ("clips without a prediction", pairs.missing))
    remarks = tuple(unmeasured(what, names) for what, names in kinds if names)
    return CapturedReport(report.systems, {"predictions": str(predictions), **report.about}, (*report.remarks, *remarks))


def _mesh_measures(template: Path, lip_pairs: Path | None) -> MeshMeasures:
    vertices, pairs = read_template(template)
    if lip_pairs is not None:
        pairs = read_lip_pairs(lip_pairs, len(vertices))
    if pairs is None:
        raise InputError(f"found no lip pairs with {template}; expected the inner-lip vertices that meet", field="lip_pairs")
    return MeshMeasures(vertices, pairs)


def _read(face: FaceMeasures, mesh: MeshMeasures | None, fps: float | None, otherwise: float, path: Path) -> MeasuredMotion:
    """Read one motion: a CSV at 60 frames a second, coefficients or vertices at their own rate."""
    if path.suffix == ".csv":
        seconds, rows = read_csv(path, fps)
        rate = 60.0
        return face(resample_rows(seconds, rows, np.arange(int(seconds[-1] * rate + 1e-6) + 1) / rate), rate)
    if path.suffix == ".npy" and read_npy(path, "a motion").shape[1:] in ((51,), (52,), (55,)):
        coefficients = read_coefficients(path)
        wide = np.pad(coefficients, ((0, 0), (0, max(0, len(ARKIT_NAMES) - coefficients.shape[1]))))
        about = read_sidecar(path.with_name(path.name.replace(COEFFICIENTS, ".npy")))
        return face(wide, fps or float(about.get("fps") or otherwise))
    if mesh is None:
        raise InputError(f"{path} holds vertices; expected their neutral face too", field="template")
    motion = read_motion(path)
    if motion.vertices.shape[1] != len(mesh.rest):
        raise InputError(f"{path} has {motion.vertices.shape[1]} vertices; expected the template's {len(mesh.rest)}")
    return mesh(at_rest(path, motion), fps or float(motion.about.get("fps") or otherwise))
