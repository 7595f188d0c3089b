"""GLBs: read here byte by byte, by nothing that wrote them, and compared with the rig and the motion that went in."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from talker_cli import __version__
from talker_cli.errors import InputError
from talker_cli.export.glb import head_glb
from talker_cli.export.materials import material_faces
from talker_cli.formats.gltf import Glb, GlbWriter
from talker_cli.rig import ARKIT_NAMES, Rig

SIZES = {5121: 1, 5123: 2, 5125: 4, 5126: 4}
KINDS = {5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
FPS = 25.0


def opened(data: bytes) -> tuple[dict, bytes]:
    """Return JSON and binary chunk after holding the container against the specification."""
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON" and size % 4 == 0
    tree = json.loads(data[20 : 20 + size])
    binary_size, kind = struct.unpack_from("<I4s", data, 20 + size)
    assert kind == b"BIN\0" and 28 + size + binary_size == len(data) and binary_size % 4 == 0
    assert tree["buffers"] == [{"byteLength": binary_size}]
    return tree, data[28 + size :]


def values_of(tree: dict, binary: bytes, number: int) -> np.ndarray:
    """Return an accessor's content after checking that it is aligned, in bounds, and has the extremes that it claims."""
    accessor = tree["accessors"][number]
    width, kind = WIDTHS[accessor["type"]], accessor["componentType"]

    def read(view: dict, offset: int, count: int, code: int, columns: int) -> np.ndarray:
        start = view["byteOffset"] + offset
        assert start % SIZES[code] == 0 and offset + count * columns * SIZES[code] <= view["byteLength"]
        assert view.get("byteStride", columns * SIZES[code]) == columns * SIZES[code]
        return np.frombuffer(binary, KINDS[code], count * columns, start).reshape(count, columns)

    views = tree["bufferViews"]
    if "bufferView" in accessor:
        values = read(views[accessor["bufferView"]], 0, accessor["count"], kind, width)
    else:
        values = np.zeros((accessor["count"], width), KINDS[kind])
    if "sparse" in accessor:
        sparse = accessor["sparse"]
        where, what, count = sparse["indices"], sparse["values"], sparse["count"]
        rows = read(views[where["bufferView"]], where["byteOffset"], count, where["componentType"], 1)[:, 0].astype(int)
        assert count >= 1 and (np.diff(rows) > 0).all() and rows[-1] < accessor["count"]
        values = values.copy()
        values[rows] = read(views[what["bufferView"]], what["byteOffset"], count, kind, width)
    if "min" in accessor:
        assert values.min(0).tolist() == accessor["min"] and values.max(0).tolist() == accessor["max"]
    return values


@pytest.fixture(scope="module")
def coefficients(rig: Rig) -> np.ndarray:
    return np.random.default_rng(3).uniform(0, 1, (7, len(rig.names))).astype(np.float32)


@pytest.fixture(scope="module")
def data(rig: Rig, coefficients: np.ndarray) -> bytes:
    return head_glb(rig, name="Ada", coefficients=coefficients, fps=FPS, extras={"audio": "speech.wav"})


@pytest.mark.slow
def test_the_head_comes_back(data: bytes, rig: Rig, coefficients: np.ndarray) -> None:
    """Breaks if a vertex, a triangle, a shape, a colour or a weight is not the rig's, or the file breaks a rule of glTF."""
    tree, binary = opened(data)
    assert tree["asset"]["generator"] == f"talker {__version__}"
    assert tree["asset"]["extras"] == {"audio": "speech.wav"} and tree["nodes"][tree["scenes"][0]["nodes"][0]]["mesh"] == 0
    (mesh,) = tree["meshes"]
    assert mesh["extras"]["targetNames"] == list(ARKIT_NAMES)
    assert [material["name"] for material in tree["materials"]] == ["eyes", "teeth", "mouth", "lips", "hair", "skin"]
    moved = rig.decode(coefficients)
    triangles = []
    for primitive, (_, faces) in zip(mesh["primitives"], material_faces(rig), strict=True):
        used = np.unique(rig.faces[faces])
        get = {key: values_of(tree, binary, number) for key, number in primitive["attributes"].items()}
        assert (get["POSITION"] == rig.template[used]).all()
        assert np.allclose(np.linalg.norm(get["NORMAL"], axis=1), 1, atol=1e-5)
        shown = get["COLOR_0"][:, :3] / 65535
        encoded = np.where(shown <= 0.0031308, shown * 12.92, 1.055 * np.maximum(shown, 1e-9) ** (1 / 2.4) - 0.055)
        assert rig.colors is not None
        lighter = encoded * 255 - rig.colors[used]
        # Nothing is lighter than it was; only what lies behind the lips is darker, where no light would reach.
        outside = ~(rig.regions["teeth"] | rig.regions["gums"] | rig.regions["tongue"])[used]
        assert lighter.max() < 0.51 and np.abs(lighter[outside]).max(initial=0) < 0.51
        indices = values_of(tree, binary, primitive["indices"])[:, 0]
        triangles.append(used[indices].reshape(-1, 3))
        assert len(primitive["targets"]) == len(ARKIT_NAMES)
        offsets = np.stack([values_of(tree, binary, target["POSITION"]) for target in primitive["targets"]])
        assert np.allclose(get["POSITION"] + np.tensordot(coefficients, offsets, 1), moved[:, used], atol=1e-6)
    assert sorted(map(tuple, np.concatenate(triangles))) == sorted(map(tuple, rig.faces))
    (animation,) = tree["animations"]
    (channel,), (sampler,) = animation["channels"], animation["samplers"]
    assert channel["target"] == {"node": 0, "path": "weights"}
    assert (values_of(tree, binary, sampler["output"]).reshape(coefficients.shape) == coefficients).all()
    assert np.allclose(values_of(tree, binary, sampler["input"])[:, 0], np.arange(len(coefficients)) / FPS)


