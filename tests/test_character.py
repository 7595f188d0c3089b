"""The user's own character: where its parts stand, which shapes it has under which names, its textures, and damaged files."""

import io
import json
import os
import struct
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Talker
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from talker_cli.avatar.names import arkit_name
from talker_cli.errors import InputError
from talker_cli.formats.gltf import Glb, GlbWriter
from talker_cli.render import MotionTrack, RenderOptions, render_still
from talker_cli.render.avatar import read_avatar
from talker_cli.render.character import read_glb
from talker_cli.rig import ARKIT_NAMES, Rig

GREY = (0.235, 0.245, 0.26)


def pixels(picture: Path) -> np.ndarray:
    with Image.open(picture) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def character(
    path: Path,
    names: tuple[str, ...] = ("jawOpen", "eyeBlink_L", "smirk"),
    rest: tuple[float, ...] | None = None,
    *,
    second: tuple[str, ...] | None = None,
    same: bool = False,
    empty: int | None = None,
    tree: dict[str, Any] | None = None,
) -> None:
    """Write a .glb: a node turned about y and doubled, with a triangle, and a skinned triangle whose joint is moved.

    Both have the morph targets `names`, the second mesh `second` if given; the k-th moves its k-th vertex by one
    unit of x, or all the first with `same`, and the one at `empty` nothing. `rest` are their weights in the file.
    """
    glb = GlbWriter("a test")
    points = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0)], np.float32)
    position = glb.accessor(points, bounds=True)
    indices = glb.accessor(np.array([0, 1, 2], np.uint16))
    targets = []
    for index in range(len(names)):
        offsets = np.zeros((3, 3), np.float32)
        offsets[0 if same else index % 3, 0] = float(index != empty)
        targets.append({"POSITION": glb.accessor(offsets, bounds=True)})
    plain = {"attributes": {"POSITION": position}, "indices": indices, "targets": targets, "material": 0}
    joints = glb.accessor(np.array([(0, 1, 0, 0)] * 3, np.uint8))
    weights = glb.accessor(np.array([(0.5, 0.5, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0)], np.float32))
    skinned = {**plain, "attributes": {"POSITION": position, "JOINTS_0": joints, "WEIGHTS_0": weights}}
    bind = np.stack([np.eye(4), np.eye(4)]).astype(np.float32)
    bind[1, 3, :3] = (0, -5, 0)  # column-major: the joint stood 5 up when the mesh was bound to it
    glb.tree |= {
        "scene": 0,
        "scenes": [{"nodes": [0, 1, 2]}],
        "nodes": [
            {"name": "Head", "mesh": 0, "rotation": [0, 0.5**0.5, 0, 0.5**0.5], "scale": [2, 2, 2], "translation": [10, 0, 0]},
            {"name": "Eyes", "mesh": 1, "skin": 0, "translation": [99, 99, 99]},  # a skinned mesh's own node does not count
            {"name": "root", "children": [3, 4]},
            {"name": "a", "translation": [0, 0, 1]},
            {"name": "b", "translation": [0, 9, 0]},
        ],
        "meshes": [
            {"primitives": [plain], "extras": {"targetNames": list(names)}},
            {"primitives": [skinned], "extras": {"targetNames": list(second or names)}},
        ],
        "skins": [{"joints": [3, 4], "inverseBindMatrices": glb.accessor(bind.reshape(2, 16))}],
        "materials": [{"name": "red", "pbrMetallicRoughness": {"baseColorFactor": [1.0, 0.0, 0.0, 1.0]}}],
    }
    for mesh in glb.tree["meshes"] if rest else ():
        mesh["weights"] = list(rest or ())
    glb.tree |= tree or {}
    path.write_bytes(glb.to_bytes())


def test_nodes_and_skins_are_applied(tmp_path: Path) -> None:
    """Breaks if a part of the character stands elsewhere, or its shapes move it in another direction than its own."""
    character(tmp_path / "c.glb")
    found = read_glb(tmp_path / "c.glb")
    # Turned 90 degrees about y, x points to -z; doubled; moved by 10.
    assert np.abs(found.vertices[:3] - [(10, 0, 0), (10, 0, -2), (10, 2, 0)]).max() < 1e-6
    # The first joint moves by (0, 0, 1), the second by 9 - 5 up; the first vertex takes half of each.
    assert np.abs(found.vertices[3:] - [(0, 2, 0.5), (1, 0, 1), (0, 5, 0)]).max() < 1e-6
    assert set(found.targets) == {"jawOpen", "eyeBlinkLeft"} and found.target_names == ("jawOpen", "eyeBlink_L", "smirk")
    expected = np.zeros((6, 3))
    expected[0, 2], expected[3, 0] = -2, 1
    assert np.abs(found.targets["jawOpen"] - expected).max() < 1e-6
    assert (found.faces == [(0, 1, 2), (3, 4, 5)]).all() and (found.colors == (255, 0, 0)).all()


