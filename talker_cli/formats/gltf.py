"""glTF 2.0 in one binary file (.glb): a writer of arrays and their JSON, and a reader of any such file's arrays."""

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.errors import InputError
from talker_cli.formats.files import json_text

MAGIC = b"glTF"
JSON_CHUNK, BINARY_CHUNK = b"JSON", b"BIN\0"
HEADER = struct.Struct("<4sII")  # magic, version, length of the whole file
CHUNK = struct.Struct("<I4s")  # length of what follows, kind

COMPONENTS = {5120: np.int8, 5121: np.uint8, 5122: np.int16, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
LARGEST = {5120: 127, 5121: 255, 5122: 32767, 5123: 65535}  # stands for 1 where integers stand for fractions
CODES = {np.dtype(kind): code for code, kind in COMPONENTS.items()}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
SHAPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
VERTICES, INDICES = 34962, 34963  # what a buffer view is for: OpenGL's numbers


class GlbWriter:
    """A GLB in the making: `tree` is its JSON, to be filled by the caller; arrays go in by the methods.

    Args:
        generator: The program that writes the file, with its version.
        copyright: Owner and licence of the content. None leaves the field out.
    """

    def __init__(self, generator: str, copyright: str | None = None) -> None:
        asset = {"version": "2.0", "generator": generator}
        if copyright:
            asset["copyright"] = copyright
        self.tree: dict[str, Any] = {"asset": asset, "accessors": [], "bufferViews": []}
        self._pieces: list[bytes] = []
        self._length = 0

    def view(self, array: np.ndarray, target: int | None = None) -> int:
        """Add an array's bytes; return the buffer view's number."""
        data = np.ascontiguousarray(array).tobytes()
        entry: dict[str, Any] = {"buffer": 0, "byteOffset": self._length, "byteLength": len(data)}
        if target is not None:
            entry["target"] = target
        self.tree["bufferViews"].append(entry)
        self._pieces.append(data + bytes(-len(data) % 4))
        self._length += len(self._pieces[-1])
        return len(self.tree["bufferViews"]) - 1

    def accessor(self, array: np.ndarray, *, target: int | None = None, normalized: bool = False, bounds: bool = False) -> int:
        """Add an array (N,) or (N, 2…16) of one of glTF's types; return the accessor's number.

        Args:
            target: VERTICES or INDICES where the graphics card reads the array.
            normalized: integers stand for 0…1, or -1…1.
            bounds: say minimum and maximum, as positions and times have to.
        """
        flat = array.reshape(len(array), -1)
        entry = self._entry(len(array), flat, bounds)
        entry["bufferView"] = self.view(array, target)
        if normalized:
            entry["normalized"] = True
        return self._add(entry)

    def sparse(self, count: int, groups: Sequence[tuple[np.ndarray, Sequence[np.ndarray]]]) -> list[list[int]]:
        """Add float arrays (count, 3) that are zero but at a few rows; return the accessors' numbers, group by group.

        Args:
            count: rows of each array.
            groups: (rows, arrays): (N,) the rows that are not zero, ascending, and the (N, 3) values there of each array.
        """
        kind = np.uint16 if count <= 1 << 16 else np.uint32
        used = [(rows, values) for rows, values in groups if len(rows)]
        row_view = value_view = row_at = value_at = 0
        if used:
            row_view = self.view(np.concatenate([rows for rows, _ in used]).astype(kind))
            value_view = self.view(np.concatenate([np.float32(array) for _, values in used for array in values]))
        found: list[list[int]] = []
        empty: int | None = None
        for rows, values in groups:
            numbers = []
            for array in values:
                if not len(rows):  # an accessor of no view is zero everywhere; one will do for all
                    if empty is None:
                        empty = self._add(self._entry(count, np.zeros((1, 3), np.float32), True))
                    numbers.append(empty)
                    continue
                shown = array if len(rows) == count else np.concatenate([array, np.zeros((1, 3))])
                entry = self._entry(count, shown.astype(np.float32), True)
                entry["sparse"] = {
                    "count": len(rows),
                    "indices": {"bufferView": row_view, "byteOffset": row_at, "componentType": CODES[np.dtype(kind)]},
                    "values": {"bufferView": value_view, "byteOffset": value_at},
                }
                numbers.append(self._add(entry))
                value_at += 12 * len(rows)
            row_at += len(rows) * np.dtype(kind).itemsize
            found.append(numbers)
        return found

    def to_bytes(self) -> bytes:
        """Return the whole file."""
        tree = {**self.tree, "buffers": [{"byteLength": self._length}]}
        text = json_text(tree, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        length = HEADER.size + CHUNK.size + len(text) + CHUNK.size + self._length
        head = HEADER.pack(MAGIC, 2, length) + CHUNK.pack(len(text), JSON_CHUNK) + text
        return b"".join([head, CHUNK.pack(self._length, BINARY_CHUNK), *self._pieces])

    def _entry(self, count: int, values: np.ndarray, bounds: bool) -> dict[str, Any]:
        entry: dict[str, Any] = {"componentType": CODES[values.dtype], "count": count, "type": SHAPES[values.shape[1]]}
        if bounds:
            entry |= {"min": values.min(axis=0).tolist(), "max": values.max(axis=0).tolist()}
        return entry

    def _add(self, entry: dict[str, Any]) -> int:
        self.tree["accessors"].append(entry)
        return len(self.tree["accessors"]) - 1


class Glb:
    """A GLB that was read: `tree` is its JSON, `array` gives an accessor's content.

    Raises:
        InputError: the file is missing, is no GLB of version 2, or is cut short.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {path} ({error.strerror}); expected a .glb file; check the path") from error
        self.tree, self._binary = _chunks(data, self.path)

    def array(self, index: int) -> np.ndarray:
        """Return an accessor's content, (N,) or (N, width); integers that stand for fractions as float32.

        Raises:
            InputError: the accessor does not exist, reaches outside the file, or is of an unknown kind.
        """
        try:
            entry = self.tree["accessors"][index]
            kind, width = np.dtype(COMPONENTS[entry["componentType"]]).newbyteorder("<"), WIDTHS[entry["type"]]
            count = entry["count"]
            if "bufferView" in entry:
                values = self._rows(entry["bufferView"], entry.get("byteOffset", 0), count, kind, width)
            else:
                values = np.zeros((count, width), kind)
            if "sparse" in entry:
                values = self._with_sparse(values, entry["sparse"], kind, width)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise InputError(f"{self.path} is damaged: accessor {index} ({reason}); export it again") from error
        if entry.get("normalized") and entry["componentType"] in LARGEST:
            values = np.maximum(values.astype(np.float32) / LARGEST[entry["componentType"]], -1.0)
        return values[:, 0] if entry["type"] == "SCALAR" else values

    def view(self, number: int) -> bytes:
        """Return a buffer view's bytes, as of a picture.

        Raises:
            ValueError: they lie in another file.
        """
        entry = self.tree["bufferViews"][number]
        if entry["buffer"] != 0 or "uri" in self.tree["buffers"][0]:
            raise ValueError("its data lie in another file")
        start = entry.get("byteOffset", 0)
        return self._binary[start : start + entry["byteLength"]]

    def _with_sparse(self, values: np.ndarray, sparse: dict[str, Any], kind: np.dtype, width: int) -> np.ndarray:
        where, what = sparse["indices"], sparse["values"]
        index_kind = np.dtype(COMPONENTS[where["componentType"]]).newbyteorder("<")
        rows = self._rows(where["bufferView"], where.get("byteOffset", 0), sparse["count"], index_kind, 1)[:, 0]
        values = values.copy()
        values[rows] = self._rows(what["bufferView"], what.get("byteOffset", 0), sparse["count"], kind, width)
        return values

    def _rows(self, view: int, offset: int, count: int, kind: np.dtype, width: int) -> np.ndarray:
        """Return (count, width) of a buffer view, whatever its stride."""
        data = self.view(view)
        stride = self.tree["bufferViews"][view].get("byteStride", kind.itemsize * width)
        if min(offset, count) < 0 or (count and offset + (count - 1) * stride + kind.itemsize * width > len(data)):
            raise ValueError("it reaches outside its buffer view")
        return np.ndarray((count, width), kind, data, offset, (stride, kind.itemsize)).copy()


def _chunks(data: bytes, path: Path) -> tuple[dict[str, Any], bytes]:
    """Return a GLB's JSON and its binary chunk."""
    if len(data) < HEADER.size + CHUNK.size or data[:4] != MAGIC:
        raise InputError(f"{path} is no GLB; expected binary glTF 2.0 (.glb); export it again")
    _, version, length = HEADER.unpack_from(data)
    if version != 2:
        raise InputError(f"{path} is glTF of version {version}; expected 2; export it again")
    if length > len(data):
        raise InputError(f"{path} is cut short: {len(data)} of {length} bytes; copy it again")
    found: dict[bytes, bytes] = {}
    at = HEADER.size
    while at + CHUNK.size <= length:
        size, kind = CHUNK.unpack_from(data, at)
        found.setdefault(kind, data[at + CHUNK.size : at + CHUNK.size + size])
        at += CHUNK.size + size
    try:
        tree = json.loads(found[JSON_CHUNK])
    except (KeyError, ValueError) as error:
        raise InputError(f"{path} holds no readable JSON; expected binary glTF 2.0; export it again") from error
    if not isinstance(tree, dict):
        raise InputError(f"{path} holds no glTF; expected binary glTF 2.0; export it again")
    return tree, found.get(BINARY_CHUNK, b"")
