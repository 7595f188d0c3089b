"""Peak memory of `talker animate` against a recording's length, each in a process of its own, and a plot.

    python benchmarks/memory.py -o memory.png [--minutes 1 10 60]

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

from PIL import Image, ImageDraw

from talker_cli.ffmpeg import executable

SPEECH = Path(__file__).parents[1] / "examples" / "speech.wav"


def measure(minutes: float, folder: Path) -> tuple[float, float]:
    """Return the seconds and the peak (MB) of animating so many minutes of the example over and over."""
    recording = folder / f"{minutes:g}.flac"
    loop = ["-stream_loop", "-1", "-i", str(SPEECH), "-t", str(60 * minutes), str(recording)]
    subprocess.run([executable(), "-loglevel", "error", "-y", *loop], check=True)
    started = time.perf_counter()
    command = [sys.executable, "-m", "talker_cli", "animate", str(recording), "-o", str(folder / "out.csv")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"animate failed on {minutes:g} minutes")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def plot(points: list[tuple[float, float]], path: Path) -> None:
    """Draw peak MB against minutes, both from zero, with the bound of 1 GB."""
    width, height, margin = 800, 480, 70
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    last, top = max(minutes for minutes, _ in points), 1100.0

    def place(minutes: float, megabytes: float) -> tuple[float, float]:
        across = margin + (width - 2 * margin) * minutes / last
        return across, height - margin - (height - 2 * margin) * megabytes / top

    for megabytes in (0, 250, 500, 750, 1000):
        draw.line([place(0, megabytes), place(last, megabytes)], fill="#c03030" if megabytes == 1000 else "#dddddd")
        draw.text((10, place(0, megabytes)[1] - 6), f"{megabytes} MB", fill="black")
    draw.line([place(*point) for point in points], fill="#2060b0", width=3)
    for minutes, megabytes in points:
        x, y = place(minutes, megabytes)
        draw.ellipse([x - 5, y - 5, x + 5, y + 5], fill="#2060b0")
        draw.text((x - 20, y - 24), f"{megabytes:.0f} MB", fill="black")
        draw.text((x - 14, height - margin + 10), f"{minutes:g} min", fill="black")
    image.save(path)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("memory.png"))
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10, 60])
    arguments = parser.parse_args()
    points = []
    with tempfile.TemporaryDirectory() as folder:
        for minutes in arguments.minutes:
            seconds, peak = measure(minutes, Path(folder))
            points.append((minutes, peak))
            print(f"{minutes:g} min: {seconds:.1f} s, {peak:.0f} MB, {60 * minutes / seconds:.0f} times real time", flush=True)
    plot(points, arguments.output)


if __name__ == "__main__":
    main()
