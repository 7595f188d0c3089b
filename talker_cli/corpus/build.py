"""From shards of recordings to a prepared dataset, in three stages: alignment, realignment voice by voice, and motion.

Every voice is an identity with a style of its own; a recording is moved in that of its voice and in OTHERS others.

Several processes work at once; each finished part is kept, and a killed run resumes.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.corpus.align.adaptation import realign
from talker_cli.corpus.align.alignment import Aligner, Alignment
from talker_cli.corpus.align.closure import closed_stops, misplaced
from talker_cli.corpus.align.refine import odd_silence, refine
from talker_cli.corpus.articulate.articulation import articulate
from talker_cli.corpus.articulate.emotion import drawn_emotions
from talker_cli.corpus.articulate.noise import generator
from talker_cli.corpus.articulate.prosody import measure_prosody
from talker_cli.corpus.articulate.styles import SPEAKERS
from talker_cli.corpus.articulate.voice_styles import identity_of, styles_of
from talker_cli.corpus.manifest import Entry, describe, write_manifest
from talker_cli.corpus.speech.recordings import Shard, Utterance, find_phones
from talker_cli.corpus.speech.selection import split_of
from talker_cli.data.dataset import Clip, DatasetInfo, Recording, write_dataset
from talker_cli.data.emotions import Spans
from talker_cli.data.resume import ResumableParts
from talker_cli.errors import InputError, MachineError
from talker_cli.formats.processes import end_with_parent, fork_context
from talker_cli.identity.voice import VoiceSums
from talker_cli.metrics import SILENCE, Phones
from talker_cli.rig import RigFile

ALIGNED, REALIGNED, MOTION = "aligned", "realigned", "motion"  # parts of each stage

# (stage, parts done, parts in all)
Progress = Callable[[str, int, int], None]

# Log likelihoods a frame, on pocketsphinx's integer scale, below which text and sound do not match.
WORST_SCORE = {"en": -45.0}
UNLIKELY = -40.0  # of every other language
MOST_ODD = 0.10  # share of phones with an implausible duration, in recordings of more than five phones
RULES = 11  # version of the stages: a run begun by another version starts again
OTHERS = 7  # identities besides its voice's own that move a recording
EMOTIONAL = 0.3  # share of the training clips with emotions
LEAST_SPEECH = 120.0  # seconds of a voice: models of its sounds from under a minute align some voices worse


@dataclass(frozen=True)
class Settings:
    """Settings of all shards.

    Args:
        fps: Frame rate of the motion.
        seed: Seed of all randomness.
        held_out: Voices of the split test_voice.
    """

    fps: float
    seed: int
    held_out: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Voices:
    """The voices of a corpus.

    Args:
        sums: What the sound of each voice tells, of its usable recordings.
        trained: Identities that recordings of other voices may be moved in: the characters, and voices that are not held out.
    """

    sums: dict[str, VoiceSums]
    trained: tuple[str, ...]

    def identities(self, recording: str, voice: str, seed: int) -> list[str]:
        """Return the identities that move a recording: its voice's own, then OTHERS by chance."""
        own = identity_of(voice)
        others = [name for name in self.trained if name != own]
        order = generator(f"{seed}|{recording}", "identities").permutation(len(others))
        return [own, *(others[index] for index in order[:OTHERS])]


@dataclass(frozen=True)
class Corpus:
    """Recordings of a corpus and their description.

    Args:
        shards: Recordings, in order.
        source: Description of the recordings.
        licence: Licence of the recordings and of the motion.
        empty: Advice where no recording can be used.
        command: Command line that prepares the corpus.
    """

    shards: Sequence[Shard]
    source: str
    licence: str
    empty: str
    command: str = ""