SPELLINGS = {
    "jawOpen": ("jawOpen JAWOPEN jawopen jaw_open Jaw_Open jaw-open jaw.open JawOpen Face_JawOpen Face.jawOpen head_jawOpen "
                "blendShape1.jawOpen bs.jawOpen A25_Jaw_Open ARKit_jawOpen arkit.JawOpen CC_Base_Body_Jaw_Open key_jawOpen "
                "ns:face|jawOpen Wolf3D_Head.jawOpen R12_Jaw_Open jawOpen.001 Jaw+Open").split(),
    "eyeBlinkLeft": ("eyeBlinkLeft EYEBLINKLEFT eyeblinkleft eyeBlink_L eyeBlink_l eyeBlink.L eyeBlink-l eyeBlinkL "
                     "eye_blink_left EYE_BLINK_L Eye-Blink-Left leftEyeBlink lefteyeblink Left_Eye_Blink L_eyeBlink "
                     "eye_L_blink "
                     "eyeLeftBlink A14_Eye_Blink_Left head.eyeBlink_L blendShape1.eyeBlink.L Face_eyeBlink_l lf_eyeBlink "
                     "eyeBlink.L.001 ARKit.eyeBlink_LEFT").split(),
    "mouthSmileRight": "mouthSmile.R mouthSmile_r MouthSmileRight right_mouth_smile A39_Mouth_Smile_Right".split(),
    "mouthLeft": "mouthLeft mouth_L mouth.l Mouth_Left left_mouth".split(),
    "jawRight": "jawRight jaw_R Jaw.r A27_Jaw_Right".split(),
    "mouthClose": "mouthClose Mouth_Close MOUTHCLOSE".split(),
}  # fmt: skip
FOREIGN = ("smirk A E O jaw open mouthUpperUp jawOpen_mouthClose eyeBlinkLeft_jawOpen Fix_jawOpen notJawOpen jawOpenFix "
           "corrective.eyeBlink_L_fix half_jawOpen mouthSmile browInnerUp_cheekPuff 日本 _ ...").split()  # fmt: skip


@pytest.mark.parametrize("name", ARKIT_NAMES)
def test_every_name_in_every_convention(name: str) -> None:
    """Breaks if a shape is found in one tool's convention and lost in another's."""
    words = [word.lower() for word in "".join(f" {c}" if c.isupper() else c for c in name).split()]
    sided = words[-1] in ("left", "right") and name not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
    stems = [words] + ([[*words[:-1], words[-1][0]], [words[-1], *words[:-1]], [words[-1][0], *words[:-1]]] if sided else [])
    for stem in stems:
        for joint in ("_", "-", ".", " "):
            for case in (str.lower, str.upper, str.title):
                assert arkit_name(case(joint.join(stem))) == name, (joint, stem)
        for prefix in ("", "blendShape1.", "Face_", "A25_", "ARKit_", "head_mesh."):
            assert arkit_name(prefix + "".join(word.capitalize() for word in stem)) == name, (prefix, stem)
            assert arkit_name(prefix + "_".join(stem)) == name, (prefix, stem)


@pytest.mark.parametrize(("known", "spelling"), [(known, each) for known, all_ in SPELLINGS.items() for each in all_])
def test_spellings_of_tools(known: str, spelling: str) -> None:
    """Breaks if a character's shapes are not found under a name that some tool writes."""
    assert arkit_name(spelling) == known


@pytest.mark.parametrize("name", FOREIGN)
def test_names_of_other_shapes(name: str) -> None:
    """Breaks if a combination, a correction or a shape of another set is driven as one of ARKit's."""
    assert arkit_name(name) is None and arkit_name("") is None


