"""Train a teacher on a prepared dataset: one loop, one process; under torchrun the same program on many."""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from talker_cli.data.prepared import Dataset
from talker_cli.errors import InputError
from talker_cli.files import file_hash
from talker_cli.model.checkpoint import load_model, save_model
from talker_cli.model.config import ModelConfig
from talker_cli.model.device import choose_device
from talker_cli.model.folder import model_folder
from talker_cli.model.network import FaceDiffusion
from talker_cli.rig import save_rig
from talker_cli.training.augment import augment_mel
from talker_cli.training.batches import Batch, ClipBank
from talker_cli.training.objective import Draw, LossWeights, Objective
from talker_cli.training.run import Average, OnProgress, Progress, RunFolder


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Args:
        steps: optimiser steps.
        batch_frames: motion frames a batch, over all processes.
        learning_rate: peak of the cosine, after the warm-up.
        warmup: steps of linear warm-up.
        weight_decay: AdamW's.
        clip: largest norm of the gradient.
        ema: decay of the averaged weights that are saved.
        drop: probability of dropping the speech, and of dropping the style (guidance needs both).
        guidance_scale: recorded as the teacher's default at sampling; it does not change the training.
        bf16: compute matrix products in bfloat16.
        seed: of weights, batches, noise.
        start: a model, by name or folder, whose teacher the training goes on from; None begins anew.
        save_every: steps between states that a killed run resumes from.
        validate_every: steps between validation losses.
    """

    steps: int = 6000
    batch_frames: int = 4096
    learning_rate: float = 1.5e-3
    warmup: int = 200
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    drop: float = 0.1
    guidance_scale: float = 1.0
    bf16: bool = False
    seed: int = 0
    start: str | None = None
    save_every: int = 200
    validate_every: int = 500


def learning_rate(step: int, config: TrainConfig) -> float:
    """Return the learning rate of a step: linear warm-up, then a cosine down to 1 % of the peak."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    share = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


