"""A user's character, whole: what its shapes are called, how they are driven, and the file with one more animation."""

import json
import struct
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talker_cli.avatar.drive import DrivenAvatar, read_driven_avatar
from talker_cli.avatar.scene import matrix_of, quaternions_of, worlds
from talker_cli.avatar.spoken import gaze, spoken
from talker_cli.avatar.table import TABLE, built_in, plain, table_with
from talker_cli.errors import InputError
from talker_cli.export.formats import write_motion_clip
from talker_cli.export.motion_clip import MotionClip
from talker_cli.formats.gltf import Glb, GlbWriter
from talker_cli.rig import ARKIT_NAMES, Rig, head_matrices

JAW, BLINK = ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("eyeBlinkLeft")
VISEMES = tuple(f"viseme_{name}" for name in "sil PP FF TH DD kk CH SS nn RR aa E I O U".split())


def face(
    path: Path,
    *meshes: tuple[str, ...],
    rest: tuple[float, ...] | None = None,
    empty: tuple[str, ...] = (),
    tree: dict[str, Any] | None = None,
    bones: bool = False,
) -> Path:
    """Write a character: a mesh for each tuple of names of morph targets, each a triangle; with a skeleton if asked for.

    The skeleton is 5 hips (turned by 90 degrees about x), 6 head, 7 and 8 eyes; the meshes' nodes are 0…4 at most.
    """
    glb = GlbWriter("a test", "somebody")
    corners = np.eye(3, dtype=np.float32)
    position = glb.accessor(corners, bounds=True)
    entries, nodes = [], []
    for number, names in enumerate(meshes):
        targets = [
            {
                "POSITION": glb.accessor(
                    corners * (0.0 if {name, f"{number}:{name}"} & set(empty) else 0.1 * (k + 1)), bounds=True
                )
            }
            for k, name in enumerate(names)
        ]
        primitive = {"attributes": {"POSITION": position}, "targets": targets}
        entry: dict[str, Any] = {"name": f"mesh {number}", "primitives": [primitive], "extras": {"targetNames": list(names)}}
        if rest is not None:
            entry["weights"] = list(rest)
        entries.append(entry)
        nodes.append({"name": f"part {number}", "mesh": number, "extras": {"kept": [1e-7, 1.0, "ä"]}})
    nodes += [{"name": "nothing"}] * (5 - len(nodes))
    half = 0.5**0.5
    nodes += [
        {"name": "Hips", "children": [6], "rotation": [half, 0, 0, half], "scale": [2, 2, 2]},
        {"name": "mixamorig:Head", "children": [7, 8], "rotation": [0, half, 0, half], "translation": [0, 1, 0]},
        {"name": "mixamorig:LeftEye"},
        {"name": "mixamorig:RightEye", "rotation": [0, 0, 0.6, 0.8]},
    ]
    glb.tree |= {
        "extensionsUsed": ["EXT_odd"],
        "extensions": {"EXT_odd": {"number": 0.1000000001490116}},
        "scenes": [{"nodes": [0, 1, 2, 3, 4, 5]}],
        "nodes": nodes,
        "meshes": entries,
        "animations": [{"name": "speech", "channels": [], "samplers": []}],
    }
    if bones:
        glb.tree["skins"] = [{"joints": [5, 6, 7, 8]}]
    glb.tree |= tree or {}
    path.write_bytes(glb.to_bytes())
    return path


def chunks(path: Path) -> tuple[bytes, bytes]:
    """Return a GLB's JSON as text, and its binary chunk."""
    data = path.read_bytes()
    assert struct.unpack_from("<4sII", data) == (b"glTF", 2, len(data))
    (size,) = struct.unpack_from("<I", data, 12)
    return data[20 : 20 + size], data[28 + size :]


