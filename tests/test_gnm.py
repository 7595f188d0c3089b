"""Google's GNM head: a file of its layout, made here of the built-in head, becomes a rig; files of another do not."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import lsqr

from talker_cli.capture.fit import read_binding
from talker_cli.formats.gltf import Glb
from talker_cli.head import foreign
from talker_cli.head.assemble import rest_head
from talker_cli.rig import ARKIT_NAMES, load_rig
from talker_cli.rigging import landmarks
from talker_cli.rigging.landmarks import GNM_VERTICES, TABLES
from talker_cli.rigging.source import MM, built_in

MOVED = (0.0, 0.0, 0.004)  # metres, of a shape of identity
DEEPER = (0.0, -3.0, 0.0)  # mm: its tongue lies among the built-in head's gums
GLASS = 40  # vertices of the shells before the eyes: the last ones


def write_gnm(path: Path) -> dict[str, np.ndarray]:
    """Write the built-in head in GNM's layout: its vertices where the table of landmarks names none; return the arrays."""
    source, layout = built_in(), rest_head()[1].layout
    table = read_binding(Path(landmarks.__file__).parent / TABLES[GNM_VERTICES])
    numbers = [number for number in source.numbers if number in table]
    weights = np.zeros((len(numbers), GNM_VERTICES))
    for row, number in enumerate(numbers):
        for vertex, weight in table[number]:
            weights[row, vertex] += weight
    goal = source.weights[[source.numbers.index(number) for number in numbers]] @ source.vertices
    vertices = np.stack([lsqr(csr_matrix(weights), goal[:, axis], atol=1e-12, btol=1e-12)[0] for axis in range(3)], 1)
    assert np.abs(weights @ vertices - goal).max() < 1e-3  # the table's vertices lie so that they make the landmarks
    free = np.setdiff1d(np.arange(GNM_VERTICES - GLASS), [vertex for entry in table.values() for vertex, _ in entry])
    place = free[: len(source.vertices)]
    vertices[place] = source.vertices + np.outer(source.tongue, DEEPER)
    ball = layout.of("eyeball")
    front = source.vertices[:, 2] - np.where(ball, source.vertices[:, 2], -np.inf).max()
    parts = {
        "skin": layout.of("skin") | layout.of("mouth"),
        "mouth_sock": layout.of("mouth"),
        "upper_lip": source.rig.regions["lips"] & (source.lip > 0),
        "lower_lip": source.rig.regions["lips"] & (source.lip < 0),
        "gums": source.rig.regions["gums"],
        "teeth": source.teeth != 0,
        "tongue": layout.of("tongue"),
        "eye_interiors": ball,
        "scleras": ball & (front < -2.0),
        "irises": ball & (front >= -2.0),
        "pupils": ball & (front >= -0.5),
    }
    groups = np.zeros((len(parts) + 1, GNM_VERTICES), np.float32)
    for row, mask in enumerate(parts.values()):
        groups[row, place[mask]] = 1.0
    groups[-1, -GLASS:] = 1.0
    drawn = np.logical_or.reduce(list(parts.values()))
    glass = np.arange(GNM_VERTICES - GLASS, GNM_VERTICES)
    basis = np.zeros((2, GNM_VERTICES, 3), np.float32)
    basis[1] = MOVED
    arrays = {
        "version": np.array("3.0"),
        "template_vertex_positions": (vertices / MM).astype(np.float32),
        "triangles": np.concatenate([place[source.faces[drawn[source.faces].all(1)]], [glass[:3]]]).astype(np.int32),
        "vertex_identity_basis": basis,
        "identity_names": np.array(["head_000", "head_001"]),
        "vertex_groups": groups,
        "vertex_group_names": np.array([*parts, "eye_exteriors"]),
    }
    np.savez(path, **arrays)
    return {**arrays, "place": place}


