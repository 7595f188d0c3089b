"""The student by ONNX Runtime in float32 and in int8, and by PyTorch: seconds for ten seconds of speech, error, closed lips.

Usage: python benchmarks/int8.py [--models talker-base talker-tiny] [--prepared PREPARED] [--each 3] [--rounds 7]

The int8 copies of the student's graph, and of Whisper's where a model reads it, are made here by ONNX Runtime's dynamic
quantisation of matrix products, a scale a column of weights; `onnx` is needed. Systems are timed in turn, each time on slightly
other speech, so that no frozen encoder answers from memory; for an idle machine. One thread is what `talker animate` uses.
The error is against float32 on the same recordings. Closed lips and false closures are counted as `evaluate` counts them, on
recordings of the prepared data set's split test_voice, `--each` of a voice; without one there are no such columns. PyTorch runs
the student alone: Whisper is ONNX Runtime's in all systems.
"""

import argparse
import logging
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from unheard_voices import recordings_of

from talker_cli.animate.animator import Animator
from talker_cli.data.dataset import Dataset
from talker_cli.formats.audio import SAMPLE_RATE, load_speech
from talker_cli.metrics import Articulation, Phones, lip_gap
from talker_cli.model import whisper
from talker_cli.model.config import WHISPER
from talker_cli.model.folder import model_folder
from talker_cli.model.frontend import OutputFrontend, SpeechFrontend
from talker_cli.model.onnx_runner import OnnxRunner
from talker_cli.model.torch_runner import load_torch_runner
from talker_cli.rig import load_rig

SPEECH = Path(__file__).parents[1] / "examples" / "speech.wav"
SECONDS = 10
FLOAT = "onnxruntime float32"


class Int8Runner(OnnxRunner):
    """A quantised student, and a quantised Whisper before it: the name of the data goes unchecked."""

    def __init__(self, student: Path, encoder: Path | None) -> None:
        super().__init__(student)
        self._encoder = None if encoder is None else whisper.WhisperEncoder(replace(whisper.describe(), folder=encoder.parent))

    def frontend(self, phones: Phones | None = None, *, live: bool = False) -> SpeechFrontend:
        """Return what turns speech into the input of the audio encoder."""
        return super().frontend(phones, live=live) if self._encoder is None else OutputFrontend(self._encoder, self.config.fps)


def quantised(graph: Path, path: Path) -> None:
    """Write an int8 copy of a graph whose weights are stored in float16."""
    model = onnx.load(str(graph))
    weights = {each.name: each for each in model.graph.initializer}
    for node in list(model.graph.node):
        if node.op_type == "Cast" and node.input[0] in weights:  # quantised is what is a constant
            weight = weights[node.input[0]]
            weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float32), node.output[0]))
            model.graph.node.remove(node)
    plain = path.with_name(f"float-{path.name}")
    onnx.save(model, str(plain))
    quantize_dynamic(
        plain, path, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True, weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )  # fmt: skip
    plain.unlink()


def int8_runner(model: Path, folder: Path) -> Int8Runner:
    """Return a model's student in int8, made in a folder."""
    student = folder / "student.onnx"
    quantised(model / "student.onnx", student)
    if OnnxRunner(student).config.audio_encoder != WHISPER:
        return Int8Runner(student, None)
    source = whisper.describe().folder
    quantised(source / whisper.ENCODER, folder / whisper.ENCODER)
    (folder / whisper.PHONES_FILE).write_bytes((source / whisper.PHONES_FILE).read_bytes())
    return Int8Runner(student, folder / whisper.ENCODER)


def timed(systems: dict[str, tuple[Animator, int]], identity: str, rounds: int) -> dict[str, float]:
    """Return the median seconds of each system, with its number of PyTorch's threads, on ten seconds of speech."""
    speech = load_speech(SPEECH)[: SECONDS * SAMPLE_RATE]
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for number in range(rounds + 1):
        for name, (animator, threads) in systems.items():
            torch.set_num_threads(threads)
            given = speech * np.float32(1 - 1e-3 * number)
            started = time.perf_counter()
            animator.coefficients(given, identity)
            if number:  # the first one warms up
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(each) for name, each in seconds.items()}


def main() -> None:
    """Print a row a system, model by model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["talker-base", "talker-tiny"])
    parser.add_argument("--prepared", type=Path, help="Prepared data set whose unheard voices are counted.")
    parser.add_argument("--each", type=int, default=3, help="Most recordings of a voice.")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # of the quantiser, about shapes
    print(
        f"{'':34s}{'MB':>6s}{'s':>8s}{'mean err':>10s}{'max err':>9s}{'gap err mm':>12s}"
        f"{'/p b m/':>9s}{'closed':>8s}{'false':>7s}"
    )
    for model in options.models:
        folder = model_folder(model)
        rig = load_rig(folder / "rig.safetensors").rig
        with tempfile.TemporaryDirectory() as made:
            pytorch = Animator(load_torch_runner(folder / "student.safetensors", "cpu"), None)
            runners = {FLOAT: OnnxRunner(folder / "student.onnx"), "onnxruntime int8": int8_runner(folder, Path(made))}
            systems = {name: (Animator(runner, None), 1) for name, runner in runners.items()}
            systems |= {f"PyTorch float32, {threads} threads": (pytorch, threads) for threads in (1, 2)}
            identity = runners[FLOAT].config.identities[0]
            seconds = timed(systems, identity, options.rounds)
            sizes = {FLOAT: (folder / "student.onnx").stat().st_size}
            sizes["onnxruntime int8"] = (Path(made) / "student.onnx").stat().st_size
            if (Path(made) / whisper.ENCODER).exists():
                sizes[FLOAT] += (whisper.describe().folder / whisper.ENCODER).stat().st_size
                sizes["onnxruntime int8"] += (Path(made) / whisper.ENCODER).stat().st_size
            given: list[tuple[np.ndarray, Phones]] = [(load_speech(SPEECH), ())]
            if options.prepared:
                dataset = Dataset(options.prepared)
                found = recordings_of(dataset, [], options.each).values()
                given = [(dataset.speech(each.name), each.phones) for of in found for each in of]
            truth = []
            for name in (FLOAT, "onnxruntime int8"):
                animator, errors, gaps, count = systems[name][0], [], [], Articulation.empty()
                for number, (speech, phones) in enumerate(given):
                    motion = animator.coefficients(speech, identity)
                    gap = lip_gap(rig.decode(motion), rig.template, rig.lip_pairs)
                    if name == FLOAT:
                        truth.append((motion, gap))
                    errors.append(np.abs(motion - truth[number][0]))
                    gaps.append(np.abs(gap - truth[number][1]))
                    count.add(gap, phones, animator.config.fps)
                error, gap_error, counted = np.concatenate(errors), np.concatenate(gaps), count.summary()
                print(
                    f"{folder.name + ', ' + name:34s}{sizes[name] / 1e6:6.1f}{seconds[name]:8.3f}{error.mean():10.5f}"
                    f"{error.max():9.3f}{1000 * gap_error.mean():12.3f}{counted['bilabials']:9.0f}"
                    f"{counted['bilabials_closed']:8.3f}{counted['false_closure_rate']:7.3f}", flush=True,
                )  # fmt: skip
            for name in list(systems)[2:]:
                print(f"{folder.name + ', ' + name:34s}{'':6s}{seconds[name]:8.3f}", flush=True)


if __name__ == "__main__":
    main()
