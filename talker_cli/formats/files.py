"""Atomic writing, and reading of safetensors files with one metadata key that holds sorted JSON."""

import errno
import hashlib
import json
import os
import secrets
import shutil
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from talker_cli.errors import InputError, ModelError, OutputError

METADATA_KEY = "talker"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# numpy's names of what a safetensors file may hold, and the file's own.
DTYPES = {
    "<f2": "F16", "<f4": "F32", "<f8": "F64", "|i1": "I8", "<i2": "I16", "<i4": "I32", "<i8": "I64", "|u1": "U8", "|b1": "BOOL",
}  # fmt: skip
FORBIDDEN = (errno.EACCES, errno.EROFS, errno.EPERM, errno.EISDIR, errno.ENOTDIR)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary name in `path`'s folder, renamed to `path` when the block ends well and removed when it does not.

    The temporary name keeps the suffix, because encoders choose their format by it.

    Raises:
        OutputError: the folder does not exist or cannot be written, or the disk is full.
    """
    path = Path(path)
    # Named before it is there: whenever an interruption comes, it is known what to remove.
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:
        try:
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError as error:
            raise OutputError(output_problem(path, error)) from error
        yield temporary
        # Some encoders make files for the owner alone; the result follows the user's umask like any other.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        _fsync(temporary)  # or a power cut after the renaming may leave an empty file where a whole one was
        os.replace(temporary, path)
        with suppress(OSError):  # not every file system can settle a folder
            _fsync(path.parent)
    except (OSError, SafetensorError) as error:
        if _is_writing(error):
            raise OutputError(output_problem(path, error)) from error
        raise
    finally:
        with suppress(OSError):  # it was renamed, or never made
            temporary.unlink()


def _fsync(path: Path) -> None:
    """Wait until the disk has what was written to a file, or a folder's names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def files_below(folder: Path) -> list[Path]:
    """Return every file in a folder and its subfolders, sorted; hidden ones are other programs', as macOS' `._NAME.wav`.

    Raises:
        InputError: a folder cannot be read; what is in it would be missing from the result without a word.
    """

    def refuse(error: OSError) -> None:
        raise InputError(
            f"cannot read the folder {error.filename} ({error.strerror}); expected one whose files may be listed; change its "
            "permissions, or move it away"
        ) from error

    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if name[0] != "."]
        found += [path for name in names if name[0] != "." and (path := Path(place) / name).is_file()]
    return sorted(found)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Wait until no other process is in this block for the same folder: files that belong together are renamed together."""
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # and the lock with it


def check_free_space(path: Path, size: int) -> None:
    """Refuse to begin a file of `size` bytes that the disk has no room for.

    Raises:
        OutputError: less is free.
    """
    free = shutil.disk_usage(Path(path).parent).free
    if size > free:
        found = f"{size / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free"
        raise OutputError(f"cannot write {path}: {found}; free some space, or choose a smaller format with -o (csv, npz, glb)")


def check_writable(path: Path) -> None:
    """Refuse a place that cannot be written to before any work goes into what should be written there.

    Raises:
        OutputError: the folder does not exist or cannot be written, or `path` is a folder.
    """
    if Path(path).is_dir():
        raise OutputError(f"cannot write {path}: it is a folder; give a file name with -o")
    try:
        with tempfile.TemporaryFile(dir=Path(path).parent):
            pass
    except OSError as error:
        raise OutputError(output_problem(path, error)) from error


def output_problem(path: Path, error: Exception) -> str:
    """Say in one line why `path` cannot be written."""
    parent = Path(path).parent
    number = getattr(error, "errno", None)
    if not parent.exists():
        return f"cannot write {path}: the folder {parent} does not exist; create it or choose another -o"
    if not parent.is_dir():
        return f"cannot write {path}: {parent} is not a folder; choose another -o"
    if number in FULL or _short_write(error):
        return f"cannot write {path}: the disk is full; free some space or choose another -o"
    if number == errno.EISDIR:
        return f"cannot write {path}: it is a folder; give a file name with -o"
    return f"cannot write {path}: {getattr(error, 'strerror', None) or error}; choose a writable place with -o"


def _is_writing(error: Exception) -> bool:
    """Say whether an error is the place's fault, and not that of the code which writes."""
    return getattr(error, "errno", None) in (*FULL, *FORBIDDEN) or _short_write(error)


