"""Distil a teacher's sampler into a student of few steps by progressive halving (Salimans & Ho 2022; 2311.16565, section 3.3).

256 -> 128 -> … -> 8: one step of the student is trained to land where two DDIM steps of its teacher land; then the student
becomes the teacher. The first stage's teacher is guided, so the student needs no guidance. Halvings under 8 keep the
students they pass: student.safetensors has 8 steps, student-4.safetensors 4, and so on.
"""

import copy
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from talker_cli.data.prepared import Dataset
from talker_cli.errors import InputError
from talker_cli.files import file_hash
from talker_cli.model.checkpoint import load_model, save_model
from talker_cli.model.config import MAX_TIMESTEP, ModelConfig
from talker_cli.model.device import choose_device
from talker_cli.model.diffusion import add_noise, alpha_sigma, two_step_target
from talker_cli.model.network import FaceDiffusion
from talker_cli.training.augment import augment_mel
from talker_cli.training.batches import ClipBank
from talker_cli.training.objective import LossWeights, SurfaceMetric, lip_gap_of
from talker_cli.training.run import Average, OnProgress, Progress, RunFolder
from talker_cli.training.stages import StageTable

DEFAULT_STEPS = 8  # of student.safetensors, unless a distillation ends before


@dataclass(frozen=True)
class DistillConfig:
    """How to distil.

    Args:
        steps: steps the student ends with, a power of two under 256.
        stage_steps: optimiser steps of a halving whose student is not kept.
        last_stage_steps: optimiser steps of a halving whose student is kept: the last, and all from 8 steps down.
        batch_frames: motion frames a batch.
        learning_rate: at the start of a stage; it falls to 0 over the stage.
        guidance_scale: baked in at the first stage; None takes the teacher's default.
        noise_scale: recorded as the student's deviation of the starting noise; it does not change the distillation.
        ema: decay of the averaged weights.
        bf16: compute matrix products in bfloat16.
        seed: of batches and noise.
        save_every: steps between states that a killed run resumes from.
        validation_clips: clips that each stage is measured on; 0 measures nothing.
    """

    steps: int = 8
    stage_steps: int = 500
    last_stage_steps: int = 1000
    batch_frames: int = 4096
    learning_rate: float = 3e-4
    guidance_scale: float | None = None
    noise_scale: float = 0.7
    ema: float = 0.99
    bf16: bool = False
    seed: int = 0
    save_every: int = 200
    validation_clips: int = 4


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
        device: "auto", "cpu" or "cuda".
        on_progress: called after every step.

    Returns:
        The file of the student of `config.steps` steps.

    Raises:
        InputError: the dataset cannot be used, the run folder holds another run, or the run went on from a student that
            is asked for and no longer there.
        ModelError: there is no teacher.
        MachineError: no such device.
    """
    where = choose_device(device)
    halvings = stages(config.steps)
    original = load_model(model / "teacher.safetensors", "teacher")
    settings = {"dataset": str(dataset_folder), "teacher": file_hash(model / "teacher.safetensors"), **asdict(config)}
    # Down to 8 steps, a run for 8 and one for fewer are the same; what is measured changes no weights.
    settings |= {"steps": max(config.steps, DEFAULT_STEPS)}
    del settings["validation_clips"]
    run = RunFolder(model / "run-student", settings)
    dataset = Dataset(dataset_folder)
    bank = ClipBank(dataset, "train", original.config)
    scale = original.config.guidance_scale if config.guidance_scale is None else config.guidance_scale
    metric = SurfaceMetric(dataset.rig.rig, original.deviation.numpy(), LossWeights()).to(where)
    measured = copy.deepcopy(original)
    measured.config = replace(original.config, guidance_scale=scale, noise_scale=config.noise_scale)
    table = StageTable(run.folder, dataset, measured, config.validation_clips, where)
    gap_rows = torch.from_numpy(dataset.rig.rig.lip_gap_rows()).float().to(where)

    teacher, student = original.to(where), copy.deepcopy(original).to(where)
    student.denoiser.requires_grad_(True)
    average = Average(student, config.ema)
    optimizer = torch.optim.AdamW(student.denoiser.parameters(), lr=config.learning_rate, weight_decay=0.0)
    modules = {"teacher": teacher, "student": student, "average": average.module}
    saved = run.load(modules, optimizer)
    stage, first = (saved["stage"], saved["step"]) if saved else (0, 0)

    while stage < len(halvings):
        count = halvings[stage]
        total = config.last_stage_steps if count <= max(config.steps, DEFAULT_STEPS) else config.stage_steps
        smoothed = 0.0
        for step in range(first, total):
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * (1 - step / total)
            with torch.autocast(where.type, torch.bfloat16, enabled=config.bf16):
                guidance = scale if stage == 0 else 1.0
                loss = _step_loss(teacher, student, bank, metric, gap_rows, config, (stage, step), count, guidance)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(student.denoiser.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            average.update(student, step)
            smoothed = loss.item() if step == first else 0.98 * smoothed + 0.02 * loss.item()
            done = step + 1
            if done % config.save_every == 0 and done < total:
                run.save(done, modules, optimizer, {"stage": stage})
            on_progress(Progress(done, total, {"distillation": smoothed}, f"{2 * count} to {count} steps"))
        run.log({"stage": str(count), "step": total, "distillation": round(smoothed, 6)})
        # The averaged student is the next stage's teacher, and where its student starts.
        teacher.load_state_dict(average.module.state_dict())
        student.load_state_dict(average.module.state_dict())
        average.module.config = student_config(original.config, count, config.noise_scale)
        if count <= max(config.steps, DEFAULT_STEPS):
            save_model(student_path(model, count, config.steps), average.module)
        table.measure(average.module, count)
        optimizer = torch.optim.AdamW(student.denoiser.parameters(), lr=config.learning_rate, weight_decay=0.0)
        stage, first = stage + 1, 0
        run.save(0, modules, optimizer, {"stage": stage})

    path = student_path(model, config.steps, config.steps)
    if stage == len(halvings):  # a file that was deleted since comes back
        average.module.config = student_config(original.config, config.steps, config.noise_scale)
        save_model(path, average.module)
    elif not path.is_file():
        raise InputError(
            f"the run in {run.folder} has gone on to {MAX_TIMESTEP >> stage} steps and {path} is gone; expected it to be "
            "there; delete the run folder and distil again"
        )
    return path


def student_path(model: Path, count: int, last: int) -> Path:
    """Return where the student of `count` steps lies, of a distillation down to `last`: the plain name is the 8 steps'."""
    plain = count == max(last, DEFAULT_STEPS)
    return model / ("student.safetensors" if plain else f"student-{count}.safetensors")


