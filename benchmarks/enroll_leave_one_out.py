"""An identity that no training saw, enrolled from 10 s, 30 s and 2 min of its voice, and from 30 s with motion.

    python benchmarks/enroll_leave_one_out.py prepare prepared/ without/ --identity FaceTalk_170915_00223_TA
    talker train without/ -o models/without && talker distill models/without without/
    python benchmarks/enroll_leave_one_out.py measure prepared/ models/without --identity FaceTalk_170915_00223_TA \\
        --full weights/talker-base -o leave_one_out.csv

`prepare` copies a prepared dataset without the identity's motion, and without the voices that are its own. `measure` prints,
and writes as CSV, the lip vertex error and the statistics of style (jaw amplitude, lip protrusion, blinks a minute) on the
identity's own voices' held-out recordings: of each enrolment, of the average style, of the nearest known identity, and of the
true style as a model that was trained on it (--full) has it. With an output that ends in .csv, a plot .png lies beside it.
"""

import argparse
import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.data.dataset import Clip, Dataset, write_dataset
from talker_cli.enroll.enroller import Enroller
from talker_cli.enroll.fit import fit
from talker_cli.enroll.motion import MotionExample
from talker_cli.formats.plot import BLUE, GRAY, ORANGE, chart
from talker_cli.identity.resolve import StyleCondition, on_sphere
from talker_cli.identity.style import StyleReader
from talker_cli.metrics import blinks_a_minute, lve
from talker_cli.rig import ARKIT_NAMES, Rig, RigFile

MOST_TEST_CLIPS = 40


def prepare(source: Path, output: Path, identity: str) -> None:
    """Write the dataset without one identity."""
    data = Dataset(source)
    own = own_voices(data, identity)
    kept = tuple(recording for recording in data.info.recordings if recording.voice not in own)
    names = {recording.name for recording in kept}
    clips = tuple(clip for clip in data.info.clips if clip.identity != identity and clip.recording in names)
    others = tuple(name for name in data.info.identities if name != identity)
    info = replace(data.info, identities=others, recordings=kept, clips=clips)
    rig = RigFile(data.rig.rig, {name: person for name, person in data.rig.identities.items() if name != identity})
    speech = ((name.name, np.round(data.speech(name.name) * 32768).clip(-32768, 32767).astype(np.int16)) for name in kept)
    write_dataset(output, info, rig, speech, ((clip.name, data.coefficients(clip.name)) for clip in clips))
    print(f"{output}: {len(kept)} recordings, {len(clips)} clips, {len(others)} identities; left out {', '.join(sorted(own))}")


def own_voices(data: Dataset, identity: str) -> set[str]:
    """Return the voices whose style is the identity's."""
    matched = {clip.recording for clip in data.info.clips if clip.identity == identity and clip.voice_matched}
    return {recording.voice for recording in data.info.recordings if recording.name in matched}


def examples_of(data: Dataset, clips: list[Clip], seconds: float) -> list[MotionExample]:
    """Return the first clips that hold so many seconds."""
    examples, seconds_so_far = list[MotionExample](), 0.0
    for clip in clips:
        if seconds_so_far >= seconds:
            break
        example = MotionExample(clip.name, data.speech(clip.recording), data.coefficients(clip.name))
        seconds_so_far += len(example.coefficients) / data.info.fps
        examples.append(example)
    return examples


def statistics(coefficients: list[np.ndarray], fps: float) -> dict[str, float]:
    """Return the jaw's amplitude (95th percentile), the lips' mean protrusion, and blinks a minute."""
    all_frames = np.concatenate(coefficients)
    jaw, pucker, funnel, blink = (
        all_frames[:, ARKIT_NAMES.index(name)] for name in ("jawOpen", "mouthPucker", "mouthFunnel", "eyeBlinkLeft")
    )
    return {
        "jaw": float(np.percentile(jaw, 95)), "protrusion": float((pucker + funnel).mean()),
        "blinks_per_minute": blinks_a_minute(blink, fps),
    }  # fmt: skip


