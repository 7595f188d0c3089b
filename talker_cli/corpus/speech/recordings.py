"""Recordings with their texts, and their alignment: the corpus before its motion."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from talker_cli.corpus.align.alignment import Aligner, Alignment
from talker_cli.corpus.speech.dialogues import DIALOGUE_LANGUAGES, list_dialogues
from talker_cli.corpus.speech.read_aloud import BOOK_VOICE, STAMP_SPEAKERS, list_book, list_stamps
from talker_cli.corpus.speech.sources import PROMPT_VOICES, Prompt, decode_prompts, list_prompts
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.metrics import SILENCE, Phones

AT_ONCE = 50  # prompts of a shard


@dataclass(frozen=True)
class Utterance:
    """A recording and its text.

    Args:
        name: Unique name in the dataset.
        voice: Name of the speaker.
        language: ISO 639-1 code.
        human: Whether a person speaks, not a synthesiser.
        text: Transcript; empty for silence.
        speech: (S,) int16 at 16 kHz.
        espeak_voice: Voice of espeak-ng that spells words missing from the dictionary.
        source: Package, program or file of origin.
        licence: Licence of the recording.
        phones: Phones with the synthesiser's own times; empty if unknown.
        problem: Why reading it failed; empty if it did not.
    """

    name: str
    voice: str
    language: str
    human: bool
    text: str
    speech: np.ndarray
    espeak_voice: str
    source: str
    licence: str
    phones: Phones = ()
    problem: str = ""

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.speech) / SAMPLE_RATE


class Shard(Protocol):
    """Recordings that one process prepares as a unit; small, because it is pickled."""

    def plan(self) -> Any:
        """Return what determines the recordings, JSON-able: an unfinished corpus resumes only if it is the same."""

    def read(self) -> Iterator[Utterance]:
        """Read, decode or synthesise the recordings."""


@dataclass(frozen=True)
class PromptShard:
    """Some prompts of one speaker, or lines of one language's dialogues."""

    prompts: tuple[Prompt, ...]

    def plan(self) -> Any:
        """Return names, texts and sizes."""
        return [[prompt.source.voice, prompt.name, prompt.text, prompt.path.stat().st_size] for prompt in self.prompts]

    def read(self) -> Iterator[Utterance]:
        """Decode the prompts."""
        for prompt, speech in zip(self.prompts, decode_prompts([prompt.path for prompt in self.prompts]), strict=True):
            source = prompt.source
            yield Utterance(
                f"{source.voice}/{prompt.name}", source.voice, source.language, True, prompt.text, speech, source.espeak_voice,
                source.package, source.licence, (), "" if len(speech) else "empty",
            )  # fmt: skip


def prompt_shards(languages: Sequence[str]) -> Iterator[PromptShard]:
    """Yield the prompts, the dialogues, the described pictures and the book of these languages.

    Raises:
        MachineError: A package is not installed.
    """
    groups = [list_prompts(source) for source in PROMPT_VOICES if source.language in languages]
    groups += [list_dialogues(language) for language in DIALOGUE_LANGUAGES if language in languages]
    groups += [list_stamps(language) for language in STAMP_SPEAKERS if language in languages]
    groups += [list_book()] if BOOK_VOICE.language in languages else []
    for prompts in groups:
        for first in range(0, len(prompts), AT_ONCE):
            yield PromptShard(tuple(prompts[first : first + AT_ONCE]))


def find_phones(item: Utterance, aligner: Callable[[], Aligner]) -> Alignment | None:
    """Return a recording's phones: the synthesiser's own, silence, or those of the aligner."""
    if item.phones:
        return Alignment(item.phones)
    if not item.text:
        return Alignment(((SILENCE, 0.0, item.seconds),))
    return aligner().align(item.speech, item.text, item.language, item.espeak_voice)
