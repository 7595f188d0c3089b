"""Atomic writing, and reading of safetensors files with one metadata key that holds sorted JSON."""

import errno
import functools
import hashlib
import json
import os
import re
import secrets
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from talker_cli.errors import InputError, ModelError, OutputError, TalkerError
from talker_cli.formats.processes import abandoned, hold
from talker_cli.formats.schema import S, parse, reading

METADATA_KEY = "talker"
TEMPORARY = re.compile(r"\.talker-[0-9a-f]{16}(\.[^.]*)?")
JSON_LIMIT = 1 << 28  # bytes; a dataset of a hundred thousand clips has 50 MB
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EROFS, errno.EPERM, errno.EISDIR, errno.ENOTDIR)
# numpy's names of what a safetensors file may hold, and the file's own.
DTYPES = {
    "<f2": "F16", "<f4": "F32", "<f8": "F64", "|i1": "I8", "<i2": "I16", "<i4": "I32", "<i8": "I64", "|u1": "U8", "|b1": "BOOL",
}  # fmt: skip


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary name in `path`'s folder, renamed to `path` when the block ends well and removed when it does not.

    The temporary name keeps the suffix, because encoders choose their format by it.

    Raises:
        OutputError: the folder does not exist or cannot be written, or the disk is full.
    """
    path = Path(path)
    with _temporary(path, folder=False) as temporary:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # some encoders make files for the owner alone
        _fsync(temporary)  # or a power cut after the renaming may leave an empty file where a whole one was
        os.replace(temporary, path)
        with suppress(OSError):  # not every file system can sync a folder
            _fsync(path.parent)


@contextmanager
def atomic_folder(path: Path, replaceable: Callable[[str], bool] | None = None) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, renamed to it when the block ends well and removed when it does not.

    Args:
        path: Place of the folder.
        replaceable: Whether a file of this name is what the new folder replaces, as numbered frames are.

    Raises:
        OutputError: the place cannot be written to, or holds other files.
    """
    path = Path(path)
    check_new_folder(path, replaceable)
    with _temporary(path, folder=True) as temporary:
        yield temporary
        check_new_folder(path, replaceable)
        if path.is_dir() and any(path.iterdir()):
            with _temporary(path, folder=True) as earlier:
                _replace_folder(path, earlier)
                _replace_folder(temporary, path)
        else:
            _replace_folder(temporary, path)


def _replace_folder(source: Path, target: Path) -> None:
    """Rename a folder to a name that is free or an empty folder's."""
    if os.name == "nt" and target.is_dir():  # Windows renames no folder over another
        target.rmdir()
    os.replace(source, target)


@contextmanager
def _temporary(path: Path, *, folder: bool) -> Iterator[Path]:
    """Yield a new temporary file or folder beside `path`, removed in the end if it is still there."""
    _sweep_once(path.parent.absolute())
    # Named before it is there: whenever an interruption comes, it is known what to remove.
    temporary = path.with_name(f".talker-{secrets.token_hex(8)}{'' if folder else path.suffix}")
    lock = -1
    try:
        try:
            lock = _make_locked(temporary, folder)
        except OSError as error:
            raise output_error(path, error) from error
        yield temporary
    except OSError as error:
        if _is_writing(error, (path, path.parent, temporary)):
            raise output_error(path, error) from error
        raise
    finally:
        with suppress(OSError):  # it was renamed, or never made
            _remove(temporary)
        if lock >= 0:
            os.close(lock)


def _make_locked(temporary: Path, folder: bool) -> int:
    """Make a temporary file or folder; return the handle of its lock, which ends with this process at the latest."""
    while True:
        if folder:
            temporary.mkdir()
        else:
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with suppress(FileNotFoundError):  # a sweep came between the making and the lock
            handle = hold(temporary)
            if temporary.exists():
                return handle
            if handle >= 0:
                os.close(handle)


