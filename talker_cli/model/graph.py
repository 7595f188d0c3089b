"""A student as one ONNX graph, with everything between speech and motion: what `OnnxRunner`, and any other program, runs.

Four stages share the file; each output needs the inputs of its own stage alone:

    mel       <- windows (C, 400): the spectrogram of the compact encoder or, before its level is set, Whisper's
    features  <- encoder_input: mel (1, C, bands), or outputs (1, T, W) of a frozen encoder
    x0        <- noisy (1, T, K), t (1,), speech_features (1, T, D), style (1, S); emotion (1, T, E) where it knows some
    styles    <- voice: measures (N, M + 1), and told <- voice; of the first models, mel (N, C, bands)

What is float16 in the student's file is float16 in the graph. Its metadata hold the model's config, mean and standard deviation
of the coefficients, the styles of its identities, and the hash of the student's file.
"""

import importlib.util
import json
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from talker_cli.errors import MachineError
from talker_cli.formats.files import atomic_path, file_hash
from talker_cli.model import whisper
from talker_cli.model.checkpoint import load_model
from talker_cli.model.config import COMPACT, WHISPER
from talker_cli.model.mel import FFT, MEL_FLOOR, MEL_SCALE, MEL_SHIFT, WINDOW, mel_filters, window
from talker_cli.model.network import FaceDiffusion
from talker_cli.model.onnx_runner import METADATA

OPSET = 17
FRAMES = 40  # of the example that is traced; all lengths work
INPUTS = ("windows", "encoder_input", "speech_features", "noisy", "t", "style", "voice")
OUTPUTS = ("mel", "features", "x0", "styles")


