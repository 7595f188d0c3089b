"""Lip pairs and regions of an unknown mesh, found from its motion.

Two vertices form a lip pair if they lie close together at rest, belong to one piece of the mesh, part vertically when the
face speaks, and are each other's nearest among the vertices that they part from. Neighbours on one lip never part, so
this finds the two sides of the slit between the lips, with no knowledge of the mesh.
"""

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

REACH = 0.008  # metres between the lips at rest, at most
CONTACT = 0.001  # metres wider than the narrowest pair: wider pairs face each other without meeting
PARTING = 0.4  # of the largest parting: pairs that part less lie in the corners, or are not lips
STILL = 0.15  # of the largest motion: vertices that move less on both sides of a pair are no lips
LEAST_PARTING = 2e-4  # metres: a smaller parting in speech is no mouth

LIPS_ROUND = 0.012  # metres about a lip pair, for a derived lip region
UPPER_FROM = 0.045  # metres above the mouth, for a derived upper face: lower lids, eyes, brows, forehead
UPPER_BEHIND = 0.07  # metres behind the mouth, at most
DERIVED = "derived from the motion; not comparable with published figures"


def find_lip_pairs(
    template: np.ndarray, faces: np.ndarray, basis: np.ndarray, lips: np.ndarray | None = None, reach: float = REACH
) -> np.ndarray:
    """Return (P, 2) int32 upper and lower vertices that meet when the mouth closes; P is 0 if nothing parts.

    Args:
        template: (V, 3) metres, +y up, the mouth closed or nearly so.
        faces: (F, 3).
        basis: (K, V, 3) metres, uncorrelated motions of one standard deviation each, so that |basis_u - basis_l| over K is
            the root mean square of the motion of u relative to l.
        lips: Candidates (V,) bool, or None for the whole mesh.
        reach: Largest distance of the two at rest, metres.
    """
    moving = np.sqrt(np.square(basis, dtype=np.float64).sum((0, 2)))  # (V,) metres RMS
    candidates = np.flatnonzero(np.ones(len(template), bool) if lips is None else lips)
    pairs = _near_pairs(template[candidates].astype(np.float64), reach)
    upper, lower = candidates[pairs[:, 0]], candidates[pairs[:, 1]]
    piece = _pieces(faces, len(template))
    alike = (piece[upper] == piece[lower]) & (np.maximum(moving[upper], moving[lower]) > STILL * moving.max())
    upper, lower = upper[alike], lower[alike]
    # The upper vertex of a pair is the one that moves less: the lower lip follows the jaw.
    swap = moving[upper] > moving[lower]
    upper, lower = np.where(swap, lower, upper), np.where(swap, upper, lower)
    parting = _parting(basis, upper, lower)
    if not len(parting) or parting.max() < LEAST_PARTING:
        return np.zeros((0, 2), np.int32)
    apart = parting > PARTING * parting.max()
    upper, lower = upper[apart], lower[apart]
    distance = np.linalg.norm(template[upper].astype(np.float64) - template[lower], axis=1)
    order = np.lexsort((lower, upper, distance))
    nearest: dict[int, int] = {}
    for place in order.tolist():
        for one, other in ((upper[place], lower[place]), (lower[place], upper[place])):
            nearest.setdefault(int(one), int(other))
    mutual = [
        (u, low) for u, low in zip(upper.tolist(), lower.tolist(), strict=True) if nearest[u] == low and nearest[low] == u
    ]
    gap = {pair: float(np.linalg.norm(template[pair[0]].astype(np.float64) - template[pair[1]])) for pair in set(mutual)}
    least = min(gap.values(), default=0.0)
    return np.array(sorted(pair for pair, wide in gap.items() if wide <= least + CONTACT), np.int32).reshape(-1, 2)


def derived_regions(template: np.ndarray, faces: np.ndarray, lip_pairs: np.ndarray) -> dict[str, np.ndarray]:
    """Return `lips`, within 12 mm of a lip pair, and `upper_face`, from 45 mm above the mouth, without the back of the head.

    Both lie on the mesh piece of the lips.
    """
    piece = _pieces(faces, len(template))
    mouth = template[lip_pairs.ravel()].astype(np.float64)
    centre = mouth.mean(0)
    near = np.full(len(template), np.inf)
    for point in mouth:
        near = np.minimum(near, np.linalg.norm(template - point, axis=1))
    skin = np.isin(piece, piece[lip_pairs.ravel()])
    upper = skin & (template[:, 1] > centre[1] + UPPER_FROM) & (template[:, 2] > centre[2] - UPPER_BEHIND)
    return {"lips": skin & (near < LIPS_ROUND), "upper_face": upper}


def _parting(basis: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Return (P,) root mean square of the relative vertical motion of each pair's vertices, metres."""
    vertical = np.ascontiguousarray(basis[:, :, 1].T, dtype=np.float32)  # (V, K)
    parting = np.empty(len(upper))
    for first in range(0, len(upper), 1 << 16):
        rows = slice(first, first + (1 << 16))
        parting[rows] = np.linalg.norm(vertical[upper[rows]] - vertical[lower[rows]], axis=1)
    return parting


def _near_pairs(points: np.ndarray, reach: float) -> np.ndarray:
    """Return (P, 2) all pairs i < j of points within `reach`."""
    return np.asarray(cKDTree(points).query_pairs(reach, output_type="ndarray"), np.int64).reshape(-1, 2)


def _pieces(faces: np.ndarray, vertex_count: int) -> np.ndarray:
    """Return (V,) a number for each vertex, the same on each connected piece of the mesh."""
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = coo_matrix((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), (vertex_count, vertex_count))
    return np.asarray(connected_components(graph, directed=False)[1])