def sweep(folder: Path) -> None:
    """Remove the temporary files and folders that killed processes left in a folder; those of living ones are locked."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if TEMPORARY.fullmatch(entry.name) and not entry.is_symlink():
                with suppress(OSError), abandoned(Path(entry.path)) as free:
                    if free:
                        _remove(Path(entry.path))


_sweep_once = functools.cache(sweep)  # once a process and folder: a folder of many files is not listed for each of them


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


def _fsync(path: Path) -> None:
    """Wait until the disk has what was written to a file, or a folder's names."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)  # Windows syncs no file that is open for reading
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def files_below(folder: Path) -> list[Path]:
    """Return every file in a folder and its subfolders, sorted; hidden ones are other programs', as macOS' `._NAME.wav`.

    Raises:
        InputError: a folder cannot be read; its files would be missing from the result without a word.
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


def check_free_space(path: Path, size: int) -> None:
    """Refuse to begin a file of `size` bytes for which the disk has too little space.

    Raises:
        OutputError: less is free.
    """
    free = shutil.disk_usage(Path(path).parent).free
    if size > free:
        found = f"{size_text(size)} are needed and {size_text(free)} are free"
        raise OutputError(
            f"cannot write {path}: {found}; free some space, or choose a smaller format (csv, npz, glb)", "output"
        )


def size_text(size: float) -> str:
    """Return a number of bytes in words: `12 bytes`, `3.4 MB`."""
    units = iter(("bytes", "kB", "MB", "GB"))
    unit = next(units)
    while size >= 999.95 and unit != "GB":
        size, unit = size / 1000, next(units)
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"


def check_writable(path: Path) -> None:
    """Refuse a place that cannot be written to before any work goes into what should be written there.

    Raises:
        OutputError: the folder does not exist or cannot be written, or `path` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise output_error(path, IsADirectoryError(errno.EISDIR, "Is a directory"))
    _check_parent(path)