def channels(path: Path) -> dict[tuple[int, str], np.ndarray]:
    """Return the last animation's values by node and path, (T, width), and its times under (-1, "")."""
    glb = Glb(path)
    animation = glb.tree["animations"][-1]
    samplers = animation["samplers"]
    times = glb.array(samplers[0]["input"])
    found = {(-1, ""): times}
    for channel in animation["channels"]:
        values = glb.array(samplers[channel["sampler"]]["output"])
        found[channel["target"]["node"], channel["target"]["path"]] = values.reshape(len(times), -1)
    return found


def curves(count: int = 9) -> np.ndarray:
    return np.random.default_rng(1).random((count, len(ARKIT_NAMES))).astype(np.float32)


def speak(avatar: DrivenAvatar, path: Path, coefficients: np.ndarray, **more: Any) -> dict[tuple[int, str], np.ndarray]:
    path.write_bytes(spoken(avatar, coefficients, 30.0, **more))
    return channels(path)


# Names


def test_every_name_of_the_table_is_found() -> None:
    """Breaks if an entry cannot be matched by its own spelling, another set takes it, or it stands for nothing."""
    content = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    sets = {group.name: group for group in built_in().sets}
    for entry in content["set"]:
        for name in (*entry.get("shapes", {}), *entry.get("mixes", {})):
            for side in entry.get("sides", [""]):
                spelled = name.replace("*", side)
                found = sets[entry["name"]].find(spelled)
                assert found == plain(spelled), (entry["name"], spelled, found)
    for group in built_in().sets:
        assert group.meanings, group.name


@pytest.mark.parametrize(
    ("program", "spelled", "key"),
    [
        ("Daz visemes", "Genesis8Female__eCTRLvAA", "ectrlvaa"),
        ("Rocketbox visemes", "blendShape1.AA_VI_10_aa", "aavi10aa"),
        ("VRoid, one side", "Face_Blendshape.Fcl_MTH_A", "fclmtha"),
        ("MetaHuman", "CTRL_expressions_mouthFunnelUL", "mouthfunnelul"),
        ("MetaHuman", "head_lod0_mesh__mouthLipsTogetherDR", "mouthlipstogetherdr"),
        ("Reallusion CC4", "V_Tight-O", "vtighto"),
        ("Reallusion CC4", "CC_Base_Body.Brow_Raise_Inner_L", "browraiseinnerl"),
        ("VRChat visemes", "vrc.v_ou", "vrcvou"),
        ("MikuMikuDance", "ｳｨﾝｸ２右", "ウィンク2右"),
        ("Daz FACS", "facs_bs_BrowInnerUpLeft_div2", "facsbsbrowinnerupleft"),
        ("ARKit", "facs_bs_MouthSmileLeft_div2", "mouthSmileLeft"),
        ("ARKit", "AK_09_EyeBlinkLeft", "eyeBlinkLeft"),
        ("Daz FACS", "facs_bs_MouthPurseLowerLeft_div2", "facsbsmouthpurselowerleft"),
        ("Reallusion CC3's lips and nose", "Mouth_Top_Lip_Under", "mouthtoplipunder"),
        ("Reallusion's direct visemes", "T_L_D_N", "tldn"),
        ("VRChat visemes", "blendShape7.vrc_v_ee", "vrcvee"),
        ("VRChat eyelids", "vrc.lowerlid_left", "vrclowerlidleft"),
        ("eyelids, left and right", "vrc.blink_left", "blinkleft"),
        ("eyelids, L and R", "BLINK_L", "blinkl"),
        ("eyelids, L and R", "Fix_Blink_L", None),
        ("eyes and brows of both sides", "blendShape16.vrc_blink", "blink"),
        ("eyes and brows of both sides", "Blink_L", None),
        ("ARKit, misspelt", "noseSteerRight", "nosesteerright"),
        ("vowels of VRM's presets", "uu", "uu"),
        ("vowels of one letter", "smirk", None),
        ("Oculus and Ready Player Me visemes", "viseme_aah", None),
    ],
)
def test_names_of_programs(program: str, spelled: str, key: str | None) -> None:
    """Breaks if a shape is not found under the name that a program writes, or found under another."""
    assert next(group for group in built_in().sets if group.name == program).find(spelled) == key


