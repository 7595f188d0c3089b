"""Voices that no training heard, enrolled from their sound alone: how much of the way from the average style to their own?

    python benchmarks/enroll_voices.py prepared/ rules            # without a network: what the voice tells, by the rules alone
    python benchmarks/enroll_voices.py prepared/ models/mine      # the model: average, sound alone, fitted to motion

Of every voice of the split test_voice with enough speech, `--seconds` of its recordings are enrolled, and others are animated:
`--clips`, more where these are short. The truth is the corpus's motion in the voice's own style. Printed are the lips' errors
(lip vertex error, 1e-6 m2, and its root) of the average style, of the style read off the sound, and of the true style (fitted
to other motion of the voice), and the share of the way from the first to the last; then 95 % intervals, voices and their clips
resampled.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from talker_cli.corpus.articulate.articulation import articulate
from talker_cli.corpus.articulate.prosody import measure_prosody
from talker_cli.corpus.articulate.voice_styles import average_style, style_of_voice
from talker_cli.data.dataset import Clip, Dataset
from talker_cli.enroll.enroller import Enroller
from talker_cli.enroll.fit import fit
from talker_cli.enroll.motion import MotionExample
from talker_cli.identity.resolve import StyleCondition, on_sphere
from talker_cli.identity.style import StyleReader
from talker_cli.identity.voice import VoiceSums
from talker_cli.metrics import lve_per_frame

Motion = Callable[[Clip], np.ndarray]  # clip -> coefficients (T, K)
SYSTEMS = ("average style", "sound alone", "true style")
FITTED = 60.0  # seconds of motion that the true style is fitted to
LEAST, ENOUGH = 8.0, 20.0  # seconds of speech to test on; from the second on, `--clips` are enough


def rule_systems(data: Dataset, heard: list[Clip], whole: list[Clip], voice: str) -> tuple[Motion, ...]:
    """Return the rules with the average style, with what the sound tells, and with the true style; their randomness is new."""
    sums = [VoiceSums.total(VoiceSums.of(data.speech(clip.recording)) for clip in part) for part in (heard, whole)]
    styles = (average_style(), style_of_voice(sums[0], voice, chance=0.0), style_of_voice(sums[1], voice))

    def motion(clip: Clip, number: int) -> np.ndarray:
        speech = data.speech(clip.recording)
        phones = data.recordings[clip.recording].phones
        return articulate(phones, len(speech), styles[number], measure_prosody(speech), f"again|{clip.name}", data.info.fps)

    return tuple(lambda clip, number=number: motion(clip, number) for number in range(3))


def model_systems(data: Dataset, heard: list[Clip], others: list[Clip], enroller: Enroller) -> tuple[Motion, ...]:
    """Return the model with the average style, with the style read off the sound, and with the one fitted to other motion."""
    animator = enroller.animator
    reader = StyleReader(animator.runner)
    read = reader.style([reader.hear(data.speech(clip.recording)) for clip in heard]).style
    average = on_sphere(enroller.space.average)
    examples = [MotionExample(c.name, data.speech(c.recording), data.coefficients(c.name)) for c in others]
    fitted = fit(animator, data.rig.rig, read, examples, (average,)).condition
    # The corpus's resting expression is part of its styles; an offset would be more than a style.
    conditions = (StyleCondition(average), StyleCondition(read), StyleCondition(fitted.style))
    return tuple(
        lambda clip, condition=condition: animator.coefficients(data.speech(clip.recording), condition)
        for condition in conditions
    )


def measure(data: Dataset, model: str, seconds: float, clips: int, output: Path | None) -> dict[str, np.ndarray]:
    """Return the errors (N, 3), square metres, of each voice's clips by every system; voices in the output are done."""
    enroller = None if model == "rules" else Enroller(model, "cpu")
    own: dict[str, list[Clip]] = {}
    for clip in data.clips("test_voice"):
        if clip.voice_matched and data.recordings[clip.recording].text:
            own.setdefault(data.recordings[clip.recording].voice, []).append(clip)
    rig = data.rig.rig
    lips = rig.regions["lips"]
    flat = rig.basis[:, lips].reshape(len(rig.names), -1)
    known = json.loads(output.read_text()) if output is not None and output.is_file() else {}
    errors = {voice: np.array(rows) for voice, rows in known.items()}
    for voice, all_clips in own.items():
        if voice in errors:
            report(voice, errors[voice].mean(0))
            continue
        order = [all_clips[index] for index in np.random.default_rng(0).permutation(len(all_clips))]
        heard, order = taken(data, order, seconds)
        count = max(clips, len(taken(data, order, ENOUGH)[0]))
        tested, others = order[:count], order[count:]
        if sum(data.seconds(clip.recording) for clip in tested) < LEAST:
            continue
        others = taken(data, others, FITTED)[0] or heard
        systems = (
            rule_systems(data, heard, all_clips, voice) if enroller is None else model_systems(data, heard, others, enroller)
        )
        rows = []
        for clip in tested:
            truth = data.coefficients(clip.name)
            rows.append([lip_error(truth, system(clip)[: len(truth)], flat) for system in systems])
        errors[voice] = np.array(rows)
        report(voice, errors[voice].mean(0))
        if output is not None:
            output.write_text(json.dumps({name: part.tolist() for name, part in errors.items()}))
    return errors


