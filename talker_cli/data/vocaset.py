"""VOCASET (Cudeiro et al. 2019): 12 people, 40 sentences each, FLAME meshes in metres at 60 frames a second.

The original download, and the layout that most repositories convert it to. Splits are VOCA's.
"""

import tempfile
import wave
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.data.captures import Captures
from talker_cli.data.frames import FrameFile
from talker_cli.data.published import check_subjects, converted_sequences, first_file, left_out, read_templates
from talker_cli.data.regions import read_regions
from talker_cli.data.sequences import CaptureSequence, Source, official_order
from talker_cli.data.unpickle import load_pickle
from talker_cli.errors import InputError
from talker_cli.formats.audio import load_intact_speech
from talker_cli.formats.mesh import Mesh, read_mesh
from talker_cli.formats.schema import reading

FPS = 60.0
LICENCE = "VOCASET: non-commercial research only (https://voca.is.tue.mpg.de); whatever is learned from it inherits that"
TRAIN = tuple(
    f"FaceTalk_{name}_TA"
    for name in (
        "170728_03272", "170904_00128", "170725_00137", "170915_00223",
        "170811_03274", "170913_03279", "170904_03276", "170912_03278",
    )
)  # fmt: skip
VALIDATION = ("FaceTalk_170811_03275_TA", "FaceTalk_170908_03277_TA")
TEST = ("FaceTalk_170809_00138_TA", "FaceTalk_170731_00024_TA")
SUBJECTS = TRAIN + VALIDATION + TEST
HELD_OUT_FROM = 21  # the sentences of validation and test; the first 20 are those that the training subjects share


def split_of(subject: str, sentence: str) -> str | None:
    """Return the official split of a sentence, `sentence01` … `sentence40`, or None if it is in none."""
    digits = sentence.removeprefix("sentence")
    if not (digits.isascii() and digits.isdigit()) or subject not in SUBJECTS:
        return None
    if subject in TRAIN:
        return "train"
    if int(digits) < HELD_OUT_FROM:
        return None
    return "validation" if subject in VALIDATION else "test"


def open_vocaset(folder: Path, template: Path | None = None, regions: tuple[Path, ...] = ()) -> Captures:
    """Return VOCASET from a folder, in either layout.

    Args:
        template: Mesh, if not FLAME_sample.ply in the folder.
        regions: Region files, if not FLAME_masks.pkl in the folder.

    Raises:
        InputError: a file or a subject is missing, or broken.
    """
    original = (folder / "data_verts.npy").is_file()
    if not original and not (folder / "vertices_npy").is_dir():
        raise InputError(
            f"found neither data_verts.npy nor vertices_npy in {folder}; expected VOCASET, as downloaded or converted"
        )
    mesh = read_mesh(first_file(folder, ("FLAME_sample.ply", "templates/FLAME_sample.ply"), "mesh", template))
    templates = read_templates(first_file(folder, ("templates.pkl",), "templates"), mesh, SUBJECTS)
    masks = folder / "FLAME_masks.pkl"
    files = regions or ((masks,) if masks.is_file() else ())
    sequences, notes = _original_sequences(folder, mesh) if original else converted_sequences(folder, mesh, SUBJECTS, split_of)
    sequences.sort(key=lambda sequence: (SUBJECTS.index(sequence.identity), sequence.name))
    return Captures(
        source=Source("VOCASET", LICENCE, FPS, tuple(sequences), official_order(sequences, SUBJECTS), notes),
        faces=mesh.faces,
        templates=templates,
        regions=read_regions(files, len(mesh.vertices)) if files else {},
        regions_from=", ".join(path.name for path in files),
        about="VOCASET subject, captured",
    )


def _original_sequences(folder: Path, mesh: Mesh) -> tuple[list[CaptureSequence], dict[str, Any]]:
    vertices_path = folder / "data_verts.npy"
    vertices = FrameFile(vertices_path, len(mesh.vertices))
    audio_path = first_file(folder, ("raw_audio_fixed.pkl",), "sound")
    index_path = first_file(folder, ("subj_seq_to_idx.pkl",), "index of frames")
    audio, index = _nested(audio_path), _nested(index_path)
    for path, content in ((audio_path, audio), (index_path, index)):
        check_subjects(path, SUBJECTS, {subject for subject, _ in content})
    sequences, outside = [], 0
    for (subject, sentence), rows in index.items():
        split = split_of(subject, sentence)
        if split is None:
            outside += 1
        elif (subject, sentence) in audio:
            name = f"{subject}_{sentence}"
            order = _rows(f"{index_path}: {name}", rows, vertices.frames)
            speech = partial(_speech, f"{audio_path}: {name}", audio[subject, sentence])
            motion = partial(_motion, vertices, order)
            files = (vertices_path, audio_path, index_path)
            sequences.append(CaptureSequence(name, subject, split, len(order), speech, motion, files, language="en"))
    names = [{f"{subject}_{sentence}" for subject, sentence in content} for content in (index, audio)]
    return sequences, left_out(names[0], names[1], outside)


def _nested(path: Path) -> dict[tuple[str, str], Any]:
    """Return (subject, sentence) -> content of a dictionary of dictionaries."""
    content = load_pickle(path)
    if not isinstance(content, dict) or not all(isinstance(inner, dict) for inner in content.values()):
        raise InputError(f"{path} is no dictionary of subjects and their sentences; expected VOCASET's; get the original file")
    return {(str(subject), str(sentence)): entry for subject, inner in content.items() for sentence, entry in inner.items()}


def _rows(what: str, entry: Any, count: int) -> np.ndarray:
    """Return the rows of a sentence's frames, in the order of the frames: the dictionary itself is not sorted."""
    if not isinstance(entry, dict) or not entry:
        raise InputError(f"{what} has no frames; expected a row of data_verts.npy for each; get the original file")
    try:
        rows = np.array([int(entry[frame]) for frame in sorted(entry, key=int)])
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{what} holds entries that are not numbers of frames and rows; get the original file") from error
    if rows.min() < 0 or rows.max() >= count:
        raise InputError(f"{what} names row {rows.max()}; data_verts.npy has {count}; get both files from the same place")
    return rows


def _motion(vertices: FrameFile, order: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return vertices(order[rows])


def _speech(what: str, entry: Any) -> np.ndarray:
    """Return the speech of `{'sample_rate': 22000, 'audio': (S,) int16}`, decoded as every recording is."""
    with reading(what, "int16 samples and a rate"):
        samples = np.asarray(entry.get("audio")) if isinstance(entry, dict) else np.zeros(0)
    rate = entry.get("sample_rate") if isinstance(entry, dict) else None
    if samples.dtype != np.int16 or samples.ndim != 1 or not isinstance(rate, (int, np.integer)) or not 1000 <= rate <= 768_000:
        raise InputError(f"{what} holds {samples.dtype} of the shape {samples.shape}; expected int16 samples and their rate")
    with tempfile.TemporaryDirectory() as folder:  # Windows opens no file twice that is removed when it is closed
        path = Path(folder) / "speech.wav"
        with wave.open(str(path), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(int(rate))
            sound.writeframes(samples.astype("<i2").tobytes())
        try:
            return load_intact_speech(path)
        except InputError as error:
            raise InputError(str(error).replace(str(path), what)) from error
