"""Closed lips at /p b m/ in unheard voices: by sound alone, by the text (`animate --text`), and by the corpus' own phones.

Usage: python benchmarks/known_words.py MODEL PREPARED [--steps 10] [--each 20] [--voices NAME...]
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from talker_cli.animate.talker import Talker
from talker_cli.animate.text import align_text
from talker_cli.data.dataset import Dataset, Recording
from talker_cli.errors import TalkerError
from talker_cli.metrics import Articulation, Phones, lip_gap

SOURCES = ("sound", "text", "phones")
LANGUAGES = {"en": "en-us", "es": "es-419"}  # voices of espeak-ng, where they are not called by the language


def main() -> None:
    """Print a table: a row a voice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--steps", default="10")
    parser.add_argument("--each", type=int, default=20)
    parser.add_argument("--voices", nargs="*", default=[])
    options = parser.parse_args()
    talker, dataset = Talker.load(options.model, steps=options.steps, device="cpu"), Dataset(options.prepared)
    rig, fps = talker.rigs.rig, talker.animator.network.config.fps
    by_voice: dict[str, list[Recording]] = {}
    for recording in dataset.info.recordings:
        wanted = recording.voice in options.voices if options.voices else recording.split == "test_voice"
        if wanted and recording.text and {"P", "B", "M"} & {phone for phone, _, _ in recording.phones}:
            by_voice.setdefault(recording.voice, []).append(recording)
    print(f"{'voice':20s}{'/p b m/':>8s}" + "".join(f"{name + ' closed':>15s}{'false':>7s}" for name in SOURCES))
    for voice, recordings in sorted(by_voice.items()):
        counts = [Articulation.empty() for _ in SOURCES]
        for recording in recordings[:: max(1, len(recordings) // options.each)][: options.each]:
            speech = dataset.speech(recording.name)
            language = LANGUAGES.get(recording.language, recording.language)
            try:
                placed: Phones | None = align_text([speech], recording.text, language, torch.device("cpu")).phones
            except TalkerError:
                continue
            for count, phones in zip(counts, (None, placed, recording.phones), strict=True):
                motion = talker.animator.coefficients(speech, talker.identities[0], phones=phones)
                count.add(lip_gap(rig.decode(motion), rig.template, rig.lip_pairs), recording.phones, fps)
        rates = [(np.mean(each.bilabials_closed), np.mean(each.false_closures)) for each in counts]
        total = len(counts[0].bilabials_closed)
        print(f"{voice:20s}{total:8d}" + "".join(f"{closed:15.3f}{false:7.3f}" for closed, false in rates), flush=True)


if __name__ == "__main__":
    main()
