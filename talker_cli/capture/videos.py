"""Videos with sound as a source of training data: one folder a speaker, tracked once, fitted with one neutral a speaker.

GRID as published has the same layout (`s1/NAME.mpg`), with its words in `NAME.align` beside the videos or below `alignments/`.
"""

import hashlib
import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.capture.clip import BRIDGED, bridged, landmark_model, runs, turned_away
from talker_cli.capture.cover import covered
from talker_cli.capture.fit import LandmarkModel
from talker_cli.capture.pose import Posed, remove_pose
from talker_cli.capture.tracker import track
from talker_cli.capture.video import open_video
from talker_cli.data.folders import ClipFiles, Row, identities_of, with_splits
from talker_cli.data.sequences import CaptureSequence, OnProgress, Source, resample_rows
from talker_cli.errors import InputError
from talker_cli.formats.audio import SAMPLE_RATE, load_intact_speech
from talker_cli.formats.files import ArrayFile, file_hash, files_below, write_arrays
from talker_cli.formats.processes import end_with_parent
from talker_cli.metrics import Phones
from talker_cli.rig import Rig

SUFFIXES = (".mp4", ".mov", ".mpg", ".mpeg", ".mkv", ".webm", ".avi", ".m4v")
SHORTEST = 10  # frames in one piece
NEUTRAL_VIDEOS = 100  # of a speaker, whose frames give the neutral face
SILENCES = ("sil", "sp")
Align = Callable[[np.ndarray, str], Phones]  # of (S,) int16 speech and its words


