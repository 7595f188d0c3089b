"""Motions of other systems, comparisons and the user's own character: any mesh, any unit, and every mistake one line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Talker, streams, without_hashes
from PIL import Image

from talker_cli.errors import InputError
from talker_cli.formats.mesh import read_mesh
from talker_cli.formats.motion import read_motion
from talker_cli.render import MotionTrack, RenderOptions, draw_frames, render_still
from talker_cli.render.heat import Unit, rounded_up, unit_of
from talker_cli.rig import Rig

GREY = (0.235, 0.245, 0.26)


def pixels(picture: Path) -> np.ndarray:
    with Image.open(picture) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def sheet_of(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a bulging sheet of rows x columns vertices and its faces, in metres: as many vertices as a test wants."""
    x, y = np.meshgrid(np.linspace(-0.07, 0.07, columns), np.linspace(0.1, -0.1, rows))
    vertices = np.stack([x, y, 0.08 - 6 * x**2 - 3 * y**2], -1).reshape(-1, 3)
    a = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    faces = np.concatenate([np.stack([a, a + columns, a + 1], 1), np.stack([a + 1, a + columns, a + columns + 1], 1)])
    return vertices, faces


# Templates

VERTICES = np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0), (9, 9, 9), (0, 1, 0.5), (0, 0, 0)], np.float32)  # one loose, two alike
FACES = np.array([(0, 1, 2), (0, 2, 4), (5, 2, 4)], np.int32)
OBJ = """# corners of every kind, in groups and materials
mtllib nowhere.mtl
v 0 0 0
v 1 0 0
v 1 1 0
v 9 9 9
v 0 1 0.5
v 0 0 0
vt 0 0
vt 1 0
vt 1 1
vn 0 0 1
usemtl skin
f 1/1/1 2/2/1 3/3/1 5//1
g other
usemtl lips
f -1/1 3/2 5/3
"""


def ply(path: Path, encoding: str, real: str, index: str) -> None:
    """Write our mesh as a PLY of a byte order, with reals and indices of a type."""
    kinds = {"float": "f4", "double": "f8", "ushort": "u2", "int": "i4"}
    head = f"ply\nformat {encoding} 1.0\nelement vertex {len(VERTICES)}\n" + "".join(f"property {real} {a}\n" for a in "xyz")
    head += f"element face {len(FACES)}\nproperty list uchar {index} vertex_indices\nend_header\n"
    order = {"binary_little_endian": "<", "binary_big_endian": ">"}.get(encoding)
    if order is None:
        rows = [" ".join(map(str, row)) for row in VERTICES] + [" ".join(map(str, (3, *row))) for row in FACES]
        path.write_text(head + "\n".join(rows) + "\n")
        return
    corners = np.zeros(len(FACES), [("n", "u1"), ("v", order + kinds[index], 3)])
    corners["n"], corners["v"] = 3, FACES
    path.write_bytes(head.encode() + VERTICES.astype(order + kinds[real]).tobytes() + corners.tobytes())


@pytest.mark.parametrize(
    "kind", ["obj", "npz", "ascii float int", "binary_little_endian double ushort", "binary_big_endian float int"]
)
def test_a_template_keeps_its_order(tmp_path: Path, kind: str) -> None:
    """Breaks if vertices are merged, split, dropped or sorted: every motion of that template would tear the face."""
    path = tmp_path / f"face.{kind if kind in ('obj', 'npz') else 'ply'}"
    if kind == "obj":
        path.write_text(OBJ)
    elif kind == "npz":
        np.savez(path, vertices=VERTICES.astype(np.float64), faces=FACES.astype(np.int64))
    else:
        ply(path, *kind.split())
    mesh = read_mesh(path)
    assert (mesh.vertices == VERTICES).all() and mesh.vertices.dtype == np.float32
    assert (mesh.faces == FACES).all()


