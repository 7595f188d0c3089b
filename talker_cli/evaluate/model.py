"""Measure a model on a prepared dataset's held-out clips: surface error, articulation, identity."""

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from talker_cli.animate.animator import Animator, load_animator
from talker_cli.data.dataset import SAMPLE_RATE, SPLITS, Clip, Dataset
from talker_cli.errors import InputError
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
from talker_cli.metrics import Articulation, blendshape_error, blinks_a_minute, lip_gap
from talker_cli.model.checkpoint import load_model
from talker_cli.model.config import MAX_TIMESTEP
from talker_cli.model.diffusion import noise_seed
from talker_cli.rig import ARKIT_NAMES, load_rig

SYSTEMS = ("truth", "mean", "loudness", "student", "teacher-8", "teacher-256")
DDIM_FULL = f"teacher-ddim-{MAX_TIMESTEP}"
OnClip = Callable[[str, int, int], None]  # (system, motions made, of how many)


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
    """The clips that are measured on, as they sound under one condition.

    Args:
        dataset: the prepared dataset.
        split: one of SPLITS; not used with a protocol, which names its clips.
        human_only: leave synthetic voices out.
        language: of the recordings, ISO 639-1.
        voice: of the recordings, as `dataset.json` names it.
        limit: so many clips, evenly spaced, so that a part of the split stands for all of it.
        sound: a name of SOUNDS.
        protocol: measure on the sequences of a published protocol.

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
                f"expected names like {protocol.sequences[0]}; prepare that dataset, or choose a --split instead"
            )
        if not chosen:
            raise InputError(
                f"found no such clip in the '{split}' split of {dataset.folder}; expected some to measure on; "
                f"choose another --split ({', '.join(SPLITS)}), --voice or --language"
            )
        there = {clip.name for clip in chosen}
        self.missing = tuple(name for name in (protocol.sequences if protocol else ()) if name not in there)
        count = min(limit or len(chosen), len(chosen))
        self.clips = [chosen[index * len(chosen) // count] for index in range(count)]
        rigs = rigs_in_unit(dataset, protocol)
        self.faces = {name: MeasuredRig(rigs.rig_of(name)) for name in dict.fromkeys(clip.identity for clip in self.clips)}

    def item(self, clip: Clip) -> Item:
        """Return a clip as it is measured."""
        change, factor = SOUNDS[self.sound]
        speech = self.dataset.speech(clip.recording)
        return Item(
            clip,
            change(speech, clip.recording) if change else speech,
            faster_motion(self.dataset.coefficients(clip.name), factor),
            [(symbol, start / factor, end / factor) for symbol, start, end in self.dataset.recordings[clip.recording].phones],
        )

    def loudness(self, item: Item, identity: str, seed: int) -> np.ndarray:
        """Return the loudness baseline's coefficients."""
        return loudness_coefficients(item.speech, len(item.truth), self.fps, self.dataset.rig.rig.names)

    def mean_face(self) -> Generate:
        """Return the system that holds the mean face of the identity's training clips, or of all if it has none."""
        training = self.dataset.clips("train")

        def mean(identity: str) -> np.ndarray:
            clips = [clip for clip in training if clip.identity == identity] or training
            frames = [self.dataset.coefficients(clip.name) for clip in clips]
            return np.concatenate(frames).mean(0, keepdims=True)

        means = {identity: mean(identity) for identity in self.faces}
        return lambda item, identity, seed: np.repeat(means[item.clip.identity], len(item.truth), 0)

    def output(self, system: str, item: Item, made: np.ndarray, about: tuple[str, int], blendshapes: bool) -> Output:
        """Measure coefficients (T, K) that a system made for an item, `about` = (identity asked for, take)."""
        face = self.faces[item.clip.identity]
        frames = min(len(made), len(item.truth))
        made_vertices = face.part.decode(made)
        if blendshapes:
            values = measure_blendshapes(item.truth, made, face.rig.names)
        else:
            values = measure_surface(face.part.decode(item.truth), made_vertices, face.surface)
            values["mve"] = face.distance(item.truth, made)
        if "eyeBlinkLeft" in face.rig.names:
            values["blinks_a_minute"] = blinks_a_minute(made[:frames, face.rig.names.index("eyeBlinkLeft")], self.fps)
        articulation = Articulation.empty()
        if len(face.part.lip_pairs):
            articulation.add(lip_gap(made_vertices, face.part.lip_pairs), item.phones, self.fps)
        return Output(system, item.clip.name, item.clip.identity, *about, frames, values, articulation)


