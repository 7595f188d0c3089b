"""How far teeth stay from lips and cheeks: signed distances of (n, 3) points to a triangle mesh, and speech to try them on."""

import numpy as np

from talker_cli.formats.mesh import VertexNormals
from talker_cli.head.build import Layout
from talker_cli.rig import ARKIT_NAMES, Rig

# Mean, 95th percentile and maximum of the shapes in fluent speech (captures; both sides alike where a shape has two).
SPEECH: dict[str, tuple[float, float, float]] = {
    "jawOpen": (0.10, 0.25, 0.45), "mouthLowerDown": (0.22, 0.46, 0.63), "mouthUpperUp": (0.07, 0.15, 0.24),
    "mouthStretch": (0.06, 0.12, 0.21), "mouthFrown": (0.01, 0.08, 0.21), "mouthFunnel": (0.11, 0.22, 0.53),
    "mouthPucker": (0.03, 0.14, 0.55), "mouthSmile": (0.09, 0.20, 0.33), "mouthClose": (0.02, 0.07, 0.21),
    "mouthRollUpper": (0.01, 0.02, 0.04), "mouthRollLower": (0.0, 0.02, 0.06), "jawForward": (0.02, 0.06, 0.11),
    "cheekSquint": (0.05, 0.09, 0.16), "mouthDimple": (0.02, 0.04, 0.07),
}  # fmt: skip
_CANDIDATES = 10  # triangles looked at for the nearest point


def speech_like(count: int, seed: int) -> np.ndarray:
    """Return (count, 52) random coefficients over `ARKIT_NAMES`, each shape distributed as in fluent speech."""
    rng = np.random.default_rng(seed)
    out = np.zeros((count, len(ARKIT_NAMES)))
    for name, (mean, high, most) in SPEECH.items():
        value = np.interp(rng.random(count), [0.0, 0.5, 0.95, 1.0], [0.0, 0.8 * mean, high, most])
        for side in ("", "Left", "Right"):
            if name + side in ARKIT_NAMES:
                share = rng.uniform(0.9, 1.1, count) if side else 1.0
                out[:, ARKIT_NAMES.index(name + side)] = np.clip(value * share, 0.0, most)
    jaw, close = ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("mouthClose")
    out[:, close] = np.minimum(out[:, close], out[:, jaw])  # it closes over an open jaw, and does nothing else
    return out


def tooth_clearance(rig: Rig, layout: Layout, coefficients: np.ndarray) -> np.ndarray:
    """Return (T, N) signed distances, metres, of the crowns' N vertices to lips and cheeks; negative inside the flesh.

    Args:
        layout: the built-in head's.
        coefficients: (T, 52).
    """
    lips = layout.of("mouth") | (layout.of("skin") & (layout.ring >= 0) & (layout.ring <= 5))
    flesh = rig.faces[lips[rig.faces].all(1)]
    crowns = np.flatnonzero((layout.of("upper_teeth") | layout.of("lower_teeth")) & (layout.ring >= 3) & (layout.ring <= 6))
    normals = VertexNormals(flesh, len(rig.template))
    out = np.empty((len(coefficients), len(crowns)))
    for row, vertices in enumerate(rig.template + rig.offsets(coefficients[i : i + 1])[0] for i in range(len(coefficients))):
        out[row] = _signed(vertices[crowns], vertices, flesh, normals(vertices))
    return out


def _signed(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray) -> np.ndarray:
    corners = vertices[faces].astype(np.float64)  # (F, 3, 3)
    middles = corners.mean(1)
    apart = (middles**2).sum(1) - 2 * points @ middles.T  # (n, F) squared distances, but for what is the points' own
    near = np.argpartition(apart, _CANDIDATES, axis=1)[:, :_CANDIDATES]  # (n, k)
    weights = _nearest_on_triangles(points[:, None], corners[near])  # (n, k, 3)
    spots = np.einsum("nkc,nkcx->nkx", weights, corners[near])
    distance = np.linalg.norm(points[:, None] - spots, axis=-1)
    best = (np.arange(len(points)), distance.argmin(1))
    normal = np.einsum("nc,ncx->nx", weights[best], normals[faces[near[best]]])
    outside = np.einsum("nx,nx->n", points - spots[best], normal)
    return np.asarray(np.where(outside < 0, -1.0, 1.0) * distance[best])


def _nearest_on_triangles(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return barycentric weights (..., 3) of the points of triangles (..., 3, 3) nearest to points (..., 3)."""
    a, b, c = corners[..., 0, :], corners[..., 1, :], corners[..., 2, :]
    u, v, w = b - a, c - a, points - a

    def dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.asarray((one * other).sum(-1))

    uu, uv, vv, wu, wv = dot(u, u), dot(u, v), dot(v, v), dot(w, u), dot(w, v)
    area = np.maximum(uu * vv - uv * uv, 1e-30)
    s, t = (vv * wu - uv * wv) / area, (uu * wv - uv * wu) / area
    inside = np.stack([1 - s - t, s, t], -1)
    on_ab = np.clip(wu / np.maximum(uu, 1e-30), 0, 1)
    on_ac = np.clip(wv / np.maximum(vv, 1e-30), 0, 1)
    on_bc = np.clip(dot(points - b, c - b) / np.maximum(dot(c - b, c - b), 1e-30), 0, 1)
    zero = np.zeros_like(s)
    edges = np.stack([
        np.stack([1 - on_ab, on_ab, zero], -1), np.stack([1 - on_ac, zero, on_ac], -1), np.stack([zero, 1 - on_bc, on_bc], -1)
    ])  # fmt: skip
    far = np.linalg.norm(points - np.einsum("e...c,...cx->e...x", edges, corners), axis=-1)
    choice = far.argmin(0)
    best = np.take_along_axis(edges, choice[None, ..., None], 0)[0]
    return np.asarray(np.where((inside.min(-1) >= 0)[..., None], inside, best))
