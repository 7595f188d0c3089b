"""Landmarks of lids and lips moved onto the borders of the mesh's own openings, where the skin's depth or the lip changes."""

import numpy as np

from talker_cli.capture import landmarks as marks
from talker_cli.rigging.landmarks import Points, cast
from talker_cli.rigging.target import Target

STEP = 0.25  # mm
SHARES = (0.3, 1.7)  # of the way from the middle of an eye to a lid's landmark: where the lid's edge is looked for
DROP = 2.0  # mm between two steps: what lies so much deeper is behind the lid
BEHIND = 5.0  # mm behind the inner lips' landmarks: what lies deeper is no lip
BESIDE = 4.0  # mm above and below the inner lips' landmarks, where their seam is looked for


def on_contours(target: Target) -> Points:
    """Return the target's landmarks with those of lids and inner lips at the edges of skin that is seen from the front."""
    points = dict(target.points)
    for above, below in zip(marks.LID_UPPER, marks.LID_LOWER, strict=True):
        numbers = [number for number in dict.fromkeys((*above, *below)) if number in points]
        middle = np.mean([points[number] for number in numbers], axis=0)
        for number in set(numbers) - {above[0], above[-1]}:
            points[number] = _edge(target, middle, points[number])
    for upper, lower in marks.LIP_PAIRS:
        if upper in points and lower in points:
            points[upper], points[lower] = _seam(target, points[upper], points[lower])
    return points


def _edge(target: Target, middle: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Return the innermost point of the skin on the way from outside an eye to its middle, before it falls away."""
    way = point[:2] - middle[:2]
    length = float(np.linalg.norm(way))
    shares = np.arange(SHARES[1], SHARES[0], -STEP / max(length, 1.0))
    hit, weights = cast(target.vertices, target.skin_faces, middle[:2] + shares[:, None] * way)
    found = np.einsum("nk,nkd->nd", weights, target.vertices[target.skin_faces[hit]])
    fell = (hit[1:] < 0) | (found[1:, 2] < found[:-1, 2] - DROP)
    if not fell.any() or (hit[: fell.argmax() + 1] < 0).any():
        return point
    return np.asarray(found[fell.argmax()])


def _seam(target: Target, upper: np.ndarray, lower: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest point of the upper lip and the highest one of the lower lip at the place of two landmarks."""
    x = (upper[0] + lower[0]) / 2
    y = np.arange(max(upper[1], lower[1]) + BESIDE, min(upper[1], lower[1]) - BESIDE, -STEP)
    hit, weights = cast(target.vertices, target.skin_faces, np.stack([np.full(len(y), x), y], 1))
    corners = target.skin_faces[hit]
    found = np.einsum("nk,nkd->nd", weights, target.vertices[corners])
    in_front = (hit >= 0) & (found[:, 2] > min(upper[2], lower[2]) - BEHIND)  # not the throat, between lips that are apart
    lead = np.where(in_front, np.einsum("nk,nk->n", weights, target.lead[corners]), np.nan)
    if not (lead > 0).any() or not (lead < 0).any():
        return upper, lower
    first = int(np.flatnonzero(lead < 0)[0])
    above = np.flatnonzero(lead[:first] > 0)
    return (found[above[-1]], found[first]) if len(above) else (upper, lower)
