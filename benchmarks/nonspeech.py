"""Seconds in which the mouth opens by more than 2 mm over sounds in which nobody speaks to the listener, model by model.

Usage: python benchmarks/nonspeech.py MODEL... [--steps 8] [--voices PREPARED]

Twenty sounds of ten seconds at -26 dB (RMS) each, from seeds that `tools/train_phones.py` does not draw; without --voices the
crowds are left out.
"""

import argparse
from pathlib import Path

import numpy as np

from talker_cli.animate.talker import Talker
from talker_cli.corpus.sound.nonspeech import LEVEL, SOUNDS, crowd
from talker_cli.data.dataset import Dataset
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.metrics import lip_gap

SECONDS, OPEN = 10.0, 0.002  # metres
DECIBELS = -26.0
SEED = 90_000
TWICE = ("music", "applause", "engine", "rain", "clicks", "hum", "breath")


def sounds(voices: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Return the sounds (S,) by name."""
    count, gain = int(SECONDS * SAMPLE_RATE), 10 ** (DECIBELS / 20) / LEVEL
    names = [*SOUNDS, *(name for name in TWICE), *(["crowd"] * 2 if voices else [])]
    made = {}
    for number, name in enumerate(names):
        rng = np.random.default_rng(SEED + number)
        sound = crowd(rng, count, voices) if name == "crowd" else SOUNDS[name](rng, count)
        made[f"{name} {names[:number].count(name) + 1}"] = (sound * gain).astype(np.float32)
    return made


def main() -> None:
    """Print a table: a row a sound, a column a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--steps", default="8")
    parser.add_argument("--voices", type=Path, help="Prepared dataset whose test voices make the crowds.")
    options = parser.parse_args()
    voices = []
    if options.voices:
        dataset = Dataset(options.voices)
        names = [each.name for each in dataset.info.recordings if each.split == "test_voice" and each.text]
        voices = [dataset.speech(name) for name in names[:: max(1, len(names) // 60)]]
    table = {name: [0.0] * len(options.models) for name in sounds(voices)}
    for column, model in enumerate(options.models):
        talker = Talker.load(model, steps=options.steps, device="cpu")
        for name, sound in sounds(voices).items():
            motion = talker.animator.coefficients(sound, talker.identities[0])
            rig = talker.rigs.rig
            gap = lip_gap(rig.decode(motion), rig.template, rig.lip_pairs)
            table[name][column] = float((gap > OPEN).mean() * SECONDS)
    print(f"{'seconds open of 10':24s}" + "".join(f"{Path(model).name:>16s}" for model in options.models))
    for name, row in table.items():
        print(f"{name:24s}" + "".join(f"{value:16.1f}" for value in row))
    print(f"{'all':24s}" + "".join(f"{value:16.1f}" for value in np.sum(list(table.values()), 0)))


if __name__ == "__main__":
    main()
