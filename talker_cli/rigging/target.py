"""A neutral mesh that gets shapes: its skin, eyeballs and other pieces, and which lip each vertex belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from talker_cli.capture import landmarks as marks
from talker_cli.errors import InputError
from talker_cli.formats.mesh import VertexNormals

JOINED = 1.5  # times the way through the air between both lips, below which the way over the skin leads through no opening
BALL = 0.06  # of an eyeball's radius: mean distance of its vertices from a ball
RADII = (0.13, 0.35)  # of the distance of the eyes' middles, of an eyeball
AWAY = 0.3  # of the same distance, from the middle of the lids to that of the eyeball
ALIKE = 0.6  # of the skin's height: another piece as high, beside it, is another head


@dataclass(frozen=True)
class Eyeball:
    """Vertices of an eye: (V,) bool, its centre (3,) and radius, millimetres, and whether it is the subject's left."""

    vertices: np.ndarray
    centre: np.ndarray
    radius: float
    left: bool


class Target:
    """A neutral mesh, millimetres.

    Args:
        path: File that errors name.
        vertices: (V, 3), +y up, +z out of the face.
        faces: (F, 3).
        points: Landmarks (3,) by their numbers.

    Raises:
        InputError: the mesh holds two heads, or its mouth cannot open.
    """

    def __init__(self, path: Path, vertices: np.ndarray, faces: np.ndarray, points: Mapping[int, np.ndarray]) -> None:
        self.path, self.vertices, self.faces, self.points = path, vertices.astype(np.float64), faces, dict(points)
        self.skin = self._skin()
        self.skin_faces = faces[self.skin[faces].all(1)]
        self.normals = VertexNormals(faces, len(vertices))(vertices.astype(np.float32)).astype(np.float64)
        self.from_upper, self.from_lower = (
            dijkstra(self.graph, False, np.unique(seeds), min_only=True) for seeds in self._seeds()
        )
        self._check_mouth()

    @cached_property
    def graph(self) -> csr_matrix:
        """(V, V) lengths of the skin's edges."""
        edges = np.concatenate([self.skin_faces[:, [0, 1]], self.skin_faces[:, [1, 2]], self.skin_faces[:, [2, 0]]])
        edges = np.unique(np.sort(edges, axis=1), axis=0)
        length = np.linalg.norm(np.diff(self.vertices[edges], axis=1)[:, 0], axis=1) + 1e-9
        count = len(self.vertices)
        return coo_matrix((np.tile(length, 2), np.concatenate([edges, edges[:, ::-1]]).T), (count, count)).tocsr()

    @cached_property
    def lead(self) -> np.ndarray:
        """(V,) how much nearer over the skin the upper lip is than the lower one, mm: negative on the lower one."""
        with np.errstate(invalid="ignore"):
            return np.nan_to_num(self.from_lower - self.from_upper)

    @cached_property
    def eyeballs(self) -> tuple[Eyeball, ...]:
        """Pieces of the mesh that are balls behind the lids."""
        found = []
        middles = {left: self._of([n for rows in (marks.LID_UPPER, marks.LID_LOWER) for n in rows[left]]) for left in (0, 1)}
        apart = float(np.linalg.norm(middles[1] - middles[0]))
        for piece in self._pieces_beside_skin():
            vertices = self.vertices[piece]
            if len(vertices) < 20:
                continue
            solved = np.linalg.lstsq(np.c_[2 * vertices, np.ones(len(vertices))], np.square(vertices).sum(1), rcond=None)[0]
            centre, distance = solved[:3], np.linalg.norm(vertices - solved[:3], axis=1)
            left = bool(np.linalg.norm(centre - middles[1]) < np.linalg.norm(centre - middles[0]))
            radius = float(distance.mean())
            if (
                np.abs(distance - radius).mean() < BALL * radius
                and RADII[0] < radius / apart < RADII[1]
                and np.linalg.norm(centre - middles[int(left)]) < AWAY * apart
            ):
                mask = np.zeros(len(self.vertices), dtype=bool)
                mask[piece] = True
                found.append(Eyeball(mask, centre, radius, left))
        return tuple(found)

    @cached_property
    def pieces(self) -> np.ndarray:
        """(V,) the number of the connected piece that each vertex belongs to."""
        edges = np.concatenate([self.faces[:, :2], self.faces[:, 1:]])
        count = len(self.vertices)
        graph = coo_matrix((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), (count, count))
        return np.asarray(connected_components(graph, directed=False)[1])

    @cached_property
    def loose(self) -> list[np.ndarray]:
        """The (N,) vertices of each piece that is neither skin nor an eyeball."""
        balls = {int(np.flatnonzero(ball.vertices)[0]) for ball in self.eyeballs}
        return [piece for piece in self._pieces_beside_skin() if int(piece[0]) not in balls]

    def _skin(self) -> np.ndarray:
        """Return (V,) bool, the piece that most landmarks lie on."""
        used = np.unique(self.faces)
        nearest = used[cKDTree(self.vertices[used]).query(np.array(list(self.points.values())))[1]]
        skin = np.asarray(self.pieces == np.bincount(self.pieces[nearest]).argmax())
        low, high = self.vertices[skin].min(0), self.vertices[skin].max(0)
        for piece in np.unique(self.pieces[used]):
            other = self.vertices[self.pieces == piece]
            beside = np.abs(other.mean(0) - (low + high) / 2) > (high - low) / 2
            if np.ptp(other[:, 1]) > ALIKE * (high - low)[1] and beside.any():
                raise InputError(f"{self.path} holds two heads; expected one; leave the other out")
        return skin

    def _pieces_beside_skin(self) -> list[np.ndarray]:
        used = np.unique(self.faces)
        return [used[self.pieces[used] == piece] for piece in np.unique(self.pieces[used[~self.skin[used]]])]

    def _of(self, numbers: list[int]) -> np.ndarray:
        return np.mean([self.points[number] for number in numbers if number in self.points], axis=0)

    def _seeds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return vertices of the skin on the borders of the upper and the lower lip's red, corners left out."""
        skin = np.flatnonzero(self.skin)
        tree = cKDTree(self.vertices[skin])
        upper, lower = (
            skin[tree.query([self.points[n] for side in rows for n in side[1:] if n in self.points])[1]]
            for rows in (marks.OUTER_UPPER, marks.OUTER_LOWER)
        )
        return upper, lower

    def _check_mouth(self) -> None:
        upper, lower = (seeds[-1] for seeds in self._seeds())  # in the middle
        air = float(np.linalg.norm(self.vertices[upper] - self.vertices[lower]))
        if dijkstra(self.graph, False, upper)[lower] < JOINED * air:
            raise InputError(f"{self.path} has lips that are one skin; expected a mouth that can open: a slit between the lips")
