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
    d = _union(d, _ellipsoid(p, (45, -19, 48), (18, 14, 26)), 22)
    d = _union(d, _ellipsoid(p, (33, -45, 56), (22, 27, 24)), 24)
    # mandible: ramus and body, chin, muzzle over the teeth
    d = _union(d, _cone(p, (44, -30, 4), (39, -72, 14), 13, 12), 26)
    d = _union(d, _cone(p, (38, -73, 17), (12, -97, 74), 13, 13), 26)
    d = _union(d, _ellipsoid(p, (33, -58, 40), (21, 30, 30)), 26)
    d = _union(d, _ellipsoid(p, (0, -68, 48), (37, 36, 48)), 18)
    d = _union(d, _ellipsoid(p, (0, -98, 80), (18, 13, 14.5)), 18)
    d = _union(d, _ellipsoid(p, (0, -82, 42), (36, 20, 42)), 20)
    # neck and the start of the shoulders
    q = p.copy()
    q[:, 0] *= 0.95
    d = _union(d, _cone(q, (0, -40, -26), (0, -200, -40), 46, 49), 18)
    d = _union(d, _cone(p, (38, -62, -24), (9, -184, -2), 10, 9), 26)  # sternocleidomastoid
    d = _union(d, _cone(p, (18, -112, -58), (112, -196, -48), 24, 30), 40)  # trapezius
    d = _union(d, _ellipsoid(p, (0, -222, -28), (135, 44, 52)), 34)
    # sockets, brow ridge, lids over the eyeballs
    d = _carve(d, _ellipsoid(p, (33, 1, 96), (20, 12, 19)), 14)
    d = _union(d, _cone(p, (9, 15, 83), (44, 18, 63), 8.5, 9), 14)
    d = _union(d, _ellipsoid(p, tuple(EYE_CENTER), (LID_RADIUS, LID_RADIUS, LID_RADIUS)), 7)
    # nose: bridge, tip, wings, columella, nostrils
    d = _union(d, _cone(p, (0, 10, 84), (0, -33, 103.5), 6.0, 7.0), 13)
    d = _union(d, _ellipsoid(p, (0, -30, 91), (15, 19, 12)), 12)
    d = _union(d, _ellipsoid(p, (0, -36.5, 105), (8.6, 7.6, 8.8)), 8)
    d = _union(d, _ellipsoid(p, (10.6, -40, 97.0), (5.4, 6.0, 8.6)), 6)
    d = _union(d, _cone(p, (0, -43, 105), (0, -47, 94), 3.2, 3.6), 4)
    d = _carve(d, _ellipsoid(p, (6.6, -47.5, 99.0), (3.1, 5.0, 5.2)), 2.5)
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
