"""Correction of aligned phones where the energy contradicts them: sounds that cover a pause, pauses that cover a sound."""

from functools import cache

import numpy as np

from talker_cli.corpus.align.alignment import Aligner, cover
from talker_cli.corpus.align.phonetics import LABIODENTALS, VOWELS
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.metrics import BILABIALS, SILENCE, Phones

HOP = 0.005  # seconds
STOPS = frozenset({"P", "B", "T", "D", "K", "G", "CH", "JH"})
LONGEST_STOP = 0.16  # seconds; a longer one is a pause and a stop
SHORTEST_TRIM = 0.04  # seconds; edges of pauses are not moved by less
KEPT = 0.03  # seconds of decay left to a sound before a pause
MIN_PHONE = 0.03  # seconds, pocketsphinx's shortest phone: three frames
LONG_PAUSE = 0.3  # seconds; in a shorter one the ends of its neighbours may sound
SPEECH_LIKE = 12.0  # decibels below a recording's speech: a pause that is louder holds speech
SHORT_VOWEL = 0.055  # seconds; pocketsphinx's shortest phone is 0.03, which a vowel never is


def refine(phones: Phones, speech: np.ndarray, language: str) -> Phones:
    """Return phones of (S,) int16 speech with the edges of pauses set by energy.

    A sound next to a pause loses its silent outer part; a stop longer than any closure loses its excess to the pause.
    """
    loud = _loud(speech)

    def quiet_from(start: float, end: float) -> float:
        """Return the instant in start…end after which nothing is loud."""
        part = np.flatnonzero(loud[int(start / HOP) : int(end / HOP) + 1])
        return start if not len(part) else min(end, start + (part[-1] + 1) * HOP)

    def quiet_until(start: float, end: float) -> float:
        part = np.flatnonzero(loud[int(start / HOP) : int(end / HOP) + 1])
        return end if not len(part) else max(start, start + part[0] * HOP)

    phones = _fix_labels(phones, language)
    names = [SILENCE, *(phone for phone, _, _ in phones), SILENCE]
    out: list[tuple[str, float, float]] = []
    for (phone, start, end), before, after in zip(phones, names, names[2:], strict=False):
        if phone == SILENCE:
            continue
        if after == SILENCE and phone not in STOPS:
            trimmed = max(quiet_from(start, end) + KEPT, start + MIN_PHONE)
            if end - trimmed > SHORTEST_TRIM:
                end = trimmed
        if before == SILENCE and phone not in STOPS:
            trimmed = min(quiet_until(start, end) - 0.01, end - MIN_PHONE)
            if trimmed - start > SHORTEST_TRIM:
                start = trimmed
        if phone in STOPS and end - start > LONGEST_STOP:
            if after == SILENCE and before != SILENCE:
                end = start + LONGEST_STOP
            elif before == SILENCE:
                start = end - LONGEST_STOP
        if phone in VOWELS and end - start < SHORT_VOWEL and out and abs(out[-1][2] - start) < 1e-6:
            # Borrow the missing time from the sound before it, if it is long enough and no bilabial, whose closure must stay.
            name, since, until = out[-1]
            if name not in BILABIALS and until - since > SHORT_VOWEL:
                start -= min(SHORT_VOWEL - (end - start), 0.4 * (until - since))
                out[-1] = (name, since, start)
        out.append((phone, start, end))
    return cover(out, len(speech) / SAMPLE_RATE)


def english_phones(speech: np.ndarray, text: str) -> Phones:
    """Return the phones of (S,) int16 English speech at 16 kHz with its text; none where the words do not fit the sound.

    Raises:
        MachineError: pocketsphinx is not installed.
    """
    aligned = _aligner().align(speech, text, "en", "en-gb")
    return refine(aligned.phones, speech, "en") if aligned is not None else ()


@cache
def _aligner() -> Aligner:
    return Aligner()


def odd_silence(phones: Phones, speech: np.ndarray) -> bool:
    """Return whether a long pause of (S,) int16 speech is as loud as speech: its text leaves words out."""
    level = sound_level(speech)
    parts = {True: [0.0], False: [0.0]}
    for phone, start, end in phones:
        silent = phone == SILENCE
        if silent and end - start < LONG_PAUSE:
            continue
        edge = 0.06 if silent else 0.0
        inner = level[int((start + edge) / HOP) : int((end - edge) / HOP)]
        parts[silent].append(float(np.percentile(inner, 80)) if len(inner) else 0.0)
    return max(parts[True]) > float(np.median(parts[False])) - SPEECH_LIKE


def _fix_labels(phones: Phones, language: str) -> Phones:
    """Replace the m that espeak-ng writes before f and v in other languages by n: that nasal is labiodental."""
    if language == "en":
        return phones
    following = [phone for phone, _, _ in phones[1:]] + [SILENCE]
    return tuple(
        ("N" if phone == "M" and nxt in LABIODENTALS else phone, start, end)
        for (phone, start, end), nxt in zip(phones, following, strict=True)
    )


def _loud(speech: np.ndarray) -> np.ndarray:
    """Return (N,) bool, every 5 ms: the level is nearer to speech than to the recording's silence."""
    level = sound_level(speech)
    floor, top = np.percentile(level, 2), np.percentile(level, 95)
    return np.asarray(level > max(floor + 0.3 * (top - floor), top - 38.0))


def sound_level(speech: np.ndarray) -> np.ndarray:
    """Return (N,) decibels, every 5 ms, smoothed over 15 ms."""
    hop = int(HOP * SAMPLE_RATE)
    count = max(1, len(speech) // hop)
    energy = np.square(speech[: count * hop].astype(np.float64).reshape(count, -1)).mean(-1)
    return np.asarray(10.0 * np.log10(np.convolve(energy, np.ones(3) / 3, "same") + 1.0))