def load_systems(wanted: Sequence[str], model: Path, evaluation: Evaluation, device: str) -> list[System]:
    """Return the systems that names stand for: see SYSTEMS; `student-N` is a kept student of N steps.

    `teacher-N` is DDIM of N steps, teacher-256 the full sampler.

    Raises:
        InputError: there is no such system, or the model was made for other coefficients than the dataset's.
        ModelError: the weights are missing or damaged.
    """
    rig = evaluation.dataset.rig.rig
    systems, teacher = [], None
    for name in wanted:
        steps = name.removeprefix("teacher-")
        if name == "truth":
            systems.append(System("truth", lambda item, identity, seed: item.truth))
        elif name == "mean":
            systems.append(System("mean face", evaluation.mean_face()))
        elif name == "loudness" and "jawOpen" in rig.names:
            systems.append(System("loudness", evaluation.loudness))
        elif name == "loudness":
            raise InputError("found the system loudness on a dataset without jawOpen; leave it out of --systems")
        elif name == "student":
            trained = len(load_model(model / "student.safetensors", "student").config.timesteps)
            systems.append(_system(load_animator(model, str(trained), device), evaluation, model))
        elif name.startswith("student-") and (model / f"{name}.safetensors").is_file():
            systems.append(_system(load_animator(model, name.removeprefix("student-"), device), evaluation, model))
        elif name == DDIM_FULL or (steps != name and steps.isascii() and steps.isdigit() and 1 <= int(steps) <= MAX_TIMESTEP):
            teacher = teacher or load_animator(model, "full", device)
            ddim = None if steps == str(MAX_TIMESTEP) else int(steps.removeprefix("ddim-"))
            systems.append(_system(Animator(teacher.network, ddim, teacher.device), evaluation, model))
        else:
            expected = f"{', '.join(SYSTEMS)}, {DDIM_FULL}, teacher-N or a kept student-N"
            raise InputError(f"found the system '{name}'; expected {expected}, N from 1 to {MAX_TIMESTEP}; mend --systems")

    return systems


