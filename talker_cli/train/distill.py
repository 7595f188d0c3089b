"""Distil a teacher's sampler into a student of few steps by progressive halving (Salimans & Ho 2022, as in 2311.16565).

256 -> 128 -> … -> 8: one step of the student is trained to land where two DDIM steps of its teacher land; then the student
becomes the teacher. The first stage's teacher is guided, so the student needs no guidance. Halvings under 8 keep the
students they pass: student.safetensors has 8 steps, student-4.safetensors 4, and so on.

A student may have its own, smaller audio encoder. It is learned before the halvings and stays frozen in them; all students
have the same. Both denoisers of a halving read its features: from the teacher's, the target would hold motion that the student
cannot know of, and what it learned would be the mean. Where the teacher has been distilled before, with whichever encoder, the
denoisers of those students can be kept, and the halvings go on below them.
"""

import copy
import math
import os
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from talker_cli.data.dataset import Dataset
from talker_cli.errors import InputError, MachineError, ModelError
from talker_cli.formats.files import file_hash
from talker_cli.model.audio_encoder import CompactEncoder
from talker_cli.model.checkpoint import load_model
from talker_cli.model.config import COMPACT, MAX_TIMESTEP, WHISPER, ModelConfig
from talker_cli.model.device import choose_device, has_bf16
from talker_cli.model.diffusion import add_noise, alpha_sigma, distillation_target
from talker_cli.model.folder import main_weights, model_folder, students_of
from talker_cli.model.network import FaceDiffusion
from talker_cli.rig import load_rig
from talker_cli.train.augment import augment_mel
from talker_cli.train.batches import KNOWN_PHONES, Batch, ClipBank
from talker_cli.train.encoder import encoder_losses, feature_error, feature_std, phone_reader, teacher_features
from talker_cli.train.features import SOUND_VARIANTS, FeatureCache, features_for
from talker_cli.train.losses import LossWeights, SurfaceMetric, lip_gap_of
from talker_cli.train.rate import warmed_cosine
from talker_cli.train.run import Average, OnProgress, Progress, RunFolder, check_finite
from talker_cli.train.stages import StageTable
from talker_cli.train.students import (
    DEFAULT_STEPS,
    lend,
    lenders_of,
    remove,
    save,
    student_config,
    student_path,
    students_below,
    with_encoder,
)  # fmt: skip

ENCODER_STAGE = -1  # comes before the halvings, which are counted from 0
ENCODER_DRAWS = MAX_TIMESTEP  # the stage that its draws are seeded with: no halving has that number
ENCODER_WARMUP = 0.05  # of its stage's steps
STD_BATCHES = 4  # that the std of the teacher's features is taken over
VALIDATION_BATCHES = 4
BOUNDS = {
    "stage_steps": (1, math.inf), "kept_stage_steps": (1, math.inf), "batch_frames": (64, math.inf),
    "learning_rate": (0, math.inf), "guidance_scale": (-100, 100), "temperature": (0, 2), "upper_face_temperature": (0, 2),
    "ema": (0, 1), "seed": (0, math.inf), "save_every": (1, math.inf), "validation_clips": (0, math.inf),
    "encoder_width": (1, 16_384), "encoder_steps": (1, math.inf), "encoder_learning_rate": (0, math.inf),
}  # fmt: skip
FIELDS = {"guidance_scale": "guidance"}  # the command line's names of fields, where they differ