def test_a_name_without_end_is_none() -> None:
    """Breaks if a name of a hundred thousand words takes minutes."""
    start = time.process_time()
    assert arkit_name("a b " * 50_000) is None and arkit_name("jawOpen" * 50_000) is None
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "names", [("jawOpen", "JawOpen"), ("jaw_open", "jawOpen"), ("jawOpen", "jawOpen"), ("A25_Jaw_Open", "Face.jawOpen")]
)
@pytest.mark.parametrize("empty", [None, 0, 1])
def test_two_spellings_on_one_mesh_move_it_once(tmp_path: Path, names: tuple[str, str], empty: int | None) -> None:
    """Breaks if a shape under two names moves a mesh twice as far, or not at all where one of them is empty."""
    character(tmp_path / "one.glb", ("jawOpen", "smirk"))
    character(tmp_path / "two.glb", names, same=True, empty=empty)
    one, two = (read_avatar(tmp_path / f"{name}.glb", ("jawOpen",), 30.0).rig for name in ("one", "two"))
    assert np.abs(one.basis).max() > 0.5 and (one.basis == two.basis).all()


def test_two_spellings_with_weights_at_rest(tmp_path: Path) -> None:
    """Breaks if only one of two spellings' weights is taken back: the mouth could not close."""
    character(tmp_path / "plain.glb", ("jawOpen", "JawOpen"), same=True)
    character(tmp_path / "ajar.glb", ("jawOpen", "JawOpen"), rest=(0.25, 0.5), same=True)
    plain, ajar = (read_avatar(tmp_path / f"{name}.glb", ("jawOpen",), 30.0).rig for name in ("plain", "ajar"))
    assert np.abs(plain.template - ajar.template).max() < 1e-6 and (plain.basis == ajar.basis).all()


def test_a_spelling_for_each_mesh(tmp_path: Path) -> None:
    """Breaks if meshes that spell a shape differently do not move together."""
    character(tmp_path / "c.glb", ("jawOpen", "eyeBlink_L"), second=("Jaw_Open", "eyeBlink.L"))
    rig = read_avatar(tmp_path / "c.glb", ("jawOpen", "eyeBlinkLeft"), 30.0).rig
    assert [np.flatnonzero(np.abs(row).sum(axis=1)).tolist() for row in rig.basis] == [[0, 3], [1, 4]]


@pytest.mark.parametrize("extensions", [{}, {"VRM": {"specVersion": "0.0"}}, {"VRMC_vrm": {"specVersion": "1.0"}}])
def test_vrm_0_faces_the_camera(tmp_path: Path, extensions: dict[str, Any]) -> None:
    """Breaks if a VRM 0.x shows its back, or VRM 1.0 and plain glTF, which look along +z, are turned too."""
    character(tmp_path / "plain.glb")
    character(tmp_path / "c.vrm", tree={"extensions": extensions})
    plain, found = read_glb(tmp_path / "plain.glb"), read_glb(tmp_path / "c.vrm")
    turn = (-1, 1, -1) if "VRM" in extensions else (1, 1, 1)
    assert np.abs(found.vertices - plain.vertices * turn).max() < 1e-6 and (found.faces == plain.faces).all()
    for name in plain.targets:
        assert np.abs(found.targets[name] - plain.targets[name] * turn).max() < 1e-6


def test_names_as_tools_write_them(tmp_path: Path) -> None:
    """Breaks if a character whose shapes are called head.eyeBlink_L or JAWOPEN does not move."""
    character(tmp_path / "c.glb", ("head.eyeBlink_L", "JAWOPEN", "blendShape1.MouthSmileRight"))
    avatar = read_avatar(tmp_path / "c.glb", ("jawOpen", "eyeBlinkLeft", "mouthSmileRight", "tongueOut"), 30.0)
    assert avatar.missing == ("tongueOut",)
    assert [np.flatnonzero(np.abs(row).sum(axis=1)).tolist() for row in avatar.rig.basis] == [[1, 4], [0, 3], [2, 5], []]
    assert (avatar.surface.gloss == [0, 0, 0, 1, 1, 1]).all()  # eyes, by their name


