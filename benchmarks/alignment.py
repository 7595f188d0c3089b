"""How well texts are aligned in a language: synthetic voices, whose phone times are known, aligned as if they were people.

    python benchmarks/alignment.py [--sentences 20]

Prints a line for each voice: how many recordings are used, why the others are not, and, of all bilabials (p b m) of the
voice's own phones, how many the alignment has within 50 ms, the median distance of their starts, and how many it has where
there is none. The voice and espeak-ng need not pronounce a word alike, so that not all of it is the aligner's error.
"""

import argparse
from collections import Counter

import numpy as np

from talker_cli.data.articulated.alignment import Aligner
from talker_cli.data.articulated.building import refusal
from talker_cli.data.articulated.phonetics import BILABIALS
from talker_cli.data.articulated.recordings import Spoken
from talker_cli.data.articulated.refine import odd_silence, refine
from talker_cli.data.articulated.sentences import SENTENCES
from talker_cli.data.articulated.sentences_abroad import SENTENCES_ABROAD
from talker_cli.data.articulated.synthesis import synthesise
from talker_cli.data.articulated.voices import SYNTHETIC_VOICES, SyntheticVoice

VOICES = (
    "flite_rms", "flite_slt", "festival_ked", "festival_dita", "festival_machac", "festival_lj", "festival_mv", "festival_ona",
    "festival_hindi", "festival_marathi", "festival_telugu",
)  # fmt: skip
NEAR = 0.05  # seconds


def measure(voice: SyntheticVoice, aligner: Aligner, count: int) -> str:
    """Return the line about one voice."""
    reasons: Counter[str] = Counter()
    true_count = found_count = hits = 0
    distances: list[float] = []
    for index, text in enumerate(SENTENCES_ABROAD.get(voice.language, SENTENCES)[:count]):
        speech, truth = synthesise(voice, text)
        espeak_voice = "en-us" if voice.language == "en" else voice.language
        item = Spoken(str(index), voice.name, voice.language, True, text, speech, espeak_voice, "", "")
        found = aligner.align(speech, text, voice.language, espeak_voice)
        reason = refusal(item, found)
        phones = refine(found, speech, voice.language) if found is not None and not reason else ()
        if phones and odd_silence(phones, speech):
            reason, phones = "odd silence", ()
        reasons[reason or "used"] += 1
        if reason:
            continue
        ours = np.array([start for phone, start, _ in phones if phone in BILABIALS])
        theirs = np.array([start for phone, start, _ in truth if phone in BILABIALS])
        true_count, found_count = true_count + len(theirs), found_count + len(ours)
        if len(ours) and len(theirs):
            nearest = np.abs(ours[None] - theirs[:, None]).min(1)
            hits += int((nearest < NEAR).sum())
            distances += nearest[nearest < NEAR].tolist()
    recall = hits / max(1, true_count)
    extra = 1.0 - min(1.0, hits / max(1, found_count))
    median = 1000.0 * float(np.median(distances)) if distances else float("nan")
    used = reasons.pop("used", 0)
    rest = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items())) or "none"
    return f"{voice.name:17s} {voice.language}  {used:2d} {recall:6.1%} {median:5.1f} ms {extra:6.1%}  {rest}"


def main() -> None:
    """Measure every voice."""
    parser = argparse.ArgumentParser(description="Alignment of voices whose phone times are known.")
    parser.add_argument("--sentences", type=int, default=20)
    count = parser.parse_args().sentences
    aligner = Aligner()
    print("voice         language used  found  start   extra  left out")
    for voice in SYNTHETIC_VOICES:
        if voice.name in VOICES:
            print(measure(voice, aligner, count), flush=True)


if __name__ == "__main__":
    main()
