"""The registered head's shapes carried over to the vertices of the mesh that it was registered to."""

import numpy as np
from scipy.sparse import eye
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from talker_cli.capture.pose import similarity
from talker_cli.formats.mesh import Surface
from talker_cli.head.eye_shapes import LOOK_DEGREES
from talker_cli.rigging.register import LEAD, Registered, laplacian
from talker_cli.rigging.source import Source, shape
from talker_cli.rigging.target import Target

FACING = 0.3  # cosine between the normals of a vertex and of the head's face that moves it
NEAR = 4.0  # mm: vertices further from the registered head move as their neighbours do
CLEAR = 0.3  # mm between lids and eyeball
TOUCHING = 3.0  # mm between two lips at rest, at most
AT_LINE = 3.5  # mm from the registered lips' line: what lies further in also touches, and parts otherwise
TOOTH = 40.0  # mm, the largest extent of a single tooth with its root
SOME, MOSTLY = 0.1, 0.5  # share of a piece next to one row of teeth, from which on it is teeth: of a tooth's size, of any
STILL = 0.02  # mm: smaller offsets are dropped
EYES = ("eyeBlink", "eyeSquint", "eyeWide", "eyeLookUp", "eyeLookDown", "eyeLookIn", "eyeLookOut", "cheekSquint")


def bound_shapes(source: Source, registered: Registered, offsets: np.ndarray, target: Target) -> np.ndarray:
    """Return (52, V, 3) offsets, mm, of the target's vertices.

    Args:
        source: The built-in head.
        registered: The same in the target's shape.
        offsets: (52, V', 3) its shapes, mm.
        target: The mesh.
    """
    shapes = np.zeros((len(offsets), *target.vertices.shape))
    faces, weights, known = _nearest(source, registered, target)
    rows = np.flatnonzero(known)
    shapes[:, rows] = np.einsum("nk,snkd->snd", weights[rows], offsets[:, faces[rows]])
    _fill(target, shapes, known)
    for piece in target.loose:
        _follow(source, registered, offsets, target, shapes, piece)
    for ball in target.eyeballs:
        for way, (axis, degrees) in LOOK_DEGREES.items():
            name = f"eyeLook{way}{'Left' if ball.left else 'Right'}"
            turn = _turn(axis, degrees * (1 if ball.left or axis == 0 else -1))
            away = target.vertices[ball.vertices] - ball.centre
            shapes[shape(name), ball.vertices] = away @ turn.T - away
        _clear(target, shapes, ball.centre, ball.radius, "Left" if ball.left else "Right")
    shapes[np.linalg.norm(shapes, axis=-1) < STILL] = 0.0
    return shapes


def lip_pairs_of(source: Source, registered: Registered, target: Target) -> np.ndarray:
    """Return (P, 2) int32 vertices of the target's lips that are each other's nearest at the lips' line, from left to right."""
    line = registered.vertices[source.lips].mean(1)
    near = target.skin & (cKDTree(line).query(target.vertices)[0] < AT_LINE)
    upper, lower = (np.flatnonzero(near & (sign * target.lead > LEAD)) for sign in (1, -1))
    if not len(upper) or not len(lower):
        return np.zeros((0, 2), np.int32)
    distance, below = cKDTree(target.vertices[lower]).query(target.vertices[upper])
    above = cKDTree(target.vertices[upper]).query(target.vertices[lower])[1]
    mutual = (above[below] == np.arange(len(upper))) & (distance < TOUCHING)
    pairs = np.stack([upper[mutual], lower[below[mutual]]], axis=1)
    return np.asarray(pairs[np.argsort(-target.vertices[pairs[:, 0], 0])], np.int32)


