"""MediaPipe's landmarks on a neutral mesh: tables for FLAME's and GNM's topology, a file, or found in a picture."""

from pathlib import Path

import numpy as np

from talker_cli.capture import landmarks as marks
from talker_cli.capture.fit import binding_weights, read_binding
from talker_cli.capture.tracker import landmarks_of_image
from talker_cli.errors import InputError
from talker_cli.formats.mesh import Mesh
from talker_cli.formats.schema import reading
from talker_cli.render import render_frame
from talker_cli.render.camera import Framing
from talker_cli.rig import Rig

FLAME_VERTICES, GNM_VERTICES = 5023, 17_821
TABLES = {FLAME_VERTICES: "flame.json", GNM_VERTICES: "gnm.json"}
PIXELS = 640
REACH = 8  # pixels from a landmark that lies on a gap, as between lid and eyeball, to the mesh
CLAY = (205, 165, 140)  # sRGB
# Tip and root of the nose, chin, corners of the eyes and of the mouth, lids, borders of the lips' red.
NEEDED = (1, 168, 152, 33, 133, 362, 263, 159, 145, 386, 374, 61, 291, 0, 17, 13, 14)
NAMES = "1 168 152 nose tip, nose root, chin; 33 133 362 263 eye corners; 159 145 386 374 lids; 61 291 0 13 14 17 lips"

Points = dict[int, np.ndarray]


def known_landmarks(vertices: np.ndarray) -> Points | None:
    """Return the landmarks (3,) of vertices (V, 3) of a topology that is known by its number of vertices, else None."""
    if len(vertices) not in TABLES:
        return None
    binding = read_binding(Path(__file__).parent / TABLES[len(vertices)])
    return dict(zip(binding, binding_weights(binding, tuple(binding), len(vertices)) @ vertices, strict=True))


def read_landmarks(path: Path, vertices: np.ndarray) -> Points:
    """Read landmarks of vertices (V, 3) from a text of `LANDMARK VERTEX` a line, both numbers; after # is comment.

    Raises:
        InputError: the file is missing or damaged, names what is not there, or lacks one of the needed landmarks.
    """
    points: Points = {}
    with reading(path, "landmarks, as '1 3564' a line"):
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].replace(",", " ").split()
        if not words:
            continue
        if len(words) != 2 or not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
            raise InputError(f"{path} line {number} is '{line[:40]}'; expected a landmark and a vertex, as '1 3564'")
        landmark, vertex = map(int, words)
        if vertex >= len(vertices):
            raise InputError(f"{path} line {number} names the vertex {vertex}; the mesh has {len(vertices)}, counted from 0")
        points[landmark] = vertices[vertex]
    missing = [number for number in NEEDED if number not in points]
    if missing:
        raise InputError(f"{path} lacks the landmarks {', '.join(map(str, missing))}; expected {NAMES} at least")
    return points


def find_landmarks(path: Path, mesh: Mesh, tracker: Path) -> Points:
    """Return the landmarks (3,) of a mesh, found by MediaPipe in a picture of it from the front.

    Raises:
        InputError: the picture shows no face, or several.
        MachineError: no OpenGL, no MediaPipe, or its model cannot be loaded.
    """
    count = len(mesh.vertices)
    clay = np.tile(np.array([CLAY], np.uint8), (count, 1)) if mesh.colors is None else mesh.colors
    rig = Rig(mesh.vertices, mesh.faces, np.zeros((0, count, 3), np.float32), (), {}, np.zeros((0, 2), np.int32), 30.0, clay)
    faces = landmarks_of_image(render_frame(mesh.vertices, rig, size=(PIXELS, PIXELS)), tracker)
    if len(faces) != 1:
        found = f"{len(faces)} faces" if faces else "no face"
        raise InputError(
            f"{path} shows {found} from the front; expected one head, +y up and +z out of the face; give its landmarks",
            field="landmarks",
        )
    view = Framing(mesh.vertices, (PIXELS, PIXELS)).view(0.0)
    away = mesh.vertices.astype(np.float64) - view.pose[:3, 3]
    scale = -1.0 / (away[:, 2] * np.tan(view.field_of_view / 2))
    screen = np.stack([away[:, 0] * scale, away[:, 1] * scale, away[:, 2]], 1)  # -1…1 across the picture, and depth
    wanted = (faces[0][:, :2] * 2 - 1) * [1, -1]
    hit, weights = cast(screen, mesh.faces, wanted)
    grid = np.stack(np.meshgrid(*[np.arange(-REACH, REACH + 1)] * 2), -1).reshape(-1, 2) * (2 / PIXELS)
    around = grid[np.argsort(np.linalg.norm(grid, axis=1), kind="stable")]
    for row in np.flatnonzero(hit < 0):
        beside, shares = cast(screen, mesh.faces, wanted[row] + around)
        nearest = int((beside >= 0).argmax())
        hit[row], weights[row] = beside[nearest], shares[nearest]
    if any(hit[number] < 0 for number in NEEDED):
        raise InputError(f"{path} shows a face with gaps; expected skin at {NAMES}; give its landmarks", field="landmarks")
    return {
        number: weights[number] @ mesh.vertices[mesh.faces[hit[number]]]
        for number in range(min(len(wanted), marks.IRIS[0]))
        if hit[number] >= 0
    }


def cast(vertices: np.ndarray, faces: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the foremost face (N,) that each of (N, 2) points lies on, seen along z, -1 for none, and its weights (N, 3)."""
    low, high = points.min(0), points.max(0)
    corners = vertices[faces]
    near = np.flatnonzero((corners[..., :2].max(1) >= low).all(1) & (corners[..., :2].min(1) <= high).all(1))
    a, b, c = np.moveaxis(corners[near], 1, 0)
    double = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    near, a, b, c, double = (part[double > 0] for part in (near, a, b, c, double))  # those that look to the front
    hit, weights = np.full(len(points), -1), np.zeros((len(points), 3))
    if not len(near):
        return hit, weights
    for row, (x, y) in enumerate(points):
        second = ((x - a[:, 0]) * (c[:, 1] - a[:, 1]) - (y - a[:, 1]) * (c[:, 0] - a[:, 0])) / double
        third = ((b[:, 0] - a[:, 0]) * (y - a[:, 1]) - (b[:, 1] - a[:, 1]) * (x - a[:, 0])) / double
        inside = np.flatnonzero((second >= 0) & (third >= 0) & (second + third <= 1))
        if len(inside):
            shares = np.stack([1 - second[inside] - third[inside], second[inside], third[inside]], 1)
            depth = np.einsum("nk,nk->n", shares, np.stack([a[inside, 2], b[inside, 2], c[inside, 2]], 1))
            best = depth.argmax()
            hit[row], weights[row] = near[inside[best]], shares[best]
    return hit, weights
