"""Any folder of transcribed speech: `NAME.wav` (or another format) beside `NAME.txt`, or LibriSpeech's `*.trans.txt`.

A list of speakers, `voices.csv`, gives each a language, a licence and, if wanted, a place among the held-out voices.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.corpus.speech.recordings import Utterance
from talker_cli.errors import InputError
from talker_cli.formats.audio import SAMPLE_RATE, load_intact_speech
from talker_cli.formats.files import files_below
from talker_cli.formats.schema import reading

AUDIO = frozenset(
    ".aac .aif .aiff .au .flac .m4a .m4b .mka .mkv .mov .mp3 .mp4 .oga .ogg .opus .wav .weba .webm .wma".split()
)  # suffixes
LISTING = ".trans.txt"
VOICES = "voices.csv"
UNSTATED = "not stated"
AT_ONCE = 8  # recordings of a shard
LONGEST = 120.0  # seconds; longer recordings align badly
SHORTEST = 0.3

NO_TEXT = "no text"


@dataclass(frozen=True)
class Transcribed:
    """A file of speech and its text.

    Args:
        name: Path below the folder, without suffix.
        voice: Name of the speaker.
        path: Path of the file.
        text: Transcript; empty if there is none.
        problem: Why it cannot be used; empty if it can.
    """

    name: str
    voice: str
    path: Path
    text: str
    problem: str = ""


@dataclass(frozen=True)
class FileShard:
    """Some files of a folder.

    Args:
        files: Files of the shard.
        language: ISO 639-1 code.
        espeak_voice: Voice of espeak-ng that fits the speakers' accent.
        licence: Licence of the recordings.
    """

    files: tuple[Transcribed, ...]
    language: str
    espeak_voice: str
    licence: str

    def plan(self) -> Any:
        """Return names, texts, sizes and modification times."""
        files = []
        for file in self.files:
            status = file.path.stat()
            files.append([file.name, file.voice, file.text, file.problem, str(file.path), status.st_size, status.st_mtime_ns])
        return [self.language, self.espeak_voice, self.licence, files]

    def read(self) -> Iterator[Utterance]:
        """Decode the files; one that cannot be decoded is a recording with a problem."""
        for file in self.files:
            problem = file.problem
            speech = np.zeros(0, np.int16)
            if not problem:
                try:
                    speech = np.round(load_intact_speech(file.path) * 32767.0).astype(np.int16)
                except InputError as error:
                    problem = f"unreadable: {error}"
            if not problem and not SHORTEST <= len(speech) / SAMPLE_RATE <= LONGEST:
                problem = "too short" if len(speech) / SAMPLE_RATE < SHORTEST else "longer than two minutes"
            yield Utterance(
                file.name, file.voice, self.language, True, file.text, speech, self.espeak_voice, file.path.name, self.licence,
                (), problem,
            )  # fmt: skip


@dataclass(frozen=True)
class Voice:
    """A speaker of a folder: a line of its `voices.csv`.

    Args:
        language: Voice of espeak-ng, such as "de" or "pt-br"; its first part is the language's code.
        licence: Licence of the recordings, and whom to name.
        held_out: Whether the speaker is kept for the split test_voice.
    """

    language: str
    licence: str
    held_out: bool = False


def file_shards(folder: Path, voices: Mapping[str, Voice], voice: str | None = None) -> list[FileShard]:
    """Return the shards of a folder's recordings, language by language.

    Args:
        folder: Folder of recordings and texts.
        voices: Speakers by name; `""` stands for every speaker that is not listed.
        voice: Name of the one speaker; None: the first folder below `folder` that a recording is in.

    Raises:
        InputError: No such folder, no recordings with a text in it, two recordings of one name, or a speaker without a line.
    """
    groups: dict[Voice, list[Transcribed]] = {}
    for file in find_transcribed(folder, voice):
        speaker = voices.get(file.voice) or voices.get("")
        if speaker is None:
            raise InputError(f"{folder / VOICES} has no line for the voice {file.voice}; expected one for each folder; add it")
        groups.setdefault(speaker, []).append(file)
    shards = []
    for speaker, files in groups.items():
        code = speaker.language.split("-")[0]
        espeak_voice = "en-us" if speaker.language == "en" else speaker.language
        for first in range(0, len(files), AT_ONCE):
            shards.append(FileShard(tuple(files[first : first + AT_ONCE]), code, espeak_voice, speaker.licence))
    return shards


def read_voices(folder: Path) -> dict[str, Voice]:
    """Read a folder's `voices.csv`, columns voice, language, sex, licence, credit, held_out; empty if there is none.

    Raises:
        InputError: The list is damaged, or a line lacks a voice, a language or a licence.
    """
    path = folder / VOICES
    if not path.is_file():
        return {}
    with reading(path, "lines of voice, language, sex, licence, credit and held_out (yes or nothing), in UTF-8"):
        voices = {}
        for row in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")), strict=True):
            name, language, licence = (row[column].strip() for column in ("voice", "language", "licence"))
            if not (name and language and licence) or name in voices or row["held_out"] not in ("", "yes"):
                raise ValueError(f"the line of '{name}'")
            voices[name] = Voice(language, ", ".join(part for part in (licence, row["credit"]) if part), bool(row["held_out"]))
    return voices


def find_transcribed(folder: Path, voice: str | None = None) -> list[Transcribed]:
    """Return every recording in a folder with its text, sorted by name; see `file_shards`."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; expected recordings with their texts; check the path")
    sounds: dict[str, Path] = {}
    texts: dict[str, str] = {}
    problems: dict[str, str] = {}
    for path in files_below(folder):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if path.name.endswith(LISTING):
            texts.update(_read_listing(folder, path))
        elif path.suffix.lower() == ".txt":
            try:
                texts[stem] = " ".join(path.read_text(encoding="utf-8-sig").split())
            except UnicodeDecodeError:
                problems[stem] = "its text is not UTF-8"
        elif path.suffix.lower() in AUDIO:
            if stem in sounds:
                raise InputError(f"found {sounds[stem]} and {path}; expected one recording of a name; rename or remove one")
            sounds[stem] = path
    if not sounds.keys() & texts.keys():
        raise InputError(
            f"{folder} holds {len(sounds)} recordings and none with a text; expected NAME.wav beside NAME.txt, or a "
            f"*{LISTING}; write the texts"
        )
    return [
        Transcribed(
            stem, voice or _speaker(folder, stem), path, texts.get(stem, ""),
            problems.get(stem, "") or ("" if texts.get(stem) else NO_TEXT),
        )
        for stem, path in sorted(sounds.items())
    ]  # fmt: skip


def _read_listing(folder: Path, path: Path) -> dict[str, str]:
    """Read LibriSpeech's lines of `NAME TEXT`, for recordings in the same folder."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8; expected lines of NAME TEXT; save it as UTF-8") from error
    here = path.parent.relative_to(folder)
    pairs: Sequence[tuple[str, str, str]] = [line.strip().partition(" ") for line in lines if line.strip()]
    # LibriSpeech's texts are in capitals, which would be read as abbreviations.
    return {(here / name).as_posix(): text.strip().lower() for name, _, text in pairs}


def _speaker(folder: Path, stem: str) -> str:
    return stem.split("/", 1)[0] if "/" in stem else folder.resolve().name
