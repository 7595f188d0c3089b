"""Motion files: vertices (T, V, 3) float32 in metres as `.npy`, beside it a `.json` that says where they come from.

Motions of other systems are read too: (T, V*3), float64, other units, in an .npz, without the .json.
"""

import json
import mmap
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from talker_cli.errors import InputError
from talker_cli.formats.files import atomic_path, check_free_space, folder_lock, read_json

RELEASE_EVERY = 256  # frames between two calls of `release`


@dataclass(frozen=True)
class Motion:
    """A timed sequence of vertices.

    Args:
        vertices: (T, V, 3) float32, metres; memory-mapped when read from a file.
        about: what the sidecar says: fps, identity, rig, coefficients, audio, model, steps, seed.
    """

    vertices: np.ndarray
    about: dict[str, Any] = field(default_factory=dict)


def sidecar_path(path: Path) -> Path:
    """Return the place of a motion's JSON sidecar: `out.npy` -> `out.json`."""
    return Path(path).with_suffix(".json")


def coefficients_path(path: Path) -> Path:
    """Return the place of a motion's coefficients: `out.npy` -> `out.coefficients.npy`."""
    return Path(path).with_suffix(".coefficients.npy")


def write_motion(path: Path, vertices: Iterable[np.ndarray], coefficients: np.ndarray, about: dict[str, Any]) -> None:
    """Write vertices, their coefficients (T, K) and their sidecar; all three appear, or none.

    Args:
        vertices: T frames (V, 3), metres, written one by one, so that they need not all be in memory.

    Raises:
        OutputError: the place cannot be written.
    """
    curves = coefficients_path(path)
    content = json.dumps({**about, "coefficients": curves.name}, indent=2, sort_keys=True) + "\n"
    with (
        ExitStack() as order,
        atomic_path(path) as first,
        atomic_path(curves) as second,
        atomic_path(sidecar_path(path)) as third,
    ):
        with first.open("wb") as stream:
            for index, frame in enumerate(vertices):
                if index == 0:
                    check_free_space(path, len(coefficients) * frame.size * 4)
                    header = {"descr": "<f4", "fortran_order": False, "shape": (len(coefficients), *frame.shape)}
                    np.lib.format.write_array_header_1_0(stream, header)
                stream.write(frame.astype("<f4", copy=False).tobytes())
        with second.open("wb") as stream:
            np.save(stream, coefficients.astype(np.float32, copy=False))
        third.write_text(content, encoding="utf-8")
        # Of two runs with one output, all three files are the last one's.
        order.enter_context(folder_lock(Path(path).parent))


def read_motion(path: Path) -> Motion:
    """Read a motion, (T, V, 3) or the (T, V*3) that other systems write, and its sidecar if there is one.

    Raises:
        InputError: the file is missing, not a numeric array, of another shape, empty, or holds NaN or infinity.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no motion at {path}; expected a .npy file; make one with: talker animate speech.wav -o {path}")
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        array = _only_array(path, loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else loaded
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, TokenError) as error:
        raise InputError(f"{path} is not a motion ({error}); expected a .npy array (T, V, 3)") from error
    if array.dtype.kind != "f":
        raise InputError(f"{path} holds {array.dtype}; expected a float array (T, V, 3) in a .npy file")
    if array.ndim == 2 and array.shape[1] % 3 == 0 and array.size:
        array = array.reshape(len(array), -1, 3)
    if not array.size:
        raise InputError(f"{path} has no frames or no vertices, shape {array.shape}; animate the recording again")
    if array.ndim != 3 or array.shape[2] != 3:
        raise InputError(f"{path} has the shape {array.shape}; expected (T, V, 3) or (T, V*3)")
    for frame, vertices in enumerate(array):
        if not np.isfinite(vertices).all():
            raise InputError(f"{path} holds NaN or infinity, first in frame {frame}; expected finite vertices")
        if frame % RELEASE_EVERY == 0:
            release(array)
    sidecar = sidecar_path(path)
    about = read_json(sidecar) if sidecar.is_file() else {}
    if not isinstance(about, dict):
        raise InputError(f"{sidecar} holds a {type(about).__name__}; expected an object that says what {path} is; remove it")
    return Motion(array, about)


def release(array: np.ndarray) -> None:
    """Drop the pages of a memory-mapped array from this process' memory, so that an hour costs no more than a second."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)


def _only_array(path: Path, archive: np.lib.npyio.NpzFile) -> np.ndarray:
    """Return the one array of an .npz that can be a motion."""
    with archive:
        arrays = {name: archive[name] for name in archive.files}
    fitting = [name for name, array in arrays.items() if array.ndim in (2, 3) and array.dtype.kind == "f"]
    if len(fitting) != 1:
        found = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "nothing"
        raise InputError(f"{path} holds {found[:200]}; expected one float array (T, V, 3); save that one as a .npy")
    return arrays[fitting[0]]
