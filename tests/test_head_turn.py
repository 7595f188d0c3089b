"""The head's rotation as coefficients: a rigid turn of the skull, shoulders that keep still, and every file that holds it."""

import base64
import csv
import json
import re
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from talker_cli.animate.udp import LiveLink
from talker_cli.capture.pose import similarity
from talker_cli.data.livelink import read_csv
from talker_cli.errors import InputError, ModelError
from talker_cli.export.formats import write_motion_clip
from talker_cli.export.materials import material_faces
from talker_cli.export.motion_clip import MotionClip, read_motion_clip
from talker_cli.formats.gltf import Glb
from talker_cli.rig import ARKIT_NAMES, HEAD_NAMES, Neck, Rig, RigFile, face_names, head_matrices, load_rig, save_rig

PERSON = "FaceTalk_170725_00137_TA"


@pytest.fixture(scope="module")
def turning(head: RigFile) -> Rig:
    return head.with_head().rig_of(PERSON)


@pytest.fixture(scope="module")
def moved() -> np.ndarray:
    """Five frames of (T, 55): the second's head is at rest."""
    rng = np.random.default_rng(2)
    coefficients = rng.uniform(0, 0.4, (5, 55)).astype(np.float32)
    coefficients[:, 52:] = np.radians([[12, -9, 7], [0, 0, 0], [-15, 0, 0], [0, 15, 0], [0, 0, -15]])
    return coefficients


def test_the_matrices_are_yaw_after_pitch_after_roll() -> None:
    """Breaks if an angle turns about another axis, the other way, or in another order."""
    angles = np.random.default_rng(1).normal(0, 0.5, (9, 3))
    expected = Rotation.from_euler("YXZ", angles[:, [1, 0, 2]]).as_matrix()
    assert np.allclose(head_matrices(angles), expected)
    down, left, tilted = head_matrices(0.1 * np.eye(3)) @ np.array([[0.0, 0.0, 1.0], [0, 0, 1], [0, 1, 0]])[..., None]
    assert down[1, 0] < 0 and left[0, 0] > 0 and tilted[0, 0] < 0


def test_the_skull_turns_rigidly_and_the_shoulders_keep_still(turning: Rig, moved: np.ndarray) -> None:
    """Breaks if the face is bent by a turn, turns about another point or by another angle, or the shoulders move."""
    assert turning.neck is not None and turning.names == (*ARKIT_NAMES, *HEAD_NAMES)
    rest, found = turning.face.decode(moved[:, :52]), turning.decode(moved)
    skull, still = turning.neck.weights == 1, turning.neck.weights == 0
    for region in ("lips", "upper_face", "eyes", "teeth", "tongue"):
        assert skull[turning.regions[region]].all()
    assert still.sum() > 100 and turning.template[still, 1].max() < turning.template[skull, 1].min()
    assert (found[:, still] == rest[:, still]).all() and (found[1] == rest[1]).all()
    assert np.abs(found[2:] - rest[2:]).max(2).min(1).max() < 1e-7 < np.abs(found[2:] - rest[2:]).max()
    scale, rotation, _ = similarity(rest[0, skull][None].astype(float), found[0, skull].astype(float))
    assert np.isclose(scale[0], 1, atol=1e-6) and np.allclose(rotation[0], head_matrices(moved[:1, 52:])[0], atol=1e-6)
    around = turning.neck.pivot
    assert np.allclose((rest[:, skull] - around) @ np.swapaxes(head_matrices(moved[:, 52:]), 1, 2) + around,
                       found[:, skull], atol=1e-6)  # fmt: skip


@pytest.mark.parametrize("count", [1, 5023, 12, 16])
def test_a_mesh_of_any_size_turns(count: int) -> None:
    """Breaks if vertices that are turned several at a time get each other's rotation or weight."""
    rng = np.random.default_rng(count)
    neck = Neck(rng.normal(0, 0.1, 3).astype(np.float32), rng.uniform(0, 1, count).astype(np.float32))
    vertices, angles = rng.normal(0, 0.1, (3, count, 3)).astype(np.float32), rng.normal(0, 0.3, (3, 3))
    around = vertices - neck.pivot
    whole = around @ np.swapaxes(head_matrices(angles), 1, 2)
    expected = neck.pivot + around + neck.weights[:, None] * (whole - around)
    neck.turn(vertices, angles)
    assert np.allclose(vertices, expected, atol=1e-7)


