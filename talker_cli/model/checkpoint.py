"""Weights files: a network's tensors as safetensors, its config in the metadata."""

from pathlib import Path

import numpy as np
import torch

from talker_cli.errors import ModelError
from talker_cli.formats.files import ArrayFile, write_arrays
from talker_cli.formats.schema import reading
from talker_cli.model.header import config_of
from talker_cli.model.network import FaceDiffusion


def save_model(path: Path, network: FaceDiffusion) -> None:
    """Write a network's weights with its config in the metadata, atomically; the same weights give the same bytes.

    A student is stored in half precision: it is what people download, and its motion changes by less than its 8 steps do.

    Raises:
        ModelError: a weight is not finite in the precision of the file.
        OutputError: the file cannot be written.
    """
    dtype = np.float16 if network.config.kind == "student" else np.float32
    with np.errstate(over="ignore"):
        arrays = {name: tensor.detach().cpu().numpy().astype(dtype) for name, tensor in network.state_dict().items()}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ModelError(
                f"the weights for {path} hold NaN or infinity in '{name}'; expected finite ones; nothing is written"
            )
    write_arrays(path, arrays, {"kind": "model", "config": network.config.to_json()})


def load_model(path: Path, kind: str) -> FaceDiffusion:
    """Read a network in evaluation mode on the CPU.

    Args:
        path: a safetensors file.
        kind: "teacher" or "student".

    Raises:
        ModelError: the file is missing, damaged, foreign, or the other kind.
    """
    file = ArrayFile(path, f"{kind} model")
    config = config_of(file, kind)
    with reading(path, "weights that fit their config; train or download them again", ModelError):
        with torch.device("meta"):  # no time spent on random weights that are replaced at once
            network = FaceDiffusion(config)
        shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        if unknown := sorted(file.names.keys() - shapes.keys()):
            raise ModelError(
                f"{path} holds the unknown tensor '{unknown[0][:60]}'; expected those of its config; train it again"
            )
        state = {name: torch.from_numpy(_floats(file, name, shape)) for name, shape in shapes.items()}
        network.load_state_dict(state, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def _floats(file: ArrayFile, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return a tensor of the file as float32, checked to be of this shape and of a floating-point type."""
    array = file.array(name, shape=shape)
    if array.dtype not in (np.float16, np.float32):
        raise ModelError(f"{file.path} is damaged ({name} is of {array.dtype}); expected float16 or float32; train it again")
    return array.astype(np.float32)
