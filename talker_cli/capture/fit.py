"""Coefficients fitted to landmarks: bounded least squares in the metric of the landmarks, smooth over time."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from talker_cli.capture import landmarks as marks
from talker_cli.rig import Rig

BINDING = Path(__file__).parent / "binding.json"
MILLIMETRE = 1e-3

# Weights of landmarks; depth is what a camera tells least of.
DEPTH, LIPS, LIDS, BROWS, IRIS, CHIN, REST = 0.3, 2.0, 2.0, 1.5, 1.0, 4.0, 0.5
GAP, WIDTH, LID_GAP = 6.0, 5.0, 3.0  # distances that must be right, whatever the single points say

# What an unneeded unit of a shape costs, in mm: shapes that landmarks hardly tell apart pay more, so the plain one is used.
COST = 5.0
UNSEEN = {
    "cheekPuff": 6.0, "tongueOut": 50.0, "cheekSquint": 5.0, "noseSneer": 4.0, "mouthRoll": 2.0, "mouthShrug": 4.0,
    "jawForward": 6.0, "jawLeft": 15.0, "jawRight": 15.0, "mouthLeft": 15.0, "mouthRight": 15.0, "mouthDimple": 3.0,
    "mouthPress": 2.0, "mouthStretch": 2.0, "eyeSquint": 3.0, "eyeWide": 3.0, "brow": 2.0,
}  # fmt: skip
# Frame to frame, mm for a change of one unit. Lips close within a frame; brows and gaze do not need to.
CHANGE = {"brow": 4.0, "eyeLook": 1.0, "cheek": 4.0, "nose": 4.0, "mouthSmile": 1.5, "mouthFrown": 1.5, "mouthDimple": 2.0}
CHANGE_REST = 0.5
STEPS, TOLERANCE = 600, 1e-5


@dataclass(frozen=True)
class Fit:
    """A clip's motion.

    Args:
        coefficients: (T, K) in 0…1.
        error: (T, P) metres between the fitted head's landmarks and the found ones.
    """

    coefficients: np.ndarray
    error: np.ndarray


class LandmarkModel:
    """The built-in head as landmarks see it: `landmarks = neutral + D c`.

    Args:
        rig: The head, with ARKit's coefficients.
        ids: P landmark numbers in the order of the data; those that the head is not bound to are left out of all fits.
    """

    def __init__(self, rig: Rig, ids: Sequence[int]) -> None:
        binding = {int(number): entry for number, entry in json.loads(BINDING.read_text()).items()}
        self.ids = tuple(int(number) for number in ids)
        self.rig = rig
        self.bound = np.array([number in binding for number in self.ids])
        self.index = {number: place for place, number in enumerate(self.ids)}
        weights = np.zeros((len(self.ids), len(rig.template)), np.float32)
        for place, number in enumerate(self.ids):
            for vertex, weight in binding.get(number, ()):
                weights[place, int(vertex)] += weight
        self.rest = weights @ rig.template  # (P, 3)
        self.basis = np.einsum("pv,kvd->pdk", weights, rig.basis, optimize=True).astype(np.float64)  # (P, 3, K)

    def places(self, numbers: Sequence[int]) -> list[int]:
        """Return the indices of landmarks by their numbers."""
        return [self.index[number] for number in numbers]

    @cached_property
    def still(self) -> list[int]:
        """Indices of the points that keep still."""
        return self.places([number for number in marks.STILL if number in self.index])

    @cached_property
    def _design(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows (R, K) of what is compared, millimetres, and the matrix (R, P*3) that takes landmarks there."""
        weights = np.full(len(self.ids), REST) * self.bound
        for groups, weight in (
            ((marks.INNER_UPPER, marks.INNER_LOWER, marks.OUTER_UPPER, marks.OUTER_LOWER), LIPS),
            ((marks.LID_UPPER, marks.LID_LOWER), LIDS),
            ((marks.BROW_UPPER, marks.BROW_LOWER), BROWS),
            ((marks.CHIN_LINE,), CHIN),
        ):
            for sides in groups:
                weights[self.places([number for numbers in sides for number in numbers])] = weight
        weights[self.places(marks.IRIS)] = IRIS
        weights[self.still] = 0.0
        for sides in (marks.LID_UPPER, marks.LID_LOWER):  # their corners are still points, and lids as well
            weights[self.places([number for numbers in sides for number in (numbers[0], numbers[-1])])] = 0.0
        count = len(self.ids)
        rows = [np.diag(np.repeat(weights, 3) * np.tile([1.0, 1.0, DEPTH], count))[np.repeat(weights, 3) > 0]]
        axis = np.eye(3)

        def distance(one: int, other: int, direction: np.ndarray, weight: float) -> np.ndarray:
            row = np.zeros((count, 3))
            row[self.index[one]] += weight * direction
            row[self.index[other]] -= weight * direction
            return row.reshape(1, -1)

        rows += [distance(upper, lower, axis[1], GAP) for upper, lower in marks.LIP_PAIRS]
        rows.append(distance(marks.MOUTH_CORNERS[1], marks.MOUTH_CORNERS[0], axis[0], WIDTH))
        for (upper, lower), weight in ((pair, LID_GAP) for pair in zip(marks.LID_UPPER, marks.LID_LOWER, strict=True)):
            rows += [distance(upper[k], lower[k], axis[1], weight) for k in (3, 4, 5)]
        matrix = np.concatenate(rows) / MILLIMETRE
        return matrix @ self.basis.reshape(-1, len(self.rig.names)), matrix

    def neutral(self, points: np.ndarray) -> np.ndarray:
        """Return a person's landmarks at rest (P, 3): the median of aligned ones (T, P, 3), lips closed and eyes open."""
        gap, lids = self.gap(points), self.lids(points)
        awake = lids > np.median(lids) - 0.15 * np.median(lids)
        closed = gap <= np.percentile(gap[awake], 25)
        return np.asarray(np.median(points[awake & closed], 0))

    def gap(self, points: np.ndarray) -> np.ndarray:
        """Return (T,) the mean opening between the lips, metres, never negative."""
        upper, lower = zip(*marks.LIP_PAIRS, strict=True)
        opening = points[:, self.places(upper), 1] - points[:, self.places(lower), 1]
        return np.asarray(np.maximum(opening, 0).mean(1))

    def lids(self, points: np.ndarray) -> np.ndarray:
        """Return (T,) the mean height of both eyes' openings, metres."""
        heights = [
            points[:, self.index[upper[k]], 1] - points[:, self.index[lower[k]], 1]
            for upper, lower in zip(marks.LID_UPPER, marks.LID_LOWER, strict=True)
            for k in (3, 4, 5)
        ]
        return np.asarray(np.mean(heights, 0))

    def fit(self, points: np.ndarray, neutral: np.ndarray, seen: np.ndarray | None = None) -> Fit:
        """Fit coefficients to aligned landmarks.

        Minimises `sum_t |A (points_t - neutral - D c_t)|^2 + |cost c_t|^2 + |change (c_t - c_(t-1))|^2` over c in 0…1, by
        projected gradients with momentum (FISTA; Beck & Teboulle 2009).

        Args:
            points: (T, P, 3) metres, in the head's space.
            neutral: (P, 3) the person at rest.
            seen: (T,) bool; frames that are not seen are bridged by smoothness alone.
        """
        names = self.rig.names
        design, matrix = self._design
        cost = np.array([COST * _of(UNSEEN, name, 1.0) for name in names])
        change = np.array([_of(CHANGE, name, CHANGE_REST) for name in names]) ** 2
        asked = (points - neutral).reshape(len(points), -1) @ matrix.T @ design  # (T, K)
        gram = design.T @ design
        known = np.ones(len(points), bool) if seen is None else seen
        asked[~known] = 0.0
        limit = np.linalg.eigvalsh(gram)[-1] + (cost**2).max() + 4 * change.max()
        now = np.zeros((len(points), len(names)))
        ahead, momentum = now, 1.0
        for _ in range(STEPS):
            slope = (ahead @ gram) * known[:, None] - asked + ahead * cost**2
            steps = np.diff(ahead, axis=0) * change
            slope[1:] += steps
            slope[:-1] -= steps
            new = np.clip(ahead - slope / limit, 0.0, 1.0)
            following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            ahead = new + (momentum - 1) / following * (new - now)
            moved = np.abs(new - now).max()
            now, momentum = new, following
            if moved < TOLERANCE:
                break
        made = neutral + np.einsum("pdk,tk->tpd", self.basis, now)
        return Fit(now.astype(np.float32), np.linalg.norm(made - points, axis=2) * self.bound)


def _of(table: dict[str, float], name: str, otherwise: float) -> float:
    """Return the entry whose key a shape's name begins with."""
    return next((value for key, value in table.items() if name.startswith(key)), otherwise)