def test_a_map_says_what_nobody_can_recognise(tmp_path: Path) -> None:
    """Breaks if a user's own names do not count, do not come first, or cannot silence a shape."""
    path = face(tmp_path / "c.glb", ("Lid_zu", "eyeBlinkLeft", "Überrascht", "still"), rest=(0.0, 0.0, 0.0, 0.25))
    own = tmp_path / "map.toml"
    own.write_text('[shapes]\nLid_zu = "eyeBlinkLeft"\n"Überrascht" = { eyeWideLeft = 0.5, eyeWideRight = 0.25 }\nstill = []\n')
    motion = curves()
    weights = speak(read_driven_avatar(path, own), tmp_path / "o.glb", motion)[0, "weights"]
    wide = motion[:, ARKIT_NAMES.index("eyeWideLeft")] / 2 + motion[:, ARKIT_NAMES.index("eyeWideRight")] / 4
    expected = np.stack([motion[:, BLINK], np.zeros(9), wide, np.full(9, 0.25)], 1)
    assert np.abs(weights - expected).max() < 1e-6


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[shapes]\na = "jawopen"', "has the shape 'jawopen'"),
        ('[mixes]\na = "AA"', "has the mix 'AA'; expected one of rest, PP"),
        ("[shapes]\na = 3", "is damaged"),
        ("[shapes", "is damaged"),
        ('[bones]\nhip = "a"', "is damaged"),
    ],
)
def test_maps_that_cannot_be_used(tmp_path: Path, text: str, words: str) -> None:
    """Breaks if a mistake in a map is a traceback, or passes in silence."""
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(InputError) as refused:
        table_with(tmp_path / "m.toml")
    assert words in str(refused.value) and "\n" not in str(refused.value)


# Driving


def test_everything_stays_but_for_what_is_added(tmp_path: Path) -> None:
    """Breaks if a byte of the user's file changes, or a mesh of four is not driven by the curves of its own names."""
    names = (*VISEMES, *ARKIT_NAMES)  # 67, as Ready Player Me's
    others = (("A25_Jaw_Open", "smirk"), ("head.eyeBlink.L", "JawOpen"), ("mouthSmile_r",))
    path = face(tmp_path / "c.glb", names, *others, rest=None)
    motion = curves()
    found = speak(read_driven_avatar(path), tmp_path / "o.glb", motion, extras={"audio": "speech.wav"})
    assert np.abs(found[0, "weights"][:, 15:] - motion).max() == 0 and not found[0, "weights"][:, :15].any()
    assert (found[1, "weights"] == np.stack([motion[:, JAW], np.zeros(9)], 1)).all()
    assert (found[2, "weights"] == motion[:, [ARKIT_NAMES.index("eyeBlinkLeft"), JAW]]).all()
    assert (found[3, "weights"][:, 0] == motion[:, ARKIT_NAMES.index("mouthSmileRight")]).all()
    assert np.abs(found[-1, ""] - np.arange(9) / 30).max() < 1e-7
    (before, binary), (after, more) = chunks(path), chunks(tmp_path / "o.glb")
    old, new = json.loads(before), json.loads(after)
    assert new["animations"][-1]["name"] == "speech 2" and new["animations"][-1]["extras"] == {"audio": "speech.wav"}
    length = old["buffers"][0]["byteLength"]
    assert more[:length] == binary[:length] and new["buffers"][0]["byteLength"] == len(more)
    added = {"accessors", "bufferViews", "animations"}
    assert old.keys() == new.keys() and all(old[key] == new[key] for key in old.keys() - added - {"buffers"})
    for key in added:
        assert new[key][: len(old[key])] == old[key]
    # Not only equal: spelled as it was, number by number.
    for part in (b'"extras":{"kept":[1e-07,1.0,"\\u00e4"]}', b"0.1000000001490116"):
        assert part in before and before.count(part) == after.count(part)


