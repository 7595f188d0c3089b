"""A real person enrolled: a GRID speaker from 10, 30 and 120 s of captured motion, or of sound alone.

    talker preprocess grid ../shared/captures/grid_s1 -o prepared/
    python benchmarks/enroll_captured.py prepared/ talker-base --videos ../shared/captures/grid_s1/video -o enroll_captured.json

Measured on 200 sentences that no enrolment uses (the first by a hash of their names, without those that have a video or no
phones: the test and validation splits, and more) against the average style, each built-in identity, the nearest one to the
voice, and the baselines. The motion is that of the prepared dataset, from tracked landmarks; with --videos (needs the extra
`capture` and its tracker), also as `talker enroll` captures it from the videos there are. Prints the table, and writes all
measures with 95 % intervals over sentences, and the paired differences from the average style.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np

from talker_cli.data.dataset import Clip, Dataset
from talker_cli.data.sequences import resample_rows
from talker_cli.enroll.enroller import Enroller
from talker_cli.enroll.fit import fit
from talker_cli.enroll.motion import MotionExample
from talker_cli.evaluate.captured import CapturedReport
from talker_cli.evaluate.captured_systems import ALL, Generate, animated, evaluate_captured
from talker_cli.evaluate.face_measures import FaceMeasures
from talker_cli.identity.resolve import StyleCondition, on_sphere
from talker_cli.identity.style import StyleReader

MEASURED = 200
SECONDS = (10.0, 30.0, 120.0)
SHOWN = ("gap_r", "width_r", "jaw_r", "gap_error_mm", "width_error_mm", "lip_error_mm", "shut_recall", "shut_precision")
AVERAGE = "average style"


def main() -> None:
    """Enroll, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("model")
    parser.add_argument("--videos", type=Path, help="folder of videos named like the clips")
    parser.add_argument("--output", "-o", type=Path, default=Path("enroll_captured.json"))
    parser.add_argument("--limit", type=int, default=MEASURED, help="sentences to measure on")
    options = parser.parse_args()
    data, enroller = Dataset(options.dataset), Enroller(options.model, "cpu")
    videos = {path.stem: path for path in sorted(options.videos.iterdir())} if options.videos else {}
    order = sorted(data.info.clips, key=lambda clip: hashlib.sha256(clip.name.encode()).hexdigest())
    spoken = [clip for clip in order if data.recordings[clip.recording].phones]
    measured = [clip for clip in spoken if clip.name not in videos][:MEASURED]
    others = [clip for clip in order if clip not in measured]
    conditions = enrolled(data, enroller, others)
    if videos:
        conditions |= from_videos(enroller, list(videos.values()))
    face = FaceMeasures(data.rig.rig)
    systems: dict[str, Generate] = {name: animated(enroller.animator, style, face) for name, style in conditions.items()}
    names = [clip.name for clip in measured[: options.limit]]
    report = evaluate_captured(options.dataset, ALL, systems, names=names)
    content = {**report.as_json(), "differences_from_average": differences(report)}
    options.output.write_text(json.dumps(content, indent=1) + "\n")
    for title, row in report.table.items():
        cells = (f"{key} {row[key][0]:.3f} ({row[key][1]:.3f}…{row[key][2]:.3f})" for key in SHOWN if key in row)
        print(f"{title:<42}", "  ".join(cells))


def enrolled(data: Dataset, enroller: Enroller, clips: list[Clip]) -> dict[str, StyleCondition]:
    """Return the styles to compare, from the clips in their order."""
    space, animator = enroller.space, enroller.animator
    found = {AVERAGE: StyleCondition(on_sphere(space.average))}
    found |= {
        name: StyleCondition(style)
        for name, style in zip(space.names, space.table, strict=True)
        if name in enroller.rigs.identities
    }
    for seconds in SECONDS:
        examples = first(data, clips, seconds, enroller.rigs.rig.fps)
        style = style_of(enroller, examples)
        nearest = next(name for name, _ in space.nearest(style) if name in found)
        found[f"nearest to {seconds:g} s of sound: {nearest}"] = found[nearest]
        found[f"sound, {seconds:g} s"] = StyleCondition(style)
        found[f"motion, {seconds:g} s"] = told(f"motion, {seconds:g} s", enroller, style, examples)
    assert animator.config.fps == enroller.rigs.rig.fps
    return found


def from_videos(enroller: Enroller, videos: list[Path]) -> dict[str, StyleCondition]:
    """Return the styles of as many videos as make 10 s, and of all of them, captured as `talker enroll` does."""
    from talker_cli.capture.tracker import tracker_file
    from talker_cli.enroll.video import VideoMotion, captured_motion

    found = {}
    for count in (4, len(videos)):
        chosen = {path.name: path for path in videos[:count]}
        motion = captured_motion(chosen, enroller.rigs.rig.fps, tracker_file(None)).values()
        examples = [example for each in motion if isinstance(each, VideoMotion) for example in each.examples]
        total = sum(len(example.coefficients) for example in examples) / enroller.rigs.rig.fps
        name = f"video, {total:.0f} s"
        found[name] = told(name, enroller, style_of(enroller, examples), examples)
    return found


def first(data: Dataset, clips: list[Clip], seconds: float, fps: float) -> list[MotionExample]:
    """Return the first clips that hold so many seconds, at the model's rate."""
    examples, so_far = list[MotionExample](), 0.0
    for clip in clips:
        if so_far >= seconds:
            break
        motion = data.coefficients(clip.name)
        times = np.arange(len(motion)) / data.info.fps
        rows = resample_rows(times, motion, np.arange(int(times[-1] * fps + 1e-6) + 1) / fps)
        examples.append(MotionExample(clip.name, data.speech(clip.recording), rows))
        so_far += len(rows) / fps
    return examples


def style_of(enroller: Enroller, examples: list[MotionExample]) -> np.ndarray:
    """Return the style that the sound of the examples has."""
    sound = np.concatenate([example.sound for example in examples])
    reader = StyleReader(enroller.animator.runner)
    return reader.style([reader.hear(sound)]).style


def told(name: str, enroller: Enroller, style: np.ndarray, examples: list[MotionExample]) -> StyleCondition:
    """Fit a style to the examples' motion, and print what the fit says of itself."""
    fitted = fit(enroller.animator, enroller.rigs.rig, style, examples, enroller.starts(style))
    offset = "with an offset" if fitted.condition.offset is not None else "no offset"
    errors = f"{fitted.before:.3e} -> {fitted.after:.3e} m2"
    print(f"{name}: lip vertex error {errors} on {fitted.held_out:.1f} s, {fitted.steps} steps, {offset}", flush=True)
    return fitted.condition


def differences(report: CapturedReport) -> dict[str, dict[str, list[float]]]:
    """Return each system's measures minus the average style's over the same sentences: mean, and 95 % interval."""
    rng, result = np.random.default_rng(0), {}
    for title, scores in report.systems.items():
        result[title] = {}
        for key in SHOWN:
            pairs = zip(scores, report.systems[AVERAGE], strict=True)
            gains = np.array([one.value(key) - other.value(key) for one, other in pairs])
            gains = gains[np.isfinite(gains)]
            if len(gains) and title != AVERAGE:
                drawn = gains[rng.integers(len(gains), size=(1000, len(gains)))].mean(1)
                result[title][key] = [round(float(each), 4) for each in (gains.mean(), *np.quantile(drawn, (0.025, 0.975)))]
    return result


if __name__ == "__main__":
    main()
