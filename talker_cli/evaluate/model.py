"""Measure a model on a prepared dataset's held-out clips: surface error, articulation, identity."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np

from talker_cli.animate.animator import Animator, load_animator
from talker_cli.data.dataset import SPLITS, Clip, Dataset
from talker_cli.errors import InputError, ModelError
from talker_cli.evaluate.conditions import SOUNDS, faster_motion
from talker_cli.evaluate.identities import IdentityCheck
from talker_cli.evaluate.measured_rig import MeasuredRig, rigs_in_unit
from talker_cli.evaluate.protocols import PROTOCOLS, Protocol, unmeasured, without_truth
from talker_cli.evaluate.report import (
    BLENDSHAPE_METRICS,
    LVE_VARIANTS,
    SURFACE_METRICS,
    EvaluationReport,
    Output,
    measure_blendshapes,
    measure_surface,
)
from talker_cli.evaluate.system import Generate, Item, System
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.identity.resolve import style_space
from talker_cli.metrics import Articulation, blendshape_error, blinks_a_minute, lip_gap
from talker_cli.model.config import MAX_TIMESTEP, ModelConfig
from talker_cli.model.folder import main_weights
from talker_cli.model.header import read_config
from talker_cli.model.noise import noise_seed
from talker_cli.rig import ARKIT_NAMES, load_rig

SYSTEMS = ("truth", "mean", "loudness", "student", "teacher-8", "teacher-256")
DDIM_FULL = f"teacher-ddim-{MAX_TIMESTEP}"
OnMotion = Callable[[int, int], None]  # (motions done, motions)


MOST_CHECKED = 16  # identities, of a model of hundreds: its first, which in the articulated corpus are the characters


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
    """The clips to measure on, under one acoustic condition.

    Args:
        dataset: Prepared dataset.
        split: One of SPLITS; ignored with a protocol, which names its clips.
        human_only: Leave synthetic voices out.
        language: Language of the recordings, ISO 639-1, or None for all.
        voice: Voice of the recordings, as `dataset.json` names it, or None for all.
        limit: Number of clips, evenly spaced in the split, or None for all.
        sound: Acoustic condition, a name of SOUNDS.
        protocol: Published protocol that names the sequences, or None.

    Raises:
        InputError: there is no such clip.
    """

    def __init__(
        self, dataset: Dataset, split: str, *, human_only: bool = False, language: str | None = None,
        voice: str | None = None, limit: int | None = None, sound: str = "clean", protocol: Protocol | None = None,
    ) -> None:  # fmt: skip
        self.dataset, self.sound, self.fps = dataset, sound, dataset.info.fps
        chosen = []
        for clip in dataset.info.clips if protocol else dataset.clips(split):
            recording = dataset.recordings[clip.recording]
            wanted = (recording.human or not human_only) and language in (None, recording.language)
            wanted = wanted and voice in (None, recording.voice)
            if clip.voice_matched and wanted and (protocol is None or clip.name in protocol.sequences):
                chosen.append(clip)
        if not chosen and protocol:
            raise InputError(
                f"found none of the {len(protocol.sequences)} clips of {protocol.name} in {dataset.folder}; "
                f"expected names like {protocol.sequences[0]}; prepare that dataset, or choose a split instead"
            )
        if not chosen:
            raise InputError(
                f"found no such clip in the '{split}' split of {dataset.folder}; expected some to measure on; "
                f"choose another split ({', '.join(SPLITS)}), voice or language",
                field="voice" if voice else "language" if language else "split",
            )
        names = {clip.name for clip in chosen}
        self.missing = tuple(name for name in (protocol.sequences if protocol else ()) if name not in names)
        count = min(limit or len(chosen), len(chosen))
        self.clips = [chosen[index * len(chosen) // count] for index in range(count)]
        rigs = rigs_in_unit(dataset, protocol)
        self.face = dataset.rig.rig.face
        self.faces = {name: MeasuredRig(rigs.rig_of(name)) for name in dict.fromkeys(clip.identity for clip in self.clips)}

    def item(self, clip: Clip) -> Item:
        """Return a clip as it is measured."""
        change, factor = SOUNDS[self.sound]
        speech = self.dataset.speech(clip.recording)
        return Item(
            clip,
            change(speech, clip.recording) if change else speech,
            faster_motion(self.truth(clip), factor),
            tuple(
                (symbol, start / factor, end / factor) for symbol, start, end in self.dataset.recordings[clip.recording].phones
            ),
        )

    def truth(self, clip: Clip) -> np.ndarray:
        """Return a clip's coefficients (T, K) without the head's rotation: the head is measured at rest."""
        return self.face.matched(self.dataset.coefficients(clip.name))

    def loudness(self, item: Item, identity: str, seed: int) -> np.ndarray:
        """Return the loudness baseline's coefficients."""
        return loudness_coefficients(item.speech, len(item.truth), self.fps, self.face.names)

    def mean_face(self) -> Generate:
        """Return the system that holds the mean face of the identity's training clips, or of all if it has none."""
        training = self.dataset.clips("train")

        def mean(identity: str) -> np.ndarray:
            clips = [clip for clip in training if clip.identity == identity] or training
            frames = [self.truth(clip) for clip in clips]
            return np.concatenate(frames).mean(0, keepdims=True)

        means = {identity: mean(identity) for identity in self.faces}
        return lambda item, identity, seed: np.repeat(means[item.clip.identity], len(item.truth), 0)

    def output(self, system: str, item: Item, motion: np.ndarray, asked: tuple[str, int], blendshapes: bool) -> Output:
        """Measure coefficients (T, K) of a system for an item; `asked` is (identity asked for, sample)."""
        face = self.faces[item.clip.identity]
        frames = min(len(motion), len(item.truth))
        vertices = face.part.decode(motion)
        if blendshapes:
            values = measure_blendshapes(item.truth, motion, face.rig.names)
        else:
            values = measure_surface(face.part.decode(item.truth), vertices, face.surface)
            values["mve"] = face.distance(item.truth, motion)
        if "eyeBlinkLeft" in face.rig.names:
            values["blinks_a_minute"] = blinks_a_minute(motion[:frames, face.rig.names.index("eyeBlinkLeft")], self.fps)
        articulation = Articulation.empty()
        if len(face.part.lip_pairs):
            articulation.add(lip_gap(vertices, face.part.template, face.part.lip_pairs), item.phones, self.fps)
        return Output(system, item.clip.name, item.clip.identity, *asked, frames, values, articulation)