def test_shapes_that_are_empty_in_one_mesh_follow_too(tmp_path: Path) -> None:
    """Breaks if a jaw that moves nothing in the mesh of the eyes is driven twice there, by two programs' names."""
    empty = tuple(f"1:{name}" for name in ("jawOpen", "jawLeft", "mouthLeft", "tongueOut"))
    avatar = read_driven_avatar(face(tmp_path / "c.glb", ARKIT_NAMES, ARKIT_NAMES, empty=empty))
    found = speak(avatar, tmp_path / "o.glb", curves())
    assert len(avatar.drive.controls) == 52 and not avatar.drive.missing
    assert (found[0, "weights"] == curves()).all() and (found[1, "weights"] == curves()).all()


def test_a_shape_of_both_sides_adds_nothing_to_one_side(tmp_path: Path) -> None:
    """Breaks if each eye, whose mesh has the other eye's shapes empty, is turned by those and by the pair's shape besides."""
    names = ("eyeLookUpLeft", "eyeLookUpRight", "eyesLookUp")
    path = face(tmp_path / "c.glb", names, names, names[2:], empty=("0:eyeLookUpRight", "1:eyeLookUpLeft"))
    motion = curves()
    found = speak(read_driven_avatar(path), tmp_path / "o.glb", motion)
    both = motion[:, [ARKIT_NAMES.index(name) for name in names[:2]]]
    for node in (0, 1):
        assert (found[node, "weights"][:, :2] == both).all() and not found[node, "weights"][:, 2].any()
    assert np.abs(found[2, "weights"][:, 0] - both.mean(axis=1)).max() < 1e-6  # a mesh that has only the pair's


def test_weights_at_rest(tmp_path: Path) -> None:
    """Breaks if what nothing drives loses its weight, or a second spelling at rest keeps an eye half shut."""
    path = face(tmp_path / "c.glb", ("smirk", "eyeBlinkLeft", "Blink_L"), rest=(0.5, 0.25, 0.75))
    motion = curves()
    weights = speak(read_driven_avatar(path), tmp_path / "o.glb", motion)[0, "weights"]
    assert (weights == np.stack([np.full(9, 0.5), motion[:, BLINK], np.zeros(9)], 1)).all()


def test_head_and_eyes_turn_about_the_world_s_axes(tmp_path: Path) -> None:
    """Breaks if a bone turns about its own axes, loses its rotation at rest, or eyes that have shapes are turned too."""
    motion = curves()
    rotation = np.random.default_rng(2).normal(0, 0.5, (9, 3)).astype(np.float32)
    looks = tuple(name for name in ARKIT_NAMES if name.startswith("eyeLook"))
    path = face(tmp_path / "c.glb", ("jawOpen",), bones=True)
    found = speak(read_driven_avatar(path), tmp_path / "o.glb", motion, rotation=rotation)
    at_rest, glb = worlds(Glb(path)), Glb(path)
    turn = head_matrices(rotation.astype(np.float64))
    for frame in range(9):
        for number in (6, 7, 8):
            glb.tree["nodes"][number]["rotation"] = found[number, "rotation"][frame].tolist()
        moved = worlds(glb)
        assert np.abs(moved[6][:3, :3] - turn[frame] @ at_rest[6][:3, :3]).max() < 1e-5
        for number, side in ((7, "Left"), (8, "Right")):
            own = head_matrices(gaze(motion[frame : frame + 1], side))[0]
            # The eyes turn in the head, which has turned itself.
            assert np.abs(moved[number][:3, :3] - turn[frame] @ own @ at_rest[number][:3, :3]).max() < 1e-5
    with_looks = face(tmp_path / "l.glb", ("jawOpen", *looks), bones=True)
    assert (7, "rotation") not in speak(read_driven_avatar(with_looks), tmp_path / "p.glb", motion, rotation=rotation)
    assert (6, "rotation") not in speak(read_driven_avatar(path), tmp_path / "q.glb", motion)