def test_the_neck_neither_tears_nor_folds(head: RigFile) -> None:
    """Breaks if at 15 degrees a triangle of somebody's skin turns over, or an edge becomes half or half as long again."""
    for person in head.identities:
        rig = head.with_head().rig_of(person)
        angles = np.radians(15) * np.concatenate([np.eye(3), -np.eye(3)])
        turned = rig.decode(np.pad(angles, ((0, 0), (52, 0))).astype(np.float32))
        corners = rig.faces[~rig.regions["hair"][rig.faces].any(1)]
        edges = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]]])

        def lengths(vertices: np.ndarray, edges: np.ndarray = edges) -> np.ndarray:
            return np.asarray(np.linalg.norm(vertices[..., edges[:, 0], :] - vertices[..., edges[:, 1], :], axis=-1))

        whole = lengths(rig.template) > 1e-3
        stretched = (lengths(turned) / np.maximum(lengths(rig.template), 1e-9))[:, whole]
        assert stretched.min() > 0.45 and stretched.max() < 1.6, (person, stretched.min(), stretched.max())
        a, b, c = np.moveaxis(rig.template[corners], 1, 0)
        normal = np.cross(b - a, c - a)
        a, b, c = np.moveaxis(turned[:, corners], 2, 0)
        assert (np.einsum("tfi,fi->tf", np.cross(b - a, c - a), normal) >= 0).all(), person


def test_a_head_without_a_neck_turns_whole_and_a_body_keeps_still(head: RigFile) -> None:
    """Breaks if a mask is bent like a neck, or feet swing with a nod."""
    mask = head.rig.template[:, 1] > -0.105
    place = np.cumsum(mask) - 1
    faces = head.rig.faces[mask[head.rig.faces].all(1)]
    cut = replace(head.rig, template=head.rig.template[mask], faces=place[faces].astype(np.int32),
                  basis=head.rig.basis[:, mask], regions={name: region[mask] for name, region in head.rig.regions.items()},
                  lip_pairs=place[head.rig.lip_pairs].astype(np.int32))  # fmt: skip
    neck = cut.with_head().neck
    assert neck is not None and (neck.weights == 1).all()
    tall = head.rig.template.copy()
    tall[tall[:, 1] < -0.15] -= [0, 1.4, 0]
    neck = replace(head.rig, template=tall).with_head().neck
    assert neck is not None and (neck.weights[tall[:, 1] < -1] == 0).all() and (neck.weights == 1).sum() > 8000
    with pytest.raises(InputError, match="lips"):
        replace(head.rig, regions={}).with_head()


def test_the_head_is_no_shape(head: RigFile) -> None:
    """Breaks if metrics or losses of the surface see a turn of the head, or a rig without one changes."""
    turning = head.with_head().rig
    assert turning.face_names == face_names(turning.names) == ARKIT_NAMES and turning.with_head() is turning
    assert (turning.face.basis == head.rig.basis).all() and turning.face.names == ARKIT_NAMES
    assert not turning.basis[52:].any() and not turning.gram(np.ones(len(turning.template)))[52:].any()
    assert set(turning.upper_face_names()) == {*head.rig.upper_face_names(), *HEAD_NAMES}
    face = np.random.default_rng(0).uniform(0, 1, (3, 52)).astype(np.float32)
    assert (turning.decode(turning.matched(face)) == head.rig.decode(face)).all()
    assert (head.rig.matched(turning.matched(face)) == face).all()


def test_a_rig_comes_back(tmp_path: Path, head: RigFile, moved: np.ndarray) -> None:
    """Breaks if a rig file loses its neck, moves other people otherwise, or is saved to other bytes."""
    turning = head.with_head()
    save_rig(tmp_path / "a.safetensors", turning)
    found = load_rig(tmp_path / "a.safetensors")
    save_rig(tmp_path / "b.safetensors", found)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    for person in (*head.identities, None):
        one, other = (turning.rig, found.rig) if person is None else (turning.rig_of(person), found.rig_of(person))
        assert (one.decode(moved) == other.decode(moved)).all()
    save_rig(tmp_path / "c.safetensors", RigFile(replace(turning.rig, names=(*HEAD_NAMES, *ARKIT_NAMES))))
    with pytest.raises(ModelError, match="not its last names"):
        load_rig(tmp_path / "c.safetensors")


