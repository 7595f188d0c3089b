"""Recordings with their texts, and what finds their phones: the corpus before anything moves."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from talker_cli.corpus.align.alignment import Aligner, Alignment
from talker_cli.corpus.speech.dialogues import DIALOGUE_LANGUAGES, list_dialogues
from talker_cli.corpus.speech.sources import PROMPT_VOICES, Prompt, decode_prompts, list_prompts
from talker_cli.data.dataset import SAMPLE_RATE
from talker_cli.metrics import SILENCE, Phones

AT_ONCE = 50  # prompts that one process prepares in one go


@dataclass(frozen=True)
class Utterance:
    """A recording and its text.

    Args:
        name: unique, the recording's name in the dataset.
        speech: (S,) int16 at 16 kHz.
        espeak_voice: whose phones spell words that the dictionary lacks.
        source: package, program or file it comes from.
        licence: of the recording.
        phones: with times, where the synthesiser tells them; empty otherwise.
        problem: why it cannot be used, where reading it already shows that.
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
    """Recordings that one process prepares in one go; small, so that it can be sent there."""

    def plan(self) -> Any:
        """Return what decides the recordings, JSON-able: an unfinished corpus is taken up only if it is the same."""

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
    """Yield the prompts and the dialogues of these languages.

    Raises:
        MachineError: a package is not installed.
    """
    groups = [list_prompts(source) for source in PROMPT_VOICES if source.language in languages]
    groups += [list_dialogues(language) for language in DIALOGUE_LANGUAGES if language in languages]
    for prompts in groups:
        for first in range(0, len(prompts), AT_ONCE):
            yield PromptShard(tuple(prompts[first : first + AT_ONCE]))


def find_phones(item: Utterance, aligner: Callable[[], Aligner]) -> Alignment | None:
    """Return a recording's phones: the synthesiser's own, silence, or what an aligner finds."""
    if item.phones:
        return Alignment(item.phones)
    if not item.text:
        return Alignment(((SILENCE, 0.0, item.seconds),))
    return aligner().align(item.speech, item.text, item.language, item.espeak_voice)
