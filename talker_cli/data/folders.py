"""Clips in a user's folder: each motion file with its recording, its identity and its split.

The identity comes from a CSV table (columns name, identity, and optionally split, text, language), from one name for all
clips, or from the file's name up to its last underscore.
"""

import csv
import hashlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from talker_cli.data.dataset import SPLITS
from talker_cli.data.sequences import CaptureSequence
from talker_cli.errors import InputError
from talker_cli.formats.audio import load_intact_speech
from talker_cli.formats.files import files_below
from talker_cli.formats.schema import reading

SOUNDS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac", ".mov", ".mp4", ".g722")  # in order of preference
HELD_OUT = 10  # one in this many clips of a person is for validation, and one for the test
COLUMNS = ("name", "identity", "split", "text", "language")


@dataclass(frozen=True)
class Row:
    """A clip's row of the table; empty where the table states nothing."""

    identity: str = ""
    split: str = ""
    text: str = ""
    language: str = "und"


@dataclass(frozen=True)
class ClipFiles:
    """A clip's files, and its row of the table, completed.

    Args:
        name: Name, unique in the folder.
        motion: Motion file.
        audio: Recording.
        row: Identity, split, text and language.
    """

    name: str
    motion: Path
    audio: Path
    row: Row

    def sequence(
        self, frames: int, motion: Callable[[np.ndarray], np.ndarray], language: str | None = None, emotion: str = ""
    ) -> CaptureSequence:
        """Return the clip as a sequence, given its number of frames, the reader of its motion and the dataset's labels."""
        row, speech = self.row, partial(load_intact_speech, self.audio)
        files = (self.motion, self.audio)
        return CaptureSequence(
            self.name,
            row.identity,
            row.split,
            frames,
            speech,
            motion,
            files,
            row.text,
            language or row.language,
            emotion=emotion,
        )


def find_pairs(
    folder: Path,
    suffix: str,
    *,
    table: Path | None = None,
    identity: str | None = None,
    identity_of: Callable[[Path], str] | None = None,
) -> tuple[list[ClipFiles], dict[str, list[str]]]:
    """Return the clips of a folder and its subfolders, sorted by name, and notes on motion without a recording.

    Args:
        suffix: Suffix of the motion files, such as ".npy".
        table: CSV table of the clips, or None.
        identity: Identity of all clips, or None.
        identity_of: Identity of a motion file that table and `identity` do not name; None: its name up to the last underscore.

    Raises:
        InputError: the folder is missing or empty, two clips have one name, or a clip's identity is unknown.
    """
    if not folder.is_dir():
        raise InputError(f"no folder {folder}; expected one with {suffix} files and their recordings; check the path")
    motions = [path for path in files_below(folder) if path.suffix.lower() == suffix]
    rows = read_table(table) if table else {}
    clips: dict[str, ClipFiles] = {}
    without_audio: list[str] = []
    for motion in motions:
        name = motion.stem
        audio = next((path for end in SOUNDS if (path := _beside(motion, end)) is not None), None)
        if audio is None:
            without_audio.append(name)
            continue
        if name in clips:
            raise InputError(
                f"found two clips named {name}: {clips[name].motion} and {motion}; expected a name each; rename one"
            )
        if rows and name not in rows:
            raise InputError(f"{table} has no row for {name}; expected one for each clip; add it, or move {motion} away")
        row = rows.get(name, Row())
        person = row.identity or identity or (identity_of or _from_name)(motion)
        clips[name] = ClipFiles(name, motion, audio, replace(row, identity=person))
    missing = [name for name in rows if name not in clips]
    if missing:
        raise InputError(
            f"{table} names {missing[0]}; {folder} holds no such clip with its recording; remove the row, or add the files"
        )
    if not clips:
        raise InputError(
            f"found {len(motions)} {suffix} files in {folder}, none with a recording beside it; expected NAME{suffix} "
            "and NAME.wav"
        )
    notes = {"without sound": without_audio} if without_audio else {}
    return with_splits(sorted(clips.values(), key=lambda clip: clip.name)), notes


def with_splits(clips: list[ClipFiles]) -> list[ClipFiles]:
    """Return the clips with their splits: the table's, else one in ten of a person for validation and one for the test.

    The choice depends on the names alone. All clips of a person with fewer than three are for training.
    """
    split = {clip.name: clip.row.split for clip in clips}
    for identity in {clip.row.identity for clip in clips}:
        free = [clip.name for clip in clips if clip.row.identity == identity and not clip.row.split]
        free.sort(key=lambda name: hashlib.sha256(name.encode()).digest())
        held = max(1, len(free) // HELD_OUT) if len(free) >= 3 else 0
        for place, name in enumerate(free):
            split[name] = "validation" if place < held else "test" if place < 2 * held else "train"
    return [replace(clip, row=replace(clip.row, split=split[clip.name])) for clip in clips]


def read_table(path: Path) -> dict[str, Row]:
    """Return clip name -> row of a CSV with the columns name and identity, and optionally split, text, language.

    Raises:
        InputError: the file is missing, lacks a column, has an unknown one, a line of another length, or a clip twice.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path} ({error}); expected a CSV with the columns name,identity") from error
    with reading(path, "a CSV with the columns name,identity"):
        lines = list(csv.reader(io.StringIO(text)))
    header = [cell.strip().lower() for cell in lines[0]] if lines else []
    if not {"name", "identity"} <= set(header) or not set(header) <= set(COLUMNS):
        raise InputError(
            f"{path} has the columns {', '.join(header) or 'of nothing'}; expected {', '.join(COLUMNS)}; the first two at least"
        )
    rows: dict[str, Row] = {}
    for number, cells in enumerate(lines[1:], 2):
        if not cells:
            continue
        if len(cells) != len(header):
            raise InputError(f"{path} line {number} has {len(cells)} fields; expected {len(header)}; fix the line")
        entry = {key: cell.strip() for key, cell in zip(header, cells, strict=True) if cell.strip()}
        name = entry.pop("name", "")
        if not name or "identity" not in entry:
            raise InputError(f"{path} line {number} lacks a name or an identity; expected a name and an identity")
        if name in rows:
            raise InputError(f"{path} line {number} names {name} again; expected each clip once")
        if entry.get("split", SPLITS[0]) not in SPLITS:
            raise InputError(f"{path} line {number} has the split '{entry['split']}'; expected one of {', '.join(SPLITS)}")
        rows[name] = Row(**entry)
    return rows


def identities_of(clips: Iterable[ClipFiles]) -> tuple[str, ...]:
    """Return the identities, those of the training split first, each group sorted by name."""
    identities = {clip.row.identity for clip in clips}
    trained = {clip.row.identity for clip in clips if clip.row.split == "train"}
    return (*sorted(trained), *sorted(identities - trained))


def _beside(motion: Path, suffix: str) -> Path | None:
    """Return the recording of that suffix, in either case, beside a motion file or in a folder `wav` next to its own."""
    for folder in (motion.parent, motion.parent.parent / "wav"):
        for end in (suffix, suffix.upper()):
            if (path := folder / f"{motion.stem}{end}").is_file():
                return path
    return None


def _from_name(motion: Path) -> str:
    name = motion.stem.rpartition("_")[0]
    if not name:
        raise InputError(
            f"cannot tell who speaks in {motion}; expected a name such as IDENTITY_{motion.name}; rename it, "
            "name the speaker, or give a table of the clips",
            field="identity",
        )
    return name
