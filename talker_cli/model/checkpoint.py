"""Weights files: a network's tensors as safetensors, its config in the metadata."""

from pathlib import Path

import numpy as np
import torch

from talker_cli.errors import ModelError
from talker_cli.formats.files import ArrayFile, write_arrays
from talker_cli.model.config import COMPACT, ModelConfig
from talker_cli.model.network import FaceDiffusion


def save_model(path: Path, network: FaceDiffusion) -> None:
    """Write a network's weights with its config in the metadata, atomically; the same weights give the same bytes.

    A student's are stored in half precision: it is what people download, and its motion changes by less than its 8 steps do.
    """
    dtype = np.float16 if network.config.kind == "student" else np.float32
    arrays = {name: tensor.detach().cpu().numpy().astype(dtype) for name, tensor in network.state_dict().items()}
    write_arrays(path, arrays, {"kind": "model", "config": network.config.to_json()})


def read_config(path: Path, kind: str) -> ModelConfig:
    """Read what a weights file is, without its weights.

    Args:
        path: a safetensors file.
        kind: "teacher" or "student".

    Raises:
        ModelError: the file is missing, damaged, foreign, or the other kind.
    """
    return _config(ArrayFile(path, f"{kind} model"), kind)


def has_compact_encoder(folder: Path) -> bool:
    """Say whether the teacher of a model folder has a compact audio encoder, and not a pretrained one.

    Raises:
        ModelError: there is no teacher.
    """
    return read_config(folder / "teacher.safetensors", "teacher").audio_encoder == COMPACT


def _config(file: ArrayFile, kind: str) -> ModelConfig:
    if file.metadata.get("kind") != "model":
        raise ModelError(f"{file.path} holds a {file.metadata.get('kind')}; expected a {kind} model; check --model")
    config = ModelConfig.from_json(file.metadata["config"])
    if config.kind != kind:
        raise ModelError(f"{file.path} holds a {config.kind}; expected a {kind}; check --model")
    return config


def load_model(path: Path, kind: str) -> FaceDiffusion:
    """Read a network in evaluation mode on the CPU.

    Args:
        path: a safetensors file.
        kind: "teacher" or "student".

    Raises:
        ModelError: the file is missing, damaged, foreign, or the other kind.
    """
    file = ArrayFile(path, f"{kind} model")
    config = _config(file, kind)
    with torch.device("meta"):  # no time spent on random weights that are replaced at once
        network = FaceDiffusion(config)
    state = {name: torch.from_numpy(file.array(name).astype(np.float32)) for name in file.names}
    try:
        network.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit its own config ({str(error).splitlines()[0]}); train it again") from error
    return network.eval().requires_grad_(False)
