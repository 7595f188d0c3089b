"""Make a model's jaw and lips as fast as captured ones: the gains of its postfilter, chosen on validation sentences.

    python tools/fit_postfilter.py weights/talker-base grid/ --identities FaceTalk_170725_00137_TA,grid_s1 \
        [--write weights/talker-base weights/talker-tiny]

Of each group of coefficients it takes the least gain, in steps of STEP, with which every identity's 95 % frequency is at least
1 - NEAR of the captured one's. It prints what each gain costs; with `--write` the gains go into every weights file of the
folders, whose values stay. Then run `talker export-model` on them.
"""

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from talker_cli.animate.animator import load_animator
from talker_cli.animate.postfilter import filtered, kernels
from talker_cli.corpus.articulate.articulation import CORNERS
from talker_cli.data.dataset import Dataset
from talker_cli.evaluate.captured import CURVES, score
from talker_cli.evaluate.face_measures import RATE, Curves, FaceMeasures
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.formats.files import ArrayFile, write_arrays
from talker_cli.model.noise import noise_seed

GROUPS = {
    "jaw": ("jaw", "mouthClose"),  # together, so that closed lips stay closed
    "width": CORNERS,
}
STEP, MOST, NEAR = 0.05, 1.0, 0.18
SHOWN = (*(f"{name}_{what}" for what in ("r", "f95_hz") for name in CURVES), "shut_recall", "shut_precision", "lip_error_mm")


def gains_of(names: tuple[str, ...], gains: dict[str, float]) -> tuple[float, ...]:
    """Return the gain of each coefficient."""
    return tuple(sum(gain for group, gain in gains.items() if name.startswith(GROUPS[group])) for name in names)


def main() -> None:
    """Choose, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("captured", type=Path, help="as `talker preprocess grid` makes it")
    parser.add_argument("--identities", required=True, help="full names, with commas")
    parser.add_argument("--steps", default="2")
    parser.add_argument("--write", nargs="*", default=[], type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    dataset, animator = Dataset(arguments.captured), load_animator(arguments.model, arguments.steps, "cpu")
    measures, names = FaceMeasures(dataset.rig.rig), animator.config.names
    unfiltered = replace(animator.config, postfilter=())
    animator.runner.config = unfiltered
    clips = [clip for clip in dataset.clips("validation") if dataset.recordings[clip.recording].phones]
    truth: dict[str, Curves] = {}
    raw: dict[tuple[str, str], np.ndarray] = {}
    for clip in clips:
        speech = dataset.speech(clip.recording)
        seconds = min(dataset.frames(clip.name) / dataset.info.fps, len(speech) / SAMPLE_RATE)
        truth[clip.name] = measures(dataset.coefficients(clip.name), dataset.info.fps).resampled(seconds)
        for who in arguments.identities.split(","):
            raw[who, clip.name] = animator.coefficients(speech, who, seed=noise_seed(0, clip.recording))

    def scores(made: dict[str, Curves]) -> dict[str, float]:
        sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(2))
        for clip in clips:
            phones = dataset.recordings[clip.recording].phones
            for key, terms in score(truth[clip.name], [made[clip.name]], phones).terms.items():
                sums[key] += terms
        return {key: float(one / other) for key, (one, other) in sums.items() if other}

    def measured(who: str, gains: dict[str, float]) -> dict[str, float]:
        weights = kernels(replace(unfiltered, postfilter=gains_of(names, gains)))[:, : len(dataset.rig.rig.face_names)]
        made = {}
        for clip in clips:
            face = filtered(raw[who, clip.name][:, : weights.shape[1]], weights).clip(0.0, 1.0)
            seconds = len(truth[clip.name]["gap"]) / RATE
            made[clip.name] = measures(face, unfiltered.fps).resampled(seconds)
        return scores(made)

    captured = scores(truth)
    print("gains | identity | " + " | ".join(SHOWN))
    print("captured | | " + " | ".join(f"{captured.get(key, float('nan')):.3f}" for key in SHOWN))
    gains = dict.fromkeys(GROUPS, 0.0)
    while True:
        found = {who: measured(who, gains) for who in arguments.identities.split(",")}
        for who, values in found.items():
            print(f"{gains} | {who} | " + " | ".join(f"{values[key]:.3f}" for key in SHOWN), flush=True)
        slow = [
            group
            for group in GROUPS
            if min(each[f"{group}_f95_hz"] for each in found.values()) < (1 - NEAR) * captured[f"{group}_f95_hz"]
        ]
        if not slow or max(gains.values()) >= MOST:
            break
        gains |= {group: round(gains[group] + STEP, 2) for group in slow}
    for path in [path for folder in arguments.write for path in sorted(folder.glob("*.safetensors"))]:
        if path.name != "rig.safetensors":
            file = ArrayFile(path, "model")
            config = {**file.metadata["config"], "postfilter": gains_of(names, gains)}
            write_arrays(path, {name: file.array(name) for name in file.names}, {**file.metadata, "config": config})


if __name__ == "__main__":
    main()
