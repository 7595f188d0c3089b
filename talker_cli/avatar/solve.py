"""Bounded least squares: coefficients in 0…1 of shapes that look alike."""

import numpy as np

TOLERANCE = 1e-6  # step of a coefficient below which the search ends
ROUNDS = 5000  # some shapes look so alike on the surface that a thousand are needed
CHUNK_FRAMES = 1024  # frames solved at a time, so that they stay in the processor's cache


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
