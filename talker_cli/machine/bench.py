"""Times of this machine: each part of the way from a recording to a video, after a warm-up, devices synchronised.

Seconds are medians of several runs; the first run of each part is not counted. `times_real_time` is the recording's length
over the seconds. Cold starts are whole processes, with no warm-up but the file cache. The sampling of student and teacher
includes the encoding. The peak memory is that of the whole process, teacher and rendering included.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from talker_cli.animate.animator import Animator, parse_steps
from talker_cli.animate.talker import Talker
from talker_cli.errors import MachineError, TalkerError
from talker_cli.formats.audio import SAMPLE_RATE, load_speech
from talker_cli.formats.processes import peak_memory
from talker_cli.model.checkpoint import load_model
from talker_cli.model.device import choose_device
from talker_cli.model.folder import DEFAULT_IDENTITY, model_folder
from talker_cli.model.torch_runner import TorchRunner
from talker_cli.render import draw_frames

SIZE = (512, 512)  # pixels
RENDERED = 30  # frames of the recording

OnPart = Callable[[str], None]
Report = dict[str, dict[str, Any]]
METHOD = {"statistic": "median", "warm_up_runs": 1, "device_synchronised": True}
PARTS = {
    "reading": "the file to 16 kHz samples",
    "encoding": "samples to speech features",
    "student": "samples to coefficients, {steps} steps, encoding included",
    "decoding": "coefficients to vertices",
    "rendering": "{frames} frames of {size}",
    "teacher": "samples to coefficients, {steps} steps, encoding included",
    "import torch": "a new process",
    "cold start": "a new process: load, 10 s of speech to vertices",
}  # in the order of the table


def own_speech(seconds: float = 10.0) -> np.ndarray:
    """Return (S,) noise in syllables, the same every time: the load of speech."""
    count = round(seconds * SAMPLE_RATE)
    syllables = np.clip(np.sin(8 * np.pi * np.arange(count) / SAMPLE_RATE), 0, None)
    return (0.1 * syllables * np.random.default_rng(0).normal(size=count)).astype(np.float32)


def bench(audio: Path | None, *, model: str, device: str, teacher_steps: str, runs: int, on_part: OnPart) -> Report:
    """Time every part; return part -> {"seconds", "times_real_time", …}.

    Args:
        audio: Recording, or None for ten seconds of generated sound.
        model: Built-in name or folder.
        device: "auto", "cpu", "cuda" or "mps".
        teacher_steps: Number of steps or "full"; a model without a teacher has none to time.
        runs: Number of counted runs.
        on_part: Callback with each part's name before it is timed.

    Raises:
        TalkerError: the recording or the model cannot be used.
    """
    speech = own_speech() if audio is None else load_speech(audio)
    length = len(speech) / SAMPLE_RATE
    talker = Talker.load(model, device=device)
    config, where = talker.animator.config, choose_device(device)
    report: Report = {
        "recording": {"seconds": length, "own": audio is None, "device": str(where), "threads": torch.get_num_threads()},
        "method": dict(METHOD),
    }

    volumes = count(1)

    def anew() -> np.ndarray:
        """Return the speech, a little softer each time: of what it has just read, a frozen encoder keeps the outputs."""
        return speech * np.float32(1.0 - 1e-4 * next(volumes))

    def timed(part: str, work: Callable[[], object], counted: int = runs) -> None:
        on_part(part)
        seconds = []
        for number in range(counted + 1):
            started = time.perf_counter()
            work()
            if where.type == "cuda":
                torch.cuda.synchronize()
            if number:
                seconds.append(time.perf_counter() - started)
        middle = statistics.median(seconds)
        report[part] = {"seconds": middle, "times_real_time": length / middle, "runs": counted}

    if audio is not None:
        timed("reading", lambda: load_speech(audio))
    frames = int(length * config.fps)
    timed("encoding", lambda: talker.animator.speech_features(anew(), frames))
    person = talker.who(talker.identities[0] if model != "talker-base" else DEFAULT_IDENTITY)
    timed("student", lambda: talker.animator.coefficients(anew(), person.condition))
    report["student"] |= {"steps": len(config.timesteps) or None}
    coefficients = talker.animator.coefficients(speech, person.condition)

    def decode() -> None:
        for start in range(0, frames, 64):  # in parts: an hour of vertices is 11 GB
            person.rig.decode(coefficients[start : start + 64])

    timed("decoding", decode)
    shown = person.rig.decode(coefficients[:RENDERED])

    def draw() -> None:
        with closing(draw_frames(shown, person.rig, size=SIZE)) as images:
            for _ in images:
                pass

    try:
        timed("rendering", draw, 1)
        each = report["rendering"]["seconds"] / len(shown)
        report["rendering"] |= {"times_real_time": 1 / config.fps / each, "frames": len(shown), "size": "512x512"}
    except TalkerError as error:
        report["rendering"] = {"error": str(error)}
    try:
        network = load_model(model_folder(model) / "teacher.safetensors", "teacher")  # "8" would be the student
        teacher = Animator(TorchRunner(network, choose_device(device)), parse_steps(teacher_steps))
        timed("teacher", lambda: teacher.coefficients(anew(), person.condition), 1)
        report["teacher"] |= {"steps": 256 if teacher.steps is None else teacher.steps}
    except TalkerError as error:
        report["teacher"] = {"error": str(error)}
    for part, code in (("import torch", "import torch"), ("cold start", _whole_process(model, device))):
        on_part(part)
        seconds = [_process(code) for _ in range(min(runs, 3))]
        report[part] = {"seconds": statistics.median(seconds), "runs": len(seconds)}
    report["memory"] = {"peak_mb": peak_memory() / 1e6}
    if where.type == "cuda":
        report["memory"]["gpu_peak_mb"] = torch.cuda.max_memory_allocated() / 1e6
    return report


def rows(report: Report) -> list[tuple[str, str, str, str, str]]:
    """Return the rows of a report's table: part, work or error, seconds, times real time, runs."""
    shown: list[tuple[str, str, str, str, str]] = []
    for part, what in PARTS.items():
        row = report.get(part)
        if row is None:
            continue
        if "error" in row:
            shown.append((part, row["error"], "–", "–", "–"))
            continue
        speed = f"{row['times_real_time']:.1f}" if "times_real_time" in row else "–"
        shown.append((part, what.format(**row), f"{row['seconds']:.3f}", speed, str(row["runs"])))
    return shown


def _whole_process(model: str, device: str) -> str:
    """Return a program that loads the model and animates ten seconds, as `talker animate` does."""
    load = f"Talker.load({model!r}, device={device!r})"
    return f"from talker_cli import Talker; from talker_cli.machine.bench import animate_own; animate_own({load})"


def animate_own(talker: Talker) -> None:
    """Animate the generated sound and decode the motion."""
    person = talker.who(talker.identities[0])
    person.rig.decode(talker.animator.coefficients(own_speech(), person.condition))


def _process(code: str) -> float:
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise MachineError(f"a new process could not animate ({last[:200]}); expected it to; run talker doctor")
    return time.perf_counter() - started
