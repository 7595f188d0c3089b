"""A GLB with something added: every byte of its JSON and its binary chunk stays, but for what is appended to its lists."""

import json
from itertools import count
from json.decoder import JSONDecoder
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.errors import InputError
from talker_cli.formats.gltf import BINARY_CHUNK, CHUNK, EXPECTED, HEADER, JSON_CHUNK, MAGIC, SHAPES, Glb
from talker_cli.formats.schema import reading

FLOAT = 5126  # glTF's number of float32
LISTS = ("bufferViews", "accessors", "animations")


class GlbEdit:
    """Adds float arrays and animations to a GLB.

    Args:
        path: The file.

    Raises:
        InputError: it is missing or damaged, or its data lie in another file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading(path, EXPECTED):
            glb = Glb(path)
            self.tree = glb.tree
            self._chunks = _chunks(path)
            self._text = self._chunks[JSON_CHUNK].decode("utf-8")
            self._spans = _spans(self._text)
            for name in ("buffers", *LISTS):
                if not isinstance(self.tree.get(name, []), list):
                    raise InputError(f"{path} is damaged ({name} is no list); export it again")
            glb.check_whole()
            binary = self._chunks.get(BINARY_CHUNK, b"")
            self._binary = [binary + bytes(-len(binary) % 4)]
            self._length = len(self._binary[0])
            self._added: dict[str, list[dict[str, Any]]] = {name: [] for name in LISTS}
            self._counts = {name: len(self.tree.get(name, [])) for name in LISTS}
        self._known: dict[bytes, int] = {}  # equal arrays are written once

    def accessor(self, array: np.ndarray, bounds: bool = False) -> int:
        """Add float32 values, (N,) or (N, 2…16); return the accessor's number.

        Args:
            array: The values.
            bounds: Whether minimum and maximum are written, as times require.
        """
        values = np.ascontiguousarray(array, np.float32)
        data = values.tobytes()
        key = data + repr((values.shape, bounds)).encode()
        if key not in self._known:
            view = self._append("bufferViews", {"buffer": 0, "byteOffset": self._length, "byteLength": len(data)})
            self._binary.append(data)
            self._length += len(data)
            flat = values.reshape(len(values), -1)
            entry = {"bufferView": view, "componentType": FLOAT, "count": len(flat), "type": SHAPES[flat.shape[1]]}
            if bounds:
                entry |= {"min": flat.min(axis=0).tolist(), "max": flat.max(axis=0).tolist()}
            self._known[key] = self._append("accessors", entry)
        return self._known[key]

    def animation(self, name: str, channels: list[tuple[int, str, np.ndarray]], times: np.ndarray, extras: Any) -> None:
        """Add an animation.

        Args:
            name: Its name; a number is added if there is one of that name.
            channels: Node, path ("weights", "rotation", "translation") and (T, width) values of each.
            times: (T,) seconds, ascending.
            extras: Further metadata, or None.
        """
        taken = [entry.get("name") for entry in self.tree.get("animations", []) if isinstance(entry, dict)]
        free = name if name not in taken else next(f"{name} {n}" for n in count(2) if f"{name} {n}" not in taken)
        clock = self.accessor(times, bounds=True)
        samplers: list[dict[str, Any]] = []
        targets: list[dict[str, Any]] = []
        for node, path, values in channels:
            output = self.accessor(values.reshape(-1) if path == "weights" else values)
            targets.append({"sampler": len(samplers), "target": {"node": node, "path": path}})
            samplers.append({"input": clock, "output": output, "interpolation": "LINEAR"})
        entry: dict[str, Any] = {"name": free, "samplers": samplers, "channels": targets}
        self._append("animations", entry | ({"extras": extras} if extras else {}))

    def to_bytes(self) -> bytes:
        """Return the whole file."""
        buffers = [*self.tree.get("buffers", [])] or [{}]
        buffers[0] = {**buffers[0], "byteLength": self._length}
        changes: dict[str, str] = {"buffers": json.dumps(buffers, separators=(",", ":"))}
        for name in LISTS:
            items = ",".join(json.dumps(item, separators=(",", ":")) for item in self._added[name])
            if name in self._spans and self._counts[name]:
                start, end = self._spans[name]
                changes[name] = f"{self._text[start : end - 1]},{items}]"
            else:
                changes[name] = f"[{items}]"
        text = self._text
        closing = text.rindex("}")
        missing = "".join(f',"{name}":{value}' for name, value in changes.items() if name not in self._spans)
        text = text[:closing] + missing + text[closing:].rstrip(" \0")
        for name, (start, end) in sorted(self._spans.items(), key=lambda item: -item[1][0]):
            if name in changes:
                text = text[:start] + changes[name] + text[end:]
        data = text.encode()
        data += b" " * (-len(data) % 4)
        chunks = {**self._chunks, JSON_CHUNK: data, BINARY_CHUNK: b"".join(self._binary)}
        pieces = [CHUNK.pack(len(content), kind) + content for kind, content in chunks.items()]
        length = HEADER.size + sum(map(len, pieces))
        return b"".join([HEADER.pack(MAGIC, 2, length), *pieces])

    def _append(self, name: str, item: dict[str, Any]) -> int:
        self._added[name].append(item)
        return self._counts[name] + len(self._added[name]) - 1


def _chunks(path: Path) -> dict[bytes, bytes]:
    """Return every chunk of a GLB that `Glb` has read, in order; of two of a kind the first."""
    data = path.read_bytes()
    found: dict[bytes, bytes] = {}
    at = HEADER.size
    _, _, length = HEADER.unpack_from(data)
    while at + CHUNK.size <= length:
        size, kind = CHUNK.unpack_from(data, at)
        at += CHUNK.size
        found.setdefault(kind, data[at : at + size])
        at += size
    return found


def _spans(text: str) -> dict[str, tuple[int, int]]:
    """Return where the value of each key of a JSON object's text begins and ends."""
    decoder = JSONDecoder()
    found: dict[str, tuple[int, int]] = {}
    at = text.index("{") + 1
    while (at := _next(text, at)) < len(text) and text[at] != "}":
        key, at = decoder.raw_decode(text, at)
        start = _next(text, at)
        _, at = decoder.raw_decode(text, start)
        found[key] = (start, at)
    return found


def _next(text: str, at: int) -> int:
    """Return the place of the next sign that is no space, comma or colon."""
    while at < len(text) and text[at] in " \t\r\n,:":
        at += 1
    return at
