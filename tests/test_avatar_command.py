"""A user's character on the command line, drawn, refused, and changed at random."""

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_avatar import BLINK, VISEMES, channels, chunks, curves, face, speak, vrm

from talker_cli.avatar.drive import read_driven_avatar
from talker_cli.errors import InputError
from talker_cli.formats.gltf import Glb


def test_a_character_speaks(invoke: Command, motion: Path, tmp_path: Path) -> None:
    """Breaks if the command line loses a curve, the recording's name, or says nothing of what stands still."""
    face(tmp_path / "me.glb", ("JawOpen", "eyeBlink_L"))
    ran = invoke("export", motion, "--avatar", "me.glb", "-o", "out.glb", "-o", "curves.csv")
    assert ran.code == 0 and "me.glb has no morph target for eyeLook…" in ran.err, ran.err
    blink = np.load(motion.with_suffix(".coefficients.npy"))[:, BLINK]
    assert np.abs(channels(tmp_path / "out.glb")[0, "weights"][:, 1] - blink).max() < 1e-7
    extras = Glb(tmp_path / "out.glb").tree["animations"][-1]["extras"]
    assert extras["audio"] == "speech.wav" and extras["fps"] == 30
    assert "talker" in Glb(tmp_path / "me.glb").tree["asset"]["generator"] or not extras.get("generator")


def test_expressions_that_bind_nothing_are_told(invoke: Command, motion: Path, tmp_path: Path) -> None:
    """Breaks if a VRM whose expressions are empty gets a .vrma that leaves its face still, without a word."""
    names = ("vrc.v_aa", "vrc.v_oh", "vrc.v_ou", "vrc.v_ee", "vrc.blink_left")
    face(tmp_path / "me.vrm", names, bones=True, tree=vrm("0", names, {"aa": {}, "blink": {}}))
    ran = invoke("export", motion, "--avatar", "me.vrm", "-o", "out.vrm", "-o", "out.vrma")
    assert (
        ran.code == 0 and "me.vrm has no expression that moves the face: out.vrma holds the head and the gaze alone" in ran.err
    ), ran.err
    weights = channels(tmp_path / "out.vrm")[0, "weights"]
    blink = np.load(motion.with_suffix(".coefficients.npy"))[:, BLINK]
    assert np.abs(weights[:, 4] - blink).max() < 1e-7 and weights[:, :4].max() > 0.1
    assert "no expression" not in invoke("export", motion, "--avatar", "me.vrm", "-o", "two.vrm").err


@pytest.mark.slow
@pytest.mark.parametrize("output", ["out.html", "still.png"])
def test_a_character_of_visemes_is_drawn(invoke: Command, motion: Path, tmp_path: Path, output: str) -> None:
    """Breaks if a character without ARKit's shapes cannot be drawn."""
    face(tmp_path / "me.glb", VISEMES)
    look = ("--at", "0.3", "--size", "64x64") if output.endswith("png") else ()
    command = "render" if output.endswith("png") else "export"
    ran = invoke(command, motion, "--avatar", "me.glb", *look, "-o", output)
    assert ran.code == 0 and (tmp_path / output).stat().st_size > 500, ran.err