def load_systems(
    names: Sequence[str], model: Path, evaluation: Evaluation, device: str, temperature: float | None = None
) -> list[System]:
    """Return systems by name: see SYSTEMS; `student-N` is a kept student of N steps, `teacher-N` DDIM of N steps.

    `teacher-256` is the full sampler. All samplers use one temperature: the given one, or that stored with the main weights.

    Raises:
        InputError: there is no such system, or the model was made for other coefficients than the dataset's.
        ModelError: the weights are missing or damaged.
    """
    rig = evaluation.face
    systems, teacher = [], None

    def load(steps: str) -> System:
        return _system(load_animator(model, steps, device), evaluation, model, temperature)

    for name in names:
        steps = name.removeprefix("teacher-")
        if name == "truth":
            systems.append(System("truth", lambda item, identity, seed: item.truth))
        elif name == "mean":
            systems.append(System("mean face", evaluation.mean_face()))
        elif name == "loudness" and "jawOpen" in rig.names:
            systems.append(System("loudness", evaluation.loudness))
        elif name == "loudness":
            raise InputError("found the system loudness on a dataset without jawOpen; leave it out", field="systems")
        elif name == "student":
            systems.append(load(str(len(read_config(model / "student.safetensors", "student").timesteps))))
        elif name.startswith("student-") and (model / f"{name}.safetensors").is_file():
            systems.append(load(name.removeprefix("student-")))
        elif name == DDIM_FULL or (steps != name and steps.isascii() and steps.isdigit() and 1 <= int(steps) <= MAX_TIMESTEP):
            teacher = teacher or load_animator(model, "full", device)
            ddim = None if steps == str(MAX_TIMESTEP) else int(steps.removeprefix("ddim-"))
            systems.append(_system(Animator(teacher.runner, ddim), evaluation, model, temperature))
        else:
            expected = f"{', '.join(SYSTEMS)}, {DDIM_FULL}, teacher-N or a kept student-N"
            raise InputError(f"found the system '{name}'; expected {expected}, N from 1 to {MAX_TIMESTEP}", field="systems")
    return systems


