"""The metrics again, number by number, as one would write them who had never seen the code: lists of lists, no numpy."""

import math
from collections.abc import Sequence

Frame = Sequence[Sequence[float]]  # V points
Frames = Sequence[Frame]


def distance(one: Sequence[float], other: Sequence[float]) -> float:
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)))


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def std(values: Sequence[float]) -> float:
    middle = mean(values)
    return math.sqrt(mean([(value - middle) ** 2 for value in values]))


def worst_lip(truth: Frames, prediction: Frames, lips: Sequence[int]) -> list[float]:
    """Return the largest distance over the lips of each frame, as far as both last."""
    return [max(distance(true[v], made[v]) for v in lips) for true, made in zip(truth, prediction, strict=False)]


def movement(vertices: Frames, template: Frame, upper_face: Sequence[int]) -> float:
    return mean([std([distance(frame[v], template[v]) ** 2 for frame in vertices]) for v in upper_face])


def mean_distance(one: Frames, other: Frames) -> list[float]:
    """Return the mean distance of each frame's vertices, as far as both last."""
    return [mean([distance(a, b) for a, b in zip(*pair, strict=True)]) for pair in zip(one, other, strict=False)]


def mouth_gap(frame: Frame, template: Frame, pairs: Sequence[tuple[int, int]]) -> float:
    """Return how much wider than at rest the pairs are open, no pair less than 0."""
    rest = [template[upper][1] - template[lower][1] for upper, lower in pairs]
    return mean([max(frame[u][1] - frame[low][1] - closed, 0.0) for (u, low), closed in zip(pairs, rest, strict=True)])
