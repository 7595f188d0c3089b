"""A training that is not one: a few real steps, to say what the whole would take. Nothing is written."""

import math
import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from talker_cli.data.prepared import Dataset
from talker_cli.train import TrainConfig, Trainer, make_accelerator, with_architecture

WARM_UP = 3  # steps: the first ones allocate and choose algorithms
LEAST_STEPS, LEAST_SECONDS = 5, 4.0  # to measure


@dataclass(frozen=True)
class Rehearsal:
    """What a training is going to take.

    Args:
        parameters: how many, by part; "training" are those of the heads that only training needs.
        memory_bytes: at most, of the process, or of the GPU's memory where it runs on one.
        device: "cpu" or "cuda".
        processes: how many share a batch.
        steps: of the whole training.
        steps_per_second: measured.
        seconds: of the whole training, its validations included.
    """

    parameters: dict[str, int]
    memory_bytes: int
    device: str
    processes: int
    steps: int
    steps_per_second: float
    seconds: float

    def row(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return asdict(self)


def rehearse(dataset_folder: Path, config: TrainConfig, *, device: str = "auto") -> Rehearsal:
    """Measure a few steps of a training, after a warm-up.

    Args:
        dataset_folder, config, device: as for `train`.

    Raises:
        InputError: the dataset cannot be trained on.
        MachineError: no such device.
    """
    config = with_architecture(config)
    accelerator = make_accelerator(config, device)
    trainer = Trainer(Dataset(dataset_folder), config, accelerator, rig="")
    for step in range(WARM_UP):
        trainer.step(step)
    started, step = time.perf_counter(), WARM_UP
    passed = 0.0
    # Processes take the same number of steps: each waits for the others in every one.
    while step < WARM_UP + LEAST_STEPS or passed < LEAST_SECONDS:
        trainer.step(step)
        step += 1
        passed = float(accelerator.reduce(torch.tensor(time.perf_counter() - started).to(accelerator.device), "mean"))
    rate = (step - WARM_UP) / passed
    started = time.perf_counter()
    if trainer.validation:
        trainer.validate()
    validation = time.perf_counter() - started
    network = trainer.network
    parts = {"encoder": network.encoder, "personalizer": network.personalizer, "denoiser": network.denoiser}
    parameters = {name: _count(part) for name, part in parts.items()}
    parameters["training"] = _count(trainer.objective) - _count(network)
    cuda = accelerator.device.type == "cuda"
    memory = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    accelerator.end_training()
    return Rehearsal(
        parameters,
        memory,
        accelerator.device.type,
        accelerator.num_processes,
        config.steps,
        rate,
        config.steps / rate + math.ceil(config.steps / config.validate_every) * validation,
    )


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
