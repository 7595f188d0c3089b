"""Shapes for heads that have none, and vertices as curves: a head of another tessellation and shape is registered."""

import os
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from test_enroll_video import tracker

from talker_cli.avatar.solve import nearest_coefficients
from talker_cli.data.livelink import read_csv
from talker_cli.export.livelink import write_csv
from talker_cli.export.motion_clip import MotionClip
from talker_cli.formats.mesh import read_mesh
from talker_cli.formats.motion import read_motion
from talker_cli.render.avatar import read_avatar
from talker_cli.rig import ARKIT_NAMES, Rig, RigFile, load_rig, save_rig
from talker_cli.rigging.landmarks import find_landmarks, known_landmarks
from talker_cli.rigging.source import Source, built_in

__all__ = ["tracker"]  # a fixture
BEHIND = 15.0  # mm: the back of the head is left out


def warped(vertices: np.ndarray) -> np.ndarray:
    """Return vertices (..., 3), mm, of a head that is broader, the more so at the jaw, with cheeks further forward."""
    x, y, z = np.moveaxis(vertices, -1, 0)
    return np.stack([x * (1.1 - 0.0006 * y), y + 1650, z + 0.0005 * x * x], -1)


@dataclass(frozen=True)
class Foreign:
    """A head (V, 3) in mm of other vertices and triangles than the built-in one, its shapes, rows of teeth and landmarks."""

    vertices: np.ndarray
    faces: np.ndarray
    shapes: np.ndarray
    teeth: np.ndarray
    landmarks: str


