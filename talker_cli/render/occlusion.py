"""Ambient occlusion and the key light's shadow: under the chin, beside the nose, behind the teeth.

The mesh is drawn once from many directions; a vertex that a direction's depth map does not hide is lit from
there. It is computed in one pose, mouth open and lips drawn back: teeth and tongue keep some light, the throat none.
"""

from collections.abc import Callable

import numpy as np

from talker_cli.formats.mesh import VertexNormals
from talker_cli.rig import Rig

DIRECTIONS = 96
PIXELS = 256  # side of a depth map
LIFT = 0.004  # in the mesh's radius: the test point's height above the surface, so that a vertex does not hide itself
HORIZON = 0.08  # cosine below which a direction grazes the surface and its depth test is unreliable
SOFTNESS = 14.0  # size of the key light: exp(-SOFTNESS (1 - cos)), half of whose weight lies within 18 degrees of its middle
OPEN_POSE = {"jawOpen": 0.42, "mouthLowerDownLeft": 0.6, "mouthLowerDownRight": 0.6, "mouthUpperUpLeft": 0.6,
             "mouthUpperUpRight": 0.6, "mouthSmileLeft": 0.3, "mouthSmileRight": 0.3}  # fmt: skip

DrawDepth = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (V, 3) vertices, (4, 4) projection -> (H, W) depth, 0 near … 1 far


def occlusion_pose(rig: Rig) -> np.ndarray:
    """Return (V, 3) vertices: the template with the mouth open and the lips drawn back, as far as the rig has the shapes."""
    vertices = rig.template.astype(np.float32, copy=True)
    for name, amount in OPEN_POSE.items():
        if name in rig.names:
            vertices += amount * rig.basis[rig.names.index(name)]
    return vertices


class Visibility:
    """Directions from which each vertex is visible.

    Args:
        vertices: (V, 3).
        faces: (F, 3).
        draw_depth: Function that draws the vertices under an orthographic projection and returns the depth map.
        center: (3,) middle of the ball in which occlusion is computed; the mesh's own if None.
        radius: Radius of that ball; vertices outside count as visible.
    """

    def __init__(
        self,
        vertices: np.ndarray,
        faces: np.ndarray,
        draw_depth: DrawDepth,
        center: np.ndarray | None = None,
        radius: float | None = None,
    ) -> None:
        normals = VertexNormals(faces, len(vertices))(vertices)
        if center is None or radius is None:
            center = (vertices.max(axis=0) + vertices.min(axis=0)) / 2
            radius = float(np.linalg.norm(vertices - center, axis=1).max())
        radius *= 1.02
        points = vertices + normals * (LIFT * radius)
        self._faces = faces
        self._directions = fibonacci_sphere(DIRECTIONS).astype(np.float32)
        self._cosine = normals @ self._directions.T  # (V, D)
        self._seen = np.empty(self._cosine.shape, dtype=bool)
        for index, direction in enumerate(self._directions):
            projection = _orthographic(center, radius, direction)
            depth = draw_depth(vertices, projection)
            place = points @ projection[:3, :3].T + projection[:3, 3]  # (V, 3) in -1…1
            column = np.clip(((place[:, 0] + 1) / 2 * depth.shape[1]).astype(np.int64), 0, depth.shape[1] - 1)
            row = np.clip(((place[:, 1] + 1) / 2 * depth.shape[0]).astype(np.int64), 0, depth.shape[0] - 1)
            hidden = (place[:, 2] + 1) / 2 > depth[row, column]
            self._seen[:, index] = ~hidden | (np.abs(place) > 1).any(axis=1)

    def sky(self) -> np.ndarray:
        """Return the (V,) float32 share, 0…1, of the hemisphere that is visible from each vertex, weighted by the cosine."""
        weight = np.maximum(self._cosine, 0.0)
        return self._smoothed((weight * self._seen).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-6))

    def towards(self, direction: np.ndarray) -> np.ndarray:
        """Return the (V,) float32 share, 0…1, of a large light visible from each vertex; 1 where it faces away from it."""
        lobe = np.exp(SOFTNESS * (self._directions @ np.asarray(direction, np.float32) - 1))  # (D,)
        weight = lobe * (self._cosine > HORIZON)
        total = weight.sum(axis=1)
        known = total > 1e-3
        share = (weight * self._seen).sum(axis=1) / np.where(known, total, 1.0)
        return self._smoothed(np.where(known, share, 1.0))

    def _smoothed(self, values: np.ndarray) -> np.ndarray:
        """Return (V,) values averaged with their neighbours', to remove the noise of few directions."""
        corners = self._faces.reshape(-1).astype(np.int64)
        count = np.bincount(corners, minlength=len(values))
        for _ in range(2):
            mean = np.repeat(values[self._faces].mean(axis=1), 3)  # (3F,) each face's mean at its corners
            around = np.bincount(corners, weights=mean, minlength=len(values)) / np.maximum(count, 1)
            values = np.where(count > 0, around, values)
        return values.astype(np.float32)


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
