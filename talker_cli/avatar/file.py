"""A character's file (.glb, .vrm) as what can be driven: morph targets by mesh, VRM expressions, bones of head and eyes."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.avatar.scene import rotation_of, worlds
from talker_cli.avatar.table import Table
from talker_cli.errors import InputError
from talker_cli.formats.gltf import EXPECTED, Glb
from talker_cli.formats.schema import reading

MOST_TARGETS = 10_000  # of all meshes together
_PARTS = re.compile("eye|teeth|tooth|tongue", re.I)  # of a face


@dataclass(frozen=True)
class MorphMesh:
    """A mesh with morph targets.

    Args:
        index: Number of the mesh.
        nodes: Numbers of the nodes that show it.
        names: M names, "" for those that have none.
        empty: (M,) bool, targets that move no vertex.
    """

    index: int
    nodes: tuple[int, ...]
    names: tuple[str, ...]
    empty: np.ndarray


@dataclass(frozen=True)
class Expression:
    """A VRM expression.

    Args:
        name: Name as the file spells it.
        preset: The preset's name, None for one of the author's own.
        binds: Node of a mesh, number of its morph target, weight 0…1 at a value of 1.
    """

    name: str
    preset: str | None
    binds: tuple[tuple[int, int, float], ...]


@dataclass(frozen=True)
class Bone:
    """A bone that turns.

    Args:
        node: Number of the node.
        rest: (4,) its own rotation at rest, a quaternion x y z w.
        parent: (3, 3) rotation of its parent at rest, in the space in which the character looks along +z.
    """

    node: int
    rest: np.ndarray
    parent: np.ndarray


class AvatarFile:
    """A character's file.

    Args:
        path: A .glb or .vrm.

    Raises:
        InputError: the file is missing, damaged, leads to other files, or its nodes go round in a circle.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() == ".gltf":
            raise InputError(f"{path} is glTF as text; expected one .glb that holds all its data; convert it, as Blender does")
        self.glb = Glb(self.path)
        with reading(self.path, EXPECTED):
            self.glb.check_whole()
            self.worlds = worlds(self.glb)
            self.meshes = self._meshes()
            self.expressions = self._expressions()

    @property
    def vrm(self) -> str | None:
        """Version of VRM, "0" or "1"; None of a plain .glb."""
        found = self.glb.tree.get("extensions", {})
        return "1" if "VRMC_vrm" in found else "0" if "VRM" in found else None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All names of morph targets, each once."""
        return tuple(dict.fromkeys(name for mesh in self.meshes for name in mesh.names if name))

    def rest_weights(self, node: int) -> np.ndarray:
        """Return the (M,) weights that a node's mesh has at rest."""
        entry = self.glb.item("nodes", node)
        mesh = self.glb.item("meshes", entry["mesh"])
        count = len(mesh["primitives"][0].get("targets", []))
        found = [float(weight) for weight in entry.get("weights", mesh.get("weights", []))][:count]
        weights = np.array(found + [0.0] * (count - len(found)))
        if not np.isfinite(weights).all():
            raise InputError(f"{self.path}: node {node} has weights that are not finite; export it again")
        return weights

    def bones(self, table: Table) -> dict[str, Bone]:
        """Return the bones of head and eyes: those that VRM names, else those that the table knows."""
        with reading(self.path, EXPECTED):
            numbers = self._humanoid() or self._named_bones(table)
            return {name: self._bone(number) for name, number in numbers.items() if self._turns(number)}

    def _meshes(self) -> tuple[MorphMesh, ...]:
        nodes: dict[int, list[int]] = {}
        for number in sorted(self.worlds):
            entry = self.glb.item("nodes", number)
            if "mesh" in entry:
                self.glb.item("meshes", entry["mesh"])
                nodes.setdefault(entry["mesh"], []).append(number)
        found, total = [], 0
        for index in nodes:
            mesh = self.glb.item("meshes", index)
            targets = [primitive.get("targets", []) for primitive in mesh["primitives"]]
            count = len(targets[0])
            if any(len(each) != count for each in targets):
                raise InputError(
                    f"{self.path}: the parts of mesh {index} have unlike numbers of morph targets; export it again"
                )
            total += count
            if total > MOST_TARGETS:
                raise InputError(f"{self.path} has more than {MOST_TARGETS} morph targets; expected a character's")
            if count:
                names = self._target_names(mesh, count)
                empty = [all(self._empty(each[number]) for each in targets) for number in range(count)]
                found.append(MorphMesh(index, tuple(nodes[index]), names, np.array(empty)))
        return tuple(found)

    def _target_names(self, mesh: dict[str, Any], count: int) -> tuple[str, ...]:
        """Return M names; exporters write them into the mesh or into its first primitive."""
        names: list[Any] = []
        for entry in (*mesh["primitives"], mesh):
            extras = entry.get("extras")
            if isinstance(extras, dict) and isinstance(extras.get("targetNames"), list):
                names = extras["targetNames"]
                break
        spelled = [_text(name) for name in names[:count]]
        return tuple(spelled + [""] * (count - len(spelled)))

    def _empty(self, target: dict[str, Any]) -> bool:
        """Say whether a target moves no vertex, by its accessor's bounds."""
        if "POSITION" not in target:
            return True
        entry = self.glb.item("accessors", target["POSITION"])
        return "min" in entry and "max" in entry and not any(entry["min"]) and not any(entry["max"])

    def _expressions(self) -> tuple[Expression, ...]:
        extensions = self.glb.tree.get("extensions", {})
        if "VRMC_vrm" in extensions:
            groups = extensions["VRMC_vrm"].get("expressions", {})
            return tuple(
                Expression(name, name if kind == "preset" else None, self._binds_1(entry))
                for kind in ("preset", "custom")
                for name, entry in groups.get(kind, {}).items()
            )
        groups = extensions.get("VRM", {}).get("blendShapeMaster", {}).get("blendShapeGroups", [])
        return tuple(
            Expression(
                _text(entry.get("name")),
                None if (preset := _text(entry.get("presetName"))) in ("", "unknown") else preset,
                self._binds_0(entry),
            )
            for entry in groups
        )

    def _binds_1(self, entry: dict[str, Any]) -> tuple[tuple[int, int, float], ...]:
        return tuple(
            self._bind(bind["node"], bind["index"], float(bind.get("weight", 1.0)))
            for bind in entry.get("morphTargetBinds", [])
        )

    def _binds_0(self, entry: dict[str, Any]) -> tuple[tuple[int, int, float], ...]:
        """Return the binds of a VRM 0.x group, which names meshes where 1.0 names nodes, and counts to 100."""
        nodes = {mesh.index: mesh.nodes for mesh in self.meshes}
        return tuple(
            self._bind(node, bind["index"], float(bind.get("weight", 100.0)) / 100)
            for bind in entry.get("binds", [])
            for node in nodes.get(bind["mesh"], ())
        )

    def _bind(self, node: int, index: int, weight: float) -> tuple[int, int, float]:
        count = {number: len(mesh.names) for mesh in self.meshes for number in mesh.nodes}.get(node)
        if count is None or type(index) is not int or not 0 <= index < count or not np.isfinite(weight):
            raise InputError(f"{self.path} is damaged (an expression moves target {str(index)[:20]} of node {str(node)[:20]}); "
                             "export it again")  # fmt: skip
        return node, index, weight

    def _humanoid(self) -> dict[str, int]:
        """Return the nodes that VRM calls head and eyes."""
        extensions = self.glb.tree.get("extensions", {})
        if "VRMC_vrm" in extensions:
            bones = extensions["VRMC_vrm"].get("humanoid", {}).get("humanBones", {})
            return {name: bones[name]["node"] for name in ("head", "leftEye", "rightEye") if name in bones}
        found = extensions.get("VRM", {}).get("humanoid", {}).get("humanBones", [])
        return {entry["bone"]: entry["node"] for entry in found if entry.get("bone") in ("head", "leftEye", "rightEye")}

    def _named_bones(self, table: Table) -> dict[str, int]:
        """Return nodes by their names: joints of skins, or nodes above meshes that are called so."""
        joints = {joint for skin in self.glb.tree.get("skins", []) for joint in skin.get("joints", [])}
        found: dict[str, int] = {}
        for number in sorted(self.worlds):
            node = self.glb.item("nodes", number)
            bone = table.bone(_text(node.get("name")))
            if bone is not None and (number in joints or (not joints and "mesh" not in node and node.get("children"))):
                found.setdefault(bone, number)
        if not joints and "head" in found and self._apart(found["head"]):
            del found["head"]
        return found

    def _apart(self, head: int) -> bool:
        """Say whether eyes, teeth or a tongue hang beside the head's node, which would turn without them."""
        children = {number: self._children(number) for number in self.worlds}
        inner = {child for below in children.values() for child in below}
        todo = [(number, False) for number in children if number not in inner]
        while todo:
            number, part = todo.pop()
            if number == head:
                continue  # what hangs below turns with it
            node = self.glb.item("nodes", number)
            part = part or _PARTS.search(_text(node.get("name"))) is not None
            if part and "mesh" in node:
                return True
            todo += [(child, part) for child in children[number] if child in children]
        return False

    def _turns(self, number: int) -> bool:
        """Say whether a node is in the scene, and placed otherwise than by a matrix, which no animation may change."""
        return number in self.worlds and "matrix" not in self.glb.item("nodes", number)

    def _bone(self, number: int) -> Bone:
        entry = self.glb.item("nodes", number)
        rest = np.array(entry.get("rotation", [0, 0, 0, 1]), np.float64)
        if rest.shape != (4,) or not 0.5 < np.linalg.norm(rest) < 2:
            raise InputError(f"{self.path}: the bone {number} has no rotation; expected a quaternion; export it again")
        parent = next((self.worlds[above] for above in self.worlds if number in self._children(above)), np.eye(4))
        return Bone(number, rest / np.linalg.norm(rest), rotation_of(parent))

    def _children(self, number: int) -> list[int]:
        children: list[int] = self.glb.item("nodes", number).get("children", [])
        return children


def _text(value: Any) -> str:
    """Return a name in a file; what is no text names nothing."""
    return value if isinstance(value, str) else ""
