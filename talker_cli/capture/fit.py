"""Coefficients fitted to landmarks: bounded least squares in the metric of the landmarks, smooth over time."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from talker_cli.capture import landmarks as marks
from talker_cli.capture.pose import Posed
from talker_cli.rig import Rig

BINDING = Path(__file__).parent / "binding.json"
MILLIMETRE = 1e-3

# Weights of landmarks; depth is what a camera tells least of.
DEPTH, LIPS, LIDS, BROWS, IRIS, CHIN, REST = 0.3, 2.0, 2.0, 1.5, 4.0, 4.0, 0.5
GAP, WIDTH, LID_GAP = 6.0, 5.0, 3.0  # distances that must be right, whatever the single points say

# What an unneeded unit of a shape costs, in mm: shapes that landmarks hardly tell apart pay more, so the plain one is used.
COST = 5.0
UNSEEN = {
    "cheekPuff": 6.0, "tongueOut": 50.0, "cheekSquint": 5.0, "noseSneer": 4.0, "mouthRoll": 2.0, "mouthShrug": 4.0,
    "jawForward": 15.0, "jawLeft": 15.0, "jawRight": 15.0, "mouthLeft": 15.0, "mouthRight": 15.0, "mouthDimple": 3.0,
    "mouthPress": 2.0, "mouthStretch": 2.0, "eyeSquint": 3.0, "eyeWide": 3.0, "eyeLook": 2.0, "brow": 2.0,
}  # fmt: skip
# Frame to frame, mm for a change of one unit. Lips close within a frame; brows and gaze do not need to.
CHANGE = {"brow": 4.0, "eyeLook": 1.0, "cheek": 4.0, "nose": 4.0, "mouthSmile": 1.5, "mouthFrown": 1.5, "mouthDimple": 2.0}
CHANGE_REST = 0.5
STEPS = 400  # always as many: then a part's frames come out as the whole's
# Frames that are fitted together, and beside them at either end: smoothness reaches a few frames, so the parts meet.
PART, BESIDE = 1000, 30
NEUTRAL_FRAMES = 4000  # at most, of all videos of a person
SHUT = 0.08  # of the open eye's height is what the tracker leaves of a shut one: the median over twelve videos of a man


@dataclass(frozen=True)
class Fit:
    """A clip's motion.

    Args:
        coefficients: (T, K) float32 in 0…1.
        lip_error: (T,) metres, mean distance of the inner lips' landmarks from the fitted head's.
    """

    coefficients: np.ndarray
    lip_error: np.ndarray


Binding = dict[int, list[tuple[int, float]]]


def read_binding(path: Path) -> Binding:
    """Return the vertices of a mesh that each landmark lies between, and their weights, by the landmark's number."""
    entries = json.loads(path.read_text(encoding="utf-8"))
    return {int(number): [(int(vertex), float(weight)) for vertex, weight in entry] for number, entry in entries.items()}


def binding_weights(binding: Binding, ids: Sequence[int], vertex_count: int) -> np.ndarray:
    """Return (P, V) float32 that make landmarks of vertices, `landmarks = weights @ vertices`; zeros where one is not bound."""
    weights = np.zeros((len(ids), vertex_count), np.float32)
    for place, number in enumerate(ids):
        for vertex, weight in binding.get(number, ()):
            weights[place, vertex] += weight
    return weights