def test_normals_turn_with_the_jaw(data: bytes, rig: Rig) -> None:
    """Breaks if an opened mouth is lit as if it were closed: the targets' normals are those of the moved surface."""
    from talker_cli.formats.mesh import VertexNormals

    tree, binary = opened(data)
    jaw = rig.names.index("jawOpen")
    moved = VertexNormals(rig.faces, len(rig.template))(rig.template + rig.basis[jaw])
    for primitive, (_, faces) in zip(tree["meshes"][0]["primitives"], material_faces(rig), strict=True):
        rest = values_of(tree, binary, primitive["attributes"]["NORMAL"])
        turn = values_of(tree, binary, primitive["targets"][jaw]["NORMAL"])
        assert np.abs(rest + turn - moved[np.unique(rig.faces[faces])]).max() < 0.005


def test_every_view_is_used_and_none_overlap(data: bytes) -> None:
    """Breaks if the file carries bytes that nothing reads, or two arrays share them."""
    tree, binary = opened(data)
    spans = sorted((view["byteOffset"], view["byteLength"]) for view in tree["bufferViews"])
    end = 0
    for offset, length in spans:
        assert end <= offset < end + 4
        end = offset + length
    assert end <= len(binary) < end + 4
    text = json.dumps([tree["accessors"]])
    assert all(f'"bufferView": {number}' in text for number in range(len(spans)))


def test_views_that_accessors_share_state_their_stride(data: bytes) -> None:
    """Breaks if vertex data of several accessors lies in one view without a stride or a target, which glTF forbids."""
    tree, _ = opened(data)
    attributes = [
        number
        for primitive in tree["meshes"][0]["primitives"]
        for group in (primitive["attributes"], *primitive["targets"])
        for number in group.values()
    ]
    views = [tree["accessors"][number]["bufferView"] for number in set(attributes) if "bufferView" in tree["accessors"][number]]
    shared = {view for view in views if views.count(view) > 1}
    assert shared and all(tree["bufferViews"][view]["byteStride"] == 12 for view in shared)
    assert all(tree["bufferViews"][view]["target"] == 34962 for view in views)


def test_the_reader_reads_it(data: bytes, tmp_path: Path) -> None:
    """Breaks if our own reader sees something else than the specification says."""
    path = tmp_path / "head.glb"
    path.write_bytes(data)
    tree, binary = opened(data)
    glb = Glb(path)
    assert glb.tree == tree
    for number, accessor in enumerate(tree["accessors"]):
        expected = values_of(tree, binary, number)
        expected = expected[:, 0] if accessor["type"] == "SCALAR" else expected
        scale = 65535 if accessor.get("normalized") else 1
        assert np.allclose(glb.array(number), expected / scale, rtol=0, atol=1e-7)


def test_the_reader_knows_strides(tmp_path: Path) -> None:
    """Breaks on the interleaved vertices that other programs write."""
    interleaved = np.arange(24, dtype=np.float32).reshape(4, 6)
    writer = GlbWriter("a test")
    view = writer.view(interleaved)
    writer.tree["bufferViews"][view]["byteStride"] = 24
    entry = {"bufferView": view, "byteOffset": 12, "componentType": 5126, "count": 4, "type": "VEC3"}
    writer.tree["accessors"].append(entry)
    path = tmp_path / "strides.glb"
    path.write_bytes(writer.to_bytes())
    assert (Glb(path).array(0) == interleaved[:, 3:]).all()


@pytest.mark.parametrize("damage", ["missing", "text", "cut", "version", "json", "outside"])
def test_what_is_no_glb(data: bytes, tmp_path: Path, damage: str) -> None:
    """Breaks if a damaged file ends in a traceback, or in wrong vertices."""
    path = tmp_path / "head.glb"
    if damage == "text":
        path.write_text("not a model\n" * 9)
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "version":
        path.write_bytes(data[:4] + struct.pack("<I", 1) + data[8:])
    elif damage == "json":
        path.write_bytes(data[:20] + b"!" + data[21:])
    elif damage == "outside":
        path.write_bytes(data.replace(b'"count":', b'"count":9', 1))
    with pytest.raises(InputError, match=r"head\.glb"):
        glb = Glb(path)
        for number in range(len(glb.tree["accessors"])):
            glb.array(number)
