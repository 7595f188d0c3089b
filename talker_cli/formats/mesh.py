"""Triangle meshes as vertices (V, 3) float32 and faces (F, 3) int: reading them, and their normals.

The only module that touches trimesh, which splits polygons into triangles. A motion's vertices come in the template's order,
so no reader here may merge, split or reorder them; trimesh's own readers do so to an .obj that has texture coordinates, normals
or groups, and misread a .ply whose faces have different numbers of corners. So both are read here.
"""

import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talker_cli.errors import InputError
from talker_cli.formats.schema import reading

VERTICES = ("vertices", "template", "verts", "v")  # the names an .npz may give them
FACES = ("faces", "triangles", "tris", "f")
LARGEST = 1e9  # of a coordinate in any unit: normals are made of fourth powers, and float32 ends at 3e38
LARGEST_ARRAY = 1 << 30  # bytes of an .npz's array: a zip archive may hold a thousand times its own size

# The names of a .ply's types, old and new, and numpy's.
PLY_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
PLY_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


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
    with reading(path, f"a complete {path.suffix} mesh"), np.errstate(all="ignore"):  # checked below
        return checked(path, reader(path))


def checked(path: Path, mesh: Mesh) -> Mesh:
    """Return a mesh that can be drawn.

    Raises:
        InputError: it has no vertices or no faces, a face names a vertex that does not exist, or a coordinate is not finite or
            beyond any unit.
    """
    count = len(mesh.vertices)
    if count == 0 or mesh.vertices.ndim != 2 or mesh.vertices.shape[1] != 3:
        raise InputError(f"{path} holds vertices of the shape {mesh.vertices.shape}; expected (V, 3)")
    if len(mesh.faces) == 0 or mesh.faces.ndim != 2 or mesh.faces.shape[1] != 3:
        raise InputError(f"{path} holds {count} vertices and no triangles; expected a mesh with faces")
    low, high = int(mesh.faces.min()), int(mesh.faces.max())
    if low < 0 or high >= count:
        raise InputError(f"{path} has a face with the vertex {high if high >= count else low}; expected 0 to {count - 1}")
    largest = float(np.abs(mesh.vertices).max())
    if not np.isfinite(largest):
        raise InputError(f"{path} holds NaN or infinity; expected finite vertices")
    if largest > LARGEST:
        raise InputError(f"{path} holds the coordinate {largest:.3g}; expected at most {LARGEST:g}; scale the mesh")
    return mesh


@dataclass
class _PlyElement:
    """A table of a .ply: its rows' number, and each property's name, type and, of a list, the type of its length."""

    name: str
    count: int
    properties: list[tuple[str, str, str | None]]


class _PlyBody:
    """The numbers behind a .ply's header, taken one after another.

    Args:
        data: The bytes.
        order: numpy's mark of the byte order; empty for text.
    """

    def __init__(self, data: bytes, order: str) -> None:
        self._order, self._place = order, 0
        self._data = data
        self._numbers = np.array(data.split(), np.float64) if not order else None

    def left(self, size: int) -> int:
        """Return how many values of a size in bytes can still follow."""
        return (len(self._data) - self._place) // size if self._numbers is None else len(self._numbers) - self._place

    def take(self, kind: str, count: int) -> np.ndarray:
        """Return the next (count,) values of a type."""
        dtype = np.dtype(self._order + kind)
        if not 0 <= count <= self.left(dtype.itemsize):
            raise ValueError(f"{count} values where the file ends")
        if self._numbers is not None:
            self._place += count
            values = self._numbers[self._place - count : self._place]
            if kind[0] in "iu" and (values != np.floor(values)).any():
                raise ValueError(f"{values} where whole numbers belong")
            return values
        start, self._place = self._place, self._place + count * dtype.itemsize
        return np.frombuffer(self._data, dtype, count, start)

    def table(self, element: _PlyElement) -> dict[str, np.ndarray]:
        """Return the (count,) columns of an element without lists."""
        if self._numbers is not None:
            rows = self.take("f8", element.count * len(element.properties)).reshape(element.count, -1)
            return {name: rows[:, column] for column, (name, _, _) in enumerate(element.properties)}
        dtype = np.dtype([(name, self._order + kind) for name, kind, _ in element.properties])
        rows = self.take("u1", element.count * dtype.itemsize).view(dtype)
        return {name: rows[name] for name, _, _ in element.properties}

    def lists(self, element: _PlyElement, wanted: str) -> Sequence[np.ndarray]:
        """Return each row's values of one list of an element."""
        if element.count > self.left(1):
            raise ValueError(f"{element.count} rows of {element.name} where the file ends")
        if element.count and self._numbers is None and len(element.properties) == 1:
            _, kind, length = element.properties[0]
            first = np.frombuffer(self._data, self._order + str(length), 1, self._place)[0]
            dtype = np.dtype([("count", self._order + str(length)), ("values", self._order + kind, (int(first),))])
            if element.count <= self.left(dtype.itemsize):
                rows = np.frombuffer(self._data, dtype, element.count, self._place)
                if (rows["count"] == first).all():  # all of one length, as a rule, and hundred times as fast
                    self._place += rows.nbytes
                    return list(rows["values"])
        found = []
        for _ in range(element.count):
            for name, kind, length in element.properties:
                values = self.take(kind, 1 if length is None else int(self.take(length, 1)[0]))
                if name == wanted:
                    found.append(values)
        return found


