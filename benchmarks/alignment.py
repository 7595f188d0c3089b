"""Accuracy of the alignment by language: synthetic voices, whose phone times are known, aligned as human recordings are.

    python benchmarks/alignment.py [--sentences 20]

Prints a line for each voice: the recordings that are used; the share of the voice's own bilabials (p b m) that the alignment
has within 50 ms, the median distance of their starts, and the share of its bilabials with none near; the share of vowels that
begin within 20 ms; and why recordings were refused. `->` leads from the aligner's phones to those realigned by models of the
voice's own sounds, estimated from these recordings alone. The voice and espeak-ng may pronounce a word differently, so not all
of the difference is the aligner's error.
"""

import argparse
from collections import Counter
from collections.abc import Sequence

import numpy as np

from talker_cli.corpus.align.adaptation import realign
from talker_cli.corpus.align.alignment import Aligner
from talker_cli.corpus.align.phonetics import VOWELS
from talker_cli.corpus.align.refine import odd_silence, refine
from talker_cli.corpus.build import refusal
from talker_cli.corpus.speech.recordings import Utterance
from talker_cli.corpus.speech.sentences import SENTENCES
from talker_cli.corpus.speech.sentences_by_language import SENTENCES_BY_LANGUAGE
from talker_cli.corpus.speech.synthesis import synthesise
from talker_cli.corpus.speech.voices import SYNTHETIC_VOICES, SyntheticVoice
from talker_cli.metrics import BILABIALS, Phones

VOICES = (
    "flite_rms", "flite_slt", "festival_ked", "festival_dita", "festival_machac", "festival_lj", "festival_mv", "festival_ona",
    "festival_hindi", "festival_marathi", "festival_telugu",
)  # fmt: skip
NEAR, EXACT = 0.05, 0.02  # seconds


def starts(phones: Phones, kinds: frozenset[str]) -> np.ndarray:
    """Return the start of each phone of these kinds, seconds."""
    return np.array([start for phone, start, _ in phones if phone in kinds])


def compare(pairs: Sequence[tuple[Phones, Phones]]) -> tuple[float, float, float, float]:
    """Return recall of bilabials, median distance of their starts in ms, share of false bilabials, recall of vowel starts."""
    distances, extra, vowels = [np.zeros(0)], [np.zeros(0)], [np.zeros(0)]
    for ours, truth in pairs:
        for kinds, into in ((BILABIALS, distances), (VOWELS, vowels)):
            aligned, true = starts(ours, kinds), starts(truth, kinds)
            into.append(np.abs(aligned[None] - true[:, None]).min(1, initial=np.inf))
            if kinds is BILABIALS:
                extra.append(np.abs(aligned[:, None] - true[None]).min(1, initial=np.inf))
    distance = np.concatenate(distances)
    return (
        float((distance < NEAR).mean()), 1000.0 * float(np.median(distance[distance < NEAR])),
        float((np.concatenate(extra) >= NEAR).mean()), float((np.concatenate(vowels) < EXACT).mean()),
    )  # fmt: skip


def measure(voice: SyntheticVoice, aligner: Aligner, count: int) -> str:
    """Return the table's row of one voice."""
    reasons: Counter[str] = Counter()
    used: list[tuple[np.ndarray, Phones, Phones]] = []  # speech, aligned, true
    for index, text in enumerate(SENTENCES_BY_LANGUAGE.get(voice.language, SENTENCES)[:count]):
        speech, truth = synthesise(voice, text)
        espeak_voice = "en-us" if voice.language == "en" else voice.language
        item = Utterance(str(index), voice.name, voice.language, True, text, speech, espeak_voice, "", "")
        alignment = aligner.align(speech, text, voice.language, espeak_voice)
        reason = refusal(item, alignment)
        if alignment is not None and not reason:
            if odd_silence(refine(alignment.phones, speech, voice.language), speech):
                reason = "odd silence"
            else:
                used.append((speech, alignment.phones, truth))
        if reason:
            reasons[reason] += 1
    rest = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items())) or "none"
    again = realign([(speech, phones) for speech, phones, _ in used])
    rows = []
    for phones in ([phones for _, phones, _ in used], again):
        refined = [refine(each, speech, voice.language) for each, (speech, _, _) in zip(phones, used, strict=True)]
        rows.append(compare(list(zip(refined, (truth for _, _, truth in used), strict=True))))
    formats = ("6.1%", "4.1f", "5.1%", "6.1%")
    shown = "  ".join(f"{old:{form}} ->{new:{form}}" for old, new, form in zip(*rows, formats, strict=True))
    return f"{voice.name:17s} {voice.language}  {len(used):2d}  {shown}  {rest}"


def main() -> None:
    """Measure every voice."""
    parser = argparse.ArgumentParser(description="Alignment of voices whose phone times are known.")
    parser.add_argument("--sentences", type=int, default=20)
    count = parser.parse_args().sentences
    aligner = Aligner()
    print("voice        language used  recall            start, ms     false            vowels            refused")
    for voice in SYNTHETIC_VOICES:
        if voice.name in VOICES:
            print(measure(voice, aligner, count), flush=True)


if __name__ == "__main__":
    main()
