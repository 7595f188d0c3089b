"""Bounded least squares: coefficients in 0…1 of shapes that look alike, and those nearest to vertices."""

import numpy as np

from talker_cli.rig import ARKIT_NAMES, Rig

TOLERANCE = 1e-6  # step of a coefficient below which the search ends
ROUNDS = 5000  # some shapes look so alike on the surface that a thousand are needed
CHUNK_FRAMES = 1024  # frames solved at a time, so that they stay in the processor's cache
LIP_WEIGHT = 10.0  # weight of a lip vertex against another where vertices are solved for
BATCH_FRAMES = 256  # of vertices in memory
COST = 1.2e-4  # metres, root mean square over the vertices, of a coefficient of 1 against where it was a step before
STEPS = 3  # of the proximal point method


def nearest_coefficients(vertices: np.ndarray, rig: Rig, counts: np.ndarray | None = None) -> np.ndarray:
    """Return (T, K) float64 coefficients of a rig's face that come nearest to vertices (T, V, 3): 0…1 if they are ARKit's.

    Many of ARKit's shapes cancel each other nearly, as `jawLeft` and `jawRight`: where vertices are no mix of the shapes, the
    plain least squares use them against each other; the proximal point method (Rockafellar 1976) from rest, ended early, less.

    Args:
        vertices: (T, V, 3) metres, the head at rest.
        rig: The rig.
        counts: (V,) bool, the vertices that count, None for all.
    """
    rig = rig.face
    weights = np.ones(len(rig.template)) if counts is None else counts.astype(np.float64)
    if "lips" in rig.regions:
        weights[rig.regions["lips"]] *= LIP_WEIGHT
    gram = rig.gram(weights)
    flat = (rig.basis * weights[None, :, None]).reshape(len(rig.names), -1)
    products = np.concatenate([
        (vertices[start : start + BATCH_FRAMES] - rig.template).reshape(-1, flat.shape[1]) @ flat.T
        for start in range(0, len(vertices), BATCH_FRAMES)
    ]).astype(np.float64)  # fmt: skip
    if rig.names == ARKIT_NAMES:
        cost = weights.sum() * COST**2
        coefficients = np.zeros_like(products)
        for _ in range(STEPS):
            coefficients = bounded_least_squares(gram + cost * np.eye(len(gram)), products + cost * coefficients)
        return coefficients
    return np.asarray(np.linalg.lstsq(gram, products.T, rcond=None)[0].T)


def bounded_least_squares(gram: np.ndarray, products: np.ndarray) -> np.ndarray:
    """Return (T, K) coefficients c in 0…1 that minimise `c G c / 2 - c b` for each frame.

    Projected gradient descent with momentum (Beck & Teboulle 2009), which starts afresh whenever it points uphill
    (O'Donoghue & Candès 2015); each shape is scaled to length one, because a jaw moves more than a nostril.

    Args:
        gram: G (K, K), products of the shapes with each other.
        products: b (T, K), products of each frame's offsets with the shapes.
    """
    length = np.sqrt(np.diag(gram))
    used = np.flatnonzero(length > 0)  # a shape that moves nothing stays at rest
    length = length[used]
    matrix = gram[np.ix_(used, used)] / np.outer(length, length)
    rate = 1 / np.linalg.eigvalsh(matrix)[-1]
    coefficients = np.zeros_like(products)
    for start in range(0, len(products), CHUNK_FRAMES):
        chunk = slice(start, start + CHUNK_FRAMES)
        coefficients[chunk, used] = _descend(matrix, products[chunk, used] / length, length, rate) / length
    return coefficients


def _descend(matrix: np.ndarray, products: np.ndarray, highest: np.ndarray, rate: float) -> np.ndarray:
    """Return (T, K) minimisers in 0…highest."""
    best = ahead = np.zeros_like(products)
    weight = 1.0
    for _ in range(ROUNDS):
        new = np.clip(ahead - rate * (ahead @ matrix - products), 0.0, highest)
        if ((ahead - new) * (new - best)).sum() > 0:
            weight = 1.0
        following = (1 + np.sqrt(1 + 4 * weight * weight)) / 2
        ahead = new + (weight - 1) / following * (new - best)
        still = np.abs((new - best) / highest).max() < TOLERANCE
        best, weight = new, following
        if still:
            break
    return best
