"""The words of a recording, where they are known: from what the user gives to phones in their places."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from talker_cli.corpus.align.pronunciations import words_of_text
from talker_cli.corpus.align.viterbi import place_words, unlikely_words
from talker_cli.errors import InputError
from talker_cli.formats.alignment import TextAlignment
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.model.config import WHISPER
from talker_cli.model.encoders import describe, load_encoder
from talker_cli.model.frontend import OutputFrontend
from talker_cli.model.whisper import STRIDE, WhisperEncoder

AUTO = "auto"
LARGEST = 1 << 20  # bytes of a text file
TOLD = 3  # words that do not fit


def text_for(audio: Path, text: str, on_note: Callable[[str], None]) -> str | None:
    """Return what is said in a recording.

    Args:
        audio: Recording.
        text: A file, the text itself, or AUTO for the file NAME.txt beside the recording.
        on_note: Called with a line where AUTO finds none.

    Raises:
        InputError: the file is no text in UTF-8, or too large.
    """
    path = audio.with_suffix(".txt") if text == AUTO else Path(text)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):  # a text longer than any name
        is_file = False
    if not is_file:
        if text != AUTO:
            return text
        on_note(f"found no {path}; {audio.name} is animated by its sound alone")
        return None
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path} is larger than {LARGEST >> 20} MB; expected what is said in the recording", field="text")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path} ({type(error).__name__}); expected a text in UTF-8", field="text") from error


def align_text(speech: Iterable[np.ndarray], text: str, language: str) -> TextAlignment:
    """Return where the words and phones of a text lie in a recording.

    Args:
        speech: Parts (S,) of the recording, float32 at 16 kHz, in order.
        text: What is said.
        language: A voice of espeak-ng.

    Raises:
        InputError: the text has no words, or more than the recording can hold; or the language is unknown.
        MachineError: espeak-ng is missing.
        ModelError: Whisper's weights are missing or damaged.
    """
    words = words_of_text(text, language)
    encoder = load_encoder(describe(WHISPER))
    assert isinstance(encoder, WhisperEncoder) and encoder.head is not None
    rate = SAMPLE_RATE / STRIDE
    frontend, parts, samples, done = OutputFrontend(encoder, rate), [], 0, 0

    def take(end: int) -> None:
        nonlocal done
        if end > done:
            parts.append(frontend.inputs(done, end)[0, :, -len(encoder.about.phones) :])
            frontend.forget(end)
            done = end

    for part in speech:
        frontend.push(part)
        samples += len(part)
        take(frontend.ready())
    frontend.finish()
    take(max(1, samples // STRIDE))
    posteriors = np.concatenate(parts)
    return place_words(posteriors, encoder.head.priors, encoder.about.phones, words, rate)


def misfits(alignment: TextAlignment) -> Iterator[str]:
    """Yield a line for the user where words do not fit the sound, and where the sound holds speech that the text lacks."""
    unlikely = unlikely_words(alignment)
    if unlikely:
        told = ", ".join(f"'{word.text}' at {word.start:.1f} s" for word in unlikely[:TOLD])
        more = f" and {len(unlikely) - TOLD} more" if len(unlikely) > TOLD else ""
        yield f"the text does not fit the sound: {told}{more}; of {len(alignment.words)} words; check what is said there"
    if alignment.unwritten:
        start, end = max(alignment.unwritten, key=lambda span: span[1] - span[0])
        yield f"the sound holds speech that the text lacks, at {start:.1f} to {end:.1f} s; add what is said there"
