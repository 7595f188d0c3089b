"""Motion files: vertices (T, V, 3) float32 in metres as `.npy`, beside them coefficients and a `.json` with their origin.

The sidecar holds the SHA-256 of the other two and is written last. Motions of other systems are read too: (T, V*3), float64,
other units, in an .npz, without the .json.
"""

import hashlib
import json
import mmap
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from pydantic import Field

from talker_cli.errors import InputError
from talker_cli.formats.files import atomic_path, check_free_space, check_writable, file_hash, read_json
from talker_cli.formats.npy import read_npy, read_npz
from talker_cli.formats.processes import folder_lock
from talker_cli.formats.schema import FrameRate, PathText, Schema, parse

RELEASE_EVERY = 256  # frames between two calls of `release`
VERTICES = "a motion, an array of floats (T, V, 3)"


class FileReference(Schema):
    """A file that a sidecar names: its path, from the sidecar's folder if it is relative, and its SHA-256."""

    path: PathText
    sha256: str | None = None


class FaceReference(Schema):
    """The face of a motion: that of a model's identity, or an identity file's."""

    identity: str | None = None
    path: PathText | None = None
    sha256: str | None = None


class Hashes(Schema):
    """The SHA-256 of the two files that belong to a sidecar."""

    vertices: str
    coefficients: str


class Sidecar(Schema):
    """What a sidecar may say; what somebody else's `.json` says besides is kept as it is."""

    fps: FrameRate | None = None
    identity: str | None = None
    face: FaceReference | None = None
    rig: FileReference | None = None
    head: bool = False  # the coefficients end with the head's rotation, whether or not the rig file has it
    audio: FileReference | None = None
    model: FileReference | None = None
    coefficients: PathText | None = None
    files: Hashes | None = None
    sampler: str = ""
    seed: int = Field(0, ge=0, lt=2**63)


@dataclass(frozen=True)
class Motion:
    """A timed sequence of vertices.

    Args:
        vertices: (T, V, 3) float32, metres; memory-mapped when read from a file.
        about: Content of the sidecar: fps, identity, rig, coefficients, audio, model, steps, seed.
    """

    vertices: np.ndarray
    about: dict[str, Any] = field(default_factory=dict)


def sidecar_path(path: Path) -> Path:
    """Return the place of a motion's JSON sidecar: `out.npy` -> `out.json`."""
    return Path(path).with_suffix(".json")


def coefficients_path(path: Path) -> Path:
    """Return the place of a motion's coefficients: `out.npy` -> `out.coefficients.npy`."""
    return Path(path).with_suffix(".coefficients.npy")


def motion_files(path: Path) -> list[Path]:
    """Return the three files of a motion: vertices, coefficients, sidecar."""
    return [Path(path), coefficients_path(path), sidecar_path(path)]


def check_motion_files(path: Path) -> None:
    """Refuse a motion of which one of the three files cannot be written, before any work.

    Raises:
        OutputError: a folder is in the place of one, or the place cannot be written.
    """
    for place in motion_files(path):
        check_writable(place)


def write_motion(path: Path, vertices: Iterable[np.ndarray], coefficients: np.ndarray, about: dict[str, Any]) -> None:
    """Write vertices, their coefficients (T, K) and their sidecar, which ties the three together and appears last.

    Args:
        path: Place of the vertices.
        vertices: T frames (V, 3), metres, written one by one, so that they need not all be in memory.
        coefficients: (T, K) float32.
        about: Content of the sidecar.

    Raises:
        OutputError: the place cannot be written.
    """
    check_motion_files(path)
    _, beside, sidecar = motion_files(path)
    with (
        ExitStack() as order,
        atomic_path(sidecar) as third,
        atomic_path(beside) as second,
        atomic_path(path) as first,  # the last to be entered is the first to appear
    ):
        with first.open("wb") as file:
            stream = _HashedWriter(file)
            for index, frame in enumerate(vertices):
                if index == 0:
                    check_free_space(path, len(coefficients) * frame.size * 4)
                    header = {"descr": "<f4", "fortran_order": False, "shape": (len(coefficients), *frame.shape)}
                    np.lib.format.write_array_header_1_0(stream, header)
                stream.write(frame.astype("<f4", copy=False).tobytes())
        np.save(second, coefficients.astype(np.float32, copy=False))
        hashes = {"vertices": stream.digest.hexdigest(), "coefficients": file_hash(second)}
        content = {**about, "coefficients": beside.name, "files": hashes}
        third.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        # Of two runs with one output, all three files are the last one's.
        order.enter_context(folder_lock(Path(path).parent))


