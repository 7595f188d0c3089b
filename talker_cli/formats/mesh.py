"""Triangle meshes as vertices (V, 3) float32 and faces (F, 3) int: reading them, and their normals.

The only module that touches trimesh. A motion's vertices come in the template's order, so no reader here may merge, split
or reorder them. trimesh does so to an .obj that has texture coordinates, normals or groups, whatever it is told; so an
.obj's two kinds of lines that count are read here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from talker_cli.errors import InputError

VERTICES = ("vertices", "template", "verts", "v")  # the names an .npz may give them
FACES = ("faces", "triangles", "tris", "f")


@dataclass(frozen=True)
class Mesh:
    """A mesh as its file orders it.

    Args:
        vertices: (V, 3) float32.
        faces: (F, 3) int32, counter-clockwise seen from outside.
        colors: (V, 3) uint8 sRGB, or None.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray | None = None


def read_mesh(path: Path) -> Mesh:
    """Read a mesh of any system: .ply, .obj or .npz, its vertices in the file's order.

    Raises:
        InputError: the file is missing, of another kind, damaged, or holds no faces.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"cannot read the mesh {path}: the suffix is '{path.suffix}'; expected {', '.join(READERS)} or .glb")
    if not path.is_file():
        raise InputError(f"no mesh at {path}; expected a file, {', '.join(READERS)}; check the path")
    try:
        mesh = reader(path)
    except InputError:
        raise
    except Exception as error:  # trimesh raises whatever a damaged file leads to
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
        raise InputError(f"cannot read the mesh {path} ({what}); expected a whole {path.suffix} file") from error
    return checked(path, mesh)


def checked(path: Path, mesh: Mesh) -> Mesh:
    """Return a mesh that can be drawn.

    Raises:
        InputError: it has no vertices or no faces, a face names a vertex that is not there, or a vertex is not finite.
    """
    count = len(mesh.vertices)
    if count == 0 or mesh.vertices.ndim != 2 or mesh.vertices.shape[1] != 3:
        raise InputError(f"{path} holds vertices of the shape {mesh.vertices.shape}; expected (V, 3)")
    if len(mesh.faces) == 0 or mesh.faces.ndim != 2 or mesh.faces.shape[1] != 3:
        raise InputError(f"{path} holds {count} vertices and no triangles; expected faces too; give a --template that has them")
    low, high = int(mesh.faces.min()), int(mesh.faces.max())
    if low < 0 or high >= count:
        raise InputError(f"{path} has a face with the vertex {high if high >= count else low}; expected 0 to {count - 1}")
    if not np.isfinite(mesh.vertices).all():
        raise InputError(f"{path} holds NaN or infinity; expected finite vertices")
    return mesh


def _read_ply(path: Path) -> Mesh:
    import trimesh

    with path.open("rb") as stream:
        loaded = trimesh.load(
            stream, file_type="ply", process=False, maintain_order=True, fix_texture=False, skip_materials=True
        )
    colors = None
    if getattr(getattr(loaded, "visual", None), "kind", None) == "vertex":
        colors = np.asarray(loaded.visual.vertex_colors)[:, :3].astype(np.uint8)
    faces = getattr(loaded, "faces", np.zeros((0, 3)))  # a cloud of points has none
    return _mesh(loaded.vertices, faces, colors)


def _read_obj(path: Path) -> Mesh:
    """Read `v` and `f` lines: x y z [r g b], and corners i, i/t, i/t/n, i//n, counted from 1 or back from the last."""
    vertices: list[list[float]] = []
    faces: list[tuple[int, int, int]] = []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            kind, *words = line.split() or [""]
            if kind == "v":
                vertices.append([float(word) for word in words])
            elif kind == "f":
                corners = [int(word.split("/")[0]) for word in words]
                around = [corner - 1 if corner > 0 else len(vertices) + corner for corner in corners]
                faces += [(around[0], b, c) for b, c in pairwise(around[1:])]
    rows = np.array([vertex[:6] for vertex in vertices], dtype=np.float64)
    colors = np.round(255 * np.clip(rows[:, 3:6], 0, 1)).astype(np.uint8) if rows.ndim == 2 and rows.shape[1] == 6 else None
    return _mesh(rows[:, :3], faces, colors)


def _read_npz(path: Path) -> Mesh:
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    named = [next((arrays[name] for name in names if name in arrays), None) for names in (VERTICES, FACES)]
    if named[0] is None:
        raise InputError(f"{path} holds {', '.join(arrays) or 'nothing'}; expected vertices (V, 3) and faces (F, 3)")
    return _mesh(named[0], np.zeros((0, 3)) if named[1] is None else named[1], None)


def _mesh(vertices: np.ndarray, faces: object, colors: np.ndarray | None) -> Mesh:
    triangles = np.asarray(faces).astype(np.int32)
    return Mesh(np.ascontiguousarray(vertices, dtype=np.float32), triangles, colors)


READERS: dict[str, Callable[[Path], Mesh]] = {".ply": _read_ply, ".obj": _read_obj, ".npz": _read_npz}


class VertexNormals:
    """Vertex normals of a mesh whose vertices move and whose faces stay: n_v = normalised sum of the area vectors round v.

    The faces round each vertex are sorted once, so that a frame costs two gathers and one segmented sum.

    Args:
        faces: (F, 3), counter-clockwise seen from outside.
        vertex_count: V.
        shared: (V,) int, equal for vertices that have one normal between them; None if each has its own.
    """

    def __init__(self, faces: np.ndarray, vertex_count: int, shared: np.ndarray | None = None) -> None:
        corners = np.asarray(faces, dtype=np.int64).reshape(-1)  # (3F,) the vertex at each corner
        if shared is not None:
            corners = shared[corners]
            vertex_count = int(shared.max()) + 1
        self._shared = shared
        order = np.argsort(corners, kind="stable")
        self._corners = tuple(np.ascontiguousarray(column, dtype=np.intp) for column in np.asarray(faces).T)  # three of (F,)
        self._face_of_corner = order // 3  # (3F,) faces, grouped by vertex
        self._used, self._starts = np.unique(corners[order], return_index=True)  # a vertex of no face has no group
        self._vertex_count = vertex_count

    def __call__(self, vertices: np.ndarray) -> np.ndarray:
        """Return (V, 3) float32 unit normals of (V, 3) vertices; zero where no face of any area meets."""
        # One axis at a time: gathers from plain rows are far faster.
        edges = [self._edges(vertices[:, axis]) for axis in range(3)]
        normals = np.zeros((3, self._vertex_count), dtype=np.float32)
        for normal, (i, j) in zip(normals, ((1, 2), (2, 0), (0, 1)), strict=True):
            (u_i, v_i), (u_j, v_j) = edges[i], edges[j]
            area = (u_i * v_j - u_j * v_i).astype(np.float32, copy=False)  # (F,) twice the area along the face's normal
            if len(self._used):
                normal[self._used] = np.add.reduceat(area.take(self._face_of_corner), self._starts)
        length = np.sqrt(normals[0] ** 2 + normals[1] ** 2 + normals[2] ** 2)
        # Metres squared of a face of a head are about 1e-6; anything far below is no area but rounding.
        normals /= np.maximum(length, 1e-20)
        return np.ascontiguousarray(normals.T) if self._shared is None else normals.T[self._shared]

    def _edges(self, coordinate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the (F,) differences of a (V,) coordinate along each face's first and last edge."""
        row = np.ascontiguousarray(coordinate)
        a, b, c = (row.take(corner) for corner in self._corners)
        b -= a
        c -= a
        return b, c