@pytest.mark.parametrize("above", ["top", "head"])
def test_a_head_turns_with_its_eyes_or_not_at_all(tmp_path: Path, above: str) -> None:
    """Breaks if a figure without a skeleton turns its skin, and leaves eyes that hang beside it where they were."""
    nodes = [
        {"name": "top", "children": [1] + [3] * (above == "top")}, {"name": "head", "children": [2] + [3] * (above == "head")},
        {"name": "skin", "mesh": 0}, {"name": "grp_eyeLeft", "children": [4]}, {"name": "ball", "mesh": 1},
    ]  # fmt: skip
    path = face(tmp_path / "c.glb", ("browInnerUp",), ("smirk",), tree={"nodes": nodes, "scenes": [{"nodes": [0]}]})
    found = speak(read_driven_avatar(path), tmp_path / "o.glb", curves(), rotation=np.full((9, 3), 0.1))
    assert ((1, "rotation") in found) == (above == "head") and (0, "weights") not in found and (2, "weights") in found


def test_eyes_look_where_the_shapes_say() -> None:
    """Breaks if eyes look away from where the coefficients look."""
    ways = {"UpLeft": (-1, 0), "DownLeft": (1, 0), "OutLeft": (0, 1), "InLeft": (0, -1), "OutRight": (0, -1), "InRight": (0, 1)}
    for name, (pitch, yaw) in ways.items():
        row = np.zeros((1, 52))
        row[0, ARKIT_NAMES.index(f"eyeLook{name}")] = 1
        found = gaze(row, "Left" if name.endswith("Left") else "Right")[0]
        assert (np.sign(found) == (pitch, yaw, 0)).all() and 0.3 < np.abs(found).max() < 0.5, name


@settings(deadline=None)
@given(angles=st.lists(st.tuples(*[st.floats(-3.1, 3.1)] * 3), min_size=1, max_size=6))
def test_quaternions_of_matrices(angles: list[tuple[float, float, float]]) -> None:
    """Breaks if a rotation comes back as another, or two frames lie on opposite sides, between which a head would spin."""
    matrices = head_matrices(np.array(angles))
    found = quaternions_of(matrices)
    assert np.abs(matrix_of(found) - matrices).max() < 1e-9 and np.abs(np.linalg.norm(found, axis=1) - 1).max() < 1e-9
    assert ((found[1:] * found[:-1]).sum(1) >= -1e-9).all()


def lip_gap(rig: Rig, coefficients: np.ndarray) -> np.ndarray:
    order = [rig.names.index(name) for name in ARKIT_NAMES]
    return np.asarray((coefficients @ rig.lip_gap_rows()[:, order].T).mean(axis=1))


@pytest.mark.parametrize(
    "names",
    [VISEMES, ("Fcl_MTH_A", "Fcl_MTH_I", "Fcl_MTH_U", "Fcl_MTH_E", "Fcl_MTH_O"), ("あ", "い", "う", "え", "お"),
     ("V_Open", "V_Explosive", "V_Dental_Lip", "V_Tight_O", "V_Tight", "V_Wide", "V_Affricate", "V_Lip_Open")],
    ids=["Oculus", "VRoid", "MMD", "CC4"],
)  # fmt: skip
def test_visemes_open_as_far_as_the_curves(tmp_path: Path, rig: Rig, names: tuple[str, ...]) -> None:
    """Breaks if a mouth of visemes opens at other times, or by another measure, than the curves on the built-in head."""
    path = face(tmp_path / "c.glb", (*names, "eyeBlinkLeft"), empty=("jawOpen",))
    avatar = read_driven_avatar(path)
    t = np.linspace(0, 6, 60)[:, None]
    motion = np.zeros((60, 52), np.float32)
    shapes = {"jawOpen": 0.4, "mouthLowerDownLeft": 0.5, "mouthLowerDownRight": 0.5, "mouthFunnel": 0.3, "eyeBlinkLeft": 1.0}
    for k, (name, size) in enumerate(shapes.items()):
        motion[:, ARKIT_NAMES.index(name)] = size * np.sin((1 + 0.1 * k) * t[:, 0]) ** 2
    weights = speak(avatar, tmp_path / "o.glb", motion)[0, "weights"]
    assert (weights[:, -1] == motion[:, ARKIT_NAMES.index("eyeBlinkLeft")]).all()
    assert (weights >= 0).all() and (weights <= 1).all()
    controls = {control.label: control.meaning.weights for control in avatar.drive.controls}
    looks = np.array([[controls.get(name, {}).get(each, 0.0) for each in ARKIT_NAMES] for name in names])
    made, asked = lip_gap(rig, weights[:, :-1] @ looks), lip_gap(rig, motion)
    assert np.corrcoef(made, asked)[0, 1] > 0.97 and np.abs(made - asked).max() < 0.002
    assert made[0] < 2e-4  # shut where the curves are at rest


