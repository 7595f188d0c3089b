"""An alignment depends on the recording, its text and its language, and on nothing else."""

import pytest
from test_transcribed import needs_voices

from talker_cli.corpus.align.alignment import Aligner
from talker_cli.corpus.speech.sentences import SENTENCES
from talker_cli.corpus.speech.synthesis import synthesise
from talker_cli.corpus.speech.voices import SYNTHETIC_VOICES

# Voice, text, language, accent. Each accent has a vowel of its own for the words that are in no dictionary.
ITEMS = (
    *(("flite_slt", text, "en", "en-us") for text in SENTENCES[:6]),
    ("flite_rms", "Gobbot mothered a lonely parmot.", "en", "en-us"),
    ("flite_rms", "Gobbot mothered a lonely parmot.", "en", "en-gb"),
    *(("flite_rms", text, "en", "en-us") for text in SENTENCES[6:10]),
)


@pytest.mark.slow
@needs_voices
def test_recordings_aligned_before_change_nothing() -> None:
    """Breaks if a corpus depends on which process aligned which recording, or a killed run ends with other phones."""
    voices = {voice.name: voice for voice in SYNTHETIC_VOICES}
    items = [(synthesise(voices[voice], text)[0], text, language, accent) for voice, text, language, accent in ITEMS]
    forward, backward = Aligner(), Aligner()
    first = [forward.align(*item) for item in items]
    reverse = [backward.align(*item) for item in reversed(items)][::-1]
    assert all(first) and first == reverse
    assert first == [forward.align(*item) for item in items]
    names = [[phone for phone, _, _ in found.phones if phone != "SIL"] for found in (first[6], first[7]) if found]
    assert names[0] != names[1]  # each accent is spelled by its own voice
