"""Closures of the lips confirmed or denied, in English, by a phoneme recogniser that had no part in talker: hama.

Usage: python benchmarks/judge.py PREPARED MODEL[:STEPS]... [--voices NAME...] [--each 20] [--line telephone]

hama (pip install hama; Apache-2.0) is no dependency. Where it hears p, b or m, the lips should be closed; a closure in the
middle of speech should lie at a p, b or m that it hears, or else at f, v, w or a pause. It misses about a tenth of p, b and m
itself and puts an output LAG late (against the times of flite's and festival's voices).
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from unheard_voices import LINES, recordings_of

from talker_cli.animate.talker import Talker
from talker_cli.data.dataset import Dataset
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.metrics import CLOSED_SHARE, lip_gap

LAG = 0.045  # seconds from the middle of a sound to hama's output
NEAR = 0.08  # seconds between a closure and its sound
PAUSE = 0.25  # seconds without an output; a phrase begins and ends with one
BILABIALS, OTHERS = frozenset("pbm"), frozenset("fvw")


@dataclass
class Verdict:
    """Counts of sounds and closures."""

    heard: int = 0
    closed: int = 0
    closures: int = 0
    confirmed: int = 0
    other: int = 0

    def add(self, gap: np.ndarray, fps: float, sounds: list[tuple[str, float]]) -> None:
        """Judge the gap (T,) of a recording by the sounds that hama hears, (phoneme, seconds)."""
        shut = gap < CLOSED_SHARE * np.percentile(gap, 95)
        for phoneme, at in sounds:
            if phoneme in BILABIALS:
                around = shut[max(0, int((at - NEAR) * fps)) : int((at + NEAR) * fps) + 2]
                self.heard, self.closed = self.heard + 1, self.closed + bool(around.any())
        edges = np.flatnonzero(np.diff(np.r_[False, shut, False])).reshape(-1, 2) / fps
        times = np.array([at for _, at in sounds])
        for start, end in edges:
            before, after = times[times < start + NEAR], times[times > end - NEAR]
            near = {phoneme for phoneme, at in sounds if start - NEAR <= at <= end + NEAR}
            paused = not len(before) or not len(after) or after[0] - before[-1] > PAUSE
            self.closures += 1
            self.confirmed += bool(near & BILABIALS)
            self.other += bool(not near & BILABIALS and (near & OTHERS or paused))

    def line(self) -> str:
        """Return the table's cells."""
        shares = np.array([self.confirmed, self.other, self.closures - self.confirmed - self.other]) / max(1, self.closures)
        cells = "".join(f"{share:{width}.3f}" for share, width in zip(shares, (10, 8, 8), strict=True))
        return f"{self.heard:6d}{self.closed / max(1, self.heard):8.3f}{self.closures:10d}{cells}"


def main() -> None:
    """Print a row a voice and model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("models", nargs="+", metavar="MODEL[:STEPS]")
    parser.add_argument("--voices", nargs="*", default=[])
    parser.add_argument("--each", type=int, default=20)
    parser.add_argument("--line", choices=LINES, default="clean")
    options = parser.parse_args()
    try:
        import hama
    except ImportError:
        parser.error("hama is not installed; expected it: pip install hama")
    judge, dataset = hama.ASRModel(), Dataset(options.prepared)
    talkers = [
        Talker.load(name.partition(":")[0], steps=name.partition(":")[2] or "8", device="cpu") for name in options.models
    ]
    print(
        f"{'voice':16s}{'model':24s}{'heard':>6s}{'closed':>8s}{'closures':>10s}{'confirmed':>10s}{'f v w -':>8s}{'denied':>8s}"
    )
    whole = [Verdict() for _ in talkers]
    for voice, recordings in recordings_of(dataset, options.voices, options.each).items():
        verdicts = [Verdict() for _ in talkers]
        for recording in (each for each in recordings if each.language == "en"):
            speech = LINES[options.line](dataset.speech(recording.name), recording.name)
            spans = judge.phoneme_spans(judge.transcribe_waveform(speech, SAMPLE_RATE))
            sounds = [(span.phoneme, span.start_ms / 1000 - LAG) for span in spans]
            for talker, counts in zip(talkers, zip(verdicts, whole, strict=True), strict=True):
                rig, fps = talker.rigs.rig, talker.animator.config.fps
                gap = lip_gap(
                    rig.decode(talker.animator.coefficients(speech, talker.identities[0])), rig.template, rig.lip_pairs
                )
                for count in counts:
                    count.add(gap, fps, sounds)
        for name, verdict in zip(options.models, verdicts, strict=True):
            if verdict.heard:
                print(f"{voice:16s}{name:24s}{verdict.line()}", flush=True)
    for name, verdict in zip(options.models, whole, strict=True):
        print(f"{'all':16s}{name:24s}{verdict.line()}")


if __name__ == "__main__":
    main()