def train(dataset_folder: Path, output: Path, config: TrainConfig, *, device: str = "auto", on_progress: OnProgress) -> Path:
    """Train a teacher and write `rig.safetensors` and `teacher.safetensors` to `output`; a started run is resumed.

    Args:
        dataset_folder: a prepared dataset.
        output: model folder; the run's own files lie in `output/run-teacher`.
        config: how to train.
        device: "auto", "cpu" or "cuda".
        on_progress: called after every step.

    Returns:
        The teacher's file.

    Raises:
        InputError: the dataset cannot be trained on, or `output` holds another run.
        MachineError: no such device.
    """
    dataset = Dataset(dataset_folder)
    output.mkdir(parents=True, exist_ok=True)
    run = RunFolder(output / "run-teacher", {"dataset": str(dataset_folder), **asdict(config)})
    accelerator = Accelerator(
        cpu=choose_device(device).type == "cpu",
        mixed_precision="bf16" if config.bf16 else "no",
        # A batch without a voice-matched clip leaves the personalizer's reading without a gradient.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    rig_path = output / "rig.safetensors"
    if accelerator.is_main_process:
        save_rig(rig_path, dataset.rig)
    accelerator.wait_for_everyone()

    torch.manual_seed(config.seed)
    model_config = ModelConfig(
        kind="teacher",
        rig=file_hash(rig_path),
        names=dataset.rig.rig.names,
        identities=dataset.info.identities,
        fps=dataset.info.fps,
        guidance_scale=config.guidance_scale,
    )
    bank = ClipBank(dataset, "train", model_config)
    if config.start is None:
        network = FaceDiffusion(model_config)
        network.set_normalisation(*bank.coefficient_statistics())
    else:
        network = _teacher_of(model_folder(config.start), model_config)
    objective = Objective(network, dataset.rig.rig, LossWeights(), len(bank.phone_names))
    average = Average(network, config.ema)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
    saved = run.load({"objective": objective, "average": average.module}, optimizer)
    first = saved["step"] if saved else 0
    average.module.to(accelerator.device)
    prepared, optimizer = accelerator.prepare(objective, optimizer)
    validation = (
        []
        if not dataset.clips("validation")
        else _validation_batches(ClipBank(dataset, "validation", model_config), config.batch_frames)
    )

    smoothed: dict[str, float] = {}
    for step in range(first, config.steps):
        batch, mel, draw = _draw_step(bank, config, step, accelerator)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        prepared.train()
        losses = prepared(batch, mel, draw)
        accelerator.backward(losses["total"])
        accelerator.clip_grad_norm_(prepared.parameters(), config.clip)
        optimizer.step()
        optimizer.zero_grad()
        average.update(network, step)
        for name, loss in losses.items():
            smoothed[name] = 0.98 * smoothed.get(name, loss.item()) + 0.02 * loss.item()
        done = step + 1
        if accelerator.is_main_process:
            if validation and (done % config.validate_every == 0 or done == config.steps):
                scores = _validate(objective, average.module, validation, accelerator.device)
                run.log({"stage": "teacher", "step": done, **_rounded(smoothed), **_rounded(scores)})
                smoothed |= {name: score for name, score in scores.items() if name == "validation"}
            if done % config.save_every == 0 or done == config.steps:
                run.save(done, {"objective": objective, "average": average.module}, optimizer.optimizer, {})
            on_progress(Progress(done, config.steps, dict(smoothed), "teacher"))

    path = output / "teacher.safetensors"
    if accelerator.is_main_process:
        save_model(path, average.module)
    accelerator.wait_for_everyone()
    return path


def _teacher_of(folder: Path, config: ModelConfig) -> FaceDiffusion:
    """Return the teacher of a model folder, with its own normalisation, to train on as `config`.

    Raises:
        InputError: it is for other coefficients, identities or another frame rate than the dataset.
        ModelError: there is no teacher.
    """
    network = load_model(folder / "teacher.safetensors", "teacher")
    found = network.config
    if replace(found, rig=config.rig, guidance_scale=config.guidance_scale) != config:
        raise InputError(
            f"{folder} is a model of {len(found.names)} coefficients and {len(found.identities)} identities at {found.fps:g} "
            f"fps; expected the dataset's {len(config.names)}, {len(config.identities)} and {config.fps:g}, by the same names; "
            "train without --start"
        )
    network.config = config
    return network.train().requires_grad_(True)


def _draw_step(bank: ClipBank, config: TrainConfig, step: int, accelerator: Accelerator) -> tuple[Batch, torch.Tensor, Draw]:
    """Return a step's batch, its augmented mel and its random draw: functions of (seed, step, rank), so that runs resume."""
    rng = np.random.default_rng([config.seed, step, accelerator.process_index])
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    batch = bank.batch(config.batch_frames // accelerator.num_processes, rng, augment=True)
    mel = batch.mel
    if rng.random() < 0.9:  # the clean recording counts too: it is what most users bring
        mel = augment_mel(mel, generator)
    draw = Draw.sample(batch, generator, config.drop)
    torch.manual_seed(int(rng.integers(2**62)))  # of dropout
    device = accelerator.device
    moved = Draw(*(getattr(draw, name).to(device) for name in Draw.__dataclass_fields__))
    return batch.to(device), mel.to(device), moved


def _validation_batches(bank: ClipBank, frames: int) -> list[tuple[Batch, Draw]]:
    """Return fixed batches and draws to validate on."""
    batches = []
    for index in range(8):
        batch = bank.batch(frames, np.random.default_rng([7, index]), augment=False)
        batches.append((batch, Draw.sample(batch, torch.Generator().manual_seed(index), 0.0)))
    return batches


@torch.no_grad()
def _validate(
    objective: Objective, network: FaceDiffusion, batches: list[tuple[Batch, Draw]], device: torch.device
) -> dict[str, float]:
    """Return the validation losses of the averaged weights, without augmentation or dropping."""
    original, objective.network = objective.network, network
    objective.eval()
    totals: dict[str, float] = {}
    for batch, draw in batches:
        moved = Draw(*(getattr(draw, name).to(device) for name in Draw.__dataclass_fields__))
        for name, loss in objective(batch.to(device), batch.mel.to(device), moved).items():
            key = "validation" if name == "diffusion" else f"validation_{name}"
            totals[key] = totals.get(key, 0.0) + loss.item() / len(batches)
    objective.network = original
    return totals


def _rounded(losses: dict[str, float]) -> dict[str, float]:
    return {name: round(loss, 5) for name, loss in losses.items()}
