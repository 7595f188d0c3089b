"""A training that is not one: a few real steps, to say what the whole would take. Nothing is written."""

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from talker_cli.data.dataset import Dataset
from talker_cli.machine.memory import peak_memory
from talker_cli.model.config import COMPACT, SAMPLE_RATE
from talker_cli.model.pretrained import CORE, MARGIN, describe, load_encoder
from talker_cli.train.features import FeatureCache
from talker_cli.train.teacher import TrainConfig, Trainer, make_accelerator, with_architecture

WARM_UP = 3  # steps: the first ones allocate and choose algorithms
LEAST_STEPS, LEAST_SECONDS = 5, 4.0  # to measure


@dataclass(frozen=True)
class Rehearsal:
    """What a training is going to take.

    Args:
        parameters: how many, by part; "training" are those of the heads that only training needs, "pretrained" those of an
            audio encoder that is not trained.
        memory_bytes: at most, of the process, or of the GPU's memory where it runs on one.
        device: "cpu" or "cuda".
        processes: how many share a batch.
        steps: of the whole training.
        steps_per_second: measured.
        encoding_seconds: that a pretrained encoder will take over the recordings whose features are not there yet.
        seconds: of the whole training, its validations and the encoding included.
    """

    parameters: dict[str, int]
    memory_bytes: int
    device: str
    processes: int
    steps: int
    steps_per_second: float
    encoding_seconds: float
    seconds: float

    def row(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return asdict(self)


class _BlankFeatures(FeatureCache):
    """Zeros for what is not there yet: a step takes as long with them."""

    def read(self, recording: str) -> np.ndarray:
        """Return the features (T, W) float16 of a recording's frames, or zeros."""
        return super().read(recording) if self.has(recording) else np.zeros(self.shape(recording), np.float16)


def rehearse(dataset_folder: Path, config: TrainConfig, *, device: str = "auto") -> Rehearsal:
    """Measure a few steps of a training, after a warm-up.

    Args:
        dataset_folder, config, device: as for `train`.

    Raises:
        InputError: the dataset cannot be trained on.
        ModelError: the audio encoder cannot be used.
        MachineError: no such device.
    """
    config, dataset = with_architecture(config), Dataset(dataset_folder)
    accelerator = make_accelerator(config, device)
    cache, pretrained, encoding = None, 0, 0.0
    if config.model.audio_encoder != COMPACT:
        cache = _BlankFeatures(dataset, describe(config.model.audio_encoder), accelerator.device)
        pretrained, rate = _time_encoder(cache, accelerator.device)
        encoding = sum(map(dataset.seconds, cache.missing())) / rate / accelerator.num_processes
    trainer = Trainer(dataset, config, accelerator, rig="", cache=cache)
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
    if cache is not None:
        parameters["pretrained"] = pretrained
    cuda = accelerator.device.type == "cuda"
    memory = torch.cuda.max_memory_allocated() if cuda else peak_memory()
    accelerator.end_training()
    return Rehearsal(
        parameters,
        memory,
        accelerator.device.type,
        accelerator.num_processes,
        config.steps,
        rate,
        encoding,
        encoding + config.steps / rate + math.ceil(config.steps / config.validate_every) * validation,
    )


def _time_encoder(cache: FeatureCache, device: torch.device) -> tuple[int, float]:
    """Return a pretrained encoder's parameters, and how many seconds of sound it hears in one."""
    encoder = load_encoder(cache.encoder, device)
    window = np.random.default_rng(0).normal(0.0, 0.1, (CORE + 2 * MARGIN) * cache.encoder.stride).astype(np.float32)
    for _ in range(2):  # the first time to warm up
        started = time.perf_counter()
        encoder.window(window).cpu()
        passed = time.perf_counter() - started
    return encoder.parameters, CORE * cache.encoder.stride / SAMPLE_RATE / passed


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