def _nearest(source: Source, registered: Registered, target: Target) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each of the target's vertices the head's vertices (V, 3) and their weights, and whether there are any."""
    count = len(target.vertices)
    corners, weights = np.zeros((count, 3), np.int64), np.zeros((count, 3))
    known = np.zeros(count, dtype=bool)
    sheet = source.faces[source.sheet[source.faces].all(1)]
    lip = source.lip[sheet]
    for wanted, rows in (
        (0, target.skin & (np.abs(target.lead) <= LEAD)),
        (1, target.skin & (target.lead > LEAD)),
        (-1, target.skin & (target.lead < -LEAD)),
    ):
        surface = Surface(registered.vertices, sheet[(lip * wanted >= 0).all(1)])
        places = np.flatnonzero(rows)
        hit, shares, distance = surface.nearest(target.vertices[places], target.normals[places], FACING)
        near = distance < NEAR
        places = places[near]
        corners[places], weights[places], known[places] = surface.faces[hit[near]], shares[near], True
    return corners, weights, known


def _follow(
    source: Source, registered: Registered, offsets: np.ndarray, target: Target, shapes: np.ndarray, piece: np.ndarray
) -> None:
    """Let a piece (N,) of the target, as lashes, move as what is nearest to it, in place; teeth stay as hard as they are.

    A tongue moves as a tongue.
    """
    candidates = np.flatnonzero(~source.balls)
    nearest = candidates[cKDTree(registered.vertices[candidates]).query(target.vertices[piece])[1]]
    if source.tongue[nearest].mean() > MOSTLY:  # a tongue, whole: its edges would stay with the gums that they touch
        candidates = np.flatnonzero(source.tongue)
        nearest = candidates[cKDTree(registered.vertices[candidates]).query(target.vertices[piece])[1]]
    moved = offsets[:, nearest]
    teeth = source.teeth[nearest]
    row = np.sign(teeth.sum())
    to = np.flatnonzero(teeth == row)
    rest = target.vertices[piece]
    small = np.linalg.norm(np.ptp(rest, axis=0)) < TOOTH
    if row and len(to) > 2 and len(to) > (SOME if small else MOSTLY) * len(piece):
        moving = np.abs(moved[:, to]).max((1, 2)) > STILL
        moved[~moving] = 0.0
        for number in np.flatnonzero(moving):
            _, turn, _ = similarity(rest[None, to], rest[to] + moved[number, to])
            middle = rest[to].mean(0)
            moved[number] = (rest - middle) @ turn[0].T + middle + moved[number, to].mean(0) - rest
    shapes[:, piece] = moved


def _fill(target: Target, shapes: np.ndarray, known: np.ndarray) -> None:
    """Let the skin's other vertices move as their neighbours do, in place: harmonic functions."""
    free = target.skin & ~known
    if not free.any():
        return
    graph = laplacian(target.vertices, target.skin_faces)
    inner = graph[free][:, free] + 1e-6 * eye(int(free.sum()))
    right = -(graph[free][:, known] @ shapes[:, known].transpose(1, 0, 2).reshape(int(known.sum()), -1))
    filled = splu(inner.tocsc()).solve(right)
    shapes[:, free] = filled.reshape(-1, len(shapes), 3).transpose(1, 0, 2)


def _turn(axis: int, degrees: float) -> np.ndarray:
    """Return the (3, 3) rotation about x (0, positive looks up) or y (1, positive to the subject's left)."""
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    if axis == 0:
        return np.array([[1, 0, 0], [0, cosine, sine], [0, -sine, cosine]])
    return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])


def _clear(target: Target, shapes: np.ndarray, centre: np.ndarray, radius: float, side: str) -> None:
    """Push lids that a shape moves into an eyeball out of it, in place, as far as they were out at rest."""
    away = np.linalg.norm(target.vertices - centre, axis=1)
    near = np.flatnonzero(target.skin & (away > radius - CLEAR) & (away < 1.8 * radius))
    least = np.minimum(away[near], radius + CLEAR)
    for stem in EYES:
        moved = target.vertices[near] + shapes[shape(f"{stem}{side}"), near]
        out = moved - centre
        length = np.linalg.norm(out, axis=1)
        inside = length < least
        push = out[inside] * (least[inside] / np.maximum(length[inside], 1e-6) - 1)[:, None]
        shapes[shape(f"{stem}{side}"), near[inside]] += push