@dataclass(frozen=True)
class DistillConfig:
    """How to distil.

    Args:
        steps: steps the student ends with, a power of two under 256.
        stage_steps: optimiser steps of a halving whose student is not kept.
        kept_stage_steps: optimiser steps of a halving whose student is kept: the last, and all from 8 steps down.
        batch_frames: motion frames a batch.
        learning_rate: at the start of a stage; it falls to 0 over the stage.
        guidance_scale: baked in at the first stage; None takes the teacher's default.
        temperature: Sampling temperature stored as the student's default: std of the starting noise of the lower face.
            Neither this nor the next changes the distillation.
        upper_face_temperature: Sampling temperature of the upper face, whose blinks and brows speech says little of.
        ema: decay of the averaged weights.
        bf16: compute matrix products in bfloat16, where the device has it.
        seed: of batches and noise.
        save_every: steps between states that a killed run resumes from.
        validation_clips: clips that each stage is measured on; 0 measures nothing.
        encoder_width: width of the student's own audio encoder; None keeps the teacher's, but of HuBERT and its like, whose
            student gets one of its features' width.
        encoder_from: model, by name or folder, whose student's compact encoder is trained further; it says the width.
        denoiser_from: model, by name or folder, whose students, of the same teacher, lend their denoisers; the halvings go on
            below them.
        encoder_steps: optimiser steps of its stage.
        encoder_learning_rate: peak of that stage's cosine, after a warm-up.

    Raises:
        InputError: a value is out of bounds.
    """

    steps: int = 8
    stage_steps: int = 500
    kept_stage_steps: int = 1000
    batch_frames: int = 4096
    learning_rate: float = 3e-4
    guidance_scale: float | None = None
    temperature: float = 0.85
    upper_face_temperature: float = 1.05
    ema: float = 0.99
    bf16: bool = False
    seed: int = 0
    save_every: int = 200
    validation_clips: int = 4
    encoder_width: int | None = None
    encoder_from: str | None = None
    denoiser_from: str | None = None
    encoder_steps: int = 3000
    encoder_learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        for name, (low, high) in BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not (low <= value <= high and math.isfinite(value)):
                expected = f"{low} or more" if high == math.inf else f"{low} to {high}"
                raise InputError(f"found {name} = {value}; expected {expected}", field=FIELDS.get(name, name))

    def settings(self) -> dict[str, float | str | None]:
        """Return the settings that a resumed run must share: a run for 8 steps goes on to fewer, measured on any clips."""
        settings = asdict(self) | {"steps": max(self.steps, DEFAULT_STEPS)}
        del settings["validation_clips"]
        return {name: value for name, value in settings.items() if value is not None}


def stages(steps: int) -> list[int]:
    """Return the step counts of the successive students: 128, 64, … down to `steps`.

    Raises:
        InputError: `steps` is no power of two under 256.
    """
    if steps < 1 or steps >= MAX_TIMESTEP or steps & (steps - 1):
        raise InputError(f"found {steps} steps; expected a power of two from 1 to {MAX_TIMESTEP // 2}; use --steps 8")
    return [2**power for power in range(int(math.log2(MAX_TIMESTEP)) - 1, int(math.log2(steps)) - 1, -1)]


