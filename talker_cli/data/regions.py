"""Files that name vertices: FLAME's `FLAME_masks.pkl`, BIWI's `lve.txt` and `fdd.txt`, and pairs of lip vertices."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from talker_cli.data.unpickle import load_pickle
from talker_cli.errors import InputError
from talker_cli.formats.schema import reading

FLAME_REGIONS = {"lips": ("lips",), "upper_face": ("forehead", "eye_region")}
TEXT_REGIONS = {"lips": "lve", "upper_face": "fdd"}


def parse_region_option(text: str) -> tuple[Path, ...]:
    """Return the files of regions: `FLAME_masks.pkl`, or `lve.txt,fdd.txt`.

    Raises:
        InputError: it is neither one pickle nor two texts.
    """
    paths = tuple(Path(part.strip()) for part in text.split(",") if part.strip())
    pickled = [path.suffix.lower() == ".pkl" for path in paths]
    if (len(paths) == 1 and all(pickled)) or (len(paths) == 2 and not any(pickled)):
        return paths
    raise InputError(
        f"found {text}; expected FLAME_masks.pkl, or lips and upper face as two texts: lve.txt,fdd.txt", field="regions"
    )


def read_regions(paths: Sequence[Path], vertex_count: int) -> dict[str, np.ndarray]:
    """Return `lips` and `upper_face`, (V,) bool each, from one FLAME pickle or from two text files, lips first.

    Raises:
        InputError: a file is missing or damaged, lacks a region, or names a vertex beyond the mesh.
    """
    if len(paths) == 1:
        return {name: _mask(paths[0], *_flame(paths[0], parts), vertex_count) for name, parts in FLAME_REGIONS.items()}
    return {name: _mask(path, *_text(path), vertex_count) for name, path in zip(TEXT_REGIONS, paths, strict=True)}


def read_lip_pairs(path: Path, vertex_count: int) -> np.ndarray:
    """Return (P, 2) int32 upper and lower lip vertices from a text file, `upper,lower` a line.

    Raises:
        InputError: the file is missing, a line holds anything but two vertices of the mesh, or there is no line.
    """
    pairs = []
    for number, line in enumerate(_read(path).splitlines(), 1):
        if line.strip():
            entries = line.replace(",", " ").split()
            if len(entries) != 2 or not all(map(_is_vertex, entries)):
                raise InputError(
                    f"{path} line {number} is '{line.strip()[:40]}'; expected an upper and a lower vertex, such as 12,57"
                )
            pairs.append([int(entry) for entry in entries])
    if not pairs:
        raise InputError(f"{path} names no lip pair; expected an upper and a lower vertex a line, such as 12,57")
    array = np.array(pairs)
    if array.max() >= vertex_count:
        raise InputError(f"{path} names vertex {array.max()}; the mesh has {vertex_count}, counted from 0; give its own pairs")
    return array.astype(np.int32)


def _is_vertex(text: str) -> bool:
    return re.fullmatch("[0-9]{1,9}", text) is not None


def _flame(path: Path, parts: Sequence[str]) -> tuple[str, np.ndarray]:
    content = load_pickle(path)
    if not isinstance(content, dict) or not all(part in content for part in parts):
        present = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{path} lacks the region {' or '.join(parts)} (found: {present[:80]}); expected FLAME_masks.pkl")
    with reading(path, "FLAME_masks.pkl, arrays of vertex numbers"):
        return " and ".join(parts), np.concatenate([np.asarray(content[part]).ravel() for part in parts])


def _text(path: Path) -> tuple[str, np.ndarray]:
    words = _read(path).replace(",", " ").split()
    wrong = next((word for word in words if not _is_vertex(word)), None)
    if wrong is not None:
        raise InputError(f"{path} holds '{wrong[:20]}'; expected vertex numbers from 0, separated by commas")
    return path.stem, np.array([int(word) for word in words], dtype=np.int64)


def _mask(path: Path, name: str, indices: np.ndarray, vertex_count: int) -> np.ndarray:
    if indices.size == 0 or indices.dtype.kind not in "iu":
        raise InputError(f"{path} names no vertices of {name}; expected vertex numbers from 0")
    if indices.min() < 0 or indices.max() >= vertex_count:
        raise InputError(
            f"{path} names vertex {indices.max()} in {name}; the mesh has {vertex_count}, counted from 0; "
            "give the file that belongs to the mesh"
        )
    mask = np.zeros(vertex_count, dtype=bool)
    mask[indices] = True
    return mask


def _read(path: Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"no file {path}; expected vertex numbers, separated by commas; check the path") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a readable text ({error}); expected vertex numbers, separated by commas") from error
