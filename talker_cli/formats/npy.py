"""Arrays in numpy's own files: `.npy` memory-mapped, the one array of an `.npz` that fits, and those of given names."""

import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.errors import InputError
from talker_cli.formats.files import size_text
from talker_cli.formats.schema import reading

BOMB_BYTES, BOMB_RATIO = 1 << 30, 100  # what an archive may hold: a gigabyte, or a hundred times its own size
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npy(path: Path, expected: str) -> np.ndarray:
    """Map the array of an .npy file into memory; nothing is unpickled.

    Args:
        path: Place of the file.
        expected: What the file should hold, for the message.

    Raises:
        InputError: the file is missing, cut off, an archive, or holds Python objects.
    """
    _check_regular(path, expected)
    with reading(path, expected), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy, about headers that overflow or come from Python 2
        return np.lib.format.open_memmap(path, mode="r")


def read_npz(path: Path, expected: str, fits: Callable[[tuple[int, ...], np.dtype[Any]], bool]) -> np.ndarray:
    """Read the only array of an archive that fits; the others stay packed.

    Args:
        path: Place of the archive.
        expected: What it should hold, for the message.
        fits: Whether an array of this shape and type is the one.

    Raises:
        InputError: the archive is damaged, unpacks to far more than its size, or holds no fitting array, or several.
    """
    _check_regular(path, expected)
    with reading(path, expected), warnings.catch_warnings(), zipfile.ZipFile(path) as archive:
        warnings.simplefilter("ignore")
        sizes = {info: _header(archive, info) for info in archive.infolist() if info.filename.endswith(".npy")}
        fitting = [info for info, (shape, dtype) in sizes.items() if fits(shape, dtype)]
        if len(fitting) != 1:
            found = ", ".join(f"{info.filename[:-4]} {shape}" for info, (shape, _) in sizes.items()) or "nothing"
            raise InputError(f"{path} holds {found[:200]}; expected only {expected}; save that one as a .npy")
        return _unpacked(path, archive, fitting[0], expected)


def read_arrays(path: Path, expected: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read arrays of an archive by their names; the others stay packed.

    Args:
        path: Place of the archive.
        expected: What it should be, for the message.
        names: The arrays.

    Raises:
        InputError: the archive is damaged, lacks one of the arrays, or unpacks to far more than its size.
    """
    _check_regular(path, expected)
    with reading(path, expected), warnings.catch_warnings(), zipfile.ZipFile(path) as archive:
        warnings.simplefilter("ignore")
        entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        missing = [name for name in names if name not in entries]
        if missing:
            raise InputError(f"{path} lacks {', '.join(missing)}; expected {expected}")
        return {name: _unpacked(path, archive, entries[name], expected) for name in names}


def _unpacked(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, expected: str) -> np.ndarray:
    if info.file_size > max(BOMB_BYTES, BOMB_RATIO * info.compress_size):
        size = size_text(info.file_size)
        raise InputError(f"{path} unpacks to {size}, over {BOMB_RATIO} times its size; expected {expected}; save it as .npy")
    shape, dtype = _header(archive, info)
    if info.file_size < dtype.itemsize * int(np.prod(shape, dtype=object)):  # before memory is taken for it
        raise InputError(f"{path} is damaged (its array is cut off); expected {expected}")
    with archive.open(info) as stream:
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with archive.open(info) as stream:
        shape, _, dtype = HEADERS[np.lib.format.read_magic(stream)](stream)
    return shape, dtype


def _check_regular(path: Path, expected: str) -> None:
    if not path.is_file():
        raise InputError(f"no file {path}; expected {expected}; check the path")