def distill(model: Path, dataset_folder: Path, config: DistillConfig, *, device: str = "auto", on_progress: OnProgress) -> Path:
    """Distil `model/teacher.safetensors` and write its students; a started run is resumed.

    A run that ended at 8 steps goes on to fewer. Each stage adds its row to `model/run-student/stages.csv`.

    Args:
        model: model folder with a teacher; the run's own files lie in `model/run-student`.
        dataset_folder: the prepared dataset; its training split is distilled on.
        config: how to distil.
        device: "auto", "cpu", "cuda" or "mps".
        on_progress: called after every step.

    Returns:
        The file of the student of `config.steps` steps.

    Raises:
        InputError: the dataset cannot be used or does not fit the teacher, the run folder holds another run, or the run went
            on from a student that is asked for and no longer there.
        ModelError: there is no teacher, its pretrained encoder is gone or another, or what is to be trained further or kept
            is not there or does not fit.
        MachineError: no such device.
    """
    if os.environ.get("WORLD_SIZE", "1").strip() not in ("", "1"):
        raise MachineError(
            "found several processes (WORLD_SIZE); expected one: distillation runs in one process, without torchrun"
        )
    where = choose_device(device)
    halvings, first_halving = stages(config.steps), 0
    original = load_model(model / "teacher.safetensors", "teacher")
    # Students of pretrained encoders carry a compact one; Whisper's layers come with talker.
    if original.config.audio_encoder not in (COMPACT, WHISPER) and config.encoder_width is None:
        config = replace(config, encoder_width=original.config.feature_width)
    contents: dict[str, str] = {}
    known = None
    if config.encoder_from is not None:
        weights = main_weights(model_folder(config.encoder_from))
        known, contents["audio encoder"] = load_model(weights, "student"), file_hash(weights)
        config = replace(config, encoder_width=known.config.encoder_width or known.config.feature_width)
    lenders = {} if config.denoiser_from is None else lenders_of(model_folder(config.denoiser_from), model)
    if lenders:
        contents |= {f"denoiser of {path.name}": file_hash(path) for path in lenders.values()}
        first_halving = sum(count >= min(lenders) for count in halvings)
        if config.encoder_width is None and first_halving == len(halvings):
            raise InputError(f"found students down to {min(lenders)} steps and nothing to learn; expected fewer steps, or an "
                             "encoder's width", field="denoiser_from")  # fmt: skip
    dataset = Dataset(dataset_folder)
    dataset.check_model(original.config.names, original.config.fps, load_rig(model / "rig.safetensors").rig.basis)
    if missing := sorted(set(dataset.trained) - set(original.config.identities)):
        raise InputError(
            f"{dataset_folder} holds motion of {missing[0]}, whom the teacher does not know; expected those that it was "
            "trained on; choose its own dataset, or train a teacher on this one"
        )
    settings = {"dataset": str(dataset_folder), "teacher": file_hash(model / "teacher.safetensors"), **config.settings()}
    run = RunFolder(model / "run-student", settings, {"dataset": dataset.content(), **contents})
    # An encoder of the student's own learns from changed log-mel what the teacher makes of the sound as it is.
    cache = features_for(original.config, dataset, where, SOUND_VARIANTS if config.encoder_width is None else 0)
    if cache is not None:
        cache.fill(on_progress)
    with_mel = cache is None or config.encoder_width is not None
    bank = ClipBank(dataset, "train", _by_name(original.config), cache, KNOWN_PHONES, with_mel)
    scale = original.config.guidance_scale if config.guidance_scale is None else config.guidance_scale
    metric = SurfaceMetric(dataset.rig.rig, original.std.numpy(), LossWeights()).to(where)
    measured = copy.deepcopy(original)
    measured.config = replace(
        original.config, guidance_scale=scale, temperature=config.temperature,
        upper_face_temperature=config.upper_face_temperature, upper_face=dataset.rig.rig.upper_face_names(),
    )  # fmt: skip
    table = StageTable(run.folder, dataset, measured, config.validation_clips, where)
    gap_rows = torch.from_numpy(dataset.rig.rig.lip_gap_rows()).float().to(where)

    teacher, student = original.to(where), _student_of(original, config, known).to(where)
    average = Average(student, config.ema)
    modules: dict[str, nn.Module] = {"teacher": teacher, "student": student, "average": average.module}
    halving = _Halving(teacher, student, bank, metric, gap_rows, config, scale)
    reader = None
    if config.encoder_width is not None and cache is not None and cache.encoder.phones:
        reader = modules["reader"] = phone_reader(original.config.feature_width, len(cache.encoder.phones)).to(where)
    encoding = _Encoding(teacher, student, bank, metric, gap_rows, config, cache, reader)

    def hand_over() -> None:
        """Start the next stage from the averaged student; its denoiser is the next teacher's, whose encoder stays."""
        if stage == ENCODER_STAGE and lenders:
            remove([path for path in students_of(model) if path.name not in {lender.name for lender in lenders.values()}])
            for count, lender in lenders.items():
                lend(lender, average.module, model, config.encoder_width)
                table.measure(average.module, count)
        student.load_state_dict(average.module.state_dict())
        teacher.denoiser.load_state_dict(average.module.denoiser.state_dict())

    saved = run.load({}, None)  # which stage it is in says whose state the optimizer's is
    stage, first = (saved["stage"], saved["step"]) if saved else (ENCODER_STAGE, 0)
    if stage == ENCODER_STAGE and config.encoder_width is None:
        hand_over()
        stage = first_halving
    smoothed: dict[str, float] = saved.get("smoothed", {}) if saved else {}
    optimizer = _optimizer(student, stage, config, reader)
    run.load(modules, optimizer)

    half = config.bf16 and has_bf16(where)
    while stage < len(halvings):
        count = halvings[max(stage, 0)]
        kept = count <= max(config.steps, DEFAULT_STEPS)
        total = config.kept_stage_steps if kept else config.stage_steps
        name, label = str(count), f"{2 * count} to {count} steps"
        if stage == ENCODER_STAGE:
            total, name, label = config.encoder_steps, "encoder", "encoder"
        for step in range(first, total):
            for group in optimizer.param_groups:
                if stage == ENCODER_STAGE:
                    group["lr"] = warmed_cosine(step, total, math.ceil(ENCODER_WARMUP * total), config.encoder_learning_rate)
                else:
                    group["lr"] = config.learning_rate * (1 - step / total)
            with torch.autocast(where.type, torch.bfloat16, enabled=half):
                losses = encoding.losses(step) if stage == ENCODER_STAGE else halving.losses(stage, step, count)
            torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
            values = {key: loss.item() for key, loss in losses.items()}
            check_finite(f"step {step + 1} of {total} ({label})", values, float(norm), run.state_path)
            optimizer.step()
            optimizer.zero_grad()
            average.update(student, step)
            for key, value in values.items():
                smoothed[key] = 0.98 * smoothed.get(key, value) + 0.02 * value
            done = step + 1
            if done % config.save_every == 0 and done < total:
                run.save(done, modules, optimizer, {"stage": stage, "smoothed": smoothed})
            on_progress(Progress(done, total, dict(smoothed), label))
        row = {key: round(loss, 6) for key, loss in smoothed.items()}
        if stage == ENCODER_STAGE:
            row |= encoding.validate(dataset, average.module)
        run.log({"stage": name, "step": total, **row})
        hand_over()
        if stage != ENCODER_STAGE:
            average.module.config = student_config(measured.config, count, config.encoder_width)
            if kept:
                remove(students_below(model, count))  # of a teacher before this one
                save(student_path(model, count, config.steps), average.module)
            table.measure(average.module, count)
        stage, first, smoothed = max(stage + 1, first_halving), 0, {}
        optimizer = _optimizer(student, stage, config, reader)
        run.save(0, modules, optimizer, {"stage": stage})

    # A file that was deleted since comes back.
    for lender in lenders.values():
        if not (model / lender.name).is_file():
            lend(lender, copy.deepcopy(average.module), model, config.encoder_width)
    if first_halving == len(halvings):
        return model / lenders[max(lenders)].name
    path = student_path(model, config.steps, config.steps)
    if stage == len(halvings):
        average.module.config = student_config(measured.config, config.steps, config.encoder_width)
        save(path, average.module)
    elif not path.is_file():
        raise InputError(
            f"the run in {run.folder} has gone on to {MAX_TIMESTEP >> stage} steps and {path} is gone; expected it to be "
            "there; delete the run folder and distil again"
        )
    return path


