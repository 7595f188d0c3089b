"""Half meshes (x >= 0) of labelled vertices, quads and triangles, and their mirroring into whole meshes."""

from dataclasses import dataclass, field

import numpy as np

PARTS: tuple[str, ...] = (
    "skin", "mouth", "eyeball", "glint", "lash", "brow", "upper_teeth", "lower_teeth", "tongue", "ear", "hair",
)  # fmt: skip


@dataclass
class HalfMesh:
    """The left half (x >= 0) of a mirror symmetric mesh, millimetres.

    `ring` and `spoke` are labels that parts give to their vertices (-99 where a part gives none).
    """

    points: list[np.ndarray] = field(default_factory=list)
    part: list[np.ndarray] = field(default_factory=list)
    ring: list[np.ndarray] = field(default_factory=list)
    spoke: list[np.ndarray] = field(default_factory=list)
    seam: list[np.ndarray] = field(default_factory=list)
    quads: list[np.ndarray] = field(default_factory=list)
    triangles: list[np.ndarray] = field(default_factory=list)
    count: int = 0

    def add(
        self,
        points: np.ndarray,
        part: str,
        seam: np.ndarray | None = None,
        ring: np.ndarray | int = -99,
        spoke: np.ndarray | int = -99,
    ) -> np.ndarray:
        """Append (..., 3) points of a part and return their indices in the same leading shape.

        Args:
            points: (..., 3), millimetres.
            part: A name in `PARTS`.
            seam: (...) bool, the points on the mirror plane, which both halves share; None for none.
            ring: (...) label, or one for all.
            spoke: (...) label, or one for all.
        """
        shape = points.shape[:-1]
        size = int(np.prod(shape))
        self.points.append(points.reshape(-1, 3).astype(float))
        self.part.append(np.full(size, PARTS.index(part)))
        self.ring.append(np.broadcast_to(np.asarray(ring), shape).reshape(-1))
        self.spoke.append(np.broadcast_to(np.asarray(spoke), shape).reshape(-1))
        marks = np.zeros(shape, bool) if seam is None else np.broadcast_to(seam, shape)
        self.seam.append(marks.reshape(-1))
        index = np.arange(self.count, self.count + size).reshape(shape)
        self.count += size
        return index

    def quad(self, a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> None:
        """Append quads with corners a, b, c, d (equal shapes), counter-clockwise from outside."""
        corners = np.stack([np.ravel(x) for x in np.broadcast_arrays(a, b, c, d)], -1)
        keep = np.array([len(set(row)) for row in corners.tolist()])
        self.quads.append(corners[keep == 4])
        for row in corners[keep == 3].tolist():
            self.triangles.append(np.array([list(dict.fromkeys(row))]))

    def sheet(self, grid: np.ndarray, flip: bool = False) -> None:
        """Append the quads of an index grid (rows, columns), counter-clockwise from outside, or with `flip` from inside."""
        a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]
        if flip:
            a, b, c, d = a, d, c, b
        self.quad(a, b, c, d)


@dataclass(frozen=True)
class Layout:
    """A whole symmetric mesh, millimetres, and the labels that its shapes and colours are computed from.

    Args:
        points: (V, 3) rest positions.
        faces: (F, 3) triangles.
        mirror: (V,) index of each vertex's mirror image.
        part, ring, spoke: (V,) labels, see `HalfMesh`.
        side: (V,) +1 on the left half, -1 on its mirror image, 0 on the seam.
        half: Number of vertices of the left half and the seam, which come first.
    """

    points: np.ndarray
    faces: np.ndarray
    mirror: np.ndarray
    part: np.ndarray
    ring: np.ndarray
    spoke: np.ndarray
    side: np.ndarray
    half: int

    def of(self, part: str) -> np.ndarray:
        """Return the (V,) mask of a part's vertices."""
        return np.asarray(self.part == PARTS.index(part))


def mirrored(mesh: HalfMesh) -> Layout:
    """Return the whole mesh of a half: seam vertices are shared, all others get a mirror image."""
    points = np.concatenate(mesh.points)
    seam = np.concatenate(mesh.seam)
    points[seam, 0] = 0.0
    half = len(points)
    image = np.arange(half)
    image[~seam] = half + np.arange(int((~seam).sum()))
    quads = np.concatenate(mesh.quads)
    triangles = [np.concatenate(mesh.triangles)]
    triangles += [quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]
    left = np.concatenate(triangles)
    right = image[left][:, ::-1]
    total = half + int((~seam).sum())
    mirror = np.empty(total, int)
    mirror[:half] = image
    mirror[image] = np.arange(half)
    labels = [np.concatenate(x) for x in (mesh.part, mesh.ring, mesh.spoke)]
    labels = [np.concatenate([x, x[~seam]]) for x in labels]
    return Layout(
        points=np.concatenate([points, points[~seam] * [-1.0, 1.0, 1.0]]),
        faces=np.concatenate([left, right]).astype(np.int32),
        mirror=mirror,
        part=labels[0],
        ring=labels[1],
        spoke=labels[2],
        side=np.concatenate([np.where(seam, 0, 1), -np.ones(total - half, int)]),
        half=half,
    )
