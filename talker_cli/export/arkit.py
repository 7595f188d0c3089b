"""The 52 ARKit coefficients of any motion of the built-in head's mesh: given, or solved by bounded least squares."""

import numpy as np

from talker_cli.avatar.solve import bounded_least_squares
from talker_cli.errors import InputError
from talker_cli.export.motion_clip import MotionClip
from talker_cli.model.built_in import built_in_head
from talker_cli.rig import ARKIT_NAMES, Rig

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
    built_in = built_in_head().rig
    if rig.face_names == ARKIT_NAMES:
        return rig.face.basis
    if not np.array_equal(built_in.faces, rig.faces):
        raise InputError(
            f"the motion moves {len(rig.names)} shapes ({rig.names[0]} …) of a mesh with {len(rig.template)} vertices; "
            f"expected the 52 ARKit shapes, or the built-in head's mesh with {len(built_in.template)}, on which they can be "
            "solved for; choose another format than .csv"
        )
    return built_in.basis
