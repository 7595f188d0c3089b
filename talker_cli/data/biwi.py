"""BIWI B3D(AC)^2 (Fanelli et al. 2010): 14 people, 40 emotional sentences each, 23,370 vertices at 25 frames a second.

The layout that most repositories convert to, and the raw one, `faces/SUBJECT/eNN/frame_001.vl`, with the normalisation that
CodeTalker published, of each frame and template by itself: turned by pi about x, its mean taken away, divided by the square
root of its area. So the published unit is each face's own square root of area, 174 to 201 mm. Here every unit is taken for
187.5 mm, the middle: published figures in units follow by division.
"""

import struct
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.data.captures import Captures
from talker_cli.data.published import check_subjects, converted_sequences, first_file, left_out, read_templates
from talker_cli.data.regions import read_regions
from talker_cli.data.sequences import CaptureSequence, Source, official_order
from talker_cli.errors import InputError
from talker_cli.formats.audio import load_intact_speech
from talker_cli.formats.mesh import Mesh, read_mesh

FPS = 25.0
METRES = 0.1875  # of one published unit
LICENCE = "BIWI B3D(AC)^2: research only, no longer given out (ETH Zurich); whatever is learned from it inherits that"
TRAIN = ("F2", "F3", "F4", "M3", "M4", "M5")
UNSEEN = ("F1", "F5", "F6", "F7", "F8", "M1", "M2", "M6")
SUBJECTS = TRAIN + UNSEEN
LAST_OF_TRAIN, LAST_OF_VALIDATION, LAST = 32, 36, 40  # emotional sentences


def split_of(subject: str, sentence: str) -> str | None:
    """Return the official split of a sentence: test-A is `test`, test-B `test_voice`, neutral sentences are in none."""
    digits = sentence.removeprefix("e")
    if sentence[:1] != "e" or not (digits.isascii() and digits.isdigit()) or not 1 <= int(digits) <= LAST:
        return None
    number = int(digits)
    if subject in TRAIN:
        return "train" if number <= LAST_OF_TRAIN else "validation" if number <= LAST_OF_VALIDATION else "test"
    return "test_voice" if subject in UNSEEN and number > LAST_OF_VALIDATION else None


def open_biwi(folder: Path, template: Path | None = None, regions: tuple[Path, ...] = ()) -> Captures:
    """Return BIWI from a folder, in either layout.

    Args:
        template: Mesh, if not BIWI.ply in the folder, or in the raw layout F2's scan.
        regions: Region files, if not regions/lve.txt and regions/fdd.txt in the folder.

    Raises:
        InputError: a file or a subject is missing, or broken.
    """
    raw = (folder / "faces").is_dir() and not (folder / "vertices_npy").is_dir()
    if not raw and not (folder / "vertices_npy").is_dir():
        raise InputError(f"found neither faces nor vertices_npy in {folder}; expected BIWI, as published or converted")
    mesh_names = ("rigid_scans/F2.obj",) if raw else ("BIWI.ply", "templates/BIWI.ply", "BIWI_topology.ply")
    mesh = read_mesh(first_file(folder, mesh_names, "mesh", template))
    unit: dict[str, Any] = {"what": "the square root of each face's area", "metres": METRES}
    if raw:
        templates = {}
        for name in SUBJECTS:
            scan = read_mesh(first_file(folder, (f"rigid_scans/{name}.obj",), "template"))
            if scan.vertices.shape != mesh.vertices.shape:
                raise InputError(
                    f"{name}.obj has {len(scan.vertices)} vertices, {len(mesh.vertices)} expected; get the original"
                )
            normal, root = normalised(scan.vertices, mesh.faces, f"{name}.obj")
            templates[name] = (normal * METRES).astype(np.float32)
            unit.setdefault("as measured in the files", {})[name] = round(root, 4)
        sequences, notes = _raw_sequences(folder, mesh)
    else:
        templates = read_templates(first_file(folder, ("templates.pkl",), "templates"), mesh, SUBJECTS, METRES)
        sequences, notes = converted_sequences(folder, mesh, SUBJECTS, split_of, METRES)
    texts = (folder / "regions" / "lve.txt", folder / "regions" / "fdd.txt")
    files = regions or (texts if all(path.is_file() for path in texts) else ())
    sequences.sort(key=lambda sequence: (SUBJECTS.index(sequence.identity), sequence.name))
    return Captures(
        source=Source("BIWI", LICENCE, FPS, tuple(sequences), official_order(sequences, SUBJECTS), {"unit": unit, **notes}),
        faces=mesh.faces,
        templates=templates,
        regions=read_regions(files, len(mesh.vertices)) if files else {},
        regions_from=", ".join(path.name for path in files),
        about="BIWI subject, captured",
    )


