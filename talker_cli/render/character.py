"""Characters out of binary glTF (.glb, .vrm): triangles (F, 3), vertices (V, 3) and ARKit shapes (V, 3), in the scene's space.

trimesh reads neither morph targets nor skins, so the scene is put together here. All meshes of the scene become
one; node transforms and skins are applied as they stand at rest, to the morph targets too: a pose that does not move is
linear, so `vertices = rest + sum_k c_k * target_k` stays true.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.avatar.drive import Drive, plan
from talker_cli.avatar.file import AvatarFile
from talker_cli.avatar.table import Table, built_in
from talker_cli.errors import InputError
from talker_cli.formats.gltf import EXPECTED
from talker_cli.formats.mesh import Mesh, checked
from talker_cli.formats.schema import reading
from talker_cli.render.character_paint import Paint, PrimitiveMaterial

TRIANGLES, TRIANGLE_STRIP, TRIANGLE_FAN = 4, 5, 6
# Extensions without which the vertices cannot be found.
UNREADABLE = ("KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_meshopt_compression")
MOST_VERTICES = 2_000_000  # of a scene: a small file may show one mesh a million times
LEAST_VERTICES = 2000  # that a primitive counts for, however small: it takes a millisecond and a few kilobytes


@dataclass(frozen=True)
class Character:
    """A scene as one mesh.

    Args:
        vertices: (V, 3) float32 at rest, the scene's unit (metres by glTF's rule).
        faces: (F, 3) int32, counter-clockwise seen from outside.
        targets: Control's label -> (V, 3) float32 offsets of one unit of it; one may move several meshes.
        weighted: (V, 3) float32, the part of `vertices` that the file's own weights of driven targets make.
        target_names: The morph targets' names as the file spells them, of every kind.
        colors: (V, 3) uint8 sRGB, textures included, at each vertex.
        tints: (V, 3) uint8 sRGB, the factor of the textures.
        uvs: (V, 3) float32, texture coordinates and the texture's number.
        textures: (H, W, 4) uint8 each, sRGB and coverage; the first is blank.
        parts: Of each piece of the scene its name, as the file calls mesh and material, and the slice of its vertices.
        normal_of: (V,) int, the same number for vertices that are one point of the surface, split by texture or shading.
        drive: How ARKit's coefficients drive the targets.
    """

    vertices: np.ndarray
    faces: np.ndarray
    targets: dict[str, np.ndarray]
    weighted: np.ndarray
    target_names: tuple[str, ...]
    colors: np.ndarray
    tints: np.ndarray
    uvs: np.ndarray
    textures: list[np.ndarray]
    parts: list[tuple[str, slice]]
    normal_of: np.ndarray
    drive: Drive


@dataclass
class _Piece:
    """One primitive, placed in the scene."""

    name: str
    node: int
    vertices: np.ndarray  # (V, 3)
    faces: np.ndarray  # (F, 3)
    material: PrimitiveMaterial
    target_names: list[str]
    weighted: np.ndarray  # (V, 3)
    targets: dict[str, np.ndarray] = field(default_factory=dict)


def read_glb(path: Path, table: Table | None = None) -> Character:
    """Read every triangle mesh of a .glb's scene.

    Args:
        path: The file.
        table: Names of shapes, None for the built-in ones.

    Raises:
        InputError: the file is missing, damaged, compressed, leads to other files, holds no triangles, or numbers that are not
            finite.
    """
    with reading(path, EXPECTED), np.errstate(all="ignore"):  # what overflows is refused below
        scene = _Scene(path, table or built_in())
        pieces = scene.pieces()
        if not pieces:
            raise InputError(f"{path} holds no triangles; expected a character's mesh; export the meshes with it")
        character = _joined(pieces, scene.paint, scene.drive)
        checked(path, Mesh(character.vertices, character.faces))
        for name, offsets in (*character.targets.items(), ("weights", character.weighted)):
            if not np.isfinite(offsets).all():
                raise InputError(f"{path}: the morph target {name} holds NaN or infinity; expected finite offsets")
        return character


def _joined(pieces: list[_Piece], paint: Paint, drive: Drive) -> Character:
    counts = [len(piece.vertices) for piece in pieces]
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(int)
    total = int(starts[-1])
    targets: dict[str, np.ndarray] = {}
    for piece, start in zip(pieces, starts, strict=False):
        for name, offsets in piece.targets.items():
            whole = targets.setdefault(name, np.zeros((total, 3), np.float32))
            whole[start : start + len(offsets)] += offsets
    vertices = np.concatenate([piece.vertices for piece in pieces])
    owner = np.repeat([piece.node for piece in pieces], counts)
    return Character(
        vertices=vertices,
        faces=np.concatenate([piece.faces + start for piece, start in zip(pieces, starts, strict=False)]).astype(np.int32),
        targets=targets,
        weighted=np.concatenate([piece.weighted for piece in pieces]),
        target_names=tuple(dict.fromkeys(name for piece in pieces for name in piece.target_names)),
        colors=np.concatenate([paint.colors(piece.material) for piece in pieces]),
        tints=np.concatenate([piece.material.tint for piece in pieces]),
        uvs=np.concatenate([np.insert(piece.material.uv, 2, piece.material.texture, axis=1) for piece in pieces]),
        textures=paint.textures,
        parts=[
            (piece.name, slice(int(start), int(start) + count))
            for piece, start, count in zip(pieces, starts, counts, strict=False)
        ],
        normal_of=_welded(vertices, owner, targets),
        drive=drive,
    )


def _welded(vertices: np.ndarray, owner: np.ndarray, targets: dict[str, np.ndarray]) -> np.ndarray:
    """Return (V,) numbers, equal for vertices of a node's mesh that lie and move as one.

    Lips that touch at rest lie as one, but do not move so.
    """
    code = owner.astype(np.uint64)
    for array in (vertices, *targets.values()):
        for axis in range(3):
            bits = np.ascontiguousarray(array[:, axis] + np.float32(0)).view(np.uint32).astype(np.uint64)  # + 0: no -0.0
            code = (code ^ bits) * np.uint64(0x9E3779B97F4A7C15)
            code ^= code >> np.uint64(29)
    return np.unique(code, return_inverse=True)[1].reshape(-1)


class _Scene:
    """A file's scene: where its nodes stand, and what they show."""

    def __init__(self, path: Path, table: Table) -> None:
        self.path = path
        avatar = AvatarFile(path)
        self.glb = avatar.glb
        self.json = self.glb.tree
        self.drive = plan(avatar, table)
        hard = [name for name in self.json.get("extensionsRequired", []) if name in UNREADABLE]
        if hard:
            raise InputError(
                f"{path} is compressed ({', '.join(hard)}); expected plain accessors; expand it with gltf-transform copy"
            )
        self.worlds = avatar.worlds
        self.paint = Paint(self.glb)

    def pieces(self) -> list[_Piece]:
        """Return every triangle primitive of the scene, in the order of its nodes."""
        found: list[_Piece] = []
        total = 0
        for index in sorted(self.worlds):
            node = self.glb.item("nodes", index)
            if "mesh" not in node:
                continue
            mesh = self.glb.item("meshes", node["mesh"])
            for primitive in mesh["primitives"]:
                mode = primitive.get("mode", TRIANGLES)
                if mode in (TRIANGLES, TRIANGLE_STRIP, TRIANGLE_FAN) and self.paint.shows(self._material(primitive)):
                    found.append(self._piece(index, node, mesh, primitive))
                    total += max(len(found[-1].vertices), len(found[-1].faces) // 2, LEAST_VERTICES)
                    if total > MOST_VERTICES:
                        raise InputError(f"{self.path} shows more than {MOST_VERTICES:,} vertices, or {len(found) - 1:,} "
                                         "primitives; expected a character; export it with less detail")  # fmt: skip
        return found

    def _material(self, primitive: dict[str, Any]) -> dict[str, Any]:
        return self.glb.item("materials", primitive["material"]) if "material" in primitive else {}

    def _piece(self, index: int, node: dict[str, Any], mesh: dict[str, Any], primitive: dict[str, Any]) -> _Piece:
        attributes = primitive["attributes"]
        rest = self.glb.array(attributes["POSITION"]).astype(np.float64)  # (V, 3)
        count = len(rest)
        corners = self.glb.array(primitive["indices"]) if "indices" in primitive else np.arange(count)
        faces = _triangles(corners.astype(np.int64), primitive.get("mode", TRIANGLES))
        if len(faces) and (faces.min() < 0 or faces.max() >= count):
            raise ValueError(f"a face names vertex {int(faces.max())} of {count}")
        targets = primitive.get("targets", [])
        names = primitive.get("extras", {}).get("targetNames") or mesh.get("extras", {}).get("targetNames") or []
        names = [str(name) for name in names[: len(targets)]]
        names += [f"target_{number}" for number in range(len(names), len(targets))]
        weights = [float(weight) for weight in node.get("weights", mesh.get("weights", []))][: len(targets)]
        weights += [0.0] * (len(targets) - len(weights))

        turn, shift = self._placement(index, node, attributes, count)  # (V, 3, 3) or (1, 3, 3), (V, 3) or (1, 3)
        turn = np.broadcast_to(turn, (count, 3, 3))
        moved: dict[str, np.ndarray] = {}
        weighted = np.zeros((count, 3), np.float32)
        none = np.zeros((len(targets), 0))
        controls = self.drive.targets.get(node["mesh"], none)  # (M, C)
        stilled = self.drive.stilled.get(node["mesh"], np.zeros(len(targets), dtype=bool))  # (M,)
        for number, (target, weight) in enumerate(zip(targets, weights, strict=True)):
            driving = np.flatnonzero(controls[number])
            if "POSITION" not in target or (not len(driving) and not weight):
                continue
            offsets = self.glb.array(target["POSITION"], count).astype(np.float64)
            rest = rest + weight * offsets
            turned = np.einsum("vij,vj->vi", turn, offsets).astype(np.float32)
            for control in driving:
                label, share = self.drive.controls[control].label, np.float32(controls[number, control])
                moved[label] = moved.get(label, 0.0) + share * turned
            if len(driving) or stilled[number]:
                weighted += np.float32(weight) * turned
        placed = np.einsum("vij,vj->vi", turn, rest) + shift
        if np.linalg.det(turn.mean(axis=0)) < 0:
            faces = faces[:, ::-1]
        material = self._material(primitive)
        color = self.glb.array(attributes["COLOR_0"], count) if "COLOR_0" in attributes else None
        uvs = {
            int(name.removeprefix("TEXCOORD_")): self.glb.array(place, count).astype(np.float32)
            for name, place in attributes.items()
            if name.startswith("TEXCOORD_")
        }
        return _Piece(
            node=index,
            name=" ".join(str(part.get("name", "")) for part in (node, mesh, material)),
            vertices=placed.astype(np.float32),
            faces=faces,
            material=self.paint.material(material, count, color, uvs),
            target_names=names,
            targets=moved,
            weighted=weighted,
        )

    def _placement(
        self, index: int, node: dict[str, Any], attributes: dict[str, int], count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the linear parts (V or 1, 3, 3) and shifts (V or 1, 3) that put a mesh's vertices into the scene."""
        if "skin" not in node or "JOINTS_0" not in attributes:
            world = self.worlds[index][None]
            return world[:, :3, :3], world[:, :3, 3]
        # A skinned mesh stands where its joints put it, whatever its own node says.
        skin = self.glb.item("skins", node["skin"])
        joints = [self.worlds[joint] for joint in skin["joints"]]
        if "inverseBindMatrices" in skin:
            matrices = self.glb.array(skin["inverseBindMatrices"])
            inverse = matrices.reshape(-1, 4, 4).transpose(0, 2, 1).astype(np.float64)
        else:
            inverse = np.tile(np.eye(4), (len(joints), 1, 1))
        posed = np.stack([joint @ bind for joint, bind in zip(joints, inverse, strict=True)])[:, :3]  # (J, 3, 4)
        blended = np.zeros((count, 3, 4))
        total = np.zeros(count)
        number = 0
        while f"JOINTS_{number}" in attributes:
            which = self.glb.array(attributes[f"JOINTS_{number}"], count).astype(np.int64)
            weights = self.glb.array(attributes[f"WEIGHTS_{number}"], count).astype(np.float64)
            for corner in range(which.shape[1]):
                blended += weights[:, corner, None, None] * posed[which[:, corner]]
                total += weights[:, corner]
            number += 1
        blended /= np.maximum(total, 1e-9)[:, None, None]
        return blended[:, :, :3], blended[:, :, 3]


def _triangles(corners: np.ndarray, mode: int) -> np.ndarray:
    """Return (F, 3) triangles of a list, a strip or a fan."""
    if mode == TRIANGLES:
        return corners[: len(corners) // 3 * 3].reshape(-1, 3)
    if len(corners) < 3:
        return np.zeros((0, 3), np.int64)
    if mode == TRIANGLE_FAN:
        return np.stack([np.full(len(corners) - 2, corners[0]), corners[1:-1], corners[2:]], axis=1)
    faces = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=1)
    faces[1::2] = faces[1::2, ::-1]
    return faces