def test_a_motion_file_comes_back(tmp_path: Path, head: RigFile, turning: Rig, moved: np.ndarray) -> None:
    """Breaks if vertices are written at rest, or a motion of a model without a head loses its rotation."""
    save_rig(tmp_path / "rig.safetensors", head)
    about = {"identity": PERSON, "rig": {"path": "rig.safetensors"}, "head": True}
    write_motion_clip(MotionClip(moved, turning, 25.0, about), tmp_path / "a.npy")
    found = read_motion_clip(tmp_path / "a.npy")
    assert (found.coefficients == moved).all() and found.rotation is not None and (found.rotation == moved[:, 52:]).all()
    assert (np.load(tmp_path / "a.npy") == turning.decode(moved)).all()
    assert (np.stack(list(found.frames())) == np.load(tmp_path / "a.npy")).all()


def test_gltf_turns_a_joint_and_keeps_its_shapes_clean(tmp_path: Path, turning: Rig, moved: np.ndarray) -> None:
    """Breaks if a viewer's skinned and morphed vertices are not the motion's, or the head's rotation is a morph target."""
    write_motion_clip(MotionClip(moved, turning, 25.0, {"identity": PERSON}), tmp_path / "a.glb")
    file = Glb(tmp_path / "a.glb")
    (mesh,), nodes, (skin,), (animation,) = (file.tree[key] for key in ("meshes", "nodes", "skins", "animations"))
    assert mesh["extras"]["targetNames"] == list(ARKIT_NAMES)
    played = {channel["target"]["path"]: (channel["target"]["node"], file.array(animation["samplers"][place]["output"]))
              for place, channel in enumerate(animation["channels"])}  # fmt: skip
    assert [nodes[joint]["name"] for joint in skin["joints"]] == ["neck", "head"] and played["rotation"][0] == skin["joints"][1]
    assert nodes[skin["joints"][0]]["children"] == [skin["joints"][1]]
    weights = played["weights"][1].reshape(5, 52)
    assert (weights == moved[:, :52]).all()
    binds = file.array(skin["inverseBindMatrices"]).reshape(2, 4, 4).transpose(0, 2, 1)
    head = np.tile(np.eye(4), (5, 1, 1))
    head[:, :3, :3] = Rotation.from_quat(played["rotation"][1]).as_matrix()
    head[:, :3, 3] = nodes[skin["joints"][1]]["translation"]
    joints = np.stack([np.broadcast_to(binds[0], (5, 4, 4)), head @ binds[1]], 1)  # (T, 2, 4, 4)
    expected = turning.decode(moved)
    for primitive, (_, faces) in zip(mesh["primitives"], material_faces(turning), strict=True):
        used = np.unique(turning.faces[faces])
        attributes = {name: file.array(number) for name, number in primitive["attributes"].items()}
        targets = np.stack([file.array(target["POSITION"]) for target in primitive["targets"]])
        shaped = attributes["POSITION"] + np.tensordot(weights, targets, 1)
        own, which = attributes["WEIGHTS_0"], attributes["JOINTS_0"].astype(int)
        assert np.allclose(own.sum(1), 1, atol=1e-6) and not which[own == 0].any()
        blended = np.einsum("vj,tvjab->tvab", own, joints[:, which])
        made = np.einsum("tvab,tvb->tva", blended, np.pad(shaped, ((0, 0), (0, 0), (0, 1)), constant_values=1))[..., :3]
        assert np.abs(made - expected[:, used]).max() < 1e-6


