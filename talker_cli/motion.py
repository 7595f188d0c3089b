"""Motion files: vertices (T, V, 3) float32 in metres as `.npy`, beside it a `.json` that says where they come from."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.errors import InputError
from talker_cli.files import atomic_path, read_json


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


def write_motion(path: Path, vertices: np.ndarray, coefficients: np.ndarray, about: dict[str, Any]) -> None:
    """Write vertices (T, V, 3), their coefficients (T, K) and their sidecar; all three appear, or none.

    Raises:
        OutputError: the place cannot be written.
    """
    curves = coefficients_path(path)
    content = json.dumps({**about, "coefficients": curves.name}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    with atomic_path(path) as first, atomic_path(curves) as second, atomic_path(sidecar_path(path)) as third:
        for temporary, array in ((first, vertices), (second, coefficients)):
            with temporary.open("wb") as stream:
                np.save(stream, array.astype(np.float32, copy=False))
        third.write_text(content, encoding="utf-8")


def read_motion(path: Path) -> Motion:
    """Read a motion, (T, V, 3) or the (T, V*3) that other systems write, and its sidecar if there is one.

    Raises:
        InputError: the file is missing, not a numeric array, of another shape, empty, or holds NaN or infinity.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no motion at {path}; expected a .npy file; make one with: talker animate speech.wav -o {path}")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} is not a motion ({error}); expected a .npy array (T, V, 3)") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        kind = getattr(array, "dtype", type(array).__name__)
        raise InputError(f"{path} holds {kind}; expected a float array (T, V, 3) in a .npy file")
    if array.ndim == 2 and array.shape[1] % 3 == 0:
        array = array.reshape(len(array), -1, 3)
    if array.ndim != 3 or array.shape[2] != 3:
        raise InputError(f"{path} has the shape {array.shape}; expected (T, V, 3) or (T, V*3)")
    if len(array) == 0 or array.shape[1] == 0:
        raise InputError(f"{path} has no frames or no vertices, shape {array.shape}; animate the recording again")
    for frame, vertices in enumerate(array):
        if not np.isfinite(vertices).all():
            raise InputError(f"{path} holds NaN or infinity, first in frame {frame}; expected finite vertices")
    sidecar = sidecar_path(path)
    return Motion(array, read_json(sidecar) if sidecar.is_file() else {})