def taken(data: Dataset, clips: list[Clip], seconds: float) -> tuple[list[Clip], list[Clip]]:
    """Return the first clips that hold so many seconds, and the rest."""
    total = np.cumsum([data.seconds(clip.recording) for clip in clips])
    count = int(np.searchsorted(total, seconds)) + 1 if len(clips) else 0
    return clips[:count], clips[count:]


def lip_error(truth: np.ndarray, motion: np.ndarray, flat: np.ndarray) -> float:
    """Return the lip vertex error of coefficients (T, K), square metres."""
    moved = (((each @ flat).reshape(len(each), -1, 3)) for each in (truth[: len(motion)], motion))
    return float(lve_per_frame(*moved, np.ones(flat.shape[1] // 3, bool)).mean())


def report(name: str, errors: np.ndarray) -> None:
    """Print a line of errors, square metres, and the share of the way."""
    way = (errors[0] - errors[1]) / (errors[0] - errors[2]) if errors[0] != errors[2] else np.nan
    values = "  ".join(f"{1e6 * error:6.2f} ({1e3 * error**0.5:4.2f} mm)" for error in errors)
    print(f"{name:<20} {values}  {way:6.2f}", flush=True)


def resampled(errors: dict[str, np.ndarray], draws: int = 4000) -> np.ndarray:
    """Return (draws, 3) mean errors over voices, voices and their clips resampled."""
    rng = np.random.default_rng(0)
    parts = list(errors.values())
    means = []
    for _ in range(draws):
        chosen = [parts[index] for index in rng.integers(len(parts), size=len(parts))]
        means.append(np.mean([part[rng.integers(len(part), size=len(part))].mean(0) for part in chosen], axis=0))
    return np.array(means)


def main() -> None:
    """Measure, print, and write the errors as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("model", help="a model, or rules")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--output", "-o", type=Path, help="errors as JSON; a killed run resumes from it")
    options = parser.parse_args()
    print(f"{'voice':<20} " + "  ".join(f"{name:<16}" for name in SYSTEMS) + "  share of the way")
    errors = measure(Dataset(options.dataset), options.model, options.seconds, options.clips, options.output)
    report("mean over voices", np.mean([part.mean(0) for part in errors.values()], axis=0))
    draws = resampled(errors)
    for name, values, scale in (
        ("average less sound, 1e-6 m2", draws[:, 0] - draws[:, 1], 1e6),
        ("share of the way", (draws[:, 0] - draws[:, 1]) / (draws[:, 0] - draws[:, 2]), 1.0),
    ):
        low, high = np.percentile(values, (2.5, 97.5)) * scale
        print(f"{name}: 95 % interval {low:.2f}…{high:.2f}")


if __name__ == "__main__":
    main()
