"""Any motion of the built-in head's mesh as the 52 ARKit curves: given, or solved by bounded least squares."""

import numpy as np

from talker_cli.errors import InputError
from talker_cli.export.performance import Performance
from talker_cli.model.folder import model_folder
from talker_cli.rig import ARKIT_NAMES, Rig, load_rig

TOLERANCE = 1e-5  # of a coefficient: where the solver stops
ROUNDS = 2000
MOUTH_WEIGHT = 10.0  # how much more a vertex of the lips counts


def arkit_coefficients(performance: Performance) -> np.ndarray:
    """Return the (T, 52) ARKit coefficients of a performance, in the order of `ARKIT_NAMES`.

    Raises:
        InputError: the rig has other shapes, and another mesh than the head whose shapes could stand for them.
    """
    rig = performance.rig
    if rig.names == ARKIT_NAMES:
        return performance.coefficients
    shapes = arkit_shapes_for(rig)
    weights = np.ones(len(rig.template))
    if "lips" in rig.regions:
        weights[rig.regions["lips"]] = MOUTH_WEIGHT
    scaled = shapes * np.sqrt(weights)[None, :, None]
    flat = scaled.reshape(len(scaled), -1).astype(np.float64)
    # offsets = coefficients @ basis, so their products with the shapes need no vertices of any frame.
    basis = (rig.basis * weights[None, :, None] ** 0.5).reshape(len(rig.names), -1).astype(np.float64)
    towards = performance.coefficients.astype(np.float64) @ (basis @ flat.T)  # (T, 52)
    return bounded_least_squares(flat @ flat.T, towards).astype(np.float32)


def arkit_shapes_for(rig: Rig) -> np.ndarray:
    """Return the (52, V, 3) ARKit shapes that a rig's mesh has, by its own names or because it is the built-in head's.

    Raises:
        InputError: it has none.
    """
    built_in = load_rig(model_folder("talker-base") / "rig.safetensors").rig
    if rig.names == ARKIT_NAMES:
        return rig.basis
    if not np.array_equal(built_in.faces, rig.faces):
        raise InputError(
            f"the motion moves {len(rig.names)} shapes ({rig.names[0]} …) of a mesh with {len(rig.template)} vertices; "
            f"expected the 52 ARKit shapes, or the built-in head's mesh with {len(built_in.template)}, on which they can be "
            "solved for; choose another format than .csv"
        )
    return built_in.basis


def bounded_least_squares(gram: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """Return (T, K) coefficients c in 0…1 that minimise `c G c / 2 - c b`, frame by frame, by coordinate descent.

    Each coefficient in turn takes its best value while the others stand; for a convex function in a box this converges to
    the minimum (Tseng 2001).

    Args:
        gram: G (K, K), products of the shapes with each other.
        towards: b (T, K), products of each frame's offsets with the shapes.
    """
    coefficients = np.zeros_like(towards)
    slope = -towards.copy()  # (T, K) the gradient G c - b
    for _ in range(ROUNDS):
        largest = 0.0
        for k in np.flatnonzero(np.diag(gram) > 0):
            value = np.clip(coefficients[:, k] - slope[:, k] / gram[k, k], 0.0, 1.0)
            step = value - coefficients[:, k]
            moved = float(np.abs(step).max(initial=0.0))
            if moved > 0:
                slope += step[:, None] * gram[k]
                coefficients[:, k] = value
                largest = max(largest, moved)
        if largest < TOLERANCE:
            break
    return coefficients