def test_characters_that_cannot_speak(invoke: Command, motion: Path, tmp_path: Path) -> None:
    """Breaks if a character that cannot be driven is a traceback, opens another file, or leaves half a file behind."""
    os.mkfifo(tmp_path / "trap")  # whoever opens it waits for ever
    face(tmp_path / "none.glb", ())
    face(tmp_path / "nameless.glb", ("", "", ""))
    face(tmp_path / "odd.glb", ("smirk", "A"))
    face(tmp_path / "good.glb", ("jawOpen",))
    face(tmp_path / "cycle.glb", ("jawOpen",), tree={"nodes": [{"mesh": 0, "children": [1]}, {"children": [1]}],
                                                     "scenes": [{"nodes": [0]}]})  # fmt: skip

    face(tmp_path / "loop.glb", ("jawOpen",), tree={"nodes": [{"mesh": 0}, {"children": [2]}, {"children": [1]}],
                                                    "scenes": [{"nodes": [0, 1]}]})  # fmt: skip
    for name, uri in {"file": (tmp_path / "trap").as_uri(), "path": "trap", "net": "http://127.0.0.1:9/x"}.items():
        place = face(tmp_path / f"{name}.glb", ("jawOpen",))
        data = place.read_bytes()
        (size,) = struct.unpack_from("<I", data, 12)
        tree = json.loads(data[20 : 20 + size])
        tree["buffers"] = [{"byteLength": 64, "uri": uri}]
        text = json.dumps(tree).encode()
        text += b" " * (-len(text) % 4)
        place.write_bytes(struct.pack("<4sIIII", b"glTF", 2, 20 + len(text), len(text), 0x4E4F534A) + text)
    (tmp_path / "text.gltf").write_text('{"asset": {"version": "2.0"}}')
    before = sorted(tmp_path.iterdir())
    for avatar, words in {
        "none.glb": "none.glb has no morph targets",
        "nameless.glb": "nameless.glb has morph targets without names",
        "odd.glb": "has the morph targets smirk, A; expected ARKit's names",
        "cycle.glb": "node 1 has two parents",
        "loop.glb": "node 1 has two parents",
        "file.glb": "lie in another file",
        "path.glb": "lie in another file",
        "net.glb": "lie in another file",
        "text.gltf": "is glTF as text",
        "trap": "there is no such file",
        "gone.glb": "there is no such file",
    }.items():
        assert words in invoke("export", motion, "--avatar", avatar, "-o", "out.glb").mistake, avatar
    assert "no output that shows one" in invoke("export", motion, "--avatar", "good.glb", "-o", "out.csv").mistake
    assert "which is no VRM" in invoke("export", motion, "--avatar", "good.glb", "-o", "out.vrm").mistake
    assert "without a character" in invoke("export", motion, "-o", "out.vrm").mistake
    assert "is what is read" in invoke("export", motion, "--avatar", "good.glb", "-o", "good.glb").mistake
    assert "a map without a character" in invoke("export", motion, "--map", "m.toml", "-o", "out.glb").mistake
    assert sorted(tmp_path.iterdir()) == before


def rewrite(path: Path, tree: dict, binary: bytes) -> None:
    """Write a .glb of this JSON and this binary chunk."""
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sIIII", b"glTF", 2, 28 + len(text) + len(binary), len(text), 0x4E4F534A)
    path.write_bytes(head + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary)


@pytest.mark.parametrize("field", ["name", "presetName"])
@pytest.mark.parametrize("wrong", [None, True, 7, [], {}, ["aa"]], ids=repr)
def test_a_name_that_is_no_text_names_nothing(tmp_path: Path, field: str, wrong: Any) -> None:
    """Breaks if an expression of a VRM whose name or preset is no text ends in a traceback, or is taken for a viseme."""
    names = ("jawOpen", "viseme_aa", "smirk")
    path = face(tmp_path / "c.glb", names, bones=True, tree=vrm("0", names, {"aa": {0: 1.0}, "blink": {1: 0.5}}))
    before, binary = chunks(path)
    tree = json.loads(before)
    tree["extensions"]["VRM"]["blendShapeMaster"]["blendShapeGroups"][0][field] = wrong
    rewrite(path, tree, binary)
    first = read_driven_avatar(path).file.expressions[0]
    assert (first.name == "") == (field == "name") and (first.preset is None) == (field == "presetName")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_characters(tmp_path: Path, data: st.DataObject) -> None:
    """Breaks if a changed place of a file is a traceback, or the file goes out other than it came in."""
    names = ("jawOpen", "viseme_aa", "smirk")
    groups = {"aa": {0: 1.0}, "blink": {1: 0.5}, "JawOpen": {2: 1.0}}
    version = data.draw(st.sampled_from(["0", "1"]))
    path = face(tmp_path / "c.glb", names, rest=(0.5, 0.0, 0.0), bones=True, tree=vrm(version, names, groups))
    odd = st.sampled_from([None, True, -1, 0, 1, 2**31, 10**20, 1e308, 0.5, "x", [], {}, [0], [None], [1e300] * 16])
    before, binary = chunks(path)
    tree = json.loads(before)
    place: Any = tree
    while True:
        key = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else list(range(len(place)))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.integers(0, 3)) == 0:
            place[key] = data.draw(odd)
            break
        place = place[key]
    rewrite(path, tree, binary)
    try:
        avatar = read_driven_avatar(path)
        found = speak(avatar, tmp_path / "o.glb", curves(3), rotation=np.full((3, 3), 0.1))
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 500
        return
    assert all(np.isfinite(values).all() for values in found.values())
    after = json.loads(chunks(tmp_path / "o.glb")[0])
    assert all(after[key] == tree[key] for key in tree if key not in ("accessors", "bufferViews", "animations", "buffers"))