def _check_parent(path: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise output_error(path, error) from error
    _sweep_once(path.parent.absolute())


def check_new_folder(folder: Path, replaceable: Callable[[str], bool] | None = None) -> None:
    """Refuse a place for a new folder that holds files already, or that cannot be written to.

    Args:
        folder: Place of the folder.
        replaceable: Whether a file of this name may be replaced with the folder.

    Raises:
        OutputError: it holds other files, is a file, or cannot be made.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"cannot write into {folder}: it is a file; choose a new folder", "output")
    if folder.is_dir():
        sweep(folder)
        others = [path for path in folder.iterdir() if replaceable is None or path.is_dir() or not replaceable(path.name)]
        if others:
            raise OutputError(f"cannot write into {folder}: it is not empty; choose a new folder, or remove this one", "output")
    _check_parent(folder)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error


def output_error(path: Path, error: Exception) -> OutputError:
    """Return the error that says in one line why `path` cannot be written."""
    parent = Path(path).parent
    number = getattr(error, "errno", None)
    if not parent.exists():
        why = f"the folder {parent} does not exist; create it or choose another place"
    elif not parent.is_dir():
        why = f"{parent} is not a folder; choose another place"
    elif number in FULL or _short_write(error):
        why = "the disk is full; free some space or choose another place"
    elif number == errno.EISDIR:
        why = "it is a folder; give a file name"
    else:
        why = f"{getattr(error, 'strerror', None) or error}; choose a writable place"
    return OutputError(f"cannot write {path}: {why}", "output")


def _is_writing(error: Exception, places: Iterable[Path]) -> bool:
    """Say whether an error is about one of the places written to; what a write itself raises names no file."""
    named = [name for name in (getattr(error, "filename", None), getattr(error, "filename2", None)) if name is not None]
    if named:
        return getattr(error, "errno", None) in (*FULL, *FORBIDDEN) and any(Path(os.fsdecode(each)) in places for each in named)
    return getattr(error, "errno", None) in FULL or _short_write(error)


def _short_write(error: Exception) -> bool:
    """Say whether a write ended early: numpy reports a full disk in words, without an error number."""
    return "requested and" in str(error) and "written" in str(error)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as sorted, indented JSON, atomically."""
    write_bytes(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing, larger than 256 MB, or is not JSON.
    """
    path, expected = Path(path), "a JSON file"
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no regular file; expected {expected}; check the path")
    with reading(path, expected):
        if path.stat().st_size > JSON_LIMIT:
            raise InputError(
                f"{path} has {size_text(path.stat().st_size)}; expected {expected} of {size_text(JSON_LIMIT)} at most"
            )
        return json.loads(path.read_bytes())


def write_arrays(path: Path, arrays: dict[str, np.ndarray], metadata: Any) -> None:
    """Write arrays and one JSON-able `metadata` value as safetensors; the same content always gives the same bytes."""
    text = json.dumps(metadata, sort_keys=True)
    # order="C" as a copy only where it is needed; ascontiguousarray would turn scalars into arrays of one element.
    contiguous = {name: np.asarray(array, order="C") for name, array in sorted(arrays.items())}
    # As bytes: writing to a name, safetensors makes a temporary file of its own, which a kill would leave behind.
    write_bytes(path, save(contiguous, metadata={METADATA_KEY: text}))


def stream_arrays(path: Path, arrays: Iterable[tuple[str, np.ndarray]], metadata: Any) -> None:
    """Write arrays as safetensors in the order they come, one in memory at a time; not atomic: give it a temporary name.

    Raises:
        ValueError: two arrays have one name.
    """
    header: dict[str, Any] = {"__metadata__": {METADATA_KEY: json.dumps(metadata, sort_keys=True)}}
    with tempfile.TemporaryFile(dir=Path(path).parent) as spool:  # the header precedes the data, and is known after them
        end = 0
        for name, array in arrays:
            if name in header:
                raise ValueError(f"two arrays with the name {name}")
            start, end = end, end + array.nbytes
            header[name] = {"dtype": DTYPES[array.dtype.str], "shape": list(array.shape), "data_offsets": [start, end]}
            spool.write(np.asarray(array, order="C").data)
        text = json.dumps(header, separators=(",", ":")).encode()
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

    Args:
        path: Place of the file.
        what: Name of its kind, for messages: "rig file".
        error: Kind of the errors.
        remedy: What to do about a file that cannot be used.

    Raises:
        TalkerError: of kind `error`; the file is missing, damaged, or was not written by talker.
    """

    def __init__(
        self, path: Path, what: str, error: type[TalkerError] = ModelError, remedy: str = "download or train it again"
    ) -> None:
        self.path, self.what, self.error, self.remedy = Path(path), what, error, remedy
        if not self.path.is_file():
            raise error(
                f"no {what} at {path}; expected a safetensors file; check the path", "model" if error is ModelError else None
            )
        with reading(path, f"a safetensors file that talker wrote; {remedy}", error):
            self._file = safe_open(str(path), framework="numpy")
            self.metadata: Any = json.loads((self._file.metadata() or {})[METADATA_KEY])
            self.names: dict[str, None] = dict.fromkeys(self._file.keys())  # in order, and quick to look up

    def header(self, schema: type[S], kind: str) -> S:
        """Return the metadata as a checked structure.

        Args:
            schema: Structure of the metadata.
            kind: Value that the metadata has for "kind".

        Raises:
            TalkerError: the file is of another kind, or a field is missing or wrong.
        """
        found = self.metadata.get("kind") if isinstance(self.metadata, dict) else None
        if found != kind:
            raise self.error(
                f"{self.path} is no {self.what} (its kind is {str(found)[:40]!r}); expected {kind!r}; {self.remedy}"
            )
        return parse(schema, self.metadata, str(self.path), self.error)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return one array's shape without reading the array."""
        self._check(name)
        return tuple(self._file.get_slice(name).get_shape())

    def array(self, name: str, dtype: str | None = None, shape: tuple[int | None, ...] | None = None) -> np.ndarray:
        """Read one array.

        Args:
            name: Name of the array.
            dtype: Type that it must have, as safetensors spells it: "F32", "U8", "BOOL"; None for any that numpy has.
            shape: Shape that it must have, None for a length that may be any; None for any shape.

        Raises:
            TalkerError: there is no such array, it has another type or shape, or holds NaN or infinity.
        """
        self._check(name)
        part = self._file.get_slice(name)
        found, size = part.get_dtype(), tuple(part.get_shape())
        fits = shape is None or (len(shape) == len(size) and all(b in (None, a) for a, b in zip(size, shape, strict=True)))
        if found not in DTYPES.values() or (dtype is not None and found != dtype) or not fits:
            wanted = dtype or "a type of numpy's"
            sizes = "" if shape is None else f" ({', '.join('any' if each is None else str(each) for each in shape)})"
            raise self.error(f"{self.path} is damaged ({name} is {found} {size}); expected {wanted}{sizes}; {self.remedy}")
        with reading(self.path, f"a {self.what} that talker wrote; {self.remedy}", self.error):
            array = np.asarray(self._file.get_tensor(name))
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise self.error(f"{self.path} holds NaN or infinity in '{name}'; expected finite numbers; {self.remedy}")
        return array

    def _check(self, name: str) -> None:
        if name not in self.names:
            raise self.error(f"{self.path} lacks the array '{name}'; expected a complete file; {self.remedy}")
