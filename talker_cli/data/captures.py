"""Captured meshes as a prepared dataset: a PCA basis of the training split's motion, and the coefficients of all sequences.

Frames are read a block at a time, twice for the basis and once for the coefficients; see data/pca.py.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.data.dataset import SPLITS
from talker_cli.data.lips import DERIVED, derived_regions, find_lip_pairs
from talker_cli.data.pca import Spectrum, find_directions
from talker_cli.data.resume import ResumableParts
from talker_cli.data.sequences import (
    CaptureSequence,
    Lengths,
    OnProgress,
    Source,
    Timeline,
    check_sequences,
    fingerprint,
    store_speech,
    thinned_fps,
    write_sequences,
)
from talker_cli.errors import InputError
from talker_cli.rig import Identity, Rig, RigFile

MOST_COMPONENTS = 256
SPARE = 32  # directions computed beyond those wanted, so that the last of these are accurate too
BLOCK_BYTES = 32 << 20  # of float32 vertices read at a time
MILLIMETRE = 1000.0


@dataclass(frozen=True)
class Choice:
    """Size of the basis.

    Args:
        components: K, or None to choose it by `error`.
        error: Largest root mean square distance of training vertices, metres, over the whole mesh and over the lips.
    """

    components: int | None = None
    error: float = 1e-4


@dataclass(frozen=True)
class Captures:
    """A source whose motion is vertices, (N, V, 3) metres, +y up, +z out of the face.

    Args:
        source: Sequences of vertices.
        faces: (F, 3) int32.
        templates: Neutral face of each identity (V, 3) float32, metres.
        regions: `lips` and `upper_face`, (V,) bool each; empty to derive them.
        regions_from: Files of the regions, for the notes.
        lip_pairs: (P, 2), or None to find them.
        about: Description of the identities, one line.
    """

    source: Source
    faces: np.ndarray
    templates: dict[str, np.ndarray]
    regions: dict[str, np.ndarray] = field(default_factory=dict)
    regions_from: str = ""
    lip_pairs: np.ndarray | None = None
    about: str = ""


def prepare_captures(
    captures: Captures, output: Path, choice: Choice, *, fps: float | None = None, command: str = "", on_progress: OnProgress
) -> dict[str, Any]:
    """Write captured meshes to the folder `output` as a prepared dataset; return its notes. A killed run is resumed.

    Args:
        captures: Sequences with their mesh.
        output: Folder of the dataset.
        choice: Size of the basis.
        fps: Frame rate of the dataset; None keeps every n-th frame so that it is at most 30.
        command: Command line, recorded in the dataset.
        on_progress: Called with the stage, the number done and the total.

    Raises:
        InputError: a sequence cannot be used.
        OutputError: the folder cannot be written.
    """
    source = captures.source
    check_sequences(source)
    timeline = Timeline(source.source_fps, fps or thinned_fps(source.source_fps))
    plan = {
        "source": source.name, "sequences": fingerprint(source), "fps": timeline.fps, "components": choice.components,
        "error": choice.error, "command": command, "mesh": _mesh_hash(captures),
        "regions": {name: np.flatnonzero(mask).tolist() for name, mask in captures.regions.items()},
        "lip_pairs": None if captures.lip_pairs is None else captures.lip_pairs.tolist(),
    }  # fmt: skip
    with ResumableParts(output, plan) as work:
        lengths = store_speech(source, work, timeline, on_progress)
        training = [sequence for sequence in source.sequences if sequence.split == "train"]
        width = 3 * len(captures.templates[training[0].identity])
        rank = (choice.components or MOST_COMPONENTS) + SPARE
        spectrum = find_directions(
            lambda number: (block.reshape(len(block), -1) for block in _offsets(captures, training[number], timeline, lengths)),
            [lengths.frames[sequence.name] for sequence in training], width, rank, work,
            lambda done, total: on_progress("finding the basis", done, total),
        )  # fmt: skip
        rig, notes = _rig(captures, spectrum, choice, timeline.fps)
        _store_coefficients(captures, rig, timeline, lengths, work, on_progress)
        notes["reconstruction_mm"] = _errors(source.sequences, work)
        notes["components"] = len(rig.rig.names)
        return write_sequences(output, source, work, rig, lengths, notes, command)


def _mesh_hash(captures: Captures) -> str:
    """Return a hash of the faces and of all templates: a killed run resumes on the same mesh only."""
    total = hashlib.sha256(np.ascontiguousarray(captures.faces).tobytes())
    for name, template in sorted(captures.templates.items()):
        total.update(f"{name} {template.shape} ".encode() + np.ascontiguousarray(template).tobytes())
    return total.hexdigest()


def _offsets(captures: Captures, sequence: CaptureSequence, timeline: Timeline, lengths: Lengths) -> Iterator[np.ndarray]:
    """Yield the displacements of a sequence from its identity's template, blocks (n, V, 3) float32, metres."""
    template = captures.templates[sequence.identity]
    size = max(1, BLOCK_BYTES // (4 * template.size))
    frames = lengths.frames[sequence.name]
    for first in range(0, frames, size):
        block = timeline.read(sequence, first, min(first + size, frames)).astype(np.float32, copy=False)
        yield block - template


def _rig(captures: Captures, spectrum: Spectrum, choice: Choice, fps: float) -> tuple[RigFile, dict[str, Any]]:
    """Return the rig with a basis of the chosen size, and notes on basis and regions."""
    trained = sorted({sequence.identity for sequence in captures.source.sequences if sequence.split == "train"})
    template = np.stack([captures.templates[name] for name in trained]).mean(0, dtype=np.float64).astype(np.float32)
    rank = len(spectrum.power)
    if not rank:
        raise InputError(f"found no motion in the training clips of {captures.source.name}; expected speaking faces")
    whole = spectrum.basis(rank)
    pairs = captures.lip_pairs
    how = "given"
    if pairs is None:
        pairs = find_lip_pairs(template, captures.faces, whole, captures.regions.get("lips"))
        how = "found from the motion: near at rest, parting vertically, each other's nearest"
    if not len(pairs):
        raise InputError(
            f"found no lips that part in {captures.source.name}; expected a face that speaks, +y up, in metres; name the "
            "vertices that meet in a text file, an upper and a lower a line",
            field="lip_pairs",
        )
    regions = captures.regions or derived_regions(template, captures.faces, pairs)
    for name, mask in regions.items():
        if not mask.any():
            raise InputError(
                f"found no {name} in {captures.source.name}; expected a face, +y up; give its vertices", field="regions"
            )
    residual = np.maximum(spectrum.rms(), spectrum.rms(regions["lips"]))
    notes: dict[str, Any] = {
        "regions": captures.regions_from or DERIVED,
        "lip_pairs": f"{len(pairs)}, {how}",
    }
    if choice.components is not None:
        count = min(choice.components, rank)
        if count < choice.components:
            notes["fewer components"] = f"asked for {choice.components}, the training clips move in {rank} directions"
    else:
        reached = np.flatnonzero(residual <= choice.error)
        count = int(reached[0]) if len(reached) else min(rank, MOST_COMPONENTS)
        count = max(1, min(count, MOST_COMPONENTS))
        if residual[count] > choice.error:
            notes["error not reached"] = (
                f"asked for {choice.error * MILLIMETRE:g} mm, {count} components leave {residual[count] * MILLIMETRE:.4f} mm"
            )
    rig = Rig(
        template=template,
        faces=captures.faces.astype(np.int32),
        basis=whole[:count].copy(),
        names=tuple(f"pca_{number:03}" for number in range(count)),
        regions=regions,
        lip_pairs=pairs.astype(np.int32),
        fps=fps,
    )
    identities = {name: Identity(name, captures.templates[name], None, captures.about) for name in captures.source.identities}
    return RigFile(rig, identities), notes


def _store_coefficients(
    captures: Captures, rigs: RigFile, timeline: Timeline, lengths: Lengths, work: ResumableParts, on_progress: OnProgress
) -> None:
    """Project every sequence onto the basis, into `work`, with the residual: sum, largest and number of squared distances."""
    rig, sequences = rigs.rig, captures.source.sequences
    flat = rig.basis.reshape(len(rig.names), -1)
    # The rows are orthogonal: a coefficient is a product with its row over the row's squared length.
    inverse = flat / np.square(flat, dtype=np.float64).sum(1, keepdims=True).astype(np.float32)
    lips = rig.regions["lips"]
    for number, sequence in enumerate(sequences):
        key = f"motion-{number}"
        if key not in work:
            coefficients = []
            residual = {"all": [0.0, 0.0, 0], "lips": [0.0, 0.0, 0]}  # sum, largest and number of squares
            for block in _offsets(captures, sequence, timeline, lengths):
                half = (block.reshape(len(block), -1) @ inverse.T).astype(np.float16)
                if not np.isfinite(half).all():
                    raise InputError(
                        f"{sequence.name} moves far beyond the training clips; expected the same unit and mesh; check it"
                    )
                coefficients.append(half)
                squares = np.square(block - rig.offsets(half.astype(np.float32))).sum(-1)  # (n, V)
                for name, part in (("all", squares), ("lips", squares[:, lips])):
                    total, largest, count = residual[name]
                    residual[name] = [
                        total + float(part.sum(dtype=np.float64)),
                        max(largest, float(part.max())),
                        count + part.size,
                    ]
            work.save(key, {"coefficients": np.concatenate(coefficients)}, residual)
        on_progress("finding coefficients", number + 1, len(sequences))


def _errors(sequences: Sequence[CaptureSequence], work: ResumableParts) -> dict[str, dict[str, float]]:
    """Return each split's reconstruction error, root mean square and largest, over all vertices and over the lips, in mm."""
    errors: dict[str, dict[str, float]] = {}
    for split in SPLITS:
        parts = [work.load(f"motion-{number}").metadata for number, sequence in enumerate(sequences) if sequence.split == split]
        if parts:
            errors[split] = {}
            for name in ("all", "lips"):
                mean = sum(part[name][0] for part in parts) / sum(part[name][2] for part in parts)
                errors[split][name] = round(math.sqrt(mean) * MILLIMETRE, 6)
                errors[split][f"{name}_largest"] = round(math.sqrt(max(part[name][1] for part in parts)) * MILLIMETRE, 6)
    return errors