def _by_name(teacher: ModelConfig) -> ModelConfig:
    """Return the config for clips whose styles are taken by name: no voice has to be measured."""
    return replace(teacher, voice_measures=())


def _student_of(teacher: FaceDiffusion, config: DistillConfig, known: FaceDiffusion | None = None) -> FaceDiffusion:
    """Return the network that a distillation starts with: the teacher's, with an encoder of its own if one is asked for.

    Raises:
        ModelError: the encoder of `known` does not fit.
    """
    student = copy.deepcopy(teacher)
    if config.encoder_width is not None:
        student.config = with_encoder(teacher.config, config.encoder_width)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            student.encoder = CompactEncoder(student.config).eval()
    if known is not None:
        try:
            student.encoder.load_state_dict(known.encoder.state_dict())
        except RuntimeError as error:
            raise ModelError(
                f"the audio encoder of {config.encoder_from} does not fit the teacher; expected a compact one that makes "
                f"{teacher.config.feature_width} numbers a frame", field="encoder_from",
            ) from error  # fmt: skip
    return student


def _optimizer(student: FaceDiffusion, stage: int, config: DistillConfig, reader: nn.Module | None) -> torch.optim.AdamW:
    """Return the optimizer of a stage, with no state yet; what it does not move has no gradients."""
    student.encoder.requires_grad_(stage == ENCODER_STAGE)
    student.denoiser.requires_grad_(stage != ENCODER_STAGE)
    learned: list[nn.Module] = [student.denoiser]
    if stage == ENCODER_STAGE:
        learned = [student.encoder] if reader is None else [student.encoder, reader]
    parameters = [parameter for module in learned for parameter in module.parameters()]
    return torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=0.0)


@dataclass
class _Draw:
    """The random part of a step: a function of the seed and the place (stage, step) alone, so that runs resume.

    Args:
        batch: of B crops.
        mel: (B, T * mels_per_frame, bands), augmented or not; None where nothing reads it.
        noise: (B, T, K).
        rng: for what else a stage draws.
    """

    batch: Batch
    mel: Tensor | None
    noise: Tensor
    rng: np.random.Generator

    @classmethod
    def at(cls, bank: ClipBank, config: DistillConfig, place: tuple[int, int], where: torch.device) -> "_Draw":
        rng = np.random.default_rng([config.seed, *place])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        batch = bank.batch(config.batch_frames, rng, augment=True)
        mel = batch.mel
        if mel is not None:
            mel = (augment_mel(mel, generator) if rng.random() < 0.7 else mel).to(where)
        noise = torch.randn(batch.coefficients.shape, generator=generator)
        return cls(batch.to(where), mel, noise.to(where), rng)


