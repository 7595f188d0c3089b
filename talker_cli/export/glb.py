"""A head, and its animation if there is one, as binary glTF: sparse morph targets, a material for each part, a skin that turns.

A head that turns has two joints, `neck` and `head`; the second one's rotation is animated, the morph targets are those of a
head at rest.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from talker_cli.avatar.scene import quaternions_of
from talker_cli.export.attribution import GENERATOR, copyright_of
from talker_cli.export.materials import Material, linear_colors, material_faces, moved_normals
from talker_cli.formats.gltf import INDICES, VERTICES, GlbWriter
from talker_cli.rig import Rig, head_matrices

HEAD_NODE = 2  # of the nodes: the mesh, the joint of the neck, that of the head


def head_glb(
    rig: Rig,
    *,
    name: str,
    coefficients: np.ndarray | None = None,
    fps: float | None = None,
    extras: dict[str, Any] | None = None,
    copyright: str | None = None,
) -> bytes:
    """Return a GLB of a rig with its K shapes as morph targets, named in `mesh.extras.targetNames`.

    Args:
        rig: Template, shapes and colours of one identity.
        name: Name of the node and the mesh.
        coefficients: (T, K) coefficients of an animation; None for a head at rest.
        fps: Frame rate of the animation; the rig's if None.
        extras: Further metadata, under `asset.extras`.
        copyright: Owner and licence of the head; None where it is the built-in one's, or not known.
    """
    writer = GlbWriter(GENERATOR, copyright or copyright_of(rig))
    tree = writer.tree
    if extras:
        tree["asset"]["extras"] = extras
    rest, changes = moved_normals(rig)
    shapes = list(changes)
    found = material_faces(rig)
    tree["materials"] = [_material(material) for material, _ in found]
    colors = np.full((len(rig.template), 4), 65535, np.uint16)  # glTF's vertex colours are linear, and need the bits
    colors[:, :3] = np.round(65535 * linear_colors(rig))
    normals = _unit(rest)
    primitives = [
        _primitive(writer, rig, normals, colors, shapes, rig.faces[faces], number) for number, (_, faces) in enumerate(found)
    ]
    tree["meshes"] = [{"name": name, "primitives": primitives, "extras": {"targetNames": list(rig.face_names)}}]
    tree["nodes"] = [{"name": name, "mesh": 0}]
    tree["scenes"] = [{"nodes": [0]}]
    tree["scene"] = 0
    if rig.neck is not None:
        pivot = rig.neck.pivot.astype(float).tolist()
        tree["nodes"][0]["skin"] = 0
        tree["nodes"] += [{"name": "neck", "children": [HEAD_NODE]}, {"name": "head", "translation": pivot}]
        tree["scenes"][0]["nodes"].append(HEAD_NODE - 1)
        binds = np.tile(np.eye(4, dtype=np.float32), (2, 1, 1))
        binds[1, 3, :3] = -rig.neck.pivot  # column by column
        matrices = writer.accessor(binds.reshape(2, 16))
        tree["skins"] = [{"joints": [HEAD_NODE - 1, HEAD_NODE], "skeleton": HEAD_NODE - 1, "inverseBindMatrices": matrices}]
    if coefficients is not None:
        rate = rig.fps if fps is None else fps
        times = writer.accessor((np.arange(len(coefficients)) / rate).astype(np.float32), bounds=True)
        shapes_end = len(rig.face_names)
        tracks = [(0, "weights", coefficients[:, :shapes_end].astype(np.float32).reshape(-1))]
        if rig.has_head:
            turned = quaternions_of(head_matrices(coefficients[:, shapes_end:].astype(np.float64)))
            tracks.append((HEAD_NODE, "rotation", turned.astype(np.float32)))
        samplers = [{"input": times, "output": writer.accessor(values), "interpolation": "LINEAR"} for _, _, values in tracks]
        channels = [
            {"sampler": number, "target": {"node": node, "path": path}} for number, (node, path, _) in enumerate(tracks)
        ]
        tree["animations"] = [{"name": "speech", "samplers": samplers, "channels": channels}]
    return writer.to_bytes()


def _primitive(
    writer: GlbWriter,
    rig: Rig,
    normals: np.ndarray,
    colors: np.ndarray,
    shapes: Sequence[tuple[np.ndarray, np.ndarray]],
    faces: np.ndarray,
    material: int,
) -> dict[str, Any]:
    """Return a primitive of some of the rig's faces, with vertices of its own."""
    used, corners = np.unique(faces, return_inverse=True)  # (N,) the rig's vertices, (3F,) places among them
    attributes = {
        "POSITION": writer.accessor(rig.template[used].astype(np.float32), target=VERTICES, bounds=True),
        "NORMAL": writer.accessor(normals[used], target=VERTICES),
        "COLOR_0": writer.accessor(colors[used], target=VERTICES, normalized=True),
    }
    if rig.neck is not None:
        share = rig.neck.weights[used]
        joints, weights = np.zeros((len(used), 4), np.uint8), np.zeros((len(used), 4), np.float32)
        joints[:, 0] = share > 0  # the head first, then the neck
        weights[:, 0], weights[:, 1] = np.where(share > 0, (share, 1 - share), ([1], [0]))
        attributes["JOINTS_0"] = writer.accessor(joints, target=VERTICES)
        attributes["WEIGHTS_0"] = writer.accessor(weights, target=VERTICES)
    groups = []
    for offsets, turns in shapes:
        rows = np.flatnonzero((offsets[used] != 0).any(axis=1) | (turns[used] != 0).any(axis=1))
        groups.append((rows, (offsets[used[rows]], turns[used[rows]])))
    targets = [{"POSITION": offset, "NORMAL": turn} for offset, turn in writer.sparse(len(used), groups)]
    kind = np.uint16 if len(used) < 1 << 16 else np.uint32  # the highest number of a type ends a strip
    return {
        "attributes": attributes,
        "indices": writer.accessor(corners.reshape(-1).astype(kind), target=INDICES),
        "material": material,
        "targets": targets,
    }


def _material(material: Material) -> dict[str, Any]:
    surface = {"metallicFactor": 0.0, "roughnessFactor": material.roughness}
    return {"name": material.name, "pbrMetallicRoughness": surface, "doubleSided": True}


def _unit(normals: np.ndarray) -> np.ndarray:
    """Return (V, 3) float32 normals of length one, upwards where a vertex has none."""
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 0.5, normals / np.maximum(length, 1e-12), np.array([0.0, 1.0, 0.0])).astype(np.float32)