@pytest.mark.parametrize("names", [("mouthOpen", "mouthSmile"), ("jawOpen",)], ids=["Ready Player Me", "a jaw"])
def test_a_mouth_of_few_shapes_shuts_with_the_lips(tmp_path: Path, rig: Rig, names: tuple[str, ...]) -> None:
    """Breaks if a jaw that has no lips to go with follows its own curve, and stays ajar where `mouthClose` shuts them."""
    avatar = read_driven_avatar(face(tmp_path / "c.glb", names))
    t = np.linspace(0, 6, 60)
    motion = np.zeros((60, 52), np.float32)
    motion[:, JAW] = 0.15 + 0.15 * np.sin(3 * t)
    motion[:30, ARKIT_NAMES.index("mouthClose")] = motion[:30, JAW]
    for side in ("Left", "Right"):
        motion[30:, ARKIT_NAMES.index(f"mouthLowerDown{side}")] = 0.3
    weights = speak(avatar, tmp_path / "o.glb", motion)[0, "weights"]
    jaws = np.zeros_like(motion)
    jaws[:, JAW] = weights[:, 0]
    made, asked = lip_gap(rig, jaws), lip_gap(rig, motion)
    assert np.abs(made - asked).max() < 0.0005 < 0.002 < asked[30:].min() and weights[30:, 0].min() > motion[30:, JAW].min()
    assert avatar.notes[-1].endswith(f"its mouth is solved for, by {' and '.join(names)}")


def test_what_moves_nothing_is_named_by_families(tmp_path: Path) -> None:
    """Breaks if a note is a list of fifty names, hides one of a family that is there in part, or tells of eyes that do turn."""
    names = tuple(name for name in ARKIT_NAMES if not name.startswith(("brow", "eyeLook", "tongue", "cheekPuff")))
    (note,) = read_driven_avatar(face(tmp_path / "c.glb", names)).notes
    assert note.endswith("c.glb has no morph target for eyeLook…, brow…, cheekPuff, tongueOut: they move nothing")
    (note,) = read_driven_avatar(face(tmp_path / "b.glb", names, bones=True)).notes
    assert note.endswith("b.glb has no morph target for brow…, cheekPuff, tongueOut: they move nothing")


def test_empty_shapes_are_told_and_visemes_stand_in(tmp_path: Path, rig: Rig) -> None:
    """Breaks if a character whose jawOpen moves nothing, as converters leave it, never opens its mouth."""
    path = face(tmp_path / "c.glb", (*ARKIT_NAMES, *VISEMES), empty=("jawOpen", "tongueOut"))
    avatar = read_driven_avatar(path)
    assert avatar.drive.missing == ("tongueOut",) and "tongueOut: they move nothing" in avatar.notes[0]
    motion = np.zeros((2, 52), np.float32)
    motion[1, JAW] = 0.5
    weights = speak(avatar, tmp_path / "o.glb", motion)[0, "weights"]
    looks = {control.label: control.meaning.weights for control in avatar.drive.controls if control.label != "jawOpen"}
    rows = np.array([[looks.get(name, {}).get(each, 0.0) for each in ARKIT_NAMES] for name in (*ARKIT_NAMES, *VISEMES)])
    made, asked = lip_gap(rig, weights @ rows), lip_gap(rig, motion)
    assert np.abs(made - asked).max() < 0.002 < 0.005 < asked[1] and weights[1, 52:].max() > 0.1


