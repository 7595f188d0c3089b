"""Same-speaker retrieval: of two enrolled halves of an unseen voice, is each the other's nearest?

    python benchmarks/same_speaker.py VOICES [--model weights/talker-base] [--seconds 20]

VOICES is a folder with one folder of recordings for each voice that the model was not trained on. The recordings of a voice, in
the order of their names' hashes, are split into two disjoint halves until each holds so many seconds. Both are enrolled; the
nearest of all others (cosine similarity of the styles) should be the other half. Also measured: seconds to enroll two minutes,
and the size of the file. `--synthetic` first adds voices of espeak-ng and flite; `--dataset` adds the voices of a prepared
dataset's split test_voice.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from talker_cli.data.dataset import Dataset
from talker_cli.enroll.clips import recordings
from talker_cli.enroll.enroller import Enroller
from talker_cli.formats.audio import SAMPLE_RATE, load_speech

TEXTS = (
    "The rain had stopped before the market opened, and the first boats were already back.",
    "Could you tell me whether the bridge over the river is open on Sunday mornings?",
    "My grandmother kept bees, seven hives of them, behind a wall of warm red brick.",
    "Nobody believed the map, for it showed a valley where everyone knew a mountain stood.",
    "Please put the blue cup on the upper shelf, and the small one back into its box.",
    "He wrote four letters that week, posted three of them, and burned the last.",
    "When the music stopped, a fox walked slowly across the empty stage.",
    "Five thousand people came to see the machine, which moved by about an inch.",
    "There is a way through the wood, but only the children have ever used it.",
    "We bought pears, plums, a bag of flour, and far more butter than we needed.",
)
SYNTHETIC = {  # voice -> command that writes {out}
    "espeak_whisper": ["espeak-ng", "-v", "en-us+whisper", "-w", "{out}", "{text}"],
    "espeak_klatt": ["espeak-ng", "-v", "en-us+klatt2", "-p", "70", "-w", "{out}", "{text}"],
    "espeak_storm": ["espeak-ng", "-v", "en-us+Storm", "-w", "{out}", "{text}"],
    "espeak_jacky": ["espeak-ng", "-v", "en-us+Jacky", "-w", "{out}", "{text}"],
    "espeak_norbert": ["espeak-ng", "-v", "en-us+norbert", "-w", "{out}", "{text}"],
    "espeak_pablo": ["espeak-ng", "-v", "en-us+pablo", "-w", "{out}", "{text}"],
    "flite_slt": ["flite", "-voice", "slt", "-t", "{text}", "-o", "{out}"],
}


def make_synthetic(folder: Path) -> None:
    """Write the recordings of the synthetic voices."""
    for voice, command in SYNTHETIC.items():
        place = folder / voice
        place.mkdir(parents=True, exist_ok=True)
        for number, text in enumerate(TEXTS):
            out = str(place / f"{number:02}.wav")
            subprocess.run([part.format(out=out, text=text) for part in command], check=True)
    # espeak-ng speaks a variant that it does not know in its plain voice: two of those would be one.
    first = {(folder / voice / "00.wav").read_bytes() for voice in SYNTHETIC}
    if len(first) < len(SYNTHETIC):
        sys.exit("two of the synthetic voices sound alike, byte for byte; expected the variants of this espeak-ng")


def add_dataset(folder: Path, dataset: Path) -> None:
    """Write the recordings of a prepared dataset's held-out voices."""
    data = Dataset(dataset)
    for recording in data.info.recordings:
        if recording.split == "test_voice":
            place = folder / recording.voice
            place.mkdir(parents=True, exist_ok=True)
            path = place / f"{recording.name.replace('/', '_')}.wav"
            soundfile.write(path, data.speech(recording.name), SAMPLE_RATE)


def halves(voice: Path, seconds: float) -> list[list[Path]]:
    """Return two disjoint lists of a voice's recordings, each of so many seconds or of half of what there is."""
    paths = recordings(voice)
    lengths = {path: len(_sound(path)) / SAMPLE_RATE for path in paths[: int(20 * seconds)]}
    usable = [path for path in lengths if lengths[path] >= 1.0]
    goal = min(seconds, sum(lengths[path] for path in usable) / 2.2)
    result: list[list[Path]] = [[], []]
    for path in usable:
        half = min(result, key=lambda half: sum(lengths[each] for each in half))
        if sum(lengths[each] for each in half) < goal:
            half.append(path)
    return result


def _sound(path: Path) -> np.ndarray:
    try:
        return load_speech(path)
    except Exception:  # unreadable or too short: enroll skips it too
        return np.zeros(0, np.float32)


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("voices", type=Path)
    parser.add_argument("--model", default="talker-base")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--synthetic", action="store_true")
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--no-time", action="store_true", help="do not time two minutes")
    options = parser.parse_args()
    if options.synthetic:
        make_synthetic(options.voices)
    if options.dataset:
        add_dataset(options.voices, options.dataset)
    enroller = Enroller(options.model, "cpu")
    names, styles, about = [], [], []
    for voice in sorted(path for path in options.voices.iterdir() if path.is_dir()):
        for number, paths in enumerate(halves(voice, options.seconds)):
            enrollment = enroller.enroll(voice, paths, f"{voice.name}_{number}", on_clip=lambda done, total: None)
            style, collection = enrollment.identity.style, enrollment.collection
            names.append(voice.name)
            styles.append(style / np.linalg.norm(style))
            about.append({"clips": len(collection.clips), "seconds": round(collection.seconds, 1)})
    similarity = np.stack(styles) @ np.stack(styles).T - 2 * np.eye(len(styles))
    nearest = similarity.argmax(1)
    rows = [
        {"of": name, **about[row], "nearest": names[nearest[row]], "similarity": round(float(similarity[row].max()), 3),
         "other_half": round(float(similarity[row, row ^ 1]), 3)}
        for row, name in enumerate(names)
    ]  # fmt: skip
    report = {
        "voices": len(names) // 2,
        "top1": float(np.mean([row["of"] == row["nearest"] for row in rows])),
        "enrolled": rows,
    }
    if not options.no_time:
        with tempfile.TemporaryDirectory() as place:
            report |= two_minutes(options, Path(place))
    print(json.dumps(report, indent=1))


def two_minutes(options: argparse.Namespace, place: Path) -> dict[str, float]:
    """Return the seconds of a whole process that enrolls two minutes of one voice, and the size of its file."""
    clips, seconds = place / "clips", 0.0
    clips.mkdir()
    voice = max((path for path in options.voices.iterdir() if path.is_dir()), key=lambda path: len(list(path.iterdir())))
    for path in recordings(voice):
        if seconds < 120:
            shutil.copy(path, clips)
            seconds += len(_sound(path)) / SAMPLE_RATE
    out = place / "two.safetensors"
    command = [sys.executable, "-m", "talker_cli", "enroll", str(clips), "-o", str(out), "--model", options.model]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return {
        "recording_seconds": round(seconds, 1),
        "seconds": round(time.perf_counter() - started, 2),
        "kilobytes": out.stat().st_size / 1000,
    }


if __name__ == "__main__":
    main()