class Speaker:
    """The tracked videos of one person.

    Args:
        model: Landmarks on the built-in head.
        parts: Files of `track_videos`.
    """

    def __init__(self, model: LandmarkModel, parts: list[Path]) -> None:
        self.model = model
        self.parts = parts

    def posed(self, part: Path) -> tuple[Posed, np.ndarray]:
        """Return a video's landmarks in the head's space, and the frames that can be used (T,) bool."""
        file = ArrayFile(part, "tracked video")
        landmarks, looks, seen = file.array("landmarks"), file.array("looks"), file.array("seen").astype(bool)
        posed = remove_pose(landmarks, seen, self.model.still, self.model.rest[self.model.still])
        return posed, seen & ~covered(looks, posed.rotation, seen) & ~turned_away(posed)

    @cached_property
    def neutral(self) -> np.ndarray:
        """The person's landmarks at rest (P, 3), metres."""
        chosen = self.parts[:: max(1, len(self.parts) // NEUTRAL_VIDEOS)]
        return self.model.neutral(map(self.posed, chosen))

    def coefficients(self, part: Path, first: int, ratio: float, rows: np.ndarray) -> np.ndarray:
        """Return fitted coefficients and the head's rotation (N, 55) at `first + ratio * rows` of the video's frames."""
        posed, known = self.posed(part)
        fitted = self.model.fit(posed, self.neutral, known).coefficients
        fps = float(ArrayFile(part, "tracked video").metadata["fps"])
        made = np.concatenate([fitted, posed.steady(fps)], 1, dtype=np.float32)
        return resample_rows(np.arange(len(made), dtype=float), made, first + ratio * rows)


def track_videos(
    videos: dict[Path, str], tracker: Path, folder: Path, processes: int, on_progress: OnProgress, align: Align | None = None
) -> tuple[dict[Path, Path], dict[str, list[str]]]:
    """Track every video that is not tracked yet; return video -> file of landmarks, and the videos left out by reason.

    Args:
        videos: Video -> its words.
        tracker: MediaPipe's `face_landmarker.task`.
        folder: Folder of the results, which a killed run leaves for the next.
        processes: Number of worker processes; the result does not depend on it.
        on_progress: Called with the stage, the number done and the total.
        align: Function, known by name to a worker, that places the phones of words.

    Raises:
        InputError: no video can be used.
        MachineError: MediaPipe is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = file_hash(tracker)
    places = {}
    for path, words in videos.items():
        about = path.stat()
        key = f"{path.resolve()} {about.st_size} {about.st_mtime_ns} {model} {words if align else ''}"
        places[path] = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.safetensors"
    missing = [path for path, place in places.items() if not place.is_file()]
    on_progress("tracking", len(videos) - len(missing), len(videos))
    # "spawn": MediaPipe's threads do not survive a fork.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=_begin) as pool:
        jobs = [pool.submit(_track, path, places[path], tracker, videos[path], align) for path in missing]
        try:
            for done, job in enumerate(as_completed(jobs), len(videos) - len(missing) + 1):
                job.result()
                on_progress("tracking", done, len(videos))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    left_out: dict[str, list[str]] = {}
    kept = {}
    for path, place in places.items():
        about = ArrayFile(place, "tracked video").metadata
        if about["problem"]:
            left_out.setdefault("videos left out", []).append(about["problem"])
        else:
            kept[path] = place
    if not kept:
        shutil.rmtree(folder)
        raise InputError(f"found {len(videos)} videos, none of which can be used: {left_out['videos left out'][0]}")
    return kept, left_out


def _begin() -> None:
    """Let this worker end with its parent: that of a killed run would wait for work for ever."""
    end, parent = end_with_parent(), multiprocessing.parent_process()
    if end is not None:
        end()
        if parent is not None and os.getppid() != parent.pid:  # it was killed while this worker started
            os._exit(1)


def _track(path: Path, place: Path, tracker: Path, words: str, align: Align | None) -> None:
    try:
        video = open_video(path)
        if not video.sounds:
            raise InputError(f"{path} has no sound; expected a video with sound")
        found = track(video, tracker)
        phones = align((load_intact_speech(path) * 32767).astype(np.int16), words) if align and words else ()
    except InputError as error:
        write_arrays(place, {"seen": np.zeros(1, np.uint8)}, {"problem": str(error), "fps": 0.0})
        return
    arrays: dict[str, np.ndarray] = {"landmarks": np.asarray(found.landmarks), "looks": found.looks}
    arrays["seen"] = found.seen.astype(np.uint8)
    write_arrays(place, arrays, {"problem": "", "fps": video.fps, "phones": list(phones)})


def open_videos(
    folder: Path, head: Rig, tracker: Path, work: Path, *,
    name: str = "video", licence: str, identity: str | None = None, language: str = "und", align: Align | None = None,
    processes: int = 1, on_progress: OnProgress,
) -> Source:  # fmt: skip
    """Return a folder of videos, one folder a speaker, as captured sequences.

    Args:
        folder: Folder of the videos.
        head: The built-in head.
        tracker: MediaPipe's `face_landmarker.task`.
        work: Folder that keeps tracked landmarks.
        name: Name of the source.
        licence: Licence of the videos.
        identity: Speaker of all videos; None takes the first folder below `folder`.
        language: ISO 639 code.
        align: Function, known by name to a worker, that places the phones of a video's words in its speech (S,) int16.
        processes: Number of worker processes.
        on_progress: Called with the stage, the number done and the total.

    Raises:
        InputError: no video can be used.
        MachineError: MediaPipe is missing.
    """
    videos = [path for path in files_below(folder) if path.suffix.lower() in SUFFIXES]
    if not videos:
        raise InputError(f"found no video in {folder}; expected {', '.join(SUFFIXES)}, one folder a speaker")
    words = {path: _words(path, folder) for path in videos}
    tracked, notes = track_videos(words, tracker, work, processes, on_progress, align)
    clips = []
    for path in tracked:
        inside = path.relative_to(folder)
        who = identity or (inside.parts[0] if len(inside.parts) > 1 else folder.resolve().name)
        clips.append(ClipFiles("_".join(inside.with_suffix("").parts), path, path, Row(who, "", words[path], language)))
    clips = with_splits(clips)
    model = landmark_model(head)
    speakers = {
        who: Speaker(model, [tracked[clip.motion] for clip in clips if clip.row.identity == who])
        for who in sorted({clip.row.identity for clip in clips})
    }
    rates = {path: float(ArrayFile(part, "tracked video").metadata["fps"]) for path, part in tracked.items()}
    fps = Counter(rates.values()).most_common(1)[0][0]
    sequences, short = [], []
    for clip in clips:
        part, rate, speaker = tracked[clip.motion], rates[clip.motion], speakers[clip.row.identity]
        _, known = speaker.posed(part)
        pieces = runs(bridged(known, round(BRIDGED * rate)))
        first, end = max(pieces, key=lambda piece: piece[1] - piece[0], default=(0, 0))
        if end - first < SHORTEST:
            short.append(clip.name)
            continue
        frames = int((end - first - 1) * fps / rate) + 1
        motion = partial(speaker.coefficients, part, first, rate / fps)
        speech = partial(_speech, clip.audio, first / rate)
        sequences.append(
            CaptureSequence(
                clip.name,
                clip.row.identity,
                clip.row.split,
                frames,
                speech,
                motion,
                (clip.motion, part),
                clip.row.text,
                language,
                _later(ArrayFile(part, "tracked video").metadata["phones"], first / rate),
            )
        )
    if not sequences:
        raise InputError(f"no video in {folder} shows a face for {SHORTEST} frames; expected videos of one talking person")
    about: dict[str, Any] = {**notes, **({"without a face for long enough": short} if short else {})}
    return Source(name, licence, fps, tuple(sequences), identities_of(clips), about, head=True)


def _speech(path: Path, start: float) -> np.ndarray:
    return load_intact_speech(path)[round(start * SAMPLE_RATE) :]


def _later(phones: list[tuple[str, float, float]], start: float) -> Phones:
    """Return what sounds from `start` on, in seconds after it."""
    return tuple((name, max(0.0, begin - start), end - start) for name, begin, end in phones if end > start)


def _words(path: Path, folder: Path) -> str:
    """Return the words of GRID's `NAME.align` (start, end in 1/25000 s, word), or "" where there is none."""
    name = f"{path.stem}.align"
    speaker = path.relative_to(folder).parts[0]
    places = (path.with_suffix(".align"), path.parent / "align" / name, folder / "alignments" / speaker / name,
              folder / "alignments" / name, path.parent.parent / "align" / name)  # fmt: skip
    found: Callable[[Path], bool] = Path.is_file
    place = next(filter(found, places), None)
    if place is None:
        return ""
    words = []
    for number, line in enumerate(place.read_text(errors="replace").splitlines(), 1):
        cells = line.split()
        if cells and (len(cells) != 3 or not (cells[0].isdigit() and cells[1].isdigit())):
            raise InputError(f"{place} line {number} is {line[:40]!r}; expected start, end and word; get the original file")
        words += [cell for cell in cells[2:] if cell not in SILENCES]
    return " ".join(words)