@pytest.mark.slow
def test_a_file_becomes_a_rig(invoke: Command, tmp_path: Path) -> None:
    """Breaks if the landmarks' table, a group, the identity or a unit is misread, or the shells stay before the eyes."""
    arrays = write_gnm(tmp_path / "gnm_head.npz")
    ran = invoke("head", "--from", "gnm_head.npz", "--shape", "head_001=-2", "-o", "gnm.safetensors")
    assert ran.code == 0 and "Apache-2.0" in ran.err and "0.0" in ran.err.split("registered to")[1].split(";")[0], ran.err
    rig, source = load_rig(tmp_path / "gnm.safetensors").rig, built_in()
    place = arrays["place"]
    assert rig.names == ARKIT_NAMES and len(rig.template) == GNM_VERTICES - GLASS
    assert len(rig.faces) == len(arrays["triangles"]) - 1
    assert (
        np.abs(rig.template[place] - (source.vertices + np.outer(source.tongue, DEEPER)) / MM + 2 * np.array(MOVED)).max()
        < 1e-6
    )
    tongue = source.faces[source.tongue[source.faces].all(1)]
    out = MM * rig.basis[ARKIT_NAMES.index("tongueOut")][place[tongue]]
    assert np.linalg.norm(out - np.roll(out, 1, axis=1), axis=-1).max() < 10.0 and out[..., 2].max() > 15.0  # not torn
    skin = source.seen & (source.vertices[:, 2] > 30)
    for name in ("jawOpen", "mouthSmileLeft", "eyeBlinkRight", "browInnerUp"):
        truth = source.shapes[ARKIT_NAMES.index(name)][skin]
        off = MM * rig.basis[ARKIT_NAMES.index(name)][place[skin]] - truth
        assert np.linalg.norm(off, axis=1).mean() < 0.1 * np.linalg.norm(truth, axis=1).mean(), name
    upper, lower = rig.lip_pairs.T
    closed = MM * (rig.basis[ARKIT_NAMES.index("jawOpen")] + rig.basis[ARKIT_NAMES.index("mouthClose")])
    assert len(upper) > 10 and np.abs(closed[upper] - closed[lower]).max() < 0.1
    for region in ("teeth", "gums", "tongue", "eyes"):
        group = arrays["vertex_group_names"].tolist().index("eye_interiors" if region == "eyes" else region)
        assert np.array_equal(rig.regions[region], arrays["vertex_groups"][group, : len(rig.template)] > 0.5), region
    assert rig.colors is not None
    for group, color in {"pupils": foreign.BLACK, "teeth": foreign.TOOTH, "tongue": foreign.TASTE}.items():
        row = arrays["vertex_groups"][arrays["vertex_group_names"].tolist().index(group), : len(rig.template)] > 0.5
        assert (rig.colors[row] == color).all(), group
    assert invoke("head", "--from", "gnm_head.npz", "-o", "gnm.glb").code == 0
    assert "GNM" in Glb(tmp_path / "gnm.glb").tree["asset"]["copyright"]


def test_files_that_are_no_heads(invoke: Command, tmp_path: Path) -> None:
    """Breaks if a file of another layout is a traceback, or a mistake in a setting passes."""
    head = ("head", "--from", "gnm_head.npz", "-o", "a.glb")
    assert "no file gnm_head.npz; expected gnm_head.npz of GNM 3" in invoke(*head).mistake
    (tmp_path / "gnm_head.npz").write_bytes(b"PK")
    assert "gnm_head.npz is damaged" in invoke(*head).mistake
    np.savez(tmp_path / "gnm_head.npz", triangles=np.zeros((1, 3), np.int32))
    assert "lacks template_vertex_positions, vertex_identity_basis" in invoke(*head).mistake
    arrays = write_gnm(tmp_path / "good.npz")
    for name, wrong, line in (
        ("template_vertex_positions", np.zeros((5023, 3), np.float32), "of the shape (5023, 3), float32; expected (17821, 3)"),
        ("triangles", np.full((1, 3), GNM_VERTICES, np.int32), "triangles of other vertices than its 17821"),
        ("triangles", np.zeros((1, 3), np.float32), "triangles of the shape (1, 3), float32"),
        ("vertex_group_names", np.array([f"g{k}" for k in range(12)]), "lacks the vertex groups eye_exteriors, skin"),
        (
            "identity_names",
            np.array(["one"]),
            "vertex_identity_basis of the shape (2, 17821, 3), float32; expected (1, 17821, 3)",
        ),
    ):
        np.savez(tmp_path / "gnm_head.npz", **{**arrays, name: wrong})
        assert line in invoke(*head).mistake
    for setting in ("head_002=1", "head_001=9", "head_001=x", "head_=1"):
        assert (
            "expected head_000 to head_001" in invoke("head", "--from", "good.npz", "--shape", setting, "-o", "a.glb").mistake
        )
