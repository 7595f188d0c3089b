"""The Blender add-on, in a Blender without a window: TALKER_BPY names a Python that has bpy (pip install bpy==4.5.*)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Command, spoken

from talker_cli.avatar.drive import Control, Drive
from talker_cli.avatar.table import Meaning
from talker_cli.formats.gltf import Glb
from talker_cli.rig import ARKIT_NAMES

ROOT = Path(__file__).parents[1]
BPY = os.environ.get("TALKER_BPY")


@pytest.mark.slow
@pytest.mark.skipif(BPY is None, reason="TALKER_BPY names no Python with bpy")
def test_blender_speaks(invoke: Command, tmp_path: Path) -> None:
    """Breaks if an action's values differ from the curves, a part of the character is left out, or the sound is not laid."""
    import soundfile

    wav = tmp_path / "speech.wav"
    soundfile.write(wav, spoken(1.5), 16_000)
    command = f'"{sys.executable}" -m talker_cli'
    script = [
        str(BPY),
        str(ROOT / "tests/blender_speak.py"),
        str(ROOT / "addons/talker_blender.py"),
        command,
        str(wav),
        "r.json",
    ]
    ran = subprocess.run(
        script, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )
    assert (tmp_path / "r.json").exists(), ran.stderr[-2000:]
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["poll"] and found["ran"] == ["FINISHED"]
    assert invoke("animate", wav, "-o", "out.json").code == 0
    curves = json.loads((tmp_path / "out.json").read_text())
    motion, own = np.array(curves["frames"]), np.arange(len(curves["frames"])) / curves["fps"]
    drive = Drive((Control("jawOpen", Meaning({"jawOpen": 1.0})),), {}, solves=True)  # the only one of the mouth
    jaw = drive.values(motion[:, : len(ARKIT_NAMES)])[:, 0]
    expected = [np.interp(found["times"], own, curve) for curve in (jaw, motion[:, ARKIT_NAMES.index("eyeBlinkLeft")])]
    values = [np.array([row[part] for row in found["values"]]) for part in (0, 1)]
    assert np.abs(values[0][:, 0] - expected[0]).max() < 1e-5 and np.abs(values[0][:, 1] - expected[1]).max() < 1e-5
    assert np.abs(values[1][:, 0] - expected[0]).max() < 1e-5 and not values[0][:, 2].any() and np.ptp(expected[0]) > 0.01
    assert found["strips"] == [["SOUND", "speech", 11]] and found["end"] >= 46 and found["sync"] == "AUDIO_SYNC"
    assert "such.wav" in found["mistake"]


def test_the_names_reach_talker(tmp_path: Path) -> None:
    """Breaks if what the add-on writes is no .glb, or its reader loses a value: its two functions that need no Blender."""
    stand_in = """class bpy:
    class types:
        Operator = Panel = PropertyGroup = object
    class props:
        StringProperty = PointerProperty = dict
"""
    source = (ROOT / "addons/talker_blender.py").read_text().replace("import bpy\n", stand_in)
    names: dict[str, object] = {"__name__": "addon"}
    exec(compile(source, "talker_blender.py", "exec"), names)
    from talker_cli.avatar.drive import read_driven_avatar
    from talker_cli.avatar.spoken import spoken as with_animation

    meshes = [[("Brow_Inner_Up", True), ("tongueOut", False)], [("browInnerUp", True)]]
    (tmp_path / "names.glb").write_bytes(names["names_glb"](meshes))  # type: ignore[operator]
    assert [mesh.names for mesh in read_driven_avatar(tmp_path / "names.glb").file.meshes] == [
        ("Brow_Inner_Up", "tongueOut"),
        ("browInnerUp",),
    ]
    assert len(Glb(tmp_path / "names.glb").array(0)) == 3
    motion = np.random.default_rng(0).random((5, 52)).astype(np.float32)
    (tmp_path / "o.glb").write_bytes(with_animation(read_driven_avatar(tmp_path / "names.glb"), motion, 30.0))
    times, weights = names["weights_of"](tmp_path / "o.glb")  # type: ignore[operator]
    assert np.abs(np.array(times) - np.arange(5) / 30).max() < 1e-6 and set(weights) == {0, 1}
    assert (np.array(weights[1], np.float32)[:, 0] == motion[:, ARKIT_NAMES.index("browInnerUp")]).all()
    assert "tongueOut" in read_driven_avatar(tmp_path / "names.glb").drive.missing