def build(
    output: Path, corpus: Corpus, settings: Settings, rig: RigFile, processes: int, on_progress: Progress
) -> dict[str, Any]:
    """Prepare all shards, write the dataset and its manifest.csv, and return the notes (minutes, voices, dropped).

    Raises:
        InputError: No recording can be used.
        MachineError: A package, a program or pocketsphinx is missing.
        OutputError: The folder cannot be written.
    """
    plan = json.dumps(
        [RULES, settings.fps, settings.seed, sorted(settings.held_out), [shard.plan() for shard in corpus.shards]]
    )
    rig = rig.with_head()
    work = ResumableParts(output, {"kind": "articulated", "digest": hashlib.sha256(plan.encode()).hexdigest()})
    entries, voices = _prepare_shards(corpus.shards, settings, work, processes, on_progress)
    all_entries = [entry for part in entries for entry in part]
    used = [entry for entry in all_entries if not entry.reason]
    if not any(entry.text for entry in used):
        reasons = sorted({entry.reason for entry in all_entries if entry.reason})
        work.close(failed=True)
        raise InputError(f"found no usable recording among {len(all_entries)} ({', '.join(reasons)}); {corpus.empty}")
    recordings = tuple(
        Recording(each.name, each.voice, each.language, each.human, each.split, each.text, each.phones, each.source)
        for each in used
    )
    styles = styles_of(voices.sums)
    moved = {entry.name: voices.identities(entry.name, entry.voice, settings.seed) for entry in used}
    clips = tuple(
        Clip(
            clip_name(entry.name, identity), entry.name, identity, identity_of(entry.voice) == identity,
            emotion_of(entry, identity, settings),
        )
        for entry in used
        for identity in moved[entry.name]
    )  # fmt: skip
    notes = describe(all_entries, {entry.voice: identity_of(entry.voice) for entry in used})
    notes["styles"] = {name: {key: round(value, 3) for key, value in asdict(styles[name]).items()} for name in sorted(styles)}
    info = DatasetInfo(
        corpus.source, corpus.licence, settings.fps, tuple(styles), recordings, clips, corpus.command, settings.seed, notes
    )

    def arrays(kind: str, names: Callable[[Entry], Sequence[str]]) -> Iterator[tuple[str, np.ndarray]]:
        for number, part in enumerate(entries):
            stored = work.load(f"{kind}-{number}")
            for entry in part:
                for name in [] if entry.reason else names(entry):
                    yield name, stored.array(name)

    on_progress("writing", 0, 0)
    write_manifest(output / "manifest.csv", all_entries)
    speech = arrays(ALIGNED, lambda entry: [entry.name])
    motion = arrays(MOTION, lambda entry: [clip_name(entry.name, identity) for identity in moved[entry.name]])
    faces = {name: face for name, face in rig.identities.items() if name in styles}
    write_dataset(output, info, replace(rig, identities=faces), speech, motion)
    work.close()
    return notes


def clip_name(recording: str, identity: str) -> str:
    """Return the name of an identity's clip of a recording."""
    return f"{recording}@{identity}"


def emotion_of(entry: Entry, identity: str, settings: Settings) -> Spans:
    """Return the emotions of an identity's clip of a recording; clips that models are measured on are neutral."""
    key = f"{settings.seed}|{entry.name}|{identity}"
    return drawn_emotions(key, entry.seconds, EMOTIONAL) if entry.split == "train" else ()


def refusal(item: Utterance, alignment: Alignment | None) -> str:
    """Return why a recording cannot be used; empty if it can."""
    if alignment is None:
        return "words do not fit"
    sounds = sum(phone != SILENCE for phone, _, _ in alignment.phones)
    if item.text and not sounds:
        return "no sound found"
    if item.text and alignment.score < WORST_SCORE.get(item.language, UNLIKELY):
        return "unlikely"
    if sounds > 5 and alignment.odd_share > MOST_ODD:
        return "odd durations"
    return ""