def test_textures_lie_where_they_should(tmp_path: Path) -> None:
    """Breaks if a texture is smeared over the vertices, upside down or mirrored, or what it leaves out is drawn."""
    painting = np.zeros((64, 64, 4), np.uint8)
    painting[:32, :32], painting[:32, 32:], painting[32:, :32] = (220, 30, 30, 255), (30, 30, 220, 255), (30, 220, 30, 255)
    stream = io.BytesIO()
    Image.fromarray(painting).save(stream, "png")
    glb = GlbWriter("a test")
    corners = np.array([(-1, 1, 0), (1, 1, 0), (1, -1, 0), (-1, -1, 0)], np.float32)  # v runs downwards in glTF
    place = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32)
    attributes = {"POSITION": glb.accessor(corners, bounds=True), "TEXCOORD_0": glb.accessor(place)}
    plate = {"attributes": attributes, "indices": glb.accessor(np.array([0, 2, 1, 0, 3, 2], np.uint16))}
    plate["targets"] = [{"POSITION": glb.accessor(0 * corners, bounds=True)}]
    glass = {"alphaMode": "BLEND", "pbrMetallicRoughness": {"baseColorFactor": [1, 1, 1, 0.1]}}
    cut = {"alphaMode": "MASK", "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}
    glb.tree |= {
        "scenes": [{"nodes": [0, 1]}],
        "nodes": [{"mesh": 0}, {"mesh": 1, "translation": [0, 0, 0.1]}],
        "meshes": [
            {"primitives": [{**plate, "material": 0}], "extras": {"targetNames": ["jawOpen"]}},
            {"primitives": [{**plate, "material": 1}], "extras": {"targetNames": ["jawOpen"]}},
        ],
        "materials": [cut, glass],
        "textures": [{"source": 0}],
        "images": [{"bufferView": glb.view(np.frombuffer(stream.getvalue(), np.uint8)), "mimeType": "image/png"}],
    }
    (tmp_path / "p.glb").write_bytes(glb.to_bytes())
    avatar = read_avatar(tmp_path / "p.glb", ("jawOpen",), 30.0)
    assert len(avatar.rig.template) == 4  # no pane of glass before it
    take = MotionTrack(avatar.rig, np.zeros((1, 1), np.float32), 30.0, given=avatar.surface)
    render_still([take], tmp_path / "p.png", RenderOptions((128, 128), background=GREY))
    image = pixels(tmp_path / "p.png")
    for row, column, channel in ((40, 40, 0), (40, 88, 2), (88, 40, 1), (61, 61, 0), (61, 67, 2), (67, 61, 1)):
        color = image[row, column]
        assert color[channel] > 100 and np.delete(color, channel).max() < color[channel] - 50, (row, column, color)
    assert np.abs(image[88, 88] - 255 * np.array(GREY)).max() < 2  # cut out


@pytest.mark.slow
def test_the_built_in_head_as_an_avatar(invoke: Talker, motion: Path, rig: Rig, tmp_path: Path) -> None:
    """Breaks if an exported character, driven by the coefficients, is another face than the motion's own vertices."""
    glb = GlbWriter("a test")
    shapes = [name for name in rig.names if name != "tongueOut"]
    targets = [{"POSITION": glb.accessor(rig.basis[rig.names.index(name)], bounds=True)} for name in shapes]
    position, indices = glb.accessor(rig.template, bounds=True), glb.accessor(rig.faces.ravel().astype(np.uint32))
    assert rig.colors is not None
    linear = ((rig.colors / 255.0) ** 2.2).astype(np.float32)
    attributes = {"POSITION": position, "COLOR_0": glb.accessor(linear)}
    primitive = {"attributes": attributes, "indices": indices, "targets": targets}
    glb.tree |= {
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive], "extras": {"targetNames": shapes}}],
    }
    (tmp_path / "me.glb").write_bytes(glb.to_bytes())
    for name, options in (("own", []), ("avatar", ["--avatar", "me.glb"])):
        look = ("--at", "0.3", "--size", "128x128", "--background", "grey")
        ran = invoke("render", motion, *options, *look, "-o", f"{name}.png")
        assert ran.code == 0, ran.err
        assert ran.err == ("" if name == "own" else "talker: me.glb has no morph target for tongueOut: they move nothing\n")
    own, avatar = pixels(tmp_path / "own.png"), pixels(tmp_path / "avatar.png")
    assert np.abs(own - avatar).mean() < 4  # but for wet eyes and lips, which a .glb does not tell of


