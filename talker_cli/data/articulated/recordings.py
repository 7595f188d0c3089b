"""Recordings with their texts, human and synthetic, and their phones: the corpus before anything moves."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.data.articulated.alignment import Aligner, Alignment, Phones
from talker_cli.data.articulated.phonetics import SILENCE
from talker_cli.data.articulated.sources import PROMPT_VOICES, decode_prompts, list_prompts
from talker_cli.data.prepared import SAMPLE_RATE
from talker_cli.files import write_bytes

# What a caller is told: the stage, how many of how many are done.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Spoken:
    """A recording and its text.

    Args:
        name: unique, the recording's name in the dataset.
        speech: (S,) int16 at 16 kHz.
        espeak_voice: whose phones spell words that the dictionary lacks.
        source: package or program it comes from.
        phones: with times, where the synthesiser tells them; empty otherwise.
    """

    name: str
    voice: str
    language: str
    human: bool
    text: str
    speech: np.ndarray
    espeak_voice: str
    source: str
    phones: Phones = ()

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.speech) / SAMPLE_RATE


def human_recordings(languages: Sequence[str]) -> Iterator[Spoken]:
    """Decode the prompts of these languages.

    Raises:
        MachineError: a package is not installed.
    """
    for source in PROMPT_VOICES:
        if source.language not in languages:
            continue
        prompts = list_prompts(source)
        for prompt, speech in zip(prompts, decode_prompts([prompt.path for prompt in prompts]), strict=True):
            yield Spoken(
                f"{source.voice}/{prompt.name}", source.voice, source.language, True, prompt.text, speech, source.espeak_voice,
                source.package,
            )  # fmt: skip


def align_all(spoken: Sequence[Spoken], cache: Path | None, processes: int, on_progress: Progress) -> list[Alignment | None]:
    """Align recordings in `processes` processes; what `cache` already holds is not done again."""
    results: dict[int, Alignment | None] = {}
    missing = []
    for index, item in enumerate(spoken):
        if item.phones:
            results[index] = Alignment(item.phones)
            continue
        stored = _cached(cache, item)
        if stored is None:
            missing.append(index)
        else:
            results[index] = _from_json(stored)
    with ProcessPoolExecutor(processes, initializer=_start) as pool:
        for done, (index, found) in enumerate(
            zip(missing, pool.map(_align, (spoken[index] for index in missing), chunksize=8), strict=True), 1
        ):
            results[index] = found
            if cache is not None:
                write_bytes(_cache_path(cache, spoken[index]), json.dumps(_to_json(found)).encode())
            on_progress("align", done, len(missing))
    return [results[index] for index in range(len(spoken))]


_aligner: Aligner | None = None


def _start() -> None:
    global _aligner
    _aligner = Aligner()


def _align(item: Spoken) -> Alignment | None:
    if not item.text:
        return Alignment(((SILENCE, 0.0, item.seconds),))
    assert _aligner is not None
    return _aligner.align(item.speech, item.text, item.language, item.espeak_voice)


def _cache_path(cache: Path, item: Spoken) -> Path:
    digest = hashlib.sha256(item.speech.tobytes() + f"{item.text}|{item.language}|{item.espeak_voice}".encode()).hexdigest()
    cache.mkdir(parents=True, exist_ok=True)
    return cache / f"{digest[:32]}.json"


def _cached(cache: Path | None, item: Spoken) -> Any:
    if cache is None:
        return None
    path = _cache_path(cache, item)
    return json.loads(path.read_bytes()) if path.is_file() else None


def _to_json(found: Alignment | None) -> list[Any]:
    return [] if found is None else [found.phones, found.score, found.odd_share]


def _from_json(stored: Any) -> Alignment | None:
    if not stored:
        return None
    phones, score, odd = stored
    return Alignment(tuple((str(p), float(a), float(b)) for p, a, b in phones), float(score), float(odd))
