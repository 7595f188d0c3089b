"""The articulated corpus: recordings, their phones, and the motion of eight identities, as a prepared dataset."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.data.articulated.alignment import ALIGNER, Alignment, Phones
from talker_cli.data.articulated.articulation import articulate
from talker_cli.data.articulated.phonetics import SILENCE
from talker_cli.data.articulated.prosody import measure_prosody
from talker_cli.data.articulated.recordings import Progress, Spoken, align_all, human_recordings
from talker_cli.data.articulated.refine import odd_silence, refine
from talker_cli.data.articulated.selection import split_of, synthetic_recordings
from talker_cli.data.articulated.sources import PROMPT_VOICES
from talker_cli.data.articulated.styles import SPEAKERS
from talker_cli.data.articulated.voices import SYNTHETIC_VOICES
from talker_cli.data.prepared import Clip, DatasetInfo, Recording, write_dataset
from talker_cli.rig import RigFile

FPS = 30.0
LANGUAGES = ("en", "es", "fr", "it", "ru")
SYNTHETIC_MINUTES = 112.0

# Below these log likelihoods a frame (pocketsphinx's integer log scale) text and sound do not fit each other.
WORST_SCORE = {"en": -45.0}
UNLIKELY = -40.0  # in every other language
MOST_ODD = 0.10  # share of phones with an implausible duration, in recordings of more than five phones

SOURCE = (
    "Motion modelled from phones (not captured) over recordings of Debian's asterisk-core-sounds and asterisk-prompt packages "
    "and synthetic voices of flite, festival and espeak-ng"
)
LICENCE = (
    "Recordings: "
    + "; ".join(f"{source.voice} {source.licence}" for source in PROMPT_VOICES)
    + ". Synthetic voices: flite (BSD-like), festival (see festival.LICENCES), espeak-ng (GPL-3.0 program, its "
    "output is free). Motion: Apache-2.0"
)

HUMAN_IDENTITY = {"allison_en": 2, "allison_es": 2, "june_fr": 0, "carlo_it": 1, "ivrvoice_ru": 6, "paola_it": 2}
IDENTITY_OF_VOICE: dict[str, str] = {voice: SPEAKERS[number].name for voice, number in HUMAN_IDENTITY.items()} | {
    voice.name: SPEAKERS[voice.identity].name for voice in SYNTHETIC_VOICES
}


def prepare(
    output: Path,
    *,
    rig: RigFile,
    on_progress: Progress = lambda stage, done, total: None,
    languages: Sequence[str] = LANGUAGES,
    synthetic_minutes: float = SYNTHETIC_MINUTES,
    seed: int = 0,
    fps: float = FPS,
    processes: int = 2,
    cache: Path | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Make the corpus and write it to the folder `output` as a prepared dataset; return its notes (minutes, voices, dropped).

    Args:
        rig: the head that the motion is for.
        on_progress: told the stage ("read", "align", "articulate"), how many are done, and of how many.
        languages: of the human recordings.
        synthetic_minutes: of synthetic speech, in all.
        seed: of all randomness.
        cache: a folder that keeps alignments between runs.

    Raises:
        MachineError: a package, a program or pocketsphinx is missing.
        OutputError: the folder cannot be written.
    """
    spoken = []
    for item in _all_recordings(languages, synthetic_minutes, seed):
        spoken.append(item)
        on_progress("read", len(spoken), 0)
    alignments = align_all(spoken, cache, processes, on_progress)
    recordings: list[Recording] = []
    kept: list[Spoken] = []
    dropped: list[tuple[Spoken, str]] = []
    for item, found in zip(spoken, alignments, strict=True):
        reason = refusal(item, found)
        phones: Phones = ()
        if found is not None and not reason:
            phones = item.phones or refine(found, item.speech, item.language)
            if item.human and item.text and odd_silence(phones, item.speech):
                reason = "odd silence"
        if reason:
            dropped.append((item, reason))
            continue
        kept.append(item)
        recordings.append(
            Recording(item.name, item.voice, item.language, item.human, split_of(item), item.text, phones, item.source)
        )
    clips = tuple(
        Clip(
            f"{recording.name}@{speaker.name}", recording.name, speaker.name, IDENTITY_OF_VOICE[recording.voice] == speaker.name
        )
        for recording in recordings
        for speaker in SPEAKERS
    )
    notes = describe(recordings, kept, dropped)
    info = DatasetInfo(
        SOURCE, LICENCE, fps, tuple(speaker.name for speaker in SPEAKERS), tuple(recordings), clips, command, seed, notes
    )
    motion = _all_motion(recordings, kept, seed, fps, processes, on_progress)
    write_dataset(output, info, rig, ((item.name, item.speech) for item in kept), motion)
    return notes


