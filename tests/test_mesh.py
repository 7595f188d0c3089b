"""Meshes: files of every program in the file's order, damaged ones in one line; vertex normals by their definition."""

import struct
import time
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talker_cli.errors import InputError
from talker_cli.formats import mesh as mesh_module
from talker_cli.formats.mesh import Mesh, VertexNormals, read_mesh

KINDS = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4", "double": "f8"}
CUBE = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
# A quad first, then a triangle and a pentagon: together as long as three quads.
POLYGONS = [[0, 1, 3, 2], [4, 6, 7], [0, 4, 5, 7, 1], [2, 3, 7, 6]]


def fans(polygons: list[list[int]]) -> list[tuple[int, int, int]]:
    return [(polygon[0], b, c) for polygon in polygons for b, c in pairwise(polygon[1:])]


def ply(
    vertices: np.ndarray,
    polygons: list[list[int]],
    encoding: str = "binary_little_endian",
    real: str = "float",
    index: str = "int",
    *,
    length: str = "uchar",
    extra: bool = False,
    end: str = "\n",
) -> bytes:
    """Return a PLY as other programs write it; with `extra`, there are normals, flags, edges and a list before the corners."""
    names = [*"xyz", *(("nx", "red", "green", "blue") if extra else ())]
    kinds = [real] * 3 + (["float", "uchar", "uchar", "uchar"] if extra else [])
    head = ["ply", f"format {encoding} 1.0", "comment made by a test", f"element vertex {len(vertices)}"]
    head += [f"property {kind} {name}" for kind, name in zip(kinds, names, strict=True)]
    if extra:
        head += ["element edge 1", "property int vertex1", "property int vertex2"]
    head += [f"element face {len(polygons)}"]
    head += ["property uchar flags", f"property list {length} float weights"] if extra else []
    head += [f"property list {length} {index} vertex_indices", *(["property short group"] if extra else []), "end_header", ""]
    rows: list[list[tuple[str, float]]] = []
    for number, vertex in enumerate(vertices):
        values = [*vertex, *((0.5, number, 2 * number, 255) if extra else ())]
        rows.append(list(zip(kinds, values, strict=True)))
    if extra:
        rows.append([("int", 0), ("int", 1)])
    for polygon in polygons:
        before: list[tuple[str, float]] = [("uchar", 7), (length, 2), ("float", 0.25), ("float", 0.5)] if extra else []
        rows.append(
            [*before, (length, len(polygon)), *((index, each) for each in polygon), *([("short", -1)] if extra else [])]
        )
    if encoding == "ascii":
        return (end.join(head) + end.join(" ".join(f"{value:.9g}" for _, value in row) for row in rows) + end).encode()
    order = "<" if "little" in encoding else ">"
    body = b"".join(np.array(value, order + KINDS[kind]).tobytes() for row in rows for kind, value in row)
    return end.join(head).encode() + body


