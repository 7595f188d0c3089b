"""A wrong text is detected by its stops: where they should be, the level does not dip."""

import numpy as np
import pytest
from test_transcribed import needs_voices

from talker_cli.corpus.align.closure import closed_stops, misplaced
from talker_cli.corpus.align.phonetics import VOWELS
from talker_cli.corpus.speech.sentences import SENTENCES
from talker_cli.corpus.speech.synthesis import synthesise
from talker_cli.corpus.speech.voices import SYNTHETIC_VOICES
from talker_cli.metrics import SILENCE, Phones


@pytest.fixture(scope="module")
def spoken() -> list[tuple[np.ndarray, Phones]]:
    """Return a voice's speech and its own phones."""
    voice = next(voice for voice in SYNTHETIC_VOICES if voice.name == "flite_rms")
    return [synthesise(voice, text) for text in SENTENCES[:16]]


@needs_voices
@pytest.mark.slow
def test_a_voices_own_phones_are_accepted_in_noise_too(spoken: list[tuple[np.ndarray, Phones]]) -> None:
    """Breaks if good recordings are dropped, or all that are noisy."""
    stops = [closed_stops(phones, speech) for speech, phones in spoken]
    assert sum(map(len, stops)) > 60 and all(map(all, stops))
    rng = np.random.default_rng(0)
    noisy = []
    for speech, phones in spoken:
        noise = rng.normal(0.0, np.sqrt(np.square(speech.astype(float)).mean() / 10), len(speech))  # 10 dB below
        noisy.append(closed_stops(phones, (speech + noise).clip(-32768, 32767).astype(np.int16)))
    assert not any(misplaced(noisy))


@needs_voices
def test_phones_of_another_text_are_refused(spoken: list[tuple[np.ndarray, Phones]]) -> None:
    """Breaks if a wrong text trains lips to close amid vowels."""

    def stops_at_vowels(phones: Phones) -> Phones:
        return tuple(("T" if name in VOWELS else name if name == SILENCE else "L", start, end) for name, start, end in phones)

    refused = misplaced([closed_stops(stops_at_vowels(phones), speech) for speech, phones in spoken])
    assert sum(refused) >= len(refused) - 1  # the majority decides: one of sixteen passes by chance


def test_a_recording_with_too_few_stops_is_judged_as_its_voice() -> None:
    """Breaks if short recordings of a voice whose texts are wrong are kept, or those of any other voice dropped."""
    right, wrong, short = [True, True, False], [False, False, True], [False]
    assert misplaced([right, right, wrong, short]) == [False, False, True, False]
    assert misplaced([wrong, wrong, right, short, []]) == [True, True, False, True, True]
    assert misplaced([right, wrong, short]) == [False, True, False]
    assert misplaced([short, []]) == [False, False] and misplaced([]) == []