@dataclass
class _Stage:
    """What every stage learns from, and how its losses are measured."""

    teacher: FaceDiffusion
    student: FaceDiffusion
    bank: ClipBank
    metric: SurfaceMetric
    gap_rows: Tensor
    config: DistillConfig


@dataclass
class _Encoding(_Stage):
    """The stage in which the student's encoder learns from the teacher's."""

    cache: FeatureCache | None
    reader: nn.Linear | None

    @cached_property
    def std(self) -> Tensor:
        """(D,) of the teacher's features, the same in every resumed run."""
        return feature_std(torch.cat([wanted.flatten(0, 1) for _, wanted in self._clean(self.bank, STD_BATCHES)]))

    def _clean(self, bank: ClipBank, count: int) -> list[tuple[Batch, Tensor]]:
        """Return batches without augmentation, and the teacher's features (B, T, D) of them."""
        found = []
        for index in range(count):
            rng = np.random.default_rng([self.config.seed, ENCODER_DRAWS, index])
            batch = bank.batch(self.config.batch_frames, rng, augment=False).to(self.gap_rows.device)
            found.append((batch, teacher_features(self.teacher, batch, batch.mel)))
        return found

    def losses(self, step: int) -> dict[str, Tensor]:
        draw = _Draw.at(self.bank, self.config, (ENCODER_DRAWS, step), self.gap_rows.device)
        assert draw.mel is not None
        size = len(draw.batch.identity)
        spread = (draw.rng.permutation(size) + draw.rng.random()) / size
        t = torch.from_numpy(spread).float().clamp(min=1 / MAX_TIMESTEP).to(self.gap_rows.device)
        gap = lip_gap_of(draw.batch.coefficients, self.gap_rows)
        return encoder_losses(self.teacher, self.student, draw.batch, draw.mel, draw.noise, t, self.std, self.metric, gap,
                              self.reader)  # fmt: skip

    @torch.no_grad()
    def validate(self, dataset: Dataset, student: FaceDiffusion) -> dict[str, float]:
        """Return the error of the features on the validation split, if there is one."""
        if not dataset.clips("validation"):
            return {}
        batches = self._clean(ClipBank(dataset, "validation", _by_name(self.teacher.config), self.cache), VALIDATION_BATCHES)
        errors = [feature_error(student.encoder(batch.mel), wanted, self.std).item() for batch, wanted in batches]
        return {"validation_features": round(float(np.mean(errors)), 6)}


@dataclass
class _Halving(_Stage):
    """The stages in which one step of the student learns to land where two of the teacher's do."""

    guidance_scale: float

    def losses(self, stage: int, step: int, count: int) -> dict[str, Tensor]:
        """Return the losses of a step of the halving to `count` steps, by name; their sum is what falls."""
        where = self.gap_rows.device
        draw = _Draw.at(self.bank, self.config, (stage, step), where)
        batch, rng = draw.batch, draw.rng
        guidance = self.guidance_scale if stage == 0 else 1.0
        # The student's own timesteps, i / count with i from 1 to count, spread evenly over the batch.
        size = len(batch.identity)
        shuffled = torch.from_numpy(rng.permutation(size)).to(where)
        t = ((shuffled * count // size + int(rng.integers(count))) % count + 1).float() / count

        teacher, student = self.teacher, self.student
        with torch.no_grad():
            if self.config.encoder_width is None:
                features = teacher_features(teacher, batch, draw.mel)
            else:
                features = student.encoder(draw.mel).float()
            style = teacher.personalizer.named(batch.identity)
            x_t = add_noise(teacher.normalise(batch.coefficients), draw.noise, t)
            target = distillation_target(
                lambda x, time: teacher.guided_x0(x, time, features, style, guidance, emotion=batch.emotion).float(),
                x_t, t, 1.0 / count,
            )  # fmt: skip
            gap = lip_gap_of(batch.coefficients, self.gap_rows)
        predicted = student.predict_x0(x_t, t, features, style, batch.emotion).float()
        # Divided by sigma, the error of x0 is that of v: the weighting SNR + 1 of Salimans & Ho, section 4.
        _, sigma = alpha_sigma(t[:, None, None])
        losses = {"distillation": self.metric((predicted - target) / sigma, gap)}
        return losses
