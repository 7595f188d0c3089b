"""A user's folder of takes: which sound belongs to which motion, who speaks, and which split a take is in.

Who speaks is what a small table says (`--clips FILE.csv`: columns name, identity, and as wanted split, text, language),
or the one name given for all, or the file's name up to its last underscore.
"""

import csv
import hashlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from talker_cli.data.dataset import SPLITS
from talker_cli.errors import InputError
from talker_cli.formats.files import files_below
from talker_cli.formats.schema import reading

SOUNDS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac", ".mov", ".mp4", ".g722")  # the first there is taken
HELD_OUT = 10  # of so many takes of a person one is for validation and one for the test
COLUMNS = ("name", "identity", "split", "text", "language")


@dataclass(frozen=True)
class Row:
    """What a table says of a take; empty where it says nothing."""

    identity: str = ""
    split: str = ""
    text: str = ""
    language: str = "und"


@dataclass(frozen=True)
class Found:
    """A take that was found: its name, its motion, its sound, and what is known of it."""

    name: str
    motion: Path
    sound: Path
    row: Row


def find_pairs(
    folder: Path,
    suffix: str,
    *,
    table: Path | None = None,
    identity: str | None = None,
    who: Callable[[Path], str] | None = None,
) -> tuple[list[Found], dict[str, list[str]]]:
    """Return the takes of a folder and its subfolders, by name, and notes on motion that has no sound.

    Args:
        suffix: of the motion files, such as ".npy".
        table: CSV table of the clips, or None.
        identity: who speaks in all of them, or None.
        who: tells it from a motion file where neither of the two does; None takes the name up to its last underscore.

    Raises:
        InputError: there is no such folder or nothing in it, two takes have one name, or a take's person is unknown.
    """
    if not folder.is_dir():
        raise InputError(f"no folder {folder}; expected one with {suffix} files and their recordings; check the path")
    motions = [path for path in files_below(folder) if path.suffix.lower() == suffix]
    rows = read_table(table) if table else {}
    found: dict[str, Found] = {}
    silent: list[str] = []
    for motion in motions:
        name = motion.stem
        sound = next((path for end in SOUNDS if (path := _beside(motion, end)) is not None), None)
        if sound is None:
            silent.append(name)
            continue
        if name in found:
            raise InputError(
                f"found two clips named {name}: {found[name].motion} and {motion}; expected a name each; rename one"
            )
        if rows and name not in rows:
            raise InputError(f"{table} has no row for {name}; expected one for each clip; add it, or move {motion} away")
        row = rows.get(name, Row())
        person = row.identity or identity or (who or _from_name)(motion)
        found[name] = Found(name, motion, sound, Row(person, row.split, row.text, row.language))
    gone = [name for name in rows if name not in found]
    if gone:
        raise InputError(
            f"{table} names {gone[0]}; {folder} holds no such clip with its sound; remove the row, or add the files"
        )
    if not found:
        raise InputError(
            f"found {len(motions)} {suffix} files in {folder}, none with a recording beside it; expected NAME{suffix} "
            "and NAME.wav"
        )
    return with_splits(sorted(found.values(), key=lambda take: take.name)), {"without sound": silent} if silent else {}


def with_splits(takes: list[Found]) -> list[Found]:
    """Return the takes with a split each: the table's, else of ten of a person one for validation and one for the test.

    Which ones is decided by their names alone. A person with fewer than three takes is trained on.
    """
    split = {take.name: take.row.split for take in takes}
    for identity in {take.row.identity for take in takes}:
        free = [take.name for take in takes if take.row.identity == identity and not take.row.split]
        free.sort(key=lambda name: hashlib.sha256(name.encode()).digest())
        held = max(1, len(free) // HELD_OUT) if len(free) >= 3 else 0
        for place, name in enumerate(free):
            split[name] = "validation" if place < held else "test" if place < 2 * held else "train"
    return [
        Found(take.name, take.motion, take.sound, Row(take.row.identity, split[take.name], take.row.text, take.row.language))
        for take in takes
    ]


def read_table(path: Path) -> dict[str, Row]:
    """Return clip name -> row of a CSV with the columns name and identity, and as wanted split, text, language.

    Raises:
        InputError: the file is missing, lacks a column, has one that is unknown, a torn line, or a clip twice.
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
            raise InputError(f"{path} line {number} has {len(cells)} fields; expected {len(header)}; mend the line")
        entry = {key: cell.strip() for key, cell in zip(header, cells, strict=True) if cell.strip()}
        name = entry.pop("name", "")
        if not name or "identity" not in entry:
            raise InputError(f"{path} line {number} names no clip or nobody; expected a name and an identity")
        if name in rows:
            raise InputError(f"{path} line {number} names {name} again; expected each clip once")
        if entry.get("split", SPLITS[0]) not in SPLITS:
            raise InputError(f"{path} line {number} has the split '{entry['split']}'; expected one of {', '.join(SPLITS)}")
        rows[name] = Row(**entry)
    return rows


def identities_of(takes: Iterable[Found]) -> tuple[str, ...]:
    """Return the identities, those that are trained on first, each part by name."""
    everyone = {take.row.identity for take in takes}
    trained = {take.row.identity for take in takes if take.row.split == "train"}
    return (*sorted(trained), *sorted(everyone - trained))


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