def _read_ply(path: Path) -> Mesh:
    header, mark, data = path.read_bytes().partition(b"end_header")
    lines = [line.split() for line in header.decode("ascii", "replace").splitlines()]
    if not mark or lines[0] != ["ply"]:
        raise ValueError("no header")
    order, elements = None, list[_PlyElement]()
    for words in lines[1:]:
        match words:
            case ["format", encoding, _]:
                order = PLY_ORDERS[encoding]
            case ["element", name, count]:
                elements.append(_PlyElement(name, int(count), []))
            case ["property", "list", length, kind, name]:
                elements[-1].properties.append((name, PLY_TYPES[kind], PLY_TYPES[length]))
            case ["property", kind, name]:
                elements[-1].properties.append((name, PLY_TYPES[kind], None))
    if order is None:
        raise ValueError("no format")
    body = _PlyBody(data.removeprefix(b"\r").removeprefix(b"\n"), order)
    columns: dict[str, np.ndarray] = {}
    polygons: Sequence[np.ndarray] = []
    for element in elements:
        names = [name for name, _, length in element.properties if length is not None]
        wanted = next((name for name in names if name.startswith("vertex_ind")), names[0] if names else "")
        if names:
            values = body.lists(element, wanted)
            polygons = values if element.name == "face" else polygons
        else:
            values_of = body.table(element)
            columns = values_of if element.name == "vertex" else columns
    vertices = np.stack([columns[axis] for axis in "xyz"], axis=1)
    colors = None
    if {"red", "green", "blue"} <= columns.keys():
        colors = np.stack([columns[name] for name in ("red", "green", "blue")], axis=1)
        kinds = {name: kind for element in elements if element.name == "vertex" for name, kind, _ in element.properties}
        colors = np.round(colors * 255) if kinds["red"][0] == "f" else colors  # reals are shares of one
    return _mesh(vertices, _triangles(polygons), colors)


