"""ICT-FaceKit's head: a folder of its layout, made here, becomes a rig; folders of another do not."""

import os
from pathlib import Path

import numpy as np
import pytest
from conftest import Command

from talker_cli.errors import InputError
from talker_cli.formats.gltf import Glb
from talker_cli.head.ict import EYES, OUTER_LIPS, TEETH, TONGUE, VERTICES, read_ict
from talker_cli.rig import ARKIT_NAMES, load_rig

UPPER, LOWER = range(100, 109), range(200, 209)


def write_obj(path: Path, vertices: np.ndarray, faces: str = "") -> None:
    rows = "".join(f"v {x:.4f} {y:.4f} {z:.4f}\n" for x, y, z in vertices.tolist())
    path.write_text(f"# a test\n{rows}vt 0 0\n{faces}")


def folder_of(path: Path) -> np.ndarray:
    """Write a folder of ICT's layout: a cloud, eyeballs, and lips that part when the jaw opens; return the neutral, cm."""
    rng = np.random.default_rng(0)
    neutral = rng.normal(0, 1, (VERTICES, 3)) * (5, 6, 4) + (0, 0, -4)
    for side, place in EYES.items():
        away = rng.normal(0, 1, (place.stop - place.start, 3))
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        neutral[place] = np.array([3.1 if side == "Left" else -3.1, 3.6, 7.9]) + 1.5 * away
        neutral[place.start] = (3.1 if side == "Left" else -3.1, 3.6, 9.7)  # the cornea
    angles = np.linspace(np.pi, -np.pi, 12, endpoint=False)
    neutral[list(OUTER_LIPS)] = np.stack([2.5 * np.cos(angles), -3.5 + np.sin(angles), np.full(12, 11.0)], 1)
    across = np.linspace(-1.4, 1.4, 9)
    for row, y in ((UPPER, -3.48), (LOWER, -3.52)):
        neutral[list(row)] = np.stack([across, np.full(9, y), np.full(9, 11.0)], 1)
    path.mkdir()
    write_obj(path / "generic_neutral_mesh.obj", neutral, "f 1/1 2/1 3/1 4/1\nf 101 102 201\nf 22223 22224 22225\n")
    for name in ARKIT_NAMES:
        sided = name.endswith(("Left", "Right")) and name not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
        stem = name.removesuffix("Left").removesuffix("Right") if sided else name
        for suffix in ("_L", "_R") if sided or name in ("browInnerUp", "cheekPuff") else ("",):
            place = path / f"{stem}{suffix}.obj"
            if name != "tongueOut" and not place.exists():
                os.link(path / "generic_neutral_mesh.obj", place)
    for number, name in enumerate(("jawOpen", "browInnerUp_L", "browInnerUp_R", "identity007")):
        moved = neutral.copy()
        if name == "jawOpen":
            moved[list(LOWER), 1] -= 3.0
        else:
            moved[number * 10] += 1.0
        (path / f"{name}.obj").unlink(missing_ok=True)
        write_obj(path / f"{name}.obj", moved)
    return neutral


@pytest.mark.slow
def test_a_folder_becomes_a_rig(invoke: Command, tmp_path: Path) -> None:
    """Breaks if a shape is of another side or scale, eyes turn the wrong way, or vertices that are not drawn are kept."""
    neutral = folder_of(tmp_path / "FaceXModel")
    ran = invoke("head", "--from", "FaceXModel", "--shape", "identity007=2", "-o", "ict.safetensors")
    assert ran.code == 0 and "MIT" in ran.err, ran.err
    rig = load_rig(tmp_path / "ict.safetensors").rig
    plain = read_ict(tmp_path / "FaceXModel")
    assert rig.names == ARKIT_NAMES and rig.faces.tolist() == [[0, 1, 2], [0, 2, 3], [100, 101, 200]]  # no iris behind
    assert np.abs((rig.template - plain.template)[[0, 30]] / 0.01 - [[0] * 3, [2] * 3]).max() < 1e-3
    assert np.abs(np.diff(rig.template[:2], axis=0) - np.diff(neutral[:2], axis=0) * 0.01).max() < 1e-5
    shape = {name: rig.basis[k] for k, name in enumerate(rig.names)}
    assert np.abs(shape["browInnerUp"][[10, 20]] - 0.01).max() < 1e-6 and not shape["browInnerUp"][0].any()
    assert np.abs(shape["jawOpen"][list(LOWER), 1] + 0.03).max() < 1e-6 and not shape["jawOpen"][list(UPPER)].any()
    pairs = {tuple(pair) for pair in rig.lip_pairs.tolist()}
    assert pairs and pairs <= set(zip(UPPER, LOWER, strict=True))
    assert set(np.flatnonzero(rig.regions["lips"])) >= {*UPPER, *LOWER}
    eyes = np.flatnonzero(rig.regions["eyes"])
    left = eyes[:770]
    front = left[rig.template[left, 2].argmax()]
    for name, (axis, sign) in {"Up": (1, 1), "Down": (1, -1), "Out": (0, 1), "In": (0, -1)}.items():
        moved = shape[f"eyeLook{name}Left"]
        assert np.sign(moved[front, axis]) == sign and np.abs(moved[front, axis]) > 0.005, name
        assert not moved[eyes[770:]].any() and np.abs(moved[left]).max() < 0.02
    assert shape["eyeLookOutRight"][eyes[770:]][rig.template[eyes[770:], 2].argmax(), 0] < -0.005
    tongue = rig.regions["tongue"]
    assert shape["tongueOut"][tongue, 2].max() > 0.03 and not shape["tongueOut"][~tongue].any()
    assert tongue.sum() == TONGUE.stop - TONGUE.start and rig.regions["teeth"].sum() == TEETH.stop - TEETH.start
    assert rig.colors is not None and rig.colors[front].max() < 30 < rig.colors[left].min(axis=1).max()  # a pupil in the white
    assert invoke("head", "--from", "FaceXModel", "-o", "ict.glb").code == 0
    assert "ICT-FaceKit" in Glb(tmp_path / "ict.glb").tree["asset"]["copyright"]


def test_folders_that_are_no_heads(invoke: Command, tmp_path: Path) -> None:
    """Breaks if a folder of another layout is a traceback, or a mistake in a setting passes."""
    (tmp_path / "empty").mkdir()
    assert "generic_neutral_mesh.obj" in invoke("head", "--from", "empty", "-o", "a.glb").mistake
    write_obj(tmp_path / "empty" / "generic_neutral_mesh.obj", np.eye(3), "f 1 2 3\n")
    assert "has 3 vertices; expected 26719" in invoke("head", "--from", "empty", "-o", "a.glb").mistake
    for setting in ("nose=1", "identity100=1", "identity003=9", "identity003=x", "identity=1", "identity-1=0"):
        with pytest.raises(InputError, match="expected identity000 to identity099"):
            read_ict(tmp_path / "empty", [setting])
    assert "found --from with" in invoke("head", "--from", "empty", "--person", "mei", "-o", "a.glb").mistake
    assert "found --from with" in invoke("head", "--from", "empty").mistake