def refusal(item: Spoken, found: Alignment | None) -> str:
    """Say why a recording cannot be used, or return nothing."""
    if found is None:
        return "words do not fit"
    sounds = sum(phone != SILENCE for phone, _, _ in found.phones)
    if item.text and not sounds:
        return "no sound found"
    if item.text and found.score < WORST_SCORE.get(item.language, UNLIKELY):
        return "unlikely"
    if sounds > 5 and found.odd_share > MOST_ODD:
        return "odd durations"
    return ""


def describe(recordings: Sequence[Recording], kept: Sequence[Spoken], dropped: Sequence[tuple[Spoken, str]]) -> dict[str, Any]:
    """Return the corpus' notes: minutes by kind, split and voice, what was dropped and why, and who aligned it."""
    minutes: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for recording, item in zip(recordings, kept, strict=True):
        kind = "human" if recording.human else "synthetic"
        for group, key in (("kind", kind), ("split", f"{kind} {recording.split}"), ("voice", recording.voice)):
            minutes[group][key] += item.seconds / 60.0
        if not recording.text:
            minutes["kind"]["silence"] += item.seconds / 60.0
    lost: dict[str, float] = defaultdict(float)
    for item, reason in dropped:
        lost[f"{item.voice if item.human else 'synthetic'}: {reason}"] += item.seconds / 60.0
    return {
        "minutes": {group: {key: round(value, 2) for key, value in sorted(part.items())} for group, part in minutes.items()},
        "dropped_minutes": {key: round(value, 2) for key, value in sorted(lost.items())},
        "dropped": len(dropped),
        "aligner": ALIGNER,
        "voices": len({recording.voice for recording in recordings}),
        "identity_of_voice": IDENTITY_OF_VOICE,
        "licences": {source.voice: source.licence for source in PROMPT_VOICES},
    }


def _all_recordings(languages: Sequence[str], synthetic_minutes: float, seed: int) -> Iterator[Spoken]:
    yield from human_recordings(languages)
    if synthetic_minutes > 0:
        yield from synthetic_recordings(synthetic_minutes, seed)


def _all_motion(
    recordings: Sequence[Recording], kept: Sequence[Spoken], seed: int, fps: float, processes: int, on_progress: Progress
) -> Iterator[tuple[str, np.ndarray]]:
    jobs = [(recording, item.speech, seed, fps) for recording, item in zip(recordings, kept, strict=True)]
    with ProcessPoolExecutor(processes) as pool:
        for done, moved in enumerate(pool.map(_move, jobs, chunksize=16), 1):
            yield from moved
            on_progress("articulate", done, len(jobs))


def _move(job: tuple[Recording, np.ndarray, int, float]) -> list[tuple[str, np.ndarray]]:
    recording, speech, seed, fps = job
    prosody = measure_prosody(speech)
    moved = []
    for speaker in SPEAKERS:
        key = f"{seed}|{recording.name}|{speaker.name}"
        motion = articulate(recording.phones, len(speech), speaker.style, prosody, key, fps)
        moved.append((f"{recording.name}@{speaker.name}", motion.astype(np.float16)))
    return moved
