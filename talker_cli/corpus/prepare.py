"""The articulated corpus: every voice's style over this machine's packages or a folder of transcribed speech."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from talker_cli.corpus.align.phonetics import check_voice
from talker_cli.corpus.build import Corpus, Progress, Settings, build
from talker_cli.corpus.speech.dialogues import DIALOGUE_LICENCE
from talker_cli.corpus.speech.kokoro import kokoro_shards
from talker_cli.corpus.speech.prepared import prepared_shards
from talker_cli.corpus.speech.read_aloud import BOOK_VOICE
from talker_cli.corpus.speech.recordings import Shard, prompt_shards
from talker_cli.corpus.speech.selection import prompt_texts, voice_shards
from talker_cli.corpus.speech.sources import PROMPT_VOICES
from talker_cli.corpus.speech.transcribed import UNSTATED, VOICES, FileShard, Voice, file_shards, read_voices
from talker_cli.corpus.speech.voices import HELD_OUT_VOICES
from talker_cli.data.dataset import Dataset
from talker_cli.errors import InputError
from talker_cli.rig import RigFile

FPS = 30.0
LANGUAGES = ("be", "bg", "ca", "cs", "da", "el", "en", "es", "fr", "it", "nl", "ro", "ru")
SYNTHETIC_MINUTES = 112.0
KOKORO_MINUTES = 60.0

SOURCE = (
    "Motion modelled from phones (not captured) over recordings of Debian's asterisk-core-sounds, asterisk-prompt, "
    "fillets-ng-data, tuxpaint-stamps-default and festvox-ru packages, synthetic voices of flite, festival and espeak-ng and, "
    "if asked for, Kokoro-82M and public repositories of speech (see manifest.csv)"
)
LICENCE = (
    "Recordings: "
    + "; ".join(f"{source.voice} {source.licence}" for source in PROMPT_VOICES)
    + f"; fillets_cs_* and fillets_nl_* {DIALOGUE_LICENCE}; tuxpaint_* GPL-2.0, the Tux Paint team"
    + f"; {BOOK_VOICE.voice} {BOOK_VOICE.licence}"
    + ". Synthetic voices: flite (BSD-like), festival (see manifest.csv), espeak-ng (GPL-3.0 program, its "
    "output is free), kokoro_* (Apache-2.0). Motion: Apache-2.0"
)


def prepare(
    output: Path,
    *,
    rig: RigFile,
    on_progress: Progress = lambda stage, done, total: None,
    languages: Sequence[str] = LANGUAGES,
    synthetic_minutes: float = SYNTHETIC_MINUTES,
    kokoro: Path | None = None,
    speech: Path | None = None,
    seed: int = 0,
    fps: float = FPS,
    processes: int = 2,
    command: str = "",
) -> dict[str, Any]:
    """Prepare the corpus of this machine's packages in the folder `output`; return its notes (minutes, voices, dropped).

    A killed run resumes, and ends with the same bytes.

    Args:
        output: Folder of the dataset.
        rig: Head of the motion.
        on_progress: Called with the stage ("aligning", "realigning", "articulating", "writing"), the parts done and all parts.
        languages: Languages of the human recordings.
        synthetic_minutes: Minutes of speech of flite, festival and espeak-ng together.
        kokoro: Folder of Kokoro-82M, whose voices add KOKORO_MINUTES.
        speech: Folder of more human recordings, with a list of its speakers.
        seed: Seed of all randomness.
        fps: Frame rate of the motion.
        processes: Number of worker processes.
        command: Command line that is recorded in the dataset.

    Raises:
        InputError: The folder `kokoro` lacks a file, or `speech` its list of speakers.
        MachineError: A package, a program or pocketsphinx is missing.
        OutputError: The folder cannot be written.
    """
    shards: list[Shard] = [*prompt_shards(languages), *(voice_shards(synthetic_minutes, seed) if synthetic_minutes > 0 else ())]
    if kokoro is not None:
        shards += kokoro_shards(kokoro, KOKORO_MINUTES, prompt_texts("en", "es", "fr"), seed)
    held_out = HELD_OUT_VOICES
    if speech is not None:
        voices = read_voices(speech)
        if not voices:
            raise InputError(f"{speech} holds no {VOICES}; expected the folder of tools/fetch_speech.py; run it")
        shards += _folder_shards(speech, voices)
        held_out |= {name for name, voice in voices.items() if voice.held_out}
    corpus = Corpus(shards, SOURCE, LICENCE, "reinstall the packages", command)
    return build(output, corpus, Settings(fps, seed, held_out), rig, processes, on_progress)


def prepare_again(
    folders: Sequence[Path],
    output: Path,
    *,
    rig: RigFile,
    held_out: Sequence[str] = (),
    on_progress: Progress = lambda stage, done, total: None,
    seed: int = 0,
    fps: float = FPS,
    processes: int = 2,
    command: str = "",
) -> dict[str, Any]:
    """Prepare a corpus of the speech and the phones of prepared ones, with new motion; return its notes.

    Args:
        folders: Prepared datasets whose recordings have phones.
        output: Folder of the dataset.
        rig: Head of the motion.
        held_out: Voices of the split test_voice, besides the built-in ones and those that the prepared datasets hold out.
        on_progress: Called with the stage, the parts done and all parts.
        seed: Seed of all randomness.
        fps: Frame rate of the motion.
        processes: Number of worker processes.
        command: Command line that is recorded in the dataset.

    Raises:
        InputError: A folder is no prepared dataset, or no recording can be used.
        OutputError: The folder cannot be written.
    """
    infos = [Dataset(folder).info for folder in folders]
    shards = [shard for folder in folders for shard in prepared_shards(folder)]
    source, licence = ("; ".join(dict.fromkeys(getattr(info, name) for info in infos)) for name in ("source", "licence"))
    corpus = Corpus(shards, source, licence, "prepare them from their speech", command)
    held = {each.voice for info in infos for each in info.recordings if each.split == "test_voice"}
    return build(output, corpus, Settings(fps, seed, HELD_OUT_VOICES.union(held, held_out)), rig, processes, on_progress)


def prepare_folder(
    folder: Path,
    output: Path,
    *,
    rig: RigFile,
    language: str | None = None,
    voice: str | None = None,
    held_out: Sequence[str] = (),
    licence: str | None = None,
    on_progress: Progress = lambda stage, done, total: None,
    seed: int = 0,
    fps: float = FPS,
    processes: int = 2,
    command: str = "",
) -> dict[str, Any]:
    """Prepare a corpus of a folder of transcribed speech (see `transcribed`); return its notes.

    Args:
        folder: Folder of recordings and texts.
        output: Folder of the dataset.
        rig: Head of the motion.
        language: Voice of espeak-ng, such as "de" or "pt-br"; None: that of the list of speakers, or English.
        voice: Name of the one speaker; None: each subfolder is a speaker.
        held_out: Voices of the split test_voice, beside those of the list of speakers.
        licence: Licence of the recordings; None: that of the list of speakers.
        on_progress: Called with the stage, the parts done and all parts.
        seed: Seed of all randomness.
        fps: Frame rate of the motion.
        processes: Number of worker processes.
        command: Command line that is recorded in the dataset.

    Raises:
        InputError: Nothing usable in the folder, no such language, or no such voice to hold out.
        MachineError: A package, a program or pocketsphinx is missing.
        OutputError: The folder cannot be written.
    """
    listed = read_voices(folder)
    if listed and (language or voice or licence):
        raise InputError(f"found a language, a voice or a licence beside {folder / VOICES}, which gives them; leave them out")
    voices = listed or {"": Voice(language or "en", licence or UNSTATED)}
    shards = _folder_shards(folder, voices, voice)
    names = sorted({file.voice for shard in shards for file in shard.files})
    for name in held_out:
        if name not in names:
            raise InputError(f"found no voice {name} to hold out; expected one of {', '.join(names[:10])}; check its name")
    held = {*held_out, *(name for name, each in listed.items() if each.held_out)}
    source = f"Motion modelled from phones (not captured) over the recordings of {folder.resolve().name}"
    about = f"Recordings: {'; '.join(sorted({shard.licence for shard in shards}))}. Motion: Apache-2.0"
    corpus = Corpus(shards, source, about, "check the language and the texts", command)
    return build(output, corpus, Settings(fps, seed, frozenset(held)), rig, processes, on_progress)


def _folder_shards(folder: Path, voices: Mapping[str, Voice], voice: str | None = None) -> list[FileShard]:
    """Return a folder's shards, their languages checked."""
    for language in sorted({each.language for each in voices.values()}):
        check_voice(language)
    return file_shards(folder, voices, voice)