def _obj_lines(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines; one that ends in a backslash goes on in the next."""
    begun = ""
    for line in lines:
        line = line.rstrip()
        if line.endswith("\\"):
            begun += line[:-1] + " "
        else:
            yield begun + line
            begun = ""
    yield begun


def _read_obj(path: Path) -> Mesh:
    """Read `v` lines, x y z [w] or x y z r g b, and `f` lines, i, i/t, i/t/n or i//n from 1 on, or back from the last."""
    vertices: list[list[float]] = []
    polygons: list[list[int]] = []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in _obj_lines(lines):
            kind, *words = line.partition("#")[0].split() or [""]
            if kind == "v":
                vertices.append([float(word) for word in words])
            elif kind == "f":
                corners = [int(word.split("/")[0]) for word in words]
                if 0 in corners:
                    raise ValueError("a face with the vertex 0, where OBJ counts from 1")
                polygons.append([corner - 1 if corner > 0 else len(vertices) + corner for corner in corners])
    colored = bool(vertices) and all(len(vertex) == 6 for vertex in vertices)
    rows = np.array([vertex[: 6 if colored else 3] for vertex in vertices], np.float64).reshape(len(vertices), -1)
    return _mesh(rows[:, :3], _triangles(polygons), np.round(255 * np.clip(rows[:, 3:], 0, 1)) if colored else None)


def _read_npz(path: Path) -> Mesh:
    with zipfile.ZipFile(path) as archive:
        sizes = {entry.filename.removesuffix(".npy"): entry.file_size for entry in archive.infolist()}
    vertices, faces = (next((name for name in names if name in sizes), None) for names in (VERTICES, FACES))
    if vertices is None:
        raise InputError(f"{path} holds {', '.join(sizes) or 'nothing'}; expected vertices (V, 3) and faces (F, 3)")
    too_large = [name for name in (vertices, faces) if name is not None and sizes[name] > LARGEST_ARRAY]
    if too_large:
        raise InputError(f"{path} holds {sizes[too_large[0]] / 1e9:.1f} GB of {too_large[0]}; expected a face's mesh")
    with np.load(path, allow_pickle=False) as arrays:
        return _mesh(arrays[vertices], np.zeros((0, 3), np.int64) if faces is None else arrays[faces], None)


def _triangles(polygons: Sequence[Sequence[int] | np.ndarray]) -> np.ndarray:
    """Return the (F, 3) corners of polygons, each split into a fan; points and lines have none."""
    polygons = [polygon for polygon in polygons if len(polygon) > 2]
    if all(len(polygon) == 3 for polygon in polygons):
        return np.array(polygons, np.int64).reshape(-1, 3)
    from trimesh.util import triangle_fans_to_faces

    return triangle_fans_to_faces([np.asarray(polygon, np.int64) for polygon in polygons])


def _mesh(vertices: np.ndarray, corners: np.ndarray, colors: np.ndarray | None) -> Mesh:
    """Return a mesh of (V, 3) vertices, (F, 3) whole numbers of any type, and (V, 3) colours from 0 to 255."""
    faces = corners.astype(np.int64)
    wrong = (faces != corners) | (faces < 0) | (faces >= len(vertices))
    if wrong.any():  # before they are stored in 32 bits, where a large one may come out right
        raise ValueError(f"a face with the vertex {corners[wrong][0]:.10g}, expected 0 to {len(vertices) - 1}")
    rounded = None if colors is None else np.clip(np.nan_to_num(colors), 0, 255).astype(np.uint8)
    return Mesh(np.ascontiguousarray(vertices, dtype=np.float32), faces.astype(np.int32), rounded)


READERS: dict[str, Callable[[Path], Mesh]] = {".ply": _read_ply, ".obj": _read_obj, ".npz": _read_npz}


class Surface:
    """The points of a mesh, for the nearest of them to be found.

    Args:
        vertices: (V, 3).
        faces: (F, 3), counter-clockwise seen from outside.
    """

    CANDIDATES = 16  # faces looked at for a point, those with the nearest middles

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        from scipy.spatial import cKDTree

        self.faces, self._triangles = faces, vertices[faces].astype(np.float64)
        crossed = np.cross(self._triangles[:, 1] - self._triangles[:, 0], self._triangles[:, 2] - self._triangles[:, 0])
        self._normals = crossed / np.maximum(np.linalg.norm(crossed, axis=1, keepdims=True), 1e-20)
        self._middles = cKDTree(self._triangles.mean(1))

    def nearest(self, points: np.ndarray, normals: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the nearest point to each of (N, 3) points on the faces that look the same way.

        Args:
            points: (N, 3).
            normals: (N, 3) of length one.
            least: Cosine of the largest angle between a point's normal and its face's.

        Returns:
            The faces (N,), the weights (N, 3) of their corners, and the distances (N,), infinite where no face fits.
        """
        from trimesh.triangles import closest_point, points_to_barycentric

        _, near = self._middles.query(points, k=min(self.CANDIDATES, len(self.faces)))
        near = near.reshape(len(points), -1)
        count = near.shape[1]
        found = closest_point(self._triangles[near.ravel()], np.repeat(points, count, axis=0)).reshape(len(points), count, 3)
        distance = np.linalg.norm(found - points[:, None], axis=-1)
        distance[np.einsum("nkd,nd->nk", self._normals[near], normals) < least] = np.inf
        rows, best = np.arange(len(points)), distance.argmin(1)
        faces = near[rows, best]
        weights = points_to_barycentric(self._triangles[faces], found[rows, best])
        return faces, np.nan_to_num(np.clip(weights, 0.0, 1.0), nan=1 / 3), distance[rows, best]


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
