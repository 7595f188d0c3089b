"""Non-rigid registration of the built-in head's skin to another mesh: nearest points, ever less stiff (Amberg et al. 2007).

The unknowns are the offsets of the vertices; their Laplacian is what costs. Upper and lower lip find points on their like
alone, so that lips which touch do not tangle, and the lips' line and the lids follow landmarks.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.linalg import splu

from talker_cli.capture import landmarks as marks
from talker_cli.capture.pose import similarity
from talker_cli.errors import InputError
from talker_cli.formats.mesh import Surface, VertexNormals
from talker_cli.rigging.source import Source
from talker_cli.rigging.target import Target

STIFFNESS = (100.0, 30.0, 10.0, 3.0, 1.0, 0.5)  # cost of a vertex' bending against its distance
REACH = (20.0, 15.0, 12.0, 10.0, 7.0, 5.0)  # mm: what is further away is not the same part
FACING = 0.5  # cosine between the normals of points that belong together
CONTOUR, PLAIN = 10.0, 0.3  # weights of landmarks; those of lids and lips hold to the end
LEAD = 6.0  # mm by which a vertex may be nearer to the other lip and count to both: at the corners
SMOOTH = 2.0  # of the spline through the landmarks
MISFIT = 0.25  # of the eyes' distance: landmarks further off (RMS) belong to no face
CONTOURS = frozenset(
    number
    for group in (marks.INNER_UPPER, marks.INNER_LOWER, marks.OUTER_UPPER, marks.OUTER_LOWER, marks.LID_UPPER, marks.LID_LOWER)
    for side in group
    for number in side
)


@dataclass(frozen=True)
class Registered:
    """The built-in head in another's shape.

    Args:
        vertices: (V, 3) its vertices, millimetres, where the target has the same part.
        scale: Size of the target relative to it.
        rotation: (3, 3) of the target relative to it.
    """

    vertices: np.ndarray
    scale: float
    rotation: np.ndarray


def register(source: Source, target: Target) -> Registered:
    """Fit the built-in head to a mesh.

    Raises:
        InputError: the landmarks are not those of a face.
    """
    numbers = [place for place, number in enumerate(source.numbers) if number in target.points]
    weights = source.weights[numbers]
    goal = np.array([target.points[source.numbers[place]] for place in numbers])
    rest = weights @ source.vertices
    scale, rotation, shift = (part[0] for part in similarity(rest[None], goal))
    placed = scale * source.vertices @ rotation.T + shift
    apart = np.linalg.norm(target.points[33] - target.points[263])
    misfit = float(np.sqrt(np.square(weights @ placed - goal).sum(1).mean()))
    if misfit > MISFIT * apart:
        raise InputError(f"{target.path} has landmarks {misfit / apart:.2f} eye distances off a face; expected a head's")
    warp = RBFInterpolator(weights @ placed, goal - weights @ placed, kernel="linear", degree=0, smoothing=SMOOTH)
    vertices = placed + warp(placed)
    sheet = _sheet(source, target, vertices[source.sheet], weights[:, source.sheet], goal,
                   np.array([source.numbers[place] in CONTOURS for place in numbers]))  # fmt: skip
    moved = RBFInterpolator(
        vertices[source.sheet], sheet - vertices[source.sheet], kernel="linear", degree=0, neighbors=30, smoothing=SMOOTH
    )
    vertices[~source.sheet] += moved(vertices[~source.sheet])
    vertices[source.sheet] = sheet
    return Registered(vertices, float(scale), rotation)


def laplacian(vertices: np.ndarray, faces: np.ndarray) -> csr_matrix:
    """Return L (V, V) with `(L f)_i` = f_i minus the mean of its neighbours, the nearer the weightier."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.unique(np.sort(edges, axis=1), axis=0)
    weight = 1.0 / (np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1) + 0.1)
    graph = coo_matrix((np.tile(weight, 2), np.concatenate([edges, edges[:, ::-1]]).T), (len(vertices),) * 2).tocsr()
    total = np.asarray(graph.sum(1)).ravel()
    used = (total > 0).astype(float)
    return diags(used) - diags(used / np.maximum(total, 1e-12)) @ graph


def _sheet(
    source: Source, target: Target, start: np.ndarray, weights: np.ndarray, goal: np.ndarray, contour: np.ndarray
) -> np.ndarray:
    """Return the sheet's vertices (N, 3) on the target, from their first places."""
    faces = source.sheet_faces
    bending = laplacian(start, faces)
    bending = bending.T @ bending
    normals_of = VertexNormals(faces, len(start))
    seen, lip = source.seen[source.sheet], source.lip[source.sheet]
    lead = target.lead[target.skin_faces]
    surfaces = {
        0: Surface(target.vertices, target.skin_faces),
        1: Surface(target.vertices, target.skin_faces[(lead > -LEAD).all(1)]),
        -1: Surface(target.vertices, target.skin_faces[(lead < LEAD).all(1)]),
    }
    landmarks = csr_matrix(weights)
    vertices = start.copy()
    for step, (stiffness, reach) in enumerate(zip(STIFFNESS, REACH, strict=True)):
        normals = normals_of(vertices.astype(np.float32)).astype(np.float64)
        found, trust = vertices.copy(), np.zeros(len(vertices))
        for label, surface in surfaces.items():
            rows = np.flatnonzero(seen & (lip == label))
            hit, shares, distance = surface.nearest(vertices[rows], normals[rows], FACING)
            near = distance < reach
            rows, hit, shares = rows[near], hit[near], shares[near]
            found[rows] = np.einsum("nk,nkd->nd", shares, target.vertices[surface.faces[hit]])
            trust[rows] = 1.0
        plain = PLAIN * (1 - step / len(STIFFNESS))
        held = diags(np.where(contour, CONTOUR, plain))
        matrix = stiffness * bending + diags(trust + 1e-6) + landmarks.T @ held @ landmarks
        right = trust[:, None] * (found - start) + landmarks.T @ (held @ (goal - landmarks @ start))
        vertices = start + splu(matrix.tocsc()).solve(right)
    return vertices