def at_temperature(config: ModelConfig, stored: ModelConfig, temperature: float | None) -> ModelConfig:
    """Return a config that samples at a temperature, or at the one stored in another config if that is None."""
    if temperature is not None:
        return replace(config, temperature=temperature, upper_face_temperature=temperature)
    return replace(
        config,
        temperature=stored.temperature,
        upper_face_temperature=stored.upper_face_temperature,
        upper_face=stored.upper_face,
    )


def _system(animator: Animator, evaluation: Evaluation, model: Path, temperature: float | None) -> System:
    weights = main_weights(model)
    config = at_temperature(animator.config, read_config(weights, weights.stem), temperature)
    animator.runner.config = config
    evaluation.dataset.check_model(config.names, config.fps, load_rig(model / "rig.safetensors").rig.basis, head=False)

    def generate(item: Item, identity: str, seed: int) -> np.ndarray:
        try:
            return evaluation.face.matched(animator.coefficients(item.speech, identity, seed=seed))
        except ModelError as error:  # motion that is not finite
            raise ModelError(f"{animator.sampler}, {item.clip.name} as {identity}: {error}") from error

    used = f"{config.temperature:g}" + (f", upper face {config.upper_face_temperature:g}" if config.upper_face else "")
    return System(animator.sampler, generate, animator, config.identities, style_space(weights), used)


