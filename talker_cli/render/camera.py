"""The camera: a portrait lens, framed once by the bounds of the first frame."""

from dataclasses import dataclass

import numpy as np

FIELD_OF_VIEW = np.radians(18.0)  # vertical, radians: about a 110 mm lens, which does not enlarge the nose
MARGIN = 1.10  # extent of the image over that of the mesh
BELOW_THE_LIPS = 0.50  # lower edge of a portrait, in heights from lips to crown

YAWS = {"front": 0.0, "three-quarter": 35.0, "side": 90.0}  # degrees; positive: the camera at the subject's left
TURNTABLE = "turntable"
TURN_SECONDS = 8.0  # of one turn, about: whole turns fill the video


@dataclass(frozen=True)
class View:
    """A camera.

    Args:
        pose: (4, 4), camera to world.
        field_of_view: Vertical field of view, radians.
        near: Distance of the near clipping plane, in the mesh's unit.
        far: Distance of the far clipping plane.
    """

    pose: np.ndarray
    field_of_view: float
    near: float
    far: float


class Framing:
    """The framing of a mesh of any scale, from any direction.

    With known lips it is a portrait, from above the crown to the neck; the shoulders may be cut.

    Args:
        vertices: (V, 3), whose bounds are framed.
        size: Width and height of the image, pixels.
        lips: (V,) bool, the lips' vertices.
    """

    def __init__(self, vertices: np.ndarray, size: tuple[int, int], lips: np.ndarray | None = None) -> None:
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        self._aspect = size[0] / size[1]
        shown, self._cut = vertices, False
        portrait = lips is not None and lips.any()
        if portrait:
            mouth = float(vertices[lips, 1].mean())
            bottom = mouth - BELOW_THE_LIPS * (float(high[1]) - mouth)
            self._cut = bool(low[1] < bottom)
            shown = vertices[vertices[:, 1] >= bottom]
        center = (shown.min(axis=0) + shown.max(axis=0)) / 2
        self._bust = np.zeros(len(shown), dtype=bool)
        if portrait:
            head = shown[shown[:, 1] >= mouth]
            center[[0, 2]] = (head.min(axis=0) + head.max(axis=0))[[0, 2]] / 2
            self._bust = shown[:, 1] < mouth
            if self._cut:  # room over the crown, none below
                center[1] = (bottom + float(high[1]) + (MARGIN - 1) * (float(high[1]) - bottom) / 2) / 2
        self.center = center
        self._offset = shown - center
        self._radius = max(float(np.linalg.norm(high - low)) / 2, 1e-9)
        # Radius of a ball that holds the mesh above the portrait's lower edge.
        self.radius = max(float(np.linalg.norm(self._offset, axis=1).max()), 1e-9)

    def distance(self, yaw: float) -> float:
        """Return the distance at which the camera holds the subject, seen from a yaw in degrees."""
        right, up, back = _axes(yaw)
        across, along, towards = self._offset @ right, self._offset @ up, self._offset @ back
        # Move back until every vertex lies inside both pairs of the image's edges; shoulders may leave it at the sides.
        half_height = np.tan(FIELD_OF_VIEW / 2)
        sideways = np.where(self._bust, 0.0, np.abs(across) / (half_height * self._aspect))
        upwards = np.where(self._bust & self._cut, 0.0, np.abs(along) / half_height)
        return max(float((np.maximum(sideways, upwards) * MARGIN + towards).max()), 1e-9)

    def all_round(self) -> float:
        """Return the distance at which the camera holds the subject from every side."""
        return max(self.distance(yaw) for yaw in range(0, 360, 15))

    def view(self, yaw: float, distance: float | None = None) -> View:
        """Return the camera at a yaw in degrees and a distance; as near as that side allows if none is given."""
        distance = self.distance(yaw) if distance is None else distance
        right, up, back = _axes(yaw)
        pose = np.eye(4)
        pose[:3, 0], pose[:3, 1], pose[:3, 2] = right, up, back
        pose[:3, 3] = self.center + distance * back
        near = max(distance - 2 * self._radius, 0.05 * distance)
        return View(pose, float(FIELD_OF_VIEW), near, distance + 3 * self._radius)


def turntable_yaw(share: float, seconds: float) -> float:
    """Return the yaw, degrees, after a share, 0…1, of a turntable's video: whole turns of about `TURN_SECONDS`."""
    return 360.0 * max(1, round(seconds / TURN_SECONDS)) * share


def _axes(yaw: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the world's directions to the image's right, up, and from the subject to the camera."""
    angle = np.radians(yaw)
    right = np.array([np.cos(angle), 0.0, -np.sin(angle)])
    return right, np.array([0.0, 1.0, 0.0]), np.array([np.sin(angle), 0.0, np.cos(angle)])
