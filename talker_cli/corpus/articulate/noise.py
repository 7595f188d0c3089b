"""Random numbers that follow from a key, and smooth random curves."""

import hashlib

import numpy as np


def generator(key: str, purpose: str) -> np.random.Generator:
    """Return a generator seeded by the key and the purpose: draws of one purpose never shift those of another."""
    digest = hashlib.sha256(f"{key}|{purpose}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def slow_noise(rng: np.random.Generator, times: np.ndarray, hertz: float) -> np.ndarray:
    """Return (N,) random values of mean 0 and variance about 1 that change about `hertz` times a second, smoothly."""
    knots = rng.normal(size=int(times[-1] * hertz) + 6)
    at = times * hertz + 1.0
    index = np.minimum(at.astype(int), len(knots) - 3)
    x = at - index
    # Uniform cubic B-spline, which reduces the knots' std to .68 (between two) to .71 (at one); 1.45 restores it.
    weights = ((1 - x) ** 3, 3 * x**3 - 6 * x**2 + 4, -3 * x**3 + 3 * x**2 + 3 * x + 1, x**3)
    return np.asarray(sum(w * knots[index + k - 1] for k, w in enumerate(weights)) / 6.0 * 1.45)