@pytest.mark.parametrize("encoding", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize(("real", "index", "length"), [("float", "int", "uchar"), ("double", "ushort", "int")])
@pytest.mark.parametrize("extra", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_ply_of_any_polygons(
    tmp_path: Path, encoding: str, real: str, index: str, length: str, extra: bool, end: str
) -> None:
    """Breaks if triangles beside quads are refused or read as others, or a property of another program shifts the rest."""
    path = tmp_path / "face.ply"
    path.write_bytes(ply(CUBE, POLYGONS, encoding, real, index, length=length, extra=extra, end=end))
    found = read_mesh(path)
    assert (found.vertices == CUBE).all() and found.faces.tolist() == [list(face) for face in fans(POLYGONS)]
    if extra:
        assert found.colors is not None and found.colors.tolist() == [[n, 2 * n, 255] for n in range(8)]
    else:
        assert found.colors is None


def obj(vertices: np.ndarray, polygons: list[list[int]], joint: str = " ") -> str:
    lines = [joint.join(["v", *(f"{value:.9g}" for value in vertex)]) for vertex in vertices.tolist()]
    lines += [joint.join(["f", *(f"{corner + 1}/{corner + 1}/1" for corner in polygon)]) for polygon in polygons]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("joint", [" ", "\t", " \\\n", " \\\r\n  ", " \\  \n", "\\\n "], ids=repr)
def test_an_obj_whose_lines_go_on(tmp_path: Path, joint: str) -> None:
    """Breaks if a line that ends in a backslash is cut there, or the next one is a line of its own."""
    path = tmp_path / "face.obj"
    path.write_bytes(("# a comment \\\n of two lines\n" + obj(CUBE, POLYGONS, joint) + "# \\").encode())
    found = read_mesh(path)
    assert (found.vertices == CUBE).all() and found.faces.tolist() == [list(face) for face in fans(POLYGONS)]


WRONG = {
    "a vertex of 0": ("a.obj", b"v 0 0 0\nv 1 0 0\nf 0 1 2\nv 0 1 0\n"),
    "a vertex before the first": ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 -4\n"),
    "an index of twenty digits": ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 99999999999999999999\n"),
    "an index of five thousand digits": ("a.obj", b"v 0 0 0\nf 1 1 " + b"9" * 5000 + b"\n"),
    "a number that is none": ("a.obj", b"v 0 0 x\nf 1 1 1\n"),
    "two coordinates": ("a.obj", b"v 0 0\nv 1 0\nv 0 1\nf 1 2 3\n"),
    "infinity": ("a.obj", b"v 0 0 1e400\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"),
    "beyond float32": ("a.obj", b"v 0 0 1e39\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"),
    "beyond any unit": ("a.obj", b"v 0 0 1e12\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"),
    "NaN": ("a.obj", b"v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"),
    "lines for faces": ("a.obj", b"v 0 0 0\nv 1 0 0\nf 1 2\n"),
    "four milliards of vertices": ("a.ply", ply(CUBE, POLYGONS).replace(b"vertex 8", b"vertex 4000000000")),
    "four milliards of faces": ("a.ply", ply(CUBE, POLYGONS).replace(b"face 4", b"face 4000000000")),
    "minus one face": ("a.ply", ply(CUBE, POLYGONS).replace(b"face 4", b"face -1")),
    "four milliards, as text": ("a.ply", ply(CUBE, POLYGONS, "ascii").replace(b"vertex 8", b"vertex 4000000000")),
    "a list longer than the file": ("a.ply", ply(CUBE, POLYGONS, length="uint").replace(struct.pack("<I", 5), b"\xff" * 4)),
    "a corner of -1": ("a.ply", ply(CUBE, [[0, 1, 2], [-1, 1, 2]])),
    "a corner of 1.5": ("a.ply", ply(CUBE, [[0, 1, 2]], "ascii").replace(b"3 0 1 2", b"3 0 1.5 2")),
    "a type nobody knows": ("a.ply", ply(CUBE, POLYGONS).replace(b"property float x", b"property half x")),
    "no x": ("a.ply", ply(CUBE, POLYGONS).replace(b"float x", b"float w")),
    "no end": ("a.ply", ply(CUBE, POLYGONS).replace(b"end_header", b"")),
    "cut": ("a.ply", ply(CUBE, POLYGONS)[:-9]),
    "points": ("a.ply", ply(CUBE, [])),
    "empty": ("a.ply", b""),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_damaged_meshes_are_refused_in_one_line(tmp_path: Path, wrong: str) -> None:
    """Breaks if a face beyond the vertices wraps round, a size is believed, or NumPy prints a warning."""
    name, content = WRONG[wrong]
    (tmp_path / name).write_bytes(content)
    refuse(tmp_path / name)


def refuse(path: Path) -> str:
    with warnings.catch_warnings(), pytest.raises(InputError, match=path.name.replace(".", r"\.")) as refused:
        warnings.simplefilter("error")
        read_mesh(path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    "faces",
    [np.array([[0, 1, 2 + (1 << 32)]]), np.array([[0, 1, -1]]), np.array([[0, 1, 1.5]]), np.array([[0, 1, np.nan]]),
     np.array([["0", "1", "2"]]), np.array([0, 1, 2]), np.zeros((0, 3), int), np.array([[0, 1, 2 + 3j]])],
    ids=lambda faces: f"{faces.dtype} {faces.shape}",
)  # fmt: skip
def test_faces_of_an_archive_are_checked(tmp_path: Path, faces: np.ndarray) -> None:
    """Breaks if faces beyond 32 bits wrap round to vertices that exist, or fractions and texts pass for them."""
    np.savez(tmp_path / "a.npz", vertices=CUBE, faces=faces)
    refuse(tmp_path / "a.npz")


def test_an_archive_larger_than_memory_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if a small archive of zeros is unpacked into gigabytes, or arrays that nobody asked for are."""
    np.savez_compressed(tmp_path / "a.npz", vertices=np.zeros((10_000, 3)), faces=[[0, 1, 2]], other=np.zeros(10**6))
    assert len(read_mesh(tmp_path / "a.npz").vertices) == 10_000
    monkeypatch.setattr(mesh_module, "LARGEST_ARRAY", 200_000)
    assert "0.0 GB of vertices" in refuse(tmp_path / "a.npz")


MESHES = st.tuples(
    st.lists(st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 3), min_size=3, max_size=9),
    st.lists(st.lists(st.integers(0, 2), min_size=3, max_size=6), min_size=1, max_size=9),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mesh=MESHES, kind=st.sampled_from(["ascii", "binary_little_endian", "binary_big_endian", "obj", "npz"]))
def test_any_mesh_comes_back(tmp_path: Path, mesh: tuple[list[tuple[float, ...]], list[list[int]]], kind: str) -> None:
    """Breaks if vertices or faces of any format are others, or in another order, than they were written."""
    vertices, polygons = np.array(mesh[0], np.float32), mesh[1]
    path = tmp_path / f"a.{kind if kind in ('obj', 'npz') else 'ply'}"
    if kind == "npz":
        np.savez(path, v=vertices.astype(np.float64), f=np.array(fans(polygons), np.uint16))
    else:
        path.write_bytes(obj(vertices, polygons).encode() if kind == "obj" else ply(vertices, polygons, kind))
    found = read_mesh(path)
    assert (found.vertices == vertices).all() and found.faces.tolist() == [list(face) for face in fans(polygons)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_meshes(tmp_path: Path, data: st.DataObject) -> None:
    """Breaks if changed bytes lead to a traceback, a warning, NaN, or a face beyond the vertices."""
    kind = data.draw(st.sampled_from(["obj", "ascii", "binary_little_endian", "extra"]))
    content = obj(CUBE, POLYGONS).encode() if kind == "obj" else ply(
        CUBE, POLYGONS, "binary_big_endian" if kind == "extra" else kind, extra=kind == "extra"
    )  # fmt: skip
    work = bytearray(content)
    for _ in range(data.draw(st.integers(1, 5))):
        where = data.draw(st.integers(0, len(work)))
        work[where : where + data.draw(st.integers(0, 4))] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"9", b"-", b"\n"])
        )
    path = tmp_path / ("a.obj" if kind == "obj" else "a.ply")
    path.write_bytes(bytes(work))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found: Mesh = read_mesh(path)
        except InputError as error:
            assert "\n" not in str(error)
            return
    assert np.isfinite(found.vertices).all() and found.faces.min() >= 0 and found.faces.max() < len(found.vertices)


def naive(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The definition, face by face."""
    normals = np.zeros_like(vertices, dtype=np.float64)
    for a, b, c in faces:
        area = np.cross(vertices[b] - vertices[a], vertices[c] - vertices[a])
        for corner in (a, b, c):
            normals[corner] += area
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.where(length > 0, length, 1)


def test_equal_to_the_definition() -> None:
    """Breaks if a face is counted at the wrong corner, or a vertex of no face shifts the groups after it."""
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(40, 3)).astype(np.float32) * 0.1
    faces = rng.choice(np.setdiff1d(np.arange(40), [0, 17, 39]), size=(70, 3))  # some degenerate, three vertices unused
    found = VertexNormals(faces, 40)(vertices)
    assert np.abs(found - naive(vertices, faces)).max() < 1e-4
    assert (found[[0, 17, 39]] == 0).all()


def test_outwards_on_the_head(rig) -> None:  # type: ignore[no-untyped-def]
    """Breaks if the winding is read the other way round: the whole face would be lit from behind."""
    normals = VertexNormals(rig.faces, len(rig.template))(rig.template)
    nose = int(np.argmax(rig.template[:, 2]))
    assert normals[nose, 2] > 0.7


def test_fast_enough_for_every_frame() -> None:
    """Breaks if the sum goes back to a loop or to np.add.at: 20,000 faces within 15 ms even on a busy core."""
    side = 100
    i, j = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    vertices = np.stack([i, j, np.sin(i / 9)], -1).reshape(-1, 3).astype(np.float32)
    corner = (i[:-1, :-1] * side + j[:-1, :-1]).ravel()
    faces = np.concatenate([
        np.stack([corner, corner + side, corner + 1], 1), np.stack([corner + 1, corner + side, corner + side + 1], 1)
    ])  # fmt: skip
    normals = VertexNormals(faces, len(vertices))
    times = []
    for _ in range(20):
        start = time.perf_counter()
        normals(vertices)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.015