def medial(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges (E, 2) of a mesh, and the faces of the mesh whose vertices are their middles."""
    ends = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]], axis=-1)  # (F, 3, 2)
    edges, place = np.unique(ends.reshape(-1, 2), axis=0, return_inverse=True)
    place = place.reshape(-1, 3)
    after: dict[tuple[int, int], int] = {}  # round a vertex, the edge that follows an edge
    for corners, (ab, bc, ca) in zip(faces.tolist(), place.tolist(), strict=True):
        for vertex, one, other in zip(corners, (ab, bc, ca), (ca, ab, bc), strict=True):
            after[vertex, one] = other
    found = place.tolist()
    for vertex, first in dict(after).items():
        ring = [first]
        while (following := after.get((vertex, ring[-1]))) not in (None, first) and len(ring) < 99:
            ring.append(following)
        if following == first:
            found += [[ring[0], one, other] for one, other in pairwise(ring[1:])]
    return edges, np.array(found)


@pytest.fixture(scope="module")
def source() -> Source:
    return built_in()


@pytest.fixture(scope="module")
def foreign(source: Source) -> Foreign:
    kept = ((source.sheet & (source.vertices[:, 2] > BEHIND)) | (source.teeth != 0))[source.faces].all(1)
    edges, faces = medial(source.faces[kept])
    rest = warped(source.vertices)
    shapes = np.stack([(warped(source.vertices + moved) - rest)[edges].mean(1) for moved in source.shapes])
    vertices = rest[edges].mean(1)
    landmarks = [
        f"{number} {np.linalg.norm(vertices - point, axis=1).argmin()}"
        for number, point in zip(source.numbers, source.weights @ rest, strict=True)
    ]
    return Foreign(vertices, faces, shapes, source.teeth[edges[:, 0]], "\n".join(landmarks))


def write_obj(path: Path, vertices: np.ndarray, faces: np.ndarray) -> None:
    rows = [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in vertices.tolist()]
    path.write_text("\n".join(rows + [f"f {a} {b} {c}" for a, b, c in (faces + 1).tolist()]) + "\n")


@pytest.fixture(scope="module")
def rigged(foreign: Foreign, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the head, its landmarks, and what `talker rig` made of it."""
    from conftest import run_command

    folder = tmp_path_factory.mktemp("rigged")
    write_obj(folder / "face.obj", foreign.vertices / 10, foreign.faces)
    (folder / "face.txt").write_text(foreign.landmarks)
    outputs = ("-o", folder / "face.glb", "-o", folder / "face.safetensors")
    ran = run_command("rig", folder / "face.obj", "--unit", "cm", "--landmarks", folder / "face.txt", *outputs)
    assert ran.code == 0 and "mm over the face" in ran.err, ran.err
    return folder


def test_a_foreign_head_moves_as_the_built_in_one_would(rigged: Path, foreign: Foreign) -> None:
    """Breaks if the registration drifts, lips tangle, or shapes are not deformed as their surroundings are."""
    rig = load_rig(rigged / "face.safetensors").rig
    assert rig.names == ARKIT_NAMES and np.array_equal(rig.faces, foreign.faces)
    assert np.abs(1e3 * rig.template - foreign.vertices).max() < 1e-2
    for name, worst in {"jawOpen": 0.1, "mouthFunnel": 0.25, "mouthSmileLeft": 0.25, "browInnerUp": 0.25}.items():
        truth = foreign.shapes[ARKIT_NAMES.index(name)]
        length = np.linalg.norm(truth, axis=1)
        moved = length > 0.25 * length.max()
        off = np.linalg.norm(1e3 * rig.basis[ARKIT_NAMES.index(name)] - truth, axis=1)
        assert off[moved].mean() < worst * length[moved].mean(), (name, off[moved].mean() / length[moved].mean())


def test_its_lips_and_lids_shut(rigged: Path, foreign: Foreign) -> None:
    """Breaks if the mouth stays open on a closed mouth's curves, or an eye does not close."""
    rig = load_rig(rigged / "face.safetensors").rig
    shapes = {name: 1e3 * rig.basis[k] for k, name in enumerate(rig.names)}
    upper, lower = rig.lip_pairs.T
    assert len(upper) >= 10 and np.ptp(1e3 * rig.template[upper, 0]) > 25
    parted = (shapes["jawOpen"][upper] - shapes["jawOpen"][lower])[:, 1]
    assert parted.max() > 15 and parted.min() > 0
    closed = shapes["jawOpen"] + shapes["mouthClose"]
    assert np.abs(closed[upper] - closed[lower]).max() < 0.1
    truth = foreign.shapes[ARKIT_NAMES.index("eyeBlinkLeft")]
    down = np.flatnonzero(truth[:, 1] < 0.7 * truth[:, 1].min())  # the upper lid's margin
    assert np.linalg.norm(shapes["eyeBlinkLeft"][down] - truth[down], axis=1).mean() < 0.15 * -truth[down, 1].mean()


def test_its_teeth_stay_hard(rigged: Path, foreign: Foreign) -> None:
    """Breaks if teeth are bent by the lips next to them, or do not follow their jaw."""
    rig = load_rig(rigged / "face.safetensors").rig
    jaw = 1e3 * rig.basis[ARKIT_NAMES.index("jawOpen")]
    assert np.abs(jaw[foreign.teeth == 1]).max() < 0.05
    assert (jaw[foreign.teeth == -1, 1] < -8).all()
    faces = foreign.faces[(foreign.teeth == -1)[foreign.faces].all(1)]
    before, after = (
        np.linalg.norm(np.diff(place[faces], axis=1), axis=-1) for place in (foreign.vertices, foreign.vertices + jaw)
    )
    assert np.abs(after - before).max() < 0.02


def test_it_goes_where_a_character_goes(rigged: Path) -> None:
    """Breaks if the GLB's morph targets are not found by ARKit's names; without eyeballs and tongue, theirs move nothing."""
    avatar = read_avatar(rigged / "face.glb", ARKIT_NAMES, 30.0)
    aside = [f"eyeLook{way}{side}" for side in ("Left", "Right") for way in ("In", "Out")]
    assert set(avatar.missing) == {*aside, "tongueOut"}
    own = load_rig(rigged / "face.safetensors").rig
    jaw = ARKIT_NAMES.index("jawOpen")
    assert np.ptp(avatar.rig.basis[jaw]) == pytest.approx(np.ptp(own.basis[jaw]), rel=1e-3)


def curves(rig: Rig, frames: int = 45) -> np.ndarray:
    rng = np.random.default_rng(5)
    found = np.zeros((frames, len(ARKIT_NAMES)), np.float32)
    for name in ("jawOpen", "mouthSmileLeft", "mouthPucker", "eyeBlinkRight", "browInnerUp"):
        found[:, ARKIT_NAMES.index(name)] = rng.uniform(0, 0.8, frames)
    return found


def test_curves_become_vertices_and_come_back(invoke: Command, rigged: Path, tmp_path: Path) -> None:
    """Breaks if a frame, a unit, the head's rotation or its sign is lost between curves and vertices."""
    rig = load_rig(rigged / "face.safetensors").rig
    head = np.radians(np.linspace([-6, 8, -3], [4, -8, 5], 45))
    head -= head.mean(0)
    given = np.concatenate([curves(rig), head.astype(np.float32)], axis=1)
    write_csv(MotionClip(given, rig.with_head(), 30.0), tmp_path / "in.csv")
    ran = invoke("convert", "in.csv", "--template", rigged / "face.safetensors", "--unit", "mm", "-o", "face.npy")
    assert ran.code == 0, ran.err
    motion = read_motion(tmp_path / "face.npy")
    assert motion.about["fps"] == 30
    assert np.abs(motion.vertices / 1e3 - rig.with_head().decode(given)).max() < 1e-6
    ran = invoke("convert", "face.npy", "--template", rigged / "face.safetensors", "--unit", "mm", "--head", "-o", "out.csv")
    assert ran.code == 0 and "error 0.0" in ran.err and "mm at the lips" in ran.err, ran.err
    _, found = read_csv(tmp_path / "out.csv")
    assert np.abs(found[:, 52:] - head).max() < 2e-3
    assert np.abs(rig.decode(found[:, :52]) - rig.decode(given[:, :52])).max() < 2e-4


def test_shapes_that_cancel_each_other_stay_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if vertices that are no mix of the shapes are met by opposite shapes at once, or a shape that is meant shrinks."""
    monkeypatch.setattr("talker_cli.avatar.solve.TOLERANCE", 1e-9)  # where shapes are so alike, the search ends 0.0015 away
    left, right = ARKIT_NAMES.index("jawLeft"), ARKIT_NAMES.index("jawRight")
    basis = np.zeros((52, 100, 3), np.float32)
    basis[left], basis[right] = (5e-3, -5e-5, 0.0), (-5e-3, -5e-5, 0.0)  # together they lower the jaw by 0.1 mm
    rig = Rig(
        np.zeros((100, 3), np.float32), np.zeros((0, 3), np.int32), basis, ARKIT_NAMES, {}, np.zeros((0, 2), np.int32), 30.0
    )
    lowered = np.broadcast_to(np.array([0.0, -5e-5, 0.0], np.float32), (1, 100, 3))
    found = nearest_coefficients(np.concatenate([lowered, 0.7 * basis[left][None]]), rig)
    # Of least squares' 0.5, three steps of COST = 0.12 mm leave 1 - (0.0288 / 0.0388)^3, by the squares of millimetres.
    assert np.abs(found[0, [left, right]] - 0.5 * (1 - (0.0288 / 0.0388) ** 3)).max() < 1e-5
    assert np.abs(found[1, [left, right]] - [0.7, 0.0]).max() < 1e-5


def test_heads_that_cannot_be_rigged(invoke: Command, source: Source, foreign: Foreign, tmp_path: Path) -> None:
    """Breaks if two heads, lips that are one skin, or landmarks that are none end in a traceback or in a rig."""
    (tmp_path / "marks.txt").write_text(foreign.landmarks)
    count = len(foreign.vertices)
    beside = np.concatenate([foreign.vertices, foreign.vertices + np.array([300, 0, 0])]) / 1e3
    write_obj(tmp_path / "two.obj", beside, np.concatenate([foreign.faces, foreign.faces + count]))

    def refused(mesh: str, landmarks: str = "marks.txt") -> str:
        mistake = invoke("rig", mesh, "--landmarks", landmarks, "-o", "a.glb").mistake
        assert not (tmp_path / "a.glb").exists()
        return mistake

    assert "holds two heads" in refused("two.obj")
    rows = np.arange(len(source.vertices))
    rows[source.lips[:, 1]] = source.lips[:, 0]
    skin = source.faces[(source.sheet & (source.vertices[:, 2] > 40) & ~source.rig.regions["gums"])[source.faces].all(1)]
    write_obj(tmp_path / "joined.obj", source.vertices / 1e3, rows[skin])
    nearest = [
        np.abs(source.vertices - point).sum(1) + 1e3 * ~np.isin(rows, skin) for point in source.weights @ source.vertices
    ]
    joined = [f"{number} {away.argmin()}" for number, away in zip(source.numbers, nearest, strict=True)]
    (tmp_path / "joined.txt").write_text("\n".join(joined))
    assert "lips that are one skin" in refused("joined.obj", "joined.txt")
    write_obj(tmp_path / "face.obj", foreign.vertices / 1e3, foreign.faces)
    for text, line in {
        "1 5\n": "lacks the landmarks 168",
        "1 5 7\n": "line 1 is '1 5 7'",
        f"1 {count}\n": f"the mesh has {count}, counted from 0",
    }.items():
        (tmp_path / "bad.txt").write_text(text)
        assert line in refused("face.obj", "bad.txt")
    shuffled = [f"{line.split()[0]} {place * 37 % count}" for place, line in enumerate(foreign.landmarks.splitlines())]
    (tmp_path / "bad.txt").write_text("\n".join(shuffled))
    refused("face.obj", "bad.txt")
    write_obj(tmp_path / "large.obj", foreign.vertices, foreign.faces)
    assert "set the unit to mm" in refused("large.obj")


def test_motions_of_another_mesh(invoke: Command, rigged: Path, tmp_path: Path) -> None:
    """Breaks if vertices of one topology are taken for another's."""
    np.save(tmp_path / "other.npy", np.zeros((3, 5023, 3), np.float32))
    convert = ("convert", "other.npy", "--template", rigged / "face.safetensors", "--fps", "60", "-o", "a.csv")
    assert "has 5023 vertices; expected the template's" in invoke(*convert).mistake
    rig = load_rig(rigged / "face.safetensors").rig
    pca = replace(rig, names=tuple(f"pca_{k}" for k in range(52)))
    save_rig(tmp_path / "pca.safetensors", RigFile(pca))
    assert "expected ARKit's shapes" in invoke("convert", "other.npy", "--template", "pca.safetensors", "-o", "a.csv").mistake
    (tmp_path / "a.csv").write_text("Timecode,JawOpen\n")
    assert "lacks" in invoke("convert", "a.csv", "--template", rigged / "face.safetensors", "-o", "b.npy").mistake


@pytest.mark.slow
def test_landmarks_are_found_in_a_picture(invoke: Command, source: Source, tracker: Path, tmp_path: Path) -> None:
    """Breaks if what MediaPipe sees is put on the wrong side, depth or scale of a mesh, or a mesh that shows no face passes."""
    vertices, colors = warped(source.vertices), source.rig.colors
    assert colors is not None
    rows = [f"v {x:.5f} {y:.5f} {z:.5f} {r} {g} {b}" for (x, y, z), (r, g, b) in zip(vertices / 1e3, colors / 255, strict=True)]
    faces = [f"f {a} {b} {c}" for a, b, c in (source.faces + 1).tolist()]
    (tmp_path / "face.obj").write_text("\n".join(rows + faces))
    truth = dict(zip(source.numbers, source.weights @ vertices, strict=True))
    found = find_landmarks(tmp_path / "face.obj", read_mesh(tmp_path / "face.obj"), tracker)
    assert set(truth) <= set(found)
    assert np.median([np.linalg.norm(1e3 * found[number] - truth[number]) for number in truth]) < 4.0
    write_obj(tmp_path / "away.obj", vertices / 1e3 * [-1, 1, -1], source.faces)
    assert "shows no face from the front" in invoke("rig", "away.obj", "--tracker", tracker, "-o", "a.glb").mistake


@pytest.mark.skipif("TALKER_FLAME" not in os.environ, reason="TALKER_FLAME names no mesh of FLAME's topology")
def test_flame(invoke: Command, tmp_path: Path) -> None:
    """Breaks if FLAME's table of landmarks does not fit its mesh."""
    template = Path(os.environ["TALKER_FLAME"])
    assert len(read_mesh(template).vertices) == 5023
    ran = invoke("rig", template, "-o", "flame.safetensors")
    assert ran.code == 0, ran.err
    rig = load_rig(tmp_path / "flame.safetensors").rig
    closed = rig.basis[ARKIT_NAMES.index("jawOpen")] + rig.basis[ARKIT_NAMES.index("mouthClose")]
    upper, lower = rig.lip_pairs.T
    assert len(upper) >= 7 and np.abs(1e3 * (closed[upper] - closed[lower])).max() < 0.1


@pytest.mark.skipif("TALKER_FLAME" not in os.environ, reason="TALKER_FLAME names no mesh of FLAME's topology")
def test_flames_landmarks_are_found_where_they_are_known(tracker: Path) -> None:
    """Breaks if landmarks that MediaPipe finds on a mesh which is not ours lie elsewhere than its makers' own."""
    template = Path(os.environ["TALKER_FLAME"])
    mesh = read_mesh(template)
    known, found = known_landmarks(mesh.vertices), find_landmarks(template, mesh, tracker)
    assert known is not None
    both = [number for number in known if number in found]
    assert len(both) > 0.9 * len(known)
    assert 1e3 * np.mean([np.linalg.norm(known[number] - found[number]) for number in both]) < 4.0
