"""Forced alignment of speech and phones with pocketsphinx: (phone, start, end) in seconds that cover the recording."""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from talker_cli.corpus.align.phonetics import PHONES, english_words, ipa_words, phones_of_ipa
from talker_cli.errors import MachineError
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.metrics import SILENCE, Phones

FRAME = 0.01  # seconds, pocketsphinx's frame
# A frame of pocketsphinx is named by its start but describes a 25.6 ms window: boundaries lie this much later.
# Measured against flite's own durations: with it the bias is 0-2 ms, the median error 7 ms, the 90th percentile 21 ms.
BOUNDARY_OFFSET = 0.008
ALIGNER = "pocketsphinx 5.1 forced alignment (en-us acoustic model), then models of each voice's own sounds, then energy"


@dataclass(frozen=True)
class Alignment:
    """Phones of a recording and how well they fit.

    Args:
        phones: Phones that cover the recording.
        score: Log likelihood a frame, on pocketsphinx's integer scale; 0 where nothing was aligned.
        odd_share: Share of phones with an implausible duration.
    """

    phones: Phones
    score: float = 0.0
    odd_share: float = 0.0


@dataclass
class Aligner:
    """A pocketsphinx decoder with wide beams.

    An alignment depends on no recording aligned before: which process aligns which recording is left to chance.

    Args:
        decoder: pocketsphinx's decoder.
        listed: Whether the dictionary has each word looked up so far.
        invented: Words added to the dictionary, spelled by their phones.

    Raises:
        MachineError: pocketsphinx is not installed.
    """

    decoder: Any = None
    listed: dict[str, bool] = field(default_factory=dict)
    invented: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        try:
            import pocketsphinx  # type: ignore[import-untyped, unused-ignore]
        except ImportError as error:
            raise MachineError(
                "pocketsphinx is not installed; the corpus needs it; run: pip install 'talker-cli[corpus]'"
            ) from error
        self.decoder = pocketsphinx.Decoder(
            lm=None, bestpath=False, cmn="batch", beam=1e-100, wbeam=1e-80, pbeam=1e-100, maxhmmpf=-1, loglevel="FATAL"
        )

    def align(self, speech: np.ndarray, text: str, language: str, espeak_voice: str) -> Alignment | None:
        """Align (S,) int16 speech at 16 kHz with its text; None if the words do not fit the sound.

        English words come from pocketsphinx's dictionary, all others from espeak-ng's phones.
        """
        words = self.english(text, espeak_voice) if language == "en" else self.foreign(text, language, espeak_voice)
        if not words:
            return None
        padded = np.concatenate([_faint_noise(0.1), speech, _faint_noise(0.1)])
        raw = self._decode(padded, words)
        if raw is None:
            return None
        segments, score = raw
        shifted = [(phone, start - 0.1 + BOUNDARY_OFFSET, end - 0.1 + BOUNDARY_OFFSET) for phone, start, end in segments]
        phones = cover(shifted, len(speech) / SAMPLE_RATE)
        odd = [p for p, a, b in phones if p != SILENCE and not 0.025 < b - a < 0.5]
        voiced = max(1, sum(p != SILENCE for p, _, _ in phones))
        return Alignment(phones, score, len(odd) / voiced)

    def english(self, text: str, espeak_voice: str) -> list[str]:
        """Return the words of an English text: the dictionary's, and invented ones for those it lacks."""
        words = []
        for word in english_words(text):
            if word not in self.listed:
                self.listed[word] = self.decoder.lookup_word(word) is not None
            if self.listed[word]:
                words.append(word)
            else:
                ipa = "".join(ipa_words(word.strip("."), espeak_voice))
                words += self._invented(phones_of_ipa(ipa, "en"))
        return words

    def foreign(self, text: str, language: str, espeak_voice: str) -> list[str]:
        """Return invented words, one for each of espeak-ng's."""
        return [word for ipa in ipa_words(text, espeak_voice) for word in self._invented(phones_of_ipa(ipa, language))]

    def _invented(self, phones: Sequence[str]) -> list[str]:
        """Return the word that is spelled by its phones, added to the dictionary if it is new; no word without phones."""
        word = "_".join(phones)
        if word and word not in self.invented:
            self.decoder.add_word(word, " ".join(phones), True)
            self.invented.add(word)
        return [word] if word else []

    def _decode(self, speech: np.ndarray, words: Sequence[str]) -> tuple[list[tuple[str, float, float]], float] | None:
        data = speech.astype(np.int16).tobytes()
        with _quiet_stderr():
            self.decoder.reinit_feat()  # or noise estimated on earlier recordings is subtracted from this one too
            try:
                self.decoder.set_align_text(" ".join(words))
                self._run(data)
                if self.decoder.hyp() is None:
                    return None
                self.decoder.set_alignment()
                self._run(data)
            except RuntimeError:
                return None
        alignment = self.decoder.get_alignment()
        if alignment is None:
            return None
        segments = []
        total = 0.0
        frames = 0
        for word in alignment:
            for phone in word:
                start, end = phone.start * FRAME, (phone.start + phone.duration) * FRAME
                segments.append((_plain(phone.name), start, end))
                if phone.name in PHONES:
                    total += float(phone.score)
                    frames += int(phone.duration)
        if not any(phone in PHONES for phone, _, _ in segments):
            return None
        return segments, total / max(1, frames)

    def _run(self, data: bytes) -> None:
        self.decoder.start_utt()
        self.decoder.process_raw(data, no_search=False, full_utt=True)
        self.decoder.end_utt()


def cover(segments: Sequence[tuple[str, float, float]], duration: float) -> Phones:
    """Make segments cover 0…duration without gaps; equal silences in a row become one."""
    covered: list[tuple[str, float, float]] = []
    at = 0.0
    for phone, start, end in segments:
        start, end = min(max(start, at), duration), min(end, duration)
        if end <= start:
            continue
        if start > at + 1e-6:
            covered.append((SILENCE, at, start))
        covered.append((phone, start, end))
        at = end
    if at < duration - 1e-6:
        covered.append((SILENCE, at, duration))
    merged: list[tuple[str, float, float]] = []
    for phone, start, end in covered:
        if merged and phone == SILENCE == merged[-1][0]:
            merged[-1] = (SILENCE, merged[-1][1], end)
        else:
            merged.append((phone, start, end))
    return tuple((phone, round(start, 4), round(end, 4)) for phone, start, end in merged)


def _plain(name: str) -> str:
    return name if name in PHONES else SILENCE


def _faint_noise(seconds: float) -> np.ndarray:
    """Return faint noise, so that words at the very edge of a recording have a silence before them."""
    count = int(seconds * SAMPLE_RATE)
    return np.random.default_rng(0).normal(0.0, 3.0, count).astype(np.int16)


@contextlib.contextmanager
def _quiet_stderr() -> Any:
    """Discard the C library's messages: a failed alignment is a result here, not an error."""
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(null)
        os.close(saved)