def _prepare_shards(
    shards: Sequence[Shard], settings: Settings, work: ResumableParts, processes: int, on_progress: Progress
) -> tuple[list[list[Entry]], Voices]:
    """Prepare the missing parts; return each shard's entries, and the voices."""
    # "fork" saves importing numpy in each process; no thread that runs now holds a lock that a shard's work needs.
    pool = ProcessPoolExecutor(processes, fork_context(), initializer=end_with_parent())

    def finish(stage: str, jobs: Mapping[str, Callable[[ResumableParts, str], None]]) -> None:
        """Run the jobs of the parts that are missing."""
        running = [pool.submit(job, work, key) for key, job in jobs.items() if key not in work]
        on_progress(stage, len(jobs) - len(running), len(jobs))
        for done, future in enumerate(as_completed(running), len(jobs) - len(running) + 1):
            future.result()
            on_progress(stage, done, len(jobs))

    numbers = range(len(shards))
    try:
        finish("aligning", {f"{ALIGNED}-{number}": partial(_align, shards[number], settings) for number in numbers})
        voices = _aligned_voices(work, len(shards))
        finish("realigning", {f"{REALIGNED}-{key}": partial(_realign, parts) for key, parts in enumerate(voices.values())})
        voice_keys = {voice: f"{REALIGNED}-{key}" for key, voice in enumerate(voices)}
        usable = _voices(work, len(shards), voice_keys)
        moves = {
            f"{MOTION}-{number}": partial(_articulate, f"{ALIGNED}-{number}", voice_keys, usable, settings)
            for number in numbers
        }
        finish("articulating", moves)
    except BrokenProcessPool as error:
        raise MachineError(
            "a worker process was killed, perhaps for lack of memory; expected all to finish; run the same command again, "
            "with fewer processes"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
    return [[Entry(**entry) for entry in work.load(f"{MOTION}-{number}").metadata] for number in numbers], usable


@cache
def _aligner() -> Aligner:
    return Aligner()


def _align(shard: Shard, settings: Settings, work: ResumableParts, key: str) -> None:
    """Align a shard's recordings; keep speech (S,), entries, whether an aligner timed the phones, and the voice's sums."""
    arrays: dict[str, np.ndarray] = {}
    entries: list[dict[str, Any]] = []
    for item in shard.read():
        alignment = None if item.problem else find_phones(item, _aligner)
        reason = item.problem or refusal(item, alignment)
        aligned = bool(item.text) and not item.phones
        phones = alignment.phones if alignment is not None and not reason else ()
        if phones:
            arrays[item.name] = item.speech
        score = round(alignment.score, 2) if alignment is not None and aligned else 0.0
        entry = Entry(
            item.name, item.voice, item.language, item.human, item.text, item.source, item.licence,
            split_of(item, settings.held_out), round(item.seconds, 4), reason, score, phones,
        )  # fmt: skip
        sums = VoiceSums.of(item.speech).values.tolist() if phones and item.text else None
        entries.append({"entry": asdict(entry), "aligned": aligned, "sums": sums})
    work.save(key, arrays, entries)


def _aligned_voices(work: ResumableParts, shards: int) -> dict[str, dict[str, list[str]]]:
    """Return each voice with recordings that an aligner timed: their names by the part that holds them."""
    places: dict[str, dict[str, list[str]]] = {}
    for part in (f"{ALIGNED}-{number}" for number in range(shards)):
        for stored in work.load(part).metadata:
            entry = Entry(**stored["entry"])
            if stored["aligned"] and not entry.reason:
                places.setdefault(entry.voice, {}).setdefault(part, []).append(entry.name)
    return dict(sorted(places.items()))


def _realign(parts: Mapping[str, Sequence[str]], work: ResumableParts, key: str) -> None:
    """Realign a voice's recordings; keep [phones, why it cannot be used] of each."""
    entries: list[Entry] = []
    speech: list[np.ndarray] = []
    for part, names in parts.items():
        stored = work.load(part)
        by_name = {each["entry"]["name"]: Entry(**each["entry"]) for each in stored.metadata}
        entries += [by_name[name] for name in names]
        speech += [stored.array(name) for name in names]
    aligned = [_phones(entry.phones) for entry in entries]
    if sum(entry.seconds for entry in entries) >= LEAST_SPEECH:
        aligned = realign(list(zip(speech, aligned, strict=True)))
    phones = [refine(each, sound, entry.language) for each, sound, entry in zip(aligned, speech, entries, strict=True)]
    reasons = _reasons(entries, phones, speech)
    work.save(key, {}, {entry.name: kept for entry, *kept in zip(entries, phones, reasons, strict=True)})


def _reasons(entries: Sequence[Entry], phones: Sequence[Phones], speech: Sequence[np.ndarray]) -> list[str]:
    """Return why each of a voice's recordings cannot be used, empty if it can: people do not always say the written text."""
    reasons = [""] * len(entries)
    stops: dict[int, list[bool]] = {}
    for index, (entry, aligned, sound) in enumerate(zip(entries, phones, speech, strict=True)):
        if entry.human and odd_silence(aligned, sound):
            reasons[index] = "odd silence"
        elif entry.human:
            stops[index] = closed_stops(aligned, sound)
    for index, wrong in zip(stops, misplaced(list(stops.values())), strict=True):
        if wrong:
            reasons[index] = "stops not closed"
    return reasons


def _finished(work: ResumableParts, part: str, voice_keys: Mapping[str, str]) -> Iterator[tuple[Entry, list[float] | None]]:
    """Yield a part's entries as realigned, and the sums of each."""
    realigned: dict[str, dict[str, Any]] = {}  # by voice
    for each in work.load(part).metadata:
        entry = Entry(**each["entry"])
        if not entry.reason and each["aligned"]:
            if entry.voice not in realigned:
                realigned[entry.voice] = work.load(voice_keys[entry.voice]).metadata
            phones, reason = realigned[entry.voice][entry.name]
            entry = replace(entry, phones=() if reason else _phones(phones), reason=reason)
        yield entry, each["sums"]


def _voices(work: ResumableParts, shards: int, voice_keys: Mapping[str, str]) -> Voices:
    """Return the voices of all usable recordings."""
    sums: dict[str, list[VoiceSums]] = {}
    heard = set()
    for number in range(shards):
        for entry, values in _finished(work, f"{ALIGNED}-{number}", voice_keys):
            if not entry.reason:
                sums.setdefault(entry.voice, []).extend([] if values is None else [VoiceSums(np.array(values))])
                heard |= {identity_of(entry.voice)} if entry.split != "test_voice" else set()
    trained = {speaker.name: None for speaker in SPEAKERS} | dict.fromkeys(sorted(heard))
    return Voices({voice: VoiceSums.total(sums[voice]) for voice in sorted(sums)}, tuple(trained))


def _articulate(
    aligned: str, voice_keys: Mapping[str, str], voices: Voices, settings: Settings, work: ResumableParts, key: str
) -> None:
    """Generate the motion of a shard's recordings; keep motion (T, K) and finished entries."""
    arrays: dict[str, np.ndarray] = {}
    entries: list[dict[str, Any]] = []
    stored, styles = work.load(aligned), styles_of(voices.sums)
    for entry, _ in _finished(work, aligned, voice_keys):
        if not entry.reason:
            speech, phones = stored.array(entry.name), _phones(entry.phones)
            prosody = measure_prosody(speech)
            for name in voices.identities(entry.name, entry.voice, settings.seed):
                emotion, own = emotion_of(entry, name, settings), f"{settings.seed}|{entry.name}|{name}"
                motion = articulate(phones, len(speech), styles[name], prosody, own, settings.fps, emotion)
                arrays[clip_name(entry.name, name)] = motion.astype(np.float16)
        entries.append(asdict(entry))
    work.save(key, arrays, entries)


def _phones(stored: Sequence[Sequence[Any]]) -> Phones:
    return tuple((str(phone), float(start), float(end)) for phone, start, end in stored)
