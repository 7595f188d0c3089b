"""From shares of recordings to a prepared dataset: several processes, each finished share kept; a killed run goes on."""

import ctypes
import hashlib
import json
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.data.articulated.alignment import Aligner, Alignment, Phones
from talker_cli.data.articulated.articulation import articulate
from talker_cli.data.articulated.manifest import Entry, describe, write_manifest
from talker_cli.data.articulated.phonetics import SILENCE
from talker_cli.data.articulated.prosody import measure_prosody
from talker_cli.data.articulated.recordings import Share, Spoken, find_phones
from talker_cli.data.articulated.refine import odd_silence, refine
from talker_cli.data.articulated.selection import split_of
from talker_cli.data.articulated.styles import SPEAKERS
from talker_cli.data.prepared import Clip, DatasetInfo, Recording, write_dataset
from talker_cli.data.work import Work
from talker_cli.errors import InputError
from talker_cli.rig import RigFile

# What a caller is told: the stage, how many of how many are done.
Progress = Callable[[str, int, int], None]

# Below these log likelihoods a frame (pocketsphinx's integer log scale) text and sound do not fit each other.
WORST_SCORE = {"en": -45.0}
UNLIKELY = -40.0  # in every other language
MOST_ODD = 0.10  # share of phones with an implausible duration, in recordings of more than five phones


@dataclass(frozen=True)
class Settings:
    """What every share is prepared with.

    Args:
        fps: of the motion.
        seed: of all randomness.
        held_out: voices that are kept for the split test_voice.
        cache: a folder that keeps alignments between corpora.
    """

    fps: float
    seed: int
    held_out: frozenset[str] = frozenset()
    cache: Path | None = None


@dataclass(frozen=True)
class Corpus:
    """What a corpus is made of.

    Args:
        shares: its recordings, in order.
        source: what they are, in words.
        licence: theirs and the motion's, in words.
        identities: voice -> the identity whose voice it is; of all others, the one nearest in pitch.
        empty: what to say if no recording can be used.
        command: that asked for it.
    """

    shares: Sequence[Share]
    source: str
    licence: str
    identities: Mapping[str, str]
    empty: str
    command: str = ""


def build(
    output: Path, corpus: Corpus, settings: Settings, rig: RigFile, processes: int, on_progress: Progress
) -> dict[str, Any]:
    """Prepare all shares, write the dataset and its manifest.csv, and return the notes (minutes, voices, dropped).

    Raises:
        InputError: no recording can be used.
        MachineError: a package, a program or pocketsphinx is missing.
        OutputError: the folder cannot be written.
    """
    plan = json.dumps([settings.fps, settings.seed, sorted(settings.held_out), [share.plan() for share in corpus.shares]])
    work = Work(output, {"kind": "articulated", "digest": hashlib.sha256(plan.encode()).hexdigest()})
    _prepare_shares(corpus.shares, settings, work, processes, on_progress)
    entries: list[list[Entry]] = [
        [Entry(**entry) for entry in work.load(str(number)).metadata] for number in range(len(corpus.shares))
    ]
    everything = [entry for part in entries for entry in part]
    used = [entry for entry in everything if not entry.reason]
    if not any(entry.text for entry in used):
        reasons = sorted({entry.reason for entry in everything if entry.reason})
        work.close(failed=True)
        raise InputError(f"found no usable recording among {len(everything)} ({', '.join(reasons)}); {corpus.empty}")
    identities = _nearest_identities(used) | dict(corpus.identities)
    recordings = tuple(
        Recording(each.name, each.voice, each.language, each.human, each.split, each.text, each.phones, each.source)
        for each in used
    )
    clips = tuple(
        Clip(clip_name(recording.name, speaker.name), recording.name, speaker.name, identities[recording.voice] == speaker.name)
        for recording in recordings
        for speaker in SPEAKERS
    )
    notes = describe(everything, identities)
    info = DatasetInfo(
        corpus.source, corpus.licence, settings.fps, tuple(speaker.name for speaker in SPEAKERS), recordings, clips,
        corpus.command, settings.seed, notes,
    )  # fmt: skip

    def arrays(names: Callable[[Entry], Sequence[tuple[str, str]]]) -> Iterator[tuple[str, np.ndarray]]:
        for number, part in enumerate(entries):
            stored = work.load(str(number))
            for entry in part:
                for name, array in [] if entry.reason else names(entry):
                    yield name, stored.array(array)

    def motions(entry: Entry) -> list[tuple[str, str]]:
        names = [clip_name(entry.name, speaker.name) for speaker in SPEAKERS]
        return [(name, f"motion/{name}") for name in names]

    on_progress("writing", 0, 0)
    write_manifest(output / "manifest.csv", everything)
    write_dataset(output, info, rig, arrays(lambda entry: [(entry.name, f"speech/{entry.name}")]), arrays(motions))
    work.close()
    return notes


