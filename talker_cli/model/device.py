"""Where the network runs."""

import torch

from talker_cli.errors import MachineError


def choose_device(device: str) -> torch.device:
    """Return the device of "auto", "cpu" or "cuda".

    Raises:
        MachineError: CUDA was asked for and PyTorch finds none.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise MachineError("found no CUDA device; expected one for --device cuda; use --device cpu or auto")
    return torch.device(device)