def test_usd_turns_a_joint(tmp_path: Path, turning: Rig, moved: np.ndarray) -> None:
    """Breaks if the skeleton's rotations, places or weights are not the neck's; OpenUSD itself: tools/check_exports.py."""
    write_motion_clip(MotionClip(moved, turning, 25.0, {"identity": PERSON}), tmp_path / "a.usda")
    text = (tmp_path / "a.usda").read_text()
    assert turning.neck is not None

    def numbers(start: str, end: str) -> np.ndarray:
        part = text[text.index(start) + len(start) :]
        return np.array(re.findall(r"-?\d[\d.e-]*", part[: part.index(end)]), float)

    assert text.count('joints = ["neck", "neck/head"]') == 2 and '"headYaw"' not in text
    found = numbers("rotations.timeSamples = {", "}").reshape(5, 9)[:, 5:]
    assert np.allclose(Rotation.from_quat(found[:, [1, 2, 3, 0]]).as_matrix(), head_matrices(moved[:, 52:]), atol=1e-6)
    assert np.allclose(numbers("translations = [(0, 0, 0), ", "]"), turning.neck.pivot, atol=1e-7)
    binds = numbers("bindTransforms = [", "]").reshape(2, 4, 4)
    assert (binds[0] == np.eye(4)).all() and np.allclose(binds[1, 3, :3], turning.neck.pivot, atol=1e-7)
    assert np.allclose(numbers("jointWeights = [", "]").reshape(-1, 2)[:, 0], turning.neck.weights, atol=1e-6)
    assert (numbers("jointIndices = [", "]").reshape(-1, 2) == [1, 0]).all()


def test_tables_hold_the_head(tmp_path: Path, turning: Rig, moved: np.ndarray) -> None:
    """Breaks if a table lacks the head's rotation, swaps two angles, or is read back otherwise."""
    clip = MotionClip(moved, turning, 60.0, {"identity": PERSON})
    for name in ("a.csv", "a.json", "a.npz", "a.html"):
        write_motion_clip(clip, tmp_path / name)
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    found = np.array([[float(row[name]) for name in ("HeadPitch", "HeadYaw", "HeadRoll")] for row in rows])
    assert np.abs(found - moved[:, 52:]).max() < 1e-6
    again = read_csv(tmp_path / "a.csv", 60.0)[1]
    assert np.abs(again[:, 52:] - (moved[:, 52:] - moved[:, 52:].mean(0))).max() < 1e-6
    assert np.abs(again[:, :52] - moved[:, :52]).max() < 1e-6
    content = json.loads((tmp_path / "a.json").read_text())
    assert tuple(content["names"]) == turning.names and np.abs(np.array(content["frames"]) - moved).max() < 1e-7
    parts = np.load(tmp_path / "a.npz")
    vertices = parts["template"] + np.tensordot(parts["coefficients"], parts["basis"], 1)
    around = vertices - parts["neck_pivot"]
    turned = around @ np.swapaxes(head_matrices(parts["coefficients"][:, 52:]), 1, 2) - around
    assert np.abs(vertices + parts["neck_weights"][:, None] * turned - turning.decode(moved)).max() < 1e-6
    page = (tmp_path / "a.html").read_text()
    config = json.loads(re.split(r'id="config"[^>]*>', page)[1].split("</script>")[0])
    packed = re.split(r'id="arrays"[^>]*>', page)[1].split("</script>")[0]
    kind, offset, length = config["arrays"]["neck"]
    assert turning.neck is not None and kind == "u2" and config["neck"]["first"] == 52
    assert config["neck"]["pivot"] == turning.neck.pivot.astype(float).tolist() and config["names"] == list(turning.names)
    shares = np.frombuffer(zlib.decompress(base64.b64decode(packed)), "<u2", length, offset) / 65535
    assert np.abs(shares - turning.neck.weights).max() < 1e-5


def test_live_packets_hold_the_head(moved: np.ndarray) -> None:
    """Breaks if Unreal is sent a still head, or its pitch as yaw."""
    link = LiveLink("127.0.0.1", 9, "face", 30.0)
    sent = struct.unpack("!61f", link.packet(0, moved[0])[-61 * 4 :])
    pitch, yaw, roll = moved[0, 52:].tolist()
    assert sent == (*moved[0, :52].tolist(), yaw, pitch, roll, *[0.0] * 6)
    assert struct.unpack("!61f", link.packet(0, moved[0, :52])[-61 * 4 :])[52:] == (0.0,) * 9
