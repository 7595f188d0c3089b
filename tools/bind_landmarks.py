"""Bind landmark numbers to points of the built-in head: tools/bind_landmarks.py NEUTRAL.npz -> talker_cli/capture/binding.json.

NEUTRAL.npz holds `ids` (P,) and `points` (P, 3) in metres of one relaxed face, lips closed, or the mean of several, +y up,
+z out of the face. Contours of lips and lids are bound to the head's own contours; all other points follow by a spline through
these and are put on the nearest point of the skin. The file names for each landmark up to three vertices and their weights.
"""

import json
import sys
from pathlib import Path

import numpy as np
import trimesh
from scipy.interpolate import RBFInterpolator

from talker_cli.capture import landmarks as marks
from talker_cli.head.assemble import rest_head
from talker_cli.head.skin import EYE_SPOKES, LIP_BORDER, MOUTH_SPOKES

BINDING = Path(__file__).parents[1] / "talker_cli" / "capture" / "binding.json"


def along(contour: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return points (N, 3) of a polyline (M, 3) at shares 0…1 of its length."""
    steps = np.linalg.norm(np.diff(contour, axis=0), axis=1)
    length = np.concatenate([[0.0], np.cumsum(steps)]) / steps.sum()
    return np.stack([np.interp(share, length, contour[:, axis]) for axis in range(3)], 1)


def shares(points: np.ndarray) -> np.ndarray:
    """Return where points (N, 3) lie along their own polyline, 0…1 of its length."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)]) / steps.sum()


def main() -> None:
    """Write the binding."""
    neutral = np.load(sys.argv[1])
    place = {int(number): point * 1e3 for number, point in zip(neutral["ids"], neutral["points"], strict=True)}
    pairs, field, _ = rest_head()
    layout = field.layout
    points, part, ring, spoke = layout.points, layout.part, layout.ring, layout.spoke
    skin = layout.of("skin")
    target: dict[int, np.ndarray] = {}

    def contour(rows: np.ndarray, side: float) -> np.ndarray:
        """Return one side's vertices in the order of `rows`."""
        return points[rows] * [side, 1, 1]

    def ring_of(number: float, half: slice) -> np.ndarray:
        """Return the left half's points of a mouth ring, upper (corner to middle) or lower, between two rings if need be."""
        low = int(np.floor(number))
        found = []
        for one in (low, min(low + 1, 9)):
            rows = np.array(
                [
                    np.flatnonzero((ring == one) & (spoke == k) & (points[:, 0] > -1e-6) & ((part == 0) | (part == 1)))[0]
                    for k in range(MOUTH_SPOKES + 1)
                ]
            )
            found.append(points[rows])
        mixed = found[0] + (number - low) * (found[1] - found[0])
        half_way = MOUTH_SPOKES // 2
        return mixed[half_way::-1] if half.start == 0 else mixed[half_way:]

    for groups, number, half in (
        (marks.INNER_UPPER, 0.0, slice(0, 1)), (marks.INNER_LOWER, 0.0, slice(1, 2)),
        (marks.RED_UPPER, 1.5, slice(0, 1)), (marks.RED_LOWER, 1.5, slice(1, 2)),
        (marks.OUTER_UPPER, float(LIP_BORDER), slice(0, 1)), (marks.OUTER_LOWER, float(LIP_BORDER), slice(1, 2)),
    ):  # fmt: skip
        for side, numbers in zip((-1.0, 1.0), groups, strict=True):
            line = ring_of(number, half)
            if half.start == 1 and number == 0.0:
                line = line.copy()
            at = along(line, shares(np.array([place[n] for n in numbers])))
            target.update({n: p * [side, 1, 1] for n, p in zip(numbers, at, strict=True)})
    for groups, upper in ((marks.LID_UPPER, True), (marks.LID_LOWER, False)):
        for side, numbers in zip((-1.0, 1.0), groups, strict=True):
            rows = [
                np.flatnonzero((ring == 100) & (spoke == k) & (points[:, 0] > 0) & (part == 0))[0] for k in range(EYE_SPOKES)
            ]
            half_way = EYE_SPOKES // 2
            line = points[rows[: half_way + 1]] if upper else points[[rows[0], *rows[: half_way - 1 : -1]]]
            at = along(line, shares(np.array([place[n] for n in numbers])))
            target.update({n: p * [side, 1, 1] for n, p in zip(numbers, at, strict=True)})
    # midline: tip of the nose and its root, chin
    middle = np.flatnonzero(skin & (np.abs(points[:, 0]) < 1e-6))
    mid = points[middle]
    nose = mid[(mid[:, 1] > -50) & (mid[:, 1] < 0)]
    target[1] = nose[np.argmax(nose[:, 2])]
    root = mid[(mid[:, 1] > -10) & (mid[:, 1] < 14) & (mid[:, 2] > 40)]
    target[168] = root[np.argmin(root[:, 2])]
    chin = mid[(mid[:, 1] < -88) & (mid[:, 1] > -118) & (mid[:, 2] > 40)]
    target[152] = chin[np.argmin(chin[:, 1] - 0.35 * chin[:, 2])]
    known = [n for n in target if n in place]
    source = np.array([place[n] for n in known])
    goal = np.array([target[n] for n in known])
    matrix, _, _ = trimesh.registration.procrustes(source, goal, reflection=False)
    place = {n: trimesh.transform_points(point[None], matrix)[0] for n, point in place.items()}
    source = np.array([place[n] for n in known])
    # what is left is spread from the known points; far from all of them it stays the same
    left = RBFInterpolator(source, goal - source, kernel="linear", degree=0, smoothing=2.0)
    faces = layout.faces[(skin & (points[:, 2] > 0))[layout.faces].all(1)]
    surface = trimesh.Trimesh(points, faces, process=False)
    binding: dict[str, list[list[float]]] = {}
    numbers = [n for n in sorted(place) if n < 468]
    wanted = np.array([target.get(n, place[n] + left(place[n][None])[0]) for n in numbers])
    # the lips' inner line is where skin and mouth meet: bind contours on all of the face, others on the skin
    everything = trimesh.Trimesh(points, layout.faces[((part == 0) | (part == 1))[layout.faces].all(1)], process=False)
    upper_inner = {n for group in marks.INNER_UPPER for n in group}
    lower_inner = {n for group in marks.INNER_LOWER for n in group} - upper_inner
    for n, point in zip(numbers, wanted, strict=True):
        if n in upper_inner or n in lower_inner:  # upper and lower lip touch at rest: the nearest vertices of the right lip
            side = pairs[:, 0] if n in upper_inner else pairs[:, 1]
            order = side[np.argsort(points[side, 0])]
            x = points[order, 0]
            k = int(np.clip(np.searchsorted(x, point[0]) - 1, 0, len(x) - 2))
            share = float(np.clip((point[0] - x[k]) / (x[k + 1] - x[k]), 0, 1))
            corner = np.flatnonzero((ring == 0) & (spoke == MOUTH_SPOKES // 2) & (np.sign(points[:, 0]) == np.sign(point[0])))
            if n in marks.MOUTH_CORNERS and len(corner):
                binding[str(n)] = [[int(corner[0]), 1.0]]
            else:
                binding[str(n)] = [[int(order[k]), round(1 - share, 4)], [int(order[k + 1]), round(share, 4)]]
            continue
        mesh = everything if n in target else surface
        near = trimesh.triangles.closest_point(mesh.triangles, np.broadcast_to(point, (len(mesh.faces), 3)))
        triangle = int(np.argmin(np.linalg.norm(near - point, axis=1)))
        weights = trimesh.triangles.points_to_barycentric(mesh.triangles[triangle][None], near[triangle][None])[0]
        binding[str(n)] = [[int(v), round(float(w), 4)] for v, w in zip(mesh.faces[triangle], weights, strict=True) if w > 5e-5]
    ball = layout.of("eyeball")
    for n, side in zip(marks.IRIS, (-1, 1), strict=True):  # the middle of the pupil: the eyeball's foremost vertex
        eye = np.flatnonzero(ball & (np.sign(points[:, 0]) == side))
        binding[str(n)] = [[int(eye[np.argmax(points[eye, 2])]), 1.0]]
    BINDING.write_text("{\n" + ",\n".join(f'"{n}": {json.dumps(entry)}' for n, entry in binding.items()) + "\n}\n")
    print(f"{len(binding)} landmarks bound")


if __name__ == "__main__":
    main()
