"""Where the camera stands: a portrait lens, framed once from the bounds of the first frame."""

from dataclasses import dataclass

import numpy as np

FIELD_OF_VIEW = np.radians(18.0)  # of the picture's height: about an 110 mm lens, which does not swell the nose
MARGIN = 1.10  # the picture's extent over the mesh's


@dataclass(frozen=True)
class View:
    """A camera.

    Args:
        pose: (4, 4), camera to world.
        field_of_view: of the picture's height, radians.
        near: of the clipping planes, metres.
        far: the other.
    """

    pose: np.ndarray
    field_of_view: float
    near: float
    far: float


def frame(vertices: np.ndarray, size: tuple[int, int], yaw: float = 0.0) -> View:
    """Return the view that holds (V, 3) vertices of any scale, from the front or turned about the vertical.

    Args:
        size: width and height, pixels.
        yaw: degrees; positive moves the camera to the subject's left.
    """
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    center = (low + high) / 2
    radius = max(float(np.linalg.norm(high - low)) / 2, 1e-9)
    angle = np.radians(yaw)
    right = np.array([np.cos(angle), 0.0, -np.sin(angle)])
    up = np.array([0.0, 1.0, 0.0])
    back = np.array([np.sin(angle), 0.0, np.cos(angle)])  # from the subject to the camera

    # Move back until every vertex lies inside both pairs of the picture's edges.
    offset = vertices - center
    across, along, towards = offset @ right, offset @ up, offset @ back
    half_height = np.tan(FIELD_OF_VIEW / 2)
    half_width = half_height * size[0] / size[1]
    middle = (across.max() + across.min()) / 2
    across = across - middle
    needed = np.maximum(np.abs(across) / half_width, np.abs(along) / half_height) * MARGIN + towards
    distance = float(needed.max())

    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2] = right, up, back
    pose[:3, 3] = center + middle * right + distance * back
    return View(pose, float(FIELD_OF_VIEW), max(distance - 1.5 * radius, 0.05 * distance), distance + 3 * radius)
