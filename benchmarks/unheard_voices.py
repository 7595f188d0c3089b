"""Closed lips at /p b m/ in voices that nobody trained on, of several models at one rate of false closures.

Usage: python benchmarks/unheard_voices.py PREPARED MODEL[:STEPS]... [--each 20] [--voices NAME...] [--line telephone]

By the sound alone and, of models that read phones, by the text (`animate --text`). Counted as `evaluate` counts: a closure is
a gap under a tenth of the clip's usual opening. That share is then chosen for each system so that all have as many false
closures, over all voices together, as the first system at a tenth; with it they can be compared.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from talker_cli.animate.talker import Talker
from talker_cli.animate.text import align_text
from talker_cli.corpus.sound.augment import through_line
from talker_cli.data.dataset import Dataset, Recording
from talker_cli.errors import TalkerError
from talker_cli.evaluate.conditions import telephone
from talker_cli.metrics import CLOSED_SHARE, Articulation, lip_gap

LANGUAGES = {"en": "en-us", "es": "es-419"}  # voices of espeak-ng, where they are not called by the language
SHARES = np.round(np.r_[np.arange(0.01, 0.2, 0.01), np.arange(0.2, 0.6, 0.02)], 2)


def _codec(name: str, container: str) -> Callable[[np.ndarray, str], np.ndarray]:
    return lambda speech, recording: through_line(speech, name, container, 8000, (), np.random.default_rng(0))


LINES: dict[str, Callable[[np.ndarray, str], np.ndarray]] = {
    "clean": lambda speech, recording: speech,
    "telephone": telephone,  # 300 to 3,400 Hz
    "mulaw": _codec("pcm_mulaw", "wav"),
    "g723": _codec("g723_1", "wav"),  # 6.3 kbit/s; no training has it
}


def recordings_of(dataset: Dataset, voices: list[str], each: int) -> dict[str, list[Recording]]:
    """Return recordings with /p b m/ of each voice, `each` at most; of the split test_voice where no voice is named."""
    found: dict[str, list[Recording]] = {}
    for recording in dataset.info.recordings:
        wanted = recording.voice in voices if voices else recording.split == "test_voice"
        if wanted and recording.text and {"P", "B", "M"} & {phone for phone, _, _ in recording.phones}:
            found.setdefault(recording.voice, []).append(recording)
    return {voice: of[:: max(1, len(of) // each)][:each] for voice, of in sorted(found.items())}


def rates(counts: list[Articulation], share: int) -> tuple[float, float]:
    """Return closed bilabials and false closures at one of SHARES."""
    return float(np.mean(counts[share].bilabials_closed)), float(np.mean(counts[share].false_closures))


def main() -> None:
    """Print a row a voice, and all voices."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("models", nargs="+", metavar="MODEL[:STEPS]")
    parser.add_argument("--each", type=int, default=20, help="Most recordings of a voice.")
    parser.add_argument("--voices", nargs="*", default=[])
    parser.add_argument("--line", choices=LINES, default="clean")
    options = parser.parse_args()
    dataset = Dataset(options.prepared)
    talkers = {
        name: Talker.load(name.partition(":")[0], steps=name.partition(":")[2] or "8", device="cpu") for name in options.models
    }
    systems = [(name, by) for name, talker in talkers.items() for by in ("sound", "text")]
    systems = [(name, by) for name, by in systems if by == "sound" or talkers[name].animator.config.reads_phones]
    counts: dict[tuple[str, str, str], list[Articulation]] = {}
    voices = recordings_of(dataset, options.voices, options.each)
    for voice, recordings in voices.items():
        for name, by in systems:
            counts[voice, name, by] = [Articulation.empty() for _ in SHARES]
        for recording in recordings:
            speech = LINES[options.line](dataset.speech(recording.name), recording.name)
            language = LANGUAGES.get(recording.language, recording.language)
            try:
                placed = align_text([speech], recording.text, language).phones
            except TalkerError:
                continue
            for name, by in systems:
                talker = talkers[name]
                rig, fps = talker.rigs.rig, talker.animator.config.fps
                motion = talker.animator.coefficients(speech, talker.identities[0], phones=placed if by == "text" else None)
                gap = lip_gap(rig.decode(motion), rig.template, rig.lip_pairs)
                for share, count in zip(SHARES, counts[voice, name, by], strict=True):
                    count.add(gap, recording.phones, fps, float(share))
    whole = {
        system: [Articulation.joined(counts[voice, *system][share] for voice in voices) for share in range(len(SHARES))]
        for system in systems
    }
    usual = int(np.argmin(np.abs(SHARES - CLOSED_SHARE)))
    target = rates(whole[systems[0]], usual)[1]
    equal = {
        system: int(np.argmin([abs(rates(of, share)[1] - target) for share in range(len(SHARES))]))
        for system, of in whole.items()
    }
    print(f"{options.line}: closed (false) at a share of {CLOSED_SHARE}, and closed where {target:.3f} of all are false")
    titles = [f"{Path(name).name} {by}" for name, by in systems]
    print(f"{'voice':20s}{'/p b m/':>8s}" + "".join(f"{title:>26s}" for title in titles))
    for voice in [*voices, "all"]:
        row = {system: whole[system] if voice == "all" else counts[voice, *system] for system in systems}
        total = len(row[systems[0]][usual].bilabials_closed)
        cells = []
        for system in systems:
            (closed, false), same = rates(row[system], usual), rates(row[system], equal[system])[0]
            cells.append(f"{closed:.3f} ({false:.3f})  {same:.3f}".rjust(26))
        print(f"{voice:20s}{total:8d}" + "".join(cells), flush=True)
    print("shares: " + ", ".join(f"{title} {SHARES[equal[system]]:.2f}" for title, system in zip(titles, systems, strict=True)))


if __name__ == "__main__":
    main()
