"""Where the network runs."""

import torch

from talker_cli.errors import MachineError


def choose_device(device: str) -> torch.device:
    """Return the device of "auto", "cpu", "cuda" or "mps"; "auto" takes CUDA where there is any, and otherwise the CPU.

    Raises:
        MachineError: PyTorch finds no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise MachineError("found no CUDA device; expected one for --device cuda; use --device cpu or auto")
    if device == "mps" and not torch.backends.mps.is_available():
        raise MachineError("found no Apple GPU; expected one for --device mps; use --device cpu or auto")
    return torch.device(device)


def has_bf16(device: torch.device) -> bool:
    """Say whether a device multiplies matrices in bfloat16 faster than in float32: a CPU without it takes 15 times as long."""
    if device.type != "cpu":
        return True
    # Builds of PyTorch without oneDNN, as for some Macs, lack the function too.
    return hasattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported") and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
