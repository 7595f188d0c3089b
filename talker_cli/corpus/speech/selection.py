"""Splits of recordings, and the texts of each synthetic voice."""

import hashlib
from collections.abc import Collection, Iterator, Sequence

from talker_cli.corpus.align.phonetics import normalised_text
from talker_cli.corpus.speech.recordings import Utterance
from talker_cli.corpus.speech.sentences import SENTENCES
from talker_cli.corpus.speech.sentences_by_language import SENTENCES_BY_LANGUAGE
from talker_cli.corpus.speech.sources import PROMPT_VOICES, PromptVoice, list_prompts
from talker_cli.corpus.speech.synthesis import VoiceShard
from talker_cli.corpus.speech.voices import HELD_OUT_VOICES, SYNTHETIC_VOICES, SyntheticVoice
from talker_cli.corpus.speech.words import word_strings, words_of

SPLITS = (("train", 0.80), ("validation", 0.08), ("test", 0.12))
SHORTEST_PROMPT = 4  # words, of prompts that synthetic voices read
WORD_STRINGS = 2  # for each sentence or prompt: see words.py


def text_split(text: str) -> str:
    """Return the split of a text by a stable hash: the same text falls into the same split in every voice."""
    point = int(hashlib.sha256(normalised_text(text).encode()).hexdigest()[:12], 16) / 16**12
    for split, share in SPLITS:
        if point < share:
            return split
        point -= share
    return SPLITS[-1][0]


def split_of(item: Utterance, held_out: Collection[str]) -> str:
    """Return a recording's split: held-out voices are `test_voice`, all others go by their text."""
    if item.voice in held_out:
        return "test_voice"
    if not item.text:
        return "train"  # silence: the lips never part, so there is no opening to measure
    return text_split(item.text)


def texts_to_read(voice: SyntheticVoice, prompts: Sequence[str], seed: int) -> list[str]:
    """Return a voice's own order of sentences, prompts and strings of random words.

    Held-out voices get neither texts of the training split nor strings of words.
    """

    def shuffled(texts: Sequence[str], kind: str) -> list[str]:
        return sorted(texts, key=lambda text: hashlib.sha256(f"{seed}|{voice.name}|{kind}|{text}".encode()).hexdigest())

    held_out = voice.name in HELD_OUT_VOICES
    written = SENTENCES if voice.language == "en" else SENTENCES_BY_LANGUAGE.get(voice.language, ())
    sentences = [text for text in shuffled(written, "s") if not (held_out and text_split(text) == "train")]
    others = [text for text in shuffled(prompts, "p") if not (held_out and text_split(text) == "train")]
    count = 0 if held_out else WORD_STRINGS * (len(sentences) + len(others))
    strings = word_strings(count, f"{seed}|{voice.name}", () if voice.language == "en" else words_of([*sentences, *others]))
    order: list[str] = []
    while sentences or others:
        texts = [*sentences[:2], *others[:1]]
        order += [*texts, *strings[: WORD_STRINGS * len(texts)]]
        del sentences[:2], others[:1], strings[: WORD_STRINGS * len(texts)]
    return order


# Minutes of a voice, relative to one of espeak-ng.
WEIGHTS = {"flite": 3.0, "festival": 1.0, "espeak-ng": 1.0}


def voice_shards(minutes: float, seed: int) -> Iterator[VoiceShard]:
    """Yield a shard for every synthetic voice; `minutes` in all, divided by WEIGHTS.

    Raises:
        MachineError: The prompts' texts are missing.
    """
    prompts = prompt_texts("en", "ru")
    total = sum(WEIGHTS[voice.program] for voice in SYNTHETIC_VOICES)
    for voice in SYNTHETIC_VOICES:
        texts = texts_to_read(voice, prompts.get(voice.language, []), seed)
        yield VoiceShard(voice, tuple(texts), 60.0 * minutes * WEIGHTS[voice.program] / total)


def prompt_texts(*languages: str) -> dict[str, list[str]]:
    """Return the texts of the prompts in these languages that are sentences, by language.

    Raises:
        MachineError: A package is not installed.
    """
    return {source.language: _sentences(source) for source in PROMPT_VOICES if source.language in languages}


def _sentences(source: PromptVoice) -> list[str]:
    return sorted({p.text for p in list_prompts(source) if SHORTEST_PROMPT <= len(p.text.split()) <= 30})