def measure(source: Path, model: str, identity: str, full: str | None, output: Path) -> None:
    """Measure, print and write the table and the plot."""
    data, enroller = Dataset(source), Enroller(model, "cpu")
    own = [clip for clip in data.info.clips if clip.identity == identity and clip.voice_matched]
    split = {clip.name: data.recordings[clip.recording].split for clip in own}
    training = [clip for clip in own if split[clip.name] == "train"]
    tested = [clip for clip in own if split[clip.name] == "test"][:MOST_TEST_CLIPS]
    rig, animator = data.rig.rig, enroller.animator
    truth = [data.coefficients(clip.name) for clip in tested]
    sounds = [data.speech(clip.recording) for clip in tested]

    def row(name: str, seconds: float, motions: list[np.ndarray]) -> dict[str, Any]:
        return {"system": name, "seconds": seconds, "lve": error(rig, truth, motions), **statistics(motions, data.info.fps)}

    def animate(condition: StyleCondition) -> list[np.ndarray]:
        return [animator.coefficients(sound, condition) for sound in sounds]

    rows = [{"system": "truth", "seconds": 0.0, "lve": 0.0, **statistics(truth, data.info.fps)}]
    rows.append(row("average style", 0.0, animate(StyleCondition(on_sphere(enroller.space.average)))))
    for seconds in (10.0, 30.0, 120.0):
        examples = examples_of(data, training, seconds)
        sound = np.concatenate([example.sound for example in examples])
        reader = StyleReader(animator.runner)
        style = reader.style([reader.hear(sound)]).style
        rows.append(row("enrolled, audio", seconds, animate(StyleCondition(style))))
        nearest = enroller.space.nearest(style)[0][0]
        rows.append(
            row(
                f"nearest known ({nearest})",
                seconds,
                animate(StyleCondition(enroller.space.table[enroller.space.names.index(nearest)])),
            )
        )
        if seconds == 30.0:
            rows.append(row("enrolled, audio and motion", seconds, animate(fit(animator, rig, style, examples).condition)))
    if full:
        whole = Enroller(full, "cpu")
        style = whole.space.table[whole.space.names.index(identity)]
        rows.append(row("true style", 0.0, [whole.animator.coefficients(sound, StyleCondition(style)) for sound in sounds]))
    for entry in rows:
        print("  ".join(f"{value:.4g}" if isinstance(value, float) else f"{value:<40}" for value in entry.values()))
    with output.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    plot(rows, output.with_suffix(".png"))


def error(rig: Rig, truth: list[np.ndarray], motions: list[np.ndarray]) -> float:
    """Return the lip vertex error, square metres."""
    lips = rig.regions["lips"]
    flat = rig.basis[:, lips].reshape(len(rig.names), -1)
    pairs = (
        ((one @ flat).reshape(len(one), -1, 3), (two @ flat).reshape(len(two), -1, 3))
        for one, two in zip(truth, motions, strict=True)
    )
    return lve(pairs, np.ones(int(lips.sum()), dtype=bool))


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the error against the seconds enrolled; systems without enrollment as horizontal lines."""
    with chart(path, 7.0, 4.0) as figure:
        axes = figure.add_subplot(xlabel="seconds enrolled", xscale="log", title="lip vertex error, m2")
        for system, color in (("enrolled, audio", BLUE), ("enrolled, audio and motion", ORANGE)):
            points = [(entry["seconds"], entry["lve"]) for entry in rows if entry["system"] == system]
            axes.plot(*zip(*points, strict=True), color=color, marker="o", label=system)
        for style, system in (("--", "average style"), (":", "true style")):
            for entry in (entry for entry in rows if entry["system"] == system):
                axes.axhline(entry["lve"], color=GRAY, linestyle=style, label=system)
        axes.set_ylim(bottom=0.0)
        axes.legend()


def main() -> None:
    """Run one of the two halves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("half", choices=("prepare", "measure"))
    parser.add_argument("dataset", type=Path)
    parser.add_argument("target", help="the folder to write, or the model to measure")
    parser.add_argument("--identity", required=True)
    parser.add_argument("--full", help="a model that knows the identity")
    parser.add_argument("--output", "-o", type=Path, default=Path("leave_one_out.csv"))
    options = parser.parse_args()
    if options.half == "prepare":
        prepare(options.dataset, Path(options.target), options.identity)
    else:
        measure(options.dataset, options.target, options.identity, options.full, options.output)


if __name__ == "__main__":
    main()
