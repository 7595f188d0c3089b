"""glTF 2.0 in one binary file (.glb): a writer of arrays and their JSON, and a reader that checks what it returns."""

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from talker_cli.errors import InputError
from talker_cli.formats.schema import Schema, parse, reading

EXPECTED = "a complete binary glTF 2.0 (.glb)"

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
ZEROS_PER_BYTE = 4  # bytes of zeros that an accessor without data may stand for, for each byte of the file: what is zero for
# every vertex cannot be much larger than the vertices' positions, which the file holds


class GlbWriter:
    """Builds a GLB: `tree` is its JSON, to be filled by the caller; arrays are added by the methods.

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
        self._zeros: dict[int, int] = {}  # count -> the accessor of so many zeros; all share one buffer view

    def view(self, array: np.ndarray, target: int | None = None) -> int:
        """Add an array's bytes; return the buffer view's number.

        Args:
            array: Any numeric array.
            target: VERTICES or INDICES where the graphics card reads the array.
        """
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
            array: Values of a component type in `COMPONENTS`.
            target: VERTICES or INDICES where the graphics card reads the array.
            normalized: Whether integers stand for 0…1, or -1…1.
            bounds: Whether minimum and maximum are written, as positions and times require.
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
            count: Number of rows of each array.
            groups: Pairs of the (N,) rows that are not zero, ascending, and the (N, 3) values there of each array.
        """
        kind = np.uint16 if count <= 1 << 16 else np.uint32
        used = [(rows, values) for rows, values in groups if len(rows)]
        row_view = value_view = row_at = value_at = 0
        if used:
            row_view = self.view(np.concatenate([rows for rows, _ in used]).astype(kind))
            value_view = self.view(np.concatenate([np.float32(array) for _, values in used for array in values]))
        found: list[list[int]] = []
        for rows, values in groups:
            numbers = []
            for array in values:
                if not len(rows):
                    numbers.append(self._zero_accessor(count))
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

    def _zero_accessor(self, count: int) -> int:
        """Return the accessor of (count, 3) zeros, with a buffer view: importers choke on accessors that have none."""
        if count not in self._zeros:
            self._zeros[count] = self._add(self._entry(count, np.zeros((1, 3), np.float32), True))
        return self._zeros[count]

    def to_bytes(self) -> bytes:
        """Return the whole file; nothing can be added afterwards."""
        if self._zeros:
            view = self.view(np.zeros((max(self._zeros), 3), np.float32), VERTICES)
            self.tree["bufferViews"][view]["byteStride"] = 12  # required of a view that several accessors share
            for accessor in self._zeros.values():
                self.tree["accessors"][accessor]["bufferView"] = view
            self._zeros = {}
        tree = {**self.tree, "buffers": [{"byteLength": self._length}]}
        text = json.dumps(tree, separators=(",", ":")).encode()
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


class _SparseIndices(Schema):
    bufferView: int = Field(ge=0)
    byteOffset: int = Field(0, ge=0)
    componentType: Literal[5121, 5123, 5125]


class _SparseValues(Schema):
    bufferView: int = Field(ge=0)
    byteOffset: int = Field(0, ge=0)


class _Sparse(Schema):
    count: int = Field(ge=1)
    indices: _SparseIndices
    values: _SparseValues


class _Accessor(Schema):
    componentType: Literal[5120, 5121, 5122, 5123, 5125, 5126]
    type: Literal["SCALAR", "VEC2", "VEC3", "VEC4", "MAT4"]
    count: int = Field(ge=0)
    bufferView: int | None = Field(None, ge=0)
    byteOffset: int = Field(0, ge=0)
    normalized: bool = False
    sparse: _Sparse | None = None


class _BufferView(Schema):
    buffer: int = Field(ge=0)
    byteOffset: int = Field(0, ge=0)
    byteLength: int = Field(ge=0)
    byteStride: int = Field(0, ge=0)  # 0: one row behind the other