def vrm(version: str, names: tuple[str, ...], groups: dict[str, dict[int, float]]) -> dict[str, Any]:
    """Return the JSON of a VRM whose expressions, presets in lower case and the author's own otherwise, bind mesh 0."""
    if version == "1":
        own = {
            name: {"morphTargetBinds": [{"node": 0, "index": k, "weight": weight} for k, weight in binds.items()]}
            for name, binds in groups.items()
        }
        kinds = {
            "preset": {name: entry for name, entry in own.items() if name[0].islower()},
            "custom": {name: entry for name, entry in own.items() if name[0].isupper()},
        }
        bones = {"head": {"node": 6}, "leftEye": {"node": 7}, "rightEye": {"node": 8}}
        return {"extensions": {"VRMC_vrm": {"specVersion": "1.0", "expressions": kinds, "humanoid": {"humanBones": bones}}}}
    listed = [
        {
            "name": name.upper() if name[0].islower() else name,
            "presetName": name if name[0].islower() else "unknown",
            "binds": [{"mesh": 0, "index": k, "weight": 100 * weight} for k, weight in binds.items()],
        }
        for name, binds in groups.items()
    ]
    bones_0 = [{"bone": "head", "node": 6}, {"bone": "leftEye", "node": 7}]
    return {"extensions": {"VRM": {"blendShapeMaster": {"blendShapeGroups": listed}, "humanoid": {"humanBones": bones_0}}}}


@pytest.mark.parametrize("version", ["0", "1"])
def test_vrm_presets(tmp_path: Path, version: str) -> None:
    """Breaks if a VRM's presets do not speak and blink, their weights are not kept, or 0.x turns its head the other way."""
    vowels = ("a", "i", "u", "e", "o") if version == "0" else ("aa", "ih", "ou", "ee", "oh")
    blinks = ("blink_l", "blink_r") if version == "0" else ("blinkLeft", "blinkRight")
    names = tuple(f"shape{number}" for number in range(9))
    groups = {name: {k: 0.5} for k, name in enumerate(vowels)} | {blinks[0]: {5: 1.0}, blinks[1]: {6: 1.0, 7: 0.5}}
    groups["joy" if version == "0" else "happy"] = {8: 1.0}
    path = face(tmp_path / "c.vrm", names, tree=vrm(version, names, groups), bones=True)
    avatar = read_driven_avatar(path)
    assert avatar.file.vrm == version and avatar.drive.solves
    motion = np.zeros((3, 52), np.float32)
    motion[1, [JAW, ARKIT_NAMES.index("eyeBlinkRight")]] = 0.4, 0.8
    motion[2, [ARKIT_NAMES.index("mouthSmileLeft"), ARKIT_NAMES.index("mouthSmileRight")]] = 1.0
    found = speak(avatar, tmp_path / "o.vrm", motion, rotation=np.full((3, 3), 0.1))
    weights = found[0, "weights"]
    assert not weights[0].any() and 0.2 < weights[1, 0] <= 0.5  # half of its preset
    assert np.abs(weights[1, 5:8] - (0, 0.8, 0.4)).max() < 1e-6
    assert weights[2, 8] > 0.5 and weights[1, 8] == 0
    # Seen by whom looks at its face, both turn alike: in the file's own space, VRM 0.x looks along -z.
    parent = worlds(Glb(path))[5][:3, :3] / 2
    local = matrix_of(found[6, "rotation"][1].astype(np.float64))
    turn = parent @ local @ matrix_of(np.array([0, 0.5**0.5, 0, 0.5**0.5])).T @ parent.T
    assert np.abs(turn - head_matrices(np.full((1, 3), 0.1))[0]).max() < 1e-6


