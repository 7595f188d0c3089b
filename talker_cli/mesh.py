"""Triangle meshes as vertices (V, 3) float32 and faces (F, 3) int."""

import numpy as np


class VertexNormals:
    """Vertex normals of a mesh whose vertices move and whose faces stay: n_v = normalised sum of the area vectors round v.

    The faces round each vertex are sorted once, so that a frame costs two gathers and one segmented sum.

    Args:
        faces: (F, 3), counter-clockwise seen from outside.
        vertex_count: V.
    """

    def __init__(self, faces: np.ndarray, vertex_count: int) -> None:
        corners = np.asarray(faces, dtype=np.int64).reshape(-1)  # (3F,) the vertex at each corner
        order = np.argsort(corners, kind="stable")
        self._faces = np.ascontiguousarray(np.asarray(faces, dtype=np.int64).T)  # (3, F)
        self._face_of_corner = order // 3  # (3F,) faces, grouped by vertex
        self._used, self._starts = np.unique(corners[order], return_index=True)  # a vertex of no face has no group
        self._vertex_count = vertex_count

    def __call__(self, vertices: np.ndarray) -> np.ndarray:
        """Return (V, 3) float32 unit normals of (V, 3) vertices; zero where no face of any area meets."""
        a, b, c = (vertices[corner] for corner in self._faces)  # (F, 3) each
        u, v = b - a, c - a
        areas = np.empty((len(u), 3), dtype=np.float32)  # (F, 3) twice the area along the face's normal
        for axis, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):
            areas[:, axis] = u[:, i] * v[:, j] - u[:, j] * v[:, i]
        normals = np.zeros((self._vertex_count, 3), dtype=np.float32)
        if len(self._used):
            normals[self._used] = np.add.reduceat(areas[self._face_of_corner], self._starts, axis=0)
        length = np.sqrt(np.einsum("vi,vi->v", normals, normals))
        # Metres squared of a face of a head are about 1e-6; anything far below is no area but rounding.
        normals /= np.maximum(length, 1e-20)[:, None]
        return normals