def evaluate(
    model: Path,
    dataset_folder: Path,
    split: str,
    *,
    human_only: bool = False,
    language: str | None = None,
    voice: str | None = None,
    limit: int | None = None,
    systems: Sequence[str] | None = None,
    identities: bool = True,
    samples: int = 1,
    temperature: float | None = None,
    relative_to: str | None = None,
    sound: str = "clean",
    protocol: str | None = None,
    blendshapes: bool = False,
    lve: str = LVE_VARIANTS[0],
    device: str = "auto",
    seed: int = 0,
    on_motion: OnMotion | None = None,
) -> EvaluationReport:
    """Measure a model folder against the baselines and its own teacher.

    Each clip is animated with its own identity. Where the protocol says so, or the model never learned the clip's identity, it
    is animated with every identity of the model, or its first MOST_CHECKED, and the values are averaged.

    Args:
        model: Folder with teacher and student.
        dataset_folder: Prepared dataset of the same coefficients.
        split: One of SPLITS.
        human_only: Leave synthetic voices out.
        language: Language of the recordings, ISO 639-1, or None for all.
        voice: Voice of the recordings, or None for all.
        limit: Number of clips, evenly spaced, or None for all.
        systems: Names as `load_systems` knows them; None for SYSTEMS.
        identities: Whether the first system with a network also animates every clip with every identity.
        samples: Number of samples of each clip, with the seeds `seed`, `seed + 1`, …; two or more give the diversity.
        temperature: Temperature of all samplers; None takes that stored with the model's main weights.
        relative_to: System whose values the others are divided by, or None.
        sound: Acoustic condition, a name of SOUNDS.
        protocol: Name of PROTOCOLS, in place of the split, or None.
        blendshapes: Whether coefficients are measured, not vertices.
        lve: One of LVE_VARIANTS.
        device: "auto", "cpu", "cuda" or "mps".
        seed: Seed of the noise; each recording has its own derived from it.
        on_motion: Callback after each motion, (motions done, motions).

    Returns:
        A row a system, and, where `identities` is set and the model knows the clips' identities, findings: `retrieval` (top-1
        and chance), `wrong_identity`, `lve_matrix`, `identity_diversity`.

    Raises:
        TalkerError: the model or the dataset cannot be used, or a motion is not finite.
    """
    dataset = Dataset(dataset_folder)
    rule = PROTOCOLS[protocol] if protocol else None
    evaluation = Evaluation(
        dataset, split, human_only=human_only, language=language, voice=voice, limit=limit, sound=sound, protocol=rule
    )
    names = dataset.rig.rig.face_names
    if blendshapes and names != ARKIT_NAMES:
        raise InputError("found a dataset without ARKit coefficients; measure its vertices instead", field="blendshapes")
    if systems is None:
        systems = [name for name in SYSTEMS if name != "loudness" or "jawOpen" in names]
    if relative_to is not None and relative_to not in systems:
        raise InputError(
            f"found {relative_to}; expected one of the systems that are measured: {', '.join(systems)}", field="relative_to"
        )
    loaded = load_systems(systems, model, evaluation, device, temperature)
    report = EvaluationReport(BLENDSHAPE_METRICS if blendshapes else SURFACE_METRICS, lve, rule.unit if rule else "m")
    if relative_to is not None:
        report.relative_to = loaded[list(systems).index(relative_to)].title
    check = _identity_check(loaded, evaluation) if identities else None
    total = len(evaluation.clips) * (len(loaded) + (len(check.names) - 1 if check else 0))
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if on_motion:
            on_motion(done, total)

    seconds = 0.0
    for clip in evaluation.clips:
        item, face = evaluation.item(clip), evaluation.faces[clip.identity]
        seconds += len(item.truth) / evaluation.fps
        for system in loaded:
            numbers = range(samples if system.known else 1)
            asked = [(identity, sample) for identity in _asked(system, clip, rule) for sample in numbers]
            motions = {of: system.generate(item, of[0], noise_seed(seed + of[1], clip.recording)) for of in asked}
            outputs = [evaluation.output(system.title, item, motion, of, blendshapes) for of, motion in motions.items()]
            if len(motions) > 1:
                distance = blendshape_error if blendshapes else face.distance
                outputs[0].values["diversity"] = float(np.mean([distance(*pair) for pair in combinations(motions.values(), 2)]))
            report.outputs += outputs
            count()
            if check and system is check.system:
                for identity in check.names:
                    if (identity, 0) not in motions:
                        motions[identity, 0] = system.generate(item, identity, noise_seed(seed, clip.recording))
                        count()
                check.add(face, item, {identity: motions[identity, 0] for identity in check.names})
    report.about = {
        "model": str(model), "dataset": str(dataset_folder), "split": None if rule else split, "protocol": protocol,
        "human_only": human_only, "language": language, "voice": voice, "condition": sound, "clips": len(evaluation.clips),
        "seconds": seconds, "fps": evaluation.fps, "samples": samples, "seed": seed,
        "temperature": {system.title: system.temperature for system in loaded if system.temperature},
    }  # fmt: skip
    report.findings = check.findings() if check else {}
    if rule and evaluation.missing:
        report.remarks = [unmeasured(without_truth(rule.name), evaluation.missing)]
    return report


def _identity_check(systems: Sequence[System], evaluation: Evaluation) -> IdentityCheck | None:
    """Return the check of the first system that knows several identities and those of all clips, if there is one.

    A model of many voices is left out: every clip in every style takes too long.
    """
    own = {clip.identity for clip in evaluation.clips}
    fitting = (system for system in systems if 1 < len(system.known) <= MOST_CHECKED and own <= set(system.known))
    return next(map(IdentityCheck, fitting), None)


def _asked(system: System, clip: Clip, protocol: Protocol | None) -> tuple[str, ...]:
    """Return the identities that a system is asked for on a clip."""
    if not system.known:
        return ("",)
    if protocol is None:
        return (clip.identity,) if clip.identity in system.known else system.known[:MOST_CHECKED]
    wanted = protocol.wanted(clip.name)
    if missing := [name for name in wanted if name not in system.known]:
        raise InputError(
            f"found no identity '{missing[0]}' in the model; expected the {len(wanted)} that {protocol.name} asks for; "
            "train on that dataset's training split"
        )
    return wanted