@pytest.mark.parametrize("version", ["0", "1"])
def test_perfect_sync(tmp_path: Path, version: str) -> None:
    """Breaks if a VRM with ARKit's shapes among its expressions is driven by its five vowels."""
    names = tuple(f"s{number}" for number in range(53))
    groups = {name[0].upper() + name[1:]: {k: 1.0} for k, name in enumerate(ARKIT_NAMES)}
    groups["a" if version == "0" else "aa"] = {52: 1.0}
    avatar = read_driven_avatar(face(tmp_path / "c.vrm", names, tree=vrm(version, names, groups)))
    assert not avatar.drive.solves and not avatar.drive.missing
    motion = curves()
    weights = speak(avatar, tmp_path / "o.vrm", motion)[0, "weights"]
    assert (weights[:, :52] == motion).all() and not weights[:, 52].any()


def clip_of(rig: Rig, motion: np.ndarray, avatar: DrivenAvatar | None = None) -> MotionClip:
    """Return a clip of the built-in head that nods by 0.2 rad."""
    turning = rig.with_head()
    rows = np.zeros((len(motion), len(turning.names)), np.float32)
    rows[:, [turning.names.index(name) for name in ARKIT_NAMES]] = motion
    rows[:, turning.names.index("headPitch")] = 0.2
    return MotionClip(rows, turning, 30.0, {"identity": "me"}, avatar=avatar)


@pytest.mark.parametrize("kind", ["any", "0", "1", "sync"])
def test_vrm_animations(tmp_path: Path, rig: Rig, kind: str) -> None:
    """Breaks if a .vrma names other expressions than its character has, loses a value, or nods another way."""
    motion = curves()
    names = tuple(f"s{number}" for number in range(54))
    groups = {name[0].upper() + name[1:]: {k: 1.0} for k, name in enumerate(ARKIT_NAMES)} if kind == "sync" else {}
    groups |= {
        "a" if kind == "0" else "aa": {52: 1.0},
        "blink": {53: 1.0},
        "blink_l" if kind == "0" else "blinkLeft": {53: 1.0},
    }
    path = face(tmp_path / "c.vrm", names, tree=vrm("0" if kind == "0" else "1", names, groups))
    avatar = None if kind == "any" else read_driven_avatar(path)
    write_motion_clip(clip_of(rig, motion, avatar), tmp_path / "o.vrma")
    tree, found = Glb(tmp_path / "o.vrma").tree, channels(tmp_path / "o.vrma")
    about = tree["extensions"]["VRMC_vrm_animation"]
    assert about["specVersion"] == "1.0" and tree["extensionsUsed"] == ["VRMC_vrm_animation"]
    kinds = {kind_: set(entries) for kind_, entries in about["expressions"].items()}
    presets = {"aa", "ih", "ou", "ee", "oh", "blinkLeft", "blinkRight", "happy", "angry", "sad", "surprised"}
    sync = {"custom": {name[0].upper() + name[1:] for name in ARKIT_NAMES}}
    own = {"preset": {"aa", "blinkLeft", "blink"}}
    assert kinds == (sync if kind == "sync" else {"preset": presets} if kind == "any" else own)
    for entries in about["expressions"].values():
        for name, entry in entries.items():
            values = found[entry["node"], "translation"]
            assert not values[:, 1:].any() and (values >= 0).all() and (values <= 1).all()
            if kind == "sync":
                assert (values[:, 0] == motion[:, ARKIT_NAMES.index(name[0].lower() + name[1:])]).all()
            elif name == "blinkLeft":
                assert np.abs(values[:, 0] - motion[:, ARKIT_NAMES.index("eyeBlinkLeft")]).max() < 1e-6
    head = about["humanoid"]["humanBones"]["head"]["node"]
    turned = matrix_of(found[head, "rotation"].astype(np.float64))
    assert np.abs(turned - head_matrices(np.array([[0.2, 0, 0]]))).max() < 1e-6
    places = worlds(Glb(tmp_path / "o.vrma"))
    bones = {name: places[entry["node"]][:3, 3] for name, entry in about["humanoid"]["humanBones"].items()}
    assert bones["leftHand"][0] > 0.5 and bones["head"][1] > bones["hips"][1] > 0.9 > bones["leftFoot"][1]  # a T-pose
    assert found[about["lookAt"]["node"], "rotation"].shape == (9, 4)
