"""Do lips and teeth pass through each other? Signed distances over random speech-like coefficient vectors.

    python benchmarks/head_contact.py [--vectors 2000] [--people]

Each vector moves all shapes of fluent speech at once, distributed as in `SPEECH`. For every vertex of the teeth's crowns the
distance to lips and cheeks is measured, negative inside the flesh; so is the time to build the head.
"""

import argparse
import time

import numpy as np

from talker_cli.formats.mesh import VertexNormals
from talker_cli.head import PEOPLE, build_head
from talker_cli.head.assemble import rest_head
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
CANDIDATES = 10  # triangles, the nearest by their middles, that are tried for the nearest point


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
        rig: The built-in head's, in any shape.
        layout: The built-in head's.
        coefficients: (T, 52).
    """
    lips = layout.of("mouth") | (layout.of("skin") & (layout.ring >= 0) & (layout.ring <= 5))
    flesh = rig.faces[lips[rig.faces].all(1)]
    crowns = np.flatnonzero((layout.of("upper_teeth") | layout.of("lower_teeth")) & (layout.ring >= 3) & (layout.ring <= 6))
    normals = VertexNormals(flesh, len(rig.template))
    out = np.empty((len(coefficients), len(crowns)))
    for row, vertices in enumerate(rig.decode(coefficients[i : i + 1])[0] for i in range(len(coefficients))):
        out[row] = _signed(vertices[crowns], vertices, flesh, normals(vertices))
    return out


def _signed(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return (n,) distances of points to a mesh with vertex normals, negative behind its faces."""
    from scipy.spatial import cKDTree
    from trimesh.triangles import closest_point, points_to_barycentric

    corners = vertices[faces].astype(np.float64)  # (F, 3, 3)
    near = cKDTree(corners.mean(1)).query(points, CANDIDATES)[1]  # (n, k)
    spots = closest_point(corners[near].reshape(-1, 3, 3), points.repeat(CANDIDATES, 0)).reshape(*near.shape, 3)
    distance = np.linalg.norm(points[:, None] - spots, axis=-1)
    best = (np.arange(len(points)), distance.argmin(1))
    weights = points_to_barycentric(corners[near[best]], spots[best])
    normal = np.einsum("nc,ncx->nx", weights, normals[faces[near[best]]])
    outside = np.einsum("nx,nx->n", points - spots[best], normal)
    return np.asarray(np.where(outside < 0, -1.0, 1.0) * distance[best])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--people", action="store_true", help="Measure every person's head, not the template alone.")
    options = parser.parse_args()
    started = time.process_time()
    content = build_head(PEOPLE if options.people else ())
    print(f"{len(content.rig.template)} vertices, built in {time.process_time() - started:.2f} s of processor time")
    layout = rest_head()[1].layout
    coefficients = speech_like(options.vectors, options.seed)
    rigs = {"template": content.rig} | {name: content.rig_of(name) for name in content.identities}
    for name, rig in rigs.items():
        nearest = 1e3 * tooth_clearance(rig, layout, coefficients).min(axis=1)
        print(
            f"{name}: nearest {nearest.min():+.2f} mm, 1st percentile {np.percentile(nearest, 1):+.2f} mm, "
            f"{int((nearest < 0).sum())} of {len(nearest)} vectors touch"
        )


if __name__ == "__main__":
    main()