class _HashedWriter:
    """A binary stream that is hashed while it is written, so that a long motion is not read again."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.digest = stream, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._stream.write(data)


def read_motion(path: Path) -> Motion:
    """Read a motion, (T, V, 3) or the (T, V*3) that other systems write, and its sidecar if there is one.

    Raises:
        InputError: the file is missing, not a numeric array, of another shape, empty, or holds NaN or infinity; or the sidecar
            is damaged, or of another motion.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no motion at {path}; expected a .npy file; make one with: talker animate speech.wav -o {path}")
    with path.open("rb") as stream:
        archive = stream.read(2) == b"PK"
    array = read_npz(path, VERTICES, lambda shape, dtype: len(shape) in (2, 3) and dtype.kind == "f") if archive else (
        read_npy(path, VERTICES)
    )  # fmt: skip
    if array.dtype.kind != "f":
        raise InputError(f"{path} holds {array.dtype}; expected a float array (T, V, 3) in a .npy file")
    if array.ndim == 2 and array.shape[1] % 3 == 0 and array.size:
        array = array.reshape(len(array), -1, 3)
    if not array.size:
        raise InputError(f"{path} has no frames or no vertices, shape {array.shape}; animate the recording again")
    if array.ndim != 3 or array.shape[2] != 3:
        raise InputError(f"{path} has the shape {array.shape}; expected (T, V, 3) or (T, V*3)")
    for frame, vertices in enumerate(array):
        with np.errstate(over="ignore"):  # float64 beyond float32 is infinite there
            finite = np.isfinite(vertices.astype(np.float32, copy=False)).all()
        if not finite:
            raise InputError(f"{path} holds NaN or infinity, first in frame {frame}; expected finite vertices")
        if frame % RELEASE_EVERY == 0:
            release(array)
    about = read_sidecar(path)
    if "files" in about:
        _check_hash(path, about["files"]["vertices"], path)
    return Motion(array, about)


def read_sidecar(path: Path) -> dict[str, Any]:
    """Return the content of the sidecar of the motion at `path`, empty without one; its known fields are of the right types.

    Raises:
        InputError: it is not JSON, or a field is wrong.
    """
    sidecar = sidecar_path(path)
    if not sidecar.is_file():
        return {}
    content: dict[str, Any] = read_json(sidecar)
    parse(Sidecar, content, str(sidecar))
    return {key: value for key, value in content.items() if value is not None}


def read_coefficients(path: Path, motion: Motion, count: int) -> np.ndarray:
    """Return the (T, K) coefficients that belong to the motion at `path`, memory-mapped.

    Args:
        path: Place of the vertices.
        motion: The motion.
        count: K, the number of the rig's coefficients.

    Raises:
        InputError: the sidecar names none, or they are missing, of another motion or shape, or not finite.
    """
    name, expected = motion.about.get("coefficients"), (len(motion.vertices), count)
    if name is None:
        raise InputError(f"{path} says nothing of coefficients in its .json; expected a motion that talker animate wrote")
    place = path.parent / name
    array = read_npy(place, f"the coefficients of {path}")
    if "files" in motion.about:
        _check_hash(place, motion.about["files"]["coefficients"], path)
    if array.shape != expected or array.dtype.kind != "f" or not np.isfinite(array).all():
        raise InputError(f"{place} holds {array.dtype} {array.shape}; expected finite floats {expected}; animate again")
    return array


def _check_hash(place: Path, expected: str, path: Path) -> None:
    if file_hash(place) != expected:
        sidecar = sidecar_path(path)
        raise InputError(f"{place} does not belong to {sidecar} (its SHA-256 differs): a run was cut off; animate again")


def release(array: np.ndarray) -> None:
    """Drop the pages of a memory-mapped array from this process' memory, so that an hour costs no more than a second."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):  # Windows drops pages by itself
        base.madvise(mmap.MADV_DONTNEED)