def _system(animator: Animator, evaluation: Evaluation, model: Path) -> System:
    config = animator.network.config
    evaluation.dataset.check_model(config.names, config.fps, load_rig(model / "rig.safetensors").rig.basis)

    def generate(item: Item, identity: str, seed: int) -> np.ndarray:
        return animator.coefficients(item.speech, identity, seed=seed)

    return System(animator.sampler, generate, animator, config.identities)


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
    takes: int = 1,
    relative_to: str | None = None,
    sound: str = "clean",
    protocol: str | None = None,
    blendshapes: bool = False,
    lve: str = LVE_VARIANTS[0],
    device: str = "auto",
    seed: int = 0,
    on_clip: OnClip | None = None,
) -> EvaluationReport:
    """Measure a model folder against the baselines and its own teacher.

    Each clip is made with its own identity; with every identity of the model, and the numbers averaged, where the protocol
    says so or the model never learned the clip's.

    Args:
        model: folder with teacher and student.
        dataset_folder: a prepared dataset of the same coefficients.
        split: one of SPLITS.
        human_only: leave synthetic voices out.
        language: ISO 639-1 code of the recordings to measure on.
        voice: measure on this voice's recordings alone.
        limit: measure on so many clips, evenly spaced.
        systems: names as `load_systems` knows them; None for SYSTEMS.
        identities: also make every clip as every identity, by the first system with a network, and read it off the speech.
        takes: so many samples of each clip, with the seeds `seed`, `seed + 1`, …; more than one tell the diversity.
        relative_to: one of the systems, which the others are also told as multiples of.
        sound: a name of SOUNDS.
        protocol: a name of PROTOCOLS, in place of the split.
        blendshapes: measure coefficients, not vertices.
        lve: one of LVE_VARIANTS.
        device: "auto", "cpu" or "cuda".
        seed: of the noise, of which every recording has its own.
        on_clip: called after each motion with (system, motions done, of how many).

    Returns:
        A row a system, and, where `identities` are asked for and the model knows the clips' own, findings: `retrieval` (top-1
        and chance), `wrong_identity`, `lve_matrix`, `identity_diversity`.

    Raises:
        TalkerError: the model or the dataset cannot be used.
    """
    dataset = Dataset(dataset_folder)
    rule = PROTOCOLS[protocol] if protocol else None
    evaluation = Evaluation(
        dataset, split, human_only=human_only, language=language, voice=voice, limit=limit, sound=sound, protocol=rule
    )
    names = dataset.rig.rig.names
    if blendshapes and names != ARKIT_NAMES:
        raise InputError("found --blendshapes on a dataset without ARKit coefficients; measure its vertices instead")
    if systems is None:
        systems = [name for name in SYSTEMS if name != "loudness" or "jawOpen" in names]
    if relative_to is not None and relative_to not in systems:
        raise InputError(
            f"found --relative-to {relative_to}; expected one of the systems that are measured: {', '.join(systems)}"
        )
    made_by = load_systems(systems, model, evaluation, device)
    report = EvaluationReport(BLENDSHAPE_METRICS if blendshapes else SURFACE_METRICS, lve, rule.unit if rule else "m")
    if relative_to is not None:
        report.relative_to = made_by[list(systems).index(relative_to)].title
    check = _identity_check(made_by, evaluation) if identities else None
    total = len(evaluation.clips) * (len(made_by) + (len(check.names) - 1 if check else 0))
    done = 0

    def count(title: str) -> None:
        nonlocal done
        done += 1
        if on_clip:
            on_clip(title, done, total)

    seconds = 0.0
    for clip in evaluation.clips:
        item, face = evaluation.item(clip), evaluation.faces[clip.identity]
        seconds += len(item.truth) / evaluation.fps
        for system in made_by:
            samples = range(takes if system.known else 1)
            asked = [(identity, take) for identity in _asked(system, clip, rule) for take in samples]
            seeds = [noise_seed(seed + take, clip.recording) for _, take in asked]
            made = {of: system.generate(item, of[0], each) for of, each in zip(asked, seeds, strict=True)}
            outputs = [evaluation.output(system.title, item, each, about, blendshapes) for about, each in made.items()]
            if len(made) > 1:
                distance = blendshape_error if blendshapes else face.distance
                outputs[0].values["diversity"] = float(np.mean([distance(*pair) for pair in combinations(made.values(), 2)]))
            report.outputs += outputs
            count(system.title)
            if check and system is check.system:
                others = [identity for identity in check.names if (identity, 0) not in made]
                for identity in others:
                    made[identity, 0] = system.generate(item, identity, noise_seed(seed, clip.recording))
                    count(f"{system.title}, every identity")
                check.add(face, item, {identity: made[identity, 0] for identity in check.names})
    report.about = {
        "model": str(model), "dataset": str(dataset_folder), "split": None if rule else split, "protocol": protocol,
        "human_only": human_only, "language": language, "voice": voice, "condition": sound, "clips": len(evaluation.clips),
        "seconds": seconds, "fps": evaluation.fps, "takes": takes, "seed": seed,
    }  # fmt: skip
    report.findings = check.findings() if check else {}
    if rule and evaluation.missing:
        report.remarks = [unmeasured(without_truth(rule.name), evaluation.missing)]
    return report


def _identity_check(systems: Sequence[System], evaluation: Evaluation) -> IdentityCheck | None:
    """Return the check of the first system that knows several identities and those of all clips, if there is one."""
    own = {clip.identity for clip in evaluation.clips}
    return next((IdentityCheck(system) for system in systems if len(system.known) > 1 and own <= set(system.known)), None)


def _asked(system: System, clip: Clip, protocol: Protocol | None) -> tuple[str, ...]:
    """Return the identities that a system is asked for on a clip."""
    if not system.known:
        return ("",)
    if protocol is None:
        return (clip.identity,) if clip.identity in system.known else system.known
    wanted = protocol.wanted(clip.name)
    if missing := [name for name in wanted if name not in system.known]:
        raise InputError(
            f"found no identity '{missing[0]}' in the model; expected the {len(wanted)} that {protocol.name} asks for; "
            "train on that dataset's training split"
        )
    return wanted
