"""The head's pose from points that keep still while a face speaks: landmarks (T, P, 3) without head and camera motion."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from talker_cli.rig import head_angles

STEADY = 0.04  # seconds, std of the Gaussian that smooths the head's rotation: nods last ten times as long
ROUNDS = 3  # of aligning frames with their mean


@dataclass(frozen=True)
class Posed:
    """Landmarks and what takes them to the head's own space, and how the head was turned.

    Args:
        landmarks: (T, P, 3) as they were found.
        frames: (T,) the frame whose landmarks stand for each: itself, or the nearest one with a face.
        scale: (T,) metres a unit of the landmarks.
        turn: (T, 3, 3) rotation to the head's space.
        shift: (T, 3) metres.
        rotation: (T, 3) pitch, yaw and roll of the head in radians about its own mean pose: +pitch looks down, +yaw to the
            subject's left, +roll tilts towards the subject's right shoulder.
    """

    landmarks: np.ndarray
    frames: np.ndarray
    scale: np.ndarray
    turn: np.ndarray
    shift: np.ndarray
    rotation: np.ndarray

    def points(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return landmarks (N, P, 3) in the head's space: metres, +y up, +z out of the face, +x the subject's left."""
        found = self.landmarks[self.frames[rows]].astype(np.float64)
        return _moved(found, self.scale[rows], self.turn[rows], self.shift[rows])

    def steady(self, fps: float) -> np.ndarray:
        """Return `rotation` as float32 without the tracker's noise, which shakes a head by tenths of a degree a frame."""
        return gaussian_filter1d(self.rotation, STEADY * fps, axis=0, mode="nearest").astype(np.float32)


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scales (T,), rotations (T, 3, 3) and shifts (T, 3) with `scale * rotation @ source + shift ~ target`.

    The least-squares similarity of point sets, source (T, N, 3), target (N, 3) (Umeyama 1991).
    """
    source_mean, target_mean = source.mean(1), target.mean(0)
    moved, goal = source - source_mean[:, None], target - target_mean
    left, sizes, right = np.linalg.svd(np.einsum("ni,tnj->tij", goal, moved))
    signs = np.ones_like(sizes)
    signs[:, 2] = np.sign(np.linalg.det(left @ right))
    rotation = (left * signs[:, None]) @ right
    scale = (sizes * signs).sum(1) / np.square(moved).sum((1, 2))
    return scale, rotation, target_mean - scale[:, None] * np.einsum("tij,tj->ti", rotation, source_mean)


def remove_pose(landmarks: np.ndarray, seen: np.ndarray, still: Sequence[int], head: np.ndarray) -> Posed:
    """Align every frame with the head by its still points.

    Args:
        landmarks: (T, P, 3) of any scale, +y up, +z towards the camera.
        seen: (T,) bool; frames without a face keep the pose of their neighbours.
        still: N indices of points in `landmarks` that keep still. The first two, the eyes' outer corners, give the scale.
        head: (N, 3) the same points of the head at rest, metres.
    """
    frames = np.flatnonzero(seen)
    after = np.minimum(np.searchsorted(frames, np.arange(len(seen))), len(frames) - 1)
    before = np.maximum(after - 1, 0)
    later = np.abs(frames[after] - np.arange(len(seen))) < np.abs(frames[before] - np.arange(len(seen)))
    nearest = frames[np.where(later, after, before)]
    points = landmarks[:, still][nearest].astype(np.float64)
    mean = points[0]
    for _ in range(ROUNDS):
        scale, rotation, shift = similarity(points, mean)
        mean = _moved(points, scale, rotation, shift).mean(0)
    scale, rotation, shift = (part[0] for part in similarity(mean[None], head))
    person = scale * mean @ rotation.T + shift  # the person's own still points, in the head's place
    middle = person.mean(0)
    person = middle + (person - middle) * np.linalg.norm(head[0] - head[1]) / np.linalg.norm(person[0] - person[1])
    scale, rotation, shift = similarity(points, person)
    return Posed(landmarks, nearest, scale, rotation, shift, head_angles(np.swapaxes(rotation, 1, 2)))


def _moved(points: np.ndarray, scale: np.ndarray, rotation: np.ndarray, shift: np.ndarray) -> np.ndarray:
    return np.asarray(scale[:, None, None] * np.einsum("tij,tnj->tni", rotation, points) + shift[:, None])