def clip_name(recording: str, identity: str) -> str:
    """Return the name of an identity's clip of a recording."""
    return f"{recording}@{identity}"


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


def _prepare_shares(shares: Sequence[Share], settings: Settings, work: Work, processes: int, on_progress: Progress) -> None:
    missing = [number for number in range(len(shares)) if str(number) not in work]
    # "fork" needs no import of numpy in each process, and there are no threads yet.
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("fork"), initializer=_die_with_parent)
    try:
        running = [pool.submit(_finish, shares[number], settings, work, str(number)) for number in missing]
        on_progress("preparing", len(shares) - len(missing), len(shares))
        for done, future in enumerate(as_completed(running), len(shares) - len(missing) + 1):
            future.result()
            on_progress("preparing", done, len(shares))
    finally:
        pool.shutdown(cancel_futures=True)


def _die_with_parent() -> None:
    """Let a killed run leave no process behind: they would wait for work for ever."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


@cache
def _aligner() -> Aligner:
    return Aligner()


def _finish(share: Share, settings: Settings, work: Work, key: str) -> None:
    """Find phones and motion of a share's recordings, and keep them as one part."""
    arrays: dict[str, np.ndarray] = {}
    entries: list[dict[str, Any]] = []
    for item in share.read():
        found = None if item.problem else find_phones(item, _aligner, settings.cache)
        reason = item.problem or refusal(item, found)
        phones: Phones = ()
        hertz = 0.0
        if found is not None and not reason:
            phones = item.phones or refine(found, item.speech, item.language)
            if item.human and item.text and odd_silence(phones, item.speech):
                reason = "odd silence"
        if not reason:
            prosody = measure_prosody(item.speech)
            hertz = round(prosody.hertz, 1)
            arrays[f"speech/{item.name}"] = item.speech
            for speaker in SPEAKERS:
                name = clip_name(item.name, speaker.name)
                key_of_motion = f"{settings.seed}|{item.name}|{speaker.name}"
                motion = articulate(phones, len(item.speech), speaker.style, prosody, key_of_motion, settings.fps)
                arrays[f"motion/{name}"] = motion.astype(np.float16)
        score = round(found.score, 2) if found is not None and not item.phones else 0.0
        entry = Entry(
            item.name, item.voice, item.language, item.human, item.text, item.source, item.licence,
            split_of(item, settings.held_out), round(item.seconds, 4), reason, score, hertz, phones,
        )  # fmt: skip
        entries.append(asdict(entry))
    work.save(key, arrays, entries)


def _nearest_identities(entries: Sequence[Entry]) -> dict[str, str]:
    """Return each voice's identity: the one whose voice is nearest in pitch."""
    pitches: dict[str, list[float]] = {}
    for entry in entries:
        pitches.setdefault(entry.voice, []).extend([entry.hertz] if entry.hertz else [])
    nearest = {}
    for voice, hertz in pitches.items():
        pitch = float(np.median(hertz)) if hertz else 150.0
        nearest[voice] = min(SPEAKERS, key=lambda speaker: abs(np.log2(speaker.voice.pitch / pitch))).name
    return nearest
