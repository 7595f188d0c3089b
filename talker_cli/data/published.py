"""What VOCASET and BIWI have in common: official splits, templates in a pickle, and the layout most repositories convert to."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.data.frames import FrameFile
from talker_cli.data.sequences import CaptureSequence
from talker_cli.data.unpickle import load_pickle
from talker_cli.errors import InputError
from talker_cli.formats.audio import load_intact_speech
from talker_cli.formats.mesh import Mesh

SplitOf = Callable[[str, str], str | None]  # (subject, sentence) -> split, or None for what the official splits leave out


def first_file(folder: Path, names: Iterable[str], what: str, given: Path | None = None) -> Path:
    """Return `given`, or the first of `names` that is in the folder.

    Raises:
        InputError: none is.
    """
    tried = [given] if given is not None else [folder / name for name in names]
    path = next((path for path in tried if path.is_file()), None)
    if path is None:
        raise InputError(f"found no {what} in {folder}; expected {' or '.join(path.name for path in tried)}; check the folder")
    return path


def read_templates(path: Path, mesh: Mesh, subjects: Iterable[str], scale: float = 1.0) -> dict[str, np.ndarray]:
    """Return the neutral face (V, 3) float32, metres, of each subject from `templates.pkl`.

    Raises:
        InputError: the file is no dictionary of meshes, or a subject's is missing, broken or of another mesh.
    """
    content = load_pickle(path)
    if not isinstance(content, dict):
        raise InputError(
            f"{path} holds a {type(content).__name__}; expected a template for each subject; get the original file"
        )
    check_subjects(path, subjects, content)
    return {name: checked_template(f"{path}: {name}", content[name], mesh, scale) for name in subjects}


def checked_template(what: str, template: Any, mesh: Mesh, scale: float = 1.0) -> np.ndarray:
    """Return a template as (V, 3) float32, metres.

    Raises:
        InputError: it is broken, or of another mesh.
    """
    array = np.asarray(template)
    if array.dtype.kind != "f" or array.shape != mesh.vertices.shape:
        raise InputError(f"{what} is {array.dtype} of the shape {array.shape}; expected the mesh's {mesh.vertices.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"{what} holds NaN or infinity; expected a finite template; get the original file")
    return (array.astype(np.float64) * scale).astype(np.float32)


def check_subjects(where: Path, expected: Iterable[str], present: Iterable[str]) -> None:
    """Refuse data that lacks a subject of the official splits.

    Raises:
        InputError: one is missing.
    """
    names, there = list(expected), set(present)
    missing = [name for name in names if name not in there]
    if missing:
        raise InputError(
            f"{where} lacks {len(missing)} of {len(names)} subjects ({', '.join(missing)}); expected all of the official "
            "splits; get the rest, or prepare these with: talker preprocess vertices"
        )


def converted_sequences(
    folder: Path, mesh: Mesh, subjects: tuple[str, ...], split_of: SplitOf, scale: float = 1.0
) -> tuple[list[CaptureSequence], dict[str, Any]]:
    """Return the sequences of `vertices_npy/SUBJECT_SENTENCE.npy` and `wav/SUBJECT_SENTENCE.wav`, and notes on files left out.

    Raises:
        InputError: a subject is missing, or a file is broken.
    """
    motions = {path.stem: path for path in sorted((folder / "vertices_npy").glob("*.npy"))}
    sounds = {path.stem: path for path in sorted((folder / "wav").glob("*.wav"))}
    sequences, outside = [], 0
    for name, path in motions.items():
        subject, _, sentence = name.rpartition("_")
        split = split_of(subject, sentence)
        if split is None:
            outside += 1
        elif name in sounds:
            frames = FrameFile(path, len(mesh.vertices), scale)
            speech = partial(load_intact_speech, sounds[name])
            sequences.append(
                CaptureSequence(name, subject, split, frames.frames, speech, frames, (path, sounds[name]), language="en")
            )
    check_subjects(folder / "vertices_npy", subjects, (sequence.identity for sequence in sequences))
    return sequences, left_out(set(motions), set(sounds), outside)


def left_out(motions: set[str], sounds: set[str], outside: int) -> dict[str, Any]:
    """Return notes on sequences without sound, without motion, and outside the official splits."""
    notes: dict[str, Any] = {}
    if motions - sounds:
        notes["without sound"] = sorted(motions - sounds)
    if sounds - motions:
        notes["without motion"] = sorted(sounds - motions)
    if outside:
        notes["outside the official splits"] = outside
    return notes
