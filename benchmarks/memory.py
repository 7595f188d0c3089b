"""Peak memory of `talker animate` against a recording's length, each in a process of its own, and a plot.

    python benchmarks/memory.py -o memory.png [--minutes 1 10 60] [--suffix .npy] [--model MODEL --steps 8]

Writes the plot and, on stdout, a line for each length: minutes, seconds, peak MB, times real time. Seconds mean something on a
quiet machine alone; the peak does not depend on it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from talker_cli.formats.ffmpeg import executable
from talker_cli.formats.plot import BLUE, ORANGE, chart
from talker_cli.formats.processes import MAXRSS_UNIT

BOUND = 1000.0  # MB that an hour may take
SPEECH = Path(__file__).parents[1] / "examples" / "speech.wav"


def measure(minutes: float, suffix: str, folder: Path, options: list[str]) -> tuple[float, float]:
    """Return the seconds and the peak (MB) of animating so many minutes of the example over and over."""
    recording = folder / f"{minutes:g}.flac"
    loop = ["-stream_loop", "-1", "-i", str(SPEECH), "-t", str(60 * minutes), str(recording)]
    subprocess.run([executable(), "-loglevel", "error", "-y", *loop], check=True)
    started = time.perf_counter()
    command = [sys.executable, "-m", "talker_cli", "animate", str(recording), "-o", str(folder / f"out{suffix}"), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"animate failed on {minutes:g} minutes")
    return time.perf_counter() - started, usage.ru_maxrss * MAXRSS_UNIT / 1e6


def plot(points: list[tuple[float, float]], path: Path) -> None:
    """Draw peak MB against minutes, both from zero, with the bound."""
    with chart(path, 8.0, 4.8) as figure:
        axes = figure.add_subplot(xlabel="minutes", ylabel="peak MB")
        axes.plot(*zip(*points, strict=True), color=BLUE, marker="o")
        axes.axhline(BOUND, color=ORANGE)
        for minutes, megabytes in points:
            axes.annotate(f"{megabytes:.0f}", (minutes, megabytes), (0, 6), textcoords="offset points", ha="center")
        axes.set_xlim(left=0.0)
        axes.set_ylim(bottom=0.0)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("memory.png"))
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10, 60])
    parser.add_argument("--suffix", default=".csv", help="suffix of the output")
    parser.add_argument("--model", default="talker-base")
    parser.add_argument("--steps", default="8")
    arguments = parser.parse_args()
    points = []
    with tempfile.TemporaryDirectory() as folder:
        for minutes in arguments.minutes:
            seconds, peak = measure(
                minutes, arguments.suffix, Path(folder), ["--model", arguments.model, "--steps", arguments.steps]
            )
            points.append((minutes, peak))
            print(f"{minutes:g} min: {seconds:.1f} s, {peak:.0f} MB, {60 * minutes / seconds:.0f} times real time", flush=True)
    plot(points, arguments.output)


if __name__ == "__main__":
    main()