def test_weights_at_rest_are_not_added_to_a_motion(tmp_path: Path) -> None:
    """Breaks if a character that was exported with its mouth ajar can never close it."""
    rests = {"plain": None, "ajar": (1.0, 0.5, 0.0), "smirking": (0.0, 0.0, 1.0)}
    for name, rest in rests.items():
        character(tmp_path / f"{name}.glb", rest=rest)
    plain, ajar, smirking = (read_avatar(tmp_path / f"{name}.glb", ARKIT_NAMES, 30.0).rig for name in rests)
    assert (plain.basis == ajar.basis).all() and np.abs(ajar.template - plain.template).max() < 1e-6
    assert np.abs(smirking.template - plain.template).max() > 0.5  # nothing drives it: it stays
    assert np.abs(read_glb(tmp_path / "ajar.glb").vertices - read_glb(tmp_path / "plain.glb").vertices).max() > 0.5


def test_characters_that_cannot_be_driven(invoke: Talker, motion: Path, tmp_path: Path) -> None:
    """Breaks if an avatar without ARKit's shapes stands still in silence, or a foreign motion is drawn on it."""
    character(tmp_path / "other.glb", ("A", "E", "O"))
    character(tmp_path / "half.glb")
    (tmp_path / "half.glb").write_bytes((tmp_path / "half.glb").read_bytes()[:-100])
    character(tmp_path / "good.glb")
    np.save(tmp_path / "m.npy", np.zeros((2, 9), np.float32))
    before = sorted(tmp_path.iterdir())
    assert "has the morph targets A, E, O; expected ARKit's names" in invoke("render", motion, "--avatar", "other.glb").mistake
    assert "half.glb is cut short" in invoke("render", motion, "--avatar", "half.glb").mistake
    assert "cannot read gone.glb" in invoke("render", motion, "--avatar", "gone.glb").mistake
    assert "coefficients" in invoke("render", "m.npy", "--avatar", "good.glb", "--fps", "25").mistake
    assert sorted(tmp_path.iterdir()) == before


# Files that are damaged, or made to do harm


def changed(path: Path, change: Any) -> None:
    """Rewrite a GLB with its JSON changed by a function, or replaced by bytes."""
    data = path.read_bytes()
    (size,) = struct.unpack_from("<I", data, 12)
    tree = json.loads(data[20 : 20 + size])
    text = change if isinstance(change, bytes) else json.dumps(change(tree) or tree).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + size :]
    path.write_bytes(struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A) + text + rest)


def accessors(number: int, **fields: Any) -> Any:
    def change(tree: dict[str, Any]) -> None:
        entry = tree["accessors"][number]
        entry |= fields
        for name in [name for name, value in fields.items() if value is None]:
            del entry[name]

    return change


def replaced(*place: str | int, value: Any) -> Any:
    def change(tree: Any) -> None:
        for key in place[:-1]:
            tree = tree[key]
        tree[place[-1]] = value

    return change


@contextmanager
def little_memory() -> Iterator[None]:
    """Fail if the block takes more than five megabytes."""
    Image.init()  # loads Pillow's plugins; a new environment compiles them, which takes more
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


