"""Where the camera stands: a portrait lens, framed once from the bounds of the first frame."""

from dataclasses import dataclass

import numpy as np

FIELD_OF_VIEW = np.radians(18.0)  # of the picture's height: about an 110 mm lens, which does not swell the nose
MARGIN = 1.10  # the picture's extent over the mesh's
BELOW_THE_LIPS = 0.50  # how far a portrait reaches below them, in heights from lips to crown


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


def frame(vertices: np.ndarray, size: tuple[int, int], yaw: float = 0.0, lips: np.ndarray | None = None) -> View:
    """Return the view that holds a mesh of any scale, from the front or turned about the vertical.

    With the lips known, it is a portrait: from over the crown to the neck, shoulders running out of the picture.

    Args:
        vertices: (V, 3).
        size: width and height, pixels.
        yaw: degrees; positive moves the camera to the subject's left.
        lips: (V,) bool, the lips' vertices.
    """
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    radius = max(float(np.linalg.norm(high - low)) / 2, 1e-9)
    angle = np.radians(yaw)
    right = np.array([np.cos(angle), 0.0, -np.sin(angle)])
    up = np.array([0.0, 1.0, 0.0])
    back = np.array([np.sin(angle), 0.0, np.cos(angle)])  # from the subject to the camera

    shown, cut = vertices, False
    if lips is not None and lips.any():
        mouth = float(vertices[lips, 1].mean())
        bottom = mouth - BELOW_THE_LIPS * (float(high[1]) - mouth)
        cut = bool(low[1] < bottom)
        shown = vertices[vertices[:, 1] >= bottom]
    center = (shown.min(axis=0) + shown.max(axis=0)) / 2
    if lips is not None and lips.any():
        head = shown[shown[:, 1] >= mouth]
        center[[0, 2]] = (head.min(axis=0) + head.max(axis=0))[[0, 2]] / 2
        bust = shown[:, 1] < mouth
        if cut:  # room over the crown, none below
            center[1] = (bottom + float(high[1]) + (MARGIN - 1) * (float(high[1]) - bottom) / 2) / 2
    else:
        bust = np.zeros(len(shown), dtype=bool)

    # Move back until every vertex lies inside both pairs of the picture's edges; shoulders may leave it at the sides.
    offset = shown - center
    across, along, towards = offset @ right, offset @ up, offset @ back
    half_height = np.tan(FIELD_OF_VIEW / 2)
    half_width = half_height * size[0] / size[1]
    sideways = np.where(bust, 0.0, np.abs(across) / half_width)
    upwards = np.where(bust & cut, 0.0, np.abs(along) / half_height)
    distance = float((np.maximum(sideways, upwards) * MARGIN + towards).max())

    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2] = right, up, back
    pose[:3, 3] = center + distance * back
    return View(pose, float(FIELD_OF_VIEW), max(distance - 2 * radius, 0.05 * distance), distance + 3 * radius)
