"""Accuracy of the two aligners on synthetic voices whose phone times are known: the corpus' pocketsphinx, and Whisper's phones.

    python benchmarks/alignment.py [--sentences 24] [--voices NAME...]

A line for each voice and aligner: recordings; median and 90 % quantile of the distance of a phone's start from the voice's;
share within 20 ms; share of the voice's phones that are lost (none of that name at its place, or over 100 ms away); share of
its p, b and m with one within 50 ms. `->` leads from the aligner's phones to those placed again by models of the voice's own
sounds, as in the corpus. The voice and espeak-ng may pronounce a word differently: part of what is lost is no aligner's error.
The head that reads Whisper's phones learned from no voice of VOICES.
"""

import argparse
from collections.abc import Callable

import numpy as np

from talker_cli.animate.text import align_text
from talker_cli.corpus.align.adaptation import realign
from talker_cli.corpus.align.alignment import Aligner
from talker_cli.corpus.align.refine import refine
from talker_cli.corpus.speech.sentences import SENTENCES
from talker_cli.corpus.speech.sentences_by_language import SENTENCES_BY_LANGUAGE
from talker_cli.corpus.speech.synthesis import synthesise
from talker_cli.corpus.speech.voices import SYNTHETIC_VOICES
from talker_cli.errors import TalkerError
from talker_cli.metrics import BILABIALS, SILENCE, Phones

VOICES = (
    "flite_slt", "flite_awb", "festival_ked", "festival_krb", "festival_lj", "festival_marathi", "espeak_f3", "espeak_mike",
)  # fmt: skip
EXACT, NEAR, FAR = 0.02, 0.05, 0.1  # seconds

Align = Callable[[np.ndarray, str, str, str], Phones | None]


def pairs(ours: Phones, truth: Phones) -> list[tuple[float, float]]:
    """Return the starts of the phones that both have, by the edit of least cost from one to the other."""
    one, other = ([phone for phone in phones if phone[0] != SILENCE] for phones in (ours, truth))
    cost = np.zeros((len(one) + 1, len(other) + 1))
    cost[:, 0], cost[0] = np.arange(len(one) + 1), np.arange(len(other) + 1)
    for i, mine in enumerate(one, 1):
        for j, theirs in enumerate(other, 1):
            same = cost[i - 1, j - 1] + 1.2 * (mine[0] != theirs[0])
            cost[i, j] = min(same, cost[i - 1, j] + 1, cost[i, j - 1] + 1)
    found, i, j = [], len(one), len(other)
    while i and j:
        if cost[i, j] == cost[i - 1, j - 1] + 1.2 * (one[i - 1][0] != other[j - 1][0]):
            i, j = i - 1, j - 1
            if one[i][0] == other[j][0]:
                found.append((one[i][1], other[j][1]))
        elif cost[i, j] == cost[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
    return found


def compare(recordings: list[tuple[Phones, Phones]]) -> tuple[float, float, float, float, float]:
    """Return median and 90 % quantile of the starts' distance, ms; shares within EXACT, lost, and of bilabials within NEAR."""
    distances, phones, kept, lips = [np.zeros(0)], 0, 0, []
    for ours, truth in recordings:
        distance = np.abs(np.diff(pairs(ours, truth), axis=1)).ravel()
        distances.append(distance)
        phones, kept = phones + sum(phone != SILENCE for phone, _, _ in truth), kept + int((distance < FAR).sum())
        starts = np.array([start for phone, start, _ in ours if phone in BILABIALS] or [np.inf])
        lips += [np.abs(starts - start).min() < NEAR for phone, start, _ in truth if phone in BILABIALS]
    distance = np.concatenate(distances)
    median, most = 1000 * np.percentile(distance, (50, 90))
    return float(median), float(most), float((distance < EXACT).mean()), 1 - kept / phones, float(np.mean(lips))


def by_whisper(speech: np.ndarray, text: str, language: str, espeak_voice: str) -> Phones | None:
    """Return the phones that `animate --text` places."""
    try:
        return align_text([speech.astype(np.float32) / 32768], text, espeak_voice).phones
    except TalkerError:
        return None


def main() -> None:
    """Measure every voice, and all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=24)
    parser.add_argument("--voices", nargs="*", default=VOICES)
    options = parser.parse_args()
    pocketsphinx = Aligner()

    def by_pocketsphinx(speech: np.ndarray, text: str, language: str, espeak_voice: str) -> Phones | None:
        found = pocketsphinx.align(speech, text, language, espeak_voice)
        return None if found is None else found.phones

    aligners: dict[str, Align] = {"pocketsphinx": by_pocketsphinx, "whisper": by_whisper}
    whole: dict[str, list[list[tuple[Phones, Phones]]]] = {name: [[], []] for name in aligners}

    def show(voice: str, name: str, first: list[tuple[Phones, Phones]], again: list[tuple[Phones, Phones]]) -> None:
        cells = zip(compare(first), compare(again), ("5.1f", "5.1f", "6.1%", "6.1%", "6.1%"), strict=True)
        print(f"{voice:17s} {name:13s}{len(first):4d}  " + "  ".join(f"{a:{f}} ->{b:{f}}" for a, b, f in cells), flush=True)

    print("voice             aligner      used  median, ms      90 %, ms        within 20 ms     lost             p b m")
    for voice in (each for each in SYNTHETIC_VOICES if each.name in options.voices):
        texts = SENTENCES_BY_LANGUAGE.get(voice.language, SENTENCES)[: options.sentences]
        spoken = [(text, *synthesise(voice, text)) for text in texts]
        espeak_voice = "en-us" if voice.language == "en" else voice.language
        for name, align in aligners.items():
            placed = [(speech, align(speech, text, voice.language, espeak_voice), truth) for text, speech, truth in spoken]
            used = [(speech, phones, truth) for speech, phones, truth in placed if phones is not None]
            again = realign([(speech, phones) for speech, phones, _ in used])
            rows = [
                [(refine(ours, speech, voice.language), truth) for ours, (speech, _, truth) in zip(each, used, strict=True)]
                for each in ([phones for _, phones, _ in used], again)
            ]
            show(voice.name, name, *rows)
            for into, row in zip(whole[name], rows, strict=True):
                into += row
    for name, rows in whole.items():
        show("all", name, *rows)


if __name__ == "__main__":
    main()
