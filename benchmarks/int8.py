"""The student by ONNX Runtime in float32 and in int8, and by PyTorch: seconds for ten seconds of speech, error, closed lips.

    tools/fetch_whisper.sh float/ --float
    python benchmarks/int8.py float/ [--models talker-base talker-tiny] [--prepared PREPARED] [--each 3] [--rounds 7]

Whisper's layers ship in int8 but for three matrices, the student in float32. Here they are beside the same layers in float32,
and beside all matrix products in int8, a scale a column of weights; `onnx` is needed. Systems are timed in turn, each time on
slightly other speech, so that no frozen encoder answers from memory; for an idle machine. One thread is what `talker animate`
uses. The error is against float32 on the same recordings. Closed lips and false closures are counted as `evaluate` counts them,
on recordings of the prepared data set's split test_voice, `--each` of a voice; without one there are no such columns. PyTorch
runs the student alone: Whisper is ONNX Runtime's in all systems.
"""

import argparse
import logging
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from unheard_voices import recordings_of

from talker_cli.animate.animator import Animator
from talker_cli.data.dataset import Dataset
from talker_cli.formats.audio import SAMPLE_RATE, load_speech
from talker_cli.metrics import Articulation, Phones, lip_gap
from talker_cli.model import whisper
from talker_cli.model.config import WHISPER
from talker_cli.model.folder import model_folder
from talker_cli.model.frontend import OutputFrontend, SpeechFrontend
from talker_cli.model.graph import quantise
from talker_cli.model.onnx_runner import OnnxRunner
from talker_cli.model.torch_runner import load_torch_runner
from talker_cli.rig import load_rig

SPEECH = Path(__file__).parents[1] / "examples" / "speech.wav"
SECONDS = 10
FLOAT, SHIPPED, INT8 = "onnxruntime float32", "onnxruntime, int8 encoder", "onnxruntime int8"


class HearingRunner(OnnxRunner):
    """A student, and Whisper's layers of any folder before it."""

    def __init__(self, student: Path, encoder: Path) -> None:
        super().__init__(student)
        self._encoder = whisper.WhisperEncoder(replace(whisper.describe(), folder=encoder))

    def frontend(self, phones: Phones | None = None, *, live: bool = False) -> SpeechFrontend:
        """Return what turns speech into the input of the audio encoder."""
        return OutputFrontend(self._encoder, self.config.fps)


def runners_of(model: Path, layers: Path, made: Path) -> dict[str, tuple[OnnxRunner, int]]:
    """Return a model's runners by precision, and the bytes that each reads.

    Args:
        model: folder of the model.
        layers: folder with Whisper's layers in half precision.
        made: folder for int8 copies.
    """
    plain, student = model / "student.onnx", made / "student.onnx"
    quantise(plain, student)
    runner = OnnxRunner(plain)
    sizes = [path.stat().st_size for path in (plain, plain, student)]
    if runner.config.audio_encoder != WHISPER:
        return {FLOAT: (runner, sizes[0]), INT8: (OnnxRunner(student), sizes[2])}
    phones = (whisper.describe().folder / whisper.PHONES_FILE).read_bytes()
    for folder in (layers, made):
        (folder / whisper.PHONES_FILE).write_bytes(phones)
    quantise(layers / whisper.ENCODER, made / whisper.ENCODER)
    for index, folder in enumerate((layers, whisper.describe().folder, made)):
        sizes[index] += (folder / whisper.ENCODER).stat().st_size
    kinds = {FLOAT: HearingRunner(plain, layers), SHIPPED: runner, INT8: HearingRunner(student, made)}
    return {name: (kind, size) for (name, kind), size in zip(kinds.items(), sizes, strict=True)}


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
    parser.add_argument("layers", type=Path, help="Folder with Whisper's layers in half precision.")
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
            runners = runners_of(folder, options.layers, Path(made))
            systems = {name: (Animator(runner, None), 1) for name, (runner, _) in runners.items()}
            systems |= {f"PyTorch float32, {threads} threads": (pytorch, threads) for threads in (1, 2)}
            identity = pytorch.config.identities[0]
            seconds = timed(systems, identity, options.rounds)
            given: list[tuple[np.ndarray, Phones]] = [(load_speech(SPEECH), ())]
            if options.prepared:
                dataset = Dataset(options.prepared)
                found = recordings_of(dataset, [], options.each).values()
                given = [(dataset.speech(each.name), each.phones) for of in found for each in of]
            truth = []
            for name, (_, size) in runners.items():
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
                    f"{folder.name + ', ' + name:34s}{size / 1e6:6.1f}{seconds[name]:8.3f}{error.mean():10.5f}"
                    f"{error.max():9.3f}{1000 * gap_error.mean():12.3f}{counted['bilabials']:9.0f}"
                    f"{counted['bilabials_closed']:8.3f}{counted['false_closure_rate']:7.3f}", flush=True,
                )  # fmt: skip
            for name in list(systems)[len(runners) :]:
                print(f"{folder.name + ', ' + name:34s}{'':6s}{seconds[name]:8.3f}", flush=True)


if __name__ == "__main__":
    main()
