"""Where the nodes of a glTF scene stand: (4, 4) transforms into the scene's space."""

from typing import Any

import numpy as np

from talker_cli.formats.gltf import Glb

# VRM 0.x looks along -z by its specification; glTF, VRM 1.0 and talker look along +z.
VRM_0 = "VRM"
TURNED_ROUND = np.diag([-1.0, 1.0, -1.0, 1.0])


def worlds(glb: Glb) -> dict[int, np.ndarray]:
    """Return the (4, 4) transform of every node of the scene; a VRM 0.x is turned to look along +z.

    Raises:
        InputError: a node does not exist.
        ValueError: a node has two parents, or is its own.
    """
    nodes = glb.tree.get("nodes", [])
    if glb.tree.get("scenes"):
        roots = glb.item("scenes", glb.tree.get("scene", 0)).get("nodes", [])
    else:
        children = {child for node in nodes for child in node.get("children", [])}
        roots = [index for index in range(len(nodes)) if index not in children]
    upright = TURNED_ROUND if VRM_0 in glb.tree.get("extensions", {}) else np.eye(4)
    todo = [(root, upright) for root in roots]
    found: dict[int, np.ndarray] = {}
    while todo:
        index, parent = todo.pop()
        if index in found:
            raise ValueError(f"node {index} has two parents")
        node = glb.item("nodes", index)
        found[index] = parent @ local(node)
        todo += [(child, found[index]) for child in node.get("children", [])]
    return found


def local(node: dict[str, Any]) -> np.ndarray:
    """Return a node's own (4, 4) transform: its matrix, or translation, rotation (a quaternion x y z w) and scale."""
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    matrix = np.eye(4)
    if "rotation" in node:
        matrix[:3, :3] = matrix_of(np.array(node["rotation"], dtype=np.float64))
    if "scale" in node:
        matrix[:3, :3] *= np.array(node["scale"], dtype=np.float64)
    matrix[:3, 3] = node.get("translation", [0, 0, 0])
    return matrix


def matrix_of(quaternion: np.ndarray) -> np.ndarray:
    """Return the (..., 3, 3) rotation of quaternions x y z w (..., 4) of length one."""
    x, y, z, w = np.moveaxis(quaternion, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def quaternions_of(matrices: np.ndarray) -> np.ndarray:
    """Return quaternions x y z w (T, 4) of rotations (T, 3, 3), each on the side of the one before it."""
    m = matrices
    # Of the four ways to read a quaternion off a rotation, the one with the largest divisor.
    diagonal = np.stack([m[:, 0, 0], m[:, 1, 1], m[:, 2, 2]], 1)
    squares = np.column_stack([1 + 2 * diagonal - diagonal.sum(1, keepdims=True), 1 + diagonal.sum(1)])  # 4 x², y², z², w²
    products = np.empty((len(m), 4, 4))  # 4 q qᵀ
    for axis in range(4):
        products[:, axis, axis] = squares[:, axis]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        products[:, one, other] = products[:, other, one] = m[:, one, other] + m[:, other, one]
    for axis, (one, other) in enumerate(((2, 1), (0, 2), (1, 0))):
        products[:, axis, 3] = products[:, 3, axis] = m[:, one, other] - m[:, other, one]
    found = products[np.arange(len(m)), squares.argmax(1)]
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    flips = np.cumprod(np.where((found[1:] * found[:-1]).sum(1) < 0, -1.0, 1.0))
    found[1:] *= flips[:, None]
    return found


def rotation_of(matrix: np.ndarray) -> np.ndarray:
    """Return the (3, 3) rotation nearest to a transform's linear part, without scale and mirroring."""
    left, _, right = np.linalg.svd(matrix[:3, :3])
    return np.asarray(left @ np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right)) or 1.0]) @ right)