class LandmarkModel:
    """The built-in head as landmarks see it: `landmarks = neutral + D c`.

    Args:
        rig: The head, with ARKit's coefficients.
        ids: P landmark numbers in the order of the data; those that the head is not bound to are left out of all fits.
    """

    def __init__(self, rig: Rig, ids: Sequence[int]) -> None:
        binding = read_binding(BINDING)
        self.ids = tuple(int(number) for number in ids)
        self.rig = rig.face
        self.bound = np.array([number in binding for number in self.ids])
        self.index = {number: place for place, number in enumerate(self.ids)}
        weights = binding_weights(binding, self.ids, len(rig.template))
        self.rest = weights @ rig.template  # (P, 3)
        self.basis = np.einsum("pv,kvd->pdk", weights, self.rig.basis, optimize=True).astype(np.float64)  # (P, 3, K)

    def places(self, numbers: Sequence[int]) -> list[int]:
        """Return the indices of landmarks by their numbers."""
        return [self.index[number] for number in numbers]

    @cached_property
    def still(self) -> list[int]:
        """Indices of the points that keep still."""
        return self.places([number for number in marks.STILL if number in self.index])

    @cached_property
    def _equations(self) -> tuple[np.ndarray, np.ndarray]:
        """The least squares' matrix (K, K), and (P*3, K) that gives its right side from offsets of the landmarks."""
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
        design = matrix @ self.basis.reshape(-1, len(self.rig.names))
        return design.T @ design, matrix.T @ design

    def neutral(self, clips: Iterable[tuple[Posed, np.ndarray]]) -> np.ndarray:
        """Return a person's landmarks at rest (P, 3), metres: the median with the eyes open and the lips closed.

        Args:
            clips: Videos of the person, and of each the frames (T,) bool that can be used; where none can, all are.
        """
        parts = [(posed, np.flatnonzero(known if known.any() else ~known)) for posed, known in clips]
        step = -(-sum(len(rows) for _, rows in parts) // NEUTRAL_FRAMES)
        points = np.concatenate([posed.points(rows[::step]) for posed, rows in parts])
        gap, lids = self.gap(points), self.lids(points)
        awake = lids > np.median(lids) - 0.15 * np.median(lids)
        closed = gap <= np.percentile(gap[awake], 25)
        neutral = np.median(points[awake & closed], 0)
        # Of what is left between the lips, each goes half the way: who speaks all the time is never seen at rest.
        upper, lower = map(self.places, zip(*marks.LIP_PAIRS, strict=True))
        half = (neutral[upper, 1] - neutral[lower, 1]) / 2
        neutral[upper, 1] -= half
        neutral[lower, 1] += half
        return np.asarray(neutral)

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

    def fit(self, posed: Posed, neutral: np.ndarray, known: np.ndarray) -> Fit:
        """Fit coefficients to aligned landmarks, a part of the frames at a time.

        Minimises `sum_t |A (points_t - neutral - D c_t)|^2 + |cost c_t|^2 + |change (c_t - c_(t-1))|^2` over c in 0…1.

        Args:
            posed: Landmarks of T frames.
            neutral: (P, 3) the person at rest.
            known: (T,) bool; frames that are not known are bridged by smoothness alone.
        """
        count = len(posed.frames)
        lips = self.places(sorted({n for group in (marks.INNER_UPPER, marks.INNER_LOWER) for side in group for n in side}))
        coefficients = np.zeros((count, len(self.rig.names)), np.float32)
        error = np.zeros(count)
        for first in range(0, count, PART):
            begin, end, last = max(0, first - BESIDE), min(count, first + PART), min(count, first + PART + BESIDE)
            points = posed.points(slice(begin, last))
            made = self._fit_part(self._offsets(points, neutral), known[begin:last])[first - begin : end - begin]
            there = neutral[lips] + np.einsum("pdk,tk->tpd", self.basis[lips], made)
            coefficients[first:end] = made
            error[first:end] = np.linalg.norm(there - points[first - begin : end - begin, lips], axis=2).mean(1)
        return Fit(coefficients, error)

    def _offsets(self, points: np.ndarray, neutral: np.ndarray) -> np.ndarray:
        """Return how far landmarks (N, P, 3) are from a person's neutral; eyes that shut move the lids as far as the head's."""
        offsets = points - neutral
        for numbers in zip(marks.LID_UPPER, marks.LID_LOWER, strict=True):
            upper, lower = (self.places(side[1:-1]) for side in numbers)
            own, head = (float((at[upper[2:5], 1] - at[lower[2:5], 1]).mean()) for at in (neutral, self.rest))
            further = head / max(own * (1 - SHUT), head / 2) - 1
            offsets[:, upper, 1] += further * (offsets[:, upper, 1] - offsets[:, lower, 1])
        return offsets

    def _fit_part(self, offsets: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Return coefficients (N, K) of offsets (N, P, 3): projected gradients with momentum (FISTA; Beck & Teboulle 2009)."""
        names = self.rig.names
        gram, pull = self._equations
        cost = np.array([COST * _of(UNSEEN, name, 1.0) for name in names]) ** 2
        change = np.array([_of(CHANGE, name, CHANGE_REST) for name in names]) ** 2
        unit = np.sqrt(np.diag(gram) + cost + 4 * change)  # of each coefficient: all then have the same curvature
        gram, asked = gram / np.outer(unit, unit), offsets.reshape(len(offsets), -1) @ pull / unit  # (K, K), (N, K)
        cost, change = cost / unit**2, change / unit**2
        asked[~known] = 0.0
        limit = np.linalg.eigvalsh(gram + np.diag(cost + 4 * change))[-1]
        now = np.zeros((len(offsets), len(names)))
        ahead, momentum = now, 1.0
        for _ in range(STEPS):
            slope = (ahead @ gram) * known[:, None] - asked + ahead * cost
            steps = np.diff(ahead, axis=0) * change
            slope[1:] += steps
            slope[:-1] -= steps
            new = np.clip(ahead - slope / limit, 0.0, unit)
            following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            ahead = new + (momentum - 1) / following * (new - now)
            now, momentum = new, following
        return now / unit


def _of(table: dict[str, float], name: str, otherwise: float) -> float:
    """Return the entry whose key a shape's name begins with."""
    return next((value for key, value in table.items() if name.startswith(key)), otherwise)