class Glb:
    """A GLB file: `tree` is its JSON, `array` returns an accessor's content.

    Args:
        path: The file.

    Raises:
        InputError: the file is missing, is no GLB of version 2, or is cut short.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():  # a pipe would be waited for
            raise InputError(f"cannot read {path}: there is no such file; expected a .glb; check the path")
        with reading(self.path, EXPECTED):
            self.tree, self._binary = _chunks(self.path)

    def item(self, kind: str, index: object) -> dict[str, Any]:
        """Return an entry of one of the file's lists, as `nodes`.

        Raises:
            InputError: there is no such entry.
        """
        entries = self.tree.get(kind, [])
        if type(index) is not int or not isinstance(entries, list) or not 0 <= index < len(entries):
            raise InputError(f"{self.path} is damaged ({kind}[{str(index)[:20]}] does not exist); export it again")
        if not isinstance(entries[index], dict):
            raise InputError(f"{self.path} is damaged ({kind}[{index}] is no object); export it again")
        return entries[index]

    def check_whole(self) -> None:
        """Refuse a file whose first buffer lies elsewhere.

        Raises:
            InputError: it does, or there is no list of buffers.
        """
        if self.tree.get("buffers") and "uri" in self.item("buffers", 0):
            raise InputError(f"{self.path}: its data lie in another file; expected one that holds them; export as one .glb")

    def array(self, index: int, count: int | None = None) -> np.ndarray:
        """Return an accessor's content, (N,) or (N, width); integers that stand for fractions as float32.

        Args:
            index: The accessor's number.
            count: N, where it is known.

        Raises:
            InputError: the accessor does not exist, reaches outside the file, is of an unknown kind or another length, or holds
                NaN or infinity.
        """
        what = f"{self.path}: accessor {index}"
        entry = parse(_Accessor, self.item("accessors", index), what, expected=EXPECTED)
        kind, width = np.dtype(COMPONENTS[entry.componentType]).newbyteorder("<"), WIDTHS[entry.type]
        if count is not None and entry.count != count:
            raise InputError(f"{what} has {entry.count} rows; expected {count}; export it again")
        if entry.bufferView is not None:
            values = self._rows(what, entry.bufferView, entry.byteOffset, entry.count, kind, width)
        elif entry.count * width * kind.itemsize <= ZEROS_PER_BYTE * len(self._binary):
            values = np.zeros((entry.count, width), kind)
        else:
            raise InputError(f"{what} is damaged ({entry.count} rows of zeros in a file of {len(self._binary)} bytes)")
        if entry.sparse is not None:
            where, what_values, rows = entry.sparse.indices, entry.sparse.values, entry.sparse.count
            index_kind = np.dtype(COMPONENTS[where.componentType]).newbyteorder("<")
            places = self._rows(what, where.bufferView, where.byteOffset, rows, index_kind, 1)[:, 0]
            if places.max() >= entry.count:
                raise InputError(f"{what} is damaged (row {places.max()} of {entry.count}); export it again")
            values[places] = self._rows(what, what_values.bufferView, what_values.byteOffset, rows, kind, width)
        if entry.normalized and entry.componentType in LARGEST:
            values = np.maximum(values.astype(np.float32) / LARGEST[entry.componentType], -1.0)
        if not np.isfinite(values).all():
            raise InputError(f"{what} holds NaN or infinity; expected finite numbers; export it again")
        return values[:, 0] if entry.type == "SCALAR" else values

    def view(self, number: int) -> bytes:
        """Return a buffer view's bytes, as of an image.

        Raises:
            InputError: they lie in another file or reach outside of this one.
        """
        what = f"{self.path}: buffer view {number}"
        entry = parse(_BufferView, self.item("bufferViews", number), what, expected=EXPECTED)
        if entry.buffer != 0 or "uri" in self.item("buffers", 0):
            raise InputError(f"{what} lies in another file; expected one that holds all its data; export as one .glb")
        if entry.byteOffset + entry.byteLength > len(self._binary):
            raise InputError(
                f"{what} is damaged (it ends at byte {entry.byteOffset + entry.byteLength} of {len(self._binary)})"
            )
        return self._binary[entry.byteOffset : entry.byteOffset + entry.byteLength]

    def _rows(self, what: str, view: int, offset: int, count: int, kind: np.dtype, width: int) -> np.ndarray:
        """Return a copy of (count, width) values of a buffer view, whatever its stride."""
        data = self.view(view)
        size = kind.itemsize * width
        stride = self.item("bufferViews", view).get("byteStride", 0) or size
        if stride < size or (count and offset + (count - 1) * stride + size > len(data)):
            raise InputError(f"{what} is damaged ({count} rows reach outside of {len(data)} bytes); export it again")
        return np.ndarray((count, width), kind, data, offset, (stride, kind.itemsize)).copy()


def _chunks(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return a GLB's JSON and its binary chunk."""
    with path.open("rb") as stream:
        head, size = stream.read(HEADER.size), path.stat().st_size
        if len(head) < HEADER.size or head[:4] != MAGIC:
            raise InputError(f"{path} is no GLB; expected {EXPECTED}; export it again")
        _, version, length = HEADER.unpack(head)
        if version != 2:
            raise InputError(f"{path} is glTF of version {version}; expected 2; export it again")
        if length > size:
            raise InputError(f"{path} is cut short: {size} of {length} bytes; copy it again")
        data = stream.read(length - HEADER.size)
    found: dict[bytes, bytes] = {}
    at = 0
    while at + CHUNK.size <= len(data):
        size, kind = CHUNK.unpack_from(data, at)
        at += CHUNK.size
        if at + size > len(data):
            raise InputError(f"{path} is cut short: a chunk of {size} bytes where {len(data) - at} follow; export it again")
        found.setdefault(kind, data[at : at + size])
        at += size
    tree = json.loads(found.get(JSON_CHUNK, b""), parse_constant=_refuse)
    if not isinstance(tree, dict):
        raise InputError(f"{path} holds no glTF; expected {EXPECTED}; export it again")
    return tree, found.get(BINARY_CHUNK, b"")


def _refuse(number: str) -> float:
    raise ValueError(f"the number {number}")
