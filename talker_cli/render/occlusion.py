"""How much of the sky each vertex sees: soft darkness under the chin, beside the nose, behind the teeth.

The light of the shader knows nothing of what stands between. So the mesh is looked at once from many sides; a vertex that a
side's depth map does not hide sees the sky there. One mouth pose stands for all, lips drawn back, so that teeth and tongue
keep some light and the throat none.
"""

from collections.abc import Callable

import numpy as np

from talker_cli.mesh import VertexNormals
from talker_cli.rig import Rig

DIRECTIONS = 40
PIXELS = 256  # of a depth map's side
LIFT = 0.004  # of the mesh's radius: how far over the surface a vertex looks, so that it does not hide itself
OPEN_POSE = {"jawOpen": 0.3, "mouthLowerDownLeft": 0.6, "mouthLowerDownRight": 0.6, "mouthUpperUpLeft": 0.6,
             "mouthUpperUpRight": 0.6, "mouthSmileLeft": 0.3, "mouthSmileRight": 0.3}  # fmt: skip

DrawDepth = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (V, 3) vertices, (4, 4) projection -> (H, W) depth, 0 near … 1 far


def occlusion_pose(rig: Rig) -> np.ndarray:
    """Return (V, 3) vertices: the template with the mouth open and the lips drawn back, if the rig can."""
    vertices = rig.template.astype(np.float32, copy=True)
    for name, amount in OPEN_POSE.items():
        if name in rig.names:
            vertices += amount * rig.basis[rig.names.index(name)]
    return vertices


def sky_seen(vertices: np.ndarray, faces: np.ndarray, draw_depth: DrawDepth) -> np.ndarray:
    """Return (V,) float32 in 0…1: the share of its sky, weighted by the cosine, that each vertex sees.

    Args:
        vertices: (V, 3).
        faces: (F, 3).
        draw_depth: draws the vertices under an orthographic projection and returns the depth map.
    """
    normals = VertexNormals(faces, len(vertices))(vertices)
    center = (vertices.max(axis=0) + vertices.min(axis=0)) / 2
    radius = float(np.linalg.norm(vertices - center, axis=1).max()) * 1.02
    points = vertices + normals * (LIFT * radius)
    seen = np.zeros(len(vertices), dtype=np.float32)
    total = np.full(len(vertices), 1e-6, dtype=np.float32)
    for direction in fibonacci_sphere(DIRECTIONS):
        projection = _orthographic(center, radius, direction)
        depth = draw_depth(vertices, projection)
        place = points @ projection[:3, :3].T + projection[:3, 3]  # (V, 3) in -1…1
        column = np.clip(((place[:, 0] + 1) / 2 * depth.shape[1]).astype(np.int64), 0, depth.shape[1] - 1)
        row = np.clip(((place[:, 1] + 1) / 2 * depth.shape[0]).astype(np.int64), 0, depth.shape[0] - 1)
        weight = np.maximum(normals @ direction, 0.0).astype(np.float32)
        seen += weight * ((place[:, 2] + 1) / 2 <= depth[row, column])
        total += weight
    return _smoothed(seen / total, faces)


def fibonacci_sphere(count: int) -> np.ndarray:
    """Return (count, 3) unit vectors spread evenly over the sphere."""
    index = np.arange(count) + 0.5
    height = 1 - 2 * index / count
    angle = np.pi * (1 + np.sqrt(5)) * index
    ring = np.sqrt(1 - height**2)
    return np.stack([ring * np.cos(angle), height, ring * np.sin(angle)], axis=1)


def _orthographic(center: np.ndarray, radius: float, direction: np.ndarray) -> np.ndarray:
    """Return (4, 4): the ball round `center`, seen from `direction`, to OpenGL's cube."""
    helper = np.array([0.0, 1.0, 0.0]) if abs(direction[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    right = np.cross(helper, direction)
    right /= np.linalg.norm(right)
    rows = np.stack([right, np.cross(direction, right), -direction]) / radius
    matrix = np.eye(4)
    matrix[:3, :3] = rows
    matrix[:3, 3] = -rows @ center
    return matrix


def _smoothed(values: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return (V,) values averaged with their neighbours', against the noise of few directions."""
    corners = faces.reshape(-1).astype(np.int64)
    for _ in range(2):
        mean = np.repeat(values[faces].mean(axis=1), 3)  # (3F,) each face's mean at its corners
        count = np.bincount(corners, minlength=len(values))
        around = np.bincount(corners, weights=mean, minlength=len(values)) / np.maximum(count, 1)
        values = np.where(count > 0, around, values).astype(np.float32)
    return values