def normalised(vertices: np.ndarray, faces: np.ndarray, what: str) -> tuple[np.ndarray, float]:
    """Return vertices (V, 3) float64 as CodeTalker normalises them, and the square root of their area before.

    Raises:
        InputError: the mesh has no area.
    """
    turned = vertices.astype(np.float64) * (1.0, -1.0, -1.0)
    centred = turned - turned.mean(0)
    a, b, c = (centred[corner] for corner in faces.T)
    area = float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)
    if not np.isfinite(area) or area <= 0:
        raise InputError(f"{what} holds NaN or no surface; expected a face; get the original file")
    return centred / np.sqrt(area), float(np.sqrt(area))


def _raw_sequences(folder: Path, mesh: Mesh) -> tuple[list[CaptureSequence], dict[str, Any]]:
    motions: dict[str, Path] = {}
    for place in sorted((folder / "faces").glob("*/*")):
        if place.is_dir():
            motions[f"{place.parent.name}_{place.name}"] = place
    sounds = {name: path for name in motions if (path := _sound(folder, name)) is not None}
    sequences, outside = [], 0
    for name, place in motions.items():
        subject, _, sentence = name.rpartition("_")
        split = split_of(subject, sentence)
        if split is None:
            outside += 1
        elif name in sounds:
            files = sorted(place.glob("frame_*.vl"))
            if not files:
                raise InputError(f"{place} holds no frame_001.vl; expected the frames of a sentence; get the original folder")
            motion = partial(_read_frames, files, mesh)
            speech = partial(load_intact_speech, sounds[name])
            sequences.append(
                CaptureSequence(name, subject, split, len(files), speech, motion, (*files, sounds[name]), language="en")
            )
    check_subjects(folder / "faces", SUBJECTS, (sequence.identity for sequence in sequences))
    return sequences, left_out(set(motions), set(sounds), outside)


def _sound(folder: Path, name: str) -> Path | None:
    subject, _, sentence = name.rpartition("_")
    for place in ("wav", "audio"):
        for file in (f"{name}.wav", f"{name}_cut.wav", f"{subject}/{sentence}.wav", f"{subject}/{name}.wav"):
            if (folder / place / file).is_file():
                return folder / place / file
    return None


def _read_frames(files: list[Path], mesh: Mesh, rows: np.ndarray) -> np.ndarray:
    """Return (N, V, 3) float32, metres, of `.vl` files: a uint32 number of vertices, then float32 x y z of each."""
    count = len(mesh.vertices)
    frames = np.empty((len(rows), count, 3), np.float32)
    for place, row in enumerate(rows.tolist()):
        data = files[row].read_bytes()
        stated = struct.unpack("<I", data[:4])[0] if len(data) >= 4 else 0
        if stated != count or len(data) != 4 + 12 * count:
            raise InputError(
                f"{files[row]} has {len(data)} bytes and states {stated} vertices; expected {4 + 12 * count} and {count}; "
                "copy it again"
            )
        vertices = np.frombuffer(data, "<f4", 3 * count, 4).reshape(-1, 3)
        frames[place] = normalised(vertices, mesh.faces, str(files[row]))[0] * METRES
    return frames
