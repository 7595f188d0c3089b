"""Weights files to networks that are ready to run: a student on a CPU by ONNX Runtime, everything else by PyTorch."""

from pathlib import Path

from talker_cli.errors import ModelError
from talker_cli.formats.files import file_hash
from talker_cli.model.config import COMPACT
from talker_cli.model.encoders import verified
from talker_cli.model.folder import GRAPH
from talker_cli.model.header import read_config
from talker_cli.model.runner import NetworkRunner


def load_runner(weights: Path, device: str, *, voices: bool = False) -> NetworkRunner:
    """Load a teacher or a student.

    Args:
        weights: `teacher.safetensors`, or a student's.
        device: "auto", "cpu", "cuda" or "mps". "auto" is the CPU for a student, and CUDA for a teacher where there is any.
        voices: Whether styles of voices alone are wanted, for which a frozen audio encoder need not be there.

    Raises:
        ModelError: the weights are missing, damaged, or not made for the folder's rig; or their audio encoder is.
        MachineError: no such device.
    """
    kind = "teacher" if weights.stem == "teacher" else "student"
    config = read_config(weights, kind)
    if config.rig != file_hash(weights.with_name("rig.safetensors")):
        raise ModelError(f"{weights} was made for another rig.safetensors; expected the one that it came with")
    if config.audio_encoder != COMPACT and not voices:
        verified(config)  # refused before the work begins
    graph = weights.with_suffix(GRAPH)
    if kind == "student" and device in ("auto", "cpu") and graph.is_file():
        from talker_cli.model.onnx_runner import OnnxRunner

        student = OnnxRunner(graph)
        if student.weights != file_hash(weights):
            raise ModelError(f"{graph} was made of other weights than {weights.name}; run: talker export-model {graph.parent}")
        return student
    from talker_cli.model.torch_runner import load_torch_runner

    return load_torch_runner(weights, "cpu" if kind == "student" and device == "auto" else device)