class StudentGraph(nn.Module):
    """The stages of a student, side by side."""

    cosine: Tensor
    sine: Tensor
    filters: Tensor

    def __init__(self, network: FaceDiffusion) -> None:
        super().__init__()
        self.network = network
        self.whisper = network.config.audio_encoder == WHISPER
        size, curve, filters = (whisper.FFT, whisper.hann(), whisper.mel_filters()) if self.whisper else (
            FFT, window(), mel_filters(network.config.mel_bands)
        )  # fmt: skip
        angle = 2.0 * math.pi / size * np.outer(np.arange(WINDOW), np.arange(size // 2 + 1))
        # A Fourier transform by matrix products: every runtime has those.
        for name, basis in (("cosine", np.cos(angle)), ("sine", np.sin(angle))):
            self.register_buffer(name, torch.from_numpy((basis * curve[:, None]).astype(np.float32)))
        self.register_buffer("filters", torch.from_numpy(filters))

    def forward(
        self, windows: Tensor, encoder_input: Tensor, speech_features: Tensor, noisy: Tensor, t: Tensor, style: Tensor,
        voice: Tensor, emotion: Tensor | None = None,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """Return mel, features, x0 and styles; and told where the voice is measured."""
        power = ((windows @ self.cosine).square() + (windows @ self.sine).square()) @ self.filters
        if self.whisper:
            mel = torch.log(power.clamp(min=whisper.FLOOR)) / math.log(10.0)
        else:
            mel = (torch.log(power + MEL_FLOOR) + MEL_SHIFT) / MEL_SCALE
        x0 = self.network.predict_x0(noisy, t, speech_features, style, emotion)
        personalizer = self.network.personalizer
        outputs = mel, self.network.encoder(encoder_input), x0, personalizer.read(voice)
        return outputs if personalizer.voice is None else (*outputs, personalizer.told(voice))


def check_onnx() -> None:
    """Refuse a machine without the library that writes graphs.

    Raises:
        MachineError: it is missing.
    """
    if importlib.util.find_spec("onnx") is None:
        raise MachineError("found no onnx library; expected it for the student's graph; pip install -c constraints.txt onnx")


def export_student(weights: Path, path: Path) -> None:
    """Write a student's weights file as an ONNX graph, atomically; the same weights give the same bytes.

    Raises:
        ModelError: it is no student, or damaged.
        MachineError: the onnx library is missing.
        OutputError: the file cannot be written.
    """
    network = load_model(weights, "student")
    config = network.config
    width = config.mel_bands if config.audio_encoder == COMPACT else config.pretrained_width
    columns = FRAMES * (config.mels_per_frame if config.audio_encoder == COMPACT else 1)
    example = {
        "windows": torch.zeros(columns, WINDOW),
        "encoder_input": torch.zeros(1, columns, width),
        "speech_features": torch.zeros(1, FRAMES, config.feature_width),
        "noisy": torch.zeros(1, FRAMES, len(config.names)),
        "t": torch.ones(1),
        "style": torch.zeros(1, config.style_width),
        "voice": torch.zeros(1, FRAMES * config.mels_per_frame, config.mel_bands),
    }
    outputs = list(OUTPUTS)
    if config.voice_measures:
        example["voice"] = torch.zeros(1, len(config.voice_measures) + 1)
        outputs.append("told")
    axes = {
        "windows": {0: "C"}, "mel": {0: "C"}, "encoder_input": {1: "columns"}, "features": {1: "frames"},
        "speech_features": {1: "T"}, "noisy": {1: "T"}, "x0": {1: "T"}, "styles": {0: "N"},
        **({"voice": {0: "N"}, "told": {0: "N"}} if config.voice_measures else {"voice": {0: "N", 1: "C"}}),
    }  # fmt: skip
    inputs = list(INPUTS)
    if config.emotions:
        inputs.append("emotion")
        example["emotion"], axes["emotion"] = torch.zeros(1, FRAMES, len(config.emotions)), {1: "T"}
    about = {
        "config": config.to_json(),
        "mean": network.mean.tolist(),
        "std": network.std.tolist(),
        "styles": network.personalizer.named(torch.arange(len(config.identities))).tolist(),
        "weights": file_hash(weights),
    }
    write_graph(path, StudentGraph(network), [example[name] for name in inputs], inputs, outputs, axes, about)


def write_graph(
    path: Path, module: nn.Module, example: Sequence[Tensor], inputs: Sequence[str], outputs: Sequence[str],
    axes: dict[str, dict[int, str]], about: object,
) -> None:  # fmt: skip
    """Write a module as an ONNX graph, atomically.

    Args:
        path: File.
        module: In evaluation mode.
        example: Inputs to trace it with.
        inputs, outputs: Their names.
        axes: By name: the sides that may have any length.
        about: JSON for the file's metadata.

    Raises:
        MachineError: the onnx library is missing.
        OutputError: the file cannot be written.
    """
    check_onnx()
    import onnx

    with atomic_path(path) as temporary, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the tracer, about lengths that are constants
        torch.onnx.export(
            module, tuple(example), str(temporary), opset_version=OPSET, dynamo=False,
            input_names=list(inputs), output_names=list(outputs), dynamic_axes=axes,
        )  # fmt: skip
        model = onnx.load(str(temporary))
        _halve(model)
        del model.metadata_props[:]
        model.metadata_props.add(key=METADATA, value=json.dumps(about, sort_keys=True))
        onnx.checker.check_model(model)
        onnx.save(model, str(temporary))


def quantise(graph: Path, path: Path, keep: Sequence[str] = ()) -> None:
    """Write a copy of a graph of `write_graph`'s whose matrix products with constants are made in int8, atomically.

    A weight has 7 bits and a scale a column; what comes to it is quantised as it comes, with one scale. Sums of 8-bit weights
    overflow 16 bits on processors without VNNI; those of 7 bits are the same on all.

    Args:
        graph: File of the graph.
        path: File of the copy; may be the same.
        keep: Names of the nodes that stay as they are.

    Raises:
        MachineError: the onnx library is missing.
        OutputError: the file cannot be written.
    """
    check_onnx()
    import onnx
    from onnx import numpy_helper
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(str(graph))
    about = list(model.metadata_props)
    weights = {each.name: each for each in model.graph.initializer}
    for node in list(model.graph.node):
        if node.op_type == "Cast" and node.input[0] in weights:  # quantised is what is a constant
            weight = weights[node.input[0]]
            weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float32), node.output[0]))
            model.graph.node.remove(node)
    with atomic_path(path) as temporary:
        onnx.save(model, str(temporary))
        quantize_dynamic(
            temporary, temporary, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True, weight_type=QuantType.QInt8,
            reduce_range=True, nodes_to_exclude=list(keep), extra_options={"MatMulConstBOnly": True},
        )  # fmt: skip
        model = onnx.load(str(temporary))
        _halve(model)
        del model.metadata_props[:]
        model.metadata_props.extend(about)
        onnx.checker.check_model(model)
        onnx.save(model, str(temporary))


def _halve(model: "onnx.ModelProto") -> None:  # type: ignore[name-defined]  # noqa: F821
    """Store in half precision what is exactly that; runtimes make it float32 again when they load the graph."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for initializer in model.graph.initializer:
        if initializer.data_type != TensorProto.FLOAT:
            continue
        array = numpy_helper.to_array(initializer)
        half = array.astype(np.float16)
        if array.size < 64 or not np.array_equal(half.astype(np.float32), array):
            continue
        name = initializer.name
        initializer.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
