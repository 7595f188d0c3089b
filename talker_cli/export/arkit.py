"""The 52 ARKit coefficients of any motion of the built-in head's mesh: given, or solved by bounded least squares."""

import numpy as np

from talker_cli.errors import InputError
from talker_cli.export.motion_clip import MotionClip
from talker_cli.model.folder import model_folder
from talker_cli.rig import ARKIT_NAMES, Rig, load_rig

TOLERANCE = 1e-6  # step of a coefficient below which the search ends
ROUNDS = 5000  # some shapes look so alike on the surface that a thousand are needed
CHUNK_FRAMES = 1024  # frames solved at a time, so that they stay in the processor's cache
MOUTH_WEIGHT = 10.0  # how much more a vertex of the lips counts


def arkit_coefficients(clip: MotionClip) -> np.ndarray:
    """Return the (T, 52) ARKit coefficients of a motion, in the order of `ARKIT_NAMES`.

    Raises:
        InputError: the rig has other shapes, and another mesh than the head whose shapes could stand for them.
    """
    rig = clip.rig
    if rig.face_names == ARKIT_NAMES:
        return clip.weights
    shapes = arkit_shapes_for(rig)
    weights = np.ones(len(rig.template))
    if "lips" in rig.regions:
        weights[rig.regions["lips"]] = MOUTH_WEIGHT
    scaled = shapes * np.sqrt(weights)[None, :, None]
    flat = scaled.reshape(len(scaled), -1).astype(np.float64)
    # offsets = coefficients @ basis, so their products with the shapes need no vertices of any frame.
    basis = (rig.basis * weights[None, :, None] ** 0.5).reshape(len(rig.names), -1).astype(np.float64)
    products = clip.coefficients.astype(np.float64) @ (basis @ flat.T)  # (T, 52)
    return bounded_least_squares(flat @ flat.T, products).astype(np.float32)


def arkit_shapes_for(rig: Rig) -> np.ndarray:
    """Return the (52, V, 3) ARKit shapes of a rig's mesh: its own, or the built-in head's if it is that head's mesh.

    Raises:
        InputError: the rig has no ARKit shapes and another mesh.
    """
    built_in = load_rig(model_folder("talker-base") / "rig.safetensors").rig
    if rig.face_names == ARKIT_NAMES:
        return rig.face.basis
    if not np.array_equal(built_in.faces, rig.faces):
        raise InputError(
            f"the motion moves {len(rig.names)} shapes ({rig.names[0]} …) of a mesh with {len(rig.template)} vertices; "
            f"expected the 52 ARKit shapes, or the built-in head's mesh with {len(built_in.template)}, on which they can be "
            "solved for; choose another format than .csv"
        )
    return built_in.basis


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
