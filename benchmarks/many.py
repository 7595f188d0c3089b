"""Seconds a file: many short recordings in one command against a command for each. For a quiet machine.

    python benchmarks/many.py [--files 1000] [--singles 20]

The single commands are timed on the first `--singles` files: they are all alike.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from talker_cli.formats.ffmpeg import executable

SPEECH = Path(__file__).parents[1] / "examples" / "speech.wav"


def animate(*arguments: str | Path) -> float:
    """Return the seconds of one command."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "talker_cli", "animate", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--singles", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        cut = [executable(), "-loglevel", "error", "-i", str(SPEECH), "-t", "2", str(folder / "in" / "0000.wav")]
        subprocess.run(cut, check=True)
        data = (folder / "in" / "0000.wav").read_bytes()
        for number in range(1, arguments.files):
            # Each ends in another sample: a frozen audio encoder keeps the outputs of what it has read.
            (folder / "in" / f"{number:04d}.wav").write_bytes(data[:-2] + (number % 1000).to_bytes(2, "little"))
        files = sorted((folder / "in").iterdir())[: arguments.singles]
        single = sum(animate(file, "-o", folder / "one.csv") for file in files) / len(files)
        together = animate(folder / "in", "-o", str(folder / "out" / "{name}.csv")) / arguments.files
    print(f"2 s of speech, seconds a file: {single:.2f} alone, {together:.3f} as one of {arguments.files} in a command")


if __name__ == "__main__":
    main()
