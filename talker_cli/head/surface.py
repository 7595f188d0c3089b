"""The skin as an implicit surface: smooth unions of anatomical parts, `f(p) < 0` inside, points (n, 3) in millimetres.

The frame is the head's: x to the subject's left, y up from the pupils, z forward from the ear canals.
"""

import numpy as np

EYE_CENTER = np.array([31.5, 0.0, 70.0])  # mm, left eyeball
EYE_RADIUS = 12.9  # mm
LID_RADIUS = EYE_RADIUS + 2.2  # mm, outer skin of the lids
MOUTH_Y = -66.5  # mm, height of the mouth line
MOUTH_HALF_WIDTH = 25.0  # mm


def smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """Return the cubic ease from 0 at `low` to 1 at `high` (`low` may be the greater)."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))


def bump(distance: np.ndarray, width: float) -> np.ndarray:
    """Return the Gaussian `exp(-(distance / width)^2)`."""
    return np.asarray(np.exp(-((distance / width) ** 2)))


def _union(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    h = np.maximum(blend - np.abs(a - b), 0.0) / blend
    return np.asarray(np.minimum(a, b) - h * h * h * blend / 6.0)


def _carve(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    return -_union(-a, b, blend)


def _ellipsoid(p: np.ndarray, center: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
    q = (p - np.array(center)) / np.array(radii)
    k0 = np.sqrt(np.einsum("ij,ij->i", q, q)) + 1e-9
    q /= np.array(radii)
    k1 = np.sqrt(np.einsum("ij,ij->i", q, q)) + 1e-9
    return np.asarray(k0 * (k0 - 1.0) / k1)


def _cone(
    p: np.ndarray, a: tuple[float, float, float], b: tuple[float, float, float], radius_a: float, radius_b: float
) -> np.ndarray:
    start, axis = np.array(a), np.array(b) - np.array(a)
    q = p - start
    t = np.clip(q @ axis / (axis @ axis), 0.0, 1.0)
    q -= t[:, None] * axis
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", q, q)) - radius_a - (radius_b - radius_a) * t)


def skin_distance(points: np.ndarray) -> np.ndarray:
    """Return (n,) approximate signed distances, millimetres, of (n, 3) points to the skin (without lips' and lids' rims)."""
    p = points.copy()
    p[:, 0] = np.sqrt(p[:, 0] ** 2 + 0.04)  # rounded mirror: no crease along the middle
    # skull
    d = _ellipsoid(p, (0, 27, -5), (73.5, 82, 92))
    d = _union(d, _ellipsoid(p, (0, 24, 32), (60, 62, 59)), 30)
    # face: maxilla, cheekbones, cheeks
    d = _union(d, _ellipsoid(p, (0, -28, 26), (58, 56, 64)), 26)
    d = _union(d, _ellipsoid(p, (47, -20, 46), (18, 15, 24)), 26)
    d = _union(d, _ellipsoid(p, (32, -44, 56), (21, 27, 24)), 24)
    # mandible: ramus and body, chin, muzzle over the teeth
    d = _union(d, _cone(p, (41, -30, 4), (36, -71, 13), 13, 11.5), 26)
    d = _union(d, _cone(p, (35, -72, 16), (12, -98, 73), 12, 12), 24)
    d = _union(d, _ellipsoid(p, (30, -52, 38), (21, 34, 31)), 26)
    d = _union(d, _ellipsoid(p, (0, -68, 48), (36, 36, 48)), 18)
    d = _union(d, _ellipsoid(p, (0, -98.5, 79.5), (16, 13, 14.5)), 18)
    d = _union(d, _ellipsoid(p, (0, -82, 42), (33, 20, 42)), 20)
    # neck and the start of the shoulders
    q = p.copy()
    q[:, 0] *= 0.95
    d = _union(d, _cone(q, (0, -40, -26), (0, -200, -40), 44, 46), 18)
    d = _union(d, _cone(p, (0, -92, 42), (0, -138, -9), 16, 19), 24)  # floor of the mouth, throat
    d = _union(d, _cone(p, (43, -56, -20), (9, -182, 3), 12, 8.5), 12)  # sternocleidomastoid
    d = _union(d, _cone(p, (18, -112, -58), (112, -196, -48), 24, 30), 40)  # trapezius
    d = _union(d, _ellipsoid(p, (0, -222, -28), (135, 44, 52)), 34)
    d = _carve(d, _ellipsoid(p, (0, -172, 24), (7, 11, 12)), 10)  # the notch over the breastbone
    # sockets, brow ridge, lids over the eyeballs
    d = _carve(d, _ellipsoid(p, (33, 1, 96), (20, 12, 19)), 14)
    d = _carve(d, _ellipsoid(p, (54, -2, 76), (9, 8, 14)), 12)
    d = _union(d, _cone(p, (9, 16, 83.5), (45, 18, 63), 8.5, 9), 14)
    d = _union(d, _ellipsoid(p, tuple(EYE_CENTER), (LID_RADIUS, LID_RADIUS, LID_RADIUS)), 7)
    # nose: bridge, tip, wings, columella
    d = _union(d, _cone(p, (0, 8, 80.5), (0, -33, 103.5), 5.6, 6.6), 12)
    d = _union(d, _ellipsoid(p, (0, -30, 90.5), (13.5, 19, 12)), 12)
    d = _union(d, _ellipsoid(p, (0, -38.2, 104.5), (8.5, 7.8, 8.4)), 7)
    d = _union(d, _ellipsoid(p, (11.4, -41.0, 95.5), (5.4, 6.2, 8.6)), 4.5)
    d = _union(d, _cone(p, (0, -44.4, 106.5), (0, -46.0, 95), 3.2, 3.8), 4)
    # the furrow under the lower lip, the hollow of the temple
    d = _carve(d, _cone(p, (0, -84.5, 103), (16, -83.5, 98), 8.5, 7), 9)
    d = _carve(d, _ellipsoid(p, (86, 22, 42), (20, 30, 26)), 20)
    # fine relief: the philtrum's groove between its two ridges
    low = bump((p[:, 1] + 53.0) / 5.5, 1.0) * (p[:, 2] > 80)
    return np.asarray(d + low * (0.9 * bump(p[:, 0], 2.6) - 0.45 * bump(p[:, 0] - 5.0, 2.4)))


def skin_gradient(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return distances (n,) and gradients (n, 3) by forward tetrahedral differences of 0.15 mm."""
    corners = np.array([[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]], float)
    stacked = (points[None] + 0.15 * corners[:, None]).reshape(-1, 3)
    values = skin_distance(stacked).reshape(4, -1)
    gradient = np.einsum("an,ac->nc", values, corners) / (4 * 0.15)
    return values.mean(0), gradient


def project(points: np.ndarray, rounds: int = 3) -> np.ndarray:
    """Return (n, 3) points moved on the skin along its gradient (Newton's steps of at most 8 mm)."""
    p = points.copy()
    for _ in range(rounds):
        value, gradient = skin_gradient(p)
        step = -value / np.maximum(np.einsum("ij,ij->i", gradient, gradient), 0.2)
        p += np.clip(step, -8.0, 8.0)[:, None] * gradient
    return p


def cast(origins: np.ndarray, directions: np.ndarray, rounds: int = 36) -> np.ndarray:
    """Return (n, 3) first hits with the skin of rays that start outside of it (sphere tracing)."""
    p = origins.copy()
    for _ in range(rounds):
        p += (0.85 * skin_distance(p))[:, None] * directions
    return p


def front_depth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return (n,) z of the skin seen straight from the front at (x, y), millimetres."""
    origins = np.stack([x, y, np.full_like(x, 125.0)], -1)
    return np.asarray(cast(origins, np.broadcast_to(np.array([0.0, 0.0, -1.0]), origins.shape))[:, 2])