HUGE = 4_000_000_000
DAMAGED: dict[str, Any] = {
    "positions without data": accessors(0, bufferView=None, count=HUGE),
    "a target without data": accessors(2, bufferView=None, count=HUGE),
    "indices without data": accessors(1, bufferView=None, count=HUGE),
    "more rows than the file has": accessors(0, count=HUGE),
    "a stride of one byte": lambda tree: tree["bufferViews"][0].update(byteStride=1) or accessors(0, count=HUGE)(tree),
    "a stride of zero": lambda tree: tree["bufferViews"][0].update(byteStride=0) or accessors(0, count=HUGE)(tree),
    "a view beyond the file": replaced("bufferViews", 0, "byteLength", value=HUGE),
    "a view before the file": replaced("bufferViews", 0, "byteOffset", value=-4),
    "sparse rows beyond": accessors(
        0,
        sparse={"count": 1, "indices": {"bufferView": 0, "byteOffset": 12, "componentType": 5125}, "values": {"bufferView": 0}},
    ),
    "sparse rows of four milliards": accessors(
        0, sparse={"count": HUGE, "indices": {"bufferView": 0, "componentType": 5125}, "values": {"bufferView": 0}}
    ),
    "a count that is no whole number": accessors(0, count=3.5),
    "a count that is true": accessors(0, count=True),
    "an unknown component": accessors(0, componentType=5130),
    "an accessor of -1": replaced("meshes", 0, "primitives", 0, "attributes", "POSITION", value=-1),
    "a node of -1": replaced("scenes", 0, "nodes", value=[-1]),
    "a node that holds itself": replaced("nodes", 2, "children", value=[2]),
    "another number of offsets": accessors(2, count=2),
    "faces beyond the vertices": accessors(1, componentType=5126),
    "infinity as a number": replaced("nodes", 0, "translation", value=[float("inf"), 0, 0]),
    "a scale beyond all": replaced("nodes", 0, "scale", value=[1e300, 1, 1]),
    "NaN in a rotation": replaced("nodes", 0, "rotation", value=[float("nan"), 0, 0, 1]),
    "a matrix of three": replaced("nodes", 0, "matrix", value=[1, 2, 3]),
    "brackets without end": b'{"asset":' + b"[" * 20_000,
    "lists for objects": replaced("meshes", value=[[], []]),
    "a text for a list": replaced("nodes", value="abc"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_characters_are_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    """Breaks if a hundred bytes take gigabytes, a number is believed that the file cannot hold, or NumPy prints a warning."""
    path = tmp_path / "c.glb"
    character(path)
    changed(path, DAMAGED[damage])
    with little_memory(), warnings.catch_warnings(), pytest.raises(InputError, match=r"c\.glb") as refused:
        warnings.simplefilter("error")
        read_avatar(path, ("jawOpen",), 30.0)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 400


@pytest.mark.slow
def test_one_mesh_thousands_of_times_is_refused(tmp_path: Path) -> None:
    """Breaks if a small file that shows one mesh without end is read to its end."""
    path = tmp_path / "c.glb"
    character(path)
    nodes = [{"mesh": 0}] * 100_000
    changed(path, lambda tree: tree.update(nodes=nodes, scenes=[{"nodes": list(range(len(nodes)))}]))
    with pytest.raises(InputError, match="primitives; expected a character"):
        read_glb(path)


def png_of(width: int, height: int) -> bytes:
    """Return a valid PNG of one colour, a thousand times smaller than its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(1)
    rows = packer.compress(bytes(1 + min(width, 1000))) + packer.flush()  # more is never read
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (png_of(20_000, 20_000), "400000000 pixels"),
        (png_of(9000, 9000), "9000x9000 pixels; expected at most 8192x8192"),
        (png_of(2**31 - 1, 1), "2147483647 pixels"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot be read"),
        (b"GIF89a", "cannot be read"),
        (png_of(64, 64)[:30], "cannot be read"),
        (b"", "cannot be read"),
    ],
    ids=["bomb", "large", "wide", "PostScript", "GIF", "cut", "empty"],
)
def test_textures_that_are_not_read(tmp_path: Path, image: bytes, words: str) -> None:
    """Breaks if a picture of a few bytes takes gigabytes, another program is started for it, or Pillow prints a warning."""
    glb = GlbWriter("a test")
    corners = np.eye(3, dtype=np.float32)
    attributes = {"POSITION": glb.accessor(corners, bounds=True), "TEXCOORD_0": glb.accessor(corners[:, :2])}
    target = {"POSITION": glb.accessor(corners, bounds=True)}
    glb.tree |= {
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": attributes, "targets": [target], "material": 0}],
                    "extras": {"targetNames": ["jawOpen"]}}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "textures": [{"source": 0}],
        "images": [{"bufferView": glb.view(np.frombuffer(image, np.uint8)), "mimeType": "image/png"}],
    }  # fmt: skip
    (tmp_path / "c.glb").write_bytes(glb.to_bytes())
    with little_memory(), warnings.catch_warnings(), pytest.raises(InputError, match="texture 0") as refused:
        warnings.simplefilter("error")
        read_glb(tmp_path / "c.glb")
    assert words in str(refused.value)


@pytest.mark.parametrize("extension", ["EXT_texture_webp", "KHR_texture_basisu"])
def test_textures_of_extensions(tmp_path: Path, extension: str) -> None:
    """Breaks if a WebP texture, which glTF's tools write, is not read, or a KTX2 texture is refused without its remedy."""
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), (200, 40, 40)).save(stream, "webp", lossless=True)
    glb = GlbWriter("a test")
    corners = np.eye(3, dtype=np.float32)
    attributes = {"POSITION": glb.accessor(corners, bounds=True), "TEXCOORD_0": glb.accessor(corners[:, :2])}
    glb.tree |= {
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": attributes, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "textures": [{"extensions": {extension: {"source": 0}}}],
        "images": [{"bufferView": glb.view(np.frombuffer(stream.getvalue(), np.uint8)), "mimeType": "image/webp"}],
    }
    (tmp_path / "c.glb").write_bytes(glb.to_bytes())
    if extension == "EXT_texture_webp":
        assert (read_glb(tmp_path / "c.glb").colors == (200, 40, 40)).all()
        return
    with pytest.raises(
        InputError, match=r"textures of KHR_texture_basisu; expected PNG, JPEG or WebP; convert them with gltf-tr"
    ):
        read_glb(tmp_path / "c.glb")


