"""What other programs call the shapes and bones of a face: `shapes.toml`, and a user's own map in the same terms."""

import re
import tomllib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from talker_cli.avatar.names import APPENDED, CHANGES, LONGEST, arkit_name
from talker_cli.errors import InputError
from talker_cli.formats.schema import Schema, parse, reading
from talker_cli.rig import ARKIT_NAMES

TABLE = Path(__file__).parent / "shapes.toml"
SHORTEST = 4  # letters of a name that may have a prefix
BONES = ("head", "leftEye", "rightEye")
EXPECTED_MAP = 'a map such as [shapes] with "Mund_auf" = "jawOpen"'
LARGEST_MAP = 1 << 20  # bytes
ARKIT = "ARKit"
_OWNER = re.compile(r"[.:|/]|__")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\da-zA-Z_]+")


@dataclass(frozen=True)
class Meaning:
    """What a shape of a character stands for.

    Args:
        weights: ARKit shape -> its weight in the shape's value.
        mix: Whether the shape looks like all of `weights` at once, at a value of 1.
        above: What the sum of weights has to exceed.
        spelled: The shape's name as its program spells it.
    """

    weights: dict[str, float]
    mix: bool = False
    above: float = 0.0
    spelled: str = ""


@dataclass(frozen=True)
class ShapeSet:
    """The names of one program.

    Args:
        name: The program.
        meanings: Plain name (see `plain`) -> meaning.
        expressions: Whether the names are VRM expressions and not morph targets.
        least: Names that a character must have for the set to count.
    """

    name: str
    meanings: dict[str, Meaning]
    expressions: bool = False
    least: int = 1

    def find(self, name: str) -> str | None:
        """Return the plain name in the set that a morph target's or an expression's name means, if any."""
        if len(name) > LONGEST:
            return None
        for text in (_OWNER.split(APPENDED.sub("", name.strip()))[-1], name):
            if (whole := plain(text)) in self.meanings:
                return whole
            if self.expressions:
                continue
            words = [plain(word) for word in _WORD.findall(unicodedata.normalize("NFKC", text))]
            for start in range(1, len(words)):
                rest = "".join(words[start:])
                if len(rest) >= SHORTEST and rest in self.meanings and not CHANGES.intersection(words[:start]):
                    return rest
        return None


class ArkitSet(ShapeSet):
    """ARKit's own names, in any spelling."""

    def find(self, name: str) -> str | None:
        """Return the ARKit shape that a name means, if any."""
        return arkit_name(name)


class UserSet(ShapeSet):
    """The names of a user's map, as the file spells them."""

    def find(self, name: str) -> str | None:
        """Return the name itself if the map has it."""
        return name if name in self.meanings else None


@dataclass(frozen=True)
class Table:
    """Names of shapes by program, the first that fits first, and of bones.

    Args:
        sets: Sets of names.
        bones: Bone, one of `BONES` -> plain names.
        mixes: Name -> (52,) ARKit coefficients of one whole unit.
        rhubarb: Mouth shape of Rhubarb Lip Sync, B to G -> (52,) ARKit coefficients.
    """

    sets: tuple[ShapeSet, ...]
    bones: dict[str, tuple[str, ...]]
    mixes: dict[str, np.ndarray] = field(default_factory=dict)
    rhubarb: dict[str, np.ndarray] = field(default_factory=dict)

    def named(self, name: str) -> ShapeSet:
        """Return the set of a program."""
        return next(group for group in self.sets if group.name == name)

    def bone(self, name: str) -> str | None:
        """Return the bone of `BONES` that a node's name means, if any."""
        if len(name) > LONGEST:
            return None
        for text in (name, re.split(r"[:|/]", name)[-1]):
            for bone, names in self.bones.items():
                if plain(text) in names:
                    return bone
        return None


def plain(name: str) -> str:
    """Return the letters and digits of a name in lower case."""
    return "".join(sign for sign in unicodedata.normalize("NFKC", name).lower() if sign.isalnum())


class _Map(Schema):
    shapes: dict[str, str | list[str] | dict[str, float]] = Field(default_factory=dict)
    mixes: dict[str, str | dict[str, float]] = Field(default_factory=dict)
    bones: dict[Literal["head", "leftEye", "rightEye"], str] = Field(default_factory=dict)