def student_config(teacher: ModelConfig, steps: int, noise_scale: float) -> ModelConfig:
    """Return the config of a student of `teacher` with `steps` evenly spaced timesteps; its guidance is baked in."""
    timesteps = tuple(MAX_TIMESTEP * (steps - index) // steps for index in range(steps))
    return replace(teacher, kind="student", timesteps=timesteps, guidance_scale=1.0, noise_scale=noise_scale)


def _step_loss(
    teacher: FaceDiffusion,
    student: FaceDiffusion,
    bank: ClipBank,
    metric: SurfaceMetric,
    gap_rows: Tensor,
    config: DistillConfig,
    position: tuple[int, int],
    count: int,
    guidance: float,
) -> Tensor:
    """Return the loss of one step: a function of the weights, the seed and `position` (stage, step), so that runs resume."""
    rng = np.random.default_rng([config.seed, *position])
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    batch = bank.batch(config.batch_frames, rng, augment=True)
    mel = augment_mel(batch.mel, generator) if rng.random() < 0.7 else batch.mel
    noise = torch.randn(batch.coefficients.shape, generator=generator)
    where = gap_rows.device
    batch, mel, noise = batch.to(where), mel.to(where), noise.to(where)
    # The student's own timesteps, i / count with i from 1 to count, spread evenly over the batch.
    size = len(batch.identity)
    shuffled = torch.from_numpy(rng.permutation(size)).to(where)
    t = ((shuffled * count // size + int(rng.integers(count))) % count + 1).float() / count

    with torch.no_grad():
        features = teacher.encoder(mel).float()  # the encoder is the teacher's, and stays as it is
        style = teacher.personalizer.named(batch.identity)
        x_t = add_noise(teacher.normalise(batch.coefficients), noise, t)
        target = two_step_target(
            lambda x, time: teacher.guided_x0(x, time, features, style, guidance).float(), x_t, t, 1.0 / count
        )
        gap = lip_gap_of(batch.coefficients, gap_rows)
    predicted = student.predict_x0(x_t, t, features, style).float()
    # Divided by sigma, the error of x0 is that of v: the weighting SNR + 1 of Salimans & Ho, section 4.
    _, sigma = alpha_sigma(t[:, None, None])
    return metric((predicted - target) / sigma, gap)