def test_what_is_no_file_is_refused(invoke: Talker, motion: Path, tmp_path: Path) -> None:
    """Breaks if a pipe is waited for, or a device is read without end."""
    os.mkfifo(tmp_path / "pipe.glb")
    for place in ("pipe.glb", "/dev/zero", "."):
        assert "expected a .glb" in invoke("render", motion, "--avatar", place).mistake
    assert "pipe.glb" in invoke("render", motion, "--template", "pipe.glb").mistake
    with (tmp_path / "zero.glb").open("wb") as stream:
        stream.truncate(50 << 30)  # and takes no place on the disk
    assert "is no GLB" in invoke("render", motion, "--avatar", "zero.glb").mistake


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_characters(tmp_path: Path, data: st.DataObject) -> None:
    """Breaks if changed bytes, or a changed place of the JSON, lead to a traceback, to NaN, or to a warning."""
    path = tmp_path / "c.glb"
    character(path, rest=(0.5, 0.0, 0.0))
    if data.draw(st.booleans()):
        work = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 6))):
            work[data.draw(st.integers(0, len(work) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(bytes(work[: data.draw(st.integers(0, len(work)))] if data.draw(st.booleans()) else work))
    else:
        odd = st.sampled_from([None, True, -1, 0, 1, 2**31, 10**20, 1e308, 0.5, "x", [], {}, [0], [None], [1e300] * 16])

        def change(tree: dict[str, Any]) -> None:
            place: Any = tree
            while True:
                key = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else list(range(len(place)))))
                if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.integers(0, 3)) == 0:
                    place[key] = data.draw(odd)
                    return
                place = place[key]

        changed(path, change)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            avatar = read_avatar(path, ("jawOpen", "eyeBlinkLeft"), 30.0)
        except InputError as error:
            assert "\n" not in str(error)
            return
    assert np.isfinite(avatar.rig.template).all() and np.isfinite(avatar.rig.basis).all()
    assert avatar.rig.faces.min() >= 0 and avatar.rig.faces.max() < len(avatar.rig.template)


KINDS = (np.int8, np.uint8, np.int16, np.uint16, np.uint32, np.float32)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_arrays_come_back_from_a_glb(tmp_path: Path, data: st.DataObject) -> None:
    """Breaks if an array that was written is read as another: any type, width and length, and zeros in few places."""
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    glb, expected = GlbWriter("a test"), []
    for _ in range(data.draw(st.integers(1, 4))):
        kind, width = data.draw(st.sampled_from(KINDS)), data.draw(st.sampled_from([1, 2, 3, 4, 16]))
        array = rng.integers(0, 128, (data.draw(st.integers(1, 9)), width)).astype(kind)
        expected.append((glb.accessor(array), array[:, 0] if width == 1 else array))
    count = data.draw(st.integers(1, 30))
    groups = []
    for _ in range(data.draw(st.integers(0, 4))):
        rows = np.flatnonzero(rng.random(count) < rng.choice([0.0, 0.3, 1.0]))
        groups.append((rows, [rng.normal(size=(len(rows), 3)).astype(np.float32) for _ in range(2)]))
    for (rows, arrays), numbers in zip(groups, glb.sparse(count, groups), strict=True):
        for array, number in zip(arrays, numbers, strict=True):
            whole = np.zeros((count, 3), np.float32)
            whole[rows] = array
            expected.append((number, whole))
    (tmp_path / "a.glb").write_bytes(glb.to_bytes())
    found = Glb(tmp_path / "a.glb")
    for number, array in expected:
        assert (found.array(number) == array).all() and found.array(number).dtype == array.dtype
    assert all("bufferView" in entry or "sparse" in entry for entry in found.tree["accessors"])  # other importers' demand
