"""Deformation transfer (Sumner & Popovic 2004) of the built-in head's shapes to the same mesh in another's shape.

Both have one topology, so the gradients of each triangle's motion are matched by a Poisson equation (Botsch et al. 2006).
"""

import numpy as np
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import splu

from talker_cli.rigging.register import Registered, laplacian
from talker_cli.rigging.source import Source, shape

LOCAL = 80.0  # mm within which a shape's gradients say more than its offsets
MOVED = 0.3  # mm of an offset, from which on a vertex moves as its surroundings do
SPREAD = 4.0  # stiffness of corrections of lids and lips against the rest of the surface


def transferred(source: Source, registered: Registered) -> np.ndarray:
    """Return (52, V, 3) offsets, mm, of the registered head; lips and lids that meet on the built-in head meet on it."""
    scaled = registered.scale * source.shapes @ registered.rotation.T
    offsets = scaled.copy()
    sheet, faces = source.sheet, source.sheet_faces
    rest, own = source.vertices[sheet], registered.vertices[sheet]
    gradient, area = _gradient(own, faces)
    weighted = gradient.T @ diags(np.repeat(area, 3))
    screen = diags(_vertex_areas(faces, area, len(own)) / LOCAL**2)
    solve = splu((weighted @ gradient + screen).tocsc()).solve
    frames = np.linalg.inv(_frames(rest, faces))
    for number, moved in enumerate(source.shapes[:, sheet]):
        bent = _frames(rest + moved, faces) @ frames  # (F, 3, 3) how the triangle's surroundings are deformed
        turned = registered.rotation @ bent @ registered.rotation.T
        wanted = np.swapaxes(turned - np.eye(3), 1, 2).reshape(-1, 3)
        found = solve(weighted @ wanted + screen @ scaled[number, sheet])
        share = np.linalg.norm(moved, axis=1)
        share = share / (share + MOVED)
        offsets[number, sheet] += share[:, None] * (found - scaled[number, sheet])
    _meet(source, registered, offsets)
    return offsets


def spread(vertices: np.ndarray, faces: np.ndarray, rows: np.ndarray, values: np.ndarray, *, firm: float = 1e4) -> np.ndarray:
    """Return (V, ...) a smooth field that has values (N, ...) at rows (N,) and fades away from them."""
    bending = laplacian(vertices, faces)
    held = np.zeros(len(vertices))
    np.add.at(held, rows, firm)
    right = np.zeros((len(vertices), *values.shape[1:]))
    np.add.at(right, rows, firm * values)
    matrix = SPREAD * bending.T @ bending + diags(held + 0.02)
    return np.asarray(splu(matrix.tocsc()).solve(right.reshape(len(vertices), -1)).reshape(right.shape))


def sealing(offsets: np.ndarray, pairs: np.ndarray, vertices: np.ndarray, faces: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return (N, 3) what mouthClose lacks to bring lip pairs on an open jaw to where they are at rest.

    Args:
        offsets: (52, V, 3) the shapes.
        pairs: (P, 2) upper and lower vertices among the V.
        vertices: (N, 3) the surface over which the correction fades.
        faces: (F, 3) of these.
        rows: (P, 2) the pairs among the N.
    """
    upper, lower = pairs.T
    jaw, close = offsets[shape("jawOpen")], offsets[shape("mouthClose")]
    half = 0.5 * ((close[upper] - close[lower]) + (jaw[upper] - jaw[lower]))
    return spread(vertices, faces, rows.T.ravel(), np.concatenate([-half, half]))


def _meet(source: Source, registered: Registered, offsets: np.ndarray) -> None:
    """Correct, in place, how lips close on an open jaw, and how the lids of a shut eye meet."""
    sheet, faces, place = source.sheet, source.sheet_faces, source.place
    own = registered.vertices
    offsets[shape("mouthClose"), sheet] += sealing(offsets, source.lips, own[sheet], faces, place[source.lips])
    for name, sign in (("eyeBlinkLeft", 1), ("eyeBlinkRight", -1)):
        blink = offsets[shape(name)]
        upper, lower = source.lids[np.sign(source.vertices[source.lids[:, 0], 0]) == sign].T
        meant = source.vertices + source.shapes[shape(name)]
        apart = registered.scale * (meant[upper] - meant[lower]) @ registered.rotation.T
        half = 0.5 * ((own[upper] + blink[upper]) - (own[lower] + blink[lower]) - apart)
        rows = place[np.concatenate([upper, lower])]
        blink[sheet] += spread(own[sheet], faces, rows, np.concatenate([-half, half]))


def _frames(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return (F, 3, 3) two edges and the scaled normal of each face, in columns."""
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    normal = np.cross(b - a, c - a)
    normal /= np.sqrt(np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9))
    frames = np.stack([b - a, c - a, normal], axis=-1)
    flat = np.linalg.norm(normal, axis=1) < 1e-3  # a triangle without area says nothing
    frames[flat] = np.eye(3)
    return frames


def _gradient(vertices: np.ndarray, faces: np.ndarray) -> tuple[csr_matrix, np.ndarray]:
    """Return G (3F, V), the gradients of functions that are linear on each face, and the faces' areas (F,)."""
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    normal = np.cross(b - a, c - a)
    double = np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    unit = normal / double
    parts = np.stack([np.cross(unit, edge) / double for edge in (c - b, a - c, b - a)], 1)  # (F, corner, 3)
    rows = 3 * np.arange(len(faces))[:, None, None] + np.arange(3)
    columns = np.broadcast_to(faces[:, :, None], parts.shape)
    rows = np.broadcast_to(rows, parts.shape)
    return csr_matrix((parts.ravel(), (rows.ravel(), columns.ravel())), (3 * len(faces), len(vertices))), double[:, 0] / 2


def _vertex_areas(faces: np.ndarray, area: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(faces.ravel(), np.repeat(area / 3, 3), count) + 1e-9