def _short_write(error: Exception) -> bool:
    """Say whether a write ended early: numpy and safetensors report a full disk in words, without an error number."""
    text = str(error)
    return ("requested and" in text and "written" in text) or "No space left" in text or "File too large" in text


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def json_text(value: Any, **options: Any) -> str:
    """Return JSON with every letter as it is; but where a name is no UTF-8, as file names may be, all of it in ASCII.

    Args:
        value: JSON-able.
        options: `json.dumps`'s.
    """
    text = json.dumps(value, ensure_ascii=False, **options)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, **options)
    return text


def write_json(path: Path, value: Any) -> None:
    """Write `value` as sorted, indented JSON, atomically."""
    write_bytes(path, (json_text(value, indent=2, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not readable JSON ({error}); expected a file that talker wrote") from error


def write_arrays(path: Path, arrays: dict[str, np.ndarray], metadata: Any) -> None:
    """Write arrays and one JSON-able `metadata` value as safetensors; the same content always gives the same bytes."""
    text = json_text(metadata, sort_keys=True)
    with atomic_path(path) as temporary:
        # order="C" as a copy only where it is needed; ascontiguousarray would turn scalars into arrays of one element.
        contiguous = {name: np.asarray(array, order="C") for name, array in sorted(arrays.items())}
        try:
            save_file(contiguous, temporary, metadata={METADATA_KEY: text})
        except SafetensorError as error:  # its own kind for what the disk refuses
            raise OutputError(output_problem(path, error)) from error


def stream_arrays(path: Path, arrays: Iterable[tuple[str, np.ndarray]], metadata: Any) -> None:
    """Write arrays as safetensors in the order they come, one in memory at a time; not atomic: give it a temporary name.

    Raises:
        ValueError: two arrays have one name.
    """
    header: dict[str, Any] = {"__metadata__": {METADATA_KEY: json_text(metadata, sort_keys=True)}}
    with tempfile.TemporaryFile(dir=Path(path).parent) as spool:  # the header precedes the data, and is known after them
        end = 0
        for name, array in arrays:
            if name in header:
                raise ValueError(f"two arrays with the name {name}")
            start, end = end, end + array.nbytes
            header[name] = {"dtype": DTYPES[array.dtype.str], "shape": list(array.shape), "data_offsets": [start, end]}
            spool.write(np.asarray(array, order="C").data)
        text = json_text(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        spool.seek(0)
        with Path(path).open("wb") as stream:
            stream.write(struct.pack("<Q", len(text)) + text)
            shutil.copyfileobj(spool, stream, 1 << 20)


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class ArrayFile:
    """A safetensors file read lazily: `metadata` at once, each array when it is asked for.

    Raises:
        ModelError: the file is missing, damaged, or was not written by talker.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise ModelError(f"no {what} at {path}; expected a safetensors file; check the path or --model")
        try:
            self._file = safe_open(str(path), framework="numpy")
            header = self._file.metadata() or {}
            self.metadata: Any = json.loads(header[METADATA_KEY])
            self.names: dict[str, None] = dict.fromkeys(self._file.keys())  # in order, and quick to look up
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise ModelError(
                f"{path} is not a {what} of talker ({type(error).__name__}: {str(error)[:80]}); "
                "expected a safetensors file that talker wrote; download or train it again"
            ) from error

    def shape(self, name: str) -> tuple[int, ...]:
        """Return one array's shape without reading the array."""
        self._check(name)
        return tuple(self._file.get_slice(name).get_shape())

    def array(self, name: str) -> np.ndarray:
        """Read one array."""
        self._check(name)
        return np.asarray(self._file.get_tensor(name))

    def _check(self, name: str) -> None:
        if name not in self.names:
            raise ModelError(f"{self.path} lacks the array '{name}'; expected a complete file; download or train it again")
