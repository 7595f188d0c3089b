"""Peak memory of `talker animate` against a recording's length, each in a process of its own, and a plot.

    python benchmarks/memory.py -o memory.png [--minutes 1 10 60] [--suffix .npy]

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

from talker_cli.formats.canvas import INK, Canvas
from talker_cli.formats.ffmpeg import executable
from talker_cli.machine.memory import MAXRSS_UNIT

BOUND = 1000.0  # MB that an hour may take
LINE, LIMIT, GRID = "#2060b0", "#c03030", "#dddddd"
SPEECH = Path(__file__).parents[1] / "examples" / "speech.wav"


def measure(minutes: float, suffix: str, folder: Path) -> tuple[float, float]:
    """Return the seconds and the peak (MB) of animating so many minutes of the example over and over."""
    recording = folder / f"{minutes:g}.flac"
    loop = ["-stream_loop", "-1", "-i", str(SPEECH), "-t", str(60 * minutes), str(recording)]
    subprocess.run([executable(), "-loglevel", "error", "-y", *loop], check=True)
    started = time.perf_counter()
    command = [sys.executable, "-m", "talker_cli", "animate", str(recording), "-o", str(folder / f"out{suffix}")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"animate failed on {minutes:g} minutes")
    return time.perf_counter() - started, usage.ru_maxrss * MAXRSS_UNIT / 1e6


def plot(points: list[tuple[float, float]], path: Path) -> None:
    """Draw peak MB against minutes, both from zero, with the bound."""
    width, height, margin = 800, 480, 70.0
    canvas = Canvas(width, height)
    last, top = max(minutes for minutes, _ in points), 1.1 * max(BOUND, *(megabytes for _, megabytes in points))

    def place(minutes: float, megabytes: float) -> tuple[float, float]:
        across = margin + (width - 2 * margin) * minutes / last
        return across, height - margin - (height - 2 * margin) * megabytes / top

    for quarter in range(5):
        level = BOUND * quarter / 4
        canvas.line([place(0, level), place(last, level)], LIMIT if level == BOUND else GRID)
        canvas.text(margin - 8, place(0, level)[1], f"{level:.0f} MB", anchor="rm")
    canvas.line([place(*point) for point in points], LINE, 2.5)
    for minutes, megabytes in points:
        x, y = place(minutes, megabytes)
        canvas.dot(x, y, 5, LINE)
        canvas.text(x, y - 16, f"{megabytes:.0f} MB", anchor="mm", color=INK)
        canvas.text(x, height - margin + 16, f"{minutes:g} min", anchor="mm", color=INK)
    canvas.save(path)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("memory.png"))
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10, 60])
    parser.add_argument("--suffix", default=".csv", help="of what is written")
    arguments = parser.parse_args()
    points = []
    with tempfile.TemporaryDirectory() as folder:
        for minutes in arguments.minutes:
            seconds, peak = measure(minutes, arguments.suffix, Path(folder))
            points.append((minutes, peak))
            print(f"{minutes:g} min: {seconds:.1f} s, {peak:.0f} MB, {60 * minutes / seconds:.0f} times real time", flush=True)
    plot(points, arguments.output)


if __name__ == "__main__":
    main()