@pytest.mark.parametrize(
    "name,content,words",
    [
        ("face.stl", b"solid", "the suffix is '.stl'; expected .ply, .obj, .npz or .glb"),
        ("gone.ply", None, "no mesh at gone.ply"),
        ("face.ply", b"ply\nformat ascii 1.0\nelement vertex 9\nprop", "face.ply is damaged"),
        ("face.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", "holds 3 vertices and no triangles"),
        ("face.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n", "a face with the vertex 3, expected 0 to 2"),
        ("face.npz", b"PK\x03\x04 half", "face.npz is damaged"),
        ("face.glb", b"glTF", "is no GLB"),
    ],
)
def test_templates_that_cannot_be_used(invoke: Talker, tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    """Breaks if a template that cannot be read, or has no faces, ends in a traceback or an empty picture."""
    np.save(tmp_path / "m.npy", np.zeros((2, 9), np.float32))
    if content is not None:
        (tmp_path / name).write_bytes(content)
    before = sorted(tmp_path.iterdir())
    assert words in invoke("render", "m.npy", "--template", name, "--fps", "25").mistake
    assert sorted(tmp_path.iterdir()) == before


# Motions


@pytest.mark.parametrize(
    "rows,columns,loose,unit,kind",
    [(81, 62, 1, 1.0, np.float32), (123, 190, 0, 1 / 0.187, np.float64), (41, 57, 0, 1000.0, np.float64)],
    ids=["FLAME's 5,023", "BIWI's 23,370", "millimetres"],
)
@pytest.mark.slow
def test_any_motion_of_any_system(
    invoke: Talker, tmp_path: Path, rows: int, columns: int, loose: int, unit: float, kind: type
) -> None:
    """Breaks if other meshes, units, doubles or flat frames are refused, or a vertex of no face pushes the face aside."""
    vertices, faces = sheet_of(rows, columns)
    vertices = unit * np.concatenate([vertices, np.full((loose, 3), 7.0)])
    np.savez(tmp_path / "face.npz", vertices=vertices, faces=faces)
    motion = np.repeat(vertices[None], 3, axis=0)
    motion[1, :, 0] += 0.02 * unit
    np.save(tmp_path / "m.npy", motion.reshape(3, -1).astype(kind))
    look = ("--size", "64x64", "--background", "#fff")
    ran = invoke("render", "m.npy", "--template", "face.npz", "--fps", "25", "-o", "f", *look)
    assert (ran.code, ran.out) == (0, "f\n"), ran.err
    first, moved, again = (pixels(tmp_path / "f" / f"{index:06d}.png") for index in range(3))
    drawn = (first < 250).all(axis=-1)
    assert drawn[24:40, 24:40].all() and 0.4 < drawn.mean() < 0.9 and not drawn[0].any() and not drawn[:, 0].any()
    assert (first == again).all()
    assert np.flatnonzero((moved < 250).all(axis=-1)[32])[0] > np.flatnonzero(drawn[32])[0] + 2


@pytest.mark.parametrize(
    "change,words",
    [
        ("nan", "holds NaN or infinity, first in frame 3;"),
        ("inf", "holds NaN or infinity, first in frame 3;"),
        ("count", "the motion has 5 vertices; the template face.npz has 6;"),
        ("none", "has no frames or no vertices, shape (0, 6, 3)"),
        ("whole", "holds int64; expected a float array"),
        ("rate", "states no frame rate"),
        ("faces", "so its faces are not known"),
        ("flat", "has the shape (4, 17)"),
        ("text", "expected a motion"),
        ("gone", "no motion at m.npy"),
    ],
)
def test_motions_that_cannot_be_drawn(invoke: Talker, tmp_path: Path, change: str, words: str) -> None:
    """Breaks if the mistake is not said in one line with exit code 2, or a black or half film appears."""
    motion = np.repeat(VERTICES[None], 4, axis=0)
    np.savez(tmp_path / "face.npz", vertices=VERTICES, faces=FACES)
    if change in ("nan", "inf"):
        motion[3, 2, 1] = float(change)
    changed = {"count": motion[:, 1:], "none": motion[:0], "whole": np.zeros((4, 6, 3), int), "flat": np.zeros((4, 17))}
    np.save(tmp_path / "m.npy", changed.get(change, motion))
    if change == "text":
        (tmp_path / "m.npy").write_text("vertices")
    elif change == "gone":
        (tmp_path / "m.npy").unlink()
    options = [] if change == "faces" else ["--template", "face.npz"]
    options += [] if change == "rate" else ["--fps", "25"]
    before = sorted(tmp_path.iterdir())
    assert words in invoke("render", "m.npy", *options).mistake
    assert sorted(tmp_path.iterdir()) == before


def test_an_npz_of_one_motion(tmp_path: Path) -> None:
    """Breaks if the archives that some systems write cannot be read, or one of two motions is picked by chance."""
    motion = np.arange(24, dtype=np.float64).reshape(2, 12)
    np.savez(tmp_path / "m.npz", prediction=motion, fps=np.array(25))
    assert (read_motion(tmp_path / "m.npz").vertices == motion.reshape(2, 4, 3)).all()
    np.savez(tmp_path / "m.npz", prediction=motion, truth=motion)
    with pytest.raises(InputError, match="expected only a motion"):
        read_motion(tmp_path / "m.npz")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    """Breaks if a motion is read whole, or its pages are kept: 600 MB of frames pass through 150 MB."""
    path = tmp_path / "long.npy"
    frames = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(2500, 20_000, 3))
    del frames  # zeros, and none of them on the disk
    (tmp_path / "long.json").write_text(json.dumps({"fps": 25.0}))
    np.savez(tmp_path / "face.npz", vertices=np.zeros((20_000, 3)), faces=[[0, 1, 2]])
    script = (
        "import resource, sys; from pathlib import Path; from talker_cli.render import read_track\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "track = read_track(Path(sys.argv[1]), template=Path(sys.argv[2]))\n"
        "total = sum(float(track.at(index / 25).sum()) for index in range(2500))\n"
        "print((peak() - before) // 1024, total)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), str(tmp_path / "face.npz")], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    grown, total = done.stdout.split()
    assert float(total) == 0 and int(grown) < 150, done.stdout


# Side by side


def test_side_by_side(tmp_path: Path, ball: Rig) -> None:
    """Breaks if the pictures change places, a face is not the one that stands alone, or nobody says which is which."""
    one = MotionTrack(ball, ball.decode(np.array([[0.0]])), 30.0, "truth")
    other = MotionTrack(ball, ball.decode(np.array([[1.0]])), 30.0, "prediction")
    render_still([one, other], tmp_path / "c.png", RenderOptions((128, 96), background=GREY))
    image = pixels(tmp_path / "c.png")
    assert image.shape == (96, 256, 3)
    for track, half in ((one, image[:, :128]), (other, image[:, 128:])):
        alone = next(draw_frames(track.frames, ball, size=(128, 96), background=GREY))
        changed = np.abs(half - alone).max(axis=-1) > 2
        assert changed[:24].any() and not changed[24:].any()  # its name, and nothing else


def test_the_heat_is_where_the_distance_is(tmp_path: Path, ball: Rig) -> None:
    """Breaks if the distance is measured or coloured wrongly: the left half is 4 mm off, the right half not at all."""
    moved = ball.template.copy()
    left = ball.template[:, 0] > 0.01
    moved[left, 2] += 0.004
    one, other = MotionTrack(ball, ball.template[None], 30.0, "a"), MotionTrack(ball, moved[None], 30.0, "b")
    render_still([one, other], tmp_path / "c.png", RenderOptions((128, 128), background=GREY, heatmap=True))
    image = pixels(tmp_path / "c.png")
    assert image.shape == (128, 384, 3)
    heat = image[:, 256:]
    hot, cold = heat[55:75, 80:92].reshape(-1, 3).mean(axis=0), heat[55:75, 36:48].reshape(-1, 3).mean(axis=0)
    assert hot[0] > hot[2] + 60 and cold[2] > cold[0]  # red where the subject's left is, slate on the right
    before = image[:, 128:256]
    assert np.abs(before[40:80] - image[40:80, :128]).mean() < 6  # the faces themselves keep their colours


@pytest.mark.parametrize("value,end", [(0.0, 1.0), (3.9, 4.0), (4.0, 4.0), (0.012, 0.015), (73.0, 80.0), (9.9, 10.0)])
def test_a_scale_ends_with_a_number_to_read(value: float, end: float) -> None:
    """Breaks if the scale is shorter than the distances, or ends with 3.87."""
    assert rounded_up(value) == pytest.approx(end)


def test_units_are_told_by_size(rig: Rig) -> None:
    """Breaks if millimetres are taken for metres: the scale would be a thousand times off."""
    for scale, unit in (
        (1.0, Unit(1000.0)), (100.0, Unit(10.0)), (1000.0, Unit(1.0)), (1 / 0.187, Unit(187.0, "about mm")),
    ):  # fmt: skip
        assert unit_of(rig.template * scale) == unit


@pytest.mark.slow
def test_a_comparison_from_the_command_line(invoke: Talker, motion: Path, tmp_path: Path) -> None:
    """Breaks if the sound is lost, the labels need not differ, or other meshes are measured against each other."""
    late = tmp_path / "late.npy"
    np.save(late, np.roll(np.load(motion), 4, axis=0))
    late.with_suffix(".json").write_text(motion.with_suffix(".json").read_text())
    without_hashes(late)
    ran = invoke("render", motion, "--compare", late, "--heatmap", "--size", "64x64", "--fps", "10", "-o", "c.mp4")
    assert (ran.code, ran.out) == (0, "c.mp4\n"), ran.err
    assert " 192x64" in streams(tmp_path / "c.mp4") and "Audio: aac" in streams(tmp_path / "c.mp4")
    assert "--heatmap alone" in invoke("render", motion, "--heatmap").mistake
    assert "--at and --every" in invoke("render", motion, "--at", "0", "--every", "1").mistake
    assert "mud; expected a colour" in invoke("render", motion, "--background", "mud").mistake