def table_with(path: Path | None) -> Table:
    """Return the built-in table, with a user's map before it.

    Args:
        path: The map (.toml), or None.

    Raises:
        InputError: the map cannot be read, or names a shape or a mix that there is not.
    """
    if path is None:
        return built_in()
    with reading(path, EXPECTED_MAP):
        if not path.is_file() or path.stat().st_size > LARGEST_MAP:
            raise InputError(f"cannot read {path}; expected {EXPECTED_MAP} of at most 1 MB; check the path")
        own = parse(_Map, tomllib.loads(path.read_text(encoding="utf-8")), str(path), expected=EXPECTED_MAP)
    table = built_in()
    meanings: dict[str, Meaning] = {}
    for name, value in own.shapes.items():
        meanings[name] = _direct([value] if isinstance(value, str) else value, str(path))
    for name, mix in own.mixes.items():
        if isinstance(mix, str) and mix not in table.mixes:
            raise InputError(f"{path} has the mix {mix[:40]!r}; expected one of {', '.join(table.mixes)}")
        meanings[name] = _mix(mix if isinstance(mix, dict) else _weights(table.mixes[mix]), str(path))
    bones = dict(table.bones)
    for bone, name in own.bones.items():
        bones[bone] = (plain(name),)
    return Table((UserSet("map", meanings), *table.sets), bones, table.mixes, table.rhubarb)


@cache
def built_in() -> Table:
    """Return the table of `shapes.toml`, ARKit's own names first."""
    content = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    mixes = {name: _expanded(mix) for name, mix in content["mixes"].items()}
    sets: list[ShapeSet] = [ArkitSet(ARKIT, {name: Meaning({name: 1.0}) for name in ARKIT_NAMES})]
    for entry in content["set"]:
        meanings: dict[str, Meaning] = {}
        for name, value in entry.get("shapes", {}).items():
            for spelled, side in _sided(name, entry.get("sides")):
                parts = [value] if isinstance(value, str) else value
                if side:
                    parts = [part.replace("*", side) for part in parts]
                meanings[plain(spelled)] = replace(_direct(parts, str(TABLE)), spelled=spelled)
        for name, mix in entry.get("mixes", {}).items():
            meanings[plain(name)] = replace(_mix(mixes[mix], str(TABLE)), spelled=name)
        sets.append(ShapeSet(entry["name"], meanings, entry.get("of") == "expressions", entry.get("least", 1)))
    bones = {bone: tuple(content["bones"][bone]) for bone in BONES}
    rows = [
        {name: np.array([_expanded(mix).get(each, 0.0) for each in ARKIT_NAMES]) for name, mix in content[section].items()}
        for section in ("mixes", "rhubarb")
    ]
    return Table(tuple(sets), bones, *rows)


def _sided(name: str, sides: list[str] | None) -> Iterator[tuple[str, str]]:
    """Yield a name and the side it is of, "" for none: a * stands for either side."""
    if sides is None or "*" not in name:
        yield name, ""
        return
    for spelled, side in zip(sides, ("Left", "Right"), strict=True):
        yield name.replace("*", spelled), side


def _expanded(mix: dict[str, float]) -> dict[str, float]:
    return {name.replace("*", side): value for name, value in mix.items() for side in ("Left", "Right")}


def _weights(row: np.ndarray) -> dict[str, float]:
    return {name: float(value) for name, value in zip(ARKIT_NAMES, row, strict=True) if value}


def _direct(value: list[str] | dict[str, Any], what: str) -> Meaning:
    """Return the meaning of a shape that follows one ARKit shape, the mean of some, or a weighted sum."""
    if isinstance(value, list):
        return Meaning(_known({name: 1.0 / len(value) for name in value}, what))
    weights = {name: float(weight) for name, weight in value.items() if name != "above"}
    return Meaning(_known(weights, what), above=min(max(float(value.get("above", 0.0)), 0.0), 0.99))


def _mix(weights: dict[str, float], what: str) -> Meaning:
    return Meaning(_known(weights, what), mix=True)


def _known(weights: dict[str, float], what: str) -> dict[str, float]:
    for name in weights:
        if name not in ARKIT_NAMES:
            raise InputError(f"{what} has the shape {name[:40]!r}; expected ARKit's names, as jawOpen; correct it")
    return weights
